#!/bin/sh
# What udhcpc runs when something happens: takes the address as a distribution's script does, but leaves the machine's
# resolv.conf alone, which a namespace shares; prints what it was told.
[ "$1" = bound ] || exit 0
ip address flush dev "$interface"
ip address add "$ip/$mask" dev "$interface"
ip link set "$interface" mtu "$mtu"
ip route replace default via "$router"
for name in ip subnet router dns domain mtu lease serverid; do
	eval "echo told $name=\$$name"
done
