# shellcheck shell=bash
# Dialogues that manuals of other systems print work here as printed: SMTP EHLO, IMAP by hand, POP3 by hand (S2-168).
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
box_start
mt send "$SMTP" sender@out.test joe@local.test --subject "Test message" --body "This is a test message"
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 1 ]"
ehlo=$(printf 'EHLO mirto\nQUIT\n' | mt talk "$SUBMISSION")
for w in PIPELINING 'SIZE 25600000' VRFY ETRN STARTTLS ENHANCEDSTATUSCODES 8BITMIME DSN; do
	printf '%s\n' "$ehlo" | grep -qE "^250[ -]$w\$" || die "EHLO on 587 lacks $w: $ehlo"
done
python3 - "$IMAP" "$POP3" <<'X'
import re, socket, sys

def dialogue(port, steps):
    s = socket.create_connection(('127.0.0.1', port), 60)
    f = s.makefile('rb')
    for send, until, must in steps:
        if send is not None:
            s.sendall(send + b'\r\n')
        got = b''
        while not re.search(until, got, re.M):
            line = f.readline()
            if not line:
                sys.exit('closed after %r: %r' % (send, got))
            got += line
        for m in must:
            if not re.search(m, got, re.M):
                sys.exit('%r was answered %r, which lacks %r' % (send, got, m))

dialogue(int(sys.argv[1]), [
    (None, rb'^\* OK', []),
    (b'a1 LOGIN joe pw-joe', rb'^a1 OK', []),
    (b'a2 LIST "" "*"', rb'^a2 OK', [rb'^\* LIST \([^)]*\\HasNoChildren[^)]*\) "\." "?INBOX"?\r$']),
    (b'a3 EXAMINE INBOX', rb'^a3 OK \[READ-ONLY\]', [rb'^\* FLAGS \([^)]*\\Answered', rb'^\* OK \[PERMANENTFLAGS \(\)\]', rb'^\* 1 EXISTS', rb'^\* \d RECENT',
        rb'^\* OK \[UNSEEN 1\]', rb'^\* OK \[UIDVALIDITY \d+\]', rb'^\* OK \[UIDNEXT 2\]']),
    (b'a4 FETCH 1 BODY[]', rb'^a4 OK', [rb'^\* 1 FETCH \(BODY\[\] \{\d+\}\r$', rb'^Return-path: <sender@out.test>', rb'This is a test message']),
    (b'a5 LOGOUT', rb'^a5 OK', [rb'^\* BYE']),
])
dialogue(int(sys.argv[2]), [
    (None, rb'^\+OK', []),
    (b'USER joe', rb'^\+OK', []),
    (b'PASS pw-joe', rb'^\+OK', []),
    (b'LIST', rb'^\.\r$', [rb'^\+OK 1 ', rb'^1 \d+\r$']),
    (b'RETR 1', rb'^\.\r$', [rb'^\+OK \d+ ', rb'This is a test message']),
    (b'DELE 1', rb'^\+OK', []),
    (b'QUIT', rb'^\+OK', []),
])
X
eq "$(mt imap "$IMAP" joe pw-joe count)" 0 "after DELE and QUIT"
