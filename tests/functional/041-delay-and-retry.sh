# shellcheck shell=bash
# Retry by the configuration's rules, a delay warning, and giving up.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
conf "dns_zone_file = etc/test.zone"
conf "remote_port = $((BASE + 999))"
conf "delay_warning = 2s"
printf 'away.test MX 10 mx.away.test\nmx.away.test A 127.0.0.1\n' >"$BOX/etc/test.zone"
world_is_local
# After eight seconds of failing every second the sender is told that it failed.
sed -i 's/^\*   \*   F,.*/* * F,8s,1s/' "$BOX/etc/exim.conf"
box_start
printf 'Message-ID: <m@x>\nIn-Reply-To: <q@x>\nSubject: waits\n\nx\n' | sendmail -f joe@local.test ann@away.test
wait_for 30 sh -c "python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count | grep -q 2"
mt imap "$IMAP" joe pw-joe fetch 1 >"$T/one"
mt imap "$IMAP" joe pw-joe fetch 2 >"$T/two"
has "$(cat "$T/one")" "Action: delayed" "the first report"
has "$(cat "$T/one")" "The subject of the message is: waits" "the first report"
grep -q "^Subject: Warning: message .* delayed 0 minutes" "$T/one" || die "another subject"
has "$(cat "$T/two")" "Action: failed" "the second report"
for f in one two; do has "$(cat "$T/$f")" "References: <q@x> <m@x>" "report $f"; done
wait_for 20 grep -q 'retry timeout exceeded' "$BOX/var/log/mainlog"
[ "$(grep -c ' == ann@away.test ' "$BOX/var/log/mainlog")" -ge 2 ] || die "it was not tried again"
wait_for 10 sh -c '! mailq | grep -q ann@'
