# shellcheck shell=bash
# A certificate that the configuration names and that is not there yet: mail goes without it, STARTTLS fails for the moment, and works as
# soon as it has come.  A reload with one that is missing changes nothing.
. "$(dirname "$0")/../lib/box.sh"
need openssl python3

box_make
box_users joe
mkdir "$T/tls"
sed -i "1i tls_certificate = $T/tls/cert.pem\ntls_privatekey = $T/tls/key.pem" "$BOX/etc/exim.conf"
vpost check "$BOX" >"$T/check" 2>&1 || die "vpost check: $(cat "$T/check")"
has "$(cat "$T/check")" "tls_certificate: $T/tls/cert.pem is not there: TLS will not work" "vpost check"
box_start
talk() { # the code of STARTTLS, and whether a handshake follows
	python3 - "$SMTP" <<'P'
import smtplib, ssl, sys
s = smtplib.SMTP('127.0.0.1', int(sys.argv[1]), 'me.test', 60)
s.ehlo()
code = s.docmd('STARTTLS')[0]
print(code, end=' ')
if code == 220:
    c = ssl.create_default_context()
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    print(c.wrap_socket(s.sock).version())
P
}
has "$(talk)" "454" "STARTTLS without a certificate"
mt send "$SMTP" a@b.test joe@local.test >/dev/null

# While it is still missing what else the configuration says can change.
sed -i 's/^smtp_banner = .*/smtp_banner = changed/' "$BOX/etc/exim.conf"
vpost reload "$BOX" || die "reload while the certificate is missing"
wait_for 10 sh -c "python3 -c 'import smtplib, sys; s = smtplib.SMTP(); sys.exit(b\"changed\" not in s.connect(\"127.0.0.1\", $SMTP)[1])'"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=mail.local.test -keyout "$T/tls/key.pem" -out "$T/tls/cert.pem" 2>/dev/null
chmod 640 "$T/tls/key.pem"
works() { case $(talk) in "220 TLSv1"*) ;; *) return 1 ;; esac; }
wait_for 10 works

# What runs with a good one goes on with it.
vpost reload "$BOX" || die "reload"
sleep 1
mv "$T/tls/cert.pem" "$T/aside"
vpost reload "$BOX" >/dev/null 2>&1 || true
sleep 1
has "$(talk)" "220 TLSv1" "STARTTLS behind a reload without it"
