/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of a mailbox directory's `mailbox` file and the names of bodies: what
 * the index is rebuilt from when it is lost.  Pure.
 */
#include <inttypes.h>
#include <string.h>

#include "base/num.h"
#include "store/record.h"

#define MAGIC	"vpost-mailbox 1"

void
rec_boxfile_put(struct sb *out, const struct rec_boxfile *f)
{
	sb_adds(out, MAGIC "\n");
	sb_addf(out, "id %016" PRIx64 "\n", f->mbox);
	sb_addf(out, "name " SV_FMT "\n", SV_ARG(f->name));
	sb_addf(out, "owner " SV_FMT "\n", SV_ARG(f->owner));
	sb_addf(out, "uidvalidity %" PRIu32 "\n", f->uidvalidity);
	sb_addf(out, "uidnext %" PRIu32 "\n", f->uidnext);
	sb_addf(out, "acl " SV_FMT "\n", SV_ARG(f->acl));
	sb_adds(out, "end\n");
}

bool
rec_hex64(struct sv v, uint64_t *out)
{
	uint64_t n = 0;

	if (v.len != 16)
		return (false);
	for (size_t i = 0; i < 16; i++) {
		char c = v.p[i];

		if (sv_isdigit(c))
			n = n << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (uint64_t)(c - 'a' + 10);
		else
			return (false);
	}
	*out = n;
	return (true);
}

static bool
num32(struct sv v, uint32_t *out)
{
	int64_t n;

	if (!num_parse(v, 1, UINT32_MAX, &n))
		return (false);
	*out = (uint32_t)n;
	return (true);
}

bool
rec_boxfile_get(struct rec_boxfile *f, struct sv text)
{
	struct sv line, v;
	bool ok = true, end = false;

	memset(f, 0, sizeof(*f));
	if (text.len > REC_BOXFILE_MAX || !sv_next(&text, '\n', &line) || !sv_eqs(line, MAGIC))
		return (false);
	while (ok && !end && sv_next(&text, '\n', &line)) {
		ptrdiff_t sp = sv_chr(line, ' ');
		struct sv key = sp < 0 ? line : sv_sub(line, 0, (size_t)sp);

		v = sp < 0 ? SV_NULL : sv_sub(line, (size_t)sp + 1, line.len);
		if (sv_eqs(key, "id"))
			ok = rec_hex64(v, &f->mbox);
		else if (sv_eqs(key, "name"))
			f->name = v;
		else if (sv_eqs(key, "owner"))
			f->owner = v;
		else if (sv_eqs(key, "uidvalidity"))
			ok = num32(v, &f->uidvalidity);
		else if (sv_eqs(key, "uidnext"))
			ok = num32(v, &f->uidnext);
		else if (sv_eqs(key, "acl"))
			f->acl = v;
		else
			end = sv_eqs(key, "end");
	}
	/* Keys that are not known belong to a later version. */
	return (ok && end && f->mbox != 0 && f->uidvalidity != 0 && f->uidnext != 0 && store_name_valid(f->name));
}

bool
rec_body_range(struct sv name)
{
	if (name.len == 0 || name.len > 6)
		return (false);
	for (size_t i = 0; i < name.len; i++)
		if (memchr("0123456789abcdef", name.p[i], 16) == NULL)
			return (false);
	return (true);
}

bool
rec_body_name(struct sv name, uint32_t *uid, uint64_t *oid)
{
	ptrdiff_t dot = sv_chr(name, '.');

	if (dot <= 0 || name.p[0] == '0')
		return (false);
	return (num32(sv_sub(name, 0, (size_t)dot), uid) && rec_hex64(sv_sub(name, (size_t)dot + 1, name.len), oid));
}
