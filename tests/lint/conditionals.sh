#!/bin/sh
# Conditional code only in lib/os; elsewhere only include guards, X-macro parameters and sanitizer notes in lib/fiber.
bad=0
for f in $(find lib daemons tools -name '*.[ch]' ! -path 'lib/os/*'); do
	awk -v f="$f" '
	/^#[ \t]*(if|ifdef|ifndef)/ {
		if (f ~ /\.h$/ && !guard && /^#[ \t]*ifndef/) { guard = 1; next }
		if (/__has_feature|__SANITIZE|FIBER_ASAN/) next
		printf "%s:%d: %s\n", f, FNR, $0; bad = 1
	}
	END { exit bad }' "$f" || bad=1
done
exit $bad
