#!/usr/bin/env python3
"""dbstub.py redis PORT LOG | pgsql PORT LOG: as much of a database server as the lookups of exim.conf need, with known answers.
Each command or query that came is a line of LOG."""
import socket, struct, sys, threading

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


def serve(c):
    try:
        (redis if kind == "redis" else pgsql)(c)
    except (OSError, struct.error, ValueError):
        pass
    c.close()


s = socket.create_server(("127.0.0.1", port))
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
