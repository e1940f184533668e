/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Matcher of procmail's regular expressions.  A set of threads goes through the text byte by byte; each remembers where its
 * "\/" was.  Until the first "\/" or end of a match is met only the list of threads matters, so that
 * part runs on an automaton whose states are such lists, made when first needed and thrown away when they take
 * too much memory.
 *
 * The order of threads is kept as procmail has it: what was reached last is looked at first, and the place of
 * a "\/" found on one way counts for the ways of the same thread that are looked at after it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "filter/procmail_regex_int.h"

#define NO_START	PTRDIFF_MAX
#define NO_STATE	UINT32_MAX	/* not made yet */
#define STOP		0x80000000U	/* in an entry of the table: look at what it is */
#define NEVER		(UINT32_MAX - 1)

/* A state of the automaton: a row of the table. */
struct state {
	uint32_t	*list;		/* threads, in the order in which they were reached */
	uint32_t	 nlist;
	uint32_t	*takers;	/* steps that may take the next byte, in order */
	uint32_t	 ntakers;
	uint8_t		 special;	/* REGEX_FIN or REGEX_SPLIT met first, else 0 */
	bool		 dead;		/* with the end of the text nothing more comes of it */
};

/* A list of threads on the move. */
struct threads {
	uint32_t	*step;
	ptrdiff_t	*start;
	size_t		 n;
	uint32_t	*where;		/* by step: index + 1 in the list, 0 if it is not there */
};

struct regex_auto {
	uint32_t	*stack;
	uint64_t	*seen;		/* by step: the round in which it was forked at */
	ptrdiff_t	*seen_start;
	uint64_t	 round;
	struct threads	 t[2];
	uint8_t		 kind[256];	/* classes of bytes (before folding) that no step tells apart */
	unsigned	 kinds;
	uint8_t		 wanted[256];	/* the empty list takes it (before folding) */
	int		 only;		/* ... and this is the only one; -1 */
	uint64_t	 second[4];	/* <only> is a newline: behind it these bytes lead on, and NUL in any case */
	VEC(struct state) states;
	uint32_t	*to;		/* the table: by state and class of byte, the place of the next state's row, with STOP */
	size_t		 rows;		/* there is room for */
	uint32_t	 idle;		/* entry of the empty list, where <wanted> may be used; NEVER */
	uint32_t	 start;		/* entry of the list at the beginning of a text; NEVER: not known */
	uint32_t	 end;		/* entry of a dead state; NEVER */
	bool		 end_by_lines;	/* it is reached from the idle one by two newlines */
	size_t		 memory;
	uint64_t	 clears;	/* times all states were thrown away */
};

/* --- set-up ---------------------------------------------------------------- */

static void
split_kinds(struct regex_auto *a, const struct procmail_regex *re, const struct regex_step *s)
{
	int to[512];
	unsigned n = 0;

	memset(to, -1, sizeof(to));
	for (unsigned b = 0; b < 256; b++) {
		unsigned key = a->kind[b] * 2U + regex_takes(re, s, re->fold ? (uint8_t)sv_lower((char)b) : (uint8_t)b);

		if (to[key] < 0)
			to[key] = (int)n++;
		a->kind[b] = (uint8_t)to[key];
	}
	a->kinds = n;
}

static void
states_clear(struct regex_auto *a)
{
	for (size_t i = 0; i < a->states.len; i++) {
		free(a->states.p[i].list);
		free(a->states.p[i].takers);
	}
	vec_clear(&a->states);
	a->memory = 0;
	a->clears++;
	a->idle = a->start = a->end = NEVER;
	a->end_by_lines = false;
}

static struct regex_auto *
auto_new(const struct procmail_regex *re)
{
	struct regex_auto *a = xcalloc(1, sizeof(*a));

	a->stack = xcalloc(re->n + 1, sizeof(*a->stack));
	a->seen = xcalloc(re->n, sizeof(*a->seen));
	a->seen_start = xcalloc(re->n, sizeof(*a->seen_start));
	for (int i = 0; i < 2; i++) {
		a->t[i].step = xcalloc(re->n, sizeof(*a->t[i].step));
		a->t[i].start = xcalloc(re->n, sizeof(*a->t[i].start));
		a->t[i].where = xcalloc(re->n, sizeof(*a->t[i].where));
	}
	a->kinds = 1;
	for (size_t i = 0; i < re->n; i++)
		if (re->prog[i].op <= REGEX_ANY)
			split_kinds(a, re, &re->prog[i]);
	a->idle = a->start = a->end = NEVER;
	return (a);
}

void
regex_auto_free(struct regex_auto **ap)
{
	struct regex_auto *a = *ap;

	if (a == NULL)
		return;
	states_clear(a);
	vec_free(&a->states);
	free(a->to);
	for (int i = 0; i < 2; i++) {
		free(a->t[i].step);
		free(a->t[i].start);
		free(a->t[i].where);
	}
	free(a->stack);
	free(a->seen);
	free(a->seen_start);
	free(a);
	*ap = NULL;
}

/* --- threads --------------------------------------------------------------- */

static void
threads_clear(struct threads *t)
{
	for (size_t i = 0; i < t->n; i++)
		t->where[t->step[i]] = 0;
	t->n = 0;
}

static void
threads_push(struct threads *t, uint32_t step, ptrdiff_t start)
{
	uint32_t w = t->where[step];

	if (w != 0) {
		if (start < t->start[w - 1])
			t->start[w - 1] = start;
		return;
	}
	t->step[t->n] = step;
	t->start[t->n] = start;
	t->where[step] = (uint32_t)++t->n;
}

/* Drop the threads of the first <n> whose MATCH would begin behind <start>, and turn the order round; the new number. */
static size_t
threads_prune(struct threads *t, size_t n, ptrdiff_t start)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (t->start[i] > start) {
			t->where[t->step[i]] = 0;
			continue;
		}
		t->step[kept] = t->step[i];
		t->start[kept++] = t->start[i];
	}
	for (size_t i = 0; i < kept / 2; i++) {
		uint32_t s = t->step[i];
		ptrdiff_t p = t->start[i];

		t->step[i] = t->step[kept - 1 - i];
		t->start[i] = t->start[kept - 1 - i];
		t->step[kept - 1 - i] = s;
		t->start[kept - 1 - i] = p;
	}
	for (size_t i = 0; i < kept; i++)
		t->where[t->step[i]] = (uint32_t)i + 1;
	return (kept);
}

/* One search. */
struct search {
	struct procmail_regex *re;
	struct regex_auto *a;
	struct sv	 text;
	struct threads	*cur, *nxt;
	size_t		 left;		/* of <cur> that is not done in this round */
	bool		 from_start;	/* new threads may begin */
	bool		 split;		/* a "\/" was passed: threads differ by where */
	ptrdiff_t	 pos;		/* of the byte that is looked at */
	bool		 last;		/* it is the newline imagined behind the text */
	ptrdiff_t	 eom, bom;	/* the best MATCH so far; eom NO_START: none */
	bool		 done;		/* found, without a MATCH */
	const struct procmail_lines *lines;	/* of the text; NULL */
	size_t		 line;		/* the first that was not passed */
};

/* The end of the expression is met by a thread with <start>: true if the search is over. */
static bool
finish(struct search *s, ptrdiff_t start)
{
	if (start == NO_START) {
		s->done = true;
		return (true);
	}
	s->bom = start;
	s->eom = s->pos;
	s->left = threads_prune(s->cur, s->left, start);
	s->nxt->n = threads_prune(s->nxt, s->nxt->n, start);
	s->from_start = false;
	return (false);
}

/* Was the fork at <step> already taken in this round with a start as good? */
static bool
seen_before(struct regex_auto *a, uint32_t step, ptrdiff_t start)
{
	if (a->seen[step] == a->round && a->seen_start[step] <= start)
		return (true);
	a->seen[step] = a->round;
	a->seen_start[step] = start;
	return (false);
}

/* All ways from step <i>, with the byte <c> to be taken; true if the search is over. */
static bool
follow(struct search *s, uint32_t i, ptrdiff_t start, uint8_t c)
{
	struct regex_auto *a = s->a;
	size_t depth = 0;

	for (;;) {
		const struct regex_step *p = &s->re->prog[i];
		bool pop = true;

		switch (p->op) {
		case REGEX_EPS:
			if (!seen_before(a, i, start)) {
				a->stack[depth++] = i++;
				pop = false;
			}
			break;
		case REGEX_JUMP:
			i = p->next;
			pop = false;
			break;
		case REGEX_SPLIT:
			if (s->eom == NO_START)
				start = s->pos;
			s->split = true;
			i++;
			pop = false;
			break;
		case REGEX_EOT:
			if (!s->last && s->pos < 0)
				threads_push(s->nxt, i, start);
			if (s->last && finish(s, start))
				return (true);
			break;
		case REGEX_FIN:
			if (finish(s, start))
				return (true);
			break;
		case REGEX_BOT:
			if (s->pos < 0)
				threads_push(s->nxt, i, start);
			break;
		default:
			if (regex_takes(s->re, p, c))
				threads_push(s->nxt, i, start);
		}
		if (!pop)
			continue;
		if (depth == 0)
			return (false);
		i = s->re->prog[a->stack[--depth]].next;
	}
}

/* One byte for all threads; false when the search is over. */
static bool
advance(struct search *s, uint8_t c, bool begin)
{
	s->a->round++;
	threads_clear(s->nxt);
	s->left = s->cur->n;
	if (begin && s->from_start && follow(s, 0, NO_START, c))
		return (false);
	while (s->left > 0) {
		size_t i = --s->left;

		if (follow(s, s->re->prog[s->cur->step[i]].next, s->cur->start[i], c))
			return (false);
	}
	struct threads *t = s->cur;
	s->cur = s->nxt;
	s->nxt = t;
	return (true);
}

/* --- the automaton --------------------------------------------------------- */

/* Collect what may take a byte, in order, from step <i>; stops at the first end or "\/". */
static uint8_t
gather(struct search *s, uint32_t i, uint32_t *takers, uint32_t *n)
{
	struct regex_auto *a = s->a;
	size_t depth = 0;

	for (;;) {
		const struct regex_step *p = &s->re->prog[i];

		if (p->op == REGEX_FIN || p->op == REGEX_SPLIT)
			return (p->op);
		if (p->op == REGEX_JUMP) {
			i = p->next;
			continue;
		}
		if (p->op == REGEX_EPS && a->seen[i] != a->round) {
			a->seen[i] = a->round;
			a->stack[depth++] = i++;
			continue;
		}
		if (p->op <= REGEX_ANY && a->seen[i] != a->round) {
			a->seen[i] = a->round;
			takers[(*n)++] = i;
		}
		if (depth == 0)
			return (0);
		i = s->re->prog[a->stack[--depth]].next;
	}
}

/* What the table says to lead to state <i>. */
static uint32_t
entry(const struct regex_auto *a, size_t i)
{
	uint32_t row = (uint32_t)(i * a->kinds);

	return (a->states.p[i].special != 0 || (row | STOP) == a->idle ? row | STOP : row);
}

static bool
takes_any(const struct procmail_regex *re, const struct state *st, unsigned b)
{
	uint8_t c = re->fold ? (uint8_t)sv_lower((char)b) : (uint8_t)b;

	for (uint32_t i = 0; i < st->ntakers; i++)
		if (regex_takes(re, &re->prog[st->takers[i]], c))
			return (true);
	return (false);
}

/* Which bytes can make the empty list another one?  All others are skipped. */
static void
learn_wanted(struct search *s, const struct state *st)
{
	struct regex_auto *a = s->a;
	int n = 0;

	a->only = -1;
	for (unsigned b = 0; b < 256; b++)
		if ((a->wanted[b] = takes_any(s->re, st, b)) != 0) {
			a->only = (int)b;
			n++;
		}
	if (n != 1)
		a->only = -1;
	memset(a->second, 0xff, sizeof(a->second));
}

/* The row for the threads of <t>. */
static uint32_t
state_for(struct search *s, const struct threads *t)
{
	struct regex_auto *a = s->a;
	struct state st = { .nlist = (uint32_t)t->n };
	size_t size = (t->n + s->re->n + a->kinds) * sizeof(uint32_t), n;

	for (size_t i = 0; i < a->states.len; i++)
		if (a->states.p[i].nlist == t->n &&
		    (t->n == 0 || memcmp(a->states.p[i].list, t->step, t->n * sizeof(*t->step)) == 0))
			return (entry(a, i));
	if (a->states.len >= REGEX_STATES_MAX || (a->memory + size > REGEX_MEMORY_MAX && a->states.len > 0))
		states_clear(a);
	a->memory += size;
	st.list = t->n > 0 ? xmalloc(t->n * sizeof(*t->step)) : NULL;
	if (t->n > 0)
		memcpy(st.list, t->step, t->n * sizeof(*t->step));
	st.takers = xcalloc(s->re->n, sizeof(*st.takers));
	a->round++;
	st.special = gather(s, 0, st.takers, &st.ntakers);
	for (size_t i = t->n; i > 0 && st.special == 0; i--)
		st.special = gather(s, s->re->prog[t->step[i - 1]].next, st.takers, &st.ntakers);
	n = a->states.len;
	vec_push(&a->states, st);
	if (n >= a->rows) {
		a->rows = a->rows == 0 ? 8 : a->rows * 2;
		a->to = xreallocarray(a->to, a->rows * a->kinds, sizeof(*a->to));
	}
	memset(a->to + n * a->kinds, 0xff, a->kinds * sizeof(*a->to));
	if (t->n == 0 && st.special == 0) {
		a->idle = (uint32_t)(n * a->kinds) | STOP;
		learn_wanted(s, &st);
	}
	return (entry(a, n));
}

static uint32_t
state_next(struct search *s, uint32_t at, uint8_t c)
{
	struct regex_auto *a = s->a;
	size_t row = at & ~STOP;
	const struct state *st = &a->states.p[row / a->kinds];
	uint64_t clears = a->clears;
	uint8_t low = s->re->fold ? (uint8_t)sv_lower((char)c) : c;
	bool idle = at == a->idle;
	uint32_t to;

	threads_clear(s->nxt);
	for (uint32_t i = 0; i < st->ntakers; i++)
		if (regex_takes(s->re, &s->re->prog[st->takers[i]], low))
			threads_push(s->nxt, st->takers[i], NO_START);
	to = state_for(s, s->nxt);
	if (a->clears != clears)
		return (to);
	a->to[row + a->kind[c]] = to;
	/* Most expressions begin with a newline: what may stand behind it says which lines are looked at. */
	st = &a->states.p[(to & ~STOP) / a->kinds];
	for (unsigned b = 1; idle && a->only == '\n' && st->special == 0 && b < 256; b++)
		if (!takes_any(s->re, st, b))
			a->second[b >> 6] &= ~(UINT64_C(1) << (b & 63));
	return (to);
}

static inline bool
in_set(const uint64_t *set, uint8_t c)
{
	return ((set[c >> 6] >> (c & 63) & 1) != 0);
}

/* Over lines of which the index says that nothing comes of them: the newline before the next one. */
static size_t
skip_lines(struct search *s, size_t i)
{
	const struct procmail_lines *l = s->lines;
	size_t k = s->line;

	while (k < l->n && (l->nl[k] < i || !in_set(s->a->second, l->first[k])))
		k++;
	s->line = k;
	return (k < l->n ? l->nl[k] : s->text.len);
}

/* Over bytes that leave the empty list as it is. */
static size_t
skip(struct search *s, size_t i)
{
	const struct regex_auto *a = s->a;
	const char *p;

	if (a->only == '\n' && s->lines != NULL)
		return (skip_lines(s, i));
	if (a->only >= 0) {
		for (; (p = memchr(s->text.p + i, a->only, s->text.len - i)) != NULL; i++) {
			i = (size_t)(p - s->text.p);
			if (a->only != '\n' || i + 1 == s->text.len || in_set(a->second, (uint8_t)p[1]))
				return (i);
		}
		return (s->text.len);
	}
	while (i < s->text.len && !a->wanted[(unsigned char)s->text.p[i]])
		i++;
	return (i);
}

/* From byte <i> on until something special or the end; *<at> is the row that is reached then. */
static size_t
run_automaton(struct search *s, size_t i, uint32_t *at)
{
	const struct regex_auto *a = s->a;
	const uint8_t *p = (const uint8_t *)s->text.p;
	size_t len = s->text.len;
	uint32_t row = *at, to;

	for (; i < len; i++) {
		if ((row & STOP) != 0 && (row != a->idle || (i = skip(s, i)) >= len))
			break;
		to = a->to[(row & ~STOP) + a->kind[p[i]]];
		row = to != NO_STATE ? to : state_next(s, row, p[i]);
	}
	*at = row;
	return (i);
}

/* --- the search ------------------------------------------------------------ */

static bool
first_byte(struct search *s, size_t at)
{
	bool begin = at == 0 || s->text.p[at - 1] == '\n';

	s->pos = (ptrdiff_t)at - 1;
	if (!begin && at < s->text.len)
		return (true);
	if (!begin)
		s->pos++;
	/* An expression that begins with ^^ begins nowhere else. */
	if (s->re->prog[0].op == REGEX_BOT) {
		s->from_start = false;
		if (s->pos < 0)
			threads_push(s->cur, 0, NO_START);
		return (true);
	}
	return (advance(s, '\n', true));
}

/* As long as the threads only differ by where they are; false: the search is over. */
static bool
by_automaton(struct search *s, uint32_t at, struct state **left)
{
	struct state *st;
	size_t i = run_automaton(s, (size_t)s->pos, &at);

	st = &s->a->states.p[(at & ~STOP) / s->a->kinds];
	s->pos = (ptrdiff_t)i;
	if (st->special == REGEX_FIN) {
		s->done = true;
		return (false);
	}
	if (i >= s->text.len) {
		if (st->dead)
			return (false);
		*left = st;
	}
	threads_clear(s->cur);
	for (uint32_t k = 0; k < st->nlist; k++)
		threads_push(s->cur, st->list[k], NO_START);
	return (true);
}

/* What the text begins with; false: the search is over, or <*at> is NEVER and threads do it. */
static bool
begin(struct search *s, size_t at, uint32_t *row)
{
	*row = at == 0 ? s->a->start : NEVER;
	if (*row != NEVER) {
		s->pos = 0;
		return (true);
	}
	if (!first_byte(s, at))
		return (false);
	if (s->pos < (ptrdiff_t)at)
		s->pos = (ptrdiff_t)at;
	else
		s->pos++;
	if (!s->from_start || s->split || (size_t)s->pos > s->text.len)
		return (true);
	*row = state_for(s, s->cur);
	if (at == 0)
		s->a->start = *row;
	return (true);
}

static void
run(struct search *s, size_t at)
{
	struct state *left = NULL;
	uint32_t row;

	if (!begin(s, at, &row))
		return;
	if (row != NEVER && !by_automaton(s, row, &left))
		return;
	for (; s->pos < (ptrdiff_t)s->text.len; s->pos++) {
		uint8_t c = (uint8_t)s->text.p[s->pos];

		if (!s->from_start && s->cur->n == 0)
			return;
		if (!advance(s, s->re->fold ? (uint8_t)sv_lower((char)c) : c, true))
			return;
	}
	/* The newline behind the text, and once more for what ended with it. */
	s->last = true;
	if (!advance(s, '\n', false))
		return;
	s->last = false;
	s->pos++;
	if (advance(s, '\n', false) && left != NULL && s->eom == NO_START) {
		left->dead = true;
		s->a->end = entry(s->a, (size_t)(left - s->a->states.p));
	}
}

static bool
search(struct procmail_regex *re, struct sv text, const struct procmail_lines *lines, size_t at, struct procmail_regex_match *m)
{
	struct search s = { .re = re, .text = text, .lines = lines, .from_start = true, .eom = NO_START };

	memset(m, 0, sizeof(*m));
	if (re->hopeless || at > text.len)
		return (false);
	if (re->automaton == NULL)
		re->automaton = auto_new(re);
	s.a = re->automaton;
	s.cur = &s.a->t[0];
	s.nxt = &s.a->t[1];
	threads_clear(s.cur);
	threads_clear(s.nxt);
	run(&s, at);
	if (s.done) {
		m->end = s.pos;
		return (true);
	}
	if (s.eom == NO_START)
		return (false);
	m->captured = true;
	m->end = s.eom > (ptrdiff_t)text.len ? (ptrdiff_t)text.len : s.eom;
	m->from = s.bom < 0 ? 0 : (size_t)s.bom;
	if (m->from > text.len)		/* \/ passed with the newline behind the text */
		m->from = text.len;
	m->to = m->end > (ptrdiff_t)m->from ? (size_t)m->end : m->from;
	if (m->from > m->to)
		m->from = m->to;
	return (true);
}

/* --- most searches ---------------------------------------------------------- */

void
procmail_lines_done(struct procmail_lines *l)
{
	size_t n = l->n;

	memset(l->set, 0, sizeof(l->set));
	l->empty_end = n >= 2 && l->nl[n - 1] == l->nl[n - 2] + 1 && l->first[n - 1] == '\0';
	for (size_t i = 0; i < n - (l->empty_end ? 2 : 0); i++)
		l->set[l->first[i] >> 6] |= UINT64_C(1) << (l->first[i] & 63);
}

/* From the idle state on: the first line from <k> and <i> on with which something may begin. */
static size_t
next_line(const struct regex_auto *a, const struct procmail_lines *l, size_t k, size_t i)
{
	while (k < l->n && (l->nl[k] < i || !in_set(a->second, l->first[k])))
		k++;
	return (k);
}

/* With what was learned before it is certain that nothing is found.  False says nothing. */
static bool
surely_not(struct regex_auto *a, struct sv text, const struct procmail_lines *l)
{
	const uint8_t *p = (const uint8_t *)text.p;
	const uint32_t *to = a->to;
	uint32_t row = a->start, idle = a->idle;
	size_t k = 0, i, whole = l->n - (l->empty_end ? 2 : 0);

	if ((row & STOP) != 0 || a->only != '\n' || text.len == 0)
		return (false);
	if (a->end_by_lines && l->empty_end && to[row + a->kind[p[0]]] == idle && ((a->second[0] & l->set[0]) |
	    (a->second[1] & l->set[1]) | (a->second[2] & l->set[2]) | (a->second[3] & l->set[3])) == 0)
		return (true);
	for (i = 0;;) {
		while ((row & STOP) == 0 && i < text.len)
			row = to[row + a->kind[p[i++]]];
		if (i == text.len || row != idle)
			return ((row == idle || row == a->end) && i == text.len);
		k = next_line(a, l, k, i);
		if (k == l->n || (k == whole && a->end_by_lines))
			return (true);
		i = l->nl[k] + 1;
		row = to[(idle & ~STOP) + a->kind['\n']];
		if (k == whole && k + 2 == l->n && (row & STOP) == 0 && to[row + a->kind['\n']] == a->end)
			a->end_by_lines = true;
	}
}

bool
procmail_regex_find_lines(struct procmail_regex *re, struct sv text, const struct procmail_lines *lines, size_t at,
    struct procmail_regex_match *m)
{
	if (lines != NULL && at == 0 && re->automaton != NULL && surely_not(re->automaton, text, lines))
		return (false);
	return (search(re, text, lines, at, m));
}

bool
procmail_regex_find(struct procmail_regex *re, struct sv text, size_t at, struct procmail_regex_match *m)
{
	return (search(re, text, NULL, at, m));
}
