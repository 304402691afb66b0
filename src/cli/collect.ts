/** The `collect` command: prints the script that gathers a node's state for `--node-state`. */
import { EXIT_DONE } from "./failure.ts";
import { openSink } from "./output.ts";

/** Options of `collect`. */
export interface CollectOptions {
  /** The connections that conntrack follows are gathered, too. */
  readonly conntrack?: boolean;
}

/** Runs `collect` and gives its exit code. */
export async function collect({ conntrack }: CollectOptions): Promise<number> {
  const sink = openSink(undefined, []);
  await sink.write(conntrack === true ? SCRIPT + CONNTRACK + END : SCRIPT + END);
  await sink.finish();
  return EXIT_DONE;
}

// Nothing here creates tables or loads modules: iptables -L would, the save commands do not.
const SCRIPT = `#!/bin/sh
# Gathers what netverdict needs to know of this node. Reads only; writes nothing but the files in the
# folder that is named (default: node-state). Run as root on the node:
#   netverdict collect | ssh root@NODE sh -s -- /tmp/node-state
# Functions are handed to gather by their names:
# shellcheck disable=SC2317,SC2329
set -u
LC_ALL=C
export LC_ALL
folder=\${1:-node-state}
failed=0

say() {
  echo "collect: $*" >&2
}

has() {
  command -v "$1" >/dev/null 2>&1
}

# gather FILE COMMAND...: the file appears whole or not at all.
gather() {
  file=$1
  shift
  if ! has "$1"; then
    say "there is no $1 here: $file is left out"
    return 1
  fi
  if "$@" >"$folder/$file.part"; then
    mv "$folder/$file.part" "$folder/$file"
  else
    rm -f "$folder/$file.part"
    say "$* failed: $file is left out"
    failed=1
    return 1
  fi
}

# rules IPTABLES NAMES: the tables of both backends, where the node has both.
rules() {
  if ! has "$1-nft-save" || ! has "$1-legacy-save"; then
    gather "$1-save" "$1-save"
    return
  fi
  gather "$1-save" "$1-nft-save"
  if [ -r "$2" ] && [ -n "$(cat "$2")" ]; then
    gather "$1-legacy-save" "$1-legacy-save"
    # No nft tables at all.
    [ -s "$folder/$1-save" ] || rm -f "$folder/$1-save"
  fi
}

routes() {
  ip -j -4 route show table all && ip -j -6 route show table all
}

# The switches that decide what is forwarded and how connections are followed.
switches() {
  for path in /proc/sys/net/netfilter/nf_conntrack_* /proc/sys/net/ipv4/ip_forward \\
    /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv4/conf/*/rp_filter \\
    /proc/sys/net/ipv4/conf/*/accept_local /proc/sys/net/ipv4/conf/*/route_localnet \\
    /proc/sys/net/ipv4/conf/*/accept_source_route /proc/sys/net/ipv4/conf/*/send_redirects \\
    /proc/sys/net/ipv4/ip_forward_use_pmtu /proc/sys/net/ipv6/conf/*/mtu \\
    /proc/sys/net/ipv6/max_hbh_opts_number /proc/sys/net/ipv6/max_hbh_length \\
    /proc/sys/net/ipv6/conf/*/ioam6_enabled /proc/sys/net/bridge/bridge-nf-* \\
    /proc/sys/net/ipv4/conf/*/bc_forwarding /proc/sys/net/ipv4/conf/*/src_valid_mark \\
    /proc/sys/net/ipv6/conf/*/forwarding /proc/sys/net/ipv6/conf/*/force_forwarding \\
    /proc/sys/net/ipv6/conf/*/disable_ipv6 /proc/sys/net/ipv6/conf/*/seg6_enabled; do
    [ -r "$path" ] && echo "\${path#/proc/sys/} = $(cat "$path")"
  done
  # Without br_netfilter no rule sees what bridges hand on.
  [ -d /proc/sys/net/bridge ] || echo "net.bridge.bridge-nf-call-iptables = 0
net.bridge.bridge-nf-call-ip6tables = 0"
  return 0
}

umask 077
mkdir -p "$folder" || exit 1
rules iptables /proc/net/ip_tables_names
rules ip6tables /proc/net/ip6_tables_names
gather ipset-save ipset save
gather ip-addr.json ip -d -j addr
gather ip-route.json routes
gather sysctl switches
`;

const CONNTRACK = `if [ -r /proc/net/nf_conntrack ]; then
  gather conntrack cat /proc/net/nf_conntrack
else
  gather conntrack conntrack -L -o extended
fi
`;

const END = `[ "$failed" = 0 ] && say "gathered in $folder: netverdict replay -r CAPTURE --node-state $folder"
exit "$failed"
`;
