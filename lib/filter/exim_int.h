/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the Exim filter: its tree, its reader, its run. */
#ifndef VPOST_FILTER_EXIM_INT_H
#define VPOST_FILTER_EXIM_INT_H

#include "exim/expand.h"
#include "filter/exim_filter.h"

/* Options of mail and vacation whose value is a string, in the order that tests print them. */
#define XF_MAIL_OPTIONS(X)						\
	X(TO, "to") X(CC, "cc") X(BCC, "bcc") X(FROM, "from")		\
	X(REPLY_TO, "reply_to") X(SUBJECT, "subject")			\
	X(EXTRA_HEADERS, "extra_headers") X(TEXT, "text")		\
	X(FILE, "file") X(LOG, "log") X(ONCE, "once")			\
	X(ONCE_REPEAT, "once_repeat")
enum xf_mail {
#define X(id, name) XF_MAIL_##id,
	XF_MAIL_OPTIONS(X)
#undef X
	XF_NMAIL
};

enum xf_op {
	XF_ADD, XF_DEFER, XF_DELIVER, XF_ELIF, XF_ELSE, XF_ENDIF, XF_FAIL, XF_FINISH, XF_FREEZE, XF_HEADERS, XF_IF, XF_LOGFILE,
	XF_LOGWRITE, XF_MAIL_CMD, XF_NOERROR, XF_PIPE, XF_SAVE, XF_SEEN, XF_TESTPRINT, XF_UNSEEN, XF_VACATION,
	XF_NONE
};

enum xf_headers { XF_HEADERS_ADD, XF_HEADERS_REMOVE, XF_HEADERS_CHARSET };

enum xf_test {
	XF_AND, XF_OR, XF_PERSONAL, XF_DELIVERED, XF_ERROR_MESSAGE, XF_FIRST_DELIVERY, XF_MANUALLY_THAWED, XF_FORANYADDRESS,
	XF_BEGINS, XF_ENDS, XF_IS, XF_MATCHES, XF_CONTAINS, XF_ABOVE, XF_BELOW
};

struct xf_cond {
	enum xf_test	 test;
	bool		 positive;
	bool		 caseful;
	struct xf_cond	*a, *b;			/* and, or; foranyaddress: b */
	struct exim_str	*left, *right;		/* foranyaddress: left */
	const struct sv	*alias;			/* personal */
	size_t		 nalias;
};

struct xf_cmd {
	enum xf_op	 op;
	unsigned	 line;
	bool		 seen, noerror;
	struct xf_cmd	*next;
	struct exim_str	*arg[2];		/* NULL: not given */
	int		 mode;			/* save, logfile; -1: none */
	enum xf_headers	 headers;
	struct {
		struct exim_str	*v[XF_NMAIL];
		bool		 expand, return_message;
	} *mail;
	struct xf_cond	*cond;
	struct xf_cmd	*then, *other;
};

struct exim_filter {
	const char	*file;
	struct xf_cmd	*cmds;
};

/* exim_lex.c: words and strings. */
struct xf_lex {
	struct arena	*a;
	const char	*p;		/* NUL-terminated */
	unsigned	 line;
	const char	*error;		/* the first one; NULL: none */
	char		 word[EXIM_FILTER_WORD + 2];
};
struct xf_mark {
	const char	*p;
	unsigned	 line;
};
#define XF_MARK(x)	((struct xf_mark){ (x)->p, (x)->line })
#define XF_BACK(x, m)	((x)->p = (m).p, (x)->line = (m).line)
/* The same where Exim counts the lines twice. */
#define XF_AGAIN(x, m)	((x)->p = (m).p)
void	 xf_skip(struct xf_lex *x);		/* white space and comments */
void	 xf_word(struct xf_lex *x, bool brackets);	/* to x->word, and over what follows */
void	 xf_item(struct xf_lex *x, bool brackets);	/* the same, or a quoted string */
/*
 * An integer at *<p>, which is left behind it, as C reads them: <base> 0 goes by "0x" and "0".  False without a digit, when
 * *<p> stays, or when it is too large.
 */
bool	 xf_integer(const char **p, unsigned base, int64_t *out);
void	 xf_error(struct xf_lex *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* exim_parse.c, exim_parse_cond.c */
struct xf_parse {
	struct xf_lex	 x;
	struct arena	*a;
	const char	*file;
	unsigned	 flags;
	bool		 seen_set, seen_value, noerror;	/* what stood before the command */
	unsigned	 depth;
};
struct exim_str *xf_compile(struct xf_parse *p, const char *text);
/* Up to and including "then"; NULL: x.error. */
struct xf_cond *xf_condition(struct xf_parse *p);

/* exim_run.c */
struct xf_run {
	struct exim_filter_run *r;
	const struct exim_filter *f;
	struct exim_env	*env;
	bool		 delivered;
	bool		 ended;			/* by finish, fail, freeze, defer or an error */
	enum exim_filter_end end;		/* counts with ended */
	const char	*error;
	unsigned	 indent, steps;
	int64_t		 turn;			/* os_thread_us() of its beginning */
	const char	*logfile;
	int		 logmode;
	struct exim_nums nums;			/* of the last match */
	unsigned	 line;
};
void	 xf_fail(struct xf_run *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool	 xf_step(struct xf_run *w);			/* false: too many, or it takes too long, an error */
void	 xf_clock(struct xf_run *w);			/* after what may take long: an error, or others get a turn */
void	 xf_indent(const struct xf_run *w);
/* What of <v> cannot be printed as escapes. */
const char *xf_printing(const struct xf_run *w, struct sv v);
/* As C string; NULL after an error, which is noted: "failed to expand ... in <where>". */
const char *xf_expand(struct xf_run *w, const struct exim_str *s, const char *where);
struct sv xf_text(const struct exim_str *s);
bool	 xf_act(struct xf_run *w, struct filter_action *a, const struct xf_cmd *c);

/* exim_cond.c: false also after an error. */
bool	 xf_test(struct xf_run *w, const struct xf_cond *c, bool top);
/* exim_address.c: the next address of <*rest>, a list as in headers; false at its end. */
enum xf_addresses {
	XF_GROUPS,		/* groups are looked into, and what cannot be read is passed over */
	XF_PLAIN		/* neither: what cannot be read is the end */
};
struct xf_list_of { struct sv rest; enum xf_addresses how; bool group; };
bool	 xf_next_address(struct xf_run *w, struct xf_list_of *l, struct sv *address);
/* exim_personal.c */
bool	 xf_personal(struct xf_run *w, const struct xf_cond *c);
/* exim_mail.c */
void	 xf_mail(struct xf_run *w, const struct xf_cmd *c);
/* exim_headers.c */
void	 xf_headers(struct xf_run *w, const struct xf_cmd *c);
extern const char *const xf_mail_names[XF_NMAIL];
extern const char *const xf_op_names[XF_NONE];

#endif
