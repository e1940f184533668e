/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a process keeps between runs: parsed rc files for as long as they are unchanged, with all that their conditions
 * learned, the buffers of the last message, and which programs are still to be reaped.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "filter/procmail_int.h"
#include "os/file.h"

#define FILES_MAX	64		/* kept; more are parsed each time */
#define SPARE_MAX	(256 * 1024)	/* a larger message's buffer is given back */
#define REGEX_MAX	1000		/* expressions that files share */
#define LATELY		64		/* places remembered for a second */

struct kept {
	dev_t		 dev;
	ino_t		 ino;
	off_t		 size;
	struct timespec	 mtime, ctime;
	struct pm_rc	*rc;
};

struct lately {
	char		*path;
	int64_t		 when;
};

struct procmail_files {
	VEC(struct kept) v;
	struct pm_mail	 spare;
	struct hash	*regex;
	struct lately	 lately[2][LATELY];
	VEC(pid_t)	 running;	/* programs that nobody waited for */
};

struct procmail_files *
procmail_files_new(void)
{
	struct procmail_files *f = xcalloc(1, sizeof(*f));

	f->regex = hash_new();
	return (f);
}

static void
free_regex(void *value)
{
	struct procmail_regex *re = value;

	procmail_regex_free(&re);
}

void
procmail_files_free(struct procmail_files **fp)
{
	if (*fp == NULL)
		return;
	for (size_t i = 0; i < (*fp)->v.len; i++)
		pm_rc_unref(&(*fp)->v.p[i].rc);
	vec_free(&(*fp)->v);
	pm_mail_free(&(*fp)->spare);
	hash_free(&(*fp)->regex, free_regex);
	vec_free(&(*fp)->running);
	for (size_t i = 0; i < 2 * LATELY; i++)
		free((*fp)->lately[i / LATELY][i % LATELY].path);
	free(*fp);
	*fp = NULL;
}

/* --- programs --------------------------------------------------------------- */

void
pm_leave_running(struct procmail_files *f, pid_t pid)
{
	vec_push(&f->running, pid);
}

void
pm_reap(struct procmail_files *f)
{
	for (size_t i = f->running.len; i > 0; i--)
		if (waitpid(f->running.p[i - 1], NULL, WNOHANG) != 0)
			vec_remove(&f->running, i - 1);
}

/* --- buffers ---------------------------------------------------------------- */

void
pm_spare_take(struct procmail_files *f, struct pm_mail *m)
{
	*m = f->spare;
	memset(&f->spare, 0, sizeof(f->spare));
	m->changed = m->read = false;
}

void
pm_spare_give(struct procmail_files *f, struct pm_mail *m)
{
	if (m->cap > SPARE_MAX || m->nl.cap > SPARE_MAX || m->folds.cap > SPARE_MAX) {
		pm_mail_free(m);
		return;
	}
	pm_mail_free(&f->spare);
	f->spare = *m;
	memset(m, 0, sizeof(*m));
}

/* --- what files share --------------------------------------------------------- */

struct procmail_regex *
pm_regex(struct procmail_files *f, struct sv expr, bool fold, bool *invalid)
{
	struct sb key = SB_INIT(SIZE_MAX / 4);
	struct procmail_regex *re;

	sb_addc(&key, fold ? 'i' : ' ');
	sb_add(&key, expr);
	re = hash_get(f->regex, sb_sv(&key));
	*invalid = false;
	if (re != NULL)
		(void)procmail_regex_ref(re);
	else if (re = procmail_regex_new(expr, fold, invalid), !*invalid) {
		/* Those of files that are gone are forgotten all together. */
		if (hash_count(f->regex) >= REGEX_MAX) {
			hash_free(&f->regex, free_regex);
			f->regex = hash_new();
		}
		(void)hash_set(f->regex, sb_sv(&key), procmail_regex_ref(re));
	}
	sb_free(&key);
	return (re);
}

bool
pm_lately(struct procmail_files *f, enum pm_lately what, const char *path, int64_t now, bool note)
{
	size_t n = strlen(path);
	struct lately *l = &f->lately[what][hash_bytes(path, n) % LATELY];
	bool known = l->path != NULL && l->when == now && strcmp(l->path, path) == 0;
	if (!known && note) {
		free(l->path);
		l->path = xstrndup(path, n);
		l->when = now;
	}
	return (known);
}

/* --- rc files --------------------------------------------------------------- */

void
pm_rc_ref(struct pm_rc *rc)
{
	rc->refs++;
}

void
pm_rc_unref(struct pm_rc **rcp)
{
	struct pm_rc *rc = *rcp;

	*rcp = NULL;
	if (rc == NULL || --rc->refs > 0)
		return;
	pm_block_free(rc->top);
	arena_free(&rc->arena);
	free(rc);
}

static struct pm_rc *
rc_new(int fd, off_t size)
{
	struct pm_rc *rc = xcalloc(1, sizeof(*rc));
	char *text;
	ssize_t n;

	rc->refs = 1;
	rc->arena = arena_new(0);
	text = arena_alloc(rc->arena, (size_t)size + 1);
	n = os_pread_full(fd, text, (size_t)size, 0);
	if (n < 0 && errno == EISDIR)
		n = 0;
	if (n < 0) {
		pm_rc_unref(&rc);
		return (NULL);
	}
	text[n] = '\0';
	rc->top = pm_parse(rc->arena, sv_from(text, (size_t)n));
	return (rc);
}

static bool
same_time(struct timespec a, struct timespec b)
{
	return (a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec);
}

struct pm_rc *
pm_rc_find(struct procmail_files *f, const struct stat *sb)
{
	for (size_t i = 0; i < f->v.len; i++) {
		struct kept *e = &f->v.p[i];

		if (e->dev != sb->st_dev || e->ino != sb->st_ino)
			continue;
		if (e->size == sb->st_size && same_time(e->mtime, sb->st_mtim) && same_time(e->ctime, sb->st_ctim)) {
			pm_rc_ref(e->rc);
			return (e->rc);
		}
		pm_rc_unref(&e->rc);
		vec_remove(&f->v, i);
		break;
	}
	return (NULL);
}

struct pm_rc *
pm_rc_load(struct procmail_files *f, int fd)
{
	struct pm_rc *rc;
	struct stat sb;
	struct kept k;

	if (fstat(fd, &sb) == -1)
		return (NULL);
	if (sb.st_size > PM_FILE_MAX) {
		errno = EFBIG;
		return (NULL);
	}
	if ((rc = pm_rc_find(f, &sb)) != NULL)
		return (rc);
	k = (struct kept){ sb.st_dev, sb.st_ino, sb.st_size, sb.st_mtim, sb.st_ctim, rc_new(fd, sb.st_size) };
	if (k.rc == NULL)
		return (NULL);
	if (S_ISREG(sb.st_mode)) {
		if (f->v.len >= FILES_MAX) {
			pm_rc_unref(&f->v.p[0].rc);
			vec_remove(&f->v, 0);
		}
		pm_rc_ref(k.rc);
		vec_push(&f->v, k);
	}
	return (k.rc);
}

int
pm_rc_open(struct procmail_files *f, const char *name, struct stat *sb, struct pm_rc **rc)
{
	int fd;

	*rc = NULL;
	if (stat(name, sb) == 0 && S_ISREG(sb->st_mode) && (*rc = pm_rc_find(f, sb)) != NULL)
		return (-1);
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd != -1 && fstat(fd, sb) == -1) {
		(void)close(fd);
		fd = -1;
	}
	return (fd);
}
