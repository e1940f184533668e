/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a section lies.  Whole messages, headers, texts and parts are ranges of the message's
 * file and are sent from it; only chosen header fields are put together in memory.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mail/mime.h"
#include "os/file.h"
#include "section.h"

#define HEADER_MAX	(16 * 1024 * 1024)

void
source_init(struct source *src, uint64_t mbox, const struct store_msg *m)
{
	memset(src, 0, sizeof(*src));
	src->m = m;
	src->mbox = mbox;
	src->fd = -1;
}

void
source_free(struct source *src)
{
	if (src->fd != -1)
		(void)close(src->fd);
	src->fd = -1;
	if (src->have_cached)
		store_cached_free(&src->cached);
	src->have_cached = false;
}

int
source_open(struct source *src, struct err *err)
{
	if (src->fd != -1)
		return (0);
	return (store_body_open(srole.reader, src->mbox, src->m, &src->fd, err) == STORE_GET_OK ? 0 : -1);
}

int
source_cached(struct source *src, struct err *err)
{
	struct store_range r = { src->m->uid, src->m->uid };

	if (src->have_cached)
		return (0);
	if (store_reader_cached_row(srole.reader, src->m, &src->cached) != STORE_GET_OK) {
		if (store_reader_cached(srole.reader, src->mbox, src->m, &src->cached, err) != STORE_GET_OK)
			return (-1);
		store_client_cache(srole.client, src->mbox, &r, 1);
	}
	src->have_cached = true;
	return (0);
}

int
source_tree(struct source *src, struct arena *a, struct err *err)
{
	if (src->tree != NULL)
		return (0);
	if (source_cached(src, err) == -1)
		return (-1);
	src->tree = mime_offsets_read(a, src->cached.offsets);
	if (src->tree == NULL)
		return (err_set(err, ERR_TEMP, NULL, "the cached structure of message %u is damaged", src->m->uid));
	return (0);
}

int
source_read(struct source *src, size_t off, size_t len, struct sb *out, struct err *err)
{
	char *p;

	if (source_open(src, err) == -1)
		return (-1);
	p = sb_room(out, len);
	if (p == NULL)
		return (err_set(err, ERR_TEMP, NULL, "the header of message %u is too long", src->m->uid));
	if (os_pread_full(src->fd, p, len, (off_t)off) != (ssize_t)len)
		return (err_set(err, ERR_TEMP, STORE_E_BODY, "message %u is shorter than it was", src->m->uid));
	sb_took(out, len);
	return (0);
}

bool
section_needs_cached(const struct imap_fetch_item *it)
{
	return (it->npath > 0 || it->part != IMAP_P_ALL);
}

void
section_free(struct section *sec)
{
	sb_free(&sec->mem);
}

static void
range(struct section *out, size_t from, size_t to)
{
	out->off = from;
	out->len = to - from;
}

static bool
is_wanted(const struct imap_fetch_item *it, struct sv name)
{
	bool listed = false;

	for (size_t i = 0; i < it->nfields && !listed; i++)
		listed = sv_caseeq(name, it->fields[i]);
	return (listed == (it->part == IMAP_P_FIELDS));
}

/* HEADER.FIELDS: the chosen fields as they stand, and an empty line (RFC 3501 6.4.5). */
static int
choose_fields(struct source *src, const struct imap_fetch_item *it, size_t from, size_t to, struct arena *a,
    struct section *out, struct err *err)
{
	struct sb header = SB_INIT(HEADER_MAX);
	struct mail_headers h;

	if (source_read(src, from, to - from, &header, err) == -1) {
		sb_free(&header);
		return (-1);
	}
	mail_headers_parse(&h, a, sb_sv(&header), 0);
	for (size_t i = 0; i < h.n; i++)
		if (is_wanted(it, h.v[i].name))
			sb_add(&out->mem, sv_sub(h.block, h.v[i].offset, h.v[i].offset + h.v[i].length));
	if (out->mem.len > 0 && out->mem.p[out->mem.len - 1] != '\n')
		sb_adds(&out->mem, "\r\n");
	sb_adds(&out->mem, "\r\n");
	out->in_memory = true;
	out->len = out->mem.len;
	sb_free(&header);
	return (0);
}

/* The message whose HEADER or TEXT is meant: the whole one, or the one inside a message/rfc822 part. */
static const struct mime_part *
message_of(const struct mime_part *p, size_t npath)
{
	if (npath == 0)
		return (p);
	return (p->kind == MIME_MESSAGE ? p->child : NULL);
}

int
section_find(struct source *src, const struct imap_fetch_item *it, struct arena *a, struct section *out,
    struct err *err)
{
	const struct mime_part *p;

	memset(out, 0, sizeof(*out));
	sb_init(&out->mem, HEADER_MAX);
	if (!section_needs_cached(it)) {
		range(out, 0, src->m->size);
		return (0);
	}
	if (source_tree(src, a, err) == -1)
		return (-1);
	p = mime_find(src->tree, it->path, it->npath);
	if (p != NULL && it->part != IMAP_P_ALL && it->part != IMAP_P_MIME)
		p = message_of(p, it->npath);
	if (p == NULL) {
		out->nil = true;
		return (0);
	}
	switch (it->part) {
	case IMAP_P_ALL:
	case IMAP_P_TEXT:
		range(out, p->body_start, p->body_end);
		break;
	case IMAP_P_HEADER:
	case IMAP_P_MIME:
		range(out, p->header_start, p->body_start);
		break;
	case IMAP_P_FIELDS:
	case IMAP_P_FIELDS_NOT:
		return (choose_fields(src, it, p->header_start, p->body_start, a, out, err));
	}
	return (0);
}
