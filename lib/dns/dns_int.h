/* SPDX-License-Identifier: BSD-2-Clause */
/* What lookups (dns.c), answers (packet.c), zone files (zone.c) and types (type.c) share. */
#ifndef VPOST_DNS_DNS_INT_H
#define VPOST_DNS_DNS_INT_H

#include "dns/dns.h"

struct ub_ctx;

#define DNS_NAME_MAX	256		/* text with its NUL */

/*
 * Take the records of <type> for <name> out of the reply <packet>, following CNAMEs inside it.
 * 1: *<out> has n > 0 records; 0: none, and *<next> is where a CNAME leads that the packet
 * does not follow, or NULL; -1: malformed.
 */
int	 dns_packet_parse(struct sv packet, const char *name, int type, struct arena *a, struct dns_answer *out,
	     const char **next);
/* Load <path> into <ctx>; *<only> is set when no other name may be asked for. */
int	 dns_zone_load(struct ub_ctx *ctx, const char *path, bool *only, struct err *err);

#endif
