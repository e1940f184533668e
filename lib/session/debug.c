/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control = debug (section 44.22 of Exim's manual): a log of one connection, from the ACL that ordered it on: what ACLs do, commands
 * and replies, and what the other logs were told.  The file is called debuglog and what tag= says; nothing that would be a path is left
 * of that.  With pretrigger= the last lines wait in memory for what is worth to be written.  Passwords do not come here: of AUTH
 * only the mechanism is told, of content nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "os/file.h"
#include "os/time.h"
#include "session/session_int.h"

#define NAME_SIZE	200
#define LINES_MAX	(64 * 1024)
#define PRETRIGGER_MAX	(1024 * 1024)

#define WANT_ACL	0x01U
#define WANT_RECEIVE	0x02U
#define WANT_TIMESTAMP	0x04U
#define WANT_PID	0x08U
#define WANT_USUAL	(WANT_ACL | WANT_RECEIVE)

struct session_debug {
	char		 name[NAME_SIZE];
	int		 fd;		/* -1: not open yet */
	unsigned	 want;
	bool		 failed;	/* the file cannot be written, which was told */
	bool		 by_panic;	/* a line of the panic log is the trigger */
	size_t		 keep;		/* bytes that wait for the trigger; 0: there is none to wait for */
	struct sb	 kept;
};

/* ---- what is wanted ---- */

/* Exim's selectors; those without a bit tell of what is not told here. */
static const struct { const char *name; unsigned bit; } selectors[] = {
	{ "acl", WANT_ACL }, { "all", ~0U }, { "auth", 0 }, { "deliver", 0 }, { "dns", 0 }, { "dnsbl", 0 }, { "exec", 0 }, { "expand", 0 },
	{ "filter", 0 }, { "hints_lookup", 0 }, { "host_lookup", 0 }, { "ident", 0 }, { "interface", 0 }, { "lists", 0 }, { "load", 0 },
	{ "local_scan", 0 }, { "lookup", 0 }, { "memory", 0 }, { "noutf8", 0 }, { "pid", WANT_PID }, { "process_info", 0 }, { "queue_run", 0 },
	{ "receive", WANT_RECEIVE }, { "resolver", 0 }, { "retry", 0 }, { "rewrite", 0 }, { "route", 0 }, { "timestamp", WANT_TIMESTAMP },
	{ "tls", 0 }, { "transport", 0 }, { "uid", 0 }, { "verify", 0 },
};

static unsigned
selection(struct session *s, struct sv opts)
{
	unsigned want = WANT_USUAL;

	while (opts.len > 0) {
		bool on = opts.p[0] != '-';
		struct sv name;
		size_t i = opts.p[0] == '+' || opts.p[0] == '-' ? 1 : 0, end = i, k;

		while (end < opts.len && opts.p[end] != '+' && opts.p[end] != '-')
			end++;
		name = sv_trim(sv_sub(opts, i, end));
		opts = sv_sub(opts, end, opts.len);
		for (k = 0; k < sizeof(selectors) / sizeof(selectors[0]); k++)
			if (sv_eqs(name, selectors[k].name))
				break;
		if (k == sizeof(selectors) / sizeof(selectors[0]))
			session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC,
			    "unknown debug selector setting: %s" SV_FMT, on ? "+" : "-", SV_ARG(name));
		else
			want = on ? want | selectors[k].bit : want & ~selectors[k].bit;
	}
	return (want);
}

/* The tag is part of a file's name. */
static void
set_name(struct session_debug *d, struct sv tag)
{
	size_t n = (size_t)snprintf(d->name, sizeof(d->name), "debuglog");

	for (size_t i = 0; i < tag.len && n + 1 < sizeof(d->name); i++) {
		char c = tag.p[i];

		d->name[n++] = sv_isalnum(c) || strchr(".:@+-_=", c) != NULL ? c : '_';
	}
	d->name[n] = '\0';
}

/* ---- writing ---- */

static void
put(struct session *s, struct sv text)
{
	struct session_debug *d = s->debug;
	const struct session_log *log = s->sv->log;
	struct err err = ERR_INIT;

	if (d->failed)
		return;
	if (d->fd == -1)
		d->fd = log->file(log->arg, d->name, false, &err);
	if (d->fd != -1 && os_write_full(d->fd, text.p, text.len) == (ssize_t)text.len)
		return;
	/* Before it is told: that line comes here, too. */
	d->failed = true;
	if (err.cls == ERR_NONE)
		(void)err_sys(&err, "write %s", d->name);
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC, "control = debug: %s", err.text);
}

static void
fire(struct session *s)
{
	struct session_debug *d = s->debug;
	struct sb kept = d->kept;

	if (d->keep == 0)
		return;
	d->keep = 0;
	sb_init(&d->kept, 1);
	put(s, sb_sv(&kept));
	sb_free(&kept);
}

/* The oldest lines make room. */
static void
keep(struct session_debug *d, struct sv text)
{
	size_t over = d->kept.len + text.len > d->keep ? d->kept.len + text.len - d->keep : 0;
	const char *nl;

	if (over >= d->kept.len) {
		sb_clear(&d->kept);
	} else if (over > 0) {
		nl = memchr(d->kept.p + over - 1, '\n', d->kept.len - over + 1);
		over = nl == NULL ? d->kept.len : (size_t)(nl + 1 - d->kept.p);
		memmove(d->kept.p, d->kept.p + over, d->kept.len - over);
		d->kept.len -= over;
	}
	sb_add(&d->kept, text);
}

static void
add_front(const struct session_debug *d, struct sb *out)
{
	char when[32];
	struct tm tm;
	time_t now;

	if ((d->want & WANT_TIMESTAMP) != 0) {
		now = (time_t)(os_wall_us() / 1000000);
		(void)localtime_r(&now, &tm);
		(void)strftime(when, sizeof(when), "%H:%M:%S ", &tm);
		sb_adds(out, when);
	}
	if ((d->want & WANT_PID) != 0)
		sb_addf(out, "%ld ", (long)getpid());
}

/* <text> with <mark> in front of its first line; what a peer sent forges no line. */
static void
line(struct session *s, const char *mark, struct sv text)
{
	struct session_debug *d = s->debug;
	struct sb out = SB_INIT(LINES_MAX);
	struct sv one;
	bool first = true;

	while (sv_next(&text, '\n', &one)) {
		add_front(d, &out);
		sb_addf(&out, "%*s", first ? 0 : (int)strlen(mark), "");
		if (first)
			sb_adds(&out, mark);
		first = false;
		for (size_t i = 0; i < one.len; i++)
			if (one.p[i] != '\r')
				sb_addc(&out, (unsigned char)one.p[i] < ' ' || one.p[i] == 127 ? '?' : one.p[i]);
		sb_addc(&out, '\n');
		if (text.len == 0)
			break;
	}
	if (d->keep > 0)
		keep(d, sb_sv(&out));
	else
		put(s, sb_sv(&out));
	sb_free(&out);
}

/* ---- what is told ---- */

void
session_debug_acl(struct session *s, struct sv text)
{
	if ((s->debug->want & WANT_ACL) != 0)
		line(s, "", text);
}

void
session_debug_command(struct session *s, struct sv text)
{
	struct sv rest = text, verb, mechanism;

	if ((s->debug->want & WANT_RECEIVE) == 0)
		return;
	/* A mechanism's first words may be a password. */
	if (sv_word(&rest, &verb) && sv_caseeqs(verb, "AUTH") && sv_word(&rest, &mechanism))
		text = sv_sub(text, 0, (size_t)(mechanism.p + mechanism.len - text.p));
	line(s, "SMTP<< ", text);
}

void
session_debug_reply(struct session *s, struct sv text)
{
	if ((s->debug->want & WANT_RECEIVE) != 0 && text.len > 1)
		line(s, "SMTP>> ", sv_sub(text, 0, text.len - 1));
}

void
session_debug_log(struct session *s, unsigned which, const char *text)
{
	struct sb out = SB_INIT(LINES_MAX);

	sb_addf(&out, "LOG:%s%s%s\n  %s", which & SESSION_LOG_MAIN ? " MAIN" : "", which & SESSION_LOG_REJECT ? " REJECT" : "",
	    which & SESSION_LOG_PANIC ? " PANIC" : "", text);
	line(s, "", sb_sv(&out));
	sb_free(&out);
	if ((which & SESSION_LOG_PANIC) != 0 && s->debug->by_panic)
		fire(s);
}

/* ---- the control ---- */

void
session_debug_end(struct session *s)
{
	struct session_debug *d = s->debug;

	s->debug = NULL;
	s->acl.trace = s->sv->log != NULL && s->sv->log->trace != NULL;
	if (d == NULL)
		return;
	if (d->fd != -1)
		(void)close(d->fd);
	sb_free(&d->kept);
	free(d);
}

static void
stop(struct session *s, bool kill)
{
	const struct session_log *log = s->sv->log;
	char name[NAME_SIZE];
	struct err err = ERR_INIT;
	bool there = s->debug != NULL && s->debug->fd != -1;

	(void)snprintf(name, sizeof(name), "%s", s->debug == NULL ? "" : s->debug->name);
	session_debug_end(s);
	if (kill && there && log->file(log->arg, name, true, &err) == -1)
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC, "control = debug: %s", err.text);
}

struct wishes {
	struct sv	 tag, opts;
	bool		 kill, stop, now, panic;
	size_t		 pretrigger;
};

/* Words that are not known are passed over, as Exim does. */
static struct wishes
read_wishes(struct sv param)
{
	struct wishes w = { .tag = SV_NULL };
	struct sv o;
	int64_t n;

	while (sv_next(&param, '/', &o)) {
		if (sv_starts(o, "tag="))
			w.tag = sv_sub(o, 4, o.len);
		else if (sv_starts(o, "opts="))
			w.opts = sv_sub(o, 5, o.len);
		else if (sv_starts(o, "pretrigger=") && num_parse(sv_sub(o, 11, o.len), 0, PRETRIGGER_MAX, &n))
			w.pretrigger = (size_t)n;
		else if (sv_eqs(o, "trigger=now"))
			w.now = true;
		else if (sv_eqs(o, "trigger=paniclog"))
			w.panic = true;
		else if (sv_eqs(o, "kill"))
			w.kill = true;
		else if (sv_eqs(o, "stop"))
			w.stop = true;
		if (param.len == 0)
			break;
	}
	return (w);
}

void
session_debug_control(struct session *s, struct sv param)
{
	struct wishes w = read_wishes(param);
	struct session_debug *d = s->debug;

	if (s->sv->log == NULL || s->sv->log->file == NULL || s->conn->host_checking)
		return;
	if (w.kill || w.stop) {
		stop(s, w.kill);
		return;
	}
	/* It goes on under the name that it began with. */
	if (d == NULL) {
		unsigned want = selection(s, w.opts);

		d = s->debug = xcalloc(1, sizeof(*d));
		d->fd = -1;
		d->want = want;
		set_name(d, w.tag);
		sb_init(&d->kept, PRETRIGGER_MAX + LINES_MAX);
		d->keep = w.pretrigger;
		s->acl.trace = true;
	} else if (w.opts.len > 0) {
		d->want = selection(s, w.opts);
	}
	d->by_panic = d->by_panic || w.panic;
	if (w.now)
		fire(s);
}
