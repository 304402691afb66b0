#!/bin/sh
# A node in a network namespace of its own, its interfaces' other ends in a second one. Reads commands from
# standard input: `load FILE` restores iptables rules, `flood PROGRAM FRAMES PASSES` sends, `counters` prints the
# rules with their counters; each answer ends in a line `done`. When the input ends, nothing is left.
# usage: unshare --net sh kernel.sh MAC0 MAC1 ADDRESS0 ADDRESS1 ROUTES0 ROUTES1
set -e
wire=nvbench$$
ip netns add "$wire"
trap 'ip netns del "$wire"' EXIT
index=0
for mac in "$1" "$2"; do
  ip link add "eth$index" address "$mac" type veth peer name "eth$index" netns "$wire"
  ip -n "$wire" link set "eth$index" arp off up
  ip link set "eth$index" arp off up
  index=$((index + 1))
done
ip addr add "$3" dev eth0
ip addr add "$4" dev eth1
for route in $5; do ip route add "$route" dev eth0; done
for route in $6; do ip route add "$route" dev eth1; done
for name in all default eth0 eth1; do
  echo 0 >"/proc/sys/net/ipv4/conf/$name/rp_filter"
  echo 0 >"/proc/sys/net/ipv4/conf/$name/send_redirects"
done
echo 1 >/proc/sys/net/ipv4/ip_forward
echo done
while read -r command first second third; do
  case "$command" in
    load) iptables-legacy-restore <"$first" ;;
    flood) ip netns exec "$wire" "$first" eth0 "$second" "$third" ;;
    counters) iptables-legacy-save -c -t filter ;;
  esac
  echo done
done
