#!/usr/bin/env bash
# Every check of this repository, cheapest first. The last line is `N passed, N failed, N skipped`.
#   npm test                      everything
#   npm test -- test/bpf          only the tests below a folder (or in a file), without the static checks
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"

if [ "$(id -u)" != 0 ]; then
	echo "npm test: must run as root (it makes network namespaces and loads eBPF programs)" >&2
	exit 1
fi

# stage NAME COMMAND…: a failure ends the run, and says where.
stage() {
	echo "== $1"
	if ! "${@:2}"; then
		echo "npm test: $1: ${*:2:2} failed (see above); no test has run" >&2
		exit 1
	fi
}

if [ $# -eq 0 ]; then
	mapfile -d '' -t c_files < <(git ls-files -z '*.c' '*.h' '*.cc' '*.cpp')
	stage format biome check --error-on-warnings
	stage 'format of C' clang-format --dry-run -Werror "${c_files[@]:?npm test: no C file found; it must run in a git checkout}"
	stage lint oxlint --type-aware --deny-warnings src test bpf
	stage 'unused code' knip
	stage types tsc -p tsconfig.json --noEmit
	echo '== tests'
	set -- test
fi

# Processes, network, mounts, bpffs, named namespaces, /run and temporary files of its own: no test can touch the
# machine's, and nothing is left when it ends, by a signal too (the kernel ends every process with the first one).
# The inner shell stays as that first process (a last command it would become itself): it takes care of what the
# tests leave orphaned.
# shellcheck disable=SC2016
setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount-proc --net --mount --propagation private bash -c '
	set -e
	ip link set lo up
	mount -t bpf bpf /sys/fs/bpf
	mount -t tmpfs tmpfs /run
	mkdir /run/netns /run/tmp
	export TMPDIR=/run/tmp FISTPATH_TEST_NAMESPACE=1
	mocha --config test/mocharc.json --recursive --extension .test.ts "$@" || exit' mocha "$@" &
tests=$!
# unshare itself takes no signal but this one while it waits.
trap 'kill -KILL "$tests"; echo "npm test: ended by a signal" >&2; exit 130' INT TERM HUP
wait "$tests"
