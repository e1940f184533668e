/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs and results as fields: one table says what there is, both directions come from it.  A field
 * that has its zero value is not sent.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/vec.h"
#include "transport/job.h"

#define TAG_VERSION	1
#define TAG_FIRST	2

enum kind { NUMBER, STRING, LIST };
struct field {
	enum kind	 kind;
	size_t		 at;
};

#define N(f)	{ NUMBER, offsetof(struct transport_job, f) },
#define S(f)	{ STRING, offsetof(struct transport_job, f) },
#define L(f)	{ LIST, offsetof(struct transport_job, f) },
static const struct field job_fields[] = { TRANSPORT_JOB_FIELDS(N, S, L) };
#undef N
#undef S
#undef L
#define N(f)	{ NUMBER, offsetof(struct transport_result, f) },
#define S(f)	{ STRING, offsetof(struct transport_result, f) },
#define L(f)	{ LIST, offsetof(struct transport_result, f) },
static const struct field result_fields[] = { TRANSPORT_RESULT_FIELDS(N, S, L) };
#undef N
#undef S
#undef L

#define COUNT(t)	(sizeof(t) / sizeof((t)[0]))
_Static_assert(COUNT(job_fields) + TAG_FIRST < 250, "tags are bytes");

static bool
put(struct sb *frame, const struct field *t, size_t n, const void *base)
{
	ipc_put_u64(frame, TAG_VERSION, TRANSPORT_JOB_VERSION);
	for (size_t i = 0; i < n; i++) {
		const char *p = (const char *)base + t[i].at;
		uint8_t tag = (uint8_t)(TAG_FIRST + i);

		if (t[i].kind == NUMBER) {
			int64_t v;

			memcpy(&v, p, sizeof(v));
			if (v != 0)
				ipc_put_u64(frame, tag, (uint64_t)v);
		} else if (t[i].kind == STRING) {
			const struct sv *v = (const void *)p;

			if (v->len > 0)
				ipc_put_bytes(frame, tag, *v);
		} else {
			const struct transport_list *l = (const void *)p;

			for (size_t k = 0; k < l->n; k++)
				ipc_put_bytes(frame, tag, l->v[k]);
		}
	}
	return (!frame->overflow);
}

static bool
get(const struct ipc_msg *m, const struct field *t, size_t n, struct arena *a, void *base)
{
	size_t counts[COUNT(job_fields)] = { 0 }, pos = 0;
	struct ipc_field f;

	if (ipc_get_u64(m, TAG_VERSION, 0) != TRANSPORT_JOB_VERSION)
		return (false);
	while (ipc_next(m, &pos, &f)) {
		size_t i = (size_t)f.tag - TAG_FIRST;

		if (f.tag < TAG_FIRST || i >= n)
			continue;
		if ((f.kind == IPC_U64) != (t[i].kind == NUMBER))
			return (false);
		counts[i]++;
		if (counts[i] > (t[i].kind == LIST ? TRANSPORT_LIST_MAX : 1))
			return (false);
	}
	for (size_t i = 0; i < n; i++)
		if (t[i].kind == LIST && counts[i] > 0) {
			struct transport_list *l = (void *)((char *)base + t[i].at);

			l->v = arena_alloc(a, counts[i] * sizeof(*l->v));
		}
	pos = 0;
	while (ipc_next(m, &pos, &f)) {
		size_t i = (size_t)f.tag - TAG_FIRST;
		char *p;

		if (f.tag < TAG_FIRST || i >= n)
			continue;
		p = (char *)base + t[i].at;
		if (t[i].kind == NUMBER) {
			int64_t v = (int64_t)f.u64;

			memcpy(p, &v, sizeof(v));
		} else if (t[i].kind == STRING)
			memcpy(p, &f.bytes, sizeof(f.bytes));
		else {
			struct transport_list *l = (void *)p;

			l->v[l->n++] = f.bytes;
		}
	}
	return (true);
}

bool
transport_job_put(struct sb *frame, const struct transport_job *j)
{
	return (put(frame, job_fields, COUNT(job_fields), j));
}

bool
transport_result_put(struct sb *frame, const struct transport_result *r)
{
	return (put(frame, result_fields, COUNT(result_fields), r));
}

bool
transport_job_get(const struct ipc_msg *m, struct arena *a, struct transport_job *j)
{
	memset(j, 0, sizeof(*j));
	return (get(m, job_fields, COUNT(job_fields), a, j));
}

bool
transport_result_get(const struct ipc_msg *m, struct arena *a, struct transport_result *r)
{
	memset(r, 0, sizeof(*r));
	if (!get(m, result_fields, COUNT(result_fields), a, r))
		return (false);
	return (r->status >= TRANSPORT_OK && r->status <= TRANSPORT_FAIL);
}

int
transport_fail(struct transport_result *r, struct arena *a, enum transport_status st, int64_t sys, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* One line: it goes to logs. */
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	r->status = st;
	r->sys = sys;
	r->text = sv_cstr(arena_str(a, text));
	return (-1);
}
