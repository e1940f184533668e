/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * procmail in a user's child: files, folders and programs of the user are done here and now;
 * what goes to the store or to other people is told to vqueued, which does it when this has ended.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "filter/procmail.h"
#include "mbox/content.h"
#include "os/file.h"
#include "os/shared.h"
#include "os/user.h"
#include "transport/transport_int.h"

#define MESSAGE_MAX	((size_t)512 * 1024 * 1024)
#define LOG_MAX		1000
#define KEEP_MAX	((size_t)256 * 1024)	/* memory kept for the next message */
#define FILE_MAX	((size_t)512 * 1024 * 1024)
#define CONTENT_MAX	(700 * 1024)	/* of changed messages, all together, in a frame; further ones go along in a file */
#define EX_TEMPFAIL	75
#define SHELL_S		60

struct going {
	struct exec	*x;
	struct sb	*all;		/* the message as the rules got it, as far as it was read */
	struct sv	 text;		/* the same */
	struct transport_list actions;
	size_t		 room_actions;
	size_t		 room;
	struct sb	 file;		/* texts that the frame does not hold, CRLF */
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

/* CRLF for LF, into the file; where it lies there.  False: it is too long. */
static bool
to_file(struct going *g, struct sv text, char where[64])
{
	size_t from = g->file.len;

	for (size_t i = 0; i < text.len;) {
		const char *nl = memchr(text.p + i, '\n', text.len - i);
		size_t n = nl == NULL ? text.len - i : (size_t)(nl - text.p) - i;

		sb_addn(&g->file, text.p + i, n);
		if (nl != NULL)
			sb_adds(&g->file, n > 0 && nl[-1] == '\r' ? "\n" : "\r\n");
		i += n + (nl != NULL);
	}
	if (g->file.overflow)
		return (false);
	(void)snprintf(where, 64, "%zu %zu", from, g->file.len - from);
	return (true);
}

/* '-' as received, 'H' with another header, 'T' another text; what follows it is that.  't': where the text lies in the file. */
static struct sv
content_of(struct going *g, struct sv now, char *how)
{
	size_t body;

	*how = '-';
	if (now.p == NULL || sv_eq(now, g->text))
		return (SV_NULL);
	body = body_of(now);
	if (sv_eq(without_end(sv_sub(now, body, now.len)), without_end(sv_sub(g->text, body_of(g->text), g->text.len)))) {
		*how = 'H';
		now = sv_sub(now, 0, body);
	} else
		*how = 'T';
	return (without_from(now));
}

static struct sv *
next_action(struct going *g)
{
	struct transport_list *l = &g->actions;

	if (l->n == g->room_actions) {
		struct sv *more;

		g->room_actions = g->room_actions == 0 ? 8 : g->room_actions * 2;
		more = arena_alloc(g->x->a, g->room_actions * sizeof(*more));
		if (l->n > 0)
			memcpy(more, l->v, l->n * sizeof(*more));
		l->v = more;
	}
	return (&l->v[l->n++]);
}

/* An action as one string: what, how the content is changed, length of the target, target, content. */
static enum filter_answer
act(void *arg, const struct filter_action *a, struct err *err)
{
	struct going *g = arg;
	char what = a->kind == FILTER_KEEP ? 'K' : a->kind == FILTER_STORE ? 'S' : a->kind == FILTER_FORWARD ? 'F' : '\0', how;
	struct sv to = a->kind == FILTER_STORE ? a->folder : a->to, content;
	char head[32], where[64], *p;
	int n;

	if (what == '\0' || g->actions.n >= FILTER_ACTIONS_MAX || to.len > 65535) {
		(void)err_set(err, ERR_PERM, NULL, "%s is not possible here", filter_kind_name(a->kind));
		return (FILTER_PERM);
	}
	if (what == 'K')
		to = SV_LIT("");
	content = content_of(g, a->content, &how);
	if (content.len > g->room && to_file(g, without_from(a->content), where)) {
		content = sv_cstr(where);
		how = 't';
	}
	if (content.len > g->room) {
		sb_addf(&g->log, "%schanged message of %zu bytes is too large, delivered as it came",
		    g->log.len > 0 ? "; " : "", content.len);
		content = SV_NULL;
		how = '-';
	}
	g->room -= content.len;
	n = snprintf(head, sizeof(head), "%c%c%zu:", what, how, to.len);
	p = arena_alloc(g->x->a, (size_t)n + to.len + content.len + 1);
	memcpy(p, head, (size_t)n);
	memcpy(p + n, to.p, to.len);
	if (content.len > 0)
		memcpy(p + n + to.len, content.p, content.len);
	*next_action(g) = sv_from(p, (size_t)n + to.len + content.len);
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

/* CRLF becomes LF from <from> on; other CRs stay. */
static void
drop_cr(struct sb *text, size_t from)
{
	char *out = text->p + from;
	const char *in = out, *end = text->p + text->len, *cr;

	while ((cr = memchr(in, '\r', (size_t)(end - in))) != NULL) {
		size_t n = (size_t)(cr - in) + (cr + 1 < end && cr[1] == '\n' ? 0 : 1);

		if (out != in)
			memmove(out, in, n);
		out += n;
		in = cr + 1;
	}
	if (out != in)
		memmove(out, in, (size_t)(end - in));
	sb_cut(text, (size_t)(out - text->p) + (size_t)(end - in));
}

/* The text so far and the body; lines end in LF.  Only what begins a line begins here. */
static struct sv
body(void *arg)
{
	struct going *g = arg;
	const struct transport_job *j = g->x->j;
	size_t from = g->all->len;
	char *room = sb_room(g->all, (size_t)j->len);

	if (room == NULL || os_pread_full(g->x->c.fd, room, (size_t)j->len, (off_t)j->off) != (ssize_t)j->len)
		return (SV_NULL);
	sb_took(g->all, (size_t)j->len);
	drop_cr(g->all, from);
	g->text = sb_sv(g->all);
	return (sv_sub(g->text, from, g->text.len));
}

/* "From " line and header; *<more>: the body is left for later. */
static int
begin(struct going *g, bool *more)
{
	const struct transport_job *j = g->x->j;
	char line[512];
	size_t from;

	sb_adds(g->all, mbox_from_line(j->sender, j->now, line, sizeof(line)));
	from = g->all->len;
	sb_add(g->all, j->header);
	if (g->all->overflow)
		return (-1);
	drop_cr(g->all, from);
	g->text = sb_sv(g->all);
	*more = j->len > 0 && sv_ends(g->text, "\n\n");
	return (j->len > 0 && !*more && body(g).p == NULL ? -1 : 0);
}

/* The shell of our user, asked for again after a while: a child lives long. */
static const char *
users_shell(int64_t now)
{
	static struct os_user u;
	static int64_t asked;
	static bool good;

	if (now - asked >= SHELL_S || now < asked) {
		good = os_user_by_uid(geteuid(), &u, NULL) == 1 && strstr(u.shell, "nologin") == NULL &&
		    strstr(u.shell, "/false") == NULL;
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

static const char *
inbox(struct arena *a, struct sv user)
{
	char *p = arena_alloc(a, user.len + sizeof(".INBOX"));

	memcpy(p, user.p, user.len);
	memcpy(p + user.len, ".INBOX", sizeof(".INBOX"));
	return (p);
}

static void
run(struct exec *x, struct going *g, bool more)
{
	static struct procmail_files *files;	/* of the child: parsed once for all its messages */
	static uid_t uid;
	static gid_t gid;
	const struct transport_job *j = x->j;
	const char *words[] = { arena_cstr(x->a, j->path), NULL };
	struct filter_ops ops = { .arg = g, .act = act, .log = said };
	struct procmail p = { .words = words, .out_fd = -1, .err_fd = -1, .ops = &ops,
	    .local = true, .own_process = true, .waits = exec_on_wait, .host = host_name(), .argv0 = "procmail", .tempfail = true };
	struct procmail_end end = { .status = EX_TEMPFAIL };
	struct err err = ERR_INIT;

	if (files == NULL) {
		files = procmail_files_new();
		uid = geteuid();
		gid = getegid();
	}
	if (more) {
		p.body = body;
		p.body_arg = g;
		p.body_max = (size_t)j->len;
	}
	p.uid = uid;
	p.gid = gid;
	p.cpu_seconds = (long)j->cpu;
	p.file_bytes = (long)j->file_bytes;
	p.memory_bytes = (long)j->memory;
	p.processes = (long)j->processes;
	p.shared_uid = j->shared_uid;
	p.user = arena_cstr(x->a, j->local_part);
	p.home = arena_cstr(x->a, j->home);
	p.shell = users_shell(j->now);
	p.invoker = p.user;
	p.orgmail = inbox(x->a, j->local_part);
	if (procmail_run(files, &p, g->text, &end, &err) == -1) {
		exec_fail(x, TRANSPORT_DEFER, 0, "%s", err.text);
		return;
	}
	/* EXITCODE may refuse what a file, a program or nobody got; what the store or others are to get is not to be refused, too. */
	if (end.status != 0 && (!end.delivered || g->actions.n == 0)) {
		exec_fail(x, end.status == EX_TEMPFAIL ? TRANSPORT_DEFER : TRANSPORT_FAIL, 0, "procmail rules ended with status %d%s%s",
		    end.status, g->log.len > 0 ? ": " : "", sb_cstr(&g->log));
		g->actions.n = 0;
	}
	x->r->confirmation = sv_cstr(arena_str(x->a, end.folder));
}

/* "Kt0:5 17" becomes "K-0:". */
static void
as_received(struct exec *x, struct sv *action)
{
	ptrdiff_t colon = sv_chr(*action, ':');
	int64_t n = 0;
	struct sb sb = SB_INIT(action->len);

	(void)num_parse(sv_sub(*action, 2, (size_t)colon), 0, 65535, &n);
	sb_add(&sb, sv_sub(*action, 0, (size_t)colon + 1 + (size_t)n));
	sb.p[1] = '-';
	*action = arena_sv(x->a, sb_sv(&sb));
	sb_free(&sb);
}

/* Where the file cannot be made, for want of memory or by the user's limits, the message goes as it came. */
static void
pass_file(struct exec *x, struct going *g)
{
	int fd;

	if (g->file.len == 0 || g->actions.n == 0)
		return;
	fd = os_sealed_new(g->file.p, g->file.len);
	x->r->changed = fd + 1;
	if (fd != -1)
		return;
	sb_addf(&g->log, "%schanged message of %zu bytes delivered as it came: %s", g->log.len > 0 ? "; " : "", g->file.len,
	    strerror(errno));
	for (size_t i = 0; i < g->actions.n; i++)
		if (g->actions.v[i].p[1] == 't')
			as_received(x, &g->actions.v[i]);
}

void
exec_procmail(struct exec *x)
{
	static struct sb text;		/* of the child: its memory serves the next message */
	struct going g = { .x = x, .all = &text, .room = CONTENT_MAX };
	bool more;

	sb_init(&g.log, LOG_MAX);
	sb_init(&g.file, FILE_MAX);
	sb_clear(&text);
	text.max = MESSAGE_MAX;
	if (begin(&g, &more) == -1)
		exec_fail(x, TRANSPORT_DEFER, 0, "the message cannot be read");
	else {
		run(x, &g, more);
		pass_file(x, &g);
		x->r->actions = g.actions;
		x->r->log_line = arena_sv(x->a, sv_trim(sb_sv(&g.log)));
	}
	if (text.cap > KEEP_MAX)
		sb_free(&text);
	sb_free(&g.file);
	sb_free(&g.log);
}
