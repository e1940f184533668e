/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared memory: see shared.h. */
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/file.h"
#include "os/shared.h"

static int
anonymous(void)
{
#ifdef MFD_ALLOW_SEALING
	return (memfd_create("vpost", MFD_CLOEXEC | MFD_ALLOW_SEALING));
#else
	int fd = shm_open(SHM_ANON, O_RDWR, 0600);

	if (fd != -1)
		(void)os_cloexec(fd, true);
	return (fd);
#endif
}

static int
seal(int fd)
{
#ifdef F_SEAL_SHRINK
	return (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
#else
	(void)fd;
	return (0);
#endif
}

void *
os_shared_map(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return (p == MAP_FAILED ? NULL : p);
}

void
os_shared_unmap(void *map, size_t size)
{
	if (map != NULL)
		(void)munmap(map, size);
}

int
os_shared_new(size_t size, void **map)
{
	int fd = anonymous(), e;

	if (fd == -1)
		return (-1);
	if (ftruncate(fd, (off_t)size) == 0 && seal(fd) == 0 && (*map = os_shared_map(fd, size)) != NULL)
		return (fd);
	e = errno;
	(void)close(fd);
	errno = e;
	return (-1);
}

#ifdef F_SEAL_WRITE
#define SEALS	(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#endif

int
os_sealed_new(const void *p, size_t n)
{
#ifdef SEALS
	int fd = anonymous(), e;

	if (fd == -1)
		return (-1);
	errno = ENOSPC;
	if (os_write_full(fd, p, n) == (ssize_t)n && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
		return (fd);
	e = errno;
	(void)close(fd);
	errno = e;
#else
	(void)p;
	(void)n;
	errno = ENOSYS;
#endif
	return (-1);
}

int64_t
os_sealed_size(int fd)
{
#ifdef SEALS
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	/* Only memory has seals. */
	if (seals != -1 && (seals & SEALS) == SEALS && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return ((int64_t)st.st_size);
#else
	(void)fd;
#endif
	return (-1);
}
