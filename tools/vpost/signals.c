/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpost reload, reopen: a signal to what runs of a box.  Who that is the kernel says, by the locks that
 * the processes hold: a file with a number in it may be of long ago, or anybody's word.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "vpost_int.h"

/* <sig> to <name> where it runs: 1, 0 where it does not, -1 with *err. */
static int
signal_one(const struct box *b, const char *name, int sig, struct err *err)
{
	pid_t pid = running_pid(b, name);

	if (pid == 0)
		return (0);
	if (kill(pid, sig) == -1)
		return (err_sys(err, "signal to %s, process %d", name, (int)pid));
	return (1);
}

/* To `vpost run`, which passes it on, else to each daemon that was started by itself; as signal_one. */
static int
signal_box(const struct box *b, int sig, struct err *err)
{
	int rc = signal_one(b, "vpost", sig, err), one;

	if (rc != 0)
		return (rc);
	for (size_t i = 0; services[i].name != NULL; i++) {
		if ((one = signal_one(b, services[i].daemon, sig, err)) == -1)
			return (-1);
		rc |= one;
	}
	return (rc);
}

/* The box of a command that has no options but -b; NULL with *code, the exit code. */
static struct box *
box_of(int argc, char **argv, const char *usage, int *code)
{
	const char *dir;

	*code = 2;
	if (box_arg(argc, argv, usage, &dir) == -1)
		return (NULL);
	*code = 1;
	return (open_box(dir));
}

int
cmd_reload(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct box *b;
	int code, rc;

	if ((b = box_of(argc, argv, "reload [BOX]", &code)) == NULL)
		return (code);
	/* The daemons would say so too, but in a log, and go on. */
	if (!config_good(b))
		rc = err_set(&err, ERR_CONFIG, NULL, "not done: the daemons go on with what they have until that is mended");
	else if ((rc = signal_box(b, SIGHUP, &err)) == 0)
		rc = err_set(&err, ERR_TEMP, NULL, "%s does not run; vpost start %s starts it", b->root, b->root);
	box_free(&b);
	return (rc == -1 ? complain(&err) : 0);
}

int
cmd_reopen(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct box *b;
	int code, rc;

	if ((b = box_of(argc, argv, "reopen [BOX]", &code)) == NULL)
		return (code);
	/* Who rotates logs every night asks for no more than that nobody writes to the old ones. */
	if ((rc = signal_box(b, SIGUSR1, &err)) == 0)
		printf("%s does not run: nothing to do\n", b->root);
	box_free(&b);
	return (rc == -1 ? complain(&err) : 0);
}
