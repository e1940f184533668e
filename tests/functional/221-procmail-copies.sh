# shellcheck shell=bash
# Copies that a .procmailrc sends on ("! other") arrive once, though the daemon that makes them is killed again and
# again and the rules run anew for each message that was not done.
. "$(dirname "$0")/../lib/box.sh"
need python3
MESSAGES=${COPIES:-60}

box_make
box_users ann bob
mkdir -p "$BOX/home/ann" "$BOX/home/bob"; chmod 755 "$BOX/home" "$BOX/home/ann" "$BOX/home/bob"
printf ':0 c\n! bob@local.test\n\n:0 c\n! bob@local.test\n\n:0\n! ann.INBOX\n' >"$BOX/home/ann/.procmailrc"
chmod 644 "$BOX/home/ann/.procmailrc"
count() { mt imap "$IMAP" "$1" "pw-$1" count INBOX 2>/dev/null || echo 0; }
box_start

(
	while [ ! -e "$T/stop" ]; do
		sleep "0.$((RANDOM % 5 + 2))"
		kill -KILL "$(daemon_pid vqueued 2>/dev/null)" 2>/dev/null || true
	done
) &
KILLER=$!
PIDS="$PIDS $KILLER"
for i in $(seq "$MESSAGES"); do
	printf 'From: Sender <sender@out.test>\nSubject: number %s\n\ntext\n' "$i" >"$T/m.eml"
	mt send "$SMTP" sender@out.test ann@local.test --file "$T/m.eml"
done
: >"$T/stop"
wait "$KILLER" || true
all_there() { [ "$(count ann)" -ge "$MESSAGES" ] && [ "$(count bob)" -ge $((2 * MESSAGES)) ]; }
wait_for 60 all_there
wait_for 60 sh -c '[ -z "$(ls "$VPOST_BOX/var/spool/queue" 2>/dev/null)" ]'
sleep 1
eq "$(count ann)" "$MESSAGES" "messages in ann's inbox"
# Two recipes asked for a copy each.
eq "$(count bob)" $((2 * MESSAGES)) "copies in bob's inbox"
eq "$(grep -c ' => bob' "$BOX/var/log/mainlog" || true)" "$(grep ' => bob' "$BOX/var/log/mainlog" | cut -d' ' -f3 | sort -u | wc -l)" "deliveries of a copy"
