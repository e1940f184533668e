/* SPDX-License-Identifier: BSD-2-Clause */
/* spam = USER[:true] (sections 45.2 and 45.3 of Exim's manual): SpamAssassin's spamd, and Rspamd in its way. */
#include <sys/socket.h>

#include <string.h>
#include <time.h>

#include "fiber/fiber.h"
#include "session/scan_int.h"

#define HEAD_MAX	(64 * 1024)

/* ---- which server ---- */

static size_t
read_servers(struct session *s, struct sv list, struct exim_scan_server v[SCAN_SERVERS])
{
	struct sv item;
	size_t n = 0;
	int sep = 0;

	while (n < SCAN_SERVERS && exim_list_next(&list, &sep, s->cmd, &item)) {
		if (item.len == 0)
			continue;
		if (exim_scan_server(item, s->cmd, &v[n]))
			n++;
		else
			session_logf(s, SESSION_LOG_MAIN, "spam acl condition: warning - invalid spamd address: '" SV_FMT "'", SV_ARG(item));
	}
	return (n);
}

/* Seconds since midnight, local time. */
static int64_t
second_of_day(void)
{
	time_t now = time(NULL);
	struct tm tm;

	return (localtime_r(&now, &tm) == NULL ? 0 : tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec);
}

/* Of those of the highest priority that may be asked now one by weight, and off with it; SIZE_MAX: none is left. */
static size_t
choose(struct session *s, struct exim_scan_server *v, size_t n, bool *tried)
{
	const struct exim_world *w = s->env.world;
	int64_t best = INT64_MIN, sum = 0, at, now = second_of_day();
	size_t last = SIZE_MAX;

	for (size_t i = 0; i < n; i++) {
		if (v[i].to > 0 && (now < v[i].from || now >= v[i].to))
			tried[i] = true;
		if (!tried[i] && v[i].priority > best)
			best = v[i].priority;
	}
	for (size_t i = 0; i < n; i++)
		if (!tried[i] && v[i].priority == best)
			sum += v[i].weight > 0 ? v[i].weight : 1;
	at = sum > 1 && w->random != NULL ? (int64_t)(w->random(w->arg) % (uint64_t)sum) : 0;
	for (size_t i = 0; i < n; i++) {
		if (tried[i] || v[i].priority != best)
			continue;
		last = i;
		at -= v[i].weight > 0 ? v[i].weight : 1;
		if (at < 0)
			break;
	}
	if (last != SIZE_MAX)
		tried[last] = true;
	return (last);
}

/* ---- the exchange ---- */

static void
put_request(struct session *s, struct stream *io, const struct exim_scan_server *v, struct sv user, int64_t size)
{
	const struct txn *t = s->txn;
	struct sb head = SB_INIT(HEAD_MAX);

	if (!v->rspamd) {
		sb_addf(&head, "REPORT SPAMC/1.2\r\nUser: " SV_FMT "\r\nContent-length: %lld\r\n\r\n", SV_ARG(user), (long long)size);
	} else {
		sb_addf(&head, "CHECK RSPAMC/1.3\r\nContent-length: %lld\r\nQueue-Id: %s\r\nFrom: <" SV_FMT ">\r\nRecipient-Number: %zu\r\n",
		    (long long)size, t->id, SV_ARG(t->msg.sender), t->rcpt_addrs.len);
		for (size_t i = 0; i < t->rcpt_addrs.len && head.len < HEAD_MAX / 2; i++)
			sb_addf(&head, "Rcpt: <" SV_FMT ">\r\n", SV_ARG(t->rcpt_addrs.p[i]));
		if (s->x.helo.len > 0)
			sb_addf(&head, "Helo: " SV_FMT "\r\n", SV_ARG(s->x.helo));
		if (s->x.host_name.len > 0)
			sb_addf(&head, "Hostname: " SV_FMT "\r\n", SV_ARG(s->x.host_name));
		if (s->x.host_address.len > 0)
			sb_addf(&head, "IP: " SV_FMT "\r\n", SV_ARG(s->x.host_address));
		if (s->x.authenticated_id.len > 0)
			sb_addf(&head, "User: " SV_FMT "\r\n", SV_ARG(s->x.authenticated_id));
		sb_adds(&head, "\r\n");
	}
	(void)stream_write(io, sb_sv(&head));
	sb_free(&head);
}

/* Ask one server: true and its verdict; else it is logged why not. */
static bool
converse(struct session *s, struct stream *io, const struct exim_scan_server *v, struct sv user, struct exim_spam *spam)
{
	struct scan_out count = { .fd = -1 }, o = { .io = io, .fd = -1 };
	struct sb reply = SB_INIT(SCAN_REPLY_MAX + 1);
	int64_t timeout = (v->timeout > 0 ? v->timeout : SCAN_TIMEOUT) * 1000, deadline = FIBER_NOW_PLUS(timeout);
	const char *why = NULL;

	stream_set_timeout(io, timeout, timeout);
	(void)scan_message(s, &count);
	put_request(s, io, v, user, count.n);
	/* What was written is answered by an error, or not at all. */
	if (!scan_message(s, &o) || stream_flush(io) != STREAM_OK)
		why = "error writing the message to the spamd socket";
	else if (!v->rspamd)
		(void)shutdown(stream_fd(io), SHUT_WR);
	if (why == NULL && !scan_read(io, deadline, false, &reply))
		why = "error reading from the spamd socket: timed out";
	if (why == NULL && !exim_spam_reply(sv_taint(arena_sv(s->cmd, sb_sv(&reply))), v->rspamd, spam))
		why = "cannot parse spamd output";
	if (why != NULL)
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC, "spam acl condition: %s", why);
	sb_free(&reply);
	return (why == NULL);
}

static enum exim_result
ask(struct session *s, struct sv list, struct sv user, struct exim_spam *spam)
{
	struct exim_scan_server v[SCAN_SERVERS];
	bool tried[SCAN_SERVERS] = { false };
	struct sb why = SB_INIT(1000);
	size_t n = read_servers(s, list, v), i;
	bool ok;

	if (n == 0) {
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC,
		    "spam acl condition: no useable spamd server addresses in spamd_address configuration option.");
		return (EXIM_DEFER);
	}
	while ((i = choose(s, v, n, tried)) != SIZE_MAX) {
		int64_t timeout = v[i].timeout > 0 ? v[i].timeout : SCAN_TIMEOUT;
		struct stream *io = scan_connect(s, &v[i], FIBER_NOW_PLUS(timeout * 1000), &why);

		if (io == NULL) {
			session_logf(s, SESSION_LOG_MAIN, "spam acl condition: spamd: %s", sb_cstr(&why));
			sb_clear(&why);
			continue;
		}
		ok = converse(s, io, &v[i], user, spam);
		stream_close(&io);
		sb_free(&why);
		return (ok ? EXIM_OK : EXIM_DEFER);
	}
	sb_free(&why);
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC, "spam acl condition: all spamd servers failed");
	return (EXIM_DEFER);
}

enum exim_result
scan_spam(struct session *s, struct exim_env *env, struct sv arg, bool *yes)
{
	struct session_scan *sc = scan_state(s);
	struct sv first = SV_LIT(""), option, user = SV_LIT(""), word, list;
	bool defer_ok = false, always = false, expanded = false;
	struct exim_spam spam;
	enum exim_result r;
	int sep = '/', colon = 0;

	*yes = false;
	(void)exim_list_next(&arg, &sep, s->cmd, &first);
	while (exim_list_next(&arg, &sep, s->cmd, &option))
		defer_ok = defer_ok || sv_caseeqs(option, "defer_ok");
	(void)exim_list_next(&first, &colon, s->cmd, &user);
	while (exim_list_next(&first, &colon, s->cmd, &word))
		always = always || sv_caseeqs(word, "true");
	if (user.len == 0 || sv_eqs(user, "0") || sv_caseeqs(user, "false") || user.len > 200)
		return (EXIM_OK);
	/* The name goes into a line of the protocol. */
	for (size_t i = 0; i < user.len; i++)
		if ((unsigned char)user.p[i] < ' ' || user.p[i] == 127)
			return (EXIM_OK);
	if (!scan_option(s, env, EXIM_MAIN_spamd_address, &list, &expanded))
		return (defer_ok ? EXIM_OK : EXIM_DEFER);
	if (sc->spam_known && !expanded && sv_eq(sc->spam_user, user)) {
		*yes = sc->spam || always;
		return (EXIM_OK);
	}
	r = ask(s, list, user, &spam);
	if (r != EXIM_OK)
		return (defer_ok ? EXIM_OK : r);
	exim_spam_vars(env->acl, &spam, s->txn->arena);
	sc->spam_known = true;
	sc->spam = spam.score >= spam.threshold;
	sc->spam_user = arena_sv(s->txn->arena, user);
	*yes = sc->spam || always;
	return (EXIM_OK);
}
