/* SPDX-License-Identifier: BSD-2-Clause */
/* The other side of a login: what the session roles of vimapd and vpop3d share. */
#include <unistd.h>

#include "daemon/handover.h"
#include "fiber/fiber.h"
#include "login/login.h"
#include "os/sandbox.h"

#define INPUT_MAX	(1024 * 1024 + 8)

static struct {
	void	(*take)(const struct daemon_handover *h, int fd);
	void	(*gone)(void);
} role;

/* Takes what one login process hands over. */
static void
receiver(void *arg)
{
	int pair = (int)(intptr_t)arg, fd, rc;
	struct sb mem = SB_INIT(INPUT_MAX);
	struct daemon_handover h;
	struct err err = ERR_INIT;

	for (;;) {
		rc = daemon_handover_receive(pair, &h, &mem, &fd, &err);
		if (rc != 0)
			break;
		role.take(&h, fd);
		sb_free(&mem);
	}
	if (fd != -1)
		(void)close(fd);
	if (rc == -1)
		log_err(NULL, "login process", &err);
	sb_free(&mem);
	role.gone();
}

int
login_receive(struct daemon *d, void (*take)(const struct daemon_handover *h, int fd), void (*gone)(void), struct err *err)
{
	role.take = take;
	role.gone = gone;
	if (fiber_spawn("receiver", receiver, (void *)(intptr_t)daemon_pair(d, 0)) == NULL)
		return (err_set(err, ERR_TEMP, NULL, "no fiber for the receiver"));
	return (0);
}

/*
 * No keys, no passwords, no network.  The store's lock files and var/run's temporary files are written; /usr and
 * /lib hold the character sets of iconv.
 */
int
login_session_sandbox(struct daemon *d, struct err *err)
{
	const struct box *b = daemon_box(d);
	const struct os_sandbox_path paths[] = {
		{ box_path(b, BOX_MAIL), OS_ACCESS_READ | OS_ACCESS_WRITE },
		{ box_path(b, BOX_RUN), OS_ACCESS_READ | OS_ACCESS_WRITE },
		{ box_path(b, BOX_LOG), OS_ACCESS_READ | OS_ACCESS_WRITE },
		{ "/etc/localtime", OS_ACCESS_READ }, { "/etc/ld.so.cache", OS_ACCESS_READ },
		{ "/usr/lib", OS_ACCESS_READ | OS_ACCESS_EXEC }, { "/lib", OS_ACCESS_READ | OS_ACCESS_EXEC },
		{ "/lib64", OS_ACCESS_READ | OS_ACCESS_EXEC }, { "/usr/share", OS_ACCESS_READ },
		{ NULL, 0 },
	};
	const struct os_sandbox s = { .paths = paths, .unix_sockets = true };

	return (os_sandbox_apply(&s, err));
}
