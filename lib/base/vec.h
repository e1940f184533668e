/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A growing array of any type on the heap:
 *
 *	VEC(struct foo) v = VEC_INIT;
 *	vec_push(&v, foo);
 *	for (size_t i = 0; i < v.len; i++) use(&v.p[i]);
 *	vec_free(&v);
 */
#ifndef VPOST_BASE_VEC_H
#define VPOST_BASE_VEC_H

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define VEC(type)	struct { type *p; size_t len, cap; }
#define VEC_INIT	{ NULL, 0, 0 }

#define vec_reserve(v, n) do {						\
	if ((n) > (v)->cap) {						\
		size_t vec_c_ = (v)->cap == 0 ? 8 : (v)->cap * 2;	\
		if (vec_c_ < (size_t)(n))				\
			vec_c_ = (n);					\
		(v)->p = xreallocarray((v)->p, vec_c_, sizeof(*(v)->p));\
		(v)->cap = vec_c_;					\
	}								\
} while (0)

#define vec_push(v, x) do {						\
	vec_reserve((v), (v)->len + 1);					\
	(v)->p[(v)->len++] = (x);					\
} while (0)

/* Remove element <i>, keeping the order. */
#define vec_remove(v, i) do {						\
	size_t vec_i_ = (i);						\
	memmove(&(v)->p[vec_i_], &(v)->p[vec_i_ + 1],			\
	    ((v)->len - vec_i_ - 1) * sizeof(*(v)->p));			\
	(v)->len--;							\
} while (0)

#define vec_clear(v)	((void)((v)->len = 0))
#define vec_free(v) do {						\
	free((v)->p);							\
	(v)->p = NULL;							\
	(v)->len = (v)->cap = 0;					\
} while (0)

#endif
