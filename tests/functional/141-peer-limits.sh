# shellcheck shell=bash
# What a peer says again and again takes no memory that grows, and what it said before STARTTLS is forgotten.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
box_start
python3 - "$SMTP" "$BOX" <<'X' || die "a session went wrong"
import base64, glob, os, re, socket, ssl, sys
port, box = int(sys.argv[1]), sys.argv[2]


class Session:
    def __init__(self):
        self.s = socket.create_connection(('127.0.0.1', port), 30)
        self.f = self.s.makefile('rb')
        self.reply()

    def reply(self):
        lines = []
        while not lines or lines[-1][3:4] == b'-':
            lines.append(self.f.readline())
            if not lines[-1]:
                break
        return b''.join(lines)

    def say(self, line, want):
        self.s.sendall(line + b'\r\n')
        got = self.reply()
        if not got.startswith(want):
            sys.exit('%r: %r, not %r' % (line, got, want))
        return got

    def starttls(self):
        self.say(b'STARTTLS', b'220')
        c = ssl.create_default_context()
        c.check_hostname = False
        c.verify_mode = ssl.CERT_NONE
        self.s = c.wrap_socket(self.s)
        self.f = self.s.makefile('rb')


def memory():
    """KiB of the workers; sanitizers keep what is freed, so with them nothing can be said."""
    if os.environ.get('VPOST_SAN'):
        return 1
    parent, total = open(box + '/var/run/vsmtpd.pid').read().strip(), 0
    for path in glob.glob('/proc/[0-9]*/status'):
        try:
            status = open(path).read()
            if re.search(r'PPid:\s+%s\n' % parent, status):
                total += int(re.search(r'VmRSS:\s+(\d+)', status)[1])
        except OSError:
            pass
    return total


# RFC 3207 section 4.2: somebody between could have authenticated.
a = Session()
a.say(b'EHLO a', b'250')
a.say(b'AUTH PLAIN ' + base64.b64encode(b'\0joe\0pw-joe'), b'235')
a.starttls()
if b'AUTH PLAIN' not in a.say(b'EHLO a', b'250'):
    sys.exit('authentication outlives STARTTLS')
a.say(b'AUTH PLAIN ' + base64.b64encode(b'\0joe\0pw-joe'), b'235')

# Recipients past recipients_max: 100,000 long ones.
a = Session()
a.say(b'EHLO a', b'250')
a.say(b'MAIL FROM:<a@b.test>', b'250')
before = memory()
line = b'RCPT TO:<' + b'x' * 120 + b'@' + b'y' * 60 + b'.' + b'z' * 60 + b'.test>\r\n'
for _ in range(500):
    a.s.sendall(line * 200)
    for _ in range(200):
        last = a.reply()
if not last.startswith(b'452 4.5.3'):
    sys.exit('a recipient too many: %r' % last)
if before == 0 or memory() - before > 20000:
    sys.exit('memory grew from %d to %d KiB' % (before, memory()))
a.say(b'QUIT', b'221')

# One message of 24 MB with millions of addresses.
a = Session()
a.say(b'EHLO a', b'250')
a.say(b'MAIL FROM:<a@b.test>', b'250')
a.say(b'RCPT TO:<joe@local.test>', b'250')
a.say(b'DATA', b'354')
a.s.sendall(b'From: a@b.test\r\n' + (b'To: ' + b'a@b,' * 600 + b'c@d\r\n') * 9900 + b'\r\n')
a.say(b'.', b'552 5.3.4')
a.say(b'MAIL FROM:<a@b.test>', b'250')
a.say(b'RCPT TO:<joe@local.test>', b'250')
a.say(b'DATA', b'354')
a.s.sendall(b'From: a@b.test\r\n' + (b'To: ' + b'a@b,' * 600 + b'c@d\r\n') * 400 + b'\r\n')
a.say(b'.', b'250')
if memory() - before > 60000:
    sys.exit('memory grew from %d to %d KiB by addresses' % (before, memory()))
X
