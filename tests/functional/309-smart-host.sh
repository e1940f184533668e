# shellcheck shell=bash
# SMARTHOST: outgoing mail goes there; while it is down mail waits, mailq shows it, and it is delivered later (S4-55).
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
PEER=$((BASE + 26))
setting SMARTHOST "127.0.0.1::$PEER"
box_start
printf 'Subject: first\n\nx\n' | sendmail -f joe@local.test one@far.test two@away.test
wait_for 10 sh -c "[ \$(grep -c '== .* R=smarthost' $BOX/var/log/mainlog) -ge 2 ]"
wait_for 10 on_queue 1
out=$(mailq)
has "$out" "<joe@local.test>" mailq
has "$out" "one@far.test" mailq
has "$out" "two@away.test" mailq
wait_for 10 sh -c 'postqueue -p | grep -q "Connection refused"'
python3 "$TOP/tests/lib/sink.py" "$PEER" "$T/sink" 127.0.0.1=take &
SINK_PID=$!
at_end() { kill $SINK_PID 2>/dev/null; }
wait_port "$PEER"
postqueue -f
wait_for 15 sh -c "[ \"\$(sendmail -bpc)\" = 0 ]"
wait_for 10 grep -q "one@far.test first" "$T/sink"
wait_for 10 grep -q "two@away.test first" "$T/sink"
# Local mail does not go there.
printf 'Subject: here\n\nx\n' | sendmail -f joe@local.test joe@local.test
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 1 ]"
hasnot "$(cat "$T/sink")" "here" "what the host got"
