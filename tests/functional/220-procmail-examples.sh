# shellcheck shell=bash
# What people write into .procmailrc: the uses that the old manual gives examples of, in our words, with the program itself.
# And files, links and programs that mean harm.
. "$(dirname "$0")/../lib/box.sh"

# A home of one's own for each part; `mail SUBJECT [HEADER...]` makes a message, `run` sorts it.
P=$BUILD/bin/procmail
F=$BUILD/bin/formail
home() { H=$T/h$((++HN)); mkdir -p "$H"; chmod 700 "$H"; cd "$H" || exit 1; }
HN=0
mail() {
	local s=$1; shift
	{ echo "From jo@out.test Mon Mar  2 10:11:12 1998"; echo "From: Jo <jo@out.test>"; echo "Message-ID: <$s@out.test>"; echo "Subject: $s"
	for h in "$@"; do echo "$h"; done; echo; echo "text of $s"; } >m
}
run() { rc=0; "$P" -m HOME="$H" LOGNAME=ann SHELL=/bin/sh FORMAIL="$F" SENDMAIL="$H/sendmail" ORGMAIL="$H/org" DEFAULT="$H/default" LOGFILE=log ./rc <m || rc=$?; }
# Programs whose end nobody waits for may still be at it.
holds() { wait_for 20 grep -q "$2" "$1"; }
lacks() { ! grep -q "$2" "$1" 2>/dev/null || die "$1 has '$2'"; }
sender() { printf '#!/bin/sh\n{ echo "to: $*"; cat; } >>"%s/sent"\n' "$H" >sendmail; chmod 755 sendmail; }

# Lists into folders, a copy kept, the rest to DEFAULT.
home
cat >rc <<'X'
:0:
* ^TOtalk
talk
:0 c
* ^Subject:.*copy
copies
X
mail one "To: talk@lists.test"; run; holds talk "text of one"; [ ! -e default ] || die "delivered twice"
mail copy2; run; holds copies "text of copy2"; holds default "text of copy2"

# Forward to people at work, not back to the sender, no loops.
home; sender
cat >rc <<'X'
:0 c
* !^FROM_DAEMON
* !^X-Loop: ann@box\.test
| $FORMAIL -A "X-Loop: ann@box.test" | $SENDMAIL work@else.test
:0
kept
X
mail a; run; holds sent "text of a"; holds sent "X-Loop: ann@box.test"; holds kept "text of a"; rm -f sent
mail b "X-Loop: ann@box.test"; run; sleep 0.3; lacks sent "text of b"; holds kept "text of b"
mail c "Precedence: bulk"; run; sleep 0.3; lacks sent "text of c"

# An answer while away: once for each sender.
home; sender
cat >rc <<'X'
:0 Whc: away.lock
* !^FROM_DAEMON
| $FORMAIL -rD 8192 away.cache
:0 ehc
| ($FORMAIL -rA "Precedence: junk"; echo "I am away") | $SENDMAIL -t
:0
kept
X
mail a; run; holds sent "I am away"; mail b; run; sleep 0.5
[ "$(grep -c 'I am away' sent)" = 1 ] || die "not one answer"
holds sent "To: jo@out.test"; holds sent "Precedence: junk"; holds kept "text of b"

# No message twice.
home
printf ':0 Wh: id.lock\n| $FORMAIL -D 8192 id.cache\n:0\nkept\n' >rc
mail a; run; run; [ "$(grep -c 'text of a' kept)" = 1 ] || die "a duplicate came through"

# Safety copies in a folder of which only the newest stay.
home; mkdir backup
printf ':0 c\nbackup\n:0 ic\n| cd backup && rm -f dummy `ls -t msg.* | sed -e 1,3d`\n:0\nkept\n' >rc
for i in 1 2 3 4 5 6; do mail "$i"; run; sleep 0.2; done
wait_for 20 sh -c 'n=$(ls backup | wc -l); [ "$n" -ge 1 ] && [ "$n" -le 5 ]'
[ "$(grep -c '^text of' kept)" = 6 ] || die "mail is missing"

# By a match, by size, by scores, by a file of names.
home; echo "jo@out.test" >known
cat >rc <<'X'
:0
* ^Subject: to-\/[a-z]+
box.$MATCH
:0
* > 5000
big
:0
* -1^0
* 1^1 ^X-Point:
scored
:0
* ^Subject: known
* ? $FORMAIL -x From: | grep -F -f known
friends
X
mail to-red; run; holds box.red "text of to-red"
mail points "X-Point: 1" "X-Point: 2"; run; holds scored "text of points"
mail known; run; holds friends "text of known"
mail large; seq 3000 >>m; run; holds big "text of large"

# A filter that is not there, or fails, costs nothing.
home
printf ':0 fw\n| /nonexistent/filter\n:0 fw\n| cat >/dev/null; exit 1\n:0 w\n| exit 75\n:0\nkept\n' >rc
mail a; run; [ "$rc" = 0 ] || die "status $rc"; holds kept "text of a"

# Pipes that do not end, output without end, programs that start themselves: each ends, the mail stays.
home
cat >rc <<'X'
TIMEOUT=1
:0 w
| sleep 60
A=`yes`
:0
kept
X
mail a; begin=$SECONDS; run; [ $((SECONDS - begin)) -lt 55 ] || die "took too long"; holds kept "text of a"; holds log "Timeout"
printf 'INCLUDERC=rc\nSWITCHRC=rc\n:0\nkept\n' >rc; mail b; run; holds kept "text of b"
printf ':0 c\n{ INCLUDERC=rc }\n:0\n/dev/null\n' >rc; mail c; timeout 200 "$P" -m ./rc <m || [ $? != 124 ] || die "copies without end"

# A full disk, or a limit: the folder is as before, the message goes on.
home
echo old >kept; printf ':0\nkept\n:0\n/dev/null\n' >rc; mail a
head -c 300000 /dev/zero | tr '\0' x >>m
(ulimit -f 64; trap '' XFSZ; "$P" -m LOGFILE=log ./rc <m) || true
[ "$(cat kept)" = old ] || die "half a message was left"

# Files that others may write are no rules: the mail goes to the last resort.
home
printf ':0\nkept\n' >.procmailrc; chmod 666 .procmailrc; mail a
"$P" HOME="$H" ORGMAIL="$H/org" DEFAULT="$H/default" LOGFILE="$H/log" <m 2>err || true
[ ! -e kept ] || die "a file that all may write was obeyed"
cat log err 2>/dev/null | grep -q "Suspicious rcfile" || die "nothing was said of it"
holds default "text of a"
chmod 600 .procmailrc; "$P" HOME="$H" ORGMAIL="$H/org" DEFAULT="$H/default" LOGFILE="$H/log" <m || true
holds kept "text of a"

# Twenty at a time into one file with a lock, and into a maildir.
home
printf ':0 c:\nkept\n:0\nmd/\n' >rc; mail a; cp m m0
for i in $(seq 20); do "$P" -m LOCKSLEEP=1 ./rc <m0 & done; wait
[ "$(grep -c '^From jo' kept)" = 20 ] || die "messages are mixed"
[ "$(ls md/new | wc -l)" = 20 ] && [ -z "$(ls md/tmp)" ] || die "the maildir is not whole"
[ ! -e kept.lock ] || die "a lock was left"

# lockfile and mailstat.
home
"$BUILD/bin/lockfile" x.lock; rc=0; "$BUILD/bin/lockfile" -1 -r 1 x.lock 2>/dev/null || rc=$?; [ "$rc" = 73 ] || die "lockfile: $rc"
printf 'From a\n Subject: s\n  Folder: box\t\t\t     100\n  Folder: md/new/1.2_3.h\t\t 7\n' >l
"$BUILD/bin/mailstat" -k l >o; holds o "100 *1 box"; holds o "7 *1 md/"
"$BUILD/bin/mailstat" l >/dev/null; [ ! -s l ] && [ -s l.old ] || die "the log was not put aside"
