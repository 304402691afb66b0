/** Packets that are longer than the MTU of the way out: cut, discarded, or segments that each fit. */
import { describe, expect, it } from "vitest";

import { parseNode } from "../../src/dump/node.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import { buildFrame, buildPcapng, ICMP, TCP, timed, UDP, type PacketSpec } from "../frames.ts";
import { judgeCapture } from "../judge.ts";

function link(ifname: string, mtu: number | undefined, local: string): object {
  const known = mtu === undefined ? {} : { mtu };
  return { ifname, flags: [], ...known, addr_info: [{ local, prefixlen: 24 }] };
}

const ROUTES = [
  { dst: "10.0.0.0/24", dev: "wide" },
  { dst: "10.1.0.0/24", dev: "narrow" },
  { dst: "10.2.0.0/24", dev: "wide", metrics: [{ mtu: 1300 }] },
];

async function judge(
  packets: readonly PacketSpec[],
  mtu: { readonly wide?: number; readonly narrow?: number } = { wide: 1500, narrow: 1400 },
): Promise<string[]> {
  const links = [link("wide", mtu.wide, "10.0.0.1"), link("narrow", mtu.narrow, "10.1.0.1")];
  const state = parseNode(
    {
      iptables: [
        { file: "f", text: "*filter\n-A FORWARD -m conntrack --ctstate INVALID\nCOMMIT\n" },
      ],
      ip6tables: [],
      ipset: [],
      addresses: [{ file: "a", text: JSON.stringify(links) }],
      routes: [{ file: "r", text: JSON.stringify(ROUTES) }],
      backend: "legacy",
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") throw new Error(formatDiagnostic(diagnostic));
    },
  );
  const frames = timed(packets.map(buildFrame)).map((frame, index) => ({
    ...frame,
    captureInterface: packets[index]!.source.startsWith("10.1.") ? 1 : 0,
  }));
  const capture = buildPcapng(frames, ["wide", "narrow"]);
  const verdicts = await judgeCapture({ compiled: state, capture });
  return verdicts.map(({ verdict, reason }) => `${verdict} ${reason}`);
}

const FAR = "10.0.0.7";
const NEAR = "10.1.0.7";

/** Of so many bytes in all. */
function packet(protocol: number, bytes: number, destination = NEAR): PacketSpec {
  const headers = protocol === TCP ? 40 : 28;
  const payload = new Uint8Array(bytes - headers);
  return { source: FAR, destination, protocol, destinationPort: 80, flags: ".", payload };
}

/** NEAR begins a connection and asks for segments of so many bytes; FAR answers, and sends. */
function conversation(segment: number, bytes: number): PacketSpec[] {
  const there = { source: NEAR, destination: FAR, sourcePort: 4000, destinationPort: 80 };
  const back = { source: FAR, destination: NEAR, sourcePort: 80, destinationPort: 4000 };
  const tcpOptions = Uint8Array.of(2, 4, segment >> 8, segment & 0xff);
  const base = { protocol: TCP, window: 65535 };
  return [
    { ...base, ...there, flags: "S", seq: 1, tcpOptions },
    { ...base, ...back, flags: "S.", seq: 1, ack: 2, tcpOptions },
    { ...base, ...there, flags: ".", seq: 2, ack: 2 },
    { ...base, ...back, flags: ".", seq: 2, ack: 2, payload: new Uint8Array(bytes - 40) },
  ];
}

describe("packets beyond the MTU of the way out", () => {
  it.each([
    ["one that fits", packet(ICMP, 1400), "allow chain-policy"],
    ["one byte too long", packet(ICMP, 1401), "drop too-long"],
    ["by a route", packet(ICMP, 1301, "10.2.0.7"), "drop too-long"],
    ["perhaps several segments", packet(TCP, 1401), "unknown segments"],
    ["perhaps several datagrams", packet(UDP, 1401), "unknown segments"],
    ["segments of an unknown length", packet(TCP, 4000), "unknown segments"],
  ])("%s", async (_, spec, expected) => {
    expect(await judge([spec])).toEqual([expected]);
  });

  it("are segments that fit where all ways are as wide", async () => {
    const alike = { wide: 1500, narrow: 1500 };
    expect(await judge([packet(TCP, 4000)], alike)).toEqual(["allow chain-policy"]);
    expect(await judge([packet(ICMP, 1501)], alike)).toEqual(["drop too-long"]);
  });

  it("are nothing where no MTU was told", async () => {
    expect(await judge([packet(ICMP, 4000)], {})).toEqual(["allow chain-policy"]);
  });

  it.each([
    [1260, "allow chain-policy"],
    [1261, "unknown segments"],
  ])(
    "are segments of what the receiver asked for, which fit every way: %i",
    async (segment, expected) => {
      expect((await judge(conversation(segment, 4000))).at(-1)).toBe(expected);
    },
  );
});
