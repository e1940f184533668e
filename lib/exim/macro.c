/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Macros of the configuration (chapter 6 of Exim's manual): each is replaced
 * everywhere, also inside words, in the order of definition; a replacement is scanned for
 * macros defined later, not for itself.  The predefined ones derive from the option
 * tables and begin with an underscore.
 */
#include "exim/expand.h"
#include "exim/lexer.h"
#include "exim/logsel.h"
#include "exim/macro_int.h"
#include "exim/option.h"

/* Facilities; values are "y" unless told otherwise. */
static const char *const have[] = {
	"_ACL_COND_ACL", "_ACL_COND_AUTHENTICATED", "_ACL_COND_CONDITION", "_ACL_COND_DECODE", "_ACL_COND_DKIM_SIGNERS",
	"_ACL_COND_DKIM_STATUS", "_ACL_COND_DMARC_STATUS", "_ACL_COND_DNSLISTS", "_ACL_COND_DOMAINS", "_ACL_COND_ENCRYPTED",
	"_ACL_COND_HOSTS", "_ACL_COND_LOCAL_PARTS", "_ACL_COND_MALWARE", "_ACL_COND_MIME_REGEX", "_ACL_COND_RATELIMIT",
	"_ACL_COND_RECIPIENTS", "_ACL_COND_REGEX", "_ACL_COND_SEEN", "_ACL_COND_SENDER_DOMAINS", "_ACL_COND_SENDERS",
	"_ACL_COND_SPAM", "_ACL_COND_SPF", "_ACL_COND_SPF_GUESS", "_ACL_COND_VERIFY", "_ACL_MOD_ADD_HEADER",
	"_ACL_MOD_CONTINUE", "_ACL_MOD_CONTROL", "_ACL_MOD_DELAY", "_ACL_MOD_ENDPASS", "_ACL_MOD_LOGWRITE",
	"_ACL_MOD_LOG_MESSAGE", "_ACL_MOD_LOG_REJECT_TARGET", "_ACL_MOD_MESSAGE", "_ACL_MOD_QUEUE", "_ACL_MOD_REMOVE_HEADER",
	"_ACL_MOD_SET", "_ACL_MOD_UDPSEND",
	"_CRYPTO_HASH_SHA3", "_CRYPTO_SIGN_ED25519",
	"_HAVE_CONTENT_SCANNING", "_HAVE_CRYPTEQ", "_HAVE_DANE", "_HAVE_DKIM", "_HAVE_DMARC", "_HAVE_DNSSEC", "_HAVE_EVENT",
	"_HAVE_I18N", "_HAVE_ICONV", "_HAVE_IPV6", "_HAVE_LOOKUP_CDB", "_HAVE_LOOKUP_DBM", "_HAVE_LOOKUP_DNSDB",
	"_HAVE_LOOKUP_DSEARCH", "_HAVE_LOOKUP_JSON", "_HAVE_LOOKUP_LMDB", "_HAVE_LOOKUP_LSEARCH", "_HAVE_LOOKUP_PASSWD",
	"_HAVE_LOOKUP_SQLITE", "_HAVE_MALWARE_CLAMD", "_HAVE_MALWARE_CMDLINE", "_HAVE_MALWARE_SOCK",
	"_HAVE_MOVE_FROZEN_MESSAGES", "_HAVE_NATIVE_SRS", "_HAVE_OCSP", "_HAVE_OPENSSL", "_HAVE_PAM", "_HAVE_PIPE_CONNECT",
	"_HAVE_PRDR", "_HAVE_PROXY", "_HAVE_SOCKS", "_HAVE_SPF", "_HAVE_SRS", "_HAVE_TCP_FASTOPEN", "_HAVE_TLS", "_HAVE_TLS1_3",
	"_HAVE_TLS_ALPN", "_HAVE_TLS_CA_CACHE", "_HAVE_TLS_OCSP", "_HAVE_TLS_OCSP_LIST", "_HAVE_TLS_RESUME",
	"_HAVE_TRANSPORT_APPEND_MAILDIR", "_HAVE_TRANSPORT_APPEND_MAILSTORE", "_HAVE_TRANSPORT_APPEND_MBX",
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
	{ "_DKIM_OVERSIGN_HEADERS", DKIM_OVERSIGN },
	{ "_DKIM_SIGN_HEADERS", DKIM_HEADERS },
	{ "_VPOST", "1" },
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
	return (false);
}

/* "_OPT_ROUTER_REDIRECT_" and the option's name in upper case. */
static struct sv
upper_name(struct arena *a, const char *prefix, const char *driver, const char *name)
{
	char *s = driver == NULL ? arena_fmt(a, "%s%s", prefix, name) : arena_fmt(a, "%s%s_%s", prefix, driver, name);

	for (char *p = s; *p != '\0'; p++)
		*p = sv_upper(*p);
	return (sv_cstr(s));
}

bool
exim_macro_predefined_next(size_t *pos, struct arena *a, struct sv *name, struct sv *value)
{
	static const char *const generic[] = { "_OPT_MAIN_", "_OPT_ROUTERS_", "_OPT_TRANSPORTS_", "_OPT_AUTHENTICATORS_" };
	static const char *const own[] = { "", "_OPT_ROUTER_", "_OPT_TRANSPORT_", "_OPT_AUTHENTICATOR_" };
	size_t i = (*pos)++, nvalued = sizeof(valued) / sizeof(valued[0]), nhave = sizeof(have) / sizeof(have[0]);

	*value = SV_LIT("y");
	if (i < nvalued) {
		*name = sv_cstr(valued[i].name);
		*value = sv_cstr(valued[i].value);
		return (true);
	}
	i -= nvalued;
	if (i < nhave) {
		*name = sv_cstr(have[i]);
		return (true);
	}
	i -= nhave;
	for (size_t t = 0; t < exim_nopt_tables; t++) {
		const struct exim_opt_table *tab = &exim_opt_tables[t];

		if (i < tab->n) {
			*name = upper_name(a, tab->driver == NULL ? generic[tab->kind] : own[tab->kind], tab->driver,
			    tab->opts[i].name);
			return (true);
		}
		i -= tab->n;
	}
	return (false);
}

struct exim_macro *
macro_get(const struct exim_macros *m, struct sv name)
{
	for (size_t i = 0; i < m->v.len; i++)
		if (sv_eq(m->v.p[i].name, name))
			return (&m->v.p[i]);
	return (NULL);
}

enum macro_set
macro_set(struct exim_macros *m, struct sv name, struct sv value, bool redefine, bool command_line, struct sv *other)
{
	struct exim_macro *old = macro_get(m, name), new;
	unsigned char c;

	if (old != NULL) {
		if (old->command_line && !command_line)
			return (MACRO_OK);
		if (!redefine)
			return (MACRO_TWICE);
		old->value = arena_sv(m->arena, value);
		return (MACRO_OK);
	}
	if (redefine && !command_line)
		return (MACRO_NONE);
	for (size_t i = 0; i < m->v.len; i++)
		if (sv_find(name, m->v.p[i].name) >= 0) {
			*other = m->v.p[i].name;
			return (MACRO_HIDDEN);
		}
	if (m->v.len >= EXIM_MACRO_MAX)
		return (MACRO_LIMIT);
	new.name = arena_sv(m->arena, name);
	new.value = arena_sv(m->arena, value);
	new.command_line = command_line;
	new.told = false;
	vec_push(&m->v, new);
	c = (unsigned char)name.p[0];
	m->first[c / 64] |= UINT64_C(1) << (c % 64);
	return (MACRO_OK);
}

static bool
may_start(struct sv v, size_t i)
{
	char c = v.p[i], d = i + 1 < v.len ? v.p[i + 1] : '\0';

	return ((c >= 'A' && c <= 'Z') || (c == '_' && ((d >= 'A' && d <= 'Z') || d == '_')));
}

/* The predefined macros of <in> replaced, longest name first. */
static bool
expand_predefined(struct sv in, size_t from, struct sb *out)
{
	bool found = false;

	sb_clear(out);
	sb_add(out, sv_sub(in, 0, from));
	for (size_t i = from; i < in.len;) {
		struct sv value = SV_NULL;
		size_t end = i;

		if (in.p[i] == '_' && may_start(in, i)) {
			while (end < in.len && (sv_isalnum(in.p[end]) || in.p[end] == '_'))
				end++;
			while (end > i + 3 && !exim_macro_predefined(sv_sub(in, i, end), &value))
				end--;
			if (end <= i + 3)
				end = i;
		}
		if (end > i) {
			sb_add(out, value);
			found = true;
			i = end;
		} else
			sb_addc(out, in.p[i++]);
	}
	return (found);
}

/* All of one macro in <in>, from <from> on; false and nothing done when there is none. */
static bool
expand_one(const struct exim_macro *m, struct sv in, size_t from, struct sb *out)
{
	ptrdiff_t at = sv_find(sv_sub(in, from, in.len), m->name);

	if (at < 0)
		return (false);
	sb_clear(out);
	sb_add(out, sv_sub(in, 0, from));
	do {
		sb_add(out, sv_sub(in, from, from + (size_t)at));
		sb_add(out, m->value);
		from += (size_t)at + m->name.len;
		at = sv_find(sv_sub(in, from, in.len), m->name);
	} while (at >= 0);
	sb_add(out, sv_sub(in, from, in.len));
	return (true);
}

/* Which bytes occur from <from> on: most macros cannot be in most lines. */
static void
bytes_of(struct sv v, size_t from, uint64_t set[4])
{
	memset(set, 0, 4 * sizeof(set[0]));
	for (size_t i = from; i < v.len; i++)
		set[(unsigned char)v.p[i] / 64] |= UINT64_C(1) << ((unsigned char)v.p[i] % 64);
}

bool
macro_expand(const struct exim_macros *m, struct sv line, size_t from, struct sb *out)
{
	struct sb other = SB_INIT(out->max);
	struct sb *b[2] = { &other, out };
	struct sv cur = line;
	uint64_t set[4];
	bool found = false;
	size_t first = from, which = 0;

	while (first < line.len && !may_start(line, first))
		first++;
	if (first < line.len && line.p[first] == '_' && expand_predefined(cur, first, b[which])) {
		cur = sb_sv(b[which]);
		which = !which;
		found = true;
	}
	bytes_of(cur, first, set);
	for (size_t i = 0; first < line.len && i < m->v.len; i++) {
		unsigned char c = (unsigned char)m->v.p[i].name.p[0];

		if ((set[c / 64] & UINT64_C(1) << (c % 64)) == 0 || !expand_one(&m->v.p[i], cur, first, b[which]))
			continue;
		cur = sb_sv(b[which]);
		which = !which;
		found = true;
		bytes_of(cur, first, set);
	}
	if (found && which == 1) {
		struct sb tmp = *out;

		/* The result stands in the scratch builder: hand its memory over. */
		*out = other;
		other = tmp;
		out->overflow = out->overflow || tmp.overflow;
	} else if (!found) {
		sb_clear(out);
		sb_add(out, line);
	} else
		out->overflow = out->overflow || other.overflow;
	sb_free(&other);
	return (found);
}
