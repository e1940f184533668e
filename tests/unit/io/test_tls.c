/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS streams and contexts, with certificates made here: handshake, SNI, resumption,
 * files that change, keys that are too open, input in the clear before TLS.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cmocka.h>

#include "base/arena.h"
#include "fiber/fiber.h"
#include "io/stream.h"
#include "io/tls.h"

static char dir[64];

static const char *
in_dir(const char *name)
{
	static char path[8][256];
	static unsigned at;
	char *p = path[at++ % 8];

	(void)snprintf(p, 256, "%s/%s", dir, name);
	return (p);
}

/* A self-signed certificate for <names> ("DNS:a,DNS:b"), chain and key in one file. */
static void
make_cert(const char *file, const char *names, long serial, const char *keyfile)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_EXTENSION *ext;
	FILE *f;

	assert_non_null(key);
	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), -60);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	(void)X509_set_pubkey(x, key);
	(void)X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)file, -1, -1, 0);
	(void)X509_set_issuer_name(x, X509_get_subject_name(x));
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	assert_non_null(ext);
	(void)X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	f = fopen(in_dir(file), "w");
	assert_non_null(f);
	(void)PEM_write_X509(f, x);
	if (keyfile != NULL) {
		(void)chmod(in_dir(file), 0644);
		(void)fclose(f);
		f = fopen(in_dir(keyfile), "w");
		assert_non_null(f);
	}
	(void)PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	(void)fchmod(fileno(f), 0640);
	(void)fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

/* ---- one connection ---- */

struct talk {
	struct tls_server *server;
	struct tls_client *client;
	const char	*host;
	const char	*asked, *kept_as;	/* the name that is asked for, and by which the session is kept; NULL: <host> */
	const struct tls_tlsa *tlsa;
	size_t		 ntlsa;
	struct tls_accept how;
	bool		 resumed;
	int		 ocsp;
	int		 fds[2];
	enum stream_result server_result;
	enum stream_result client_result;
	char		 sni[128];
	char		 cipher[128];
	char		 echo[128];
	char		 error[256];
	size_t		 bulk;
	bool		 done;
};

static void
server_fiber(void *arg)
{
	struct talk *t = arg;
	struct stream *s = stream_new(t->fds[0]);
	struct sv line;

	stream_set_timeout(s, 3000, 3000);
	t->server_result = stream_accepttls(s, t->server, &t->how, 3000);
	if (t->server_result == STREAM_OK) {
		(void)snprintf(t->sni, sizeof(t->sni), "%s", stream_tls_sni(s));
		while (stream_read_line(s, 200000, &line) == STREAM_OK)
			(void)stream_write(s, line);
	} else {
		(void)snprintf(t->error, sizeof(t->error), "%s", stream_error(s));
	}
	stream_close(&s);
	t->done = true;
}

static void
client_fiber(void *arg)
{
	struct talk *t = arg;
	struct stream *s = stream_new(t->fds[1]);
	struct sb big = SB_INIT(200000);
	struct sv line;

	stream_set_timeout(s, 3000, 3000);
	t->client_result = stream_connecttls_peer(s, t->client, &(struct tls_peer){ .host = t->host, .sni = t->asked, .session = t->kept_as, .tlsa = t->tlsa, .ntlsa = t->ntlsa },
	    3000);
	if (t->client_result == STREAM_OK) {
		struct stream_tls_facts f;

		stream_tls_facts(s, &f);
		t->ocsp = f.ocsp;
		t->resumed = stream_tls_resumed(s);
		(void)snprintf(t->cipher, sizeof(t->cipher), "%s", stream_tls_cipher(s));
		(void)stream_printf(s, "hello\n");
		if (stream_read_line(s, 100, &line) == STREAM_OK)
			(void)snprintf(t->echo, sizeof(t->echo), SV_FMT, SV_ARG(line));
		for (int i = 0; i < 100000; i++)
			sb_addc(&big, (char)('a' + i % 26));
		sb_addc(&big, '\n');
		(void)stream_write(s, sb_sv(&big));
		if (stream_read_line(s, 200000, &line) == STREAM_OK && sv_eq(line, sb_sv(&big)))
			t->bulk = line.len;
	} else if (t->error[0] == '\0') {
		(void)snprintf(t->error, sizeof(t->error), "%s", stream_error(s));
	}
	sb_free(&big);
	stream_close(&s);
}

static void
talk(struct talk *t)
{
	struct err err = ERR_INIT;

	t->sni[0] = t->cipher[0] = t->echo[0] = t->error[0] = '\0';
	t->bulk = 0;
	t->done = t->resumed = false;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, t->fds), 0);
	assert_int_equal(fiber_init(&err), 0);
	assert_non_null(fiber_spawn("server", server_fiber, t));
	assert_non_null(fiber_spawn("client", client_fiber, t));
	fiber_run();
	fiber_fini();
	assert_true(t->done);
}

static void
test_handshake(void **state)
{
	struct err err = ERR_INIT;
	struct talk t = { .host = "mail.example.test", .how.resume = true };

	t.server = tls_server_new(dir, &err);
	assert_non_null(t.server);
	t.client = tls_client_new(in_dir("default.pem"), true, &err);
	assert_non_null(t.client);
	talk(&t);
	assert_int_equal(t.server_result, STREAM_OK);
	assert_int_equal(t.client_result, STREAM_OK);
	assert_string_equal(t.sni, "mail.example.test");
	assert_string_equal(t.echo, "hello\n");
	assert_int_equal(t.bulk, 100001);
	assert_int_equal(strncmp(t.cipher, "TLS1.3:TLS_AES_", 15), 0);
	/* A name that the certificate does not have. */
	t.host = "other.example.test";
	talk(&t);
	assert_int_not_equal(t.client_result, STREAM_OK);
	assert_int_not_equal(t.server_result, STREAM_OK);
	tls_client_free(&t.client);
	tls_server_free(&t.server);
}

static void
test_sni(void **state)
{
	static const struct {
		const char	*host;
		const char	*file;		/* only the right certificate verifies */
	} cases[] = {
		{ "mail.example.test", "default.pem" },
		{ "www.alpha.test", "alpha.test.pem" },
		{ "WWW.Alpha.Test", "alpha.test.pem" },
		{ "any.beta.test", "beta.test.pem" },
		{ "named.beta.test", "default.pem" },
	};
	struct err err = ERR_INIT;
	struct talk t = { .host = NULL };

	t.server = tls_server_new(dir, &err);
	assert_non_null(t.server);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		t.host = cases[i].host;
		t.client = tls_client_new(in_dir(cases[i].file), true, &err);
		talk(&t);
		assert_int_equal(t.client_result, STREAM_OK);
		tls_client_free(&t.client);
	}
	tls_server_free(&t.server);
}

/* ---- sessions ---- */

static struct tls_server *
for_any_name(void *arg, const char *name)
{
	struct talk *t = arg;

	(void)name;
	return (t->server);
}

/* Where the configuration looks at the name, what it demands of certificates may hang on it: a session is for one name. */
static void
test_sessions_by_name(void **state)
{
	static const enum tls_ask asks[] = { TLS_ASK_NO, TLS_ASK_TRY };
	const struct tls_client_conf conf = { .verify = TLS_VERIFY_NO, .resume = true };
	struct err err = ERR_INIT;

	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		struct talk t = { .host = "mail.example.test", .kept_as = "one", .how = { .resume = true, .named = for_any_name } };

		t.how.ask = asks[i];
		t.how.arg = &t;
		t.server = tls_server_new(dir, &err);
		t.client = tls_client_new_conf(&conf, &err);
		t.asked = "a.example.test";
		talk(&t);
		assert_false(t.resumed);
		talk(&t);
		assert_true(t.resumed);
		t.asked = "b.example.test";
		talk(&t);
		assert_int_equal(t.server_result, STREAM_OK);
		assert_false(t.resumed);
		talk(&t);
		assert_true(t.resumed);
		t.asked = "A.example.test";
		talk(&t);
		assert_false(t.resumed);
		tls_client_free(&t.client);
		tls_server_free(&t.server);
	}
}

/* A session is taken up again, but not past what has to be checked. */
static void
test_sessions(void **state)
{
	static const uint8_t wrong[32];
	const struct tls_tlsa unusable = { 1, 0, 1, wrong, 32 }, other = { 3, 0, 1, wrong, 32 };
	const struct tls_client_conf conf = { .verify = TLS_VERIFY_NO, .resume = true }, dane = { .resume = true, .dane = true };
	struct err err = ERR_INIT;
	struct talk t = { .host = "mail.example.test", .how.resume = true };

	t.server = tls_server_new(dir, &err);
	t.client = tls_client_new_conf(&conf, &err);
	talk(&t);
	assert_false(t.resumed);
	talk(&t);
	assert_true(t.resumed);
	t.how.ask = TLS_ASK_REQUIRE;
	talk(&t);
	assert_int_not_equal(t.server_result, STREAM_OK);
	t.how.ask = TLS_ASK_NO;
	/* Whom none is offered gets none, and cannot use one that he has. */
	t.how.resume = false;
	talk(&t);
	assert_false(t.resumed);
	tls_client_free(&t.client);
	/* A record that cannot be used lets any certificate pass; its session may not serve when one can be used. */
	t.client = tls_client_new_conf(&dane, &err);
	t.tlsa = &unusable;
	t.ntlsa = 1;
	talk(&t);
	assert_int_equal(t.client_result, STREAM_OK);
	t.tlsa = &other;
	talk(&t);
	assert_int_not_equal(t.client_result, STREAM_OK);
	tls_client_free(&t.client);
	tls_server_free(&t.server);
}

/* A name that ends in a digit is no address. */
static void
test_short_name(void **state)
{
	struct err err = ERR_INIT;
	struct talk t = { .host = "mx1" };

	make_cert("short.pem", "DNS:mx1", 9, NULL);
	t.server = tls_server_new_files(in_dir("short.pem"), NULL, NULL, &err);
	t.client = tls_client_new(in_dir("short.pem"), true, &err);
	talk(&t);
	assert_int_equal(t.client_result, STREAM_OK);
	assert_string_equal(t.sni, "mx1");
	t.host = "mx2";
	talk(&t);
	assert_int_not_equal(t.client_result, STREAM_OK);
	t.host = "192.0.2.1";
	talk(&t);
	assert_int_not_equal(t.client_result, STREAM_OK);
	tls_client_free(&t.client);
	tls_server_free(&t.server);
	(void)unlink(in_dir("short.pem"));
}

/* ---- the status of a certificate ---- */

static void *
read_pem(const char *file, bool key)
{
	FILE *f = fopen(in_dir(file), "r");
	void *p;

	assert_non_null(f);
	p = key ? (void *)PEM_read_PrivateKey(f, NULL, NULL, NULL) : (void *)PEM_read_X509(f, NULL, NULL, NULL);
	(void)fclose(f);
	assert_non_null(p);
	return (p);
}

/* The certificate speaks for itself: <status>, from <from> to <until> seconds from now. */
static void
make_status(const char *file, const char *cert, int status, long from, long until)
{
	X509 *x = read_pem(cert, false);
	EVP_PKEY *key = read_pem(cert, true);
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), x, x);
	ASN1_TIME *a = X509_gmtime_adj(NULL, from), *b = X509_gmtime_adj(NULL, until);
	OCSP_RESPONSE *r;
	FILE *f = fopen(in_dir(file), "w");
	unsigned char *der = NULL;
	int n;

	assert_non_null(f);
	assert_non_null(OCSP_basic_add1_status(basic, id, status, 0, status == V_OCSP_CERTSTATUS_REVOKED ? a : NULL, a, b));
	assert_int_equal(OCSP_basic_sign(basic, x, key, EVP_sha256(), NULL, 0), 1);
	r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	n = i2d_OCSP_RESPONSE(r, &der);
	assert_true(n > 0 && fwrite(der, (size_t)n, 1, f) == 1);
	OPENSSL_free(der);
	(void)fclose(f);
	OCSP_RESPONSE_free(r);
	OCSP_CERTID_free(id);
	OCSP_BASICRESP_free(basic);
	ASN1_TIME_free(a);
	ASN1_TIME_free(b);
	EVP_PKEY_free(key);
	X509_free(x);
}

/* Good ones are shown and asked for (hosts_request_ocsp, hosts_require_ocsp); others are not shown, so that who needs one goes away. */
static void
test_status(void **state)
{
	static const struct {
		int	 status;
		long	 from, until;
		bool	 good;
	} cases[] = {
		{ V_OCSP_CERTSTATUS_GOOD, -3600, 3600, true },
		{ V_OCSP_CERTSTATUS_GOOD, -7200, -3600, false },
		{ V_OCSP_CERTSTATUS_GOOD, 3600, 7200, false },
		{ V_OCSP_CERTSTATUS_REVOKED, -3600, 3600, false },
		{ V_OCSP_CERTSTATUS_UNKNOWN, -3600, 3600, false },
	};
	const char *cert = in_dir("default.pem"), *status = in_dir("status");
	char certs[2][256];
	const char *files[1] = { certs[0] }, *statuses[1] = { certs[1] };
	const struct tls_server_conf conf = { .certs = files, .statuses = statuses, .ncerts = 1 };
	struct err err = ERR_INIT;
	struct talk t = { .host = "mail.example.test" };

	(void)snprintf(certs[0], sizeof(certs[0]), "%s", cert);
	(void)snprintf(certs[1], sizeof(certs[1]), "%s", status);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct tls_client_conf asks = { .verify = TLS_VERIFY_REQUIRE, .names = true, .ca = certs[0], .ocsp_request = true };
		const struct tls_client_conf needs = { .verify = TLS_VERIFY_REQUIRE, .names = true, .ca = certs[0], .ocsp_require = true };
		const struct tls_client_conf silent = { .verify = TLS_VERIFY_REQUIRE, .names = true, .ca = certs[0] };

		make_status("status", "default.pem", cases[i].status, cases[i].from, cases[i].until);
		err_clear(&err);
		t.server = tls_server_new_conf(&conf, NULL, &err);
		assert_non_null(t.server);
		assert_int_equal(err.cls, cases[i].good ? ERR_NONE : ERR_CONFIG);
		t.client = tls_client_new_conf(&asks, &err);
		talk(&t);
		assert_int_equal(t.client_result, STREAM_OK);
		assert_int_equal(t.ocsp, cases[i].good ? TLS_OCSP_GOOD : TLS_OCSP_NO_ANSWER);
		tls_client_free(&t.client);
		t.client = tls_client_new_conf(&needs, &err);
		talk(&t);
		assert_int_equal(t.client_result == STREAM_OK, cases[i].good);
		tls_client_free(&t.client);
		t.client = tls_client_new_conf(&silent, &err);
		talk(&t);
		assert_int_equal(t.ocsp, TLS_OCSP_NOT_ASKED);
		tls_client_free(&t.client);
		tls_server_free(&t.server);
	}
	(void)unlink(in_dir("status"));
}

/* ---- files ---- */

static bool
has_serial(const struct tls_server *t, const char *serial)
{
	struct tls_cert_info info;

	for (unsigned i = 0; tls_server_cert(t, i, &info); i++)
		if (strcmp(info.serial, serial) == 0)
			return (true);
	return (false);
}

static void
test_files(void **state)
{
	struct err err = ERR_INIT;
	struct tls_server *t = tls_server_new(dir, &err);
	struct tls_cert_info info;
	FILE *f;

	assert_non_null(t);
	assert_true(tls_server_cert(t, 0, &info));
	assert_non_null(strstr(info.file, "default.pem"));
	assert_string_equal(info.serial, "01");
	assert_non_null(strstr(info.names, "mail.example.test"));
	assert_true(info.not_after > time(NULL) + 86000 && info.not_after < time(NULL) + 87000);
	(void)sleep(1);
	make_cert("alpha.test.pem", "DNS:alpha.test,DNS:www.alpha.test", 0x77, NULL);
	make_cert("new.test.pem", "DNS:new.test", 0x55, NULL);
	assert_int_equal(tls_server_refresh(t, &err), 0);
	assert_true(has_serial(t, "77"));
	assert_true(has_serial(t, "55"));
	assert_false(has_serial(t, "02"));
	/* A broken file keeps the old certificate, and is told once. */
	f = fopen(in_dir("alpha.test.pem"), "w");
	(void)fputs("-----BEGIN NONSENSE-----\n", f);
	(void)fclose(f);
	(void)sleep(1);
	assert_int_equal(tls_server_refresh(t, &err), -1);
	assert_non_null(strstr(err.text, "alpha.test.pem"));
	assert_true(has_serial(t, "77"));
	(void)sleep(1);
	err_clear(&err);
	assert_int_equal(tls_server_refresh(t, &err), 0);
	(void)unlink(in_dir("new.test.pem"));
	(void)sleep(1);
	(void)tls_server_refresh(t, &err);
	assert_false(has_serial(t, "55"));
	tls_server_free(&t);
	make_cert("alpha.test.pem", "DNS:alpha.test,DNS:www.alpha.test", 2, NULL);
}

static void
test_modes(void **state)
{
	struct err err = ERR_INIT;
	struct tls_server *t;

	(void)chmod(in_dir("default.pem"), 0644);
	t = tls_server_new_files(in_dir("default.pem"), NULL, NULL, &err);
	assert_null(t);
	assert_int_equal(err.cls, ERR_CONFIG);
	assert_non_null(strstr(err.text, "mode 0644"));
	(void)chmod(in_dir("default.pem"), 0640);
	t = tls_server_new_files(in_dir("default.pem"), NULL, "ECDHE+AESGCM", &err);
	assert_non_null(t);
	tls_server_free(&t);
	t = tls_server_new_files(in_dir("beta.test.pem"), in_dir("default.pem"), NULL, &err);
	assert_null(t);
	assert_non_null(strstr(err.text, "no private key that fits"));
	t = tls_server_new("/nonexistent", &err);
	assert_null(t);
	t = tls_server_new("/", &err);
	assert_null(t);
	assert_non_null(strstr(err.text, "default.pem"));
	assert_null(tls_client_new("/nonexistent/ca.pem", true, &err));
}

/* ---- input before TLS ---- */

static void
early_fiber(void *arg)
{
	struct tls_server *t = arg;
	struct stream *s;
	struct sv line;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	s = stream_new(fds[0]);
	assert_int_equal(write(fds[1], "STARTTLS\r\nRSET\r\n", 16), 16);
	assert_int_equal(stream_read_line(s, 100, &line), STREAM_OK);
	assert_int_equal(stream_starttls(s, t, 1000), STREAM_ERROR);
	assert_non_null(strstr(stream_error(s), "in the clear"));
	stream_close(&s);
	(void)close(fds[1]);
	/* No TLS at the other end. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	s = stream_new(fds[0]);
	assert_int_equal(write(fds[1], "EHLO there\r\n", 12), 12);
	assert_int_equal(stream_starttls(s, t, 1000), STREAM_ERROR);
	stream_close(&s);
	(void)close(fds[1]);
	/* Silence. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	s = stream_new(fds[0]);
	assert_int_equal(stream_starttls(s, t, 50), STREAM_TIMEOUT);
	stream_close(&s);
	(void)close(fds[1]);
}

static void
test_early(void **state)
{
	struct err err = ERR_INIT;
	struct tls_server *t = tls_server_new(dir, &err);

	assert_non_null(t);
	assert_int_equal(fiber_init(&err), 0);
	assert_non_null(fiber_spawn("early", early_fiber, t));
	fiber_run();
	fiber_fini();
	tls_server_free(&t);
}

static int
setup(void **state)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/vpost-tls-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return (-1);
	make_cert("default.pem", "DNS:mail.example.test,DNS:named.beta.test", 1, NULL);
	make_cert("alpha.test.pem", "DNS:alpha.test,DNS:www.alpha.test", 2, NULL);
	make_cert("beta.test.pem", "DNS:*.beta.test", 3, "beta.test.key");
	return (0);
}

static int
teardown(void **state)
{
	static const char *const files[] = { "default.pem", "alpha.test.pem", "beta.test.pem", "beta.test.key" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		(void)unlink(in_dir(files[i]));
	return (rmdir(dir));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_sni),
		cmocka_unit_test(test_sessions), cmocka_unit_test(test_sessions_by_name),
		cmocka_unit_test(test_short_name),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_early),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
