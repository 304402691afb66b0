/** Packets that arrive at odd places: several VLAN tags, cooked captures at bridges and below VLANs, MTUs that were not told. */
import { describe, expect, it } from "vitest";

import { parseNode } from "../../src/dump/node.ts";
import type { Program } from "../../src/engine/program.ts";
import {
  buildFrame,
  buildPacket,
  buildPcap,
  buildPcapng,
  TCP,
  UDP,
  type PacketSpec,
} from "../frames.ts";
import { judgeCapture } from "../judge.ts";

const ETH0 = "02:00:00:00:01:00";
const BRIDGE = "02:00:00:00:01:b0";
const OTHER = "02:00:00:00:02:01";

type Json = Readonly<Record<string, unknown>>;

function link(
  ifname: string,
  ifindex: number,
  address: string,
  own: string[],
  more: Json = {},
): Json {
  const info = own.map((local) => ({ local, prefixlen: 24 }));
  const base = { ifname, ifindex, flags: [], link_type: "ether", mtu: 1500, promiscuity: 0 };
  return { ...base, address, addr_info: info, ...more };
}

const VLAN = {
  link: "eth0",
  linkinfo: { info_kind: "vlan", info_data: { protocol: "802.1Q", id: 100 } },
};
const LINKS = [
  {
    ifname: "lo",
    ifindex: 1,
    flags: ["LOOPBACK"],
    mtu: 65536,
    addr_info: [{ local: "127.0.0.1", prefixlen: 8 }],
  },
  link("eth0", 2, ETH0, ["10.0.0.1"]),
  link("eth0.100", 3, ETH0, ["10.5.0.1"], VLAN),
  link("br0", 5, BRIDGE, ["10.6.0.1"], { linkinfo: { info_kind: "bridge", info_data: {} } }),
  link("p1", 6, "02:00:00:00:01:01", [], { master: "br0" }),
  link("p2", 7, "02:00:00:00:01:02", [], { master: "br0" }),
  link("eth1", 8, "02:00:00:00:01:88", ["10.8.0.1"]),
];
const ROUTES = [
  { dst: "default", gateway: "10.8.0.254", dev: "eth1" },
  { dst: "10.0.0.0/24", dev: "eth0" },
  { dst: "10.5.0.0/24", dev: "eth0.100" },
  { dst: "10.6.0.0/24", dev: "br0" },
  { dst: "10.8.0.0/24", dev: "eth1" },
];
const EMPTY = "*filter\nCOMMIT\n";

function nodeOf(
  table: string,
  links: readonly Json[] = LINKS,
  routes: readonly Json[] = ROUTES,
): Program {
  const sysctl = "net.bridge.bridge-nf-call-iptables = 1\n";
  const text = (file: string, value: unknown) => [{ file, text: JSON.stringify(value) }];
  return parseNode(
    {
      ...{ iptables: [{ file: "f", text: table }], ip6tables: [], ipset: [] },
      ...{ addresses: links.length === 0 ? [] : text("a", links), routes: text("r", routes) },
      ...{ sysctl: [{ file: "s", text: sysctl }], backend: "legacy" },
    },
    () => undefined,
  );
}

function tagged(frame: Uint8Array, ...tags: readonly (readonly [number, number])[]): Uint8Array {
  const bytes = tags.flatMap(([type, id]) => [type >> 8, type & 255, id >> 8, id & 255]);
  return Uint8Array.from([...frame.subarray(0, 12), ...bytes, ...frame.subarray(12)]);
}

/** Linux cooked v2. */
function cooked(ifindex: number, type: number, sender: string, packet: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(20 + packet.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x0800);
  view.setUint32(4, ifindex);
  view.setUint16(8, 1);
  bytes.set([type, 6, ...sender.split(":").map((byte) => parseInt(byte, 16))], 10);
  bytes.set(packet, 20);
  return bytes;
}

async function judge(compiled: Program, capture: Uint8Array): Promise<string[]> {
  const verdicts = await judgeCapture({ compiled, capture });
  return verdicts.map(
    ({ verdict, reason, inInterface = "-" }) => `${verdict} ${reason} ${inInterface}`,
  );
}

const QUERY: PacketSpec = {
  source: "10.0.0.7",
  destination: "10.0.0.1",
  protocol: UDP,
  destinationPort: 53,
  destinationMac: ETH0,
};
const at = (...frames: Uint8Array[]) =>
  frames.map((bytes, index) => ({ bytes, timestampNs: BigInt(index + 1) * 20_000_000n }));

describe("VLAN tags", () => {
  it.each([
    [
      "a second tag, which no interface has",
      [
        [0x8100, 100],
        [0x8100, 200],
      ],
      "eth0",
    ],
    ["of another protocol than the interface", [[0x88a8, 100]], "eth0"],
    [
      "behind a priority tag",
      [
        [0x8100, 0],
        [0x8100, 77],
      ],
      "eth0",
    ],
    ["at an interface that the capture does not name", [[0x8100, 77]], "ens7"],
  ] as const)("%s: nobody takes the frame", async (_, tags, name) => {
    const capture = buildPcapng(at(tagged(buildFrame(QUERY), ...tags)), [name]);
    const [verdict] = await judge(nodeOf(EMPTY), capture);
    expect(verdict).not.toMatch(/^(?:allow|drop)/);
  });

  it("are not in a cooked capture: what is below a VLAN arrives there, or perhaps at the VLAN", async () => {
    const packet = buildPacket({ ...QUERY, source: "10.5.0.7", destination: "10.5.0.1" });
    const capture = buildPcap(at(cooked(2, 0, OTHER, packet)), 276);
    const [verdict] = await judge(nodeOf("*filter\n-A INPUT -i eth0 -j DROP\nCOMMIT\n"), capture);
    expect(verdict).toMatch(/^unknown/);
  });
});

describe("a bridge in a cooked capture", () => {
  it("tells what it hands on from what the node sends, by the short way, too", async () => {
    const packet = (id: number) =>
      buildPacket({
        source: "10.6.0.7",
        destination: "10.6.0.9",
        protocol: UDP,
        destinationPort: 53,
        id,
      });
    const frames = [1, 2, 3].map((id) => cooked(7, 4, OTHER, packet(id)));
    const capture = buildPcap(at(...frames, cooked(7, 4, BRIDGE, packet(4))), 276);
    const verdicts = await judge(
      nodeOf("*filter\n-A FORWARD -i br0 -o br0 -j DROP\nCOMMIT\n"),
      capture,
    );
    expect(verdicts.at(-1)).toMatch(/^unknown/);
  });
});

describe("the MTU", () => {
  const segment = (length: number, index: number): Uint8Array =>
    buildFrame({
      ...{
        source: "10.0.0.7",
        destination: "10.8.0.9",
        protocol: TCP,
        destinationPort: 80,
        flags: ".",
      },
      ...{
        seq: 1 + index * 100,
        ack: 1,
        payload: new Uint8Array(length),
        destinationMac: ETH0,
        sourceMac: OTHER,
      },
    });

  it("of one route counts by the short way, too, where no interface told its own", async () => {
    const routes = ROUTES.map((each) =>
      each.dst === "10.8.0.0/24" ? { ...each, metrics: [{ mtu: 1400 }] } : each,
    );
    const local = { type: "local", dst: "10.0.0.1", dev: "eth0", table: "local" };
    const frames = Array.from({ length: 10 }, (_, index) => segment(index < 8 ? 100 : 1460, index));
    const verdicts = await judge(
      nodeOf(EMPTY, [], [...routes, local]),
      buildPcapng(at(...frames), ["eth0"]),
    );
    expect(verdicts.at(-1)).toBe("unknown segments eth0");
  });

  it("is the same everywhere: segments fit, by whatever interface they came", async () => {
    expect(await judge(nodeOf(EMPTY), buildPcap(at(segment(2900, 0))))).toEqual([
      "allow chain-policy -",
    ]);
  });
});

it("IGMP from 0.0.0.0 to a group is no martian", async () => {
  const frame = buildFrame({
    source: "0.0.0.0",
    destination: "239.1.1.1",
    protocol: 2,
    destinationMac: "01:00:5e:01:01:01",
  });
  const [verdict] = await judge(nodeOf(EMPTY), buildPcapng(at(frame), ["eth0"]));
  expect(verdict).toMatch(/^unknown multicast/);
});
