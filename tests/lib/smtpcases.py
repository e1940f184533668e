# SPDX-License-Identifier: BSD-2-Clause
"""The table of smtpoptions.py: for each option of the smtp transport what a host sees of it.

opts: lines of the transport; %P is the host's port, %C a folder of certificates.  The host: ehlo (its words), rules (prefix of a line,
answer; "|" between lines, "wait N", "drop"), at (rules by address), tls, busy (banner by address), listen (addresses).  send: sender and recipients of each
message.  want, not: regular expressions of what it heard; log, not_log: of the log; count: how often; most: connections at a time.
"""
HEAD = """primary_hostname = mail.local.test
spool_directory = %W/spool
log_file_path = %W/log/%slog
exim_user = %U
exim_group = %G
keep_environment =
host_lookup =
tls_advertise_hosts =
trusted_users = %U
log_selector = +smtp_confirmation +tls_peerdn +pipelining +outgoing_port +proxy -retry_defer
queue_list_requires_admin = false
prod_requires_admin = false
"""
AUTH = """plain:
 driver = plaintext
 public_name = PLAIN
 client_send = ^me^secret
login:
 driver = plaintext
 public_name = LOGIN
 client_send = : me : secret
cram:
 driver = cram_md5
 public_name = CRAM-MD5
 client_name = tim
 client_secret = tanstaaftanstaaf
external:
 driver = external
 public_name = EXTERNAL
 client_send = who
scram:
 driver = gsasl
 public_name = SCRAM-SHA-256
 client_username = me
 client_password = secret
"""
DH = """-----BEGIN X9.42 DH PARAMETERS-----
MIICKAKCAQEAqvT74nkKtVz8xEMk2DO8S8fIJ/ZpPnzzldi0hCyZSKcRh+mOpXWX
zsKG/rUMInlrMlpVX98zqgcf/0JK1cKDeHs3sjPZ2oOtijiVvez29NvDaHuXR2tH
0zHZhBRfeOOFduUXofyDN7npg91QPjjwYYiMcTxeKy4Na0Fn2EkT30otpGqquTTT
6LzRb9iGeCUYK7dLSE9Lu/Su9QCxU2vwkQek37TLZci6fYPDftX2adf1rJjTrtyb
3ICb6BZXOlzLi6sWwOSc4a4oy4YpOc3Fcy+kJywY11oTN8fqeIsrI97DfSmp61uM
WGZklDyiKx62aXcHlKoj3ETeGDm5lK7B9QKCAQAaInfSGfvRHDneeSz9lf4hWHFM
UU2q6nWaX1RzuOlLnGY9BtnIlNJWOvq90J08ZbrU7QpaczMDa6lvf20/eXkNDE2y
c8v72n+GudQaQdGhCVU5Dr/o9TAW4qICMTwkPaLk/hr+ZEp6SeEAYG/FRZq3O/vd
ttDqGUlqctDtXgvuAWiGUVq1Q/jDRcoPZh/NH+wwfNcj6WyB2XtQ7oL14jCSwsMq
Tqt5WNzfUJYwGGpmQzEL8Hh7ZS0ttN9iRbY9OHjczmOI0mFP9VsvAzKoALYUQfwT
hrQ1Yoj7l6EIQHPLU0i5VrTyZA9KcUGaAvPlIy3Sro01E1BubV57luXki+s4Ah0A
1Qzn79SBnkC4Oiua77v1cncQlLLdMHr67xA1Gw==
-----END X9.42 DH PARAMETERS-----
"""
TEXT = "From: s@sender.test\nTo: x@y.test\nSubject: hello\n\nbody line\n"
PIPE = ["PIPELINING", "SIZE 1000000"]
ALL = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
NOTLS = r"a TLS session is required, but"

BOX = ("box",)
OUT = ["authenticated_sender = $tls_out_dane/$tls_out_tlsa_usage/$tls_out_ocsp/"
       "${if def:tls_out_ourcert{${certextract{subject}{$tls_out_ourcert}}}}/${certextract{subject}{$tls_out_peercert}}", "authenticated_sender_force"]
CALLOUT = ["acl_smtp_rcpt = ask", "smtp_enforce_sync = false", "begin acl", "ask:", " accept verify = recipient/callout=10s"]
ASK = "EHLO me.test\r\nMAIL FROM:<s@sender.test>\r\nRCPT TO:<x@%N.test>\r\nQUIT\r\n"
UTF8 = ["acl_smtp_rcpt = all", "smtp_enforce_sync = false", "smtputf8_advertise_hosts = *", "begin acl", "all:", " accept"]
UMAIL = ("EHLO me.test\r\nMAIL FROM:<s@sender.test> SMTPUTF8\r\nRCPT TO:<j\xc3\xbcrgen@%N.test>\r\nDATA\r\nSubject: hello\r\n\r\nbody\r\n.\r\nQUIT\r\n")
DOWN = lambda value: ["acl_smtp_rcpt = all", "smtp_enforce_sync = false", "smtputf8_advertise_hosts = *", "begin acl", "all:",
                      " accept control = utf8_downconvert" + value]
EVENTS = "event_action = ${acl{%C/events}}"
ONLY = lambda name, answer: "event_action = ${if eq{$event_name}{" + name + "}{" + answer + "}}"

CASES = [
    # ---- events ----
    dict(name="events", opts=EVENTS, ehlo=PIPE, log=[
        r"EV tcp:connect <> 0 H=127.0.0.1 L=x D=events.test X= I=$", r"EV smtp:connect <220 mx.test ready> 0 H=127.0.0.1 L=x D=events.test X= I=127",
        r"EV smtp:ehlo <250-mx.test\\n250-PIPELINING\\n250 SIZE 1000000> 0", r"EV msg:delivery <250 stored> 0 H=127.0.0.1 L=x D=events.test"],
         one_log=[r"EV tcp:close <> 0 H=127.0.0.1"]),
    dict(name="eventsrcpt", opts=EVENTS, rules=[("RCPT TO:<no@", "550 no"), ("RCPT TO:<later@", "450 later")], send=[("s@sender.test", "no", "later", "yes")],
         log=[r"EV tcp:connect <> 0 H=127.0.0.1 L= D=eventsrcpt.test", r"EV msg:fail:delivery <.*RCPT TO:<no@.*: 550 no> 0 H=127.0.0.1 L=no ",
              r"EV msg:rcpt:host:defer <.*RCPT TO:<later@.*: 450 later> 12865 H=127.0.0.1 L=later ", r"EV msg:rcpt:defer <.*: 450 later> 12865",
              r"EV msg:delivery <250 stored> 0 H=127.0.0.1 L=yes "], not_log=["msg:defer"]),
    dict(name="eventshosts", opts=[EVENTS, "hosts = 127.0.0.1 : 127.0.0.2"], listen=ALL[:2], busy={"127.0.0.1": "554 busy"},
         log=[r"EV msg:host:defer <.*initial connection: 554 busy> 0 H=127.0.0.1 L=x", r"EV msg:delivery <250 stored> 0 H=127.0.0.2 L=x"],
         not_log=["msg:defer", "EV smtp:connect.*127.0.0.1 L="]),
    dict(name="eventsdefer", opts=EVENTS, rules=[("MAIL", "451 not now")], log=[r"EV msg:defer <.*MAIL FROM.*451 not now> -45 H=127.0.0.1 L=x"],
         not_log=["msg:host:defer"]),
    dict(name="eventsrefused", opts=EVENTS, listen=[], log=[r"EV msg:host:defer <.*refused> 111 H=127.0.0.1", r"EV msg:defer <.*refused> 111 "],
         not_log=["tcp:close"]),
    dict(name="eventstls", opts=EVENTS, tls={}, log=[r"EV tls:cert <0> 0 H=127.0.0.1 ", r"EV smtp:ehlo <.*> 0 .*X=TLS", r"EV msg:delivery .*X=TLS"]),
    dict(name="eventsnotcp", opts=ONLY("tcp:connect", "no"), not_log=[" => "], log=["Event requests alternate response"], **{"not": ["EHLO"]}),
    dict(name="eventsnogreeting", opts=ONLY("smtp:connect", "no"), not_log=[" => "], log=["deferred by smtp:connect event expansion: no"],
         **{"not": ["EHLO"]}),
    dict(name="eventsnocert", opts=[ONLY("tls:cert", "no"), "hosts_require_tls = *"], tls={}, not_log=[" => "],
         log=["refused by event_action"], **{"not": ["MAIL"]}),
    dict(name="eventsignored", opts=ONLY("smtp:ehlo", "no"), log=[" => "]),
    # ---- who is tried next ----
    dict(name="nextrcpt", opts="hosts = 127.0.0.1 : 127.0.0.2", listen=ALL[:2], at={"127.0.0.1": [("RCPT TO:<b@", "450 later")]},
         send=[("s@sender.test", "a", "b")], log=[r"H=127.0.0.1 .*after RCPT TO:<b@nextrcpt.test>: 450 later", r"=> a@.*H=127.0.0.1 ", r"=> b@.*H=127.0.0.2 "]),
    dict(name="nextmail", opts="hosts = 127.0.0.1 : 127.0.0.2", listen=ALL[:2], at={"127.0.0.1": [("MAIL", "451 later")]},
         log=[r"H=127.0.0.1 .*451 later", r"=> x@.*H=127.0.0.2 "]),
    dict(name="nextend", opts="hosts = 127.0.0.1 : 127.0.0.2", listen=ALL[:2], at={"127.0.0.1": [("END", "451 full")]},
         log=[r"H=127.0.0.1 .*after end of data: 451 full", r"=> x@.*H=127.0.0.2 "]),
    dict(name="nextnone", opts="hosts = 127.0.0.1 : 127.0.0.2", listen=ALL[:2], rules=[("RCPT", "450 later")],
         log=[r"H=127.0.0.1 .*: 450 later", r"== x@.*H=127.0.0.2 .*: 450 later"], not_log=["=>"]),
    # ---- what options know of the connection ----
    dict(name="headertls", opts="headers_add = X-Out: $tls_out_ver $host_address $sending_ip_address", tls={},
         want=[r"^\| X-Out: TLS1.3 127.0.0.1 127.0.0.1"]),
    # ---- what we say ----
    dict(name="helo", opts="helo_data = me.$domain", want=[r"^< EHLO me\.helo\.test$"]),
    dict(name="helofail", opts="helo_data = ${if eq{1}{2}{x}fail}", not_log=[" => "], log=[r"== .*helo_data"]),
    dict(name="avoidesmtp", opts="hosts_avoid_esmtp = 127.0.0.1", want=[r"^< HELO "], **{"not": ["EHLO"]}),
    dict(name="sizeadd", opts="size_addition = 500000", ehlo=PIPE, want=[r"MAIL FROM:<s@sender.test> SIZE=500\d\d\d"]),
    dict(name="sizedefault", opts=[], ehlo=PIPE, want=[r"MAIL FROM:<s@sender.test> SIZE=1[2-9]\d\d"]),
    dict(name="sizeless", opts="size_addition = -1", ehlo=PIPE, want=[r"SIZE=3\d\d( |$)"]),
    dict(name="nopipe", opts="hosts_avoid_pipelining = 127.0.0.0/8", ehlo=PIPE, **{"not": [r"\[more\]"]}, not_log=[" L "]),
    dict(name="pipe", opts="hosts_avoid_pipelining = 10.0.0.0/8", ehlo=PIPE, want=[r"MAIL .*\[more\]", r"RCPT .*\[more\]"]),
    dict(name="chunk", opts=[], ehlo=PIPE + ["CHUNKING"], want=[r"^< BDAT \d+ LAST"], log=[r" K C="]),
    dict(name="nochunk", opts="hosts_try_chunking =", ehlo=PIPE + ["CHUNKING"], want=[r"^< DATA"], **{"not": ["BDAT"]}),
    dict(name="prdr", opts=[], ehlo=PIPE + ["PRDR"], send=[("s@sender.test", "a", "b", "c")],
         rules=[("END", "353 each|250 a|550 5.7.1 not b|250 c|250 done")], want=[r"^< MAIL .* PRDR"],
         log=[r"=> a@.* PRDR C=", r"\*\* b@.*not b", r"-> c@.* PRDR"]),
    dict(name="noprdr", opts="hosts_try_prdr =", ehlo=PIPE + ["PRDR"], send=[("s@sender.test", "a", "b")], **{"not": ["PRDR$"]}),
    dict(name="prdrone", opts=[], ehlo=PIPE + ["PRDR"], **{"not": [r" PRDR$"]}),
    dict(name="returnpath", opts="return_path = bounces-$local_part@sender.test", want=[r"MAIL FROM:<bounces-x@sender.test>"]),
    # ---- logging in ----
    dict(name="requireauth", opts="hosts_require_auth = *", ehlo=["AUTH PLAIN LOGIN"], want=[r"^< AUTH PLAIN AG1lAHNlY3JldA=="], log=[r" A=plain "]),
    dict(name="authlogin", opts="hosts_try_auth = *", ehlo=["AUTH LOGIN"], want=[r"^< AUTH LOGIN$", r"^< bWU=$", r"^< c2VjcmV0$"], log=[" A=login "]),
    dict(name="authcram", opts="hosts_try_auth = *",  # client_name and client_secret of RFC 2195's example
         ehlo=["AUTH CRAM-MD5"], log=[" A=cram "],
         want=[r"^< AUTH CRAM-MD5$", r"^< dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw$"]),
    dict(name="authexternal", opts="hosts_try_auth = *",  # client_send
         ehlo=["AUTH EXTERNAL"], want=[r"^< AUTH EXTERNAL d2hv$"], log=[" A=external "]),
    # It lets us in without having shown that it knows the password.
    dict(name="authunproved", opts="hosts_try_auth = *", ehlo=["AUTH SCRAM-SHA-256"], want=[r"^< AUTH SCRAM-SHA-256 biws"], **{"not": ["MAIL"]},
         not_log=["=>"], log=[r"== .*scram: the server did not prove that it knows the password"]),
    dict(name="authmissing", opts="hosts_require_auth = *", not_log=[" => "], log=[r"== .*authentication required but"], **{"not": ["MAIL"]}),
    dict(name="authnotasked", opts=[], ehlo=["AUTH PLAIN"], **{"not": ["AUTH"]}, log=[" => "]),
    dict(name="authrefused", opts="hosts_try_auth = *", ehlo=["AUTH PLAIN"], rules=[("AUTH", "535 no")], log=[" => x@"], not_log=[" A="]),
    dict(name="authsender", opts=["hosts_try_auth = *", "authenticated_sender = $local_part+x@$domain"], ehlo=["AUTH PLAIN"],
         want=[r"MAIL FROM:<s@sender.test> AUTH=x\+2[Bb]x@authsender.test"]),
    dict(name="authsendernot", opts="authenticated_sender = x@y.test", ehlo=["AUTH PLAIN"], **{"not": ["AUTH="]}),
    dict(name="authforce", opts=["authenticated_sender = x@y.test", "authenticated_sender_force"], want=[r"MAIL .* AUTH=x@y.test"]),
    # ---- the protocol ----
    dict(name="lmtp", opts="protocol = lmtp", lmtp=True, send=[("s@sender.test", "a", "b")], want=[r"^< LHLO "],
         log=["=> a@", "-> b@"], ehlo=["IGNOREQUOTA"], **{"not": [" IGNOREQUOTA"]}),
    dict(name="lmtpquota", opts=["protocol = lmtp", "lmtp_ignore_quota"], lmtp=True, ehlo=["IGNOREQUOTA"], want=[r"^< RCPT TO:<x@.*> IGNOREQUOTA"]),
    dict(name="lmtpnoquota", opts=["protocol = lmtp", "lmtp_ignore_quota"], lmtp=True, **{"not": ["IGNOREQUOTA"]}, log=["=> x@"]),
    dict(name="smtps", opts="protocol = smtps", on_connect=True, tls={}, want=[r"\[tls cipher", "MAIL"], log=[r" X=TLS1"]),
    dict(name="portname", opts="port = ${if eq{$domain}{portname.test}{%P}{1}}", log=["=> x@"]),
    dict(name="portunknown", opts="port = nosuchservice", not_log=["=>"], log=["== x@"]),
    dict(name="interface", opts="interface = <; ::1 ; 127.0.0.9", want=[r"from 127.0.0.9\]"]),
    dict(name="interfacenone", opts="interface = ${if eq{1}{2}{x}fail}", want=[r"from 127.0.0.1\]"]),
    dict(name="sockets", opts=["keepalive = false", "dscp = ef", "hosts_try_fastopen = *"], log=["=> x@"]),
    # ---- how many ----
    dict(name="maxrcpt", opts="max_rcpt = 2", ehlo=PIPE, send=[("s@sender.test", "a", "b", "c", "d", "e")], count={"^< MAIL": 3, "^< RCPT": 5}),
    dict(name="multidomain", opts=[], domains=["a.", "b."], send=[("s@sender.test", "x@a.", "x@b.")], count={"^< MAIL": 1}),
    dict(name="onedomain", opts="multi_domain = false", domains=["a.", "b."], send=[("s@sender.test", "x@a.", "x@b.")], count={"^< MAIL": 2}),
    dict(name="onemessage", opts="connection_max_messages = 1", modes=("box",), send=[("s@sender.test", "x")] * 3, count={r"^\[connect": 3}),
    dict(name="fewmessages", opts=[], modes=("box",), send=[("s@sender.test", "x")] * 6, count={r"^< MAIL": 6, r"^\[connect": range(1, 6)}),
    dict(name="serialized", opts="serialize_hosts = 127.0.0.0/8", modes=("box",), rules=[("EHLO", "wait 0.2|250 mx")],
         send=[("s@sender.test", "x")] * 5, count={"^< MAIL": 5}, most=1),
    dict(name="parallel", opts="max_parallel = 1", modes=("box",), rules=[("EHLO", "wait 0.2|250 mx")],
         send=[("s@sender.test", "x")] * 5, count={"^< MAIL": 5}, most=1),
    # ---- which host ----
    dict(name="override", router=" driver = manualroute\n route_list = * 127.0.0.3::1\n self = send\n",
         opts=["hosts = 127.0.0.1", "hosts_override"], want=[r"connect 127.0.0.1"], log=[r"=> x@"]),
    dict(name="nooverride", router=" driver = manualroute\n route_list = * 127.0.0.2::%P\n self = send\n", listen=ALL,
         opts=["hosts = 127.0.0.1"], want=[r"connect 127.0.0.2"], **{"not": ["connect 127.0.0.1"]}),
    dict(name="fallback", opts=["hosts = 127.0.0.1 : 127.0.0.2", "fallback_hosts = 127.0.0.3"], listen=ALL,
         busy={"127.0.0.1": "421 no", "127.0.0.2": "421 no"}, want=[r"connect 127.0.0.1", r"connect 127.0.0.2", r"connect 127.0.0.3"],
         log=[r"=> x@.* H=127.0.0.3"]),
    dict(name="fallbacknot", opts=["hosts = 127.0.0.1", "fallback_hosts = 127.0.0.3"], listen=ALL, **{"not": [r"connect 127.0.0.3"]}),
    dict(name="inorder", opts="hosts = 127.0.0.2 : 127.0.0.1", listen=ALL, send=[("s@sender.test", "x")] * 4, **{"not": [r"connect 127.0.0.1"]}),
    dict(name="randomize", opts=["hosts = 127.0.0.1 : 127.0.0.2 : + : 127.0.0.3", "hosts_randomize"], listen=ALL, modes=("one",),
         send=[("s@sender.test", "x")] * 14, want=[r"connect 127.0.0.1", r"connect 127.0.0.2"], **{"not": [r"connect 127.0.0.3"]}),
    dict(name="maxtry", opts=["hosts = 127.0.0.1 : 127.0.0.2 : 127.0.0.3", "hosts_max_try = 2"], listen=ALL, log=["== x@"],
         busy={a: "421 no" for a in ALL}, count={r"^\[connect": 2}),
    dict(name="hardlimit", opts=["hosts = 127.0.0.1 : 127.0.0.2 : 127.0.0.3", "hosts_max_try_hardlimit = 1"], listen=ALL,
         busy={a: "421 no" for a in ALL}, count={r"^\[connect": 1}),
    dict(name="ourselves", opts="allow_localhost = false", no_allow=True, log=[r"== x@.*found host 127.0.0.1 to be local"], **{"not": ["connect"]}),
    dict(name="byname", opts=["hosts = localhost", "gethostbyname"], log=[r"=> x@.* H=localhost \[(127.0.0.1|::1)\]"]),
    # ---- hosts that have failed for long: the third message is not even tried, or is ----
    dict(name="aftercutoff", opts=[], modes=("one",), busy={"127.0.0.1": "421 no"}, retry="* * F,5s,5s\n", count={r"^\[connect": 2},
         run=["-odi -f s@sender.test x@%D", "sleep 6.1", "-odi -f s@sender.test y@%D", "-odi -f s@sender.test z@%D"],
         log=[r"\*\* z@.*all hosts for 'aftercutoff.test' have been failing for a long time"]),
    dict(name="nodelay", opts="delay_after_cutoff = false", modes=("one",), busy={"127.0.0.1": "421 no"}, retry="* * F,1s,1s\n", count={r"^\[connect": 3},
         run=["-odi -f s@sender.test x@%D", "sleep 2.1", "-odi -f s@sender.test y@%D", "sleep 0.9", "-odi -f s@sender.test z@%D"]),
    # ---- times ----
    dict(name="commandtime", opts="command_timeout = 3s", rules=[("MAIL", "wait 6|250 ok")], log=[r"timeout after MAIL"], not_log=["=>"]),
    dict(name="finaltime", opts="final_timeout = 1s", rules=[("END", "wait 3|250 ok")], log=[r"timeout after end of data"], not_log=["=>"]),
    dict(name="connecttime", opts=["connect_timeout = 1s", "command_timeout = 2s"], full=True, log=[r"== x@|Connection timed out"], not_log=["=>"]),
    # ---- the message ----
    dict(name="headers", opts=["headers_add = X-Added: for $local_part", "headers_remove = subject", "headers_rewrite = s@sender.test new@sender.test f"],
         want=[r"^\| X-Added: for x$", r"^\| From: new@sender.test"], **{"not": [r"Subject:"]}),
    dict(name="bodyonly", opts="body_only", want=[r"^\| body line"], **{"not": [r"From:"]}),
    dict(name="headersonly", opts="headers_only", want=[r"^\| Subject: hello"], **{"not": [r"body line"]}),
    dict(name="envelopeto", opts=["envelope_to_add", "return_path_add", "delivery_date_add"],
         want=[r"^\| Envelope-to: x@", r"^\| Return-path: <s@sender.test>", r"^\| Delivery-date: "]),
    dict(name="filtered", opts="transport_filter = /usr/bin/tr a-z A-Z", want=[r"^\| BODY LINE", r"^\| SUBJECT: HELLO"]),
    dict(name="filterfails", opts="transport_filter = /bin/false", not_log=["=>"], log=[r"== x@.*filter"]),
    dict(name="filterslow", opts=["transport_filter = /bin/sleep 9", "transport_filter_timeout = 1s"], not_log=["=>"], log=[r"== x@"]),
    dict(name="sizelimit", opts="message_size_limit = 100", log=[r"\*\* x@.*message is too big \(transport limit = 100\)"], **{"not": ["MAIL"]}),
    dict(name="linelimit", opts="message_linelength_limit = 50", text=TEXT + "x" * 60 + "\n", log=[r"\*\* x@.*message has lines too long for transport"]),
    dict(name="lineok", opts="message_linelength_limit = 60", text=TEXT + "x" * 60 + "\n", log=[r"=> x@"]),
    # ---- TLS ----
    dict(name="tls", opts=[], tls={}, want=[r"\[tls "], log=[r" X=TLS1.3:\S+ CV=yes DN=\"CN=good.test\""]),
    dict(name="avoidtls", opts="hosts_avoid_tls = *", tls={}, **{"not": ["STARTTLS"]}, log=["=> x@"], not_log=[" X="]),
    dict(name="requiretls", opts="hosts_require_tls = *", log=[r"== x@.*" + NOTLS + " the server did not offer TLS support"], **{"not": ["MAIL"]}),
    dict(name="requirerefused", opts="hosts_require_tls = *", tls={}, rules=[("STARTTLS", "454 not now")],
         log=[r"== x@.*" + NOTLS + " an attempt to start TLS failed"], **{"not": ["MAIL"]}),
    dict(name="tryclear", opts=[], tls={}, rules=[("STARTTLS", "454 not now")], log=["=> x@"], not_log=[" X="]),
    dict(name="notryclear", opts="tls_tempfail_tryclear = false", tls={}, rules=[("STARTTLS", "454 not now")], not_log=["=>"], **{"not": ["MAIL"]}),
    dict(name="verifyfails", opts=["tls_verify_hosts = *", "hosts_require_tls = *"], tls={"cert": "other"}, not_log=["=>"], **{"not": ["MAIL"]}),
    dict(name="verifyclear", opts=["tls_verify_hosts = *"], tls={"cert": "other"}, log=["=> x@", "delivering unencrypted to H=127.0.0.1"], not_log=[" X="], want=[r"^< MAIL"]),
    dict(name="verifynoname", opts=["tls_verify_hosts = *", "tls_verify_cert_hostnames ="], tls={"cert": "other"}, log=[r"=> x@.* CV=yes"]),
    dict(name="tryverify", opts=[], tls={"cert": "other"}, log=[r"=> x@.* CV=no"]),
    dict(name="notverified", opts=["tls_try_verify_hosts = :"], tls={}, log=[r"=> x@.* CV=no"]),
    dict(name="neitherset", opts=["tls_try_verify_hosts =", "hosts_require_tls = *"], tls={"cert": "other"}, not_log=["=>"], **{"not": ["MAIL"]}),
    dict(name="unknownca", opts=["tls_verify_certificates = system"], tls={}, log=[r"=> x@.* CV=no"]),
    dict(name="crl", opts=["tls_crl = %C/crl.pem", "tls_verify_hosts = *", "hosts_require_tls = *"], tls={"cert": "revoked"}, not_log=["=>"]),
    dict(name="nocrl", opts=["tls_verify_hosts = *"], tls={"cert": "revoked"}, log=[r"=> x@.* CV=yes"]),
    dict(name="clientcert", opts=["tls_certificate = %C/client.crt", "tls_privatekey = %C/client.key"], tls={"client": True}, want=[r"client=client.test"]),
    dict(name="clientone", opts=["tls_certificate = %C/client.pem"], tls={"client": True}, want=[r"client=client.test"]),
    dict(name="noclientcert", opts=[], tls={"client": True}, want=[r"client=None"]),
    dict(name="ciphers", opts=["tls_require_ciphers = ECDHE-RSA-AES256-GCM-SHA384"], tls={"max12": True}, want=[r"cipher=ECDHE-RSA-AES256-GCM-SHA384"]),
    dict(name="ciphers2", opts=["tls_require_ciphers = ECDHE-RSA-AES128-GCM-SHA256"], tls={"max12": True}, want=[r"cipher=ECDHE-RSA-AES128-GCM-SHA256"]),
    dict(name="sni", opts="tls_sni = $domain", tls={}, want=[r"\[sni sni.test\]"]),
    dict(name="alpn", opts="tls_alpn = smtp", tls={"alpn": "smtp"}, want=[r"alpn=smtp"]),
    dict(name="alpnneeded", opts=["tls_alpn = smtp", "hosts_require_alpn = *", "hosts_require_tls = *"], tls={}, not_log=["=>"], **{"not": ["MAIL"]}),
    dict(name="resume", opts=["tls_resumption_hosts = *", "connection_max_messages = 1", "serialize_hosts = *"], tls={"max12": True}, modes=("box",),
         send=[("s@sender.test", "x")] * 3, want=[r"resumed=False", r"resumed=True"], count={r"^< MAIL": 3}),
    dict(name="noresume", opts=["connection_max_messages = 1", "serialize_hosts = *"], tls={"max12": True}, modes=("box",),
         send=[("s@sender.test", "x")] * 3, **{"not": ["resumed=True"]}),
    dict(name="dhbits", opts=["tls_dh_min_bits = 3072", "hosts_require_tls = *"], tls={"dh": True, "max12": True}, not_log=["=>"], **{"not": ["MAIL"]}),
    dict(name="dhenough", opts=["tls_dh_min_bits = 2048", "hosts_require_tls = *"], tls={"dh": True, "max12": True}, log=["=> x@"], want=["cipher=DHE-RSA"]),
    dict(name="ocspmissing", opts=["hosts_require_ocsp = *", "hosts_require_tls = *"], tls={}, not_log=["=>"], **{"not": ["MAIL"]}),
    dict(name="ocspasked", opts=OUT, tls={}, want=[r"AUTH=no/0/1//CN\+3Dgood.test"]),
    dict(name="ocspnotasked", opts=OUT + ["hosts_request_ocsp = :", "tls_certificate = %C/client.pem"], tls={"client": True},
         want=[r"AUTH=no/0/0/CN\+3Dclient.test/CN\+3Dgood.test"]),
    dict(name="badcertclear", opts=["tls_certificate = %C/none.pem"], tls={}, log=[r"TLS session: .*delivering unencrypted to H=127.0.0.1", "=> x@"], not_log=[" X="]),
    dict(name="badcert", opts=["tls_certificate = %C/none.pem", "hosts_require_tls = *"], tls={}, not_log=["=>"], log=["== x@"]),
    # ---- DNSSEC and DANE; *.secure.test counts as validated ----
    dict(name="dnssecmark", modes=BOX, opts=["hosts = mx.dnssecmark.secure.test"], zone=["mx.dnssecmark.secure.test A 127.0.0.1"],
         log=[r"=> x@.* H=mx.dnssecmark.secure.test DS \[127.0.0.1\]"]),
    dict(name="dnssecunmarked", modes=BOX, opts=["hosts = mx.dnssecunmarked.test"], zone=["mx.dnssecunmarked.test A 127.0.0.1"],
         log=[r"=> x@.* H=mx.dnssecunmarked.test \[127.0.0.1\]"]),
    dict(name="danegood", modes=BOX, opts=["hosts = mx.danegood.secure.test"] + OUT, tls={"cert": "other"}, log=[r"=> x@.* CV=dane "],
         zone=["mx.danegood.secure.test A 127.0.0.1", "_%P._tcp.mx.danegood.secure.test TLSA 3 1 1 %O"], want=[r"AUTH=yes/8/\d//CN\+3Dother.test"]),
    dict(name="danebad", modes=BOX, opts=["hosts = mx.danebad.secure.test"], tls={}, log=[r"== x@"], not_log=["=>"], **{"not": ["MAIL"]},
         zone=["mx.danebad.secure.test A 127.0.0.1", "_%P._tcp.mx.danebad.secure.test TLSA 3 1 1 %Z"]),
    dict(name="danenotls", modes=BOX, opts=["hosts = mx.danenotls.secure.test"], tls={}, hide_tls=True, log=[r"== x@"], not_log=["=>"], **{"not": ["MAIL"]},
         zone=["mx.danenotls.secure.test A 127.0.0.1", "_%P._tcp.mx.danenotls.secure.test TLSA 3 1 1 %G"]),
    dict(name="daneplain", modes=BOX, opts=["hosts = mx.daneplain.test"] + OUT, tls={"cert": "other"}, log=[r"=> x@.* CV=no "], want=[r"AUTH=no/0/"],
         zone=["mx.daneplain.test A 127.0.0.1", "_%P._tcp.mx.daneplain.test TLSA 3 1 1 %Z"]),
    dict(name="danenottried", modes=BOX, opts=["hosts = mx.danenottried.secure.test", "hosts_try_dane = :"], tls={}, log=[r"=> x@.* CV="],
         zone=["mx.danenottried.secure.test A 127.0.0.1", "_%P._tcp.mx.danenottried.secure.test TLSA 3 1 1 %Z"]),
    dict(name="danenotasked", modes=BOX, opts=["hosts = mx.danenotasked.secure.test", "dnssec_request_domains = !*.secure.test"], tls={}, log=[r"=> x@.* CV="],
         zone=["mx.danenotasked.secure.test A 127.0.0.1", "_%P._tcp.mx.danenotasked.secure.test TLSA 3 1 1 %Z"]),
    dict(name="daneneeded", modes=BOX, opts=["hosts = mx.daneneeded.secure.test", "hosts_require_dane = *"], tls={}, log=[r"== x@.*DANE error: tlsa lookup"],
         not_log=["=>"], **{"not": ["MAIL"]}, zone=["mx.daneneeded.secure.test A 127.0.0.1"]),
    dict(name="daneneededsafe", modes=BOX, opts=["hosts = mx.daneneededsafe.test", "hosts_require_dane = *"], tls={}, log=[r"== x@.*DANE error: mx.daneneededsafe.test lookup not DNSSEC"],
         not_log=["=>"], zone=["mx.daneneededsafe.test A 127.0.0.1", "_%P._tcp.mx.daneneededsafe.test TLSA 3 1 1 %G"]),
    dict(name="danefails", modes=BOX, opts=["hosts = mx.danefails.secure.test"], tls={}, log=[r"== x@.*DANE error: tlsa lookup DEFER"], not_log=["=>"],
         zone=["mx.danefails.secure.test A 127.0.0.1", "fail _%P._tcp.mx.danefails.secure.test"]),
    dict(name="daneciphers", modes=BOX, opts=["hosts = mx.daneciphers.secure.test", "tls_require_ciphers = ECDHE-RSA-AES256-GCM-SHA384",
         "dane_require_tls_ciphers = ECDHE-RSA-AES128-GCM-SHA256"], tls={"max12": True}, want=[r"cipher=ECDHE-RSA-AES128-GCM-SHA256"], log=[r"CV=dane"],
         zone=["mx.daneciphers.secure.test A 127.0.0.1", "_%P._tcp.mx.daneciphers.secure.test TLSA 3 1 1 %G"]),
    dict(name="secneeded", modes=BOX, opts=["hosts = mx.secneeded.test", "dnssec_require_domains = *"], log=[r"== x@.*insecure"], not_log=["=>"],
         zone=["mx.secneeded.test A 127.0.0.1"], **{"not": ["connect"]}),
    dict(name="secneededhas", modes=BOX, opts=["hosts = mx.secneededhas.secure.test", "dnssec_require_domains = *"], log=[r"=> x@"], zone=["mx.secneededhas.secure.test A 127.0.0.1"]),
    # ---- names that are not whole: those of our domain, local.test, and of the ones above it ----
    dict(name="single", modes=BOX, opts="hosts = mxsingle", log=[r"=> x@.* H=mxsingle.local.test \["], zone=["zone mxsingle", "mxsingle.local.test A 127.0.0.1"]),
    dict(name="singlenot", modes=BOX, opts=["hosts = mxsingle", "dns_qualify_single = false"], not_log=["=>"], log=[r"== x@"]),
    dict(name="parents", modes=BOX, opts=["hosts = mxp.sub", "dns_search_parents"], log=[r"=> x@.* H=mxp.sub.test \["], zone=["zone sub", "zone local.test", "mxp.sub.test A 127.0.0.1"]),
    dict(name="parentsnot", modes=BOX, opts=["hosts = mxp.sub"], not_log=["=>"], log=[r"== x@"]),
    # ---- sessions, connections ----
    dict(name="nameextract", modes=BOX, opts=["hosts = ${if eq{$local_part}{a}{127.0.0.1}{${if eq{$local_part}{b}{127.0.0.2}{127.0.0.3}}}}", "tls_resumption_hosts = *",
         "host_name_extract = ${if match{$item}{\\N(?m)^250.NAME (\\S+)\\N}{$1}}", "max_parallel = 1"], listen=ALL, ehlo=["NAME lb.test"], tls={"max12": True},
         send=[("s@sender.test", "a"), ("s@sender.test", "b"), ("s@sender.test", "c")], want=[r"resumed=True"]),
    dict(name="namesapart", modes=BOX, opts=["hosts = ${if eq{$local_part}{a}{127.0.0.1}{${if eq{$local_part}{b}{127.0.0.2}{127.0.0.3}}}}", "tls_resumption_hosts = *",
         "max_parallel = 1"], listen=ALL, ehlo=["NAME lb.test"], tls={"max12": True}, send=[("s@sender.test", "a"), ("s@sender.test", "b"), ("s@sender.test", "c")],
         **{"not": [r"resumed=True"]}),
    dict(name="passtls", modes=BOX, opts=[], pause=0.4, tls={}, send=[("s@sender.test", "x")] * 3,
         count={r"^\[connect": range(1, 3), "^< MAIL": 3}),
    dict(name="nopasstls", modes=BOX, opts=["hosts_nopass_tls = *"], pause=0.4, tls={}, send=[("s@sender.test", "x")] * 3,
         count={r"^\[connect": 3, "^< MAIL": 3}),
    dict(name="noproxytls", modes=BOX, opts=["hosts_noproxy_tls = *"], pause=0.4, tls={}, send=[("s@sender.test", "x")] * 3,
         count={r"^\[connect": 3, "^< MAIL": 3}),
    dict(name="pipeconnect", modes=BOX, opts=["hosts_pipe_connect = *", "connection_max_messages = 1", "max_parallel = 1"], ehlo=["PIPELINING", "PIPECONNECT"], early=True,
         send=[("s@sender.test", "x")] * 3, count={r"^\[before the greeting": 2, "^< MAIL": 3}),
    dict(name="pipeconnectnot", modes=BOX, opts=["connection_max_messages = 1", "max_parallel = 1"], ehlo=["PIPELINING", "PIPECONNECT"], early=True,
         send=[("s@sender.test", "x")] * 2, count={r"^\[before the greeting": 0, "^< MAIL": 2}),
    dict(name="retryip", modes=("one",), opts="retry_include_ip_address = ${if eq{$local_part}{x}{true}{false}}", busy={"127.0.0.1": "421 no"}, count={r"^\[connect": 2},
         run=["-odi -f s@sender.test x@%D", "-odi -f s@sender.test y@%D", "-odi -f s@sender.test z@%D"]),
    dict(name="retryipsame", modes=("one",), opts=[], busy={"127.0.0.1": "421 no"}, count={r"^\[connect": 1},
         run=["-odi -f s@sender.test x@%D", "-odi -f s@sender.test y@%D", "-odi -f s@sender.test z@%D"]),
    dict(name="socketef", opts=["dscp = ef", "keepalive"], sockets=True, want=[r"tos:0xb8", r"timer:\(keepalive"]),
    dict(name="socketplain", opts=["keepalive = false"], sockets=True, want=[r"tos:0 "], **{"not": [r"timer:\(keepalive"]}),
    # ---- through a proxy ----
    dict(name="socks", opts=["hosts = 192.0.2.55", "port = 4025", "socks_proxy = 127.0.0.1 port=%P"], socks={},
         want=[r"^\[socks 00 05010001 192.0.2.55:4025\]", "MAIL"], log=[r"=> x@.* H=192.0.2.55 \[192.0.2.55\]:4025 PRX=\[127.0.0.1\]:\d+ "]),
    dict(name="sockslogin", opts=["hosts = 192.0.2.55", "socks_proxy = 127.0.0.1 auth=name name=joe pass=secret port=%P tmo=3"], socks={"login": ["joe", "secret"]},
         want=[r"^\[login joe secret\]", r"^\[socks 02 ", "MAIL"], log=["=> x@"]),
    dict(name="sockswrong", opts=["hosts = 192.0.2.55", "socks_proxy = 127.0.0.1 auth=name name=joe pass=wrong port=%P"], socks={"login": ["joe", "secret"]},
         log=[r"== x@.*the proxy refuses name and password"], **{"not": ["MAIL"]}),
    dict(name="socksrefuses", opts=["hosts = 192.0.2.55", "socks_proxy = 127.0.0.1 port=%P"], socks={"code": 5}, log=[r"== x@.*the proxy says: connection refused"], **{"not": ["MAIL"]}),
    dict(name="socksmethod", opts=["hosts = 192.0.2.55", "socks_proxy = 127.0.0.1 port=%P"], socks={"deny": True}, log=[r"== x@.*the proxy does not take"], **{"not": ["MAIL"]}),
    dict(name="sockssecond", opts=["hosts = 192.0.2.55", "socks_proxy = 127.0.0.1 port=1 pri=5 : 127.0.0.1 port=%P pri=2"], socks={}, want=["MAIL"], log=["=> x@"]),
    dict(name="socksnot", opts=["socks_proxy = ${if eq{1}{2}{127.0.0.9}fail}"], log=["=> x@"]),
    dict(name="socksbad", opts=["socks_proxy = 127.0.0.1 colour=red"], log=[r"== x@.*socks_proxy: option \"colour\""], not_log=["=>"]),
    # ---- callouts, UTF-8 ----
    dict(name="callouttls", modes=("one",), opts=[], tls={}, main=CALLOUT, text=ASK.replace("%N", "callouttls"), run=["-bs -oMa 127.0.0.2.1"], want=[r"^< STARTTLS", r"^< RCPT TO:<x@"]),
    dict(name="calloutclear", modes=("one",), opts="hosts_verify_avoid_tls = 127.0.0.1", tls={}, main=CALLOUT, text=ASK.replace("%N", "calloutclear"),
         run=["-bs -oMa 127.0.0.2.1"], want=[r"^< RCPT TO:<x@"], **{"not": ["STARTTLS"]}),
    dict(name="downconvert", modes=("one",), opts="utf8_downconvert = 1", ehlo=["SMTPUTF8", "8BITMIME"], main=UTF8, text=UMAIL.replace("%N", "downconvert"),
         run=["-odi -bs -oMa 127.0.0.2.1"], want=[r"RCPT TO:<xn--jrgen-kva@downconvert.test>"], **{"not": ["SMTPUTF8$"]}),
    dict(name="downneeded", modes=("one",), opts="utf8_downconvert = -1", main=UTF8, text=UMAIL.replace("%N", "downneeded"), run=["-odi -bs -oMa 127.0.0.2.1"],
         want=[r"RCPT TO:<xn--jrgen-kva@downneeded.test>"]),
    dict(name="downnot", modes=("one",), opts="utf8_downconvert = -1", ehlo=["SMTPUTF8", "8BITMIME"], main=UTF8, text=UMAIL.replace("%N", "downnot"),
         run=["-odi -bs -oMa 127.0.0.2.1"], want=[r"^< MAIL .* SMTPUTF8", r"RCPT TO:<j\xc3\xbcrgen@downnot.test>"]),
    # control = utf8_downconvert counts where the option is empty.
    dict(name="downcontrol", modes=("one",), opts="utf8_downconvert =", ehlo=["SMTPUTF8", "8BITMIME"], main=DOWN(""), text=UMAIL.replace("%N", "downcontrol"),
         run=["-odi -bs -oMa 127.0.0.2.1"], want=[r"RCPT TO:<xn--jrgen-kva@downcontrol.test>"], log=[r"=> xn--jrgen-kva@downcontrol.test <j.*rgen@downcontrol.test>"],
         **{"not": ["SMTPUTF8$"]}),
    dict(name="downcontrolmaybe", modes=("one",), opts="utf8_downconvert =", main=DOWN("/-1"), text=UMAIL.replace("%N", "downcontrolmaybe"),
         run=["-odi -bs -oMa 127.0.0.2.1"], want=[r"RCPT TO:<xn--jrgen-kva@downcontrolmaybe.test>"]),
    dict(name="downcontrolneedless", modes=("one",), opts="utf8_downconvert =", ehlo=["SMTPUTF8", "8BITMIME"], main=DOWN("/-1"),
         text=UMAIL.replace("%N", "downcontrolneedless"), run=["-odi -bs -oMa 127.0.0.2.1"], want=[r"^< MAIL .* SMTPUTF8"]),
    dict(name="downcontrolnot", modes=("one",), opts="utf8_downconvert =", main=DOWN("/0"), text=UMAIL.replace("%N", "downcontrolnot"),
         run=["-odi -bs -oMa 127.0.0.2.1"], log=[r"\*\* .*utf8 support required but not offered for forwarding"], **{"not": ["MAIL"]}),
    dict(name="downcontrolover", modes=("one",), opts="utf8_downconvert = 0", main=DOWN("/1"), text=UMAIL.replace("%N", "downcontrolover"),
         run=["-odi -bs -oMa 127.0.0.2.1"], log=[r"\*\* .*utf8 support required"], **{"not": ["MAIL"]}),
    # A message that waited keeps it.
    dict(name="downcontrolqueue", modes=("one",), opts="utf8_downconvert =", ehlo=["SMTPUTF8", "8BITMIME"], main=DOWN(""),
         text=UMAIL.replace("%N", "downcontrolqueue"), run=["-odq -bs -oMa 127.0.0.2.1", "-q"], want=[r"RCPT TO:<xn--jrgen-kva@downcontrolqueue.test>"]),
]
