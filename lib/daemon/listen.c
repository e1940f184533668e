/* SPDX-License-Identifier: BSD-2-Clause */
/* The listening sockets that the settings ask for; kept over a reload where they stay the same. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon_int.h"
#include "log/log.h"
#include "net/sock.h"

static const box_listens *
setting(const struct box *b, const char *service)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s_listen", service);
	for (size_t i = 0; i < box_nsettings; i++)
		if (box_settings[i].type == BOX_LISTEN && strcmp(box_settings[i].name, name) == 0)
			return ((const void *)((const char *)b + box_settings[i].offset));
	return (NULL);
}

/* Take the socket of <service> and <text> out of the present ones; -1 if there is none. */
static int
take_old(struct daemon *d, const char *service, const char *text)
{
	for (size_t i = 0; i < d->listeners.len; i++) {
		struct daemon_listener *l = &d->listeners.p[i];
		int fd = l->fd;

		if (fd != -1 && strcmp(l->service, service) == 0 && strcmp(l->text, text) == 0) {
			l->fd = -1;
			return (fd);
		}
	}
	return (-1);
}

static void
free_list(struct daemon_listener *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i].fd != -1)
			(void)close(p[i].fd);
		free((void *)(uintptr_t)p[i].text);
	}
	free(p);
}

/* At the start only: workers do not wait for a port. */
static int
open_socket(const struct daemon *d, const struct net_addr *a, struct err *err)
{
	int fd;

	for (int64_t i = 0; (fd = net_listen(a, err)) == -1 && errno == EADDRINUSE && d->workers.len == 0 && i < d->patience.times; i++) {
		log_warn(NULL, "%s: %s; next try in %lld s", d->def->name, err->text, (long long)d->patience.seconds);
		log_flush();
		(void)sleep((unsigned)d->patience.seconds);
		*err = (struct err)ERR_INIT;
	}
	return (fd);
}

int
daemon_listen(struct daemon *d, const struct box *b, struct err *err)
{
	VEC(struct daemon_listener) list = VEC_INIT;
	int rc = 0;

	for (size_t i = 0; d->def->listens != NULL && d->def->listens[i] != NULL; i++) {
		const char *service = d->def->listens[i];
		const box_listens *l = setting(b, service);

		for (size_t k = 0; l != NULL && k < l->len; k++) {
			struct daemon_listener n = { .service = service, .text = xstrdup(l->p[k].text) };

			n.fd = take_old(d, service, n.text);
			if (n.fd == -1 && rc == 0 && (n.fd = open_socket(d, &l->p[k].addr, err)) == -1) {
				err_prefix(err, "%s_listen", service);
				rc = -1;
			}
			vec_push(&list, n);
		}
	}
	vec_push(&list, ((struct daemon_listener){ .fd = -1 }));
	free_list(d->listeners.p, d->listeners.len);
	d->listeners.p = list.p;
	d->listeners.len = list.len;
	d->listeners.cap = list.cap;
	return (rc);
}

void
daemon_listen_close(struct daemon *d)
{
	free_list(d->listeners.p, d->listeners.len);
	d->listeners.p = NULL;
	d->listeners.len = d->listeners.cap = 0;
}
