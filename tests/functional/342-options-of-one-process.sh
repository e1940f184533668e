# shellcheck shell=bash
# Main options in a process of its own: receive_timeout, split_spool_directory, keep_malformed, retry_data_expire,
# perl_at_start, perl_taintmode, smtp_return_error_details, warn_message_file, retry_interval_max, write_rejectlog,
# queue_only_load, preserve_message_logs, localhost_number, sqlite_lock_timeout, slow_lookup_log.
. "$(dirname "$0")/../lib/box.sh"
need python3

box_make
me=$(id -un)
S=$T/spool L=$T/spool/log/mainlog
DNS=$((BASE + 53))
at_end() { [ -z "${STUB-}" ] || kill "$STUB" 2>/dev/null || true; }

# config OPTION...: a configuration with these options; deliveries to later@ fail for now, the others go to a file.
config() {
	{
		printf '%s\n' "primary_hostname = mail.local.test" "spool_directory = $S" "exim_user = $me" "trusted_users = $me" \
		    "log_file_path = $S/log/%slog" "keep_environment =" "add_environment = PATH=/usr/bin:/bin" "host_lookup =" "tls_advertise_hosts =" \
		    "queue_list_requires_admin = false" "prod_requires_admin = false" "$@"
		printf '%s\n' "begin routers" "r:" " driver = accept" ' transport = ${if eq{$local_part}{later}{full}{t}}' \
		    "begin transports" "t:" " driver = appendfile" " file = $T/mbox" " user = $me" \
		    "full:" " driver = pipe" " command = /bin/sh -c 'exit 75'" " temp_errors = *" " user = $me" \
		    "begin retry" "* * F,4d,1h"
	} >"$T/c.conf"
}
one() { sendmail -C "$T/c.conf" "$@"; }
fresh() { rm -rf "$S" "$T/mbox"; }

# receive_timeout: who does not finish is not waited for, and nothing of it is kept.
fresh
config "receive_timeout = 1s" "log_selector = +lost_incoming_connection"
rc=0
(echo "Subject: half"; sleep 4) | one -odi x@y.test >"$T/out" 2>&1 || rc=$?
eq "$rc" 1 "status of a message that never ends"
has "$(cat "$T/out")" "exim: timed out while reading - message abandoned" "what the caller hears"
has "$(cat "$L")" "timed out while reading local message" mainlog
[ ! -e "$T/mbox" ] || die "half a message was delivered"
config "receive_timeout = 60s"
(echo "Subject: whole"; sleep 0.3; echo; echo x) | one -odi x@y.test || die "a slow message within the time"
grep -q 'Subject: whole' "$T/mbox" || die "a slow message within the time"

# split_spool_directory: new messages go below a folder by the sixth character; both kinds are found, whatever is set.
fresh
config "split_spool_directory"
echo one | one -odq later@y.test
id=$(one -bp | awk 'NR == 1 { print $3 }')
sub=$(printf %s "$id" | cut -c6)
[ -f "$S/input/$sub/$id-H" ] && [ -f "$S/input/$sub/$id-D" ] || die "not split: $(find "$S/input")"
[ -f "$S/msglog/$sub/$id" ] || die "the message's log is not split: $(find "$S/msglog")"
config
echo two | one -odq x@y.test
eq "$(one -bpc)" 2 "messages of both kinds"
[ "$(find "$S/input" -maxdepth 1 -name '*-H' | wc -l)" = 1 ] || die "not flat: $(find "$S/input")"
one -q
eq "$(one -bpc)" 1 "what is left after a queue run"
[ -f "$S/input/$sub/$id-H" ] || die "a split message was moved"
config "split_spool_directory"
one -Mrm "$id" >/dev/null
eq "$(find "$S/input" "$S/msglog" -type f | wc -l)" 0 "files of a removed message"

# keep_malformed: a message that cannot be read is told of, and goes when its time is over.
fresh
config "keep_malformed = 3d"
echo one | one -odq x@y.test
f=$(find "$S/input" -name '*-H')
id=$(basename "$f" -H)
head -c 60 "$f" >"$T/cut"; cp "$T/cut" "$f"
has "$(one -bp)" "$id *** spool format error: size=60 ***" "the queue's list"
one -q
has "$(cat "$L")" "$id Format error in spool file $id-H: size=60" mainlog
[ -f "$f" ] || die "removed before its time"
config "keep_malformed = 1s"
sleep 2.1
one -q
has "$(cat "$L")" "$id Message removed because older than 1s" mainlog
[ -z "$(find "$S/input" -type f)" ] || die "not removed: $(find "$S/input" -type f)"

# retry_data_expire: what is known of a failure is forgotten, so that a queue run tries before its time.
fresh
config
echo one | one -odi later@y.test
one -q
eq "$(grep -c 'later@y.test .*returned 75' "$L")" 1 "attempts while the time is remembered: $(cat "$L")"
config "retry_data_expire = 1s"
sleep 2.1
one -q
eq "$(grep -c 'later@y.test .*returned 75' "$L")" 2 "attempts once it is forgotten: $(cat "$L")"

# warn_message_file and retry_interval_max: a warning in the words of the file; intervals that do not grow past the limit.
fresh
printf 'Subject: late\n****\nIt is late for $warn_message_delay.\n****\nLast words.\n' >"$T/own"
config "delay_warning = 1s" "warn_message_file = $T/own"
echo one | one -odi -f x@y.test later@y.test
sleep 2
one -qf
grep -q '^Subject: late' "$T/mbox" || die "no warning: $(cat "$T/mbox" "$L")"
grep -q '^It is late for ' "$T/mbox" && grep -q '^Last words' "$T/mbox" || die "words of the warning: $(cat "$T/mbox")"
fresh
config "retry_interval_max = 2s"
sed -i 's/^\* \* F,4d,1h/* * G,4d,1h,2/' "$T/c.conf"
echo one | one -odi later@y.test
sleep 3.1
one -q
eq "$(grep -c 'later@y.test .*returned 75' "$L")" 2 "attempts with short intervals: $(cat "$L")"

# write_rejectlog, preserve_message_logs.
for on in true false; do
	fresh
	config "write_rejectlog = $on" "preserve_message_logs = $on" "acl_not_smtp = \${if eq{\$recipients}{bad@y.test}{deny}{accept}}"
	echo one | one -odi -f x@y.test bad@y.test >/dev/null 2>&1 || true
	echo two | one -odi -f x@y.test good@y.test
	[ -s "$S/log/rejectlog" ] && got=true || got=false
	eq "$got" "$on" write_rejectlog
	[ -n "$(find "$S/msglog.OLD" -type f 2>/dev/null)" ] && got=true || got=false
	eq "$got" "$on" preserve_message_logs
done

# localhost_number: ids of this host and no other.
fresh
config "localhost_number = 7"
echo one | one -odq x@y.test
python3 - "$(one -bp | awk 'NR == 1 { print $3 }')" <<'X2' || die "localhost_number"
import sys
d = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
z = d.index(sys.argv[1][14]) * 62 + d.index(sys.argv[1][15])
sys.exit(z // 200 != 7)
X2

# Perl: at the start its mistakes show at once; tainted data is so for Perl, too.
if command -v perl >/dev/null; then
	fresh
	config "perl_startup = die 'no good'"
	eq "$(one -be ok)" ok "Perl that nobody calls"
	config "perl_startup = die 'no good'" "perl_at_start"
	one -be ok >"$T/out" 2>&1 && die "perl_at_start with a mistake"
	has "$(cat "$T/out")" "no good" perl_at_start
	config 'perl_startup = sub t { return ${^TAINT} }' "perl_at_start"
	eq "$(one -be '${perl{t}}')" 0 "without perl_taintmode"
	config 'perl_startup = sub t { return ${^TAINT} }' "perl_taintmode"
	eq "$(one -be '${perl{t}}')" 1 perl_taintmode
fi

# smtp_return_error_details: whether a client hears what went wrong here.
for on in true false; do
	config "smtp_return_error_details = $on" "acl_smtp_rcpt = check"
	sed -i 's|^begin routers|begin acl\ncheck:\n require verify = recipient\n accept\n&\nbad:\n driver = redirect\n data = ${lookup{x}lsearch{/nonexistent}}|' "$T/c.conf"
	printf 'EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<x@y.test>\r\nQUIT\r\n' | one -bh 192.0.2.1 >"$T/out" 2>/dev/null
	grep -q '^451 failed to open /nonexistent' "$T/out" && got=true || got=false
	eq "$got" "$on" "smtp_return_error_details"
	grep -q '^451 ' "$T/out" || die "no deferral: $(cat "$T/out")"
done

# sqlite_lock_timeout: how long another's lock is waited for.
python3 - "$T/l.sqlite" "$T/locked" <<'X2' &
import os, sqlite3, sys, time
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("create table u(n int)")
c.execute("insert into u values(7)")
c.execute("begin exclusive")
open(sys.argv[2], "w").close()
while not os.path.exists(sys.argv[2] + ".enough"):
    time.sleep(0.05)
time.sleep(1)
c.execute("commit")
X2
LOCKER=$!
wait_for 10 test -e "$T/locked"
config "sqlite_dbfile = $T/l.sqlite" "sqlite_lock_timeout = 0"
has "$(one -be '${lookup sqlite{select n from u}}')" "database is locked" "no waiting"
config "sqlite_dbfile = $T/l.sqlite" "sqlite_lock_timeout = 60"
: >"$T/locked.enough"
eq "$(one -be '${lookup sqlite{select n from u}}')" 7 "waiting"
wait "$LOCKER"

# slow_lookup_log: a resolver that takes its time.
python3 - "$DNS" <<'X2' &
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    q, who = s.recvfrom(2000)
    if b"\4slow" in q:
        time.sleep(1.3)
    # the question back, with no such name
    end = q.index(b"\0", 12) + 5
    s.sendto(q[:2] + b"\x81\x83" + q[4:6] + b"\0\0\0\0\0\0" + q[12:end], who)
X2
STUB=$!
sed -i "/^dns_zone_file/d; /^dns_servers/d" "$BOX/etc/vpost.conf"
conf "dns_servers = 127.0.0.1@$DNS"
sed -i '1i slow_lookup_log = 1000' "$BOX/etc/exim.conf"
out=$(sendmail -be '${lookup dnsdb{txt=slow.example.test}}' '${lookup dnsdb{txt=fast.example.test}}' 2>&1)
has "$out" "Long TXT lookup for 'slow.example.test': " "the slow one"
hasnot "$out" "lookup for 'fast" "the fast one"
sed -i '1i acl_smtp_helo = accept set acl_c0 = ${lookup dnsdb{txt=$sender_helo_name}}' "$BOX/etc/exim.conf"
box_start
mt rcpt "$SMTP" --helo slow.two.test a@x.test joe@local.test >/dev/null 2>&1 || true
wait_for 10 grep -q "Long TXT lookup for 'slow.two.test': [0-9]* msec" "$BOX/var/log/mainlog"

# queue_only_load: whatever comes waits for a run of the queue, also what has no dialogue; the limit may be 0.
quick() { printf 'HELO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\nSubject: s\r\n\r\nb\r\n.\r\nQUIT\r\n' | one -bs "$@" >/dev/null; }
if awk '{ exit $1 > 0.01 ? 0 : 1 }' /proc/loadavg; then
	fresh
	config "queue_only_load = 0.0" "acl_smtp_rcpt = accept"
	echo x | one -odi x@y.test
	quick -odi
	eq "$(grep -c 'no immediate delivery: load average [0-9]*\.[0-9][0-9]$' "$L")" 2 "both wait for the load"
	[ ! -e "$T/mbox" ] || die "delivered under load"
	config "queue_only_load = 0.0" "log_selector = -delay_delivery"
	echo x | one -odi x@y.test
	eq "$(grep -c 'no immediate delivery' "$L")" 2 "delay_delivery is off"
	one -q
	eq "$(grep -c '^Subject: s' "$T/mbox") $(grep -c Completed "$L")" "1 3" "a run of the queue delivers them"
fi
fresh
config "queue_only_load = 10000"
echo x | one -odi x@y.test
grep -q Completed "$L" || die "no load to speak of"

# The times of the log: reception by itself, the queue without it, and all at the end.
fresh
config "log_selector = +queue_time +queue_time_overall +receive_time +millisec"
(echo "Subject: s"; sleep 1.2; printf '\nx\n') | one -odi x@y.test
# taken PATTERN: the time of that line, in milliseconds
taken() { sed -n "s/.*$1=\([0-9]*\)\.\([0-9][0-9][0-9]\)s.*/\1\2/p" "$L" | sed 's/^0*\(.\)/\1/'; }
received=$(taken '<= .* RT') queued=$(taken '=> .* QT') all=$(taken 'Completed QT')
[ "$received" -ge 1000 ] && [ "$all" -ge "$received" ] && [ "$queued" -le $((all - 1000)) ] || die "times: $(cat "$L")"
fresh
config "log_selector = +queue_time_exclusive +queue_time +queue_time_overall"
echo x | one -odi x@y.test
grep -Eq 'Completed QT=[0-9]+s' "$L" || die "whole seconds: $(cat "$L")"
