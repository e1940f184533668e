/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LD_PRELOAD shim that makes a power cut testable.  It notes, outside the tree it
 * watches, what each change of a file or directory replaced, and each sync; after the
 * processes are killed crashrestore.py undoes what no sync covered.
 *
 *	SHIM_ROOT	the tree that is watched (absolute)
 *	SHIM_DIR	where notes go: same file system, outside the root; made by `crashrestore.py init`
 *	SHIM_KILL	"CALL:PATTERN:N[:WHO]": at the Nth CALL (of all processes) whose path holds PATTERN,
 *			before it is done, freeze the tree and KILL WHO: "self" or "group" (default).  CALL: write,
 *			truncate, create, unlink, rename, link, mkdir, rmdir, fsync, fdatasync, syncfs, or done-CALL: after it
 *
 * From the moment of the crash ("frozen" in the shared state) every call on the tree blocks,
 * so nothing changes between the first kill and the last.  Syncs do nothing but make a note.
 *
 * The notes (little-endian): u32 length, u32 type, u64 seq, a, b, c, d, u32 n1, n2, then n1 + n2 bytes.
 *	1 WRITE	  a inode, b offset, c old size, d 1: durable by itself; n2: the bytes that were there
 *	2 SIZE	  a inode, c old size, d new size
 *	3 ENTRY	  n1 directory, n2 name, a old inode (0 none), b new inode, c seq of the operation, d 1 old, 2 new is a directory
 *	4 SYNC	  a inode: all before is durable    5 SYNCDIR n1 directory    6 SYNCALL
 *	7 ABORT	  a seq of an operation that failed
 */
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FDS		65536
#define HIGH_FD		900
#define CHUNK		65536

enum { N_WRITE = 1, N_SIZE, N_ENTRY, N_SYNC, N_SYNCDIR, N_SYNCALL, N_ABORT };
enum { FD_UNKNOWN, FD_FOREIGN, FD_FILE, FD_DSYNC, FD_DIR };

struct shared {
	uint64_t	 seq;
	uint32_t	 frozen;
	uint32_t	 hits;		/* of the SHIM_KILL rule */
};

struct note {
	uint32_t	 len, type;
	uint64_t	 seq, a, b, c, d;
	uint32_t	 n1, n2;
};

static struct shared *shared;
static char root[PATH_MAX], dir[PATH_MAX];
static size_t root_len;
static int lock_fd = -1, log_fd = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint8_t fd_state[FDS];
static bool active;

static struct {
	char		 call[32], pattern[256];
	unsigned	 n;
	bool		 group;
} rule;

/* Constructors of other libraries may come here before ours ran. */
#define REAL(name)	(*(real_##name == NULL ? (load_all(), real_##name) : real_##name))
#define DEF(ret, name, ...) static ret (*real_##name)(__VA_ARGS__)
static void	 load_all(void);
DEF(int, openat, int, const char *, int, ...);
DEF(int, close, int);
DEF(int, dup2, int, int);
DEF(int, dup3, int, int, int);
DEF(ssize_t, write, int, const void *, size_t);
DEF(ssize_t, pwrite, int, const void *, size_t, off_t);
DEF(ssize_t, writev, int, const struct iovec *, int);
DEF(ssize_t, pwritev, int, const struct iovec *, int, off_t);
DEF(int, ftruncate, int, off_t);
DEF(int, fallocate, int, int, off_t, off_t);
DEF(int, posix_fallocate, int, off_t, off_t);
DEF(ssize_t, copy_file_range, int, off_t *, int, off_t *, size_t, unsigned);
DEF(ssize_t, sendfile, int, int, off_t *, size_t);
DEF(int, unlinkat, int, const char *, int);
DEF(int, renameat2, int, const char *, int, const char *, unsigned);
DEF(int, linkat, int, const char *, int, const char *, int);
DEF(int, symlinkat, const char *, int, const char *);
DEF(int, mkdirat, int, const char *, mode_t);
DEF(int, fsync, int);
DEF(int, fdatasync, int);
DEF(int, syncfs, int);
DEF(void, sync, void);

static void
load(void *fnp, const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	memcpy(fnp, &p, sizeof(p));
}

static void
load_all(void)
{
#define L(name) load(&real_##name, #name)
	L(openat); L(close); L(dup2); L(dup3); L(write); L(pwrite); L(writev); L(pwritev); L(ftruncate); L(fallocate);
	L(posix_fallocate); L(copy_file_range); L(sendfile); L(unlinkat); L(renameat2); L(linkat); L(symlinkat); L(mkdirat);
	L(fsync); L(fdatasync); L(syncfs); L(sync);
#undef L
}

static int
high(int fd)
{
	int h = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);

	if (h == -1)
		return (fd);
	(void)REAL(close)(fd);
	return (h);
}

static int
open_note(const char *name, int flags)
{
	char path[PATH_MAX + 32];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = REAL(openat)(AT_FDCWD, path, flags | O_CLOEXEC, 0666);
	return (fd == -1 ? -1 : high(fd));
}

static void
before_fork(void)
{
	(void)pthread_mutex_lock(&mutex);
}

static void
after_fork(void)
{
	(void)pthread_mutex_unlock(&mutex);
}

/* A lock of flock(2) belongs to the open file: the child needs one of its own. */
static void
in_child(void)
{
	(void)REAL(close)(lock_fd);
	lock_fd = open_note("lock", O_RDWR);
	(void)pthread_mutex_unlock(&mutex);
}

static void
parse_rule(const char *s)
{
	char who[16] = "group";

	if (s != NULL && sscanf(s, "%31[^:]:%255[^:]:%u:%15s", rule.call, rule.pattern, &rule.n, who) >= 3)
		rule.group = strcmp(who, "self") != 0;
	else
		rule.n = 0;
}

__attribute__((constructor)) static void
start(void)
{
	const char *r = getenv("SHIM_ROOT"), *d = getenv("SHIM_DIR");
	int fd;

	load_all();
	if (r == NULL || d == NULL || realpath(r, root) == NULL || realpath(d, dir) == NULL)
		return;
	root_len = strlen(root);
	lock_fd = open_note("lock", O_RDWR);
	log_fd = open_note("log", O_WRONLY | O_APPEND);
	fd = open_note("state", O_RDWR);
	if (lock_fd == -1 || log_fd == -1 || fd == -1)
		return;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)REAL(close)(fd);
	if (shared == MAP_FAILED)
		return;
	parse_rule(getenv("SHIM_KILL"));
	(void)pthread_atfork(before_fork, after_fork, in_child);
	active = true;
}

/* ---- the critical section ---- */

static void
halt(void)
{
	for (;;)
		(void)pause();
}

static void
enter(void)
{
	(void)pthread_mutex_lock(&mutex);
	while (flock(lock_fd, LOCK_EX) == -1 && errno == EINTR)
		;
	if (__atomic_load_n(&shared->frozen, __ATOMIC_SEQ_CST) != 0)
		halt();		/* holding the lock: everybody else stops too, and all are about to be killed */
}

static void
leave(void)
{
	int e = errno;

	(void)flock(lock_fd, LOCK_UN);
	(void)pthread_mutex_unlock(&mutex);
	errno = e;
}

static void
check_rule(const char *call, const char *path)
{
	if (rule.n == 0 || strcmp(rule.call, call) != 0 || strstr(path, rule.pattern) == NULL || ++shared->hits != rule.n)
		return;
	__atomic_store_n(&shared->frozen, 1, __ATOMIC_SEQ_CST);
	(void)kill(rule.group ? 0 : getpid(), SIGKILL);
	halt();
}

static void
check_done(const char *call, const char *path)
{
	char name[40];

	(void)snprintf(name, sizeof(name), "done-%s", call);
	check_rule(name, path);
}

/* The same for a name in a directory: rules speak of whole paths. */
static void
check_name(const char *call, const char *d, const char *name, bool done)
{
	char path[PATH_MAX + NAME_MAX + 2];

	if (rule.n == 0)
		return;
	(void)snprintf(path, sizeof(path), "%s/%s", d, name);
	if (done)
		check_done(call, path);
	else
		check_rule(call, path);
}

static uint64_t
note(uint32_t type, uint64_t a, uint64_t b, uint64_t c, uint64_t d, const char *s1, const void *s2, size_t n2)
{
	struct note n = { .type = type, .seq = ++shared->seq, .a = a, .b = b, .c = c, .d = d,
	    .n1 = (uint32_t)(s1 == NULL ? 0 : strlen(s1)), .n2 = (uint32_t)n2 };
	struct iovec iov[3] = { { &n, sizeof(n) }, { (void *)(uintptr_t)s1, n.n1 }, { (void *)(uintptr_t)s2, n2 } };

	n.len = (uint32_t)(sizeof(n) + n.n1 + n.n2);
	if (REAL(writev)(log_fd, iov, 3) != (ssize_t)n.len) {
		static const char msg[] = "crashshim: cannot write its log\n";

		(void)!REAL(write)(2, msg, sizeof(msg) - 1);
		abort();
	}
	return (n.seq);
}

/* ---- which descriptors, which paths ---- */

static bool
below(const char *path)
{
	return (strncmp(path, root, root_len) == 0 && (path[root_len] == '/' || path[root_len] == '\0'));
}

static bool
fd_path(int fd, char path[PATH_MAX])
{
	char link[64];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	path[n < 0 ? 0 : n] = '\0';
	return (n > 0);
}

static int
state_of(int fd)
{
	int e = errno, s = FD_FOREIGN, fl;
	char path[PATH_MAX];
	struct stat st;

	if (!active || fd < 0 || fd >= FDS)
		return (FD_FOREIGN);
	if (fd_state[fd] != FD_UNKNOWN)
		return (fd_state[fd]);
	if (fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) && fd_path(fd, path) && below(path)) {
		fl = fcntl(fd, F_GETFL);
		s = S_ISDIR(st.st_mode) ? FD_DIR : (fl & O_DSYNC) != 0 ? FD_DSYNC : FD_FILE;
	}
	fd_state[fd] = (uint8_t)s;
	errno = e;
	return (s);
}

static bool
is_file(int fd)
{
	int s = state_of(fd);

	return (s == FD_FILE || s == FD_DSYNC);
}

static void
forget(int fd)
{
	if (fd >= 0 && fd < FDS)
		fd_state[fd] = FD_UNKNOWN;
}

/* Split <path> at <dfd> into the real path of its directory and the last name.  False: not in the tree. */
static bool
split(int dfd, const char *path, char d[PATH_MAX], char name[NAME_MAX + 1])
{
	char full[PATH_MAX], base[PATH_MAX];
	char *slash;
	size_t n;

	if (!active || path == NULL || *path == '\0')
		return (false);
	if (path[0] == '/')
		(void)snprintf(full, sizeof(full), "%s", path);
	else if (dfd == AT_FDCWD ? getcwd(base, sizeof(base)) != NULL : fd_path(dfd, base)) {
		if ((size_t)snprintf(full, sizeof(full), "%s/%s", base, path) >= sizeof(full))
			return (false);
	} else
		return (false);
	n = strlen(full);
	while (n > 1 && full[n - 1] == '/')
		full[--n] = '\0';
	slash = strrchr(full, '/');
	(void)snprintf(name, NAME_MAX + 1, "%s", slash + 1);
	*(slash == full ? slash + 1 : slash) = '\0';
	return (realpath(full, d) != NULL && below(d));
}

static uint64_t
inode_at(const char *d, const char *name, bool *is_dir)
{
	char path[PATH_MAX + NAME_MAX + 2];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", d, name);
	if (lstat(path, &st) == -1)
		return (0);
	if (is_dir != NULL)
		*is_dir = S_ISDIR(st.st_mode);
	return (st.st_ino);
}

/* Keep the inode behind a name that is about to go, by another name; a sandbox may allow only its own directory. */
static void
keep_inode(const char *d, const char *name, uint64_t ino)
{
	char from[PATH_MAX + NAME_MAX + 2], to[PATH_MAX + 64];

	(void)snprintf(from, sizeof(from), "%s/%s", d, name);
	(void)snprintf(to, sizeof(to), "%s/inode/%llu", dir, (unsigned long long)ino);
	if (REAL(linkat)(AT_FDCWD, from, AT_FDCWD, to, 0) == 0 || errno == EEXIST)
		return;
	(void)snprintf(to, sizeof(to), "%s/.shim.%llu", d, (unsigned long long)ino);
	(void)REAL(linkat)(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- contents ---- */

static bool
all_zero(const char *p, size_t n)
{
	return (n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0));
}

/* Note what bytes [off, off + len) of <fd> are now.  Zeros are not kept: a length says how many. */
static void
note_bytes(int fd, const struct stat *st, off_t off, size_t len, bool durable)
{
	/* Under the lock, so one is enough; stacks may be small. */
	static char buf[CHUNK];

	if (off >= st->st_size || len == 0) {
		(void)note(N_WRITE, st->st_ino, (uint64_t)off, (uint64_t)st->st_size, (durable ? 1U : 0U) | (uint64_t)len << 8, NULL,
		    NULL, 0);
		return;
	}
	while (len > 0) {
		size_t want = len < sizeof(buf) ? len : sizeof(buf);
		ssize_t n = pread(fd, buf, want, off);

		if (n == -1 && errno == EBADF) {
			/* Opened for writing only. */
			char path[64];
			int r;

			(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
			r = REAL(openat)(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
			n = r == -1 ? 0 : pread(r, buf, want, off);
			if (r != -1)
				(void)REAL(close)(r);
		}
		if (n < 0)
			n = 0;
		(void)note(N_WRITE, st->st_ino, (uint64_t)off, (uint64_t)st->st_size, (durable ? 1U : 0U) | (uint64_t)want << 8, NULL,
		    buf, all_zero(buf, (size_t)n) ? 0 : (size_t)n);
		off += (off_t)want;
		len -= want;
	}
}

/* Before a write of <len> bytes at <off> (-1: the file's position, or its end with O_APPEND). */
static void
before_write(int fd, off_t off, size_t len)
{
	char path[PATH_MAX];
	struct stat st;

	enter();
	if (fd_path(fd, path))
		check_rule("write", path);
	if (fstat(fd, &st) == -1)
		return;
	if ((fcntl(fd, F_GETFL) & O_APPEND) != 0)
		off = st.st_size;
	else if (off == -1)
		off = lseek(fd, 0, SEEK_CUR);
	note_bytes(fd, &st, off, len, state_of(fd) == FD_DSYNC);
}

static void
after_write(int fd)
{
	char path[PATH_MAX];
	int e = errno;

	if (rule.n != 0 && fd_path(fd, path))
		check_done("write", path);
	errno = e;
	leave();
}

static size_t
iov_len(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return (sum);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	ssize_t r;

	if (!is_file(fd))
		return (REAL(write)(fd, p, n));
	before_write(fd, -1, n);
	r = REAL(write)(fd, p, n);
	after_write(fd);
	return (r);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t off)
{
	ssize_t r;

	if (!is_file(fd))
		return (REAL(pwrite)(fd, p, n, off));
	before_write(fd, off, n);
	r = REAL(pwrite)(fd, p, n, off);
	after_write(fd);
	return (r);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off_t off)
{
	return (pwrite(fd, p, n, off));
}

ssize_t
writev(int fd, const struct iovec *iov, int n)
{
	ssize_t r;

	if (!is_file(fd))
		return (REAL(writev)(fd, iov, n));
	before_write(fd, -1, iov_len(iov, n));
	r = REAL(writev)(fd, iov, n);
	after_write(fd);
	return (r);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	ssize_t r;

	if (!is_file(fd))
		return (REAL(pwritev)(fd, iov, n, off));
	before_write(fd, off, iov_len(iov, n));
	r = REAL(pwritev)(fd, iov, n, off);
	after_write(fd);
	return (r);
}

ssize_t
pwritev64(int fd, const struct iovec *iov, int n, off_t off)
{
	return (pwritev(fd, iov, n, off));
}

ssize_t
copy_file_range(int in, off_t *inoff, int out, off_t *outoff, size_t n, unsigned flags)
{
	ssize_t r;

	if (!is_file(out))
		return (REAL(copy_file_range)(in, inoff, out, outoff, n, flags));
	before_write(out, outoff == NULL ? -1 : *outoff, n);
	r = REAL(copy_file_range)(in, inoff, out, outoff, n, flags);
	after_write(out);
	return (r);
}

ssize_t
sendfile(int out, int in, off_t *off, size_t n)
{
	ssize_t r;

	if (!is_file(out))
		return (REAL(sendfile)(out, in, off, n));
	before_write(out, -1, n);
	r = REAL(sendfile)(out, in, off, n);
	after_write(out);
	return (r);
}

ssize_t
sendfile64(int out, int in, off_t *off, size_t n)
{
	return (sendfile(out, in, off, n));
}

static void
note_size(int fd, off_t size)
{
	char path[PATH_MAX];
	struct stat st;

	enter();
	if (fd_path(fd, path))
		check_rule("truncate", path);
	if (fstat(fd, &st) == -1)
		return;
	if (size < st.st_size)
		note_bytes(fd, &st, size, (size_t)(st.st_size - size), false);
	(void)note(N_SIZE, st.st_ino, 0, (uint64_t)st.st_size, (uint64_t)size, NULL, NULL, 0);
}

int
ftruncate(int fd, off_t size)
{
	int r;

	if (!is_file(fd))
		return (REAL(ftruncate)(fd, size));
	note_size(fd, size);
	r = REAL(ftruncate)(fd, size);
	leave();
	return (r);
}

int
ftruncate64(int fd, off_t size)
{
	return (ftruncate(fd, size));
}

int
fallocate(int fd, int mode, off_t off, off_t len)
{
	struct stat st;
	int r;

	if (!is_file(fd))
		return (REAL(fallocate)(fd, mode, off, len));
	if (mode != 0) {
		before_write(fd, off, (size_t)len);
	} else {
		off_t end = fstat(fd, &st) == 0 && st.st_size > off + len ? st.st_size : off + len;

		note_size(fd, end);
	}
	r = REAL(fallocate)(fd, mode, off, len);
	leave();
	return (r);
}

int
fallocate64(int fd, int mode, off_t off, off_t len)
{
	return (fallocate(fd, mode, off, len));
}

int
posix_fallocate(int fd, off_t off, off_t len)
{
	struct stat st;
	int r;

	if (!is_file(fd))
		return (REAL(posix_fallocate)(fd, off, len));
	note_size(fd, fstat(fd, &st) == 0 && st.st_size > off + len ? st.st_size : off + len);
	r = REAL(posix_fallocate)(fd, off, len);
	leave();
	return (r);
}

int
posix_fallocate64(int fd, off_t off, off_t len)
{
	return (posix_fallocate(fd, off, len));
}

/* ---- names ---- */

static int
finish(int r, uint64_t seq, const char *call, const char *d, const char *name)
{
	int e = errno;

	if (r == -1)
		(void)note(N_ABORT, seq, 0, 0, 0, NULL, NULL, 0);
	else
		check_name(call, d, name, true);
	errno = e;
	leave();
	return (r);
}

static int
do_openat(int dfd, const char *path, int flags, mode_t mode)
{
	char d[PATH_MAX], name[NAME_MAX + 1];
	uint64_t ino, seq;
	int fd, e;

	if ((flags & (O_CREAT | O_TRUNC)) == 0 || (flags & O_TMPFILE) == O_TMPFILE || !split(dfd, path, d, name)) {
		fd = REAL(openat)(dfd, path, flags, mode);
		forget(fd);
		return (fd);
	}
	enter();
	ino = inode_at(d, name, NULL);
	if (ino == 0) {
		check_name("create", d, name, false);
		seq = shared->seq + 1;
		fd = REAL(openat)(dfd, path, flags, mode);
		/* The number is known only now: a crash in between leaves an empty file that nobody knows of. */
		if (fd != -1)
			(void)note(N_ENTRY, 0, inode_at(d, name, NULL), seq, 0, d, name, strlen(name));
		if (fd != -1)
			check_name("create", d, name, true);
		e = errno;
		leave();
		forget(fd);
		errno = e;
		return (fd);
	}
	leave();
	fd = REAL(openat)(dfd, path, flags & ~O_TRUNC, mode);
	forget(fd);
	if (fd != -1 && (flags & O_TRUNC) != 0 && is_file(fd) && ftruncate(fd, 0) == -1) {
		(void)REAL(close)(fd);
		return (-1);
	}
	return (fd);
}

#define MODE_ARG(flags)	mode_t mode = 0; if (((flags) & (O_CREAT | O_TMPFILE)) != 0) { va_list ap; va_start(ap, flags); \
	mode = va_arg(ap, mode_t); va_end(ap); }

int open(const char *path, int flags, ...) { MODE_ARG(flags) return (do_openat(AT_FDCWD, path, flags, mode)); }
int open64(const char *path, int flags, ...) { MODE_ARG(flags) return (do_openat(AT_FDCWD, path, flags, mode)); }
int openat(int dfd, const char *path, int flags, ...) { MODE_ARG(flags) return (do_openat(dfd, path, flags, mode)); }
int openat64(int dfd, const char *path, int flags, ...) { MODE_ARG(flags) return (do_openat(dfd, path, flags, mode)); }
int creat(const char *path, mode_t mode) { return (do_openat(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode)); }
int creat64(const char *path, mode_t mode) { return (creat(path, mode)); }
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags) { return (do_openat(AT_FDCWD, path, flags, 0)); }
int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags) { return (do_openat(AT_FDCWD, path, flags, 0)); }
int __openat_2(int dfd, const char *path, int flags);
int __openat_2(int dfd, const char *path, int flags) { return (do_openat(dfd, path, flags, 0)); }
int __openat64_2(int dfd, const char *path, int flags);
int __openat64_2(int dfd, const char *path, int flags) { return (do_openat(dfd, path, flags, 0)); }

int
unlinkat(int dfd, const char *path, int flags)
{
	char d[PATH_MAX], name[NAME_MAX + 1];
	const char *call = (flags & AT_REMOVEDIR) != 0 ? "rmdir" : "unlink";
	uint64_t ino, seq;
	bool is_dir = false;

	if (!split(dfd, path, d, name))
		return (REAL(unlinkat)(dfd, path, flags));
	enter();
	check_name(call, d, name, false);
	ino = inode_at(d, name, &is_dir);
	if (ino != 0 && !is_dir)
		keep_inode(d, name, ino);
	seq = note(N_ENTRY, ino, 0, shared->seq + 1, is_dir ? 1 : 0, d, name, strlen(name));
	return (finish(REAL(unlinkat)(dfd, path, flags), seq, call, d, name));
}

int unlink(const char *path) { return (unlinkat(AT_FDCWD, path, 0)); }
int rmdir(const char *path) { return (unlinkat(AT_FDCWD, path, AT_REMOVEDIR)); }

int
remove(const char *path)
{
	int r = unlinkat(AT_FDCWD, path, 0);

	return (r == -1 && errno == EISDIR ? rmdir(path) : r);
}

static int
do_rename(int fd1, const char *from, int fd2, const char *to, unsigned flags)
{
	char d1[PATH_MAX], n1[NAME_MAX + 1], d2[PATH_MAX], n2[NAME_MAX + 1];
	bool in1 = split(fd1, from, d1, n1), in2 = split(fd2, to, d2, n2), dir1 = false, dir2 = false;
	uint64_t i1, i2, op;
	int r;

	if (!in1 && !in2)
		return (REAL(renameat2)(fd1, from, fd2, to, flags));
	enter();
	check_name("rename", in2 ? d2 : d1, in2 ? n2 : n1, false);
	i1 = in1 ? inode_at(d1, n1, &dir1) : 0;
	i2 = in2 ? inode_at(d2, n2, &dir2) : 0;
	if (i2 != 0 && !dir2)
		keep_inode(d2, n2, i2);
	if (i1 != 0 && !dir1)
		keep_inode(d1, n1, i1);
	op = shared->seq + 1;
	if (in2)
		(void)note(N_ENTRY, i2, i1, op, (dir2 ? 1U : 0U) | (dir1 ? 2U : 0U), d2, n2, strlen(n2));
	if (in1)
		(void)note(N_ENTRY, i1, 0, op, dir1 ? 1 : 0, d1, n1, strlen(n1));
	r = REAL(renameat2)(fd1, from, fd2, to, flags);
	return (finish(r, op, "rename", in2 ? d2 : d1, in2 ? n2 : n1));
}

int rename(const char *from, const char *to) { return (do_rename(AT_FDCWD, from, AT_FDCWD, to, 0)); }
int renameat(int a, const char *from, int b, const char *to) { return (do_rename(a, from, b, to, 0)); }
int renameat2(int a, const char *from, int b, const char *to, unsigned f) { return (do_rename(a, from, b, to, f)); }

int
linkat(int fd1, const char *from, int fd2, const char *to, int flags)
{
	char d[PATH_MAX], name[NAME_MAX + 1], fd[PATH_MAX], fn[NAME_MAX + 1];
	uint64_t ino = 0, op;
	int r, e;

	if (!split(fd2, to, d, name))
		return (REAL(linkat)(fd1, from, fd2, to, flags));
	enter();
	check_name("link", d, name, false);
	if (split(fd1, from, fd, fn))
		ino = inode_at(fd, fn, NULL);
	op = shared->seq + 1;
	r = REAL(linkat)(fd1, from, fd2, to, flags);
	e = errno;
	if (r == 0)
		(void)note(N_ENTRY, 0, ino != 0 ? ino : inode_at(d, name, NULL), op, 0, d, name, strlen(name));
	if (r == 0)
		check_name("link", d, name, true);
	errno = e;
	leave();
	return (r);
}

int link(const char *from, const char *to) { return (linkat(AT_FDCWD, from, AT_FDCWD, to, 0)); }

int
symlinkat(const char *target, int dfd, const char *path)
{
	char d[PATH_MAX], name[NAME_MAX + 1];
	int r;

	if (!split(dfd, path, d, name))
		return (REAL(symlinkat)(target, dfd, path));
	enter();
	r = REAL(symlinkat)(target, dfd, path);
	if (r == 0)
		(void)note(N_ENTRY, 0, inode_at(d, name, NULL), shared->seq + 1, 0, d, name, strlen(name));
	leave();
	return (r);
}

int symlink(const char *target, const char *path) { return (symlinkat(target, AT_FDCWD, path)); }

int
mkdirat(int dfd, const char *path, mode_t mode)
{
	char d[PATH_MAX], name[NAME_MAX + 1];
	int r;

	if (!split(dfd, path, d, name))
		return (REAL(mkdirat)(dfd, path, mode));
	enter();
	check_name("mkdir", d, name, false);
	r = REAL(mkdirat)(dfd, path, mode);
	if (r == 0)
		(void)note(N_ENTRY, 0, inode_at(d, name, NULL), shared->seq + 1, 2, d, name, strlen(name));
	if (r == 0)
		check_name("mkdir", d, name, true);
	leave();
	return (r);
}

int mkdir(const char *path, mode_t mode) { return (mkdirat(AT_FDCWD, path, mode)); }

/* ---- syncs ---- */

static int
note_sync(int fd, const char *call)
{
	char path[PATH_MAX] = "";
	struct stat st;

	enter();
	(void)fd_path(fd, path);
	check_rule(call, path);
	if (state_of(fd) == FD_DIR)
		(void)note(N_SYNCDIR, 0, 0, 0, 0, path, NULL, 0);
	else if (fstat(fd, &st) == 0)
		(void)note(N_SYNC, st.st_ino, 0, 0, 0, NULL, NULL, 0);
	check_done(call, path);
	leave();
	return (0);
}

int fsync(int fd) { return (state_of(fd) <= FD_FOREIGN ? REAL(fsync)(fd) : note_sync(fd, "fsync")); }
int fdatasync(int fd) { return (state_of(fd) <= FD_FOREIGN ? REAL(fdatasync)(fd) : note_sync(fd, "fdatasync")); }

int
syncfs(int fd)
{
	char path[PATH_MAX] = "";

	if (state_of(fd) <= FD_FOREIGN)
		return (REAL(syncfs)(fd));
	enter();
	(void)fd_path(fd, path);
	check_rule("syncfs", path);
	(void)note(N_SYNCALL, 0, 0, 0, 0, NULL, NULL, 0);
	check_done("syncfs", path);
	leave();
	return (0);
}

void
sync(void)
{
	if (!active) {
		REAL(sync)();
		return;
	}
	enter();
	(void)note(N_SYNCALL, 0, 0, 0, 0, NULL, NULL, 0);
	leave();
}

/* ---- descriptors come and go ---- */

int
close(int fd)
{
	/* The shim's own stay, whatever a program closes. */
	if (active && (fd == lock_fd || fd == log_fd))
		return (0);
	forget(fd);
	return (REAL(close)(fd));
}

int
dup2(int a, int b)
{
	forget(b);
	return (REAL(dup2)(a, b));
}

int
dup3(int a, int b, int flags)
{
	forget(b);
	return (REAL(dup3)(a, b, flags));
}
