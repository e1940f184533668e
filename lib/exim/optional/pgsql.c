/* SPDX-License-Identifier: BSD-2-Clause */
/* The pgsql lookup (manual 9.22 and 9.25), by libpq. */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>

#include "exim/lookup_sql.h"
#include "os/library.h"

#define FUNCTIONS(X)								\
	X(PQconnectdbParams) X(PQstatus) X(PQexec) X(PQresultStatus) X(PQresultErrorMessage) X(PQntuples) X(PQnfields)	\
	X(PQfname) X(PQgetvalue) X(PQgetlength) X(PQclear) X(PQfinish) X(PQerrorMessage) X(PQcmdTuples)	\
	X(PQsetNoticeProcessor)
static struct {
#define X(f)	__typeof__(&f) f;
	FUNCTIONS(X)
#undef X
} pg;

static int
load(struct err *err)
{
	static const char *const names[] = { "libpq.so.5", "libpq.so", NULL };
	static const struct os_symbol symbols[] = {
#define X(f)	{ #f, (void **)&pg.f },
		FUNCTIONS(X)
#undef X
	};
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	static bool there;
	int rc = 0;

	(void)pthread_mutex_lock(&once);
	if (!there && (rc = os_library_load(names, symbols, sizeof(symbols) / sizeof(symbols[0]), err)) == 0)
		there = true;
	(void)pthread_mutex_unlock(&once);
	return (rc);
}

static void
no_notice(void *arg, const char *text)
{
}

/* The library's messages have several lines: x_world_ask takes care of that. */
static enum exim_found
failed(struct err *err, const char *what, const char *text)
{
	(void)err_set(err, ERR_TEMP, "4.3.0", "%s", what);
	if (err != NULL)
		(void)snprintf(err->text, sizeof(err->text), "%s: %s", what, text);
	return (EXIM_TEMPFAIL);
}

/* "(/tmp/.s.PGSQL.5432)" names the socket; the library wants its folder and the port at the end of its name. */
static void
split_socket(const char *path, char dir[256], char port[16])
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');

	(void)snprintf(dir, 256, "%.*s", slash == NULL ? (int)strlen(path) : (int)(slash - path), path);
	(void)snprintf(port, 16, "%s", dot == NULL || dot < slash ? "5432" : dot + 1);
}

static void *
open_server(const struct x_sql_server *s, struct err *err)
{
	static const char *const keys[] = { "host", "port", "dbname", "user", "password", "connect_timeout", "options", NULL };
	char dir[256], port[16], wait[16], opts[64];
	const char *values[8] = { s->host, NULL, s->db, s->user, s->password, wait, opts, NULL };
	PGconn *c;

	(void)snprintf(wait, sizeof(wait), "%d", X_SQL_CONNECT_S);
	(void)snprintf(opts, sizeof(opts), "-c statement_timeout=%ds", X_SQL_ANSWER_S);
	if (s->socket != NULL) {
		split_socket(s->socket, dir, port);
		values[0] = dir;
		values[1] = port;
	} else if (s->port != 0) {
		(void)snprintf(port, sizeof(port), "%u", s->port);
		values[1] = port;
	}
	c = pg.PQconnectdbParams(keys, values, 0);
	if (c != NULL && pg.PQstatus(c) == CONNECTION_OK) {
		(void)pg.PQsetNoticeProcessor(c, no_notice, NULL);
		return (c);
	}
	(void)failed(err, "PGSQL connection failed", c == NULL ? "no memory" : pg.PQerrorMessage(c));
	if (c != NULL)
		pg.PQfinish(c);
	return (NULL);
}

static void
rows(const PGresult *r, struct xb *out)
{
	int n = pg.PQnfields(r), rows_n = pg.PQntuples(r);

	for (int k = 0; k < rows_n && k < X_SQL_ROWS_MAX; k++) {
		if (k > 0)
			xb_addc(out, '\n');
		for (int i = 0; i < n; i++)
			x_sql_column(out, n, pg.PQfname(r, i), pg.PQgetvalue(r, k, i),
			    (size_t)pg.PQgetlength(r, k, i));
	}
}

static enum exim_found
query(void *conn, const char *text, struct xb *out, bool *lost, struct err *err)
{
	PGconn *c = conn;
	PGresult *r = pg.PQexec(c, text);
	enum exim_found f = EXIM_FOUND;

	switch (pg.PQresultStatus(r)) {
	case PGRES_EMPTY_QUERY:
	case PGRES_COMMAND_OK:
		xb_adds(out, pg.PQcmdTuples(r));
		break;
	case PGRES_TUPLES_OK:
		rows(r, out);
		if (pg.PQntuples(r) == 0 || out->len == 0)
			f = EXIM_NOTFOUND;
		break;
	default:
		*lost = pg.PQstatus(c) != CONNECTION_OK;
		f = failed(err, "PGSQL: query failed", pg.PQresultErrorMessage(r));
		break;
	}
	pg.PQclear(r);
	return (f);
}

static void
close_server(void *conn)
{
	pg.PQfinish(conn);
}

const struct x_sql_driver *
x_sql_pgsql(struct err *err)
{
	static const struct x_sql_driver d = { "PGSQL", "PostgreSQL", "pgsql_servers", 4, open_server, query, close_server };

	return (load(err) == 0 ? &d : NULL);
}
