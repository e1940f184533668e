/* SPDX-License-Identifier: BSD-2-Clause */
/* pipe at work: run the command, and say what its end means (29.2). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "mbox/run.h"
#include "os/proc.h"
#include "transport/transport_int.h"

#define KILL_GRACE_MS	500
#define OUTPUT_KEPT	(128 * 1024)

/* What sysexits.h means by a status. */
static const char *
exit_hint(int status)
{
	static const char *const hints[] = { "could mean usage or syntax error", "could mean error in input data",
	    "could mean cannot open input", "could mean user nonexistent", "could mean host name unknown",
	    "could mean service unavailable", "could mean internal software error", "could mean internal operating system error",
	    "could mean system file missing", "could mean can't create output file", "could mean input/output error",
	    "could mean temporary error", "could mean remote error in protocol", "could mean permission denied",
	    "could mean local configuration error" };

	if (status == 127)
		return ("could mean unable to exec or command does not exist");
	return (status >= 64 && status <= 78 ? hints[status - 64] : NULL);
}

static bool
is_temporary(const struct transport_job *j, int status)
{
	int64_t n;

	for (size_t i = 0; i < j->temp_errors.n; i++) {
		if (sv_eqs(j->temp_errors.v[i], "*"))
			return (true);
		if (num_parse(j->temp_errors.v[i], 0, 255, &n) && n == status)
			return (true);
	}
	return (false);
}

/* The first line of the output, for the log. */
static struct sv
first_line(struct exec *x, const struct mbox_ran *ran)
{
	struct sv text = sv_from(ran->output, ran->output_len), line = SV_LIT("");
	char *p;

	while (sv_next(&text, '\n', &line))
		if (sv_trim(line).len > 0)
			break;
	line = sv_trim(line);
	line.len = line.len < 1024 ? line.len : 1024;
	p = arena_cstr(x->a, line);
	for (size_t i = 0; i < line.len; i++)
		if ((unsigned char)p[i] < ' ' || p[i] == 127)
			p[i] = '?';
	return (sv_from(p, line.len));
}

/* A program that could not start others may have failed for that alone, and for somebody else's doing. */
static bool
no_room(const struct exec *x)
{
	return (x->j->shared_uid && x->j->processes > 0 && os_tasks() >= x->process_limit - (long)x->j->processes / 4);
}

static void
explain_exit(struct exec *x, const struct mbox_ran *ran, const char *program)
{
	const struct transport_job *j = x->j;
	bool full = no_room(x), temp = full || is_temporary(j, ran->exit);
	const char *hint = exit_hint(ran->exit);
	const char *quote = strchr(program, ' ') != NULL ? "\"" : "";

	exec_fail(x, temp ? TRANSPORT_DEFER : TRANSPORT_FAIL, 0,
	    "Child process of " SV_FMT " transport returned %d%s%s%s from command: %s%s%s%s", SV_ARG(j->transport), ran->exit,
	    hint == NULL ? "" : " (", hint == NULL ? "" : hint, hint == NULL ? "" : ")", quote, program, quote,
	    full ? " while its user had no processes left" : "");
	x->r->user_text = SV_LIT("local delivery failed");
}

/* The command as it is configured; else its words, quoted where they have to be. */
static const char *
whole_command(struct exec *x)
{
	const char *all = "";

	if (x->j->command.len > 0)
		return (arena_cstr(x->a, x->j->command));
	for (size_t i = 0; i < x->j->argv.n; i++) {
		const char *quote = sv_chr(x->j->argv.v[i], ' ') >= 0 ? "\"" : "";

		all = arena_fmt(x->a, "%s%s%s" SV_FMT "%s", all, i > 0 ? " " : "", quote, SV_ARG(x->j->argv.v[i]), quote);
	}
	return (all);
}

static void
explain_signal(struct exec *x, const struct mbox_ran *ran)
{
	const struct transport_job *j = x->j;

	exec_fail(x, j->freeze_signal ? TRANSPORT_DEFER : TRANSPORT_FAIL, 0,
	    "Child process of " SV_FMT " transport (running command \"%s\") was terminated by signal %d (%s)%s",
	    SV_ARG(j->transport), whole_command(x), ran->sig, strsignal(ran->sig), ran->core ? " (core dumped)" : "");
	x->r->freeze = j->freeze_signal;
	x->r->user_text = SV_LIT("local delivery failed");
}

/* What becomes of the delivery by the way the command ended. */
static void
judge(struct exec *x, const struct mbox_ran *ran, const char *program)
{
	const struct transport_job *j = x->j;

	if (ran->timed_out) {
		exec_fail(x, j->timeout_defer ? TRANSPORT_DEFER : TRANSPORT_FAIL, 0,
		    "pipe delivery process timed out");
		x->r->user_text = SV_LIT("local delivery failed");
	} else if (ran->too_much)
		explain_signal(x, ran);
	else if (ran->write_failed && ran->sys != EPIPE)
		exec_fail(x, TRANSPORT_DEFER, ran->sys, "Error writing to pipe");
	else if (j->ignore_status)
		return;
	else if (ran->exit == -1)
		explain_signal(x, ran);
	else if (ran->exit != 0)
		explain_exit(x, ran, program);
}

static void
take_output(struct exec *x, const struct mbox_ran *ran)
{
	const struct transport_job *j = x->j;
	struct transport_result *r = x->r;
	struct sv all = sv_from(ran->output, ran->output_len);
	bool failed = r->status == TRANSPORT_FAIL, deferred = r->status == TRANSPORT_DEFER;

	if (sv_trim(all).len == 0)
		return;
	if (j->log_output || (j->log_fail_output && failed) || (j->log_defer_output && deferred))
		r->log_line = first_line(x, ran);
	if (!j->return_output && !(j->return_fail_output && failed))
		return;
	if (all.len > OUTPUT_KEPT)
		all.len = OUTPUT_KEPT;
	r->output = arena_sv(x->a, all);
	if (ran->too_much)
		r->output = sv_cstr(arena_fmt(x->a, SV_FMT "\n\n*** Too much output - remainder discarded ***\n", SV_ARG(r->output)));
	if (j->return_output && !deferred && !failed) {
		exec_fail(x, TRANSPORT_FAIL, 0, "return message generated");
		r->user_text = SV_LIT("");
	}
}

void
exec_pipe(struct exec *x)
{
	const struct transport_job *j = x->j;
	const char *const *argv = exec_strings(x->a, &j->argv);
	const char **args = (const char **)(uintptr_t)argv;
	char *found = mbox_run_find(argv[0], arena_cstr(x->a, j->search));
	struct mbox_run run = MBOX_RUN_INIT;
	struct mbox_ran ran = { .exit = 127 };
	struct err err = ERR_INIT;

	if (found != NULL)
		args[0] = arena_str(x->a, found);
	run.argv = argv;
	run.env = exec_strings(x->a, &j->env);
	run.umask = (mode_t)j->umask;
	run.input = &x->c;
	run.format = &x->f;
	run.timeout_s = (int)j->timeout;
	run.kill_grace_ms = KILL_GRACE_MS;
	run.max_output = j->max_output > 0 ? (size_t)j->max_output : 20 * 1024;
	run.stop_at_max = true;
	run.merge_stderr = true;
	run.core = j->core != 0;
	run.cpu_seconds = (long)j->cpu;
	run.memory_bytes = (long)j->memory;
	run.processes = x->process_limit = exec_process_limit(j);
	run.file_bytes = (long)j->file_bytes;
	if (found == NULL || mbox_run(&run, &ran, &err) == -1) {
		int e = errno;

		if (found != NULL && (e == EAGAIN || e == ENOMEM || e == EMFILE || e == ENFILE || e == EIO)) {
			exec_fail(x, TRANSPORT_DEFER, e, "Failed to create child process for %.*s transport", SV_ARG(j->transport));
			free(found);
			return;
		}
		ran.exit = 127;
		if (j->freeze_exec) {
			exec_fail(x, TRANSPORT_DEFER, 0, "pipe process failed to exec \"%s\"", whole_command(x));
			x->r->freeze = true;
			free(found);
			return;
		}
	}
	judge(x, &ran, argv[0]);
	take_output(x, &ran);
	free(found);
	free(ran.output);
}
