/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LD_PRELOAD shim that makes single system calls fail or take their time, switched from outside while the daemons run.
 *
 *	FAULT_FILE	one rule a line, read at each call that may be meant: "CALL PATTERN PROGRAM WHAT"
 *			CALL: open, fdatasync, fsync, write, pwrite, socket, link, rename, unlink; PATTERN: part of the file's
 *			path, of link and rename the new one ("-": any); PROGRAM: part of the process's name ("-": any); WHAT: the
 *			error's number, "wait": sleep while the rule stands, or "kill": the process ends before it does that
 */
#include <sys/socket.h>
#include <sys/types.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char rules[4096];

__attribute__((constructor)) static void
init(void)
{
	const char *p = getenv("FAULT_FILE");

	if (p != NULL)
		(void)snprintf(rules, sizeof(rules), "%s", p);
}

#define REAL(name)	((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int
real_open(const char *path)
{
	return (REAL(open)(path, O_RDONLY | O_CLOEXEC));
}

static bool
my_name(char *name, size_t size)
{
	int fd = real_open("/proc/self/comm"), n;

	n = fd == -1 ? -1 : (int)read(fd, name, size - 1);
	if (fd != -1)
		(void)close(fd);
	name[n < 0 ? 0 : n] = '\0';
	return (n > 0);
}

/* 0: let it pass; else the error's number, or -1: wait. */
static int
rule(const char *call, const char *path)
{
	char text[2048], name[64], *save = NULL;
	int fd = rules[0] == '\0' ? -1 : real_open(rules);
	ssize_t n = fd == -1 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd != -1)
		(void)close(fd);
	if (n <= 0)
		return (0);
	text[n] = '\0';
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char c[32], pat[256], prog[64], what[32];

		if (sscanf(line, "%31s %255s %63s %31s", c, pat, prog, what) != 4 || strcmp(c, call) != 0 ||
		    (strcmp(pat, "-") != 0 && strstr(path, pat) == NULL) ||
		    (strcmp(prog, "-") != 0 && (!my_name(name, sizeof(name)) || strstr(name, prog) == NULL)))
			continue;
		if (strcmp(what, "kill") == 0)
			(void)kill(getpid(), SIGKILL);
		return (strcmp(what, "wait") == 0 ? -1 : (int)strtol(what, NULL, 10));
	}
	return (0);
}

static bool
fails(const char *call, const char *path)
{
	int e;

	while ((e = rule(call, path)) == -1)
		(void)usleep(20000);
	errno = e;
	return (e != 0);
}

static bool
fd_fails(const char *call, int fd)
{
	char link[64], path[4096];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	return (fails(call, path));
}

int
open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = (mode_t)va_arg(ap, int);
	va_end(ap);
	return (fails("open", path) ? -1 : REAL(open)(path, flags, mode));
}

int
open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = (mode_t)va_arg(ap, int);
	va_end(ap);
	return (fails("open", path) ? -1 : REAL(open)(path, flags, mode));
}

int
fdatasync(int fd)
{
	return (fd_fails("fdatasync", fd) ? -1 : REAL(fdatasync)(fd));
}

int
fsync(int fd)
{
	return (fd_fails("fsync", fd) ? -1 : REAL(fsync)(fd));
}

ssize_t
write(int fd, const void *p, size_t n)
{
	return (fd_fails("write", fd) ? -1 : REAL(write)(fd, p, n));
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t off)
{
	return (fd_fails("pwrite", fd) ? -1 : REAL(pwrite)(fd, p, n, off));
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t off)
{
	return (fd_fails("pwrite", fd) ? -1 : REAL(pwrite64)(fd, p, n, off));
}

int
link(const char *from, const char *to)
{
	return (fails("link", to) ? -1 : REAL(link)(from, to));
}

int
rename(const char *from, const char *to)
{
	return (fails("rename", to) ? -1 : REAL(rename)(from, to));
}

int
unlink(const char *path)
{
	return (fails("unlink", path) ? -1 : REAL(unlink)(path));
}

int
socket(int domain, int type, int protocol)
{
	return (domain != AF_UNIX && (type & SOCK_STREAM) != 0 && fails("socket", "-") ? -1 : REAL(socket)(domain, type, protocol));
}
