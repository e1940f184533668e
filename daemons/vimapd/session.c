/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session role: clients that are logged in.  One fiber each runs command after
 * command; while it waits it holds no buffer and no arena.  The store is read here, changes go to
 * vstored, which checks the rights again.
 */
#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "login/login.h"
#include "session.h"

#define FIRST_CHUNK	2048		/* of a command's arena */

struct session_role srole;
static struct session *sessions;

/* ---- commands that need no file of their own ---- */

static void
cmd_capability(struct session *ss, const struct imap_command *c)
{
	(void)c;
	(void)stream_printf(ss->s, "* CAPABILITY %s\r\n", IMAP_CAP_LOGGED);
	reply_ok(ss, "Capability completed.");
}

static void
cmd_noop(struct session *ss, const struct imap_command *c)
{
	if (session_sync(ss, true))
		reply_ok(ss, c->verb == IMAP_CHECK ? "Check completed." : "NOOP completed.");
}

static void
cmd_logout(struct session *ss, const struct imap_command *c)
{
	(void)c;
	reply_bye(ss, "Logging out");
	reply_ok(ss, "Logout completed.");
}

static void
cmd_id(struct session *ss, const struct imap_command *c)
{
	imap_reply_id(ss->s, c->tag);
}

/* RFC 2342: one's own folders, other users', shared ones. */
static void
cmd_namespace(struct session *ss, const struct imap_command *c)
{
	char sep[3] = { srole.sep, '\0', '\0' };

	(void)c;
	if (srole.sep == '\\' || srole.sep == '"') {
		sep[0] = '\\';
		sep[1] = srole.sep;
	}
	(void)stream_printf(ss->s, "* NAMESPACE ((\"INBOX%s\" \"%s\")) ((\"user%s\" \"%s\")) ((\"\" \"%s\"))\r\n", sep,
	    sep, sep, sep, sep);
	reply_ok(ss, "Namespace completed.");
}

typedef void (*command_fn)(struct session *, const struct imap_command *);

static const command_fn commands[] = {
	[IMAP_CAPABILITY] = cmd_capability, [IMAP_NOOP] = cmd_noop, [IMAP_LOGOUT] = cmd_logout, [IMAP_ID] = cmd_id,
	[IMAP_SELECT] = cmd_select, [IMAP_EXAMINE] = cmd_select, [IMAP_CREATE] = cmd_create,
	[IMAP_DELETE] = cmd_delete, [IMAP_RENAME] = cmd_rename, [IMAP_SUBSCRIBE] = cmd_subscribe,
	[IMAP_UNSUBSCRIBE] = cmd_subscribe, [IMAP_LIST] = cmd_list, [IMAP_LSUB] = cmd_lsub, [IMAP_STATUS] = cmd_status,
	[IMAP_NAMESPACE] = cmd_namespace, [IMAP_CHECK] = cmd_noop, [IMAP_CLOSE] = cmd_close,
	[IMAP_UNSELECT] = cmd_close, [IMAP_EXPUNGE] = cmd_expunge, [IMAP_SEARCH] = cmd_search, [IMAP_FETCH] = cmd_fetch,
	[IMAP_STORE] = cmd_store, [IMAP_COPY] = cmd_copy, [IMAP_MOVE] = cmd_copy,
};

/*
 * Commands that tell what is new themselves, or must not.  Those with sequence numbers are among them: an EXPUNGE
 * told before they are looked up would change what the numbers mean.
 */
static bool
syncs_itself(enum imap_verb v)
{
	static const enum imap_verb verbs[] = { IMAP_NOOP, IMAP_CHECK, IMAP_LOGOUT, IMAP_SELECT, IMAP_EXAMINE, IMAP_CLOSE,
	    IMAP_UNSELECT, IMAP_EXPUNGE, IMAP_SEARCH, IMAP_FETCH, IMAP_STORE, IMAP_COPY, IMAP_MOVE };

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (verbs[i] == v)
			return (true);
	return (false);
}

/* ---- the loop ---- */

void
session_command(struct session *ss, const struct imap_command *c)
{
	ss->verb = c->verb;
	(void)snprintf(ss->tag, sizeof(ss->tag), SV_FMT, SV_ARG(c->tag));
}

static void
run(struct session *ss, const struct imap_command *c)
{
	unsigned state = ss->sel.on ? IMAP_S_SELECTED : IMAP_S_AUTH;

	session_command(ss, c);
	if ((imap_verb_states(c->verb) & (ss->sel.on ? IMAP_S_LOGGED : state)) == 0) {
		reply_bad(ss, imap_verb_states(c->verb) == IMAP_S_NONAUTH ? "You are logged in already" :
		    "No mailbox is selected");
		return;
	}
	/* The rest of the messages' changes stands before the tagged answer (RFC 3501 7). */
	if (!syncs_itself(c->verb) && c->verb != IMAP_IDLE && !session_sync(ss, true))
		return;
	if (commands[c->verb] != NULL)
		commands[c->verb](ss, c);
}

/* Parse and run <text>; true: it was an IDLE, to be run when the command's memory is gone. */
static bool
execute(struct session *ss, struct sv text)
{
	struct imap_command c;
	const char *why = NULL;

	if (!imap_command_parse(ss->arena, text, &c, &why)) {
		imap_reply_bad(ss->s, c.tag, why);
		if (++ss->bad >= IMAP_BAD_MAX)
			reply_bye(ss, "Too many invalid commands.");
		return (false);
	}
	ss->bad = 0;
	run(ss, &c);
	return (c.verb == IMAP_IDLE && !ss->closing);
}

static void
one_command(struct session *ss)
{
	struct sb text = SB_INIT(IMAP_LINE_MAX);
	bool idle = false;

	switch (imap_command_gather(ss->s, &text, FIBER_NOW_PLUS(srole.box->imap_idle_timeout * 1000))) {
	case IMAP_GOT:
		ss->arena = arena_new(FIRST_CHUNK);
		idle = execute(ss, sb_sv(&text));
		break;
	case IMAP_GOT_APPEND:
		ss->arena = arena_new(FIRST_CHUNK);
		cmd_append(ss, sb_sv(&text));
		break;
	case IMAP_GOT_BAD:
		if (++ss->bad >= IMAP_BAD_MAX)
			reply_bye(ss, "Too many invalid commands.");
		break;
	case IMAP_GOT_CLOSE:
		ss->closing = true;
		break;
	}
	sb_free(&text);
	if (ss->arena != NULL)
		arena_free(&ss->arena);
	if (idle)
		cmd_idle(ss);
}

static void
maybe_done(void)
{
	if (daemon_draining(srole.d) && srole.sessions == 0 && srole.receiver_gone)
		daemon_worker_done(srole.d);
}

static void
host_count(const struct net_addr *a, int delta, size_t *now)
{
	char buf[NET_ADDR_TEXT_MAX];
	struct sv key = sv_cstr(net_addr_text(a, buf));
	uintptr_t n = (uintptr_t)hash_get(srole.hosts, key);

	n = delta < 0 ? n - 1 : n + 1;
	if (n == 0)
		(void)hash_del(srole.hosts, key);
	else
		(void)hash_set(srole.hosts, key, (void *)n);
	*now = (size_t)n;
}

static void
end_session(struct session *ss)
{
	size_t n;

	selected_close(ss);
	log_info(&ss->log, "logout in=%llu out=%llu", (unsigned long long)stream_bytes_in(ss->s),
	    (unsigned long long)stream_bytes_out(ss->s));
	stream_close(&ss->s);
	*ss->prev = ss->next;
	if (ss->next != NULL)
		ss->next->prev = ss->prev;
	host_count(&ss->peer, -1, &n);
	srole.sessions--;
	free(ss);
	maybe_done();
}

/* vstored listens only when its recovery is over, so the index is opened after a first connection to it. */
static int
open_store(struct err *err)
{
	if (srole.reader != NULL)
		return (0);
	if (store_client_connect(srole.client, err) == -1)
		return (-1);
	return (srole.reader != NULL ? 0 : store_reader_open(&srole.reader, box_path(srole.box, BOX_MAIL),
	    (uint64_t)srole.box->store_map_size, err));
}

/* The INBOX is made at the first login; then the answer to LOGIN. */
static bool
welcome(struct session *ss)
{
	struct err err = ERR_INIT;
	uint64_t mbox;

	if (open_store(&err) == -1 || store_client_ensure_inbox(srole.client, session_user(ss), &mbox, &err) == -1) {
		reply_err(ss, &err, false);
		return (false);
	}
	reply_ok(ss, "[CAPABILITY " IMAP_CAP_LOGGED "] Logged in.");
	return (true);
}

static void
session_main(void *arg)
{
	struct session *ss = arg;

	fiber_set_local(&ss->log);
	if (!welcome(ss))
		ss->closing = true;
	while (!ss->closing)
		one_command(ss);
	end_session(ss);
}

/* ---- taking sessions over ---- */

static void
log_login(const struct daemon_handover *h)
{
	char rip[NET_ADDR_TEXT_MAX], lip[NET_ADDR_TEXT_MAX];

	log_plain("imap-login: Login: user=<%s>, method=%s, rip=%s, lip=%s%s%s", h->user, h->method,
	    net_addr_text(&h->peer, rip), net_addr_text(&h->local, lip), h->cipher[0] != '\0' ? ", TLS, tls=" : "",
	    h->cipher);
}

static void
refuse(int fd, const struct daemon_handover *h, const char *why)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "%s NO [LIMIT] %s\r\n* BYE %s\r\n", h->tag, why, why);

	(void)send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)close(fd);
}

static void
take(const struct daemon_handover *h, int fd)
{
	struct session *ss;
	char buf[NET_ADDR_TEXT_MAX];
	size_t n;

	host_count(&h->peer, 1, &n);
	/* Webmail on this host logs everybody in from one address. */
	if ((int64_t)srole.sessions >= srole.box->max_sessions ||
	    (!net_addr_is_loopback(&h->peer) && (int64_t)n > srole.box->max_sessions_per_host)) {
		host_count(&h->peer, -1, &n);
		refuse(fd, h, "Too many sessions.");
		return;
	}
	ss = xcalloc(1, sizeof(*ss));
	ss->s = stream_new(fd);
	stream_set_timeout(ss->s, 60000, IMAP_WRITE_MS);
	stream_unread(ss->s, h->input);
	ss->verb = IMAP_LOGIN;
	(void)snprintf(ss->tag, sizeof(ss->tag), "%s", h->tag);
	(void)snprintf(ss->user, sizeof(ss->user), "%s", h->user);
	ss->peer = h->peer;
	log_ctx_set(&ss->log, "user=%s peer=%s:%u", h->user, net_addr_text(&h->peer, buf), h->peer.port);
	ss->next = sessions;
	ss->prev = &sessions;
	if (sessions != NULL)
		sessions->prev = &ss->next;
	sessions = ss;
	srole.sessions++;
	log_login(h);
	if (fiber_spawn("imap session", session_main, ss) == NULL) {
		ss->closing = true;
		end_session(ss);
	}
}

static void
receiver_gone(void)
{
	srole.receiver_gone = true;
	maybe_done();
}

static int
start(struct daemon *d, struct err *err)
{
	const struct box *b = daemon_box(d);

	srole.d = d;
	srole.box = b;
	srole.sep = b->folder_separator != NULL && b->folder_separator[0] != '\0' ? b->folder_separator[0] : '.';
	srole.watched = hash_new();
	srole.hosts = hash_new();
	srole.client = store_client_new(box_path(b, BOX_SOCK_STORE));
	store_client_on_change(srole.client, idle_changed, NULL);
	return (login_receive(d, take, receiver_gone, err));
}

/*
 * At the end of the daemon all sessions get a BYE and see the end of their input; commands under way are finished.
 * When only the generation changes, sessions go on until their clients leave.
 */
static void
drain(struct daemon *d)
{
	if (daemon_ending(d))
		for (struct session *ss = sessions; ss != NULL; ss = ss->next) {
			if (stream_pending(ss->s) == 0 && ss->arena == NULL)
				reply_bye(ss, "The server shuts down.");
			(void)shutdown(stream_fd(ss->s), SHUT_RD);
		}
	srole.receiver_gone = srole.receiver_gone || daemon_ending(d);
	maybe_done();
}

static int
count(const struct box *b)
{
	return (b->imap_workers > 0 ? (int)b->imap_workers : 1);
}

const struct daemon_role imap_session_role = { .name = "session", .count = count, .start = start, .drain = drain,
    .sandbox = login_session_sandbox };
