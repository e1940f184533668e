/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ENVELOPE and BODYSTRUCTURE of any message: parentheses and strings are balanced, and
 * BODY made of BODYSTRUCTURE is BODY made of the message.
 */
#include <assert.h>
#include <stdint.h>

#include "base/num.h"
#include "imap/bodystructure.h"
#include "imap/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_balance(struct sv v)
{
	size_t depth = 0, i = 0;
	ptrdiff_t close;
	int64_t n;

	while (i < v.len) {
		switch (v.p[i]) {
		case '(':
			depth++;
			break;
		case ')':
			assert(depth > 0);
			depth--;
			break;
		case '"':
			for (i++; i < v.len && v.p[i] != '"'; i++)
				i += v.p[i] == '\\';
			assert(i < v.len);
			break;
		case '{':
			close = sv_chr(sv_sub(v, i, v.len), '}');
			assert(close > 1 && num_parse(sv_sub(v, i + 1, i + (size_t)close), 0, (int64_t)v.len, &n));
			i += (size_t)close + 2 + (size_t)n;
			break;
		default:
			assert((unsigned char)v.p[i] < 127 && v.p[i] >= ' ');
		}
		i++;
	}
	assert(depth == 0 && i == v.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv msg = sv_from((const char *)data, size);
	struct arena *a = arena_new(0);
	const struct mime_part *root = mime_parse(a, msg);
	struct sb env = SB_INIT(1 << 26), ext = SB_INIT(1 << 26), body = SB_INIT(1 << 26), made = SB_INIT(1 << 26);

	imap_envelope(&env, &root->headers);
	check_balance(sb_sv(&env));
	imap_bodystructure(&ext, root, true);
	check_balance(sb_sv(&ext));
	imap_bodystructure(&body, root, false);
	assert(imap_body_from_structure(&made, sb_sv(&ext)));
	assert(sv_eq(sb_sv(&made), sb_sv(&body)));
	sb_clear(&made);
	(void)imap_body_from_structure(&made, msg);
	sb_free(&env);
	sb_free(&ext);
	sb_free(&body);
	sb_free(&made);
	arena_free(&a);
	return (0);
}
