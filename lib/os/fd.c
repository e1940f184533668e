/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors: see fd.h. */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#include <sys/syscall.h>
#endif

#include "os/fd.h"

#define BACKLOG	512

int
os_nonblock(int fd, bool on)
{
	int fl = fcntl(fd, F_GETFL);

	if (fl == -1)
		return (-1);
	if (((fl & O_NONBLOCK) != 0) == on)
		return (0);
	return (fcntl(fd, F_SETFL, on ? fl | O_NONBLOCK : fl & ~O_NONBLOCK) == -1 ? -1 : 0);
}

int
os_cloexec(int fd, bool on)
{
	return (fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) == -1 ? -1 : 0);
}

int
os_socketpair(int sv[2])
{
	return (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv));
}

int
os_pipe(int p[2], bool nonblock)
{
	return (pipe2(p, O_CLOEXEC | (nonblock ? O_NONBLOCK : 0)));
}

ssize_t
os_sendmsg(int sock, const struct iovec *iov, int n, int fd)
{
	union {
		struct cmsghdr hdr;
		char space[CMSG_SPACE(sizeof(int))];
	} ctl;
	struct msghdr mh = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
	struct cmsghdr *c;
	ssize_t rc;

	if (fd != -1) {
		memset(&ctl, 0, sizeof(ctl));
		mh.msg_control = &ctl;
		mh.msg_controllen = sizeof(ctl.space);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do
		rc = sendmsg(sock, &mh, MSG_NOSIGNAL);
	while (rc == -1 && errno == EINTR);
	return (rc);
}

/* Keep the first descriptor of <c>, close what came beyond it. */
static void
take_fds(struct cmsghdr *c, int *fd)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int got;

		memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		if (*fd == -1)
			*fd = got;
		else
			(void)close(got);
	}
}

ssize_t
os_recvmsg(int sock, void *buf, size_t len, int *fd)
{
	union {
		struct cmsghdr hdr;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} ctl;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof(ctl) };
	ssize_t rc;

	*fd = -1;
	do
		rc = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	while (rc == -1 && errno == EINTR);
	if (rc == -1)
		return (-1);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c != NULL; c = CMSG_NXTHDR(&mh, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			take_fds(c, fd);
	return (rc);
}

int
os_peer_id(int sock, uid_t *uid, gid_t *gid, pid_t *pid)
{
#ifdef SO_PEERCRED
	struct ucred uc;
	socklen_t len = sizeof(uc);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &uc, &len) == -1)
		return (-1);
	*uid = uc.uid;
	*gid = uc.gid;
	*pid = uc.pid;
	return (0);
#else
	*pid = 0;
	return (getpeereid(sock, uid, gid));
#endif
}

int
os_peer_groups(int sock, gid_t *set, int max)
{
#ifdef SO_PEERGROUPS
	socklen_t len = (socklen_t)max * (socklen_t)sizeof(*set);

	return (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, set, &len) == -1 ? 0 : (int)(len / sizeof(*set)));
#else
	(void)sock;
	(void)set;
	(void)max;
	return (0);
#endif
}

int
os_accept_tcp(int lfd, struct sockaddr *sa, socklen_t *len)
{
	int fd = accept4(lfd, sa, len, SOCK_NONBLOCK | SOCK_CLOEXEC);

#ifndef __linux__
	/* Linux hands the listener's setting down. */
	int on = 1;

	if (fd != -1)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
#endif
	return (fd);
}

/*
 * A path beyond the 108 bytes of a socket address is reached through its directory's
 * descriptor where /proc is there; elsewhere it is an error.
 */
static int
unix_addr(const char *path, struct sockaddr_un *sun, int *dirfd)
{
	const char *slash = strrchr(path, '/');
	int n;

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	*dirfd = -1;
	if (strlen(path) < sizeof(sun->sun_path)) {
		memcpy(sun->sun_path, path, strlen(path) + 1);
		return (0);
	}
#ifdef __linux__
	if (slash != NULL) {
		char *dir = strndup(path, (size_t)(slash - path));

		if (dir == NULL)
			return (-1);
		*dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		free(dir);
		if (*dirfd == -1)
			return (-1);
		n = snprintf(sun->sun_path, sizeof(sun->sun_path), "/proc/self/fd/%d/%s", *dirfd, slash + 1);
		if (n > 0 && (size_t)n < sizeof(sun->sun_path))
			return (0);
		(void)close(*dirfd);
		*dirfd = -1;
	}
#else
	(void)slash;
	(void)n;
#endif
	errno = ENAMETOOLONG;
	return (-1);
}

static int
close_keep_errno(int fd)
{
	int e = errno;

	(void)close(fd);
	errno = e;
	return (-1);
}

int
os_connect_fast(int fd, const struct sockaddr *sa, socklen_t len)
{
#ifdef MSG_FASTOPEN
	/* Nothing goes with the SYN: the server speaks first. */
	if (sendto(fd, NULL, 0, MSG_FASTOPEN | MSG_NOSIGNAL, sa, len) != -1)
		return (0);
	if (errno != EOPNOTSUPP && errno != ENOTCONN && errno != EPIPE && errno != EINVAL)
		return (-1);
#endif
	return (connect(fd, sa, len));
}

int
os_unix_listen(const char *path, mode_t mode)
{
	struct sockaddr_un sun;
	char tmp[4096];
	int fd, dirfd, rc, n;

	/* Under a temporary name and renamed, so that nobody meets it with wrong modes or not listening. */
	n = snprintf(tmp, sizeof(tmp), "%s.%ld", path, (long)getpid());
	if (n < 0 || (size_t)n >= sizeof(tmp)) {
		errno = ENAMETOOLONG;
		return (-1);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 || unix_addr(tmp, &sun, &dirfd) == -1)
		return (fd == -1 ? -1 : close_keep_errno(fd));
	(void)unlink(tmp);
	rc = bind(fd, (struct sockaddr *)&sun, sizeof(sun));
	if (rc == 0 && (chmod(tmp, mode) == -1 || listen(fd, BACKLOG) == -1 || rename(tmp, path) == -1)) {
		rc = -1;
		n = errno;
		(void)unlink(tmp);
		errno = n;
	}
	if (dirfd != -1)
		(void)close_keep_errno(dirfd);
	return (rc == 0 ? fd : close_keep_errno(fd));
}

int
os_unix_connect(const char *path)
{
	struct sockaddr_un sun;
	int fd, dirfd, rc;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 || unix_addr(path, &sun, &dirfd) == -1)
		return (fd == -1 ? -1 : close_keep_errno(fd));
	do
		rc = connect(fd, (struct sockaddr *)&sun, sizeof(sun));
	while (rc == -1 && errno == EINTR);
	if (dirfd != -1)
		(void)close_keep_errno(dirfd);
	return (rc == 0 ? fd : close_keep_errno(fd));
}

void
os_close_from(int low)
{
#if defined(__linux__) && defined(SYS_close_range)
	if (syscall(SYS_close_range, (unsigned)low, ~0U, 0) == 0)
		return;
#elif defined(__FreeBSD__)
	closefrom(low);
	return;
#endif
	long max = sysconf(_SC_OPEN_MAX);

	for (int fd = low; fd < (max > 0 && max < 1048576 ? (int)max : 1048576); fd++)
		(void)close(fd);
}

int
os_wakeup_open(struct os_wakeup *w)
{
#ifdef __linux__
	w->rfd = w->wfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return (w->rfd == -1 ? -1 : 0);
#else
	int p[2];

	if (os_pipe(p, true) == -1)
		return (-1);
	w->rfd = p[0];
	w->wfd = p[1];
	return (0);
#endif
}

void
os_wakeup_set(const struct os_wakeup *w)
{
	uint64_t one = 1;

	/* A full counter or pipe is a wake-up already. */
	while (write(w->wfd, &one, sizeof(one)) == -1 && errno == EINTR)
		continue;
}

void
os_wakeup_clear(const struct os_wakeup *w)
{
	uint64_t buf[64];
	ssize_t n;

	do
		n = read(w->rfd, buf, w->rfd == w->wfd ? sizeof(buf[0]) : sizeof(buf));
	while (n > 0 && w->rfd != w->wfd);
}

void
os_wakeup_close(struct os_wakeup *w)
{
	if (w->rfd != -1)
		(void)close(w->rfd);
	if (w->wfd != -1 && w->wfd != w->rfd)
		(void)close(w->wfd);
	w->rfd = w->wfd = -1;
}
