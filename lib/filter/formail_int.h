/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of formail share: the state of a run. */
#ifndef VPOST_FILTER_FORMAIL_INT_H
#define VPOST_FILTER_FORMAIL_INT_H

#include <sys/types.h>

#include "base/sb.h"
#include "filter/formail.h"

#define FORMAIL_FIELD_MAX	((size_t)1 << 28)

struct formail_run {
	struct formail	*f;
	int		 next;		/* the byte behind what was read, EOF */
	struct sb	 buf;		/* a line that is no field */
	struct formail_list head, added;
	uint64_t	 hash;		/* of what was read */
	FILE		*out;		/* where the message goes now */
	bool		 out_failed;
	size_t		 total;		/* bytes of the message, with -l */
	int		 status;
	bool		 write_error;	/* of a program, while splitting */
	bool		 fatal;		/* no memory, no process: the rest is not read */
	/* Found in the header. */
	char		*sender;	/* heap, NULL: none */
	int		 sender_weight;
	struct sv	 subject, references, message_id, date;	/* values with newline, ours; p NULL */
	/* Programs. */
	pid_t		 child;
	long		 children;
	long		 fileno;
	int		 fileno_width;	/* < 0: FILENO is not made */
	unsigned	 ids;		/* Message-IDs made */
};

/* formail_field.c */
struct formail_field *formail_find(const struct formail_field *p, struct formail_list *l);
ptrdiff_t formail_find_name(const struct formail_list *l, const char *name);	/* index of the first field called so; -1 */
void	 formail_drop(struct formail_list *l, size_t i);	/* its place stays, without a text, until formail_compact() */
void	 formail_compact(struct formail_list *l);
void	 formail_set(struct formail_field *p, char *text, size_t len, size_t id);
void	 formail_rename(struct formail_field *p, size_t oldlen, const char *name, size_t len);
void	 formail_join(struct formail_field *p);		/* continued lines become one */
bool	 formail_is_from(const char *s);
void	 formail_change(struct formail_run *r, bool reply_pass);

/* formail_sender.c */
void	 formail_sender(struct formail_run *r, size_t i);
/* Is the last field of the header one that mail, news and digests are known to have? */
bool	 formail_known(const struct formail_run *r);

/* formail_split.c */
void	 formail_start_program(struct formail_run *r);
void	 formail_wait_child(struct formail_run *r);
void	 formail_wait_all(struct formail_run *r);
void	 formail_first_fileno(struct formail_run *r);
/* Was it seen before?  Notes it if not. */
bool	 formail_seen(struct formail_run *r);
void	 formail_sink(struct formail_run *r);
void	 formail_close(struct formail_run *r);
/* Say why, and read no more. */
void	 formail_give_up(struct formail_run *r, const char *why);

#endif
