/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regular expressions by PCRE2, compiled for its JIT, with limits on matching so that
 * neither a pattern nor a subject of a peer can hold the process.  Bytes, not characters, as
 * in Exim.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "exim/expand_int.h"

#include <stdio.h>
#include <stdlib.h>

/* Backtracking steps (the interpreter's count; the JIT's is coarser) and heap. */
#define MATCH_LIMIT	2000000
/* (Of users' filters: exim_env's match_limit.) */
#define DEPTH_LIMIT	100000
#define HEAP_LIMIT	20000		/* KiB */
#define PATTERN_MAX	65536

struct xregex {
	pcre2_code	*code;
	bool		 jit;
};

/* One per process: matching does not park. */
static pcre2_match_data *match_data;
static pcre2_match_context *match_context;
static uint32_t match_limit = MATCH_LIMIT;	/* that is set in it */

static bool
init(void)
{
	if (match_data == NULL)
		match_data = pcre2_match_data_create(EXIM_NUMS, NULL);
	if (match_context == NULL && (match_context = pcre2_match_context_create(NULL)) != NULL) {
		(void)pcre2_set_match_limit(match_context, MATCH_LIMIT);
		(void)pcre2_set_depth_limit(match_context, DEPTH_LIMIT);
		(void)pcre2_set_heap_limit(match_context, HEAP_LIMIT);
	}
	return (match_data != NULL && match_context != NULL);
}

struct xregex *
x_regex_new(struct sv pattern, unsigned flags, char why[256])
{
	struct xregex *r;
	pcre2_code *code;
	PCRE2_SIZE at = 0;
	char text[200];
	int rc = 0;

	if (!init() || pattern.len > PATTERN_MAX) {
		(void)snprintf(why, 256, "the pattern is too long");
		return (NULL);
	}
	code = pcre2_compile((PCRE2_SPTR)(pattern.p == NULL ? "" : pattern.p), pattern.len,
	    (flags & XRE_CASELESS) != 0 ? PCRE2_CASELESS : 0, &rc, &at, NULL);
	if (code == NULL) {
		(void)pcre2_get_error_message(rc, (PCRE2_UCHAR *)text, sizeof(text));
		(void)snprintf(why, 256, "%s at offset %zu", text, (size_t)at);
		return (NULL);
	}
	r = xcalloc(1, sizeof(*r));
	r->code = code;
	r->jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
	return (r);
}

void
x_regex_free(struct xregex *r)
{
	if (r == NULL)
		return;
	pcre2_code_free(r->code);
	free(r);
}

struct xregex *
x_regex_get(struct xev *e, struct sv pattern, unsigned flags, struct xregex_ref *ref, char why[256])
{
	struct exim_caches *c = e->env->caches;
	struct xregex *r;

	if (c == NULL)
		return (x_regex_new(pattern, flags, why));
	if (ref != NULL && ref->gen == x_cache_regex_gen(c)) {
		x_cache_regex_use(c, 1);
		return (ref->re);
	}
	r = x_cache_regex(c, pattern, flags, why);
	if (r != NULL)
		x_cache_regex_use(c, 1);
	if (r != NULL && ref != NULL) {
		ref->re = r;
		ref->gen = x_cache_regex_gen(c);
	}
	return (r);
}

void
x_regex_put(struct xev *e, struct xregex *r)
{
	if (e->env->caches == NULL)
		x_regex_free(r);
	else if (r != NULL)
		x_cache_regex_use(e->env->caches, -1);
}

void
x_nums_set(struct xev *e, const struct exim_nums *nums)
{
	struct exim_nums *keep = arena_alloc(e->env->arena, sizeof(*keep));

	keep->n = nums->n;
	memcpy(keep->v, nums->v, nums->n * sizeof(nums->v[0]));
	e->env->nums = keep;
}

static void
set_nums(struct exim_nums *nums, struct sv subject, int n)
{
	PCRE2_SIZE *o = pcre2_get_ovector_pointer(match_data);

	nums->n = n <= 0 || n > EXIM_NUMS ? EXIM_NUMS : (unsigned)n;
	for (unsigned i = 0; i < nums->n; i++) {
		if (o[2 * i] == PCRE2_UNSET || o[2 * i] > o[2 * i + 1]) {
			nums->v[i] = SV_NULL;
			continue;
		}
		nums->v[i] = (struct sv){ subject.p + o[2 * i], o[2 * i + 1] - o[2 * i], subject.tainted };
	}
}

int
x_regex_match(struct xev *e, const struct xregex *r, struct sv subject, size_t from, unsigned flags, struct exim_nums *nums,
    size_t span[2])
{
	unsigned opt = (flags & XRE_NOTEMPTY) != 0 ? PCRE2_NOTEMPTY | PCRE2_ANCHORED : 0;
	uint32_t limit = e->env->match_limit == 0 ? MATCH_LIMIT : e->env->match_limit;
	PCRE2_SIZE *o;
	int rc;

	if (limit != match_limit)
		(void)pcre2_set_match_limit(match_context, match_limit = limit);
	if (subject.p == NULL)
		subject.p = "";
	if (from > subject.len)
		return (0);
	rc = pcre2_match(r->code, (PCRE2_SPTR)subject.p, subject.len, from, opt, match_data, match_context);
	if (rc == PCRE2_ERROR_NOMATCH)
		return (0);
	if (rc < 0) {
		char why[120];

		(void)pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof(why));
		(void)x_fail(e, EXIM_REGEX_FAILED ": %s", why);
		return (-1);
	}
	o = pcre2_get_ovector_pointer(match_data);
	if (nums != NULL)
		set_nums(nums, subject, rc);
	if (span != NULL) {
		span[0] = o[0];
		span[1] = o[1];
	}
	return (1);
}

int
exim_regex_match(struct exim_env *env, struct sv subject, struct sv pattern, bool caseless, struct exim_nums *nums,
    char why[256])
{
	struct err err = ERR_INIT;
	struct xev e = { .env = env, .err = &err };
	struct xregex *r = x_regex_get(&e, pattern, caseless ? XRE_CASELESS : 0, NULL, why);
	int rc;

	if (r == NULL)
		return (-1);
	rc = x_regex_match(&e, r, subject, 0, 0, nums, NULL);
	x_regex_put(&e, r);
	if (rc < 0)
		(void)snprintf(why, 256, "%.255s", err.text);
	return (rc);
}
