# shellcheck shell=bash
# A user's own files: .forward with addresses, folders, programs and filters; the gates .forward.Folder; .procmailrc behind
# .forward; files that others may write.  And what explain says of them.
. "$(dirname "$0")/../lib/box.sh"
need python3

box_make
box_users bigboss ann
H=$BOX/home/bigboss
mkdir -p "$H" "$BOX/home/ann"
chmod 755 "$BOX/home" "$H" "$BOX/home/ann"
log() { cat "$BOX/var/log/mainlog"; }
count() { mt imap "$IMAP" "$1" "pw-$1" count "$2" 2>/dev/null || echo 0; }
N=0
# post TO HEADER...: a message; SUBJECT is its subject afterwards
post() {
	local to=$1; shift
	N=$((N + 1)); SUBJECT="number $N"
	{
		echo "From: Sender <sender@out.test>"; echo "To: $to"; echo "Subject: $SUBJECT"
		for h in "$@"; do echo "$h"; done
		echo; echo "text of $N"
	} >"$T/m$N.eml"
	mt send "$SMTP" sender@out.test "$to" --file "$T/m$N.eml"
}
# in USER FOLDER COUNT
in_box() { wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP $1 pw-$1 count $2 2>/dev/null)\" = $3 ]"; }
box_start

# No file: the inbox.
post bigboss@local.test; in_box bigboss INBOX 1
# bigboss.INBOX in .forward
echo bigboss.INBOX >"$H/.forward"; chmod 644 "$H/.forward"
post bigboss@local.test; in_box bigboss INBOX 2
# A folder needs its gate; the gate may name itself.
mt send "$SMTP" sender@out.test bigboss.Spam@local.test --file "$T/m1.eml" >"$T/out" 2>&1 && die "posted to a folder without a gate"
echo bigboss.Spam >"$H/.forward.Spam"; chmod 644 "$H/.forward.Spam"
post bigboss.Spam@local.test; in_box bigboss INBOX.Spam 1
post bigboss.INBOX@local.test; in_box bigboss INBOX 3
# Another user cannot open it by his own file.
rm "$H/.forward.Spam"
echo bigboss.Spam >"$BOX/home/ann/.forward"; chmod 644 "$BOX/home/ann/.forward"
post ann@local.test
wait_for 10 grep -q "bigboss.Spam@.*Unrouteable address" "$BOX/var/log/mainlog"
rm "$BOX/home/ann/.forward"

# Files that others may write are passed over, and the log says what their mode must be.
echo ann >"$H/.forward"; chmod 664 "$H/.forward"
post bigboss@local.test; in_box bigboss INBOX 4
grep -h "home/bigboss/.forward is not used: its mode is 0664 and must be 0644" "$BOX"/var/log/* "$T/run.log" >/dev/null || die "no note of the wrong mode"
# As if it were not there: .procmailrc counts.
printf ':0\n! bigboss.Instead\n' >"$H/.procmailrc"; chmod 644 "$H/.procmailrc"
post bigboss@local.test; in_box bigboss INBOX.Instead 1
rm "$H/.procmailrc"
chmod 644 "$H/.forward"
A=$(count ann INBOX)
post bigboss@local.test; in_box ann INBOX $((A + 1))
[ "$(count bigboss INBOX)" = 4 ] || die "forwarded mail was kept too"
# Itself among others: kept, and no loop.
printf 'bigboss, ann\n' >"$H/.forward"
post bigboss@local.test; in_box ann INBOX $((A + 2)); in_box bigboss INBOX 5
printf '\\bigboss\n"|/bin/cat >>%s/piped"\n%s/file\n' "$H" "$H" >"$H/.forward"
sed -i 's,"|/bin/cat.*","|/bin/sh -c '"'cat >>$H/piped'"'",' "$H/.forward"
post bigboss@local.test; in_box bigboss INBOX 6
wait_for 10 test -s "$H/piped"
wait_for 10 test -s "$H/file"
grep -q "^From sender@out.test " "$H/file" || die "no From line in the file"

# An Exim filter.
cat >"$H/.forward" <<'X'
# Exim filter
if $h_subject: contains "number" and $h_x-kind: is "list" then
  deliver bigboss.Lists
elif $h_x-kind: is "both" then
  unseen save $home/saved
elif $h_x-kind: is "away" then
  mail subject "Re: $h_subject:" text "I am away"
elif $h_x-kind: is "gone" then
  seen finish
endif
X
post bigboss@local.test "X-Kind: list"; in_box bigboss INBOX.Lists 1
post bigboss@local.test "X-Kind: both"; in_box bigboss INBOX 7; wait_for 10 grep -q "text of $N" "$H/saved"
post bigboss@local.test "X-Kind: gone"
post bigboss@local.test "X-Kind: none"; in_box bigboss INBOX 8
# A mistake in it: deferred, not lost.
printf '# Exim filter\nif then\n' >"$H/.forward"
post bigboss@local.test
wait_for 10 grep -q "error in filter file: unexpected \"then\" near line" "$BOX/var/log/mainlog"
# Sieve is kept for now.
printf '# Sieve filter\ndiscard;\n' >"$H/.forward"
post bigboss@local.test; in_box bigboss INBOX 9
grep -h "a Sieve filter, and none is run yet: the message is kept in the inbox" "$BOX"/var/log/* "$T/run.log" >/dev/null || die "no note of the Sieve filter"

# .procmailrc, behind .forward.
cat >"$H/.procmailrc" <<'X'
:0
* ^X-Kind: spam
! bigboss.Spam

:0 fw
* ^X-Kind: filter
| sed -e '1,/^$/s/^X-Kind: .*/X-Kind: filtered/'

:0
* ^X-Kind: filtered
! bigboss.Filtered

:0 c
* ^X-Kind: copy
! ann

:0
* ^X-Kind: null
/dev/null
X
chmod 644 "$H/.procmailrc"
printf 'bigboss\n' >"$H/.forward"
post bigboss@local.test "X-Kind: spam"; in_box bigboss INBOX 10
rm "$H/.forward"
S=$(count bigboss INBOX.Spam)
post bigboss@local.test "X-Kind: spam"; in_box bigboss INBOX.Spam $((S + 1))
post bigboss@local.test "X-Kind: filter"; in_box bigboss INBOX.Filtered 1
mt imap "$IMAP" bigboss pw-bigboss fetch 1 INBOX.Filtered >"$T/got" 2>/dev/null && has "$(cat "$T/got")" "X-Kind: filtered"
B=$(count ann INBOX)
post bigboss@local.test "X-Kind: copy"; in_box bigboss INBOX 11; in_box ann INBOX $((B + 1))
post bigboss@local.test "X-Kind: null"
post bigboss@local.test "X-Kind: last"; in_box bigboss INBOX 12

# explain does nothing and says all.
vpost explain bigboss <"$T/m1.eml" >"$T/out" || { cat "$T/out"; die "vpost explain"; }
has "$(cat "$T/out")" "virtual_procmail"
has "$(cat "$T/out")" ".procmailrc"
in_box bigboss INBOX 12
ID=$(log | sed -n 's/^[^ ]* [^ ]* \([^ ]*\) <= .*/\1/p' | tail -n 1)
wait_for 10 grep -q "$ID Completed" "$BOX/var/log/mainlog"
vpost trace "$ID" >"$T/out" || { cat "$T/out"; die "vpost trace"; }
has "$(cat "$T/out")" "=> bigboss <bigboss@local.test> R=virtual_procmail T=procmail"
wait_for 20 grep -q "=> bigboss.Spam <bigboss@local.test> R=virtual_procmail T=procmail" "$BOX/var/log/mainlog"

# Circles end: of aliases in a report, of users in their boxes, once each.
printf 'ring: ring2, ann\nring2: ring3\nring3: ring2\n' >>"$BOX/etc/aliases"
vnewaliases >/dev/null
rm -f "$H/.procmailrc" "$BOX/home/ann/.procmailrc"; echo ann >"$H/.forward"; chmod 644 "$H/.forward"; echo bigboss >"$BOX/home/ann/.forward"; chmod 644 "$BOX/home/ann/.forward"
B=$(count bigboss INBOX); A=$(count ann INBOX)
post bigboss@local.test; in_box bigboss INBOX $((B + 1))
[ "$(count ann INBOX)" = "$A" ] || die "mail in a circle came twice"
rm "$BOX/home/ann/.forward"
post ring@local.test
wait_for 10 grep -q '\*\* ring2@.*<ring@local.test>.*Unrouteable address' "$BOX/var/log/mainlog"
