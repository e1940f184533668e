/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run from its start to its end: defaults, command line, which rc files and whether they can be
 * trusted, delivery to DEFAULT and ORGMAIL, the abstract, TRAP and the exit status.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "filter/procmail_int.h"

enum rc_kind { RC_ABSOLUTE, RC_CURRENT, RC_DEFAULT };

static bool
is_assignment(const char *word)
{
	return (strchr(word, '=') != NULL);
}

/* --- signals ------------------------------------------------------------------------ */

/* The end must not take it for a HOST that did not fit. */
static void
stop(struct pm *pm)
{
	pm->pending = PM_HOST;
	pm->in_rc = false;
	pm->word = NULL;
	pm->exitcode_set = false;
}

static void
end_by_signal(struct pm *pm, int status)
{
	pm->retval = status;
	pm_nlog(pm, "Terminating prematurely");
	if (pm->waiting != NULL)
		pm_log(pm, " whilst waiting for %s", pm->waiting);
	if (pm->waiting != NULL && pm->waiting_name != NULL)
		pm_log(pm, " \"%s\"", pm->waiting_name);
	pm_log(pm, "\n");
	stop(pm);
}

bool
pm_interrupted(struct pm *pm)
{
	int sig = pm->o->signalled == NULL ? 0 : *pm->o->signalled;

	if (sig == 0 || pm->signal_end)
		return (pm->signal_end);
	*pm->o->signalled = 0;
	switch (sig) {
	case SIGALRM:
		pm->alarmed = true;
		return (false);
	case SIGUSR1:
	case SIGUSR2:
		pm->verbose = sig == SIGUSR2;
		return (false);
	case SIGQUIT:
		pm->pretend = true;
		end_by_signal(pm, pm->retval);
		break;
	case SIGTERM:
		end_by_signal(pm, EX_TEMPFAIL);
		break;
	default:
		end_by_signal(pm, EX_CANTCREAT);
	}
	pm->signal_end = pm->muted = true;
	return (true);
}

/* --- whose process it is ----------------------------------------------------------------- */

bool
pm_become(struct pm *pm)
{
	struct err err = ERR_INIT;

	if (!pm->shared->root)
		return (true);
	pm_log_flush(pm);
	if (pm->o->become(pm->o, &err) == -1) {
		pm_nlog(pm, "Insufficient privileges\n");
		pm->retval = EX_TEMPFAIL;
		pm->pending = PM_HOST;
		pm->signal_end = true;
		return (false);
	}
	pm->shared->root = false;
	pm->verbose = 0;
	return (true);
}

/* --- the system mailbox --------------------------------------------------------------- */

static bool
bogus(const struct pm *pm, const struct stat *sb)
{
	if (S_ISDIR(sb->st_mode))
		return (sb->st_uid != pm->o->uid);
	return (sb->st_uid != pm->o->uid || (sb->st_mode & S_IWUSR) == 0 || !S_ISREG(sb->st_mode) || sb->st_nlink != 1);
}

/* Rename what should not be there. */
static bool
put_aside(struct pm *pm, const char *path, const struct stat *sb)
{
	const char *slash = strrchr(path, '/');
	char to[PATH_MAX], digits[16];

	pm_number_name((uint64_t)sb->st_ino, digits);
	(void)snprintf(to, sizeof(to), "%.*s/BOGUS.%s.%s", (int)(slash - path), path, pm->o->user, digits);
	pm_nlog(pm, "Renaming bogus mailbox \"");
	pm_log(pm, "%s\" info \"%s\"\n", path, to);
	return (rename(path, to) == 0);
}

/* Of the very file that was looked at. */
static void
restrict_mode(const struct pm *pm, const char *path, ino_t ino)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat sb;

	if (fd == -1)
		return;
	if (fstat(fd, &sb) == 0 && sb.st_ino == ino)
		(void)fchmod(fd, sb.st_mode & 0777 & ~pm->umask);
	(void)close(fd);
}

/* See that the system mailbox is there and the user's own; false: nothing may be delivered to it. */
static bool
check_mailbox(struct pm *pm, const char *path)
{
	struct stat sb;
	int fd;
	bool ok;

	if (lstat(path, &sb) == 0) {
		if (!bogus(pm, &sb)) {
			if (S_ISREG(sb.st_mode) && (sb.st_mode & (S_IXUSR | S_ISVTX)) == 0 && (sb.st_mode & pm->umask) != 0 &&
			    (sb.st_mode & ~(mode_t)(S_IRGRP | S_IWGRP) & pm->umask) != 0) {
				pm_nlogq(pm, "Enforcing stricter permissions on", path);
				restrict_mode(pm, path, sb.st_ino);
			}
			return (true);
		}
		if (!put_aside(pm, path, &sb))
			goto fail;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0667);
	if (fd != -1) {
		/* Root makes it for the recipient. */
		ok = !pm->shared->root || fchown(fd, pm->o->uid, (gid_t)-1) == 0;
		(void)close(fd);
		if (ok)
			return (true);
		(void)unlink(path);
	}
fail:
	pm_nlogq(pm, "Couldn't create", path);
	return (false);
}

static void
system_mailbox(struct pm *pm)
{
	const char *org = pm_gets(pm, "ORGMAIL");

	if (pm->o->filter || pm->o->orgmail != NULL || *org == '\0' || pm->ops->dry)
		return;
	pm_settle(pm);
	if (check_mailbox(pm, org))
		return;
	if (strcmp(pm->text[PM_T_DEFAULT], org) == 0)
		pm_set_text(pm, PM_T_DEFAULT, "");
	pm_put(pm, "ORGMAIL", NULL);
}

/* --- rc files ---------------------------------------------------------------------------- */

static bool
folder_trusted(const struct procmail *o, const struct stat *d, enum rc_kind kind)
{
	if ((d->st_mode & S_ISVTX) != 0)
		return (true);
	if ((d->st_mode & (S_IWOTH | S_IXOTH)) == (S_IWOTH | S_IXOTH))
		return (false);
	return (kind != RC_DEFAULT || (d->st_mode & (S_IWGRP | S_IXGRP)) != (S_IWGRP | S_IXGRP) || d->st_gid == o->gid);
}

/* Owner and modes of the file <f> and of its folder. */
static bool
trusted(const struct pm *pm, const struct stat *f, const char *path, enum rc_kind kind)
{
	const struct procmail *o = pm->o;
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL ? xstrdup(".") : xstrndup(path, (size_t)(slash - path));
	struct stat d;
	bool memory = pm->now != 0 && kind == RC_ABSOLUTE,
	    lately = memory && pm_lately(pm->files, PM_LATELY_TRUSTED, dir, pm->now, false), ok;

	ok = lately || (stat(*dir == '\0' ? "/" : dir, &d) == 0 && folder_trusted(o, &d, kind));
	if (ok && !lately && memory)
		(void)pm_lately(pm->files, PM_LATELY_TRUSTED, dir, pm->now, true);
	free(dir);
	if (!ok)
		return (false);
	if (strcmp(path, "/dev/null") != 0) {
		if ((f->st_uid != o->uid && f->st_uid != 0) || (f->st_mode & S_IWOTH) != 0)
			return (false);
		if (kind == RC_DEFAULT && (f->st_mode & S_IWGRP) != 0 && f->st_gid != o->gid)
			return (false);
	}
	return (true);
}

/* The first rc file says where we are. */
static void
first_directory(struct pm *pm, enum rc_kind kind, const char *path)
{
	const char *home = pm_gets(pm, "HOME");
	size_t n = strlen(home);

	if (pm->changed_dir)
		return;
	if (kind == RC_CURRENT) {
		pm_maildir(pm, ".");
		return;
	}
	/* Who found a file in it can go there. */
	if (pm->now != 0 && strcmp(home, pm->o->home) == 0 && home[0] == '/' && strncmp(path, home, n) == 0 && path[n] == '/')
		pm_go_later(pm, home);
	else if (chdir(home) == -1) {
		pm_nlogq(pm, "Couldn't chdir to", home);
		home = ".";
	}
	pm_maildir(pm, home);
}

static bool
open_rc(struct pm *pm, const char *path, enum rc_kind kind, bool warn)
{
	struct pm_rc *rc;
	struct stat sb;
	int fd = pm_rc_open(pm->files, path, &sb, &rc);

	/* A directory that was named is an empty file. */
	if (fd != -1 && S_ISDIR(sb.st_mode) && kind == RC_DEFAULT) {
		(void)close(fd);
		fd = -1;
	}
	if ((fd != -1 || rc != NULL) && kind != RC_CURRENT && !trusted(pm, &sb, path, kind)) {
		pm_nlogq(pm, "Suspicious rcfile", path);
		if (fd != -1)
			(void)close(fd);
		pm_rc_unref(&rc);
		fd = -1;
		warn = true;
	}
	if (fd == -1 && rc == NULL) {
		if (warn)
			pm_nlogq(pm, "Couldn't read", path);
		return (false);
	}
	pm_yell(pm, "Rcfile:", path);
	/* $_ is named before the directory changes, as a relative name then means. */
	if (kind == RC_CURRENT)
		first_directory(pm, kind, path);
	if (!pm_push_rc(pm, fd, rc, path)) {
		pm_nlogq(pm, "Couldn't read", path);
		return (false);
	}
	first_directory(pm, kind, path);
	return (true);
}

static const char *
next_rc(struct pm *pm)
{
	while (pm->word != NULL && *pm->word != NULL) {
		const char *w = *pm->word++;

		if (!is_assignment(w))
			return (w);
	}
	return (NULL);
}

static bool
open_named(struct pm *pm, const char *name, bool warn)
{
	struct sb sb = SB_INIT(PATH_MAX);
	enum rc_kind kind = RC_ABSOLUTE;
	bool ok;

	if (pm->o->filter)
		kind = name[0] == '/' ? RC_ABSOLUTE : RC_CURRENT;
	else if (name[0] == '.' && name[1] == '/')
		kind = RC_CURRENT;
	else if (name[0] != '/')
		sb_addf(&sb, "%s/", pm_gets(pm, "HOME"));
	sb_adds(&sb, name);
	ok = open_rc(pm, sb_cstr(&sb), kind, warn);
	sb_free(&sb);
	return (ok);
}

static bool
open_default(struct pm *pm)
{
	struct sb sb = SB_INIT(PATH_MAX);
	bool ok = false;

	sb_addf(&sb, "%s/.procmailrc", pm_gets(pm, "HOME"));
	if (sb_cstr(&sb)[0] != '/')
		pm_nlog(pm, "default rcfile is not an absolute path\n");
	else
		ok = open_rc(pm, sb_cstr(&sb), RC_DEFAULT, false);
	sb_free(&sb);
	return (ok);
}

/* The next file named on the command line that can be read; false: none can, *<none>: none was named. */
static bool
next_rc_opens(struct pm *pm, bool *none)
{
	const char *name;

	for (*none = true; (name = next_rc(pm)) != NULL; pm->rc_missed = true) {
		*none = false;
		if (open_named(pm, name, !pm->rc_missed))
			return (true);
		if (pm->o->filter)
			break;
	}
	return (false);
}

/* The first file named on the command line that can be read, else the default one; false: none. */
static bool
first_rc(struct pm *pm)
{
	bool none, ok = next_rc_opens(pm, &none);

	return (none ? open_default(pm) : ok);
}

/* --- the command line -------------------------------------------------------------------- */

static void
assign_word(struct pm *pm, const char *word)
{
	const char *eq = strchr(word, '=');
	char *name = xstrndup(word, (size_t)(eq - word));
	struct pm_words w = PM_WORDS_INIT;

	if (strlen(name) + 1 > pm->linebuf) {
		pm_set_overflow(pm);
		pm_nlog(pm, "Assignment to variable with excessively long name skipped\n");
	} else if (pm_expand_text(pm, eq + 1, PM_QUOTE, &w)) {
		char *value = xstrdup(sb_cstr(&w.b));

		pm_assign(pm, name, value);
		free(value);
	}
	pm_words_free(&w);
	free(name);
}

/* Assignments first; with -m what follows the rc file are its arguments. */
static void
command_line(struct pm *pm)
{
	pm->word = pm->o->words;
	for (const char *const *w = pm->o->words; w != NULL && *w != NULL && pm->pending == PM_NEXT; w++) {
		if (is_assignment(*w)) {
			assign_word(pm, *w);
			continue;
		}
		if (pm->o->filter) {
			pm->args = w + 1;
			for (pm->nargs = 0; pm->args[pm->nargs] != NULL;)
				pm->nargs++;
			break;
		}
	}
}

/* --- the end --------------------------------------------------------------------------------- */

/* EXITCODE and TRAP: *<from_trap>: TRAP's status becomes ours. */
static void
set_exit(struct pm *pm, bool *from_trap)
{
	const char *said = pm_get(pm, "EXITCODE");
	char text[16];
	long n;

	*from_trap = false;
	if (pm->exitcode_set && said != NULL) {
		n = pm_number(-2, said);
		if (n >= 0)
			pm->retval = (int)n;
		*from_trap = n == -2;
	} else if (*pm->text[PM_T_TRAP] != '\0') {
		(void)snprintf(text, sizeof(text), "%d", pm->retval);
		pm_put(pm, "EXITCODE", text);
	}
}

static void
run_trap(struct pm *pm)
{
	struct pm_words cmd = PM_WORDS_INIT;
	struct sb input = SB_INIT(SIZE_MAX / 4);
	struct pm_prog g = { .wait = true, .dev_err = true, .ignore_write = true };
	bool from_trap;

	set_exit(pm, &from_trap);
	if (*pm->text[PM_T_TRAP] == '\0')
		return;
	pm_command(pm, pm->text[PM_T_TRAP], &cmd);
	pm_mail_join(&pm->mail, false);
	pm_mail_whole(pm);
	(void)pm_mail_dump(pm, sv_from(pm->mail.p, pm->mail.len), (struct pm_dump){ .blank = true }, &input);
	g.input = sb_sv(&input);
	pm_run_program(pm, &cmd, &g);
	if (from_trap && g.status != 0)
		pm->retval = g.status;
	sb_free(&input);
	pm_words_free(&cmd);
}

static void
terminate(struct pm *pm)
{
	const char *folder = pm_gets(pm, "LASTFOLDER");
	char *name;

	pm->muted = false;
	if (pm->retval != EX_OK) {
		pm->last_tell = -1;
		folder = pm->pretend ? "**Lost**" : pm->retval == EX_TEMPFAIL ? "**Requeued**" : "**Bounced**";
	}
	name = xstrdup(folder);
	pm_comsat(pm, pm->retval != EX_OK ? name : NULL);
	pm_mail_join(&pm->mail, false);
	pm_log_abstract(pm, name);
	free(name);
	if (!pm->signal_end)
		run_trap(pm);
	pm_unlock(pm, &pm->loc_lock);
	pm_unlock(pm, &pm->glob_lock);
	pm_log_flush(pm);
	pm_reap(pm->files);
}

static bool
deliver_to(struct pm *pm, const char *name, bool dot_lock)
{
	struct pm_words w = PM_WORDS_INIT;
	bool ok;

	if (*name == '\0')
		return (false);
	/* Whatever LINEBUF is, there is room for this. */
	if (pm->linebuf < strlen(name) + PM_NAME_MAX * 2)
		pm->linebuf = strlen(name) + PM_NAME_MAX * 2;
	sb_adds(&w.b, name);
	sb_addc(&w.b, '\0');
	if (pm_log_tells(pm))
		pm_mail_whole(pm);
	pm->part = sv_from(pm->mail.p, pm->mail.len);
	pm->ignore_write = false;
	pm->raw = false;
	ok = pm_act_folder(pm, &w, dot_lock);
	pm_words_free(&w);
	return (ok);
}

/* Nothing took it: DEFAULT, then ORGMAIL. */
static bool
last_resort(struct pm *pm)
{
	const char *org;
	char *name = xstrdup(pm->text[PM_T_DEFAULT]), *other;
	bool ok;

	pm->pos = (struct filter_pos){ NULL, 0 };
	pm_mail_join(&pm->mail, false);
	ok = deliver_to(pm, name, true);
	org = pm_gets(pm, "ORGMAIL");
	if (!ok && strcmp(org, name) != 0) {
		other = xstrdup(org);
		ok = deliver_to(pm, other, false);
		free(other);
	}
	free(name);
	return (ok);
}

/* Rc files until one of them decides; true: the message is taken care of, though perhaps nobody has it (HOST). */
static bool
run_rcs(struct pm *pm)
{
	bool none;

	for (;;) {
		enum pm_result r = pm_loop(pm);

		pm->delivered = r == PM_DELIVERED;
		if (pm->delivered)
			return (true);
		if (pm->signal_end)
			return (false);
		if (pm->in_etc) {
			/* A HOST that did not fit leads to the user's own file, too. */
			pm->in_etc = false;
			if (!pm_become(pm))
				return (false);
			pm_put(pm, "PATH", pm->path);
			if (!first_rc(pm))
				return (false);
			continue;
		}
		if (r == PM_EOF)
			return (false);
		/* HOST: the next file on the command line, or none. */
		if (pm->o->filter)
			return (true);
		if (!next_rc_opens(pm, &none) && !none)
			return (false);
		if (none)
			return (true);
	}
}

int
pm_continue(struct pm *pm)
{
	if (run_rcs(pm))
		pm->retval = EX_OK;
	else if (!pm->signal_end && last_resort(pm)) {
		pm->retval = EX_OK;
		pm->delivered = true;
	}
	pm_unlock(pm, &pm->loc_lock);
	terminate(pm);
	return (pm->pretend ? EX_OK : pm->retval);
}

/* --- copies ---------------------------------------------------------------------------------- */

static char *
dup_or_null(const char *s)
{
	return (s == NULL ? NULL : xstrdup(s));
}

static void
copy_state(struct pm *to, const struct pm *from)
{
	*to = *from;
	memset(&to->mail.folds, 0, sizeof(to->mail.folds));
	memset(&to->mail.nl, 0, sizeof(to->mail.nl));
	memset(&to->mail.first, 0, sizeof(to->mail.first));
	to->mail.p = xmalloc(from->mail.cap);
	memcpy(to->mail.p, from->mail.p, from->mail.len + 1);
	for (size_t i = 0; i < from->mail.folds.len; i++)
		vec_push(&to->mail.folds, from->mail.folds.p[i]);
	for (size_t i = 0; i < from->mail.nl.len; i++) {
		vec_push(&to->mail.nl, from->mail.nl.p[i]);
		vec_push(&to->mail.first, from->mail.first.p[i]);
	}
	to->mail.lines.nl = to->mail.nl.p;
	to->mail.lines.first = to->mail.first.p;
	memset(&to->env, 0, sizeof(to->env));
	for (size_t i = 0; i < from->env.len; i++) {
		struct pm_var v = from->env.p[i];

		if (v.own_name)
			v.name = xstrdup(v.name);
		if (v.own_value)
			v.value = xstrdup(v.value);
		vec_push(&to->env, v);
	}
	for (size_t i = 0; i < PM_TEXTS; i++)
		if (from->text_own[i] != NULL)
			to->text[i] = to->text_own[i] = xstrdup(from->text[i]);
	to->comsat_folder = dup_or_null(from->comsat_folder);
	to->path = dup_or_null(from->path);
	to->switch_to = NULL;
	to->loc_lock = to->glob_lock = NULL;
	memset(&to->frames, 0, sizeof(to->frames));
	for (size_t i = 0; i < from->frames.len; i++) {
		struct pm_frame f = from->frames.p[i];

		if (f.rc != NULL) {
			pm_rc_ref(f.rc);
			f.name = xstrdup(f.name);
		}
		vec_push(&to->frames, f);
	}
	sb_init(&to->logline, SIZE_MAX / 4);
	if (from->log_opened)
		to->log_fd = fcntl(from->log_fd, F_DUPFD_CLOEXEC, 3);
}

static void
free_state(struct pm *pm)
{
	pm_frames_free(pm);
	pm_spare_give(pm->files, &pm->mail);
	pm_env_free(pm);
	free(pm->comsat_folder);
	free(pm->path);
	free(pm->cwd_later);
	free(pm->switch_to);
	sb_free(&pm->logline);
	if (pm->log_opened && pm->log_fd != -1)
		(void)close(pm->log_fd);
}

/* The copy runs in this process, as all that it changes is put right again. */
static int
clone_here(struct pm *pm, struct pm_block *block)
{
	struct pm_frame f = { .block = block, .prev_cond = pm->state.prev_cond, .last_cond = pm->state.last_cond };
	struct pm copy;
	int dir, status;

	pm_log_flush(pm);
	pm_settle(pm);
	dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	copy_state(&copy, pm);
	vec_push(&copy.frames, f);
	/* Names of files live in the copy's own frames. */
	copy.rc_name = NULL;
	for (size_t i = copy.frames.len; i > 0 && copy.rc_name == NULL; i--)
		copy.rc_name = copy.frames.p[i - 1].name;
	copy.pos.file = copy.rc_name;
	status = pm_continue(&copy);
	pm->serial = copy.serial;
	/* A signal, or a message that cannot be read, ends both. */
	if (copy.signal_end) {
		pm->signal_end = pm->muted = true;
		pm->retval = copy.retval;
		pm->pretend = copy.pretend;
		stop(pm);
	}
	free_state(&copy);
	if (dir != -1) {
		(void)!fchdir(dir);
		(void)close(dir);
	}
	(void)umask(pm->umask);
	return (status);
}

/* While the process is root's: the copy may give that up, and what comes after it may not. */
static int
clone_apart(struct pm *pm, struct pm_block *block)
{
	int status;
	pid_t pid, ended;

	pm_log_flush(pm);
	if ((pid = fork()) == 0)
		_exit(clone_here(pm, block));
	if (pid == -1) {
		pm_nlogq(pm, "Failed forking", "procmail");
		return (EX_OSERR);
	}
	while ((ended = waitpid(pid, &status, 0)) == -1 && errno == EINTR)
		(void)pm_interrupted(pm);
	return (ended == pid && WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE);
}

int
pm_clone(struct pm *pm, struct pm_block *block)
{
	return (pm->shared->root ? clone_apart(pm, block) : clone_here(pm, block));
}

/* --- the beginning -------------------------------------------------------------------------- */

static const char etc_rc[] = "/etc/procmailrc";

/* Does the command line name an rc file? */
static bool
names_rc(const struct procmail *o)
{
	for (const char *const *w = o->words; w != NULL && *w != NULL; w++)
		if (!is_assignment(*w))
			return (true);
	return (false);
}

static void
start_files(struct pm *pm)
{
	int fd;

	if (pm->o->etc_rc && !pm->o->preserve && !names_rc(pm->o) && (fd = open(etc_rc, O_RDONLY | O_CLOEXEC)) != -1) {
		pm_yell(pm, "Rcfile:", etc_rc);
		pm->path = xstrdup(pm_gets(pm, "PATH"));
		pm_put(pm, "PATH", "/usr/local/bin:/usr/bin:/bin");
		pm->in_etc = pm_push_rc(pm, fd, NULL, etc_rc);
	}
	if (!pm->in_etc && pm_become(pm))
		(void)first_rc(pm);
}

static void
start(struct pm *pm, struct sv message)
{
	pm->umask_later = pm->o->own_process && pm->o->become == NULL;
	pm->now = pm->umask_later ? (int64_t)time(NULL) : 0;
	pm_umask(pm, 077);
	pm_defaults(pm);
	pm->comsat = pm->o->ops == NULL && (pm->o->deliver || pm->o->words == NULL || pm->o->words[0] == NULL);
	pm_spare_take(pm->files, &pm->mail);
	if (pm->o->deliver || pm->o->from != NULL) {
		struct sb text = SB_INIT(SIZE_MAX / 4);

		pm_mail_from(pm->o, message, &text);
		pm_mail_set(pm, sb_sv(&text));
		sb_free(&text);
	} else
		pm_mail_set(pm, message);
	system_mailbox(pm);
	if (names_rc(pm->o)) {
		pm->comsat = false;
		if (!pm->o->preserve)
			pm_put(pm, "COMSAT", "no");
	}
	pm->retval = pm->o->tempfail ? EX_TEMPFAIL : EX_CANTCREAT;
	command_line(pm);
	if (pm->pending == PM_HOST) {
		pm->retval = EX_OK;
		terminate(pm);
		return;
	}
	if (pm->o->filter && !names_rc(pm->o)) {
		pm_nlog(pm, "Missing rcfile\n");
		pm->retval = EX_NOINPUT;
		pm_log_flush(pm);
		return;
	}
	start_files(pm);
	pm->retval = pm_continue(pm);
}

static void
init(struct pm *pm, struct procmail_files *files, const struct procmail *p, struct pm_shared *shared)
{
	static const struct filter_ops none;

	memset(pm, 0, sizeof(*pm));
	pm->o = p;
	pm->files = files;
	pm->shared = shared;
	pm->ops = p->ops == NULL ? &none : p->ops;
	pm->local = p->ops == NULL || (p->local && !p->ops->dry);
	pm->tracing = filter_tracing(pm->ops);
	pm->args = p->args;
	while (p->args != NULL && p->args[pm->nargs] != NULL)
		pm->nargs++;
	pm->log_fd = p->err_fd;
	pm->last_tell = -1;
	sb_init(&pm->logline, SIZE_MAX / 4);
	pm->host = p->host != NULL ? p->host : pm->host_buf;
	if (p->host == NULL && gethostname(pm->host_buf, sizeof(pm->host_buf) - 1) == -1)
		pm->host = "localhost";
}

int
procmail_run(struct procmail_files *files, const struct procmail *p, struct sv message, struct procmail_end *end,
    struct err *err)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, pipe_before;
	struct pm_shared shared = { .root = p->become != NULL };
	struct pm pm;
	struct sv folder;
	mode_t mask = 0;
	int dir = -1;

	assert(files != NULL && p->user != NULL && p->home != NULL && p->argv0 != NULL && p->invoker != NULL);
	end->status = 0;
	end->delivered = false;
	end->folder[0] = '\0';
	if (p->max_message != 0 && message.len > p->max_message)
		return (err_set(err, ERR_TEMP, "4.3.1", "the message is larger than a filter may take"));
	init(&pm, files, p, &shared);
	if (!p->own_process) {
		dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)sigaction(SIGPIPE, &ignore, &pipe_before);
		mask = umask(077);
	}
	start(&pm, message);
	end->status = pm.retval;
	end->delivered = pm.delivered;
	folder = sv_sub(sv_cstr(pm_gets(&pm, "LASTFOLDER")), 0, sizeof(end->folder) - 1);
	memcpy(end->folder, folder.p, folder.len);
	end->folder[folder.len] = '\0';
	free_state(&pm);
	if (p->own_process)
		return (0);
	(void)umask(mask);
	if (dir != -1) {
		(void)!fchdir(dir);
		(void)close(dir);
	}
	(void)sigaction(SIGPIPE, &pipe_before, NULL);
	return (0);
}
