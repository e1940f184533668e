#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The other half of crashshim.c: what a power cut would have left.

  crashrestore.py init DIR           make the directory for the shim's notes (same file system as the tree, outside it)
  crashrestore.py freeze DIR         from now on every call on the tree blocks; then KILL all processes
  crashrestore.py restore ROOT DIR [--mode lost|random|kept] [--seed N] [-v]
                                     undo what no sync covered, and begin new notes

lost: everything that was not synced is gone.  random: of each file some pages, of each directory some last changes.
kept: everything arrived (what KILL alone shows).  Changes of one directory are undone from the last backwards, as a
journaling file system does; pages of a file in any choice.  A file's sync does not sync its name.
"""
import argparse, fcntl, mmap, os, random, shutil, struct, sys

HEAD = struct.Struct('<IIQQQQQII')
WRITE, SIZE, ENTRY, SYNC, SYNCDIR, SYNCALL, ABORT = range(1, 8)
PAGE = 4096


class Note:
    __slots__ = ('type', 'seq', 'a', 'b', 'c', 'd', 's1', 's2')


def read_notes(path):
    data = open(path, 'rb').read()
    at, notes = 0, []
    while at + HEAD.size <= len(data):
        n = Note()
        length, n.type, n.seq, n.a, n.b, n.c, n.d, n1, n2 = HEAD.unpack_from(data, at)
        if length != HEAD.size + n1 + n2 or at + length > len(data):
            break
        n.s1 = data[at + HEAD.size:at + HEAD.size + n1]
        n.s2 = data[at + HEAD.size + n1:at + length]
        notes.append(n)
        at += length
    return notes


def init(d):
    shutil.rmtree(d, ignore_errors=True)
    os.makedirs(os.path.join(d, 'inode'))
    os.chmod(d, 0o777)
    os.chmod(os.path.join(d, 'inode'), 0o777)
    for name, content in (('lock', b''), ('log', b''), ('state', b'\0' * 4096)):
        with open(os.path.join(d, name), 'wb') as f:
            f.write(content)
        os.chmod(os.path.join(d, name), 0o666)


def freeze(d):
    with open(os.path.join(d, 'lock'), 'r+b') as lock, open(os.path.join(d, 'state'), 'r+b') as st:
        fcntl.flock(lock, fcntl.LOCK_EX)
        m = mmap.mmap(st.fileno(), 4096)
        m[8:12] = struct.pack('<I', 1)
        m.close()


class Restore:
    def __init__(self, root, d, mode, rnd, verbose):
        self.root, self.d, self.mode, self.rnd, self.verbose = os.path.realpath(root), d, mode, rnd, verbose
        self.notes = read_notes(os.path.join(d, 'log'))
        aborted = {n.a for n in self.notes if n.type == ABORT}
        self.notes = [n for n in self.notes if not (n.type == ENTRY and (n.seq in aborted or n.c in aborted))]
        self.all = max([n.seq for n in self.notes if n.type == SYNCALL], default=0)
        self.ino_sync, self.dir_sync = {}, {}
        for n in self.notes:
            if n.type == SYNC:
                self.ino_sync[n.a] = n.seq
            elif n.type == SYNCDIR:
                self.dir_sync[n.s1] = n.seq
        self.figures = {'writes': 0, 'names': 0, 'sizes': 0}
        self.scan()

    def scan(self):
        """Where each inode can be reached."""
        self.where = {}
        for top in (self.root, os.path.join(self.d, 'inode')):
            for base, dirs, files in os.walk(top):
                for name in files:
                    p = os.path.join(base, name)
                    try:
                        self.where.setdefault(os.lstat(p).st_ino, p)
                    except FileNotFoundError:
                        pass

    def keep(self, n):
        """Is this change on disk?"""
        return self.rnd.random() < 0.5 if self.mode == 'random' else self.mode == 'kept'

    # ---- contents ----

    def contents(self):
        by_ino = {}
        for n in self.notes:
            if n.type in (WRITE, SIZE) and n.seq > max(self.all, self.ino_sync.get(n.a, 0)):
                by_ino.setdefault(n.a, []).append(n)
        for ino, ops in by_ino.items():
            if ino in self.where and self.mode != 'kept':
                self.restore_file(self.where[ino], ops)

    def restore_file(self, path, ops):
        with open(path, 'rb') as f:
            current = f.read()
        image = bytearray(current)
        durable, end = [], 0
        touched = set()
        for n in reversed(ops):
            if n.type == SIZE:
                if len(image) < n.c:
                    image.extend(bytes(n.c - len(image)))
                continue
            length = n.d >> 8
            if n.d & 1:
                durable.append((n.b, n.b + length))
                end = max(end, n.b + length)
                continue
            before = n.s2 + bytes(length - len(n.s2))
            if len(image) < n.b + length:
                image.extend(bytes(n.b + length - len(image)))
            self.undo(image, n.b, before, durable)
            touched.update(range(n.b // PAGE, (n.b + length + PAGE - 1) // PAGE))
        changes = [n for n in ops if not (n.type == WRITE and n.d & 1)]
        if not changes:
            return
        size = max(changes[0].c, end)
        if self.mode == 'random':
            for p in touched:
                if self.rnd.random() < 0.5:
                    lo, hi = p * PAGE, min((p + 1) * PAGE, len(current))
                    if hi > lo:
                        image[lo:hi] = current[lo:hi]
            if self.rnd.random() < 0.5:
                size = len(current)
        if len(image) < size:
            image.extend(bytes(size - len(image)))
        image = bytes(image[:size])
        if image != current:
            self.figures['writes'] += len(touched)
            self.figures['sizes'] += size != len(current)
            if self.verbose:
                print('content', path, len(current), '->', size, 'pages', len(touched))
            with open(path, 'r+b') as f:
                f.write(image)
                f.truncate(size)

    @staticmethod
    def undo(image, off, before, durable):
        """Put <before> back, but for what a durable write has replaced since."""
        pieces = [(off, off + len(before))]
        for lo, hi in durable:
            pieces = [q for a, b in pieces for q in ((a, min(b, lo)), (max(a, hi), b)) if q[0] < q[1]]
        for a, b in pieces:
            image[a:b] = before[a - off:b - off]

    # ---- names ----

    def names(self):
        by_dir = {}
        for n in self.notes:
            if n.type == ENTRY and n.seq > max(self.all, self.dir_sync.get(n.s1, 0)):
                by_dir.setdefault(n.s1, []).append(n)
        cut = {}
        for d, ops in by_dir.items():
            starts = [i for i, n in enumerate(ops) if i == 0 or ops[i - 1].c != n.c]
            k = {'lost': 0, 'kept': len(ops)}.get(self.mode)
            cut[d] = k if k is not None else self.rnd.choice(starts + [len(ops)])
        # A rename between two directories does not lose the file: without the new name the old one stays.
        again = True
        while again:
            again = False
            dropped = {n.c for d, ops in by_dir.items() for n in ops[cut[d]:] if n.b != 0}
            for d, ops in by_dir.items():
                for i, n in enumerate(ops[:cut[d]]):
                    if n.b == 0 and n.c in dropped:
                        cut[d], again = i, True
                        break
        want = {}
        for d, ops in by_dir.items():
            for n in reversed(ops[cut[d]:]):
                want[(d, n.s2)] = (n.a, n.d & 1)
                self.figures['names'] += 1
        self.apply(want)

    def apply(self, want):
        hold = os.path.join(self.d, 'inode')
        changes = []
        for (d, name), (ino, is_dir) in want.items():
            p = os.path.join(d, name)
            try:
                st = os.lstat(p)
            except (FileNotFoundError, NotADirectoryError):
                st = None
            if (st is None and ino == 0) or (st is not None and st.st_ino == ino):
                continue
            # What is to be linked must not vanish with the names that go first.
            if ino and not is_dir:
                src = self.where.get(ino)
                q = os.path.join(hold.encode(), b'%d' % ino)
                if src is not None and not os.path.lexists(q):
                    os.link(src, q, follow_symlinks=False)
            changes.append((p, st, ino, is_dir))
        for p, st, ino, is_dir in changes:
            if self.verbose:
                print('name', os.fsdecode(p), st.st_ino if st else 0, '->', ino)
            if st is not None and os.path.isdir(p) and not os.path.islink(p):
                shutil.rmtree(p)
            elif st is not None and os.path.lexists(p):
                os.unlink(p)
        # Directories first, the upper ones before the lower.
        for p, st, ino, is_dir in sorted(changes, key=lambda c: (not c[3], len(c[0]))):
            if ino == 0 or not os.path.isdir(os.path.dirname(p)):
                continue
            if is_dir:
                os.makedirs(p, exist_ok=True)
            else:
                q = os.path.join(hold.encode(), b'%d' % ino)
                if os.path.lexists(q):
                    os.link(q, p, follow_symlinks=False)
                else:
                    print('inode', ino, 'of', os.fsdecode(p), 'is gone', file=sys.stderr)

    def tidy(self):
        for base, dirs, files in os.walk(self.root):
            for name in files:
                if name.startswith('.shim.'):
                    os.unlink(os.path.join(base, name))
        init(self.d)


ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument('what', choices=('init', 'freeze', 'restore'))
ap.add_argument('dirs', nargs='+')
ap.add_argument('--mode', choices=('lost', 'random', 'kept'), default='lost')
ap.add_argument('--seed', type=int, default=0)
ap.add_argument('-v', action='store_true')
a = ap.parse_args()
if a.what == 'init':
    init(a.dirs[0])
elif a.what == 'freeze':
    freeze(a.dirs[0])
else:
    r = Restore(a.dirs[0], a.dirs[1], a.mode, random.Random(a.seed), a.v)
    r.contents()
    r.names()
    print('%d notes; undone: %d pages, %d sizes, %d names' % (len(r.notes), r.figures['writes'], r.figures['sizes'],
          r.figures['names']))
    r.tidy()
