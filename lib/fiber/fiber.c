/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fibers: making, switching and scheduling them.  A new stack is entered through
 * ucontext once; every later switch is a siglongjmp between the loop and the fiber,
 * without a system call.  A fiber whose function returned stays with its stack in a
 * pool, waiting in its trampoline for the next function.
 *
 * This file is compiled without _FORTIFY_SOURCE, whose longjmp takes a jump to
 * another stack for an attack.
 */
#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "base/arena.h"
#include "base/vec.h"
#include "fiber/fiber_int.h"
#include "os/signal.h"
#include "os/time.h"

#define POOL_MAX	256
#define LIMIT_DEFAULT	30000	/* two mappings each, of vm.max_map_count's 65530 */
#define TRIM_AFTER_MS	2000

struct turn_hook {
	void	(*fn)(void *);
	void	*arg;
};

struct loop fiber_loop = { .ready_tail = &fiber_loop.ready, .limit = LIMIT_DEFAULT, .timer_at = FIBER_FOREVER };
static VEC(struct turn_hook) hooks;

/* ---- lists ---- */

static void
parked_add(struct fiber *f)
{
	struct loop *l = &fiber_loop;

	f->parked_at = l->now;
	f->pnext = NULL;
	f->pprev = l->parked_tail;
	if (l->parked_tail != NULL)
		l->parked_tail->pnext = f;
	else
		l->parked = f;
	l->parked_tail = f;
	f->on_parked = true;
}

static void
parked_del(struct fiber *f)
{
	struct loop *l = &fiber_loop;

	if (!f->on_parked)
		return;
	*(f->pprev != NULL ? &f->pprev->pnext : &l->parked) = f->pnext;
	*(f->pnext != NULL ? &f->pnext->pprev : &l->parked_tail) = f->pprev;
	f->on_parked = false;
}

static void
ready_add(struct fiber *f)
{
	f->next = NULL;
	*fiber_loop.ready_tail = f;
	fiber_loop.ready_tail = &f->next;
}

static void
pool_add(struct fiber *f)
{
	struct loop *l = &fiber_loop;

	f->parked_at = l->now;
	f->trimmed = false;
	l->pool_fresh = true;
	f->pprev = NULL;
	f->pnext = l->pool;
	*(l->pool != NULL ? &l->pool->pprev : &l->pool_tail) = f;
	l->pool = f;
	l->npool++;
}

static struct fiber *
pool_take(void)
{
	struct loop *l = &fiber_loop;
	struct fiber *f = l->pool;

	if (f == NULL)
		return (NULL);
	l->pool = f->pnext;
	*(l->pool != NULL ? &l->pool->pprev : &l->pool_tail) = NULL;
	l->npool--;
	return (f);
}

/* ---- switching ---- */

/* From the loop into <f>; returns when it leaves again. */
static void
switch_in(struct fiber *f)
{
	struct loop *l = &fiber_loop;
	void *fake = NULL;

	l->current = f;
	if (sigsetjmp(l->env, 0) == 0) {
		os_stack_leave(&fake, f->stack.base, f->stack.size);
		siglongjmp(f->env, 1);
	}
	os_stack_entered(fake, NULL, NULL);
	l->current = NULL;
}

/* From <f> to the loop; returns when the loop switches in again. */
static void
switch_out(struct fiber *f)
{
	struct loop *l = &fiber_loop;

	f->sp = __builtin_frame_address(0);
	if (sigsetjmp(f->env, 0) == 0) {
		os_stack_leave(&f->fake, l->main_base, l->main_size);
		siglongjmp(l->env, 1);
	}
	os_stack_entered(f->fake, &l->main_base, &l->main_size);
}

static void
finish(struct fiber *f)
{
	struct loop *l = &fiber_loop;

	assert(f->waiters == NULL);
	fiber_timer_drop(f);
	*(f->aprev != NULL ? &f->aprev->anext : &l->all) = f->anext;
	if (f->anext != NULL)
		f->anext->aprev = f->aprev;
	l->count--;
	f->fn = NULL;
}

static _Noreturn void
trampoline(struct fiber *f)
{
	for (;;) {
		f->fn(f->arg);
		finish(f);
		switch_out(f);
	}
}

/* makecontext passes ints only, so the fiber to start stands here. */
static struct fiber *starting;
static ucontext_t start_uc;

static void
entry(void)
{
	struct fiber *f = starting;

	os_stack_entered(NULL, &fiber_loop.main_base, &fiber_loop.main_size);
	f->sp = __builtin_frame_address(0);
	if (sigsetjmp(f->env, 0) == 0) {
		os_stack_leave(&f->fake, fiber_loop.main_base, fiber_loop.main_size);
		siglongjmp(fiber_loop.env, 1);
	}
	os_stack_entered(f->fake, &fiber_loop.main_base, &fiber_loop.main_size);
	trampoline(f);
}

/* Run entry() of a new stack up to its first sigsetjmp. */
static int
prime(struct fiber *f)
{
	static ucontext_t uc;
	sigjmp_buf env;
	void *fake = NULL;

	if (getcontext(&uc) == -1)
		return (-1);
	uc.uc_link = NULL;
	uc.uc_stack.ss_sp = f->stack.base;
	uc.uc_stack.ss_size = f->stack.size;
	makecontext(&uc, entry, 0);
	starting = f;
	/* A running fiber may spawn: the loop's own jump buffer must survive. */
	memcpy(&env, &fiber_loop.env, sizeof(env));
	if (sigsetjmp(fiber_loop.env, 0) == 0) {
		os_stack_leave(&fake, f->stack.base, f->stack.size);
		(void)swapcontext(&start_uc, &uc);
		abort();
	}
	os_stack_entered(fake, NULL, NULL);
	memcpy(&fiber_loop.env, &env, sizeof(env));
	return (0);
}

static struct fiber *
make(void)
{
	struct fiber *f = xcalloc(1, sizeof(*f));
	const void *base = fiber_loop.main_base;
	size_t size = fiber_loop.main_size;

	if (os_stack_alloc(&f->stack) == -1) {
		free(f);
		return (NULL);
	}
	if (prime(f) == -1) {
		os_stack_free(&f->stack);
		free(f);
		return (NULL);
	}
	/* When a fiber primes another, the stack it came from is not the loop's. */
	if (fiber_loop.current != NULL) {
		fiber_loop.main_base = base;
		fiber_loop.main_size = size;
	}
	return (f);
}

static void
destroy(struct fiber *f)
{
	os_stack_free(&f->stack);
	free(f);
}

/* ---- the interface ---- */

struct fiber *
fiber_spawn(const char *name, void (*fn)(void *arg), void *arg)
{
	struct loop *l = &fiber_loop;
	struct fiber *f;

	assert(l->base != NULL);
	if (l->count >= l->limit)
		return (NULL);
	if ((f = pool_take()) == NULL && (f = make()) == NULL)
		return (NULL);
	f->name = name;
	f->fn = fn;
	f->arg = arg;
	f->local = NULL;
	f->token = f->cancelled = false;
	f->state = FS_READY;
	f->deadline = FIBER_FOREVER;
	f->aprev = NULL;
	f->anext = l->all;
	if (l->all != NULL)
		l->all->aprev = f;
	l->all = f;
	l->count++;
	ready_add(f);
	return (f);
}

size_t
fiber_count(void)
{
	return (fiber_loop.count);
}

void
fiber_set_limit(size_t n)
{
	fiber_loop.limit = n;
}

struct fiber *
fiber_self(void)
{
	return (fiber_loop.current);
}

void
fiber_set_local(void *p)
{
	assert(fiber_loop.current != NULL);
	fiber_loop.current->local = p;
}

void *
fiber_local(void)
{
	return (fiber_loop.current != NULL ? fiber_loop.current->local : NULL);
}

int64_t
fiber_now(void)
{
	if (fiber_loop.now == 0)
		fiber_loop.now = os_mono_ms();
	return (fiber_loop.now);
}

enum fiber_wait
fiber_switch_out(struct fiber *f, enum fiber_state state, int64_t deadline)
{
	f->state = state;
	f->deadline = deadline;
	if (deadline != FIBER_FOREVER)
		fiber_timer_set(f, deadline);
	parked_add(f);
	switch_out(f);
	f->deadline = FIBER_FOREVER;
	return (f->result);
}

void
fiber_make_ready(struct fiber *f, enum fiber_wait result)
{
	if (f->state == FS_READY)
		return;
	parked_del(f);
	f->state = FS_READY;
	f->result = result;
	ready_add(f);
}

void
fiber_yield(void)
{
	struct fiber *f = fiber_loop.current;

	assert(f != NULL);
	f->state = FS_READY;
	ready_add(f);
	switch_out(f);
}

enum fiber_wait
fiber_park(int64_t deadline)
{
	struct fiber *f = fiber_loop.current;

	assert(f != NULL);
	if (f->cancelled)
		return (FIBER_CANCELLED);
	if (!f->token && deadline <= fiber_now())
		return (FIBER_TIMEOUT);
	if (!f->token) {
		enum fiber_wait r = fiber_switch_out(f, FS_PARK, deadline);

		/* A wake that came between the timeout and now must not be lost. */
		if (f->token && r == FIBER_TIMEOUT)
			r = FIBER_READY;
		f->token = false;
		return (r);
	}
	f->token = false;
	return (FIBER_READY);
}

void
fiber_wake(struct fiber *f)
{
	if (f->state == FS_PARK)
		fiber_make_ready(f, FIBER_READY);
	else
		f->token = true;
}

void
fiber_cancel(struct fiber *f)
{
	f->cancelled = true;
	if (f->state == FS_PARK || f->state == FS_WAIT)
		fiber_make_ready(f, FIBER_CANCELLED);
}

bool
fiber_cancelled(void)
{
	return (fiber_loop.current != NULL && fiber_loop.current->cancelled);
}

static void
waiters_del(struct fiber *f)
{
	struct fiber_waiters *w = f->waiters;

	*(f->wprev != NULL ? &f->wprev->wnext : &w->head) = f->wnext;
	*(f->wnext != NULL ? &f->wnext->wprev : &w->tail) = f->wprev;
	f->waiters = NULL;
}

enum fiber_wait
fiber_waiters_wait(struct fiber_waiters *w, int64_t deadline)
{
	struct fiber *f = fiber_loop.current;
	enum fiber_wait r;

	assert(f != NULL && f->waiters == NULL);
	if (f->cancelled)
		return (FIBER_CANCELLED);
	if (deadline <= fiber_now())
		return (FIBER_TIMEOUT);
	f->waiters = w;
	f->wnext = NULL;
	f->wprev = w->tail;
	*(w->tail != NULL ? &w->tail->wnext : &w->head) = f;
	w->tail = f;
	r = fiber_switch_out(f, FS_WAIT, deadline);
	if (f->waiters != NULL)
		waiters_del(f);
	return (r);
}

void
fiber_waiters_wake_one(struct fiber_waiters *w)
{
	struct fiber *f = w->head;

	/* Those that time or a cancel made ready already do not count as the one. */
	while (f != NULL && f->state == FS_READY)
		f = f->wnext;
	if (f == NULL)
		return;
	waiters_del(f);
	fiber_make_ready(f, FIBER_READY);
}

void
fiber_waiters_wake_all(struct fiber_waiters *w)
{
	struct fiber *f;

	while ((f = w->head) != NULL) {
		waiters_del(f);
		fiber_make_ready(f, FIBER_READY);
	}
}

/* ---- the loop ---- */

void
fiber_on_turn_end(void (*fn)(void *arg), void *arg)
{
	for (size_t i = 0; i < hooks.len; i++)
		if (hooks.p[i].fn == fn && hooks.p[i].arg == arg)
			return;
	vec_push(&hooks, ((struct turn_hook){ fn, arg }));
}

static void
retire(struct fiber *f)
{
	if (fiber_loop.npool < POOL_MAX)
		pool_add(f);
	else
		destroy(f);
}

/* Run what is ready now; what becomes ready meanwhile waits for the next turn. */
static void
run_ready(void)
{
	struct loop *l = &fiber_loop;
	struct fiber *f, *list = l->ready;

	l->ready = NULL;
	l->ready_tail = &l->ready;
	while ((f = list) != NULL) {
		list = f->next;
		switch_in(f);
		if (f->fn == NULL)
			retire(f);
	}
}

/* Give back stack pages of those that wait for long, each once per park, and of the pool. */
static void
sweep(void)
{
	struct loop *l = &fiber_loop;
	struct fiber *f;

	if (l->now - l->swept_at < 1000)
		return;
	while ((f = l->parked) != NULL && l->now - f->parked_at >= TRIM_AFTER_MS) {
		parked_del(f);
		os_stack_trim(&f->stack, f->sp);
	}
	for (f = l->pool, l->pool_fresh = false; f != NULL; f = f->pnext) {
		if (f->trimmed)
			continue;
		if (l->now - f->parked_at < TRIM_AFTER_MS) {
			l->pool_fresh = true;
			continue;
		}
		os_stack_trim(&f->stack, f->sp);
		f->trimmed = true;
	}
	l->swept_at = l->now;
}

void
fiber_run(void)
{
	struct loop *l = &fiber_loop;

	assert(l->base != NULL && l->current == NULL);
	l->stop = false;
	l->now = os_mono_ms();
	while (!l->stop && l->count > 0) {
		run_ready();
		for (size_t i = 0; i < hooks.len; i++)
			hooks.p[i].fn(hooks.p[i].arg);
		if (l->stop || l->count == 0)
			break;
		sweep();
		fiber_timer_arm(l->parked != NULL || l->pool_fresh ? l->swept_at + 1000 : FIBER_FOREVER);
		/* ONCE in both cases: NONBLOCK alone goes on for as long as a level-triggered event stays. */
		(void)event_base_loop(l->base, EVLOOP_ONCE | (l->ready != NULL ? EVLOOP_NONBLOCK : 0));
		l->now = os_mono_ms();
		fiber_timer_expire();
	}
	for (size_t i = 0; i < hooks.len; i++)
		hooks.p[i].fn(hooks.p[i].arg);
}

void
fiber_stop(void)
{
	fiber_loop.stop = true;
	if (fiber_loop.base != NULL)
		(void)event_base_loopbreak(fiber_loop.base);
}

struct event_base *
fiber_base(void)
{
	return (fiber_loop.base);
}

int
fiber_init(struct err *err)
{
	struct loop *l = &fiber_loop;
	struct event_config *cfg;

	assert(l->base == NULL);
	os_signal_ignore_pipe();
	if ((cfg = event_config_new()) != NULL) {
		/* One thread uses the base; other threads come through a wake-up descriptor. */
		(void)event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
		l->base = event_base_new_with_config(cfg);
		event_config_free(cfg);
	}
	if (l->base == NULL)
		return (err_set(err, ERR_TEMP, NULL, "no event loop: libevent could not start"));
	l->ready_tail = l->ready == NULL ? &l->ready : l->ready_tail;
	l->now = l->swept_at = os_mono_ms();
	if (fiber_timer_init(err) == -1 || fiber_pool_init(err) == -1) {
		fiber_fini();
		return (-1);
	}
	return (0);
}

void
fiber_fini(void)
{
	struct loop *l = &fiber_loop;
	struct fiber *f;

	assert(l->current == NULL);
	if (l->base == NULL)
		return;
	fiber_pool_fini(false);
	while ((f = l->all) != NULL) {
		l->all = f->anext;
		fiber_wait_abandon(f);
		destroy(f);
	}
	while ((f = pool_take()) != NULL)
		destroy(f);
	l->ready = l->parked = l->parked_tail = NULL;
	l->ready_tail = &l->ready;
	l->count = 0;
	fiber_timer_fini();
	event_base_free(l->base);
	l->base = NULL;
	vec_free(&hooks);
}

int
fiber_reinit(struct err *err)
{
	struct loop *l = &fiber_loop;
	struct fiber *self = l->current;

	l->generation++;
	if (l->base == NULL)
		return (fiber_init(err));
	/* First let go of the parent's epoll set, or freeing our base would change it. */
	(void)event_reinit(l->base);
	fiber_pool_fini(true);
	fiber_timer_fini();
	/* The parent's fibers hold memory of theirs: forgotten, not freed. */
	l->all = l->parked = l->parked_tail = NULL;
	l->ready = NULL;
	l->ready_tail = &l->ready;
	l->count = 0;
	event_base_free(l->base);
	l->base = NULL;
	vec_free(&hooks);
	if (self != NULL) {
		/* The caller is a fiber: it lives on as the only one. */
		self->aprev = self->anext = NULL;
		self->hpos = 0;
		l->all = self;
		l->count = 1;
	}
	return (fiber_init(err));
}
