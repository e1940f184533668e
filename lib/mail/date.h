/* SPDX-License-Identifier: BSD-2-Clause */
/* Dates of header fields (RFC 5322 section 3.3, obsolete forms of 4.3) and of IMAP (RFC 3501 date-time). */
#ifndef VPOST_MAIL_DATE_H
#define VPOST_MAIL_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sv.h"

#define MAIL_DATE_MAX	40	/* bytes of any text below, with its NUL */

struct mail_date {
	int64_t	 utc;		/* seconds since 1970 */
	int	 zone;		/* minutes east of Greenwich */
	bool	 zone_known;	/* false: none, or -0000, or letters that nobody knows; then <zone> is 0 */
};

/*
 * Lenient: comments, folds, names of days that do not fit, two-digit years, missing seconds or zone, one-digit
 * numbers, dashes between day, month and year, "Mon Jan  2 15:04:05 2006" of ctime.  False if no date can be
 * read or a number is out of its range.
 */
bool	 mail_date_parse(struct sv v, struct mail_date *d);
/* "Sat, 21 Nov 2026 02:00:00 +0100"; returns <buf>. */
const char *mail_date_format(char buf[MAIL_DATE_MAX], int64_t utc, int zone);
/* The same for the local zone of this machine at that time. */
const char *mail_date_format_local(char buf[MAIL_DATE_MAX], int64_t utc);
/* IMAP date-time without its quotes: "21-Nov-2026 02:00:00 +0100"; the day may have a blank for its first digit. */
bool	 mail_internaldate_parse(struct sv v, struct mail_date *d);
const char *mail_internaldate_format(char buf[MAIL_DATE_MAX], int64_t utc, int zone);
/* IMAP date "1-Feb-1994": the number of the day since 1970-01-01. */
bool	 mail_day_parse(struct sv v, int64_t *day);
/* The day that a date shows in its own zone (SEARCH SENTON). */
int64_t	 mail_date_day(const struct mail_date *d);
/* Days since 1970-01-01 of a date of the Gregorian calendar, and back. */
int64_t	 mail_days_from_civil(int year, unsigned month, unsigned day);
void	 mail_civil_from_days(int64_t days, int *year, unsigned *month, unsigned *day);
/* "Tue Sep 22 22:15:27 1998" in UTC, as asctime: "From " lines, lists; returns <buf>. */
const char *mail_ctime(char buf[MAIL_DATE_MAX], int64_t utc);

#endif
