/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ${perl.  An interpreter speaks on its descriptor 3, in frames of a letter, nine digits of length and the bytes:
 * to it S (the startup code), C (a call: strings with lengths), V and F (value or failure of an expansion it asked for);
 * from it R (result), U (undef), E (died), X (expand this), L (log this).  What it prints goes nowhere.
 */
#include "exim/perl.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "base/sb.h"
#include "exim/acl.h"
#include "exim/conf.h"
#include "exim/expand_int.h"
#include "os/priv.h"

#define PERLS_MAX	8
#define FRAME_HEAD	10
#define FRAME_MAX	(16 * 1024 * 1024)
#define WAIT_S		300
#define CALLBACKS_MAX	10000		/* expansions that one call may ask for */

extern char **environ;

static const char driver[] =
    "package Exim; use strict; open(our $io, '+<&=', 3) or exit 1; binmode($io);\n"
    "sub _send { my ($t, $p) = @_; utf8::encode($p) if utf8::is_utf8($p); my $f = $t . substr('00000000' . length($p), -9) . $p; my $o = 0;\n"
    " while ($o < length $f) { my $n = syswrite($io, $f, length($f) - $o, $o); exit 0 unless defined $n; $o += $n } }\n"
    "sub _read { my $n = shift; my $b = ''; while (length $b < $n) { my $k = sysread($io, $b, $n - length $b, length $b);\n"
    " exit 0 unless $k } $b }\n"
    "sub _recv { my $h = _read(10); (substr($h, 0, 1), _read(0 + substr($h, 1))) }\n"
    "sub expand_string { _send('X', defined $_[0] ? $_[0] : ''); my ($t, $p) = _recv(); return $p if $t eq 'V'; return undef if $t eq 'U';\n"
    " require Carp; local @Carp::CARP_NOT = ('Exim'); my @c = caller;\n"
    " die \"syntax error in Exim::expand_string argument: $p at $c[1] line $c[2].\\n\" }\n"
    "sub log_write { _send('L', $_[0]) } sub debug_write { }\n"
    "package main; $SIG{__WARN__} = sub { my $m = $_[0]; $m =~ s/\\n\\z//; Exim::_send('L', $m) };\n"
    "$| = 1; my ($t, $code) = Exim::_recv(); ($code) = $code =~ /^(.*)$/s; no strict; eval $code; if ($@) { Exim::_send('E', $@); exit 0 } Exim::_send('R', '');\n"
    "for (;;) { my ($k, $p) = Exim::_recv(); my ($f, @a) = map { /^(.*)$/s; $1 } unpack('(N/a*)*', $p);\n"
    " unless (defined &{\"main::$f\"}) { Exim::_send('E', \"Undefined subroutine &main::$f called.\\n\"); next }\n"
    " my $r = eval { scalar &{\"main::$f\"}(@a) };\n"
    " if ($@) { Exim::_send('E', $@) } elsif (!defined $r) { Exim::_send('U', '') } else { Exim::_send('R', $r) } }\n";

struct perl {
	int	 fd;
	pid_t	 pid;
	char	*code;			/* the startup code that it ran; NULL: not started */
	bool	 taint;			/* with perl_taintmode */
	bool	 used;			/* the entry is taken */
	bool	 busy;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct perl perls[PERLS_MAX];

/* ---- frames; these block, so they run where the world lets them ---- */

struct frame_job {
	struct perl	*p;
	char		 type;		/* out, then in; 0: the line is lost */
	struct sv	 text;
	struct sb	 got;
};

static bool
write_full(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k <= 0)
			return (false);
		p += k;
		n -= (size_t)k;
	}
	return (true);
}

static bool
read_full(int fd, char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = recv(fd, p, n, 0);

		if (k <= 0)
			return (false);
		p += k;
		n -= (size_t)k;
	}
	return (true);
}

static void
exchange_job(void *arg)
{
	struct frame_job *j = arg;
	char head[32], *room;
	int64_t n;

	(void)snprintf(head, sizeof(head), "%c%09zu", j->type, j->text.len);
	j->type = 0;
	if (j->text.len > FRAME_MAX || !write_full(j->p->fd, head, FRAME_HEAD) || !write_full(j->p->fd, j->text.p, j->text.len) ||
	    !read_full(j->p->fd, head, FRAME_HEAD) || !num_parse(sv_from(head + 1, FRAME_HEAD - 1), 0, FRAME_MAX, &n))
		return;
	sb_clear(&j->got);
	room = sb_room(&j->got, (size_t)n);
	if (room == NULL || !read_full(j->p->fd, room, (size_t)n))
		return;
	sb_took(&j->got, (size_t)n);
	j->type = head[0];
}

static void
exchange(struct exim_env *env, struct frame_job *j)
{
	if (env->world->offload != NULL)
		env->world->offload(env->world->arg, exchange_job, j);
	else
		exchange_job(j);
}

/* The next frame without an answer of ours: after a log line. */
static void
read_job(void *arg)
{
	struct frame_job *j = arg;
	char head[FRAME_HEAD], *room;
	int64_t n;

	j->type = 0;
	if (!read_full(j->p->fd, head, FRAME_HEAD) || !num_parse(sv_from(head + 1, FRAME_HEAD - 1), 0, FRAME_MAX, &n))
		return;
	sb_clear(&j->got);
	room = sb_room(&j->got, (size_t)n);
	if (room == NULL || !read_full(j->p->fd, room, (size_t)n))
		return;
	sb_took(&j->got, (size_t)n);
	j->type = head[0];
}

/* ---- interpreters ---- */

static int
spawn(struct perl *p, bool taint, bool show)
{
	const char *argv[] = { "perl", taint ? "-T" : "-e", taint ? "-e" : driver, taint ? driver : NULL, NULL };
	const struct timeval tv = { .tv_sec = WAIT_S };
	posix_spawn_file_actions_t fa;
	int fds[2], rc;

	/* It could call root's rights back. */
	if (os_is_acting())
		return (EPERM);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == -1)
		return (errno);
	(void)posix_spawn_file_actions_init(&fa);
	/* Even where the end is descriptor 3 already, which dup2 would leave to close on exec. */
	(void)posix_spawn_file_actions_adddup2(&fa, fds[1], 3);
	(void)posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (!show)
		(void)posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	rc = posix_spawnp(&p->pid, "perl", &fa, NULL, (char *const *)(uintptr_t)argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	(void)close(fds[1]);
	if (rc != 0) {
		(void)close(fds[0]);
		return (rc);
	}
	(void)setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	(void)setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	p->fd = fds[0];
	return (0);
}

/* The interpreter of <p>, which stays claimed. */
static void
stop(struct perl *p)
{
	(void)close(p->fd);
	(void)kill(p->pid, SIGKILL);
	while (waitpid(p->pid, NULL, 0) == -1 && errno == EINTR)
		continue;
	free(p->code);
	p->code = NULL;
}

static void
give_up(struct perl *p)
{
	(void)pthread_mutex_lock(&lock);
	memset(p, 0, sizeof(*p));
	(void)pthread_mutex_unlock(&lock);
}

/*
 * An idle one that ran the code of <conf>, or a free entry (not started), or the entry of an idle one of another
 * configuration, which ends; NULL: all are busy.
 */
static struct perl *
claim(const struct exim_conf *conf)
{
	struct sv code = exim_main_text(conf, EXIM_MAIN_perl_startup);
	bool taint = exim_main_bool(conf, EXIM_MAIN_perl_taintmode);
	struct perl *p = NULL, *other = NULL;

	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0; i < PERLS_MAX && p == NULL; i++)
		if (perls[i].used && !perls[i].busy && perls[i].taint == taint && sv_eqs(code, perls[i].code))
			p = &perls[i];
		else if (perls[i].used && !perls[i].busy)
			other = &perls[i];
	for (size_t i = 0; i < PERLS_MAX && p == NULL; i++)
		if (!perls[i].used)
			p = &perls[i];
	if (p != NULL)
		other = NULL;
	else
		p = other;
	if (p != NULL)
		p->used = p->busy = true;
	(void)pthread_mutex_unlock(&lock);
	if (other != NULL)
		stop(other);
	return (p);
}

static enum exim_result
start(struct exim_env *env, struct perl *p, bool show, struct sv *why)
{
	struct frame_job j = { .p = p, .type = 'S', .text = exim_main_text(env->conf, EXIM_MAIN_perl_startup),
	    .got = SB_INIT(FRAME_MAX) };
	bool taint = exim_main_bool(env->conf, EXIM_MAIN_perl_taintmode);
	int rc = spawn(p, taint, show);
	enum exim_result res = EXIM_OK;

	if (rc != 0) {
		give_up(p);
		*why = sv_cstr(arena_fmt(env->arena, "cannot start perl: %s", strerror(rc)));
		return (EXIM_FAIL);
	}
	p->code = xstrndup(j.text.p, j.text.len);
	p->taint = taint;
	exchange(env, &j);
	if (j.type != 'R') {
		*why = sv_cstr(arena_fmt(env->arena, "error in perl_startup code: " SV_FMT, SV_ARG(j.type == 'E' ? sb_sv(&j.got) :
		    SV_LIT("it ended"))));
		stop(p);
		give_up(p);
		res = EXIM_FAIL;
	}
	sb_free(&j.got);
	return (res);
}

static void
let_go(struct perl *p)
{
	(void)pthread_mutex_lock(&lock);
	p->busy = false;
	(void)pthread_mutex_unlock(&lock);
}

enum exim_result
x_perl_start(struct exim_env *env, struct sv *why)
{
	struct perl *p;
	enum exim_result res;

	if (exim_main_text(env->conf, EXIM_MAIN_perl_startup).len == 0 || (p = claim(env->conf)) == NULL)
		return (EXIM_OK);
	res = p->code == NULL ? start(env, p, true, why) : EXIM_OK;
	if (res == EXIM_OK)
		let_go(p);
	return (res);
}

/* ---- calls ---- */

/* What the interpreter wants in between; false: that was its last word. */
static bool
serve(struct exim_env *env, struct frame_job *j)
{
	struct err err = ERR_INIT;
	struct sv v;

	if (j->type == 'L') {
		exim_env_log(env, EXIM_LOG_MAIN, sb_sv(&j->got));
		if (env->world->offload != NULL)
			env->world->offload(env->world->arg, read_job, j);
		else
			read_job(j);
		return (true);
	}
	if (j->type != 'X')
		return (false);
	switch (exim_expand_text(arena_sv(env->arena, sb_sv(&j->got)), env, &v, &err)) {
	case EXIM_OK:
		j->type = 'V';
		j->text = v;
		break;
	case EXIM_FORCED:
		j->type = 'U';
		j->text = SV_LIT("");
		break;
	default:
		j->type = 'F';
		j->text = env->message.len > 0 ? env->message : sv_cstr(arena_str(env->arena, err.text));
		break;
	}
	exchange(env, j);
	return (true);
}

static struct sv
call_text(struct arena *a, struct sv sub, const struct sv *args, size_t n)
{
	struct sb sb = SB_INIT(FRAME_MAX);
	struct sv text;

	for (size_t i = 0; i <= n; i++) {
		struct sv v = i == 0 ? sub : args[i - 1];

		for (int shift = 24; shift >= 0; shift -= 8)
			sb_addc(&sb, (char)(v.len >> shift & 0xff));
		sb_add(&sb, v);
	}
	text = arena_sv(a, sb_sv(&sb));
	sb_free(&sb);
	return (text);
}

enum exim_result
x_perl(struct exim_env *env, struct sv sub, const struct sv *args, size_t n, struct sv *out)
{
	struct frame_job j = { .type = 'C', .text = call_text(env->arena, sub, args, n), .got = SB_INIT(FRAME_MAX) };
	enum exim_result res = EXIM_FAIL;
	struct perl *p;
	int rounds = 0;

	p = claim(env->conf);
	if (p == NULL) {
		*out = SV_LIT("all Perl interpreters are busy");
		return (EXIM_DEFER);
	}
	if (p->code == NULL && (res = start(env, p, false, out)) != EXIM_OK)
		return (res);
	j.p = p;
	exchange(env, &j);
	while (serve(env, &j) && ++rounds < CALLBACKS_MAX)
		continue;
	*out = arena_sv(env->arena, sb_sv(&j.got));
	res = j.type == 'R' ? EXIM_OK : j.type == 'U' ? EXIM_FORCED : EXIM_FAIL;
	if (j.type == 'U')
		*out = sv_cstr(arena_fmt(env->arena, "Perl subroutine \"" SV_FMT "\" returned undef to force failure", SV_ARG(sub)));
	else if (j.type != 'R' && j.type != 'E')
		*out = sv_cstr(arena_fmt(env->arena, "the interpreter of Perl subroutine \"" SV_FMT "\" ended or took too long",
		    SV_ARG(sub)));
	if (j.type == 'R' || j.type == 'U' || j.type == 'E')
		let_go(p);
	else {
		stop(p);
		give_up(p);
	}
	sb_free(&j.got);
	return (res);
}
