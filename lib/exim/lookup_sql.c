/* SPDX-License-Identifier: BSD-2-Clause */
/* Lookups in database servers: servers, kept connections, results (manual 9.21 to 9.25). */
#include "exim/lookup_sql.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/num.h"
#include "exim/match.h"

#define KEPT_MAX	8		/* connections that wait for the next query */
#define KEPT_S		60		/* seconds that they wait */

/* ---- connections ---- */

struct kept {
	const struct x_sql_driver *d;
	char		*server;	/* as the list has it */
	void		*conn;
	time_t		 since;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kept kept[KEPT_MAX];

static void *
take(const struct x_sql_driver *d, const char *server)
{
	time_t now = time(NULL);
	struct kept old[KEPT_MAX];
	void *conn = NULL;
	size_t n = 0;

	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0; i < KEPT_MAX; i++) {
		struct kept *k = &kept[i];
		bool mine = conn == NULL && k->conn != NULL && k->d == d && strcmp(k->server, server) == 0;

		if (k->conn == NULL || (!mine && now - k->since <= KEPT_S))
			continue;
		if (mine && now - k->since <= KEPT_S) {
			conn = k->conn;
			free(k->server);
		} else
			old[n++] = *k;
		memset(k, 0, sizeof(*k));
	}
	(void)pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < n; i++) {
		old[i].d->close(old[i].conn);
		free(old[i].server);
	}
	return (conn);
}

static void
give(const struct x_sql_driver *d, const char *server, void *conn)
{
	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0; i < KEPT_MAX && conn != NULL; i++)
		if (kept[i].conn == NULL) {
			kept[i] = (struct kept){ d, xstrdup(server), conn, time(NULL) };
			conn = NULL;
		}
	(void)pthread_mutex_unlock(&lock);
	if (conn != NULL)
		d->close(conn);
}

/* ---- the list of servers ---- */

static const char *
part(struct arena *a, struct sv v)
{
	return (v.len == 0 ? NULL : arena_cstr(a, v));
}

/* What stands between <open> and <close> at the end of *<v> is cut off. */
static const char *
bracketed(struct arena *a, struct sv *v, char open, char close)
{
	ptrdiff_t at = sv_chr(*v, open);
	const char *inside;

	if (at < 0 || v->len == 0 || v->p[v->len - 1] != close)
		return (NULL);
	inside = part(a, sv_sub(*v, (size_t)at + 1, v->len - 1));
	*v = sv_sub(*v, 0, (size_t)at);
	return (inside);
}

static int
parse_server(const struct x_sql_driver *d, struct arena *a, struct sv item, struct x_sql_server *s, struct err *err)
{
	struct sv field[4], rest = item;
	int64_t port;
	ptrdiff_t colon;

	memset(s, 0, sizeof(*s));
	/* From the right: a socket's path in the first field has slashes of its own. */
	for (int i = d->fields - 1; i > 0; i--) {
		ptrdiff_t slash = sv_rchr(rest, '/');

		if (slash < 0 && i == d->fields - 1)
			return (err_set(err, ERR_CONFIG, "4.3.5", "%s server \"%s\" not found in %s", d->title, arena_cstr(a, item),
			    d->option));
		if (slash < 0)
			return (err_set(err, ERR_CONFIG, "4.3.5", "incomplete %s server data: %s", d->title, arena_cstr(a, item)));
		field[i] = sv_sub(rest, (size_t)slash + 1, rest.len);
		rest = sv_sub(rest, 0, (size_t)slash);
	}
	s->group = bracketed(a, &rest, '[', ']');
	s->socket = bracketed(a, &rest, '(', ')');
	colon = sv_rchr(rest, ':');
	if (colon >= 0) {
		if (!num_parse(sv_sub(rest, (size_t)colon + 1, rest.len), 1, 65535, &port))
			return (err_set(err, ERR_CONFIG, "4.3.5", "bad port in %s server data: %s", d->title, arena_cstr(a, rest)));
		s->port = (unsigned)port;
		rest = sv_sub(rest, 0, (size_t)colon);
	}
	s->host = part(a, rest);
	s->db = part(a, field[1]);
	s->user = d->fields == 4 ? part(a, field[2]) : NULL;
	s->password = part(a, field[d->fields - 1]);
	return (0);
}

/* ---- queries ---- */

static enum exim_found
ask(const struct x_sql_driver *d, struct sv item, const char *query, struct arena *a, struct sv *out, struct err *err)
{
	const char *server = arena_cstr(a, item);
	struct x_sql_server s;
	enum exim_found f = EXIM_TEMPFAIL;

	if (parse_server(d, a, item, &s, err) == -1)
		return (EXIM_TEMPFAIL);
	/* A kept connection may have died: then a new one is made. */
	for (int try = 0; try < 2; try++) {
		void *conn = try == 0 ? take(d, server) : d->connect(&s, err);
		bool lost = false;
		struct xb b;

		if (conn == NULL && try == 0)
			continue;
		if (conn == NULL)
			return (EXIM_TEMPFAIL);
		xb_init(&b, a, 64);
		f = d->query(conn, query, &b, &lost, err);
		if (lost)
			d->close(conn);
		else
			give(d, server, conn);
		if (f == EXIM_FOUND)
			*out = xb_sv(&b);
		if (!lost || try == 1)
			break;
		err_clear(err);
	}
	return (f);
}

enum exim_found
x_sql(const struct x_sql_driver *d, struct sv servers, struct sv query, struct arena *a, struct sv *out, struct err *err)
{
	const char *q = arena_cstr(a, query);
	enum exim_found f = EXIM_TEMPFAIL;
	struct sv item;
	int sep = 0;

	(void)err_set(err, ERR_TEMP, "4.3.0", "no %s server in the list", d->name);
	while (exim_list_next(&servers, &sep, a, &item)) {
		if (item.len == 0)
			continue;
		err_clear(err);
		f = ask(d, item, q, a, out, err);
		/* A mistake of the list ends it: the next server is no better. */
		if (f != EXIM_TEMPFAIL || err->cls == ERR_CONFIG)
			break;
	}
	return (f);
}

/* ---- results ---- */

void
x_sql_column(struct xb *b, int n, const char *name, const char *v, size_t len)
{
	bool quote;

	if (v == NULL)
		len = 0;
	if (n == 1) {
		xb_add(b, sv_from(v, len));
		return;
	}
	xb_adds(b, name);
	xb_addc(b, '=');
	quote = len == 0 || v[0] == '"';
	for (size_t i = 0; i < len && !quote; i++)
		quote = sv_isspace(v[i]);
	if (!quote)
		xb_add(b, sv_from(v, len));
	else {
		xb_addc(b, '"');
		for (size_t i = 0; i < len; i++) {
			if (v[i] == '"' || v[i] == '\\')
				xb_addc(b, '\\');
			xb_addc(b, v[i]);
		}
		xb_addc(b, '"');
	}
	xb_addc(b, ' ');
}
