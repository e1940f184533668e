/* SPDX-License-Identifier: BSD-2-Clause */
/* Stacks for fibers, and what the sanitizers must be told about them. */
#ifndef VPOST_OS_STACK_H
#define VPOST_OS_STACK_H

#include <stdbool.h>
#include <stddef.h>

struct os_stack {
	char	*base;		/* lowest usable byte; a guard page lies below */
	size_t	 size;
};

/* AddressSanitizer is in this build. */
bool	 os_sanitized(void);
size_t	 os_stack_size(void);			/* 256 KiB; 1 MiB under sanitizers */
int	 os_stack_alloc(struct os_stack *s);	/* -1 with errno */
void	 os_stack_free(struct os_stack *s);
/* Give back the pages wholly below <sp>. */
void	 os_stack_trim(const struct os_stack *s, const void *sp);

/* Around a switch; no-ops without AddressSanitizer. */
void	 os_stack_leave(void **save, const void *to_base, size_t to_size);
void	 os_stack_entered(void *save, const void **from_base, size_t *from_size);

#endif
