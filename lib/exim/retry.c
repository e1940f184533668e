/* SPDX-License-Identifier: BSD-2-Clause */
/* Retry rules (chapter 32 of Exim's manual): reading, finding, computing the next time. */
#include <string.h>

#include "base/vec.h"
#include "exim/conf.h"
#include "exim/rewrite_int.h"

#define STEPS_MAX	100

static const struct {
	const char	*name;
	enum exim_retry_error error;
	char		 host;
} errors[] = {
	{ "*", EXIM_RE_ANY, 0 },
	{ "auth_failed", EXIM_RE_AUTH_FAILED, 0 },
	{ "lost_connection", EXIM_RE_LOST_CONNECTION, 0 },
	{ "lookup", EXIM_RE_LOOKUP, 0 },
	{ "quota", EXIM_RE_QUOTA, 0 },
	{ "refused", EXIM_RE_REFUSED, 0 },
	{ "refused_A", EXIM_RE_REFUSED, 'A' },
	{ "refused_MX", EXIM_RE_REFUSED, 'M' },
	{ "timeout", EXIM_RE_TIMEOUT, 0 },
	{ "timeout_A", EXIM_RE_TIMEOUT, 'A' },
	{ "timeout_MX", EXIM_RE_TIMEOUT, 'M' },
	{ "timeout_connect", EXIM_RE_TIMEOUT_CONNECT, 0 },
	{ "timeout_connect_A", EXIM_RE_TIMEOUT_CONNECT, 'A' },
	{ "timeout_connect_MX", EXIM_RE_TIMEOUT_CONNECT, 'M' },
	{ "timeout_DNS", EXIM_RE_TIMEOUT_DNS, 0 },
	{ "tls_required", EXIM_RE_TLS_REQUIRED, 0 },
};

/* "rcpt_4xx", "rcpt_45x", "rcpt_452" behind the underscore. */
static bool
parse_code(struct sv v, int *code)
{
	if (v.len != 3 || v.p[0] != '4')
		return (false);
	if (sv_eqs(v, "4xx"))
		*code = -1;
	else if (sv_isdigit(v.p[1]) && v.p[2] == 'x')
		*code = -10 - (v.p[1] - '0');
	else if (sv_isdigit(v.p[1]) && sv_isdigit(v.p[2]))
		*code = 400 + (v.p[1] - '0') * 10 + (v.p[2] - '0');
	else
		return (false);
	return (true);
}

/* Exim's words on an error name that is almost right; NULL: it is none at all. */
static const char *
nearly(struct sv v)
{
	static const char *const codes[] = { "mail_4", "rcpt_4", "data_4" };
	static const char *const texts[] = {
		"mail_4 must be followed by xx, dx, or dd, where x is literal and d is any digit",
		"rcpt_4 must be followed by xx, dx, or dd, where x is literal and d is any digit",
		"data_4 must be followed by xx, dx, or dd, where x is literal and d is any digit"
	};

	for (size_t i = 0; i < 3; i++)
		if (sv_starts(v, codes[i]))
			return (texts[i]);
	if (sv_starts(v, "timeout_"))
		return ("\"A\", \"MX\", or \"connect\" expected after \"timeout\"");
	if (sv_starts(v, "refused_"))
		return ("A or MX expected after \"refused\"");
	return (sv_starts(v, "quota_") ? "bad time value" : NULL);
}

static bool
parse_error(struct sv v, struct exim_retry_rule *out)
{
	static const struct { const char *prefix; enum exim_retry_error error; } x[] = {
		{ "mail_", EXIM_RE_MAIL_4XX }, { "rcpt_", EXIM_RE_RCPT_4XX }, { "data_", EXIM_RE_DATA_4XX },
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (sv_caseeqs(v, errors[i].name)) {
			out->error = errors[i].error;
			out->host = errors[i].host;
			return (true);
		}
	for (size_t i = 0; i < sizeof(x) / sizeof(x[0]); i++)
		if (sv_casestarts(v, x[i].prefix)) {
			out->error = x[i].error;
			return (parse_code(sv_sub(v, 5, v.len), &out->code));
		}
	if (sv_casestarts(v, "quota_")) {
		out->error = EXIM_RE_QUOTA;
		return (exim_parse_time(sv_sub(v, 6, v.len), &out->quota_age));
	}
	return (false);
}

/* ---- times ---- */

static void
skip_blanks(struct sv *v)
{
	while (v->len > 0 && sv_isspace(v->p[0]))
		*v = sv_sub(*v, 1, v->len);
}

/* What stands behind a comma, up to a comma, semicolon or blank; false without the comma. */
static bool
argument(struct sv *v, struct sv *out)
{
	size_t i = 0;

	if (v->len == 0 || v->p[0] != ',')
		return (false);
	*v = sv_sub(*v, 1, v->len);
	skip_blanks(v);
	while (i < v->len && (sv_isalnum(v->p[i]) || v->p[i] == '.'))
		i++;
	*out = sv_sub(*v, 0, i);
	*v = sv_sub(*v, i, v->len);
	return (true);
}

/* "F,2h,15m" at the start of *<v>, and the semicolon behind it; NULL, or what is wrong. */
static const char *
parse_step(struct sv *v, struct exim_retry_step *out)
{
	struct sv cutoff, interval, factor = SV_LIT("1");
	char letter = sv_upper(v->p[0]);

	*v = sv_sub(*v, 1, v->len);
	if (v->len > 0 && sv_isspace(v->p[0]))
		return ("comma expected");
	if (!argument(v, &cutoff) || !argument(v, &interval) || ((letter == 'G' || letter == 'H') && !argument(v, &factor)))
		return (v->len > 0 && (v->p[0] == '-' || v->p[0] == '+') ? "comma or semicolon expected" : "comma expected");
	if (letter != 'F' && letter != 'G' && letter != 'H')
		return ("unknown retry rule letter" EXIM_HINT ": it must be F, G or H");
	out->kind = letter == 'F' ? EXIM_RETRY_F : letter == 'G' ? EXIM_RETRY_G : EXIM_RETRY_H;
	if (!exim_parse_time(cutoff, &out->cutoff) || !exim_parse_time(interval, &out->interval) ||
	    !exim_parse_fixed(factor, &out->factor) || out->cutoff <= 0 || out->interval <= 0 || out->factor < 1000)
		return ("bad parameters for retry rule" EXIM_HINT ": times like 2h or 1d12h above 0, factor at least 1");
	skip_blanks(v);
	if (v->len == 0)
		return (NULL);
	if (v->p[0] != ';')
		return ("semicolon expected");
	*v = sv_sub(*v, 1, v->len);
	skip_blanks(v);
	return (NULL);
}

static int
parse_steps(struct arena *a, struct sv text, const char *file, unsigned line, struct exim_report *rep,
    struct exim_retry_rule *out)
{
	VEC(struct exim_retry_step) v = VEC_INIT;
	struct exim_retry_step st;
	const char *why;
	int rc = 0;

	skip_blanks(&text);
	while (rc == 0 && text.len > 0) {
		struct sv from = text;

		memset(&st, 0, sizeof(st));
		why = parse_step(&text, &st);
		if (why != NULL)
			rc = exim_report_error(rep, file, line, "%s%s: \"" SV_FMT "\"", why,
			    strchr(why, EXIM_HINT[0]) == NULL ? EXIM_HINT : "", SV_ARG(from));
		else if (v.len == STEPS_MAX)
			rc = exim_report_error(rep, file, line, "a retry rule has more than %d steps", STEPS_MAX);
		else
			vec_push(&v, st);
	}
	out->step = v.len == 0 ? NULL : arena_dup(a, v.p, v.len * sizeof(*v.p));
	out->nsteps = v.len;
	vec_free(&v);
	return (rc);
}

int
exim_retry_parse(struct arena *a, struct sv text, const char *file, unsigned line, struct exim_report *rep,
    struct exim_retry_rule *out)
{
	struct err err = ERR_INIT;
	struct sv error;

	*out = (struct exim_retry_rule){ .file = file, .line = line };
	if (!exim_rule_word(&text, a, &out->pattern, &err) || !exim_rule_word(&text, a, &error, &err) || err.cls != ERR_NONE)
		return (exim_report_error(rep, file, line, "missing error type in retry rule"));
	out->list = exim_single_list(a, EXIM_LIST_ADDRESS, out->pattern, file, line, rep);
	if (!parse_error(error, out))
		return (nearly(error) != NULL ?
		    exim_report_error(rep, file, line, "%s" EXIM_HINT ", not \"" SV_FMT "\"", nearly(error), SV_ARG(error)) :
		    exim_report_error(rep, file, line, "unknown or malformed retry error \"" SV_FMT "\"", SV_ARG(error)));
	if (sv_casestarts(text, "senders")) {
		struct sv senders, rest = sv_trim(sv_sub(text, 7, text.len));

		if (rest.len == 0 || rest.p[0] != '=')
			return (exim_report_error(rep, file, line, "\"=\" expected after \"senders\" in retry rule"));
		text = sv_sub(rest, 1, rest.len);
		if (!exim_rule_word(&text, a, &senders, &err) || err.cls != ERR_NONE)
			return (exim_report_error(rep, file, line, "retry rule: list expected after \"senders=\""));
		struct exim_list *l = NULL;
		if (exim_list_compile(a, EXIM_LIST_ADDRESS, senders, file, line, &l, &err) == -1)
			exim_report_soft(rep, NULL, 0, "%s", err.text);
		out->senders = l;
	}
	return (parse_steps(a, text, file, line, rep, out));
}

bool
exim_retry_error_parse(struct sv name, struct exim_retry_what *w)
{
	struct exim_retry_rule r = { .code = 0 };

	if (!parse_error(name, &r))
		return (false);
	w->error = r.error;
	w->host = r.host;
	w->quota_age = r.quota_age;
	/* "4xx" and "45x" stand for some code of theirs. */
	w->code = r.code == -1 ? 421 : r.code <= -10 ? 400 + (-10 - r.code) * 10 : r.code;
	return (true);
}

/* ---- finding ---- */

static bool
error_fits(const struct exim_retry_rule *r, const struct exim_retry_what *w)
{
	if (r->error == EXIM_RE_ANY)
		return (true);
	/* "timeout" covers the connection's too. */
	if (r->error != w->error && !(r->error == EXIM_RE_TIMEOUT && w->error == EXIM_RE_TIMEOUT_CONNECT))
		return (false);
	if (r->host != 0 && r->host != w->host)
		return (false);
	if (r->quota_age > w->quota_age)
		return (false);
	if (r->code == 0 || r->code == -1)
		return (true);
	if (r->code <= -10)
		return (w->code >= 400 && w->code < 500 && w->code / 10 % 10 == -10 - r->code);
	return (w->code == r->code);
}

static bool
key_fits(const struct exim_retry_rule *r, struct exim_env *env, struct sv key)
{
	struct err err = ERR_INIT;
	bool yes = false;

	if (key.len == 0)
		return (false);
	if (sv_chr(key, '@') < 0)
		key = sv_cstr(arena_fmt(env->arena, "*@" SV_FMT, SV_ARG(key)));
	return (exim_match_address(r->list, env, key, true, &yes, NULL, &err) == EXIM_OK && yes);
}

const struct exim_retry_rule *
exim_retry_find(const struct exim_conf *c, struct exim_env *env, const struct exim_retry_what *w)
{
	const struct exim_nums *nums = env->nums;
	const struct exim_retry_rule *found = NULL;

	for (size_t i = 0; i < c->nretry && found == NULL; i++) {
		const struct exim_retry_rule *r = &c->retry[i];
		struct err err = ERR_INIT;
		bool yes = false;

		if (!error_fits(r, w))
			continue;
		if (r->senders != NULL && (w->sender.p == NULL ||
		    exim_match_address(r->senders, env, w->sender, false, &yes, NULL, &err) != EXIM_OK || !yes))
			continue;
		if (key_fits(r, env, w->key) || key_fits(r, env, w->alternate))
			found = r;
	}
	env->nums = nums;
	return (found);
}

/* ---- when ---- */

static const struct exim_retry_step *
current(const struct exim_retry_rule *r, int64_t age)
{
	for (size_t i = 0; r != NULL && i < r->nsteps; i++)
		if (age < r->step[i].cutoff)
			return (&r->step[i]);
	return (NULL);
}

bool
exim_retry_expired(const struct exim_retry_rule *r, int64_t first_failed, int64_t now)
{
	return (current(r, now - first_failed) == NULL);
}

int64_t
exim_retry_next(const struct exim_retry_rule *r, int64_t first_failed, int64_t last_try, int64_t now, uint32_t random,
    int64_t max)
{
	const struct exim_retry_step *st = current(r, now - first_failed);
	int64_t last = now > last_try ? now - last_try : 0, gap, next;

	if (st == NULL)
		return (0);
	next = last / 1000 * st->factor + last % 1000 * st->factor / 1000;
	switch (st->kind) {
	case EXIM_RETRY_G:
		gap = last < st->interval ? st->interval : next;
		break;
	case EXIM_RETRY_H:
		gap = st->interval;
		/* Somewhere in the upper half of what G would allow. */
		if (next > gap)
			gap += (next - gap) / 2 + (int64_t)((uint64_t)random * (uint64_t)((next - gap) / 2) >> 32);
		break;
	default:
		gap = st->interval;
		break;
	}
	if (max > 0 && gap > max)
		gap = max;
	return (now + gap);
}
