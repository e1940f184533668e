/* SPDX-License-Identifier: BSD-2-Clause */
/* Dates: what is read is written and read again as the same moment. */
#include <assert.h>
#include <stdint.h>

#include "mail/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv v = sv_from((const char *)data, size);
	struct mail_date d, again;
	char buf[MAIL_DATE_MAX];
	int64_t day;
	int year;
	unsigned month, mday;

	if (mail_date_parse(v, &d)) {
		/* A zone may push a date out of the years that four digits can show. */
		if (d.utc + d.zone * 60 >= mail_days_from_civil(1, 1, 2) * 86400 &&
		    d.utc + d.zone * 60 < mail_days_from_civil(9999, 12, 30) * 86400 && d.zone > -1440 && d.zone < 1440) {
			assert(mail_date_parse(sv_cstr(mail_date_format(buf, d.utc, d.zone)), &again));
			assert(again.utc == d.utc && again.zone == d.zone);
			assert(mail_internaldate_parse(sv_cstr(mail_internaldate_format(buf, d.utc, d.zone)), &again));
			assert(again.utc == d.utc);
		}
		mail_civil_from_days(mail_date_day(&d), &year, &month, &mday);
		assert(mail_days_from_civil(year, month, mday) == mail_date_day(&d));
		(void)mail_ctime(buf, d.utc);
		(void)mail_date_format_local(buf, d.utc);
	}
	(void)mail_internaldate_parse(v, &d);
	(void)mail_day_parse(v, &day);
	return (0);
}
