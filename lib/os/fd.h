/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors: flags, passing one over a UNIX socket, peers' ids, wake-ups between threads. */
#ifndef VPOST_OS_FD_H
#define VPOST_OS_FD_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

int	 os_nonblock(int fd, bool on);		/* -1 with errno */
int	 os_cloexec(int fd, bool on);
/* Non-blocking, close-on-exec UNIX stream pair. */
int	 os_socketpair(int sv[2]);
/* Close-on-exec pipe; non-blocking if asked. */
int	 os_pipe(int p[2], bool nonblock);

/* sendmsg with descriptor <fd> (-1: none); no SIGPIPE.  As sendmsg(2). */
ssize_t	 os_sendmsg(int sock, const struct iovec *iov, int n, int fd);
/* recvmsg; *<fd> gets a descriptor that came along (close-on-exec), or -1; further ones are closed. */
ssize_t	 os_recvmsg(int sock, void *buf, size_t len, int *fd);
/* Who connected a UNIX socket; *<pid> is 0 where the system does not tell. */
int	 os_peer_id(int sock, uid_t *uid, gid_t *gid, pid_t *pid);
/* The further groups of that process, at most <max>; as many as are known. */
int	 os_peer_groups(int sock, gid_t *set, int max);
/* Accept one TCP connection: non-blocking, close-on-exec, without Nagle's delay where the listener has none; as accept(2). */
int	 os_accept_tcp(int lfd, struct sockaddr *sa, socklen_t *len);
/* connect(2) with TCP Fast Open (RFC 7413) where the system can; else without. */
int	 os_connect_fast(int fd, const struct sockaddr *sa, socklen_t len);
/* Listen on, or connect to, a UNIX stream socket; both non-blocking and close-on-exec; -1 with errno. */
int	 os_unix_listen(const char *path, mode_t mode);
int	 os_unix_connect(const char *path);
/* Close every descriptor from <low> on. */
void	 os_close_from(int low);

/* A wake-up: what is written by os_wakeup_set on any thread makes p[0] readable until os_wakeup_clear. */
struct os_wakeup {
	int	 rfd;
	int	 wfd;		/* may equal rfd */
};
int	 os_wakeup_open(struct os_wakeup *w);
void	 os_wakeup_set(const struct os_wakeup *w);
void	 os_wakeup_clear(const struct os_wakeup *w);
void	 os_wakeup_close(struct os_wakeup *w);

#endif
