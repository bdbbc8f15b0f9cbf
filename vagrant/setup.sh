#!/usr/bin/env bash
# From a bare checkout to something that runs: system packages, npm packages from the lockfile, build.
# Each step is quick when its work is already done.
set -euo pipefail
cd "$(dirname "$0")/.."

bash vagrant/provision.sh

if ! cmp --silent package-lock.json node_modules/.fistpath-lock; then
	npm ci --no-audit --no-fund --loglevel=error
	cp package-lock.json node_modules/.fistpath-lock
fi

if ! npm run --silent build; then
	echo 'setup: the build failed (see above)' >&2
	exit 1
fi
