# shellcheck shell=bash
# Certificates of clients: asked for where tls_try_verify_hosts and tls_verify_hosts say so; verify = certificate, encrypted,
# the variables and ${certextract of them; the authenticator tls; SCRAM bound to the TLS channel, by both sides.
. "$(dirname "$0")/../lib/box.sh"
need python3 openssl

box_make
make_ca() { # NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" -keyout "$T/$1.key" -out "$T/$1.crt" 2>/dev/null
}
issue() { # NAME CA SERIAL
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/O=Club/CN=$1" -keyout "$T/$1.key" -out "$T/$1.csr" 2>/dev/null
	printf 'subjectAltName=email:%s@club.test,DNS:%s.test\n' "$1" "$1" >"$T/ext"
	openssl x509 -req -in "$T/$1.csr" -CA "$T/$2.crt" -CAkey "$T/$2.key" -set_serial "$3" -days 30 -extfile "$T/ext" -out "$T/$1.crt" 2>/dev/null
}
make_ca ca
make_ca stranger
issue mail ca 11
issue alice ca 12
issue bob ca 13
issue mallory stranger 14
cat "$T/mail.crt" "$T/mail.key" >"$BOX/etc/tls/default.pem"
chmod 600 "$BOX/etc/tls/default.pem"
mkdir -p "$T/demo"
# A list of revoked ones with bob in it.
cat >"$T/demo/conf" <<C
[ca]
default_ca = d
[d]
database = $T/demo/index
default_md = sha256
default_crl_days = 30
C
: >"$T/demo/index"
openssl ca -config "$T/demo/conf" -keyfile "$T/ca.key" -cert "$T/ca.crt" -revoke "$T/bob.crt" 2>/dev/null
openssl ca -config "$T/demo/conf" -keyfile "$T/ca.key" -cert "$T/ca.crt" -gencrl -out "$T/crl.pem" 2>/dev/null

config() { # further lines of the main section
	cat >"$BOX/etc/exim.conf" <<C
primary_hostname = mail.test
tls_advertise_hosts = *
tls_verify_certificates = $T/ca.crt
acl_smtp_rcpt = rcpt
acl_smtp_starttls = starttls
acl_smtp_mail = mail
log_selector = +tls_peerdn +tls_certificate_verified +tls_sni
$1
begin acl
starttls:
  deny condition = \${if eq{\$sender_helo_name}{refused.test}}
       message = no TLS for you
  accept
mail:
  deny encrypted = TLS_NO_SUCH_CIPHER
  warn encrypted = TLS_AES_256_GCM_SHA384
       logwrite = cipher matches
  accept
rcpt:
  deny local_parts = secret
       !encrypted = *
       message = not in the clear
  deny local_parts = member
       !verify = certificate
       message = members only
  deny local_parts = sub
       !authenticated = certs
       message = not by certificate
  accept logwrite = cv=\$tls_in_certificate_verified dn=\$tls_in_peerdn who=\${certextract{subject,CN}{\$tls_in_peercert}} \\
         san=\${certextract{subj_altname,mail}{\$tls_in_peercert}} ours=\${certextract{serial_number}{\$tls_in_ourcert}} \\
         id=\$authenticated_id by=\$sender_host_authenticated proto=\$tls_in_ver bits=\$tls_in_bits sni=\$tls_in_sni
begin authenticators
certs:
  driver = tls
  server_param1 = \${certextract{subj_altname,mail}{\$tls_in_peercert}}
  server_param2 = \${certextract{subject,CN}{\$tls_in_peercert}}
  server_param3 = three
  server_condition = \${if and{{eq{\$tls_in_certificate_verified}{1}}{match{\$auth1}{@club.test}}{eq{\$auth3}{three}}}}
  server_set_id = \$auth2
plus:
  driver = gsasl
  public_name = SCRAM-SHA-256-PLUS
  server_password = secret
  server_channelbinding = true
  server_set_id = \$auth1
  server_advertise_condition = \$tls_in_cipher
begin routers
none:
  driver = accept
  transport = null
begin transports
null:
  driver = appendfile
  file = /dev/null
C
}
config "tls_try_verify_hosts = *"
box_start

cat >"$T/client.py" <<'P'
import smtplib, ssl, sys
port, name, cert, rcpts = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
s = smtplib.SMTP('127.0.0.1', port, local_hostname=name)
s.ehlo()
if cert != 'plain':
    ctx = ssl._create_unverified_context()
    if cert != 'none':
        ctx.load_cert_chain(cert + '.crt', cert + '.key')
    code, text = s.starttls(context=ctx) if name != 'refused.test' else s.docmd('STARTTLS')
    if code != 220:
        print(code, text.decode())
        sys.exit(0)
s.ehlo()
print('AUTH', 'auth' in s.esmtp_features)
s.mail('a@b.test')
for r in rcpts:
    code, text = s.rcpt(r + '@c.test')
    print(code, text.decode())
P
client() { # NAME CERT RCPT...
	python3 "$T/client.py" "$SMTP" "$@" 2>&1 || echo gone
}
has "$(client x.test plain secret any)" "not in the clear" "encrypted = * in the clear"
out=$(client x.test none secret member sub)
hasnot "$out" "not in the clear" "encrypted = * by TLS"
has "$out" "members only" "verify = certificate without one"
has "$out" "not by certificate" "the authenticator tls without a certificate"
has "$out" "AUTH True" "AUTH is offered to whom is not known"
out=$(client x.test "$T/alice" member sub)
hasnot "$out" "550" "alice's certificate"
has "$out" "AUTH False" "AUTH is not offered to whom is known already"
wait_for 20 grep -qF -- "cv=1 dn=CN=alice,O=Club who=alice san=alice@club.test ours=0b id=alice by=certs proto=TLS1.3 bits=256" "$BOX/var/log/mainlog"
out=$(client x.test "$T/mallory" member sub)
has "$out" "members only" "a stranger's certificate"
has "$out" "not by certificate" "a stranger's certificate"
has "$(client refused.test none)" "no TLS for you" "acl_smtp_starttls"
wait_for 20 grep -qF -- "cipher matches" "$BOX/var/log/mainlog"

# SCRAM over TLS, bound to the channel; a client that does not bind is not let in.
sink() { # channel binding
	cat >"$T/send.conf" <<C
primary_hostname = client.test
spool_directory = $T/spool
log_file_path = $T/log-%slog
exim_user = $(id -un)
exim_group = $(id -gn)
keep_environment =
begin routers
r:
  driver = manualroute
  route_list = * 127.0.0.1::$SMTP byname
  self = send
  transport = t
begin transports
t:
  driver = smtp
  allow_localhost
  hosts_require_auth = *
  tls_verify_cert_hostnames =
begin retry
* * F,1h,10m
begin authenticators
bound:
  driver = gsasl
  public_name = SCRAM-SHA-256-PLUS
  client_username = carol
  client_password = secret
  client_channelbinding = $1
C
	rm -rf "$T/spool" "$T"/log-*
	mkdir -p "$T/spool"
	printf 'Subject: x\n\nx\n' | "$BUILD/bin/sendmail" -C "$T/send.conf" -odi -f a@b.test any@c.test >/dev/null 2>&1
	cat "$T/log-mainlog"
}
if [ "$(id -u)" != 0 ]; then
	has "$(sink true)" "A=bound " "client_channelbinding"
	wait_for 20 grep -qF -- "A=plus:carol" "$BOX/var/log/mainlog"
	hasnot "$(sink false)" "A=bound" "client_channelbinding = false"
fi

# Required: who has none, or one that was revoked, does not come in.
config "tls_verify_hosts = *
tls_crl = $T/crl.pem"
# The old spelling.
sed -i 's/server_param1/server_param/' "$BOX/etc/exim.conf"
box_stop
box_start
hasnot "$(client x.test "$T/alice" sub)" "550" "server_param"
has "$(client x.test "$T/alice" member)" "250" "tls_verify_hosts with a certificate"
hasnot "$(client x.test none member)" "250" "tls_verify_hosts without one"
hasnot "$(client x.test "$T/bob" member)" "250" "tls_crl"
