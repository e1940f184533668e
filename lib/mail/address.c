/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SMTP paths and single addresses; lists are in addrlist.c.  Called for each
 * MAIL and RCPT command, each line of an alias file, each header address.
 */
#include <string.h>

#include "mail/address_int.h"

static void
finish_raw(struct addr_reader *r, struct mail_address *m, size_t start)
{
	m->raw = sv_trim(sv_sub(r->v, start, r->i));
}

/* Blanks inside the angle brackets are tolerated outside strict mode. */
static void
skip_blanks(struct addr_reader *r)
{
	if ((r->flags & MAIL_ADDR_STRICT) == 0)
		while (addr_peek(r) == ' ' || addr_peek(r) == '\t')
			r->i++;
}

int
addr_angle(struct addr_reader *r, struct mail_address *m, size_t start, void (*skip)(struct addr_reader *r))
{
	r->i++;
	skip(r);
	if (addr_peek(r) == '>') {
		r->i++;
		if ((r->flags & MAIL_ADDR_EMPTY) == 0)
			return (addr_bad(r, "empty address"));
		m->local = m->local_plain = m->domain = SV_LIT("");
		return (0);
	}
	if (addr_peek(r) == '@' && addr_route(r, m) == -1)
		return (-1);
	if (addr_spec(r, m) == -1)
		return (-1);
	skip(r);
	if (addr_at_end(r))
		return (addr_bad(r, "'>' missing at end of address"));
	if (addr_peek(r) != '>')
		return (addr_trailing(r, start));
	r->i++;
	return (0);
}

int
mail_path_parse(struct sv text, unsigned flags, struct arena *a, struct mail_address *out, struct sv *rest,
    struct err *err)
{
	struct err local = ERR_INIT;
	struct addr_reader r = { .v = text, .flags = flags, .a = a, .err = err == NULL ? &local : err };
	size_t start;
	int rc;

	memset(out, 0, sizeof(*out));
	err_clear(r.err);
	if (addr_check_bytes(&r) == -1)
		return (-1);
	skip_blanks(&r);
	start = r.i;
	if (addr_at_end(&r))
		return (addr_bad(&r, "empty address"));
	if (addr_peek(&r) == '<') {
		rc = addr_angle(&r, out, 0, skip_blanks);
	} else if ((flags & MAIL_ADDR_BARE_PATH) != 0) {
		rc = addr_peek(&r) == '@' ? addr_route(&r, out) : 0;
		if (rc == 0)
			rc = addr_spec(&r, out);
		if (rc == 0 && !addr_at_end(&r) && !sv_isspace(addr_peek(&r)))
			rc = addr_trailing(&r, start);
	} else {
		return (addr_bad(&r, "\"<\" expected at the start of the address"));
	}
	if (rc == -1)
		return (-1);
	finish_raw(&r, out, start);
	if (rest != NULL)
		*rest = sv_sub(text, r.i, text.len);
	for (; rest == NULL && !addr_at_end(&r); r.i++)
		if (addr_peek(&r) != ' ' && addr_peek(&r) != '\t')
			return (addr_trailing(&r, start));
	return (0);
}

int
mail_address_parse(struct sv text, unsigned flags, struct arena *a, struct mail_address *out, struct err *err)
{
	struct err local = ERR_INIT;
	struct mail_addrlist list;

	if (err == NULL)
		err = &local;
	memset(out, 0, sizeof(*out));
	if (mail_addrlist_parse(text, flags, a, &list, err) == -1)
		return (-1);
	if (list.n == 0)
		return (err_set(err, ERR_PERM, "5.1.3", "empty address"));
	if (list.v[0].item != MAIL_ITEM_ADDRESS)
		return (err_set(err, ERR_PERM, "5.1.3", "a group of addresses is not one address"));
	/* An empty piece is no second address, but a comma makes it a list. */
	if (list.n > 1 || sv_ends(sv_trim(text), ",") || sv_starts(sv_trim(text), ","))
		return (err_set(err, ERR_PERM, "5.1.3", "malformed address: , may not follow " SV_FMT,
		    SV_ARG(sv_sub(list.v[0].raw, 0, 256))));
	*out = list.v[0];
	return (0);
}

void
mail_address_put(struct sb *out, const struct mail_address *m)
{
	sb_add(out, m->local);
	if (m->domain.len > 0) {
		sb_addc(out, '@');
		sb_add(out, m->domain);
	}
}
