/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deliveries through vlocald and vstored as vqueued sends them: batches in flight, answers, barriers.
 * Makes a box in a temporary directory, starts the two daemons of SBIN, and prints the
 * rate and the CPU time of both per message.
 *
 *	store_daemons SBIN [messages [size [batch [mailboxes]]]]
 */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fiber/fiber.h"
#include "ipc/ipc.h"
#include "store/deliver.h"

#define SENDERS	4

static char root[64] = "/tmp/vpost-bench-XXXXXX";
static unsigned messages = 20000, batch = 100, boxes = 1, next_message, answered, failed;
static size_t size = 4096;
static uint64_t barrier, last_commit;
static struct ipc_client *client;
static struct fiber *waiter;
static bool greeted;

static double
now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
}

static double
ms(const struct timeval *from, const struct timeval *to)
{
	return ((double)(to->tv_sec - from->tv_sec) * 1e3 + (double)(to->tv_usec - from->tv_usec) / 1e3);
}

static pid_t
spawn(const char *sbin, const char *name)
{
	char path[512];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", sbin, name);
	if ((pid = fork()) == 0) {
		execl(path, name, "-b", root, (char *)NULL);
		perror(path);
		_exit(127);
	}
	return (pid);
}

static void
source(void)
{
	char path[256], *text = malloc(size);
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/var/spool/intake/seg", root);
	if ((f = fopen(path, "w")) == NULL)
		exit(1);
	memset(text, 'x', size);
	for (size_t i = 76; i + 1 < size; i += 78)
		memcpy(text + i, "\r\n", 2);
	n = (size_t)snprintf(text, size, "Received: from client.example ([192.0.2.1]) by host.example with ESMTP\r\n"
	    "\tid 1abcde-0000XX-00; Tue, 22 Sep 1998 22:15:27 +0000\r\nFrom: Ann Lee <ann@example.org>\r\n"
	    "To: Bob <bob@example.net>\r\nSubject: a bench message\r\nDate: Tue, 22 Sep 1998 22:15:27 +0000\r\n"
	    "Message-ID: <1@example.org>\r\n\r\n");
	text[n] = 'x';
	for (unsigned i = 0; i < messages; i++)
		fwrite(text, 1, size, f);
	fclose(f);
	free(text);
}

static void
on_notice(void *arg, const struct ipc_msg *m)
{
	uint64_t instance;

	(void)arg;
	if (!store_barrier_read(m, &barrier, &instance))
		return;
	greeted = true;
	if (waiter != NULL)
		fiber_wake(waiter);
}

static void
on_connect(void *arg, struct ipc_client *c)
{
	(void)arg;
	store_barrier_subscribe(c);
}

static void
add(struct sb *frame, unsigned i)
{
	char id[32], user[32], prefix[200];
	struct store_delivery d;

	snprintf(id, sizeof(id), "1abcde-%06u-00", i);
	snprintf(user, sizeof(user), "user%u", i % boxes);
	snprintf(prefix, sizeof(prefix), "Return-path: <ann@example.org>\r\nEnvelope-to: %s@example.net\r\n"
	    "Delivery-date: Tue, 22 Sep 1998 22:15:27 +0000\r\n", user);
	d = (struct store_delivery){ .origin = 1, .message = sv_cstr(id), .rcpt = sv_cstr(user), .to = STORE_TO_USER,
	    .user = sv_cstr(user), .prefix = sv_cstr(prefix), .path = SV_LIT("var/spool/intake/seg"),
	    .off = (uint64_t)i * size, .len = size, .sender = SV_LIT("ann@example.org"), .date = 906502527 };
	if (!store_deliver_add(frame, &d))
		exit(2);
}

static void
sender(void *arg)
{
	struct sb frame = SB_INIT(IPC_FRAME_MAX);
	struct store_answer *a = calloc(STORE_DELIVER_MAX, sizeof(*a));
	struct err err = ERR_INIT;

	(void)arg;
	while (next_message < messages) {
		unsigned n = 0;

		store_deliver_begin(&frame);
		for (; n < batch && next_message < messages; n++)
			add(&frame, next_message++);
		if (store_deliver_call(client, &frame, n, a, FIBER_NOW_PLUS(60000), &err) == -1) {
			fprintf(stderr, "%s\n", err.text);
			exit(1);
		}
		for (unsigned i = 0; i < n; i++) {
			failed += a[i].result != STORE_INDEXED;
			if (a[i].commit > last_commit)
				last_commit = a[i].commit;
		}
		answered += n;
		if (answered == messages)
			fiber_wake(waiter);
	}
	free(a);
	sb_free(&frame);
}

static void
bench(void *arg)
{
	double *t = arg;
	struct err err = ERR_INIT;

	waiter = fiber_self();
	for (int i = 0; i < 100 && ipc_client_connect(client, &err) == -1; i++)
		(void)fiber_sleep(50);
	while (!greeted)
		(void)fiber_park(FIBER_FOREVER);
	t[0] = now();
	for (int i = 0; i < SENDERS; i++)
		(void)fiber_spawn("sender", sender, NULL);
	while (answered < messages)
		(void)fiber_park(FIBER_FOREVER);
	t[1] = now();
	while (barrier < last_commit)
		(void)fiber_park(FIBER_FOREVER);
	t[2] = now();
	fiber_stop();
}

/* PSS of all processes below <pid>, and of it, without mapped files of the index. */
static void
print_memory(pid_t pid, const char *name)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), "for p in %d $(cat /proc/%d/task/*/children); do cat /proc/$p/smaps; done | awk "
	    "'/^[0-9a-f]+-/ {mdb = /mdb/} /^Pss:/ {if (mdb) m += $2; else p += $2} END {printf \"%s: PSS %%d KiB, "
	    "and %%d KiB of mapped index\\n\", p, m}'", (int)pid, (int)pid, name);
	fflush(stdout);
	(void)!system(cmd);
}

int
main(int argc, char **argv)
{
	double t[3];
	struct rusage ru0, ru;
	struct err err = ERR_INIT;
	char path[256], cmd[256];
	pid_t store, local;
	int st;
	FILE *f;

	if (argc < 2)
		return (64);
	if (argc > 2)
		messages = (unsigned)strtoul(argv[2], NULL, 10);
	if (argc > 3)
		size = strtoul(argv[3], NULL, 10);
	if (argc > 4)
		batch = (unsigned)strtoul(argv[4], NULL, 10);
	if (argc > 5)
		boxes = (unsigned)strtoul(argv[5], NULL, 10);
	if (mkdtemp(root) == NULL)
		return (1);
	snprintf(cmd, sizeof(cmd), "cd %s && mkdir -p etc var/mail var/spool/intake var/run var/log && chmod 755 .",
	    root);
	if (system(cmd) != 0)
		return (1);
	snprintf(path, sizeof(path), "%s/etc/vpost.conf", root);
	if ((f = fopen(path, "w")) == NULL)
		return (1);
	fprintf(f, "spool_reserve_min = 0\nspool_reserve_percent = 0\nuser = %s\n", getuid() == 0 ? "root" : "");
	fclose(f);
	source();
	(void)getrusage(RUSAGE_CHILDREN, &ru0);
	store = spawn(argv[1], "vstored");
	local = spawn(argv[1], "vlocald");
	if (fiber_init(&err) == -1)
		return (1);
	snprintf(path, sizeof(path), "%s/var/run/local.sock", root);
	client = ipc_client_new(path);
	ipc_client_on_notice(client, on_notice, NULL);
	ipc_client_on_connect(client, on_connect, NULL);
	(void)fiber_spawn("bench", bench, t);
	fiber_run();
	print_memory(store, "vstored");
	print_memory(local, "vlocald");
	(void)kill(local, SIGTERM);
	(void)waitpid(local, &st, 0);
	(void)kill(store, SIGTERM);
	(void)waitpid(store, &st, 0);
	(void)getrusage(RUSAGE_CHILDREN, &ru);
	printf("%u messages of %zu bytes, batches of %u, %u mailboxes: answered %.0f/s, on disk %.0f/s, %u failed\n",
	    messages, size, batch, boxes, messages / (t[1] - t[0]), messages / (t[2] - t[0]), failed);
	printf("CPU of both per message: user %.4f ms, system %.4f ms\n", ms(&ru0.ru_utime, &ru.ru_utime) / messages,
	    ms(&ru0.ru_stime, &ru.ru_stime) / messages);
	if (getenv("KEEP") == NULL) {
		snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
		(void)!system(cmd);
	} else
		printf("%s\n", root);
	return (failed != 0);
}
