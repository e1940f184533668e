/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Expansion items that reach outside: lookup, readfile, readsocket, run, env, acl,
 * perl, dlfunc, certextract, authresults (manual 11.5).  All go through env->world.
 */
#include "exim/conf.h"
#include "exim/expand_int.h"

#include <errno.h>
#include <stdlib.h>

#include "base/num.h"

#define FILE_MAX	(4 * 1024 * 1024)

/* --- ${lookup --- */

/* "type{query}" behind an optional "{key}". */
static bool
parse_lookup_type(struct xparse *ps, struct xitem *it, bool key)
{
	struct xlookup_spec *spec = arena_zalloc(ps->a, sizeof(*spec));
	const char *start, *why;
	struct sv name;

	if (!sv_isalpha(xp_skip(ps)))
		return (xp_error(ps, "missing lookup type"));
	for (start = ps->p; *ps->p != '\0' && *ps->p != '{' && !sv_isspace(*ps->p);)
		ps->p++;
	name = sv_from(start, (size_t)(ps->p - start));
	if (!x_lookup_parse(ps->a, name, spec, &why))
		return (xp_error(ps, "%s", why));
	if (!x_lookup_is_query(spec->type) && !key)
		return (xp_error(ps, "missing {key} for single-key \"" SV_FMT "\" lookup", SV_ARG(name)));
	if (x_lookup_is_query(spec->type) && key)
		return (xp_error(ps, "a single key was given for lookup type \"" SV_FMT "\", which is not a single-key lookup "
		    "type", SV_ARG(name)));
	it->lookup = spec;
	return (true);
}

X_PARSE(xip_lookup)
{
	struct xitem *it = arena_zalloc(ps->a, sizeof(*it));
	bool key;

	it->row = row;
	it->arg = arena_zalloc(ps->a, 2 * sizeof(*it->arg));
	n->eval = row->eval;
	n->u.item = it;
	key = xp_skip(ps) == '{';
	if (key) {
		ps->p++;
		if (!xp_seq(ps, true, true, &it->arg[0]))
			return (false);
		ps->p++;
		it->narg = 1;
	}
	if (!parse_lookup_type(ps, it, key))
		return (false);
	if (xp_skip(ps) != '{')
		return (xp_curly(ps, "missing '{' for lookup file-or-query arg"));
	ps->p++;
	if (!xp_seq(ps, true, true, &it->arg[1]))
		return (false);
	ps->p++;
	it->narg = key ? 2 : 1;
	return (xp_yesno(ps, "lookup", &it->yn));
}

static enum exim_result
do_lookup(struct xev *e, const struct xitem *it, bool *found, struct sv *value)
{
	struct sv key = SV_NULL, file;
	const struct exim_nums *nums = NULL;
	enum exim_result r;

	if (it->narg == 2 && (r = x_seq(e, &it->arg[0], &key)) != EXIM_OK)
		return (r);
	if ((r = x_seq(e, &it->arg[1], &file)) != EXIM_OK)
		return (r);
	if (it->narg == 1) {
		key = file;
		file = SV_NULL;
	}
	r = x_lookup(e, it->lookup, file, key, found, value, &nums);
	if (r == EXIM_DEFER) {
		const char *why = x_message(e);

		while (it->narg == 1 && key.len > 0 && sv_isspace(key.p[0]))
			key = sv_sub(key, 1, key.len);
		key = x_printing(e, key);
		return (x_defer(e, "lookup of \"" SV_FMT "\" gave DEFER: %s", SV_ARG(key), why));
	}
	if (nums != NULL)
		e->env->nums = nums;
	return (r);
}

X_EVAL(xi_lookup)
{
	const struct exim_nums *nums = e->env->nums;
	const struct xitem *it = n->u.item;
	struct sv value = SV_NULL, saved = e->env->value;
	enum exim_result r;
	bool found = false;

	if ((e->env->forbid & EXIM_NO_LOOKUP) != 0)
		return (x_fail(e, "lookup expansions are not permitted"));
	r = do_lookup(e, it, &found, &value);
	if (r == EXIM_OK) {
		e->env->value = found ? value : SV_NULL;
		r = x_yesno(e, &it->yn, found, saved, "lookup", out);
	}
	e->env->value = saved;
	e->env->nums = nums;
	return (r);
}

/* --- ${readfile --- */

/* Newlines replaced by <eol>; p NULL leaves them. */
static struct sv
change_eol(struct xev *e, struct sv v, struct sv eol)
{
	struct xb b;

	if (eol.p == NULL || v.len == 0)
		return (v);
	xb_init(&b, e->env->arena, v.len + 32);
	b.tainted = v.tainted;
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] == '\n')
			xb_add(&b, eol);
		else
			xb_addc(&b, v.p[i]);
	return (xb_sv(&b));
}

X_FN(xi_readfile)
{
	const struct exim_world *w = e->env->world;
	struct stat st;

	if (!x_path_ok(e, arg[0], "file name for ${readfile"))
		return (EXIM_FAIL);
	if (w->readfile == NULL)
		return (x_fail(e, "files cannot be read here"));
	if (w->readfile(w->arg, x_cstr(e, arg[0]), FILE_MAX, e->env->arena, out, &st) == -1) {
		if (errno == EISDIR) {
			*out = SV_LIT("");
			return (EXIM_OK);
		}
		return (x_fail(e, "failed to open " SV_FMT ": %s", SV_ARG(arg[0]), x_open_error(e)));
	}
	*out = change_eol(e, *out, n == 2 ? arg[1] : SV_NULL);
	return (EXIM_OK);
}

/* --- ${readsocket --- */

X_PARSE(xip_readsocket)
{
	struct xitem *it = arena_zalloc(ps->a, sizeof(*it));

	it->row = row;
	it->arg = arena_zalloc(ps->a, 5 * sizeof(*it->arg));
	n->eval = row->eval;
	n->u.item = it;
	if (xp_args(ps, 2, 4, false, row->name, it->arg, &it->narg) != 0)
		return (false);
	if (xp_skip(ps) == '{') {
		ps->p++;
		if (!xp_seq(ps, true, true, &it->arg[4]))
			return (false);
		ps->p++;
		it->narg = 5;
	}
	if (xp_skip(ps) != '}')
		return (xp_curly(ps, "missing '}' closing readsocket"));
	ps->p++;
	return (true);
}

static enum exim_result
socket_options(struct xev *e, struct sv opts, struct exim_socket *s)
{
	struct sv item;
	bool first = true;
	int sep = 0;

	while (exim_list_next(&opts, &sep, e->env->arena, &item)) {
		if (first) {
			if (item.len > 0 && !num_parse_time(item, &s->timeout) && sv_isdigit(item.p[0]))
				return (x_fail(e, "bad time value " SV_FMT, SV_ARG(item)));
			first = false;
		} else if (sv_eqs(item, "shutdown=no"))
			s->shutdown = false;
		else if (sv_eqs(item, "send=no"))
			s->request = SV_LIT("");
		else if (sv_eqs(item, "tls=yes")) {
			s->tls = true;
			s->shutdown = false;
		} else if (sv_starts(item, "sni="))
			s->sni = sv_sub(item, 4, item.len);
	}
	return (EXIM_OK);
}

X_EVAL(xi_readsocket)
{
	const struct exim_world *w = e->env->world;
	const struct xitem *it = n->u.item;
	struct exim_socket s = { .timeout = 5, .shutdown = true, .max = FILE_MAX };
	struct sv arg[4] = { SV_NULL, SV_NULL, SV_NULL, SV_NULL };
	enum exim_result r;

	if ((e->env->forbid & EXIM_NO_READSOCKET) != 0)
		return (x_fail(e, "socket insertions are not permitted"));
	for (unsigned i = 0; i < it->narg && i < 4; i++)
		if ((r = x_seq(e, &it->arg[i], &arg[i])) != EXIM_OK)
			return (r);
	s.where = arg[0];
	s.request = arg[1];
	if (arg[2].len > 0 && (r = socket_options(e, arg[2], &s)) != EXIM_OK)
		return (r);
	if (s.where.tainted && !x_path_ok(e, s.where, "socket name for ${readsocket"))
		return (EXIM_FAIL);
	if (w->readsocket == NULL)
		return (x_fail(e, "sockets cannot be used here"));
	r = w->readsocket(w->arg, &s, e->env->arena, out, e->err);
	if (r != EXIM_OK)
		return (it->narg == 5 ? x_seq(e, &it->arg[4], out) : EXIM_FAIL);
	*out = change_eol(e, *out, arg[3].len > 0 ? arg[3] : SV_NULL);
	return (EXIM_OK);
}

/* --- ${run --- */

struct run_arg {
	struct exim_str	*str;
	struct sv	 text;
};
struct run_args {
	struct run_arg	*v;
	size_t		 n;
};

#define RUN_ARGS	64
#define RUN_TIMEOUT	60

/* The next argument: blanks part them; '...' is literal, "..." takes backslash escapes. */
static bool
next_word(struct arena *a, struct sv *v, struct sv *word)
{
	size_t i = 0;

	while (i < v->len && sv_isspace(v->p[i]))
		i++;
	*v = sv_sub(*v, i, v->len);
	if (v->len == 0)
		return (false);
	if (v->p[0] == '\'') {
		ptrdiff_t end = sv_chr(sv_sub(*v, 1, v->len), '\'');
		size_t len = end < 0 ? v->len - 1 : (size_t)end;

		*word = sv_sub(*v, 1, 1 + len);
		*v = sv_sub(*v, len + 2, v->len);
	} else if (v->p[0] == '"') {
		struct xb b;

		xb_init(&b, a, v->len);
		b.tainted = v->tainted;
		for (i = 1; i < v->len && v->p[i] != '"';)
			if (v->p[i] == '\\' && i + 1 < v->len) {
				const char *p = v->p + i + 1;

				xb_addc(&b, x_escape(&p, v->p + v->len));
				i = (size_t)(p - v->p);
			} else
				xb_addc(&b, v->p[i++]);
		*word = xb_sv(&b);
		*v = sv_sub(*v, i + 1, v->len);
	} else {
		for (i = 0; i < v->len && !sv_isspace(v->p[i]); i++)
			continue;
		*word = sv_sub(*v, 0, i);
		*v = sv_sub(*v, i, v->len);
	}
	return (true);
}

/* Split now; each argument is a string of its own that is expanded when the command runs. */
static void
compile_run(struct xparse *ps, struct xitem *it, struct sv text)
{
	struct run_args *args = arena_zalloc(ps->a, sizeof(*args));
	struct sv rest = text, word;
	const char *mistake;

	it->text = arena_sv(ps->a, text);
	args->v = arena_alloc(ps->a, RUN_ARGS * sizeof(*args->v));
	while (args->n < RUN_ARGS && next_word(ps->a, &rest, &word)) {
		args->v[args->n].text = word;
		args->v[args->n++].str = xp_compile_part(ps, word, &mistake);
		if (mistake != NULL)
			xp_soft(ps, "%s", mistake);
	}
	it->priv = args;
}

/* A mistake inside an argument is told when that is expanded: go to the command's end. */
static bool
run_end(struct xparse *ps, const char *start)
{
	unsigned depth = 0;
	const char *p;

	for (p = start; p < ps->end && (*p != '}' || depth > 0); p++)
		if (*p == '\\' && p + 1 < ps->end)
			p++;
		else if (*p == '{')
			depth++;
		else if (*p == '}')
			depth--;
	if (p >= ps->end)
		return (false);
	ps->p = p;
	ps->error = NULL;
	ps->before = NULL;
	return (true);
}

X_PARSE(xip_run)
{
	struct xitem *it = arena_zalloc(ps->a, sizeof(*it));
	const char *start;

	it->row = row;
	it->arg = arena_zalloc(ps->a, sizeof(*it->arg));
	n->eval = row->eval;
	n->u.item = it;
	while (*ps->p == ',') {
		if (strncmp(++ps->p, "preexpand", 9) != 0) {
			for (start = ps->p; *ps->p != '\0' && *ps->p != ',' && (*ps->p != '{' || ps->p == start);)
				ps->p++;
			return (xp_error(ps, "bad option '" SV_FMT "' for run",
			    SV_ARG(sv_from(start, (size_t)(ps->p - start)))));
		}
		ps->p += 9;
		it->variant = 1;
	}
	if (xp_skip(ps) != '{')
		return (xp_curly(ps, "missing '{' for command arg of run"));
	start = ++ps->p;
	if (!xp_seq(ps, true, true, &it->arg[0]) && (it->variant == 1 || !run_end(ps, start)))
		return (false);
	if (it->variant == 0)
		compile_run(ps, it, sv_from(start, (size_t)(ps->p - start)));
	ps->p++;
	return (xp_yesno(ps, "run", &it->yn));
}

static enum exim_result
run_argv(struct xev *e, const struct xitem *it, const char **argv)
{
	const struct run_args *args = it->priv;
	struct sv v, word;
	enum exim_result r;
	size_t n = 0;

	if (it->variant == 1) {
		if ((r = x_seq(e, &it->arg[0], &v)) != EXIM_OK)
			return (r);
		if (v.tainted && !x_path_ok(e, v, "command for ${run,preexpand"))
			return (EXIM_FAIL);
		while (n < RUN_ARGS && next_word(e->env->arena, &v, &word))
			argv[n++] = x_cstr(e, word);
		argv[n] = NULL;
		return (EXIM_OK);
	}
	for (; n < args->n; n++) {
		r = x_str(e, args->v[n].str, &v);
		if (r == EXIM_FAIL && e->err != NULL) {
			const char *why = x_message(e);

			return (x_fail(e, "Expansion of \"" SV_FMT "\" from command \"" SV_FMT "\" in ${run} expansion failed: %s",
			    SV_ARG(args->v[n].text), SV_ARG(it->text), why));
		}
		if (r != EXIM_OK)
			return (r);
		if (n == 0 && v.tainted && !x_path_ok(e, v, "command for ${run"))
			return (EXIM_FAIL);
		argv[n] = x_cstr(e, v);
	}
	argv[n] = NULL;
	return (EXIM_OK);
}

X_EVAL(xi_run)
{
	const struct exim_world *w = e->env->world;
	const struct xitem *it = n->u.item;
	const char *argv[RUN_ARGS + 1];
	struct exim_run run = { .argv = argv, .timeout = RUN_TIMEOUT, .max = FILE_MAX, .merge_stderr = true };
	struct sv output = SV_NULL;
	enum exim_result r;
	int rc = 127;

	if ((e->env->forbid & EXIM_NO_RUN) != 0)
		return (x_fail(e, "running a command is not permitted"));
	if ((r = run_argv(e, it, argv)) != EXIM_OK)
		return (r);
	if (w->run == NULL)
		return (x_fail(e, "programs cannot be run here"));
	if (argv[0] != NULL) {
		r = w->run(w->arg, &run, e->env->arena, &output, &rc, e->err);
		if (r != EXIM_OK)
			return (r == EXIM_DEFER ? x_fail(e, "command timed out") : r);
		if (rc < 0)
			return (x_fail(e, "command killed by signal %d", -rc));
	}
	e->env->runrc = rc;
	/* It stays $value for what comes behind the item. */
	e->env->value = output.p == NULL ? SV_LIT("") : output;
	return (x_yesno(e, &it->yn, rc == 0, e->env->value, "run", out));
}

/* --- ${env --- */

X_PARSE(xip_env)
{
	struct xitem *it = arena_zalloc(ps->a, sizeof(*it));

	it->row = row;
	it->arg = arena_zalloc(ps->a, sizeof(*it->arg));
	n->eval = row->eval;
	n->u.item = it;
	if (xp_skip(ps) != '{')
		return (xp_error(ps, "%s", ""));
	ps->p++;
	if (!xp_seq(ps, true, true, &it->arg[0]))
		return (false);
	ps->p++;
	return (xp_yesno(ps, "env", &it->yn));
}

X_EVAL(xi_env)
{
	const struct exim_world *w = e->env->world;
	const struct xitem *it = n->u.item;
	struct sv key, saved = e->env->value;
	const char *v = NULL;
	enum exim_result r;

	if ((r = x_seq(e, &it->arg[0], &key)) != EXIM_OK)
		return (r);
	key = sv_trim(key);
	if (key.len > 0 && sv_chr(key, '=') < 0 && w->getenv != NULL)
		v = w->getenv(w->arg, x_cstr(e, key));
	e->env->value = sv_cstr(v);
	r = x_yesno(e, &it->yn, v != NULL, saved, "env", out);
	e->env->value = saved;
	return (r);
}

/* --- ${acl, ${perl, ${dlfunc, ${authresults --- */

X_FN(xi_acl)
{
	enum exim_result r;

	*out = SV_NULL;
	if (e->env->world->acl == NULL)
		return (x_fail(e, "ACLs cannot be run here"));
	r = e->env->world->acl(e->env, arg[0], arg + 1, n - 1, out, e->err);
	if (r == EXIM_DEFER)
		return (x_forced(e, "DEFER from acl \"" SV_FMT "\"", SV_ARG(arg[0])));
	return (r == EXIM_FORCED ? EXIM_OK : r);
}

X_FN(xi_perl)
{
	const struct exim_conf *c = e->env->conf;
	struct sv text = SV_LIT("");
	enum exim_result r;

	if (e->env->world->perl == NULL || c == NULL || exim_main_text(c, EXIM_MAIN_perl_startup).len == 0)
		return (x_fail(e, "A setting of perl_startup is needed when using the Perl interpreter"));
	r = e->env->world->perl(e->env, arg[0], arg + 1, n - 1, &text);
	switch (r) {
	case EXIM_OK:
		*out = text;
		return (r);
	case EXIM_FORCED:
		return (x_forced(e, SV_FMT, SV_ARG(text)));
	case EXIM_DEFER:
		return (x_defer(e, SV_FMT, SV_ARG(text)));
	default:
		return (x_fail(e, SV_FMT, SV_ARG(text)));
	}
}

X_FN(xi_dlfunc)
{
	const struct exim_world *w = e->env->world;
	struct sv text = SV_LIT("");
	enum exim_result r;

	if (!x_path_ok(e, arg[0], "object name for ${dlfunc"))
		return (EXIM_FAIL);
	if (w->dlfunc == NULL)
		return (x_fail(e, "dlopen \"" SV_FMT "\" failed: nothing is loaded here", SV_ARG(arg[0])));
	r = w->dlfunc(e->env, x_cstr(e, arg[0]), x_cstr(e, arg[1]), arg + 2, n - 2, &text);
	if (r == EXIM_FORCED)
		return (x_forced(e, SV_FMT, SV_ARG(text)));
	if (r != EXIM_OK)
		return (x_fail(e, SV_FMT, SV_ARG(text)));
	*out = text;
	return (EXIM_OK);
}

/* What is known of the client: its name in the DNS, and whom it logged in as (RFC 8601 section 2.7). */
static void
add_client_results(struct xb *b, const struct exim_session *s)
{
	bool tried = s->host_name.len > 0 || s->host_lookup == EXIM_HOST_FAILED || s->host_lookup == EXIM_HOST_DEFERRED;

	if (tried)
		xb_adds(b, ";\n\tiprev=");
	if (s->host_name.len > 0) {
		xb_adds(b, "pass (");
		xb_add(b, s->host_name);
		xb_adds(b, ")");
	} else if (tried)
		xb_adds(b, s->host_lookup == EXIM_HOST_FAILED ? "fail" : "temperror");
	if (tried && s->host_address.len > 0) {
		xb_adds(b, " smtp.remote-ip=");
		xb_add(b, s->host_address);
	}
	if (s->auth_mechanism.len == 0)
		return;
	xb_adds(b, ";\n\tauth=pass (");
	xb_add(b, s->auth_public.len > 0 ? s->auth_public : s->auth_mechanism);
	xb_adds(b, ")");
	if (s->authenticated_id.len > 0) {
		xb_adds(b, " smtp.auth=");
		xb_add(b, s->authenticated_id);
	}
	if (s->authenticated_sender.len > 0) {
		xb_adds(b, " smtp.mailfrom=");
		xb_add(b, s->authenticated_sender);
	}
}

X_FN(xi_authresults)
{
	struct xb b;

	xb_init(&b, e->env->arena, 128);
	xb_adds(&b, "Authentication-Results: ");
	xb_add(&b, arg[0]);
	if (e->env->session != NULL)
		add_client_results(&b, e->env->session);
	if (e->env->acl != NULL)
		xb_add(&b, e->env->acl->authresults);
	*out = xb_sv(&b);
	return (EXIM_OK);
}

/* --- ${certextract --- */

/* "$name}": what stands up to the brace is a name; a wrong one is told by evaluation. */
static bool
cert_variable(struct xparse *ps, struct xitem *it, const char **mistake)
{
	struct xnode *v = arena_zalloc(ps->a, sizeof(*v));
	const char *start = ps->p;
	struct sv name;

	*mistake = NULL;
	if (*ps->p != '$')
		return (xp_error(ps, "second argument of \"certextract\" must be a certificate variable"));
	while (ps->p < ps->end && *ps->p != '}')
		ps->p++;
	name = sv_from(start + 1, (size_t)(ps->p - start - 1));
	if (ps->p >= ps->end)
		return (xp_error(ps, "missing } at end of string"));
	ps->p++;
	it->arg[1].v = v;
	it->arg[1].n = 1;
	if (!xp_var(ps, name, v))
		*mistake = arena_fmt(ps->a, "no variable named \"" SV_FMT "\"", SV_ARG(name));
	else if (!x_seq_is_cert(&it->arg[1]))
		return (xp_error(ps, "second argument of \"certextract\" must be a certificate variable"));
	return (true);
}

X_PARSE(xip_certextract)
{
	struct xitem *it = arena_zalloc(ps->a, sizeof(*it));
	const char *mistake;

	it->row = row;
	it->arg = arena_zalloc(ps->a, 2 * sizeof(*it->arg));
	n->eval = row->eval;
	n->u.item = it;
	if (xp_skip(ps) != '{')
		return (xp_curly(ps, "missing '{' for field arg of certextract"));
	ps->p++;
	if (!xp_seq(ps, true, true, &it->arg[0]))
		return (false);
	ps->p++;
	it->narg = 1;
	if (xp_skip(ps) != '{')
		return (xp_curly(ps, "missing '{' for cert variable arg of certextract"));
	ps->p++;
	if (!cert_variable(ps, it, &mistake))
		return (false);
	if (!xp_yesno(ps, "certextract", &it->yn))
		return (false);
	if (mistake != NULL) {
		xp_soft(ps, "%s", mistake);
		ps->error = mistake;
		xp_before(ps, it->arg, 1);
		xp_mistake(ps, n);
	}
	return (true);
}

X_EVAL(xi_certextract)
{
	const struct exim_world *w = e->env->world;
	const struct xitem *it = n->u.item;
	struct sv field, value = SV_NULL, saved = e->env->value;
	enum exim_result r;
	void *cert;

	if ((r = x_seq(e, &it->arg[0], &field)) != EXIM_OK)
		return (r);
	cert = x_var_cert(e, &it->arg[1]);
	if (cert != NULL) {
		r = w->certextract != NULL ? w->certextract(w->arg, cert, field, e->env->arena, &value, e->err) :
		    x_cert_field(e, cert, field, &value);
		if (r != EXIM_OK)
			return (r);
	}
	e->env->value = value;
	r = x_yesno(e, &it->yn, value.p != NULL, saved, "certextract", out);
	e->env->value = saved;
	return (r);
}
