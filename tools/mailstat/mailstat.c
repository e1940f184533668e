/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mailstat: what a procmail log says of each folder: messages and bytes.  The log is put aside as
 * LOG.old unless it is to be kept.
 */
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/sb.h"
#include "base/vec.h"
#include "filter/procmail.h"

#define LINE_MAX_BYTES	65536

struct folder {
	char		*name;
	long long	 bytes, messages;
};

struct stats {
	bool		 keep, wide, merge, old, terse, silent;
	VEC(struct folder) v;
};

static int
usage(bool help)
{
	(void)fputs("Usage: mailstat [-klmots] [logfile]\n", stderr);
	if (help)
		(void)fputs("\t-k\tkeep the logfile as it is\n\t-l\tlong form\n\t-m\tall other lines as one\n\t-o\tread the old logfile\n"
		    "\t-t\tonly the table\n\t-s\tsay nothing if there was no mail\n", stderr);
	return (EX_USAGE);
}

static void
count(struct stats *s, const char *name, long long bytes)
{
	struct folder f = { .bytes = bytes, .messages = 1 };

	for (size_t i = 0; i < s->v.len; i++)
		if (strcmp(s->v.p[i].name, name) == 0) {
			s->v.p[i].bytes += bytes;
			s->v.p[i].messages++;
			return;
		}
	f.name = xstrdup(name);
	vec_push(&s->v, f);
}

/* Are all bytes of <p> from <set> (letters and digits always are)? */
static bool
only(const char *p, const char *set)
{
	for (; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr(set, *p) == NULL)
			return (false);
	return (true);
}

/* Messages of one directory count together: "dir/msg.X" is "dir/", "dir/new/X" "dir/", "dir/7" "dir/." */
static void
shorten(char *name)
{
	char *slash = strrchr(name, '/');

	if (slash == NULL || slash[1] == '\0')
		return;
	if (strncmp(slash, "/msg.", 5) == 0 && slash[5] != '\0' && only(slash + 5, "-_"))
		slash[1] = '\0';
	else if (slash - name >= 4 && strncmp(slash - 4, "/new", 4) == 0 && only(slash + 1, "-_.,+:%@"))
		slash[-3] = '\0';
	else if (strspn(slash + 1, "0123456789") == strlen(slash + 1))
		(void)snprintf(slash + 1, 2, ".");
}

static void
read_line(struct stats *s, char *line)
{
	static const char mark[] = "  Folder: ";
	struct sb other = SB_INIT(LINE_MAX_BYTES + 16);
	char *tab;

	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "From ", 5) == 0 || strncasecmp(line, " Subject:", 9) == 0)
		return;
	if (strncmp(line, mark, strlen(mark)) == 0) {
		long long bytes = 0;

		tab = strchr(line, '\t');
		if (tab != NULL) {
			bytes = procmail_long(tab, NULL);
			*tab = '\0';
		}
		shorten(line + strlen(mark));
		count(s, line + strlen(mark), bytes);
		return;
	}
	if (s->merge)
		count(s, " ## diagnostic messages ##", 0);
	else {
		sb_adds(&other, " ## ");
		for (; *line != '\0'; line++)
			sb_adds(&other, *line == '\t' ? "\\t" : (char[]){ *line, '\0' });
		count(s, sb_cstr(&other), 0);
	}
	sb_free(&other);
}

static int
by_name(const void *a, const void *b)
{
	return (strcmp(((const struct folder *)a)->name, ((const struct folder *)b)->name));
}

static void
print(struct stats *s)
{
	long long bytes = 0, messages = 0;

	if (s->v.len > 0)
		qsort(s->v.p, s->v.len, sizeof(s->v.p[0]), by_name);
	if (!s->terse)
		(void)fputs(s->wide ? "\n  Total Average  Number Folder\n  ----- -------  ------ ------\n" :
		    "\n  Total  Number Folder\n  -----  ------ ------\n", stdout);
	for (size_t i = 0; i < s->v.len; i++) {
		const struct folder *f = &s->v.p[i];

		bytes += f->bytes;
		messages += f->messages;
		if (s->wide)
			(void)printf("%7lld %7lld %7lld %s\n", f->bytes, f->bytes / f->messages, f->messages, f->name);
		else
			(void)printf("%7lld %7lld %s\n", f->bytes, f->messages, f->name);
	}
	if (s->terse)
		return;
	if (s->wide)
		(void)printf("  ----- -------  ------\n%7lld %7lld %7lld\n", bytes, messages == 0 ? 0 : bytes / messages, messages);
	else
		(void)printf("  -----  ------\n%7lld %7lld\n", bytes, messages);
}

static int
no_mail(const struct stats *s, const char *log, const char *old)
{
	struct stat sb;
	char when[64] = "";

	if (s->silent)
		return (1);
	if (stat(log, &sb) == -1 || !S_ISREG(sb.st_mode)) {
		(void)printf("Can't find your LOGFILE=%s\n", log);
		return (1);
	}
	if (stat(old, &sb) == 0)
		(void)strftime(when, sizeof(when), "%b %e %H:%M", localtime(&sb.st_mtime));
	(void)printf("No mail arrived since %s\n", when);
	return (1);
}

/* The log goes to <old>; an empty one takes its place. */
static const char *
put_aside(const char *log, const char *old)
{
	int fd;

	if (rename(log, old) == -1) {
		(void)fprintf(stderr, "mailstat: %s: %s\n", log, strerror(errno));
		return (log);
	}
	if ((fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) != -1)
		(void)close(fd);
	return (old);
}

static int
run(struct stats *s, const char *log)
{
	char old[4096], *line = NULL;
	bool pipe = log == NULL ? !s->old : strcmp(log, "-") == 0;
	struct stat sb;
	size_t cap = 0;
	FILE *fp = stdin;

	if (log == NULL && s->old)
		return (no_mail(s, ".old", ".old"));
	if (!pipe) {
		size_t n = strlen(log);
		bool is_old = n > 4 && strcmp(log + n - 4, ".old") == 0;

		(void)snprintf(old, sizeof(old), "%s%s", log, is_old ? "" : ".old");
		if (is_old || s->old) {
			s->keep = true;
			log = old;
		}
		if (stat(log, &sb) == -1 || sb.st_size == 0)
			return (no_mail(s, log, old));
		fp = fopen(s->keep ? log : put_aside(log, old), "r");
		if (fp == NULL)
			return (EX_NOINPUT);
	} else if (log == NULL && isatty(STDIN_FILENO)) {
		(void)fputs("mailstat: reading a log from the terminal\n", stderr);
		s->terse = true;
	}
	while (getline(&line, &cap, fp) > 0)
		read_line(s, line);
	free(line);
	if (fp != stdin)
		(void)fclose(fp);
	print(s);
	return (0);
}

int
main(int argc, char **argv)
{
	struct stats s = { 0 };
	int c, rc;

	(void)umask(077);
	opterr = 0;
	while ((c = getopt(argc, argv, "klmotsh")) != -1)
		switch (c) {
		case 'k': s.keep = true; break;
		case 'l': s.wide = true; break;
		case 'm': s.merge = true; break;
		case 'o': s.old = s.keep = true; break;
		case 't': s.terse = true; break;
		case 's': s.silent = true; break;
		default:
			return (usage(c == 'h' || optopt == '?'));
		}
	if (argc - optind > 1)
		return (usage(true));
	rc = run(&s, argv[optind]);
	for (size_t i = 0; i < s.v.len; i++)
		free(s.v.p[i].name);
	vec_free(&s.v);
	return (rc);
}
