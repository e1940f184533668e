/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who gets the mail to postmaster, which RFC 5321 section 4.5.1 wants accepted everywhere, and
 * to abuse (RFC 2142).  The first account gets it until etc/aliases says otherwise; vpost check
 * tells where it goes to nobody.
 */
#include <sys/wait.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "auth/vusers.h"
#include "base/arena.h"
#include "base/sb.h"
#include "map/lsearch.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/spawn.h"
#include "os/user.h"
#include "vpost_int.h"

#define FILE_MAX	(64 * 1024 * 1024)
#define STEPS_MAX	20	/* aliases that lead to each other end here */
#define VISITS_MAX	1000	/* and wide trees of them here */

struct world {
	const struct box *box;
	struct sb	 aliases, domains;
	struct vusers	*users;
	unsigned	 visits;
};

/* The first alias of that name: true, *<line> and *<value>, which is a copy in <a>. */
static bool
find_alias(const struct world *w, struct sv name, struct arena *a, unsigned *line, struct sv *value)
{
	struct lsearch_entry e;
	struct lsearch l;
	bool found = false;

	lsearch_init(&l, sb_sv(&w->aliases));
	while (!found && lsearch_next(&l, &e))
		if (e.wrong == NULL && sv_caseeq(e.key, name)) {
			found = true;
			*line = e.line;
			*value = arena_sv(a, e.value);
		}
	lsearch_free(&l);
	return (found);
}

static bool
has_account(const struct world *w, struct sv name)
{
	struct os_user u;
	char text[256];

	if (name.len == 0 || name.len >= sizeof(text))
		return (false);
	if (w->users != NULL && vusers_get(w->users, name) != NULL)
		return (true);
	(void)snprintf(text, sizeof(text), SV_FMT, SV_ARG(name));
	return (w->box->system_users && os_user_by_name(text, &u, NULL) == 1);
}

/* The account itself, or that in front of its detail. */
static bool
reaches_account(const struct world *w, struct sv name)
{
	ptrdiff_t plus = sv_chr(name, '+'), dot = sv_chr(name, '.');

	return (has_account(w, name) || (plus > 0 && has_account(w, sv_sub(name, 0, (size_t)plus))) ||
	    (dot > 0 && has_account(w, sv_sub(name, 0, (size_t)dot))));
}

static bool
is_our_domain(const struct world *w, struct sv domain)
{
	struct sv rest = sb_sv(&w->domains), line;

	while (sv_next(&rest, '\n', &line))
		if (sv_caseeq(sv_trim(line), domain))
			return (true);
	return (sv_caseeqs(domain, "localhost") || sv_caseeqs(domain, w->box->hostname));
}

static bool leads_somewhere(struct world *w, struct sv name, struct arena *a, unsigned steps);

/* One recipient of an alias.  What only routing can tell counts as somebody. */
static bool
recipient_is_there(struct world *w, struct sv r, struct arena *a, unsigned steps)
{
	ptrdiff_t at, open = sv_rchr(r, '<');

	if (open >= 0 && r.p[r.len - 1] == '>')
		r = sv_sub(r, (size_t)open + 1, r.len - 1);
	if (r.len > 0 && r.p[0] == ':')
		return (sv_casestarts(r, ":include:"));
	if (r.len == 0 || r.p[0] == '"' || r.p[0] == '|' || r.p[0] == '/')
		return (r.len > 0);
	if ((at = sv_rchr(r, '@')) >= 0) {
		if (!is_our_domain(w, sv_sub(r, (size_t)at + 1, r.len)))
			return (true);
		r = sv_sub(r, 0, (size_t)at);
	}
	if (r.len > 1 && r.p[0] == '\\')
		return (reaches_account(w, sv_sub(r, 1, r.len)));
	return (leads_somewhere(w, r, a, steps + 1));
}

static bool
leads_somewhere(struct world *w, struct sv name, struct arena *a, unsigned steps)
{
	struct sv value, one;
	unsigned line;

	if (steps > STEPS_MAX || ++w->visits > VISITS_MAX)
		return (false);
	if (!find_alias(w, name, a, &line, &value))
		return (reaches_account(w, name));
	while (sv_next(&value, ',', &one)) {
		one = sv_trim(one);
		/* An alias that names itself means the account. */
		if (sv_caseeq(one, name) ? reaches_account(w, name) : recipient_is_there(w, one, a, steps))
			return (true);
	}
	return (false);
}

static void
read_world(struct world *w, const struct box *b)
{
	memset(w, 0, sizeof(*w));
	w->box = b;
	sb_init(&w->aliases, FILE_MAX);
	sb_init(&w->domains, FILE_MAX);
	/* A file that is missing or cannot be read is told elsewhere. */
	(void)os_read_file(box_path(b, BOX_ALIASES), FILE_MAX, &w->aliases, NULL);
	(void)os_read_file(box_path(b, BOX_DOMAINS), FILE_MAX, &w->domains, NULL);
	(void)vusers_read(&w->users, box_path(b, BOX_VUSERS), NULL, NULL, NULL);
}

static void
free_world(struct world *w)
{
	sb_free(&w->aliases);
	sb_free(&w->domains);
	vusers_free(&w->users);
}

/* A configuration that was brought along has its aliases elsewhere; who postmaster is, its routers know. */
static bool
routes_by_our_map(const struct box *b)
{
	struct sb text = SB_INIT(FILE_MAX);
	bool yes = os_read_file(box_path(b, BOX_EXIM_CONF), FILE_MAX, &text, NULL) == -1 ||
	    sv_find(sb_sv(&text), SV_LIT("/aliases.db")) >= 0;

	sb_free(&text);
	return (yes);
}

void
postmaster_check(const struct box *b, void (*tell)(void *arg, const char *text), void *arg)
{
	static const char *const names[] = { "postmaster", "abuse" };
	struct arena *a;
	struct world w;

	if (!routes_by_our_map(b))
		return;
	a = arena_new(0);
	read_world(&w, b);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct sv name = sv_cstr(names[i]), value;
		unsigned line = 1;

		w.visits = 0;
		if (leads_somewhere(&w, name, a, 0))
			continue;
		/* The line to change, or the one behind the last, to write it on. */
		if (!find_alias(&w, name, a, &line, &value)) {
			for (size_t k = 0; k < w.aliases.len; k++)
				line += w.aliases.p[k] == '\n';
			tell(arg, arena_fmt(a, "%s:%u: mail to %s reaches nobody: add the line \"%s: NAME\" with an account's name, then run "
			    "vnewaliases%s", box_path(b, BOX_ALIASES), line, names[i], names[i],
			    vusers_count(w.users) == 0 ? " (the first vpost adduser does it)" : ""));
		} else {
			tell(arg, arena_fmt(a, "%s:%u: mail to %s reaches nobody: \"" SV_FMT "\" leads to no account; name one, then run "
			    "vnewaliases", box_path(b, BOX_ALIASES), line, names[i], SV_ARG(sv_sub(value, 0, 200))));
		}
	}
	free_world(&w);
	arena_free(&a);
}

/* ---- the first account ---- */

static void
own(const struct box *b, const char *path)
{
	struct os_user u;

	if (os_is_root() && os_user_by_name(b->user, &u, NULL) == 1)
		(void)!lchown(path, u.uid, u.gid);
}

static int
run_vnewaliases(const struct box *b, struct err *err)
{
	char path[PATH_MAX];
	const char *const argv[] = { path, "-d", b->root, NULL };
	struct os_spawn s = { .argv = argv, .in = -1, .out = -1, .errfd = -1 };
	int status = 0;
	pid_t pid;

	(void)fflush(stdout);
	if (find_tool("vnewaliases", path, sizeof(path), err) == -1 || (pid = os_spawn(&s, err)) == -1)
		return (-1);
	if (os_wait(pid, &status, -1) != 1)
		return (err_sys(err, "vnewaliases"));
	/* Other lines may be wrong, which vpost check tells; the map is made of the good ones. */
	if (status != 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == EX_DATAERR))
		return (err_set(err, ERR_TEMP, NULL, "vnewaliases did not make %s.db", BOX_ALIASES));
	own(b, box_path(b, BOX_ALIASES ".db"));
	return (0);
}

static int
append(const struct box *b, const struct world *w, const char *name, struct err *err)
{
	const char *path = box_path(b, BOX_ALIASES);
	struct sb text = SB_INIT(FILE_MAX);
	int rc;

	sb_add(&text, sb_sv(&w->aliases));
	if (text.len > 0 && text.p[text.len - 1] != '\n')
		sb_addc(&text, '\n');
	sb_addf(&text, "postmaster:\t%s\n", name);
	rc = text.overflow ? err_set(err, ERR_PERM, NULL, "%s is too large", path) :
	    os_write_atomic(path, sb_sv(&text), 0644, err);
	sb_free(&text);
	if (rc == 0)
		own(b, path);
	return (rc);
}

int
postmaster_ensure(const struct box *b, const char *name, struct err *err)
{
	struct arena *a = arena_new(0);
	struct world w;
	struct sv value;
	unsigned line;
	int rc = 0;

	read_world(&w, b);
	if (name == NULL && w.users != NULL && vusers_count(w.users) > 0)
		name = arena_cstr(a, vusers_at(w.users, 0)->name);
	if (name == NULL || has_account(&w, SV_LIT("postmaster")) || find_alias(&w, SV_LIT("postmaster"), a, &line, &value))
		goto out;
	if (append(b, &w, name, err) == -1 || run_vnewaliases(b, err) == -1) {
		rc = -1;
		goto out;
	}
	printf("mail to postmaster goes to %s from now on; etc/aliases says so, and may say otherwise\n", name);
out:
	free_world(&w);
	arena_free(&a);
	return (rc);
}
