/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Zone data of our own: lines of master file syntax and a few directives, handed to
 * libunbound as local zones.  For tests and demos, and for names that no server knows.
 */
#include <stdio.h>
#include <unbound.h>

#include "base/hash.h"
#include "base/num.h"
#include "base/vec.h"
#include "dns/dns_int.h"
#include "os/file.h"

#define ZONE_MAX	((size_t)16 * 1024 * 1024)

struct zones {
	struct ub_ctx	*ctx;
	const char	*path;
	struct arena	*a;
	struct hash	*apex;		/* names of zones, lower case with the last dot */
	const char	*origin;
	const char	*last;		/* owner of the last record */
	bool		 only;
	unsigned	 line;
};

/* Absolute, lower case, with the last dot. */
static const char *
absolute(struct zones *z, struct sv name)
{
	char *s;

	if (sv_eqs(name, "@"))
		return (z->origin);
	if (sv_ends(name, "."))
		s = arena_cstr(z->a, name);
	else if (z->origin[0] == '.')
		s = arena_fmt(z->a, SV_FMT ".", SV_ARG(name));
	else
		s = arena_fmt(z->a, SV_FMT ".%s", SV_ARG(name), z->origin);
	for (char *p = s; *p != '\0'; p++)
		*p = sv_lower(*p);
	return (s);
}

static int
add_zone(struct zones *z, const char *name, const char *kind, struct err *err)
{
	int rc = ub_ctx_zone_add(z->ctx, name, kind);

	if (rc != 0)
		return (err_conf(err, z->path, z->line, "zone \"%s\": %s", name, ub_strerror(rc)));
	(void)hash_set(z->apex, sv_cstr(name), (void *)(uintptr_t)name);
	return (0);
}

static bool
enclosed(const struct zones *z, const char *name)
{
	for (const char *p = name; p != NULL && *p != '\0'; p = strchr(p, '.')) {
		if (*p == '.')
			p++;
		if (*p != '\0' && hash_get(z->apex, sv_cstr(p)) != NULL)
			return (true);
	}
	return (false);
}

/* Without comment: ';' or '#' outside of quotes, '#' only at the start of a word. */
static struct sv
strip(struct sv line)
{
	bool quoted = false;

	for (size_t i = 0; i < line.len; i++) {
		char c = line.p[i];

		if (c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == ';' || (c == '#' && (i == 0 || sv_isspace(line.p[i - 1])))))
			return (sv_sub(line, 0, i));
	}
	return (line);
}

/* Zones are made in the first pass, records added in the second. */
static int
record(struct zones *z, const char *owner, struct sv rest, bool data, struct err *err)
{
	struct sv word, left = rest;
	int64_t ttl = 3600;
	const char *rr;
	int rc;

	while (sv_word(&left, &word) && dns_type_parse(word) == 0) {
		if (!sv_caseeqs(word, "in") && !num_parse_time(word, &ttl))
			return (err_conf(err, z->path, z->line, "unknown record type \"" SV_FMT "\"", SV_ARG(word)));
	}
	left = sv_trim(left);
	if (left.len == 0)
		return (err_conf(err, z->path, z->line, "a record needs a type and data"));
	if (!data) {
		if (dns_type_parse(word) == DNS_SOA || !enclosed(z, owner))
			return (add_zone(z, owner, "static", err));
		return (0);
	}
	rr = arena_fmt(z->a, "%s %lld IN " SV_FMT " " SV_FMT, owner, (long long)ttl, SV_ARG(word), SV_ARG(left));
	rc = ub_ctx_data_add(z->ctx, rr);
	if (rc != 0)
		return (err_conf(err, z->path, z->line, "record \"%s\": %s", rr, ub_strerror(rc)));
	return (0);
}

static int
one_line(struct zones *z, struct sv line, bool data, struct err *err)
{
	struct sv text = strip(line), first, second;
	struct sv rest;

	if (sv_trim(text).len == 0)
		return (0);
	if (sv_isspace(text.p[0])) {
		if (z->last == NULL)
			return (err_conf(err, z->path, z->line, "the first record needs a name"));
		return (record(z, z->last, text, data, err));
	}
	rest = text;
	(void)sv_word(&rest, &first);
	if (sv_eqs(first, "only")) {
		z->only = true;
		return (0);
	}
	if (sv_eqs(first, "$ORIGIN") || sv_eqs(first, "zone") || sv_eqs(first, "fail")) {
		if (!sv_word(&rest, &second))
			return (err_conf(err, z->path, z->line, SV_FMT " needs a name", SV_ARG(first)));
		if (sv_eqs(first, "$ORIGIN"))
			z->origin = sv_eqs(second, ".") ? "." : absolute(z, second);
		else if (!data)
			return (add_zone(z, absolute(z, second), sv_eqs(first, "zone") ? "static" : "refuse", err));
		return (0);
	}
	if (sv_eqs(first, "$TTL"))
		return (0);
	z->last = absolute(z, first);
	return (record(z, z->last, rest, data, err));
}

static int
pass(struct zones *z, struct sv text, bool data, struct err *err)
{
	struct sv line;

	z->origin = ".";
	z->last = NULL;
	z->line = 0;
	while (sv_next(&text, '\n', &line)) {
		z->line++;
		if (one_line(z, line, data, err) == -1)
			return (-1);
	}
	return (0);
}

int
dns_zone_load(struct ub_ctx *ctx, const char *path, bool *only, struct err *err)
{
	struct zones z = { .ctx = ctx, .path = path, .only = *only };
	struct sb text = SB_INIT(ZONE_MAX);
	int rc = -1;

	if (os_read_file(path, ZONE_MAX, &text, err) == -1)
		return (-1);
	z.a = arena_new(0);
	z.apex = hash_new();
	if (pass(&z, sb_sv(&text), false, err) == 0 && pass(&z, sb_sv(&text), true, err) == 0)
		rc = 0;
	*only = z.only;
	hash_free(&z.apex, NULL);
	arena_free(&z.a);
	sb_free(&text);
	return (rc);
}
