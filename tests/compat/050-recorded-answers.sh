#!/bin/bash
# Answers of a real Exim, recorded, and ours to the same questions: expansions, rewriting, retry rules, routing, printing and
# checking of configurations, SMTP dialogues.  It fails when fewer are the same than were once.  tests/compat/DIFFERENCES
# tells what differs, and why.
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
cp "$BUILD/bin/sendmail" "$T/sendmail"
chmod 755 "$T/sendmail"
bad=0
# at_least CATEGORY NAME COUNT: of the category's report, the line of NAME
at_least() {
	[ -f "$T/report.$1" ] || {
		OUT=$T/out.$1 timeout 800 bash "$VPOST_ORACLE/exim/compare.sh" "$T/sendmail" "$1" >"$T/report.$1" 2>&1 || true
		cat "$T/report.$1"
	}
	same=$(sed -n "s/^$2: \([0-9]*\) same of .*/\1/p" "$T/report.$1")
	[ "${same:-0}" -ge "$3" ] || { echo "$2: fewer than $3 are the same"; bad=1; }
}
at_least rewrite rewrite 3
at_least bt bt 18
at_least config config 38
at_least smtp smtp 42
at_least expansions expansions 733
at_least expansions expansions_msg 60
exit $bad
