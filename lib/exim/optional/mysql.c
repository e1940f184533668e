/* SPDX-License-Identifier: BSD-2-Clause */
/* The mysql lookup (manual 9.22 and 9.24), by libmariadb or libmysqlclient. */
#include <mysql.h>
#include <pthread.h>

#include "exim/lookup_sql.h"
#include "os/library.h"

#define FUNCTIONS(X)								\
	X(mysql_init) X(mysql_options) X(mysql_real_connect) X(mysql_real_query) X(mysql_store_result) X(mysql_num_fields)	\
	X(mysql_fetch_fields) X(mysql_fetch_row) X(mysql_fetch_lengths) X(mysql_free_result) X(mysql_close) X(mysql_error)	\
	X(mysql_errno) X(mysql_affected_rows) X(mysql_next_result) X(mysql_field_count)
static struct {
#define X(f)	__typeof__(&f) f;
	FUNCTIONS(X)
#undef X
} my;

static int
load(struct err *err)
{
	static const char *const names[] = { "libmariadb.so.3", "libmysqlclient.so.21", "libmysqlclient.so", NULL };
	static const struct os_symbol symbols[] = {
#define X(f)	{ #f, (void **)&my.f },
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

static void *
open_server(const struct x_sql_server *s, struct err *err)
{
	unsigned connect_s = X_SQL_CONNECT_S, answer_s = X_SQL_ANSWER_S;
	MYSQL *c = my.mysql_init(NULL);

	if (c == NULL) {
		(void)err_set(err, ERR_TEMP, "4.3.0", "MYSQL initialization failed");
		return (NULL);
	}
	(void)my.mysql_options(c, MYSQL_READ_DEFAULT_GROUP, s->group == NULL ? "exim" : s->group);
	(void)my.mysql_options(c, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
	(void)my.mysql_options(c, MYSQL_OPT_READ_TIMEOUT, &answer_s);
	(void)my.mysql_options(c, MYSQL_OPT_WRITE_TIMEOUT, &answer_s);
	if (my.mysql_real_connect(c, s->host == NULL ? "localhost" : s->host, s->user, s->password, s->db, s->port, s->socket,
	    CLIENT_MULTI_RESULTS) != NULL)
		return (c);
	(void)err_set(err, ERR_TEMP, "4.3.0", "MYSQL connection failed: %s", my.mysql_error(c));
	my.mysql_close(c);
	return (NULL);
}

static void
rows(MYSQL_RES *r, struct xb *out)
{
	unsigned n = my.mysql_num_fields(r);
	const MYSQL_FIELD *f = my.mysql_fetch_fields(r);
	MYSQL_ROW row;

	for (int k = 0; k < X_SQL_ROWS_MAX && (row = my.mysql_fetch_row(r)) != NULL; k++) {
		unsigned long *len = my.mysql_fetch_lengths(r);

		if (k > 0)
			xb_addc(out, '\n');
		for (unsigned i = 0; i < n; i++)
			x_sql_column(out, (int)n, f[i].name, row[i], len[i]);
	}
}

/* Further results (of procedures) are read and dropped, so that the connection can be used again. */
static void
drop_rest(MYSQL *c)
{
	while (my.mysql_next_result(c) == 0) {
		MYSQL_RES *r = my.mysql_store_result(c);

		if (r != NULL)
			my.mysql_free_result(r);
	}
}

static enum exim_found
query(void *conn, const char *text, struct xb *out, bool *lost, struct err *err)
{
	MYSQL *c = conn;
	MYSQL_RES *r;
	enum exim_found f = EXIM_FOUND;

	if (my.mysql_real_query(c, text, strlen(text)) != 0) {
		/* Codes of the client library: the server is gone. */
		*lost = my.mysql_errno(c) >= 2000;
		(void)err_set(err, ERR_TEMP, "4.3.0", "MYSQL: query failed: %s", my.mysql_error(c));
		return (EXIM_TEMPFAIL);
	}
	r = my.mysql_store_result(c);
	if (r == NULL && my.mysql_field_count(c) == 0)
		xb_fmt(out, "%llu", (unsigned long long)my.mysql_affected_rows(c));
	else if (r == NULL) {
		*lost = true;
		(void)err_set(err, ERR_TEMP, "4.3.0", "MYSQL: lookup result failed: %s", my.mysql_error(c));
		return (EXIM_TEMPFAIL);
	} else {
		rows(r, out);
		if (out->len == 0)
			f = EXIM_NOTFOUND;
		my.mysql_free_result(r);
	}
	drop_rest(c);
	return (f);
}

static void
close_server(void *conn)
{
	my.mysql_close(conn);
}

const struct x_sql_driver *
x_sql_mysql(struct err *err)
{
	static const struct x_sql_driver d = { "MYSQL", "MySQL", "mysql_servers", 4, open_server, query, close_server };

	return (load(err) == 0 ? &d : NULL);
}
