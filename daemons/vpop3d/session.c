/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session role: the TRANSACTION and UPDATE states of RFC 1939, on the INBOX.  A
 * session works on the messages that were there at its login: numbers and sizes do
 * not change under it, whatever IMAP or a delivery does.  So the exclusive lock of RFC
 * 1939 section 4 is not taken: deletions are by UID and happen at QUIT in one request, a message that
 * somebody else removed meanwhile answers -ERR, and two programs of one user do not
 * lock each other out.
 */
#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/vec.h"
#include "box/box.h"
#include "daemon/handover.h"
#include "fiber/fiber.h"
#include "log/log.h"
#include "login/login.h"
#include "os/file.h"
#include "pop3/body.h"
#include "pop3/command.h"
#include "store/client.h"
#include "store/reader.h"
#include "vpop3d.h"

#define CHUNK		(32 * 1024)	/* of a message's file */
#define LOAD_CHUNK	256		/* records in one read of the index */
#define IDLE_MIN	600		/* seconds, RFC 1939 section 3 */

struct pop3_msg {
	uint32_t	 uid;
	uint32_t	 size;
	bool		 deleted;
	bool		 read;		/* RETR or TOP; \Seen at QUIT for RETR */
};

struct session {
	struct stream	*s;
	uint64_t	 mbox;
	uint32_t	 uidvalidity;
	struct pop3_msg	*msgs;
	uint32_t	 n, ndeleted;
	uint64_t	 size;		/* of what is not deleted */
	unsigned	 bad;
	bool		 closing;
	struct session	*next, **prev;
	struct net_addr	 peer;
	char		 user[128];
	struct log_ctx	 log;
};

static struct {
	struct daemon	*d;
	const struct box *box;
	struct store_reader *reader;
	struct store_client *client;
	struct session	*sessions;
	size_t		 count;
	struct hash	*hosts;		/* client address to number of sessions */
	bool		 receiver_gone;
} role;

/* ---- answers ---- */

static void
ok(struct session *ss, const char *text)
{
	(void)stream_printf(ss->s, "+OK %s\r\n", text);
}

static void
fail(struct session *ss, const char *text)
{
	(void)stream_printf(ss->s, "-ERR %s\r\n", text);
}

static void
fail_err(struct session *ss, const struct err *err)
{
	(void)stream_printf(ss->s, "-ERR [SYS/%s] %s\r\n", err->cls == ERR_PERM ? "PERM" : "TEMP", err->text);
	log_err(&ss->log, "store", err);
}

/* The message that the client names, or NULL (answered). */
static struct pop3_msg *
message(struct session *ss, uint32_t number)
{
	if (number == 0 || number > ss->n) {
		fail(ss, "no such message");
		return (NULL);
	}
	if (ss->msgs[number - 1].deleted) {
		fail(ss, "the message is marked for deletion");
		return (NULL);
	}
	return (&ss->msgs[number - 1]);
}

/* ---- the maildrop ---- */

/* vstored listens only when its recovery is over, so the index is opened after a first connection to it. */
static int
open_store(struct err *err)
{
	if (role.reader != NULL)
		return (0);
	if (store_client_connect(role.client, err) == -1)
		return (-1);
	return (role.reader != NULL ? 0 : store_reader_open(&role.reader, box_path(role.box, BOX_MAIL),
	    (uint64_t)role.box->store_map_size, err));
}

static int
find_inbox(struct session *ss, struct err *err)
{
	struct sv user = sv_cstr(ss->user);
	char name[STORE_NAME_MAX + 1];
	struct store_status st;

	if (open_store(err) == -1 || store_name_inbox(user, name, err) == -1)
		return (-1);
	switch (store_reader_status(role.reader, sv_cstr(name), user, false, &st, NULL, err)) {
	case STORE_GET_OK:
		ss->mbox = st.id;
		return (0);
	case STORE_GET_NONE:
		/* It is made at the first login. */
		err_clear(err);
		return (store_client_ensure_inbox(role.client, user, &ss->mbox, err));
	case STORE_GET_FAIL:
		break;
	}
	return (-1);
}

/* Take in what is in the INBOX now. */
static int
load(struct session *ss, struct err *err)
{
	VEC(struct pop3_msg) v = VEC_INIT;
	struct store_msg *m;
	struct store_status st;
	uint32_t next = 1;
	size_t n = 0;
	int rc = -1;

	if (store_reader_status_id(role.reader, ss->mbox, false, &st, err) != STORE_GET_OK)
		return (-1);
	ss->uidvalidity = st.uidvalidity;
	vec_reserve(&v, st.messages);
	m = xcalloc(LOAD_CHUNK, sizeof(*m));
	/* Records above the first look's UIDNEXT came later: they belong to the next session. */
	while (next < st.uidnext) {
		if (store_reader_msgs(role.reader, ss->mbox, next, st.uidnext - 1, m, LOAD_CHUNK, &n, err) != STORE_GET_OK)
			goto out;
		for (size_t i = 0; i < n; i++) {
			struct pop3_msg p = { .uid = m[i].uid, .size = m[i].size };

			vec_push(&v, p);
			ss->size += p.size;
		}
		if (n < LOAD_CHUNK)
			break;
		next = m[n - 1].uid + 1;
	}
	rc = 0;
out:
	free(m);
	ss->msgs = v.p;
	ss->n = (uint32_t)v.len;
	return (rc);
}

/* ---- commands ---- */

static void
cmd_capa(struct session *ss, const struct pop3_command *c)
{
	(void)stream_printf(ss->s, "+OK Capability list follows\r\n" POP3_CAPA_ALWAYS ".\r\n");
}

static void
cmd_stat(struct session *ss, const struct pop3_command *c)
{
	(void)stream_printf(ss->s, "+OK %u %llu\r\n", ss->n - ss->ndeleted, (unsigned long long)ss->size);
}

/* One line of LIST or UIDL. */
static void
put_line(struct session *ss, const char *prefix, uint32_t i, bool uidl)
{
	if (uidl)
		(void)stream_printf(ss->s, "%s%u %08x%08x\r\n", prefix, i + 1, ss->uidvalidity, ss->msgs[i].uid);
	else
		(void)stream_printf(ss->s, "%s%u %u\r\n", prefix, i + 1, ss->msgs[i].size);
}

static void
cmd_list(struct session *ss, const struct pop3_command *c)
{
	bool uidl = c->verb == POP3_UIDL;

	if (c->number != 0) {
		if (message(ss, c->number) != NULL)
			put_line(ss, "+OK ", c->number - 1, uidl);
		return;
	}
	(void)stream_printf(ss->s, "+OK %u messages\r\n", ss->n - ss->ndeleted);
	for (uint32_t i = 0; i < ss->n; i++)
		if (!ss->msgs[i].deleted)
			put_line(ss, "", i, uidl);
	(void)stream_printf(ss->s, ".\r\n");
}

/* Open the body of <p>; its size is as in the snapshot. */
static int
open_body(struct session *ss, const struct pop3_msg *p, struct err *err)
{
	struct store_msg m;
	size_t n = 0;
	int fd = -1;

	switch (store_reader_msgs(role.reader, ss->mbox, p->uid, p->uid, &m, 1, &n, err)) {
	case STORE_GET_OK:
		if (n == 0)
			return (err_set(err, ERR_PERM, NULL, "the message was removed by another program meanwhile"));
		break;
	default:
		return (-1);
	}
	return (store_body_open(role.reader, ss->mbox, &m, &fd, err) == STORE_GET_OK ? fd : -1);
}

static bool
send_body(struct session *ss, int fd, struct pop3_body *b)
{
	char *buf = xmalloc(CHUNK);
	off_t off = 0;
	ssize_t n = 1;
	bool good = true;

	while (good && !pop3_body_done(b) && (n = os_pread_full(fd, buf, CHUNK, off)) > 0) {
		struct sv in = sv_from(buf, (size_t)n), piece;

		while (good && pop3_body_next(b, &in, &piece))
			good = stream_write(ss->s, piece) == STREAM_OK;
		off += n;
	}
	free(buf);
	/* Half a message must not look like a whole one: no final dot, the connection ends. */
	if (!good || n < 0)
		return (false);
	return (stream_write(ss->s, pop3_body_end(b)) == STREAM_OK);
}

static void
cmd_retr(struct session *ss, const struct pop3_command *c)
{
	struct pop3_msg *p = message(ss, c->number);
	struct err err = ERR_INIT;
	struct pop3_body b;
	int fd;

	if (p == NULL)
		return;
	fd = open_body(ss, p, &err);
	if (fd == -1) {
		fail_err(ss, &err);
		return;
	}
	if (c->verb == POP3_TOP) {
		ok(ss, "top of message follows");
		pop3_body_init_top(&b, c->lines);
	} else {
		(void)stream_printf(ss->s, "+OK %u octets\r\n", p->size);
		pop3_body_init(&b);
		p->read = true;
	}
	if (!send_body(ss, fd, &b)) {
		log_info(&ss->log, "message %u: %s", c->number, stream_error(ss->s));
		ss->closing = true;
	}
	(void)close(fd);
}

static void
cmd_dele(struct session *ss, const struct pop3_command *c)
{
	struct pop3_msg *p = message(ss, c->number);

	if (p == NULL)
		return;
	p->deleted = true;
	ss->ndeleted++;
	ss->size -= p->size;
	(void)stream_printf(ss->s, "+OK message %u deleted\r\n", c->number);
}

static void
cmd_rset(struct session *ss, const struct pop3_command *c)
{
	for (uint32_t i = 0; i < ss->n; i++)
		if (ss->msgs[i].deleted) {
			ss->msgs[i].deleted = false;
			ss->size += ss->msgs[i].size;
		}
	ss->ndeleted = 0;
	(void)stream_printf(ss->s, "+OK maildrop has %u messages (%llu octets)\r\n", ss->n, (unsigned long long)ss->size);
}

static void
cmd_noop(struct session *ss, const struct pop3_command *c)
{
	ok(ss, "");
}

/* ---- QUIT: the UPDATE state ---- */

static bool
is_deleted(const struct pop3_msg *p)
{
	return (p->deleted);
}

static bool
is_read(const struct pop3_msg *p)
{
	return (p->read && !p->deleted);
}

/* The messages that <want> picks, as ranges: neighbours of the snapshot with nothing between them. */
static void
pick(const struct session *ss, bool (*want)(const struct pop3_msg *p), store_ranges *out)
{
	bool open = false;

	for (uint32_t i = 0; i < ss->n; i++) {
		struct store_range r = { ss->msgs[i].uid, ss->msgs[i].uid };

		if (!want(&ss->msgs[i])) {
			open = false;
			continue;
		}
		if (open)
			out->p[out->len - 1].last = r.last;
		else
			vec_push(out, r);
		open = true;
	}
}

static int
remove_deleted(struct session *ss, struct err *err)
{
	store_ranges r = VEC_INIT;
	int rc = 0;

	pick(ss, is_deleted, &r);
	for (size_t at = 0; at < r.len && rc == 0; at += STORE_RANGES_MAX) {
		size_t n = r.len - at < STORE_RANGES_MAX ? r.len - at : STORE_RANGES_MAX;

		rc = store_client_expunge(role.client, sv_cstr(ss->user), ss->mbox, r.p + at, n, false, NULL, err);
	}
	vec_free(&r);
	return (rc);
}

/* What was fetched is read, for those who look by IMAP too.  A wish: its failure is only logged. */
static void
mark_read(struct session *ss)
{
	struct store_flags seen = { .sys = STORE_SEEN };
	store_ranges r = VEC_INIT;
	struct err err = ERR_INIT;
	uint64_t modseq;

	pick(ss, is_read, &r);
	if (r.len > 0 && r.len <= STORE_RANGES_MAX &&
	    store_client_flags(role.client, sv_cstr(ss->user), ss->mbox, r.p, r.len, STORE_FLAGS_ADD, &seen, UINT64_MAX, NULL,
	    &modseq, &err) == -1)
		log_err(&ss->log, "marking messages as read", &err);
	vec_free(&r);
}

static void
cmd_quit(struct session *ss, const struct pop3_command *c)
{
	struct err err = ERR_INIT;

	ss->closing = true;
	mark_read(ss);
	if (ss->ndeleted > 0 && remove_deleted(ss, &err) == -1) {
		log_err(&ss->log, "deleting", &err);
		(void)stream_printf(ss->s, "-ERR [SYS/TEMP] some deleted messages not removed: %s\r\n", err.text);
		return;
	}
	(void)stream_printf(ss->s, "+OK %s POP3 server signing off\r\n", ss->user);
}

static void (*const commands[])(struct session *, const struct pop3_command *) = {
	[POP3_CAPA] = cmd_capa, [POP3_STAT] = cmd_stat, [POP3_LIST] = cmd_list, [POP3_UIDL] = cmd_list,
	[POP3_RETR] = cmd_retr, [POP3_TOP] = cmd_retr, [POP3_DELE] = cmd_dele, [POP3_RSET] = cmd_rset,
	[POP3_NOOP] = cmd_noop, [POP3_QUIT] = cmd_quit,
};

/* ---- the loop ---- */

static void
bad(struct session *ss, const char *why)
{
	fail(ss, why);
	ss->closing = ++ss->bad >= POP3_BAD_MAX;
}

static void
one_command(struct session *ss)
{
	int64_t idle = role.box->pop3_idle_timeout > IDLE_MIN ? role.box->pop3_idle_timeout : IDLE_MIN;
	struct pop3_command c;
	const char *why;
	struct sv line;

	/* Without a timely command the session ends without UPDATE: nothing is deleted (section 3). */
	if (!stream_has_input(ss->s) && stream_wait_input(ss->s, FIBER_NOW_PLUS(idle * 1000)) != STREAM_OK) {
		ss->closing = true;
		return;
	}
	switch (stream_read_line(ss->s, POP3_LINE_MAX, &line)) {
	case STREAM_OK:
		break;
	case STREAM_TOO_LONG:
		bad(ss, "the line is too long");
		return;
	default:
		ss->closing = true;
		return;
	}
	if (!pop3_command_parse(line, &c, &why))
		bad(ss, why);
	else if ((c.states & POP3_S_SESSION) == 0)
		bad(ss, "you are logged in already");
	else {
		ss->bad = 0;
		commands[c.verb](ss, &c);
	}
}

static void
maybe_done(void)
{
	if (daemon_draining(role.d) && role.count == 0 && role.receiver_gone)
		daemon_worker_done(role.d);
}

/* Sessions from this address, <delta> taken in. */
static size_t
host_count(const struct net_addr *a, int delta)
{
	char buf[NET_ADDR_TEXT_MAX];
	struct sv key = sv_cstr(net_addr_text(a, buf));
	uintptr_t n = (uintptr_t)hash_get(role.hosts, key);

	n = delta < 0 ? n - 1 : n + 1;
	if (n == 0)
		(void)hash_del(role.hosts, key);
	else
		(void)hash_set(role.hosts, key, (void *)n);
	return ((size_t)n);
}

static void
end_session(struct session *ss)
{
	(void)host_count(&ss->peer, -1);
	log_info(&ss->log, "logout in=%llu out=%llu messages=%u deleted=%u", (unsigned long long)stream_bytes_in(ss->s),
	    (unsigned long long)stream_bytes_out(ss->s), ss->n, ss->ndeleted);
	stream_close(&ss->s);
	*ss->prev = ss->next;
	if (ss->next != NULL)
		ss->next->prev = ss->prev;
	role.count--;
	free(ss->msgs);
	free(ss);
	maybe_done();
}

static void
session_main(void *arg)
{
	struct session *ss = arg;
	struct err err = ERR_INIT;

	fiber_set_local(&ss->log);
	if (find_inbox(ss, &err) == -1 || load(ss, &err) == -1) {
		fail_err(ss, &err);
		ss->closing = true;
	} else
		(void)stream_printf(ss->s, "+OK %s is welcome here\r\n", ss->user);
	while (!ss->closing)
		one_command(ss);
	end_session(ss);
}

/* ---- taking sessions over ---- */

static void
take(const struct daemon_handover *h, int fd)
{
	struct session *ss = xcalloc(1, sizeof(*ss));
	char rip[NET_ADDR_TEXT_MAX], lip[NET_ADDR_TEXT_MAX];
	size_t n;

	ss->s = stream_new(fd);
	stream_set_timeout(ss->s, 60000, POP3_WRITE_MS);
	stream_unread(ss->s, h->input);
	(void)snprintf(ss->user, sizeof(ss->user), "%s", h->user);
	ss->peer = h->peer;
	log_ctx_set(&ss->log, "user=%s peer=%s:%u", h->user, net_addr_text(&h->peer, rip), h->peer.port);
	ss->next = role.sessions;
	ss->prev = &role.sessions;
	if (ss->next != NULL)
		ss->next->prev = &ss->next;
	role.sessions = ss;
	role.count++;
	log_plain("pop3-login: Login: user=<%s>, method=%s, rip=%s, lip=%s%s%s", h->user, h->method, rip,
	    net_addr_text(&h->local, lip), h->cipher[0] != '\0' ? ", TLS, tls=" : "", h->cipher);
	n = host_count(&ss->peer, 1);
	/* Webmail on this host logs everybody in from one address. */
	if ((!net_addr_is_loopback(&ss->peer) && (int64_t)n > role.box->max_sessions_per_host) ||
	    (int64_t)role.count > role.box->max_sessions || fiber_spawn("pop3 session", session_main, ss) == NULL) {
		fail(ss, "[SYS/TEMP] Too many sessions");
		end_session(ss);
	}
}

static void
receiver_gone(void)
{
	role.receiver_gone = true;
	maybe_done();
}

static int
start(struct daemon *d, struct err *err)
{
	role.d = d;
	role.box = daemon_box(d);
	role.hosts = hash_new();
	role.client = store_client_new(box_path(role.box, BOX_SOCK_STORE));
	return (login_receive(d, take, receiver_gone, err));
}

/*
 * At the end of the daemon all sessions see the end of their input: no UPDATE, nothing is deleted.  When only
 * the generation changes, sessions go on until their clients leave.
 */
static void
drain(struct daemon *d)
{
	if (daemon_ending(d)) {
		for (struct session *ss = role.sessions; ss != NULL; ss = ss->next)
			(void)shutdown(stream_fd(ss->s), SHUT_RD);
		role.receiver_gone = true;
	}
	maybe_done();
}

static int
count(const struct box *b)
{
	return (b->pop3_workers > 0 ? (int)b->pop3_workers : 1);
}

const struct daemon_role pop3_session_role = { .name = "session", .count = count, .start = start, .drain = drain,
    .sandbox = login_session_sandbox };
