/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whom the client's host names as the user of this connection (RFC 1413).  Asked only of the hosts that rfc1413_hosts
 * lists and only where rfc1413_query_timeout is not zero; who does not answer in time, or not in the form that the RFC
 * demands, has named nobody.
 */
#include <errno.h>

#include "base/num.h"
#include "fiber/fiber.h"
#include "io/stream.h"
#include "net/sock.h"
#include "session/ident.h"
#include "session/session_int.h"

#define IDENT_PORT	113
#define ANSWER_MAX	1000		/* section 3: a line */
#define IDENT_MAX	127

bool
session_ident_answer(struct sv line, int64_t theirs, int64_t ours, struct sb *out)
{
	struct sv ports, word, kind, one;
	int64_t a, b;

	if (!sv_next(&line, ':', &ports) || !sv_next(&line, ':', &kind) || !sv_next(&line, ':', &word) ||
	    !sv_caseeqs(sv_trim(kind), "USERID"))
		return (false);
	if (!sv_next(&ports, ',', &one) || !num_parse(sv_trim(one), 0, 65535, &a) || !num_parse(sv_trim(ports), 0, 65535, &b) ||
	    a != theirs || b != ours)
		return (false);
	while (line.len > 0 && (line.p[0] == ' ' || line.p[0] == '\t'))
		line = sv_sub(line, 1, line.len);
	line = sv_trim(sv_sub(line, 0, IDENT_MAX));
	for (size_t i = 0; i < line.len; i++)
		if (line.p[i] >= ' ' && line.p[i] < 0x7f)
			sb_addc(out, line.p[i]);
		else
			sb_addf(out, "\\%03o", (unsigned char)line.p[i]);
	return (out->len > 0);
}

void
session_ident(struct session *s)
{
	int64_t wait = exim_main_int(s->conf, EXIM_MAIN_rfc1413_query_timeout), deadline;
	struct net_addr to = s->conn->peer, from = s->conn->local;
	struct sb who = SB_INIT(SESSION_IDENT_MAX);
	struct err err = ERR_INIT;
	struct stream *io;
	struct sv line;
	int fd;

	/* Behind a proxy there is nobody to ask: he knows of other ports, and the client of none. */
	if (wait <= 0 || to.family == 0 || s->x.proxy || s->x.ident.len > 0 || s->conn->host_checking ||
	    !session_client_in(s, EXIM_MAIN_rfc1413_hosts))
		return;
	to.port = s->sv->ident_port == 0 ? IDENT_PORT : s->sv->ident_port;
	from.port = 0;
	deadline = FIBER_NOW_PLUS(wait * 1000);
	fd = net_connect(&to, &from, deadline, &err);
	if (fd == -1) {
		if (errno == ETIMEDOUT && session_logs(s, EXIM_LOGSEL_ident_timeout))
			session_logf(s, SESSION_LOG_MAIN, "ident connection to %s timed out", s->peer_text);
		return;
	}
	io = stream_new(fd);
	stream_set_timeout(io, wait * 1000, wait * 1000);
	(void)stream_printf(io, "%u , %u\r\n", (unsigned)s->conn->peer.port, (unsigned)s->conn->local.port);
	if (stream_flush(io) == STREAM_OK) {
		enum stream_result r = stream_read_line(io, ANSWER_MAX, &line);

		if (r == STREAM_OK && session_ident_answer(line, s->conn->peer.port, s->conn->local.port, &who))
			s->x.ident = arena_sv(s->arena, sv_taint(sb_sv(&who)));
		else if (r == STREAM_TIMEOUT && session_logs(s, EXIM_LOGSEL_ident_timeout))
			session_logf(s, SESSION_LOG_MAIN, "ident connection to %s timed out", s->peer_text);
	}
	stream_close(&io);
	sb_free(&who);
}
