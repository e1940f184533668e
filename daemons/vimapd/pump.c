/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The byte pump of TLS clients: the keys stay in the login role, the session role
 * sees a plain socket.  Two fibers, one for each direction; the one that ends
 * first makes the other end.
 */
#include <sys/socket.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "fiber/fiber.h"
#include "vimapd.h"

struct pump {
	struct stream	*client, *session;
	bool		 down_done;
	bool		 up_done;
	struct fiber_waiters ended;
};

/* The session role watches for inactivity; here waits only a record that came half. */
#define RECORD_MS	60000

/* Carry what comes from <from> to <to> until it ends. */
static void
carry(struct stream *from, struct stream *to)
{
	struct sv piece;

	for (;;) {
		if (stream_wait_input(from, FIBER_FOREVER) != STREAM_OK ||
		    stream_peek(from, &piece) != STREAM_OK || stream_write(to, piece) != STREAM_OK)
			return;
		stream_skip(from, piece.len);
		if (!stream_has_input(from) && stream_flush(to) != STREAM_OK)
			return;
	}
}

static void
down(void *arg)
{
	struct pump *p = arg;

	carry(p->session, p->client);
	p->down_done = true;
	/* Ends the other direction's wait, but lets what was written reach the client. */
	if (!p->up_done) {
		(void)stream_flush(p->client);
		(void)shutdown(stream_fd(p->client), SHUT_RD);
	}
	fiber_waiters_wake_all(&p->ended);
}

void
imap_pump(struct stream *client, int fd)
{
	struct pump *p = xcalloc(1, sizeof(*p));

	p->client = client;
	p->session = stream_new(fd);
	stream_set_timeout(p->client, RECORD_MS, IMAP_WRITE_MS);
	stream_set_timeout(p->session, RECORD_MS, IMAP_WRITE_MS);
	if (fiber_spawn("imap pump", down, p) != NULL) {
		carry(p->client, p->session);
		p->up_done = true;
		(void)shutdown(stream_fd(p->session), SHUT_WR);
		while (!p->down_done)
			if (fiber_waiters_wait(&p->ended, FIBER_NOW_PLUS(5000)) != FIBER_READY) {
				(void)shutdown(stream_fd(p->session), SHUT_RD);
				(void)fiber_waiters_wait(&p->ended, FIBER_FOREVER);
			}
	}
	stream_close(&p->session);
	stream_close(&p->client);
	free(p);
}
