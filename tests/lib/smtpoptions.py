#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Options of smtp transports, each by what another host sees of it and what the log says (tests/lib/smtpcases.py has the table).

smtpoptions.py one SENDMAIL [CASE...]       each case by one process that receives and delivers
smtpoptions.py serve DIR                    the hosts; DIR/routers, DIR/transports, DIR/auth are parts of a box's configuration
smtpoptions.py box DIR BOX [CASE...]        send the messages of all cases to the box whose sendmail is in PATH, and look
"""
import hashlib, os, re, select, shutil, socket, ssl, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from smtpcases import AUTH, CASES, DH, HEAD, TEXT

ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


def certificates(d):
    """An authority, hosts' certificates (good, of another name, revoked), a client's, a revocation list, statuses of the good one."""
    def run(*args):
        subprocess.run(args, check=True, cwd=d, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if os.path.exists(d + "/good.status"):
        return
    os.makedirs(d + "/newcerts", exist_ok=True)
    open(d + "/events", "w").write("accept logwrite = EV $event_name <$event_data> $event_defer_errno H=$host_address "
                                   "L=$local_part D=$domain X=${substr{0}{3}{$tls_out_cipher}} I=$sending_ip_address\n")
    open(d + "/index", "w").close()
    open(d + "/index.attr", "w").write("unique_subject = no\n")
    open(d + "/serial", "w").write("1000\n")
    open(d + "/crlnumber", "w").write("01\n")
    open(d + "/ca.conf", "w").write(f"""[ca]
default_ca = x
[x]
database = {d}/index
serial = {d}/serial
crlnumber = {d}/crlnumber
new_certs_dir = {d}/newcerts
certificate = {d}/ca.pem
private_key = {d}/ca.key
default_md = sha256
default_days = 2
default_crl_days = 2
policy = p
[p]
commonName = supplied
[good]
subjectAltName = IP:127.0.0.1,IP:127.0.0.2,DNS:mx.tls.test,DNS:localhost
[other]
subjectAltName = DNS:other.test
[client]
subjectAltName = DNS:client.test
[none]
""")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name, ext in (("good", "good"), ("other", "other"), ("revoked", "good"), ("client", "client")):
        run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}.test", "-keyout", name + ".key", "-out", name + ".csr")
        run("openssl", "ca", "-batch", "-config", "ca.conf", "-extensions", ext, "-in", name + ".csr", "-out", name + ".crt", "-notext")
        open(f"{d}/{name}.pem", "w").write(open(f"{d}/{name}.crt").read() + open(f"{d}/{name}.key").read())
        os.chmod(f"{d}/{name}.key", 0o600)
        os.chmod(f"{d}/{name}.pem", 0o600)
    run("openssl", "ca", "-config", "ca.conf", "-revoke", "revoked.crt")
    run("openssl", "ca", "-config", "ca.conf", "-gencrl", "-out", "crl.pem")
    run("openssl", "ocsp", "-index", "index", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "ca.key", "-issuer", "ca.pem",
        "-cert", "good.crt", "-ndays", "1", "-respout", "good.status", "-no_nonce")


class Host:
    """One host on some loopback addresses, which plays the case's part; what it hears is in <log>."""
    def __init__(self, case, certs):
        self.case, self.certs, self.log, self.lock = case, certs, [], threading.Lock()
        self.now = self.most = self.busy = 0
        self.contexts = {}
        self.backlog = []
        listen = case.get("listen", ["127.0.0.1"])
        for _ in range(50):
            try:
                self.port, self.socks = 0, []
                for a in listen or ["127.0.0.1"]:
                    s = socket.socket()
                    s.bind((a, self.port))
                    self.port = s.getsockname()[1]
                    self.socks.append((a, s))
                break
            except OSError:
                continue
        for a, s in self.socks:
            if case.get("full"):
                s.listen(0)
                # Further connections get no answer.
                for _ in range(3):
                    c = socket.socket()
                    c.setblocking(False)
                    c.connect_ex((a, self.port))
                    self.backlog.append(c)
            elif listen:
                s.listen(50)
                threading.Thread(target=self.serve, args=(a, s), daemon=True).start()

    def note(self, text):
        with self.lock:
            self.log.append(text)

    def serve(self, a, s):
        while True:
            c, peer = s.accept()
            self.is_busy(1)
            threading.Thread(target=self.hear, args=(a, c, peer), daemon=True).start()

    def is_busy(self, n):
        with self.lock:
            self.busy += n

    def settle(self):
        """Who has left is heard to the end."""
        end = time.time() + 20
        time.sleep(0.05)
        while self.busy > 0 and time.time() < end:
            time.sleep(0.01)

    def proxied(self, c):
        """A SOCKS proxy of our own in front: what it is asked for is noted, and then it is the host."""
        def get(n):
            b = b""
            while len(b) < n:
                got = c.recv(n - len(b))
                if not got:
                    raise EOFError
                b += got
            return b
        want = self.case["socks"]
        n = get(2)[1]
        methods = get(n)
        if want.get("deny"):
            c.sendall(b"\x05\xff")
            raise EOFError
        c.sendall(b"\x05" + (b"\x02" if want.get("login") else b"\x00"))
        if want.get("login"):
            name = get(get(2)[1])
            password = get(get(1)[0])
            self.note(f"[login {name.decode()} {password.decode()}]")
            c.sendall(b"\x01" + (b"\x00" if [name.decode(), password.decode()] == want["login"] else b"\x01"))
        r = get(10)
        self.note(f"[socks {methods.hex()} {r[:4].hex()} {socket.inet_ntoa(r[4:8])}:{int.from_bytes(r[8:], 'big')}]")
        c.sendall(bytes([5, want.get("code", 0), 0, 1]) + socket.inet_aton("192.0.2.200") + b"\x12\x34")

    def hear(self, a, c, peer):
        # Whoever left just now is heard first.
        time.sleep(0.05)
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            self.note(f"[connect {a} from {peer[0]}]")
            if "socks" in self.case:
                self.proxied(c)
            self.talk(a, c)
        except (OSError, ssl.SSLError, EOFError) as e:
            self.note(f"[broken {type(e).__name__}]")
        finally:
            with self.lock:
                self.now -= 1
                self.busy -= 1
            c.close()

    def context(self):
        t = self.case.get("tls", {})
        if "ctx" not in self.contexts:
            x = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            x.load_cert_chain(f"{self.certs}/{t.get('cert', 'good')}.pem")
            if t.get("client"):
                x.verify_mode = ssl.CERT_OPTIONAL
                x.load_verify_locations(self.certs + "/ca.pem")
            if t.get("alpn"):
                x.set_alpn_protocols([t["alpn"]])
            if t.get("dh"):
                open(self.certs + "/dh.pem", "w").write(DH)
                x.set_ciphers("DHE-RSA-AES256-GCM-SHA384:@SECLEVEL=0")
                x.load_dh_params(self.certs + "/dh.pem")
            if t.get("max12"):
                x.maximum_version = ssl.TLSVersion.TLSv1_2
            x.sni_callback = lambda sock, name, ctx: self.note(f"[sni {name}]")
            self.contexts["ctx"] = x
        return self.contexts["ctx"]

    def tls(self, c):
        s = self.context().wrap_socket(c, server_side=True)
        subject = dict(x[0] for x in (s.getpeercert() or {}).get("subject", ())).get("commonName")
        self.note(f"[tls cipher={s.cipher()[0]} client={subject} alpn={s.selected_alpn_protocol()} resumed={s.session_reused}]")
        return s

    def rule(self, line, a):
        for prefix, reply in self.case.get("at", {}).get(a, []) + self.case.get("rules", []):
            if line.upper().startswith(prefix.upper()):
                return reply
        return None

    def talk(self, a, c):
        buf, rcpts, secure, refused = b"", [], False, self.case.get("busy", {})
        case = self.case

        def say(text):
            for part in text.split("|"):
                if part == "drop":
                    raise EOFError
                if part.startswith("wait "):
                    self.is_busy(-1)
                    time.sleep(float(part[5:]))
                    self.is_busy(1)
                else:
                    c.sendall(part.encode() + b"\r\n")

        def line():
            nonlocal buf
            while b"\n" not in buf:
                got = c.recv(65536)
                if not got:
                    raise EOFError
                buf += got
            one, buf = buf.split(b"\n", 1)
            return one.decode("latin-1").rstrip("\r")
        if case.get("on_connect"):
            c = self.tls(c)
            secure = True
        if case.get("early"):
            # Does it speak before it is greeted?
            time.sleep(0.2)
            if select.select([c], [], [], 0)[0]:
                self.note("[before the greeting]")
        if case.get("sockets"):
            self.note("[socket " + subprocess.run(["ss", "-Htno", "--tos", "dport", "=", f":{self.port}"], capture_output=True, text=True, check=False).stdout + "]")
        say(refused.get(a) or self.rule("BANNER", a) or "220 mx.test ready")
        while True:
            s = line()
            u = s.upper()
            reply = self.rule(s, a)
            self.note("< " + s + (" [more]" if buf else ""))
            if u.startswith("QUIT"):
                say("221 bye")
                return
            if reply is not None:
                say(reply)
                if u.startswith("RCPT") and reply[0] == "2":
                    rcpts.append(s[s.find("<") + 1:s.find(">")])
            elif u.startswith(("EHLO", "LHLO")):
                words = ["mx.test"] + case.get("ehlo", []) + (["STARTTLS"] if "tls" in case and not secure and not case.get("hide_tls") else [])
                say("|".join(f"250{'-' if i + 1 < len(words) else ' '}{w}" for i, w in enumerate(words)))
            elif u == "STARTTLS":
                say("220 go on")
                c, secure, buf = self.tls(c), True, b""
            elif u.startswith("MAIL"):
                rcpts = []
                say("250 ok")
            elif u.startswith("RCPT"):
                rcpts.append(s[s.find("<") + 1:s.find(">")])
                say("250 ok")
            elif u.startswith("DATA"):
                say("354 go on")
                while True:
                    t = line()
                    if t == ".":
                        break
                    self.note("| " + t)
                self.end(say, rcpts, a)
            elif u.startswith("BDAT"):
                n = int(u.split()[1])
                while len(buf) < n:
                    buf += c.recv(65536)
                for t in buf[:n].decode("latin-1").split("\r\n"):
                    self.note("| " + t)
                buf = buf[n:]
                self.end(say, rcpts, a)
            elif u.startswith("AUTH"):
                self.auth(u.split()[1], s, say, line)
            else:
                say("250 ok")

    def end(self, say, rcpts, a):
        reply = self.rule("END", a)
        if reply is not None:
            say(reply)
        elif self.case.get("lmtp"):
            for a in rcpts:
                say(f"250 stored for {a}")
        else:
            say("250 stored")

    def auth(self, how, s, say, line):
        if how == "CRAM-MD5":
            say("334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+")
            self.note("< " + line())
        elif how == "LOGIN":
            for word in ("VXNlcm5hbWU6", "UGFzc3dvcmQ6"):
                say("334 " + word)
                self.note("< " + line())
        say("235 in")


def digest(t, name):
    """Of the key of a certificate, as TLSA 3 1 1 has it."""
    spki = subprocess.run(["openssl", "pkey", "-pubout", "-outform", "DER", "-in", f"{t}/{name}.key"], capture_output=True, check=True).stdout
    return hashlib.sha256(spki).hexdigest()


def config(case, host, kind, t):
    """Router and transport of a case."""
    n = case["name"]
    fill = lambda s: s.replace("%P", str(host.port)).replace("%C", t)
    domains = " : ".join(f"{d}{n}.test" for d in case.get("domains", [""]))
    if "router" in case:
        router = fill(case["router"])
    else:
        router = " driver = accept\n"
    r = f"c_{n}:\n domains = {domains}\n{router} transport = c_{n}\n no_more\n"
    opts = case["opts"] if isinstance(case["opts"], list) else [case["opts"]]
    own = "" if "router" in case and "route" in case["router"] else " hosts = 127.0.0.1\n" if not any(re.match("hosts *=", o) for o in opts) else ""
    x = f"c_{n}:\n driver = smtp\n" + own + ("" if any(re.match("port *=", o) for o in opts) else f" port = {host.port}\n")
    if not case.get("no_allow"):
        x += " allow_localhost\n"
    if "tls" in case and not any("tls_verify_certificates" in o for o in opts):
        x += f" tls_verify_certificates = {t}/ca.pem\n"
    return r, x + "".join(f" {fill(o)}\n" for o in opts)


def judge(case, host, log, mode):
    """What is wrong; empty: nothing."""
    heard = "\n".join(host.log)
    bad = []
    for want in case.get("want", []):
        if not re.search(want, heard, re.M):
            bad.append(f"the host did not hear /{want}/")
    for hate in case.get("not", []):
        if re.search(hate, heard, re.M):
            bad.append(f"the host heard /{hate}/")
    for want in case.get("log", []) + case.get(mode + "_log", []):
        if not re.search(want, log, re.M):
            bad.append(f"the log lacks /{want}/")
    for hate in case.get("not_log", []):
        if re.search(hate, log, re.M):
            bad.append(f"the log has /{hate}/")
    for text, n in case.get("count", {}).items():
        got = len(re.findall(text, heard, re.M))
        if not (got in n if isinstance(n, range) else got == n):
            bad.append(f"/{text}/ was heard {got} times, not {n}")
    if "most" in case and host.most > case["most"]:
        bad.append(f"{host.most} connections at a time")
    return bad


def report(case, bad, host, log):
    print(f"case {case['name']}: " + "; ".join(bad))
    print("  heard:\n    " + "\n    ".join(host.log[:40]) + "\n  log:\n    " + log.replace("\n", "\n    "))


def messages(case):
    n = case["name"]
    return [(m[0], [a + f"@{n}.test" if "@" not in a else a + f"{n}.test" if a.endswith(".") else a for a in m[1:]])
            for m in case.get("send", [("s@sender.test", "x")])]


def one(sendmail, case, top):
    w = tempfile.mkdtemp(prefix="c-", dir=top)
    host = Host(case, top + "/certs")
    os.mkdir(w + "/log")
    os.mkdir(w + "/spool")
    if os.getuid() == 0:
        for d in (w, w + "/log", w + "/spool"):
            os.chmod(d, 0o777)
    r, x = config(case, host, "one", top + "/certs")
    conf = w + "/conf"
    user = os.environ.get("AS_USER") or subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    group = os.environ.get("AS_GROUP") or subprocess.run(["id", "-gn"], capture_output=True, text=True, check=True).stdout.strip()
    open(conf, "w").write(HEAD.replace("%W", w).replace("%U", user).replace("%G", group) + os.environ.get("MAIN", "") + "\n" +
                          "".join(f"{m}\n" for m in case.get("main", [])) +
                          f"begin routers\n{r}begin transports\n{x}begin retry\n" + case.get("retry", "* * F,2h,15m; G,16h,1h,1.5; F,4d,6h\n") +
                          "begin authenticators\n" + AUTH)
    text = case.get("text", TEXT)
    for step in case.get("run") or [None]:
        if step is None:
            for sender, to in messages(case):
                subprocess.run([sendmail, "-C", conf, "-odi", "-f", sender, *to], input=text.encode("latin-1"), check=False, timeout=60,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        else:
            step = step.replace("%D", case["name"] + ".test")
            if step.startswith("sleep "):
                time.sleep(float(step[6:]))
                continue
            subprocess.run([sendmail, "-C", conf, *step.split()], input=text.encode("latin-1"), check=False, timeout=60,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    host.settle()
    log = open(w + "/log/mainlog").read() if os.path.exists(w + "/log/mainlog") else ""
    if os.path.exists(w + "/log/paniclog"):
        log += "PANIC\n" + open(w + "/log/paniclog").read()
    bad = judge(case, host, log, "one")
    if bad:
        report(case, bad, host, log)
    return not bad


def chosen(mode, names):
    return [c for c in CASES if mode in c.get("modes", ("one", "box")) and (not names or c["name"] in names)]


def main_one(sendmail, names):
    top = tempfile.mkdtemp(prefix="vpost-smtp-")
    os.chmod(top, 0o755)
    certificates(top + "/certs")
    cases = chosen("one", names)
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(4) as pool:
        good = list(pool.map(lambda c: one(sendmail, c, top), cases))
    shutil.rmtree(top)
    print(f"{len(good)} cases, {good.count(False)} bad")
    return not all(good)


def serve(d):
    certificates(d + "/certs")
    hosts = {c["name"]: Host(c, d + "/certs") for c in chosen("box", [])}
    parts = [config(c, hosts[c["name"]], "box", d + "/certs") for c in chosen("box", [])]
    good, other = digest(d + "/certs", "good"), digest(d + "/certs", "other")
    open(d + "/zone", "w").write("".join(z.replace("%P", str(hosts[c["name"]].port)).replace("%G", good).replace("%O", other).replace("%Z", "00" * 32) + "\n"
                                         for c in chosen("box", []) for z in c.get("zone", [])))
    for name, text in (("routers", "".join(p[0] for p in parts)), ("transports", "".join(p[1] for p in parts)), ("auth", AUTH)):
        open(f"{d}/{name}", "w").write(text)
    print("ready", flush=True)
    # What was heard goes out on demand.
    while select.select([sys.stdin], [], [])[0] and sys.stdin.readline():
        for n, h in hosts.items():
            open(f"{d}/heard.{n}", "w").write(f"{h.most}\n" + "\n".join(h.log))
        print("written", flush=True)


class Heard:
    def __init__(self, path):
        most, self.log = open(path).read().split("\n", 1)
        self.most, self.log = int(most), self.log.split("\n")


def main_box(d, box, names):
    cases, ids, server = chosen("box", names), {}, None
    server = subprocess.Popen([sys.executable, __file__, "serve", d], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    yield_to_shell(d)
    for c in cases:
        ids[c["name"]] = set()
        for sender, to in messages(c):
            subprocess.run(["sendmail", "-f", sender, *to], input=c.get("text", TEXT).encode("latin-1"), check=True, timeout=60)
            time.sleep(c.get("pause", 0))
    path, waited = box + "/var/log/mainlog", 0
    while True:
        log = open(path).read()
        said = re.findall(r"(?m)^\S+ \S+ (\S+) <= .*", log)
        open_ids = [i for i in said if not re.search(rf"(?m) {i} (Completed|==|Frozen)", log)]
        if len(said) >= sum(len(messages(c)) for c in cases) and not open_ids or waited > 900:
            break
        time.sleep(0.1)
        waited += 1
    time.sleep(1.2)
    server.stdin.write("x\n")
    server.stdin.flush()
    server.stdout.readline()
    server.kill()
    log, bad = open(path).read(), 0
    for c in cases:
        mine = [i for i in re.findall(r"(?m)^\S+ \S+ (\S+-\S+-\S+) ", log) if re.search(rf"(?m) {i} .*[@.]{c['name']}\.test", log)]
        lines = "\n".join(x for x in log.split("\n") if any(i in x for i in mine))
        h = Heard(f"{d}/heard.{c['name']}")
        wrong = judge(c, h, lines, "box")
        if wrong:
            report(c, wrong, h, lines)
        bad += bool(wrong)
    print(f"{len(cases)} cases, {bad} bad")
    return bad > 0


def yield_to_shell(d):
    """The shell makes the box's configuration of the parts and starts it, then makes DIR/go."""
    open(d + "/prepared", "w").close()
    while not os.path.exists(d + "/go"):
        time.sleep(0.1)


if __name__ == "__main__":
    if sys.argv[1] == "one":
        sys.exit(main_one(sys.argv[2], sys.argv[3:]))
    elif sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(main_box(sys.argv[2], sys.argv[3], sys.argv[4:]))
