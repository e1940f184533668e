# shellcheck shell=bash
# sendmail keeps a message that the mail service did not take because it went away: 421 or silence before the end of the
# message.  Where it may have been taken, the caller is told to try again.
. "$(dirname "$0")/../lib/box.sh"

box_make
# serve NAME LINE...: an answer to each line of the client, in turn; "-" closes the connection.
serve() {
	: >"$T/up"
	python3 - "$BOX/var/run/submit.sock" "$T/up" "$@" <<'P' &
import os, socket, sys
path, up, answers = sys.argv[1], sys.argv[2], sys.argv[3:]
if os.path.exists(path):
    os.unlink(path)
s = socket.socket(socket.AF_UNIX)
s.bind(path)
s.listen()
open(up, 'w').write('up')
c = s.accept()[0]
f = c.makefile('rb')
for i, a in enumerate(answers):
    if i > 0:
        line = f.readline()
        if answers[i - 1].startswith('354'):
            while line not in (b'.\r\n', b''):
                line = f.readline()
    if a == '-':
        break
    c.sendall(a.encode() + b'\r\n')
c.close()
os.unlink(path)
P
	SERVER=$!
	wait_for 10 grep -q up "$T/up"
}
queued() { find "$BOX/var/spool/queue" -type f | wc -l; }
TO='a@out.test b@out.test'
try() { # WANT-EXIT WANT-QUEUED WHAT ANSWER...
	local rc=0 want=$1 n=$2 what=$3
	shift 3
	serve "$@"
	# shellcheck disable=SC2086
	printf 'Subject: x\n\ntext\n' | sendmail -f joe@local.test $TO 2>"$T/said" || rc=$?
	wait "$SERVER" || true
	eq "$rc" "$want" "exit code, $what"
	eq "$(queued)" "$n" "messages in the queue, $what"
	[ "$n" = 0 ] || cp "$BOX"/var/spool/queue/* "$T/file"
	rm -f "$BOX"/var/spool/queue/*
}
E="250 mail.local.test"
try 0 1 "421 as greeting" "421 4.3.2 too many"
try 0 1 "no greeting" -
try 0 1 "421 to EHLO" "220 x" "421 4.3.2 going"
try 0 1 "closed at MAIL" "220 x" "$E" -
try 67 1 "one refused, then 421" "220 x" "$E" "250 ok" "550 no" "421 going"
grep -aq b@out.test "$T/file" || die "the recipient that was not asked for is not in the queue"
grep -aq a@out.test "$T/file" && die "the recipient that was refused is in the queue" || true
try 0 1 "closed at DATA" "220 x" "$E" "250 ok" "250 ok" "250 ok" -
try 0 1 "421 to the message" "220 x" "$E" "250 ok" "250 ok" "250 ok" "354 go" "421 4.3.2 going"
# These were decided, or may have been.
try 75 0 "closed behind the message" "220 x" "$E" "250 ok" "250 ok" "250 ok" "354 go" -
try 65 0 "refused" "220 x" "$E" "250 ok" "250 ok" "250 ok" "354 go" "554 no"
try 0 0 "taken, then closed" "220 x" "$E" "250 ok" "250 ok" "250 ok" "354 go" "250 ok" -
try 75 0 "not now" "220 x" "$E" "451 later"

# More than it takes at a time: who was not asked for yet is kept with those whom it had taken.
TO=$(seq -f 'n%g@out.test' 105)
mapfile -t OK < <(yes "250 ok" | head -n 101)
try 0 1 "421 to DATA behind 100 of 105" "220 x" "$E" "${OK[@]}" "452 4.5.3 enough" "421 4.3.2 going"
for i in 1 100 101 105; do grep -aq "n$i@out.test" "$T/file" || die "recipient $i of 105 is not in the queue"; done

# Less than that, too, and what is refused for now only: a caller who is told to try again would do so for all of them.
TO='a@out.test b@out.test c@out.test'
GO=("354 go" "250 taken")
try 0 0 "one at a time" "220 x" "$E" "250 ok" "250 a" "452 4.5.3 enough" "${GO[@]}" "250 ok" "250 b" "250 c" "${GO[@]}" "221 bye"
try 0 1 "the second turn later" "220 x" "$E" "250 ok" "250 a" "452 4.5.3 enough" "${GO[@]}" "451 later"
grep -aq a@out.test "$T/file" && die "who has it is in the queue" || true
for i in b c; do grep -aq $i@out.test "$T/file" || die "$i is not in the queue"; done
try 0 1 "the second turn, closed behind the message" "220 x" "$E" "250 ok" "250 a" "452 4.5.3 enough" "${GO[@]}" "250 ok" "250 b" "250 c" "354 go" -
grep -aq a@out.test "$T/file" && die "who has it is in the queue, second turn" || true
for i in b c; do grep -aq $i@out.test "$T/file" || die "$i is not in the queue, second turn"; done
try 0 1 "one of three not now" "220 x" "$E" "250 ok" "250 a" "451 not now" "250 c" "${GO[@]}" "221 bye"
grep -aq b@out.test "$T/file" || die "who was refused for now is not in the queue"
grep -aq "[ac]@out.test" "$T/file" && die "who has it is in the queue" || true
try 75 0 "nobody now" "220 x" "$E" "250 ok" "451 a" "451 b" "451 c" "221 bye"
has "$(cat "$T/said")" "b@out.test: 451 b"

# A batch ends with a recipient that is refused, and nobody has that message.
rc=0
serve "220 x" "$E" "250 ok" "250 a" "550 5.1.1 no"
printf 'MAIL FROM:<joe@local.test>\nRCPT TO:<a@out.test>\nRCPT TO:<b@out.test>\nDATA\ntext\n.\nQUIT\n' | sendmail -bS >"$T/said" 2>/dev/null || rc=$?
wait "$SERVER" || true
eq "$rc" 2 "exit code of a batch"
eq "$(head -n 1 "$T/said")" "550 5.1.1 no" "the first line of a batch's report"
eq "$(queued)" 0 "messages in the queue, of a batch"
