/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of pipe and lmtp (chapters 28 and 29 of Exim's manual), and command lines: split
 * first, expanded word by word, so that no value changes their number.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mbox/run.h"
#include "transport/transport_int.h"

#define OWN(name)	(&p->d->t->d.own[EXIM_PIPE_##name])
#define LMTP(name)	(&p->d->t->d.own[EXIM_LMTP_##name])
#define ARGS_MAX	1000
#define WORD_MAX	(256 * 1024)

/* ---- command lines ---- */

/* Cut the next word off *<line>: '...' as it stands, "..." with escapes, else up to white space. */
static bool
next_word(struct sv *line, struct arena *a, struct sv *word, bool *bad)
{
	struct sb out = SB_INIT(WORD_MAX);
	size_t i = 0;
	char quote;

	while (i < line->len && sv_isspace(line->p[i]))
		i++;
	if (i >= line->len)
		return (false);
	quote = line->p[i] == '"' || line->p[i] == '\'' ? line->p[i++] : '\0';
	for (; i < line->len; i++) {
		char c = line->p[i];

		if (quote == '\0' ? sv_isspace(c) : c == quote)
			break;
		if (quote == '"' && c == '\\' && i + 1 < line->len) {
			c = line->p[++i];
			c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
		}
		sb_addc(&out, c);
	}
	*bad = out.overflow;
	if (quote != '\0' && i < line->len)
		i++;
	*word = arena_sv(a, sb_sv(&out));
	word->tainted = line->tainted;
	*line = sv_sub(*line, i, line->len);
	sb_free(&out);
	return (true);
}

static bool
add_word(struct transport_list *l, struct sv word)
{
	if (l->n >= ARGS_MAX)
		return (false);
	l->v[l->n++] = word;
	return (true);
}

static bool
add_addresses(const struct transport_delivery *d, struct transport_list *l)
{
	for (size_t i = 0; i < d->n; i++) {
		struct sv addr = d->rd[i]->addr->address;

		addr.tainted = false;
		if (!add_word(l, addr))
			return (false);
	}
	return (true);
}

static bool
add_pipe_words(struct sv line, struct arena *a, struct transport_list *l, bool *bad)
{
	struct sv word;

	while (!*bad && next_word(&line, a, &word, bad))
		if (!add_word(l, word))
			return (false);
	return (true);
}

/* A mistake of the administrator's: deferred, and the panic log has it too. */
static int panic(struct transport_result *r, struct arena *a, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int
panic(struct transport_result *r, struct arena *a, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX * 2];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)transport_fail(r, a, TRANSPORT_DEFER, 0, "%s", text);
	r->panic = true;
	return (-1);
}

int
transport_argv(const struct transport_delivery *d, struct sv command, bool expand, struct sv address_pipe, bool force,
    const char *what, struct transport_list *out, struct transport_result *r)
{
	const char *name = d->t->d.name;
	struct sv line = command, word;
	struct err err = ERR_INIT;
	bool bad = false, room = true;

	out->n = 0;
	out->v = arena_alloc(d->arena, (ARGS_MAX + 1) * sizeof(*out->v));
	while (!bad && room && next_word(&line, d->arena, &word, &bad)) {
		struct sv value = word;

		if (expand && sv_eqs(word, "$pipe_addresses")) {
			room = add_addresses(d, out);
			continue;
		}
		if (force && sv_eqs(word, "$address_pipe")) {
			room = add_pipe_words(address_pipe, d->arena, out, &bad);
			continue;
		}
		if (expand && exim_expand_text(word, d->env, &value, &err) != EXIM_OK)
			return (panic(r, d->arena, "Expansion of \"" SV_FMT "\" from command \"" SV_FMT "\" in %s transport failed: %s",
			    SV_ARG(word), SV_ARG(command), name, err.text));
		if (value.p != NULL && memchr(value.p, '\0', value.len) != NULL)
			bad = true;
		/* Neither the program nor what it is given may be a peer's. */
		if (expand && value.tainted && value.len > 0)
			return (transport_fail(r, d->arena, TRANSPORT_FAIL, 0, "Tainted arg %zu for %s command: '" SV_FMT "'",
			    out->n, strcmp(what, "transport filter") == 0 ? what :
			    arena_fmt(d->arena, "%s transport", name), SV_ARG(value)));
		room = add_word(out, arena_sv(d->arena, value));
	}
	if (out->n == 0)
		return (transport_fail(r, d->arena, TRANSPORT_DEFER, 0, "no command specified for %s transport", name));
	if (bad || !room)
		return (transport_fail(r, d->arena, TRANSPORT_FAIL, 0, !room ? "Too many arguments to command in %s transport (%s)" :
		    "A word of the command in %s transport (%s) cannot be used", name, what));
	return (0);
}

/* ---- environment (29.4) ---- */

static void
set_env(struct prep *p, const char *name, struct sv value)
{
	struct transport_list *l = &p->j->env;
	struct sv v = value;

	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] == '\0')
			v.len = i;
	if (l->n < ARGS_MAX)
		l->v[l->n++] = sv_cstr(arena_fmt(p->a, "%s=" SV_FMT, name, SV_ARG(v)));
}

static int
environment(struct prep *p, struct sv path)
{
	const struct route_delivery *rd = p->d->rd[0];
	const struct exim_conf *c = p->env->conf;
	struct sv tz = c->main[EXIM_MAIN_timezone].text, list, item;
	struct sv local = p->d->n > 1 ? SV_LIT("") : rd->local_part, domain = rd->domain;
	int sep = 0;

	p->j->env.v = arena_alloc(p->a, (ARGS_MAX + 1) * sizeof(struct sv));
	if (p->d->n == 1) {
		set_env(p, "LOCAL_PART", local);
		set_env(p, "LOGNAME", local);
		set_env(p, "USER", local);
		set_env(p, "LOCAL_PART_PREFIX", rd->prefix);
		set_env(p, "LOCAL_PART_SUFFIX", rd->suffix);
		set_env(p, "DOMAIN", domain);
		set_env(p, "HOME", p->j->home);
	} else if (p->j->home.p != NULL)
		set_env(p, "HOME", p->j->home);
	set_env(p, "MESSAGE_ID", p->d->id);
	set_env(p, "PATH", path);
	if (p->d->n == 1)
		set_env(p, "RECIPIENT", rd->addr->address);
	set_env(p, "QUALIFY_DOMAIN", p->env->g->qualify_domain);
	set_env(p, "SENDER", p->j->sender);
	set_env(p, "SHELL", SV_LIT("/bin/sh"));
	if (rd->nhosts > 0)
		set_env(p, "HOST", sv_cstr(rd->hosts[0].name));
	if (tz.len > 0)
		set_env(p, "TZ", tz);
	if (prep_str(p, OWN(environment), "environment", true, &list) == -1)
		return (-1);
	while (list.p != NULL && exim_list_next(&list, &sep, p->a, &item))
		if (sv_chr(item, '=') > 0 && memchr(item.p, '\0', item.len) == NULL && p->j->env.n < ARGS_MAX)
			p->j->env.v[p->j->env.n++] = item;
	return (0);
}

/* ---- pipe ---- */

/* allow_commands, restrict_to_path, and where a name without slashes is found. */
static int
allowed(struct prep *p, struct sv line, struct sv search)
{
	struct sv name = p->j->argv.v[0], list, item;
	bool listed = OWN(allow_commands)->str != NULL, path = OWN(restrict_to_path)->num != 0, permitted = false;
	char *found;
	int sep = 0;

	if (prep_str(p, OWN(allow_commands), "allow_commands", false, &list) == -1)
		return (-1);
	while (listed && exim_list_next(&list, &sep, p->a, &item))
		permitted = permitted || sv_eq(item, name);
	if (listed && !permitted && !path)
		return (prep_fail(p, TRANSPORT_FAIL, 0, "\"" SV_FMT "\" command not permitted by %s transport", SV_ARG(name), p->name));
	if (path && !permitted && sv_chr(name, '/') >= 0)
		return (prep_fail(p, TRANSPORT_FAIL, 0, "\"/\" found in \"" SV_FMT "\" (command for %s transport) - failed for security "
		    "reasons", SV_ARG(line), p->name));
	if (sv_chr(name, '/') >= 0)
		return (0);
	found = mbox_run_find(arena_cstr(p->a, name), arena_cstr(p->a, search));
	if (found == NULL)
		return (prep_fail(p, TRANSPORT_FAIL, 0, "\"" SV_FMT "\" command not found for %s transport", SV_ARG(name), p->name));
	free(found);
	return (0);
}

static int
shell_command(struct prep *p, struct sv command, bool expand)
{
	struct transport_list *l = &p->j->argv;
	struct err err = ERR_INIT;

	if (expand && exim_expand_text(command, p->env, &command, &err) != EXIM_OK)
		return (panic(p->r, p->a, "Expansion of command \"" SV_FMT "\" in %s transport failed: %s", SV_ARG(command), p->name,
		    err.text));
	if (command.tainted)
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_EXPAND,
		    "Tainted '" SV_FMT "' (command for %s transport) not permitted", SV_ARG(command), p->name));
	l->v = arena_alloc(p->a, 3 * sizeof(*l->v));
	l->v[0] = SV_LIT("/bin/sh");
	l->v[1] = SV_LIT("-c");
	l->v[2] = arena_sv(p->a, command);
	l->n = 3;
	return (0);
}

static int
command(struct prep *p, struct sv search)
{
	const struct route_delivery *rd = p->d->rd[0];
	bool redirected = rd->kind == ROUTE_PIPE, force = OWN(force_command)->num != 0, expand = true;
	const struct exim_nums *nums = p->env->nums;
	unsigned forbid = p->env->forbid;
	struct sv text;
	int rc;

	if (redirected && !force) {
		text = rd->text;
		/* From a list of addresses it is taken as it is; from a filter each word is expanded, with what it matched last. */
		expand = rd->item != NULL;
		if (!expand && text.tainted && rd->router != NULL && rd->router->drv == EXIM_ROUTER_DRV_REDIRECT &&
		    rd->router->d.own[EXIM_REDIRECT_data].str != NULL)
			return (panic(p->r, p->a, "Tainted '" SV_FMT "' (command for %s transport) not permitted",
			    SV_ARG(text), p->name));
		text.tainted = false;
	} else if (OWN(command)->str == NULL)
		return (prep_fail(p, TRANSPORT_DEFER, 0, "no command specified for %s transport", p->name));
	else
		text = exim_str_text(OWN(command)->str);
	text = sv_trim(text);
	p->j->command = text;
	if (text.len > 0 && text.p[0] == '|')
		text = sv_trim(sv_sub(text, 1, text.len));
	if (expand && redirected && rd->item != NULL) {
		p->env->nums = rd->item->nums;
		p->env->forbid |= rd->item->forbid;
		p->env->addr->thisaddress = rd->item->thisaddress;
	}
	if (OWN(use_shell)->num != 0)
		rc = shell_command(p, text, expand);
	else
		rc = transport_argv(p->d, text, expand, rd->text, force, "pipe", &p->j->argv, p->r);
	p->env->nums = nums;
	p->env->forbid = forbid;
	return (rc == 0 && OWN(use_shell)->num == 0 ? allowed(p, text, search) : rc);
}

static int
frame(struct prep *p)
{
	struct transport_job *j = p->j;
	bool bsmtp = OWN(use_bsmtp)->num != 0;

	j->crlf = OWN(use_crlf)->num;
	j->bsmtp = bsmtp;
	if ((!bsmtp || OWN(message_prefix)->set) && prep_str(p, OWN(message_prefix), "message_prefix", false, &j->prefix) == -1)
		return (-1);
	if ((!bsmtp || OWN(message_suffix)->set) && prep_str(p, OWN(message_suffix), "message_suffix", false, &j->suffix) == -1)
		return (-1);
	if (!bsmtp && OWN(check_string)->text.len > 0 && OWN(escape_string)->text.p != NULL) {
		j->check = OWN(check_string)->text;
		j->escape = OWN(escape_string)->text;
	}
	return (0);
}

static void
temp_errors(struct prep *p)
{
	struct sv list = OWN(temp_errors)->text, item;
	struct transport_list *l = &p->j->temp_errors;
	int sep = 0;

	l->v = arena_alloc(p->a, 256 * sizeof(*l->v));
	while (l->n < 256 && exim_list_next(&list, &sep, p->a, &item))
		l->v[l->n++] = item;
}

int
prep_pipe(struct prep *p)
{
	struct transport_job *j = p->j;
	struct sv path;

	if (prep_str(p, OWN(path), "path", false, &path) == -1 || command(p, path) == -1 || frame(p) == -1 ||
	    environment(p, path) == -1)
		return (-1);
	j->search = path;
	j->umask = OWN(umask)->num;
	j->timeout = OWN(timeout)->num;
	j->timeout_defer = OWN(timeout_defer)->num;
	j->max_output = OWN(max_output)->num;
	j->core = OWN(permit_coredump)->num;
	j->ignore_status = OWN(ignore_status)->num;
	j->return_output = !p->d->bounce && OWN(return_output)->num != 0;
	j->return_fail_output = !p->d->bounce && OWN(return_fail_output)->num != 0;
	j->log_output = OWN(log_output)->num;
	j->log_fail_output = OWN(log_fail_output)->num;
	j->log_defer_output = OWN(log_defer_output)->num;
	j->freeze_exec = OWN(freeze_exec_fail)->num;
	j->freeze_signal = OWN(freeze_signal)->num;
	temp_errors(p);
	return (0);
}

/* ---- lmtp ---- */

int
prep_lmtp(struct prep *p)
{
	struct transport_job *j = p->j;

	j->crlf = 1;
	j->timeout = LMTP(timeout)->num;
	j->ignore_quota = LMTP(ignore_quota)->num;
	if (LMTP(socket)->str != NULL) {
		if (prep_str(p, LMTP(socket), "socket setting", false, &j->socket) == -1) {
			p->r->panic = false;
			return (-1);
		}
		if (j->socket.tainted)
			return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_EXPAND,
			    "Tainted '" SV_FMT "' (socket for %s transport) not permitted",
			    SV_ARG(j->socket), p->name));
		return (0);
	}
	if (LMTP(command)->str == NULL)
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_TRANSPORT, "neither socket nor command is set for %s transport",
		    p->name));
	j->search = SV_LIT("/bin:/usr/bin");
	return (transport_argv(p->d, exim_str_text(LMTP(command)->str), true, SV_NULL, false, "lmtp", &j->argv, p->r));
}
