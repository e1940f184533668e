# shellcheck shell=bash
# What part of a message's recipients has is never sent to them again: aliases of several, refusals of some, successes that are
# reported; and what an administrator may do with what waits.
. "$(dirname "$0")/../lib/box.sh"

HOSTNAME_OF_BOX=mx.away.test
box_make other
B=$BOX BSMTP=$SMTP BIMAP=$IMAP
echo away.test >"$B/etc/domains"
box_users ann bob
HOSTNAME_OF_BOX=mail.local.test
box_make box
box_users joe eve
conf "dns_zone_file = etc/test.zone"
conf "remote_port = $BSMTP"
printf 'away.test MX 10 mx.away.test\nmx.away.test A 127.0.0.1\n' >"$BOX/etc/test.zone"
printf 'team: joe@local.test, ann@away.test, nobody@away.test\n' >>"$BOX/etc/aliases"
vnewaliases -d "$BOX" >/dev/null
world_is_local
box_start
count() { mt imap "$1" "$2" "pw-$2" count; }
is() { eq "$(count "$1" "$2")" "$3" "messages of $2"; }
counts() { [ "$(mt imap "$1" "$2" "pw-$2" count)" = "$3" ]; }
settled() { ! mailq | grep -q '[0-9A-Za-z]-'; }

# The other side is away: the account gets its part once, the rest waits, over restarts and attempts.
mt send "$SMTP" eve@local.test team@local.test --subject "to all"
wait_for 15 sh -c 'mailq | grep -q team@local.test'
wait_for 10 counts "$IMAP" joe 1
wait_for 10 on_queue 1
sendmail -qff
box_stop
box_start
sendmail -qff
sleep 1
is "$IMAP" joe 1
# It is back: one takes it, one is refused and reported once.
vpost run "$B" >>"$T/run.log" 2>&1 &
PIDS="$PIDS $!"
wait_port "$BSMTP"; wait_port "$BIMAP"
wait_for 10 on_queue 1
sendmail -qff
wait_for 20 counts "$BIMAP" ann 1
wait_for 20 counts "$IMAP" eve 1
wait_for 10 settled
is "$IMAP" joe 1
mt imap "$IMAP" eve pw-eve fetch 1 >"$T/dsn"
has "$(cat "$T/dsn")" "Final-Recipient: rfc822; nobody@away.test" "the report"
hasnot "$(cat "$T/dsn")" "rfc822; ann@away.test" "the report"

# Two taken and one refused in one transaction; a success is reported where it was asked for.
python3 - "$SMTP" <<'X'
import smtplib, sys
s = smtplib.SMTP('127.0.0.1', int(sys.argv[1])); s.ehlo()
s.mail('eve@local.test')
for r, n in (('ann@away.test', 'NEVER'), ('no@away.test', 'FAILURE'), ('bob@away.test', 'SUCCESS'), ('joe@local.test', 'SUCCESS,FAILURE')):
    assert s.rcpt(r, ['NOTIFY=' + n])[0] == 250
assert s.data('Subject: three\r\n\r\nx\r\n')[0] == 250
s.quit()
X
wait_for 20 counts "$BIMAP" bob 1
wait_for 20 counts "$BIMAP" ann 2
wait_for 20 counts "$IMAP" joe 2
# One report of the failure, one of joe's success; bob's is the other side's to make, for it speaks DSN (and cannot find us).
wait_for 20 counts "$IMAP" eve 3
for n in 2 3; do mt imap "$IMAP" eve pw-eve fetch $n; done >"$T/dsn"
has "$(cat "$T/dsn")" "Action: failed" "reports"
has "$(cat "$T/dsn")" "Action: delivered" "reports"
hasnot "$(cat "$T/dsn")" "ann@away.test" "reports"
wait_for 10 settled

# What waits can be held, let go, given up, removed.
sed -i "s/^remote_port.*/remote_port = $((BASE + 998))/" "$BOX/etc/vpost.conf"
box_stop
box_start
for s in one two three; do mt send "$SMTP" eve@local.test ann@away.test --subject $s; done
wait_for 15 sh -c '[ "$(mailq | grep -c ann@away.test)" = 3 ]'
wait_for 10 on_queue 3
mapfile -t ids < <(mailq | grep -oE '[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}' | sort)
sendmail -Mf "${ids[0]}"
has "$(mailq)" frozen "mailq"
sendmail -Mt "${ids[0]}"
hasnot "$(mailq)" frozen "mailq"
sendmail -Mrm "${ids[1]}"
wait_for 10 sh -c '[ "$(mailq | grep -c ann@away.test)" = 2 ]'
before=$(count "$IMAP" eve)
sendmail -Mg "${ids[2]}"
wait_for 15 counts "$IMAP" eve $((before + 1))
wait_for 10 sh -c '[ "$(mailq | grep -c ann@away.test)" = 1 ]'
wait_for 20 grep -q "${ids[1]} removed by" "$BOX/var/log/mainlog"
