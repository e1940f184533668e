/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system filter (chapter 45 of Exim's manual), run before the recipients of a message are routed.
 *
 * It runs anew, as for a first delivery, at each attempt: what it decides is not kept, its deliveries are known by
 * their ids and made once.  They belong to the first recipient, which is not done before they are; where the filter
 * takes the recipients' place, they belong to all.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "filter/exim_filter.h"
#include "mail/header.h"
#include "os/file.h"
#include "vqueued_int.h"

#define ERROR_RETRY_S	1800

struct sysfilter {
	struct work	*w;
	struct filter_plan plan;
	const char	*text;		/* of fail, freeze, defer; what is wrong */
	uint32_t	 first;		/* recipient that its deliveries belong to */
	/* What it did to the header, for all deliveries. */
	struct sv	*add, *gone;
	size_t		 nadd, ngone;
};

static enum exim_filter_end
run(struct sysfilter *f)
{
	struct vq_env *e = f->w->e;
	struct msg *m = f->w->m;
	const struct exim_value *v = &m->vq->conf->main[EXIM_MAIN_system_filter];
	struct exim_filter_run r = { .env = &e->env, .flags = EXIM_FILTER_ALL };
	const struct kept_file *file;
	struct filter_ops ops;
	struct err err = ERR_INIT;
	enum exim_filter_end end;
	enum exim_result res;
	char *path;

	f->text = "";
	if (!env_headers(e, m)) {
		f->text = "cannot read the header of the message";
		return (EXIM_FILTER_ERROR);
	}
	res = exim_expand_cstr(v->str, &e->env, &path, &err);
	if (res == EXIM_FORCED)
		return (EXIM_FILTER_NOT_DELIVERED);
	if (res == EXIM_OK && path[0] != '/') {
		(void)err_set(&err, ERR_CONFIG, NULL, "\"%s\" is not an absolute path", path);
		res = EXIM_FAIL;
	}
	if (res != EXIM_OK ||
	    (f->w->filter_file = kept_open(m->vq, path, EXIM_FILTER_TEXT_MAX, r.flags, &err)) == NULL) {
		f->text = arena_str(m->arena, err.text);
		return (EXIM_FILTER_ERROR);
	}
	file = f->w->filter_file;
	if (file->filter == NULL) {
		f->text = arena_str(m->arena, file->why);
		return (EXIM_FILTER_ERROR);
	}
	memset(&e->addr, 0, sizeof(e->addr));
	filter_plan_ops(&f->plan, &ops);
	r.ops = &ops;
	end = exim_filter_run(file->filter, &r);
	f->text = r.text == NULL ? "" : arena_str(m->arena, r.text);
	return (end);
}

/* Its changes of the header, as routers would make them. */
static void
take_header(struct sysfilter *f)
{
	struct arena *a = f->w->m->arena;
	const struct exim_message *msg = &f->w->e->msg;

	f->add = arena_zalloc(a, (msg->nadded + 1) * sizeof(*f->add));
	for (size_t i = 0; i < msg->nadded; i++)
		f->add[f->nadd++] = arena_sv(a, msg->added[i].text);
	f->gone = arena_zalloc(a, (msg->headers->n + 1) * sizeof(*f->gone));
	for (size_t i = 0; msg->headers_gone != NULL && i < msg->headers->n; i++)
		if (msg->headers_gone[i])
			f->gone[f->ngone++] = arena_sv(a, msg->headers->v[i].name);
}

static const struct sv *
joined(struct arena *a, const struct sv *x, size_t n, const struct sv *y, size_t m)
{
	struct sv *v = arena_zalloc(a, (n + m + 1) * sizeof(*v));

	if (n > 0)
		memcpy(v, x, n * sizeof(*v));
	if (m > 0)
		memcpy(v + n, y, m * sizeof(*v));
	return (v);
}

const struct route_delivery *
sysfilter_headers(struct work *w, const struct route_delivery *rd)
{
	const struct sysfilter *f = w->filter;
	struct arena *a = w->m->arena;
	struct route_delivery *mine;

	if (f == NULL || (f->nadd == 0 && f->ngone == 0))
		return (rd);
	mine = arena_dup(a, rd, sizeof(*rd));
	mine->headers_add = joined(a, f->add, f->nadd, rd->headers_add, rd->nheaders_add);
	mine->nheaders_add = f->nadd + rd->nheaders_add;
	mine->headers_remove = joined(a, f->gone, f->ngone, rd->headers_remove, rd->nheaders_remove);
	mine->nheaders_remove = f->ngone + rd->nheaders_remove;
	return (mine);
}

/* ---- its deliveries ---- */

/* For the first recipient, or for all that are due where <instead> of them. */
static void
give(struct sysfilter *f, const struct route_delivery *rd, bool instead)
{
	struct msg *m = f->w->m;
	int64_t now = now_s();

	for (uint32_t i = f->first; i < m->env.nrcpts && (instead || i == f->first); i++)
		if (rcpt_due(m, i, now))
			routing_take(f->w, i, rd, true);
}

static void
add_delivery(struct sysfilter *f, const struct filter_action *x, const struct route_addr *from, bool instead)
{
	struct msg *m = f->w->m;
	const struct exim_value *main = m->vq->conf->main;
	const struct exim_value *t = x->kind == FILTER_PIPE ? &main[EXIM_MAIN_system_filter_pipe_transport] :
	    x->kind == FILTER_MAIL ? &main[EXIM_MAIN_system_filter_reply_transport] :
	    sv_ends(x->to, "/") && main[EXIM_MAIN_system_filter_directory_transport].text.p != NULL ?
	    &main[EXIM_MAIN_system_filter_directory_transport] : &main[EXIM_MAIN_system_filter_file_transport];
	struct route_delivery *rd = arena_zalloc(m->arena, sizeof(*rd));
	struct route_filter_item *item = arena_zalloc(m->arena, sizeof(*item));
	struct route_addr *addr = arena_dup(m->arena, from, sizeof(*from));
	struct err err = ERR_INIT;

	rd->addr = addr;
	rd->kind = x->kind == FILTER_PIPE ? ROUTE_PIPE : x->kind == FILTER_MAIL ? ROUTE_REPLY : ROUTE_FILE;
	rd->text = arena_sv(m->arena, x->kind == FILTER_MAIL && x->mail != NULL ? x->mail->to : x->to);
	if (x->kind == FILTER_MAIL && x->mail != NULL) {
		item->mail = x->mail;
		rd->item = item;
	}
	rd->text.tainted = false;
	rd->local_part = from->address;
	addr->unique = sv_cstr(arena_fmt(m->arena, SV_FMT ":%d:" SV_FMT, SV_ARG(from->address), (int)rd->kind, SV_ARG(rd->text)));
	(void)exim_conf_transport_of(m->vq->conf, t, &f->w->e->env, &rd->transport, &err);
	rd->uid = rd->gid = -1;
	if (main[EXIM_MAIN_system_filter_user].set) {
		rd->user_set = true;
		rd->uid = main[EXIM_MAIN_system_filter_user].num;
	}
	if (main[EXIM_MAIN_system_filter_group].set) {
		rd->group_set = true;
		rd->gid = main[EXIM_MAIN_system_filter_group].num;
	}
	give(f, rd, instead);
}

/* deliver: the address goes through the routers, as a child of "system-filter". */
static void
forward(struct sysfilter *f, struct sv to, const struct route_addr *from, bool instead)
{
	struct msg *m = f->w->m;
	struct route_result res;

	routing_address(f->w, arena_sv(m->arena, to), &res);
	for (size_t i = 0; i < res.nfailures; i++)
		if (rcpt_due(m, f->first, now_s()))
			routing_failed(f->w, f->first, &res.failure[i]);
	for (size_t i = 0; i < res.ndeliveries; i++) {
		struct route_addr *a = (struct route_addr *)(uintptr_t)res.delivery[i].addr;

		while (a->parent != NULL && a->parent != from)
			a = (struct route_addr *)(uintptr_t)a->parent;
		a->parent = from;
		give(f, &res.delivery[i], instead);
	}
}

/* logwrite: into the log, or a file of its own. */
static void
write_log(struct msg *m, const struct filter_action *x)
{
	int fd;

	if (x->to.len == 0) {
		vlog(m->vq, "%s " SV_FMT, m->env.id, SV_ARG(sv_trim(x->text)));
		return;
	}
	fd = open(arena_cstr(m->arena, x->to), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, x->mode != 0 ? x->mode : 0600);
	if (fd == -1 || os_write_full(fd, x->text.p, x->text.len) == -1)
		log_warn(NULL, "qid=%s the system filter's log " SV_FMT " cannot be written", m->env.id, SV_ARG(x->to));
	if (fd != -1)
		(void)close(fd);
}

static void
take_plan(struct sysfilter *f, bool instead)
{
	struct msg *m = f->w->m;
	struct route_addr *from = arena_zalloc(m->arena, sizeof(*from));
	size_t n = 0;

	from->address = from->unique = SV_LIT("system-filter");
	for (size_t i = 0; i < f->plan.v.len; i++)
		n += filter_delivers(f->plan.v.p[i].kind);
	if (instead)
		vlog(m->vq, n > 0 ? "%s original recipients ignored (system filter)" : "%s => discarded (system filter)", m->env.id);
	for (uint32_t i = 0; i < m->env.nrcpts; i++)
		m->rcpts[i].pending++;
	for (size_t i = 0; i < f->plan.v.len; i++) {
		const struct filter_action *x = &f->plan.v.p[i];

		if (x->kind == FILTER_FORWARD)
			forward(f, x->to, from, instead);
		else if (x->kind == FILTER_LOG)
			write_log(m, x);
		else if (x->kind == FILTER_FILE || x->kind == FILTER_PIPE || x->kind == FILTER_MAIL)
			add_delivery(f, x, from, instead);
	}
	for (uint32_t i = 0; i < m->env.nrcpts; i++)
		m->rcpts[i].pending--;
}

/* ---- its ends ---- */

static void
mark_tried(struct msg *m)
{
	int64_t now = now_s();

	for (uint32_t i = 0; i < m->env.nrcpts; i++)
		if (rcpt_due(m, i, now)) {
			m->rcpts[i].tried = true;
			m->rcpts[i].deferred = m->rcpts[i].failed = false;
		}
}

/* fail: "<<for the log>>for the sender" */
static void
cancelled(struct sysfilter *f)
{
	struct msg *m = f->w->m;
	struct sv log = sv_cstr(f->text), user = log;
	ptrdiff_t close = sv_find(log, SV_LIT(">>"));
	struct err err = ERR_INIT;

	if (sv_starts(log, "<<") && close > 0) {
		user = sv_sub(log, (size_t)close + 2, log.len);
		log = sv_sub(log, 2, (size_t)close);
	}
	vlog(m->vq, "%s cancelled by system filter%s" SV_FMT, m->env.id, log.len > 0 ? ": " : "", SV_ARG(log));
	err_set(&err, ERR_PERM, "5.7.1", "cancelled by system filter");
	for (uint32_t i = 0; i < m->env.nrcpts; i++)
		if (m->rcpts[i].state == SPOOL_ST_OPEN)
			address_failed(m, i, m->env.rcpts[i].addr, m->env.sender, &err, user, NULL);
}

static void
put_off(struct sysfilter *f, const char *why)
{
	struct msg *m = f->w->m;
	struct err err = ERR_INIT;
	int64_t now = now_s();

	err_set(&err, ERR_TEMP, "4.7.1", "%s", why);
	for (uint32_t i = 0; i < m->env.nrcpts; i++)
		if (rcpt_due(m, i, now))
			note_deferral(m, i, &err, now + ERROR_RETRY_S);
}

bool
sysfilter_run(struct work *w)
{
	struct msg *m = w->m;
	struct sysfilter *f;
	enum exim_filter_end end;

	if (m->vq->conf->main[EXIM_MAIN_system_filter].str == NULL)
		return (true);
	f = arena_zalloc(m->arena, sizeof(*f));
	f->w = w;
	while (f->first < m->env.nrcpts && m->rcpts[f->first].state != SPOOL_ST_OPEN)
		f->first++;
	mark_tried(m);
	filter_plan_init(&f->plan, m->arena);
	end = run(f);
	if (w->e->msg.headers != NULL)
		take_header(f);
	w->filter = f;
	/* The first recipient keeps what comes in addition: where it is settled, that was done. */
	if (end == EXIM_FILTER_DELIVERED || (end <= EXIM_FILTER_NOT_DELIVERED && f->first == 0))
		take_plan(f, end == EXIM_FILTER_DELIVERED);
	filter_plan_free(&f->plan);
	switch (end) {
	case EXIM_FILTER_END_FAIL:
		cancelled(f);
		return (false);
	case EXIM_FILTER_END_FREEZE:
		/* Who thawed it by hand wants it delivered. */
		if (m->force)
			return (true);
		m->freeze = true;
		put_off(f, arena_fmt(m->arena, "frozen by the system filter%s%s", *f->text != '\0' ? ": " : "", f->text));
		return (false);
	case EXIM_FILTER_END_DEFER:
		vlog(m->vq, "%s Delivery deferred by system filter", m->env.id);
		put_off(f, "deferred by the system filter");
		return (false);
	case EXIM_FILTER_ERROR:
		eximlog_write(EXIMLOG_MAIN | EXIMLOG_PANIC, "%s Error in system filter: %s", m->env.id, f->text);
		put_off(f, "error in the system filter");
		return (false);
	default:
		return (end != EXIM_FILTER_DELIVERED);
	}
}
