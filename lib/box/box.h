/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A box: the directory of one virtual server, its paths and its settings
 * (etc/vpost.conf, in the syntax of exim.conf's main section; vpost.conf(5)).
 */
#ifndef VPOST_BOX_BOX_H
#define VPOST_BOX_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"
#include "net/addr.h"

/*
 * The schema: BOX_SETTING(name, type, default as written, what it is for).  Types:
 * STR, BOOL, INT, SIZE (bytes), TIME (seconds), LISTEN (list of ADDR:PORT, ';' or blank between), LIST (colon list as text).
 * Parser, `vpost check`, -bP and the man page come from this table.
 */
#define BOX_SETTINGS(X)									\
	X(hostname, STR, "", "name in banners and Received lines; empty: the host's")	\
	X(user, STR, "vpost", "uid of the daemons when started as root")		\
	X(system_users, BOOL, "no", "accounts of passwd and PAM are users of the box")	\
	X(smtp_listen, LISTEN, "0.0.0.0:25", "SMTP")					\
	X(submission_listen, LISTEN, "0.0.0.0:587", "submission, AUTH required")	\
	X(smtps_listen, LISTEN, "0.0.0.0:465", "submission, TLS from the start")	\
	X(pop3_listen, LISTEN, "0.0.0.0:110", "POP3")					\
	X(pop3s_listen, LISTEN, "0.0.0.0:995", "POP3, TLS from the start")		\
	X(imap_listen, LISTEN, "0.0.0.0:143", "IMAP")					\
	X(imaps_listen, LISTEN, "0.0.0.0:993", "IMAP, TLS from the start")		\
	X(services, LIST, "smtp:queue:local:store:pop3:imap:auth", "what vpost run starts") \
	X(smtp_workers, INT, "2", "worker processes of vsmtpd")				\
	X(imap_workers, INT, "1", "session processes of vimapd")			\
	X(pop3_workers, INT, "1", "session processes of vpop3d")			\
	X(max_sessions, INT, "20000", "connections of one service")			\
	X(max_sessions_per_host, INT, "200", "connections of one client address and service") \
	X(login_timeout, TIME, "1m", "time until a POP3 or IMAP client must have logged in") \
	X(imap_idle_timeout, TIME, "30m", "inactivity that ends an IMAP session")	\
	X(pop3_idle_timeout, TIME, "10m", "inactivity that ends a POP3 session")	\
	X(plaintext_auth, BOOL, "no", "passwords without TLS from elsewhere than loopback") \
	X(cram_md5, BOOL, "no", "offer CRAM-MD5 (needs passwords stored in clear)")	\
	X(accept_bare_newlines, BOOL, "no", "take mail with a lone CR, or a dot between lone LFs, which could forge its end; lone LFs otherwise are repaired always") \
	X(auth_delay, TIME, "1s", "pause after a wrong password, doubled each time up to 15s") \
	X(auth_ban_failures, INT, "20", "wrong passwords of one address within auth_ban_time that ban it; 0: never") \
	X(auth_ban_time, TIME, "10m", "how long a ban lasts")				\
	X(pop_before_smtp, BOOL, "yes", "a POP3 or IMAP login opens the relay for its address") \
	X(journal_segment, SIZE, "64M", "size of an intake segment")			\
	X(journal_max, SIZE, "2G", "intake not yet delivered at which mail is deferred with 452") \
	X(spool_reserve_percent, INT, "5", "free part of the disk that intake leaves")	\
	X(spool_reserve_min, SIZE, "256M", "and at least this much")			\
	X(store_map_size, SIZE, "64G", "address space of the index")			\
	X(folder_separator, STR, ".", "between the names of folders")			\
	X(dns_servers, LIST, "", "resolvers; empty: those of resolv.conf")		\
	X(dns_zone_file, STR, "", "zone data answered before any resolver is asked, for tests") \
	X(tls_dir, STR, "etc/tls", "certificates: NAME.pem by domain, default.pem")	\
	X(remote_concurrency, INT, "20", "connections to one destination")		\
	X(remote_port, INT, "25", "SMTP port of other hosts, for tests")		\
	X(local_children, INT, "20", "processes that deliver as users, at a time")	\
	X(local_groups, LIST, "mail", "groups that deliveries may have beside those of their account") \
	X(local_memory, SIZE, "1G", "memory of a program that a user's delivery starts; 0: no limit") \
	X(local_processes, INT, "500", "processes of its user while it runs; 0: no limit") \
	X(local_cpu, TIME, "10m", "processor time of such a program; 0: no limit")	\
	X(local_file, SIZE, "0", "size of a file that a local delivery may write; 0: no limit") \
	X(delay_warning, TIME, "4h", "age at which a sender is told that mail still waits; 0: never") \
	X(log_level, STR, "info", "debug, info, warn or error; DAEMON=LEVEL behind it for single daemons") \
	X(log_debug_file, BOOL, "yes", "debug lines go to var/log/debug.log, not vpost.log") \
	X(log_deliveries, BOOL, "no", "deliveries stand in var/log/deliverylog too")	\
	X(log_scanner, BOOL, "no", "what scanners say of messages stands in var/log/scanlog")	\
	X(log_syslog, STR, "", "facility of syslog to which all logs go: mail, local0 ...; empty: none") \
	X(log_files, BOOL, "yes", "logs are files below var/log; no: only syslog, where log_syslog is set") \
	X(syslog_socket, STR, "/dev/log", "where the syslog daemon listens")		\
	X(soft_bounce, BOOL, "no", "answer and treat every permanent failure as temporary, while a change is tried out")

struct box_listen {
	struct net_addr	 addr;
	char		 text[64];
};

enum box_type { BOX_STR, BOX_BOOL, BOX_INT, BOX_SIZE, BOX_TIME, BOX_LISTEN, BOX_LIST };

/* What a setting of each type is stored as. */
typedef VEC(struct box_listen) box_listens;
#define BOX_CTYPE_STR		char *
#define BOX_CTYPE_BOOL		bool
#define BOX_CTYPE_INT		int64_t
#define BOX_CTYPE_SIZE		int64_t
#define BOX_CTYPE_TIME		int64_t
#define BOX_CTYPE_LISTEN	box_listens
#define BOX_CTYPE_LIST		char *

struct box {
	char	*root;		/* absolute path without a slash at its end */
	struct arena *arena;	/* everything below lives here */
#define X(name, type, dflt, doc)	BOX_CTYPE_##type name;
	BOX_SETTINGS(X)
#undef X
};

struct box_setting {
	const char	*name;
	enum box_type	 type;
	const char	*dflt;
	const char	*doc;
	size_t		 offset;	/* in struct box */
};
extern const struct box_setting box_settings[];
extern const size_t box_nsettings;

/*
 * Read <root>/etc/vpost.conf (a missing file: defaults).  <report> (may be NULL) is called for
 * each mistake, all of them; returns -1 when there was one, with the first in *<err>.
 */
int	 box_open(struct box **bp, const char *root, void (*report)(void *arg, const struct err *e), void *arg,
	     struct err *err);
void	 box_free(struct box **bp);

/* <root>/<rel>, in the box's arena. */
const char *box_path(const struct box *b, const char *rel);

/*
 * Which box is meant: <opt> (of -d), else $VPOST_BOX, else the caller's home directory
 * (getpwuid, not $HOME) where it holds an etc directory, else /var/vpost where that is a box.  -1 and a text that says
 * how to name one.
 */
int	 box_find(const char *opt, char **root, struct err *err);

/* Places below the root. */
#define BOX_ETC		"etc"
#define BOX_EXIM_CONF	"etc/exim.conf"
#define BOX_VUSERS	"etc/vusers"
#define BOX_VUSERS_DB	"etc/vusers.db"	/* the same without passwords, for who may not see them */
#define BOX_DOMAINS	"etc/domains"
#define BOX_ALIASES	"etc/aliases"
#define BOX_SPAMMERS_DB	"etc/spammers.db"
#define BOX_RELAYERS_DB	"etc/relayers.db"
#define BOX_INTAKE	"var/spool/intake"
#define BOX_QUEUE	"var/spool/queue"
#define BOX_HINTS	"var/spool/hints"
#define BOX_SCAN	"var/spool/scan"	/* files of messages, for content scanners, while they are received */
#define BOX_MAIL	"var/mail"
#define BOX_LOG		"var/log"
#define BOX_RUN		"var/run"
/* Sockets in var/run. */
#define BOX_SOCK_AUTH	"var/run/auth.sock"	/* vauthd */
#define BOX_SOCK_QUEUE	"var/run/queue.sock"	/* vqueued */
#define BOX_SOCK_LOCAL	"var/run/local.sock"	/* vlocald */
#define BOX_SOCK_SPAWN	"var/run/spawn.sock"	/* vlocald's spawner */
#define BOX_SOCK_STORE	"var/run/store.sock"	/* vstored */

/* ---- whose it is, for root ---- */

struct os_user;
/* The user that root's daemons become (setting `user`); -1 and what to do where there is none, or it is root. */
int	 box_user(const struct box *b, struct os_user *u, struct err *err);
/* The box's files are that user's: root goes on with his rights only, until os_act_back() of os/priv.h.  For others nothing happens. */
int	 box_act(const struct box *b, struct err *err);
struct exim_world;
/*
 * Where this process is root, what <w> reads, looks up and runs from here on it does as box_act; files that are closed to that user
 * are read as their owner, unless that is root.  One box for each process; <b> stays.
 */
void	 box_world(const struct box *b, struct exim_world *w);

/*
 * How the box's exim.conf is read: its path, its name for itself, and the macros _VPOST_BOX (the box's directory) and, where its accounts are
 * the system's, _VPOST_SYSTEM_USERS.  All live as long as <b>.
 */
#define BOX_EXIM_DEFINES	2
struct exim_conf_source;
void	 box_exim_source(const struct box *b, struct exim_conf_source *src);

#endif
