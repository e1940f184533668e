/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SCRAM (RFC 5802, 7677), for both sides of AUTH: the texts of an exchange and its proofs.  One struct scram is one
 * exchange; what its slices point to lies in the arena that was given.
 */
#ifndef VPOST_EXIM_SCRAM_H
#define VPOST_EXIM_SCRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/sv.h"

struct exim_world;

#define SCRAM_HASH_MAX	32
#define SCRAM_ITER_MAX	1000000

enum scram_hash { SCRAM_SHA1, SCRAM_SHA256 };

struct scram {
	enum scram_hash	 hash;
	struct arena	*arena;
	struct sv	 binding;	/* what binds to the channel, and its kind; empty: nothing */
	const char	*binding_name;
	struct sv	 gs2;		/* "n,," */
	struct sv	 first;		/* the client's first message without that */
	struct sv	 server_first;
	struct sv	 nonce;
	struct sv	 user, authz;	/* as the client gave them */
	unsigned char	 salted[SCRAM_HASH_MAX];
	unsigned char	 stored[SCRAM_HASH_MAX];
	unsigned char	 server_key[SCRAM_HASH_MAX];
	unsigned char	 client_key[SCRAM_HASH_MAX];
	unsigned char	 signature[SCRAM_HASH_MAX];	/* of the server, awaited */
};

/* Bytes of a hash. */
size_t	 scram_size(enum scram_hash h);
/* All keys from a clear password; false when the library fails or <iter> is out of bounds. */
bool	 scram_keys(struct scram *x, struct sv password, struct sv salt, int64_t iter);
/* The same on a thread of <w>, for it takes its time. */
bool	 scram_keys_by(const struct exim_world *w, struct scram *x, struct sv password, struct sv salt, int64_t iter);
/* The same from what scram_keys leaves in <salted>. */
bool	 scram_keys_salted(struct scram *x);
/* Overwrite the keys. */
void	 scram_forget(struct scram *x);

/* ---- server ---- */
/* Take the client's first message; <plus>: the mechanism binds to the channel.  False when it is malformed. */
bool	 scram_read_first(struct scram *x, struct sv msg, bool plus);
/* The answer, with <nonce> of our own behind the client's. */
struct sv scram_challenge(struct scram *x, struct sv nonce, struct sv salt, int64_t iter);
/* Is the client's last message good for <stored>?  *<out> is then what proves the server by <server_key>. */
bool	 scram_read_last(struct scram *x, struct sv msg, struct sv *out);

/* ---- client ---- */
struct sv scram_first(struct scram *x, struct sv user, struct sv authz, struct sv nonce);
/* What the server's first answer asks for; false when it is malformed or not ours. */
bool	 scram_read_challenge(struct scram *x, struct sv msg, struct sv *salt, int64_t *iter);
/* The last message, by the keys. */
bool	 scram_last(struct scram *x, struct sv *out);
/* Did the server prove itself? */
bool	 scram_server_proved(const struct scram *x, struct sv msg);

#endif
