/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "name = value" lines and the texts of their values: what main section, drivers
 * and vpost.conf have in common.
 */
#include "base/num.h"
#include "base/sb.h"
#include "exim/lexer.h"
#include "exim/option.h"

int
exim_assign_parse(const struct exim_line *line, struct exim_assign *out, struct exim_report *rep)
{
	struct sv v = line->text;
	size_t i = 0, start;

	*out = (struct exim_assign){ .value = SV_NULL };
	if (sv_starts(v, "hide ") || sv_starts(v, "hide\t") || sv_eqs(v, "hide")) {
		out->hide = true;
		for (i = 4; i < v.len && sv_isspace(v.p[i]); i++)
			;
	}
	for (start = i; i < v.len && exim_name_char(v.p[i]); i++)
		;
	out->full_name = out->name = sv_sub(v, start, i);
	if ((i == start && !out->hide) || (i > start && !sv_isalpha(v.p[start])))
		return (exim_report_error(rep, line->file, line->line, "option setting expected: " SV_FMT, SV_ARG(sv_sub(v, 0, 200))));
	if (sv_starts(out->name, "no_")) {
		out->negated = true;
		out->name = sv_sub(out->name, 3, out->name.len);
	} else if (sv_starts(out->name, "not_")) {
		out->negated = true;
		out->name = sv_sub(out->name, 4, out->name.len);
	}
	while (i < v.len && sv_isspace(v.p[i]))
		i++;
	if (i == v.len)
		return (0);
	if (v.p[i] != '=') {
		out->junk = sv_sub(v, i, v.len);
		return (0);
	}
	for (i++; i < v.len && sv_isspace(v.p[i]); i++)
		;
	out->value_off = i;
	out->value = sv_from(v.p + i, v.len - i);
	return (0);
}

/* The escape behind the backslash at v.p[i-1]; returns the offset behind it. */
static size_t
escape(struct sv v, size_t i, struct sb *sb)
{
	unsigned n = 0;
	int k;

	switch (v.p[i]) {
	case 'n':
		sb_addc(sb, '\n');
		return (i + 1);
	case 'r':
		sb_addc(sb, '\r');
		return (i + 1);
	case 't':
		sb_addc(sb, '\t');
		return (i + 1);
	case 'x':
		for (i++, k = 0; k < 2 && i < v.len; k++, i++) {
			char c = sv_lower(v.p[i]);

			if (sv_isdigit(c))
				n = n * 16 + (unsigned)(c - '0');
			else if (c >= 'a' && c <= 'f')
				n = n * 16 + (unsigned)(c - 'a' + 10);
			else
				break;
		}
		sb_addc(sb, (char)n);
		return (i);
	default:
		if (v.p[i] < '0' || v.p[i] > '7') {
			sb_addc(sb, v.p[i]);
			return (i + 1);
		}
		for (k = 0; k < 3 && i < v.len && v.p[i] >= '0' && v.p[i] <= '7'; k++, i++)
			n = n * 8 + (unsigned)(v.p[i] - '0');
		sb_addc(sb, (char)n);
		return (i);
	}
}

int
exim_string_parse(struct sv value, struct arena *a, struct sv *out, struct err *err)
{
	struct sb sb = SB_INIT(EXIM_LINE_MAX);
	size_t i = 1;

	if (value.len == 0 || value.p[0] != '"') {
		*out = arena_sv(a, value);
		return (0);
	}
	while (i < value.len && value.p[i] != '"') {
		if (value.p[i] == '\\' && i + 1 < value.len)
			i = escape(value, i + 1, &sb);
		else
			sb_addc(&sb, value.p[i++]);
	}
	*out = arena_sv(a, sb_sv(&sb));
	sb_free(&sb);
	if (i >= value.len)
		return (err_set(err, ERR_CONFIG, "4.3.5", "missing quote at end of string value"));
	if (sv_trim(sv_sub(value, i + 1, value.len)).len > 0)
		return (err_set(err, ERR_CONFIG, "4.3.5", "extra characters follow string value"));
	return (0);
}

bool
exim_parse_bool(struct sv v, bool *out)
{
	if (sv_caseeqs(v, "true") || sv_caseeqs(v, "yes")) {
		*out = true;
		return (true);
	}
	*out = false;
	return (sv_caseeqs(v, "false") || sv_caseeqs(v, "no"));
}

static bool
digits(struct sv v, unsigned base, int64_t *out)
{
	int64_t n = 0;

	if (v.len == 0)
		return (false);
	for (size_t i = 0; i < v.len; i++) {
		char c = sv_lower(v.p[i]);
		unsigned d = sv_isdigit(c) ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 99;

		if (d >= base || __builtin_mul_overflow(n, (int64_t)base, &n) || __builtin_add_overflow(n, (int64_t)d, &n))
			return (false);
	}
	*out = n;
	return (true);
}

bool
exim_parse_int(struct sv v, int64_t *out)
{
	int64_t mul = 1;
	bool neg = false;

	v = sv_trim(v);
	if (v.len > 0 && (v.p[0] == '-' || v.p[0] == '+')) {
		neg = v.p[0] == '-';
		v = sv_sub(v, 1, v.len);
	}
	if (v.len > 0) {
		switch (sv_upper(v.p[v.len - 1])) {
		case 'K': mul = 1024; break;
		case 'M': mul = 1024 * 1024; break;
		case 'G': mul = 1024 * 1024 * 1024; break;
		default: break;
		}
		if (mul > 1)
			v.len--;
	}
	if (sv_casestarts(v, "0x")) {
		if (!digits(sv_sub(v, 2, v.len), 16, out))
			return (false);
	} else if (!digits(v, v.len > 1 && v.p[0] == '0' ? 8 : 10, out))
		return (false);
	if (__builtin_mul_overflow(*out, neg ? -mul : mul, out))
		return (false);
	return (true);
}

bool
exim_parse_octal(struct sv v, int64_t *out)
{
	return (digits(sv_trim(v), 8, out));
}

bool
exim_parse_fixed(struct sv v, int64_t *out)
{
	ptrdiff_t dot;
	int64_t whole, frac = 0;
	struct sv f = SV_LIT("");

	v = sv_trim(v);
	dot = sv_chr(v, '.');
	if (dot >= 0) {
		f = sv_sub(v, (size_t)dot + 1, v.len);
		v = sv_sub(v, 0, (size_t)dot);
		if (f.len > 0 && !digits(f, 10, &frac))
			return (false);
		/* Thousandths are kept. */
		if (f.len > 3) {
			f.len = 3;
			(void)digits(f, 10, &frac);
		}
		for (size_t i = f.len; i < 3; i++)
			frac *= 10;
	}
	if (!num_parse(v, 0, INT32_MAX, &whole))
		return (false);
	*out = whole * 1000 + frac;
	return (true);
}

bool
exim_parse_time(struct sv v, int64_t *out)
{
	int64_t total = 0;

	v = sv_trim(v);
	if (v.len == 0)
		return (false);
	while (v.len > 0) {
		int64_t n, unit;
		size_t i = 0;

		while (i < v.len && sv_isdigit(v.p[i]))
			i++;
		if (i == v.len || !num_parse(sv_sub(v, 0, i), 0, INT32_MAX, &n))
			return (false);
		switch (v.p[i]) {
		case 'w': unit = 7 * 86400; break;
		case 'd': unit = 86400; break;
		case 'h': unit = 3600; break;
		case 'm': unit = 60; break;
		case 's': unit = 1; break;
		default: return (false);
		}
		total += n * unit;
		if (total > INT32_MAX)
			return (false);
		v = sv_sub(v, i + 1, v.len);
	}
	*out = total;
	return (true);
}
