/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of deliveries and answers, as vlocald and vstored get them: any bytes decode or are
 * refused; an item that decodes is encoded to the same bytes.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "store/deliver.h"
#include "store/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
deliveries(const struct ipc_msg *m)
{
	struct sb frame = SB_INIT(IPC_FRAME_MAX);
	struct store_delivery d;
	enum store_action to;
	struct sv item;
	size_t pos = 0, at = 0;

	store_deliver_begin(&frame);
	while (store_deliver_next_raw(m, &pos, &item, &to) == 1) {
		if (!store_deliver_decode(item, &d))
			break;
		assert(d.to == to);
		at = frame.len;
		if (store_deliver_add(&frame, &d))
			/* Bits that mean nothing are dropped: flags at 2, and the byte behind. */
			assert(frame.len - at - 6 == item.len && memcmp(frame.p + at + 10, item.p + 4,
			    item.len - 4) == 0);
	}
	sb_free(&frame);
}

static void
answers(const struct ipc_msg *m)
{
	struct sb frame = SB_INIT(IPC_FRAME_MAX);
	struct store_answer a[8], b[8];
	struct ipc_msg again;

	for (size_t n = 0; n <= 8; n++)
		if (store_answers_read(m, a, n))
			for (size_t i = 0; i < n; i++)
				assert(strlen(a[i].text) < sizeof(a[i].text) &&
				    strlen(a[i].status) < sizeof(a[i].status));
	for (size_t n = 1; n <= 8; n++) {
		if (!store_answers_read(m, a, n))
			continue;
		store_answers_begin(&frame);
		for (size_t i = 0; i < n; i++)
			store_answers_add(&frame, &a[i]);
		assert(ipc_parse(&again, sv_sub(sb_sv(&frame), 4, frame.len)) && store_answers_read(&again, b, n));
		for (size_t i = 0; i < n; i++)
			assert(b[i].result == a[i].result && b[i].commit == a[i].commit);
	}
	sb_free(&frame);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv v = sv_from((const char *)data, size);
	store_ranges set = VEC_INIT;
	struct ipc_msg m;
	uint64_t commit, instance;

	if (!ipc_parse(&m, v))
		return (0);
	deliveries(&m);
	answers(&m);
	(void)store_barrier_read(&m, &commit, &instance);
	(void)store_set_get(ipc_get_bytes(&m, STORE_T_SET), &set);
	vec_free(&set);
	return (0);
}
