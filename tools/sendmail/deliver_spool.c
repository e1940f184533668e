/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The spool of the one process: ID-H (envelope and header), ID-D (body) and, while it is delivered, ID-J (what is done) below input/,
 * in the form that Exim's tools read.  A message is there when its -H file is; both are synced before that.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deliver.h"
#include "os/file.h"
#include "os/priv.h"

#define FILE_MAX	((size_t)512 * 1024 * 1024)

struct dmsg *
dmsg_new(void)
{
	struct arena *a = arena_new(0);
	struct dmsg *m = arena_zalloc(a, sizeof(*m));

	m->arena = a;
	m->journal = -1;
	return (m);
}

void
dmsg_free(struct dmsg **mp)
{
	struct dmsg *m = *mp;
	struct arena *a;

	if (m == NULL)
		return;
	if (m->content != NULL)
		(void)fclose(m->content);
	if (m->journal != -1)
		(void)close(m->journal);
	vec_free(&m->rcpts);
	vec_free(&m->done);
	vec_free(&m->fields);
	vec_free(&m->vars);
	vec_free(&m->others);
	a = m->arena;
	arena_free(&a);
	*mp = NULL;
}

bool
dmsg_same(struct sv a, struct sv b)
{
	ptrdiff_t x = sv_rchr(a, '@'), y = sv_rchr(b, '@');

	return (x < 0 ? sv_eq(a, b) : x == y && sv_caseeq(a, b) && sv_eq(sv_sub(a, 0, (size_t)x), sv_sub(b, 0, (size_t)y)));
}

bool
dmsg_is_done(const struct dmsg *m, struct sv addr)
{
	for (size_t i = 0; i < m->done.len; i++)
		if (dmsg_same(m->done.p[i], addr))
			return (true);
	return (false);
}

void
dmsg_set_done(struct dmsg *m, struct sv addr)
{
	if (!dmsg_is_done(m, addr))
		vec_push(&m->done, arena_sv(m->arena, addr));
}

/* ---- writing ---- */

static void
put_rcpts(const struct dmsg *m, struct sb *out)
{
	sb_addf(out, "%zu\n", m->rcpts.len);
	for (size_t i = 0; i < m->rcpts.len; i++) {
		const struct drcpt *r = &m->rcpts.p[i];

		sb_add(out, r->addr);
		if (r->orcpt.len > 0 || r->notify != 0 || r->parent >= 0 || r->errors_to.len > 0)
			sb_addf(out, " " SV_FMT " %zu,%u " SV_FMT " %zu,%d#3", SV_ARG(r->orcpt), r->orcpt.len, r->notify,
			    SV_ARG(r->errors_to), r->errors_to.len, r->parent);
		sb_addc(out, '\n');
	}
}

static void
put_text(struct sb *out, const char *name, struct sv value)
{
	if (value.len > 0)
		sb_addf(out, "%s " SV_FMT "\n", name, SV_ARG(value));
}

void
dspool_header_text(const struct dmsg *m, struct sb *out)
{
	int64_t complete = m->complete_us != 0 ? m->complete_us : m->received_us;

	sb_addf(out, "%s-H\n" SV_FMT " %lld %lld\n<" SV_FMT ">\n%lld %d\n", m->id, SV_ARG(m->login), (long long)m->uid,
	    (long long)m->gid, SV_ARG(m->sender), (long long)(m->received_us / 1000000), m->warnings);
	sb_addf(out, "-received_time_usec .%06lld\n-received_time_complete %lld.%06lld\n", (long long)(m->received_us % 1000000),
	    (long long)(complete / 1000000), (long long)(complete % 1000000));
	if (m->helo.len > 0)
		sb_addf(out, "--helo_name " SV_FMT "\n", SV_ARG(m->helo));
	if (m->host_addr.len > 0)
		sb_addf(out, "--host_address [" SV_FMT "]:%lld\n", SV_ARG(m->host_addr), (long long)m->host_port);
	if (m->ident.len > 0)
		sb_addf(out, "-ident " SV_FMT "\n", SV_ARG(m->ident));
	if (m->protocol.len > 0)
		sb_addf(out, "-received_protocol " SV_FMT "\n", SV_ARG(m->protocol));
	put_text(out, "--host_name", m->host_name);
	if (m->interface.len > 0)
		sb_addf(out, "-interface_address [" SV_FMT "]:%lld\n", SV_ARG(m->interface), (long long)m->interface_port);
	put_text(out, "--host_auth", m->host_auth);
	put_text(out, "-dsn_envid", m->envid);
	if (m->ret_set)
		sb_addf(out, "-dsn_ret %d\n", m->ret_hdrs ? 2 : 1);
	for (size_t i = 0; i < m->vars.len; i++)
		sb_addf(out, "-acl%c " SV_FMT " %zu\n" SV_FMT "\n", m->vars.p[i].name.p[0],
		    SV_ARG(sv_sub(m->vars.p[i].name, 1, m->vars.p[i].name.len)), m->vars.p[i].value.len, SV_ARG(m->vars.p[i].value));
	if (m->body_zeros > 0)
		sb_addf(out, "-body_zerocount %lld\n", (long long)m->body_zeros);
	sb_addf(out, "-body_linecount %lld\n-max_received_linelength %lld\n", (long long)m->body_lines, (long long)m->max_line);
	put_text(out, m->local && sv_eq(m->auth_id, m->login) ? "-auth_id" : "--auth_id", m->auth_id);
	put_text(out, m->local && sv_eq(m->auth_id, m->login) ? "-auth_sender" : "--auth_sender", m->auth_sender);
	if (m->host_addr.len == 0)
		sb_adds(out, "-allow_unqualified_recipient\n-allow_unqualified_sender\n");
	if (!m->tried)
		sb_adds(out, "-deliver_firsttime\n");
	if (m->frozen)
		sb_addf(out, "-frozen %lld\n", (long long)m->frozen_at);
	if (m->no_deliver)
		sb_adds(out, "-N\n");
	if (m->local)
		sb_adds(out, "-local\n");
	if (m->manual_thaw)
		sb_adds(out, "-manual_thaw\n");
	if (m->untrusted_sender)
		sb_adds(out, "-sender_set_untrusted\n");
	if (m->bounce)
		sb_adds(out, "-localerror\n");
	if (m->smtputf8)
		sb_adds(out, "-smtputf8\n");
	if (m->downconvert != 0)
		sb_adds(out, m->downconvert > 0 ? "-utf8_downcvt\n" : "-utf8_optdowncvt\n");
	for (size_t i = 0; i < m->others.len; i++)
		sb_addf(out, SV_FMT "\n", SV_ARG(m->others.p[i]));
	sb_adds(out, "-tls_resumption A\n");
	dspool_put_done(m, out);
	put_rcpts(m, out);
	sb_addc(out, '\n');
	for (size_t i = 0; i < m->fields.len; i++)
		sb_addf(out, "%03zu%c " SV_FMT, m->fields.p[i].text.len, m->fields.p[i].type, SV_ARG(m->fields.p[i].text));
}

static const char *
dir_of(const struct deliver *d, struct arena *a, struct sv queue)
{
	return (arena_fmt(a, SV_FMT "%s" SV_FMT "/input", SV_ARG(d->spool), queue.len > 0 ? "/" : "", SV_ARG(queue)));
}

/*
 * split_spool_directory: the sixth character of the id names a folder below.  A message that is there already stays
 * where it is, however the option is set now.
 */
const char *
dspool_sub(const struct deliver *d, struct arena *a, struct sv queue, const char *id)
{
	const char *dir = dir_of(d, a, queue), *sub = arena_fmt(a, "/%c", id[5]);

	if (access(arena_fmt(a, "%s/%s-H", dir, id), F_OK) == 0)
		return ("");
	if (exim_main_bool(d->conf, EXIM_MAIN_split_spool_directory) || access(arena_fmt(a, "%s%s/%s-H", dir, sub, id), F_OK) == 0)
		return (sub);
	return ("");
}

static const char *
path_of(const struct deliver *d, struct arena *a, struct sv queue, const char *id, char kind)
{
	return (arena_fmt(a, "%s%s/%s-%c", dir_of(d, a, queue), dspool_sub(d, a, queue, id), id, kind));
}

static void
give(const struct deliver *d, const char *path)
{
	(void)!lchown(path, (uid_t)d->conf->g.exim_uid, (gid_t)d->conf->g.exim_gid);
}

/* Is what there is of the way to <path> root's alone, so that nobody can have put a link there? */
static bool
is_roots(const char *path)
{
	char *dir = xstrdup(path), *slash;
	struct stat st;
	bool yes = false;

	while ((slash = strrchr(dir, '/')) != NULL && slash != dir) {
		*slash = '\0';
		if (lstat(dir, &st) == -1)
			continue;
		yes = S_ISDIR(st.st_mode) && st.st_uid == 0 && (st.st_mode & 022) == 0;
		break;
	}
	free(dir);
	return (yes);
}

int
dspool_mkdir(const struct deliver *d, const char *path, struct err *err)
{
	int rc;

	dspool_act(d);
	rc = os_mkdir_p(path, 0750, err);
	os_act_back();
	if (rc == 0 || !os_is_root() || !is_roots(path))
		return (rc);
	err_clear(err);
	if ((rc = os_mkdir_p(path, 0750, err)) == 0)
		give(d, path);
	return (rc);
}

void
dspool_act(const struct deliver *d)
{
	static const struct exim_conf *owned;

	if (os_is_root() && d->conf->g.exim_uid != 0 && owned != d->conf) {
		const char *path = arena_cstr(d->t->facts, d->spool);
		struct stat st;

		/* One that is missing, or that root made as we make them. */
		if (lstat(path, &st) == -1 ? os_mkdir_p(path, 0750, NULL) == 0 : st.st_uid == 0 && st.st_mode == (S_IFDIR | 0750))
			give(d, path);
		owned = d->conf;
	}
	(void)os_act_as((uid_t)d->conf->g.exim_uid, (gid_t)d->conf->g.exim_gid, NULL);
}

static int
put_file(const char *path, const struct sb *text, struct err *err)
{
	if (text->overflow)
		return (err_set(err, ERR_TEMP, "4.3.4", "%s would have more than %zu bytes", path, text->max));
	return (os_write_atomic(path, sb_sv(text), 0640, err));
}

static void
remove_files(struct deliver *d, const struct dmsg *m)
{
	/* All names first: the place is known by the header's file. */
	const char *header = path_of(d, m->arena, m->queue, m->id, 'H'), *data = path_of(d, m->arena, m->queue, m->id, 'D');
	const char *journal = path_of(d, m->arena, m->queue, m->id, 'J');

	dspool_act(d);
	(void)unlink(header);
	(void)unlink(journal);
	(void)unlink(data);
	os_act_back();
}

int
dspool_write(struct deliver *d, struct dmsg *m, bool body, struct err *err)
{
	const char *dir = arena_fmt(m->arena, "%s%s", dir_of(d, m->arena, m->queue), dspool_sub(d, m->arena, m->queue, m->id));
	struct sb out = SB_INIT(FILE_MAX);
	struct stat st;
	int rc = 0;

	m->no_deliver = m->no_deliver || (body && d->t->o->no_deliver);
	if (stat(dir, &st) == -1 && (rc = dspool_mkdir(d, dir, err)) == -1)
		(void)err_set(err, ERR_TEMP, NULL, "Failed to create directory \"%s\": %s", dir, strerror(errno));
	dspool_act(d);
	if (rc == 0 && body) {
		sb_addf(&out, "%s-D\n", m->id);
		sb_add(&out, m->body);
		rc = put_file(path_of(d, m->arena, m->queue, m->id, 'D'), &out, err);
		sb_clear(&out);
	}
	if (rc == 0) {
		dspool_header_text(m, &out);
		rc = put_file(path_of(d, m->arena, m->queue, m->id, 'H'), &out, err);
	}
	/* The header has it all. */
	if (rc == 0)
		(void)unlink(path_of(d, m->arena, m->queue, m->id, 'J'));
	sb_free(&out);
	os_act_back();
	/* What is not there as a whole takes no room. */
	if (rc == -1 && body)
		remove_files(d, m);
	return (rc);
}

int
dspool_journal_open(struct deliver *d, struct dmsg *m, struct err *err)
{
	const char *path;

	if (m->journal != -1)
		return (0);
	path = path_of(d, m->arena, m->queue, m->id, 'J');
	dspool_act(d);
	m->journal = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (m->journal == -1)
		(void)err_sys(err, "Couldn't open journal file %s", path);
	os_act_back();
	return (m->journal == -1 ? -1 : 0);
}

void
dspool_journal(struct deliver *d, struct dmsg *m, struct sv key)
{
	struct sb line = SB_INIT(64 * 1024);

	if (m->journal == -1)
		return;
	sb_addf(&line, SV_FMT "\n", SV_ARG(key));
	if (line.overflow || os_write_full(m->journal, line.p, line.len) == -1 || fdatasync(m->journal) == -1)
		dlog(d, DLOG_MAIN | DLOG_PANIC, "%s Failed to update journal for " SV_FMT ": %s", m->id, SV_ARG(key), strerror(errno));
	sb_free(&line);
}

void
dspool_remove(struct deliver *d, const struct dmsg *m)
{
	dmsglog_remove(d, m);
	remove_files(d, m);
}

/* Where a message lies: below <top> in <mark>input<sub>, its own log in <mark>msglog<sub>. */
struct place {
	const char	*top, *mark, *sub;
};

static struct place
place_of(const struct deliver *d, const struct dmsg *m, struct sv queue, const char *mark)
{
	return ((struct place){ arena_fmt(m->arena, SV_FMT "%s" SV_FMT, SV_ARG(d->spool), queue.len > 0 ? "/" : "", SV_ARG(queue)),
	    mark, dspool_sub(d, m->arena, queue, m->id) });
}

/*
 * Whoever is stopped on the way leaves a message that is whole on the side of its header: the body is there before, and goes
 * here afterwards.  It stays one file, so that who holds its lock goes on doing so.
 */
static int
move_files(struct deliver *d, const struct dmsg *m, const struct place *from, const struct place *to, struct err *err)
{
	static const struct { const char *dir, *end; } parts[] = { { "input", "-D" }, { "msglog", "" }, { "input", "-H" } };
	const char *new = NULL;
	int rc, e;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		const char *old = arena_fmt(m->arena, "%s/%s%s%s/%s%s", from->top, from->mark, parts[i].dir, from->sub, m->id, parts[i].end);
		const char *dir = arena_fmt(m->arena, "%s/%s%s%s", to->top, to->mark, parts[i].dir, to->sub);

		new = arena_fmt(m->arena, "%s/%s%s", dir, m->id, parts[i].end);
		if (access(dir, F_OK) == -1)
			(void)dspool_mkdir(d, dir, NULL);
		dspool_act(d);
		if (i == 0)
			(void)unlink(new);
		rc = i == 0 ? link(old, new) : rename(old, new);
		e = errno;
		os_act_back();
		if (rc == -1 && (e != ENOENT || parts[i].end[0] != '\0'))
			return (err_set(err, ERR_TEMP, "4.3.0", "%s cannot be moved to %s: %s", m->id, dir, strerror(e)));
	}
	dspool_act(d);
	(void)os_fsync_parent(new, NULL);
	(void)unlink(arena_fmt(m->arena, "%s/%sinput%s/%s-D", from->top, from->mark, from->sub, m->id));
	os_act_back();
	return (0);
}

int
dspool_move(struct deliver *d, struct dmsg *m, struct sv to, struct err *err)
{
	struct place old = place_of(d, m, m->queue, ""), new = place_of(d, m, to, "");

	if (sv_eq(m->queue, to))
		return (0);
	/* What a journal says goes along in the header. */
	if (dspool_write(d, m, false, err) == -1 || move_files(d, m, &old, &new, err) == -1)
		return (-1);
	m->queue = to;
	return (0);
}

void
dspool_set_aside(struct deliver *d, const struct dmsg *m)
{
	struct place from = place_of(d, m, m->queue, ""), to = from;
	struct err err = ERR_INIT;

	to.mark = "F";
	if (move_files(d, m, &from, &to, &err) == -1)
		dlog(d, DLOG_MAIN | DLOG_PANIC, "%s", err.text);
	else
		dlog(d, DLOG_MAIN, "%s moved from input, msglog to Finput, Fmsglog", m->id);
}

/* ---- one process at a time ---- */

int
dspool_lock(struct deliver *d, const char *id)
{
	struct arena *a = arena_new(0);
	struct stat st;
	int fd = -1, e = ENOENT;

	if (spool_id_valid(sv_cstr(id))) {
		dspool_act(d);
		fd = open(path_of(d, a, d->queue, id, 'D'), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		e = errno;
		os_act_back();
	}
	arena_free(&a);
	/* The first line of the body's file, as Exim has it: its locks and ours see each other. */
	if (fd != -1 && os_lock_head(fd, SPOOL_ID_LEN + 3) == -1)
		e = errno;
	else if (fd != -1 && (fstat(fd, &st) == -1 || st.st_nlink == 0))
		e = ENOENT;	/* it went while we asked */
	else if (fd != -1)
		return (fd);
	if (fd != -1)
		(void)close(fd);
	errno = e;
	return (-1);
}

void
dspool_tell_held(struct deliver *d, const char *id)
{
	if (errno != EAGAIN)
		dlog(d, DLOG_MAIN, "%s Couldn't open spool file %s-D: %s", id, id, strerror(errno));
	else if (dlog_on(d, EXIM_LOGSEL_skip_delivery))
		dlog(d, DLOG_MAIN, "%s Spool file for %s is locked (another process is handling this message)", id, id);
}

/* ---- reading ---- */

/* Of an attempt that did not come to its end: its last line may be a part of one. */
static int
read_journal(struct dmsg *m, const char *path, struct err *err)
{
	struct sb text = SB_INIT(FILE_MAX);
	struct sv rest;
	ptrdiff_t nl;
	int rc = 0;

	if (access(path, F_OK) == 0 && (rc = os_read_file(path, FILE_MAX, &text, err)) == 0)
		for (rest = sb_sv(&text); (nl = sv_chr(rest, '\n')) >= 0; rest = sv_sub(rest, (size_t)nl + 1, rest.len))
			if (nl > 0)
				dmsg_set_done(m, sv_sub(rest, 0, (size_t)nl));
	sb_free(&text);
	return (rc);
}

int
dspool_read(struct deliver *d, const char *id, struct dmsg **mp, struct err *err)
{
	struct dmsg *m = dmsg_new();
	struct sb text = SB_INIT(FILE_MAX);
	struct sv body;
	int rc;

	*mp = NULL;
	if (!spool_id_valid(sv_cstr(id))) {
		dmsg_free(&m);
		return (err_set(err, ERR_PERM, NULL, "malformed message id %s", id));
	}
	memcpy(m->id, id, SPOOL_ID_LEN + 1);
	m->queue = arena_sv(m->arena, d->queue);
	dspool_act(d);
	rc = os_read_file(path_of(d, m->arena, d->queue, id, 'H'), FILE_MAX, &text, err);
	if (rc == 0)
		rc = dspool_parse(m, arena_sv(m->arena, sb_sv(&text)), err);
	sb_clear(&text);
	if (rc == 0 && (rc = os_read_file(path_of(d, m->arena, d->queue, id, 'D'), FILE_MAX, &text, err)) == 0) {
		body = arena_sv(m->arena, sb_sv(&text));
		m->body = sv_sub(body, SPOOL_ID_LEN + 3, body.len);
	}
	if (rc == 0)
		rc = read_journal(m, path_of(d, m->arena, d->queue, id, 'J'), err);
	os_act_back();
	sb_free(&text);
	if (rc == -1)
		dmsg_free(&m);
	*mp = m;
	return (rc);
}

static int
by_name(const void *a, const void *b)
{
	return (strcmp(*(char *const *)a, *(char *const *)b));
}

struct found_ids {
	VEC(char *) v;
};

static void
list_folder(const char *path, struct found_ids *ids, struct arena *a)
{
	DIR *dir = opendir(path);
	struct dirent *de;

	while (dir != NULL && (de = readdir(dir)) != NULL) {
		size_t n = strlen(de->d_name);

		if (n == SPOOL_ID_LEN + 2 && strcmp(de->d_name + n - 2, "-H") == 0)
			vec_push(&ids->v, xstrndup(de->d_name, n - 2));
		else if (n == 1 && sv_isalnum(de->d_name[0]) && path[strlen(path) - 2] != '/')
			list_folder(arena_fmt(a, "%s/%s", path, de->d_name), ids, a);
	}
	if (dir != NULL)
		(void)closedir(dir);
}

void
dspool_ids(struct deliver *d, void (*fn)(void *arg, const char *id), void *arg)
{
	struct found_ids ids = { VEC_INIT };
	struct arena *a = arena_new(0);

	dspool_act(d);
	list_folder(dir_of(d, a, d->queue), &ids, a);
	os_act_back();
	if (ids.v.len > 1)
		qsort(ids.v.p, ids.v.len, sizeof(char *), by_name);
	for (size_t i = 0; i < ids.v.len; i++) {
		fn(arg, ids.v.p[i]);
		free(ids.v.p[i]);
	}
	vec_free(&ids.v);
	arena_free(&a);
}

/* ---- what cannot be read ---- */

/* "1w2d". */
static void
put_span(struct sb *out, int64_t t)
{
	static const struct { char unit; int64_t seconds; } u[] = { { 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 },
	    { 'm', 60 }, { 's', 1 } };

	for (size_t i = 0; i < sizeof(u) / sizeof(u[0]); i++) {
		if (t >= u[i].seconds)
			sb_addf(out, "%lld%c", (long long)(t / u[i].seconds), u[i].unit);
		t %= u[i].seconds;
	}
	if (out->len == 0)
		sb_adds(out, "0s");
}

void
dspool_print_malformed(struct deliver *d, const char *id)
{
	int64_t age = (dnow() - spool_id_time(sv_cstr(id))) / 60;
	struct arena *a = arena_new(0);
	struct stat st;

	if (stat(path_of(d, a, d->queue, id, 'H'), &st) == 0)
		printf("%2lld%c       %s *** spool format error: size=%lld ***\n\n", (long long)(age > 90 ? (age + 30) / 60 : age),
		    age > 90 ? 'h' : 'm', id, (long long)st.st_size);
	arena_free(&a);
}

void
dspool_malformed(struct deliver *d, const char *id)
{
	int64_t most = exim_main_int(d->conf, EXIM_MAIN_keep_malformed), age = dnow() - spool_id_time(sv_cstr(id));
	struct dmsg *m = dmsg_new();
	const char *path = path_of(d, m->arena, d->queue, id, 'H');
	struct sb span = SB_INIT(64);
	struct stat st;

	memcpy(m->id, id, SPOOL_ID_LEN + 1);
	m->queue = arena_sv(m->arena, d->queue);
	if (stat(path, &st) == 0)
		dlog(d, DLOG_MAIN, "%s Format error in spool file %s-H: size=%lld", id, id, (long long)st.st_size);
	else
		dlog(d, DLOG_MAIN, "%s Format error in spool file %s-H", id, id);
	/* A message of which nobody can make anything is not kept for ever. */
	if (age > most) {
		dspool_remove(d, m);
		put_span(&span, most);
		dlog(d, DLOG_MAIN, "%s Message removed because older than %s", id, sb_cstr(&span));
	}
	sb_free(&span);
	dmsg_free(&m);
}
