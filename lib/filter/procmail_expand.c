/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words: quotes, backslashes, variables and back quotes as procmailrc(5) has them, read byte
 * by byte.  The same reader finds where a word ends while a file is parsed (no run, nothing is expanded) and
 * expands it when its line is run.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filter/procmail_int.h"

enum got { NOTHING = -1, BLANKS, TEXT, DOUBLE, SINGLE };	/* what was read last: the order counts */

#define END	(-1)

struct reader {
	struct pm	*pm;		/* NULL: only looking for the end */
	struct pm_src	*src;
	struct pm_words	*out;
	enum pm_mode	 mode;
	size_t		 from;		/* where our output begins */
	size_t		 room;		/* for it */
	enum got	 got;
	bool		 skip;		/* nothing counts */
	unsigned	 braces, quoted_braces;	/* open ${, and how many when the quotes opened */
	/* ${name-text} whose text is not wanted: output goes back to <mark> at its brace. */
	bool		 discard;
	size_t		 mark;
	unsigned	 discard_braces;
	enum got	 discard_got;
	char		*value;		/* what it becomes; may be NULL */
};

static int
next(struct reader *r)
{
	return (r->src->p < r->src->end ? (unsigned char)*r->src->p++ : END);
}

static int
peek(const struct reader *r)
{
	return (r->src->p < r->src->end ? (unsigned char)*r->src->p : END);
}

static bool
quiet(const struct reader *r)
{
	return (r->skip || r->discard);
}

static void
put(struct reader *r, char c)
{
	if (r->out->b.len - r->from >= r->room) {
		r->out->overflow = true;
		return;
	}
	sb_addc(&r->out->b, c);
}

static void
put_text(struct reader *r, const char *s)
{
	size_t n = strlen(s), left = r->room - (r->out->b.len - r->from);

	if (n > left) {
		r->out->overflow = true;
		n = left;
	}
	sb_addn(&r->out->b, s, n);
}

static void
text_now(struct reader *r)
{
	if (r->got <= BLANKS)
		r->got = TEXT;
}

static void
complain(struct reader *r, const char *text, const char *quoted)
{
	if (r->pm == NULL)
		r->src->complained = true;
	else if (quoted != NULL)
		pm_nlogq(r->pm, text, quoted);
	else
		pm_nlog(r->pm, text);
}

/* Unquoted text that came from a variable or program: cut into words at blanks. */
static void
put_split(struct reader *r, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s != ' ' && *s != '\t' && *s != '\n') {
			put(r, *s);
			r->got = TEXT;
		} else if (r->got > BLANKS) {
			put(r, '\0');
			r->got = BLANKS;
		}
	}
}

static void
put_value(struct reader *r, const char *s)
{
	if (quiet(r)) {
		/* Where a value ends must be found with no run, too. */
		if (!r->discard && r->mode == PM_ONE)
			text_now(r);
		return;
	}
	if (r->got != DOUBLE && r->mode == PM_SPLIT) {
		put_split(r, s);
		return;
	}
	put_text(r, s);
	text_now(r);
}

void
pm_split(struct sb *out, const char *text)
{
	bool word = false;

	for (; *text != '\0'; text++) {
		if (*text == ' ' || *text == '\t' || *text == '\n') {
			if (word)
				sb_addc(out, '\0');
			word = false;
		} else {
			sb_addc(out, *text);
			word = true;
		}
	}
	if (word)
		sb_addc(out, '\0');
}

/* --- variables ------------------------------------------------------------- */

static const char *
lookup(struct reader *r, const char *name)
{
	if (quiet(r) || r->pm == NULL)
		return (NULL);
	if (!sv_isdigit(name[0]))
		return (pm_get(r->pm, name));
	if (name[0] == '0')
		return (r->pm->o->argv0);
	return ((size_t)(name[0] - '0') <= r->pm->nargs ? r->pm->args[name[0] - '1'] : NULL);
}

static char *
read_name(struct reader *r)
{
	const char *from = r->src->p;

	while (peek(r) != END && pm_alnum((char)peek(r)))
		r->src->p++;
	return (xstrndup(from, (size_t)(r->src->p - from)));
}

static void
discard_until_brace(struct reader *r, const char *value)
{
	if (!quiet(r)) {
		r->discard = true;
		r->mark = r->out->b.len;
		r->discard_braces = r->braces;
		r->discard_got = r->got;
		r->value = value == NULL ? NULL : xstrdup(value);
	}
	r->braces++;
}

/* Behind "${NAME": what is done with it. */
static void
braced(struct reader *r, const char *name)
{
	const char *value = lookup(r, name);
	int c = next(r);
	bool set = value != NULL;

	if (sv_isdigit(name[0]) && name[1] != '\0') {
		complain(r, "Bad substitution of", name);
		return;
	}
	if (c == ':' && (peek(r) == '-' || peek(r) == '+')) {
		c = next(r);
		set = value != NULL && *value != '\0';
	} else if (c == ':') {
		(void)next(r);
		complain(r, "Bad substitution of", name);
		return;
	}
	switch (c) {
	case '}':
		put_value(r, value == NULL ? "" : value);
		break;
	case '-':
	case '+':
		if (set == (c == '-'))
			discard_until_brace(r, value);
		else
			r->braces++;
		break;
	default:
		complain(r, "Bad substitution of", name);
	}
}

/* $\name: every byte with a meaning to expressions gets a "\"; never split. */
static void
put_disarmed(struct reader *r, const char *s)
{
	put_text(r, "()");
	for (; *s != '\0' && !r->out->overflow; s++) {
		if (strchr("(|)*?+.^$[\\", *s) != NULL)
			put(r, '\\');
		put(r, *s);
	}
	text_now(r);
}

static void
plain_name(struct reader *r, bool disarm)
{
	char *name = read_name(r);
	const char *value = lookup(r, name);

	if (disarm) {
		if (!quiet(r))
			put_disarmed(r, value == NULL ? "" : value);
		else
			text_now(r);
	} else
		put_value(r, value == NULL ? "" : value);
	free(name);
}

static void
digit(struct reader *r, int c)
{
	char name[2] = { (char)c, '\0' };
	const char *value = lookup(r, name);

	put_value(r, value == NULL ? "" : value);
}

/* $$ $? $# $= are never split. */
static void
put_number(struct reader *r, long n)
{
	char text[32];

	if (!quiet(r)) {
		(void)snprintf(text, sizeof(text), "%ld", n);
		put_text(r, text);
	}
	text_now(r);
}

static bool escaped(struct reader *r, int c);

/* Behind "$"; false: the end. */
static bool
dollar(struct reader *r)
{
	const struct pm *pm = r->pm;
	int c = next(r);
	bool disarm = c == '\\';
	char *name;

	switch (c) {
	case END:
		put(r, '$');
		r->got = TEXT;
		return (false);
	case '@':
		if (r->got == DOUBLE) {
			if (!quiet(r))
				r->out->all_args = (ptrdiff_t)r->out->b.len;
			return (true);
		}
		text_now(r);
		r->src->p--;
		return (true);
	case '{':
		name = read_name(r);
		braced(r, name);
		free(name);
		return (true);
	case '$':
		put_number(r, pm == NULL ? 0 : (long)getpid());
		return (true);
	case '?':
		put_number(r, pm == NULL ? 0 : pm->exit_code);
		return (true);
	case '#':
		put_number(r, pm == NULL ? 0 : (long)pm->nargs);
		return (true);
	case '=':
		put_number(r, pm == NULL ? 0 : pm->last_score);
		return (true);
	case '_':
		put_value(r, pm == NULL || pm->rc_name == NULL ? "" : pm->rc_name);
		return (true);
	case '-':
		put_value(r, pm == NULL ? "" : pm_gets(pm, "LASTFOLDER"));
		return (true);
	}
	if (sv_isdigit((char)c)) {
		digit(r, c);
		return (true);
	}
	if (disarm)
		c = next(r);
	if (c != END && pm_alnum((char)c)) {
		r->src->p--;
		plain_name(r, disarm);
		return (true);
	}
	put(r, '$');
	text_now(r);
	if (disarm)
		return (escaped(r, c));
	r->src->p--;
	return (true);
}

/* --- back quotes ----------------------------------------------------------- */

/* The text up to the closing one; *<dq>: a double quote ended it. */
static void
read_command(struct reader *r, struct sb *cmd, bool *dq)
{
	int c;

	for (*dq = false;;) {
		c = next(r);
		if (c == END || c == '`')
			return;
		if (c == '"' && r->got == DOUBLE) {
			*dq = true;
			return;
		}
		if (c == '\\') {
			c = next(r);
			if (c == END) {
				complain(r, "Unexpected EOL\n", NULL);
				return;
			}
			if (c == '\n')
				continue;
			if (!(c == '\\' || c == '$' || c == '`' || (c == '"' && r->got == DOUBLE)))
				sb_addc(cmd, '\\');
		}
		sb_addc(cmd, (char)c);
	}
}

static void
run_command(struct reader *r, const char *cmd, struct sb *output)
{
	struct pm *pm = r->pm;
	struct pm_words w = PM_WORDS_INIT;
	size_t used = r->out->b.len - r->from, room = r->room > used + 3 ? r->room - used - 3 : 0;
	struct pm_prog g = { .capture = true, .out = output, .max = room + 1, .wait = true };
	struct sb text = SB_INIT(SIZE_MAX / 4);
	bool sh = pm->sh;

	pm_command(pm, cmd, &w);
	pm_mail_join(&pm->mail, false);
	pm_mail_whole(pm);
	(void)pm_mail_dump(pm, sv_from(pm->mail.p, pm->mail.len), (struct pm_dump){ .blank = !pm->raw }, &text);
	g.input = sb_sv(&text);
	g.ignore_write = true;
	pm_run_program(pm, &w, &g);
	if (g.too_much || output->len > room) {
		pm_nlogq(pm, "Excessive output quenched from", sb_cstr(&w.b));
		pm_set_overflow(pm);
	} else
		while (output->len > 0 && output->p[output->len - 1] == '\n')
			sb_cut(output, output->len - 1);
	pm->sh = sh;
	sb_free(&text);
	pm_words_free(&w);
}

static void
back_quote(struct reader *r)
{
	struct sb cmd = SB_INIT(SIZE_MAX / 4), output = SB_INIT(SIZE_MAX / 4);
	bool dq;

	read_command(r, &cmd, &dq);
	if (!quiet(r) && r->pm != NULL)
		run_command(r, sb_cstr(&cmd), &output);
	if (r->got != DOUBLE)
		put_value(r, sb_cstr(&output));
	else {
		put_text(r, sb_cstr(&output));
		/* The double quote ends the text as well where a shell ran the program. */
		if (dq && strpbrk(sb_cstr(&cmd), r->pm == NULL ? PM_SHELLMETAS : r->pm->text[PM_T_SHELLMETAS]) != NULL)
			r->got = TEXT;
	}
	sb_free(&cmd);
	sb_free(&output);
}

/* --- the reader ------------------------------------------------------------ */

static bool
in_braces(const struct reader *r)
{
	return ((r->got <= TEXT && r->braces > 0) || (r->got == DOUBLE && r->braces > r->quoted_braces));
}

static void
plain(struct reader *r, int c)
{
	put(r, (char)c);
	text_now(r);
}

/* <c> stood behind a backslash; false: the end. */
static bool
escaped(struct reader *r, int c)
{
	bool bare = false;

	switch (c) {
	case END:
		complain(r, "Unexpected EOL\n", NULL);
		return (false);
	case '\n':
		return (true);
	case '#':
		bare = r->got <= BLANKS;
		break;
	case ' ':
	case '\t':
	case '\'':
		bare = r->got != DOUBLE;
		break;
	case '"':
	case '\\':
	case '$':
	case '`':
		bare = true;
		break;
	case '}':
		bare = in_braces(r);
		break;
	}
	if (!bare && (r->got > TEXT || c == '#'))
		put(r, '\\');
	plain(r, c);
	return (true);
}

static void
double_quote(struct reader *r)
{
	if (r->got == SINGLE || (r->got == DOUBLE && r->quoted_braces < r->braces))
		plain(r, '"');
	else if (r->got == DOUBLE)
		r->got = TEXT;
	else {
		r->quoted_braces = r->braces;
		r->got = DOUBLE;
	}
}

static void
close_brace(struct reader *r)
{
	char *value;

	if (!in_braces(r)) {
		plain(r, '}');
		return;
	}
	r->braces--;
	if (!r->discard || r->braces != r->discard_braces)
		return;
	r->discard = false;
	sb_cut(&r->out->b, r->mark);
	r->got = r->discard_got;
	value = r->value;
	r->value = NULL;
	put_value(r, value == NULL ? "" : value);
	free(value);
}

/* One unit of input; false: the words are complete. */
static bool
unit(struct reader *r)
{
	int c = next(r);

	switch (c) {
	case END:
		if (r->mode != PM_QUOTE && r->got > TEXT)
			complain(r, "Unexpected EOL\n", NULL);
		return (false);
	case '\\':
		if (r->got != SINGLE)
			return (escaped(r, next(r)));
		break;
	case '`':
		if (r->got != SINGLE) {
			back_quote(r);
			return (true);
		}
		break;
	case '"':
		double_quote(r);
		return (true);
	case '\'':
		if (r->got == DOUBLE)
			break;
		r->got = r->got == SINGLE ? TEXT : SINGLE;
		return (true);
	case '}':
		close_brace(r);
		return (true);
	case '#':
		if (r->got > BLANKS)
			break;
		while ((c = next(r)) != END && c != '\n')
			;
		return (false);
	case '$':
		if (r->got != SINGLE)
			return (dollar(r));
		break;
	case ' ':
	case '\t':
		if (r->got > TEXT)
			break;
		if (r->got == TEXT) {
			if (r->mode == PM_ONE)
				return (false);
			r->got = BLANKS;
			put(r, r->mode == PM_SPLIT ? '\0' : ' ');
		}
		return (true);
	case '\n':
		if (r->got <= TEXT)
			return (false);
		break;
	}
	plain(r, c);
	return (true);
}

bool
pm_expand(struct pm *pm, struct pm_src *src, enum pm_mode mode, bool skip, size_t used, struct pm_words *out)
{
	struct reader r = { .pm = pm, .src = src, .out = out, .mode = mode, .from = out->b.len, .got = NOTHING, .skip = skip };

	r.room = pm == NULL ? SIZE_MAX / 8 : pm->linebuf > used ? pm->linebuf - used : 0;
	out->all_args = -1;
	while (unit(&r))
		;
	free(r.value);
	if (r.got != BLANKS || mode != PM_SPLIT)
		sb_addc(&out->b, '\0');
	if (pm != NULL && out->overflow)
		pm_overflow(pm);
	return (!out->overflow);
}

bool
pm_expand_text(struct pm *pm, const char *text, enum pm_mode mode, struct pm_words *out)
{
	struct pm_src src = { .p = text, .end = text + strlen(text) };

	return (pm_expand(pm, &src, mode, false, 0, out));
}

void
pm_words_free(struct pm_words *w)
{
	sb_free(&w->b);
	w->overflow = false;
	w->all_args = -1;
}

void
pm_words_join(struct pm_words *w)
{
	for (size_t i = 0; i + 1 < w->b.len; i++)
		if (w->b.p[i] == '\0')
			w->b.p[i] = ' ';
}

void
pm_command(struct pm *pm, const char *text, struct pm_words *out)
{
	pm->sh = strpbrk(text, pm->text[PM_T_SHELLMETAS]) != NULL;
	if (!pm->sh && pm_expand_text(pm, text, PM_SPLIT, out) && strcmp(sb_cstr(&out->b), "test") != 0)
		return;
	/* It did not fit, or is a word that means the shell's own test. */
	pm_words_free(out);
	sb_adds(&out->b, text);
	sb_addc(&out->b, '\0');
	pm->sh = true;
}
