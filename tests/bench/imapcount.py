#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""imapcount.py count|empty PORT - how many messages the benchmark's mailboxes show by IMAP; or empty them."""
import imaplib, re, sys, time

imaplib._MAXLINE = 100_000_000
total = 0
for user in ['u1'] + ['m%d' % i for i in range(10)]:
    m = imaplib.IMAP4('127.0.0.1', int(sys.argv[2]))
    m.login(user, 'pw')
    n = int(re.search(rb'MESSAGES (\d+)', m.status('INBOX', '(MESSAGES)')[1][0]).group(1))
    total += n
    if sys.argv[1] == 'empty' and n:
        m.select()
        m.store('1:*', '+FLAGS.SILENT', '(\\Deleted)')
        m.expunge()
    m.logout()
if sys.argv[1] == 'count':
    print(total)
else:
    time.sleep(1)
