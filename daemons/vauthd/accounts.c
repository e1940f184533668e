/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accounts: etc/vusers first, then, where the box says so, those of the system.  A
 * reading of vusers is shared by count with the checks under way.  A name that does not
 * exist costs as much time as one that does, and has SCRAM keys that stay the same.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/publish.h"
#include "base/arena.h"
#include "base/codec.h"
#include "fiber/fiber.h"
#include "log/log.h"
#include "map/map.h"
#include "os/time.h"
#include "os/user.h"
#include "vauthd.h"

#define SETTLE_MS	500	/* a file that is changed in place counts when it was left alone so long */

static void
report(void *arg, const struct err *e)
{
	log_err(NULL, "vusers", e);
}

void
accounts_unref(struct accounts **ap)
{
	struct accounts *acc = *ap;

	*ap = NULL;
	if (acc == NULL || __atomic_sub_fetch(&acc->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	vusers_free(&acc->v);
	free(acc);
}

struct accounts *
accounts_ref(struct vauthd *a)
{
	(void)__atomic_add_fetch(&a->accounts->refs, 1, __ATOMIC_ACQ_REL);
	return (a->accounts);
}

/* The keys of names that do not exist hang on the first account, so that they survive a restart. */
static void
make_secret(struct accounts *acc)
{
	struct sv seed = acc->v != NULL && vusers_count(acc->v) > 0 ? vusers_at(acc->v, 0)->password : SV_LIT("none");
	unsigned len = sizeof(acc->secret);

	HMAC(EVP_sha256(), "vpost unknown users", 19, (const unsigned char *)seed.p, seed.len, acc->secret, &len);
}

static bool
same(const struct stat *x, const struct stat *y)
{
	return (x->st_ino == y->st_ino && x->st_dev == y->st_dev && x->st_size == y->st_size &&
	    x->st_mtim.tv_sec == y->st_mtim.tv_sec && x->st_mtim.tv_nsec == y->st_mtim.tv_nsec &&
	    x->st_ctim.tv_sec == y->st_ctim.tv_sec && x->st_ctim.tv_nsec == y->st_ctim.tv_nsec);
}

/* 0, or why it cannot be looked at. */
static int
look(const char *path, struct stat *st)
{
	if (stat(path, st) == 0)
		return (0);
	memset(st, 0, sizeof(*st));
	return (errno);
}

/* Was this box ever without accounts?  The map for the other daemons is made beside each vusers and is not removed with it. */
static bool
had_accounts(const struct vauthd *a)
{
	struct sb db = SB_INIT(4096);
	bool there;

	sb_addf(&db, "%s.db", a->vusers_path);
	there = access(sb_cstr(&db), F_OK) == 0 || errno != ENOENT;
	sb_free(&db);
	return (there);
}

struct publish_job {
	char		*path;
	struct err	 err;
	int		 rc;
};

static void
publish_job(void *arg)
{
	struct publish_job *j = arg;

	j->rc = vusers_published(j->path) ? 0 : vusers_publish(j->path, NULL, NULL, &j->err);
}

static void
publish(void *arg)
{
	struct publish_job *j = arg;

	fiber_offload(publish_job, j);
	if (j->rc == -1)
		log_err(NULL, "vusers.db", &j->err);
	free(j->path);
	free(j);
}

static void
reload(struct vauthd *a, int why_not, bool in_place)
{
	struct accounts *acc = xcalloc(1, sizeof(*acc));
	struct publish_job *j = xcalloc(1, sizeof(*j));
	struct err err = ERR_INIT;

	acc->refs = 1;
	if (in_place) {
		acc->unsettled = true;
		acc->settles = os_mono_ms() + SETTLE_MS;
	}
	if (why_not != 0 && (why_not != ENOENT || had_accounts(a))) {
		log_error(NULL, "%s: %s: nobody can log in until it is back", a->vusers_path, strerror(why_not));
		acc->failed = true;
	}
	if (a->vusers_stat.st_ino == 0)
		acc->v = vusers_parse(SV_LIT(""), a->vusers_path, NULL, NULL);
	else if (vusers_read(&acc->v, a->vusers_path, report, NULL, &err) == -1) {
		log_err(NULL, "vusers", &err);
		acc->failed = true;
		acc->v = vusers_parse(SV_LIT(""), a->vusers_path, NULL, NULL);
	}
	make_secret(acc);
	accounts_unref(&a->accounts);
	a->accounts = acc;
	logins_clear(a->logins);
	j->path = xstrdup(a->vusers_path);
	if (acc->failed || fiber_spawn("publish", publish, j) == NULL) {
		free(j->path);
		free(j);
	}
}

void
accounts_refresh(struct vauthd *a)
{
	struct stat st;
	int why_not = look(a->vusers_path, &st);
	bool first = a->accounts == NULL, again = !first && a->accounts->unsettled && a->accounts->settles <= os_mono_ms();

	if (first || again || !same(&st, &a->vusers_stat) || (a->accounts->failed && why_not == 0)) {
		/* Editors that write into the file show it half: only one that is renamed into place is whole at once. */
		bool in_place = !first && !same(&st, &a->vusers_stat) && st.st_ino != 0 && st.st_ino == a->vusers_stat.st_ino &&
		    (st.st_mtim.tv_sec != a->vusers_stat.st_mtim.tv_sec || st.st_mtim.tv_nsec != a->vusers_stat.st_mtim.tv_nsec);

		a->vusers_stat = st;
		reload(a, why_not, in_place);
	}
	if (a->system_fd == -1)
		return;
	(void)look("/etc/shadow", &st);
	if (!same(&st, &a->shadow_stat)) {
		a->shadow_stat = st;
		logins_clear(a->logins);
	}
}

const struct vuser *
accounts_find(struct vauthd *a, const struct accounts *acc, struct sv user)
{
	const struct vuser *u = vusers_get(acc->v, user);
	ptrdiff_t at = sv_rchr(user, '@');
	struct sv value;
	bool ours;

	if (u != NULL || at <= 0)
		return (u);
	/* Mail programs that ask for an address send it as the name. */
	(void)pthread_mutex_lock(&a->lock);
	ours = map_get(a->domains, sv_sub(user, (size_t)at + 1, user.len), 0, &value, NULL) == MAP_FOUND;
	(void)pthread_mutex_unlock(&a->lock);
	return (ours ? vusers_get(acc->v, sv_sub(user, 0, (size_t)at)) : NULL);
}

bool
accounts_unsure(struct vauthd *a, const struct accounts *acc, struct sv user)
{
	ptrdiff_t at = sv_rchr(user, '@');
	struct sv value;
	bool unsure;

	if (acc->failed || acc->unsettled || at <= 0)
		return (acc->failed || acc->unsettled);
	(void)pthread_mutex_lock(&a->lock);
	unsure = map_get(a->domains, sv_sub(user, (size_t)at + 1, user.len), 0, &value, NULL) == MAP_ERROR;
	(void)pthread_mutex_unlock(&a->lock);
	return (unsure);
}

void
accounts_fake_key(const struct accounts *acc, struct sv user, struct sb *out)
{
	unsigned char m[32];
	unsigned len = sizeof(m);
	struct sb name = SB_INIT(1024);

	for (size_t i = 0; i < user.len; i++)
		sb_addc(&name, sv_lower(user.p[i]));
	HMAC(EVP_sha256(), acc->secret, sizeof(acc->secret), (const unsigned char *)sb_cstr(&name), name.len, m, &len);
	sb_addf(out, "SCRAM-SHA-256$4096:");
	base64_encode(out, sv_from((const char *)m, 16));
	for (int i = 0; i < 2; i++) {
		EVP_Digest(m, sizeof(m), m, &len, EVP_sha256(), NULL);
		sb_addc(out, i == 0 ? '$' : ':');
		base64_encode(out, sv_from((const char *)m, sizeof(m)));
	}
	sb_free(&name);
}

static enum auth_result
fill_vuser(const struct vauthd *a, const struct vuser *u, struct auth_user *who)
{
	struct sb home = SB_INIT(AUTH_HOME_MAX + 1);
	bool ok;

	memset(who, 0, sizeof(*who));
	if (u->home.len > 0 && u->home.p[0] == '/')
		sb_add(&home, u->home);
	else if (u->home.len > 0)
		sb_addf(&home, "%s/" SV_FMT, a->box->root, SV_ARG(u->home));
	else
		sb_addf(&home, "%s/home/" SV_FMT, a->box->root, SV_ARG(u->name));
	ok = !home.overflow && sv_cpy(who->home, sizeof(who->home), sb_sv(&home)) && sv_cpy(who->name, sizeof(who->name), u->name);
	sb_free(&home);
	return (ok ? AUTH_OK : AUTH_TEMP);
}

static enum auth_result
fill_system(struct sv user, struct auth_user *who)
{
	char name[AUTH_NAME_MAX + 1];
	struct os_user u;
	int rc;

	/* A dot would make another user's folder of the mailbox name. */
	if (!sv_cpy(name, sizeof(name), user) || sv_chr(user, '.') != -1 || sv_chr(user, '/') != -1)
		return (AUTH_FAIL);
	rc = os_user_by_name(name, &u, NULL);
	if (rc != 1 || u.uid == 0)
		return (rc == -1 ? AUTH_TEMP : AUTH_FAIL);
	memset(who, 0, sizeof(*who));
	who->system = true;
	who->uid = u.uid;
	who->gid = u.gid;
	return (sv_cpy(who->name, sizeof(who->name), sv_cstr(u.name)) && sv_cpy(who->home, sizeof(who->home), sv_cstr(u.dir)) ?
	    AUTH_OK : AUTH_TEMP);
}

static enum auth_result
check_system(struct vauthd *a, const char *service, const char *addr, struct sv user, struct sv password,
    struct auth_user *who)
{
	enum auth_result r = fill_system(user, who);
	char *pw;

	if (r == AUTH_TEMP || memchr(password.p, '\0', password.len) != NULL)
		return (r == AUTH_TEMP ? r : AUTH_FAIL);
	/* Also for names that do not exist: PAM takes its time for them. */
	pw = xstrndup(password.p, password.len);
	r = r == AUTH_OK ? system_check(a->system_fd, who->name, pw, service, addr) :
	    system_check(a->system_fd, "-", pw, service, addr) == AUTH_TEMP ? AUTH_TEMP : AUTH_FAIL;
	OPENSSL_cleanse(pw, password.len);
	free(pw);
	return (r);
}

enum auth_result
accounts_check(struct vauthd *a, const struct accounts *acc, unsigned generation, const char *service, const char *addr,
    struct sv user, struct sv password, struct auth_user *who)
{
	const struct vuser *u;
	enum auth_result r;

	if (user.len == 0 || password.len == 0 || password.len > PASSWORD_MAX)
		return (AUTH_FAIL);
	if (logins_get(a->logins, service, user, password, who))
		return (AUTH_OK);
	if (acc->failed)
		return (AUTH_TEMP);
	u = accounts_find(a, acc, user);
	if (u != NULL)
		r = vusers_verify(u->password, password) ? fill_vuser(a, u, who) : AUTH_FAIL;
	else if (a->system_fd != -1)
		r = check_system(a, service, addr, user, password, who);
	else {
		struct sb key = SB_INIT(1024);

		accounts_fake_key(acc, user, &key);
		(void)vusers_verify(sb_sv(&key), password);
		sb_free(&key);
		r = AUTH_FAIL;
	}
	if (r == AUTH_OK)
		logins_put(a->logins, service, user, password, who, generation);
	return (r);
}

enum auth_result
accounts_apop(struct vauthd *a, const struct accounts *acc, struct sv user, struct sv banner, struct sv digest,
    struct auth_user *who)
{
	const struct vuser *u = accounts_find(a, acc, user);
	struct sb text = SB_INIT(8192), hex = SB_INIT(64);
	struct sv plain = SV_LIT("nobody's");
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	bool ok;

	if (acc->failed)
		return (AUTH_TEMP);
	ok = u != NULL && vusers_scheme(u->password, &plain) == VUSERS_PLAIN;
	sb_add(&text, banner);
	sb_add(&text, plain);
	ok = EVP_Digest(sb_cstr(&text), text.len, md, &len, EVP_md5(), NULL) == 1 && ok;
	hex_encode(&hex, sv_from((const char *)md, len));
	ok = ok && digest.len == hex.len && CRYPTO_memcmp(digest.p, hex.p, hex.len) == 0;
	OPENSSL_cleanse(text.p, text.len);
	sb_free(&text);
	sb_free(&hex);
	return (ok ? fill_vuser(a, u, who) : AUTH_FAIL);
}

enum auth_result
accounts_lookup(struct vauthd *a, const struct accounts *acc, struct sv user, struct auth_user *who)
{
	const struct vuser *u;

	if (acc->failed)
		return (AUTH_TEMP);
	u = accounts_find(a, acc, user);
	if (u != NULL)
		return (fill_vuser(a, u, who));
	return (a->box->system_users ? fill_system(user, who) : AUTH_FAIL);
}
