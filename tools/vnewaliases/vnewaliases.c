/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vnewaliases: make etc/aliases.db from etc/aliases, in the form that sendmail's
 * makemap gives it (keys in lower case) with the entry "@" of its newaliases, after looking at
 * the syntax of each alias.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "box/box.h"
#include "map/lsearch.h"
#include "map/rebuild.h"
#include "os/file.h"

#define FILE_MAX	(256 * 1024 * 1024)
#define DB_MODE		0644

struct run {
	const char	*file;
	unsigned	 wrong;
	size_t		 count, longest, total;
	struct map_rebuild *r;
};

static void
complain(struct run *run, unsigned line, struct sv key, const char *what)
{
	fprintf(stderr, "%s:%u: ", run->file, line);
	if (key.len > 0)
		fprintf(stderr, SV_FMT ": ", SV_ARG(sv_sub(key, 0, 200)));
	fprintf(stderr, "%s\n", what);
	run->wrong++;
}

/* NULL, or what is wrong with one recipient (trimmed). */
static const char *
bad_recipient(struct sv v)
{
	bool quoted = v.len > 0 && v.p[0] == '"';
	struct sv inner = quoted && v.len > 1 ? sv_sub(v, 1, v.len - 1) : v;

	if (v.len == 0)
		return ("an empty recipient: a comma too many");
	if (inner.len > 0 && inner.p[0] == '|')
		return (sv_trim(sv_sub(inner, 1, inner.len)).len == 0 ? "no program after the |" : NULL);
	if (inner.len > 0 && inner.p[0] == '/')
		return (NULL);
	if (sv_casestarts(inner, ":include:")) {
		struct sv path = sv_trim(sv_sub(inner, 9, inner.len));

		return (path.len == 0 || path.p[0] != '/' ? ":include: needs the full path of a file" : NULL);
	}
	if (inner.len > 0 && inner.p[0] == ':')
		return (sv_casestarts(inner, ":fail:") || sv_casestarts(inner, ":defer:") || sv_casestarts(inner, ":blackhole:") ||
		    sv_casestarts(inner, ":unknown:") ? NULL : "an item that begins with a colon and is not :include:");
	if (quoted || sv_chr(v, '<') != -1)
		return (NULL);
	/* A comment in parentheses may hold blanks. */
	if (sv_chr(v, '(') == -1 && (sv_chr(v, ' ') != -1 || sv_chr(v, '\t') != -1))
		return ("a blank inside a recipient: put commas between recipients, quotes around programs");
	return (NULL);
}

/* Where the recipient at the front of <v> ends: at a comma outside quotes, parentheses and angle brackets. */
static const char *
next_recipient(struct sv *v, struct sv *one, bool *more)
{
	int paren = 0, angle = 0;
	bool quote = false;
	size_t i;

	for (i = 0; i < v->len; i++) {
		char c = v->p[i];

		if (c == '\\' && i + 1 < v->len)
			i++;
		else if (c == '"')
			quote = !quote;
		else if (quote)
			continue;
		else if (c == '(')
			paren++;
		else if (c == ')' && paren > 0)
			paren--;
		else if (c == '<')
			angle++;
		else if (c == '>' && angle > 0)
			angle--;
		else if (c == ',' && paren == 0 && angle == 0)
			break;
	}
	*one = sv_trim(sv_sub(*v, 0, i));
	*more = i < v->len;
	*v = sv_sub(*v, i + 1, v->len);
	return (quote ? "a quote is not closed" : paren > 0 ? "a parenthesis is not closed" : angle > 0 ?
	    "a < is not closed" : NULL);
}

static const char *
bad_value(struct sv v)
{
	const char *wrong = NULL;
	bool more = true;
	struct sv one;

	/* These take all of the rest. */
	if (v.len == 0)
		return ("no recipient after the colon");
	/* An item that is a pipe without quotes takes commas along in sendmail's reading too only when quoted. */
	while (more && wrong == NULL) {
		wrong = next_recipient(&v, &one, &more);
		/* A comma at the very end does no harm. */
		if (wrong == NULL && (more || one.len > 0))
			wrong = bad_recipient(one);
	}
	return (wrong);
}

static void
one_alias(struct run *run, const struct lsearch_entry *e)
{
	struct sb low = SB_INIT(4096);
	const char *wrong = e->wrong;

	for (size_t i = 0; i < e->key.len; i++)
		sb_addc(&low, sv_lower(e->key.p[i]));
	if (wrong == NULL && e->key.len == 0)
		wrong = "no alias name before the colon";
	if (wrong == NULL && low.overflow)
		wrong = "the alias name is too long";
	if (wrong == NULL && !e->colon)
		wrong = "no colon after the alias name";
	if (wrong == NULL && !e->quoted && sv_chr(e->key, '@') != -1)
		wrong = "aliases look at the user part only: leave the @ and the domain away";
	if (wrong == NULL)
		wrong = bad_value(e->value);
	if (wrong == NULL && map_rebuild_put(run->r, sb_sv(&low), e->value) == MAP_PUT_DUP)
		wrong = "the alias was there before: the first one counts";
	if (wrong != NULL)
		complain(run, e->line, e->key, wrong);
	else {
		run->count++;
		run->total += low.len + e->value.len;
		if (e->value.len > run->longest)
			run->longest = e->value.len;
	}
	sb_free(&low);
}

static int
rebuild(const char *file, const char *db, bool check)
{
	struct run run = { .file = file };
	struct sb text = SB_INIT(FILE_MAX + 1);
	struct err err = ERR_INIT;
	struct lsearch_entry e;
	struct lsearch l;
	int rc = EX_OK;

	run.r = map_rebuild_open(db, MAP_HASH, 0, DB_MODE, &err);
	if (run.r == NULL) {
		fprintf(stderr, "vnewaliases: %s\n", err.text);
		return (EX_CANTCREAT);
	}
	if (os_read_file(file, FILE_MAX, &text, &err) == -1) {
		fprintf(stderr, "vnewaliases: %s\n", err.text);
		map_rebuild_abort(&run.r);
		sb_free(&text);
		return (EX_NOINPUT);
	}
	lsearch_init(&l, sb_sv(&text));
	while (lsearch_next(&l, &e))
		one_alias(&run, &e);
	lsearch_free(&l);
	/* sendmail waits for this entry before it believes that the map is complete. */
	(void)map_rebuild_put(run.r, SV_LIT("@"), SV_LIT("@"));
	if (check) {
		map_rebuild_abort(&run.r);
		rc = run.wrong > 0 ? EX_DATAERR : EX_OK;
	} else if (map_rebuild_commit(&run.r, &err) == -1) {
		fprintf(stderr, "vnewaliases: %s\n", err.text);
		rc = EX_CANTCREAT;
	} else {
		printf("%s: %zu aliases, longest %zu bytes, %zu bytes total\n", file, run.count, run.longest, run.total);
		if (run.wrong > 0)
			rc = EX_DATAERR;
	}
	sb_free(&text);
	return (rc);
}

int
main(int argc, char **argv)
{
	char file[4096], db[4096 + 3];
	char *root = NULL;
	struct err err = ERR_INIT;
	const char *dir = NULL;
	bool check = false;
	int opt, rc;

	while ((opt = getopt(argc, argv, "d:n")) != -1) {
		if (opt == 'd')
			dir = optarg;
		else if (opt == 'n')
			check = true;
		else
			goto usage;
	}
	if (optind != argc)
		goto usage;
	if (box_find(dir, &root, &err) == -1) {
		fprintf(stderr, "vnewaliases: %s\n", err.text);
		return (EX_NOINPUT);
	}
	(void)snprintf(file, sizeof(file), "%s/%s", root, BOX_ALIASES);
	(void)snprintf(db, sizeof(db), "%s.db", file);
	rc = rebuild(file, db, check);
	free(root);
	return (rc);
usage:
	fprintf(stderr, "usage: vnewaliases [-n] [-d box]\n");
	return (EX_USAGE);
}
