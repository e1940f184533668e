/* SPDX-License-Identifier: BSD-2-Clause */
/* Main options tls_* to contexts of TLS: see tls_conf.h. */
#include "session/tls_conf.h"

#include <sys/stat.h>

#include <stdlib.h>
#include <string.h>

#include "base/lru.h"
#include "io/tls.h"
#include "session/session_int.h"

#define CONTEXTS_MAX	64
#define KEY_MAX		65536
#define FILES_MAX	16

struct session_tls {
	const struct exim_conf *conf;
	char		*dir;		/* NULL: none */
	struct tls_switches switches;
	struct tls_server *fixed;	/* where nothing is expanded */
	bool		 by_name;	/* the name that the client asks for counts */
	struct lru	*contexts;	/* struct tls_server, by all that it is made of */
};

static const enum exim_main_opt expanded[] = {
	EXIM_MAIN_tls_certificate, EXIM_MAIN_tls_privatekey, EXIM_MAIN_tls_ocsp_file, EXIM_MAIN_tls_require_ciphers,
	EXIM_MAIN_tls_dhparam, EXIM_MAIN_tls_eccurve, EXIM_MAIN_tls_alpn, EXIM_MAIN_tls_verify_certificates, EXIM_MAIN_tls_crl,
};

static bool
mentions(const struct exim_conf *c, const char *what)
{
	for (size_t i = 0; i < sizeof(expanded) / sizeof(expanded[0]); i++)
		if (sv_find(exim_main_text(c, expanded[i]), sv_cstr(what)) >= 0)
			return (true);
	return (false);
}

/* ---- one set of values ---- */

struct filling {
	const struct exim_conf *conf;
	struct exim_env	*env;		/* NULL: all is fixed */
	struct arena	*a;
	struct err	*err;
	bool		 failed;
};

/* The value, "" for one that is unset or was forced to fail. */
static struct sv
value(struct filling *f, enum exim_main_opt o, const char *name)
{
	const struct exim_value *v = &f->conf->main[o];
	enum exim_result r;
	struct sv text;

	if (v->str == NULL || f->env == NULL)
		return (v->text);
	r = exim_expand(v->str, f->env, &text, f->err);
	if (r == EXIM_OK)
		return (text);
	if (r != EXIM_FORCED && !f->failed) {
		err_prefix(f->err, "failed to expand %s", name);
		f->err->cls = ERR_TEMP;
		f->failed = true;
	}
	return (SV_LIT(""));
}

/* NULL: unset or empty. */
static const char *
text_of(struct filling *f, enum exim_main_opt o, const char *name)
{
	struct sv v = value(f, o, name);

	return (v.len == 0 ? NULL : arena_cstr(f->a, v));
}

static const char **
list_of(struct filling *f, enum exim_main_opt o, const char *name, size_t *n)
{
	const char **v = arena_zalloc(f->a, FILES_MAX * sizeof(*v));
	struct sv list = value(f, o, name), item;
	int sep = 0;

	*n = 0;
	while (*n < FILES_MAX && list.len > 0 && exim_list_next(&list, &sep, f->a, &item))
		if (item.len > 0)
			v[(*n)++] = arena_cstr(f->a, item);
	return (v);
}

/* Files of status; "PEM " and "DER " hold for those behind them too. */
static const char **
statuses_of(struct filling *f)
{
	size_t n;
	const char **v = list_of(f, EXIM_MAIN_tls_ocsp_file, "tls_ocsp_file", &n);
	bool pem = false;

	for (size_t i = 0; i < n; i++) {
		bool named = strncmp(v[i], "PEM ", 4) == 0 || strncmp(v[i], "DER ", 4) == 0;

		if (named)
			pem = v[i][0] == 'P';
		else if (pem)
			v[i] = arena_fmt(f->a, "PEM %s", v[i]);
	}
	return (v);
}

static int
fill(struct filling *f, const struct session_tls *t, struct tls_server_conf *c)
{
	const struct exim_value *max = &f->conf->main[EXIM_MAIN_tls_dh_max_bits];
	bool asks = f->conf->main[EXIM_MAIN_tls_verify_hosts].set || f->conf->main[EXIM_MAIN_tls_try_verify_hosts].set;
	const char *curves = text_of(f, EXIM_MAIN_tls_eccurve, "tls_eccurve"), *dh = text_of(f, EXIM_MAIN_tls_dhparam, "tls_dhparam");
	size_t unused;

	memset(c, 0, sizeof(*c));
	c->certs = list_of(f, EXIM_MAIN_tls_certificate, "tls_certificate", &c->ncerts);
	c->keys = list_of(f, EXIM_MAIN_tls_privatekey, "tls_privatekey", &unused);
	c->statuses = statuses_of(f);
	c->dir = c->ncerts == 0 ? t->dir : NULL;
	c->self_signed = c->ncerts == 0 && t->dir == NULL ? arena_cstr(f->a, f->conf->g.primary_hostname) : NULL;
	c->ciphers = text_of(f, EXIM_MAIN_tls_require_ciphers, "tls_require_ciphers");
	c->dhparam = dh == NULL ? "" : dh;
	c->dh_max_bits = max->num < 1024 ? 1024 : max->num > 16384 ? 16384 : (int)max->num;
	c->curves = curves == NULL ? "" : curves;
	c->alpn = list_of(f, EXIM_MAIN_tls_alpn, "tls_alpn", &c->nalpn);
	c->switches = t->switches;
	if (asks) {
		c->cas = text_of(f, EXIM_MAIN_tls_verify_certificates, "tls_verify_certificates");
		if (c->cas == NULL)
			c->cas = "system";
		c->crl = text_of(f, EXIM_MAIN_tls_crl, "tls_crl");
	}
	return (f->failed ? -1 : 0);
}

/* ---- kept contexts ---- */

static void
drop(void *value)
{
	struct tls_server *tls = value;

	tls_server_free(&tls);
}

static void
add(struct sb *key, const char *text)
{
	sb_adds(key, text == NULL ? "" : text);
	sb_addc(key, '\n');
}

static void
make_key(struct sb *key, const struct tls_server_conf *c)
{
	for (size_t i = 0; i < c->ncerts; i++) {
		add(key, c->certs[i]);
		add(key, c->keys[i]);
		add(key, c->statuses[i]);
	}
	sb_adds(key, "\n\n");
	add(key, c->ciphers);
	add(key, c->dhparam);
	add(key, c->curves);
	for (size_t i = 0; i < c->nalpn; i++)
		add(key, c->alpn[i]);
	sb_addc(key, '\n');
	add(key, c->cas);
	add(key, c->crl);
}

static struct tls_server *
by_conf(struct session_tls *t, const struct tls_server_conf *c, struct err *err)
{
	struct sb key = SB_INIT(KEY_MAX);
	struct tls_server *tls = NULL;

	make_key(&key, c);
	if (key.overflow)
		(void)err_set(err, ERR_TEMP, "4.3.5", "the options tls_* expand to more than %d bytes", KEY_MAX);
	else if ((tls = lru_get(t->contexts, sb_sv(&key))) == NULL && (tls = tls_server_new_conf(c, t->fixed, err)) != NULL)
		lru_put(t->contexts, sb_sv(&key), tls);
	sb_free(&key);
	return (tls);
}

struct tls_server *
session_tls_pick(struct session *s, struct err *err)
{
	struct session_tls *t = s->sv->tls;
	struct filling f = { .conf = s->conf, .env = &s->env, .a = s->cmd, .err = err };
	struct tls_server_conf c;
	struct tls_server *tls = t->fixed;

	if (tls == NULL && fill(&f, t, &c) == 0)
		tls = by_conf(t, &c, err);
	return (tls == NULL ? NULL : tls_server_ref(tls));
}

/* ---- all ---- */

struct session_tls *
session_tls_new(const struct exim_conf *conf, const char *dir, bool later, struct err *err)
{
	struct session_tls *t = xcalloc(1, sizeof(*t));
	struct arena *a = arena_new(0);
	struct filling f = { .conf = conf, .a = a, .err = err };
	struct sv options = exim_main_text(conf, EXIM_MAIN_openssl_options);
	struct tls_server_conf c;
	struct stat st;

	t->conf = conf;
	t->contexts = lru_new(CONTEXTS_MAX, drop);
	t->dir = dir == NULL ? NULL : xstrdup(dir);
	t->by_name = mentions(conf, "tls_in_sni") || mentions(conf, "tls_sni") || mentions(conf, "tls_out_sni");
	t->switches.compat = exim_main_bool(conf, EXIM_MAIN_gnutls_compat_mode);
	if (options.len > 0 && tls_switches_parse(arena_cstr(a, options), &t->switches, err) == -1) {
		session_tls_free(&t);
	} else if (!mentions(conf, "$") && !mentions(conf, "\\") && dir != NULL) {
		(void)fill(&f, t, &c);
		t->fixed = tls_server_new_conf(&c, NULL, err);
		/* A box without certificates runs without TLS. */
		if (t->fixed == NULL && c.ncerts == 0 && stat(arena_fmt(a, "%s/default.pem", dir), &st) == -1) {
			err_clear(err);
			later = false;
		}
		if (t->fixed == NULL && !later)
			session_tls_free(&t);
	}
	arena_free(&a);
	return (t);
}

void
session_tls_free(struct session_tls **tp)
{
	struct session_tls *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	lru_free(&t->contexts);
	tls_server_free(&t->fixed);
	free(t->dir);
	free(t);
}

struct tls_server *
session_tls_fixed(struct session_tls *t)
{
	return (t == NULL ? NULL : t->fixed);
}

bool
session_tls_by_name(const struct session_tls *t)
{
	return (t->by_name && t->fixed == NULL);
}
