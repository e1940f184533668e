# SPDX-License-Identifier: BSD-2-Clause
"""Data files for those scripts of exim-testsuite that only expand strings (-be), where the suite has been taken without its own:
made from what each script asks and what it must be answered, so that nothing of another's data is needed.  make() writes
what script NUMBER wants into its folder aux-fixed."""
import os
import shutil
import sqlite3
import struct
import subprocess

ALIASES = 'list: userx, usery\nroot: userx\n'
# A key that nobody asks for has to be passed over.
TEXTS = {
    '0484': {'0484.aliases': 'other: nobody\n' + ALIASES, '0484.aliases2': 'other: nobody\nlist: userx2, usery2\n'},
    '2212': {'2212.aliases': 'other: nobody\n' + ALIASES},
    '2500': {'2500.tst': '', '2500.dir/regfile': '', '2500.dir/..subdir/regfile': ''},
    '2750': {'policy.json': '''{ "serial": 7, "none": [],
  "policy-aliases": {
    "google": { "mxs": [ "mx.google.example" ], "mode": "testing" },
    "outlook": {"mode":"testing","mxs":[".outlook.com","outlook.com"]},
    "key_for_string_with_comma": "Doe, John"
  },
  "policies": { "mail.example": { "policy-alias": "google" }, "hotmail.com": {"policy-alias":"outlook"} }
}
'''},
    '2860': {'2860.psl.dat': '''// Rules of several kinds: plain, below another, any name but one, beyond ASCII.
ac
edu.ac
aero

aerobatic.aero
*.ck
!www.ck
zabc.net
*.wildcard.zabc.net
jp
\u4e09\u91cd.jp
'''},
}


def dbm(path, pairs):
    """A Berkeley DB of <pairs>, bytes as they are stored."""
    text = 'VERSION=3\nformat=bytevalue\ntype=hash\nHEADER=END\n'
    text += ''.join(' %s\n' % x.hex() for pair in pairs for x in pair) + 'DATA=END\n'
    if not shutil.which('db5.3_load'):
        raise ValueError('db5.3_load is not installed')
    subprocess.run(['db5.3_load', path], input=text.encode(), check=True)


def cdb(path, pairs):
    """The constant database: 256 tables of (hash, place) behind the records, and where they are in front."""
    at, data, tables = 2048, b'', [[] for _ in range(256)]
    for key, value in pairs:
        h = 5381
        for c in key:
            h = ((h << 5) + h ^ c) & 0xffffffff
        tables[h & 255].append((h, at))
        record = struct.pack('<II', len(key), len(value)) + key + value
        data, at = data + record, at + len(record)
    head = b''
    for t in tables:
        slots = [(0, 0)] * (2 * len(t))
        for h, place in t:
            i = (h >> 8) % len(slots)
            while slots[i][1]:
                i = (i + 1) % len(slots)
            slots[i] = (h, place)
        head += struct.pack('<II', at, len(slots))
        packed = b''.join(struct.pack('<II', *s) for s in slots)
        data, at = data + packed, at + len(packed)
    with open(path, 'wb') as f:
        f.write(head + data)


def hints(path, table, kind, rows):
    """DBM as SQLite keeps it."""
    with sqlite3.connect(path) as db:
        db.execute(f'CREATE TABLE {table} (ky {kind} PRIMARY KEY, dat BLOB)')
        db.executemany(f'INSERT INTO {table} VALUES (?, ?)', rows)
    db.close()


def message(folder, ident, options):
    """A report that waits in a spool: header file with <options>, body of 48 lines."""
    os.makedirs(folder + '/input')
    fields = [('P', f'Received: from nobody by myhost.test.ex with local (Exim 4.89)\n\tid {ident}\n\tfor root@test.ex; '
               'Thu, 29 Aug 2019 10:10:04 +0200\n'), ('F', 'From: nobody@myhost.test.ex\n'), ('T', 'To: root@test.ex\n'),
              ('I', f'Message-Id: <E{ident}@myhost.test.ex>\n'), (' ', 'Date: Thu, 29 Aug 2019 10:10:04 +0200\n')]
    with open(f'{folder}/input/{ident}-H', 'w') as f:
        f.write(f'{ident}-H\nnobody 65534 65534\n<>\n1567066204 0\n-ident nobody\n-received_protocol local\n')
        f.write(''.join(o + '\n' for o in options) + 'XX\n1\nroot@test.ex\n\n')
        f.write(''.join('%03d%s %s' % (len(text), kind, text) for kind, text in fields))
    with open(f'{folder}/input/{ident}-D', 'w') as f:
        f.write(f'{ident}-D\n' + 'A line of the body.\n' * 48)


def make(number, folder):
    """True: what the script needs is there now."""
    def at(name):
        return os.path.join(folder, name)
    os.makedirs(folder)
    for name, text in TEXTS.get(number, {}).items():
        os.makedirs(os.path.dirname(at(name)), exist_ok=True)
        with open(at(name), 'w', encoding='utf-8') as f:
            f.write(text)
    if number == '0910':
        message(at(number), '1i3FVM-0008QX-DU', ['-max_received_linelength 60', '-not_known ' + 'x' * 20400, '-body_linecount 48'])
    elif number == '1100':
        message(at(number), '1i2t1o-0000cD-CV', ['-body_linecount 48', '-tls_peerdn example.com\\'])
    elif number == '2301':
        dbm(at('2301.testsasldb'), [(b'testid\0test.example.invalid\0userPassword', b'testpw')])
    elif number == '2302':
        dbm(at('2302.emptydbmnzlookup'), [(b'test', b'')])
    elif number == '2400':
        cdb(at('2400.cdb'), [(b'zero', b'none'), (b'first', b'data for first'), (b'second', b'A=1 B=2')])
    elif number == '2601':
        hints(at('2601.testsasldb'), 'tbl', 'TEXT', [('testid+00test.example.invalid+00userPassword', b'result-data\0')])
    elif number == '2602':
        hints(at('2602.dbmnzlookup'), 'tblblob', 'BLOB', [(b'test', b''), (b'hasdata', b'result-data'), (b'hasdata\0', b'not this')])
    elif number not in TEXTS:
        return False
    return True
