/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server side of SASL, by libsasl2 with a store of its own: SCRAM-SHA-256 from
 * stored keys, CRAM-MD5 from clear passwords, PLAIN and LOGIN by a callback.  No
 * security layers, never ANONYMOUS.
 *
 * sasl_env_open once per process before any thread uses the rest; an exchange may be
 * stepped on any thread, one call at a time.  Steps may take a millisecond or, by the
 * backend, longer: not on the loop's thread.
 */
#ifndef VPOST_AUTH_SASL_H
#define VPOST_AUTH_SASL_H

#include <stdbool.h>

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

#define AUTH_SASL_PLAIN	"PLAIN LOGIN SCRAM-SHA-256"
#define AUTH_SASL_ALL	"PLAIN LOGIN SCRAM-SHA-256 CRAM-MD5"

enum sasl_check { SASL_CHECK_OK, SASL_CHECK_WRONG, SASL_CHECK_TEMP };

struct sasl_backend {
	/*
	 * What is stored for <user>: append "SCRAM-SHA-256$..." to <scram>, or the clear password to
	 * <plain>.  What is asked for is not NULL.  For an unknown user a made-up key, so that the exchange fails only at its end.
	 */
	void		(*secret)(void *arg, struct sv user, struct sb *scram, struct sb *plain);
	/* Is this the password?  For PLAIN and LOGIN. */
	enum sasl_check	(*check)(void *arg, struct sv user, struct sv password);
};

int	 sasl_env_open(const struct sasl_backend *backend, struct err *err);
void	 sasl_env_close(void);

struct sasl_exchange;

enum sasl_step {
	SASL_STEP_OK,
	SASL_STEP_CONTINUE,
	SASL_STEP_WRONG,	/* password or user name */
	SASL_STEP_BAD,		/* the client does not follow the mechanism: PERM */
	SASL_STEP_TEMP
};

/*
 * Begin.  <mech> must be one of <allowed> (blank-separated); else SASL_STEP_BAD and *<xp> NULL.  <initial> NULL: none was sent.
 * <out> is what to send.  <arg> goes to the backend.  *<xp> lives until sasl_exchange_free.
 */
enum sasl_step sasl_exchange_start(struct sasl_exchange **xp, const char *service, const char *host, const char *allowed,
	     struct sv mech, const struct sv *initial, void *arg, struct sb *out, struct err *err);
enum sasl_step sasl_exchange_step(struct sasl_exchange *x, struct sv in, struct sb *out, struct err *err);
/* Whom the client says it is; after SASL_STEP_OK proven, before "" or a guess. */
struct sv sasl_exchange_user(const struct sasl_exchange *x);
void	 sasl_exchange_free(struct sasl_exchange **xp);

#endif
