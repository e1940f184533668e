#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Main options about TLS and proxies in front of us, each by what a client sees of it and what the log says.

tlscases.py SENDMAIL [CASE...]: each case is played against SENDMAIL -bs on a socket, under a configuration of its own.

main: lines of the main section (%C a folder of certificates, %W the case's own).  steps: what the client does, one after the other: a
line is sent and its reply is read; "*banner" reads one; "*tls" shakes hands; "*raw TEXT" sends (escapes as in Python) and reads
nothing; "*end" expects the end.  tls: how (sni, alpn, cert, ciphers, max12).  s_client: arguments of openssl(1) instead of steps.
from: the client's address; args: more of the command line.  want, not: regular expressions of what the client saw ("[tls ...]" tells of the
handshake, "[broken ...]" that something failed); log, not_log: of the log.
"""
import os, re, shutil, socket, ssl, subprocess, sys, tempfile, threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from smtpoptions import certificates

HEAD = """primary_hostname = mail.local.test
spool_directory = %W/spool
log_file_path = %W/log/%slog
exim_user = %U
exim_group = %G
keep_environment =
host_lookup =
rfc1413_query_timeout = 0s
trusted_users = %U
tls_advertise_hosts = *
tls_certificate = %C/good.pem
acl_smtp_rcpt = rcpt
acl_smtp_connect = connect
"""
ACL = """begin acl
connect:
 accept logwrite = connect: [$sender_host_address]:$sender_host_port on [$received_ip_address]:$received_port \\
   session=$proxy_session local=$proxy_local_address:$proxy_local_port external=$proxy_external_address:$proxy_external_port
rcpt:
 accept logwrite = vars: cipher=<$tls_cipher> in=<$tls_in_cipher> std=<$tls_in_cipher_std> bits=<$tls_in_bits> ver=<$tls_in_ver> \\
   sni=<$tls_sni> insni=<$tls_in_sni> dn=<$tls_peerdn> verified=<$tls_certificate_verified> ocsp=<$tls_in_ocsp> \\
   resumption=<$tls_in_resumption> protocol=<$received_protocol> helo=<$sender_helo_name> auth=<$authenticated_id>
"""
MAIL = ["MAIL FROM:<s@sender.test>", "RCPT TO:<x@y.test>", "DATA", "*raw Subject: hello\\r\\n\\r\\nbody\\r\\n.\\r\\n", "*banner", "QUIT"]
TLS = ["*banner", "EHLO me.test", "STARTTLS", "*tls", "EHLO again.test"]
# Version 2 of the PROXY protocol: for 192.0.2.7, port 4711, to 192.0.2.99, port 26; a TLV behind; "LOCAL"; one cut short.
V2 = r"\r\n\r\n\x00\r\nQUIT\n"
V2TCP4 = V2 + r"\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x63\x12\x67\x00\x1a"
V2TLV = V2 + r"\x21\x11\x00\x10\xc0\x00\x02\x07\xc0\x00\x02\x63\x12\x67\x00\x1a\x04\x00\x01\x00"
V2LOCAL = V2 + r"\x20\x00\x00\x00"
V2TCP6 = V2 + r"\x21\x21\x00\x24" + r"\x20\x01\x0d\xb8" + r"\x00" * 11 + r"\x07" + r"\x20\x01\x0d\xb8" + r"\x00" * 11 + r"\x63\x12\x67\x00\x1a"
BAD = r"\[broken"
XCLIENT = "XCLIENT ADDR=192.0.2.7 PORT=4711 NAME=host.client.test LOGIN=joe DESTADDR=192.0.2.99 DESTPORT=26"
NOPROXY = r"^503 Command refused, required Proxy negotiation failed"
PROXY = ["hosts_proxy = 127.0.0.1"]

CASES = [
    # ---- who is offered TLS, by what certificate ----
    dict(name="advertised", main=["tls_advertise_hosts = 127.0.0.1"], steps=TLS + MAIL, want=[r"^250[- ]STARTTLS", r"\[tls TLSv1.3 .* subject=good.test\]"],
         log=[r"<= s@sender.test .* P=esmtps X=TLS1.3:TLS_\S+:256 CV=no "]),
    dict(name="notadvertised", main=["tls_advertise_hosts = 10.0.0.0/8"], steps=["*banner", "EHLO me.test", "STARTTLS", "QUIT"],
         want=[r"^503 "], **{"not": [r"STARTTLS$"]}),
    dict(name="keyapart", main=["tls_certificate = %C/good.crt", "tls_privatekey = %C/good.key"], steps=TLS, want=[r"subject=good.test"]),
    dict(name="keyforced", main=["tls_privatekey = ${if eq{1}{2}{%C/other.key}fail}"], steps=TLS, want=[r"subject=good.test"]),
    dict(name="keywrong", main=["tls_privatekey = %C/other.key"], steps=["*banner", "EHLO me.test", "STARTTLS", "NOOP"],
         want=[r"^454 TLS currently unavailable", r"^250 OK"], log=[r"TLS error .*other.key"]),
    dict(name="nofile", main=["tls_certificate = %C/none.pem"], steps=["*banner", "EHLO me.test", "STARTTLS"], want=[r"^454 "]),
    dict(name="selfsigned", main=["tls_certificate ="], steps=TLS, want=[r"subject=mail.local.test"]),
    dict(name="bysni", main=["tls_certificate = ${if eq{$tls_in_sni}{other.test}{%C/other.pem}{%C/good.pem}}"], tls={"sni": "other.test"},
         steps=TLS + MAIL, want=[r"subject=other.test"], log=[r"insni=<other.test>"]),
    dict(name="bysnielse", main=["tls_certificate = ${if eq{$tls_in_sni}{other.test}{%C/other.pem}{%C/good.pem}}"], tls={"sni": "third.test"},
         steps=TLS, want=[r"subject=good.test"]),
    dict(name="byhost", main=["tls_certificate = ${if eq{$sender_host_address}{127.0.0.9}{%C/other.pem}{%C/good.pem}}"], steps=TLS,
         **{"from": "127.0.0.9"}, want=[r"subject=other.test"]),
    dict(name="twokinds", main=["tls_certificate = %C/good.pem : %C/ec.pem"], tls={"ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256", "max12": True}, steps=TLS,
         want=[r"ECDHE-ECDSA-AES128-GCM-SHA256 .* subject=ec.test"]),
    # ---- ciphers, keys, versions ----
    dict(name="ciphers", main=["tls_require_ciphers = ECDHE-RSA-AES128-GCM-SHA256"], tls={"max12": True}, steps=TLS,
         want=[r"\[tls TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 "]),
    dict(name="ciphersnone", main=["tls_require_ciphers = ECDHE-RSA-AES128-GCM-SHA256"], tls={"max12": True, "ciphers": "ECDHE-RSA-AES256-GCM-SHA384"},
         steps=["*banner", "EHLO me.test", "STARTTLS", "*tls"], want=[BAD], log=[r"TLS error on connection from .*shared cipher"]),
    dict(name="ciphersbyhost", main=["tls_require_ciphers = ${if eq{$sender_host_address}{127.0.0.9}{TLS_AES_128_GCM_SHA256}{TLS_CHACHA20_POLY1305_SHA256}}"],
         steps=TLS, **{"from": "127.0.0.9"}, want=[r"TLS_AES_128_GCM_SHA256 "]),
    dict(name="ciphersgnutls", main=["tls_require_ciphers = NORMAL:-VERS-ALL:+VERS-TLS1.2"], steps=TLS, want=[r"\[tls TLSv1.2 "]),
    dict(name="ciphersbad", main=["tls_require_ciphers = NO-SUCH-CIPHER"], steps=["*banner", "EHLO me.test", "STARTTLS"], want=[r"^454 "]),
    dict(name="options", main=["openssl_options = +no_tlsv1_3 -no_compression"], steps=TLS, want=[r"\[tls TLSv1.2 "]),
    dict(name="optionsbad", main=["openssl_options = +no_such_thing"], steps=["*banner", "EHLO me.test"], **{"not": [r"STARTTLS"]}, log=[r"\"\+no_such_thing\""]),
    dict(name="compat", main=["gnutls_compat_mode"], s_client="-tls1_2", want=[r"Extended master secret: no"]),
    dict(name="notcompat", main=[], s_client="-tls1_2", want=[r"Extended master secret: yes"]),
    dict(name="dhdefault", main=[], s_client="-tls1_2 -cipher DHE", want=[r"Temp Key: DH, 2048 bits"]),
    dict(name="dhnamed", main=["tls_dhparam = ike15", "tls_dh_max_bits = 4096"], s_client="-tls1_2 -cipher DHE", want=[r"Temp Key: DH, 3072 bits"]),
    dict(name="dhmax", main=["tls_dhparam = ike15"], s_client="-tls1_2 -cipher DHE", want=[r"alert|handshake failure"], **{"not": [r"Temp Key"]}),
    dict(name="dhnone", main=["tls_dhparam = none"], s_client="-tls1_2 -cipher DHE", want=[r"alert|handshake failure"], **{"not": [r"Temp Key"]}),
    dict(name="dhfile", main=["tls_dhparam = %C/dh.pem"], s_client="-tls1_2 -cipher DHE", want=[r"Temp Key: DH, 2048 bits"]),
    dict(name="dhunknown", main=["tls_dhparam = ike99"], steps=["*banner", "EHLO me.test", "STARTTLS"], want=[r"^454 "], log=[r"tls_dhparam \"ike99\""]),
    dict(name="curve", main=["tls_eccurve = secp384r1"], s_client="", want=[r"Temp Key: ECDH, (secp384r1|P-384), 384 bits"]),
    dict(name="curvenone", main=["tls_eccurve ="], s_client="-tls1_2 -cipher ECDHE", want=[r"alert|handshake failure"]),
    # ---- ALPN ----
    dict(name="alpn", main=[], tls={"alpn": ["smtp"]}, steps=TLS, want=[r"alpn=smtp "]),
    dict(name="alpnlist", main=["tls_alpn = one : two"], tls={"alpn": ["two"]}, steps=TLS, want=[r"alpn=two "]),
    dict(name="alpnother", main=[], tls={"alpn": ["imap"]}, steps=["*banner", "EHLO me.test", "STARTTLS", "*tls"], want=[BAD], log=[r"TLS error"]),
    dict(name="alpnseveral", main=[], tls={"alpn": ["smtp", "http/1.1"]}, steps=["*banner", "EHLO me.test", "STARTTLS", "*tls"], want=[BAD]),
    dict(name="alpnoff", main=["tls_alpn ="], tls={"alpn": ["imap"]}, steps=TLS, want=[r"alpn=None "]),
    dict(name="alpnneeded", main=["hosts_require_alpn = 127.0.0.1"], steps=["*banner", "EHLO me.test", "STARTTLS", "*tls", "*end"],
         log=[r"TLS error .*ALPN required but not negotiated"]),
    dict(name="alpnneededgiven", main=["hosts_require_alpn = 127.0.0.1"], tls={"alpn": ["smtp"]}, steps=TLS, want=[r"alpn=smtp "]),
    # ---- the status of our certificate ----
    dict(name="ocsp", main=["tls_ocsp_file = %C/good.status"], s_client="-status", feed=MAIL, want=[r"OCSP Response Status: successful", r"Cert Status: good"],
         log=[r"ocsp=<4>"]),
    dict(name="ocsppem", main=["tls_ocsp_file = PEM %C/good.status.pem"], s_client="-status", want=[r"Cert Status: good"]),
    dict(name="ocspnone", main=[], s_client="-status", feed=MAIL, want=[r"OCSP response: no response sent"]),
    dict(name="ocspwrong", main=["tls_ocsp_file = %C/revoked.status"], s_client="-status", want=[r"OCSP response: no response sent"]),
    dict(name="ocspnotasked", main=["tls_ocsp_file = %C/good.status"], steps=TLS + MAIL, log=[r"ocsp=<0>"]),
    # ---- certificates of clients ----
    dict(name="tryverify", main=["tls_try_verify_hosts = *", "tls_verify_certificates = %C/ca.pem", "log_selector = +tls_peerdn"], tls={"cert": "client"},
         steps=TLS + MAIL, log=[r"<= .* CV=yes DN=\"CN=client.test\" ", r"dn=<CN=client.test> verified=<1>"]),
    dict(name="tryverifynone", main=["tls_try_verify_hosts = *", "tls_verify_certificates = %C/ca.pem", "log_selector = +tls_peerdn"],
         steps=TLS + MAIL, log=[r"<= .* CV=no ", r"dn=<> verified=<0>"], not_log=[" DN="]),
    dict(name="verifynone", main=["tls_verify_hosts = *", "tls_verify_certificates = %C/ca.pem"], steps=TLS, want=[BAD], log=[r"TLS error"]),
    dict(name="verifyrevoked", main=["tls_verify_hosts = *", "tls_verify_certificates = %C/ca.pem", "tls_crl = %C/crl.pem"], tls={"cert": "revoked"},
         steps=TLS, want=[BAD], log=[r"TLS error"]),
    dict(name="verifybyhost", main=["tls_verify_hosts = *", "tls_verify_certificates = ${if eq{$sender_host_address}{127.0.0.9}{%C/ca.pem}{%C/other.crt}}"],
         tls={"cert": "client"}, steps=TLS + MAIL, **{"from": "127.0.0.9"}, log=[r"<= .* CV=yes "]),
    # ---- when it begins, and what is remembered ----
    dict(name="ports", main=["tls_on_connect_ports = 465 : 26"], port=26, steps=["*tls", "*banner", "EHLO me.test"] + MAIL, want=[r"\[tls .*\]\n220 "],
         log=[r"P=esmtps "], **{"not": [r"STARTTLS"]}),
    dict(name="portsother", main=["tls_on_connect_ports = 465"], port=26, steps=["*banner", "EHLO me.test"], want=[r"^220 "]),
    dict(name="onconnect", main=[], args=["-tls-on-connect"], steps=["*tls", "*banner", "EHLO me.test"], want=[r"\[tls .*\]\n220 "]),
    dict(name="forgets", main=[], steps=TLS[:4] + ["MAIL FROM:<s@sender.test> SIZE=10", "QUIT"], want=[r"^503 HELO or EHLO required"]),
    dict(name="remembers", main=["tls_remember_esmtp"], steps=TLS[:4] + ["MAIL FROM:<s@sender.test> SIZE=10", "RCPT TO:<x@y.test>", "QUIT"],
         want=[r"^250 Accepted"], log=[r"protocol=<esmtps> helo=<>"]),
    dict(name="onconnectlog", main=["tls_on_connect_ports = 26", "log_selector = +tls_on_connect"], port=26,
         steps=["*tls", "*banner", "EHLO me.test"] + MAIL, log=[r"<= .* X=TLS1.3:\S+ tls_on_connect CV=no "]),
    dict(name="startedlog", main=["log_selector = +tls_on_connect"], steps=TLS + MAIL, log=[r"<= .* X=TLS1.3:\S+ CV=no "]),
    dict(name="leftover", main=[], steps=["*banner", "EHLO me.test", "*raw STARTTLS\\r\\nRSET\\r\\n", "*banner", "*end"], want=[r"^554 "],
         **{"not": [r"^220 TLS"]}),
    # ---- what the log shows ----
    dict(name="nocipher", main=["log_selector = -tls_cipher"], steps=TLS + MAIL, log=[r"<= .* P=esmtps CV=no S="], not_log=[r" X="]),
    dict(name="nocv", main=["log_selector = -tls_certificate_verified"], steps=TLS + MAIL, log=[r"<= .* X=TLS1.3:\S+ S="], not_log=[r" CV="]),
    dict(name="sni", main=["log_selector = +tls_sni"], tls={"sni": "asked.test"}, steps=TLS + MAIL, log=[r"<= .* SNI=\"?asked.test\"? ", r" sni=<asked.test> "]),
    dict(name="nosni", main=[], tls={"sni": "asked.test"}, steps=TLS + MAIL, not_log=[r"SNI="]),
    dict(name="vars", main=["tls_require_ciphers = ECDHE-RSA-AES256-GCM-SHA384"], tls={"max12": True}, steps=TLS + MAIL,
         log=[r"cipher=<TLS1.2:ECDHE[-_]+RSA_*[-_]+AES[-_]?256[-_]GCM[-_]+SHA384:256> in=<TLS1.2:[^>]+> std=<TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384> bits=<256> ver=<TLS1.2>",
              r"resumption=<1>"]),
    dict(name="varsplain", main=[], steps=["*banner", "EHLO me.test"] + MAIL, log=[r"cipher=<> in=<> std=<> bits=<0> ver=<> sni=<> insni=<> dn=<> verified=<0> ocsp=<0>"]),
    # ---- a proxy in front of us ----
    dict(name="proxyv1", main=PROXY, steps=["*raw PROXY TCP4 192.0.2.7 192.0.2.99 4711 26\\r\\n", "*banner", "EHLO me.test"] + MAIL, want=[r"Hello me.test \[192.0.2.7\]"],
         log=[r"connect: \[192.0.2.7\]:4711 on \[127.0.0.1\]:\d+ session=yes local=127.0.0.1:\d+ external=192.0.2.99:26", r"<= s@sender.test H=\(me.test\) \[192.0.2.7\] P=esmtp"]),
    dict(name="proxyv1six", main=PROXY, steps=["*raw PROXY TCP6 2001:db8::7 2001:db8::63 4711 26\\r\\n", "*banner"],
         log=[r"connect: \[2001:db8::7\]:4711 .* session=yes .* external=2001:db8::63:26"]),
    dict(name="proxyv1unknown", main=PROXY, steps=["*raw PROXY UNKNOWN\\r\\n", "*banner", "QUIT"], log=[r"connect: \[127.0.0.1\]:.* session=yes"]),
    dict(name="proxyv2", main=PROXY, steps=["*raw " + V2TCP4, "*banner", "QUIT"], log=[r"connect: \[192.0.2.7\]:4711 .* session=yes .* external=192.0.2.99:26"]),
    dict(name="proxyv2six", main=PROXY, steps=["*raw " + V2TCP6, "*banner", "QUIT"], log=[r"connect: \[2001:db8::7\]:4711 .* external=2001:db8::63:26"]),
    dict(name="proxyv2tlv", main=PROXY, steps=["*raw " + V2TLV, "*banner", "QUIT"], want=[r"^220 ", r"^221 "], log=[r"connect: \[192.0.2.7\]:4711"]),
    dict(name="proxyv2local", main=PROXY, steps=["*raw " + V2LOCAL, "*banner", "QUIT"], log=[r"connect: \[127.0.0.1\]:.* session=yes"]),
    dict(name="proxynot", main=PROXY, steps=["*raw EHLO me.test\\r\\n", "*banner", "NOOP", "QUIT"], want=[NOPROXY, "^221 "]),
    dict(name="proxysilent", main=PROXY + ["proxy_protocol_timeout = 1s"], steps=["*banner", "EHLO me.test", "QUIT"], want=[NOPROXY, "^221 "]),
    dict(name="proxybadaddr", main=PROXY, steps=["*raw PROXY TCP4 192.0.2.777 192.0.2.99 4711 26\\r\\n", "*banner", "NOOP", "QUIT"],
         want=[NOPROXY], log=[r"connect: \[127.0.0.1\]:.* session=yes .*external=:0"]),
    dict(name="proxylog", main=PROXY + ["log_selector = +proxy"], steps=["*raw PROXY TCP4 192.0.2.7 192.0.2.99 4711 26\\r\\n", "*banner", "EHLO me.test"] + MAIL,
         log=[r"<= .* PRX=127.0.0.1 "]),
    dict(name="proxytls", main=PROXY + ["tls_on_connect_ports = 26"], port=26, steps=["*raw PROXY TCP4 192.0.2.7 192.0.2.99 4711 26\\r\\n", "*tls", "*banner", "QUIT"],
         want=[r"\[tls .*\]\n220 "], log=[r"connect: \[192.0.2.7\]:4711"]),
    # ---- a server that speaks for its client ----
    dict(name="xclient", main=["hosts_xclient = 127.0.0.1"], steps=["*banner", "EHLO mx.test", XCLIENT, "EHLO me.test"] + MAIL,
         want=[r"^250[ -]XCLIENT .*ADDR", r"^220 ", r"Hello host.client.test \[192.0.2.7\]"],
         log=[r"connect: \[192.0.2.7\]:4711 on \[192.0.2.99\]:26 session=yes local=127.0.0.1:4000", r"protocol=<esmtpa> .* auth=<joe>",
              r"<= s@sender.test H=host.client.test \(me.test\) \[192.0.2.7\] P=esmtpa A=xclient:joe "]),
    dict(name="xclientsix", main=["hosts_xclient = 127.0.0.1"], steps=["*banner", "EHLO mx.test", "XCLIENT ADDR=IPV6:2001:db8::7 NAME=[UNAVAILABLE] HELO=he+2Blo.test PROTO=ESMTP"]
         + MAIL, want=[r"^220 "], log=[r"H=\(he\+lo.test\) \[2001:db8::7\] P=esmtp "]),
    dict(name="xclienttwice", main=["hosts_xclient = 127.0.0.1"], steps=["*banner", "EHLO mx.test", "XCLIENT ADDR=192.0.2.7", "EHLO a.test", "XCLIENT ADDR=192.0.2.8", "QUIT"],
         log=[r"connect: \[192.0.2.8\]:"]),
    dict(name="xclientnot", main=["hosts_xclient = 10.0.0.0/8"], steps=["*banner", "EHLO mx.test", XCLIENT, "QUIT"], want=[r"^500 unrecognized command"],
         **{"not": [r"XCLIENT"]}),
    dict(name="xclientbad", main=["hosts_xclient = 127.0.0.1"], steps=["*banner", "EHLO mx.test", "XCLIENT ADDR=nowhere", "XCLIENT COLOUR=red", "XCLIENT NAME=a+0Ab",
         "QUIT"], want=[r"(501 .*\n){3}221 "], not_log=[r"connect: .*\n.*connect: "]),
    dict(name="xclientrefused", main=["hosts_xclient = 127.0.0.1", "host_reject_connection = 192.0.2.7"], steps=["*banner", "EHLO mx.test", XCLIENT, "*end"],
         want=[r"^554 ", r"\[end\]"]),
    # Who stands behind a balancer is no server of ours because the balancer is.
    dict(name="xclientbehind", main=PROXY + ["hosts_xclient = 127.0.0.1"], steps=["*raw PROXY TCP4 192.0.2.7 192.0.2.99 4711 26\\r\\n", "*banner", "EHLO mx.test",
         XCLIENT, "QUIT"], want=[r"^500 unrecognized command"], **{"not": [r"XCLIENT"]}),
    dict(name="xclientofit", main=PROXY + ["hosts_xclient = 192.0.2.7"], steps=["*raw PROXY TCP4 192.0.2.7 192.0.2.99 4711 26\\r\\n", "*banner", "EHLO mx.test",
         "XCLIENT ADDR=192.0.2.8", "QUIT"], want=[r"^250[ -]XCLIENT .*ADDR"], log=[r"connect: \[192.0.2.8\]:"]),
    dict(name="proxyothers", main=["hosts_proxy = 10.0.0.0/8"], steps=["*banner", "EHLO me.test", "QUIT"], log=[r"connect: \[127.0.0.1\]:.* session=no"]),
]


def more_certificates(d):
    if os.path.exists(d + "/dh.pem"):
        return

    def run(*args):
        subprocess.run(args, check=True, cwd=d, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=ec.test",
        "-keyout", "ec.key", "-out", "ec.crt")
    open(d + "/ec.pem", "w").write(open(d + "/ec.crt").read() + open(d + "/ec.key").read())
    run("openssl", "ocsp", "-index", "index", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "ca.key", "-issuer", "ca.pem",
        "-cert", "revoked.crt", "-ndays", "1", "-respout", "revoked.status", "-no_nonce")
    import base64
    text = base64.encodebytes(open(d + "/good.status", "rb").read()).decode()
    open(d + "/good.status.pem", "w").write("-----BEGIN OCSP RESPONSE-----\n" + text + "-----END OCSP RESPONSE-----\n")
    for f in ("ec.key", "ec.pem"):
        os.chmod(d + "/" + f, 0o600)
    run("openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", "dh.pem")


class Client:
    def __init__(self, case, port, certs):
        self.case, self.certs, self.out, self.buf = case, certs, "", b""
        self.s = socket.create_connection(("127.0.0.1", port))
        self.s.settimeout(60)

    def line(self):
        while b"\n" not in self.buf:
            got = self.s.recv(65536)
            if not got:
                raise EOFError
            self.buf += got
        one, self.buf = self.buf.split(b"\n", 1)
        return one.decode("latin-1").rstrip("\r")

    def reply(self):
        while True:
            s = self.line()
            self.out += s + "\n"
            if not s[3:4] == "-":
                return

    def tls(self):
        t = self.case.get("tls", {})
        x = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        x.check_hostname = False
        x.verify_mode = ssl.CERT_NONE
        if "ciphers" in t:
            x.set_ciphers(t["ciphers"])
        if "alpn" in t:
            x.set_alpn_protocols(t["alpn"])
        if t.get("max12"):
            x.maximum_version = ssl.TLSVersion.TLSv1_2
        if "cert" in t:
            x.load_cert_chain(f"{self.certs}/{t['cert']}.pem")
        self.s = x.wrap_socket(self.s, server_hostname=t.get("sni"))
        der = self.s.getpeercert(True)
        name = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject", "-nameopt", "multiline"], input=der,
                              capture_output=True, check=True).stdout.decode()
        name = re.search(r"commonName *= *(.*)", name).group(1)
        self.out += f"[tls {self.s.version()} {self.s.cipher()[0]} alpn={self.s.selected_alpn_protocol()} subject={name}]\n"

    def step(self, s):
        if s == "*banner":
            self.reply()
        elif s == "*tls":
            self.tls()
        elif s == "*end":
            try:
                while self.line() is not None:
                    pass
            except (EOFError, OSError):
                self.out += "[end]\n"
        elif s.startswith("*raw "):
            self.s.sendall(s[5:].encode("latin-1").decode("unicode_escape").encode("latin-1"))
        else:
            self.s.sendall(s.encode("latin-1") + b"\r\n")
            self.reply()

    def play(self):
        try:
            for s in self.case["steps"]:
                self.step(s)
        except (OSError, EOFError, ssl.SSLError) as e:
            self.out += f"[broken {type(e).__name__} {e}]\n"
        try:
            self.s.close()
        except OSError:
            pass
        return self.out


def s_client(case, port):
    lines = [x if not x.startswith("*raw ") else x[5:].encode().decode("unicode_escape").rstrip("\r\n") for x in ["EHLO me.test"] + case.get("feed", ["QUIT"])
             if x != "*banner"]
    p = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-starttls", "smtp", "-crlf", "-ign_eof", *case["s_client"].split()],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return p.communicate("\n".join(lines + [""]).replace("\r", "").encode(), timeout=60)[0].decode("latin-1")


def one(sendmail, case, top):
    w = tempfile.mkdtemp(prefix="c-", dir=top)
    certs = top + "/certs"
    user, group = os.environ.get("AS_USER"), os.environ.get("AS_GROUP")
    if not user:
        user, group = (subprocess.run(["id", o], capture_output=True, text=True, check=True).stdout.strip() for o in ("-un", "-gn"))
    for d in ("", "/log", "/spool"):
        os.makedirs(w + d, exist_ok=True)
        if os.getuid() == 0:
            os.chmod(w + d, 0o777)
    own = {re.match(r"\w+", m).group(0) for m in case["main"]}
    head = "".join(x for x in HEAD.splitlines(True) if x.split(" ")[0] not in own) + os.environ.get("MAIN", "")
    text = head + "".join(m + "\n" for m in case["main"]) + ACL
    conf = w + "/conf"
    open(conf, "w").write(text.replace("%slog", "\0").replace("%W", w).replace("%C", certs).replace("%U", user).replace("%G", group).replace("\0", "%slog"))
    listener = socket.create_server(("127.0.0.1", 0))
    peer = case.get("from", "127.0.0.1")
    children = []

    def serve():
        c, _ = listener.accept()
        children.append(subprocess.Popen([sendmail, "-C", conf, "-odq", "-bs", "-oMa", peer + ".4000", "-oMi", f"127.0.0.1.{case.get('port', 25)}",
                                          *case.get("args", [])], stdin=c.fileno(), stdout=c.fileno(), stderr=open(w + "/stderr", "w")))
        c.close()
    t = threading.Thread(target=serve, daemon=True)
    t.start()
    port = listener.getsockname()[1]
    seen = s_client(case, port) if "s_client" in case else Client(case, port, certs).play()
    t.join(60)
    for c in children:
        try:
            c.wait(20)
        except subprocess.TimeoutExpired:
            c.kill()
            seen += "[it goes on]\n"
    listener.close()
    log = "".join(open(f"{w}/log/{n}log", encoding="latin-1").read() for n in ("main", "panic") if os.path.exists(f"{w}/log/{n}log"))
    bad = [f"the client lacks /{x}/" for x in case.get("want", []) if not re.search(x, seen, re.M)]
    bad += [f"the client saw /{x}/" for x in case.get("not", []) if re.search(x, seen, re.M)]
    bad += [f"the log lacks /{x}/" for x in case.get("log", []) if not re.search(x, log, re.M)]
    bad += [f"the log has /{x}/" for x in case.get("not_log", []) if re.search(x, log, re.M)]
    if bad or os.environ.get("SHOW"):
        print(f"case {case['name']}: " + "; ".join(bad) + "\n  seen:\n    " + seen.replace("\n", "\n    ") + "\n  log:\n    " + log.replace("\n", "\n    ") +
              open(w + "/stderr").read())
    return not bad


def main():
    sendmail, names = sys.argv[1], sys.argv[2:]
    top = tempfile.mkdtemp(prefix="vpost-tls-")
    os.chmod(top, 0o755)
    certificates(top + "/certs")
    more_certificates(top + "/certs")
    if os.environ.get("AS_USER"):
        subprocess.run(["chown", "-R", os.environ["AS_USER"], top + "/certs"], check=True)
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(4) as pool:
        good = list(pool.map(lambda c: one(sendmail, c, top), [c for c in CASES if not names or c["name"] in names]))
    shutil.rmtree(top)
    print(f"{len(good)} cases, {good.count(False)} bad")
    return not all(good)


if __name__ == "__main__":
    sys.exit(main())
