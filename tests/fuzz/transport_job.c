/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs and results of local deliveries.  Property: what is read and written again is read
 * as the same.
 */
#include <assert.h>
#include <stdint.h>

#include "transport/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
again(const struct sb *frame, struct ipc_msg *m)
{
	return (ipc_parse(m, sv_from(frame->p + 4, frame->len - 4)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct sb frame = SB_INIT(4 * IPC_FRAME_MAX);
	struct transport_job j, j2;
	struct transport_result r, r2;
	struct ipc_msg m, m2;

	if (ipc_parse(&m, sv_from((const char *)data, size))) {
		if (transport_job_get(&m, a, &j)) {
			ipc_begin(&frame, TRANSPORT_IPC_JOB);
			assert(transport_job_put(&frame, &j));
			ipc_frame_seal(&frame, 0);
			assert(again(&frame, &m2) && transport_job_get(&m2, a, &j2));
			assert(j2.kind == j.kind && j2.rcpts.n == j.rcpts.n && sv_eq(j2.header, j.header) && j2.file_bytes == j.file_bytes);
		}
		if (transport_result_get(&m, a, &r)) {
			ipc_begin(&frame, TRANSPORT_IPC_JOB);
			assert(transport_result_put(&frame, &r));
			assert(again(&frame, &m2) && transport_result_get(&m2, a, &r2));
			assert(r2.status == r.status && r2.rcpt_results.n == r.rcpt_results.n && sv_eq(r2.text, r.text));
		}
	}
	sb_free(&frame);
	arena_free(&a);
	return (0);
}
