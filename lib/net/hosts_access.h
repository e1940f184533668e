/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hosts.allow and hosts.deny, in the language of hosts_access(5) and hosts_options(5), read by ourselves: the library of
 * that name runs commands and replaces the process, which a server of many sessions cannot bear.  A rule with spawn only
 * decides; one with twist or aclexec, which would serve the client otherwise, refuses.
 */
#ifndef VPOST_NET_HOSTS_ACCESS_H
#define VPOST_NET_HOSTS_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sv.h"
#include "net/addr.h"

struct hosts_client {
	const char	*daemon;	/* "exim" */
	struct net_addr	 addr;
	struct net_addr	 server;	/* for "exim@192.0.2.1"; family 0: unknown */
	/*
	 * The client's name as the DNS confirms it: called once, and only where a rule names names.  "" when there is none or
	 * the DNS does not tell; *<mismatch> is set when a name does not lead back to the address.
	 */
	const char	*(*name)(void *arg, bool *mismatch);
	void		*arg;
	/* The contents of a file that a rule names ("/etc/bad.hosts"); NULL or false: it has none. */
	bool		(*file)(void *arg, struct sv path, struct sv *text);
	/* The function's own. */
	const char	*known_name;
	bool		 mismatch;
};

enum hosts_verdict { HOSTS_SILENT, HOSTS_ALLOW, HOSTS_DENY };

/* What the rules of a hosts.allow (<allow> true) or hosts.deny say; HOSTS_SILENT when none is for this client. */
enum hosts_verdict hosts_access_text(struct sv rules, bool allow, struct hosts_client *c);

struct hosts_access;

/* The pairs of files below <dirs> (NULL ends), the first that says something counts; read anew when they change. */
struct hosts_access *hosts_access_new(const char *const *dirs);
void	 hosts_access_free(struct hosts_access **hp);
/* May <c> come?  Looks at the files at most once a second; without any it costs next to nothing. */
bool	 hosts_access_ok(struct hosts_access *h, struct hosts_client *c, int64_t now_ms);

#endif
