/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header file ID-H of the spool, read: caller, sender, times, options, who has the message, who is to have it, and the fields
 * of its header.  It may be another program's: options that mean nothing here are kept as they are.
 */
#include <stddef.h>
#include <string.h>

#include "base/num.h"
#include "deliver.h"

#define OTHERS_MAX	256

/* "NAME LENGTH", and the value behind the line. */
static void
read_var(struct dmsg *m, char kind, struct sv head, struct sv *rest)
{
	struct dvar v;
	struct sv name, len;
	int64_t n;

	if (!sv_word(&head, &name) || !sv_word(&head, &len) || !num_parse(len, 0, (int64_t)rest->len, &n))
		return;
	v.name = sv_cstr(arena_fmt(m->arena, "%c" SV_FMT, kind, SV_ARG(name)));
	v.value = sv_sub(*rest, 0, (size_t)n);
	*rest = sv_sub(*rest, (size_t)n + 1 < rest->len ? (size_t)n + 1 : rest->len, rest->len);
	vec_push(&m->vars, v);
}

/* "[192.0.2.1]:25", or the address alone. */
static void
read_end(struct sv v, struct sv *addr, int64_t *port)
{
	ptrdiff_t end = sv_rchr(v, ']');

	*addr = v;
	if (v.len < 2 || v.p[0] != '[' || end < 1)
		return;
	*addr = sv_sub(v, 1, (size_t)end);
	if ((size_t)end + 2 < v.len)
		(void)num_parse(sv_sub(v, (size_t)end + 2, v.len), 0, 65535, port);
}

/* "1700000000.123456" in microseconds; 0: it is no such number. */
static int64_t
seconds_us(struct sv v)
{
	ptrdiff_t dot = sv_chr(v, '.');
	int64_t s, us = 0;

	if (!num_parse(dot < 0 ? v : sv_sub(v, 0, (size_t)dot), 0, INT64_MAX / 1000000 - 1, &s) ||
	    (dot >= 0 && !num_parse(sv_sub(v, (size_t)dot + 1, v.len), 0, 999999, &us)))
		return (0);
	return (s * 1000000 + us);
}

/* Options with a text, a number or nothing behind them, for which nothing else is to be done. */
static const struct { const char *name; size_t at; } texts[] = {
	{ "ident", offsetof(struct dmsg, ident) }, { "received_protocol", offsetof(struct dmsg, protocol) },
	{ "helo_name", offsetof(struct dmsg, helo) }, { "host_name", offsetof(struct dmsg, host_name) },
	{ "host_auth", offsetof(struct dmsg, host_auth) }, { "auth_id", offsetof(struct dmsg, auth_id) },
	{ "auth_sender", offsetof(struct dmsg, auth_sender) }, { "dsn_envid", offsetof(struct dmsg, envid) }
}, counts[] = {
	{ "body_linecount", offsetof(struct dmsg, body_lines) }, { "max_received_linelength", offsetof(struct dmsg, max_line) },
	{ "body_zerocount", offsetof(struct dmsg, body_zeros) }
}, flags[] = {
	{ "smtputf8", offsetof(struct dmsg, smtputf8) }, { "manual_thaw", offsetof(struct dmsg, manual_thaw) },
	{ "localerror", offsetof(struct dmsg, bounce) }, { "N", offsetof(struct dmsg, no_deliver) },
	{ "local", offsetof(struct dmsg, local) }, { "sender_set_untrusted", offsetof(struct dmsg, untrusted_sender) }
};

static bool
read_simple(struct dmsg *m, struct sv name, struct sv value, int64_t n)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (sv_eqs(name, texts[i].name)) {
			*(struct sv *)(void *)((char *)m + texts[i].at) = value;
			return (true);
		}
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (sv_eqs(name, counts[i].name)) {
			*(int64_t *)(void *)((char *)m + counts[i].at) = n;
			return (true);
		}
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (sv_eqs(name, flags[i].name)) {
			*(bool *)((char *)m + flags[i].at) = true;
			return (true);
		}
	return (false);
}

/* "-NAME VALUE" or "--NAME VALUE"; a variable's value stands in *<rest>. */
static void
read_option(struct dmsg *m, struct sv line, struct sv *rest)
{
	struct sv name, value, whole = line;
	int64_t n = 0;

	while (line.len > 0 && line.p[0] == '-')
		line = sv_sub(line, 1, line.len);
	value = line;
	(void)sv_word(&value, &name);
	value = sv_trim(value);
	(void)num_parse(value, 0, INT64_MAX / 2, &n);
	if (read_simple(m, name, value, n))
		return;
	if (sv_eqs(name, "frozen")) {
		m->frozen = true;
		m->frozen_at = n;
	} else if (sv_eqs(name, "utf8_downcvt"))
		m->downconvert = 1;
	else if (sv_eqs(name, "utf8_optdowncvt"))
		m->downconvert = -1;
	else if (sv_eqs(name, "received_time_usec") && num_parse(sv_sub(value, 1, value.len), 0, 999999, &n))
		m->received_us += n;
	else if (sv_eqs(name, "received_time_complete"))
		m->complete_us = seconds_us(value);
	else if (sv_eqs(name, "aclm") || sv_eqs(name, "aclc"))
		read_var(m, name.p[3], value, rest);
	else if (sv_eqs(name, "deliver_firsttime"))
		m->tried = false;
	else if (sv_eqs(name, "interface_address"))
		read_end(value, &m->interface, &m->interface_port);
	else if (sv_eqs(name, "host_address"))
		read_end(value, &m->host_addr, &m->host_port);
	else if (sv_eqs(name, "dsn_ret")) {
		m->ret_set = true;
		m->ret_hdrs = n == 2;
	} else if (!sv_starts(name, "allow_unqualified_") && !sv_eqs(name, "tls_resumption") && m->others.len < OTHERS_MAX)
		vec_push(&m->others, whole);
}

/* Each node says which of its two sides follow: "YN address". */
static bool
read_tree(struct dmsg *m, struct sv line, struct sv *rest)
{
	size_t open = sv_eqs(line, "XX") ? 0 : 1;

	while (open > 0) {
		if (line.len < 3 || strchr("YN", line.p[0]) == NULL || strchr("YN", line.p[1]) == NULL || line.p[2] != ' ')
			return (false);
		vec_push(&m->done, sv_sub(line, 3, line.len));
		open = open - 1 + (line.p[0] == 'Y') + (line.p[1] == 'Y');
		if (open > 0 && !sv_next(rest, '\n', &line))
			return (false);
	}
	return (true);
}

/* What one_time noted: "LENGTH,PARENT". */
static void
read_parent(struct drcpt *r, struct sv errors_to, struct sv numbers)
{
	ptrdiff_t comma = sv_chr(numbers, ',');
	int64_t n;

	r->errors_to = errors_to;
	if (comma >= 0 && num_parse(sv_sub(numbers, (size_t)comma + 1, numbers.len), 0, SPOOL_RCPT_MAX, &n))
		r->parent = (int)n;
}

/* "ADDRESS ERRORS-TO LENGTH,PARENT#1"; false: it is none. */
static bool
read_once(struct drcpt *r, struct sv line)
{
	struct sv rest = sv_sub(line, 0, line.len - 2), numbers;
	ptrdiff_t blank = sv_rchr(rest, ' ');

	if (blank < 0)
		return (false);
	numbers = sv_sub(rest, (size_t)blank + 1, rest.len);
	rest = sv_sub(rest, 0, (size_t)blank);
	if ((blank = sv_rchr(rest, ' ')) < 0)
		return (false);
	r->addr = sv_sub(rest, 0, (size_t)blank);
	read_parent(r, sv_sub(rest, (size_t)blank + 1, rest.len), numbers);
	return (true);
}

/* "ADDRESS ORCPT LENGTH,FLAGS ERRORS-TO LENGTH,PARENT#3" */
static void
read_dsn(struct drcpt *r, struct sv line)
{
	struct sv part[5], rest = sv_sub(line, 0, line.len - 2);
	ptrdiff_t blank, comma;
	int64_t n;

	for (int i = 4; i > 0; i--) {
		if ((blank = sv_rchr(rest, ' ')) < 0)
			return;
		part[i] = sv_sub(rest, (size_t)blank + 1, rest.len);
		rest = sv_sub(rest, 0, (size_t)blank);
	}
	r->addr = rest;
	read_parent(r, part[3], part[4]);
	r->orcpt = part[1];
	if ((comma = sv_chr(part[2], ',')) >= 0 && num_parse(sv_sub(part[2], (size_t)comma + 1, part[2].len), 0, 15, &n))
		r->notify = (unsigned)n;
}

static bool
read_rcpts(struct dmsg *m, struct sv *rest)
{
	struct sv line;
	int64_t n;

	if (!sv_next(rest, '\n', &line) || !num_parse(line, 0, SPOOL_RCPT_MAX, &n))
		return (false);
	for (int64_t i = 0; i < n; i++) {
		struct drcpt r = { .parent = -1 };

		if (!sv_next(rest, '\n', &line))
			return (false);
		r.addr = line;
		if (sv_ends(line, "#3"))
			read_dsn(&r, line);
		else if (sv_ends(line, "#1") && !read_once(&r, line))
			return (false);
		vec_push(&m->rcpts, r);
	}
	return (true);
}

static bool
read_fields(struct dmsg *m, struct sv rest)
{
	while (rest.len > 5) {
		struct dfield f;
		int64_t n;
		size_t k = 0;

		while (k < rest.len && sv_isdigit(rest.p[k]))
			k++;
		if (!num_parse(sv_sub(rest, 0, k), 0, INT32_MAX, &n) || k + 2 + (size_t)n > rest.len)
			return (false);
		f.type = rest.p[k];
		f.text = sv_sub(rest, k + 2, k + 2 + (size_t)n);
		vec_push(&m->fields, f);
		rest = sv_sub(rest, k + 2 + (size_t)n, rest.len);
	}
	return (true);
}

int
dspool_parse(struct dmsg *m, struct sv text, struct err *err)
{
	struct sv rest = text, line, word;
	int64_t n;

	if (!sv_next(&rest, '\n', &line) || !sv_next(&rest, '\n', &line))
		return (err_set(err, ERR_CONFIG, NULL, "spool file %s-H is damaged", m->id));
	(void)sv_word(&line, &m->login);
	if (sv_word(&line, &word))
		(void)num_parse(word, 0, UINT32_MAX, &m->uid);
	if (sv_word(&line, &word))
		(void)num_parse(word, 0, UINT32_MAX, &m->gid);
	if (!sv_next(&rest, '\n', &line) || line.len < 2)
		return (err_set(err, ERR_CONFIG, NULL, "spool file %s-H is damaged", m->id));
	m->sender = sv_sub(line, 1, line.len - 1);
	(void)sv_next(&rest, '\n', &line);
	if (sv_word(&line, &word) && num_parse(word, 0, INT32_MAX, &n))
		m->received_us = n * 1000000;
	if (sv_word(&line, &word) && num_parse(word, 0, INT32_MAX, &n))
		m->warnings = (int)n;
	m->tried = true;
	while (sv_next(&rest, '\n', &line) && line.len > 0 && line.p[0] == '-')
		read_option(m, line, &rest);
	if (!read_tree(m, line, &rest) || !read_rcpts(m, &rest) || !sv_next(&rest, '\n', &line) || !read_fields(m, rest))
		return (err_set(err, ERR_CONFIG, NULL, "spool file %s-H is damaged", m->id));
	return (0);
}
