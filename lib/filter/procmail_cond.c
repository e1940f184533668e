/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conditions of recipes: expressions, programs, sizes, variables, their inversion and expansion, and
 * weighted scoring (procmailsc(5)).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "filter/procmail_int.h"

#define PLUS_INFINITY	2147483647.0
#define MINUS_INFINITY	(-2147483647.0)

/* One condition while it is looked at. */
struct test {
	struct pm	*pm;
	struct pm_cond	*c;
	const bool	*flag;
	char		*text;		/* what is left of it; heap */
	struct sv	 area;		/* what is searched or measured */
	char		*own;		/* copy of a variable that <area> is in */
	size_t		 measure;	/* for < and > */
	bool		 measured;	/* it is not that of the message */
	bool		 negate;
	bool		 scored;	/* it has a weight */
	double		 weight, power;
	bool		 holds;
	bool		 quiet;		/* nothing is logged of it */
	bool		 infinite;	/* the score was set at once */
};

static void
set_text(struct test *t, const char *s)
{
	char *copy = xstrdup(s);

	free(t->text);
	t->text = copy;
}

/* --- expressions ----------------------------------------------------------------- */

/* The words of <expr> replaced; <guarded>: a "\" was in front of it, which means the first byte. */
static bool
put_words(const char *expr, bool guarded, struct sb *out)
{
	if (guarded && *expr == '^') {
		sb_addc(out, '^');
		expr++;
	}
	return (procmail_regex_words(sv_cstr(expr), out));
}

/* The compiled form of <expr>, kept with the condition. */
static struct procmail_regex *
compiled(struct test *t, const char *expr, bool guarded)
{
	struct pm_cond *c = t->c;
	struct sb words = SB_INIT(1 << 24);
	bool fold = !t->flag[PM_CASE];

	/* A plan's expression is the only one of its condition. */
	if (c->regex != NULL && expr == c->plan.expr && c->regex_fold == fold && !c->regex_invalid)
		return (c->regex);
	if (c->regex == NULL || c->regex_fold != fold || strcmp(c->regex_text, expr) != 0) {
		procmail_regex_free(&c->regex);
		free(c->regex_text);
		c->regex_text = xstrdup(expr);
		c->regex_fold = fold;
		fold |= put_words(expr, guarded, &words);
		if (expr == c->plan.expr)
			c->regex = pm_regex(t->pm->files, sb_sv(&words), fold, &c->regex_invalid);
		else
			c->regex = procmail_regex_new(sb_sv(&words), fold, &c->regex_invalid);
	}
	if (c->regex_invalid || t->pm->verbose != 0) {
		sb_clear(&words);
		(void)put_words(expr, guarded, &words);
		if (c->regex_invalid)
			pm_nlogq(t->pm, "Invalid regexp", sb_cstr(&words));
	}
	sb_free(&words);
	return (c->regex);
}

static void
set_match(struct pm *pm, struct sv text)
{
	char *value = xstrndup(text.p, text.len);

	pm_yell(pm, "Assigning", "MATCH=");
	pm_put_quietly(pm, "MATCH", value);
	pm_yell(pm, "Matched", value);
	free(value);
}

static bool
find_in(struct pm *pm, struct procmail_regex *re, struct sv text, size_t at, struct procmail_regex_match *m)
{
	const struct pm_mail *mail = &pm->mail;
	bool header = text.p == mail->p && text.len == mail->body && mail->indexed && mail->joined;

	if (!procmail_regex_find_lines(re, text, header ? &mail->lines : NULL, at, m))
		return (false);
	if (m->captured)
		set_match(pm, sv_sub(text, m->from, m->to));
	return (true);
}

static bool
find(struct test *t, struct procmail_regex *re, size_t at, struct procmail_regex_match *m)
{
	return (find_in(t->pm, re, t->area, at, m));
}

static double
limit_of_rest(double weight, double power)
{
	if (0 < power && power < 1)
		return (weight / (1 - power));
	if (power >= 1 && weight != 0)
		return (weight < 0 ? MINUS_INFINITY : PLUS_INFINITY);
	return (0);
}

static void
score_matches(struct test *t, struct procmail_regex *re)
{
	struct pm *pm = t->pm;
	struct procmail_regex_match m;
	double w = t->weight, square = w * w;
	ptrdiff_t at = 0;

	if (t->negate) {
		if (w != 0 && !find(t, re, 0, &m))
			pm->score += w;
		return;
	}
	while (w != 0 && pm->score > MINUS_INFINITY && pm->score < PLUS_INFINITY && at <= (ptrdiff_t)t->area.len &&
	    find(t, re, (size_t)at, &m)) {
		double before = square;

		pm->score += w;
		w *= t->power;
		/* An empty match would be found for ever. */
		if (m.end <= at) {
			pm->score += limit_of_rest(w, t->power);
			return;
		}
		square = w * w;
		if (square < before && before < 1)
			return;
		at = m.end;
	}
}

static void
match(struct test *t, const char *expr, bool guarded)
{
	struct procmail_regex_match m;
	bool hit;

	if (t->scored)
		score_matches(t, compiled(t, expr, guarded));
	else {
		hit = *expr == '\0' || find(t, compiled(t, expr, guarded), 0, &m);
		if (hit == t->negate)
			t->holds = false;
	}
}

static void
expression(struct test *t, const char *from)
{
	char *expr = xstrdup(from);
	bool guarded = from != t->text;

	pm_squeeze(expr);
	match(t, expr, guarded);
	/* What the log shows is the expression as it was used. */
	if (t->pm->verbose != 0) {
		struct sb words = SB_INIT(1 << 24);

		sb_addn(&words, t->text, (size_t)(from - t->text));
		(void)put_words(expr, guarded, &words);
		set_text(t, sb_cstr(&words));
		sb_free(&words);
	}
	free(expr);
}

/* --- programs and sizes ------------------------------------------------------------ */

static void
program(struct test *t, const char *cmd)
{
	struct pm *pm = t->pm;
	struct pm_words w = PM_WORDS_INIT;
	struct sb input = SB_INIT(SIZE_MAX / 4);
	struct pm_prog g = { .wait = true, .ignore_write = true };

	pm_command(pm, cmd, &w);
	pm->last_dump = pm_mail_dump(pm, t->area, (struct pm_dump){ .blank = true }, &input);
	g.input = sb_sv(&input);
	pm_run_program(pm, &w, &g);
	if (pm->exit_code != 0)
		pm_program_failure(pm, sb_cstr(&w.b), pm->exit_code, true);
	if (t->scored && pm->exit_code >= 0) {
		double weight = t->weight;

		if (!t->negate)
			pm->score += pm->exit_code != 0 ? t->power : weight;
		else
			for (int j = pm->exit_code; --j >= 0 && (pm->score += weight) < PLUS_INFINITY &&
			    pm->score > MINUS_INFINITY;)
				weight *= t->power;
	} else if ((pm->exit_code != 0) != t->negate)
		t->holds = false;
	if (!pm->sh)
		pm_words_join(&w);
	set_text(t, sb_cstr(&w.b));
	sb_free(&input);
	pm_words_free(&w);
}

static void
infinite(struct test *t, bool plus)
{
	t->pm->score = plus ? PLUS_INFINITY : MINUS_INFINITY;
	t->infinite = true;
	if (!plus)
		t->holds = false;
}

static void
score_size(struct test *t, bool smaller, long pivot)
{
	double size = (double)t->measure, f;

	if (smaller != t->negate) {
		if (t->measure == 0) {
			infinite(t, pivot > 0);
			return;
		}
		f = (double)pivot / size;
	} else {
		if (pivot == 0) {
			infinite(t, true);
			return;
		}
		f = size / (double)pivot;
	}
	t->pm->score += t->weight * pow(f, t->power);
}

/* A size that is not near the limit is known without the body. */
static bool
beyond(const struct test *t, long pivot)
{
	size_t max = t->pm->o->body_max, len = t->pm->mail.len;

	return (!t->scored && (pivot < 0 || len + max < (size_t)pivot || len + max / 2 > (size_t)pivot));
}

static void
compare_size(struct test *t, bool smaller, long pivot)
{
	if (!t->measured && t->pm->mail.lacks && !beyond(t, pivot))
		pm_mail_whole(t->pm);
	if (!t->measured)
		t->measure = t->pm->mail.len + (t->pm->mail.lacks ? t->pm->o->body_max / 2 : 0);
	if (t->scored)
		score_size(t, smaller, pivot);
	else if ((smaller ? (long)t->measure < pivot : (long)t->measure > pivot) == t->negate)
		t->holds = false;
}

static void
size(struct test *t)
{
	struct pm_words w = PM_WORDS_INIT;
	const char *s;
	char *end;
	long pivot;

	if (!pm_expand_text(t->pm, t->text, PM_QUOTE, &w)) {
		t->holds = false;
		pm_words_free(&w);
		return;
	}
	s = sb_cstr(&w.b);
	pivot = procmail_long(s + 1, &end);
	pm_skipped(t->pm, pm_skip_blanks(end));
	compare_size(t, *s == '<', pivot);
	set_text(t, s);
	pm_words_free(&w);
}

/* --- prefixes ------------------------------------------------------------------------ */

/* "w^x": true if it is one. */
static bool
weight(struct test *t)
{
	char *end;
	const char *s;
	double w = strtod(t->text, &end), x;

	if (end == t->text || *(s = pm_skip_blanks(end)) != '^')
		return (false);
	x = strtod(s + 1, &end);
	if (end == s + 1)
		return (false);
	if (t->pm->score >= PLUS_INFINITY) {
		t->quiet = true;
		return (true);
	}
	t->weight = w;
	t->power = x;
	t->scored = true;
	set_text(t, pm_skip_blanks(end));
	return (true);
}

static void
choose_area(struct test *t, unsigned area, const char *name)
{
	struct pm_mail *m = &t->pm->mail;

	if (area == PM_AREA_B || area == PM_AREA_HB)
		pm_mail_whole(t->pm);
	if (area == PM_AREA_B)
		t->area = sv_from(m->p + m->body, m->len - m->body);
	else if (area != PM_AREA_VAR) {
		pm_mail_join(m, true);
		t->area = sv_from(m->p, area == PM_AREA_H ? m->body : m->len);
	} else if (strcmp(name, "MATCH") == 0) {
		/* A match may replace what is searched. */
		free(t->own);
		t->own = xstrdup(pm_gets(t->pm, name));
		t->area = sv_cstr(t->own);
	} else
		t->area = sv_cstr(pm_gets(t->pm, name));
	t->measure = t->area.len;
	t->measured = true;
}

/* "NAME ??": true if it is one. */
static bool
area(struct test *t)
{
	size_t n = 0;
	const char *rest;
	char *name;

	if (!pm_alpha(t->text[0]))
		return (false);
	while (pm_alnum(t->text[n]))
		n++;
	rest = pm_skip_blanks(t->text + n);
	if (strncmp(rest, "??", 2) != 0)
		return (false);
	name = xstrndup(t->text, n);
	choose_area(t, strcmp(name, "B") == 0 ? PM_AREA_B : strcmp(name, "H") == 0 ? PM_AREA_H :
	    strcmp(name, "HB") == 0 || strcmp(name, "BH") == 0 ? PM_AREA_HB : PM_AREA_VAR, name);
	set_text(t, pm_skip_blanks(rest + 2));
	free(name);
	return (true);
}

/* "$": the rest as in double quotes; false: it was too long. */
static bool
substitute(struct test *t)
{
	struct pm_words w = PM_WORDS_INIT;
	bool ok;

	pm_squeeze(t->text + 1);
	t->text[0] = '"';
	ok = pm_expand_text(t->pm, t->text, PM_QUOTE, &w);
	if (ok)
		set_text(t, pm_skip_blanks(sb_cstr(&w.b)));
	else
		t->holds = false;
	pm_words_free(&w);
	return (ok);
}

static void
evaluate(struct test *t)
{
	for (;;) {
		switch (t->text[0]) {
		case '!':
			t->negate = !t->negate;
			set_text(t, pm_skip_blanks(t->text + 1));
			continue;
		case '$':
			if (!substitute(t))
				return;
			continue;
		case '?':
			program(t, t->text + 1);
			return;
		case '<':
		case '>':
			size(t);
			return;
		case '\\':
			expression(t, t->text + 1);
			return;
		}
		if (t->text[0] != '\0' && strchr("0123456789-+.,", t->text[0]) != NULL) {
			if (weight(t)) {
				if (t->quiet)
					return;
				continue;
			}
		} else if (area(t))
			continue;
		expression(t, t->text);
		return;
	}
}

static void
tell(const struct test *t, double before)
{
	struct pm *pm = t->pm;
	char total[32];

	if (pm->verbose == 0)
		return;
	if (t->scored) {
		pm_nlog(pm, "Score: ");
		(void)snprintf(total, sizeof(total), "%7ld", (long)pm->score);
		if ((long)pm->score == 0 && pm->score > 0)
			total[5] = '+';
		pm_log(pm, "%7ld %s", (long)(pm->score - before), total);
	} else {
		pm_nlog(pm, t->holds ? "Match on" : "No match on");
	}
	pm_log(pm, "%s \"%s\"\n", t->negate ? " !" : "", t->text);
}

static void
by_plan(struct test *t)
{
	const struct pm_plan *p = &t->c->plan;

	if (p->scored && t->pm->score >= PLUS_INFINITY) {
		t->quiet = true;
		return;
	}
	t->negate = p->negate;
	t->scored = p->scored;
	t->weight = p->weight;
	t->power = p->power;
	if (p->area != PM_AREA_FLAGS)
		choose_area(t, p->area, p->var);
	if (p->kind == PM_PLAN_SIZE)
		compare_size(t, p->smaller, p->pivot);
	else
		match(t, p->expr, p->guarded);
}

/* The most frequent kind: an expression, compiled already, no weight, no words in front of it. */
static bool
is_simple(const struct pm *pm, const struct pm_cond *c, const bool *flag)
{
	const struct pm_plan *p = &c->plan;

	return (p->kind == PM_PLAN_REGEX && !p->scored && p->area == PM_AREA_FLAGS && c->regex != NULL && !c->regex_invalid &&
	    c->regex_fold == !flag[PM_CASE] && p->expr[0] != '\0' && pm->verbose == 0 && !pm->tracing &&
	    pm->score > MINUS_INFINITY);
}

/* One condition; false: it does not hold. */
static bool
condition(struct pm *pm, struct pm_cond *c, const bool *flag, struct sv where, bool *scored)
{
	struct test t = { .pm = pm, .c = c, .flag = flag, .area = where, .holds = true };
	double before = pm->score;
	bool planned;

	pm->pos.line = c->line;
	if (c->plan.kind == PM_PLAN_NONE)
		pm_plan(c);
	planned = c->plan.kind != PM_PLAN_NO && pm->verbose == 0 && !pm->tracing;
	if (planned)
		by_plan(&t);
	else {
		t.text = xstrndup(c->text.p, c->text.len);
		evaluate(&t);
	}
	*scored |= t.scored;
	if (!t.quiet) {
		if (pm->score > PLUS_INFINITY)
			pm->score = PLUS_INFINITY;
		if (pm->score <= MINUS_INFINITY) {
			pm->score = MINUS_INFINITY;
			t.holds = false;
		}
		if (!planned) {
			tell(&t, before);
			pm_trace(pm, "condition " SV_FMT ": %s", SV_ARG(c->text), t.holds ? "match" : "no match");
		}
	}
	free(t.text);
	free(t.own);
	return (t.holds);
}

/* --- flags ------------------------------------------------------------------------------ */

static void
conflict(struct pm *pm, bool *flag, const char *name)
{
	if (!*flag)
		return;
	pm_nlog(pm, "Conflicting ");
	pm_log(pm, "%s suppressed\n", name);
	*flag = false;
}

/* Do the flags let it run, after what the recipes before it did? */
static bool
chained(struct pm *pm, bool *flag, const struct pm_state *s)
{
	bool ok = true;

	if (flag[PM_ERROR]) {
		ok = s->prev_cond && !s->last_ok;
		conflict(pm, &flag[PM_ELSE], "else-if-flag");
		conflict(pm, &flag[PM_ALSO_OK], "also-if-succeeded-flag");
	}
	if (flag[PM_ELSE])
		ok = ok && !s->prev_cond;
	if (flag[PM_ALSO_OK])
		ok = ok && s->last_cond && s->last_ok;
	if (flag[PM_ALSO])
		ok = ok && s->last_cond;
	return (ok);
}

bool
pm_conditions(struct pm *pm, struct pm_stmt *st, bool *flag, const struct pm_state *s, bool skip)
{
	struct pm_mail *m = &pm->mail;
	bool ok = chained(pm, flag, s) && !skip, scored = false;
	struct sv where;

	if (ok && flag[PM_BODY_GREP])
		pm_mail_whole(pm);
	where = sv_from(m->p, m->body);
	if (!skip && (flag[PM_HEAD_GREP] || !flag[PM_BODY_GREP]))
		pm_mail_join(m, true);
	if (flag[PM_BODY_GREP])
		where = flag[PM_HEAD_GREP] ? sv_from(m->p, m->len) : sv_from(m->p + m->body, m->len - m->body);
	pm->score = 0;
	for (size_t i = 0; i < st->nconds; i++) {
		if (st->cond[i].text.len >= pm->linebuf) {
			pm_overflow(pm);
			ok = false;
		}
		if (ok && is_simple(pm, &st->cond[i], flag)) {
			struct procmail_regex_match m1;

			pm->pos.line = st->cond[i].line;
			ok = find_in(pm, st->cond[i].regex, where, 0, &m1) != st->cond[i].plan.negate;
		} else if (ok)
			ok = condition(pm, &st->cond[i], flag, where, &scored);
	}
	pm->last_score = (long)pm->score;
	if (pm->last_score == 0 && pm->score > 0)
		pm->last_score = 1;
	return (ok && !(scored && pm->score <= 0));
}
