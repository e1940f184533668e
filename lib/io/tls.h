/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS contexts (OpenSSL 3).  A server context holds one default certificate and
 * one per domain (chosen by SNI); files are looked at again when they change.
 */
#ifndef VPOST_IO_TLS_H
#define VPOST_IO_TLS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "base/sv.h"

struct tls_server;
struct tls_client;

/* Switches of the library, as openssl_options names them, and gnutls_compat_mode. */
struct tls_switches {
	uint64_t	 set, clear;
	bool		 compat;	/* what old clients and servers stumble over is left out */
};
/* Words with "+" or "-" in front, added to *<out>.  -1 CONFIG: *<err> names the one that is not known. */
int	 tls_switches_parse(const char *text, struct tls_switches *out, struct err *err);

/* What came of asking for the status of a certificate, with Exim's numbers. */
enum tls_ocsp { TLS_OCSP_NOT_ASKED, TLS_OCSP_NO_ANSWER, TLS_OCSP_NOT_LOOKED_AT, TLS_OCSP_BAD, TLS_OCSP_GOOD };

/* How a server presents itself. */
struct tls_server_conf {
	const char	*dir;		/* certificates by name, where <ncerts> is 0 */
	const char	*const *certs;	/* files with chains, of different kinds of keys */
	const char	*const *keys;	/* NULL, or NULL for one: in the same file */
	const char	*const *statuses;	/* the same: files of OCSP, behind "PEM " where they are no DER; NULL: none */
	size_t		 ncerts;
	const char	*self_signed;	/* a certificate is made for that name, where there is neither of both; NULL: none is */
	const char	*ciphers;	/* as tls_client_conf; NULL: the library's */
	const char	*dhparam;	/* tls_dhparam; NULL: no DH */
	int		 dh_max_bits;
	const char	*curves;	/* "auto" or NULL: the library's */
	struct tls_switches switches;
	const char	*const *alpn;	/* names of which a client that offers any must offer one; none: not looked at */
	size_t		 nalpn;
	const char	*cas, *crl;	/* tls_server_trust; NULL: no client is asked */
};

/*
 * <dir> holds NAME.pem (chain, then key in the same file or in NAME.key) for each
 * domain NAME, and default.pem.  A key that others than its owner (and group) can
 * read is refused.  TLS 1.2 and later; tickets of 3600 s.  NULL when
 * none could be loaded; with a result *<err> is set all the same when one of several could not.
 */
struct tls_server *tls_server_new(const char *dir, struct err *err);
/*
 * The same by <conf>; <like> (may be NULL) lends its ticket key, so that sessions go on here.  A status that
 * cannot be shown fills *<err> as well.
 */
struct tls_server *tls_server_new_conf(const struct tls_server_conf *conf, const struct tls_server *like, struct err *err);
/* One certificate by file names, as Exim's tls_certificate and tls_privatekey (NULL: in the same file). */
struct tls_server *tls_server_new_files(const char *cert, const char *key, const char *ciphers, struct err *err);
/*
 * Whom certificates of clients have to lead to: <cas> is a file, a directory of hashed names, or "system"; <crl> (may be NULL) a
 * file of revoked ones.  -1 and *<err>: nothing has changed.
 */
int	 tls_server_trust(struct tls_server *t, const char *cas, const char *crl, struct err *err);
struct tls_server *tls_server_ref(struct tls_server *t);
/* Gives one reference back. */
void	 tls_server_free(struct tls_server **tp);
/* Take changed files in now if a second has passed since the last look.  A broken new file keeps the old certificate and fills *<err>. */
int	 tls_server_refresh(struct tls_server *t, struct err *err);

/* What one connection wants of a server. */
struct tls_accept {
	enum tls_ask { TLS_ASK_NO, TLS_ASK_TRY, TLS_ASK_REQUIRE } ask;	/* for a certificate; without a good one there is no handshake */
	bool		 resume;
	bool		 alpn_require;
	bool		 behind_header;	/* what is buffered of the peer's input belongs to the handshake */
	/* The server for the name that the client asks for, during the handshake (may park); NULL: there is none.  May be NULL. */
	struct tls_server *(*named)(void *arg, const char *name);
	void		*arg;
};

struct tls_cert_info {
	char	 names[1024];	/* subject alternative names, separated by blanks */
	char	 subject[256];
	char	 serial[64];	/* hex */
	char	 file[1024];
	time_t	 not_after;
};
/* Describe certificate number <i>; false when there are no more. */
bool	 tls_server_cert(const struct tls_server *t, unsigned i, struct tls_cert_info *info);

/* How a client looks at the server, as an smtp transport's tls_* options say. */
enum tls_verify {
	TLS_VERIFY_NO,		/* no authorities are read */
	TLS_VERIFY_TRY,		/* stream_tls_verified() tells */
	TLS_VERIFY_REQUIRE	/* the handshake fails */
};
struct tls_client_conf {
	enum tls_verify	 verify;
	bool		 names;		/* the certificate must be the host's */
	const char	*ca;		/* file or directory; NULL or "system": the system's */
	const char	*crl;		/* file */
	const char	*cert, *key;	/* <key> NULL: in the same file */
	const char	*ciphers;	/* OpenSSL's list; what GnuTLS calls by its own words (NORMAL, SECURE...) is the default */
	const char	*alpn;		/* one protocol */
	bool		 alpn_require;
	int		 dh_min_bits;	/* 0: as the library likes */
	bool		 ocsp_request, ocsp_require;
	struct tls_switches switches;
	bool		 resume;	/* sessions are kept, a few for each host */
	bool		 dane;		/* tls_client_tlsa() gives the records */
};
/* NULL: *<err>, CONFIG, names the file. */
struct tls_client *tls_client_new_conf(const struct tls_client_conf *conf, struct err *err);
/* <cafile> NULL: the system's.  <verify>: refuse a certificate that does not verify for the host name. */
struct tls_client *tls_client_new(const char *cafile, bool verify, struct err *err);
struct tls_client *tls_client_ref(struct tls_client *t);
/* Gives one reference back. */
void	 tls_client_free(struct tls_client **tp);

/* A TLSA record (RFC 6698), as in the DNS. */
struct tls_tlsa {
	uint8_t		 usage, selector, matching;
	const uint8_t	*data;
	size_t		 len;
};

/* Whom a client speaks to. */
struct tls_peer {
	const char	*host;		/* whose name or address the certificate must have */
	const char	*sni;		/* NULL: the host's name */
	const char	*session;	/* by what name its session is kept; NULL: <host> */
	const struct tls_tlsa *tlsa;	/* DANE (RFC 7672): one of them must fit, where any can be used */
	size_t		 ntlsa;
};

/*
 * Ciphers as a priority string of GnuTLS: <told> hears of words that mean nothing there (then there is no TLS), or that it
 * knows and we do not offer.  Nothing where <list> is one of OpenSSL.
 */
void	 tls_priorities_check(struct sv list, void (*told)(void *arg, struct sv word, bool known), void *arg);

#endif
