/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * procmail_rules HOME RCFILE [N]: what a message costs in a user's child whose rules are the file RCFILE in HOME: N (10,000) jobs
 * are decoded, done and answered in this process, as vlocald's child does it but for the socket.  The
 * message has a header of ten fields and 4 KiB in all.  Prints CPU in microseconds a message, of the user and of the system.
 */
#include <sys/resource.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "transport/transport.h"

static const char header[] =
    "Received: from client.sender.test ([192.0.2.7])\r\n\tby mail.local.test with esmtp\r\n\tid 1pEa2c-0001Xy-7k\r\n"
    "\tfor m0@local.test; Mon, 02 Jan 2023 10:11:12 +0000\r\n"
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=sender.test; s=k1;\r\n\th=from:to:subject:date; bh=47DEQpj8HBSa;\r\n"
    "\tb=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR\r\n"
    "From: Sender <sender@sender.test>\r\nTo: m0@local.test\r\nCc: others@sender.test\r\nSubject: figures of the month\r\n"
    "Message-ID: <1@sender.test>\r\nDate: Mon, 02 Jan 2023 10:11:12 +0000\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\nX-Mailer: bench 1\r\n\r\n";
#define SIZE	4096

static FILE *
body(size_t *len)
{
	FILE *f = tmpfile();
	static char line[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n";

	for (*len = 0; f != NULL && *len + sizeof(header) - 1 < SIZE; *len += sizeof(line) - 1)
		(void)fputs(line, f);
	if (f == NULL || fflush(f) != 0)
		exit(1);
	return (f);
}

static void
one(const struct sb *job, int fd, struct arena *a, struct sb *out, int64_t *actions)
{
	struct transport_result r;
	struct transport_job j;
	struct ipc_msg m;

	arena_reset(a);
	if (!ipc_parse(&m, sb_sv(job)) || !transport_job_get(&m, a, &j))
		exit(1);
	transport_execute(&j, fd, a, &r);
	*actions += (int64_t)r.actions.n;
	sb_clear(out);
	ipc_begin(out, TRANSPORT_IPC_JOB);
	if (r.status != TRANSPORT_OK || !transport_result_put(out, &r)) {
		(void)fprintf(stderr, "job failed: " SV_FMT "\n", SV_ARG(r.text));
		exit(1);
	}
	ipc_frame_seal(out, 1);
}

static double
us(struct timeval a, struct timeval b)
{
	return ((double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_usec - a.tv_usec));
}

int
main(int argc, char **argv)
{
	struct sb frame = SB_INIT(IPC_FRAME_MAX), out = SB_INIT(IPC_FRAME_MAX), job;
	struct transport_job j = { .kind = TRANSPORT_PROCMAIL, .now = 1672654272, .uid = (int64_t)geteuid(), .gid = (int64_t)getegid(),
	    .sender = SV_LIT("sender@sender.test"), .local_part = SV_LIT("m0") };
	struct arena *a = arena_new(0);
	struct rusage before, after;
	int64_t n = 10000, actions = 0;
	size_t len;
	FILE *f = body(&len);

	if (argc < 3 || (argc > 3 && !num_parse(sv_cstr(argv[3]), 1, 100000000, &n)))
		return (64);
	j.header = sv_cstr(header);
	j.home = sv_cstr(argv[1]);
	j.path = sv_cstr(argv[2]);
	j.len = (int64_t)len;
	ipc_begin(&frame, TRANSPORT_IPC_JOB);
	if (!transport_job_put(&frame, &j))
		return (1);
	ipc_frame_seal(&frame, 1);
	job = frame;
	job.p += 4;
	job.len -= 4;
	for (int i = 0; i < 10; i++)
		one(&job, fileno(f), a, &out, &actions);
	(void)getrusage(RUSAGE_SELF, &before);
	for (int64_t i = 0; i < n; i++)
		one(&job, fileno(f), a, &out, &actions);
	(void)getrusage(RUSAGE_SELF, &after);
	(void)printf("%.2f us of CPU a message, %.2f of them the system's; %.1f actions\n", (us(before.ru_utime, after.ru_utime) +
	    us(before.ru_stime, after.ru_stime)) / (double)n, us(before.ru_stime, after.ru_stime) / (double)n,
	    (double)actions / (double)(n + 10));
	sb_free(&frame);
	sb_free(&out);
	arena_free(&a);
	(void)fclose(f);
	return (0);
}
