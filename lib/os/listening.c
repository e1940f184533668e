/* SPDX-License-Identifier: BSD-2-Clause */
/* Linux: /proc/net/tcp names sockets by inode, /proc/PID/fd says who holds them. */
#include "os/listening.h"

#include <sys/stat.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "base/sb.h"
#include "base/vec.h"
#include "os/file.h"

#define PROC_MAX	(64 * 1024 * 1024)

#if defined(__linux__)

typedef VEC(uint64_t) inodes;

static int
sockets_of(pid_t pid, inodes *out, struct err *err)
{
	char dir[64], path[PATH_MAX], target[64];
	struct dirent *de;
	DIR *d;

	(void)snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)pid);
	if ((d = opendir(dir)) == NULL)
		return (err_sys(err, "%s", dir));
	while ((de = readdir(d)) != NULL) {
		ssize_t n;
		uint64_t inode;

		(void)snprintf(path, sizeof(path), "%s/%s", dir, de->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n > 9 && memcmp(target, "socket:[", 8) == 0 &&
		    num_parse_u64(sv_from(target + 8, (size_t)n - 9), UINT64_MAX, &inode))
			vec_push(out, inode);
	}
	(void)closedir(d);
	return (0);
}

static bool
hex32(struct sv v, uint32_t *out)
{
	uint32_t n = 0;

	if (v.len != 8)
		return (false);
	for (size_t i = 0; i < 8; i++) {
		char c = sv_lower(v.p[i]);

		if (!sv_isdigit(c) && (c < 'a' || c > 'f'))
			return (false);
		n = n << 4 | (uint32_t)(sv_isdigit(c) ? c - '0' : c - 'a' + 10);
	}
	*out = n;
	return (true);
}

/* "0100007F:0019" (words in host order) as text. */
static bool
address_text(struct sv v, char *buf, size_t size)
{
	char text[INET6_ADDRSTRLEN];
	uint32_t words[4], port;
	size_t n = (size_t)sv_chr(v, ':') / 8;
	char four[9] = "0000";

	if (sv_chr(v, ':') == -1 || (n != 1 && n != 4) || v.len != n * 8 + 5)
		return (false);
	for (size_t i = 0; i < n; i++)
		if (!hex32(sv_sub(v, i * 8, i * 8 + 8), &words[i]))
			return (false);
	memcpy(four + 4, v.p + n * 8 + 1, 4);
	if (!hex32(sv_from(four, 8), &port))
		return (false);
	if (inet_ntop(n == 1 ? AF_INET : AF_INET6, words, text, sizeof(text)) == NULL)
		return (false);
	(void)snprintf(buf, size, n == 1 ? "%s:%u" : "[%s]:%u", text, port);
	return (true);
}

/* Columns: sl local remote state ... (tenth) inode; state 0A listens. */
static void
scan_table(const char *path, const inodes *mine, void (*fn)(void *arg, const char *addr), void *arg)
{
	struct sb text = SB_INIT(PROC_MAX);
	struct sv rest, line;
	char addr[64];

	(void)os_read_file(path, PROC_MAX, &text, NULL);
	rest = sb_sv(&text);
	while (sv_next(&rest, '\n', &line)) {
		struct sv col[10];
		uint64_t inode;
		size_t n = 0;

		while (n < 10 && sv_word(&line, &col[n]))
			n++;
		if (n < 10 || !sv_eqs(col[3], "0A") || !num_parse_u64(col[9], UINT64_MAX, &inode))
			continue;
		for (size_t i = 0; i < mine->len; i++)
			if (mine->p[i] == inode && address_text(col[1], addr, sizeof(addr)))
				fn(arg, addr);
	}
	sb_free(&text);
}

int
os_listening(pid_t pid, void (*fn)(void *arg, const char *addr), void *arg, struct err *err)
{
	inodes mine = VEC_INIT;
	int rc = sockets_of(pid, &mine, err);

	if (rc == 0) {
		scan_table("/proc/net/tcp", &mine, fn, arg);
		scan_table("/proc/net/tcp6", &mine, fn, arg);
	}
	vec_free(&mine);
	return (rc);
}

/* Field <n> (from 1) of /proc/PID/stat; the command name may hold blanks and ends at the last ')'. */
static bool
stat_field(pid_t pid, unsigned n, int64_t *out)
{
	struct sb text = SB_INIT(8192);
	char path[64];
	struct sv rest, word;
	bool ok = false;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (os_read_file(path, 8191, &text, NULL) == 0) {
		rest = sb_sv(&text);
		rest = sv_sub(rest, (size_t)(sv_rchr(rest, ')') + 1), rest.len);
		for (unsigned i = 3; sv_word(&rest, &word); i++)
			if (i == n)
				ok = num_parse(sv_trim(word), INT64_MIN, INT64_MAX, out);
	}
	sb_free(&text);
	return (ok);
}

int
os_process_info(pid_t pid, struct os_process *p, struct err *err)
{
	struct timespec now;
	struct stat st;
	char path[64];
	int64_t start, pages;

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st) == -1)
		return (err_sys(err, "process %d", (int)pid));
	p->uid = st.st_uid;
	p->age = -1;
	p->rss = 0;
	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	if (stat_field(pid, 22, &start))
		p->age = now.tv_sec - start / sysconf(_SC_CLK_TCK);
	if (stat_field(pid, 24, &pages))
		p->rss = pages * sysconf(_SC_PAGESIZE);
	return (0);
}

int
os_children(pid_t pid, void (*fn)(void *arg, pid_t child), void *arg, struct err *err)
{
	struct sb text = SB_INIT(1024 * 1024);
	char path[64];
	struct sv rest, word;
	int64_t child;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	if (os_read_file(path, 1024 * 1024 - 1, &text, err) == -1) {
		sb_free(&text);
		return (-1);
	}
	rest = sb_sv(&text);
	while (sv_word(&rest, &word))
		if (num_parse(sv_trim(word), 1, INT_MAX, &child))
			fn(arg, (pid_t)child);
	sb_free(&text);
	return (0);
}

#else

int
os_listening(pid_t pid, void (*fn)(void *arg, const char *addr), void *arg, struct err *err)
{
	return (err_set(err, ERR_TEMP, NULL, "this system does not tell who listens; try sockstat -l"));
}

int
os_process_info(pid_t pid, struct os_process *p, struct err *err)
{
	return (err_set(err, ERR_TEMP, NULL, "this system has no /proc"));
}

int
os_children(pid_t pid, void (*fn)(void *arg, pid_t child), void *arg, struct err *err)
{
	return (err_set(err, ERR_TEMP, NULL, "this system has no /proc"));
}

#endif
