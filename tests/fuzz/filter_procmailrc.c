/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An rc file of any bytes is parsed and run over a message, with an outside world that only says yes or no: nothing
 * is written, no program starts.  The text in front of a line "--" is the message.  Where its body comes only when it is asked
 * for, the very same must happen.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sb.h"
#include "filter/procmail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned turn;
static struct sb did = SB_INIT(1 << 24);
static struct sv later;

static struct sv
body(void *arg)
{
	(void)arg;
	return (later);
}

static enum filter_answer
act(void *arg, const struct filter_action *a, struct err *err)
{
	(void)arg;
	(void)err;
	sb_addf(&did, "%d %u " SV_FMT " " SV_FMT ":", (int)a->kind, a->flags, SV_ARG(a->to), SV_ARG(a->folder));
	sb_add(&did, a->content);
	return (++turn % 3 == 0 ? FILTER_TEMP : FILTER_OK);
}

static enum filter_answer
run(void *arg, const struct filter_run *r, struct arena *a, struct filter_ran *out, struct err *err)
{
	(void)arg;
	(void)err;
	sb_add(&did, r->command);
	sb_add(&did, r->input);
	out->status = (int)(++turn % 3);
	out->output = arena_sv(a, sv_sub(r->input, 0, r->max));
	return (FILTER_OK);
}

static enum filter_answer
lock(void *arg, const char *path, bool on, const struct filter_pos *pos, struct err *err)
{
	(void)arg;
	(void)path;
	(void)on;
	(void)pos;
	(void)err;
	return (++turn % 5 == 0 ? FILTER_TEMP : FILTER_OK);
}

/* Once with all of it, once with the body later. */
static void
both_ways(struct procmail_files *files, struct procmail p, struct sv message)
{
	ptrdiff_t blank = sv_find(message, SV_LIT("\n\n"));
	struct procmail_end end, end2;
	struct sb first;

	turn = 0;
	sb_clear(&did);
	(void)procmail_run(files, &p, message, &end, NULL);
	first = did;
	sb_init(&did, 1 << 24);
	turn = 0;
	if (blank >= 0 && (size_t)blank + 2 < message.len) {
		later = sv_sub(message, (size_t)blank + 2, message.len);
		p.body = body;
		p.body_max = later.len + later.len / 2;
		(void)procmail_run(files, &p, sv_sub(message, 0, (size_t)blank + 2), &end2, NULL);
		if (end.status != end2.status || end.delivered != end2.delivered || strcmp(end.folder, end2.folder) != 0 ||
		    !sv_eq(sb_sv(&first), sb_sv(&did)))
			abort();
	}
	sb_free(&first);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct filter_ops ops = { .act = act, .run = run, .lock = lock, .dry = true };
	struct sv text = sv_from((const char *)data, size), message = SV_LIT("From a@b x\nSubject: s\n folded\n\nbody\nFrom x\n");
	ptrdiff_t mark = sv_find(text, SV_LIT("\n--\n"));
	struct procmail_files *files;
	struct procmail_end end;
	char path[64];
	int fd = memfd_create("rc", MFD_CLOEXEC);
	const char *words[] = { path, "one", "two words", NULL };
	struct procmail p = { .user = "jo", .home = "/", .uid = getuid(), .gid = getgid(), .invoker = "jo", .argv0 = "procmail",
	    .host = "h", .filter = true, .words = words, .out_fd = -1, .err_fd = -1, .ops = &ops, .max_clones = 6, .max_includes = 4,
	    .max_switches = 6, .max_linebuf = 8192, .max_message = 1 << 20 };

	if (fd == -1 || size > 65536)
		return (fd == -1 ? 0 : (close(fd), 0));
	if (mark >= 0) {
		message = sv_sub(text, 0, (size_t)mark + 1);
		text = sv_sub(text, (size_t)mark + 4, text.len);
	}
	(void)fchmod(fd, 0600);
	if (write(fd, text.p, text.len) == (ssize_t)text.len) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		files = procmail_files_new();
		both_ways(files, p, message);
		/* The kept tree must do for a second message. */
		(void)procmail_run(files, &p, SV_LIT(""), &end, NULL);
		procmail_files_free(&files);
	}
	(void)close(fd);
	return (0);
}
