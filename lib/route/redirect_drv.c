/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The redirect router (chapter 22 of Exim's manual): aliases, lists, forward files.
 * The data become child addresses, deliveries to pipes and files, or a refusal.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mail/address.h"
#include "redirect_int.h"

#define INCLUDE_DEPTH	10
#define INCLUDE_FILES	100		/* in all: each of some lines that name each other would be read without end */

#define flag	redirect_flag

/* ---- data ---- */

static enum route_yield
from_file(struct redirect *rd, struct sv *data)
{
	struct visit *v = rd->v;
	const struct exim_world *w = v->rt->env->world;
	enum exim_result res;
	struct sv name;
	const char *path;

	res = exim_expand(rd->o[EXIM_REDIRECT_file].str, v->rt->env, &name, &v->err);
	if (res != EXIM_OK)
		return (route_text_expansion(v, res, &rd->o[EXIM_REDIRECT_file]));
	name = sv_trim(name);
	if (name.len == 0 || name.p[0] != '/')
		return (route_defer(v, "\"" SV_FMT "\" is not an absolute path", SV_ARG(name)));
	if (name.tainted)
		return (route_defer(v, "Tainted name '" SV_FMT "' for file read not permitted\n", SV_ARG(name)));
	path = rd->path = arena_cstr(v->rt->a, name);
	if (w->readfile == NULL || w->readfile(w->arg, path, ROUTE_DATA_MAX, v->rt->a, data, &rd->st) == -1) {
		if (errno == ENOENT)
			return (redirect_missing(rd, path));
		if ((errno == ENOTDIR && flag(rd, EXIM_REDIRECT_ignore_enotdir)) ||
		    (errno == EACCES && flag(rd, EXIM_REDIRECT_ignore_eacces)))
			return (Y_DECLINE);
		if (errno == EFBIG)
			return (redirect_too_long(rd, path));
		if (rd->st.st_mode == 0 || S_ISREG(rd->st.st_mode))
			return (route_defer(v, "failed to open %s: %s", path, strerror(errno)));
	}
	return (redirect_check(rd, path, &rd->st));
}

static enum route_yield
load(struct redirect *rd, struct sv *data)
{
	struct visit *v = rd->v;
	enum exim_result res;

	if (rd->o[EXIM_REDIRECT_file].str != NULL)
		return (from_file(rd, data));
	res = exim_expand(rd->o[EXIM_REDIRECT_data].str, v->rt->env, data, &v->err);
	if (res != EXIM_OK)
		return (route_text_expansion(v, res, &rd->o[EXIM_REDIRECT_data]));
	if (data->len > ROUTE_DATA_MAX)
		return (route_defer(v, "redirect data of more than %d bytes", ROUTE_DATA_MAX));
	return (data->len == 0 ? Y_DECLINE : Y_ACCEPT);
}

/* ---- items ---- */

/*
 * <raw> as a text shows it.  What stands in a user's file, or in one that it includes, is not for the sender, who gets the
 * text in a bounce, nor for the log: the file may be any.
 */
static const char *
shown(struct redirect *rd, struct sv raw)
{
	struct arena *a = rd->v->rt->a;
	unsigned line = 1;

	if (raw.len > 1 && raw.p[0] == '"' && raw.p[raw.len - 1] == '"')
		raw = sv_sub(raw, 1, raw.len - 1);
	if (!flag(rd, EXIM_REDIRECT_skip_bad_file) && (rd->depth == 0 || !rd->base.user_set))
		return (arena_fmt(a, "\"" SV_FMT "\"", SV_ARG(raw)));
	for (const char *p = rd->text.p; p < raw.p && p < rd->text.p + rd->text.len; p++)
		line += *p == '\n';
	return (arena_fmt(a, "line %u of %s", line, rd->file));
}

/* A mistake of the list: skipped or deferred. */
enum route_yield
redirect_mistake(struct redirect *rd, struct sv raw, const char *why)
{
	const char *what = shown(rd, raw);

	/* Some texts quote the item. */
	if (what[0] != '"' && strpbrk(why, "\":") != NULL)
		why = "malformed address";
	if (flag(rd, EXIM_REDIRECT_skip_syntax_errors)) {
		if (rd->v->rt->rq->mode == ROUTE_DELIVER && rd->v->rt->rq->ops != NULL && rd->v->rt->rq->ops->mail != NULL)
			sb_addf(&rd->errors, "  %s in the address\n  \"" SV_FMT "\"\n\n", why, SV_ARG(raw));
		route_note(rd->v, "%s router: skipped error: %s in %s", rd->v->r->d.name, why, what);
		rd->skipped = true;
		return (Y_ACCEPT);
	}
	rd->v->number = ROUTE_NUMBER_REDIRECT;
	return (route_defer(rd->v, "error in redirect data: %s in %s", why, what));
}

/* What the router's own options do not permit ends the whole list, skip_syntax_errors or not. */
static enum route_yield
not_permitted(struct redirect *rd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static enum route_yield
not_permitted(struct redirect *rd, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	rd->v->number = ROUTE_NUMBER_REDIRECT;
	return (route_defer(rd->v, "error in redirect data: %s", text));
}

/* The domain that an address without one gets; p NULL after an error. */
static struct sv
qualifier(struct redirect *rd, bool verbatim)
{
	struct visit *v = rd->v;
	struct sv dom = v->rt->rq->conf->g.qualify_recipient;
	enum exim_result res;

	if (verbatim || flag(rd, EXIM_REDIRECT_qualify_preserve_domain))
		return (v->domain);
	if (rd->o[EXIM_REDIRECT_qualify_domain].str != NULL) {
		res = exim_expand(rd->o[EXIM_REDIRECT_qualify_domain].str, v->rt->env, &dom, &v->err);
		if (res != EXIM_OK)
			return (SV_NULL);
	}
	return (dom);
}

static bool
is_ancestor(const struct visit *v, struct sv address)
{
	for (const struct route_addr *a = v->p->addr; a != NULL; a = a->parent)
		if (sv_caseeq(a->address, address))
			return (true);
	return (false);
}

enum route_yield
redirect_child(struct redirect *rd, const struct route_delivery *d, struct sv address)
{
	struct visit *v = rd->v;

	if (flag(rd, EXIM_REDIRECT_check_ancestor) && is_ancestor(v, address))
		address = v->p->addr->address;
	if (v->rt->generated.len >= ROUTE_ADDRS_MAX)
		return (route_defer(v, "more than %d addresses came of one recipient", ROUTE_ADDRS_MAX));
	route_child(v, d, address, v->r->redirect_router);
	rd->found++;
	return (Y_ACCEPT);
}

static enum route_yield
add_address(struct redirect *rd, const struct redirect_item *it)
{
	struct visit *v = rd->v;
	struct sv addr = it->text, out;
	enum exim_result res;

	if (sv_rchr(addr, '@') < 0 || addr.p[addr.len - 1] == '"') {
		struct sv dom = qualifier(rd, it->verbatim);

		if (dom.p == NULL)
			return (route_defer(v, "failed to expand qualify_domain in %s router", v->r->d.name));
		addr = sv_cstr(arena_fmt(v->rt->a, SV_FMT "@" SV_FMT, SV_ARG(addr), SV_ARG(dom)));
		addr.tainted = it->text.tainted;
	}
	if (flag(rd, EXIM_REDIRECT_rewrite)) {
		res = exim_rewrite_address(&v->rt->rq->conf->rewrites, v->rt->env, EXIM_RW_T, addr, &out, NULL, &v->err);
		if (res == EXIM_OK)
			addr = out;
	}
	return (redirect_child(rd, &rd->base, addr));
}

/* The transport that the router names for that kind. */
static enum route_yield
transport_for(struct redirect *rd, enum route_kind kind, struct sv text, const struct exim_transport **out)
{
	struct visit *v = rd->v;
	const struct { enum exim_redirect_opt opt; const struct exim_transport *fixed; const char *name; struct sv *var; } t[] = {
		{ EXIM_REDIRECT_pipe_transport, v->r->pipe_transport, "pipe", &v->ea.address_pipe },
		{ EXIM_REDIRECT_file_transport, v->r->file_transport, "file", &v->ea.address_file },
		{ EXIM_REDIRECT_directory_transport, v->r->directory_transport, "directory", &v->ea.address_file },
		{ EXIM_REDIRECT_reply_transport, v->r->reply_transport, "reply", NULL },
	};
	size_t i = kind == ROUTE_PIPE ? 0 : kind == ROUTE_FILE ? 1 : kind == ROUTE_DIRECTORY ? 2 : 3;

	*out = t[i].fixed;
	if (*out == NULL && rd->o[t[i].opt].str != NULL) {
		if (t[i].var != NULL)
			*t[i].var = text;
		if (exim_conf_transport_of(v->rt->rq->conf, &rd->o[t[i].opt], v->rt->env, out, &v->err) != EXIM_OK) {
			return (route_defer(v, "%s in %s router", route_why(v), v->r->d.name));
		}
		if (t[i].var != NULL)
			*t[i].var = SV_NULL;
	}
	if (*out == NULL)
		return (route_defer(v, "%s_transport unset in %s router", t[i].name, v->r->d.name));
	return (Y_ACCEPT);
}

enum route_yield
redirect_deliver(struct redirect *rd, const struct route_delivery *from, enum route_kind kind, struct sv text)
{
	struct route_delivery d = *from;
	enum route_yield y;

	rd->found++;
	y = transport_for(rd, kind, text, &d.transport);
	d.kind = y == Y_ACCEPT && kind == ROUTE_FILE && sv_eqs(text, "/dev/null") && rd->v->rt->rq->mode != ROUTE_TEST &&
	    !flag(rd, EXIM_REDIRECT_forbid_file) ? ROUTE_DISCARD : kind;
	if (d.kind == ROUTE_DISCARD) {
		d.text = SV_LIT("/dev/null");
		d.transport = NULL;
	} else {
		/* The address is good: what is wrong with the pipe or file belongs to that. */
		d.trouble = y == Y_ACCEPT ? NULL : arena_str(rd->v->rt->a, rd->v->err.text);
		rd->v->number = 0;
		err_clear(&rd->v->err);
		d.text = arena_sv(rd->v->rt->a, text);
		if (flag(rd, kind == ROUTE_PIPE ? EXIM_REDIRECT_forbid_pipe : kind == ROUTE_REPLY ? EXIM_REDIRECT_forbid_filter_reply :
		    EXIM_REDIRECT_forbid_file)) {
			d.forbidden = true;
			if (rd->v->rt->rq->mode == ROUTE_DELIVER)
				d.trouble = kind == ROUTE_PIPE ? "delivery to pipe forbidden" : kind == ROUTE_REPLY ?
				    "autoreply forbidden" :
				    "delivery to file forbidden";
		}
	}
	route_deliver(rd->v, &d);
	return (Y_ACCEPT);
}

static enum route_yield interpret(struct redirect *rd, struct sv data);

static enum route_yield
include(struct redirect *rd, const struct redirect_item *it)
{
	struct visit *v = rd->v;
	const struct exim_world *w = v->rt->env->world;
	struct sv dir = rd->o[EXIM_REDIRECT_include_directory].text, data;
	const char *path = arena_cstr(v->rt->a, it->text);
	const char *before = rd->file, *why;
	struct sv text = rd->text;
	struct stat st;
	enum route_yield y;

	if (flag(rd, EXIM_REDIRECT_forbid_include))
		return (not_permitted(rd, "included files not permitted"));
	if (it->text.len == 0)
		return (redirect_mistake(rd, it->raw, "file name missing after :include:"));
	if (path[0] != '/')
		return (not_permitted(rd, "included file \"%s\" is not an absolute path", path));
	if (it->text.tainted)
		return (redirect_mistake(rd, it->raw, "attempt to use a tainted file name"));
	if (dir.len > 0 && (!sv_starts(it->text, arena_cstr(v->rt->a, dir)) || it->text.len <= dir.len ||
	    it->text.p[dir.len] != '/' || strstr(path, "/../") != NULL))
		return (not_permitted(rd, "included file %s is not in directory " SV_FMT, path, SV_ARG(dir)));
	if (rd->depth >= INCLUDE_DEPTH)
		return (route_defer(v, ":include: files nested more than %d deep", INCLUDE_DEPTH));
	if (++rd->included > INCLUDE_FILES)
		return (route_defer(v, "more than %d :include: files", INCLUDE_FILES));
	if (w->readfile == NULL || w->readfile(w->arg, path, ROUTE_DATA_MAX, v->rt->a, &data, &st) == -1)
		return (not_permitted(rd, "failed to open included file %s: %s", path, strerror(errno)));
	why = redirect_include_ban(rd, path, &st);
	if (why != NULL)
		return (not_permitted(rd, "included file %s is not used: %s", path, why));
	rd->depth++;
	rd->file = path;
	rd->text = data;
	y = interpret(rd, data);
	rd->depth--;
	rd->file = before;
	rd->text = text;
	return (y);
}

enum route_yield
redirect_refuse(struct redirect *rd, bool fail, struct sv t)
{
	struct visit *v = rd->v;
	struct sv whole = t;
	char digit = fail ? '5' : '4';

	/* "551 5.1.6 moved": code and text apart. */
	if (t.len >= 4 && t.p[0] == digit && sv_isdigit(t.p[1]) && sv_isdigit(t.p[2]) && t.p[3] == ' ') {
		if (!flag(rd, EXIM_REDIRECT_forbid_smtp_code))
			v->code = (t.p[0] - '0') * 100 + (t.p[1] - '0') * 10 + (t.p[2] - '0');
		t = sv_trim(sv_sub(t, 4, t.len));
	} else if (flag(rd, EXIM_REDIRECT_forbid_smtp_code) && t.len >= 4 && sv_isdigit(t.p[0]) && sv_isdigit(t.p[1]) &&
	    sv_isdigit(t.p[2]) && t.p[3] == ' ')
		t = sv_trim(sv_sub(t, 4, t.len));
	/* An enhanced code belongs to it. */
	if (t.len > 6 && flag(rd, EXIM_REDIRECT_forbid_smtp_code) && sv_isdigit(t.p[0]) && t.p[1] == '.' && sv_isdigit(t.p[2]) &&
	    t.p[3] == '.' && sv_isdigit(t.p[4]) && t.p[5] == ' ')
		t = sv_trim(sv_sub(t, 6, t.len));
	if (flag(rd, EXIM_REDIRECT_forbid_smtp_code))
		whole = t;
	v->user_msg = arena_sv(v->rt->a, t);
	if (fail)
		(void)route_fail(v, SV_FMT, SV_ARG(whole.len > 0 ? whole : SV_LIT("forced rejection")));
	else
		(void)route_defer(v, SV_FMT, SV_ARG(whole.len > 0 ? whole : SV_LIT("forced defer")));
	if (whole.len == 0)
		v->raw = "";
	return (fail ? Y_FAIL : Y_DEFER);
}

static enum route_yield
refuse(struct redirect *rd, const struct redirect_item *it)
{
	bool fail = it->kind == REDIRECT_FAIL;

	if (fail ? !flag(rd, EXIM_REDIRECT_allow_fail) : !flag(rd, EXIM_REDIRECT_allow_defer))
		return (not_permitted(rd, "%s is not permitted", shown(rd, it->raw)));
	return (redirect_refuse(rd, fail, it->text));
}

/* For whoever wants to see it: which line of which file says what. */
static void
tell_item(struct redirect *rd, const struct redirect_item *it)
{
	const struct route_ops *ops = rd->v->rt->rq->ops;
	unsigned line = 1;

	if (ops == NULL || ops->trace == NULL)
		return;
	for (const char *p = rd->text.p; p < it->raw.p && p < rd->text.p + rd->text.len; p++)
		line += *p == '\n';
	ops->trace(ops->arg, rd->file != NULL ? arena_fmt(rd->v->rt->a, "  %s:%u: " SV_FMT, rd->file, line, SV_ARG(sv_trim(it->raw))) :
	    arena_fmt(rd->v->rt->a, "  %s router says: " SV_FMT, rd->v->r->d.name, SV_ARG(sv_trim(it->raw))));
}

static enum route_yield
take_item(struct redirect *rd, const struct redirect_item *it)
{
	switch (it->kind) {
	case REDIRECT_ADDRESS:
		return (add_address(rd, it));
	case REDIRECT_PIPE:
	case REDIRECT_FILE:
	case REDIRECT_DIRECTORY:
		return (redirect_deliver(rd, &rd->base, it->kind == REDIRECT_PIPE ? ROUTE_PIPE : it->kind == REDIRECT_FILE ?
		    ROUTE_FILE : ROUTE_DIRECTORY, it->text));
	case REDIRECT_INCLUDE:
		return (include(rd, it));
	case REDIRECT_FAIL:
		/* What stands in front of it counts nevertheless. */
		rd->keep = true;
		return (refuse(rd, it));
	case REDIRECT_BAD:
		return (redirect_mistake(rd, it->raw, it->err_text));
	default:
		return (Y_ACCEPT);
	}
}

/* :defer: and :blackhole: apply to the whole list, so they are looked for first, and whether :fail: is permitted. */
static enum route_yield
interpret(struct redirect *rd, struct sv data)
{
	struct sv rest = data;
	struct redirect_item it;
	enum route_yield y = Y_ACCEPT;

	while (redirect_next(&rest, rd->v->rt->a, &it)) {
		if (it.kind == REDIRECT_DEFER || (it.kind == REDIRECT_FAIL && !flag(rd, EXIM_REDIRECT_allow_fail)))
			return (refuse(rd, &it));
		if (it.kind == REDIRECT_FAIL)
			break;
		if (it.kind == REDIRECT_BLACKHOLE) {
			if (flag(rd, EXIM_REDIRECT_forbid_blackhole))
				return (not_permitted(rd, "%s is not permitted", shown(rd, it.raw)));
			rd->blackhole = true;
			return (Y_ACCEPT);
		}
	}
	rest = data;
	while (y == Y_ACCEPT && redirect_next(&rest, rd->v->rt->a, &it)) {
		tell_item(rd, &it);
		y = take_item(rd, &it);
	}
	return (y);
}

/* syntax_errors_to: whoever keeps the list is told what was skipped. */
static void
tell_errors(struct redirect *rd)
{
	struct visit *v = rd->v;
	struct sb body = SB_INIT(ROUTE_DATA_MAX);
	struct sv to = SV_NULL, text = SV_NULL;
	struct err err = ERR_INIT;

	to = rd->o[EXIM_REDIRECT_syntax_errors_to].text;
	if (rd->errors.len == 0 || to.len == 0)
		return;
	if (rd->o[EXIM_REDIRECT_syntax_errors_text].str != NULL &&
	    exim_expand(rd->o[EXIM_REDIRECT_syntax_errors_text].str, v->rt->env, &text, &err) == EXIM_OK)
		sb_addf(&body, SV_FMT "\n\n", SV_ARG(text));
	sb_addf(&body, "The %s router encountered the following error(s):\n\n", v->r->d.name);
	sb_add(&body, sb_sv(&rd->errors));
	sb_adds(&body, "Other addresses were processed normally.\n");
	v->rt->rq->ops->mail(v->rt->rq->ops->arg, arena_sv(v->rt->a, to), SV_LIT("error(s) in forwarding or filtering"), sb_sv(&body));
	sb_free(&body);
}

static void
forget_since(struct routing *rt, size_t todo, size_t deliveries, size_t generated)
{
	rt->todo.len = todo;
	rt->deliveries.len = deliveries;
	rt->generated.len = generated;
}

enum route_yield
route_redirect(struct visit *v)
{
	struct routing *rt = v->rt;
	size_t todo = rt->todo.len, deliveries = rt->deliveries.len, generated = rt->generated.len;
	struct redirect rd = { .v = v, .o = v->r->d.own };
	struct sv data = SV_NULL;
	/* As whom it would be delivered is a question that comes before whether there is anything. */
	enum route_yield y = route_fill(v, &rd.base, NULL);

	if (y == Y_ACCEPT)
		y = load(&rd, &data);
	if (y == Y_ACCEPT)
		y = redirect_check_place(&rd);
	if (y != Y_ACCEPT)
		return (y);
	rd.file = rd.path;
	rd.text = data;
	rd.base.one_time = rd.base.one_time || flag(&rd, EXIM_REDIRECT_one_time);
	v->p->hide_child = v->p->hide_child || flag(&rd, EXIM_REDIRECT_hide_child_in_errmsg);
	if (redirect_data_kind(data) != REDIRECT_LIST && !redirect_is_filter(&rd, data)) {
		const char *kind = !flag(&rd, EXIM_REDIRECT_allow_filter) ? "f" :
		    redirect_data_kind(data) == REDIRECT_SIEVE_FILTER ? "Sieve f" : "Exim f";

		v->number = ROUTE_NUMBER_REDIRECT;
		return (route_defer(v, "error in filter %s: %siltering not enabled", rd.path != NULL ? "file" : "data", kind));
	}
	if (redirect_is_filter(&rd, data)) {
		y = redirect_filter(&rd, data);
		if (y != Y_ACCEPT && y != Y_DISCARD && !rd.keep)
			forget_since(rt, todo, deliveries, generated);
		return (y);
	}
	sb_init(&rd.errors, ROUTE_DATA_MAX);
	y = interpret(&rd, data);
	tell_errors(&rd);
	sb_free(&rd.errors);
	if (y == Y_ACCEPT && rd.blackhole) {
		forget_since(rt, todo, deliveries, generated);
		rd.base.kind = ROUTE_DISCARD;
		route_deliver(v, &rd.base);
		return (Y_DISCARD);
	}
	if (y == Y_ACCEPT && rd.found == 0 && rd.skipped)
		v->message = SV_LIT("syntax error in redirection data");
	if (y == Y_FAIL && rd.keep)
		return (y);
	if (y != Y_ACCEPT || rd.found == 0) {
		forget_since(rt, todo, deliveries, generated);
		return (y == Y_ACCEPT ? Y_DECLINE : y);
	}
	rt->res->redirected = true;
	return (Y_ACCEPT);
}
