/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The writer of etc/relayers.db.  One batch is written at a time, on a thread, under the
 * map's lock; what comes meanwhile makes the next batch, and writes begin at least
 * GATHER_MS apart.  A login is answered when its batch is on disk.  A crash at any
 * point leaves the old file or the new one, and what was not answered was not promised.
 */
#include <glob.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/vec.h"
#include "fiber/fiber.h"
#include "log/log.h"
#include "map/map.h"
#include "vauthd.h"

#define GATHER_MS	50
#define LEFTOVER_S	60

struct batch {
	VEC(struct relay_op) ops;
	const char	*path;
	unsigned	 refs;
	bool		 done;
	int		 rc;
	struct err	 err;
	struct fiber_waiters waiters;
};

struct relays {
	char		*path;
	struct map	*map;		/* to see whether a login needs a write at all */
	struct batch	*next;		/* is being gathered; NULL: empty */
	bool		 writing;
	unsigned	 removals;	/* deletes and expires not yet done */
	int64_t		 began;		/* of the last write */
};

/* Temporary files of a writer that was killed. */
static void
remove_leftovers(const char *path)
{
	struct sb pattern = SB_INIT(4096);
	struct stat st;
	glob_t g;

	sb_addf(&pattern, "%s.??????", path);
	if (glob(sb_cstr(&pattern), 0, NULL, &g) == 0) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			if (stat(g.gl_pathv[i], &st) == 0 && st.st_ctim.tv_sec + LEFTOVER_S < time(NULL))
				(void)unlink(g.gl_pathv[i]);
		globfree(&g);
	}
	sb_free(&pattern);
}

struct relays *
relays_new(const char *path)
{
	struct relays *r = xcalloc(1, sizeof(*r));

	r->path = xstrdup(path);
	r->map = map_open(path, MAP_HASH, MAP_OPTIONAL);
	r->began = -GATHER_MS;
	remove_leftovers(path);
	return (r);
}

static void
batch_unref(struct batch *b)
{
	if (--b->refs > 0)
		return;
	vec_free(&b->ops);
	free(b);
}

static void
write_job(void *arg)
{
	struct batch *b = arg;
	struct relay_batch ops = { .ops = b->ops.p, .n = b->ops.len };

	b->rc = relay_apply(b->path, &ops, &b->err);
}

static unsigned
removals(const struct batch *b)
{
	unsigned n = 0;

	for (size_t i = 0; i < b->ops.len; i++)
		n += b->ops.p[i].kind == RELAY_DELETE || b->ops.p[i].kind == RELAY_EXPIRE;
	return (n);
}

/* A fiber that lives as long as there is something to write. */
static void
writer(void *arg)
{
	struct relays *r = arg;

	while (r->next != NULL) {
		int64_t wait = r->began + GATHER_MS - fiber_now();
		struct batch *b;

		if (wait > 0)
			(void)fiber_sleep(wait);
		b = r->next;
		r->next = NULL;
		r->began = fiber_now();
		fiber_offload(write_job, b);
		if (b->rc == -1)
			log_err(NULL, "relayers", &b->err);
		r->removals -= removals(b);
		b->done = true;
		fiber_waiters_wake_all(&b->waiters);
		batch_unref(b);
	}
	r->writing = false;
}

/* Add to the next batch and wait for it; the batch, which the caller gives back. */
static struct batch *
submit(struct relays *r, const struct relay_op *ops, size_t n, size_t *at)
{
	struct batch *b = r->next;

	if (b == NULL) {
		b = r->next = xcalloc(1, sizeof(*b));
		b->path = r->path;
		b->refs = 1;
	}
	*at = b->ops.len;
	for (size_t i = 0; i < n; i++) {
		vec_push(&b->ops, ops[i]);
		r->removals += ops[i].kind == RELAY_DELETE || ops[i].kind == RELAY_EXPIRE;
	}
	b->refs++;
	if (!r->writing) {
		r->writing = true;
		if (fiber_spawn("relays", writer, r) == NULL) {
			r->writing = false;
			r->next = NULL;
			b->rc = err_set(&b->err, ERR_TEMP, "4.7.0", "too many logins at once");
			b->done = true;
			batch_unref(b);
		}
	}
	while (!b->done)
		if (fiber_waiters_wait(&b->waiters, FIBER_FOREVER) == FIBER_CANCELLED && !b->done) {
			/* The process is ending: the writer goes on, nobody waits for it. */
			break;
		}
	return (b);
}

static int
outcome(struct batch *b, struct err *err)
{
	if (!b->done)
		return (err_set(err, ERR_TEMP, "4.7.0", "the password daemon is ending"));
	if (b->rc == -1 && err != NULL)
		*err = b->err;
	return (b->rc == -1 ? -1 : 0);
}

int
relays_login(struct relays *r, const struct net_addr *addr, struct err *err)
{
	struct relay_op op = { .kind = RELAY_LOGIN, .ticks = time(NULL) };
	struct batch *b;
	struct sv value;
	size_t at;
	int rc;

	(void)net_addr_text(addr, op.key);
	/* With a removal under way the file does not say what will be in it when the login is answered. */
	if (r->removals == 0 && map_get(r->map, sv_cstr(op.key), MAP_FRESH, &value, err) == MAP_FOUND &&
	    relay_is_young(value, op.ticks))
		return (0);
	err_clear(err);
	b = submit(r, &op, 1, &at);
	rc = outcome(b, err);
	batch_unref(b);
	return (rc);
}

int
relays_change(struct relays *r, struct relay_op *ops, size_t n, struct err *err)
{
	struct batch *b;
	size_t at;
	int rc;

	b = submit(r, ops, n, &at);
	rc = outcome(b, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		ops[i].found = b->ops.p[at + i].found;
	batch_unref(b);
	return (rc);
}

void
relays_finish(struct relays *r)
{
	while (r->writing && fiber_sleep(10) != FIBER_CANCELLED)
		continue;
}
