/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SMTP and LMTP client (RFC 5321, 2033): one connection to one host, over which any
 * number of messages go, each to any number of recipients.  For fibers: every call parks
 * until the peer answered or a time of RFC 5321 4.5.3.2 has passed.  It decides nothing
 * about retrying: it says what happened, to whom, and whose fault it was.
 */
#ifndef VPOST_DELIVER_CLIENT_H
#define VPOST_DELIVER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sv.h"
#include "exim/conf.h"
#include "io/tls.h"
#include "net/addr.h"

struct deliver_conn;
struct deliver_proxy;
struct stream;

/* What happened, with what retry rules want to know (exim/conf.h). */
struct deliver_error {
	struct err	 err;
	enum exim_retry_error what;
	int		 code;		/* SMTP reply code; 0: none */
	int		 sys;		/* errno of a connection that did not come about; 0 */
	/* The host or the connection failed, not the message: another host may do better. */
	bool		 host;
	/* We had no means to try: no descriptors, ports or memory.  Says nothing of host or message. */
	bool		 ours;
};
/* <code> when an option could not be expanded: Exim's number for it. */
#define DELIVER_EXPANSION	(-27)
#define DELIVER_MALFORMED	(-19)	/* what came is no reply */
#define DELIVER_EVENT		(-58)	/* event_action asked for something else */
#define DELIVER_ERROR_INIT	{ .err = ERR_INIT, .what = EXIM_RE_ANY, .code = 0, .sys = 0, .host = false, .ours = false }

struct sb;
struct stream;

/* What a way to log in does next. */
enum deliver_auth_step {
	DELIVER_AUTH_SEND,
	DELIVER_AUTH_WAIT,	/* only at first: AUTH goes out alone */
	DELIVER_AUTH_SKIP,	/* only at first: not for this server */
	DELIVER_AUTH_CANCEL,	/* "*": it asks what we cannot answer */
	DELIVER_AUTH_DEFER	/* it cannot be known now */
};

/* What the server says. */
struct deliver_auth_talk {
	unsigned	 step;		/* 0: nothing yet, AUTH is to be sent */
	struct sv	 challenge;	/* decoded; p NULL: it is no base64 */
	struct sv	 text;		/* as it came */
	struct stream	*stream;
};

/* One way to log in: fixed strings, with NUL bytes in place; or a function that answers. */
struct deliver_auth {
	enum deliver_auth_step (*answer)(void *arg, const struct deliver_auth_talk *t, struct sb *out, struct err *err);
	const char	*(*who)(void *arg);	/* whom we logged in as, for A= in logs; NULL or "" if nobody knows */
	bool		(*proved)(void *arg);	/* has the server shown what the mechanism asks of it?  NULL: it asks nothing */
	void		*arg;
	const char	*mechanism;	/* "PLAIN", "LOGIN" */
	const struct sv	*strings;	/* the first goes with AUTH, each further answers a 334; with a function only what it is made of */
	size_t		 nstrings;
	const char	*name;		/* the authenticator's, for A= in logs */
};

/* How to speak to a host; all pointers must live as long as the connection. */
struct deliver_opts {
	bool		 lmtp;
	const char	*helo;			/* NULL: <late> tells it */
	const struct net_addr *from;		/* local address; NULL: the system's choice */
	bool		 esmtp;			/* false: HELO (hosts_avoid_esmtp) */
	bool		 pipelining;
	bool		 chunking;
	bool		 tls_on_connect;	/* protocol = smtps */
	bool		 tls_try;
	bool		 tls_require;
	bool		 tls_clear_after_fail;	/* a failed STARTTLS negotiation may be followed by a plain connection */
	struct tls_client *tls;			/* NULL: no TLS; a reference of its own */
	const char	*tls_trouble;		/* why it is NULL although it was wanted */
	const char	*sni;			/* NULL: the host's name */
	bool		 dane;			/* <tlsa> came validated (RFC 7672) */
	const struct tls_tlsa *tlsa;
	size_t		 ntlsa;
	bool		 keepalive, fastopen;
	bool		 pipe_connect;		/* EHLO goes out before the greeting, where the host is known to like that */
	const struct deliver_proxy *proxies;	/* socks.h; the connection goes through one of them */
	size_t		 nproxies;
	int		 dscp;			/* -1: as it is */
	int64_t		 size_addition;		/* to SIZE= */
	bool		 ignore_quota;		/* LMTP's IGNOREQUOTA, where it is offered */
	bool		 prdr;			/* per-recipient answers to the content, where they are offered */
	/* By what name the host's TLS session is kept, from its answer to EHLO; NULL or "": its own name. */
	const char	*(*session_name)(void *arg, struct sv ehlo);
	void		*session_arg;
	const struct deliver_auth *auths;
	size_t		 nauths;
	bool		 auth_require;
	int64_t		 connect_ms, command_ms, data_ms, final_ms;
	/*
	 * What is known only of a connection that stands: called before EHLO to fill <helo>, and when TLS has begun or is
	 * not to come, before AUTH, to fill <auths>.  NULL: they are filled in already.
	 */
	int		(*late)(void *arg, bool auth, const struct deliver_conn *c, struct deliver_opts *o, struct err *err);
	void		*late_arg;
	/*
	 * For event_action: <name> happens, before there is a connection (<c> NULL) or on it; <cert> is of its peer, for tls:cert.  What
	 * it answers forbids that, where it can be forbidden; p NULL: nothing.  NULL: nobody wants to know, which costs nothing.
	 */
	struct sv	(*event)(void *arg, const struct deliver_conn *c, const char *name, struct sv data, void *cert);
	void		*event_arg;
};

/* Where to: <name> is for TLS and logs. */
struct deliver_host {
	const char	*name;
	const char	*asked;		/* its name before aliases, which the certificate must have; NULL: <name> */
	struct net_addr	 addr;		/* with its port */
	int		 mx;		/* preference; -1: not by MX */
	bool		 dnssec;	/* name and address came validated */
};

/* Connect, greet, STARTTLS, AUTH.  -1 and *<e> (always .host or .ours). */
int	 deliver_open(struct deliver_conn **cp, const struct deliver_host *host, struct deliver_opts *o,
	     struct deliver_error *e);
/* QUIT if the connection is in order (its answer is not waited for), close. */
void	 deliver_close(struct deliver_conn **cp);

/* Our end, and the stream for what TLS says of itself. */
const struct net_addr *deliver_local(const struct deliver_conn *c);
const struct stream *deliver_stream(const struct deliver_conn *c);
/* For log lines: "TLS1.3:TLS_AES_256_GCM_SHA384:256" or "", the authenticator's name or NULL. */
const char *deliver_cipher(const struct deliver_conn *c);
const char *deliver_auth_name(const struct deliver_conn *c);
struct sv deliver_auth_id(const struct deliver_conn *c);	/* client_set_id; empty: none */
/* "yes", "no", "dane" as CV= of log lines says it; NULL without TLS. */
const char *deliver_verified(const struct deliver_conn *c);
/* Why there is no TLS although it was tried; NULL: it was not, or there is. */
const char *deliver_in_clear(const struct deliver_conn *c);
const char *deliver_peerdn(const struct deliver_conn *c);	/* "" without a certificate */
/* How the last message went: several commands at once, PRDR, BDAT. */
bool	 deliver_piped(const struct deliver_conn *c);
bool	 deliver_each(const struct deliver_conn *c);
bool	 deliver_chunked(const struct deliver_conn *c);
bool	 deliver_tls_resumed(const struct deliver_conn *c);
const struct deliver_host *deliver_conn_host(const struct deliver_conn *c);
const struct net_addr *deliver_proxy(const struct deliver_conn *c);	/* what it goes through; NULL: nothing */
unsigned deliver_extensions(const struct deliver_conn *c);	/* SMTP_EXT_* */
int64_t	 deliver_size_limit(const struct deliver_conn *c);	/* 0: none told */
unsigned deliver_messages(const struct deliver_conn *c);	/* sent so far */
/* Another message may be sent over it. */
bool	 deliver_usable(const struct deliver_conn *c);

enum deliver_status { DELIVER_OPEN, DELIVER_OK, DELIVER_TEMP, DELIVER_PERM };

struct deliver_rcpt {
	struct sv	 addr;
	struct sv	 orcpt;
	unsigned	 notify;	/* enum spool_notify bits */
	bool		 lasthop;	/* the peer hears nothing of DSN, as if it did not know it */
	/* The result. */
	enum deliver_status status;
	bool		 dsn_passed;	/* the peer speaks DSN: it makes the success report, not we */
	struct deliver_error error;	/* TEMP, PERM */
};

struct deliver_message {
	struct sv	 sender;
	uint64_t	 size;		/* of what is sent: header and range */
	bool		 eightbit;	/* BODY=8BITMIME was given */
	bool		 smtputf8;
	bool		 header_8bit;	/* the header holds bytes above 127 */
	bool		 ret_set, ret_hdrs;
	struct sv	 envid;
	struct sv	 auth_sender;	/* p NULL: no AUTH= */
	bool		 auth_force;	/* even where AUTH is not offered */
	int		 downconvert;	/* UTF-8 addresses become ASCII: 1 always, -1 where the host needs it, 0 never */
	struct sv	 header;	/* sent before the range; empty: the range is all */
	int		 fd;
	uint64_t	 off, len;
	struct deliver_rcpt *rcpts;
	size_t		 nrcpts;
	/* Called just before the bytes that end the message may leave; -1: do not send them.  May be NULL. */
	int		(*intent)(void *arg, struct err *err);
	void		*arg;
	/* The peer's answer to the content: "250 OK id=..." (LMTP: of the last recipient). */
	char		 confirmation[256];
};

/* Append <addr> as <m> has it on <c>: utf8_downconvert. */
void	 deliver_address_sent(const struct deliver_conn *c, const struct deliver_message *m, struct sv addr, struct sb *out);

/*
 * Send <m>.  0: every recipient has a status.  -1: *<e> says why; recipients that are still
 * OPEN were not decided, the others were.  When e->host is set, the connection is over.  <e->err.cls> PERM
 * with all recipients decided never happens: refusals of the whole message are told to each.
 */
int	 deliver_send(struct deliver_conn *c, struct deliver_message *m, struct deliver_error *e);

#endif
