/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of local transports as jobs: what needs root, or another process, to be seen in a delivery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/header.h"
#include "transport/transport.h"

struct fix {
	struct exim_conf *c;
	struct arena	*a;
	struct exim_world w;
	struct exim_env	 env;
	struct exim_session session;
	struct exim_message msg;
	struct mail_headers headers;
	struct exim_address addr;
	struct route_addr ra;
	struct route_delivery rd;
	const struct route_delivery *rds[1];
	struct transport_delivery td;
	struct transport_job j;
	struct transport_result r;
};

/* Prepare a delivery by the transport t with <options>; <more> changes what routing said. */
static int
prepare(struct fix *f, const char *options, void (*more)(struct fix *f))
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct exim_conf_source src = { .path = "t", .hostname = "us.test" };
	struct err err = ERR_INIT;

	memset(f, 0, sizeof(*f));
	f->a = arena_new(0);
	src.text = sv_cstr(arena_fmt(f->a, "begin routers\na:\n  driver = accept\n  transport = t\nbegin transports\nt:\n  %s\n", options));
	if (exim_conf_load(&f->c, &src, &rep, &err) == -1)
		fail_msg("%s", err.text);
	exim_conf_env(f->c, &f->env);
	f->env.arena = f->a;
	f->env.world = &f->w;
	f->env.session = &f->session;
	f->env.msg = &f->msg;
	f->env.addr = &f->addr;
	mail_headers_parse(&f->headers, f->a, SV_LIT("Subject: s\r\n\r\n"), 0);
	f->msg.headers = &f->headers;
	f->ra.address = SV_LIT("x@a.test");
	f->addr.local_part = f->rd.local_part = sv_taint(SV_LIT("x"));
	f->addr.domain = f->rd.domain = SV_LIT("a.test");
	f->rd.addr = &f->ra;
	f->rd.uid = f->rd.gid = -1;
	f->rds[0] = &f->rd;
	f->td = (struct transport_delivery){ .env = &f->env, .t = f->c->transports[0], .rd = f->rds, .n = 1, .id = SV_LIT("id"),
	    .return_path = SV_LIT("s@b.test"), .size = 200, .now = 1, .uid = 4711, .gid = 4712, .hostname = "us.test", .arena = f->a };
	if (more != NULL)
		more(f);
	return (transport_prepare(&f->td, &f->j, &f->r));
}

static void
done(struct fix *f)
{
	exim_conf_unref(&f->c);
	arena_free(&f->a);
}

#define FILE_AS(o) "driver = appendfile\n  file = /x/f\n  " o

static void
by_router(struct fix *f)
{
	f->rd.user_set = f->rd.group_set = true;
	f->rd.uid = 77;
	f->rd.gid = 78;
}

static void
dropped(struct fix *f)
{
	((struct exim_value *)(uintptr_t)f->c->main)[EXIM_MAIN_deliver_drop_privilege].num = 1;
	f->c->g.exim_uid = 4711;
}

static void
users(void **state)
{
	static const struct { const char *options; void (*more)(struct fix *); int64_t uid, gid; const char *why; } t[] = {
		{ FILE_AS("user = 5\n  group = 6"), dropped, 0, 0, "unable to set gid=6 or uid=5 (euid=4711): deliver_drop_privilege is set" },
		{ FILE_AS("user = 4711\n  group = 6"), dropped, 4711, 6, NULL },
		{ FILE_AS(""), dropped, 4711, 4712, NULL },
		{ FILE_AS(""), NULL, 4711, 4712, NULL },
		{ FILE_AS(""), by_router, 77, 78, NULL },
		{ FILE_AS("user = 5\n  group = 6"), by_router, 5, 6, NULL },
		{ FILE_AS("group = 6"), by_router, 77, 6, NULL },
		{ FILE_AS("user = 99999"), NULL, 0, 0, "User set without group for t transport" },
		{ FILE_AS("user = 0\n  group = 0"), NULL, 0, 0, "User 0 set for t transport is on the fixed_never_users list" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct fix f;
		int rc = prepare(&f, t[i].options, t[i].more);

		assert_int_equal(rc, t[i].why == NULL ? 0 : -1);
		if (rc == 0) {
			assert_int_equal(f.j.uid, t[i].uid);
			assert_int_equal(f.j.gid, t[i].gid);
		} else
			assert_true(sv_eqs(f.r.text, t[i].why));
		done(&f);
	}
}

/* initgroups: the name of the user goes along, so that the child takes his groups. */
static void
groups(void **state)
{
	struct fix f;

	(void)state;
	assert_int_equal(prepare(&f, FILE_AS("user = nobody\n  initgroups"), NULL), 0);
	assert_int_equal(f.j.initgroups, 1);
	assert_true(sv_eqs(f.j.user, "nobody"));
	done(&f);
	assert_int_equal(prepare(&f, FILE_AS("user = nobody"), NULL), 0);
	assert_int_equal(f.j.initgroups, 0);
	assert_int_equal(f.j.user.len, 0);
	done(&f);
}

/* What shall not become a file's name, a command or a limit. */
static void
refusals(void **state)
{
	static const struct { const char *options, *why; } t[] = {
		{ "driver = appendfile\n  file = /x/$local_part", "Tainted '/x/x' (file or directory name for t transport) not permitted" },
		{ "driver = appendfile\n  directory = x", "appendfile: file or directory name \"x\" is not absolute" },
		{ FILE_AS("quota = 10X"), "Malformed value \"10X\" (expansion of \"10X\") in t transport" },
		{ "driver = pipe\n  command = /bin/echo $local_part", "Tainted arg 1 for t transport command: 'x'" },
		{ "driver = pipe\n  use_shell\n  command = echo $local_part", "Tainted 'echo x' (command for t transport) not permitted" },
		{ "driver = lmtp\n  socket = /x/$local_part", "Tainted '/x/x' (socket for t transport) not permitted" },
		{ FILE_AS("message_size_limit = 100"), "message is too big (transport limit = 100)" },
		{ FILE_AS("home_directory = x"), "home directory path \"x\" is not absolute for t transport" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct fix f;

		assert_int_equal(prepare(&f, t[i].options, NULL), -1);
		assert_string_equal(arena_cstr(f.a, f.r.text), t[i].why);
		done(&f);
	}
}

/* A header that does not fit is none: never a piece of it. */
static void
large_header(void **state)
{
	static const size_t room[] = { 13, 14, 15, 100 };
	struct fix f;

	(void)state;
	assert_int_equal(prepare(&f, FILE_AS(""), NULL), 0);
	for (size_t i = 0; i < sizeof(room) / sizeof(room[0]); i++) {
		struct sb out = SB_INIT(room[i]);
		struct err err = ERR_INIT;
		int rc = transport_header(&f.td, &out, &err);

		assert_int_equal(rc, room[i] < sizeof("Subject: s\r\n\r\n") - 1 ? -1 : 0);
		assert_int_equal(err.cls, rc == -1 ? ERR_TEMP : ERR_NONE);
		sb_free(&out);
	}
	done(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(users), cmocka_unit_test(groups), cmocka_unit_test(refusals),
	    cmocka_unit_test(large_header) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
