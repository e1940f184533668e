/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Evaluation of compiled strings, and what all items share: sequences, "yes" and
 * "no" parts, errors, numbers, strings that grow in the arena.  A sequence of one node gives
 * that node's own slice: nothing is copied.
 */
#include "exim/acl.h"
#include "exim/expand_int.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/time.h"

/* Pieces of a sequence that are gathered on the stack; longer ones use the arena. */
#define PIECES	8
#define TICKS	16		/* sequences between two looks at the clock */
#define WORK_LOOK	4096
#define WORK_TURN	(1024 * 1024)	/* some milliseconds; then others have their turn */

static enum exim_result
set_error(struct xev *e, enum exim_result r, enum err_class cls, const char *status, const char *fmt, va_list ap)
{
	char buf[ERR_TEXT_MAX];

	if (e->err == NULL)
		return (r);
	(void)vsnprintf(buf, sizeof(buf), fmt, ap);
	e->env->message = sv_cstr(arena_str(e->env->arena, buf));
	(void)err_set(e->err, cls, status, "%s", buf);
	return (r);
}

const char *
x_open_error(struct xev *e)
{
	return (errno != EACCES ? strerror(errno) : arena_fmt(e->env->arena, "%s (euid=%ld egid=%ld)", strerror(EACCES),
	    (long)geteuid(), (long)getegid()));
}

enum exim_result
x_fail(struct xev *e, const char *fmt, ...)
{
	enum exim_result r;
	va_list ap;

	va_start(ap, fmt);
	r = set_error(e, EXIM_FAIL, ERR_CONFIG, "4.3.5", fmt, ap);
	va_end(ap);
	return (r);
}

enum exim_result
x_forced(struct xev *e, const char *fmt, ...)
{
	enum exim_result r;
	va_list ap;

	va_start(ap, fmt);
	r = set_error(e, EXIM_FORCED, ERR_PERM, NULL, fmt, ap);
	va_end(ap);
	return (r);
}

enum exim_result
x_defer(struct xev *e, const char *fmt, ...)
{
	enum exim_result r;
	va_list ap;

	va_start(ap, fmt);
	r = set_error(e, EXIM_DEFER, ERR_TEMP, "4.3.0", fmt, ap);
	va_end(ap);
	return (r);
}

enum exim_result
x_lit(struct xev *e, const struct xnode *n, struct sv *out)
{
	*out = n->u.lit;
	return (EXIM_OK);
}

enum exim_result
x_mistake(struct xev *e, const struct xnode *n, struct sv *out)
{
	for (const struct xbefore *b = n->u.mistake.before; b != NULL; b = b->next) {
		enum exim_result r = EXIM_OK;
		bool yes = b->wanted;
		struct sv v = SV_NULL;
		int64_t num;

		if (b->cond != NULL)
			r = x_cond(e, b->cond, &yes);
		else
			r = x_seq(e, &b->seq, &v);
		if (r == EXIM_OK && b->number && !x_integer(e, v, &num))
			r = EXIM_FAIL;
		if (r != EXIM_OK)
			return (b->behind == NULL ? r : x_behind(e, r, "%s", b->behind));
		if (yes != b->wanted)
			break;
	}
	return (x_fail(e, SV_FMT, SV_ARG(n->u.mistake.text)));
}

static enum exim_result
join(struct xev *e, const struct sv *piece, unsigned n, struct sv *out)
{
	unsigned char tainted = 0;
	size_t len = 0;
	char *p;

	for (unsigned i = 0; i < n; i++) {
		len += piece[i].len;
		tainted |= piece[i].len > 0 ? piece[i].tainted : 0;
	}
	if (len > EXIM_EXPAND_MAX)
		return (x_fail(e, "the expanded string would be longer than %d bytes", EXIM_EXPAND_MAX));
	p = arena_alloc(e->env->arena, len + 1);
	out->p = p;
	for (unsigned i = 0; i < n; i++) {
		if (piece[i].len > 0)
			memcpy(p, piece[i].p, piece[i].len);
		p += piece[i].len;
	}
	*p = '\0';
	out->len = len;
	out->tainted = tainted;
	return (EXIM_OK);
}

/* The clock is a system call; a sequence usually is cheaper. */
static bool
is_over_time(struct xev *e)
{
	return (++e->env->ticks % TICKS == 0 && os_thread_us() > e->env->cpu_until);
}

bool
x_work(struct xev *e, uint64_t n)
{
	struct exim_env *env = e->env;
	uint64_t before = env->work;

	env->work += n;
	/* A look at each 4 KiB is enough. */
	if ((before ^ env->work) < WORK_LOOK)
		return (true);
	if ((before ^ env->work) >= WORK_TURN && env->world->yield != NULL)
		env->world->yield(env->world->arg);
	return (env->depth == 0 || (env->work <= X_WORK_MAX && arena_used(env->arena) <= env->memory + X_MEMORY_MAX));
}

enum exim_result
x_seq(struct xev *e, const struct xseq *s, struct sv *out)
{
	struct sv buf[PIECES], *piece = buf;
	enum exim_result r;
	unsigned i;

	if (s->n == 0) {
		*out = SV_LIT("");
		return (EXIM_OK);
	}
	if (e->env->cpu_until != 0 && is_over_time(e))
		return (x_fail(e, "expansions of this file take too much time"));
	if (e->env->depth >= X_DEPTH)
		return (x_fail(e, "expansions are nested more than %d deep", X_DEPTH));
	e->env->depth++;
	if (s->n == 1)
		r = s->v[0].eval(e, &s->v[0], out);
	else {
		if (s->n > PIECES)
			piece = arena_alloc(e->env->arena, s->n * sizeof(*piece));
		for (i = 0, r = EXIM_OK; i < s->n && r == EXIM_OK; i++)
			r = s->v[i].eval(e, &s->v[i], &piece[i]);
		if (r == EXIM_OK)
			r = join(e, piece, s->n, out);
	}
	/* Loops in loops over what a peer sent multiply. */
	if (r == EXIM_OK && !x_work(e, X_WORK_STEP + out->len))
		r = x_fail(e, "the expansion is too much work");
	e->env->depth--;
	return (r);
}

enum exim_result
x_str(struct xev *e, const struct exim_str *s, struct sv *out)
{
	if (s == NULL)
		*out = SV_LIT("");
	else if (s->literal)
		*out = s->value;
	else
		return (x_seq(e, &s->seq, out));
	return (EXIM_OK);
}

enum exim_result
x_text(struct xev *e, struct sv text, struct sv *out)
{
	struct xcached *c;
	enum exim_result r;

	if (sv_chr(text, '$') < 0 && sv_chr(text, '\\') < 0) {
		*out = text;
		return (EXIM_OK);
	}
	if (text.tainted && (e->env->g == NULL || !e->env->g->taint_off))
		return (x_fail(e, "attempt to expand tainted string '" SV_FMT "'", SV_ARG(text)));
	c = x_cache_str(e, text);
	r = x_str(e, c->str, out);
	/* A literal's text belongs to what is cached. */
	if (r == EXIM_OK && e->env->caches != NULL)
		*out = arena_sv(e->env->arena, *out);
	x_cache_put(c);
	return (r);
}

enum exim_result
x_yesno(struct xev *e, const struct xyn *yn, bool yes, struct sv saved, const char *type, struct sv *out)
{
	struct sv value = e->env->value;
	bool is_if = type[0] == 'i';
	enum exim_result r = EXIM_OK;

	*out = SV_LIT("");
	if (yn->form == XYN_NONE) {
		if (is_if) {
			if (yes)
				*out = SV_LIT("true");
		} else if (yes && value.p != NULL)
			*out = value;
		e->env->value = is_if ? e->env->value : saved;
		return (EXIM_OK);
	}
	if (yes)
		r = x_seq(e, &yn->yes, out);
	e->env->value = saved;
	if (!yes && yn->form == XYN_BOTH)
		r = x_seq(e, &yn->no, out);
	else if (!yes && yn->form == XYN_FAIL)
		r = x_forced(e, "\"%s\" failed and \"fail\" requested", type);
	return (r);
}

struct sv
x_int(struct xev *e, int64_t n)
{
	char buf[24], *p = buf + sizeof(buf);
	uint64_t u = n < 0 ? (uint64_t)0 - (uint64_t)n : (uint64_t)n;

	if (u < 10 && n >= 0) {
		static const char digits[] = "0\0001\0002\0003\0004\0005\0006\0007\0008\0009";

		return (sv_from(digits + 2 * u, 1));
	}
	do
		*--p = (char)('0' + u % 10);
	while ((u /= 10) != 0);
	if (n < 0)
		*--p = '-';
	return (sv_from(arena_cstr(e->env->arena, sv_from(p, (size_t)(buf + sizeof(buf) - p))),
	    (size_t)(buf + sizeof(buf) - p)));
}

const char *
x_cstr(struct xev *e, struct sv v)
{
	return (arena_cstr(e->env->arena, v));
}

int64_t
x_now(struct xev *e, int64_t *usec)
{
	if (usec != NULL)
		*usec = 0;
	return (e->env->world->now == NULL ? 0 : e->env->world->now(e->env->world->arg, usec));
}

bool
x_path_ok(struct xev *e, struct sv path, const char *what)
{
	if (!path.tainted || (e->env->g != NULL && e->env->g->taint_off))
		return (true);
	(void)x_fail(e, "Tainted name '" SV_FMT "' (%s) not permitted", SV_ARG(path), what);
	return (false);
}

void
x_log(struct xev *e, unsigned logs, const char *text)
{
	exim_env_log(e->env, logs, sv_cstr(text));
}

/* --- numbers --- */

static bool
unit(char c, int64_t *mul)
{
	switch (sv_lower(c)) {
	case 'k': *mul = 1024; return (true);
	case 'm': *mul = 1024 * 1024; return (true);
	case 'g': *mul = 1024 * 1024 * 1024; return (true);
	default: return (false);
	}
}

/* Manual 11.7: optionally signed decimal digits, K M G; blanks at both ends; the empty string is zero. */
bool
x_integer(struct xev *e, struct sv v, int64_t *out)
{
	struct sv t = v;
	bool neg = false, over = false;
	uint64_t n = 0;
	int64_t mul = 1;
	size_t i = 0;

	*out = 0;
	if (v.len == 0)
		return (true);
	t = sv_trim(v);
	if (t.len > 0)
		v = sv_sub(v, (size_t)(t.p - v.p), v.len);	/* messages show it so */
	if (i < t.len && (t.p[i] == '-' || t.p[i] == '+'))
		neg = t.p[i++] == '-';
	if (i >= t.len || !sv_isdigit(t.p[i])) {
		if (t.len == 0)
			return (true);
		(void)x_fail(e, "integer expected but \"" SV_FMT "\" found", SV_ARG(v));
		return (false);
	}
	for (; i < t.len && sv_isdigit(t.p[i]); i++)
		over |= __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(t.p[i] - '0'), &n);
	if (!over && i < t.len && unit(t.p[i], &mul)) {
		over |= __builtin_mul_overflow(n, (uint64_t)mul, &n);
		i++;
	}
	if (over || n > (uint64_t)INT64_MAX + neg) {
		(void)x_fail(e, "absolute value of integer \"" SV_FMT "\" is too large (overflow)", SV_ARG(v));
		return (false);
	}
	if (i != t.len) {
		(void)x_fail(e, "invalid integer \"" SV_FMT "\"", SV_ARG(v));
		return (false);
	}
	*out = neg ? (int64_t)(0 - n) : (int64_t)n;
	return (true);
}

int
exim_bool_text(struct sv v)
{
	v = sv_trim(v);
	if (v.len == 0 || sv_eqs(v, "0") || sv_caseeqs(v, "no") || sv_caseeqs(v, "false"))
		return (0);
	if (sv_eqs(v, "1") || sv_caseeqs(v, "yes") || sv_caseeqs(v, "true"))
		return (1);
	return (-1);
}

/* --- strings that grow --- */

void
xb_init(struct xb *b, struct arena *a, size_t room)
{
	memset(b, 0, sizeof(*b));
	b->a = a;
	b->cap = room < 32 ? 32 : room;
	b->p = arena_alloc(a, b->cap);
}

static bool
xb_room(struct xb *b, size_t n)
{
	size_t cap = b->cap;
	char *p;

	if (b->len + n < cap)
		return (true);
	if (b->over || n > EXIM_EXPAND_MAX || b->len + n > EXIM_EXPAND_MAX) {
		b->over = true;
		return (false);
	}
	while (cap <= b->len + n)
		cap *= 2;
	p = arena_alloc(b->a, cap);
	memcpy(p, b->p, b->len);
	b->p = p;
	b->cap = cap;
	return (true);
}

void
xb_add(struct xb *b, struct sv v)
{
	if (v.len == 0 || !xb_room(b, v.len))
		return;
	memcpy(b->p + b->len, v.p, v.len);
	b->len += v.len;
	b->tainted |= v.tainted;
}

void
xb_adds(struct xb *b, const char *s)
{
	xb_add(b, sv_cstr(s));
}

void
xb_addc(struct xb *b, char c)
{
	if (xb_room(b, 1))
		b->p[b->len++] = c;
}

void
xb_fmt(struct xb *b, const char *fmt, ...)
{
	char buf[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	xb_adds(b, buf);
}

struct sv
xb_sv(const struct xb *b)
{
	b->p[b->len] = '\0';
	return ((struct sv){ b->p, b->len, b->tainted });
}

void
xb_item(struct xb *b, struct sv item, char sep, bool *first)
{
	if (!*first) {
		xb_addc(b, sep);
		if (item.len == 0 || item.p[0] == sep)
			xb_addc(b, ' ');
	}
	*first = false;
	b->tainted |= item.len > 0 ? item.tainted : 0;
	for (size_t i = 0; i < item.len; i++) {
		xb_addc(b, item.p[i]);
		if (item.p[i] == sep)
			xb_addc(b, sep);
	}
}

/* --- the public entries --- */

/* A text of an earlier mistake may point into an arena that was reset since. */
void
x_begin(struct exim_env *env)
{
	if (env->depth > 0)
		return;
	env->message = SV_NULL;
	env->work = 0;
	env->memory = arena_used(env->arena);
}

enum exim_result
exim_expand(const struct exim_str *s, struct exim_env *env, struct sv *out, struct err *err)
{
	struct xev e = { .env = env, .err = err };

	x_begin(env);
	return (x_str(&e, s, out));
}

enum exim_result
exim_expand_cstr(const struct exim_str *s, struct exim_env *env, char **out, struct err *err)
{
	enum exim_result r;
	struct sv v;

	*out = NULL;
	r = exim_expand(s, env, &v, err);
	if (r == EXIM_OK)
		*out = arena_cstr(env->arena, v);
	return (r);
}

enum exim_result
exim_expand_text(struct sv text, struct exim_env *env, struct sv *out, struct err *err)
{
	struct xev e = { .env = env, .err = err };

	x_begin(env);
	return (x_text(&e, text, out));
}

enum exim_result
exim_expand_bool(const struct exim_str *s, struct exim_env *env, bool strict, bool *out, struct err *err)
{
	struct xev e = { .env = env, .err = err };
	enum exim_result r;
	struct sv v;
	int64_t n;
	int b;

	*out = false;
	x_begin(env);
	r = x_str(&e, s, &v);
	if (r != EXIM_OK)
		return (r);
	b = exim_bool_text(v);
	if (b >= 0) {
		*out = b == 1;
		return (EXIM_OK);
	}
	if (!strict) {
		*out = true;
		return (EXIM_OK);
	}
	v = sv_trim(v);
	if (sv_isdigit(v.p[0]) || (v.len > 1 && v.p[0] == '-' && sv_isdigit(v.p[1]))) {
		struct xev quiet = { .env = env, .err = NULL };

		if (x_integer(&quiet, v, &n)) {
			*out = n != 0;
			return (EXIM_OK);
		}
	}
	return (x_fail(&e, "\"" SV_FMT "\" is not a valid value for a boolean", SV_ARG(v)));
}

/* "0x1f", "017". */
static bool
based_integer(struct sv v, int64_t *out)
{
	bool is_hex = v.p[1] == 'x' || v.p[1] == 'X';
	int64_t n = 0;

	for (size_t i = is_hex ? 2 : 1; i < v.len; i++) {
		char c = sv_lower(v.p[i]);
		int d = sv_isdigit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;

		if (d >= (is_hex ? 16 : 8) || n > INT64_MAX / 16 - 16)
			return (false);
		n = n * (is_hex ? 16 : 8) + d;
	}
	*out = n;
	return (v.len > (is_hex ? 2 : 1));
}

/* Unlike in conditions, nothing at all is no number; blanks are zero.  Options also take hexadecimal and octal, as in the file. */
static bool
option_integer(struct xev *e, struct sv v, int64_t *out)
{
	if (v.len == 0) {
		(void)x_fail(e, "integer expected but \"\" found");
		return (false);
	}
	v = sv_trim(v);
	return ((v.len > 1 && v.p[0] == '0' && based_integer(v, out)) || x_integer(e, v, out));
}

bool
exim_text_int(struct sv text, struct exim_env *env, int64_t *out, struct err *err)
{
	struct xev e = { .env = env, .err = err };

	*out = 0;
	x_begin(env);
	return (option_integer(&e, text, out));
}

enum exim_result
exim_expand_int(const struct exim_str *s, struct exim_env *env, int64_t *out, struct err *err)
{
	struct xev e = { .env = env, .err = err };
	enum exim_result r;
	struct sv v;

	*out = 0;
	x_begin(env);
	r = x_str(&e, s, &v);
	if (r != EXIM_OK)
		return (r);
	return (option_integer(&e, v, out) ? EXIM_OK : EXIM_FAIL);
}

/* --- sendmail -be --- */

const char *
x_message(struct xev *e)
{
	struct sv m = e->env->message;

	if (e->err == NULL)
		return ("");
	/* Others fill *<err> as well: then it is the newer. */
	for (size_t i = 0; i < m.len; i++)
		if (e->err->text[i] != m.p[i] && !(e->err->text[i] == ' ' && ((unsigned char)m.p[i] < 32 || m.p[i] == 127)))
			return (arena_str(e->env->arena, e->err->text));
	return (m.len > 0 && e->err->text[m.len] == '\0' ? m.p : arena_str(e->env->arena, e->err->text));
}

enum exim_result
x_behind(struct xev *e, enum exim_result r, const char *fmt, ...)
{
	struct xb b;
	va_list ap;
	char buf[200];

	if (e->err == NULL || strcmp(e->err->status, EXIM_STATUS_DIE) == 0)
		return (r);
	va_start(ap, fmt);
	(void)vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	xb_init(&b, e->env->arena, 128);
	xb_adds(&b, x_message(e));
	xb_adds(&b, buf);
	if (r == EXIM_FORCED)
		return (x_forced(e, "%s", xb_sv(&b).p));
	return (r == EXIM_DEFER ? x_defer(e, "%s", xb_sv(&b).p) : x_fail(e, "%s", xb_sv(&b).p));
}

int
exim_be_line(struct exim_env *env, struct sv line, FILE *out, struct err *err)
{
	struct exim_str *s;
	struct xev e = { .env = env, .err = err };
	const char *mistake;
	struct sv v;

	err_clear(err);
	s = xp_compile(env->arena, line, NULL, 0, true, &mistake);
	if (exim_expand(s, env, &v, err) == EXIM_OK) {
		if (v.len > 0) {
			const char *nul = memchr(v.p, '\0', v.len);

			(void)fwrite(v.p, 1, nul == NULL ? v.len : (size_t)(nul - v.p), out);
		}
		(void)fputc('\n', out);
	} else if (strcmp(err->status, EXIM_STATUS_DIE) == 0)
		return (-1);
	else
		(void)fprintf(out, "Failed: %s\n", x_message(&e));
	return (0);
}

/* The next line, continued ones joined; false at the end. */
static bool
be_read(FILE *in, char **buf, size_t *cap, struct sb *line)
{
	bool some = false;
	ssize_t n;

	sb_clear(line);
	while ((n = getline(buf, cap, in)) >= 0) {
		struct sv piece = sv_from(*buf, (size_t)n);

		some = true;
		while (piece.len > 0 && sv_isspace(piece.p[piece.len - 1]))
			piece.len--;
		/* Leading blanks of a continued line go, as in the configuration file. */
		while (line->len > 0 && piece.len > 0 && sv_isspace(piece.p[0]))
			piece = sv_sub(piece, 1, piece.len);
		if (piece.len == 0 || piece.p[piece.len - 1] != '\\') {
			sb_add(line, piece);
			return (true);
		}
		sb_add(line, sv_sub(piece, 0, piece.len - 1));
	}
	return (some);
}

int
exim_be(struct exim_env *env, FILE *in, FILE *out, bool prompt, struct err *err)
{
	struct sb line = SB_INIT(EXIM_EXPAND_MAX);
	char *buf = NULL;
	size_t cap = 0;
	int rc = 0;

	for (;;) {
		if (prompt)
			(void)fputs("> ", out);
		if (!be_read(in, &buf, &cap, &line))
			break;
		rc = exim_be_line(env, sb_sv(&line), out, err);
		if (rc == -1)
			break;
		arena_reset(env->arena);
		exim_env_forget(env);
	}
	if (prompt)
		(void)fputc('\n', out);
	free(buf);
	sb_free(&line);
	return (rc);
}
