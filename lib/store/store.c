/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flags, rights, the hash of bodies and the names of files: the small things
 * that reader, writer and clients of the store share.  Pure.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "store/store.h"

static const struct {
	const char	*name;
	unsigned	 bit;
} flags[] = {
	{ "\\Seen", STORE_SEEN },
	{ "\\Answered", STORE_ANSWERED },
	{ "\\Flagged", STORE_FLAGGED },
	{ "\\Deleted", STORE_DELETED },
	{ "\\Draft", STORE_DRAFT },
};

unsigned
store_flag_bit(struct sv name)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (sv_caseeqs(name, flags[i].name))
			return (flags[i].bit);
	return (0);
}

const char *
store_flag_name(unsigned bit)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (flags[i].bit == bit)
			return (flags[i].name);
	return (NULL);
}

bool
store_keyword_valid(struct sv name)
{
	if (name.len == 0 || name.len > STORE_KEYWORD_MAX)
		return (false);
	/* RFC 3501 section 9: flag-keyword = atom. */
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c <= ' ' || c >= 127 || strchr("(){%*\"\\]", c) != NULL)
			return (false);
	}
	return (true);
}

/* The order is that in which RFC 4314 lists them. */
static const struct {
	char		 letter;
	unsigned	 bits;
} rights[] = {
	{ 'l', STORE_R_LOOKUP }, { 'r', STORE_R_READ }, { 's', STORE_R_SEEN }, { 'w', STORE_R_WRITE },
	{ 'i', STORE_R_INSERT }, { 'p', STORE_R_POST }, { 'k', STORE_R_CREATE }, { 'x', STORE_R_DELMBOX },
	{ 't', STORE_R_DELMSG }, { 'e', STORE_R_EXPUNGE }, { 'a', STORE_R_ADMIN },
	/* RFC 4314 section 2.1.1: the old rights, only read. */
	{ 'c', STORE_R_CREATE | STORE_R_DELMBOX }, { 'd', STORE_R_DELMSG | STORE_R_EXPUNGE },
};
#define NEW_RIGHTS	11

unsigned
store_rights_parse(struct sv letters)
{
	unsigned r = 0;

	for (size_t i = 0; i < letters.len; i++)
		for (size_t j = 0; j < sizeof(rights) / sizeof(rights[0]); j++)
			if (rights[j].letter == letters.p[i])
				r |= rights[j].bits;
	return (r);
}

void
store_rights_text(unsigned r, struct sb *out)
{
	for (size_t j = 0; j < NEW_RIGHTS; j++)
		if ((r & rights[j].bits) != 0)
			sb_addc(out, rights[j].letter);
}

unsigned
store_rights_of(struct sv acl, struct sv owner, struct sv user)
{
	struct sv id, letters;
	unsigned r = 0, minus = 0;

	if (user.len == 0 || (owner.len > 0 && sv_caseeq(owner, user)))
		return (STORE_R_ALL);
	while (sv_next(&acl, '\t', &id) && sv_next(&acl, '\t', &letters)) {
		bool neg = id.len > 0 && id.p[0] == '-';
		struct sv who = sv_sub(id, neg ? 1 : 0, id.len);

		if (!sv_eqs(who, "anyone") && !sv_caseeq(who, user))
			continue;
		if (neg)
			minus |= store_rights_parse(letters);
		else
			r |= store_rights_parse(letters);
	}
	return (r & ~minus);
}

/* ---- hash of a body: 64-bit multiply and fold over 16-byte blocks, the same on all machines ---- */

#define K0	0x9e3779b97f4a7c15U
#define K1	0xe7037ed1a0b428dbU
#define K2	0x8ebc6af09c88c6e3U

static uint64_t
fold(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return ((uint64_t)m ^ (uint64_t)(m >> 64));
}

void
store_hash_init(struct store_hash *s)
{
	memset(s, 0, sizeof(*s));
	s->h = K0;
}

void
store_hash_add(struct store_hash *s, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = s->h;

	if (len == 0)
		return;
	s->len += len;
	if (s->nrest > 0) {
		size_t n = 16 - s->nrest < len ? 16 - s->nrest : len;

		memcpy(s->rest + s->nrest, p, n);
		s->nrest += (unsigned)n;
		p += n;
		len -= n;
		if (s->nrest < 16)
			return;
		h = fold(get_le64(s->rest) ^ K1 ^ h, get_le64(s->rest + 8) ^ K2);
		s->nrest = 0;
	}
	for (; len >= 16; p += 16, len -= 16)
		h = fold(get_le64(p) ^ K1 ^ h, get_le64(p + 8) ^ K2);
	if (len > 0) {
		memcpy(s->rest, p, len);
		s->nrest = (unsigned)len;
	}
	s->h = h;
}

uint64_t
store_hash_end(const struct store_hash *s)
{
	uint8_t rest[16] = { 0 };

	memcpy(rest, s->rest, s->nrest);
	return (fold(fold(get_le64(rest) ^ K1 ^ s->h, get_le64(rest + 8) ^ K2) ^ K0, s->len ^ K1));
}

/* ---- paths ---- */

const char *
store_path_mailbox(uint64_t mbox, char buf[STORE_BODY_PATH_MAX])
{
	(void)snprintf(buf, STORE_BODY_PATH_MAX, "u/%02x/%016" PRIx64, (unsigned)(mbox & 0xff), mbox);
	return (buf);
}

const char *
store_path_body(uint64_t mbox, uint32_t uid, uint64_t oid, char buf[STORE_BODY_PATH_MAX])
{
	(void)snprintf(buf, STORE_BODY_PATH_MAX, "u/%02x/%016" PRIx64 "/%" PRIx32 "/%" PRIu32 ".%016" PRIx64,
	    (unsigned)(mbox & 0xff), mbox, uid >> STORE_RANGE_SHIFT, uid, oid);
	return (buf);
}
