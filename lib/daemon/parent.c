/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parent: forks the workers, starts anew what died, hands over to a new generation
 * at HUP, ends all at TERM.  It is a plain poll loop without fibers, so that a forked
 * worker begins with nothing of it.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon_int.h"
#include "log/log.h"
#include "os/fd.h"
#include "os/priv.h"
#include "os/proc.h"
#include "os/signal.h"
#include "os/time.h"

static int
role_count(const struct daemon *d, size_t r)
{
	const struct daemon_role *role = d->def->roles[r];
	int n = role->count == NULL ? 1 : role->count(d->box);

	return (n < 1 || role->exclusive ? 1 : n);
}

static void
tell(const struct worker *w, int sig)
{
	if (w->pid > 0)
		(void)kill(w->pid, sig);
}

/* ---- starting ---- */

struct pair {
	int	fd[2];
};

/* In the new process: keep the ends that are ours, close the others. */
static void
keep_pairs(struct daemon *d, const struct pair *m, int n0, int n1, size_t role, int index)
{
	for (int i = 0; m != NULL && i < n0; i++) {
		for (int j = 0; j < n1; j++) {
			const struct pair *p = &m[i * n1 + j];
			bool mine = role == 0 ? i == index : j == index;

			if (mine && role < 2)
				vec_push(&d->pairs, p->fd[role]);
			for (size_t k = 0; k < 2; k++)
				if (!mine || role != k)
					(void)close(p->fd[k]);
		}
	}
}

/* Fork worker <w>; the pairs' matrix is NULL when its roles are not paired. */
static void
start_worker(struct daemon *d, struct worker *w, const struct pair *m, int n0, int n1)
{
	size_t role = w->role;
	int index = w->index;
	pid_t pid;

	log_flush();
	eximlog_flush();
	pid = fork();
	if (pid == 0) {
		keep_pairs(d, m, n0, n1, role, index);
		daemon_worker_main(d, role, index);
	}
	if (pid == -1) {
		log_error(NULL, "fork: %s", strerror(errno));
		w->start_at = os_mono_ms() + DEATHS_PAUSE_MS;
		return;
	}
	w->pid = pid;
	w->ready = w->ending = false;
	w->generation = d->generation;
}

static struct worker *
add_worker(struct daemon *d, size_t role, int index)
{
	struct worker *w = NULL;

	for (size_t i = 0; i < d->workers.len && w == NULL; i++)
		if (d->workers.p[i].role == role && d->workers.p[i].pid == 0 && d->workers.p[i].ending)
			w = &d->workers.p[i];
	if (w == NULL) {
		vec_push(&d->workers, ((struct worker){ .pid = 0 }));
		w = &d->workers.p[d->workers.len - 1];
	}
	*w = (struct worker){ .role = role, .index = index, .generation = d->generation };
	return (w);
}

static struct pair *
make_pairs(int n0, int n1)
{
	struct pair *m = xcalloc((size_t)n0 * (size_t)n1, sizeof(*m));

	for (int i = 0; i < n0 * n1; i++) {
		if (os_socketpair(m[i].fd) == 0)
			continue;
		log_error(NULL, "socketpair: %s", strerror(errno));
		m[i].fd[0] = m[i].fd[1] = -1;
	}
	return (m);
}

static bool
exclusive_alive(const struct daemon *d, size_t role)
{
	for (size_t i = 0; i < d->workers.len; i++)
		if (d->workers.p[i].role == role && d->workers.p[i].pid > 0)
			return (true);
	return (false);
}

/* All workers of the present generation. */
static void
start_generation(struct daemon *d)
{
	struct pair *m = NULL;
	int n0 = 0, n1 = 0;

	if (d->def->pair_roles && d->def->roles[0] != NULL && d->def->roles[1] != NULL) {
		n0 = role_count(d, 0);
		n1 = role_count(d, 1);
		m = make_pairs(n0, n1);
	}
	for (size_t r = 0; d->def->roles[r] != NULL; r++) {
		for (int i = 0, n = role_count(d, r); i < n; i++) {
			struct worker *w = add_worker(d, r, i);

			/* The old one is on its way out; its death starts this one. */
			if (d->def->roles[r]->exclusive && exclusive_alive(d, r))
				w->start_at = INT64_MAX;
			else
				start_worker(d, w, m, n0, n1);
		}
	}
	for (int i = 0; i < n0 * n1; i++) {
		(void)close(m[i].fd[0]);
		(void)close(m[i].fd[1]);
	}
	free(m);
}

static void
end_older(struct daemon *d)
{
	for (size_t i = 0; i < d->workers.len; i++) {
		struct worker *w = &d->workers.p[i];

		if (w->generation == d->generation || w->ending)
			continue;
		w->ending = true;
		tell(w, d->def->roles[w->role]->exclusive ? SIG_END : SIG_DRAIN);
	}
}

static void
new_generation(struct daemon *d)
{
	d->generation++;
	/* First tell the old ones, so that the kernel's queue of connections is all for the new. */
	end_older(d);
	start_generation(d);
}

/* ---- deaths ---- */

/* When the next start may be. */
static int64_t
after_death(struct daemon *d)
{
	int64_t now = os_mono_ms(), oldest = d->deaths[d->ndeaths % DEATHS_MAX];

	d->deaths[d->ndeaths % DEATHS_MAX] = now;
	d->ndeaths++;
	if (d->ndeaths > DEATHS_MAX && now - oldest < DEATHS_MS)
		return (now + DEATHS_PAUSE_MS);
	return (now);
}

static void
log_death(const struct daemon *d, const struct worker *w, int st)
{
	const char *role = d->def->roles[w->role]->name;

	if (WIFSIGNALED(st))
		log_error(NULL, "%s %d (pid %ld) was ended by signal %d%s", role, w->index, (long)w->pid, WTERMSIG(st),
		    WCOREDUMP(st) ? ", core dumped" : "");
	else if (!w->ending || WEXITSTATUS(st) != 0)
		log_error(NULL, "%s %d (pid %ld) ended with status %d", role, w->index, (long)w->pid, WEXITSTATUS(st));
	else
		log_info(NULL, "%s %d (pid %ld) ended", role, w->index, (long)w->pid);
}

static void
worker_died(struct daemon *d, struct worker *w, int st)
{
	bool paired = d->def->pair_roles && w->role < 2;

	log_death(d, w, st);
	w->pid = 0;
	if (w->ending || d->ending) {
		w->ending = true;
		/* Whoever waits for this place may start now. */
		for (size_t i = 0; i < d->workers.len; i++)
			if (d->workers.p[i].role == w->role && d->workers.p[i].start_at == INT64_MAX)
				d->workers.p[i].start_at = 0;
		return;
	}
	w->start_at = after_death(d);
	if (!paired)
		return;
	/* Its partners cannot be given a new pair: a new generation takes over, they end with their sessions. */
	w->generation = -1;
}

static void
reap(struct daemon *d)
{
	pid_t pid;
	int st;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0)
		for (size_t i = 0; i < d->workers.len; i++)
			if (d->workers.p[i].pid == pid)
				worker_died(d, &d->workers.p[i], st);
}

/* Start what is due; milliseconds until the next is, -1 if none. */
static int
start_due(struct daemon *d)
{
	int64_t now = os_mono_ms(), next = INT64_MAX;
	bool generation = false;

	for (size_t i = 0; i < d->workers.len; i++) {
		struct worker *w = &d->workers.p[i];

		if (w->pid != 0 || w->ending || w->start_at == INT64_MAX)
			continue;
		if (w->start_at > now) {
			next = w->start_at < next ? w->start_at : next;
		} else if (w->generation == -1) {
			generation = true;
			w->ending = true;
		} else {
			start_worker(d, w, NULL, 0, 0);
		}
	}
	if (generation)
		new_generation(d);
	return (next == INT64_MAX ? -1 : (int)(next - now));
}

/* ---- the further pid file ---- */

/* Paths of the configuration are its user's: root expands, writes and removes what they name with his rights only. */
static bool
act(const struct daemon *d, const char *what)
{
	struct err err = ERR_INIT;

	if (box_act(d->box, &err) == 0)
		return (true);
	log_err(NULL, what, &err);
	return (false);
}

static void
replace_pid_file(struct daemon *d)
{
	char path[4096], text[32];
	int fd, n;

	if (!d->def->pid_file(d->conf, path, sizeof(path)) || (d->pidfile != NULL && strcmp(d->pidfile, path) == 0))
		return;
	if (d->pidfile != NULL)
		(void)unlink(d->pidfile);
	free(d->pidfile);
	d->pidfile = xstrdup(path);
	n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd == -1 || fchmod(fd, 0644) == -1 || write(fd, text, (size_t)n) != n)
		log_warn(NULL, "failed to write pid file %s: %s", path, strerror(errno));
	if (fd != -1)
		(void)close(fd);
}

static void
write_pid_file(struct daemon *d)
{
	if (d->def->pid_file == NULL || !act(d, "pid file"))
		return;
	replace_pid_file(d);
	os_act_back();
}

static void
remove_pid_file(struct daemon *d)
{
	if (d->pidfile == NULL || !act(d, "pid file"))
		return;
	(void)unlink(d->pidfile);
	os_act_back();
}

/* ---- orders ---- */

static void
reload(struct daemon *d)
{
	struct err err = ERR_INIT;
	struct box *box, *old = d->box;
	void *conf;

	if (daemon_load(d, d->box->root, &box, &conf) == -1) {
		log_error(NULL, "the configuration has mistakes; the old one stays in force");
		return;
	}
	if (daemon_listen(d, box, &err) == -1)
		log_error(NULL, "%s (the other sockets are open; a restart opens ports below 1024)", err.text);
	if (d->def->unload != NULL && d->conf != NULL)
		d->def->unload(d->conf);
	d->box = box;
	d->conf = conf;
	box_free(&old);
	if (box_act(d->box, &err) == -1 || daemon_logs(d, &err) == -1)
		log_err(NULL, "logs", &err);
	os_act_back();
	write_pid_file(d);
	log_info(NULL, "configuration read anew");
	new_generation(d);
}

static size_t
alive(const struct daemon *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->workers.len; i++)
		n += d->workers.p[i].pid > 0;
	return (n);
}

static void
reopen(struct daemon *d)
{
	log_reopen();
	eximlog_reopen();
	for (size_t i = 0; i < d->workers.len; i++)
		tell(&d->workers.p[i], SIG_REOPEN);
	if (d->def->told == NULL || !act(d, "process log"))
		return;
	d->def->told(d->conf, alive(d));
	os_act_back();
}

static void
end_all(struct daemon *d)
{
	if (d->ending)
		return;
	d->ending = true;
	daemon_listen_close(d);
	for (size_t i = 0; i < d->workers.len; i++) {
		d->workers.p[i].ending = true;
		tell(&d->workers.p[i], SIG_END);
	}
}

static void
take_signals(struct daemon *d)
{
	int sig;

	while ((sig = os_signal_next()) != 0) {
		switch (sig) {
		case SIGCHLD:
			reap(d);
			break;
		case SIGHUP:
			if (!d->ending)
				reload(d);
			break;
		case SIGUSR1:
			reopen(d);
			break;
		default:
			end_all(d);
			break;
		}
	}
}

static void
take_status(struct daemon *d)
{
	struct status_msg m;
	bool all = true;

	while (read(d->status[0], &m, sizeof(m)) == (ssize_t)sizeof(m))
		for (size_t i = 0; i < d->workers.len; i++)
			if (d->workers.p[i].pid == m.pid)
				d->workers.p[i].ready = true;
	for (size_t i = 0; i < d->workers.len; i++)
		all = all && (d->workers.p[i].ready || d->workers.p[i].ending);
	if (!all || d->told_ready)
		return;
	d->told_ready = true;
	log_info(NULL, "ready");
	/* The supervisor holds the other end of our standard input. */
	if (d->supervised)
		(void)!write(STDIN_FILENO, "R", 1);
}

static void
poll_once(struct daemon *d, int timeout)
{
	struct pollfd pf[3] = {
		{ .fd = os_signal_fd(), .events = POLLIN },
		{ .fd = d->status[0], .events = POLLIN },
		{ .fd = d->supervised && !d->ending ? STDIN_FILENO : -1, .events = POLLIN },
	};
	ssize_t n;
	char c;

	log_flush();
	if (poll(pf, 3, timeout) <= 0)
		return;
	if (pf[1].revents != 0)
		take_status(d);
	if (pf[0].revents != 0)
		take_signals(d);
	if (pf[2].revents == 0)
		return;
	n = read(STDIN_FILENO, &c, 1);
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
		log_warn(NULL, "the supervisor is gone");
		end_all(d);
	}
}

/* Wait for the workers' ends, then end those that do not by force. */
static void
wait_for_end(struct daemon *d)
{
	int64_t end = os_mono_ms() + DRAIN_MS + 2000;

	while (alive(d) > 0 && os_mono_ms() < end)
		poll_once(d, (int)(end - os_mono_ms()));
	for (size_t i = 0; i < d->workers.len; i++)
		tell(&d->workers.p[i], SIGKILL);
	while (alive(d) > 0 && waitpid(-1, NULL, 0) > 0)
		continue;
}

int
daemon_parent(struct daemon *d)
{
	static const int sigs[] = { SIGCHLD, SIGHUP, SIGUSR1, SIGTERM, SIGINT };
	struct sv root = sv_cstr(d->box->root);

	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		if (os_signal_add(sigs[i]) == -1) {
			log_error(NULL, "signal %d: %s", sigs[i], strerror(errno));
			return (1);
		}
	}
	os_title("%s: parent for " SV_FMT, d->def->name, SV_ARG(root));
	log_info(NULL, "starts for box %s", d->box->root);
	write_pid_file(d);
	start_generation(d);
	while (!d->ending)
		poll_once(d, start_due(d));
	wait_for_end(d);
	log_info(NULL, "ended");
	log_flush();
	eximlog_flush();
	(void)!ftruncate(d->lockfd, 0);
	remove_pid_file(d);
	return (0);
}
