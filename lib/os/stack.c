/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fiber stacks: address space with a guard page, of which only touched pages cost
 * memory.  The annotations let AddressSanitizer follow the switches and let
 * LeakSanitizer find pointers that live on parked stacks.
 */
#include <sys/mman.h>

#include <stdint.h>
#include <unistd.h>

#include "os/stack.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define OS_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define OS_ASAN 1
#endif

#ifdef OS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#define STACK_SIZE	((size_t)1024 * 1024)
#else
#define STACK_SIZE	((size_t)256 * 1024)
#endif

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
/* FreeBSD's MAP_STACK means a stack that grows by itself: not what is meant here. */
#ifdef __linux__
#define STACK_FLAGS	(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK)
#else
#define STACK_FLAGS	(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
#endif

static size_t
page_size(void)
{
	static size_t page;

	if (page == 0)
		page = (size_t)sysconf(_SC_PAGESIZE);
	return (page);
}

bool
os_sanitized(void)
{
#ifdef OS_ASAN
	return (true);
#else
	return (false);
#endif
}

size_t
os_stack_size(void)
{
	return (STACK_SIZE);
}

int
os_stack_alloc(struct os_stack *s)
{
	size_t page = page_size();
	char *p;

	p = mmap(NULL, STACK_SIZE + page, PROT_READ | PROT_WRITE, STACK_FLAGS, -1, 0);
	if (p == MAP_FAILED)
		return (-1);
	if (mprotect(p, page, PROT_NONE) == -1) {
		(void)munmap(p, STACK_SIZE + page);
		return (-1);
	}
	s->base = p + page;
	s->size = STACK_SIZE;
#ifdef OS_ASAN
	__lsan_register_root_region(s->base, s->size);
#endif
	return (0);
}

void
os_stack_free(struct os_stack *s)
{
	size_t page = page_size();

	if (s->base == NULL)
		return;
#ifdef OS_ASAN
	__lsan_unregister_root_region(s->base, s->size);
	__asan_unpoison_memory_region(s->base, s->size);
#endif
	(void)munmap(s->base - page, s->size + page);
	s->base = NULL;
}

void
os_stack_trim(const struct os_stack *s, const void *sp)
{
	uintptr_t end = (uintptr_t)sp & ~(uintptr_t)(page_size() - 1);

	/* <sp> is a frame's upper end: its locals and the ABI's red zone lie below. */
	if (end > (uintptr_t)sp - 512)
		end -= page_size();
	if (end > (uintptr_t)s->base)
		(void)madvise(s->base, end - (uintptr_t)s->base, MADV_DONTNEED);
}

void
os_stack_leave(void **save, const void *to_base, size_t to_size)
{
#ifdef OS_ASAN
	__sanitizer_start_switch_fiber(save, to_base, to_size);
#else
	(void)save;
	(void)to_base;
	(void)to_size;
#endif
}

void
os_stack_entered(void *save, const void **from_base, size_t *from_size)
{
#ifdef OS_ASAN
	__sanitizer_finish_switch_fiber(save, from_base, from_size);
#else
	(void)save;
	(void)from_base;
	(void)from_size;
#endif
}
