/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promises on Linux: Landlock for files, seccomp for calls.  Elsewhere nothing is
 * restricted, and the predicates say so.  seccomp lists what is refused, not what is
 * allowed: a library that finds a new harmless call must not end the mail.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "os/priv.h"
#include "os/sandbox.h"
#include "os/stack.h"

#ifdef __linux__

/* The leak check at the end of a process forks a tracer and reads /proc. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define OS_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define OS_ASAN 1
#endif
#ifdef OS_ASAN
#define LEAK_CHECK	true
#else
#define LEAK_CHECK	false
#endif

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>

/* ---- Landlock ---- */

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER	(1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE	(1ULL << 14)
#endif

#define READ_RIGHTS	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE_RIGHTS	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |		\
			LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |			\
			LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |			\
			LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM |			\
			LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE)
#define NEVER_RIGHTS	(LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)
#define FILE_RIGHTS	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |			\
			LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)

static int
landlock_version(void)
{
	return ((int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION));
}

/* Rights that the running kernel knows. */
static uint64_t
known_rights(int version)
{
	uint64_t all = READ_RIGHTS | WRITE_RIGHTS | NEVER_RIGHTS | LANDLOCK_ACCESS_FS_EXECUTE;

	if (version < 2)
		all &= ~LANDLOCK_ACCESS_FS_REFER;
	if (version < 3)
		all &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
	return (all);
}

static int
allow_path(int ruleset, const char *path, unsigned access, uint64_t known, struct err *err)
{
	struct landlock_path_beneath_attr at = { 0 };
	struct stat st;
	int rc = 0;

	at.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (at.parent_fd == -1)
		return (errno == ENOENT ? 0 : err_sys(err, "sandbox: %s", path));
	if ((access & OS_ACCESS_READ) != 0)
		at.allowed_access |= READ_RIGHTS;
	if ((access & OS_ACCESS_WRITE) != 0)
		at.allowed_access |= WRITE_RIGHTS;
	if ((access & OS_ACCESS_EXEC) != 0)
		at.allowed_access |= LANDLOCK_ACCESS_FS_EXECUTE;
	at.allowed_access &= known;
	if (fstat(at.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		at.allowed_access &= FILE_RIGHTS;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &at, 0) == -1)
		rc = err_sys(err, "sandbox: rule for %s", path);
	(void)close(at.parent_fd);
	return (rc);
}

static int
restrict_files(const struct os_sandbox_path *paths, struct err *err)
{
	struct landlock_ruleset_attr attr = { 0 };
	int version = landlock_version(), ruleset, rc;

	if (version < 1)
		return (0);
	attr.handled_access_fs = known_rights(version);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (ruleset == -1)
		return (err_sys(err, "sandbox: Landlock"));
	fcntl(ruleset, F_SETFD, FD_CLOEXEC);
	rc = allow_path(ruleset, "/dev/null", OS_ACCESS_READ | OS_ACCESS_WRITE, attr.handled_access_fs, err);
	if (rc == 0)
		rc = allow_path(ruleset, "/dev/urandom", OS_ACCESS_READ, attr.handled_access_fs, err);
	if (rc == 0 && LEAK_CHECK)
		rc = allow_path(ruleset, "/proc", OS_ACCESS_READ, attr.handled_access_fs, err);
	/* LeakSanitizer, at the process' end, reads its maps, and traces it from a process of its own. */
	if (rc == 0 && os_sanitized())
		rc = allow_path(ruleset, "/proc", OS_ACCESS_READ, attr.handled_access_fs, err);
	for (; rc == 0 && paths->path != NULL; paths++)
		rc = allow_path(ruleset, paths->path, paths->access, attr.handled_access_fs, err);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) == -1)
		rc = err_sys(err, "sandbox: Landlock");
	(void)close(ruleset);
	return (rc);
}

/* ---- seccomp ---- */

/* No daemon has any business with these. */
static const int never[] = {
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(mount), SCMP_SYS(umount2),
	SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(init_module),
	SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(reboot),
	SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime), SCMP_SYS(acct), SCMP_SYS(quotactl), SCMP_SYS(open_by_handle_at), SCMP_SYS(io_uring_setup),
	SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(fsopen), SCMP_SYS(personality)
};

static int
refuse_sockets(scmp_filter_ctx f, const struct os_sandbox *s)
{
	static const int inet[] = { AF_INET, AF_INET6 };
	static const int odd[] = { AF_NETLINK, AF_PACKET, AF_BLUETOOTH, AF_VSOCK, AF_ALG, AF_KEY };
	int rc = 0;

	for (size_t i = 0; i < 2 && !s->network; i++)
		rc |= seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)inet[i]));
	if (!s->unix_sockets)
		rc |= seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	/* Netlink: resolvers ask it for the interfaces, so it goes with the network. */
	for (size_t i = s->network ? 1 : 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		rc |= seccomp_rule_add(f, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)odd[i]));
	return (rc);
}

static int
refuse_processes(scmp_filter_ctx f, const struct os_sandbox *s, uint32_t hard)
{
	int rc = 0;

	if (!s->exec) {
		rc |= seccomp_rule_add(f, hard, SCMP_SYS(execve), 0);
		rc |= seccomp_rule_add(f, hard, SCMP_SYS(execveat), 0);
	}
	if (s->fork || LEAK_CHECK)
		return (rc);
	/* A filter cannot look into clone3's structure; without it libc falls back to clone. */
	rc |= seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	rc |= seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
	    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	(void)seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fork), 0);
	(void)seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(vfork), 0);
	return (rc);
}

static int
restrict_calls(const struct os_sandbox *s, struct err *err)
{
	uint32_t hard = s->log_only ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS;
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int rc = 0;

	if (f == NULL)
		return (err_set(err, ERR_TEMP, NULL, "sandbox: no seccomp filter"));
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (!LEAK_CHECK || never[i] != SCMP_SYS(ptrace))
			(void)seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), never[i], 0);
	rc |= refuse_sockets(f, s);
	rc |= refuse_processes(f, s, hard);
	if (rc == 0)
		rc = seccomp_load(f);
	seccomp_release(f);
	if (rc == 0 || rc == -EINVAL || rc == -ENOSYS)	/* a kernel without seccomp */
		return (0);
	errno = -rc;
	return (err_sys(err, "sandbox: seccomp"));
}

int
os_sandbox_apply(const struct os_sandbox *s, struct err *err)
{
	os_no_new_privs();
	if (s->paths != NULL && restrict_files(s->paths, err) == -1)
		return (-1);
	return (restrict_calls(s, err));
}

bool
os_sandbox_files_available(void)
{
	return (landlock_version() >= 1);
}

bool
os_sandbox_calls_available(void)
{
	return (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0);
}

#else

int
os_sandbox_apply(const struct os_sandbox *s, struct err *err)
{
	(void)s;
	(void)err;
	return (0);
}

bool
os_sandbox_files_available(void)
{
	return (false);
}

bool
os_sandbox_calls_available(void)
{
	return (false);
}

#endif
