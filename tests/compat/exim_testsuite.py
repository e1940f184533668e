#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""exim_testsuite.py SUITE BINARY WORK [-v] [NUMBER...] - scripts of the suite exim-testsuite (its README tells their language).

Runs, as root in a name space of its own (060-exim-testsuite.sh makes it), the scripts that only ask a configuration: -be, -bem,
-bt, -bv, -bvs, -brt, -brw, -bf, -bF, -bh, -bhc, -bP, -bV, and those of exim-testsuite.delivers, which deliver.  Compares standard
output with what the script's servers saw, after both have been made alike in what changes from run to run (dates, ids, this host's
names), return codes, and of those that deliver logs and mailboxes where the suite has them.  Prints a line for each script: "pass NUMBER",
"fail NUMBER reason [digest of the difference]", "skip NUMBER reason", and "differs NUMBER digest" where exim-testsuite.known has "version:" and
that very digest; with -v also what differs.  With DUMP=folder what each wrote goes to folder/NUMBER.

Of the suite, 29 scripts only expand strings: whatever -b option a command of theirs has, it is -be (only_expands).  These run all:
data files of theirs that are not there are made (testsuite_data.py), the servers they want are started (testsuite_servers.py).  Other scripts
are skipped where files of the suite (aux-fixed) are not there."""
import difflib
import glob
import hashlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import testsuite_data
import testsuite_servers

# Deliveries in the foreground, and what works on the queue.
QUEUE = {'-odi', '-odq', '-odqs', '-bs', '-bS', '-q', '-qq', '-qf', '-qff', '-qi', '-ql', '-qfl', '-R', '-S', '-M', '-Mc', '-Mar', '-Meb',
         '-Mes', '-Mf', '-Mg', '-Mmd', '-Mmad', '-Mrm', '-Mset', '-Mt', '-Mvb', '-Mvh', '-Mvl', '-Mvc', '-bp', '-bpa', '-bpc', '-bpr',
         '-bpra', '-bpru', '-bpu', '-bi'}
MODES = {'-be', '-bem', '-bt', '-bv', '-bvs', '-brt', '-brw', '-bf', '-bF', '-bh', '-bhc', '-bP', '-bV'}
# What a set-user-id Exim does with the rights of its caller.
UNPRIVILEGED = {'-be', '-bem', '-bf', '-bF'}
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
.ifdef _HAVE_PIPE_CONNECT
pipelining_connect_advertise_hosts = :
.endif
tls_advertise_hosts =
'''
FILE_COMMANDS = {'cat', 'chmod', 'chown', 'cp', 'du', 'ln', 'ls', 'mkdir', 'mkfifo', 'rm', 'rmdir', 'touch'}
WITH_INPUT = {'write', 'catwrite', 'perl', 'server', 'client', 'background'}
IGNORED = re.compile(r'(no_\w+_check|need_\w+|munge|sortlog|rmfiltertest|no_munge|gnutls)\b')
MACRO = "(?m)^macro '[A-Z_]+' -> "
# What not even the suite has kept: written here.
NOT_KEPT = {'2602'}
# Pauses of a cluster's making, which takes less.
HASTE = {'2701': 2.0}
CALLER = '65010'
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


def data_of(suite, name):
    """A folder of data, which may lie in EXIM_TESTSUITE_AUX where the suite has been taken without it."""
    for top in (suite, os.environ.get('EXIM_TESTSUITE_AUX', suite)):
        if os.path.isdir(f'{top}/{name}'):
            return f'{top}/{name}'
    return f'{suite}/{name}'


class Command:
    def __init__(self, words, code):
        self.line, self.code, self.data = words, code, []


def substitute(text, number, work):
    """The suite's standard substitutions."""
    pairs = [('CALLER_UID', CALLER), ('CALLER_GID', CALLER), ('CALLERGROUP', 'caller'), ('CALLER_HOME', '/'),
             ('EXIMUSER', 'exim'), ('EXIMGROUP', 'exim'), ('MAILGROUP', 'mail'), ('HOSTIPV4', HOST4), ('HOSTIPV6', HOST6),
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
        if line.startswith('### '):
            out.append(Command(line, None))
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
            while i < len(lines) and lines[i].rstrip() != '****':
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
    if only_expands(commands):
        return True
    if not modes or any(re.match(r'client|killdaemon|background|exim\w*build', c.line) for c in commands):
        return False
    return modes <= MODES or all(foreground(EXIM.match(c.line).group(3) or '') for c in commands if EXIM.match(c.line))


def only_expands(commands):
    """All -b options of its commands are -be.  (Of the 2025 suite these are 29 scripts; one of them has a command without any.)"""
    kinds = {w for c in commands if EXIM.match(c.line) for w in (EXIM.match(c.line).group(3) or '').split() if re.match('-b[a-zA-Z]', w)}
    return kinds == {'-be'}


def foreground(args):
    """Nothing goes on behind its back."""
    words = {w.split('=')[0].rstrip('0123456789') for w in args.split()}
    return bool(words & (MODES | QUEUE)) and '-bd' not in words and '-odb' not in words


# ---- the server of scripts ----
class Listener(threading.Thread):
    """Plays a script of "server" for its connections."""

    def __init__(self, args, lines):
        super().__init__(daemon=True)
        words, self.wait, self.lonely = args.split(), 8, False
        while words[0].startswith('-'):
            # -tls takes two, a certificate and its key; -t and -i seconds, less than none where it is no fault that nobody comes.
            option = words.pop(0)
            if option == '-tls':
                raise ValueError('a server that speaks TLS')
            if option == '-i':
                raise ValueError('a server that is late')
            if option == '-t':
                self.wait = float(words.pop(0))
                self.lonely = self.wait < 0
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
        self.sock.settimeout(min(abs(self.wait), 8))

    def run(self):
        rest = list(self.lines)
        try:
            for _ in range(self.count):
                self.said.append('Listening on %s ...' % self.where)
                c, peer = self.sock.accept()
                c.settimeout(20)
                self.said.append('Connection request' if isinstance(peer, (str, bytes)) or not peer else
                                 'Connection request from [%s]' % peer[0].replace('::ffff:', ''))
                rest = self.play(c, rest)
                c.close()
            self.said.append('End of script')
        except socket.timeout:
            self.said.append('Server timed out')
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


# ---- the tools for DBM files ----
LINE_MAX, VALUE_MAX = 19999, 99999


def unquoted(text):
    """A key in quotes, whose backslashes are as in a C string, and what follows it."""
    out, i = '', 1
    while i < len(text) and text[i] != '"':
        if text[i] == '\\' and i + 1 < len(text):
            i += 1
            out += {'n': '\n', 't': '\t', 'r': '\r'}.get(text[i], text[i])
        else:
            out += text[i]
        i += 1
    return out, text[i + 1:]


def entries(path):
    """Keys with their values, of the lines of an lsearch file; a string says what is wrong."""
    out = []
    for line in open(path, encoding='latin-1').read().split('\n')[:-1]:
        if len(line) >= LINE_MAX:
            return 'Overlong line read: max permitted length is %d' % LINE_MAX
        if line[:1] in ('', '#'):
            continue
        if line[0].isspace():
            out[-1][1] += (' ' if out[-1][1] else '') + line.strip()
        else:
            m = re.match(r'([^:\s]*)(.*)$', line)
            key, rest = unquoted(line) if line[0] == '"' else m.groups()
            out.append([key.lower(), re.sub(r'^\s*:?\s*', '', rest)])
        if len(line[0]) + sum(map(len, out[-1])) > VALUE_MAX:
            return 'Continued set of lines is too long: max permitted length is %d' % VALUE_MAX
    return out


def dbmbuild(source, target):
    """What exim_dbmbuild writes, by Berkeley DB's own tool: a hash whose keys and values end in a zero byte."""
    found = entries(source)
    if isinstance(found, str):
        return found + '\ndbmbuild abandoned\n', 2
    if not shutil.which('db5.3_load'):
        raise ValueError('db5.3_load is not installed')
    text = 'VERSION=3\nformat=bytevalue\ntype=hash\nHEADER=END\n'
    text += ''.join(' %s00\n' % x.encode('latin-1').hex() for pair in found for x in pair) + 'DATA=END\n'
    if os.path.exists(target):
        os.unlink(target)
    subprocess.run(['db5.3_load', target], input=text.encode(), check=True)
    return '%d entr%s written\n' % (len(found), 'y' if len(found) == 1 else 'ies'), 0


def slots(line):
    """A process for each slot of a redis cluster takes minutes, and a shell that has braces: one gets them all."""
    return re.sub(r"for x in \{(\d+)\.\.(\d+)\}; do (echo \"[^\"]*\") \| (redis-cli -p \d+) \| egrep -v OK; done",
                  r'for x in `seq \1 \2`; do \3; done | \4 | grep -v OK', line)


DUMPDB = """#!/usr/bin/env python3
import subprocess, sys
lines = subprocess.run(['db5.3_dump', sys.argv[-1]], capture_output=True).stdout.decode().split('HEADER=END\\n')[1].split('\\n')
x = [bytes.fromhex(a.strip()).rstrip(b'\\0').decode('latin-1') for a in lines if a.startswith(' ')]
for i in range(0, len(x), 2):
    print(x[i] + '\\t' + x[i + 1])
"""


# ---- running ----
def feed(pipe, parts):
    """Text and pauses."""
    try:
        for x in parts:
            if isinstance(x, float):
                pipe.flush()
                time.sleep(x)
            else:
                pipe.write(x)
        pipe.close()
    except OSError:
        pass


class Run:
    about = {}

    def __init__(self, suite, binary, work, number, group):
        self.suite, self.binary, self.work, self.number, self.group = suite, binary, work, number, group
        self.env = dict(os.environ, USER='caller', LOGNAME='caller', HOME='/')
        self.diffs = []
        self.out, self.err, self.errs, self.wrong, self.servers, self.served = b'', b'', b'', [], [], []
        self.helpers = testsuite_servers.Servers(work)
        self.env['PATH'] = self.helpers.path()

    def prepare(self, commands):
        w = self.work
        for name in os.listdir(w):
            if name in ('eximdir', 'dnszones', 'programs'):
                continue
            p = os.path.join(w, name)
            shutil.rmtree(p) if os.path.isdir(p) and not os.path.islink(p) else os.unlink(p)
        for d in ('spool/log', 'spool/input', 'spool/db', 'aux-var', 'test-mail', 'bin'):
            os.makedirs(f'{w}/{d}')
        for d in ('spool', 'spool/log', 'spool/input', 'spool/db', 'test-mail'):
            os.chmod(f'{w}/{d}', 0o777)
        open(f'{w}/aux-var/std_conf_prefix', 'w').write(self.subst(PREFIX))
        open(f'{w}/eximdir/exim_dumpdb', 'w').write(DUMPDB)
        os.chmod(f'{w}/eximdir/exim_dumpdb', 0o755)
        fixed = data_of(self.suite, 'aux-fixed')
        if os.path.isdir(fixed) and self.number not in NOT_KEPT:
            os.symlink(fixed, f'{w}/aux-fixed')
        elif only_expands(commands):
            testsuite_data.make(self.number, f'{w}/aux-fixed')
        # Some write beside their data.
        os.chmod(w, 0o777 if only_expands(commands) else 0o755)
        os.symlink(f'{self.suite}/confs', f'{w}/confs')
        os.symlink('/bin/true', f'{w}/bin/iefbr14')
        if any('DIR/bin/loaded' in x for c in commands for x in c.data):
            testsuite_servers.shared_object(f'{w}/bin/loaded')
        for f in glob.glob(data_of(self.suite, 'aux-var-src') + '/*'):
            text = open(f, encoding='latin-1').read()
            open(f'{w}/aux-var/{os.path.basename(f)}', 'w', encoding='latin-1').write(self.subst(text))
        for f in glob.glob(f'{w}/aux-var/*_conf_prefix') if os.environ.get('BINARY') else []:
            prefix = open(f).read()
            open(f, 'w').write(prefix.replace('EXIM_PATH', f'{w}/eximdir/exim'))
        conf = linked(f'{self.suite}/confs/{self.number}')
        if os.path.exists(conf):
            text = open(conf, encoding='latin-1').read()
            open(f'{w}/test-config', 'w', encoding='latin-1').write(self.subst(text))
            if re.search('(?m)^keep_environment', text):
                # An option may be set once.
                for f in glob.glob(f'{w}/aux-var/*_conf_prefix'):
                    prefix = open(f).read()
                    open(f, 'w').write(re.sub('(?m)^keep_environment.*\n', '', prefix))
            # What the suite wants to be built in: not UTF-8, and a user of its own.
            built = {'headers_charset': 'ISO-8859-1', 'exim_user': 'exim', 'exim_group': 'exim'}
            for option, value in built.items():
                if option not in text:
                    open(f'{w}/aux-var/std_conf_prefix', 'a').write(f'{option} = {value}\n')
        else:
            open(f'{w}/test-config', 'w').write('.include DIR/aux-var/std_conf_prefix\n'.replace('DIR', w))
        os.chmod(f'{w}/test-config', 0o644)

    def subst(self, text):
        text = substitute(text, self.number, self.work)
        if self.group.endswith('LDAP'):
            text = text.replace('/tmp/ldap.sock', self.work + '/ldap.sock').replace('%2Ftmp%2Fldap.sock', quoted_sock(self.work))
        if re.search(r'\$msg\d', text):
            ids = sorted(f[:-2] for f in os.listdir(self.work + '/spool/input') if f.endswith('-H'))
            text = re.sub(r'\$msg(\d+)', lambda m: ids[int(m.group(1)) - 1] if int(m.group(1)) <= len(ids) else '', text)
        return text

    def shell(self, cmd, data, seconds=40):
        p = subprocess.Popen(['sh', '-c', cmd.encode('latin-1')], cwd=self.work, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, start_new_session=True)
        try:
            if isinstance(data, list):
                feeder = threading.Thread(target=feed, args=(p.stdin, data), daemon=True)
                feeder.start()
                p.stdin = None
                data = None
            out, err = p.communicate(data, timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, err = p.communicate()
            self.wrong.append('took too long: ' + cmd[-80:])
        self.err = err
        self.errs += err
        return out, p.returncode

    def data(self, lines):
        """Bytes, or where there are pauses a list of them and of seconds."""
        out, parts = b'', []
        for line in lines:
            m = re.match(r':(\w+):\s?(.*)$', line)
            if m and m.group(1) == 'sleep':
                parts += [out, float(m.group(2))]
                out = b''
            if m and m.group(1) == 'eval':
                out += m.group(2).encode('latin-1').decode('unicode_escape').encode('latin-1')
            elif m and m.group(1) == 'noeol':
                out += m.group(2).encode('latin-1')
            elif m and m.group(1) == 'file':
                out += open(m.group(2), 'rb').read()
            elif not m or m.group(1) != 'sleep':
                out += line.encode('latin-1') + b'\n'
        return parts + [out] if parts else out

    @staticmethod
    def login(line, args):
        """As whom: root after sudo, else the login that asks, of whom a set-user-id program keeps the real uid (manual 55.2)."""
        if re.search(r'\bsudo\s+exim', line):
            return ''
        real = f'setpriv --groups {CALLER},65001 --regid {CALLER}'
        return f'{real} --reuid {CALLER}' if mode_of(args) in UNPRIVILEGED else f'{real} --ruid {CALLER}'

    def configured(self):
        """Which configuration, by options.  Another Exim would lose root's rights by them: it finds it in its own place, of Debian."""
        if not os.environ.get('BINARY'):
            return f'-DEXIM_PATH={self.work}/eximdir/exim -C {self.work}/test-config'
        shutil.copyfile(f'{self.work}/test-config', '/etc/exim4/exim4.conf')
        return ''

    def exim(self, m, cmd, data):
        args = m.group(3) or ''
        out, code = self.shell(f'{m.group(1)} {self.login(cmd.line, args)} {self.binary} {self.configured()} {args}',
                               data)
        self.out += out
        want = cmd.code or '0'
        if want.startswith('~') == (code == int(want.lstrip('~'))):
            self.wrong.append(f'returned {code}, not {want}: exim {args[:60]}')

    def stop_servers(self):
        """Their ports are wanted again."""
        for s in self.servers:
            s.join(8 if s.lonely else 1)
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
            text += (head + 'a' * (int(m.group(2)) - len(head) - 1) + '\n') * int(m.group(1))
        text += ''.join(x + '\n' for x in lines[parts + 1:])
        open(os.path.join(self.work, words[1]), 'w', encoding='latin-1').write(text)
        if show:
            self.out += text.encode('latin-1')

    def remark(self, line):
        """What stands in all of the outputs."""
        self.stop_servers()
        self.out += line.encode('latin-1') + b'\n'
        self.served.append(line)

    def dump(self, name):
        """The keys of a database of hints, which has others than Exim's in one file: below the name and a zero byte."""
        if not shutil.which('mdb_dump'):
            raise ValueError('mdb_dump is not installed')
        out, _ = self.shell('mdb_dump -p spool/db', b'')
        keys = re.findall(rb'(?m)^ ' + name.encode() + rb'\\00(.*)$', out)
        return b'+++++++++++++++++++++++++++\n' + b''.join(k + b'\t07-Mar-2000 12:21:52\n' for k in sorted(keys))

    def command(self, cmd):
        line = self.subst(cmd.line)
        if line.startswith('### '):
            return self.remark(line)
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
        elif words[0] == 'dbmbuild':
            said, code = dbmbuild(os.path.join(self.work, words[1]), os.path.join(self.work, words[2]))
            self.out += f'{said}exim_dbmbuild exit code = {code}\n'.encode('latin-1')
        elif words[0] == 'perl':
            out, _ = self.shell(line, self.data([slots(x) for x in lines]))
            self.out += out
        elif words[0] == 'background':
            for x in lines:
                self.helpers.background(x)
        elif words[0] == 'killdaemon':
            self.helpers.stop()
        elif words[0] == 'dump':
            self.out += self.dump(words[1])
        elif words[0] in ('sleep', 'millisleep'):
            time.sleep(min(HASTE.get(self.number, 5.0), float(words[1]) / (1000 if words[0] == 'millisleep' else 1)))
        elif words[0] == 'echo':
            pass
        elif words[0] in FILE_COMMANDS:
            out, _ = self.shell(line, b'')
            self.out += out
        elif not IGNORED.match(line):
            raise ValueError('no command ' + words[0])
        return None

    def offers(self):
        """What the program says of itself, by kind."""
        if not Run.about:
            out = subprocess.run([self.binary, '-C', '/dev/null', '-bV'], capture_output=True).stdout.decode('latin-1')
            kinds = {'support': 'Support for', 'lookup': r'Lookups \(built-in\)', 'authenticator': 'Authenticators', 'router': 'Routers',
                     'transport': 'Transports'}
            for kind, title in kinds.items():
                m = re.search(rf'(?m)^{title}:(.*)$', out)
                words = m.group(1).split() if m else []
                Run.about[kind] = {w.split('/')[0] for w in words} | {w.split('/')[0] + '/' + x for w in words for x in w.split('/')[1:]}
        return Run.about

    def required(self, folder):
        """The first line of the folder's REQUIRES that does not hold, or None.  What is running here is found by the commands themselves."""
        try:
            lines = open(f'{folder}/REQUIRES').read().split('\n')
        except OSError:
            return None
        for line in lines:
            m = re.match(r'(not )?feature (\S+)', line)
            # Of hints, whose library is that of DBM lookups in the suite; ours read both.
            if m and m.group(2) not in ('_HAVE_HINTS_BDB', '_HAVE_HINTS_SQLITE'):
                p = subprocess.run([self.binary, '-C', '/dev/null', '-bP', 'macro', m.group(2)], capture_output=True)
                if (p.returncode == 0) == bool(m.group(1)):
                    return line
            if line == 'running redis' and not testsuite_servers.program('redis-server'):
                return line
            m = re.match(r'(support|lookup|authenticator|router|transport) (\S+)', line)
            if m and m.group(2) not in self.offers()[m.group(1)]:
                return line
        return None

    def needs(self, commands, folder):
        """What the script cannot do without and is not here, or None."""
        line = self.required(folder)
        if line:
            return 'the suite asks for: ' + line
        text = '\n'.join(c.line + '\n' + '\n'.join(c.data) for c in commands)
        conf = linked(f'{self.suite}/confs/{self.number}')
        if os.path.exists(conf):
            text += open(conf, encoding='latin-1').read()
        if 'aux-fixed' in text and not os.path.isdir(data_of(self.suite, 'aux-fixed')) and not only_expands(commands):
            return 'its data files are not there'
        m = re.search(r'aux-var/(?!std_conf_prefix)(\S+)', text)
        if m and not os.path.isdir(data_of(self.suite, 'aux-var-src')) and not only_expands(commands):
            return 'its data files are not there'
        if re.search(r'DIR/bin/(?!iefbr14|loaded)|bin\.sys/', text):
            return 'it starts a program of its own suite'
        if 'mdb_load' in text and not testsuite_servers.program('mdb_load'):
            return 'mdb_load is not there'
        if self.group.endswith('LDAP') and not testsuite_servers.program('slapd'):
            return 'slapd is not there'
        return None


# ---- making alike ----
def quoted_sock(work):
    return (work + '/ldap.sock').replace('/', '%2F')


def alike(text, work):
    s = text.decode('latin-1').replace('\r', '')
    s = s.replace(quoted_sock(work), '%2Ftmp%2Fldap.sock')
    s = s.replace(work, 'TESTSUITE')
    s = re.sub(r'\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [-+]\d{4}( \([A-Z]+\))?', 'DATE', s)
    s = re.sub(r'\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?( [-+]\d{4})?', 'TIME', s)
    s = re.sub(r'\bE?[0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4}|0005vi-00)\b', 'MSGID', s)
    s = re.sub(r'(Exim|exim_version[ =:]+) ?(x\.yz|\d\.\d+(\.\d+)?)', r'\1 x.yz', s)
    s = re.sub(r'\bip6(:ip6){7}\b|' + re.escape(HOST6) + r'\b|2001:0db8(:0000){6}:?0001', 'HOSTIPV6', s)
    s = re.sub(r'\bip4(\.ip4){3}\b|' + re.escape(HOST4) + r'\b', 'HOSTIPV4', s)
    s = re.sub(r'\bthe\.local\.host\.name\b|' + re.escape(HOSTNAME), 'HOSTNAME', s)
    s = re.sub(r'\bcaller\b', 'CALLER', s)
    s = re.sub(r'\b224\.', 'V4NET.', s)
    s = re.sub(r'\bff00:', 'V6NET:', s)
    for k, v in (('PORT_N', '1223'), ('PORT_S', '1224'), ('PORT_D', '1225'), ('PORT_D2', '1226')):
        s = re.sub(r'\b' + v + r'\b', k, s)
    s = re.sub(r'prvs=[0-9a-f]{10}=', 'prvs=xxxxxxxxxx=', s)
    s = re.sub(r'# Exim Configuration \([^)]*\)', '# Exim Configuration (X)', s)
    # A later release quotes what was deferred; its file has it so.
    s = re.sub(r'(?m)( gave DEFER: )"(key for dsearch .*)"$', r'\1\2', s)
    s = s.replace('is not a base 62 number', 'is not a base 36/62 number')
    s = re.sub(r'\b(e?[ug]id)=' + CALLER + r'\b', lambda m: m.group(1) + '=CALLER_' + m.group(1)[-3:].upper(), s)
    # Columns depend on the length of names; what stands only where something is built.
    s = re.sub(r'(?m)^\s+host (\S+)[ \t]+(\S+)', r'  host \1 \2', s)
    s = re.sub(r'(?m)^\s+(host \S+ \S+)[ \t]+(?=MX=|port=)', r'  \1 ', s)
    s = re.sub(r'(?m)^(Connection request from) \[.*:.*:.*\]$', r'\1 [ipv6]', s)
    s = re.sub(r'(?m)^(translate_ip_address =.*|use_classresources|no_use_classresources|dmarc_tld_file =.*|arc_sign =.*|'
               r'limits_advertise_hosts =.*|hosts_try_prdr = \*|tls_resumption_hosts =.*|host_name_extract =.*|-tls_resumption.*|'
               r'macro \'_HAVE_(DMARC|PIPE_CONNECT|ESMTP_LIMITS)\' ->.*|_OPT_TRANSPORT_SMTP_HOSTS_REQU(EST|IRE)_OCSP=y|_OPT_TRANSPORT_SMTP_DANE_REQUIRE_TLS_CIPHERS=y)\n', '', s)
    # Spool files: when, who, and how long what has that in it is.
    s = re.sub(r'(?m)^(MSGID-H\n\S+) \d+ \d+$', r'\1 UID GID', s)
    s = re.sub(r'(?m)^(<.*>\n)\d{10} (\d+\n-)', r'\1ddddddddd \2', s)
    s = re.sub(r'(?m)^(-received_time_\w+) (\d+|tttt|)\.(\d{6}|uuuuuu)$', r'\1 T', s)
    s = re.sub(r'(?m)^\d{3}(P Received:|I Message-Id: <MSGID|F From:|\* )', r'ddd\1', s)
    # The queue: ages and sizes.
    s = re.sub(r'(?m)^ *\d+[mhd] +[\d.]+[KM]? (MSGID <)', r'TTT   sss \1', s)
    # Offered by default where it is built, which the suite's own builds are not.
    s = re.sub(r'(?m)^250-SMTPUTF8\n', '', s)
    s = re.sub(r'(?m)[ \t]+$', '', s)
    return s.rstrip('\n')


# Scripts in which hosts come in an order of chance, which test builds of Exim fix: whole items of a list, or hosts of equal preference.
CHANCE = {'0430': 'items', '1009': 'equals'}


def by_chance(text, what):
    """Neighbouring lines of hosts in an order of their own.  Those of MX records keep the order of preference, and of families in it."""
    out, hosts = [], []
    for line in text.split('\n') + ['']:
        if line.startswith('  host '):
            mx = re.search(r' MX=(\d+)$', line)
            hosts.append((int(mx.group(1)) if mx else -1, ':' in line.split('[')[1], line))
            continue
        rising = [h[0] for h in hosts if h[0] >= 0]
        if what == 'items' and rising == sorted(rising):
            hosts = sorted(hosts, key=lambda h: (h[0], h[2]))
        elif what == 'equals':
            runs = [sorted(run, key=lambda h: h[2]) for _, run in itertools.groupby(hosts, key=lambda h: h[:2])]
            hosts = [h for run in runs for h in run]
        out += [h[2] for h in hosts] + [line]
        hosts = []
    return '\n'.join(out).rstrip('\n')


# What the scripts themselves ask to be made alike on standard output, by "munge NAME".
ASKED = {
    'loopback': lambda s: re.sub(r'\[(127\.0\.0\.1|::1)\]', '[IP_LOOPBACK_ADDR]', s),
    'optional_events': lambda s: re.sub(r'(?m)^event_action =.*\n', '', s),
    'optional_config': lambda s: re.sub(
        r'(?m)^(no_)?(dkim_(canon|domain|private_key|selector|sign_headers|strict|hash|identity|timestamps)|gnutls_require_(kx|mac|protocols)|'
        r'hosts_pipe_connect|hosts_(requ(est|ire)|try)_(dane|ocsp)|dane_require_tls_ciphers|'
        r'hosts_(avoid|nopass|noproxy|require|verify_avoid)_tls|pipelining_connect_advertise_hosts|socks_proxy|tls_\S*|utf8_downconvert)'
        r'( =.*)?\n', '', s + '\n').rstrip('\n'),
    'scanfile_size': lambda s: re.sub(r'(Content-length:) \d\d\d', r'\1 ddd', s),
    'perl_variants': lambda s: re.sub(r'(?m)^> \d+/\d+$', '> N', s)}


def asked(commands, text):
    for c in commands:
        words = c.line.split()
        if words[0] == 'munge' and words[1] in ASKED:
            text = ASKED[words[1]](text)
    return text


def file_alike(text, work):
    """Logs and mailboxes: further times, sizes, processes."""
    s = alike(text, work)
    s = re.sub(r'(?m)^(\*\*\* )?From (\S+) [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}', r'\1From \2 WHEN', s)
    s = re.sub(r'\bS=(\d+|sss)\b', 'S=N', s)
    s = re.sub(r'\b(Q?[DR]?T)=(\d[\w.]*s|qqs)\b', r'\1=Ns', s)
    s = re.sub(r'\[(\d+|pppp)\](?=:|$)', '[PID]', s)
    s = re.sub(r'\b(pid|uid|gid|euid|egid)[= ](p?\d+|pppp|uuuu|gggg|CALLER_[UG]ID|EXIM_[UG]ID)', r'\1=N', s)
    # Numbers and words of the system's errors.
    s = re.sub(r'\b(defer|TEMPFAIL|PERMFAIL|errno) \((?:[1-9]\d*|dd|EEE)\)', r'\1 (E)', s)
    s = re.sub(r'\bNetwk addr not available\b', 'Cannot assign requested address', s)
    s = re.sub(r'\b(Network is unreachable|No route to host)\b', 'Network Error', s)
    s = re.sub(r'\bafter \d+ seconds?\b', 'after d seconds', s)
    s = re.sub(r'\b(U=|Received: from )exim\b', r'\1EXIMUSER', s)
    s = re.sub(r'(?m)^(.*HOME=)(CALLER_HOME|/)$', r'\1CALLER_HOME', s)
    s = re.sub(r'\b(lock|temp)\.\S*\.\w{8}\.\w+', r'\1.UNIQUE', s)
    # A later release has a blank in front of the reason.
    s = re.sub(r'(?m)^(TIME MSGID \*\*[^:]*) : ', r'\1: ', s)
    s = re.sub(r'(?m)^(--+|Content-Type: multipart/report.*boundary=)\S*eximdsn\S*$', r'\1BOUNDARY', s)
    s = re.sub(r'boundary=\S*eximdsn\S*', 'boundary=BOUNDARY', s)
    return re.sub(r'\d+-eximdsn-\d+', 'BOUNDARY', s)


def expected_files(suite, number):
    """What the suite has recorded: name below the working folder to file."""
    out = {}
    for kind, folder in (('log', 'spool/log/mainlog'), ('rejectlog', 'spool/log/rejectlog'), ('paniclog', 'spool/log/paniclog')):
        p = linked(f'{data_of(suite, kind)}/{number}')
        if os.path.isfile(p):
            out[folder] = p
    mail = data_of(suite, 'mail')
    for p in glob.glob(f'{mail}/{number}.*'):
        for root, _, files in os.walk(p):
            for f in files:
                full = os.path.join(root, f)
                out['test-mail' + full[len(f'{mail}/{number}'):].replace('.', '/', 1)] = full
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
        if not os.path.isdir(data_of(r.suite, kinds.get(name, 'mail'))):
            continue
        w = file_alike(open(want[name], 'rb').read(), r.work) if name in want else ''
        p = f'{r.work}/{name}'.replace('CALLER', 'caller')
        g = file_alike(open(p, 'rb').read(), r.work) if os.path.isfile(p) else ''
        if w == g:
            continue
        n = list(difflib.unified_diff(w.split('\n'), g.split('\n'), 'expected ' + name, 'got', lineterm='', n=1))
        r.wrong.append('%s: %d lines differ' % (name, sum(1 for x in n[2:] if x[0] in '+-')))
        r.diffs += n
        if verbose:
            print('\n'.join(n))


def questions(commands):
    return only_expands(commands) or all(mode_of(EXIM.match(c.line).group(3)) in MODES for c in commands if EXIM.match(c.line))


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
        why = r.needs(commands, os.path.dirname(path))
        if why:
            return 'skip', why
        r.prepare(commands)
        if group.endswith('LDAP'):
            r.helpers.ldap(testsuite_servers.people())
        for c in commands:
            r.command(c)
        r.stop_servers()
    except (ValueError, OSError) as e:
        return 'skip', str(e)
    finally:
        r.helpers.stop()
    want = linked(f'{suite}/stdout/{number}')
    expected = alike(open(want, 'rb').read(), work) if os.path.exists(want) else ''
    check = not any(c.line.startswith('no_stdout_check') for c in commands)
    if r.served:
        r.out += '\n******** SERVER ********\n'.encode() + ''.join(x + '\n' for x in r.served).encode('latin-1')
    got = alike(r.out, work)
    got, expected = asked(commands, got), asked(commands, expected)
    if not re.search(MACRO, expected):
        # Recorded before -d told of macros.
        got = re.sub(MACRO + '.*\n', '', got)
    if group.endswith('LDAP'):
        # Recorded before values of an attribute were put together without a blank, and their own commas doubled.
        got, expected = (x.replace('P Hazel, Phil', 'P Hazel,Phil').replace('P,,Hazel', 'P,Hazel') for x in (got, expected))
    if number in CHANCE:
        got, expected = by_chance(got, CHANCE[number]), by_chance(expected, CHANCE[number])
    if check and got != expected:
        n = [x for x in difflib.unified_diff(expected.split('\n'), got.split('\n'), 'expected', 'got', lineterm='', n=1)]
        r.wrong.append('%d lines differ' % sum(1 for x in n[2:] if x[0] in '+-'))
        r.diffs += n
        if verbose:
            print('\n'.join(n))
    if not questions(commands):
        compare_files(r, verbose)
    if verbose and r.wrong and r.err:
        print('stderr:', r.err.decode('latin-1')[-600:])
    if os.environ.get('DUMP'):
        open(os.path.join(os.environ['DUMP'], number), 'w').write(got + '\n--- stderr\n' + alike(r.errs, work) + '\n')
    if not r.wrong:
        return 'pass', group
    digest = hashlib.sha256('\n'.join(r.diffs + [re.sub(r'/tmp/[^/]*', '', w) for w in r.wrong]).encode('latin-1')).hexdigest()[:12]
    if digest in by_version().get(number, ''):
        return 'differs', 'as in another version: ' + digest
    return 'fail', '; '.join(r.wrong) + ' [' + digest + ']'


def by_version():
    """Scripts whose answers differ in just that way from one version of Exim to another, or outside of its test builds."""
    out = {}
    for line in open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'exim-testsuite.known')):
        m = re.match(r'(\d{4}) version:(\S+) ', line)
        if m:
            out[m.group(1)] = m.group(2).split(',')
    return out


def main():
    args = [a for a in sys.argv[1:] if a != '-v']
    suite, binary, work, only = args[0], args[1], args[2], args[3:]
    counts, chosen, expanding = {}, set(only) or delivering(), []
    for path in sorted(glob.glob(f'{suite}/scripts/*/[0-9]*')):
        if only and os.path.basename(path) not in only:
            continue
        res = run_one(suite, binary, work, path, '-v' in sys.argv, chosen)
        if res is None:
            continue
        counts[res[0]] = counts.get(res[0], 0) + 1
        if only_expands(parse(path)):
            expanding.append(res[0])
        print(res[0], os.path.basename(path), res[1], flush=True)
    print(', '.join(f'{v} {k}' for k, v in sorted(counts.items())))
    print(f'of those that only expand strings (-be) {expanding.count("pass")} of {len(expanding)} pass')


if __name__ == '__main__':
    main()
