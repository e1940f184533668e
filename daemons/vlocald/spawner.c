/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The spawner: the one process that, started as root, may become users.  It opens neither
 * store nor keys nor messages: a job comes from vqueued, with its content's descriptor where that is long, goes to a child of
 * that user, and the answer goes back.  Children are kept for a while; how many there are at a time is limited, in all
 * and for each user, and so is their time.  It never starts anything as root.
 *
 * Rules (procmail) are done one after the other by a child that has further ones waiting already, so that a burst of
 * messages costs few system calls.  A word of shared memory says of each job whether the child has begun
 * it: what waits behind one that takes long is taken back and given to another child.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
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
#define CHILD_JOBS	2000		/* and one that did so many */
#define SLACK_S		120		/* of a job, beyond the times of its own options */
#define WAITING_MAX	4096		/* jobs */
#define ROW_MAX		16		/* jobs that wait in a child */
#define ROWS_FULL	2		/* rows of jobs that compute: more children would not make it quicker */
#define STUCK_MS	80		/* without an answer: what waits is taken back */
#define BUSY_MS		1000		/* the same for a child that computes */
#define SLOW_MS		5000		/* so long nothing waits behind jobs of that user then */
#define SLOW_USERS	1024
#define ACCOUNTS	64
#define ACCOUNT_MS	60000
#define TRIES		4		/* of a job that was never begun */

struct task {
	struct spawner	*s;
	struct ipc_peer	*peer;
	uint32_t	 serial;
	struct sb	 frame;
	int		 fd;
	unsigned	 refs;
	uint64_t	 whose;		/* the account, as a number */
	bool		 row;		/* may wait behind others */
};

/* A job in a child, on the stack of the fiber that waits for its answer. */
struct seat {
	struct seat	*next;
	struct task	*t;
	unsigned	 slot;
	bool		 passed_on;	/* taken back, and another fiber has it */
};

struct child {
	struct child	*next;
	pid_t		 pid;
	struct ipc_client *ipc;
	_Atomic uint32_t *slots;	/* CHILD_SLOTS of them, shared with it */
	int64_t		 uid, gid;
	char		*user;		/* whose supplementary groups it has; "" none */
	struct seat	*seats, **last;	/* oldest first */
	unsigned	 load;		/* of these */
	uint64_t	 whose;		/* of the last */
	bool		 alone;		/* with a job behind which nothing waits */
	bool		 broken, ending;
	unsigned	 jobs;
	int64_t		 idle_since;	/* or since when it has not answered */
	int64_t		 suspect;	/* that time when it was last found late */
};

/* An account that was looked up a moment ago. */
struct account {
	int64_t		 until;
	int64_t		 uid, gid;
	char		 user[64];
};

struct spawner {
	const struct box *box;
	struct daemon	*daemon;
	struct ipc_server *server;
	struct child	*children;
	unsigned	 n, in_flight;
	unsigned	 rows;		/* children with more than one job */
	uid_t		 relay_uid;
	struct fiber_waiters room, watch;
	int64_t		 slow_until[SLOW_USERS];
	struct account	 accounts[ACCOUNTS];
	bool		 draining;
};

/* ---- children ---- */

static void
child_free(struct child *c)
{
	(void)munmap((void *)(uintptr_t)c->slots, CHILD_SLOTS * sizeof(*c->slots));
	free(c->user);
	free(c);
}

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
	ipc_client_free(&c->ipc);
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
	child_free(c);
	fiber_waiters_wake_all(&s->room);
}

static _Noreturn void
in_child(int sock, const struct spawner *s, struct child *c, const struct transport_job *j)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	os_die_with_parent(SIGKILL);
	if (sock != 3)
		(void)dup2(sock, 3);
	os_close_from(4);
	(void)os_nonblock(3, false);
	child_main(3, c->slots, s->box, j);
}

static struct child *
start_child(struct spawner *s, const struct transport_job *j, struct err *err)
{
	struct child *c = xcalloc(1, sizeof(*c));
	int sv[2];
	void *p = mmap(NULL, CHILD_SLOTS * sizeof(*c->slots), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	c->slots = p == MAP_FAILED ? NULL : p;
	if (c->slots == NULL || os_socketpair(sv) == -1) {
		err_sys(err, "make a delivery process");
		child_free(c);
		return (NULL);
	}
	log_flush();
	c->pid = fork();
	if (c->pid == 0)
		in_child(sv[1], s, c, j);
	(void)close(sv[1]);
	if (c->pid == -1 || (c->ipc = ipc_client_new_fd(sv[0], "the delivery process")) == NULL) {
		err_sys(err, "fork");
		if (c->pid == -1)
			(void)close(sv[0]);
		else
			(void)kill(c->pid, SIGKILL), (void)waitpid(c->pid, NULL, 0);
		child_free(c);
		return (NULL);
	}
	c->last = &c->seats;
	c->uid = j->uid;
	c->gid = j->gid;
	c->user = xstrndup(j->user.p == NULL ? "" : j->user.p, j->user.len);
	c->next = s->children;
	s->children = c;
	s->n++;
	return (c);
}

static int64_t *
slow(struct spawner *s, uint64_t whose)
{
	return (&s->slow_until[whose % SLOW_USERS]);
}

/* One of this user that is idle, or into whose row this one may go; *<full>: how many rows are full. */
static struct child *
fitting_child(struct spawner *s, const struct task *t, const struct transport_job *j, unsigned *full)
{
	bool row = t->row && *slow(s, t->whose) <= fiber_now();
	struct child *idle = NULL;

	*full = 0;
	for (struct child *c = s->children; c != NULL; c = c->next) {
		if (c->broken || c->ending || c->jobs >= CHILD_JOBS || (os_is_root() && (c->uid != j->uid || c->gid != j->gid || !sv_eqs(j->user, c->user))))
			continue;
		if (c->load == 0 && ipc_client_connected(c->ipc))
			idle = c;
		else if (row && c->load > 0 && !c->alone && *slow(s, c->whose) <= fiber_now()) {
			if (c->load < ROW_MAX)
				return (c);
			++*full;
		}
	}
	return (idle);
}

/* One that is idle and somebody else's makes room. */
static bool
make_room(struct spawner *s)
{
	struct child *oldest = NULL;

	for (struct child *c = s->children; c != NULL; c = c->next)
		if (c->load == 0 && !c->ending && (oldest == NULL || c->idle_since < oldest->idle_since))
			oldest = c;
	if (oldest == NULL)
		return (false);
	oldest->ending = true;
	end_child(s, oldest, false);
	return (true);
}

/* Does the account keep as many children busy as one may? */
static bool
has_share(const struct spawner *s, uint64_t whose)
{
	unsigned n = 0, most = (unsigned)s->box->local_children / 4;

	for (const struct child *c = s->children; c != NULL; c = c->next)
		n += c->load > 0 && c->whose == whose;
	return (n >= (most < 1 ? 1 : most));
}

static struct child *
take_child(struct spawner *s, const struct task *t, const struct transport_job *j, struct err *err)
{
	for (;;) {
		unsigned full;
		struct child *c = fitting_child(s, t, j, &full);
		bool more = (c == NULL || c->load == 0) && (full >= ROWS_FULL || has_share(s, t->whose));

		if (!more && c == NULL && s->n < (unsigned)s->box->local_children && (c = start_child(s, j, err)) == NULL)
			return (NULL);
		if (!more && c != NULL)
			return (c);
		if (!more && make_room(s))
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

		while (c != NULL && (c->load > 0 || c->ending ||
		    (fiber_now() - c->idle_since < IDLE_MS && ipc_client_connected(c->ipc))))
			c = c->next;
		if (c == NULL)
			continue;
		c->ending = true;
		end_child(s, c, false);
	}
}

/* ---- rows ---- */

static void task_main(void *arg);

static void
take_seat(struct spawner *s, struct child *c, struct seat *p)
{
	p->slot = c->jobs++ % CHILD_SLOTS;
	atomic_store(&c->slots[p->slot], CHILD_JOB_WAITS);
	*c->last = p;
	c->last = &p->next;
	if (c->load++ == 0)
		c->idle_since = fiber_now();
	if (c->load == 2 && s->rows++ == 0)
		fiber_waiters_wake_all(&s->watch);
	c->whose = p->t->whose;
	c->alone = !p->t->row;
}

static void
leave_seat(struct spawner *s, struct child *c, const struct seat *seat)
{
	for (struct seat **p = &c->seats; *p != NULL; p = &(*p)->next)
		if (*p == seat) {
			if ((*p = seat->next) == NULL)
				c->last = p;
			break;
		}
	s->rows -= c->load-- == 2;
	c->idle_since = fiber_now();
}

/* True if it was not begun, and now will not be. */
static bool
take_back(struct child *c, const struct seat *p)
{
	uint32_t was = CHILD_JOB_WAITS;

	return (atomic_compare_exchange_strong(&c->slots[p->slot], &was, CHILD_JOB_TAKEN_BACK) || was == CHILD_JOB_TAKEN_BACK);
}

/* Its oldest job takes long: others do what waits behind it.  Where the child only wants a processor, that would not help. */
static void
clear_row(struct spawner *s, struct child *c)
{
	if (atomic_load(&c->slots[c->seats->slot]) != CHILD_JOB_BEGUN ||
	    (fiber_now() - c->idle_since < BUSY_MS && os_proc_runs(c->pid)))
		return;
	*slow(s, c->seats->t->whose) = fiber_now() + SLOW_MS;
	for (struct seat *p = c->seats->next; p != NULL; p = p->next) {
		if (p->passed_on || !take_back(c, p))
			continue;
		/* Without a fiber it is done again when the child gets there. */
		p->t->refs++;
		p->passed_on = fiber_spawn("job", task_main, p->t) != NULL;
		if (!p->passed_on)
			p->t->refs--;
	}
}

static void
watcher(void *arg)
{
	struct spawner *s = arg;

	for (;;) {
		if (s->rows == 0 && fiber_waiters_wait(&s->watch, FIBER_FOREVER) == FIBER_CANCELLED)
			return;
		if (fiber_sleep(STUCK_MS / 2) == FIBER_CANCELLED)
			return;
		for (struct child *c = s->children; c != NULL; c = c->next)
			if (c->load > 1 && fiber_now() - c->idle_since >= STUCK_MS) {
				/* Not at first sight: its answer may be there and not be read, where we were not given time. */
				if (c->suspect == c->idle_since)
					clear_row(s, c);
				c->suspect = c->idle_since;
			}
	}
}

/* ---- one job ---- */

/* How long a job may take by its own options. */
static int64_t
job_seconds(const struct transport_job *j)
{
	int64_t t = SLACK_S + j->filter_timeout;
	int64_t locks = (j->lock_retries + 1) * (j->lock_interval > 0 ? j->lock_interval : 1);

	t += j->timeout > 0 ? j->timeout * (j->kind == TRANSPORT_LMTP ? (int64_t)j->rcpts.n + 4 : 1) : 0;
	t += 2 * (locks > 0 && locks < 86400 ? locks : 0);
	if ((j->kind == TRANSPORT_PIPE || j->kind == TRANSPORT_PROCMAIL) && j->timeout == 0)
		t += 86400;
	return (t > 7 * 86400 ? 7 * 86400 : t);
}

static void
reply_err(struct task *t, const char *text)
{
	struct sb r = SB_INIT(4096);
	struct err err = ERR_INIT;

	(void)err_set(&err, ERR_TEMP, "4.3.0", "%s", text);
	ipc_begin(&r, TRANSPORT_IPC_JOB);
	ipc_put_err(&r, &err);
	(void)ipc_reply(t->peer, t->serial, &r, -1);
	sb_free(&r);
}

/* A user may have got hold of his child: what it says is looked at before it goes on. */
static bool
pass_answer(struct task *t, const struct ipc_msg *m)
{
	struct arena *a = arena_new(0);
	struct sb frame = SB_INIT(IPC_FRAME_MAX + 64);
	struct transport_result r;
	bool ok = m->type == TRANSPORT_IPC_JOB && transport_result_get(m, a, &r);

	if (ok) {
		ipc_begin(&frame, TRANSPORT_IPC_JOB);
		sb_add(&frame, m->body);
		(void)ipc_reply(t->peer, t->serial, &frame, -1);
	}
	sb_free(&frame);
	arena_free(&a);
	return (ok);
}

enum outcome { OVER, AGAIN };

/* Have <c> do it.  AGAIN: it was not begun, nor will it be, and nobody else has it. */
static enum outcome
have_done(struct task *t, struct child *c, const struct transport_job *j)
{
	struct spawner *s = t->s;
	struct seat seat = { .t = t };
	struct err err = ERR_INIT;
	struct ipc_msg m;
	enum outcome o = OVER;
	int rc;

	take_seat(s, c, &seat);
	rc = ipc_call(c->ipc, &t->frame, t->fd, &m, NULL, fiber_now() + job_seconds(j) * 1000, &err);
	if (atomic_load(&c->slots[seat.slot]) == CHILD_JOB_TAKEN_BACK || (rc == -1 && take_back(c, &seat))) {
		o = seat.passed_on ? OVER : AGAIN;
	} else if (rc == -1) {
		reply_err(t, ipc_client_connected(c->ipc) ? "the delivery process took too long" :
		    "the delivery process ended without an answer");
	} else if (!pass_answer(t, &m)) {
		reply_err(t, "the delivery process gave a malformed answer");
		c->broken = true;
	}
	if (rc == 0)
		ipc_msg_free(&m);
	c->broken = c->broken || rc == -1;
	leave_seat(s, c, &seat);
	return (o);
}

/* <c> had an answer, or none: is it fit for more? */
static void
let_go(struct spawner *s, struct child *c)
{
	bool kill_it = c->broken;

	fiber_waiters_wake_all(&s->room);
	if (!c->broken && c->jobs < CHILD_JOBS && !s->draining)
		return;
	if (c->broken)
		(void)kill(c->pid, SIGKILL);
	/* The last of its row ends it. */
	if (c->load > 0 || c->ending)
		return;
	c->ending = true;
	end_child(s, c, kill_it);
}

static void
work(struct task *t, const struct transport_job *j)
{
	struct err err = ERR_INIT;

	for (int i = 0; i < TRIES; i++) {
		struct child *c = take_child(t->s, t, j, &err);
		enum outcome o;

		if (c == NULL) {
			reply_err(t, err.text);
			return;
		}
		o = have_done(t, c, j);
		let_go(t->s, c);
		if (o == OVER)
			return;
	}
	reply_err(t, "the delivery process ended before its work was begun");
}

/* ---- requests ---- */

static void
task_unref(struct task *t)
{
	if (--t->refs > 0)
		return;
	if (t->fd != -1)
		(void)close(t->fd);
	ipc_peer_unref(&t->peer);
	sb_free(&t->frame);
	t->s->in_flight--;
	free(t);
}

static uint64_t
account_number(struct sv name)
{
	uint64_t n = 14695981039346656037u;

	for (size_t i = 0; i < name.len; i++)
		n = (n ^ (unsigned char)name.p[i]) * 1099511628211u;
	return (n);
}

/*
 * Who asks may have been taken over: he can name accounts, but not put them together as he likes.  The groups of an
 * account are its own, or those of the setting local_groups.
 */
static bool
in_group(const struct spawner *s, const struct os_user *u, bool known, gid_t gid)
{
	struct sv rest = sv_cstr(s->box->local_groups), name;
	char buf[64];
	gid_t other;

	if (known ? u->gid == gid || os_user_in_group(u->name, gid) : u->uid == gid)
		return (true);
	while (sv_next(&rest, ':', &name)) {
		(void)snprintf(buf, sizeof(buf), SV_FMT, SV_ARG(sv_trim(name)));
		if (os_group_by_name(buf, &other, NULL) == 1 && other == gid)
			return (true);
	}
	return (false);
}

static bool
may_become(struct spawner *s, const struct transport_job *j)
{
	struct account *k = &s->accounts[(uint64_t)j->uid % ACCOUNTS];
	struct os_user u = { .uid = (uid_t)j->uid }, named;
	char user[sizeof(k->user)];
	bool known;

	if (j->uid <= 0 || j->gid <= 0 || j->uid > UINT32_MAX - 2 || j->gid > UINT32_MAX - 2 || j->user.len >= sizeof(user))
		return (false);
	(void)snprintf(user, sizeof(user), SV_FMT, SV_ARG(j->user));
	if (k->until > fiber_now() && k->uid == j->uid && k->gid == j->gid && strcmp(k->user, user) == 0)
		return (true);
	known = os_user_by_uid((uid_t)j->uid, &u, NULL) == 1;
	if ((user[0] != '\0' && (os_user_by_name(user, &named, NULL) != 1 || named.uid != (uid_t)j->uid)) ||
	    !in_group(s, &u, known, (gid_t)j->gid))
		return (false);
	*k = (struct account){ .until = fiber_now() + ACCOUNT_MS, .uid = j->uid, .gid = j->gid };
	memcpy(k->user, user, sizeof(user));
	return (true);
}

static void
task_main(void *arg)
{
	struct task *t = arg;
	struct arena *a = arena_new(0);
	struct transport_job j;
	struct ipc_msg m;

	if (!ipc_parse(&m, sv_from(t->frame.p + 4, t->frame.len - 4)) || !transport_job_get(&m, a, &j)) {
		reply_err(t, "a malformed job");
	} else if (os_is_root() && !may_become(t->s, &j)) {
		log_warn(NULL, "no delivery as uid %lld, gid %lld, user \"" SV_FMT "\": root, or not a group of that account's (local_groups)",
		    (long long)j.uid, (long long)j.gid, SV_ARG(j.user));
		reply_err(t, "no local delivery runs as root, nor with a group that is not the account's (see local_groups in vpost.conf(5))");
	} else {
		t->row = j.kind == TRANSPORT_PROCMAIL;
		t->whose = account_number(j.home.len > 0 ? j.home : j.local_part);
		work(t, &j);
	}
	arena_free(&a);
	task_unref(t);
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
	t->refs = 1;
	sb_init(&t->frame, IPC_FRAME_MAX + 64);
	ipc_begin(&t->frame, TRANSPORT_IPC_JOB);
	sb_add(&t->frame, m->body);
	s->in_flight++;
	if (fiber_spawn("job", task_main, t) == NULL) {
		reply_err(t, "too many fibers");
		task_unref(t);
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
	if (os_is_root()) {
		if (os_user_by_name(s->box->user, &u, err) != 1)
			return (err_set(err, ERR_CONFIG, NULL, "there is no user \"%s\"", s->box->user));
		s->relay_uid = u.uid;
		if (os_act_as(u.uid, u.gid, err) == -1)
			return (-1);
	}
	fd = ipc_listen(path, 0600, err);
	os_act_back();
	if (fd == -1)
		return (-1);
	if (fiber_spawn("reaper", reaper, s) == NULL || fiber_spawn("watcher", watcher, s) == NULL)
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
