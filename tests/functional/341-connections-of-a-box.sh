# shellcheck shell=bash
# What vsmtpd does with connections and processes by exim.conf: smtp_accept_keepalive, smtp_connect_backlog,
# smtp_backlog_monitor, pid_file_path, process_log_path.
. "$(dirname "$0")/../lib/box.sh"

box_make
C=$BOX/etc/exim.conf L=$BOX/var/log
cp "$C" "$T/exim.conf"
# workers SIGNAL: to all workers of vsmtpd.
workers() {
	local p pid
	pid=$(daemon_pid vsmtpd)
	read -r -a p <"/proc/$pid/task/$pid/children" || true	# it ends without a newline
	kill "$1" "${p[@]}"
}

# connect N [SECONDS]: so many connections at once; prints how many the kernel took, and the timers of our ends of them.
connect() {
	python3 - "$SMTP" "$1" <<'X2'
import select, socket, sys, time
port, n = int(sys.argv[1]), int(sys.argv[2])
conns = []
for _ in range(n):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(("127.0.0.1", port))
    conns.append(s)
if n == 1:
    # Taken, as its greeting tells.
    conns[0].settimeout(60)
    conns[0].recv(100)
time.sleep(0.4)
up = [s for s in conns if select.select([], [s], [], 0)[1] and s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0]
mine = {s.getsockname()[1] for s in up}
timers = set()
for line in open("/proc/net/tcp").read().split("\n")[1:]:
    f = line.split()
    if len(f) > 5 and int(f[1].split(":")[1], 16) == port and int(f[2].split(":")[1], 16) in mine:
        timers.add(f[5].split(":")[0])
print(len(up), " ".join(sorted(timers)))
X2
}

# Timer 02 of /proc/net/tcp is the one of keepalive.
box_start
eq "$(connect 1)" "1 02" "keepalive by default"
# With the workers asleep as many wait as the backlog holds, which is many.
workers -STOP
out=$(connect 12)
workers -CONT
eq "${out%% *}" 12 "waiting connections by default"
[ ! -e "$BOX/var/run/exim.pid" ] || die "a pid file that nobody asked for"
box_stop

sed -i "1i smtp_accept_keepalive = false\nsmtp_connect_backlog = 3\nsmtp_backlog_monitor = 2\npid_file_path = \${if >{\$tod_epoch}{1}{$BOX/var/run}}/exim.pid\nprocess_log_path = $L/process.info" "$C"
box_start
wait_for 10 test -s "$BOX/var/run/exim.pid"
eq "$(cat "$BOX/var/run/exim.pid")" "$(daemon_pid vsmtpd)" "pid_file_path"
eq "$(connect 1)" "1 00" "without keepalive"
workers -STOP
out=$(connect 12)
[ "${out%% *}" -ge 3 ] && [ "${out%% *}" -le 5 ] || { workers -CONT; die "a backlog of 3 took ${out%% *}"; }
workers -CONT
wait_for 10 grep -q "listen backlog [345] I=\[127.0.0.1\]:$SMTP" "$L/mainlog"
# Who is connected, at a signal to the parent.
exec 5<>"/dev/tcp/127.0.0.1/$SMTP"
read -r -u 5 banner
has "$banner" "220 " banner
kill -USR1 "$(daemon_pid vsmtpd)"
wait_for 10 grep -q "^ *$(daemon_pid vsmtpd) daemon: listening for SMTP, [0-9]* processes" "$L/process.info"
wait_for 10 grep -q '^ *[0-9]* handling incoming call from \[127.0.0.1\]$' "$L/process.info"
wait_for 10 grep -q '^ *[0-9]* daemon: waits for connections$' "$L/process.info"
exec 5>&-
# A reload takes both back; the end takes the file away.
sed -i "s|^pid_file_path = .*|pid_file_path = $BOX/var/run/other.pid|" "$C"
kill -HUP "$(daemon_pid vsmtpd)"
wait_for 10 test -s "$BOX/var/run/other.pid"
wait_for 10 test ! -e "$BOX/var/run/exim.pid"
box_stop
[ ! -e "$BOX/var/run/other.pid" ] || die "the pid file of a daemon that ended"
