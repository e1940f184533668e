/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of lib/mbox share. */
#ifndef VPOST_MBOX_MBOX_INT_H
#define VPOST_MBOX_MBOX_INT_H

#include <stdarg.h>

#include "mbox/content.h"

/* Fill <r> and <err> and return -1: a temporary failure, with ": strerror" where <why> is MBOX_WHY_ERRNO; errno becomes <sys>. */
int	 mbox_fail(struct mbox_result *r, struct err *err, enum mbox_why why, int sys, const char *fmt, ...)
	     __attribute__((format(printf, 5, 6)));

#endif
