/* SPDX-License-Identifier: BSD-2-Clause */
/* FETCH: items, sections, partials (RFC 3501 6.4.5). */
#include "imap/lex_int.h"
#include "imap/write.h"

#define ITEMS_MAX	100
#define FIELDS_MAX	500

static const struct {
	const char	*name;
	enum imap_fetch	 what;
} simple_items[] = {
	{ "FLAGS", IMAP_F_FLAGS },
	{ "INTERNALDATE", IMAP_F_INTERNALDATE },
	{ "RFC822.SIZE", IMAP_F_SIZE },
	{ "ENVELOPE", IMAP_F_ENVELOPE },
	{ "BODYSTRUCTURE", IMAP_F_BODYSTRUCTURE },
	{ "UID", IMAP_F_UID },
};

/* Older names of sections. */
static const struct {
	const char	*name;
	enum imap_part	 part;
	bool		 peek;
} old_items[] = {
	{ "RFC822.HEADER", IMAP_P_HEADER, true },
	{ "RFC822.TEXT", IMAP_P_TEXT, false },
	{ "RFC822", IMAP_P_ALL, false },
};

static const struct {
	const char	*name;
	enum imap_fetch	 items[5];
	size_t		 n;
} macros[] = {
	{ "ALL", { IMAP_F_FLAGS, IMAP_F_INTERNALDATE, IMAP_F_SIZE, IMAP_F_ENVELOPE }, 4 },
	{ "FAST", { IMAP_F_FLAGS, IMAP_F_INTERNALDATE, IMAP_F_SIZE }, 3 },
	{ "FULL", { IMAP_F_FLAGS, IMAP_F_INTERNALDATE, IMAP_F_SIZE, IMAP_F_ENVELOPE, IMAP_F_BODY }, 5 },
};

static const char *const part_names[] = {
	[IMAP_P_ALL] = "", [IMAP_P_HEADER] = "HEADER", [IMAP_P_FIELDS] = "HEADER.FIELDS",
	[IMAP_P_FIELDS_NOT] = "HEADER.FIELDS.NOT", [IMAP_P_TEXT] = "TEXT", [IMAP_P_MIME] = "MIME"
};

/* "1.2.": the numbers of a section, with the dots behind them. */
static bool
section_path(struct imap_lex *l, struct imap_fetch_item *it)
{
	uint32_t path[IMAP_PATH_MAX];

	while (sv_isdigit(lex_peek(l))) {
		if (it->npath == IMAP_PATH_MAX)
			return (lex_bad(l, "Section too deep"));
		if (!lex_number(l, 1, &path[it->npath]))
			return (false);
		it->npath++;
		if (!lex_take(l, '.')) {
			if (lex_peek(l) != ']')
				return (lex_bad(l, "Malformed section"));
			break;
		}
		if (lex_peek(l) == ']')
			return (lex_bad(l, "Malformed section"));
	}
	if (it->npath > 0)
		it->path = arena_dup(l->a, path, it->npath * sizeof(*path));
	return (true);
}

static bool
section_fields(struct imap_lex *l, struct imap_fetch_item *it)
{
	VEC(struct sv) v = VEC_INIT;
	struct sv name;
	bool ok = lex_space(l) && (lex_take(l, '(') || lex_bad(l, "Missing '('"));

	while (ok) {
		ok = lex_astring(l, &name);
		if (ok && v.len == FIELDS_MAX)
			ok = lex_bad(l, "Too many fields");
		if (ok)
			vec_push(&v, name);
		if (!ok || !lex_take(l, ' '))
			break;
	}
	if (ok && !lex_take(l, ')'))
		ok = lex_bad(l, "Missing ')'");
	it->nfields = v.len;
	it->fields = v.len == 0 ? NULL : arena_dup(l->a, v.p, v.len * sizeof(*v.p));
	vec_free(&v);
	return (ok);
}

static bool
section_part(struct imap_lex *l, struct imap_fetch_item *it)
{
	/* Longer names first: each begins with the next. */
	static const enum imap_part order[] = { IMAP_P_FIELDS_NOT, IMAP_P_FIELDS, IMAP_P_HEADER, IMAP_P_TEXT,
	    IMAP_P_MIME };

	if (lex_peek(l) == ']')
		return (true);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (!lex_word(l, part_names[order[i]]))
			continue;
		it->part = order[i];
		if (it->part == IMAP_P_MIME && it->npath == 0)
			return (lex_bad(l, "MIME needs a part number"));
		return ((it->part != IMAP_P_FIELDS && it->part != IMAP_P_FIELDS_NOT) || section_fields(l, it));
	}
	return (lex_bad(l, "Unknown section"));
}

static bool
partial(struct imap_lex *l, struct imap_fetch_item *it)
{
	it->partial = true;
	if (!lex_number(l, 0, &it->offset))
		return (false);
	if (!lex_take(l, '.'))
		return (lex_bad(l, "Malformed partial"));
	return (lex_number(l, 1, &it->length) && (lex_take(l, '>') || lex_bad(l, "Malformed partial")));
}

static void
make_label(struct imap_lex *l, struct imap_fetch_item *it)
{
	struct sb out = SB_INIT(2 * IMAP_LINE_MAX);

	sb_adds(&out, "BODY[");
	for (size_t i = 0; i < it->npath; i++)
		sb_addf(&out, "%s%u", i > 0 ? "." : "", it->path[i]);
	if (it->npath > 0 && it->part != IMAP_P_ALL)
		sb_addc(&out, '.');
	sb_adds(&out, part_names[it->part]);
	for (size_t i = 0; i < it->nfields; i++) {
		sb_adds(&out, i == 0 ? " (" : " ");
		imap_put_astring(&out, it->fields[i]);
	}
	sb_adds(&out, it->nfields > 0 ? ")]" : "]");
	if (it->partial)
		sb_addf(&out, "<%u>", it->offset);
	it->label = arena_sv(l->a, sb_sv(&out));
	sb_free(&out);
}

static bool
section(struct imap_lex *l, struct imap_fetch_item *it)
{
	it->what = IMAP_F_SECTION;
	if (!section_path(l, it) || !section_part(l, it))
		return (false);
	if (!lex_take(l, ']'))
		return (lex_bad(l, "Missing ']'"));
	if (lex_take(l, '<') && !partial(l, it))
		return (false);
	make_label(l, it);
	return (true);
}

static bool
item(struct imap_lex *l, struct imap_fetch_item *it)
{
	*it = (struct imap_fetch_item){ .what = IMAP_F_SECTION };
	if (lex_word(l, "BODY.PEEK[")) {
		it->peek = true;
		return (section(l, it));
	}
	if (lex_word(l, "BODY["))
		return (section(l, it));
	for (size_t i = 0; i < sizeof(simple_items) / sizeof(simple_items[0]); i++)
		if (lex_word(l, simple_items[i].name)) {
			it->what = simple_items[i].what;
			return (true);
		}
	for (size_t i = 0; i < sizeof(old_items) / sizeof(old_items[0]); i++)
		if (lex_word(l, old_items[i].name)) {
			it->part = old_items[i].part;
			it->peek = old_items[i].peek;
			it->label = sv_cstr(old_items[i].name);
			return (true);
		}
	if (lex_word(l, "BODY")) {
		it->what = IMAP_F_BODY;
		return (true);
	}
	return (lex_bad(l, "Unknown FETCH item"));
}

static bool
macro(struct imap_lex *l, struct imap_fetch_item *v, size_t *n)
{
	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++) {
		if (!lex_word(l, macros[i].name))
			continue;
		for (*n = 0; *n < macros[i].n; (*n)++)
			v[*n] = (struct imap_fetch_item){ .what = macros[i].items[*n] };
		return (true);
	}
	return (false);
}

bool
imap_parse_fetch(struct imap_lex *l, struct imap_command *out)
{
	struct imap_fetch_item v[ITEMS_MAX];
	size_t n = 0;
	bool list;

	if (!lex_space(l) || !lex_set(l, &out->set) || !lex_space(l))
		return (false);
	list = lex_take(l, '(');
	if (list || !macro(l, v, &n)) {
		do {
			if (n == ITEMS_MAX)
				return (lex_bad(l, "Too many items"));
			if (!item(l, &v[n]))
				return (false);
			n++;
		} while (list && lex_take(l, ' '));
	}
	if (list && !lex_take(l, ')'))
		return (lex_bad(l, "Missing ')'"));
	out->fetch = arena_dup(l->a, v, n * sizeof(*v));
	out->nfetch = n;
	return (true);
}
