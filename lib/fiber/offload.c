/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocking calls on threads.  Up to eight threads are made as jobs come; they take no
 * signals and touch nothing of the loop but the list of finished jobs.  A job lies on
 * its fiber's stack, and the fiber stays parked until the job returned.
 */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "fiber/fiber_int.h"
#include "os/fd.h"

#define THREADS_MAX	8
#define THREAD_STACK	((size_t)1024 * 1024)

struct job {
	void		(*fn)(void *);
	void		*arg;
	struct fiber	*fiber;
	struct job	*next;
};

static struct {
	pthread_mutex_t	 lock;
	pthread_cond_t	 work;
	struct job	*queue, **queue_tail;
	struct job	*done;
	size_t		 queued, idle, threads;
	pthread_t	 tid[THREADS_MAX];
	bool		 stop;
	struct os_wakeup wakeup;
	struct event	*ev;
} pool = { .wakeup = { -1, -1 } };

static void *
thread_main(void *arg)
{
	(void)pthread_mutex_lock(&pool.lock);
	for (;;) {
		struct job *j;
		bool first;

		while ((j = pool.queue) == NULL && !pool.stop) {
			pool.idle++;
			(void)pthread_cond_wait(&pool.work, &pool.lock);
			pool.idle--;
		}
		if (j == NULL)
			break;
		if ((pool.queue = j->next) == NULL)
			pool.queue_tail = &pool.queue;
		pool.queued--;
		(void)pthread_mutex_unlock(&pool.lock);
		j->fn(j->arg);
		(void)pthread_mutex_lock(&pool.lock);
		first = pool.done == NULL;
		j->next = pool.done;
		pool.done = j;
		if (!first)
			continue;
		/* Not under the lock: the loop would wake up only to sleep again until it gets it. */
		(void)pthread_mutex_unlock(&pool.lock);
		os_wakeup_set(&pool.wakeup);
		(void)pthread_mutex_lock(&pool.lock);
	}
	(void)pthread_mutex_unlock(&pool.lock);
	return (arg);
}

static void
done_cb(evutil_socket_t fd, short what, void *arg)
{
	struct job *j, *list = NULL;

	(void)fd;
	(void)what;
	(void)arg;
	os_wakeup_clear(&pool.wakeup);
	(void)pthread_mutex_lock(&pool.lock);
	while ((j = pool.done) != NULL) {
		pool.done = j->next;
		j->next = list;
		list = j;
	}
	(void)pthread_mutex_unlock(&pool.lock);
	/* Once its fiber is ready a job may be gone as soon as that fiber runs: not before we return. */
	for (; list != NULL; list = list->next)
		fiber_make_ready(list->fiber, FIBER_READY);
}

static bool
start_thread(void)
{
	pthread_attr_t at;
	sigset_t all, old;
	int rc;

	(void)sigfillset(&all);
	(void)pthread_attr_init(&at);
	(void)pthread_attr_setstacksize(&at, THREAD_STACK);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&pool.tid[pool.threads], &at, thread_main, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&at);
	if (rc == 0)
		pool.threads++;
	return (rc == 0);
}

void
fiber_offload(void (*fn)(void *arg), void *arg)
{
	struct job j = { .fn = fn, .arg = arg, .fiber = fiber_loop.current };

	if (j.fiber == NULL) {
		fn(arg);
		return;
	}
	(void)pthread_mutex_lock(&pool.lock);
	if (pool.queued >= pool.idle && pool.threads < THREADS_MAX && !start_thread() && pool.threads == 0) {
		(void)pthread_mutex_unlock(&pool.lock);
		fn(arg);
		return;
	}
	*pool.queue_tail = &j;
	pool.queue_tail = &j.next;
	pool.queued++;
	(void)pthread_mutex_unlock(&pool.lock);
	(void)pthread_cond_signal(&pool.work);
	(void)fiber_switch_out(j.fiber, FS_OFFLOAD, FIBER_FOREVER);
}

int
fiber_pool_init(struct err *err)
{
	memset(&pool, 0, sizeof(pool));
	pool.queue_tail = &pool.queue;
	pool.wakeup.rfd = pool.wakeup.wfd = -1;
	(void)pthread_mutex_init(&pool.lock, NULL);
	(void)pthread_cond_init(&pool.work, NULL);
	if (os_wakeup_open(&pool.wakeup) == -1)
		return (err_sys(err, "wake-up descriptor of the loop"));
	pool.ev = event_new(fiber_loop.base, pool.wakeup.rfd, EV_READ | EV_PERSIST, done_cb, NULL);
	if (pool.ev == NULL || event_add(pool.ev, NULL) == -1)
		return (err_set(err, ERR_TEMP, NULL, "no event for the wake-up descriptor"));
	return (0);
}

/* In a forked <child> the threads do not exist: only the descriptors are closed. */
void
fiber_pool_fini(bool child)
{
	if (!child) {
		(void)pthread_mutex_lock(&pool.lock);
		pool.stop = true;
		(void)pthread_cond_broadcast(&pool.work);
		(void)pthread_mutex_unlock(&pool.lock);
		for (size_t i = 0; i < pool.threads; i++)
			(void)pthread_join(pool.tid[i], NULL);
	}
	if (pool.ev != NULL)
		event_free(pool.ev);
	pool.ev = NULL;
	os_wakeup_close(&pool.wakeup);
}
