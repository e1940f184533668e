/* SPDX-License-Identifier: BSD-2-Clause */
/* transport_filter for transports that do not run in a child: the program alone gets one, as the job's user. */
#include <sys/wait.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/file.h"
#include "transport/transport_int.h"

static _Noreturn void
child(const struct transport_job *j, int fd, FILE *out, struct arena *a, int answer)
{
	struct transport_result r;
	struct exec x = { .j = j, .a = a, .r = &r };
	struct err err = ERR_INIT;

	memset(&r, 0, sizeof(r));
	x.c = (struct mbox_content){ .head = j->header, .fd = fd, .off = (uint64_t)j->off, .len = (uint64_t)j->len };
	if (transport_become(j, &err) == -1)
		(void)transport_fail(&r, a, TRANSPORT_DEFER, TRANSPORT_E_UID, "%s", err.text);
	else if (exec_filter(&x, out) == 0)
		_exit(0);
	(void)os_write_full(answer, r.text.p, r.text.len);
	_exit(1);
}

int
transport_filter(const struct transport_job *j, int fd, FILE *out, struct arena *a, struct transport_result *r)
{
	char text[2048];
	ssize_t n;
	int p[2], status = -1;
	pid_t pid;

	memset(r, 0, sizeof(*r));
	if (os_pipe(p, false) == -1)
		return (transport_fail(r, a, TRANSPORT_DEFER, errno, "pipe"));
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)close(p[0]);
		child(j, fd, out, a, p[1]);
	}
	(void)close(p[1]);
	n = pid == -1 ? 0 : os_read_full(p[0], text, sizeof(text));
	(void)close(p[0]);
	if (pid == -1)
		return (transport_fail(r, a, TRANSPORT_DEFER, errno, "fork"));
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		continue;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return (0);
	return (transport_fail(r, a, TRANSPORT_DEFER, TRANSPORT_E_FILTER, "%.*s", n > 0 ? (int)n : 30,
	    n > 0 ? text : "transport filter process failed"));
}
