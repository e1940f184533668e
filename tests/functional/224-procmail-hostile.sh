# shellcheck shell=bash
# Rules, programs, folders and messages that mean harm, or meet a full disk: each run ends in time, nobody else's mail
# waits or is touched, and the message is somewhere.  The old program's memory holes, too: run it with a build under sanitizers.
. "$(dirname "$0")/../lib/box.sh"
need python3

P=$BUILD/bin/procmail
F=$BUILD/bin/formail
HN=0
home() { H=$T/h$((++HN)); mkdir -p "$H"; chmod 700 "$H"; cd "$H" || exit 1; printf 'From jo@out.test Mon Mar  2 10:11:12 1998\nFrom: jo@out.test\nSubject: s\n\nthe text\n' >m; }
# run SECONDS: the rules over "m"; dies where they take much longer (this machine may be busy) or the message is nowhere
run() {
	rc=0
	timeout -k 1 $(($1 * 3)) "$P" HOME="$H" LOGNAME=ann SHELL=/bin/sh ORGMAIL="$H/org" DEFAULT="$H/default" LOGFILE="$H/log" TIMEOUT=2 LOCKSLEEP=1 ./rc <m 2>err || rc=$?
	[ "$rc" != 124 ] && [ "$rc" != 137 ] || die "case $HN: it did not end: $(tail -n 3 log)"
	[ "$rc" -lt 128 ] || die "case $HN: ended by signal $((rc - 128))"
}
kept() { grep -q 'the text' default 2>/dev/null || [ "$rc" = 75 ] || [ "$rc" = 73 ] || die "case $HN: the message is nowhere (status $rc): $(tail -n 5 log)"; }
rules() { cat >rc; }
# memory KB: a limit of addresses, of which sanitizers need more than there is
memory() { [ -n "${VPOST_SAN-}" ] || ulimit -v "$1"; }

# Files in themselves, switches in circles, blocks and copies without end.
home; printf 'INCLUDERC=rc\n' | rules; run 20; kept
home; printf 'SWITCHRC=rc2\n' | rules; printf 'SWITCHRC=rc\n' >rc2; run 20; kept
home; printf ':0 c\n{ INCLUDERC=rc }\nINCLUDERC=rc\n' | rules; run 40; kept
home; { for _ in $(seq 5000); do printf ':0\n{\n'; done; } | rules; run 20; kept
home; { printf 'A=x\n'; for _ in $(seq 60); do printf 'LINEBUF=1000000000\nA=$A$A$A$A\n'; done; } | rules; (memory 4000000; run 20); kept
# Programs that never end, write without end, start themselves, or leave children that hold everything open.
home; printf 'A=`yes`\n:0 fw\n| yes\n:0 w\n| cat /dev/zero\n' | rules; (memory 6000000; run 60); kept
home; printf ':0 fw\n| (trap "" TERM INT HUP; sleep 100)\n:0 w\n| (sleep 100 & sleep 100)\n' | rules; run 60; kept
home; printf 'A=`sleep 100 & echo x`\n:0\n* ? sleep 100 & sleep 1\ndefault\n' | rules; run 30; kept
home; printf ':0 w\n| :(){ :|:\\& };:\n' | rules
(ulimit -u $(($(ps -u "$(id -u)" --no-headers -L | wc -l) + 60)); run 30); kept
# 1 GB of output is cut, not held.
home; printf ':0 fw\n| head -c 1100000000 /dev/zero\n' | rules; (memory 5000000; run 60); kept
# Expressions that would keep a backtracker busy for ever, on text that nearly matches.
home; python3 - <<'X'
open('m', 'a').write('a' * 200000 + 'b\n')
e = ['(a+)+$', '(a|aa)+$', '(a*)*c', '((a*)*)*$', '(.*)*(.*)*(.*)*c', '(a?)(a?)(a?)(a?)(a?)(a?)(a?)(a?)(a?)(a?)aaaaaaaaaac', '(x+x+)+y', '^(([a-z])+.)+[A-Z]([a-z])+$', '()\\/(a+)+c', '\\/(a|b|ab)*c', '(' * 400 + 'a' + ')' * 400, '(a|' * 300 + 'b' + ')' * 300, 'a+' * 300 + 'c']
open('rc', 'w').write('LINEBUF=100000\n' + ''.join(':0 B\n* ^%s\nbox\n:0 B\n* 1^.5 %s\nbox\n' % (x, x) for x in e if x) )
X
run 60
[ -e default ] || [ -e box ] || die "nowhere"

# Links: a folder, a lock and a log that point elsewhere are the user's own risk, never more than his rights.
home; ln -s /etc/passwd box; ln -s /etc/shadow box.lock; ln -s /nonexistent/x log; printf 'LOCKTIMEOUT=1\nSUSPEND=1\n:0:\nbox\n:0\n/etc/procmail-test/x\n' | rules
before=$(stat -c '%Y %s' /etc/passwd); sleep 2; run 60; eq "$(stat -c '%Y %s' /etc/passwd)" "$before" "/etc/passwd"; kept
home; ln -s default.lock default; printf '\n' | rules; run 30; [ "$rc" != 0 ] || grep -qr 'the text' . || die "lost by a link"
# A lock that others take and leave while we want it; a stale one; one that is a folder.
home; printf 'LOCKTIMEOUT=2\nSUSPEND=1\n:0:\ndefault\n' | rules
(for _ in $(seq 40); do ln -f m default.lock 2>/dev/null; sleep 0.02; rm -f default.lock; sleep 0.02; done) & PIDS="$PIDS $!"
for _ in 1 2 3 4 5 6; do (run 60) & done; wait; eq "$(grep -c 'the text' default)" 6 "messages beside a lock that comes and goes"; eq "$(grep -c '^From jo' default)" 6 "their beginnings"
home; : >default.lock; touch -d '2 days ago' default.lock; printf 'LOCKTIMEOUT=1\nSUSPEND=1\n:0:\ndefault\n' | rules; run 30; kept; [ ! -e default.lock ] || die "the stale lock is there"

# Disk full: a small file system, or a limit on files.  The folder is whole, the message goes on.
home; printf 'old\n' >kept; printf ':0\nkept\n:0\nmd/\n:0\nmh/.\n' | rules; head -c 400000 /dev/zero | tr '\0' x >>m; echo >>m
(ulimit -f 64; run 30; [ "$rc" = 73 ] || die "status $rc") || die "with a limit"
eq "$(cat kept)" old "the folder"; eq "$(find md mh -type f 2>/dev/null | wc -l)" 0 "pieces in folders"
rc=0; (ulimit -f 64; "$P" -t HOME="$H" ORGMAIL="$H/org" DEFAULT="$H/default" ./rc <m 2>err) || rc=$?; eq "$rc" 75 "status with -t"; [ ! -s default ] || die "half a message in DEFAULT"
if unshare -Urm true 2>/dev/null; then
	mkdir "$T/small"
	unshare -Urm bash -c 'mount -t tmpfs -o size=64k tmpfs "$1/small" && cd "$1/small" && cp "$2/m" "$2/rc" "$1" && echo old >kept &&
	    { "$3" -t HOME="$PWD" MAILDIR="$PWD" ORGMAIL="$PWD/org" DEFAULT="$PWD/default" "$1/rc" <"$1/m"; echo $? >"$1/status"; cat kept >"$1/left"; find . -type f -size +0 | sort | tr "\n" " " >"$1/files"; }' x "$T" "$H" "$P" 2>"$T/err" || die "small: $(cat "$T/err")"
	eq "$(cat "$T/status")" 75 "status on a full disk"; eq "$(cat "$T/left")" old "the folder on a full disk"; eq "$(cat "$T/files")" "./kept " "what is there"
	grep -q 'No space left' "$T/err" || die "nothing said: $(cat "$T/err")"
fi
# Signals: the message is given back, never half delivered.
for s in TERM:75 HUP:73 INT:73; do
	home; printf 'TIMEOUT=30\n:0 w\n| echo $PPID >pid; sleep 20\n' | rules
	(rc=0; "$P" HOME="$H" SHELL=/bin/sh ORGMAIL="$H/org" DEFAULT="$H/default" ./rc <m 2>err || rc=$?; echo $rc >status) & PIDS="$PIDS $!"
	for _ in $(seq 300); do [ -s pid ] && break; sleep 0.1; done; kill "-${s%:*}" "$(cat pid)"
	for _ in $(seq 300); do [ -s status ] && break; sleep 0.1; done; eq "$(cat status)" "${s#*:}" "status by ${s%:*}"; [ ! -e default ] || die "delivered and given back"
	grep -q 'Terminating prematurely' err || die "nothing said"
done

# Addresses and fields at which the old formail wrote where it should not: it ends, with an answer or without.
home
n=0
fields='From: "abc
From: "abc\
From: <a@b,
From: (abc\
From: a@b (x
From: "
From: \
From: <
From: ((((((((
From: a"b"c"d
From: "\\"
From: <<<a@b>>>
From: ,;,:,
From: a@b,
 "
Reply-To: "x" <
Return-Path: <"\'
while IFS= read -r f; do
	for end in '\n\nb\n' '\n' ''; do
		for o in -r -rt -rk '-rtx To:' '-x From:' '-czx From:' '-rD 100 cache'; do
			n=$((n + 1)); rc=0
			# shellcheck disable=SC2086 # options are words
			printf "%s$end" "$f" | timeout 30 "$F" $o >out 2>err || rc=$?
			[ "$rc" -lt 124 ] || die "formail $o ended with $rc on $f: $(cat err)"
			! grep -q 'AddressSanitizer\|runtime error' err || die "formail $o on $f: $(cat err)"
		done
	done
done <<X
$fields
X
# Long lines, fields and names; NULs; a message of nothing but a header; caches of odd sizes and damaged ones.
python3 - <<'X'
import os
os.makedirs('odd')
o = {'long': b'Subject: ' + b'x' * 300000 + b'\n\nb\n', 'fold': b'To: a@b' + b',\n c@d' * 50000 + b'\n\nb\n', 'name': b'X' * 100000 + b': y\n\nb\n', 'nul': b'From: a\0b@c\n\0: x\n\nb\0\n',
     'fields': b'A: b\n' * 50000 + b'\n', 'open': b'From: ' + b'(' * 100000 + b'\n\nb', 'quote': b'From: "' + b'\\' * 100001 + b'\n', 'from': b'From ' + b'>From ' * 20000 + b'\n\nb', 'bin': bytes(range(256)) * 400,
     'clen': b'Content-Length: 99999999999999999999999\n\nb\n', 'neg': b'Content-Length: -5\n\nFrom b\n'}
for k, v in o.items():
    open('odd/' + k, 'wb').write(v)
open('cache', 'wb').write(os.urandom(300))
X
for m in odd/*; do
	for o in '' -r -rtk '-I A:' '-i To:' '-U A:' '-R A: B:' '-x To:' '-X ' -z '-D 50 cache' '-D 1 cache2' '-b -ds cat' '-Bs' '-l x'; do
		rc=0
		# shellcheck disable=SC2086
		timeout 60 "$F" $o <"$m" >out 2>err || rc=$?
		[ "$rc" -lt 124 ] || die "formail $o ended with $rc on $m"
		! grep -q 'AddressSanitizer\|runtime error' err || die "formail $o on $m: $(cat err)"
	done
	cp "$m" m; printf ':0 fw\n| %s -I "X-A: b"\n:0 c:\nbox\n:0\nmd/\n' "$F" | rules; run 20
	! grep -q 'AddressSanitizer\|runtime error' err || die "procmail on $m: $(cat err)"
done
# Rules that are no rules.
for r in odd/*; do cp "$r" rc; printf 'From a@b Mon Mar  2 10:11:12 1998\n\nthe text\n' >m; rm -f log; run 20; [ "$rc" != 0 ] || grep -aq 'Folder: .' log || die "case $HN: $r: nowhere"; done

# In a box: one user's rules burn and fork; the other's mail comes at once, and in the end his own is there, too.
box_make
box_users ann bob
mkdir -p "$BOX/home/ann"; chmod 755 "$BOX/home" "$BOX/home/ann"
printf 'TIMEOUT=3\nA=`yes`\n:0 fw\n| yes\n:0 w\n| (while :; do :; done)\n:0\n! ann.INBOX\n' >"$BOX/home/ann/.procmailrc"; chmod 644 "$BOX/home/ann/.procmailrc"
count() { mt imap "$IMAP" "$1" "pw-$1" count INBOX 2>/dev/null || echo 0; }
box_start
printf 'From: s@out.test\nSubject: s\n\nx\n' >"$T/m.eml"
for _ in 1 2 3; do mt send "$SMTP" s@out.test ann@local.test --file "$T/m.eml"; done
begin=$SECONDS
mt send "$SMTP" s@out.test bob@local.test --file "$T/m.eml"
wait_for 15 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP bob pw-bob count INBOX 2>/dev/null)\" = 1 ]"
# One after the other they take 27 seconds at least.
[ $((SECONDS - begin)) -lt 25 ] || die "bob waited for ann's rules"
wait_for 90 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP ann pw-ann count INBOX 2>/dev/null)\" = 3 ]"
exit 0
