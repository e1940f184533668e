#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""options.py [-w] - the lists of vpost-exim.conf(5) are those of lib/exim's option tables: every option with its type and
default, and whether it has an effect.  Says what differs; with -w the page's lists are written anew."""
import re
import sys

PAGE = 'man/vpost-exim.conf.5'
KINDS = [('MAIN', 'OPTIONS OF THE MAIN SECTION'), ('ROUTER', 'OPTIONS OF ROUTERS'), ('TRANSPORT', 'OPTIONS OF TRANSPORTS'),
         ('AUTH', 'OPTIONS OF AUTHENTICATORS')]


def c_string(text):
    return re.sub(r'\\(.)', lambda m: {'n': '\n', 't': '\t'}.get(m.group(1), m.group(1)), text)


def macros(path):
    """NAME_OPTIONS to its rows (name, type, default or None, flags)."""
    out = {}
    text = re.sub(r'\s*\\\n\s*', '\n\t', open(path).read())
    for name, body in re.findall(r'#define (EXIM_\w+_OPTIONS)\(X\)((?:\n\t.*)*)', text):
        rows = out[name] = []
        at = 0
        for m in re.finditer(r'X\((\w+),\s*(\w+),\s*(NULL|(?:"(?:[^"\\]|\\.)*"\s*)+),\s*([^()]*)\)', body):
            if body[at:m.start()].strip():
                sys.exit(f'{path}: what this script cannot read: {body[at:m.start()].strip()}')
            at = m.end()
            value = None if m.group(3) == 'NULL' else ''.join(c_string(x) for x in re.findall(r'"((?:[^"\\]|\\.)*)"', m.group(3)))
            rows.append((m.group(1), m.group(2), value, m.group(4)))
        if body[at:].strip():
            sys.exit(f'{path}: what this script cannot read: {body[at:].strip()}')
    return out


def quoted(text):
    table = {'\\': '\\e', '-': '\\-', '\n': '\\en', '\t': '\\et', '"': '\\(dq', "'": '\\(aq', '^': '\\(ha', '~': '\\(ti', '`': '\\(ga'}
    words = [''.join(table.get(c, c) for c in w) for w in text.split(' ')]
    words = ['\\&' + w if re.match(r"[.,:;()\[\]?!|']+$|[A-Z][a-z]$|[.']", w) else w for w in words]
    return '.Ql ' + '\\ '.join(words)


def entry(row, names, known):
    name, kind, default, flags = row
    text = names[kind]
    if 'KNOWN' in flags or known:
        text += '; read, without effect'
    if 'VPOST' in flags:
        text += '; ours'
    lines = ['.It Ic ' + name, text]
    if default is not None and default != '':
        lines[1] += ';'
        lines.append(quoted(default))
    return lines


def generate():
    tables = {}
    for f in ('main', 'router', 'transport', 'auth'):
        tables.update(macros(f'lib/exim/opt_{f}.h'))
    source = open('lib/exim/opttab.c').read()
    names = dict(re.findall(r'\[EXIM_OPT_(\w+)\] = "([^"]*)"', source))
    arrays = dict(re.findall(r'struct exim_option (\w+)\[\] = \{ (EXIM_\w+_OPTIONS)', source))
    out, section = [], None
    for kind, driver, array, flags in re.findall(
            r'\{ EXIM_KIND_(\w+), (NULL|"\w+"), (NULL|\w+), [^,]+, ([^,]+),', source):
        if driver == 'NULL' and kind != section:
            section = kind
            out.append('.Sh ' + dict(KINDS)[kind])
        elif array == 'NULL':
            continue
        else:
            out.append('.Ss Driver ' + driver.strip('"'))
        out.append('.Bl -tag -width indent -compact')
        for row in tables[arrays[array]]:
            out += entry(row, names, 'KNOWN' in flags)
        out.append('.El')
    return out


def main():
    page = open(PAGE).read().split('\n')
    first = page.index('.Sh OPTIONS OF THE MAIN SECTION')
    last = page.index('.Sh FILES')
    want = generate()
    if page[first:last] == want:
        return 0
    if '-w' in sys.argv:
        open(PAGE, 'w').write('\n'.join(page[:first] + want + page[last:]))
        return 0
    gone, new = set(page[first:last]) - set(want), set(want) - set(page[first:last])
    for line in sorted(new):
        print(f'{PAGE} lacks: {line}')
    for line in sorted(gone):
        print(f'{PAGE} has what the tables have not: {line}')
    print(f'{PAGE}: its lists are not those of the tables; tests/lint/options.py -w writes them')
    return 1


if __name__ == '__main__':
    sys.exit(main())
