/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The message of a run: where its header ends, which newlines only fold a field (they are
 * blanks while conditions look at the header), what Content-Length: says, and how it is written out.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "filter/procmail_int.h"

/* In a header with a NUL, line by line. */
static size_t
find_length(const struct pm_mail *m)
{
	struct sv head = sv_from(m->p, m->body), line;

	while (sv_next(&head, '\n', &line))
		if (sv_casestarts(line, "Content-Length:"))
			return ((size_t)(line.p - m->p) + strlen("Content-Length:"));
	return (0);
}

/* A newline that does not fold: for searches that begin with a line. */
static void
add_line(struct pm_mail *m, size_t nl)
{
	vec_push(&m->nl, (uint32_t)nl);
	vec_push(&m->first, (uint8_t)m->p[nl + 1]);
}

/* Does Content-Length: stand here?  The first one counts. */
static void
look_for_length(struct pm_mail *m, size_t i)
{
	if ((m->p[i] | 0x20) == 'c' && m->clen == 0 && sv_casestarts(sv_from(m->p + i, m->len - i), "Content-Length:"))
		m->clen = i + strlen("Content-Length:");
}

/* Up to the empty line, and no further than a C string reaches; false: there is none. */
static bool
scan_header(struct pm *pm)
{
	struct pm_mail *m = &pm->mail;
	const char *nl, *nul, *end = m->p + m->len;
	size_t i = 0;

	vec_clear(&m->folds);
	vec_clear(&m->nl);
	vec_clear(&m->first);
	m->joined = false;
	m->clen = 0;
	m->body = m->len;
	while (i < m->len && m->p[i++] == '\n')
		add_line(m, i - 1);
	m->start = i;
	if (i > 0)
		look_for_length(m, i - 1);
	if ((nul = memchr(m->p + i, '\0', m->len - i)) != NULL)
		end = nul;
	while ((nl = memchr(m->p + i, '\n', (size_t)(end - m->p) - i)) != NULL) {
		i = (size_t)(nl - m->p) + 1;
		if (i < m->len && (m->p[i] == ' ' || m->p[i] == '\t')) {
			vec_push(&m->folds, i - 1);
			continue;
		}
		add_line(m, i - 1);
		if (i < m->len && m->p[i] == '\n') {
			m->body = i + 1;
			add_line(m, i);
			break;
		}
		look_for_length(m, i);
	}
	m->indexed = m->body <= UINT32_MAX && (nl != NULL || nul == NULL);
	if (nl != NULL)
		m->first.p[m->first.len - 1] = '\0';
	if (!m->indexed)
		m->clen = find_length(m);
	m->lines = (struct procmail_lines){ .nl = m->nl.p, .first = m->first.p, .n = m->nl.len };
	procmail_lines_done(&m->lines);
	if (pm->o->berkeley)
		m->clen = 0;
	m->ended = nl != NULL;
	return (m->ended);
}

/* Make Content-Length: tell the truth where its digits have room for it, and find what need not be escaped. */
static void
fix_length(struct pm_mail *m)
{
	size_t places = 0, room, real = m->len - m->body, skip = 0;
	char num[32];

	m->rest = m->body > 0 ? m->body - 1 : 0;
	if (m->clen == 0)
		return;
	if (m->len > 1 && m->p[m->len - 2] == '\n' && real > 0)
		real--;
	for (room = m->clen; room < m->len && m->p[room] != '\n' && m->p[room] != '\0'; room++) {
		if (places < 20) {
			m->p[room] = '9';
			skip = places < 18 ? skip * 10 + 9 : skip;
			places++;
		} else
			m->p[room] = ' ';
	}
	(void)snprintf(num, sizeof(num), "%*zu", (int)places, real);
	if (strlen(num) == places) {
		memcpy(m->p + m->clen, num, places);
		skip = real;
	}
	m->rest = skip > m->len - m->body ? m->len : m->body + skip;
}

static void
reserve(struct pm_mail *m, size_t n)
{
	if (n + 1 <= m->cap)
		return;
	m->cap = n + 1 + n / 8;
	m->p = xrealloc(m->p, m->cap);
}

void
pm_mail_set(struct pm *pm, struct sv text)
{
	struct pm_mail *m = &pm->mail;

	/* It does not move when the rest comes. */
	reserve(m, text.len + (pm->o->body != NULL ? pm->o->body_max : 0));
	if (text.len > 0)
		memcpy(m->p, text.p, text.len);
	m->len = text.len;
	m->p[m->len] = '\0';
	m->lacks = pm->o->body != NULL;
	m->read = true;
	/* Where the header ends must not hang on what follows, and its length must not be told. */
	if (!scan_header(pm) && m->lacks)
		pm_mail_whole(pm);
	else if (m->lacks && m->clen != 0)
		pm_mail_whole(pm);
	else
		fix_length(m);
}

void
pm_mail_whole(struct pm *pm)
{
	struct pm_mail *m = &pm->mail;
	struct sv body;

	if (!m->lacks)
		return;
	m->lacks = false;
	body = pm->o->body(pm->o->body_arg);
	if (body.p == NULL) {
		pm_nlog(pm, "Couldn't read the message\n");
		pm->retval = EX_TEMPFAIL;
		pm->pending = PM_HOST;
		pm->signal_end = true;
		return;
	}
	/* All that an action was to get before is more now: there is room, nothing moves. */
	if (pm->part.p != NULL && pm->part.p + pm->part.len == m->p + m->len)
		pm->part.len += body.len;
	reserve(m, m->len + body.len);
	memcpy(m->p + m->len, body.p, body.len);
	m->len += body.len;
	m->p[m->len] = '\0';
	if (!m->ended) {
		pm_mail_join(m, false);
		(void)scan_header(pm);
	}
	fix_length(m);
}

void
pm_mail_replace(struct pm *pm, size_t from, size_t to, struct sv text)
{
	struct pm_mail *m = &pm->mail;
	bool header = from == 0;

	m->changed = true;
	pm_mail_join(m, false);
	reserve(m, m->len - (to - from) + text.len);
	memmove(m->p + from + text.len, m->p + to, m->len - to);
	if (text.len > 0)
		memcpy(m->p + from, text.p, text.len);
	m->len = m->len - (to - from) + text.len;
	m->p[m->len] = '\0';
	if (header)
		(void)scan_header(pm);
	fix_length(m);
}

void
pm_mail_join(struct pm_mail *m, bool on)
{
	if (m->joined == on)
		return;
	m->joined = on;
	for (size_t i = 0; i < m->folds.len; i++)
		m->p[m->folds.p[i]] = on ? ' ' : '\n';
}

void
pm_mail_free(struct pm_mail *m)
{
	free(m->p);
	vec_free(&m->folds);
	vec_free(&m->nl);
	vec_free(&m->first);
	memset(m, 0, sizeof(*m));
}

/* --- writing ------------------------------------------------------------------ */

/* The next "\nFrom " in [from, to), as far as a C string reaches; NULL. */
static const char *
find_from(const char *from, const char *to)
{
	static const char mark[] = "\nFrom ";
	const char *nul, *p;

	if (from >= to)
		return (NULL);
	nul = memchr(from, '\0', (size_t)(to - from));
	if (nul != NULL)
		to = nul;
	while ((size_t)(to - from) >= sizeof(mark) - 1 &&
	    (p = memchr(from, '\n', (size_t)(to - from) - (sizeof(mark) - 2))) != NULL) {
		if (memcmp(p, mark, sizeof(mark) - 1) == 0)
			return (p);
		from = p + 1;
	}
	return (NULL);
}

/* Where, from <at> on, a line must be escaped: its newline, or NULL. */
static const char *
next_escape(const struct pm_mail *m, const char *at, const char *end)
{
	const char *hit = NULL, *body = m->p + m->body, *start = m->p + m->start, *rest = m->p + m->rest;

	if (at < body)
		hit = find_from(at > start ? at : start, body);
	if (hit == NULL && end > rest)
		hit = find_from(at > rest ? at : rest, end);
	return (hit != NULL && hit < end ? hit : NULL);
}

size_t
pm_mail_dump(const struct pm *pm, struct sv part, struct pm_dump d, struct sb *out)
{
	const char *p = part.p, *end = part.p + part.len, *hit;
	bool own = part.p >= pm->mail.p && part.p <= pm->mail.p + pm->mail.len;
	size_t from = out->len, n;

	while (d.escape && own && (hit = next_escape(&pm->mail, p, end)) != NULL) {
		sb_addn(out, p, (size_t)(hit + 1 - p));
		sb_addc(out, '>');
		p = hit + 1;
	}
	sb_addn(out, p, (size_t)(end - p));
	n = out->len - from;
	if (d.blank && (n < 2 || out->p[out->len - 1] != '\n' || out->p[out->len - 2] != '\n')) {
		sb_addc(out, '\n');
		n++;
	}
	return (n);
}

/* --- the "From " line ----------------------------------------------------------- */

size_t
pm_mail_skip_from(struct sv text)
{
	size_t i = 0;

	if (!sv_starts(text, "From "))
		return (0);
	do {
		while (i < text.len && text.p[i] != '\n')
			i++;
		if (i < text.len)
			i++;
	} while (i < text.len && text.p[i] == '>');
	return (i);
}

/* How much of "From ADDRESS DATE\n" stays when the date is made anew. */
static size_t
before_stamp(struct sv line)
{
	size_t i = strlen("From "), stamp = line.len;

	while (i < line.len && (line.p[i] == ' ' || line.p[i] == '\t'))
		i++;
	while (i < line.len && strchr(" \t\n", line.p[i]) == NULL)
		i++;
	for (size_t k = line.len >= 25 ? line.len - 25 : 0; k > i; k--)
		if (k + 16 < line.len && line.p[k + 13] == ':' && line.p[k + 16] == ':') {
			stamp = k;
			break;
		}
	if (stamp == line.len)
		return (i);
	while (stamp > i && line.p[stamp] != ' ' && line.p[stamp] != '\t')
		stamp--;
	while (stamp > i && (line.p[stamp - 1] == ' ' || line.p[stamp - 1] == '\t'))
		stamp--;
	return (stamp);
}

void
pm_mail_from(const struct procmail *p, struct sv in, struct sb *out)
{
	bool renew = p->from != NULL && strcmp(p->from, "-") == 0;
	char date[32];
	time_t now = time(NULL);
	struct sv line;
	size_t n;

	if (!p->deliver && p->from == NULL) {
		sb_add(out, in);
		return;
	}
	while (in.len > 0 && in.p[0] == '\n')
		in = sv_sub(in, 1, in.len);
	if (!sv_starts(in, "From ")) {
		sb_addf(out, "From %s  %s", p->from == NULL || renew ? p->invoker : p->from, ctime_r(&now, date));
		sb_add(out, in);
		return;
	}
	n = sv_chr(in, '\n') < 0 ? in.len : (size_t)sv_chr(in, '\n') + 1;
	line = sv_sub(in, 0, n);
	if (renew) {
		sb_add(out, sv_sub(line, 0, before_stamp(line)));
		sb_addf(out, "  %s", ctime_r(&now, date));
	} else if (p->from != NULL)
		sb_addf(out, "From %s  %s", p->from, ctime_r(&now, date));
	else
		sb_add(out, line);
	sb_add(out, sv_sub(in, n, in.len));
}
