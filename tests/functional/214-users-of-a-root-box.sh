# shellcheck shell=bash
# A box that root started, with accounts whose homes belong to different users of the system: rules and programs run as the owner of
# the home, with his groups and nobody's else; one user's programs do not hold up another's mail.
NEED_ROOT=1 NEED_NET=1
. "$(dirname "$0")/../lib/box.sh"
need python3

chmod 755 "$T"
box_make
conf "user = daemon"
conf "local_children = 8"
conf "local_processes = 40"
chown -R daemon: "$BOX"
box_users ann bob eve dan
uid_of() { case $1 in ann) echo 12001 ;; bob) echo 12002 ;; eve) echo 12003 ;; dan) echo 12004 ;; esac; }
for u in ann bob eve dan; do
	mkdir -p "$BOX/home/$u"
	chown "$(uid_of $u):$(uid_of $u)" "$BOX/home/$u"
	chmod 755 "$BOX/home/$u"
done
chmod 755 "$BOX" "$BOX/home"
# put USER FILE: a file of the user from standard input
put() { cat >"$BOX/home/$1/$2"; chown "$(uid_of "$1"):$(uid_of "$1")" "$BOX/home/$1/$2"; chmod 644 "$BOX/home/$1/$2"; }
post() { mt send "$SMTP" sender@out.test "$1" --subject "$2"; }
in_box() { [ "$(mt imap "$IMAP" "$1" "pw-$1" count "${3:-INBOX}" 2>/dev/null)" = "$2" ]; }
# What is left of the users' programs goes by number.
at_end() { local p; for p in $(pgrep -u 12003); do kill -KILL "$p" 2>/dev/null || true; done; }
box_start

# A program of .forward, rules, and files: each the owner's.
put ann .forward <<E
\ann
"|/bin/sh -c 'id -u >>$BOX/home/ann/who; id -G >>$BOX/home/ann/who; cat >/dev/null'"
$BOX/home/ann/mbox
E
put bob .procmailrc <<E
:0 c
* ? id -u >>$BOX/home/bob/who
$BOX/home/bob/mbox

:0
* ^Subject: folder
! bob.Work
E
post ann@local.test one
post bob@local.test folder
wait_for 20 in_box ann 1
wait_for 20 in_box bob 1 INBOX.Work
wait_for 20 test -s "$BOX/home/ann/mbox"
wait_for 20 test -s "$BOX/home/ann/who"
wait_for 20 test -s "$BOX/home/bob/who"
eq "$(paste -sd' ' "$BOX/home/ann/who")" "12001 12001" "uid and groups of a program"
eq "$(head -n 1 "$BOX/home/bob/who")" 12002 "uid of rules"
eq "$(stat -c '%u %g' "$BOX/home/ann/mbox" "$BOX/home/bob/mbox" | paste -sd' ')" "12001 12001 12002 12002" "owners of files"

# Nobody writes where he may not.
echo "$BOX/home/ann/mbox" | put eve .forward
A=$(grep -c '^From ' "$BOX/home/ann/mbox")
post eve@local.test stolen
wait_for 20 grep -qE "(==|\*\*) $BOX/home/ann/mbox <eve" "$BOX/var/log/mainlog"
eq "$(grep -c '^From ' "$BOX/home/ann/mbox")" "$A" "messages in another's file"

# A file of somebody else is no file of the user.
echo bob | put eve .forward
chown 12001 "$BOX/home/eve/.forward"
post eve@local.test kept
wait_for 20 in_box eve 1
grep -qh "home/eve/.forward is not used" "$BOX"/var/log/*log || die "no note of the wrong owner"

# Files in a home that is closed to all but its user are read as the user; so are files that are.
closed() { chown -R 12004:12004 "$BOX/home/dan"; chmod 600 "$BOX"/home/dan/.[fp]*; chmod 700 "$BOX/home/dan"; }
echo "ann, \\dan" | put dan .forward; closed
post dan@local.test "from a closed home"
wait_for 20 in_box ann 2
wait_for 20 in_box dan 1
{ echo "ann@local.test, "; head -c 400000 /dev/zero | tr '\0' '#'; } | put dan .forward; closed
post dan@local.test "a long file"
wait_for 20 in_box ann 3
printf '# Exim filter\nif $h_subject: contains "rule" then deliver dan.Rules endif\n' | put dan .forward
echo dan.Gate | put dan .forward.Gate; closed
post dan@local.test "a rule"
wait_for 20 in_box dan 1 INBOX.Rules
post dan.Gate@local.test "through the gate"
wait_for 20 in_box dan 1 INBOX.Gate
post dan.None@local.test "no gate"
wait_for 20 grep -q '\*\* dan.None@local.test' "$BOX/var/log/mainlog"
rm "$BOX/home/dan/.forward"
printf ':0\n! dan.Proc\n' | put dan .procmailrc; closed
post dan@local.test "by rules"
wait_for 20 in_box dan 1 INBOX.Proc
chmod 755 "$BOX/home/dan"
echo ann | put dan .forward; chmod 600 "$BOX/home/dan/.forward"
post dan@local.test "a closed file"
wait_for 20 in_box ann 4
# What another's file cannot be read for, the user's cannot either.
echo 'secret@local.test' | put bob list; chmod 600 "$BOX/home/bob/list"
echo ":include:$BOX/home/bob/list" | put dan .forward; closed
post dan@local.test "another's list"
wait_for 20 grep -q "== dan@local.test .*included file $BOX/home/bob/list" "$BOX/var/log/mainlog"
rm "$BOX/home/dan/.forward"

# A user who keeps busy what he may have: others' mail goes on meanwhile.
rm "$BOX/home/eve/.forward"
put eve .procmailrc <<'E'
:0
| sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done; sleep 60; cat >/dev/null'
E
for i in $(seq 12); do post eve@local.test "busy $i"; done
sleep 1
for i in 1 2 3; do post bob@local.test folder; post ann@local.test one; done
wait_for 20 in_box bob 4 INBOX.Work
wait_for 20 in_box ann 7
N=$(pgrep -u 12003 | wc -l)
[ "$N" -gt 0 ] || die "no program of the busy user runs"
[ "$N" -le 50 ] || die "$N processes of one user, more than may be"
