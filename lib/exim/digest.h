/* SPDX-License-Identifier: BSD-2-Clause */
/* DIGEST-MD5 (RFC 2831), the server's side, without a security layer. */
#ifndef VPOST_EXIM_DIGEST_H
#define VPOST_EXIM_DIGEST_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/sv.h"

struct digest_answer {
	struct sv	 user, realm, nonce, cnonce, nc, qop, uri, response, authz;
};

struct sv digest_challenge(struct arena *a, struct sv realm, struct sv nonce);
/* What a client answered; false when it is malformed or names something twice. */
bool	 digest_read(struct arena *a, struct sv msg, struct digest_answer *out);
/* Is <uri> "SERVICE/HOST" or "SERVICE/HOST/NAME"? */
bool	 digest_uri_is(struct sv uri, struct sv service, struct sv host);
/* Is the response made with <password>?  *<last> is then what shows that we know it too. */
bool	 digest_proves(struct arena *a, const struct digest_answer *x, struct sv password, struct sv *last);

#endif
