# shellcheck shell=bash
# hosts.allow and hosts.deny of the box apply to the mailer, by the name exim (S4-60).
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
conf "dns_zone_file = etc/test.zone"
cat >"$BOX/etc/test.zone" <<X
zone 127.in-addr.arpa
2.0.0.127.in-addr.arpa PTR host.bad.test
7.0.0.127.in-addr.arpa PTR liar.test
zone bad.test
host.bad.test A 127.0.0.2
zone liar.test
liar.test A 127.0.0.9
X
[ ! -s /etc/hosts.allow ] || ! grep -q '^[^#]' /etc/hosts.allow || skip "this host has rules of its own in /etc/hosts.allow"
[ ! -s /etc/hosts.deny ] || ! grep -q '^[^#]' /etc/hosts.deny || skip "this host has rules of its own in /etc/hosts.deny"
box_start
first() { # CLIENT: the banner
	python3 - "$SMTP" "$1" <<'X'
import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 60, (sys.argv[2], 0))
print(s.makefile('rb').readline().decode().strip())
X
}
# rules ALLOW DENY: they hold from the next second on.
rules() { printf '%b' "$1" >"$BOX/etc/hosts.allow"; printf '%b' "$2" >"$BOX/etc/hosts.deny"; sleep 1.1; }
open_for() { local a; for a in "$@"; do has "$(first "$a")" "220 " "$a"; done; }
closed_for() { local a; for a in "$@"; do has "$(first "$a")" "554 5.7.1 SMTP service not available" "$a"; done; }

open_for 127.0.0.1 127.0.0.2
rules '# comment\nexim: 127.0.0.3: deny\nother: ALL\n' ''
closed_for 127.0.0.3
open_for 127.0.0.4 127.0.0.2
wait_for 20 grep -q 'refused connection from \[127.0.0.3\] (tcp wrappers)' "$BOX/var/log/mainlog"
rules 'exim: 127.0.1. , 127.0.0.1\nexim : 127.0.2.0/255.255.255.0 \\\n EXCEPT 127.0.2.9\n' 'sshd: ALL\nALL: ALL\n'
open_for 127.0.0.1 127.0.1.77 127.0.2.8
closed_for 127.0.2.9 127.0.0.2 127.0.10.1
rules '' 'exim: .bad.test PARANOID'
closed_for 127.0.0.2 127.0.0.7
open_for 127.0.0.1 127.0.0.8
rules 'exim: UNKNOWN: twist /bin/echo 220 gone\nexim: ALL : spawn /bin/touch /tmp/never : allow\n' ''
closed_for 127.0.0.8
open_for 127.0.0.2
# Another name, in exim.conf.
rules 'exim: ALL: deny\n' ''
closed_for 127.0.0.1
box_stop
sed -i 's/^keep_environment =/tcp_wrappers_daemon_name = mailer\n&/' "$BOX/etc/exim.conf"
box_start
open_for 127.0.0.1
rules 'mailer: ALL EXCEPT 127.0.0.2: deny\n' ''
closed_for 127.0.0.1 127.0.0.5
open_for 127.0.0.2
rm "$BOX/etc/hosts.allow" "$BOX/etc/hosts.deny"
sleep 1.1
open_for 127.0.0.1
