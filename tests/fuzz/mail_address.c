/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses: whatever is accepted is written in canonical form, and that form
 * parses to the same address again.  The first byte chooses the flags.
 */
#include <assert.h>
#include <stdint.h>

#include "mail/address.h"
#include "mail/header.h"
#include "mail/msgid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_again(struct arena *a, const struct mail_address *m, unsigned flags)
{
	struct sb text = SB_INIT(8192);
	struct mail_address again;

	if (m->item != MAIL_ITEM_ADDRESS || m->local.len == 0)
		return;
	mail_address_put(&text, m);
	assert(mail_path_parse(sb_sv(&text), (flags & ~(unsigned)MAIL_ADDR_STRICT) | MAIL_ADDR_BARE_PATH, a, &again,
	    NULL, NULL) == 0);
	assert(sv_eq(again.local, m->local) && sv_eq(again.local_plain, m->local_plain) &&
	    sv_eq(again.domain, m->domain));
	sb_free(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct mail_addrlist list;
	struct mail_address m;
	struct sv text, rest, id;
	struct mail_headers h;
	struct sb out = SB_INIT(1 << 20);
	struct err err = ERR_INIT;
	unsigned flags;

	if (size > 0) {
		flags = data[0] & 0x7f;
		text = sv_from((const char *)data + 1, size - 1);
		if (mail_path_lenient(text, flags | (unsigned)(size & 3) << 7, a, &m, &err) == 0)
			assert(m.local.len + m.domain.len <= 3 * MAIL_ADDRESS_MAX && sv_chr(m.local, '\n') < 0);
		if (mail_path_parse(text, flags, a, &m, &rest, NULL) == 0 && sv_chr(m.local_plain, '\r') == -1)
			check_again(a, &m, flags);
		(void)mail_address_parse(text, flags, a, &m, NULL);
		if (mail_addrlist_parse(text, flags, a, &list, NULL) == 0)
			assert(list.bad == 0);
		mail_addrlist_read(text, a, &list);
		for (size_t i = 0; i < list.n; i++)
			assert(list.v[i].item != MAIL_ITEM_ADDRESS || list.v[i].local.p != NULL);
		(void)mail_domain_ok(text, true);
		(void)mail_domain_literal_ok(text);
		mail_headers_parse(&h, a, text, 0);
		mail_references(&out, &h, "\n");
		assert(out.len == 0 || (out.len > 12 && out.p[out.len - 1] == '\n'));
		sb_free(&out);
		while (mail_msgid_next(&text, &id))
			assert(id.len >= 2 && id.p[0] == '<' && id.p[id.len - 1] == '>');
	}
	arena_free(&a);
	return (0);
}
