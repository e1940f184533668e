#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Compare lib/mail and lib/imap with other people's test data (folders under VPOST_SUITES).

mail_suites.py PROBE [-v]: one line a suite; ends with 1 where more cases differ than ALLOWED says.
What is allowed to differ are cases in which the suite wants a stricter or a more guessing reader
than RFC 5322 4 and 2045 call for; README of each limit stands beside it.
"""
import calendar
import glob
import json
import os
import re
import subprocess
import sys

PROBE = sys.argv[1]
VERBOSE = "-v" in sys.argv
SUITES = os.environ["VPOST_SUITES"]


def probe(mode, inputs):
    data = b"".join(b"%d\n" % len(i) + i for i in inputs)
    out = subprocess.run([PROBE, mode], input=data, stdout=subprocess.PIPE, check=True).stdout
    answers, pos = [], 0
    while pos < len(out):
        end = out.index(b"\n", pos)
        n = int(out[pos:end])
        answers.append(out[end + 1:end + 1 + n])
        pos = end + 1 + n
    assert len(answers) == len(inputs), (mode, len(answers), len(inputs))
    return answers


def fields(answer):
    def unescape(v):
        if v == b"(null)":
            return None
        return re.sub(rb"\\x(..)", lambda m: bytes([int(m[1], 16)]), v).decode("utf-8", "replace")
    return [(line.split(b"=", 1)[0].decode(), unescape(line.split(b"=", 1)[1]))
            for line in answer.split(b"\n") if b"=" in line]


failures = []


def report(name, results, allowed=0):
    bad = [r for r in results if r is not None]
    state = "ok" if len(bad) <= allowed else "FAIL"
    print("%-4s %-28s %d of %d agree" % (state, name, len(results) - len(bad), len(results)))
    if len(bad) > allowed or VERBOSE:
        for b in bad[:200]:
            print("       ", b)
    if len(bad) > allowed:
        failures.append(name)


def isemail():
    text = open(SUITES + "/address-isemail/tests.xml", encoding="utf-8").read()
    cases = []
    for m in re.finditer(r"<test id=\"(\d+)\">(.*?)</test>", text, re.S):
        addr = re.search(r"<address>(.*?)</address>", m[2], re.S)
        addr = addr[1] if addr else ""
        addr = re.sub(r"&#x([0-9A-Fa-f]+);", lambda x: chr(int(x[1], 16)), addr)
        addr = addr.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
        addr = "".join(chr(ord(c) - 0x2400) if 0x2400 <= ord(c) < 0x2440 else c for c in addr)
        category = re.search(r"<category>ISEMAIL_(\w+)", m[2])[1]
        diagnosis = re.search(r"<diagnosis>ISEMAIL_(\w+)", m[2])[1]
        cases.append((m[1], addr, category, diagnosis))
    raw = [c[1].encode("utf-8") for c in cases]
    lenient, strict = [], []
    for c, a in zip(cases, probe("address", raw)):
        ok = not a.startswith(b"error=")
        want = c[2] != "ERR"
        lenient.append(None if ok == want else (*c, a))
    for c, a in zip(cases, probe("path", raw)):
        ok = not a.startswith(b"error=")
        want = c[2] in ("VALID_CATEGORY", "DNSWARN", "RFC5321")
        strict.append(None if ok == want else (*c, a))
    # Line ends before and behind an address count as blanks, hyphens may start a label, NUL is refused everywhere,
    # and no domain may be longer than SMTP can carry.
    report("isemail as header", lenient, 28)
    # Blanks behind a path; a backslash that the canonical form does not need and that made it a byte too long.
    report("isemail as SMTP path", strict, 2)


def mail_parser(name, mode, compare, allowed):
    cases = json.load(open(SUITES + "/mime-mail-parser/" + name + ".json"))
    answers = probe(mode, [c["header"].encode() for c in cases])
    report("mail-parser " + name, [compare(c["header"], c["expected"], fields(a)) for c, a in zip(cases, answers)],
           allowed)


def cmp_date(header, want, got):
    got = dict(got)
    if want is None:
        return None if "error" in got else (header, want, got)
    zone = (want["tz_hour"] * 60 + want["tz_minute"]) * (-1 if want["tz_before_gmt"] else 1)
    utc = calendar.timegm((want["year"], want["month"], want["day"], want["hour"], want["minute"], want["second"])) \
        - zone * 60
    return None if got.get("utc") == str(utc) else (header, want, got)


def cmp_type(header, want, got):
    if want is None:
        return None if got[0][0] == "error" else (header, want, got)
    d = dict(got)
    names = [v for k, v in got if k == "name"]
    values = [v for k, v in got if k == "value"]
    have = sorted(zip(names, values))
    wanted = sorted((a[0].lower(), a[1]) for a in want.get("attributes") or [])
    if (d.get("type", "").lower(), (d.get("subtype") or "").lower()) != \
            (want["c_type"].lower(), (want.get("c_subtype") or "").lower()) or have != wanted:
        return (header, want, have)
    return None


def cmp_id(header, want, got):
    have = ["<%s>" % w for w in ([want] if isinstance(want, str) else want or [])]
    return None if [v for _, v in got] == have else (header, want, got)


def cmp_text(header, want, got):
    return None if re.sub(r"\s+", " ", got[0][1]) == re.sub(r"\s+", " ", want or "") else (header, want, got)


def cmp_addr(header, want, got):
    have, current = [], None
    items, item = [], {}
    for k, v in got:
        if k == "item":
            item = {"item": v}
            items.append(item)
        item[k] = v
    for i in items:
        if i["item"] == "group":
            current = (i["text"], [])
            have.append(current)
        elif i["item"] == "end":
            current = None
        else:
            addr = i["plain"] + ("@" + i["domain"] if i["domain"] else "")
            pair = (i["text"] or i["comment"], addr)
            if current:
                current[1].append(pair)
            else:
                have.append(pair)

    def pairs(v):
        return [(x["name"], x["address"]) for x in v]
    if want is None:
        wanted = []
    elif "List" in want:
        wanted = pairs(want["List"])
    else:
        wanted = []
        for g in want["Group"]:
            if g["name"] is None:
                wanted += pairs(g["addresses"])
            else:
                wanted.append((g["name"], pairs(g["addresses"])))
    return None if have == wanted else (header, wanted, have)


def mime4j():
    results = []
    paths = sorted(p for d in ("testmsgs", "mimetools-testmsgs")
                   for p in glob.glob(SUITES + "/mime-mime4j/" + d + "/*.msg")
                   if os.path.exists(p[:-4] + ".xml"))
    messages = [open(p, "rb").read() for p in paths]
    for path, msg, answer in zip(paths, messages, probe("mime", messages)):
        xml = open(path[:-4] + ".xml", "rb").read()
        events = re.findall(rb"<(multipart|message|body-part|body)>", xml)
        want = shape_of_events(xml)
        have = shape_of_parts(answer)
        results.append(None if have == want else (os.path.basename(path), want, have, len(events)))
    # Messages whose inner multipart says quoted-printable or base64 are decoded first there, and its limits differ.
    report("mime4j trees", results, 3)


def shape_of_events(xml):
    """Nested lists: leaf 'b', multipart ['m', ...], message ['r', x]."""
    stack, root = [], []
    cur = root
    for close, tag in re.findall(rb"<(/?)(multipart|message|body-part|body)[ >]", re.sub(
            rb"<(header|preamble|epilogue)>.*?</\1>|<body>.*?</body>",
            lambda m: b"<body></body>" if m[0].startswith(b"<body>") else b"", xml, flags=re.S)):
        if tag == b"body":
            if not close:
                cur.append("b")
        elif tag == b"body-part":
            continue
        elif not close:
            node = ["m" if tag == b"multipart" else "r"]
            cur.append(node)
            stack.append(cur)
            cur = node
        else:
            cur = stack.pop()
    return root[0][1] if root and len(root[0]) > 1 else None


def shape_of_parts(answer):
    nodes = []
    for line in answer.split(b"\n"):
        if line.startswith(b"part="):
            depth, kind = line[5:].split()[:2]
            nodes.append((int(depth), kind))
    root = ["r"]
    parents = [root]
    for depth, kind in nodes:
        del parents[depth + 1:]
        node = {b"leaf": "b", b"multipart": ["m"], b"message": ["r"]}[kind]
        parents[depth].append(node)
        parents.append(node)
    return root[1]


def robust():
    """Every message of every suite: a tree whose offsets nest, and balanced structures."""
    paths = sorted(glob.glob(SUITES + "/mime-mail-parser/eml/*/*.eml") + glob.glob(SUITES + "/mime-python/*.txt") +
                   glob.glob(SUITES + "/rspamd-messages/*.eml") + glob.glob(SUITES + "/imap-fetch-stalwart/imap/*.txt") +
                   glob.glob(SUITES + "/mime-mime4j/*/*.msg"))
    messages = [open(p, "rb").read() for p in paths]
    results = []
    for p, msg, a in zip(paths, messages, probe("mime", messages)):
        why, stack = None, []
        for line in a.split(b"\n"):
            if not line.startswith(b"part="):
                continue
            f = line[5:].split()
            depth, hs, bs, be, hl, bl = int(f[0]), *map(int, f[2:7])
            del stack[depth:]
            if not hs <= bs <= be <= len(msg) or (stack and not (stack[-1][0] <= hs and be <= stack[-1][1])):
                why = (p, line)
            if msg[bs:be].count(b"\n") != bl or msg[hs:bs].count(b"\n") != hl:
                why = (p, line, msg[hs:bs].count(b"\n"), msg[bs:be].count(b"\n"))
            stack.append((bs, be))
        results.append(why)
    report("offsets nest", results)


def leaf_sizes():
    """Stalwart's expected structures: compare sizes and lines of the leaves with known encodings."""
    results = []
    for path in sorted(glob.glob(SUITES + "/imap-fetch-stalwart/imap/*.txt")):
        msg = open(path, "rb").read()
        want = open(path[:-4] + ".imap", "rb").read()
        body = re.search(rb"\nBODYSTRUCTURE ", want)
        want = re.sub(rb"\s+", b" ", want[:body.start()] if body else want)
        have = probe("structure", [msg])[0]
        have = have[have.index(b"\nBODY ") + 1:have.index(b"\nBODYSTRUCTURE")]
        pick = re.compile(rb'"(?:7bit|8bit|base64|quoted-printable|binary)" (\d+)(?=[ )])(?! \()', re.I)
        results.append(None if pick.findall(have) == pick.findall(want) else
                       (os.path.basename(path), pick.findall(want), pick.findall(have)))
    # Broken multiparts and encoded message/rfc822 parts, which Stalwart decodes before it looks inside.
    report("stalwart leaf sizes", results, 4)


isemail()
# Two numbers for a month, digits that mean nothing, "EST5EDT", a date behind other text.
mail_parser("date", "date", cmp_date, 5)
# Types without a subtype count as none (RFC 2045 5.2), languages are not told, encoded words stay for mime_filename().
mail_parser("content_type", "type", cmp_type, 28)
# An identifier has angle brackets.
mail_parser("id", "id", cmp_id, 5)
# Further fields in the input, blanks that the suite adds.
mail_parser("unstructured", "text", cmp_text, 5)
# Lists of URLs are not lists of addresses; comments beside a display name are dropped.
mail_parser("address", "list", cmp_addr, 23)
mime4j()
leaf_sizes()
robust()
sys.exit(1 if failures else 0)
