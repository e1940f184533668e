# shellcheck shell=bash
# What each failure is answered with, and that all goes on by itself afterwards: a daemon down, no room, an unwritable spool.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
box_start
count_is() { [ "$(mt imap "$IMAP" joe pw-joe count)" = "$1" ]; }
wait_count() { for _ in $(seq 300); do count_is "$1" 2>/dev/null && return; sleep 0.1; done; die "INBOX has $(mt imap "$IMAP" joe pw-joe count), not $1"; }
mt send "$SMTP" a@out.test joe@local.test
wait_count 1

# Each of queue, local delivery and store away for a while: mail is taken, and delivered when it is back.
n=1
for d in vqueued vlocald vstored; do
	kill -STOP "$(daemon_pid $d)" $(cat /proc/"$(daemon_pid $d)"/task/*/children)
	mt send "$SMTP" a@out.test joe@local.test --subject "$d stopped" || die "not taken while $d hangs"
	kill -CONT "$(daemon_pid $d)" $(cat /proc/"$(daemon_pid $d)"/task/*/children)
	n=$((n + 1))
	wait_count $n
done
# vauthd away: AUTH 454, logins temporary failures; local mail goes on.
p="$(daemon_pid vauthd) $(cat /proc/"$(daemon_pid vauthd)"/task/*/children)"
kill -STOP "$RUN"	# or it would be started anew
kill -KILL $p
sleep 0.3
out=$(printf 'EHLO x\nAUTH PLAIN AGpvZQBwdy1qb2U=\nQUIT\n' | mt talk "$SMTP")
has "$out" "454 4.7.0" "AUTH without vauthd"
out=$(mt pop "$POP3" joe pw-joe count || true)
has "$out" "SYS/TEMP" "POP3 login without vauthd"
mt send "$SMTP" a@out.test joe@local.test --subject "no vauthd" || die "local mail without vauthd"
kill -CONT "$RUN"
n=$((n + 1))
wait_count $n

# No room: the reserve is set above what is free; 452 at once, and all is well after it is given back.
box_stop
conf 'spool_reserve_percent = 100'
box_start
out=$(mt send "$SMTP" a@out.test joe@local.test 2>&1 || true)
has "$out" "452" "no room"
has "$out" "4.3.1" "no room"
sed -i '/spool_reserve_percent/d' "$BOX/etc/vpost.conf"
box_stop
box_start
mt send "$SMTP" a@out.test joe@local.test
n=$((n + 1))
wait_count $n

# The journal's cap: vqueued stands still, journal_max is reached, 452 4.3.1; then everything is delivered.
box_stop
conf 'journal_segment = 256K'
conf 'journal_max = 1M'
box_start
q="$(daemon_pid vqueued) $(cat /proc/"$(daemon_pid vqueued)"/task/*/children)"
kill -STOP $q
head -c 60000 /dev/zero | tr '\0' 'x' | fold -w 70 >"$T/big"
taken=0
for _ in $(seq 60); do
	out=$(mt send "$SMTP" a@out.test joe@local.test --file "$T/big" 2>&1 || true)
	case $out in *452*4.3.1*) break ;; '') taken=$((taken + 1)) ;; *) die "answered $out" ;; esac
done
has "$out" "452" "journal full"
[ $taken -ge 2 ] || die "only $taken messages were taken before the cap"
kill -CONT $q
n=$((n + taken))
wait_count $n
wait_for 20 sh -c "python3 $TOP/tests/lib/mailtool.py send $SMTP a@out.test joe@local.test"
n=$((n + 1))
wait_count $n

# The spool cannot be written: temporary answer, then it goes on.
box_stop
sed -i '/journal_/d' "$BOX/etc/vpost.conf"
box_start
mt send "$SMTP" a@out.test joe@local.test
n=$((n + 1))
wait_count $n
