#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Sends messages to users with dotfiles while daemons of the box are killed, then counts what arrived where.

  killdot.py BOX SMTP IMAP [--messages N] [--rounds R] [--connections C] [--seed S] [--setup]

--setup writes the files of the users below (accounts must exist) and ends.  Each user's files say where a message must be
afterwards; each place is counted.  A place in the store must have it exactly once; what leaves by files, programs and new messages
at least once: a program that was killed between its work and the note of it works again, as it always did.  Exit 1 if not.
"""
import argparse, collections, glob, imaplib, os, random, re, signal, smtplib, subprocess, sys, threading, time

imaplib._MAXLINE = 100_000_000
ap = argparse.ArgumentParser()
ap.add_argument('box')
ap.add_argument('smtp', type=int)
ap.add_argument('imap', type=int)
ap.add_argument('--messages', type=int, default=400)
ap.add_argument('--rounds', type=int, default=8)
ap.add_argument('--connections', type=int, default=10)
ap.add_argument('--seed', type=int, default=int(time.time()))
ap.add_argument('--wait', type=float, default=90)
ap.add_argument('--setup', action='store_true')
a = ap.parse_args()
home = os.path.join(os.path.realpath(a.box), 'home')

SPAM = 'X-Kind: spam\r\n'
# user: ({file: text}, [(recipient, header, [places])]); a place is USER/FOLDER of the store, file:PATH, or new:USER/FOLDER for what
# a new message brings
USERS = {
    'plain': ({}, [('plain', '', ['plain/INBOX'])]),
    'fwd': ({'.forward': 'box0\n'}, [('fwd', '', ['box0/INBOX'])]),
    'both': ({'.forward': '\\both, box0\n'}, [('both', '', ['both/INBOX', 'box0/INBOX'])]),
    'fold': ({'.forward': 'fold.Lists\n'}, [('fold', '', ['fold/INBOX.Lists'])]),
    'gate': ({'.forward.Spam': 'gate.Spam\n'}, [('gate.Spam', '', ['gate/INBOX.Spam']), ('gate', '', ['gate/INBOX'])]),
    'file': ({'.forward': '%s/file/mbox\n' % home}, [('file', '', ['file:%s/file/mbox' % home])]),
    'pipe': ({'.forward': '\\pipe\n"|/bin/sh -c \'cat >>%s/pipe/piped\'"\n' % home},
             [('pipe', '', ['pipe/INBOX', 'file:%s/pipe/piped' % home])]),
    'filter': ({'.forward': '# Exim filter\nif $h_x-kind: is "spam" then\n  deliver filter.Spam\nelse\n  unseen deliver box0@local.test\nendif\n'},
               [('filter', '', ['filter/INBOX', 'box0/INBOX']), ('filter', SPAM, ['filter/INBOX.Spam'])]),
    'save': ({'.forward': '# Exim filter\nunseen save $home/saved\ndeliver save.Kept\n'},
             [('save', '', ['file:%s/save/saved' % home, 'save/INBOX.Kept'])]),
    'rules': ({'.procmailrc': ':0\n* ^X-Kind: spam\n! rules.Spam\n\n:0 c\n! rules.Copies\n'},
              [('rules', '', ['rules/INBOX', 'rules/INBOX.Copies']), ('rules', SPAM, ['rules/INBOX.Spam'])]),
    'prog': ({'.procmailrc': ':0 fw\n| sed -e "1,/^$/s/^X-Mark: .*/X-Mark: yes/"\n\n:0 c:\n%s/prog/mbox\n\n:0\n* ^X-Mark: yes\n! prog.Marked\n' % home},
             [('prog', 'X-Mark: no\r\n', ['file:%s/prog/mbox' % home, 'prog/INBOX.Marked'])]),
    'other': ({'.procmailrc': ':0 c\n! box1\n'}, [('other', '', ['other/INBOX', 'new:box1/INBOX'])]),
}
BOXES = ['box0', 'box1']

if a.setup:
    for user, (files, _) in USERS.items():
        d = os.path.join(home, user)
        os.makedirs(d, exist_ok=True)
        os.chmod(d, 0o755)
        for name, text in files.items():
            p = os.path.join(d, name)
            open(p, 'w').write(text)
            os.chmod(p, 0o644)
    print(' '.join(list(USERS) + BOXES))
    sys.exit(0)

rnd = random.Random(a.seed)
print('seed', a.seed, flush=True)
lock = threading.Lock()
answered, unanswered = {}, {}
serial = 0
stop = threading.Event()
routes = [(u, r) for u, (_, rs) in USERS.items() for r in rs]
body = 'text of it\r\n' * 40


def sender(k):
    global serial
    s = None
    while not stop.is_set():
        with lock:
            if len(answered) >= a.messages:
                return
            serial += 1
            ident, (_, (to, head, places)) = 'm%06d' % serial, routes[serial % len(routes)]
        try:
            if s is None:
                s = smtplib.SMTP('127.0.0.1', a.smtp, local_hostname='c%d.test' % k, timeout=30)
                s.ehlo()
            s.mail('s@out.test')
            if s.rcpt(to + '@local.test')[0] != 250:
                s.rset()
                time.sleep(0.05)
                continue
            with lock:
                unanswered[ident] = places
            code = s.data('From: s@out.test\r\nTo: %s@local.test\r\nSubject: %s\r\n%sX-Attempt: %s\r\n\r\n%s' % (to, ident, head, ident, body))[0]
            with lock:
                if code == 250:
                    answered[ident] = unanswered.pop(ident)
        except (smtplib.SMTPException, OSError):
            try:
                s and s.close()
            except OSError:
                pass
            s = None
            time.sleep(0.02)


def processes():
    """The daemons' processes with their children and the users' children, by daemon."""
    out = collections.defaultdict(list)

    def below(name, pid):
        try:
            # Not the users' programs: what becomes of mail whose program was killed is the rules' business.
            if name.encode() not in open('/proc/%d/cmdline' % pid, 'rb').read():
                return
            out[name].append(pid)
            for c in open('/proc/%d/task/%d/children' % (pid, pid)).read().split():
                below(name, int(c))
        except OSError:
            pass
    for f in glob.glob(os.path.join(a.box, 'var/run/*.pid')):
        name = os.path.basename(f)[:-4]
        if name not in ('vpost', 'vimapd', 'vpop3d', 'vauthd'):
            try:
                below(name, int(open(f).read().split()[0]))
            except (OSError, ValueError, IndexError):
                pass
    return out


killed = collections.Counter()


def destroyer():
    for r in range(a.rounds):
        goal = a.messages * (r + rnd.random()) / a.rounds
        while len(answered) < goal and not stop.is_set():
            time.sleep(0.01)
        p = processes()
        # The deliverers are what this is about.
        name = rnd.choice(['vlocald', 'vlocald', 'vqueued', rnd.choice(sorted(p) or ['vlocald'])])
        if p.get(name):
            try:
                os.kill(rnd.choice(p[name]), signal.SIGKILL)
                killed[name] += 1
            except OSError:
                pass


def collect():
    seen = collections.Counter()
    for u in list(USERS) + BOXES:
        m = imaplib.IMAP4('127.0.0.1', a.imap)
        m.sock.settimeout(60)
        m.login(u, 'pw-' + u)
        for row in m.list()[1]:
            folder = row.decode().rsplit(' ', 1)[1].strip('"') if row else 'INBOX'
            ok, n = m.select(folder, readonly=True)
            if ok == 'OK' and int(n[0]):
                for part in m.fetch('1:*', '(BODY.PEEK[HEADER.FIELDS (X-ATTEMPT)])')[1]:
                    if isinstance(part, tuple):
                        got = re.search(rb'X-Attempt: (\S+)', part[1])
                        seen[(u + '/' + folder, got.group(1).decode() if got else '?')] += 1
        m.logout()
    for place in {p for _, (_, _, ps) in routes for p in ps if p.startswith('file:')}:
        try:
            for ident in re.findall(r'^X-Attempt: (\S+)', open(place[5:], errors='replace').read(), re.M):
                seen[(place, ident)] += 1
        except OSError:
            pass
    return seen


threads = [threading.Thread(target=sender, args=(k,)) for k in range(a.connections)] + [threading.Thread(target=destroyer)]
t0 = time.time()
for t in threads:
    t.start()
for t in threads:
    t.join()
t1 = time.time()


def where(p):
    return p[4:] if p.startswith('new:') else p


def missing(seen):
    return [(p, i) for i, ps in answered.items() for p in ps if not seen[(where(p), i)]]


def clean_up():
    """Lock files of processes that were killed go as by their administrator's hand, and what waited for them is tried at once."""
    for f in glob.glob(home + '/*/*.lock'):
        try:
            if time.time() - os.stat(f).st_mtime > 3:
                os.unlink(f)
        except OSError:
            pass
    subprocess.call(['sendmail', '-qff'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


end = time.time() + a.wait
while True:
    clean_up()
    try:
        seen = collect()
        if not missing(seen):
            break
    except (imaplib.IMAP4.error, OSError):
        seen = collections.Counter()
    if time.time() > end:
        break
    time.sleep(1)
time.sleep(1.5)
seen = collect()
lost = missing(seen)
known = {**answered, **unanswered}
wanted = {(where(p), i): p for i, ps in known.items() for p in ps}
stray = [k for k in seen if k not in wanted]
twice = [k for k, n in seen.items() if n > 1 and k in wanted and wanted[k] == k[0] and not k[0].startswith('file:')]
again = [k for k, n in seen.items() if n > 1 and k in wanted and k not in twice]
print('answered=%d unanswered=%d places=%d seconds=%.1f killed=%s' % (len(answered), len(unanswered), len(wanted), t1 - t0, dict(killed)))
print('lost=%d doubled=%d stray=%d again=%d (files, programs and new messages)' % (len(lost), len(twice), len(stray), len(again)))
print('again by place:', dict(collections.Counter('new message' if wanted[k].startswith('new:') else os.path.relpath(k[0][5:], home) for k in again)))
for what, v in (('lost', lost), ('doubled', twice), ('stray', stray)):
    if v:
        print(what, sorted(v)[:20])
sys.exit(1 if lost or twice or stray else 0)
