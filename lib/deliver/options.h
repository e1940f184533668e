/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of an smtp transport (chapter 30 of Exim's manual) as what one connection to one host, and one message, need. */
#ifndef VPOST_DELIVER_OPTIONS_H
#define VPOST_DELIVER_OPTIONS_H

#include "deliver/client.h"
#include "exim/env.h"
#include "route/route.h"

/* ---- TLS contexts, one for each set of tls_* options that hosts need ---- */

struct deliver_tls;
struct deliver_tls *deliver_tls_new(void);
void	 deliver_tls_free(struct deliver_tls **tp);
/* A reference to the context of <c>; files that changed are read again.  NULL: *<err>. */
struct tls_client *deliver_tls_get(struct deliver_tls *t, const struct tls_client_conf *c, struct err *err);

/* ---- one connection ---- */

/*
 * Fill *<o> for a connection of <t> to <h>; texts live in <a>, which must outlive the connection.  env->addr gets $host and its
 * kin.  <tls> NULL: no TLS.  -1 and *<e> (TEMP): an option cannot be expanded, or DANE forbids it.  What was taken is
 * given back by deliver_options_free.
 */
int	 deliver_options(struct deliver_opts *o, struct exim_env *env, const struct exim_transport *t, const struct deliver_host *h,
	     struct deliver_tls *tls, struct arena *a, struct deliver_error *e);
void	 deliver_options_free(struct deliver_opts *o);
/*
 * A connection made with <o> is up: would it be made like that for what <env> tells now?  Not where another name would be
 * said, another address or another login used.  Sets $host, $tls_out_... and their kin.
 */
bool	 deliver_still_fits(const struct deliver_conn *c, const struct deliver_opts *o, struct exim_env *env,
	     const struct exim_transport *t, struct arena *a);
/* The ways of logging in that the configuration has (auths.c). */
void	 deliver_auths(struct deliver_opts *o, struct exim_env *env, struct arena *a);
/*
 * AUTH= and utf8_downconvert of one message over <c>; where that option is empty, m->downconvert stays as it was (control =
 * utf8_downconvert).  -1 TEMP: an option cannot be expanded.
 */
int	 deliver_message_options(struct deliver_message *m, struct exim_env *env, const struct exim_transport *t,
	     const struct deliver_conn *c, struct sv auth_sender, struct err *err);

/* Is <h> in the host list <v>? */
bool	 deliver_host_listed(struct exim_env *env, const struct exim_value *v, const struct deliver_host *h);
/* The text of an expanded option; p NULL: unset, or a forced failure.  -1 TEMP. */
int	 deliver_text(struct exim_env *env, const struct exim_value *v, struct sv *out, struct err *err);
bool	 deliver_bool(struct exim_env *env, const struct exim_value *v);
/* What RCPT says for <rd>: without the router's affixes, unless rcpt_include_affixes of the transport wants them. */
struct sv deliver_rcpt_address(const struct route_delivery *rd, struct arena *a);

/* ---- hosts (hosts.c) ---- */

struct deliver_hosts {
	struct deliver_host *v;
	size_t		 n;
	bool		 mx;		/* by MX records */
	/* Those that are tried when all of the others failed: the first is v[fallback]; n: none. */
	size_t		 fallback;
	const char	*unknown;	/* a host that could not be found */
	size_t		 unknown_at;	/* which would have been v[unknown_at] */
	const char	*why;
	bool		 local;		/* one was this host (its name is in <unknown>) and left out */
};

/* The port of a transport's hosts that name none; 0: it cannot be told. */
uint16_t deliver_port(struct exim_env *env, const struct exim_transport *t, uint16_t smtp_port);
/*
 * The hosts of <rd>, from the router or the transport's options, in the order in which they are tried, with ports.  <ops>
 * finds addresses and knows which are ours; all lives in <a>.  n 0: none, for a reason above, or there is no list at all.
 * -1 TEMP: an option cannot be expanded.
 */
int	 deliver_find_hosts(struct deliver_hosts *out, struct exim_env *env, const struct route_ops *ops,
	     const struct route_delivery *rd, uint16_t smtp_port, struct arena *a, struct err *err);
/* The order of trying, with the limits hosts_max_try and hosts_max_try_hardlimit (30.5). */
struct deliver_walk {
	const struct deliver_hosts *h;
	int64_t		 max, hard;
	int64_t		 counted, total;
	size_t		 next;
	bool		 in_fallback;
};
void	 deliver_walk_init(struct deliver_walk *w, const struct deliver_hosts *h, const struct exim_transport *t);
/* The next host to look at; false: no more. */
bool	 deliver_walk_next(struct deliver_walk *w, size_t *i);
/* Host <i> is going to be tried; <expired>: it is past its last cutoff and does not count. */
void	 deliver_walk_tries(struct deliver_walk *w, size_t i, bool expired);
/* The key of what is remembered of <h> (retry_include_ip_address), in <a>. */
const char *deliver_host_key(struct exim_env *env, const struct exim_transport *t, const struct deliver_host *h, struct arena *a);

#endif
