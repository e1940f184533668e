/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The predefined macros (manual 6.8): of what is built in, of the options' tables, selectors and parts of expansions.
 * -bP macros lists them as Exim does, which is against the order in which it makes them.
 */
#include "exim/expand.h"
#include "exim/lexer.h"
#include "exim/logsel.h"
#include "exim/macro_int.h"
#include "exim/option.h"

/* Facilities, made before those of the options and after them; values are "y" unless told otherwise. */
static const char *const have[] = {
	"_HAVE_CRYPTEQ", "_HAVE_ICONV", "_HAVE_IPV6", "_HAVE_PAM", "_HAVE_PERL", "_HAVE_TLS", "_HAVE_OPENSSL",
	"_HAVE_MOVE_FROZEN_MESSAGES", "_HAVE_CONTENT_SCANNING", "_HAVE_DKIM", "_HAVE_DMARC", "_HAVE_DNSSEC",
	"_HAVE_EVENT", "_HAVE_I18N", "_HAVE_OCSP", "_HAVE_PIPE_CONNECT", "_HAVE_PRDR", "_HAVE_PROXY", "_HAVE_SOCKS",
	"_HAVE_NATIVE_SRS", "_HAVE_TCP_FASTOPEN", "_HAVE_SPF", "_HAVE_SRS", "_HAVE_DANE", "_HAVE_TLS_RESUME",
	"_HAVE_LOOKUP_LSEARCH", "_HAVE_LOOKUP_CDB", "_HAVE_LOOKUP_DBM", "_HAVE_LOOKUP_DNSDB", "_HAVE_LOOKUP_DSEARCH",
	"_HAVE_LOOKUP_JSON", "_HAVE_LOOKUP_LDAP", "_HAVE_LOOKUP_LMDB", "_HAVE_LOOKUP_MYSQL", "_HAVE_LOOKUP_PASSWD",
	"_HAVE_LOOKUP_PGSQL", "_HAVE_LOOKUP_PSL", "_HAVE_LOOKUP_REDIS", "_HAVE_LOOKUP_REGDOM", "_HAVE_LOOKUP_SQLITE",
	"_HAVE_TRANSPORT_APPEND_MAILDIR", "_HAVE_TRANSPORT_APPEND_MAILSTORE", "_HAVE_TRANSPORT_APPEND_MBX",
	"_ACL_COND_ACL", "_ACL_MOD_ADD_HEADER", "_ACL_COND_AUTHENTICATED", "_ACL_COND_CONDITION",
	"_ACL_MOD_CONTINUE", "_ACL_MOD_CONTROL", "_ACL_COND_DECODE", "_ACL_MOD_DELAY", "_ACL_COND_DKIM_SIGNERS",
	"_ACL_COND_DKIM_STATUS", "_ACL_COND_DMARC_STATUS", "_ACL_COND_DNSLISTS", "_ACL_COND_DOMAINS",
	"_ACL_COND_ENCRYPTED", "_ACL_MOD_ENDPASS", "_ACL_COND_HOSTS", "_ACL_COND_LOCAL_PARTS",
	"_ACL_MOD_LOG_MESSAGE", "_ACL_MOD_LOG_REJECT_TARGET", "_ACL_MOD_LOGWRITE", "_ACL_COND_MALWARE",
	"_ACL_MOD_MESSAGE", "_ACL_COND_MIME_REGEX", "_ACL_MOD_QUEUE", "_ACL_COND_RATELIMIT", "_ACL_COND_RECIPIENTS",
	"_ACL_COND_REGEX", "_ACL_MOD_REMOVE_HEADER", "_ACL_COND_SEEN", "_ACL_COND_SENDER_DOMAINS",
	"_ACL_COND_SENDERS", "_ACL_MOD_SET", "_ACL_COND_SPAM", "_ACL_COND_SPF", "_ACL_COND_SPF_GUESS",
	"_ACL_MOD_UDPSEND", "_ACL_COND_VERIFY", "_CRYPTO_SIGN_ED25519", "_CRYPTO_HASH_SHA3", "_HAVE_MALWARE_CLAMD",
	"_HAVE_MALWARE_SOCK", "_HAVE_MALWARE_CMDLINE",
};
static const char *const have_late[] = {
	"_HAVE_TLS1_3", "_HAVE_TLS_OCSP", "_HAVE_TLS_OCSP_LIST", "_HAVE_TLS_CA_CACHE", "_HAVE_TLS_ALPN",
};

#define DKIM_HEADERS "From:Sender:Reply-To:Subject:Date:Message-ID:To:Cc:MIME-Version:Content-Type:" \
	"Content-Transfer-Encoding:Content-ID:Content-Description:Resent-Date:Resent-From:Resent-Sender:Resent-To:" \
	"Resent-Cc:Resent-Message-ID:In-Reply-To:References:List-Id:List-Help:List-Unsubscribe:List-Subscribe:List-Post:" \
	"List-Owner:List-Archive"
#define DKIM_OVERSIGN "+From:+Sender:+Reply-To:+Subject:+Date:+Message-ID:+To:+Cc:+MIME-Version:+Content-Type:" \
	"+Content-Transfer-Encoding:+Content-ID:+Content-Description:+Resent-Date:+Resent-From:+Resent-Sender:+Resent-To:" \
	"+Resent-Cc:+Resent-Message-ID:+In-Reply-To:+References:+List-Id:+List-Help:+List-Unsubscribe:+List-Subscribe:" \
	"+List-Post:+List-Owner:+List-Archive"

static const struct { const char *name, *value; } valued[] = {
	{ "_VPOST", "1" },
	{ "_DKIM_SIGN_HEADERS", DKIM_HEADERS },
	{ "_DKIM_OVERSIGN_HEADERS", DKIM_OVERSIGN },
};

/* Case-blind comparison of the rest of a macro's name with a table's name. */
static bool
rest_is(struct sv rest, const char *name)
{
	return (sv_caseeqs(rest, name));
}

static bool
cut(struct sv *v, const char *prefix)
{
	if (!sv_starts(*v, prefix))
		return (false);
	*v = sv_sub(*v, strlen(prefix), v->len);
	return (true);
}

/* _OPT_ROUTERS_X, _OPT_ROUTER_REDIRECT_X, _OPT_MAIN_X */
static bool
known_option(struct sv rest)
{
	static const struct { const char *generic, *driver; enum exim_opt_kind kind; } k[] = {
		{ "MAIN_", NULL, EXIM_KIND_MAIN }, { "ROUTERS_", "ROUTER_", EXIM_KIND_ROUTER },
		{ "TRANSPORTS_", "TRANSPORT_", EXIM_KIND_TRANSPORT }, { "AUTHENTICATORS_", "AUTHENTICATOR_", EXIM_KIND_AUTH },
	};

	for (size_t i = 0; i < sizeof(k) / sizeof(k[0]); i++) {
		struct sv v = rest;

		if (cut(&v, k[i].generic)) {
			const struct exim_opt_table *t = exim_opt_table(k[i].kind, SV_NULL);

			for (size_t j = 0; j < t->n; j++)
				if (rest_is(v, t->opts[j].name))
					return (true);
			return (false);
		}
		if (k[i].driver == NULL || !cut(&v, k[i].driver))
			continue;
		for (size_t j = 0; j < exim_nopt_tables; j++) {
			const struct exim_opt_table *t = &exim_opt_tables[j];
			size_t n = t->driver == NULL ? 0 : strlen(t->driver);

			if (t->kind != k[i].kind || n == 0 || v.len <= n || v.p[n] != '_' ||
			    !rest_is(sv_sub(v, 0, n), t->driver))
				continue;
			for (size_t o = 0; o < t->n; o++)
				if (rest_is(sv_sub(v, n + 1, v.len), t->opts[o].name))
					return (true);
		}
		return (false);
	}
	return (false);
}

static bool
known_driver(struct sv rest)
{
	static const struct { const char *prefix; enum exim_opt_kind kind; } k[] = {
		{ "ROUTER_", EXIM_KIND_ROUTER }, { "TRANSPORT_", EXIM_KIND_TRANSPORT },
		{ "AUTHENTICATOR_", EXIM_KIND_AUTH },
	};

	for (size_t i = 0; i < sizeof(k) / sizeof(k[0]); i++) {
		struct sv v = rest;

		if (!cut(&v, k[i].prefix))
			continue;
		for (size_t j = 0; j < exim_nopt_tables; j++)
			if (exim_opt_tables[j].kind == k[i].kind && exim_opt_tables[j].driver != NULL &&
			    (exim_opt_tables[j].flags & EXIM_OPTF_KNOWN) == 0 && rest_is(v, exim_opt_tables[j].driver))
				return (true);
	}
	return (false);
}

static bool
known_selector(struct sv rest)
{
	char name[64];

	if (rest.len >= sizeof(name))
		return (false);
	for (size_t i = 0; i < rest.len; i++)
		name[i] = sv_lower(rest.p[i]);
	return (exim_logsel_known(sv_from(name, rest.len)));
}

/* _EXP_ITEM_X, _EXP_OP_X, _EXP_COND_X, _EXP_VAR_X */
static bool
known_expansion(struct sv rest)
{
	static const struct { const char *prefix; enum exim_family f; } k[] = {
		{ "ITEM_", EXIM_ITEMS }, { "OP_", EXIM_OPERATORS }, { "COND_", EXIM_CONDITIONS }, { "VAR_", EXIM_VARIABLES },
	};

	for (size_t i = 0; i < sizeof(k) / sizeof(k[0]); i++) {
		struct sv v = rest;
		const char *name;

		if (!cut(&v, k[i].prefix))
			continue;
		for (size_t j = 0; (name = exim_family_name(k[i].f, j)) != NULL; j++)
			if (rest_is(v, name))
				return (true);
	}
	return (false);
}

bool
exim_macro_predefined(struct sv name, struct sv *value)
{
	struct sv rest = name;

	*value = SV_LIT("y");
	for (size_t i = 0; i < sizeof(valued) / sizeof(valued[0]); i++)
		if (sv_eqs(name, valued[i].name)) {
			*value = sv_cstr(valued[i].value);
			return (true);
		}
	if (cut(&rest, "_OPT_"))
		return (known_option(rest));
	if (cut(&rest, "_DRIVER_"))
		return (known_driver(rest));
	if (cut(&rest, "_LOG_"))
		return (known_selector(rest));
	if (cut(&rest, "_EXP_"))
		return (known_expansion(rest));
	for (size_t i = 0; i < sizeof(have) / sizeof(have[0]); i++)
		if (sv_eqs(name, have[i]))
			return (true);
	for (size_t i = 0; i < sizeof(have_late) / sizeof(have_late[0]); i++)
		if (sv_eqs(name, have_late[i]))
			return (true);
	return (false);
}

/* ---- all of them ---- */

struct listing {
	struct arena	*arena;
	VEC(struct sv)	 names;
};

/* "_OPT_ROUTER_REDIRECT_" and a name in upper case. */
static void
add(struct listing *l, const char *prefix, const char *driver, const char *name)
{
	char *s = driver == NULL ? arena_fmt(l->arena, "%s%s", prefix, name) :
	    arena_fmt(l->arena, "%s%s_%s", prefix, driver, name);

	for (char *p = s; *p != '\0'; p++)
		*p = sv_upper(*p);
	vec_push(&l->names, sv_cstr(s));
}

static void
add_all(struct listing *l, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		vec_push(&l->names, sv_cstr(names[i]));
}

static void
add_options(struct listing *l)
{
	static const enum exim_opt_kind order[] = { EXIM_KIND_MAIN, EXIM_KIND_ROUTER, EXIM_KIND_TRANSPORT, EXIM_KIND_AUTH };
	static const struct { const char *generic, *own, *driver; } prefix[] = {
		[EXIM_KIND_MAIN] = { "_OPT_MAIN_", "", "" },
		[EXIM_KIND_ROUTER] = { "_OPT_ROUTERS_", "_OPT_ROUTER_", "_DRIVER_ROUTER_" },
		[EXIM_KIND_TRANSPORT] = { "_OPT_TRANSPORTS_", "_OPT_TRANSPORT_", "_DRIVER_TRANSPORT_" },
		[EXIM_KIND_AUTH] = { "_OPT_AUTHENTICATORS_", "_OPT_AUTHENTICATOR_", "_DRIVER_AUTHENTICATOR_" },
	};

	for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++)
		for (size_t t = 0; t < exim_nopt_tables; t++) {
			const struct exim_opt_table *tab = &exim_opt_tables[t];

			if (tab->kind != order[k])
				continue;
			if (tab->driver != NULL && (tab->flags & EXIM_OPTF_KNOWN) == 0)
				add(l, prefix[tab->kind].driver, NULL, tab->driver);
			for (size_t i = 0; i < tab->n; i++)
				add(l, tab->driver == NULL ? prefix[tab->kind].generic : prefix[tab->kind].own, tab->driver,
				    tab->opts[i].name);
		}
}

static int
by_name(const void *a, const void *b)
{
	return (strcmp(*(const char *const *)a, *(const char *const *)b));
}

/* The names of one family; of the operators first those with an underscore. */
static void
add_family(struct listing *l, enum exim_family f, const char *prefix)
{
	VEC(const char *) v = VEC_INIT;
	const char *name;

	for (size_t i = 0; (name = exim_family_name(f, i)) != NULL; i++)
		vec_push(&v, name);
	if (v.len > 0)
		qsort(v.p, v.len, sizeof(v.p[0]), by_name);
	for (int plain = f == EXIM_OPERATORS ? 0 : 1; plain < 2; plain++)
		for (size_t i = 0; i < v.len; i++)
			if (f != EXIM_OPERATORS || (strchr(v.p[i], '_') == NULL) == (plain == 1))
				add(l, prefix, NULL, v.p[i]);
	vec_free(&v);
}

void
exim_macro_predefined_all(struct arena *a, exim_macro_fn *fn, void *arg)
{
	struct listing l = { .arena = a, .names = VEC_INIT };
	struct sv value;

	add_all(&l, have, sizeof(have) / sizeof(have[0]));
	add_options(&l);
	add(&l, "_LOG_", NULL, "all");
	for (int i = 0; i < EXIM_LOGSEL_COUNT; i++)
		add(&l, "_LOG_", NULL, exim_logsel_name(i));
	add_all(&l, have_late, sizeof(have_late) / sizeof(have_late[0]));
	add_family(&l, EXIM_ITEMS, "_EXP_ITEM_");
	add_family(&l, EXIM_OPERATORS, "_EXP_OP_");
	add_family(&l, EXIM_CONDITIONS, "_EXP_COND_");
	add_family(&l, EXIM_VARIABLES, "_EXP_VAR_");
	for (size_t i = 0; i < sizeof(valued) / sizeof(valued[0]); i++)
		vec_push(&l.names, sv_cstr(valued[i].name));
	for (size_t i = l.names.len; i > 0; i--)
		if (exim_macro_predefined(l.names.p[i - 1], &value))
			fn(arg, l.names.p[i - 1], value);
	vec_free(&l.names);
}
