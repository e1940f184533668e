/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ${dlfunc: see dlfunc.h.  The process answers by a pipe: 'E' and the loader's message, or a digit, what the function returned,
 * and its text.
 */
#include "exim/dlfunc.h"

#include <sys/wait.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sb.h"
#include "exim/acl.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/time.h"

#define ARGS_MAX	8
#define TEXT_MAX	(1024 * 1024)
#define WAIT_MS		60000

/* What such a function returns: the values are Exim's. */
enum { DL_OK, DL_DEFER, DL_FAIL, DL_ERROR, DL_FORCED };
typedef int dl_function(unsigned char **yield, int argc, unsigned char *argv[]);

struct job {
	const char	*path, *function;
	char		*argv[ARGS_MAX + 1];
	int		 argc;
	struct sb	 answer;
	bool		 late;
	int		 error;		/* errno: there is no process */
};

/* ---- the process ---- */

static _Noreturn void
say(int fd, char kind, const char *text)
{
	if (os_write_full(fd, &kind, 1) != -1 && text != NULL)
		(void)os_write_full(fd, text, strnlen(text, TEXT_MAX + 1));
	_exit(0);
}

static _Noreturn void
call(const struct job *j, int fd)
{
	unsigned char *yield = NULL;
	dl_function *fn;
	void *object;
	int null = open("/dev/null", O_RDWR), rc;
	sigset_t none;

	/* The function could call root's rights back. */
	if (os_drop_acting(NULL) == -1)
		_exit(1);
	/* A client or user reads what we write there.  What the function starts must not keep us waiting. */
	if (null == -1 || dup2(null, 0) == -1 || dup2(null, 1) == -1 || dup2(fd, 3) == -1 || fcntl(3, F_SETFD, FD_CLOEXEC) == -1)
		_exit(1);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	os_close_from(4);
	fd = 3;
	if ((object = dlopen(j->path, RTLD_LAZY)) == NULL)
		say(fd, 'E', dlerror());
	if ((*(void **)&fn = dlsym(object, j->function)) == NULL)
		say(fd, 'F', dlerror());
	rc = fn(&yield, j->argc, (unsigned char **)(uintptr_t)j->argv);
	say(fd, rc >= DL_OK && rc <= DL_FORCED ? (char)('0' + rc) : '0' + DL_ERROR, (const char *)yield);
}

/* ---- here ---- */

/* All that comes until the end, or the deadline. */
static void
listen_to(struct job *j, int fd)
{
	int64_t deadline = os_mono_ms() + WAIT_MS;
	char buf[4096];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - os_mono_ms();
		ssize_t n;

		j->late = left <= 0;
		if (j->late)
			return;
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n <= 0 && !(n == -1 && errno == EINTR))
			return;
		if (n > 0)
			sb_addn(&j->answer, buf, (size_t)n);
	}
}

static void
run(void *arg)
{
	struct job *j = arg;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1) {
		j->error = errno;
		return;
	}
	pid = fork();
	if (pid == 0)
		call(j, fds[1]);
	j->error = pid == -1 ? errno : 0;
	(void)close(fds[1]);
	if (pid != -1) {
		listen_to(j, fds[0]);
		(void)kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
			continue;
	}
	(void)close(fds[0]);
}

static enum exim_result
judge(struct exim_env *env, const struct job *j, struct sv *out)
{
	struct arena *a = env->arena;
	struct sv v = sb_sv(&j->answer), text = sv_sub(v, 1, v.len);
	int status = v.len > 0 ? v.p[0] - '0' : DL_ERROR;
	struct sv shown = text.len > 0 ? text : SV_LIT("(no message)");

	if (j->error != 0 || j->late || v.len == 0 || j->answer.overflow) {
		const char *why = j->error != 0 ? strerror(j->error) : j->late ? "it took too long" : v.len == 0 ? "it died" :
		    "its text is too long";

		*out = sv_cstr(arena_fmt(a, "dlfunc{%s}{%s}: %s", j->path, j->function, why));
		return (EXIM_FAIL);
	}
	if (v.p[0] == 'E' || v.p[0] == 'F') {
		*out = sv_cstr(v.p[0] == 'E' ? arena_fmt(a, "dlopen \"%s\" failed: " SV_FMT, j->path, SV_ARG(text)) :
		    arena_fmt(a, "dlsym \"%s\" in \"%s\" failed: " SV_FMT, j->function, j->path, SV_ARG(text)));
		exim_env_log(env, EXIM_LOG_MAIN | EXIM_LOG_PANIC, *out);
		return (EXIM_FAIL);
	}
	*out = arena_sv(a, status == DL_OK ? text : shown);
	if (status == DL_DEFER || status == DL_ERROR)
		exim_env_log(env, EXIM_LOG_MAIN | EXIM_LOG_PANIC, sv_cstr(arena_fmt(a, "dlfunc{%s}{%s} failed (%d): " SV_FMT,
		    j->path, j->function, status, SV_ARG(shown))));
	return (status == DL_OK ? EXIM_OK : status == DL_FORCED ? EXIM_FORCED : EXIM_FAIL);
}

enum exim_result
x_dlfunc(struct exim_env *env, const char *path, const char *function, const struct sv *args, size_t n, struct sv *out)
{
	struct job j = { .path = path, .function = function, .answer = SB_INIT(1 + TEXT_MAX) };
	enum exim_result r;
	bool tainted = false;

	for (size_t i = 0; i < n && i < ARGS_MAX; i++) {
		j.argv[j.argc++] = arena_cstr(env->arena, args[i]);
		tainted = tainted || args[i].tainted;
	}
	if (env->world->offload != NULL)
		env->world->offload(env->world->arg, run, &j);
	else
		run(&j);
	r = judge(env, &j, out);
	out->tainted = tainted;
	sb_free(&j.answer);
	return (r);
}
