/** A full connection table: what is said of packets whose connection may have had to go. */
import { describe, expect, it } from "vitest";

import { parseNode } from "../../src/dump/node.ts";
import { buildFrame, buildPcapng, TCP, timed, UDP, type PacketSpec } from "../frames.ts";
import { judgeCapture } from "../judge.ts";

const MAC = "02:00:00:00:00:10";
const RULES = [
  ...["*filter", ":INPUT DROP", ":FORWARD ACCEPT", ":OUTPUT ACCEPT"],
  "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
  "-A INPUT -p tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT",
  "-A INPUT -p udp --dport 53 -m conntrack --ctstate NEW -j ACCEPT",
  "COMMIT",
  "",
].join("\n");
const ADDRESSES = JSON.stringify([
  {
    ...{ ifname: "eth0", flags: [], link_type: "ether", address: MAC },
    addr_info: [{ local: "192.0.2.1", prefixlen: 24, scope: "global" }],
  },
]);
const HELD = [
  "tcp 6 9000 ESTABLISHED src=192.0.2.20 dst=192.0.2.1 sport=1 dport=80 src=192.0.2.1 dst=192.0.2.20 sport=80 dport=1 [ASSURED] mark=0",
  "udp 17 9000 src=192.0.2.20 dst=192.0.2.1 sport=2 dport=53 [UNREPLIED] src=192.0.2.1 dst=192.0.2.20 sport=53 dport=2 mark=0",
].join("\n");

async function judge(specs: readonly Partial<PacketSpec>[], conntrackMax: number) {
  const compiled = parseNode(
    {
      iptables: [{ file: "r", text: RULES, backend: "legacy" }],
      ip6tables: [],
      ipset: [],
      addresses: [{ file: "a", text: ADDRESSES }],
      routes: [],
      conntrack: [{ file: "c", text: HELD }],
      backend: undefined,
    },
    () => undefined,
  );
  const frames = specs.map((spec) => {
    const ends = { source: "192.0.2.20", destination: "192.0.2.1", destinationMac: MAC };
    return buildFrame({ ...ends, protocol: TCP, destinationPort: 80, ...spec });
  });
  const capture = buildPcapng(timed(frames), ["eth0"]);
  const verdicts = await judgeCapture({ compiled, capture, conntrackMax });
  return verdicts.map(({ verdict, reason }) => (verdict === "unknown" ? reason : verdict));
}

const HELD_TCP = { sourcePort: 1, flags: "." };
const HELD_UDP = { sourcePort: 2, protocol: UDP, destinationPort: 53 };
const PACKETS: readonly Partial<PacketSpec>[] = [
  HELD_TCP,
  HELD_UDP,
  // Does not fit; from here on nobody knows who has gone.
  { sourcePort: 3, flags: "S" },
  { sourcePort: 3, flags: "." },
  HELD_TCP,
  HELD_UDP,
  // A flow that begins: dropped by the rules whether it fits or not.
  { sourcePort: 4, flags: "S", destinationPort: 81 },
  { sourcePort: 5, protocol: UDP, destinationPort: 54 },
];

describe("a full connection table", () => {
  it("leaves unknown what may have been crowded out", async () => {
    expect(await judge(PACKETS, 2)).toEqual([
      ...["allow", "allow", "conntrack-full", "conntrack-full"],
      ...["allow", "conntrack-full", "drop", "conntrack-full"],
    ]);
  });

  it("is none while all fit", async () => {
    expect(await judge(PACKETS, 4)).toEqual([
      // Of a connection that nobody answered an ACK is no part.
      ...["allow", "allow", "allow", "drop", "allow", "allow", "drop", "drop"],
    ]);
  });
});
