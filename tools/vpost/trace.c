/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpost trace ID: what the logs know of a message, from its arrival to the folder, with the messages that came of
 * it (replies, reports, copies that a user's rules sent on), and what is still in the queue.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <time.h>

#include "base/sb.h"
#include "base/vec.h"
#include "spool/queuefile.h"
#include "vpost_int.h"

#define IDS_MAX		100
#define LINE_BYTES	65536

struct ids {
	VEC(char *) v;
	bool		 more;		/* a new one was found in this pass */
};

static bool
named(const struct ids *ids, const char *line)
{
	for (size_t i = 0; i < ids->v.len; i++) {
		const char *at = strstr(line, ids->v.p[i]);
		size_t n = strlen(ids->v.p[i]);

		if (at != NULL && (at == line || !sv_isalnum(at[-1])) && !sv_isalnum(at[n]) && at[n] != '-')
			return (true);
	}
	return (false);
}

/* "DATE TIME ID <= ... R=PARENT": the child of one of ours is ours. */
static void
child(struct ids *ids, const char *line)
{
	const char *r = strstr(line, " R="), *id = line;
	size_t n;

	for (int blanks = 0; *id != '\0' && blanks < 2; id++)
		blanks += *id == ' ';
	n = strcspn(id, " \n");
	if (r == NULL || strncmp(id + n, " <= ", 4) != 0 || n < 10 || n > 40 || ids->v.len >= IDS_MAX)
		return;
	for (size_t i = 0; i < ids->v.len; i++)
		if (strlen(ids->v.p[i]) == n && strncmp(ids->v.p[i], id, n) == 0)
			return;
	vec_push(&ids->v, xstrndup(id, n));
	ids->more = true;
}

static int
by_name(const void *a, const void *b)
{
	return (strcmp(*(char *const *)a, *(char *const *)b));
}

/* Lines of <path> that name one of <ids>; printed, or looked through for further ones. */
static size_t
scan(const char *path, struct ids *ids, bool print)
{
	FILE *f = fopen(path, "re");
	char *line = malloc(LINE_BYTES);
	size_t n = 0;

	while (f != NULL && line != NULL && fgets(line, LINE_BYTES, f) != NULL) {
		if (!named(ids, line))
			continue;
		n++;
		if (print)
			(void)fputs(line, stdout);
		else
			child(ids, line);
	}
	if (f != NULL)
		(void)fclose(f);
	free(line);
	return (n);
}

/* The log files of a box, the oldest first by their names as rotation gives them. */
static size_t
logs(const struct box *b, const char *base, char ***out)
{
	VEC(char *) v = VEC_INIT;
	const char *dir = box_path(b, BOX_LOG);
	DIR *d = opendir(dir);
	struct dirent *e;
	size_t len = strlen(base);

	while (d != NULL && (e = readdir(d)) != NULL) {
		struct sb path = SB_INIT(8192);

		if (strncmp(e->d_name, base, len) != 0 || (e->d_name[len] != '\0' && e->d_name[len] != '.') ||
		    sv_ends(sv_cstr(e->d_name), ".gz"))
			continue;
		sb_addf(&path, "%s/%s", dir, e->d_name);
		vec_push(&v, sb_steal(&path, NULL));
	}
	if (d != NULL)
		(void)closedir(d);
	if (v.len > 0)
		qsort(v.p, v.len, sizeof(*v.p), by_name);
	*out = v.p;
	return (v.len);
}

/* What is left to be done, and when. */
static void
queued(const struct box *b, const char *id)
{
	struct spool_qfile *q;
	struct err err = ERR_INIT;

	if (!spool_id_valid(sv_cstr(id)) || spool_qfile_load(&q, box_path(b, BOX_QUEUE), id, &err) == -1)
		return;
	printf("in the queue: %s%s\n", id, q->frozen ? ", frozen: nothing is tried until somebody thaws it (sendmail -Mt)" : "");
	for (size_t i = 0; i < q->env.nrcpts; i++) {
		time_t next = (time_t)q->rcpts[i].next_try;
		char when[64] = "soon";
		struct tm tm;

		if (q->rcpts[i].state != SPOOL_ST_OPEN && q->rcpts[i].state != SPOOL_ST_RETRY)
			continue;
		if (next > 0 && localtime_r(&next, &tm) != NULL)
			(void)strftime(when, sizeof(when), "after %Y-%m-%d %H:%M:%S", &tm);
		printf("    " SV_FMT ": next attempt %s%s" SV_FMT "\n", SV_ARG(q->env.rcpts[i].addr), when,
		    q->rcpts[i].text.len > 0 ? "; the last: " : "", SV_ARG(q->rcpts[i].text));
	}
	spool_qfile_free(&q);
}

int
cmd_trace(int argc, char **argv)
{
	static const char *const bases[] = { "mainlog", "rejectlog", "paniclog", "vpost.log" };
	struct ids ids = { .v = VEC_INIT };
	struct box *b;
	size_t found = 0;
	int c;

	while ((c = getopt(argc, argv, "b:")) != -1)
		if (c != 'b' || setenv("VPOST_BOX", optarg, 1) == -1)
			goto usage;
	if (argc - optind != 1 || strlen(argv[optind]) < 6)
		goto usage;
	if ((b = open_box(NULL)) == NULL)
		return (1);
	vec_push(&ids.v, xstrdup(argv[optind]));
	for (size_t k = 0; k < sizeof(bases) / sizeof(bases[0]); k++) {
		char **v;
		size_t n = logs(b, bases[k], &v), here = 0;

		do {
			ids.more = false;
			for (size_t i = 0; k == 0 && i < n; i++)
				(void)scan(v[i], &ids, false);
		} while (ids.more);
		for (size_t i = n; i > 0; i--)
			here += scan(v[i - 1], &ids, true);
		for (size_t i = 0; i < n; i++)
			free(v[i]);
		free(v);
		found += here;
	}
	for (size_t i = 0; i < ids.v.len && found > 0; i++)
		queued(b, ids.v.p[i]);
	if (found == 0)
		(void)fprintf(stderr, "vpost trace: no log of %s knows %s\n", b->root, argv[optind]);
	for (size_t i = 0; i < ids.v.len; i++)
		free(ids.v.p[i]);
	vec_free(&ids.v);
	box_free(&b);
	return (found > 0 ? 0 : 1);
usage:
	(void)fprintf(stderr, "usage: vpost trace [-b BOX] ID|ADDRESS\n");
	return (2);
}
