# shellcheck shell=bash
# hosts_try_fastopen: the second connection to a host that gave a cookie begins with data, which the system counts.
NEED_NET=1
# In the namespace, while we are root there.
[ -z "${IN_NET-}" ] || [ "$(id -u)" != 0 ] || echo 3 >/proc/sys/net/ipv4/tcp_fastopen || true
. "$(dirname "$0")/../lib/box.sh"
need python3
[ "$(cat /proc/sys/net/ipv4/tcp_fastopen 2>/dev/null)" = 3 ] || skip "TCP Fast Open cannot be turned on here"
cat >"$T/host.py" <<'P'
import re, socket, subprocess, sys
sendmail, top = sys.argv[1:]
def count(name):
    lines = [l.split() for l in open('/proc/net/netstat') if l.startswith('TcpExt:')]
    return int(dict(zip(lines[0], lines[1])).get(name, 0))
s = socket.socket()
s.bind(('127.0.0.1', 0))
s.setsockopt(socket.IPPROTO_TCP, 23, 5)     # TCP_FASTOPEN
s.listen(5)
port = s.getsockname()[1]
conf = '''primary_hostname = me.test
spool_directory = %s/spool
log_file_path = %s/%%slog
keep_environment =
tls_advertise_hosts =
trusted_users = %s
begin routers
r:
 driver = accept
 transport = t
begin transports
t:
 driver = smtp
 hosts = 127.0.0.1
 port = %d
 allow_localhost
 hosts_pipe_connect =
 %s
'''
used = {}
for option in ('hosts_try_fastopen =', 'hosts_try_fastopen = 127.0.0.1'):
    user = subprocess.run(['id', '-un'], capture_output=True, text=True).stdout.strip()
    open(top + '/conf', 'w').write(conf % (top, top, user, port, option))
    before = count('TCPFastOpenActive') + count('TCPFastOpenCookieReqd')
    for i in range(3):
        p = subprocess.Popen([sendmail, '-C', top + '/conf', '-odi', '-f', 'a@b.test', 'x@y.test'], stdin=subprocess.PIPE)
        p.stdin.write(b'Subject: x\n\ny\n')
        p.stdin.close()
        c, _ = s.accept()
        f = c.makefile('rwb')
        def say(t):
            f.write(t + b'\r\n')
            f.flush()
        say(b'220 h')
        for l in f:
            if l.upper().startswith(b'DATA'):
                say(b'354 go')
                while f.readline() not in (b'.\r\n', b''):
                    pass
            say(b'221 bye' if l.upper().startswith(b'QUIT') else b'250 ok')
            if l.upper().startswith(b'QUIT'):
                break
        f.close()
        c.close()
        p.wait(20)
    used[option] = count('TCPFastOpenActive') + count('TCPFastOpenCookieReqd') - before
print(used, open(top + '/mainlog').read().count('=> x@'))
sys.exit(not (used['hosts_try_fastopen ='] == 0 and used['hosts_try_fastopen = 127.0.0.1'] > 0))
P
mkdir "$T/spool"
python3 "$T/host.py" "$(command -v sendmail)" "$T" || die "it is not used as the option says"
