#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Sends messages while something destroys the daemons, then counts what arrived.

  killtest.py BOX SMTP IMAP POP3 --messages N --connections C --rounds R [--mode kill|crash] [--users U] [--deletes N] [--seed S]

kill: a daemon process of the box, chosen at random, gets SIGKILL, R times, spread over the run; `vpost run` restarts it.
crash: R times the whole box is killed as by a power cut: the command of $CRASH_CMD is run, which stops everything, drops what
was not synced and starts the box again.

Every attempt has its own id.  At the end each attempt that was answered 250 must be in a mailbox exactly once, each other
at most once; messages whose deletion was answered must not be there.  Prints the figures; exit 1 if that does not hold.
"""
import argparse, collections, glob, imaplib, os, poplib, random, re, signal, smtplib, subprocess, sys, threading, time

imaplib._MAXLINE = 100_000_000
poplib._MAXLINE = 100_000_000
ap = argparse.ArgumentParser()
ap.add_argument('box')
for n in ('smtp', 'imap', 'pop3'):
    ap.add_argument(n, type=int)
ap.add_argument('--messages', type=int, default=3000)
ap.add_argument('--connections', type=int, default=20)
ap.add_argument('--rounds', type=int, default=30)
ap.add_argument('--mode', default='kill')
ap.add_argument('--users', type=int, default=10)
ap.add_argument('--deletes', type=int, default=200)
ap.add_argument('--seed', type=int, default=int(time.time()))
ap.add_argument('--size', type=int, default=3000)
ap.add_argument('--pace', type=float, default=0.0, help='seconds that a sender rests after each message')
ap.add_argument('--gap', type=float, default=0.0, help='seconds between two kills; 0: spread over the messages')
a = ap.parse_args()
rnd = random.Random(a.seed)
print('seed', a.seed, flush=True)

lock = threading.Lock()
answered, unanswered, refused = set(), set(), 0
serial = 0
deleted = set()
asked = set()     # deletions that were asked for: without an answer they may have happened
stop = threading.Event()
body = ('x' * 70 + '\r\n') * (a.size // 72)


def next_id():
    global serial
    with lock:
        if len(answered) >= a.messages or stop.is_set():
            return None
        serial += 1
        return 'm%06d' % serial


def sender(k):
    global refused
    s, left = None, 0
    while True:
        ident = next_id()
        if ident is None:
            break
        user = 'u%d' % (int(ident[1:]) % a.users)
        try:
            if s is None:
                s = smtplib.SMTP('127.0.0.1', a.smtp, local_hostname='c%d.test' % k, timeout=30)
                s.ehlo()
                left = rnd.randint(1, 20)
            s.mail('s@out.test')
            code, text = s.rcpt('%s@local.test' % user)
            if code != 250:
                s.rset()
                with lock:
                    refused += 1
                time.sleep(0.05)
                continue
            # Until the dot is out nothing can have been taken.
            with lock:
                unanswered.add(ident)
            code, text = s.data('From: s@out.test\r\nTo: %s@local.test\r\nSubject: %s\r\nX-Attempt: %s\r\n\r\n%s' % (user, ident, ident, body))
            with lock:
                if code == 250:
                    answered.add(ident)
                    unanswered.discard(ident)
                else:
                    refused += 1
            if a.pace:
                time.sleep(a.pace * rnd.uniform(0.5, 1.5))
            left -= 1
            if left == 0:
                s.quit()
                s = None
        except (smtplib.SMTPException, OSError):
            try:
                s and s.close()
            except OSError:
                pass
            s = None
            time.sleep(0.02)


def deleter(kind):
    """Deletes messages of the users now and then; what was answered must stay deleted."""
    done = 0
    while not stop.is_set() and done < a.deletes:
        user = 'u%d' % rnd.randrange(a.users)
        time.sleep(0.15)
        try:
            if kind == 'imap':
                m = imaplib.IMAP4('127.0.0.1', a.imap)
                m.sock.settimeout(30)
                m.login(user, 'pw-' + user)
                n = int(m.select()[1][0])
                if n:
                    i = str(rnd.randint(1, n))
                    got = m.fetch(i, '(BODY.PEEK[HEADER.FIELDS (X-ATTEMPT)])')[1][0]
                    ident = got[1].decode().split(':', 1)[1].strip()
                    with lock:
                        asked.add(ident)
                    # A refused STORE (the store's daemon was just killed) leaves EXPUNGE nothing to do.
                    if m.store(i, '+FLAGS', '(\\Deleted)')[0] == 'OK' and m.expunge()[0] == 'OK':
                        with lock:
                            deleted.add(ident)
                        done += 1
                m.logout()
            else:
                p = poplib.POP3('127.0.0.1', a.pop3, timeout=30)
                p.user(user)
                p.pass_('pw-' + user)
                n = p.stat()[0]
                if n:
                    i = rnd.randint(1, n)
                    ident = [l for l in p.top(i, 0)[1] if l.lower().startswith(b'x-attempt:')][0].decode().split(':', 1)[1].strip()
                    with lock:
                        asked.add(ident)
                    p.dele(i)
                    p.quit()
                    with lock:
                        deleted.add(ident)
                    done += 1
                else:
                    p.quit()
        except (imaplib.IMAP4.error, poplib.error_proto, OSError, IndexError, TypeError, ValueError, AttributeError):
            time.sleep(0.05)


def pids_of_box():
    """The daemons' processes: parents by their pid files, workers as their children."""
    out = []
    for f in glob.glob(os.path.join(a.box, 'var/run/*.pid')):
        name = os.path.basename(f)[:-4]
        if name == 'vpost':
            continue
        try:
            pid = int(open(f).read().split()[0])
            os.kill(pid, 0)
        except (OSError, ValueError, IndexError):
            continue
        out.append((name, pid))
        try:
            for c in open('/proc/%d/task/%d/children' % (pid, pid)).read().split():
                out.append((name + ' worker', int(c)))
        except OSError:
            pass
    return out


killed = collections.Counter()


def destroyer():
    for r in range(a.rounds):
        if a.gap:
            time.sleep(a.gap * rnd.uniform(0.5, 1.5))
        else:
            goal = a.messages * (r + rnd.random()) / a.rounds
            while len(answered) < goal and not stop.is_set():
                time.sleep(0.01)
        if a.mode == 'kill':
            p = pids_of_box()
            if not p:
                continue
            # By daemon first: those with many processes are not more likely.
            name = rnd.choice(sorted({n for n, _ in p}))
            pid = rnd.choice([q for n, q in p if n == name])
            try:
                os.kill(pid, signal.SIGKILL)
                killed[name] += 1
            except OSError:
                pass
        else:
            rc = subprocess.call([os.environ['CRASH_CMD'], str(r)])
            if rc != 0:
                print('crash command failed with', rc)
                os._exit(1)
            killed['crash'] += 1


threads = [threading.Thread(target=sender, args=(k,)) for k in range(a.connections)]
d = threading.Thread(target=destroyer)
dels = [threading.Thread(target=deleter, args=(k,)) for k in ('imap', 'pop3')]
t0 = time.time()
for t in threads + [d] + dels:
    t.start()
for t in threads:
    t.join()
d.join()
stop.set()
for t in dels:
    t.join()
t1 = time.time()


def collect():
    """All ids in the mailboxes, with their number."""
    seen = collections.Counter()
    for u in range(a.users):
        m = imaplib.IMAP4('127.0.0.1', a.imap)
        m.sock.settimeout(120)
        m.login('u%d' % u, 'pw-u%d' % u)
        n = int(m.select(readonly=True)[1][0])
        if n:
            for row in m.fetch('1:*', '(BODY.PEEK[])')[1]:
                if isinstance(row, tuple):
                    head, _, rest = row[1].partition(b'\r\n\r\n')
                    ident = re.search(rb'^X-Attempt: (\S+)', head, re.M).group(1).decode()
                    if rest.decode().rstrip('\r\n') != body.rstrip('\r\n'):
                        print('damaged body:', ident)
                        seen['damaged'] += 1
                    seen[ident] += 1
        m.logout()
    return seen


# Everything that was taken arrives by itself.
end = time.time() + 120
while True:
    try:
        seen = collect()
        if answered - asked <= set(seen):
            break
    except (imaplib.IMAP4.error, OSError):
        seen = collections.Counter()
    if time.time() > end:
        break
    time.sleep(1)
time.sleep(2)
seen = collect()
lost = (answered - asked) - set(seen)
twice = {i for i, n in seen.items() if n > 1}
back = deleted & set(seen)
unknown = set(seen) - answered - unanswered
print('attempts=%d answered=%d unanswered=%d of which arrived=%d refused=%d deleted=%d seconds=%.1f killed=%s' %
      (serial, len(answered), len(unanswered), len(unanswered & set(seen)), refused, len(deleted), t1 - t0, dict(killed)))
print('lost=%d doubled=%d came_back=%d unknown=%d damaged=%d' % (len(lost), len(twice), len(back), len(unknown), seen['damaged']))
for what, ids in (('lost', lost), ('doubled', twice), ('came back', back)):
    if ids:
        print(what, sorted(ids)[:20])
sys.exit(1 if lost or twice or back or unknown or seen['damaged'] or len(answered) < a.messages else 0)
