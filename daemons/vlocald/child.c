/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A user's child: it has become the user, knows nothing but its socket, and does one job
 * after another until it is told nothing more.  It may be killed at any time.
 */
#include <sys/resource.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "transport/transport.h"
#include "vlocald.h"

/* One whole frame and the descriptor that came with its first byte; false at the end. */
static bool
read_frame(int sock, struct sb *frame, int *fd)
{
	unsigned char head[4];
	size_t want;
	ssize_t n;
	char *p;

	*fd = -1;
	do
		n = os_recvmsg(sock, head, sizeof(head), fd);
	while (n == -1 && errno == EINTR);
	if (n <= 0)
		return (false);
	if (n < 4 && os_read_full(sock, head + n, (size_t)(4 - n)) != 4 - n)
		return (false);
	want = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
	sb_clear(frame);
	if (want > IPC_FRAME_MAX || (p = sb_room(frame, want)) == NULL || os_read_full(sock, p, want) != (ssize_t)want)
		return (false);
	sb_took(frame, want);
	return (true);
}

static void
answer(int sock, const struct transport_result *r)
{
	struct sb frame = SB_INIT(IPC_FRAME_MAX);

	ipc_begin(&frame, TRANSPORT_IPC_JOB);
	if (!transport_result_put(&frame, r)) {
		struct transport_result plain = *r;

		plain.output = plain.file_text = SV_NULL;
		plain.rcpt_results.n = 0;
		if (r->rcpt_results.n > 0)
			plain.status = TRANSPORT_DEFER;
		ipc_begin(&frame, TRANSPORT_IPC_JOB);
		(void)transport_result_put(&frame, &plain);
	}
	transport_frame_seal(&frame);
	(void)os_write_full(sock, frame.p, frame.len);
	sb_free(&frame);
}

/* What programs may use is this box's to say, not the job's. */
static void
set_limits(struct transport_job *j, const struct box *b)
{
	j->cpu = b->local_cpu;
	j->memory = b->local_memory;
	j->processes = b->local_processes;
	j->file_bytes = b->local_file;
}

static void
limit_self(const struct box *b)
{
	struct rlimit none = { 0, 0 }, file = { (rlim_t)b->local_file, (rlim_t)b->local_file };

	(void)setrlimit(RLIMIT_CORE, &none);
	if (b->local_file > 0)
		(void)setrlimit(RLIMIT_FSIZE, &file);
}

_Noreturn void
child_main(int sock, const struct box *b, const struct transport_job *first)
{
	struct sb frame = SB_INIT(IPC_FRAME_MAX + 64);
	struct arena *a = arena_new(0);
	struct err err = ERR_INIT;
	struct transport_result r;
	struct transport_job j;
	struct ipc_msg m;
	bool become = geteuid() == 0;
	int fd;

	os_title("vlocald: uid %lld for %s", (long long)first->uid, b->root);
	if (become && transport_become(first, &err) == -1)
		_exit(1);
	limit_self(b);
	while (read_frame(sock, &frame, &fd)) {
		arena_reset(a);
		memset(&r, 0, sizeof(r));
		if (!ipc_parse(&m, sb_sv(&frame)) || !transport_job_get(&m, a, &j) || (become && j.uid != first->uid))
			_exit(1);
		set_limits(&j, b);
		transport_execute(&j, fd, a, &r);
		if (fd != -1)
			(void)close(fd);
		answer(sock, &r);
	}
	_exit(0);
}
