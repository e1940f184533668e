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
#define NO_STATE	UINT32_MAX

/* A state of the automaton. */
struct state {
	uint32_t	*list;		/* threads, in the order in which they were reached */
	uint32_t	 nlist;
	uint32_t	*takers;	/* steps that may take the next byte, in order */
	uint32_t	 ntakers;
	uint8_t		 special;	/* REGEX_FIN or REGEX_SPLIT met first, else 0 */
	uint32_t	*to;		/* by class of byte; NO_STATE: not made yet */
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
	uint8_t		 kind[256];	/* classes of bytes that no step tells apart */
	unsigned	 kinds;
	uint8_t		 wanted[256];	/* the start list takes it (before folding) */
	int		 only;		/* ... and this is the only one; -1 */
	bool		 skips;		/* <wanted> may be used */
	VEC(struct state) states;
	uint32_t	 empty;		/* state of the empty list */
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
		unsigned key = a->kind[b] * 2U + regex_takes(re, s, (uint8_t)b);

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
		free(a->states.p[i].to);
	}
	vec_clear(&a->states);
	a->memory = 0;
	a->clears++;
	a->empty = NO_STATE;
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
	a->empty = NO_STATE;
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

/* Which bytes can make the empty list another one?  All others are skipped. */
static void
learn_wanted(struct search *s, const struct state *st)
{
	struct regex_auto *a = s->a;
	int n = 0;

	memset(a->wanted, 0, sizeof(a->wanted));
	a->only = -1;
	a->skips = st->special == 0;
	for (unsigned b = 0; b < 256; b++) {
		uint8_t c = s->re->fold ? (uint8_t)sv_lower((char)b) : (uint8_t)b;

		for (uint32_t i = 0; i < st->ntakers && !a->wanted[b]; i++)
			a->wanted[b] = regex_takes(s->re, &s->re->prog[st->takers[i]], c);
		if (a->wanted[b]) {
			a->only = (int)b;
			n++;
		}
	}
	if (n != 1)
		a->only = -1;
}

/* The state for the threads of <t>. */
static uint32_t
state_for(struct search *s, const struct threads *t)
{
	struct regex_auto *a = s->a;
	struct state st = { .nlist = (uint32_t)t->n };
	size_t size = (t->n + s->re->n + a->kinds) * sizeof(uint32_t);

	for (size_t i = 0; i < a->states.len; i++)
		if (a->states.p[i].nlist == t->n &&
		    (t->n == 0 || memcmp(a->states.p[i].list, t->step, t->n * sizeof(*t->step)) == 0))
			return ((uint32_t)i);
	if (a->states.len >= REGEX_STATES_MAX || (a->memory + size > REGEX_MEMORY_MAX && a->states.len > 0))
		states_clear(a);
	a->memory += size;
	st.list = t->n > 0 ? xmalloc(t->n * sizeof(*t->step)) : NULL;
	if (t->n > 0)
		memcpy(st.list, t->step, t->n * sizeof(*t->step));
	st.takers = xcalloc(s->re->n, sizeof(*st.takers));
	st.to = xmalloc(a->kinds * sizeof(*st.to));
	for (unsigned k = 0; k < a->kinds; k++)
		st.to[k] = NO_STATE;
	a->round++;
	st.special = gather(s, 0, st.takers, &st.ntakers);
	for (size_t i = t->n; i > 0 && st.special == 0; i--)
		st.special = gather(s, s->re->prog[t->step[i - 1]].next, st.takers, &st.ntakers);
	if (t->n == 0) {
		a->empty = (uint32_t)a->states.len;
		learn_wanted(s, &st);
	}
	vec_push(&a->states, st);
	return ((uint32_t)a->states.len - 1);
}

static uint32_t
state_next(struct search *s, uint32_t at, uint8_t c)
{
	const struct state *st = &s->a->states.p[at];
	uint64_t clears = s->a->clears;
	uint32_t to;

	threads_clear(s->nxt);
	for (uint32_t i = 0; i < st->ntakers; i++)
		if (regex_takes(s->re, &s->re->prog[st->takers[i]], c))
			threads_push(s->nxt, st->takers[i], NO_START);
	to = state_for(s, s->nxt);
	if (s->a->clears == clears)
		s->a->states.p[at].to[s->a->kind[c]] = to;
	return (to);
}

/* Over bytes that leave the empty list as it is. */
static size_t
skip(const struct search *s, size_t i)
{
	const struct regex_auto *a = s->a;
	const char *p;

	if (a->only >= 0) {
		p = memchr(s->text.p + i, a->only, s->text.len - i);
		return (p == NULL ? s->text.len : (size_t)(p - s->text.p));
	}
	while (i < s->text.len && !a->wanted[(unsigned char)s->text.p[i]])
		i++;
	return (i);
}

/* From byte <i> on until something special; s->cur has the threads before the byte that is returned. */
static size_t
run_automaton(struct search *s, size_t i)
{
	uint32_t at = state_for(s, s->cur);
	const struct state *st = &s->a->states.p[at];

	for (; i < s->text.len; i++) {
		uint8_t c;
		uint32_t to;

		if (at == s->a->empty && s->a->skips && (i = skip(s, i)) >= s->text.len)
			break;
		if (st->special != 0)
			break;
		c = (uint8_t)s->text.p[i];
		if (s->re->fold)
			c = (uint8_t)sv_lower((char)c);
		to = st->to[s->a->kind[c]];
		at = to != NO_STATE ? to : state_next(s, at, c);
		st = &s->a->states.p[at];
	}
	threads_clear(s->cur);
	for (uint32_t k = 0; k < st->nlist; k++)
		threads_push(s->cur, st->list[k], NO_START);
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

static void
run(struct search *s, size_t at)
{
	if (!first_byte(s, at))
		return;
	if (s->pos < (ptrdiff_t)at)
		s->pos = (ptrdiff_t)at;
	else
		s->pos++;
	if (s->from_start && !s->split && (size_t)s->pos < s->text.len)
		s->pos = (ptrdiff_t)run_automaton(s, (size_t)s->pos);
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
	(void)advance(s, '\n', false);
}

bool
procmail_regex_find(struct procmail_regex *re, struct sv text, size_t at, struct procmail_regex_match *m)
{
	struct search s = { .re = re, .text = text, .from_start = true, .eom = NO_START };

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
