/* SPDX-License-Identifier: BSD-2-Clause */
/* The process itself: see proc.h. */
#include <sys/resource.h>

#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <malloc.h>
#endif

#include "base/arena.h"
#include "base/num.h"
#include "base/sv.h"
#include "os/proc.h"

#ifdef __linux__

static char *title_area;
static size_t title_size;
extern char **environ;

void
os_title_init(int argc, char **argv)
{
	char *end = argv[0] + strlen(argv[0]) + 1;
	size_t n = 0;
	char **env;

	if (argc == 0 || title_area != NULL)
		return;
	for (int i = 1; i < argc; i++)
		if (argv[i] == end)
			end = argv[i] + strlen(argv[i]) + 1;
	for (n = 0; environ[n] != NULL; n++)
		if (environ[n] == end)
			end = environ[n] + strlen(environ[n]) + 1;
	env = xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++)
		env[i] = xstrdup(environ[i]);
	/* The arguments stay readable for the caller as copies; they and the environment live as long as the process. */
	for (int i = 1; i < argc; i++)
		argv[i] = xstrdup(argv[i]);
	environ = env;
	title_area = argv[0];
	title_size = (size_t)(end - argv[0]);
}

void
os_title(const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int n;

	if (title_area == NULL)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	memset(title_area, 0, title_size);
	(void)snprintf(title_area, title_size, "%s", text);
}

void
os_die_with_parent(int sig)
{
	(void)prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0);
}

#else

void
os_title_init(int argc, char **argv)
{
	(void)argc;
	(void)argv;
}

void
os_title(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	setproctitle("-%s", text);
}

void
os_die_with_parent(int sig)
{
	(void)sig;
}

#endif

void
os_malloc_tune(void)
{
#ifdef M_ARENA_MAX
	/* Threads of offloaded jobs share arenas instead of keeping one each. */
	(void)mallopt(M_ARENA_MAX, 2);
#endif
}

long
os_raise_nofile(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return (-1);
	if (rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
	return (rl.rlim_cur == RLIM_INFINITY ? 1048576 : (long)rl.rlim_cur);
}

void
os_core_dumps(bool on)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_CORE, &rl) == -1)
		return;
	rl.rlim_cur = on ? rl.rlim_max : 0;
	(void)setrlimit(RLIMIT_CORE, &rl);
}

/* The first name with a dot that /etc/hosts gives for <name>; resolvers are not asked. */
static bool
hosts_fqdn(const char *name, char *buf, size_t size)
{
	FILE *f = fopen("/etc/hosts", "re");
	char line[1024];
	bool found = false;

	while (!found && f != NULL && fgets(line, sizeof(line), f) != NULL) {
		struct sv rest = sv_from(line, strcspn(line, "#\r\n")), w, fqdn = SV_NULL;
		bool mine = false;

		/* The address, then names. */
		(void)sv_word(&rest, &w);
		while (sv_word(&rest, &w)) {
			mine = mine || sv_eqs(w, name);
			if (fqdn.len == 0 && sv_chr(w, '.') != -1)
				fqdn = w;
		}
		if (mine && fqdn.len > 0) {
			(void)snprintf(buf, size, SV_FMT, SV_ARG(fqdn));
			found = true;
		}
	}
	if (f != NULL)
		(void)fclose(f);
	return (found);
}

void
os_hostname(char *buf, size_t size)
{
	char name[256];

	if (gethostname(name, sizeof(name)) == -1 || name[0] == '\0')
		(void)snprintf(name, sizeof(name), "localhost");
	name[sizeof(name) - 1] = '\0';
	if (strchr(name, '.') != NULL || !hosts_fqdn(name, buf, size))
		(void)snprintf(buf, size, "%s", name);
}

bool
os_self_path(char *buf, size_t size)
{
#ifdef __linux__
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);
#else
	ssize_t n = readlink("/proc/curproc/file", buf, size - 1);
#endif
	if (n <= 0)
		return (false);
	buf[n] = '\0';
	return (true);
}

static char
state(pid_t pid)
{
	char path[64], text[512];
	const char *p;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return ('\0');
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	/* The name stands in brackets and may hold anything. */
	p = strrchr(text, ')');
	return (p != NULL && p[1] == ' ' ? p[2] : '\0');
}

bool
os_proc_runs(pid_t pid)
{
	return (state(pid) == 'R');
}

bool
os_proc_stopped(pid_t pid)
{
	return (state(pid) == 'T');
}

long
os_tasks(void)
{
	char buf[128];
	int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? -1 : read(fd, buf, sizeof(buf));
	struct sv all = n <= 0 ? SV_NULL : sv_from(buf, (size_t)n), count;
	int64_t tasks;

	if (fd != -1)
		(void)close(fd);
	/* "0.10 0.20 0.30 running/all last" */
	if (!sv_next(&all, '/', &count) || !sv_word(&all, &count) || !num_parse(count, 0, INT32_MAX, &tasks))
		return (0);
	return ((long)tasks);
}

long
os_process_limit(long more)
{
	long all = more > 0 ? os_tasks() : 0;

	return (more <= 0 || more > LONG_MAX / 4 ? more : more + (all < 3 * more ? all : 3 * more));
}
