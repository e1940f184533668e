#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""ratios.py FILE - medians of smtp_load.sh's lines by load, and ours in relation to each peer's."""
import collections, re, statistics, sys

rows = collections.defaultdict(lambda: collections.defaultdict(list))
for line in open(sys.argv[1]):
    if 'delivered/s' not in line or 'INCOMPLETE' in line:
        print('left out:', line.strip()) if line.strip() else None
        continue
    head, *figs = [p.strip() for p in line.split('|')]
    peer, load = head.split(' ', 1)
    f = {k: float(v) for k, v in (p.rsplit(' ', 1) for p in figs)}
    rows[load.strip()][peer].append(f)
for load, peers in rows.items():
    print('\n' + load)
    med = {p: {k: statistics.median(r[k] for r in runs) for k in runs[0]} for p, runs in peers.items()}
    for p, f in med.items():
        print('  %-10s delivered/s %8.0f   CPU ms/message %6.3f   peak PSS MB %6.1f   (%d runs)' %
              (p, f['delivered/s'], f['cpu_s/1000'], f['peak_pss_MB'], len(peers[p])))
    if 'vpost' in med:
        for p, f in med.items():
            if p != 'vpost':
                print('  vpost / %s: delivered/s x%.2f, CPU x%.3f' % (p, med['vpost']['delivered/s'] / f['delivered/s'], med['vpost']['cpu_s/1000'] / f['cpu_s/1000']))
