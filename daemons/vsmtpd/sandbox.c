/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a worker may do once it runs: read files anywhere but below the box's var/mail and
 * home (its ACLs may look things up in any other), write only its journal, hints, logs
 * and sockets, and start no program.  A configuration that runs programs or includes other
 * files, which may, leaves files and programs open.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/vec.h"
#include "os/file.h"
#include "os/sandbox.h"
#include "vsmtpd.h"

#define PATHS_MAX	2000
#define CONF_MAX	(4 * 1024 * 1024)

struct paths {
	VEC(struct os_sandbox_path) v;
	struct arena	*a;
};

static void
allow(struct paths *p, const char *path, unsigned access)
{
	struct os_sandbox_path e = { arena_str(p->a, path), access };

	if (p->v.len < PATHS_MAX)
		vec_push(&p->v, e);
}

/* All entries of <dir> but those named. */
static void
allow_but(struct paths *p, const char *dir, const char *const *not, size_t nnot)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		bool skip = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;

		for (size_t i = 0; i < nnot; i++)
			skip = skip || strcmp(e->d_name, not[i]) == 0;
		if (!skip)
			allow(p, arena_fmt(p->a, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, e->d_name), OS_ACCESS_READ);
	}
	if (d != NULL)
		(void)closedir(d);
}

/* Everything beside the way from the root directory to the box, then the box's own without the mail. */
static void
allow_reading(struct paths *p, const char *root)
{
	static const char *const in_box[] = { "var", "home" }, *const in_var[] = { "mail" };
	char *way = arena_str(p->a, root), *slash = way;

	while (slash != NULL && *slash == '/' && slash[1] != '\0') {
		char *next = strchr(slash + 1, '/');
		const char *name;
		char dir[4096];

		(void)snprintf(dir, sizeof(dir), "%.*s", slash == way ? 1 : (int)(slash - way), way);
		name = arena_fmt(p->a, "%.*s", (int)(next == NULL ? (ptrdiff_t)strlen(slash + 1) : next - slash - 1), slash + 1);
		allow_but(p, dir, &name, 1);
		slash = next;
	}
	allow_but(p, root, in_box, 2);
	allow_but(p, arena_fmt(p->a, "%s/var", root), in_var, 1);
}

static bool
may_run_programs(const struct box *b)
{
	static const char *const words[] = { "${run", "smtp_etrn_command", ".include", "${perl", "${dlfunc", "queryprogram" };
	struct sb text = SB_INIT(CONF_MAX);
	struct err err = ERR_INIT;
	bool yes = os_read_file(box_path(b, BOX_EXIM_CONF), CONF_MAX, &text, &err) == -1;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && !yes; i++)
		yes = sv_find(sb_sv(&text), sv_cstr(words[i])) >= 0;
	sb_free(&text);
	return (yes);
}

int
vsmtpd_sandbox(struct daemon *d, struct err *err)
{
	static const char *const writable[] = { BOX_INTAKE, "var/spool/hints", BOX_SCAN, BOX_LOG, BOX_RUN };
	const struct box *b = daemon_box(d);
	struct os_sandbox s = { .network = true, .unix_sockets = true };
	struct paths p = { .v = VEC_INIT, .a = arena_new(0) };
	struct os_sandbox_path end = { NULL, 0 };
	int rc;

	if (may_run_programs(b)) {
		s.exec = s.fork = true;
	} else {
		allow_reading(&p, b->root);
		for (size_t i = 0; i < sizeof(writable) / sizeof(writable[0]); i++)
			allow(&p, box_path(b, writable[i]), OS_ACCESS_READ | OS_ACCESS_WRITE);
		allow(&p, "/dev/null", OS_ACCESS_READ | OS_ACCESS_WRITE);
		vec_push(&p.v, end);
		s.paths = p.v.p;
	}
	rc = os_sandbox_apply(&s, err);
	vec_free(&p.v);
	arena_free(&p.a);
	return (rc);
}
