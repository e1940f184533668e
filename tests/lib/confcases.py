#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""confcases.py PROGRAM FOLDER FILE...: configurations, command lines and what these are to print.

A file has cases of this form; what is in parentheses may be missing:
    == NAME
    lines of the configuration
    (++ FILE            another file beside it, with its lines)
    -- ARGUMENTS (< LINE | LINE | ...)
    lines that are expected, standard output first, then the errors, then "rc N" unless it is 0
    (-- ARGUMENTS ...)
FOLDER stands as DIR in configurations and answers, the configuration is DIR/case.conf; times of log lines are left out.
With RECORD=1 the files are written anew with the answers of PROGRAM.
"""
import os, re, shlex, subprocess, sys


def parse(path):
    cases, case, into = [], None, None
    for line in open(path, encoding="latin-1").read().split("\n"):
        if line.startswith("== "):
            case = {"name": line[3:], "files": {"case.conf": []}, "runs": []}
            cases.append(case)
            into = case["files"]["case.conf"]
        elif line.startswith("++ "):
            into = case["files"].setdefault(line[3:], [])
        elif line.startswith("-- "):
            into = []
            case["runs"].append((line[3:], into))
        elif into is not None:
            into.append(line)
    for case in cases:
        for _, want in case["runs"]:
            while want and want[-1] == "":
                want.pop()
    return cases


def answer(program, folder, text):
    args, _, lines = text.partition(" < ")
    stdin = "".join(l + "\r\n" for l in lines.split(" | ")) if lines else ""
    run = subprocess.run([program, "-C", folder + "/case.conf"] + shlex.split(args), input=stdin.encode("latin-1"),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, cwd=folder)
    # What a sanitizer always says about fibers is no part of the answer.
    err = re.sub(r"==\d+==WARNING: ASan doesn't fully support .*\n", "", run.stderr.decode("latin-1"))
    out = run.stdout.decode("latin-1").replace("\r", "")
    if stdin:
        out = re.sub(r"(?s)\A\n?\*\*\*\* SMTP testing session.*?not for real!\n\n", "", out)
        out = re.sub(r"(?m)^(220 .*) \w{3}, \d.*$", r"\1 DATE", out)
        err = "".join(l + "\n" for l in err.split("\n") if l and not l.startswith((">>>", " ")))
    out += err
    out = re.sub(r"(?ms)^Exim version.*?^Size of off_t: \d+\n", "", out)
    out = re.sub(r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? ", "", out)
    out = re.sub(r"(?m)^(# Exim Configuration \().*\)", r"\1V)", out)
    out = out.replace(os.path.realpath(program), "PROGRAM").replace(program, "PROGRAM").replace(folder, "DIR")
    got = out.rstrip("\n").split("\n") if out.strip("\n") else []
    return got + (["rc %d" % run.returncode] if run.returncode else [])


def main():
    program, folder = sys.argv[1], os.path.realpath(sys.argv[2])
    bad = total = 0
    for path in sys.argv[3:]:
        cases = parse(path)
        for case in cases:
            for name, lines in case["files"].items():
                with open(os.path.join(folder, name), "w", encoding="latin-1") as f:
                    f.write("\n".join(lines).replace("DIR", folder) + "\n")
                os.chmod(os.path.join(folder, name), 0o644)
            for i, (text, want) in enumerate(case["runs"]):
                got = answer(program, folder, text.replace("DIR", folder))
                if os.environ.get("RECORD"):
                    case["runs"][i] = (text, got)
                    continue
                total += 1
                if got != want:
                    bad += 1
                    print("%s: %s: -- %s" % (os.path.basename(path), case["name"], text))
                    print("".join("  want %s\n" % l for l in want if l not in got) +
                          "".join("  got  %s\n" % l for l in got if l not in want), end="")
            for name in case["files"]:
                os.unlink(os.path.join(folder, name))
        if os.environ.get("RECORD"):
            head = open(path, encoding="latin-1").read().split("== ")[0]
            with open(path, "w", encoding="latin-1") as f:
                f.write(head)
                for case in cases:
                    f.write("== %s\n%s\n" % (case["name"], "\n".join(case["files"].pop("case.conf"))))
                    for name, lines in case["files"].items():
                        f.write("++ %s\n%s\n" % (name, "\n".join(lines)))
                    for text, got in case["runs"]:
                        f.write("-- %s\n%s" % (text, "".join(l + "\n" for l in got)))
                    f.write("\n")
    if not os.environ.get("RECORD"):
        print("%d of %d answers are right" % (total - bad, total))
    return 1 if bad else 0


sys.exit(main())
