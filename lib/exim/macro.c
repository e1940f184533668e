/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Macros of the configuration (chapter 6 of Exim's manual): each is replaced
 * everywhere, also inside words, in the order of definition; a replacement is scanned for
 * macros defined later, not for itself.  The predefined ones (macro_pre.c) begin with an underscore.
 */
#include "exim/lexer.h"
#include "exim/macro_int.h"

struct exim_macro *
macro_get(const struct exim_macros *m, struct sv name)
{
	for (size_t i = 0; i < m->v.len; i++)
		if (sv_eq(m->v.p[i].name, name))
			return (&m->v.p[i]);
	return (NULL);
}

enum macro_set
macro_set(struct exim_macros *m, struct sv name, struct sv value, bool redefine, bool command_line, struct sv *other)
{
	struct exim_macro *old = macro_get(m, name), new;
	unsigned char c;

	if (old != NULL) {
		if (old->command_line && !command_line)
			return (MACRO_OK);
		if (!redefine)
			return (MACRO_TWICE);
		old->value = arena_sv(m->arena, value);
		return (MACRO_OK);
	}
	if (redefine && !command_line)
		return (MACRO_NONE);
	for (size_t i = 0; i < m->v.len; i++)
		if (sv_find(name, m->v.p[i].name) >= 0) {
			*other = m->v.p[i].name;
			return (MACRO_HIDDEN);
		}
	if (m->v.len >= EXIM_MACRO_MAX)
		return (MACRO_LIMIT);
	new.name = arena_sv(m->arena, name);
	new.value = arena_sv(m->arena, value);
	new.command_line = command_line;
	new.told = false;
	vec_push(&m->v, new);
	c = (unsigned char)name.p[0];
	m->first[c / 64] |= UINT64_C(1) << (c % 64);
	return (MACRO_OK);
}

static bool
may_start(struct sv v, size_t i)
{
	char c = v.p[i], d = i + 1 < v.len ? v.p[i + 1] : '\0';

	return ((c >= 'A' && c <= 'Z') || (c == '_' && ((d >= 'A' && d <= 'Z') || d == '_')));
}

/* <cut>: more of a word follows.  _VPOST counts only whole: what a box defines begins with it. */
static bool
predefined(const struct exim_macros *m, struct sv name, bool cut, struct sv *value)
{
	if (cut && sv_eqs(name, "_VPOST"))
		return (false);
	for (size_t i = 0; i < m->own.len; i++)
		if (sv_eq(m->own.p[i].name, name)) {
			*value = m->own.p[i].value;
			return (true);
		}
	return (exim_macro_predefined(name, value));
}

/* The predefined macros of <in> replaced, longest name first. */
static bool
expand_predefined(const struct exim_macros *m, struct sv in, size_t from, struct sb *out)
{
	bool found = false;

	sb_clear(out);
	sb_add(out, sv_sub(in, 0, from));
	for (size_t i = from; i < in.len;) {
		struct sv value = SV_NULL;
		size_t end = i, whole;

		if (in.p[i] == '_' && may_start(in, i)) {
			for (whole = i; whole < in.len && exim_name_char(in.p[whole]); whole++)
				;
			for (end = whole; end > i + 3 && !predefined(m, sv_sub(in, i, end), end < whole, &value); end--)
				;
			if (end <= i + 3)
				end = i;
		}
		if (end > i && m->replaced != NULL)
			m->replaced(sv_sub(in, i, end), value);
		if (end > i) {
			sb_add(out, value);
			found = true;
			i = end;
		} else
			sb_addc(out, in.p[i++]);
	}
	return (found);
}

/* All of one macro in <in>, from <from> on; false and nothing done when there is none. */
static bool
expand_one(const struct exim_macros *all, const struct exim_macro *m, struct sv in, size_t from, struct sb *out)
{
	ptrdiff_t at = sv_find(sv_sub(in, from, in.len), m->name);

	if (at < 0)
		return (false);
	sb_clear(out);
	sb_add(out, sv_sub(in, 0, from));
	do {
		sb_add(out, sv_sub(in, from, from + (size_t)at));
		sb_add(out, m->value);
		if (all->replaced != NULL)
			all->replaced(m->name, m->value);
		from += (size_t)at + m->name.len;
		at = sv_find(sv_sub(in, from, in.len), m->name);
	} while (at >= 0);
	sb_add(out, sv_sub(in, from, in.len));
	return (true);
}

/* Which bytes occur from <from> on: most macros cannot be in most lines. */
static void
bytes_of(struct sv v, size_t from, uint64_t set[4])
{
	memset(set, 0, 4 * sizeof(set[0]));
	for (size_t i = from; i < v.len; i++)
		set[(unsigned char)v.p[i] / 64] |= UINT64_C(1) << ((unsigned char)v.p[i] % 64);
}

bool
macro_expand(const struct exim_macros *m, struct sv line, size_t from, struct sb *out)
{
	struct sb other = SB_INIT(out->max);
	struct sb *b[2] = { &other, out };
	struct sv cur = line;
	uint64_t set[4];
	bool found = false;
	size_t first = from, which = 0;

	while (first < line.len && !may_start(line, first))
		first++;
	if (first < line.len && line.p[first] == '_' && expand_predefined(m, cur, first, b[which])) {
		cur = sb_sv(b[which]);
		which = !which;
		found = true;
	}
	bytes_of(cur, first, set);
	for (size_t i = 0; first < line.len && i < m->v.len; i++) {
		unsigned char c = (unsigned char)m->v.p[i].name.p[0];

		if ((set[c / 64] & UINT64_C(1) << (c % 64)) == 0 || !expand_one(m, &m->v.p[i], cur, first, b[which]))
			continue;
		cur = sb_sv(b[which]);
		which = !which;
		found = true;
		bytes_of(cur, first, set);
	}
	if (found && which == 1) {
		struct sb tmp = *out;

		/* The result stands in the scratch builder: hand its memory over. */
		*out = other;
		other = tmp;
		out->overflow = out->overflow || tmp.overflow;
	} else if (!found) {
		sb_clear(out);
		sb_add(out, line);
	} else
		out->overflow = out->overflow || other.overflow;
	sb_free(&other);
	return (found);
}
