/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Character sets.  ASCII, UTF-8 and ISO-8859-1 are done here, everything else by
 * iconv, whose //TRANSLIT and //IGNORE are never used: the one invents letters, the
 * other loses them silently.  Who wants the latter (headers_charset, "headers charset") has it done here.
 */
#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <unicase.h>
#include <uninorm.h>

#include "base/arena.h"
#include "base/codec.h"
#include "mail/charset.h"

#define REPLACEMENT	"\xEF\xBF\xBD"		/* U+FFFD */
#define CHARSET_NAME_MAX	64

enum builtin { CS_OTHER, CS_ASCII, CS_UTF8, CS_LATIN1 };

static const struct {
	const char	*name;
	enum builtin	 cs;
} builtins[] = {
	{ "us-ascii", CS_ASCII },
	{ "ascii", CS_ASCII },
	{ "ansi_x3.4-1968", CS_ASCII },
	{ "utf-8", CS_UTF8 },
	{ "utf8", CS_UTF8 },
	{ "iso-8859-1", CS_LATIN1 },
	{ "latin1", CS_LATIN1 },
};

static enum builtin
builtin_of(struct sv charset)
{
	for (size_t i = 0; i < sizeof(builtins) / sizeof(builtins[0]); i++)
		if (sv_caseeqs(charset, builtins[i].name))
			return (builtins[i].cs);
	return (CS_OTHER);
}

/* iconv_open with a name that came from a mail: only plain names, never the suffixes "//...". */
static iconv_t
charset_open(struct sv charset, bool to_utf8)
{
	char name[CHARSET_NAME_MAX];

	if (charset.len == 0 || charset.len >= sizeof(name))
		return ((iconv_t)-1);
	for (size_t i = 0; i < charset.len; i++) {
		char c = charset.p[i];

		if (!sv_isalnum(c) && memchr("-_.:+()", c, 7) == NULL)
			return ((iconv_t)-1);
		name[i] = c;
	}
	name[charset.len] = '\0';
	return (to_utf8 ? iconv_open("UTF-8", name) : iconv_open(name, "UTF-8"));
}

bool
mail_charset_known(struct sv charset)
{
	iconv_t cd;

	if (builtin_of(charset) != CS_OTHER)
		return (true);
	cd = charset_open(charset, true);
	if (cd == (iconv_t)-1)
		return (false);
	(void)iconv_close(cd);
	return (true);
}

/* Length of the UTF-8 character at <p>, 0 if there is none. */
static size_t
utf8_char(const char *p, size_t left)
{
	for (size_t n = 1; n <= 4 && n <= left; n++)
		if (utf8_valid(sv_from(p, n)))
			return (n);
	return (0);
}

void
mail_utf8_clean(struct sb *out, struct sv in)
{
	size_t i = 0, n;

	if (utf8_valid(in)) {
		sb_add(out, in);
		return;
	}
	while (i < in.len) {
		n = utf8_char(in.p + i, in.len - i);
		if (n == 0)
			sb_adds(out, REPLACEMENT);
		else
			sb_addn(out, in.p + i, n);
		i += n == 0 ? 1 : n;
	}
}

static void
latin1_to_utf8(struct sb *out, struct sv in, bool ascii)
{
	for (size_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.p[i];

		if (c < 0x80) {
			sb_addc(out, (char)c);
		} else if (ascii) {
			sb_adds(out, REPLACEMENT);
		} else {
			sb_addc(out, (char)(0xC0 | c >> 6));
			sb_addc(out, (char)(0x80 | (c & 0x3F)));
		}
	}
}

/* One step of iconv; with <src> NULL the way back to the initial shift state. */
static size_t
convert_step(iconv_t cd, struct sb *out, char **src, size_t *left)
{
	char buf[1024], *dst = buf;
	size_t room = sizeof(buf), rc;
	int error;

	rc = src == NULL ? iconv(cd, NULL, NULL, &dst, &room) : iconv(cd, src, left, &dst, &room);
	error = errno;
	sb_addn(out, buf, (size_t)(dst - buf));
	errno = error;
	return (rc);
}

/* What becomes of a byte that does not fit: it ends the conversion with false, is U+FFFD, or goes with its UTF-8 character. */
enum unfit { UNFIT_ENDS, UNFIT_REPLACED, UNFIT_DROPPED };

static bool
convert(iconv_t cd, struct sb *out, struct sv in, enum unfit unfit)
{
	char *src = (char *)(uintptr_t)in.p;
	size_t left = in.len;

	while (left > 0 && !out->overflow) {
		if (convert_step(cd, out, &src, &left) != (size_t)-1 || errno == E2BIG)
			continue;
		if (unfit == UNFIT_ENDS)
			return (false);
		if (unfit == UNFIT_DROPPED) {
			size_t n = utf8_char(src, left);

			src += n > 0 ? n : 1;
			left -= n > 0 ? n : 1;
			continue;
		}
		sb_adds(out, REPLACEMENT);
		src++;
		left--;
	}
	(void)convert_step(cd, out, NULL, NULL);
	return (!out->overflow);
}

bool
mail_charset_to_utf8(struct sb *out, struct sv charset, struct sv in)
{
	iconv_t cd;

	switch (builtin_of(charset)) {
	case CS_UTF8:
		mail_utf8_clean(out, in);
		break;
	case CS_ASCII:
		latin1_to_utf8(out, in, true);
		break;
	case CS_LATIN1:
		latin1_to_utf8(out, in, false);
		break;
	case CS_OTHER:
		cd = charset_open(charset, true);
		if (cd == (iconv_t)-1)
			return (false);
		if (in.len > 0)
			(void)convert(cd, out, in, UNFIT_REPLACED);
		(void)iconv_close(cd);
	}
	out->tainted = out->tainted || in.tainted;
	return (true);
}

bool
mail_charset_from_utf8(struct sb *out, struct sv charset, struct sv in)
{
	bool ok, drop = sv_caseends(charset, SV_LIT("//IGNORE"));
	size_t start = out->len;
	iconv_t cd;

	/* As iconv has it, but from here, where a character that does not fit goes as a whole. */
	if (drop)
		charset = sv_sub(charset, 0, charset.len - 8);
	if (!utf8_valid(in))
		return (false);
	if (builtin_of(charset) == CS_UTF8) {
		sb_add(out, in);
		return (true);
	}
	cd = charset_open(charset, false);
	if (cd == (iconv_t)-1)
		return (false);
	ok = in.len == 0 || convert(cd, out, in, drop ? UNFIT_DROPPED : UNFIT_ENDS);
	(void)iconv_close(cd);
	if (!ok)
		sb_cut(out, start);
	out->tainted = out->tainted || in.tainted;
	return (ok);
}

void
mail_utf8_fold(struct sb *out, struct sv in)
{
	struct sb clean = SB_INIT(out->max);
	uint8_t *folded;
	size_t len = 0;

	if (sv_is_ascii(in)) {
		char *p = sb_room(out, in.len);

		if (p == NULL)
			return;
		for (size_t i = 0; i < in.len; i++)
			p[i] = sv_lower(in.p[i]);
		sb_took(out, in.len);
		return;
	}
	mail_utf8_clean(&clean, in);
	folded = u8_casefold((const uint8_t *)sb_cstr(&clean), clean.len, NULL, UNINORM_NFKD, NULL, &len);
	if (folded != NULL)
		sb_addn(out, folded, len);
	free(folded);
	sb_free(&clean);
}
