# shellcheck shell=sh
# Sourced by the runners: results go to $BUILD/results, one line a test: pass|fail|skip|cannot NAME.

results=$BUILD/results

report() { # RESULT NAME [WHY]
	echo "$1 $2" >>"$results"
	case $1 in
	pass) printf '  ok    %s\n' "$2" ;;
	skip | cannot) printf '  skip  %s: %s\n' "$2" "${3-}" ;;
	fail) printf '  FAIL  %s%s\n' "$2" "${3:+: $3}" ;;
	esac
}

# Run a test program with its output in a file that is shown when it fails.
run_one() { # NAME SECONDS COMMAND...
	name=$1 secs=$2
	shift 2
	log=$BUILD/log/$(echo "$name" | tr '/ ' '__').log
	mkdir -p "$BUILD/log"
	rc=0
	timeout -k 10 "$secs" "$@" >"$log" 2>&1 </dev/null || rc=$?
	case $rc in
	0) report pass "$name" ;;
	77) report skip "$name" "$(tail -n 1 "$log")" ;;
	78) report cannot "$name" "$(tail -n 1 "$log")" ;;
	124 | 137) report fail "$name" "not done in $secs s"; tail -n 40 "$log" | sed 's/^/        /' ;;
	*) report fail "$name" "exit $rc"; tail -n 40 "$log" | sed 's/^/        /' ;;
	esac
}
