/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ENVELOPE.  Fields are told as they stand in the message, unfolded but not
 * decoded (RFC 3501 7.4.2); addresses are taken apart leniently.  Placeholders for missing parts
 * are those that other servers send, since a NIL host means a group.
 */
#include "imap/envelope.h"
#include "imap/write.h"
#include "mail/address.h"

#define ADDRESS_TEXT_MAX	(256 * 1024)	/* of all fields of one name together */

static void
put_field(struct sb *out, const struct mail_headers *h, const char *name)
{
	struct sv body = mail_headers_get(h, name);
	struct sb flat = SB_INIT(MAIL_HEADER_TEXT_MAX);

	if (body.p == NULL) {
		sb_adds(out, "NIL");
		return;
	}
	mail_header_unfold(&flat, sv_sub(body, 0, MAIL_HEADER_TEXT_MAX));
	imap_put_string(out, sb_sv(&flat));
	sb_free(&flat);
}

static void
put_or_nil(struct sb *out, struct sv v)
{
	imap_put_nstring(out, v.len == 0 ? SV_NULL : v);
}

static void
put_address(struct sb *out, const struct mail_address *m)
{
	switch (m->item) {
	case MAIL_ITEM_GROUP:
		sb_adds(out, "(NIL NIL ");
		imap_put_string(out, m->name);
		sb_adds(out, " NIL)");
		return;
	case MAIL_ITEM_GROUP_END:
		sb_adds(out, "(NIL NIL NIL NIL)");
		return;
	case MAIL_ITEM_ADDRESS:
		break;
	}
	sb_addc(out, '(');
	put_or_nil(out, m->name.p != NULL ? m->name : m->comment);
	sb_addc(out, ' ');
	put_or_nil(out, m->route);
	sb_addc(out, ' ');
	imap_put_string(out, m->local_plain.len > 0 ? m->local_plain : SV_LIT("MISSING_MAILBOX"));
	sb_addc(out, ' ');
	imap_put_string(out, m->domain.len > 0 ? m->domain : SV_LIT("MISSING_DOMAIN"));
	sb_addc(out, ')');
}

/* The addresses of all fields of that name; false (and nothing added) if there are none. */
static bool
put_addresses(struct sb *out, const struct mail_headers *h, const char *name)
{
	struct arena *a = NULL;
	struct mail_addrlist list;
	size_t start = out->len, total = 0;

	for (ptrdiff_t i = mail_headers_find(h, name, 0); i != -1; i = mail_headers_find(h, name, (size_t)i + 1)) {
		struct sv body = sv_sub(h->v[i].body, 0, ADDRESS_TEXT_MAX - total);

		if (a == NULL)
			a = arena_new(4096);
		total += body.len;
		mail_addrlist_read(body, a, &list);
		for (size_t k = 0; k < list.n; k++) {
			if (out->len == start)
				sb_addc(out, '(');
			put_address(out, &list.v[k]);
		}
	}
	if (a != NULL)
		arena_free(&a);
	if (out->len == start)
		return (false);
	sb_addc(out, ')');
	return (true);
}

void
imap_envelope(struct sb *out, const struct mail_headers *h)
{
	size_t from, from_len;

	sb_addc(out, '(');
	put_field(out, h, "Date");
	sb_addc(out, ' ');
	put_field(out, h, "Subject");
	sb_addc(out, ' ');
	from = out->len;
	if (!put_addresses(out, h, "From"))
		sb_adds(out, "NIL");
	from_len = out->len - from;
	/* RFC 3501 7.4.2: missing or empty Sender and Reply-To default to From. */
	for (unsigned i = 0; i < 2; i++) {
		sb_addc(out, ' ');
		if (!put_addresses(out, h, i == 0 ? "Sender" : "Reply-To") && sb_room(out, from_len) != NULL)
			sb_addn(out, out->p + from, from_len);
	}
	sb_addc(out, ' ');
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = { "To", "Cc", "Bcc" };

		if (!put_addresses(out, h, names[i]))
			sb_adds(out, "NIL");
		sb_addc(out, ' ');
	}
	put_field(out, h, "In-Reply-To");
	sb_addc(out, ' ');
	put_field(out, h, "Message-ID");
	sb_addc(out, ')');
}
