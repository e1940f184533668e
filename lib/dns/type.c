/* SPDX-License-Identifier: BSD-2-Clause */
/* Types by name, records as text. */
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "base/num.h"
#include "base/sb.h"
#include "dns/dns.h"

static const struct {
	const char	*name;
	int		 type;
} types[] = {
	{ "a", DNS_A }, { "ns", DNS_NS }, { "cname", DNS_CNAME }, { "soa", DNS_SOA }, { "ptr", DNS_PTR }, { "mx", DNS_MX },
	{ "txt", DNS_TXT }, { "aaaa", DNS_AAAA }, { "srv", DNS_SRV }, { "tlsa", DNS_TLSA }, { "spf", DNS_SPF },
	{ "any", DNS_ANY }, { "caa", DNS_CAA }
};

int
dns_type_parse(struct sv v)
{
	int64_t n;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (sv_caseeqs(v, types[i].name))
			return (types[i].type);
	if (sv_casestarts(v, "type") && num_parse(sv_sub(v, 4, v.len), 1, 65535, &n))
		return ((int)n);
	return (0);
}

const char *
dns_type_name(int type, char buf[24])
{
	(void)snprintf(buf, 24, "TYPE%d", type);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].type == type) {
			size_t n = strlen(types[i].name);

			for (size_t k = 0; k <= n; k++)
				buf[k] = sv_upper(types[i].name[k]);
		}
	return (buf);
}

const char *
dns_result_text(enum dns_result r)
{
	static const char *const text[] = { "found", "no data", "no such domain", "temporary failure", "bogus" };

	return (text[r]);
}

static unsigned
u16(struct sv v, size_t at)
{
	return (at + 2 <= v.len ? (unsigned)(uint8_t)v.p[at] << 8 | (uint8_t)v.p[at + 1] : 0);
}

/* The strings of a TXT record, joined. */
static void
join_txt(struct sv rd, struct sb *out)
{
	for (size_t pos = 0; pos < rd.len;) {
		size_t len = (uint8_t)rd.p[pos];

		sb_add(out, sv_sub(rd, pos + 1, pos + 1 + len));
		pos += len + 1;
	}
}

static void
soa_text(struct sv rd, struct arena *a, struct sb *out)
{
	size_t pos = 0;

	for (int i = 0; i < 2; i++) {
		const char *name = dns_rdata_name(rd, pos, &pos, a);

		if (name == NULL)
			return;
		sb_addf(out, "%s ", name);
	}
	for (int i = 0; i < 5; i++, pos += 4)
		sb_addf(out, "%s%lu", i == 0 ? "" : " ",
		    (unsigned long)u16(rd, pos) << 16 | (unsigned long)u16(rd, pos + 2));
}

static void
rest_hex(struct sv rd, size_t from, struct sb *out)
{
	hex_encode(out, sv_sub(rd, from, rd.len));
}

const char *
dns_rdata_text(int type, struct sv rd, struct arena *a)
{
	struct sb out = SB_INIT(65536);
	struct net_addr addr = { .family = type == DNS_A ? 4 : 6 };
	char text[NET_ADDR_TEXT_MAX];
	const char *name, *res;

	switch (type) {
	case DNS_A:
	case DNS_AAAA:
		if (rd.len == (type == DNS_A ? 4 : 16)) {
			memcpy(addr.ip, rd.p, rd.len);
			sb_adds(&out, net_addr_text(&addr, text));
		}
		break;
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
		if ((name = dns_rdata_name(rd, 0, NULL, a)) != NULL)
			sb_adds(&out, name);
		break;
	case DNS_MX:
		if ((name = dns_rdata_name(rd, 2, NULL, a)) != NULL)
			sb_addf(&out, "%u %s", u16(rd, 0), name);
		break;
	case DNS_SRV:
		if ((name = dns_rdata_name(rd, 6, NULL, a)) != NULL)
			sb_addf(&out, "%u %u %u %s", u16(rd, 0), u16(rd, 2), u16(rd, 4), name);
		break;
	case DNS_SOA:
		soa_text(rd, a, &out);
		break;
	case DNS_TXT:
	case DNS_SPF:
		join_txt(rd, &out);
		break;
	case DNS_TLSA:
		if (rd.len >= 3) {
			sb_addf(&out, "%u %u %u ", (uint8_t)rd.p[0], (uint8_t)rd.p[1], (uint8_t)rd.p[2]);
			rest_hex(rd, 3, &out);
		}
		break;
	default:
		rest_hex(rd, 0, &out);
		break;
	}
	res = arena_cstr(a, sb_sv(&out));
	sb_free(&out);
	return (res);
}
