/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client is made to wait for, or is refused, because of how much there is: connections that are kept back for
 * some hosts, the load of the machine, the pace of MAIL and RCPT, room on the spool's file system, and what is queued
 * without a first attempt (chapter 14 of Exim's manual, smtp_accept_reserve and the following).
 */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "exim/option.h"
#include "fiber/fiber.h"
#include "session/session_int.h"

#define DELAY_MAX	3600.0

/* ---- connections ---- */

static bool
turned_away(struct session *s, const char *reply, const char *why)
{
	struct sb host = SB_INIT(2000);

	session_caller(s, &host);
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT,
	    "temporarily refused connection from %s: not in reserve list%s", sb_cstr(&host), why);
	sb_free(&host);
	session_replyf(s, 421, "4.3.2", SV_FMT ": %s", SV_ARG(s->x.active_hostname), reply);
	s->end = END_DROP;
	return (false);
}

/* The last smtp_accept_reserve connections, and those under much load, are for smtp_reserve_hosts. */
bool
session_within_reserve(struct session *s, int64_t max, int64_t now)
{
	int64_t reserve = exim_main_int(s->conf, EXIM_MAIN_smtp_accept_reserve);
	int64_t load = s->conf->main[EXIM_MAIN_smtp_load_reserve].num, is;
	const struct exim_world *w = s->env.world;
	char why[120];

	if (max > 0 && reserve > 0 && now + reserve > max && !session_client_in(s, EXIM_MAIN_smtp_reserve_hosts)) {
		(void)snprintf(why, sizeof(why), ": connected=%lld max=%lld reserve=%lld", (long long)now - 1,
		    (long long)max, (long long)reserve);
		return (turned_away(s, "Too many concurrent SMTP connections; please try again later", why));
	}
	if (load <= 0 || w->loadavg == NULL || (is = w->loadavg(w->arg)) <= load || session_client_in(s, EXIM_MAIN_smtp_reserve_hosts))
		return (true);
	(void)snprintf(why, sizeof(why), " and load average = %.2f", (double)is / 1000);
	return (turned_away(s, "Too much load; please try again later", why));
}

/* ---- the pace of commands ---- */

/* A time with a fraction, and an optional unit. */
static bool
seconds(struct sv v, double *out)
{
	char buf[40], *end;
	int64_t whole;

	v = sv_trim(v);
	if (exim_parse_time(v, &whole)) {
		*out = (double)whole;
		return (true);
	}
	if (v.len == 0 || v.len >= sizeof(buf))
		return (false);
	memcpy(buf, v.p, v.len);
	buf[v.len] = '\0';
	*out = strtod(buf, &end);
	if (*end == 'm')
		*out *= 60;
	return (*out >= 0 && (*end == '\0' || strcmp(end, "s") == 0 || strcmp(end, "m") == 0));
}

/* "COUNT,DELAY,FACTOR,MOST": from the <n>th command behind COUNT on each waits, and each longer than the one before. */
static void
pace(struct session *s, enum exim_main_opt opt, double *delay, int64_t n)
{
	struct sv v = s->conf->main[opt].text, piece[4], one;
	double first, factor, most;
	int64_t count;
	size_t k = 0;

	if (v.len == 0 || s->conn->host_checking || !session_client_in(s, EXIM_MAIN_smtp_ratelimit_hosts))
		return;
	while (k < 4 && sv_next(&v, ',', &one))
		piece[k++] = sv_trim(one);
	if (k < 4 || !num_parse(piece[0], 0, INT32_MAX, &count) || !seconds(piece[1], &first) || !seconds(piece[2], &factor) ||
	    !seconds(piece[3], &most) || n <= count)	/* its form was looked at when it was read */
		return;
	if (most > DELAY_MAX)
		most = DELAY_MAX;
	*delay = *delay <= 0 ? first : *delay * factor;
	if (*delay > most)
		*delay = most;
	(void)stream_flush(s->io);
	(void)fiber_sleep((int64_t)(*delay * 1000));
}

void
session_pace_mail(struct session *s)
{
	pace(s, EXIM_MAIN_smtp_ratelimit_mail, &s->delay_mail, (int64_t)s->mails + 1);
}

void
session_pace_rcpt(struct session *s)
{
	if (s->x.rcpt_count == 1)
		s->delay_rcpt = 0;
	pace(s, EXIM_MAIN_smtp_ratelimit_rcpt, &s->delay_rcpt, s->x.rcpt_count);
}

/* ---- room, and attempts put off ---- */

/* The directory of the main log; empty: logs are no files. */
static struct sv
log_directory(const struct exim_conf *c, struct arena *a)
{
	struct sv list = c->g.log_file_path, item;
	ptrdiff_t slash;
	int sep = 0;

	while (exim_list_next(&list, &sep, a, &item))
		if (item.len > 0 && item.p[0] == '/' && (slash = sv_rchr(item, '/')) > 0)
			return (sv_sub(item, 0, (size_t)slash));
	return (SV_LIT(""));
}

bool
session_has_room(const struct exim_conf *c, const struct exim_world *w, struct arena *a, int64_t size, const char **why)
{
	static const struct { const char *what; enum exim_main_opt space, inodes; } parts[] = {
		{ "spool", EXIM_MAIN_check_spool_space, EXIM_MAIN_check_spool_inodes },
		{ "log", EXIM_MAIN_check_log_space, EXIM_MAIN_check_log_inodes },
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		const struct exim_value *kb = &c->main[parts[i].space], *nodes = &c->main[parts[i].inodes];
		int64_t free_kb, free_nodes, need = kb->set ? kb->num : 0;
		struct sv dir;

		if (!kb->set && !nodes->set)
			continue;
		dir = i == 0 ? c->g.spool_directory : log_directory(c, a);
		if (dir.len == 0 || w->fsspace == NULL || w->fsspace(w->arg, arena_cstr(a, dir), &free_kb, &free_nodes) != 0)
			continue;
		if (i == 0 && size > 0 && exim_main_bool(c, EXIM_MAIN_smtp_check_spool_space))
			need += size / 1024;
		if ((need <= 0 || free_kb >= need) && (!nodes->set || nodes->num <= 0 || free_nodes < 0 || free_nodes >= nodes->num))
			continue;
		*why = arena_fmt(a, "%s directory space check failed: space=%lld inodes=%lld", parts[i].what, (long long)free_kb,
		    (long long)free_nodes);
		return (false);
	}
	return (true);
}

bool
session_spool_room(struct session *s, int64_t size)
{
	const char *why;

	if (session_has_room(s->conf, s->env.world, s->cmd, size, &why))
		return (true);
	session_logf(s, SESSION_LOG_MAIN, "%s", why);
	return (false);
}

bool
session_queues_only(struct session *s)
{
	const struct exim_value *each = &s->conf->main[EXIM_MAIN_smtp_accept_queue_per_connection];
	const struct session_ops *ops = s->sv->ops;
	const struct exim_world *w = s->env.world;
	int64_t many = exim_main_int(s->conf, EXIM_MAIN_smtp_accept_queue);
	const struct exim_value *load = &s->conf->main[EXIM_MAIN_queue_only_load];

	if (exim_main_bool(s->conf, EXIM_MAIN_queue_only))
		return (true);
	/* The default of ten spares Exim processes; there are none here. */
	s->txn->put_off = NULL;
	if (s->conn->host_checking)
		return (false);
	if (each->set && each->num > 0 && (int64_t)s->mails > each->num) {
		s->txn->put_off = arena_fmt(s->txn->arena, "more than %lld messages received in one connection", (long long)each->num);
		return (true);
	}
	if (many > 0 && ops->connections != NULL && (int64_t)ops->connections(ops->arg, NULL) > many)
		return (true);
	if (!load->set || load->num < 0 || w->loadavg == NULL)
		return (false);
	/* Once is for the whole connection, unless queue_only_load_latch is off. */
	if (!s->load_queues || !exim_main_bool(s->conf, EXIM_MAIN_queue_only_load_latch))
		s->load_queues = w->loadavg(w->arg) > load->num;
	if (s->load_queues)
		s->txn->put_off = arena_fmt(s->txn->arena, "load average %.2f", (double)w->loadavg(w->arg) / 1000);
	return (s->load_queues);
}
