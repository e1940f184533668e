# shellcheck shell=bash
# Mail between servers goes by TLS when both can, to and from Postfix and Exim, and the logs tell version and cipher; without TLS
# where the other has none (S4-53).
NEED_ROOT=1
. "$(dirname "$0")/../lib/box.sh"
EXIM=${VPOST_PEERROOT:-/opt/peers}/exim/usr/sbin/exim4
[ -x "$EXIM" ] || skip "no Exim under ${VPOST_PEERROOT:-/opt/peers}"
[ -n "${VPOST_PEERS-}" ] && [ -x "$VPOST_PEERS/postfix.sh" ] || skip "VPOST_PEERS is not set"
need postfix openssl
id peermail >/dev/null 2>&1 || skip "no user peermail"
grep -q cgroup2 /proc/mounts || skip "no cgroups here"

chmod 755 "$T"
box_make
conf "user = nobody"
chown -R nobody: "$BOX"
box_users joe
echo box.test >"$BOX/etc/domains"
P=$(free_base) E=$((BASE + 27)) PLAIN=$((BASE + 28))
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=peer.test -keyout "$T/key.pem" -out "$T/cert.pem" 2>/dev/null
cat "$T/key.pem" "$T/cert.pem" >"$T/chain.pem"
chmod 644 "$T"/*.pem
python3 - "$BOX/etc/exim.conf" "$P" "$E" "$PLAIN" <<'X'
import sys
p, ports = sys.argv[1], sys.argv[2:]
s = open(p).read()
r = ''
for name, port in zip(('local.test', 'exim.test', 'plain.test'), ports):
    r += 'to_%s:\n  driver = manualroute\n  domains = %s\n  route_list = * 127.0.0.1::%s\n  self = send\n  transport = remote_smtp\n\n' % (
        name[0], name, port)
open(p, 'w').write(s.replace('begin routers\n\n', 'begin routers\n\n' + r, 1))
X
box_start
count_is() { [ "$(mt imap "$IMAP" joe pw-joe count)" = "$1" ]; }

POSTFIX_EXTRA="smtpd_tls_security_level = may
smtpd_tls_chain_files = $T/chain.pem
smtpd_tls_loglevel = 1
smtp_tls_security_level = may
smtp_tls_loglevel = 1
transport_maps = inline:{box.test=smtp:[127.0.0.1]:$SMTP}" bash "$VPOST_PEERS/postfix.sh" start "$T/postfix" "$P" >"$T/postfix.start" 2>&1 ||
	skip "Postfix does not start here: $(tail -n 2 "$T/postfix.start")"
mkdir -p "$T/exim/spool" "$T/exim/mail"
chown Debian-exim: "$T/exim/spool" "$T/exim/mail"
cat >"$T/exim/conf" <<X
exim_path = $EXIM
spool_directory = $T/exim/spool
log_file_path = $T/exim/spool/%slog
pid_file_path = $T/exim/spool/pid
primary_hostname = exim.test
acl_smtp_rcpt = all
daemon_smtp_ports = $E
local_interfaces = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = $T/chain.pem
keep_environment =
begin acl
all:
  accept
begin routers
out:
  driver = manualroute
  domains = box.test
  route_list = * 127.0.0.1::$SMTP
  self = send
  transport = smtp
in:
  driver = accept
  transport = file
begin transports
smtp:
  driver = smtp
file:
  driver = appendfile
  file = $T/exim/mail/all
  user = Debian-exim
X
"$EXIM" -C "$T/exim/conf" -bd -q1h
python3 "$TOP/tests/lib/sink.py" "$PLAIN" "$T/sink" 127.0.0.1=take &
SINK_PID=$!
at_end() {
	bash "$VPOST_PEERS/postfix.sh" stop "$T/postfix" >/dev/null 2>&1
	kill "$(cat "$T/exim/spool/pid")" $SINK_PID 2>/dev/null
}
wait_port "$E"
wait_port "$PLAIN"

# Out.
for a in u1@local.test you@exim.test you@plain.test; do mt send "$SMTP" joe@box.test $a --subject out; done
L=$BOX/var/log/mainlog
wait_for 15 sh -c "[ \$(grep -c ' => .* R=to_' $L) = 3 ]"
wait_for 20 grep -qE '=> u1@local.test .* X=TLS1\.[23]:[A-Z0-9_]+' "$L"
wait_for 20 grep -qE '=> you@exim.test .* X=TLS1\.[23]:[A-Z0-9_]+' "$L"
hasnot "$(grep '=> you@plain.test' "$L")" " X=" "to a host without TLS"
wait_for 10 grep -q "Anonymous TLS connection established from .*: TLSv1.3 with cipher" "$T/postfix/log/mail.log"
grep -qE '<= joe@box.test .* X=TLS1.3:' "$T/exim/spool/mainlog" || die "Exim's log: $(cat "$T/exim/spool/mainlog")"

# In.
mt send "$P" u2@local.test joe@box.test --subject "from Postfix"
wait_for 15 count_is 1
mt send "$E" you@exim.test joe@box.test --subject "from Exim"
wait_for 15 count_is 2
mt send "$SMTP" you@plain.test joe@box.test --subject "without"
wait_for 15 count_is 3
wait_for 20 grep -qE '<= u2@local.test .* P=esmtps X=TLS1.3:' "$L"
wait_for 20 grep -qE '<= you@exim.test .* P=esmtps X=TLS1.3:' "$L"
hasnot "$(grep '<= you@plain.test' "$L")" " X=" "without TLS"
mt imap "$IMAP" joe pw-joe fetch 1 >"$T/got"
has "$(tr -d '\r\n' <"$T/got")" "with esmtps (TLS1.3:" "Received of the message from Postfix"
