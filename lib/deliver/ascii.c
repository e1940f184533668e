/* SPDX-License-Identifier: BSD-2-Clause */
/* UTF-8 addresses for hosts that know none (utf8_downconvert): both sides of the sign as A-labels. */
#include <string.h>

#include <idn2.h>

#include "base/arena.h"
#include "deliver/client_int.h"

/* A local part is one label; it may be long, and its case stays. */
static bool
put_local(struct sv local, struct sb *out)
{
	struct arena *a = arena_new(0);
	char *ace = NULL;
	bool ok;

	ok = idn2_to_ascii_8z(arena_cstr(a, local), &ace, IDN2_NFC_INPUT | IDN2_NO_TR46 | IDN2_ALLOW_UNASSIGNED) == IDN2_OK &&
	    strchr(ace, '@') == NULL;
	if (ok)
		sb_adds(out, ace);
	idn2_free(ace);
	arena_free(&a);
	return (ok);
}

bool
deliver_address_ascii(struct sv addr, struct sb *out)
{
	ptrdiff_t at = sv_rchr(addr, '@');
	struct sv local = sv_sub(addr, 0, at < 0 ? addr.len : (size_t)at),
	    domain = at < 0 ? SV_NULL : sv_sub(addr, (size_t)at + 1, addr.len);
	struct arena *a = arena_new(0);
	size_t before = out->len;
	char *ace = NULL;
	bool ok = true;

	if (sv_is_ascii(local))
		sb_add(out, local);
	else
		ok = put_local(local, out);
	if (at >= 0)
		sb_addc(out, '@');
	if (ok && at >= 0 && sv_is_ascii(domain)) {
		sb_add(out, domain);
	} else if (ok && at >= 0) {
		ok = idn2_lookup_u8((const uint8_t *)arena_cstr(a, domain), (uint8_t **)&ace, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) ==
		    IDN2_OK;
		if (ok)
			sb_adds(out, ace);
		idn2_free(ace);
	}
	if (!ok) {
		out->len = before;
		if (out->p != NULL)
			out->p[before] = '\0';
	}
	arena_free(&a);
	return (ok);
}
