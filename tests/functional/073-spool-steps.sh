# shellcheck shell=bash
# The power is cut at each step of the spool's state table (ARCHITECTURE.md): nothing accepted is lost, nothing is there twice.
. "$(dirname "$0")/../lib/box.sh"

export SHIM_SO=$BUILD/tests/lib/crashshim.so
[ -e "$SHIM_SO" ] || die "$SHIM_SO is not built"
[ -z "${VPOST_SAN-}" ] || skip "the shim and the sanitizers exclude each other"
box_make
box_users u0 u1 u2
# Small segments, so that they come and go within a few messages.
conf "journal_segment = 64K"
conf "dns_zone_file = etc/test.zone"
conf "remote_port = $((BASE + 999))"
printf 'away.test MX 10 mx.away.test\nmx.away.test A 127.0.0.1\nnomail.test MX 0 .\n' >"$BOX/etc/test.zone"
world_is_local
export BOX SHIM_ROOT=$BOX/var SHIM_DIR=$T/shim RUN_LOG=$T/run.log PORTS="$SMTP $IMAP $POP3"
at_end() { "$TOP/tests/lib/crash/powercut.sh" kill || true; }
# shellcheck disable=SC2086
python3 "$TOP/tests/lib/crash/steps.py" "$BOX" "$SMTP" "$IMAP" ${STEPS-}
