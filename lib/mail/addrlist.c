/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Address lists of header fields: mailboxes, display names, groups, comments
 * (RFC 5322 section 3.4), and the reading of broken ones.
 */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "mail/address_int.h"
#include "mail/outside.h"

#define NAME_MAX_BYTES	(16 * 1024)
/* Broken pieces after which a lenient reader gives up: each may cost a look at the whole rest. */
#define BAD_MAX		100

typedef VEC(struct mail_address) addresses;

/* What stands behind a run of words. */
enum after { AFTER_AT, AFTER_ANGLE, AFTER_COLON, AFTER_END, AFTER_OTHER };

/*
 * Read a run of words and dots as a display name (RFC 5322 phrase with obs-phrase) and say
 * what follows.  Between words that blanks part stands one blank.
 */
static enum after
phrase(struct addr_reader *r, struct sb *name)
{
	bool quoted, gap = false;
	size_t before;

	for (;;) {
		before = r->i;
		addr_skip(r);
		gap = gap || r->i > before;
		if (addr_at_end(r))
			return (AFTER_END);
		switch (addr_peek(r)) {
		case '@':
			return (AFTER_AT);
		case '<':
			return (AFTER_ANGLE);
		case ':':
			return (AFTER_COLON);
		case ',':
		case ';':
			return (AFTER_END);
		case '.':
			r->i++;
			if (gap && name->len > 0)
				sb_addc(name, ' ');
			sb_addc(name, '.');
			gap = false;
			continue;
		}
		if (gap && name->len > 0)
			sb_addc(name, ' ');
		gap = false;
		if (!addr_word(r, name, &quoted)) {
			if (!r->lax || memchr("()<>@,;:\"", addr_peek(r), 9) != NULL)
				return (AFTER_OTHER);
			sb_addc(name, addr_peek(r));	/* old mailers leave names like [Bob] unquoted */
			r->i++;
		}
	}
}

static void
keep_name(struct addr_reader *r, struct mail_address *m, const struct sb *name)
{
	m->name = arena_sv(r->a, sv_trim(sb_sv(name)));
	m->name.tainted = r->v.tainted;
}

/* "joe@example.com <joe@example.com>": an unquoted address as name, which many mailers write. */
static int
named_by_address(struct addr_reader *r, struct mail_address *m, size_t start)
{
	struct sv name = sv_trim(sv_sub(r->v, start, r->i));
	size_t back = r->i;

	addr_skip(r);
	if (addr_peek(r) != '<') {
		r->i = back;
		return (0);
	}
	memset(m, 0, sizeof(*m));
	m->name = name;
	return (addr_angle(r, m, start, addr_skip));
}

/*
 * One mailbox, or the start of a group, at the cursor.  *<name> is scratch.  The run of words
 * is read twice where it turns out to be a local part.
 */
static int
item(struct addr_reader *r, struct mail_address *m, struct sb *name)
{
	size_t start = r->i;
	enum after after;

	memset(m, 0, sizeof(*m));
	r->comment = SV_NULL;
	sb_clear(name);
	err_clear(r->err);
	after = phrase(r, name);
	switch (after) {
	case AFTER_ANGLE:
		if (name->len > 0)
			keep_name(r, m, name);
		if (addr_angle(r, m, start, addr_skip) == -1)
			return (-1);
		break;
	case AFTER_COLON:
		if (name->len == 0)
			return (addr_bad(r, "missing or malformed local part (expected word or \"<\")"));
		keep_name(r, m, name);
		m->item = MAIL_ITEM_GROUP;
		r->i++;
		break;
	case AFTER_OTHER:
		if (r->err->cls != ERR_NONE)
			return (-1);
		if (name->len > 0)
			return (addr_trailing(r, start));
		return (addr_bad(r, "missing or malformed local part (expected word or \"<\")"));
	case AFTER_AT:
	case AFTER_END:
		r->i = start;
		r->comment = SV_NULL;
		addr_skip(r);
		if (addr_spec(r, m) == -1)
			return (-1);
		if (r->lax && named_by_address(r, m, start) == -1)
			return (-1);
		break;
	}
	if (m->item == MAIL_ITEM_ADDRESS)
		addr_skip(r);
	m->comment = r->comment;
	m->raw = sv_trim(sv_sub(r->v, start, r->i));
	return (0);
}

/* Move to the next comma or semicolon that stands outside quotes, comments and brackets. */
static void
skip_broken(struct addr_reader *r, size_t start)
{
	struct mail_outside at = { false, 0 };

	for (r->i = start; r->i < r->v.len; r->i++) {
		char c = r->v.p[r->i];

		if (c == '\\')
			r->i++;
		else if (mail_outside(&at, c) && (c == ',' || c == ';'))
			return;
	}
	/* Unbalanced quotes or comments: the plain next comma, so that the rest of the list is not lost. */
	for (r->i = start; r->i < r->v.len && r->v.p[r->i] != ','; r->i++)
		;
}

static void
push_group_end(addresses *list, bool *in_group)
{
	struct mail_address end = { .item = MAIL_ITEM_GROUP_END };

	vec_push(list, end);
	*in_group = false;
}

/* The separator behind an item; -1 if something else stands there. */
static int
separator(struct addr_reader *r, addresses *list, bool *in_group, size_t start)
{
	addr_skip(r);
	while (*in_group && addr_peek(r) == ';') {
		r->i++;
		push_group_end(list, in_group);
		addr_skip(r);
	}
	/* Outside a group a semicolon parts addresses as some mailers write them; only leniently. */
	if (addr_at_end(r) || addr_peek(r) == ',' || (r->lax && addr_peek(r) == ';')) {
		r->i += !addr_at_end(r);
		return (0);
	}
	if (!r->lax)
		return (addr_trailing(r, start));
	/* Words behind an address: skipped with what belongs to them. */
	skip_broken(r, r->i);
	r->i += addr_peek(r) == ',' || (!*in_group && addr_peek(r) == ';');
	return (0);
}

static int
read_list(struct addr_reader *r, addresses *list, size_t *bad)
{
	struct sb name = SB_INIT(NAME_MAX_BYTES);
	bool in_group = false;
	struct mail_address m;
	size_t start;
	int rc = 0;

	while (rc == 0) {
		addr_skip(r);
		if (addr_at_end(r))
			break;
		start = r->i;
		if (list->len >= MAIL_ADDRLIST_MAX) {
			rc = addr_bad(r, "more than %d addresses", MAIL_ADDRLIST_MAX);
			break;
		}
		if (addr_peek(r) == ',' || (addr_peek(r) == ';' && (in_group || r->lax))) {
			rc = separator(r, list, &in_group, start);
			continue;
		}
		rc = item(r, &m, &name);
		if (rc == 0 && m.item == MAIL_ITEM_GROUP && in_group && !r->lax)
			rc = addr_bad(r, "group within a group");
		if (rc == -1 && r->lax && *bad < BAD_MAX) {
			(*bad)++;
			rc = 0;
			skip_broken(r, start);
			(void)separator(r, list, &in_group, start);
			continue;
		}
		if (rc == -1)
			break;
		if (m.item == MAIL_ITEM_GROUP && in_group)
			push_group_end(list, &in_group);
		vec_push(list, m);
		in_group = in_group || m.item == MAIL_ITEM_GROUP;
		if (m.item == MAIL_ITEM_ADDRESS)
			rc = separator(r, list, &in_group, start);
	}
	if (in_group && rc == 0 && !r->lax)
		rc = addr_bad(r, "\";\" missing at end of group");
	if (rc == 0 && r->unclosed && !r->lax)
		rc = addr_bad(r, "unmatched \"(\" in address");
	if (in_group && (rc == 0 || r->lax))
		push_group_end(list, &in_group);
	sb_free(&name);
	return (rc);
}

static void
keep_list(addresses *list, struct arena *a, struct mail_addrlist *out)
{
	out->n = list->len;
	out->v = list->len == 0 ? NULL : arena_dup(a, list->p, list->len * sizeof(*list->p));
	vec_free(list);
}

int
mail_addrlist_parse(struct sv text, unsigned flags, struct arena *a, struct mail_addrlist *out, struct err *err)
{
	struct err local = ERR_INIT;
	struct addr_reader r = { .v = text, .flags = flags, .cfws = true, .a = a, .err = err == NULL ? &local : err };
	addresses list = VEC_INIT;
	size_t bad = 0;
	int rc;

	memset(out, 0, sizeof(*out));
	err_clear(r.err);
	if (addr_check_bytes(&r) == -1)
		return (-1);
	rc = read_list(&r, &list, &bad);
	keep_list(&list, a, out);
	return (rc);
}

void
mail_addrlist_read(struct sv text, struct arena *a, struct mail_addrlist *out)
{
	struct err err = ERR_INIT;
	struct addr_reader r = {
		.v = text, .cfws = true, .lax = true, .a = a, .err = &err,
		.flags = MAIL_ADDR_UTF8 | MAIL_ADDR_8BIT | MAIL_ADDR_BARE | MAIL_ADDR_LITERAL | MAIL_ADDR_EMPTY
	};
	addresses list = VEC_INIT;

	memset(out, 0, sizeof(*out));
	(void)read_list(&r, &list, &out->bad);
	keep_list(&list, a, out);
}
