/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Actions: programs that take the message, filter it or fill a variable, forwarding, folders; and
 * which of them leave through the interface because a box delivers them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filter/procmail_int.h"
#include "os/file.h"

void
pm_program_failure(struct pm *pm, const char *cmd, int status, bool quiet)
{
	if (quiet && pm->verbose == 0)
		return;
	pm_nlog(pm, quiet ? "Non-zero exitcode (" : "Program failure (");
	pm_log(pm, "%d) %s \"%s\"\n", status, quiet ? "from" : "of", cmd);
}

/* --- filters ----------------------------------------------------------------------- */

/* Run the program over the part of the message; false: it failed and its output does not count. */
static bool
through(struct pm *pm, const struct pm_words *cmd, struct sb *out, bool rescue)
{
	struct sb input = SB_INIT(SIZE_MAX / 4);
	struct pm_prog g = { .capture = true, .out = out, .wait = pm->wait != PM_LEAVE_IT, .ignore_write = pm->ignore_write };
	bool failed = false, told = true;

	g.max = pm->o->max_message == 0 ? 1UL << 30 : pm->o->max_message;
	(void)pm_mail_dump(pm, pm->part, (struct pm_dump){ .blank = !pm->raw }, &input);
	g.input = sb_sv(&input);
	pm_run_program(pm, cmd, &g);
	sb_free(&input);
	if (g.too_much) {
		pm_nlogq(pm, "Excessive output quenched from", sb_cstr(&cmd->b));
		pm_set_overflow(pm);
		failed = true;
	}
	if (g.failed_start || g.timed_out || g.interrupted)
		failed = true;
	else if (g.write_failed && !pm->ignore_write) {
		pm_nlogq(pm, "Error while writing to", sb_cstr(&cmd->b));
		pm->exit_code = EX_IOERR;
		failed = true;
	} else if (g.wait && g.status != 0) {
		pm_program_failure(pm, sb_cstr(&cmd->b), g.status, pm->wait == PM_QUIET);
		told = pm->wait == PM_TELL || pm->verbose != 0;
		failed = true;
	}
	if (failed && rescue && told)
		pm_nlog(pm, "Rescue of unfiltered data succeeded\n");
	if (failed || g.wait)
		pm->pipe_status = failed ? 1 : 0;
	return (!failed);
}

static bool
filter(struct pm *pm, const struct pm_words *cmd)
{
	struct sb out = SB_INIT(SIZE_MAX / 4);
	size_t from = (size_t)(pm->part.p - pm->mail.p), to = from + pm->part.len;

	if (through(pm, cmd, &out, true)) {
		/* With the body goes all behind it; the body alone leaves the header as it is. */
		pm_mail_replace(pm, from, to, sb_sv(&out));
	}
	sb_free(&out);
	return (pm->pipe_status == 0);
}

/* NAME=| program: its output without one newline at its end. */
static bool
capture(struct pm *pm, const struct pm_words *cmd, const char *name)
{
	const char *old = pm_get(pm, name);
	char *before = old == NULL ? NULL : xstrdup(old);
	struct sb out = SB_INIT(SIZE_MAX / 4);
	bool ok;

	pm_put(pm, name, "");
	ok = through(pm, cmd, &out, before != NULL);
	if (ok) {
		if (out.len > 0 && out.p[out.len - 1] == '\n')
			sb_cut(&out, out.len - 1);
		pm_put_quietly(pm, name, sb_cstr(&out));
		pm_take_effect(pm, name, sb_cstr(&out));
	} else
		pm_put_quietly(pm, name, before);
	sb_free(&out);
	free(before);
	return (pm->pipe_status == 0);
}

/* --- delivering programs ------------------------------------------------------------- */

static bool
deliver_to_program(struct pm *pm, struct pm_words *cmd)
{
	struct sb input = SB_INIT(SIZE_MAX / 4);
	struct pm_prog g = { .wait = pm->wait != PM_LEAVE_IT, .ignore_write = pm->ignore_write };
	bool ok = true;

	pm->last_tell = -1;
	pm->last_dump = pm_mail_dump(pm, pm->part, (struct pm_dump){ .blank = !pm->raw }, &input);
	g.input = sb_sv(&input);
	pm_run_program(pm, cmd, &g);
	sb_free(&input);
	if (g.write_failed)
		pm->last_dump = pm->part.len;
	if (g.write_failed && !pm->ignore_write) {
		pm_nlogq(pm, "Error while writing to", sb_cstr(&cmd->b));
		ok = false;
	}
	if ((g.failed_start && pm->local) || g.interrupted)
		ok = false;
	if (g.wait && g.status != 0) {
		pm_program_failure(pm, sb_cstr(&cmd->b), g.status, pm->wait == PM_QUIET);
		ok = false;
	}
	if (!pm->sh)
		pm_words_join(cmd);
	pm_set_folder(pm, sb_cstr(&cmd->b));
	return (ok);
}

/* --- through the interface -------------------------------------------------------------- */

/* Is the part all of the message, or what the store has of it, which is no "From " line? */
static bool
is_whole(const struct pm *pm, enum filter_kind kind)
{
	const struct pm_mail *m = &pm->mail;

	if (pm->part.len == m->len)
		return (true);
	return ((kind == FILTER_KEEP || kind == FILTER_STORE) && pm->part.p + pm->part.len == m->p + m->len &&
	    pm->part.p == m->p + pm_mail_skip_from(sv_from(m->p, m->len)));
}

static void
action_init(struct pm *pm, struct filter_action *a, enum filter_kind kind, const bool *flag)
{
	*a = (struct filter_action){
		.kind = kind, .pos = pm->pos, .umask = pm->umask, .timeout = pm->timeout, .cwd = ".",
		.shell = pm_gets(pm, "SHELL"), .shell_flags = pm->text[PM_T_SHELLFLAGS]
	};
	pm_mail_join(&pm->mail, false);
	if (pm->mail.changed || !is_whole(pm, kind))
		a->content = pm->part;
	if (flag == NULL)
		return;
	if (flag[PM_CONTINUE])
		a->flags |= FILTER_A_UNSEEN;
	if (flag[PM_RAW])
		a->flags |= FILTER_A_RAW;
	if (flag[PM_IGNORE])
		a->flags |= FILTER_A_IGNORE_WRITE;
	if (pm->wait != PM_LEAVE_IT)
		a->flags |= FILTER_A_WAIT | (pm->wait == PM_QUIET ? FILTER_A_QUIET : 0);
}

static bool
act(struct pm *pm, const struct filter_action *a, const char *folder)
{
	struct err err = ERR_INIT;
	enum filter_answer ans;

	if (pm->tracing) {
		struct sb text = SB_INIT(4096);

		filter_action_text(a, &text);
		pm_trace(pm, "%s", sb_cstr(&text));
		sb_free(&text);
	}
	ans = filter_act(pm->ops, a, &err);
	pm->last_dump = pm->part.len;
	pm->last_tell = -1;
	pm_set_folder(pm, folder);
	if (ans == FILTER_OK)
		return (true);
	pm_nlog(pm, "Error while writing to ");
	pm_log(pm, "\"%s\": %s\n", folder, err.text);
	return (false);
}

/* Is <name> the user's mailbox or a folder of it in the store?  *<folder> empty: where mail goes anyway. */
static bool
box_name(const struct pm *pm, const char *name, struct sv *folder)
{
	const char *user = pm->o->user;
	size_t n = strlen(user);

	if (pm->o->ops == NULL || pm->o->ops->act == NULL)
		return (false);
	*folder = SV_LIT("");
	if (pm->o->orgmail != NULL && strcmp(name, pm->o->orgmail) == 0)
		return (true);
	for (const char *const *dir = (const char *const[]){ "/var/mail/", "/var/spool/mail/", NULL }; *dir != NULL; dir++)
		if (strncmp(name, *dir, strlen(*dir)) == 0 && strcmp(name + strlen(*dir), user) == 0)
			return (true);
	if (strncmp(name, user, n) != 0 || name[n] != '.' || name[n + 1] == '\0' || strpbrk(name, "/@ \t\n") != NULL)
		return (false);
	*folder = sv_cstr(name + n + 1);
	return (true);
}

static bool
store(struct pm *pm, const char *name, struct sv folder, const bool *flag)
{
	struct filter_action a;

	action_init(pm, &a, folder.len == 0 ? FILTER_KEEP : FILTER_STORE, flag);
	a.user = sv_cstr(pm->o->user);
	a.folder = folder;
	return (act(pm, &a, name));
}

/* A forward that needs no program: plain addresses.  *<done> false: it is for SENDMAIL. */
static bool
forward(struct pm *pm, struct pm_words *cmd, size_t from, const bool *flag, bool *done)
{
	struct sb to = SB_INIT(65536);
	struct filter_action a;
	struct sv folder;
	size_t n = 0;
	bool ok;

	*done = pm->ops->act != NULL && strcmp(pm->text[PM_T_SENDMAIL], "/usr/sbin/sendmail") == 0;
	for (size_t i = from; i < cmd->b.len; i += strlen(cmd->b.p + i) + 1, n++) {
		const char *word = cmd->b.p + i;
		size_t len = strlen(word);

		if (*word == '-' || *word == '\0' || cmd->all_args >= 0)
			*done = false;
		if (len > 0 && word[len - 1] == ',')
			len--;
		sb_addf(&to, "%s%.*s", n > 0 ? ", " : "", (int)len, word);
	}
	if (n == 0 || to.overflow)
		*done = false;
	if (*done && n == 1 && box_name(pm, sb_cstr(&to), &folder)) {
		pm_words_join(cmd);
		ok = store(pm, sb_cstr(&to), folder, flag);
		sb_free(&to);
		return (ok);
	}
	/* It goes elsewhere than into the store. */
	pm_mail_whole(pm);
	*done = *done || pm->signal_end;
	ok = false;
	if (*done && !pm->signal_end) {
		pm_words_join(cmd);
		action_init(pm, &a, FILTER_FORWARD, flag);
		a.to = sb_sv(&to);
		a.flags |= FILTER_A_NO_FROM;
		ok = act(pm, &a, sb_cstr(&cmd->b));
	}
	sb_free(&to);
	return (ok);
}

static bool
pipe_by_ops(struct pm *pm, struct pm_words *cmd, const bool *flag)
{
	struct filter_action a;
	struct sb text = SB_INIT(SIZE_MAX / 4);
	bool ok;

	action_init(pm, &a, FILTER_PIPE, flag);
	pm_words_join(cmd);
	sb_adds(&text, sb_cstr(&cmd->b));
	a.to = sb_sv(&text);
	a.flags |= pm->sh ? FILTER_A_SHELL : 0;
	ok = act(pm, &a, sb_cstr(&cmd->b));
	sb_free(&text);
	return (ok);
}

/* --- what the evaluator calls -------------------------------------------------------------- */

bool
pm_act_program(struct pm *pm, struct pm_words *cmd, size_t addresses, const bool *flag, const char *name)
{
	bool done, ok;

	if (addresses == 0)
		pm_mail_whole(pm);
	if (pm->signal_end)
		return (false);
	if (flag[PM_CONTINUE] && (flag[PM_FILTER] || name != NULL))
		pm_extraneous(pm, "copy-flag");
	if (flag[PM_FILTER])
		return (filter(pm, cmd));
	if (name != NULL)
		return (capture(pm, cmd, name));
	if (addresses > 0) {
		ok = forward(pm, cmd, addresses, flag, &done);
		if (done)
			return (ok);
	}
	return (pm->local ? deliver_to_program(pm, cmd) : pipe_by_ops(pm, cmd, flag));
}

/* "|" alone, or a folder whose name begins so: to where standard output was. */
static bool
to_stdout(struct pm *pm, const char *name)
{
	struct sb text = SB_INIT(SIZE_MAX / 4);
	bool ok = false;

	pm_set_folder(pm, name);
	pm->last_tell = -1;
	pm->last_dump = pm_mail_dump(pm, pm->part, (struct pm_dump){ .blank = !pm->raw }, &text);
	if (pm->o->out_fd >= 0 && !pm->ops->dry)
		ok = os_write_full(pm->o->out_fd, text.p, text.len) == (ssize_t)text.len;
	sb_free(&text);
	if (!ok && !pm->ignore_write)
		pm_nlogq(pm, "Error while writing to", "|");
	return (ok || pm->ignore_write);
}

static bool
folder_by_ops(struct pm *pm, struct pm_words *names)
{
	const char *name = sb_cstr(&names->b);
	size_t n = strlen(name);
	struct filter_action a;
	enum filter_kind kind = FILTER_FILE;

	if (strcmp(name, "/dev/null") == 0)
		kind = FILTER_DISCARD;
	else if (n > 2 && strcmp(name + n - 2, "/.") == 0)
		kind = FILTER_MH;
	else if (n > 1 && name[n - 1] == '/')
		kind = FILTER_MAILDIR;
	action_init(pm, &a, kind, NULL);
	a.to = sv_from(name, n);
	a.prefix = sv_cstr(pm->text[PM_T_MSGPREFIX]);
	return (act(pm, &a, name));
}

bool
pm_act_folder(struct pm *pm, struct pm_words *names, bool dot_lock)
{
	const char *name = sb_cstr(&names->b);
	struct sv folder;

	if (name[0] == '|')
		pm_mail_whole(pm);
	if (pm_interrupted(pm))
		return (false);
	if (name[0] == '|')
		return (to_stdout(pm, name));
	if (box_name(pm, name, &folder))
		return (store(pm, name, folder, NULL));
	pm_mail_whole(pm);
	if (pm->signal_end)
		return (false);
	return (pm->local ? pm_folder_write(pm, names, dot_lock) : folder_by_ops(pm, names));
}
