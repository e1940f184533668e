/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deliveries into the store: MESSAGES of SIZE bytes in batches of BATCH, into one
 * mailbox and into ten, with everything that vstored does for them (bodies, index, delivery ids, cache rows,
 * barriers on their own thread).  Prints rate and CPU time per message.
 *
 *	store_deliver [messages [size [batch]]]
 */
#include <sys/resource.h>
#include <sys/stat.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

#include "store/writer.h"

static double
now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
}

static double
cpu(bool sys)
{
	struct rusage ru;

	(void)getrusage(RUSAGE_SELF, &ru);
	return (sys ? (double)ru.ru_stime.tv_sec + (double)ru.ru_stime.tv_usec / 1e6 :
	    (double)ru.ru_utime.tv_sec + (double)ru.ru_utime.tv_usec / 1e6);
}

static void
die(const struct err *err)
{
	fprintf(stderr, "%s\n", err->text);
	exit(1);
}

static atomic_bool stop;

static void *
barriers(void *arg)
{
	struct err err = ERR_INIT;

	while (!atomic_load(&stop)) {
		for (int i = 0; i < 100 && !atomic_load(&stop) && store_writer_unsynced(arg) < (64U << 20); i++)
			(void)usleep(10000);
		if (store_writer_barrier(arg, &err) == -1)
			die(&err);
	}
	return (NULL);
}

static void
source(const char *root, size_t size, unsigned messages)
{
	char path[256], line[80], *one = malloc(size);
	FILE *f;

	snprintf(path, sizeof(path), "%s/var/spool/seg", root);
	if ((f = fopen(path, "w")) == NULL)
		exit(1);
	fputs("Received: from client.example (client.example [192.0.2.1]) by host.example with ESMTP\r\n"
	    "\tid 1abcde-0000XX-00; Tue, 22 Sep 1998 22:15:27 +0000\r\n"
	    "From: Ann Lee <ann@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: a bench message\r\n"
	    "Date: Tue, 22 Sep 1998 22:15:27 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n", f);
	memset(line, 'x', sizeof(line));
	line[76] = '\r';
	line[77] = '\n';
	while ((size_t)ftell(f) + 78 <= size)
		fwrite(line, 1, 78, f);
	while ((size_t)ftell(f) < size)
		fputc('y', f);
	fclose(f);
	/* Each message has its place, as in a journal. */
	if ((f = fopen(path, "r+")) == NULL || fread(one, 1, size, f) != size || fseek(f, 0, SEEK_END) != 0)
		exit(1);
	for (unsigned i = 1; i < messages; i++)
		fwrite(one, 1, size, f);
	fclose(f);
	free(one);
}

static void
run(struct store_writer *w, unsigned messages, size_t size, unsigned batch, unsigned boxes, uint64_t origin)
{
	double t0 = now(), u0 = cpu(false), s0 = cpu(true), t;
	struct err err = ERR_INIT;
	char id[32], user[32], prefix[200];

	for (unsigned i = 0; i < messages;) {
		if (store_writer_begin(w, &err) == -1)
			die(&err);
		(void)store_writer_tidy(w, 1000);
		for (unsigned j = 0; j < batch && i < messages; j++, i++) {
			struct store_delivery d;
			struct store_answer a;

			snprintf(id, sizeof(id), "1abcde-%06u-00", i);
			snprintf(user, sizeof(user), "user%u", boxes == 1 ? 0 : i % boxes);
			snprintf(prefix, sizeof(prefix), "Return-Path: <ann@example.org>\r\n"
			    "Delivered-To: %s@example.net\r\nEnvelope-To: %s@example.net\r\n", user, user);
			d = (struct store_delivery){ .origin = origin, .message = sv_cstr(id), .rcpt = sv_cstr(user),
			    .to = STORE_TO_USER, .user = sv_cstr(user), .dflags = STORE_D_CREATE,
			    .prefix = sv_cstr(prefix), .path = SV_LIT("var/spool/seg"), .off = (uint64_t)i * size,
			        .len = size,
			    .sender = SV_LIT("ann@example.org"), .date = 906502527 };
			store_writer_deliver(w, &d, &a);
			if (a.result != STORE_INDEXED) {
				fprintf(stderr, "%s %s\n", a.status, a.text);
				exit(1);
			}
		}
		if (store_writer_commit(w, NULL, NULL, &err) == -1)
			die(&err);
		store_writer_fill_cache(w);
	}
	t = now() - t0;
	printf("%u messages of %zu bytes, batches of %u, %u mailboxes: %.0f/s, "
	    "%.4f ms CPU each (user %.4f, system %.4f)\n",
	    messages, size, batch, boxes, messages / t, (cpu(false) + cpu(true) - u0 - s0) * 1e3 / messages,
	    (cpu(false) - u0) * 1e3 / messages, (cpu(true) - s0) * 1e3 / messages);
}

int
main(int argc, char **argv)
{
	unsigned messages = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20000;
	size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 4096;
	unsigned batch = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 100;
	char root[64] = "/tmp/vpost-bench-XXXXXX", mail[96], cmd[128];
	struct store_writer_opts o = { .box = root, .dir = mail, .map_size = (uint64_t)64 << 30 };
	struct store_writer *w;
	struct err err = ERR_INIT;
	pthread_t tid;

	if (mkdtemp(root) == NULL)
		return (1);
	snprintf(mail, sizeof(mail), "%s/var/mail", root);
	snprintf(cmd, sizeof(cmd), "mkdir -p %s %s/var/spool", mail, root);
	if (system(cmd) != 0)
		return (1);
	source(root, size, messages);
	if (store_writer_open(&w, &o, &err) == -1)
		die(&err);
	if (pthread_create(&tid, NULL, barriers, w) != 0)
		return (1);
	run(w, messages, size, batch, 1, 1);
	run(w, messages, size, batch, 10, 2);
	atomic_store(&stop, true);
	(void)pthread_join(tid, NULL);
	store_writer_close(&w);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	return (system(cmd) == 0 ? 0 : 1);
}
