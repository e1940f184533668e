# shellcheck shell=bash
# While the mail store cannot be reached its mail waits in the journal, and is delivered as soon as it is there again: nothing is deferred.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
box_start
mt send "$SMTP" a@b.test joe@local.test >/dev/null
log=$BOX/var/log/mainlog
wait_for 10 grep -q '=> joe' "$log"
mv "$BOX/var/run/store.sock" "$T/aside"
# Its connections to the store end with it; the next one finds nobody.
kill -KILL $(cat "/proc/$(daemon_pid vlocald)/task/$(daemon_pid vlocald)/children")
wait_for 10 grep -q 'vstored does not answer' "$BOX/var/log/vpost.log"
mt send "$SMTP" a@b.test joe@local.test >/dev/null
# Each of the senders tries it some ten times.
sleep 4
eq "$(grep -c '=> joe' "$log")" 1 "deliveries without a store"
mv "$T/aside" "$BOX/var/run/store.sock"
wait_for 10 sh -c "[ \$(grep -c '=> joe' '$log') = 2 ]"
eq "$(grep -c ' == ' "$log" || true)" 0 "deferrals"
