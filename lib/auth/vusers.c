/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of etc/vusers: parsed whole into an array with an index by name.  A colon
 * separates fields, and RFC 5803 keys hold two colons: a password that begins with
 * "SCRAM-SHA-256$" takes the next two pieces along.
 */
#include "auth/vusers.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/vec.h"
#include "os/file.h"

struct vusers {
	char		*text;
	VEC(struct vuser) u;
	struct hash	*names;		/* lower case -> index + 1 */
};

struct reporter {
	const char	*file;
	unsigned	 line;
	void		(*fn)(void *arg, const struct err *e);
	void		*arg;
};

static void
complain(const struct reporter *r, struct sv name, const char *what)
{
	struct err e = ERR_INIT;

	if (r->fn == NULL)
		return;
	if (name.len > 0)
		(void)err_conf(&e, r->file, r->line, "user " SV_FMT ": %s", SV_ARG(sv_sub(name, 0, 64)), what);
	else
		(void)err_conf(&e, r->file, r->line, "%s", what);
	r->fn(r->arg, &e);
}

static struct sv
fold(struct sv name, char buf[VUSERS_NAME_MAX])
{
	for (size_t i = 0; i < name.len; i++)
		buf[i] = sv_lower(name.p[i]);
	return (sv_from(buf, name.len));
}

/* NULL, or what is wrong with a name in the file. */
static const char *
bad_name(struct sv name)
{
	if (name.len == 0)
		return ("the line has no user name");
	if (name.len > VUSERS_NAME_MAX)
		return ("the name is longer than 127 characters");
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c == '.')
			return ("a dot separates folder names and cannot be in a user name: choose a name without one");
		if (c <= ' ' || c == 0x7f || c == '/' || c == '*' || c == '%')
			return ("the name holds a blank or a character that folder names cannot have");
	}
	return (NULL);
}

/* Cut the password field off *<line>. */
static struct sv
password_field(struct sv *line)
{
	struct sv start = *line, piece = SV_NULL;
	int n = sv_starts(start, "SCRAM-SHA-256$") ? 3 : 1;

	while (n-- > 0 && sv_next(line, ':', &piece))
		continue;
	if (piece.p == NULL)
		return (sv_sub(start, 0, 0));
	return (sv_from(start.p, (size_t)(piece.p + piece.len - start.p)));
}

static void
parse_line(struct vusers *v, struct sv line, const struct reporter *r)
{
	struct vuser u = { .line = r->line };
	struct sv *rest[] = { &u.uid, &u.gid, &u.gecos, &u.home, &u.shell };
	struct sv whole = line;
	char buf[VUSERS_NAME_MAX];
	const char *wrong;
	uintptr_t old;

	if (sv_chr(line, ':') == -1) {
		complain(r, SV_NULL, "no colon in the line: a user is name:password:uid:gid:gecos:home:shell");
		return;
	}
	(void)sv_next(&line, ':', &u.name);
	if (memchr(whole.p, '\0', whole.len) != NULL || (wrong = bad_name(u.name)) != NULL) {
		complain(r, u.name, memchr(whole.p, '\0', whole.len) != NULL ? "a NUL byte in the line" : wrong);
		return;
	}
	u.password = password_field(&line);
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
		if (!sv_next(&line, ':', rest[i]))
			*rest[i] = sv_sub(whole, whole.len, whole.len);
	if ((old = (uintptr_t)hash_get(v->names, fold(u.name, buf))) != 0) {
		complain(r, u.name, "this name was there before: the first line counts");
		return;
	}
	if (vusers_scheme(u.password, NULL) == VUSERS_UNKNOWN)
		complain(r, u.name, "the password is in an unknown form, so nobody can log in: set it anew");
	vec_push(&v->u, u);
	(void)hash_set(v->names, fold(u.name, buf), (void *)(uintptr_t)v->u.len);
}

struct vusers *
vusers_parse(struct sv text, const char *file, void (*report)(void *arg, const struct err *e), void *arg)
{
	struct vusers *v = xcalloc(1, sizeof(*v));
	struct reporter r = { .file = file, .fn = report, .arg = arg };
	struct sv line;

	v->text = xmalloc(text.len + 1);
	if (text.len > 0)
		memcpy(v->text, text.p, text.len);
	v->text[text.len] = '\0';
	v->names = hash_new();
	text = sv_from(v->text, text.len);
	while (sv_next(&text, '\n', &line)) {
		r.line++;
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (line.len > 0 && line.p[0] != '#' && sv_trim(line).len > 0)
			parse_line(v, line, &r);
	}
	return (v);
}

void
vusers_free(struct vusers **vp)
{
	struct vusers *v = *vp;

	if (v == NULL)
		return;
	*vp = NULL;
	hash_free(&v->names, NULL);
	vec_free(&v->u);
	free(v->text);
	free(v);
}

const struct vuser *
vusers_get(const struct vusers *v, struct sv name)
{
	char buf[VUSERS_NAME_MAX];
	uintptr_t i;

	if (name.len == 0 || name.len > VUSERS_NAME_MAX)
		return (NULL);
	i = (uintptr_t)hash_get(v->names, fold(name, buf));
	return (i == 0 ? NULL : &v->u.p[i - 1]);
}

size_t
vusers_count(const struct vusers *v)
{
	return (v->u.len);
}

const struct vuser *
vusers_at(const struct vusers *v, size_t i)
{
	return (&v->u.p[i]);
}

int
vusers_name_check(struct sv name, struct err *err)
{
	const char *wrong = bad_name(name);

	if (name.len == 0)
		return (err_set(err, ERR_PERM, "5.1.3", "a user name is needed"));
	if (name.len > VUSERS_NAME_WARN)
		return (err_set(err, ERR_PERM, "5.1.3", "user name " SV_FMT " is longer than %d characters: choose a shorter one",
		    SV_ARG(sv_sub(name, 0, 80)), VUSERS_NAME_WARN));
	if (wrong != NULL)
		return (err_set(err, ERR_PERM, "5.1.3", "user name " SV_FMT ": %s", SV_ARG(name), wrong));
	for (size_t i = 0; i < name.len; i++)
		if (!sv_isalnum(name.p[i]) && ((name.p[i] != '-' && name.p[i] != '_') || i == 0))
			return (err_set(err, ERR_PERM, "5.1.3",
			    "user name " SV_FMT ": use letters, digits, '-' and '_', a letter or digit first", SV_ARG(name)));
	return (0);
}

int
vusers_read(struct vusers **vp, const char *path, void (*report)(void *arg, const struct err *e), void *arg,
    struct err *err)
{
	struct sb text = SB_INIT(VUSERS_FILE_MAX + 1);

	*vp = NULL;
	if (os_read_file(path, VUSERS_FILE_MAX, &text, err) == -1) {
		sb_free(&text);
		return (-1);
	}
	*vp = vusers_parse(sb_sv(&text), path, report, arg);
	sb_free(&text);
	return (0);
}
