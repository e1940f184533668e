/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tree of a compiled string, its parser and evaluator: what the files
 * expand*.c, op*.c, cond*.c, var*.c, lookup*.c and match*.c share.
 *
 * A string is a sequence of nodes; a node is literal text, a variable, a header, an
 * operator, an item, or a mistake that is told when evaluation reaches it.  Conditions
 * are trees of their own below items.
 */
#ifndef VPOST_EXIM_EXPAND_INT_H
#define VPOST_EXIM_EXPAND_INT_H

#include <stdarg.h>

#include "base/sb.h"
#include "base/vec.h"
#include "exim/expand.h"
#include "exim/match.h"

#define X_WORK_MAX	(UINT64_C(256) * 1024 * 1024)	/* bytes made and steps done by one expansion, all its parts counted */
#define X_WORK_STEP	64				/* what a step counts beside its bytes */
#define X_MEMORY_MAX	((size_t)256 * 1024 * 1024)	/* bytes of the arena that one expansion, all its parts counted, may take */
#define X_NAME_MAX	256
#define X_DEPTH		EXIM_EXPAND_DEPTH

struct xnode;
struct xcond;
struct xitem_row;
struct xop_row;
struct xcond_row;
struct xvar_row;
struct xlookup_spec;
struct xregex;

/* Where a tree remembers the regex of a literal pattern; good as long as the caches have not been cleared. */
struct xregex_ref {
	struct xregex	*re;
	uint64_t	 gen;
};

/* One evaluation. */
struct xev {
	struct exim_env	*env;
	struct err	*err;
};

typedef enum exim_result (*xeval)(struct xev *e, const struct xnode *n, struct sv *out);

/* Count <n> bytes of work; false when the outermost expansion did too much, or took too much memory. */
bool	 x_work(struct xev *e, uint64_t n);

struct xseq {
	const struct xnode *v;
	unsigned	 n;
};

/* "{yes}{no}" behind an item. */
enum xyn_form { XYN_NONE, XYN_YES, XYN_BOTH, XYN_FAIL };
struct xyn {
	enum xyn_form	 form;
	bool		 bad;			/* a mistake in here */
	struct xseq	 yes, no;
};

struct xitem {
	const struct xitem_row *row;
	struct xseq	*arg;
	unsigned	 narg;
	unsigned	 variant;		/* extract: json ... */
	struct xyn	 yn;
	struct xcond	*cond;			/* if, filter */
	const struct xlookup_spec *lookup;
	struct sv	 text;			/* run: the command; extract: the type */
	struct sv	*rest;			/* extract: what stands behind each argument */
	struct xregex_ref regex;		/* sg: of a literal pattern */
	const void	*priv;
};

enum xheader_kind { XH_DECODED, XH_RAW, XH_BASIC, XH_LIST };

struct xnode {
	xeval		 eval;
	union {
		struct sv lit;			/* literal */
		struct {
			struct sv text;
			const struct xbefore *before;
		} mistake;
		struct {
			const struct xvar_row *row;
			struct sv name;
		} var;
		struct {
			struct sv name;
			enum xheader_kind kind;
		} hdr;
		unsigned num;			/* $1 */
		struct {
			const struct xop_row *row;
			struct sv name;		/* as written, with its arguments */
			struct sv arg;		/* behind the underscore; p NULL if there is none */
			struct xseq sub;
		} op;
		struct xitem *item;
	} u;
};

/*
 * Exim reads a string while it evaluates it: what stands in front of a mistake is evaluated, and an error of that is told
 * instead.  These are the pieces in front, in order.
 */
struct xbefore {
	const struct xbefore *next;
	struct xseq	 seq;
	const struct xcond *cond;		/* NULL: <seq> */
	bool		 wanted;		/* the mistake stands where <cond> is this: else it is skipped to */
	bool		 number;		/* <seq> has to be one */
	const char	*behind;		/* more text for an error, or NULL */
};

struct exim_str {
	struct sv	 text;
	const char	*file;
	unsigned	 line;
	struct xseq	 seq;
	bool		 literal;
	struct sv	 value;			/* when literal */
};

/* --- parser (expand_parse.c) --- */

struct xparse {
	struct arena	*a;
	const char	*p, *end;		/* *end is NUL */
	unsigned	 depth;
	/*
	 * Pieces read so far, and the most that may be.  What is read twice, as a command of ${run and a mistaken ${extract
	 * are, doubles with each that stands in another.
	 */
	size_t		 work, work_max;
	bool		 malformed_header;
	const char	*error;			/* stops the parser */
	const char	*soft;			/* first mistake that only evaluation would tell */
	const struct xbefore *before;		/* with <error> */
};

/* False and ps->error. */
bool	 xp_error(struct xparse *ps, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "missing or misplaced { or }" unless the text was set. */
bool	 xp_curly(struct xparse *ps, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	 xp_soft(struct xparse *ps, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* With ps->error, from the innermost piece outwards: <n> sequences, or a condition, that evaluation would do before. */
void	 xp_before(struct xparse *ps, const struct xseq *v, unsigned n);
/* The same of a whole item with a mistake: what it does without "yes" and "no" where it is there, or its arguments. */
void	 xp_before_item(struct xparse *ps, const struct xnode *n);
void	 xp_before_number(struct xparse *ps, const struct xseq *s);
void	 xp_before_cond(struct xparse *ps, const struct xcond *c, bool wanted);
/* Put <text> behind ps->error and the errors of what comes before it; false. */
bool	 xp_behind(struct xparse *ps, const char *text);
/* Make <n> a node that tells ps->error, which is forgotten. */
void	 xp_mistake(struct xparse *ps, struct xnode *n);
char	 xp_skip(struct xparse *ps);		/* white space; returns the character behind it */
/* A name of letters, digits and <extra>, cut at X_NAME_MAX. */
struct sv xp_name(struct xparse *ps, const char *extra);
/* A sequence up to the end or, with <braces>, the closing brace (which stays).  <dollar>: $ means something. */
bool	 xp_seq(struct xparse *ps, bool braces, bool dollar, struct xseq *out);
/* "{seq}" with blanks before it; false when there is no brace (no error) or on a mistake (ps->error). */
bool	 xp_arg(struct xparse *ps, struct xseq *out);
/* <min> to <max> arguments; with <close> the item's closing brace is eaten.  0, or Exim's read_subs codes 1 and 2, 3: ps->error is set. */
int	 xp_args(struct xparse *ps, unsigned min, unsigned max, bool close, const char *name, struct xseq *v, unsigned *n);
/* The strings for success and failure up to and with the closing brace. */
bool	 xp_yesno(struct xparse *ps, const char *type, struct xyn *yn);
bool	 xp_cond(struct xparse *ps, struct xcond **out);	/* cond.c */
/* A parser of <text>, which is NUL-terminated and stays. */
struct xparse xp_begin(struct arena *a, struct sv text);
/* Compile text inside the parser's arena with errors as evaluation errors. */
struct exim_str *xp_compile(struct arena *a, struct sv text, const char *file, unsigned line, bool dollar, const char **mistake);
/* The same of a part of what <ps> reads: its work counts there. */
struct exim_str *xp_compile_part(struct xparse *ps, struct sv text, const char **mistake);

bool	 x_seq_literal(const struct xseq *s, struct sv *v);
/* One escape sequence; *<p> behind the backslash, moved. */
char	 x_escape(const char **p, const char *end);

/* --- evaluator (expand.c) --- */

enum exim_result x_seq(struct xev *e, const struct xseq *s, struct sv *out);
enum exim_result x_str(struct xev *e, const struct exim_str *s, struct sv *out);
enum exim_result x_text(struct xev *e, struct sv text, struct sv *out);
/* <v> in encoded words of Q, in headers_charset (op_text.c). */
struct sv x_rfc2047_encode(struct exim_env *env, struct sv v);
/* What errno says of a file that could not be opened; with the ids where they are why. */
const char *x_open_error(struct xev *e);
enum exim_result x_fail(struct xev *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum exim_result x_forced(struct xev *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum exim_result x_defer(struct xev *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Each public entry calls it first. */
void	 x_begin(struct exim_env *env);
/* The text of the last mistake, all its lines; in the arena. */
const char *x_message(struct xev *e);
/* Put more behind the text of a mistake; returns <r>. */
enum exim_result x_behind(struct xev *e, enum exim_result r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* <saved>: $value as it was before the item, which it has again for the "no" part; <value> the result when there is no "yes" part. */
enum exim_result x_yesno(struct xev *e, const struct xyn *yn, bool yes, struct sv saved, const char *type, struct sv *out);
enum exim_result x_cond(struct xev *e, const struct xcond *c, bool *yes);
enum exim_result x_lit(struct xev *e, const struct xnode *n, struct sv *out);
enum exim_result x_mistake(struct xev *e, const struct xnode *n, struct sv *out);
struct sv x_int(struct xev *e, int64_t n);
const char *x_cstr(struct xev *e, struct sv v);			/* NUL-terminated in the arena; cut at a NUL */
/* Exim's integer with K M G; false: *<err> is filled. */
bool	 x_integer(struct xev *e, struct sv v, int64_t *out);
int64_t	 x_now(struct xev *e, int64_t *usec);
/* A path for reading: false and an error if it is tainted. */
/* A line for a log, of the ACL that runs or else of the world. */
void	 x_log(struct xev *e, unsigned logs, const char *text);
bool	 x_path_ok(struct xev *e, struct sv path, const char *what);

/* --- growing strings in the arena (expand.c) --- */

struct xb {
	struct arena	*a;
	char		*p;
	size_t		 len, cap;
	unsigned char	 tainted;		/* as in struct sv */
	bool		 over;			/* EXIM_EXPAND_MAX was passed */
};
void	 xb_init(struct xb *b, struct arena *a, size_t room);
void	 xb_add(struct xb *b, struct sv v);
void	 xb_adds(struct xb *b, const char *s);
void	 xb_addc(struct xb *b, char c);
void	 xb_fmt(struct xb *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct sv xb_sv(const struct xb *b);
/* Add as a list item: separator doubled, " " before an item that is empty or begins with it, separators between. */
void	 xb_item(struct xb *b, struct sv item, char sep, bool *first);

/* --- tables --- */

struct xitem_row {
	const char	*name;
	bool		(*parse)(struct xparse *ps, const struct xitem_row *row, struct xnode *n);
	xeval		 eval;
	enum exim_result (*fn)(struct xev *e, const struct xitem *it, struct sv *arg, unsigned n, struct sv *out);
	uint8_t		 min, max;
	unsigned	 forbid;		/* EXIM_NO_... */
};
extern const struct xitem_row x_items[];	/* sorted by name; name NULL ends */
const struct xitem_row *x_item_find(struct sv name);
bool	 xp_simple(struct xparse *ps, const struct xitem_row *row, struct xnode *n);
enum exim_result x_simple(struct xev *e, const struct xnode *n, struct sv *out);

/* Items of the other files. */
#define X_FN(name)	enum exim_result name(struct xev *e, const struct xitem *it, struct sv *arg, unsigned n, struct sv *out)
#define X_EVAL(name)	enum exim_result name(struct xev *e, const struct xnode *n, struct sv *out)
#define X_PARSE(name)	bool name(struct xparse *ps, const struct xitem_row *row, struct xnode *n)
X_FN(xi_substr); X_FN(xi_hash); X_FN(xi_nhash); X_FN(xi_length); X_FN(xi_tr); X_FN(xi_sg); X_FN(xi_hmac);
X_FN(xi_prvs); X_FN(xi_srs_encode); X_FN(xi_imapfolder); X_FN(xi_listquote); X_FN(xi_acl); X_FN(xi_readfile);
X_FN(xi_perl); X_FN(xi_dlfunc); X_FN(xi_authresults);
X_PARSE(xip_numbers); X_PARSE(xip_imapfolder);
X_PARSE(xip_extract); X_EVAL(xi_extract); X_PARSE(xip_listextract); X_EVAL(xi_listextract);
X_PARSE(xip_iterate); X_EVAL(xi_map); X_EVAL(xi_filter); X_EVAL(xi_reduce); X_PARSE(xip_sort); X_EVAL(xi_sort);
X_PARSE(xip_lookup); X_EVAL(xi_lookup); X_PARSE(xip_run); X_EVAL(xi_run); X_PARSE(xip_readsocket); X_EVAL(xi_readsocket);
X_PARSE(xip_env); X_EVAL(xi_env); X_PARSE(xip_certextract); X_EVAL(xi_certextract);
X_PARSE(xip_prvscheck); X_EVAL(xi_prvscheck);

/* The hash functions of items and operators (expand_item_str.c); false: *<err> is filled. */
bool	 x_compute_substr(struct sv v, int64_t from, int64_t len, struct sv *out);
bool	 x_compute_hash(struct xev *e, struct sv v, int64_t n, int64_t m, struct sv *out);
bool	 x_compute_nhash(struct xev *e, struct sv v, int64_t n, int64_t m, struct sv *out);
/* "md5" or "sha1" in lower-case hex; false: unknown. */
bool	 x_hmac(struct sv how, struct sv key, struct sv text, char hex[65]);
void	 x_hex(const unsigned char *p, size_t n, bool upper, char *out);	/* 2 * n + 1 bytes */
bool	 x_digest(const char *how, struct sv v, char *hex, size_t size, bool upper, size_t *len);
extern const char x_base32[];

struct xop_row {
	const char	*name;
	enum exim_result (*fn)(struct xev *e, const struct xnode *n, struct sv v, struct sv *out);
	bool		 underscore;		/* the name itself has one: found before an argument is cut off */
	bool		 cert;			/* takes a certificate variable */
};
extern const struct xop_row x_ops[];
const struct xop_row *x_op_find(struct sv name, struct sv *arg);
X_EVAL(x_op);
#define X_OP(name)	enum exim_result name(struct xev *e, const struct xnode *n, struct sv v, struct sv *out)
X_OP(xo_address); X_OP(xo_addresses); X_OP(xo_domain); X_OP(xo_local_part);
X_OP(xo_base32); X_OP(xo_base32d); X_OP(xo_base62); X_OP(xo_base62d); X_OP(xo_base64); X_OP(xo_base64d);
X_OP(xo_hex2b64); X_OP(xo_md5); X_OP(xo_sha1); X_OP(xo_sha256); X_OP(xo_sha2); X_OP(xo_sha3); X_OP(xo_hexquote);
X_OP(xo_xtextd); X_OP(xo_rfc2047); X_OP(xo_rfc2047d); X_OP(xo_utf8clean); X_OP(xo_from_utf8);
X_OP(xo_domain_to_alabel); X_OP(xo_domain_from_alabel); X_OP(xo_local_to_alabel); X_OP(xo_local_from_alabel);
X_OP(xo_eval); X_OP(xo_eval10); X_OP(xo_mask); X_OP(xo_mask_n); X_OP(xo_ipv6norm); X_OP(xo_ipv6denorm); X_OP(xo_reverse_ip);
X_OP(xo_headerwrap);

/* A field of an X509 with its modifiers (expand_cert.c). */
enum exim_result x_cert_field(struct xev *e, void *x509, struct sv field, struct sv *out);
/* Tab and newline as escapes, for messages. */
struct sv x_printing(struct xev *e, struct sv v);
/* The parts of a header address as Exim reads it; false: it is none. */
bool	 x_address_split(struct xev *e, struct sv v, struct sv *local, struct sv *domain);
/* quote_TYPE: of lookup types (lookup.c). */
/* Names for exim_family_name; NULL behind the last. */
const char *x_var_name(size_t i);
const char *x_lookup_type_name(size_t i);
enum exim_result x_quote_lookup(struct xev *e, struct sv type, struct sv v, struct sv *out);

/* --- conditions --- */

struct xcond {
	const struct xcond_row *row;
	bool		 negate;
	struct sv	 name;
	struct xseq	*arg;
	unsigned	 narg;
	struct xcond	**sub;
	unsigned	 nsub;
	struct xnode	 var;			/* def: */
	struct xregex_ref regex;		/* match with a literal pattern */
	struct exim_list *list;			/* match_domain ... with a literal list */
};
/* A list whose text is not expanded again (second strings of match_*, lists known at run time). */
struct exim_list *xm_compile_raw(struct arena *a, enum exim_list_kind kind, struct sv text);
/* The same of one item that is not cut at separators (a key of nwildlsearch, a line of a file). */
struct exim_list *xm_compile_item(struct arena *a, enum exim_list_kind kind, struct sv text);
struct xcond_row {
	const char	*name;
	bool		(*parse)(struct xparse *ps, struct xcond *c);
	enum exim_result (*test)(struct xev *e, const struct xcond *c, bool *yes);
	int		 kind;
};
extern const struct xcond_row x_conds[];
const struct xcond_row *x_cond_find(struct sv name);
/* The operator at ps->p: "eq", ">=" ...; moves behind it. */
struct sv xp_cond_name(struct xparse *ps);
/* Compare two values by one of the two-argument comparisons (sort); EXIM_FAIL if <row> is none. */
bool	 x_cond_compares(const struct xcond_row *row);
/* <looked> (may be NULL): what it cost, in bytes looked at one by one. */
enum exim_result x_cond_compare(struct xev *e, const struct xcond_row *row, struct sv a, struct sv b, bool *yes, size_t *looked);
#define X_COND(name)	enum exim_result name(struct xev *e, const struct xcond *c, bool *yes)
X_COND(xc_match); X_COND(xc_match_list); X_COND(xc_match_ip); X_COND(xc_crypteq); X_COND(xc_auth); X_COND(xc_inbound_srs);

/* --- variables --- */

/* A node for the variable <name>; false if there is none (*<hint> then may be more text for the message). */
bool	 xp_var(struct xparse *ps, struct sv name, struct xnode *n);
X_EVAL(x_var);
X_EVAL(x_header);
/* Does the message have a field of that name? */
bool	 x_header_exists(struct exim_env *env, struct sv name);
bool	 x_header_prefix(struct sv name, enum xheader_kind *kind, size_t *prefix);
struct sv x_header_get(struct xev *e, struct sv name, enum xheader_kind kind);
const char *x_acl_hint(struct sv name);		/* "" or " (why)" */
void	*x_var_cert(struct xev *e, const struct xseq *s);	/* certificate of a lone certificate variable */
bool	 x_seq_is_cert(const struct xseq *s);

/* --- regexes (expand_regex.c) --- */

#define XRE_CASELESS	0x1
#define XRE_NOTEMPTY	0x2		/* at match time: with anchoring, for sg */

/*
 * From the caches, or made for this once.  Valid until something parks; give it back by x_regex_put.  NULL: *<why> holds
 * PCRE2's words.
 */
struct xregex *x_regex_get(struct xev *e, struct sv pattern, unsigned flags, struct xregex_ref *ref, char why[256]);
void	 x_regex_put(struct xev *e, struct xregex *r);
struct xregex *x_regex_new(struct sv pattern, unsigned flags, char why[256]);
void	 x_regex_free(struct xregex *r);
/* 1 match, 0 no match, -1 *<err> (limits).  <nums> and <span> may be NULL. */
int	 x_regex_match(struct xev *e, const struct xregex *r, struct sv subject, size_t from, unsigned flags,
	     struct exim_nums *nums, size_t span[2]);
/* Make <nums> those of the environment: a copy of what is set. */
void	 x_nums_set(struct xev *e, const struct exim_nums *nums);

/* --- lookups (lookup.c) --- */

struct xlookup_type;
struct xlookup_spec {
	const struct xlookup_type *type;
	struct sv	 name;			/* as written */
	int		 partial;		/* -1: not */
	struct sv	 affix;
	bool		 star, starat;
	struct sv	 opts;			/* "ret=key", without the type and its comma */
};
/* "partial-lsearch*@,opts".  False and *<why>: no such type. */
bool	 x_lookup_parse(struct arena *a, struct sv text, struct xlookup_spec *out, const char **why);
bool	 x_lookup_is_query(const struct xlookup_type *t);
const char *x_lookup_name(const struct xlookup_type *t);
/*
 * Look up.  EXIM_OK: *<found> and *<out> (in the arena, untainted).  <file> for single-key types, else <key> is the query.
 * <nums>: for partial matching, $1 and $2.
 */
enum exim_result x_lookup(struct xev *e, const struct xlookup_spec *s, struct sv file, struct sv key, bool *found, struct sv *out,
	     const struct exim_nums **nums);

/* --- caches (expand_cache.c) --- */

/* Something compiled from text at run time.  Between get and put it stays. */
struct xcached {
	struct arena	*a;
	unsigned	 refs;
	const struct exim_str *str;
	struct exim_list *list;
};
struct xcached *x_cache_str(struct xev *e, struct sv text);
struct xcached *x_cache_list(struct xev *e, enum exim_list_kind kind, struct sv text);
void	 x_cache_put(struct xcached *c);

struct xregex *x_cache_regex(struct exim_caches *c, struct sv pattern, unsigned flags, char why[256]);
uint64_t x_cache_regex_gen(const struct exim_caches *c);
void	 x_cache_regex_use(struct exim_caches *c, int n);	/* +1, -1: the table is not emptied meanwhile */

/* A file that was read and taken apart, of a lookup type; <load> makes it from <text>, <free> ends it. */
struct xfile {
	struct arena	*a;
	unsigned	 refs;
	dev_t		 dev;
	ino_t		 ino;
	off_t		 size;
	struct timespec	 mtime, ctime;
	void		*data;
	void		(*free)(void *data);
};
/*
 * The file <path> as <kind> sees it, read again when it changed.  NULL: errno is set; EINVAL with *<not_regular> for what is
 * no plain file.  Give it back by x_file_put.
 */
struct xfile *x_file_get(struct xev *e, const char *kind, const char *path, void *(*load)(struct arena *a, struct sv text),
	     void (*fn)(void *data), bool *not_regular);
void	 x_file_put(struct xev *e, struct xfile *f);
struct map;
/* An open map of type MAP_... (map/map.h); it belongs to the caches, or to the caller if there are none (*<own>). */
/* Must a map's file be looked at (MAP_FRESH), or was it since the command began? */
bool	 x_map_fresh(struct xev *e, const char *path);
struct map *x_cache_map(struct xev *e, const char *path, int type, bool *own);
/* Results of queries; kept until exim_caches_message or 30 seconds. */
bool	 x_cache_result(struct xev *e, struct sv key, bool *found, struct sv *value);
void	 x_cache_result_set(struct xev *e, struct sv key, bool found, struct sv value);

/* --- JSON text, as far as extract, forall_json and lookups go (expand_json.c) --- */

/* What stands between <open> and its <close>; <rest> behind that.  False: there is no such pair at the start of <v>. */
bool	 x_json_dewrap(struct sv v, char open, char close, struct sv *inside, struct sv *rest);
/* Cut the next element off the inside of an array or object; blanks at its end go.  False at the end. */
bool	 x_json_next(struct sv *list, struct sv *item);

#endif
