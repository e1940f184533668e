/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a box: its root, its settings.  The file is read with the lexer of
 * exim.conf, so comments, continuation, macros and .include work alike.
 */
#include "box/box.h"

#include <sys/stat.h>

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "exim/lexer.h"
#include "exim/option.h"
#include "exim/report.h"
#include "os/priv.h"

#define LISTEN_MAX	64

#define X(name, type, dflt, doc)	{ #name, BOX_##type, dflt, doc, offsetof(struct box, name) },
const struct box_setting box_settings[] = { BOX_SETTINGS(X) };
#undef X
const size_t box_nsettings = sizeof(box_settings) / sizeof(box_settings[0]);

static void *
field(struct box *b, const struct box_setting *s)
{
	return ((char *)b + s->offset);
}

/* "ADDR:PORT" pieces between blanks or semicolons; a port alone means all addresses.  Empty: not listened. */
static int
set_listen(box_listens *out, struct sv value)
{
	vec_free(out);
	for (;;) {
		struct box_listen l;
		struct sv piece;
		size_t i = 0, j;

		while (i < value.len && (sv_isspace(value.p[i]) || value.p[i] == ';'))
			i++;
		for (j = i; j < value.len && !sv_isspace(value.p[j]) && value.p[j] != ';'; j++)
			;
		piece = sv_sub(value, i, j);
		value = sv_sub(value, j, value.len);
		if (piece.len == 0)
			return (0);
		memset(&l, 0, sizeof(l));
		if (out->len == LISTEN_MAX || piece.len >= sizeof(l.text) || !net_addr_parse_port(piece, 0, &l.addr) ||
		    l.addr.port == 0)
			return (-1);
		memcpy(l.text, piece.p, piece.len);
		vec_push(out, l);
	}
}

/* Set <s> from text; -1 when the text is not of its type. */
static int
set_value(struct box *b, const struct box_setting *s, struct sv v)
{
	void *p = field(b, s);
	int64_t n;

	switch (s->type) {
	case BOX_STR:
	case BOX_LIST:
		*(char **)p = arena_cstr(b->arena, v);
		return (0);
	case BOX_BOOL:
		return (exim_parse_bool(v, p) ? 0 : -1);
	case BOX_INT:
	case BOX_SIZE:
		if (!exim_parse_int(v, &n) || n < 0)
			return (-1);
		*(int64_t *)p = n;
		return (0);
	case BOX_TIME:
		return (exim_parse_time(v, p) ? 0 : -1);
	case BOX_LISTEN:
		return (set_listen(p, v));
	}
	return (-1);
}

static const char *
type_text(enum box_type t)
{
	static const char *const texts[] = {
		[BOX_STR] = "a text", [BOX_BOOL] = "yes or no", [BOX_INT] = "a whole number",
		[BOX_SIZE] = "a size: a number with K, M or G", [BOX_TIME] = "a time like 1h30m",
		[BOX_LISTEN] = "a list of ADDRESS:PORT between blanks", [BOX_LIST] = "a list"
	};

	return (texts[t]);
}

static const struct box_setting *
find_setting(struct sv name)
{
	for (size_t i = 0; i < box_nsettings; i++)
		if (sv_eqs(name, box_settings[i].name))
			return (&box_settings[i]);
	return (NULL);
}

static void
set_line(struct box *b, const struct exim_line *line, bool *given, struct exim_report *rep)
{
	struct err why = ERR_INIT;
	struct exim_assign as;
	const struct box_setting *s;
	struct sv v;

	if (exim_assign_parse(line, &as, rep) == -1)
		return;
	if (as.junk.len > 0) {
		(void)exim_report_error(rep, line->file, line->line, "\"" SV_FMT "\" should be followed by \"=\" and a value, not by \""
		    SV_FMT "\"", SV_ARG(as.full_name), SV_ARG(as.junk));
		return;
	}
	s = find_setting(as.full_name);
	if (s == NULL && as.negated)
		s = find_setting(as.name);
	if (s == NULL) {
		(void)exim_report_error(rep, line->file, line->line, "unknown setting \"" SV_FMT
		    "\": vpost.conf(5) lists those there are", SV_ARG(as.full_name));
		return;
	}
	if (given[s - box_settings]) {
		(void)exim_report_error(rep, line->file, line->line, "%s is set a second time; remove one of the lines", s->name);
		return;
	}
	given[s - box_settings] = true;
	if (as.value.p == NULL && s->type == BOX_BOOL)
		v = as.negated ? SV_LIT("no") : SV_LIT("yes");
	else if (as.value.p == NULL)
		v = SV_NULL;
	else if (exim_string_parse(as.value, b->arena, &v, &why) == -1) {
		(void)exim_report_error(rep, line->file, line->line, "%s: %s", s->name, why.text);
		return;
	}
	if (v.p == NULL || set_value(b, s, v) == -1)
		(void)exim_report_error(rep, line->file, line->line, "%s must be %s", s->name, type_text(s->type));
}

static void
set_defaults(struct box *b)
{
	for (size_t i = 0; i < box_nsettings; i++)
		(void)set_value(b, &box_settings[i], sv_cstr(box_settings[i].dflt));
}

struct relay {
	void	(*fn)(void *arg, const struct err *e);
	void	*arg;
};

static void
relay_report(void *arg, const struct err *e, bool warning)
{
	struct relay *r = arg;

	if (r->fn != NULL)
		r->fn(r->arg, e);
}

/* A box is its owner's: root reads there what he may read, and nothing that he only has a link to or includes. */
static int
act_as_owner(const struct box *b, const char *path, struct err *err)
{
	struct stat dir, file;

	if (!os_is_root() || stat(b->root, &dir) == -1)
		return (0);
	if (dir.st_uid == 0 && lstat(path, &file) == 0)
		dir = file;
	return (os_act_as(dir.st_uid, dir.st_gid, err));
}

static void
read_settings(struct box *b, const char *path, bool *given, struct exim_report *rep)
{
	struct exim_lexer *lx = exim_lexer_open(path, NULL, 0, b->arena, rep);
	struct exim_line line;

	while (lx != NULL && exim_lexer_next(lx, &line))
		set_line(b, &line, given, rep);
	if (lx != NULL)
		exim_lexer_close(&lx);
}

int
box_open(struct box **bp, const char *root, void (*report)(void *arg, const struct err *e), void *arg, struct err *err)
{
	struct relay relay = { report, arg };
	struct exim_report rep = EXIM_REPORT_INIT;
	struct box *b = xcalloc(1, sizeof(*b));
	bool *given = xcalloc(box_nsettings, sizeof(*given));
	char real[PATH_MAX];
	const char *path;
	int rc = -1;

	b->arena = arena_new(0);
	if (realpath(root, real) == NULL) {
		err_sys(err, "box %s", root);
		goto out;
	}
	b->root = arena_str(b->arena, real);
	set_defaults(b);
	path = box_path(b, "etc/vpost.conf");
	rep.fn = relay_report;
	rep.arg = &relay;
	if (access(path, F_OK) == 0) {
		if (act_as_owner(b, path, err) == -1)
			goto out;
		read_settings(b, path, given, &rep);
		os_act_back();
	}
	if (rep.errors > 0) {
		if (err != NULL)
			*err = rep.first;
		goto out;
	}
	rc = 0;
out:
	free(given);
	if (rc == -1)
		box_free(&b);
	*bp = b;
	return (rc);
}

void
box_free(struct box **bp)
{
	struct box *b = *bp;

	if (b == NULL)
		return;
	for (size_t i = 0; i < box_nsettings; i++)
		if (box_settings[i].type == BOX_LISTEN)
			vec_free((box_listens *)field(b, &box_settings[i]));
	arena_free(&b->arena);
	free(b);
	*bp = NULL;
}

const char *
box_path(const struct box *b, const char *rel)
{
	return (arena_fmt(b->arena, "%s/%s", strcmp(b->root, "/") == 0 ? "" : b->root, rel));
}

/* The box of a host that has one. */
#define OF_HOST	"/var/vpost"

static bool
has_etc(const char *dir)
{
	char path[PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/etc", dir);
	return (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

int
box_find(const char *opt, char **root, struct err *err)
{
	const char *env = getenv("VPOST_BOX");
	const struct passwd *pw;

	if (opt != NULL || (env != NULL && *env != '\0')) {
		if (opt == NULL)
			opt = env;
		if (!has_etc(opt))
			return (err_set(err, ERR_CONFIG, NULL, "%s is no box: it has no etc directory (vpost init makes one)", opt));
		*root = xstrdup(opt);
		return (0);
	}
	pw = getpwuid(getuid());
	if (pw != NULL && has_etc(pw->pw_dir)) {
		*root = xstrdup(pw->pw_dir);
		return (0);
	}
	if (access(OF_HOST "/etc/vpost.conf", F_OK) == 0) {
		*root = xstrdup(OF_HOST);
		return (0);
	}
	return (err_set(err, ERR_CONFIG, NULL,
	    "which box? Name its directory, set $VPOST_BOX to it, or be its owner (a home with an etc directory)"));
}
