/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The spawner: the one process that, started as root, may become users.  It opens neither
 * store nor keys nor messages: a job comes with its content's descriptor from the relay, goes to a child of
 * that user, and the answer goes back.  Children are kept for a while; how many there are at a time is limited, and
 * so is their time.  It never starts anything as root.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "fiber/fiber.h"
#include "log/log.h"
#include "os/fd.h"
#include "os/priv.h"
#include "os/proc.h"
#include "os/signal.h"
#include "os/user.h"
#include "transport/transport.h"
#include "vlocald.h"

#define IDLE_MS		20000		/* a child without work ends */
#define CHILD_JOBS	500		/* and one that did so many */
#define SLACK_S		120		/* of a job, beyond the times of its own options */
#define WAITING_MAX	4096		/* jobs */

struct child {
	struct child	*next;
	pid_t		 pid;
	int		 sock;
	int64_t		 uid, gid;
	char		*user;		/* whose supplementary groups it has; "" none */
	bool		 busy;
	unsigned	 jobs;
	int64_t		 idle_since;
};

struct spawner {
	const struct box *box;
	struct daemon	*daemon;
	struct ipc_server *server;
	struct child	*children;
	unsigned	 n, waiting, in_flight;
	uid_t		 relay_uid;
	struct fiber_waiters room;
	bool		 draining;
};

struct task {
	struct spawner	*s;
	struct ipc_peer	*peer;
	uint32_t	 serial;
	struct sb	 frame;
	int		 fd;
};

/* ---- children ---- */

static void
end_child(struct spawner *s, struct child *c, bool kill_it)
{
	int status = 0;

	for (struct child **p = &s->children; *p != NULL; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	s->n--;
	(void)close(c->sock);
	if (kill_it)
		(void)kill(c->pid, SIGKILL);
	/* At the end of its socket it leaves by itself, at once unless a user stopped it. */
	for (int i = 0; waitpid(c->pid, &status, WNOHANG) == 0; i++) {
		if (i == 50)
			(void)kill(c->pid, SIGKILL);
		(void)fiber_sleep(i < 10 ? 1 : 20);
		if (i > 500)
			break;
	}
	free(c->user);
	free(c);
	fiber_waiters_wake_all(&s->room);
}

static struct child *
start_child(struct spawner *s, const struct transport_job *j, struct err *err)
{
	struct child *c;
	int sv[2];
	pid_t pid;

	if (os_socketpair(sv) == -1) {
		err_sys(err, "socketpair");
		return (NULL);
	}
	log_flush();
	pid = fork();
	if (pid == 0) {
		sigset_t none;

		for (int sig = 1; sig < NSIG; sig++)
			(void)signal(sig, SIG_DFL);
		(void)sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		os_die_with_parent(SIGKILL);
		if (sv[1] != 3)
			(void)dup2(sv[1], 3);
		os_close_from(4);
		(void)os_nonblock(3, false);
		child_main(3, s->box, j);
	}
	(void)close(sv[1]);
	if (pid == -1) {
		err_sys(err, "fork");
		(void)close(sv[0]);
		return (NULL);
	}
	c = xcalloc(1, sizeof(*c));
	c->pid = pid;
	c->sock = sv[0];
	c->uid = j->uid;
	c->gid = j->gid;
	c->user = xstrndup(j->user.p == NULL ? "" : j->user.p, j->user.len);
	c->next = s->children;
	s->children = c;
	s->n++;
	return (c);
}

static struct child *
idle_child(const struct spawner *s, const struct transport_job *j)
{
	for (struct child *c = s->children; c != NULL; c = c->next)
		if (!c->busy && (!os_is_root() || (c->uid == j->uid && c->gid == j->gid && sv_eqs(j->user, c->user))))
			return (c);
	return (NULL);
}

/* One that is idle and somebody else's makes room. */
static bool
make_room(struct spawner *s)
{
	struct child *oldest = NULL;

	for (struct child *c = s->children; c != NULL; c = c->next)
		if (!c->busy && (oldest == NULL || c->idle_since < oldest->idle_since))
			oldest = c;
	if (oldest == NULL)
		return (false);
	oldest->busy = true;
	end_child(s, oldest, false);
	return (true);
}

static struct child *
take_child(struct spawner *s, const struct transport_job *j, struct err *err)
{
	for (;;) {
		struct child *c = idle_child(s, j);

		if (c == NULL && s->n < (unsigned)s->box->local_children && (c = start_child(s, j, err)) == NULL)
			return (NULL);
		if (c != NULL) {
			c->busy = true;
			c->jobs++;
			return (c);
		}
		if (make_room(s))
			continue;
		if (fiber_waiters_wait(&s->room, FIBER_FOREVER) == FIBER_CANCELLED) {
			(void)err_set(err, ERR_TEMP, NULL, "vlocald ends");
			return (NULL);
		}
	}
}

static void
reaper(void *arg)
{
	struct spawner *s = arg;

	while (fiber_sleep(5000) != FIBER_CANCELLED) {
		struct child *c = s->children;

		while (c != NULL && (c->busy || fiber_now() - c->idle_since < IDLE_MS))
			c = c->next;
		if (c == NULL)
			continue;
		c->busy = true;
		end_child(s, c, false);
	}
}

/* ---- talking with one ---- */

static bool
send_all(int sock, const struct sb *frame, int fd, int64_t deadline)
{
	size_t at = 0;

	while (at < frame->len) {
		struct iovec iov = { .iov_base = frame->p + at, .iov_len = frame->len - at };
		ssize_t n = os_sendmsg(sock, &iov, 1, at == 0 ? fd : -1);

		if (n > 0)
			at += (size_t)n;
		else if (n == -1 && errno != EAGAIN && errno != EINTR)
			return (false);
		else if (n == -1 && errno == EAGAIN && fiber_wait_fd(sock, FIBER_WRITE, deadline) != FIBER_READY)
			return (false);
	}
	return (true);
}

/* <n> bytes; false at the end, an error, or the deadline. */
static bool
receive(int sock, char *p, size_t n, int64_t deadline)
{
	while (n > 0) {
		ssize_t k = read(sock, p, n);

		if (k > 0) {
			p += k;
			n -= (size_t)k;
		} else if (k == 0 || (errno != EAGAIN && errno != EINTR))
			return (false);
		else if (errno == EAGAIN && fiber_wait_fd(sock, FIBER_READ, deadline) != FIBER_READY) {
			errno = ETIMEDOUT;
			return (false);
		}
	}
	return (true);
}

static bool
ask(struct child *c, const struct sb *frame, int fd, struct sb *out, int64_t deadline)
{
	unsigned char head[4];
	size_t n;
	char *p;

	sb_clear(out);
	if (!send_all(c->sock, frame, fd, deadline) || !receive(c->sock, (char *)head, sizeof(head), deadline))
		return (false);
	n = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
	if (n > IPC_FRAME_MAX || (p = sb_room(out, n)) == NULL || !receive(c->sock, p, n, deadline))
		return (false);
	sb_took(out, n);
	return (true);
}

/* How long a job may take by its own options. */
static int64_t
job_seconds(const struct transport_job *j)
{
	int64_t t = SLACK_S + j->filter_timeout;
	int64_t locks = (j->lock_retries + 1) * (j->lock_interval > 0 ? j->lock_interval : 1);

	t += j->timeout > 0 ? j->timeout * (j->kind == TRANSPORT_LMTP ? (int64_t)j->rcpts.n + 4 : 1) : 0;
	t += 2 * (locks > 0 && locks < 86400 ? locks : 0);
	if (j->kind == TRANSPORT_PIPE && j->timeout == 0)
		t += 86400;
	return (t > 7 * 86400 ? 7 * 86400 : t);
}

static void
reply_err(struct task *t, const struct err *err)
{
	struct sb r = SB_INIT(4096);

	ipc_begin(&r, TRANSPORT_IPC_JOB);
	ipc_put_err(&r, err);
	(void)ipc_reply(t->peer, t->serial, &r, -1);
	sb_free(&r);
}

static void
work(struct task *t, const struct transport_job *j)
{
	struct spawner *s = t->s;
	struct sb out = SB_INIT(IPC_FRAME_MAX + 64);
	struct err err = ERR_INIT;
	struct child *c = take_child(s, j, &err);
	struct transport_result r;
	struct ipc_msg m;

	if (c == NULL) {
		reply_err(t, &err);
		return;
	}
	if (ask(c, &t->frame, t->fd, &out, fiber_now() + job_seconds(j) * 1000)) {
		struct arena *a = arena_new(0);

		/* A user may have got hold of his child: what it says is looked at before it goes on. */
		if (ipc_parse(&m, sb_sv(&out)) && transport_result_get(&m, a, &r)) {
			struct sb frame = SB_INIT(IPC_FRAME_MAX);

			ipc_begin(&frame, TRANSPORT_IPC_JOB);
			(void)transport_result_put(&frame, &r);
			(void)ipc_reply(t->peer, t->serial, &frame, -1);
			sb_free(&frame);
			c->busy = false;
			c->idle_since = fiber_now();
		} else {
			(void)err_set(&err, ERR_TEMP, "4.3.0", "the delivery process gave a malformed answer");
			reply_err(t, &err);
		}
		arena_free(&a);
	} else {
		(void)err_set(&err, ERR_TEMP, "4.3.0", errno == ETIMEDOUT ? "the delivery process took too long" :
		    "the delivery process ended without an answer");
		reply_err(t, &err);
	}
	sb_free(&out);
	if (c->busy || c->jobs >= CHILD_JOBS || s->draining) {
		bool kill_it = c->busy;

		c->busy = true;
		end_child(s, c, kill_it);
	} else
		fiber_waiters_wake_all(&s->room);
}

/* ---- requests ---- */

static void
task_free(struct task *t)
{
	if (t->fd != -1)
		(void)close(t->fd);
	ipc_peer_unref(&t->peer);
	sb_free(&t->frame);
	t->s->in_flight--;
	free(t);
}

static void
task_main(void *arg)
{
	struct task *t = arg;
	struct arena *a = arena_new(0);
	struct err err = ERR_INIT;
	struct transport_job j;
	struct ipc_msg m;

	if (!ipc_parse(&m, sv_from(t->frame.p + 4, t->frame.len - 4)) || !transport_job_get(&m, a, &j)) {
		(void)err_set(&err, ERR_TEMP, "4.3.0", "a malformed job");
		reply_err(t, &err);
	} else if (os_is_root() && (j.uid <= 0 || j.gid <= 0 || j.uid > UINT32_MAX - 2 || j.gid > UINT32_MAX - 2)) {
		(void)err_set(&err, ERR_TEMP, "4.3.5", "no local delivery runs as root (uid %lld, gid %lld)", (long long)j.uid,
		    (long long)j.gid);
		reply_err(t, &err);
	} else
		work(t, &j);
	arena_free(&a);
	task_free(t);
}

static void
message(void *arg, struct ipc_peer *p, const struct ipc_msg *m, int fd)
{
	struct spawner *s = arg;
	uid_t uid = ipc_peer_uid(p);
	struct task *t;

	if ((uid != s->relay_uid && uid != geteuid()) || m->type != TRANSPORT_IPC_JOB || s->in_flight >= WAITING_MAX) {
		if (fd != -1)
			(void)close(fd);
		log_warn(NULL, "a request that is not for here; its sender is cut off");
		ipc_peer_close(p);
		return;
	}
	t = xcalloc(1, sizeof(*t));
	t->s = s;
	t->peer = ipc_peer_ref(p);
	t->serial = m->serial;
	t->fd = fd;
	sb_init(&t->frame, IPC_FRAME_MAX + 64);
	ipc_begin(&t->frame, TRANSPORT_IPC_JOB);
	sb_add(&t->frame, m->body);
	transport_frame_seal(&t->frame);
	s->in_flight++;
	if (fiber_spawn("job", task_main, t) == NULL) {
		struct err err = ERR_INIT;

		(void)err_set(&err, ERR_TEMP, "4.3.2", "too many fibers");
		reply_err(t, &err);
		task_free(t);
	}
}

static int
start(struct daemon *d, struct err *err)
{
	struct spawner *s = xcalloc(1, sizeof(*s));
	const struct ipc_handler h = { .message = message, .arg = s };
	const char *path;
	struct os_user u;
	int fd;

	s->box = daemon_box(d);
	s->daemon = d;
	s->relay_uid = geteuid();
	path = box_path(s->box, BOX_SOCK_SPAWN);
	daemon_set_data(d, s);
	if ((fd = ipc_listen(path, 0600, err)) == -1)
		return (-1);
	if (os_is_root()) {
		if (os_user_by_name(s->box->user, &u, err) != 1)
			return (err_set(err, ERR_CONFIG, NULL, "there is no user \"%s\"", s->box->user));
		s->relay_uid = u.uid;
		if (chown(path, u.uid, u.gid) == -1)
			return (err_sys(err, "chown %s", path));
	}
	if (fiber_spawn("reaper", reaper, s) == NULL)
		return (err_set(err, ERR_TEMP, NULL, "too many fibers"));
	s->server = ipc_server_new(fd, &h, true, err);
	return (s->server == NULL ? -1 : 0);
}

static void
drain(struct daemon *d)
{
	struct spawner *s = daemon_data(d);

	s->draining = true;
	while (s->in_flight > 0)
		if (fiber_sleep(10) == FIBER_CANCELLED)
			break;
	(void)fiber_sleep(20);
	daemon_worker_done(d);
}

const struct daemon_role vlocald_spawner = { .name = "spawner", .start = start, .drain = drain, .exclusive = true };
