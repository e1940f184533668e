# shellcheck shell=bash
# The tools of others read our logs: eximstats, exigrep, exiqgrep, exiqsumm and exipick of Exim, fail2ban's filters.  What the daemons
# of a box write, and what sendmail -C FILE writes with a spool of its own.  Logs go on in a new file after rotation and USR1.
. "$(dirname "$0")/../lib/box.sh"
ROOT=${VPOST_PEERROOT:-/opt/peers}
X=$ROOT/exim/usr/sbin
[ -x "$X/eximstats" ] || skip "no Exim under $ROOT (tests/lib/peers.sh unpacks it)"
[ -e "$ROOT/fail2ban/usr/bin/fail2ban-regex" ] || skip "no fail2ban under $ROOT (tests/lib/peers.sh unpacks it)"
need perl python3
# Their path to the queue's program is compiled in.
tool() { local t=$1; shift; sed "s,/usr/sbin/exim4,$BUILD/bin/exim,g" "$X/$t" >"$T/$t"; perl "$T/$t" "$@"; }
banned() { # LOG FILTER: hosts
	PYTHONPATH=$ROOT/fail2ban/usr/lib/python3/dist-packages python3 "$ROOT/fail2ban/usr/bin/fail2ban-regex" --out ip "$1" \
	    "$ROOT/fail2ban/etc/fail2ban/filter.d/$2.conf" 2>"$T/f2b.err" || { cat "$T/f2b.err"; die "fail2ban-regex $2"; }
}

box_make
box_users joe
conf "auth_delay = 0s"
conf "auth_ban_failures = 0"
conf "plaintext_auth = yes"
conf "dns_zone_file = etc/test.zone"
printf 'away.test MX 10 mx.away.test\nmx.away.test A 127.0.0.1\n' >"$BOX/etc/test.zone"
conf "remote_port = $((SMTP + 90))"
world_is_local
box_start
LOG=$BOX/var/log/mainlog
mt send "$SMTP" ann@away.test joe@local.test
mt send "$SMTP" joe@local.test joe@local.test
printf 'Subject: x\n\nx\n' | sendmail -f joe@local.test ann@away.test
wait_for 15 grep -q ' == ann@away.test ' "$LOG"
wait_for 15 sh -c "[ \$(grep -c Completed $LOG) = 2 ]"

# Refusals and wrong passwords, each from an address of its own.
python3 - "$SMTP" "$SUBMISSION" "$POP3" "$IMAP" <<'P'
import base64, socket, sys
def talk(port, source, *lines):
    s = socket.create_connection(('127.0.0.1', int(port)), 60, source_address=(source, 0))
    f = s.makefile('rwb', 0)
    f.readline()
    for line in lines:
        f.write(line.encode() + b'\r\n')
        while True:
            a = f.readline()
            if not a or a[3:4] != b'-' or line.startswith('a '):
                break
        if line.startswith('a ') and a.startswith(b'* '):
            f.readline()
    s.close()
smtp, sub, pop, imap = sys.argv[1:]
wrong = base64.b64encode(b'\0joe\0wrong').decode()
talk(smtp, '127.0.0.21', 'EHLO x.test', 'MAIL FROM:<a@away.test>', 'RCPT TO:<b@other.test>', 'QUIT')
talk(sub, '127.0.0.22', 'EHLO x.test', 'AUTH PLAIN ' + wrong, 'QUIT')
talk(pop, '127.0.0.23', 'USER joe', 'PASS wrong', 'QUIT')
talk(imap, '127.0.0.24', 'a LOGIN joe wrong', 'b LOGOUT')
P
wait_for 10 grep -q 127.0.0.24 "$BOX/var/log/vpost.log"
banned "$LOG" exim >"$T/banned"
has "$(cat "$T/banned")" 127.0.0.21 "relay attempts that fail2ban sees"
has "$(cat "$T/banned")" 127.0.0.22 "authentication failures that fail2ban sees"
banned "$BOX/var/log/rejectlog" exim >"$T/banned"
has "$(cat "$T/banned")" 127.0.0.21 "the same in the reject log"
banned "$BOX/var/log/vpost.log" dovecot >"$T/banned"
has "$(cat "$T/banned")" 127.0.0.23 "POP3 logins that fail2ban sees"
has "$(cat "$T/banned")" 127.0.0.24 "IMAP logins that fail2ban sees"

# Exim's tools on the daemons' log and queue.
tool eximstats "$LOG" >"$T/stats" 2>&1 || { cat "$T/stats"; die eximstats; }
grep -Eq '^ *Received +[0-9]+[A-Z]* +3 ' "$T/stats" || { cat "$T/stats"; die "eximstats: three messages came in"; }
grep -Eq '^ *Delivered +[0-9]+[A-Z]* +2 ' "$T/stats" || { cat "$T/stats"; die "eximstats: two were delivered"; }
tool exigrep ann@away.test "$LOG" >"$T/grep"
eq "$(grep -c '<=' "$T/grep")" 2 "messages that exigrep finds"
has "$(cat "$T/grep")" "== ann@away.test" exigrep
id=$(mailq | sed -n 's/^ *[0-9]*[smhd] *[0-9.]*[KM]* \([0-9A-Za-z-]*\) .*/\1/p')
eq "$(tool exiqgrep -x -i)" "$id" exiqgrep
eq "$(tool exiqgrep -z -i)" "" "exiqgrep -z"
eq "$(tool exiqgrep -r ann@away.test -i)" "$id" "exiqgrep -r"
eq "$(tool exiqgrep -f nobody@local.test -i)" "" "exiqgrep -f"
has "$(mailq | tool exiqsumm)" away.test exiqsumm

# A log that was moved away: the next line opens a new one, or USR1 does.
mv "$LOG" "$LOG.1"
kill -USR1 "$RUN"
wait_for 10 test -e "$LOG"
mt send "$SMTP" ann@away.test joe@local.test
wait_for 10 grep -q '<= ann@away.test' "$LOG"
grep -c '<= ann@away.test' "$LOG.1" | grep -qx 1 || die "the old log was written on"
mv "$BOX/var/log/vpost.log" "$BOX/var/log/vpost.log.1"
mt pop3 "$POP3" joe pw-joe stat >/dev/null 2>&1 || mt imap "$IMAP" joe pw-joe count >/dev/null
wait_for 15 sh -c "[ -s $BOX/var/log/vpost.log ]"
box_stop

# A spool of its own: exipick reads its files.
cat >"$T/own.conf" <<C
primary_hostname = own.test
spool_directory = $T/spool
no_queue_list_requires_admin
no_prod_requires_admin
log_file_path = $T/spool/log/%slog
begin routers
away:
  driver = redirect
  data = :defer: not now
  allow_defer
begin retry
* * F,1d,1h
C
unset VPOST_BOX
printf 'Subject: own\n\nx\n' | sendmail -C "$T/own.conf" -odi -f joe@own.test ann@away.test
tool exipick --spool "$T/spool" -i >"$T/picked" 2>&1 || { cat "$T/picked"; die exipick; }
id=$(sendmail -C "$T/own.conf" -bpc)
eq "$id" 1 "messages in the queue"
id=$(cd "$T/spool/input" && ls -- *-H | sed 's/-H$//')
eq "$(cat "$T/picked")" "$id" exipick
eq "$(tool exipick --spool "$T/spool" -i '$sender_address eq joe@own.test')" "$id" "exipick by sender"
eq "$(tool exipick --spool "$T/spool" -i '$sender_address eq nobody@own.test')" "" "exipick by another sender"
tool eximstats "$T/spool/log/mainlog" >"$T/stats" 2>&1 || die "eximstats of sendmail's log"
grep -Eq '^ *Received +[0-9]+[A-Z]* +1 ' "$T/stats" || { cat "$T/stats"; die "eximstats: one came in"; }
has "$(tool exigrep ann@away.test "$T/spool/log/mainlog")" "== ann@away.test" "exigrep of sendmail's log"
