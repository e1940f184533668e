/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of vauthd. */
#ifndef VAUTHD_H
#define VAUTHD_H

#include <sys/stat.h>

#include <pthread.h>

#include "auth/client.h"
#include "auth/relay.h"
#include "auth/vusers.h"
#include "box/box.h"
#include "ipc/ipc.h"

#define PASSWORD_MAX	1024

struct daemon;
struct guard;
struct logins;
struct relays;

/* One reading of etc/vusers, shared with the threads that check against it. */
struct accounts {
	unsigned	 refs;		/* atomic */
	struct vusers	*v;
	bool		 failed;	/* could not be read: nobody can be checked */
	bool		 unsettled;	/* perhaps half written: who is not let in may be a rightful user */
	int64_t		 settles;	/* when it is read again therefore; os_mono_ms() */
	unsigned char	 secret[32];	/* makes keys for names that do not exist */
};

struct vauthd {
	const struct box *box;
	char		*vusers_path;
	struct accounts	*accounts;	/* the current reading; loop only */
	struct stat	 vusers_stat;	/* of <accounts>; st_ino 0: missing */
	struct stat	 shadow_stat;
	struct map	*domains;	/* etc/domains; under <lock> */
	pthread_mutex_t	 lock;
	struct logins	*logins;
	struct guard	*guard;
	struct relays	*relays;
	int		 system_fd;	/* to the process that asks PAM, or -1 */
};

/* ---- accounts.c: who there is, and whether a password is right ---- */

/* Take a changed etc/vusers in. */
void	 accounts_refresh(struct vauthd *a);
struct accounts *accounts_ref(struct vauthd *a);
void	 accounts_unref(struct accounts **ap);
/*
 * On any thread: find <user>, also as user@one-of-our-domains.  NULL is no proof that there is no such user: then, and where a
 * password seems wrong, accounts_unsure tells.
 */
const struct vuser *accounts_find(struct vauthd *a, const struct accounts *acc, struct sv user);
/* On any thread: true when a "no" for <user> may be none, since files are missing, unreadable or being written just now. */
bool	 accounts_unsure(struct vauthd *a, const struct accounts *acc, struct sv user);
/* What nobody's password fits, in the form of <user>'s real keys. */
void	 accounts_fake_key(const struct accounts *acc, struct sv user, struct sb *out);

/*
 * Check on any thread; may take milliseconds, for system users seconds.  Never AUTH_CONTINUE or AUTH_BANNED.
 * <generation> is logins_generation() from when <acc> was taken: what was checked against older accounts is not remembered.
 */
enum auth_result accounts_check(struct vauthd *a, const struct accounts *acc, unsigned generation, const char *service,
	     const char *addr, struct sv user, struct sv password, struct auth_user *who);
enum auth_result accounts_apop(struct vauthd *a, const struct accounts *acc, struct sv user, struct sv banner, struct sv digest,
	     struct auth_user *who);
/* Is there such a user?  AUTH_OK, AUTH_FAIL, AUTH_TEMP. */
enum auth_result accounts_lookup(struct vauthd *a, const struct accounts *acc, struct sv user, struct auth_user *who);

/* ---- logins.c: passwords that were right within the last five minutes ---- */

struct logins *logins_new(void);
bool	 logins_get(struct logins *l, const char *service, struct sv user, struct sv password, struct auth_user *who);
void	 logins_put(struct logins *l, const char *service, struct sv user, struct sv password, const struct auth_user *who,
	     unsigned generation);
/* What is put with an older generation is not taken. */
unsigned logins_generation(struct logins *l);
void	 logins_clear(struct logins *l);

/* ---- guard.c: delays and bans by address ---- */

struct guard *guard_new(const struct box *b);
bool	 guard_banned(struct guard *g, const struct net_addr *addr);
/* A wrong password: how many milliseconds after the question to answer. */
int64_t	 guard_wrong(struct guard *g, const struct net_addr *addr);
void	 guard_right(struct guard *g, const struct net_addr *addr);

/* ---- relays.c: the writer of etc/relayers.db ---- */

struct relays *relays_new(const char *path);
/* On a fiber: returns when the login of <addr> is on disk, or was there. */
int	 relays_login(struct relays *r, const struct net_addr *addr, struct err *err);
/* On a fiber: make the changes; ops[].found is filled. */
int	 relays_change(struct relays *r, struct relay_op *ops, size_t n, struct err *err);

/* On a fiber: wait until what was gathered is written. */
void	 relays_finish(struct relays *r);

/* ---- system.c: accounts of the system, through PAM ---- */

/* Fork the process that keeps root; the descriptor to it, or -1. */
int	 system_start(struct daemon *d, struct err *err);
/* On any thread. */
enum auth_result system_check(int fd, const char *user, const char *password, const char *service, const char *addr);

/* ---- server.c ---- */

int	 server_start(struct vauthd *a, struct err *err);

#endif
