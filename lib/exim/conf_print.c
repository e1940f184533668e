/* SPDX-License-Identifier: BSD-2-Clause */
/* Options as -bP writes them. */
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "base/sb.h"
#include "exim/conf.h"

#define NAME_BUF	16384

/* 1w2d3h4m5s */
static void
put_time(struct sb *out, int64_t t)
{
	static const struct { char letter; int64_t secs; } unit[] = {
		{ 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 },
	};

	if (t <= 0)
		sb_adds(out, "0s");
	for (size_t i = 0; i < sizeof(unit) / sizeof(unit[0]); i++)
		if (t >= unit[i].secs) {
			sb_addf(out, "%lld%c", (long long)(t / unit[i].secs), unit[i].letter);
			t %= unit[i].secs;
		}
}

/* With one of <letters> where nothing is lost. */
static void
put_size(struct sb *out, int64_t n, const char *letters)
{
	int i = -1;

	while (n != 0 && n % 1024 == 0 && letters[i + 1] != '\0') {
		n /= 1024;
		i++;
	}
	sb_addf(out, "%lld", (long long)n);
	if (i >= 0)
		sb_addc(out, letters[i]);
}

/* Strings on one line: control characters as escapes, and without <top> what is beyond ASCII. */
static void
put_text(struct sb *out, struct sv v, bool top)
{
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];

		switch (c) {
		case '\n':
			sb_adds(out, "\\n");
			break;
		case '\t':
			sb_adds(out, "\\t");
			break;
		case '\r':
			sb_adds(out, "\\r");
			break;
		default:
			if (c < 32 || c == 127 || (c > 127 && !top))
				sb_addf(out, "\\%03o", c);
			else
				sb_addc(out, (char)c);
		}
	}
}

static void
put_id(struct sb *out, int64_t id, bool group)
{
	struct passwd pw, *p = NULL;
	struct group gr, *g = NULL;
	char *buf = xmalloc(NAME_BUF);

	if (group)
		(void)getgrgid_r((gid_t)id, &gr, buf, NAME_BUF, &g);
	else
		(void)getpwuid_r((uid_t)id, &pw, buf, NAME_BUF, &p);
	if (g != NULL)
		sb_adds(out, g->gr_name);
	else if (p != NULL)
		sb_adds(out, p->pw_name);
	else
		sb_addf(out, "%lld", (long long)id);
	free(buf);
}

static void
put_value(struct sb *out, const struct exim_option *o, const struct exim_value *v, bool top)
{
	bool group = o->type == EXIM_OPT_GID || o->type == EXIM_OPT_EGID || o->type == EXIM_OPT_GIDLIST;

	switch (o->type) {
	case EXIM_OPT_INT:
		sb_addf(out, "%lld", (long long)v->num);
		break;
	case EXIM_OPT_MKINT:
		put_size(out, v->num, "KM");
		break;
	case EXIM_OPT_KINT:
		put_size(out, v->num * 1024, "KMGTPE");
		break;
	case EXIM_OPT_OCTAL:
		sb_addf(out, "%#llo", (unsigned long long)v->num);
		break;
	case EXIM_OPT_FIXED:
		if (v->num < 0)
			break;
		sb_addf(out, "%lld.%03lld", (long long)(v->num / 1000), (long long)(v->num % 1000));
		for (int i = 0; i < 2 && out->p[out->len - 1] == '0'; i++)
			sb_cut(out, out->len - 1);
		break;
	case EXIM_OPT_TIME:
		put_time(out, v->num);
		break;
	case EXIM_OPT_ETIME:
		/* Exim keeps a plain time of this one as such. */
		if (strcmp(o->name, "smtp_receive_timeout") == 0 && sv_chr(v->text, '$') < 0)
			put_time(out, v->num);
		else
			put_text(out, v->text, top);
		break;
	case EXIM_OPT_TIMELIST:
		for (size_t i = 0; i < v->n; i++) {
			if (i > 0)
				sb_addc(out, ':');
			put_time(out, v->nums[i]);
		}
		break;
	case EXIM_OPT_UID:
	case EXIM_OPT_GID:
	case EXIM_OPT_EUID:
	case EXIM_OPT_EGID:
		if (v->num >= 0)
			put_id(out, v->num, group);
		else
			put_text(out, v->text, top);
		break;
	case EXIM_OPT_UIDLIST:
	case EXIM_OPT_GIDLIST:
		if (v->n == 0)
			put_text(out, v->text, top);
		for (size_t i = 0; i < v->n; i++) {
			if (i > 0)
				sb_addc(out, ':');
			put_id(out, v->nums[i], group);
		}
		break;
	default:
		put_text(out, v->text, top);
		break;
	}
}

/* Unset lists of users and fixed-point numbers have no blank behind the "=". */
static bool
tight(const struct exim_option *o, const struct exim_value *v)
{
	return (((o->type == EXIM_OPT_UIDLIST || o->type == EXIM_OPT_GIDLIST) && v->n == 0 && v->text.len == 0) ||
	    (o->type == EXIM_OPT_FIXED && v->num < 0));
}

bool
exim_conf_print_option(const struct exim_option *o, const struct exim_value *v, unsigned how, struct sb *out)
{
	bool label = (how & EXIM_PRINT_LABEL) != 0, top = (how & EXIM_PRINT_TOP) != 0;

	switch (o->type) {
	case EXIM_OPT_BOOL_VERIFY:
		return (false);		/* shown as the two that it stands for */
	case EXIM_OPT_EBOOL:
		if (v->str != NULL) {
			if (label)
				sb_addf(out, "%s = ", o->name);
			put_text(out, v->text, top);
			return (true);
		}
		/* FALLTHROUGH */
	case EXIM_OPT_BOOL:
	case EXIM_OPT_BOOL_SET:
		sb_addf(out, "%s%s", v->num != 0 ? "" : "no_", o->name);
		return (true);
	default:
		break;
	}
	if (label)
		sb_addf(out, tight(o, v) ? "%s =" : "%s = ", o->name);
	if (v->hide && (how & EXIM_PRINT_SECRETS) == 0)
		sb_adds(out, "<value not displayable>");
	else
		put_value(out, o, v, top);
	return (true);
}
