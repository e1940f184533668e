/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpost start, stop: the box's numbered scripts etc/rc.d/NNN.name.sh, each on when it is
 * executable, run in order of their numbers (stop: in reverse).
 */
#include <sys/wait.h>

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sv.h"
#include "os/priv.h"
#include "os/proc.h"
#include "vpost_int.h"

static int
is_script(const struct dirent *de)
{
	return (sv_isdigit(de->d_name[0]) && sv_ends(sv_cstr(de->d_name), ".sh"));
}

/* A box's scripts are its user's, whoever owns them: root runs them as him. */
static int
become_user(const struct box *b)
{
	struct err err = ERR_INIT;

	if (!os_is_root() || (owner_check(b, &err) == 0 && os_drop_to(b->user, &err) == 0))
		return (0);
	return (complain(&err), -1);
}

/* The daemons themselves: no need to ask a script of the box. */
static bool
is_ours(const char *path)
{
	const char *name = strrchr(path, '/');

	return (os_is_root() && name != NULL && strcmp(name, "/100.vpost.sh") == 0);
}

static int
run_script(const struct box *b, const char *path, const char *what)
{
	char self[PATH_MAX];
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (is_ours(path)) {
			if (os_self_path(self, sizeof(self)))
				(void)execl(self, "vpost", "run", strcmp(what, "start") == 0 ? "-d" : "-k", b->root, (char *)NULL);
			_exit(127);
		}
		if (become_user(b) == -1)
			_exit(126);
		(void)execl(path, path, what, (char *)NULL);
		_exit(127);
	}
	if (pid == -1 || waitpid(pid, &status, 0) == -1)
		return (-1);
	return (WIFEXITED(status) ? WEXITSTATUS(status) : 128);
}

/* The scripts call vpost by name: let them find this one first. */
static void
path_with_us(void)
{
	char self[PATH_MAX], path[PATH_MAX * 2];
	const char *old = getenv("PATH");
	char *slash;

	if (!os_self_path(self, sizeof(self)) || (slash = strrchr(self, '/')) == NULL)
		return;
	*slash = '\0';
	(void)snprintf(path, sizeof(path), "%s:%s", self, old == NULL ? "/usr/local/bin:/usr/bin:/bin" : old);
	(void)setenv("PATH", path, 1);
}

static int
run_scripts(struct box *b, const char *what, bool reverse)
{
	const char *dir = box_path(b, "etc/rc.d");
	struct err err = ERR_INIT;
	struct dirent **names;
	int n, rc = 0, ran = 0;

	path_with_us();
	n = scandir(dir, &names, is_script, alphasort);
	if (n == -1) {
		err_sys(&err, "%s", dir);
		return (complain(&err));
	}
	for (int i = 0; i < n; i++) {
		const char *name = names[reverse ? n - 1 - i : i]->d_name;
		char path[PATH_MAX];
		int st;

		(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
		if (access(path, X_OK) == -1)
			continue;
		ran++;
		st = run_script(b, path, what);
		printf("%-24s %s\n", name, st == 0 ? what : "FAILED");
		if (st != 0)
			rc = 1;
	}
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	if (ran == 0) {
		err_set(&err, ERR_CONFIG, NULL, "%s has no executable script; chmod +x turns one on", dir);
		return (complain(&err));
	}
	return (rc);
}

static int
scripts_command(int argc, char **argv, const char *what, bool reverse)
{
	char usage[64];
	const char *dir;
	struct box *b;
	int rc;

	(void)snprintf(usage, sizeof(usage), "%s [BOX]", what);
	if (box_arg(argc, argv, usage, &dir) == -1)
		return (2);
	if ((b = open_box(dir)) == NULL)
		return (1);
	rc = run_scripts(b, what, reverse);
	box_free(&b);
	return (rc);
}

int
cmd_start(int argc, char **argv)
{
	return (scripts_command(argc, argv, "start", false));
}

int
cmd_stop(int argc, char **argv)
{
	return (scripts_command(argc, argv, "stop", true));
}
