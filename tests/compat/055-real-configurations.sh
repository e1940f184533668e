#!/bin/bash
# Configurations of real hosts: all load, and where a real Exim is there (tests/lib/peers.sh), -bP, -bt, -bv, -brw, -brt and -bh
# give what it gives.  It fails when one does not load, or fewer answers are the same than were once; what the two
# programs may do in that world (files of other users) differs, so that not all can be.
set -eu
unset ONLY	# a filter of the runner, and of the folder's harness too
[ -n "${VPOST_EXIM-}" ] && [ -d "$VPOST_EXIM/configs" ] || { echo "VPOST_EXIM does not name the folder with configs"; exit 77; }
[ -n "${VPOST_ORACLE-}" ] && [ -d "$VPOST_ORACLE/exim" ] || { echo "VPOST_ORACLE is not set"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "needs root for a name space of its own"; exit 77; }
bash "$VPOST_ORACLE/exim/env.sh" true >/dev/null 2>&1 || { echo "no name spaces or overlay mounts here"; exit 78; }
BUILD=$(realpath "${BUILD:-$(dirname "$0")/../../build}")
PEER=${VPOST_PEERROOT:-/opt/peers}/exim
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
chmod 755 "$T"
cp "$BUILD/bin/sendmail" "$T/sendmail"
chmod 755 "$T/sendmail"
if [ -x "$PEER/usr/sbin/exim4" ]; then
	export EXIMDIFF_LIBS=$PEER/usr/lib:$PEER/usr/lib/x86_64-linux-gnu
	BATTERY=$T/battery bash "$VPOST_ORACLE/exim/realconf.sh" "$VPOST_EXIM/configs" "$PEER/usr/sbin/exim4" "$T/sendmail" >"$T/out" 2>&1
else
	bash "$VPOST_ORACLE/exim/realconf.sh" "$VPOST_EXIM/configs" "$T/sendmail" >"$T/out" 2>&1
fi
cat "$T/out"
if grep '|.* NO:' "$T/out"; then echo "these do not load"; exit 1; fi
[ "$(grep -c '| ok' "$T/out")" -ge 12 ] || { echo "fewer than twelve were tried"; exit 1; }
[ -x "$PEER/usr/sbin/exim4" ] || exit 0
same=$(sed -n 's/.*battery: \([0-9]*\) same of .*/\1/p' "$T/out")
[ "${same:-0}" -ge 13 ] || { echo "fewer than 13 answers are the same"; exit 1; }
# Without files of others in the way: lists of routers, transports, authenticators and the main options asked for.
for f in "$T"/battery/1/*.out; do
	b=$T/battery/2/$(basename "$f")
	case $f in *.smtp.out) continue ;; esac
	diff <(sed '/-bt alice/,$d' "$f") <(sed '/-bt alice/,$d' "$b") || { echo "-bP of $(basename "$f") differs"; exit 1; }
done
