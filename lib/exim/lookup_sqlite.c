/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sqlite lookup (manual 9.26).  It reads a file of this machine and blocks, so it
 * belongs to the world: exim_world_posix offers it.  And DBM files that SQLite keeps, as newer Exims can be built for.
 */
#include "exim/lookup_int.h"

#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "os/time.h"

#define BUSY_SECONDS	5		/* where no configuration says it */
#define ROWS_MAX	10000
#define MOMENT_MS	200
#define STEPS		1000		/* of SQLite's machine between two looks at the clock */

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
		(void)err_set(err, ERR_PERM, "5.3.0", "%s", sqlite3_errmsg(db));
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

/* ---- DBM files ---- */

/* Nothing else is given to SQLite, which would wait for the writer of a FIFO. */
static bool
is_database(const char *path)
{
	static const char magic[] = "SQLite format 3";
	char head[sizeof(magic)];
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool is;

	if (fd == -1)
		return (false);
	is = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read(fd, head, sizeof(head)) == (ssize_t)sizeof(head) &&
	    memcmp(head, magic, sizeof(magic)) == 0;
	(void)close(fd);
	return (is);
}

static int
is_late(void *until)
{
	return (os_thread_us() > *(const int64_t *)until);
}

/* Who wrote the file may be less trusted than the configuration: his table can be a view that never ends, or has all memory. */
static void
distrust(sqlite3 *db, int64_t *until)
{
	*until = os_thread_us() + MOMENT_MS * 1000;
	(void)sqlite3_busy_timeout(db, MOMENT_MS);
	sqlite3_progress_handler(db, STEPS, is_late, until);
	(void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, EXIM_EXPAND_MAX);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
}

static int
select_key(sqlite3 *db, const char *query, struct sv key, bool text, struct arena *a, struct sv *out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, query, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = text ? sqlite3_bind_text(st, 1, key.p, (int)key.len, SQLITE_TRANSIENT) :
		    sqlite3_bind_blob(st, 1, key.p, (int)key.len, SQLITE_TRANSIENT);
	if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *p = sqlite3_column_blob(st, 0);

		*out = arena_sv(a, sv_from(p == NULL ? "" : p, (size_t)sqlite3_column_bytes(st, 0)));
		if (out->len > 0 && out->p[out->len - 1] == '\0')
			out->len--;
	}
	(void)sqlite3_finalize(st);
	return (rc);
}

enum exim_found
x_sqlite_dbm(const char *path, struct sv key, struct arena *a, struct sv *out)
{
	static const char hex[] = "0123456789ABCDEF";
	sqlite3 *db = NULL;
	int64_t until;
	struct xb b;
	int rc;

	if (!is_database(path))
		return (EXIM_TEMPFAIL);
	rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
	if (rc == SQLITE_OK) {
		distrust(db, &until);
		rc = select_key(db, "SELECT dat FROM tblblob WHERE ky = ?1", key, false, a, out);
	}
	if (rc == SQLITE_ERROR) {
		/* The older form, without that table: keys as xtext. */
		xb_init(&b, a, key.len * 3 + 1);
		for (size_t i = 0; i < key.len; i++) {
			unsigned char c = (unsigned char)key.p[i];

			if (c >= 33 && c <= 126 && c != '+' && c != '=')
				xb_addc(&b, (char)c);
			else {
				xb_addc(&b, '+');
				xb_addc(&b, hex[c >> 4]);
				xb_addc(&b, hex[c & 15]);
			}
		}
		rc = select_key(db, "SELECT dat FROM tbl WHERE ky = ?1", xb_sv(&b), true, a, out);
	}
	(void)sqlite3_close(db);
	return (rc == SQLITE_ROW ? EXIM_FOUND : rc == SQLITE_DONE ? EXIM_NOTFOUND : EXIM_TEMPFAIL);
}
