/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sqlite lookup (manual 9.26).  It reads a file of this machine and blocks, so it
 * belongs to the world: exim_world_posix offers it.
 */
#include "base/num.h"
#include "exim/lookup_int.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdlib.h>

#define BUSY_SECONDS	5		/* where no configuration says it */
#define ROWS_MAX	10000

/* Quotes where the value is empty, holds blanks, or begins with a quote. */
static void
add_value(struct xb *b, const char *v)
{
	if (*v != '\0' && strpbrk(v, " \t\r\n") == NULL && *v != '"') {
		xb_adds(b, v);
		return;
	}
	xb_addc(b, '"');
	for (; *v != '\0'; v++) {
		if (*v == '"' || *v == '\\')
			xb_addc(b, '\\');
		xb_addc(b, *v);
	}
	xb_addc(b, '"');
}

/* One column: its value; more: NAME=VALUE and a blank each. */
static void
add_row(sqlite3_stmt *st, struct xb *b, bool first)
{
	int n = sqlite3_column_count(st);

	if (!first)
		xb_addc(b, '\n');
	for (int i = 0; i < n; i++) {
		const char *v = (const char *)sqlite3_column_text(st, i);

		if (v == NULL)
			v = "<NULL>";
		if (n == 1) {
			xb_adds(b, v);
			continue;
		}
		xb_adds(b, sqlite3_column_name(st, i));
		xb_addc(b, '=');
		add_value(b, v);
		xb_addc(b, ' ');
	}
}

static int
run(sqlite3 *db, const char *query, struct xb *b)
{
	sqlite3_stmt *st = NULL;
	int rc, rows = 0;

	while (*query != '\0') {
		const char *tail;

		rc = sqlite3_prepare_v2(db, query, -1, &st, &tail);
		if (rc != SQLITE_OK)
			return (rc);
		while (st != NULL && (rc = sqlite3_step(st)) == SQLITE_ROW && rows < ROWS_MAX)
			add_row(st, b, rows++ == 0);
		(void)sqlite3_finalize(st);
		if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
			return (rc);
		query = tail;
	}
	return (rows > 0 ? SQLITE_ROW : SQLITE_DONE);
}

enum exim_found
x_sqlite(struct sv file, struct sv query, struct sv seconds, struct arena *a, struct sv *out, struct err *err)
{
	enum exim_found f = EXIM_NOTFOUND;
	sqlite3 *db = NULL;
	int64_t wait = BUSY_SECONDS;
	struct xb b;
	int rc;

	xb_init(&b, a, 64);
	(void)num_parse(seconds, 0, INT_MAX / 1000, &wait);
	rc = sqlite3_open(arena_cstr(a, file), &db);
	if (rc != SQLITE_OK) {
		(void)err_set(err, ERR_CONFIG, "4.3.5", "%s", sqlite3_errmsg(db));
		f = EXIM_TEMPFAIL;
	} else {
		(void)sqlite3_busy_timeout(db, (int)wait * 1000);
		rc = run(db, arena_cstr(a, query), &b);
		if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED) {
			(void)err_set(err, ERR_TEMP, "4.3.0", "sqlite3_exec failed: %s", sqlite3_errmsg(db));
			f = EXIM_TEMPFAIL;
		} else if (rc == SQLITE_ROW) {
			*out = xb_sv(&b);
			f = EXIM_FOUND;
		}
	}
	(void)sqlite3_close(db);
	return (f);
}
