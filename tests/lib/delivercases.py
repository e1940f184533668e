#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""delivercases.py SENDMAIL FILE...: messages delivered by one process under a configuration of their own.

A file holds cases: "@case NAME", "@conf" (the configuration, behind what all have and it does not set itself; "%std" stands for
routers and transports that many share), "@stdin" (the message), "@run" (a command line a line, "!" in front: a shell's), "@answer": what the commands
say, the logs and the files that are there afterwards.  In all of them %W is the case's own directory, %U and %G who
runs it, %P the port of a receiver that refuses rej*@, defers def*@, and fails the content for data5*@ and datadef*@, and knows DSN
for clients with "dsn" in their names.
What changes from run to run is replaced before it is compared.  With --print the answers are printed instead.
"""
import difflib, grp, multiprocessing, os, pwd, re, shutil, socket, subprocess, sys, tempfile, threading

HEAD = """primary_hostname = mail.local.test
spool_directory = %W/spool
log_file_path = %W/log/%slog
exim_user = %U
exim_group = %G
keep_environment =
add_environment = PATH=/usr/bin:/bin
pipelining_connect_advertise_hosts =
tls_advertise_hosts =
remote_max_parallel = 1
trusted_users = %U
queue_list_requires_admin = false
prod_requires_admin = false
"""
STD = """begin routers
sink:
 driver = manualroute
 domains = sink.test
 route_list = * 127.0.0.1::%P byname
 self = send
 transport = smtp_sink
remote:
 driver = accept
 domains = !+local_domains
 transport = remote_file
system_aliases:
 driver = redirect
 allow_fail
 allow_defer
 data = ${lookup{$local_part}lsearch{%W/aliases}}
 file_transport = address_file
 pipe_transport = address_pipe
 user = %U
localuser:
 driver = accept
 local_parts = alice : bob : carol : dave
 transport = local_delivery
 cannot_route_message = Unknown user
begin transports
remote_file:
 driver = appendfile
 file = %W/mail/remote.out
 user = %U
smtp_sink:
 driver = smtp
 allow_localhost
local_delivery:
 driver = appendfile
 file = %W/mail/$local_part_data
 user = %U
 return_path_add
address_pipe:
 driver = pipe
 return_output
address_file:
 driver = appendfile
address_reply:
 driver = autoreply
begin retry
* * F,2h,15m; G,16h,1h,1.5; F,4d,6h
"""
ALIASES = """tofile: %W/mail/tofile
topipe: |/bin/cat
blackhole: :blackhole:
failed: :fail: account closed
deferred: :defer: come back later
chain: chain2
chain2: alice, bob
multi: a@remote.test, b@remote.test
"""


class Sink:
    """SMTP on a port, LMTP on a socket; what it hears goes to the case's sink.log."""
    def __init__(self):
        self.log = None
        self.tcp = socket.socket()
        self.tcp.bind(("127.0.0.1", 0))
        self.tcp.listen(20)
        self.port = self.tcp.getsockname()[1]
        threading.Thread(target=self.serve, args=(self.tcp, False), daemon=True).start()

    def unix(self, path):
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.listen(20)
        threading.Thread(target=self.serve, args=(s, True), daemon=True).start()
        return s

    def serve(self, s, lmtp):
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            threading.Thread(target=self.hear, args=(c, lmtp, self.log), daemon=True).start()

    def hear(self, c, lmtp, log):
        try:
            self.talk(c, lmtp, log)
        except OSError:
            pass                # it hung up: nothing is lost

    def talk(self, c, lmtp, log):
        f, rc = c.makefile("rwb"), []

        def say(t):
            f.write(t.encode() + b"\r\n")
            f.flush()

        def note(t):
            with open(log, "a", encoding="latin-1") as o:
                o.write(t + "\n")
        note("[connect]")
        say("220 sink.test ready")
        for raw in f:
            s = raw.decode("latin-1").rstrip("\r\n")
            u = s.upper()
            if not u.startswith("QUIT"):
                note("< " + s)
            if u.startswith(("EHLO", "LHLO")):
                say("250-sink.test\r\n250-SIZE 100000\r\n250-8BITMIME\r\n" + ("250-DSN\r\n" if u.endswith(" DSN.TEST") else "") + "250 PIPELINING")
            elif u.startswith("MAIL"):
                rc = []
                say("550 bad sender" if "<bad@" in s else "250 ok")
            elif u.startswith("RCPT"):
                a = s[s.find("<") + 1:s.find(">")]
                if a.startswith("rej"):
                    say("550 5.1.1 no such user " + a)
                elif a.startswith("def"):
                    say("450 4.2.0 try later " + a)
                else:
                    rc.append(a)
                    say("250 rcpt ok")
            elif u.startswith("DATA"):
                if not rc:
                    say("503 no valid recipients")
                    continue
                say("354 go")
                for d in f:
                    if d == b".\r\n":
                        break
                    note("| " + d.decode("latin-1").rstrip("\r\n"))
                for a in (rc if lmtp else rc[:1]):
                    if a.startswith("data5"):
                        say("550 5.6.0 content refused")
                    elif a.startswith("datadef"):
                        say("451 4.3.0 cannot store")
                    else:
                        say("250 2.0.0 stored" + (" for " + a if lmtp else ""))
            elif u.startswith("QUIT"):
                say("221 bye")
                break
            else:
                say("250 ok")
        c.close()


def same_each_time(s, names):
    """Replace what no two runs have in common."""
    for text, mark in names:
        s = s.replace(text, mark)
    s = re.sub(r"\bE?[0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4})\b", "ID", s)
    s = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?( [-+]\d{4})?", "TIME", s)
    s = re.sub(r"(?m)^( *)\d+[smhd] +[\d.]+[KM]? +(ID|<)", r"\1AGE SIZE \2", s)
    s = re.sub(r"\b\d{10}-eximdsn-\d+", "BOUNDARY", s)
    s = re.sub(r"\b\d{10}\.[HMV]\w+\.[\w.]+", "UNIQUE", s)
    s = re.sub(r"\b(SIZE|S)=\d+", r"\1=N", s)
    s = re.sub(r"(?m)^\d{3}([A-Z* ]) ", r"NNN\1 ", s)
    s = re.sub(r"(?m)^-(received_time_usec|received_time_complete) .*$", r"-\1 N", s)
    s = re.sub(r"\bpid=\d+", "pid=N", s)
    s = re.sub(r"\bCi=\w+", "Ci=N", s)
    s = re.sub(r"\b(DT|QT|RT)=[\d.]+s", r"\1=T", s)
    s = re.sub(r"(Exim|\(Exim) \d\.\d+(\.\d+)?", r"\1 N", s)
    s = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [-+]\d{4}",
               lambda m: m.group(0) if "02 Jan 2023" in m.group(0) else "DATE", s)
    return re.sub(r"(?m)^(>?From \S+ ) *[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4}", r"\1DATE", s)


def parse(path):
    cases, part = [], None
    for line in open(path, encoding="latin-1").read().split("\n"):
        if line.startswith("@case "):
            cases.append({"name": line[6:], "conf": [], "stdin": [], "run": [], "answer": []})
            part = None
        elif line in ("@conf", "@stdin", "@run", "@answer"):
            part = line[1:]
        elif part:
            cases[-1][part].append(line)
    return cases


def run(sendmail, case, sink):
    w = tempfile.mkdtemp(prefix="vpost-deliver-")
    u, g = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    sink.log = w + "/sink.log"

    def fill(text):
        return text.replace("%slog", "\0").replace("%W", w).replace("%U", u).replace("%G", g).replace("%P", str(sink.port)).replace("\0", "%slog")
    for d in ("mail", "log", "spool"):
        os.mkdir(f"{w}/{d}")
    lmtp = sink.unix(w + "/lmtp.sock")
    open(w + "/aliases", "w").write(fill(ALIASES))
    conf = w + "/conf"
    own = {m.group(1) for m in (re.match(r"(\w+) *=", line) for line in case["conf"]) if m}
    head = "".join(line for line in HEAD.splitlines(True) if line.split(" ")[0] not in own)
    open(conf, "w", encoding="latin-1").write(fill(head + "\n".join(case["conf"]).replace("%std", STD) + "\n"))
    stdin = "\n".join(case["stdin"]).encode("latin-1")
    out = ""
    for line in case["run"]:
        if not line:
            continue
        cmd = fill(line[1:] if line.startswith("!") else "$BIN -C $CONF " + line)
        p = subprocess.run(["/bin/sh", "-c", cmd], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                           env={**os.environ, "BIN": sendmail, "CONF": conf}, cwd=w, check=False)
        # What a sanitizer always says about fibers is no part of the answer.
        said = re.sub(r"==\d+==WARNING: ASan doesn't fully support .*\n", "", p.stdout.decode("latin-1"))
        out += f"$ {line}\n" + said + (f"exit {p.returncode}\n" if p.returncode else "")
    for log in ("mainlog", "rejectlog", "paniclog"):
        if os.path.exists(f"{w}/log/{log}"):
            out += f"--- {log}\n" + open(f"{w}/log/{log}", encoding="latin-1").read()
    for top, dirs, files in os.walk(w + "/mail"):
        dirs.sort()
        for f in sorted(files):
            p = os.path.join(top, f)
            out += f"--- {p} {os.lstat(p).st_mode & 0o777:o}\n" + open(p, encoding="latin-1").read()
    if os.path.exists(sink.log):
        out += "--- sink\n" + open(sink.log, encoding="latin-1").read()
    lmtp.close()
    shutil.rmtree(w)
    names = [(sendmail, "$BIN"), (w, "%W"), (f"{u} {os.getuid()} {os.getgid()}", "%U UID GID"), (f"U={u} ", "U=%U "), (f"U={u}:", "U=%U:"),
             (f" from {u} by", " from %U by"), (f" from {u} lost", " from %U lost"), (f" from {u} (", " from %U ("), (f" {u}\n", " %U\n"), (f"{u}@mail.local.test", "%U@mail.local.test")]
    out = re.sub(rf"\b{sink.port}\b", "%P", out)
    out = re.sub(rf"\b(ident|U)={re.escape(u)}(?=[\s)])", r"\1=%U", out).replace(f" Hello {u} at ", " Hello %U at ")
    return same_each_time(out.replace("\r", "").replace("\0", "\\0"), names).rstrip("\n").split("\n")


SINK = []


def one(sendmail, case):
    if not SINK:
        SINK.append(Sink())     # one for each process
    return run(sendmail, case, SINK[0])


def main():
    show = sys.argv[1] == "--print"
    sys.stdout.reconfigure(encoding="latin-1")      # as the files are read
    sendmail, files = sys.argv[1 + show], sys.argv[2 + show:]
    bad, n = 0, 0
    cases = [c for f in files for c in parse(f) if os.environ.get("CASE", c["name"]) == c["name"]]
    with multiprocessing.Pool(4) as pool:
        answers = pool.starmap(one, [(sendmail, c) for c in cases], 8)
    for case, got in zip(cases, answers):
        want = case["answer"]
        while want and not want[-1]:
            want.pop()
        n += 1
        if show:
            print("@case " + case["name"])
            for part in ("conf", "stdin", "run"):
                print("@" + part)
                print("\n".join(case[part]).rstrip("\n") if part != "stdin" else "\n".join(case[part]))
            print("@answer")
            print("\n".join(got) + "\n")
        elif got != want:
            bad += 1
            print(f"case {case['name']}: wanted, and got")
            print("\n".join(list(difflib.unified_diff(want, got, lineterm="", n=1))[2:40]))
    if not show:
        print(f"{n} cases, {bad} bad")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
