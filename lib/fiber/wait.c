/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting: deadlines, descriptors, signals.
 *
 * Deadlines lie in a heap whose keys are lower bounds: a session that waits five
 * minutes for each line leaves its entry where it is and is looked at again when the
 * key comes up, so that a wait costs no heap operation; one libevent timer serves
 * the earliest key.  A descriptor of a fiber_io stays registered for reading after
 * the wait, and is taken out only when it fires while nobody waits.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/arena.h"
#include "fiber/fiber_int.h"
#include "os/signal.h"

struct fiber_io {
	struct event	 ev;
	struct fiber	*reader;
	int		 fd;
	unsigned	 generation;
	bool		 on;
};

/* ---- the heap of deadlines ---- */

static void
heap_put(size_t i, struct fiber *f)
{
	fiber_loop.heap[i] = f;
	f->hpos = i + 1;
}

static void
heap_up(size_t i)
{
	struct fiber **h = fiber_loop.heap, *f = h[i];

	while (i > 0 && h[(i - 1) / 2]->hkey > f->hkey) {
		heap_put(i, h[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(i, f);
}

static void
heap_down(size_t i)
{
	struct fiber **h = fiber_loop.heap, *f = h[i];
	size_t n = fiber_loop.nheap, c;

	while ((c = 2 * i + 1) < n) {
		if (c + 1 < n && h[c + 1]->hkey < h[c]->hkey)
			c++;
		if (h[c]->hkey >= f->hkey)
			break;
		heap_put(i, h[c]);
		i = c;
	}
	heap_put(i, f);
}

void
fiber_timer_drop(struct fiber *f)
{
	struct loop *l = &fiber_loop;
	size_t i;
	struct fiber *last;

	if (f->hpos == 0)
		return;
	i = f->hpos - 1;
	f->hpos = 0;
	last = l->heap[--l->nheap];
	if (last == f)
		return;
	heap_put(i, last);
	heap_up(i);
	heap_down(last->hpos - 1);
}

void
fiber_timer_set(struct fiber *f, int64_t deadline)
{
	struct loop *l = &fiber_loop;

	if (f->hpos != 0) {
		if (f->hkey <= deadline)
			return;
		f->hkey = deadline;
		heap_up(f->hpos - 1);
		return;
	}
	if (l->nheap == l->heapcap) {
		l->heapcap = l->heapcap == 0 ? 64 : l->heapcap * 2;
		l->heap = xreallocarray(l->heap, l->heapcap, sizeof(struct fiber *));
	}
	f->hkey = deadline;
	l->heap[l->nheap++] = f;
	heap_up(l->nheap - 1);
}

void
fiber_timer_expire(void)
{
	struct loop *l = &fiber_loop;
	struct fiber *f;

	while (l->nheap > 0 && (f = l->heap[0])->hkey <= l->now) {
		fiber_timer_drop(f);
		if (f->state == FS_READY || f->deadline == FIBER_FOREVER)
			continue;
		if (f->deadline <= l->now)
			fiber_make_ready(f, FIBER_TIMEOUT);
		else
			fiber_timer_set(f, f->deadline);
	}
}

static void
timer_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	fiber_loop.timer_at = FIBER_FOREVER;
}

void
fiber_timer_arm(int64_t extra)
{
	struct loop *l = &fiber_loop;
	int64_t at = extra, ms;
	struct timeval tv;

	if (l->nheap > 0 && l->heap[0]->hkey < at)
		at = l->heap[0]->hkey;
	if (at >= l->timer_at)
		return;
	ms = at > l->now ? at - l->now : 0;
	/* A day is far enough: the timer is set again when it fires. */
	if (ms > 86400000)
		ms = 86400000;
	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = (suseconds_t)(ms % 1000) * 1000;
	(void)event_add(l->timer, &tv);
	l->timer_at = l->now + ms;
}

int
fiber_timer_init(struct err *err)
{
	struct loop *l = &fiber_loop;

	l->timer = evtimer_new(l->base, timer_cb, NULL);
	l->timer_at = FIBER_FOREVER;
	return (l->timer == NULL ? err_set(err, ERR_TEMP, NULL, "no event loop timer") : 0);
}

void
fiber_timer_fini(void)
{
	struct loop *l = &fiber_loop;

	if (l->timer != NULL)
		event_free(l->timer);
	l->timer = NULL;
	if (l->sigev != NULL)
		event_free(l->sigev);
	l->sigev = NULL;
	os_signal_reset();
	free(l->heap);
	l->heap = NULL;
	l->nheap = l->heapcap = 0;
}

/* ---- descriptors ---- */

static void
oneshot_cb(evutil_socket_t fd, short what, void *arg)
{
	struct fiber *f = arg;

	(void)fd;
	(void)what;
	f->ev_on = false;
	fiber_make_ready(f, FIBER_READY);
}

void
fiber_wait_abandon(struct fiber *f)
{
	if (f->ev_on)
		(void)event_del(&f->ev);
	f->ev_on = false;
}

/* The wait itself cannot go on: told as ready, so that the caller's next system call says why. */
enum fiber_wait
fiber_wait_fd(int fd, int what, int64_t deadline)
{
	struct fiber *f = fiber_loop.current;
	enum fiber_wait r;

	assert(f != NULL);
	if (f->cancelled)
		return (FIBER_CANCELLED);
	if (deadline <= fiber_now())
		return (FIBER_TIMEOUT);
	if (event_assign(&f->ev, fiber_loop.base, fd, what == FIBER_WRITE ? EV_WRITE : EV_READ, oneshot_cb, f) == -1 ||
	    event_add(&f->ev, NULL) == -1)
		return (FIBER_READY);
	f->ev_on = true;
	r = fiber_switch_out(f, FS_WAIT, deadline);
	fiber_wait_abandon(f);
	return (r);
}

static void
io_cb(evutil_socket_t fd, short what, void *arg)
{
	struct fiber_io *io = arg;

	(void)fd;
	(void)what;
	if (io->reader != NULL) {
		fiber_make_ready(io->reader, FIBER_READY);
		return;
	}
	(void)event_del(&io->ev);
	io->on = false;
}

struct fiber_io *
fiber_io_new(int fd)
{
	struct fiber_io *io = xcalloc(1, sizeof(*io));

	io->fd = fd;
	io->generation = fiber_loop.generation;
	return (io);
}

enum fiber_wait
fiber_io_wait(struct fiber_io *io, int what, int64_t deadline)
{
	struct fiber *f = fiber_loop.current;
	enum fiber_wait r;

	if (what == FIBER_WRITE)
		return (fiber_wait_fd(io->fd, what, deadline));
	assert(f != NULL && io->reader == NULL && io->generation == fiber_loop.generation);
	if (f->cancelled)
		return (FIBER_CANCELLED);
	if (deadline <= fiber_now())
		return (FIBER_TIMEOUT);
	if (!io->on) {
		if (event_assign(&io->ev, fiber_loop.base, io->fd, EV_READ | EV_PERSIST, io_cb, io) == -1 ||
		    event_add(&io->ev, NULL) == -1)
			return (FIBER_READY);
		io->on = true;
	}
	io->reader = f;
	r = fiber_switch_out(f, FS_WAIT, deadline);
	io->reader = NULL;
	return (r);
}

void
fiber_io_close(struct fiber_io **iop)
{
	struct fiber_io *io = *iop;

	if (io == NULL)
		return;
	assert(io->reader == NULL);
	if (io->on && io->generation == fiber_loop.generation && fiber_loop.base != NULL)
		(void)event_del(&io->ev);
	free(io);
	*iop = NULL;
}

enum fiber_wait
fiber_sleep(int64_t ms)
{
	struct fiber *f = fiber_loop.current;
	enum fiber_wait r;

	assert(f != NULL);
	if (f->cancelled)
		return (FIBER_CANCELLED);
	r = fiber_switch_out(f, FS_WAIT, fiber_now() + (ms > 0 ? ms : 0));
	return (r == FIBER_TIMEOUT ? FIBER_READY : r);
}

/* ---- signals ---- */

static struct {
	void	(*fn)(void *, int);
	void	*arg;
} handlers[NSIG];

static void
signal_cb(evutil_socket_t fd, short what, void *arg)
{
	int sig;

	(void)fd;
	(void)what;
	(void)arg;
	while ((sig = os_signal_next()) != 0)
		if (sig < NSIG && handlers[sig].fn != NULL)
			handlers[sig].fn(handlers[sig].arg, sig);
}

int
fiber_signal(int sig, void (*fn)(void *arg, int sig), void *arg, struct err *err)
{
	struct loop *l = &fiber_loop;

	assert(l->base != NULL && sig > 0 && sig < NSIG);
	handlers[sig].fn = fn;
	handlers[sig].arg = arg;
	if (os_signal_add(sig) == -1)
		return (err_sys(err, "take in signal %d", sig));
	if (l->sigev != NULL)
		return (0);
	l->sigev = event_new(l->base, os_signal_fd(), EV_READ | EV_PERSIST, signal_cb, NULL);
	if (l->sigev == NULL || event_add(l->sigev, NULL) == -1)
		return (err_set(err, ERR_TEMP, NULL, "no event for signals"));
	return (0);
}
