/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the procmail engine share: the tree of an rc file, the message, and
 * struct pm, the state of one run.
 */
#ifndef VPOST_FILTER_PROCMAIL_INT_H
#define VPOST_FILTER_PROCMAIL_INT_H

#include <sys/stat.h>

#include <string.h>
#include <sysexits.h>

#include "base/arena.h"
#include "base/sb.h"
#include "base/vec.h"
#include "filter/procmail.h"
#include "filter/procmail_regex.h"

#define PM_LINEBUF	2048
#define PM_LINEBUF_MIN	128
#define PM_SHELLMETAS	"&|<>~;?*["
#define PM_NAME_MAX	64			/* room kept for unique file names */
#define PM_TIMEOUT	960			/* seconds */
#define PM_INCLUDED_MAX	10000			/* INCLUDERC in one run: files that include themselves twice would go on for ever */
#define PM_FILE_MAX	(4 * 1024 * 1024)	/* of an rc file */
#define PM_BLOCKS_MAX	100			/* blocks in blocks */
#define PM_ENV_MAX	(8 * 1024 * 1024)	/* bytes of all variables */

/* --- the tree --------------------------------------------------------------- */

enum pm_flag {
	PM_HEAD_GREP, PM_BODY_GREP, PM_CASE, PM_ALSO, PM_ALSO_OK, PM_PASS_HEAD, PM_PASS_BODY, PM_FILTER, PM_CONTINUE,
	PM_WAIT, PM_WAIT_QUIET, PM_IGNORE, PM_ELSE, PM_ERROR, PM_RAW, PM_FLAGS
};
#define PM_FLAG_LETTERS	"HBDAahbfcwWiEer"

/* A condition that says the same for every message, understood once. */
struct pm_plan {
	enum { PM_PLAN_NONE, PM_PLAN_NO, PM_PLAN_REGEX, PM_PLAN_SIZE } kind;	/* not looked at yet; there is none */
	enum { PM_AREA_FLAGS, PM_AREA_H, PM_AREA_B, PM_AREA_HB, PM_AREA_VAR } area;
	bool		 negate, scored, smaller;
	double		 weight, power;
	long		 pivot;
	char		*var;		/* as written */
	char		*expr;		/* without what stood before it; empty: always found */
	bool		 guarded;	/* a "\" was in front of it */
};

struct pm_cond {
	struct sv	 text;		/* continued lines with their "\" NL; blanks at the ends cut */
	unsigned	 line;
	struct pm_plan	 plan;
	/* The expression of the last run. */
	struct procmail_regex *regex;
	char		*regex_text;
	bool		 regex_fold, regex_invalid;
};

enum pm_kind {
	PM_ASSIGN,		/* NAME=<text>, or NAME alone */
	PM_RECIPE,
	PM_COMPLAIN		/* <text> goes to the log as it is */
};

enum pm_act {
	PM_A_FOLDER, PM_A_PIPE, PM_A_FORWARD, PM_A_BLOCK,
	PM_A_MISSING,		/* the next recipe began */
	PM_A_EOF		/* the file ended */
};

struct pm_block;

struct pm_stmt {
	enum pm_kind	 kind;
	unsigned	 line;
	char		*name;		/* PM_ASSIGN; PM_RECIPE: variable that captures, or NULL */
	bool		 value;		/* PM_ASSIGN: there is a "=" */
	bool		 plain;		/* <text> (PM_ASSIGN), <head> (PM_RECIPE) need no expansion */
	bool		 noisy_text;	/* <text> of a recipe complains even when it is only read */
	struct sv	 text;		/* to be expanded: value, action line, complaint */
	/* Recipes. */
	struct sv	 head;		/* behind ":": number, flags, lock file */
	bool		 flag[PM_FLAGS];	/* by <head> where it is plain */
	bool		 lock;
	char		*lock_name;	/* NULL: by the folder */
	char		*left_over;	/* of <head>: 'Skipped "x"'; NULL */
	bool		 numbered;	/* conditions were counted (":2"): no default */
	struct pm_cond	*cond;
	size_t		 nconds;
	enum pm_act	 act;
	unsigned	 act_line;
	struct pm_block	*block;
};

struct pm_block {
	VEC(struct pm_stmt) s;
	bool		 unclosed;	/* the file ended in it */
	bool		 noisy;		/* something in it complains even when it is skipped */
};

/* One rc file, parsed. */
struct pm_rc {
	struct arena	*arena;
	struct pm_block	*top;
	unsigned	 refs;
};

/* Parse <text>; never fails, mistakes become PM_COMPLAIN.  <text> must live as long as the arena. */
struct pm_block *pm_parse(struct arena *a, struct sv text);
/* Bytes of an action line's beginning that were read while a "NAME=" was looked for: a comment may follow them at once. */
size_t	 pm_folder_lead(struct sv line);
void	 pm_block_free(struct pm_block *b);
void	 pm_rc_ref(struct pm_rc *rc);
void	 pm_rc_unref(struct pm_rc **rcp);
/* The parsed file of descriptor <fd>, from the cache if it did not change; NULL with errno.  The caller has one reference. */
struct pm_rc *pm_rc_load(struct procmail_files *f, int fd);
/* The one that is kept, if the file is still as <sb> says; else NULL. */
struct pm_rc *pm_rc_find(struct procmail_files *f, const struct stat *sb);
/* An expression that may be another file's too; valid ones are shared. */
struct procmail_regex *pm_regex(struct procmail_files *f, struct sv expr, bool fold, bool *invalid);
/* Was <path> found good in this second?  With <note> it is remembered now. */
enum pm_lately { PM_LATELY_ENTERED, PM_LATELY_TRUSTED };
bool	 pm_lately(struct procmail_files *f, enum pm_lately what, const char *path, int64_t now, bool note);
/* What <name> is, in *<sb>: *<rc> if it is kept (then no descriptor), else a descriptor or -1. */
int	 pm_rc_open(struct procmail_files *f, const char *name, struct stat *sb, struct pm_rc **rc);

/* --- the message ------------------------------------------------------------- */

struct pm_mail {
	char		*p;		/* a NUL behind it */
	size_t		 len, cap;
	size_t		 body;		/* where it begins */
	bool		 ended;		/* an empty line stands before it */
	size_t		 start;		/* first byte at which a line of the header may be escaped */
	size_t		 rest;		/* the same for the body */
	size_t		 clen;		/* value of Content-Length:, 0: none */
	VEC(size_t)	 folds;		/* newlines inside header fields */
	bool		 joined;	/* they are blanks now */
	VEC(uint32_t)	 nl;		/* the other newlines of the header */
	VEC(uint8_t)	 first;		/* what stands behind them, 0 at its end */
	struct procmail_lines lines;	/* the same for searches */
	bool		 indexed;	/* they are all of them */
	bool		 read;		/* there is one */
	bool		 lacks;		/* what o->body gives is not here yet */
	bool		 changed;	/* by a filter */
};

/* A program that nobody waits for; pm_reap() takes those that have ended, of earlier runs too. */
void	 pm_leave_running(struct procmail_files *f, pid_t pid);
void	 pm_reap(struct procmail_files *f);
/* The buffers of the run before. */
void	 pm_spare_take(struct procmail_files *f, struct pm_mail *m);
void	 pm_spare_give(struct procmail_files *f, struct pm_mail *m);

struct pm;
void	 pm_mail_set(struct pm *pm, struct sv text);
/* The part [from, to) became <text>; <header>: it is the header. */
void	 pm_mail_replace(struct pm *pm, size_t from, size_t to, struct sv text);
void	 pm_mail_join(struct pm_mail *m, bool on);
/* From here on all of it is here; where it cannot be read the run ends (pm->signal_end). */
void	 pm_mail_whole(struct pm *pm);
void	 pm_mail_free(struct pm_mail *m);
/* Put the "From " line on that -f and -d ask for; <out> is what the run begins with. */
void	 pm_mail_from(const struct procmail *p, struct sv in, struct sb *out);
/* Past the "From " line and those that belong to it. */
size_t	 pm_mail_skip_from(struct sv text);

/* What writing it to a folder or pipe gives. */
struct pm_dump {
	bool		 escape;	/* "From " lines get a ">" */
	bool		 blank;		/* it ends in an empty line */
};
/* Slice [from, from + len) of the message in that manner; <out> is added to.  Returns the bytes that the log tells. */
size_t	 pm_mail_dump(const struct pm *pm, struct sv part, struct pm_dump d, struct sb *out);

/* --- a run ------------------------------------------------------------------- */

struct pm_var {
	const char	*name, *value;
	uint32_t	 nlen;
	bool		 own_name, own_value;	/* on the heap; else they outlive the run */
};

/* Words as the language splits them: each with a NUL behind it. */
struct pm_words {
	struct sb	 b;
	ptrdiff_t	 all_args;	/* where "$@" stood, -1 */
	bool		 overflow;
};
#define PM_WORDS_INIT	{ .b = SB_INIT(SIZE_MAX / 4), .all_args = -1 }

/* What conditions of later recipes ask for. */
struct pm_state {
	bool		 last_ok;	/* the last action succeeded */
	bool		 last_cond;	/* outcome for A and a */
	bool		 prev_cond;	/* outcome for E and e */
};

enum pm_result {
	PM_NEXT,		/* go on */
	PM_DELIVERED,
	PM_HOST,		/* HOST did not fit: all files are left */
	PM_LEAVE,		/* this file is done (SWITCHRC); pm->switch_to may name the next */
	PM_EOF
};

/* Is an action's program waited for, and is it told that it failed? */
enum pm_wait { PM_LEAVE_IT, PM_TELL, PM_QUIET };

/* Texts with a meaning, which hold even where the environment does not show them. */
enum pm_text {
	PM_T_SHELLMETAS, PM_T_LOCKEXT, PM_T_MSGPREFIX, PM_T_TRAP, PM_T_SHELLFLAGS, PM_T_SENDMAIL, PM_T_SENDMAILFLAGS,
	PM_T_DEFAULT, PM_TEXTS
};

/* A block or file that is being run. */
struct pm_frame {
	struct pm_block	*block;
	size_t		 next;		/* statement */
	struct pm_rc	*rc;		/* a file's own frame; else NULL */
	char		*name;		/* the file's, for $_ */
	bool		 prev_cond, last_cond;	/* a block's: restored at its end */
};

/* What all clones of a run share. */
struct pm_shared {
	unsigned	 clones, switches, included;
	bool		 root;		/* still to become the recipient */
};

struct pm {
	const struct procmail *o;
	struct procmail_files *files;
	struct pm_shared *shared;
	VEC(struct pm_frame) frames;
	struct pm_state	 state;
	bool		 tracing;	/* somebody wants to know each step */
	const char	*const *word;	/* command line words not looked at yet */
	bool		 in_etc;	/* /etc/procmailrc is run */
	const struct filter_ops *ops;	/* never NULL here */
	bool		 local;		/* files and programs are done here */
	struct pm_mail	 mail;
	VEC(struct pm_var) env;
	size_t		 env_size;
	const char	*const *args;
	size_t		 nargs;
	const char	*host;
	char		 host_buf[256];

	/* Variables with a meaning, as values. */
	size_t		 linebuf;
	long		 locksleep, locktimeout, suspend, noresretry, timeout, verbose, logabstract;
	const char	*text[PM_TEXTS];	/* by enum pm_text; never NULL */
	char		*text_own[PM_TEXTS];	/* their memory, where it is ours */
	bool		 comsat;
	char		*comsat_folder;
	bool		 exitcode_set;
	mode_t		 umask;
	bool		 changed_dir;
	/* What nobody may notice is not done yet, see pm_settle. */
	bool		 umask_later;
	char		*cwd_later;
	int64_t		 now;		/* when it began, in seconds; 0: nothing may be put off */

	/* Files being read. */
	const char	*rc_name;	/* $_ */
	unsigned	 includes;
	bool		 in_rc;
	char		*switch_to;	/* with PM_LEAVE; NULL: nothing follows */
	enum pm_result	 pending;	/* asked for by an assignment */
	struct filter_pos pos;

	/* The current recipe. */
	struct sv	 part;		/* of the message */
	bool		 sh;		/* the command is for the shell */
	enum pm_wait	 wait;		/* for the program */
	bool		 ignore_write, raw;
	char		*loc_lock, *glob_lock;

	/* Log. */
	struct sb	 logline;
	int		 log_fd;	/* -1: ops->log */
	bool		 log_opened;
	int64_t		 log_time;	/* of the last stamp */
	size_t		 last_dump;	/* bytes of the last delivery */
	int64_t		 last_tell;	/* where it began, -1 */

	double		 score;
	long		 last_score;
	int		 exit_code;	/* $? */
	int		 pipe_status;	/* of the last filter that was waited for */
	int		 retval;
	bool		 pretend;	/* DELIVERED, or a signal that loses the mail: success is told whatever came */
	bool		 signal_end, delivered;
	bool		 alarmed;	/* SIGALRM: TIMEOUT is over now */
	bool		 muted;		/* after a signal nothing is logged until the abstract */
	const char	*waiting;	/* what for, when a signal comes: "lockfile", "a kernel-lock"; NULL */
	const char	*waiting_name;	/* of the lock file */
	bool		 rc_missed;	/* an rc file of the command line could not be read, which was said */
	char		*path;		/* PATH while /etc/procmailrc is run */
	unsigned	 serial;	/* of unique names */
};

/* procmail_log.c */
void	 pm_log(struct pm *pm, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	 pm_log_text(struct pm *pm, struct sv text);		/* as it is */
void	 pm_nlog(struct pm *pm, const char *text);		/* "procmail: TEXT" */
void	 pm_nlogq(struct pm *pm, const char *text, const char *quoted);	/* "procmail: TEXT "QUOTED"\n" */
void	 pm_yell(struct pm *pm, const char *text, const char *quoted);	/* the same where VERBOSE */
void	 pm_skipped(struct pm *pm, const char *what);
void	 pm_extraneous(struct pm *pm, const char *what);
void	 pm_overflow(struct pm *pm);
void	 pm_log_flush(struct pm *pm);
bool	 pm_log_tells(const struct pm *pm);	/* will there be an abstract? */
void	 pm_log_abstract(struct pm *pm, const char *folder);
void	 pm_log_open(struct pm *pm, const char *path);
void	 pm_comsat(struct pm *pm, const char *folder);
void	 pm_trace(struct pm *pm, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* procmail_var.c */
const char *pm_get(const struct pm *pm, const char *name);	/* NULL: not set */
const char *pm_gets(const struct pm *pm, const char *name);	/* "": not set */
void	 pm_put(struct pm *pm, const char *name, const char *value);	/* value NULL: remove; no magic */
void	 pm_put_quietly(struct pm *pm, const char *name, const char *value);	/* not told of with VERBOSE either */
void	 pm_assign(struct pm *pm, const char *name, const char *value);	/* with the effect of special names; NULL: unset */
void	 pm_take_effect(struct pm *pm, const char *name, const char *value);	/* of an assignment to a name with a meaning */
void	 pm_set_folder(struct pm *pm, const char *folder);	/* LASTFOLDER */
void	 pm_set_overflow(struct pm *pm);
void	 pm_defaults(struct pm *pm);
long	 pm_number(long other, const char *text);		/* numbers and words of yes and no */
const char *const *pm_environ(struct pm *pm, struct arena *a);
void	 pm_env_free(struct pm *pm);
void	 pm_umask(struct pm *pm, mode_t mask);
/* Go to <dir>, which there is, when it matters. */
void	 pm_go_later(struct pm *pm, const char *dir);
/* Before anything that umask or current directory mean something to. */
void	 pm_settle(struct pm *pm);
/* Where nothing says otherwise yet. */
void	 pm_set_text(struct pm *pm, enum pm_text t, const char *value);
void	 pm_maildir(struct pm *pm, const char *dir);

/* procmail_expand.c */
enum pm_mode { PM_SPLIT, PM_ONE, PM_QUOTE };
struct pm_src {
	const char	*p, *end;
	bool		 complained;	/* out: with no run, something would have been logged */
};
/*
 * Expand from <src>, which moves on, into <out> (added to; <used> bytes of the line are taken already).  <pm> NULL or <skip>:
 * only find the end.  False: it did not fit LINEBUF, which is logged.
 */
bool	 pm_expand(struct pm *pm, struct pm_src *src, enum pm_mode mode, bool skip, size_t used, struct pm_words *out);
bool	 pm_expand_text(struct pm *pm, const char *text, enum pm_mode mode, struct pm_words *out);
void	 pm_split(struct sb *out, const char *text);		/* at blanks; ends in a NUL if anything came */
void	 pm_words_free(struct pm_words *w);
/* A command line: words in <out>, or all of it for the shell (pm->sh). */
void	 pm_command(struct pm *pm, const char *text, struct pm_words *out);
/* The words joined by blanks. */
void	 pm_words_join(struct pm_words *w);
static inline bool pm_alpha(char c) { return (sv_isalpha(c) || c == '_'); }
static inline bool pm_alnum(char c) { return (sv_isalnum(c) || c == '_'); }

/* procmail_plan.c */
/* Take it apart into c->plan, once. */
void	 pm_plan(struct pm_cond *c);
void	 pm_plan_free(struct pm_cond *c);
/* Continued lines become one: "\" NL and the blanks behind any newline go. */
void	 pm_squeeze(char *s);
static inline const char *pm_skip_blanks(const char *s) { return (s + strspn(s, " \t")); }

/* procmail_cond.c */
/* Do the conditions of <st> hold?  Flags that exclude each other are taken out of <flag>; <skip>: only complain of them. */
bool	 pm_conditions(struct pm *pm, struct pm_stmt *st, bool *flag, const struct pm_state *s, bool skip);

/* procmail_eval.c */
/* Until the files on the stack are done: PM_EOF, PM_DELIVERED or PM_HOST; the stack is empty then. */
enum pm_result pm_loop(struct pm *pm);
/* Put the file of descriptor <fd> (which is closed), or a reference to <rc>, on the stack; false: it cannot be read. */
bool	 pm_push_rc(struct pm *pm, int fd, struct pm_rc *rc, const char *name);
void	 pm_frames_free(struct pm *pm);
/* INCLUDERC, where an rc file says it. */
void	 pm_include(struct pm *pm, const char *name);

/* procmail_start.c */
/* From where the stack is to the end of the run; the exit status. */
int	 pm_continue(struct pm *pm);
/* Run <block> in a copy of the run that goes on to its own end; its exit status. */
int	 pm_clone(struct pm *pm, struct pm_block *block);
bool	 pm_interrupted(struct pm *pm);
/* From here on the process is the recipient's; false: it cannot be, and the run ends. */
bool	 pm_become(struct pm *pm);

/* procmail_act.c */
/* "| command" or "! address": <cmd> is ready to be run, for forwarding <addresses> says where its addresses begin (0: a pipe). */
bool	 pm_act_program(struct pm *pm, struct pm_words *cmd, size_t addresses, const bool *flag, const char *capture);
bool	 pm_act_folder(struct pm *pm, struct pm_words *names, bool dot_lock);
void	 pm_program_failure(struct pm *pm, const char *cmd, int status, bool quiet);

/* procmail_run.c */
struct pm_prog {
	struct sv	 input;
	bool		 capture;	/* standard output comes to <out> */
	size_t		 max;		/* of it */
	bool		 dev_err;	/* standard output goes where messages go */
	bool		 wait;
	bool		 ignore_write;
	struct sb	*out;
	/* How it ended. */
	bool		 failed_start, write_failed, too_much, timed_out, interrupted;
	int		 status;	/* where it was waited for */
};
/* Run the command of <w> (pm->sh: one text for the shell). */
void	 pm_run_program(struct pm *pm, const struct pm_words *w, struct pm_prog *g);
void	 pm_sleep(struct pm *pm, long seconds);

/* procmail_lock.c */
/* Get lock file <path>, waiting for it, and note it in *<where>; what was noted there is given up first.  False: it was told why not. */
bool	 pm_lock(struct pm *pm, const char *path, char **where);
/* That of <folder>, by LOCKEXT; heap. */
char	*pm_lock_name(const struct pm *pm, const char *folder);
void	 pm_unlock(struct pm *pm, char **where);
/* The recipe's own: <name> as given, or that of <folder> with LOCKEXT. */
void	 pm_lock_local(struct pm *pm, const char *name, const char *folder);

/* procmail_folder.c */
/* Write the part to the folder(s) <names>. */
bool	 pm_folder_write(struct pm *pm, struct pm_words *names, bool dot_lock);
/* <n> in the digits of unique names; <out> has room for 16 bytes. */
void	 pm_number_name(uint64_t n, char *out);
/* "_PID%TIME.HOST"-like (maildir: "TIME.PID_N.HOST") name in <dir>, made with <mode>: descriptor or -1; <path> holds it. */
int	 pm_unique(struct pm *pm, const char *dir, bool maildir, mode_t mode, char *path, size_t size);

#endif
