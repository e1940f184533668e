/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpost: making, running and looking at a box.  Each subcommand has a file of its
 * own; this one finds the command, the box and the installed files.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/sb.h"
#include "os/file.h"
#include "os/proc.h"
#include "vpost_int.h"

static const struct {
	const char	*name;
	int		(*run)(int argc, char **argv);
	const char	*args;
	const char	*what;
} commands[] = {
	{ "init", cmd_init, "DIR [--ports BASE] [--hostname NAME]", "make a box" },
	{ "run", cmd_run, "[-d | -k] [BOX]", "run its daemons, in the foreground (-d: detached); -k: end them" },
	{ "start", cmd_start, "[BOX]", "start it by its rc.d scripts" },
	{ "stop", cmd_stop, "[BOX]", "stop it by its rc.d scripts" },
	{ "status", cmd_status, "[BOX]", "show daemons and listening ports" },
	{ "reload", cmd_reload, "[BOX]", "take in a changed configuration" },
	{ "reopen", cmd_reopen, "[BOX]", "open the logs anew, after they were rotated" },
	{ "check", cmd_check, "[-p] [BOX]", "report every mistake of its configuration (-p: print the settings)" },
	{ "cert", cmd_cert, "[BOX]", "show its certificates" },
	{ "adduser", cmd_adduser, "[-b BOX] NAME", "add an account; the password comes from standard input" },
	{ "explain", cmd_explain, "[-b BOX] [-f SENDER] [USER | MESSAGE]",
	    "what would become of a message for a user; its sender for etc/spammers" },
	{ "trace", cmd_trace, "[-b BOX] ID|ADDRESS", "show what the logs know of a message" },
};

const struct service services[] = {
	{ "store", "vstored" },
	{ "auth", "vauthd" },
	{ "local", "vlocald" },
	{ "queue", "vqueued" },
	{ "smtp", "vsmtpd" },
	{ "pop3", "vpop3d" },
	{ "imap", "vimapd" },
	{ NULL, NULL }
};

static const char *command = "";

int
complain(const struct err *err)
{
	(void)fflush(stdout);
	(void)fprintf(stderr, "vpost %s: %s\n", command, err->text);
	return (1);
}

int
box_arg(int argc, char **argv, const char *usage, const char **box)
{
	int c;

	*box = NULL;
	while ((c = getopt(argc, argv, "b:")) != -1) {
		if (c != 'b')
			goto usage;
		*box = optarg;
	}
	if (argc - optind == 1 && *box == NULL)
		*box = argv[optind];
	else if (argc != optind)
		goto usage;
	return (0);
usage:
	(void)fprintf(stderr, "usage: vpost %s\n", usage);
	return (-1);
}

static void
print_mistake(void *arg, const struct err *e)
{
	(void)fprintf(stderr, "%s\n", e->text);
}

struct box *
open_box(const char *arg)
{
	struct err err = ERR_INIT;
	struct box *b = NULL;
	char *root = NULL;

	if (box_find(arg, &root, &err) == -1) {
		(void)complain(&err);
		return (NULL);
	}
	if (box_open(&b, root, print_mistake, NULL, &err) == -1)
		(void)complain(&err);
	free(root);
	return (b);
}

bool
service_on(const struct box *b, const char *name)
{
	struct sv rest = sv_cstr(b->services), piece;

	while (sv_next(&rest, ':', &piece))
		if (sv_eqs(sv_trim(piece), name))
			return (true);
	return (false);
}

pid_t
running_pid(const struct box *b, const char *name)
{
	char path[PATH_MAX];
	pid_t pid;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s/%s.pid", b->root, BOX_RUN, name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) == -1)
		return (0);
	/* What the file says may be of long ago, or anybody's word. */
	pid = os_owner(fd);
	(void)close(fd);
	return (pid);
}

/* <rel> from the folder of this program. */
static int
beside_us(const char *rel, char *buf, size_t size, struct err *err)
{
	char self[PATH_MAX];
	char *slash;

	if (!os_self_path(self, sizeof(self)) || (slash = strrchr(self, '/')) == NULL)
		return (err_set(err, ERR_TEMP, NULL, "cannot tell where this program lies"));
	*slash = '\0';
	if (snprintf(buf, size, "%s/%s", self, rel) >= (int)size || access(buf, F_OK) == -1)
		return (err_set(err, ERR_CONFIG, NULL, "%s does not exist; is the installation whole?", buf));
	return (0);
}

int
find_share(const char *what, char *buf, size_t size, struct err *err)
{
	char rel[64];

	(void)snprintf(rel, sizeof(rel), "../share/vpost/%s", what);
	return (beside_us(rel, buf, size, err));
}

int
find_daemon(const char *name, char *buf, size_t size, struct err *err)
{
	char rel[64];

	(void)snprintf(rel, sizeof(rel), "../sbin/%s", name);
	return (beside_us(rel, buf, size, err));
}

int
find_tool(const char *name, char *buf, size_t size, struct err *err)
{
	return (beside_us(name, buf, size, err));
}

static int
usage(FILE *to)
{
	(void)fprintf(to, "usage: vpost COMMAND [ARGUMENTS]\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		(void)fprintf(to, "  %-8s %-38s  %s\n", commands[i].name, commands[i].args, commands[i].what);
	(void)fprintf(to, "BOX is a box's directory; without it $VPOST_BOX, else your home, else /var/vpost.  See vpost(8).\n");
	return (to == stderr ? 2 : 0);
}

int
main(int argc, char **argv)
{
	static char name[32];

	if (argc < 2)
		return (usage(stderr));
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
		return (usage(stdout));
	(void)umask(022);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			/* What getopt says of an option begins with the name. */
			(void)snprintf(name, sizeof(name), "vpost %s", commands[i].name);
			argv[1] = name;
			command = commands[i].name;
			return (commands[i].run(argc - 1, argv + 1));
		}
	}
	(void)fprintf(stderr, "vpost: there is no command \"%s\"\n", argv[1]);
	return (usage(stderr));
}
