/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * formail: read a header, change it, write it, go on with the body line by line and find where the next
 * message begins.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "filter/formail_int.h"
#include "filter/procmail.h"

#define FROM		"From "
#define ARTICLE		"Article "
#define BABYL_SEP	'\037'
#define SUBJECT_MAX	78
#define MIN_FIELDS	2

/* --- output ---------------------------------------------------------------------- */

static void
write_text(struct formail_run *r, const char *p, size_t len)
{
	(void)fwrite(p, 1, len, r->out);
}

/* Text of the message: with -l it is only counted. */
static void
put(struct formail_run *r, const char *p, size_t len)
{
	if (r->f->folder != NULL)
		r->total += len;
	else
		write_text(r, p, len);
}

static void
log_folder(struct formail_run *r)
{
	char line[512];
	size_t col;

	if (r->f->folder == NULL)
		return;
	(void)snprintf(line, sizeof(line), "  Folder: %.61s", r->f->folder);
	write_text(r, line, strlen(line));
	col = strlen(line);
	col -= col % 8;
	do
		write_text(r, "\t", 1);
	while ((col += 8) < 72);
	(void)snprintf(line, sizeof(line), "%7zu\n", r->total);
	write_text(r, line, strlen(line));
}

/* --- input ----------------------------------------------------------------------- */

/* Append the next line to the buffer; it always ends in a newline. */
static void
read_line(struct formail_run *r)
{
	int c;

	if (r->next == EOF) {
		sb_addc(&r->buf, '\n');
		return;
	}
	sb_addc(&r->buf, (char)r->next);
	if (r->next != '\n') {
		while ((c = getc(r->f->in)) != EOF && c != '\n') {
			r->hash = r->hash * 67067 + (unsigned char)c;
			sb_addc(&r->buf, (char)c);
		}
		sb_addc(&r->buf, '\n');
	}
	r->next = getc(r->f->in);
	if (r->buf.overflow)
		formail_give_up(r, "Out of memory");
}

static void
add_buffer(struct formail_run *r)
{
	formail_add(&r->head, r->buf.p, r->buf.len, true);
	sb_clear(&r->buf);
}

/* Read one field into the header; false: the line that is in the buffer is none. */
static bool
read_field(struct formail_run *r)
{
	ptrdiff_t id;

	read_line(r);
	id = formail_name(r->buf.p, r->buf.len);
	if (id <= 0)
		return (false);
	if (id == (ptrdiff_t)strlen(FROM) && formail_is_from(r->buf.p)) {
		if (r->head.v.len > 0)
			return (false);
		while (r->next == '>')
			read_line(r);
	} else
		while (r->next == ' ' || r->next == '\t')
			read_line(r);
	add_buffer(r);
	return (true);
}

/* "Article ...": the first line of an article in a digest. */
static bool
read_article(struct formail_run *r)
{
	if (r->head.v.len > 0 || r->buf.len < strlen(ARTICLE) || strncmp(r->buf.p, ARTICLE, strlen(ARTICLE)) != 0)
		return (false);
	add_buffer(r);
	r->head.v.p[0].id = strlen(ARTICLE);
	return (true);
}

/* --- the header -------------------------------------------------------------------- */

/* No blanks before the colon. */
static void
clean_header(struct formail_run *r)
{
	for (size_t i = 0; i < r->head.v.len; i++) {
		struct formail_field *p = &r->head.v.p[i];
		size_t n = p->id;

		if (n < 2 || p->text[n - 1] != ':')
			continue;
		while (n >= 2 && (p->text[n - 2] == ' ' || p->text[n - 2] == '\t'))
			n--;
		if (n == p->id)
			continue;
		memmove(p->text + n - 1, p->text + p->id - 1, p->len - p->id + 2);
		p->len -= p->id - n;
		p->id = n;
	}
}

static void
special_first(struct formail_run *r)
{
	static const char mail_from[] = "Mail-from:";
	struct formail_field *p;
	const char *s;

	if (r->head.v.len == 0)
		return;
	p = &r->head.v.p[0];
	if (strncmp(p->text, ARTICLE, strlen(ARTICLE)) == 0)
		p->text[strlen(ARTICLE) - 1] = ':';
	else if (r->f->babyl && !r->f->force && strncmp(p->text, mail_from, strlen(mail_from)) == 0) {
		s = p->text + strlen(mail_from);
		s += strspn(s, " \t");
		if (formail_is_from(s)) {
			size_t n = p->len - (size_t)(s - p->text);

			formail_set(p, xstrndup(s, n), n, strlen(FROM));
		}
	}
}

static void
drop(struct sv *v)
{
	free((char *)(uintptr_t)v->p);
	*v = SV_NULL;
}

static void
save(struct sv *where, const struct formail_field *p)
{
	size_t n = p->len - p->id;
	char *copy = xmalloc(n);

	drop(where);
	memcpy(copy, p->text + p->id, n);
	*where = sv_from(copy, n);
}

static void
remember(struct formail_run *r, const struct formail_field *p)
{
	const struct {
		const char	*name;
		struct sv	*where;
	} saved[] = {
		{ "Subject:", &r->subject }, { "References:", &r->references }, { "Message-ID:", &r->message_id }, { "Date:", &r->date }
	};

	for (size_t i = 0; i < 4; i++)
		if (strlen(saved[i].name) == p->id && strncasecmp(saved[i].name, p->text, p->id) == 0 && p->len - p->id > 1)
			save(saved[i].where, p);
}

/* -z: a blank behind the colon, no empty fields. */
static void
zap(struct formail_run *r, size_t i)
{
	struct formail_field *p = &r->head.v.p[i];
	char *text;

	if (p->id == 0 || p->text[p->id - 1] != ':')
		return;
	if (p->text[p->id] != ' ' && p->text[p->id] != '\t' && p->len > p->id + 1) {
		text = xmalloc(p->len + 2);
		memcpy(text, p->text, p->id);
		text[p->id] = ' ';
		memcpy(text + p->id + 1, p->text + p->id, p->len - p->id + 1);
		formail_set(p, text, p->len + 1, p->id);
		return;
	}
	if (p->len > p->id + 2)
		return;
	formail_drop(&r->head, i);
}

static void
look_at_header(struct formail_run *r)
{
	for (size_t i = 0; r->f->zap && i < r->head.v.len; i++)
		zap(r, i);
	formail_compact(&r->head);
	for (size_t i = 0; i < r->head.v.len; i++) {
		if (r->f->concatenate)
			formail_join(&r->head.v.p[i]);
		formail_sender(r, i);
		remember(r, &r->head.v.p[i]);
	}
}

static void
forget(struct formail_run *r)
{
	free(r->sender);
	r->sender = NULL;
	drop(&r->subject);
	drop(&r->references);
	drop(&r->message_id);
	drop(&r->date);
	r->total = 0;
}

/* --- replies ---------------------------------------------------------------------- */

static void
add_saved(struct sb *sb, struct sv v)
{
	if (v.p[0] != ' ' && v.p[0] != '\t')
		sb_addc(sb, ' ');
	sb_add(sb, v);
}

static void
add_field(struct formail_run *r, struct sb *sb)
{
	formail_add(&r->head, sb_cstr(sb), sb->len, true);
	sb_clear(sb);
}

static void
reply_header(struct formail_run *r)
{
	struct sb sb = SB_INIT(FORMAIL_FIELD_MAX);

	for (size_t i = 0; i < r->head.v.len; i++) {
		struct formail_field *o = formail_find(&r->head.v.p[i], &r->f->i);

		if (o == NULL || o->id + 1 < o->len)
			formail_drop(&r->head, i);
	}
	formail_compact(&r->head);
	if (r->sender == NULL)
		r->status = EX_NOUSER;
	sb_addf(&sb, "To: %s\n", r->sender == NULL ? "foo@bar" : r->sender);
	add_field(r, &sb);
	if (r->subject.p != NULL) {
		/* Put in front whether one is there or not. */
		sb_adds(&sb, "Subject: Re:");
		add_saved(&sb, r->subject);
		add_field(r, &sb);
	}
	if (r->references.p != NULL || r->message_id.p != NULL) {
		sb_adds(&sb, "References:");
		if (r->references.p != NULL) {
			add_saved(&sb, r->references);
			if (r->message_id.p != NULL)
				sb_cut(&sb, sb.len - 1);
		}
		if (r->message_id.p != NULL)
			add_saved(&sb, r->message_id);
		add_field(r, &sb);
	}
	if (r->message_id.p != NULL) {
		sb_adds(&sb, "In-Reply-To:");
		add_saved(&sb, r->message_id);
		add_field(r, &sb);
	}
	sb_free(&sb);
	formail_change(r, false);
}

/* --- what is added ------------------------------------------------------------------ */

static bool
wants_postmark(struct formail_run *r, bool was_from)
{
	struct formail *f = r->f;
	ptrdiff_t a = formail_find_name(&f->a, FROM);

	if (f->force || (r->head.v.len > 0 && formail_is_from(r->head.v.p[0].text)))
		return (false);
	if (a >= 0 && f->a.v.p[a].len <= strlen(FROM) + 1)
		return (true);
	struct formail_field from = { .text = (char *)(uintptr_t)FROM, .id = strlen(FROM), .len = strlen(FROM) };
	return (!was_from && formail_find(&from, &f->i) == NULL && formail_find(&from, &f->I) == NULL &&
	    formail_find(&from, &f->R) == NULL);
}

static void
add_postmark(struct formail_run *r)
{
	struct sb sb = SB_INIT(FORMAIL_FIELD_MAX);
	struct formail_field date = { .text = (char *)(uintptr_t)"Date:", .id = 5, .len = 5 };
	time_t now = time(NULL);
	char text[32];
	struct formail_field last;

	sb_addf(&sb, "From %s ", r->sender == NULL ? "foo@bar" : r->sender);
	if (r->date.p == NULL || formail_find(&date, &r->f->a) == NULL)
		sb_addf(&sb, " %s", ctime_r(&now, text));
	else
		add_saved(&sb, r->date);
	add_field(r, &sb);
	sb_free(&sb);
	last = r->head.v.p[r->head.v.len - 1];
	memmove(&r->head.v.p[1], &r->head.v.p[0], (r->head.v.len - 1) * sizeof(last));
	r->head.v.p[0] = last;
}

static void
add_message_id(struct formail_run *r, const struct formail_field *o)
{
	struct sb sb = SB_INIT(4096);

	sb_addn(&sb, o->text, o->id);
	sb_addf(&sb, " <%lld.%llx.%lx.%u@%s>\n", (long long)time(NULL), (unsigned long long)r->hash, (long)getpid(), r->ids++,
	    r->f->host);
	formail_add(&r->added, sb_cstr(&sb), sb.len, false);
	sb_free(&sb);
}

static bool
is_message_id(const struct formail_field *o)
{
	return ((o->id == 11 && strncasecmp(o->text, "Message-ID:", 11) == 0) ||
	    (o->id == 18 && strncasecmp(o->text, "Resent-Message-ID:", 18) == 0));
}

/* -a: only what is not there. */
static void
add_missing(struct formail_run *r)
{
	for (size_t i = 0; i < r->f->a.v.len; i++) {
		struct formail_field *o = &r->f->a.v.p[i];

		if (formail_find(o, &r->head) != NULL)
			continue;
		if (o->id + 1 >= o->len && is_message_id(o))
			add_message_id(r, o);
		else
			formail_add(&r->added, o->text, o->len, false);
	}
}

static void
log_header(struct formail_run *r)
{
	ptrdiff_t s = formail_find_name(&r->head, "Subject:");
	struct formail_field *p;
	size_t n;

	if (r->f->folder == NULL)
		return;
	if (r->head.v.len > 0 && formail_is_from(r->head.v.p[0].text))
		write_text(r, r->head.v.p[0].text, r->head.v.p[0].len);
	if (s < 0)
		return;
	p = &r->head.v.p[s];
	formail_join(p);
	for (size_t i = 0; i + 1 < p->len; i++)
		if (p->text[i] != '\0' && strchr("\t\n\v\f\r", p->text[i]) != NULL)
			p->text[i] = ' ';
	n = p->len - 1 >= SUBJECT_MAX ? SUBJECT_MAX : p->len - 1;
	write_text(r, " ", 1);
	write_text(r, p->text, n);
	write_text(r, "\n", 1);
}

/* --- writing the header ---------------------------------------------------------------- */

static bool
extracting(const struct formail *f)
{
	return (f->x.v.len > 0 || f->X.v.len > 0);
}

static void
put_field(struct formail_run *r, const struct formail_field *p)
{
	const char *s = p->text + p->id, *end = p->text + p->len - 1;

	if (extracting(r->f)) {
		if (formail_find(p, &r->f->x) != NULL) {
			if (r->f->zap) {
				s += strspn(s, " \t");
				while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
					end--;
			}
			if (end > s)
				write_text(r, s, (size_t)(end - s));
			write_text(r, "\n", 1);
			return;
		}
		if (formail_find(p, &r->f->X) == NULL)
			return;
	}
	put(r, p->text, p->len);
}

static void
put_filled(struct formail_run *r, const struct formail_list *l)
{
	for (size_t i = 0; i < l->v.len; i++)
		if (l->v.p[i].id + 1 < l->v.p[i].len)
			put_field(r, &l->v.p[i]);
}

static void
put_list(struct formail_run *r, struct formail_list *l)
{
	for (size_t i = 0; i < l->v.len; i++)
		put_field(r, &l->v.p[i]);
	formail_list_free(l);
}

static bool
keeps_length(struct formail *f)
{
	struct formail_field cl = { .text = (char *)(uintptr_t)"Content-Length:", .id = 15, .len = 15 };

	if (f->digest || f->berkeley)
		return (false);
	return (!(f->keep && (f->reply || (f->X.v.len > 0 && formail_find(&cl, &f->X) == NULL))));
}

/* The header is complete: change and write it.  *<length>: of the body by Content-Length:.  False: the run ends here (-D). */
static bool
do_header(struct formail_run *r, long *length)
{
	struct formail *f = r->f;
	bool was_from;
	ptrdiff_t cl;

	clean_header(r);
	special_first(r);
	forget(r);
	was_from = !f->force && r->head.v.len > 0 && formail_is_from(r->head.v.p[0].text);
	formail_change(r, f->reply);
	look_at_header(r);
	if (f->cache != NULL) {
		bool dup = formail_seen(r);

		if (!f->split) {
			r->status = dup ? EX_OK : 1;
			return (false);
		}
		if (dup) {
			formail_close(r);
			formail_sink(r);
		}
	}
	*length = 0;
	if (keeps_length(f) && (cl = formail_find_name(&r->head, "Content-Length:")) >= 0)
		*length = procmail_long(r->head.v.p[cl].text + strlen("Content-Length:"), NULL);
	if (f->reply)
		reply_header(r);
	else if (wants_postmark(r, was_from))
		add_postmark(r);
	add_missing(r);
	log_header(r);
	put_list(r, &r->head);
	put_list(r, &r->added);
	put_filled(r, &f->A);
	put_filled(r, &f->i);
	put_filled(r, &f->I);
	if (f->keep || !extracting(f))
		put(r, "\n", 1);
	return (true);
}

/* --- the body -------------------------------------------------------------------------- */

/* <length> bytes as they are; true: the last line was empty. */
static bool
copy_length(struct formail_run *r, long length, bool empty)
{
	int c, last = '\n';

	if (r->buf.len > 0) {
		put(r, r->buf.p, r->buf.len);
		length -= (long)r->buf.len;
		sb_clear(&r->buf);
		empty = false;
	}
	for (c = r->next; --length >= 0 && c != EOF; c = getc(r->f->in)) {
		char b = (char)c;

		empty = last == c && last == '\n';
		put(r, &b, 1);
		last = c;
	}
	r->next = c;
	if (c == '\n' && last != c) {
		put(r, "\n", 1);
		r->next = getc(r->f->in);
	}
	if (!r->f->quiet && length > 0)
		(void)fprintf(stderr, "formail: Content-Length: field exceeds actual length by %ld bytes\n", length);
	return (empty);
}

/* A real postmark has an address and something behind it. */
static bool
real_postmark(const char *s)
{
	size_t k;

	s += strlen(FROM);
	s += strspn(s, " \t");
	k = strcspn(s, " \t\n");
	s += k;
	return (k > 0 && s[strspn(s, " \t")] != '\n');
}

/* Fields follow that make it a header: enough of them? */
static bool
enough_fields(struct formail_run *r)
{
	long i = r->f->min_fields;

	while (--i > 0)
		if (!read_field(r) || !formail_known(r))
			return (false);
	return (true);
}

/* Does a new message begin with what was read?  A postmark that is none is escaped. */
static bool
new_message(struct formail_run *r, bool after_empty)
{
	struct formail *f = r->f;
	bool may = f->split && (after_empty || f->every);

	if (r->head.v.len == 0 && r->buf.len > 0 && formail_is_from(sb_cstr(&r->buf)))
		add_buffer(r);
	if (r->head.v.len > 0) {
		if (formail_is_from(r->head.v.p[0].text)) {
			if (may && real_postmark(r->head.v.p[0].text))
				return (enough_fields(r));
			if (f->bogus)
				put(r, f->prefix, strlen(f->prefix));
			return (false);
		}
		return (may && f->digest && formail_known(r) && enough_fields(r));
	}
	return (may && f->digest && read_article(r) && enough_fields(r));
}

/* Every line of a reply's body gets the prefix, but empty ones. */
static void
put_escaped(struct formail_run *r)
{
	for (size_t i = 0; i < r->head.v.len; i++) {
		struct sv text = sv_from(r->head.v.p[i].text, r->head.v.p[i].len), line;

		while (sv_next(&text, '\n', &line)) {
			if (line.p == r->head.v.p[i].text + r->head.v.p[i].len)
				break;
			put(r, r->f->prefix, strlen(r->f->prefix));
			put(r, line.p, line.len + 1);
		}
	}
	if (r->head.v.len > 0) {
		formail_list_free(&r->head);
		return;
	}
	if (r->buf.len > 1)
		put(r, r->f->prefix, strlen(r->f->prefix));
	put(r, r->buf.p, r->buf.len);
	sb_clear(&r->buf);
}

static void
put_line(struct formail_run *r)
{
	if (r->f->reply && r->f->bogus) {
		put_escaped(r);
	} else if (r->head.v.len > 0) {
		for (size_t i = 0; i < r->head.v.len; i++)
			put(r, r->head.v.p[i].text, r->head.v.p[i].len);
		formail_list_free(&r->head);
	} else {
		put(r, r->buf.p, r->buf.len);
		sb_clear(&r->buf);
	}
}

/* One message is done, the next begins; false: no more are wanted. */
static bool
next_message(struct formail_run *r, bool after_empty)
{
	if (!after_empty)
		put(r, "\n", 1);
	log_folder(r);
	formail_close(r);
	if (r->out_failed) {
		r->write_error = true;
		if (!r->f->quiet)
			(void)fputs("formail: Couldn't write to stdout, continuing...\n", stderr);
	}
	formail_wait_child(r);
	if (r->f->total == 0)
		return (false);
	formail_start_program(r);
	return (true);
}

/* The pseudo header in front of a message of a BABYL file. */
static void
skip_babyl_header(struct formail_run *r)
{
	int c, last = 0;

	while ((c = getc(r->f->in)) != EOF && (c != '\n' || last != '\n'))
		last = c;
	r->next = c;
}

/* The body, up to the next message (true) or the end. */
static bool
do_body(struct formail_run *r, long length, bool *after_empty)
{
	struct formail *f = r->f;
	bool empty = true, begun = false;

	if (r->buf.len == 1)
		sb_clear(&r->buf);
	if (f->babyl)
		skip_babyl_header(r);
	if (length > 0)
		empty = copy_length(r, length, empty);
	while (r->buf.len > 0 || r->head.v.len > 0 || !empty || r->next != EOF) {
		if (r->buf.len == 0 && r->head.v.len == 0)
			(void)read_field(r);
		if ((!f->babyl || begun) && new_message(r, empty)) {
			*after_empty = empty;
			return (true);
		}
		empty = r->buf.len == 1;
		if (f->babyl && r->buf.len > 0 && r->buf.p[0] == BABYL_SEP) {
			begun = true;
			formail_close(r);
			formail_sink(r);
		}
		put_line(r);
	}
	return (false);
}

/* --- the whole ---------------------------------------------------------------------------- */

static void
skip_babyl_leader(struct formail_run *r)
{
	FILE *in = r->f->in;
	int c = 0;

	while (c != EOF && !((c = getc(in)) == BABYL_SEP && (c = getc(in)) == '\f' && (c = getc(in)) == '\n'))
		while (c != EOF && c != '\n')
			c = getc(in);
	while (c != EOF && (c = getc(in)) != '\n')
		;
}

/* Only the header was asked for. */
static bool
header_only(const struct formail *f)
{
	return (!f->keep && (f->reply || extracting(f)));
}

static void
messages(struct formail_run *r)
{
	bool after_empty, more;
	long length;

	if (!read_field(r)) {
		if (r->f->digest && read_article(r))
			while (read_field(r))
				;
	} else
		while (read_field(r))
			;
	for (;;) {
		struct sb rest = r->buf;

		/* The line behind the header is kept while the header is built. */
		sb_init(&r->buf, FORMAIL_FIELD_MAX);
		more = do_header(r, &length);
		sb_free(&r->buf);
		r->buf = rest;
		if (!more)
			return;
		if (header_only(r->f)) {
			log_folder(r);
			if (!r->f->split)
				return;
			formail_close(r);
			formail_sink(r);
		}
		if (!do_body(r, length, &after_empty)) {
			log_folder(r);
			return;
		}
		if (!next_message(r, after_empty))
			return;
		while (read_field(r))
			;
	}
}

static void
finish(struct formail_run *r)
{
	if (r->out != NULL) {
		formail_close(r);
		if (r->out_failed && r->f->out != NULL) {
			if (!r->f->quiet)
				(void)fputs("formail: Couldn't write to stdout\n", stderr);
			r->write_error = true;
		}
	}
	if (r->f->split)
		formail_wait_all(r);
	if (r->status < 0)
		r->status = EX_UNAVAILABLE;
	if (r->status == EX_OK && r->write_error)
		r->status = EX_IOERR;
	if (r->fatal)
		r->status = EX_OSERR;
}

static void
prepare(struct formail *f)
{
	static const char loop[] = "X-Loop:";

	if (f->reply)
		formail_add(&f->i, loop, strlen(loop), false);
	if (f->split && f->min_fields == 0)
		f->min_fields = MIN_FIELDS;
}

int
formail_run(struct formail *f)
{
	struct formail_run r = { .f = f, .out = f->out, .child = -1 };

	sb_init(&r.buf, FORMAIL_FIELD_MAX);
	prepare(f);
	if (f->babyl)
		skip_babyl_leader(&r);
	while ((r.next = getc(f->in)) == '\n')
		;
	if (f->split) {
		if (r.next == EOF)
			return (EX_OK);
		formail_first_fileno(&r);
		r.out = NULL;
		if (f->total != 0) {
			formail_start_program(&r);
			messages(&r);
		} else
			r.status = EX_IOERR;	/* there is something, and nowhere to put it */
	} else
		messages(&r);
	finish(&r);
	forget(&r);
	formail_list_free(&r.head);
	formail_list_free(&r.added);
	sb_free(&r.buf);
	return (r.status);
}
