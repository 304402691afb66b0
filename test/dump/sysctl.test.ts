/** A node's switches: what is read of sysctl's words. */
import { describe, expect, it } from "vitest";

import { parseSysctls, sysctlPaths } from "../../src/dump/sysctl.ts";
import { formatDiagnostic, type Diagnostic } from "../../src/errors.ts";

function read(text: string, named = false) {
  const said: Diagnostic[] = [];
  const switches = parseSysctls([{ file: "s", text, named }], (each) => said.push(each));
  return { switches, said: said.map((each) => formatDiagnostic(each)) };
}

describe("parseSysctls", () => {
  it("takes what is not told as the kernel has it, and as a router has it", () => {
    const { switches, said } = read("# a comment\n\nkernel.hostname = worker-1\n");
    expect(said).toEqual([]);
    expect(switches).toEqual({
      tcpLiberal: false,
      tcpLoose: true,
      tcpIgnoreInvalidResets: false,
      tcpRetransmissionsMax: 3,
      timeouts: new Map(),
      mtus6: new Map(),
      bridgeCalls: { 4: undefined, 6: undefined },
      interfaces: new Map(),
      others: {
        ...{ forwarding: true, forwarding6: true, rpFilter: "off" },
        ...{ acceptLocal: false, routeLocalnet: false },
        ...{ acceptSourceRoute: false, sendRedirects: true },
      },
    });
  });

  // Text; the interface that is asked; what it has.
  it.each([
    ["net.ipv4.ip_forward = 0", "eth0", { forwarding: false }],
    ["net.ipv4.ip_forward = 0\nnet.ipv4.conf.eth0.forwarding = 1", "eth0", { forwarding: true }],
    ["net.ipv4.conf.all.forwarding = 0", "eth0", { forwarding: false }],
    ["net.ipv4.conf.default.rp_filter = 1", "eth0", { rpFilter: "off" }],
    [
      "net.ipv4.conf.all.rp_filter = 2\nnet.ipv4.conf.eth0.rp_filter = 1",
      "eth0",
      { rpFilter: "loose" },
    ],
    ["net.ipv4.conf.eth0.rp_filter = 1", "eth0", { rpFilter: "strict" }],
    ["net.ipv4.conf.eth0.rp_filter = 1", "eth1", { rpFilter: "off" }],
    ["net/ipv4/conf/eth0.100/accept_local = 1", "eth0.100", { acceptLocal: true }],
    ["net.ipv4.conf.eth0/100.accept_local=1", "eth0.100", { acceptLocal: true }],
    ["net.ipv4.conf.all.route_localnet = 1", "eth0", { routeLocalnet: true }],
    ["net.ipv4.conf.all.accept_source_route = 1", "eth0", { acceptSourceRoute: true }],
    ["net.ipv4.conf.eth0.accept_source_route = 1", "eth0", { acceptSourceRoute: false }],
    [
      "net.ipv4.conf.all.accept_source_route = 1\nnet.ipv4.conf.eth0.accept_source_route = 0",
      "eth0",
      { acceptSourceRoute: false },
    ],
    ["net.ipv4.conf.all.send_redirects = 0", "eth0", { sendRedirects: true }],
    [
      "net.ipv4.conf.all.send_redirects = 0\nnet.ipv4.conf.eth0.send_redirects = 0",
      "eth0",
      { sendRedirects: false },
    ],
    ["net.ipv6.conf.all.forwarding = 0", "eth0", { forwarding6: false }],
    ["net.ipv6.conf.eth0.forwarding = 0", "eth0", { forwarding6: true }],
    [
      "net.ipv6.conf.all.forwarding = 0\nnet.ipv6.conf.eth0.force_forwarding = 1",
      "eth0",
      { forwarding6: true },
    ],
  ])("%s, of %s", (text, name, expected) => {
    const { switches, said } = read(text);
    expect(said).toEqual([]);
    expect(switches.interfaces.get(name) ?? switches.others).toMatchObject(expected);
  });

  it("warns of what is not modelled where it differs from what is assumed", () => {
    expect(read("net.ipv4.conf.eth0.bc_forwarding = 0").said).toEqual([]);
    expect(read("net.ipv4.conf.eth0.bc_forwarding = 1").said).toEqual([
      "warning: net.ipv4.conf.eth0.bc_forwarding is 1, which is not modelled: packets to a subnet's broadcast address are judged as with 0 [UNSUPPORTED_FEATURE]",
    ]);
  });

  it.each([
    ["net.ipv4.ip_forward", 's:1:1: error: expected "key = value", as sysctl -a prints it'],
    ["net.ipv4.ip_forward = on", 's:1:23: error: net.ipv4.ip_forward is "on": expected a number'],
    [
      "net.netfilter.nf_conntrack_tcp_max_retrans = 256",
      "s:1:46: error: net.netfilter.nf_conntrack_tcp_max_retrans is 256: the kernel takes at most 255",
    ],
    ["net.netfilter.nf_conntrack_udp_timeout = 21474837", "the kernel takes at most 21474836"],
  ])("refuses %s", (text, error) => {
    expect(read(text).said.join()).toContain(error);
  });

  it.each([
    ["net.netfilter.nf_conntrack_tcp_liberal=1", "net.netfilter.nf_conntrack_tcp_be_liberal"],
    ["net.netfilter.tcp_loose=0", "net.netfilter.nf_conntrack_tcp_loose"],
    ["net.ipv4.conf.eth0.rpfilter=1", "net.ipv4.conf.eth0.rp_filter"],
  ])("says of %s by hand what may have been meant", (text, meant) => {
    const [key = ""] = text.split("=");
    expect(read(text, true).said).toEqual([
      `s: error: ${key} is not a switch that is modelled (did you mean ${meant}?) [BAD_DUMP]`,
    ]);
    expect(read(text).said).toEqual([]);
  });
});

describe("sysctlPaths", () => {
  it("names what the lab sets, what resets others first", () => {
    const text = [
      "net.ipv4.conf.eth0.rp_filter = 1",
      "net.ipv4.ip_forward = 0",
      "net.netfilter.nf_conntrack_checksum = 1",
      "net.netfilter.nf_conntrack_udp_timeout = 9",
    ].join("\n");
    expect(Object.entries(sysctlPaths([{ file: "s", text }]))).toEqual([
      ["ipv4/ip_forward", 0],
      ["ipv4/conf/eth0/rp_filter", 1],
      ["netfilter/nf_conntrack_udp_timeout", 9],
    ]);
  });
});
