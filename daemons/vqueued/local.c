/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deliveries into the store, by way of vlocald: sent in batches, answered "in the index",
 * and done when a barrier says that the bodies are on disk (store/deliver.h).  What is
 * sent twice is stored once, so everything uncertain is simply sent again.
 */
#include <stdlib.h>
#include <string.h>

#include "mail/date.h"
#include "store/store.h"
#include "transport/transport.h"
#include "vqueued_int.h"

#define SENDERS		4		/* batches under way */
#define CALL_MS		60000
#define LOST_ALONE	2		/* what was on a line that broke so often is sent alone */
#define LOST_MAX	6		/* and then deferred */
#define AWAY_MS		300		/* pause when vlocald does not answer */
#define RETRY_S		300

/* ---- what is to be delivered where ---- */

static int
expand(struct vq_env *e, const struct exim_value *v, struct sv *out, struct err *err)
{
	if (v->str == NULL) {
		*out = v->text;
		return (0);
	}
	if (exim_expand(v->str, &e->env, out, err) == EXIM_OK)
		return (0);
	err->cls = ERR_TEMP;
	return (-1);
}

/* header lines of headers_add: "Name: body\n"; made CRLF. */
static void
add_lines(struct sb *out, struct sv text)
{
	struct sv line;

	while (sv_next(&text, '\n', &line)) {
		line = sv_sub(line, 0, line.len > 0 && line.p[line.len - 1] == '\r' ? line.len - 1 : line.len);
		if (line.len == 0)
			continue;
		sb_add(out, line);
		sb_adds(out, "\r\n");
	}
}

/* Fields go: the whole header travels in front of the body. */
static int
make_header(struct vq_env *e, struct dlv *d, struct err *err)
{
	struct sb out = SB_INIT(STORE_PREFIX_MAX);
	uint64_t body = 0;
	int rc = header_edit(e, d, &out, &body, err);

	if (rc == 0 && out.overflow) {
		log_warn(NULL, "qid=%s headers_remove is not done for a header of more than %d bytes", d->m->env.id,
		    STORE_PREFIX_MAX);
		rc = 1;
	} else if (rc == 0) {
		d->prefix = arena_sv(d->m->arena, sb_sv(&out));
		d->off += body;
		d->len -= body;
	}
	sb_free(&out);
	return (rc);
}

static int
make_prefix(struct vq_env *e, struct dlv *d, struct err *err)
{
	const struct exim_value *g = d->rd->transport->d.generic;
	struct sb out = SB_INIT(STORE_PREFIX_MAX);
	char date[MAIL_DATE_MAX];
	struct sv add = SV_NULL;
	const struct route_addr *top = d->rd->addr;

	while (top->parent != NULL)
		top = top->parent;
	if (g[EXIM_TRANSPORT_return_path_add].num != 0)
		sb_addf(&out, "Return-path: <" SV_FMT ">\r\n", SV_ARG(e->msg.return_path));
	if (g[EXIM_TRANSPORT_envelope_to_add].num != 0)
		sb_addf(&out, "Envelope-to: " SV_FMT "\r\n", SV_ARG(top->address));
	if (g[EXIM_TRANSPORT_delivery_date_add].num != 0)
		sb_addf(&out, "Delivery-date: %s\r\n", mail_date_format_local(date, now_s()));
	for (size_t i = 0; i < d->rd->nheaders_add; i++)
		add_lines(&out, d->rd->headers_add[i]);
	if (transport_multi(&e->env, &g[EXIM_TRANSPORT_headers_add], '\n', &add, err) == -1) {
		sb_free(&out);
		return (-1);
	}
	add_lines(&out, add);
	d->prefix = arena_sv(d->m->arena, sb_sv(&out));
	sb_free(&out);
	return (0);
}

int
local_prepare(struct vq *vq, struct vq_env *e, struct dlv *d, struct err *err)
{
	const struct exim_transport *t = d->rd->transport;
	const struct exim_value *o = t->d.own;
	struct sv account, folder;
	char name[STORE_NAME_MAX + 1];
	bool inbox;

	(void)vq;
	if (expand(e, &o[EXIM_STORE_account], &account, err) == -1 || expand(e, &o[EXIM_STORE_folder], &folder, err) == -1) {
		err_prefix(err, "%s transport", t->d.name);
		return (-1);
	}
	if (store_name_inbox(account, name, err) == -1) {
		err->cls = ERR_TEMP;
		return (-1);
	}
	inbox = folder.len == 0 || sv_caseeqs(folder, "INBOX");
	d->to = inbox && o[EXIM_STORE_dotfiles].num != 0 ? STORE_TO_USER : STORE_TO_MAILBOX;
	d->dflags = o[EXIM_STORE_create_folder].num != 0 ? STORE_D_CREATE : 0;
	d->user = arena_sv(d->m->arena, account);
	d->mailbox = sv_cstr(inbox ? arena_str(d->m->arena, name) :
	    arena_fmt(d->m->arena, "%s." SV_FMT, name, SV_ARG(folder)));
	d->as = d->rd->local_part;
	if (header_wants_removal(d)) {
		int rc = make_header(e, d, err);

		if (rc != 1)
			return (rc);
	}
	return (make_prefix(e, d, err));
}

/* ---- batches ---- */

void
local_add(struct vq *vq, struct dlv *d)
{
	d->next = NULL;
	*vq->local_last = d;
	vq->local_last = &d->next;
	vq->local_n++;
	fiber_waiters_wake_one(&vq->local_wait);
}

/* Put a list back in front: it is sent again. */
static void
put_back(struct vq *vq, struct dlv **v, size_t n)
{
	while (n > 0) {
		struct dlv *d = v[--n];

		d->next = vq->local_head;
		if (vq->local_head == NULL)
			vq->local_last = &d->next;
		vq->local_head = d;
		vq->local_n++;
	}
}

static bool
add_to_frame(struct sb *frame, const struct dlv *d)
{
	const struct msg *m = d->m;
	struct store_delivery sd = { .origin = m->origin, .message = sv_from(m->env.id, SPOOL_ID_LEN),
	    .rcpt = d->rd->addr->address, .action = (uint32_t)d->child, .to = d->to, .user = d->user, .mailbox = d->mailbox,
	    .dflags = d->dflags, .prefix = d->prefix, .path = d->path, .off = d->off, .len = d->len,
	    .sender = d->rd->errors_to_set ? d->rd->errors_to : m->env.sender, .date = m->env.received_ms / 1000 };

	return (store_deliver_add(frame, &sd));
}

/* Build a frame from the head of the list. */
static size_t
fill_frame(struct vq *vq, struct sb *frame, struct dlv **batch)
{
	struct dlv *d;
	size_t n = 0;

	store_deliver_begin(frame);
	while (n < STORE_DELIVER_MAX && (d = vq->local_head) != NULL) {
		/* It may be what breaks the line: alone. */
		if (n > 0 && (d->lost >= LOST_ALONE || batch[n - 1]->lost >= LOST_ALONE))
			break;
		if (!add_to_frame(frame, d)) {
			struct err err = ERR_INIT;

			if (n > 0)
				break;
			/* It does not even fit alone. */
			vq->local_head = d->next;
			vq->local_n--;
			err_set(&err, ERR_PERM, "5.3.0", "the delivery has too long names");
			delivery_failed(d, &err, SV_NULL, SV_NULL, NULL);
			continue;
		}
		batch[n++] = d;
		vq->local_head = d->next;
		vq->local_n--;
	}
	if (vq->local_head == NULL)
		vq->local_last = &vq->local_head;
	return (n);
}

static void
wait_barrier(struct vq *vq, struct dlv *d, uint64_t commit)
{
	if (commit == 0 || commit <= vq->barrier_done) {
		d->m->indexed -= d->commit != 0;
		delivery_ok(d, SPOOL_ST_LOCAL, NULL, true);
		return;
	}
	d->m->indexed += d->commit == 0;
	d->commit = commit;
	d->next = NULL;
	*vq->barrier_last = d;
	vq->barrier_last = &d->next;
}

static void
take_answer(struct vq *vq, struct dlv *d, const struct store_answer *a)
{
	struct err err = ERR_INIT;

	switch (a->result) {
	case STORE_INDEXED:
	case STORE_DUPLICATE:
		wait_barrier(vq, d, a->commit);
		break;
	case STORE_PERM:
		err_set(&err, ERR_PERM, a->status[0] != '\0' ? a->status : NULL, "%s", a->text);
		delivery_failed(d, &err, SV_NULL, SV_NULL, NULL);
		break;
	default: {
		struct retry_failure rf = { .local_part = d->rd->local_part, .domain = d->rd->domain, .sender = d->m->env.sender,
		    .what = sv_starts(sv_cstr(a->status), "4.2.2") ? EXIM_RE_QUOTA : EXIM_RE_ANY };
		struct vq_env e = { .arena = NULL };
		int64_t next;

		env_open(&e, vq, d->m);
		next = retry_next(vq, &e.env, &rf, d->m->rcpts[d->rcpt].first_failed, now_s());
		env_close(&e);
		arena_free(&e.arena);
		err_set(&err, ERR_TEMP, a->status[0] != '\0' ? a->status : NULL, "%s", a->text);
		delivery_deferred(d, &err, next, NULL);
		break;
	}
	}
}

/*
 * No answer: they are sent again, but for one on which the line broke again and again.  Where vlocald or vstored was
 * not there to be asked (<up>, IPC_E_AWAY), that is nobody's fault and goes on until it is.
 */
static void
take_back(struct vq *vq, struct dlv **batch, size_t n, bool up, const struct err *err)
{
	bool broke = up && strcmp(err->status, IPC_E_AWAY) != 0;

	for (size_t i = 0; broke && i < n; i++)
		batch[i]->lost++;
	if (broke && n == 1 && batch[0]->lost >= LOST_MAX)
		delivery_deferred(batch[0], err, now_s() + RETRY_S, NULL);
	else
		put_back(vq, batch, n);
}

static void
sender_fiber(void *arg)
{
	struct vq *vq = arg;
	struct sb frame = SB_INIT(IPC_FRAME_MAX);
	struct dlv **batch = xcalloc(STORE_DELIVER_MAX, sizeof(struct dlv *));
	struct store_answer *answers = xcalloc(STORE_DELIVER_MAX, sizeof(*answers));
	bool warned = false;

	for (;;) {
		struct err err = ERR_INIT;
		uint64_t instance;
		size_t n;
		bool up;

		if ((vq->local_head == NULL || !vq->local_greeted) &&
		    fiber_waiters_wait(&vq->local_wait, FIBER_FOREVER) == FIBER_CANCELLED)
			break;
		/* What else is routed in this turn of the loop goes into the same frame. */
		fiber_yield();
		if (!vq->local_greeted || (n = fill_frame(vq, &frame, batch)) == 0)
			continue;
		instance = vq->barrier_instance;
		up = ipc_client_connected(vq->local);
		if (store_deliver_call(vq->local, &frame, n, answers, FIBER_NOW_PLUS(CALL_MS), &err) == -1) {
			if (!warned)
				log_err(NULL, "local deliveries wait", &err);
			warned = true;
			take_back(vq, batch, n, up, &err);
			if (fiber_sleep(AWAY_MS) == FIBER_CANCELLED)
				break;
			continue;
		}
		warned = false;
		/* vstored was started anew meanwhile, or spoke for the first time: which one answered is not known. */
		if (instance != vq->barrier_instance) {
			put_back(vq, batch, n);
			continue;
		}
		for (size_t i = 0; i < n; i++)
			take_answer(vq, batch[i], &answers[i]);
	}
	free(batch);
	free(answers);
	sb_free(&frame);
}

/* ---- barriers ---- */

/* vstored is another process than before: what waited for a barrier of the old one is sent again. */
static void
send_again(struct vq *vq)
{
	struct dlv *d = vq->barrier_head, *next;

	vq->barrier_head = NULL;
	vq->barrier_last = &vq->barrier_head;
	for (; d != NULL; d = next) {
		next = d->next;
		d->m->indexed--;
		d->commit = 0;
		local_add(vq, d);
	}
}

static void
sweep(struct vq *vq)
{
	struct dlv *d = vq->barrier_head, *next;

	vq->barrier_head = NULL;
	vq->barrier_last = &vq->barrier_head;
	for (; d != NULL; d = next) {
		next = d->next;
		wait_barrier(vq, d, d->commit);
	}
}

static void
on_notice(void *arg, const struct ipc_msg *m)
{
	struct vq *vq = arg;
	uint64_t commit, instance;

	if (!store_barrier_read(m, &commit, &instance))
		return;
	if (instance != vq->barrier_instance) {
		vq->barrier_instance = instance;
		vq->barrier_done = commit;
		/* What was answered before the first notice may be of yet another process. */
		send_again(vq);
		return;
	}
	if (commit > vq->barrier_done)
		vq->barrier_done = commit;
	sweep(vq);
}

static void
on_connect(void *arg, struct ipc_client *c)
{
	(void)arg;
	store_barrier_subscribe(c);
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x < y ? -1 : x > y);
}

/* Say which origins still matter: the segments, and where the messages of queue/ came from (each told once). */
static int
greet(struct vq *vq, struct err *err)
{
	uint64_t *v;
	struct sv key;
	void *e;
	size_t n, k = 0, pos = 0;
	int rc;

	/* Half a list would drop ids that count: without the origin of each queue file they stay until the next start. */
	if (vq->unread > 0)
		return (0);
	if (segs_origins(vq, &v, &n, err) == -1)
		return (-1);
	v = xreallocarray(v, n + hash_count(vq->qents) + 1, sizeof(*v));
	v[n++] = vq->own_origin;
	while (hash_next(vq->qents, &pos, &key, &e))
		v[n++] = ((struct qent *)e)->origin;
	qsort(v, n, sizeof(*v), by_number);
	for (size_t i = 0; i < n; i++)
		if (k == 0 || v[k - 1] != v[i])
			v[k++] = v[i];
	rc = store_forget_others(vq->local, v, k, err);
	free(v);
	return (rc);
}

/* Keeps the connection, and says once which origins still matter. */
static void
keeper_fiber(void *arg)
{
	struct vq *vq = arg;
	struct err err = ERR_INIT;
	bool warned = false;

	for (;;) {
		if (!ipc_client_connected(vq->local) && ipc_client_connect(vq->local, &err) == -1 && !warned) {
			log_err(NULL, "local deliveries wait", &err);
			warned = true;
		}
		if (ipc_client_connected(vq->local) && vq->local_greeted)
			warned = false;
		if (!vq->local_greeted && vq->loaded && ipc_client_connected(vq->local)) {
			if (greet(vq, &err) == 0) {
				vq->local_greeted = true;
				fiber_waiters_wake_all(&vq->local_wait);
			} else if (!warned) {
				log_err(NULL, "local deliveries wait", &err);
				warned = true;
			}
		}
		if (fiber_sleep(vq->local_greeted ? 500 : 50) == FIBER_CANCELLED)
			return;
	}
}

int
local_init(struct vq *vq, struct err *err)
{
	vq->local = ipc_client_new(box_path(vq->box, BOX_SOCK_LOCAL));
	ipc_client_on_notice(vq->local, on_notice, vq);
	ipc_client_on_connect(vq->local, on_connect, vq);
	for (int i = 0; i < SENDERS; i++)
		if (fiber_spawn("local-sender", sender_fiber, vq) == NULL)
			return (err_set(err, ERR_TEMP, "4.3.2", "no fibers for local delivery"));
	if (jobs_init(vq, err) == -1)
		return (-1);
	if (fiber_spawn("local-keeper", keeper_fiber, vq) == NULL)
		return (err_set(err, ERR_TEMP, "4.3.2", "no fiber for vlocald"));
	return (0);
}
