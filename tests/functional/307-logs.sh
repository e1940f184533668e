# shellcheck shell=bash
# Logs: separate ones (S2-156), syslog with a facility of choice (S2-157), levels of single daemons by a reload (S2-159), rotation
# under load without losing a line (S2-160).
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
L=$BOX/var/log
python3 - "$T/log.sock" "$T/syslog" <<'X' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
out = open(sys.argv[2], 'ab', 0)
while True:
    out.write(s.recv(65536) + b'\n')
X
SYSLOG_PID=$!
at_end() { kill $SYSLOG_PID 2>/dev/null; }
wait_for 10 test -S "$T/log.sock"
conf "syslog_socket = $T/log.sock"
conf "log_syslog = local3"
conf "log_deliveries = yes"
box_start
mt send "$SMTP" --source 127.0.0.2 a@x.test joe@local.test
mt rcpt "$SMTP" --source 127.0.0.2 a@x.test x@away.test >/dev/null
wait_for 10 grep -q Completed "$L/mainlog"
# 19 is local3: 152 + severity.
wait_for 10 grep -q '^<158>[A-Z][a-z][a-z] [ 0-9][0-9] [0-9:]\{8\} vpost\[[0-9]*\]: 1[^ ]* <= a@x.test' "$T/syslog"
wait_for 10 grep -q '^<158>.* vsmtpd\[[0-9]*\]: info: ready' "$T/syslog"
wait_for 10 grep -q 'relay not permitted' "$T/syslog"
wait_for 10 grep -q '<= a@x.test' "$L/mainlog"
wait_for 10 grep -q "relay not permitted" "$L/rejectlog"
wait_for 10 grep -q "=> joe" "$L/deliverylog"
hasnot "$(cat "$L/deliverylog")" "<=" deliverylog
[ ! -e "$L/debug.log" ] || die "a debug log as shipped"
hasnot "$(cat "$L/vpost.log")" " debug:" "debug lines as shipped"

# One daemon says more, without a restart; the others do not.
pid=$(daemon_pid vsmtpd)
conf "log_level = info vsmtpd=debug"
vpost reload "$BOX" >/dev/null
wait_for 10 sh -c "python3 $TOP/tests/lib/mailtool.py rcpt $SMTP --source 127.0.0.2 a@x.test joe@local.test >/dev/null; grep -q 'processing .accept' $L/debug.log"
eq "$(daemon_pid vsmtpd)" "$pid" "vsmtpd's process"
hasnot "$(cat "$L/debug.log")" "vqueued" "debug.log"
hasnot "$(cat "$L/vpost.log")" " debug:" vpost.log
conf "log_level = info"
vpost reload "$BOX" >/dev/null
wait_for 10 sh -c "[ \$(grep -c 'configuration read anew' $L/vpost.log) -ge 8 ]"

# Only syslog.
box_stop
conf "log_files = no"
conf "log_syslog = mail"
before=$(wc -l <"$L/mainlog")
box_start
mt send "$SMTP" --source 127.0.0.2 only@x.test joe@local.test
wait_for 10 grep -q '^<22>.* <= only@x.test' "$T/syslog"
eq "$(wc -l <"$L/mainlog")" "$before" "lines of mainlog"
# A syslog daemon that was started anew is found again, one that is away stops nothing.
kill $SYSLOG_PID; wait $SYSLOG_PID 2>/dev/null || true
rm "$T/log.sock"
mt send "$SMTP" --source 127.0.0.2 a@x.test joe@local.test || die "without a syslog daemon"
box_stop
conf "log_files = yes"
conf "log_syslog ="

# Rotation while mail comes in: each message stands in the logs once.
grep -q "$BOX/var/log/mainlog" "$BOX/etc/logrotate.conf" || die "etc/logrotate.conf does not name the box"
grep -q "^$BOX/var/log/mainlog.*$BOX/var/run/vpost.pid	30" "$BOX/etc/newsyslog.conf" || die "etc/newsyslog.conf"
rm -f "$L"/mainlog*
box_start
for i in 1 2 3 4; do mt send "$SMTP" --source 127.0.0.2 "load$i@x.test" joe@local.test --count 150 & SENDERS="${SENDERS-} $!"; done
wait_for 10 test -s "$L/mainlog"
for i in 5 4 3 2 1; do
	sleep 0.15
	mv "$L/mainlog" "$L/mainlog.$i"
	vpost reopen "$BOX" || die "vpost reopen"
	wait_for 5 test -e "$L/mainlog"
done
grep -q "^		$(command -v vpost) reopen $BOX " "$BOX/etc/logrotate.conf" || die "etc/logrotate.conf: $(cat "$BOX/etc/logrotate.conf")"
if command -v logrotate >/dev/null; then
	logrotate -f -s "$T/state" "$BOX/etc/logrotate.conf"
	wait_for 5 test -e "$L/mainlog"
fi
for p in $SENDERS; do wait "$p" || die "a sender"; done
all() { cat "$L"/mainlog*; }
ids() { all | grep -- "$1" | cut -d ' ' -f 3 | sort -u; }
missing() { comm -23 <(ids '<= load') <(ids "$1") | wc -l; }
none_missing() { [ "$(missing Completed)" = 0 ]; }
arrived() { [ "$(all | grep -c '<= load')" = 600 ]; }
wait_for 10 arrived
eq "$(ids '<= load' | wc -l)" 600 "ids"
wait_for 20 none_missing
eq "$(missing '=> joe')" 0 "messages whose delivery is not in the log"
box_stop

# A box that does not run has nothing to open; one that went into the background opens its own log anew, too.
eq "$(vpost reopen "$BOX")" "$BOX does not run: nothing to do"
rm -f "$L"/vpost.log*
vpost run -d "$BOX" || die "vpost run -d"
RUN=$(daemon_pid vpost) PIDS="$PIDS $(daemon_pid vpost)"
wait_for 5 test -s "$L/vpost.log"
mv "$L/vpost.log" "$L/vpost.log.1"
vpost reopen "$BOX"
wait_for 5 test -e "$L/vpost.log"
vpost run -k "$BOX" || die "vpost run -k"
grep -q 'vpost: stopped' "$L/vpost.log" || die "the last words went to the old log"
