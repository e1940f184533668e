/* SPDX-License-Identifier: BSD-2-Clause */
/* The first line is an expression, the rest a text: whatever matches does so again, inside the text, twice and with an index the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "filter/procmail_regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
search(struct procmail_regex *re, struct procmail_regex *fresh, struct sv text)
{
	struct procmail_regex_match m, m2;
	uint32_t nl[4096];
	uint8_t first[4096];
	struct procmail_lines lines = { .nl = nl, .first = first };
	ptrdiff_t at = 0;

	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] == '\n') {
			nl[lines.n] = (uint32_t)i;
			first[lines.n++] = i + 1 < text.len ? (uint8_t)text.p[i + 1] : 0;
		}
	procmail_lines_done(&lines);
	for (int i = 0; i < 50 && at >= 0 && at <= (ptrdiff_t)text.len; i++) {
		bool found = procmail_regex_find(re, text, (size_t)at, &m);

		if (found != procmail_regex_find_lines(fresh, text, &lines, (size_t)at, &m2) || (found && memcmp(&m, &m2, sizeof(m)) != 0))
			abort();
		if (!found || m.end <= at)
			return;
		if (m.end > (ptrdiff_t)text.len + 2 || m.from > m.to || m.to > text.len)
			abort();
		at = m.end;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_from((const char *)data, size), expr;
	struct sb words = SB_INIT(1 << 16);
	struct procmail_regex *re, *fresh;
	bool fold, invalid;
	char *copy;

	if (size > 4096 || !sv_next(&text, '\n', &expr) || expr.len > 300)
		return (0);
	fold = procmail_regex_words(expr, &words);
	if (words.len < 2000) {
		copy = malloc(text.len > 0 ? text.len : 1);
		if (text.len > 0)
			memcpy(copy, text.p, text.len);
		re = procmail_regex_new(sb_sv(&words), fold, &invalid);
		fresh = procmail_regex_new(sb_sv(&words), fold, NULL);
		search(re, fresh, sv_from(copy, text.len));
		/* Parts of it: what was learned with an index of one text counts for the next. */
		for (size_t part = 0; part < 6; part++)
			search(re, fresh, sv_from(copy + text.len * part / 7, text.len - text.len * part / 7));
		procmail_regex_free(&fresh);
		fresh = procmail_regex_new(sb_sv(&words), fold, NULL);
		/* One that has learned from other searches answers like a new one. */
		search(re, fresh, sv_from(copy, text.len));
		procmail_regex_free(&re);
		procmail_regex_free(&fresh);
		free(copy);
	}
	sb_free(&words);
	return (0);
}
