/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conditions whose text says the same for every message, with nothing to be expanded or run, are taken apart once;
 * what is found then must be what procmail_cond.c would find piece by piece.
 */
#include <stdlib.h>
#include <string.h>

#include "filter/procmail_int.h"

void
pm_squeeze(char *s)
{
	enum { ELSE, BACKSLASH, NEWLINE } seen = ELSE;
	char *out = s;

	for (; *s != '\0'; s++) {
		if (*s == '\n') {
			if (seen == BACKSLASH)
				out--;
			else
				*out++ = '\n';
			seen = NEWLINE;
			continue;
		}
		if (seen == NEWLINE && (*s == ' ' || *s == '\t'))
			continue;
		seen = *s == '\\' ? BACKSLASH : ELSE;
		*out++ = *s;
	}
	*out = '\0';
}

static bool
read_weight(struct pm_plan *p, const char **s)
{
	char *end;
	double w = strtod(*s, &end), x;
	const char *hat = pm_skip_blanks(end);

	if (end == *s || *hat != '^')
		return (false);
	x = strtod(hat + 1, &end);
	if (end == hat + 1)
		return (false);
	p->weight = w;
	p->power = x;
	p->scored = true;
	*s = pm_skip_blanks(end);
	return (true);
}

static bool
read_area(struct pm_plan *p, const char **s)
{
	size_t n = 0;
	const char *rest;

	if (!pm_alpha(**s))
		return (false);
	while (pm_alnum((*s)[n]))
		n++;
	rest = pm_skip_blanks(*s + n);
	if (strncmp(rest, "??", 2) != 0)
		return (false);
	free(p->var);
	p->var = xstrndup(*s, n);
	p->area = strcmp(p->var, "B") == 0 ? PM_AREA_B : strcmp(p->var, "H") == 0 ? PM_AREA_H :
	    strcmp(p->var, "HB") == 0 || strcmp(p->var, "BH") == 0 ? PM_AREA_HB : PM_AREA_VAR;
	*s = pm_skip_blanks(rest + 2);
	return (true);
}

static void
plan_size(struct pm_plan *p, const char *s)
{
	char *end;

	if (strpbrk(s, "\\'\"`$#\n") != NULL)
		return;
	p->smaller = *s == '<';
	p->pivot = procmail_long(s + 1, &end);
	if (*pm_skip_blanks(end) == '\0')
		p->kind = PM_PLAN_SIZE;
}

static void
plan_expression(struct pm_plan *p, const char *s, bool guarded)
{
	p->kind = PM_PLAN_REGEX;
	p->guarded = guarded;
	p->expr = xstrdup(s + (guarded ? 1 : 0));
	pm_squeeze(p->expr);
}

void
pm_plan(struct pm_cond *c)
{
	struct pm_plan *p = &c->plan;
	char *text = xstrndup(c->text.p, c->text.len);
	const char *s = text;
	bool more = true;

	p->kind = PM_PLAN_NO;
	while (more) {
		more = false;
		if (*s == '!') {
			p->negate = !p->negate;
			s = pm_skip_blanks(s + 1);
			more = true;
		} else if (*s == '<' || *s == '>')
			plan_size(p, s);
		else if (*s == '\\')
			plan_expression(p, s, true);
		else if (*s != '$' && *s != '?') {
			more = *s != '\0' && strchr("0123456789-+.,", *s) != NULL ? read_weight(p, &s) : read_area(p, &s);
			if (!more)
				plan_expression(p, s, false);
		}
	}
	free(text);
}

void
pm_plan_free(struct pm_cond *c)
{
	free(c->plan.var);
	free(c->plan.expr);
}
