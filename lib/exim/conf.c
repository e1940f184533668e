/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading a configuration: the main section with its named lists, then the sections
 * behind "begin", each by its own reader.  Nothing stops at a mistake.
 */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "exim/acl.h"
#include "exim/conf_int.h"
#include "exim/rewrite_int.h"

#define HOSTNAME_SIZE	256
#define SECTION_NAME_MAX 22
#define VERSION		"4.98"		/* the language's: what $exim_version says */

/* ---- main section ---- */

static const struct { const char *word; enum exim_list_kind kind; } list_words[] = {
	{ "addresslist", EXIM_LIST_ADDRESS }, { "domainlist", EXIM_LIST_DOMAIN }, { "hostlist", EXIM_LIST_HOST },
	{ "localpartlist", EXIM_LIST_LOCAL },
};

static const char *const kind_words[] = {
	[EXIM_LIST_DOMAIN] = "domain", [EXIM_LIST_HOST] = "host", [EXIM_LIST_ADDRESS] = "address", [EXIM_LIST_LOCAL] = "local part"
};

/* "domainlist_x": an option of such a name would be taken for a list by Exim. */
static bool
begins_as_list(struct sv word)
{
	for (size_t k = 0; k < sizeof(list_words) / sizeof(list_words[0]); k++)
		if (sv_starts(word, list_words[k].word) && !sv_eqs(word, list_words[k].word))
			return (true);
	return (false);
}

/* The word that <v> begins with, without "_cache"; true, and the kind in *<n>, where it is "domainlist" or one of its like. */
static bool
list_word(struct sv v, struct sv *word, struct exim_named *n)
{
	size_t i = 0;

	while (i < v.len && exim_name_char(v.p[i]))
		i++;
	*word = sv_sub(v, 0, i);
	n->cache = sv_ends(*word, "_cache");
	if (n->cache)
		word->len -= sizeof("_cache") - 1;
	for (size_t k = 0; k < sizeof(list_words) / sizeof(list_words[0]); k++)
		if (sv_eqs(*word, list_words[k].word)) {
			n->kind = list_words[k].kind;
			return (i == v.len || sv_isspace(v.p[i]));
		}
	return (false);
}

/* "name = text" into *<n>; false: told. */
static bool
list_definition(struct loader *ld, const struct exim_line *line, struct sv v, struct exim_named *n)
{
	struct err err = ERR_INIT;
	size_t i = 0;

	while (i < v.len && exim_name_char(v.p[i]))
		i++;
	n->name = sv_sub(v, 0, i);
	v = sv_trim_left(sv_sub(v, i, v.len));
	if (n->name.len == 0 || v.len == 0 || v.p[0] != '=')
		(void)exim_report_error(ld->rep, line->file, line->line, "missing '=' after \"" SV_FMT "\"", SV_ARG(n->name));
	else if (exim_string_parse(sv_trim(sv_sub(v, 1, v.len)), ld->a, &n->text, &err) == -1)
		(void)exim_report_error(ld->rep, line->file, line->line, "%s for " SV_FMT, err.text, SV_ARG(n->name));
	else if (exim_names_get(ld->names, n->kind, n->name) != NULL)
		(void)exim_report_error(ld->rep, line->file, line->line, "duplicate name \"" SV_FMT "\" for a named %s list",
		    SV_ARG(n->name), kind_words[n->kind]);
	else
		return (true);
	return (false);
}

/* "domainlist name = ..." (perhaps with _cache, hide): true when it was one, good or bad. */
static bool
named_list(struct loader *ld, const struct exim_line *line)
{
	struct exim_named n = { .kind = EXIM_LIST_DOMAIN, .file = line->file, .line = line->line };
	struct sv v = line->text, word, rest;
	struct err err = ERR_INIT;
	bool known;

	if (sv_starts(v, "hide ") || sv_starts(v, "hide\t")) {
		n.hide = true;
		v = sv_trim(sv_sub(v, 5, v.len));
	}
	known = list_word(v, &word, &n);
	rest = sv_trim_left(sv_sub(v, word.len + (n.cache ? sizeof("_cache") - 1 : 0), v.len));
	if ((known && rest.len == 0) || begins_as_list(word)) {
		(void)exim_report_error(ld->rep, line->file, line->line, "unrecognized configuration line");
		return (true);
	}
	if (!known)
		return (false);
	if (list_definition(ld, line, rest, &n) && exim_names_add(ld->names, &n, &err) == -1)
		exim_report_soft(ld->rep, NULL, 0, "%s (" SV_FMT " " SV_FMT ")%s", err.text, SV_ARG(word), SV_ARG(n.name),
		    exim_opt_regex_hint(n.text));
	return (true);
}

/* Options that have a name of old, too; each name may be set once. */
static int
two_names(struct loader *ld, struct exim_assign *as)
{
	static const struct { const char *old, *now; } names[] = {
		{ "return_size_limit", "bounce_return_size_limit" }, { "daemon_smtp_port", "daemon_smtp_ports" }
	};
	const struct exim_opt_table *t = &exim_opt_tables[0];

	for (unsigned k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		bool old = sv_eqs(as->full_name, names[k].old);
		unsigned bit = 1U << (2 * k + old);
		int i = exim_opt_find(t, sv_cstr(names[k].now));

		if (!old && !sv_eqs(as->full_name, names[k].now))
			continue;
		if ((ld->names_read & bit) == 0)
			ld->main[i].set = false;
		ld->names_read |= bit;
		as->full_name = as->name = sv_cstr(names[k].now);
	}
	return (exim_opt_find(t, as->full_name));
}

static void
main_option(struct loader *ld, const struct exim_opt_ctx *ctx, const struct exim_line *line)
{
	const struct exim_opt_table *t = &exim_opt_tables[0];
	struct exim_assign as;
	const char *near;
	int i;

	if (exim_assign_parse(line, &as, ld->rep) == -1)
		return;
	i = two_names(ld, &as);
	if (i >= 0)
		as.negated = false;
	else if (as.negated)
		i = exim_opt_find(t, as.name);
	if (i >= 0) {
		(void)exim_opt_set(ctx, t, i, line, &as, ld->main);
		return;
	}
	near = exim_opt_nearest(&t, 1, as.name);
	(void)exim_report_error(ld->rep, line->file, line->line,
	    "main option \"" SV_FMT "\" unknown" EXIM_HINT "%s%s%s", SV_ARG(as.full_name),
	    near == NULL ? "" : ", did you mean \"", near == NULL ? "" : near, near == NULL ? "" : "\"?");
}

static void
main_section(struct loader *ld, const struct exim_opt_ctx *ctx)
{
	struct exim_line line;
	struct sv section;

	while (exim_lexer_next(ld->lx, &line)) {
		if (exim_line_is_begin(&line, &section)) {
			exim_lexer_unget(ld->lx, &line);
			return;
		}
		if (!named_list(ld, &line))
			main_option(ld, ctx, &line);
	}
}

/* ---- the other sections ---- */

struct acl_lines {
	struct loader	*ld;
	size_t		 defined;	/* macros when it began */
	bool		 end;
};

/* Lines of one ACL: up to the next name, macro or section. */
static bool
next_acl_line(void *arg, struct exim_line *line)
{
	struct acl_lines *al = arg;
	struct sv name, rest;

	if (al->end || !exim_lexer_next(al->ld->lx, line))
		return (false);
	if (exim_line_is_begin(line, &name) || conf_is_label(line->text, &name, &rest) ||
	    exim_lexer_defined(al->ld->lx) != al->defined) {
		exim_lexer_unget(al->ld->lx, line);
		al->end = true;
		return (false);
	}
	return (true);
}

static void
acl_section(struct loader *ld)
{
	struct exim_line line;
	struct sv name, rest, section;
	bool told = false;

	while (exim_lexer_next(ld->lx, &line)) {
		struct acl_lines al = { .ld = ld, .defined = exim_lexer_defined(ld->lx) };
		struct exim_acl *acl;

		if (exim_line_is_begin(&line, &section)) {
			exim_lexer_unget(ld->lx, &line);
			return;
		}
		if (!conf_is_label(line.text, &name, &rest)) {
			if (!told)
				(void)exim_report_error(ld->rep, line.file, line.line, "missing or malformed ACL name");
			told = true;
			continue;
		}
		if (rest.len > 0)	/* which Exim takes without a word */
			exim_report_warn(ld->rep, line.file, line.line, "\"" SV_FMT "\" behind the name of ACL \"" SV_FMT
			    "\" is ignored: begin a new line there", SV_ARG(rest), SV_ARG(name));
		conf_name_length(ld, &line, name);
		if (hash_get(ld->c->acls, name) != NULL)
			(void)exim_report_error(ld->rep, line.file, line.line, "there are two ACLs called \"" SV_FMT "\"",
			    SV_ARG(name));
		acl = exim_acl_compile(ld->a, name, next_acl_line, &al, ld->rep);
		if (acl != NULL)
			(void)hash_set(ld->c->acls, name, acl);
	}
}

/* Calls <fn> for each line of a section. */
static void
each_line(struct loader *ld, void (*fn)(struct loader *ld, const struct exim_line *line))
{
	struct exim_line line;
	struct sv section;

	while (exim_lexer_next(ld->lx, &line)) {
		if (exim_line_is_begin(&line, &section)) {
			exim_lexer_unget(ld->lx, &line);
			return;
		}
		if (fn != NULL)
			fn(ld, &line);
	}
}

static void
retry_line(struct loader *ld, const struct exim_line *line)
{
	struct exim_retry_rule r;

	if (exim_retry_parse(ld->a, line->text, line->file, line->line, ld->rep, &r) == 0)
		vec_push(&ld->retry, r);
}

static void
rewrite_line(struct loader *ld, const struct exim_line *line)
{
	struct exim_rewrite_rule r;

	if (exim_rewrite_parse(ld->a, line->text, false, line->file, line->line, ld->rep, &r) == 0)
		vec_push(&ld->rewrite, r);
}

/* Options of code that somebody else compiled in: Exim without such code refuses them. */
static void
local_scan(struct loader *ld, const struct exim_line *line)
{
	if (ld->rep->exact)
		(void)exim_report_error(ld->rep, line->file, line->line,
		    "local_scan() options not supported: (LOCAL_SCAN_HAS_OPTIONS not defined in Local/Makefile)");
	each_line(ld, NULL);
}

/* One section behind its "begin"; false when that is no known one. */
static bool
section_read(struct loader *ld, struct sv name, const struct exim_line *line)
{
	static const char *const names[] = { "acl", "authenticator", "local_scan", "retry", "rewrite", "router", "transport" };
	struct sv one = name;
	size_t i;

	/* One or many: "begin acls" and "begin router" are good as well. */
	if (one.len > 0 && sv_lower(one.p[one.len - 1]) == 's')
		one.len--;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (sv_caseeqs(one, names[i]))
			break;
	if (i < sizeof(names) / sizeof(names[0])) {
		if (ld->seen & 1u << i)
			(void)exim_report_error(ld->rep, line->file, line->line, "\"" SV_FMT
			    "\" section is repeated in the configuration file", SV_ARG(name));
		ld->seen |= 1u << i;
	}
	switch (i) {
	case 0: acl_section(ld); return (true);
	case 1: conf_drivers(ld, EXIM_KIND_AUTH); return (true);
	case 2: local_scan(ld, line); return (true);
	case 3: each_line(ld, retry_line); return (true);
	case 4: each_line(ld, rewrite_line); return (true);
	case 5: conf_drivers(ld, EXIM_KIND_ROUTER); return (true);
	case 6: conf_drivers(ld, EXIM_KIND_TRANSPORT); return (true);
	default: return (false);
	}
}

static void
sections(struct loader *ld)
{
	struct exim_line line;
	struct sv name;

	while (exim_lexer_next(ld->lx, &line)) {
		if (!exim_line_is_begin(&line, &name))
			continue;	/* behind an unknown section, told already */
		if (!section_read(ld, name, &line))
			(void)exim_report_error(ld->rep, line.file, line.line,
			    "\"" SV_FMT "\" is not a known configuration section name"
			    EXIM_HINT " (acl, routers, transports, retry, rewrite, authenticators)",
			    SV_ARG(sv_sub(name, 0, SECTION_NAME_MAX)));
	}
}

/* ---- globals ---- */

static struct sv
text_or(const struct exim_value *v, struct sv dflt)
{
	return (v->text.p != NULL && v->text.len > 0 ? v->text : dflt);
}

static void
set_text(struct exim_value *v, struct sv text)
{
	if (v->text.p == NULL || v->text.len == 0)
		v->text = text;
}

static void
globals(struct loader *ld, const struct exim_conf_source *src)
{
	struct exim_globals *g = &ld->c->g;
	struct exim_value *m = ld->main;
	char host[HOSTNAME_SIZE];
	const char *slash = strrchr(ld->c->file, '/');
	int64_t n;

	if (src->hostname != NULL && src->hostname[0] != '\0')
		set_text(&m[EXIM_MAIN_primary_hostname], sv_cstr(arena_str(ld->a, src->hostname)));
	else if (gethostname(host, sizeof(host)) == 0) {
		host[sizeof(host) - 1] = '\0';
		set_text(&m[EXIM_MAIN_primary_hostname], sv_cstr(arena_str(ld->a, host)));
	}
	/* "Nov  1 2026" as "01-Nov-2026". */
	g->compile_date = sv_cstr(arena_fmt(ld->a, "%c%c-%.3s-%s %s", __DATE__[4] == ' ' ? '0' : __DATE__[4], __DATE__[5], __DATE__,
	    &__DATE__[7], __TIME__));
	g->primary_hostname = text_or(&m[EXIM_MAIN_primary_hostname], SV_LIT("localhost"));
	set_text(&m[EXIM_MAIN_qualify_domain], g->primary_hostname);
	g->qualify_domain = m[EXIM_MAIN_qualify_domain].text;
	set_text(&m[EXIM_MAIN_qualify_recipient], g->qualify_domain);
	g->qualify_recipient = m[EXIM_MAIN_qualify_recipient].text;
	conf_main_path(ld, EXIM_MAIN_spool_directory);
	g->spool_directory = text_or(&m[EXIM_MAIN_spool_directory], SV_LIT(""));
	conf_main_path(ld, EXIM_MAIN_log_file_path);
	g->log_file_path = text_or(&m[EXIM_MAIN_log_file_path], SV_LIT(""));
	g->config_file = sv_cstr(ld->c->file);
	g->config_dir = slash == NULL ? SV_LIT(".") : slash == ld->c->file ? SV_LIT("/") :
	    arena_sv(ld->a, sv_from(ld->c->file, (size_t)(slash - ld->c->file)));
	g->exim_path = text_or(&m[EXIM_MAIN_exim_path], SV_LIT("/usr/sbin/exim"));
	set_text(&m[EXIM_MAIN_exim_version], SV_LIT(VERSION));
	set_text(&m[EXIM_MAIN_process_log_path], sv_cstr(arena_fmt(ld->a, SV_FMT "/exim-process.info",
	    SV_ARG(g->spool_directory))));
	g->exim_version = text_or(&m[EXIM_MAIN_exim_version], SV_LIT(VERSION));
	g->headers_charset = text_or(&m[EXIM_MAIN_headers_charset], SV_LIT("UTF-8"));
	g->sqlite_dbfile = text_or(&m[EXIM_MAIN_sqlite_dbfile], SV_LIT(""));
	g->exim_uid = m[EXIM_MAIN_exim_user].num >= 0 ? m[EXIM_MAIN_exim_user].num : (int64_t)geteuid();
	g->exim_gid = m[EXIM_MAIN_exim_group].num >= 0 ? m[EXIM_MAIN_exim_group].num : (int64_t)getegid();
	g->localhost_number = exim_parse_int(text_or(&m[EXIM_MAIN_localhost_number], SV_LIT("")), &n) ? n : -1;
	g->bounce_return_size_limit = m[EXIM_MAIN_bounce_return_size_limit].num;
	g->message_body_visible = m[EXIM_MAIN_message_body_visible].num;
	g->message_body_newlines = m[EXIM_MAIN_message_body_newlines].num != 0;
	g->spf_guess = text_or(&m[EXIM_MAIN_spf_guess], SV_NULL);
	g->print_topbitchars = m[EXIM_MAIN_print_topbitchars].num != 0;
	g->check_rfc2047_length = m[EXIM_MAIN_check_rfc2047_length].num != 0;
	g->log_timezone = m[EXIM_MAIN_log_timezone].num != 0;
	g->timezone_utc = sv_caseeqs(text_or(&m[EXIM_MAIN_timezone], SV_LIT("")), "UTC");
	g->strict_acl_vars = m[EXIM_MAIN_strict_acl_vars].num != 0;
	g->pid = (int64_t)getpid();
}

/* ---- load ---- */

#define SEAL(field, member) do {							\
	(ld)->c->member = (void *)arena_dup((ld)->a, (ld)->field.p, (ld)->field.len * sizeof(*(ld)->field.p)); \
	vec_free(&(ld)->field);								\
} while (0)

static void
seal(struct loader *ld)
{
	struct exim_conf *c = ld->c;

	c->main = ld->main;
	c->names = ld->names;
	c->nrouters = ld->routers.len;
	c->ntransports = ld->transports.len;
	c->nauths = ld->auths.len;
	c->nretry = ld->retry.len;
	c->rewrites.n = ld->rewrite.len;
	for (size_t i = 0; i < ld->rewrite.len; i++)
		c->rewrites.flags |= ld->rewrite.p[i].flags;
	SEAL(routers, routers);
	SEAL(transports, transports);
	SEAL(auths, auths);
	SEAL(retry, retry);
	SEAL(rewrite, rewrites.rule);
}

static void
conf_free(struct exim_conf *c)
{
	struct arena *a = c->arena;

	exim_lexer_close(&c->lexer);
	hash_free(&c->acls, NULL);
	arena_free(&a);
}

int
exim_conf_load(struct exim_conf **out, const struct exim_conf_source *src, struct exim_report *rep, struct err *err)
{
	struct exim_report own = EXIM_REPORT_INIT;
	struct loader ld = { .rep = rep != NULL ? rep : &own };
	struct exim_opt_ctx ctx = { .rep = ld.rep };
	unsigned before = ld.rep->errors;

	assert(src->path != NULL);
	*out = NULL;
	ctx.arena = ld.a = arena_new(64 * 1024);
	ld.c = arena_zalloc(ld.a, sizeof(*ld.c));
	ld.c->arena = ld.a;
	ld.c->file = arena_str(ld.a, src->path);
	ld.c->acls = hash_new();
	atomic_init(&ld.c->refs, 1);
	ld.main = arena_zalloc(ld.a, EXIM_MAIN_COUNT * sizeof(*ld.main));
	ld.names = exim_names_new(ld.a);
	ld.lx = src->text.p != NULL ?
	    exim_lexer_open_mem(ld.c->file, src->text, src->defines, src->ndefines, ld.a, ld.rep) :
	    exim_lexer_open(ld.c->file, src->defines, src->ndefines, ld.a, ld.rep);
	ld.c->lexer = ld.lx;
	if (ld.lx != NULL) {
		main_section(&ld, &ctx);
		exim_opt_defaults(&ctx, &exim_opt_tables[0], ld.main);
		globals(&ld, src);
		conf_main_values(&ld);
		ld.rep->purges = ld.rep->errors == before && !ld.main[EXIM_MAIN_keep_environment].set;
		if (!src->main_only) {
			sections(&ld);
			conf_resolve(&ld);
		}
		seal(&ld);
	}
	if (ld.rep->errors == before) {
		*out = ld.c;
		return (0);
	}
	if (err != NULL)
		*err = ld.rep->first;
	conf_free(ld.c);
	return (-1);
}

struct exim_conf *
exim_conf_ref(struct exim_conf *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return (c);
}

void
exim_conf_unref(struct exim_conf **cp)
{
	struct exim_conf *c = *cp;

	*cp = NULL;
	if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		conf_free(c);
}

/* ---- access ---- */

const struct exim_router *
exim_conf_router(const struct exim_conf *c, struct sv name)
{
	for (size_t i = 0; i < c->nrouters; i++)
		if (sv_eqs(name, c->routers[i]->d.name))
			return (c->routers[i]);
	return (NULL);
}

const struct exim_transport *
exim_conf_transport(const struct exim_conf *c, struct sv name)
{
	for (size_t i = 0; i < c->ntransports; i++)
		if (sv_eqs(name, c->transports[i]->d.name))
			return (c->transports[i]);
	return (NULL);
}

const struct exim_auth *
exim_conf_auth(const struct exim_conf *c, struct sv name)
{
	for (size_t i = 0; i < c->nauths; i++)
		if (sv_eqs(name, c->auths[i]->d.name))
			return (c->auths[i]);
	return (NULL);
}

const struct exim_acl *
exim_conf_acl(const struct exim_conf *c, struct sv name)
{
	return (hash_get(c->acls, name));
}

enum exim_result
exim_conf_transport_of(const struct exim_conf *c, const struct exim_value *v, struct exim_env *env,
    const struct exim_transport **out, struct err *err)
{
	enum exim_result res;
	struct sv name;

	*out = NULL;
	if (v->str == NULL)
		return (EXIM_OK);
	res = exim_expand(v->str, env, &name, err);
	if (res != EXIM_OK)
		return (res);
	if (name.len == 0)
		return (EXIM_OK);
	if (name.tainted) {
		(void)err_set(err, ERR_CONFIG, "4.3.5", "attempt to use tainted value '" SV_FMT "' for the name of a transport "
		    "(%s:%u)", SV_ARG(name), v->file == NULL ? "" : v->file, v->line);
		return (EXIM_FAIL);
	}
	*out = exim_conf_transport(c, name);
	if (*out != NULL)
		return (EXIM_OK);
	(void)err_set(err, ERR_CONFIG, "4.3.5", "transport \"" SV_FMT "\" not found", SV_ARG(name));
	return (EXIM_FAIL);
}

void
exim_conf_env(const struct exim_conf *c, struct exim_env *env)
{
	env->conf = c;
	env->names = c->names;
	env->g = (struct exim_globals *)(uintptr_t)&c->g;
}
