/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpost adduser: a line in etc/vusers, the map without passwords, a home from skel/, and
 * the mailbox where the store runs (it comes with the first message or login otherwise).
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "auth/publish.h"
#include "auth/vusers.h"
#include "base/sb.h"
#include "fiber/fiber.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/user.h"
#include "store/client.h"
#include "vpost_int.h"

#define PASSWORD_MAX	1024
#define SKEL_MAX	(1024 * 1024)

/* The first line of standard input; asked for without echo on a terminal. */
static int
read_password(const char *name, struct sb *out, struct err *err)
{
	struct termios old, quiet;
	bool tty = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0;
	int c;

	if (tty) {
		(void)fprintf(stderr, "Password for %s: ", name);
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	while ((c = getchar()) != EOF && c != '\n')
		sb_addc(out, (char)c);
	if (tty) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		(void)fputc('\n', stderr);
	}
	if (out->len > 0 && out->p[out->len - 1] == '\r')
		sb_cut(out, out->len - 1);
	if (out->len == 0)
		return (err_set(err, ERR_PERM, NULL, "no password came from standard input"));
	if (out->overflow)
		return (err_set(err, ERR_PERM, NULL, "a password has at most %d bytes", PASSWORD_MAX));
	return (0);
}

/* As root everything belongs to the user that the daemons drop to. */
static void
own(const struct box *b, const char *path)
{
	struct os_user u;

	if (os_is_root() && os_user_by_name(b->user, &u, NULL) == 1)
		(void)!lchown(path, u.uid, u.gid);
}

static int
copy_skel(const struct box *b, const char *home, struct err *err)
{
	char share[PATH_MAX], from[PATH_MAX * 2], to[PATH_MAX * 2];
	struct dirent *de;
	int rc = 0;
	DIR *d;

	if (find_share("skel", share, sizeof(share), err) == -1)
		return (-1);
	if ((d = opendir(share)) == NULL)
		return (err_sys(err, "%s", share));
	while (rc == 0 && (de = readdir(d)) != NULL) {
		struct sb text = SB_INIT(SKEL_MAX);
		struct stat st;

		(void)snprintf(from, sizeof(from), "%s/%s", share, de->d_name);
		(void)snprintf(to, sizeof(to), "%s/%s", home, de->d_name);
		if (stat(from, &st) == -1 || !S_ISREG(st.st_mode))
			continue;
		rc = os_read_file(from, SKEL_MAX, &text, err);
		if (rc == 0 && (rc = box_act(b, err)) == 0) {
			rc = os_write_atomic(to, sb_sv(&text), 0644, err);
			os_act_back();
		}
		sb_free(&text);
	}
	(void)closedir(d);
	return (rc);
}

static int
make_home(const struct box *b, const char *name, char *home, size_t size, struct err *err)
{
	bool there;
	int rc;

	(void)snprintf(home, size, "%s/home/%s", b->root, name);
	if (box_act(b, err) == -1)
		return (-1);
	rc = mkdir(home, 0711);
	there = rc == -1 && errno == EEXIST;
	if (rc == -1 && !there)
		(void)err_sys(err, "mkdir %s", home);
	os_act_back();
	if (rc == 0)
		return (copy_skel(b, home, err));
	/* A home that is there may be another's: it stays as it is. */
	return (there ? 0 : -1);
}

struct inbox {
	const struct box *box;
	const char	*name;
	bool		 made;
};

static void
make_inbox(void *arg)
{
	struct inbox *in = arg;
	struct store_client *c = store_client_new(box_path(in->box, BOX_SOCK_STORE));
	uint64_t mbox;

	if (store_client_connect(c, NULL) == 0 && store_client_ensure_inbox(c, sv_cstr(in->name), &mbox, NULL) == 0)
		in->made = true;
	store_client_free(&c);
	fiber_stop();
}

/* True when the running store has the mailbox now. */
static bool
mailbox_now(const struct box *b, const char *name)
{
	struct inbox in = { b, name, false };

	if (running_pid(b, "vstored") == 0 || fiber_init(NULL) == -1)
		return (false);
	if (fiber_spawn("inbox", make_inbox, &in) != NULL)
		fiber_run();
	return (in.made);
}

static int
add_user(const struct box *b, const char *name, struct err *err)
{
	struct sb password = SB_INIT(PASSWORD_MAX), stored = SB_INIT(1024);
	const char *vusers = box_path(b, BOX_VUSERS);
	char home[PATH_MAX];
	int rc = -1;

	if (vusers_name_check(sv_cstr(name), err) == -1 || read_password(name, &password, err) == -1 ||
	    vusers_hash(sb_sv(&password), &stored, err) == -1 || make_home(b, name, home, sizeof(home), err) == -1)
		goto out;
	rc = vusers_file_set(vusers, sv_cstr(name), sb_cstr(&stored), NULL, home, err);
	if (rc == -1 || vusers_publish(vusers, NULL, NULL, err) == -1) {
		rc = -1;
		goto out;
	}
	own(b, vusers);
	own(b, box_path(b, BOX_VUSERS_DB));
	printf("%s %s; home %s; mailbox user.%s %s\n", name, rc == 1 ? "added" : "was there: new password set", home, name,
	    mailbox_now(b, name) ? "is there" : "comes with the first message or login");
	rc = postmaster_ensure(b, name, err);
out:
	if (password.p != NULL)
		explicit_bzero(password.p, password.cap);
	sb_free(&password);
	sb_free(&stored);
	return (rc);
}

int
cmd_adduser(int argc, char **argv)
{
	struct err err = ERR_INIT;
	const char *dir = NULL;
	struct box *b;
	int c, rc;

	while ((c = getopt(argc, argv, "b:")) != -1) {
		if (c != 'b')
			goto usage;
		dir = optarg;
	}
	if (argc - optind != 1)
		goto usage;
	if ((b = open_box(dir)) == NULL)
		return (1);
	/* Case does not count in names, but in those of homes: mail for joe would not find home/Joe. */
	for (char *p = argv[optind]; *p != '\0'; p++)
		*p = sv_lower(*p);
	rc = add_user(b, argv[optind], &err) == -1 ? complain(&err) : 0;
	box_free(&b);
	return (rc);
usage:
	(void)fprintf(stderr, "usage: vpost adduser [-b BOX] NAME\n       The password is the first line of standard input.\n");
	return (2);
}
