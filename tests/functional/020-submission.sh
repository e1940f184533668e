# shellcheck shell=bash
# Submission: AUTH over TLS only (S2-49), on 587 and 465; fixups there and nowhere else; ANONYMOUS never (S2-48).
. "$(dirname "$0")/../lib/box.sh"
need swaks openssl

box_make
box_users joe
conf 'submission_listen = 127.0.0.1:'$SUBMISSION
box_start

# EHLO words (S2-42).
ehlo=$(printf 'EHLO me.test\nQUIT\n' | mt talk "$SMTP")
for w in PIPELINING "SIZE 25600000" VRFY ETRN STARTTLS ENHANCEDSTATUSCODES 8BITMIME DSN CHUNKING SMTPUTF8 HELP; do
	printf '%s\n' "$ehlo" | grep -qE "^250[ -]$w( |\$)" || die "EHLO lacks $w: $ehlo"
done
# From loopback AUTH may be plain; from elsewhere it is hidden before TLS (the tls test shows that).
has "$ehlo" AUTH EHLO
hasnot "$ehlo" ANONYMOUS EHLO

# No AUTH: 587 takes nothing.
out=$(printf 'EHLO me.test\nMAIL FROM:<joe@local.test>\nQUIT\n' | mt talk "$SUBMISSION")
has "$out" "530 5.7.0" "MAIL without AUTH on 587"
# Wrong password: 535.
swaks --server 127.0.0.1:"$SUBMISSION" -tls --auth PLAIN --auth-user joe --auth-password wrong -f joe@local.test -t joe@local.test >"$T/out" 2>&1 && die "a wrong password was taken"
grep -q '535 5.7.8' "$T/out" || { cat "$T/out"; die "no 535 5.7.8"; }
# Each mechanism, on each port.
i=0
for m in PLAIN LOGIN SCRAM-SHA-256; do
	[ $m != SCRAM-SHA-256 ] || continue	# swaks has no SCRAM; msmtp below has
	swaks --server 127.0.0.1:"$SUBMISSION" -tls --auth $m --auth-user joe --auth-password pw-joe -f joe@local.test -t joe@local.test >"$T/out" 2>&1 || { cat "$T/out"; die "AUTH $m on 587"; }
	i=$((i + 1))
done
swaks --server 127.0.0.1:"$SMTPS" --tls-on-connect --auth PLAIN --auth-user joe --auth-password pw-joe -f joe@local.test -t joe@local.test >"$T/out" 2>&1 || { cat "$T/out"; die "465"; }
i=$((i + 1))
if command -v msmtp >/dev/null && msmtp --version | grep -q SCRAM-SHA-256; then
	printf 'Subject: scram\n\nx\n' | msmtp --host=127.0.0.1 --port="$SUBMISSION" --auth=scram-sha-256 --user=joe --passwordeval='echo pw-joe' \
		--tls=on --tls-certcheck=off --from=joe@local.test joe@local.test 2>"$T/out" || { cat "$T/out"; die "SCRAM-SHA-256 by msmtp"; }
	i=$((i + 1))
fi
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = $i ]"

# Who authenticated may send outward, nobody else (S1-2).
out=$(printf 'EHLO me.test\nAUTH PLAIN AGpvZQBwdy1qb2U=\nMAIL FROM:<joe@local.test>\nRCPT TO:<x@elsewhere.test>\nRSET\nQUIT\n' | mt talk "$SUBMISSION")
has "$out" "235 2.7.0" "AUTH"
has "$out" "250 2.1.5" "a relay with AUTH"
out=$(printf 'EHLO me.test\nMAIL FROM:<joe@local.test>\nRCPT TO:<x@elsewhere.test>\nQUIT\n' | mt talk "$SMTP" --source 127.0.0.2)
has "$out" "550 5.7.1" "a relay without AUTH"

# Submission adds Date and Message-ID and takes Bcc out; port 25 leaves a message as it is.
printf 'From: joe@local.test\r\nTo: joe@local.test\r\nBcc: secret@local.test\r\nSubject: fix\r\n\r\nx\r\n' >"$T/bare.eml"
mt imap "$IMAP" joe pw-joe delete-all
mt send "$SUBMISSION" joe@local.test joe@local.test --tls --user joe --password pw-joe --file "$T/bare.eml"
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 1 ]"
mt imap "$IMAP" joe pw-joe fetch 1 >"$T/got"
grep -qi '^Date: ' "$T/got" || die "no Date added"
grep -qi '^Message-ID: <' "$T/got" || die "no Message-ID added"
grep -qi '^Bcc:' "$T/got" && die "Bcc was left in"
mt send "$SMTP" other@out.test joe@local.test --file "$T/bare.eml"
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 2 ]"
mt imap "$IMAP" joe pw-joe fetch 2 >"$T/got"
grep -qi '^Message-ID: <' "$T/got" && die "Message-ID added on port 25"
grep -qi '^Bcc: secret' "$T/got" || die "Bcc taken out on port 25"

# SIZE: announced, refused at MAIL and after DATA (S2-41).
out=$(printf 'EHLO me.test\nMAIL FROM:<a@out.test> SIZE=25600001\nQUIT\n' | mt talk "$SMTP")
has "$out" "552 5.3.4" "MAIL with too large a SIZE"
# Received loop.
{ for k in $(seq 40); do echo "Received: from a by b; Mon, 02 Jan 2023 10:00:00 +000$((k % 10))"; done; printf 'Subject: loop\n\nx\n'; } >"$T/loop.eml"
out=$(mt send "$SMTP" a@out.test joe@local.test --file "$T/loop.eml" || true)
has "$out" "5.4.6" "a message with 40 Received lines"
# user+detail, user.INBOX; another folder has a gate of its own.
mt imap "$IMAP" joe pw-joe delete-all
mt send "$SMTP" a@out.test joe+news@local.test,joe.INBOX@local.test
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 2 ]"
# Every reply has an enhanced status code (S2-44), but for the greeting, EHLO and 3xx.
printf '%s\n' 'NOOP' 'HELO me' 'DATA' 'FOO' 'MAIL' 'MAIL FROM:<a@b.test>' 'MAIL FROM:<a@b.test>' 'RCPT TO:<nobody@local.test>' 'RCPT TO:<x@elsewhere.test>' 'RCPT TO:<joe@local.test>' 'VRFY joe' 'EXPN joe' 'ETRN local.test' 'RSET' 'AUTH FOO' 'BDAT x' 'STARTTLS now' 'HELP' 'QUIT' | mt talk "$SMTP" >"$T/talk"
tail -n +2 "$T/talk" | grep -vE '^(250[ -](mail.local.test|.*(Hello|SIZE|PIPELINING))|3[0-9][0-9])' | grep -vE '^[245][0-9][0-9][ -][245]\.[0-9]+\.[0-9]+ ' && die "replies without an enhanced status code"
true
