/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which options of Exim's command line exclude each other (chapter 5 of its manual), asked when all are read.  Only callers
 * that name a configuration of their own are told; others have sendmail's ways.
 */
#include <stdio.h>

#include "sendmail_int.h"

#define CHECKING	(SEEN_ROUTE | SEEN_VERIFY | SEEN_FILTER | SEEN_EXPAND | SEEN_HOST)
#define TESTS_ONE	(SEEN_BI | SEEN_RETRY | SEEN_REWRITE)

/* Each of <v>'s rows: none of <with> goes with one of <some>. */
static const struct { unsigned some, with; } excludes[] = {
	{ SEEN_SMTP | SEEN_T, SEEN_RUN | TESTS_ONE | SEEN_FILTER | SEEN_MANY_IDS },
	{ SEEN_MANY_IDS | SEEN_ONE_ID, SEEN_PRINT | TESTS_ONE | CHECKING },
	{ SEEN_PRINT, CHECKING | SEEN_SMTP | SEEN_T | SEEN_FILTER | SEEN_BI },
	{ SEEN_VERIFY, SEEN_ROUTE | SEEN_SMTP | SEEN_T | SEEN_FILTER | SEEN_BI },
	{ SEEN_ROUTE, SEEN_SMTP | SEEN_T | SEEN_FILTER | SEEN_BI },
	{ SEEN_SMTP, SEEN_SENDER | SEEN_FILTER | SEEN_T },
};

int
options_check(const struct options *o)
{
	unsigned seen = o->seen;

	if (o->conf == NULL)
		return (0);
	/* Recipients: what other modes take as theirs is none. */
	if (o->args.len > 0 && o->mode != MODE_QUEUE && (seen & (SEEN_RUN | SEEN_BI | SEEN_FILTER)) != 0 &&
	    (seen & (SEEN_ONE_ID | SEEN_MANY_IDS)) == 0)
		goto wrong;
	for (size_t i = 0; i < sizeof(excludes) / sizeof(excludes[0]); i++)
		if ((seen & excludes[i].some) != 0 && (seen & excludes[i].with) != 0)
			goto wrong;
	return (0);
wrong:
	(void)fprintf(stderr, "exim: incompatible command-line options or arguments\n");
	return (1);
}
