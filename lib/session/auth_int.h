/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Authenticators of the configuration as their files share them: exim_auth.c chooses and judges, the others speak one
 * mechanism each.
 */
#ifndef VPOST_SESSION_AUTH_INT_H
#define VPOST_SESSION_AUTH_INT_H

#include "session/session_int.h"

#define AUTH_PARTS_MAX	20

/* One AUTH command under way. */
struct auth_try {
	struct session	*s;
	const struct exim_auth *a;
	struct sv	 initial;	/* decoded; p NULL: none came */
	struct exim_nums nums;		/* $1 and on, as long as $auth1 */
	unsigned	 n;
	struct err	*err;		/* why it is SAUTH_TEMP, for the log */
	bool		 tell;		/* and for the client */
};

/* The next of $auth1, $auth2 and so on is <v>, which is copied. */
void	 auth_part(struct auth_try *t, struct sv v);
/* Parts that NUL bytes separate. */
void	 auth_parts(struct auth_try *t, struct sv data);
/* $auth<n> (from 1) is <v>. */
void	 auth_set(struct auth_try *t, unsigned n, struct sv v);
/* SAUTH_OK, SAUTH_FAIL when it is forced, else SAUTH_TEMP and the reason.  An option that is not set: OK, p NULL. */
enum session_auth_result auth_expand(struct auth_try *t, const struct exim_value *v, struct sv *out);
/* server_condition; one that is not set says <dflt>. */
enum session_auth_result auth_judge(struct auth_try *t, enum session_auth_result dflt);
/* The initial response, else the answer to <challenge>; into <out>. */
enum session_auth_result auth_first(struct auth_try *t, struct sv challenge, struct sb *out);
/* <n> bytes nobody can guess. */
void	 auth_random(unsigned char *p, size_t n);
/* "<something.unique@host>", in the arena of the command. */
struct sv auth_challenge(struct auth_try *t, struct sv host);
/* The mechanism that an instance speaks: server_mech, else the public name. */
struct sv auth_mechanism(const struct exim_auth *a, const struct exim_value *server_mech);
/* CRAM-MD5 with <challenge> and the password that <secret> gives. */
enum session_auth_result auth_cram(struct auth_try *t, struct sv challenge, const struct exim_value *secret, struct sv realm);

enum session_auth_result auth_run_spa(struct auth_try *t);
enum session_auth_result auth_run_gsasl(struct auth_try *t);
enum session_auth_result auth_run_dovecot(struct auth_try *t);
enum session_auth_result auth_run_cyrus(struct auth_try *t);

#endif
