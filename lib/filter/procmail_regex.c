/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiler of procmail's regular expressions: text to a tree, tree to a program.  The order of the
 * steps is part of the language, since it says which of two ways is tried first and where the step behind
 * "\/" is: with a repetition the body stands behind the fork, with "+" the way out does.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "filter/procmail_regex_int.h"

enum node_kind { N_CHAR, N_CLASS, N_ANY, N_EDGE, N_SPLIT, N_GROUP, N_NOTHING };

/* One thing of a sequence, with what repeats it. */
struct node {
	enum node_kind	 kind;
	char		 repeat;	/* 0 * + ? */
	bool		 last;		/* of its sequence */
	uint32_t	 arg;		/* byte, class, first alternative */
	uint32_t	 next;		/* in the sequence; NONE */
	uint32_t	 size;		/* steps of the thing without the repetition */
};

struct alt {
	uint32_t	 first;		/* node; NONE: empty */
	uint32_t	 next;		/* alternative; NONE */
	uint32_t	 size;		/* steps of its sequence */
};

#define NONE	UINT32_MAX

struct compiler {
	struct procmail_regex *re;
	const unsigned char *p, *end;
	VEC(struct node) nodes;
	VEC(struct alt) alts;
	unsigned	 depth;
	bool		 invalid;
	uint32_t	 fin;
};

/* The byte at <p>, 0 at the end; a NUL cannot stand in an expression. */
static int
peek(const struct compiler *c, size_t off)
{
	return ((size_t)(c->end - c->p) > off ? c->p[off] : 0);
}

static void
class_set(const struct compiler *c, struct regex_class *k, unsigned b, bool on)
{
	for (int twice = 0; twice < 2; twice++) {
		if (on)
			k->bits[b >> 5] |= 1U << (b & 31);
		else
			k->bits[b >> 5] &= ~(1U << (b & 31));
		if (!c->re->fold || !sv_isalpha((char)b))
			return;
		b ^= 0x20;
	}
}

/* Behind "[": up to "]" or the end.  "]" first and "-" first or last are themselves, "\" always. */
static struct regex_class
parse_class(struct compiler *c)
{
	struct regex_class k = { { 0 } };
	unsigned b = 0;
	bool neg = peek(c, 0) == '^';

	if (neg) {
		c->p++;
		memset(&k, 0xff, sizeof(k));
		k.bits['\n' >> 5] &= ~(1U << ('\n' & 31));
	}
	if (peek(c, 0) == ']' || peek(c, 0) == '-') {
		b = (unsigned)peek(c, 0);
		class_set(c, &k, b, !neg);
		c->p++;
	}
	for (; peek(c, 0) != 0 && peek(c, 0) != ']'; c->p++) {
		if (peek(c, 0) == '-' && peek(c, 1) != 0 && peek(c, 1) != ']') {
			c->p++;
			while (++b < (unsigned)peek(c, 0))
				class_set(c, &k, b, !neg);
		}
		b = (unsigned)peek(c, 0);
		class_set(c, &k, b, !neg);
	}
	if (peek(c, 0) == ']')
		c->p++;
	return (k);
}

static uint32_t
add_class(struct compiler *c, struct regex_class k)
{
	vec_push(&c->re->classes, k);
	return ((uint32_t)c->re->classes.len - 1);
}

/* "\<" and "\>": a byte that is not in a word, newline too. */
static struct regex_class
no_word(void)
{
	struct regex_class k;

	memset(&k, 0xff, sizeof(k));
	for (unsigned b = 0; b < 256; b++)
		if (sv_isalnum((char)b) || b == '_')
			k.bits[b >> 5] &= ~(1U << (b & 31));
	return (k);
}

static uint32_t parse_alts(struct compiler *c, bool *closed, uint32_t *size);

static void
parse_escape(struct compiler *c, struct node *n)
{
	int b = peek(c, 1);

	c->p++;
	switch (b) {
	case '/':
		n->kind = N_SPLIT;
		c->p++;
		break;
	case '<':
	case '>':
		n->kind = N_CLASS;
		n->arg = add_class(c, no_word());
		c->p++;
		break;
	case 0:
		n->arg = '\\';
		break;
	default:
		n->arg = (uint32_t)(c->re->fold ? sv_lower((char)b) : b) & 0xff;
		c->p++;
	}
}

static void
parse_group(struct compiler *c, struct node *n)
{
	bool closed = false;

	n->kind = N_GROUP;
	if (++c->depth > REGEX_DEPTH_MAX) {
		c->re->hopeless = true;
		c->p = c->end;
	}
	n->arg = parse_alts(c, &closed, &n->size);
	c->depth--;
	if (!closed)
		c->invalid = true;
}

/* One thing: it eats at least a byte unless the text is at its end. */
static struct node
parse_simple(struct compiler *c)
{
	struct node n = { .kind = N_CHAR, .next = NONE, .size = 1 };
	int b = peek(c, 0);

	switch (b) {
	case 0:
		n.kind = N_NOTHING;
		n.size = 0;
		break;
	case '(':
		c->p++;
		parse_group(c, &n);
		break;
	case '[':
		c->p++;
		n.kind = N_CLASS;
		n.arg = add_class(c, parse_class(c));
		break;
	case '.':
		c->p++;
		n.kind = N_ANY;
		break;
	case '^':
	case '$':
		n.arg = '\n';
		if (b == '^' && peek(c, 1) == '^') {
			n.kind = N_EDGE;
			c->p++;
		}
		c->p++;
		break;
	case '\\':
		parse_escape(c, &n);
		break;
	default:
		n.arg = (uint32_t)(c->re->fold ? sv_lower((char)b) : b) & 0xff;
		c->p++;
	}
	return (n);
}

static bool
at_end(const struct compiler *c)
{
	int b = peek(c, 0);

	return (b == 0 || b == '|' || b == ')');
}

/* Steps of a thing with its repetition. */
static uint32_t
full_size(const struct node *n)
{
	return (n->size + (n->repeat != 0) + (n->repeat == '+' && n->last));
}

/* A sequence up to "|", ")" or the end; there is at least one thing. */
static struct alt
parse_sequence(struct compiler *c)
{
	struct alt a = { .first = NONE, .next = NONE };
	uint32_t before = NONE;

	do {
		struct node n = parse_simple(c);
		int b = peek(c, 0);

		if (b == '*' || b == '+' || b == '?') {
			n.repeat = (char)b;
			c->p++;
		}
		n.last = at_end(c);
		a.size += full_size(&n);
		if (a.size > REGEX_STEPS_MAX)
			c->re->hopeless = true;
		vec_push(&c->nodes, n);
		if (before == NONE)
			a.first = (uint32_t)c->nodes.len - 1;
		else
			c->nodes.p[before].next = (uint32_t)c->nodes.len - 1;
		before = (uint32_t)c->nodes.len - 1;
	} while (!at_end(c) && !c->re->hopeless);
	c->nodes.p[before].last = true;
	return (a);
}

/* Alternatives up to ")" (eaten, *<closed>) or the end of the text; the number of the first. */
static uint32_t
parse_alts(struct compiler *c, bool *closed, uint32_t *size)
{
	uint32_t first = NONE, before = NONE;
	bool more;

	*size = 0;
	do {
		struct alt a = { .first = NONE, .next = NONE };

		if (!at_end(c))
			a = parse_sequence(c);
		more = peek(c, 0) == '|' && !c->re->hopeless;
		*size += more ? a.size + 1 : a.first == NONE ? 1 : a.size;
		vec_push(&c->alts, a);
		if (before == NONE)
			first = (uint32_t)c->alts.len - 1;
		else
			c->alts.p[before].next = (uint32_t)c->alts.len - 1;
		before = (uint32_t)c->alts.len - 1;
		if (more)
			c->p++;
	} while (more);
	*closed = peek(c, 0) == ')';
	if (*closed)
		c->p++;
	return (first);
}

static void
put(struct compiler *c, uint32_t at, enum regex_op op, uint32_t arg, uint32_t next)
{
	assert(at < c->re->n);
	c->re->prog[at] = (struct regex_step){ .op = (uint8_t)op, .c = (uint8_t)arg, .arg = arg, .next = next };
}

static void gen_alts(struct compiler *c, uint32_t a, uint32_t at, uint32_t to);

/* The thing alone, from step <at> on; what comes after it is at <to>. */
static void
gen_simple(struct compiler *c, const struct node *n, uint32_t at, uint32_t to)
{
	switch (n->kind) {
	case N_CHAR:
		put(c, at, REGEX_CHAR, n->arg, to);
		break;
	case N_CLASS:
		put(c, at, REGEX_CLASS, n->arg, to);
		break;
	case N_ANY:
		put(c, at, REGEX_ANY, 0, to);
		break;
	case N_EDGE:
		put(c, at, to == c->fin ? REGEX_EOT : REGEX_BOT, 0, to);
		break;
	case N_SPLIT:
		put(c, at, REGEX_SPLIT, 0, to);
		break;
	case N_GROUP:
		gen_alts(c, n->arg, at, to);
		break;
	case N_NOTHING:
		break;
	}
}

static void
gen_sequence(struct compiler *c, uint32_t i, uint32_t at, uint32_t to)
{
	for (; i != NONE; i = c->nodes.p[i].next) {
		const struct node *n = &c->nodes.p[i];
		uint32_t behind = at + full_size(n), out = n->last ? to : behind;

		switch (n->repeat) {
		case '*':
			put(c, at, REGEX_EPS, 0, out);
			gen_simple(c, n, at + 1, at);
			break;
		case '?':
			put(c, at, REGEX_EPS, 0, out);
			gen_simple(c, n, at + 1, out);
			break;
		case '+':
			gen_simple(c, n, at, at + n->size);
			put(c, at + n->size, REGEX_EPS, 0, at);
			if (n->last)
				put(c, at + n->size + 1, REGEX_JUMP, 0, to);
			break;
		default:
			gen_simple(c, n, at, out);
		}
		at = behind;
	}
}

static void
gen_alts(struct compiler *c, uint32_t i, uint32_t at, uint32_t to)
{
	for (; i != NONE; i = c->alts.p[i].next) {
		const struct alt *a = &c->alts.p[i];

		if (a->next == NONE && a->first == NONE)
			put(c, at, REGEX_JUMP, 0, to);
		else if (a->next == NONE)
			gen_sequence(c, a->first, at, to);
		else {
			put(c, at, REGEX_EPS, 0, a->first == NONE ? to : at + 1 + a->size);
			gen_sequence(c, a->first, at + 1, to);
			at += 1 + a->size;
		}
	}
}

struct procmail_regex *
procmail_regex_new(struct sv expr, bool fold, bool *invalid)
{
	struct procmail_regex *re = xcalloc(1, sizeof(*re));
	struct compiler c = { .re = re, .p = (const unsigned char *)expr.p };
	const void *nul = expr.len > 0 ? memchr(expr.p, '\0', expr.len) : NULL;
	uint32_t root, size;
	bool closed;

	if (nul != NULL)
		expr.len = (size_t)((const char *)nul - expr.p);
	if (expr.p == NULL)
		c.p = (const unsigned char *)"";
	c.end = c.p + expr.len;
	re->fold = fold;
	root = parse_alts(&c, &closed, &size);
	if (closed)
		c.invalid = true;
	if (size > REGEX_STEPS_MAX)
		re->hopeless = true;
	if (!re->hopeless) {
		re->n = (size_t)size + 1;
		re->prog = xcalloc(re->n, sizeof(*re->prog));
		c.fin = size;
		gen_alts(&c, root, 0, size);
		put(&c, size, REGEX_FIN, 0, size);
	}
	vec_free(&c.nodes);
	vec_free(&c.alts);
	if (invalid != NULL)
		*invalid = c.invalid || re->hopeless;
	return (re);
}

void
procmail_regex_free(struct procmail_regex **rp)
{
	struct procmail_regex *re = *rp;

	*rp = NULL;
	if (re == NULL || re->refs-- > 0)
		return;
	regex_auto_free(&re->automaton);
	vec_free(&re->classes);
	free(re->prog);
	free(re);
}

struct procmail_regex *
procmail_regex_ref(struct procmail_regex *re)
{
	re->refs++;
	return (re);
}

/* The words and what they stand for are given in procmailrc(5), MISCELLANEOUS. */
static const struct word {
	const char	*name, *text;
	bool		 fold;
} words[] = {
	{ "^FROM_DAEMON", "(^(Mailing-List:|Precedence:.*(junk|bulk|list)|To: Multiple recipients of |"
	    "(((Resent-)?(From|Sender)|X-Envelope-From):|>?From )([^>]*[^(.%@a-z0-9])?("
	    "Post(ma?(st(e?r)?|n)|office)|(send)?Mail(er)?|daemon|m(mdf|ajordomo)|n?uucp|LIST(SERV|proc)|NETSERV|"
	    "o(wner|ps)|r(e(quest|sponse)|oot)|b(ounce|bs\\.smtp)|echo|mirror|s(erv(ices?|er)|mtp(error)?|ystem)|"
	    "A(dmin(istrator)?|MMGR|utoanswer))"
	    "(([^).!:a-z0-9][-_a-z0-9]*)?[%@>\t ][^<)]*(\\(.*\\).*)?)?$([^>]|$)))", true },
	{ "^TO_", "(^((Original-)?(Resent-)?(To|Cc|Bcc)|(X-Envelope|Apparently(-Resent)?)-To):(.*[^-a-zA-Z0-9_.])?)", false },
	{ "^TO", "(^((Original-)?(Resent-)?(To|Cc|Bcc)|(X-Envelope|Apparently(-Resent)?)-To):(.*[^a-zA-Z])?)", false },
	{ "^FROM_MAILER", "(^(((Resent-)?(From|Sender)|X-Envelope-From):|>?From )([^>]*[^(.%@a-z0-9])?("
	    "Post(ma(st(er)?|n)|office)|(send)?Mail(er)?|daemon|mmdf|n?uucp|ops|r(esponse|oot)|"
	    "(bbs\\.)?smtp(error)?|s(erv(ices?|er)|ystem)|A(dmin(istrator)?|MMGR))"
	    "(([^).!:a-z0-9][-_a-z0-9]*)?[%@>\t ][^<)]*(\\(.*\\).*)?)?$([^>]|$))", false },
};

bool
procmail_regex_words(struct sv expr, struct sb *out)
{
	size_t start = out->len, i = 0;
	bool fold = false;

	sb_add(out, expr);
	if (memchr(expr.p == NULL ? "" : expr.p, '^', expr.len) == NULL)
		return (false);
	/* One replacement makes the search begin again; a word behind "\" ends the search for that word. */
	while (i < sizeof(words) / sizeof(words[0]) && !out->overflow) {
		struct sv text = sv_sub(sb_sv(out), start, out->len), rest;
		ptrdiff_t at = sv_find(text, sv_cstr(words[i].name));
		char *copy;

		if (at < 0 || (at > 0 && text.p[at - 1] == '\\')) {
			i++;
			continue;
		}
		rest = sv_sub(text, (size_t)at + strlen(words[i].name), text.len);
		copy = xstrndup(rest.p, rest.len);
		sb_cut(out, start + (size_t)at);
		sb_adds(out, words[i].text);
		sb_adds(out, copy);
		free(copy);
		fold |= words[i].fold;
		i = 0;
	}
	return (fold);
}
