#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""imap_sessions.py IMAP-PORT IMAPS-PORT LOG: what 056-imap.sh checks."""
import re
import socket
import ssl
import sys
import time

PORT, SPORT = int(sys.argv[1]), int(sys.argv[2])
MSG = b"From: a@b.example\r\nTo: joe@local.test\r\nSubject: %s\r\n\r\nbody\r\n"


class Imap:
    def __init__(self, port=PORT, user=None, tls=False):
        self.s = socket.create_connection(("127.0.0.1", port), 120)
        if tls:
            self.s = context().wrap_socket(self.s)
        self.f, self.n = self.s.makefile("rb"), 0
        self.greeting = self.line()
        if user:
            self.ok("LOGIN %s pw-%s" % (user, user))

    def line(self):
        line = self.f.readline()
        if not line:
            raise EOFError
        m = re.search(rb"\{(\d+)\}\r\n$", line)
        return line + self.f.read(int(m[1])) + self.line() if m else line

    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode())

    def cmd(self, text):
        self.n += 1
        tag = b"t%d" % self.n
        self.send(tag + b" " + (text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return self.until(tag)

    def until(self, tag):
        lines = []
        while True:
            lines.append(self.line())
            if lines[-1].startswith(tag + b" "):
                return lines[:-1], lines[-1][len(tag) + 1:]

    def ok(self, text):
        lines, end = self.cmd(text)
        check(end.startswith(b"OK"), "%r was answered %r" % (text, end))
        return b"".join(lines)

    def append(self, subject, box="INBOX"):
        m = MSG % subject.encode()
        self.ok(b"APPEND %s {%d+}\r\n%s" % (box.encode(), len(m), m))

    def closed(self):
        try:
            while True:
                self.line()
        except (EOFError, ConnectionError):
            return True


def context():
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    return c


def check(ok, what):
    if not ok:
        sys.exit("FAILED: %s" % what)


def idle(tls=False):
    a, b = Imap(user="joe") if not tls else Imap(SPORT, "joe", True), Imap(user="joe")
    n = int(re.search(rb"\* (\d+) EXISTS", a.ok("SELECT INBOX"))[1])
    b.ok("SELECT INBOX")
    a.send("i1 IDLE\r\n")
    check(a.line().startswith(b"+"), "IDLE's continuation")
    start = time.time()
    b.append("one")
    check(a.line() == b"* %d EXISTS\r\n" % (n + 1), "EXISTS in IDLE")
    while not (got := a.line()).startswith(b"* %d EXISTS" % (n + 2)) if b.append("two") else False:
        check(b"RECENT" in got, "what came in IDLE: %r" % got)
    check(time.time() - start < 20, "IDLE is told at once")
    b.ok("STORE %d +FLAGS (\\Deleted \\Flagged)" % (n + 1))
    b.ok("EXPUNGE")
    text = b""
    while b"EXPUNGE" not in text:
        text += a.line()
    check(b"* %d EXPUNGE\r\n" % (n + 1) in text, "EXPUNGE in IDLE: %r" % text)
    a.send("DONE\r\n")
    lines, end = a.until(b"i1")
    check(end.startswith(b"OK"), "the end of IDLE")
    a.send("i2 IDLE\r\n")
    a.line()
    a.send("NOOP\r\n")
    check(a.until(b"i2")[1].startswith(b"BAD"), "something else than DONE")
    a.ok("NOOP")
    a.ok("LOGOUT")
    b.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
    b.ok("EXPUNGE")
    b.ok("LOGOUT")


def sequence_numbers():
    a, b = Imap(user="joe"), Imap(user="joe")
    for i in range(6):
        a.append("m%d" % i)
    a.ok("SELECT INBOX")
    b.ok("SELECT INBOX")
    uids = re.findall(rb"UID (\d+)", a.ok("FETCH 1:6 UID"))
    b.ok("UID STORE %s +FLAGS (\\Deleted)" % ",".join(x.decode() for x in (uids[1], uids[3])))
    b.ok("EXPUNGE")
    got = a.ok("SEARCH ALL")
    check(b"EXPUNGE" not in got, "EXPUNGE during SEARCH")
    c = Imap(user="joe")
    c.ok("SELECT INBOX")
    b.ok("UID STORE %s +FLAGS (\\Deleted)" % uids[0].decode())
    b.ok("EXPUNGE")
    b.ok("CREATE INBOX.copies")
    c.ok("COPY 2 INBOX.copies")
    c.ok("SELECT INBOX.copies")
    check(b"Subject: m2" in c.ok("FETCH 1 BODY[]"), "COPY by a number that is to change")
    c.ok("LOGOUT")
    lines, end = a.cmd("FETCH 5 (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    check(b"UID %s " % uids[4] in b"".join(lines) and b"m4" in b"".join(lines), "numbers stay until EXPUNGE was told")
    lines, end = a.cmd("FETCH 2 BODY.PEEK[]")
    check(end.startswith(b"NO [EXPUNGEISSUED]"), "FETCH of an expunged message: %r" % end)
    got = a.ok("NOOP")
    check(re.findall(rb"\* (\d+) EXPUNGE", got) == [b"4", b"2", b"1"], "EXPUNGEs: %r" % got)
    check(re.findall(rb"UID (\d+)", a.ok("FETCH 1:3 UID")) == [uids[2], uids[4], uids[5]], "numbers afterwards")
    # A flag that changed elsewhere is told here; .SILENT tells only the others.
    b.ok("UID STORE %s +FLAGS.SILENT (\\Answered)" % uids[5].decode())
    check(b"\\Answered" in a.ok("NOOP"), "flags of others")
    check(b"FETCH" not in a.ok("STORE 1 +FLAGS.SILENT (\\Flagged)"), "SILENT")
    # \Seen by FETCH, and not by PEEK or EXAMINE.
    check(b"\\Seen" not in a.ok("FETCH 2 (FLAGS BODY.PEEK[])"), "PEEK")
    check(b"\\Seen" in a.ok("FETCH 2 BODY[]"), "FETCH sets Seen")
    a.ok("EXAMINE INBOX")
    check(b"\\Seen" not in a.ok("FETCH 3 BODY[]"), "EXAMINE")
    check(a.cmd("STORE 1 +FLAGS (\\Seen)")[1].startswith(b"NO"), "STORE in EXAMINE")
    b.ok("STORE 1:* +FLAGS (\\Deleted)")
    b.ok("CLOSE")
    # A selected mailbox that goes away ends the session that has it.
    b.ok("CREATE INBOX.gone")
    a.ok("SELECT INBOX.gone")
    b.ok("DELETE INBOX.gone")
    a.send("x NOOP\r\n")
    check(b"BYE" in a.line(), "the selected mailbox was deleted")
    b.ok("LOGOUT")


def login():
    a = Imap()
    check(b"IMAP4rev1" in a.greeting and b"STARTTLS" in a.greeting and b"LOGINDISABLED" not in a.greeting, "greeting")
    check(a.cmd("LOGIN joe wrong")[1].startswith(b"NO [AUTHENTICATIONFAILED]"), "wrong password")
    check(a.cmd("SELECT INBOX")[1].startswith(b"BAD"), "SELECT before login")
    # Everything behind the login goes to the next process with the connection.
    a.send("l1 LOGIN joe pw-joe\r\nl2 CAPABILITY\r\nl3 SELECT INBOX\r\nl4 APPEND INBOX {6+}\r\nA: b\r\n\r\nl5 NOOP\r\n")
    for tag in (b"l1", b"l2", b"l3", b"l4", b"l5"):
        check(a.until(tag)[1].startswith(b"OK"), "pipelined %r" % tag)
    a.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
    a.ok("CLOSE")
    check(a.cmd("LOGIN joe pw-joe")[1].startswith(b"BAD"), "LOGIN twice")
    a.ok("LOGOUT")
    # SASL-IR, with and without; cancelled; malformed.
    a = Imap()
    check(a.cmd("AUTHENTICATE PLAIN AGpvZQBwdy1qb2U=")[1].startswith(b"OK"), "AUTHENTICATE with an initial response")
    a.ok("LOGOUT")
    a = Imap()
    a.send("s1 AUTHENTICATE PLAIN\r\n")
    check(a.line().startswith(b"+"), "empty challenge")
    a.send("*\r\n")
    check(a.until(b"s1")[1].startswith(b"BAD"), "cancelled")
    a.send("s2 AUTHENTICATE PLAIN\r\n")
    a.line()
    a.send("AGpvZQBwdy1qb2U=\r\n")
    check(a.until(b"s2")[1].startswith(b"OK"), "AUTHENTICATE in two steps")
    a.ok("LOGOUT")
    # STARTTLS; what came with it in the clear is refused.
    a = Imap()
    a.ok("STARTTLS")
    a.s = context().wrap_socket(a.s)
    a.f = a.s.makefile("rb")
    check(b"STARTTLS" not in a.ok("CAPABILITY"), "STARTTLS twice")
    a.ok("LOGIN ann pw-ann")
    a.append("x" * 60000)
    a.ok("SELECT INBOX")
    check(b"x" * 60000 in a.ok("FETCH 1 BODY[]"), "a long literal through TLS")
    a.ok("LOGOUT")
    a = Imap()
    a.send("t STARTTLS\r\nu NOOP\r\n")
    check(a.closed(), "input behind STARTTLS")


def limits():
    a = Imap(user="joe")
    check(a.cmd("NOOP " + "x" * 70)[1].startswith(b"BAD"), "argument too many")
    a.send("x" * 100 + " NOOP\r\n")
    check(b"BAD" in a.line(), "long tag")
    a.send("big LOGIN {100000}\r\n")
    check(b"BAD" in a.line(), "literal too large")
    a.ok("NOOP")
    a.send("h APPEND INBOX {9999999999}\r\n")
    check(a.until(b"h")[1].startswith(b"NO"), "message too large")
    a.ok("NOOP")
    check(a.cmd("APPEND INBOX.nowhere {5+}\r\nabcde")[1].startswith(b"NO [TRYCREATE]"), "APPEND to nowhere")
    check(a.cmd("APPEND INBOX {5+}\r\nab\0de")[1].startswith(b"NO"), "NUL in a message")
    check(a.cmd("FETCH 1 FLAGS")[1].startswith(b"BAD"), "FETCH with nothing selected")
    a.ok("EXAMINE INBOX")
    check(a.cmd("SEARCH CHARSET x-none SUBJECT a")[1].startswith(b"NO [BADCHARSET"), "unknown charset")
    for _ in range(20):
        a.send("b XYZZY\r\n")
    check(a.closed(), "twenty bad commands")
    a = Imap(user="joe")
    a.send("a " + "x" * 200000 + "\r\n")
    check(a.closed(), "a line of 200,000 bytes")
    a = Imap()
    for _ in range(5):
        a.send(b"\xff\x00\r\n")
    check(a.closed(), "rubbish before login")
    for data in (b"", b"\r\n" * 3, b"a APPEND INBOX {5+}\r\n", b"a LOGIN {5}\r\n"):
        a = Imap()
        a.send(data)
        a.s.close()


def searches():
    """Many keys over a large message: it is gone through once, and others go on meanwhile."""
    a, b = Imap(user="ann"), Imap(user="joe")
    text = b"".join(b"line %d of a long text\r\n" % i for i in range(300000)) + b"Gr\xc3\xbc\xc3\x9fe am Ende\r\n"
    m = b"From: a@b.example\r\nSubject: large\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text
    a.ok("CREATE INBOX.large")
    a.ok(b"APPEND INBOX.large {%d+}\r\n%s" % (len(m), m))
    a.append("small", "INBOX.large")
    a.ok("SELECT INBOX.large")
    for keys, want in (
        ("BODY ende", b"1"), ("NOT BODY ende", b"2"), ("BODY line BODY {7+}\r\nGR\xc3\x9cSSE", b"1"), ("TEXT small", b"2"),
        ("OR BODY body BODY ende", b"1 2"), ("BODY large", b""), ("TEXT large", b"1"), ("NOT (BODY line NOT BODY ende)", b"1 2"),
        ("OR (SUBJECT small BODY body) (BODY \"line 299999 of\" FROM b.example)", b"1 2"), ("BODY \"\"", b"1 2"),
        ("SMALLER 1000 BODY line", b""), ("BODY line SUBJECT small", b""),
    ):
        got = a.ok(b"SEARCH CHARSET UTF-8 " + keys.encode("latin-1"))
        check(got.split() == [b"*", b"SEARCH"] + want.split(), "SEARCH %s: %r" % (keys, got))
    check(a.cmd("SEARCH" + " BODY a" * 51)[1].startswith(b"NO [LIMIT]"), "51 texts of the body")
    check(a.cmd("SEARCH" + " SEEN" * 1001)[1].startswith(b"NO [LIMIT]"), "1,001 keys")
    check(a.cmd("SEARCH" + " (OR SEEN NOT SEEN)" * 250)[1].startswith(b"NO [LIMIT]"), "1,000 keys in parentheses")
    a.ok("SEARCH" + " NOT SEEN" * 400)
    a.ok("SEARCH" + " NOT BODY absent" * 50)
    # NOOP of another is answered while the search goes on.
    a.send("s1 SEARCH" + " NOT BODY absent" * 50 + "\r\n" + "s2 SEARCH" + " BODY line" * 50 + "\r\n")
    b.ok("NOOP")
    check(a.until(b"s1")[1].startswith(b"OK") and a.until(b"s2")[1].startswith(b"OK"), "long searches")
    # And one that goes away in the middle harms nobody.
    a.send("s3 SEARCH" + " NOT BODY absent" * 50 + "\r\n")
    a.s.close()
    b.ok("NOOP")
    b.ok("LOGOUT")


def folders():
    a = Imap(user="joe")
    a.ok('CREATE "INBOX.Entw&APw-rfe"')
    a.ok('CREATE INBOX.a.b.c')
    got = a.ok('LIST "" *')
    check(b"Entw&APw-rfe" in got and b"INBOX.a.b.c" in got, "LIST: %r" % got)
    check(b'(\\HasChildren) "." INBOX\r\n' in got, "children of INBOX: %r" % got)
    check(a.cmd("CREATE INBOX.a.b.c")[1].startswith(b"NO [ALREADYEXISTS]"), "CREATE twice")
    check(a.cmd("DELETE INBOX")[1].startswith(b"NO"), "DELETE INBOX")
    check(a.cmd("SELECT INBOX.none")[1].startswith(b"NO [NONEXISTENT]"), "SELECT none")
    check(a.cmd("SELECT user.ann")[1].startswith(b"NO"), "another user's INBOX")
    check(b"user.ann" not in got, "LIST shows others")
    a.ok("RENAME INBOX.a.b.c INBOX.z")
    a.append("in inbox")
    a.ok("RENAME INBOX INBOX.old")
    check(b"MESSAGES 1" in a.ok("STATUS INBOX.old (MESSAGES)"), "RENAME INBOX moves")
    check(b"MESSAGES 0" in a.ok("STATUS INBOX (MESSAGES)"), "and leaves INBOX empty")
    check(b'(("INBOX." "."))' in a.ok("NAMESPACE"), "NAMESPACE")
    a.ok("LOGOUT")


login()
searches()
folders()
sequence_numbers()
idle()
idle(tls=True)
limits()
with open(sys.argv[3], encoding="utf-8", errors="replace") as log:
    text = log.read()
check(re.search(r"imap-login: Aborted login \(auth failed.*rip=127\.0\.0\.1", text), "a line that fail2ban knows")
check("pw-joe" not in text, "a password in the log")
