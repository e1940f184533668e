/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that two processes share without being related: a descriptor that can be passed. */
#ifndef VPOST_OS_SHARED_H
#define VPOST_OS_SHARED_H

#include <stddef.h>
#include <stdint.h>

/*
 * <size> zeroed bytes at *<map>, and a close-on-exec descriptor for the other process, or -1 with errno.  Nobody who has the
 * descriptor can make the memory smaller, where the system knows seals.
 */
int	 os_shared_new(size_t size, void **map);
/* The memory behind a descriptor that was passed to us; NULL with errno.  It may be made smaller by him who passed it. */
void	*os_shared_map(int fd, size_t size);
void	 os_shared_unmap(void *map, size_t size);

/* A close-on-exec descriptor of a copy of <n> bytes that nobody can change any more; -1 with errno. */
int	 os_sealed_new(const void *p, size_t n);
/* Its size; -1 where <fd> is none: whoever passed that could change it, or let its reader wait for ever. */
int64_t	 os_sealed_size(int fd);

#endif
