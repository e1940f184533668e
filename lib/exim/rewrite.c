/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Address rewriting (chapter 31 of Exim's manual): reading the rules and applying
 * them to envelope addresses and header fields.
 */
#include "base/vec.h"
#include "exim/acl.h"
#include "exim/conf.h"
#include "exim/expand_int.h"
#include "exim/extract.h"
#include "exim/logsel.h"
#include "exim/rewrite_int.h"
#include "mail/address.h"

#define REPEAT_MAX	10		/* of a rule with R */
#define RULES_MAX	10000

/* ---- reading ---- */

bool
exim_rule_word(struct sv *v, struct arena *a, struct sv *out, struct err *err)
{
	size_t i = 0;

	*v = sv_trim(*v);
	if (v->len == 0)
		return (false);
	if (v->p[0] == '"') {
		for (i = 1; i < v->len && v->p[i] != '"'; i++)
			if (v->p[i] == '\\' && i + 1 < v->len)
				i++;
		if (i < v->len)
			i++;
		else {
			/* Without its closing quote it goes to the end of the line, as in Exim. */
			*out = arena_sv(a, sv_sub(*v, 1, v->len));
			*v = SV_LIT("");
			return (true);
		}
	} else
		while (i < v->len && !sv_isspace(v->p[i]))
			i++;
	(void)exim_string_parse(sv_sub(*v, 0, i), a, out, err);
	*v = sv_trim(sv_sub(*v, i, v->len));
	return (true);
}

const struct exim_list *
exim_single_list(struct arena *a, enum exim_list_kind kind, struct sv pattern, const char *file, unsigned line,
    struct exim_report *rep)
{
	struct err err = ERR_INIT;
	struct exim_list *l = NULL;
	/* A newline cannot stand in a rule, so as separator it makes one item of anything. */
	struct sv text = sv_cstr(arena_fmt(a, "<\n " SV_FMT, SV_ARG(pattern)));

	if (exim_list_compile(a, kind, text, file, line, &l, &err) == -1)
		exim_report_soft(rep, NULL, 0, "%s", err.text);
	return (l);
}

static unsigned
flag_of(char c)
{
	switch (c) {
	case 'E': return (EXIM_RW_ENVELOPE);
	case 'F': return (EXIM_RW_F);
	case 'T': return (EXIM_RW_T);
	case 'b': return (EXIM_RW_b);
	case 'c': return (EXIM_RW_c);
	case 'f': return (EXIM_RW_f);
	case 'h': return (EXIM_RW_HEADERS);
	case 'r': return (EXIM_RW_r);
	case 's': return (EXIM_RW_s);
	case 't': return (EXIM_RW_t);
	case 'S': return (EXIM_RW_S);
	case 'w': return (EXIM_RW_w);
	case 'q': return (EXIM_RW_q);
	case 'Q': return (EXIM_RW_Q);
	case 'R': return (EXIM_RW_R);
	case 'X': return (EXIM_RW_X);
	default: return (0);
	}
}

int
exim_rewrite_parse(struct arena *a, struct sv text, bool transport, const char *file, unsigned line, struct exim_report *rep,
    struct exim_rewrite_rule *out)
{
	struct err err = ERR_INIT;
	struct exim_str *s = NULL;
	struct sv repl;

	*out = (struct exim_rewrite_rule){ .file = file, .line = line };
	if (!exim_rule_word(&text, a, &out->pattern, &err) || !exim_rule_word(&text, a, &repl, &err))
		return (exim_report_error(rep, file, line, "missing rewrite replacement string"));
	for (size_t i = 0; i < text.len; i++) {
		unsigned f = flag_of(text.p[i]);

		if (sv_isspace(text.p[i]))
			continue;
		/* X is of Exim's builds for its own tests. */
		if (f == 0 || (f == EXIM_RW_X && rep != NULL && rep->exact))
			return (exim_report_error(rep, file, line, "unknown rewrite flag character '%c' (could be missing quotes "
			    "round replacement item)", text.p[i]));
		if (f == EXIM_RW_S && !transport && !sv_starts(out->pattern, "^") && !sv_starts(out->pattern, "\\N^"))
			return (exim_report_error(rep, file, line, "rewrite rule has the S flag but is not a regular expression"));
		if (transport && (f & (EXIM_RW_ENVELOPE | EXIM_RW_S)) != 0)
			return (exim_report_error(rep, file, line, "rewrite rule specifies a non-header rewrite - not allowed at "
			    "transport time -" EXIM_HINT ": flag '%c'", text.p[i]));
		out->flags |= f;
	}
	if ((out->flags & (EXIM_RW_ENVELOPE | EXIM_RW_HEADERS | EXIM_RW_S)) == 0)
		out->flags |= transport ? EXIM_RW_HEADERS : EXIM_RW_HEADERS | EXIM_RW_ENVELOPE;
	out->list = exim_single_list(a, out->flags & EXIM_RW_S ? EXIM_LIST_STRING : EXIM_LIST_ADDRESS, out->pattern, file, line,
	    rep);
	if (sv_eqs(repl, "*"))
		return (0);
	if (exim_str_compile(a, repl, file, line, &s, &err) == -1)
		exim_report_soft(rep, NULL, 0, "%s (rewrite rule)", err.text);
	out->repl = s;
	return (0);
}

int
exim_rewrites_parse_list(struct arena *a, struct sv text, const char *file, unsigned line, struct exim_report *rep,
    struct exim_rewrites *out)
{
	VEC(struct exim_rewrite_rule) v = VEC_INIT;
	struct exim_rewrite_rule r;
	struct sv item;
	int sep = 0, rc = 0;

	out->flags = 0;
	while (exim_list_next(&text, &sep, a, &item) && v.len < RULES_MAX) {
		if (exim_rewrite_parse(a, item, true, file, line, rep, &r) == -1) {
			rc = -1;
			continue;
		}
		vec_push(&v, r);
		out->flags |= r.flags;
	}
	out->rule = arena_dup(a, v.p, v.len * sizeof(*v.p));
	out->n = v.len;
	vec_free(&v);
	return (rc);
}

/* ---- applying ---- */

static void
split(struct sv addr, struct sv *local, struct sv *domain)
{
	ptrdiff_t at = sv_rchr(addr, '@');

	*local = at < 0 ? addr : sv_sub(addr, 0, (size_t)at);
	*domain = at < 0 ? SV_NULL : sv_sub(addr, (size_t)at + 1, addr.len);
}

/* $local_part and $domain are those of the address under the rule; <save> is for leave(). */
static void
enter(struct exim_env *env, struct exim_address *scratch, struct exim_address **save, struct sv addr)
{
	*save = env->addr;
	if (env->addr != NULL)
		*scratch = *env->addr;
	else
		memset(scratch, 0, sizeof(*scratch));
	split(addr, &scratch->local_part, &scratch->domain);
	env->addr = scratch;
}

enum step { STEP_NEXT, STEP_DONE, STEP_CHANGED, STEP_ERROR, STEP_UNKNOWN };

/* Text under way that quotes are put into. */
struct phrase {
	char	*p;
	size_t	 len;
};

static void
quote_at(struct phrase *f, size_t at)
{
	memmove(f->p + at + 1, f->p + at, f->len - at);
	f->p[at] = '"';
	f->len++;
}

/* How far the comment at <i> goes; *<quotes> when there are such in it. */
static size_t
comment_end(struct sv v, size_t i, bool *quotes)
{
	size_t depth = 0;

	for (; i < v.len; i++) {
		if (v.p[i] == '\\')
			i++;
		else if (v.p[i] == '"')
			*quotes = true;
		else if (v.p[i] == '(')
			depth++;
		else if (v.p[i] == ')' && --depth == 0)
			return (i + 1);
	}
	return (v.len);
}

static size_t
copy(struct phrase *f, struct sv v, size_t i, size_t end)
{
	memcpy(f->p + f->len, v.p + i, end - i);
	f->len += end - i;
	return (end);
}

/* All so far and what follows, up to the next quotes, becomes one quoted string; goes on there. */
static size_t
quote_all(struct phrase *f, struct sv v, size_t i, bool *quoted)
{
	size_t blanks;

	quote_at(f, 0);
	while (i < v.len && v.p[i] != '"' && !*quoted) {
		size_t end = v.p[i] == '(' ? comment_end(v, i, quoted) : v.p[i] == '\\' && i + 1 < v.len ? i + 2 : i + 1;

		if (!*quoted)
			i = copy(f, v, i, end);
	}
	for (blanks = 0; i < v.len && f->p[f->len - 1 - blanks] == ' '; blanks++)
		continue;
	quote_at(f, f->len - blanks);
	return (i);
}

/* Behind quotes only the word with what is special gets its own. */
static size_t
quote_word(struct phrase *f, struct sv v, size_t i)
{
	size_t start = f->len;

	while (start > 0 && strchr(" \")", f->p[start - 1]) == NULL)
		start--;
	quote_at(f, start);
	while (i < v.len && v.p[i] != ' ' && v.p[i] != '"')
		f->p[f->len++] = v.p[i++];
	quote_at(f, f->len);
	return (i);
}

/*
 * What stands around an address, so that it may stand there: bytes beyond ASCII make an encoded word of all of it, what is
 * special is quoted; quoted strings and comments stay.
 */
static struct sv
fix_phrase(struct exim_env *env, struct sv v)
{
	struct phrase f = { .len = 0 };
	bool quoted = false;
	size_t i = 0, end;

	v = sv_trim(v);
	for (size_t k = 0; k < v.len; k++)
		if ((unsigned char)v.p[k] > 126 || ((unsigned char)v.p[k] < ' ' && v.p[k] != '\t'))
			return (x_rfc2047_encode(env, v));
	/* Each byte may be a word in quotes. */
	f.p = arena_alloc(env->arena, v.len * 3 + 3);
	while (i < v.len) {
		if (v.p[i] == '"') {
			for (end = i + 1; end < v.len && v.p[end] != '"'; end++)
				end += v.p[end] == '\\';
			quoted = true;
			i = copy(&f, v, i, end < v.len ? end + 1 : v.len);
			if (end >= v.len)
				f.p[f.len++] = '"';
		} else if (v.p[i] == '(')
			i = copy(&f, v, i, comment_end(v, i, &quoted));
		else if (strchr(")<>@,;:\\.[]", v.p[i]) == NULL)
			f.p[f.len++] = v.p[i++];
		else
			i = quoted ? quote_word(&f, v, i) : quote_all(&f, v, i, &quoted);
	}
	return ((struct sv){ f.p, f.len, v.tainted });
}

/* The text of a field that a w rule made, and where its address stands in it. */
struct whole {
	struct sv	 text;		/* p NULL: none yet */
	size_t		 start, end;
};

static void
set_whole(struct whole *w, struct exim_env *env, struct sv text, const struct exim_extracted *x, struct sv addr)
{
	struct sv pre = sv_sub(text, 0, x->start), post = sv_sub(text, x->end, text.len);

	/* An address alone, with the comments behind it. */
	if ((pre.len == 0 || pre.p[pre.len - 1] != '<') && sv_eq(addr, x->address)) {
		*w = (struct whole){ .text = arena_sv(env->arena, text), .start = x->start, .end = x->end };
		return;
	}
	/* In angle brackets: phrases may stand around them. */
	if (pre.len > 0 && pre.p[pre.len - 1] == '<') {
		const char *gap;

		pre.len--;
		post = post.len > 0 ? sv_sub(post, 1, post.len) : post;
		gap = sv_trim(pre).len == 0 ? "" : " ";
		pre = sv_cstr(arena_fmt(env->arena, SV_FMT "%s<", SV_ARG(fix_phrase(env, pre)), gap));
		gap = sv_trim(post).len == 0 ? "" : " ";
		post = sv_cstr(arena_fmt(env->arena, ">%s" SV_FMT, gap, SV_ARG(fix_phrase(env, post))));
	}
	w->start = pre.len;
	w->end = pre.len + addr.len;
	w->text = sv_cstr(arena_fmt(env->arena, SV_FMT SV_FMT SV_FMT, SV_ARG(pre), SV_ARG(addr), SV_ARG(post)));
	w->text.tainted = text.tainted || addr.tainted;
}

/* The address in what rule <r> made of <old>, qualified where the rule says so; else what is wrong with it. */
static bool
is_address(const struct exim_rewrite_rule *r, struct exim_env *env, unsigned where, struct sv old, struct sv text,
    struct exim_extracted *x, struct sv *new, struct err *err)
{
	/* Only a sender may become nobody. */
	unsigned null = (where & (EXIM_RW_F | EXIM_RW_S)) != 0 ? EXIM_EXTRACT_NULL : 0;

	if (exim_extract(text, null | EXIM_EXTRACT_LITERALS, env->arena, x, err) == -1) {
		const char *why = arena_str(env->arena, err->text);

		(void)err_set(err, ERR_CONFIG, "4.3.5", "Rewrite of " SV_FMT " yielded unparseable address: %s in address " SV_FMT,
		    SV_ARG(old), why, SV_ARG(text));
		return (false);
	}
	*new = x->address;
	if (x->domain > 0 || new->len == 0)
		return (true);
	if ((r->flags & EXIM_RW_Q) == 0) {
		(void)err_set(err, ERR_CONFIG, "4.3.5", "Rewrite of " SV_FMT " yielded unqualified address \"" SV_FMT "\"", SV_ARG(old),
		    SV_ARG(text));
		return (false);
	}
	if (env->g != NULL) {
		*new = sv_cstr(arena_fmt(env->arena, SV_FMT "@" SV_FMT, SV_ARG(*new), SV_ARG(env->g->qualify_recipient)));
		new->tainted = x->address.tainted;
	}
	return (true);
}

static void
tell(struct exim_env *env, unsigned logs, const char *text)
{
	exim_env_log(env, logs, sv_cstr(text));
}

/* The selector address_rewrite. */
static void
tell_change(struct exim_env *env, unsigned where, struct sv old, struct sv new, size_t rule)
{
	static const struct { unsigned where; const char *name; } names[] = {
		{ EXIM_RW_F, "env-from" }, { EXIM_RW_T, "env-to" }, { EXIM_RW_s, "sender:" }, { EXIM_RW_f, "from:" },
		{ EXIM_RW_t, "to:" }, { EXIM_RW_c, "cc:" }, { EXIM_RW_b, "bcc:" }, { EXIM_RW_r, "reply-to:" },
	};
	const char *name = "?";

	if (sv_eq(old, new) || env->conf == NULL || !EXIM_LOGSEL_ON(env->conf->log_selector, address_rewrite))
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (where == names[i].where)
			name = names[i].name;
	tell(env, EXIM_LOG_MAIN, arena_fmt(env->arena, "\"" SV_FMT "\" from %s rewritten as \"" SV_FMT "\" by rule %zu",
	    SV_ARG(old), name, SV_ARG(new), rule));
}

/* One rule on *<addr>. */
static enum step
apply_rule(const struct exim_rewrite_rule *r, struct exim_env *env, unsigned where, struct sv *addr, struct whole *whole,
    enum exim_result *res, struct err *err)
{
	bool header = (where & EXIM_RW_HEADERS) != 0;
	struct exim_address scratch, *save;
	struct exim_extracted x;
	struct sv text, new;
	bool yes = false;

	*res = exim_match_rewrite(r->list, env, *addr, &yes, err);
	if (*res == EXIM_DEFER || *res == EXIM_FAIL)
		return (STEP_UNKNOWN);
	if (*res != EXIM_OK || !yes)
		return (STEP_NEXT);
	if (r->repl == NULL)
		return (STEP_DONE);
	enter(env, &scratch, &save, *addr);
	*res = exim_expand(r->repl, env, &text, err);
	env->addr = save;
	if (*res == EXIM_FORCED)
		return (r->flags & EXIM_RW_q ? STEP_DONE : STEP_NEXT);
	if (*res != EXIM_OK) {
		err_prefix(err, "Expansion of %.*s failed while rewriting", SV_ARG(exim_str_text(r->repl)));
		return (STEP_ERROR);
	}
	if (!is_address(r, env, where, *addr, text, &x, &new, err)) {
		*res = EXIM_FAIL;
		return (STEP_ERROR);
	}
	if (header && (r->flags & EXIM_RW_w) != 0)
		set_whole(whole, env, text, &x, new);
	else if (header && whole->text.p != NULL) {
		struct sv old = whole->text;

		/* What an earlier rule put around it stays. */
		whole->text = sv_cstr(arena_fmt(env->arena, SV_FMT SV_FMT SV_FMT, SV_ARG(sv_sub(old, 0, whole->start)), SV_ARG(new),
		    SV_ARG(sv_sub(old, whole->end, old.len))));
		whole->text.tainted = old.tainted || new.tainted;
		whole->end = whole->start + new.len;
	}
	*addr = new;
	return (STEP_CHANGED);
}

enum exim_result
exim_rewrite_address(const struct exim_rewrites *rw, struct exim_env *env, unsigned where, struct sv address, struct sv *out,
    struct sv *whole, struct err *err)
{
	const struct exim_nums *nums = env->nums;
	bool header = (where & EXIM_RW_HEADERS) != 0;
	enum exim_result res = EXIM_OK;
	struct whole all = { .text = SV_NULL };
	struct sv cur = address;

	*out = address;
	if (whole != NULL)
		*whole = SV_NULL;
	if ((rw->flags & where) == 0)
		return (EXIM_OK);
	for (size_t i = 0; i < rw->n; i++) {
		const struct exim_rewrite_rule *r = &rw->rule[i];
		enum step st;
		int count = 0;

		if ((r->flags & where) == 0 || (r->flags & EXIM_RW_S) != 0)
			continue;
		do {
			struct err why = ERR_INIT;
			struct sv was = cur;
			enum exim_result one;

			st = apply_rule(r, env, where, &cur, &all, &one, &why);
			/* Whether a pattern fits cannot be told: the other rules count all the same. */
			if (st == STEP_UNKNOWN || st == STEP_ERROR) {
				res = one;
				if (err != NULL)
					*err = why;
				if (st == STEP_ERROR)
					tell(env, EXIM_LOG_MAIN | EXIM_LOG_PANIC, why.text);
			}
			if (st == STEP_CHANGED)
				tell_change(env, where, was, header && (r->flags & EXIM_RW_w) != 0 ? all.text : cur, i + 1);
		} while (st == STEP_CHANGED && (r->flags & EXIM_RW_R) != 0 && count++ < REPEAT_MAX);
		if (count > REPEAT_MAX)
			tell(env, EXIM_LOG_MAIN | EXIM_LOG_PANIC,
			    arena_fmt(env->arena, "rewrite rule repeat ignored after %d times", REPEAT_MAX));
		if (st == STEP_ERROR)
			break;
		if (st == STEP_DONE || ((st == STEP_CHANGED || count > 0) && (r->flags & EXIM_RW_q) != 0))
			break;
	}
	env->nums = nums;
	*out = cur;
	if (whole != NULL)
		*whole = all.text;
	return (res);
}

enum exim_result
exim_rewrite_smtp(const struct exim_rewrites *rw, struct exim_env *env, struct sv text, struct sv *out, struct err *err)
{
	const struct exim_nums *nums = env->nums;
	enum exim_result res = EXIM_OK;

	*out = text;
	if ((rw->flags & EXIM_RW_S) == 0)
		return (EXIM_OK);
	for (size_t i = 0; i < rw->n && res == EXIM_OK; i++) {
		const struct exim_rewrite_rule *r = &rw->rule[i];
		bool yes = false;
		int count = 0;
		struct exim_extracted x;
		struct sv new;

		if ((r->flags & EXIM_RW_S) == 0)
			continue;
		while (res == EXIM_OK && count < ((r->flags & EXIM_RW_R) != 0 ? REPEAT_MAX : 1)) {
			res = exim_match_rewrite(r->list, env, *out, &yes, err);
			if (res != EXIM_OK || !yes || r->repl == NULL)
				break;
			res = exim_expand(r->repl, env, &new, err);
			if (res == EXIM_OK && !is_address(r, env, EXIM_RW_S, *out, new, &x, &new, err))
				res = EXIM_FAIL;
			if (res == EXIM_OK)
				*out = arena_sv(env->arena, new);
			count++;
		}
		if (res == EXIM_FORCED)
			res = EXIM_OK;
		if (yes && (r->repl == NULL || (r->flags & EXIM_RW_q) != 0))
			break;
	}
	env->nums = nums;
	return (res);
}

enum exim_result
exim_rewrite_header(const struct exim_rewrites *rw, struct exim_env *env, unsigned where, struct sv body, struct sv *out,
    bool *changed, struct err *err)
{
	struct mail_addrlist list;
	struct sb sb = SB_INIT(1024 * 1024), one = SB_INIT(MAIL_ADDRESS_MAX);
	const char *done = body.p;
	enum exim_result res = EXIM_OK;

	*out = body;
	*changed = false;
	if ((rw->flags & where) == 0)
		return (EXIM_OK);
	mail_addrlist_read(body, env->arena, &list);
	for (size_t i = 0; i < list.n; i++) {
		const struct mail_address *m = &list.v[i];
		struct sv addr, new, whole, raw = m->raw;
		ptrdiff_t at;

		if (m->item != MAIL_ITEM_ADDRESS || m->domain.len == 0)
			continue;
		sb_clear(&one);
		mail_address_put(&one, m);
		addr = arena_sv(env->arena, sb_sv(&one));
		addr.tainted = body.tainted;
		res = exim_rewrite_address(rw, env, where, addr, &new, &whole, err);
		if (res != EXIM_OK)
			break;
		if (whole.p == NULL && sv_eq(addr, new))
			continue;
		*changed = true;
		sb_addn(&sb, done, (size_t)(raw.p - done));
		done = raw.p + raw.len;
		/* The working part as it was written is replaced; phrase and comments stay. */
		at = sv_find(raw, addr);
		if (whole.p != NULL)
			sb_add(&sb, sv_trim(whole));
		else if (at >= 0) {
			sb_add(&sb, sv_sub(raw, 0, (size_t)at));
			sb_add(&sb, new);
			sb_add(&sb, sv_sub(raw, (size_t)at + addr.len, raw.len));
		} else if (m->name.len > 0)
			sb_addf(&sb, SV_FMT " <" SV_FMT ">", SV_ARG(m->name), SV_ARG(new));
		else
			sb_add(&sb, new);
	}
	if (res == EXIM_OK && *changed && !sb.overflow) {
		sb_addn(&sb, done, (size_t)(body.p + body.len - done));
		*out = arena_sv(env->arena, sb_sv(&sb));
		out->tainted = body.tainted;
	}
	sb_free(&sb);
	sb_free(&one);
	return (res);
}
