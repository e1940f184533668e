/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lockfile: make lock files, one after the other, waiting for each; on failure none is left.  They are made beside
 * their name and linked into place, so it is safe over NFS.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/vec.h"
#include "filter/procmail.h"
#include "os/user.h"

#define TRIES	8		/* where a failure may pass */

static const char usage_text[] =
    "Usage: lockfile -v | -nnn | -r nnn | -l nnn | -s nnn | -! | -ml | -mu | file ...\n";

static volatile sig_atomic_t stopped;

struct locks {
	VEC(char *) held;
	long		 sleep, retries, timeout, suspend;
	bool		 invert, did;
	char		 mailbox[600];	/* lock of the system mailbox */
};

static void
on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

static void
pause_for(long seconds)
{
	if (seconds > 0)
		(void)sleep((unsigned)seconds);
}

/* 0, or -1 with errno; *<now> by the clock of the file system. */
static int
make(const char *path, time_t *now)
{
	static unsigned serial;
	const char *slash = strrchr(path, '/');
	int dirlen = slash == NULL ? 0 : (int)(slash + 1 - path), fd, rc = -1, e;
	char tmp[PATH_MAX], host[128] = "";
	struct stat sb;

	(void)gethostname(host, sizeof(host) - 1);
	if (snprintf(tmp, sizeof(tmp), "%.*s_%lx%u.%s", dirlen, path, (long)getpid(), serial++, host) >= (int)sizeof(tmp)) {
		errno = ENAMETOOLONG;
		return (-1);
	}
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);
	if (fd == -1)
		return (-1);
	*now = fstat(fd, &sb) == 0 ? sb.st_mtime : time(NULL);
	if (write(fd, "0", 1) == 1)
		rc = link(tmp, path);
	e = errno;
	if (rc == -1 && fstat(fd, &sb) == 0 && sb.st_nlink == 2)
		rc = 0;
	(void)unlink(tmp);
	(void)close(fd);
	errno = e;
	return (rc);
}

static bool
may_pass(int e)
{
	return (e == ENOSPC || e == EDQUOT || e == ENOENT || e == ENOTDIR || e == EIO);
}

/* Another has it: take it by force or wait; false: the patience is over. */
static bool
busy(struct locks *l, const char *path, time_t now)
{
	struct stat sb;

	if (l->timeout != 0 && lstat(path, &sb) == 0 && now - sb.st_mtime > l->timeout) {
		(void)fprintf(stderr, "lockfile: %s \"%s\"\n", unlink(path) == 0 ? "Forcing lock on" : "Forced unlock denied on", path);
		pause_for(l->suspend);
		return (true);
	}
	if (l->retries == 0)
		return (false);
	if (l->retries > 0)
		l->retries--;
	pause_for(l->sleep);
	return (true);
}

static int
give_up(const char *why, const char *path, int status)
{
	(void)fprintf(stderr, "lockfile: %s, giving up on \"%s\"\n", why, path);
	return (status);
}

/* The exit status. */
static int
take(struct locks *l, char *path)
{
	int tries = TRIES;
	time_t now = 0;
	size_t n;

	l->did = true;
	while (make(path, &now) == -1) {
		if (stopped)
			return (give_up("Signal received", path, EX_TEMPFAIL));
		if (errno == EEXIST) {
			tries = TRIES;
			if (!busy(l, path, now))
				return (give_up("Sorry", path, EX_CANTCREAT));
			continue;
		}
		n = strlen(path);
		if (errno == ENAMETOOLONG && n > 1 && path[n - 2] != '/') {
			(void)fprintf(stderr, "lockfile: Truncating \"%s\" and retrying lock\n", path);
			path[n - 1] = '\0';
			continue;
		}
		if (errno == ENAMETOOLONG)
			return (give_up("Filename too long", path, EX_UNAVAILABLE));
		if (!may_pass(errno) || --tries == 0)
			return (give_up("Try praying", path, EX_UNAVAILABLE));
		if (errno == ENOSPC || errno == EDQUOT)
			pause_for(l->sleep);
	}
	vec_push(&l->held, path);
	return (EX_OK);
}

static int
usage(void)
{
	(void)fputs(usage_text, stderr);
	return (EX_USAGE);
}

static bool
find_mailbox(struct locks *l)
{
	const char *hint = getenv("LOGNAME");
	struct os_user u;

	if (l->mailbox[0] != '\0')
		return (true);
	if (!(hint != NULL && os_user_by_name(hint, &u, NULL) == 1 && u.uid == getuid()) &&
	    os_user_by_uid(getuid(), &u, NULL) != 1) {
		(void)fputs("lockfile: Can't determine your mailbox, who are you?\n", stderr);
		return (false);
	}
	(void)snprintf(l->mailbox, sizeof(l->mailbox), "/var/mail/%s.lock", u.name);
	return (true);
}

static int
mailbox(struct locks *l, const char *how)
{
	if ((strcmp(how, "l") != 0 && strcmp(how, "u") != 0) || !find_mailbox(l))
		return (usage());
	if (*how == 'l')
		return (take(l, l->mailbox));
	if (unlink(l->mailbox) == -1)
		(void)fprintf(stderr, "lockfile: Can't unlock \"%s\"\n", l->mailbox);
	else
		l->did = true;
	return (EX_OK);
}

static int
version(struct locks *l)
{
	(void)fprintf(stderr, "lockfile v%s, of vpost\n", PROCMAIL_VERSION_TEXT);
	if (find_mailbox(l))
		(void)fprintf(stderr, "\nYour system mailbox's lockfile:\t%s\n", l->mailbox);
	return (EX_USAGE);
}

/* One word of options. */
static int
options(struct locks *l, char ***argv)
{
	char *p = **argv + 1, *end;
	long *where, n;

	while (*p != '\0') {
		char c = *p;

		if (c == '!') {
			l->invert = !l->invert;
			p++;
			continue;
		}
		if (c == 'v')
			return (version(l));
		if (c == 'm')
			return (mailbox(l, p + 1));
		where = c == 'r' ? &l->retries : c == 'l' ? &l->timeout : c == 's' ? &l->suspend : &l->sleep;
		if (where != &l->sleep && *++p == '\0') {
			if ((*argv)[1] == NULL)
				return (usage());
			p = *++*argv;
		}
		n = procmail_long(p, &end);
		if (end == p || (n < 0 && where != &l->retries && where != &l->timeout))
			return (usage());
		*where = n;
		p = end;
	}
	return (EX_OK);
}

int
main(int argc, char **argv)
{
	static const int caught[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	struct locks l = { .sleep = 8, .retries = -1, .suspend = 16 };
	struct sigaction sa = { .sa_handler = on_signal };
	int rc = EX_OK;

	if (argc <= 1)
		return (usage());
	if (setgid(getgid()) == -1 || setuid(getuid()) == -1 || geteuid() != getuid()) {
		(void)fputs("lockfile: Unable to give up special permissions\n", stderr);
		return (EX_OSERR);
	}
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		(void)sigaction(caught[i], &sa, NULL);
	for (argv++; *argv != NULL && rc == EX_OK; argv++)
		rc = **argv == '-' ? options(&l, &argv) : take(&l, *argv);
	if (rc != EX_OK)
		while (l.held.len > 0)
			(void)unlink(l.held.p[--l.held.len]);
	vec_free(&l.held);
	if (rc == EX_OK && !l.did)
		return (usage());
	if (l.invert && (rc == EX_OK || rc == EX_CANTCREAT))
		rc = rc == EX_OK ? EX_CANTCREAT : EX_OK;
	return (rc);
}
