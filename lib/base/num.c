/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers from text; see num.h. */
#include "base/num.h"

bool
num_parse_u64(struct sv v, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (v.len == 0)
		return (false);
	for (size_t i = 0; i < v.len; i++) {
		unsigned d = (unsigned char)v.p[i] - '0';

		if (d > 9 || n > (UINT64_MAX - d) / 10)
			return (false);
		n = n * 10 + d;
	}
	if (n > max)
		return (false);
	*out = n;
	return (true);
}

bool
num_parse(struct sv v, int64_t min, int64_t max, int64_t *out)
{
	bool neg = v.len > 0 && v.p[0] == '-';
	uint64_t n;
	int64_t r;

	if (neg)
		v = sv_sub(v, 1, v.len);
	if (!num_parse_u64(v, (uint64_t)INT64_MAX, &n))
		return (false);
	r = neg ? -(int64_t)n : (int64_t)n;
	if (r < min || r > max)
		return (false);
	*out = r;
	return (true);
}

bool
num_parse_size(struct sv v, int64_t max, int64_t *out)
{
	int64_t unit = 1, n;

	if (v.len > 0 && !sv_isdigit(v.p[v.len - 1])) {
		switch (sv_lower(v.p[v.len - 1])) {
		case 'k':
			unit = 1024;
			break;
		case 'm':
			unit = 1024 * 1024;
			break;
		case 'g':
			unit = 1024 * 1024 * 1024;
			break;
		default:
			return (false);
		}
		v.len--;
	}
	if (!num_parse(v, 0, max / unit, &n))
		return (false);
	*out = n * unit;
	return (true);
}

bool
num_parse_time(struct sv v, int64_t *seconds)
{
	static const struct {
		char	unit;
		int64_t	secs;
	} units[] = { { 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
	int64_t total = 0, n;
	size_t u = 0, i;

	if (num_parse(v, 0, INT32_MAX, seconds))
		return (true);
	if (v.len == 0)
		return (false);
	while (v.len > 0) {
		for (i = 0; i < v.len && sv_isdigit(v.p[i]); i++)
			;
		if (i == v.len || !num_parse(sv_sub(v, 0, i), 0, INT32_MAX, &n))
			return (false);
		while (u < 5 && units[u].unit != v.p[i])
			u++;
		if (u == 5)
			return (false);
		total += n * units[u++].secs;
		v = sv_sub(v, i + 1, v.len);
	}
	if (total > INT32_MAX)
		return (false);
	*seconds = total;
	return (true);
}
