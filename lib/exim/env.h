/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that an expansion, a list or an ACL can see, in one argument: the
 * configuration's globals, the session, the message and the address at hand, ACL
 * variables, numeric variables, and the outside world as an interface.  Nothing of
 * the language reads a global, a clock, a file or the network but through this, so
 * it runs in tests with none of them.
 *
 * All texts are slices that their owner keeps alive while the env is used.  A slice with
 * p NULL or length 0 is an unset variable.  What a peer sent carries <tainted>.
 */
#ifndef VPOST_EXIM_ENV_H
#define VPOST_EXIM_ENV_H

#include <sys/stat.h>
#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sv.h"
#include "net/addr.h"

struct exim_conf;		/* exim/conf.h */
struct exim_driver;
struct exim_acl_run;		/* exim/acl.h */
struct exim_names;		/* exim/match.h: named lists */
struct exim_caches;		/* exim/expand.h: open maps, compiled regexes, run-time strings */
struct mail_headers;		/* mail/header.h */
struct hash;

/* How an expansion, a lookup, a list match or an ACL callback ended. */
enum exim_result {
	EXIM_OK,
	EXIM_FAIL,		/* *<err> says why; the configuration is wrong or a file is missing */
	EXIM_FORCED,		/* "fail" was asked for: ${if ...fail}, ${lookup ...fail} */
	EXIM_DEFER		/* try later: a lookup, DNS or program gave no answer */
};

enum exim_found {
	EXIM_FOUND,
	EXIM_NOTFOUND,
	EXIM_TEMPFAIL
};

/* Facts of the loaded configuration that variables show; filled once at load. */
struct exim_globals {
	struct sv	 primary_hostname;
	struct sv	 qualify_domain;
	struct sv	 qualify_recipient;
	struct sv	 spool_directory;
	struct sv	 log_file_path;
	struct sv	 config_file;
	struct sv	 config_dir;
	struct sv	 exim_path;
	struct sv	 exim_version;		/* "4.98" */
	struct sv	 compile_date;
	struct sv	 headers_charset;	/* "UTF-8" */
	struct sv	 sqlite_dbfile;
	int64_t		 exim_uid;
	int64_t		 exim_gid;
	int64_t		 localhost_number;	/* -1: unset */
	int64_t		 bounce_return_size_limit;
	int64_t		 message_body_visible;	/* bytes */
	bool		 message_body_newlines;
	bool		 print_topbitchars;
	bool		 check_rfc2047_length;
	bool		 log_timezone;
	bool		 log_incoming_port;	/* log selector: $sender_fullhost shows the port */
	bool		 timezone_utc;
	bool		 strict_acl_vars;
	bool		 taint_off;		/* report no taint mistakes */
	int64_t		 pid;
	struct sv	 initial_cwd;
	struct sv	 spf_guess;
};

struct exim_tls {
	struct sv	 cipher;
	struct sv	 cipher_std;
	struct sv	 ver;
	struct sv	 peerdn;
	struct sv	 sni;
	int64_t		 bits;
	int64_t		 ocsp;
	int64_t		 resumption;
	int64_t		 tlsa_usage;
	bool		 verified;
	bool		 dane;
	void		*ourcert;		/* X509, for ${certextract */
	void		*peercert;
};

enum exim_host_lookup {
	EXIM_HOST_UNTRIED,
	EXIM_HOST_FOUND,
	EXIM_HOST_FAILED,
	EXIM_HOST_DEFERRED
};

/* One connection, or the local submission. */
struct exim_session {
	struct net_addr	 addr;			/* family 0: local submission, no host */
	struct sv	 host_address;		/* the same as text */
	int64_t		 host_port;
	struct net_addr	 interface;
	struct sv	 interface_address;
	int64_t		 interface_port;
	enum exim_host_lookup host_lookup;	/* of host_name; a reference to $sender_host_name tries it once */
	struct arena	*arena;			/* of the session, for names that are found late; NULL: the environment's */
	struct exim_host_answers *host_answers;	/* of named host lists for this client, the matcher's own */
	struct sv	 host_lookup_msg;	/* why none was found, where that is known */
	struct sv	 host_name;
	const char	*const *host_aliases;	/* further verified names */
	size_t		 nhost_aliases;
	bool		 host_unshown;		/* found by a verify condition alone: logs and $sender_fullhost go on without it */
	bool		 dnssec_known, host_dnssec;	/* exim_host_secure() */
	struct sv	 helo;
	bool		 helo_verified;
	struct sv	 ident;
	struct sv	 active_hostname;	/* empty: primary_hostname */
	bool		 esmtp;
	bool		 local;			/* -bs, -bS, -t */
	struct sv	 auth_mechanism;	/* $sender_host_authenticated */
	struct sv	 auth_public;	/* the name that the client knows it by */
	struct sv	 authenticated_id;
	struct sv	 authenticated_sender;
	struct sv	 authenticated_fail_id;
	bool		 authentication_failed;
	struct sv	 auth[4];		/* $auth1.. while an authenticator runs */
	struct exim_tls	 tls_in;
	struct sv	 smtp_command;
	struct sv	 smtp_argument;
	struct sv	 smtp_history;		/* "EHLO,MAIL,RCPT" */
	struct sv	 notquit_reason;
	int64_t		 count_at_start;	/* $smtp_count_at_connection_start */
	bool		 prdr_requested;
	bool		 proxy;
	struct sv	 proxy_external_address;
	struct sv	 proxy_local_address;
	int64_t		 proxy_external_port;
	int64_t		 proxy_local_port;
	struct sv	 connection_id;
	struct sv	 csa_status;
	int64_t		 rcpt_count;		/* RCPT commands so far, this one too */
	int64_t		 rcpt_defer_count;
	int64_t		 rcpt_fail_count;
};

/* A field that was added behind the received ones: "Name: body\n". */
struct exim_header_add {
	struct sv	 text;
};

struct exim_message {
	struct sv	 id;
	bool		 has_sender;		/* MAIL FROM was accepted, "" included */
	struct sv	 sender;		/* $sender_address, no brackets */
	struct sv	 sender_address_data;
	struct sv	 sender_data;		/* of the last senders match */
	struct sv	 return_path;
	struct sv	 received_protocol;
	const struct mail_headers *headers;	/* NULL: none read yet */
	const bool	*headers_gone;		/* NULL, or one per field: removed */
	struct sv	 received;		/* our own Received field, which stands in front of the others; p NULL: none yet */
	struct sv	 scan_head;		/* lines in front of the message for scanners and regex: From_ and envelope */
	const struct exim_header_add *added;
	size_t		 nadded;
	struct sv	 headers_added;		/* $headers_added: what ACLs added so far */
	struct sv	 raw;			/* the whole message, while its ACLs run; p NULL: not at hand */
	struct sv	 body;			/* the first part, or all if <body_whole> */
	bool		 body_whole;
	struct sv	 body_end;		/* the last part when not whole */
	int64_t		 body_size;
	int64_t		 body_linecount;
	int64_t		 body_zerocount;
	int64_t		 linecount;
	int64_t		 size;			/* header and body; what SIZE= said before DATA; -1 unknown */
	int64_t		 max_linelength;
	int64_t		 received_count;
	int64_t		 received_time;		/* seconds; 0: not received */
	struct sv	 received_for;
	const struct sv	*recipients;		/* NULL with a count: not to be shown (users' filters) */
	size_t		 nrecipients;
	bool		 recipients_shown;	/* $recipients may be had: ACLs behind DATA, system filter */
	int64_t		 originator_uid;
	int64_t		 originator_gid;
	int64_t		 caller_uid;
	int64_t		 caller_gid;
	bool		 smtputf8;
	bool		 dsn_ret_set;
	bool		 first_delivery;
	bool		 deliver_freeze;
	bool		 manually_thawed;
	struct sv	 queue_name;
	int64_t		 n[10];			/* $n0..: Exim filter counters */
	int64_t		 sn[10];
};

/* The recipient that is routed, delivered, verified or checked by RCPT's ACL. */
struct exim_address {
	struct sv	 local_part;		/* without prefix and suffix inside a router */
	struct sv	 domain;
	struct sv	 local_part_prefix;
	struct sv	 local_part_prefix_v;
	struct sv	 local_part_suffix;
	struct sv	 local_part_suffix_v;
	struct sv	 local_part_data;
	struct sv	 domain_data;
	struct sv	 recipient_data;
	struct sv	 address_data;
	struct sv	 address_file;
	struct sv	 address_pipe;
	struct sv	 home;
	struct sv	 router_name;
	struct sv	 transport_name;
	struct sv	 parent_domain;
	struct sv	 parent_local_part;
	struct sv	 original_domain;
	struct sv	 original_local_part;
	struct sv	 self_hostname;
	struct sv	 thisaddress;		/* filter: foranyaddress */
	int64_t		 local_user_uid;
	int64_t		 local_user_gid;
	int64_t		 inode;
	struct hash	*router_vars;		/* $r_name of "set r_name": to struct sv */
	struct sv	 host;			/* of the delivery: $host, $host_address, $host_port */
	struct sv	 host_address;
	int64_t		 host_port;
	struct exim_tls	 tls_out;
	struct sv	 sending_ip_address;
	int64_t		 sending_port;
	struct sv	 bounce_recipient;
	struct sv	 mailstore_basename;
	struct sv	 warn_delay;
	struct sv	 warn_recipients;
	int64_t		 lookup_dnssec;		/* of the last router lookup */
};

/* What the running ACL and its scanners set. */
struct exim_acl_state {
	const struct sv	*args;			/* $acl_arg1.. */
	size_t		 nargs;
	struct sv	 verify_message;	/* $acl_verify_message */
	struct sv	 verify_mode;		/* "", "S" or "R" */
	struct sv	 sender_verify_failure;
	struct sv	 recipient_verify_failure;
	struct sv	 callout_address;
	struct sv	 host_data;		/* what the list of a condition "hosts" gave last */
	struct sv	 dnslist_domain, dnslist_matched, dnslist_text, dnslist_value;
	struct sv	 sender_rate, sender_rate_limit, sender_rate_period;
	struct sv	 malware_name;
	struct sv	 regex_match_string;
	struct sv	 regex[9];		/* $regex1.. of the regex conditions */
	struct sv	 spam_action, spam_bar, spam_report, spam_score, spam_score_int;
	bool		 av_failed;
	struct sv	 spf_result, spf_received, spf_header_comment, spf_smtp_comment;
	bool		 spf_guessed;
	struct sv	 dkim_cur_signer, dkim_signers, dkim_verify_status, dkim_verify_reason, dkim_verify_signers;
	struct sv	 dkim_domain, dkim_selector, dkim_identity, dkim_algo, dkim_canon_body, dkim_canon_headers;
	struct sv	 dkim_copiedheaders, dkim_headernames, dkim_bodylength, dkim_created, dkim_expires;
	struct sv	 dkim_key_granularity, dkim_key_notes, dkim_key_srvtype, dkim_key_nosubdomains, dkim_key_testing;
	int64_t		 dkim_key_length;
	struct sv	 dmarc_domain_policy, dmarc_status, dmarc_status_text, dmarc_used_domain;
	struct sv	 dmarc_alignment_dkim, dmarc_alignment_spf;
	struct sv	 arc_domains, arc_state, arc_state_reason;
	int64_t		 arc_oldest_pass;
	struct sv	 authresults;		/* the methods' part of ${authresults, "" if none ran */
	struct sv	 mime_anomaly_text, mime_boundary, mime_charset, mime_content_description, mime_content_disposition;
	struct sv	 mime_content_id, mime_content_transfer_encoding, mime_content_type, mime_decoded_filename, mime_filename;
	struct sv	 mime_part, mime_body;	/* as it was sent, with its header and without */
	int64_t		 mime_anomaly_level, mime_content_size, mime_part_count;
	bool		 mime_is_coverletter, mime_is_multipart, mime_is_rfc822;
	struct sv	 event_name, event_data;
	int64_t		 event_defer_errno;
	struct sv	 local_scan_data;
	struct sv	 atrn_host, atrn_mode;
};

/* acl_c..., acl_m...: names without "acl_", e.g. "c0", "m_foo". */
struct exim_vars;
struct exim_vars *exim_vars_new(void);
void	 exim_vars_free(struct exim_vars **vp);
void	 exim_vars_clear(struct exim_vars *v);
/* Copies <value>; p NULL removes. */
void	 exim_vars_set(struct exim_vars *v, struct sv name, struct sv value);
/* p NULL: not set.  Valid until the next set of the same name or clear. */
struct sv exim_vars_get(const struct exim_vars *v, struct sv name);
/* Walk in order of setting; *<pos> from 0 (spool files). */
bool	 exim_vars_next(const struct exim_vars *v, size_t *pos, struct sv *name, struct sv *value);

#define EXIM_NUMS	21		/* $0 .. $20 */
struct exim_nums {
	struct sv	 v[EXIM_NUMS];
	unsigned	 n;		/* $0 .. $n-1 are set */
};

/* DNS as records in wire format: what dns/dns.h gives. */
struct exim_dns {
	enum { EXIM_DNS_FOUND, EXIM_DNS_NODATA, EXIM_DNS_NXDOMAIN, EXIM_DNS_TEMPFAIL } result;
	bool		 secure;
	uint32_t	 ttl;
	size_t		 n;
	const struct sv	*rdata;
	const char	*why;
};

struct exim_passwd {
	const char	*name, *passwd, *gecos, *home, *shell;
	uid_t		 uid;
	gid_t		 gid;
};

struct exim_run {
	const char *const *argv;	/* NULL-terminated; argv[0] is a path */
	struct sv	 input;
	int64_t		 timeout;	/* seconds */
	size_t		 max;		/* bytes of output kept */
	bool		 merge_stderr;
	const char	*cwd;		/* NULL: as it is */
	bool		 set_ids;	/* become <uid> and <gid> first, with the groups of <user> (may be NULL), umask 077 */
	int64_t		 uid, gid;
	const char	*user;
};

struct exim_socket {
	struct sv	 where;		/* "/path" or "inet:host:port" */
	struct sv	 request;
	int64_t		 timeout;	/* seconds */
	bool		 shutdown;
	bool		 tls;
	struct sv	 sni;
	size_t		 max;
};

/*
 * The outside.  Any pointer may be NULL: then what needs it fails or defers with a text.
 * All may park the calling fiber.  Results live in the given arena.
 */
struct exim_env;
struct exim_world {
	void		*arg;
	int64_t		(*now)(void *arg, int64_t *usec);			/* <usec> may be NULL */
	uint32_t	(*random)(void *arg);
	const char	*(*getenv)(void *arg, const char *name);
	int		(*dns)(void *arg, const char *name, int type, struct arena *a, struct exim_dns *out);
	/* Forward and reverse names by host_lookup_order or gethostbyname rules, /etc/hosts included. */
	enum exim_found	(*addrs)(void *arg, const char *name, struct arena *a, struct net_addr **addrs, size_t *n);
	enum exim_found	(*names)(void *arg, const struct net_addr *addr, struct arena *a, const char *const **names, size_t *n);
	/* The same by the host's own tables, as the C library reads them; NULL: by <names>. */
	enum exim_found	(*names_host)(void *arg, const struct net_addr *addr, struct arena *a, const char *const **names,
			    size_t *n);
	int		(*interfaces)(void *arg, struct arena *a, struct net_addr **addrs, size_t *n);
	/* *<rc>: exit status, -1 - signal, 127 when it cannot start.  EXIM_DEFER on timeout. */
	enum exim_result (*run)(void *arg, const struct exim_run *r, struct arena *a, struct sv *out, int *rc, struct err *err);
	enum exim_result (*readsocket)(void *arg, const struct exim_socket *s, struct arena *a, struct sv *out, struct err *err);
	/*
	 * Whole file of at most <max> bytes; -1 with errno set: EFBIG for a longer one, EISDIR or EINVAL for one that is not
	 * regular, which is not read.  *<st> (may be NULL): as fstat; all 0 where it could not be opened.
	 */
	int		(*readfile)(void *arg, const char *path, size_t max, struct arena *a, struct sv *out, struct stat *st);
	int		(*stat)(void *arg, const char *path, bool follow, struct stat *st);
	/* A command or message begins: what <stat> remembers must be looked at again.  NULL: it remembers nothing. */
	void		(*begins)(void *arg);
	enum exim_found	(*passwd)(void *arg, const char *name, struct arena *a, struct exim_passwd *pw);
	int		(*fsspace)(void *arg, const char *path, int64_t *kbytes, int64_t *inodes);
	int64_t		(*loadavg)(void *arg);					/* thousandths */
	int64_t		(*queue_size)(void *arg);
	/* Lookup types that are not part of the library: sqlite mysql pgsql ldap redis ... */
	enum exim_found	(*lookup)(void *arg, const char *type, struct sv file, struct sv query, struct sv opts, struct arena *a,
			    struct sv *out, struct err *err);
	/* pam radius saslauthd pwcheck ldapauth. */
	enum exim_found	(*auth)(void *arg, const char *how, const struct sv *args, size_t n, struct arena *a, struct err *err);
	/* *<out>: the result, or the text of the mistake. */
	enum exim_result (*perl)(struct exim_env *env, struct sv sub, const struct sv *args, size_t n, struct sv *out);
	/* The same for function <fn> of shared object <path>. */
	enum exim_result (*dlfunc)(struct exim_env *env, const char *path, const char *fn, const struct sv *args, size_t n,
			    struct sv *out);
	enum exim_result (*certextract)(void *arg, void *cert, struct sv field, struct arena *a, struct sv *out, struct err *err);
	/* The ACL interpreter, for ${acl and the acl condition.  EXIM_OK accept, EXIM_FORCED deny; *<out> its message. */
	enum exim_result (*acl)(struct exim_env *env, struct sv name, const struct sv *args, size_t n, struct sv *out,
			    struct err *err);
	/* Run <fn>(<job>), which blocks, where that does no harm, and wait for its end; NULL: it is called. */
	void		(*offload)(void *arg, void (*fn)(void *job), void *job);
	/* Work that goes on for long lets others of this process have their turn; NULL: there are none. */
	void		(*yield)(void *arg);
	/* Of that Exim's process dies.  Who imitates it does not return; NULL: the caller defers. */
	void		(*die)(void *arg, const char *text);
	/* A line for these logs (EXIM_LOG_MAIN ... of exim/acl.h) from where no ACL runs. */
	void		(*log)(void *arg, unsigned logs, struct sv line);
	/* Small values with a time to live: ratelimit, seen, callouts.  <ttl> in seconds. */
	enum exim_found	(*hint_get)(void *arg, const char *db, struct sv key, struct arena *a, struct sv *out);
	int		(*hint_put)(void *arg, const char *db, struct sv key, struct sv value, int64_t ttl);
	int		(*hint_del)(void *arg, const char *db, struct sv key);
};

/* The world of this machine by POSIX calls that may block: files, passwd, clock, programs, sockets, resolver of libc (no raw DNS). */
void	 exim_world_posix(struct exim_world *w);

/* What is forbidden where users write expansions (redirect's forbid_filter_...). */
#define EXIM_NO_LOOKUP		0x001
#define EXIM_NO_READFILE	0x002
#define EXIM_NO_READSOCKET	0x004
#define EXIM_NO_RUN		0x008
#define EXIM_NO_PERL		0x010
#define EXIM_NO_DLFUNC		0x020
#define EXIM_NO_EXISTS		0x040

/* Whose option is expanded, for lines of the log. */
struct exim_place {
	const char	*kind;			/* "ACL", "router" ... */
	const char	*name;			/* its verb or name */
	const char	*file;
	unsigned	 line;
};

/*
 * What expansions and matches leave in the environment for later ones ($1, $value, $srs_recipient ...) points into <arena>:
 * whoever resets that calls exim_env_forget.
 */
struct exim_env {
	const struct exim_conf	*conf;
	const struct exim_names	*names;		/* NULL: no named lists */
	struct exim_caches	*caches;	/* of the process; NULL: nothing is kept between expansions */
	struct arena		*arena;		/* results and scratch; the caller resets it */
	const struct exim_world	*world;		/* never NULL */
	struct exim_globals	*g;		/* these may be NULL: then all their variables are unset */
	struct exim_session	*session;
	struct exim_message	*msg;
	struct exim_address	*addr;
	struct exim_acl_state	*acl;
	struct exim_vars	*acl_c;
	struct exim_vars	*acl_m;
	struct exim_place	 at;		/* kind NULL: a main option's */
	unsigned		 forbid;	/* EXIM_NO_... */
	unsigned		 depth;		/* of recursion, the evaluator's own; 0 outside */
	uint64_t		 work;		/* of the outermost expansion so far, the evaluator's own */
	size_t			 memory;	/* of <arena> when that began, the evaluator's own */
	struct exim_acl_run	*acl_run;	/* exim/acl.h: of the ACL under way, NULL outside */
	unsigned		 acl_depth;	/* of nested ACLs, their interpreter's own */
	uint64_t		 epoch;		/* of the command under way (exim_epoch); 0: none */
	bool			 queue_running;
	bool			 keeps_lookups;	/* what single-key lookups found is not looked at anew, as in a short-lived process */
	bool			 message_loaded;	/* -bem, delivery: $h_ and $message_body mean something */

	/* Set by matches and lookups, saved and restored by the items that set them. */
	const struct exim_nums	*nums;		/* $0, $1 ...: NULL none */
	struct sv		 value;		/* $value */
	struct sv		 item;		/* $item */
	int64_t			 runrc;		/* $runrc */
	struct sv		 prvscheck_result, prvscheck_address, prvscheck_keynum;
	struct sv		 ldap_dn;	/* of the last entry that a lookup found */
	struct sv		 srs_recipient;
	bool			 lookup_dnssec;	/* $lookup_dnssec_authenticated: last dnsdb */
	bool			 lookup_dnssec_set;
	bool			 searched;	/* something was looked up since this router, or ACL condition, began */
	struct sv		 lookup_error;	/* why the last lookup could not be done; empty: it could */
	struct sv		 message;	/* of the last mistake as Exim words it: it may have several lines, struct err has one */
	bool			 filter_running;	/* Exim filter: $n0.., $sn0.. exist */
	/* Where users write expansions. */
	int64_t			 cpu_until;	/* os_thread_us() behind which expansions fail; 0: none */
	unsigned		 ticks;		/* until the clock is looked at again, the evaluator's own */
	uint32_t		 match_limit;	/* of backtracking in one match; 0: the usual one */
};

void	 exim_env_forget(struct exim_env *env);

/* An option of <d>, a <kind>, is expanded next.  Within an ACL that is still the ACL's statement. */
void	 exim_env_at(struct exim_env *env, const char *kind, const struct exim_driver *d);

/* A line for these logs (EXIM_LOG_MAIN ...): of the ACL that runs, or else as below. */
void	 exim_env_log(const struct exim_env *env, unsigned logs, struct sv line);
/* The same by the world, behind the message's id where there is one; nothing where nobody keeps a log. */
void	 exim_env_log_world(const struct exim_env *env, unsigned logs, struct sv line);

#endif
