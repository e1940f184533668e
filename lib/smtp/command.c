/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SMTP command lines to verbs and arguments.  The verbs and the ESMTP parameters are
 * two tables; a new one is a row and a function.
 */
#include <assert.h>
#include <string.h>

#include "base/codec.h"
#include "base/num.h"
#include "smtp/command.h"

#define ENVID_MAX	100	/* RFC 3461 section 4.4 */
#define ORCPT_MAX	500	/* RFC 3461 section 4.2 */

struct parse {
	struct sv	 line;
	unsigned	 flags;
	struct arena	*a;
	struct smtp_command *cmd;
	struct err	*err;
	unsigned	 given;		/* parameters seen, by their row */
};

/* ---- xtext ---- */

bool
smtp_xtext_decode(struct sb *out, struct sv in)
{
	size_t mark = out->len;

	for (size_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.p[i];

		if (c == '+') {
			struct sv hex = sv_sub(in, i + 1, i + 3);

			if (hex.len != 2 || !hex_decode(out, hex)) {
				sb_cut(out, mark);
				return (false);
			}
			i += 2;
		} else if (c > ' ' && c < 127 && c != '=') {
			sb_addc(out, (char)c);
		} else {
			sb_cut(out, mark);
			return (false);
		}
	}
	return (true);
}

void
smtp_xtext_encode(struct sb *out, struct sv in)
{
	for (size_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.p[i];

		if (c > ' ' && c < 127 && c != '+' && c != '=')
			sb_addc(out, (char)c);
		else
			sb_addf(out, "+%02X", c);
	}
}

/* Decoded into the arena; false if malformed, too long, or with bytes that could break a line. */
static bool
xtext_value(struct parse *p, struct sv in, size_t max, struct sv *out)
{
	struct sb sb = SB_INIT(max);
	bool ok = smtp_xtext_decode(&sb, in) && !sb.overflow;

	for (size_t i = 0; ok && i < sb.len; i++)
		ok = (unsigned char)sb.p[i] >= ' ' && sb.p[i] != 127;
	if (ok)
		*out = arena_sv(p->a, sv_taint(sb_sv(&sb)));
	sb_free(&sb);
	return (ok);
}

/* ---- ESMTP parameters of MAIL and RCPT ---- */

static bool
par_size(struct parse *p, struct sv v)
{
	/* RFC 1870: up to 20 digits; what passes our range is as good as infinite. */
	if (v.len == 0 || v.len > 20)
		return ((p->flags & SMTP_PARSE_LAX) != 0);
	for (size_t i = 0; i < v.len; i++)
		if (!sv_isdigit(v.p[i]))
			return ((p->flags & SMTP_PARSE_LAX) != 0);
	if (!num_parse(v, 0, INT64_MAX, &p->cmd->size))
		p->cmd->size = INT64_MAX;
	return (true);
}

static bool
par_body(struct parse *p, struct sv v)
{
	if (sv_caseeqs(v, "7BIT"))
		p->cmd->body = SMTP_BODY_7BIT;
	else if (sv_caseeqs(v, "8BITMIME"))
		p->cmd->body = SMTP_BODY_8BITMIME;
	else if (sv_caseeqs(v, "BINARYMIME") && (p->flags & SMTP_PARSE_BINARY) != 0)
		p->cmd->body = SMTP_BODY_BINARYMIME;
	else
		return (false);
	return (true);
}

static bool
par_utf8(struct parse *p, struct sv v)
{
	p->cmd->smtputf8 = true;
	return (v.p == NULL);
}

static bool
par_prdr(struct parse *p, struct sv v)
{
	p->cmd->prdr = true;
	return (v.p == NULL);
}

static bool
par_auth(struct parse *p, struct sv v)
{
	if (v.len == 0 && (p->flags & SMTP_PARSE_LAX) != 0)
		return (true);
	p->cmd->has_auth = true;
	if (sv_eqs(v, "<>")) {
		p->cmd->auth = SV_LIT("");
		return (true);
	}
	return (v.len > 0 && xtext_value(p, v, MAIL_ADDRESS_MAX, &p->cmd->auth));
}

static bool
par_ret(struct parse *p, struct sv v)
{
	if (sv_caseeqs(v, "FULL"))
		p->cmd->ret = SMTP_RET_FULL;
	else if (sv_caseeqs(v, "HDRS"))
		p->cmd->ret = SMTP_RET_HDRS;
	return (p->cmd->ret != SMTP_RET_NONE);
}

static bool
par_envid(struct parse *p, struct sv v)
{
	return (v.len > 0 && xtext_value(p, v, ENVID_MAX, &p->cmd->envid));
}

static bool
par_notify(struct parse *p, struct sv v)
{
	static const struct { const char *name; unsigned bit; } words[] = {
		{ "SUCCESS", SMTP_NOTIFY_SUCCESS }, { "FAILURE", SMTP_NOTIFY_FAILURE }, { "DELAY", SMTP_NOTIFY_DELAY },
	};
	struct sv word;

	if (sv_caseeqs(v, "NEVER")) {
		p->cmd->notify = SMTP_NOTIFY_NEVER;
		return (true);
	}
	while (sv_next(&v, ',', &word)) {
		unsigned bit = 0;

		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (sv_caseeqs(word, words[i].name))
				bit = words[i].bit;
		if (bit == 0)
			return (false);
		p->cmd->notify |= bit;
	}
	return (p->cmd->notify != 0);
}

/* A malformed one is as good as none to Exim, which passes on what it does not understand; we do not. */
static bool
par_orcpt(struct parse *p, struct sv v)
{
	bool lax = (p->flags & SMTP_PARSE_LAX) != 0;
	ptrdiff_t semi = sv_chr(v, ';');
	struct sv addr;

	if (semi < 1 || v.len > ORCPT_MAX)
		return (lax);
	for (ptrdiff_t i = 0; i < semi; i++)
		if (!sv_isalnum(v.p[i]) && v.p[i] != '-')
			return (lax);
	if ((size_t)semi + 1 == v.len || !xtext_value(p, sv_sub(v, (size_t)semi + 1, v.len), ORCPT_MAX, &addr))
		return (lax);
	p->cmd->orcpt = sv_taint(sv_cstr(arena_fmt(p->a, "%.*s;" SV_FMT, (int)semi, v.p, SV_ARG(addr))));
	return (true);
}

static const struct {
	const char	*name;
	enum smtp_verb	 verb;
	unsigned	 flag;		/* SMTP_PARSE_*: known when set */
	bool		(*take)(struct parse *p, struct sv value);
	const char	*wrong;		/* what is said of a bad value, as Exim; NULL: something general */
	/* With SMTP_PARSE_LAX: read over where it is not offered; any value will do. */
	bool		 ignored, any;
} params[] = {
	{ "SIZE",	SMTP_MAIL, SMTP_PARSE_SIZE,	par_size, NULL, false, false },
	{ "BODY",	SMTP_MAIL, SMTP_PARSE_8BIT,	par_body, "invalid data for BODY", false, false },
	{ "SMTPUTF8",	SMTP_MAIL, SMTP_PARSE_UTF8,	par_utf8, NULL, false, false },
	{ "AUTH",	SMTP_MAIL, SMTP_PARSE_AUTH,	par_auth, "invalid data for AUTH", false, false },
	{ "PRDR",	SMTP_MAIL, SMTP_PARSE_PRDR,	par_prdr, NULL, true, true },
	{ "RET",	SMTP_MAIL, SMTP_PARSE_DSN,	par_ret, "Value for RET is invalid", true, false },
	{ "ENVID",	SMTP_MAIL, SMTP_PARSE_DSN,	par_envid, NULL, true, true },
	{ "NOTIFY",	SMTP_RCPT, SMTP_PARSE_DSN,	par_notify, "Invalid value for NOTIFY parameter", false, false },
	{ "ORCPT",	SMTP_RCPT, SMTP_PARSE_DSN,	par_orcpt, NULL, false, false },
};

static unsigned
fail(struct parse *p, unsigned code, const char *status, const char *why)
{
	(void)err_set(p->err, ERR_PERM, status, "%s", why);
	return (code);
}

/* Exim's words; what stands before <rest> is shown with its blanks. */
static unsigned
does_not_follow(struct parse *p, struct sv rest)
{
	struct sv arg = p->cmd->arg;

	(void)err_set(p->err, ERR_PERM, "5.5.4", SV_FMT ": malformed address: " SV_FMT " may not follow " SV_FMT, SV_ARG(arg),
	    SV_ARG(sv_sub(rest, 0, 32)), SV_ARG(sv_sub(arg, 0, (size_t)(rest.p - arg.p))));
	return (501);
}

static unsigned
one_param(struct parse *p, struct sv word)
{
	ptrdiff_t eq = sv_chr(word, '=');
	struct sv name = eq < 0 ? word : sv_sub(word, 0, (size_t)eq);
	struct sv value = eq < 0 ? SV_NULL : sv_sub(word, (size_t)eq + 1, word.len);
	bool lax = (p->flags & SMTP_PARSE_LAX) != 0;
	const char *from = word.p;

	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		if (params[i].verb != p->cmd->verb || !sv_caseeqs(name, params[i].name))
			continue;
		if ((p->flags & params[i].flag) == 0 && params[i].flag == SMTP_PARSE_UTF8 && lax && eq < 0)
			return (fail(p, 501, "5.5.4", "SMTPUTF8 used when not advertised"));
		if ((p->flags & params[i].flag) == 0 && lax && params[i].ignored)
			return (0);
		if ((p->flags & params[i].flag) == 0)
			break;
		/* RFC 5321 section 4.1.2 has each parameter once; Exim minds for some, and the first counts. */
		if ((p->given & 1u << i) != 0 && lax && params[i].flag != SMTP_PARSE_DSN)
			return (0);
		if ((p->given & 1u << i) != 0) {
			(void)err_set(p->err, ERR_PERM, "5.5.4", "%s can be specified once only", params[i].name);
			return (501);
		}
		p->given |= 1u << i;
		if (params[i].take(p, value) || (lax && (params[i].any || (value.p != NULL && value.len == 0))))
			return (0);
		if (params[i].wrong != NULL)
			(void)err_set(p->err, ERR_PERM, "5.5.4", "%s", params[i].wrong);
		else
			(void)err_set(p->err, ERR_PERM, "5.5.4", "%s parameter is malformed: " SV_FMT, params[i].name,
			    SV_ARG(word));
		return (501);
	}
	/* Exim reads from the end, and shows all that it has not taken. */
	if (lax)
		from = p->cmd->path_text.p + p->cmd->path_text.len + 1;
	(void)does_not_follow(p, sv_from(from, (size_t)(p->cmd->arg.p + p->cmd->arg.len - from)));
	return ((p->flags & SMTP_PARSE_ESMTP) != 0 && sv_chr(word, '=') > 0 ? 555 : 501);
}

/* ---- arguments by verb ---- */

/* Where the path ends: behind its '>' (quotes minded), or at the first blank of a bare one. */
static size_t
path_end(struct sv v)
{
	bool quoted = false;
	bool angle = v.len > 0 && v.p[0] == '<';

	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (c == '\\' && i + 1 < v.len)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && angle && c == '>')
			return (i + 1);
		else if (!quoted && !angle && (c == ' ' || c == '\t'))
			return (i);
	}
	return (v.len);
}

/* Length of the words, quoted strings and comments before "<"; 0: it is no such thing. */
static size_t
phrase_len(struct sv v)
{
	bool quoted = false;
	unsigned depth = 0;

	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (c == '\\' && (quoted || depth > 0))
			i++;
		else if (quoted)
			quoted = c != '"';
		else if (c == '(')
			depth++;
		else if (depth > 0)
			depth -= c == ')';
		else if (c == '"')
			quoted = true;
		else if (c == '<')
			return (i);
		else if (strchr(")@:;,[]\\>", c) != NULL)
			return (0);
	}
	return (0);
}

/* Exim asks nothing of a local part beyond ASCII. */
static bool
only_local_8bit(const struct parse *p)
{
	struct sv v = p->cmd->path_text;

	return ((p->flags & SMTP_PARSE_LAX) != 0 && sv_is_ascii(sv_sub(v, (size_t)(sv_rchr(v, '@') + 1), v.len)));
}

/* Parse the path at the start of the argument, then the parameters. */
static unsigned
path_args(struct parse *p, unsigned aflags)
{
	struct sv v = p->cmd->arg, rest, word;
	struct err why = ERR_INIT;
	size_t front = (p->flags & SMTP_PARSE_LAX) != 0 ? phrase_len(v) : 0, end;
	unsigned code;

	/* Exim takes the address of a header field, too. */
	v = sv_sub(v, front, v.len);
	end = path_end(v);

	/* Angles too many belong to the path: its parser tells of them, or drops them. */
	while (v.p[0] == '<' && end < v.len && v.p[end] == '>')
		end++;
	p->cmd->path_text = sv_sub(v, 0, end);
	rest = sv_sub(v, end, v.len);
	if (rest.len > 0 && rest.p[0] != ' ' && rest.p[0] != '\t')
		return (does_not_follow(p, rest));
	aflags |= MAIL_ADDR_LITERAL;
	if ((p->flags & SMTP_PARSE_UTF8) != 0)
		aflags |= MAIL_ADDR_UTF8;
	if ((p->flags & SMTP_PARSE_8BIT_DOMAIN) != 0 || only_local_8bit(p))
		aflags |= MAIL_ADDR_8BIT;
	if ((p->flags & SMTP_PARSE_STRIP_ANGLES) != 0)
		aflags |= MAIL_ADDR_STRIP_ANGLES;
	if ((p->flags & SMTP_PARSE_STRIP_DOT) != 0)
		aflags |= MAIL_ADDR_STRIP_DOT;
	if (mail_path_lenient(p->cmd->path_text, aflags, p->a, &p->cmd->path, &why) == -1) {
		(void)err_set(p->err, ERR_PERM, p->cmd->verb == SMTP_MAIL ? "5.1.7" : "5.1.3", SV_FMT ": %s", SV_ARG(p->cmd->arg),
		    why.text);
		return (501);
	}
	/* A comment behind MAIL's address. */
	if ((p->flags & SMTP_PARSE_LAX) != 0 && p->cmd->verb == SMTP_MAIL && sv_trim(rest).len > 0 && sv_trim(rest).p[0] == '(' &&
	    sv_trim(rest).p[sv_trim(rest).len - 1] == ')')
		rest = SV_NULL;
	while (sv_word(&rest, &word)) {
		if ((p->flags & SMTP_PARSE_ESMTP) == 0)
			return (does_not_follow(p, sv_from(word.p, (size_t)(v.p + v.len - word.p))));
		if ((code = one_param(p, word)) != 0)
			return (code);
	}
	return (0);
}

/* "FROM:" or "TO:" and the path; a blank before the colon is forgiven. */
static unsigned
mail_or_rcpt(struct parse *p, const char *keyword, unsigned aflags)
{
	const char *name = smtp_verb_name(p->cmd->verb);
	struct sv v = p->cmd->arg;
	size_t n = strlen(keyword);

	/* "MAIL FROM:" is one command to Exim, with one blank. */
	if (!sv_casestarts(v, keyword) || ((p->flags & SMTP_PARSE_LAX) != 0 && (v.p != p->line.p + strlen(name) + 1 ||
	    v.len == n || v.p[n] != ':'))) {
		(void)err_set(p->err, ERR_PERM, "5.5.2", "unrecognized command: %s is followed by %s:<address>", name,
		    keyword);
		return (500);
	}
	v = sv_trim(sv_sub(v, n, v.len));
	if (v.len == 0 || v.p[0] != ':') {
		(void)err_set(p->err, ERR_PERM, "5.5.2", "unrecognized command: %s is followed by %s:<address>", name,
		    keyword);
		return (500);
	}
	v = sv_trim(sv_sub(v, 1, v.len));
	if (v.len == 0) {
		(void)err_set(p->err, ERR_PERM, "5.5.4", "%s must have an address operand", name);
		return (501);
	}
	p->cmd->arg = v;
	return (path_args(p, aflags));
}

static unsigned
args_mail(struct parse *p)
{
	unsigned code = mail_or_rcpt(p, "FROM", MAIL_ADDR_EMPTY);

	/* RFC 6531 section 3.4: an address beyond ASCII needs the parameter. */
	if (code == 0 && !p->cmd->smtputf8 && (p->flags & SMTP_PARSE_8BIT_DOMAIN) == 0 && !sv_is_ascii(p->cmd->path_text) &&
	    !only_local_8bit(p))
		return (fail(p, 550, "5.6.7", "an address that is not ASCII needs the SMTPUTF8 parameter"));
	return (code);
}

static unsigned
args_rcpt(struct parse *p)
{
	/* The empty path is the session's to refuse, in its own words. */
	return (mail_or_rcpt(p, "TO", MAIL_ADDR_EMPTY));
}

static unsigned
args_bdat(struct parse *p)
{
	struct sv v = p->cmd->arg, word;

	if (!sv_word(&v, &word))
		return (fail(p, 501, "5.5.4", "missing size for BDAT command"));
	if (!num_parse_u64(word, INT64_MAX, &p->cmd->chunk))
		return (fail(p, 501, "5.5.4", "missing size for BDAT command"));
	if (sv_word(&v, &word)) {
		if (!sv_caseeqs(word, "LAST"))
			return (fail(p, 501, "5.5.4", "optional argument to BDAT must be LAST"));
		p->cmd->last = true;
	}
	if (sv_word(&v, &word))
		return (fail(p, 501, "5.5.4", "unexpected argument behind BDAT ... LAST"));
	return (0);
}

static unsigned
args_auth(struct parse *p)
{
	struct sv v = p->cmd->arg, initial;

	bool lax = (p->flags & SMTP_PARSE_LAX) != 0;

	p->cmd->mechanism = SV_LIT("");
	if (!sv_word(&v, &p->cmd->mechanism) && lax)
		return (fail(p, 504, "5.5.4", " authentication mechanism not supported"));
	if (p->cmd->mechanism.len == 0)
		return (fail(p, 501, "5.5.4", "AUTH needs the name of a mechanism, as EHLO lists them"));
	for (size_t i = 0; i < p->cmd->mechanism.len; i++) {
		char c = p->cmd->mechanism.p[i];

		if (!sv_isalnum(c) && c != '-' && c != '_')
			return (fail(p, 501, "5.5.4", "AUTH: the name of the mechanism is malformed"));
	}
	/* No initial response is not the same as an empty one. */
	if (sv_word(&v, &initial)) {
		p->cmd->initial = initial;
		if (sv_eqs(p->cmd->initial, "="))	/* RFC 4954 section 4: an empty initial response */
			p->cmd->initial.len = 0;
		/* Exim has one argument there, which is no base64 then. */
		if (sv_trim(v).len > 0 && lax)
			p->cmd->initial = SV_LIT("?");
		else if (sv_trim(v).len > 0)
			return (fail(p, 501, "5.5.4", "AUTH takes a mechanism and one initial response"));
	}
	return (0);
}

static unsigned
args_none(struct parse *p)
{
	return (p->cmd->arg.len == 0 ? 0 : fail(p, 501, "5.5.4", "unexpected argument data"));
}

static const struct {
	const char	*name;
	enum smtp_verb	 verb;
	unsigned	(*args)(struct parse *p);	/* NULL: any argument, looked at by the caller */
} verbs[] = {
	{ "HELO",	SMTP_HELO,	NULL },
	{ "EHLO",	SMTP_EHLO,	NULL },
	{ "LHLO",	SMTP_LHLO,	NULL },
	{ "MAIL",	SMTP_MAIL,	args_mail },
	{ "RCPT",	SMTP_RCPT,	args_rcpt },
	{ "DATA",	SMTP_DATA,	args_none },
	{ "BDAT",	SMTP_BDAT,	args_bdat },
	{ "RSET",	SMTP_RSET,	args_none },
	{ "NOOP",	SMTP_NOOP,	NULL },
	{ "QUIT",	SMTP_QUIT,	args_none },
	{ "HELP",	SMTP_HELP,	NULL },
	{ "VRFY",	SMTP_VRFY,	NULL },
	{ "EXPN",	SMTP_EXPN,	NULL },
	{ "ETRN",	SMTP_ETRN,	NULL },
	{ "STARTTLS",	SMTP_STARTTLS,	args_none },
	{ "AUTH",	SMTP_AUTH,	args_auth },
	{ "XCLIENT",	SMTP_XCLIENT,	NULL },
	{ "WELLKNOWN",	SMTP_WELLKNOWN,	NULL },
	{ "XLOCAL",	SMTP_XLOCAL,	NULL },
};

#define NVERBS	(sizeof(verbs) / sizeof(verbs[0]))

const char *
smtp_verb_name(enum smtp_verb v)
{
	for (size_t i = 0; i < NVERBS; i++)
		if (verbs[i].verb == v)
			return (verbs[i].name);
	return ("");
}

unsigned
smtp_command_parse(struct sv line, unsigned flags, struct arena *a, struct smtp_command *out, struct err *err)
{
	struct parse p = { .line = line, .flags = flags, .a = a, .cmd = out, .err = err };
	size_t n = 0;

	memset(out, 0, sizeof(*out));
	out->size = -1;
	line.tainted = true;
	while (line.len > 0 && sv_isspace(line.p[line.len - 1]))
		line.len--;
	if ((flags & SMTP_PARSE_LAX) == 0)
		line = sv_trim(line);
	p.line = line;
	while (n < line.len && sv_isalpha(line.p[n]))
		n++;
	out->word = sv_sub(line, 0, n);
	out->arg = sv_trim(sv_sub(line, n, line.len));
	if (line.len > 0 && memchr(line.p, '\0', line.len) != NULL)
		return (fail(&p, 501, "5.5.2", "NUL characters are not allowed in SMTP commands"));
	if (n < line.len && line.p[n] != ' ' && ((line.p[n] != '\t' && line.p[n] != ':') || (flags & SMTP_PARSE_LAX) != 0))
		return (0);
	for (size_t i = 0; i < NVERBS; i++)
		if (sv_caseeqs(out->word, verbs[i].name)) {
			out->verb = verbs[i].verb;
			return (verbs[i].args == NULL ? 0 : verbs[i].args(&p));
		}
	return (0);
}

/* "[192.0.2.1]", "[IPv6:...]", and the bare "[2001:db8::1]" and "[IPv4:192.0.2.1]" that some send. */
static bool
helo_literal_ok(struct sv v)
{
	if (mail_domain_literal_ok(v))
		return (true);
	if (v.len < 4 || v.p[v.len - 1] != ']' || sv_chr(v, ':') < 0)
		return (false);
	for (size_t i = sv_casestarts(v, "[IPv4:") ? 6 : 1; i + 1 < v.len; i++)
		if (strchr("0123456789abcdefABCDEF:.", v.p[i]) == NULL)
			return (false);
	return (true);
}

bool
smtp_helo_ok(struct sv arg, const char *allow)
{
	if (arg.len == 0 || arg.len > MAIL_DOMAIN_MAX || memchr(arg.p, '\0', arg.len) != NULL)
		return (false);
	if (arg.p[0] == '[')
		return (helo_literal_ok(arg));
	for (size_t i = 0; i < arg.len; i++) {
		char c = arg.p[i];

		if (!sv_isalnum(c) && c != '.' && c != '-' && (allow == NULL || strchr(allow, c) == NULL))
			return (false);
	}
	return (true);
}
