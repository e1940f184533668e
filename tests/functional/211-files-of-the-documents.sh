# shellcheck shell=bash
# The files that the old manuals give their users, unchanged: three rules that sort by header, a spam filter whose program is
# away, the gates of folders.
. "$(dirname "$0")/../lib/box.sh"
need python3
DOC=${VPOST_DOCUMENTS:-/nonexistent}/S4.txt
[ -f "$DOC" ] || skip "VPOST_DOCUMENTS has no S4.txt"

box_make
box_users bigboss
H=$BOX/home/bigboss
mkdir -p "$H"; chmod 755 "$BOX/home" "$H"
in_box() { wait_for 15 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP bigboss pw-bigboss count $1 2>/dev/null)\" = $2 ]"; }
post() {
	local to=$1; shift
	{ echo "From: Sender <sender@out.test>"; for h in "$@"; do echo "$h"; done; echo; echo "text"; } >"$T/m.eml"
	mt send "$SMTP" sender@out.test "$to" --file "$T/m.eml"
}
awk '/directly store email in IMAP subfolders/ { on = 1; next } /^The second paragraph/ { exit } on { sub(/^    /, ""); print }' "$DOC" >"$H/.procmailrc"
grep -q '! bigboss.INBOX' "$H/.procmailrc" || die "the first example was not found"
chmod 644 "$H/.procmailrc"
box_start
post bigboss@local.test "Subject: get xxx now"; in_box INBOX.Spam 1
post bigboss@local.test "Subject: hello" "X-RBL-Warning: listed"; in_box INBOX.Spam 2
post bigboss@local.test "Subject: hello"; in_box INBOX 1

# spamc is not there: nothing is lost.
awk '/preinstalled SpamAssassin daemon/ { on = 1; next } /^The first paragraph filters/ { exit } on { sub(/^    /, ""); print }' "$DOC" >"$H/.procmailrc"
grep -q 'spamc -p 49146' "$H/.procmailrc" || die "the second example was not found"
[ -x /usr/local/bin/spamc ] || { post bigboss@local.test "Subject: unfiltered"; in_box INBOX 2; }
post bigboss@local.test "Subject: marked" "X-Spam-Status: Yes, score=9"; in_box INBOX.Spam 3
rm "$H/.procmailrc"

# .forward and the gates, each the one line that the manual shows.
sed -n "/put a '.forward' file into your home directory/{n;s/^ *//p;q}" "$DOC" >"$H/.forward"
eq "$(cat "$H/.forward")" bigboss.INBOX "the .forward of the manual"
sed -n "/you need a '.forward.Spam' file with this contents/{n;s/^ *//p;q}" "$DOC" >"$H/.forward.Spam"
sed -n "/if you install a file '.forward.Sent'/{n;s/^ *//p;q}" "$DOC" >"$H/.forward.Sent"
chmod 644 "$H"/.forward*
post bigboss@local.test "Subject: forwarded"; in_box INBOX 3
post bigboss.Spam@local.test "Subject: to the folder"; in_box INBOX.Spam 4
post bigboss.Sent@local.test "Subject: a copy of mine"; in_box INBOX.Sent 1
mt send "$SMTP" sender@out.test bigboss.Work@local.test --file "$T/m.eml" >"$T/out" 2>&1 && die "posted to a folder without a gate"
exit 0
