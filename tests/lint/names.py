#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""names.py - tests/EXIM_NAMES has every name of lib/exim's tables that has an effect, once, sorted; each test it tells of is
there and mentions the name.  Says what is wrong, and how many names no test shows yet (which is no mistake)."""
import importlib.util
import os
import re
import sys

LIST = 'tests/EXIM_NAMES'


def option_tables():
    """(category, owner, name) of every option that has an effect, and of every driver."""
    spec = importlib.util.spec_from_file_location('options', 'tests/lint/options.py')
    mod = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mod)
    tables = {}
    for f in ('main', 'router', 'transport', 'auth'):
        tables.update(mod.macros(f'lib/exim/opt_{f}.h'))
    source = open('lib/exim/opttab.c').read()
    arrays = dict(re.findall(r'struct exim_option (\w+)\[\] = \{ (EXIM_\w+_OPTIONS)', source))
    for kind, driver, array, flags in re.findall(r'\{ EXIM_KIND_(\w+), (NULL|"\w+"), (NULL|\w+), [^,]+, ([^,]+),', source):
        if 'KNOWN' in flags or 'VPOST' in flags:
            continue
        kind, driver = kind.lower(), driver.strip('"')
        if driver != 'NULL':
            yield 'driver', kind, driver
        owner = '-' if kind == 'main' else 'generic' if driver == 'NULL' else driver
        for name, _, _, oflags in [] if array == 'NULL' else tables[arrays[array]]:
            if 'KNOWN' not in oflags and 'VPOST' not in oflags:
                yield kind, owner, name


def rows(path, start, row):
    """First group of <row> in every line of <path> behind <start> up to the end of the table."""
    text = open(path).read()
    at = re.search(start, text)
    if not at:
        sys.exit(f'{path}: no {start}: mend tests/lint/names.py')
    text = text[at.end():]
    return re.findall(row, text[:re.search(r'\n};|\n(?:enum|struct|\s*\n)', text).start()])


def language():
    yield from option_tables()
    for name in rows('lib/exim/acl_parse.c', r'const verbs\[VERB_COUNT\] = \{', r'"(\w+)"'):
        yield 'acl-verb', '-', name
    for name in rows('lib/exim/acl_int.h', r'#define ACL_CONDS\(X\)', r'X\((\w+),'):
        yield 'acl-condition', '-', name
    for name in rows('lib/exim/acl.h', r'#define EXIM_ACL_CONTROLS\(X\)', r'X\(\w+, "(\w+)"\)'):
        yield 'acl-control', '-', name
    for name in rows('lib/exim/logsel.h', r'#define EXIM_LOGSELS\(X\)', r'X\((\w+),'):
        yield 'log-selector', '-', name
    for category, path, start in (('expansion-item', 'expand_item.c', 'x_items'), ('expansion-operator', 'op.c', 'x_ops'),
                                  ('expansion-condition', 'cond.c', 'x_conds'), ('variable', 'var.c', 'vars'),
                                  ('lookup', 'lookup.c', 'types')):
        for name in rows('lib/exim/' + path, r'\b' + start + r'\[\] = \{', r'\n\t\{ "([^"]+)"'):
            yield category, '-', name


def mentions(name, where):
    """Is <name> in the test?  In a file of cases it has to be in the case."""
    path, _, case = where.partition(':')
    if not os.path.exists(path):
        return f'there is no {path}'
    text = open(path, encoding='latin-1').read()
    if case:
        at = re.search(r'^(?:(?:@case |=== |static const struct \w+ |(?:static void\n)?)' + re.escape(case) + r'(?= from |\n|\(|\[)|    dict\(name="' + re.escape(case) + '")', text, re.M)
        if not at:
            return f'{path} has no case {case}'
        end = re.search(r'^(?:@case |=== |\};?$|    dict\(|    # )', text[at.end():], re.M)
        text = text[at.end():at.end() + end.start()] if end else text[at.end():]
    if not re.search(r'(?:(?<![A-Za-z0-9])|(?<=\\n))(?:no_|not_)?' + re.escape(name) + r'(?![A-Za-z0-9])', text):
        return f'{where} does not mention {name}'
    return None


def main():
    bad, seen, open_, before = 0, {}, 0, ''
    for n, line in enumerate(open(LIST), 1):
        if line.startswith('#') or not line.strip():
            continue
        field = line.rstrip('\n').split(' ', 3)
        say = None
        if len(field) != 4:
            say = 'not "category owner name test"'
        elif tuple(field[:3]) in seen:
            say = 'a second line of this name; the first is %d' % seen[tuple(field[:3])]
        elif field[:3] < (before or ['']):
            say = 'not sorted'
        elif field[3].startswith('-'):
            open_ += 1
            say = None if len(field[3]) > 2 else 'no reason behind "-"'
        elif field[3] != 'rare':
            say = mentions(field[2], field[3])
        if say:
            print(f'{LIST}:{n}: {say}')
            bad = 1
        if len(field) == 4:
            seen[tuple(field[:3])] = n
            before = field[:3]
    for name in language():
        if name not in seen:
            print(f'{LIST}: lacks {" ".join(name)}')
            bad = 1
    if '-v' in sys.argv:
        print(f'{LIST}: {open_} of {len(seen)} names are without a test')
    return bad


if __name__ == '__main__':
    sys.exit(main())
