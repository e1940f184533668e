/* SPDX-License-Identifier: BSD-2-Clause */
/* Clocks. */
#ifndef VPOST_OS_TIME_H
#define VPOST_OS_TIME_H

#include <stdint.h>

int64_t	 os_mono_ms(void);		/* CLOCK_MONOTONIC */
int64_t	 os_mono_us(void);
int64_t	 os_thread_us(void);		/* processor time of this thread */
int64_t	 os_wall_us(void);		/* since 1970 UTC */
void	 os_sleep_ms(int ms);		/* of the thread; not on the loop */

#endif
