# shellcheck shell=bash
# While the mail store cannot be reached its mail waits in the journal, and is delivered as soon as it is there again: nothing is
# deferred.  Clients that ask in that moment wait, too, and are told so where it takes longer.
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
# Each of the senders tries it some times.
sleep 2
eq "$(grep -c '=> joe' "$log")" 1 "deliveries without a store"
mv "$T/aside" "$BOX/var/run/store.sock"
wait_for 10 sh -c "[ \$(grep -c '=> joe' '$log') = 2 ]"
eq "$(grep -c ' == ' "$log" || true)" 0 "deferrals"

# What a client asks while it is started anew.
cat >"$T/ask.py" <<'P'
import imaplib, os, signal, sys, threading, time
port, parent = int(sys.argv[1]), int(sys.argv[2])
m = imaplib.IMAP4('127.0.0.1', port, timeout=60)
m.login('joe', 'pw-joe')
m.select()
def away():
    os.kill(parent, signal.SIGSTOP)
    for pid in open(f'/proc/{parent}/task/{parent}/children').read().split():
        os.kill(int(pid), signal.SIGKILL)
    time.sleep(0.3)
def back():
    os.kill(parent, signal.SIGCONT)
away()
threading.Timer(0.3, back).start()
print(m.store('1', '+FLAGS', r'(\Seen)')[0])
time.sleep(1)
away()
print(*m.store('1', '+FLAGS', r'(\Flagged)'))
back()
print(m.store('1', '+FLAGS', r'(\Flagged)')[0])
P
eq "$(python3 "$T/ask.py" "$IMAP" "$(daemon_pid vstored)")" \
	"OK
NO [b'[UNAVAILABLE] the mail store does not answer now; try again in a moment']
OK" "IMAP while the store is away"
