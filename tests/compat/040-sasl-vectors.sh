# shellcheck shell=bash
# The examples of the SASL and POP3 RFCs (suite sasl-vectors): their users log in to us, by each mechanism (S4-56).
. "$(dirname "$0")/../lib/box.sh"

V=${VPOST_SUITES:-}/sasl-vectors
[ -n "${VPOST_SUITES:-}" ] && [ -d "$V" ] || skip "VPOST_SUITES does not name the folder with sasl-vectors"
box_make
conf "services = store:auth:pop3"
conf "cram_md5 = yes"
conf "auth_delay = 0s"
conf "auth_ban_failures = 0"
cat >"$T/vectors.py" <<'X'
import base64, glob, hashlib, hmac, os, re, socket, subprocess, sys, time
folder, pop, box, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
sections, name = [], None
for f in sorted(glob.glob(folder + '/*')):
    for line in open(f):
        line = line.rstrip('\n')
        if m := re.match(r'\[(.*)\]$', line):
            sections.append((m.group(1), {}))
        elif sections and (m := re.match(r'([A-Za-z0-9-]+): (.*)$', line)) and not line.startswith('#'):
            sections[-1][1][m.group(1)] = m.group(2)

def user_of(d):
    return d.get('user') or d.get('authcid')

wanted = [(n, d) for n, d in sections if n.split()[0] in ('SCRAM-SHA-256', 'CRAM-MD5', 'APOP', 'PLAIN')]
if mode == 'users':
    seen = set()
    with open(box + '/etc/vusers', 'a') as f:
        for n, d in wanted:
            if user_of(d) not in seen:
                f.write('%s:{PLAIN}%s\n' % (user_of(d), d['password']))
                seen.add(user_of(d))
        f.write('Kurt:{PLAIN}xipj3plmq\n')
    sys.exit(0)

class Client:
    def __init__(self):
        self.f = socket.create_connection(('127.0.0.1', pop), 60).makefile('rwb')
        self.greeting = self.f.readline()
    def say(self, line):
        self.f.write(line + b'\r\n')
        self.f.flush()
        return self.f.readline().strip()
    def challenge(self, answer):
        if not answer.startswith(b'+ '):
            sys.exit('no challenge but %r' % answer)
        return base64.b64decode(answer[2:])

def b64(x):
    return base64.b64encode(x)

def scram(user, password, nonce):
    c = Client()
    first = b'n=' + user + b',r=' + nonce
    server = c.challenge(c.say(b'AUTH SCRAM-SHA-256 ' + b64(b'n,,' + first)))
    r, s, i = (x[2:] for x in server.split(b','))
    if not r.startswith(nonce) or len(r) <= len(nonce):
        sys.exit('nonce %r' % r)
    salted = hashlib.pbkdf2_hmac('sha256', password, base64.b64decode(s), int(i))
    h = lambda k, t: hmac.new(k, t, 'sha256').digest()
    key, final = h(salted, b'Client Key'), b'c=biws,r=' + r
    auth = first + b',' + server + b',' + final
    proof = bytes(a ^ b for a, b in zip(key, h(hashlib.sha256(key).digest(), auth)))
    a = c.say(b64(final + b',p=' + b64(proof)))
    if a.startswith(b'-ERR'):
        return a
    if c.challenge(a) != b'v=' + b64(h(h(salted, b'Server Key'), auth)):
        sys.exit('the server has another key')
    return c.say(b'')

def check(what, answer, good):
    if answer.startswith(b'+OK') != good:
        sys.exit('%s: %r' % (what, answer))
    print(what, 'refused' if not good else 'ok')

for n, d in wanted:
    user, password = user_of(d).encode(), d['password'].encode()
    mech = n.split()[0]
    for secret in (password, b'x' + password):
        good = secret == password
        if mech == 'SCRAM-SHA-256':
            check(n, scram(user, secret, d['c1'].split('r=')[1].encode()), good)
        elif mech == 'CRAM-MD5':
            c = Client()
            digest = hmac.new(secret, c.challenge(c.say(b'AUTH CRAM-MD5')), 'md5').hexdigest().encode()
            check(n, c.say(b64(user + b' ' + digest)), good)
        elif mech == 'APOP':
            c = Client()
            stamp = re.search(rb'<.*>', c.greeting).group()
            check(n, c.say(b'APOP ' + user + b' ' + hashlib.md5(stamp + secret).hexdigest().encode()), good)
    if mech == 'PLAIN':
        check(n, Client().say(b'AUTH PLAIN ' + d['message-base64'].encode()), True)
        check(n + ' for another', Client().say(b'AUTH PLAIN ' + d['message2-base64'].encode()), False)
check('SCRAM of nobody', scram(b'nobody', b'x', b'fyko'), False)
X
python3 "$T/vectors.py" "$V" 0 "$BOX" users
vpost run "$BOX" >>"$T/run.log" 2>&1 &
PIDS="$PIDS $!"
wait_port "$POP3"
python3 "$T/vectors.py" "$V" "$POP3" "$BOX" run
