#!/bin/sh
# The demo: a box from nothing, real mail through it, what it refuses and why.  Everything happens on 127.0.0.1, in a
# temporary folder that is removed at the end (KEEP=1 keeps it).  Run by `make demo`.
set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$(realpath "${BUILD:-$TOP/build}")
export BUILD
# A box needs no root; where root runs the demo, it goes on as nobody.
. "$TOP/tests/lib/reach.sh"
reach demo.sh "$@"
if [ "$(id -u)" = 0 ]; then
	exec setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/tmp sh "$0" "$@"
fi
PATH=$BUILD/bin:$BUILD/sbin:$PATH
T=$(mktemp -d /tmp/vpost-demo.XXXXXX)
A=$T/box B=$T/other RUNS=
step=0

say() { step=$((step + 1)); printf '\n%d. %s\n' $step "$*"; }
show() { sed 's/^/     /'; }
fail() { echo "demo: FAILED: $*" >&2; exit 1; }
finish() {
	rc=$?
	for p in $RUNS; do kill -TERM "$p" 2>/dev/null || true; done
	for p in $RUNS; do wait "$p" 2>/dev/null || true; done
	[ $rc -eq 0 ] || { echo "--- logs"; tail -n 20 "$T"/*/var/log/* "$T"/*.log 2>/dev/null; }
	[ -n "${KEEP-}" ] && echo "kept: $T" || rm -rf "$T"
	exit $rc
}
trap finish EXIT
trap 'exit 1' INT TERM

port_free() { ! python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)' "$1" 2>/dev/null; }
base() { b=$1; while ! port_free $((b + 25)) || ! port_free $((b + 143)) || ! port_free $((b + 587)); do b=$((b + 1000)); done; echo "$b"; }
up() { # BOX LOG
	vpost run "$1" >"$T/$2.log" 2>&1 &
	RUNS="$RUNS $!"
}
wait_port() { i=0; while port_free "$1"; do i=$((i + 1)); [ $i -lt 100 ] || fail "port $1 never opened"; sleep 0.1; done; }
# send FROM TO FILE [CURL OPTIONS]: by SMTP with curl.  A remote address stands for "from outside".
send() { f=$1 t=$2 m=$3; shift 3; curl -sS --crlf --max-time 20 --url "smtp://127.0.0.1:$SMTP/client.test" --mail-from "$f" --mail-rcpt "$t" --upload-file "$m" "$@" 2>&1; }
imap_count() { curl -s --url "imap://127.0.0.1:$IMAP" -u joe:secret -X 'STATUS INBOX (MESSAGES)' | tr -dc '0-9 (' | sed 's/.*(//; s/[^0-9]//g'; }
wait_count() { i=0; while [ "$(imap_count)" != "$1" ]; do i=$((i + 1)); [ $i -lt 100 ] || fail "INBOX has $(imap_count) messages, not $1"; sleep 0.1; done; }

echo "vpost demo in $T"

PA=$(base 11000); PB=$(base $((PA + 1000)))
SMTP=$((PA + 25)) IMAP=$((PA + 143)) POP3=$((PA + 110))
say "vpost init: a box is a directory"
vpost init "$A" --ports "$PA" --hostname mail.demo.test | show
echo demo.test >"$A/etc/domains"
ls "$A" "$A/etc" | show

say "vpost adduser joe"
echo secret | vpost adduser -b "$A" joe | show

# The second box stands for the rest of the world: mail for away.test goes there.
vpost init "$B" --ports "$PB" --hostname mx.away.test >/dev/null
echo away.test >"$B/etc/domains"
echo secret | vpost adduser -b "$B" ann >/dev/null
cat >>"$A/etc/vpost.conf" <<X
dns_zone_file = etc/demo.zone
remote_port = $((PB + 25))
X
printf 'away.test MX 10 mx.away.test\nmx.away.test A 127.0.0.1\n' >"$A/etc/demo.zone"
# On this one machine the world is at 127.0.0.1, which the shipped router would not send to.
sed -i 's/ignore_target_hosts = .*/ignore_target_hosts = <; 0.0.0.0\n  self = send/' "$A/etc/exim.conf"

say "vpost check: every mistake with its line, or none"
vpost check "$A" | show

say "vpost run: the daemons"
up "$A" box; up "$B" other
wait_port "$SMTP"; wait_port "$IMAP"; wait_port "$POP3"; wait_port $((PB + 25)); wait_port $((PB + 143))
vpost status "$A" | show

say "Four messages by SMTP: three MIME messages of tests/data and one from standard input"
for m in "$TOP"/tests/data/*.eml; do send ann@away.test joe@demo.test "$m" || fail "send $m"; echo "sent $(basename "$m")" | show; done
printf 'From: ann@away.test\nTo: joe@demo.test\nSubject: by hand\n\nHello Joe.\n' | send ann@away.test joe@demo.test - || fail "send"
echo "sent the one from standard input" | show
wait_count 4

say "Read by IMAP"
curl -sS --url "imap://127.0.0.1:$IMAP/INBOX;MAILINDEX=4" -u joe:secret | tr -d '\r' | show

say "Read by POP3: the list, then the second message's first lines"
curl -sS --url "pop3://127.0.0.1:$POP3/" -u joe:secret | tr -d '\r' | show
curl -sS --url "pop3://127.0.0.1:$POP3/2" -u joe:secret | tr -d '\r' | head -n 12 | show

# From here on the client is 127.0.0.2: not the box itself, so nobody in particular.
printf 'From: joe@demo.test\nTo: ann@away.test\nSubject: for Ann\n\nHello Ann.\n' >"$T/out.eml"
say "A stranger who wants to relay is refused, and told what to do"
out=$(send joe@demo.test ann@away.test "$T/out.eml" --interface 127.0.0.2 -v) && fail "relayed for a stranger"
echo "$out" | grep '^< 550' | tr -d '\r' | show

say "The same client logs in (POP3): its address is recorded"
curl -sS --interface 127.0.0.2 --url "pop3://127.0.0.1:$POP3/" -u joe:secret >/dev/null
vsmtprelay -d "$A" list | show

say "Now it may relay; the other box receives the message"
send joe@demo.test ann@away.test "$T/out.eml" --interface 127.0.0.2 || fail "relay after login"
i=0
while [ "$(curl -s --url "imap://127.0.0.1:$((PB + 143))" -u ann:secret -X 'STATUS INBOX (MESSAGES)' | tr -dc '0-9')" != 1 ]; do
	i=$((i + 1)); [ $i -lt 100 ] || fail "the other box did not get the message"; sleep 0.1
done
curl -sS --url "imap://127.0.0.1:$((PB + 143))/INBOX;MAILINDEX=1" -u ann:secret | tr -d '\r' | show

say "vsmtprelay expire: closed again"
vsmtprelay -d "$A" expire
send joe@demo.test ann@away.test "$T/out.eml" --interface 127.0.0.2 >/dev/null 2>&1 && fail "relayed after expire"
echo "refused" | show

say "A spammer: listed in etc/spammers, vnewspammers, refused"
echo spammer@evil.test >>"$A/etc/spammers"
vnewspammers -d "$A" | show
out=$(send spammer@evil.test joe@demo.test "$T/out.eml" --interface 127.0.0.2 -v) && fail "the spammer was not refused"
echo "$out" | grep '^< 550' | tr -d '\r' | show

say "What the log says of all that (var/log/mainlog)"
tail -n 15 "$A/var/log/mainlog" | show

echo
echo "demo: done; everything above happened as it should."
