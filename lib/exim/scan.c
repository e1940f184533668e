/* SPDX-License-Identifier: BSD-2-Clause */
/* Servers and answers of content scanners: see scan.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/sb.h"
#include "exim/expand_int.h"
#include "exim/option.h"
#include "exim/scan.h"

#define BAR_MAX		50
#define NUMBER_MAX	40

/* ---- servers ---- */

static bool
ports(struct sv v, struct exim_scan_server *out)
{
	ptrdiff_t dash = sv_chr(v, '-');

	if (!num_parse(dash < 0 ? v : sv_sub(v, 0, (size_t)dash), 1, 65535, &out->port))
		return (false);
	out->port_to = out->port;
	return (dash < 0 || num_parse(sv_sub(v, (size_t)dash + 1, v.len), out->port, 65535, &out->port_to));
}

/* "hour[.minute[.second]]" */
static bool
time_of_day(struct sv v, int64_t *out)
{
	static const int64_t unit[] = { 3600, 60, 1 };
	struct sv piece;
	int64_t n;

	*out = 0;
	for (size_t i = 0; sv_next(&v, '.', &piece); i++) {
		if (i >= 3 || !num_parse(piece, 0, i == 0 ? 24 : 59, &n))
			return (false);
		*out += n * unit[i];
	}
	return (true);
}

static bool
take_option(struct sv o, struct exim_scan_server *out)
{
	ptrdiff_t eq = sv_chr(o, '='), dash;
	struct sv name = eq < 0 ? o : sv_sub(o, 0, (size_t)eq), v = eq < 0 ? SV_NULL : sv_sub(o, (size_t)eq + 1, o.len);

	if (eq < 0)
		return (false);
	if (sv_eqs(name, "pri"))
		return (num_parse(v, -1000000, 1000000, &out->priority));
	if (sv_eqs(name, "weight"))
		return (num_parse(v, 0, 1000000, &out->weight));
	if (sv_eqs(name, "retry"))
		return (exim_parse_time(v, &out->retry));
	if (sv_eqs(name, "tmo"))
		return (exim_parse_time(v, &out->timeout));
	if (sv_eqs(name, "variant")) {
		out->rspamd = sv_eqs(v, "rspamd");
		return (out->rspamd || sv_eqs(v, "spamassassin"));
	}
	dash = sv_chr(v, '-');
	return (sv_eqs(name, "time") && dash > 0 && time_of_day(sv_sub(v, 0, (size_t)dash), &out->from) &&
	    time_of_day(sv_sub(v, (size_t)dash + 1, v.len), &out->to));
}

bool
exim_scan_server(struct sv text, struct arena *a, struct exim_scan_server *out)
{
	struct sv word, port;

	*out = (struct exim_scan_server){ .path = SV_NULL, .host = SV_NULL, .priority = 1, .weight = 1 };
	if (!sv_word(&text, &word) || word.len == 0)
		return (false);
	if (word.p[0] == '/') {
		out->path = sv_cstr(arena_cstr(a, word));
	} else {
		out->host = sv_cstr(arena_cstr(a, word));
		if (!sv_word(&text, &port) || !ports(port, out))
			return (false);
	}
	while (sv_word(&text, &word))
		if (!take_option(word, out))
			return (false);
	return (true);
}

/* ---- clamd ---- */

/* "stream: Name FOUND", "stream: OK", "... ERROR". */
enum exim_clamd
exim_clamd_reply(struct sv reply, struct sv *text)
{
	ptrdiff_t end = sv_chr(reply, '\0'), colon;

	if (end >= 0)
		reply = sv_sub(reply, 0, (size_t)end);
	reply = sv_trim(reply);
	colon = sv_find(reply, SV_LIT(": "));
	*text = colon < 0 ? reply : sv_trim(sv_sub(reply, (size_t)colon + 2, reply.len));
	if (sv_eqs(*text, "OK") && colon > 0)
		return (EXIM_CLAMD_CLEAN);
	if (sv_ends(*text, " FOUND") && colon > 0) {
		*text = sv_sub(*text, 0, text->len - 6);
		return (EXIM_CLAMD_FOUND);
	}
	*text = reply;
	return (EXIM_CLAMD_ERROR);
}

/* ---- spamd, Rspamd ---- */

/* A number as C writes it, at most to the first of <ends>. */
static bool
number(struct sv v, double *out)
{
	char buf[NUMBER_MAX], *end;

	v = sv_trim(v);
	if (v.len == 0 || v.len >= sizeof(buf))
		return (false);
	memcpy(buf, v.p, v.len);
	buf[v.len] = '\0';
	*out = strtod(buf, &end);
	return (*end == '\0' && isfinite(*out) && fabs(*out) < 1e6);
}

/* "word ; SCORE / THRESHOLD", and what may follow a further "/". */
static bool
scores(struct sv v, struct exim_spam *out)
{
	ptrdiff_t semi = sv_rchr(v, ';'), slash;
	struct sv second;

	if (semi < 0)
		return (false);
	v = sv_sub(v, (size_t)semi + 1, v.len);
	slash = sv_chr(v, '/');
	if (slash < 0)
		return (false);
	second = sv_sub(v, (size_t)slash + 1, v.len);
	if (sv_chr(second, '/') >= 0)
		second = sv_sub(second, 0, (size_t)sv_chr(second, '/'));
	return (number(sv_sub(v, 0, (size_t)slash), &out->score) && number(second, &out->threshold));
}

static bool
next_line(struct sv *rest, struct sv *line)
{
	ptrdiff_t nl = sv_chr(*rest, '\n');

	if (rest->len == 0)
		return (false);
	*line = sv_sub(*rest, 0, nl < 0 ? rest->len : (size_t)nl);
	*rest = sv_sub(*rest, nl < 0 ? rest->len : (size_t)nl + 1, rest->len);
	if (line->len > 0 && line->p[line->len - 1] == '\r')
		line->len--;
	return (true);
}

/* "SPAMD/1.1 0 EX_OK" */
static bool
status_ok(struct sv line, bool rspamd)
{
	struct sv word;

	return (sv_word(&line, &word) && sv_casestarts(word, rspamd ? "RSPAMD/" : "SPAMD/") && sv_word(&line, &word) &&
	    sv_eqs(word, "0"));
}

bool
exim_spam_reply(struct sv reply, bool rspamd, struct exim_spam *out)
{
	struct sv rest = reply, line;
	bool scored = false;

	*out = (struct exim_spam){ .action = SV_NULL, .report = SV_NULL };
	if (!next_line(&rest, &line) || !status_ok(line, rspamd))
		return (false);
	while (next_line(&rest, &line) && line.len > 0) {
		if (sv_casestarts(line, rspamd ? "Metric: default" : "Spam:"))
			scored = scored || scores(line, out);
		else if (rspamd && sv_casestarts(line, "Action:"))
			out->action = sv_trim(sv_sub(line, 7, line.len));
		else if (rspamd && !sv_casestarts(line, "Content-length:") && scored && out->report.p == NULL)
			out->report = sv_from(line.p, (size_t)(reply.p + reply.len - line.p));
	}
	if (!rspamd)
		out->report = rest;
	if (out->action.len == 0)
		out->action = out->score >= out->threshold ? SV_LIT("reject") : SV_LIT("no action");
	return (scored);
}

static struct sv
bar(double score, struct arena *a)
{
	size_t n = (size_t)fabs(score);
	char *p;

	if (n == 0)
		return (SV_LIT("/"));
	if (n > BAR_MAX)
		n = BAR_MAX;
	p = arena_alloc(a, n + 1);
	memset(p, score < 0 ? '-' : '+', n);
	p[n] = '\0';
	return (sv_from(p, n));
}

void
exim_spam_vars(struct exim_acl_state *st, const struct exim_spam *spam, struct arena *a)
{
	struct sb report = SB_INIT(65536);
	struct sv rest = spam->report, line;

	st->spam_score = sv_cstr(arena_fmt(a, "%.1f", spam->score));
	st->spam_score_int = sv_cstr(arena_fmt(a, "%d", (int)(spam->score * 10 + (spam->score < 0 ? -0.001 : 0.001))));
	st->spam_bar = bar(spam->score, a);
	st->spam_action = sv_taint(arena_sv(a, spam->action));
	/* Lines that go on with a blank may stand in a header field. */
	while (next_line(&rest, &line)) {
		if (report.len > 0)
			sb_adds(&report, "\n ");
		sb_add(&report, line);
	}
	while (report.len > 0 && sv_isspace(report.p[report.len - 1]))
		sb_cut(&report, report.len - 1);
	st->spam_report = sv_taint(arena_sv(a, sb_sv(&report)));
	sb_free(&report);
}

/* ---- patterns ---- */

int
exim_scan_match(struct exim_env *env, struct sv pattern, struct sv text, struct sv *group, char why[256])
{
	struct err err = ERR_INIT;
	struct xev e = { .env = env, .err = &err };
	struct xregex *re = x_regex_get(&e, pattern, 0, NULL, why);
	struct exim_nums nums;
	int rc;

	*group = SV_LIT("");
	if (re == NULL)
		return (-1);
	memset(&nums, 0, sizeof(nums));
	rc = x_regex_match(&e, re, text, 0, 0, &nums, NULL);
	if (rc == 1 && nums.n > 1)
		*group = arena_sv(env->arena, nums.v[1]);
	x_regex_put(&e, re);
	return (rc == 1 ? 1 : 0);
}
