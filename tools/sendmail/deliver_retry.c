/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What failed and when it is tried again (chapter 32 of Exim's manual): hints below the spool's db, one for each
 * domain or address whose routing failed ("R:..."), each local delivery ("T:address") and each host ("T:name:address:port",
 * with the message's id behind it where only that message was refused for now).  They may be lost at any time.
 */
#include <stdio.h>

#include "base/num.h"
#include "deliver_int.h"
#include "hints/hints.h"

#define TABLE	"retry"

bool
dretry_get(struct deliver *d, struct sv key, struct dhint *out)
{
	struct hints *h = testing_hints(d->t);
	struct sb text = SB_INIT(256);
	int64_t n[4] = { 0 };
	struct sv rest, word;
	size_t k = 0;

	if (h == NULL || !hints_get(h, TABLE, key, dnow(), &text)) {
		sb_free(&text);
		return (false);
	}
	rest = sb_sv(&text);
	while (k < 4 && sv_word(&rest, &word) && num_parse(word, 0, INT64_MAX / 2, &n[k]))
		k++;
	sb_free(&text);
	*out = (struct dhint){ n[0], n[1], n[2], n[3] != 0 };
	return (k == 4 && dnow() - n[1] <= exim_main_int(d->conf, EXIM_MAIN_retry_data_expire));
}

void
dretry_forget(struct deliver *d, struct sv key)
{
	struct hints *h = testing_hints(d->t);
	struct dhint had;

	if (h != NULL && dretry_get(d, key, &had))
		hints_del(h, TABLE, key);
}

bool
dretry_waits(struct deliver *d, struct sv key, struct dhint *out)
{
	return (!d->forced && dretry_get(d, key, out) && dnow() < out->next);
}

bool
dretry_failed(struct deliver *d, const struct dmsg *m, struct sv key, const struct exim_retry_what *w)
{
	const struct exim_retry_rule *r = exim_retry_find(d->conf, &d->t->env, w);
	struct hints *h = testing_hints(d->t);
	struct dhint hint = { 0 };
	int64_t now = dnow(), next;
	char text[128];
	int n;

	if (r == NULL)
		return (false);
	if (!dretry_get(d, key, &hint))
		hint = (struct dhint){ .first = now, .last = now };
	next = exim_retry_next(r, hint.first, hint.last, now, 0, exim_main_int(d->conf, EXIM_MAIN_retry_interval_max));
	hint.expired = exim_retry_expired(r, hint.first, now);
	/* Past the last cutoff the last interval goes on, so that the host is not asked for each message. */
	if (next == 0 && r->nsteps > 0)
		next = now + r->step[r->nsteps - 1].interval;
	n = snprintf(text, sizeof(text), "%lld %lld %lld %d", (long long)hint.first, (long long)now, (long long)next, hint.expired);
	if (h != NULL)
		(void)hints_put(h, TABLE, key, sv_from(text, (size_t)n), now,
		    exim_main_int(d->conf, EXIM_MAIN_retry_data_expire), NULL);
	(void)m;
	return (!hint.expired);
}

/* ---- keys ---- */

struct sv
dretry_key_routing(struct deliver *d, struct arena *a, struct sv addr, bool whole)
{
	ptrdiff_t at = sv_rchr(addr, '@');

	(void)d;
	if (!whole && at >= 0)
		addr = sv_sub(addr, (size_t)at + 1, addr.len);
	return (sv_cstr(arena_fmt(a, "R:" SV_FMT, SV_ARG(addr))));
}

struct sv
dretry_key_rcpt(struct arena *a, struct sv addr, struct sv sender)
{
	return (sv_cstr(arena_fmt(a, "R:" SV_FMT ":<" SV_FMT ">", SV_ARG(addr), SV_ARG(sender))));
}

bool
dretry_routing_waits(struct deliver *d, struct dmsg *m, struct sv addr)
{
	struct dhint hint;

	return (d->queue_run && (dretry_waits(d, dretry_key_routing(d, m->arena, addr, false), &hint) ||
	    dretry_waits(d, dretry_key_routing(d, m->arena, addr, true), &hint) ||
	    dretry_waits(d, dretry_key_rcpt(m->arena, addr, m->sender), &hint)));
}
