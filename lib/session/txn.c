/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The transaction: what lives from MAIL to the end of its message, and the content
 * while it comes in: in memory, then in an unlinked file.  How much memory a message may
 * take depends on what the others take.
 */
#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fiber/fiber.h"
#include "session/cutthrough.h"
#include "session/session_int.h"

#define FILE_BUFFER	(256 * 1024)

/* Bytes of all contents that this process holds in memory (the loop's thread only). */
static size_t held;

/* ---- content ---- */

void
content_init(struct content *c, int64_t max)
{
	memset(c, 0, sizeof(*c));
	sb_init(&c->mem, SESSION_MEM_WIDE + FILE_BUFFER);
	c->fd = -1;
	c->max = max;
}

/* The bytes in memory go. */
static void
mem_drop(struct content *c, bool keep_room)
{
	held -= c->mem.len;
	if (keep_room)
		sb_clear(&c->mem);
	else
		sb_free(&c->mem);
}

void
content_free(struct content *c)
{
	if (c->map != NULL)
		(void)munmap((void *)(uintptr_t)c->map, (size_t)c->len);
	c->map = NULL;
	if (c->fd != -1)
		(void)close(c->fd);
	c->fd = -1;
	mem_drop(c, false);
	free(c->err);
	c->err = NULL;
}

static void
content_error(struct content *c, const char *what)
{
	c->failed = true;
	if (c->err == NULL) {
		c->err = xcalloc(1, sizeof(*c->err));
		(void)err_set(c->err, ERR_TEMP, "4.3.1", "%s: %s", what, strerror(errno));
	}
	mem_drop(c, false);
}

static int
open_temp(const char *dir)
{
	char name[4096];
	int fd;

	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd != -1 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return (fd);
	(void)snprintf(name, sizeof(name), "%s/.in-XXXXXX", dir);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd != -1)
		(void)unlink(name);
	return (fd);
}

/* Write what is in memory to the file. */
static void
content_spill(struct content *c, const char *dir)
{
	size_t at = 0;
	ssize_t n;

	if (c->fd == -1 && (c->fd = open_temp(dir)) == -1) {
		content_error(c, "create a temporary file for a message");
		return;
	}
	while (at < c->mem.len) {
		n = write(c->fd, c->mem.p + at, c->mem.len - at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			content_error(c, "write a temporary file for a message");
			return;
		}
		at += (size_t)n;
	}
	mem_drop(c, true);
}

void
content_sink(void *arg, struct sv piece)
{
	struct session *s = arg;
	struct content *c = &s->txn->content;

	if (c->too_big || c->failed)
		return;
	if (c->max > 0 && c->len + (int64_t)piece.len > c->max) {
		c->too_big = true;
		mem_drop(c, false);
		return;
	}
	c->len += (int64_t)piece.len;
	if (c->mem.len + piece.len > (c->fd != -1 ? FILE_BUFFER : held < SESSION_MEM_TOTAL ? SESSION_MEM_WIDE : SESSION_MEM_MAX))
		content_spill(c, s->sv->tmpdir == NULL ? "/tmp" : s->sv->tmpdir);
	if (c->failed)
		return;
	if (s->txn->cut != NULL)
		session_cut_body(s, piece);
	if (c->mem.cap == 0)
		(void)sb_room(&c->mem, 8000);
	sb_add(&c->mem, piece);
	held += piece.len;
}

int
content_view(struct content *c, struct sv *out, struct err *err)
{
	void *p;

	if (c->fd == -1) {
		*out = sv_sub(sv_taint(sb_sv(&c->mem)), c->skip, c->mem.len);
		return (0);
	}
	if (c->map == NULL) {
		if (c->mem.len > 0)
			content_spill(c, NULL);
		if (c->failed) {
			*err = *c->err;
			return (-1);
		}
		p = mmap(NULL, (size_t)c->len, PROT_READ, MAP_PRIVATE, c->fd, 0);
		if (p == MAP_FAILED)
			return (err_set(err, ERR_TEMP, "4.3.1", "map a temporary file: %s", strerror(errno)));
		c->map = p;
	}
	*out = sv_sub(sv_taint(sv_from(c->map, (size_t)c->len)), c->skip, (size_t)c->len);
	return (0);
}

/* ---- transaction ---- */

struct txn *
session_txn_new(struct session *s)
{
	struct txn *t = xcalloc(1, sizeof(*t));

	exim_vars_clear(s->env.acl_m);
	t->arena = arena_new(0);
	t->declared = -1;
	t->began = fiber_now();
	t->msg.size = -1;
	content_init(&t->content, 0);
	exim_acl_effects_init(&t->fx, t->arena);
	t->fx.queue_name = t->msg.queue_name = s->fx.queue_name;
	s->x.rcpt_count = s->x.rcpt_defer_count = s->x.rcpt_fail_count = 0;
	session_rcpt_forget(s);
	s->txn = t;
	if (s->sv->transactions != NULL)
		++*s->sv->transactions;
	t->st_conn = s->st;
	session_env_reset(s);
	return (t);
}

void
session_txn_end(struct session *s)
{
	struct txn *t = s->txn;
	struct sv host_data;

	if (t == NULL)
		return;
	session_cut_cancel(s);
	s->txn = NULL;
	if (s->sv->transactions != NULL)
		--*s->sv->transactions;
	s->txn = t;
	session_scan_forget(s);
	s->txn = NULL;
	session_env_reset(s);
	exim_vars_clear(s->env.acl_m);
	s->x.prdr_requested = false;
	/* What this message's checks left must not show in the next one's, and its memory goes. */
	host_data = s->st.host_data;
	s->st = t->st_conn;
	s->st.host_data = host_data;
	memset(s->kept, 0, sizeof(s->kept));
	exim_acl_run_reset(&s->acl);
	/* A queue that was named is that of the messages that follow, until another is. */
	if (!sv_eq(t->fx.queue_name, s->fx.queue_name))
		s->fx.queue_name = arena_sv(s->arena, t->fx.queue_name);
	exim_acl_effects_free(&t->fx);
	content_free(&t->content);
	vec_free(&t->rcpts);
	vec_free(&t->rcpt_addrs);
	vec_free(&t->rcpts_given);
	vec_free(&t->fixes);
	vec_free(&t->seen);
	arena_free(&t->arena);
	free(t);
	s->x.rcpt_count = s->x.rcpt_defer_count = s->x.rcpt_fail_count = 0;
	if (s->sv->caches != NULL)
		exim_caches_message(s->sv->caches);
}

void
session_env_reset(struct session *s)
{
	s->env.msg = session_msg(s);
	s->env.addr = s->txn != NULL ? &s->txn->addr : NULL;
	s->acl.fx = s->txn != NULL ? &s->txn->fx : &s->fx;
	s->env.message_loaded = false;
}
