/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ldap lookups and the ldapauth condition (manual 9.14 to 9.19), by OpenLDAP's library.  A query is
 * any number of NAME=VALUE settings and a URL; each query makes a connection of its own.
 */
#include <sys/time.h>

#include <ldap.h>
#include <pthread.h>
#include <stdio.h>

#include "base/codec.h"
#include "base/num.h"
#include "base/sb.h"
#include "exim/lookup_sql.h"
#include "exim/match.h"
#include "os/library.h"

#define FUNCTIONS(X)									\
	X(ldap_initialize) X(ldap_set_option) X(ldap_sasl_bind) X(ldap_result) X(ldap_search_ext) X(ldap_first_entry)	\
	X(ldap_next_entry) X(ldap_get_dn) X(ldap_first_attribute) X(ldap_next_attribute) X(ldap_get_values_len)	\
	X(ldap_value_free_len) X(ldap_memfree) X(ldap_msgfree) X(ldap_unbind_ext_s) X(ldap_err2string) X(ldap_start_tls_s)	\
	X(ldap_url_parse) X(ldap_free_urldesc) X(ldap_parse_result) X(ber_free) X(ldap_count_values_len)
static struct {
#define X(f)	__typeof__(&f) f;
	FUNCTIONS(X)
#undef X
} ld;

static int
load(struct err *err)
{
	static const char *const names[] = { "libldap-2.5.so.0", "libldap.so.2", "libldap-2.4.so.2", "libldap.so", NULL };
	static const struct os_symbol symbols[] = {
#define X(f)	{ #f, (void **)&ld.f },
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

/* ---- the query ---- */

struct query {
	struct arena	*a;
	const char	*type;
	const char	*user, *pass;	/* NULL: not given */
	const char	*url;
	struct sv	 servers;
	struct sv	 conf;		/* lines NAME=VALUE of the main options */
	int64_t		 net_s, time_s, size;
	int		 deref;
	bool		 no_referrals;
	LDAPURLDesc	*desc;
};

/* A value: up to a blank, or in quotes with backslashes; *<text> moves behind it. */
static const char *
take_value(struct arena *a, const char **text)
{
	const char *p = *text;
	struct sb sb = SB_INIT(64 * 1024);
	const char *v;

	if (*p == '"') {
		for (p++; *p != '\0' && *p != '"'; p++) {
			if (*p == '\\' && p[1] != '\0')
				p++;
			sb_addc(&sb, *p);
		}
		if (*p == '"')
			p++;
	} else
		while (*p != '\0' && !sv_isspace(*p))
			sb_addc(&sb, *p++);
	v = arena_str(a, sb_cstr(&sb));
	sb_free(&sb);
	*text = p;
	return (v);
}

/* %xx, as in a DN that quote_ldap_dn made. */
static const char *
unquote_url(struct arena *a, const char *v)
{
	char *out = arena_alloc(a, strlen(v) + 1), *o = out;
	static const char hex[] = "0123456789abcdef";

	for (; *v != '\0'; v++) {
		const char *h = *v == '%' && v[1] != '\0' ? strchr(hex, sv_lower(v[1])) : NULL;
		const char *l = h != NULL && v[2] != '\0' ? strchr(hex, sv_lower(v[2])) : NULL;

		if (l != NULL) {
			*o++ = (char)((h - hex) << 4 | (l - hex));
			v += 2;
		} else
			*o++ = *v;
	}
	*o = '\0';
	return (out);
}

static int
set_number(const char *name, const char *v, int64_t *out, struct err *err)
{
	if (num_parse(sv_cstr(v), 0, 1000000, out))
		return (0);
	return (err_set(err, ERR_TEMP, "4.3.5", "LDAP query: \"%s=%s\" is not a number", name, v));
}

static int
set_deref(struct query *q, const char *v, struct err *err)
{
	static const struct { const char *word; int value; } w[] = { { "never", LDAP_DEREF_NEVER },
	    { "searching", LDAP_DEREF_SEARCHING }, { "finding", LDAP_DEREF_FINDING }, { "always", LDAP_DEREF_ALWAYS } };

	for (size_t i = 0; i < sizeof(w) / sizeof(w[0]); i++)
		if (sv_caseeqs(sv_cstr(v), w[i].word)) {
			q->deref = w[i].value;
			return (0);
		}
	return (err_set(err, ERR_TEMP, "4.3.5", "LDAP query: unknown setting DEREFERENCE=%s", v));
}

static int
set_one(struct query *q, struct sv name, const char *v, struct err *err)
{
	if (sv_caseeqs(name, "USER"))
		q->user = unquote_url(q->a, v);
	else if (sv_caseeqs(name, "PASS"))
		q->pass = v;
	else if (sv_caseeqs(name, "SERVERS"))
		q->servers = sv_cstr(v);
	else if (sv_caseeqs(name, "SIZE"))
		return (set_number("SIZE", v, &q->size, err));
	else if (sv_caseeqs(name, "TIME"))
		return (set_number("TIME", v, &q->time_s, err));
	else if (sv_caseeqs(name, "NETTIME") || sv_caseeqs(name, "CONNECT"))
		return (set_number("NETTIME", v, &q->net_s, err));
	else if (sv_caseeqs(name, "DEREFERENCE"))
		return (set_deref(q, v, err));
	else if (sv_caseeqs(name, "REFERRALS"))
		q->no_referrals = sv_caseeqs(sv_cstr(v), "nofollow");
	else
		return (err_set(err, ERR_TEMP, "4.3.5", "unknown parameter \"%s=\" precedes LDAP URL", arena_cstr(q->a, name)));
	return (0);
}

static bool
is_url(const char *text)
{
	return (sv_casestarts(sv_cstr(text), "ldap://") || sv_casestarts(sv_cstr(text), "ldaps://") ||
	    sv_casestarts(sv_cstr(text), "ldapi://"));
}

static int
parse_query(struct query *q, const char *text, struct err *err)
{
	int code;

	for (;;) {
		const char *name, *value;

		while (sv_isspace(*text))
			text++;
		if (sv_casestarts(sv_cstr(text), "ldap"))
			break;
		name = text;
		text = strchr(text, '=');
		if (text == NULL || text == name)
			return (err_set(err, ERR_TEMP, "4.3.5", "malformed parameter setting precedes LDAP URL"));
		value = text + 1;
		if (set_one(q, sv_from(name, (size_t)(text - name)), take_value(q->a, &value), err) == -1)
			return (-1);
		text = value;
	}
	if (!is_url(text))
		return (err_set(err, ERR_TEMP, "4.3.5", "LDAP URL does not start with \"ldap://\", \"ldaps://\", or \"ldapi://\" "
		    "(it starts with \"%.16s...\")", text));
	q->url = text;
	code = ld.ldap_url_parse(text, &q->desc);
	if (code == 0)
		return (0);
	q->desc = NULL;
	if (code == LDAP_URL_ERR_BADSCHEME)
		return (err_set(err, ERR_TEMP, "4.3.5", "ldap_is_ldap_url: not an LDAP url \"%s\"", text));
	return (err_set(err, ERR_TEMP, "4.3.5", "ldap_url_parse: (error %d) parsing \"%s\"", code, text));
}

/* ---- a connection ---- */

static const char *
setting(const struct query *q, const char *name)
{
	struct sv rest = q->conf, line;

	while (sv_next(&rest, '\n', &line))
		if (sv_starts(line, name) && line.p[strlen(name)] == '=')
			return (arena_cstr(q->a, sv_sub(line, strlen(name) + 1, line.len)));
	return (NULL);
}

static void
set_tls(const struct query *q, LDAP *l)
{
	static const struct { const char *name; int opt; } files[] = {
		{ "ca_cert_file", LDAP_OPT_X_TLS_CACERTFILE }, { "ca_cert_dir", LDAP_OPT_X_TLS_CACERTDIR },
		{ "cert_file", LDAP_OPT_X_TLS_CERTFILE }, { "cert_key", LDAP_OPT_X_TLS_KEYFILE },
		{ "cipher_suite", LDAP_OPT_X_TLS_CIPHER_SUITE },
	};
	const char *v = setting(q, "require_cert");
	int need = LDAP_OPT_X_TLS_DEMAND, fresh = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		const char *f = setting(q, files[i].name);

		if (f != NULL)
			(void)ld.ldap_set_option(l, files[i].opt, f);
	}
	if (v != NULL) {
		need = strcmp(v, "never") == 0 ? LDAP_OPT_X_TLS_NEVER : strcmp(v, "allow") == 0 ? LDAP_OPT_X_TLS_ALLOW :
		    strcmp(v, "try") == 0 ? LDAP_OPT_X_TLS_TRY : LDAP_OPT_X_TLS_DEMAND;
		(void)ld.ldap_set_option(l, LDAP_OPT_X_TLS_REQUIRE_CERT, &need);
	}
	(void)ld.ldap_set_option(l, LDAP_OPT_X_TLS_NEWCTX, &fresh);
}

/* The library's URI of a server: "host:port", a socket's path, or empty for the URL's own. */
static const char *
server_uri(const struct query *q, struct sv server)
{
	const char *scheme = q->desc->lud_scheme == NULL ? "ldap" : q->desc->lud_scheme, *host = q->desc->lud_host;
	struct sb sb = SB_INIT(4096);
	const char *uri;

	if (server.len > 0)
		host = arena_cstr(q->a, server);
	if (host != NULL && host[0] == '/') {
		sb_adds(&sb, "ldapi://");
		for (; *host != '\0'; host++)
			if (sv_isalnum(*host) || strchr("-._", *host) != NULL)
				sb_addc(&sb, *host);
			else
				sb_addf(&sb, "%%%02X", (unsigned char)*host);
	} else if (host == NULL || host[0] == '\0')
		sb_addf(&sb, "%s:///", scheme);
	else if (server.len > 0 || q->desc->lud_port == 0)
		sb_addf(&sb, "%s://%s/", scheme, host);
	else
		sb_addf(&sb, strchr(host, ':') != NULL && host[0] != '[' ? "%s://[%s]:%d/" : "%s://%s:%d/", scheme, host,
		    q->desc->lud_port);
	uri = arena_str(q->a, sb_cstr(&sb));
	sb_free(&sb);
	return (uri);
}

static int
open_server(const struct query *q, struct sv server, LDAP **out, struct err *err)
{
	const char *uri = server_uri(q, server);
	struct timeval net = { .tv_sec = q->net_s > 0 ? q->net_s : X_SQL_CONNECT_S };
	int version = LDAP_VERSION3, limit = (int)q->size, seconds = (int)q->time_s, on = 1, rc;
	const char *v = setting(q, "version"), *host = server.len > 0 ? arena_cstr(q->a, server) : q->desc->lud_host;
	LDAP *l = NULL;

	if (sv_casestarts(sv_cstr(q->url), "ldapi:") && host != NULL && host[0] != '\0' && host[0] != '/')
		return (err_set(err, ERR_TEMP, "4.3.5", "ldapi requires an absolute path (\"%s\" given)", host));
	rc = ld.ldap_initialize(&l, uri);
	if (rc != LDAP_SUCCESS)
		return (err_set(err, ERR_TEMP, "4.3.0", "ldap_initialize: (error %d) URL \"%s\"", rc, uri));
	if (v != NULL && strcmp(v, "2") == 0)
		version = LDAP_VERSION2;
	(void)ld.ldap_set_option(l, LDAP_OPT_PROTOCOL_VERSION, &version);
	(void)ld.ldap_set_option(l, LDAP_OPT_NETWORK_TIMEOUT, &net);
	(void)ld.ldap_set_option(l, LDAP_OPT_DEREF, &q->deref);
	(void)ld.ldap_set_option(l, LDAP_OPT_SIZELIMIT, &limit);
	(void)ld.ldap_set_option(l, LDAP_OPT_TIMELIMIT, &seconds);
	(void)ld.ldap_set_option(l, LDAP_OPT_REFERRALS, q->no_referrals ? LDAP_OPT_OFF : &on);
	*out = l;
	if (strncmp(uri, "ldapi:", 6) == 0)
		return (0);
	set_tls(q, l);
	if (setting(q, "start_tls") != NULL && strncmp(uri, "ldaps:", 6) != 0 &&
	    (rc = ld.ldap_start_tls_s(l, NULL, NULL)) != LDAP_SUCCESS)
		return (err_set(err, ERR_TEMP, "4.3.0", "failed to initiate TLS processing on an LDAP session to server %s: %s", uri,
		    ld.ldap_err2string(rc)));
	return (0);
}

/* Wait for the answer to <id> and read its code. */
static int
answer_code(const struct query *q, LDAP *l, int id, int *code, char text[256])
{
	struct timeval tv = { .tv_sec = q->net_s > 0 ? q->net_s : X_SQL_ANSWER_S };
	LDAPMessage *m = NULL;
	char *why = NULL;
	int rc = ld.ldap_result(l, id, LDAP_MSG_ALL, &tv, &m);

	if (rc <= 0) {
		*code = rc == 0 ? LDAP_TIMEOUT : LDAP_SERVER_DOWN;
		(void)snprintf(text, 256, "%s", ld.ldap_err2string(*code));
		return (-1);
	}
	(void)ld.ldap_parse_result(l, m, code, NULL, &why, NULL, NULL, 1);
	(void)snprintf(text, 256, "%s%s%s", ld.ldap_err2string(*code), why != NULL && why[0] != '\0' ? " - " : "",
	    why == NULL ? "" : why);
	ld.ldap_memfree(why);
	return (0);
}

/* EXIM_NOTFOUND: the server knows the user not by that password. */
static enum exim_found
bind_user(const struct query *q, LDAP *l, const char *where, struct err *err)
{
	struct berval cred = { .bv_val = (char *)(uintptr_t)(q->pass == NULL ? "" : q->pass) };
	char text[256];
	int id, code;

	cred.bv_len = strlen(cred.bv_val);
	code = ld.ldap_sasl_bind(l, q->user == NULL ? "" : q->user, LDAP_SASL_SIMPLE, &cred, NULL, NULL, &id);
	/* Nobody is there: the older call, whose words these are, has no more to say. */
	if (code != LDAP_SUCCESS) {
		(void)err_set(err, ERR_TEMP, "4.3.0", "failed to bind the LDAP connection to server %s - ldap_bind() returned -1", where);
		return (EXIM_TEMPFAIL);
	}
	(void)answer_code(q, l, id, &code, text);
	if (code == LDAP_SUCCESS)
		return (EXIM_FOUND);
	(void)err_set(err, ERR_TEMP, "4.3.0", "failed to bind the LDAP connection to server %s - LDAP error %d: %s", where, code, text);
	return (code == LDAP_INVALID_CREDENTIALS ? EXIM_NOTFOUND : EXIM_TEMPFAIL);
}

/* ---- results ---- */

static void
add_values(struct xb *b, struct berval **v, bool quoted, bool first)
{
	for (int i = 0; v[i] != NULL; i++) {
		if (i > 0 || !first)
			xb_addc(b, ',');
		for (size_t k = 0; k < v[i]->bv_len; k++) {
			char c = v[i]->bv_val[k];

			if (c == ',')
				xb_adds(b, ",,");
			else if (quoted && c == '\n')
				xb_adds(b, "\\n");
			else {
				if (quoted && (c == '"' || c == '\\'))
					xb_addc(b, '\\');
				xb_addc(b, c);
			}
		}
	}
}

static bool
add_entry(const struct query *q, LDAP *l, LDAPMessage *e, struct xb *b)
{
	bool one = q->desc->lud_attrs != NULL && q->desc->lud_attrs[0] != NULL && q->desc->lud_attrs[1] == NULL &&
	    strcmp(q->desc->lud_attrs[0], "*") != 0;
	size_t before = b->len;
	BerElement *ber = NULL;
	bool first = true, any = false;

	for (char *name = ld.ldap_first_attribute(l, e, &ber); name != NULL; name = ld.ldap_next_attribute(l, e, ber)) {
		struct berval **v = ld.ldap_get_values_len(l, e, name);

		if (v != NULL && v[0] != NULL) {
			any = true;
			if (!one)
				xb_fmt(b, "%s%s=\"", b->len > before ? " " : "", name);
			add_values(b, v, !one, one ? first : true);
			if (!one)
				xb_addc(b, '"');
			first = false;
		}
		if (v != NULL)
			ld.ldap_value_free_len(v);
		ld.ldap_memfree(name);
	}
	if (ber != NULL)
		ld.ber_free(ber, 0);
	return (any);
}

static enum exim_found
add_entries(const struct query *q, LDAP *l, LDAPMessage *m, struct xb *b, const char **last, struct err *err)
{
	bool any = false;
	int n = 0;

	for (LDAPMessage *e = ld.ldap_first_entry(l, m); e != NULL; e = ld.ldap_next_entry(l, e))
		n++;
	if (n > 1 && strcmp(q->type, "ldapm") != 0) {
		(void)err_set(err, ERR_TEMP, "4.3.0", "LDAP search: more than one entry (%d) was returned (filter not specific enough?)", n);
		return (EXIM_TEMPFAIL);
	}
	n = 0;
	for (LDAPMessage *e = ld.ldap_first_entry(l, m); e != NULL; e = ld.ldap_next_entry(l, e), n++) {
		if (n > X_SQL_ROWS_MAX)
			break;
		char *dn = ld.ldap_get_dn(l, e);

		*last = dn == NULL ? "" : arena_str(q->a, dn);
		if (dn != NULL)
			ld.ldap_memfree(dn);
		if (strcmp(q->type, "ldapdn") == 0) {
			xb_adds(b, *last);
			any = dn != NULL;
			continue;
		}
		if (b->len > 0)
			xb_addc(b, '\n');
		any = add_entry(q, l, e, b) || any;
	}
	return (any ? EXIM_FOUND : EXIM_NOTFOUND);
}

static enum exim_found
search(const struct query *q, LDAP *l, struct xb *b, const char **last, struct err *err)
{
	struct timeval tv = { .tv_sec = q->net_s > 0 ? q->net_s : X_SQL_ANSWER_S };
	static char no_attrs[] = LDAP_NO_ATTRS;
	char *none[] = { no_attrs, NULL };
	const LDAPURLDesc *u = q->desc;
	LDAPMessage *m = NULL;
	enum exim_found f;
	int id, code, rc;

	rc = ld.ldap_search_ext(l, u->lud_dn, u->lud_scope < 0 ? LDAP_SCOPE_BASE : u->lud_scope,
	    u->lud_filter == NULL ? "(objectClass=*)" : u->lud_filter, strcmp(q->type, "ldapdn") == 0 ? none : u->lud_attrs, 0, NULL,
	    NULL, &tv, (int)q->size, &id);
	if (rc == LDAP_SUCCESS) {
		rc = ld.ldap_result(l, id, LDAP_MSG_ALL, &tv, &m);
		if (rc > 0) {
			(void)ld.ldap_parse_result(l, m, &code, NULL, NULL, NULL, NULL, 0);
			rc = code;
		} else if (m == NULL)
			rc = rc == 0 ? LDAP_TIMEOUT : LDAP_SERVER_DOWN;
	}
	if (rc == LDAP_NO_SUCH_OBJECT)
		f = EXIM_NOTFOUND;
	else if (rc != LDAP_SUCCESS && rc != LDAP_SIZELIMIT_EXCEEDED) {
		(void)err_set(err, ERR_TEMP, "4.3.0", "ldap_search failed: %d, %s", rc, ld.ldap_err2string(rc));
		f = EXIM_TEMPFAIL;
	} else
		f = add_entries(q, l, m, b, last, err);
	if (m != NULL)
		(void)ld.ldap_msgfree(m);
	return (f);
}

static enum exim_found
ask_server(const struct query *q, struct sv server, struct sv *out, struct err *err)
{
	enum exim_found f = EXIM_TEMPFAIL;
	LDAP *l = NULL;
	const char *where = server.len > 0 ? arena_cstr(q->a, server) : arena_fmt(q->a, "%s:%d",
	    q->desc->lud_host == NULL || q->desc->lud_host[0] == '\0' ? "NULL" : q->desc->lud_host, q->desc->lud_port);
	const char *last = "";
	struct xb b;

	xb_init(&b, q->a, 64);
	if (open_server(q, server, &l, err) == 0) {
		f = bind_user(q, l, where, err);
		if (f == EXIM_FOUND && strcmp(q->type, "ldapauth") != 0) {
			f = search(q, l, &b, &last, err);
			/* The DN stands in a line of its own in front; it holds no newline. */
			*out = sv_cstr(arena_fmt(q->a, "%s\n" SV_FMT, last, SV_ARG(xb_sv(&b))));
		} else if (f == EXIM_NOTFOUND && strcmp(q->type, "ldapauth") != 0)
			f = EXIM_TEMPFAIL;
	}
	if (l != NULL)
		(void)ld.ldap_unbind_ext_s(l, NULL, NULL);
	return (f);
}

enum exim_found
x_ldap(const char *type, struct sv servers, struct sv query, struct sv opts, struct arena *a, struct sv *out, struct err *err)
{
	struct query q = { .a = a, .type = type, .servers = servers, .conf = opts, .deref = LDAP_DEREF_NEVER };
	enum exim_found f = EXIM_TEMPFAIL;
	struct sv server, list;
	int sep = 0;

	if (load(err) == -1 || parse_query(&q, arena_cstr(a, query), err) == -1)
		return (EXIM_TEMPFAIL);
	/* Without a user's name or a password a bind succeeds for anybody. */
	if (strcmp(type, "ldapauth") == 0 && (q.user == NULL || q.pass == NULL || q.pass[0] == '\0')) {
		ld.ldap_free_urldesc(q.desc);
		if (q.user != NULL && q.pass != NULL)
			return (EXIM_NOTFOUND);
		(void)err_set(err, ERR_TEMP, "4.3.5", "ldapauth lookups must specify the username and password");
		return (EXIM_TEMPFAIL);
	}
	list = q.servers;
	if ((q.desc->lud_host != NULL && q.desc->lud_host[0] != '\0') || list.len == 0)
		f = ask_server(&q, SV_LIT(""), out, err);
	else
		while (exim_list_next(&list, &sep, a, &server)) {
			err_clear(err);
			if (server.len > 0 && (f = ask_server(&q, server, out, err)) != EXIM_TEMPFAIL)
				break;
		}
	ld.ldap_free_urldesc(q.desc);
	return (f);
}
