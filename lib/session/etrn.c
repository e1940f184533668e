/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ETRN (RFC 1985): attempts for the mail that waits for a domain, or the program of smtp_etrn_command.  The program
 * runs in a fiber of its own, and the client is not kept waiting for its end; smtp_etrn_serialize allows one at a time for
 * the same argument, here and, by the hints, in the other processes.  The mark there is renewed while the program runs,
 * so that one that a crash left behind is soon forgotten.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "exim/lexer.h"
#include "exim/expand.h"
#include "fiber/fiber.h"
#include "session/session_int.h"

#define ARGS_MAX	100
#define RUN_SECONDS	3600
#define MARK_SECONDS	60		/* that a mark lives when nobody renews it */
#define RUNNING_MAX	20		/* of one process */
#define HINT_DB		"misc"

struct etrn_run {
	struct etrn_run	*next;
	struct arena	*a;
	const struct exim_world *w;
	const char	**argv;
	char		*key;
	bool		 serialized;
	bool		 done;
	struct fiber	*keeper;	/* renews the mark; NULL: none, or it has ended */
};

static struct etrn_run *running;
static size_t nrunning;

/* ---- which run now ---- */

/* A mark of a process of one session, which cannot renew it, tells its number. */
static bool
is_dead(struct sv mark)
{
	int64_t pid;

	return (fiber_self() == NULL && num_parse(mark, 2, INT32_MAX, &pid) && kill((pid_t)pid, 0) == -1 && errno == ESRCH);
}

static bool
is_running(const struct exim_world *w, struct arena *a, const char *key)
{
	struct sv v;

	for (const struct etrn_run *r = running; r != NULL; r = r->next)
		if (r->serialized && strcmp(r->key, key) == 0)
			return (true);
	return (w->hint_get != NULL && w->hint_get(w->arg, HINT_DB, sv_cstr(arena_fmt(a, "etrn-%s", key)), a, &v) == EXIM_FOUND &&
	    !is_dead(v));
}

static void
mark(struct etrn_run *r, bool on)
{
	struct sv name = sv_cstr(arena_fmt(r->a, "etrn-%s", r->key));

	if (!r->serialized)
		return;
	if (on && r->w->hint_put != NULL && fiber_self() != NULL)
		(void)r->w->hint_put(r->w->arg, HINT_DB, name, SV_LIT("1"), MARK_SECONDS);
	else if (on && r->w->hint_put != NULL)
		(void)r->w->hint_put(r->w->arg, HINT_DB, name, sv_cstr(arena_fmt(r->a, "%ld", (long)getpid())), RUN_SECONDS);
	else if (!on && r->w->hint_del != NULL)
		(void)r->w->hint_del(r->w->arg, HINT_DB, name);
}

static void
free_run(struct etrn_run *r)
{
	free(r->key);
	arena_free(&r->a);
	free(r);
}

static void
keep_mark(void *arg)
{
	struct etrn_run *r = arg;

	while (fiber_sleep(MARK_SECONDS * 1000 / 2) != FIBER_CANCELLED && !r->done)
		mark(r, true);
	r->keeper = NULL;
	if (r->done)
		free_run(r);
}

static void
run_fiber(void *arg)
{
	struct etrn_run *r = arg, **p = &running;
	struct exim_run x = { .argv = r->argv, .timeout = RUN_SECONDS, .max = 4096, .merge_stderr = true };
	struct err err = ERR_INIT;
	struct sv out;
	int rc = 0;

	if (r->serialized && fiber_self() != NULL)
		r->keeper = fiber_spawn("etrn-mark", keep_mark, r);
	(void)r->w->run(r->w->arg, &x, r->a, &out, &rc, &err);
	r->done = true;
	mark(r, false);
	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	nrunning--;
	if (r->keeper == NULL)
		free_run(r);
	else
		fiber_cancel(r->keeper);
}

/* ---- the program ---- */

/* One word, quotes resolved, what stands behind it left in *<rest>. */
static struct sv
next_word(struct session *s, struct sv *rest)
{
	struct sv w = *rest, v = SV_LIT("");
	struct err err = ERR_INIT;
	size_t i = 0;

	if (w.p[0] == '"') {
		for (i = 1; i < w.len && w.p[i] != '"'; i++)
			i += w.p[i] == '\\' && i + 1 < w.len;
		i += i < w.len;
		(void)exim_string_parse(sv_sub(w, 0, i), s->cmd, &v, &err);
	} else {
		while (i < w.len && !sv_isspace(w.p[i]))
			i++;
		v = sv_sub(w, 0, i);
	}
	*rest = sv_trim(sv_sub(w, i, w.len));
	return (v);
}

/* Words first, then each is expanded, so that no value changes their number; and none may be the client's own. */
static bool
set_up(struct session *s, struct etrn_run *r, struct err *err)
{
	struct sv text = sv_trim(s->conf->main[EXIM_MAIN_smtp_etrn_command].text), w;
	size_t n = 0;

	r->argv = arena_zalloc(r->a, (ARGS_MAX + 1) * sizeof(*r->argv));
	while (text.len > 0 && n < ARGS_MAX) {
		w = next_word(s, &text);
		if (exim_expand_text(w, &s->env, &w, err) != EXIM_OK)
			return (false);
		if (w.tainted && w.len > 0) {
			(void)err_set(err, ERR_CONFIG, NULL, "Tainted arg %zu for ETRN processing command: '" SV_FMT "'", n, SV_ARG(w));
			return (false);
		}
		r->argv[n++] = arena_cstr(r->a, w);
	}
	if (n > 0 && r->argv[0][0] == '/')
		return (true);
	(void)err_set(err, ERR_CONFIG, NULL, "the ETRN command needs an absolute path");
	return (false);
}

/* What cannot be done now is told; NULL: the program runs. */
static const char *
run_command(struct session *s, const char *key)
{
	struct etrn_run *r = xcalloc(1, sizeof(*r));
	struct err err = ERR_INIT;
	const char *why = NULL;

	r->a = arena_new(0);
	r->w = s->env.world;
	r->key = xstrdup(key);
	r->serialized = exim_main_bool(s->conf, EXIM_MAIN_smtp_etrn_serialize);
	if (s->txn == NULL)
		s->env.addr = arena_zalloc(s->cmd, sizeof(*s->env.addr));
	s->env.addr->domain = sv_taint(sv_cstr(arena_str(s->cmd, key)));
	if (!set_up(s, r, &err)) {
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC, "failed to set up ETRN command: %s", err.text);
		why = "Internal failure";
	} else if (s->conn->host_checking || r->w->run == NULL)
		why = s->conn->host_checking ? NULL : "Internal failure";
	else if (r->serialized && is_running(r->w, s->cmd, key))
		why = arena_fmt(s->cmd, "Already processing %s", key);
	else if (nrunning >= RUNNING_MAX)
		why = "Unable to fork process";
	else {
		r->next = running;
		running = r;
		nrunning++;
		mark(r, true);
		if (fiber_self() == NULL) {
			/* A process of one session. */
			run_fiber(r);
			return (NULL);
		}
		if (fiber_spawn("etrn", run_fiber, r) != NULL)
			return (NULL);
		mark(r, false);
		running = r->next;
		nrunning--;
		why = "Unable to fork process";
	}
	free_run(r);
	return (why);
}

static void
by_command(struct session *s, struct sv text)
{
	const char *why = run_command(s, arena_cstr(s->cmd, s->c.arg));

	if (why != NULL)
		session_replyf(s, 458, "4.3.0", "%s", why);
	else
		session_reply(s, 250, "2.0.0", text);
}

/* ---- the queue ---- */

static void
by_queue(struct session *s)
{
	const struct session_ops *ops = s->sv->ops;
	struct err err = ERR_INIT;
	unsigned count = 0;
	char *domain;

	if (s->c.arg.len == 0) {
		session_mistake(s, 501, "5.5.4", "ETRN needs the name of a domain");
		return;
	}
	/* "@domain": with its subdomains; "#name" is a queue of the server's own choosing: we take it as a domain too. */
	domain = arena_cstr(s->cmd, s->c.arg.p[0] == '@' || s->c.arg.p[0] == '#' ? sv_sub(s->c.arg, 1, s->c.arg.len) : s->c.arg);
	if (!mail_domain_ok(sv_cstr(domain), false)) {
		session_mistake(s, 501, "5.5.4", "ETRN: \"%s\" is no domain", domain);
		return;
	}
	if (ops->etrn == NULL || ops->etrn(ops->arg, domain, &count, &err) == -1)
		session_replyf(s, 458, "4.3.0", "Unable to queue messages for node %s: %s", domain, ops->etrn == NULL ?
		    "no queue here" : err.text);
	else if (count == 0)
		session_replyf(s, 251, "2.0.0", "OK, no messages waiting for node %s", domain);
	else
		session_replyf(s, 253, "2.0.0", "OK, %u pending messages for node %s started", count, domain);
}

void
session_etrn(struct session *s)
{
	struct sb host = SB_INIT(2000);
	struct sv text = SV_NULL;
	unsigned code = 250;

	if (s->txn != NULL) {
		session_mistake(s, 503, "5.5.1", "ETRN is not permitted inside a transaction");
		return;
	}
	session_caller(s, &host);
	if (session_logs(s, EXIM_LOGSEL_etrn))
		session_logf(s, SESSION_LOG_MAIN, "ETRN " SV_FMT " received from %s", SV_ARG(s->c.arg), sb_cstr(&host));
	sb_free(&host);
	if (session_acl(s, EXIM_WHERE_ETRN, s->c.arg, &text, &code) != ACL_GO)
		return;
	if (s->conf->main[EXIM_MAIN_smtp_etrn_command].text.len > 0) {
		by_command(s, text.len > 0 ? text : SV_LIT("OK"));
	} else if (!s->conn->exim_style) {
		by_queue(s);
	} else if (s->c.arg.len == 0 || s->c.arg.p[0] != '#') {
		session_mistake(s, 501, NULL, "argument must begin with #");
	} else {
		session_reply(s, code, NULL, text.len > 0 ? text : SV_LIT("OK"));
	}
}
