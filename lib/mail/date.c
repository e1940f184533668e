/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dates.  Reading a header date is a walk over its tokens: numbers, words and zones
 * are recognised by their look and place, since mailers write them in many orders.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "mail/date.h"

#define DAY	86400

static const char month_names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
static const char *const month_text[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
    "Dec" };
static const char *const day_text[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };

/* RFC 5322 4.3; the military letters mean nothing there, and "Z" is Greenwich in practice. */
static const struct {
	const char	*name;
	int		 minutes;
} zones[] = {
	{ "UT", 0 }, { "UTC", 0 }, { "GMT", 0 }, { "Z", 0 }, { "EST", -300 }, { "EDT", -240 }, { "CST", -360 },
	{ "CDT", -300 }, { "MST", -420 }, { "MDT", -360 }, { "PST", -480 }, { "PDT", -420 }, { "CET", 60 },
	{ "MET", 60 }, { "CEST", 120 }, { "MEST", 120 }, { "EET", 120 }, { "EEST", 180 }, { "BST", 60 }, { "JST", 540 },
};

/* ---- the calendar ---- */

/* Days in eras of 400 years, years starting in March, so that the leap day comes last. */
int64_t
mail_days_from_civil(int year, unsigned month, unsigned day)
{
	int64_t y = (int64_t)year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400, doy = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return (era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468);
}

void
mail_civil_from_days(int64_t days, int *year, unsigned *month, unsigned *day)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	*month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(yoe + era * 400 + (*month <= 2));
}

static unsigned
days_in_month(int64_t year, int64_t month)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return (days[month - 1] + (month == 2 && leap ? 1U : 0U));
}

struct civil {
	int64_t	 year, month, day, hour, minute, second;	/* -1: not seen */
	int	 zone;
	bool	 zone_known;
};

static bool
civil_to_date(const struct civil *c, struct mail_date *d)
{
	if (c->year < 1 || c->year > 9999 || c->month < 1 || c->month > 12 || c->day < 1 ||
	    c->day > days_in_month(c->year, c->month) || c->hour < 0 || c->hour > 23 || c->minute < 0 ||
	    c->minute > 59 || c->second < 0 || c->second > 60)
		return (false);
	d->utc = mail_days_from_civil((int)c->year, (unsigned)c->month, (unsigned)c->day) * DAY +
	    c->hour * 3600 + c->minute * 60 + c->second - (int64_t)c->zone * 60;
	d->zone = c->zone;
	d->zone_known = c->zone_known;
	return (true);
}

static int
month_by_name(struct sv v)
{
	if (v.len < 3)
		return (-1);
	for (int i = 0; i < 12; i++)
		if (sv_caseeq(sv_sub(v, 0, 3), sv_from(month_names + i * 3, 3)))
			return (i + 1);
	return (-1);
}

/* ---- reading ---- */

/* "+hhmm", "-hh:mm", "+hmm"; digits already without the sign. */
static bool
zone_number(struct sv digits, bool minus, struct civil *c)
{
	int64_t v;

	if (digits.len < 1 || digits.len > 4 || !num_parse(digits, 0, 9999, &v))
		return (false);
	if (digits.len <= 2)
		v *= 100;
	if (v % 100 > 59 || v / 100 > 24)
		return (false);
	c->zone = (int)(v / 100 * 60 + v % 100);
	c->zone_known = !(minus && v == 0);	/* -0000: nobody knows (RFC 5322 3.3) */
	if (minus)
		c->zone = -c->zone;
	return (true);
}

static void
zone_word(struct sv v, struct civil *c)
{
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
		if (sv_caseeqs(v, zones[i].name)) {
			c->zone = zones[i].minutes;
			c->zone_known = true;
		}
}

/* "hh:mm[:ss[.fraction]]", also with dots. */
static bool
clock_text(struct sv v, struct civil *c)
{
	char sep = sv_chr(v, ':') != -1 ? ':' : '.';
	struct sv part;
	ptrdiff_t dot;

	if (!sv_next(&v, sep, &part) || !num_parse(part, 0, 24, &c->hour) || !sv_next(&v, sep, &part) ||
	    !num_parse(part, 0, 59, &c->minute))
		return (false);
	c->second = 0;
	if (v.len == 0)
		return (true);
	dot = sep == ':' ? sv_chr(v, '.') : -1;
	if (dot != -1)
		v = sv_sub(v, 0, (size_t)dot);
	return (num_parse(v, 0, 61, &c->second));
}

static int64_t
full_year(int64_t year, size_t digits)
{
	if (digits <= 2)
		return (year < 50 ? year + 2000 : year + 1900);	/* RFC 5322 4.3 */
	return (digits == 3 ? year + 1900 : year);
}

static bool
number(struct sv v, struct civil *c)
{
	int64_t n;

	if (!num_parse(v, 0, 9999, &n))
		return (false);
	if (v.len >= 3 && c->year == -1)
		c->year = full_year(n, v.len);
	else if (c->day == -1)
		c->day = n;
	else if (c->year == -1)
		c->year = full_year(n, v.len);
	else
		return (false);
	return (true);
}

/* "2-Jan-2006", "2006-01-02" or "02/Jan/2006": its pieces one by one. */
static bool
dashed(struct sv v, char sep, struct civil *c)
{
	struct sv part[3];
	size_t n = 0;
	int month;

	while (n < 3 && sv_next(&v, sep, &part[n]))
		n++;
	if (n != 3 || v.len > 0)
		return (false);
	month = month_by_name(part[1]);
	if (month != -1) {
		c->month = month;
		return (number(part[0], c) && number(part[2], c));
	}
	/* ISO 8601; any other order of numbers would be a guess. */
	return (part[0].len == 4 && number(part[0], c) && num_parse(part[1], 1, 12, &c->month) &&
	    num_parse(part[2], 1, 31, &c->day));
}

static bool
word(struct sv v, struct civil *c)
{
	int month = month_by_name(v);

	if (month != -1 && c->month == -1)
		c->month = month;
	else if (c->hour != -1)
		zone_word(v, c);
	/* Other words are names of days. */
	return (true);
}

static bool
digits_only(struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		if (!sv_isdigit(v.p[i]))
			return (false);
	return (v.len > 0);
}

static bool
is_sign(char c)
{
	return (c == '+' || c == '-');
}

static bool
signed_zone(struct sv v, struct civil *c)
{
	char digits[8];
	size_t n = 0;

	for (size_t i = 1; i < v.len && n < sizeof(digits); i++)
		if (v.p[i] != ':')
			digits[n++] = v.p[i];
	if (!digits_only(sv_from(digits, n)))
		return (false);
	return (zone_number(sv_from(digits, n), v.p[0] == '-', c));
}

static bool
token(struct sv v, struct civil *c)
{
	size_t i;

	if (is_sign(v.p[0]))
		return (c->hour == -1 || c->zone_known || signed_zone(v, c));
	if (digits_only(v))
		return (number(v, c));
	if (sv_isdigit(v.p[0])) {
		if (sv_chr(v, '-') > 0 && (sv_chr(v, ':') == -1 || sv_chr(v, '-') < sv_chr(v, ':')))
			return (dashed(v, '-', c));
		if (sv_chr(v, '/') > 0)
			return (dashed(v, '/', c));
		/* A zone may stick to the time: "10:15:30+0200", "10:15:30GMT". */
		for (i = 0; i < v.len && (sv_isdigit(v.p[i]) || v.p[i] == ':' || v.p[i] == '.'); i++)
			;
		if (i < 3 || c->hour != -1 || !clock_text(sv_sub(v, 0, i), c))
			return (false);
		return (i == v.len || token(sv_sub(v, i, v.len), c));
	}
	return (word(v, c));
}

static void
skip_filler(struct sv *v)
{
	unsigned depth = 0;
	size_t i = 0;

	for (; i < v->len; i++) {
		char c = v->p[i];

		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth == 0 && !sv_isspace(c) && c != ',' && c != ';' && c != '"')
			break;
	}
	*v = sv_sub(*v, i, v->len);
}

bool
mail_date_parse(struct sv v, struct mail_date *d)
{
	struct civil c = { -1, -1, -1, -1, -1, -1, 0, false };
	size_t n, tokens = 0;

	for (skip_filler(&v); v.len > 0 && tokens < 16; skip_filler(&v), tokens++) {
		for (n = 0; n < v.len && !sv_isspace(v.p[n]) && memchr(",;(\"", v.p[n], 4) == NULL; n++)
			;
		/* Once date and time are there, what follows is decoration. */
		if (!token(sv_sub(v, 0, n), &c) && (c.year == -1 || c.hour == -1))
			return (false);
		v = sv_sub(v, n == 0 ? 1 : n, v.len);
	}
	if (c.hour == -1)
		c.hour = c.minute = c.second = 0;
	return (civil_to_date(&c, d));
}

bool
mail_internaldate_parse(struct sv v, struct mail_date *d)
{
	struct civil c = { -1, -1, -1, -1, -1, -1, 0, false };
	struct sv date, clock;

	if (v.len != 26 || v.p[11] != ' ' || v.p[20] != ' ' || !is_sign(v.p[21]) || v.p[2] != '-' || v.p[6] != '-' ||
	    v.p[14] != ':' || v.p[17] != ':')
		return (false);
	date = sv_sub(v, v.p[0] == ' ', 2);
	clock = sv_sub(v, 12, 20);
	c.month = month_by_name(sv_sub(v, 3, 6));
	if (!num_parse(date, 1, 31, &c.day) || !num_parse(sv_sub(v, 7, 11), 1, 9999, &c.year) ||
	    !num_parse(sv_sub(clock, 0, 2), 0, 23, &c.hour) || !num_parse(sv_sub(clock, 3, 5), 0, 59, &c.minute) ||
	    !num_parse(sv_sub(clock, 6, 8), 0, 60, &c.second) ||
	    !zone_number(sv_sub(v, 22, 26), v.p[21] == '-', &c))
		return (false);
	return (civil_to_date(&c, d));
}

bool
mail_day_parse(struct sv v, int64_t *day)
{
	struct civil c = { -1, -1, -1, 0, 0, 0, 0, true };
	struct mail_date d;
	struct sv part[3];

	for (size_t i = 0; i < 3; i++)
		if (!sv_next(&v, '-', &part[i]))
			return (false);
	c.month = part[1].len == 3 ? month_by_name(part[1]) : -1;
	if (v.len > 0 || part[0].len > 2 || part[2].len != 4 || !num_parse(part[0], 1, 31, &c.day) ||
	    !num_parse(part[2], 1, 9999, &c.year) || !civil_to_date(&c, &d))
		return (false);
	*day = mail_date_day(&d);
	return (true);
}

static int64_t
floor_day(int64_t seconds)
{
	return (seconds >= 0 ? seconds / DAY : -((-seconds + DAY - 1) / DAY));
}

int64_t
mail_date_day(const struct mail_date *d)
{
	return (floor_day(d->utc + (int64_t)d->zone * 60));
}

/* ---- writing ---- */

struct broken {
	int	 year;
	unsigned month, day, wday, hour, minute, second;
};

/* Times that no four-digit year can show are cut to those that can. */
static struct broken
break_down(int64_t seconds)
{
	const int64_t first = mail_days_from_civil(1, 1, 1) * DAY, last = mail_days_from_civil(9999, 12, 31) * DAY;
	struct broken b;
	int64_t day, rest;

	seconds = seconds < first ? first : seconds > last ? last : seconds;
	day = floor_day(seconds);
	rest = seconds - day * DAY;
	mail_civil_from_days(day, &b.year, &b.month, &b.day);
	b.wday = (unsigned)(((day + 4) % 7 + 7) % 7);
	b.hour = (unsigned)(rest / 3600);
	b.minute = (unsigned)(rest / 60 % 60);
	b.second = (unsigned)(rest % 60);
	return (b);
}

static int64_t
local_seconds(int64_t utc, int zone)
{
	const int64_t limit = (int64_t)10000 * 366 * DAY;

	utc = utc > limit ? limit : utc < -limit ? -limit : utc;
	return (utc + (int64_t)zone * 60);
}

static int
zone_digits(int zone)
{
	int z = zone < 0 ? -zone : zone;

	z = z > 24 * 60 ? 24 * 60 : z;
	return (z / 60 * 100 + z % 60);
}

const char *
mail_date_format(char buf[MAIL_DATE_MAX], int64_t utc, int zone)
{
	struct broken b = break_down(local_seconds(utc, zone));

	(void)snprintf(buf, MAIL_DATE_MAX, "%s, %02u %s %04d %02u:%02u:%02u %c%04d", day_text[b.wday], b.day,
	    month_text[b.month - 1], b.year, b.hour, b.minute, b.second, zone < 0 ? '-' : '+', zone_digits(zone));
	return (buf);
}

const char *
mail_date_format_local(char buf[MAIL_DATE_MAX], int64_t utc)
{
	time_t t = (time_t)utc;
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL)
		tm.tm_gmtoff = 0;
	return (mail_date_format(buf, utc, (int)(tm.tm_gmtoff / 60)));
}

const char *
mail_internaldate_format(char buf[MAIL_DATE_MAX], int64_t utc, int zone)
{
	struct broken b = break_down(local_seconds(utc, zone));

	(void)snprintf(buf, MAIL_DATE_MAX, "%02u-%s-%04d %02u:%02u:%02u %c%04d", b.day, month_text[b.month - 1],
	    b.year, b.hour, b.minute, b.second, zone < 0 ? '-' : '+', zone_digits(zone));
	return (buf);
}

const char *
mail_ctime(char buf[MAIL_DATE_MAX], int64_t utc)
{
	struct broken b = break_down(local_seconds(utc, 0));

	(void)snprintf(buf, MAIL_DATE_MAX, "%s %s %2u %02u:%02u:%02u %04d", day_text[b.wday], month_text[b.month - 1],
	    b.day, b.hour, b.minute, b.second, b.year);
	return (buf);
}
