# shellcheck shell=bash
# "vacation" of a filter on a box that runs: one reply to a sender in seven days, its text, subject and log, the message returned, the
# file "once"; to nobody who writes to a list or is a program; and one reply only however often the daemon that makes it is killed.
. "$(dirname "$0")/../lib/box.sh"
need python3

box_make
box_users bob ann eve
H=$BOX/home/bob
for u in bob ann eve; do mkdir -p "$BOX/home/$u"; chmod 755 "$BOX/home/$u"; done
chmod 755 "$BOX/home"
LOG=$BOX/var/log/mainlog
put() { cat >"$H/.forward"; chmod 644 "$H/.forward"; }
count() { mt imap "$IMAP" "$1" "pw-$1" count INBOX 2>/dev/null || echo 0; }
in_box() { [ "$(count "$1")" = "$2" ]; }
N=0
# post FROM HEADER...: a message to bob
post() {
	local from=$1; shift
	N=$((N + 1))
	{
		echo "From: $from"; echo "To: bob@local.test"; echo "Subject: number $N"; echo "Message-ID: <m$N@local.test>"
		for h in "$@"; do echo "$h"; done
		echo; echo "text of $N"
	} >"$T/m.eml"
	mt send "$SMTP" "$from" bob@local.test --file "$T/m.eml"
	wait_for 20 in_box bob "$N"
}
box_start

# All defaults: files in the home, seven days, the subject.
put <<'X'
# Exim filter
if personal then vacation endif
X
# shellcheck disable=SC2016
printf 'I am away.\nBack soon, $h_from:.\n' >"$H/.vacation.msg"
chmod 644 "$H/.vacation.msg"
post ann@local.test
wait_for 20 in_box ann 1
mt imap "$IMAP" ann pw-ann fetch 1 >"$T/r"
for want in 'Subject: On vacation' 'To: ann@local.test' 'Auto-Submitted: auto-replied' 'In-Reply-To: <m1@local.test>' \
    'References: <m1@local.test>' 'From: bob@local.test' 'I am away.' 'Back soon, ann@local.test.'; do
	has "$(tr -d '\r' <"$T/r")" "$want" "the reply"
done
[ -s "$H/.vacation" ] || die "no file of those who had a reply"
wait_for 20 grep -q "To: ann@local.test" "$H/.vacation.log"
post ann@local.test
post eve@local.test
wait_for 20 in_box eve 1
wait_for 10 grep -q "previously sent to ann@local.test" "$H/.vacation.log"
eq "$(count ann)" 1 "replies within seven days"
# Not to lists, programs and bounces, nor to what is not to him.
post ann@local.test "List-Id: <some.list>"
post eve@local.test "Auto-Submitted: auto-generated"
post eve@local.test "Precedence: bulk"
post listmaster-request@local.test
# older DAYS: as if all replies were sent so long ago
older() {
	python3 - "$H/.vacation" "$1" <<'X'
import os, struct, sys, time
path, days = sys.argv[1], float(sys.argv[2])
data, now, found = bytearray(open(path, 'rb').read()), int(time.time()), 0
for i in range(len(data) - 7):
    t, = struct.unpack_from('<q', data, i)
    if now - 40 * 86400 < t <= now:
        struct.pack_into('<q', data, i, t - int(days * 86400))
        found += 1
assert found == 2, found
with open(path + '.new', 'wb') as f:
    f.write(data)
os.rename(path + '.new', path)
X
}
older 6.9
post ann@local.test
sleep 1
eq "$(count ann)" 1 "replies before seven days are over"
older 0.2
post ann@local.test
wait_for 20 in_box ann 2
post ann@local.test
sleep 1
eq "$(count ann)" 2 "replies in the second seven days"
eq "$(count eve)" 1 "replies to others"

# Every word of the command.
put <<'X'
# Exim filter
if personal then
  mail to $reply_address cc eve@local.test from "Bob <bob@local.test>" subject "Re: $h_subject:"
    extra_headers "X-Away: yes" text "Dear $sender_address,\n" expand file $home/note return message
    log $home/log once $home/once once_repeat 1h
  finish
endif
X
# shellcheck disable=SC2016
printf 'about $message_exim_id "$h_subject:"\n' >"$H/note"
chmod 644 "$H/note"
E=$(count eve)
post ann@local.test "Reply-To: ann@local.test (Ann)"
wait_for 20 in_box ann 3
wait_for 20 in_box eve $((E + 1))
mt imap "$IMAP" ann pw-ann fetch 3 >"$T/r"
for want in "Subject: Re: number $N" 'From: Bob <bob@local.test>' 'Cc: eve@local.test' 'X-Away: yes' 'Dear ann@local.test,' \
    "\"number $N\"" "text of $N" 'Reply-To: ann@local.test (Ann)'; do
	has "$(tr -d '\r' <"$T/r")" "$want" "the reply with all words"
done
wait_for 20 grep -q "Subject: Re: number $N" "$H/log"
eq "$(grep -c ' <= <> ' "$LOG")" 4 "replies in the main log"

# One reply a message, however often vqueued dies; those before are over, so that the new filter is not for them.
wait_for 20 sh -c '[ "$(grep -c " <= " "$1")" = "$(grep -c Completed "$1")" ]' x "$LOG"
put <<'X'
# Exim filter
unseen mail to ann@local.test subject "got $h_subject:" text "x"
unseen mail to ann@local.test subject "again $h_subject:" text "x"
X
A=$(count ann)
(
	while [ ! -e "$T/stop" ]; do
		sleep "0.$((RANDOM % 4 + 1))"
		kill -KILL "$(daemon_pid vqueued 2>/dev/null)" 2>/dev/null || true
	done
) &
KILLER=$!
PIDS="$PIDS $KILLER"
MORE=${REPLIES:-50}
for i in $(seq "$MORE"); do
	printf 'From: eve@local.test\nTo: bob@local.test\nSubject: reply %s\n\nx\n' "$i" >"$T/m.eml"
	mt send "$SMTP" eve@local.test bob@local.test --file "$T/m.eml"
done
sleep 3
: >"$T/stop"
wait "$KILLER" || true
wait_for 90 in_box bob $((N + MORE))
all_there() { [ "$(count ann)" -ge $((A + 2 * MORE)) ]; }
wait_for 60 all_there
wait_for 60 sh -c '[ -z "$(ls "$VPOST_BOX/var/spool/queue" 2>/dev/null)" ]'
sleep 1
eq "$(count ann)" $((A + 2 * MORE)) "replies after kills"
