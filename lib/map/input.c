/* SPDX-License-Identifier: BSD-2-Clause */
/* The input grammar of makemap; see input.h. */
#include "map/input.h"

void
map_input_init(struct map_input *in, struct sv text)
{
	memset(in, 0, sizeof(*in));
	in->text = text;
	in->comment = '#';
	in->fold = true;
	sb_init(&in->key_buf, MAP_INPUT_LINE_MAX + 1);
}

void
map_input_free(struct map_input *in)
{
	sb_free(&in->key_buf);
}

/* White space of isspace(3) in the C locale. */
static bool
is_space(char c)
{
	return (sv_isspace(c) || c == '\v' || c == '\f');
}

static bool
is_sep(const struct map_input *in, char c)
{
	return (in->sep == '\0' ? is_space(c) : c == in->sep);
}

static bool
next_line(struct map_input *in, struct sv *line)
{
	const char *nl;

	if (in->text.len == 0)
		return (false);
	nl = memchr(in->text.p, '\n', in->text.len);
	*line = sv_sub(in->text, 0, nl == NULL ? in->text.len : (size_t)(nl - in->text.p));
	in->text = sv_sub(in->text, line->len + 1, in->text.len);
	in->line++;
	return (true);
}

enum map_input_result
map_input_next(struct map_input *in, struct sv *key, struct sv *value)
{
	struct sv line;
	size_t i, k;

	*key = *value = SV_NULL;
	do {
		if (!next_line(in, &line))
			return (MAP_INPUT_END);
	} while (line.len == 0 || line.p[0] == in->comment);
	if (line.len > MAP_INPUT_LINE_MAX)
		return (MAP_INPUT_TOO_LONG);
	if (memchr(line.p, '\0', line.len) != NULL)
		return (MAP_INPUT_NUL);
	if (in->sep == '\0' && is_space(line.p[0]))
		return (MAP_INPUT_LEADING_SPACE);
	for (k = 0; k < line.len && !is_sep(in, line.p[k]); k++)
		continue;
	for (i = k; i < line.len && is_sep(in, line.p[i]); i++)
		continue;
	sb_clear(&in->key_buf);
	for (size_t j = 0; j < k; j++)
		sb_addc(&in->key_buf, in->fold ? sv_lower(line.p[j]) : line.p[j]);
	*key = sb_sv(&in->key_buf);
	*value = sv_sub(line, i, line.len);
	return (value->len == 0 && !in->allow_empty ? MAP_INPUT_NO_VALUE : MAP_INPUT_ENTRY);
}
