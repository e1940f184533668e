/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * procmail in a user's child: files, folders and programs of the user are done here and now;
 * what goes to the store or to other people is told to vqueued, which does it when this has ended.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "filter/procmail.h"
#include "mbox/content.h"
#include "os/file.h"
#include "os/user.h"
#include "transport/transport_int.h"

#define MESSAGE_MAX	((size_t)512 * 1024 * 1024)
#define LOG_MAX		1000
#define CONTENT_MAX	(700 * 1024)	/* of changed messages, all together: a frame holds no more */
#define EX_TEMPFAIL	75
#define SHELL_S		60

struct going {
	struct exec	*x;
	struct sv	 text;		/* the message as the rules got it */
	size_t		 body;		/* where its body begins */
	struct transport_list actions;
	size_t		 room;
	struct sb	 log;
};

static size_t
body_of(struct sv text)
{
	ptrdiff_t at = sv_find(text, SV_LIT("\n\n"));

	return (at < 0 ? text.len : (size_t)at + 2);
}

static struct sv
without_from(struct sv text)
{
	ptrdiff_t nl = sv_starts(text, "From ") ? sv_chr(text, '\n') : -1;

	return (nl < 0 ? text : sv_sub(text, (size_t)nl + 1, text.len));
}

/* Programs may leave out or add empty lines at the end. */
static struct sv
without_end(struct sv v)
{
	while (v.len > 0 && v.p[v.len - 1] == '\n')
		v.len--;
	return (v);
}

/* '-' as received, 'H' with another header, 'T' another text; what follows it is that. */
static struct sv
content_of(struct going *g, struct sv now, char *how)
{
	size_t body = body_of(now);

	*how = '-';
	if (now.p == NULL || sv_eq(now, g->text))
		return (SV_NULL);
	if (sv_eq(without_end(sv_sub(now, body, now.len)), without_end(sv_sub(g->text, g->body, g->text.len)))) {
		*how = 'H';
		now = sv_sub(now, 0, body);
	} else
		*how = 'T';
	return (without_from(now));
}

/* An action as one string: what, how the content is changed, length of the target, target, content. */
static enum filter_answer
act(void *arg, const struct filter_action *a, struct err *err)
{
	struct going *g = arg;
	struct arena *ar = g->x->a;
	char what = a->kind == FILTER_KEEP ? 'K' : a->kind == FILTER_STORE ? 'S' : a->kind == FILTER_FORWARD ? 'F' : '\0', how;
	struct sv to = a->kind == FILTER_STORE ? a->folder : a->to, content;

	if (what == '\0' || g->actions.n >= FILTER_ACTIONS_MAX || to.len > 65535) {
		(void)err_set(err, ERR_PERM, NULL, "%s is not possible here", filter_kind_name(a->kind));
		return (FILTER_PERM);
	}
	if (what == 'K')
		to = SV_LIT("");
	content = content_of(g, a->content, &how);
	if (content.len > g->room) {
		sb_addf(&g->log, "%schanged message of %zu bytes is too large, delivered as it came",
		    g->log.len > 0 ? "; " : "", content.len);
		content = SV_NULL;
		how = '-';
	}
	g->room -= content.len;
	if (g->actions.v == NULL)
		g->actions.v = arena_alloc(ar, FILTER_ACTIONS_MAX * sizeof(*g->actions.v));
	g->actions.v[g->actions.n++] = sv_cstr(NULL);
	{
		struct sb sb = SB_INIT(content.len + to.len + 64);

		sb_addf(&sb, "%c%c%zu:", what, how, to.len);
		sb_add(&sb, to);
		sb_add(&sb, content);
		g->actions.v[g->actions.n - 1] = arena_sv(ar, sb_sv(&sb));
		sb_free(&sb);
	}
	return (FILTER_OK);
}

/* What the rules say before they have a LOGFILE: one line of it for our log. */
static void
said(void *arg, const struct filter_pos *pos, struct sv text)
{
	struct going *g = arg;

	(void)pos;
	for (size_t i = 0; i < text.len; i++)
		sb_addc(&g->log, (unsigned char)text.p[i] < ' ' ? ' ' : text.p[i]);
}

/* CRLF becomes LF; other CRs stay. */
static void
add_lf(struct sb *out, struct sv text)
{
	(void)sb_room(out, text.len);
	for (size_t from = 0; from < text.len;) {
		const char *cr = memchr(text.p + from, '\r', text.len - from);
		size_t n = cr == NULL ? text.len - from : (size_t)(cr - text.p) - from;
		bool end = cr != NULL && from + n + 1 < text.len && cr[1] == '\n';

		sb_addn(out, text.p + from, n + (cr != NULL && !end));
		from += n + (cr != NULL);
	}
}

/* "From " line, header, body; lines end in LF. */
static int
whole(struct exec *x, struct sb *out)
{
	const struct transport_job *j = x->j;
	char line[512];
	struct sb raw = SB_INIT(MESSAGE_MAX);
	char *room;
	int rc = -1;

	sb_init(out, MESSAGE_MAX);
	sb_adds(out, mbox_from_line(j->sender, j->now, line, sizeof(line)));
	if (j->len == 0) {
		add_lf(out, j->header);
		return (0);
	}
	sb_add(&raw, j->header);
	room = sb_room(&raw, (size_t)j->len);
	if (room != NULL && os_pread_full(x->c.fd, room, (size_t)j->len, (off_t)j->off) == (ssize_t)j->len) {
		sb_took(&raw, (size_t)j->len);
		add_lf(out, sb_sv(&raw));
		rc = out->overflow ? -1 : 0;
	}
	sb_free(&raw);
	return (rc);
}

/* The shell of our user, asked for again after a while: a child lives long. */
static const char *
users_shell(int64_t now)
{
	static struct os_user u;
	static int64_t asked;
	static bool good;

	if (now - asked >= SHELL_S || now < asked) {
		good = os_user_by_uid(geteuid(), &u, NULL) == 1 && strstr(u.shell, "nologin") == NULL && strstr(u.shell, "/false") == NULL;
		asked = now;
	}
	return (good ? u.shell : "/bin/sh");
}

static const char *
host_name(void)
{
	static char name[256];

	if (name[0] == '\0' && gethostname(name, sizeof(name) - 1) == -1)
		(void)snprintf(name, sizeof(name), "localhost");
	return (name);
}

static void
run(struct exec *x, struct going *g)
{
	static struct procmail_files *files;	/* of the child: parsed once for all its messages */
	const struct transport_job *j = x->j;
	const char *words[] = { arena_cstr(x->a, j->path), NULL };
	struct filter_ops ops = { .arg = g, .act = act, .log = said };
	struct procmail p = { .words = words, .uid = geteuid(), .gid = getegid(), .out_fd = -1, .err_fd = -1, .ops = &ops,
	    .local = true, .own_process = true, .waits = exec_on_wait, .host = host_name(), .argv0 = "procmail", .tempfail = true };
	struct procmail_end end = { .status = EX_TEMPFAIL };
	struct err err = ERR_INIT;

	p.cpu_seconds = (long)j->cpu;
	p.file_bytes = (long)j->file_bytes;
	p.memory_bytes = (long)j->memory;
	p.processes = (long)j->processes;
	p.user = arena_cstr(x->a, j->local_part);
	p.home = arena_cstr(x->a, j->home);
	p.shell = users_shell(j->now);
	p.invoker = p.user;
	p.orgmail = arena_fmt(x->a, "%s.INBOX", p.user);
	if (files == NULL)
		files = procmail_files_new();
	if (procmail_run(files, &p, g->text, &end, &err) == -1) {
		exec_fail(x, TRANSPORT_DEFER, 0, "%s", err.text);
		return;
	}
	if (end.status != 0 && !end.delivered) {
		exec_fail(x, end.status == EX_TEMPFAIL ? TRANSPORT_DEFER : TRANSPORT_FAIL, 0, "procmail rules ended with status %d%s%s",
		    end.status, g->log.len > 0 ? ": " : "", sb_cstr(&g->log));
		g->actions.n = 0;
	}
	x->r->confirmation = sv_cstr(arena_str(x->a, end.folder));
}

void
exec_procmail(struct exec *x)
{
	struct going g = { .x = x, .room = CONTENT_MAX };
	struct sb text;

	sb_init(&g.log, LOG_MAX);
	if (whole(x, &text) == -1)
		exec_fail(x, TRANSPORT_DEFER, 0, "the message cannot be read");
	else {
		g.text = sb_sv(&text);
		g.body = body_of(g.text);
		run(x, &g);
		x->r->actions = g.actions;
		x->r->log_line = arena_sv(x->a, sv_trim(sb_sv(&g.log)));
	}
	sb_free(&text);
	sb_free(&g.log);
}
