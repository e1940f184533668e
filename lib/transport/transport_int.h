/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of lib/transport share. */
#ifndef VPOST_TRANSPORT_TRANSPORT_INT_H
#define VPOST_TRANSPORT_TRANSPORT_INT_H

#include "base/sb.h"
#include "mbox/content.h"
#include "transport/transport.h"

/* Stand for what is known only when the file is there; replaced by transport_template's "%i" and "%s". */
#define TRANSPORT_INODE_MARK	INT64_C(4611686018427387001)
#define TRANSPORT_SIZE_MARK	INT64_C(4611686018427387003)

/* Header lines with CRLF, without empty ones. */
struct sv transport_crlf(struct arena *a, struct sv text);

/* ---- preparing ---- */

struct prep {
	const struct transport_delivery *d;
	struct transport_job *j;
	struct transport_result *r;
	struct exim_env	*env;
	struct arena	*a;
	const char	*name;		/* of the transport */
};

/*
 * Expand option <v>; p NULL when it is not set (or its expansion was forced to fail and <forced_ok>).  -1 and the result (DEFER,
 * "Expansion of OPT failed for NAME transport: ...").
 */
int	 prep_str(struct prep *p, const struct exim_value *v, const char *opt, bool forced_ok, struct sv *out);
int	 prep_fail(struct prep *p, enum transport_status st, int64_t sys, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
int	 prep_appendfile(struct prep *p);
int	 prep_pipe(struct prep *p);
int	 prep_reply(struct prep *p);
int	 prep_lmtp(struct prep *p);
int	 prep_procmail(struct prep *p);
/* A decimal number for its mark in <text>, and "%" doubled. */
struct sv prep_template(struct arena *a, struct sv text, int64_t mark, char letter);

/* ---- executing ---- */

struct exec {
	const struct transport_job *j;
	struct arena	*a;
	struct transport_result *r;
	struct mbox_content c;		/* what is to be written: behind a transport_filter its output */
	struct mbox_format f;
	struct sb	 prefix, suffix;
	long		 process_limit;	/* of the program */
};
void	 exec_appendfile(struct exec *x);
void	 exec_pipe(struct exec *x);
void	 exec_reply(struct exec *x);
void	 exec_lmtp(struct exec *x);
void	 exec_procmail(struct exec *x);
void	 exec_look(struct exec *x);
/* A list as argv or environment: C strings, NULL at the end. */
const char *const *exec_strings(struct arena *a, const struct transport_list *l);
/* RLIMIT_NPROC for a program of <j>. */
long	 exec_process_limit(const struct transport_job *j);
/* The message goes through job's filter into <file>, which is x->c then; -1 and the result. */
int	 exec_filter(struct exec *x, FILE *file);
extern void (*exec_on_wait)(void);
void	 exec_fail(struct exec *x, enum transport_status st, int64_t sys, const char *fmt, ...)
	     __attribute__((format(printf, 4, 5)));

#endif
