# shellcheck shell=bash
# Nothing accepted is lost when the power is cut: messages over 20 connections, while again and again everything stops, what was
# not synced is dropped (all of it, or a random part), and the box starts anew (S2-5).
. "$(dirname "$0")/../lib/box.sh"

export SHIM_SO=$BUILD/tests/lib/crashshim.so
[ -e "$SHIM_SO" ] || die "$SHIM_SO is not built"
[ -z "${VPOST_SAN-}" ] || skip "the shim and the sanitizers exclude each other"
box_make
box_users u0 u1 u2 u3 u4 u5 u6 u7 u8 u9
export BOX SHIM_ROOT=$BOX/var SHIM_DIR=$T/shim RUN_LOG=$T/run.log PORTS="$SMTP $IMAP $POP3"
export CRASH_CMD=$T/cut
printf '#!/bin/sh\nexec %s cut "$1"\n' "$TOP/tests/lib/crash/powercut.sh" >"$CRASH_CMD"
chmod +x "$CRASH_CMD"
at_end() { "$TOP/tests/lib/crash/powercut.sh" kill || true; }
python3 "$TOP/tests/lib/crash/crashrestore.py" init "$SHIM_DIR"
"$TOP/tests/lib/crash/powercut.sh" start
python3 "$TOP/tests/lib/killtest.py" "$BOX" "$SMTP" "$IMAP" "$POP3" --mode crash --messages "${CRASH_MESSAGES:-1500}" --connections 20 \
	--rounds "${CRASH_ROUNDS:-10}"
