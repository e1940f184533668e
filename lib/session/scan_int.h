/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content scanners of a session: how the message goes to them, and what is remembered of their answers.  All of a
 * message's scanning runs on its session's fiber, which parks while a scanner works.
 */
#ifndef VPOST_SESSION_SCAN_INT_H
#define VPOST_SESSION_SCAN_INT_H

#include "exim/scan.h"
#include "session/session_int.h"

#define SCAN_TIMEOUT	120		/* seconds, as Exim */
#define SCAN_REPLY_MAX	65536
#define SCAN_SERVERS	32

/* Lives as long as the transaction, in its arena. */
struct session_scan {
	struct sv	 head;		/* the lines that Exim puts in front of a message it has scanned */
	char		*dir;		/* of this message's files; NULL: none made */
	VEC(char *)	 files;		/* in <dir>, or named by decode's argument: unlinked at the end when in <dir> */
	unsigned	 nparts;
	bool		 virus_known, virus;
	struct sv	 virus_name;
	bool		 spam_known, spam;
	struct sv	 spam_user;
};

struct session_scan *scan_state(struct session *s);
/* The message's own directory below the service's scandir; NULL and *<err>. */
const char *scan_dir(struct session *s, struct err *err);
/* All of the message in a file there, for scanners that read files; NULL and *<err>. */
const char *scan_file(struct session *s, struct err *err);

/* Where the message goes: a stream (<framed>: in clamd's chunks), a file, or nowhere, to count. */
struct scan_out {
	struct stream	*io;
	int		 fd;
	bool		 framed;
	int64_t		 n;
	struct sb	 buf;
	bool		 failed;
};
/* The message, LF line ends, in pieces; false when it could not be written. */
bool	 scan_message(struct session *s, struct scan_out *o);
bool	 scan_put(struct scan_out *o, struct sv v);
/* What is gathered goes out; the builder goes. */
bool	 scan_end(struct scan_out *o);

/*
 * A stream to <v>, its port <port>; NULL and the reason.  $callout_address is set.  <retry> seconds later a second try
 * is made, 0: none.
 */
struct stream *scan_connect(struct session *s, const struct exim_scan_server *v, int64_t deadline, struct sb *why);
/* All that comes until the end, or a NUL where <to_nul>; at most SCAN_REPLY_MAX. */
bool	 scan_read(struct stream *io, int64_t deadline, bool to_nul, struct sb *out);
/* A value with "$" in front is expanded; false when that fails. */
bool	 scan_option(struct session *s, struct exim_env *env, enum exim_main_opt opt, struct sv *out, bool *expanded);

enum exim_result scan_malware(struct session *s, struct exim_env *env, struct sv arg, bool *yes);
enum exim_result scan_spam(struct session *s, struct exim_env *env, struct sv arg, bool *yes);
enum exim_result scan_decode(struct session *s, struct exim_env *env, struct sv arg, bool *yes, struct sv *msg);
enum exim_result scan_spf(struct session *s, struct exim_env *env, struct sv arg, bool guess, bool *yes);

#endif
