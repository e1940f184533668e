# shellcheck shell=bash
# The log of scanners (S2-158): each verdict of the virus scanner and the spam scanner has a line in scanlog, where that is on.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
CLAMD=$((BASE + 31)) SPAMD=$((BASE + 32))
conf "log_scanner = yes"
sed -i "s/^keep_environment =/av_scanner = clamd:127.0.0.1 $CLAMD\nspamd_address = 127.0.0.1 $SPAMD\n&/
s/^acl_check_data:/&\n  deny malware = *\n       message = 550 5.7.1 This message has a virus (\$malware_name)\n  warn spam = nobody\n       add_header = X-Spam: yes\n/" "$BOX/etc/exim.conf"
python3 - "$CLAMD" "$SPAMD" <<'X' &
import socket, sys, threading


def clamd(c):
    f = c.makefile('rb')
    f.read(10)
    data = b''
    while True:
        n = int.from_bytes(f.read(4), 'big')
        if n == 0:
            break
        data += f.read(n)
    c.sendall(b'stream: Eicar-Test FOUND\0' if b'EICAR' in data else b'stream: OK\0')


def spamd(c):
    data = b''
    while True:
        piece = c.recv(65536)
        if not piece:
            break
        data += piece
    yes = (b'True', b'9.5') if b'CHEAP' in data else (b'False', b'0.1')
    c.sendall(b'SPAMD/1.1 0 EX_OK\r\nContent-length: 4\r\nSpam: %s ; %s / 5.0\r\n\r\nx\r\n' % yes)


def serve(port, fn):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('127.0.0.1', port))
    s.listen(20)
    while True:
        c = s.accept()[0]
        fn(c)
        c.close()


threading.Thread(target=serve, args=(int(sys.argv[1]), clamd)).start()
serve(int(sys.argv[2]), spamd)
X
STUB_PID=$!
at_end() { kill $STUB_PID 2>/dev/null; }
wait_port "$CLAMD"
wait_port "$SPAMD"
box_start
mt send "$SMTP" --source 127.0.0.2 a@x.test joe@local.test
mt send "$SMTP" --source 127.0.0.2 a@x.test joe@local.test --body CHEAP
out=$(mt send "$SMTP" --source 127.0.0.2 a@x.test joe@local.test --body EICAR || true)
has "$out" "This message has a virus (Eicar-Test)" "the refusal"
wait_for 5 sh -c "[ \$(wc -l <$BOX/var/log/scanlog) = 5 ]"
log=$(cat "$BOX/var/log/scanlog")
eq "$(echo "$log" | grep -c 'H=(client.test) \[127.0.0.2\] F=<a@x.test> malware: clean$')" 2 "clean ones: $log"
has "$log" "malware: Eicar-Test" scanlog
has "$log" "spam: spam score=9.5" scanlog
has "$log" "spam: not spam score=0.1" scanlog
