# shellcheck shell=bash
# A damaged record in the middle of a journal segment costs that message alone: what is behind it is delivered, the segment is kept
# aside and told of.
. "$(dirname "$0")/../lib/box.sh"

SHIM=$BUILD/tests/lib/faultshim.so
[ -e "$SHIM" ] || die "$SHIM is not built"
[ -z "${VPOST_SAN-}" ] || skip "the shim and the sanitizers exclude each other"
box_make
conf "smtp_workers = 1"
box_users joe
export FAULT_FILE=$BOX/etc/faults
: >"$FAULT_FILE"
count() { mt imap "$IMAP" joe pw-joe count; }
counts() { [ "$(count)" = "$1" ]; }
kill_daemon() {
	local p
	p=$(daemon_pid "$1")
	# shellcheck disable=SC2046
	kill -KILL "$p" $(pgrep -P "$p")
	wait_for 20 sh -c "[ \"\$(cat '$BOX/var/run/$1.pid')\" != $p ]"
}
LD_PRELOAD=$SHIM box_start
# vqueued cannot open segments: what is accepted stays in the journal.
echo "open .seg vqueued 5" >"$FAULT_FILE"
for s in one two three four; do mt send "$SMTP" joe@local.test joe@local.test --subject $s; done
kill_daemon vsmtpd
python3 - "$BOX/var/spool/intake" <<'P'
import glob, sys
for f in glob.glob(sys.argv[1] + '/*.seg'):
    data = open(f, 'rb').read()
    at = [i for i in range(64, len(data), 64) if data[i:i + 4] == b'vpR1']
    if len(at) == 4:
        with open(f, 'r+b') as o:
            o.seek(at[1] + 12)
            o.write(b'damage')
        break
else:
    sys.exit('no segment with four messages')
P
: >"$FAULT_FILE"
kill_daemon vqueued
wait_port "$SMTP"
wait_for 20 counts 3
for n in 1 2 3; do mt imap "$IMAP" joe pw-joe fetch $n; done >"$T/all"
for s in one three four; do has "$(cat "$T/all")" "Subject: $s" "the mailbox"; done
hasnot "$(cat "$T/all")" "Subject: two" "the mailbox"
wait_for 20 grep -q 'intake journal are damaged' "$BOX/var/log/vpost.log"
wait_for 20 sh -c "ls '$BOX/var/spool/intake' | grep -q 'seg.damaged\$'"
has "$(vpost status "$BOX" || true)" "DAMAGED" "vpost status"
has "$(vpost check "$BOX" || true)" "cannot be read" "vpost check"
# Killed again, nothing comes back.
kill_daemon vqueued
sleep 2
eq "$(count)" 3 "messages"
