/* SPDX-License-Identifier: BSD-2-Clause */
/* What connect.c and send.c share. */
#ifndef VPOST_DELIVER_CLIENT_INT_H
#define VPOST_DELIVER_CLIENT_INT_H

#include "base/sb.h"
#include "deliver/client.h"
#include "io/stream.h"
#include "smtp/reply.h"

struct deliver_conn {
	struct stream	*s;
	struct deliver_host host;
	char		*host_name;
	char		*host_asked;	/* NULL: the same */
	struct deliver_opts *o;
	struct net_addr	 local;
	const struct deliver_proxy *proxy;
	struct smtp_ehlo ehlo;
	struct sb	 ehlo_text;
	struct smtp_reply reply;	/* the last one read */
	const char	*auth_name;
	struct sv	 auth_id;
	char		*cipher;
	char		*in_clear;	/* why */
	unsigned	 messages;
	uint64_t	 written;	/* of the content under way */
	bool		 dead;		/* nothing more may be sent */
	bool		 need_rset;
	bool		 prdr;		/* of the transaction under way */
	struct sb	 buf;		/* content on its way */
};

/* The connection failed: <what> were we doing.  Fills *<e>, marks the connection dead, returns -1. */
int	 deliver_lost(struct deliver_conn *c, enum stream_result r, const char *what, struct deliver_error *e);
/* Read one whole reply within <ms> into c->reply.  A 421 is an error of the host. */
int	 deliver_read_reply(struct deliver_conn *c, int64_t ms, const char *what, struct deliver_error *e);
/* Write a command and flush. */
int	 deliver_command(struct deliver_conn *c, const char *what, struct deliver_error *e, const char *fmt, ...)
	     __attribute__((format(printf, 4, 5)));
/* Append <addr> with A-labels on both sides (ascii.c); false, and nothing, when it cannot be had. */
bool	 deliver_address_ascii(struct sv addr, struct sb *out);
/* *<e> from the last reply: "SMTP error from remote mail server after <what>: TEXT". */
void	 deliver_reply_error(struct deliver_conn *c, const char *what, struct deliver_error *e);

/* Log in, where the options want it.  -1 and *<e> when that was needed and did not work. */
int	 deliver_login(struct deliver_conn *c, struct deliver_error *e);

#endif
