/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of actions: calls that know its NULLs, the collecting and the dry
 * implementation, and the one wording of actions that logs and tools share.
 */
#include <stdarg.h>
#include <string.h>

#include "base/sb.h"
#include "exim/env.h"
#include "filter/action.h"

#define TEXT_MAX	4096		/* of a trace line */

static const struct {
	const char	*name;
	bool		 delivers;
} kinds[] = {
	[FILTER_KEEP] = { "keep", true },
	[FILTER_STORE] = { "store in mailbox", true },
	[FILTER_FORWARD] = { "forward to", true },
	[FILTER_PIPE] = { "pipe to", true },
	[FILTER_FILE] = { "append to file", true },
	[FILTER_MAILDIR] = { "put in maildir", true },
	[FILTER_MH] = { "put in MH folder", true },
	[FILTER_DIRECTORY] = { "put in directory", true },
	[FILTER_MAIL] = { "reply to", false },
	[FILTER_DISCARD] = { "discard", true },
	[FILTER_FAIL] = { "refuse", true },
	[FILTER_DEFER] = { "defer", true },
	[FILTER_FREEZE] = { "freeze", true },
	[FILTER_HEADER_ADD] = { "add header", false },
	[FILTER_HEADER_REMOVE] = { "remove header", false },
	[FILTER_HEADER_CHARSET] = { "take headers in charset", false },
	[FILTER_LOG] = { "log", false },
	[FILTER_STOP] = { "stop", false },
};

const char *
filter_kind_name(enum filter_kind k)
{
	return (kinds[k].name);
}

bool
filter_delivers(enum filter_kind k)
{
	return (kinds[k].delivers);
}

enum filter_answer
filter_act(const struct filter_ops *ops, const struct filter_action *a, struct err *err)
{
	if (ops->act == NULL) {
		err_set(err, ERR_PERM, NULL, "%s is not possible here", filter_kind_name(a->kind));
		return (FILTER_PERM);
	}
	return (ops->act(ops->arg, a, err));
}

enum filter_answer
filter_run(const struct filter_ops *ops, const struct filter_run *r, struct arena *a, struct filter_ran *out, struct err *err)
{
	memset(out, 0, sizeof(*out));
	out->output = SV_NULL;
	if (ops->run == NULL) {
		err_set(err, ERR_TEMP, NULL, "programs are not run here");
		return (FILTER_TEMP);
	}
	return (ops->run(ops->arg, r, a, out, err));
}

enum filter_answer
filter_lock(const struct filter_ops *ops, const char *path, bool on, const struct filter_pos *pos, struct err *err)
{
	return (ops->lock == NULL ? FILTER_OK : ops->lock(ops->arg, path, on, pos, err));
}

bool
filter_tracing(const struct filter_ops *ops)
{
	return (ops->trace != NULL);
}

void
filter_trace(const struct filter_ops *ops, const struct filter_pos *pos, const char *fmt, ...)
{
	struct sb sb = SB_INIT(TEXT_MAX);
	va_list ap;

	if (ops->trace == NULL)
		return;
	va_start(ap, fmt);
	sb_addv(&sb, fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < sb.len; i++)
		if ((unsigned char)sb.p[i] < ' ' || sb.p[i] == 127)
			sb.p[i] = ' ';
	ops->trace(ops->arg, pos, sb_cstr(&sb));
	sb_free(&sb);
}

void
filter_log(const struct filter_ops *ops, const struct filter_pos *pos, struct sv text)
{
	if (ops->log != NULL)
		ops->log(ops->arg, pos, text);
}

/* --- wording ------------------------------------------------------------------------- */

/* The first line of <v>, without control characters. */
static void
add_line(struct sb *out, struct sv v)
{
	ptrdiff_t nl;

	v = sv_trim(v);
	nl = sv_chr(v, '\n');
	if (nl >= 0)
		v = sv_sub(v, 0, (size_t)nl);
	for (size_t i = 0; i < v.len; i++)
		sb_addc(out, (unsigned char)v.p[i] < ' ' || v.p[i] == 127 ? ' ' : v.p[i]);
	if (nl >= 0)
		sb_adds(out, " ...");
}

static void
mail_text(const struct filter_action *a, struct sb *out)
{
	const struct filter_mail *m = a->mail;

	if (m == NULL)
		return;
	sb_addc(out, ' ');
	if (m->to.len > 0)
		add_line(out, m->to);
	else
		sb_adds(out, "the sender");
	if (m->subject.len > 0) {
		sb_adds(out, ", subject ");
		add_line(out, m->subject);
	}
	if (m->once.len > 0) {
		sb_adds(out, ", once by ");
		add_line(out, m->once);
	}
}

void
filter_action_text(const struct filter_action *a, struct sb *out)
{
	sb_adds(out, filter_kind_name(a->kind));
	switch (a->kind) {
	case FILTER_STORE:
		sb_addf(out, " " SV_FMT, SV_ARG(a->folder));
		if (a->user.len > 0)
			sb_addf(out, " of " SV_FMT, SV_ARG(a->user));
		break;
	case FILTER_MAIL:
		mail_text(a, out);
		break;
	case FILTER_LOG:
		if (a->to.len > 0)
			sb_addf(out, " in " SV_FMT, SV_ARG(a->to));
		break;
	default:
		break;
	}
	if (a->kind != FILTER_STORE && a->kind != FILTER_MAIL && a->kind != FILTER_LOG && a->to.len > 0) {
		sb_addc(out, ' ');
		add_line(out, a->to);
	}
	if (a->text.len > 0) {
		sb_adds(out, ": ");
		add_line(out, a->text);
	}
	if (filter_delivers(a->kind) && (a->flags & FILTER_A_UNSEEN) != 0)
		sb_adds(out, " (a copy)");
}

/* --- collected ----------------------------------------------------------------------- */

void
filter_plan_init(struct filter_plan *p, struct arena *a)
{
	memset(p, 0, sizeof(*p));
	p->arena = a;
}

void
filter_plan_free(struct filter_plan *p)
{
	vec_free(&p->v);
	p->delivered = false;
}

static struct sv
keep(struct arena *a, struct sv v)
{
	return (v.p == NULL ? v : arena_sv(a, v));
}

static const char *const *
keep_strings(struct arena *a, const char *const *v)
{
	const char **copy;
	size_t n = 0;

	if (v == NULL)
		return (NULL);
	while (v[n] != NULL)
		n++;
	copy = arena_alloc(a, (n + 1) * sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = arena_str(a, v[i]);
	copy[n] = NULL;
	return (copy);
}

static const struct exim_nums *
keep_nums(struct arena *a, const struct exim_nums *from)
{
	struct exim_nums *nums = arena_zalloc(a, sizeof(*nums));

	nums->n = from->n;
	for (unsigned i = 0; i < from->n; i++)
		nums->v[i] = keep(a, from->v[i]);
	return (nums);
}

static const struct filter_mail *
keep_mail(struct arena *a, const struct filter_mail *from)
{
	struct filter_mail *m;
	struct sv *texts[11];
	size_t n = 0;

	if (from == NULL)
		return (NULL);
	m = arena_dup(a, from, sizeof(*from));
	texts[n++] = &m->to;
	texts[n++] = &m->cc;
	texts[n++] = &m->bcc;
	texts[n++] = &m->from;
	texts[n++] = &m->reply_to;
	texts[n++] = &m->subject;
	texts[n++] = &m->extra_headers;
	texts[n++] = &m->text;
	texts[n++] = &m->file;
	texts[n++] = &m->log;
	texts[n++] = &m->once;
	for (size_t i = 0; i < n; i++)
		*texts[i] = keep(a, *texts[i]);
	return (m);
}

static enum filter_answer
plan_act(void *arg, const struct filter_action *from, struct err *err)
{
	struct filter_plan *p = arg;
	struct arena *a = p->arena;
	struct filter_action c = *from;

	if (p->v.len >= FILTER_ACTIONS_MAX) {
		err_set(err, ERR_PERM, NULL, "more than %d actions", FILTER_ACTIONS_MAX);
		return (FILTER_PERM);
	}
	c.pos.file = arena_str(a, c.pos.file);
	c.to = keep(a, c.to);
	c.user = keep(a, c.user);
	c.folder = keep(a, c.folder);
	c.text = keep(a, c.text);
	c.prefix = keep(a, c.prefix);
	c.return_path = keep(a, c.return_path);
	c.lock = keep(a, c.lock);
	c.content = keep(a, c.content);
	c.mail = keep_mail(a, c.mail);
	c.shell = arena_str(a, c.shell);
	c.shell_flags = arena_str(a, c.shell_flags);
	c.cwd = arena_str(a, c.cwd);
	c.thisaddress = keep(a, c.thisaddress);
	if (c.nums != NULL)
		c.nums = keep_nums(a, c.nums);
	c.env = keep_strings(a, c.env);
	c.argv = keep_strings(a, c.argv);
	vec_push(&p->v, c);
	if (filter_delivers(c.kind) && (c.flags & FILTER_A_UNSEEN) == 0)
		p->delivered = true;
	return (FILTER_OK);
}

void
filter_plan_ops(struct filter_plan *p, struct filter_ops *ops)
{
	memset(ops, 0, sizeof(*ops));
	ops->arg = p;
	ops->act = plan_act;
}

/* --- only written down --------------------------------------------------------------- */

static void
dry_line(FILE *out, const struct filter_pos *pos, const char *text)
{
	if (pos != NULL && pos->file != NULL)
		fprintf(out, "%s:%u: ", pos->file, pos->line);
	fprintf(out, "%s\n", text);
}

static enum filter_answer
dry_act(void *arg, const struct filter_action *a, struct err *err)
{
	struct sb sb = SB_INIT(TEXT_MAX);

	filter_action_text(a, &sb);
	dry_line(arg, &a->pos, sb_cstr(&sb));
	sb_free(&sb);
	return (FILTER_OK);
}

static enum filter_answer
dry_run(void *arg, const struct filter_run *r, struct arena *a, struct filter_ran *out, struct err *err)
{
	struct sb sb = SB_INIT(TEXT_MAX);

	sb_adds(&sb, "would run ");
	for (size_t i = 0; r->argv != NULL && r->argv[i] != NULL; i++)
		sb_addf(&sb, "%s%s", i == 0 ? "" : " ", r->argv[i]);
	if (r->argv == NULL)
		add_line(&sb, r->command);
	sb_adds(&sb, ", taken to end with status 0");
	dry_line(arg, &r->pos, sb_cstr(&sb));
	sb_free(&sb);
	return (FILTER_OK);
}

static void
dry_trace(void *arg, const struct filter_pos *pos, const char *text)
{
	dry_line(arg, pos, text);
}

static void
dry_log(void *arg, const struct filter_pos *pos, struct sv text)
{
	struct sb sb = SB_INIT(TEXT_MAX);

	sb_adds(&sb, "log: ");
	add_line(&sb, text);
	dry_line(arg, pos, sb_cstr(&sb));
	sb_free(&sb);
}

void
filter_dry_ops(FILE *out, struct filter_ops *ops)
{
	memset(ops, 0, sizeof(*ops));
	ops->arg = out;
	ops->act = dry_act;
	ops->run = dry_run;
	ops->trace = dry_trace;
	ops->log = dry_log;
	ops->dry = true;
}
