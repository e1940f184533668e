#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run scripted IMAP dialogues in imaptest's format against a server.

imaptest.py PORT USER PASSWORD DIR [-v] [NAME...]: runs the groups of DIR whose capabilities the server has,
prints one line each, ends with 1 if one failed that is not listed in EXPECTED.
"""
import os
import re
import socket
import sys
import time

MAILBOX = os.environ.get("IMAPTEST_BOX", "INBOX.imaptest")

# Groups that fail on purpose, and why.
EXPECTED = {
    "search-intdate": "dates of arrival are kept and searched in UTC",
}


class Failed(Exception):
    pass


# ---- arguments: str for atoms and strings, None for NIL, list for lists ----

class Atom(str):
    pass


def parse_args(data):
    pos, stack, cur = 0, [], []
    while pos < len(data):
        c = data[pos]
        if c == " ":
            pos += 1
        elif c in "\r\n":
            break
        elif c == "(":
            new = []
            cur.append(new)
            stack.append(cur)
            cur = new
            pos += 1
        elif c == ")":
            if not stack:
                cur.append(Atom(")"))
            else:
                cur = stack.pop()
            pos += 1
        elif c == '"':
            m = re.compile(r'"((?:[^"\\]|\\.)*)"', re.S).match(data, pos)
            if not m:
                raise Failed("bad string: %r" % data[pos:pos + 60])
            cur.append(re.sub(r"\\(.)", r"\1", m[1], flags=re.S))
            pos = m.end()
        else:
            m = re.compile(r"~?\{(\d+)\+?\}\r\n").match(data, pos)
            if m:
                n = int(m[1])
                cur.append(data[m.end():m.end() + n])
                pos = m.end() + n
                continue
            m = re.compile(r"[^ )\r\n]+").match(data, pos)
            cur.append(None if m[0].upper() == "NIL" else Atom(m[0]))
            pos = m.end()
    return cur


# ---- scripts ----

class Command:
    def __init__(self, line, conn, tag, reply, text):
        self.line, self.conn, self.tag, self.reply, self.text = line, conn, tag, reply, text


class Group:
    def __init__(self):
        self.commands, self.untagged, self.sleep = [], [], 0


class Script:
    def __init__(self, path):
        self.path, self.name = path, os.path.basename(path)
        self.caps, self.connections, self.messages, self.state = [], 1, 0, "selected"
        self.extra_ok, self.users, self.groups = True, {}, []
        self.parse(open(path, "rb").read().decode("latin-1"))

    def logical_lines(self, text):
        lines, i = text.split("\n"), 0
        while i < len(lines):
            line, number = lines[i], i + 1
            i += 1
            while line.endswith("{{{"):
                binary = line.endswith("~{{{")
                body = []
                while not lines[i].startswith("}}}"):
                    body.append(lines[i])
                    i += 1
                data = ("\n" if binary else "\r\n").join(body)
                line = "%s{%d}\r\n%s%s" % (line[:-4] + "~" if binary else line[:-3], len(data), data, lines[i][3:])
                i += 1
            yield number, line

    def parse(self, text):
        header, group = True, None
        skips = []
        for number, line in self.logical_lines(text):
            if line == "":
                header = False
                continue
            if line.startswith("#"):
                continue
            if header:
                self.header(*[x.strip() for x in line.split(":", 1)])
                continue
            if line.startswith("!if"):
                word, name = line.split(None, 1)
                skips.append((name in os.environ) == (word == "!ifnenv"))
                continue
            if line == "!else":
                skips[-1] = not skips[-1]
                continue
            if line == "!endif":
                skips.pop()
                continue
            if any(skips):
                continue
            group = self.command(number, line, group)

    def header(self, key, value):
        key = key.lower()
        if key == "capabilities":
            self.caps = value.upper().split()
        elif key == "connections":
            self.connections = int(value)
        elif key == "messages":
            self.messages = None if value == "all" else int(value)
        elif key == "state":
            self.state = value.lower()
        elif key == "ignore_extra_untagged":
            self.extra_ok = value[0] == "y"
        elif key.startswith("user"):
            self.users[key] = value

    @staticmethod
    def reply_of(line):
        m = re.match(r'(?:(tag\d+) )?(ok|no|bad|"")(?: |$)', line, re.I)
        return (m[1], m[2].lower(), line[m.end():]) if m else None

    def command(self, number, line, group):
        if group and line.startswith("!sleep "):
            group.sleep += float(re.match(r"!sleep ([\d.]+)", line)[1]) * (0.001 if line.endswith("ms") else 1)
            return group
        if line.startswith(("!output", "!ordered")):
            return group
        if group and line[:2] in ("* ", "! ", "? "):
            group.untagged.append((line[0], parse_args(line[2:]), number))
            return group
        pending = group and [c for c in group.commands if c.reply is None]
        conn, rest = 1, line
        if self.connections > 1:
            m = re.match(r"(\d+) ?", line)
            if m:
                conn, rest = int(m[1]), line[m.end():]
        if pending:
            r = self.reply_of(rest)
            if r:
                for c in pending:
                    if c.tag == r[0]:
                        c.reply = (r[1], parse_args(r[2]))
                        return group
        if not pending:
            group = Group()
            self.groups.append(group)
        if rest[:2] in ("* ", "! ", "? "):
            group.untagged.append((rest[0], parse_args(rest[2:]), number))
            return group
        r = self.reply_of(rest)
        if r:
            group.commands.append(Command(number, conn, r[0], (r[1], []), r[2]))
        else:
            m = re.match(r"(tag\d+) ", rest)
            group.commands.append(Command(number, conn, m[1] if m else None, None, rest[m.end():] if m else rest))
        return group


# ---- matching ----

class Matcher:
    def __init__(self, variables, seqmap):
        self.vars, self.seqmap, self.added = variables, seqmap, []

    def seq(self, n):
        n = int(n)
        return str(self.seqmap[n - 1]) if 0 < n <= len(self.seqmap) and self.seqmap[n - 1] else "<none>"

    def expand(self, pattern, text):
        """Does <text> match?  Unset variables take what they meet up to the next fixed character."""
        prefix_len, out, pos, i = 0, "", 0, 0
        while i < len(pattern):
            if pattern[i] != "$" or pattern[i:i + 2] == "$$":
                i += pattern[i] == "$"
                if pos >= len(text) or pattern[i].upper() != text[pos].upper():
                    return None
                out += text[pos]
                pos, i = pos + 1, i + 1
                continue
            m = re.compile(r"\$(?:\{([^}]*)\}|(\w*))").match(pattern, i)
            name = m[1] if m[1] is not None else m[2]
            i = m.end()
            if name.isdigit():
                value = self.seq(name)
            elif name.startswith("case:"):
                value = name[5:]
            elif name in self.vars and name:
                value = self.vars[name]
            else:
                stop = pattern[i:i + 1]
                end = pos
                while end < len(text) and not (stop and text[end].upper() == stop.upper()):
                    end += 1
                value = text[pos:end]
                if name:
                    self.vars[name] = value
                    self.added.append(name)
            if not text.startswith(value, pos):
                return None
            out += value
            pos += len(value)
        return out

    def value(self, want, got, prefix=False):
        if want is None:
            return got is None
        if isinstance(want, list):
            return isinstance(got, list) and self.list(want, got)
        if want == "$" and isinstance(got, list):
            return True
        if isinstance(got, list):
            return False
        if got is None:
            got = "NIL" if want.upper() == "NIL" or "$" in want else None
            if got is None:
                return False
        text = self.expand(want, got)
        if text is None:
            return False
        return got.lower().startswith(text.lower()) if prefix else got.lower() == text.lower()

    def args(self, want, got, prefix=False, count=None):
        n = len(want) if count is None else min(len(want), count)
        g = 0
        for i in range(n):
            if isinstance(want[i], str) and want[i] == "$]":
                while g < len(got) and not (isinstance(got[g], str) and "]" in got[g]):
                    g += 1
                g += 1
                continue
            if g >= len(got) or not self.value(want[i], got[g], prefix and i == n - 1):
                return False
            g += 1
        return prefix or count is not None or g == len(got)

    def list(self, want, got):
        unordered, chain, noextra, ignore, ban = False, 1, None, [], []
        while want and isinstance(want[0], Atom) and want[0].startswith("$!"):
            d, want = want[0][2:], want[1:]
            if d.startswith("unordered"):
                unordered = True
                noextra = False if noextra is None else noextra
                chain = int(d[10:]) if "=" in d else 1
            elif d == "ordered":
                unordered = False
            elif d in ("extra", "noextra"):
                noextra = d == "noextra"
            elif d.startswith("ignore="):
                ignore.append(d[7:].lower())
            elif d.startswith("ban="):
                ban.append(d[4:].lower())
        if not unordered:
            return self.args(want, got)
        if len(got) % chain:
            return False
        used = set()
        for i in range(0, len(want), chain):
            for k in range(0, len(got), chain):
                if self.args(want[i:i + chain], got[k:k + chain], count=chain):
                    used.add(k)
                    break
            else:
                return False
        for k in range(0, len(got), chain):
            if k in used or not isinstance(got[k], str):
                continue
            if noextra in (None, True) and got[k].lower() not in ignore:
                return False
            if noextra is False and got[k].lower() in ban:
                return False
        return True

    def match(self, want, got):
        prefix = isinstance(want[0], str) and (want[0].lower() in ("ok", "no", "bad", "bye", "preauth") or
                                               want[0].startswith("["))
        self.added = []
        if self.args(defaults(want), got, prefix):
            return True
        for name in self.added:
            self.vars.pop(name, None)
        return False


def has_directive(v):
    return bool(v) and isinstance(v[0], Atom) and v[0].startswith("$!")


def add(v, *directives):
    return v if not isinstance(v, list) or has_directive(v) else [Atom(d) for d in directives] + v


def defaults(want):
    """The directives that lists of well-known answers have where they name none."""
    want = list(want)
    word = want[0].lower() if isinstance(want[0], str) else ""
    if word in ("list", "lsub") and len(want) > 1:
        want[1] = add(want[1], "$!unordered")
    elif word == "status" and len(want) > 2:
        want[2] = add(want[2], "$!unordered=2")
    elif len(want) > 2 and isinstance(want[1], str) and want[1].lower() == "fetch" and isinstance(want[2], list):
        items = list(want[2])
        for i in range(len(items) - 1):
            if isinstance(items[i], Atom) and items[i].lower() == "flags":
                items[i + 1] = add(items[i + 1], "$!unordered", "$!noextra", "$!ignore=\\recent")
        want[2] = add(items, "$!unordered=2")
    return want


# ---- the client ----

class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self.file = self.sock.makefile("rb")
        self.n, self.exists, self.banner = 0, 0, self.read()

    def read(self):
        data = b""
        while True:
            line = self.file.readline()
            if not line:
                raise Failed("connection closed")
            data += line
            m = re.search(rb"~?\{(\d+)\}\r\n$", line)
            if not m:
                return data.decode("latin-1")
            data += self.file.read(int(m[1]))

    def send(self, text):
        self.n += 1
        tag = "A%d" % self.n
        text = re.sub(r"\{(\d+)\}\r\n", r"{\1+}\r\n", text)
        self.sock.sendall(("%s %s\r\n" % (tag, text)).encode("latin-1"))
        return tag

    def note(self, line):
        m = re.match(r"\* (\d+) (EXISTS|EXPUNGE)", line, re.I)
        if m:
            self.exists = int(m[1]) if m[2].upper() == "EXISTS" else self.exists - 1

    def run(self, text, ok=True):
        tag, untagged = self.send(text), []
        while True:
            line = self.read()
            if line.startswith(tag + " "):
                if ok and not line.upper().startswith(tag + " OK"):
                    raise Failed("%s: %s" % (text[:80], line.strip()))
                return untagged, line
            untagged.append(line)
            self.note(line)


MONTHS = dict(zip("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), range(1, 13)))


def read_mbox(path):
    text = open(path, "rb").read().decode("latin-1")
    out = []
    for part in re.split(r"(?m)^(?=From )", text):
        if not part.startswith("From "):
            continue
        first, rest = part.split("\n", 1)
        m = re.search(r"(\w{3})\s+(\d+) (\d\d:\d\d:\d\d)(?: (?=[+-]))?([+-]\d{4})? (\d{4})(?: ([+-]\d{4}))?$", first.strip())
        date = '"%2d-%s-%s %s %s"' % (int(m[2]), m[1], m[5], m[3], m[4] or m[6] or "+0000") if m else ""
        out.append((date, re.sub(r"\r?\n", "\r\n", rest)))
    return out


class Runner:
    def __init__(self, script, port, user, password):
        self.s, self.port, self.user, self.password = script, port, user, password
        self.vars = {"user": user, "username": user.split("@")[0], "domain": "", "password": password,
                     "mailbox": MAILBOX, "mailbox_url": "imap://localhost/" + MAILBOX}
        mbox = script.path + ".mbox"
        if not os.path.exists(mbox):
            mbox = os.path.join(os.path.dirname(script.path), "default.mbox")
        self.mbox, self.next, self.clients = read_mbox(mbox) if os.path.exists(mbox) else [], 0, []

    def message(self):
        self.next += 1
        return self.mbox[(self.next - 1) % len(self.mbox)]

    def append(self, client, text=""):
        date, msg = self.message()
        m = re.match(r"append\s*(\S*)\s*(.*)", text or "append", re.I)
        rest = m[2] if '"' in m[2] else " ".join(x for x in (m[2], date) if x)
        return "append %s %s{%d}\r\n%s" % (m[1] or MAILBOX, rest + " " if rest else "", len(msg.encode("latin-1")), msg)

    def prepare(self):
        for _ in range(self.s.connections):
            self.clients.append(Client(self.port))
        if self.s.state == "nonauth":
            return
        for c in self.clients:
            c.run('login "%s" "%s"' % (self.user, self.password))
        c = self.clients[0]
        names = []
        for line in c.run('list "" "%s*"' % MAILBOX)[0]:
            names.append(parse_args(line)[-1])
        for name in sorted(names, key=len, reverse=True):
            c.run('delete "%s"' % name, ok=False)
        for line in c.run('lsub "" "%s*"' % MAILBOX)[0]:
            c.run('unsubscribe "%s"' % parse_args(line)[-1], ok=False)
        if self.s.state == "auth":
            return
        c.run("create " + MAILBOX)
        if self.s.state == "created":
            return
        n = len(self.mbox) if self.s.messages is None else self.s.messages
        for _ in range(n):
            c.run(self.append(c))
        if self.s.state == "appended":
            return
        for c in self.clients:
            c.run("select " + MAILBOX)

    def substitute(self, text, seqmap):
        def value(m):
            if m[0] == "$$":
                return "$"
            name = m[1] if m[1] is not None else m[2]
            if name.isdigit():
                return Matcher(self.vars, seqmap).seq(name)
            if name not in self.vars:
                raise Failed("variable %s has no value" % name)
            return self.vars[name]
        return re.sub(r"\$(?:\$|\{([^}]*)\}|(\w+))", value, text)

    def group(self, g):
        if not g.commands:
            for kind, want, number in g.untagged:
                if not Matcher(self.vars, []).match(want, parse_args(self.clients[0].banner[2:])):
                    raise Failed("line %d: banner is %r" % (number, self.clients[0].banner))
            return
        c = self.clients[g.commands[0].conn - 1]
        seqmap = list(range(1, c.exists + 1))
        tags, got, waiting = {}, [], list(g.untagged)
        for cmd in g.commands:
            text = self.substitute(cmd.text, seqmap)
            if re.match(r"append(\s|$)", text, re.I) and "{" not in text:
                text = self.append(c, text)
            tags[c.send(text)] = cmd
        while tags:
            try:
                line = c.read()
            except Failed:
                if any(k == "*" and isinstance(w[0], str) and w[0].lower() == "bye" for k, w, n in g.untagged):
                    break
                raise
            if line.startswith("+"):
                continue
            tag = line.split(" ", 1)[0]
            if tag in tags:
                self.tagged(tags.pop(tag), line, seqmap)
                continue
            got.append(line)
            args = parse_args(line[2:])
            for w in list(waiting):
                if Matcher(self.vars, seqmap).match(w[1], args):
                    if w[0] == "!":
                        raise Failed("line %d: unwanted %s" % (w[2], line.strip()))
                    waiting.remove(w)
            c.note(line)
            m = re.match(r"\* (\d+) EXPUNGE", line, re.I)
            if m:
                n = int(m[1])
                seqmap[:] = [0 if v == n else v - 1 if v > n else v for v in seqmap]
        missing = [w for w in waiting if w[0] == "*"]
        if missing:
            raise Failed("line %d: %r did not come; got %r" % (missing[0][2], missing[0][1], got))
        time.sleep(g.sleep)

    def tagged(self, cmd, line, seqmap):
        args = parse_args(line.split(" ", 1)[1])
        want, prefix = cmd.reply
        if want != '""' and args[0].lower() != want:
            raise Failed("line %d: %s: %s" % (cmd.line, cmd.text[:100], line.strip()))
        if prefix and not Matcher(self.vars, seqmap).match(prefix, args[1:]):
            raise Failed("line %d: wanted %r: %s" % (cmd.line, prefix, line.strip()))

    def run(self):
        try:
            self.prepare()
            for g in self.s.groups:
                self.group(g)
        finally:
            for c in self.clients:
                c.file.close()
                c.sock.close()


def capabilities(port, user, password):
    c = Client(port)
    caps = set(c.run("capability")[0][0].upper().split())
    c.run('login "%s" "%s"' % (user, password))
    caps |= set(c.run("capability")[0][0].upper().split())
    c.run("logout")
    return caps


def main():
    port, user, password, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
    only = [a for a in sys.argv[5:] if not a.startswith("-")]
    caps = capabilities(port, user, password)
    passed = failed = skipped = 0
    for d, _, files in sorted(os.walk(folder)):
        for name in sorted(files):
            if name.endswith(".mbox") or (only and name not in only):
                continue
            script = Script(os.path.join(d, name))
            lacking = [c for c in script.caps if c not in caps]
            if lacking or script.users:
                skipped += 1
                if "-v" in sys.argv:
                    print("skip ", name, " ".join(lacking))
                continue
            try:
                Runner(script, port, user, password).run()
                passed += 1
                if "-v" in sys.argv:
                    print("ok   ", name)
            except (Failed, OSError) as e:
                if name in EXPECTED:
                    skipped += 1
                    print("known", name, EXPECTED[name])
                    continue
                failed += 1
                print("FAIL ", name, e)
    print("imaptest: %d groups passed, %d failed, %d skipped (extensions that are not offered)" % (passed, failed, skipped))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
