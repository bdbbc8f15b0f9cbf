#!/usr/bin/env bash
# Turns one virtual machine of the Vagrantfile into a node: build, configuration, service.
#   node.sh NAME ADDRESS
set -euo pipefail
name=$1 address=$2
cd /opt/fistpath
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
systemctl enable --now fistpathd
