/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decode = ... in the ACL of MIME parts (section 45.4 of Exim's manual): the part at hand, decoded, into a file of the
 * message's scan directory, which goes when the message has been judged.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "session/scan_int.h"

#define PARTS_MAX	10000
#define BLOCK		(48 * 1024)	/* a multiple of four */

/* A malformed escape stays as it is (RFC 2045 section 6.7). */
static bool
put_quoted(struct scan_out *o, struct sv v)
{
	struct sb one = SB_INIT(4);
	size_t i = 0;

	while (i < v.len) {
		ptrdiff_t eq = sv_chr(sv_sub(v, i, v.len), '=');
		size_t end = eq < 0 ? v.len : i + (size_t)eq, k = end + 1;

		(void)scan_put(o, sv_sub(v, i, end));
		i = end;
		if (eq < 0)
			break;
		sb_clear(&one);
		while (k < v.len && (v.p[k] == ' ' || v.p[k] == '\t' || v.p[k] == '\r'))
			k++;
		if (k < v.len && v.p[k] == '\n') {
			i = k + 1;
		} else if (hex_decode(&one, sv_sub(v, end + 1, end + 3)) && one.len == 1) {
			(void)scan_put(o, sb_sv(&one));
			i = end + 3;
		} else {
			(void)scan_put(o, SV_LIT("="));
			i = end + 1;
		}
	}
	sb_free(&one);
	return (!o->failed);
}

/* What is no letter of the alphabet is passed over, a broken end is left out. */
static bool
put_base64(struct scan_out *o, struct sv v)
{
	struct sb pure = SB_INIT(BLOCK + 4), out = SB_INIT(BLOCK);
	size_t pad;

	for (size_t i = 0; i <= v.len; i++) {
		if (i < v.len && (sv_isalnum(v.p[i]) || v.p[i] == '+' || v.p[i] == '/'))
			sb_addc(&pure, v.p[i]);
		if (pure.len < BLOCK && i < v.len && v.p[i] != '=')
			continue;
		pad = (4 - pure.len % 4) % 4;
		if (pad == 3)
			sb_cut(&pure, pure.len - 1);
		for (; pad > 0 && pad < 3; pad--)
			sb_addc(&pure, '=');
		sb_clear(&out);
		if (pure.len > 0 && base64_decode(&out, sb_sv(&pure)))
			(void)scan_put(o, sb_sv(&out));
		sb_clear(&pure);
	}
	sb_free(&pure);
	sb_free(&out);
	return (!o->failed);
}

/* The body with LF line ends, in the arena of the command. */
static struct sv
with_lf(struct session *s, struct sv body, bool last_line)
{
	char *p = arena_alloc(s->cmd, body.len + 2);
	size_t n = 0;

	for (size_t i = 0; i < body.len; i++)
		if (body.p[i] != '\r' || i + 1 == body.len || body.p[i + 1] != '\n')
			p[n++] = body.p[i];
	if (last_line && n > 0 && p[n - 1] != '\n')
		p[n++] = '\n';
	return (sv_from(p, n));
}

/* Where the file goes: a name that the argument gives, or the next number; NULL and *<msg>. */
static const char *
file_name(struct session *s, struct sv arg, struct sv *msg)
{
	struct session_scan *sc = scan_state(s);
	struct err err = ERR_INIT;
	const char *dir;
	struct stat st;

	if (arg.tainted) {
		*msg = sv_cstr(arena_fmt(s->cmd, "decode: the name '" SV_FMT "' came with the message: use \"default\"", SV_ARG(arg)));
		return (NULL);
	}
	if (arg.p[0] == '/' && !(stat(arena_cstr(s->cmd, arg), &st) == 0 && S_ISDIR(st.st_mode)))
		return (arena_cstr(s->txn->arena, arg));
	dir = arg.p[0] == '/' ? arena_cstr(s->cmd, arg) : scan_dir(s, &err);
	if (dir == NULL) {
		*msg = sv_cstr(arena_fmt(s->cmd, "decode: %s", err.text));
		return (NULL);
	}
	if (arg.p[0] != '/' && !sv_eqs(arg, "default")) {
		if (sv_chr(arg, '/') >= 0) {
			*msg = SV_LIT("decode: a name without a path, or an absolute path");
			return (NULL);
		}
		return (arena_fmt(s->txn->arena, "%s/" SV_FMT, dir, SV_ARG(arg)));
	}
	return (arena_fmt(s->txn->arena, "%s/%s-%05u", dir, s->txn->id, sc->nparts++));
}

enum exim_result
scan_decode(struct session *s, struct exim_env *env, struct sv arg, bool *yes, struct sv *msg)
{
	struct exim_acl_state *a = env->acl;
	struct session_scan *sc = scan_state(s);
	struct scan_out o = { .fd = -1 };
	struct sv cte = a->mime_content_transfer_encoding;
	const char *path;
	bool ok;

	*yes = false;
	arg = sv_trim(arg);
	if (arg.len == 0 || sv_eqs(arg, "0") || sv_caseeqs(arg, "false"))
		return (EXIM_OK);
	if (a->mime_body.p == NULL || sc->nparts >= PARTS_MAX)
		return (EXIM_OK);
	path = file_name(s, arg, msg);
	if (path == NULL)
		return (EXIM_DEFER);
	o.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (o.fd == -1) {
		*msg = sv_cstr(arena_fmt(s->cmd, "decode: open %s: %s", path, strerror(errno)));
		return (EXIM_DEFER);
	}
	if (sc->dir != NULL && strncmp(path, sc->dir, strlen(sc->dir)) == 0)
		vec_push(&sc->files, arena_str(s->txn->arena, path));
	sb_init(&o.buf, 65536);
	if (sv_caseeqs(cte, "base64"))
		ok = put_base64(&o, a->mime_body);
	else if (sv_caseeqs(cte, "quoted-printable"))
		ok = put_quoted(&o, with_lf(s, a->mime_body, true));
	else
		ok = scan_put(&o, with_lf(s, a->mime_body, true));
	ok = scan_end(&o) && ok;
	if (close(o.fd) == -1 || !ok) {
		*msg = sv_cstr(arena_fmt(s->cmd, "decode: cannot write %s", path));
		return (EXIM_DEFER);
	}
	a->mime_decoded_filename = sv_cstr(path);
	a->mime_content_size = (o.n + 1023) / 1024;
	*yes = true;
	return (EXIM_OK);
}
