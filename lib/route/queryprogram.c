/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queryprogram router (chapter 21 of Exim's manual): a program of the
 * administrator answers with one line "ACCEPT TRANSPORT=... HOSTS=...", "REDIRECT address", "DECLINE" ...
 */
#include <string.h>
#include <unistd.h>

#include "exim/lexer.h"
#include "route/route_int.h"

#define OUTPUT_MAX	(64 * 1024)
#define REASON_MAX	1023		/* of an answer that gives no addresses or hosts: Exim reads no more */
#define ARGS_MAX	64

/* The words of a command, quotes resolved, then each expanded; NULL after an error. */
static const char *const *
command_words(struct visit *v, struct sv text)
{
	const char **argv = arena_zalloc(v->rt->a, (ARGS_MAX + 1) * sizeof(*argv));
	const struct sv whole = text;
	size_t n = 0;

	text = sv_trim(text);
	while (text.len > 0 && n < ARGS_MAX) {
		struct err err = ERR_INIT;
		struct sv w;
		size_t i = 0;

		if (text.p[0] == '\'') {
			for (i = 1; i < text.len && text.p[i] != '\''; i++)
				;
			w = sv_sub(text, 1, i);
			i += i < text.len;
		} else if (text.p[0] == '"') {
			for (i = 1; i < text.len && text.p[i] != '"'; i++)
				i += text.p[i] == '\\' && i + 1 < text.len;
			i += i < text.len;
			(void)exim_string_parse(sv_sub(text, 0, i), v->rt->a, &w, &err);
		} else {
			while (i < text.len && !sv_isspace(text.p[i]))
				i++;
			w = sv_sub(text, 0, i);
		}
		text = sv_trim(sv_sub(text, i, text.len));
		/* Split first, so that no value changes the number of words; and none may be a peer's. */
		if (exim_expand_text(w, v->rt->env, &w, &err) != EXIM_OK) {
			(void)route_defer(v, "Expansion of \"" SV_FMT "\" from command \"" SV_FMT "\" in %s router failed: %s", SV_ARG(w),
			    SV_ARG(whole), v->r->d.driver, arena_str(v->rt->a, err.text));
			return (NULL);
		}
		if (w.tainted && w.len > 0) {
			(void)route_defer(v, "Tainted arg %zu for %s router command: '" SV_FMT "'", n, v->r->d.driver, SV_ARG(w));
			return (NULL);
		}
		argv[n++] = arena_cstr(v->rt->a, w);
	}
	if (n > 0 && argv[0][0] == '/')
		return ((const char *const *)argv);
	/* No path is searched, so that this one cannot be found. */
	(void)route_defer(v, "%s router: command returned non-zero code 127", v->r->d.name);
	return (NULL);
}

/* The value of KEY= in the answer (up to a blank, or quoted). */
static bool
answer_value(struct visit *v, struct sv line, const char *key, struct sv *out)
{
	struct sv rest = line, w;

	while (sv_word(&rest, &w)) {
		size_t n = strlen(key);

		if (w.len <= n || !sv_casestarts(w, key) || w.p[n] != '=')
			continue;
		*out = sv_sub(w, n + 1, w.len);
		if (out->len > 0 && out->p[0] == '"') {
			struct sv from = sv_from(out->p, (size_t)(line.p + line.len - out->p));
			struct err err = ERR_INIT;
			size_t i = 1;

			while (i < from.len && from.p[i] != '"')
				i += from.p[i] == '\\' && i + 1 < from.len ? 2 : 1;
			i += i < from.len;
			(void)exim_string_parse(sv_sub(from, 0, i), v->rt->a, out, &err);
		}
		return (true);
	}
	return (false);
}

static enum route_yield
accept_answer(struct visit *v, struct sv line)
{
	struct route_delivery d;
	struct hostlist hl = { .v = VEC_INIT };
	struct sv text, how;
	enum route_yield y;

	if (answer_value(v, line, "DATA", &text))
		v->ea.address_data = text;
	y = route_fill(v, &d, &v->r->d.generic[EXIM_ROUTER_transport]);
	if (y != Y_ACCEPT)
		return (y);
	if (answer_value(v, line, "TRANSPORT", &text)) {
		d.transport = exim_conf_transport(v->rt->rq->conf, text);
		if (d.transport == NULL) {
			const char *name = arena_cstr(v->rt->a, text);

			route_panic(v, arena_fmt(v->rt->a, "%s router: unknown transport name %s yielded by command",
			    v->r->d.name, name));
			return (route_defer(v, "unknown transport name %s yielded by command", name));
		}
	}
	if (d.transport == NULL)
		return (route_defer(v, "transport unset in %s router", v->r->d.name));
	if (answer_value(v, line, "HOSTS", &text)) {
		if (!answer_value(v, line, "LOOKUP", &how))
			how = SV_LIT("");
		if (how.len > 0 && !sv_caseeqs(how, "byname") && !sv_caseeqs(how, "bydns")) {
			const char *why = arena_fmt(v->rt->a, "bad lookup type \"" SV_FMT "\" yielded by command", SV_ARG(how));

			route_panic(v, arena_fmt(v->rt->a, "%s router: %s", v->r->d.name, why));
			return (route_defer(v, "%s", why));
		}
		y = route_host_list(v, text, sv_caseeqs(how, "byname"), sv_caseeqs(how, "bydns"), &hl);
		if (y != Y_ACCEPT) {
			vec_free(&hl.v);
			return (y);
		}
	}
	route_hosts_seal(v, &hl, &d);
	route_deliver(v, &d);
	return (Y_ACCEPT);
}

/* What the program gives as its reason; that may be nothing. */
static enum route_yield
told(struct visit *v, enum route_yield y, struct sv text)
{
	v->user_msg = arena_sv(v->rt->a, text);
	if (y == Y_FAIL)
		(void)route_fail(v, SV_FMT, SV_ARG(text));
	else
		(void)route_defer(v, SV_FMT, SV_ARG(text));
	if (text.len == 0)
		v->raw = "";
	return (y);
}

static enum route_yield
redirect_answer(struct visit *v, struct sv rest)
{
	struct route_delivery d;
	struct redirect_item it;
	enum route_yield y = route_fill(v, &d, NULL);
	size_t n = 0;

	while (y == Y_ACCEPT && redirect_next(&rest, v->rt->a, &it)) {
		struct sv addr = it.text;

		if (it.kind == REDIRECT_PIPE || it.kind == REDIRECT_FILE || it.kind == REDIRECT_DIRECTORY) {
			struct route_delivery to = d;

			/* There is no transport that could take it. */
			to.kind = it.kind == REDIRECT_PIPE ? ROUTE_PIPE : it.kind == REDIRECT_FILE ? ROUTE_FILE : ROUTE_DIRECTORY;
			to.text = it.text;
			to.forbidden = true;
			if (v->rt->rq->mode == ROUTE_DELIVER)
				to.trouble = it.kind == REDIRECT_PIPE ? "delivery to pipe forbidden" : "delivery to file forbidden";
			route_deliver(v, &to);
			n++;
			continue;
		}
		if (it.kind == REDIRECT_FAIL || it.kind == REDIRECT_DEFER)
			return (told(v, it.kind == REDIRECT_FAIL ? Y_FAIL : Y_DEFER, it.text));
		if (it.kind != REDIRECT_ADDRESS)
			return (route_defer(v, "%s router: bad redirection \"" SV_FMT "\"", v->r->d.name, SV_ARG(it.raw)));
		if (sv_rchr(addr, '@') < 0)
			addr = sv_cstr(arena_fmt(v->rt->a, SV_FMT "@" SV_FMT, SV_ARG(addr),
			    SV_ARG(v->rt->rq->conf->g.qualify_recipient)));
		route_child(v, &d, addr, v->r->redirect_router);
		n++;
	}
	if (y == Y_ACCEPT && n == 0)
		return (route_defer(v, "%s router: redirection without an address", v->r->d.name));
	v->rt->res->redirected = true;
	return (y);
}

/* command_user and command_group; without the latter the user's own group. */
static enum route_yield
as_whom(struct visit *v, struct exim_run *run)
{
	const struct exim_value *o = v->r->d.own;
	bool set = false, group = false;
	int64_t gid = -1;
	enum route_yield y;

	run->uid = run->gid = -1;
	y = route_id_of(v, &o[EXIM_QUERYPROGRAM_command_user], "command_user", &set, &run->uid, &run->user, &gid);
	if (y == Y_ACCEPT)
		y = route_id_of(v, &o[EXIM_QUERYPROGRAM_command_group], "command_group", &group, &run->gid, NULL, NULL);
	if (y != Y_ACCEPT)
		return (y);
	if (!group)
		run->gid = gid;
	if (run->gid < 0)
		return (route_defer(v, "command_user set without command_group for %s router", v->r->d.name));
	/* What runs unprivileged runs its programs as itself. */
	run->set_ids = geteuid() == 0;
	return (Y_ACCEPT);
}

enum route_yield
route_queryprogram(struct visit *v)
{
	const struct exim_world *w = v->rt->env->world;
	struct exim_run run;
	struct sv text = exim_str_text(v->r->d.own[EXIM_QUERYPROGRAM_command].str), out = SV_NULL, word;
	enum exim_result res;
	int rc = 0;

	memset(&run, 0, sizeof(run));
	run.argv = command_words(v, text);
	run.timeout = v->r->d.own[EXIM_QUERYPROGRAM_timeout].num;
	run.max = OUTPUT_MAX;
	run.cwd = v->r->d.own[EXIM_QUERYPROGRAM_current_directory].text.len == 0 ? "/" :
	    arena_cstr(v->rt->a, v->r->d.own[EXIM_QUERYPROGRAM_current_directory].text);
	if (run.argv == NULL || as_whom(v, &run) != Y_ACCEPT)
		return (Y_DEFER);
	if (w->run == NULL)
		return (route_defer(v, "%s router: programs cannot be run here", v->r->d.name));
	res = w->run(w->arg, &run, v->rt->a, &out, &rc, &v->err);
	if (res != EXIM_OK) {
		err_prefix(&v->err, "%s router", v->r->d.name);
		return (Y_DEFER);
	}
	if (rc != 0)
		return (route_defer(v, "%s router: command returned non-zero code %d", v->r->d.name, rc));
	if (out.len == 0)
		return (route_defer(v, "%s router: command failed to return data", v->r->d.name));
	text = sv_cstr(arena_cstr(v->rt->a, sv_trim(out)));
	/* All that it says counts as one line. */
	for (char *p = (char *)(uintptr_t)text.p; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	if (!sv_word(&text, &word))
		word = SV_LIT("");
	text = sv_trim(text);
	if (sv_caseeqs(word, "REDIRECT"))
		return (redirect_answer(v, text));
	if (sv_caseeqs(word, "ACCEPT"))
		return (accept_answer(v, text));
	if (text.len > 0 && text.p + text.len > word.p + REASON_MAX)
		text = sv_sub(text, 0, (size_t)(word.p + REASON_MAX - text.p));
	if (sv_caseeqs(word, "PASS"))
		return (Y_PASS);
	if (sv_caseeqs(word, "DECLINE"))
		return (Y_DECLINE);
	if (sv_caseeqs(word, "FAIL"))
		return (told(v, Y_FAIL, text));
	if (sv_caseeqs(word, "DEFER"))
		return (told(v, Y_DEFER, text));
	if (sv_caseeqs(word, "FREEZE"))
		return (told(v, Y_FREEZE, text));
	route_panic(v, arena_fmt(v->rt->a, "%s router: bad command yield: " SV_FMT " " SV_FMT, v->r->d.name, SV_ARG(word),
	    SV_ARG(text)));
	return (route_defer(v, "bad command yield: " SV_FMT " " SV_FMT, SV_ARG(word), SV_ARG(text)));
}
