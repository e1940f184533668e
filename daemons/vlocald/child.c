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

#include "base/codec.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/shared.h"
#include "transport/child.h"
#include "transport/transport.h"
#include "vlocald.h"

#define READ_MIN	65536
#define ANSWERS_MAX	65536
#define FDS_MAX		64

/* What came over the socket and is not done yet. */
struct inbox {
	int		 sock;
	char		*buf;
	size_t		 cap, start, end;
	int		 fds[FDS_MAX];	/* of frames that are not whole yet or not done */
	size_t		 nfds;
};

/* Bytes of the next frame with its length word, as far as that is known. */
static size_t
frame_size(const struct inbox *in)
{
	return (in->end - in->start < 4 ? 4 : (size_t)get_le32((const uint8_t *)in->buf + in->start) + 4);
}

static bool
fill(struct inbox *in, size_t want)
{
	ssize_t n;
	int fd;

	if (in->start > 0) {
		memmove(in->buf, in->buf + in->start, in->end - in->start);
		in->end -= in->start;
		in->start = 0;
	}
	if (in->cap < want || in->cap < READ_MIN) {
		in->cap = want < READ_MIN ? READ_MIN : want;
		in->buf = xrealloc(in->buf, in->cap);
	}
	do
		n = os_recvmsg(in->sock, in->buf + in->end, in->cap - in->end, &fd);
	while (n == -1 && errno == EINTR);
	if (n <= 0 || (fd != -1 && in->nfds == FDS_MAX))
		return (false);
	in->end += (size_t)n;
	if (fd != -1)
		in->fds[in->nfds++] = fd;
	return (true);
}

/* Answers go out together when nothing more is to be done, or before something is waited for. */
static struct {
	int		 sock;
	struct sb	 frames;
} out;

static void
send_answers(void)
{
	if (out.frames.len > 0)
		(void)os_write_full(out.sock, out.frames.p, out.frames.len);
	sb_clear(&out.frames);
}

/* The next frame, which stays until the next call, and its descriptor, which is the caller's, or -1; false at the end. */
static bool
next_frame(struct inbox *in, struct sv *frame, int *fd)
{
	*fd = -1;
	while (in->end - in->start < frame_size(in)) {
		send_answers();
		if (frame_size(in) > IPC_FRAME_MAX + 4 || !fill(in, frame_size(in)))
			return (false);
	}
	*frame = sv_from(in->buf + in->start + 4, frame_size(in) - 4);
	in->start += frame->len + 4;
	if (!ipc_frame_has_fd(*frame))
		return (true);
	if (in->nfds == 0)
		return (false);
	*fd = in->fds[0];
	memmove(in->fds, in->fds + 1, --in->nfds * sizeof(in->fds[0]));
	return (true);
}

/* The descriptor goes with the first byte. */
static void
send_with_fd(struct sb *frame, int fd)
{
	struct iovec iov = { frame->p, 1 };
	ssize_t n;

	ipc_frame_with_fd(frame);
	do
		n = os_sendmsg(out.sock, &iov, 1, fd);
	while (n == -1 && errno == EINTR);
	(void)close(fd);
	if (n == 1)
		(void)os_write_full(out.sock, frame->p + 1, frame->len - 1);
}

/* <r> NULL: it was taken back. */
static void
answer(uint32_t serial, const struct transport_result *r)
{
	struct sb frame = SB_INIT(IPC_FRAME_MAX);

	ipc_begin(&frame, TRANSPORT_IPC_JOB);
	if (r != NULL && !transport_result_put(&frame, r)) {
		struct transport_result plain = *r;

		plain.output = plain.file_text = SV_NULL;
		plain.rcpt_results.n = 0;
		if (r->rcpt_results.n > 0)
			plain.status = TRANSPORT_DEFER;
		ipc_begin(&frame, TRANSPORT_IPC_JOB);
		(void)transport_result_put(&frame, &plain);
	}
	ipc_frame_seal(&frame, serial);
	if (r != NULL && r->changed > 0) {
		send_answers();
		send_with_fd(&frame, r->changed - 1);
		sb_free(&frame);
		return;
	}
	if (out.frames.len + frame.len > ANSWERS_MAX)
		send_answers();
	sb_add(&out.frames, sb_sv(&frame));
	sb_free(&frame);
}

/* What programs may use is this box's to say, not the job's. */
static void
set_limits(struct transport_job *j, const struct box *b, bool shared_uid)
{
	j->cpu = b->local_cpu;
	j->memory = b->local_memory;
	j->processes = b->local_processes;
	j->file_bytes = b->local_file;
	j->shared_uid = shared_uid;
}

static void
limit_self(const struct box *b)
{
	struct rlimit none = { 0, 0 }, file = { (rlim_t)b->local_file, (rlim_t)b->local_file };

	(void)setrlimit(RLIMIT_CORE, &none);
	if (b->local_file > 0)
		(void)setrlimit(RLIMIT_FSIZE, &file);
}

/* Nobody takes back what has begun. */
static bool
begin(_Atomic uint32_t *slot)
{
	uint32_t was = TRANSPORT_SLOT_WAITS;

	return (atomic_compare_exchange_strong(slot, &was, TRANSPORT_SLOT_BEGUN));
}

_Noreturn void
child_main(int sock, int slots_fd, const struct box *b, const struct transport_user *who)
{
	const struct transport_job self = { .uid = who->uid, .gid = who->gid, .user = who->name };
	_Atomic uint32_t *slots = os_shared_map(slots_fd, TRANSPORT_SLOTS_SIZE);
	struct inbox in = { .sock = sock };
	struct arena *a = arena_new(0);
	struct err err = ERR_INIT;
	struct transport_result r;
	struct transport_job j;
	struct ipc_msg m;
	bool become = geteuid() == 0;
	struct sv frame;
	int fd;

	os_title("vlocald: uid %lld for %s", (long long)who->uid, b->root);
	(void)close(slots_fd);
	if (slots == NULL || (become && transport_become(&self, &err) == -1))
		_exit(1);
	limit_self(b);
	out.sock = sock;
	sb_init(&out.frames, 2 * IPC_FRAME_MAX);
	transport_on_wait(send_answers);
	for (unsigned n = 0; next_frame(&in, &frame, &fd); n++) {
		bool mine = begin(&slots[n % TRANSPORT_SLOTS]);

		arena_reset(a);
		memset(&r, 0, sizeof(r));
		if (!ipc_parse(&m, frame) || (mine && (!transport_job_get(&m, a, &j) || (become && j.uid != who->uid))))
			_exit(1);
		if (mine) {
			/* All others wait. */
			if (j.kind != TRANSPORT_PROCMAIL)
				send_answers();
			set_limits(&j, b, !become);
			transport_execute(&j, fd, a, &r);
		}
		if (fd != -1)
			(void)close(fd);
		answer(m.serial, mine ? &r : NULL);
	}
	_exit(0);
}
