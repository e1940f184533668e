/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules of hosts.allow and hosts.deny: "DAEMONS : CLIENTS [: OPTION ...]".  Patterns are found by looking, nothing is
 * compiled: such files have some lines, and are asked once a connection.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "net/hosts_access.h"

#define LINE_MAX_RULE	8192
#define DEPTH_MAX	8		/* EXCEPT within EXCEPT */
#define DEPTH_FILE	100		/* and more: within a file that a rule names */
#define FIELDS_MAX	16
#define NAME_MAX_HOST	256
#define FILE_WORDS_MAX	100000

static bool in_list(struct sv list, struct hosts_client *c, bool daemons, int depth);

/* ---- patterns ---- */

static struct sv
client_name(struct hosts_client *c)
{
	if (c->known_name == NULL) {
		c->known_name = c->name == NULL ? "" : c->name(c->arg, &c->mismatch);
		if (c->known_name == NULL)
			c->known_name = "";
	}
	return (sv_cstr(c->known_name));
}

/* "192.0.2.0/255.255.255.0", "192.0.2.0/24", "[2001:db8::]/32". */
static bool
net_matches(struct sv pattern, const struct net_addr *a)
{
	ptrdiff_t slash = sv_chr(pattern, '/');
	struct sv host = sv_sub(pattern, 0, (size_t)slash), bits = sv_sub(pattern, (size_t)slash + 1, pattern.len);
	struct net_addr net, mask;
	struct net_prefix p;
	int64_t n;

	if (!net_addr_parse(host, &net) || net.family != a->family)
		return (false);
	if (sv_chr(bits, '.') >= 0) {
		if (!net_addr_parse(bits, &mask) || mask.family != 4 || a->family != 4)
			return (false);
		for (int i = 0; i < 4; i++)
			if ((a->ip[i] & mask.ip[i]) != (net.ip[i] & mask.ip[i]))
				return (false);
		return (true);
	}
	if (!num_parse(bits, 0, a->family == 4 ? 32 : 128, &n))
		return (false);
	p = (struct net_prefix){ .addr = net, .bits = (unsigned)n };
	return (net_prefix_match(&p, a));
}

static bool
glob_matches(struct sv pattern, struct sv text)
{
	char p[NAME_MAX_HOST], t[NAME_MAX_HOST];

	if (pattern.len >= sizeof(p) || text.len >= sizeof(t))
		return (false);
	(void)snprintf(p, sizeof(p), SV_FMT, SV_ARG(pattern));
	(void)snprintf(t, sizeof(t), SV_FMT, SV_ARG(text));
	return (fnmatch(p, t, FNM_CASEFOLD | FNM_NOESCAPE) == 0);
}

static bool
name_ends_in(struct sv name, struct sv suffix)
{
	return (name.len > suffix.len && sv_caseeq(sv_sub(name, name.len - suffix.len, name.len), suffix));
}

/* One address or name pattern against an address, with the client's name where <named>. */
static bool
host_matches(struct sv p, const struct net_addr *a, struct hosts_client *c, bool named)
{
	char text[NET_ADDR_TEXT_MAX];
	struct net_addr one;
	struct sv addr;

	if (a->family == 0)
		return (sv_eqs(p, "ALL") || sv_eqs(p, "UNKNOWN"));
	addr = sv_cstr(net_addr_text(a, text));
	if (sv_eqs(p, "ALL"))
		return (true);
	if (sv_chr(p, '/') > 0)
		return (net_matches(p, a));
	if (net_addr_parse(p, &one))
		return (net_addr_eq(&one, a));
	if (p.p[p.len - 1] == '.')
		return (addr.len > p.len && memcmp(addr.p, p.p, p.len) == 0);
	if (p.p[0] == '@')
		return (false);			/* netgroups: nobody has them any more */
	if (sv_chr(p, '*') >= 0 || sv_chr(p, '?') >= 0)
		return (glob_matches(p, addr) || (named && client_name(c).len > 0 && glob_matches(p, client_name(c))));
	if (!named)
		return (false);
	if (sv_eqs(p, "KNOWN"))
		return (client_name(c).len > 0);
	if (sv_eqs(p, "UNKNOWN"))
		return (client_name(c).len == 0);
	if (sv_eqs(p, "PARANOID"))
		return ((void)client_name(c), c->mismatch);
	if (sv_eqs(p, "LOCAL"))
		return (client_name(c).len > 0 && sv_chr(client_name(c), '.') < 0);
	if (p.p[0] == '.')
		return (name_ends_in(client_name(c), p));
	return (client_name(c).len > 0 && sv_caseeq(client_name(c), p));
}

static bool
file_matches(struct sv path, struct hosts_client *c, int depth)
{
	struct sv text, line;

	/* A file that names files would be read for each of its lines. */
	if (depth >= DEPTH_FILE || c->file == NULL || !c->file(c->arg, path, &text))
		return (false);
	while (sv_next(&text, '\n', &line))
		if (line.len > 0 && line.p[0] != '#' && in_list(line, c, false, DEPTH_FILE))
			return (true);
	return (false);
}

static bool
client_matches(struct sv p, struct hosts_client *c, int depth)
{
	ptrdiff_t at = sv_rchr(p, '@');

	/* user@host: who the user is, nobody is asked. */
	if (at > 0) {
		struct sv user = sv_sub(p, 0, (size_t)at);

		if (!sv_eqs(user, "ALL") && !sv_eqs(user, "UNKNOWN"))
			return (false);
		p = sv_sub(p, (size_t)at + 1, p.len);
	}
	if (p.len == 0)
		return (false);
	if (p.p[0] == '/')
		return (file_matches(p, c, depth));
	return (host_matches(p, &c->addr, c, true));
}

static bool
daemon_matches(struct sv p, struct hosts_client *c)
{
	ptrdiff_t at = sv_rchr(p, '@');
	struct sv name = at > 0 ? sv_sub(p, 0, (size_t)at) : p;

	if (at > 0 && !(at + 1 < (ptrdiff_t)p.len && host_matches(sv_sub(p, (size_t)at + 1, p.len), &c->server, c, false)))
		return (false);
	return (sv_eqs(name, "ALL") || sv_caseeq(name, sv_cstr(c->daemon)));
}

/* ---- lists ---- */

static bool
next_word(struct sv *rest, struct sv *word)
{
	size_t i = 0, b;

	while (i < rest->len && (rest->p[i] == ' ' || rest->p[i] == '\t' || rest->p[i] == ',' || rest->p[i] == '\r'))
		i++;
	for (b = i; i < rest->len && rest->p[i] != ' ' && rest->p[i] != '\t' && rest->p[i] != ',' && rest->p[i] != '\r';)
		i++;
	*word = sv_sub(*rest, b, i);
	*rest = sv_sub(*rest, i, rest->len);
	return (word->len > 0);
}

/* "A B EXCEPT C D EXCEPT E" is "A B, but not those of (C D, but not E)". */
static bool
in_list(struct sv list, struct hosts_client *c, bool daemons, int depth)
{
	struct sv word;
	bool found = false;

	if (depth > DEPTH_FILE + DEPTH_MAX || (depth > DEPTH_MAX && depth < DEPTH_FILE))
		return (false);
	for (size_t n = 0; n < FILE_WORDS_MAX && next_word(&list, &word); n++) {
		if (sv_caseeqs(word, "EXCEPT"))
			return (found && !in_list(list, c, daemons, depth + 1));
		if (!found)
			found = daemons ? daemon_matches(word, c) : client_matches(word, c, depth);
	}
	return (found);
}

/* ---- rules ---- */

/* Cut at colons outside of brackets; "\:" is none.  The number of fields. */
static size_t
split(struct sv line, struct sv field[FIELDS_MAX])
{
	size_t n = 0, from = 0;
	bool bracket = false;

	for (size_t i = 0; i <= line.len; i++) {
		if (i < line.len && line.p[i] == '[')
			bracket = true;
		else if (i < line.len && line.p[i] == ']')
			bracket = false;
		else if (i < line.len && line.p[i] == '\\' && i + 1 < line.len)
			i++;
		else if (i == line.len || (line.p[i] == ':' && !bracket)) {
			if (n == FIELDS_MAX)
				return (n);
			field[n++] = sv_trim(sv_sub(line, from, i));
			from = i + 1;
		}
	}
	return (n);
}

/* What stands behind the two lists. */
static enum hosts_verdict
options(const struct sv *field, size_t n, bool allow)
{
	enum hosts_verdict v = allow ? HOSTS_ALLOW : HOSTS_DENY;

	for (size_t i = 0; i < n; i++) {
		struct sv rest = field[i], word;

		if (!sv_word(&rest, &word))
			continue;
		if (sv_caseeqs(word, "allow"))
			v = HOSTS_ALLOW;
		else if (sv_caseeqs(word, "deny") || sv_caseeqs(word, "twist") || sv_caseeqs(word, "aclexec"))
			v = HOSTS_DENY;
	}
	return (v);
}

static enum hosts_verdict
rule(struct sv line, bool allow, struct hosts_client *c)
{
	struct sv field[FIELDS_MAX];
	size_t n;

	line = sv_trim(line);
	if (line.len == 0 || line.p[0] == '#')
		return (HOSTS_SILENT);
	n = split(line, field);
	if (n < 2 || !in_list(field[0], c, true, 0) || !in_list(field[1], c, false, 0))
		return (HOSTS_SILENT);
	return (options(field + 2, n - 2, allow));
}

enum hosts_verdict
hosts_access_text(struct sv rules, bool allow, struct hosts_client *c)
{
	char joined[LINE_MAX_RULE];
	size_t len = 0;
	struct sv line;

	while (sv_next(&rules, '\n', &line)) {
		bool more = line.len > 0 && line.p[line.len - 1] == '\\';
		enum hosts_verdict v;

		if (more)
			line.len--;
		/* A rule that is too long is cut: what is left of it must not be taken for a rule. */
		if (len + line.len < sizeof(joined)) {
			memcpy(joined + len, line.p, line.len);
			len += line.len;
		} else {
			len = sizeof(joined);
		}
		if (more)
			continue;
		v = len < sizeof(joined) ? rule(sv_from(joined, len), allow, c) : HOSTS_SILENT;
		len = 0;
		if (v != HOSTS_SILENT)
			return (v);
	}
	return (len > 0 && len < sizeof(joined) ? rule(sv_from(joined, len), allow, c) : HOSTS_SILENT);
}
