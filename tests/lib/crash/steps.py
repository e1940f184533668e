#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""steps.py BOX SMTP IMAP [STEP ...]: cut the power at each named step of the spool's state table.

For each step the box is started under the crash shim with a rule that stops everything just before (or behind) one system call,
and gets messages until that happens: for an account, for an account and a host that is away, and for a domain that refuses mail.
What was not synced is dropped, the box is started anew, and then: every answered message is in its mailbox exactly once, waits in
the queue exactly once where the host is away, and was reported exactly once where it was refused; an unanswered one at most once.
Environment: as powercut.sh.
"""
import collections, glob, imaplib, os, re, smtplib, socket, subprocess, sys, time

imaplib._MAXLINE = 100_000_000
here = os.path.dirname(os.path.abspath(__file__))
box, smtp, imap = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

# name, rule of the shim
STEPS = [
    ('segment: being made', 'create:intake/tmp.:6'),
    ('segment: made, not synced', 'fsync:intake/tmp.:6'),
    ('segment: synced, without its name', 'link:spool/intake/:6'),
    ('segment: named, directory not synced', 'done-link:spool/intake/:6'),
    ('segment: directory synced', 'done-fsync:spool/intake:12'),
    ('record: before it is written', 'write:.seg:30'),
    ('record: written, not synced', 'fdatasync:.seg:20'),
    ('record: synced, not answered', 'done-fdatasync:.seg:20'),
    ('done-log: before an entry', 'write:.seg.done:6'),
    ('done-log: entry written', 'done-write:.seg.done:6'),
    ('done-log: before its sync', 'fdatasync:.seg.done:4'),
    ('done-log: synced', 'done-fdatasync:.seg.done:4'),
    ('queue file: being written', 'write:queue/tmp.:5'),
    ('queue file: written, not synced', 'fsync:queue/tmp.:5'),
    ('queue file: synced, without its name', 'rename:spool/queue/:5'),
    ('queue file: renamed, directory not synced', 'done-rename:spool/queue/:5'),
    ('queue file: directory synced', 'done-fsync:spool/queue:5'),
    ('report: queue file made', 'done-fsync:spool/queue:3'),
    ('queue file: before it is removed', 'unlink:spool/queue/:2'),
    ('queue file: removed, directory not synced', 'done-unlink:spool/queue/:2'),
    ('segment: before it is removed', 'unlink:.seg:8'),
    ('segment: removed, directory not synced', 'done-unlink:.seg:8'),
    ('segment: gone, done-log still there', 'unlink:.seg.done:5'),
    ('store: before the barrier', 'syncfs:var/mail:2'),
    ('store: behind the barrier', 'done-syncfs:var/mail:2'),
    ('store: index being written', 'write:mail/index:20'),
    ('store: index committed', 'done-fdatasync:mail/index:5'),
    ('store: body written', 'done-write:mail/u/:20'),
]
env = dict(os.environ, PYTHONUNBUFFERED='1')
shim_dir = env['SHIM_DIR']
serial = 0


def sh(*argv, **kw):
    return subprocess.run(argv, check=True, env=kw.pop('env', env), stdout=subprocess.PIPE, text=True, **kw).stdout


def frozen():
    with open(shim_dir + '/state', 'rb') as f:
        return f.read(12)[8] == 1


def send(kind, answered, unanswered):
    """One message; its attempt's id."""
    global serial
    serial += 1
    ident = 'a%05d' % serial
    rcpts = {'local': ['u0@local.test'], 'away': ['u1@local.test', 'x@away.test'], 'refused': ['x@nomail.test']}[kind]
    unanswered[ident] = kind
    s = smtplib.SMTP('127.0.0.1', smtp, local_hostname='c.test', timeout=5)
    s.ehlo()
    s.mail('u2@local.test' if kind == 'refused' else 's%s@out.test' % ident)
    for r in rcpts:
        if s.rcpt(r)[0] != 250:
            return
    if s.data('Subject: %s\r\nX-Attempt: %s\r\n\r\n%s' % (ident, ident, 'line of text\r\n' * 150))[0] == 250:
        answered[ident] = kind
        del unanswered[ident]
    s.close()


def load(answered, unanswered):
    """Until the rule stops everything."""
    end = time.time() + 60
    while time.time() < end and not frozen():
        for kind in ('local', 'away', 'local', 'refused'):
            try:
                send(kind, answered, unanswered)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.02)
            if frozen():
                break
    return frozen()


def mailbox(user):
    seen = collections.Counter()
    m = imaplib.IMAP4('127.0.0.1', imap)
    m.sock.settimeout(60)
    m.login(user, 'pw-' + user)
    if int(m.select(readonly=True)[1][0]):
        for row in m.fetch('1:*', '(BODY.PEEK[])')[1]:
            if isinstance(row, tuple):
                got = re.findall(rb'^X-Attempt: (\S+)', row[1], re.M)
                seen[got[0].decode() if got else 'damaged'] += 1
    m.logout()
    return seen


def look():
    waiting = collections.Counter(re.findall(r's(a\d+)@out\.test', sh('mailq')))
    return mailbox('u0'), mailbox('u1'), mailbox('u2'), waiting


def judge(answered, unanswered):
    """What is wrong; the places by kind."""
    u0, u1, u2, waiting = look()
    bad = []
    for places, kind in ((u0, 'local'), (u1, 'away'), (waiting, 'away'), (u2, 'refused')):
        for i, k in answered.items():
            if k == kind and places[i] != 1:
                bad.append('%s %s is there %d times' % (kind, i, places[i]))
        for i, k in unanswered.items():
            if k == kind and places[i] > 1:
                bad.append('unanswered %s %s is there %d times' % (kind, i, places[i]))
        bad += ['damaged message'] * places['damaged']
    return bad


def run(name, rule):
    answered, unanswered = {}, {}
    subprocess.check_call([here + '/crashrestore.py', 'init', shim_dir])
    subprocess.Popen([here + '/powercut.sh', 'start'], env=dict(env, SHIM_KILL=rule + ':group')).wait()
    hit = load(answered, unanswered)
    sh(here + '/powercut.sh', 'cut', '0')
    end = time.time() + 60
    while True:
        try:
            bad = judge(answered, unanswered)
        except (OSError, imaplib.IMAP4.error, subprocess.CalledProcessError) as e:
            bad = [str(e)]
        if not bad or time.time() > end:
            break
        time.sleep(0.5)
    # Nothing comes late.
    if not bad:
        time.sleep(1.2)
        bad = judge(answered, unanswered)
    sh(here + '/powercut.sh', 'kill')
    print('%-45s %-28s %3d answered, %2d not: %s' % (name, rule, len(answered), len(unanswered),
          'NOT REACHED' if not hit else 'ok' if not bad else 'BAD ' + '; '.join(bad[:5])), flush=True)
    return hit and not bad


only = sys.argv[4:]
failed = [n for n, r in STEPS if (not only or any(o in n for o in only)) and not run(n, r)]
print('%d failed' % len(failed))
sys.exit(1 if failed else 0)
