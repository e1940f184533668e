/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parser of expanded strings: text to a sequence of nodes.  Called when a
 * configuration is loaded, and for strings that are known only at run time.  A mistake
 * replaces the whole top-level piece in which it stands by a node that tells it when
 * evaluation gets there: that is when Exim would.
 */
#include "exim/expand_int.h"

#include <assert.h>
#include <stdio.h>

/* Pieces that may be read for each byte of a text, and for none. */
#define WORK_BYTE	16
#define WORK_LEAST	10000

bool
xp_error(struct xparse *ps, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	ps->error = arena_str(ps->a, buf);
	return (false);
}

bool
xp_curly(struct xparse *ps, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;

	if (ps->malformed_header)
		return (xp_error(ps, "missing or misplaced { or } - could be header name not terminated by colon"));
	if (fmt == NULL)
		return (xp_error(ps, "missing or misplaced { or }"));
	va_start(ap, fmt);
	(void)vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	return (xp_error(ps, "%s", buf));
}

void
xp_soft(struct xparse *ps, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;

	if (ps->soft != NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	ps->soft = arena_str(ps->a, buf);
}

static void
add_before(struct xparse *ps, struct xbefore what)
{
	struct xbefore *b = arena_alloc(ps->a, sizeof(*b));

	*b = what;
	b->next = ps->before;
	ps->before = b;
}

void
xp_before(struct xparse *ps, const struct xseq *v, unsigned n)
{
	while (n-- > 0)
		add_before(ps, (struct xbefore){ .seq = v[n] });
}

void
xp_before_item(struct xparse *ps, const struct xnode *n)
{
	const struct xitem *it = n->u.item;
	struct xnode *whole;
	struct xitem *copy;

	if (it == NULL)
		return;
	if (!it->yn.bad) {
		xp_before(ps, it->arg, it->narg);
		return;
	}
	whole = arena_dup(ps->a, n, sizeof(*n));
	whole->u.item = copy = arena_dup(ps->a, it, sizeof(*it));
	copy->yn = (struct xyn){ .form = XYN_NONE };
	/* Whether evaluation would come further is not known here. */
	ps->before = NULL;
	xp_before(ps, &(struct xseq){ .v = whole, .n = 1 }, 1);
}

void
xp_before_number(struct xparse *ps, const struct xseq *s)
{
	add_before(ps, (struct xbefore){ .seq = *s, .number = true });
}

void
xp_before_cond(struct xparse *ps, const struct xcond *c, bool wanted)
{
	add_before(ps, (struct xbefore){ .cond = c, .wanted = wanted });
}

bool
xp_behind(struct xparse *ps, const char *text)
{
	const struct xbefore *b = ps->before;

	ps->before = NULL;
	for (struct xbefore copy, *last = NULL; b != NULL; b = b->next) {
		copy = *b;
		copy.behind = b->behind == NULL ? text : arena_fmt(ps->a, "%s%s", b->behind, text);
		copy.next = NULL;
		if (last == NULL)
			ps->before = last = arena_dup(ps->a, &copy, sizeof(copy));
		else {
			last->next = arena_dup(ps->a, &copy, sizeof(copy));
			last = (struct xbefore *)(uintptr_t)last->next;
		}
	}
	return (xp_error(ps, "%s%s", ps->error, text));
}

void
xp_mistake(struct xparse *ps, struct xnode *n)
{
	memset(n, 0, sizeof(*n));
	n->eval = x_mistake;
	n->u.mistake.text = sv_cstr(ps->error);
	n->u.mistake.before = ps->before;
	ps->error = NULL;
	ps->before = NULL;
}

/* isspace() of the C locale. */
static bool
is_space(char c)
{
	return (c == ' ' || (c >= '\t' && c <= '\r'));
}

char
xp_skip(struct xparse *ps)
{
	while (is_space(*ps->p))
		ps->p++;
	return (*ps->p);
}

struct sv
xp_name(struct xparse *ps, const char *extra)
{
	const char *start = ps->p;
	size_t len;

	while (sv_isalnum(*ps->p) || (*ps->p != '\0' && strchr(extra, *ps->p) != NULL))
		ps->p++;
	len = (size_t)(ps->p - start);
	return (sv_from(start, len < X_NAME_MAX ? len : X_NAME_MAX - 1));
}

static int
hex_digit(char c)
{
	if (sv_isdigit(c))
		return (c - '0');
	c = sv_lower(c);
	return (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

/* Manual 6.17 and 11.2. */
char
x_escape(const char **p, const char *end)
{
	const char *s = *p;
	char c = *s++;
	int n = 0;

	if (c >= '0' && c <= '7') {
		n = c - '0';
		for (int i = 0; i < 2 && s < end && *s >= '0' && *s <= '7'; i++)
			n = n * 8 + *s++ - '0';
		c = (char)n;
	} else
		switch (c) {
		case 'b': c = '\b'; break;
		case 'f': c = '\f'; break;
		case 'n': c = '\n'; break;
		case 'r': c = '\r'; break;
		case 't': c = '\t'; break;
		case 'v': c = '\v'; break;
		case 'x':
			for (int i = 0; i < 2 && s < end && hex_digit(*s) >= 0; i++)
				n = n * 16 + hex_digit(*s++);
			c = (char)n;
			break;
		default:
			break;
		}
	*p = s;
	return (c);
}

/* Nodes of the sequence under way, and literal text that is not yet one. */
struct build {
	struct sb	 lit;
	struct xnode	*v;
	unsigned	 n, cap;
	bool		 cut;		/* a NUL was seen: for Exim the text ends there */
};

static struct xnode *
build_node(struct xparse *ps, struct build *b)
{
	if (b->n == b->cap) {
		unsigned cap = b->cap == 0 ? 2 : b->cap * 2;
		struct xnode *v = arena_alloc(ps->a, cap * sizeof(*v));

		if (b->n > 0)
			memcpy(v, b->v, b->n * sizeof(*v));
		b->v = v;
		b->cap = cap;
	}
	memset(&b->v[b->n], 0, sizeof(b->v[b->n]));
	return (&b->v[b->n++]);
}

static void
build_flush(struct xparse *ps, struct build *b)
{
	struct xnode *n;

	if (b->lit.len == 0)
		return;
	n = build_node(ps, b);
	n->eval = x_lit;
	n->u.lit = arena_sv(ps->a, sb_sv(&b->lit));
	sb_clear(&b->lit);
}

static void
build_char(struct xparse *ps, struct build *b, char c)
{
	if (b->cut)
		return;
	if (c == '\0') {
		build_flush(ps, b);
		b->cut = true;
		return;
	}
	sb_addc(&b->lit, c);
}

/* ps->p stands on a backslash. */
static bool
parse_backslash(struct xparse *ps, struct build *b)
{
	const char *s = ps->p + 1;

	if (s >= ps->end)
		return (xp_error(ps, "\\ at end of string"));
	if (*s == 'N') {
		for (s++; s < ps->end && !(s[0] == '\\' && s[1] == 'N'); s++)
			build_char(ps, b, *s);
		ps->p = s < ps->end ? s + 2 : s;
		return (true);
	}
	build_char(ps, b, x_escape(&s, ps->end));
	ps->p = s;
	return (true);
}

static struct xnode *
build_expansion(struct xparse *ps, struct build *b)
{
	build_flush(ps, b);
	return (build_node(ps, b));
}

/* Digits of $12 or ${12}. */
static unsigned
parse_number(struct xparse *ps)
{
	unsigned n = 0;

	while (sv_isdigit(*ps->p)) {
		if (n < 100000)
			n = n * 10 + (unsigned)(*ps->p - '0');
		ps->p++;
	}
	return (n);
}

static enum exim_result
eval_number(struct xev *e, const struct xnode *n, struct sv *out)
{
	const struct exim_nums *nums = e->env->nums;

	*out = nums != NULL && n->u.num < nums->n ? nums->v[n->u.num] : SV_NULL;
	return (EXIM_OK);
}

bool
x_header_prefix(struct sv name, enum xheader_kind *kind, size_t *prefix)
{
	static const char letters[] = "rbl";
	static const enum xheader_kind kinds[] = { XH_RAW, XH_BASIC, XH_LIST };
	size_t i = 0;

	*kind = XH_DECODED;
	for (size_t k = 0; k < 3; k++)
		if (name.len > 1 && name.p[0] == letters[k] && name.p[1] == 'h') {
			*kind = kinds[k];
			i = 1;
		}
	name = sv_sub(name, i, name.len);
	if (sv_starts(name, "h_"))
		*prefix = i + 2;
	else if (sv_starts(name, "header_"))
		*prefix = i + 7;
	else
		return (false);
	return (true);
}

/* $h_NAME: from ps->p, which stands on the name's prefix. */
static bool
parse_header(struct xparse *ps, const char *start, size_t prefix, enum xheader_kind kind, struct xnode *n)
{
	const char *s = start + prefix;

	ps->p = s;
	while (ps->p < ps->end && *ps->p > ' ' && *ps->p < 127 && *ps->p != ':')
		ps->p++;
	n->eval = x_header;
	n->u.hdr.kind = kind;
	n->u.hdr.name = arena_sv(ps->a, sv_from(s, (size_t)(ps->p - s)));
	if (*ps->p == ':')
		ps->p++;
	else if (!is_space(*ps->p))
		ps->malformed_header = true;
	return (true);
}

/* $name */
static bool
parse_plain(struct xparse *ps, struct build *b)
{
	const char *start = ps->p;
	enum xheader_kind kind;
	struct xnode *n;
	size_t prefix;
	struct sv name;

	n = build_expansion(ps, b);
	name = xp_name(ps, "_");
	if (x_header_prefix(name, &kind, &prefix))
		return (parse_header(ps, start, prefix, kind, n));
	if (!xp_var(ps, name, n))
		return (xp_error(ps, "unknown variable name \"" SV_FMT "\"%s", SV_ARG(name), x_acl_hint(name)));
	return (true);
}

static bool
parse_operator(struct xparse *ps, struct sv name, struct xnode *n)
{
	ps->p++;
	n->u.op.name = arena_sv(ps->a, name);
	if (!xp_seq(ps, true, true, &n->u.op.sub))
		return (false);
	ps->p++;
	n->eval = x_op;
	n->u.op.row = x_op_find(n->u.op.name, &n->u.op.arg);
	if (n->u.op.row == NULL)
		return (xp_error(ps, "unknown expansion operator \"" SV_FMT "\"", SV_ARG(name)));
	return (true);
}

/* ${...; ps->p stands behind the brace. */
static bool
parse_braced(struct xparse *ps, struct build *b)
{
	const struct xitem_row *row;
	struct xnode *n;
	struct sv name;

	n = build_expansion(ps, b);
	if (sv_isdigit(*ps->p)) {
		n->eval = eval_number;
		n->u.num = parse_number(ps);
		if (*ps->p != '}')
			return (xp_error(ps, "} expected after number"));
		ps->p++;
		return (true);
	}
	if (!sv_isalpha(*ps->p))
		return (xp_error(ps, "letter or digit expected after ${"));
	name = xp_name(ps, "_-");
	row = x_item_find(name);
	if (row != NULL) {
		if (row->parse(ps, row, n))
			return (true);
		xp_before_item(ps, n);
		return (false);
	}
	if (*ps->p == ':')
		return (parse_operator(ps, name, n));
	if (*ps->p == '}') {
		ps->p++;
		if (!xp_var(ps, name, n))
			return (xp_error(ps, "unknown variable in \"${" SV_FMT "}\"%s", SV_ARG(name), x_acl_hint(name)));
		if (n->eval == x_var)
			n->u.var.name = arena_sv(ps->a, name);
		return (true);
	}
	return (xp_error(ps, "\"${" SV_FMT "\" is not a known operator (or a } is missing in a variable reference)",
	    SV_ARG(name)));
}

static bool
parse_dollar(struct xparse *ps, struct build *b)
{
	struct xnode *n;

	ps->p++;
	if (sv_isalpha(*ps->p))
		return (parse_plain(ps, b));
	if (sv_isdigit(*ps->p)) {
		n = build_expansion(ps, b);
		n->eval = eval_number;
		n->u.num = parse_number(ps);
		return (true);
	}
	if (*ps->p != '{')
		return (xp_error(ps, "$ not followed by letter, digit, or {"));
	ps->p++;
	return (parse_braced(ps, b));
}

/* One step of a sequence: a run of text, an escape or an expansion. */
static bool
parse_piece(struct xparse *ps, bool dollar, struct build *b)
{
	unsigned before;
	bool ok;

	if (++ps->work > ps->work_max)
		return (xp_error(ps, "the string is too much work to read: items in it that are read twice are nested"));
	if (*ps->p == '\\')
		return (parse_backslash(ps, b));
	if (*ps->p != '$' || !dollar) {
		build_char(ps, b, *ps->p++);
		return (true);
	}
	before = b->n;
	ok = parse_dollar(ps, b);
	if (b->cut && ok && b->n > before)
		b->n = before;
	return (ok);
}

bool
xp_seq(struct xparse *ps, bool braces, bool dollar, struct xseq *out)
{
	struct build b = { .lit = SB_INIT(EXIM_EXPAND_MAX) };
	unsigned done = 0;
	bool ok = true;

	if (++ps->depth > X_DEPTH) {
		ps->depth--;
		return (xp_error(ps, "expansion items are nested more than %d deep", X_DEPTH));
	}
	while (ok && ps->p < ps->end && !(braces && *ps->p == '}')) {
		done = b.n + (b.lit.len > 0 ? 1 : 0);
		ok = parse_piece(ps, dollar, &b);
	}
	if (ok && braces && ps->p >= ps->end) {
		build_flush(ps, &b);
		done = b.n;
		ok = xp_error(ps, ps->malformed_header ?
		    "missing } at end of string - could be header name not terminated by colon" :
		    "missing } at end of string");
	}
	if (ok)
		build_flush(ps, &b);
	sb_free(&b.lit);
	out->v = b.v;
	out->n = ok ? b.n : done < b.n ? done : b.n;
	if (!ok)
		xp_before(ps, out, 1);
	ps->depth--;
	return (ok);
}

bool
xp_arg(struct xparse *ps, struct xseq *out)
{
	if (xp_skip(ps) != '{')
		return (false);
	ps->p++;
	return (xp_seq(ps, true, true, out));
}

int
xp_args(struct xparse *ps, unsigned min, unsigned max, bool close, const char *name, struct xseq *v, unsigned *n)
{
	for (*n = 0; *n < max; (*n)++) {
		if (xp_skip(ps) != '{') {
			if (*n < min) {
				(void)xp_error(ps, "Not enough arguments for '%s' (min is %u)", name, min);
				return (1);
			}
			break;
		}
		ps->p++;
		if (!xp_seq(ps, true, true, &v[*n]))
			return (3);
		ps->p++;
	}
	if (close && xp_skip(ps) != '}') {
		if (*ps->p == '{') {
			(void)xp_error(ps, "Too many arguments for '%s' (max is %u)", name, max);
			return (2);
		}
		(void)xp_curly(ps, "missing '}' after '%s'", name);
		return (1);
	}
	if (close)
		ps->p++;
	return (0);
}

static bool
yesno_error(struct xparse *ps, const char *where, const char *rest)
{
	if (ps->malformed_header)
		return (xp_curly(ps, NULL));
	return (xp_error(ps, "curly-bracket problem in conditional yes/no parsing: %s\n remaining string is '%s'", where,
	    rest));
}

/* The word "fail" in place of the second string. */
static bool
parse_fail(struct xparse *ps, const char *type, struct xyn *yn)
{
	struct sv word = xp_name(ps, "_");

	if (!sv_eqs(word, "fail"))
		return (xp_error(ps, "syntax error in \"%s\" item - \"fail\" expected", type));
	yn->form = XYN_FAIL;
	return (true);
}

static bool
parse_yesno(struct xparse *ps, const char *type, struct xyn *yn)
{
	yn->form = XYN_NONE;
	if (xp_skip(ps) == '}') {
		ps->p++;
		return (true);
	}
	if (*ps->p != '{')
		return (yesno_error(ps, "'yes' part did not start with '{'", ps->p));
	ps->p++;
	if (!xp_seq(ps, true, true, &yn->yes))
		return (false);
	ps->p++;
	yn->form = XYN_YES;
	if (xp_skip(ps) == '{') {
		ps->p++;
		if (!xp_seq(ps, true, true, &yn->no))
			return (false);
		ps->p++;
		yn->form = XYN_BOTH;
	} else if (*ps->p != '}' && !parse_fail(ps, type, yn))
		return (false);
	if (xp_skip(ps) != '}')
		return (yesno_error(ps, yn->form == XYN_FAIL ? "did not close with '}' after forcedfail" : "did not close with '}'",
		    ps->p));
	ps->p++;
	return (true);
}

bool
xp_yesno(struct xparse *ps, const char *type, struct xyn *yn)
{
	yn->bad = !parse_yesno(ps, type, yn);
	return (!yn->bad);
}

bool
x_seq_literal(const struct xseq *s, struct sv *v)
{
	if (s->n == 0) {
		if (v != NULL)
			*v = SV_LIT("");
		return (true);
	}
	if (s->n != 1 || s->v[0].eval != x_lit)
		return (false);
	if (v != NULL)
		*v = s->v[0].u.lit;
	return (true);
}

/* The top level: like xp_seq, but a mistake, which is returned, ends it as a node. */
static const char *
parse_top(struct xparse *ps, bool dollar, struct xseq *out)
{
	struct build b = { .lit = SB_INIT(EXIM_EXPAND_MAX) };
	const char *mistake = NULL;
	unsigned before = 0;

	while (ps->p < ps->end) {
		before = b.n + (b.lit.len > 0 ? 1 : 0);
		if (!parse_piece(ps, dollar, &b))
			break;
	}
	if (ps->error != NULL) {
		build_flush(ps, &b);
		if (b.n > before)
			b.n = before;
		mistake = ps->error;
		xp_mistake(ps, build_node(ps, &b));
	} else
		build_flush(ps, &b);
	sb_free(&b.lit);
	out->v = b.v;
	out->n = b.n;
	return (mistake != NULL ? mistake : ps->soft);
}

struct xparse
xp_begin(struct arena *a, struct sv text)
{
	return ((struct xparse){ .a = a, .p = text.p, .end = text.p + text.len, .work_max = WORK_LEAST + WORK_BYTE * text.len });
}

/* <outer>: the parser that counts, or NULL. */
static struct exim_str *
compile(struct arena *a, struct sv text, bool dollar, struct xparse *outer, const char **mistake)
{
	struct exim_str *s = arena_zalloc(a, sizeof(*s));
	struct xparse ps;

	s->text = arena_sv(a, text);
	/* Text without anything special needs no tree. */
	if (sv_chr(s->text, '\\') < 0 && sv_chr(s->text, '$') < 0) {
		s->literal = true;
		s->value = s->text;
		*mistake = NULL;
		return (s);
	}
	ps = xp_begin(a, s->text);
	if (outer != NULL) {
		ps.work = outer->work;
		ps.work_max = outer->work_max;
		ps.depth = outer->depth;
	}
	*mistake = parse_top(&ps, dollar, &s->seq);
	if (outer != NULL)
		outer->work = ps.work;
	s->literal = x_seq_literal(&s->seq, &s->value);
	if (s->text.tainted)
		s->value.tainted = true;
	return (s);
}

struct exim_str *
xp_compile(struct arena *a, struct sv text, const char *file, unsigned line, bool dollar, const char **mistake)
{
	struct exim_str *s = compile(a, text, dollar, NULL, mistake);

	s->file = file == NULL ? NULL : arena_str(a, file);
	s->line = line;
	return (s);
}

struct exim_str *
xp_compile_part(struct xparse *ps, struct sv text, const char **mistake)
{
	return (compile(ps->a, text, true, ps, mistake));
}

int
exim_str_compile(struct arena *a, struct sv text, const char *file, unsigned line, struct exim_str **out, struct err *err)
{
	const char *mistake;

	*out = xp_compile(a, text, file, line, true, &mistake);
	if (mistake == NULL)
		return (0);
	if (file == NULL)
		return (err_set(err, ERR_CONFIG, "4.3.5", "%s", mistake));
	return (err_conf(err, file, line, "%s", mistake));
}

bool
exim_str_literal(const struct exim_str *s, struct sv *v)
{
	if (s == NULL) {
		if (v != NULL)
			*v = SV_LIT("");
		return (true);
	}
	if (!s->literal)
		return (false);
	if (v != NULL)
		*v = s->value;
	return (true);
}

struct sv
exim_str_text(const struct exim_str *s)
{
	return (s == NULL ? SV_NULL : s->text);
}

const char *
exim_str_file(const struct exim_str *s, unsigned *line)
{
	*line = s == NULL ? 0 : s->line;
	return (s == NULL ? NULL : s->file);
}
