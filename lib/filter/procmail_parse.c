/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parser of rc files: text to a tree of assignments, recipes and blocks with their lines.  Words are
 * only found here, not expanded: what a line means is known when it is run.  A mistake becomes a statement that
 * complains when it is reached, as procmail finds it while it reads.
 */
#include <stdlib.h>
#include <string.h>

#include "filter/procmail_int.h"

struct parser {
	struct arena	*a;
	const char	*p, *end;
	const char	*counted;	/* lines up to here */
	unsigned	 line;
	unsigned	 depth;
};

static struct pm_block *parse_block(struct parser *ps, bool *closed);

static int
peek(const struct parser *ps)
{
	return (ps->p < ps->end ? (unsigned char)*ps->p : -1);
}

static bool
eat(struct parser *ps, char c)
{
	if (peek(ps) != (unsigned char)c)
		return (false);
	ps->p++;
	return (true);
}

static bool
skip_blanks(struct parser *ps)
{
	const char *before = ps->p;

	while (eat(ps, ' ') || eat(ps, '\t'))
		;
	return (ps->p != before);
}

static void
skip_line(struct parser *ps)
{
	const char *nl = memchr(ps->p, '\n', (size_t)(ps->end - ps->p));

	ps->p = nl == NULL ? ps->end : nl + 1;
}

static unsigned
line_of(struct parser *ps)
{
	for (; ps->counted < ps->p; ps->counted++)
		ps->line += *ps->counted == '\n';
	return (ps->line);
}

static void
complain(struct parser *ps, struct pm_block *b, const char *text)
{
	struct pm_stmt st = { .kind = PM_COMPLAIN, .line = line_of(ps) };

	st.text = sv_cstr(text);
	vec_push(&b->s, st);
	b->noisy = true;
}

/* Words up to the end of the line, or one word: the slice, with its line end if there is one; <lead>: bytes read already. */
static struct sv
words_after(struct parser *ps, size_t lead, enum pm_mode mode, bool *plain, bool *complained)
{
	struct pm_src src = { .p = ps->p + lead, .end = ps->end };
	struct pm_words w = PM_WORDS_INIT;
	struct sv raw;

	(void)pm_expand(NULL, &src, mode, true, 0, &w);
	pm_words_free(&w);
	raw = sv_from(ps->p, (size_t)(src.p - ps->p));
	ps->p = src.p;
	*complained |= src.complained;
	*plain = !src.complained;
	for (size_t i = 0; i < raw.len && *plain; i++)
		*plain = strchr("\\'\"`$#", raw.p[i]) == NULL && (raw.p[i] != '\0');
	return (raw);
}

static struct sv
words(struct parser *ps, enum pm_mode mode, bool *plain, bool *complained)
{
	return (words_after(ps, 0, mode, plain, complained));
}

size_t
pm_folder_lead(struct sv line)
{
	size_t n = 0;

	if (line.len == 0 || !pm_alpha(line.p[0]))
		return (0);
	while (n < line.len && pm_alnum(line.p[n]))
		n++;
	if (n == line.len || line.p[n] == ' ' || line.p[n] == '\t')
		return (0);
	return (line.p[n] == '=' ? n + 1 : n);
}

/* A line with those that continue it: "\" NL stays, unless the "\" is alone on its line. */
static struct sv
long_line(struct parser *ps)
{
	struct sb out = SB_INIT(PM_FILE_MAX);
	struct sv text;

	for (;;) {
		const char *nl = memchr(ps->p, '\n', (size_t)(ps->end - ps->p));
		size_t n = (size_t)((nl == NULL ? ps->end : nl) - ps->p);
		bool more = n > 0 && ps->p[n - 1] == '\\';
		const void *nul = memchr(ps->p, '\0', n);

		sb_addn(&out, ps->p, nul != NULL ? (size_t)((const char *)nul - ps->p) : more && n == 1 ? 0 : n);
		ps->p += nl == NULL ? n : n + 1;
		if (!more)
			break;
		sb_addc(&out, '\n');
	}
	text = arena_sv(ps->a, sb_sv(&out));
	sb_free(&out);
	return (text);
}

/* --- recipes --------------------------------------------------------------- */

/* Where no expansion is asked for, the first line is understood once and for all. */
static void
head_flags(struct pm_stmt *st)
{
	struct sv h = st->head;
	size_t i = 0;

	if (!st->plain)
		return;
	while (h.len > 0 && h.p[h.len - 1] == '\n')
		h.len--;
	while (i < h.len && sv_isspace(h.p[i]))
		i++;
	while (i < h.len && sv_isdigit(h.p[i]))
		i++;
	for (; i < h.len; i++) {
		const char *f = h.p[i] == '\0' ? NULL : strchr(PM_FLAG_LETTERS, h.p[i]);

		if (h.p[i] == ' ' || h.p[i] == '\t')
			continue;
		/* Lock files and odd letters take the long way. */
		if (f == NULL) {
			st->plain = h.p[i] == ':' && sv_trim(sv_sub(h, i + 1, h.len)).len == 0 &&
			    memchr(h.p + i, '\r', h.len - i) == NULL;
			st->lock = st->plain;
			return;
		}
		st->flag[f - PM_FLAG_LETTERS] = true;
	}
}

/* How many lines are conditions without a star: by the number, else by the flags. */
static long
head_count(struct pm_stmt *st)
{
	char *text = xstrndup(st->head.p, st->head.len), *end;
	long n = procmail_long(text, &end);

	st->numbered = end != text;
	if (end == text || n < 0)
		n = strcspn(text, "AaEe") < strcspn(text, ":\n") ? 0 : 1;
	free(text);
	return (n);
}

static void
add_condition(struct parser *ps, struct pm_cond **v, size_t *n, size_t *cap)
{
	struct pm_cond c = { .line = line_of(ps) };

	skip_blanks(ps);
	c.text = long_line(ps);
	while (c.text.len > 0 && (c.text.p[c.text.len - 1] == ' ' || c.text.p[c.text.len - 1] == '\t'))
		c.text.len--;
	if (*n == *cap) {
		*cap = *cap == 0 ? 4 : *cap * 2;
		*v = xreallocarray(*v, *cap, sizeof(**v));
	}
	(*v)[(*n)++] = c;
}

/* True: the action line follows; false: a recipe began where it should be. */
static bool
conditions(struct parser *ps, struct pm_stmt *st, long count)
{
	size_t cap = 0;
	bool empty = false;

	for (;;) {
		skip_blanks(ps);
		count--;
		if (eat(ps, '*') || count >= 0) {
			if (peek(ps) == -1 && count >= 0)
				return (true);
			add_condition(ps, &st->cond, &st->nconds, &cap);
			continue;
		}
		if (eat(ps, '#')) {
			skip_line(ps);
			continue;
		}
		if (eat(ps, '\n')) {
			empty = true;
			continue;
		}
		return (!(empty && eat(ps, ':')));
	}
}

/* "NAME=|" or "NAME=!" in front of an action. */
static char *
capture_name(struct parser *ps)
{
	const char *p = ps->p, *name = p;
	size_t n;

	if (p == ps->end || !pm_alpha(*p))
		return (NULL);
	while (p < ps->end && pm_alnum(*p))
		p++;
	n = (size_t)(p - name);
	while (p < ps->end && (*p == ' ' || *p == '\t'))
		p++;
	if (p == ps->end || *p++ != '=')
		return (NULL);
	while (p < ps->end && (*p == ' ' || *p == '\t'))
		p++;
	if (p == ps->end || (*p != '|' && *p != '!'))
		return (NULL);
	ps->p = p;
	return (arena_cstr(ps->a, sv_from(name, n)));
}

static bool
block_begins(struct parser *ps)
{
	if (ps->end - ps->p < 2 || ps->p[0] != '{' || strchr(" \t\n", ps->p[1]) == NULL || ps->p[1] == '\0')
		return (false);
	ps->p += 2;
	return (true);
}

static void
action(struct parser *ps, struct pm_stmt *st, bool *noisy)
{
	bool plain, closed;

	skip_blanks(ps);
	st->act_line = line_of(ps);
	st->name = capture_name(ps);
	if (eat(ps, '!')) {
		st->act = PM_A_FORWARD;
		st->text = words(ps, PM_SPLIT, &plain, &st->noisy_text);
		*noisy |= st->noisy_text;
	} else if (eat(ps, '|')) {
		st->act = PM_A_PIPE;
		st->text = long_line(ps);
	} else if (peek(ps) == -1) {
		st->act = PM_A_EOF;
		*noisy = true;
	} else if (block_begins(ps)) {
		st->act = PM_A_BLOCK;
		st->block = parse_block(ps, &closed);
		*noisy |= st->block->noisy;
		for (int f = 0; f < PM_FLAGS; f++)
			*noisy |= st->flag[f] && (f == PM_PASS_BODY || f == PM_PASS_HEAD || f == PM_IGNORE || f == PM_RAW ||
			    f == PM_FILTER);
		*noisy |= st->lock;
	} else {
		st->act = PM_A_FOLDER;
		st->text = words_after(ps, pm_folder_lead(sv_from(ps->p, (size_t)(ps->end - ps->p))), PM_SPLIT, &plain,
		    &st->noisy_text);
		*noisy |= st->noisy_text || st->flag[PM_FILTER];
	}
}

static void
recipe(struct parser *ps, struct pm_block *b)
{
	for (;;) {
		struct pm_stmt st = { .kind = PM_RECIPE, .line = line_of(ps), .text = SV_LIT("") };
		bool noisy = false;

		st.head = words(ps, PM_SPLIT, &st.plain, &noisy);
		head_flags(&st);
		noisy |= !st.plain || (st.flag[PM_ERROR] && (st.flag[PM_ELSE] || st.flag[PM_ALSO_OK]));
		if (conditions(ps, &st, head_count(&st))) {
			action(ps, &st, &noisy);
			b->noisy |= noisy;
			vec_push(&b->s, st);
			return;
		}
		st.act = PM_A_MISSING;
		b->noisy = true;
		vec_push(&b->s, st);
	}
}

/* --- statements ------------------------------------------------------------ */

static char *
skipped_text(struct parser *ps, struct sv what)
{
	const void *nul = memchr(what.p, '\0', what.len);

	if (nul != NULL)
		what.len = (size_t)((const char *)nul - what.p);
	return (what.len == 0 ? NULL : arena_fmt(ps->a, "Skipped \"" SV_FMT "\"\n", SV_ARG(what)));
}

/* Carriage returns are no blanks. */
static struct sv
trim(struct sv v)
{
	while (v.len > 0 && strchr(" \t\n", v.p[0]) != NULL)
		v = sv_sub(v, 1, v.len);
	while (v.len > 0 && strchr(" \t\n", v.p[v.len - 1]) != NULL)
		v.len--;
	return (v);
}

/* An assignment, or a word that cannot be one. */
static void
assignment(struct parser *ps, struct pm_block *b)
{
	struct pm_stmt st = { .kind = PM_ASSIGN, .line = line_of(ps), .text = SV_LIT("") };
	const char *name = ps->p;
	bool noisy = false;
	char *text;

	if (pm_alpha((char)peek(ps)))
		while (ps->p < ps->end && pm_alnum(*ps->p))
			ps->p++;
	if (ps->p == name || ps->p == ps->end || strchr(" \t\n=", *ps->p) == NULL || *ps->p == '\0') {
		if (ps->p == name)
			skip_line(ps);
		text = skipped_text(ps, sv_from(name, (size_t)(ps->p - name - (ps->p > name && ps->p[-1] == '\n'))));
		if (text != NULL)
			complain(ps, b, text);
		return;
	}
	st.name = arena_cstr(ps->a, sv_from(name, (size_t)(ps->p - name)));
	skip_blanks(ps);
	if (eat(ps, '=')) {
		st.value = true;
		st.text = words(ps, PM_ONE, &st.plain, &noisy);
		if (st.plain)
			st.text = arena_sv(ps->a, trim(st.text));
	}
	b->noisy |= noisy;
	vec_push(&b->s, st);
}

/* Blanks, empty lines and comments in front of a statement. */
static void
skip_idle(struct parser *ps)
{
	for (;;) {
		do
			skip_blanks(ps);
		while (eat(ps, '\n'));
		if (!eat(ps, '#'))
			return;
		skip_line(ps);
	}
}

static struct pm_block *
parse_block(struct parser *ps, bool *closed)
{
	struct pm_block *b = arena_zalloc(ps->a, sizeof(*b));

	*closed = false;
	if (++ps->depth > PM_BLOCKS_MAX) {
		complain(ps, b, "Too many blocks in blocks\n");
		ps->p = ps->end;
	}
	for (;;) {
		skip_idle(ps);
		if (peek(ps) == -1)
			break;
		if (eat(ps, ':'))
			recipe(ps, b);
		else if (eat(ps, '}')) {
			if (ps->depth > 1) {
				*closed = true;
				break;
			}
			complain(ps, b, "Closing brace unexpected\n");
		} else
			assignment(ps, b);
	}
	b->unclosed = ps->depth > 1 && !*closed;
	ps->depth--;
	return (b);
}

struct pm_block *
pm_parse(struct arena *a, struct sv text)
{
	struct parser ps = { .a = a, .p = text.p, .end = text.p + text.len, .counted = text.p, .line = 1 };
	bool closed;

	return (parse_block(&ps, &closed));
}

void
pm_block_free(struct pm_block *b)
{
	for (size_t i = 0; b != NULL && i < b->s.len; i++) {
		struct pm_stmt *st = &b->s.p[i];

		for (size_t k = 0; k < st->nconds; k++) {
			procmail_regex_free(&st->cond[k].regex);
			free(st->cond[k].regex_text);
			pm_plan_free(&st->cond[k]);
		}
		free(st->cond);
		pm_block_free(st->block);
	}
	if (b != NULL)
		vec_free(&b->s);
}
