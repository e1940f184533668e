/* SPDX-License-Identifier: BSD-2-Clause */
/* What fiber.c (switching, scheduling), wait.c (descriptors, time) and offload.c (threads) share. */
#ifndef VPOST_FIBER_FIBER_INT_H
#define VPOST_FIBER_FIBER_INT_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "fiber/fiber.h"
#include "os/stack.h"

enum fiber_state {
	FS_READY,		/* on the ready queue or running */
	FS_PARK,		/* ended by fiber_wake */
	FS_WAIT,		/* ended by what it waits for: descriptor, list, time */
	FS_OFFLOAD		/* ended by its job only */
};

struct fiber {
	sigjmp_buf	 env;
	struct os_stack	 stack;
	void		*fake;		/* AddressSanitizer's side of the stack */
	const char	*name;
	void		(*fn)(void *);
	void		*arg;
	void		*local;
	struct fiber	*next;		/* ready queue */
	struct fiber	*pprev, *pnext;	/* parked list in order of parked_at, or free list */
	struct fiber	*wprev, *wnext;	/* list of waiters */
	struct fiber_waiters *waiters;
	struct fiber	*aprev, *anext;	/* all fibers that live */
	const char	*sp;		/* near the stack pointer while parked */
	int64_t		 parked_at;
	int64_t		 deadline;	/* of the present wait; FIBER_FOREVER if none */
	int64_t		 hkey;		/* key in the heap, at most <deadline> while waiting */
	size_t		 hpos;		/* place in the heap + 1; 0: not in it */
	enum fiber_state state;
	enum fiber_wait	 result;
	bool		 token;		/* woken before it parked */
	bool		 cancelled;
	bool		 on_parked;
	bool		 trimmed;	/* in the pool */
	bool		 ev_on;
	struct event	 ev;		/* one-shot wait */
};

struct loop {
	struct event_base *base;
	struct fiber	*current;
	struct fiber	*ready, **ready_tail;
	struct fiber	*parked, *parked_tail;
	struct fiber	*all;
	struct fiber	*pool, *pool_tail;	/* free ones, newest first */
	size_t		 npool, count, limit;
	int64_t		 now;
	bool		 pool_fresh;	/* some of the pool are not trimmed */
	bool		 stop;
	unsigned	 generation;	/* +1 in each child */
	sigjmp_buf	 env;
	const void	*main_base;	/* the thread's own stack, as AddressSanitizer names it */
	size_t		 main_size;
	struct fiber	**heap;
	size_t		 nheap, heapcap;
	struct event	*timer;
	int64_t		 timer_at;	/* FIBER_FOREVER: not armed */
	int64_t		 swept_at;
	struct event	*sigev;
};

extern struct loop fiber_loop;

/* Leave the running fiber; returns when something made it ready again. */
enum fiber_wait	 fiber_switch_out(struct fiber *f, enum fiber_state state, int64_t deadline);
void	 fiber_make_ready(struct fiber *f, enum fiber_wait result);

/* wait.c */
int	 fiber_timer_init(struct err *err);
void	 fiber_timer_set(struct fiber *f, int64_t deadline);
void	 fiber_timer_drop(struct fiber *f);
void	 fiber_timer_fini(void);
/* Have the loop wake in time for the earliest deadline, and for <extra>. */
void	 fiber_timer_arm(int64_t extra);
/* Make those ready whose deadline passed. */
void	 fiber_timer_expire(void);
/* <f> ends where it waits: take its event away. */
void	 fiber_wait_abandon(struct fiber *f);

/* offload.c */
int	 fiber_pool_init(struct err *err);
void	 fiber_pool_fini(bool child);

#endif
