# shellcheck shell=bash
# One process that receives and delivers by itself: what goes wrong on its way costs no message, and no sender remains untold.
. "$(dirname "$0")/../lib/box.sh"
SHIM=$BUILD/tests/lib/faultshim.so
[ -e "$SHIM" ] || die "$SHIM is not built"
[ -z "${VPOST_SAN-}" ] || skip "the shim and the sanitizers exclude each other"

box_make
me=$(id -un)
S=$T/spool L=$T/spool/log/mainlog
export FAULT_FILE=$T/faults
: >"$FAULT_FILE"

# config OPTION...: deliveries to a program that counts what it gets; no@ fails.
config() {
	{
		printf '%s\n' "primary_hostname = mail.local.test" "spool_directory = $S" "exim_user = $me" "trusted_users = $me" \
		    "log_file_path = $S/log/%slog" "keep_environment =" "host_lookup =" "acl_smtp_rcpt = accept" "$@"
		printf '%s\n' "begin routers" "f:" " driver = redirect" " local_parts = no" " allow_fail" " data = :fail: no such user" \
		    "r:" " driver = accept" " transport = t" "begin transports" "t:" " driver = appendfile" " file = $T/mbox" " user = $me" \
		    "begin retry" "* * F,4d,1h"
	} >"$T/c.conf"
}
one() { sendmail -C "$T/c.conf" "$@"; }
# Under the shim, with these rules.
broken() {
	local rc=0

	printf '%s\n' "$1" >"$FAULT_FILE"
	shift
	LD_PRELOAD=$SHIM one "$@" || rc=$?
	: >"$FAULT_FILE"
	return $rc
}
fresh() { rm -rf "$S" "$T/mbox"; }

# The disk is full where the message is made ready for its delivery: it waits, and is then delivered whole.
fresh
config
seq 1 20000 | one -odq x@y.test
broken 'write /# sendmail 28' -q >"$T/out" 2>&1 || true
[ ! -e "$T/mbox" ] || die "delivered without its content: $(wc "$T/mbox")"
has "$(cat "$L")" "== x@y.test R=r T=t defer (-1): make a temporary file of the message: No space left on device" mainlog
eq "$(one -bpc)" 1 "the message is kept"
one -qff
eq "$(grep -c '^[0-9]*$' "$T/mbox")" 20002 "lines of the message, with the two empty ones"
eq "$(one -bpc)" 0 "it is gone when it was delivered"

# A report that cannot be kept: the message stays, and its sender is told by the next run.
fresh
echo x | one -odq -f x@y.test no@y.test
broken 'write -D. sendmail 28' -qff >"$T/out" 2>&1 || true
eq "$(one -bpc)" 1 "a message whose sender could not be told: $(cat "$L")"
has "$(cat "$L")" "Process failed (1) when writing error message to x@y.test" mainlog
hasnot "$(cat "$L")" "Completed" mainlog
one -qff
eq "$(one -bpc)" 0 "after the run that could"
grep -q 'X-Failed-Recipients: no@y.test' "$T/mbox" || die "no report: $(cat "$T/mbox" "$L")"

# The same where the postmaster gives up: -Mg.
fresh
echo x | one -odq -f x@y.test later@y.test
id=$(one -bp | awk 'NR == 1 { print $3 }')
broken 'write -D. sendmail 28' -Mg "$id" >"$T/out" 2>&1 && die "-Mg that told nobody"
eq "$(one -bpc)" 1 "-Mg while the report cannot be kept"
one -Mg "$id"
eq "$(one -bpc)" 0 "-Mg"
grep -q 'X-Failed-Recipients: later@y.test' "$T/mbox" || die "no report of -Mg: $(cat "$T/mbox" "$L")"

# -oee leaves the telling to a report; without one the caller has to be told.
fresh
rc=0
echo x | broken 'write -D. sendmail 28' -odi -oee 'a b@y.test' >"$T/out" 2>&1 || rc=$?
[ "$rc" != 0 ] || die "-oee: nobody was told"

# Standard input that cannot be read to its end: half a message is none.
fresh
rc=0
one -odq x@y.test <"$T" >"$T/out" 2>&1 || rc=$?
eq "$rc" 1 "status where standard input fails"
has "$(cat "$T/out")" "exim: Input read error (Is a directory) - message abandoned" "what the caller hears of it"
[ -z "$(find "$S/input" -type f 2>/dev/null)" ] || die "taken all the same"

# No room in the spool: the caller hears of it each way, and nothing of the message is left there.
fresh
rc=0
echo x | broken 'write -H. sendmail 28' -odq x@y.test >"$T/out" 2>&1 || rc=$?
eq "$rc" 1 "status without room: $(cat "$T/out")"
has "$(cat "$T/out")" "No space left on device" "what the caller hears of no room"
eq "$(find "$S/input" -type f)" "" "files of what was not taken"
printf 'EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<x@y.test>\r\nDATA\r\nSubject: s\r\n\r\nx\r\n.\r\nQUIT\r\n' >"$T/smtp"
broken 'write -H. sendmail 28' -bs <"$T/smtp" >"$T/out" 2>&1 || true
grep -q '^354' "$T/out" || die "no dialogue: $(cat "$T/out")"
grep -q '^45[12]' "$T/out" || die "-bs without room: $(cat "$T/out")"
rc=0
broken 'write -H. sendmail 28' -bS <"$T/smtp" >"$T/out" 2>&1 || rc=$?
eq "$rc" 2 "status of a batch without room"
has "$(cat "$T/out")" "451 " "what the caller of a batch hears"
eq "$(find "$S/input" -type f)" "" "files of what was not taken by SMTP"

# One process at a time works on a message: the others leave it alone, and say so.
fresh
echo x | one -odq x@y.test
id=$(one -bp | awk 'NR == 1 { print $3 }')
has "$(one -Mar "$id" 'a b@y.test' || true)" "bad address a b@y.test: " "an address that is none, for -Mar"
has "$(one -Mar "$id" ok@y.test $'c@y.test\nforged' || true)" "bad address " "an address with a line of its own"
has "$(one -Mes "$id" here || true)" "bad address here: domain missing" "a sender without a domain"
hasnot "$(cat "$S/input/$id-H")" "ok@y.test" "recipients of an order that failed"
python3 - "$S/input/$id-D" "$T/held" <<'P' &
import fcntl, os, sys, time
f = open(sys.argv[1], 'r+b')
fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 19, 0, 0)
open(sys.argv[2], 'w').close()
while os.path.exists(sys.argv[2]):
    time.sleep(0.05)
P
wait_for 10 test -e "$T/held"
one -q
[ ! -e "$T/mbox" ] || die "a queue run delivered what another process has"
has "$(cat "$L")" "$id Spool file for $id is locked (another process is handling this message)" mainlog
has "$(one -Mar "$id" more@y.test || true)" "Message $id is locked" "-Mar of a message that is worked on"
has "$(one -Mrm "$id" || true)" "Message $id is locked" "-Mrm of a message that is worked on"
has "$(one -Mvh "$id")" "x@y.test" "-Mvh of a message that is worked on"
rm "$T/held"
wait
has "$(one -Mar "$id" more@y.test)" "has been modified" -Mar
one -q
eq "$(grep -c '^x$' "$T/mbox")" 2 "deliveries"

# Who has a message is a tree in the spool: also one of Exim's, which does not lean to one side.
fresh
echo x | one -odq a@y.test b@y.test c@y.test d@y.test
f=$(find "$S/input" -name '*-H')
python3 - "$f" <<'P'
import sys
t = open(sys.argv[1]).read()
open(sys.argv[1], 'w').write(t.replace('\nXX\n', '\nYY b@y.test\nNN a@y.test\nNN c@y.test\n', 1))
P
eq "$(one -bp | awk '/@y/ && NF < 3 { print $1, $2 }' | tr '\n' ',')" "D a@y.test,D b@y.test,D c@y.test,d@y.test ," "who has it"
one -q
eq "$(grep -c '=> d@y.test\|=> d <d@y.test>\|=> .* <d@y.test>' "$L")" 1 "the one who did not have it: $(cat "$L")"
eq "$(grep -c '^x$' "$T/mbox")" 1 "deliveries to who did not have it"

# Stopped after the first of two deliveries, or without room for the header at the end: who has it does not get it again.
fresh
config
sed -i "s/^r:/p:\n driver = accept\n local_parts = later\n transport = p\nr:/;s/^begin retry/p:\n driver = pipe\n command = \/bin\/sh $(
	sed 's,/,\\/,g' <<<"$T")\/later\n user = $me\nbegin retry/" "$T/c.conf"
copies() { grep -c '^x$' "$T/mbox" || true; }
printf 'kill -9 $(cat %s/pid)\n' "$T" >"$T/later"
echo x | one -odq x@y.test later@y.test
(echo $BASHPID >"$T/pid"; exec sendmail -C "$T/c.conf" -q) 2>/dev/null || true
eq "$(copies)" 1 "deliveries before it was stopped"
eq "$(one -bp | awk '/@y/ && NF < 3 { print $1, $2 }' | tr '\n' ',')" "D x@y.test,later@y.test ," "who has it, after the kill"
echo 'exit 75' >"$T/later"
broken 'write -H. sendmail 28' -qff >"$T/out" 2>&1 || true
echo y | one -odq x@y.test later@y.test
broken 'write -H. sendmail 28' -qff >"$T/out" 2>&1 || true
one -qff
eq "$(copies)" 1 "deliveries of a message that was stopped"
eq "$(grep -c '^y$' "$T/mbox")" 1 "deliveries of a message whose header could not be written"
eq "$(find "$S/input" -name '*-J')" "" "journals"
echo 'exit 0' >"$T/later"
one -qff
eq "$(one -bpc)" 0 "in the end"

# move_frozen_messages, stopped before each of its steps: the message is whole in one of the two places, and gets to the other in the end.
places() { find "$S" -name "$id-[HD]" ! -path "*/$1/*" -printf '%P ' | tr ' ' '\n' | sort | tr '\n' ' '; }
for step in "unlink Finput" "link Finput" "rename Fmsglog" "rename Finput" "unlink /input/ID-D"; do
	fresh
	config "move_frozen_messages"
	echo "text of $step" | one -odq -f "<>" no@y.test
	id=$(one -bp | awk 'NR == 1 { print $3 }')
	broken "${step/ID/$id} sendmail kill" -q >"$T/out" 2>&1 && die "not stopped: $step"
	case $step in
	"unlink /input/ID-D")
		eq "$(places input)" "Finput/$id-D Finput/$id-H " "aside, stopped at $step"
		eq "$(one -bp)" "" "the queue, stopped at $step"
		;;
	*)
		eq "$(places Finput)" "input/$id-D input/$id-H " "in the queue, stopped at $step"
		eq "$(one -Mvb "$id" | tail -n 1)" "text of $step" "its body, stopped at $step"
		# It is frozen, and goes when it is looked at again.
		one -qff
		eq "$(places none)" "Finput/$id-D Finput/$id-H " "files in the end, stopped at $step"
		;;
	esac
	eq "$(sed 1d "$S/Finput/$id-D")" "text of $step" "the body aside, stopped at $step"
	[ -e "$S/Fmsglog/$id" ] && [ ! -e "$S/msglog/$id" ] || die "its own log, stopped at $step"
done

# The same where -MG puts it into another queue.
for step in "unlink other" "link other" "rename other/msglog" "rename other/input" "unlink spool/input/ID-D"; do
	fresh
	config
	echo "text of $step" | one -odq no@y.test
	id=$(one -bp | awk 'NR == 1 { print $3 }')
	broken "${step/ID/$id} sendmail kill" -MG other "$id" >"$T/out" 2>&1 && die "not stopped: $step"
	[ "$step" = "unlink spool/input/ID-D" ] && want=01 || want=10
	eq "$(one -bpc)$(one -qGother -bpc)" $want "queues, stopped at $step"
	[ $want = 01 ] || one -MG other "$id" >/dev/null
	eq "$(one -bpc)$(one -qGother -bpc)" 01 "queues in the end, stopped at $step"
	eq "$(sed 1d "$S/other/input/$id-D")" "text of $step" "the body, stopped at $step"
done

# A subject forges no line of the log.
fresh
config "log_selector = +subject"
printf 'Subject: a "b"\n c\n\t2026-01-01 00:00:00 1x <= forged\n\nx\n' | one -odq x@y.test
has "$(cat "$L")" ' T="a \"b\"\n c\n	2026-01-01 00:00:00 1x <= forged"' "the subject in the log"
eq "$(wc -l <"$L")" 1 "lines of the log"
