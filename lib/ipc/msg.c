/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames of typed fields: building, checking, walking.  Pure. */
#include <assert.h>

#include "base/codec.h"
#include "ipc/ipc_int.h"

#define FIELD_HEAD	6

void
ipc_begin(struct sb *m, uint16_t type)
{
	uint8_t head[FRAME_HEAD] = { 0 };

	if (m->max == 0)
		sb_init(m, IPC_FRAME_MAX + 4);
	sb_clear(m);
	put_le16(head + 4, type);
	sb_addn(m, head, sizeof(head));
}

void
ipc_put_u64(struct sb *m, uint8_t tag, uint64_t v)
{
	uint8_t f[FIELD_HEAD + 8];

	f[0] = tag;
	f[1] = IPC_U64;
	put_le32(f + 2, 8);
	put_le64(f + FIELD_HEAD, v);
	sb_addn(m, f, sizeof(f));
}

void
ipc_put_bytes(struct sb *m, uint8_t tag, struct sv v)
{
	uint8_t f[FIELD_HEAD];

	/* All of a field or nothing: half a one would be malformed. */
	if (v.len > IPC_FRAME_MAX || m->len + sizeof(f) + v.len > m->max) {
		m->overflow = true;
		return;
	}
	f[0] = tag;
	f[1] = IPC_BYTES;
	put_le32(f + 2, (uint32_t)v.len);
	sb_addn(m, f, sizeof(f));
	sb_addn(m, v.p, v.len);
}

void
ipc_put_str(struct sb *m, uint8_t tag, const char *s)
{
	if (s != NULL)
		ipc_put_bytes(m, tag, sv_cstr(s));
}

void
ipc_put_err(struct sb *m, const struct err *err)
{
	ipc_put_u64(m, TAG_ERR_CLASS, err->cls == ERR_NONE ? ERR_TEMP : err->cls);
	ipc_put_str(m, TAG_ERR_STATUS, err->status);
	ipc_put_str(m, TAG_ERR_TEXT, err->text);
}

/* Length of the field at <pos> of <b> with its head; 0 if it is malformed. */
static size_t
field_length(struct sv b, size_t pos)
{
	const uint8_t *f = (const uint8_t *)b.p + pos;
	uint32_t len;

	if (b.len - pos < FIELD_HEAD)
		return (0);
	len = get_le32(f + 2);
	if (len > b.len - pos - FIELD_HEAD)
		return (0);
	if (f[1] != IPC_BYTES && (f[1] != IPC_U64 || len != 8))
		return (0);
	return (FIELD_HEAD + len);
}

bool
ipc_parse(struct ipc_msg *m, struct sv v)
{
	const uint8_t *p = (const uint8_t *)v.p;
	size_t pos = 0, n, count = 0;

	memset(m, 0, sizeof(*m));
	if (v.len < FRAME_HEAD - 4 || v.len > IPC_FRAME_MAX || (get_le16(p + 2) & ~FLAG_FD) != 0)
		return (false);
	m->type = get_le16(p);
	m->serial = get_le32(p + 4);
	m->body = sv_sub(v, FRAME_HEAD - 4, v.len);
	while (pos < m->body.len) {
		n = field_length(m->body, pos);
		if (n == 0 || ++count > IPC_FIELDS_MAX)
			return (false);
		pos += n;
	}
	return (true);
}

bool
ipc_next(const struct ipc_msg *m, size_t *pos, struct ipc_field *f)
{
	const uint8_t *p;
	size_t n;

	if (*pos >= m->body.len || (n = field_length(m->body, *pos)) == 0)
		return (false);
	p = (const uint8_t *)m->body.p + *pos;
	f->tag = p[0];
	f->kind = (enum ipc_kind)p[1];
	f->bytes = sv_sub(m->body, *pos + FIELD_HEAD, *pos + n);
	f->u64 = f->kind == IPC_U64 ? get_le64(p + FIELD_HEAD) : 0;
	*pos += n;
	return (true);
}

static bool
find(const struct ipc_msg *m, uint8_t tag, enum ipc_kind kind, struct ipc_field *f)
{
	size_t pos = 0;

	while (ipc_next(m, &pos, f))
		if (f->tag == tag)
			return (f->kind == kind);
	return (false);
}

uint64_t
ipc_get_u64(const struct ipc_msg *m, uint8_t tag, uint64_t dflt)
{
	struct ipc_field f;

	return (find(m, tag, IPC_U64, &f) ? f.u64 : dflt);
}

struct sv
ipc_get_bytes(const struct ipc_msg *m, uint8_t tag)
{
	struct ipc_field f;

	return (find(m, tag, IPC_BYTES, &f) ? f.bytes : SV_NULL);
}

bool
ipc_get_err(const struct ipc_msg *m, struct err *err)
{
	uint64_t cls = ipc_get_u64(m, TAG_ERR_CLASS, 0);
	struct sv status = sv_sub(ipc_get_bytes(m, TAG_ERR_STATUS), 0, sizeof(err->status) - 1);
	char text[sizeof(err->status)];

	if (cls == 0)
		return (false);
	if (cls > ERR_CONFIG)
		cls = ERR_TEMP;
	(void)memcpy(text, status.len == 0 ? "" : status.p, status.len);
	text[status.len] = '\0';
	(void)err_set(err, (enum err_class)cls, status.len == 0 ? NULL : text, SV_FMT,
	    SV_ARG(ipc_get_bytes(m, TAG_ERR_TEXT)));
	return (true);
}

void
ipc_msg_free(struct ipc_msg *m)
{
	sb_free(&m->own);
	m->body = SV_NULL;
}

bool
ipc_frame_has_fd(struct sv v)
{
	return (v.len >= FRAME_HEAD - 4 && (get_le16((const uint8_t *)v.p + 2) & FLAG_FD) != 0);
}

void
ipc_frame_seal(struct sb *m, uint32_t serial)
{
	uint8_t *head = (uint8_t *)m->p;

	put_le32(head, (uint32_t)m->len - 4);
	put_le32(head + 8, serial);
}

void
ipc_frame_with_fd(struct sb *m)
{
	put_le16((uint8_t *)m->p + 6, FLAG_FD);
}
