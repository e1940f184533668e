/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpost init: the directories of a box, its first configuration, a certificate.
 * What exists is left as it is, so that it can be run again.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/publish.h"
#include "base/num.h"
#include "base/sb.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/proc.h"
#include "os/user.h"
#include "vpost_int.h"

#define FILE_MAX	(1024 * 1024)
#define DEFAULT_USER	"vpost"

struct plan {
	char		 root[PATH_MAX];
	char		 host[256];
	int64_t		 ports;		/* 0: the standard ones */
	bool		 chown;
	struct os_user	 owner;
};

static const struct {
	const char	*path;
	mode_t		 mode;
} dirs[] = {
	{ "etc", 0755 }, { "etc/tls", 0700 }, { "etc/rc.d", 0755 }, { "etc/mlists", 0755 }, { "home", 0755 },
	{ "var", 0755 }, { "var/spool", 0700 }, { "var/spool/intake", 0700 }, { "var/spool/queue", 0700 },
	{ "var/spool/quarantine", 0700 }, { "var/spool/mlists", 0755 }, { "var/mail", 0700 }, { "var/log", 0755 },
	{ "var/run", 0755 }
};

static int
own(const struct plan *p, const char *path, struct err *err)
{
	if (p->chown && lchown(path, p->owner.uid, p->owner.gid) == -1)
		return (err_sys(err, "chown %s", path));
	return (0);
}

static int
make_dirs(const struct plan *p, struct err *err)
{
	char path[PATH_MAX + 64];

	if (os_mkdir_p(p->root, 0755, err) == -1)
		return (-1);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", p->root, dirs[i].path);
		if (mkdir(path, dirs[i].mode) == -1 && errno != EEXIST)
			return (err_sys(err, "mkdir %s", path));
		if (own(p, path, err) == -1)
			return (-1);
	}
	return (0);
}

/* Write <rel> unless it is there. */
static int
put_file(const struct plan *p, const char *rel, struct sv text, mode_t mode, struct err *err)
{
	char path[PATH_MAX + 300];

	(void)snprintf(path, sizeof(path), "%s/%s", p->root, rel);
	if (access(path, F_OK) == 0) {
		printf("kept      %s\n", rel);
		return (0);
	}
	if (os_write_atomic(path, text, mode, err) == -1 || own(p, path, err) == -1)
		return (-1);
	printf("made      %s\n", rel);
	return (0);
}

/* @BOX@ is <root>, @VPOST@ this program: cron finds it nowhere else. */
static void
put_placed(struct sb *out, struct sv line, const char *root)
{
	static const char box[] = "@BOX@", us[] = "@VPOST@";
	char self[PATH_MAX];

	while (line.len > 0) {
		if (sv_starts(line, box)) {
			sb_adds(out, root);
			line = sv_sub(line, sizeof(box) - 1, line.len);
		} else if (sv_starts(line, us)) {
			sb_adds(out, os_self_path(self, sizeof(self)) ? self : "vpost");
			line = sv_sub(line, sizeof(us) - 1, line.len);
		} else {
			sb_addc(out, line.p[0]);
			line = sv_sub(line, 1, line.len);
		}
	}
}

/* exim.conf tells Exim itself where the box lies, as other files tell other programs; vpost knows. */
static void
place_box(struct sb *text, const char *root)
{
	struct sb out = SB_INIT(FILE_MAX);
	struct sv rest = sb_sv(text), line;

	while (sv_next(&rest, '\n', &line)) {
		if (sv_eqs(line, "BOX = /var/vpost"))
			sb_addf(&out, "BOX = %s", root);
		else
			put_placed(&out, line, root);
		if (rest.p != NULL)
			sb_addc(&out, '\n');
	}
	sb_free(text);
	*text = out;
}

static void
settings_text(struct sb *text, const struct plan *p)
{
	static const struct {
		const char	*name;
		int		 port;
	} listens[] = { { "smtp", 25 }, { "submission", 587 }, { "smtps", 465 }, { "pop3", 110 }, { "pop3s", 995 },
		{ "imap", 143 }, { "imaps", 993 } };

	sb_addf(text, "\nhostname = %s\n", p->host);
	if (p->ports == 0)
		return;
	sb_adds(text, "\n# On this machine only, without the standard ports, which need root.\n");
	for (size_t i = 0; i < sizeof(listens) / sizeof(listens[0]); i++)
		sb_addf(text, "%s_listen = 127.0.0.1:%d\n", listens[i].name, (int)p->ports + listens[i].port);
}

static int
copy_etc(const struct plan *p, struct err *err)
{
	char share[PATH_MAX], from[PATH_MAX + 300], rel[300];
	struct dirent *de;
	int rc = 0;
	DIR *d;

	if (find_share("etc", share, sizeof(share), err) == -1)
		return (-1);
	if ((d = opendir(share)) == NULL)
		return (err_sys(err, "%s", share));
	while (rc == 0 && (de = readdir(d)) != NULL) {
		struct sb text = SB_INIT(FILE_MAX);
		struct stat st;

		(void)snprintf(from, sizeof(from), "%s/%s", share, de->d_name);
		(void)snprintf(rel, sizeof(rel), "etc/%s", de->d_name);
		if (de->d_name[0] == '.' || stat(from, &st) == -1 || !S_ISREG(st.st_mode))
			continue;
		rc = os_read_file(from, FILE_MAX, &text, err);
		if (rc == 0)
			place_box(&text, p->root);
		if (rc == 0 && strcmp(de->d_name, "vpost.conf") == 0)
			settings_text(&text, p);
		if (rc == 0)
			rc = put_file(p, rel, sb_sv(&text), 0644, err);
		sb_free(&text);
	}
	(void)closedir(d);
	return (rc);
}

static int
first_files(const struct plan *p, struct err *err)
{
	char path[PATH_MAX + 64];
	struct sb rc = SB_INIT(4096);
	int ret;

	sb_addf(&rc, "#!/bin/sh\n# The daemons of this box.  chmod -x turns them off for vpost start.\n"
	    "case ${1-} in\nstart) exec vpost run -d '%s' ;;\nstop) exec vpost run -k '%s' ;;\nstatus) exec vpost status '%s' ;;\n"
	    "*) echo \"usage: $0 start|stop|status\" >&2; exit 2 ;;\nesac\n", p->root, p->root, p->root);
	ret = put_file(p, "etc/rc.d/100.vpost.sh", sb_sv(&rc), 0755, err);
	sb_free(&rc);
	if (ret == -1 || put_file(p, "etc/vusers", SV_LIT(""), 0600, err) == -1)
		return (-1);
	(void)snprintf(path, sizeof(path), "%s/%s", p->root, BOX_VUSERS);
	if (!vusers_published(path) && vusers_publish(path, NULL, NULL, err) == -1)
		return (-1);
	(void)snprintf(path, sizeof(path), "%s/%s", p->root, BOX_VUSERS_DB);
	if (own(p, path, err) == -1)
		return (-1);
	(void)snprintf(path, sizeof(path), "%s/etc/tls/default.pem", p->root);
	if (access(path, F_OK) == 0)
		return (0);
	if (selfsign(path, p->host, err) == -1 || own(p, path, err) == -1)
		return (-1);
	printf("made      etc/tls/default.pem, signed by nobody; put a real one there\n");
	return (0);
}

static int
make_plan(struct plan *p, const char *dir, struct err *err)
{
	if (p->host[0] == '\0')
		os_hostname(p->host, sizeof(p->host));
	if (os_mkdir_p(dir, 0755, err) == -1)
		return (-1);
	if (realpath(dir, p->root) == NULL)
		return (err_sys(err, "%s", dir));
	/* Started as root its daemons drop to a user of their own. */
	p->chown = os_is_root();
	if (p->chown && os_user_by_name(DEFAULT_USER, &p->owner, NULL) != 1) {
		printf("note      there is no user " DEFAULT_USER "; the box belongs to root until one is made:\n"
		    "          useradd -r -M -s /usr/sbin/nologin " DEFAULT_USER " && chown -R " DEFAULT_USER " %s\n", p->root);
		p->chown = false;
	}
	return (0);
}

/* A box that has accounts already, from elsewhere or made by an older version. */
static int
postmaster_of(const char *root, struct err *err)
{
	struct box *b = NULL;
	int rc;

	if (box_open(&b, root, NULL, NULL, err) == -1)
		return (-1);
	rc = postmaster_ensure(b, NULL, err);
	box_free(&b);
	return (rc);
}

int
cmd_init(int argc, char **argv)
{
	static const struct option longopts[] = { { "ports", required_argument, NULL, 'p' },
		{ "hostname", required_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	struct err err = ERR_INIT;
	struct plan p;
	int c;

	memset(&p, 0, sizeof(p));
	while ((c = getopt_long(argc, argv, "p:h:", longopts, NULL)) != -1) {
		if (c == 'p' && num_parse(sv_cstr(optarg), 1024, 64000, &p.ports))
			continue;
		if (c == 'h' && strlen(optarg) < sizeof(p.host)) {
			(void)snprintf(p.host, sizeof(p.host), "%s", optarg);
			continue;
		}
		goto usage;
	}
	if (argc - optind != 1)
		goto usage;
	if (p.ports == 0 && !os_is_root())
		p.ports = 20000;
	if (make_plan(&p, argv[optind], &err) == -1 || make_dirs(&p, &err) == -1 || copy_etc(&p, &err) == -1 ||
	    first_files(&p, &err) == -1 || postmaster_of(p.root, &err) == -1)
		return (complain(&err));
	printf("ready     %s\nnext      write your domains into %s/etc/domains, one a line; then\n"
	    "          vpost adduser -b %s NAME\n          vpost check %s\n          vpost start %s\n", p.root, p.root, p.root, p.root,
	    p.root);
	return (0);
usage:
	(void)fprintf(stderr, "usage: vpost init DIR [--ports BASE] [--hostname NAME]\n"
	    "       BASE, 1024 to 64000, is added to each standard port: SMTP listens on 127.0.0.1:BASE+25\n");
	return (2);
}
