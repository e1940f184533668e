/* SPDX-License-Identifier: BSD-2-Clause */
/* The queue of the one process: listing, -M and its kin, queue runs; and which of them is meant. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deliver.h"
#include "exim/extract.h"
#include "hints/hints.h"
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

static bool
is_rcpt(const struct dmsg *m, struct sv addr)
{
	for (size_t i = 0; i < m->rcpts.len; i++)
		if (dmsg_same(m->rcpts.p[i].addr, addr))
			return (true);
	return (false);
}

static int
by_bytes(const void *a, const void *b)
{
	return (sv_cmp(*(const struct sv *)a, *(const struct sv *)b));
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

	if (dspool_read(d, id, &m, &err) == -1) {
		if (err.cls == ERR_CONFIG)
			dspool_print_malformed(d, id);
		else if (o->args.len > 0 && errno == ENOENT)
			printf("      %s\n    *** spool read error: %s ***\n\n", id, strerror(ENOENT));
		return;
	}
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
	printf(" %s <" SV_FMT ">", id, SV_ARG(m->sender));
	if (m->untrusted_sender)
		printf(" (" SV_FMT ")", SV_ARG(m->login));
	printf("%s\n", m->frozen ? " *** frozen ***" : "");
	for (size_t i = 0; i < m->rcpts.len; i++) {
		bool done = dmsg_is_done(m, m->rcpts.p[i].addr);

		if (!done || !o->undelivered)
			printf("        %s " SV_FMT "\n", done ? "D" : " ", SV_ARG(m->rcpts.p[i].addr));
	}
	/* Those that came of others, in the order in which the spool has them. */
	if (o->all && m->done.len > 0)
		qsort(m->done.p, m->done.len, sizeof(m->done.p[0]), by_bytes);
	for (size_t i = 0; o->all && i < m->done.len; i++)
		if (!is_rcpt(m, m->done.p[i]))
			printf("       +D " SV_FMT "\n", SV_ARG(m->done.p[i]));
	(void)putchar('\n');
	dmsg_free(&m);
}

int
dqueue_list(struct deliver *d)
{
	const struct options *o = d->t->o;

	for (size_t i = 0; i < o->args.len; i++)
		print_one(d, o->args.p[i]);
	if (o->args.len == 0)
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
		return (1);
	}
	m->frozen = on;
	m->manual_thaw = !on;
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
	dspool_remove(d, m);
	printf("has been removed\n");
	dlog(d, DLOG_MAIN, "%s removed by %s", m->id, d->caller);
	dlog(d, DLOG_MAIN, "%s Completed", m->id);
	return (0);
}

int
dgive_up(struct deliver *d, struct dmsg *m)
{
	dfails v = VEC_INIT;
	int rc = 0;

	denv_index(m);
	denv_message(d, m);
	for (size_t i = m->rcpts.len; i-- > 0;) {
		struct route_addr *a = arena_zalloc(m->arena, sizeof(*a));
		struct dfail f = { .addr = a, .top = m->rcpts.p[i].addr, .to = m->sender };

		a->address = m->rcpts.p[i].addr;
		if (!dmsg_is_done(m, a->address))
			vec_push(&v, f);
	}
	if (v.len > 0 && m->sender.len > 0)
		rc = dbounce(d, m, v.p, v.len, m->sender);
	vec_free(&v);
	if (rc == -1) {
		dlog(d, DLOG_MAIN, "%s Process failed (1) when writing error message to " SV_FMT, m->id, SV_ARG(m->sender));
		return (-1);
	}
	dspool_remove(d, m);
	dlog(d, DLOG_MAIN, "%s Completed", m->id);
	return (0);
}

/* What is left fails, and the sender is told. */
static int
give_up(struct deliver *d, struct dmsg *m)
{
	dlog(d, DLOG_MAIN, "%s cancelled by %s", m->id, d->caller);
	return (dgive_up(d, m) == 0 ? 0 : 1);
}

static int
mark(struct deliver *d, struct dmsg *m, bool all)
{
	const struct options *o = d->t->o;

	if (!all && o->args.len < 2) {
		printf("- error while marking as delivered: no address given\n");
		return (1);
	}
	for (size_t k = 1; !all && k < o->args.len; k++) {
		struct sv addr = full(d, m->arena, o->args.p[k]);
		bool found = false;

		for (size_t i = 0; i < m->rcpts.len; i++)
			found = found || dmsg_same(m->rcpts.p[i].addr, addr);
		if (!found) {
			printf("- error while marking as delivered:\n  " SV_FMT " is not a recipient: message not updated\n", SV_ARG(addr));
			return (1);
		}
		dmsg_set_done(m, addr);
	}
	for (size_t i = 0; all && i < m->rcpts.len; i++) {
		if (dmsg_is_done(m, m->rcpts.p[i].addr))
			continue;
		dmsg_set_done(m, m->rcpts.p[i].addr);
		dlog(d, DLOG_MAIN, "%s address <" SV_FMT "> marked delivered by %s", m->id, SV_ARG(m->rcpts.p[i].addr), d->caller);
	}
	if (save(d, m) != 0)
		return (1);
	printf("has been modified\n%s", all ? "\n" : "");
	for (size_t k = 1; !all && k < o->args.len; k++)
		dlog(d, DLOG_MAIN, "%s address <" SV_FMT "> marked delivered by %s", m->id,
		    SV_ARG(full(d, m->arena, o->args.p[k])), d->caller);
	return (0);
}

/* Into the queue that -MG names. */
static int
move(struct deliver *d, struct dmsg *m)
{
	struct sv from = m->queue, to = sv_cstr(d->t->o->to_queue);
	struct err err = ERR_INIT;

	if (dspool_move(d, m, to, &err) == -1) {
		printf("%s\n", err.text);
		return (1);
	}
	printf("\n");
	dlog(d, DLOG_MAIN, "%s moved from %s" SV_FMT "%sinput, msglog to %s" SV_FMT "%sinput, msglog", m->id, from.len > 0 ? "(" : "",
	    SV_ARG(from), from.len > 0 ? ") " : "", to.len > 0 ? "(" : "", SV_ARG(to), to.len > 0 ? ") " : "");
	return (0);
}

/* The address of argument <k>, with its domain; -1: there is none, which is told. */
static int
address(const struct deliver *d, struct dmsg *m, size_t k, const char *doing, unsigned flags, struct sv *out)
{
	const struct options *o = d->t->o;
	struct exim_extracted x;
	struct err err = ERR_INIT;

	if (k >= o->args.len) {
		printf("- error while %s: no address given\n", doing);
		return (-1);
	}
	if (exim_extract(sv_cstr(o->args.p[k]), EXIM_EXTRACT_LITERALS | flags, m->arena, &x, &err) == 0 &&
	    x.domain == 0 && x.address.len > 0)
		(void)err_set(&err, ERR_PERM, NULL, "domain missing");
	if (err.text[0] != '\0') {
		printf("- error while %s:\n  bad address %s: %s\n", doing, o->args.p[k], err.text);
		return (-1);
	}
	*out = x.address;
	return (0);
}

static int
add_recipients(struct deliver *d, struct dmsg *m)
{
	const struct options *o = d->t->o;
	size_t had = m->rcpts.len, k = 1;

	do {
		struct drcpt r = { .parent = -1 };

		if (address(d, m, k, "adding recipient", 0, &r.addr) == -1)
			return (1);
		vec_push(&m->rcpts, r);
	} while (++k < o->args.len);
	if (save(d, m) != 0)
		return (1);
	printf("has been modified\n");
	for (; had < m->rcpts.len; had++)
		dlog(d, DLOG_MAIN, "%s recipient <" SV_FMT "> added by %s", m->id, SV_ARG(m->rcpts.p[had].addr), d->caller);
	return (0);
}

static int
edit_sender(struct deliver *d, struct dmsg *m)
{
	if (address(d, m, 1, "editing sender", EXIM_EXTRACT_NULL, &m->sender) == -1 || save(d, m) != 0)
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

static void
not_found(const struct deliver *d, const char *id, const char *what)
{
	if (what[0] == 'v' && what[1] != 'c')
		printf("Failed to open input file for %s-%c: No such file or directory\n", id, what[1] == 'b' ? 'D' : 'H');
	else if (strcmp(what, "rm") == 0 && d->t->admin)
		printf("Spool data file for %s does not exist\nContinuing, to ensure all files removed\nSpool read error for %s-H: No such "
		    "file or directory\nContinuing to ensure all files removed\nMessage %s has been removed or did not exist\n", id, id, id);
	else
		printf("Spool data file for %s does not exist\n%s", id, strcmp(what, "G") == 0 ? "\n" : "");
}

static int
act(struct deliver *d, const char *id)
{
	const char *what = d->t->o->m_what;
	struct err err = ERR_INIT;
	struct dmsg *m;
	int rc = 1, lock = -1;

	if (strcmp(what, "vl") == 0)
		return (dmsglog_show(d, id));
	if (strcmp(what, "") == 0 || strcmp(what, "c") == 0 || strcmp(what, "C") == 0) {
		d->forced = what[0] == '\0';
		ddeliver(d, id);
		d->forced = false;
		return (0);
	}
	if (what[0] != 'v' && (lock = dspool_lock(d, id)) == -1 && errno != ENOENT) {
		if (errno == EAGAIN)
			printf("Message %s is locked\n", id);
		else
			printf("Couldn't open spool file for %s: %s\n", id, strerror(errno));
		dspool_tell_held(d, id);
		return (1);
	}
	if (dspool_read(d, id, &m, &err) == -1) {
		if (strcmp(what, "g") != 0)
			not_found(d, id, what);
		if (what[0] != 'v' && d->t->admin)
			dlog(d, DLOG_MAIN, "%s Spool file %s-D not found", id, id);
		else if (what[0] != 'v')
			testing_log("Spool file %s-D not found", id);
		if (lock != -1)
			(void)close(lock);
		return (strcmp(what, "g") != 0);
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
	else if (strcmp(what, "G") == 0)
		rc = move(d, m);
	dmsg_free(&m);
	if (lock != -1)
		(void)close(lock);
	return (rc);
}

/* Actions of -M that Exim forbids for the whole command. */
static bool
is_for_admins(const char *what)
{
	static const char *const v[] = { "", "c", "C", "g", "G" };

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		if (strcmp(what, v[i]) == 0)
			return (true);
	return (false);
}

/* Those that it forbids message by message; one's own may be removed.  True: told. */
static bool
forbidden(struct deliver *d, const char *id)
{
	const char *what = d->t->o->m_what;
	struct err err = ERR_INIT;
	struct dmsg *m = NULL;
	bool own = false;

	if (d->t->admin || is_for_admins(what))
		return (false);
	if (strcmp(what, "rm") == 0) {
		if (dspool_read(d, id, &m, &err) == -1)
			own = errno == ENOENT;
		else
			own = m->uid == (int64_t)getuid();
		dmsg_free(&m);
	}
	if (!own)
		printf("Permission denied\n%s", strcmp(what, "mad") == 0 ? "\n" : "");
	return (!own);
}

int
dqueue_actions(struct deliver *d)
{
	const struct options *o = d->t->o;
	const char *what = o->m_what;
	bool one = strcmp(what, "ar") == 0 || strcmp(what, "es") == 0 || strcmp(what, "md") == 0;
	int rc = 0;

	if (o->args.len == 0) {
		(void)fprintf(stderr, "exim: no message ids given after -M%s option\n", what);
		return (1);
	}
	for (size_t i = 0; i < o->args.len && (i == 0 || !one); i++) {
		if (!spool_id_valid(sv_cstr(o->args.p[i]))) {
			(void)fprintf(stderr, "exim: malformed message id %s after -M%s option\n", o->args.p[i], what);
			return (1);
		}
		if (forbidden(d, o->args.p[i]) || act(d, o->args.p[i]) != 0)
			rc = 1;
	}
	(void)fflush(stdout);
	ddeliver_pending(d);
	return (rc);
}

/* ---- queue runs ---- */

/* Does <addr> fit what -R or -S asks for? */
static bool
fits(struct deliver *d, struct sv addr, const char *what)
{
	const struct options *o = d->t->o;
	struct exim_list *l = NULL;
	struct err err = ERR_INIT;
	struct sv pattern;
	bool yes = false;

	if (o->select_flags == NULL || strchr(o->select_flags, 'r') == NULL)
		return (sv_casefind(addr, sv_cstr(what)) >= 0);
	pattern = sv_cstr(arena_fmt(d->t->arena, "%s%s", what[0] == '^' ? "" : "^.*", what));
	return (exim_list_compile(d->t->arena, EXIM_LIST_STRING,
	    sv_cstr(arena_fmt(d->t->arena, "<\n " SV_FMT, SV_ARG(pattern))), NULL, 0,
	    &l, &err) == 0 && exim_match_string(l, &d->t->env, addr, false, &yes, &err) == EXIM_OK && yes);
}

static bool
selected(struct deliver *d, const char *id)
{
	const struct options *o = d->t->o;
	struct err err = ERR_INIT;
	struct dmsg *m;
	bool yes;

	if (o->args.len > 0 && strcmp(id, o->args.p[0]) < 0)
		return (false);
	if (o->args.len > 1 && strcmp(id, o->args.p[1]) > 0)
		return (false);
	if (o->domain == NULL && o->of_sender == NULL && !o->first_only)
		return (true);
	if (dspool_read(d, id, &m, &err) == -1)
		return (false);
	yes = o->domain == NULL;
	for (size_t i = 0; !yes && i < m->rcpts.len; i++)
		yes = !dmsg_is_done(m, m->rcpts.p[i].addr) && fits(d, m->rcpts.p[i].addr, o->domain);
	if (o->of_sender != NULL)
		yes = yes && fits(d, m->sender, o->of_sender);
	if (o->first_only)
		yes = yes && !m->tried;
	dmsg_free(&m);
	return (yes);
}

/* deliver_queue_load_max: the machine has enough to do, the rest waits for the next run. */
static bool
too_much_load(struct deliver *d)
{
	const struct exim_value *max = &d->conf->main[EXIM_MAIN_deliver_queue_load_max];
	const struct exim_world *w = d->t->env.world;
	int64_t load;

	if (d->abandoned || !max->set || max->num < 0 || w->loadavg == NULL || (load = w->loadavg(w->arg)) <= max->num)
		return (d->abandoned);
	dlog(d, DLOG_MAIN, "Abandon queue run: pid=%ld (load %.2f, max %.2f)", (long)getpid(), (double)load / 1000.0,
	    (double)max->num / 1000.0);
	return (d->abandoned = true);
}

static void
run_one(void *arg, const char *id)
{
	struct deliver *d = arg;
	const struct options *o = d->t->o;
	struct err err = ERR_INIT;
	struct dmsg *m;
	bool frozen;

	if (too_much_load(d) || !selected(d, id))
		return;
	/* -qf: times do not matter, but frozen messages stay so. */
	if (o->force == 1 && dspool_read(d, id, &m, &err) == 0) {
		frozen = m->frozen;
		dmsg_free(&m);
		d->forced = !frozen;
	} else
		d->forced = o->force > 0;
	ddeliver(d, id);
	d->forced = false;
}

static void
put_flags(const struct options *o, struct sb *out)
{
	const char *regex = o->select_flags != NULL && strchr(o->select_flags, 'r') != NULL ? "r" : "";

	if (o->first_only || o->two_stage || o->local_only || o->force > 0)
		sb_addf(out, " -q%s%s%s%s", o->two_stage ? "q" : "", o->first_only ? "i" : "",
		    o->force > 1 ? "ff" : o->force > 0 ? "f" : "", o->local_only ? "l" : "");
	if (o->domain != NULL)
		sb_addf(out, " -R%s %s", regex, o->domain);
	if (o->of_sender != NULL)
		sb_addf(out, " -S%s %s", regex, o->of_sender);
}

int
dqueue_run(struct deliver *d)
{
	bool told = dlog_on(d, EXIM_LOGSEL_queue_run);
	struct sb flags = SB_INIT(4096);
	const char *name = "";

	put_flags(d->t->o, &flags);
	d->queue_run = true;
	d->local_only = d->t->o->local_only;
	d->t->env.queue_running = true;
	if (d->queue.len > 0)
		name = arena_fmt(d->t->facts, "'" SV_FMT "' ", SV_ARG(d->queue));
	if (told)
		dlog(d, DLOG_MAIN, "Start %squeue run: pid=%ld" SV_FMT, name, (long)getpid(), SV_ARG(sb_sv(&flags)));
	d->first_stage = d->t->o->two_stage;
	dspool_ids(d, run_one, d);
	ddeliver_pending(d);
	if (d->first_stage) {
		d->first_stage = false;
		dspool_ids(d, run_one, d);
		ddeliver_pending(d);
	}
	if (told)
		dlog(d, DLOG_MAIN, "End %squeue run: pid=%ld" SV_FMT, name, (long)getpid(), SV_ARG(sb_sv(&flags)));
	sb_free(&flags);
	return (0);
}

/* ---- which ---- */

/* Who may look at the queue, and who may have it worked on. */
static bool
permitted(const struct testing *t)
{
	const struct options *o = t->o;

	if (t->admin || (o->mode == MODE_IDS && !is_for_admins(o->m_what)) || t->o->mode == MODE_MESSAGE ||
	    t->o->mode == MODE_SMTP || t->o->mode == MODE_BATCH)
		return (true);
	if (o->mode == MODE_LIST || o->mode == MODE_COUNT)
		return (!exim_main_bool(t->conf, EXIM_MAIN_queue_list_requires_admin));
	if (o->mode == MODE_QUEUE || (o->mode == MODE_IDS && o->m_what[0] == '\0'))
		return (!exim_main_bool(t->conf, EXIM_MAIN_prod_requires_admin));
	return (false);
}

static int
by_mode(struct deliver *d)
{
	int rc;

	switch (d->t->o->mode) {
	case MODE_LIST:
		return (dqueue_list(d));
	case MODE_COUNT:
		return (dqueue_count(d));
	case MODE_IDS:
		return (dqueue_actions(d));
	case MODE_QUEUE:
		return (dqueue_run(d));
	case MODE_SMTP:
	case MODE_BATCH:
		return (dreceive_smtp(d, d->t->o->mode == MODE_BATCH));
	default:
		rc = dreceive_stdin(d);
		ddeliver_pending(d);
		return (rc);
	}
}

/* Selector "arguments": how this process was called. */
static void
log_arguments(struct deliver *d)
{
	struct sb out = SB_INIT(256 * 1024);

	testing_arguments(d->t, &out);
	dlog(d, DLOG_MAIN, SV_FMT, SV_ARG(sb_sv(&out)));
	sb_free(&out);
}

/* Lines of expansions outside of ACLs. */
static struct deliver *logs_for;

static void
log_world(void *arg, unsigned logs, struct sv line)
{
	(void)arg;
	dlog(logs_for, logs & (DLOG_MAIN | DLOG_PANIC), SV_FMT, SV_ARG(line));
}

int
deliver_main(struct testing *t)
{
	struct deliver d = { .t = t, .conf = t->conf, .spool = t->g.spool_directory, .caller = t->login,
	    .caller_uid = (int64_t)getuid(), .caller_gid = (int64_t)getgid(),
	    .odmode = t->o->odmode == 0 ? 'b' : (unsigned)t->o->odmode };
	int rc;

	if (t->o->queue != NULL)
		d.queue = sv_cstr(t->o->queue);
	if (!permitted(t)) {
		(void)fprintf(stderr, "exim: %sermission denied\n", t->o->mode == MODE_IDS && t->o->m_what[0] == '\0' ? "P" : "p");
		return (1);
	}
	if (t->nobody) {
		dlog(&d, DLOG_MAIN | DLOG_PANIC, "Failed to get user name for uid %ld", (long)getuid());
		testing_log("Failed to get user name for uid %ld", (long)getuid());
		return (1);
	}
	if (dlog_on(&d, EXIM_LOGSEL_arguments) && t->o->mode != MODE_LIST && t->o->mode != MODE_COUNT)
		log_arguments(&d);
	logs_for = &d;
	t->world.log = log_world;
	d.now = d.odmode == 'i' || d.odmode == 'f';
	d.routing_only = d.odmode == 's';
	rc = by_mode(&d);
	for (size_t i = 0; i < d.pending.len; i++)
		free(d.pending.p[i].queue);
	vec_free(&d.pending);
	testing_hints_close();
	return (rc);
}
