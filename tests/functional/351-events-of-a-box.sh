# shellcheck shell=bash
# event_action in a running box: of the configuration (msg:complete, msg:fail:internal) and of transports for users' mail
# (msg:delivery, msg:fail:delivery).  A slow one holds up nobody's delivery, and the message is completed once.
. "$(dirname "$0")/../lib/box.sh"
box_make
box_users joe slow
sed -i '1i event_action = ${acl{tell}{main}}' "$BOX/etc/exim.conf"
sed -i 's/^begin acl$/begin acl\ntell:\n  accept logwrite = EV $acl_arg1 $event_name <$event_data> L=$local_part D=$domain R=$router_name T=$transport_name S=$h_subject:/' "$BOX/etc/exim.conf"
sed -i 's/^begin transports$/begin transports\nto_false:\n  driver = pipe\n  command = \/bin\/false\n  event_action = ${acl{tell}{false}}\n/' "$BOX/etc/exim.conf"
sed -i 's/^begin routers$/begin routers\nfalse:\n  driver = accept\n  domains = false.test\n  transport = to_false\n/' "$BOX/etc/exim.conf"
sed -i 's/^  driver = store$/  driver = store\n  event_action = ${if eq{$local_part}{slow}{${run{\/bin\/sleep 60}}}{${acl{tell}{store}}}}/' "$BOX/etc/exim.conf"
vpost check "$BOX" >"$T/check" 2>&1 || { cat "$T/check"; die "vpost check"; }
box_start
log=$BOX/var/log/mainlog
said() { grep -q -- "$1" "$log"; }
printf 'Subject: one\n\nhello\n' | sendmail -f joe@local.test joe@local.test
wait_for 20 said "EV main msg:complete <> L= D= R= T= S=one"
wait_for 20 said "EV store msg:delivery <> L=joe D=local.test R=[a-z_]* T=[a-z_]* S=one"
eq "$(grep -c 'EV main msg:complete .*S=one' "$log")" 1 "how often it was told as complete"
printf 'Subject: two\n\nhello\n' | sendmail -f joe@local.test nobody-there@local.test x@false.test
wait_for 20 said "EV main msg:fail:internal <.*> L=nobody-there D=local.test R="
wait_for 20 said "EV false msg:fail:delivery <> L=x D=false.test R=false T=to_false S=two"
wait_for 20 said "EV main msg:complete <> L= D= R= T= S=two"
eq "$(grep -c 'EV main msg:complete .*S=two' "$log")" 1 "how often it was told as complete"
# Three that take their time: others are told of meanwhile.
for i in 1 2 3; do printf 'Subject: slow %s\n\nhello\n' $i | sendmail -f joe@local.test slow@local.test; done
wait_for 10 sh -c "[ \$(grep -c '=> slow ' '$log') = 3 ]"
printf 'Subject: three\n\nhello\n' | sendmail -f joe@local.test joe@local.test
wait_for 10 said "EV main msg:complete <> L= D= R= T= S=three"
grep -q 'S=slow' "$log" && die "the slow ones were not slow"
# It was completed: nothing of it comes back.
box_stop
box_start
sleep 1
eq "$(grep -c 'EV main msg:complete .*S=two' "$log")" 1 "after a start"
eq "$(find "$BOX/var/spool/queue" -type f -name "*-*" | wc -l)" 0 "left in the queue"
