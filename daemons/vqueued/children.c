/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processes that deliver as users: vlocald's spawner starts them for us, jobs and answers go between them and us.  They
 * are kept for a while; how many there are at a time is limited, in all and for each account, and so is the time
 * of a job.
 *
 * Rules (procmail) are done one after the other by a child that has further ones waiting already, so that a burst of
 * messages costs few system calls.  A word of shared memory says of each job whether the child has begun
 * it: what waits behind one that takes long is taken back and given to another child.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log/log.h"
#include "os/proc.h"
#include "os/shared.h"
#include "transport/child.h"
#include "transport/transport.h"
#include "vqueued_int.h"

#define IDLE_MS		20000		/* a child without work ends */
#define LOOK_MS		1000
#define CHILD_JOBS	5000		/* and one that did so many */
#define STOPPED_MS	30000		/* a child that is stopped so long is killed */
#define START_MS	30000
#define LOOK_S		10		/* of a look at a file or a quota, the wait for a process included */
#define SLACK_S		120		/* of a job, beyond the times of its own options */
#define ROW_MAX		16		/* jobs that wait in a child */
#define ROWS_FULL	2		/* rows of jobs that compute: more children would not make it quicker */
#define STUCK_MS	80		/* without an answer: what waits is taken back */
#define BUSY_MS		1000		/* the same for a child that computes */
#define SLOW_MS		5000		/* so long nothing waits behind jobs of that user then */
#define SLOW_USERS	1024
#define TRIES		4		/* of a job that was never begun */

/* A job in a child, on the stack of the fiber that waits for its answer. */
struct seat {
	struct seat	*next;
	struct fiber	*fiber;
	uint64_t	 whose;
	unsigned	 slot;
};

struct proc {
	struct proc	*next;
	int64_t		 pid;		/* 0: not started yet */
	struct ipc_client *ipc;
	_Atomic uint32_t *slots;	/* TRANSPORT_SLOTS of them, shared with it */
	struct transport_user who;
	struct seat	*seats, **last;	/* oldest first */
	unsigned	 load;		/* of these */
	uint64_t	 whose;		/* of the last */
	bool		 row;		/* what it has may have others behind it */
	bool		 retired;	/* gets no further jobs */
	bool		 broken, told;	/* and the spawner knows */
	unsigned	 jobs;
	int64_t		 idle_since;	/* or since when it has not answered */
	int64_t		 suspect;	/* that time when it was last found late */
};

struct children {
	struct vq	*vq;
	struct ipc_client *spawner;
	struct proc	*procs;
	unsigned	 n;
	unsigned	 rows;		/* children with more than one job */
	bool		 anybody;	/* the box has one uid */
	struct fiber_waiters room, some, watch;
	int64_t		 slow_until[SLOW_USERS];
};

/* What is asked for. */
struct want {
	struct children	*s;
	const struct sb	*frame;
	int		 fd;
	int64_t		 seconds;
	struct transport_user who;
	uint64_t	 whose;		/* the account, as a number */
	bool		 row;		/* may wait behind others */
	int64_t		 wait_until;	/* for a process */
};

/* ---- children ---- */

static void
proc_free(struct children *s, struct proc *c)
{
	for (struct proc **p = &s->procs; *p != NULL; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			s->n--;
			break;
		}
	ipc_client_free(&c->ipc);
	os_shared_unmap(c->slots, TRANSPORT_SLOTS_SIZE);
	free((char *)(uintptr_t)c->who.name.p);
	free(c);
	fiber_waiters_wake_all(&s->room);
}

/* It is not wanted any more. */
static void
tell_end(struct children *s, struct proc *c)
{
	struct sb m = SB_INIT(128);

	if (c->pid > 0 && !c->told && ipc_client_connected(s->spawner)) {
		transport_child_end_put(&m, c->pid, c->broken);
		(void)ipc_notify(s->spawner, &m);
	}
	c->told = true;
	sb_free(&m);
}

/* It has no jobs.  At the end of its socket it leaves by itself. */
static void
end_proc(struct children *s, struct proc *c)
{
	tell_end(s, c);
	proc_free(s, c);
}

/* Ask the spawner for the process; 0, or -1. */
static int
start_proc(struct children *s, struct proc *c, struct err *err)
{
	struct sb req = SB_INIT(4096);
	struct ipc_msg m;
	void *map = NULL;
	int sock = -1, slots = os_shared_new(TRANSPORT_SLOTS_SIZE, &map), rc;

	if (slots == -1)
		return (err_sys(err, "make a delivery process"));
	c->slots = map;
	transport_child_put(&req, &c->who);
	rc = ipc_call(s->spawner, &req, slots, &m, &sock, FIBER_NOW_PLUS(START_MS), err);
	(void)close(slots);
	sb_free(&req);
	if (rc == -1)
		return (-1);
	if (sock == -1 || !transport_child_answer_get(&m, &c->pid, &s->anybody))
		rc = err_set(err, ERR_TEMP, "4.3.0", "vlocald gave a malformed answer");
	else if ((c->ipc = ipc_client_new_fd(sock, "the delivery process")) == NULL)
		rc = err_set(err, ERR_TEMP, "4.3.2", "too many fibers");
	else
		sock = -1;
	if (sock != -1)
		(void)close(sock);
	ipc_msg_free(&m);
	return (rc);
}

static struct proc *
new_proc(const struct want *w, struct err *err)
{
	struct children *s = w->s;
	struct proc *c = xcalloc(1, sizeof(*c));

	c->last = &c->seats;
	c->who = w->who;
	c->who.name = sv_from(xstrndup(w->who.name.len > 0 ? w->who.name.p : "", w->who.name.len), w->who.name.len);
	c->whose = w->whose;
	c->row = w->row;
	c->idle_since = fiber_now();
	c->next = s->procs;
	s->procs = c;
	s->n++;
	fiber_waiters_wake_one(&s->some);
	if (start_proc(s, c, err) == 0) {
		fiber_waiters_wake_all(&s->room);
		return (c);
	}
	end_proc(s, c);
	return (NULL);
}

static int64_t *
slow(struct children *s, uint64_t whose)
{
	return (&s->slow_until[whose % SLOW_USERS]);
}

static bool
fits(const struct children *s, const struct proc *c, const struct want *w)
{
	return (!c->retired && !c->broken && (s->anybody ||
	    (c->who.uid == w->who.uid && c->who.gid == w->who.gid && sv_eq(c->who.name, w->who.name))));
}

/* What there is for a job: one of that user that is idle, or into whose row it may go; how many rows are full; is one being started? */
struct choice {
	struct proc	*idle, *row;
	unsigned	 full;
	bool		 starting;
};

static void
look_around(const struct want *w, struct choice *o)
{
	struct children *s = w->s;
	bool row = w->row && *slow(s, w->whose) <= fiber_now();

	*o = (struct choice){ .full = 0 };
	for (struct proc *c = s->procs; c != NULL && o->row == NULL; c = c->next) {
		if (!fits(s, c, w))
			continue;
		if (c->pid == 0)
			o->starting = o->starting || (row && c->row);
		else if (!ipc_client_connected(c->ipc))
			continue;
		else if (c->load == 0)
			o->idle = c;
		else if (row && c->row && *slow(s, c->whose) <= fiber_now()) {
			if (c->load < ROW_MAX)
				o->row = c;
			else
				o->full++;
		}
	}
}

/* One that is idle and somebody else's makes room. */
static bool
make_room(struct children *s)
{
	struct proc *oldest = NULL;

	for (struct proc *c = s->procs; c != NULL; c = c->next)
		if (c->load == 0 && c->pid > 0 && (oldest == NULL || c->idle_since < oldest->idle_since))
			oldest = c;
	if (oldest == NULL)
		return (false);
	end_proc(s, oldest);
	return (true);
}

/* Does the account keep as many children busy as one may? */
static bool
has_share(const struct children *s, uint64_t whose)
{
	unsigned n = 0, most = (unsigned)s->vq->box->local_children / 4;

	for (const struct proc *c = s->procs; c != NULL; c = c->next)
		n += (c->load > 0 || c->pid == 0) && c->whose == whose;
	return (n >= (most < 1 ? 1 : most));
}

/* A child for this job, when there is one; NULL: there will be none now. */
static struct proc *
take_proc(const struct want *w, struct err *err)
{
	struct children *s = w->s;

	for (;;) {
		struct choice o;

		look_around(w, &o);
		if (o.row != NULL)
			return (o.row);
		if (o.full < ROWS_FULL && !has_share(s, w->whose) && !(o.starting && o.idle == NULL)) {
			if (o.idle != NULL)
				return (o.idle);
			if (s->n < (unsigned)s->vq->box->local_children || make_room(s))
				return (new_proc(w, err));
		}
		switch (fiber_waiters_wait(&s->room, w->wait_until)) {
		case FIBER_CANCELLED:
			(void)err_set(err, ERR_TEMP, NULL, "vqueued ends");
			return (NULL);
		case FIBER_TIMEOUT:
			(void)err_set(err, ERR_TEMP, "4.3.2", "too many delivery processes");
			return (NULL);
		default:
			break;
		}
	}
}

/* The spawner is gone or about to go: what it started gets nothing more. */
static void
retire_all(struct children *s)
{
	for (struct proc *c = s->procs; c != NULL; c = c->next)
		c->retired = c->retired || c->pid > 0;
}

static void
reaper(void *arg)
{
	struct children *s = arg;

	for (;;) {
		if (s->n == 0 && fiber_waiters_wait(&s->some, FIBER_FOREVER) == FIBER_CANCELLED)
			return;
		if (fiber_sleep(LOOK_MS) == FIBER_CANCELLED)
			return;
		if (!ipc_client_connected(s->spawner))
			retire_all(s);
		for (struct proc *c = s->procs, *next; c != NULL; c = next) {
			next = c->next;
			if (c->load == 0 && c->pid > 0 &&
			    (c->retired || fiber_now() - c->idle_since >= IDLE_MS || !ipc_client_connected(c->ipc)))
				end_proc(s, c);
			else if (c->load > 0 && !c->told && fiber_now() - c->idle_since >= STOPPED_MS &&
			    os_proc_stopped((pid_t)c->pid)) {
				/* Its user did that, and would keep the place for a day. */
				c->broken = true;
				tell_end(s, c);
			}
		}
	}
}

/* ---- rows ---- */

static void
take_seat(struct children *s, struct proc *c, struct seat *p, bool row)
{
	p->slot = c->jobs++ % TRANSPORT_SLOTS;
	atomic_store(&c->slots[p->slot], TRANSPORT_SLOT_WAITS);
	*c->last = p;
	c->last = &p->next;
	if (c->load++ == 0)
		c->idle_since = fiber_now();
	if (c->load == 2 && s->rows++ == 0)
		fiber_waiters_wake_all(&s->watch);
	c->whose = p->whose;
	c->row = row;
}

static void
leave_seat(struct children *s, struct proc *c, const struct seat *seat)
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
take_back(struct proc *c, const struct seat *p)
{
	uint32_t was = TRANSPORT_SLOT_WAITS;

	return (atomic_compare_exchange_strong(&c->slots[p->slot], &was, TRANSPORT_SLOT_TAKEN_BACK) ||
	    was == TRANSPORT_SLOT_TAKEN_BACK);
}

/*
 * Its oldest job takes long: others do what waits behind it, and it gets nothing more.  Where the child only wants a
 * processor, that would not help.
 */
static void
clear_row(struct children *s, struct proc *c)
{
	if (atomic_load(&c->slots[c->seats->slot]) != TRANSPORT_SLOT_BEGUN ||
	    (fiber_now() - c->idle_since < BUSY_MS && os_proc_runs((pid_t)c->pid)))
		return;
	*slow(s, c->seats->whose) = fiber_now() + SLOW_MS;
	c->retired = true;
	for (struct seat *p = c->seats->next; p != NULL; p = p->next)
		if (take_back(c, p))
			ipc_call_abandon(c->ipc, p->fiber);
}

static void
watcher(void *arg)
{
	struct children *s = arg;

	for (;;) {
		if (s->rows == 0 && fiber_waiters_wait(&s->watch, FIBER_FOREVER) == FIBER_CANCELLED)
			return;
		if (fiber_sleep(STUCK_MS / 2) == FIBER_CANCELLED)
			return;
		for (struct proc *c = s->procs; c != NULL; c = c->next)
			if (c->load > 1 && !c->retired && fiber_now() - c->idle_since >= STUCK_MS) {
				/* Not at first sight: its answer may be there and not be read, where we were not given time. */
				if (c->suspect == c->idle_since)
					clear_row(s, c);
				c->suspect = c->idle_since;
			}
	}
}

/* ---- one job ---- */

/* Nothing is delivered, and somebody waits. */
static bool
only_looks(const struct transport_job *j)
{
	return (j->kind == TRANSPORT_LOOK || j->quota_only != 0);
}

/* How long a job may take by its own options. */
static int64_t
job_seconds(const struct transport_job *j)
{
	int64_t t = SLACK_S + j->filter_timeout;
	int64_t locks = (j->lock_retries + 1) * (j->lock_interval > 0 ? j->lock_interval : 1);

	if (only_looks(j))
		return (LOOK_S);
	t += j->timeout > 0 ? j->timeout * (j->kind == TRANSPORT_LMTP ? (int64_t)j->rcpts.n + 4 : 1) : 0;
	t += 2 * (locks > 0 && locks < 86400 ? locks : 0);
	if ((j->kind == TRANSPORT_PIPE || j->kind == TRANSPORT_PROCMAIL) && j->timeout == 0)
		t += 86400;
	return (t > 7 * 86400 ? 7 * 86400 : t);
}

enum outcome { DONE, FAILED, AGAIN };

/* Have <c> do it.  AGAIN: it was not begun, nor will it be. */
static enum outcome
have_done(const struct want *w, struct proc *c, struct ipc_msg *reply, int *fd, struct err *err)
{
	struct seat seat = { .fiber = fiber_self(), .whose = w->whose };
	enum outcome o = DONE;
	int rc;

	take_seat(w->s, c, &seat, w->row);
	rc = ipc_call(c->ipc, w->frame, w->fd, reply, fd, fiber_now() + w->seconds * 1000, err);
	if (atomic_load(&c->slots[seat.slot]) == TRANSPORT_SLOT_TAKEN_BACK || (rc == -1 && take_back(c, &seat))) {
		o = AGAIN;
		err_clear(err);
		if (rc == 0)
			ipc_msg_free(reply);
	} else if (rc == -1) {
		o = FAILED;
		err_clear(err);
		(void)err_set(err, ERR_TEMP, "4.3.0", "the delivery process %s", ipc_client_connected(c->ipc) ? "took too long" :
		    "ended without an answer");
	}
	c->broken = c->broken || (rc == -1 && !c->retired) || (rc == -1 && o == FAILED);
	leave_seat(w->s, c, &seat);
	return (o);
}

/* <c> had an answer, or none: is it fit for more?  The last of its row ends it. */
static void
let_go(struct children *s, struct proc *c)
{
	c->retired = c->retired || c->jobs >= CHILD_JOBS;
	/* One that is stuck is killed at once: what waits behind it goes elsewhere. */
	if (c->broken)
		tell_end(s, c);
	if ((c->broken || c->retired) && c->load == 0)
		end_proc(s, c);
	else
		fiber_waiters_wake_all(&s->room);
}

/* A user may have got hold of his child: an answer that is not one is its end. */
static int
answered(struct proc *c, const struct ipc_msg *reply, int fd, struct arena *a, struct transport_result *r, struct err *err)
{
	if (transport_result_get(reply, a, r)) {
		r->changed = fd + 1;
		return (0);
	}
	if (fd != -1)
		(void)close(fd);
	c->broken = true;
	return (err_set(err, ERR_TEMP, "4.3.0", "the delivery process gave a malformed answer"));
}

int
children_do(struct vq *vq, const struct transport_job *j, const struct sb *frame, int fd, struct arena *a, struct ipc_msg *reply,
    struct transport_result *r, struct err *err)
{
	struct sv account = j->home.len > 0 ? j->home : j->local_part;
	struct want w = { .s = vq->children, .frame = frame, .fd = fd, .seconds = job_seconds(j),
	    .who = { j->uid, j->gid, j->user }, .whose = hash_bytes(account.p, account.len),
	    .row = j->kind == TRANSPORT_PROCMAIL, .wait_until = only_looks(j) ?
	    FIBER_NOW_PLUS(LOOK_S * 1000) : FIBER_FOREVER };

	for (int i = 0; i < TRIES; i++) {
		struct proc *c = take_proc(&w, err);
		enum outcome o;
		int rc = -1, changed = -1;

		if (c == NULL)
			return (ipc_client_connected(w.s->spawner) ? -1 : CHILDREN_AWAY);
		o = have_done(&w, c, reply, &changed, err);
		if (o == DONE)
			rc = answered(c, reply, changed, a, r, err);
		else if (changed != -1)
			(void)close(changed);
		let_go(w.s, c);
		if (o != AGAIN)
			return (rc);
	}
	return (err_set(err, ERR_TEMP, "4.3.0", "the delivery process ended before its work was begun"));
}

/* ---- the spawner ---- */

/* What its predecessor started will leave. */
static void
on_connect(void *arg, struct ipc_client *ipc)
{
	(void)ipc;
	retire_all(arg);
}

int
children_init(struct vq *vq, struct err *err)
{
	struct children *s = xcalloc(1, sizeof(*s));

	s->vq = vq;
	s->spawner = ipc_client_new(box_path(vq->box, BOX_SOCK_SPAWN));
	ipc_client_on_connect(s->spawner, on_connect, s);
	vq->children = s;
	if (fiber_spawn("reaper", reaper, s) == NULL || fiber_spawn("watcher", watcher, s) == NULL)
		return (err_set(err, ERR_TEMP, "4.3.2", "no fibers for local deliveries"));
	return (0);
}
