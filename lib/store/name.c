/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of mailboxes: what is valid, whose they are, and how a client with its
 * own separator sees them.  Pure.
 */
#include <string.h>

#include "base/codec.h"
#include "store/store.h"

static bool
char_ok(unsigned char c)
{
	return (c >= ' ' && c != 127 && c != '*' && c != '%');
}

bool
store_name_valid(struct sv name)
{
	size_t depth = 1, start = 0;

	if (name.len == 0 || name.len > STORE_NAME_MAX || !utf8_valid(name))
		return (false);
	for (size_t i = 0; i <= name.len; i++) {
		if (i == name.len || name.p[i] == '.') {
			if (i == start)
				return (false);
			start = i + 1;
			depth++;
		} else if (!char_ok((unsigned char)name.p[i]))
			return (false);
	}
	/* "user" alone would be the parent of all users. */
	return (depth - 1 <= STORE_DEPTH_MAX && !sv_eqs(name, "user"));
}

static int
bad_name(struct err *err, struct sv name, const char *why)
{
	return (err_set(err, ERR_PERM, "5.1.3", "mailbox name \"" SV_FMT "\": %s", SV_ARG(sv_sub(name, 0, 200)), why));
}

/* Add one component, with its dots as '^'. */
static int
add_component(struct sb *out, struct sv c, bool lower, bool caret, struct sv whole, struct err *err)
{
	if (c.len == 0)
		return (bad_name(err, whole, "a part of it is empty"));
	if (!caret && sv_chr(c, '^') >= 0)
		return (bad_name(err, whole, "'^' cannot stand in a name"));
	for (size_t i = 0; i < c.len; i++) {
		char ch = c.p[i] == '.' ? '^' : c.p[i];

		sb_addc(out, lower ? sv_lower(ch) : ch);
	}
	return (0);
}

/* Hand the built name over. */
static int
finish(struct sb *sb, struct sv whole, char buf[STORE_NAME_MAX + 1], struct err *err)
{
	struct sv v = sb_sv(sb);
	int rc = -1;

	if (sb->overflow || v.len > STORE_NAME_MAX)
		(void)bad_name(err, whole, "longer than 480 bytes");
	else if (!store_name_valid(v))
		(void)bad_name(err, whole, "not UTF-8, or it holds a character that cannot stand in a name");
	else {
		memcpy(buf, v.p, v.len);
		buf[v.len] = '\0';
		rc = 0;
	}
	sb_free(sb);
	return (rc);
}

int
store_name_inbox(struct sv user, char buf[STORE_NAME_MAX + 1], struct err *err)
{
	struct sb sb = SB_INIT(STORE_NAME_MAX);

	buf[0] = '\0';
	if (user.len > STORE_USER_MAX)
		return (bad_name(err, user, "a user's name has at most 128 bytes"));
	sb_adds(&sb, "user.");
	if (add_component(&sb, user, true, false, user, err) == -1) {
		sb_free(&sb);
		return (-1);
	}
	return (finish(&sb, user, buf, err));
}

struct sv
store_name_owner(struct sv name, char buf[STORE_NAME_MAX + 1])
{
	struct sv rest = name, c;

	if (name.len > STORE_NAME_MAX || !sv_next(&rest, '.', &c) || !sv_eqs(c, "user") || !sv_next(&rest, '.', &c))
		return (SV_NULL);
	for (size_t i = 0; i < c.len; i++)
		buf[i] = c.p[i] == '^' ? '.' : c.p[i];
	buf[c.len] = '\0';
	return (sv_from(buf, c.len));
}

bool
store_name_is_inbox(struct sv name)
{
	return (sv_starts(name, "user.") && name.len > 5 && sv_chr(sv_sub(name, 5, name.len), '.') < 0);
}

int
store_name_from_client(struct sv name, char sep, struct sv user, char buf[STORE_NAME_MAX + 1], struct err *err)
{
	struct sb sb = SB_INIT(STORE_NAME_MAX * 2);
	struct sv rest = name, c;
	bool first = true;

	buf[0] = '\0';
	if (name.len == 0 || name.len > STORE_NAME_MAX)
		return (bad_name(err, name, "empty, or longer than 480 bytes"));
	if (name.p[name.len - 1] == sep)
		return (bad_name(err, name, "a part of it is empty"));
	while (sv_next(&rest, sep, &c)) {
		if (first && sv_caseeqs(c, "INBOX")) {
			sb_adds(&sb, "user.");
			if (add_component(&sb, user, true, false, name, err) == -1)
				goto bad;
		} else {
			if (!first)
				sb_addc(&sb, '.');
			if (add_component(&sb, c, false, sep == '.', name, err) == -1)
				goto bad;
		}
		first = false;
	}
	return (finish(&sb, name, buf, err));
bad:
	sb_free(&sb);
	return (-1);
}

void
store_name_to_client(struct sv name, char sep, struct sv user, struct sb *out)
{
	char inbox[STORE_NAME_MAX + 1];
	struct sv in, rest = name;

	if (store_name_inbox(user, inbox, NULL) == 0) {
		in = sv_cstr(inbox);
		if (sv_starts(name, inbox) && (name.len == in.len || name.p[in.len] == '.')) {
			sb_adds(out, "INBOX");
			rest = sv_sub(name, in.len, name.len);
		}
	}
	for (size_t i = 0; i < rest.len; i++) {
		char c = rest.p[i];

		/* With '.' between the parts, '^' has to stay what it is. */
		sb_addc(out, c == '.' ? sep : c == '^' && sep != '.' ? '.' : c);
	}
}
