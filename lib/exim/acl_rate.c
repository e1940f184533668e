/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ratelimit and seen (sections 44.38 to 44.44 of Exim's manual), on the hints that
 * env->world gives: small values with a time to live.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "base/hash.h"
#include "exim/acl_int.h"
#include "exim/option.h"

#define KEY_MAX		1024
#define SEEN_REFRESH	(10 * 24 * 3600)
#define SEEN_TTL	(60 * 24 * 3600)

enum per { PER_NONE, PER_CONN, PER_MAIL, PER_BYTE, PER_RCPT, PER_ADDR, PER_CMD };
enum mode { MODE_NONE, MODE_READONLY, MODE_LEAKY, MODE_STRICT };

struct rate {
	double		 limit;
	int64_t		 period;
	enum per	 per;
	enum mode	 mode;
	double		 count;		/* below 0: not given */
	struct sv	 unique;	/* p NULL: not given */
	struct sv	 key;
	const char	*conflict;	/* NULL: none */
	bool		 noupdate;
	char		 limit_text[64];
	char		 period_text[64];
};

static struct sv
piece(struct sv *v)
{
	struct sv p = SV_LIT("");

	if (!sv_next(v, '/', &p))
		p = SV_LIT("");
	return (sv_trim(p));
}

/* A number that need not be whole, with K, M or G; false otherwise. */
static bool
parse_double(struct sv v, double *out)
{
	char buf[64], *end;

	/* Nothing is 0, as strtod sees it. */
	*out = 0.0;
	if (v.len == 0 || v.len >= sizeof(buf))
		return (v.len == 0);
	memcpy(buf, v.p, v.len);
	buf[v.len] = '\0';
	*out = strtod(buf, &end);
	switch (*end) {
	case 'K': case 'k': *out *= 1024.0; end++; break;
	case 'M': case 'm': *out *= 1024.0 * 1024.0; end++; break;
	case 'G': case 'g': *out *= 1024.0 * 1024.0 * 1024.0; end++; break;
	default: break;
	}
	return (end > buf && *end == '\0' && *out >= 0.0 && isfinite(*out));
}

static bool
take_option(struct rate *r, struct sv o)
{
	static const struct { const char *name; enum per per; enum mode mode; } opt[] = {
		{ "per_conn", PER_CONN, 0 }, { "per_mail", PER_MAIL, 0 }, { "per_byte", PER_BYTE, 0 }, { "per_rcpt", PER_RCPT, 0 },
		{ "per_addr", PER_ADDR, 0 }, { "per_cmd", PER_CMD, 0 }, { "leaky", 0, MODE_LEAKY },
		{ "strict", 0, MODE_STRICT }, { "readonly", 0, MODE_READONLY },
	};

	for (size_t i = 0; i < sizeof(opt) / sizeof(opt[0]); i++)
		if (sv_eqs(o, opt[i].name)) {
			if (opt[i].per != PER_NONE && r->per != PER_NONE)
				r->conflict = "conflicting per_* options";
			if (opt[i].mode != MODE_NONE && r->mode != MODE_NONE)
				r->conflict = "conflicting update modes";
			if (opt[i].per != PER_NONE)
				r->per = opt[i].per;
			else
				r->mode = opt[i].mode;
			return (true);
		}
	/* An old word for readonly that may stand beside a mode. */
	if (sv_eqs(o, "noupdate"))
		r->noupdate = true;
	return (r->noupdate && sv_eqs(o, "noupdate"));
}

static const char *
parse_rate(struct acl_state *st, struct sv arg, struct rate *r)
{
	bool empty = sv_trim(arg).len == 0;
	struct sv limit = piece(&arg), period = piece(&arg), rest;

	if (empty)
		return ("sender rate limit not set");
	*r = (struct rate){ .count = -1.0, .unique = SV_NULL, .key = SV_NULL };
	if (!parse_double(limit, &r->limit))
		return (arena_fmt(st->env->arena, "\"" SV_FMT "\" is not a positive number", SV_ARG(limit)));
	if (!exim_parse_time(period, &r->period) || r->period <= 0)
		return (arena_fmt(st->env->arena, "\"%s\" is not a time value", period.len == 0 ? "NULL" :
		    arena_cstr(st->env->arena, period)));
	(void)snprintf(r->limit_text, sizeof(r->limit_text), SV_FMT, SV_ARG(limit));
	(void)snprintf(r->period_text, sizeof(r->period_text), SV_FMT, SV_ARG(period));
	while (arg.len > 0) {
		struct sv before = arg, o = piece(&arg);

		rest = sv_trim(before);
		if (take_option(r, o)) {
			if (r->conflict != NULL)
				return (r->conflict);
			continue;
		}
		if (sv_starts(o, "count=")) {
			if (!parse_double(sv_sub(o, 6, o.len), &r->count))
				return (arena_fmt(st->env->arena, "\"" SV_FMT "\" is not a positive number", SV_ARG(o)));
			continue;
		}
		if (sv_starts(o, "unique=")) {
			r->unique = sv_sub(o, 7, o.len);
			continue;
		}
		/* The key may hold slashes: it is all that is left. */
		r->key = rest;
		break;
	}
	if (r->key.len == 0)
		r->key = st->env->session == NULL ? SV_LIT("") : st->env->session->host_address;
	return (NULL);
}

/* Where a way of measuring counts; elsewhere it only reads. */
static unsigned
counts_in(enum per per)
{
	switch (per) {
	case PER_CONN:	return (W_ALL & ~W_NOTSMTP);
	case PER_MAIL:
	case PER_BYTE:	return (W(MAIL) | W(RCPT) | W(PREDATA) | W(MIME) | W(DATA) | W(PRDR) | W(NOTSMTP));
	case PER_RCPT:	return (W(RCPT) | W(PREDATA) | W(MIME) | W(DATA) | W(PRDR) | W(NOTSMTP));
	case PER_ADDR:	return (W(RCPT));
	default:	return (W_ALL);
	}
}

/* A way of measuring that is asked to count where it cannot; NULL: it is not. */
static const char *
misplaced(struct acl_state *st, const struct rate *r, const char *name)
{
	const enum exim_acl_where where = st->run->where;

	if (r->per == PER_NONE || r->noupdate || (r->mode != MODE_LEAKY && r->mode != MODE_STRICT) || where == EXIM_WHERE_UNKNOWN ||
	    (counts_in(r->per) & 1u << where) != 0)
		return (NULL);
	return (arena_fmt(st->env->arena, "\"%s\" must not have /leaky or /strict option, or cannot be used in %s ACL", name,
	    exim_acl_where_name(where)));
}

static void
defaults(struct acl_state *st, struct rate *r)
{
	const struct exim_message *m = st->env->msg;
	enum exim_acl_where where = st->run->where;

	if (r->noupdate)
		r->mode = MODE_READONLY;
	/* Only who says per_mail means the places of messages. */
	if (r->per == PER_NONE) {
		r->per = PER_MAIL;
		if (r->mode == MODE_NONE)
			r->mode = MODE_LEAKY;
	}
	if (r->mode == MODE_NONE)
		r->mode = (counts_in(r->per) & 1u << where) != 0 || where == EXIM_WHERE_UNKNOWN ? MODE_LEAKY : MODE_READONLY;
	if (r->count < 0.0) {
		r->count = 1.0;
		if (r->per == PER_BYTE)
			r->count = m == NULL || m->size <= 0 ? 0.0 : (double)m->size;
		else if (r->per == PER_RCPT && where != EXIM_WHERE_RCPT)
			r->count = m == NULL ? 0.0 : (double)m->nrecipients;
	}
	if (r->per == PER_ADDR) {
		if (r->unique.p == NULL && st->env->addr != NULL)
			r->unique = acl_fmt(st, SV_FMT "@" SV_FMT, SV_ARG(st->env->addr->local_part),
			    SV_ARG(st->env->addr->domain));
		r->per = PER_RCPT;
	}
}

struct sample {
	int64_t		 usec;		/* since 1970 */
	double		 rate;
	bool		 known;
};

static struct sample
load(struct acl_state *st, const char *key)
{
	const struct exim_world *w = st->env->world;
	struct sample s = { 0, 0.0, false };
	struct sv v;
	ptrdiff_t blank;

	if (w->hint_get == NULL || w->hint_get(w->arg, "ratelimit", sv_cstr(key), st->env->arena, &v) != EXIM_FOUND)
		return (s);
	blank = sv_chr(v, ' ');
	s.known = blank > 0 && num_parse(sv_sub(v, 0, (size_t)blank), 0, INT64_MAX, &s.usec) &&
	    parse_double(sv_sub(v, (size_t)blank + 1, v.len), &s.rate);
	return (s);
}

/*
 * The rate is smoothed exponentially: an event after <i> periods brings (1 - e^-i) * count / i and leaves
 * e^-i of the old rate; an isolated event counts for itself.
 */
static double
measure(const struct sample *old, const struct rate *r, int64_t now)
{
	double i, a, rate;

	if (!old->known)
		return (r->count);
	i = (double)(now - old->usec) / 1e6 / (double)r->period;
	if (i < 1e-9)
		i = 1e-9;
	a = exp(-i);
	rate = -expm1(-i) * r->count / i + a * old->rate;
	return (rate < r->count ? r->count : rate);
}

static enum acl_rc
answer(struct acl_state *st, const struct rate *r, double rate)
{
	struct exim_acl_state *a = st->env->acl;

	a->sender_rate = acl_keep(st, acl_fmt(st, "%.1f", rate));
	a->sender_rate_limit = acl_keep(st, sv_cstr(r->limit_text));
	a->sender_rate_period = acl_keep(st, sv_cstr(r->period_text));
	return (rate < r->limit ? RC_FAIL : RC_OK);
}

/* An event of unique= that was seen within the period does not count again. */
static bool
known_event(struct acl_state *st, const struct rate *r, const char *key, bool remember)
{
	const struct exim_world *w = st->env->world;
	struct sv k = acl_fmt(st, "%s/=" SV_FMT, key, SV_ARG(r->unique)), v;

	if (w->hint_get != NULL && w->hint_get(w->arg, "ratelimit", k, st->env->arena, &v) == EXIM_FOUND)
		return (true);
	if (remember && w->hint_put != NULL)
		(void)w->hint_put(w->arg, "ratelimit", k, SV_LIT("1"), r->period);
	return (false);
}

/* What this message (or connection) has counted already under <key>. */
static struct hash **
memory(struct acl_state *st, const struct rate *r)
{
	if (r->per == PER_CMD || r->mode == MODE_READONLY || (r->per == PER_RCPT && st->run->where == EXIM_WHERE_RCPT) ||
	    r->unique.p != NULL)
		return (NULL);
	return (r->per == PER_CONN ? &st->run->counted_conn : &st->run->counted);
}

enum acl_rc
acl_ratelimit(struct acl_state *st, struct sv arg)
{
	static const char *const names[] = { "", "per_conn", "per_mail", "per_byte", "per_rcpt", "per_addr", "per_cmd" };
	const struct exim_world *w = st->env->world;
	struct rate r;
	struct sample s;
	struct hash **mem;
	const char *why = parse_rate(st, arg, &r);
	char key[KEY_MAX], value[80];
	int64_t usec = 0, now;
	double rate, *was;
	enum acl_rc rc;

	if (why == NULL)
		why = misplaced(st, &r, names[r.per == PER_ADDR ? PER_RCPT : r.per == PER_BYTE ? PER_MAIL : r.per]);
	if (why != NULL)
		return (acl_wrong(st, "error in arguments to \"ratelimit\" condition: %s", why));
	defaults(st, &r);
	(void)snprintf(key, sizeof(key), "%s/%s%s/" SV_FMT, r.period_text, names[r.per], r.unique.p != NULL ? "/unique" : "",
	    SV_ARG(r.key));
	s = load(st, key);
	now = w->now == NULL ? 0 : w->now(w->arg, &usec);
	now = now * 1000000 + usec;
	if (r.mode == MODE_READONLY)
		return (answer(st, &r, s.known ? s.rate : 0.0));
	mem = memory(st, &r);
	if (mem != NULL) {
		if (*mem == NULL)
			*mem = hash_new();
		if ((was = hash_get(*mem, sv_cstr(key))) != NULL)
			return (answer(st, &r, *was));
	}
	if (r.unique.p != NULL && known_event(st, &r, key, false))
		return (answer(st, &r, s.known ? s.rate : 0.0));
	rate = measure(&s, &r, now);
	rc = answer(st, &r, rate);
	if (mem != NULL) {
		was = xmalloc(sizeof(*was));
		*was = rate;
		free(hash_set(*mem, sv_cstr(key), was));
	}
	if (r.mode == MODE_STRICT || rc == RC_FAIL) {
		(void)snprintf(value, sizeof(value), "%lld %.17g", (long long)now, rate);
		if (w->hint_put != NULL)
			(void)w->hint_put(w->arg, "ratelimit", sv_cstr(key), sv_cstr(value), r.period * 10 + 60);
		if (r.unique.p != NULL)
			(void)known_event(st, &r, key, true);
	}
	return (rc);
}

/* ---- seen ---- */

struct seen {
	int64_t		 interval;
	bool		 before;	/* "-5m" */
	bool		 readonly, write;
	int64_t		 refresh;
	struct sv	 key;
};

static const char *
parse_seen(struct acl_state *st, struct sv arg, struct seen *s)
{
	struct sv whole = arg, t = piece(&arg);

	*s = (struct seen){ .refresh = SEEN_REFRESH, .key = SV_NULL };
	if (t.len > 0 && t.p[0] == '-') {
		s->before = true;
		t = sv_trim(sv_sub(t, 1, t.len));
	}
	if (!exim_parse_time(t, &s->interval))
		return (arena_fmt(st->env->arena, "failed to parse '" SV_FMT "'", SV_ARG(whole)));
	while (arg.len > 0) {
		struct sv o = piece(&arg);

		if (sv_starts(o, "key="))
			s->key = sv_sub(o, 4, o.len);
		else if (sv_eqs(o, "readonly"))
			s->readonly = true;
		else if (sv_eqs(o, "write"))
			s->write = true;
		else if (!sv_starts(o, "refresh="))
			return (arena_fmt(st->env->arena, "unrecognised option '" SV_FMT "' in '" SV_FMT "'", SV_ARG(o),
			    SV_ARG(whole)));
		else if (!exim_parse_time(sv_sub(o, 8, o.len), &s->refresh))
			return (arena_fmt(st->env->arena, "failed to parse '" SV_FMT "'", SV_ARG(whole)));
	}
	if (s->key.p == NULL)
		s->key = st->env->session == NULL ? SV_LIT("") : st->env->session->host_address;
	return (NULL);
}

enum acl_rc
acl_seen(struct acl_state *st, struct sv arg)
{
	const struct exim_world *w = st->env->world;
	struct seen s;
	const char *why = parse_seen(st, arg, &s);
	int64_t now, stamp = 0, test;
	struct sv v;
	char text[32];
	bool found = false, yes, put;

	if (why != NULL)
		return (acl_wrong(st, "%s", why));
	if (w->hint_get == NULL || w->now == NULL)
		return (acl_defer(st, "seen: no hints database is there"));
	now = w->now(w->arg, NULL);
	test = now - s.interval;
	if (w->hint_get(w->arg, "seen", s.key, st->env->arena, &v) == EXIM_FOUND)
		found = num_parse(v, 0, INT64_MAX, &stamp);
	yes = found && (s.before ? stamp <= test : stamp >= test);
	put = s.write || (!s.readonly && (!found || !s.before));
	if (!put && !s.readonly && s.before && yes && now - stamp > s.refresh) {
		put = true;
		now = test;
	}
	if (put && w->hint_put != NULL) {
		(void)snprintf(text, sizeof(text), "%lld", (long long)now);
		(void)w->hint_put(w->arg, "seen", s.key, sv_cstr(text), SEEN_TTL);
	}
	return (yes ? RC_OK : RC_FAIL);
}
