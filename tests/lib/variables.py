#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""variables.py SENDMAIL TABLE: what variables hold in each phase of a message's life.

TABLE has lines "PHASE NAME REGEX".  One process of SENDMAIL plays sessions, filters, deliveries, a bounce and a warning under
a configuration that writes the variables of each phase to the log, to messages or through a pipe; each must match its regex
as a whole.  %W, %U, %G, %P and %N in a regex are the folder, our uid and gid, the receiver's port and our login."""
import os, pwd, re, shutil, socket, ssl, subprocess, sys, tempfile, threading, time

SENDMAIL, TABLE = sys.argv[1:3]
W = tempfile.mkdtemp(prefix='vpost-vars.')
os.chmod(W, 0o755)
USER = pwd.getpwuid(os.getuid()).pw_name
table = {}
for number, line in enumerate(open(TABLE, encoding='utf-8'), 1):
    if line.strip() and not line.startswith('#'):
        phase, name, want = (line.rstrip('\n').split(' ', 2) + [''])[:3]
        table.setdefault(phase, []).append((name, want, number))


class Sink(threading.Thread):
    """Takes mail over SMTP with STARTTLS, and keeps the headers."""

    def __init__(self):
        super().__init__(daemon=True)
        self.sock = socket.create_server(('127.0.0.1', 0))
        self.port, self.text = self.sock.getsockname()[1], ''
        self.tls = None
        if shutil.which('openssl'):
            subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
                            '-subj', '/O=Sink Co/CN=sink.test', '-keyout', W + '/sink.key', '-out', W + '/sink.crt'],
                           check=True, stderr=subprocess.DEVNULL)
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(W + '/sink.crt', W + '/sink.key')

    def run(self):
        while True:
            c, _ = self.sock.accept()
            try:
                self.one(c)
            except OSError:
                pass
            c.close()

    def one(self, c):
        c.sendall(b'220 sink ESMTP\r\n')
        f = c.makefile('rb')
        while line := f.readline():
            verb = line.split()[0].upper() if line.split() else b''
            self.text += line.decode('latin-1')
            if verb == b'EHLO':
                c.sendall(b'250-sink\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n')
            elif verb == b'STARTTLS':
                c.sendall(b'220 go\r\n')
                c = self.tls.wrap_socket(c, server_side=True)
                f = c.makefile('rb')
            elif verb == b'AUTH':
                c.sendall(b'235 fine\r\n')
            elif verb == b'DATA':
                c.sendall(b'354 go\r\n')
                while (line := f.readline()) not in (b'.\r\n', b''):
                    self.text += line.decode('latin-1')
                c.sendall(b'250 stored\r\n')
            elif verb == b'QUIT':
                c.sendall(b'221 bye\r\n')
                return
            else:
                c.sendall(b'250 OK\r\n')


def names(phase):
    return [n for n, _, _ in table.get(phase, [])]


def dump(phase):
    """Values stay on one line and never end a record."""
    return ''.join('@@%s %s=<${sg{$%s}{\\N\\n\\N}{~}}>' % (phase, n, n) for n in names(phase)) + '@@'


def plain(phase):
    """The same for filters, whose strings are short and know other escapes."""
    return ''.join('logwrite "@@%s %s=<$%s>@@"\n' % (phase, n, n) for n in names(phase))


def acl(name, extra='', last='accept'):
    lines = ''.join('  warn logwrite = :main: @@%s %s=<${sg{$%s}{\\N\\n\\N}{~}}>@@\n' % (name, n, n) for n in names(name))
    return '%s:\n%s%s  %s\n' % (name, extra, lines, last)


def config(sink):
    phases = 'connect helo vrfy predata data quit notquit nonsmtp_start nonsmtp'.split()
    return ('''primary_hostname = mail.local.test
spool_directory = %W/spool
log_file_path = %W/log/%slog
exim_user = %U
exim_group = %G
trusted_users = %U
keep_environment =
qualify_domain = local.test
qualify_recipient = rcpt.test
localhost_number = 7
bounce_return_size_limit = 12345
prod_requires_admin = false
queue_list_requires_admin = false
tls_advertise_hosts =
host_lookup =
smtputf8_advertise_hosts = *
delay_warning = 1s
recipient_delimiter_none =
domainlist local_domains = local.test
addresslist friends = lsearch;%W/friends
acl_smtp_connect = connect
acl_smtp_helo = helo
acl_smtp_vrfy = vrfy
acl_smtp_mail = mail
acl_smtp_rcpt = rcpt
acl_smtp_predata = predata
acl_smtp_data = data
acl_smtp_mime = mime
acl_smtp_quit = quit
acl_smtp_notquit = notquit
acl_not_smtp_start = nonsmtp_start
acl_not_smtp = nonsmtp
system_filter = %W/system
bounce_message_file = %W/bounce
warn_message_file = %W/warning
bounce_return_message = false
begin acl
'''.replace('recipient_delimiter_none =\n', '') + ''.join(acl(p) for p in phases) +
            acl('mail', '  warn senders = +friends\n') +
            acl('mime', '  warn decode = default\n') +
            acl('rcpt', '''  warn local_parts = args
       acl = args one two three four five six seven eight nine
  warn domains = +local_domains
       local_parts = lsearch;%W/locals
  warn recipients = lsearch;%W/rcpts
  warn hosts = net-lsearch;%W/hosts
  warn ratelimit = 100 / 1h / strict / key
  accept condition = ${if !eq{$local_part}{args}}
''') + acl('args') + '''begin routers
selfish:
  driver = manualroute
  domains = self.test
  route_list = * 127.0.0.1 byname
  self = pass
  transport = smtp
behind_self:
  driver = accept
  domains = self.test
  address_data = SELF_DUMP
  transport = file
alias:
  driver = redirect
  local_parts = alias
  domains = local.test
  data = carol@local.test
  redirect_router = boxes
pipes:
  driver = redirect
  local_parts = pipes
  domains = local.test
  data = %W/file.out, "|/bin/sh -c 'cat >>%W/pipe.out'"
  pipe_transport = pipe
  file_transport = address_file
filter:
  driver = redirect
  local_parts = filter
  domains = local.test
  allow_filter
  forbid_filter_logwrite = false
  file = %W/filter
  user = %U
  reply_transport = reply
late:
  driver = redirect
  allow_defer
  domains = late.test
  data = :defer: not today
sink:
  driver = manualroute
  domains = sink.test
  route_list = * 127.0.0.1::%P byname
  self = send
  transport = smtp
user:
  driver = accept
  domains = local.test
  local_parts = USER
  check_local_user
  address_data = USER_DUMP
  transport = file
boxes:
  driver = accept
  domains = local.test
  local_parts = lsearch;%W/locals
  local_part_prefix = *-list-
  local_part_prefix_optional
  local_part_suffix = +*
  local_part_suffix_optional
  address_data = ROUTE_DUMP
  transport = file
begin transports
file:
  driver = appendfile
  file = %W/mailbox
  current_directory = /
  user = %U
  headers_add = X-Route: $address_data\\nX-Transport: FILE_DUMP
pipe:
  driver = pipe
  user = %U
  headers_add = X-Pipe: PIPE_DUMP
address_file:
  driver = appendfile
  user = %U
  headers_add = X-File: ADDRESS_FILE_DUMP
reply:
  driver = autoreply
  user = %U
smtp:
  driver = smtp
  allow_localhost
  hosts_try_auth = *
  hosts_try_fastopen =
  helo_data = ${if eq{$sending_ip_address}{127.0.0.1}{from.$sending_ip_address}{nobody}}
  headers_add = X-Smtp: SMTP_DUMP
begin retry
* * F,1h,5m
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ${if !eq{$tls_out_cipher}{}{^user^pass}fail}
''').replace('SELF_DUMP', dump('self')).replace('USER_DUMP', dump('user')).replace('ADDRESS_FILE_DUMP', dump('address_file')).replace(
        'FILE_DUMP', dump('file')).replace('PIPE_DUMP', dump('pipe')).replace('ROUTE_DUMP', dump('route')).replace(
        'SMTP_DUMP', dump('smtp')).replace('local_parts = USER', 'local_parts = ' + USER).replace('%slog', '%%slog').replace(
        '%W', W).replace('%U', USER).replace('%G', str(os.getgid())).replace('%P', str(sink.port)).replace('%%slog', '%slog')


MESSAGE = ['Subject: parts', 'From: Al <al@far.test>', 'Reply-To: rr@far.test', 'To: x@local.test', 'MIME-Version: 1.0',
           'Content-Type: multipart/mixed; boundary=bb', '', '--bb', 'Content-Type: text/plain; charset=us-ascii; name="a.txt"',
           'Content-Disposition: attachment; filename="f.txt"', 'Content-Description: about', 'Content-ID: <cid1>',
           'Content-Transfer-Encoding: 7bit', '', 'body one', '', '--bb--']
PEER = ['-oMa', '192.0.2.33.4321', '-oMi', '192.0.2.1.25', '-oMs', 'host.client.test', '-oMt', 'identity', '-oMaa', 'mech', '-oMai', 'who']


def run(args, lines, eol='\n'):
    p = subprocess.run([SENDMAIL, '-C', W + '/conf'] + args, input=''.join(x + eol for x in lines).encode('utf-8'), cwd=W,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return p.stdout.decode('latin-1')


def smtp(args, lines):
    return run(['-odi', '-bs'] + args, lines, '\r\n')


def main():
    sink = Sink()
    sink.start()
    for d in ('spool', 'log'):
        os.mkdir(W + '/' + d)
    files = {'rcpts': 'args@local.test: a recipient\n', 'hosts': '192.0.2.33: a host\n', 'friends': 'al@far.test: a friend\n', 'locals': 'bob: Bob value\nargs: Args value\ncarol: Carol value\n',
             'filter': '# Exim filter\nlogfile %s/log/filterlog\nadd 5 to n3\n%sif foranyaddress $h_to: ("$thisaddress" is "x@local.test") then\nlogwrite "@@filter_any thisaddress=<x@local.test>@@"\nendif\n'
                       'add 1 to n0\nadd 2 to n1\nadd 3 to n2\nadd 4 to n4\nadd 6 to n5\nadd 7 to n6\nadd 8 to n7\nadd 9 to n8\nadd 10 to n9\n%s'
                       'deliver bob@local.test\n' % (W, plain('filter'), plain('filter_after')),
             'system': '# Exim filter\nlogfile %s/log/filterlog\n%s%s' % (W, ''.join('add %d to n%d\n' % (i + 11, i) for i in range(10)), plain('system')),
             'bounce': 'Subject: bounce\n****\n%s\n****\n****\n****\n****\n' % dump('bounce'),
             'warning': 'Subject: warning\n****\n%s\n****\n****\n' % dump('warning'), 'conf': config(sink)}
    for name, text in files.items():
        with open(W + '/' + name, 'w', encoding='utf-8') as f:
            f.write(text)
    out = smtp(PEER, ['EHLO client.test', 'VRFY <bob@local.test>', 'MAIL FROM:<Al@far.test> SIZE=400', 'RCPT TO:<args@local.test>', 'RCPT TO:<probe@local.test>',
                      'RCPT TO:<tag-list-Bob+more@Local.Test>', 'RCPT TO:<alias@local.test>', 'RCPT TO:<pipes@local.test>',
                      'RCPT TO:<filter@local.test>', 'RCPT TO:<who@sink.test>', 'RCPT TO:<x@self.test>', 'RCPT TO:<%s@local.test>' % USER,
                      'DATA'] + MESSAGE + ['.', 'QUIT'])
    out += smtp(PEER[:2], ['EHLO other.test', 'MAIL FROM:<lost@far.test>'])
    out += run(['-odi', '-oi', '-f', 'home@local.test', '-oMr', 'ours', 'bob@local.test'], MESSAGE)
    out += run(['-odi', '-oi', '-f', 'bob@local.test', 'ghost@nowhere.test'], MESSAGE)
    out += run(['-odi', '-oi', '-f', 'bob@local.test', 'x@late.test'], MESSAGE)
    time.sleep(2.1)
    out += run(['-qff'], [])
    out += run(['-be'], ['@@be %s=<${sg{$%s}{\\N\\n\\N}{~}}>@@' % (n, n) for n in names('be')])
    text = out + sink.text
    for name in ('log/mainlog', 'log/filterlog', 'mailbox', 'pipe.out', 'file.out'):
        if os.path.exists(W + '/' + name):
            text += open(W + '/' + name, encoding='latin-1').read()
    got = {}
    for m in re.finditer(r'@@(\w+) (\w+)=<(.*?)>(?=@@)', text, re.S):
        got.setdefault((m.group(1), m.group(2)), []).append(m.group(3))
    bad = 0
    for phase, rows in table.items():
        for name, want, number in rows:
            want = want.replace('%W', re.escape(W)).replace('%U', str(os.getuid())).replace('%G', str(os.getgid())).replace(
                '%P', str(sink.port)).replace('%N', USER)
            values = got.get((phase, name), [])
            if not any(re.fullmatch(want, v, re.S) for v in values):
                bad += 1
                print('line %d: %s of %s is %r, not %s' % (number, name, phase, values[:6], want))
    if '-v' in sys.argv:
        print(text)
    if bad and '-v' not in sys.argv:
        print(out[-600:], open(W + '/log/mainlog', encoding='latin-1').read()[-3000:] if os.path.exists(W + '/log/mainlog') else '')
    if '--keep' not in sys.argv:
        shutil.rmtree(W)
    print('%d values, %d differ' % (sum(len(r) for r in table.values()), bad))
    return 1 if bad else 0


sys.exit(main())
