/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exim_expand [TURNS]: thirty strings as configurations have them, compiled once and evaluated TURNS (36,000)
 * times each; CPU time of each in nanoseconds, and their mean.  exim_expand -l: the strings.
 */
#include <stdio.h>
#include <time.h>

#include "base/num.h"
#include "exim/expand.h"
#include "exim/match.h"
#include "mail/header.h"

static const char *const strings[] = {
	"$primary_hostname ESMTP vpost $tod_full",
	"${lc:$local_part}@${lc:$domain}",
	"${if eq{$sender_address}{}{yes}{no}}",
	"${if and{{!eq{$sender_host_address}{}}{>{$message_size}{1000}}}{big}{small}}",
	"${if match{$local_part}{\\N^([a-z]+)\\+(.*)$\\N}{$1}{$local_part}}",
	"${sg{$sender_address}{@.*}{}}",
	"${extract{2}{:}{a:b:c}}",
	"${extract{home}{uid=1 home=/home/x gid=2}}",
	"${if def:sender_helo_name{(helo=$sender_helo_name)}}",
	"${substr_0_1:$local_part}/$local_part",
	"${hash_2:$local_part}",
	"${md5:$sender_address}",
	"${if forany{a:b:c}{eq{$item}{c}}{y}{n}}",
	"${map{a:b:c}{<$item>}}",
	"${if match_domain{$domain}{+local_domains}{l}{r}}",
	"${if match_ip{$sender_host_address}{10.0.0.0/8 : 192.0.2.0/24}{y}{n}}",
	"${lookup{$local_part}lsearch{/etc/passwd}{$value}{none}}",
	"${eval:$message_size/1024+1}",
	"${quote_local_part:$local_part}",
	"${address:$h_from:}",
	"${if or{{eq{a}{b}}{eqi{A}{a}}}{1}{0}}",
	"X-Spam: ${if >{$message_size}{100}{++}{-}} by $primary_hostname",
	"$acl_m_x",
	"${if bool{$acl_m_x}{y}{n}}",
	"${length_3:$domain}",
	"${uc:$domain}",
	"Received: from ${sender_helo_name} ([$sender_host_address]) by $primary_hostname",
	"${if isip{$sender_host_address}{ip}{host}}",
	"${reduce{1:2:3}{0}{${eval:$value+$item}}}",
	"${if inlist{$domain}{a.test:b.test:dom.test}{y}{n}}",
};
#define NSTRINGS	(sizeof(strings) / sizeof(strings[0]))

static double
cpu_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ((double)ts.tv_sec * 1e9 + (double)ts.tv_nsec);
}

static double
one(struct exim_env *env, struct arena *conf, const char *text, int64_t turns)
{
	struct err err = ERR_INIT;
	struct exim_str *s;
	struct sv v;
	double start;

	if (exim_str_compile(conf, sv_cstr(text), NULL, 0, &s, &err) == -1) {
		(void)fprintf(stderr, "%s: %s\n", text, err.text);
		return (0);
	}
	start = cpu_ns();
	for (int64_t i = 0; i < turns; i++) {
		arena_reset(env->arena);
		exim_env_forget(env);
		(void)exim_expand(s, env, &v, &err);
	}
	return ((cpu_ns() - start) / (double)turns);
}

int
main(int argc, char **argv)
{
	static struct exim_globals g;
	static struct exim_session ses;
	static struct exim_message msg;
	static struct exim_address addr;
	static struct mail_headers headers;
	struct arena *conf = arena_new(0);
	struct exim_named named = { .kind = EXIM_LIST_DOMAIN, .name = SV_LIT("local_domains"),
	    .text = SV_LIT("a.test : *.b.test : dom.test") };
	struct exim_names *names = exim_names_new(conf);
	struct exim_world world;
	struct exim_env env = { .names = names, .caches = exim_caches_new(), .arena = arena_new(65536), .world = &world, .g = &g,
	    .session = &ses, .msg = &msg, .addr = &addr, .acl_m = exim_vars_new() };
	struct err err = ERR_INIT;
	int64_t turns = 36000;
	double sum = 0;

	if (argc > 1 && strcmp(argv[1], "-l") == 0) {
		for (size_t i = 0; i < NSTRINGS; i++)
			(void)puts(strings[i]);
		return (0);
	}
	if (argc > 1 && !num_parse(sv_cstr(argv[1]), 1, 100000000, &turns))
		return (64);
	exim_world_posix(&world);
	(void)exim_names_add(names, &named, &err);
	g.primary_hostname = SV_LIT("mail.example.test");
	ses.helo = SV_LIT("helo.test");
	ses.host_address = SV_LIT("192.0.2.5");
	msg.sender = SV_LIT("joe@sender.test");
	msg.size = 12345;
	mail_headers_parse(&headers, conf, SV_LIT("From: A <a@b.c>\nTo: x@y\n\n"), 0);
	msg.headers = &headers;
	addr.local_part = SV_LIT("local");
	addr.domain = SV_LIT("dom.test");
	exim_vars_set(env.acl_m, SV_LIT("m_x"), SV_LIT("yes"));
	for (size_t i = 0; i < NSTRINGS; i++) {
		double ns = one(&env, conf, strings[i], turns);

		(void)printf("%7.0f ns  %s\n", ns, strings[i]);
		sum += ns;
	}
	(void)printf("%7.0f ns  mean of %zu strings\n", sum / NSTRINGS, NSTRINGS);
	exim_vars_free(&env.acl_m);
	exim_caches_free(&env.caches);
	arena_free(&env.arena);
	arena_free(&conf);
	return (0);
}
