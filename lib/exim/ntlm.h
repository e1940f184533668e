/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NTLM, as "Secure Password Authentication" over AUTH: the three messages of a login ([MS-NLMP] 2.2.1), for both
 * sides.  A server takes answers of versions 1 and 2, a client gives version 1.
 */
#ifndef VPOST_EXIM_NTLM_H
#define VPOST_EXIM_NTLM_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/sb.h"

#define NTLM_CHALLENGE	8

/* Is this the client's first message? */
bool	 ntlm_is_first(struct sv msg);
/* The first message: <domain> and <host> may be empty. */
void	 ntlm_first(struct sb *out, struct sv domain, struct sv host);
/* The server's answer with <challenge>, telling <target> as its name. */
void	 ntlm_challenge(struct sb *out, const unsigned char challenge[NTLM_CHALLENGE], struct sv target);
/* The challenge of such an answer; false when it is none. */
bool	 ntlm_read_challenge(struct sv msg, unsigned char challenge[NTLM_CHALLENGE]);
/* The client's last message; false when the library lacks the old ciphers. */
bool	 ntlm_last(struct sb *out, const unsigned char challenge[NTLM_CHALLENGE], struct sv domain, struct sv user, struct sv password);

/* What the client's last message says. */
struct ntlm_answer {
	struct sv	 user, domain, host;	/* UTF-8, in the arena */
	struct sv	 nt;			/* the proof, in the message */
};
bool	 ntlm_read_last(struct sv msg, struct arena *a, struct ntlm_answer *out);
/* Does the proof belong to <password>? */
bool	 ntlm_proves(const struct ntlm_answer *x, const unsigned char challenge[NTLM_CHALLENGE], struct sv password);

#endif
