#!/bin/bash
# SMTP sessions of a real Exim, replayed by the same configurations: at least as many come out the same as did when
# this was written.  What differs is listed; most of it is wording of conditions, or scanners that are not there.
set -eu
: "${VPOST_ORACLE:=}"
[ -n "$VPOST_ORACLE" ] && [ -d "$VPOST_ORACLE/exim" ] || { echo "VPOST_ORACLE is not set"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "needs root for a name space of its own"; exit 77; }
bash "$VPOST_ORACLE/exim/env.sh" true >/dev/null 2>&1 || { echo "no name spaces or overlay mounts here"; exit 78; }
cd "$(dirname "$0")/../.."
BUILD=$(realpath "${BUILD:-build}")
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
chmod 755 "$T"
# Users of the recorded world run it, too.
cp "$BUILD/tests/lib/smtpbh" "$T/smtpbh"
chmod 755 "$T/smtpbh"
OUT=$T/out timeout 300 bash "$VPOST_ORACLE/exim/compare.sh" "$T/smtpbh" smtp >"$T/report" 2>&1 || true
cat "$T/report"
same=$(sed -n 's/^smtp: \([0-9]*\) same of .*/\1/p' "$T/report")
replies=$(sed -n 's/.*replies alone \([0-9]*\),.*/\1/p' "$T/report")
[ "${same:-0}" -ge 33 ] && [ "${replies:-0}" -ge 39 ] || { echo "fewer sessions than before are the same"; exit 1; }
