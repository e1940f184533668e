# shellcheck shell=bash
# Only CRLF . CRLF ends a message: no wrong sequence lets a second message in, or leaves us when relayed.
. "$(dirname "$0")/../lib/box.sh"
[ -n "${VPOST_SUITES-}" ] || skip "VPOST_SUITES is not set"

box_make
box_users joe
box_start
python3 - "$SMTP" "$VPOST_SUITES/smtp-smuggling/eod-sequences.txt" <<'X'
import re, socket, sys
port, table = int(sys.argv[1]), sys.argv[2]
n = 0
for line in open(table):
    if line.startswith('#') or not line.strip():
        continue
    way, seq = line.rstrip('\n').split('\t')
    if 'in' not in way.split(','):
        continue
    seq = seq.encode().decode('unicode_escape').encode('latin-1')
    for newline in (b'\r\n', b'\n'):
        s = socket.create_connection(('127.0.0.1', port), 60)
        f = s.makefile('rb')
        f.readline()
        for cmd in (b'EHLO x', b'MAIL FROM:<a@out.test>', b'RCPT TO:<joe@local.test>', b'DATA'):
            s.sendall(cmd + b'\r\n')
            while True:
                l = f.readline()
                if l[3:4] != b'-':
                    break
        if not l.startswith(b'354'):
            sys.exit('DATA: %r' % l)
        second = newline.join((b'MAIL FROM:<smuggled@out.test>', b'RCPT TO:<joe@local.test>', b'DATA', b'Subject: SMUGGLED', b'', b'x'))
        s.sendall(b'Subject: first\r\n\r\nline' + seq + second + b'\r\n.\r\n')
        got = b''
        s.settimeout(3)
        try:
            s.sendall(b'QUIT\r\n')
            while True:
                d = s.recv(4096)
                if not d:
                    break
                got += d
        except (socket.timeout, OSError):
            pass
        # One answer to the one message, then QUIT's.
        codes = re.findall(rb'^(\d\d\d)[ ]', got, re.M)
        if len(codes) > 2 or b'354' in codes:
            sys.exit('%r: commands of the body were carried out: %r' % (seq, got))
        n += 1
print(n, 'sequences')
if n < 18:
    sys.exit('too few sequences')
X
sleep 1
python3 - "$IMAP" <<'X'
import imaplib, sys
m = imaplib.IMAP4('127.0.0.1', int(sys.argv[1])); m.login('joe', 'pw-joe'); m.select()
for row in m.search(None, 'ALL')[1][0].split():
    h = m.fetch(row, '(BODY.PEEK[HEADER])')[1][0][1]
    if b'SMUGGLED' in h.split(b'\r\n\r\n')[0] or b'smuggled@' in h:
        sys.exit('a smuggled message came in: %r' % h)
X
