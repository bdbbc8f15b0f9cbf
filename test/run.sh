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

if [ $# -eq 0 ]; then
	echo '== format' && biome check --error-on-warnings && clang-format --dry-run -Werror $(git ls-files '*.c' '*.h' '*.cc' '*.cpp')
	echo '== lint' && oxlint --type-aware --deny-warnings src test bpf && knip
	echo '== types' && tsc -p tsconfig.json --noEmit
	echo '== tests'
	set -- test
fi

# Network, mounts, bpffs and named namespaces of its own: no test can touch the machine's, and whatever
# happens, nothing is left when it ends.
# shellcheck disable=SC2016
FISTPATH_TEST_NAMESPACE=1 exec unshare --net --mount --propagation private bash -c '
	set -e
	ip link set lo up
	mount -t bpf bpf /sys/fs/bpf
	mkdir -p /run/netns
	mount -t tmpfs tmpfs /run/netns
	exec mocha --config test/mocharc.json --recursive --extension .test.ts "$@"' mocha "$@"
