# shellcheck shell=bash
# The rules of the old manuals that call programs, unchanged: spamc with its daemon down and up, the gateway to news.  The
# programs stand where the manuals have them, in /usr/local of a mount namespace, and are stand-ins.
if [ "$(id -u)" = 0 ] && [ -z "${IN_MOUNTS-}" ]; then
	unshare -m true 2>/dev/null || { echo "no mount namespaces here"; exit 78; }
	export IN_MOUNTS=1
	exec unshare -mn bash "$0" "$@"
fi
[ -n "${IN_MOUNTS-}" ] || { echo "needs root to put programs below /usr/local"; exit 77; }
if [ "$(id -u)" = 0 ]; then
	ip link set lo up
	mount -t tmpfs -o mode=755 tmpfs /usr/local
	mkdir -p /usr/local/bin /usr/local/news/bin/mail2news
	chmod 1777 /usr/local/bin /usr/local/news/bin/mail2news	# so that the test may take them away
fi
. "$(dirname "$0")/../lib/box.sh"
need python3
DOC=${VPOST_DOCUMENTS:-/nonexistent}/S4.txt
[ -f "$DOC" ] || skip "VPOST_DOCUMENTS has no S4.txt"

# The client: asks the daemon, hands the message on as it is where there is none, as the real one does.
cat >/usr/local/bin/spamc <<'X'
#!/usr/bin/python3
import socket, sys
port = int(sys.argv[sys.argv.index('-p') + 1])
m = sys.stdin.buffer.read()
try:
    s = socket.create_connection(('127.0.0.1', port), 30)
    s.sendall(b'PROCESS SPAMC/1.2\r\nContent-length: %d\r\n\r\n' % len(m) + m)
    s.shutdown(socket.SHUT_WR)
    r = b''
    while True:
        d = s.recv(65536)
        if not d:
            break
        r += d
    m = r.split(b'\r\n\r\n', 1)[1]
except OSError:
    pass
sys.stdout.buffer.write(m)
X
cat >"$T/spamd" <<'X'
import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('127.0.0.1', 49146)); s.listen(5)
while True:
    c, _ = s.accept(); d = b''
    while True:
        x = c.recv(65536)
        if not x: break
        d += x
    if b'\r\n\r\n' not in d: c.close(); continue
    m = d.split(b'\r\n\r\n', 1)[1]
    head, body = m.split(b'\n\n', 1)
    flag = b'Yes, score=1000' if b'XJS*C4JDBQADN1' in body else b'No, score=0'
    c.sendall(b'SPAMD/1.1 0 EX_OK\r\nSpam: x\r\n\r\n' + head + b'\nX-Spam-Status: ' + flag + b'\n\n' + body); c.close()
X
cat >/usr/local/news/bin/mail2news/mail2news <<'X'
#!/bin/sh
cd "$HOME" || exit 1
if [ -n "$2" ]; then sed -e "$2"; else cat; fi >"news.$1.$$"
X
chmod 755 /usr/local/bin/spamc /usr/local/news/bin/mail2news/mail2news

box_make
box_users bigboss
H=$BOX/home/bigboss
mkdir -p "$H"; chmod 755 "$BOX/home" "$H"
count() { mt imap "$IMAP" bigboss pw-bigboss count "$1" 2>/dev/null || echo 0; }
in_box() { wait_for 15 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP bigboss pw-bigboss count $1 2>/dev/null)\" = $2 ]"; }
post() { # TEXT HEADER...
	local h t=$1; shift
	{ echo "From: Sender <sender@out.test>"; for h in "$@"; do echo "$h"; done; echo; echo "$t"; } >"$T/m.eml"
	mt send "$SMTP" sender@out.test bigboss@local.test --file "$T/m.eml"
}
took() { wait_for 15 sh -c "cat $H/news.* 2>/dev/null | grep -q '$1'"; }
GTUBE='XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X'
awk '/preinstalled SpamAssassin daemon/ { on = 1; next } /^The first paragraph filters/ { exit } on { sub(/^    /, ""); print }' "$DOC" >"$H/.procmailrc"
grep -q '/usr/local/bin/spamc -p 49146' "$H/.procmailrc" || die "the example was not found"
chmod 644 "$H/.procmailrc"
box_start

# The daemon is down: mail arrives as it is.
post "$GTUBE" "Subject: one"; in_box INBOX 1
# It is up: marked and sorted.
python3 "$T/spamd" & PIDS="$PIDS $!"
wait_port 49146
post "$GTUBE" "Subject: two"; in_box INBOX.Spam 1
post "nothing bad" "Subject: three"; in_box INBOX 2
grep -rql 'X-Spam-Status: No' "$BOX/var/mail" || die "no mark of the filter"
# The client fails, writes half and fails, or is not there: unfiltered, nothing lost.
mv /usr/local/bin/spamc "$T/spamc"
printf '#!/bin/sh\ncat >/dev/null\nexit 74\n' >/usr/local/bin/spamc; chmod 755 /usr/local/bin/spamc
post "plain" "Subject: four"; in_box INBOX 3
printf '#!/bin/sh\nhead -c 20\nexit 74\n' >/usr/local/bin/spamc
post "plain" "Subject: five"; in_box INBOX 4
printf '#!/bin/sh\nkill -9 $$\n' >/usr/local/bin/spamc
post "plain" "Subject: six"; in_box INBOX 5
rm /usr/local/bin/spamc
post "plain" "Subject: seven"; in_box INBOX 6

# Cheap rules first: the filter is asked only for what they leave.
printf '#!/bin/sh\necho x >>%s/calls\ncat\n' "$H" >/usr/local/bin/spamc; chmod 755 /usr/local/bin/spamc
{ printf ':0\n* ^List-Id:\n! bigboss.Lists\n\n:0\n* ^X-RBL-Warning:\n! bigboss.Spam\n\n'; cat "$H/.procmailrc"; } >"$T/rc"; cat "$T/rc" >"$H/.procmailrc"
post "x" "Subject: s" "List-Id: <l.test>"; in_box INBOX.Lists 1
post "x" "Subject: s" "X-RBL-Warning: listed"; in_box INBOX.Spam 2
post "x" "Subject: s"; in_box INBOX 7
eq "$(wc -l <"$H/calls")" 1 "calls of the filter"

# Mailing lists into news.
awk '/Here is how you would do that in .\.procmailrc/ { on = 1; next } /^Besides setting up/ { exit } on { if (sub(/^    /, "")) print; else print "" }' "$DOC" >"$H/.procmailrc"
grep -q 'mlists.heise-ticker' "$H/.procmailrc" || die "the example was not found"
post "an advisory" "Subject: SA-00" "Sender: owner-freebsd-security-notifications@FreeBSD.ORG"; took "an advisory"
[ -n "$(find "$H" -name 'news.mlists.freebsd.security-notifications*')" ] || die "not in that group"
head -qn 1 "$H"/news.mlists.freebsd* | grep -q '^From sender@out.test ' || die "no From line for the gateway"
post "ticked" "Subject: [Newsticker] hello" "List-Id: News <newsticker.listserv.heise.de>"; took "ticked"
grep -q '^Subject: hello$' "$H"/news.mlists.heise-ticker* || die "the tag is still there: $(grep Subject "$H"/news.mlists.heise*)"
eq "$(count INBOX)" 7 "the inbox"
post "other" "Subject: other"; in_box INBOX 8
# No gateway: the mail stays.
rm /usr/local/news/bin/mail2news/mail2news
post "kept" "Subject: SA-01" "Sender: owner-freebsd-security-notifications@FreeBSD.ORG"; in_box INBOX 9
exit 0
