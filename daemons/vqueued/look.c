/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that routing looks at.  In a box that root started we are not root any more, and users' homes may be closed to us: then
 * the user's own process looks (vlocald's spawner starts it).  Where nothing is closed, and where all is one uid's, that
 * costs nothing.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/file.h"
#include "os/user.h"
#include "os/watch.h"
#include "transport/transport.h"
#include "vqueued_int.h"

#define NO_ANSWER_MS	60000	/* so long a user whose process did not answer is not asked again */
#define NO_ANSWER_USERS	64

static int64_t *
silent(struct vq *vq, uid_t uid)
{
	static int64_t until[NO_ANSWER_USERS];

	(void)vq;
	return (&until[uid % NO_ANSWER_USERS]);
}

static int
ask(struct vq *vq, const struct transport_job *j, struct arena *a, struct sv *out, struct stat *st)
{
	struct sb frame = SB_INIT(65536);
	struct transport_result r = { 0 };
	struct ipc_msg reply = { 0 };
	struct err err = ERR_INIT;
	int rc = -1, e = EIO;

	ipc_begin(&frame, TRANSPORT_IPC_JOB);
	if (transport_job_put(&frame, j) && (rc = children_do(vq, j, &frame, -1, a, &reply, &r, &err)) == 0) {
		rc = transport_look_answer(&r, j->message_size, a, out, st);
		e = errno;
	} else if (rc == -1) {
		log_warn(NULL, "a look at " SV_FMT " as uid %lld: %s", SV_ARG(j->path), (long long)j->uid, err.text);
		*silent(vq, (uid_t)j->uid) = fiber_now() + NO_ANSWER_MS;
	}
	if (r.changed > 0)
		(void)close(r.changed - 1);
	ipc_msg_free(&reply);
	sb_free(&frame);
	errno = e;
	return (rc == 0 ? 0 : -1);
}

/* <max> as in transport_look_job().  Without an answer EIO: the mail waits, and no rules are passed over. */
static int
as_user(struct vq *vq, const char *path, int64_t max, struct arena *a, struct sv *out, struct stat *st)
{
	struct arena *own = NULL;
	struct transport_job j;
	struct stat owner;
	struct os_user u;
	int64_t gid;
	int rc, e;

	if (fiber_self() == NULL || !os_closed_owner(path, &owner)) {
		errno = EACCES;
		return (-1);
	}
	gid = os_user_by_uid(owner.st_uid, &u, NULL) == 1 ? (int64_t)u.gid : (int64_t)owner.st_gid;
	if (*silent(vq, owner.st_uid) > fiber_now()) {
		errno = EIO;
		return (-1);
	}
	if (a == NULL)
		a = own = arena_new(0);
	transport_look_job(&j, owner.st_uid, gid, sv_cstr(path), max);
	/* A share of its own: what keeps the user's other processes busy must not keep others' mail from being routed. */
	j.local_part = sv_cstr(arena_fmt(a, "look/%lld", (long long)owner.st_uid));
	rc = ask(vq, &j, a, out, st);
	e = errno;
	arena_free(&own);
	errno = e;
	return (rc);
}

int
look_stat(void *arg, const char *path, bool follow, struct stat *st)
{
	struct vq *vq = arg;
	int rc = follow ? os_watch_stat(vq->watch, path, st) : lstat(path, st);

	if (rc == -1 && errno == EACCES)
		rc = as_user(vq, path, follow ? 0 : -1, NULL, NULL, st);
	return (rc);
}

int
look_readfile(void *arg, const char *path, size_t max, struct arena *a, struct sv *out, struct stat *st)
{
	struct vq *vq = arg;
	struct stat own;
	int rc = vq->readfile(arg, path, max, a, out, st);

	if (rc == -1 && errno == EACCES)
		rc = as_user(vq, path, (int64_t)max, a, out, st != NULL ? st : &own);
	return (rc);
}
