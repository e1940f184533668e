/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running a tree: assignments and recipes in turn, with a stack of blocks and files of its own, so that a run can
 * be copied in the middle ("c" on a block) and go on twice.
 */
#include <sys/stat.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filter/procmail_int.h"

#define PM_LEAD_ROOM	6		/* what LINEBUF has more than a word that could be a variable's name */

/* --- files ------------------------------------------------------------------------ */

static const char *
current_name(const struct pm *pm)
{
	for (size_t i = pm->frames.len; i > 0; i--)
		if (pm->frames.p[i - 1].rc != NULL)
			return (pm->frames.p[i - 1].name);
	return (NULL);
}

static void
set_current(struct pm *pm)
{
	pm->rc_name = current_name(pm);
	pm->in_rc = pm->rc_name != NULL;
	pm->pos.file = pm->rc_name;
}

static void
pop_frame(struct pm *pm)
{
	struct pm_frame *f = &pm->frames.p[pm->frames.len - 1];

	if (f->rc != NULL) {
		pm_rc_unref(&f->rc);
		free(f->name);
		if (pm->includes > 0)
			pm->includes--;
	}
	pm->frames.len--;
	set_current(pm);
}

void
pm_frames_free(struct pm *pm)
{
	while (pm->frames.len > 0)
		pop_frame(pm);
	vec_free(&pm->frames);
}

/* Blocks up to and with the innermost file. */
static void
pop_file(struct pm *pm)
{
	bool file;

	do {
		file = pm->frames.p[pm->frames.len - 1].rc != NULL;
		pop_frame(pm);
	} while (!file);
}

bool
pm_push_rc(struct pm *pm, int fd, struct pm_rc *rc, const char *name)
{
	struct pm_frame f = { .rc = rc != NULL ? rc : pm_rc_load(pm->files, fd) };
	const char *dir = pm_gets(pm, "MAILDIR");
	struct sb sb = SB_INIT(SIZE_MAX / 4);

	if (fd != -1)
		(void)close(fd);
	if (f.rc == NULL)
		return (false);
	if (name[0] != '/' && dir[0] == '/')
		sb_addf(&sb, "%s/", dir);
	sb_adds(&sb, name);
	f.name = sb_steal(&sb, NULL);
	f.block = f.rc->top;
	vec_push(&pm->frames, f);
	pm->includes++;
	set_current(pm);
	return (true);
}

/* A file of any owner, but a regular one. */
static bool
push_included(struct pm *pm, const char *name)
{
	struct pm_rc *rc;
	struct stat sb;
	int fd;

	pm_settle(pm);
	fd = pm_rc_open(pm->files, name, &sb, &rc);
	if (fd != -1 && !S_ISREG(sb.st_mode)) {
		(void)close(fd);
		fd = -1;
	}
	return ((fd != -1 || rc != NULL) && pm_push_rc(pm, fd, rc, name));
}

void
pm_include(struct pm *pm, const char *name)
{
	if (!pm->in_rc || *name == '\0' || strcmp(name, "/dev/null") == 0)
		return;
	if (pm->includes > (pm->o->max_includes == 0 ? 64 : pm->o->max_includes) || ++pm->shared->included > PM_INCLUDED_MAX ||
	    !push_included(pm, name))
		pm_nlogq(pm, "Couldn't read", name);
}

/* --- assignments -------------------------------------------------------------------- */

static void
assign(struct pm *pm, const struct pm_stmt *st)
{
	struct pm_words w = PM_WORDS_INIT;
	struct pm_src src = { .p = st->text.p, .end = st->text.p + st->text.len };
	size_t used = strlen(st->name) + 1;
	char *value = NULL;

	if (used + 1 > pm->linebuf) {
		pm_overflow(pm);
		pm->pending = PM_EOF;
		return;
	}
	if (st->plain && st->value && used + st->text.len <= pm->linebuf)
		value = xstrndup(st->text.p, st->text.len);
	else if (st->value) {
		if (!pm_expand(pm, &src, PM_ONE, false, used, &w)) {
			pm_words_free(&w);
			return;
		}
		value = xstrdup(sb_cstr(&w.b));
	}
	pm_words_free(&w);
	pm_assign(pm, st->name, value);
	free(value);
}

/* --- the first line of a recipe -------------------------------------------------------- */

struct head {
	bool		 flag[PM_FLAGS];
	bool		 lock;
	char		*lock_name;
};

/* Flags and lock file from the expanded line; what is neither is complained of. */
static void
read_head(struct pm *pm, struct pm_words *w, struct head *h)
{
	char *p = w->b.p, *end = w->b.p + w->b.len, *num;
	const char *f;

	(void)procmail_long(p, &num);
	p = num;
	for (;;) {
		p += strspn(p, " \t");
		if (p >= end)
			return;
		if (*p == '\0') {
			if (++p >= end)
				return;
			continue;
		}
		if (*p == ':') {
			h->lock = true;
			p++;
			/* What follows at once, or is the next word, names the file. */
			if (p < end && *p == '\0')
				p++;
			if (p < end) {
				h->lock_name = xstrdup(p);
				p += strlen(p) + 1;
			}
			break;
		}
		f = strchr(PM_FLAG_LETTERS, *p);
		if (f == NULL)
			break;
		h->flag[f - PM_FLAG_LETTERS] = true;
		p++;
	}
	if (p >= end)
		return;
	for (char *q = p; q + 1 < end; q++)
		if (*q == '\0')
			*q = ' ';
	pm_skipped(pm, p);
}

/* False: the line is too long, the file is given up. */
static bool
head(struct pm *pm, const struct pm_stmt *st, bool skip, struct head *h)
{
	struct pm_words w = PM_WORDS_INIT;
	struct pm_src src = { .p = st->head.p, .end = st->head.p + st->head.len };
	bool ok;

	memset(h, 0, sizeof(*h));
	if (st->plain && st->head.len <= pm->linebuf) {
		memcpy(h->flag, st->flag, sizeof(h->flag));
		h->lock = st->lock;
		return (true);
	}
	ok = pm_expand(pm, &src, PM_SPLIT, skip, 0, &w);
	if (ok)
		read_head(pm, &w, h);
	pm_words_free(&w);
	return (ok);
}

static enum pm_wait
waits(const struct head *h)
{
	return (h->flag[PM_WAIT_QUIET] ? PM_QUIET : h->flag[PM_WAIT] ? PM_TELL : PM_LEAVE_IT);
}

/* --- actions ---------------------------------------------------------------------------- */

/* The part of the message that the action gets. */
static void
choose_part(struct pm *pm, const bool *flag)
{
	struct pm_mail *m = &pm->mail;

	pm->part = sv_from(m->p, m->len);
	if (flag[PM_PASS_HEAD] && !flag[PM_PASS_BODY])
		pm->part.len = m->body;
	else if (flag[PM_PASS_BODY] && !flag[PM_PASS_HEAD])
		pm->part = sv_from(m->p + m->body, m->len - m->body);
}

/* The name behind the first ">>" of a command, for the lock file. */
static void
implicit_lock(struct pm *pm, const char *cmd, struct sb *name)
{
	const char *p = strstr(cmd, ">>");
	struct pm_words w = PM_WORDS_INIT;
	char *text;
	size_t n = 0;

	if (p != NULL) {
		p += 2;
		p += strspn(p, " \t");
		n = strcspn(p, " \t\n#`'\");");
	}
	if (n > 0) {
		text = xstrndup(p, n);
		if (!pm->sh)
			sb_adds(name, text);
		else if (pm_expand_text(pm, text, PM_SPLIT, &w))
			sb_adds(name, sb_cstr(&w.b));
		free(text);
		pm_words_free(&w);
	}
	if (name->len == 0)
		pm_nlogq(pm, "Couldn't determine implicit lockfile from", cmd);
}

static void
program_lock(struct pm *pm, const struct head *h, const char *cmd)
{
	struct sb name = SB_INIT(SIZE_MAX / 4);

	if (!h->lock)
		return;
	if (h->lock_name == NULL)
		implicit_lock(pm, cmd, &name);
	pm_lock_local(pm, h->lock_name, sb_cstr(&name));
	if (pm->wait == PM_LEAVE_IT)
		pm->wait = PM_QUIET;
	sb_free(&name);
}

/* How an action ended. */
enum outcome { FAILED, DONE, COPIED, FINISHED };

static enum outcome
settle(const struct head *h, bool ok, bool delivers)
{
	if (!ok)
		return (FAILED);
	if (!delivers)
		return (DONE);
	return (h->flag[PM_CONTINUE] ? COPIED : FINISHED);
}

static enum outcome
to_folder(struct pm *pm, const struct head *h, struct pm_words *names)
{
	pm->raw = h->flag[PM_RAW];
	if (h->lock)
		pm_lock_local(pm, h->lock_name, sb_cstr(&names->b));
	return (settle(h, pm_act_folder(pm, names, false), true));
}

static enum outcome
run_pipe(struct pm *pm, const struct pm_stmt *st, struct head *h)
{
	struct pm_words cmd = PM_WORDS_INIT;
	char *text = xstrndup(st->text.p, st->text.len);
	enum outcome o;

	pm_command(pm, text, &cmd);
	free(text);
	if (!pm->sh && cmd.b.len == 1) {
		sb_clear(&cmd.b);
		sb_adds(&cmd.b, "|");
		sb_addc(&cmd.b, '\0');
		o = to_folder(pm, h, &cmd);
	} else {
		program_lock(pm, h, sb_cstr(&cmd.b));
		pm->raw = h->flag[PM_RAW];
		o = settle(h, pm_act_program(pm, &cmd, 0, h->flag, st->name), !h->flag[PM_FILTER] && st->name == NULL);
	}
	pm_words_free(&cmd);
	return (o);
}

static enum outcome
run_forward(struct pm *pm, const struct pm_stmt *st, struct head *h)
{
	struct pm_words cmd = PM_WORDS_INIT;
	struct pm_src src = { .p = st->text.p, .end = st->text.p + st->text.len };
	enum outcome o = FAILED;
	size_t addresses, skip;

	pm->sh = false;
	sb_adds(&cmd.b, pm->text[PM_T_SENDMAIL]);
	sb_addc(&cmd.b, '\0');
	pm_split(&cmd.b, pm->text[PM_T_SENDMAILFLAGS]);
	addresses = cmd.b.len;
	if (cmd.b.len < pm->linebuf && pm_expand(pm, &src, PM_SPLIT, false, cmd.b.len, &cmd)) {
		if (pm->part.p == pm->mail.p) {
			skip = pm_mail_skip_from(pm->part);
			pm->part = sv_sub(pm->part, skip, pm->part.len);
		}
		program_lock(pm, h, sb_cstr(&cmd.b));
		pm->raw = h->flag[PM_RAW];
		o = settle(h, pm_act_program(pm, &cmd, addresses, h->flag, st->name), !h->flag[PM_FILTER] && st->name == NULL);
	}
	pm_words_free(&cmd);
	return (o);
}

static enum outcome
run_folder(struct pm *pm, const struct pm_stmt *st, struct head *h, bool whole)
{
	struct pm_words names = PM_WORDS_INIT;
	struct pm_src src = { .p = st->text.p, .end = st->text.p + st->text.len };
	size_t lead = pm_folder_lead(st->text);
	enum outcome o = FAILED;

	sb_addn(&names.b, st->text.p, lead);
	src.p += lead;
	if (lead + PM_LEAD_ROOM > pm->linebuf)
		pm_overflow(pm);
	else if (pm_expand(pm, &src, PM_SPLIT, false, lead, &names)) {
		/* For those who file with "f" by mistake. */
		if (whole)
			pm->part = sv_from(pm->mail.p, pm->mail.len);
		o = to_folder(pm, h, &names);
	}
	pm_words_free(&names);
	return (o);
}

/* --- blocks -------------------------------------------------------------------------------- */

static void skip_block(struct pm *pm, struct pm_block *b);

static void
block_complaints(struct pm *pm, const struct head *h)
{
	if (h->lock && !h->flag[PM_CONTINUE])
		pm_extraneous(pm, "locallockfile");
	if (h->flag[PM_PASS_BODY])
		pm_extraneous(pm, "deliver-body flag");
	if (h->flag[PM_PASS_HEAD])
		pm_extraneous(pm, "deliver-head flag");
	if (h->flag[PM_IGNORE])
		pm_extraneous(pm, "ignore-write-error flag");
	if (h->flag[PM_RAW])
		pm_extraneous(pm, "raw-mode flag");
}

static bool
clone(struct pm *pm, struct pm_block *b)
{
	unsigned max = pm->o->max_clones == 0 ? 100 : pm->o->max_clones;
	int status;

	pm_yell(pm, "Forking", "procmail");
	if (++pm->shared->clones > max) {
		pm_nlogq(pm, "Failed forking", "procmail");
		return (false);
	}
	status = pm_clone(pm, b);
	if (pm->wait == PM_LEAVE_IT || status == 0)
		return (true);
	pm->exit_code = status;
	pm_program_failure(pm, "procmail", status, pm->wait == PM_QUIET);
	return (false);
}

static void
enter_block(struct pm *pm, struct pm_stmt *st, const struct head *h)
{
	struct pm_frame f = {
		.block = st->block, .prev_cond = pm->state.prev_cond, .last_cond = pm->state.last_cond
	};

	if (h->lock) {
		pm_lock_local(pm, h->lock_name, "");
		if (pm->wait == PM_LEAVE_IT)
			pm->wait = PM_QUIET;
	}
	pm->state.last_ok = true;
	if (h->flag[PM_CONTINUE])
		pm->state.last_ok = clone(pm, st->block);
	else
		vec_push(&pm->frames, f);
}

/* --- recipes --------------------------------------------------------------------------------- */

/* May it end in the store, which has the body already? */
static bool
for_the_store(const struct pm *pm, const struct pm_stmt *st, const bool *flag)
{
	return ((st->act == PM_A_FORWARD || st->act == PM_A_FOLDER) && st->name == NULL && !flag[PM_FILTER] && !pm_log_tells(pm) &&
	    flag[PM_PASS_HEAD] == flag[PM_PASS_BODY]);
}

static enum pm_result
perform(struct pm *pm, struct pm_stmt *st, struct head *h)
{
	bool whole = false;
	enum outcome o;

	pm->pos.line = st->act_line;
	if (!for_the_store(pm, st, h->flag))
		pm_mail_whole(pm);
	choose_part(pm, h->flag);
	pm->wait = waits(h);
	pm->ignore_write = h->flag[PM_IGNORE];
	pm_reap(pm->files);
	pm_mail_join(&pm->mail, false);
	if ((st->act == PM_A_FOLDER || st->name != NULL) && h->flag[PM_FILTER]) {
		whole = true;
		h->flag[PM_FILTER] = false;
		pm_extraneous(pm, "filter-flag");
	}
	switch (st->act) {
	case PM_A_PIPE:
		if (st->text.len >= pm->linebuf) {
			pm_overflow(pm);
			return (PM_NEXT);
		}
		o = run_pipe(pm, st, h);
		break;
	case PM_A_FORWARD:
		o = run_forward(pm, st, h);
		break;
	default:
		o = run_folder(pm, st, h, whole);
	}
	if (o == COPIED && pm->logabstract == 2)
		pm_log_abstract(pm, pm_gets(pm, "LASTFOLDER"));
	if (o == FINISHED)
		return (PM_DELIVERED);
	pm->raw = false;
	pm->state.last_ok = o != FAILED;
	pm->last_tell = -1;
	return (PM_NEXT);
}

/* A recipe that is only read: what its text complains of is complained of all the same. */
static void
read_over(struct pm *pm, struct pm_stmt *st, struct head *h)
{
	struct pm_words w = PM_WORDS_INIT;
	struct pm_src src = { .p = st->text.p, .end = st->text.p + st->text.len };

	if ((st->act == PM_A_FOLDER || st->act == PM_A_BLOCK || st->name != NULL) && h->flag[PM_FILTER])
		pm_extraneous(pm, "filter-flag");
	if ((st->act == PM_A_FOLDER || st->act == PM_A_FORWARD) && (st->noisy_text || st->text.len + 2 >= pm->linebuf))
		(void)pm_expand(pm, &src, PM_SPLIT, true, 0, &w);
	if (st->act == PM_A_BLOCK) {
		block_complaints(pm, h);
		skip_block(pm, st->block);
	}
	pm_words_free(&w);
}

static enum pm_result
recipe(struct pm *pm, struct pm_stmt *st, bool skip)
{
	struct head h;
	enum pm_result r = PM_NEXT;
	bool ok;

	pm->pos.line = st->line;
	if (!head(pm, st, skip, &h))
		return (PM_EOF);
	ok = pm_conditions(pm, st, h.flag, &pm->state, skip) && st->act != PM_A_MISSING;
	if (!skip) {
		if (!h.flag[PM_ALSO] && !h.flag[PM_ALSO_OK])
			pm->state.last_cond = ok;
		if (!pm->state.prev_cond || !h.flag[PM_ELSE])
			pm->state.prev_cond = ok;
	}
	if (st->act == PM_A_MISSING)
		pm_nlog(pm, "Missing action\n");
	else if (st->act == PM_A_EOF)
		pm_nlog(pm, "Incomplete recipe\n");
	else if (!ok)
		read_over(pm, st, &h);
	else if (st->act == PM_A_BLOCK) {
		pm->wait = waits(&h);
		pm_reap(pm->files);
		pm_mail_join(&pm->mail, false);
		if (h.flag[PM_FILTER])
			pm_extraneous(pm, "filter-flag");
		block_complaints(pm, &h);
		enter_block(pm, st, &h);
	} else
		r = perform(pm, st, &h);
	free(h.lock_name);
	return (r);
}

static void
skip_block(struct pm *pm, struct pm_block *b)
{
	if (!b->noisy)
		return;
	for (size_t i = 0; i < b->s.len; i++) {
		struct pm_stmt *st = &b->s.p[i];

		if (st->kind == PM_COMPLAIN)
			pm_nlog(pm, st->text.p);
		else if (st->kind == PM_RECIPE)
			(void)recipe(pm, st, true);
	}
}

/* --- the loop ------------------------------------------------------------------------------------ */

static enum pm_result
statement(struct pm *pm, struct pm_stmt *st)
{
	enum pm_result r;

	pm->pos.line = st->line;
	pm->pending = PM_NEXT;
	switch (st->kind) {
	case PM_ASSIGN:
		assign(pm, st);
		return (pm->pending);
	case PM_RECIPE:
		/* It may have filled a variable that means something. */
		r = recipe(pm, st, false);
		return (r == PM_NEXT ? pm->pending : r);
	case PM_COMPLAIN:
		pm_nlog(pm, st->text.p);
	}
	return (PM_NEXT);
}

/* The innermost block ended. */
static void
leave(struct pm *pm)
{
	const struct pm_frame *f = &pm->frames.p[pm->frames.len - 1];

	if (f->rc != NULL)
		pop_frame(pm);
	else if (f->block->unclosed) {
		pop_file(pm);
		pm_nlog(pm, "Missing closing brace\n");
	} else {
		pm->state.prev_cond = f->prev_cond;
		pm->state.last_cond = f->last_cond;
		pop_frame(pm);
	}
}

static void
switch_file(struct pm *pm)
{
	char *name = pm->switch_to;

	pm->switch_to = NULL;
	/* The old one's name is needed no more, its frame is. */
	pop_file(pm);
	if (name == NULL)
		return;
	if (!push_included(pm, name))
		pm_nlogq(pm, "Couldn't read", name);
	free(name);
}

enum pm_result
pm_loop(struct pm *pm)
{
	enum pm_result r;

	while (pm->frames.len > 0) {
		struct pm_frame *f = &pm->frames.p[pm->frames.len - 1];

		pm_unlock(pm, &pm->loc_lock);
		if (pm_interrupted(pm))
			break;
		if (f->next >= f->block->s.len) {
			leave(pm);
			continue;
		}
		r = statement(pm, &f->block->s.p[f->next++]);
		/* What was not finished when the signal came was not done. */
		if (pm->signal_end)
			break;
		if (r == PM_LEAVE)
			switch_file(pm);
		if (r == PM_DELIVERED || r == PM_HOST || r == PM_EOF) {
			pm_frames_free(pm);
			return (r);
		}
	}
	pm_frames_free(pm);
	set_current(pm);
	return (pm->signal_end ? PM_HOST : PM_EOF);
}
