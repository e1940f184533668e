# shellcheck shell=bash
# control = cutthrough_delivery: the next host has the beginning of a message before its end came in; where that host fails, or cuts the
# connection, the spool has it, once.
. "$(dirname "$0")/../lib/box.sh"

box_make
PEER=$((SMTP + 90))
cat >"$BOX/etc/exim.conf" <<X
primary_hostname = here.test
acl_smtp_rcpt = check
acl_smtp_data = data
log_selector = +smtp_confirmation
begin acl
check:
  warn   control = cutthrough_delivery
  accept verify = recipient/callout=30s,use_sender,no_cache
data:
  deny   condition = \${if match{\$h_subject:}{forbidden}}
  accept
begin routers
there:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = smtp
begin transports
smtp:
  driver = smtp
  port = $PEER
  allow_localhost
begin retry
* * F,1h,1s
X
python3 - "$PEER" "$BOX" <<'X' &
import hashlib, socket, sys, threading

log, seen = open(sys.argv[2] + '/peer.log', 'a', 1), set()
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', int(sys.argv[1])))
s.listen(20)


def content(c, f, rcpts):
    what, first, body = rcpts[0], rcpts[0] not in seen, []
    seen.add(what)
    for line in f:
        if line == b'.\r\n':
            break
        body.append(line)
        if len(body) == 1:
            log.write('begins %s\n' % what)
        if what == 'break' and first and len(body) > 100:
            return False
    else:
        log.write('unfinished %s\n' % what)
        return False
    if what == 'silent' and first:
        return False
    text = b''.join(x[1:] if x.startswith(b'.') else x for x in body)
    text = text[text.index(b'\r\n\r\n') + 4:]
    log.write('whole %s %d %s\n' % (','.join(rcpts), len(text), hashlib.sha1(text).hexdigest()))
    f.write(b'550 no content\r\n' if what == 'no' else b'250 taken\r\n')
    return True


def serve(c):
    f, rcpts = c.makefile('rwb', 0), []
    f.write(b'220 peer\r\n')
    for line in f:
        word = line.strip().decode('latin-1')
        if word.startswith('MAIL'):
            rcpts = []
        if word.startswith('RCPT'):
            rcpts.append(word.split('<')[1].split('@')[0])
        f.write(b'354 go\r\n' if word == 'DATA' else b'250 ok\r\n')
        if word == 'DATA' and not content(c, f, rcpts):
            break
    try:
        c.shutdown(2)
    except OSError:
        pass


while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
X
PEER_PID=$!
at_end() { kill $PEER_PID 2>/dev/null; }
box_start
wait_port "$PEER"
export PEER_LOG=$BOX/peer.log

send() { # HOW RECIPIENT...: the answer to the content and its digest; HOW: wait (for the peer, in the middle), leave, or only a subject
	python3 - "$SMTP" "$@" <<'X'
import hashlib, os, socket, sys, time
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 30)
f, how = s.makefile('rwb', 0), sys.argv[2]


def reply():
    line = b'xxx-'
    while line[3:4] == b'-':
        line = f.readline()
    return line.decode().strip()


def wait():
    for i in range(300):
        if 'begins ' + sys.argv[3] in open(os.environ['PEER_LOG']).read():
            return
        time.sleep(0.1)
    sys.exit('the peer has nothing yet')


reply()
for c in ['EHLO me.test', 'MAIL FROM:<a@b.test>'] + ['RCPT TO:<%s@there.test>' % r for r in sys.argv[3:]] + ['DATA']:
    f.write(c.encode() + b'\r\n')
    reply()
body = b''.join(b'%sline %d\r\n' % (b'.' * (i % 3), i) for i in range(20000))
f.write(('Subject: %s\r\n\r\n' % how).encode())
sent = body.replace(b'\r\n.', b'\r\n..')
s.sendall(sent[:200000])
if how in ('wait', 'leave'):
    wait()
if how != 'leave':
    s.sendall(sent[200000:] + b'.\r\n')
    print(reply(), '%d %s' % (len(body), hashlib.sha1(body).hexdigest()))
X
}
sent_again() { local i; for i in $(seq 60); do sendmail -qff; sleep 1; grep -q "whole $1" "$PEER_LOG" && return 0; done; return 1; }
empty_queue() { [ -z "$(sendmail -bp)" ]; }

out=$(send wait one two) || die "$out"
has "$out" "250 " "the answer"
eq "$(grep -c whole "$PEER_LOG")" 1 "messages at the peer"
has "$(grep whole "$PEER_LOG")" "one,two ${out#* id=* }" "what the peer has"
wait_for 20 sh -c "[ \$(grep -c ' >> ' '$BOX/var/log/mainlog') = 2 ]"
eq "$(sendmail -bp)" "" "queue"

has "$(send go no)" "550 " "the peer's refusal"
eq "$(sendmail -bp)" "" "queue behind a refusal"
wait_for 20 grep -qF -- "no@there.test F=<a@b.test> rejected after DATA: R=there T=smtp" "$BOX/var/log/mainlog"

out=$(send go break)
has "$out" "250 " "the peer leaves in the middle"
# Whether that shows before the end of the content is for the kernel's buffers to say; then the message waits.
sent_again break || die "not sent again: $(cat "$PEER_LOG")"
has "$(grep "whole break" "$PEER_LOG")" "break ${out#* id=* }" "what was sent again"
wait_for 20 empty_queue || die "still queued: $(sendmail -bp)"

out=$(send go silent)
has "$out" "250 " "the peer does not answer the content"
wait_for 20 grep -qF "silent@there.test F=<a@b.test> tmp-reject from cutthrough after DATA: R=there T=smtp" "$BOX/var/log/mainlog"
sent_again silent || die "the silent one is not sent again"

send leave gone >/dev/null
has "$(send forbidden bad)" "550 " "our own refusal"
wait_for 10 grep -q "unfinished bad" "$PEER_LOG" || die "the peer saw an end: $(cat "$PEER_LOG")"
wait_for 10 grep -q "unfinished gone" "$PEER_LOG" || die "the peer saw an end of what its sender gave up"
wait_for 20 empty_queue || die "still queued: $(sendmail -bp)"
eq "$(grep -c 'whole break' "$PEER_LOG"),$(grep -c 'whole bad\|whole gone' "$PEER_LOG")" "1,0" "deliveries"
