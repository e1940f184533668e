# shellcheck shell=bash
# A content filter behind the queue, as amavis: everything goes to it by SMTP and comes back on a port of its own (S2-39);
# while it is down mail waits.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
OUT=$((BASE + 24)) IN=$((BASE + 26))
conf "smtp_listen = 127.0.0.1:$SMTP 127.0.0.1:$IN"
setting CONTENT_FILTER "127.0.0.1::$OUT"
setting FILTER_RETURN_PORT "$IN"
sed -i 's/^\*   \*   F,.*/*   *   F,1d,1s/' "$BOX/etc/exim.conf"
box_start
mt send "$SMTP" --source 127.0.0.2 a@x.test joe@local.test --subject waits
wait_for 10 sh -c "grep -q '== joe@local.test R=content_filter' $BOX/var/log/mainlog"
wait_for 10 sh -c 'mailq | grep -q joe@local.test'

# The filter: takes a message, adds a field, sends it back; refuses what it does not like, as amavis does with D_REJECT.
cat >"$T/filter.py" <<'X'
import smtplib, socket, sys, threading
listen, back = int(sys.argv[1]), int(sys.argv[2])
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', listen))
s.listen(50)


def serve(c):
    f = c.makefile('rwb', 0)
    f.write(b'220 [127.0.0.1] ESMTP filter service ready\r\n')
    sender, rcpts = None, []
    while True:
        line = f.readline()
        if not line:
            break
        w = line.decode('latin-1').strip()
        u = w.upper()
        if u.startswith('EHLO'):
            f.write(b'250-[127.0.0.1]\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n')
        elif u.startswith('MAIL FROM:'):
            sender, rcpts = w[11:w.index('>')], []
            f.write(b'250 2.1.0 Sender OK\r\n')
        elif u.startswith('RCPT TO:'):
            rcpts.append(w[9:w.index('>')])
            f.write(b'250 2.1.5 Recipient OK\r\n')
        elif u == 'DATA':
            f.write(b'354 End data with <CR><LF>.<CR><LF>\r\n')
            data = b''
            while True:
                l = f.readline()
                if l == b'.\r\n':
                    break
                data += l[1:] if l.startswith(b'.') else l
            if b'VIRUS' in data:
                f.write(b'554 5.7.0 Reject, id=1 - INFECTED\r\n')
                continue
            with smtplib.SMTP('127.0.0.1', back) as m:
                m.sendmail(sender, rcpts, b'X-Virus-Scanned: filter\r\n' + data)
            f.write(b'250 2.0.0 from MTA: queued\r\n')
        elif u == 'QUIT':
            f.write(b'221 2.0.0 closing\r\n')
            break
        else:
            f.write(b'250 2.0.0 OK\r\n')
    c.close()


while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
X
python3 "$T/filter.py" "$OUT" "$IN" &
FILTER_PID=$!
at_end() { kill $FILTER_PID 2>/dev/null; }
wait_port "$OUT"
postqueue -f
count_is() { [ "$(mt imap "$IMAP" joe pw-joe count)" = "$1" ]; }
wait_for 20 count_is 1
mt send "$SMTP" --source 127.0.0.2 a@x.test joe@local.test --subject second
wait_for 10 count_is 2
for i in 1 2; do has "$(mt imap "$IMAP" joe pw-joe fetch $i)" "X-Virus-Scanned: filter" "message $i"; done
eq "$(mt imap "$IMAP" joe pw-joe fetch 2 | grep -ci '^X-Virus-Scanned')" 1 "scanned once"
# What comes from programs of the box goes through it too.
printf 'Subject: three\n\nx\n' | sendmail -f joe@local.test joe@local.test
wait_for 10 count_is 3
has "$(mt imap "$IMAP" joe pw-joe fetch 3)" "X-Virus-Scanned: filter" "a message of sendmail"
# A refusal of the filter becomes a report to the sender, which is not filtered into a loop.
mt send "$SMTP" joe@local.test joe@local.test --body VIRUS
wait_for 10 count_is 4
has "$(mt imap "$IMAP" joe pw-joe fetch 4)" "INFECTED" "the report"
wait_for 10 sh -c "[ \"\$(sendmail -bpc)\" = 0 ]"
