# shellcheck shell=bash
# After a crash nobody reads the store before its newest messages are known to be whole: until then logins are answered
# NO [UNAVAILABLE] and -ERR [SYS/TEMP], with vstored down, and with vstored at a recovery that cannot end yet.
. "$(dirname "$0")/../lib/box.sh"

imap_login() { printf 'a LOGIN joe pw-joe\r\n' | timeout 60 python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 50); f = s.makefile("rb"); f.readline()
s.sendall(sys.stdin.buffer.read())
while True:
    l = f.readline()
    if not l or l.startswith(b"a "):
        break
print(l.decode().strip())' "$IMAP"; }
pop_login() { mt pop "$POP3" joe pw-joe count 2>&1 || true; }
kill_all() {
	local kids p
	kids=$(cat /proc/"$RUN"/task/*/children)
	# shellcheck disable=SC2086
	kill -KILL "$RUN" $kids
	wait "$RUN" 2>/dev/null || true
	PIDS=${PIDS/ $RUN/}
	# Their children end by themselves.
	for p in "$SMTP" "$IMAP" "$POP3" "$SUBMISSION"; do wait_for 20 port_free "$p"; done
	sleep 0.5
}
bodies() { find "$BOX/var/mail" -type f -name '[0-9]*.[0-9a-f]*' ! -name '*.mdb' -newer "$T/mark" 2>/dev/null; }

box_make
box_users joe
conf 'services = auth:imap:pop3'
vpost run "$BOX" >>"$T/run.log" 2>&1 &
RUN=$!
PIDS="$PIDS $RUN"
wait_port "$IMAP"; wait_port "$POP3"
has "$(imap_login)" "a NO [UNAVAILABLE]" "IMAP without vstored"
has "$(pop_login)" "[SYS/TEMP]" "POP3 without vstored"
box_stop
sed -i '/^services/d' "$BOX/etc/vpost.conf"

# The newest body is lost, and the journal that it could be made from cannot be read.  A barrier that came in between makes
# the try worthless: then once more.
held=
for try in $(seq 8); do
	box_start
	touch "$T/mark"
	sleep 1.2
	mt send "$SMTP" a@out.test joe@local.test --subject "try $try"
	for _ in $(seq 100); do [ -z "$(bodies)" ] || break; sleep 0.02; done
	kill_all
	for b in $(bodies); do rm -f "$b"; done
	chmod 000 "$BOX"/var/spool/intake/*
	vpost run "$BOX" >>"$T/run.log" 2>&1 &
	RUN=$!
	PIDS="$PIDS $RUN"
	wait_port "$IMAP"; wait_port "$POP3"
	# A store that is only not there yet would be in a moment.
	held=1
	for _ in 1 2 3; do
		case $(imap_login) in 'a NO [UNAVAILABLE]'*) ;; *) held= ;; esac
		[ -n "$held" ] || break
		sleep 1
	done
	[ -z "$held" ] || break
	chmod 600 "$BOX"/var/spool/intake/* 2>/dev/null || true
	kill_all
	rm -rf "$BOX"
	box_make
	box_users joe
done
[ -n "$held" ] || die "eight tries, and never a crash between a delivery and its barrier"
has "$(pop_login)" "[SYS/TEMP]" "POP3 during a recovery that cannot end"
has "$(imap_login)" "a NO [UNAVAILABLE]" "IMAP during a recovery that cannot end"
chmod 600 "$BOX"/var/spool/intake/*
wait_for 30 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py pop $POP3 joe pw-joe count)\" = 1 ]"
has "$(imap_login)" "a OK" "IMAP after the recovery"
mt imap "$IMAP" joe pw-joe list >"$T/list" 2>&1 || true
