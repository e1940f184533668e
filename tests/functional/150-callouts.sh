# shellcheck shell=bash
# verify = recipient/callout and sender/callout ask the hosts of an address, keep the answers, and defer without them.
. "$(dirname "$0")/../lib/box.sh"

box_make
PEER=$((SMTP + 90))
cat >"$BOX/etc/exim.conf" <<X
primary_hostname = here.test
acl_smtp_rcpt = check
acl_smtp_data = data
callout_random_local_part = nosuch
begin acl
check:
  accept local_parts = ^known
         endpass
         verify = recipient/callout=30s
  accept local_parts = ^nocache
         endpass
         verify = recipient/callout=30s,no_cache,use_sender
         logwrite = data <\$local_part_data@\$domain_data> asked \$callout_address
  accept local_parts = ^later
         endpass
         verify = recipient/callout=30s
  accept local_parts = ^easy
         verify = recipient/callout=30s,defer_ok
  accept local_parts = ^random
         endpass
         verify = recipient/callout=30s,random,use_postmaster
         logwrite = random <\$recipient_verify_failure>
  accept local_parts = ^full
         endpass
         verify = recipient/callout=30s,fullpostmaster
  accept local_parts = ^waits
         endpass
         verify = recipient/callout=1s,connect=1s,maxwait=2s
  accept local_parts = ^wrong
         endpass
         verify = recipient/callout=mailfrom=x@y.test
  accept local_parts = ^field
  accept verify = sender/callout=30s,postmaster
  deny   message = no good: \$sender_verify_failure
data:
  require verify = header_sender/callout=30s,mailfrom=chk@here.test
  accept
begin routers
there:
  driver = manualroute
  domains = !dead.test : !nowhere.test : !login.test
  route_list = * 127.0.0.1
  self = send
  transport = smtp
nowhere:
  driver = accept
  domains = nowhere.test
  transport = nowhere
login:
  driver = manualroute
  domains = login.test
  route_list = * 127.0.0.1
  self = send
  transport = login
dead:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = dead
begin transports
nowhere:
  driver = smtp
  hosts = nosuch.invalid
login:
  driver = smtp
  port = $PEER
  helo_data = \$local_part.of.\$domain
  hosts_require_auth = *
smtp:
  driver = smtp
  port = $PEER
  helo_data = helo.here.test
dead:
  driver = smtp
  port = $((PEER + 1))
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^us^secret-of-\$host_address
X
python3 - "$PEER" "$BOX/peer.log" <<'X' &
import socket, sys, threading, time

log = open(sys.argv[2], 'a', 1)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', int(sys.argv[1])))
s.listen(20)


def serve(c):
    f = c.makefile('rwb', 0)
    f.write(b'220 peer\r\n')
    for line in f:
        word = line.strip().decode()
        log.write(word + '\n')
        no = word.startswith('RCPT') and ('-no@' in word or 'postmaster@strict.test' in word or 'postmaster@semi.test' in word or 'nosuch@strict.test' in word)
        if '-slow@' in word:
            time.sleep(3)
        if word.startswith('EHLO'):
            f.write(b'250-peer\r\n250 AUTH PLAIN\r\n')
            continue
        if word.startswith('AUTH'):
            f.write(b'235 welcome\r\n')
            continue
        f.write(b'550 5.1.1 nobody of that name\r\n' if no else b'451 busy\r\n' if '-busy@' in word else b'250 ok\r\n')
        if word == 'QUIT':
            break
    c.close()


while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
X
PEER_PID=$!
at_end() { kill $PEER_PID 2>/dev/null; }
box_start
wait_port "$PEER"

ask() { # SENDER RECIPIENT...: the answers to RCPT
	python3 - "$SMTP" "$@" <<'X'
import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 30)
f = s.makefile('rwb', 0)
def reply():
    out = []
    while not out or out[-1][3:4] == '-':
        out.append(f.readline().decode().rstrip('\r\n'))
    return '/'.join(out)
reply()
for c in ['EHLO me.test', 'MAIL FROM:<%s>' % sys.argv[2]]:
    f.write(c.encode() + b'\r\n')
    reply()
for r in sys.argv[3:]:
    f.write(b'RCPT TO:<%s>\r\n' % r.encode())
    print(reply())
f.write(b'QUIT\r\n')
X
}

out=$(ask a@b.test known-yes@r.test known-no@r.test)
has "$out" "250 " "a known recipient"
has "$out" "Callout verification failed:" "an unknown recipient"
has "$out" "550 5.1.1 nobody of that name" "the peer's words"
has "$(cat "$BOX/peer.log")" "EHLO helo.here.test" "dialogue"
has "$(cat "$BOX/peer.log")" "MAIL FROM:<>" "dialogue"
hasnot "$(cat "$BOX/peer.log")" "DATA" "dialogue"
wait_for 20 grep -qF -- "127.0.0.1 [127.0.0.1] : SMTP error from remote mail server after RCPT TO:<known-no@r.test>: 550 5.1.1" "$BOX/var/log/mainlog"

: >"$BOX/peer.log"
out=$(ask a@b.test known-yes@r.test known-no@r.test)
has "$out" "Previous (cached) callout verification failure" "the second time"
eq "$(cat "$BOX/peer.log")" "" "questions of the second time"
has "$(ask a@b.test nocache@r.test)" "250 " "without the cache"
has "$(cat "$BOX/peer.log")" "MAIL FROM:<a@b.test>" "use_sender"
wait_for 20 grep -qF -- "data <nocache@r.test> asked 127.0.0.1" "$BOX/var/log/mainlog"

out=$(ask a@b.test later-busy@r.test later@dead.test easy@dead.test)
eq "$(echo "$out" | grep -c 'Could not complete recipient verify callout')" 2 "deferred ones"
has "$(echo "$out" | sed -n 3p)" "250 " "defer_ok"
wait_for 20 grep -qF -- "Could not complete recipient verify callout: 127.0.0.1 [127.0.0.1] : " "$BOX/var/log/mainlog"

out=$(ask x-no@s.test r1@r.test r2@r.test)
has "$out" "550-5.7.1 Verification failed for <x-no@s.test>/550-5.7.1 Called:   127.0.0.1/550-5.7.1 Sent:     RCPT TO:<x-no@s.test>" "the sender's host"
has "$out" "no good: recipient" "sender_verify_failure"
has "$(ask yes@s.test r1@r.test)" "250 " "a sender that is known"
out=$(ask yes@strict.test r1@r.test)
has "$out" "Postmaster verification failed while checking <yes@strict.test>" postmaster
has "$out" "no good: postmaster" postmaster

# It is spoken to as by a delivery: with a name for the address, logged in.  Hosts that cannot be found are none that said yes.
: >"$BOX/peer.log"
has "$(ask a@b.test later@login.test)" "250 " "a host that wants a login"
has "$(cat "$BOX/peer.log")" "EHLO later.of.login.test" "helo_data"
has "$(cat "$BOX/peer.log")" "AUTH PLAIN $(printf '\0us\0secret-of-127.0.0.1' | base64)" "hosts_require_auth"
has "$(ask a@b.test later@nowhere.test)" "451" "hosts that cannot be found"

# random: a host that takes anything is believed for its whole domain; one that does not is asked on.  From postmaster here.
: >"$BOX/peer.log"
out=$(ask a@b.test random1@loose.test random2@loose.test random1@strict.test random2@strict.test random-no@strict.test)
eq "$(echo "$out" | grep -c '^250 ')" 4 "recipients with random"
wait_for 20 grep -qF -- "random <random>" "$BOX/var/log/mainlog"
eq "$(grep RCPT "$BOX/peer.log" | tr '\n' ' ')" "RCPT TO:<nosuch@loose.test> RCPT TO:<nosuch@strict.test> RCPT TO:<random1@strict.test> \
RCPT TO:<random2@strict.test> RCPT TO:<random-no@strict.test> " "questions with random"
has "$(cat "$BOX/peer.log")" "MAIL FROM:<postmaster@here.test>" use_postmaster

# fullpostmaster; what a second question for the domain takes from the first.
: >"$BOX/peer.log"
eq "$(ask a@b.test full1@semi.test full2@semi.test | grep -c '^250 ')" 2 fullpostmaster
eq "$(grep -c 'RCPT TO:<postmaster' "$BOX/peer.log")" 2 "questions about postmasters"
has "$(cat "$BOX/peer.log")" "RCPT TO:<postmaster>" fullpostmaster

# Times, an option in the wrong place, header_sender from an address of its own.
has "$(ask a@b.test waits-slow@x.test)" "451 " "a host that is slower than the callout"
has "$(ask a@b.test wrong@x.test)" "451 " "mailfrom of a recipient"
wait_for 20 grep -qF -- '"mailfrom" is allowed as a callout option only for verify=header_sender' "$BOX/var/log/mainlog"
: >"$BOX/peer.log"
mt send "$SMTP" a@b.test field@r.test >/dev/null || true
has "$(cat "$BOX/peer.log")" "MAIL FROM:<chk@here.test>" "header_sender with mailfrom"
