/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Remote deliveries.  A destination is a transport and a list of hosts; it has a line of
 * jobs (one transaction each) and workers (remote_send.c), each a fiber with at most one connection, over
 * which it sends job after job.  Connections to one destination are limited by the box's
 * remote_concurrency, all together by CONNECTIONS_MAX.
 */
#include <stdlib.h>
#include <string.h>

#include "remote_int.h"

#define CONNECTIONS_MAX	500
#define JOBS_MAX	1000		/* waiting for one destination; more go to queue/ */
#define JOBS_ALL_MAX	4000		/* for all together, so that local mail always finds a place */
#define PROGRESS_MS	5000
#define DEFER_S		300

static int
by_text(const void *a, const void *b)
{
	return (strcmp(*(char *const *)a, *(char *const *)b));
}

/* The same hosts in any order (equal preferences are shuffled) are one destination; fallback hosts are apart. */
static void
dest_key(struct sb *key, const struct exim_transport *tr, const struct deliver_hosts *hosts, struct arena *a)
{
	size_t n = hosts->n;
	char **v = arena_alloc(a, (n + 1) * sizeof(*v)), ip[NET_ADDR_TEXT_MAX];

	for (size_t i = 0; i < n; i++)
		v[i] = arena_fmt(a, "|%s%s %s %u%s%s", i < hosts->fallback ? "" : "~", hosts->v[i].name,
		    net_addr_text(&hosts->v[i].addr, ip), hosts->v[i].addr.port, hosts->v[i].dnssec ? "+" : "",
		    hosts->v[i].asked != NULL ? hosts->v[i].asked : "");
	qsort(v, n, sizeof(*v), by_text);
	sb_adds(key, tr->d.name);
	for (size_t i = 0; i < n; i++)
		sb_adds(key, v[i]);
}

static struct dest *
dest_get(struct vq *vq, const struct exim_transport *tr, const struct deliver_hosts *hosts, struct arena *a)
{
	struct sb key = SB_INIT(1024 * 1024);
	struct dest *d;

	dest_key(&key, tr, hosts, a);
	d = hash_get(vq->dests, sb_sv(&key));
	if (d == NULL) {
		d = xcalloc(1, sizeof(*d));
		d->vq = vq;
		d->key = xstrdup(sb_cstr(&key));
		d->tr = tr;
		d->arena = arena_new(512);
		d->hosts = *hosts;
		d->hosts.v = arena_dup(d->arena, hosts->v, hosts->n * sizeof(*hosts->v));
		for (size_t i = 0; i < hosts->n; i++) {
			d->hosts.v[i].name = arena_str(d->arena, hosts->v[i].name);
			if (hosts->v[i].asked != NULL)
				d->hosts.v[i].asked = arena_str(d->arena, hosts->v[i].asked);
		}
		d->hosts.unknown = d->hosts.why = NULL;
		d->last_ok = fiber_now();
		d->last = &d->head;
		(void)hash_set(vq->dests, sv_cstr(d->key), d);
	}
	sb_free(&key);
	return (d);
}

void
remote_dest_release(struct dest *d)
{
	d->held--;
	remote_dest_unused(d);
}

void
remote_dest_unused(struct dest *d)
{
	if (d->workers > 0 || d->head != NULL || d->held > 0)
		return;
	(void)hash_del(d->vq->dests, sv_cstr(d->key));
	free(d->key);
	arena_free(&d->arena);
	free(d);
}

/* The process ends, or has no room: later. */
void
remote_put_off(struct remote_job *j)
{
	struct err err = ERR_INIT;

	err_set(&err, ERR_TEMP, "4.3.2", "too many deliveries are under way");
	for (size_t i = 0; i < j->n; i++)
		delivery_deferred(j->v[i], &err, now_s() + 60, NULL);
}

/* Those of the same message that wait have no better chance. */
static void
put_off_later(struct msg *m)
{
	struct remote_job *j;

	while ((j = m->remote_later) != NULL) {
		m->remote_later = j->next;
		remote_dest_release(j->dest);
		remote_put_off(j);
		free(j->v);
		free(j);
	}
}

/* No fiber could be started, and none works for the destination: later. */
static void
jobs_dropped(struct dest *d)
{
	struct remote_job *j;

	d->held++;
	while ((j = d->head) != NULL) {
		if ((d->head = j->next) == NULL)
			d->last = &d->head;
		d->njobs--;
		d->vq->jobs--;
		j->m->remote_jobs--;
		put_off_later(j->m);
		remote_put_off(j);
		free(j->v);
		free(j);
	}
	remote_dest_release(d);
}

/* Into the line of <d>, which may be gone afterwards. */
static void
job_add(struct dest *d, struct remote_job *j)
{
	struct vq *vq = d->vq;

	j->next = NULL;
	*d->last = j;
	d->last = &j->next;
	d->njobs++;
	vq->jobs++;
	if (d->idle > 0) {
		fiber_waiters_wake_one(&d->wait);
		if (d->njobs <= d->idle)
			return;
	}
	if (d->workers < (unsigned)vq->box->remote_concurrency && (vq->connections < CONNECTIONS_MAX || d->workers == 0) &&
	    fiber_spawn("remote", remote_worker, d) != NULL) {
		d->workers++;
		vq->connections++;
	}
	if (d->workers == 0)
		jobs_dropped(d);
}

/*
 * An open job is complete.  remote_max_parallel, where the configuration sets it: so many jobs of a message at a time; one
 * that waits for others goes on holding <d>.
 */
static void
job_ready(struct dest *d, struct remote_job *j)
{
	const struct exim_value *v = &d->vq->conf->main[EXIM_MAIN_remote_max_parallel];
	struct msg *m = j->m;

	if (v->set && m->remote_jobs >= (v->num < 1 ? 1 : v->num)) {
		j->next = NULL;
		j->dest = d;
		if (m->remote_later == NULL)
			m->remote_last = &m->remote_later;
		*m->remote_last = j;
		m->remote_last = &j->next;
		return;
	}
	m->remote_jobs++;
	d->held--;
	job_add(d, j);
}

void
remote_next(struct msg *m)
{
	struct remote_job *j = m->remote_later;

	if (j == NULL)
		return;
	m->remote_later = j->next;
	m->remote_jobs++;
	j->dest->held--;
	job_add(j->dest, j);
}

static bool
same_list(const struct sv *a, size_t n, const struct sv *b, size_t m)
{
	bool yes = n == m;

	for (size_t i = 0; i < n && yes; i++)
		yes = sv_eq(a[i], b[i]);
	return (yes);
}

/* May go in one transaction; <e> is at <b>. */
static bool
together(struct vq_env *e, const struct dlv *a, const struct dlv *b)
{
	const struct route_delivery *x = a->rd, *y = b->rd;

	return (x->transport == y->transport && x->router == y->router && x->errors_to_set == y->errors_to_set &&
	    sv_eq(x->errors_to, y->errors_to) && same_list(x->headers_add, x->nheaders_add, y->headers_add, y->nheaders_add) &&
	    same_list(x->headers_remove, x->nheaders_remove, y->headers_remove, y->nheaders_remove) &&
	    (sv_caseeq(x->domain, y->domain) || deliver_bool(&e->env, &x->transport->d.own[EXIM_SMTP_multi_domain])));
}

struct open_job {			/* a job that still takes recipients */
	struct dest	*dest;		/* held */
	struct remote_job	*job;
	size_t		 max;
};

static void
place(struct vq *vq, struct vq_env *e, struct dlv *d, struct open_job *oj, size_t *noj, size_t maxoj)
{
	struct deliver_hosts hosts;
	struct err err = ERR_INIT;
	struct dest *dest;
	size_t i;

	env_delivery(e, d);
	if (smtp_hosts(vq, e, d, e->arena, &hosts, &err) == -1) {
		delivery_deferred(d, &err, now_s() + DEFER_S, NULL);
		return;
	}
	dest = dest_get(vq, d->rd->transport, &hosts, e->arena);
	/* Whatever is looked up from here on may take its time, and others may end their work there meanwhile. */
	dest->held++;
	/* Behind a host that takes mail the line may grow as long as it likes: it is what is under way that is limited. */
	if ((dest->njobs >= JOBS_MAX || vq->jobs >= JOBS_ALL_MAX) && fiber_now() > dest->last_ok + PROGRESS_MS) {
		err_set(&err, ERR_TEMP, "4.4.5", "too many messages wait for this host already");
		delivery_deferred(d, &err, now_s() + 60, NULL);
		remote_dest_release(dest);
		return;
	}
	for (i = 0; i < *noj; i++)
		if (oj[i].dest == dest && oj[i].job->n < oj[i].max && together(e, oj[i].job->v[0], d))
			break;
	if (i < *noj)
		remote_dest_release(dest);
	else {
		int64_t max = smtp_int(e, &d->rd->transport->d.own[EXIM_SMTP_max_rcpt], 100);

		if (*noj == maxoj) {
			/* The oldest is closed; what comes for it later gets a transaction of its own. */
			job_ready(oj[0].dest, oj[0].job);
			memmove(oj, oj + 1, (maxoj - 1) * sizeof(*oj));
			i = --*noj;
		}
		oj[i] = (struct open_job){ .dest = dest, .job = xcalloc(1, sizeof(struct remote_job)),
		    .max = max <= 0 || max > 1000 ? 1000 : (size_t)max };
		oj[i].job->m = d->m;
		(*noj)++;
	}
	/* Grows by doubling: at 1, 2, 4 ... */
	if ((oj[i].job->n & (oj[i].job->n - 1)) == 0)
		oj[i].job->v = xreallocarray(oj[i].job->v, oj[i].job->n == 0 ? 1 : oj[i].job->n * 2, sizeof(struct dlv *));
	oj[i].job->v[oj[i].job->n++] = d;
}

/* Merge two lists by rank; of equals those of <a> come first. */
static struct dlv *
merge(struct dlv *a, struct dlv *b)
{
	struct dlv *first = NULL, **last = &first;

	while (a != NULL && b != NULL) {
		struct dlv **from = b->rank < a->rank ? &b : &a;

		*last = *from;
		last = &(*last)->next;
		*from = *last;
	}
	*last = a != NULL ? a : b;
	return (first);
}

static struct dlv *
sorted(struct dlv *list, size_t n)
{
	struct dlv *second, **half = &list;

	if (n < 2)
		return (list);
	for (size_t i = 0; i < n / 2; i++)
		half = &(*half)->next;
	second = *half;
	*half = NULL;
	return (merge(sorted(list, n / 2), sorted(second, n - n / 2)));
}

/* remote_sort_domains: in the order of the list's items, then those that are in none. */
static struct dlv *
by_domain(struct vq_env *e, const struct exim_list *order, struct dlv *list)
{
	struct err err = ERR_INIT;
	size_t n = 0;

	for (struct dlv *d = list; d != NULL; d = d->next, n++)
		(void)exim_match_domain_rank(order, &e->env, d->rd->domain, &d->rank, &err);
	return (sorted(list, n));
}

void
remote_add(struct vq *vq, struct msg *m, struct dlv *list)
{
	const struct exim_list *order = exim_main_list(vq->conf, EXIM_MAIN_remote_sort_domains);
	struct vq_env e = { .arena = NULL };
	struct open_job oj[64];
	size_t noj = 0;

	env_open(&e, vq, m);
	if (order != NULL)
		list = by_domain(&e, order, list);
	for (struct dlv *d = list, *next; d != NULL; d = next) {
		next = d->next;
		place(vq, &e, d, oj, &noj, sizeof(oj) / sizeof(oj[0]));
	}
	for (size_t i = 0; i < noj; i++)
		job_ready(oj[i].dest, oj[i].job);
	env_close(&e);
	arena_free(&e.arena);
}

int
remote_init(struct vq *vq, struct err *err)
{
	(void)err;
	vq->dests = hash_new();
	return (0);
}
