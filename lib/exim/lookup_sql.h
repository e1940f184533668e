/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What lookups in database servers share: the list of servers with their parameters, connections that are
 * kept for the next query, the form of results.  A driver knows one kind of server.  Everything here blocks and may run
 * on any thread.
 */
#ifndef VPOST_EXIM_LOOKUP_SQL_H
#define VPOST_EXIM_LOOKUP_SQL_H

#include "exim/lookup_int.h"

#define X_SQL_CONNECT_S	5		/* seconds for a connection */
#define X_SQL_ANSWER_S	30		/* and for the answer to a query */
#define X_SQL_ROWS_MAX	10000

/* host::port(socket)[group]/database/user/password; what is missing is NULL or 0. */
struct x_sql_server {
	const char	*host, *socket, *group, *db, *user, *password;
	unsigned	 port;
};

struct x_sql_driver {
	const char	*name;			/* for messages: "MYSQL" */
	const char	*title;			/* and "MySQL" */
	const char	*option;		/* "mysql_servers" */
	int		 fields;		/* of a complete server: 4 or, without user and password apart, 3 */
	/* NULL and *<err>: the next server is tried. */
	void		*(*connect)(const struct x_sql_server *s, struct err *err);
	/* EXIM_TEMPFAIL: *<err>; with *<lost> the connection is of no use any more. */
	enum exim_found	(*query)(void *conn, const char *query, struct xb *out, bool *lost, struct err *err);
	void		(*close)(void *conn);
};

/* The optional drivers: NULL and *<err> where there is no library. */
const struct x_sql_driver *x_sql_mysql(struct err *err);
const struct x_sql_driver *x_sql_pgsql(struct err *err);
extern const struct x_sql_driver x_sql_redis;
/* ldap, ldapm, ldapdn, ldapauth: <file> are the default servers, <opts> as x_ldap_opts packs them. */
/* The values, behind a line with the DN of the last entry. */
enum exim_found x_ldap(const char *type, struct sv servers, struct sv query, struct sv opts, struct arena *a, struct sv *out,
		    struct err *err);

/* Ask the servers of the list <servers> in turn.  *<out> in <a>. */
enum exim_found x_sql(const struct x_sql_driver *d, struct sv servers, struct sv query, struct arena *a, struct sv *out,
		    struct err *err);
/* One column of a row of <n>: the value alone, or NAME=VALUE and a blank.  <v> NULL: SQL's NULL, like an empty value. */
void	 x_sql_column(struct xb *b, int n, const char *name, const char *v, size_t len);

/* "/path" or "inet:host:port" with a time-out in <opts>, the query is what is sent. */
enum exim_found x_lmdb(const char *path, struct sv key, struct arena *a, struct sv *out, struct err *err);

#endif
