/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of appendfile (chapter 26 of Exim's manual). */
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "mbox/maildir.h"
#include "mbox/mbox.h"
#include "transport/transport_int.h"

#define OWN(name)	(&p->d->t->d.own[EXIM_APPENDFILE_##name])

/* ---- where ---- */

/* A path that neither climbs nor stutters its way out of <below>. */
static bool
is_below(struct sv path, struct sv below, bool strict)
{
	while (below.len > 1 && below.p[below.len - 1] == '/')
		below.len--;
	if (below.len == 0 || path.len <= below.len || memcmp(path.p, below.p, below.len) != 0 || path.p[below.len] != '/')
		return (false);
	return (!strict || (sv_find(path, SV_LIT("/../")) < 0 && !sv_ends(path, "/..")));
}

/* create_file: may it be made there?  Also takes the taint away where the place was checked. */
static void
check_place(struct prep *p, struct sv *path, bool *may_create)
{
	struct sv where = OWN(create_file)->text;

	*may_create = true;
	if (where.p == NULL || sv_eqs(where, "anywhere"))
		return;
	if (sv_eqs(where, "inhome"))
		*may_create = is_below(*path, p->j->home, false) &&
		    sv_rchr(*path, '/') <= (ptrdiff_t)p->j->home.len;
	else {
		struct sv below = sv_eqs(where, "belowhome") ? p->j->home : where;

		*may_create = is_below(*path, below, true);
		if (*may_create)
			path->tainted = false;
	}
}

static int
find_path(struct prep *p)
{
	const struct route_delivery *rd = p->d->rd[0];
	bool redirected = rd->kind == ROUTE_FILE || rd->kind == ROUTE_DIRECTORY, directory;
	struct sv path = SV_NULL;
	bool may_create;

	if (OWN(directory)->str != NULL && prep_str(p, OWN(directory), "file or directory name", false, &path) == -1)
		return (-1);
	directory = path.p != NULL;
	if (path.p == NULL && OWN(file)->str != NULL && prep_str(p, OWN(file), "file or directory name", false, &path) == -1)
		return (-1);
	if (path.p == NULL && redirected) {
		path = rd->text;
		directory = rd->kind == ROUTE_DIRECTORY || sv_ends(path, "/");
		if (OWN(maildir_format)->num != 0 || OWN(mailstore_format)->num != 0)
			directory = true;
	}
	check_place(p, &path, &may_create);
	if (path.tainted || path.p == NULL)
		p->r->panic = true;
	if (path.p == NULL)
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN,
		    "Mandatory file or directory option missing from %s transport", p->name));
	if (path.tainted)
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN,
		    "Tainted '" SV_FMT "' (file or directory name for %s transport) "
		    "not permitted", SV_ARG(path), p->name));
	if (path.len == 0 || path.p[0] != '/')
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_NOTABS, "appendfile: file or directory name \"" SV_FMT "\" is not "
		    "absolute", SV_ARG(path)));
	if (memchr(path.p, '\0', path.len) != NULL || path.len > 4000)
		return (prep_fail(p, TRANSPORT_FAIL, TRANSPORT_E_UNKNOWN, "the path name for %s transport is not valid", p->name));
	p->j->path = arena_sv(p->a, path);
	p->j->to_file = !directory ? TRANSPORT_TO_FILE : OWN(maildir_format)->num != 0 ? TRANSPORT_TO_MAILDIR :
	    OWN(mailstore_format)->num != 0 ? TRANSPORT_TO_MAILSTORE : TRANSPORT_TO_DIRECTORY;
	if (!may_create || OWN(file_must_exist)->num != 0)
		return (0);
	p->j->box_flags |= MBOX_CREATE;
	p->j->dir_flags |= OWN(create_directory)->num != 0 ? MBOX_DIR_CREATE : 0;
	p->j->box_flags |= OWN(create_directory)->num != 0 ? MBOX_CREATE_DIR : 0;
	return (0);
}

/* ---- how ---- */

static void
locking(struct prep *p)
{
	struct transport_job *j = p->j;
	bool any = OWN(use_lockfile)->set || OWN(use_fcntl_lock)->set || OWN(use_flock_lock)->set || OWN(use_mbx_lock)->set;
	bool mbx = OWN(use_mbx_lock)->set ? OWN(use_mbx_lock)->num != 0 : OWN(mbx_format)->num != 0 && !any;
	bool dot = OWN(use_lockfile)->set ? OWN(use_lockfile)->num != 0 : !mbx;
	bool flock = OWN(use_flock_lock)->num != 0;
	bool fcntl = OWN(use_fcntl_lock)->set ? OWN(use_fcntl_lock)->num != 0 : !flock;

	j->box_flags |= (mbx ? MBOX_LOCK_MBX : 0) | (dot ? MBOX_LOCK_DOT : 0) | (flock ? MBOX_LOCK_FLOCK : 0) |
	    (fcntl && !mbx ? MBOX_LOCK_FCNTL : 0);
	j->lock_retries = OWN(lock_retries)->num;
	j->lock_interval = OWN(lock_interval)->num;
	j->fcntl_timeout = OWN(lock_fcntl_timeout)->num;
	j->flock_timeout = OWN(lock_flock_timeout)->num;
	j->lockfile_timeout = OWN(lockfile_timeout)->num;
	j->lockfile_mode = OWN(lockfile_mode)->num;
}

/* "100M", "1.5G/no_check", "75%" (of <whole>); -1 and told. */
static int
quota_value(struct prep *p, const struct exim_value *v, const char *opt, int64_t whole, int64_t *out, int64_t *no_check)
{
	struct sv text, mod;
	int64_t n = 0, frac = 0, unit = 1, scale = 1;
	size_t i = 0;

	*out = 0;
	if (v->str == NULL && v->text.p == NULL)
		return (0);
	if (prep_str(p, v, opt, false, &text) == -1)
		return (-1);
	text = sv_trim(text);
	while (i < text.len && sv_isdigit(text.p[i]) && n < INT64_MAX / 1000)
		n = n * 10 + (text.p[i++] - '0');
	if (i == 0 && text.len > 0) {
		p->r->panic = true;
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN,
		    "Malformed value \"" SV_FMT "\" (expansion of \"" SV_FMT "\") in %s transport", SV_ARG(text),
		    SV_ARG(v->str != NULL ? exim_str_text(v->str) : v->text), p->name));
	}
	if (i == 0)
		return (0);
	if (i < text.len && text.p[i] == '.')
		for (i++; i < text.len && sv_isdigit(text.p[i]); i++)
			if (scale < 1000000) {
				frac = frac * 10 + (text.p[i] - '0');
				scale *= 10;
			}
	if (i < text.len && strchr("KkMmGg", text.p[i]) != NULL) {
		char c = sv_lower(text.p[i++]);

		unit = c == 'k' ? 1024 : c == 'm' ? 1024 * 1024 : 1024 * 1024 * 1024;
	}
	n = n > INT64_MAX / 4 / unit ? INT64_MAX / 4 : n * unit + frac * unit / scale;
	if (i < text.len && text.p[i] == '%') {
		n = whole / 100 * n + whole % 100 * n / 100;
		i++;
	}
	mod = sv_trim(sv_sub(text, i, text.len));
	if (mod.len > 0 && mod.p[0] != '/') {
		p->r->panic = true;
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN,
		    "Malformed value \"" SV_FMT "\" (expansion of \"" SV_FMT "\") in %s transport", SV_ARG(text),
		    SV_ARG(v->str != NULL ? exim_str_text(v->str) : v->text), p->name));
	}
	if (no_check != NULL && sv_find(mod, SV_LIT("/no_check")) >= 0)
		*no_check = 1;
	*out = n;
	return (0);
}

static int
known(struct prep *p, const struct exim_value *v, const char *opt, int64_t *out)
{
	struct sv text;
	int64_t n;

	*out = -1;
	if (v->str == NULL && v->text.p == NULL)
		return (0);
	if (prep_str(p, v, opt, false, &text) == -1)
		return (-1);
	if (exim_parse_int(sv_trim(text), &n))
		*out = n;
	return (0);
}

static int
quotas(struct prep *p)
{
	struct transport_job *j = p->j;
	int64_t no_check = 0;

	if (quota_value(p, OWN(quota), "quota", 0, &j->quota, &no_check) == -1 ||
	    quota_value(p, OWN(quota_filecount), "quota_filecount", 0, &j->quota_count, &no_check) == -1 ||
	    quota_value(p, OWN(quota_warn_threshold), "quota_warn_threshold", j->quota, &j->warn_at, NULL) == -1 ||
	    known(p, OWN(mailbox_size), "mailbox_size", &j->size_known) == -1 ||
	    known(p, OWN(mailbox_filecount), "mailbox_filecount", &j->count_known) == -1 ||
	    prep_str(p, OWN(quota_directory), "quota_directory", false, &j->quota_directory) == -1)
		return (-1);
	j->quota_no_check = no_check;
	j->quota_exclusive = OWN(quota_is_inclusive)->num == 0;
	j->quota_regex = OWN(quota_size_regex)->text;
	j->quota_folders = OWN(maildir_quota_directory_regex)->text;
	return (0);
}

static int
size_file(struct prep *p)
{
	const struct exim_value *v = OWN(maildir_use_size_file);
	struct err err = ERR_INIT;
	bool yes = v->num != 0;

	if (v->str != NULL && exim_expand_bool(v->str, p->env, true, &yes, &err) != EXIM_OK)
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_EXPAND, "failed to expand maildir_use_size_file for %s transport: %s",
		    p->name, err.text));
	if (yes)
		p->j->dir_flags |= MBOX_DIR_SIZE_FILE;
	return (0);
}

static int
names(struct prep *p)
{
	struct exim_message *msg = p->env->msg;
	struct transport_job *j = p->j;
	int64_t size = msg->size, inode = p->env->addr->inode;
	struct sv text;
	int rc;

	j->retries = OWN(maildir_retries)->num;
	if (j->to_file == TRANSPORT_TO_MAILDIR && OWN(maildir_tag)->str != NULL) {
		msg->size = TRANSPORT_SIZE_MARK;
		rc = prep_str(p, OWN(maildir_tag), "maildir_tag", true, &text);
		msg->size = size;
		if (rc == -1)
			return (-1);
		text = prep_template(p->a, text, TRANSPORT_SIZE_MARK, 's');
		if (text.len > 0 && sv_isalnum(text.p[0]))
			text = sv_cstr(arena_fmt(p->a, ":" SV_FMT, SV_ARG(text)));
		j->tag = text;
	}
	if (j->to_file == TRANSPORT_TO_DIRECTORY) {
		p->env->addr->inode = TRANSPORT_INODE_MARK;
		rc = prep_str(p, OWN(directory_file), "directory_file", false, &text);
		p->env->addr->inode = inode;
		if (rc == -1)
			return (-1);
		j->file_name = prep_template(p->a, text, TRANSPORT_INODE_MARK, 'i');
	}
	if (j->to_file == TRANSPORT_TO_MAILSTORE) {
		j->file_name = p->d->id;
		p->env->addr->mailstore_basename = p->d->id;
		if (prep_str(p, OWN(mailstore_prefix), "mailstore_prefix", true, &j->store_prefix) == -1 ||
		    prep_str(p, OWN(mailstore_suffix), "mailstore_suffix", true, &j->store_suffix) == -1)
			return (-1);
	}
	return (0);
}

/* message_prefix and its kin have other defaults for folders and batched SMTP. */
static int
frame(struct prep *p)
{
	struct transport_job *j = p->j;
	/* A directory that a redirection names has a mailbox's frame unless a format says otherwise. */
	bool plain = j->to_file != TRANSPORT_TO_MAILDIR && j->to_file != TRANSPORT_TO_MAILSTORE && OWN(directory)->str == NULL &&
	    OWN(use_bsmtp)->num == 0;

	j->crlf = OWN(use_crlf)->num != 0 || OWN(mbx_format)->num != 0;
	j->bsmtp = OWN(use_bsmtp)->num;
	if ((plain || OWN(message_prefix)->set) && prep_str(p, OWN(message_prefix), "message_prefix", false, &j->prefix) == -1)
		return (-1);
	if ((plain || OWN(message_suffix)->set) && prep_str(p, OWN(message_suffix), "message_suffix", false, &j->suffix) == -1)
		return (-1);
	if (j->bsmtp == 0 && (plain || OWN(check_string)->set))
		j->check = OWN(check_string)->text;
	if (j->bsmtp == 0 && (plain || OWN(escape_string)->set))
		j->escape = OWN(escape_string)->text;
	return (0);
}

static void
formats(struct prep *p)
{
	struct sv list = OWN(file_format)->text, item;
	struct transport_list *l = &p->j->formats;
	int sep = 0;

	if (list.p == NULL)
		return;
	l->v = arena_alloc(p->a, 64 * sizeof(*l->v));
	while (l->n < 64 && exim_list_next(&list, &sep, p->a, &item))
		l->v[l->n++] = item;
}

int
prep_appendfile(struct prep *p)
{
	struct transport_job *j = p->j;

	if (find_path(p) == -1)
		return (-1);
	j->mode = OWN(mode)->num;
	j->dir_mode = OWN(directory_mode)->num;
	j->box_flags |= MBOX_CHECK_MODE | MBOX_KEEP_TIMES | (OWN(mode_fail_narrower)->num != 0 ? MBOX_FAIL_NARROWER : 0) |
	    (OWN(allow_symlink)->num != 0 ? MBOX_ALLOW_SYMLINK : 0) | (OWN(allow_fifo)->num != 0 ? MBOX_ALLOW_FIFO : 0) |
	    (OWN(check_owner)->num != 0 ? MBOX_CHECK_OWNER : 0) | (OWN(check_group)->num != 0 ? MBOX_CHECK_GROUP : 0) |
	    (OWN(mbx_format)->num != 0 ? MBOX_MBX_FORMAT : 0);
	if (p->d->rd[0]->item != NULL && p->d->rd[0]->item->mode_set) {
		j->mode = p->d->rd[0]->item->mode;
		j->box_flags &= ~MBOX_FAIL_NARROWER;
	}
	/* A maildir's folder may be a link, as a box on another disk is. */
	j->dir_flags |= MBOX_DIR_SYMLINK;
	j->comsat = OWN(notify_comsat)->num;
	j->folder_regex = OWN(maildirfolder_create_regex)->text;
	locking(p);
	formats(p);
	return (quotas(p) == -1 || size_file(p) == -1 || names(p) == -1 || frame(p) == -1 ? -1 : 0);
}
