/* SPDX-License-Identifier: BSD-2-Clause */
/* -brt: which retry rule fits an address or domain, a second domain, and an error. */
#include <string.h>

#include "testing.h"

static void
put_time(int64_t t)
{
	static const struct { char letter; int64_t secs; } unit[] = {
		{ 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 },
	};

	if (t <= 0)
		printf("0s");
	for (size_t i = 0; i < sizeof(unit) / sizeof(unit[0]); i++)
		if (t >= unit[i].secs) {
			printf("%lld%c", (long long)(t / unit[i].secs), unit[i].letter);
			t %= unit[i].secs;
		}
}

/* What the rule says of errors; the names of codes, hosts and TLS are not shown, as in Exim. */
static void
put_error(const struct exim_retry_rule *r)
{
	switch (r->error) {
	case EXIM_RE_QUOTA:
		printf("quota%s", r->quota_age > 0 ? "_" : "");
		if (r->quota_age > 0)
			put_time(r->quota_age);
		break;
	case EXIM_RE_REFUSED:
		printf("refused%s", r->host == 'A' ? "_A" : r->host == 'M' ? "_MX" : "");
		break;
	case EXIM_RE_TIMEOUT:
	case EXIM_RE_TIMEOUT_CONNECT:
		printf("timeout%s%s", r->error == EXIM_RE_TIMEOUT_CONNECT ? "_connect" : "",
		    r->host == 'A' ? "_A" : r->host == 'M' ? "_MX" : "");
		break;
	case EXIM_RE_AUTH_FAILED:
		printf("auth_failed");
		break;
	default:
		printf("*");
		break;
	}
	printf("  ");
}

static void
put_step(const struct exim_retry_step *s)
{
	static const char letters[] = { [EXIM_RETRY_F] = 'F', [EXIM_RETRY_G] = 'G', [EXIM_RETRY_H] = 'H' };
	char frac[8];
	size_t n;

	printf("%c,", letters[s->kind]);
	put_time(s->cutoff);
	printf(",");
	put_time(s->interval);
	if (s->kind == EXIM_RETRY_G) {
		(void)snprintf(frac, sizeof(frac), "%03lld", (long long)(s->factor % 1000));
		for (n = strlen(frac); n > 1 && frac[n - 1] == '0'; n--)
			;
		printf(",%lld.%.*s", (long long)(s->factor / 1000), (int)n, frac);
	}
	printf("; ");
}

int
test_retry(struct testing *t)
{
	struct exim_retry_what w = { .key = SV_NULL, .alternate = SV_NULL, .error = EXIM_RE_ANY };
	const struct exim_retry_rule *r;
	size_t n = t->o->args.len, i = 1;

	if (n == 0) {
		printf("-brt needs a domain or address argument\n");
		return (1);
	}
	w.key = sv_cstr(t->o->args.p[0]);
	w.sender = t->o->sender == NULL ? SV_NULL : sv_cstr(t->o->sender);
	if (sv_chr(w.key, '@') < 0 && sv_chr(w.key, '.') < 0)
		printf("Warning: \"" SV_FMT "\" contains no '@' and no '.' characters. It is being \n"
		    "treated as a one-component domain, not as a local part.\n\n", SV_ARG(w.key));
	if (i < n && strchr(t->o->args.p[i], '.') != NULL)
		w.alternate = sv_cstr(t->o->args.p[i++]);
	if (i < n && strcasecmp(t->o->args.p[i], "timeout_dns") == 0) {
		testing_log("\"timeout_dns\" is no longer available in retry rules (it has never worked) - treated as \"timeout\"");
		w.error = EXIM_RE_TIMEOUT;
	} else if (i < n && !exim_retry_error_parse(sv_cstr(t->o->args.p[i]), &w)) {
		printf("unknown or malformed retry error \"%s\"\n", t->o->args.p[i]);
		return (1);
	}
	r = exim_retry_find(t->conf, &t->env, &w);
	if (r == NULL) {
		printf("No retry information found\n");
		return (0);
	}
	printf("Retry rule: " SV_FMT "  ", SV_ARG(r->pattern));
	put_error(r);
	for (i = 0; i < r->nsteps; i++)
		put_step(&r->step[i]);
	printf("\n");
	return (0);
}
