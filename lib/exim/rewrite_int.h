/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading of rewrite and retry rules; used by the loader and by headers_rewrite. */
#ifndef VPOST_EXIM_REWRITE_INT_H
#define VPOST_EXIM_REWRITE_INT_H

#include "exim/conf.h"

/* One line of the rewrite section, or with <transport> an item of headers_rewrite.  -1 and told to <rep>. */
int	 exim_rewrite_parse(struct arena *a, struct sv text, bool transport, const char *file, unsigned line,
	     struct exim_report *rep, struct exim_rewrite_rule *out);
/* All items of headers_rewrite. */
int	 exim_rewrites_parse_list(struct arena *a, struct sv text, const char *file, unsigned line, struct exim_report *rep,
	     struct exim_rewrites *out);
/* One line of the retry section. */
int	 exim_retry_parse(struct arena *a, struct sv text, const char *file, unsigned line, struct exim_report *rep,
	     struct exim_retry_rule *out);
/* <pattern> as a list of this one item. */
const struct exim_list *exim_single_list(struct arena *a, enum exim_list_kind kind, struct sv pattern, const char *file,
	     unsigned line, struct exim_report *rep);

#endif
