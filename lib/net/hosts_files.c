/* SPDX-License-Identifier: BSD-2-Clause */
/* The files hosts.allow and hosts.deny of some directories, kept in memory and read anew when they change. */
#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/sb.h"
#include "net/hosts_access.h"
#include "os/file.h"

#define FILE_LIMIT	(1024 * 1024)
#define DIRS_MAX	4
#define LOOK_MS		1000
#define EXTRA_MAX	16		/* files that rules name, in one question */

struct kept {
	char		*path;
	struct sb	 text;
	struct timespec	 mtime;
	off_t		 size;
	ino_t		 ino;
	bool		 there;
};

struct hosts_access {
	struct kept	 file[DIRS_MAX][2];	/* allow, deny */
	size_t		 n;
	int64_t		 looked;
	bool		 any;
};

struct hosts_access *
hosts_access_new(const char *const *dirs)
{
	static const char *const names[] = { "hosts.allow", "hosts.deny" };
	struct hosts_access *h = xcalloc(1, sizeof(*h));
	char path[4096];

	for (; h->n < DIRS_MAX && dirs[h->n] != NULL; h->n++) {
		for (int i = 0; i < 2; i++) {
			(void)snprintf(path, sizeof(path), "%s/%s", dirs[h->n], names[i]);
			h->file[h->n][i] = (struct kept){ .path = xstrdup(path), .text = SB_INIT(FILE_LIMIT) };
		}
	}
	h->looked = INT64_MIN;
	return (h);
}

void
hosts_access_free(struct hosts_access **hp)
{
	struct hosts_access *h = *hp;

	for (size_t d = 0; h != NULL && d < h->n; d++) {
		for (int i = 0; i < 2; i++) {
			free(h->file[d][i].path);
			sb_free(&h->file[d][i].text);
		}
	}
	free(h);
	*hp = NULL;
}

static void
refresh(struct kept *k)
{
	struct err err = ERR_INIT;
	struct stat st;

	if (stat(k->path, &st) == -1) {
		k->there = false;
		sb_clear(&k->text);
		return;
	}
	if (k->there && st.st_size == k->size && st.st_ino == k->ino && st.st_mtim.tv_sec == k->mtime.tv_sec &&
	    st.st_mtim.tv_nsec == k->mtime.tv_nsec)
		return;
	sb_clear(&k->text);
	/* As the library has it, a file that cannot be read holds no rules. */
	k->there = os_read_file(k->path, FILE_LIMIT, &k->text, &err) == 0;
	k->size = st.st_size;
	k->ino = st.st_ino;
	k->mtime = st.st_mtim;
}

struct extra {
	void		*arg;
	const char	*(*name)(void *arg, bool *mismatch);
	struct sb	 text[EXTRA_MAX];
	size_t		 n;
};

static const char *
extra_name(void *arg, bool *mismatch)
{
	struct extra *x = arg;

	return (x->name == NULL ? "" : x->name(x->arg, mismatch));
}

static bool
extra_file(void *arg, struct sv path, struct sv *text)
{
	struct extra *x = arg;
	struct err err = ERR_INIT;
	char p[4096];

	if (x->n == EXTRA_MAX || path.len >= sizeof(p))
		return (false);
	(void)snprintf(p, sizeof(p), SV_FMT, SV_ARG(path));
	x->text[x->n] = (struct sb)SB_INIT(FILE_LIMIT);
	if (os_read_file(p, FILE_LIMIT, &x->text[x->n], &err) == -1)
		return (false);
	*text = sb_sv(&x->text[x->n++]);
	return (true);
}

bool
hosts_access_ok(struct hosts_access *h, struct hosts_client *c, int64_t now_ms)
{
	enum hosts_verdict v = HOSTS_SILENT;
	struct hosts_client asked = *c;
	struct extra x = { .arg = c->arg, .name = c->name };

	if (h->looked == INT64_MIN || now_ms - h->looked >= LOOK_MS) {
		h->looked = now_ms;
		h->any = false;
		for (size_t d = 0; d < h->n; d++) {
			for (int i = 0; i < 2; i++) {
				refresh(&h->file[d][i]);
				h->any = h->any || h->file[d][i].text.len > 0;
			}
		}
	}
	if (!h->any)
		return (true);
	asked.arg = &x;
	asked.name = extra_name;
	asked.file = extra_file;
	for (size_t d = 0; d < h->n && v == HOSTS_SILENT; d++) {
		v = hosts_access_text(sb_sv(&h->file[d][0].text), true, &asked);
		if (v == HOSTS_SILENT)
			v = hosts_access_text(sb_sv(&h->file[d][1].text), false, &asked);
	}
	for (size_t i = 0; i < x.n; i++)
		sb_free(&x.text[i]);
	return (v != HOSTS_DENY);
}
