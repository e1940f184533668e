# shellcheck shell=bash
# The queue of a running box: named queues, runs in order and as many at a time as the configuration says, the order of domains,
# lists of many messages, and a load that is too high.
. "$(dirname "$0")/../lib/box.sh"
need python3
box_make
box_users joe ann
PEER=$((BASE + 26))
python3 - "$BOX/etc/exim.conf" "$T" "$PEER" "$(id -un)" <<'X'
import sys
path, t, peer, user = sys.argv[1:]
s = open(path).read()
s = f"""acl_not_smtp_start = acl_queues
acl_not_smtp = acl_waits
remote_max_parallel = 1
remote_sort_domains = c.out.test : b.out.test
queue_run_in_order
queue_run_max = ${{if eq{{$queue_name}}{{wide}}{{0}}{{1}}}}
deliver_queue_load_max = 9999
log_selector = +delay_delivery +sender_on_delivery
""" + s
queues = """  warn senders = bulk@local.test
       queue = bulk
  warn senders = wide@local.test
       queue = wide
"""
waits = """  warn senders = wait@local.test : pass@local.test : wide@local.test
       control = queue${if eq{$sender_address_local_part}{pass}{/first_pass_route}}
"""
r = f"""gate:
  driver = redirect
  domains = gate.test
  data = ${{if exists{{{t}/open}}{{ann@local.test}}{{:defer: not yet, $queue_name}}}}
  allow_defer

peer:
  driver = manualroute
  domains = *.out.test
  route_list = a.out.test 127.0.0.1::{peer} ; b.out.test 127.0.0.2::{peer} ; c.out.test 127.0.0.3::{peer} ; told.out.test 127.0.0.4::{peer}
  self = send
  transport = to_peer

last:
  driver = manualroute
  domains = last.test
  route_list = * 127.0.0.4::{peer}
  self = send
  transport = to_peer
  dsn_lasthop

one_by_one:
  driver = accept
  domains = one.test
  transport = one
  user = {user}

here_and_away:
  driver = redirect
  local_parts = both
  data = joe@local.test, b@a.out.test

"""
s = s.replace("acl_check_mail:\n", "acl_check_mail:\n" + queues + waits, 1)
s = s.replace("begin acl\n", f"begin acl\n\nacl_queues:\n{queues}  accept\nacl_waits:\n{waits}  accept\n", 1)
s = s.replace("begin routers\n", "begin routers\n\n" + r, 1)
s = s.replace("begin transports\n", "begin transports\n\nto_peer:\n  driver = smtp\n  headers_add = X-Queue: <$queue_name>\n\n" f"one:\n  driver = pipe\n  command = /bin/sh {t}/one.sh\n  max_parallel = ${{if def:local_part{{1}}}}\n  log_output\n", 1)
s = s.replace("begin retry\n", "begin retry\ngate.test * F,4h,1s\n", 1)
open(path, "w").write(s)
X
cat >"$T/one.sh" <<X
[ ! -e $T/busy ] || echo many >>$T/began
: >$T/busy
echo one >>$T/began
sleep 0.3
rm $T/busy
wc -l <$T/began >$T/ended
X
vpost check "$BOX" >"$T/check" 2>&1 || { cat "$T/check"; die "vpost check"; }
chmod 777 "$T"
python3 "$TOP/tests/lib/sink.py" "$PEER" "$T/sink" 127.0.0.1=slow 127.0.0.2=slow 127.0.0.3=slow 127.0.0.4=dsn &
SINK_PID=$!
at_end() { kill $SINK_PID 2>/dev/null; }
box_start
wait_port "$PEER"
L=$BOX/var/log/mainlog
say() { local s=$1 f=$2; shift 2; printf 'Subject: %s\n\nx\n' "$s" | sendmail -f "$f@local.test" "$@"; }
listed() { sendmail -bp "$@" | grep -c '<[a-z]*@local.test>'; }
count_is() { [ "$(mt imap "$IMAP" "$1" "pw-$1" count)" = "$2" ]; }
listed_is() { local n=$1; shift; [ "$(listed "$@")" = "$n" ]; }

# One host at a time for a message, and in the order of the list.
say sorted joe x@a.out.test x@b.out.test x@c.out.test
wait_for 15 grep -q "x@a.out.test sorted" "$T/sink"
eq "$(grep -c 'at a time' "$T/sink")" 3 "messages at the hosts"
eq "$(grep ' sorted' "$T/sink" | cut -d' ' -f1 | tr '\n' ' ')" "127.0.0.3 127.0.0.2 127.0.0.1 " "the order of hosts"
hasnot "$(cat "$T/sink")" "2 at a time" "the hosts"

# A local transport takes no more at a time than max_parallel says.
say one joe a@one.test b@one.test c@one.test
say one joe d@one.test
wait_for 20 grep -q 4 "$T/ended"
hasnot "$(cat "$T/began")" many "deliveries of one transport"
# What the sender wants to be told goes through the queue to the next host, or ends here where the router says so.
python3 - "$SMTP" <<'X'
import smtplib, sys
for d in ("told.out.test", "last.test"):
    with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as s:
        s.ehlo("x")
        s.mail("joe@local.test", ["RET=HDRS", "ENVID=id+2B" + d])
        s.rcpt("x@" + d, ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;o+2B" + d])
        s.data(b"Subject: dsn\r\n\r\nx\r\n")
X
for d in told.out.test last.test; do wait_for 10 grep -q "x@$d dsn" "$T/sink"; done
grep -q "MAIL FROM:<joe@local.test> RET=HDRS ENVID=id+2Btold.out.test" "$T/sink" || die "no envelope id: $(cat "$T/sink")"
grep -q "RCPT TO:<x@told.out.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+2Btold.out.test" "$T/sink" || die "no wish: $(cat "$T/sink")"
[ "$(grep -c ENVID "$T/sink")" = 1 ] || die "the last hop got the envelope's id: $(cat "$T/sink")"
wait_for 10 count_is joe 1
mt imap "$IMAP" joe pw-joe fetch 1 >"$T/got"
for w in "Original-Envelope-Id: id+last.test" "Action: relayed" "Original-Recipient: rfc822;o+last.test"; do has "$(cat "$T/got")" "$w" "the report"; done
# A message of a named queue is tried when it comes, then only when that queue is run.
say normal joe g@gate.test
say bulk bulk g@gate.test
wait_for 10 grep -q "== g@gate.test Q=bulk R=gate .*not yet, bulk" "$L"
hasnot "$(grep '== g@gate' "$L")" "F=<" "a deferral"
wait_for 10 listed_is 1
wait_for 10 listed_is 1 -qGbulk
touch "$T/open"
wait_for 15 count_is ann 1
wait_for 10 listed_is 0
sendmail -qf
sleep 1.5
count_is ann 1 || die "a run of the other queue took it"
eq "$(listed)$(listed -qGbulk)$(listed -qGother)" 010 "messages in the queues"
wait_for 10 on_queue 1 -qGbulk
has "$(postqueue -p)" "bulk@local.test" "Postfix's list of all queues"
sendmail -qGbulk
wait_for 10 count_is ann 2
wait_for 10 grep -q "=> ann <g@gate.test> F=<bulk@local.test> Q=bulk R=" "$L"
wait_for 10 listed_is 0 -qGbulk

# Into another queue and out again.
rm "$T/open"
say moved bulk g@gate.test
wait_for 10 listed_is 1 -qGbulk
id=$(sendmail -bp -qGbulk | awk 'NR == 1 { print $3 }')
wait_for 10 sendmail -MG other "$id"
eq "$(listed -qGbulk)$(listed -qGother)" 01 "messages after -MG"
wait_for 20 grep -q "$id moved from (bulk) input, msglog to (other) input, msglog" "$L"
box_stop
box_start
eq "$(listed -qGbulk)$(listed -qGother)" 01 "messages after a restart"
touch "$T/open"
sendmail -MG '' "$id"
wait_for 10 count_is ann 3

# control = queue waits for a run; then as many at a time as queue_run_max says, in the order they came.
say pass pass both@local.test
wait_for 10 count_is joe 2
wait_for 10 grep -q "== b@a.out.test <both@local.test> R=peer T=to_peer defer (0): first-pass only routing" "$L"
sleep 1.5
hasnot "$(cat "$T/sink")" "a.out.test pass" "the host"
wait_for 10 on_queue 1
sendmail -q
wait_for 10 grep -q "b@a.out.test pass" "$T/sink"
wait_for 10 listed_is 0
: >"$T/sink"
for i in 1 2 3 4; do say "in$i" wait "w$i@a.out.test"; done
for i in 1 2 3; do say "wide$i" wide "w$i@a.out.test" "w$i@b.out.test"; done
wait_for 10 listed_is 3 -qGwide
wait_for 10 on_queue 4
wait_for 10 on_queue 3 -qGwide
hasnot "$(cat "$T/sink")" "in1" "the host"
wait_for 20 grep -q "no immediate delivery: queued by ACL" "$L"
sendmail -q
wait_for 20 grep -q "w4@a.out.test in4" "$T/sink"
eq "$(grep -o 'in[1-4]' "$T/sink" | tr '\n' ' ')" "in1 in2 in3 in4 " "the order of a run"
hasnot "$(cat "$T/sink")" "2 at a time" "a run of one at a time"
sendmail -qGwide
wait_for 20 grep -q "wide3" "$T/sink"
wait_for 20 grep -q "2 at a time" "$T/sink"

# More than a page of a list, nothing twice; a run for one domain leaves the others.
rm "$T/open"
python3 - "$SMTP" <<'X'
import smtplib, sys
for _ in range(11):
    with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as s:
        s.ehlo("x")
        for _ in range(100):
            s.sendmail("wait@local.test", ["joe@local.test"], b"Subject: many\r\n\r\nx\r\n")
X
wait_for 60 listed_is 1100
eq "$(sendmail -bp | awk '/<wait@/ { print $3 }' | sort -u | wc -l)" 1100 "different ids"
eq "$(sendmail -bpr | awk '/<wait@/ { print $3 }' | LC_ALL=C sort -c && echo sorted)" sorted "the pages' order"
eq "$(sendmail -bp -R none.test | wc -l)" 0 "what is for no domain of ours"
sendmail -q -R none.test
sleep 1.5
listed_is 1100 || die "a run for another domain took some"
postsuper -d ALL deferred
wait_for 90 listed_is 0

# Too much load: runs have to wait, but not who is asked for by name.
say loaded wait x@a.out.test
wait_for 10 listed_is 1
wait_for 10 on_queue 1
i=0
while [ "$(cut -d' ' -f1 /proc/loadavg)" = 0.00 ] && [ $i -lt 10 ]; do
	timeout 1 sh -c 'while :; do :; done'
	i=$((i + 1))
done
sed -i 's/^deliver_queue_load_max.*/deliver_queue_load_max = 0/' "$BOX/etc/exim.conf"
box_stop
box_start
sendmail -q
wait_for 10 grep -q "Abandon queue run: pid=[0-9]* (load [0-9.]*, max 0.00)" "$L"
sendmail -qf
sleep 1.5
listed_is 1 || die "a run went on under load"
sendmail -M "$(sendmail -bp | awk 'NR == 1 { print $3 }')"
wait_for 10 grep -q "x@a.out.test loaded" "$T/sink"
