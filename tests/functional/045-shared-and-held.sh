# shellcheck shell=bash
# An address that two recipients share is sent to once, though vqueued is killed in between; what an administrator says of a
# message under way holds; a file that cannot be read for a while is no lost message; our own lack of descriptors is not a host's fault.
. "$(dirname "$0")/../lib/box.sh"

SHIM=$BUILD/tests/lib/faultshim.so
[ -e "$SHIM" ] || die "$SHIM is not built"
[ -z "${VPOST_SAN-}" ] || skip "the shim and the sanitizers exclude each other"
box_make
box_users joe
conf "dns_zone_file = etc/test.zone"
conf "remote_port = $((BASE + 999))"
cat >"$BOX/etc/test.zone" <<'Z'
take.test MX 10 mx.take.test
mx.take.test A 127.0.0.3
hang.test MX 10 mx.hang.test
mx.hang.test A 127.0.0.2
Z
printf 'team: x@take.test, z@hang.test\ncrew: x@take.test, y@hang.test\n' >>"$BOX/etc/aliases"
vnewaliases -d "$BOX" >/dev/null
world_is_local
# Hosts that failed are tried again soon.
sed -i 's/^\*   \*   F,.*/* * F,1h,2s/' "$BOX/etc/exim.conf"
SINK=
sink() { # ADDRESS=MODE...
	: >"$T/ready"
	python3 "$TOP/tests/lib/sink.py" $((BASE + 999)) "$T/sink" "$@" &
	SINK=$!
	PIDS="$PIDS $SINK"
	wait_for 10 grep -q ready "$T/sink"
}
sink_end() { kill -TERM "$SINK"; wait "$SINK" 2>/dev/null || true; PIDS=${PIDS/ $SINK/}; sed -i '/^ready/d;/hangs$/d' "$T/sink"; }
got() { [ "$(grep -c " $1 $2\$" "$T/sink")" = "$3" ]; }
ids() { mailq | grep -oE '[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}' | sort; }
waiting() { [ "$(ids | wc -l)" = "$1" ]; }
kill_vqueued() {
	local p
	p=$(daemon_pid vqueued)
	# shellcheck disable=SC2046
	kill -KILL "$p" $(pgrep -P "$p")
	wait_for 20 sh -c "[ \"\$(cat '$BOX/var/run/vqueued.pid')\" != $p ] && mailq"
}
RULES=$BOX/etc/faults
: >"$RULES"
export FAULT_FILE=$RULES
rule() { echo "$*" >"$RULES.new"; mv "$RULES.new" "$RULES"; }
start() { LD_PRELOAD=$SHIM box_start; }
: >"$T/sink"

start
sink 127.0.0.3=take 127.0.0.2=hang
# One reaches the address directly, one by an alias that also leads to a host that hangs; then two by aliases.
mt send "$SMTP" joe@local.test x@take.test,team@local.test --subject direct
mt send "$SMTP" joe@local.test team@local.test,crew@local.test --subject aliases
wait_for 15 got x@take.test direct 1
wait_for 15 got x@take.test aliases 1
kill_vqueued
# It was routed again when the host that hangs is called again.
wait_for 20 sh -c "[ \$(grep -c hangs '$T/sink') -ge 4 ]"
sink_end
wait_for 15 waiting 2
kill_vqueued
sink 127.0.0.3=take 127.0.0.2=take
sendmail -qff
wait_for 15 waiting 0
for s in direct aliases; do
	got x@take.test $s 1 || die "x@take.test has $s $(grep -c "x@take.test $s" "$T/sink") times"
	got z@hang.test $s 1 || die "z@hang.test lacks $s"
done
got y@hang.test aliases 1 || die "y@hang.test lacks its message"

# A message under way that is frozen stays so; the end of its attempt writes to the same file.
sink_end
mt send "$SMTP" joe@local.test z@hang.test --subject held
wait_for 15 waiting 1
sink 127.0.0.2=hang
sendmail -qff
wait_for 15 grep -q hangs "$T/sink"
sendmail -Mf "$(ids)"
sink_end
wait_for 15 sh -c "mailq | grep -q frozen"
sleep 1
kill_vqueued
has "$(mailq)" frozen "mailq after a restart"
# Removed while an attempt is under way: it does not come back.
sink 127.0.0.2=hang
sendmail -qff
wait_for 15 grep -q hangs "$T/sink"
sendmail -Mrm "$(ids)"
kill_vqueued
sleep 1
waiting 0 || die "a removed message is there again: $(mailq)"
# The same before it has a queue file, and while that is being written.
sleep 3
mt send "$SMTP" joe@local.test z@hang.test --subject first
wait_for 15 sh -c "[ \$(grep -c hangs '$T/sink') -ge 2 ]"
sendmail -Mrm "$(ids)"
sink_end
sleep 1
waiting 0 || die "a removed message was put into the queue: $(mailq)"
rule fdatasync .seg.done vqueued wait
mt send "$SMTP" joe@local.test z@hang.test --subject second
wait_for 15 sh -c "ls '$BOX/var/spool/queue' | grep -q '[0-9A-Za-z]-'"
sleep 0.5
sendmail -Mrm "$(ids)"
rule
sleep 1
waiting 0 || die "a message removed while it was copied out is there: $(mailq)"
kill_vqueued
sleep 1
waiting 0 || die "a message removed while it was copied out is there again: $(mailq)"

# A queue file that cannot be read at the start is read later; who asks at the start waits for what is read.
mt send "$SMTP" joe@local.test z@hang.test --subject later
wait_for 15 waiting 1
rule open "queue/$(ids)" vqueued 5
kill_vqueued
rule
waiting 1 || die "the queue was listed before it was read"
sendmail -qff
sink 127.0.0.2=take
wait_for 20 sh -c "sendmail -qff; grep -q 'z@hang.test later' '$T/sink'"

# No descriptor for a connection: tried again, and the host is not marked.  (An idle connection needs none.)
sleep 3
rule socket - vqueued 24
mt send "$SMTP" joe@local.test y@hang.test --subject short
wait_for 15 grep -q 'y@hang.test.*Too many open files' "$BOX/var/log/mainlog"
rule
mt send "$SMTP" joe@local.test x@hang.test --subject other
wait_for 10 got x@hang.test other 1
sendmail -qff
wait_for 15 got y@hang.test short 1
