/* SPDX-License-Identifier: BSD-2-Clause */
/* The message on standard input: line ends, Bcc, recipients and sender. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "mail/address.h"
#include "mail/header.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/user.h"
#include "sendmail_int.h"

#define DOMAINS_MAX	((size_t)64 * 1024 * 1024)
#define RCPTS_MAX	50000
#define TEXT_MAX	(MESSAGE_MAX * 2)
#define ADDR_FLAGS	(MAIL_ADDR_UTF8 | MAIL_ADDR_BARE | MAIL_ADDR_LITERAL | MAIL_ADDR_BARE_PATH)

static int
read_all(struct sb *in, struct err *err)
{
	for (;;) {
		char *room = sb_room(in, 65536);
		ssize_t n;

		if (room == NULL) {
			(void)err_set(err, ERR_PERM, "5.3.4", "the message has more than %zu bytes", in->max - 65536);
			return (EX_DATAERR);
		}
		n = read(STDIN_FILENO, room, 65536);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			(void)err_sys(err, "standard input");
			return (EX_IOERR);
		}
		if (n == 0)
			return (EX_OK);
		sb_took(in, (size_t)n);
	}
}

/* Lines end in LF, CR or CRLF here, in CRLF afterwards; a line of a single dot ends the message unless -i. */
static void
to_crlf(struct message *m, struct sv in, bool dots)
{
	while (in.len > 0) {
		size_t i = 0, eat;

		while (i < in.len && in.p[i] != '\n' && in.p[i] != '\r')
			if ((unsigned char)in.p[i++] >= 0x80)
				m->eightbit = true;
		if (dots && i == 1 && i < in.len && in.p[0] == '.')
			return;
		eat = i < in.len ? 1 : 0;
		if (i + 1 < in.len && in.p[i] == '\r' && in.p[i + 1] == '\n')
			eat = 2;
		sb_addn(&m->text, in.p, i);
		sb_addn(&m->text, "\r\n", 2);
		in = sv_from(in.p + i + eat, in.len - i - eat);
	}
}

/* ---- addresses ---- */

/* The first line of etc/domains is the main domain. */
static const char *
main_domain(const struct message *m)
{
	struct sb text = SB_INIT(DOMAINS_MAX);
	struct sv rest, line;
	const char *found = NULL;
	char host[256];

	if (os_read_file(box_path(m->box, BOX_DOMAINS), DOMAINS_MAX, &text, NULL) == 0) {
		rest = sb_sv(&text);
		while (found == NULL && sv_next(&rest, '\n', &line)) {
			line = sv_trim(line);
			if (line.len > 0 && line.p[0] != '#')
				found = arena_cstr(m->arena, line);
		}
	}
	sb_free(&text);
	if (found != NULL)
		return (found);
	if (m->box->hostname[0] != '\0')
		return (m->box->hostname);
	os_hostname(host, sizeof(host));
	return (arena_str(m->arena, host));
}

static const char *
qualified(struct message *m, const struct mail_address *a)
{
	struct sb out = SB_INIT(MAIL_ADDRESS_MAX + 256);
	const char *s;

	mail_address_put(&out, a);
	if (a->domain.len == 0)
		sb_addf(&out, "@%s", m->domain);
	for (size_t i = 0; i < out.len; i++)
		if ((unsigned char)out.p[i] >= 0x80)
			m->utf8 = true;
	s = arena_cstr(m->arena, sb_sv(&out));
	sb_free(&out);
	return (s);
}

/* Once each; -1: nobody is left out, so there is no message. */
static int
add_rcpt(struct message *m, const char *addr, struct err *err)
{
	if (hash_get(m->seen, sv_cstr(addr)) != NULL)
		return (0);
	if (m->rcpts.len == RCPTS_MAX)
		return (err_set(err, ERR_PERM, "5.5.3", "more than %d recipients: send it to fewer at a time", RCPTS_MAX));
	(void)hash_set(m->seen, sv_cstr(addr), m);
	vec_push(&m->rcpts, addr);
	return (0);
}

/* All addresses of <text>; -1 at one that cannot be read. */
static int
add_list(struct message *m, struct sv text, struct err *err)
{
	struct mail_addrlist l;

	if (mail_addrlist_parse(text, ADDR_FLAGS, m->arena, &l, err) == -1)
		return (-1);
	for (size_t i = 0; i < l.n; i++)
		if (l.v[i].item == MAIL_ITEM_ADDRESS && add_rcpt(m, qualified(m, &l.v[i]), err) == -1)
			return (-1);
	return (0);
}

static int
args_to_rcpts(struct message *m, const struct options *o, struct err *err)
{
	for (size_t i = 0; i < o->args.len; i++) {
		if (add_list(m, sv_cstr(o->args.p[i]), err) == -1) {
			err_prefix(err, "recipient \"%s\"", o->args.p[i]);
			return (EX_DATAERR);
		}
	}
	return (EX_OK);
}

/* -t: from the header; recipients on the command line are those not to send to, as Exim has it. */
static int
header_to_rcpts(struct message *m, const struct options *o, const struct mail_headers *h, struct err *err)
{
	static const char *const plain[] = { "To", "Cc", "Bcc", NULL };
	static const char *const again[] = { "Resent-To", "Resent-Cc", "Resent-Bcc", NULL };
	const char *const *names = plain;
	VEC(const char *) not = VEC_INIT;
	int rc;

	if ((rc = args_to_rcpts(m, o, err)) != EX_OK)
		return (rc);
	for (size_t i = 0; i < m->rcpts.len; i++)
		vec_push(&not, m->rcpts.p[i]);
	vec_clear(&m->rcpts);
	hash_free(&m->seen, NULL);
	m->seen = hash_new();
	for (size_t i = 0; i < h->n; i++)
		if (sv_casestarts(h->v[i].name, "Resent-"))
			names = again;
	for (size_t i = 0; i < h->n && rc == EX_OK; i++) {
		for (size_t k = 0; names[k] != NULL; k++) {
			if (!sv_caseeqs(h->v[i].name, names[k]))
				continue;
			if (add_list(m, h->v[i].body, err) == -1) {
				err_prefix(err, "%s field", names[k]);
				rc = EX_DATAERR;
			}
		}
	}
	for (size_t i = 0; i < not.len; i++)
		for (size_t k = 0; k < m->rcpts.len; k++)
			if (strcasecmp(m->rcpts.p[k], not.p[i]) == 0) {
				vec_remove(&m->rcpts, k);
				break;
			}
	vec_free(&not);
	return (rc);
}

static int
set_sender(struct message *m, const struct options *o, struct err *err)
{
	struct mail_address a;

	if (o->sender == NULL) {
		m->sender = arena_fmt(m->arena, "%s@%s", m->login, m->domain);
		return (EX_OK);
	}
	m->sender = "";
	if (o->sender[0] == '\0' || strcmp(o->sender, "<>") == 0)
		return (EX_OK);
	if (mail_address_parse(sv_cstr(o->sender), ADDR_FLAGS, m->arena, &a, err) == -1) {
		err_prefix(err, "sender \"%s\"", o->sender);
		return (EX_DATAERR);
	}
	m->sender = qualified(m, &a);
	return (EX_OK);
}

/* ---- the header ---- */

/* Without Bcc, with From, and with the empty line where it was missing. */
static void
fix_header(struct message *m, const struct options *o, const struct mail_headers *h)
{
	struct mail_edit *e = mail_edit_new(m->arena, h);
	struct sb out = SB_INIT(TEXT_MAX);
	struct sv body = sv_sub(sb_sv(&m->text), h->body_start, m->text.len);

	(void)mail_edit_remove_name(e, "Bcc");
	(void)mail_edit_remove_name(e, "Resent-Bcc");
	mail_edit_write(e, &out);
	if (mail_headers_get(h, "From").p == NULL) {
		const char *name = o->fullname != NULL ? o->fullname : m->gecos;

		sb_adds(&out, "From: ");
		if (name[0] != '\0') {
			mail_phrase_encode(&out, sv_cstr(name), 6);
			sb_addc(&out, ' ');
		}
		sb_addf(&out, "<%s>\r\n", m->sender[0] != '\0' ? m->sender :
		    arena_fmt(m->arena, "%s@%s", m->login, m->domain));
	}
	sb_adds(&out, "\r\n");
	sb_add(&out, body);
	sb_free(&m->text);
	m->text = out;
}

static void
who_am_i(struct message *m)
{
	struct os_user u;

	if (os_user_by_uid(getuid(), &u, NULL) == 1) {
		m->login = arena_str(m->arena, u.name);
		/* The full name is what stands before the first comma. */
		u.gecos[strcspn(u.gecos, ",")] = '\0';
		m->gecos = arena_str(m->arena, u.gecos);
		return;
	}
	m->login = arena_fmt(m->arena, "uid%lu", (unsigned long)getuid());
	m->gecos = "";
}

static int
complete(struct message *m, const struct options *o, const struct mail_headers *h, struct err *err)
{
	fix_header(m, o, h);
	if (!m->text.overflow)
		return (EX_OK);
	(void)err_set(err, ERR_PERM, "5.3.4", "the header of the message cannot be completed: it is too large");
	return (EX_DATAERR);
}

static void
begin(struct message *m)
{
	m->arena = arena_new(0);
	m->seen = hash_new();
	sb_init(&m->text, TEXT_MAX);
	who_am_i(m);
	m->domain = main_domain(m);
}

int
message_read(struct message *m, const struct options *o, struct err *err)
{
	struct sb in = SB_INIT(MESSAGE_MAX + 65536);
	struct mail_headers h;
	int rc;

	begin(m);
	if ((rc = set_sender(m, o, err)) != EX_OK)
		return (rc);
	if (!o->from_header && o->args.len == 0) {
		(void)err_set(err, ERR_PERM, NULL, "no recipients; name them, or use -t");
		return (EX_USAGE);
	}
	if ((rc = read_all(&in, err)) != EX_OK) {
		sb_free(&in);
		return (rc);
	}
	to_crlf(m, sb_sv(&in), o->dots);
	sb_free(&in);
	/* Line ends count: what is built of it must fit, or it would be cut. */
	if (m->text.len > MESSAGE_MAX) {
		(void)err_set(err, ERR_PERM, "5.3.4", "the message has more than %zu bytes", MESSAGE_MAX);
		return (EX_DATAERR);
	}
	mail_headers_parse(&h, m->arena, sb_sv(&m->text), MAIL_HEADERS_STOP | MAIL_HEADERS_MBOX);
	rc = o->from_header ? header_to_rcpts(m, o, &h, err) : args_to_rcpts(m, o, err);
	if (rc == EX_OK && m->rcpts.len == 0) {
		(void)err_set(err, ERR_PERM, NULL, "no recipients in the message");
		rc = EX_NOUSER;
	}
	return (rc == EX_OK ? complete(m, o, &h, err) : rc);
}

int
message_of_batch(struct message *m, const struct options *o, const struct batch_message *in, struct err *err)
{
	struct mail_headers h;
	struct mail_address a;

	begin(m);
	m->helo = arena_cstr(m->arena, in->helo);
	/* Only the trusted speak for others; whoever else it is comes as himself. */
	m->sender = arena_cstr(m->arena, in->sender);
	if (in->sender.len > 0 && mail_address_parse(in->sender, ADDR_FLAGS, m->arena, &a, err) == 0)
		m->sender = qualified(m, &a);
	for (size_t i = 0; i < in->rcpts.len; i++)
		if (add_list(m, in->rcpts.p[i], err) == -1)
			return (EX_DATAERR);
	to_crlf(m, in->text, false);
	mail_headers_parse(&h, m->arena, sb_sv(&m->text), MAIL_HEADERS_STOP | MAIL_HEADERS_MBOX);
	return (complete(m, o, &h, err));
}

void
message_free(struct message *m)
{
	sb_free(&m->text);
	vec_free(&m->rcpts);
	hash_free(&m->seen, NULL);
	arena_free(&m->arena);
}
