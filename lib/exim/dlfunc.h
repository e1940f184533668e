/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ${dlfunc (manual 11.5): functions of shared objects.  Each call has a process of its own, which loads the object, calls the
 * function and ends: neither its crashes nor what it leaves behind are ours.
 */
#ifndef VPOST_EXIM_DLFUNC_H
#define VPOST_EXIM_DLFUNC_H

#include "exim/env.h"

/*
 * For struct exim_world's dlfunc.  EXIM_OK and the function's text in *<out>, or EXIM_FORCED or EXIM_FAIL and what went wrong.
 * It may take a minute.
 */
enum exim_result x_dlfunc(struct exim_env *env, const char *path, const char *function, const struct sv *args, size_t n,
		     struct sv *out);

#endif
