#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""fakezones.py FOLDER NAME=TEXT... - name server on 127.0.0.1:53 (UDP and TCP) for a test's own network name space.

Serves the zone files of the suite exim-testsuite (README there): db.ZONE, db.ip4.NET and db.ip6.NET, a record a line, a name
left out means that of the line before.  Words in front of a name: AA and DNSSEC (authenticated data), NXDOMAIN, TTL=seconds,
DELAY=milliseconds.  What no zone holds does not exist; below again.dns the server fails, below fail.dns it refuses.
NAME=TEXT are substituted in the files.  Writes "ready" when it listens."""
import ipaddress
import os
import re
import socket
import struct
import sys
import threading
import time

TYPES = dict(A=1, NS=2, CNAME=5, SOA=6, PTR=12, MX=15, TXT=16, AAAA=28, SRV=33, TLSA=52, SPF=99, CSA=33)
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


def lower(name):
    """ASCII only: other bytes are what they are."""
    return re.sub('[A-Z]+', lambda m: m.group(0).lower(), name)


class Record:
    def __init__(self, kind, data, flags):
        self.kind, self.data, self.flags = kind, data, flags


class Zone:
    """Names, lower case and without the last dot, to their records."""

    def __init__(self, origin):
        self.origin, self.names = origin, {}

    def absolute(self, name):
        name = lower(name)
        if name.endswith('.'):
            return name[:-1]
        return name + '.' + self.origin if self.origin else name

    def load(self, text):
        last = self.origin
        for line in text.split('\n'):
            if not line.strip() or line[0] in ';#' or line.startswith('PASS ON'):
                continue
            line = re.sub(r'(?<!\\);[^"]*$', '', line)
            flags, words = {}, line.split()
            while words and re.match(r'(AA|DNSSEC|NXDOMAIN|TTL=\d+|DELAY=\d+)$', words[0]):
                k, _, v = words.pop(0).partition('=')
                flags[k] = int(v or 1)
            if not words:
                continue
            if words[0] in TYPES and (line[0].isspace() or flags) and len(words) > 1:
                name = last
            else:
                name = last = self.absolute(words.pop(0))
            if not words:
                continue
            kind = words.pop(0)
            if kind not in TYPES:
                continue
            data = re.split(r'\s+' + kind + r'(?:\s+|$)', ' ' + line + ' ', maxsplit=1)[1].strip()
            self.names.setdefault(name, []).append(Record(kind, data, flags))
        return self


def encode_name(name):
    out = b''
    for label in name.rstrip('.').split('.'):
        if label:
            out += bytes([len(label)]) + label.encode('latin-1')
    return out + b'\0'


def encode_text(data):
    out = b''
    for s in re.findall(r'"((?:[^"\\]|\\.)*)"', data) or [data]:
        s = re.sub(r'\\(.)', r'\1', s).encode('latin-1')
        while len(s) > 255:
            out, s = out + b'\xff' + s[:255], s[255:]
        out += bytes([len(s)]) + s
    return out


def encode_data(zone, r):
    w = r.data.split()
    if r.kind == 'A':
        return socket.inet_aton(w[0])
    if r.kind == 'AAAA':
        return ipaddress.IPv6Address(':'.join(x.lstrip('0') or '0' for x in w[0].split(':')) if w[0].count(':') == 7
                                     else w[0]).packed
    if r.kind in ('NS', 'CNAME', 'PTR'):
        return encode_name(zone.absolute(w[0]) if w else '')
    if r.kind == 'MX':
        return struct.pack('!H', int(w[0])) + encode_name(zone.absolute(w[1]))
    if r.kind in ('TXT', 'SPF'):
        return encode_text(r.data)
    if r.kind in ('SRV', 'CSA'):
        return struct.pack('!HHH', *map(int, w[:3])) + encode_name(zone.absolute(w[3]))
    if r.kind == 'TLSA':
        return bytes(map(int, w[:3])) + bytes.fromhex(w[3])
    return encode_name(zone.absolute(w[0])) + encode_name(zone.absolute(w[1])) + struct.pack('!IIIII', *map(int, w[2:7]))


class Server:
    def __init__(self, zones):
        self.zones = sorted(zones, key=lambda z: -len(z.origin))

    def zone_of(self, name):
        for z in self.zones:
            if name == z.origin or name.endswith('.' + z.origin):
                return z
        return None

    def records(self, zone, name):
        if name in zone.names:
            return zone.names[name]
        labels = name.split('.')
        for i in range(1, len(labels)):
            star = '*.' + '.'.join(labels[i:])
            if star in zone.names:
                return zone.names[star]
        return []

    def lookup(self, name, kind):
        """(code, authenticated, authoritative, delay, answers as (name, zone, record))"""
        answers, ad, aa, delay = [], True, False, 0
        for _ in range(10):
            if name.endswith('again.dns') or name.endswith('again.dns.test.ex'):
                return SERVFAIL, False, False, 0, []
            if name.endswith('fail.dns'):
                return REFUSED, False, False, 0, []
            zone = self.zone_of(name)
            if zone is None:
                return NXDOMAIN if not answers else NOERROR, False, False, 0, answers
            rs = self.records(zone, name)
            if any('NXDOMAIN' in r.flags for r in rs):
                return NXDOMAIN, any('DNSSEC' in r.flags for r in rs), False, 0, []
            hit = [r for r in rs if TYPES[r.kind] == kind] or [r for r in rs if r.kind == 'CNAME']
            delay += max([r.flags.get('DELAY', 0) for r in hit], default=0)
            ad = ad and bool(hit) and all('DNSSEC' in r.flags for r in hit)
            aa = aa or any('AA' in r.flags for r in hit)
            answers += [(name, zone, r) for r in hit]
            if hit and hit[0].kind == 'CNAME' and kind != TYPES['CNAME']:
                name = zone.absolute(hit[0].data.split()[0])
                continue
            below = any(n.endswith('.' + name) for n in zone.names)
            return NOERROR if answers or rs or below else NXDOMAIN, ad and bool(answers), aa, delay, answers
        return SERVFAIL, False, False, 0, []

    def answer(self, query):
        ident, flags = struct.unpack('!HH', query[:4])
        i, labels = 12, []
        while query[i]:
            labels.append(query[i + 1:i + 1 + query[i]].decode('latin-1'))
            i += query[i] + 1
        kind = struct.unpack('!H', query[i + 1:i + 3])[0]
        code, ad, aa, delay, answers = self.lookup(lower('.'.join(labels)), kind)
        if delay:
            time.sleep(delay / 1000)
        body = b''
        for name, zone, r in answers:
            data = encode_data(zone, r)
            body += encode_name(name) + struct.pack('!HHIH', TYPES[r.kind], 1, r.flags.get('TTL', 3000), len(data)) + data
        soa = b''
        z = self.zone_of(lower('.'.join(labels)))
        if not answers and z is not None and z.names.get(z.origin):
            for r in z.names[z.origin]:
                if r.kind == 'SOA':
                    data = encode_data(z, r)
                    soa = encode_name(z.origin) + struct.pack('!HHIH', 6, 1, 3000, len(data)) + data
        head = 0x8080 | flags & 0x0100 | (0x0400 if aa else 0) | (0x0020 if ad else 0) | code
        return struct.pack('!HHHHHH', ident, head, 1, len(answers), 1 if soa else 0, 0) + query[12:i + 5] + body + soa


def serve_tcp(server, sock):
    while True:
        c, _ = sock.accept()
        try:
            n = struct.unpack('!H', c.recv(2, socket.MSG_WAITALL))[0]
            a = server.answer(c.recv(n, socket.MSG_WAITALL))
            c.sendall(struct.pack('!H', len(a)) + a)
        except (OSError, struct.error, IndexError):
            pass
        c.close()


def answer_udp(server, sock, query, peer):
    try:
        a = server.answer(query)
        if len(a) > 1232:
            a = struct.pack('!HHHHHH', *struct.unpack('!H', a[:2]), struct.unpack('!H', a[2:4])[0] | 0x0200, 1, 0, 0, 0) + \
                query[12:query.index(b'\0', 12) + 5]
        sock.sendto(a, peer)
    except (OSError, struct.error, IndexError, ValueError) as e:
        print('bad query:', e, file=sys.stderr)


def load(folder, values):
    zones = []
    for f in sorted(os.listdir(folder)):
        if not f.startswith('db.'):
            continue
        text = open(os.path.join(folder, f), encoding='latin-1').read()
        origin = f[3:]
        for k, v in values:
            text, origin = text.replace(k, v), origin.replace(k, v)
        if origin.startswith('ip4.'):
            origin = '.'.join(reversed(origin[4:].split('.'))) + '.in-addr.arpa'
        elif origin.startswith('ip6.'):
            origin = '.'.join(reversed(origin[4:].rjust(4, '0'))) + '.ip6.arpa'
        zones.append(Zone(lower(origin)).load(text))
    return zones


def main():
    values = [a.split('=', 1) for a in sys.argv[2:]]
    server = Server(load(sys.argv[1], values))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(('127.0.0.1', 53))
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tcp.bind(('127.0.0.1', 53))
    tcp.listen(20)
    threading.Thread(target=serve_tcp, args=(server, tcp), daemon=True).start()
    print('ready', flush=True)
    while True:
        query, peer = udp.recvfrom(4096)
        threading.Thread(target=answer_udp, args=(server, udp, query, peer), daemon=True).start()


if __name__ == '__main__':
    main()
