/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker of vsmtpd: a fiber for each listener, one for each session.  It writes its
 * own intake journal and tells vqueued how far that is durable.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/client.h"
#include "base/arena.h"
#include "daemon/eximlogs.h"
#include "dns/dns.h"
#include "exim/perl.h"
#include "fiber/fiber.h"
#include "hints/hints.h"
#include "io/stream.h"
#include "io/tls.h"
#include "log/log.h"
#include "net/hosts_access.h"
#include "net/sock.h"
#include "os/fd.h"
#include "os/user.h"
#include "route/route.h"
#include "session/session.h"
#include "session/tls_conf.h"
#include "session/world.h"
#include "spool/client.h"
#include "spool/hostid.h"
#include "spool/writer.h"
#include "transport/transport.h"
#include "vsmtpd.h"

#define SOCK_LOCAL	"var/run/smtp.sock"	/* SMTP of programs of this machine */
#define SOCK_HANDED	"var/run/submit.sock"	/* what sendmail(1) hands over */
#define HINTS_DIR	"var/spool/hints"
#define GROUPS_MAX	256
#define ACCEPT_MAX	4			/* connections taken in a row */
#define EXPIRY_DAYS	14
#define DAY_MS		(24 * 3600 * 1000)
#define END_STEP_MS	100
#define END_BUSY_MS	8000			/* at TERM: then sessions within a message are told, too */
#define ETRN_TIMEOUT	10000
#define FULL_TIMEOUT	20000

struct worker;

struct conn {
	struct conn	*prev, *next;
	struct worker	*w;
	struct fiber	*fiber;
	struct session_conn c;
	int		 fd;
	char		 user[256];
};

struct listener {
	struct worker	*w;
	int		 fd;
	enum session_kind kind;
	bool		 handed;	/* of a SESSION_LOCAL */
	struct fiber	*fiber;
	struct net_addr	 local;		/* family 0: ask each socket */
};

struct worker {
	struct daemon	*d;
	struct vsmtpd_conf *conf;
	unsigned	 index;
	struct session_service sv;
	struct session_ops ops;
	struct session_log log;
	struct exim_world world;
	struct route_ops route;
	struct spool_writer *writer;
	unsigned	 transactions;	/* open now: messages on their way to the writer */
	struct spool_client *queue;
	struct hints	*hints;
	struct hosts_access *hosts;
	struct conn	*conns;
	size_t		 nconns;
	bool		 draining;	/* no new connections */
	bool		 ending;	/* and no new messages */
	bool		 rejectlog;
	int64_t		 backlog_monitor;
	VEC(struct listener *) listeners;
};

/* ---- what sessions ask for ---- */

static int
op_submit(void *arg, const struct spool_envelope *env, const struct spool_content *c, struct err *err)
{
	struct worker *w = arg;

	return (spool_submit(w->writer, env, c, err));
}

static int
op_room(void *arg, int64_t size, struct err *err)
{
	struct worker *w = arg;

	return (spool_writer_room(w->writer, size, err));
}

static int
op_etrn(void *arg, const char *domain, unsigned *n, struct err *err)
{
	struct worker *w = arg;

	return (spool_client_flush(w->queue, domain, n, FIBER_NOW_PLUS(ETRN_TIMEOUT), err));
}

/* Mailboxes are out of our sight. */
static bool
op_full(void *arg, struct sv address, const struct transport_delivery *td)
{
	struct worker *w = arg;
	struct err err = ERR_INIT;
	int rc = spool_client_full(w->queue, address, td->size, FIBER_NOW_PLUS(FULL_TIMEOUT), &err);

	if (rc == -1)
		log_warn(NULL, "the quota of " SV_FMT ": %s", SV_ARG(address), err.text);
	return (rc == 1);
}

static bool
op_admit(void *arg, struct hosts_client *c)
{
	struct worker *w = arg;

	return (hosts_access_ok(w->hosts, c, fiber_now()));
}

static size_t
op_connections(void *arg, const struct net_addr *addr)
{
	struct worker *w = arg;

	return (limits_count(w->conf->limits, addr));
}

static void
log_exim(void *arg, unsigned which, const char *line, const char *more)
{
	struct worker *w = arg;

	if (!w->rejectlog)
		which &= ~(unsigned)SESSION_LOG_REJECT;
	eximlog_entry(which, line, more);
}

/* control = debug. */
static int
log_file(void *arg, const char *name, bool remove, struct err *err)
{
	(void)arg;
	return (eximlog_file(name, remove, err));
}

/* What no session logs: lookups. */
static void
log_world(void *arg, unsigned logs, struct sv line)
{
	eximlog_write(logs & (SESSION_LOG_MAIN | SESSION_LOG_PANIC), SV_FMT, SV_ARG(line));
}

static void
log_note(void *arg, int level, const char *text)
{
	(void)arg;
	if (level >= 3)
		log_error(NULL, "%s", text);
	else if (level == 2)
		log_warn(NULL, "%s", text);
	else
		log_info(NULL, "%s", text);
}

static void
log_scanner(void *arg, const char *line)
{
	(void)arg;
	eximlog_write(EXIMLOG_SCAN, "%s", line);
}

static void
log_trace(void *arg, const char *peer, const char *line)
{
	(void)arg;
	log_debug(NULL, "peer=%s %s", peer, line);
}

/* ---- sessions ---- */

static void
conn_free(struct conn *c)
{
	struct worker *w = c->w;

	*(c->prev != NULL ? &c->prev->next : &w->conns) = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	w->nconns--;
	if (c->c.peer.family != 0)
		limits_sub(w->conf->limits, w->index, &c->c.peer);
	free(c);
}

struct user_job {
	uid_t	 uid;
	struct os_user u;
	int	 rc;
};

static void
user_job(void *arg)
{
	struct user_job *j = arg;

	j->rc = os_user_by_uid(j->uid, &j->u, NULL);
}

/* trusted_users and trusted_groups; the superuser and the box's own user are so anyway. */
static bool
is_trusted(const struct exim_conf *conf, int sock, uid_t uid, gid_t gid)
{
	const struct exim_value *users = &conf->main[EXIM_MAIN_trusted_users], *groups = &conf->main[EXIM_MAIN_trusted_groups];
	gid_t set[GROUPS_MAX];
	bool yes = uid == 0 || uid == geteuid();
	int n;

	for (size_t i = 0; i < users->n; i++)
		yes = yes || users->nums[i] == (int64_t)uid;
	if (yes || groups->n == 0)
		return (yes);
	n = os_peer_groups(sock, set, GROUPS_MAX);
	for (size_t i = 0; i < groups->n; i++) {
		yes = yes || groups->nums[i] == (int64_t)gid;
		for (int k = 0; k < n; k++)
			yes = yes || groups->nums[i] == (int64_t)set[k];
	}
	return (yes);
}

/* Who is at the other end of the local socket. */
static void
local_peer(struct conn *c)
{
	struct user_job *j = xcalloc(1, sizeof(*j));
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;
	pid_t pid;

	(void)os_peer_id(c->fd, &uid, &gid, &pid);
	j->uid = uid;
	fiber_offload(user_job, j);
	if (j->rc == 1)
		(void)snprintf(c->user, sizeof(c->user), "%s", j->u.name);
	else
		(void)snprintf(c->user, sizeof(c->user), "uid%ld", (long)uid);
	free(j);
	c->c.user = c->user;
	c->c.uid = uid;
	c->c.trusted = is_trusted(c->w->sv.conf, c->fd, uid, gid);
}

static void
session_fiber(void *arg)
{
	struct conn *c = arg;

	if (c->c.kind == SESSION_LOCAL)
		local_peer(c);
	c->c.stream = stream_new_accepted(c->fd);
	session_run(&c->w->sv, &c->c);
	conn_free(c);
}

static void
turn_away(int fd)
{
	static const char text[] = "421 4.3.2 Too many sessions here; please try again later\r\n";

	(void)send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)close(fd);
}

static void
begin(struct listener *l, int fd, const struct net_addr *peer, const struct net_addr *local)
{
	struct worker *w = l->w;
	struct conn *c = xcalloc(1, sizeof(*c));

	c->w = w;
	c->fd = fd;
	c->c.kind = l->kind;
	c->c.handed = l->handed;
	c->c.peer = *peer;
	c->c.local = *local;
	c->c.uid = -1;
	c->fiber = fiber_spawn("session", session_fiber, c);
	if (c->fiber == NULL) {
		turn_away(fd);
		free(c);
		return;
	}
	c->next = w->conns;
	if (w->conns != NULL)
		w->conns->prev = c;
	w->conns = c;
	w->nconns++;
	if (peer->family != 0)
		limits_add(w->conf->limits, w->index, peer);
}

static int
accept_one(struct listener *l)
{
	struct net_addr peer = { 0 }, local = l->local;
	int fd;

	if (l->kind == SESSION_LOCAL) {
		fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		local.family = 0;
	} else {
		fd = net_accept(l->fd, &peer, l->local.family == 0 ? &local : NULL);
	}
	if (fd == -1)
		return (-1);
	begin(l, fd, &peer, &local);
	return (0);
}

/* smtp_backlog_monitor: connections come faster than they are accepted. */
static void
log_backlog(struct listener *l)
{
	int waiting = net_listen_waiting(l->fd);
	char text[NET_ADDR_TEXT_MAX];
	struct net_addr at;

	if (waiting <= l->w->backlog_monitor)
		return;
	net_local(l->fd, &at);
	eximlog_write(EXIMLOG_MAIN, "listen backlog %d I=[%s]:%u", waiting, net_addr_text(&at, text), (unsigned)at.port);
}

static void
accept_fiber(void *arg)
{
	struct listener *l = arg;
	struct fiber_io *io = fiber_io_new(l->fd);

	while (!l->w->draining && fiber_io_wait(io, FIBER_READ, FIBER_FOREVER) == FIBER_READY) {
		if (l->w->backlog_monitor > 0 && l->kind != SESSION_LOCAL)
			log_backlog(l);
		for (int i = 0; i < ACCEPT_MAX && !l->w->draining; i++)
			if (accept_one(l) == -1) {
				if (errno != EAGAIN && errno != EINTR) {
					/* Out of descriptors: those that end make room. */
					log_warn(NULL, "accept: %s", strerror(errno));
					(void)fiber_sleep(200);
				}
				break;
			}
	}
	fiber_io_close(&io);
	l->fiber = NULL;
}

/* ---- listeners ---- */

static int
listen_on(struct worker *w, int fd, enum session_kind kind, const struct net_addr *local, struct err *err)
{
	struct listener *l = xcalloc(1, sizeof(*l));

	l->w = w;
	l->fd = fd;
	l->kind = kind;
	if (local != NULL)
		l->local = *local;
	vec_push(&w->listeners, l);
	l->fiber = fiber_spawn("accept", accept_fiber, l);
	return (l->fiber == NULL ? err_set(err, ERR_TEMP, "4.3.2", "no fiber for a listener") : 0);
}

static bool
is_any(const struct net_addr *a)
{
	static const uint8_t zero[16];

	return (memcmp(a->ip, zero, sizeof(zero)) == 0);
}

static int
listen_all(struct worker *w, struct err *err)
{
	static const struct { const char *service; enum session_kind kind; } kinds[] = {
		{ "smtp", SESSION_SMTP }, { "submission", SESSION_SUBMISSION }, { "smtps", SESSION_SMTPS },
	};

	const struct exim_value *backlog = &w->conf->exim->main[EXIM_MAIN_smtp_connect_backlog];
	const struct net_listen_opts opts = { .nodelay = exim_main_bool(w->conf->exim, EXIM_MAIN_tcp_nodelay),
	    .keepalive = exim_main_bool(w->conf->exim, EXIM_MAIN_smtp_accept_keepalive),
	    .backlog = backlog->set && backlog->num > 0 ? (int)backlog->num : 0 };

	for (const struct daemon_listener *l = daemon_listeners(w->d); l->fd != -1; l++) {
		struct net_addr local = { 0 };
		enum session_kind kind = SESSION_SMTP;

		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			if (strcmp(l->service, kinds[i].service) == 0)
				kind = kinds[i].kind;
		if (kind == SESSION_SMTPS && w->conf->tls == NULL) {
			log_warn(NULL, "listen=%s no certificate in tls_dir: no TLS, so nothing is served there", l->text);
			continue;
		}
		net_listen_opts(l->fd, &opts);
		if (!net_addr_parse_port(sv_cstr(l->text), 0, &local) || is_any(&local))
			memset(&local, 0, sizeof(local));
		if (listen_on(w, l->fd, kind, &local, err) == -1)
			return (-1);
	}
	return (0);
}

/* A socket for programs of this machine; the newest generation's first worker owns the name. */
static int
listen_local(struct worker *w, const char *name, bool handed, struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = box_path(daemon_box(w->d), name);
	int fd;

	if ((size_t)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s.%ld", path, (long)getpid()) >= sizeof(sa.sun_path)) {
		log_warn(NULL, "%s: the path is too long for a socket; no local submission", path);
		return (0);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return (err_sys(err, "local socket"));
	(void)unlink(sa.sun_path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == -1 || chmod(sa.sun_path, 0666) == -1 || listen(fd, 256) == -1 ||
	    rename(sa.sun_path, path) == -1) {
		(void)err_sys(err, "%s", path);
		(void)close(fd);
		return (-1);
	}
	if (listen_on(w, fd, SESSION_LOCAL, NULL, err) == -1)
		return (-1);
	w->listeners.p[w->listeners.len - 1]->handed = handed;
	return (0);
}

/* ---- certificates ---- */

static void
warn_expiry(struct tls_server *t)
{
	struct tls_cert_info info;
	time_t now = time(NULL);

	for (unsigned i = 0; tls_server_cert(t, i, &info); i++) {
		long days = (long)((info.not_after - now) / 86400);

		if (info.not_after <= now)
			log_error(NULL, "certificate=%s names=\"%s\" has expired", info.file, info.names);
		else if (days < EXPIRY_DAYS)
			log_warn(NULL, "certificate=%s names=\"%s\" expires in %ld days", info.file, info.names, days);
	}
}

static void
expiry_fiber(void *arg)
{
	struct worker *w = arg;
	struct err err = ERR_INIT;

	do {
		if (tls_server_refresh(session_tls_fixed(w->conf->tls), &err) == -1)
			log_err(NULL, "certificates", &err);
		warn_expiry(session_tls_fixed(w->conf->tls));
	} while (fiber_sleep(DAY_MS) == FIBER_READY);
}

/* ---- the process ---- */

static int
open_spool(struct worker *w, struct err *err)
{
	const struct box *b = daemon_box(w->d);
	struct spool_writer_opts o = {
		.dir = box_path(b, BOX_INTAKE), .worker = w->index, .generation = (unsigned)daemon_generation(w->d),
		.segment_size = b->journal_segment, .journal_max = b->journal_max,
		.reserve_percent = (int)b->spool_reserve_percent, .reserve_min = b->spool_reserve_min,
		.coming = &w->transactions, .durable = spool_client_durable, .sealed = spool_client_sealed,
	};

	w->queue = spool_client_new(box_path(b, BOX_SOCK_QUEUE));
	o.arg = w->queue;
	if (spool_writer_open(&w->writer, &o, err) == -1)
		return (-1);
	spool_client_attach(w->queue, w->writer, w->index);
	return (0);
}

static void
fill_service(struct worker *w)
{
	const struct box *b = daemon_box(w->d);
	struct session_service *sv = &w->sv;
	const char *const dirs[] = { box_path(b, "etc"), "/etc", NULL };

	w->hosts = hosts_access_new(dirs);
	w->ops = (struct session_ops){ .arg = w, .submit = op_submit, .room = op_room, .etrn = op_etrn,
	    .connections = op_connections, .admit = op_admit, .full = op_full };
	sv->transactions = &w->transactions;
	w->log = (struct session_log){ .arg = w, .exim = log_exim, .note = log_note, .file = log_file,
	    .trace = log_enabled(LOG_L_DEBUG) ? log_trace : NULL, .scanner = b->log_scanner ? log_scanner : NULL };
	session_world_init(&w->world, w->hints);
	route_dns_rules(w->conf->exim, &w->world);
	w->world.log = log_world;
	session_world_watch(box_path(b, "etc"));
	route_ops_dns(&w->route);
	sv->conf = w->conf->exim;
	sv->world = &w->world;
	sv->caches = exim_caches_new();
	sv->route = &w->route;
	sv->ops = &w->ops;
	sv->log = &w->log;
	sv->tls = w->conf->tls;
	sv->auth = auth_client_new(box_path(b, BOX_SOCK_AUTH));
	sv->tmpdir = box_path(b, BOX_INTAKE);
	sv->scandir = box_path(b, BOX_SCAN);
	if (mkdir(sv->scandir, 0750) == -1 && errno != EEXIST)
		log_warn(NULL, "%s: %s; \"decode\" and scanners that read files will defer", sv->scandir, strerror(errno));
	sv->draining = &w->ending;
	sv->max_sessions = b->max_sessions;
	sv->max_per_host = b->max_sessions_per_host;
	sv->plaintext_auth = b->plaintext_auth;
	sv->cram_md5 = b->cram_md5;
	sv->soft_bounce = b->soft_bounce;
	sv->keep_bare = b->accept_bare_newlines;
	w->backlog_monitor = exim_main_int(w->conf->exim, EXIM_MAIN_smtp_backlog_monitor);
	w->rejectlog = exim_main_bool(w->conf->exim, EXIM_MAIN_write_rejectlog);
}

/* perl_at_start: the first call need not wait, and a mistake of the startup code stands in the log from the start. */
static void
perl_fiber(void *arg)
{
	struct worker *w = arg;
	struct exim_env env;
	struct sv why = SV_NULL;

	memset(&env, 0, sizeof(env));
	exim_conf_env(w->conf->exim, &env);
	env.arena = arena_new(0);
	env.world = &w->world;
	if (x_perl_start(&env, &why) != EXIM_OK) {
		eximlog_write(EXIMLOG_MAIN | EXIMLOG_PANIC, SV_FMT, SV_ARG(why));
		log_error(NULL, "perl_at_start: " SV_FMT, SV_ARG(why));
	}
	arena_free(&env.arena);
}

static int
start(struct daemon *d, struct err *err)
{
	const struct box *b = daemon_box(d);
	struct worker *w = xcalloc(1, sizeof(*w));
	struct dns_conf dns = { .servers = b->dns_servers, .zone_file = b->dns_zone_file };

	w->d = d;
	w->conf = daemon_conf(d);
	w->index = (unsigned)daemon_worker(d);
	daemon_set_data(d, w);
	limits_reset(w->conf->limits, w->index);
	if (dns.zone_file != NULL && dns.zone_file[0] != '\0' && dns.zone_file[0] != '/')
		dns.zone_file = box_path(b, dns.zone_file);
	route_dns_conf(w->conf->exim, &dns);
	if (dns_init(&dns, err) == -1)
		return (-1);
	daemon_watch_lookups(w->conf->exim);
	spool_id_host(w->conf->exim->g.localhost_number);
	if (hints_open(&w->hints, box_path(b, HINTS_DIR), err) == -1) {
		/* Disposable: without them rate limits defer. */
		log_err(NULL, "hints", err);
		err_clear(err);
	}
	if (open_spool(w, err) == -1)
		return (-1);
	fill_service(w);
	if (b->max_sessions > 0)
		fiber_set_limit((size_t)b->max_sessions + 100);
	if (exim_main_bool(w->conf->exim, EXIM_MAIN_perl_at_start) && fiber_spawn("perl", perl_fiber, w) == NULL)
		return (err_set(err, ERR_TEMP, "4.3.2", "no fibers"));
	if (w->index == 0 && (listen_local(w, SOCK_LOCAL, false, err) == -1 || listen_local(w, SOCK_HANDED, true, err) == -1))
		return (-1);
	if (w->index == 0 && session_tls_fixed(w->conf->tls) != NULL && fiber_spawn("expiry", expiry_fiber, w) == NULL)
		return (err_set(err, ERR_TEMP, "4.3.2", "no fibers"));
	return (listen_all(w, err));
}

/* HUP: sessions go on to their end.  TERM: idle ones are told at once, the others get some seconds. */
static void
drain(struct daemon *d)
{
	struct worker *w = daemon_data(d);
	int64_t busy = INT64_MAX;

	w->draining = true;
	for (size_t i = 0; i < w->listeners.len; i++)
		if (w->listeners.p[i]->fiber != NULL)
			fiber_cancel(w->listeners.p[i]->fiber);
	while (w->nconns > 0) {
		if (daemon_ending(d)) {
			if (!w->ending)
				busy = FIBER_NOW_PLUS(END_BUSY_MS);
			w->ending = true;
			for (struct conn *c = w->conns; c != NULL; c = c->next)
				if (c->c.idle || fiber_now() > busy)
					fiber_cancel(c->fiber);
		}
		if (fiber_sleep(END_STEP_MS) != FIBER_READY)
			return;
	}
	spool_writer_close(&w->writer);
	daemon_worker_done(d);
}

/* process_log_path: a line for each session, as exiwhat(8) of Exim collects them from its processes. */
static void
tell(struct daemon *d)
{
	struct worker *w = daemon_data(d);
	struct sb out = SB_INIT(1 << 20);
	char text[NET_ADDR_TEXT_MAX];

	for (const struct conn *c = w->conns; c != NULL; c = c->next)
		if (c->c.peer.family == 0)
			sb_addf(&out, "%5ld handling incoming call from local user %s\n", (long)getpid(), c->user);
		else
			sb_addf(&out, "%5ld handling incoming%s call from [%s]\n", (long)getpid(),
			    c->c.kind == SESSION_SMTPS ? " TLS" : "", net_addr_text(&c->c.peer, text));
	if (w->nconns == 0)
		sb_addf(&out, "%5ld daemon: %s\n", (long)getpid(),
		    w->draining ? "ends with its last session" : "waits for connections");
	vsmtpd_process_log(w->conf, sb_sv(&out));
	sb_free(&out);
}

const struct daemon_role vsmtpd_worker = { .name = "worker", .start = start, .drain = drain, .told = tell, .sandbox = vsmtpd_sandbox };
