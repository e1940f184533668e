/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What peers send in mechanisms of AUTH: the first byte says which message of which it is.  Any bytes are read; what is read as
 * NTLM's last message is judged too.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/sb.h"
#include "exim/cram.h"
#include "exim/digest.h"
#include "exim/ntlm.h"
#include "exim/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned char challenge[NTLM_CHALLENGE];
	struct arena *a = arena_new(0);
	struct scram x = { .hash = SCRAM_SHA1, .arena = a, .gs2 = SV_LIT("n,,"), .first = SV_LIT("n=u,r=c"), .nonce = SV_LIT("c") };
	struct sv v = size < 2 ? SV_LIT("") : sv_from((const char *)data + 1, size - 1), p, q;
	struct digest_answer d;
	struct ntlm_answer n;
	unsigned char c[NTLM_CHALLENGE];
	int64_t iter;

	switch (size == 0 ? 0 : data[0] % 6) {
	case 0:
		(void)cram_split(v, &p, &q);
		break;
	case 1:
		if (scram_read_first(&x, v, false))
			assert(x.user.len > 0 && x.nonce.len > 0);
		break;
	case 2:
		if (scram_read_challenge(&x, v, &p, &iter))
			assert(iter > 0 && iter <= SCRAM_ITER_MAX);
		break;
	case 3:
		assert(!scram_read_last(&x, v, &p));
		break;
	case 4:
		if (digest_read(a, v, &d))
			(void)digest_proves(a, &d, SV_LIT("secret"), &p);
		break;
	default:
		(void)ntlm_is_first(v);
		(void)ntlm_read_challenge(v, c);
		if (ntlm_read_last(v, a, &n))
			(void)ntlm_proves(&n, challenge, SV_LIT("secret"));
		break;
	}
	arena_free(&a);
	return (0);
}
