/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Passwords of the system's accounts.  PAM may need root and may run anything, so a
 * process forked before vauthd gave up root does nothing but fork a child for each
 * question; the child asks PAM once, writes one byte, and is gone.  The question comes with
 * the descriptor on which to answer, so that a slow module holds nobody else up.
 */
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/user.h"
#include "vauthd.h"

#define ASK_MS		30000
#define QUESTION_MAX	4096

enum answer { ANSWER_OK = 'y', ANSWER_WRONG = 'n', ANSWER_TEMP = 't' };

/* Hand the password to whatever asks without echo; anything else gets nothing. */
static int
converse(int n, const struct pam_message **msg, struct pam_response **resp, void *arg)
{
	struct pam_response *r = calloc((size_t)n, sizeof(*r));

	if (r == NULL)
		return (PAM_BUF_ERR);
	for (int i = 0; i < n; i++)
		if (msg[i]->msg_style == PAM_PROMPT_ECHO_OFF)
			r[i].resp = strdup(arg);
	*resp = r;
	return (PAM_SUCCESS);
}

static enum answer
ask_pam(const char *user, char *password, const char *addr)
{
	struct pam_conv conv = { .conv = converse, .appdata_ptr = password };
	const char *name = access("/etc/pam.d/vpost", R_OK) == 0 ? "vpost" : "login";
	pam_handle_t *h = NULL;
	int rc;

	if ((rc = pam_start(name, user, &conv, &h)) != PAM_SUCCESS)
		return (ANSWER_TEMP);
	(void)pam_set_item(h, PAM_RHOST, addr);
	rc = pam_authenticate(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	if (rc == PAM_SUCCESS)
		rc = pam_acct_mgmt(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	(void)pam_end(h, rc);
	switch (rc) {
	case PAM_SUCCESS:
		return (ANSWER_OK);
	case PAM_ABORT:
	case PAM_BUF_ERR:
	case PAM_SYSTEM_ERR:
	case PAM_SERVICE_ERR:
	case PAM_AUTHINFO_UNAVAIL:
		return (ANSWER_TEMP);
	default:
		return (ANSWER_WRONG);
	}
}

/* The child: <q> holds user, password and address, each with its NUL. */
static void
answer(char *q, size_t len, int fd)
{
	char *user = q, *password, *addr, c = ANSWER_TEMP;
	struct os_user u;

	password = memchr(user, '\0', len);
	addr = password == NULL ? NULL : memchr(password + 1, '\0', len - (size_t)(password + 1 - q));
	if (addr != NULL && q[len - 1] == '\0' && addr + 1 < q + len) {
		/* Root's password is not to be guessed over the network. */
		if (os_user_by_name(user, &u, NULL) == 1 && u.uid == 0)
			c = ANSWER_WRONG;
		else
			c = (char)ask_pam(user, password + 1, addr + 1);
	}
	explicit_bzero(q, len);
	(void)!write(fd, &c, 1);
	_exit(0);
}

static void __attribute__((noreturn))
serve(struct daemon *d, int sock)
{
	static char q[QUESTION_MAX];

	daemon_in_child(d);
	os_title("vauthd: system accounts");
	(void)signal(SIGCHLD, SIG_IGN);		/* children are not waited for */
	for (;;) {
		int fd = -1;
		ssize_t n = os_recvmsg(sock, q, sizeof(q), &fd);
		pid_t pid;

		if (n == 0 || (n == -1 && errno != EINTR && errno != EAGAIN))
			_exit(0);
		if (n == -1) {
			struct pollfd p = { .fd = sock, .events = POLLIN };

			(void)poll(&p, 1, -1);
			continue;
		}
		pid = fd == -1 ? -1 : fork();
		if (pid == 0) {
			(void)signal(SIGCHLD, SIG_DFL);		/* PAM's helpers are waited for */
			(void)alarm(ASK_MS / 1000);
			answer(q, (size_t)n, fd);
		}
		explicit_bzero(q, sizeof(q));
		if (fd != -1)
			(void)close(fd);
	}
}

int
system_start(struct daemon *d, struct err *err)
{
	int s[2];
	pid_t pid;

	/* Questions are records: each with its descriptor. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) == -1)
		return (err_sys(err, "make a socket pair"));
	pid = fork();
	if (pid == -1) {
		(void)close(s[0]);
		(void)close(s[1]);
		return (err_sys(err, "fork"));
	}
	if (pid == 0) {
		(void)close(s[0]);
		serve(d, s[1]);
	}
	(void)close(s[1]);
	return (s[0]);
}

enum auth_result
system_check(int fd, const char *user, const char *password, const char *service, const char *addr)
{
	struct iovec iov[3] = {
		{ .iov_base = (void *)(uintptr_t)user, .iov_len = strlen(user) + 1 },
		{ .iov_base = (void *)(uintptr_t)password, .iov_len = strlen(password) + 1 },
		{ .iov_base = (void *)(uintptr_t)addr, .iov_len = strlen(addr) + 1 },
	};
	struct pollfd p = { .events = POLLIN };
	enum auth_result r = AUTH_TEMP;
	int s[2];
	char c;

	if (iov[0].iov_len + iov[1].iov_len + iov[2].iov_len > QUESTION_MAX ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == -1)
		return (AUTH_TEMP);
	if (os_sendmsg(fd, iov, 3, s[1]) > 0) {
		(void)close(s[1]);
		s[1] = -1;
		p.fd = s[0];
		/* The child's death closes its end: that ends the wait too. */
		if (poll(&p, 1, ASK_MS) == 1 && read(s[0], &c, 1) == 1)
			r = c == ANSWER_OK ? AUTH_OK : c == ANSWER_WRONG ? AUTH_FAIL : AUTH_TEMP;
	}
	(void)close(s[0]);
	if (s[1] != -1)
		(void)close(s[1]);
	return (r);
}
