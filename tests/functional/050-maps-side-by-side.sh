# shellcheck shell=bash
# Logins, relays, vsmtprelay and foreign makemaps side by side, and vauthd killed meanwhile: no corrupt map, no lost login,
# nothing deleted comes back (S3-19, S3-20).  MAPS_SECONDS sets how long.
. "$(dirname "$0")/../lib/box.sh"

need db5.3_verify
box_make
box_users joe
conf "max_sessions_per_host = 1000"
box_start
seconds=${MAPS_SECONDS:-6}
python3 - "$SMTP" "$POP3" "$seconds" "$BOX" <<'X'
import os, poplib, random, signal, smtplib, socket, subprocess, sys, threading, time

smtp, pop, seconds, box = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
db = box + '/etc/relayers.db'
end = time.time() + seconds
wrong, counts, logged = [], {}, set()
lock = threading.Lock()

def count(what, n=1):
    with lock:
        counts[what] = counts.get(what, 0) + n

def guard(fn, *args):
    def run():
        try:
            while time.time() < end and len(wrong) < 10:
                fn(*args)
        except Exception as e:
            wrong.append('%s: %r' % (fn.__name__, e))
    t = threading.Thread(target=run)
    t.start()
    return t

def connect(port, source):
    return socket.create_connection(('127.0.0.1', port), 30, (source, 0))

def dialogue(port, source, lines):
    s = connect(port, source)
    f = s.makefile('rwb')
    answers = []
    def answer():
        a = f.readline().decode()
        while len(a) > 3 and a[:3].isdigit() and a[3] == '-':
            a = f.readline().decode()
        answers.append(a.strip())
    answer()
    for l in lines:
        f.write(l.encode() + b'\r\n')
        f.flush()
        answer()
    f.close()
    s.close()
    return answers

def relay(source):
    return dialogue(smtp, source, ['EHLO x', 'MAIL FROM:<joe@local.test>', 'RCPT TO:<a@elsewhere.test>'])[-1]

# A relay straight after the login's OK is accepted, each time.
def login():
    source = '127.0.1.%d' % random.randrange(1, 250)
    a = dialogue(pop, source, ['USER joe', 'PASS pw-joe', 'QUIT'])
    if not a[2].startswith('+OK'):
        # The daemon may be away after a kill, and says so.
        if 'SYS/TEMP' in a[2]:
            count('login deferred')
        else:
            wrong.append('login from %s: %r' % (source, a))
        return
    logged.add(source)
    count('login')
    a = relay(source)
    if not a.startswith('250'):
        wrong.append('relay after login from %s: %s' % (source, a))
    count('relay')

# Who never logged in is refused, each time.
def stranger():
    a = relay('127.0.2.%d' % random.randrange(1, 250))
    if not a.startswith('550'):
        wrong.append('relay of a stranger: ' + a)
    count('refused')
    time.sleep(0.02)

def tool(*args):
    p = subprocess.run(['vsmtprelay', *args], capture_output=True, text=True)
    if p.returncode != 0 or p.stderr:
        wrong.append('vsmtprelay %s: %d %s' % (' '.join(args), p.returncode, p.stderr))
    return p.stdout

serial = 0
def change():
    global serial
    with lock:
        serial += 1
        ip, old = '10.%d.%d.1' % (serial // 250, serial % 250), '10.%d.%d.2' % (serial // 250, serial % 250)
    tool('add', ip)
    tool('add', old, str(int(time.time()) - 7200))
    tool('delete', ip)
    if (ip + ' ') in tool('dump'):
        wrong.append(ip + ' is still there after delete')
    tool('expire', '60')
    if (old + ' ') in tool('dump'):
        wrong.append(old + ' is still there after expire')
    count('change')

def verify():
    p = subprocess.run(['db5.3_verify', '-q', db], capture_output=True, text=True)
    if p.returncode != 0 and os.path.exists(db):
        wrong.append('db_verify: ' + p.stderr)
    count('verify')
    time.sleep(0.1)

# Another program that puts the map in place whole, under the map's lock, as makemap does.
def rebuild():
    p = subprocess.run('vsmtprelay dump >/dev/null && makemap -o -r hash %s' % db, shell=True, input='10.200.0.1 906502527\n',
        capture_output=True, text=True)
    if p.returncode != 0:
        wrong.append('makemap: ' + p.stderr)
    count('makemap')
    time.sleep(0.2)

def kill():
    time.sleep(1.5)
    if time.time() > end - 1:
        return
    parent = open(box + '/var/run/vauthd.pid').read().strip()
    for pid in subprocess.run(['pgrep', '-P', parent], capture_output=True, text=True).stdout.split():
        os.kill(int(pid), signal.SIGKILL)
        count('kill')

while not os.path.exists(db):
    tool('add', '10.250.0.1')
jobs = [guard(login) for _ in range(6)] + [guard(stranger), guard(change), guard(change), guard(verify), guard(rebuild), guard(kill)]
for j in jobs:
    j.join()
dump = tool('dump')
for ip in logged:
    if ('\n' + ip + ' ') not in dump:
        wrong.append('lost login: ' + ip)
for n in range(1, serial + 1):
    for last in '12':
        if '10.%d.%d.%s ' % (n // 250, n % 250, last) in dump:
            wrong.append('came back: 10.%d.%d.%s' % (n // 250, n % 250, last))
for w in wrong[:20]:
    print(w)
print(' '.join('%s=%d' % kv for kv in sorted(counts.items())), 'in %g s' % seconds)
sys.exit(1 if wrong or counts.get('login', 0) < 2 or counts.get('change', 0) < 2 else 0)
X
db5.3_verify -q "$BOX/etc/relayers.db" || die "db_verify at the end"
vsmtprelay list >/dev/null
# A map that is broken is said to be, and defers relaying instead of deciding wrongly.
echo garbage >"$BOX/etc/relayers.db"
deferred() { case $(mt rcpt "$SMTP" --source 127.0.0.9 joe@local.test someone@elsewhere.test | tail -n 1) in 451*) ;; *) return 1 ;; esac; }
wait_for 10 deferred
vsmtprelay list >/dev/null 2>"$T/err" && die "vsmtprelay read a broken map"
has "$(cat "$T/err")" "makemap" "the error says what to do"
# Mail can be read all the same.
eq "$(mt pop "$POP3" joe pw-joe count)" 0 "POP3 with a broken relay map"
