# shellcheck shell=bash
# malware, spam, decode and the MIME ACL ask their scanners, which are stubs here: clean, found, broken, silent and gone.
. "$(dirname "$0")/../lib/box.sh"

box_make
CLAMD=$((SMTP + 91)) SPAMD=$((SMTP + 92)) SOCK=$((SMTP + 93)) SLOW=$((SMTP + 94)) NOBODY=$((SMTP + 95)) RSPAMD=$((SMTP + 96))
cat >"$BOX/etc/exim.conf" <<X
primary_hostname = here.test
av_scanner = \${if eq{\$acl_m_av}{}{clamd:127.0.0.1 $NOBODY:127.0.0.1 $CLAMD}{\$acl_m_av}}
spamd_address = \${if eq{\$acl_m_sa}{}{127.0.0.1 $NOBODY : 127.0.0.1 $SPAMD}{\$acl_m_sa}}
acl_smtp_rcpt = check
acl_smtp_mime = mime
acl_smtp_data = data
begin acl
check:
  warn set acl_m_av = \${extract{\$local_part}{unix=clamd:$BOX/clamd.sock slow="clamd:127.0.0.1 $SLOW" gone="clamd:127.0.0.1 $NOBODY" goneok="clamd:127.0.0.1 $NOBODY" sock="sock:127.0.0.1 $SOCK:SCAN %s:BAD:NAME=(.*)" cmd="cmdline:/bin/false %s:x:(y)" odd="nosuch:/x"}}
       set acl_m_sa = \${extract{\$local_part}{spamslow="127.0.0.1 $SLOW tmo=1s" spamgone="127.0.0.1 $NOBODY" rspam="127.0.0.1 $RSPAMD variant=rspamd"}}
       set acl_m_to = \$local_part
  accept
mime:
  warn decode = default
       logwrite = part \$mime_part_count \$mime_content_type [\$mime_filename] \$mime_content_size KB <\${readfile{\$mime_decoded_filename}{|}}>
  deny mime_regex = SECRETWORD
       message = part \$mime_part_count says what it must not
  accept
data:
  accept condition = \${if eq{\$acl_m_to}{goneok}}
         !malware = */defer_ok
         message = taken without a look
  deny   malware = */tmo=2s
         message = virus \$malware_name
  deny   condition = \${if match{\$acl_m_to}{^r?spam}}
         spam = nobody
         message = spam \$spam_score \$spam_score_int \$spam_bar \$spam_action
  warn   condition = \${if eq{\$acl_m_to}{ham}}
         spam = nobody:true
         logwrite = score \$spam_score int \$spam_score_int bar \$spam_bar report \${sg{\$spam_report}{\n}{/}}
  accept message = taken
begin routers
all:
  driver = redirect
  data = :blackhole:
X
cat >"$T/stubs.py" <<'X'
import socket, struct, sys, threading, time

clamd, spamd, sock, slow, rspamd = map(int, sys.argv[1:6])
box = sys.argv[6]


def read(c, n):
    data = b''
    while len(data) < n:
        piece = c.recv(n - len(data))
        if not piece:
            break
        data += piece
    return data


def until_eof(c):
    data = b''
    while True:
        piece = c.recv(65536)
        if not piece:
            return data
        data += piece


def do_clamd(c):
    assert read(c, 10) == b'zINSTREAM\0'
    data = b''
    while True:
        n, = struct.unpack('>I', read(c, 4))
        if n == 0:
            break
        data += read(c, n)
    open(box + '/seen.eml', 'wb').write(data)
    if b'EICAR' in data:
        c.sendall(b'stream: Eicar-Test FOUND\0')
    elif b'BROKEN' in data:
        c.sendall(b'INSTREAM size limit exceeded. ERROR\0')
    else:
        c.sendall(b'stream: OK\0')


def do_spamd(c):
    data = until_eof(c)
    head, body = data.split(b'\r\n\r\n', 1)
    assert head.startswith(b'REPORT SPAMC/1.2\r\nUser: nobody\r\n'), head
    assert int(head.split(b'Content-length: ')[1].split()[0]) == len(body), (head, len(body))
    if b'NONSENSE' in body:
        c.sendall(b'HTTP/1.0 400 what\r\n\r\n')
        return
    verdict = (b'True', b'12.34') if b'CHEAP' in body else (b'False', b'-1.5')
    c.sendall(b'SPAMD/1.1 0 EX_OK\r\nContent-length: 20\r\nSpam: %s ; %s / 5.0\r\n\r\nline one\nline two\n\n' % verdict)


def do_rspamd(c):
    head = b''
    while b'\r\n\r\n' not in head:
        head += c.recv(65536)
    assert head.startswith(b'CHECK RSPAMC/1.3\r\n') and b'From: <a@b.test>' in head and b'Rcpt: <rspam@c.test>' in head, head
    n = int(head.split(b'Content-length: ')[1].split()[0])
    rest = head.split(b'\r\n\r\n', 1)[1]
    read(c, n - len(rest))
    c.sendall(b'RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 7.10 / 6.00 / 15.00\r\nSymbol: A(1)\r\nAction: add header\r\n\r\n')


def do_sock(c):
    path = until_eof(c).decode().split(None, 1)[1].strip()
    c.sendall(b'BAD\nNAME=Worm.Stub\n' if 'WORM' in open(path).read() else b'fine\n')


def do_slow(c):
    time.sleep(20)


def serve(s, fn):
    def one(c):
        try:
            fn(c)
        except (OSError, AssertionError, struct.error) as e:
            open(box + '/stub.log', 'a').write('%s: %r\n' % (fn.__name__, e))
        c.close()
    while True:
        threading.Thread(target=one, args=(s.accept()[0],), daemon=True).start()


for port, fn in (clamd, do_clamd), (spamd, do_spamd), (sock, do_sock), (slow, do_slow), (rspamd, do_rspamd):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('127.0.0.1', port))
    s.listen(20)
    threading.Thread(target=serve, args=(s, fn), daemon=True).start()
u = socket.socket(socket.AF_UNIX)
u.bind(box + '/clamd.sock')
u.listen(5)
serve(u, do_clamd)
X
python3 "$T/stubs.py" "$CLAMD" "$SPAMD" "$SOCK" "$SLOW" "$RSPAMD" "$BOX" &
STUBS=$!
at_end() { kill $STUBS 2>/dev/null; }
box_start
wait_port "$RSPAMD"

cat >"$T/send.py" <<'X'
import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 30)
f = s.makefile('rwb', 0)


def reply():
    out = []
    while not out or out[-1][3:4] == '-':
        out.append(f.readline().decode('latin-1').rstrip('\r\n'))
    return '/'.join(out)


reply()
for c in ['EHLO me.test', 'MAIL FROM:<a@b.test>', 'RCPT TO:<%s@c.test>' % sys.argv[2], 'DATA']:
    f.write(c.encode() + b'\r\n')
    reply()
text = sys.argv[3].encode().decode('unicode_escape').encode('latin-1').replace(b'\n', b'\r\n')
f.write(b'From: a@b.test\r\nSubject: t\r\n' + sys.argv[4].encode() + (b'\r\n' if sys.argv[4] else b'') + b'\r\n' + text + b'\r\n.\r\n')
print(reply())
f.write(b'QUIT\r\n')
X
# send RECIPIENT TEXT [HEADER]: the answer to the message
send() { python3 "$T/send.py" "$SMTP" "$1" "$2" "${3-}"; }

# clamd: one server is down, the other is asked.
eq "$(send x 'all is well')" "250 2.0.0 taken" "a clean message"
has "$(cat "$BOX/seen.eml")" "X-Envelope-From: <a@b.test>" "what clamd saw"
has "$(cat "$BOX/seen.eml")" "X-Envelope-To: x@c.test" "what clamd saw"
has "$(cat "$BOX/seen.eml")" "Subject: t" "what clamd saw"
hasnot "$(cat "$BOX/seen.eml")" $'\r' "what clamd saw"
eq "$(send x 'EICAR')" "550 5.7.1 virus Eicar-Test" "a virus"
eq "$(send unix 'EICAR')" "550 5.7.1 virus Eicar-Test" "by a UNIX socket"
has "$(send x 'BROKEN')" "451 " "clamd's own trouble"
wait_for 20 grep -qF -- "malware acl condition: clamd [127.0.0.1]:$CLAMD : ClamAV returned: INSTREAM size limit exceeded. ERROR" "$BOX/var/log/mainlog"
big=$(python3 -c 'print(("x" * 70 + "\\n") * 1500, end="")')
eq "$(send x "$big")" "250 2.0.0 taken" "more than a chunk"
# Trouble defers, unless defer_ok says otherwise, and never waits longer than it may.
has "$(send gone x)" "451 " "no scanner"
wait_for 20 grep -qF -- "malware acl condition: clamd [127.0.0.1]:$NOBODY : failed to connect to any address for 127.0.0.1: Connection refused" "$BOX/var/log/mainlog"
wait_for 20 grep -qF -- "malware acl condition: clamd  : all servers failed" "$BOX/var/log/mainlog"
eq "$(send goneok x)" "250 2.0.0 taken without a look" defer_ok
start=$(date +%s)
has "$(send slow x)" "451 " "a silent scanner"
[ $(($(date +%s) - start)) -lt 15 ] || die "tmo=2s was not kept"
wait_for 20 grep -qF -- "unable to read from socket: timed out" "$BOX/var/log/mainlog"
has "$(send cmd x)" "451 " "a scanner that is a program"
wait_for 20 grep -qF -- "starts no programs" "$BOX/var/log/mainlog"
has "$(send odd x)" "451 " "an unknown scanner"
wait_for 20 grep -qF -- "unknown scanner type 'nosuch'" "$BOX/var/log/mainlog"
# sock
eq "$(send sock 'fine')" "250 2.0.0 taken" "sock, clean"
eq "$(send sock 'a WORM')" "550 5.7.1 virus Worm.Stub" "sock, found"

# spam
eq "$(send spam CHEAP)" "550 5.7.1 spam 12.3 123 ++++++++++++ reject" "spam"
eq "$(send spam fine)" "250 2.0.0 taken" "no spam"
eq "$(send ham fine)" "250 2.0.0 taken" "always true"
wait_for 20 grep -qF -- "score -1.5 int -15 bar - report line one/ line two" "$BOX/var/log/mainlog"
has "$(send spam NONSENSE)" "451 " "a malformed answer"
wait_for 20 grep -qF -- "spam acl condition: cannot parse spamd output" "$BOX/var/log/mainlog"
has "$(send spamgone x)" "451 " "no spamd"
wait_for 20 grep -qF -- "spam acl condition: all spamd servers failed" "$BOX/var/log/mainlog"
has "$(send spamslow x)" "451 " "a silent spamd"
eq "$(send rspam x)" "550 5.7.1 spam 7.1 71 +++++++ add header" "Rspamd"

# decode, and what is within
mime='--b\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\ncaf=E9 x=\ny\n--b\nContent-Type: application/x; name="a b.bin"\nContent-Transfer-Encoding: base64\n\nSGVsbG8gd29ybGQ=\n--b--'
eq "$(send x "$mime" 'Content-Type: multipart/mixed; boundary=b')" "250 2.0.0 taken" "a message of parts"
wait_for 20 grep -qF -- 'part 1 text/plain [] 1 KB <caf\351 xy|>' "$BOX/var/log/mainlog"
wait_for 20 grep -qF -- 'part 2 application/x [a b.bin] 1 KB <Hello world>' "$BOX/var/log/mainlog"
mime='--b\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\nYSBTRUNSRVRXT1JEIGI=\n--b--'
eq "$(send x "$mime" 'Content-Type: multipart/mixed; boundary=b')" "550 5.7.1 part 1 says what it must not" mime_regex
eq "$(find "$BOX/var/spool/scan" -mindepth 1 | wc -l)" 0 "files that are left"
eq "$(cat "$BOX/stub.log" 2>/dev/null)" "" "the stubs"
