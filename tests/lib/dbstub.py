#!/usr/bin/env python3
"""dbstub.py redis|pgsql|mysql|ldap PORT LOG [CERT KEY CA]: as much of a database server as the lookups of exim.conf need, with
known answers.  Each command or query that came is a line of LOG.  With CERT, KEY and CA ldap does StartTLS and asks for a
certificate of the client."""
import socket, ssl, struct, sys, threading

kind, port, log = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], "a", buffering=1)


def line(f):
    return f.readline().rstrip(b"\r\n")


def redis(c):
    f = c.makefile("rb")
    while True:
        head = line(f)
        if not head.startswith(b"*"):
            return
        args = []
        for _ in range(int(head[1:])):
            n = int(line(f)[1:])
            args.append(f.read(n))
            f.read(2)
        log.write(" ".join(a.decode("latin-1") for a in args) + "\n")
        what = args[0].lower()
        if what in (b"auth", b"select", b"set"):
            c.sendall(b"+OK\r\n")
        elif what == b"get":
            v = {b"alice": b"home of alice", b"empty": b""}.get(args[1])
            c.sendall(b"$-1\r\n" if v is None else b"$%d\r\n%s\r\n" % (len(v), v))
        elif what == b"smembers":
            c.sendall(b"*2\r\n$3\r\none\r\n$3\r\ntwo\r\n")
        elif what == b"incr":
            c.sendall(b":42\r\n")
        elif what == b"die":
            return
        else:
            c.sendall(b"-ERR unknown command\r\n")


def message(t, body):
    return t + struct.pack("!I", len(body) + 4) + body


ROWS = {
    "one": (["home"], [["/home/alice"]]),
    "none": (["home"], []),
    "two": (["name", "home"], [["alice", "/home/a"], ["bob", None], ["a b", 'q"q']]),
}


def pgsql(c):
    f = c.makefile("rb")
    while True:
        n, code = struct.unpack("!II", f.read(8))
        rest = f.read(n - 8)
        if code != 80877103 and code != 80877104:
            break
        c.sendall(b"N")
    log.write("startup " + rest.replace(b"\0", b" ").decode() + "\n")
    c.sendall(message(b"R", struct.pack("!I", 0)) + message(b"S", b"client_encoding\0UTF8\0") + message(b"Z", b"I"))
    while True:
        t = f.read(1)
        if t in (b"", b"X"):
            return
        n = struct.unpack("!I", f.read(4))[0]
        q = f.read(n - 4).rstrip(b"\0").decode("latin-1")
        log.write(q + "\n")
        if q not in ROWS:
            c.sendall(message(b"E", b"SERROR\0C42601\0Msyntax error\0\0") + message(b"Z", b"I"))
            continue
        names, rows = ROWS[q]
        out = struct.pack("!H", len(names))
        for name in names:
            out += name.encode() + b"\0" + struct.pack("!IHIHIH", 0, 0, 25, 0xffff, 0xffffffff, 0)
        c.sendall(message(b"T", out))
        for row in rows:
            out = struct.pack("!H", len(row))
            for v in row:
                out += struct.pack("!i", -1) if v is None else struct.pack("!i", len(v)) + v.encode()
            c.sendall(message(b"D", out))
        c.sendall(message(b"C", b"SELECT %d\0" % len(rows)) + message(b"Z", b"I"))


# ---- MySQL: protocol 4.1, any password ----
def packet(c, n, body):
    c.sendall(struct.pack("<I", len(body))[:3] + bytes([n]) + body)


def lenenc(v):
    return b"\xfb" if v is None else bytes([len(v)]) + v


def mysql(c):
    f = c.makefile("rb")

    def read():
        head = f.read(4)
        return f.read(int.from_bytes(head[:3], "little")) if len(head) == 4 else b""

    salt, caps = b"12345678", 0x0008a209
    packet(c, 0, b"\x0a5.7.0\0" + struct.pack("<I", 1) + salt + b"\0" + struct.pack("<HBHHB", caps & 0xffff, 33, 2, caps >> 16, 21) +
           bytes(10) + b"123456789012\0" + b"mysql_native_password\0")
    reply = read()
    log.write("login %s %s\n" % (reply[32:].split(b"\0")[0].decode(), "db" if b"\0db\0" in reply or b"db\0" in reply[-40:] else "-"))
    packet(c, 2, b"\0\0\0\x02\0\0\0")
    answers = {"one": (["home"], [["/home/alice"]]), "two": (["name", "home"], [["alice", "/home/a"], ["bob", None], ["a b", 'q"q']]),
               "none": (["home"], [])}
    while (q := read()) and q[0] != 1:
        text = q[1:].decode("latin-1")
        if q[0] != 3 or text.lower().startswith("set "):
            packet(c, 1, b"\0\0\0\x02\0\0\0")
            continue
        log.write(text + "\n")
        if text == "update":
            packet(c, 1, b"\0\x03\0\x02\0\0\0")
        elif text not in answers:
            packet(c, 1, b"\xff\x28\x04#42000" + b"You have an error in your SQL syntax")
        else:
            names, rows = answers[text]
            packet(c, 1, bytes([len(names)]))
            n = 2
            for name in names:
                packet(c, n, b"".join(lenenc(x) for x in (b"def", b"", b"t", b"t", name.encode(), name.encode())) +
                       b"\x0c" + struct.pack("<HIBHB", 33, 255, 0xfd, 0, 0) + b"\0\0")
                n += 1
            packet(c, n, b"\xfe\0\0\x02\0")
            for row in rows:
                n += 1
                packet(c, n, b"".join(lenenc(None if v is None else v.encode()) for v in row))
            packet(c, n + 1, b"\xfe\0\0\x02\0")


# ---- LDAP: simple binds, equality filters ----
def ber(tag, body):
    n = len(body)
    return bytes([tag]) + (bytes([n]) if n < 128 else b"\x82" + struct.pack("!H", n)) + body


def take(v):
    """One element: tag, body, rest."""
    n, at = v[1], 2
    if n & 128:
        n, at = int.from_bytes(v[2:2 + (n & 127)], "big"), 2 + (n & 127)
    return v[0], v[at:at + n], v[at + n:]


PEOPLE = {"alice": ("uid=alice,dc=x", {"cn": ["Alice A"], "mail": ["a@x.test", "b,c@x.test"], "n": ["1"]}),
          "bob": ("uid=bob\\, jr,dc=x", {"cn": ['Bob "B"'], "mail": ["bob@x.test"]})}


def ldap(c):
    f = c.makefile("rb")
    who = ""
    while True:
        head = f.read(2)
        if len(head) < 2:
            return
        n = head[1]
        if n & 128:
            n = int.from_bytes(f.read(n & 127), "big")
        _, mid, rest = take(f.read(n))
        tag, body, _ = take(rest)
        if tag == 0x42:
            return
        if tag == 0x60:
            _, version, body = take(body)
            _, dn, body = take(body)
            _, password, _ = take(body)
            who = dn.decode()
            log.write("version %d\n" % version[-1])
            log.write("bind <%s> <%s>\n" % (who, password.decode()))
            code = 49 if password == b"wrong" else 0
            c.sendall(ber(0x30, ber(2, mid) + ber(0x61, ber(10, bytes([code])) + ber(4, b"") + ber(4, b"no" if code else b""))))
        elif tag == 0x63:
            _, base, body = take(body)
            scope = take(body)[1][0]
            for _ in range(5):
                _, _, body = take(body)
            ftag, test, body = take(body)
            _, attrs, _ = take(body)
            wanted = []
            while attrs:
                _, a, attrs = take(attrs)
                wanted.append(a.decode())
            value = take(take(test)[2])[1].decode() if ftag == 0xa3 else "*"
            log.write("search %s scope %d for %s: %s\n" % (base.decode(), scope, value, ",".join(wanted)))
            found = [v for k, v in PEOPLE.items() if value in (k, "*")]
            for dn, entry in found:
                out = b"".join(ber(0x30, ber(4, k.encode()) + ber(0x31, b"".join(ber(4, x.encode()) for x in v)))
                               for k, v in entry.items() if not wanted or k in wanted)
                c.sendall(ber(0x30, ber(2, mid) + ber(0x64, ber(4, dn.encode()) + ber(0x30, out))))
            code = 32 if base == b"dc=gone" else 0
            c.sendall(ber(0x30, ber(2, mid) + ber(0x65, ber(10, bytes([code])) + ber(4, b"") + ber(4, b""))))
        elif tag == 0x77 and len(sys.argv) > 6:
            log.write("starttls\n")
            c.sendall(ber(0x30, ber(2, mid) + ber(0x78, ber(10, b"\0") + ber(4, b"") + ber(4, b""))))
            t = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            t.load_cert_chain(sys.argv[4], sys.argv[5])
            t.load_verify_locations(sys.argv[6])
            t.verify_mode = ssl.CERT_OPTIONAL
            t.maximum_version = ssl.TLSVersion.TLSv1_2
            c = t.wrap_socket(c, server_side=True)
            cert = c.getpeercert()
            log.write("tls %s client %s\n" % (c.cipher()[0], cert["subject"][0][0][1] if cert else "none"))
            f = c.makefile("rb")
        else:
            return


def serve(c):
    try:
        {"redis": redis, "pgsql": pgsql, "mysql": mysql, "ldap": ldap}[kind](c)
    except (OSError, struct.error, ValueError, IndexError, ssl.SSLError):
        pass
    c.close()


s = socket.create_server(("127.0.0.1", port))
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
