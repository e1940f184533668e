/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPC frames.  Property: what parses is walked to its very end, and building the
 * same fields again gives the same bytes.
 */
#include <assert.h>
#include <stdint.h>

#include "ipc/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv v = sv_from((const char *)data, size);
	struct sb again = SB_INIT(IPC_FRAME_MAX + 4);
	struct err err = ERR_INIT;
	struct ipc_msg m;
	struct ipc_field f;
	size_t pos = 0;

	if (!ipc_parse(&m, v))
		return (0);
	ipc_begin(&again, m.type);
	while (ipc_next(&m, &pos, &f)) {
		if (f.kind == IPC_U64)
			ipc_put_u64(&again, f.tag, f.u64);
		else
			ipc_put_bytes(&again, f.tag, f.bytes);
		(void)ipc_get_u64(&m, f.tag, 7);
		assert(f.kind != IPC_BYTES || ipc_get_bytes(&m, f.tag).len <= size);
	}
	assert(pos == m.body.len);
	assert(!again.overflow);
	assert(sv_eq(sv_sub(sb_sv(&again), 12, again.len), m.body));
	if (ipc_get_err(&m, &err))
		assert(err.cls != ERR_NONE);
	sb_free(&again);
	ipc_msg_free(&m);
	return (0);
}
