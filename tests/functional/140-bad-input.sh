# shellcheck shell=bash
# What no program should send: many recipients, endless lines, NULs, bare LF, commands out of order, too many connections.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
box_start
python3 - "$SMTP" "$IMAP" "$POP3" <<'X'
import re, smtplib, socket, sys
smtp, imap, pop3 = map(int, sys.argv[1:])

def dial(port):
    s = socket.create_connection(('127.0.0.1', port), 60)
    s.settimeout(60)
    return s, s.makefile('rb')

def answer(f):
    while True:
        l = f.readline()
        if l[3:4] != b'-':
            return l

def cmd(s, f, c):
    s.sendall(c + b'\r\n')
    return answer(f)

def want(got, *codes):
    if not any(got.startswith(c.encode()) for c in codes):
        sys.exit('answered %r, wanted one of %s' % (got, codes))

# Commands out of order.
s, f = dial(smtp); answer(f)
want(cmd(s, f, b'MAIL FROM:<a@b.test>'), '503 5.5.1', '250 2.1.0')
s, f = dial(smtp); answer(f)
want(cmd(s, f, b'EHLO x'), '250')
want(cmd(s, f, b'RCPT TO:<joe@local.test>'), '503 5.5.1')
want(cmd(s, f, b'DATA'), '503 5.5.1')
want(cmd(s, f, b'BDAT 3'), '503 5.5.1', '5')
s, f = dial(smtp); answer(f); cmd(s, f, b'EHLO x')
want(cmd(s, f, b'MAIL FROM:<a@b.test>'), '250 2.1.0')
want(cmd(s, f, b'MAIL FROM:<a@b.test>'), '503 5.5.1')
want(cmd(s, f, b'DATA'), '503 5.5.1', '554 5.5.1')

# 10,000 recipients: those above the limit get 452, the others get the message.
s, f = dial(smtp); answer(f); cmd(s, f, b'EHLO x'); cmd(s, f, b'MAIL FROM:<a@b.test>')
ok = full = 0
for block in range(100):
    s.sendall(b''.join(b'RCPT TO:<joe+%d@local.test>\r\n' % (block * 100 + i) for i in range(100)))
    for i in range(100):
        a = answer(f)
        ok += a.startswith(b'250 2.1.5'); full += a.startswith(b'452 4.5.3')
if ok != 1000 or ok + full != 10000:
    sys.exit('%d recipients taken, %d refused with 452 4.5.3' % (ok, full))
want(cmd(s, f, b'RSET'), '250')

# An endless command line; an endless line in a message.
s, f = dial(smtp); answer(f)
s.sendall(b'EHLO ' + b'x' * 200000 + b'\r\n')
want(answer(f), '500 5.5.2', '501 5.5.', '500 5.5.', '421')
s, f = dial(smtp); answer(f); cmd(s, f, b'EHLO x'); cmd(s, f, b'MAIL FROM:<a@b.test>'); cmd(s, f, b'RCPT TO:<joe@local.test>')
want(cmd(s, f, b'DATA'), '354')
s.sendall(b'Subject: long\r\n\r\n')
piece = b'y' * 1000000
for i in range(100):
    s.sendall(piece)
s.sendall(b'\r\n.\r\n')
want(answer(f), '552 5.3.4', '554 5.6.0', '550 5.6.0', '500 5.5.2', '554 5.3.4')
# NUL bytes and bare LF: refused or kept, never the end of the message.
for body, codes in ((b'a\0b\r\n', ('250', '550', '554')), (b'a\nb\r\n', ('550 5.6.11', '554 5.6.11', '250'))):
    want(cmd(s, f, b'MAIL FROM:<a@b.test>'), '250')
    want(cmd(s, f, b'RCPT TO:<joe@local.test>'), '250')
    want(cmd(s, f, b'DATA'), '354')
    s.sendall(b'Subject: odd\r\n\r\n' + body + b'.\r\n')
    want(answer(f), *codes)
# Bytes that are no command.
s, f = dial(smtp); answer(f)
s.sendall(bytes(range(128, 256)) * 10 + b'\r\n')
want(answer(f), '500 5.5.2', '500 5.5.1', '554', '421', '501')
# Garbage on IMAP and POP3: an error, then an end; never silence.
for port, junk in ((imap, b'\xff\xfe garbage {99999999999}\r\n'), (imap, b'a LOGIN {999999999}\r\n'), (imap, b'x' * 300000 + b'\r\n'),
                   (pop3, b'x' * 300000 + b'\r\n'), (pop3, b'USER ' + b'y' * 5000 + b'\r\n')):
    s, f = dial(port); f.readline()
    s.sendall(junk)
    got = f.readline()
    if not re.match(rb'^(\* BAD|a BAD|a NO|\S+ BAD|\* BYE|-ERR|a \S+ BAD)', got):
        sys.exit('%r... was answered %r' % (junk[:20], got))
X
mt send "$SMTP" a@out.test joe@local.test --subject "still alive" || die "the server is gone"

# 10,000 connections from one address that is not the box itself: the limit holds, others are served.
python3 - "$SMTP" <<'X'
import resource, socket, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
port = int(sys.argv[1])
open_, refused, socks = 0, 0, []
for i in range(10000):
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_IP, 24, 1)     # IP_BIND_ADDRESS_NO_PORT: ports of a run before may still rest
    s.bind(('127.0.0.3', 0))
    s.settimeout(60)
    s.connect(('127.0.0.1', port))
    if i < 400 or i % 100 == 0:
        got = s.recv(512)
        if got.startswith(b'220'):
            open_ += 1
            socks.append(s)
        elif got.startswith(b'421 4.'):
            refused += 1
            s.close()
        else:
            sys.exit('connection %d: %r' % (i, got))
    else:
        s.close()
if open_ > 210 or refused == 0:
    sys.exit('%d sessions were open at once, %d refused' % (open_, refused))
t = socket.create_connection(('127.0.0.1', port), 60)
if not t.recv(512).startswith(b'220'):
    sys.exit('another address is not served meanwhile')
X
# vusers with bad lines: named with file and line, the good ones work.
printf 'joe2:{PLAIN}x:::::\n:no name\nbad line without colon\n\0nul\n' >>"$BOX/etc/vusers"
vpost check "$BOX" >"$T/check" 2>&1 && die "check is content with bad lines in vusers"
grep -q 'vusers:[0-9]*:' "$T/check" || { cat "$T/check"; die "no file:line"; }
eq "$(mt imap "$IMAP" joe pw-joe count | grep -c .)" 1 "login of a good user"
# exim.conf with several mistakes: all are told, with file:line; a reload with them keeps the old configuration.
printf '\nbegin nonsense\nfoo = bar\n' >>"$BOX/etc/exim.conf"
sed -i 's/^recipients_max = .*/recipients_maximum = 5\nmessage_size_limit = ${bad/' "$BOX/etc/exim.conf"
vpost check "$BOX" >"$T/check" 2>&1 && die "check is content with mistakes in exim.conf"
[ "$(grep -cE 'exim.conf:[0-9]+: ' "$T/check")" -ge 3 ] || { cat "$T/check"; die "not all mistakes are told"; }
vpost reload "$BOX" >"$T/reload" 2>&1 && die "a reload with mistakes"
[ "$(grep -cE 'exim.conf:[0-9]+: ' "$T/reload")" -ge 3 ] || { cat "$T/reload"; die "reload does not tell all mistakes"; }
has "$(tail -n 1 "$T/reload")" "vpost reload: not done: the daemons go on with what they have"
kill -HUP "$RUN"
sleep 1
has "$(mt rcpt "$SMTP" a@out.test joe@local.test)" "250 2.1.5" "after a reload with mistakes"
