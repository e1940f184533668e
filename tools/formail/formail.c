/* SPDX-License-Identifier: BSD-2-Clause */
/* formail: the command line; the work is done in lib/filter. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#include "filter/formail.h"
#include "filter/procmail.h"

static const char usage_text[] =
    "Usage: formail [-vbczfrktqY] [-D nnn idcache] [-p prefix] [-l folder]\n"
    "\t[-xXaAiIuU field] [-R ofield nfield]\n"
    "   Or: formail [+nnn] [-nnn] [-bczfrktedqBY] [-D nnn idcache] [-p prefix]\n"
    "\t[-n [nnn]] [-m nnn] [-l folder] [-xXaAiIuU field] [-R ofield nfield]\n"
    "\t-s [prg [arg ...]]\n";

static const char help_text[] =
    "\tchange: -a -A -i -I -R -u -U field, -c -z -f -b -p prefix -Y; extract: -x -X field\n"
    "\treply: -r -t -k; duplicates: -D size cache; log line: -l folder\n"
    "\tsplit: +skip -total -s -n -e -d -B -m fields; see formail(1)\n";

struct cli {
	struct formail	 f;
	char		**argv;		/* the current word */
	char		*p;		/* in it */
};

enum next { NEXT_LETTER, NEXT_WORD, PROGRAM, FAILED, ENDED };

/* <end>: in the message behind the name, where formail of old kept the word as a line. */
static enum next
invalid(const char *name, const char *end)
{
	(void)fprintf(stderr, "formail: Invalid field-name: \"%s%s\"\n", name == NULL ? "" : name, end);
	return (FAILED);
}

/* The value of the option: what is left of the word, else the next one. */
static bool
value(struct cli *c)
{
	if (*c->p != '\0')
		return (true);
	if (c->argv[1] == NULL)
		return (false);
	c->p = *++c->argv;
	return (true);
}

static bool
number(struct cli *c, long *n)
{
	char *end;

	if (*c->p < '0' || *c->p > '9')
		return (false);
	*n = procmail_long(c->p, &end);
	c->p = end;
	return (true);
}

/* --- fields ----------------------------------------------------------------------- */

static void
add(struct formail_list *l, const char *name)
{
	size_t n = strlen(name);
	char *line = xmalloc(n + 2);

	memcpy(line, name, n);
	memcpy(line + n, "\n", 2);
	formail_add(l, line, n + 1, false);
	free(line);
}

/* -R old new: both as one text, the new name behind the old one. */
static enum next
rename_option(struct cli *c)
{
	const char *from = c->p, *to;
	ptrdiff_t id = formail_name(from, strlen(from)), nid;
	size_t old = (size_t)(id > 0 ? id : -id);
	struct formail_field p = { .kept = -1 };

	to = from + old + strspn(from + old, " \t\n");
	nid = formail_name(to, strlen(to));
	if (*to == '\0') {
		if (c->argv[1] == NULL)
			return (invalid(NULL, ""));
		to = *++c->argv;
		nid = formail_name(to, strlen(to));
		if ((nid == 0 && *to != '\0') || (nid <= 0 && id > 0))
			return (invalid(to, ""));
	} else if (nid == 0 || (nid < 0 && id > 0))
		return (invalid(to, "\n"));
	if (nid < 0)
		nid = -nid;
	p.id = old;
	p.len = old + (size_t)nid;
	p.text = xmalloc(p.len + 1);
	memcpy(p.text, from, old);
	memcpy(p.text + old, to, (size_t)nid);
	p.text[p.len] = '\0';
	vec_push(&c->f.R.v, p);
	return (NEXT_WORD);
}

static enum next
field_option(struct cli *c, char letter)
{
	struct formail *f = &c->f;
	ptrdiff_t id;
	size_t n;

	if (!value(c))
		return (FAILED);
	n = strlen(c->p);
	id = formail_name(c->p, n);
	switch (letter) {
	case 'R':
		return (rename_option(c));
	case 'a':
		if (id > 0)
			break;
		if (strcasecmp(c->p, "Resent-") != 0)
			return (invalid(c->p, ""));
		f->resent = true;
		return (NEXT_WORD);
	case 'A':
		if (id <= 0)
			return (invalid(c->p, ""));
		break;
	default:
		/* The beginning of a name does too. */
		if (id <= 0 && (size_t)-id != n)
			return (invalid(c->p, ""));
	}
	add(letter == 'a' ? &f->a : letter == 'A' ? &f->A : letter == 'i' ? &f->i : letter == 'I' ? &f->I :
	    letter == 'x' ? &f->x : letter == 'X' ? &f->X : letter == 'u' ? &f->u : &f->U, c->p);
	return (NEXT_WORD);
}

/* --- other options -------------------------------------------------------------------- */

static enum next
cache_option(struct cli *c)
{
	FILE *fp;

	if (!value(c) || !number(c, &c->f.cache_size) || !value(c))
		return (FAILED);
	c->f.cache = c->p;
	fp = fopen(c->p, "r+b");
	if (fp == NULL)
		fp = fopen(c->p, "w+b");
	if (fp == NULL) {
		(void)fprintf(stderr, "formail: Couldn't open \"%s\"\n", c->p);
		exit(EX_CANTCREAT);
	}
	(void)fclose(fp);
	return (NEXT_WORD);
}

static enum next
word_option(struct cli *c, char letter)
{
	if (!value(c))
		return (FAILED);
	switch (letter) {
	case 'p':
		c->f.prefix = c->p;
		break;
	case 'l':
		for (char *s = c->p; (s = strpbrk(s, "\t\n\v\f\r")) != NULL;)
			*s = ' ';
		c->f.folder = c->p;
		break;
	case 'm':
		return (number(c, &c->f.min_fields) ? NEXT_LETTER : FAILED);
	case 'n': {
		char *end;

		c->f.nowait = true;
		c->f.max_procs = procmail_long(c->p, &end);
		c->p = end;
		return (NEXT_LETTER);
	}
	}
	return (NEXT_WORD);
}

static bool
flag(struct formail *f, char letter)
{
	const struct {
		char	 letter;
		bool	*v;
	} flags[] = {
		{ 't', &f->trust }, { 'r', &f->reply }, { 'f', &f->force }, { 'e', &f->every }, { 'd', &f->digest }, { 'k', &f->keep },
		{ 'c', &f->concatenate }, { 'z', &f->zap }, { 'Y', &f->berkeley }, { 'q', &f->quiet }
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (flags[i].letter == letter) {
			*flags[i].v = true;
			return (true);
		}
	return (false);
}

static enum next
option(struct cli *c)
{
	char letter = *c->p++;

	if (letter == '\0')
		return (NEXT_WORD);
	if (flag(&c->f, letter)) {
		if (letter == 'q' && *c->p == '-') {
			c->p++;
			c->f.quiet = false;
		}
		return (NEXT_LETTER);
	}
	switch (letter) {
	case 'b':
		c->f.bogus = false;
		return (NEXT_LETTER);
	case 'B':
		c->f.babyl = c->f.every = c->f.digest = true;
		return (NEXT_LETTER);
	case 's':
		c->f.split = true;
		c->argv++;
		return (*c->p == '\0' ? PROGRAM : FAILED);
	case 'D':
		return (cache_option(c));
	case 'p':
	case 'l':
	case 'm':
	case 'n':
		return (word_option(c, letter));
	case 'a':
	case 'A':
	case 'i':
	case 'I':
	case 'x':
	case 'X':
	case 'u':
	case 'U':
	case 'R':
		return (field_option(c, letter));
	case 'v':
		(void)fprintf(stderr, "formail v%s, of vpost\n", PROCMAIL_VERSION_TEXT);
		return (ENDED);
	case 'h':
	case '?':
		(void)fputs(usage_text, stderr);
		(void)fputs(help_text, stderr);
		return (ENDED);
	}
	c->p--;
	return (number(c, &c->f.total) ? NEXT_LETTER : FAILED);
}

/* All words; PROGRAM: the rest is the program, NEXT_WORD: there was none. */
static enum next
parse(struct cli *c)
{
	enum next n = NEXT_WORD;

	for (; *c->argv != NULL && n == NEXT_WORD; c->argv += *c->argv != NULL && n == NEXT_WORD) {
		c->p = *c->argv;
		if (*c->p == '+') {
			c->p++;
			if (!number(c, &c->f.skip))
				return (FAILED);
			n = *c->p == '\0' ? NEXT_WORD : NEXT_LETTER;
		} else if (*c->p++ != '-')
			return (FAILED);
		else
			n = NEXT_LETTER;
		while (n == NEXT_LETTER)
			n = option(c);
	}
	return (n);
}

/* What cannot go together. */
static bool
sane(const struct formail *f)
{
	bool extract = f->x.v.len > 0 || f->X.v.len > 0;

	if (!f->split && (f->skip > 0 || f->total >= 0 || f->every || f->digest || f->min_fields > 0 || f->nowait))
		return (false);
	return (!(extract && f->folder != NULL) && !(f->keep && !(f->reply || extract)));
}

int
main(int argc, char **argv)
{
	struct cli c = { .f = { .bogus = true, .quiet = true, .prefix = ">", .total = -1 } };
	char host[256] = "localhost";
	enum next n;
	int rc;

	c.argv = argv + (argc > 0);
	n = parse(&c);
	if (n == ENDED)
		return (EX_USAGE);
	if (n == FAILED || !sane(&c.f)) {
		(void)fputs(usage_text, stderr);
		return (EX_USAGE);
	}
	if (c.f.resent && !c.f.trust) {
		(void)invalid("Resent-", "");
		(void)fputs(usage_text, stderr);
		return (EX_USAGE);
	}
	c.f.argv = n == PROGRAM ? (const char *const *)(uintptr_t)c.argv : NULL;
	c.f.environ = (const char *const *)(uintptr_t)environ;
	(void)gethostname(host, sizeof(host) - 1);
	c.f.host = host;
	c.f.in = stdin;
	c.f.out = stdout;
	(void)signal(SIGPIPE, SIG_IGN);
	rc = formail_run(&c.f);
	struct formail_list *lists[] = { &c.f.x, &c.f.X, &c.f.a, &c.f.A, &c.f.i, &c.f.I, &c.f.u, &c.f.U, &c.f.R };
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		formail_list_free(lists[i]);
	return (rc);
}
