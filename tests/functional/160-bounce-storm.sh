# shellcheck shell=bash
# A storm of bounces: what relay abuse sends back to a forged sender is refused at RCPT, or delivered, with bounded memory,
# and other mail goes through meanwhile (S3-36).
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe ann
box_start
rounds=${STORM_ROUNDS:-1}
python3 - "$SMTP" "$rounds" <<'X' &
import smtplib, sys, threading
port, rounds = int(sys.argv[1]), int(sys.argv[2])
def storm(k):
    for _ in range(rounds):
        connection()

def connection():
    s = smtplib.SMTP('127.0.0.1', port, timeout=60)
    s.ehlo()
    for i in range(250):
        s.mail('')
        # Half of them for addresses that never were here, half for the one that was forged.
        if s.rcpt('x%d@local.test' % i if i % 2 else 'joe@local.test')[0] == 250:
            s.data('Subject: Undelivered\r\n\r\n' + 'bounced text\r\n' * 100)
        else:
            s.rset()
    s.quit()
t = [threading.Thread(target=storm, args=(k,)) for k in range(20)]
[x.start() for x in t]
[x.join() for x in t]
X
storm=$!
sleep 0.5
mt send "$SMTP" a@out.test ann@local.test --subject "in the storm"
wait_for 60 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP ann pw-ann count)\" = 1 ]"
wait $storm
wait_for 60 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = $((2500 * rounds)) ]"
# No report about a report, and nothing is left.
wait_for 30 sh -c '[ "$(mailq | grep -c "<")" = 0 ]'
total=0
for d in vsmtpd vqueued vlocald vstored; do
	for p in $(daemon_pid $d) $(cat /proc/"$(daemon_pid $d)"/task/*/children); do
		total=$((total + $(awk '/^Pss_Anon/{print $2}' /proc/"$p"/smaps_rollup)))
	done
done
[ -n "${VPOST_SAN-}" ] || [ $total -lt 200000 ] || die "$total KB of memory after the storm"
