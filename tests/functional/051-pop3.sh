# shellcheck shell=bash
# POP3 in detail: every command, the snapshot, deletions at QUIT, pipelining, STLS, SASL, the end of a session (S4-28, S4-29).
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe ann
conf "auth_delay = 0s"
conf "cram_md5 = yes"
printf 'clear:{PLAIN}tanstaaf:::::\n' >>"$BOX/etc/vusers"
box_start
cat >"$T/pop.py" <<'X'
import base64, hashlib, imaplib, poplib, re, socket, ssl, sys
imap, pop, pops = map(int, sys.argv[1:])

def check(what, got, want):
    if got != want:
        sys.exit('%s: got %r, want %r' % (what, got, want))

def login(user='joe'):
    p = poplib.POP3('127.0.0.1', pop, timeout=60)
    p.user(user)
    p.pass_('pw-' + user)
    return p

def refused(p, line, text=''):
    try:
        sys.exit('%s was taken: %r' % (line, p._shortcmd(line)))
    except poplib.error_proto as e:
        if text.encode() not in e.args[0]:
            sys.exit('%s: answer %r lacks %r' % (line, e.args[0], text))

one = b'From: a@b\r\nSubject: one\r\n\r\nhello\r\n.dot\r\n..two\r\n.\r\nend\r\n'
two = b'From: a@b\r\nSubject: two\r\n\r\n' + b'line\r\n' * 20000
three = b'From: a@b\r\nSubject: three\r\n\r\nlast'
m = imaplib.IMAP4('127.0.0.1', imap)
m.login('joe', 'pw-joe')
for x in (one, two, three):
    m.append('INBOX', None, None, x)
m.create('INBOX.Spam')
m.append('INBOX.Spam', None, None, b'Subject: spam\r\n\r\nspam')

p = login()
check('STAT: the INBOX only', p.stat(), (3, len(one + two + three)))
check('LIST', p.list()[1], [b'1 %d' % len(one), b'2 %d' % len(two), b'3 %d' % len(three)])
ids = p.uidl()[1]
check('UIDL n', p.uidl(2)[4:], ids[1])
for n, x in ((1, one), (2, two), (3, three + b'\r\n')):
    check('RETR %d' % n, b'\r\n'.join(p.retr(n)[1]) + b'\r\n', x)
check('TOP 1 2', p.top(1, 2)[1], [b'From: a@b', b'Subject: one', b'', b'hello', b'.dot'])
check('TOP 2 0', p.top(2, 0)[1], [b'From: a@b', b'Subject: two', b''])
p.dele(1)
check('STAT after DELE', p.stat(), (2, len(two + three)))
check('LIST after DELE', p.list()[1], [b'2 %d' % len(two), b'3 %d' % len(three)])
for line in ('RETR 1', 'DELE 1', 'LIST 1', 'UIDL 1', 'TOP 1 1', 'RETR 4', 'RETR 0', 'RETR', 'RETR x', 'LIST 1 2', 'XYZZY', 'USER joe', 'STLS',
             'AUTH PLAIN', 'TOP 1', 'RETR 99999999999'):
    refused(p, line)
p.rset()
check('STAT after RSET', p.stat(), (3, len(one + two + three)))
p.noop()
p.dele(2)
p.quit()
m.select('INBOX')
check('IMAP after QUIT', m.uid('search', None, 'ALL')[1], [b'1 3'])
check('fetched messages are read', m.uid('search', None, 'SEEN')[1], [b'1 3'])

# Whoever goes without QUIT deletes nothing.
p = login()
p.dele(1)
p.close()
p = login()
check('after a lost session', p.uidl()[1], [b'1 ' + ids[0][2:], b'2 ' + ids[2][2:]])

# Two sessions at once: each has its own view, what one removed is gone for the other, nothing else is.
q = login()
q.dele(1)
q.quit()
refused(p, 'RETR 1', 'removed')
check('RETR of the other one', p.retr(2)[1][-1], b'last')
m.append('INBOX', None, None, one)
check('numbers do not move', p.stat()[0], 2)
p.dele(1)
p.quit()
p = login()
check('new mail in the next session', p.stat(), (2, len(three + one)))
p.quit()

# Pipelining across the login, and a QUIT behind it all.
s = socket.create_connection(('127.0.0.1', pop), 60)
s.sendall(b'CAPA\r\nUSER joe\r\nPASS pw-joe\r\nSTAT\r\nRETR 1\r\nNOOP\r\nQUIT\r\n')
b = b''
while d := s.recv(65536):
    b += d
check('pipelined answers', [l[:3] for l in b.split(b'\r\n') if l[:3] == b'+OK'], [b'+OK'] * 8)
for word in (b'\r\nTOP\r\n', b'\r\nUIDL\r\n', b'\r\nPIPELINING\r\n', b'\r\nSTLS\r\n', b'\r\nUSER\r\n', b'\r\nRESP-CODES\r\n', b'\r\nAUTH-RESP-CODE\r\n', b'SCRAM-SHA-256'):
    if word not in b:
        sys.exit('CAPA lacks %r' % word)
if b'ANONYMOUS' in b:
    sys.exit('ANONYMOUS is offered')

# TLS: STLS, port 995, and no input before the handshake.
ctx = ssl.create_default_context()
ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
p = poplib.POP3('127.0.0.1', pop, timeout=60)
p.stls(ctx)
check('no STLS within TLS', 'STLS' in p.capa(), False)
p.user('joe')
p.pass_('pw-joe')
check('RETR over TLS', b'\r\n'.join(p.retr(2)[1]) + b'\r\n', one)
p.quit()
p = poplib.POP3_SSL('127.0.0.1', pops, context=ctx, timeout=60)
p.user('ann')
p.pass_('pw-ann')
check('an empty maildrop', (p.stat(), p.list()[1], p.uidl()[1]), ((0, 0), [], []))
p.quit()
s = socket.create_connection(('127.0.0.1', pop), 60)
s.recv(1000)
s.sendall(b'STLS\r\nUSER joe\r\nPASS pw-joe\r\nSTAT\r\n')
b = b''
try:
    while d := s.recv(65536):
        b += d
except ConnectionError:
    pass
if b'welcome' in b:
    sys.exit('commands in front of TLS were taken: %r' % b)

def talk(lines):
    s = socket.create_connection(('127.0.0.1', pop), 60)
    f = s.makefile('rwb')
    out = [f.readline()]
    for l in lines:
        f.write((l(out) if callable(l) else l) + b'\r\n')
        f.flush()
        out.append(f.readline())
    return out

b64 = base64.b64encode
check('AUTH PLAIN', talk([b'AUTH PLAIN ' + b64(b'\0joe\0pw-joe')])[1], b'+OK joe is welcome here\r\n')
check('AUTH PLAIN with an address', talk([b'AUTH PLAIN ' + b64(b'\0joe@local.test\0pw-joe')])[1], b'+OK joe is welcome here\r\n')
check('AUTH LOGIN', talk([b'AUTH LOGIN', b64(b'ann'), b64(b'pw-ann')])[3], b'+OK ann is welcome here\r\n')
for wrong in ([b'AUTH PLAIN', b64(b'\0joe\0x')], [b'USER joe', b'PASS x'], [b'USER nobody', b'PASS x'], [b'AUTH PLAIN ' + b64(b'ann\0joe\0pw-joe')]):
    a = talk(wrong)[-1]
    if not a.startswith(b'-ERR [AUTH]'):
        sys.exit('%r: %r' % (wrong, a))
for bad in ([b'AUTH ANONYMOUS'], [b'AUTH PLAIN', b'*'], [b'AUTH PLAIN', b'!!!'], [b'PASS pw-joe'], [b'STAT'], [b'USER'], [b'x' * 5000], [b'a\0b']):
    a = talk(bad)[-1]
    if not a.startswith(b'-ERR'):
        sys.exit('%r: %r' % (bad, a))
# APOP: only for a password that is stored in clear.
def apop(user, secret):
    return lambda out: b'APOP ' + user + b' ' + hashlib.md5(re.search(rb'<.*>', out[0]).group() + secret).hexdigest().encode()
check('APOP', talk([apop(b'clear', b'tanstaaf')])[1], b'+OK clear is welcome here\r\n')
check('APOP, wrong', talk([apop(b'clear', b'x')])[1][:11], b'-ERR [AUTH]')
check('APOP of another scheme', talk([apop(b'joe', b'pw-joe')])[1][:11], b'-ERR [AUTH]')
# Guessing ends the connection.
a = talk([b'USER joe', b'PASS 1', b'USER joe', b'PASS 2', b'USER joe', b'PASS 3', b'USER joe', b'PASS 4', b'USER joe', b'PASS 5', b'NOOP'])
check('the connection after five wrong passwords', a[-1], b'')
X
python3 "$T/pop.py" "$IMAP" "$POP3" "$POP3S" || die "POP3"
# The ids stay the same over a restart.
before=$(mt pop "$POP3" joe pw-joe uidl)
box_stop
box_start
eq "$(mt pop "$POP3" joe pw-joe uidl)" "$before" "UIDL after a restart"
# vauthd away: a temporary failure that says so, and back without help.
kill -STOP "$(daemon_pid vauthd)"
kill -KILL "$(pgrep -P "$(daemon_pid vauthd)")"
has "$(printf 'USER joe\nPASS pw-joe\n' | mt talk "$POP3")" "[SYS/TEMP]" "PASS without vauthd"
kill -CONT "$(daemon_pid vauthd)"
wait_for 10 mt pop "$POP3" joe pw-joe count
# The store away.
kill -STOP "$(daemon_pid vstored)"
eq "$(mt pop "$POP3" ann pw-ann count)" 0 "reading goes on while vstored is away"
kill -CONT "$(daemon_pid vstored)"
