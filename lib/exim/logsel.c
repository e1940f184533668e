/* SPDX-License-Identifier: BSD-2-Clause */
/* log_selector; see logsel.h. */
#include <assert.h>

#include "exim/logsel.h"

static const struct { const char *name; bool dflt; } sel[] = {
#define X(name, dflt)	{ #name, dflt },
	EXIM_LOGSELS(X)
#undef X
};
_Static_assert(EXIM_LOGSEL_COUNT <= 64, "selectors fit a word");

static int
find(struct sv name)
{
	for (int i = 0; i < EXIM_LOGSEL_COUNT; i++)
		if (sv_eqs(name, sel[i].name))
			return (i);
	return (-1);
}

bool
exim_logsel_known(struct sv name)
{
	return (sv_eqs(name, "all") || find(name) >= 0);
}

const char *
exim_logsel_name(int i)
{
	assert(i >= 0 && i < EXIM_LOGSEL_COUNT);
	return (sel[i].name);
}

static bool
separates(char c)
{
	return (sv_isspace(c));
}

int
exim_logsel_parse(struct sv text, uint64_t *set, struct err *err)
{
	size_t i = 0;

	*set = 0;
	for (int k = 0; k < EXIM_LOGSEL_COUNT; k++)
		if (sel[k].dflt)
			*set |= EXIM_LOGSEL_BIT(k);
	while (i < text.len) {
		size_t start;
		bool on;
		struct sv name;
		int k;

		if (separates(text.p[i])) {
			i++;
			continue;
		}
		if (text.p[i] != '+' && text.p[i] != '-')
			return (err_set(err, ERR_CONFIG, "4.3.5",
			    "malformed log_selector setting: + or - expected but found \"" SV_FMT "\"",
			    SV_ARG(sv_sub(text, i, text.len))));
		on = text.p[i++] == '+';
		for (start = i; i < text.len && (sv_isalnum(text.p[i]) || text.p[i] == '_'); i++)
			;
		name = sv_sub(text, start, i);
		if (sv_eqs(name, "all")) {
			*set = on ? ~UINT64_C(0) : 0;
			continue;
		}
		k = find(name);
		if (k < 0)
			return (err_set(err, ERR_CONFIG, "4.3.5", "unknown log_selector setting: %c" SV_FMT, on ? '+' : '-',
			    SV_ARG(name)));
		if (on)
			*set |= EXIM_LOGSEL_BIT(k);
		else
			*set &= ~EXIM_LOGSEL_BIT(k);
	}
	return (0);
}
