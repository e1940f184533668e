/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world of this machine, by calls that may block: for tools, -be and tests.
 * Daemons replace what they can do better (DNS, resolver, programs).
 */
#include "exim/lookup_int.h"
#include "exim/dlfunc.h"
#include "exim/perl.h"
#include "exim/world_auth.h"
#include "os/priv.h"
#include "os/spawn.h"
#include "os/time.h"

#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/hash.h"
#include "base/num.h"
#include "base/sb.h"

#define NAMES_MAX	10
#define ADDRS_MAX	64

extern char **environ;

static int64_t
w_now(void *arg, int64_t *usec)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (usec != NULL)
		*usec = ts.tv_nsec / 1000;
	return (ts.tv_sec);
}

static uint32_t
w_random(void *arg)
{
	uint32_t n = 0;

	(void)RAND_bytes((unsigned char *)&n, sizeof(n));
	return (n);
}

static const char *
w_getenv(void *arg, const char *name)
{
	return (getenv(name));
}

/* --- files --- */

/* Users name files: one without an end (a device, a sparse file) is given up where it passes <max>. */
static int
read_all(int fd, size_t max, struct arena *a, struct sv *out)
{
	struct sb sb = SB_INIT(max);
	char buf[16384];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0 && !sb.overflow)
		sb_addn(&sb, buf, (size_t)n);
	if (sb.overflow) {
		n = -1;
		errno = EFBIG;
	}
	if (n == 0)
		*out = arena_sv(a, sb_sv(&sb));
	sb_free(&sb);
	return (n == 0 ? 0 : -1);
}

static int
w_readfile(void *arg, const char *path, size_t max, struct arena *a, struct sv *out, struct stat *st)
{
	struct stat own;
	int fd, rc, saved;

	if (st == NULL)
		st = &own;
	memset(st, 0, sizeof(*st));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1)
		return (-1);
	rc = fstat(fd, st);
	if (rc == 0 && !S_ISREG(st->st_mode) && !(S_ISCHR(st->st_mode) && strcmp(path, "/dev/null") == 0)) {
		errno = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
		rc = -1;
	} else if (rc == 0 && (uintmax_t)st->st_size > max) {
		errno = EFBIG;
		rc = -1;
	}
	if (rc == 0)
		rc = read_all(fd, max, a, out);
	saved = errno;
	(void)close(fd);
	errno = saved;
	return (rc);
}

static int
w_stat(void *arg, const char *path, bool follow, struct stat *st)
{
	return (follow ? stat(path, st) : lstat(path, st));
}

static int
w_fsspace(void *arg, const char *path, int64_t *kbytes, int64_t *inodes)
{
	struct statvfs vfs;

	if (statvfs(path, &vfs) == -1)
		return (-1);
	*kbytes = (int64_t)((uint64_t)vfs.f_bavail * vfs.f_frsize / 1024);
	*inodes = (int64_t)vfs.f_favail;
	return (0);
}

static int64_t
w_loadavg(void *arg)
{
	double avg[1];

	return (getloadavg(avg, 1) == 1 ? (int64_t)(avg[0] * 1000) : 0);
}

/*
 * Users that were asked for within the last second: several routers and conditions of one command ask for the same, and
 * each answer of the C library reads a file or asks a server.
 */
#define USERS_KEPT	32
struct user_kept {
	char		 name[64];
	int64_t		 until;			/* ms; 0: nothing here */
	enum exim_found	 found;
	struct passwd	 pw;
	char		 buf[1024];
};

static void
give_user(const struct passwd *pw, struct arena *a, struct exim_passwd *out)
{
	out->name = arena_str(a, pw->pw_name);
	out->passwd = arena_str(a, pw->pw_passwd);
	out->gecos = arena_str(a, pw->pw_gecos);
	out->home = arena_str(a, pw->pw_dir);
	out->shell = arena_str(a, pw->pw_shell);
	out->uid = pw->pw_uid;
	out->gid = pw->pw_gid;
}

static enum exim_found
ask_user(const char *name, struct passwd *pw, char *buf, size_t size)
{
	struct passwd *p = NULL;
	int rc = getpwnam_r(name, pw, buf, size, &p);

	if (p != NULL)
		return (EXIM_FOUND);
	return (rc == 0 || rc == ENOENT || rc == ESRCH ? EXIM_NOTFOUND : EXIM_TEMPFAIL);
}

static enum exim_found
w_passwd(void *arg, const char *name, struct arena *a, struct exim_passwd *out)
{
	static _Thread_local struct user_kept *kept;
	size_t len = strlen(name);
	struct user_kept *k;
	struct passwd pw;
	enum exim_found f;
	int64_t now;

	if (kept == NULL && (kept = calloc(USERS_KEPT, sizeof(*kept))) == NULL)
		return (EXIM_TEMPFAIL);
	k = &kept[hash_bytes(name, len) % USERS_KEPT];
	now = os_mono_ms();
	if (now >= k->until || strcmp(k->name, name) != 0) {
		k->until = 0;
		f = len >= sizeof(k->name) ? EXIM_TEMPFAIL : ask_user(name, &k->pw, k->buf, sizeof(k->buf));
		if (f == EXIM_TEMPFAIL) {
			/* Or it is longer than what is kept. */
			f = ask_user(name, &pw, arena_alloc(a, 16384), 16384);
			if (f == EXIM_FOUND)
				give_user(&pw, a, out);
			return (f);
		}
		memcpy(k->name, name, len + 1);
		k->found = f;
		k->until = now + 1000;
	}
	if (k->found == EXIM_FOUND)
		give_user(&k->pw, a, out);
	return (k->found);
}

/* --- hosts --- */

static enum exim_found
gai_result(int rc)
{
	return (rc == EAI_AGAIN || rc == EAI_MEMORY || rc == EAI_SYSTEM ? EXIM_TEMPFAIL : EXIM_NOTFOUND);
}

static enum exim_found
w_addrs(void *arg, const char *name, struct arena *a, struct net_addr **addrs, size_t *n)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai, *p;
	int rc = getaddrinfo(name, NULL, &hints, &ai);

	*n = 0;
	if (rc != 0)
		return (gai_result(rc));
	*addrs = arena_alloc(a, ADDRS_MAX * sizeof(**addrs));
	for (p = ai; p != NULL && *n < ADDRS_MAX; p = p->ai_next)
		net_addr_from_sockaddr(&(*addrs)[(*n)++], p->ai_addr);
	freeaddrinfo(ai);
	return (*n > 0 ? EXIM_FOUND : EXIM_NOTFOUND);
}

static enum exim_found
w_names(void *arg, const struct net_addr *addr, struct arena *a, const char *const **names, size_t *n)
{
	struct sockaddr_storage ss;
	socklen_t len = net_addr_to_sockaddr(addr, &ss);
	const char **list = arena_alloc(a, sizeof(*list));
	char host[NI_MAXHOST];
	int rc = getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), NULL, 0, NI_NAMEREQD);

	if (rc != 0)
		return (gai_result(rc));
	list[0] = arena_str(a, host);
	*names = list;
	*n = 1;
	return (EXIM_FOUND);
}

/* Asking costs ten calls of the system: an answer is good for two seconds. */
static int
w_interfaces(void *arg, struct arena *a, struct net_addr **addrs, size_t *n)
{
	static _Thread_local struct net_addr kept[ADDRS_MAX];
	static _Thread_local size_t nkept;
	static _Thread_local int64_t until;
	struct ifaddrs *list, *p;

	if (os_mono_ms() >= until) {
		*n = nkept = 0;
		if (getifaddrs(&list) == -1)
			return (-1);
		for (p = list; p != NULL && nkept < ADDRS_MAX; p = p->ifa_next)
			if (p->ifa_addr != NULL && (p->ifa_addr->sa_family == AF_INET || p->ifa_addr->sa_family == AF_INET6))
				net_addr_from_sockaddr(&kept[nkept++], p->ifa_addr);
		freeifaddrs(list);
		until = os_mono_ms() + 2000;
	}
	*addrs = arena_dup(a, kept, nkept * sizeof(kept[0]));
	*n = nkept;
	return (0);
}

/* --- programs --- */

/* Read until the end or the deadline (0: there is none): 0, or -1 on timeout.  What passes the limit is thrown away. */
static int
drain(int fd, int64_t deadline, struct sb *out)
{
	char buf[4096];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline == 0 ? 60000 : deadline - os_mono_ms();
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)(left > 60000 ? 60000 : left)) == -1) {
			if (left <= 0 || errno != EINTR)
				return (-1);
			continue;
		}
		if (p.revents == 0)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n == 0 || (n == -1 && errno != EINTR && errno != EAGAIN))
			return (0);
		if (n > 0)
			sb_addn(out, buf, (size_t)n);
	}
}

/* As somebody else, be it whom root acts as, or somewhere else. */
static int
start_elsewhere(const struct exim_run *r, int out, pid_t *pid)
{
	struct os_spawn s = { .argv = r->argv, .env = (const char *const *)(uintptr_t)environ,
	    .cwd = r->cwd != NULL ? r->cwd : os_is_acting() ? "/" : ".",
	    .in = -1, .out = out, .errfd = r->merge_stderr ? out : -1, .set_ids = r->set_ids, .user = r->user,
	    .uid = (uid_t)r->uid, .gid = (gid_t)r->gid, .new_session = true, .umask = r->set_ids ? 077 : 0 };
	struct err why = ERR_INIT;

	*pid = os_spawn(&s, &why);
	return (*pid == -1 ? errno : 0);
}

static int
start(const struct exim_run *r, int out, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	int rc;

	if (r->set_ids || r->cwd != NULL || os_is_acting())
		return (start_elsewhere(r, out, pid));
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&fa, out, 1);
	if (r->merge_stderr)
		(void)posix_spawn_file_actions_adddup2(&fa, out, 2);
	(void)posix_spawnattr_init(&at);
	(void)posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP);
	rc = posix_spawn(pid, r->argv[0], &fa, &at, (char *const *)(uintptr_t)r->argv, environ);
	(void)posix_spawnattr_destroy(&at);
	(void)posix_spawn_file_actions_destroy(&fa);
	return (rc);
}

#define WAIT_FIRST	50000		/* ns between two looks whether a program has ended that said its last word, and at most */
#define WAIT_MOST	20000000

/* The program's end, till the deadline; false: it goes on. */
static bool
ended(pid_t pid, int64_t deadline, int *status)
{
	struct timespec ts = { .tv_nsec = WAIT_FIRST };

	for (;;) {
		pid_t got = waitpid(pid, status, WNOHANG);

		if (got == pid || (got == -1 && errno != EINTR))
			return (true);
		if (os_mono_ms() >= deadline)
			return (false);
		(void)nanosleep(&ts, NULL);
		if (ts.tv_nsec < WAIT_MOST)
			ts.tv_nsec *= 2;
	}
}

static enum exim_result
w_run(void *arg, const struct exim_run *r, struct arena *a, struct sv *out, int *rc, struct err *err)
{
	struct sb sb = SB_INIT(r->max);
	int fds[2], status = 0;
	int64_t deadline = os_mono_ms() + r->timeout * 1000;
	enum exim_result result = EXIM_OK;
	pid_t pid;

	*rc = 127;
	*out = SV_LIT("");
	if (pipe2(fds, O_CLOEXEC) == -1) {
		(void)err_sys(err, "couldn't create child process");
		return (EXIM_FAIL);
	}
	if (start(r, fds[1], &pid) != 0) {
		(void)close(fds[0]);
		(void)close(fds[1]);
		return (EXIM_OK);
	}
	(void)close(fds[1]);
	/* One that closed its output may go on all the same. */
	if (drain(fds[0], deadline, &sb) == -1 || !ended(pid, deadline, &status)) {
		(void)kill(-pid, SIGKILL);
		(void)err_set(err, ERR_TEMP, "4.3.0", "command timed out");
		result = EXIM_DEFER;
		while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
			continue;
	}
	(void)close(fds[0]);
	*rc = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	*out = arena_sv(a, sb_sv(&sb));
	sb_free(&sb);
	return (result);
}

/* --- sockets --- */

static int
timed(int fd, int64_t seconds)
{
	struct timeval tv = { .tv_sec = seconds };		/* 0: for ever */

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	return (fd);
}

static int
connect_unix(const char *path, int64_t timeout, struct err *err)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path))
		return (err_set(err, ERR_TEMP, NULL, "socket name %s is too long", path));
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = timed(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), timeout);
	if (fd == -1 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		int saved = errno;

		if (fd != -1)
			(void)close(fd);
		return (err_set(err, ERR_TEMP, NULL, "failed to connect to socket %s: %s", path, strerror(saved)));
	}
	return (fd);
}

/* "host:port" behind "inet:". */
static int
connect_inet(char *where, int64_t timeout, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai, *p;
	char *port = strrchr(where, ':'), *host = where;
	const char *shown = where;
	size_t len = 0;
	int fd = -1, saved = 0, rc;

	if (port == NULL)
		return (err_set(err, ERR_TEMP, NULL, "%s", ""));
	*port++ = '\0';
	if (*host == '[' && host[strlen(host) - 1] == ']') {
		host++;
		len = strlen(host) - 1;
		host[len] = '\0';
	}
	rc = getaddrinfo(host, port, &hints, &ai);
	if (len > 0)
		host[len] = ']';
	if (rc != 0)
		return (err_set(err, ERR_TEMP, NULL, "no IP address found for host %s", shown));
	for (p = ai; p != NULL; p = p->ai_next) {
		fd = timed(socket(p->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), timeout);
		if (fd != -1 && connect(fd, p->ai_addr, p->ai_addrlen) == 0)
			break;
		saved = errno;
		if (fd != -1)
			(void)close(fd);
		fd = -1;
	}
	freeaddrinfo(ai);
	if (fd == -1)
		return (err_set(err, ERR_TEMP, NULL, "failed to connect to any address for %s: %s", shown, strerror(saved)));
	return (fd);
}

static enum exim_result
w_readsocket(void *arg, const struct exim_socket *s, struct arena *a, struct sv *out, struct err *err)
{
	char *where = arena_cstr(a, s->where);
	struct sb sb = SB_INIT(s->max);
	size_t done = 0;
	int fd, rc = 0;

	if (s->tls) {
		(void)err_set(err, ERR_TEMP, NULL, "TLS is not available for ${readsocket here");
		return (EXIM_FAIL);
	}
	fd = strncmp(where, "inet:", 5) == 0 ? connect_inet(where + 5, s->timeout, err) :
	    connect_unix(where, s->timeout, err);
	if (fd == -1)
		return (EXIM_FAIL);
	while (done < s->request.len) {
		ssize_t n = send(fd, s->request.p + done, s->request.len - done, MSG_NOSIGNAL);

		if (n <= 0) {
			(void)err_sys(err, "request write to socket failed");
			rc = -1;
			break;
		}
		done += (size_t)n;
	}
	if (rc == 0 && s->shutdown)
		(void)shutdown(fd, SHUT_WR);
	if (rc == 0 && drain(fd, s->timeout == 0 ? 0 : os_mono_ms() + s->timeout * 1000, &sb) == -1)
		rc = err_set(err, ERR_TEMP, NULL, "socket read timed out");
	(void)close(fd);
	*out = arena_sv(a, sb_sv(&sb));
	out->tainted = true;
	sb_free(&sb);
	return (rc == 0 ? EXIM_OK : EXIM_FAIL);
}

void
exim_world_posix(struct exim_world *w)
{
	memset(w, 0, sizeof(*w));
	w->now = w_now;
	w->random = w_random;
	w->getenv = w_getenv;
	w->addrs = w_addrs;
	w->names = w_names;
	w->interfaces = w_interfaces;
	w->run = w_run;
	w->readsocket = w_readsocket;
	w->readfile = w_readfile;
	w->stat = w_stat;
	w->passwd = w_passwd;
	w->fsspace = w_fsspace;
	w->loadavg = w_loadavg;
	w->lookup = x_lookup_blocking;
	w->perl = x_perl;
	w->dlfunc = x_dlfunc;
	w->hint_get = x_hint_get;
	w->hint_put = x_hint_put;
	w->hint_del = x_hint_del;
	w->auth = x_auth_blocking;
}
