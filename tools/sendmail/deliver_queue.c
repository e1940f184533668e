/* SPDX-License-Identifier: BSD-2-Clause */
/* The queue of the one process: listing, -M and its kin, queue runs; and which of them is meant. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deliver.h"
#include "mail/address.h"

/* ---- listing ---- */

static void
print_size(int64_t n)
{
	if (n < 1024)
		printf("%5lld", (long long)n);
	else if (n < 10 * 1024)
		printf("%4.1fK", (double)n / 1024.0);
	else if (n < 1024 * 1024)
		printf("%4lldK", (long long)((n + 512) / 1024));
	else if (n < 10 * 1024 * 1024)
		printf("%4.1fM", (double)n / 1048576.0);
	else
		printf("%4lldM", (long long)((n + 512 * 1024) / (1024 * 1024)));
}

static void
print_one(void *arg, const char *id)
{
	struct deliver *d = arg;
	const struct options *o = d->t->o;
	struct err err = ERR_INIT;
	struct dmsg *m;
	int64_t age, size;
	char unit = 'm';

	if (dspool_read(d, id, &m, &err) == -1)
		return;
	age = (dnow() - m->received_us / 1000000) / 60;
	if (age > 90) {
		unit = 'h';
		age = (age + 30) / 60;
		if (age > 72) {
			unit = 'd';
			age = (age + 12) / 24;
		}
	}
	size = (int64_t)m->body.len;
	for (size_t i = 0; i < m->fields.len; i++)
		size += (int64_t)m->fields.p[i].text.len;
	printf("%2lld%c ", (long long)age, unit);
	print_size(size);
	printf(" %s <" SV_FMT ">%s\n", id, SV_ARG(m->sender), m->frozen ? " *** frozen ***" : "");
	for (size_t i = 0; i < m->rcpts.len; i++) {
		bool done = dmsg_is_done(m, m->rcpts.p[i].addr);

		if (!done || (!o->undelivered && o->all))
			printf("        %s " SV_FMT "\n", done ? "D" : " ", SV_ARG(m->rcpts.p[i].addr));
	}
	(void)putchar('\n');
	dmsg_free(&m);
}

int
dqueue_list(struct deliver *d)
{
	dspool_ids(d, print_one, d);
	return (0);
}

static void
count_one(void *arg, const char *id)
{
	(void)id;
	++*(int *)arg;
}

int
dqueue_count(struct deliver *d)
{
	int n = 0;

	dspool_ids(d, count_one, &n);
	printf("%d\n", n);
	return (0);
}

/* ---- -M ---- */

static struct sv
full(struct deliver *d, struct arena *a, const char *addr)
{
	if (strchr(addr, '@') != NULL)
		return (sv_cstr(addr));
	return (sv_cstr(arena_fmt(a, "%s@" SV_FMT, addr, SV_ARG(d->t->g.qualify_domain))));
}

static int
save(struct deliver *d, struct dmsg *m)
{
	struct err err = ERR_INIT;

	if (dspool_write(d, m, false, &err) == 0)
		return (0);
	printf("%s\n", err.text);
	return (1);
}

static int
freeze(struct deliver *d, struct dmsg *m, bool on)
{
	if (m->frozen == on) {
		printf("%s\n", on ? "is already frozen" : "is not frozen");
		return (on ? 1 : 1);
	}
	m->frozen = on;
	m->frozen_at = dnow();
	if (save(d, m) != 0)
		return (1);
	printf("%s\n", on ? "is now frozen" : "is no longer frozen");
	dlog(d, DLOG_MAIN, "%s %s by %s", m->id, on ? "frozen" : "unfrozen", d->caller);
	return (0);
}

static int
remove_it(struct deliver *d, struct dmsg *m)
{
	dspool_remove(d, m->id);
	printf("has been removed\n");
	dlog(d, DLOG_MAIN, "%s removed by %s", m->id, d->caller);
	dlog(d, DLOG_MAIN, "%s Completed", m->id);
	return (0);
}

/* What is left fails, and the sender is told. */
static int
give_up(struct deliver *d, struct dmsg *m)
{
	dfails v = VEC_INIT;

	denv_index(m);
	denv_message(d, m);
	dlog(d, DLOG_MAIN, "%s cancelled by %s", m->id, d->caller);
	for (size_t i = 0; i < m->rcpts.len; i++) {
		struct route_addr *a = arena_zalloc(m->arena, sizeof(*a));
		struct dfail f = { .addr = a, .top = m->rcpts.p[i].addr, .to = m->sender };

		a->address = m->rcpts.p[i].addr;
		if (!dmsg_is_done(m, a->address))
			vec_push(&v, f);
	}
	if (v.len > 0 && m->sender.len > 0)
		dbounce(d, m, v.p, v.len, m->sender);
	vec_free(&v);
	dspool_remove(d, m->id);
	dlog(d, DLOG_MAIN, "%s Completed", m->id);
	return (0);
}

static int
mark(struct deliver *d, struct dmsg *m, bool all)
{
	const struct options *o = d->t->o;

	for (size_t i = 0; all && i < m->rcpts.len; i++)
		dmsg_set_done(m, m->rcpts.p[i].addr);
	for (size_t k = 1; !all && k < o->args.len; k++) {
		struct sv addr = full(d, m->arena, o->args.p[k]);
		bool found = false;

		for (size_t i = 0; i < m->rcpts.len; i++)
			found = found || sv_caseeq(m->rcpts.p[i].addr, addr);
		if (!found) {
			printf("- recipient address " SV_FMT " was not found%s", SV_ARG(addr), k + 1 < o->args.len ? "\n" : "\n");
			return (1);
		}
		dmsg_set_done(m, addr);
	}
	if (save(d, m) != 0)
		return (1);
	printf("has been modified\n");
	if (all)
		dlog(d, DLOG_MAIN, "%s all addresses marked delivered by %s", m->id, d->caller);
	for (size_t k = 1; !all && k < o->args.len; k++)
		dlog(d, DLOG_MAIN, "%s address <" SV_FMT "> marked delivered by %s", m->id, SV_ARG(full(d, m->arena, o->args.p[k])), d->caller);
	return (0);
}

static int
add_recipients(struct deliver *d, struct dmsg *m)
{
	const struct options *o = d->t->o;

	for (size_t k = 1; k < o->args.len; k++) {
		struct drcpt r = { .addr = full(d, m->arena, o->args.p[k]), .parent = -1 };

		vec_push(&m->rcpts, r);
	}
	if (save(d, m) != 0)
		return (1);
	printf("has been modified\n");
	for (size_t k = 1; k < o->args.len; k++)
		dlog(d, DLOG_MAIN, "%s recipient <" SV_FMT "> added by %s", m->id, SV_ARG(full(d, m->arena, o->args.p[k])), d->caller);
	return (0);
}

static int
edit_sender(struct deliver *d, struct dmsg *m)
{
	const struct options *o = d->t->o;

	if (o->args.len < 2)
		return (1);
	m->sender = strcmp(o->args.p[1], "<>") == 0 ? SV_LIT("") : full(d, m->arena, o->args.p[1]);
	if (save(d, m) != 0)
		return (1);
	printf("has been modified\n");
	dlog(d, DLOG_MAIN, "%s sender address changed to <" SV_FMT "> by %s", m->id, SV_ARG(m->sender), d->caller);
	return (0);
}

static int
show(struct deliver *d, struct dmsg *m, char what)
{
	struct sb out = SB_INIT((size_t)1024 * 1024 * 1024);

	if (what == 'h')
		dspool_header_text(m, &out);
	if (what == 'c')
		for (size_t i = 0; i < m->fields.len; i++)
			if (m->fields.p[i].type != '*')
				sb_add(&out, m->fields.p[i].text);
	if (what == 'c')
		sb_addc(&out, '\n');
	if (what == 'b')
		sb_addf(&out, "%s-D\n", m->id);
	if (what == 'b' || what == 'c')
		sb_add(&out, m->body);
	(void)fwrite(out.p, 1, out.len, stdout);
	sb_free(&out);
	(void)d;
	return (0);
}

static int
act(struct deliver *d, const char *id)
{
	const char *what = d->t->o->m_what;
	struct err err = ERR_INIT;
	struct dmsg *m;
	int rc = 1;

	if (strcmp(what, "") == 0 || strcmp(what, "c") == 0 || strcmp(what, "C") == 0) {
		ddeliver(d, id, true);
		return (0);
	}
	if (dspool_read(d, id, &m, &err) == -1) {
		printf("Message %s spool read error or not found\n", id);
		return (1);
	}
	if (what[0] == 'v') {
		rc = show(d, m, what[1]);
		dmsg_free(&m);
		return (rc);
	}
	if (strcmp(what, "g") != 0)
		printf("Message %s ", id);
	if (strcmp(what, "f") == 0 || strcmp(what, "t") == 0)
		rc = freeze(d, m, what[0] == 'f');
	else if (strcmp(what, "rm") == 0)
		rc = remove_it(d, m);
	else if (strcmp(what, "g") == 0)
		rc = give_up(d, m);
	else if (strcmp(what, "mad") == 0 || strcmp(what, "md") == 0)
		rc = mark(d, m, what[1] == 'a');
	else if (strcmp(what, "ar") == 0)
		rc = add_recipients(d, m);
	else if (strcmp(what, "es") == 0)
		rc = edit_sender(d, m);
	dmsg_free(&m);
	return (rc);
}

int
dqueue_actions(struct deliver *d)
{
	const struct options *o = d->t->o;
	const char *what = o->m_what;
	bool one = strcmp(what, "ar") == 0 || strcmp(what, "es") == 0 || strcmp(what, "md") == 0;
	int rc = 0;

	for (size_t i = 0; i < o->args.len && (i == 0 || !one); i++) {
		if (!spool_id_valid(sv_cstr(o->args.p[i]))) {
			(void)fprintf(stderr, "exim: malformed message id %s after -M option\n", o->args.p[i]);
			return (1);
		}
		if (act(d, o->args.p[i]) != 0)
			rc = 1;
	}
	(void)fflush(stdout);
	ddeliver_pending(d);
	return (rc);
}

/* ---- queue runs ---- */

struct run {
	struct deliver	*d;
};

static void
run_one(void *arg, const char *id)
{
	struct run *r = arg;
	const struct options *o = r->d->t->o;
	struct err err = ERR_INIT;
	struct dmsg *m;
	bool due;

	if (dspool_read(r->d, id, &m, &err) == -1)
		return;
	due = o->force > 0 || m->next_try <= dnow();
	if (o->domain != NULL) {
		due = false;
		for (size_t i = 0; i < m->rcpts.len; i++)
			due = due || sv_casefind(m->rcpts.p[i].addr, sv_cstr(o->domain)) >= 0;
	}
	dmsg_free(&m);
	if (due)
		ddeliver(r->d, id, o->force > 1);
}

int
dqueue_run(struct deliver *d)
{
	struct run r = { d };
	bool told = dlog_on(d, EXIM_LOGSEL_queue_run);
	const char *f = d->t->o->force > 1 ? " -qff" : d->t->o->force > 0 ? " -qf" : "";

	d->queue_run = true;
	if (told)
		dlog(d, DLOG_MAIN, "Start queue run: pid=%ld%s", (long)getpid(), f);
	dspool_ids(d, run_one, &r);
	ddeliver_pending(d);
	if (told)
		dlog(d, DLOG_MAIN, "End queue run: pid=%ld%s", (long)getpid(), f);
	return (0);
}

/* ---- which ---- */

int
deliver_main(struct testing *t)
{
	struct deliver d = { .t = t, .conf = t->conf, .spool = t->g.spool_directory, .caller = t->login,
	    .caller_uid = (int64_t)getuid(), .caller_gid = (int64_t)getgid(), .odmode = t->o->odmode == 0 ? 'b' : (unsigned)t->o->odmode };
	const char *input = arena_fmt(t->facts, SV_FMT "/input", SV_ARG(d.spool));
	int rc;

	d.now = d.odmode == 'i' || d.odmode == 'f';
	(void)input;
	switch (t->o->mode) {
	case MODE_LIST:
		return (dqueue_list(&d));
	case MODE_COUNT:
		return (dqueue_count(&d));
	case MODE_IDS:
		return (dqueue_actions(&d));
	case MODE_QUEUE:
		return (dqueue_run(&d));
	case MODE_SMTP:
	case MODE_BATCH:
		return (dreceive_smtp(&d, t->o->mode == MODE_BATCH));
	default:
		rc = dreceive_stdin(&d);
		ddeliver_pending(&d);
		return (rc);
	}
}
