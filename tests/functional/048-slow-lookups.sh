# shellcheck shell=bash
# While one recipient's hosts are looked up, the work of others with the host of another one comes to its end: it is there all the same.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
conf "remote_port = $((BASE + 999))"
conf "remote_concurrency = 1"
sed -i "s/^begin routers/&\nto:\n driver = accept\n domains = *.hosts.test\n transport = \${if eq{\$domain}{slow.hosts.test}{slow}{fast}}\n no_verify\n/
s/^begin transports/&\nfast:\n driver = smtp\n hosts = 127.0.0.3\n hosts_override\n allow_localhost\nslow:\n driver = smtp\n hosts_override\n allow_localhost\n$(
    ) hosts = \${run{\/bin\/sleep 4}{127.0.0.2}}\n/" "$BOX/etc/exim.conf"
python3 "$TOP/tests/lib/sink.py" $((BASE + 999)) "$T/sink" 127.0.0.2=take 127.0.0.3=take &
PIDS="$PIDS $!"
wait_for 10 grep -q ready "$T/sink"
got() { [ "$(grep -c " $1 $2\$" "$T/sink")" = "$3" ]; }
box_start
queued=$(pgrep -P "$(daemon_pid vqueued)")

# The first and the third go to one host, whichever of the three is looked at first.
printf 'Subject: long\n\nx\n' | sendmail -f joe@local.test a@fast.hosts.test b@slow.hosts.test c@fast.hosts.test
sleep 0.5
printf 'Subject: short\n\nx\n' | sendmail -f joe@local.test d@fast.hosts.test
wait_for 10 got d@fast.hosts.test short 1
for to in a@fast b@slow c@fast; do
	wait_for 20 got $to.hosts.test long 1
done
sleep 0.5
wait_for 10 sh -c '[ -z "$(mailq)" ]'
eq "$(pgrep -P "$(daemon_pid vqueued)")" "$queued" "the process that sent it"
for to in a@fast b@slow c@fast; do
	got $to.hosts.test long 1 || die "twice: $(cat "$T/sink")"
done

# Messages behind the first of a connection are marked in the log.
for i in 1 2 3; do printf 'MAIL FROM:<joe@local.test>\nRCPT TO:<m%d@fast.hosts.test>\nDATA\nSubject: many\n\nx\n.\n' $i; done | sendmail -bS
for i in 1 2 3; do wait_for 20 got m$i@fast.hosts.test many 1; done
wait_for 10 sh -c "[ \$(grep -c ' => m.@fast.hosts.test' $BOX/var/log/mainlog) = 3 ]"
grep -q ' => d@fast.hosts.test R=to T=fast H=127.0.0.3 \[127.0.0.3\] C=' "$BOX/var/log/mainlog" || die "no first message"
grep -q ' => m.@fast.hosts.test R=to T=fast H=127.0.0.3 \[127.0.0.3\]\* C=' "$BOX/var/log/mainlog" || die "no message behind the first"
