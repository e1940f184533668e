/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vnewspammers: make etc/spammers.db from etc/spammers.  A line is user@host or host; the
 * key is in lower case, the value is what follows on the line, else "spam".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "box/box.h"
#include "map/rebuild.h"
#include "os/file.h"

#define FILE_MAX	(256 * 1024 * 1024)
#define DB_MODE		0644
#define SPAMMERS	"etc/spammers"

struct run {
	const char	*file;
	unsigned	 line;
	unsigned	 wrong;
	struct map_rebuild *r;
};

static void
complain(struct run *run, struct sv key, const char *what)
{
	fprintf(stderr, "%s:%u: " SV_FMT ": %s\n", run->file, run->line, SV_ARG(key), what);
	run->wrong++;
}

/* NULL, or what is wrong with a host name, address or domain. */
static const char *
bad_host(struct sv host)
{
	if (host.len == 0)
		return ("no host name");
	if (host.p[0] == '.' || host.p[host.len - 1] == '.' || sv_find(host, SV_LIT("..")) != -1)
		return ("dots at the ends or side by side: write the domain alone, as in spam.example");
	for (size_t i = 0; i < host.len; i++) {
		unsigned char c = (unsigned char)host.p[i];

		if (!sv_isalnum(host.p[i]) && c != '.' && c != '-' && c != '_' && c != ':' && c < 0x80)
			return ("not a host name: write user@host or host");
	}
	return (NULL);
}

static const char *
bad_key(struct sv key)
{
	ptrdiff_t at = sv_rchr(key, '@');

	for (size_t i = 0; i < key.len; i++)
		if ((unsigned char)key.p[i] < ' ' || key.p[i] == 0x7f || key.p[i] == ',' || key.p[i] == '<' || key.p[i] == '>')
			return ("write the bare address, user@host or host, one in a line");
	if (at == 0)
		return ("no user name before the @: write the host alone for all its users");
	return (bad_host(at == -1 ? key : sv_sub(key, (size_t)at + 1, key.len)));
}

static void
one_line(struct run *run, struct sv line)
{
	struct sb low = SB_INIT(4096);
	struct sv key, value;
	const char *wrong;

	if (line.len > 0 && line.p[0] == '#')
		return;
	line = sv_trim(line);
	if (!sv_word(&line, &key) || key.p[0] == '#')
		return;
	value = sv_trim(line);
	if (value.len > 0 && value.p[0] == '#')
		value = SV_NULL;
	for (size_t i = 0; i < key.len; i++)
		sb_addc(&low, sv_lower(key.p[i]));
	if (low.overflow || (wrong = bad_key(key)) != NULL)
		complain(run, sv_sub(key, 0, 200), low.overflow ? "too long" : wrong);
	else if (map_rebuild_put(run->r, sb_sv(&low), value.len > 0 ? value : SV_LIT("spam")) == MAP_PUT_DUP)
		fprintf(stderr, "%s:%u: " SV_FMT ": was there before, the first line counts\n", run->file, run->line,
		    SV_ARG(key));
	sb_free(&low);
}

static int
rebuild(const char *file, const char *db, bool check)
{
	struct run run = { .file = file };
	struct sb text = SB_INIT(FILE_MAX + 1);
	struct err err = ERR_INIT;
	struct sv rest, line;
	int rc = EX_OK;

	/* The lock first: of two that run side by side, the last to write has read last. */
	run.r = map_rebuild_open(db, MAP_HASH, 0, DB_MODE, &err);
	if (run.r == NULL) {
		fprintf(stderr, "vnewspammers: %s\n", err.text);
		return (EX_CANTCREAT);
	}
	if (os_read_file(file, FILE_MAX, &text, &err) == -1) {
		fprintf(stderr, "vnewspammers: %s\n", err.text);
		map_rebuild_abort(&run.r);
		sb_free(&text);
		return (EX_NOINPUT);
	}
	rest = sb_sv(&text);
	while (sv_next(&rest, '\n', &line)) {
		run.line++;
		one_line(&run, line);
	}
	if (check) {
		map_rebuild_abort(&run.r);
		rc = run.wrong > 0 ? EX_DATAERR : EX_OK;
	} else if (map_rebuild_commit(&run.r, &err) == -1) {
		fprintf(stderr, "vnewspammers: %s\n", err.text);
		rc = EX_CANTCREAT;
	} else if (run.wrong > 0) {
		fprintf(stderr, "vnewspammers: %u bad line%s left out, the others are in force\n", run.wrong,
		    run.wrong == 1 ? "" : "s");
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
		fprintf(stderr, "vnewspammers: %s\n", err.text);
		return (EX_NOINPUT);
	}
	(void)snprintf(file, sizeof(file), "%s/%s", root, SPAMMERS);
	(void)snprintf(db, sizeof(db), "%s.db", file);
	rc = rebuild(file, db, check);
	free(root);
	return (rc);
usage:
	fprintf(stderr, "usage: vnewspammers [-n] [-d box]\n");
	return (EX_USAGE);
}
