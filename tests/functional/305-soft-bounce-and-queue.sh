# shellcheck shell=bash
# soft_bounce makes every permanent failure temporary (S2-137); postsuper deletes one message, a state's or all (S2-141);
# postqueue -p in Postfix's form, and plugins that count on it (S2-138, S2-163); VRFY and ETRN, on and off (S2-43).
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
conf "dns_zone_file = etc/test.zone"
conf "remote_port = $((BASE + 26))"
conf "soft_bounce = yes"
printf 'zone sink.test\nsink.test A 127.0.0.1\nfail away.test\nzone gone.test\n' >"$BOX/etc/test.zone"
world_is_local
box_start
count() { sendmail -bpc; }
count_is() { [ "$(count)" = "$1" ]; }

# Before a risky change: nobody is refused for good, and nothing bounces.
out=$(mt rcpt "$SMTP" --source 127.0.0.2 a@x.test nobody@local.test x@away.test)
has "$out" "450 4.1.1 <nobody@local.test>: no such user" "an unknown user"
has "$out" "450 4.7.1 Relaying" "a relay"
printf 'Subject: x\n\nx\n' | sendmail -f joe@local.test x@gone.test
printf 'Subject: x\n\nx\n' | sendmail -f joe@local.test nobody2@local.test
wait_for 10 sh -c "[ \$(grep -c ' == ' $BOX/var/log/mainlog) -ge 2 ]"
wait_for 10 count_is 2
hasnot "$(cat "$BOX/var/log/mainlog")" "<= <>" "a report"
hasnot "$(cat "$BOX/var/log/mainlog")" " \*\* " "a failure"
box_stop
conf "soft_bounce = no"
box_start
wait_for 10 on_queue 2
postqueue -f
wait_for 10 sh -c "[ \$(grep -c '<= <>' $BOX/var/log/mainlog) = 2 ]"
wait_for 10 count_is 0
has "$(mt rcpt "$SMTP" --source 127.0.0.2 a@x.test nobody@local.test)" "550 5.1.1" "without it"

# The queue in Postfix's form.
eq "$(postqueue -p)" "Mail queue is empty" "postqueue -p"
for i in 1 2 3 4 5; do printf 'Subject: n%d\n\nbody\n' $i | sendmail -f joe@local.test "x$i@away.test"; done
wait_for 10 sh -c "[ \$(grep -c ' == x.@away.test' $BOX/var/log/mainlog) -ge 5 ]"
wait_for 10 on_queue 5
wait_for 10 sh -c "! postqueue -p | grep -q '^[^ ]*\\*'"
out=$(postqueue -p)
has "$out" "-Queue ID-" "the heading"
has "$out" "joe@local.test" "the sender"
eq "$(echo "$out" | grep -c '^ *x[1-5]@away.test$')" 5 "recipients"
eq "$(echo "$out" | grep -c '^ *(host lookup did not complete)$')" 5 "reasons"
echo "$out" | tail -n 1 | grep -qE '^-- [0-9]+ Kbytes in 5 Requests\.$' || die "the last line: $out"

# What plugins of Nagios do: count the lines with ids, or read the last line.
cat >"$T/check_queue" <<'X'
#!/bin/sh
# check_queue -w N -c N
while getopts w:c: o; do case $o in w) w=$OPTARG ;; c) c=$OPTARG ;; *) exit 3 ;; esac; done
n=$(postqueue -p | sed -n 's/^-- .* in \([0-9]*\) Request.*/\1/p')
m=$(postqueue -p | grep -c '^[0-9A-Za-z-]\{8,\}[*!]\{0,1\} .*[0-9]:[0-9]')
[ "${n:-0}" = "$m" ] || { echo "UNKNOWN: $n or $m"; exit 3; }
[ "$m" -lt "$c" ] || { echo "CRITICAL: $m messages"; exit 2; }
[ "$m" -lt "$w" ] || { echo "WARNING: $m messages"; exit 1; }
echo "OK: $m messages"
X
check() { local rc=0; sh "$T/check_queue" "$@" >"$T/check" || rc=$?; echo "$rc $(cat "$T/check")"; }
eq "$(check -w 50 -c 100)" "0 OK: 5 messages" "a plugin"
eq "$(check -w 4 -c 100)" "1 WARNING: 5 messages" "a plugin"
eq "$(check -w 2 -c 5)" "2 CRITICAL: 5 messages" "a plugin"
if [ -x /usr/lib/nagios/plugins/check_mailq ]; then
	rc=0; out=$(PATH=$PATH /usr/lib/nagios/plugins/check_mailq -M exim -w 50 -c 100 2>&1) || rc=$?
	eq $rc 0 "check_mailq: $out"
fi

# Deleting: one, those on hold, the deferred ones, all.
id=$(postqueue -p | awk '/joe@local.test/ { sub(/[*!]/, "", $1); print $1; exit }')
postsuper -d "$id"
wait_for 5 count_is 4
postsuper -h "$(postqueue -p | awk '/joe@local.test/ { sub(/[*!]/, "", $1); print $1; exit }')"
wait_for 5 sh -c "postqueue -p | grep -q '!'"
postsuper -d ALL active
count_is 4 || die "-d ALL active took others: $(postqueue -p)"
postsuper -d ALL deferred
wait_for 5 count_is 1
has "$(mailq)" "frozen" "what is left"
rc=0; postsuper -d ALL nosuch 2>/dev/null || rc=$?
eq $rc 64 "a queue that is none"
postsuper -d ALL
wait_for 5 count_is 0
eq "$(postqueue -p)" "Mail queue is empty" "at the end"

# VRFY tells nothing; ETRN starts a domain's mail once its host is there.
printf 'Subject: x\n\nx\n' | sendmail -f joe@local.test u@sink.test
wait_for 10 sh -c "grep -q '== u@sink.test' $BOX/var/log/mainlog"
wait_for 10 on_queue 1
python3 "$TOP/tests/lib/sink.py" $((BASE + 26)) "$T/sink" 127.0.0.1=take &
SINK_PID=$!
at_end() { kill $SINK_PID 2>/dev/null; }
wait_port $((BASE + 26))
out=$(printf 'EHLO x\nVRFY joe\nVRFY nobody@local.test\nETRN sink.test\nETRN empty.test\nQUIT\n' | mt talk "$SMTP")
eq "$(echo "$out" | grep -c '^252 2.5.2')" 2 "VRFY"
has "$out" "253 2.0.0 OK, 1 pending" "ETRN"
has "$out" "251 2.0.0 OK, no messages waiting for node empty.test" "ETRN of another"
wait_for 10 sh -c "grep -q '=> u@sink.test' $BOX/var/log/mainlog"
has "$out" "250-VRFY" "EHLO"
has "$out" "250-ETRN" "EHLO"
box_stop
setting NO_VRFY
setting NO_ETRN
box_start
out=$(printf 'EHLO x\nVRFY joe\nETRN sink.test\nQUIT\n' | mt talk "$SMTP")
hasnot "$out" "VRFY" "EHLO, turned off"
hasnot "$out" "ETRN" "EHLO, turned off"
hasnot "$out" "253" "ETRN, turned off"
has "$out" "252" "VRFY, turned off, is no promise"
