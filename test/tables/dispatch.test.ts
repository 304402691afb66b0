import { describe, expect, it } from "vitest";
import { compileDispatch, compileHookChains } from "../../src/tables/dispatch.ts";
import { renderRule } from "../../src/tables/iptables.ts";
import type { Chain } from "../../src/tables/model.ts";

function render(chains: readonly Chain[]): string[] {
  return chains.flatMap((chain) => chain.rules.map((rule) => renderRule(chain.name, rule, 4)));
}

const NO_TUNNELS = { input: [], output: [], untracked: [], postrouting: [] };

const END = '-m comment --comment "Unknown interface" -j DROP';

describe("compileDispatch", () => {
  it("groups interfaces by the character behind what all have in common", () => {
    expect(render(compileDispatch("egress", ["cali12", "cali34", "cali11"]))).toEqual([
      "-A cali-from-wl-dispatch -i cali1+ -g cali-from-wl-dispatch-1",
      "-A cali-from-wl-dispatch -i cali34 -g cali-fw-cali34",
      `-A cali-from-wl-dispatch ${END}`,
      "-A cali-from-wl-dispatch-1 -i cali11 -g cali-fw-cali11",
      "-A cali-from-wl-dispatch-1 -i cali12 -g cali-fw-cali12",
      `-A cali-from-wl-dispatch-1 ${END}`,
    ]);
  });

  it("goes to a single endpoint at once", () => {
    expect(render(compileDispatch("ingress", ["cali12"]))).toEqual([
      "-A cali-to-wl-dispatch -o cali12 -g cali-tw-cali12",
      `-A cali-to-wl-dispatch ${END}`,
    ]);
  });

  it("drops everything where there is no endpoint", () => {
    expect(render(compileDispatch("ingress", []))).toEqual([`-A cali-to-wl-dispatch ${END}`]);
  });
});

describe("compileHookChains", () => {
  it("never polices a node and its own pods", () => {
    const output = compileHookChains(4, "accept", NO_TUNNELS).find(
      (chain) => chain.name === "cali-OUTPUT",
    );
    expect(render(output === undefined ? [] : [output])).toEqual([
      "-A cali-OUTPUT -m mark --mark 0x10000/0x10000 -j ACCEPT",
      "-A cali-OUTPUT -o cali+ -j RETURN",
      "-A cali-OUTPUT -j MARK --set-xmark 0x0/0x1b0000",
      "-A cali-OUTPUT -m conntrack ! --ctstate DNAT -j cali-to-host-endpoint",
      '-A cali-OUTPUT -m comment --comment "Host endpoint policy accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT',
    ]);
    expect(output?.rules[1]?.origin).toEqual({ kind: "node-traffic" });
  });

  it("accepts IPv6 neighbour discovery from pods before any policy", () => {
    const chains = compileHookChains(6, "accept", NO_TUNNELS).filter(
      (chain) => chain.name === "cali-wl-to-host",
    );
    expect(render(chains).slice(0, 2)).toEqual([
      "-A cali-wl-to-host -p ipv6-icmp -m icmp6 --icmpv6-type 130 -j ACCEPT",
      "-A cali-wl-to-host -p ipv6-icmp -m icmp6 --icmpv6-type 131 -j ACCEPT",
    ]);
    expect(render(chains).slice(6)).toEqual([
      "-A cali-wl-to-host -j cali-from-wl-dispatch",
      '-A cali-wl-to-host -m comment --comment "Configured DefaultEndpointToHostAction" -j ACCEPT',
    ]);
  });
});
