# shellcheck shell=bash
# TLS: AUTH and logins hidden before it from outside (S2-49, S4-58), certificates by SNI, a new file taken in without a
# restart (S2-54), an open key refused (S2-51), resumption (S2-50), STARTTLS with input left over refused.
NEED_NET=1
. "$(dirname "$0")/../lib/box.sh"
need openssl swaks curl

box_make
box_users joe
conf "smtp_listen = 0.0.0.0:$SMTP"
conf "submission_listen = 0.0.0.0:$SUBMISSION"
conf "imap_listen = 0.0.0.0:$IMAP"
conf "pop3_listen = 0.0.0.0:$POP3"
conf "imaps_listen = 0.0.0.0:$IMAPS"
conf "pop3s_listen = 0.0.0.0:$POP3S"
cert() { # NAME SERIAL DAYS
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$3" -set_serial "$2" -subj "/CN=$1" -addext "subjectAltName=DNS:$1" \
		-keyout "$T/key.pem" -out "$T/cert.pem" 2>/dev/null
	cat "$T/cert.pem" "$T/key.pem" >"$T/new.pem"
	chmod 600 "$T/new.pem"
	mv "$T/new.pem" "$BOX/etc/tls/$1.pem"
}
cert one.test 4097 365
cert two.test 8194 365
sed -i '1i log_selector = +tls_resumption' "$BOX/etc/exim.conf"
sed -i 's/^tls_resumption_hosts = .*/tls_resumption_hosts = !127.0.0.3 : */' "$BOX/etc/exim.conf"
box_start
serial() { # PORT PROTO SNI
	openssl s_client -connect 192.0.2.1:"$1" ${2:+-starttls $2} -servername "$3" </dev/null 2>/dev/null | openssl x509 -noout -serial
}
OUT=192.0.2.1
ehlo=$(printf 'EHLO me.test\nQUIT\n' | mt talk "$SUBMISSION" --host $OUT --source 192.0.2.2)
has "$ehlo" STARTTLS "EHLO from outside"
hasnot "$ehlo" AUTH "EHLO before TLS from outside"
out=$(printf 'EHLO me.test\nAUTH PLAIN AGpvZQBwdy1qb2U=\nQUIT\n' | mt talk "$SUBMISSION" --host $OUT --source 192.0.2.2)
hasnot "$out" "235 " "AUTH before TLS from outside"
has "$(curl -sv --max-time 60 "imap://$OUT:$IMAP" -u joe:pw-joe 2>&1 || true)" LOGINDISABLED "IMAP before TLS"
curl -s --max-time 60 "pop3://$OUT:$POP3" -u joe:pw-joe >/dev/null 2>&1 && die "POP3 login in the clear from outside"
curl -sk --max-time 60 --ssl-reqd "imap://$OUT:$IMAP" -u joe:pw-joe -X 'STATUS INBOX (MESSAGES)' >/dev/null || die "IMAP STARTTLS"
curl -sk --max-time 60 "imaps://$OUT:$IMAPS" -u joe:pw-joe -X 'STATUS INBOX (MESSAGES)' >/dev/null || die "IMAPS"
curl -sk --max-time 60 --ssl-reqd "pop3://$OUT:$POP3" -u joe:pw-joe >/dev/null || die "POP3 STLS"
curl -sk --max-time 60 "pop3s://$OUT:$POP3S" -u joe:pw-joe >/dev/null || die "POP3S"
swaks --server $OUT:"$SUBMISSION" -tls --auth PLAIN --auth-user joe --auth-password pw-joe -f joe@local.test -t joe@local.test >"$T/out" 2>&1 || { cat "$T/out"; die "submission over TLS"; }
wait_for 20 grep -qE ' <= joe@local.test .* P=esmtpsa X=TLS1\.[23]:.* A=' "$BOX/var/log/mainlog"

# By name, on every service (S2-51).
for p in "$SMTP smtp" "$SUBMISSION smtp" "$IMAP imap" "$POP3 pop3" "$IMAPS " "$POP3S "; do
	set -- $p
	eq "$(serial "$1" "${2-}" one.test)" serial=1001 "certificate for one.test on $p"
	eq "$(serial "$1" "${2-}" two.test)" serial=2002 "certificate for two.test on $p"
done
# A new file holds for the next connection.
cert one.test 12291 365
renewed() { [ "$(serial "$1" "$2" one.test)" = serial=3003 ]; }
wait_for 10 renewed "$SMTP" smtp
wait_for 10 renewed "$IMAPS" ''
# Resumption.
openssl s_client -connect 127.0.0.1:"$IMAPS" -sess_out "$T/sess" </dev/null >/dev/null 2>&1
openssl s_client -connect 127.0.0.1:"$IMAPS" -tls1_2 -sess_out "$T/sess2" </dev/null >/dev/null 2>&1
openssl s_client -connect 127.0.0.1:"$IMAPS" -tls1_2 -sess_in "$T/sess2" </dev/null 2>/dev/null | grep -q '^Reused' || die "no session is resumed"
# A resumed session of SMTP is marked in the log (S2-50).
python3 - "$SMTP" <<'X'
import smtplib, socket, ssl, sys
ctx = ssl._create_unverified_context()
ctx.maximum_version = ssl.TLSVersion.TLSv1_2
session = None
for i in range(3):
    s = smtplib.SMTP('127.0.0.1', int(sys.argv[1]), timeout=60, source_address=('127.0.0.3' if i == 2 else '127.0.0.1', 0))
    s.ehlo()
    s.docmd('STARTTLS')
    s.sock = ctx.wrap_socket(s.sock, session=session)
    s.file = s.sock.makefile('rb')
    session = s.sock.session
    s.ehlo()
    s.sendmail('a@out.test', ['joe@local.test'], 'Subject: %d\r\n\r\nx\r\n' % i)
    if s.sock.session_reused != (i == 1):
        sys.exit('resumed: %s at connection %d' % (s.sock.session_reused, i))
    s.quit()
X
wait_for 10 sh -c "[ \$(grep -c ' <= a@out.test ' '$BOX/var/log/mainlog') = 3 ]"
eq "$(grep -cE ' <= a@out.test .* X=TLS1\.2:[^ ]*\*' "$BOX/var/log/mainlog")" 1 "resumed sessions in the log"
# A command that was sent in the clear behind STARTTLS must not be answered inside TLS: the session ends.
python3 - "$SMTP" "$IMAP" "$POP3" <<'X'
import socket, sys
for port, hello, start in ((int(sys.argv[1]), b'EHLO x\r\n', b'STARTTLS\r\nMAIL FROM:<a@b.test>\r\n'),
                           (int(sys.argv[2]), b'', b'a STARTTLS\r\nb NOOP\r\n'), (int(sys.argv[3]), b'', b'STLS\r\nNOOP\r\n')):
    s = socket.create_connection(('127.0.0.1', port), 60)
    s.recv(4096)
    if hello:
        s.sendall(hello); s.recv(4096)
    s.sendall(start)
    got = b''
    try:
        while True:
            d = s.recv(4096)
            if not d:
                break
            got += d
    except (ConnectionResetError, socket.timeout) as e:
        if isinstance(e, socket.timeout):
            sys.exit('port %d: the connection stays open: %r' % (port, got))
    if b'250 2.1.0' in got or b'b OK' in got or got.count(b'+OK') > 1:
        sys.exit('port %d: a command behind STARTTLS was carried out: %r' % (port, got))
X
# Expiry within 14 days is told (S2-53); a key that others can read is refused.
cert two.test 8195 10
vpost check "$BOX" >"$T/check" 2>&1 || true
grep -q two.test "$T/check" || { cat "$T/check"; die "check does not tell of a certificate that ends in ten days"; }
chmod 644 "$BOX/etc/tls/two.test.pem"
vpost check "$BOX" >"$T/check" 2>&1 && die "check is content with a key that all can read"
grep -q 'two.test.pem' "$T/check" || { cat "$T/check"; die "check does not name the file"; }
vpost cert "$BOX" >"$T/certs" || true
grep -q '^subject:  /CN=one.test$' "$T/certs" && grep -q '^names:    one.test' "$T/certs" || { cat "$T/certs"; die "vpost cert tells no subject and names"; }
grep -qE '^expires:  20[0-9-]+ [0-9:]+ UTC, in 36[45] days$' "$T/certs" || { cat "$T/certs"; die "vpost cert tells no expiry"; }

# Ciphers in GnuTLS's words: what is not offered, and what is no word, each at its line.
cp "$BOX/etc/exim.conf" "$T/exim.conf"
sed -i '1i tls_require_ciphers = SECURE128:+VERS-TLS1.0:-VERS-TLS1.1:+NOSUCH' "$BOX/etc/exim.conf"
vpost check "$BOX" >"$T/check" 2>&1 && die "check is content with ciphers that mean nothing"
grep -q '^warning .*etc/exim.conf:1: tls_require_ciphers: "+VERS-TLS1.0" is never offered here' "$T/check" || die "no warning: $(cat "$T/check")"
grep -q '^error .*etc/exim.conf:1: tls_require_ciphers: "+NOSUCH" is no word' "$T/check" || die "no mistake: $(cat "$T/check")"
hasnot "$(cat "$T/check")" TLS1.1
cp "$T/exim.conf" "$BOX/etc/exim.conf"

# The switch: a box may offer AUTH before TLS to all (S4-58).
chmod 600 "$BOX/etc/tls/two.test.pem"
box_stop
conf "plaintext_auth = yes"
box_start
has "$(printf 'EHLO me.test\nQUIT\n' | mt talk "$SUBMISSION" --host $OUT --source 192.0.2.2)" AUTH "EHLO from outside with plaintext_auth"
