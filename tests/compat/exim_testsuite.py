#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""exim_testsuite.py SUITE BINARY WORK [-v] [NUMBER...] - scripts of the suite exim-testsuite (its README tells their language).

Runs, as root in a name space of its own (060-exim-testsuite.sh makes it), the scripts that only ask a configuration: -be, -bem,
-bt, -bv, -bvs, -brt, -brw, -bf, -bF, -bh, -bhc, -bP, -bV, and those of exim-testsuite.delivers, which deliver.  Compares standard
output with what the script's servers saw, after both have been made alike in what changes from run to run (dates, ids, this host's
names), return codes, and of those that deliver logs and mailboxes where the suite has them.  Prints a line for each script: "pass NUMBER",
"fail NUMBER reason", "skip NUMBER reason"; with -v also what differs.  With DUMP=folder what each wrote goes to folder/NUMBER.  Files of the suite that are not there (aux-fixed) make a
script be skipped."""
import difflib
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

# Deliveries in the foreground, and what works on the queue.
QUEUE = {'-odi', '-odq', '-odqs', '-bs', '-bS', '-q', '-qq', '-qf', '-qff', '-qi', '-ql', '-qfl', '-R', '-S', '-M', '-Mc', '-Mar', '-Meb',
         '-Mes', '-Mf', '-Mg', '-Mmd', '-Mmad', '-Mrm', '-Mset', '-Mt', '-Mvb', '-Mvh', '-Mvl', '-Mvc', '-bp', '-bpa', '-bpc', '-bpr',
         '-bpra', '-bpru', '-bpu', '-bi'}
MODES = {'-be', '-bem', '-bt', '-bv', '-bvs', '-brt', '-brw', '-bf', '-bF', '-bh', '-bhc', '-bP', '-bV'}
PREFIX = '''
exim_path = EXIM_PATH
keep_environment =
host_lookup_order = bydns
spool_directory = DIR/spool
log_file_path = DIR/spool/log/SERVER%slog
gecos_pattern = ""
gecos_name = CALLER_NAME
dns_cname_loops = 9
chunking_advertise_hosts =
tls_advertise_hosts =
'''
FILE_COMMANDS = {'cat', 'chmod', 'chown', 'cp', 'du', 'ln', 'ls', 'mkdir', 'mkfifo', 'rm', 'rmdir', 'touch'}
WITH_INPUT = {'write', 'catwrite', 'perl', 'server', 'client', 'background'}
IGNORED = re.compile(r'(no_\w+_check|need_\w+|munge|sortlog|rmfiltertest|no_munge|dump|gnutls)\b')
HOST4, HOST6, HOSTNAME = '192.0.2.1', '2001:db8::1', 'mail.local.test'


def linked(path):
    """What was a link to another number is a file that names it where links were not kept."""
    for _ in range(5):
        if os.path.exists(path) and os.path.getsize(path) < 8:
            name = open(path, encoding='latin-1').read().strip()
            if re.fullmatch(r'\d{4}', name) and os.path.exists(os.path.join(os.path.dirname(path), name)):
                path = os.path.join(os.path.dirname(path), name)
                continue
        break
    return path


class Command:
    def __init__(self, words, code):
        self.line, self.code, self.data = words, code, []


def substitute(text, number, work):
    """The suite's standard substitutions."""
    pairs = [('CALLER_UID', '0'), ('CALLER_GID', '0'), ('CALLERGROUP', 'root'), ('CALLER_HOME', '/'),
             ('EXIMUSER', 'exim'), ('EXIMGROUP', 'exim'), ('HOSTIPV4', HOST4), ('HOSTIPV6', HOST6),
             ('HOSTNAME', HOSTNAME), ('PORT_D2', '1226'), ('PORT_D3', '1227'), ('PORT_D4', '1228'), ('PORT_DYNAMIC', '1300'),
             ('PORT_D', '1225'), ('PORT_N', '1223'), ('PORT_S', '1224'), ('TESTNUM', number), ('V4NET', '224'),
             ('V6NET', 'ff00')]
    for k, v in pairs:
        text = text.replace(k, v)
    # A login, which is lower case.
    text = re.sub(r'CALLER(?!_NAME)', 'caller', text)
    return re.sub(r'\bDIR/', work + '/', text)


def parse(path):
    """The commands of a script; raises ValueError for what this runner has not got."""
    out, code, lines = [], None, open(path, encoding='latin-1').read().split('\n')
    i = 0
    while i < len(lines):
        line = lines[i].strip()
        i += 1
        if not line or line.startswith('#'):
            continue
        if re.match(r'~?\d+$', line):
            code = line
            continue
        while line.endswith('\\'):
            line = line[:-1] + lines[i].strip()
            i += 1
        cmd = Command(line, code)
        code = None
        out.append(cmd)
        if takes_input(line):
            while i < len(lines) and lines[i] != '****':
                cmd.data.append(lines[i])
                i += 1
            i += 1
    return out


EXIM = re.compile(r'((?:[A-Za-z_]\w*=\S+\s+)*)(?:(\d+)\s+)?(?:sudo\s+)?exim(?:\s+(.*))?$')


def takes_input(line):
    words = line.split()
    if words[0] == 'sudo':
        words = words[1:]
    return bool(EXIM.match(line)) or words[0] in WITH_INPUT or words[0].startswith('client')


def mode_of(args):
    m = [w.split('=')[0] for w in (args or '').split() if re.match(r'-(b|brt|q|M|od|t$|R|S|oX)', w)]
    return m[0] if m else ''


def wanted(commands):
    """Only questions, no deliveries, daemons or clients."""
    modes = {mode_of(EXIM.match(c.line).group(3)) for c in commands if EXIM.match(c.line)}
    if not modes or any(re.match(r'client|killdaemon|background|exim\w*build', c.line) for c in commands):
        return False
    return modes <= MODES or all(foreground(EXIM.match(c.line).group(3) or '') for c in commands if EXIM.match(c.line))


def foreground(args):
    """Nothing goes on behind its back."""
    words = {w.split('=')[0].rstrip('0123456789') for w in args.split()}
    return bool(words & (MODES | QUEUE)) and '-bd' not in words and '-odb' not in words


# ---- the server of scripts ----
class Listener(threading.Thread):
    """Plays a script of "server" for its connections."""

    def __init__(self, args, lines):
        super().__init__(daemon=True)
        words = [w for w in args.split() if not w.startswith('-')]
        if '-t' in args.split():
            words.pop(0)
        self.count, self.lines = int(words[1]) if len(words) > 1 else 1, lines
        self.said, self.where = [], words[0] if words[0].startswith('/') else 'port ' + words[0]
        if words[0].startswith('/'):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(words[0])
            os.chmod(words[0], 0o777)
        else:
            self.sock = socket.socket(socket.AF_INET6)
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(('::', int(words[0])))
        self.sock.listen(10)
        self.sock.settimeout(8)

    def run(self):
        rest = list(self.lines)
        try:
            for _ in range(self.count):
                self.said.append('Listening on %s ...' % self.where)
                c, peer = self.sock.accept()
                c.settimeout(5)
                self.said.append('Connection request' if isinstance(peer, (str, bytes)) or not peer else
                                 'Connection request from [%s]' % peer[0].replace('::ffff:', ''))
                rest = self.play(c, rest)
                c.close()
            self.said.append('End of script')
        except OSError:
            pass
        self.sock.close()

    @staticmethod
    def raw(text):
        return re.sub(rb'\\x([0-9a-fA-F]{2})', lambda m: bytes([int(m.group(1), 16)]), text.encode('latin-1')).replace(b'\\\\', b'\\')

    def play(self, c, rest):
        f = c.makefile('rb')
        while rest:
            line = rest.pop(0)
            if line.startswith('*eof'):
                self.said.append('Expected EOF read from client' if not f.read() else 'Client sent more')
                return rest
            if line[:1] in '>*' or line[:1].isdigit():
                self.said.append(line)
            if line.startswith('>*eof'):
                return rest
            if line.startswith('*sleep'):
                time.sleep(float(line.split()[1]))
            elif line.startswith('*data'):
                f.read(int(line.split()[1]))
            elif line.startswith('>'):
                m = re.match(r'>(>|CR>|LF>)?', line)
                c.sendall(self.raw(line[m.end():]) + {None: b'\r\n', '>': b'', 'CR>': b'\r', 'LF>': b'\n'}[m.group(1)])
            elif line[:1].isdigit():
                c.sendall(self.raw(line) + b'\r\n')
            elif line == '.':
                got = b'x'
                while got not in (b'.\r\n', b'.\n', b''):
                    got = f.readline()
                    self.said.append(got.decode('latin-1').rstrip('\r\n'))
            elif line.startswith('<<'):
                f.read(len(self.raw(line[2:])))
            else:
                want = self.raw(line.lstrip('<'))
                got = f.readline()
                self.said.append(('<' if line.startswith('<') else '') + got.decode('latin-1').rstrip('\r\n'))
                if not got[:len(want)].lower() == want.lower():
                    self.said += ['Comparison failed - bailing out', 'Expected: ' + line]
                    raise OSError('not what was expected')
        return rest


# ---- running ----
class Run:
    def __init__(self, suite, binary, work, number, group):
        self.suite, self.binary, self.work, self.number, self.group = suite, binary, work, number, group
        self.out, self.err, self.errs, self.wrong, self.servers, self.served = b'', b'', b'', [], [], []

    def prepare(self):
        w = self.work
        for name in os.listdir(w):
            if name in ('eximdir', 'dnszones'):
                continue
            p = os.path.join(w, name)
            shutil.rmtree(p) if os.path.isdir(p) and not os.path.islink(p) else os.unlink(p)
        for d in ('spool/log', 'spool/input', 'spool/db', 'aux-var', 'test-mail', 'bin'):
            os.makedirs(f'{w}/{d}')
        for d in ('spool', 'spool/log', 'spool/input', 'spool/db', 'test-mail'):
            os.chmod(f'{w}/{d}', 0o777)
        open(f'{w}/aux-var/std_conf_prefix', 'w').write(self.subst(PREFIX))
        if os.path.isdir(f'{self.suite}/aux-fixed'):
            os.symlink(f'{self.suite}/aux-fixed', f'{w}/aux-fixed')
        for f in glob.glob(f'{self.suite}/aux-var-src/*'):
            text = open(f, encoding='latin-1').read()
            open(f'{w}/aux-var/{os.path.basename(f)}', 'w', encoding='latin-1').write(self.subst(text))
        conf = linked(f'{self.suite}/confs/{self.number}')
        if os.path.exists(conf):
            open(f'{w}/test-config', 'w', encoding='latin-1').write(self.subst(open(conf, encoding='latin-1').read()))
        else:
            open(f'{w}/test-config', 'w').write('.include DIR/aux-var/std_conf_prefix\n'.replace('DIR', w))
        os.chmod(f'{w}/test-config', 0o644)

    def subst(self, text):
        return substitute(text, self.number, self.work)

    def shell(self, cmd, data, seconds=40):
        p = subprocess.Popen(['sh', '-c', cmd.encode('latin-1')], cwd=self.work, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = p.communicate(data, timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, err = p.communicate()
            self.wrong.append('took too long: ' + cmd[-80:])
        self.err = err
        self.errs += err
        return out, p.returncode

    def data(self, lines):
        out = b''
        for line in lines:
            m = re.match(r':(\w+):\s?(.*)$', line)
            if m and m.group(1) == 'eval':
                out += m.group(2).encode('latin-1').decode('unicode_escape').encode('latin-1')
            elif m and m.group(1) == 'noeol':
                out += m.group(2).encode('latin-1')
            elif m and m.group(1) == 'file':
                out += open(m.group(2), 'rb').read()
            elif not m or m.group(1) != 'sleep':
                out += line.encode('latin-1') + b'\n'
        return out

    def exim(self, m, cmd, data):
        args = m.group(3) or ''
        out, code = self.shell(f'{m.group(1)} {self.binary} -DEXIM_PATH={self.work}/eximdir/exim -C {self.work}/test-config {args}',
                               data)
        self.out += out
        want = cmd.code or '0'
        if want.startswith('~') == (code == int(want.lstrip('~'))):
            self.wrong.append(f'returned {code}, not {want}: exim {args[:60]}')

    def stop_servers(self):
        """Their ports are wanted again."""
        for s in self.servers:
            s.join(1)
            try:
                s.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.join(2)
            s.sock.close()
            self.served += s.said
        self.servers = []

    def write(self, words, lines, show):
        parts = lines.index('++++') if '++++' in lines else len(lines)
        text = ''.join(x + '\n' for x in lines[:parts])
        for spec in words[2:]:
            m = re.match(r'(\d+)x(\d+)(?:=(.*))?$', spec)
            head = (m.group(3) or '').replace('_', ' ')
            text += (head + 'a' * (int(m.group(2)) - len(head)) + '\n') * int(m.group(1))
        text += ''.join(x + '\n' for x in lines[parts + 1:])
        open(os.path.join(self.work, words[1]), 'w', encoding='latin-1').write(text)
        if show:
            self.out += text.encode('latin-1')

    def command(self, cmd):
        line = self.subst(cmd.line)
        lines = [self.subst(x) for x in cmd.data]
        m = EXIM.match(line)
        if m:
            return self.exim(m, cmd, self.data(lines))
        words = line.split()
        if words[0] == 'sudo':
            words, line = words[1:], line.split(None, 1)[1]
        if words[0] in ('write', 'catwrite'):
            self.write(words, lines, words[0] == 'catwrite')
        elif words[0] == 'server':
            self.stop_servers()
            s = Listener(line.split(None, 1)[1], lines)
            self.servers.append(s)
            s.start()
        elif words[0] == 'perl':
            out, _ = self.shell(line, self.data(lines))
            self.out += out
        elif words[0] in ('sleep', 'millisleep'):
            time.sleep(min(5.0, float(words[1]) / (1000 if words[0] == 'millisleep' else 1)))
        elif words[0] == 'echo':
            pass
        elif words[0] in FILE_COMMANDS:
            out, _ = self.shell(line, b'')
            self.out += out
        elif not IGNORED.match(line):
            raise ValueError('no command ' + words[0])
        return None

    def needs(self, commands):
        """What the script cannot do without and is not here, or None."""
        text = '\n'.join(c.line + '\n' + '\n'.join(c.data) for c in commands)
        conf = linked(f'{self.suite}/confs/{self.number}')
        if os.path.exists(conf):
            text += open(conf, encoding='latin-1').read()
        if 'aux-fixed' in text and not os.path.isdir(f'{self.suite}/aux-fixed'):
            return 'its data files are not there'
        m = re.search(r'aux-var/(?!std_conf_prefix)(\S+)', text)
        if m and not os.path.isdir(f'{self.suite}/aux-var-src'):
            return 'its data files are not there'
        if re.search(r'DIR/bin/|bin\.sys/', text):
            return 'it starts a program of its own suite'
        return None


# ---- making alike ----
def alike(text, work):
    s = text.decode('latin-1').replace('\r', '')
    s = s.replace(work, 'TESTSUITE')
    s = re.sub(r'\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [-+]\d{4}( \([A-Z]+\))?', 'DATE', s)
    s = re.sub(r'\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?( [-+]\d{4})?', 'TIME', s)
    s = re.sub(r'\bE?[0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4}|0005vi-00)\b', 'MSGID', s)
    s = re.sub(r'(Exim|exim_version[ =:]+) ?(x\.yz|\d\.\d+(\.\d+)?)', r'\1 x.yz', s)
    s = re.sub(r'\bip6(:ip6){7}\b|' + re.escape(HOST6) + r'\b|2001:0db8(:0000){6}:?0001', 'HOSTIPV6', s)
    s = re.sub(r'\bip4(\.ip4){3}\b|' + re.escape(HOST4) + r'\b', 'HOSTIPV4', s)
    s = re.sub(r'\bthe\.local\.host\.name\b|' + re.escape(HOSTNAME), 'HOSTNAME', s)
    s = re.sub(r'\b(caller|CALLER|root)\b', 'CALLER', s)
    s = re.sub(r'\b224\.', 'V4NET.', s)
    s = re.sub(r'\bff00:', 'V6NET:', s)
    for k, v in (('PORT_N', '1223'), ('PORT_S', '1224'), ('PORT_D', '1225'), ('PORT_D2', '1226')):
        s = re.sub(r'\b' + v + r'\b', k, s)
    # Offered by default where it is built, which the suite's own builds are not.
    s = re.sub(r'(?m)^250-SMTPUTF8\n', '', s)
    s = re.sub(r'(?m)[ \t]+$', '', s)
    return s.rstrip('\n')


def file_alike(text, work):
    """Logs and mailboxes: further times, sizes, processes."""
    s = alike(text, work)
    s = re.sub(r'(?m)^(\*\*\* )?From (\S+) [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}', r'\1From \2 WHEN', s)
    s = re.sub(r'\bS=(\d+|sss)\b', 'S=N', s)
    s = re.sub(r'\b(Q?[DR]?T)=(\d[\w.]*s|qqs)\b', r'\1=Ns', s)
    s = re.sub(r'\[(\d+|pppp)\](?=:|$)', '[PID]', s)
    s = re.sub(r'\b(pid|uid|gid|euid|egid)[= ](p?\d+|pppp|uuuu|gggg|CALLER_[UG]ID|EXIM_[UG]ID)', r'\1=N', s)
    s = re.sub(r'(?m)^(--+|Content-Type: multipart/report.*boundary=)\S*eximdsn\S*$', r'\1BOUNDARY', s)
    s = re.sub(r'boundary=\S*eximdsn\S*', 'boundary=BOUNDARY', s)
    return re.sub(r'\d+-eximdsn-\d+', 'BOUNDARY', s)


def expected_files(suite, number):
    """What the suite has recorded: name below the working folder to file."""
    out = {}
    for kind, folder in (('log', 'spool/log/mainlog'), ('rejectlog', 'spool/log/rejectlog'), ('paniclog', 'spool/log/paniclog')):
        p = linked(f'{suite}/{kind}/{number}')
        if os.path.isfile(p):
            out[folder] = p
    for p in glob.glob(f'{suite}/mail/{number}.*'):
        for root, _, files in os.walk(p):
            for f in files:
                full = os.path.join(root, f)
                out['test-mail' + full[len(f'{suite}/mail/{number}'):].replace('.', '/', 1)] = full
        if os.path.isfile(p):
            out['test-mail/' + os.path.basename(p)[len(number) + 1:]] = p
    return out


def compare_files(r, verbose):
    """Logs and delivered mail; a folder of the suite that is not there says nothing."""
    want = expected_files(r.suite, r.number)
    kinds = {'spool/log/mainlog': 'log', 'spool/log/rejectlog': 'rejectlog', 'spool/log/paniclog': 'paniclog'}
    have = [k for k in kinds if os.path.isfile(f'{r.work}/{k}') and os.path.getsize(f'{r.work}/{k}')]
    have += ['test-mail/' + f.replace('caller', 'CALLER') for f in os.listdir(f'{r.work}/test-mail') if os.path.isfile(f'{r.work}/test-mail/{f}')]
    for name in sorted(set(want) | set(have)):
        if not os.path.isdir(f'{r.suite}/{kinds.get(name, "mail")}'):
            continue
        w = file_alike(open(want[name], 'rb').read(), r.work) if name in want else ''
        p = f'{r.work}/{name}'.replace('CALLER', 'caller')
        g = file_alike(open(p, 'rb').read(), r.work) if os.path.isfile(p) else ''
        if w == g:
            continue
        n = list(difflib.unified_diff(w.split('\n'), g.split('\n'), 'expected ' + name, 'got', lineterm='', n=1))
        r.wrong.append('%s: %d lines differ' % (name, sum(1 for x in n[2:] if x[0] in '+-')))
        if verbose:
            print('\n'.join(n))


def questions(commands):
    return all(mode_of(EXIM.match(c.line).group(3)) in MODES for c in commands if EXIM.match(c.line))


def delivering():
    """Of the scripts that deliver, those that are run unless others are asked for by number."""
    lines = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'exim-testsuite.delivers')).read().split('\n')
    return set(' '.join(x for x in lines if not x.startswith('#')).split())


def run_one(suite, binary, work, path, verbose, chosen):
    number, group = os.path.basename(path), os.path.basename(os.path.dirname(path))
    r = Run(suite, binary, work, number, group)
    try:
        commands = parse(path)
        if not wanted(commands) or not (questions(commands) or number in chosen):
            return None
        why = r.needs(commands)
        if why:
            return 'skip', why
        r.prepare()
        for c in commands:
            r.command(c)
        r.stop_servers()
    except (ValueError, OSError) as e:
        return 'skip', str(e)
    want = linked(f'{suite}/stdout/{number}')
    expected = alike(open(want, 'rb').read(), work) if os.path.exists(want) else ''
    check = not any(c.line.startswith('no_stdout_check') for c in commands)
    if r.served:
        r.out += '\n******** SERVER ********\n'.encode() + ''.join(x + '\n' for x in r.served).encode('latin-1')
    got = alike(r.out, work)
    if check and got != expected:
        n = [x for x in difflib.unified_diff(expected.split('\n'), got.split('\n'), 'expected', 'got', lineterm='', n=1)]
        r.wrong.append('%d lines differ' % sum(1 for x in n[2:] if x[0] in '+-'))
        if verbose:
            print('\n'.join(n))
    if not questions(commands):
        compare_files(r, verbose)
    if verbose and r.wrong and r.err:
        print('stderr:', r.err.decode('latin-1')[-600:])
    if os.environ.get('DUMP'):
        open(os.path.join(os.environ['DUMP'], number), 'w').write(got + '\n--- stderr\n' + alike(r.errs, work) + '\n')
    return ('fail', '; '.join(r.wrong)) if r.wrong else ('pass', group)


def main():
    args = [a for a in sys.argv[1:] if a != '-v']
    suite, binary, work, only = args[0], args[1], args[2], args[3:]
    counts, chosen = {}, set(only) or delivering()
    for path in sorted(glob.glob(f'{suite}/scripts/*/[0-9]*')):
        if only and os.path.basename(path) not in only:
            continue
        res = run_one(suite, binary, work, path, '-v' in sys.argv, chosen)
        if res is None:
            continue
        counts[res[0]] = counts.get(res[0], 0) + 1
        print(res[0], os.path.basename(path), res[1], flush=True)
    print(', '.join(f'{v} {k}' for k, v in sorted(counts.items())))


if __name__ == '__main__':
    main()
