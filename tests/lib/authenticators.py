"""authenticators.py SENDMAIL DIR: AUTH by each driver, as server and as client.

The server is "SENDMAIL -bh" behind a relay of our own; Python speaks the other side, or "SENDMAIL -odi" does.  A daemon that
speaks Dovecot's auth protocol is made here as well.
"""
import base64, getpass, glob, hashlib, hmac, os, re, select, shutil, socket, subprocess, sys, threading

sendmail, top = sys.argv[1], sys.argv[2]
me = getpass.getuser()
failed = []
HEAD = '''primary_hostname = mail.example.test
spool_directory = %s/spool
log_file_path = %s/log/%%slog
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts =
keep_environment = SASL_CONF_PATH
exim_user = %s
trusted_users = %s
smtp_accept_max_nonmail = 100
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  accept logwrite = by=$sender_host_authenticated id=$authenticated_id fail=$authenticated_fail_id
begin authenticators
''' % (top, top, me, me)


def b64(s):
    return base64.b64encode(s if isinstance(s, bytes) else s.encode()).decode()


def check(name, ok, seen=''):
    if not ok:
        failed.append(name)
        print('%s: not as it should be %s' % (name, seen))


def write(name, text):
    path = os.path.join(top, name)
    with open(path, 'w') as f:
        f.write(text)
    return path


class Server:
    """sendmail -bh with a configuration: say() sends a line and gives the last line of the reply."""

    def __init__(self, auths, ip='192.0.2.10', head=''):
        conf = write('server.conf', head + HEAD + auths)
        self.p = subprocess.Popen([sendmail, '-C', conf, '-bh', ip], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=open(top + '/server.err', 'w'), bufsize=0)
        self.reply()
        self.ehlo = self.say('EHLO client.example.org', whole=True)

    def reply(self, whole=False):
        text = ''
        while True:
            line = self.p.stdout.readline().decode('latin-1').rstrip('\r\n')
            text += line + '\n'
            if re.match(r'\d\d\d( |$)', line):
                return text if whole else line
            if line == '' and self.p.poll() is not None:
                return 'GONE'

    def say(self, line, whole=False):
        self.p.stdin.write(line.encode() + b'\r\n')
        return self.reply(whole)

    def who(self):
        """What the ACL of RCPT logs of the client."""
        self.say('MAIL FROM:<a@b.test>')
        self.say('RCPT TO:<c@d.test>')
        self.say('RSET')
        return self.end()

    def end(self):
        self.say('QUIT')
        self.p.wait()
        log = open(top + '/server.err').read()
        found = re.findall(r'by=.*', log)
        return found[-1] if found else log

    def ask(self, line):
        """A challenge, decoded."""
        r = self.say(line)
        return base64.b64decode(r[4:]) if r.startswith('334') else r


# ---- servers ----

def cram(s, mech, user, secret):
    c = s.ask('AUTH ' + mech)
    return s.say(b64(user + ' ' + hmac.new(secret.encode(), c, 'md5').hexdigest())), c


def test_cram():
    conf = '''cram:
 driver = cram_md5
 public_name = CRAM-MD5
 server_secret = ${if eq{$auth1}{alice}{secret}{${if eq{$auth1}{broken}{${readfile{/nosuch}}}fail}}}
 server_set_id = $auth1
 server_condition = ${if eq{$1}{alice}}
 server_debug_print = debugging $auth1
'''
    s = Server(conf)
    check('cram-offer', 'AUTH CRAM-MD5' in s.ehlo)
    check('cram-wrong', cram(s, 'CRAM-MD5', 'alice', 'no')[0].startswith('535'))
    check('cram-unknown', cram(s, 'CRAM-MD5', 'bob', 'secret')[0].startswith('535'))
    check('cram-broken', cram(s, 'CRAM-MD5', 'broken', 'secret')[0].startswith('435'))
    check('cram-initial', s.say('AUTH CRAM-MD5 YWJj').startswith('553'))
    r, c = cram(s, 'CRAM-MD5', 'alice', 'secret')
    check('cram-right', r.startswith('235') and c.endswith(b'@mail.example.test>'), r)
    check('cram-id', s.who() == 'by=cram id=alice fail=')
    check('cram-debug', 'debugging bob' in open(top + '/server.err').read())


def test_no_secret():
    """Who has no password is not let in with an empty one."""
    s = Server('''cram:
 driver = cram_md5
 public_name = CRAM-MD5
 server_secret = ${lookup{$auth1}lsearch{%s}}
unset:
 driver = cram_md5
 public_name = X-UNSET
 server_set_id = $auth1
scram:
 driver = gsasl
 public_name = SCRAM-SHA-1
 server_password = ${lookup{$auth1}lsearch{%s}}
''' % ((write('secrets', 'alice: secret\n'),) * 2))
    check('empty-cram', cram(s, 'CRAM-MD5', 'nobody', '')[0].startswith('535'))
    check('empty-unset', s.say('AUTH X-UNSET').startswith('504'))
    check('empty-scram', scram(s, 'SCRAM-SHA-1', 'nobody', '', 'sha1')[0].startswith('535'))
    check('empty-right', cram(s, 'CRAM-MD5', 'alice', 'secret')[0].startswith('235'))
    s.end()


def test_external():
    s = Server('''ext:
 driver = external
 public_name = EXTERNAL
 server_param2 = two-$sender_host_address
 server_param3 = three
 server_condition = ${if eq{$auth1}{good}}
 server_set_id = $auth1/$auth2/$auth3
''')
    check('external-wrong', s.say('AUTH EXTERNAL ' + b64('bad')).startswith('535'))
    s.ask('AUTH EXTERNAL')
    check('external-right', s.say(b64('good')).startswith('235'))
    check('external-id', s.who() == 'by=ext id=good/two-192.0.2.10/three fail=')


def test_plaintext():
    s = Server('''login:
 driver = plaintext
 public_name = LOGIN
 server_prompts = <; One: ; Two $sender_host_address
 server_condition = ${if eq{$auth1$auth2}{ab}{yes}{come back}}
 server_set_id = $auth1
 server_advertise_condition = ${if eq{$sender_host_address}{192.0.2.10}}
 server_mail_auth_condition = ${if match{$authenticated_sender}{good}}
never:
 driver = plaintext
 public_name = PLAIN
 server_prompts = :
 server_condition = yes
 server_advertise_condition = no
''')
    check('plaintext-offer', 'AUTH LOGIN\n' in s.ehlo)
    check('plaintext-prompt', s.ask('AUTH LOGIN') == b'One:' and s.ask(b64('x')) == b'Two 192.0.2.10')
    check('plaintext-text', s.say(b64('y')) == '435 Unable to authenticate at present: come back')
    s.ask('AUTH LOGIN ' + b64('a'))
    check('plaintext-right', s.say(b64('b')).startswith('235'))
    s.say('MAIL FROM:<a@b.test> AUTH=bad@b.test')
    s.say('RSET')
    s.say('MAIL FROM:<a@b.test> AUTH=good@b.test')
    s.end()
    log = open(top + '/server.err').read()
    check('plaintext-mailauth', 'ignoring AUTH=bad@b.test from H=(client.example.org) [192.0.2.10] (server_mail_auth_condition '
          'failed: authenticated ID="a")' in log and 'AUTH=good' not in log, log)


def scram(s, mech, user, password, hname, authz='', salt=None):
    nonce, gs2 = 'clientnonce', 'n,%s,' % ('a=' + authz if authz else '')
    first = 'n=%s,r=%s' % (user, nonce)
    c = s.ask('AUTH %s %s' % (mech, b64(gs2 + first)))
    if not isinstance(c, bytes):
        return c, None
    a = dict(x.split('=', 1) for x in c.decode().split(','))
    key = hashlib.pbkdf2_hmac(hname, password.encode(), base64.b64decode(a['s']), int(a['i']))
    ck = hmac.new(key, b'Client Key', hname).digest()
    last = 'c=%s,r=%s' % (b64(gs2), a['r'])
    message = ','.join((first, c.decode(), last)).encode()
    sign = hmac.new(hashlib.new(hname, ck).digest(), message, hname).digest()
    r = s.ask(b64(last + ',p=' + b64(bytes(x ^ y for x, y in zip(ck, sign)))))
    if isinstance(r, bytes):
        server = hmac.new(hmac.new(key, b'Server Key', hname).digest(), message, hname).digest()
        check('scram-server-proof', r == b'v=' + b64(server).encode())
        r = s.say('')
    return r, a


def test_scram():
    for mech, h in (('SCRAM-SHA-1', 'sha1'), ('SCRAM-SHA-256', 'sha256')):
        s = Server('''g:
 driver = gsasl
 public_name = X-ANY
 server_mech = %s
 server_password = ${if eq{$auth1}{alice}{secret}fail}
 server_realm = realm.test
 server_scram_iter = 5000
 server_scram_salt = c2FsdHNhbHQ=
 server_condition = ${if eq{$auth3}{realm.test}}
 server_set_id = $auth1/$auth2
''' % mech)
        check(mech + '-wrong', scram(s, 'X-ANY', 'alice', 'no', h)[0].startswith('535'))
        check(mech + '-unknown', scram(s, 'X-ANY', 'bob', 'secret', h)[0].startswith('435'))
        check(mech + '-malformed', s.say('AUTH X-ANY ' + b64('n,,x=y')).startswith('535'))
        check(mech + '-forged-binding', s.say('AUTH X-ANY ' + b64('p=tls-exporter,,n=alice,r=a')).startswith('535'))
        r, a = scram(s, 'X-ANY', 'alice', 'secret', h, authz='other')
        check(mech + '-right', r.startswith('235') and a['i'] == '5000' and a['s'] == 'c2FsdHNhbHQ=', r)
        check(mech + '-id', s.who() == 'by=g id=alice/other fail=')
        key = hashlib.pbkdf2_hmac(h, b'stored', b'saltsalt', 4096)
        stored = hashlib.new(h, hmac.new(key, b'Client Key', h).digest()).digest()
        s = Server('''g:
 driver = gsasl
 public_name = %s
 server_key = %s
 server_skey = %s
 server_password = other
 server_scram_salt = c2FsdHNhbHQ=
''' % (mech, b64(hmac.new(key, b'Server Key', h).digest()), b64(stored)))
        check(mech + '-stored', scram(s, mech, 'alice', 'stored', h)[0].startswith('235'))
        s.end()


def test_gsasl_simple():
    s = Server('''p:
 driver = gsasl
 public_name = PLAIN
 server_condition = ${if eq{$auth1/$auth2/$auth3}{user/authz/pw}}
 server_set_id = $auth1
l:
 driver = gsasl
 public_name = LOGIN
 server_condition = ${if eq{$auth1/$auth3}{user/pw}}
a:
 driver = gsasl
 public_name = ANONYMOUS
 server_condition = ${if eq{$auth1}{token}}
c:
 driver = gsasl
 public_name = CRAM-MD5
 server_hostname = other.test
 server_realm = realm.test
 server_password = ${if eq{$auth1@$auth3}{user@realm.test}{pw}fail}
''')
    check('gsasl-plain-wrong', s.say('AUTH PLAIN ' + b64('authz\0user\0no')).startswith('535'))
    s.ask('AUTH LOGIN')
    s.ask(b64('user'))
    check('gsasl-login-wrong', s.say(b64('no')).startswith('535'))
    check('gsasl-anonymous-wrong', s.say('AUTH ANONYMOUS ' + b64('no')).startswith('535'))
    r, c = cram(s, 'CRAM-MD5', 'user', 'pw')
    check('gsasl-cram', r.startswith('235') and c.endswith(b'@other.test>'), r)
    s.say('EHLO again.test')
    s.end()
    s = Server('''p:
 driver = gsasl
 public_name = PLAIN
 server_condition = ${if eq{$auth1/$auth2/$auth3}{user/authz/pw}}
 server_set_id = $auth1
''')
    check('gsasl-plain', s.say('AUTH PLAIN ' + b64('authz\0user\0pw')).startswith('235') and s.who() == 'by=p id=user fail=')


def test_digest():
    def answer(challenge, password, uri):
        a = dict(re.findall(r'(\w+)="?([^",]*)"?', challenge.decode()))
        md5 = lambda t: hashlib.md5(t).digest()
        a1 = md5(('user:%s:%s' % (a['realm'], password)).encode()) + (':%s:cn' % a['nonce']).encode()

        def resp(verb):
            return hashlib.md5((':'.join((md5(a1).hex(), a['nonce'], '00000001', 'cn', 'auth',
                                          md5((verb + ':' + uri).encode()).hex()))).encode()).hexdigest()
        return a, 'username="user",realm="%s",nonce="%s",cnonce="cn",nc=00000001,qop=auth,digest-uri="%s",response=%s' % (
            a['realm'], a['nonce'], uri, resp('AUTHENTICATE')), resp('')
    s = Server('''d:
 driver = gsasl
 public_name = DIGEST-MD5
 server_realm = realm.test
 server_hostname = host.test
 server_service = mysmtp
 server_password = pw
 server_set_id = $auth1@$auth3
''')
    a, text, _ = answer(s.ask('AUTH DIGEST-MD5'), 'no', 'mysmtp/host.test')
    check('digest-wrong', s.say(b64(text)).startswith('535') and a['realm'] == 'realm.test')
    for uri in ('smtp/host.test', 'mysmtp/mail.example.test'):
        a, text, _ = answer(s.ask('AUTH DIGEST-MD5'), 'pw', uri)
        check('digest-uri ' + uri, s.say(b64(text)).startswith('535'))
    a, text, proof = answer(s.ask('AUTH DIGEST-MD5'), 'pw', 'mysmtp/host.test')
    check('digest-proof', s.ask(b64(text)) == b'rspauth=' + proof.encode())
    check('digest-right', s.say('').startswith('235') and s.who() == 'by=d id=user@realm.test fail=')


def dovecot(path, port, seen):
    """Two listeners that speak Dovecot's protocol; what was asked goes to <seen>."""
    def serve(c):
        f = c.makefile('rwb', 0)
        f.write(b'VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\nSPID\t1\nCUID\t2\nCOOKIE\tabc\nDONE\n')
        for line in f:
            w = line.decode('latin-1').rstrip('\n').split('\t')
            if w[0] == 'AUTH':
                seen.append(w)
                p = dict(x.partition('=')[::2] for x in w[3:])
                if w[2] == 'LOGIN' and 'resp' not in p:
                    f.write(b'CONT\t1\t' + b64('User:').encode() + b'\n')
                elif base64.b64decode(p.get('resp', '')) == b'\0alice\0secret':
                    f.write(b'OK\t1\tuser=alice@dove\n')
                elif b'later' in base64.b64decode(p.get('resp', '')):
                    f.write(b'FAIL\t1\tuser=x\ttemp\n')
                else:
                    f.write(b'FAIL\t1\tuser=bob\n')
            elif w[0] == 'CONT':
                f.write(b'OK\t1\tuser=' + base64.b64decode(w[2]) + b'\n')

    def loop(l):
        while True:
            c, _ = l.accept()
            threading.Thread(target=serve, args=(c,), daemon=True).start()
    u = socket.socket(socket.AF_UNIX)
    u.bind(path)
    t = socket.create_server(('127.0.0.1', port))
    for l in u, t:
        l.listen(5)
        threading.Thread(target=loop, args=(l,), daemon=True).start()
    return t.getsockname()[1]


def test_dovecot():
    seen = []
    port = dovecot(top + '/dove', 0, seen)
    s = Server('''d:
 driver = dovecot
 public_name = PLAIN
 server_socket = %s/dove
 server_set_id = $auth1
l:
 driver = dovecot
 public_name = LOGIN
 server_socket = 127.0.0.1 %d
c:
 driver = dovecot
 public_name = CRAM-MD5
 server_socket = %s/dove
n:
 driver = dovecot
 public_name = NTLM
 server_socket = %s/nobody
t:
 driver = dovecot
 public_name = X-TLS
 server_socket = 127.0.0.1 %d
 server_tls = true
''' % (top, port, top, top, port))
    check('dovecot-wrong', s.say('AUTH PLAIN ' + b64('\0alice\0no')).startswith('535'))
    check('dovecot-temp', s.say('AUTH PLAIN ' + b64('\0later\0no')).startswith('435'))
    check('dovecot-no-mech', s.say('AUTH CRAM-MD5').startswith('435'))
    check('dovecot-nobody', s.say('AUTH NTLM').startswith('435'))
    check('dovecot-plain-where-tls-is', s.say('AUTH X-TLS').startswith('435'))
    check('dovecot-right', s.say('AUTH PLAIN ' + b64('\0alice\0secret')).startswith('235'))
    check('dovecot-asked', 'service=smtp' in seen[0] and 'rip=192.0.2.10' in seen[0] and 'nologin' in seen[0] and
          'secured' not in seen[0], seen[0])
    check('dovecot-id', s.who() == 'by=d id=alice@dove fail=')
    s = Server('''l:
 driver = dovecot
 public_name = LOGIN
 server_socket = 127.0.0.1 %d
 server_set_id = $auth1
''' % port)
    check('dovecot-challenge', s.ask('AUTH LOGIN') == b'User:' and s.say(b64('carol')).startswith('235') and
          s.who() == 'by=l id=carol fail=')


def test_cyrus():
    """libsasl2 here, with accounts of its own, where the tools to make them are."""
    tool = '/usr/sbin/saslpasswd2'
    if not os.path.exists(tool) or not glob.glob('/usr/lib/*/sasl2/libsasldb.so*'):
        return
    os.makedirs(top + '/sasl', exist_ok=True)
    write('sasl/exim.conf', 'pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: %s/sasldb2\n' % top)
    os.environ['SASL_CONF_PATH'] = top + '/sasl'
    made = subprocess.run([tool, '-p', '-c', '-f', top + '/sasldb2', '-a', 'exim', '-u', 'realm.test', 'alice'], input=b'secret',
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if made.returncode != 0:
        return
    s = Server('''sasl:
 driver = cyrus_sasl
 public_name = X-CRAM
 server_mech = CRAM-MD5
 server_realm = realm.test
 server_hostname = sasl.test
 server_service = smtp
 server_set_id = $auth1
''')
    if 'X-CRAM' not in s.ehlo:
        s.end()
        return
    check('cyrus-wrong', cram(s, 'X-CRAM', 'alice', 'no')[0].startswith('535'))
    r, c = cram(s, 'X-CRAM', 'alice', 'secret')
    check('cyrus-right', r.startswith('235') and c.endswith(b'@sasl.test>'), r + open(top + '/server.err').read())
    check('cyrus-id', s.who().startswith('by=sasl id=alice'))


# ---- clients: each against the server of the same driver ----

def relay(conf):
    """A port behind which "sendmail -bh" answers with <conf>; the lines it got go to the list."""
    seen = []

    def serve(c):
        p = subprocess.Popen([sendmail, '-C', conf, '-bh', '127.0.0.9'], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, bufsize=0)
        # What stands in front of the greeting is for people.
        line = b''
        while not line.startswith(b'220'):
            line = p.stdout.readline()
        c.sendall(line)
        while True:
            ready, _, _ = select.select([c, p.stdout], [], [], 20)
            if not ready:
                break
            data = os.read(ready[0].fileno(), 65536)
            if not data:
                break
            if ready[0] is c:
                seen.append(data.decode('latin-1'))
                p.stdin.write(data)
            else:
                c.sendall(data.replace(b'\r\n**** SMTP testing: that is not a real message id!\r\n\r\n', b''))
        p.kill()
        p.wait()
        c.close()

    l = socket.create_server(('127.0.0.1', 0))

    def loop():
        while True:
            c, _ = l.accept()
            threading.Thread(target=serve, args=(c,), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
    return l.getsockname()[1], seen


CLIENT = '''begin routers
r:
 driver = manualroute
 route_list = * 127.0.0.1::%d byname
 self = send
 transport = t
begin transports
t:
 driver = smtp
 allow_localhost
 hosts_require_auth = *
begin retry
* * F,1h,10m
begin authenticators
%s
'''


def deliver(auths, port):
    # Nothing is remembered of the host from one to the next.
    for d in 'spool', 'log':
        shutil.rmtree(os.path.join(top, d), ignore_errors=True)
        os.makedirs(os.path.join(top, d))
    head = HEAD[:HEAD.index('acl_smtp_rcpt')]
    conf = write('client.conf', head + CLIENT % (port, auths))
    subprocess.run([sendmail, '-C', conf, '-odi', '-f', 'a@b.test', 'c@d.test'], input=b'Subject: x\n\nx\n', timeout=60,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return ''.join(open(f).read() for f in glob.glob(top + '/log/mainlog'))


SERVER = '''s:
 driver = %s
 public_name = %s
'''
CLIENTS = (
    # name, server's driver and mechanism, its options, the client's
    ('cram', 'cram_md5', 'CRAM-MD5', 'server_secret = ${if eq{$auth1}{alice}{secret}fail}',
     'driver = cram_md5\n client_name = alice\n client_secret = secret\n client_set_id = id-$host_address', 'id-127.0.0.1'),
    ('spa', 'spa', 'NTLM', 'server_password = ${if eq{$auth1}{alice}{secret}fail}',
     'driver = spa\n client_username = alice\n client_password = secret\n client_domain = DOM\n client_set_id = me', 'me'),
    ('external', 'external', 'EXTERNAL', 'server_condition = ${if eq{$auth1}{me}}',
     'driver = external\n client_send = ${if eq{$host_address}{127.0.0.1}{me}{other}}', ''),
    ('plain', 'plaintext', 'PLAIN', 'server_prompts = :\n server_condition = ${if eq{$auth2/$auth3}{us^er/pw}}',
     'driver = plaintext\n client_send = ^us^^er^pw', ''),
    ('login', 'plaintext', 'LOGIN', 'server_prompts = Name : Word\n server_condition = ${if eq{$auth1/$auth2}{for-Name/pw-Word}}',
     'driver = plaintext\n client_send = : for-$auth1 : pw-$auth2', ''),
    ('gplain', 'gsasl', 'PLAIN', 'server_condition = ${if eq{$auth1/$auth2/$auth3}{alice/other/secret}}',
     'driver = gsasl\n client_username = alice\n client_authz = other\n client_password = secret', ''),
    ('sha1', 'gsasl', 'SCRAM-SHA-1', 'server_password = secret\n server_condition = ${if eq{$auth2}{other}}',
     'driver = gsasl\n client_username = alice\n client_authz = other\n client_password = secret', ''),
    ('sha256', 'gsasl', 'SCRAM-SHA-256', 'server_password = secret\n server_scram_salt = c2FsdHNhbHQ=',
     'driver = gsasl\n client_username = alice\n client_password = secret\n client_set_id = $auth1/$auth2/$auth3/${length_4:$auth4}',
     'alice/4096/c2FsdHNhbHQ=/' + hashlib.pbkdf2_hmac('sha256', b'secret', b'saltsalt', 4096).hex()[:4]),
    ('cached', 'gsasl', 'SCRAM-SHA-256', 'server_password = secret\n server_scram_salt = c2FsdHNhbHQ=',
     'driver = gsasl\n client_username = alice\n client_password = forgotten\n client_spassword = ' +
     hashlib.pbkdf2_hmac('sha256', b'secret', b'saltsalt', 4096).hex(), ''),
)


def test_clients():
    for name, driver, mech, server, client, who in CLIENTS:
        conf = write('relay-%s.conf' % name, HEAD + SERVER % (driver, mech) + ' ' + server + '\n')
        port, seen = relay(conf)
        log = deliver('c_%s:\n public_name = %s\n %s\n' % (name, mech, client), port)
        check('client-' + name, 'A=c_%s%s ' % (name, ':' + who if who else '') in log, log + repr(seen))
        bad = client.replace('= secret', '= wrong').replace('pw', 'no').replace('{me}', '{no}').replace('forgotten', 'x')
        bad = re.sub(r'client_spassword = .*', 'client_spassword = 00', bad)
        log = deliver('c_%s:\n public_name = %s\n %s\n' % (name, mech, bad), port)
        check('client-%s-wrong' % name, '=>' not in log and '==' in log and 'AUTH' in log, log)


def test_client_conditions():
    """client_condition, a forced failure, and an invitation that is no base64."""
    conf = write('relay-c.conf', HEAD + ''.join('s%d:\n driver = plaintext\n public_name = X-%d\n server_prompts = :\n'
                                                ' server_condition = ${if eq{$auth3}{right}}\n' % (i, i) for i in (1, 2, 3)))
    port, seen = relay(conf)
    log = deliver('''one:
 driver = plaintext
 public_name = X-1
 client_condition = ${if !eq{$tls_out_cipher}{}}
 client_send = ^a^wrong
two:
 driver = plaintext
 public_name = X-2
 client_send = ${if eq{a}{b}{^a^wrong}fail}
three:
 driver = plaintext
 public_name = X-3
 client_condition = ${if eq{$tls_out_cipher}{}}
 client_send = ^a^right
''', port)
    check('client-condition', 'A=three' in log and sum(x.count('AUTH X-') for x in seen) == 1, log + repr(seen))

    def odd(c, l):
        f = c.makefile('rwb', 0)
        f.write(b'220 odd\r\n')
        for line in f:
            w = line.split()[0].upper() if line.split() else b''
            if w == b'EHLO':
                f.write(b'250-odd\r\n250 AUTH LOGIN\r\n')
            elif w == b'AUTH':
                f.write(b'334 what is your name?\r\n')
                l.append(f.readline())
                f.write(b'235 fine\r\n' if l[-1] != b'*\r\n' else b'501 cancelled\r\n')
            elif w == b'DATA':
                f.write(b'354 go\r\n')
                while f.readline() != b'.\r\n':
                    pass
                f.write(b'250 ok\r\n')
            elif w == b'QUIT':
                break
            else:
                f.write(b'250 ok\r\n')
        c.close()

    for option, want in (('', b'*\r\n'), (' client_ignore_invalid_base64 = true\n', b64('me-').encode() + b'\r\n')):
        lines = []
        l = socket.create_server(('127.0.0.1', 0))
        threading.Thread(target=lambda: odd(l.accept()[0], lines), daemon=True).start()
        deliver('o:\n driver = plaintext\n public_name = LOGIN\n client_send = : me-$auth1\n' + option, l.getsockname()[1])
        check('client-invalid-base64' + option.strip(), lines == [want], repr(lines))
        l.close()


for d in ('spool', 'log'):
    os.makedirs(os.path.join(top, d), exist_ok=True)
for test in (test_cram, test_no_secret, test_external, test_plaintext, test_scram, test_gsasl_simple, test_digest, test_dovecot, test_cyrus,
             test_clients, test_client_conditions):
    test()
sys.exit(1 if failed else 0)
