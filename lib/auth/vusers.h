/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * etc/vusers, the box's virtual users, in the form of a passwd-file:
 *
 *	user:password:uid:gid:gecos:home:shell
 *
 * Only the first two fields are needed.  A password is "{SCHEME}text" or text that
 * tells its own scheme: "SCRAM-SHA-256$iter:salt$StoredKey:ServerKey" (RFC 5803), crypt(3)
 * ("$y$", "$6$", "$5$", "$2b$"), {PLAIN}text.  "" , "*" and "!..." let nobody in.
 */
#ifndef VPOST_AUTH_VUSERS_H
#define VPOST_AUTH_VUSERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

#define VUSERS_NAME_WARN	16	/* longer names are refused by the tools: older programs cut them */
#define VUSERS_NAME_MAX		127
#define VUSERS_FILE_MAX		(64 * 1024 * 1024)

struct vusers;

struct vuser {
	struct sv	 name;
	struct sv	 password;
	struct sv	 uid, gid, gecos, home, shell;	/* as written, may be empty */
	unsigned	 line;
};

/* ---- pure ---- */

/*
 * Parse the text of a vusers file; it is copied.  <report> (may be NULL) is called for each bad line ("etc/vusers:3: ..."),
 * which is skipped; <file> is the name in these texts.  Never NULL.
 */
struct vusers *vusers_parse(struct sv text, const char *file, void (*report)(void *arg, const struct err *e), void *arg);
void	 vusers_free(struct vusers **vp);
/* NULL if there is none; valid as long as <v>.  Names are compared without regard to ASCII case. */
const struct vuser *vusers_get(const struct vusers *v, struct sv name);
size_t	 vusers_count(const struct vusers *v);
const struct vuser *vusers_at(const struct vusers *v, size_t i);

/*
 * May <name> be the name of a new user?  -1 and a text that says why not: empty, a dot (it separates folder names in IMAP),
 * more than 16 characters, other characters than letters, digits, '-' and '_'.
 */
int	 vusers_name_check(struct sv name, struct err *err);

enum vusers_scheme { VUSERS_NONE, VUSERS_SCRAM, VUSERS_CRYPT, VUSERS_PLAIN, VUSERS_UNKNOWN };
/* How <stored> is kept; *<text> (may be NULL) is what follows a "{SCHEME}". */
enum vusers_scheme vusers_scheme(struct sv stored, struct sv *text);
/* Costs about a millisecond for SCRAM keys, more for crypt: not on the loop's thread of a busy process. */
bool	 vusers_verify(struct sv stored, struct sv password);

/* Stored form of a new password: SCRAM-SHA-256 with 4096 rounds and a fresh salt. */
int	 vusers_hash(struct sv password, struct sb *out, struct err *err);
/* The same with a given salt and count (tests, and keys made anew from known ones). */
int	 vusers_scram_key(struct sv password, struct sv salt, unsigned iter, struct sb *out, struct err *err);

/* ---- files ---- */

int	 vusers_read(struct vusers **vp, const char *path, void (*report)(void *arg, const struct err *e), void *arg,
	     struct err *err);
/*
 * Add a user, set its password, or remove it, under <path>.lock, by a new file renamed over the old (mode kept, 0600 if new);
 * comments and other lines stay as they are.  vusers_file_set adds the user when it is not there; fields that are NULL
 * stay as they are (empty in a new line).  Returns 1 when an entry was added, 0 when changed, -1 otherwise; vusers_file_del:
 * 0 removed, -1 with PERM when there is none.
 */
int	 vusers_file_set(const char *path, struct sv name, const char *stored, const char *gecos, const char *home,
	     struct err *err);
int	 vusers_file_del(const char *path, struct sv name, struct err *err);

#endif
