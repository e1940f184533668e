/* SPDX-License-Identifier: BSD-2-Clause */
/* Conditions of an Exim filter put to the message at hand. */
#include <string.h>

#include "base/sb.h"
#include "mail/address.h"
#include "exim_int.h"

static const struct {
	const char	*yes, *no;		/* as Exim shows a condition; lower-case comparisons */
	const char	*cased_yes, *cased_no;
} names[] = {
	[XF_AND] = { "and", "", NULL, NULL },
	[XF_OR] = { "or", "", NULL, NULL },
	[XF_PERSONAL] = { "personal", "not personal", NULL, NULL },
	[XF_DELIVERED] = { "delivered", "not delivered", NULL, NULL },
	[XF_ERROR_MESSAGE] = { "error_message", "not error_message", NULL, NULL },
	[XF_FIRST_DELIVERY] = { "first_delivery", "not first_delivery", NULL, NULL },
	[XF_MANUALLY_THAWED] = { "manually_thawed", "not manually_thawed", NULL, NULL },
	[XF_FORANYADDRESS] = { "foranyaddress", "not foranyaddress", NULL, NULL },
	[XF_BEGINS] = { "begins", "does not begin", "BEGINS", "does not BEGIN" },
	[XF_ENDS] = { "ends", "does not end", "ENDS", "does not END" },
	[XF_IS] = { "is", "is not", "IS", "IS not" },
	[XF_MATCHES] = { "matches", "does not match", "MATCHES", "does not MATCH" },
	[XF_CONTAINS] = { "contains", "does not contain", "CONTAINS", "does not CONTAIN" },
	[XF_ABOVE] = { "above", "not above", NULL, NULL },
	[XF_BELOW] = { "below", "not below", NULL, NULL },
};

/* --- shown ---------------------------------------------------------------------------- */

static void
show(struct sb *out, const struct xf_cond *c, bool top)
{
	const char *name = c->caseful ? (c->positive ? names[c->test].cased_yes : names[c->test].cased_no) :
	    c->positive ? names[c->test].yes : names[c->test].no;

	switch (c->test) {
	case XF_AND:
	case XF_OR:
		if (!c->positive)
			sb_adds(out, "not (");
		else if (c->test == XF_OR && !top)
			sb_addc(out, '(');
		show(out, c->a, false);
		sb_addf(out, " %s ", names[c->test].yes);
		show(out, c->b, false);
		if (!c->positive || (c->test == XF_OR && !top))
			sb_addc(out, ')');
		break;
	case XF_FORANYADDRESS:
		sb_addf(out, "%s " SV_FMT " (", name, SV_ARG(xf_text(c->left)));
		show(out, c->b, false);
		sb_addc(out, ')');
		break;
	case XF_PERSONAL:
	case XF_DELIVERED:
	case XF_ERROR_MESSAGE:
	case XF_FIRST_DELIVERY:
	case XF_MANUALLY_THAWED:
		sb_adds(out, name);
		break;
	default:
		sb_addf(out, SV_FMT " %s " SV_FMT, SV_ARG(xf_text(c->left)), name, SV_ARG(xf_text(c->right)));
		break;
	}
}

static void
report(struct xf_run *w, const struct xf_cond *c, bool top, bool yes)
{
	struct filter_pos pos = { w->f->file, w->line };
	struct sb sb = SB_INIT(65536);

	if (w->r->verbose == NULL && !(top && filter_tracing(w->r->ops)))
		return;
	show(&sb, c, true);
	if (w->r->verbose != NULL) {
		xf_indent(w);
		fprintf(w->r->verbose, "%sondition is %s: %s\n", top ? "C" : "Sub-c", yes ? "true" : "false", sb_cstr(&sb));
	}
	if (top)
		filter_trace(w->r->ops, &pos, "condition %s: %s", sb_cstr(&sb), yes ? "true" : "false");
	sb_free(&sb);
}

/* --- tested --------------------------------------------------------------------------- */

static bool
foranyaddress(struct xf_run *w, const struct xf_cond *c)
{
	const char *text = xf_expand(w, c->left, "filter file");
	struct xf_list_of l = { .how = XF_GROUPS };
	struct sv address;
	bool yes = false;

	if (text == NULL)
		return (false);
	l.rest = sv_taint(sv_cstr(text));
	while (!yes && !w->ended && xf_next_address(w, &l, &address)) {
		w->env->addr->thisaddress = sv_taint(address);
		if (w->r->verbose != NULL) {
			xf_indent(w);
			fprintf(w->r->verbose, "Extracted address " SV_FMT "\n", SV_ARG(address));
		}
		yes = xf_test(w, c->b, false);
	}
	return (yes);
}

/* Digits in any C base, then K or M (filter manual 3.23), all in 32 bits as Exim's int is. */
static bool
number(struct xf_run *w, const char *s, int64_t *out)
{
	const char *end = s;
	int64_t n;

	if (xf_integer(&end, 0, &n) || end != s) {
		uint32_t bits = (uint32_t)(uint64_t)n;

		if (sv_lower(*end) == 'k') {
			bits *= 1024;
			end++;
		}
		if (sv_lower(*end) == 'm') {
			bits *= 1048576;
			end++;
		}
		n = (int32_t)bits;
		while (sv_isspace(*end))
			end++;
		*out = n;
		if (*end == '\0')
			return (true);
	}
	xf_fail(w, "malformed numerical string \"%s\"", s);
	return (false);
}

static bool
matches(struct xf_run *w, const struct xf_cond *c, const char *subject, const char *pattern)
{
	struct exim_nums nums;
	char why[256];
	int rc;

	if (w->r->verbose != NULL)
		fprintf(w->r->verbose, "Match expanded arguments:\n  Subject = %s\n  Pattern = %s\n", subject, pattern);
	rc = exim_regex_match(w->env, sv_taint(sv_cstr(subject)), sv_cstr(pattern), !c->caseful, &nums, why);
	xf_clock(w);
	if (rc == 1) {
		w->nums = nums;
		w->env->nums = &w->nums;
	}
	if (rc < 0 && sv_starts(sv_cstr(why), EXIM_REGEX_FAILED))
		xf_fail(w, "regular expression \"%s\": %s", pattern, why);
	else if (rc < 0)
		xf_fail(w, "error while compiling regular expression \"%s\": %s", pattern, why);
	return (rc == 1);
}

static bool
compare(struct xf_run *w, const struct xf_cond *c)
{
	const char *left = xf_expand(w, c->left, "filter file"), *right;
	struct sv l, r, tail;
	int64_t n[2];

	if (left == NULL || (right = xf_expand(w, c->right, "filter file")) == NULL)
		return (false);
	l = sv_cstr(left);
	r = sv_cstr(right);
	switch (c->test) {
	case XF_IS:
		return (c->caseful ? sv_eq(l, r) : sv_caseeq(l, r));
	case XF_CONTAINS:
		/* Nothing is contained where case counts, and only there. */
		if (r.len == 0)
			return (c->caseful);
		return ((c->caseful ? sv_find(l, r) : sv_casefind(l, r)) >= 0);
	case XF_BEGINS:
		return (c->caseful ? sv_starts(l, right) : sv_casestarts(l, right));
	case XF_ENDS:
		tail = sv_sub(l, l.len < r.len ? 0 : l.len - r.len, l.len);
		return (c->caseful ? sv_eq(tail, r) : sv_caseeq(tail, r));
	case XF_MATCHES:
		return (matches(w, c, left, right));
	default:
		if (!number(w, left, &n[0]) || !number(w, right, &n[1]))
			return (false);
		return (c->test == XF_ABOVE ? n[0] > n[1] : n[0] < n[1]);
	}
}

static bool
simple(struct xf_run *w, const struct xf_cond *c)
{
	const struct exim_message *m = w->env->msg;

	switch (c->test) {
	case XF_PERSONAL:
		return (xf_personal(w, c));
	case XF_DELIVERED:
		return (w->delivered);
	case XF_ERROR_MESSAGE:
		return (m->id.len > 0 && m->sender.len == 0);
	case XF_FIRST_DELIVERY:
		return (w->r->test != NULL || m->id.len == 0 || m->first_delivery);
	case XF_MANUALLY_THAWED:
		return (m->id.len > 0 && m->manually_thawed);
	case XF_FORANYADDRESS:
		return (foranyaddress(w, c));
	default:
		return (compare(w, c));
	}
}

static bool
joined(const struct xf_cond *c)
{
	return (c->test == XF_AND || c->test == XF_OR);
}

/* A chain to the right is walked, not recursed into, unless its parts are to be shown. */
static bool
chain(struct xf_run *w, const struct xf_cond *c)
{
	bool yes;

	for (;;) {
		yes = xf_test(w, c->a, false);
		if (w->ended || yes == (c->test == XF_OR))
			return (yes);
		c = c->b;
		if (!joined(c) || !c->positive || w->r->verbose != NULL)
			return (xf_test(w, c, false));
	}
}

bool
xf_test(struct xf_run *w, const struct xf_cond *c, bool top)
{
	bool yes;

	if (!xf_step(w))
		return (false);
	yes = joined(c) ? chain(w, c) : simple(w, c);
	if (w->ended)
		return (false);
	yes = yes == c->positive;
	report(w, c, top, yes);
	return (yes);
}
