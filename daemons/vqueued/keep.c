/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that the administrator names and that are wanted for message after message, kept in memory while they are unchanged: the
 * system filter, parsed, and the texts of reports.
 */
#include <sys/stat.h>

#include <stdlib.h>

#include "filter/exim_filter.h"
#include "os/file.h"
#include "vqueued_int.h"

#define KEPT_MAX	64		/* files: names may hold variables */
#define SETTLE_S	2		/* a file changed this lately may change again within the same time stamp */

struct kept {
	struct kept_file f;		/* first: it is what others see */
	char		*path;
	struct arena	*arena;
	struct stat	 st;
	unsigned	 filter;	/* as it was parsed */
	bool		 sure;
	unsigned	 refs;		/* one of the table's */
};

static void
unref(struct kept *k)
{
	if (--k->refs > 0)
		return;
	arena_free(&k->arena);
	free(k->path);
	free(k);
}

static void
drop(void *value)
{
	unref(value);
}

static bool
unchanged(const struct kept *k, const struct stat *st, unsigned filter)
{
	return (k->sure && k->filter == filter && k->st.st_dev == st->st_dev && k->st.st_ino == st->st_ino &&
	    k->st.st_size == st->st_size &&
	    k->st.st_mtim.tv_sec == st->st_mtim.tv_sec && k->st.st_mtim.tv_nsec == st->st_mtim.tv_nsec &&
	    k->st.st_ctim.tv_sec == st->st_ctim.tv_sec && k->st.st_ctim.tv_nsec == st->st_ctim.tv_nsec);
}

static struct kept *
read_it(struct vq *vq, const char *path, const struct stat *st, size_t max, unsigned filter, struct err *err)
{
	struct sb text = SB_INIT(max);
	struct kept *k;

	if (os_read_file(path, max, &text, err) == -1) {
		sb_free(&text);
		return (NULL);
	}
	k = xcalloc(1, sizeof(*k));
	k->refs = 2;
	k->arena = arena_new(0);
	k->path = xstrdup(path);
	k->st = *st;
	k->filter = filter;
	k->sure = now_s() > st->st_ctim.tv_sec + SETTLE_S;
	k->f.text = arena_sv(k->arena, sb_sv(&text));
	k->f.plain = sv_chr(k->f.text, '$') < 0 && sv_chr(k->f.text, '\\') < 0;
	sb_free(&text);
	if (filter != 0)
		k->f.filter = exim_filter_parse(k->arena, k->f.text, path, filter, &k->f.why);
	if (vq->kept == NULL)
		vq->kept = hash_new();
	if (hash_count(vq->kept) >= KEPT_MAX) {
		hash_free(&vq->kept, drop);
		vq->kept = hash_new();
	}
	(void)hash_set(vq->kept, sv_cstr(path), k);
	vq->n_kept_read++;
	return (k);
}

const struct kept_file *
kept_open(struct vq *vq, const char *path, size_t max, unsigned filter, struct err *err)
{
	struct kept *k = vq->kept == NULL ? NULL : hash_get(vq->kept, sv_cstr(path));
	struct stat st;

	if (stat(path, &st) == -1) {
		(void)err_sys(err, "open %s", path);
		return (NULL);
	}
	if (k != NULL && unchanged(k, &st, filter)) {
		k->refs++;
		return (&k->f);
	}
	if (k != NULL)
		unref(hash_del(vq->kept, sv_cstr(path)));
	k = read_it(vq, path, &st, max, filter, err);
	return (k == NULL ? NULL : &k->f);
}

void
kept_close(const struct kept_file **fp)
{
	const struct kept_file *f = *fp;

	*fp = NULL;
	if (f != NULL)
		unref((struct kept *)(uintptr_t)f);
}
