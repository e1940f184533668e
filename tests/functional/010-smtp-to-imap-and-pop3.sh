# shellcheck shell=bash
# quick
# Messages come in by SMTP and come out of IMAP and POP3 byte for byte, with the trace headers in front.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe ann
box_start
n=0
for f in "$TOP"/tests/data/*.eml; do
	mt send "$SMTP" sender@out.test joe@local.test,ann@local.test --file "$f"
	n=$((n + 1))
done
[ $n -ge 3 ] || die "tests/data has $n messages"
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP ann pw-ann count)\" = $n ]"
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py pop $POP3 joe pw-joe count)\" = $n ]"
i=0
for f in "$TOP"/tests/data/*.eml; do
	i=$((i + 1))
	mt imap "$IMAP" joe pw-joe fetch $i >"$T/by-imap"
	mt pop "$POP3" joe pw-joe retr $i >"$T/by-pop"
	cmp "$T/by-imap" "$T/by-pop" || die "IMAP and POP3 differ"
	has "$(head -n 1 "$T/by-imap")" "Return-path: <sender@out.test>" "first line"
	grep -qi '^Envelope-to: joe@local.test' "$T/by-imap" || die "no Envelope-to"
	# What was sent is the end of what is read, CRLF at every line.
	sed 's/\r$//; s/$/\r/' "$f" >"$T/sent"
	tail -c "$(stat -c %s "$T/sent")" "$T/by-imap" | cmp - "$T/sent" || die "$f came out changed"
done
# POP3: deletions hold from QUIT on; IMAP sees them.
mt pop "$POP3" joe pw-joe dele 1
eq "$(mt imap "$IMAP" joe pw-joe count)" $((n - 1)) "IMAP after DELE"
mt imap "$IMAP" joe pw-joe delete-all
eq "$(mt pop "$POP3" joe pw-joe count)" 0 "POP3 after EXPUNGE"
eq "$(mt imap "$IMAP" ann pw-ann count)" $n "another user's mail"
wait_for 20 grep -q ' <= sender@out.test ' "$BOX/var/log/mainlog"
wait_for 5 grep -q ' Completed$' "$BOX/var/log/mainlog"
wait_for 20 grep -q ' => joe <joe@local.test> R=virtual_user T=store' "$BOX/var/log/mainlog"
