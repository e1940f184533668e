/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Envelopes as bytes: a sequence of fields, each tag (1 byte), length (4 bytes, little
 * endian), value.  Scalars and strings that are zero or empty are left out; unknown tags
 * are skipped, so that an older program reads what a newer one wrote.
 */
#include "spool/envelope.h"

#include <string.h>

#include "base/codec.h"
#include "base/vec.h"
#include "os/time.h"

enum { TAG_ID = 1, TAG_RCPT = 2, TAG_VAR = 3, TAG_U64 = 16, TAG_STR = 64 };

/* Fields that are one number or one string; the place in the table is the tag, so rows are only added at the end. */
#define ENV_NUMBERS(X)										\
	X(flags, uint32_t) X(received_ms, int64_t) X(ret, enum spool_ret) X(host_port, uint16_t)	\
	X(iface_port, uint16_t) X(size, uint64_t) X(header_size, uint64_t) X(body_lines, uint64_t)	\
	X(body_zeros, uint64_t) X(received_count, uint32_t) X(longest_line, uint32_t) X(lines, uint64_t)	\
	X(uid, uint32_t) X(gid, uint32_t) X(tls_verified, uint16_t) X(tls_bits, uint16_t)
#define ENV_STRINGS(X)										\
	X(sender) X(envid) X(auth_id) X(auth_sender) X(auth_name) X(helo) X(host_name) X(host_addr)	\
	X(iface_addr) X(protocol) X(tls_cipher) X(tls_sni) X(ident) X(message_id) X(subject) X(parent)	\
	X(parent_rcpts) X(tls_peerdn) X(tls_ver) X(spam_bar) X(spam_score) X(spam_score_int) X(queue)

enum {
#define X(name, type)	NUM_##name,
	ENV_NUMBERS(X)
#undef X
	NUM_COUNT
};

static const size_t str_offset[] = {
#define X(name)	offsetof(struct spool_envelope, name),
	ENV_STRINGS(X)
#undef X
};
#define STR_COUNT	(sizeof(str_offset) / sizeof(str_offset[0]))

static struct sv *
str_at(struct spool_envelope *e, size_t i)
{
	return ((struct sv *)(void *)((char *)e + str_offset[i]));
}

void
spool_envelope_init(struct spool_envelope *e)
{
	memset(e, 0, sizeof(*e));
	for (size_t i = 0; i < STR_COUNT; i++)
		*str_at(e, i) = SV_LIT("");
	spool_id_new(e->id);
	e->received_ms = os_wall_us() / 1000;
}

/* ---- encode ---- */

static void
put_head(struct sb *out, uint8_t tag, size_t len)
{
	uint8_t h[5];

	h[0] = tag;
	put_le32(h + 1, (uint32_t)len);
	sb_addn(out, h, sizeof(h));
}

static void
put_num(struct sb *out, unsigned i, uint64_t v)
{
	uint8_t b[8];

	if (v == 0)
		return;
	put_le64(b, v);
	put_head(out, (uint8_t)(TAG_U64 + i), sizeof(b));
	sb_addn(out, b, sizeof(b));
}

static int
put_rcpt(struct sb *out, const struct spool_rcpt *r, struct err *err)
{
	uint8_t h[3];

	if (r->addr.len > SPOOL_ADDR_MAX || r->orcpt.len > SPOOL_ADDR_MAX)
		return (err_set(err, ERR_PERM, "5.1.3", "a recipient address is longer than %d bytes", SPOOL_ADDR_MAX));
	h[0] = (uint8_t)r->notify;
	put_le16(h + 1, (uint16_t)r->addr.len);
	put_head(out, TAG_RCPT, sizeof(h) + r->addr.len + r->orcpt.len);
	sb_addn(out, h, sizeof(h));
	sb_addn(out, r->addr.p, r->addr.len);
	sb_addn(out, r->orcpt.p, r->orcpt.len);
	return (0);
}

static int
put_var(struct sb *out, const struct spool_var *v, struct err *err)
{
	uint8_t h[3];

	if (v->name.len > 255 || v->value.len > SPOOL_STR_MAX)
		return (err_set(err, ERR_PERM, "5.5.3", "ACL variable acl_" SV_FMT " is too long", SV_ARG(v->name)));
	h[0] = v->value.tainted ? 1 : 0;
	put_le16(h + 1, (uint16_t)v->name.len);
	put_head(out, TAG_VAR, sizeof(h) + v->name.len + v->value.len);
	sb_addn(out, h, sizeof(h));
	sb_addn(out, v->name.p, v->name.len);
	sb_addn(out, v->value.p, v->value.len);
	return (0);
}

int
spool_envelope_encode(const struct spool_envelope *e, struct sb *out, struct err *err)
{
	struct spool_envelope *m = (struct spool_envelope *)(uintptr_t)e;	/* only read through str_at */
	size_t start = out->len;

	if (e->nrcpts > SPOOL_RCPT_MAX || e->nvars > SPOOL_VARS_MAX)
		return (err_set(err, ERR_PERM, "5.5.3", "too many recipients or variables for one message"));
	put_head(out, TAG_ID, SPOOL_ID_LEN);
	sb_addn(out, e->id, SPOOL_ID_LEN);
#define X(name, type)	put_num(out, NUM_##name, (uint64_t)e->name);
	ENV_NUMBERS(X)
#undef X
	for (size_t i = 0; i < STR_COUNT; i++) {
		struct sv v = *str_at(m, i);

		if (v.len > SPOOL_STR_MAX)
			return (err_set(err, ERR_PERM, "5.5.3", "a string of the envelope is longer than %d bytes",
			    SPOOL_STR_MAX));
		if (v.len == 0)
			continue;
		put_head(out, (uint8_t)(TAG_STR + i), v.len);
		sb_addn(out, v.p, v.len);
	}
	for (size_t i = 0; i < e->nrcpts; i++)
		if (put_rcpt(out, &e->rcpts[i], err) == -1)
			return (-1);
	for (size_t i = 0; i < e->nvars; i++)
		if (put_var(out, &e->vars[i], err) == -1)
			return (-1);
	if (out->overflow || out->len - start > SPOOL_ENVELOPE_MAX)
		return (err_set(err, ERR_PERM, "5.5.3", "the envelope is larger than %d bytes", SPOOL_ENVELOPE_MAX));
	return (0);
}

/* ---- decode ---- */

struct decoder {
	struct arena	*copy;		/* strings are copied here; NULL: they point into the record */
	struct spool_envelope *e;
	size_t		 maxrcpts;
	size_t		 maxvars;
	bool		 have_id;
};

static struct sv
take(const struct decoder *d, struct sv v)
{
	return (sv_taint(d->copy != NULL ? arena_sv(d->copy, v) : v));
}

static bool
get_rcpt(struct decoder *d, struct sv v)
{
	struct spool_rcpt *r;
	const uint8_t *p = (const uint8_t *)v.p;
	size_t alen;

	if (v.len < 3 || (alen = get_le16(p + 1)) > SPOOL_ADDR_MAX || v.len - 3 < alen ||
	    v.len - 3 - alen > SPOOL_ADDR_MAX)
		return (false);
	r = &d->e->rcpts[d->e->nrcpts++];
	r->notify = p[0];
	r->addr = take(d, sv_from(v.p + 3, alen));
	r->orcpt = take(d, sv_from(v.p + 3 + alen, v.len - 3 - alen));
	return (true);
}

static bool
get_var(struct decoder *d, struct sv v)
{
	struct spool_var *var;
	const uint8_t *p = (const uint8_t *)v.p;
	size_t nlen;

	if (v.len < 3 || (nlen = get_le16(p + 1)) > 255 || v.len - 3 < nlen || v.len - 3 - nlen > SPOOL_STR_MAX)
		return (false);
	var = &d->e->vars[d->e->nvars++];
	var->name = take(d, sv_from(v.p + 3, nlen));
	var->value = take(d, sv_from(v.p + 3 + nlen, v.len - 3 - nlen));
	var->name.tainted = false;
	var->value.tainted = p[0] != 0;
	return (true);
}

static bool
get_num(struct spool_envelope *e, unsigned i, struct sv v)
{
	uint64_t n;

	if (v.len != 8)
		return (false);
	n = get_le64((const uint8_t *)v.p);
	switch (i) {
#define X(name, type)							\
	case NUM_##name:						\
		e->name = (type)n;					\
		return ((uint64_t)e->name == n);
	ENV_NUMBERS(X)
#undef X
	default:
		return (true);
	}
}

static bool
get_field(struct decoder *d, uint8_t tag, struct sv v)
{
	if (tag == TAG_ID) {
		if (!spool_id_valid(v))
			return (false);
		memcpy(d->e->id, v.p, SPOOL_ID_LEN);
		d->have_id = true;
		return (true);
	}
	if (tag == TAG_RCPT)
		return (get_rcpt(d, v));
	if (tag == TAG_VAR)
		return (get_var(d, v));
	if (tag >= TAG_U64 && tag < TAG_STR)
		return (get_num(d->e, tag - TAG_U64, v));
	if (tag >= TAG_STR && tag < TAG_STR + STR_COUNT) {
		if (v.len > SPOOL_STR_MAX)
			return (false);
		*str_at(d->e, tag - TAG_STR) = take(d, v);
	}
	return (true);
}

/* The next field of *<v>; false at the end or when it is torn (then *<torn> is set). */
static bool
next_field(struct sv *v, uint8_t *tag, struct sv *value, bool *torn)
{
	size_t len;

	if (v->len == 0)
		return (false);
	*torn = true;
	if (v->len < 5 || (len = get_le32((const uint8_t *)v->p + 1)) > v->len - 5)
		return (false);
	*torn = false;
	*tag = (uint8_t)v->p[0];
	*value = sv_from(v->p + 5, len);
	*v = sv_from(v->p + 5 + len, v->len - 5 - len);
	return (true);
}

/* First pass: the arrays' lengths. */
static bool
count_fields(struct sv v, size_t *nrcpts, size_t *nvars)
{
	struct sv value;
	uint8_t tag;
	bool torn = false;

	*nrcpts = *nvars = 0;
	while (next_field(&v, &tag, &value, &torn)) {
		*nrcpts += tag == TAG_RCPT;
		*nvars += tag == TAG_VAR;
	}
	return (!torn && *nrcpts <= SPOOL_RCPT_MAX && *nvars <= SPOOL_VARS_MAX);
}

static int
decode(struct spool_envelope *e, struct sv v, struct arena *a, struct arena *copy, struct err *err)
{
	struct decoder d = { .copy = copy, .e = e };
	struct sv value;
	uint8_t tag;
	bool torn = false;

	memset(e, 0, sizeof(*e));
	for (size_t i = 0; i < STR_COUNT; i++)
		*str_at(e, i) = SV_LIT("");
	if (v.len > SPOOL_ENVELOPE_MAX || !count_fields(v, &d.maxrcpts, &d.maxvars))
		return (err_set(err, ERR_PERM, "5.6.0", "malformed envelope record"));
	e->rcpts = arena_alloc(a, d.maxrcpts * sizeof(*e->rcpts));
	e->vars = arena_alloc(a, d.maxvars * sizeof(*e->vars));
	while (next_field(&v, &tag, &value, &torn))
		if (!get_field(&d, tag, value))
			return (err_set(err, ERR_PERM, "5.6.0", "malformed field %u of an envelope record", tag));
	if (!d.have_id || e->ret > SPOOL_RET_HDRS)
		return (err_set(err, ERR_PERM, "5.6.0", "envelope record without a message id"));
	return (0);
}

int
spool_envelope_decode(struct spool_envelope *e, struct sv v, struct arena *a, struct err *err)
{
	return (decode(e, v, a, NULL, err));
}

int
spool_envelope_decode_copy(struct spool_envelope *e, struct sv v, struct arena *a, struct err *err)
{
	return (decode(e, v, a, a, err));
}

struct sv
spool_envelope_var(const struct spool_envelope *e, const char *name)
{
	for (size_t i = 0; i < e->nvars; i++)
		if (sv_eqs(e->vars[i].name, name))
			return (e->vars[i].value);
	return (SV_NULL);
}
