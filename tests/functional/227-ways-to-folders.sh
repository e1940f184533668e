# shellcheck shell=bash
# Maps and files lead to folders, rules and programs, one way after the other: etc/aliases, etc/domainaliases with ".INBOX" and
# without, .forward; what goes to user.INBOX passes the user's rules by.
. "$(dirname "$0")/../lib/box.sh"
need python3

box_make
box_users john_6381 news
# A program with sanitizers wants more memory than any limit.
[ -z "${VPOST_SAN-}" ] || conf "local_memory = 0"
H=$BOX/home/john_6381
mkdir -p "$H" "$BOX/home/news"; chmod 755 "$BOX/home" "$H" "$BOX/home/news"
rules() { printf ':0\n* ^Subject: spam\n! john_6381.Spam\n' >"$H/.procmailrc"; chmod 644 "$H/.procmailrc"; }
in_box() { [ "$(mt imap "$IMAP" "$1" "pw-$1" count "$2" 2>/dev/null)" = "$3" ]; }
post() { mt send "$SMTP" sender@out.test "$1" --subject "${2:-spam}"; }
echo two.test >>"$BOX/etc/domains"
rules
box_start

# etc/domainaliases: with .INBOX directly into the store, without it the rules run.
echo 'john@two.test: john_6381.INBOX' >"$BOX/etc/domainaliases"
post john@two.test; wait_for 20 in_box john_6381 INBOX 1
echo 'john@two.test: john_6381' >"$BOX/etc/domainaliases"
post john@two.test; wait_for 20 in_box john_6381 INBOX.Spam 1
in_box john_6381 INBOX 1 || die "a message that the rules sorted stands in the inbox too"

# etc/aliases: a folder with its gate, the inbox past the rules, an account with its rules, a program is not for it.
cat >>"$BOX/etc/aliases" <<E
straight: john_6381.INBOX
sorted: john_6381
list: john_6381.List
both: sorted, straight
E
echo john_6381.List >"$H/.forward.List"; chmod 644 "$H/.forward.List"
vnewaliases >/dev/null
post straight@local.test; wait_for 20 in_box john_6381 INBOX 2
post sorted@local.test; wait_for 20 in_box john_6381 INBOX.Spam 2
post list@local.test; wait_for 20 in_box john_6381 INBOX.List 1
post both@local.test; wait_for 20 in_box john_6381 INBOX 3; wait_for 20 in_box john_6381 INBOX.Spam 3

# .forward: a folder, procmail as a program, a gateway program with its argument.
printf 'john_6381.Mine\n' >"$H/.forward"; chmod 644 "$H/.forward"
post john_6381@local.test; wait_for 20 in_box john_6381 INBOX.Mine 1
printf '"|%s/bin/procmail -m %s/rc"\n' "$BUILD" "$H" >"$H/.forward"
printf ':0\n%s/by-procmail\n' "$H" >"$H/rc"; chmod 644 "$H/rc"
post john_6381@local.test; wait_for 20 grep -q '^Subject: spam' "$H/by-procmail"
cat >"$T/mail2news" <<'X'
#!/bin/sh
cat >"$(dirname "$0")/posted.$1"
X
chmod 755 "$T" "$T/mail2news"; chmod 1777 "$T"
printf '"|%s/mail2news local.test"\n' "$T" >"$H/.forward"
post john_6381@local.test news; wait_for 20 grep -q '^Subject: news' "$T/posted.local.test"
# Without the file the rules count again, for the very next message.
rm "$H/.forward"
post john_6381@local.test; wait_for 20 in_box john_6381 INBOX.Spam 4
rm "$H/.procmailrc"
post john_6381@local.test; wait_for 20 in_box john_6381 INBOX 4
