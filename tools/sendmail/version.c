/* SPDX-License-Identifier: BSD-2-Clause */
/* What this program is, for people and for the scripts that look for words in -bV; -bI:. */
#include <string.h>
#include <strings.h>

#include "testing.h"

static void
names(FILE *out, const char *label, enum exim_opt_kind kind)
{
	(void)fprintf(out, "%s:", label);
	for (size_t i = 0; i < exim_nopt_tables; i++)
		if (exim_opt_tables[i].kind == kind && exim_opt_tables[i].driver != NULL &&
		    (exim_opt_tables[i].flags & EXIM_OPTF_KNOWN) == 0)
			(void)fprintf(out, " %s%s", exim_opt_tables[i].driver, kind == EXIM_KIND_TRANSPORT &&
			    strcmp(exim_opt_tables[i].driver, "appendfile") == 0 ? "/maildir/mailstore/mbx" : "");
	(void)fputc('\n', out);
}

void
version_print(FILE *out)
{
	const char *name;

	(void)fprintf(out, "Exim version 4.98 compatible: vpost, a mail server with Exim's configuration language\n");
	(void)fprintf(out, "Support for: crypteq iconv() IPv6 PAM Perl Expand_dlfunc OpenSSL TLS_resume move_frozen_messages "
	    "Content_Scanning DANE DKIM DMARC DNSSEC Event Exim_filter I18N OCSP PIPECONNECT PRDR PROXY SOCKS SPF SRS TCP_Fast_Open\n");
	(void)fprintf(out, "Lookups (built-in):");
	for (size_t i = 0; (name = exim_family_name(EXIM_LOOKUPS, i)) != NULL; i++)
		(void)fprintf(out, " %s", name);
	(void)fputc('\n', out);
	names(out, "Authenticators", EXIM_KIND_AUTH);
	names(out, "Routers", EXIM_KIND_ROUTER);
	names(out, "Transports", EXIM_KIND_TRANSPORT);
	(void)fprintf(out, "Fixed never_users: 0\nConfigure owner: 0:0\nSize of off_t: %zu\n", sizeof(off_t));
}

int
info_print(const char *what)
{
	static const char *const sieve[] = {
		"comparator-i;ascii-numeric", "copy", "encoded-character", "enotify", "envelope", "fileinto", "subaddress",
		"vacation"
	};
	static const char *const dscp[] = {
		"af11", "af12", "af13", "af21", "af22", "af23", "af31", "af32", "af33", "af41", "af42", "af43", "ef",
		"lowcost", "lowdelay", "mincost", "reliability", "throughput"
	};

	if (strcasecmp(what, "sieve") == 0) {
		for (size_t i = 0; i < sizeof(sieve) / sizeof(sieve[0]); i++)
			printf("%s\n", sieve[i]);
		return (0);
	}
	if (strcasecmp(what, "dscp") == 0) {
		for (size_t i = 0; i < sizeof(dscp) / sizeof(dscp[0]); i++)
			printf("%s\n", dscp[i]);
		return (0);
	}
	(void)fprintf(strcasecmp(what, "help") == 0 ? stdout : stderr,
	    "The -bI: flag takes a string indicating which information to provide.\n"
	    "If the string is not recognised, you'll get this help (on stderr).\n\n"
	    "  exim -bI:help    this information\n"
	    "  exim -bI:dscp    list of known dscp value keywords\n"
	    "  exim -bI:sieve   list of supported sieve extensions\n");
	return (strcasecmp(what, "help") == 0 ? 0 : 1);
}
