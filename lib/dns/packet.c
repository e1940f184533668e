/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DNS messages (RFC 1035 section 4): names with compression, and the answer section.
 * The bytes come from a peer, by way of libunbound, which has checked the outer form.
 */
#include <string.h>

#include "base/sb.h"
#include "dns/dns_int.h"

#define HEADER		12
#define CHAIN_MAX	10

static unsigned
be16(struct sv v, size_t at)
{
	return ((unsigned)(uint8_t)v.p[at] << 8 | (uint8_t)v.p[at + 1]);
}

static uint32_t
be32(struct sv v, size_t at)
{
	return ((uint32_t)be16(v, at) << 16 | be16(v, at + 2));
}

/*
 * Expand the name at *<at> into wire format at <out> (255 bytes); its length, or 0 if it is
 * malformed.  *<at> moves behind it.
 */
static size_t
expand(struct sv v, size_t *at, uint8_t out[255])
{
	size_t pos = *at, n = 0;
	bool jumped = false;

	for (int steps = 0; steps < 128; steps++) {
		uint8_t len;

		if (pos >= v.len)
			return (0);
		len = (uint8_t)v.p[pos];
		if ((len & 0xc0) == 0xc0) {
			if (pos + 1 >= v.len)
				return (0);
			if (!jumped)
				*at = pos + 2;
			jumped = true;
			pos = be16(v, pos) & 0x3fff;
			continue;
		}
		if (len > 63 || pos + 1 + len > v.len || n + 1 + len > 255)
			return (0);
		memcpy(out + n, v.p + pos, (size_t)len + 1);
		n += (size_t)len + 1;
		pos += (size_t)len + 1;
		if (len != 0)
			continue;
		if (!jumped)
			*at = pos;
		return (n);
	}
	return (0);
}

/* Wire format (uncompressed, checked) to text; false if it does not fit. */
static bool
to_text(const uint8_t *w, char out[DNS_NAME_MAX * 4])
{
	size_t n = 0;

	while (*w != 0) {
		if (n > 0)
			out[n++] = '.';
		for (uint8_t len = *w++; len > 0; len--, w++) {
			/* A dot or control character inside a label: no host name, and a trap for those who compare text. */
			if (*w == '.' || *w <= ' ' || *w >= 0x7f || *w == '\\')
				return (false);
			out[n++] = (char)*w;
		}
	}
	out[n] = '\0';
	return (true);
}

const char *
dns_rdata_name(struct sv rdata, size_t off, size_t *end, struct arena *a)
{
	uint8_t wire[255];
	char text[DNS_NAME_MAX * 4];

	if (expand(rdata, &off, wire) == 0 || !to_text(wire, text))
		return (NULL);
	if (end != NULL)
		*end = off;
	return (arena_str(a, text));
}

/* Bytes before the name inside the rdata of <type>; -1 where there is none to expand. */
static int
name_offset(int type)
{
	switch (type) {
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
	case DNS_SOA:
		return (0);
	case DNS_MX:
		return (2);
	case DNS_SRV:
		return (6);
	default:
		return (-1);
	}
}

/* A copy of the rdata without compression; SV_NULL if malformed. */
static struct sv
copy_rdata(struct sv v, size_t at, size_t len, int type, struct arena *a)
{
	struct sb out = SB_INIT(65536);
	uint8_t wire[255];
	struct sv copy;
	int off = name_offset(type);
	size_t end = at + len, pos, n;

	if (off >= 0) {
		if (len < (size_t)off + 1)
			return (SV_NULL);
		sb_addn(&out, v.p + at, (size_t)off);
		pos = at + (size_t)off;
		for (int i = 0; i < (type == DNS_SOA ? 2 : 1); i++) {
			if ((n = expand(v, &pos, wire)) == 0 || pos > end) {
				sb_free(&out);
				return (SV_NULL);
			}
			sb_addn(&out, wire, n);
		}
		sb_addn(&out, v.p + pos, end - pos);
	} else {
		sb_addn(&out, v.p + at, len);
	}
	copy = arena_sv(a, sb_sv(&out));
	if (copy.p == NULL)
		copy = sv_from("", 0);
	sb_free(&out);
	return (sv_taint(copy));
}

struct rr {
	char		 owner[DNS_NAME_MAX * 4];
	int		 type;
	uint32_t	 ttl;
	size_t		 at, len;
};

/* The record at *<pos>; false if malformed. */
static bool
read_rr(struct sv v, size_t *pos, struct rr *r)
{
	uint8_t wire[255];

	if (expand(v, pos, wire) == 0 || *pos + 10 > v.len)
		return (false);
	if (!to_text(wire, r->owner))
		r->owner[0] = '\0';
	r->type = (int)be16(v, *pos);
	r->ttl = be32(v, *pos + 4);
	r->len = be16(v, *pos + 8);
	r->at = *pos + 10;
	if (r->len > v.len - r->at)
		return (false);
	*pos = r->at + r->len;
	return (true);
}

/* The first record of the answer section; false if malformed. */
static bool
answers(struct sv v, size_t *pos, unsigned *count)
{
	uint8_t wire[255];

	if (v.len < HEADER)
		return (false);
	*pos = HEADER;
	for (unsigned q = be16(v, 4); q > 0; q--) {
		if (expand(v, pos, wire) == 0 || *pos + 4 > v.len)
			return (false);
		*pos += 4;
	}
	*count = be16(v, 6);
	return (true);
}

/* One pass for <owner>: records of <type> are taken; else a CNAME's target goes to *<next>. */
static int
collect(struct sv v, const char *owner, int type, struct arena *a, struct dns_answer *out, const char **next)
{
	size_t pos;
	unsigned count;
	struct rr r;

	if (!answers(v, &pos, &count))
		return (-1);
	out->rdata = arena_alloc(a, (count + 1) * sizeof(struct sv));
	*next = NULL;
	for (unsigned i = 0; i < count; i++) {
		struct sv rd;

		if (!read_rr(v, &pos, &r))
			return (-1);
		if (!sv_caseeqs(sv_cstr(r.owner), owner))
			continue;
		if (r.type != type && !(type == DNS_ANY && r.type != DNS_CNAME) && r.type != DNS_CNAME)
			continue;
		rd = copy_rdata(v, r.at, r.len, r.type, a);
		if (rd.p == NULL)
			return (-1);
		if (r.ttl < out->ttl)
			out->ttl = r.ttl;
		if (r.type == DNS_CNAME && type != DNS_CNAME)
			*next = dns_rdata_name(rd, 0, NULL, a);
		else
			out->rdata[out->n++] = rd;
	}
	return (out->n > 0);
}

int
dns_packet_parse(struct sv packet, const char *name, int type, struct arena *a, struct dns_answer *out,
    const char **next)
{
	const char *owner = name;
	int rc;

	*next = NULL;
	for (int i = 0; i < CHAIN_MAX; i++) {
		const char *target;

		rc = collect(packet, owner, type, a, out, &target);
		if (rc == 1) {
			out->canon = owner;
			return (1);
		}
		if (rc == -1)
			return (-1);
		if (target == NULL) {
			out->canon = owner;
			*next = owner == name ? NULL : owner;
			return (0);
		}
		owner = target;
	}
	return (-1);	/* a loop */
}
