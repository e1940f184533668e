"""dialogues.py SENDMAIL CONFIG FILE...: play the dialogues of FILEs through SENDMAIL -bh with CONFIG rewritten for each.

A file holds "=== NAME from ADDRESS", the configuration, then what the client sends behind "--- client", the replies behind
"--- server" and the log behind "--- log".  Dates, versions and message ids are compared by their form only.
"""
import difflib
import os
import re
import subprocess
import sys

HEAD = '''primary_hostname = mail.example.test
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts =
smtp_enforce_sync = false
smtputf8_advertise_hosts =
pipelining_connect_advertise_hosts =
never_users =
'''
ID = re.compile(r'\bE?[0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4})\b')
DATE = re.compile(r'\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [-+]\d{4}')


def plain(text):
    text = ID.sub('MSGID', text.replace('\r', ''))
    text = re.sub(r'(\(?Exim) \d\.\d+(?:\.\d+)?(?: #\d+)?', r'\1 VERSION', text)
    text = re.sub(r'\bS=\d+', 'S=N', text)
    text = re.sub(r'\b(D|RT)=(?:\d+\.)?\d+s', r'\1=T', text)
    return DATE.sub('DATE', text).strip('\n')


def cases(path):
    case, part = None, None
    for line in open(path, encoding='latin-1').read().split('\n'):
        head = re.match(r'=== (\S+) from (\S+)$', line)
        if head:
            if case:
                yield case
            case = dict(name=head.group(1), ip=head.group(2), config=[], client=[], server=[], log=[])
            part = 'config'
        elif line in ('--- client', '--- server', '--- log'):
            part = line[4:]
        elif case:
            case[part].append(line)
    if case:
        yield case


def play(sendmail, config, case):
    with open(config, 'w', encoding='latin-1') as out:
        spool = os.path.join(os.path.dirname(os.path.dirname(config)), 'var/spool')
        own = [re.split(r'[ =]', line)[0] for line in case['config']]
        head = ''.join(line for line in HEAD.splitlines(True) if line.split(' ')[0] not in own)
        out.write(head + 'spool_directory = %s\n' % spool + '\n'.join(case['config']) + '\n')
    sent = '\r\n'.join(case['client']) + '\r\n'
    p = subprocess.run([sendmail, '-bh', case['ip']], input=sent.encode('latin-1'), stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=60, check=False)
    replies = re.sub(r'(?s)\A\n?\*\*\*\* SMTP testing session.*?not for real!\n\n', '', p.stdout.decode('latin-1'))
    log = ''.join(line + '\n' for line in p.stderr.decode('latin-1').split('\n') if line.startswith('LOG:'))
    return plain(replies), plain(log)


def main():
    bad = n = 0
    only = os.environ.get('ONLY_CASE')
    for path in sys.argv[3:]:
        for case in cases(path):
            if only and case['name'] != only:
                continue
            n += 1
            got = play(sys.argv[1], sys.argv[2], case)
            want = plain('\n'.join(case['server'])), plain('\n'.join(case['log']))
            if got == want:
                continue
            bad += 1
            print('%s: %s differs' % (os.path.basename(path), case['name']))
            for w, g in zip(want, got):
                sys.stdout.writelines(d + '\n' for d in difflib.unified_diff(w.split('\n'), g.split('\n'), 'wanted', 'got', lineterm='', n=1))
    print('%d of %d dialogues as written down' % (n - bad, n))
    sys.exit(bad > 0)


main()
