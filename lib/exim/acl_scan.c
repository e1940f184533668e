/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conditions regex and mime_regex (section 45.5 of Exim's manual): they need no scanner, only the message.  regex
 * looks at each line of the message, or of the part with its header in the MIME ACL; mime_regex at the first 32 KiB of the
 * decoded part.
 */
#include "base/codec.h"
#include "base/sb.h"
#include "exim/acl_int.h"
#include "exim/expand_int.h"

#define LOOK_MAX	32768		/* of a line, and of a decoded part */
#define PATTERNS_MAX	100
#define TURN		(256 * 1024)	/* bytes, by patterns, that are looked at before others have their turn */
#define LINE_COST	64		/* what a line counts beside its bytes */

struct patterns {
	struct xev	 e;
	struct err	 err;
	struct {
		struct sv	 text;
		struct xregex	*re;
	} v[PATTERNS_MAX];
	size_t		 n;
};

static void
compile(struct acl_state *st, struct sv list, struct patterns *p)
{
	struct sv item;
	char why[256];
	int sep = 0;

	while (p->n < PATTERNS_MAX && exim_list_next(&list, &sep, st->env->arena, &item)) {
		struct xregex *re = x_regex_get(&p->e, item, 0, NULL, why);

		if (re == NULL) {
			acl_log(st, EXIM_LOG_MAIN, "regex acl condition warning - error in regex '" SV_FMT "': %s, skipped.",
			    SV_ARG(item), why);
			continue;
		}
		p->v[p->n].text = item;
		p->v[p->n++].re = re;
	}
}

static bool
fits(struct acl_state *st, struct patterns *p, struct sv text)
{
	struct exim_acl_state *a = st->env->acl;
	struct exim_nums nums;

	if (text.len > LOOK_MAX)
		text.len = LOOK_MAX;
	for (size_t i = 0; i < p->n; i++) {
		memset(&nums, 0, sizeof(nums));
		if (x_regex_match(&p->e, p->v[i].re, text, 0, 0, &nums, NULL) != 1)
			continue;
		a->regex_match_string = acl_keep(st, p->v[i].text);
		for (size_t k = 0; k < sizeof(a->regex) / sizeof(a->regex[0]); k++)
			a->regex[k] = k + 1 < nums.n ? acl_keep(st, nums.v[k + 1]) : SV_NULL;
		return (true);
	}
	return (false);
}

static bool
any_line(struct acl_state *st, struct patterns *p, struct sv text)
{
	const struct exim_world *w = st->env->world;
	size_t cost = 0;

	while (text.len > 0) {
		ptrdiff_t nl = sv_chr(text, '\n');
		struct sv line = sv_sub(text, 0, nl < 0 ? text.len : (size_t)nl);

		text = sv_sub(text, nl < 0 ? text.len : (size_t)nl + 1, text.len);
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (fits(st, p, line))
			return (true);
		/* A message of many lines takes seconds. */
		cost += p->n * (LINE_COST + line.len);
		if (cost >= TURN && w->yield != NULL) {
			w->yield(w->arg);
			cost = 0;
		}
	}
	return (false);
}

/* RFC 2045 section 6.7; malformed escapes stay as they are. */
static void
decode_quoted(struct sb *out, struct sv v)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < v.len && !out->overflow; i++) {
		const char *h = v.p[i] == '=' && i + 2 < v.len ? strchr(hex, sv_upper(v.p[i + 1])) : NULL;
		const char *l = h != NULL && v.p[i + 1] != '\0' && v.p[i + 2] != '\0' ? strchr(hex, sv_upper(v.p[i + 2])) : NULL;

		if (l != NULL) {
			sb_addc(out, (char)((h - hex) << 4 | (l - hex)));
			i += 2;
		} else if (v.p[i] == '=' && i + 1 < v.len && (v.p[i + 1] == '\n' || v.p[i + 1] == '\r'))
			i += v.p[i + 1] == '\r' && i + 2 < v.len && v.p[i + 2] == '\n' ? 2 : 1;
		else
			sb_addc(out, v.p[i]);
	}
}

/* What is no letter of the alphabet is passed over, a broken end is left out. */
static void
decode_base64(struct sb *out, struct sv v)
{
	struct sb pure = SB_INIT(LOOK_MAX * 2);
	struct sv text;

	for (size_t i = 0; i < v.len && !pure.overflow; i++)
		if (sv_isalnum(v.p[i]) || v.p[i] == '+' || v.p[i] == '/')
			sb_addc(&pure, v.p[i]);
	text = sb_sv(&pure);
	text.len &= ~(size_t)3;
	(void)base64_decode(out, text);
	sb_free(&pure);
}

static bool
decoded_part(struct acl_state *st, struct patterns *p)
{
	const struct exim_acl_state *a = st->env->acl;
	struct sb out = SB_INIT(LOOK_MAX * 2);
	struct sv cte = a->mime_content_transfer_encoding, body = a->mime_body;
	bool yes;

	/* Four bytes make three, an escape of three makes one. */
	if (body.len > LOOK_MAX * 3)
		body.len = LOOK_MAX * 3;
	if (sv_caseeqs(cte, "base64"))
		decode_base64(&out, body);
	else if (sv_caseeqs(cte, "quoted-printable"))
		decode_quoted(&out, body);
	else
		sb_add(&out, sv_sub(body, 0, LOOK_MAX));
	yes = fits(st, p, sv_taint(arena_sv(st->env->arena, sb_sv(&out))));
	sb_free(&out);
	return (yes);
}

enum acl_rc
acl_regex(struct acl_state *st, struct sv arg, bool decoded)
{
	struct exim_acl_state *a = st->env->acl;
	bool in_mime = st->run->where == EXIM_WHERE_MIME || st->run->where == EXIM_WHERE_NOTSMTP_MIME, yes = false;
	struct patterns *p;

	a->regex_match_string = SV_NULL;
	memset(a->regex, 0, sizeof(a->regex));
	if (in_mime ? a->mime_part.p == NULL : st->env->msg == NULL || st->env->msg->raw.p == NULL)
		return (acl_defer(st, "%s: the message is not at hand", decoded ? "mime_regex" : "regex"));
	if (!in_mime && st->run->ops != NULL && st->run->ops->scan_head != NULL)
		st->run->ops->scan_head(st->run->arg);
	p = arena_zalloc(st->env->arena, sizeof(*p));
	p->e = (struct xev){ .env = st->env, .err = &p->err };
	compile(st, arg, p);
	if (decoded)
		yes = decoded_part(st, p);
	else
		yes = (!in_mime && any_line(st, p, st->env->msg->scan_head)) ||
		    any_line(st, p, in_mime ? a->mime_part : st->env->msg->raw);
	for (size_t i = 0; i < p->n; i++)
		x_regex_put(&p->e, p->v[i].re);
	return (yes ? RC_OK : RC_FAIL);
}
