/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hints of one process (callouts, rates, seen, retry times): those below db/ of the spool where -C names a configuration,
 * so that the next process knows of them.  Where that folder cannot be used they live as long as the process, and so they do
 * where a box is only tried: its own are not to be touched.
 */
#include <time.h>

#include "deliver.h"
#include "hints/hints.h"
#include "os/priv.h"
#include "testing.h"

static struct hints *kept;
static bool tried;
static struct testing *the;
static struct exim_world brief;		/* hints that end with the process */

struct hints *
testing_hints(struct testing *t)
{
	struct deliver d = { .t = t, .conf = t->conf, .spool = t->conf->g.spool_directory };
	struct err err = ERR_INIT;

	if (tried)
		return (kept);
	tried = true;
	if ((t->o->conf == NULL && t->box != NULL) || t->conf->g.spool_directory.len == 0)
		return (NULL);
	dspool_act(&d);
	if (hints_open(&kept, arena_fmt(t->facts, SV_FMT "/db", SV_ARG(t->conf->g.spool_directory)), &err) == -1)
		kept = NULL;
	os_act_back();
	return (kept);
}

void
testing_hints_close(void)
{
	hints_close(&kept);
}

static enum exim_found
hint_get(void *arg, const char *db, struct sv key, struct arena *a, struct sv *out)
{
	struct hints *h = testing_hints(the);
	struct sb v = SB_INIT(HINTS_VALUE_MAX);
	bool found;

	if (h == NULL)
		return (brief.hint_get(arg, db, key, a, out));
	found = hints_get(h, db, key, (int64_t)time(NULL), &v);
	if (found)
		*out = arena_sv(a, sb_sv(&v));
	sb_free(&v);
	return (found ? EXIM_FOUND : EXIM_NOTFOUND);
}

static int
hint_put(void *arg, const char *db, struct sv key, struct sv value, int64_t ttl)
{
	struct hints *h = testing_hints(the);

	return (h == NULL ? brief.hint_put(arg, db, key, value, ttl) : hints_put(h, db, key, value, (int64_t)time(NULL), ttl, NULL));
}

static int
hint_del(void *arg, const char *db, struct sv key)
{
	struct hints *h = testing_hints(the);

	if (h == NULL)
		return (brief.hint_del(arg, db, key));
	hints_del(h, db, key);
	return (0);
}

void
testing_hints_of(struct testing *t)
{
	the = t;
	exim_world_posix(&brief);
	t->world.hint_get = hint_get;
	t->world.hint_put = hint_put;
	t->world.hint_del = hint_del;
}
