/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server side of SMTP, submission and LMTP: one connection is one fiber that runs
 * session_run() to its end.  What it needs of its process stands in struct session_service,
 * made once per worker; outside effects go through struct session_ops, so that tests and
 * host checking (sendmail -bh) run the same code without spool or network.
 */
#ifndef VPOST_SESSION_SESSION_H
#define VPOST_SESSION_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "exim/conf.h"
#include "exim/env.h"
#include "net/addr.h"
#include "spool/envelope.h"
#include "spool/writer.h"

struct auth_client;
struct hosts_client;
struct route_ops;
struct session_tls;
struct stream;

/* Which log lines go to; the numbers of exim/acl.h's EXIM_LOG_*. */
#define SESSION_LOG_MAIN	0x01
#define SESSION_LOG_REJECT	0x02
#define SESSION_LOG_PANIC	0x04

struct session_log {
	void	*arg;
	/* A line in the form of Exim's logs, without time stamp and newline.  <more> (may be NULL) goes behind it in the reject log only. */
	void	(*exim)(void *arg, unsigned which, const char *line, const char *more);
	/* For our own log, at a level: 0 debug, 1 info, 2 warning, 3 error.  May be NULL. */
	void	(*note)(void *arg, int level, const char *text);
	/* What ACLs do, for a client at <peer>; NULL: nobody wants to know, which costs nothing. */
	void	(*trace)(void *arg, const char *peer, const char *line);
	/*
	 * A file beside the logs (control = debug): open for appending, a descriptor, or with <remove> removed, 0.  -1: *<err>.  NULL: there
	 * are no such files.
	 */
	int	(*file)(void *arg, const char *name, bool remove, struct err *err);
	/* What scanners said of messages; NULL: no such log. */
	void	(*scanner)(void *arg, const char *line);
};

struct transport_delivery;

/* Effects.  A NULL member: as if it had succeeded (room, count: nothing waits), or 458 for etrn. */
struct session_ops {
	void	*arg;
	/* As spool_submit: 0 when the message is durable. */
	int	(*submit)(void *arg, const struct spool_envelope *env, const struct spool_content *c, struct err *err);
	/* As spool_writer_room. */
	int	(*room)(void *arg, int64_t size, struct err *err);
	/* Ask for an attempt for <domain>; *<count> messages wait. */
	int	(*etrn)(void *arg, const char *domain, unsigned *count, struct err *err);
	/* hosts.allow and hosts.deny: may <c> come?  NULL: everybody may. */
	bool	(*admit)(void *arg, struct hosts_client *c);
	/*
	 * Is the mailbox full that <address> leads to?  <td> is the delivery there, with quota_only.  No where that cannot be told;
	 * NULL: none is.
	 */
	bool	(*full)(void *arg, struct sv address, const struct transport_delivery *td);
	/* Connections of this service now: all, and those of <addr>, the asking one included. */
	size_t	(*connections)(void *arg, const struct net_addr *addr);
};

struct session_service {
	const struct exim_conf	*conf;
	const struct exim_world	*world;
	struct exim_caches	*caches;
	const struct route_ops	*route;
	const struct session_ops *ops;
	const struct session_log *log;
	struct session_tls	*tls;		/* tls_conf.h; NULL: no STARTTLS */
	struct auth_client	*auth;		/* NULL: only authenticators of the configuration */
	const char		*tmpdir;	/* for messages beyond memory */
	const char		*scandir;	/* for files that scanners read; made when needed; NULL: none */
	const bool		*draining;	/* no further transactions; may be NULL */
	unsigned		*transactions;	/* those open now are counted here; may be NULL */
	int64_t			 max_sessions;	/* the box's own limits beside those of exim.conf; 0: none */
	int64_t			 max_per_host;
	uint16_t		 ident_port;	/* of RFC 1413; 0: 113 */
	bool			 plaintext_auth;
	bool			 cram_md5;
	bool			 soft_bounce;	/* every 5xx is answered as 4xx */
	bool			 keep_bare;	/* bare CR and forged ends are repaired too, not refused */
};

enum session_kind {
	SESSION_SMTP,
	SESSION_SUBMISSION,	/* AUTH comes before MAIL */
	SESSION_SMTPS,		/* the same, TLS from the start */
	SESSION_LOCAL,		/* a UNIX socket: the peer is a user of this machine */
	SESSION_LMTP
};

struct session_conn {
	struct stream	*stream;	/* taken over */
	enum session_kind kind;
	struct net_addr	 peer;		/* family 0 for SESSION_LOCAL */
	struct net_addr	 local;
	const char	*user;		/* SESSION_LOCAL: the caller's login */
	int64_t		 uid;
	const char	*fullname;	/* his name, for fields that he leaves out; NULL: none is written */
	bool		 trusted;	/* SESSION_LOCAL: may set the sender */
	bool		 tls_on_connect;	/* TLS from the start, whatever the kind */
	bool		 host_checking;	/* -bh: nothing is kept, no delays */
	bool		 callouts;	/* -bhc: but other hosts are asked */
	const struct exim_session *facts;	/* -oM...: what is taken for known of the client; NULL: nothing */
	bool		 handed;	/* SESSION_LOCAL: sendmail(1) hands over what came without SMTP */
	bool		 exim_style;	/* replies as Exim 4.96 writes them: no enhanced status codes */
	bool		 lf_lines;	/* bare LF ends lines: only for a terminal or file */
	bool		 idle;		/* set by the session: it waits for a command, outside of a transaction */
	bool		 lost;		/* set at its end: the client went without QUIT, or was sent away for its mistakes */
};

/*
 * check_spool_space, check_log_space and their _inodes, where they are set, with <size> more bytes (0: not known) on the spool's side.
 * False: *<why> is a line for the log, in <a>.
 */
bool	 session_has_room(const struct exim_conf *c, const struct exim_world *w, struct arena *a, int64_t size, const char **why);
void	 session_run(const struct session_service *sv, struct session_conn *c);

#endif
