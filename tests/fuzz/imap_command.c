/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IMAP commands: each line of the input with the literals that it announces is parsed;
 * a mailbox name that was accepted survives encoding; what is parsed can be walked.
 */
#include <assert.h>
#include <stdint.h>

#include "imap/parse.h"
#include "imap/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
walk(const struct imap_search *s, unsigned depth)
{
	size_t n = 1;

	assert(depth <= 2 * IMAP_SEARCH_DEPTH + 2);
	for (const struct imap_search *c = s->a; c != NULL; c = c->next)
		n += walk(c, depth + 1);
	return (n);
}

static void
check_name(struct sv name)
{
	struct sb enc = SB_INIT(1 << 20), dec = SB_INIT(1 << 20);

	if (name.p != NULL) {
		assert(imap_utf7_encode(&enc, name));
		assert(imap_utf7_decode(&dec, sb_sv(&enc)) && sv_eq(sb_sv(&dec), name));
		sb_clear(&enc);
		imap_put_mailbox(&enc, name);
		(void)imap_pattern_match(name, name, '.');
	}
	sb_free(&enc);
	sb_free(&dec);
}

static void
check_command(struct sv text)
{
	struct arena *a = arena_new(0);
	struct imap_command c;
	const char *why;

	if (!imap_command_parse(a, text, &c, &why)) {
		assert(why != NULL);
	} else {
		assert(c.verb != IMAP_NO_VERB && c.tag.len > 0 && imap_verb_states(c.verb) != 0);
		check_name(c.mailbox);
		check_name(c.mailbox2);
		if (c.mailbox.p != NULL && c.mailbox2.p != NULL)
			(void)imap_pattern_match(c.mailbox2, c.mailbox, '.');
		if (c.search != NULL)
			assert(walk(c.search, 0) > 0);
		for (size_t i = 0; i < c.nfetch; i++)
			assert((c.fetch[i].what == IMAP_F_SECTION) == (c.fetch[i].label.len > 0));
		(void)imap_set_has(&c.set, 7, 3);
	}
	arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv rest = sv_from((const char *)data, size);
	size_t used = 0;
	uint64_t n;
	bool sync;

	while (used < rest.len) {
		struct sv line = sv_sub(rest, used, rest.len);
		ptrdiff_t lf = sv_chr(line, '\n');

		line = sv_sub(line, 0, lf == -1 ? line.len : (size_t)lf + 1);
		used += line.len;
		if (imap_literal_follows(line, &n, &sync) && n <= rest.len - used &&
		    !imap_is_append(sv_sub(rest, 0, used))) {
			used += (size_t)n;
			if (used < rest.len)
				continue;
		}
		check_command(sv_sub(rest, 0, used));
		rest = sv_sub(rest, used, rest.len);
		used = 0;
	}
	return (0);
}
