# shellcheck shell=bash
# sendmail with more than fits in a buffer or a limit: nobody is left out without a word, and a long dialogue does not stand still.
. "$(dirname "$0")/../lib/box.sh"
need python3
box_make
box_users joe
sed -i 's/^recipients_max = .*/&\nsmtp_accept_max_nonmail = 1000000/' "$BOX/etc/exim.conf"
box_start

# -bs from a file: all commands are there before the first answer is read, and the answers are more than the sockets hold.
python3 - "$T/dialogue" <<'P'
import sys
with open(sys.argv[1], 'w') as f:
    f.write('EHLO client.test\r\nMAIL FROM:<joe@local.test>\r\n')
    f.write('HELP\r\n' * 100000)
    f.write('RCPT TO:<joe@local.test>\r\nDATA\r\nSubject: behind all that\r\n\r\nx\r\n.\r\nQUIT\r\n')
P
timeout 120 sendmail -bs <"$T/dialogue" >"$T/answers" || die "-bs of a long dialogue: $? ($(tail -n 2 "$T/answers"))"
eq "$(tail -n 1 "$T/answers" | cut -c1-3)" 221 "the last answer"
# A reader who begins late.
timeout 120 sendmail -bs <"$T/dialogue" | (sleep 3; cat) >"$T/answers"
eq "$(tail -n 1 "$T/answers" | cut -c1-3)" 221 "the last answer, read late"

# More recipients than the service takes at a time: they get it in turns, nobody twice, and the caller is told of nothing.
sed -i 's/^recipients_max = .*/recipients_max = 120/' "$BOX/etc/exim.conf"
kill -HUP "$(daemon_pid vsmtpd)"
wait_for 20 sh -c "[ \$({ printf 'EHLO x\r\nMAIL FROM:<joe@local.test>\r\n'; yes 'RCPT TO:<joe@local.test>' | head -n 121; echo QUIT; } | sendmail -bs | grep -c '^452') = 1 ]"
rc=0
printf 'Subject: in turns\n\nx\n' | sendmail -f joe@local.test $(seq -f 'joe+%g@local.test' 300) >"$T/out" 2>&1 || rc=$?
eq "$rc" 0 "status with 300 recipients where 120 go at a time: $(cat "$T/out")"
to() { grep -oE '[=-]> [^ ]*( <[^>]*>)? ' "$BOX/var/log/mainlog" | grep -oE 'joe\+[0-9]+@local.test' | sort | uniq -c | awk '{ n++; most = $1 > most ? $1 : most } END { print n, most }'; }
wait_for 20 sh -c '[ "$(grep -c Completed '"$BOX/var/log/mainlog"')" -ge 5 ]'
eq "$(to)" "300 1" "who got it, and how often at most"

# More recipients than one message may have: it is refused as a whole.
python3 - "$T/many" <<'P'
import sys
with open(sys.argv[1], 'w') as f:
    f.write('From: joe@local.test\n')
    for k in range(6):
        f.write('To: ' + ',\n '.join('r%d@local.test' % i for i in range(k * 10000, min(k * 10000 + 10000, 50001))) + '\n')
    f.write('Subject: many\n\nx\n')
P
rc=0
sendmail -t <"$T/many" >"$T/out" 2>&1 || rc=$?
eq "$rc" 65 "status with too many recipients"
has "$(cat "$T/out")" "more than 50000 recipients" "what the caller hears"
