/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared libraries that are loaded when they are first needed, so that a program whose configuration
 * asks for no database starts without the libraries of all of them, and runs where they are not installed.
 */
#ifndef VPOST_OS_LIBRARY_H
#define VPOST_OS_LIBRARY_H

#include <stddef.h>

#include "base/err.h"

struct os_symbol {
	const char	*name;
	void		**at;		/* gets the function's address */
};

/*
 * Load the first of <sonames> (NULL-terminated) that is there and fill all <symbols>.  It stays loaded.  -1 and *<err> (TEMP)
 * when there is none or it lacks a symbol.
 */
int	 os_library_load(const char *const *sonames, const struct os_symbol *symbols, size_t n, struct err *err);

#endif
