# SPDX-License-Identifier: BSD-2-Clause
"""Servers and helpers that scripts of exim-testsuite want beside them: redis-server, slapd, and a shared object.  Programs of Debian's
packages, installed or unpacked below VPOST_PEERROOT (tests/lib/peers.sh), each started in the test's own name space and ended by it."""
import glob
import os
import shutil
import socket
import subprocess
import time

PEERS = os.environ.get('VPOST_PEERROOT') or '/opt/peers'


def program(name):
    """Where it is, or None."""
    places = os.environ.get('PATH', '') + ':/usr/sbin:/sbin:' + ':'.join(glob.glob(PEERS + '/*/usr/*bin'))
    return shutil.which(name, path=places)


def listening(port, seconds=5):
    """Wait until somebody does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            return True
        except OSError:
            time.sleep(0.05)
    return False


class Servers:
    """What one script has started."""

    def __init__(self, work):
        self.work, self.running = work, []
        os.makedirs(work + '/programs', exist_ok=True)

    def path(self):
        """For PATH: the programs by their names, and a shell that knows braces as the scripts have them."""
        for name in ('redis-server', 'redis-cli'):
            where, link = program(name), f'{self.work}/programs/{name}'
            if where and not os.path.lexists(link):
                os.symlink(where, link)
        return f'{self.work}/programs:' + os.environ.get('PATH', '')

    def start(self, argv, port, **more):
        p = subprocess.Popen(argv, cwd=self.work, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             start_new_session=True, **more)
        self.running.append(p)
        if not listening(port):
            raise ValueError(f'{argv[0]} does not listen')

    def background(self, line):
        """A command of "background"."""
        words = line.split()
        where = program(words[0])
        if words[0] != 'redis-server' or not where:
            raise ValueError('no program ' + words[0])
        self.start([where, '--bind', '127.0.0.1', '--save', '', '--dir', self.work] + words[1:], 6379)

    def stop(self):
        for p in self.running:
            p.terminate()
        for p in self.running:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.running = []

    def ldap(self, entries):
        """slapd with <entries> (LDIF) on 389, 636 and WORK/ldap.sock."""
        slapd, d = program('slapd'), self.work + '/ldap'
        root = slapd[:-len('/usr/sbin/slapd')]
        env = dict(os.environ, LD_LIBRARY_PATH=':'.join(glob.glob(root + '/usr/lib/*-linux-gnu')))
        os.makedirs(d + '/db')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1', '-keyout',
                        d + '/key', '-out', d + '/cert'], check=True, stderr=subprocess.DEVNULL)
        with open(d + '/conf', 'w') as f:
            f.write(f'include {root}/etc/ldap/schema/core.schema\nmodulepath {root}/usr/lib/ldap\nmoduleload back_mdb\n'
                    f'pidfile {d}/pid\nargsfile {d}/args\nTLSCertificateFile {d}/cert\nTLSCertificateKeyFile {d}/key\n'
                    'database mdb\nmaxsize 10485760\nsuffix "o=University of Cambridge,c=UK"\n'
                    f'rootdn "cn=manager,o=University of Cambridge,c=UK"\nrootpw secret\ndirectory {d}/db\n')
        with open(d + '/ldif', 'w') as f:
            f.write(entries)
        done = subprocess.run([slapd, '-T', 'add', '-f', d + '/conf', '-l', d + '/ldif'], capture_output=True, env=env)
        if done.returncode != 0:
            raise ValueError('slapadd: ' + done.stderr.decode('latin-1')[-200:])
        sock = (self.work + '/ldap.sock').replace('/', '%2F')
        self.start([slapd, '-f', d + '/conf', '-h', f'ldap://127.0.0.1/ ldaps://127.0.0.1/ ldapi://{sock}', '-d', '0'], 636, env=env)


# Who is asked for in the directory.
UNIVERSITY = 'o=University of Cambridge,c=UK'
PEOPLE = [('manager', ['manager'], 'manager'), ('Philip Hazel', ['Philip Hazel'], 'Hazel'),
          ('P Hazel', ['P Hazel', 'Phil Hazel'], 'Hazel'), ('Phil Hazel', ['P Hazel', 'Phil Hazel'], 'Hazel'),
          ('P\\2CHazel', ['P,Hazel'], 'Hazel'), ('P*Hazel', ['P*Hazel'], 'Hazel')]


def people():
    text = f'dn: {UNIVERSITY}\nobjectClass: organization\no: University of Cambridge\n\n'
    for rdn, names, surname in PEOPLE:
        text += f'dn: cn={rdn},{UNIVERSITY}\n' + ''.join(f'cn: {n}\n' for n in names) + f'sn: {surname}\nobjectClass: person\n\n'
    return text


# ${dlfunc: what the script wants of the function, by how many arguments it gets (manual 11.5).
FUNCTION = '''
int dltest(unsigned char **yield, int argc, unsigned char *argv[]);
int
dltest(unsigned char **yield, int argc, unsigned char *argv[])
{
	enum { OK, DEFER, FAIL, ERROR, FORCED };

	if (argc == 0)
		return (ERROR);
	*yield = argc == 1 ? argv[0] : (unsigned char *)(argc == 2 ? "yield FAIL_FORCED" : "yield FAIL");
	return (argc == 1 ? OK : argc == 2 ? FORCED : FAIL);
}
'''


def shared_object(path):
    cc = program('gcc') or program('cc')
    if not cc:
        raise ValueError('there is no C compiler')
    subprocess.run([cc, '-shared', '-fPIC', '-x', 'c', '-', '-o', path], input=FUNCTION.encode(), check=True)
