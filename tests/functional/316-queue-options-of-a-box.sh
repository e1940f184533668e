# shellcheck shell=bash
# What a configuration asks of the queue holds in a running box: the system filter with its deliveries and changes of the header,
# reports in the administrator's words and to others too, domains that wait, frozen messages, programs in expansions.
. "$(dirname "$0")/../lib/box.sh"
need python3
box_make
box_users joe ann
PEER=$((BASE + 26))
python3 - "$BOX/etc/exim.conf" "$T" "$PEER" <<'X'
import sys
path, t, peer = sys.argv[1:]
s = open(path).read()
s = f"""system_filter = {t}/system.filter
system_filter_file_transport = sys_file
system_filter_pipe_transport = sys_pipe
bounce_message_file = {t}/bounce.texts
dsn_from = Postmaster <postmaster@local.test>
errors_reply_to = helpdesk@local.test
errors_copy = joe@local.test ann@local.test
freeze_tell = ann@local.test
queue_domains = waits.test
queue_smtp_domains = smtpwaits.test
bounce_sender_authentication = bounces@local.test
""" + s
r = f"""peer:
  driver = manualroute
  domains = waits.test : smtpwaits.test : out.test : ran.test
  route_list = * 127.0.0.1::{peer}
  self = send
  transport = to_peer
  address_data = ${{if eq{{$domain}}{{ran.test}}{{${{run{{/bin/sh -c "sleep 3; echo ran"}}}}}}{{}}}}

"""
x = f"""to_peer:
  driver = smtp
  headers_add = X-Data: $address_data
sys_file:
  driver = appendfile
sys_pipe:
  driver = pipe
"""
s = s.replace("begin routers\n", "begin routers\n\n" + r, 1).replace("begin transports\n", "begin transports\n\n" + x, 1)
open(path, "w").write(s)
X
cat >"$T/system.filter" <<X
# Exim filter
logfile $T/filter.log
logwrite "filter saw \$sender_address"
headers add "X-System: \$h_subject:"
headers remove "X-Secret"
if \$h_subject: is "copy" then unseen deliver ann@local.test endif
if \$h_subject: is "file" then unseen save $T/saved endif
if \$h_subject: is "away" then deliver ann@local.test finish endif
if \$h_subject: is "bad" then fail text "<<log text>>this is not wanted" endif
if \$h_subject: is "frost" then freeze endif
if \$h_subject: is "first" then unseen save $T/once endif
if first_delivery then logwrite "filter saw \$h_subject: for the first time" endif
X
cat >"$T/bounce.texts" <<'X'
Subject: Your message came back
X-Our-Own: yes
****
Dear $bounce_recipient, it did not work:
X
chmod 644 "$T"/*.filter "$T"/*.texts
chmod 777 "$T"
vpost check "$BOX" >"$T/check" 2>&1 || { cat "$T/check"; die "vpost check"; }
python3 "$TOP/tests/lib/sink.py" "$PEER" "$T/sink" 127.0.0.1=take &
SINK_PID=$!
at_end() { kill $SINK_PID 2>/dev/null; }
box_start
wait_port "$PEER"
L=$BOX/var/log/mainlog
count_is() { [ "$(mt imap "$IMAP" "$1" "pw-$1" count)" = "$2" ]; }
say() { printf 'Subject: %s\nX-Secret: s\n\nx\n' "$1" | sendmail -f "$2" "$3"; }

# In addition; the header is another for everybody.
say copy joe@local.test joe@local.test
wait_for 10 count_is ann 1
wait_for 10 count_is joe 1
mt imap "$IMAP" joe pw-joe fetch 1 >"$T/got"
has "$(cat "$T/got")" "X-System: copy" "what the recipient got"
hasnot "$(cat "$T/got")" "X-Secret" "what the recipient got"
wait_for 10 grep -q "filter saw joe@local.test" "$T/filter.log"
say file joe@local.test joe@local.test
wait_for 10 count_is joe 2
wait_for 10 grep -q "Subject: file" "$T/saved"
# Instead of the recipients.
say away joe@local.test someone@out.test
wait_for 10 count_is ann 2
wait_for 20 grep -q "original recipients ignored (system filter)" "$L"
# fail: a report in our words, to the sender and whoever sees copies.
say bad joe@local.test someone@out.test
wait_for 10 count_is joe 3
wait_for 10 count_is ann 3
mt imap "$IMAP" joe pw-joe fetch 3 >"$T/got"
for w in "From: Postmaster <postmaster@local.test>" "Reply-To: helpdesk@local.test" "Subject: Your message came back" "X-Our-Own: yes" \
	"Dear joe@local.test, it did not work:" "this is not wanted"; do has "$(cat "$T/got")" "$w" "the report"; done
hasnot "$(cat "$T/got")" "This is a permanent error" "the report"
wait_for 20 grep -q "cancelled by system filter: log text" "$L"
# freeze: somebody is told; thawed by hand it goes.
say frost joe@local.test ann@local.test
wait_for 10 count_is ann 4
mt imap "$IMAP" ann pw-ann fetch 4 >"$T/got"
has "$(cat "$T/got")" "Subject: Message frozen" "freeze_tell"
wait_for 10 sh -c 'sendmail -bp | grep -q frozen'
wait_for 10 on_queue 1
id=$(sendmail -bp | awk '/frozen/ { print $3 }')
sendmail -M "$id"
wait_for 10 count_is ann 5
# A filter and texts that changed count from the next message on; a filter with a mistake stops them until it is gone.
cp "$T/system.filter" "$T/good"
sed -i 's/X-System/X-Other/' "$T/system.filter"
say again joe@local.test ann@local.test
wait_for 10 count_is ann 6
mt imap "$IMAP" ann pw-ann fetch 6 >"$T/got"
has "$(cat "$T/got")" "X-Other: again" "what the changed filter did"
echo "if nonsense" >"$T/system.filter"
say wrong joe@local.test ann@local.test
wait_for 10 grep -q "Error in system filter" "$L"
wait_for 10 on_queue 1
cp "$T/good" "$T/system.filter"
sed -i 's/it did not work/it failed again/' "$T/bounce.texts"
sendmail -qf
wait_for 10 count_is ann 7
say bad joe@local.test someone@out.test
wait_for 10 count_is joe 4
mt imap "$IMAP" joe pw-joe fetch 4 >"$T/got"
has "$(cat "$T/got")" "Dear joe@local.test, it failed again:" "the changed texts"
wait_for 10 count_is ann 8
# Domains that wait for the next time.
say first joe@local.test x@waits.test
say second joe@local.test y@smtpwaits.test
say third joe@local.test z@out.test
wait_for 10 grep -q "z@out.test third" "$T/sink"
wait_for 10 grep -q "== x@waits.test .*domain is in queue_domains" "$L"
wait_for 10 grep -q "== y@smtpwaits.test .*first-pass only routing" "$L"
hasnot "$(cat "$T/sink")" "waits.test" "the host"
wait_for 10 on_queue 2
sendmail -qf
wait_for 10 grep -q "x@waits.test first" "$T/sink"
wait_for 10 grep -q "y@smtpwaits.test second" "$T/sink"
# What the filter asked for is done once, though it runs with each attempt and knows which is the first.
eq "$(grep -c "Subject: first" "$T/once")" 1 "what was saved in addition"
eq "$(grep -c "filter saw first for the first time" "$T/filter.log")" 1 "first deliveries"
# A slow program stops nobody but its own message.
for i in 1 2 3 4; do say "slow$i" joe@local.test "s$i@ran.test"; done
say quick joe@local.test q@out.test
wait_for 10 grep -q "s4@ran.test slow4" "$T/sink"
wait_for 10 grep -q "q@out.test quick" "$T/sink"
[ "$(grep -n 'q@out.test quick' "$T/sink" | cut -d: -f1)" -lt "$(grep -n 's4@ran.test' "$T/sink" | cut -d: -f1)" ] || die "the quick one waited: $(cat "$T/sink")"
