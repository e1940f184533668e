/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Callouts: what is known already, the dialogue, what is kept of it.
 *
 * Keys of the hints table "callout": "d" domain: nothing works there; "m" domain: the empty sender is refused; "p"
 * domain: postmaster; "r" domain: random local parts; "a" address, with a sender that is not empty behind a slash.  Values
 * are "1" accepted and "0" refused; each lives as long as the callout_*_expire option of its kind says.
 */
#include "exim/callout.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/sb.h"
#include "exim/conf.h"

#define TIMEOUT		30		/* seconds for one answer */
#define WAIT_FACTOR	4		/* maxwait, in time-outs */
#define LINE_MAX_	1024		/* of a command */
#define KEY_MAX		1024

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

static struct sv
key_of(struct callout *c, char kind)
{
	struct sb sb = SB_INIT(KEY_MAX);
	struct sv k;

	sb_addf(&sb, "%c ", kind);
	if (kind == 'a') {
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

/* '1', '0', or 0: not known. */
static char
known(struct callout *c, char kind)
{
	const struct exim_world *w = c->env->world;
	struct sv key = key_of(c, kind), v;

	if (!c->cache || key.p == NULL || w->hint_get == NULL ||
	    w->hint_get(w->arg, "callout", key, c->env->arena, &v) != EXIM_FOUND || v.len == 0)
		return (0);
	return (v.p[0]);
}

static void
keep(struct callout *c, char kind, bool accepted)
{
	const struct exim_world *w = c->env->world;
	enum exim_main_opt opt = kind == 'a' ?
	    (accepted ? EXIM_MAIN_callout_positive_expire : EXIM_MAIN_callout_negative_expire) :
	    (accepted ? EXIM_MAIN_callout_domain_positive_expire : EXIM_MAIN_callout_domain_negative_expire);
	struct sv key = key_of(c, kind);
	int64_t ttl = c->env->conf == NULL ? 0 : exim_main_int(c->env->conf, opt);

	if (c->cache && key.p != NULL && w->hint_put != NULL && ttl > 0)
		(void)w->hint_put(w->arg, "callout", key, accepted ? SV_LIT("1") : SV_LIT("0"), ttl);
}

static enum exim_result
fail(struct callout *c, const char *failure, struct sv user)
{
	c->out->failure = sv_cstr(failure);
	c->out->user_msg = user;
	return (EXIM_FAIL);
}

/* EXIM_OK with *<answer> when nothing has to be asked any more. */
static bool
from_cache(struct callout *c, enum exim_result *answer)
{
	char known_pm, known_random;

	if (known(c, 'd') == '0' || (c->from.len == 0 && known(c, 'm') == '0')) {
		*answer = fail(c, "mail", SV_LIT("(result of an earlier callout reused)."));
		return (true);
	}
	known_random = c->random ? known(c, 'r') : 0;
	if (known_random == '1') {
		c->out->failure = SV_LIT("random");
		*answer = EXIM_OK;
		return (true);
	}
	if (known_random == '0')
		c->random = false;
	known_pm = c->postmaster ? known(c, 'p') : 0;
	if (known_pm == '0') {
		*answer = fail(c, "postmaster", SV_LIT("(result of earlier verification reused)."));
		return (true);
	}
	if (known_pm == '1')
		c->postmaster = false;
	switch (known(c, 'a')) {
	case '0':
		*answer = fail(c, "recipient", SV_LIT("Previous (cached) callout verification failure"));
		return (true);
	case '1':
		*answer = EXIM_OK;
		return (!c->postmaster);
	default:
		return (false);
	}
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
		return (EXIM_OK);
	case 5:
		if (c->from.len == 0)
			keep(c, 'm', false);
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
		keep(c, 'r', true);
		c->out->failure = SV_LIT("random");
		return (EXIM_OK);
	case 5:
		keep(c, 'r', false);
		break;
	case 0:
		return (undecided(c));
	default:
		break;
	}
	return (say(c, "RSET") == 2 ? EXIM_FAIL : undecided(c));
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
		keep(c, 'p', got == 2);
	if (got == 5)
		res = refused(c, "postmaster", false);
	else if (got != 2)
		res = undecided(c);
	return (res);
}

static enum exim_result
dialogue(struct callout *c)
{
	enum exim_result res;

	if (c->random && (res = ask_random(c)) != EXIM_FAIL)
		return (res == EXIM_FORCED ? EXIM_FAIL : res);
	if ((res = mail_from(c)) != EXIM_OK)
		return (res);
	switch (say(c, "RCPT TO:<" SV_FMT ">", SV_ARG(c->address))) {
	case 2:
		keep(c, 'a', true);
		return (c->postmaster ? ask_postmaster(c) : EXIM_OK);
	case 5:
		keep(c, 'a', false);
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
	if (c->peer->open(c->peer->arg, c->host, &c->r))
		res = dialogue(c);
	else {
		c->sent = c->r.what == NULL ? "initial connection" : c->r.what;
		res = c->r.code / 100 == 5 ? refused(c, "mail", false) : undecided(c);
		if (res == EXIM_FAIL)
			keep(c, 'd', false);
	}
	c->peer->close(c->peer->arg);
	return (res);
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
	const struct exim_world *w = env->world;
	int64_t begin = w->now == NULL ? 0 : w->now(w->arg, NULL);
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
		if (c.host > 0 && w->now != NULL && w->now(w->arg, NULL) - begin >= wait) {
			out->log_msg = SV_LIT("the time for the callout is over");
			break;
		}
		res = one_host(&c);
	}
	if (res != EXIM_DEFER)
		return (res);
	title = v->what == EXIM_VERIFY_RECIPIENT ? "Could not complete recipient verify callout" :
	    "Could not complete sender verify callout";
	out->user_msg = sv_cstr(title);
	out->log_msg = out->log_msg.len == 0 ? out->user_msg :
	    sv_cstr(arena_fmt(env->arena, "%s: " SV_FMT, title, SV_ARG(out->log_msg)));
	return (EXIM_DEFER);
}
