/* SPDX-License-Identifier: BSD-2-Clause */
/* What a system filter's outcome means for a message (chapter 45 of Exim's manual). */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "deliver_int.h"
#include "os/file.h"

static void
cancelled(struct attempt *at, const char *text)
{
	struct dmsg *m = at->m;
	struct sv log = sv_cstr(text), user = log;
	ptrdiff_t close = sv_find(log, SV_LIT(">>"));

	/* "<<for the log>>for the sender" */
	if (sv_starts(log, "<<") && close > 0) {
		user = sv_sub(log, (size_t)close + 2, log.len);
		log = sv_sub(log, 2, (size_t)close);
	}
	dlog(at->d, DLOG_MAIN, "%s cancelled by system filter%s" SV_FMT, m->id, log.len > 0 ? ": " : "", SV_ARG(log));
	for (size_t i = 0; i < m->rcpts.len; i++) {
		struct route_addr *a = arena_zalloc(m->arena, sizeof(*a));
		struct event e = { .addr = a, .top = m->rcpts.p[i].addr };
		struct dfail f = { .text = arena_sv(m->arena, user), .ignore = m->sender.len == 0 };

		a->address = a->unique = m->rcpts.p[i].addr;
		if (!dmsg_is_done(m, a->address))
			dattempt_fail(at, &e, &f);
	}
}

/* What is the same in each attempt, so that what one did is not done by the next; replies are told apart by their order. */
static struct sv
unique_of(struct attempt *at, const struct route_delivery *rd, const struct route_addr *from, unsigned seq)
{
	if (rd->kind == ROUTE_REPLY)
		return (sv_cstr(arena_fmt(at->m->arena, ">%u:" SV_FMT ":" SV_FMT, seq, SV_ARG(rd->text), SV_ARG(from->address))));
	return (sv_cstr(arena_fmt(at->m->arena, "%s" SV_FMT ":" SV_FMT, rd->kind == ROUTE_PIPE ? "|" : "", SV_ARG(rd->text),
	    SV_ARG(from->address))));
}

/* <seq>: its place in the plan. */
static void
add_delivery(struct attempt *at, const struct filter_action *x, const struct route_addr *from, unsigned seq)
{
	const struct exim_value *main = at->d->conf->main;
	const struct exim_value *t = x->kind == FILTER_PIPE ? &main[EXIM_MAIN_system_filter_pipe_transport] :
	    x->kind == FILTER_MAIL ? &main[EXIM_MAIN_system_filter_reply_transport] :
	    x->kind == FILTER_MAILDIR ? &main[EXIM_MAIN_system_filter_directory_transport] :
	    &main[EXIM_MAIN_system_filter_file_transport];
	struct route_delivery *rd = arena_zalloc(at->m->arena, sizeof(*rd));
	struct route_filter_item *item = arena_zalloc(at->m->arena, sizeof(*item));
	struct route_addr *addr = arena_dup(at->m->arena, from, sizeof(*from));
	struct exim_passwd pw;
	struct err err = ERR_INIT;

	rd->addr = addr;
	rd->kind = x->kind == FILTER_PIPE ? ROUTE_PIPE : x->kind == FILTER_MAIL ? ROUTE_REPLY : ROUTE_FILE;
	rd->text = x->to;
	if (x->kind == FILTER_MAIL && x->mail != NULL) {
		item->mail = x->mail;
		rd->item = item;
		rd->text = x->mail->to;
	}
	if ((x->flags & FILTER_A_MODE) != 0) {
		item->mode_set = true;
		item->mode = x->mode;
		rd->item = item;
	}
	rd->text = arena_sv(at->m->arena, rd->text);
	rd->text.tainted = false;
	rd->local_part = from->address;
	addr->unique = unique_of(at, rd, from, seq);
	if (dmsg_is_done(at->m, dattempt_key(at, rd, addr)))
		return;
	(void)exim_conf_transport_of(at->d->conf, t, &at->d->t->env, &rd->transport, &err);
	if (rd->transport == NULL)
		rd->trouble = arena_fmt(at->m->arena, "system_filter_%s_transport is unset", x->kind == FILTER_PIPE ? "pipe" :
		    x->kind == FILTER_MAIL ? "reply" : x->kind == FILTER_MAILDIR ? "directory" : "file");
	rd->uid = rd->gid = -1;
	if (main[EXIM_MAIN_system_filter_user].set) {
		rd->user_set = true;
		rd->uid = main[EXIM_MAIN_system_filter_user].num;
		if (at->d->t->world.passwd != NULL && at->d->t->world.passwd(at->d->t->world.arg, duser_name(at->m->arena, rd->uid),
		    at->m->arena, &pw) == EXIM_FOUND) {
			rd->group_set = true;
			rd->gid = (int64_t)pw.gid;
		}
	}
	if (main[EXIM_MAIN_system_filter_group].set) {
		rd->group_set = true;
		rd->gid = main[EXIM_MAIN_system_filter_group].num;
	}
	vec_push(&at->ev, ((struct event){ .rd = rd, .addr = addr, .top = from->address, .seq = seq }));
}

/* logwrite: to its file, as the filter's user. */
static void
write_log(struct attempt *at, const struct filter_action *x)
{
	const struct exim_value *user = &at->d->conf->main[EXIM_MAIN_system_filter_user];
	struct transport_job j = { .uid = user->set ? user->num : at->d->conf->g.exim_uid, .gid = at->d->conf->g.exim_gid };
	struct err err = ERR_INIT;
	struct exim_passwd pw;
	int fd, status;
	pid_t pid;

	if (x->to.len == 0) {
		dlog(at->d, DLOG_MAIN, "%s " SV_FMT, at->m->id, SV_ARG(sv_trim(x->text)));
		return;
	}
	if (user->set && at->d->t->world.passwd(at->d->t->world.arg, duser_name(at->m->arena, j.uid), at->m->arena, &pw) == EXIM_FOUND)
		j.gid = (int64_t)pw.gid;
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (transport_become(&j, &err) == -1 ||
		    (fd = open(arena_cstr(at->m->arena, x->to), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
		    x->mode != 0 ? x->mode : 0600)) == -1)
			_exit(1);
		(void)os_write_full(fd, x->text.p, x->text.len);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
		continue;
}

static void
forward(struct attempt *at, struct sv to, const struct route_addr *from)
{
	const struct drcpt rc = { .addr = to, .parent = -1 };
	size_t n = at->ev.len;

	if (dmsg_is_done(at->m, to))
		return;
	dattempt_route(at, &rc, 0);
	for (; n < at->ev.len; n++) {
		struct event *e = &at->ev.p[n];
		struct route_addr *a = (struct route_addr *)(uintptr_t)e->addr;

		while (a->parent != NULL)
			a = (struct route_addr *)(uintptr_t)a->parent;
		a->parent = from;
		e->top = from->address;
		e->depth++;
	}
}

/* By a transport. */
static bool
delivers(const struct filter_action *x)
{
	return (x->kind == FILTER_FILE || x->kind == FILTER_MAILDIR || x->kind == FILTER_PIPE || x->kind == FILTER_MAIL);
}

/* What it wants done; true when that takes the recipients' place. */
static bool
take_plan(struct attempt *at, const struct filter_plan *plan, enum exim_filter_end end)
{
	struct route_addr *from = arena_zalloc(at->m->arena, sizeof(*from));

	from->address = from->unique = SV_LIT("system-filter");
	if (end == EXIM_FILTER_DELIVERED) {
		size_t n = 0;

		for (size_t i = 0; i < plan->v.len; i++)
			n += plan->v.p[i].kind == FILTER_FORWARD || delivers(&plan->v.p[i]);
		dlog(at->d, DLOG_MAIN, n > 0 ? "%s original recipients ignored (system filter)" :
		    "%s => discarded (system filter)", at->m->id);
	}
	for (size_t i = 0; i < plan->v.len; i++) {
		const struct filter_action *x = &plan->v.p[i];

		if (x->kind == FILTER_FORWARD)
			forward(at, x->to, from);
		else if (x->kind == FILTER_LOG)
			write_log(at, x);
		else if (delivers(x))
			add_delivery(at, x, from, (unsigned)(plan->v.len - i));
	}
	return (end == EXIM_FILTER_DELIVERED);
}

bool
dsystem_filter(struct attempt *at)
{
	struct filter_plan plan;
	enum exim_filter_end end;
	bool instead = false;
	const char *text;

	if (at->d->conf->main[EXIM_MAIN_system_filter].str == NULL)
		return (true);
	filter_plan_init(&plan, at->m->arena);
	at->d->t->msg.recipients_shown = true;
	end = dfilter_system(at->d, at->m, &plan, &text);
	at->d->t->msg.recipients_shown = false;
	if (end <= EXIM_FILTER_NOT_DELIVERED)
		instead = take_plan(at, &plan, end);
	filter_plan_free(&plan);
	switch (end) {
	case EXIM_FILTER_END_FAIL:
		cancelled(at, text);
		return (false);
	case EXIM_FILTER_END_FREEZE:
		if (at->m->manual_thaw)
			return (true);
		dattempt_freeze(at, arena_fmt(at->m->arena, " by the system filter%s%s", *text != '\0' ? ": " : "", text));
		break;
	case EXIM_FILTER_END_DEFER:
		dlog(at->d, DLOG_MAIN, "%s Delivery deferred by system filter", at->m->id);
		break;
	case EXIM_FILTER_ERROR:
		dlog(at->d, DLOG_MAIN | DLOG_PANIC, "%s Error in system filter: %s", at->m->id, text);
		break;
	default:
		at->filtered = instead;
		return (!instead);
	}
	for (size_t i = 0; i < at->m->rcpts.len; i++)
		vec_push(&at->open, at->m->rcpts.p[i].addr);
	return (false);
}
