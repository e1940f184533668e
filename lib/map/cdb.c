/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a constant database: 256 table pointers (position, slots; little-endian),
 * then the records (key length, data length, key, data) up to the first table.
 */
#include "map_int.h"

#include "base/codec.h"

#define CDB_HEAD	2048

static int
broken(struct err *err)
{
	return (err_set(err, ERR_TEMP, "4.3.0", "the file is damaged or no cdb: rebuild it with makemap"));
}

int
read_cdb(struct table *t, struct err *err)
{
	const uint8_t *p = (const uint8_t *)t->image.p;
	size_t len = t->image.len, at = CDB_HEAD, end = len;

	if (len < CDB_HEAD)
		return (broken(err));
	for (size_t i = 0; i < CDB_HEAD; i += 8) {
		size_t pos = get_le32(p + i), slots = get_le32(p + i + 4);

		if (pos < CDB_HEAD || pos > len || slots > (len - pos) / 8)
			return (broken(err));
		if (pos < end)
			end = pos;
	}
	while (at < end) {
		size_t klen, vlen;

		if (end - at < 8)
			return (broken(err));
		klen = get_le32(p + at);
		vlen = get_le32(p + at + 4);
		at += 8;
		if (klen > end - at || vlen > end - at - klen)
			return (broken(err));
		(void)table_add_raw(t, sv_from((const char *)p + at, klen), sv_from((const char *)p + at + klen, vlen),
		    TABLE_CHAIN);
		at += klen + vlen;
	}
	return (0);
}
