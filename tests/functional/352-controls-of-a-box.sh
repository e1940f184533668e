# shellcheck shell=bash
# control = debug, dscp and utf8_downconvert in a running box: a file beside the logs, the mark on the packets of the answers, and the
# addresses that another host gets.
. "$(dirname "$0")/../lib/box.sh"
need python3 ss
box_make
box_users joe
sed -i 's/^acl_check_mail:$/acl_check_mail:\n  warn control = debug\/tag=.$sender_helo_name\n       control = dscp\/af41\n       control = utf8_downconvert/' "$BOX/etc/exim.conf"
sed -i '1i smtputf8_advertise_hosts = *' "$BOX/etc/exim.conf"
cat >"$T/host.py" <<'X'
import socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(5)
open(sys.argv[1] + "/port.new", "w").write(str(s.getsockname()[1]))
import os
os.rename(sys.argv[1] + "/port.new", sys.argv[1] + "/port")
while True:
    c, _ = s.accept()
    f = c.makefile("rwb")
    f.write(b"220 here\r\n"); f.flush()
    for line in f:
        open(sys.argv[1] + "/heard", "ab").write(line)
        u = line.upper()
        f.write(b"250-here\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n" if u.startswith(b"EHLO") else b"354 go\r\n" if u.startswith(b"DATA") else b"250 ok\r\n")
        f.flush()
        if u.startswith(b"DATA"):
            while f.readline() not in (b".\r\n", b""):
                pass
            f.write(b"250 stored\r\n"); f.flush()
X
python3 "$T/host.py" "$T" &
HOST=$!
at_end() { kill "$HOST" 2>/dev/null; }
wait_for 20 test -e "$T/port"
sed -i "s/^begin routers\$/begin routers\nout:\n  driver = accept\n  domains = out.test\n  transport = to_out\n/; s/^begin transports\$/begin transports\nto_out:\n  driver = smtp\n  hosts = 127.0.0.1\n  port = $(cat "$T/port")\n  allow_localhost\n  utf8_downconvert =\n/" "$BOX/etc/exim.conf"
# The log selector dnssec: the client's name was found by validated answers.
sed -i '1i dns_trust_aa = *.secure.test : *.in-addr.arpa\nlog_selector = +dnssec' "$BOX/etc/exim.conf"
sed -i 's/^host_lookup =$/host_lookup = */' "$BOX/etc/exim.conf"
printf '%s\n' "1.0.0.127.in-addr.arpa PTR client.secure.test" "client.secure.test A 127.0.0.1" "out.test A 127.0.0.1" >"$BOX/etc/hosts.zone"
conf "dns_zone_file = etc/hosts.zone"
vpost check "$BOX" >"$T/check" 2>&1 || { cat "$T/check"; die "vpost check"; }
box_start
python3 - "$SMTP" "$T" <<'X'
import socket, subprocess, sys
port, t = int(sys.argv[1]), sys.argv[2]
s = socket.create_connection(("127.0.0.1", port))
f = s.makefile("rwb")

def ask(line):
    if line:
        f.write(line.encode() + b"\r\n")
        f.flush()
    got = f.readline()
    while got[3:4] == b"-":
        got = f.readline()
    return got.decode()

def tos():
    me = s.getsockname()[1]
    return subprocess.run(["ss", "-Htn", "--tos", "sport", "=", f":{port}", "dport", "=", f":{me}"], capture_output=True, text=True, check=False).stdout

ask(None)
ask("EHLO one.test")
before = tos()
assert "tos:0x88" not in before, before
assert ask("MAIL FROM:<s\u00e4r@sender.test> SMTPUTF8").startswith("250"), "MAIL"
after = tos()
assert "tos:0x88" in after, after
open(t + "/rcpt", "w").write(ask("RCPT TO:<j\u00f6@out.test>"))
ask("QUIT")
X
log=$BOX/var/log/debuglog.one.test
wait_for 10 grep -q 'SMTP>> 221' "$log"
wait_for 20 grep -q '^SMTP<< RCPT TO:<j' "$log"
wait_for 20 grep -q '^end of ACL "acl_check_mail": ACCEPT' "$log"
# The message of a user of the box, who may send out.
python3 - "$SUBMISSION" <<'X'
import smtplib, sys
s = smtplib.SMTP("127.0.0.1", int(sys.argv[1]))
s.ehlo("two.test")
s.starttls()
s.ehlo("two.test")
s.login("joe", "pw-joe")
for c in ("MAIL FROM:<joe@local.test> SMTPUTF8", "RCPT TO:<j\u00f6@out.test>"):
    s.sock.sendall((c + "\r\n").encode())
    code, text = s.getreply()
    assert code == 250, (code, text)
s.data("Subject: x\r\n\r\nbody\r\n")
s.quit()
X
wait_for 20 grep -q 'RCPT TO:<xn--j-1ga@out.test>' "$T/heard"
wait_for 20 grep -q '=> xn--j-1ga@out.test <.*@out.test>' "$BOX/var/log/mainlog"
wait_for 20 grep -q '<= joe@local.test DS H=client.secure.test ' "$BOX/var/log/mainlog"
# pw-joe went over the wire in base64; nothing of it is in a log.
grep -q "$(printf '\0joe\0pw-joe' | base64)" "$BOX"/var/log/debuglog.two.test && die "the password is in the log"
grep -q '^SMTP<< MAIL FROM:<joe' "$BOX/var/log/debuglog.two.test" && die "before it was ordered" || true
grep -q '^SMTP>> 354' "$BOX/var/log/debuglog.two.test" || die "two.test: $(cat "$BOX/var/log/debuglog.two.test")"
