/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers from text, with a range; nothing else parses numbers. */
#ifndef VPOST_BASE_NUM_H
#define VPOST_BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sv.h"

/* All of <v> is a decimal number (with '-' where <min> is negative) in [min, max]. */
bool	 num_parse(struct sv v, int64_t min, int64_t max, int64_t *out);
bool	 num_parse_u64(struct sv v, uint64_t max, uint64_t *out);
/* Decimal with optional K, M or G (powers of 1024). */
bool	 num_parse_size(struct sv v, int64_t max, int64_t *out);
/* Exim's time: 1w2d3h4m5s, each part at most once in this order; a bare number is seconds. */
bool	 num_parse_time(struct sv v, int64_t *seconds);

#endif
