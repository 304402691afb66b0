/** Second sights, on a node, of packets that its rules drop: others let them through when they were captured. */
import { describe, expect, it } from "vitest";
import { parseNode } from "../../src/dump/node.ts";
import { buildFrame, buildPcapng, TCP, type PacketSpec } from "../frames.ts";
import { judgeCapture } from "../judge.ts";

const HOST = "02:00:00:00:01:00";
const PEER = "02:00:00:00:02:01";
const INNER = "02:00:00:00:01:01";
const SERVER = "02:00:00:00:02:02";

const link = (ifname: string, ifindex: number, address: string, local: string) => ({
  ...{ ifname, ifindex, address, flags: [], link_type: "ether", mtu: 1500 },
  addr_info: [{ local, prefixlen: 24 }],
});
const ADDRESSES = [link("eth0", 2, HOST, "192.0.2.1"), link("eth1", 3, INNER, "10.0.0.1")];
const ROUTES = [
  { dst: "default", gateway: "192.0.2.254", dev: "eth0" },
  { dst: "192.0.2.0/24", dev: "eth0" },
  { dst: "10.0.0.0/24", dev: "eth1" },
  { dst: "192.0.2.1", dev: "eth0", type: "local", table: "local" },
  { dst: "10.0.0.1", dev: "eth1", type: "local", table: "local" },
];
const NAT = `*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 192.0.2.1/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.9:80
-A POSTROUTING -o eth1 -j MASQUERADE
COMMIT
`;
const filter = (rule: string): string => `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
${rule}
COMMIT
`;

const asked: PacketSpec = {
  source: "198.51.100.7",
  destination: "192.0.2.1",
  protocol: TCP,
  sourcePort: 40_000,
  destinationPort: 8080,
  seq: 77,
  ttl: 64,
  sourceMac: PEER,
  destinationMac: HOST,
};
const behind: PacketSpec = {
  ...asked,
  source: "10.0.0.1",
  sourcePort: 40_000,
  destination: "10.0.0.9",
  destinationPort: 80,
  ttl: 63,
  sourceMac: INNER,
  destinationMac: SERVER,
};

async function tell(rule: string, ...packets: PacketSpec[]) {
  const text = (file: string, value: string) => [{ file, text: value }];
  const program = parseNode(
    {
      ...{ iptables: text("f", NAT + filter(rule)), ip6tables: [], ipset: [] },
      addresses: text("a", JSON.stringify(ADDRESSES)),
      routes: text("r", JSON.stringify(ROUTES)),
      backend: "legacy",
    },
    () => undefined,
  );
  const frames = packets.map((spec, index) => ({
    bytes: buildFrame(spec),
    timestampNs: 1_000_000_000n + BigInt(index) * 50_000n,
    captureInterface: index,
  }));
  const capture = buildPcapng(frames, ["eth0", "eth1"]);
  const verdicts = await judgeCapture({ compiled: program, capture });
  return verdicts.map(({ verdict, duplicateOf }) => [verdict, duplicateOf]);
}

describe("what leaves a node with the numbers of a packet that was dropped", () => {
  const refused = "-A FORWARD -s 198.51.100.0/24 -j DROP";
  it("is that packet, masqueraded or not", async () => {
    expect(await tell(refused, asked, behind)).toEqual([
      ["drop", undefined],
      ["drop", 1],
    ]);
    const plain = { ...asked, destination: "10.0.0.9", destinationPort: 80 };
    const onward = { ...plain, ttl: 63, sourceMac: INNER, destinationMac: SERVER };
    expect(await tell(refused, plain, onward)).toEqual([
      ["drop", undefined],
      ["drop", 1],
    ]);
  });

  it("is another one with other numbers, or as it was sent", async () => {
    for (const other of [{ seq: 78 }, { ttl: 64 }]) {
      expect(await tell(refused, asked, { ...behind, ...other })).toEqual([
        ["drop", undefined],
        ["allow", undefined],
      ]);
    }
  });

  it("is what came of it where it passes", async () => {
    expect(await tell("", asked, behind)).toEqual([
      ["allow", undefined],
      ["allow", 1],
    ]);
  });
});
