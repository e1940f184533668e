/* SPDX-License-Identifier: BSD-2-Clause */
/* appendfile at work: a job's fields for lib/mbox, and its answers in Exim's words. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <sys/socket.h>
#include <sys/stat.h>

#include <netinet/in.h>

#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "mbox/maildir.h"
#include "mbox/mbox.h"
#include "transport/transport_int.h"

#define COMSAT_PORT	512

/* ---- regexes of the quota ---- */

struct patterns {
	pcre2_code	*size, *folders;
};

static pcre2_code *
compile(struct sv text)
{
	PCRE2_SIZE at;
	int e;

	if (text.len == 0)
		return (NULL);
	return (pcre2_compile((PCRE2_SPTR)text.p, text.len, 0, &e, &at, NULL));
}

static bool
matches(const pcre2_code *re, const char *text, int64_t *number)
{
	pcre2_match_data *md = pcre2_match_data_create_from_pattern(re, NULL);
	int rc = pcre2_match(re, (PCRE2_SPTR)text, strlen(text), 0, 0, md, NULL);
	const PCRE2_SIZE *ov = pcre2_get_ovector_pointer(md);

	if (number != NULL && (rc < 2 || ov[2] == PCRE2_UNSET || ov[3] < ov[2] ||
	    !num_parse(sv_from(text + ov[2], ov[3] - ov[2]), 0, INT64_MAX / 4, number)))
		rc = -1;
	pcre2_match_data_free(md);
	return (rc > 0);
}

static bool
folder_counts(void *arg, const char *folder)
{
	const struct patterns *p = arg;

	return (p->folders == NULL || matches(p->folders, folder, NULL));
}

static int64_t
name_size(void *arg, const char *name)
{
	const struct patterns *p = arg;
	int64_t n;

	return (p->size != NULL && matches(p->size, name, &n) ? n : -1);
}

/* ---- names ---- */

/* "%i" the inode, "%%" a percent. */
static int
file_name(void *arg, uint64_t inode, char *buf, size_t size, struct err *err)
{
	const struct transport_job *j = arg;
	struct sb out = SB_INIT(size - 1);

	for (size_t i = 0; i < j->file_name.len; i++) {
		char c = j->file_name.p[i];

		if (c == '%' && i + 1 < j->file_name.len) {
			if (j->file_name.p[++i] == 'i')
				sb_addf(&out, "%llu", (unsigned long long)inode);
			else
				sb_addc(&out, '%');
		} else
			sb_addc(&out, c);
	}
	(void)snprintf(buf, size, "%s", sb_cstr(&out));
	if (out.overflow) {
		sb_free(&out);
		return (err_set(err, ERR_PERM, "5.3.0", "the file's name is too long"));
	}
	sb_free(&out);
	return (0);
}

static int
store_name(void *arg, uint64_t inode, char *buf, size_t size, struct err *err)
{
	const struct transport_job *j = arg;

	(void)inode;
	(void)err;
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	unsigned long n = (unsigned long)getpid();
	char pid[7] = "";

	for (int i = 5; i >= 0; i--, n /= 62)
		pid[i] = digits[n % 62];
	(void)snprintf(buf, size, SV_FMT "-%s", SV_ARG(j->id), pid);
	return (0);
}

/* ---- answers ---- */

static int64_t
exim_number(const struct mbox_result *m)
{
	switch (m->why) {
	case MBOX_WHY_KIND:
		return (m->sys == ELOOP || m->sys == EMLINK || m->sys == EINVAL || m->sys == EISDIR || m->sys == ENXIO ?
		    TRANSPORT_E_NOTREGULAR : m->sys);
	case MBOX_WHY_OWNER:
		return (TRANSPORT_E_BADUGID);
	case MBOX_WHY_MODE:
		return (TRANSPORT_E_BADMODE);
	case MBOX_WHY_CHANGED:
	case MBOX_WHY_RACE:
		return (TRANSPORT_E_CHANGED);
	case MBOX_WHY_LOCKED:
		return (TRANSPORT_E_LOCK);
	case MBOX_WHY_QUOTA:
		return (m->sys == 0 ? TRANSPORT_E_QUOTA : m->sys);
	default:
		return (m->sys);
	}
}

static void
take_failure(struct exec *x, const struct mbox_result *m, const struct err *err)
{
	struct transport_result *r = x->r;
	size_t n = strlen(err->text);
	char tail[256];

	/* The reason behind the errno stands in front in Exim's logs, and is added there. */
	(void)snprintf(tail, sizeof(tail), ": %s", strerror(m->sys));
	if (m->why == MBOX_WHY_ERRNO && n > strlen(tail) && strcmp(err->text + n - strlen(tail), tail) == 0)
		n -= strlen(tail);
	exec_fail(x, TRANSPORT_DEFER, exim_number(m), "%.*s", (int)n, err->text);
	r->freeze = m->why == MBOX_WHY_CHANGED || m->why == MBOX_WHY_RACE;
	r->quota = m->quota;
	r->last_read = m->last_read;
	if (m->quota)
		r->user_text = SV_LIT("mailbox is full");
	/* What was written although something failed behind it: a second copy is better than none. */
}

/* The box crossed the threshold with this message. */
static void
check_warning(struct exec *x, const struct mbox_result *m)
{
	int64_t at = x->j->warn_at;

	x->r->warn = at > 0 && m->box_before >= 0 && m->box_before <= at && m->box_before + (int64_t)m->size > at;
}

static void
tell_comsat(const struct transport_job *j, const char *path, uint64_t offset)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(COMSAT_PORT) };
	struct sb text = SB_INIT(8192);
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sb_addf(&text, SV_FMT "@%llu:%s\n", SV_ARG(j->local_part), (unsigned long long)offset, path);
	if (s != -1) {
		(void)sendto(s, text.p, text.len, 0, (struct sockaddr *)&to, sizeof(to));
		(void)close(s);
	}
	sb_free(&text);
}

/* ---- the four ways ---- */

/* file_format: does the file's beginning name another transport?  True: answered. */
static bool
other_format(struct exec *x, const char *path)
{
	const struct transport_list *l = &x->j->formats;
	char head[256];
	ssize_t n = l->n == 0 ? 0 : mbox_peek(path, head, sizeof(head));

	if (n <= 0)
		return (false);
	for (size_t i = 0; i + 1 < l->n; i += 2) {
		if (!sv_starts(sv_from(head, (size_t)n), arena_cstr(x->a, l->v[i])))
			continue;
		if (sv_eq(l->v[i + 1], x->j->transport))
			return (false);
		/* Whoever has that transport hands it over; this is for who has not. */
		exec_fail(x, TRANSPORT_DEFER, TRANSPORT_E_TRANSPORT, "%s transport (for " SV_FMT " format) not found",
		    arena_cstr(x->a, l->v[i + 1]), SV_ARG(l->v[i]));
		x->r->switch_to = l->v[i + 1];
		return (true);
	}
	exec_fail(x, TRANSPORT_DEFER, TRANSPORT_E_FORMAT, "mailbox file format unrecognized");
	return (true);
}

static int
to_file(struct exec *x, const char *path, struct mbox_result *m, struct err *err)
{
	const struct transport_job *j = x->j;
	struct mbox_file f = MBOX_FILE_INIT;

	f.path = path;
	f.flags = (unsigned)j->box_flags;
	f.mode = (mode_t)j->mode;
	f.dir_mode = (mode_t)j->dir_mode;
	f.owner = geteuid();
	f.group = getegid();
	f.lock_retries = (int)j->lock_retries;
	f.lock_interval_s = (int)j->lock_interval;
	f.fcntl_timeout_s = (int)j->fcntl_timeout;
	f.flock_timeout_s = (int)j->flock_timeout;
	f.dotlock_stale_s = (int)j->lockfile_timeout;
	f.dotlock_mode = (mode_t)j->lockfile_mode;
	f.quota = j->quota_no_check ? 0 : j->quota;
	f.quota_exclusive = j->quota_exclusive != 0;
	f.size_known = j->size_known;
	f.counts_as = j->message_size;
	return (mbox_append(&f, &x->c, &x->f, m, err));
}

static struct mbox_dir
dir_of(const struct exec *x, const char *path, struct patterns *re)
{
	const struct transport_job *j = x->j;
	struct mbox_dir d = MBOX_DIR_INIT;

	d.path = path;
	d.flags = (unsigned)j->dir_flags;
	d.mode = (mode_t)j->mode;
	d.dir_mode = (mode_t)j->dir_mode;
	d.host = j->hostname.len > 0 ? arena_cstr(x->a, j->hostname) : NULL;
	d.tag = arena_cstr(x->a, j->tag);
	d.retries = (int)j->retries;
	d.quota = j->quota_no_check ? 0 : j->quota;
	d.quota_count = j->quota_no_check ? 0 : j->quota_count;
	d.quota_exclusive = j->quota_exclusive != 0;
	d.quota_path = j->quota_directory.len > 0 ? arena_cstr(x->a, j->quota_directory) : NULL;
	d.size_known = j->size_known;
	d.counts_as = j->message_size;
	d.count_known = j->count_known;
	re->size = compile(j->quota_regex);
	re->folders = compile(j->quota_folders);
	d.counts = folder_counts;
	d.name_size = name_size;
	d.arg = re;
	/* The threshold is looked at even where there is no limit. */
	if (d.quota == 0 && j->warn_at > 0)
		d.quota = INT64_MAX / 8;
	return (d);
}

static int
to_mailstore(struct exec *x, const struct mbox_dir *d, struct mbox_result *m, struct err *err)
{
	const struct transport_job *j = x->j;
	struct sb env = SB_INIT(16 * 1024 * 1024);
	int rc;

	sb_add(&env, j->store_prefix);
	if (j->store_prefix.len > 0 && !sv_ends(j->store_prefix, "\n"))
		sb_addc(&env, '\n');
	sb_add(&env, j->sender);
	sb_addc(&env, '\n');
	for (size_t i = 0; i < j->rcpts.n; i++) {
		sb_add(&env, j->rcpts.v[i]);
		sb_addc(&env, '\n');
	}
	sb_add(&env, j->store_suffix);
	if (j->store_suffix.len > 0 && !sv_ends(j->store_suffix, "\n"))
		sb_addc(&env, '\n');
	rc = mbox_mailstore(d, store_name, (void *)(uintptr_t)j, sb_sv(&env), &x->c, &x->f, m, err);
	sb_free(&env);
	return (rc);
}

static bool
folder_of_maildir(const struct transport_job *j, const char *path)
{
	pcre2_code *re = compile(j->folder_regex);
	bool yes = re != NULL && matches(re, path, NULL);

	pcre2_code_free(re);
	return (yes);
}

static int
to_folder(struct exec *x, const char *path, struct mbox_result *m, struct err *err)
{
	struct patterns re = { NULL, NULL };
	struct mbox_dir d = dir_of(x, path, &re);
	int rc;

	switch (x->j->to_file) {
	case TRANSPORT_TO_MAILDIR:
		if (folder_of_maildir(x->j, path))
			d.flags |= MBOX_DIR_FOLDER;
		rc = mbox_maildir(&d, &x->c, &x->f, m, err);
		break;
	case TRANSPORT_TO_MAILSTORE:
		rc = to_mailstore(x, &d, m, err);
		break;
	default:
		rc = mbox_dirfile(&d, file_name, (void *)(uintptr_t)x->j, &x->c, &x->f, m, err);
		break;
	}
	pcre2_code_free(re.size);
	pcre2_code_free(re.folders);
	return (rc);
}

/* What is not there yet has room, and what cannot be looked at is found out by a delivery. */
static void
only_quota(struct exec *x, const char *path)
{
	const struct transport_job *j = x->j;
	struct patterns re = { NULL, NULL };
	struct mbox_dir d;
	int64_t have = j->size_known;
	struct stat st;

	if (j->quota_no_check)
		return;
	if (j->to_file == TRANSPORT_TO_FILE) {
		if (have < 0)
			have = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
		x->r->quota = j->quota > 0 && have + (j->quota_exclusive ? 0 : j->message_size) > j->quota;
		return;
	}
	d = dir_of(x, path, &re);
	if (j->to_file == TRANSPORT_TO_MAILDIR && folder_of_maildir(j, path))
		d.flags |= MBOX_DIR_FOLDER;
	x->r->quota = mbox_dir_full(&d);
	pcre2_code_free(re.size);
	pcre2_code_free(re.folders);
}

void
exec_appendfile(struct exec *x)
{
	const char *path = arena_cstr(x->a, x->j->path);
	struct mbox_result m = MBOX_RESULT_INIT;
	struct err err = ERR_INIT;
	int rc;

	if (x->j->quota_only) {
		only_quota(x, path);
		return;
	}

	/* Without a header every line is the body's. */
	if (x->j->header.len == 0 && x->j->filter.n == 0)
		x->f.check_header = true;
	if (x->j->to_file == TRANSPORT_TO_FILE) {
		if (other_format(x, path))
			return;
		rc = to_file(x, path, &m, &err);
	} else
		rc = to_folder(x, path, &m, &err);
	if (rc == -1) {
		take_failure(x, &m, &err);
		return;
	}
	check_warning(x, &m);
	if (x->j->comsat)
		tell_comsat(x->j, path, m.box_before > 0 ? (uint64_t)m.box_before : 0);
}
