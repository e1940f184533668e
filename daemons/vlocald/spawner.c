/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The spawner: the one process that, started as root, may become users.  It starts children as vqueued asks for them, gives it
 * their sockets, and sees neither jobs nor messages.  How many there are at a time is limited, and all of them end
 * when vqueued does.  It never starts anything as root.
 */
#include <sys/wait.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/vec.h"
#include "daemon/daemon.h"
#include "fiber/fiber.h"
#include "log/log.h"
#include "os/fd.h"
#include "os/priv.h"
#include "os/proc.h"
#include "os/signal.h"
#include "os/user.h"
#include "transport/child.h"
#include "vlocald.h"

#define LEAVE_MS	1000		/* a child that is not wanted any more is killed then */
#define ORPHAN_MS	600000		/* and one whose vqueued is gone */
#define LOOK_MS		1000
#define SOON_MS		5
#define ROOM_MS		20000		/* how long a request waits for others' ends */
#define ASKING_MAX	1024
#define ACCOUNTS	64
#define ACCOUNT_MS	60000

struct child {
	pid_t		 pid;
	struct ipc_peer	*peer;		/* who asked; NULL: gone */
	int64_t		 kill_at;	/* FIBER_FOREVER: it is wanted */
};

/* A request. */
struct asking {
	struct spawner	*s;
	struct ipc_peer	*peer;
	uint32_t	 serial;
	int		 slots;
	struct transport_user who;
	char		 name[256];
};

/* An account that was looked up a moment ago. */
struct account {
	int64_t		 until;
	int64_t		 uid, gid;
	char		 user[256];
};

struct spawner {
	const struct box *box;
	struct ipc_server *server;
	VEC(struct child) children;
	unsigned	 asking;
	uid_t		 relay_uid;
	struct fiber_waiters room, changed;
	struct account	 accounts[ACCOUNTS];
};

/* ---- children ---- */

static _Noreturn void
in_child(int sock, int slots, const struct spawner *s, const struct transport_user *who)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	os_die_with_parent(SIGKILL);
	if ((sock = fcntl(sock, F_DUPFD, 5)) == -1 || (slots = fcntl(slots, F_DUPFD, 5)) == -1 || dup2(sock, 3) == -1 ||
	    dup2(slots, 4) == -1)
		_exit(1);
	os_close_from(5);
	(void)os_nonblock(3, false);
	child_main(3, 4, s->box, who);
}

/* Start one; returns its socket, or -1. */
static int
start_child(struct asking *k, pid_t *pid, struct err *err)
{
	struct child c = { .peer = k->peer, .kill_at = FIBER_FOREVER };
	int sv[2];

	if (os_socketpair(sv) == -1)
		return (err_sys(err, "make a delivery process"));
	log_flush();
	c.pid = fork();
	if (c.pid == 0)
		in_child(sv[1], k->slots, k->s, &k->who);
	(void)close(sv[1]);
	if (c.pid == -1) {
		(void)close(sv[0]);
		return (err_sys(err, "fork"));
	}
	vec_push(&k->s->children, c);
	*pid = c.pid;
	return (sv[0]);
}

/* Those that ended are gone, those whose time is over are killed. */
static void
look(struct spawner *s)
{
	int status;

	for (size_t i = s->children.len; i-- > 0;) {
		struct child *c = &s->children.p[i];

		if (c->kill_at <= fiber_now())
			(void)kill(c->pid, SIGKILL);
		if (waitpid(c->pid, &status, WNOHANG) == 0)
			continue;
		vec_remove(&s->children, i);
		fiber_waiters_wake_one(&s->room);
	}
}

/* Is one on its way out?  Then another look is soon. */
static bool
leaving(const struct spawner *s)
{
	for (size_t i = 0; i < s->children.len; i++)
		if (s->children.p[i].kill_at <= fiber_now() + LEAVE_MS)
			return (true);
	return (false);
}

static void
reaper(void *arg)
{
	struct spawner *s = arg;
	int64_t until;

	for (;;) {
		until = s->children.len == 0 ? FIBER_FOREVER : FIBER_NOW_PLUS(leaving(s) ? SOON_MS : LOOK_MS);
		if (fiber_waiters_wait(&s->changed, until) == FIBER_CANCELLED)
			return;
		look(s);
	}
}

/* ---- who may be become ---- */

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
may_become(struct spawner *s, const struct transport_user *w)
{
	struct account *k = &s->accounts[(uint64_t)w->uid % ACCOUNTS];
	struct os_user u = { .uid = (uid_t)w->uid }, named;
	char user[sizeof(k->user)];
	bool known;

	if (w->uid <= 0 || w->gid <= 0 || w->uid > UINT32_MAX - 2 || w->gid > UINT32_MAX - 2 || w->name.len >= sizeof(user))
		return (false);
	(void)snprintf(user, sizeof(user), SV_FMT, SV_ARG(w->name));
	if (k->until > fiber_now() && k->uid == w->uid && k->gid == w->gid && strcmp(k->user, user) == 0)
		return (true);
	known = os_user_by_uid((uid_t)w->uid, &u, NULL) == 1;
	if ((user[0] != '\0' && (os_user_by_name(user, &named, NULL) != 1 || named.uid != (uid_t)w->uid)) ||
	    !in_group(s, &u, known, (gid_t)w->gid))
		return (false);
	*k = (struct account){ .until = fiber_now() + ACCOUNT_MS, .uid = w->uid, .gid = w->gid };
	memcpy(k->user, user, sizeof(user));
	return (true);
}

/* ---- requests ---- */

static void
reply_err(const struct asking *k, const struct err *err)
{
	struct sb r = SB_INIT(4096);

	ipc_begin(&r, TRANSPORT_IPC_CHILD);
	ipc_put_err(&r, err);
	(void)ipc_reply(k->peer, k->serial, &r, -1);
	sb_free(&r);
}

/* Start what is asked for when there is room.  -1: not possible now. */
static int
serve(struct asking *k, struct err *err)
{
	struct spawner *s = k->s;
	int64_t until = FIBER_NOW_PLUS(ROOM_MS);
	struct sb r = SB_INIT(4096);
	pid_t pid = 0;
	int sock;

	while (s->children.len >= (size_t)s->box->local_children)
		if (fiber_waiters_wait(&s->room, until) != FIBER_READY)
			return (err_set(err, ERR_TEMP, "4.3.2",
			    "all delivery processes are busy (see local_children in vpost.conf(5))"));
	if ((sock = start_child(k, &pid, err)) == -1)
		return (-1);
	fiber_waiters_wake_one(&s->changed);
	transport_child_answer_put(&r, pid, !os_is_root());
	(void)ipc_reply(k->peer, k->serial, &r, sock);
	(void)close(sock);
	sb_free(&r);
	return (0);
}

static void
asking_main(void *arg)
{
	struct asking *k = arg;
	struct err err = ERR_INIT;

	if (os_is_root() && !may_become(k->s, &k->who)) {
		log_warn(NULL, "no delivery as uid %lld, gid %lld, user \"%s\": root, or not a group of that account's (local_groups)",
		    (long long)k->who.uid, (long long)k->who.gid, k->name);
		(void)err_set(&err, ERR_TEMP, "4.3.0",
		    "no local delivery runs as root, nor with a group that is not the account's (see local_groups in vpost.conf(5))");
		reply_err(k, &err);
	} else if (serve(k, &err) == -1)
		reply_err(k, &err);
	k->s->asking--;
	(void)close(k->slots);
	ipc_peer_unref(&k->peer);
	free(k);
}

static void
ask(struct spawner *s, struct ipc_peer *p, uint32_t serial, const struct transport_user *who, int slots)
{
	struct asking *k = xcalloc(1, sizeof(*k));

	k->s = s;
	k->peer = ipc_peer_ref(p);
	k->serial = serial;
	k->slots = slots;
	(void)snprintf(k->name, sizeof(k->name), SV_FMT, SV_ARG(who->name));
	k->who = *who;
	k->who.name = sv_cstr(k->name);
	s->asking++;
	if (fiber_spawn("child", asking_main, k) == NULL)
		asking_main(k);
}

static void
end(struct spawner *s, const struct ipc_peer *p, int64_t pid, bool now)
{
	for (size_t i = 0; i < s->children.len; i++)
		if (s->children.p[i].pid == (pid_t)pid && s->children.p[i].peer == p)
			s->children.p[i].kill_at = FIBER_NOW_PLUS(now ? 0 : LEAVE_MS);
	fiber_waiters_wake_one(&s->changed);
}

static void
message(void *arg, struct ipc_peer *p, const struct ipc_msg *m, int fd)
{
	struct spawner *s = arg;
	uid_t uid = ipc_peer_uid(p);
	struct transport_user who;
	int64_t pid;
	bool now;

	if ((uid == s->relay_uid || uid == geteuid()) && s->asking < ASKING_MAX && fd != -1 && transport_child_get(m, &who)) {
		ask(s, p, m->serial, &who, fd);
		return;
	}
	if (fd != -1)
		(void)close(fd);
	if ((uid == s->relay_uid || uid == geteuid()) && transport_child_end_get(m, &pid, &now)) {
		end(s, p, pid, now);
		return;
	}
	log_warn(NULL, "a request that is not for here; its sender is cut off");
	ipc_peer_close(p);
}

/* Its children see the end of their sockets when they have done what they are at. */
static void
closed(void *arg, struct ipc_peer *p)
{
	struct spawner *s = arg;

	for (size_t i = 0; i < s->children.len; i++)
		if (s->children.p[i].peer == p) {
			s->children.p[i].peer = NULL;
			if (s->children.p[i].kill_at == FIBER_FOREVER)
				s->children.p[i].kill_at = FIBER_NOW_PLUS(ORPHAN_MS);
		}
}

static int
start(struct daemon *d, struct err *err)
{
	struct spawner *s = xcalloc(1, sizeof(*s));
	const struct ipc_handler h = { .message = message, .closed = closed, .arg = s };
	const char *path;
	struct os_user u;
	int fd;

	s->box = daemon_box(d);
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
	if (fiber_spawn("reaper", reaper, s) == NULL)
		return (err_set(err, ERR_TEMP, NULL, "too many fibers"));
	s->server = ipc_server_new(fd, &h, true, err);
	return (s->server == NULL ? -1 : 0);
}

static void
drain(struct daemon *d)
{
	struct spawner *s = daemon_data(d);

	/* vqueued takes no further jobs to our children then; they leave when they have done those they have. */
	ipc_server_free(&s->server);
	while (s->children.len > 0)
		if (fiber_sleep(10) == FIBER_CANCELLED)
			break;
	daemon_worker_done(d);
}

const struct daemon_role vlocald_spawner = { .name = "spawner", .start = start, .drain = drain, .exclusive = true };
