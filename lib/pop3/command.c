/* SPDX-License-Identifier: BSD-2-Clause */
/* POP3 command lines; see command.h. */
#include "pop3/command.h"

/* What may stand behind a verb. */
enum shape {
	NOTHING,
	REST,			/* all of the line: a name or password may hold blanks */
	TWO_WORDS,
	NUMBER,
	OPTIONAL_NUMBER,
	TWO_NUMBERS,
	OPTIONAL_WORDS		/* none, one or two */
};

static const struct verb {
	const char	*name;
	enum pop3_verb	 verb;
	unsigned	 states;
	enum shape	 shape;
} verbs[] = {
	{ "CAPA", POP3_CAPA, POP3_S_LOGIN | POP3_S_SESSION, NOTHING },
	{ "USER", POP3_USER, POP3_S_LOGIN, REST },
	{ "PASS", POP3_PASS, POP3_S_LOGIN, REST },
	{ "APOP", POP3_APOP, POP3_S_LOGIN, TWO_WORDS },
	{ "AUTH", POP3_AUTH, POP3_S_LOGIN, OPTIONAL_WORDS },
	{ "STLS", POP3_STLS, POP3_S_LOGIN, NOTHING },
	{ "STAT", POP3_STAT, POP3_S_SESSION, NOTHING },
	{ "LIST", POP3_LIST, POP3_S_SESSION, OPTIONAL_NUMBER },
	{ "UIDL", POP3_UIDL, POP3_S_SESSION, OPTIONAL_NUMBER },
	{ "RETR", POP3_RETR, POP3_S_SESSION, NUMBER },
	{ "TOP", POP3_TOP, POP3_S_SESSION, TWO_NUMBERS },
	{ "DELE", POP3_DELE, POP3_S_SESSION, NUMBER },
	{ "RSET", POP3_RSET, POP3_S_SESSION, NOTHING },
	{ "NOOP", POP3_NOOP, POP3_S_SESSION, NOTHING },
	{ "QUIT", POP3_QUIT, POP3_S_LOGIN | POP3_S_SESSION, NOTHING },
};
#define NVERBS	(sizeof(verbs) / sizeof(verbs[0]))

const char *
pop3_verb_name(enum pop3_verb v)
{
	for (size_t i = 0; i < NVERBS; i++)
		if (verbs[i].verb == v)
			return (verbs[i].name);
	return ("?");
}

static struct sv
without_line_end(struct sv v)
{
	if (v.len > 0 && v.p[v.len - 1] == '\n')
		v.len--;
	if (v.len > 0 && v.p[v.len - 1] == '\r')
		v.len--;
	return (v);
}

/* A number of the client's: decimal, in 32 bits. */
static bool
number(struct sv v, uint32_t *n)
{
	uint64_t x = 0;

	if (v.len == 0 || v.len > 10)
		return (false);
	for (size_t i = 0; i < v.len; i++) {
		if (!sv_isdigit(v.p[i]))
			return (false);
		x = x * 10 + (uint64_t)(v.p[i] - '0');
	}
	*n = (uint32_t)x;
	return (x <= UINT32_MAX);
}

static bool
message_number(struct sv v, uint32_t *n)
{
	return (number(v, n) && *n > 0);
}

static bool
no_more(struct sv rest)
{
	struct sv w;

	return (!sv_word(&rest, &w));
}

static bool
arguments(struct pop3_command *c, enum shape shape, struct sv rest, const char **why)
{
	struct sv w;

	switch (shape) {
	case NOTHING:
		*why = "This command takes no argument";
		return (no_more(rest));
	case REST:
		*why = "An argument is missing";
		c->arg = rest;
		return (rest.len > 0);
	case TWO_WORDS:
		*why = "Two arguments are needed";
		return (sv_word(&rest, &c->arg) && sv_word(&rest, &c->arg2) && no_more(rest));
	case OPTIONAL_WORDS:
		*why = "Too many arguments";
		if (!sv_word(&rest, &c->arg))
			c->arg = SV_NULL;
		else if (!sv_word(&rest, &c->arg2))
			c->arg2 = SV_NULL;
		return (no_more(rest));
	case OPTIONAL_NUMBER:
		if (no_more(rest))
			return (true);
		/* FALLTHROUGH */
	case NUMBER:
		*why = "A message number is needed";
		return (sv_word(&rest, &w) && message_number(w, &c->number) && no_more(rest));
	case TWO_NUMBERS:
		*why = "A message number and a count of lines are needed";
		return (sv_word(&rest, &w) && message_number(w, &c->number) && sv_word(&rest, &w) && number(w, &c->lines) &&
		    no_more(rest));
	}
	return (false);
}

bool
pop3_command_parse(struct sv line, struct pop3_command *c, const char **why)
{
	struct sv verb, rest;
	size_t n = 0;

	memset(c, 0, sizeof(*c));
	line = without_line_end(line);
	if (line.len > 0 && memchr(line.p, '\0', line.len) != NULL) {
		*why = "A NUL byte in the command";
		return (false);
	}
	while (n < line.len && line.p[n] != ' ' && line.p[n] != '\t')
		n++;
	verb = sv_sub(line, 0, n);
	/* One blank separates; further ones belong to a password. */
	rest = sv_sub(line, n + 1, line.len);
	for (size_t i = 0; i < NVERBS; i++)
		if (sv_caseeqs(verb, verbs[i].name)) {
			c->verb = verbs[i].verb;
			c->states = verbs[i].states;
			return (arguments(c, verbs[i].shape, rest, why));
		}
	*why = "Unknown command";
	return (false);
}
