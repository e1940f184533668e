#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Small mail client for the tests: sends by SMTP, reads by IMAP and POP3, prints what it got.

  send PORT FROM TO[,TO...] [--host H] [--user U --password P] [--tls] [--subject S] [--file F|--body B] [--count N] [--source ADDR]
  rcpt PORT FROM TO...            the code of each RCPT TO, one a line: "550 5.7.1 text"
  talk PORT [--host H]            lines of standard input to a server, the answers to standard output
  imap PORT USER PASSWORD count [FOLDER] | list [FOLDER] | fetch N [FOLDER] | ids HEADER [FOLDER] | delete-all [FOLDER]
  pop PORT USER PASSWORD count | retr N | uidl | dele N
"""
import argparse, email, imaplib, poplib, re, smtplib, socket, ssl, sys, time

imaplib._MAXLINE = 100_000_000
poplib._MAXLINE = 100_000_000


def tls():
    c = ssl.create_default_context()
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    return c


def from_address(ip):
    """All connections come from <ip> from now on."""
    connect = socket.create_connection
    socket.create_connection = lambda address, timeout=60, source_address=None, **k: connect(address, timeout or 60, (ip, 0))


def send(a):
    s = smtplib.SMTP(a.host, a.port, local_hostname=a.helo, timeout=60)
    s.ehlo()
    if a.tls:
        s.starttls(context=tls())
        s.ehlo()
    if a.user:
        s.login(a.user, a.password)
    for i in range(a.count):
        if a.file:
            data = open(a.file, 'rb').read() if a.file != '-' else sys.stdin.buffer.read()
            data = re.sub(rb'\r?\n', b'\r\n', data)
        else:
            data = ('From: <%s>\r\nTo: %s\r\nSubject: %s\r\nX-Number: %d\r\n\r\n%s\r\n' %
                    (a.sender, a.to, a.subject, i, a.body)).encode()
        refused = s.sendmail(a.sender, a.to.split(','), data)
        for r, (code, text) in refused.items():
            print(r, code, text.decode('utf-8', 'replace'))
    s.quit()


def rcpt(a):
    s = smtplib.SMTP(a.host, a.port, local_hostname=a.helo, timeout=60)
    s.ehlo()
    code, text = s.docmd('MAIL FROM:<%s>' % a.sender)
    if code != 250:
        print(code, text.decode('utf-8', 'replace').replace('\n', ' '))
        return
    for r in a.to:
        code, text = s.docmd('RCPT TO:<%s>' % r if not r.startswith('<') else 'RCPT TO:' + r)
        print(code, text.decode('utf-8', 'replace').replace('\n', ' '))
    s.close()


def talk(a):
    s = socket.create_connection((a.host, a.port), 30)
    f = s.makefile('rb')

    def answer():
        while True:
            line = f.readline()
            if not line:
                return False
            sys.stdout.write(line.decode('latin-1').rstrip('\r\n') + '\n')
            if not re.match(rb'^\d\d\d-', line):
                return True
    answer()
    for line in sys.stdin:
        s.sendall(line.rstrip('\n').encode('latin-1') + b'\r\n')
        if not answer():
            break


def imap(a):
    m = imaplib.IMAP4(a.host, a.port)
    m.login(a.user, a.password)
    what, rest = a.what, a.rest
    folder = 'INBOX'
    if what in ('count', 'list', 'delete-all') and rest:
        folder = rest[0]
    elif len(rest) > 1:
        folder = rest[1]
    if what == 'count':
        r = m.status(folder, '(MESSAGES)')[1][0].decode()
        print(re.search(r'MESSAGES (\d+)', r).group(1))
    else:
        m.select(folder, readonly=what != 'delete-all')
        if what == 'list':
            for row in m.fetch('1:*', '(UID FLAGS RFC822.SIZE)')[1]:
                print(row.decode() if row else '')
        elif what == 'fetch':
            sys.stdout.buffer.write(m.fetch(rest[0], '(BODY.PEEK[])')[1][0][1])
        elif what == 'ids':
            typ, rows = m.fetch('1:*', '(BODY.PEEK[HEADER.FIELDS (%s)])' % rest[0])
            for row in rows:
                if isinstance(row, tuple):
                    print(row[1].decode('latin-1').split(':', 1)[-1].strip())
        elif what == 'delete-all':
            m.store('1:*', '+FLAGS.SILENT', '(\\Deleted)')
            m.expunge()
    m.logout()


def pop(a):
    p = poplib.POP3(a.host, a.port, timeout=60)
    p.user(a.user)
    p.pass_(a.password)
    if a.what == 'count':
        print(p.stat()[0])
    elif a.what == 'retr':
        sys.stdout.buffer.write(b'\r\n'.join(p.retr(int(a.rest[0]))[1]) + b'\r\n')
    elif a.what == 'uidl':
        for row in p.uidl()[1]:
            print(row.decode())
    elif a.what == 'dele':
        p.dele(int(a.rest[0]))
    p.quit()


def main():
    ap = argparse.ArgumentParser()
    sub = ap.add_subparsers(dest='cmd', required=True)

    def common(p):
        p.add_argument('port', type=int)
        p.add_argument('--host', default='127.0.0.1')
        p.add_argument('--helo', default='client.test')
        p.add_argument('--source')
    p = sub.add_parser('send')
    common(p)
    p.add_argument('sender')
    p.add_argument('to')
    for o in ('--user', '--password', '--file'):
        p.add_argument(o)
    p.add_argument('--subject', default='test')
    p.add_argument('--body', default='body')
    p.add_argument('--count', type=int, default=1)
    p.add_argument('--tls', action='store_true')
    p.set_defaults(fn=send)
    p = sub.add_parser('rcpt')
    common(p)
    p.add_argument('sender')
    p.add_argument('to', nargs='+')
    p.set_defaults(fn=rcpt)
    p = sub.add_parser('talk')
    common(p)
    p.set_defaults(fn=talk)
    for name, fn in (('imap', imap), ('pop', pop)):
        p = sub.add_parser(name)
        common(p)
        p.add_argument('user')
        p.add_argument('password')
        p.add_argument('what')
        p.add_argument('rest', nargs='*')
        p.set_defaults(fn=fn)
    a = ap.parse_args()
    if a.source:
        from_address(a.source)
    try:
        a.fn(a)
    except (smtplib.SMTPException, imaplib.IMAP4.error, poplib.error_proto, OSError) as e:
        print('%s: %s' % (type(e).__name__, e))
        sys.exit(1)


main()
