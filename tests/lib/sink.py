#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""sink.py PORT LOG ADDRESS=MODE...: mail hosts on addresses of 127.0.0.0/8.

MODE: take (each accepted recipient is a line "ADDRESS RECIPIENT SUBJECT" of LOG when the message was taken), hang (takes the
connection and says nothing; the connection is a line "ADDRESS hangs"), slow (as take, but it thinks for a while over each message,
with a line "N at a time" when it begins), dsn (as take, but it offers DSN, and commands with parameters are lines, too).
"""
import asyncio, re, sys

port, log = int(sys.argv[1]), open(sys.argv[2], 'a', buffering=1)


thinking = 0


async def slow(r, w):
    try:
        await take(r, w, 0.3)
    except ConnectionError:
        pass                # it hung up: nothing is lost


async def dsn(r, w):
    await take(r, w, 0, True)


async def take(r, w, pause=0, tells=False):
    global thinking
    me = w.get_extra_info('sockname')[0]

    async def say(text):
        w.write(text.encode() + b'\r\n')
        await w.drain()

    await say('220 sink')
    rcpts = []
    while True:
        line = (await r.readline()).decode('latin-1').strip()
        verb = line[:4].upper()
        if not line or verb == 'QUIT':
            break
        if verb == 'EHLO' and tells:
            await say('250-sink\r\n250 DSN')
            continue
        if tells and '> ' in line:
            print(me, line, file=log)
        if verb == 'RCPT':
            rcpts.append(re.search('<(.*?)>', line).group(1))
        if verb == 'DATA':
            await say('354 go on')
            text = await r.readuntil(b'\r\n.\r\n')
            if pause:
                thinking += 1
                print(thinking, 'at a time', file=log)
                await asyncio.sleep(pause)
                thinking -= 1
            subject = re.search(rb'^Subject: (.*?)\r', text, re.M)
            for a in rcpts:
                print(me, a, subject.group(1).decode() if subject else '-', file=log)
            rcpts = []
        await say('250 OK')
    w.close()


async def hang(r, w):
    print(w.get_extra_info('sockname')[0], 'hangs', file=log)
    await r.read()
    w.close()


async def main():
    servers = [await asyncio.start_server({'take': take, 'hang': hang, 'slow': slow, 'dsn': dsn}[mode], address, port)
               for address, mode in (a.split('=') for a in sys.argv[3:])]
    print('ready', file=log)
    await asyncio.gather(*(s.serve_forever() for s in servers))

asyncio.run(main())
