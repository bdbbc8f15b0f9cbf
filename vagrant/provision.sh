#!/usr/bin/env bash
# Makes a Debian 12 machine able to build and run fistpath: the one list of system packages, used by
# every way of setting up (npm run lab, npm test, Vagrantfile). Does nothing when nothing is missing.
set -euo pipefail

build=(clang llvm clang-format make g++ pkg-config libbpf-dev libelf-dev zlib1g-dev linux-libc-dev python3)
node=(iproute2 nftables conntrack ethtool dnsmasq-base dnsmasq-utils iputils-arping iputils-ping procps util-linux)
tests=(git bpftool iperf3 tcpdump python3-scapy strace traceroute udhcpc)

missing=()
for package in "${build[@]}" "${node[@]}" "${tests[@]}"; do
	if [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
		missing+=("$package")
	fi
done

if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "provision: missing packages (${missing[*]}): run this as root to install them" >&2
		exit 1
	fi
	echo "provision: installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq -o DPkg::Lock::Timeout=300 update
	apt-get -qq -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! command -v node >/dev/null || ! node -e '
	const [major, minor] = process.versions.node.split(".").map(Number);
	process.exit(major > 20 || (major === 20 && minor >= 20) ? 0 : 1)'; then
	echo "provision: Node.js 20.20 or newer is needed; found: $(node --version 2>/dev/null || echo none)" >&2
	exit 1
fi
