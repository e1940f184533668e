/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs that formail feeds, the variable FILENO, and the cache of what was seen. */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "filter/formail_int.h"
#include "filter/procmail.h"
#include "mbox/run.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/spawn.h"

#define CACHE_MAX	(64 * 1024 * 1024)

static int
status_of(int w)
{
	return (WIFEXITED(w) ? WEXITSTATUS(w) : -WTERMSIG(w));
}

/* --- output ---------------------------------------------------------------------- */

void
formail_sink(struct formail_run *r)
{
	r->out = fopen("/dev/null", "a");
	if (r->out == NULL) {
		formail_give_up(r, "File table full");
		r->out = r->f->out;
	}
}

void
formail_give_up(struct formail_run *r, const char *why)
{
	if (!r->fatal)
		(void)fprintf(stderr, "formail: %s\n", why);
	r->fatal = true;
	r->next = EOF;
	r->f->total = 0;
}

/* What was written must have left. */
void
formail_close(struct formail_run *r)
{
	bool failed = ferror(r->out) != 0;

	if (r->out == r->f->out)
		failed |= fflush(r->out) == EOF;
	else
		failed |= fclose(r->out) == EOF;
	r->out = NULL;
	r->out_failed = failed;
}

/* --- programs -------------------------------------------------------------------- */

/* FILENO as it is in the environment: where to begin, and how wide. */
void
formail_first_fileno(struct formail_run *r)
{
	const char *v = "000";
	char *end;

	for (const char *const *e = r->f->environ; e != NULL && *e != NULL; e++)
		if (strncmp(*e, "FILENO=", 7) == 0)
			v = *e + 7;
	r->fileno = procmail_long(v, &end);
	r->fileno_width = *end != '\0' ? -1 : strlen(v) > 20 ? 20 : *v == '-' ? 0 : (int)strlen(v);
}

static const char **
environment(struct formail_run *r, char *fileno, size_t size)
{
	VEC(const char *) v = VEC_INIT;

	(void)snprintf(fileno, size, "FILENO=%0*ld", r->fileno_width < 0 ? 0 : r->fileno_width, r->fileno);
	for (const char *const *e = r->f->environ; e != NULL && *e != NULL; e++)
		if (r->fileno_width < 0 || strncmp(*e, "FILENO=", 7) != 0)
			vec_push(&v, *e);
	if (r->fileno_width >= 0) {
		vec_push(&v, fileno);
		r->fileno++;
	}
	vec_push(&v, NULL);
	return (v.p);
}

static char *
find_program(const struct formail_run *r, const char *name)
{
	const char *path = "/usr/local/bin:/usr/bin:/bin";

	for (const char *const *e = r->f->environ; e != NULL && *e != NULL; e++)
		if (strncmp(*e, "PATH=", 5) == 0)
			path = *e + 5;
	return (mbox_run_find(name, path));
}

static pid_t
spawn(struct formail_run *r, int in)
{
	char fileno[64];
	const char **env = environment(r, fileno, sizeof(fileno)), **script;
	const char *const *argv = r->f->argv;
	char *path = find_program(r, argv[0]);
	struct os_spawn s = {
		.argv = argv, .path = path, .env = env, .cwd = ".", .in = in, .out = STDOUT_FILENO, .errfd = STDERR_FILENO
	};
	size_t n = 0;
	pid_t pid = -1;

	if (path != NULL) {
		s.umask = umask(0);
		(void)umask(s.umask);
		pid = os_spawn(&s, NULL);
	}
	/* A script without "#!", as execvp(3) has it. */
	if (pid == -1 && errno != EAGAIN) {
		while (argv[n] != NULL)
			n++;
		script = xcalloc(n + 2, sizeof(*script));
		script[0] = "/bin/sh";
		memcpy(script + 1, argv, n * sizeof(*script));
		if (path != NULL)
			script[1] = path;
		s.argv = script;
		s.path = NULL;
		if ((pid = os_spawn(&s, NULL)) == -1)
			(void)fprintf(stderr, "formail: Failed to execute \"%s\"\n", argv[0]);
		free(script);
	}
	free(path);
	free(env);
	return (pid);
}

static void
reap(struct formail_run *r, int flags)
{
	int w, status;

	while (r->children > 0 && waitpid(-1, &w, flags) > 0) {
		r->children--;
		status = status_of(w);
		if (status != EX_OK)
			r->status = status;
		if (flags == 0)
			return;
	}
}

void
formail_start_program(struct formail_run *r)
{
	struct formail *f = r->f;
	int p[2];

	if (f->skip > 0) {
		f->skip--;
		formail_sink(r);
		return;
	}
	if (f->total > 0)
		f->total--;
	if (f->argv == NULL || f->argv[0] == NULL) {
		r->out = f->out;
		return;
	}
	reap(r, WNOHANG);
	while (f->max_procs > 0 && r->children >= f->max_procs)
		reap(r, 0);
	(void)fflush(f->out);
	if (os_pipe(p, false) == -1) {
		formail_give_up(r, "File table full");
		formail_sink(r);
		return;
	}
	r->child = spawn(r, p[0]);
	(void)close(p[0]);
	if (r->child == -1) {
		(void)close(p[1]);
		formail_give_up(r, "Can't fork");
		formail_sink(r);
		return;
	}
	r->children++;
	if ((r->out = fdopen(p[1], "w")) == NULL) {
		(void)close(p[1]);
		formail_give_up(r, "Out of memory");
		formail_sink(r);
	}
}

void
formail_wait_child(struct formail_run *r)
{
	int w;

	if (r->f->nowait || r->f->argv == NULL || r->f->argv[0] == NULL || r->child <= 0)
		return;
	if (waitpid(r->child, &w, 0) == r->child) {
		r->children--;
		if (status_of(w) != EX_OK && r->status == EX_OK)
			r->status = status_of(w);
	}
	r->child = -1;
}

void
formail_wait_all(struct formail_run *r)
{
	int w;

	while (r->children > 0 && waitpid(-1, &w, 0) > 0) {
		r->children--;
		if (r->status == EX_OK && status_of(w) != EX_OK)
			r->status = status_of(w);
	}
}

/* --- duplicates -------------------------------------------------------------------- */

/*
 * The cache holds keys, each with a NUL behind it, written round: two NULs mark where the next goes.
 * True: <key> is there; else *<at> is where it belongs.
 */
static bool
in_cache(struct sv cache, const char *key, long max, size_t *at)
{
	size_t i = 0, n = strlen(key);
	bool marked = false;

	*at = 0;
	while (i < cache.len && i < (size_t)max) {
		const char *end = memchr(cache.p + i, '\0', cache.len - i);
		size_t len = end == NULL ? cache.len - i : (size_t)(end - cache.p) - i;

		if (end != NULL && len == n && memcmp(cache.p + i, key, n) == 0)
			return (true);
		if (len == 0 && !marked) {
			marked = true;
			*at = i;
			/* What follows the mark up to the next NUL is the rest of an overwritten key. */
			end = i + 1 < cache.len ? memchr(cache.p + i + 1, '\0', cache.len - i - 1) : NULL;
			if (end == NULL)
				break;
			len = (size_t)(end - cache.p) - i;
		}
		i += len + 1;
	}
	if (*at >= (size_t)max)
		*at = 0;
	return (false);
}

bool
formail_seen(struct formail_run *r)
{
	struct formail *f = r->f;
	char *key = f->reply ? (r->sender == NULL ? NULL : xstrdup(r->sender)) :
	    r->message_id.p == NULL ? NULL : xstrndup(r->message_id.p, r->message_id.len - 1);
	struct sb cache = SB_INIT(CACHE_MAX);
	const char *k;
	FILE *fp;
	size_t at;
	bool dup = false;

	if (key == NULL)
		return (false);
	k = key + strspn(key, " ");
	fp = fopen(f->cache, "r+b");
	if (fp == NULL)
		fp = fopen(f->cache, "w+b");
	if (fp != NULL) {
		(void)os_read_file(f->cache, CACHE_MAX, &cache, NULL);
		dup = in_cache(sb_sv(&cache), k, f->cache_size, &at);
		if (!dup && fseek(fp, (long)at, SEEK_SET) == 0) {
			(void)fwrite(k, 1, strlen(k) + 1, fp);
			(void)putc('\0', fp);
		}
		(void)fclose(fp);
	}
	if (dup && !f->quiet)
		(void)fprintf(stderr, "formail: Duplicate key found:%s\n", k);
	sb_free(&cache);
	free(key);
	return (dup);
}
