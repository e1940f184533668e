/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mailboxes as the batch sees them: each is read once, changed in memory and written
 * back at the batch's end.  Also their files, their directories and their UIDs.
 */
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/time.h"
#include "store/writer_int.h"

static struct sv
box_key(const uint64_t *id)
{
	return (sv_from((const char *)id, sizeof(*id)));
}

static int
no_mailbox(struct err *err)
{
	return (err_set(err, ERR_PERM, STORE_E_NONE, "there is no such mailbox"));
}

struct wbox *
w_box(struct store_writer *w, uint64_t id, struct err *err)
{
	struct wbox *x = hash_get(w->boxes, box_key(&id));
	struct rec_info info;
	struct rec_box b;
	int rc;

	if (w->broken) {
		(void)w_broken(w, err, "batch", MDB_BAD_TXN);
		return (NULL);
	}
	if (x != NULL) {
		if (x->gone)
			(void)no_mailbox(err);
		return (x->gone ? NULL : x);
	}
	if ((rc = index_get_box(&w->ix, w->txn, id, &b, err)) == 1)
		rc = index_get_info(&w->ix, w->txn, id, &info, err);
	if (rc == 0)
		(void)no_mailbox(err);
	if (rc != 1)
		return (NULL);
	x = arena_zalloc(w->a, sizeof(*x));
	x->id = id;
	x->b = b;
	x->info.name = arena_sv(w->a, info.name);
	x->info.owner = arena_sv(w->a, info.owner);
	x->info.acl = arena_sv(w->a, info.acl);
	x->info.keywords = arena_sv(w->a, info.keywords);
	(void)hash_set(w->boxes, box_key(&x->id), x);
	return (x);
}

struct wbox *
w_box_name(struct store_writer *w, struct sv name, struct err *err)
{
	uint64_t id;
	int rc = index_get_name(&w->ix, w->txn, name, &id, err);

	if (rc == 0)
		(void)no_mailbox(err);
	return (rc == 1 ? w_box(w, id, err) : NULL);
}

unsigned
w_rights(const struct wbox *x, struct sv user)
{
	return (store_rights_of(x->info.acl, x->info.owner, user));
}

int
w_need(const struct wbox *x, struct sv user, unsigned rights, struct err *err)
{
	unsigned r = w_rights(x, user);

	if ((r & rights) == rights)
		return (0);
	if ((r & STORE_R_LOOKUP) == 0)
		return (no_mailbox(err));
	return (err_set(err, ERR_PERM, STORE_E_NOPERM, "you have no right to do that in this mailbox"));
}

/* ---- files and directories ---- */

static int
fsync_at(struct store_writer *w, const char *path, struct err *err)
{
	int fd = openat(w->dirfd, path, O_RDONLY | O_CLOEXEC), rc;

	if (fd == -1)
		return (err_sys(err, "open %s/%s", w->dir, path));
	rc = fsync(fd);
	if (rc == -1)
		(void)err_sys(err, "fsync %s/%s", w->dir, path);
	(void)close(fd);
	return (rc);
}

int
w_write_boxfile(struct store_writer *w, const struct wbox *x, uint32_t uidnext, struct err *err)
{
	struct rec_boxfile f = { .mbox = x->id, .uidvalidity = x->b.uidvalidity, .uidnext = uidnext,
	    .name = x->info.name, .owner = x->info.owner, .acl = x->info.acl };
	struct sb text = SB_INIT(REC_BOXFILE_MAX);
	int dir = w_dir(w, x->id, err), fd, rc = -1;

	if (dir == -1)
		return (-1);
	rec_boxfile_put(&text, &f);
	fd = openat(dir, "mailbox.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1 || os_write_full(fd, text.p, text.len) == -1 || fsync(fd) == -1 ||
	    renameat(dir, "mailbox.new", dir, "mailbox") == -1 || fsync(dir) == -1)
		(void)err_sys(err, "write the mailbox file of " SV_FMT, SV_ARG(x->info.name));
	else
		rc = 0;
	if (fd != -1)
		(void)close(fd);
	sb_free(&text);
	return (rc);
}

/* The directory of a new mailbox with its file, durable before the index speaks of it. */
static int
make_dir(struct store_writer *w, const struct wbox *x, struct err *err)
{
	char path[STORE_BODY_PATH_MAX], top[8];

	(void)store_path_mailbox(x->id, path);
	(void)snprintf(top, sizeof(top), "u/%.2s", path + 2);
	w_dir_forget(w, x->id);
	if (mkdirat(w->dirfd, top, 0700) == 0) {
		if (fsync_at(w, "u", err) == -1)
			return (-1);
	} else if (errno != EEXIST)
		return (err_sys(err, "make %s/%s", w->dir, top));
	/* One that is there is of a batch that was never committed. */
	if (mkdirat(w->dirfd, path, 0700) == -1 && errno != EEXIST)
		return (err_sys(err, "make %s/%s", w->dir, path));
	if (w_write_boxfile(w, x, x->b.uidreserved, err) == -1)
		return (-1);
	os_dir_spread(w_dir(w, x->id, NULL));
	return (fsync_at(w, top, err));
}

uint32_t
w_next_uid(struct store_writer *w, struct wbox *x, struct err *err)
{
	if (x->b.uidnext >= UINT32_MAX - UID_RESERVE) {
		(void)err_set(err, ERR_PERM, STORE_E_LIMIT, "the mailbox has used up its UIDs");
		return (0);
	}
	if (x->b.uidnext >= x->b.uidreserved) {
		/* Were the index lost, no UID may come twice: the file is ahead of it. */
		if (w_write_boxfile(w, x, x->b.uidnext + UID_RESERVE, err) == -1)
			return (0);
		x->b.uidreserved = x->b.uidnext + UID_RESERVE;
	}
	x->dirty = true;
	return (x->b.uidnext++);
}

/* ---- keywords ---- */

int
w_keywords(struct store_writer *w, struct wbox *x, const struct sv *names, size_t n, bool add, uint64_t *bits,
    struct err *err)
{
	*bits = 0;
	for (size_t i = 0; i < n; i++) {
		struct sv rest = x->info.keywords, kw;
		unsigned bit = 0;
		bool found = false;

		for (; !found && rec_info_keyword(&rest, &kw); bit++)
			if (sv_caseeq(kw, names[i])) {
				*bits |= (uint64_t)1 << bit;
				found = true;
			}
		if (found || !add)
			continue;
		if (!store_keyword_valid(names[i]))
			return (err_set(err, ERR_PERM, STORE_E_LIMIT, "not a valid keyword"));
		if (x->b.nkeywords >= STORE_KEYWORDS_MAX)
			return (err_set(err, ERR_PERM, STORE_E_LIMIT, "the mailbox has %d keywords already",
			    STORE_KEYWORDS_MAX));
		char *p = arena_alloc(w->a, x->info.keywords.len + names[i].len + 1);

		if (x->info.keywords.len > 0)
			memcpy(p, x->info.keywords.p, x->info.keywords.len);
		memcpy(p + x->info.keywords.len, names[i].p, names[i].len);
		p[x->info.keywords.len + names[i].len] = '\0';
		x->info.keywords = sv_from(p, x->info.keywords.len + names[i].len + 1);
		*bits |= (uint64_t)1 << x->b.nkeywords++;
		x->dirty = x->info_dirty = true;
	}
	return (0);
}

/* ---- writing back ---- */

static int
put_info(struct store_writer *w, const struct wbox *x, struct err *err)
{
	struct sb row = SB_INIT(65536);
	uint8_t key[8];
	int rc;

	rec_info_put(&row, &x->info);
	rec_be64(key, x->id);
	rc = w_put(w, w->ix.infos, key, 8, row.p, row.len, 0, err);
	sb_free(&row);
	return (rc);
}

int
w_flush_boxes(struct store_writer *w, struct err *err)
{
	uint8_t key[8], row[REC_BOX_SIZE];
	struct sv k;
	size_t pos = 0;
	void *v;

	while (hash_next(w->boxes, &pos, &k, &v)) {
		struct wbox *x = v;

		if (x->gone)
			continue;
		if (x->info_dirty && put_info(w, x, err) == -1)
			return (-1);
		if (x->file_dirty) {
			struct rec_work todo = { .what = REC_DO_WRITE, .mbox = x->id };

			if (w_todo(w, &todo, err) == -1)
				return (-1);
		}
		if (!x->dirty)
			continue;
		rec_be64(key, x->id);
		rec_box_put(row, &x->b);
		if (w_put(w, w->ix.boxes, key, 8, row, sizeof(row), 0, err) == -1)
			return (-1);
	}
	return (0);
}

/* ---- making them ---- */

/* The nearest mailbox above <name>; NULL without an error where there is none. */
static struct wbox *
parent_of(struct store_writer *w, struct sv name)
{
	ptrdiff_t dot;

	while ((dot = sv_rchr(name, '.')) > 0) {
		struct wbox *x;

		name = sv_sub(name, 0, (size_t)dot);
		if ((x = w_box_name(w, name, NULL)) != NULL)
			return (x);
	}
	return (NULL);
}

/* May <user> make mailboxes below where <name> stands? */
static int
may_create(struct store_writer *w, struct sv user, struct sv name, const struct wbox *parent, struct err *err)
{
	char buf[STORE_NAME_MAX + 1];
	struct sv owner = store_name_owner(name, buf);

	if (user.len == 0 || (owner.len > 0 && sv_caseeq(owner, user)))
		return (0);
	if (parent != NULL)
		return (w_need(parent, user, STORE_R_CREATE, err));
	return (err_set(err, ERR_PERM, STORE_E_NOPERM, "you have no right to make a mailbox of that name"));
}

/* How many mailboxes begin with <prefix>; counting stops at <max>. */
static int
count_below(struct store_writer *w, struct sv prefix, unsigned max, struct err *err)
{
	MDB_val k = index_val(prefix.p, prefix.len), d;
	MDB_cursor *c;
	unsigned n = 0;
	int rc;

	if (w_cursor(w, w->ix.names, &c, err) == -1)
		return (-1);
	rc = mdb_cursor_get(c, &k, &d, MDB_SET_RANGE);
	for (; rc == 0 && n < max; n++) {
		if (k.mv_size < prefix.len || memcmp(k.mv_data, prefix.p, prefix.len) != 0)
			break;
		rc = mdb_cursor_get(c, &k, &d, MDB_NEXT);
	}
	mdb_cursor_close(c);
	return ((int)n);
}

static int
folders_left(struct store_writer *w, struct sv name, struct err *err)
{
	char buf[STORE_NAME_MAX + 1];
	struct sv rest = name, c;
	int n;

	if (store_name_owner(name, buf).len == 0 || store_name_is_inbox(name))
		return (0);
	(void)sv_next(&rest, '.', &c);
	(void)sv_next(&rest, '.', &c);
	/* "user.NAME." */
	n = count_below(w, sv_sub(name, 0, name.len - rest.len), STORE_FOLDERS_MAX, err);
	if (n == STORE_FOLDERS_MAX)
		return (err_set(err, ERR_PERM, STORE_E_LIMIT, "the user has %d folders already", STORE_FOLDERS_MAX));
	return (n == -1 ? -1 : 0);
}

/* UIDVALIDITY is never used twice in a store, so a mailbox that is deleted and made again has another one. */
static uint32_t
new_uidvalidity(struct store_writer *w)
{
	uint64_t now = (uint64_t)(os_wall_us() / 1000000);

	w->st.uidvalidity = w->st.uidvalidity + 1 > now ? w->st.uidvalidity + 1 : now;
	return ((uint32_t)w->st.uidvalidity);
}

static struct wbox *
make_box(struct store_writer *w, struct sv name, struct sv acl, struct err *err)
{
	struct wbox *x = arena_zalloc(w->a, sizeof(*x));
	char buf[STORE_NAME_MAX + 1];
	uint8_t val[8];

	x->id = w->st.next_mbox++;
	w->state_dirty = true;
	x->b = (struct rec_box){ .uidvalidity = new_uidvalidity(w), .uidnext = 1, .uidreserved = 1 + UID_RESERVE,
	    .first_recent = 1, .highestmodseq = 1, .logfloor = 1 };
	x->info.name = arena_sv(w->a, name);
	x->info.owner = arena_sv(w->a, store_name_owner(name, buf));
	x->info.acl = acl;
	x->dirty = x->info_dirty = true;
	if (make_dir(w, x, err) == -1)
		return (NULL);
	for (unsigned i = 0; i < 8; i++)
		val[i] = (uint8_t)(x->id >> (8 * i));
	if (w_put(w, w->ix.names, name.p, name.len, val, 8, 0, err) == -1)
		return (NULL);
	(void)hash_set(w->boxes, box_key(&x->id), x);
	return (x);
}

struct wbox *
w_inbox(struct store_writer *w, struct sv name, struct err *err)
{
	struct err e = ERR_INIT;
	struct wbox *x = w_box_name(w, name, &e);

	assert(store_name_is_inbox(name));
	if (x != NULL)
		return (x);
	if (e.cls != ERR_PERM) {
		if (err != NULL)
			*err = e;
		return (NULL);
	}
	return (make_box(w, name, SV_NULL, err));
}

int
store_writer_ensure_inbox(struct store_writer *w, struct sv user, uint64_t *mbox, struct err *err)
{
	char name[STORE_NAME_MAX + 1];
	struct wbox *x;

	if (store_name_inbox(user, name, err) == -1 || (x = w_inbox(w, sv_cstr(name), err)) == NULL)
		return (-1);
	*mbox = x->id;
	return (0);
}

static int
check_name(struct sv name, struct err *err)
{
	if (store_name_valid(name))
		return (0);
	return (err_set(err, ERR_PERM, STORE_E_BADNAME, "not a valid mailbox name"));
}

int
store_writer_create(struct store_writer *w, struct sv user, struct sv name, uint64_t *mbox, struct err *err)
{
	struct wbox *x, *parent;
	uint64_t id;
	int rc;

	if (check_name(name, err) == -1)
		return (-1);
	parent = parent_of(w, name);
	if (may_create(w, user, name, parent, err) == -1)
		return (-1);
	if ((rc = index_get_name(&w->ix, w->txn, name, &id, err)) == 1)
		return (err_set(err, ERR_PERM, STORE_E_EXISTS, "the mailbox exists already"));
	if (rc == -1 || folders_left(w, name, err) == -1)
		return (-1);
	x = make_box(w, name, parent == NULL ? SV_NULL : parent->info.acl, err);
	if (x == NULL)
		return (-1);
	*mbox = x->id;
	return (0);
}

int
store_writer_delete(struct store_writer *w, struct sv user, struct sv name, struct err *err)
{
	struct wbox *x = w_box_name(w, name, err);
	struct rec_work todo = { .what = REC_DO_RMDIR };
	uint8_t key[8];

	if (x == NULL || w_need(x, user, STORE_R_DELMBOX, err) == -1)
		return (-1);
	if (user.len > 0 && store_name_is_inbox(name))
		return (err_set(err, ERR_PERM, STORE_E_NOPERM, "the INBOX cannot be deleted"));
	rec_be64(key, x->id);
	todo.mbox = x->id;
	x->gone = true;
	w_dir_forget(w, x->id);
	if (w_del(w, w->ix.names, name.p, name.len, err) == -1 || w_del(w, w->ix.boxes, key, 8, err) == -1 ||
	    w_del(w, w->ix.infos, key, 8, err) == -1 || w_del_prefix(w, w->ix.msgs, key, 8, NULL, NULL, err) == -1 ||
	    w_del_prefix(w, w->ix.log, key, 8, NULL, NULL, err) == -1)
		return (-1);
	if (w->last.mbox == x->id)
		w->last.mbox = 0;
	return (w_todo(w, &todo, err));
}

/* ---- renaming ---- */

struct renames {
	VEC(struct sv)	 names;		/* in the batch's arena */
};

static int
collect(struct store_writer *w, struct sv from, struct renames *out, struct err *err)
{
	MDB_val k = index_val(from.p, from.len), d;
	MDB_cursor *c;
	int rc;

	if (w_cursor(w, w->ix.names, &c, err) == -1)
		return (-1);
	for (rc = mdb_cursor_get(c, &k, &d, MDB_SET_RANGE); rc == 0; rc = mdb_cursor_get(c, &k, &d, MDB_NEXT)) {
		struct sv n = index_sv(&k);

		if (n.len < from.len || memcmp(n.p, from.p, from.len) != 0)
			break;
		if (n.len == from.len || n.p[from.len] == '.')
			vec_push(&out->names, arena_sv(w->a, n));
	}
	mdb_cursor_close(c);
	return (0);
}

/* "<to><rest of name behind from>" in <buf>, checked to be valid and free. */
static int
target_name(struct store_writer *w, struct sv name, struct sv from, struct sv to, char buf[STORE_NAME_MAX + 1],
    struct err *err)
{
	struct sv rest = sv_sub(name, from.len, name.len), v;
	uint64_t id;
	int rc;

	if (to.len + rest.len > STORE_NAME_MAX)
		return (check_name(SV_NULL, err));
	memcpy(buf, to.p, to.len);
	if (rest.len > 0)
		memcpy(buf + to.len, rest.p, rest.len);
	buf[to.len + rest.len] = '\0';
	v = sv_cstr(buf);
	if (check_name(v, err) == -1)
		return (-1);
	if ((rc = index_get_name(&w->ix, w->txn, v, &id, err)) == 1)
		return (err_set(err, ERR_PERM, STORE_E_EXISTS, "the mailbox exists already"));
	return (rc);
}

static int
rename_one(struct store_writer *w, struct sv name, struct sv from, struct sv to, struct err *err)
{
	char buf[STORE_NAME_MAX + 1], owner[STORE_NAME_MAX + 1];
	struct wbox *x = w_box_name(w, name, err);
	uint8_t val[8];

	if (x == NULL || target_name(w, name, from, to, buf, err) == -1)
		return (w_broken(w, err, "rename", MDB_CORRUPTED));
	x->info.name = arena_sv(w->a, sv_cstr(buf));
	x->info.owner = arena_sv(w->a, store_name_owner(x->info.name, owner));
	x->info_dirty = x->file_dirty = true;
	for (unsigned i = 0; i < 8; i++)
		val[i] = (uint8_t)(x->id >> (8 * i));
	if (w_del(w, w->ix.names, name.p, name.len, err) == -1)
		return (-1);
	return (w_put(w, w->ix.names, buf, strlen(buf), val, 8, 0, err));
}

int
store_writer_rename(struct store_writer *w, struct sv user, struct sv from, struct sv to, struct err *err)
{
	char buf[STORE_NAME_MAX + 1];
	struct renames r = { .names = VEC_INIT };
	struct wbox *x;
	int rc = -1;

	if (check_name(to, err) == -1 || (x = w_box_name(w, from, err)) == NULL ||
	    w_need(x, user, STORE_R_DELMBOX, err) == -1 || may_create(w, user, to, parent_of(w, to), err) == -1)
		return (-1);
	if (store_name_is_inbox(from) || store_name_is_inbox(to))
		return (err_set(err, ERR_PERM, STORE_E_NOPERM, "an INBOX cannot be renamed"));
	if (to.len > from.len && memcmp(to.p, from.p, from.len) == 0 && to.p[from.len] == '.')
		return (err_set(err, ERR_PERM, STORE_E_BADNAME, "a mailbox cannot be moved below itself"));
	if (collect(w, from, &r, err) == -1)
		goto out;
	/* All are looked at before one is changed. */
	for (size_t i = 0; i < r.names.len; i++)
		if (w_box_name(w, r.names.p[i], err) == NULL || target_name(w, r.names.p[i], from, to, buf, err) == -1)
			goto out;
	for (size_t i = 0; i < r.names.len; i++)
		if (rename_one(w, r.names.p[i], from, to, err) == -1)
			goto out;
	rc = 0;
out:
	vec_free(&r.names);
	return (rc);
}

/* ---- the rest ---- */

int
store_writer_subscribe(struct store_writer *w, struct sv user, struct sv name, bool on, struct err *err)
{
	struct sb key = SB_INIT(STORE_USER_MAX + 1 + STORE_NAME_MAX);
	int rc;

	if (check_name(name, err) == -1)
		return (-1);
	/* LMDB's keys have at most 511 bytes. */
	if (user.len == 0 || user.len > STORE_USER_MAX || sv_chr(user, '\0') >= 0 || user.len + 1 + name.len > 511)
		return (err_set(err, ERR_PERM, STORE_E_BADNAME, "the name is too long to be subscribed"));
	for (size_t i = 0; i < user.len; i++)
		sb_addc(&key, sv_lower(user.p[i]));
	sb_addc(&key, '\0');
	sb_add(&key, name);
	rc = on ? w_put(w, w->ix.subs, key.p, key.len, "", 0, 0, err) : w_del(w, w->ix.subs, key.p, key.len, err);
	sb_free(&key);
	return (rc);
}

int
store_writer_set_acl(struct store_writer *w, struct sv user, struct sv name, struct sv id, struct sv rights,
    struct err *err)
{
	struct sb acl = SB_INIT(STORE_ACL_MAX);
	struct wbox *x = w_box_name(w, name, err);
	struct sv rest, who, letters;
	int rc = -1;

	if (x == NULL || w_need(x, user, STORE_R_ADMIN, err) == -1)
		return (-1);
	if (id.len == 0 || id.len > STORE_USER_MAX || sv_chr(id, '\t') >= 0 || sv_chr(id, '\n') >= 0 ||
	    sv_chr(id, '\0') >= 0)
		return (err_set(err, ERR_PERM, STORE_E_BADNAME, "not a valid identifier"));
	rest = x->info.acl;
	while (sv_next(&rest, '\t', &who) && sv_next(&rest, '\t', &letters))
		if (!sv_eq(who, id))
			sb_addf(&acl, "%s" SV_FMT "\t" SV_FMT, acl.len > 0 ? "\t" : "", SV_ARG(who), SV_ARG(letters));
	if (store_rights_parse(rights) != 0) {
		sb_addf(&acl, "%s" SV_FMT "\t", acl.len > 0 ? "\t" : "", SV_ARG(id));
		store_rights_text(store_rights_parse(rights), &acl);
	}
	if (acl.overflow)
		(void)err_set(err, ERR_PERM, STORE_E_LIMIT, "the mailbox's ACL is too long");
	else {
		x->info.acl = arena_sv(w->a, sb_sv(&acl));
		x->info_dirty = x->file_dirty = true;
		rc = 0;
	}
	sb_free(&acl);
	return (rc);
}

int
store_writer_claim_recent(struct store_writer *w, uint64_t mbox, uint32_t *first_recent, struct err *err)
{
	struct wbox *x = w_box(w, mbox, err);

	if (x == NULL)
		return (-1);
	*first_recent = x->b.first_recent;
	if (x->b.first_recent != x->b.uidnext) {
		x->b.first_recent = x->b.uidnext;
		x->dirty = true;
	}
	return (0);
}
