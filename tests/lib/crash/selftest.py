#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""selftest.py SHIM.so: does the crash shim lose what it must lose, and nothing else?

Each case is a script that runs under the shim in an empty tree; afterwards the tree is restored
(everything not synced is lost) and compared.  Then the same with random choices: every result must
be one that a disk may show.
"""
import os, shutil, subprocess, sys, tempfile

here = os.path.dirname(os.path.abspath(__file__))
shim = os.path.abspath(sys.argv[1])
tool = os.path.join(here, 'crashrestore.py')

PRELUDE = '''
import os, sys
def put(name, data, sync=False, off=None):
    fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
    if off is None: os.write(fd, data)
    else: os.pwrite(fd, data, off)
    if sync: os.fsync(fd)
    os.close(fd)
def dsync(d='.'):
    fd = os.open(d, os.O_RDONLY); os.fsync(fd); os.close(fd)
'''
# name, script, tree after losing all that was not synced
CASES = [
    ('unsynced file', "put('a', b'x')", {}),
    ('synced file, name not', "put('a', b'x', True)", {}),
    ('name synced, content not', "put('a', b'x'); dsync()", {'a': b''}),
    ('all synced', "put('a', b'x', True); dsync()", {'a': b'x'}),
    ('overwritten', "put('a', b'old', True); dsync(); put('a', b'new')", {'a': b'old'}),
    ('longer', "put('a', b'old', True); dsync(); put('a', b'and more', off=3)", {'a': b'old'}),
    ('hole', "put('a', b'old', True); dsync(); put('a', b'far', off=9000)", {'a': b'old'}),
    ('twice', "put('a', b'one', True); dsync(); put('a', b'two', True); put('a', b'tri')", {'a': b'two'}),
    ('truncated', "put('a', b'0123456789', True); dsync(); os.truncate('a', 3) if False else None\n"
     "fd = os.open('a', os.O_RDWR); os.ftruncate(fd, 3)", {'a': b'0123456789'}),
    ('truncated by open', "put('a', b'0123', True); dsync(); os.open('a', os.O_WRONLY | os.O_TRUNC)", {'a': b'0123'}),
    ('appended', "put('a', b'0123', True); dsync(); fd = os.open('a', os.O_WRONLY | os.O_APPEND); os.write(fd, b'4567')",
     {'a': b'0123'}),
    ('unlinked', "put('a', b'x', True); dsync(); os.unlink('a')", {'a': b'x'}),
    ('unlinked and synced', "put('a', b'x', True); dsync(); os.unlink('a'); dsync()", {}),
    ('renamed', "put('a', b'x', True); dsync(); os.rename('a', 'b')", {'a': b'x'}),
    ('renamed and synced', "put('a', b'x', True); dsync(); os.rename('a', 'b'); dsync()", {'b': b'x'}),
    ('replaced', "put('a', b'old', True); dsync(); put('t', b'new', True); os.rename('t', 'a')", {'a': b'old'}),
    ('replaced and synced', "put('a', b'old', True); dsync(); put('t', b'new', True); os.rename('t', 'a'); dsync()",
     {'a': b'new'}),
    ('replaced by an unsynced one', "put('a', b'old', True); dsync(); put('t', b'new'); os.rename('t', 'a'); dsync()",
     {'a': b''}),
    ('linked', "put('a', b'x', True); dsync(); os.link('a', 'b')", {'a': b'x'}),
    ('linked and unlinked', "put('a', b'x', True); dsync(); os.link('a', 'b'); os.unlink('a')", {'a': b'x'}),
    ('directory', "os.mkdir('d'); put('d/a', b'x', True); dsync('d')", {}),
    ('directory synced', "os.mkdir('d'); dsync(); put('d/a', b'x', True); dsync('d'); put('d/b', b'y', True)",
     {'d/a': b'x'}),
    ('directory removed', "os.mkdir('d'); dsync(); os.rmdir('d')", {'d/': None}),
    ('moved between directories', "os.mkdir('d'); put('a', b'x', True); dsync(); dsync('d'); os.rename('a', 'd/a')",
     {'a': b'x', 'd/': None}),
    ('sync of all', "put('a', b'x'); os.sync(); put('b', b'y')", {'a': b'x'}),
    ('O_DSYNC', "put('a', b'0' * 8192, True); dsync(); fd = os.open('a', os.O_RDWR | os.O_DSYNC); os.pwrite(fd, b'1111', 0)\n"
     "fd2 = os.open('a', os.O_RDWR); os.pwrite(fd2, b'2222', 2); os.pwrite(fd2, b'3', 5000)",
     {'a': b'1111' + b'0' * 8188}),
    ('O_DSYNC over an unsynced write', "put('a', b'0' * 16, True); dsync(); fd2 = os.open('a', os.O_RDWR); os.pwrite(fd2, b'2222', 2)\n"
     "fd = os.open('a', os.O_RDWR | os.O_DSYNC); os.pwrite(fd, b'1111', 0)", {'a': b'1111' + b'0' * 12}),
    ('failed calls', "put('a', b'x', True); dsync()\nfor f in (lambda: os.rename('nope', 'a'), lambda: os.rmdir('a'), lambda: os.mkdir('a')):\n"
     "    try: f()\n    except OSError: pass", {'a': b'x'}),
    ('child process', "put('a', b'x', True); dsync()\nif os.fork() == 0:\n    put('a', b'y', True); put('b', b'z', True); os._exit(0)\n"
     "os.wait()", {'a': b'y'}),
    ('killed in the middle', "put('a', b'x', True); dsync(); put('t', b'y', True); os.rename('t', 'a'); dsync()\n"
     "put('zz', b'never')", {'a': b'x'}, 'rename:/a:1:self'),
    ('killed behind', "put('a', b'x', True); dsync(); put('t', b'y', True); os.rename('t', 'a'); dsync(); put('zz', b'n')",
     {'a': b'y'}, 'create:/zz:1:self'),
]


def tree(top):
    out = {}
    for base, dirs, files in os.walk(top):
        for f in files:
            p = os.path.join(base, f)
            out[os.path.relpath(p, top)] = open(p, 'rb').read()
        if not dirs and not files and base != top:
            out[os.path.relpath(base, top) + '/'] = None
    return out


def run(top, script, rule):
    box, notes = os.path.join(top, 'box'), os.path.join(top, 'notes')
    shutil.rmtree(box, ignore_errors=True)
    os.mkdir(box)
    subprocess.check_call([tool, 'init', notes])
    env = dict(os.environ, LD_PRELOAD=shim, SHIM_ROOT=box, SHIM_DIR=notes)
    if rule:
        env['SHIM_KILL'] = rule
    rc = subprocess.call([sys.executable, '-c', PRELUDE + script], cwd=box, env=env)
    assert rc == (-9 if rule else 0), rc
    return box, notes


def main():
    bad = 0
    top = tempfile.mkdtemp(prefix='crashshim.')
    for name, script, want, *rule in CASES:
        box, notes = run(top, script, rule[0] if rule else None)
        subprocess.check_output([tool, 'restore', box, notes])
        got = tree(box)
        if got != want:
            bad += 1
            print('FAIL %s: want %s, got %s' % (name, want, got))
    # Random choices: two pages of one file, each old or new; names in order.
    seen = set()
    for seed in range(40):
        box, notes = run(top, "put('a', b'o' * 8192, True); dsync(); put('a', b'n' * 8192); put('b', b'', True); put('c', b'', True)", None)
        subprocess.check_output([tool, 'restore', box, notes, '--mode', 'random', '--seed', str(seed)])
        t = tree(box)
        assert t['a'][:4096] in (b'o' * 4096, b'n' * 4096) and t['a'][4096:] in (b'o' * 4096, b'n' * 4096)
        assert not ('c' in t and 'b' not in t)
        seen.add((t['a'][:1], t['a'][-1:], 'b' in t, 'c' in t))
    if len(seen) < 8:
        bad += 1
        print('FAIL random: only', seen)
    shutil.rmtree(top)
    print('%d cases, %d failed' % (len(CASES) + 1, bad))
    return 1 if bad else 0


sys.exit(main())
