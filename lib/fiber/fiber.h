/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fibers: straight-line C on small stacks, scheduled by one libevent base per
 * process.  What would block parks the fiber; nothing else runs on the loop's
 * thread meanwhile but other fibers.  All functions belong to the loop's thread
 * unless they say otherwise.
 *
 * A fiber holds no lock, no LMDB transaction and no borrowed pointer across a
 * park.  Signals are blocked on fibers; fiber_signal() gives them to a callback
 * on the loop.
 */
#ifndef VPOST_FIBER_FIBER_H
#define VPOST_FIBER_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct fiber;
struct event_base;

enum fiber_wait {
	FIBER_READY,		/* what was waited for happened */
	FIBER_TIMEOUT,
	FIBER_CANCELLED		/* fiber_cancel() was called: unwind and return soon */
};

#define FIBER_READ	1
#define FIBER_WRITE	2

#define FIBER_NOW_PLUS(ms)	(fiber_now() + (ms))
#define FIBER_FOREVER		INT64_MAX

/* Make this process's loop.  After fork the child calls fiber_reinit() (fibers of the parent do not exist in it). */
int	 fiber_init(struct err *err);
int	 fiber_reinit(struct err *err);
void	 fiber_fini(void);
struct event_base *fiber_base(void);
/* Run until fiber_stop() or until no fiber is left. */
void	 fiber_run(void);
void	 fiber_stop(void);

/* Milliseconds of CLOCK_MONOTONIC as of this turn of the loop. */
int64_t	 fiber_now(void);

/*
 * Start a fiber that runs <fn>(<arg>) from the next turn on.  <name> is a string
 * constant for traces.  NULL when the limit of fibers is reached.  The stack is
 * 256 KiB of address space (1 MiB under sanitizers) with a guard page; only
 * touched pages count, and pages below the stack pointer of a fiber that has
 * been parked for two seconds are given back to the system.
 */
struct fiber *fiber_spawn(const char *name, void (*fn)(void *arg), void *arg);
size_t	 fiber_count(void);
void	 fiber_set_limit(size_t n);
/* The running fiber; NULL on the loop itself. */
struct fiber *fiber_self(void);
/* Give the running fiber a pointer of its own (the session's log context). */
void	 fiber_set_local(void *p);
void	*fiber_local(void);

/* Wait until <fd> is ready for <what> (FIBER_READ or FIBER_WRITE), or until <deadline> (of fiber_now()). */
enum fiber_wait fiber_wait_fd(int fd, int what, int64_t deadline);
/*
 * A descriptor that is waited for again and again (sessions, listeners): it stays registered, so that
 * most waits cost no system call.  Level-triggered like fiber_wait_fd, which registers anew each time.
 * At most one fiber waits for each direction.  fiber_io_close() comes before close(2) of the descriptor
 * and closes it not; it accepts NULL, and clears the pointer.
 */
struct fiber_io;
struct fiber_io *fiber_io_new(int fd);
enum fiber_wait fiber_io_wait(struct fiber_io *io, int what, int64_t deadline);
void	 fiber_io_close(struct fiber_io **iop);

enum fiber_wait fiber_sleep(int64_t ms);
/* Let other ready fibers and events run first. */
void	 fiber_yield(void);
/* Park until fiber_wake(); a wake that came first makes it return at once. */
enum fiber_wait fiber_park(int64_t deadline);
void	 fiber_wake(struct fiber *f);
/* Make every present and later wait of <f> return FIBER_CANCELLED.  <f> is gone when its function returned. */
void	 fiber_cancel(struct fiber *f);
bool	 fiber_cancelled(void);

/*
 * Run <fn>(<arg>) on a thread of the pool and park until it returned.  The job
 * owns what <arg> points to; a cancel does not interrupt it.
 */
void	 fiber_offload(void (*fn)(void *arg), void *arg);

/*
 * Call <fn>(<arg>) on the loop at the end of each turn, when every ready fiber has run and before the loop
 * waits again: the place to write what was gathered.  It must not park.  Stays until fiber_fini or
 * fiber_reinit; registering the same pair again does nothing.
 */
void	 fiber_on_turn_end(void (*fn)(void *arg), void *arg);

/* Call <fn>(<arg>, <sig>) on the loop for each <sig>. */
int	 fiber_signal(int sig, void (*fn)(void *arg, int sig), void *arg, struct err *err);

/* A list of waiting fibers, for conditions.  Zeroed memory is an empty one. */
struct fiber_waiters {
	struct fiber	*head;
	struct fiber	*tail;
};
enum fiber_wait fiber_waiters_wait(struct fiber_waiters *w, int64_t deadline);
void	 fiber_waiters_wake_all(struct fiber_waiters *w);
void	 fiber_waiters_wake_one(struct fiber_waiters *w);

#endif
