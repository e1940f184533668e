/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lexer of configuration files.  A physical line is taken, its macros are
 * replaced, then it is looked at: comment, directive, or text that is appended to
 * the logical line.  Each rule works on physical lines, so that comments, .include and
 * .ifdef may stand inside a continued line, as they may in Exim.
 */
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/vec.h"
#include "exim/lexer.h"
#include "exim/macro_int.h"

struct frame {
	const char	*name;
	struct sv	 rest;
	unsigned	 line;
};

/* One open .ifdef: lines are used while all are in state IF_USE. */
enum if_state { IF_USE, IF_SKIP, IF_DONE };
struct cond {
	enum if_state	 state;
	const char	*file;
	unsigned	 line;
};

struct exim_lexer {
	struct arena	*arena;
	struct exim_report *rep;
	struct exim_macros macros;
	struct frame	 frame[EXIM_INCLUDE_MAX];
	size_t		 depth;
	struct cond	 cond[EXIM_IFDEF_MAX];
	size_t		 nconds;
	bool		 in_main;	/* no "begin" seen: unknown upper case words are macros */
	bool		 unget;
	size_t		 ndefined;	/* definitions of macros so far */
	exim_lexer_seen	*seen;
	void		*seen_arg;
	const char	*end_file;	/* where reading ended */
	unsigned	 end_line;
	struct exim_line last;
	struct sb	 phys;		/* one physical line, macros replaced */
	struct sb	 text;		/* the logical line */
	VEC(struct exim_piece) pieces;
};

/* ---- files ---- */

static int
read_file(struct exim_lexer *lx, const char *path, bool included, struct sv *out)
{
	struct stat st;
	size_t got = 0;
	char *p;
	int fd = open(path, O_RDONLY | O_CLOEXEC | (included ? O_NONBLOCK : 0)), e;

	if (fd == -1)
		return (-1);
	if (fstat(fd, &st) == -1)
		goto fail;
	/* -C /dev/stdin is a way to test; nothing else that could make us wait is read. */
	if (S_ISDIR(st.st_mode) || (included && !S_ISREG(st.st_mode))) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		goto fail;
	}
	if (st.st_size > EXIM_FILE_MAX) {
		errno = EFBIG;
		goto fail;
	}
	/* What is no regular file has no size; a file that grows meanwhile is cut. */
	size_t room = S_ISREG(st.st_mode) ? (size_t)st.st_size : 1024 * 1024;
	p = arena_alloc(lx->arena, room + 1);
	while (got < room) {
		ssize_t n = read(fd, p + got, room - got);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			goto fail;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	p[got] = '\0';
	(void)close(fd);
	*out = sv_from(p, got);
	return (0);
fail:
	e = errno;
	(void)close(fd);
	errno = e;
	return (-1);
}

static struct frame *
top(struct exim_lexer *lx)
{
	return (lx->depth == 0 ? NULL : &lx->frame[lx->depth - 1]);
}

static void
push(struct exim_lexer *lx, const char *name, struct sv text)
{
	struct frame *f = &lx->frame[lx->depth++];

	f->name = arena_str(lx->arena, name);
	f->rest = text;
	f->line = 0;
}

static void
seen(struct exim_lexer *lx, const char *file, unsigned line, struct sv text)
{
	if (lx->seen != NULL)
		lx->seen(lx->seen_arg, file, line, text);
}

/* Told at the place that is being read. */
#define COMPLAIN(lx, ...) \
	(void)exim_report_error((lx)->rep, top(lx)->name, top(lx)->line, __VA_ARGS__)

static void
include(struct exim_lexer *lx, struct sv arg, bool if_exists)
{
	const char *path;
	struct sv text = SV_NULL, v = sv_trim(arg);
	struct frame *f = top(lx);

	if (v.len >= 2 && v.p[0] == '"' && v.p[v.len - 1] == '"')
		v = sv_sub(v, 1, v.len - 1);
	if (v.len == 0 || memchr(v.p, '\0', v.len) != NULL) {
		COMPLAIN(lx, ".include needs the name of a file");
		return;
	}
	if (v.p[0] != '/' && if_exists) {
		COMPLAIN(lx, ".include specifies a non-absolute path \"" SV_FMT "\"", SV_ARG(v));
		return;
	}
	if (v.p[0] == '/')
		path = arena_cstr(lx->arena, v);
	else {
		const char *slash = strrchr(f->name, '/');

		path = arena_fmt(lx->arena, "%.*s" SV_FMT, slash == NULL ? 0 : (int)(slash - f->name + 1), f->name, SV_ARG(v));
	}
	if (lx->depth >= EXIM_INCLUDE_MAX) {
		COMPLAIN(lx, ".include %s: more than %d files inside each other (does a file include itself?)", path,
		    EXIM_INCLUDE_MAX);
		return;
	}
	if (read_file(lx, path, true, &text) == -1 && errno == EISDIR)
		/* To Exim it is an empty file. */
		exim_report_warn(lx->rep, f->name, f->line, ".include %s: that is a directory, nothing is read from it", path);
	else if (text.p == NULL) {
		if (!if_exists || errno != ENOENT)
			COMPLAIN(lx, "failed to open included configuration file %s" EXIM_HINT ": %s", path, strerror(errno));
		return;
	}
	seen(lx, f->name, f->line, SV_NULL);
	push(lx, path, text);
	if (text.len > 0)
		seen(lx, path, 1, SV_NULL);
}

/* ---- conditions ---- */

static bool
skipping(const struct exim_lexer *lx)
{
	return (lx->nconds > 0 && lx->cond[lx->nconds - 1].state != IF_USE);
}

static void
if_open(struct exim_lexer *lx, bool holds)
{
	struct frame *f = top(lx);
	enum if_state st = holds ? IF_USE : IF_SKIP;

	if (lx->nconds >= EXIM_IFDEF_MAX) {
		COMPLAIN(lx, ".ifdef nested too deeply" EXIM_HINT " (%d)", EXIM_IFDEF_MAX);
		return;
	}
	if (skipping(lx))
		st = IF_DONE;
	lx->cond[lx->nconds++] = (struct cond){ .state = st, .file = f->name, .line = f->line };
}

/* .elifdef and .else: <holds> tells whether their lines count where nothing before did. */
static void
if_next(struct exim_lexer *lx, const char *word, bool holds)
{
	struct cond *c;

	if (lx->nconds == 0) {
		COMPLAIN(lx, ".%s without matching .ifdef", word);
		return;
	}
	c = &lx->cond[lx->nconds - 1];
	if (c->state == IF_USE)
		c->state = IF_DONE;
	else if (c->state == IF_SKIP && holds)
		c->state = IF_USE;
}

/* A conditional directive in <line>: true when it was one. */
static bool
directive_if(struct exim_lexer *lx, struct sv line, bool macro_found)
{
	static const char *const words[] = { "ifdef", "ifndef", "elifdef", "elifndef", "else", "endif" };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (sv_starts(sv_sub(line, 1, line.len), words[i]))
			break;
	/* A longer word that begins so is skipped, as in Exim. */
	if (i < sizeof(words) / sizeof(words[0]) && strlen(words[i]) + 1 < line.len && !sv_isspace(line.p[strlen(words[i]) + 1])) {
		exim_report_warn(lx->rep, top(lx)->name, top(lx)->line, "\"" SV_FMT "\" is no directive: the line is ignored",
		    SV_ARG(line));
		return (true);
	}
	switch (i) {
	case 0:
		if_open(lx, macro_found);
		return (true);
	case 1:
		if_open(lx, !macro_found);
		return (true);
	case 2:
		if_next(lx, words[i], macro_found);
		return (true);
	case 3:
		if_next(lx, words[i], !macro_found);
		return (true);
	case 4:
		if_next(lx, words[i], true);
		return (true);
	case 5:
		if (lx->nconds == 0)
			COMPLAIN(lx, ".endif without matching .ifdef");
		else
			lx->nconds--;
		return (true);
	default:
		return (false);
	}
}

static bool
directive_include(struct exim_lexer *lx, struct sv line)
{
	struct sv rest = sv_sub(line, 8, line.len);
	bool if_exists = false;

	if (!sv_starts(line, ".include"))
		return (false);
	if (sv_starts(rest, "_if_exists")) {
		if_exists = true;
		rest = sv_sub(rest, 10, rest.len);
	}
	if (rest.len > 0 && !sv_isspace(rest.p[0]))
		return (false);
	include(lx, rest, if_exists);
	return (true);
}

/* ---- lines ---- */

/* Offset behind "NAME =" where <line> (of a new logical line) defines a macro, so that NAME itself is not replaced; else 0. */
static size_t
definition_skip(struct sv line)
{
	size_t i = 0, n;

	while (i < line.len && sv_isspace(line.p[i]))
		i++;
	if (i == line.len || line.p[i] < 'A' || line.p[i] > 'Z')
		return (0);
	while (i < line.len && exim_name_char(line.p[i]))
		i++;
	n = i;
	while (i < line.len && sv_isspace(line.p[i]))
		i++;
	return (i < line.len && line.p[i] == '=' ? n : 0);
}

static bool
whole_macro(const struct exim_lexer *lx, struct sv word)
{
	return (macro_get(&lx->macros, word) != NULL || sv_starts(word, "_"));
}

/* A macro counts inside of words too: told once for each where that happens. */
static void
macro_traps(struct exim_lexer *lx, struct sv line, size_t from)
{
	struct sv text = sv_trim_left(line);

	if (text.len == 0 || text.p[0] == '#' || text.p[0] == '.')
		return;
	for (size_t i = from; i < line.len;) {
		size_t start = i;
		struct sv word;

		/* Of "\\nNAME" the letter belongs to the backslash. */
		start += start > 0 && line.p[start - 1] == '\\' && line.p[start] >= 'a' && line.p[start] <= 'z';
		for (i = start; i < line.len && exim_name_char(line.p[i]); i++)
			;
		word = sv_sub(line, start, i);
		i += i == start;
		for (size_t k = 0; word.len > 1 && k < lx->macros.v.len; k++) {
			struct exim_macro *m = &lx->macros.v.p[k];

			if (m->told || m->name.len >= word.len || sv_find(word, m->name) < 0 || whole_macro(lx, word))
				continue;
			m->told = true;
			exim_report_warn(lx->rep, top(lx)->name, top(lx)->line, "macro " SV_FMT " is replaced inside of \"" SV_FMT
			    "\": give it a name that is part of no other word", SV_ARG(m->name), SV_ARG(word));
		}
	}
}

/* The next physical line with its macros replaced in lx->phys, blanks in front cut off; false at the end of all files. */
static bool
physical(struct exim_lexer *lx, struct sv *out, bool *macro_found)
{
	struct frame *f;
	struct sv line;
	size_t n;

	while ((f = top(lx)) != NULL && f->rest.len == 0) {
		lx->depth--;
		if (lx->depth > 0)
			seen(lx, top(lx)->name, top(lx)->line, SV_NULL);
		lx->end_file = f->name;
		lx->end_line = f->line;
	}
	if (f == NULL)
		return (false);
	const char *nl = memchr(f->rest.p, '\n', f->rest.len);
	n = nl == NULL ? f->rest.len : (size_t)(nl - f->rest.p);
	line = sv_sub(f->rest, 0, n);
	f->rest = sv_sub(f->rest, nl == NULL ? n : n + 1, f->rest.len);
	f->line++;
	if (lx->rep != NULL)
		lx->rep->at = f->line;
	if (memchr(line.p, '\0', line.len) != NULL) {
		COMPLAIN(lx, "the line holds a NUL byte: it is skipped");
		line = SV_LIT("");
	}
	/* Skipped lines matter for their directives alone. */
	if (skipping(lx) && !(sv_trim_left(line).len > 0 && sv_trim_left(line).p[0] == '.')) {
		*macro_found = false;
		*out = SV_LIT("");
		return (true);
	}
	*macro_found = macro_expand(&lx->macros, line, lx->text.len == 0 ? definition_skip(line) : 0, &lx->phys);
	if (*macro_found && lx->rep != NULL && lx->rep->traps)
		macro_traps(lx, line, lx->text.len == 0 ? definition_skip(line) : 0);
	if (lx->phys.overflow) {
		COMPLAIN(lx, "the line is longer than %d bytes with its macros replaced", EXIM_LINE_MAX);
		sb_free(&lx->phys);
	}
	*out = sv_trim_left(sb_sv(&lx->phys));
	return (true);
}

static void
append(struct exim_lexer *lx, struct sv line)
{
	struct exim_piece pc = { .off = lx->text.len, .file = top(lx)->name, .line = top(lx)->line };

	vec_push(&lx->pieces, pc);
	sb_add(&lx->text, line);
	if (lx->text.overflow) {
		COMPLAIN(lx, "a continued line is longer than %d bytes", EXIM_LINE_MAX);
		lx->text.overflow = false;
	}
}

/* The next logical line in lx->text; false at the end of the configuration. */
static bool
logical(struct exim_lexer *lx)
{
	struct sv line;
	bool found;

	sb_clear(&lx->text);
	lx->pieces.len = 0;
	while (physical(lx, &line, &found)) {
		if (line.len > 0 && line.p[0] == '#')
			continue;
		if (line.len > 0 && line.p[0] == '.' && directive_if(lx, line, found))
			continue;
		if (skipping(lx))
			continue;
		if (line.len > 0 && line.p[0] == '.' && directive_include(lx, line))
			continue;
		append(lx, line);
		sb_cut(&lx->text, sv_trim_right(sb_sv(&lx->text)).len);
		if (lx->text.len == 0) {
			lx->pieces.len = 0;
			continue;
		}
		if (lx->text.p[lx->text.len - 1] != '\\')
			return (true);
		sb_cut(&lx->text, lx->text.len - 1);
		if (lx->text.len == 0)
			lx->pieces.len = 0;
	}
	for (size_t i = 0; i < lx->nconds; i++)
		(void)exim_report_error(lx->rep, lx->cond[i].file, lx->cond[i].line,
		    "Unexpected end of configuration file: .endif missing" EXIM_HINT " for this .ifdef");
	lx->nconds = 0;
	return (lx->text.len > 0);
}

static void
to_line(struct exim_lexer *lx, struct exim_line *l)
{
	l->text = arena_sv(lx->arena, sv_trim_right(sb_sv(&lx->text)));
	l->piece = arena_dup(lx->arena, lx->pieces.p, lx->pieces.len * sizeof(*lx->pieces.p));
	l->npieces = lx->pieces.len;
	l->file = l->piece[0].file;
	l->line = l->piece[0].line;
	l->last_line = l->piece[l->npieces - 1].line;
}

/* "NAME = text" or "NAME == text": true when <l> was a definition, good or bad. */
static bool
definition(struct exim_lexer *lx, const struct exim_line *l)
{
	struct sv v = l->text, name, other = SV_NULL;
	size_t i = 0;
	bool redefine = false;

	if (v.p[0] < 'A' || v.p[0] > 'Z')
		return (false);
	while (i < v.len && exim_name_char(v.p[i]))
		i++;
	name = sv_sub(v, 0, i);
	while (i < v.len && sv_isspace(v.p[i]))
		i++;
	if (i == v.len || v.p[i] != '=') {
		if (!lx->in_main)
			return (false);
		(void)exim_report_error(lx->rep, l->file, l->line, "malformed macro definition" EXIM_HINT ": \"" SV_FMT
		    "\" should be followed by \"=\"", SV_ARG(name));
		return (true);
	}
	if (name.len > EXIM_MACRO_NAME_MAX) {
		(void)exim_report_error(lx->rep, l->file, l->line, "macro name too long (maximum is %d characters)",
		    EXIM_MACRO_NAME_MAX);
		return (true);
	}
	lx->ndefined++;
	i++;
	if (i < v.len && v.p[i] == '=') {
		redefine = true;
		i++;
	}
	switch (macro_set(&lx->macros, name, sv_trim(sv_sub(v, i, v.len)), redefine, false, &other)) {
	case MACRO_OK:
		break;
	case MACRO_TWICE:
		(void)exim_report_bare(lx->rep, l->file, l->line, "macro \"" SV_FMT
		    "\" is already defined (use \"==\" if you want to redefine it)", SV_ARG(name));
		break;
	case MACRO_NONE:
		(void)exim_report_bare(lx->rep, l->file, l->line, "can't redefine an undefined macro \"" SV_FMT "\"" EXIM_HINT
		    ": define it with one \"=\"", SV_ARG(name));
		break;
	case MACRO_HIDDEN:
		(void)exim_report_bare(lx->rep, l->file, l->line, "\"" SV_FMT
		    "\" cannot be defined as a macro because previously defined macro \"" SV_FMT
		    "\" is a substring" EXIM_HINT ": define the longer name first", SV_ARG(name), SV_ARG(other));
		break;
	case MACRO_LIMIT:
		(void)exim_report_error(lx->rep, l->file, l->line, "more than %d macros", EXIM_MACRO_MAX);
		break;
	}
	return (true);
}

bool
exim_line_is_begin(const struct exim_line *line, struct sv *section)
{
	if (!sv_casestarts(line->text, "begin "))
		return (false);
	*section = sv_trim(sv_sub(line->text, 6, line->text.len));
	return (true);
}

bool
exim_lexer_next(struct exim_lexer *lx, struct exim_line *line)
{
	struct sv section;
	bool clean, macro;

	if (lx->unget) {
		lx->unget = false;
		*line = lx->last;
		return (true);
	}
	do {
		if (!logical(lx))
			return (false);
		to_line(lx, &lx->last);
		seen(lx, lx->last.file, lx->last.line, lx->last.text);
		if (exim_line_is_begin(&lx->last, &section))
			lx->in_main = false;
		clean = lx->rep != NULL && lx->rep->errors == 0;
		macro = definition(lx, &lx->last);
		if (clean && lx->rep->errors > 0)
			lx->rep->mild = true;
	} while (macro);
	*line = lx->last;
	return (true);
}

void
exim_lexer_watch(struct exim_lexer *lx, exim_lexer_seen *fn, void *arg)
{
	lx->seen = fn;
	lx->seen_arg = arg;
	if (top(lx) != NULL)
		seen(lx, top(lx)->name, 1, SV_NULL);
}

size_t
exim_lexer_defined(const struct exim_lexer *lx)
{
	return (lx->ndefined);
}

void
exim_lexer_unget(struct exim_lexer *lx, const struct exim_line *line)
{
	assert(!lx->unget);
	lx->last = *line;
	lx->unget = true;
}

void
exim_line_where(const struct exim_line *line, size_t off, const char **file, unsigned *no)
{
	size_t i = line->npieces - 1;

	while (i > 0 && line->piece[i].off > off)
		i--;
	*file = line->piece[i].file;
	*no = line->piece[i].line;
}

/* ---- life ---- */

static struct exim_lexer *
lexer_new(const char *const *defines, size_t n, struct arena *a, struct exim_report *rep)
{
	struct exim_lexer *lx = xcalloc(1, sizeof(*lx));
	struct sv other;

	lx->arena = a;
	lx->rep = rep;
	lx->macros.arena = a;
	lx->macros.replaced = rep == NULL ? NULL : rep->replaced;
	lx->in_main = true;
	sb_init(&lx->phys, EXIM_LINE_MAX);
	sb_init(&lx->text, EXIM_LINE_MAX);
	for (size_t i = 0; i < n; i++) {
		struct sv v = sv_cstr(defines[i]), name = v, value = SV_LIT("");
		ptrdiff_t eq = sv_chr(v, '=');
		size_t k = 0;

		if (eq >= 0) {
			name = sv_trim(sv_sub(v, 0, (size_t)eq));
			value = sv_trim(sv_sub(v, (size_t)eq + 1, v.len));
		}
		while (k < name.len && exim_name_char(name.p[k]))
			k++;
		if (name.len > 1 && name.p[0] == '_' && k == name.len) {
			struct exim_macro own = { .name = arena_sv(a, name), .value = arena_sv(a, value) };

			vec_push(&lx->macros.own, own);
			continue;
		}
		if (name.len == 0 || k < name.len || name.p[0] < 'A' || name.p[0] > 'Z') {
			(void)exim_report_error(rep, NULL, 0, "-D%s: a macro name is an upper case letter, then letters, digits and "
			    "underscores", defines[i]);
			continue;
		}
		if (macro_set(&lx->macros, name, value, false, true, &other) != MACRO_OK)
			(void)exim_report_error(rep, NULL, 0, "-D%s: defined twice, or it holds the name of another", defines[i]);
	}
	return (lx);
}

struct exim_lexer *
exim_lexer_open_mem(const char *name, struct sv text, const char *const *defines, size_t n, struct arena *a,
    struct exim_report *rep)
{
	struct exim_lexer *lx = lexer_new(defines, n, a, rep);

	push(lx, name, text);
	return (lx);
}

struct exim_lexer *
exim_lexer_open(const char *path, const char *const *defines, size_t n, struct arena *a, struct exim_report *rep)
{
	struct exim_lexer *lx = lexer_new(defines, n, a, rep);
	struct sv text = SV_NULL;

	if (read_file(lx, path, false, &text) == -1) {
		/* Exim tells a missing one before anything else. */
		rep->naked = errno == ENOENT && rep->errors == 0;
		if (errno == ENOENT)
			(void)exim_report_error(rep, NULL, 0, "non-existent configuration file(s): %s", path);
		else
			(void)exim_report_error(rep, NULL, 0, "cannot open configuration file %s: %s", path, strerror(errno));
		exim_lexer_close(&lx);
		return (NULL);
	}
	push(lx, path, text);
	return (lx);
}

void
exim_lexer_close(struct exim_lexer **lxp)
{
	struct exim_lexer *lx = *lxp;

	if (lx == NULL)
		return;
	sb_free(&lx->phys);
	sb_free(&lx->text);
	vec_free(&lx->pieces);
	vec_free(&lx->macros.own);
	vec_free(&lx->macros.v);
	free(lx);
	*lxp = NULL;
}

struct sv
exim_lexer_macro(const struct exim_lexer *lx, struct sv name)
{
	const struct exim_macro *m = macro_get(&lx->macros, name);
	struct sv v;

	if (m != NULL)
		return (m->value);
	return (exim_macro_predefined(name, &v) ? v : SV_NULL);
}

int
exim_lexer_text(struct exim_lexer *lx, struct sv line, struct arena *a, struct sv *out, struct exim_report *rep)
{
	struct exim_report *old = lx->rep;
	struct exim_line l;
	bool macro;

	(void)macro_expand(&lx->macros, line, definition_skip(line), &lx->phys);
	memset(&l, 0, sizeof(l));
	l.text = *out = arena_sv(a, sb_sv(&lx->phys));
	/* Mistakes are told to be where reading ended. */
	l.file = lx->end_file;
	l.line = lx->end_line;
	lx->rep = rep;
	/* As in the main section, but words that no "=" follows are text, as for later releases of Exim than 4.96. */
	lx->in_main = false;
	macro = l.text.len > 0 && definition(lx, &l);
	lx->rep = old;
	if (!macro)
		return (0);
	if (rep->errors > 0)
		return (-1);
	*out = lx->macros.v.len == 0 ? SV_LIT("") : lx->macros.v.p[lx->macros.v.len - 1].name;
	return (1);
}

bool
exim_lexer_macro_next(const struct exim_lexer *lx, size_t *pos, struct sv *name, struct sv *value)
{
	if (*pos >= lx->macros.v.len)
		return (false);
	*name = lx->macros.v.p[*pos].name;
	*value = lx->macros.v.p[(*pos)++].value;
	return (true);
}
