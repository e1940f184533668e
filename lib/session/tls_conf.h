/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server's side of TLS as the main options tls_* say: read once where they are fixed, else expanded for each
 * connection (and again when the client has told a name, where they look at it), with one context kept for each result.
 */
#ifndef VPOST_SESSION_TLS_CONF_H
#define VPOST_SESSION_TLS_CONF_H

#include <stdbool.h>

#include "base/err.h"

struct exim_conf;
struct session;
struct session_tls;
struct tls_server;

/*
 * The options of <conf>; where tls_certificate is unset, the certificates of the directory <dir>.  <dir> NULL: a certificate
 * of our own making then.  NULL and *<err>: what is fixed cannot be loaded; err->cls NONE: there are no certificates at all.
 * <later>: what cannot be loaded now is tried for each connection.  With a result *<err> tells what else is wrong.
 */
struct session_tls *session_tls_new(const struct exim_conf *conf, const char *dir, bool later, struct err *err);
void	 session_tls_free(struct session_tls **tp);
/* What is fixed; NULL: nothing is. */
struct tls_server *session_tls_fixed(struct session_tls *t);
/* Do the options look at the name that the client asks for? */
bool	 session_tls_by_name(const struct session_tls *t);
/* For this connection, a reference; NULL: *<err>. */
struct tls_server *session_tls_pick(struct session *s, struct err *err);

#endif
