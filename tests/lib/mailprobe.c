/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shows what lib/mail and lib/imap make of an input, for the tests that compare with
 * other people's data: mailprobe MODE, then on stdin records "LENGTH\n" + bytes; for each one
 * answer in the same framing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/sb.h"
#include "imap/bodystructure.h"
#include "imap/envelope.h"
#include "mail/address.h"
#include "mail/date.h"
#include "mail/encode.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "mail/msgid.h"

#define OUT_MAX	(64 * 1024 * 1024)

static void
put_field(struct sb *out, const char *name, struct sv v)
{
	sb_addf(out, "%s=", name);
	if (v.p == NULL)
		sb_adds(out, "(null)");
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] == '\n' || v.p[i] == '\r' || v.p[i] == '\\' || v.p[i] == '\0')
			sb_addf(out, "\\x%02x", (unsigned)(unsigned char)v.p[i]);
		else
			sb_addc(out, v.p[i]);
	}
	sb_addc(out, '\n');
}

static void
show_address(struct sb *out, const struct mail_address *m)
{
	static const char *const items[] = { "address", "group", "end" };

	sb_addf(out, "item=%s\n", items[m->item]);
	put_field(out, "local", m->local);
	put_field(out, "plain", m->local_plain);
	put_field(out, "domain", m->domain);
	put_field(out, "route", m->route);
	put_field(out, "name", m->name);
	put_field(out, "comment", m->comment);
}

static void
probe_address(struct sb *out, struct arena *a, struct sv in, unsigned flags)
{
	struct err err = ERR_INIT;
	struct mail_address m;

	if (mail_address_parse(in, flags, a, &m, &err) == -1)
		sb_addf(out, "error=%s\n", err.text);
	else
		show_address(out, &m);
}

static void
probe_lenient(struct sb *out, struct arena *a, struct sv in)
{
	probe_address(out, a, in, MAIL_ADDR_LITERAL);
}

static void
probe_strict(struct sb *out, struct arena *a, struct sv in)
{
	struct err err = ERR_INIT;
	struct mail_address m;

	if (mail_path_parse(in, MAIL_ADDR_STRICT | MAIL_ADDR_LITERAL | MAIL_ADDR_BARE_PATH, a, &m, NULL, &err) == -1)
		sb_addf(out, "error=%s\n", err.text);
	else
		show_address(out, &m);
}

static void
probe_list(struct sb *out, struct arena *a, struct sv in)
{
	struct mail_addrlist list;

	mail_addrlist_read(in, a, &list);
	sb_addf(out, "bad=%zu\n", list.bad);
	for (size_t i = 0; i < list.n; i++) {
		show_address(out, &list.v[i]);
		put_field(out, "text", list.v[i].name.p == NULL ? SV_NULL : mail_header_text(a, list.v[i].name));
	}
}

static void
probe_date(struct sb *out, struct arena *a, struct sv in)
{
	struct mail_date d;

	if (mail_date_parse(in, &d))
		sb_addf(out, "utc=%lld\nzone=%d\nknown=%d\n", (long long)d.utc, d.zone, d.zone_known);
	else
		sb_adds(out, "error=\n");
}

static void
probe_type(struct sb *out, struct arena *a, struct sv in)
{
	struct sv type, sub;
	struct mime_params p;

	if (!mime_type_parse(a, in, &type, &sub, &p)) {
		sb_adds(out, "error=\n");
		return;
	}
	put_field(out, "type", type);
	put_field(out, "subtype", sub);
	for (size_t i = 0; i < p.n; i++) {
		put_field(out, "name", p.v[i].name);
		put_field(out, "value", p.v[i].value);
		put_field(out, "raw_name", p.v[i].raw_name);
		put_field(out, "raw_value", p.v[i].raw_value);
	}
}

static void
probe_text(struct sb *out, struct arena *a, struct sv in)
{
	put_field(out, "text", mail_header_text(a, in));
}

static void
probe_id(struct sb *out, struct arena *a, struct sv in)
{
	struct sv id;

	while (mail_msgid_next(&in, &id))
		put_field(out, "id", id);
}

static void
probe_mime(struct sb *out, struct arena *a, struct sv in)
{
	static const char *const kinds[] = { "leaf", "multipart", "message" };
	const struct mime_part *root = mime_parse(a, in);

	for (const struct mime_part *p = root; p != NULL; p = mime_next(root, p)) {
		sb_addf(out, "part=%u %s %zu %zu %zu %u %u\n", p->depth, kinds[p->kind], p->header_start,
		    p->body_start, p->body_end, p->header_lines, p->body_lines);
		sb_addf(out, "type=" SV_FMT "/" SV_FMT "\n", SV_ARG(p->type), SV_ARG(p->subtype));
		put_field(out, "filename", mime_filename(a, p));
	}
}

static void
probe_structure(struct sb *out, struct arena *a, struct sv in)
{
	const struct mime_part *root = mime_parse(a, in);

	sb_adds(out, "ENVELOPE ");
	imap_envelope(out, &root->headers);
	sb_adds(out, "\nBODY ");
	imap_bodystructure(out, root, false);
	sb_adds(out, "\nBODYSTRUCTURE ");
	imap_bodystructure(out, root, true);
	sb_addc(out, '\n');
}

static const struct {
	const char	*name;
	void		(*fn)(struct sb *, struct arena *, struct sv);
} modes[] = {
	{ "address", probe_lenient }, { "path", probe_strict }, { "list", probe_list }, { "date", probe_date },
	{ "type", probe_type }, { "text", probe_text }, { "id", probe_id }, { "mime", probe_mime },
	{ "structure", probe_structure },
};

static int
run(void (*fn)(struct sb *, struct arena *, struct sv))
{
	struct sb out = SB_INIT(OUT_MAX);
	struct arena *a = arena_new(0);
	size_t len;
	char *p;

	while (scanf("%zu", &len) == 1 && getchar() == '\n') {
		p = xmalloc(len == 0 ? 1 : len);
		if (fread(p, 1, len, stdin) != len)
			return (1);
		sb_clear(&out);
		fn(&out, a, sv_from(p, len));
		arena_reset(a);
		free(p);
		(void)printf("%zu\n", out.len);
		(void)fwrite(sb_cstr(&out), 1, out.len, stdout);
	}
	sb_free(&out);
	arena_free(&a);
	return (0);
}

int
main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			return (run(modes[i].fn));
	(void)fprintf(stderr, "usage: mailprobe address|path|list|date|type|text|id|mime|structure\n");
	return (2);
}
