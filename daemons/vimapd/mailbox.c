/* SPDX-License-Identifier: BSD-2-Clause */
/* CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE. */
#include <string.h>

#include "session.h"

/* RFC 3501 6.3.3: a separator at the end only says that folders will be below. */
static struct sv
without_separator(struct sv name)
{
	if (name.len > 1 && name.p[name.len - 1] == srole.sep)
		name.len--;
	return (name);
}

void
cmd_create(struct session *ss, const struct imap_command *c)
{
	char name[STORE_NAME_MAX + 1];
	struct err err = ERR_INIT;
	uint64_t mbox;

	if (!store_name(ss, without_separator(c->mailbox), name))
		return;
	if (store_client_create(srole.client, session_user(ss), sv_cstr(name), &mbox, &err) == -1)
		reply_err(ss, &err, false);
	else
		reply_ok(ss, "Create completed.");
}

void
cmd_delete(struct session *ss, const struct imap_command *c)
{
	char name[STORE_NAME_MAX + 1], inbox[STORE_NAME_MAX + 1];
	struct err err = ERR_INIT;

	if (!store_name(ss, c->mailbox, name))
		return;
	if (store_name_inbox(session_user(ss), inbox, &err) == 0 && strcmp(name, inbox) == 0)
		reply_no(ss, "[CANNOT] INBOX cannot be deleted.");
	else if (store_client_delete(srole.client, session_user(ss), sv_cstr(name), &err) == -1)
		reply_err(ss, &err, false);
	else
		reply_ok(ss, "Delete completed.");
}

/* RFC 3501 6.3.5: renaming INBOX moves its messages into a new mailbox and leaves it empty. */
static void
rename_inbox(struct session *ss, struct sv from, struct sv to)
{
	struct store_range all = { 1, UINT32_MAX };
	struct store_copied copied;
	struct store_status st;
	struct err err = ERR_INIT;
	uint64_t mbox;

	memset(&copied, 0, sizeof(copied));
	if (store_reader_status(srole.reader, from, session_user(ss), false, &st, NULL, &err) != STORE_GET_OK ||
	    store_client_create(srole.client, session_user(ss), to, &mbox, &err) == -1 ||
	    (st.messages > 0 && store_client_copy(srole.client, session_user(ss), st.id, &all, 1, to, true, &copied,
	     &err) == -1))
		reply_err(ss, &err, false);
	else
		reply_ok(ss, "Rename completed.");
	store_copied_free(&copied);
}

void
cmd_rename(struct session *ss, const struct imap_command *c)
{
	char from[STORE_NAME_MAX + 1], to[STORE_NAME_MAX + 1];
	struct err err = ERR_INIT;

	if (!store_name(ss, without_separator(c->mailbox), from) || !store_name(ss, without_separator(c->mailbox2), to))
		return;
	if (store_name_is_inbox(sv_cstr(from)))
		rename_inbox(ss, sv_cstr(from), sv_cstr(to));
	else if (store_client_rename(srole.client, session_user(ss), sv_cstr(from), sv_cstr(to), &err) == -1)
		reply_err(ss, &err, false);
	else
		reply_ok(ss, "Rename completed.");
}

void
cmd_subscribe(struct session *ss, const struct imap_command *c)
{
	bool on = c->verb == IMAP_SUBSCRIBE;
	char name[STORE_NAME_MAX + 1];
	struct err err = ERR_INIT;

	if (!store_name(ss, without_separator(c->mailbox), name))
		return;
	if (store_client_subscribe(srole.client, session_user(ss), sv_cstr(name), on, &err) == -1)
		reply_err(ss, &err, false);
	else
		reply_ok(ss, on ? "Subscribe completed." : "Unsubscribe completed.");
}
