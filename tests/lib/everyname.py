#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""everyname.py SENDMAIL DIR: no name of the language is refused.

DIR holds lists made from the manual: options.tsv (kind, owner, name, type ...) and language.md (families of names, "- must (2): a(3) b").
Each option, driver, ACL condition, control and verb, expansion item, operator, condition, variable, lookup type and log selector is written into a
configuration of its own.  It has to be read, options printed by -bP, and what has no effect here be told, once, with its file and line.
"""
import concurrent.futures, os, re, subprocess, sys, tempfile

SENDMAIL, LISTS = sys.argv[1:3]
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEAD = "primary_hostname = mail.local.test\nkeep_environment =\n"
ROUTERS = {"accept": "transport = t", "dnslookup": "transport = t", "ipliteral": "transport = t", "queryprogram": "command = /bin/true\ncommand_user = root",
           "manualroute": "route_list = * a.test\ntransport = t", "redirect": "data = x@y.test",
           "iplookup": "hosts = 127.0.0.1\nport = 1234\ntransport = t"}
TRANSPORTS = {"appendfile": "file = /nonexistent/f\nuser = mail", "autoreply": "to = a@b.test", "lmtp": "command = /bin/cat", "pipe": "command = /bin/cat",
              "smtp": "hosts = a.test", "queuefile": "directory = /nonexistent"}
AUTHS = {"plaintext": "server_prompts = :\nserver_condition = yes", "cram_md5": "server_secret = x", "spa": "server_password = x",
         "dovecot": "server_socket = /nonexistent", "tls": "server_param1 = x", "external": "server_param2 = x",
         "cyrus_sasl": "", "gsasl": "server_password = x", "heimdal_gssapi": ""}
# A text that each of these can be; the others take any.
TEXTS = {
    "errors_reply_to": "a@b.test", "tls_dh_max_bits": "2048", "host_all_ignored": "defer", "host_find_failed": "defer", "once_repeat": "1d",
    "headers_charset": "UTF-8", "syslog_facility": "mail", "openssl_options": "+no_sslv2", "log_selector": "+all", "daemon_smtp_ports": "25",
    "local_interfaces": "127.0.0.1", "extra_local_interfaces": "127.0.0.1", "host_lookup_order": "bydns", "headers_rewrite": "*@a.test $1@b.test",
    "route_list": "* b.test", "route_data": "b.test", "protocol": "smtp", "maildir_use_size_file": "true", "exim_path": "/usr/sbin/exim4",
    "exim_user": "mail", "exim_group": "mail", "user": "mail", "group": "mail", "system_filter_user": "mail", "system_filter_group": "mail",
    "command_user": "mail", "command_group": "mail", "file_format": "From : x", "mailbox_size": "5", "mailbox_filecount": "5", "quota": "10M",
    "self": "send", "retry_use_local_part": "true", "transport": "t", "pass_router": "r2", "redirect_router": "r2", "delay_warning": "1h:2h",
    "keep_malformed": "4d", "create_file": "anywhere", "lock_fcntl_timeout": "1s", "escape_string": ">", "check_string": "From ", "hosts_override": "true",
    "file_transport": "t", "pipe_transport": "t", "directory_transport": "t", "reply_transport": "t", "shadow_transport": "t2", "system_filter_file_transport": "t",
    "system_filter_pipe_transport": "t", "system_filter_reply_transport": "t", "system_filter_directory_transport": "t", "translate_ip_address": "x",
    "qualify_domain": "a.test", "qualify_recipient": "a.test", "uucp_from_pattern": "^x", "headers_add": "X: y", "headers_remove": "x-y", "server_hostname": "a.test",
    "localhost_number": "1", "driver": None, "public_name": "NAME", "smtp_ratelimit_mail": "2,1s,1.0,5m", "smtp_ratelimit_rcpt": "2,1s,1.0,5m",
    "set": "r_x = y", "condition": "yes", "dns_again_means_nonexist": "a.test", "dns_check_names_pattern": "^x", "recipients_max": "5", "gecos_pattern": "x(.)", "gecos_name": "$1",
    "queue_run_max": "5", "timezone": "UTC", "local_part_prefix": "x-", "local_part_suffix": "-x", "untrusted_set_sender": "*", "message_prefix": "x", "maildir_quota_directory_regex": "x",
    "maildir_tag": ":x", "mailstore_format": "true", "temp_errors": "75", "max_output": "10K", "protect_hosts": "*", "mode": "0600", "helo_data": "a.test",
    "ignore_bounce_errors_after": "1d", "port": "25", "interface": "127.0.0.1", "dh_min_bits": "1024", "tls_dh_min_bits": "1024", "utf8_downconvert": "1", "command_timeout": "1m",
    "multi_domain": "true", "retry_include_ip_address": "true", "connection_max_messages": "5", "max_rcpt": "5", "message_size_limit": "5M", "max_parallel": "5",
    "smtp_receive_timeout": "1m", "spool_directory": "/nonexistent", "log_file_path": "/nonexistent/%slog", "acl_smtp_rcpt": "accept", "remote_sort_domains": "a.test",
}
# Which other options they need beside them.
NEEDS = {
    "maildir_quota_directory_regex": "maildir_format", "maildir_use_size_file": "maildir_format", "maildir_tag": "maildir_format", "maildirfolder_create_regex": "maildir_format",
    "maildir_retries": "maildir_format", "mailstore_prefix": "mailstore_format", "mailstore_suffix": "mailstore_format", "local_part_prefix_optional": "local_part_prefix = x-",
    "local_part_suffix_optional": "local_part_suffix = -x", "check_group": "file = /x", "check_owner": "file = /x", "filter_prepend_home": "file = /x",
    "client_username": "client_password = x", "client_password": "client_username = x", "quota_directory": "directory = /nonexistent/d\nquota = 1M",
    "quota_filecount": "directory = /nonexistent/d\nquota = 1M", "allow_filter": "user = mail", "local_sender_retain": "local_from_check = false",
    "shadow_condition": "shadow_transport = t2", "retry_use_local_part": "", "group": "user = mail", "initgroups": "user = mail",
}
# They replace what the driver has by itself.
INSTEAD = {"file": "file", "directory": "directory", "quota_directory": "file", "quota_filecount": "file", "check_owner": "data", "check_group": "data",
           "filter_prepend_home": "data", "route_data": "route_list", "maildir_format": "file", "mailstore_format": "file", "socket": "command",
           "data": "data", "command": "command", "hosts": "hosts", "transport": "transport", "to": "to", "route_list": "route_list", "user": "user", "port": "port",
           "server_prompts": "server_prompts", "server_secret": "server_secret", "server_password": "server_password", "server_socket": "server_socket",
           "server_param1": "server_param1", "server_param2": "server_param2", "command_user": "command_user", "server_condition": "server_condition"}


def value(name, kind, manual):
    if name in TEXTS:
        return TEXTS[name]
    if manual == "boolean":
        return "true"
    return {"bool": "true", "bool_set": "true", "expand_bool": "true", "int": "5", "mkint": "5K", "Kint": "5K", "octint": "0600", "time": "5m", "timelist": "1h:2h",
            "fixed": "1.5", "uid": "mail", "gid": "mail", "uidlist": "mail", "gidlist": "mail", "expand_uid": "mail", "expand_gid": "mail"}.get(kind, "x")


def conf(main="", acl="", routers="", transports="", auths=""):
    return (HEAD + main + "\nbegin acl\nan_acl:\n accept\n" + acl + "\nbegin routers\n" + routers + "\nbegin transports\n" + transports +
            "\nt:\n driver = smtp\nt2:\n driver = appendfile\n file = /nonexistent/x\n user = mail\nbegin authenticators\n" + auths)


def driver(name, d, own, line):
    """An instance; <line> is the option that is looked at."""
    opt = line.split(" ")[0] if line else ""
    need = NEEDS.get(opt)
    drop = {INSTEAD.get(opt), need.split(" ")[0] if need else None}
    if opt in ("file", "directory"):
        drop |= {"file", "directory", "data"}
    if opt in ("maildir_format", "mailstore_format") or (need or "").endswith("_format"):
        drop.add("file")
        need = (need + "\n" if need else "") + "directory = /nonexistent/d"
    lines = [x for x in own.split("\n") if x and x.split(" ")[0] not in drop]
    return f"{name}:\n driver = {d}\n" + "".join(f" {x}\n" for x in lines + (need or "").split("\n") + [line] if x)


def option(kind, owner, name, typ, manual):
    """The configuration that sets it, and how -bP is asked for it; None: it cannot be set by itself."""
    v = "udp" if (owner, name) == ("iplookup", "protocol") else value(name, typ, manual)
    if v is None:
        return None
    line = f"{name} = {v}"
    if kind == "main":
        c = conf(main=NEEDS.get(name, "") + "\n" + line if name not in ("primary_hostname", "keep_environment") else "")
        return c, [name]
    if kind == "router":
        d = {"generic": "accept", "main": "accept"}.get(owner, owner)
        if name == "fallback_hosts":
            d = "manualroute"
        rest = "r2:\n driver = accept\n transport = t\n"
        return conf(routers=driver("r", d, ROUTERS[d], line) + rest), ["router", "r"]
    if kind == "transport":
        d = {"generic": "appendfile"}.get(owner, owner)
        return conf(transports=driver("x", d, TRANSPORTS[d], line)), ["transport", "x"]
    d = {"generic": "plaintext"}.get(owner, owner)
    pub = "" if name == "public_name" else "public_name = NAME\n"
    return conf(auths=driver("a", d, pub + AUTHS[d], line)), ["authenticator", "a"]


def without_effect():
    """(kind, owner's table, name) of options that are known and do nothing."""
    out = set()
    for kind in ("main", "router", "transport", "auth"):
        owner = ""
        for line in open(f"{TOP}/lib/exim/opt_{kind}.h"):
            m = re.match(r"#define EXIM_(\w+)_OPTIONS", line)
            owner = m.group(1).lower() if m else owner
            m = re.match(r"\s+X\((\w+), \w+, .*EXIM_OPTF_KNOWN", line)
            if m:
                out.add((kind, owner, m.group(1)))
    return out


KNOWN = without_effect()


def ask(tmp, n, text, *args):
    path = f"{tmp}/{n}"
    open(path, "w").write(text)
    p = subprocess.run([SENDMAIL, "-C", path, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                       errors="replace", check=False)
    os.unlink(path)
    return p.returncode, p.stdout.replace(path, "CONF")


def end(out):
    lines = [x for x in out.split("\n") if x.strip() and not re.match(r"(Exim version|Copyright|\(c\)|Berkeley|Support|Lookups|Auth|Routers|Transports|Malware|Fixed|Configure|Size|Config)", x)]
    return " | ".join(lines[-3:])


def refused(out):
    return re.search(r"(?i)configuration error|unknown|not recogni|invalid|error in ", out) is not None


def check_option(tmp, n, row):
    kind, owner, name = row[:3]
    made = option(*row)
    if made is None:
        return None
    text, what = made
    rc, out = ask(tmp, f"{n}.v", text, "-bV", "-v")
    told = re.findall(rf"warning: CONF:\d+: [^\n]*option \"{name}\" is known but has no effect here", out)
    if rc != 0 or refused(out.replace("is known but", "")):
        return f"{kind} {owner} {name}: {end(out)}"
    mine = {(kind, o, name) for o in (owner, kind, owner.replace("heimdal_gssapi", "heimdal"))}
    if mine & KNOWN and len(told) != 1:
        return f"{kind} {owner} {name}: told {len(told)} times that it has no effect: {end(out)}"
    rc, out = ask(tmp, f"{n}.p", text, "-bP", *what)
    if rc != 0 or (not re.search(rf"\b(no_)?{name}\b", out) and not name.startswith("bmi_")):
        return f"{kind} {owner} {name}: -bP says {end(out)}"
    return None


ACL_VALUES = {"acl": "an_acl", "add_header": ":at_end:X: y", "authenticated": "*", "condition": "yes", "control": "freeze", "decode": "default", "delay": "0s", "dkim_signers": "a.test",
              "dkim_status": "none", "dmarc_status": "none", "dnslists": "dnsbl.a.test", "domains": "a.test", "encrypted": "*", "endpass": None, "hosts": "*", "local_parts": "x", "log_reject_target": "main",
              "malware": "*", "mime_regex": "x", "ratelimit": "5 / 1h", "recipients": "*", "regex": "x", "remove_header": "x", "sender_domains": "a.test", "senders": "*", "set": "acl_m0 = x",
              "spam": "nobody:true", "spf": "pass", "spf_guess": "pass", "verify": "sender", "seen": "-5m / key=x", "queue": "x", "udpsend": "<; 127.0.0.1 ; 1 ; x", "atrn_domains": "*", "bmi_optin": "true", "dcc": "x"}
# A use of each; where an item's name alone would be a mistake of syntax.
ITEMS = {"acl": "{an_acl}", "authresults": "{x}", "certextract": "{subject}{$tls_in_peercert}", "dlfunc": "{/x}{y}", "env": "{HOME}", "extract": "{a}{a=1}", "filter": "{a:b}{exists{/}}", "hash": "{1}{2}{x}", "hmac": "{md5}{a}{b}",
         "if": " exists{/}{a}{b}", "imapfolder": "{a}", "length": "{1}{abc}", "length_": "", "listextract": "{1}{a:b}", "listquote": "{:}{a}", "lookup": "{a}lsearch{/dev/null}{x}{y}", "map": "{a:b}{$item}", "nhash": "{1}{2}{x}",
         "perl": "{x}", "prvs": "{a@b.test}{k}", "prvscheck": "{a}{k}", "readfile": "{/dev/null}", "readsocket": "{/x}{y}{1s}{}{z}", "reduce": "{a:b}{}{$item}", "run": "{/bin/true}", "sg": "{a}{b}{c}", "sort": "{a:b}{lt}{$item}",
         "substr": "{1}{1}{abc}", "tr": "{a}{b}{c}", "srs_encode": "{k}{a@b.test}{c.test}", "header": "_x:", "h": "_x:", "bheader": "_x:", "lheader": "_x:", "rheader": "_x:", "rh": "_x:", "bh": "_x:", "lh": "_x:"}
CONDS = {"acl": "{{an_acl}}", "and": "{{exists{/}}{exists{/}}}", "or": "{{exists{/}}{exists{/}}}", "bool": "{yes}", "bool_lax": "{yes}", "crypteq": "{a}{b}", "def": ":local_part", "exists": "{/x}", "first_delivery": "", "forall": "{a}{exists{/}}",
         "forany": "{a}{exists{/}}", "forall_json": "{[]}{exists{/}}", "forany_json": "{[]}{exists{/}}", "forall_jsons": "{[]}{exists{/}}", "forany_jsons": "{[]}{exists{/}}", "isip": "{a}", "isip4": "{a}", "isip6": "{a}", "ldapauth": "{x}", "pam": "{a:b}",
         "pwcheck": "{a:b}", "queue_running": "", "radius": "{a:b}", "saslauthd": "{{a}{b}}", "inbound_srs": "{a}{k}", "match_ip": "{127.0.0.1}{*}"}
OPS = {"addrss": ""}


def families():
    """(family, name) of language.md."""
    family, out = "", []
    for line in open(f"{LISTS}/language.md", encoding="utf-8"):
        m = re.match(r"\*\*(.*?)\*\*", line)
        if m:
            family = m.group(1)
        m = re.match(r"- (?:must|should|rare) \(\d+\): (.*)", line)
        if not m:
            continue
        for word in re.sub(r"\[[^]]*\]", " ", m.group(1)).split():
            name = re.sub(r"\(\d+\)$", "", word)
            if name and not name[0].isdigit() or name in ("", ):
                out.append((family, name))
    return out


def check_name(tmp, n, family, name):
    """None: it is known; else what was said."""
    args = ["-bV"]
    if family.startswith("ACL verbs"):
        text = conf(acl=f"mine:\n {name}\n")
    elif family.startswith("ACL conditions"):
        v = ACL_VALUES.get(name, "x")
        text = conf(main="acl_smtp_rcpt = mine", acl=f"mine:\n accept {name}" + ("" if v is None else f" {v}" if name == "set" else f" = {v}") + "\n")
    elif family.startswith("ACL controls"):
        text = conf(main="acl_smtp_rcpt = mine", acl=f"mine:\n accept control = {name}\n")
    elif family.startswith("Log selectors"):
        text = conf(main=f"log_selector = +{name}")
    elif family.startswith("Router drivers"):
        text = conf(routers=driver("r", name, ROUTERS[name], ""))
    elif family.startswith("Transport drivers"):
        text = conf(transports=driver("x", name, TRANSPORTS[name], ""))
    elif family.startswith("Authenticator drivers"):
        text = conf(auths=driver("a", name, "public_name = N\n" + AUTHS[name], ""))
    else:
        text = conf()
        if family.startswith("Expansion items"):
            expr = "${" + name + ITEMS.get(name, "{a}{b}{c}") + "}"
        elif family.startswith("Expansion operators"):
            expr = "${" + name + ":1}"
        elif family.startswith("Expansion conditions"):
            expr = "${if " + name + (CONDS[name] if name in CONDS else "{1}{1}") + "{a}{b}}"
        elif family.startswith("Variables"):
            expr = "$" + re.sub(r"<.*>|\.\.\.|\*", "x", name)
        elif family.startswith("Lookup types"):
            expr = "${lookup{a}" + name + "{/dev/null}{x}{y}}" if name not in QUERY else "${lookup " + name + "{a}{x}{y}}"
        else:
            return None
        if re.match(r"\$s?n\d$", expr):
            # Filters only.
            with open(f"{tmp}/{n}.f", "w") as f:
                f.write(f'# Exim filter\ntestprint "{expr}"\n')
            rc, out = ask(tmp, n, text, "-bf", f"{tmp}/{n}.f")
            return None if "Testprint: 0" in out else f"{family} {name}: {end(out)}"
        rc, out = ask(tmp, n, text, "-be", expr)
        return f"{family} {name}: {end(out)}" if re.search(r"unknown (variable|condition|expansion|lookup|operator)|unknown \w+ name|Failed: unknown", out) else None
    rc, out = ask(tmp, n, text, *args)
    return f"{family} {name}: {end(out)}" if rc != 0 or refused(out) else None


QUERY = {"dnsdb", "ldap", "ldapdn", "ldapm", "mysql", "pgsql", "sqlite", "redis", "ibase", "oracle", "passwd", "nisplus", "whoson", "spf", "testdb", "readsock", "lmdb"}


def main():
    rows = [tuple(line.rstrip("\n").split("\t")[:5]) for line in open(f"{LISTS}/options.tsv", encoding="utf-8")][1:]
    names = families()
    bad = 0
    with tempfile.TemporaryDirectory() as tmp, concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(check_option, tmp, f"o{i}", r) for i, r in enumerate(rows)]
        jobs += [pool.submit(check_name, tmp, f"n{i}", f, n) for i, (f, n) in enumerate(names)]
        for j in jobs:
            said = j.result()
            if said:
                bad += 1
                print(said)
    print(f"{len(rows)} options and {len(names)} names, {bad} bad")
    return bad > 0 or len(rows) < 600 or len(names) < 1200


if __name__ == "__main__":
    sys.exit(main())
