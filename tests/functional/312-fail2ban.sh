# shellcheck shell=bash
# fail2ban's filter that comes with a box finds each wrong password of SMTP, IMAP and POP3, and nothing else (S2-132).
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
conf "auth_delay = 0s"
box_start
grep -q "^logpath = $BOX/var/log/vpost.log$" "$BOX/etc/fail2ban-jail.conf" || die "the jail does not name the box's log"
python3 - "$SUBMISSION" "$IMAP" "$POP3" <<'X'
import imaplib, poplib, smtplib, sys
smtp, imap, pop = map(int, sys.argv[1:])


def wrong(fn):
    try:
        fn()
    except Exception:
        return
    sys.exit('let in')


def by_smtp(user):
    s = smtplib.SMTP('127.0.0.1', smtp, timeout=30, source_address=('127.0.0.5', 0))
    s.ehlo()
    s.user, s.password = user, 'wrong'
    s.auth('PLAIN', s.auth_plain)


def by_imap(user):
    m = imaplib.IMAP4('127.0.0.1', imap)
    m.login(user, 'wrong')


def by_pop(user):
    p = poplib.POP3('127.0.0.1', pop, timeout=30)
    p.user(user)
    p.pass_('wrong')


for n in range(5):
    wrong(lambda: by_smtp('joe'))
    wrong(lambda: by_imap('joe'))
    wrong(lambda: by_pop('nobody'))
wrong(lambda: by_imap('"x peer=192.0.2.99 wrong name or password"'))
imaplib.IMAP4('127.0.0.1', imap).login('joe', 'pw-joe')
X
cat >"$T/filter.py" <<'X'
import collections, configparser, re, sys
c = configparser.ConfigParser()
c.read(sys.argv[1])
r = re.compile(c['Definition']['failregex'].replace('<HOST>', r'(?P<host>[0-9a-fA-F:.]+)'))
n = collections.Counter(m.group('host') for m in map(r.search, open(sys.argv[2]).read().split('\n')) if m)
for host in sorted(n):
    print(host, n[host])
X
# Tries by address.
found() { [ "$(python3 "$T/filter.py" "$BOX/etc/fail2ban-filter.conf" "$BOX/var/log/vpost.log" | tee "$T/found" | paste -sd,)" = "127.0.0.1 11,127.0.0.5 5" ]; }
wait_for 10 found
sleep 0.3
found || die "more than those: $(cat "$T/found")"
if command -v fail2ban-regex >/dev/null; then
	has "$(fail2ban-regex "$BOX/var/log/vpost.log" "$BOX/etc/fail2ban-filter.conf" 2>&1)" " 16 matched" "fail2ban-regex"
fi
