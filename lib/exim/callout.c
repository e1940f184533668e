/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Callouts: what is known already, the dialogue, what is kept of it.
 *
 * Keys of the hints table "callout": "d" domain, and "a" address with a sender that is not empty behind a slash.  A value
 * is three answers with their times: of the domain (what greets and MAIL came to) or the address, of its postmaster, of random
 * local parts.  How old they may be is decided when they are read, by callout_*_expire as it is then.
 */
#include "exim/callout.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/num.h"
#include "base/sb.h"
#include "exim/conf.h"

#define TIMEOUT		30		/* seconds for one answer */
#define WAIT_FACTOR	4		/* maxwait, in time-outs */
#define LINE_MAX_	1024		/* of a command */
#define KEY_MAX		1024

enum { UNKNOWN = '-', ACCEPTED = 'y', REFUSED = 'n', EMPTY_REFUSED = 'e' };

struct answer {
	char		 is;		/* one of the above */
	int64_t		 at;		/* seconds */
};

/* EMPTY_REFUSED, of a domain's main answer only: MAIL FROM:<> was, other senders are not known to be. */
struct memory {
	struct answer	 main, postmaster, random;
};

struct callout {
	struct exim_env	*env;
	const struct exim_verify *v;
	const struct exim_callout_peer *peer;
	struct exim_verify_result *out;
	struct sv	 address, domain;
	struct sv	 from;		/* of MAIL */
	bool		 cache;
	bool		 random;	/* still to be asked */
	bool		 postmaster;
	bool		 again;		/* the line is gone for a reason that does not count: open it anew */
	bool		 empty_refused;	/* an earlier callout found it so */
	struct memory	 known;		/* of the domain: what was known, and what comes to it */
	size_t		 host;
	const char	*sent;		/* the command that was answered last */
	struct exim_callout_reply r;
};

int64_t
exim_callout_timeout(const struct exim_verify *v)
{
	return (v->callout_timeout > 0 ? v->callout_timeout : TIMEOUT);
}

int64_t
exim_callout_connect(const struct exim_verify *v)
{
	return (v->callout_connect > 0 ? v->callout_connect : exim_callout_timeout(v));
}

/* ---- what is known ---- */

static int64_t
now_of(const struct callout *c)
{
	const struct exim_world *w = c->env->world;

	return (w->now == NULL ? 0 : w->now(w->arg, NULL));
}

/* Of the domain, or (<address>) of the address with a sender that is not empty. */
static struct sv
key_of(struct callout *c, bool address)
{
	struct sb sb = SB_INIT(KEY_MAX);
	struct sv k;

	sb_adds(&sb, address ? "a " : "d ");
	if (address) {
		sb_add(&sb, c->address);
		if (c->from.len > 0)
			sb_addf(&sb, "/" SV_FMT, SV_ARG(c->from));
	} else
		for (size_t i = 0; i < c->domain.len; i++)
			sb_addc(&sb, sv_lower(c->domain.p[i]));
	k = sb.overflow ? SV_NULL : arena_sv(c->env->arena, sb_sv(&sb));
	sb_free(&sb);
	return (k);
}

static int64_t
expiry(struct callout *c, bool address, bool negative)
{
	enum exim_main_opt opt = address ?
	    (negative ? EXIM_MAIN_callout_negative_expire : EXIM_MAIN_callout_positive_expire) :
	    (negative ? EXIM_MAIN_callout_domain_negative_expire : EXIM_MAIN_callout_domain_positive_expire);

	return (c->env->conf == NULL ? 0 : exim_main_int(c->env->conf, opt));
}

/* One answer and its time. */
static bool
take_answer(struct sv *v, struct answer *a)
{
	struct sv word, when;

	if (!sv_word(v, &word) || word.len != 1 || !sv_word(v, &when) || !num_parse(when, 0, INT64_MAX, &a->at))
		return (false);
	a->is = word.p[0];
	return (true);
}

/* What is not too old by the options as they are now; a record counts as negative by its main answer or its postmaster's. */
static bool
recall(struct callout *c, bool address, struct memory *m)
{
	const struct exim_world *w = c->env->world;
	struct sv key = key_of(c, address), v;
	int64_t now = now_of(c), max;

	if (!c->cache || key.p == NULL || w->hint_get == NULL ||
	    w->hint_get(w->arg, "callout", key, c->env->arena, &v) != EXIM_FOUND || !take_answer(&v, &m->main) ||
	    !take_answer(&v, &m->postmaster) || !take_answer(&v, &m->random))
		return (false);
	max = expiry(c, address, m->main.is != ACCEPTED || (!address && m->postmaster.is == REFUSED));
	if (now - m->main.at > max)
		return (false);
	if (now - m->postmaster.at > max)
		m->postmaster.is = UNKNOWN;
	if (now - m->random.at > max)
		m->random.is = UNKNOWN;
	return (true);
}

static void
remember(struct callout *c, bool address, struct memory *m)
{
	const struct exim_world *w = c->env->world;
	struct sv key = key_of(c, address);
	int64_t yes = expiry(c, address, false), no = expiry(c, address, true), ttl = yes > no ? yes : no;

	if (m->main.is == UNKNOWN || !c->cache || key.p == NULL || w->hint_put == NULL || ttl <= 0)
		return;
	m->main.at = now_of(c);
	(void)w->hint_put(w->arg, "callout", key, sv_cstr(arena_fmt(c->env->arena, "%c %lld %c %lld %c %lld", m->main.is,
	    (long long)m->main.at, m->postmaster.is, (long long)m->postmaster.at, m->random.is, (long long)m->random.at)), ttl);
}

static void
note(struct callout *c, struct answer *a, bool accepted)
{
	a->is = accepted ? ACCEPTED : REFUSED;
	a->at = now_of(c);
}

static enum exim_result
fail(struct callout *c, const char *failure, struct sv user)
{
	c->out->failure = sv_cstr(failure);
	c->out->user_msg = user;
	return (EXIM_FAIL);
}

/* What the domain's record says.  True with *<answer> when nothing has to be asked any more; *<ask>: look no further, ask. */
static bool
from_domain(struct callout *c, enum exim_result *answer, bool *ask)
{
	struct memory *m = &c->known;

	*ask = false;
	if (!recall(c, false, m)) {
		*m = (struct memory){ { UNKNOWN, 0 }, { UNKNOWN, 0 }, { UNKNOWN, 0 } };
		return (false);
	}
	c->empty_refused = m->main.is == EMPTY_REFUSED;
	if (m->main.is == REFUSED || (c->from.len == 0 && c->empty_refused)) {
		*answer = fail(c, "mail", SV_LIT("(result of an earlier callout reused)."));
		return (true);
	}
	if (c->random && m->random.is == ACCEPTED) {
		c->out->failure = SV_LIT("random");
		*answer = EXIM_OK;
		return (true);
	}
	*ask = c->random && m->random.is == UNKNOWN;
	c->random = *ask;
	if (*ask || !c->postmaster)
		return (false);
	if (m->postmaster.is == REFUSED) {
		*answer = fail(c, "postmaster", SV_LIT("(result of earlier verification reused)."));
		return (true);
	}
	*ask = m->postmaster.is == UNKNOWN;
	c->postmaster = *ask;
	return (false);
}

/* True with *<answer> when nothing has to be asked any more. */
static bool
from_cache(struct callout *c, enum exim_result *answer)
{
	struct memory m;
	bool ask;

	if (from_domain(c, answer, &ask))
		return (true);
	/* What is kept of the domain's main answer is what the dialogue comes to. */
	c->known.main.is = UNKNOWN;
	if (ask || !recall(c, true, &m))
		return (false);
	*answer = m.main.is == ACCEPTED ? EXIM_OK : fail(c, "recipient", SV_LIT("Previous (cached) callout verification failure"));
	return (true);
}

/* ---- the dialogue ---- */

/* The answer is a digit: 2, 4, 5; 0 when the line is gone. */
static int say(struct callout *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int
say(struct callout *c, const char *fmt, ...)
{
	char line[LINE_MAX_];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	c->r = (struct exim_callout_reply){ .code = 0 };
	c->sent = arena_str(c->env->arena, line);
	/* An address with a line end inside, or one that does not fit, is none that can be asked about. */
	if (n < 0 || (size_t)n >= sizeof(line) || strpbrk(line, "\r\n") != NULL) {
		c->r.text = SV_LIT("the address cannot be put into a command");
		return (0);
	}
	c->peer->command(c->peer->arg, c->sent, &c->r);
	return (c->r.code / 100);
}

/* A final no of the host to <c->sent>. */
static enum exim_result
refused(struct callout *c, const char *failure, bool mail)
{
	struct arena *a = c->env->arena;
	const char *host = c->peer->name(c->peer->arg, c->host);

	if (mail)
		c->out->log_msg = sv_cstr(arena_fmt(a, "%s : response to \"%s\" was: " SV_FMT, host, c->sent, SV_ARG(c->r.text)));
	else
		c->out->log_msg = sv_cstr(arena_fmt(a, "%s : SMTP error from remote mail server after %s: " SV_FMT, host, c->sent,
		    SV_ARG(c->r.text)));
	if (c->v->what == EXIM_VERIFY_RECIPIENT)
		return (fail(c, failure, sv_cstr(arena_fmt(a, "Callout verification failed:\n" SV_FMT, SV_ARG(c->r.text)))));
	return (fail(c, failure, sv_cstr(arena_fmt(a, "Called:   %s\nSent:     %s\nResponse: " SV_FMT,
	    c->peer->address(c->peer->arg, c->host), c->sent, SV_ARG(c->r.text)))));
}

/* No final word: why, for the log. */
static enum exim_result
undecided(struct callout *c)
{
	const char *host = c->peer->name(c->peer->arg, c->host);

	if (c->r.code != 0)
		c->out->log_msg = sv_cstr(arena_fmt(c->env->arena, "%s : SMTP error from remote mail server after %s: " SV_FMT, host,
		    c->sent, SV_ARG(c->r.text)));
	else
		c->out->log_msg = sv_cstr(arena_fmt(c->env->arena, "%s : " SV_FMT, host, SV_ARG(c->r.text)));
	return (EXIM_DEFER);
}

static enum exim_result
mail_from(struct callout *c)
{
	switch (say(c, "MAIL FROM:<" SV_FMT ">", SV_ARG(c->from))) {
	case 2:
		c->known.main.is = c->empty_refused ? EMPTY_REFUSED : ACCEPTED;
		return (EXIM_OK);
	case 5:
		/* Of another sender's refusal nothing follows for the next. */
		if (c->from.len == 0 || c->empty_refused)
			c->known.main.is = EMPTY_REFUSED;
		return (refused(c, "mail", true));
	default:
		return (undecided(c));
	}
}

static struct sv
random_part(struct callout *c)
{
	struct err err = ERR_INIT;
	struct sv v;

	if (c->env->conf == NULL || exim_expand(exim_main_str(c->env->conf, EXIM_MAIN_callout_random_local_part), c->env, &v,
	    &err) != EXIM_OK)
		return (SV_LIT(""));
	return (v);
}

/* EXIM_FAIL: it is not so that anything goes. */
static enum exim_result
ask_random(struct callout *c)
{
	struct sv local = random_part(c);
	enum exim_result res;

	c->random = false;
	if (local.len == 0)
		return (EXIM_FAIL);
	if ((res = mail_from(c)) != EXIM_OK)
		return (res == EXIM_FAIL ? EXIM_FORCED : res);
	switch (say(c, "RCPT TO:<" SV_FMT "@" SV_FMT ">", SV_ARG(local), SV_ARG(c->domain))) {
	case 2:
		note(c, &c->known.random, true);
		c->out->failure = SV_LIT("random");
		return (EXIM_OK);
	case 5:
		note(c, &c->known.random, false);
		break;
	case 0:
		c->again = true;
		return (undecided(c));
	default:
		break;
	}
	if (say(c, "RSET") == 2)
		return (EXIM_FAIL);
	/* The host had enough: the address is asked about in a dialogue of its own. */
	c->again = true;
	return (undecided(c));
}

static enum exim_result
ask_postmaster(struct callout *c)
{
	struct sv from = c->from, pm = c->v->callout_postmaster_mailfrom;
	enum exim_result res = EXIM_OK;
	int got;

	if (say(c, "RSET") != 2)
		return (undecided(c));
	c->from = pm.p == NULL ? SV_LIT("") : pm;
	got = say(c, "MAIL FROM:<" SV_FMT ">", SV_ARG(c->from));
	if (got == 2)
		got = say(c, "RCPT TO:<postmaster@" SV_FMT ">", SV_ARG(c->domain));
	if (got == 5 && c->v->callout_fullpostmaster)
		got = say(c, "RCPT TO:<postmaster>");
	c->from = from;
	if (got == 2 || got == 5)
		note(c, &c->known.postmaster, got == 2);
	if (got == 5)
		res = refused(c, "postmaster", false);
	else if (got != 2)
		res = undecided(c);
	return (res);
}

static void
keep_address(struct callout *c, bool accepted)
{
	struct memory m = { { accepted ? ACCEPTED : REFUSED, 0 }, { UNKNOWN, 0 }, { UNKNOWN, 0 } };

	remember(c, true, &m);
}

static enum exim_result
dialogue(struct callout *c)
{
	enum exim_result res;

	if (c->random && (res = ask_random(c)) != EXIM_FAIL)
		return (res == EXIM_FORCED ? EXIM_FAIL : res);
	if ((res = mail_from(c)) != EXIM_OK)
		return (res);
	switch (say(c, "RCPT TO:<" SV_FMT ">", SV_ARG(c->peer->rcpt.p != NULL ? c->peer->rcpt : c->address))) {
	case 2:
		keep_address(c, true);
		return (c->postmaster ? ask_postmaster(c) : EXIM_OK);
	case 5:
		keep_address(c, false);
		return (refused(c, "recipient", false));
	default:
		return (undecided(c));
	}
}

static enum exim_result
one_host(struct callout *c)
{
	enum exim_result res;

	c->env->acl->callout_address = sv_cstr(c->peer->address(c->peer->arg, c->host));
	c->r = (struct exim_callout_reply){ .code = 0 };
	c->again = false;
	if (c->peer->open(c->peer->arg, c->host, &c->r))
		res = dialogue(c);
	else {
		c->sent = c->r.what == NULL ? "initial connection" : c->r.what;
		res = c->r.code / 100 == 5 ? refused(c, "mail", false) : undecided(c);
		if (res == EXIM_FAIL)
			c->known.main.is = REFUSED;
	}
	c->peer->close(c->peer->arg);
	/* Once: random local parts are not asked for again. */
	return (c->again ? one_host(c) : res);
}

static void
set_sender(struct callout *c)
{
	const struct exim_verify *v = c->v;

	c->from = v->callout_mailfrom.p == NULL ? SV_LIT("") : v->callout_mailfrom;
	if (v->what != EXIM_VERIFY_RECIPIENT)
		return;
	c->from = SV_LIT("");
	if (v->callout_use_sender && c->env->msg != NULL)
		c->from = c->env->msg->sender;
	else if (v->callout_use_postmaster && c->env->g != NULL)
		c->from = sv_cstr(arena_fmt(c->env->arena, "postmaster@" SV_FMT, SV_ARG(c->env->g->qualify_domain)));
}

enum exim_result
exim_callout(struct exim_env *env, const struct exim_verify *v, struct sv address, const struct exim_callout_peer *peer,
    struct exim_verify_result *out)
{
	struct callout c = { .env = env, .v = v, .peer = peer, .out = out, .address = address, .cache = !v->callout_no_cache,
	    .random = v->callout_random, .postmaster = v->callout_postmaster || v->callout_fullpostmaster };
	int64_t begin = now_of(&c);
	int64_t wait = v->callout_maxwait > 0 ? v->callout_maxwait : WAIT_FACTOR * exim_callout_timeout(v);
	enum exim_result res = EXIM_DEFER;
	ptrdiff_t at = sv_rchr(address, '@');
	const char *title;

	assert(at >= 0);
	c.domain = sv_sub(address, (size_t)at + 1, address.len);
	set_sender(&c);
	out->asked = true;
	if (from_cache(&c, &res))
		return (res);
	res = EXIM_DEFER;
	for (c.host = 0; c.host < peer->nhosts && res == EXIM_DEFER; c.host++) {
		if (c.host > 0 && now_of(&c) - begin >= wait)
			break;
		res = one_host(&c);
	}
	remember(&c, false, &c.known);
	if (res != EXIM_DEFER)
		return (res);
	title = v->what == EXIM_VERIFY_RECIPIENT ? "Could not complete recipient verify callout" :
	    "Could not complete sender verify callout";
	out->user_msg = sv_cstr(title);
	out->log_msg = out->log_msg.len == 0 ? out->user_msg :
	    sv_cstr(arena_fmt(env->arena, "%s: " SV_FMT, title, SV_ARG(out->log_msg)));
	return (EXIM_DEFER);
}
