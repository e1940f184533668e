# shellcheck shell=bash
# The same options of the smtp transport in a running box (tests/lib/smtpcases.py).
. "$(dirname "$0")/../lib/box.sh"
need python3 openssl
box_make
box_users joe
mkdir "$T/hosts"
python3 "$TOP/tests/lib/smtpoptions.py" box "$T/hosts" "$BOX" >"$T/result" 2>&1 &
TEST_PID=$!
at_end() { kill "$TEST_PID" 2>/dev/null; }
wait_for 60 test -e "$T/hosts/prepared"
python3 - "$BOX/etc/exim.conf" "$T/hosts" <<'X'
import sys
path, d = sys.argv[1:]
s = open(path).read()
for section in ("routers", "transports"):
    assert f"begin {section}\n" in s
    s = s.replace(f"begin {section}\n", f"begin {section}\n\n" + open(f"{d}/{section}").read() + "\n", 1)
own = open(d + "/auth").read()
s = s.replace("begin authenticators\n", "begin authenticators\n\n" + own, 1) if "begin authenticators\n" in s else s + "\nbegin authenticators\n" + own
s = "dns_trust_aa = *.secure.test\n" + s
s = "log_selector = +smtp_confirmation +tls_peerdn +pipelining +outgoing_port +proxy +dnssec\nremote_max_parallel = 4\n" + s
open(path, "w").write(s)
X
cp "$T/hosts/zone" "$BOX/etc/hosts.zone"
conf "dns_zone_file = etc/hosts.zone"
vpost check "$BOX" >"$T/check" 2>&1 || { cat "$T/check"; die "vpost check"; }
box_start
touch "$T/hosts/go"
wait "$TEST_PID" || { cat "$T/result"; die "options differ"; }
cat "$T/result"
