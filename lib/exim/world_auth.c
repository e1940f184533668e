/* SPDX-License-Identifier: BSD-2-Clause */
/* The conditions pam, saslauthd and ldapauth (manual 11.7). */
#include "exim/world_auth.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <security/pam_appl.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sb.h"
#include "exim/lookup_sql.h"
#include "os/library.h"

#define SASLAUTHD	"/var/run/saslauthd/mux"
#define SASL_WAIT_S	60
#define FIELD_MAX	1024		/* saslauthd takes no longer ones */

/* ---- PAM ---- */

static struct {
	__typeof__(&pam_start) start;
	__typeof__(&pam_end) end;
	__typeof__(&pam_authenticate) authenticate;
	__typeof__(&pam_acct_mgmt) acct_mgmt;
	__typeof__(&pam_strerror) strerror;
} pam;

static int
load_pam(struct err *err)
{
	static const char *const names[] = { "libpam.so.0", "libpam.so.6", "libpam.so", NULL };
	static const struct os_symbol symbols[] = {
		{ "pam_start", (void **)&pam.start }, { "pam_end", (void **)&pam.end },
		{ "pam_authenticate", (void **)&pam.authenticate }, { "pam_acct_mgmt", (void **)&pam.acct_mgmt },
		{ "pam_strerror", (void **)&pam.strerror },
	};
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	static bool there;
	int rc = 0;

	(void)pthread_mutex_lock(&once);
	if (!there && (rc = os_library_load(names, symbols, sizeof(symbols) / sizeof(symbols[0]), err)) == 0)
		there = true;
	(void)pthread_mutex_unlock(&once);
	return (rc);
}

struct answers {
	const struct sv	*v;
	size_t		 n, next;
	bool		 short_of;	/* it asked for more than there is */
};

/* PAM frees what it is given. */
static int
converse(int n, const struct pam_message **msg, struct pam_response **out, void *arg)
{
	struct answers *a = arg;
	struct pam_response *r = calloc((size_t)(n < 1 ? 1 : n), sizeof(*r));

	if (r == NULL)
		return (PAM_CONV_ERR);
	for (int i = 0; i < n; i++) {
		if (msg[i]->msg_style != PAM_PROMPT_ECHO_ON && msg[i]->msg_style != PAM_PROMPT_ECHO_OFF)
			continue;
		if (a->next >= a->n) {
			a->short_of = true;
			r[i].resp = calloc(1, 1);
			continue;
		}
		r[i].resp = xstrndup(a->v[a->next].p, a->v[a->next].len);
		a->next++;
	}
	*out = r;
	return (PAM_SUCCESS);
}

static enum exim_found
auth_pam(const struct sv *args, size_t n, struct arena *a, struct err *err)
{
	struct answers ans = { .v = args + 1, .n = n > 0 ? n - 1 : 0 };
	struct pam_conv conv = { converse, &ans };
	pam_handle_t *h = NULL;
	int rc;

	/* Without a user PAM would ask for one. */
	if (n == 0 || args[0].len == 0)
		return (EXIM_NOTFOUND);
	if (load_pam(err) == -1)
		return (EXIM_TEMPFAIL);
	rc = pam.start("exim", arena_cstr(a, args[0]), &conv, &h);
	if (rc == PAM_SUCCESS && (rc = pam.authenticate(h, PAM_SILENT)) == PAM_SUCCESS)
		rc = pam.acct_mgmt(h, PAM_SILENT);
	if (h != NULL)
		(void)pam.end(h, PAM_SUCCESS);
	if (rc == PAM_SUCCESS && !ans.short_of)
		return (EXIM_FOUND);
	if (rc == PAM_USER_UNKNOWN || rc == PAM_ACCT_EXPIRED || rc == PAM_AUTH_ERR || ans.short_of)
		return (EXIM_NOTFOUND);
	(void)err_set(err, ERR_TEMP, "4.3.0", "PAM error: %s", pam.strerror(h, rc));
	return (EXIM_TEMPFAIL);
}

/* ---- saslauthd ---- */

static int
read_full(int fd, char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = recv(fd, p, n, 0);

		if (k == 0)
			errno = ECONNRESET;
		if (k <= 0)
			return (-1);
		p += k;
		n -= (size_t)k;
	}
	return (0);
}

/* A string is two bytes of length, the higher first, and its bytes. */
static enum exim_found
ask_saslauthd(int fd, const struct sv *args, size_t n, struct err *err)
{
	struct sv field[4] = { SV_LIT(""), SV_LIT(""), SV_LIT("exim"), SV_LIT("") };
	struct sb sb = SB_INIT(8 * FIELD_MAX);
	unsigned char len[2];
	char reply[FIELD_MAX + 1];
	size_t want;
	bool sent;

	for (size_t i = 0; i < 4; i++) {
		if (i < n && args[i].len > 0)
			field[i] = args[i];
		sb_addc(&sb, (char)(field[i].len >> 8));
		sb_addc(&sb, (char)(field[i].len & 0xff));
		sb_add(&sb, field[i]);
	}
	sent = send(fd, sb.p, sb.len, MSG_NOSIGNAL) == (ssize_t)sb.len;
	sb_free(&sb);
	if (!sent || read_full(fd, (char *)len, 2) == -1)
		goto lost;
	want = (size_t)len[0] << 8 | len[1];
	if (want < 2 || want > FIELD_MAX || read_full(fd, reply, want) == -1)
		goto lost;
	return (memcmp(reply, "OK", 2) == 0 ? EXIM_FOUND : EXIM_NOTFOUND);
lost:
	(void)err_set(err, ERR_TEMP, "4.3.0", "no answer from saslauthd daemon at %s: %s", SASLAUTHD, strerror(errno));
	return (EXIM_TEMPFAIL);
}

/* Cut short or left out they would be others' words, perhaps no password at all. */
static bool
too_long(const struct sv *args, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (args[i].len > FIELD_MAX)
			return (true);
	return (false);
}

static enum exim_found
auth_saslauthd(const struct sv *args, size_t n, struct err *err)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = SASLAUTHD };
	const struct timeval tv = { .tv_sec = SASL_WAIT_S };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	enum exim_found f = EXIM_TEMPFAIL;

	if (n == 0 || args[0].len == 0 || too_long(args, n)) {
		f = EXIM_NOTFOUND;
	} else if (fd == -1 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		(void)err_set(err, ERR_TEMP, "4.3.0", "cannot connect to saslauthd daemon at %s: %s", SASLAUTHD, strerror(errno));
	} else {
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		f = ask_saslauthd(fd, args, n, err);
	}
	if (fd != -1)
		(void)close(fd);
	return (f);
}

enum exim_found
x_auth_blocking(void *arg, const char *how, const struct sv *args, size_t n, struct arena *a, struct err *err)
{
	struct sv none;

	if (strcmp(how, "pam") == 0)
		return (auth_pam(args, n, a, err));
	if (strcmp(how, "saslauthd") == 0)
		return (auth_saslauthd(args, n, err));
	if (strcmp(how, "ldapauth") == 0 && n == 3)
		return (x_ldap("ldapauth", args[2], args[0], args[1], a, &none, err));
	(void)err_set(err, ERR_TEMP, "4.3.5", "support for \"%s\" not compiled", how);
	return (EXIM_TEMPFAIL);
}
