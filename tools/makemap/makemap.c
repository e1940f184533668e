/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * makemap: build a map from standard input, or dump one, with the options, input and
 * messages of sendmail's program of that name.  What differs: the new map replaces the
 * old one in one step (map/rebuild.h), cdb is there, and lines may be long.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/num.h"
#include "map/input.h"
#include "map/map.h"
#include "map/rebuild.h"

#define INPUT_MAX	((size_t)1024 * 1024 * 1024)
#define DB_MODE		0640		/* of a new file, as sendmail's */

struct makemap {
	const char	*progname;
	const char	*cffile;
	const char	*fallback;
	const char	*type;
	const char	*mapname;
	struct sb	 path;
	unsigned	 flags;		/* of map_rebuild_open */
	char		 comment;
	char		 sep;
	bool		 fold;
	bool		 allow_empty;
	bool		 unmake;
	bool		 verbose;
};

static int
usage(const struct makemap *m)
{
	int w = (int)strlen(m->progname);

	fprintf(stderr, "Usage: %s [-C cffile] [-N] [-c cachesize] [-D commentchar]\n", m->progname);
	fprintf(stderr, "       %*s [-d] [-e] [-f] [-i type] [-l] [-o] [-r] [-s] [-t delimiter]\n", w, "");
	fprintf(stderr, "       %*s [-u] [-v] type mapname\n", w, "");
	return (EX_USAGE);
}

static int
list_types(char opt)
{
	if (opt == 'L')
		(void)puts("cf\nCF");
	(void)puts(opt == 'x' ? "hash:db\nbtree:db\ncdb:cdb\nimplicit:" : "hash\nbtree\ncdb\nimplicit");
	return (EX_OK);
}

/* -1: go on; else the exit code. */
static int
options(struct makemap *m, int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "C:D:Nc:defi:Llorst:uvx")) != -1)
		switch (opt) {
		case 'C': m->cffile = optarg; break;
		case 'D': m->comment = *optarg; break;
		case 'N': m->flags |= MAP_RB_NUL; break;
		case 'c':
		case 's': break;	/* cache size and safety checks: nothing to do here */
		case 'd': m->flags |= MAP_RB_DUP; break;
		case 'e': m->allow_empty = true; break;
		case 'f': m->fold = false; break;
		case 'i': m->fallback = optarg; break;
		case 'o': m->flags |= MAP_RB_APPEND; break;
		case 'r': m->flags |= MAP_RB_REPLACE; break;
		case 't':
			if (*optarg == '\0')
				fprintf(stderr, "Invalid separator\n");
			else
				m->sep = *optarg;
			break;
		case 'u': m->unmake = true; break;
		case 'v': m->verbose = true; break;
		case 'L':
		case 'l':
		case 'x': return (list_types((char)opt));
		default: return (usage(m));
		}
	if (argc - optind != 2)
		return (usage(m));
	m->type = argv[optind];
	m->mapname = argv[optind + 1];
	return (-1);
}

static int
cannot_open(const struct makemap *m, const char *why)
{
	fprintf(stderr, "%s: error opening type %s map %s: %s\n", m->progname, m->type, m->mapname, why);
	return (EX_CANTCREAT);
}

/* The type and the file's name; 0 or the exit code. */
static int
choose_type(struct makemap *m, enum map_type *type)
{
	const char *ext = ".db";

	/* The types of sendmail.cf's K lines: there is no such file here. */
	if (strcasecmp(m->type, "cf") == 0) {
		if (m->fallback == NULL || *m->fallback == '\0') {
			fprintf(stderr, "%s: mapfile %s: not found in %s\n", m->progname, m->mapname, m->cffile);
			return (EX_DATAERR);
		}
		if (m->verbose)
			fprintf(stderr, "%s: mapfile %s: not found in %s, using fallback %s\n", m->progname, m->mapname,
			    m->cffile, m->fallback);
		m->type = m->fallback;
	}
	if (strcmp(m->type, "implicit") == 0)
		*type = MAP_HASH;
	else if (strcmp(m->type, "dbm") == 0 || strcmp(m->type, "sdbm") == 0 || strcmp(m->type, "ndbm") == 0)
		return (cannot_open(m, "not supported: use hash, btree or cdb"));
	else if (!map_type_parse(sv_cstr(m->type), type) || *type == MAP_TEXT)
		return (cannot_open(m, "Unknown database type"));
	if (*type == MAP_CDB)
		ext = ".cdb";
	sb_adds(&m->path, m->mapname);
	if (!sv_ends(sb_sv(&m->path), ext))
		sb_adds(&m->path, ext);
	return (m->path.overflow ? cannot_open(m, "the name is too long") : 0);
}

static int
dump(const struct makemap *m, enum map_type type)
{
	struct map *map = map_open(sb_cstr(&m->path), type, MAP_WAIT);
	struct err err = ERR_INIT;
	struct sv key, value;
	size_t pos = 0;
	int rc = EX_OK;

	if (map_refresh(map, MAP_FRESH, &err) == MAP_ERROR) {
		rc = cannot_open(m, access(sb_cstr(&m->path), F_OK) == -1 ? strerror(errno) : err.text);
	} else {
		while (map_next(map, &pos, &key, &value, NULL)) {
			(void)fwrite(key.p, 1, key.len, stdout);
			(void)putchar(m->sep != '\0' ? m->sep : '\t');
			(void)fwrite(value.p, 1, value.len, stdout);
			(void)putchar('\n');
		}
		if (fflush(stdout) != 0 || ferror(stdout))
			rc = EX_IOERR;
	}
	map_close(&map);
	return (rc);
}

static int
read_stdin(const struct makemap *m, struct sb *in)
{
	for (;;) {
		char *room = sb_room(in, 65536);
		ssize_t n;

		if (room == NULL) {
			fprintf(stderr, "%s: %s: more than 1 GB of input\n", m->progname, m->mapname);
			return (EX_DATAERR);
		}
		n = read(STDIN_FILENO, room, 65536);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			fprintf(stderr, "%s: %s: read: %s\n", m->progname, m->mapname, strerror(errno));
			return (EX_IOERR);
		}
		if (n == 0)
			return (EX_OK);
		sb_took(in, (size_t)n);
	}
}

static int
complain(const struct makemap *m, unsigned line, const char *before, struct sv key, const char *after)
{
	fprintf(stderr, "%s: %s: line %u: %s" SV_FMT "%s\n", m->progname, m->mapname, line, before, SV_ARG(key), after);
	return (EX_DATAERR);
}

static int
fill(const struct makemap *m, struct map_input *in, struct map_rebuild *r)
{
	struct sv key, value;
	int rc = EX_OK;

	for (;;) {
		switch (map_input_next(in, &key, &value)) {
		case MAP_INPUT_END:
			return (rc);
		case MAP_INPUT_LEADING_SPACE:
			rc = complain(m, in->line, "syntax error (leading space)", SV_NULL, "");
			break;
		case MAP_INPUT_NO_VALUE:
			rc = complain(m, in->line, "no RHS for LHS ", key, "");
			break;
		case MAP_INPUT_TOO_LONG:
			rc = complain(m, in->line, "line too long (1048576 bytes max)", SV_NULL, "");
			break;
		case MAP_INPUT_NUL:
			rc = complain(m, in->line, "NUL byte in the line", SV_NULL, "");
			break;
		case MAP_INPUT_ENTRY:
			if (m->verbose)
				printf("key=`" SV_FMT "', val=`" SV_FMT "'\n", SV_ARG(key), SV_ARG(value));
			if (map_rebuild_put(r, key, value) == MAP_PUT_DUP)
				rc = complain(m, in->line, "key ", key, ": duplicate key");
			break;
		}
	}
}

static int
make(const struct makemap *m, enum map_type type)
{
	struct map_input in;
	struct map_rebuild *r;
	struct err err = ERR_INIT;
	struct sb text = SB_INIT(INPUT_MAX);
	int rc;

	/* As sendmail's: -o augments a file, it makes none. */
	if ((m->flags & MAP_RB_APPEND) != 0 && access(sb_cstr(&m->path), F_OK) == -1)
		return (cannot_open(m, strerror(errno)));
	if ((rc = read_stdin(m, &text)) != EX_OK)
		goto out;
	r = map_rebuild_open(sb_cstr(&m->path), type, m->flags, DB_MODE, &err);
	if (r == NULL) {
		rc = cannot_open(m, err.text);
		goto out;
	}
	map_input_init(&in, sb_sv(&text));
	in.comment = m->comment;
	in.sep = m->sep;
	in.fold = m->fold;
	in.allow_empty = m->allow_empty;
	rc = fill(m, &in, r);
	map_input_free(&in);
	if (map_rebuild_commit(&r, &err) == -1) {
		fprintf(stderr, "%s: close(%s): %s\n", m->progname, m->mapname, err.text);
		rc = EX_IOERR;
	}
out:
	sb_free(&text);
	return (rc);
}

int
main(int argc, char **argv)
{
	struct makemap m = { .cffile = "/etc/mail/sendmail.cf", .comment = '#', .fold = true, .path = SB_INIT(4096) };
	enum map_type type;
	int rc;

	m.progname = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
	if ((rc = options(&m, argc, argv)) == -1 && (rc = choose_type(&m, &type)) == 0)
		rc = m.unmake ? dump(&m, type) : make(&m, type);
	sb_free(&m.path);
	return (rc);
}
