# shellcheck shell=bash
# sendmail submits, mailq shows; mail for a host that is away waits, goes out when it is back; failures come back as DSN (RFC 3464).
. "$(dirname "$0")/../lib/box.sh"

# The other side first: a second box that receives for away.test.
HOSTNAME_OF_BOX=mx.away.test
box_make other
B=$BOX BSMTP=$SMTP BIMAP=$IMAP BBASE=$BASE
echo away.test >"$B/etc/domains"
box_users ann
HOSTNAME_OF_BOX=mail.local.test
box_make box
box_users joe
conf "dns_zone_file = etc/test.zone"
conf "remote_port = $BSMTP"
cat >"$BOX/etc/test.zone" <<'X'
away.test MX 10 mx.away.test
mx.away.test A 127.0.0.1
nomail.test MX 0 .
X
world_is_local
sed -i 's/^\( *\)driver = redirect/&\n\1hide_child_in_errmsg/' "$BOX/etc/exim.conf"
echo 'covert: unnamed@away.test' >>"$BOX/etc/aliases"
vnewaliases -d "$BOX" >/dev/null
box_start
main_run=$RUN
count() { mt imap "$1" "$2" "pw-$2" count; }

# -t takes recipients from the header and Bcc out of it; -i keeps single dots.
printf 'From: joe@local.test\nTo: joe@local.test\nBcc: joe+copy@local.test\nSubject: t\n\nx\n.\ny\n' | sendmail -t -i
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 2 ]"
mt imap "$IMAP" joe pw-joe fetch 1 >"$T/got"
grep -qi '^Bcc:' "$T/got" && die "Bcc is still there"
has "$(cat "$T/got")" $'.\r\ny' "text after a single dot"

# Nobody answers at the other side: the message waits, and mailq says why.
printf 'Subject: for ann\n\nx\n' | sendmail -f joe@local.test ann@away.test
wait_for 15 sh -c 'mailq | grep -q ann@away.test'
wait_for 15 grep -q ' == ann@away.test .*R=remote T=remote_smtp' "$BOX/var/log/mainlog"
has "$(mailq)" "<joe@local.test>" mailq
# It survives a restart.
box_stop
box_start
main_run=$RUN
has "$(mailq)" ann@away.test "mailq after a restart"
# The other side comes up: a queue run delivers.
vpost run "$B" >>"$T/run.log" 2>&1 &
PIDS="$PIDS $!"
wait_port "$BSMTP"; wait_port "$BIMAP"
wait_for 10 on_queue 1
sendmail -qff
wait_for 20 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $BIMAP ann pw-ann count)\" = 1 ]"
wait_for 10 sh -c '! mailq | grep -q ann@away.test'
wait_for 20 grep -qE ' => ann@away.test R=remote T=remote_smtp H=mx.away.test \[127.0.0.1\].* X=TLS1' "$BOX/var/log/mainlog"

# A recipient that the other side refuses, and a domain that takes no mail: reports come back.
mt imap "$IMAP" joe pw-joe delete-all
printf 'Message-ID: <m@x>\nReferences: <r1@x> <r2@x>\nSubject: s\n\nx\n' | sendmail -f joe@local.test nobody@away.test
wait_for 20 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 1 ]"
mt send "$SMTP" joe@local.test x@nomail.test
wait_for 20 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 2 ]"
mt imap "$IMAP" joe pw-joe fetch 1 >"$T/dsn"
has "$(head -n 1 "$T/dsn")" "Return-path: <>" "first line of the report"
python3 - "$T/dsn" <<'X'
import email, sys
m = email.message_from_binary_file(open(sys.argv[1], 'rb'))
assert m['X-Failed-Recipients'] == 'nobody@away.test', m.items()
assert m['Subject'] == 'Mail delivery failed: returning message to sender', m.items()
assert m['References'] == '<r1@x> <r2@x> <m@x>', m.items()
assert m.get_content_type() == 'multipart/report' and m.get_param('report-type') == 'delivery-status', m['Content-Type']
parts = m.get_payload()
assert parts[1].get_content_type() == 'message/delivery-status', parts[1].get_content_type()
per = parts[1].get_payload()
assert per[0]['Reporting-MTA'].startswith('dns;'), per[0].items()
r = per[1]
assert 'nobody@away.test' in r['Final-Recipient'] and r['Action'] == 'failed' and r['Status'].startswith('5.1.1'), r.items()
assert '550' in r['Diagnostic-Code'], r['Diagnostic-Code']
assert parts[2].get_content_type() in ('message/rfc822', 'text/rfc822-headers')
X
wait_for 20 grep -q ' \*\* nobody@away.test ' "$BOX/var/log/mainlog"
# No report for a report, none where NOTIFY=NEVER.
mt send "$SMTP" '' nobody@away.test || true
printf 'EHLO x\nMAIL FROM:<joe@local.test> RET=HDRS ENVID=abc\nRCPT TO:<nobody@away.test> NOTIFY=NEVER\nDATA\nSubject: never\n\n.\nQUIT\n' >"$T/dlg"
python3 - "$SMTP" <<'X'
import smtplib, sys
s = smtplib.SMTP('127.0.0.1', int(sys.argv[1])); s.ehlo()
s.mail('joe@local.test', ['RET=HDRS', 'ENVID=abc'])
s.rcpt('nobody@away.test', ['NOTIFY=NEVER'])
assert s.data('Subject: never\r\n\r\nx\r\n')[0] == 250
s.mail('joe@local.test', ['RET=HDRS', 'ENVID=QQ314159'])
s.rcpt('nobody@away.test', ['NOTIFY=FAILURE', 'ORCPT=rfc822;orig@x.test'])
assert s.data('Subject: only headers\r\n\r\nsecret body\r\n')[0] == 250
s.quit()
X
wait_for 20 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 3 ]"
mt imap "$IMAP" joe pw-joe fetch 3 >"$T/dsn"
has "$(cat "$T/dsn")" "Original-Envelope-Id: QQ314159" "ENVID"
has "$(cat "$T/dsn")" "Original-Recipient: rfc822;orig@x.test" "ORCPT"
hasnot "$(cat "$T/dsn")" "secret body" "RET=HDRS"
sleep 1
eq "$(count "$IMAP" joe)" 3 "reports"
# What an alias stands for stays with us, where its router says so (hide_child_in_errmsg).
printf 'Subject: s\n\nx\n' | sendmail -f joe@local.test covert@local.test
wait_for 20 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 4 ]"
mt imap "$IMAP" joe pw-joe fetch 4 >"$T/dsn"
has "$(tr -d '\r' <"$T/dsn")" $'an undisclosed address\n    (generated from covert@local.test)\n\n' "the report"
hasnot "$(cat "$T/dsn")" unnamed "the report"
has "$(cat "$T/dsn")" "Final-Recipient: rfc822; covert@local.test" "the report"
# sendmail while vsmtpd is down loses nothing.
kill "$main_run"; wait "$main_run" 2>/dev/null || true
printf 'Subject: while down\n\nx\n' | sendmail -f joe@local.test joe@local.test
box_start
wait_for 20 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 5 ]"
