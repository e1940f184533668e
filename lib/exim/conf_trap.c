/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a configuration says and hardly means, and what it names and is not there.  Called at the end of
 * loading where somebody asked (`vpost check`, sendmail -bV -v): all of it is read as Exim reads it, and nothing
 * here refuses a configuration.  Each finding comes with file:line and what to write instead.
 */
#include <sys/stat.h>

#include <errno.h>
#include <string.h>

#include "exim/acl_int.h"
#include "exim/conf_int.h"
#include "exim/expand_int.h"
#include "exim/match_int.h"
#include "exim/rewrite_int.h"

#define PATTERN_MAX	4096
#define SHOWN_MAX	60		/* bytes of a text in a warning */

/* A text and where it was written. */
struct place {
	struct loader	*ld;
	const char	*file;
	unsigned	 line;
	const char	*name;		/* of the option, list or condition */
};

#define WARN(pl, ...)	exim_report_warn((pl)->ld->rep, (pl)->file, (pl)->line, __VA_ARGS__)

static int
shown(struct sv v)
{
	return (v.len > SHOWN_MAX ? SHOWN_MAX : (int)v.len);
}
#define SHOW(v)		shown(v), (v).p

/* ---- files ---- */

/* <path>, absolute and without expansions, should exist. */
static void
check_file(const struct place *pl, struct sv path, const char *effect)
{
	const char *p = arena_cstr(pl->ld->a, path);
	struct stat st;

	if (path.len == 0 || p[0] != '/' || strpbrk(p, "$%") != NULL || stat(p, &st) == 0 ||
	    (errno != ENOENT && errno != ENOTDIR))
		return;
	/* Once is enough. */
	if (hash_set(pl->ld->missing, path, pl->ld) == NULL)
		WARN(pl, "%s: %s is not there: %s: make it or correct the name", pl->name, p, effect);
}

bool
conf_file_lookup(struct sv type)
{
	static const char *const types[] = { "lsearch", "wildlsearch", "nwildlsearch", "iplsearch", "dbm", "dbmnz", "dbmjz", "cdb",
	    "dsearch", "json", "lmdb" };
	struct sv t = type;
	ptrdiff_t dash = sv_starts(t, "partial") ? sv_chr(t, '-') : -1;
	size_t n = 0;

	t = sv_sub(t, (size_t)(dash + 1), t.len);
	while (n < t.len && sv_isalnum(t.p[n]))
		n++;
	t = sv_sub(t, 0, n);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (sv_eqs(t, types[i]))
			return (true);
	return (false);
}

/* Who asks whether a file exists knows that it may not: "exists{/FILE}" here and in what follows. */
static void
asked_for(const struct place *pl, struct sv text)
{
	ptrdiff_t at, end;

	for (; (at = sv_find(text, SV_LIT("exists{"))) >= 0; text = sv_sub(text, (size_t)at, text.len)) {
		at += (ptrdiff_t)sizeof("exists{") - 1;
		if ((end = sv_chr(sv_sub(text, (size_t)at, text.len), '}')) > 0)
			(void)hash_set(pl->ld->missing, sv_trim(sv_sub(text, (size_t)at, (size_t)(at + end))), pl->ld);
	}
}

/* "lsearch{/FILE}" and "${readfile{/FILE}" in a string. */
static void
files_of(const struct place *pl, struct sv text)
{
	for (size_t i = 1; i + 1 < text.len; i++) {
		size_t from, to = i;
		ptrdiff_t end;
		struct sv word;

		if (text.p[i] != '{' || text.p[i + 1] != '/')
			continue;
		while (to > 0 && sv_isspace(text.p[to - 1]))
			to--;
		for (from = to; from > 0 && !sv_isspace(text.p[from - 1]) && strchr("{}$", text.p[from - 1]) == NULL; from--)
			;
		word = sv_sub(text, from, to);
		end = sv_chr(sv_sub(text, i, text.len), '}');
		if (end <= 0 || (!conf_file_lookup(word) && !sv_eqs(word, "readfile")))
			continue;
		check_file(pl, sv_trim(sv_sub(text, i + 1, i + (size_t)end)), "what reads it fails or defers");
	}
}

/* ---- regular expressions ---- */

/* <text> as an expansion leaves it, in <out>; false where it holds variables, so that it cannot be known. */
static bool
unprotect(struct sv text, char *out, size_t size, size_t *len)
{
	bool verbatim = false;

	*len = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (*len == size)
			return (false);
		if (text.p[i] == '\\' && i + 1 < text.len && text.p[i + 1] == 'N') {
			verbatim = !verbatim;
			i++;
		} else if (verbatim)
			out[(*len)++] = text.p[i];
		else if (text.p[i] == '$')
			return (false);
		else if (text.p[i] == '\\' && i + 1 < text.len)
			out[(*len)++] = text.p[++i];
		else
			out[(*len)++] = text.p[i];
	}
	return (true);
}

/* A backslash that means something to the expression and is taken away by the expansion before; p NULL: none. */
static struct sv
lost_backslash(struct sv text)
{
	bool verbatim = false, class = false;

	for (size_t i = 0; i + 1 < text.len; i++) {
		class = (class || text.p[i] == '[') && text.p[i] != ']';
		if (text.p[i] != '\\')
			continue;
		if (text.p[i + 1] == 'N')
			verbatim = !verbatim;
		else if (!verbatim && (!class || sv_isalpha(text.p[i + 1])) && strchr(".dDwWsSbBAzZ+*?()[]|^", text.p[i + 1]) != NULL)
			return (sv_sub(text, i, i + 2));
		i++;
	}
	return (SV_NULL);
}

/* The pattern <text> as it is written in something that is expanded. */
static void
check_regex(const struct place *pl, struct sv text)
{
	struct sv lost = lost_backslash(text);
	char pattern[PATTERN_MAX], why[256];
	struct xregex *re;
	size_t n;

	if (lost.p != NULL)
		WARN(pl, "%s: the backslash of \"" SV_FMT "\" in \"%.*s\" is taken away before the regular expression sees it: write "
		    "\\N before and behind the expression", pl->name, SV_ARG(lost), SHOW(text));
	if (!unprotect(text, pattern, sizeof(pattern), &n))
		return;
	re = x_regex_new(sv_from(pattern, n), 0, why);
	if (re == NULL)
		exim_report_soft(pl->ld->rep, pl->file, pl->line, "%s: regular expression error in \"%.*s\": %s", pl->name, SHOW(text),
		    why);
	x_regex_free(re);
}

/* Behind the brace that closes the one at <i>; 0: there is none. */
static size_t
closing(struct sv text, size_t i)
{
	bool verbatim = false;
	int depth = 0;

	for (; i < text.len; i++) {
		if (text.p[i] == '\\' && i + 1 < text.len) {
			verbatim = verbatim != (text.p[i + 1] == 'N');
			i++;
		} else if (!verbatim && text.p[i] == '{')
			depth++;
		else if (!verbatim && text.p[i] == '}' && --depth == 0)
			return (i + 1);
	}
	return (0);
}

static size_t
skip_blank(struct sv text, size_t i)
{
	while (i < text.len && sv_isspace(text.p[i]))
		i++;
	return (i);
}

/* The second argument of each match and sg. */
static void
regexes_of(const struct place *pl, struct sv text)
{
	static const char *const words[] = { "match", "sg" };

	for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
		size_t n = strlen(words[k]);

		for (size_t i = 1; i + n < text.len; i++) {
			size_t open, end;

			if (memcmp(text.p + i, words[k], n) != 0 || sv_isalnum(text.p[i - 1]) || text.p[i - 1] == '_')
				continue;
			open = skip_blank(text, i + n);
			if (open == text.len || text.p[open] != '{' || (end = closing(text, open)) == 0)
				continue;
			open = skip_blank(text, end);
			if (open < text.len && text.p[open] == '{' && (end = closing(text, open)) != 0)
				check_regex(pl, sv_sub(text, open + 1, end - 1));
		}
	}
}

/* A string that is expanded. */
static void
check_text(const struct place *pl, struct sv text)
{
	regexes_of(pl, text);
	asked_for(pl, text);
	files_of(pl, text);
	conf_taint_text(pl->ld, pl->file, pl->line, pl->name, text);
}

/* ---- lists ---- */

/* "::1" where colons separate. */
static void
check_colons(const struct place *pl, struct sv item, struct sv whole)
{
	struct sv addr = item;
	ptrdiff_t slash = sv_chr(addr, '/');
	struct net_addr a;
	char twice[160];
	size_t n = 0;

	if (sv_find(whole, SV_LIT("://")) >= 0)
		WARN(pl, "%s: the list is cut at the colon of \"://\": double it, or begin the list with \"<;\" and separate by semicolons",
		    pl->name);
	if (slash > 0)
		addr = sv_sub(addr, 0, (size_t)slash);
	if (addr.len == 0 || addr.len > 50 || sv_chr(addr, ':') < 0 || !net_addr_parse(addr, &a) || a.family != 6)
		return;
	for (size_t i = 0; i < addr.len && n + 3 < sizeof(twice); i++) {
		twice[n++] = addr.p[i];
		if (addr.p[i] == ':')
			twice[n++] = ':';
	}
	twice[n] = '\0';
	WARN(pl, "%s: the list is cut at the colons of \"" SV_FMT "\": write \"%s\", or begin the list with \"<;\" and separate by "
	    "semicolons", pl->name, SV_ARG(addr), twice);
}

/* "host:25" and "host:3306/database" where colons separate. */
static void
check_ports(const struct place *pl, struct sv text)
{
	if (sv_starts(sv_trim(text), "<"))
		return;
	for (size_t i = 1; i + 1 < text.len; i++) {
		size_t end = i + 1, from = i;

		if (text.p[i] != ':' || text.p[i - 1] == ':' || !(sv_isalnum(text.p[i - 1]) || text.p[i - 1] == ']'))
			continue;
		while (end < text.len && sv_isdigit(text.p[end]))
			end++;
		if (end == i + 1 || (end < text.len && !sv_isspace(text.p[end]) && strchr("/:;\"", text.p[end]) == NULL))
			continue;
		while (from > 0 && !sv_isspace(text.p[from - 1]) && strchr(":;\"", text.p[from - 1]) == NULL)
			from--;
		WARN(pl, "%s: the list is cut at the colon of \"%.*s\": write \"%.*s%.*s\", or begin the list with \"<;\" and separate by "
		    "semicolons", pl->name, SHOW(sv_sub(text, from, end)), SHOW(sv_sub(text, from, i + 1)), SHOW(sv_sub(text, i, end)));
		return;
	}
}

/* The words of a list that colons separate, those with their own colons whole; none inside of braces. */
static void
check_words(const struct place *pl, struct sv text)
{
	int depth = 0;

	if (sv_starts(sv_trim(text), "<"))
		return;
	for (size_t i = 0; i < text.len;) {
		size_t from = i;

		while (i < text.len && !sv_isspace(text.p[i]) && (depth > 0 || text.p[i] != '{') && (depth == 0 || text.p[i] != '}'))
			i++;
		if (depth == 0 && i > from)
			check_colons(pl, sv_sub(text, from, i), sv_sub(text, from, i));
		if (i < text.len)
			depth += text.p[i] == '{' ? 1 : text.p[i] == '}' ? -1 : 0;
		i++;
	}
}

static void
check_items(const struct place *pl, const struct exim_list *l)
{
	for (size_t i = 0; l != NULL && i < l->n; i++) {
		const struct mitem *it = &l->v[i];
		char why[256];
		struct xregex *re;

		if (it->type == M_LOOKUP && it->lookup.type != NULL && !x_lookup_is_query(it->lookup.type) &&
		    conf_file_lookup(it->lookup.name))
			check_file(pl, it->arg, "the list defers");
		if (it->type != M_REGEX || sv_chr(it->text, '$') >= 0)
			continue;
		re = x_regex_new(it->text, 0, why);
		if (re == NULL)
			exim_report_soft(pl->ld->rep, pl->file, pl->line, "%s: regular expression error in \"%.*s\": %s", pl->name,
			    SHOW(it->text), why);
		x_regex_free(re);
	}
}

/* A list as it is written: regular expressions among its items pass through the expansion of the whole. */
static void
check_list_text(const struct place *pl, const struct exim_list *l, struct sv text)
{
	struct sv rest = text, item;
	int sep = 0;

	check_words(pl, text);
	check_text(pl, text);
	check_items(pl, l);
	if (sv_find(text, SV_LIT("${")) >= 0)
		return;
	while (exim_list_next(&rest, &sep, pl->ld->a, &item)) {
		if (item.len > 0 && item.p[0] == '!')
			item = sv_trim(sv_sub(item, 1, item.len));
		if (sv_starts(item, "^") && lost_backslash(item).p != NULL)
			check_regex(pl, item);
	}
}

/* ---- options ---- */

/* Options that name a file, or a list of addresses with ports. */
static const char *const file_options[] = { "tls_certificate", "tls_privatekey", "system_filter", "bounce_message_file",
    "warn_message_file", "tls_crl", "tls_verify_certificates", "dkim_private_key" };
static const char *const address_options[] = { "local_interfaces", "extra_local_interfaces", "fallback_hosts", "hosts",
    "dns_trust_aa", "spamd_address" };
/* Those whose items may end in a colon and a port. */
static const char *const port_options[] = { "fallback_hosts", "hosts", "route_list", "ldap_default_servers", "mysql_servers",
    "pgsql_servers", "redis_servers" };

/* Numbers that are expanded first, so that reading the file does not look at them. */
static const char *const number_options[] = { "message_size_limit", "smtp_accept_max_per_host", "quota", "quota_filecount",
    "max_parallel", "connection_max_messages" };

static bool
among(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(name, names[i]) == 0)
			return (true);
	return (false);
}
#define AMONG(name, names)	among(name, names, sizeof(names) / sizeof((names)[0]))

/* Digits, perhaps with a point, and perhaps K, M or G. */
static bool
is_amount(struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		if (!sv_isdigit(v.p[i]) && v.p[i] != '.' && (i == 0 || i + 1 < v.len || strchr("kKmMgG", v.p[i]) == NULL))
			return (false);
	return (true);
}

static void
check_number(const struct place *pl, struct sv text)
{
	bool quota = strncmp(pl->name, "quota", 5) == 0;
	ptrdiff_t slash = quota ? sv_chr(text, '/') : -1;	/* "/no_check" */
	int64_t n;

	text = sv_trim(slash < 0 ? text : sv_sub(text, 0, (size_t)slash));
	if (text.len > 0 && sv_chr(text, '$') < 0 && !(quota ? is_amount(text) : exim_parse_int(text, &n)))
		WARN(pl, "%s: \"%.*s\" is no number: write digits, with K, M or G behind them if need be", pl->name, SHOW(text));
}

static void
check_value(struct loader *ld, const struct exim_option *o, const struct exim_value *v)
{
	struct place pl = { ld, v->file, v->line, o->name };

	switch (o->type) {
	case EXIM_OPT_DOMAINS:
	case EXIM_OPT_HOSTS:
	case EXIM_OPT_ADDRESSES:
	case EXIM_OPT_LOCALPARTS:
		check_list_text(&pl, v->list, v->text);
		return;
	case EXIM_OPT_ESTRING:
	case EXIM_OPT_ESLIST:
	case EXIM_OPT_MULTI:
	case EXIM_OPT_COND:
	case EXIM_OPT_SETVAR:
	case EXIM_OPT_EBOOL:
		if (strcmp(o->name, "command") != 0)
			check_text(&pl, v->text);
		break;
	default:
		break;
	}
	if (strcmp(o->name, "file") == 0 || strcmp(o->name, "directory") == 0)
		conf_taint_path(ld, v->file, v->line, o->name, v->text);
	if (AMONG(o->name, address_options))
		check_words(&pl, v->text);
	if (AMONG(o->name, port_options))
		check_ports(&pl, v->text);
	if (AMONG(o->name, number_options))
		check_number(&pl, v->text);
	if (AMONG(o->name, file_options) && sv_chr(v->text, ':') < 0)
		check_file(&pl, v->text, strncmp(o->name, "tls_", 4) == 0 ? "TLS will not work" : o->name[0] == 'd' ?
		    "what is to be signed is deferred" : "it is passed over");
}

static void
check_options(struct loader *ld, const struct exim_opt_table *t, const struct exim_value *v)
{
	for (size_t i = 0; t != NULL && i < t->n; i++)
		if (v[i].set && v[i].text.p != NULL && v[i].file != NULL)
			check_value(ld, &t->opts[i], &v[i]);
}

/* The program of a pipe or of a queryprogram router, cut into words before these are expanded. */
static void
check_command(struct loader *ld, const struct exim_value *v)
{
	struct place pl = { ld, v->file, v->line, "command" };
	struct sv rest = v->text, word;
	struct err err = ERR_INIT;

	if (v->set && sv_word(&rest, &word) && word.p[0] == '/')
		check_file(&pl, word, "deliveries to it are deferred");
	for (rest = v->text; v->set && exim_rule_word(&rest, ld->a, &word, &err);)
		check_text(&pl, word);
}

/* ---- ACLs ---- */

static bool
unconditional(const struct acl_stmt *s)
{
	if (s->verb == VERB_WARN || s->verb == VERB_REQUIRE)
		return (false);
	for (size_t i = 0; i < s->n; i++)
		if (!acl_conds[s->item[i].id].modifier || s->item[i].id == COND_endpass)
			return (false);
	return (true);
}

/* Behind an endpass, a message is used when a condition behind it fails; of require the ACL's reader tells the same. */
static void
late_message(struct loader *ld, const struct acl_stmt *s)
{
	bool counts = false, cond = false;

	for (size_t i = 0; i < s->n; i++) {
		const struct acl_item *it = &s->item[i];
		bool follows = false;

		counts = counts || (s->verb == VERB_ACCEPT && it->id == COND_endpass);
		cond = cond || (counts && !acl_conds[it->id].modifier);
		if (!counts || !cond || (it->id != COND_message && it->id != COND_log_message))
			continue;
		for (size_t k = i + 1; k < s->n; k++)
			follows = follows || !acl_conds[s->item[k].id].modifier;
		if (!follows)
			exim_report_warn(ld->rep, it->file, it->line,
			    "%s stands behind the conditions of %s, so that no failure uses it: "
			    "write it in front of the condition that it is about", acl_conds[it->id].name, exim_acl_verb_name(s->verb));
	}
}

/* The next piece in front of a slash, as far as it is known without an expansion; p NULL: it is not. */
static struct sv
fixed_piece(struct sv *rest)
{
	struct sv piece;

	if (!sv_next(rest, '/', &piece) || sv_chr(piece, '$') >= 0)
		return (SV_NULL);
	return (sv_trim(piece));
}

/* "ratelimit = LIMIT / TIME / ..." and "seen = TIME / ...", which are read when a client comes. */
static void
check_rate(const struct place *pl, bool seen, struct sv text)
{
	struct sv rest = text, piece = seen ? SV_NULL : fixed_piece(&rest);
	int64_t n;

	if (!is_amount(piece)) {
		WARN(pl, "%s: \"%.*s\" is no number: write how many, then \"/\" and in what time, as in \"100 / 1h\"",
		    pl->name, SHOW(piece));
		return;
	}
	if (!seen && piece.p == NULL)
		return;
	piece = fixed_piece(&rest);
	if (seen && piece.len > 0 && piece.p[0] == '-')
		piece = sv_trim(sv_sub(piece, 1, piece.len));
	if (piece.len > 0 && sv_isdigit(piece.p[0]) && !exim_parse_time(piece, &n))
		WARN(pl, "%s: \"%.*s\" is no time: write it like 5m, 1h or 1d12h", pl->name, SHOW(piece));
}

static void
acl_item(struct loader *ld, const struct acl_item *it)
{
	struct place pl = { ld, it->file, it->line, acl_conds[it->id].name };
	struct sv name = it->fixed;

	if (it->list != NULL) {
		conf_check_list(ld, it->list, it->list->kind, it->file, it->line);
		check_list_text(&pl, it->list, it->text);
	} else if (it->str != NULL)
		check_text(&pl, it->text);
	if (it->id == COND_ratelimit || it->id == COND_seen)
		check_rate(&pl, it->id == COND_seen, it->text);
	if (it->id != COND_acl || name.p == NULL || name.len == 0 || name.p[0] == '/' || sv_chr(name, ' ') >= 0 ||
	    sv_chr(name, '\n') >= 0 || exim_acl_is_verb(name))
		return;
	if (hash_get(ld->c->acls, name) == NULL)
		exim_report_soft(ld->rep, it->file, it->line,
		    "acl = " SV_FMT ": there is no ACL of that name behind \"begin acl\": write it there or correct "
		    "the name",
		    SV_ARG(name));
}

static void
check_acl(struct loader *ld, const struct exim_acl *acl)
{
	for (size_t i = 0; i < acl->n; i++) {
		const struct acl_stmt *s = &acl->stmt[i];

		if (i + 1 < acl->n && unconditional(s)) {
			exim_report_warn(ld->rep, acl->stmt[i + 1].file, acl->stmt[i + 1].line,
			    "ACL " SV_FMT ": this statement is never reached: the %s of line %u before it has no condition: "
			    "move it in front of that one or give that one a condition", SV_ARG(acl->name),
			    exim_acl_verb_name(s->verb), s->line);
			break;
		}
	}
	for (size_t i = 0; i < acl->n; i++) {
		late_message(ld, &acl->stmt[i]);
		for (size_t k = 0; k < acl->stmt[i].n; k++)
			acl_item(ld, &acl->stmt[i].item[k]);
	}
}

void
conf_traps(struct loader *ld)
{
	const struct exim_named *n;
	struct sv name;
	void *acl;

	ld->missing = hash_new();
	for (size_t i = 0; (n = exim_names_at(ld->names, i)) != NULL; i++) {
		struct place pl = { ld, n->file, n->line, arena_cstr(ld->a, n->name) };

		check_list_text(&pl, n->list, n->text);
	}
	check_options(ld, &exim_opt_tables[0], ld->main);
	for (size_t pos = 0; hash_next(ld->c->acls, &pos, &name, &acl);)
		check_acl(ld, acl);
	for (size_t i = 0; i < ld->routers.len; i++) {
		const struct exim_router *r = ld->routers.p[i];

		/* A router that asks for a file is passed over without it. */
		for (size_t k = 0; k < r->nrequire_files; k++)
			(void)hash_set(ld->missing, sv_trim(r->require_files[k]->text), ld);
		check_options(ld, r->d.generic_table, r->d.generic);
		check_options(ld, r->d.table, r->d.own);
		if (r->drv == EXIM_ROUTER_DRV_QUERYPROGRAM)
			check_command(ld, &r->d.own[EXIM_QUERYPROGRAM_command]);
	}
	for (size_t i = 0; i < ld->transports.len; i++) {
		const struct exim_transport *t = ld->transports.p[i];

		check_options(ld, t->d.generic_table, t->d.generic);
		check_options(ld, t->d.table, t->d.own);
		if (t->drv == EXIM_TRANSPORT_DRV_PIPE)
			check_command(ld, &t->d.own[EXIM_PIPE_command]);
	}
	for (size_t i = 0; i < ld->auths.len; i++) {
		check_options(ld, ld->auths.p[i]->d.generic_table, ld->auths.p[i]->d.generic);
		check_options(ld, ld->auths.p[i]->d.table, ld->auths.p[i]->d.own);
	}
	hash_free(&ld->missing, NULL);
}
