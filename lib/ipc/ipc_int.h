/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection that carries frames: what clients and servers share. */
#ifndef VPOST_IPC_IPC_INT_H
#define VPOST_IPC_IPC_INT_H

#include "base/vec.h"
#include "fiber/fiber.h"
#include "ipc/ipc.h"

#define FRAME_HEAD	12		/* with the length word */
#define FLAG_FD		1		/* a descriptor comes along */
#define OUT_MAX		((size_t)64 * 1024 * 1024)
#define FDS_MAX		64		/* descriptors that wait for their frames */

#define TAG_ERR_CLASS	250
#define TAG_ERR_STATUS	251
#define TAG_ERR_TEXT	252

struct conn_fd {
	uint64_t	 at;		/* position in the stream of its frame's first byte */
	int		 fd;
};

struct conn {
	int		 fd;
	unsigned	 refs;
	struct fiber_io	*io;
	bool		 dead;
	/* in */
	char		*buf;
	size_t		 cap, start, end;
	bool		 more;		/* the last read filled the buffer */
	int		 infds[FDS_MAX];
	size_t		 ninfds;
	/* out */
	struct sb	 out;
	size_t		 outoff;	/* bytes of <out> that are written */
	uint64_t	 outpos;	/* position in the stream of out.p[outoff] */
	VEC(struct conn_fd) outfds;
	struct fiber	*writer;	/* waits until the socket takes more */
	struct conn	*next_dirty;
	bool		 dirty;
};

struct conn *conn_new(int fd);
struct conn *conn_ref(struct conn *c);
void	 conn_unref(struct conn **cp);
/* The next frame (without its length word), valid until the next call, and its descriptor or -1; parks.  False: the end. */
bool	 conn_read(struct conn *c, struct sv *frame, int *fd);
/* Queue <msg> as <serial>; false if the connection is dead.  <fd> stays the caller's. */
bool	 conn_send(struct conn *c, const struct sb *msg, uint32_t serial, int fd);
size_t	 conn_backlog(const struct conn *c);
/* Write what can be written now, then end: the reader sees the end of the stream. */
void	 conn_kill(struct conn *c);

#endif
