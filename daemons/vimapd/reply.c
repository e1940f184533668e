/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers of the session role. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "imap/write.h"
#include "session.h"

void
reply_ok(struct session *ss, const char *text)
{
	(void)stream_printf(ss->s, "%s OK %s\r\n", ss->tag, text);
}

void
reply_okf(struct session *ss, const char *fmt, ...)
{
	struct sb out = SB_INIT(1024 * 1024);
	va_list ap;

	va_start(ap, fmt);
	sb_addv(&out, fmt, ap);
	va_end(ap);
	(void)stream_printf(ss->s, "%s OK ", ss->tag);
	sb_adds(&out, "\r\n");
	reply_sb(ss, &out);
	sb_free(&out);
}

void
reply_no(struct session *ss, const char *text)
{
	(void)stream_printf(ss->s, "%s NO %s\r\n", ss->tag, text);
}

void
reply_bad(struct session *ss, const char *why)
{
	imap_reply_bad(ss->s, sv_cstr(ss->tag), why);
}

/* Response codes of RFC 5530 by the store's status. */
static const struct {
	const char	*status;
	const char	*code;
} codes[] = {
	{ STORE_E_NOPERM, "NOPERM" },
	{ STORE_E_NONE, "NONEXISTENT" },
	{ STORE_E_EXISTS, "ALREADYEXISTS" },
	{ STORE_E_BADNAME, "CANNOT" },
	{ STORE_E_LIMIT, "LIMIT" },
	{ STORE_E_FULL, "OVERQUOTA" },
	{ STORE_E_BODY, "UNAVAILABLE" },
};

void
reply_err(struct session *ss, const struct err *err, bool create)
{
	const char *code = err->cls == ERR_TEMP ? "UNAVAILABLE" : "CANNOT";
	struct sb text = SB_INIT(ERR_TEXT_MAX);

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strcmp(err->status, codes[i].status) == 0)
			code = codes[i].code;
	if (create && strcmp(err->status, STORE_E_NONE) == 0)
		code = "TRYCREATE";
	imap_put_text(&text, sv_cstr(err->text));
	(void)stream_printf(ss->s, "%s NO [%s] %s\r\n", ss->tag, code, sb_cstr(&text));
	if (err->cls == ERR_TEMP)
		log_err(&ss->log, imap_verb_name(ss->verb), err);
	sb_free(&text);
}

void
reply_bye(struct session *ss, const char *text)
{
	if (!ss->closing)
		(void)stream_printf(ss->s, "* BYE %s\r\n", text);
	ss->closing = true;
}

void
reply_sb(struct session *ss, const struct sb *out)
{
	if (out->overflow) {
		reply_bye(ss, "The answer is too long.");
		return;
	}
	(void)stream_write(ss->s, sb_sv(out));
}

void
put_flags(struct sb *out, const struct session *ss, const struct store_msg *m)
{
	const struct store_keywords *kw = &ss->sel.kw;
	const char *sep = "";

	for (unsigned bit = 1; bit <= STORE_SYSFLAGS; bit <<= 1)
		if ((m->flags & bit) != 0) {
			sb_addf(out, "%s%s", sep, store_flag_name(bit));
			sep = " ";
		}
	if (m->uid >= ss->sel.first_recent) {
		sb_addf(out, "%s\\Recent", sep);
		sep = " ";
	}
	for (unsigned i = 0; i < kw->n && i < 64; i++)
		if ((m->keywords >> i & 1) != 0) {
			sb_addf(out, "%s%s", sep, kw->name[i]);
			sep = " ";
		}
}

void
put_ranges(struct sb *out, const struct store_range *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sb_addf(out, "%s%u", i > 0 ? "," : "", v[i].first);
		if (v[i].last != v[i].first)
			sb_addf(out, ":%u", v[i].last);
	}
}
