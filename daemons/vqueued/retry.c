/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When to try again: the configuration's retry rules (chapter 32 of Exim's manual)
 * applied to addresses and hosts, and what is remembered of hosts that failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "vqueued_int.h"

#define HINT_DB		"retry"
#define HOSTS_MAX	20000		/* failing hosts remembered */

static int64_t
retry_max(struct vq *vq)
{
	return (exim_main_int(vq->conf, EXIM_MAIN_retry_interval_max));
}

static const struct exim_retry_rule *
find_rule(struct vq *vq, struct exim_env *env, const struct retry_failure *f)
{
	struct sb addr = SB_INIT(4096);
	struct exim_retry_what w = { .sender = f->sender, .error = f->what, .host = f->kind, .code = f->code };
	const struct exim_retry_rule *r;

	if (f->host) {
		w.key = f->key;
		w.alternate = f->domain;
	} else if (f->what == EXIM_RE_RCPT_4XX || f->what == EXIM_RE_QUOTA || f->what == EXIM_RE_ANY) {
		sb_add(&addr, f->local_part);
		sb_addc(&addr, '@');
		sb_add(&addr, f->domain);
		w.key = sb_sv(&addr);
		w.alternate = f->domain;
	} else {
		w.key = f->domain;
	}
	r = exim_retry_find(vq->conf, env, &w);
	sb_free(&addr);
	return (r);
}

int64_t
retry_next(struct vq *vq, struct exim_env *env, const struct retry_failure *f, int64_t first_failed, int64_t now)
{
	const struct exim_retry_rule *r = find_rule(vq, env, f);

	if (r == NULL)
		return (0);
	return (exim_retry_next(r, first_failed == 0 ? now : first_failed, now, now, (uint32_t)hash_bytes(&now, sizeof(now)),
	    retry_max(vq)));
}

/* ---- hosts ---- */

static void
hint_save(struct vq *vq, struct sv key, const struct host_hint *h)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "%lld %lld %lld %d", (long long)h->first_failed, (long long)h->last_try,
	    (long long)h->next_try, h->expired);

	if (vq->hints != NULL)
		(void)hints_put(vq->hints, HINT_DB, key, sv_from(text, (size_t)n), now_s(),
		    exim_main_int(vq->conf, EXIM_MAIN_retry_data_expire), NULL);
}

static bool
hint_parse(struct sv text, struct host_hint *h)
{
	int64_t n[4];
	struct sv word;

	for (size_t i = 0; i < 4; i++)
		if (!sv_word(&text, &word) || !num_parse(word, 0, INT64_MAX, &n[i]))
			return (false);
	*h = (struct host_hint){ n[0], n[1], n[2], n[3] != 0 };
	return (true);
}

static struct host_hint *
hint_load(struct vq *vq, struct sv key)
{
	struct host_hint *h = hash_get(vq->hosts, key), got;
	struct sb v = SB_INIT(256);

	if (h != NULL || vq->hints == NULL)
		return (h);
	if (hints_get(vq->hints, HINT_DB, key, now_s(), &v) && hint_parse(sb_sv(&v), &got)) {
		h = xcalloc(1, sizeof(*h));
		*h = got;
		(void)hash_set(vq->hosts, key, h);
	}
	sb_free(&v);
	return (h);
}

bool
retry_host_get(struct vq *vq, struct sv key, struct host_hint *out)
{
	struct host_hint *h = hint_load(vq, key);

	if (h == NULL || now_s() - h->last_try > exim_main_int(vq->conf, EXIM_MAIN_retry_data_expire))
		return (false);
	*out = *h;
	return (true);
}

int64_t
retry_host_failed(struct vq *vq, struct exim_env *env, struct sv key, const struct retry_failure *f)
{
	struct host_hint *h = hint_load(vq, key);
	const struct exim_retry_rule *r = find_rule(vq, env, f);
	int64_t now = now_s(), next;

	if (h == NULL) {
		if (hash_count(vq->hosts) >= HOSTS_MAX)
			return (now + 900);
		h = xcalloc(1, sizeof(*h));
		(void)hash_set(vq->hosts, key, h);
	}
	if (h->first_failed == 0 || now - h->last_try > exim_main_int(vq->conf, EXIM_MAIN_retry_data_expire))
		h->first_failed = now;
	next = r == NULL ? 0 : exim_retry_next(r, h->first_failed, now, now, (uint32_t)hash_bytes(&now, sizeof(now)),
	    retry_max(vq));
	h->last_try = now;
	h->expired = next == 0;
	/* Past the last cutoff the last interval goes on, so that the host is not asked for each message. */
	h->next_try = next != 0 ? next : r != NULL && r->nsteps > 0 ? now + r->step[r->nsteps - 1].interval : now;
	hint_save(vq, key, h);
	return (next);
}

void
retry_host_ok(struct vq *vq, struct sv key)
{
	if (hint_load(vq, key) == NULL)
		return;
	free(hash_del(vq->hosts, key));
	if (vq->hints != NULL)
		hints_del(vq->hints, HINT_DB, key);
}
