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

struct tls_server;
struct tls_client;

/*
 * <dir> holds NAME.pem (chain, then key in the same file or in NAME.key) for each
 * domain NAME, and default.pem.  A key that others than its owner (and group) can
 * read is refused.  TLS 1.2 and later; session cache and tickets of 3600 s.  NULL when
 * none could be loaded; with a result *<err> is set all the same when one of several could not.
 */
struct tls_server *tls_server_new(const char *dir, struct err *err);
/* One certificate by file names, as Exim's tls_certificate and tls_privatekey (NULL: in the same file). */
struct tls_server *tls_server_new_files(const char *cert, const char *key, const char *ciphers, struct err *err);
void	 tls_server_free(struct tls_server **tp);
/* Take changed files in now if a second has passed since the last look.  A broken new file keeps the old certificate and fills *<err>. */
int	 tls_server_refresh(struct tls_server *t, struct err *err);

struct tls_cert_info {
	char	 names[1024];	/* subject alternative names, separated by blanks */
	char	 subject[256];
	char	 serial[64];	/* hex */
	char	 file[1024];
	time_t	 not_after;
};
/* Describe certificate number <i>; false when there are no more. */
bool	 tls_server_cert(const struct tls_server *t, unsigned i, struct tls_cert_info *info);

/* <cafile> NULL: the system's.  <verify>: refuse a certificate that does not verify for the host name. */
struct tls_client *tls_client_new(const char *cafile, bool verify, struct err *err);
void	 tls_client_free(struct tls_client **tp);

#endif
