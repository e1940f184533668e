# shellcheck shell=bash
# Other people's programs, as they are: swaks, curl, msmtp, mpop, mbsync, mutt, Python's own modules.
. "$(dirname "$0")/../lib/box.sh"
need swaks curl msmtp mpop mbsync mutt

box_make
box_users joe ann
box_start
export HOME=$T/home
mkdir -p "$HOME"
count() { mt imap "$IMAP" "$1" "pw-$1" count; }
n=0
# sending
swaks --server 127.0.0.1:"$SMTP" -f a@out.test -t joe@local.test --attach-type text/x-test --attach @"$TOP"/README.md >"$T/out" 2>&1 || { cat "$T/out"; die swaks; }
n=$((n + 1))
curl -sS --url "smtp://127.0.0.1:$SMTP" --mail-from a@out.test --mail-rcpt joe@local.test --crlf --upload-file "$TOP/tests/data/1-plain.eml" || die "curl smtp"
n=$((n + 1))
curl -sSk --ssl-reqd --url "smtp://127.0.0.1:$SUBMISSION" -u joe:pw-joe --mail-from joe@local.test --mail-rcpt joe@local.test --crlf --upload-file "$TOP/tests/data/2-multipart.eml" || die "curl submission"
n=$((n + 1))
for auth in plain login scram-sha-256; do
	msmtp --version | grep -qi "$auth" || continue
	printf 'Subject: msmtp %s\n\nx\n' $auth | msmtp --host=127.0.0.1 --port="$SUBMISSION" --auth=$auth --user=joe --passwordeval='echo pw-joe' --tls=on \
		--tls-certcheck=off --from=joe@local.test joe@local.test || die "msmtp $auth"
	n=$((n + 1))
done
printf 'Subject: mutt\n\nx\n' >"$T/body"
printf 'set smtp_url="smtp://joe:pw-joe@127.0.0.1:%s/"\nset ssl_force_tls=no\nset ssl_starttls=no\nset from=joe@local.test\nset record=""\nset copy=no\n' "$SUBMISSION" >"$HOME/.muttrc"
mutt -F "$HOME/.muttrc" -s "by mutt" joe@local.test <"$T/body" >"$T/out" 2>&1 || { cat "$T/out"; die "mutt sends"; }
n=$((n + 1))
wait_for 20 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = $n ]"

# mbsync: down, change, up.
mkdir -p "$HOME/mail"
cat >"$HOME/.mbsyncrc" <<X
IMAPAccount a
Host 127.0.0.1
Port $IMAP
User joe
Pass pw-joe
SSLType None
AuthMechs LOGIN

IMAPStore far
Account a

MaildirStore near
Path $HOME/mail/
Inbox $HOME/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
X
sed -i 's/SSLType None/SSLType None/' "$HOME/.mbsyncrc"
mbsync -c "$HOME/.mbsyncrc" -a >"$T/out" 2>&1 || { cat "$T/out"; die mbsync; }
eq "$(find "$HOME/mail/INBOX" -type f -path '*/cur/*' -o -type f -path '*/new/*' | wc -l)" $n "messages after mbsync"
# One is deleted here, one is new here in a folder of its own.
rm "$(find "$HOME/mail/INBOX" -type f \( -path '*/cur/*' -o -path '*/new/*' \) | sort | head -n 1)"
mkdir -p "$HOME/mail/Saved"/{cur,new,tmp}
sed 's/$/\r/' "$TOP/tests/data/3-forwarded.eml" >"$HOME/mail/Saved/cur/1.a:2,S"
mbsync -c "$HOME/.mbsyncrc" -a >"$T/out" 2>&1 || { cat "$T/out"; die "mbsync, second run"; }
eq "$(count joe)" $((n - 1)) "INBOX after the deletion"
eq "$(mt imap "$IMAP" joe pw-joe count INBOX.Saved 2>/dev/null || mt imap "$IMAP" joe pw-joe count Saved)" 1 "the new folder"

# mutt reads by IMAP.
printf 'set folder="imap://joe:pw-joe@127.0.0.1:%s/"\nset spoolfile="+INBOX"\nset ssl_starttls=no\nset ssl_force_tls=no\nset imap_authenticators="login"\nset mail_check=0\nset sort=date\n' "$IMAP" >"$HOME/.muttrc"
TERM=vt100 timeout 30 script -qec "mutt -F $HOME/.muttrc -e 'push \"<tag-pattern>~A<enter><tag-prefix><set-flag>*<sync-mailbox><quit>\"'" /dev/null </dev/null >"$T/out" 2>&1 || true
[ "$(mt imap "$IMAP" joe pw-joe list | grep -c 'Flagged')" -ge 1 ] || mt imap "$IMAP" joe pw-joe list

# mpop fetches all and leaves nothing.
left=$(count joe)
cat >"$HOME/.mpoprc" <<X
account a
host 127.0.0.1
port $POP3
user joe
passwordeval echo pw-joe
auth user
tls off
delivery maildir $HOME/popped
keep off
X
chmod 600 "$HOME/.mpoprc"
mkdir -p "$HOME/popped"/{cur,new,tmp}
mpop -C "$HOME/.mpoprc" a >"$T/out" 2>&1 || { cat "$T/out"; die mpop; }
eq "$(ls "$HOME/popped/new" | wc -l)" "$left" "messages fetched by mpop"
eq "$(count joe)" 0 "INBOX after mpop"
# curl's IMAP and POP3, with a folder, an upload and a deletion.
curl -sS --url "imap://127.0.0.1:$IMAP/INBOX" -u joe:pw-joe --upload-file "$TOP/tests/data/1-plain.eml" || die "curl APPEND"
eq "$(count joe)" 1 "INBOX after APPEND"
curl -sS --url "imap://127.0.0.1:$IMAP/INBOX;MAILINDEX=1" -u joe:pw-joe >"$T/got" || die "curl FETCH"
has "$(cat "$T/got")" "plain-1@example.test" "what curl fetched"
curl -sS --url "pop3://127.0.0.1:$POP3/1" -u joe:pw-joe >"$T/got2" || die "curl RETR"
cmp "$T/got" "$T/got2" || diff "$T/got" "$T/got2" | head -5
