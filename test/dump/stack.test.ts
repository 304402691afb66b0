/** Interfaces that lie on each other: which of them a frame arrives by, and what no rule sees. */
import { describe, expect, it } from "vitest";

import { parseNode } from "../../src/dump/node.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import { buildFrame, buildPcapng, UDP, type PacketSpec } from "../frames.ts";
import { judgeCapture } from "../judge.ts";

type Json = Readonly<Record<string, unknown>>;

const ETH0 = "02:00:00:00:01:00";
const PORT = "02:00:00:00:01:01";
const TOP = "02:00:00:00:01:02";
const OTHER = "02:00:00:00:02:01";

function link(ifname: string, address: string, more: Json = {}, ...own: readonly string[]): Json {
  const info = own.map((text) => ({ local: text, prefixlen: 24 }));
  return { ifname, flags: [], link_type: "ether", mtu: 1500, address, addr_info: info, ...more };
}

/** With `-d`. */
function detailed(kind: string, data: Json = {}): Json {
  return { promiscuity: 0, linkinfo: { info_kind: kind, info_data: data } };
}

const LO = { ifname: "lo", flags: ["LOOPBACK"], addr_info: [{ local: "127.0.0.1", prefixlen: 8 }] };
const ROUTES = [
  { dst: "10.0.0.0/24", dev: "eth0" },
  { dst: "10.5.0.0/24", dev: "top" },
];
// A rule for each interface that a frame could arrive by.
const TABLE = `*filter
-A INPUT -i eth0 -p udp -m udp --dport 1 -j DROP
-A INPUT -i port -p udp -m udp --dport 2 -j DROP
-A INPUT -i top -p udp -m udp --dport 3 -j DROP
-A FORWARD -i top -o top -p udp -m udp --dport 3 -j DROP
COMMIT
`;

interface Asked {
  readonly links: readonly Json[];
  readonly sysctl?: string;
  /** Where the frame is seen. */
  readonly at?: string;
  readonly frame: PacketSpec;
  readonly vlan?: number;
}

async function judge({ links, sysctl = "", at = "port", frame, vlan }: Asked): Promise<string> {
  const state = parseNode(
    {
      iptables: [{ file: "f", text: TABLE }],
      ip6tables: [],
      ipset: [],
      addresses: [{ file: "a", text: JSON.stringify([LO, ...links]) }],
      routes: [{ file: "r", text: JSON.stringify(ROUTES) }],
      sysctl: sysctl === "" ? [] : [{ file: "s", text: sysctl }],
      backend: "legacy",
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") throw new Error(formatDiagnostic(diagnostic));
    },
  );
  const bytes = vlan === undefined ? buildFrame(frame) : tagged(buildFrame(frame), vlan);
  const frames = [{ bytes, timestampNs: 1n }];
  const [verdict] = await judgeCapture({ compiled: state, capture: buildPcapng(frames, [at]) });
  const { verdict: said, reason, inInterface = "-" } = verdict!;
  return `${said} ${reason} ${inInterface}`;
}

function tagged(frame: Uint8Array, vlan: number): Uint8Array {
  const tag = [0x81, 0, vlan >> 8, vlan & 0xff];
  return Uint8Array.from([...frame.subarray(0, 12), ...tag, ...frame.subarray(12)]);
}

function to(destination: string, destinationMac: string, destinationPort: number): PacketSpec {
  const base = { source: "10.5.0.7", protocol: UDP, sourcePort: 4000, sourceMac: OTHER };
  return { ...base, destination, destinationMac, destinationPort };
}

const HERE = "10.5.0.1";
const THERE = "10.5.0.9";
const ON_BRIDGE = [link("port", PORT, { master: "top" }), link("top", TOP, {}, HERE)];
const CALLS = "net.bridge.bridge-nf-call-iptables = 1";
const NO_CALLS = "net.bridge.bridge-nf-call-iptables = 0";

describe("ports of a bridge", () => {
  it.each([
    ["rules see the bridge", to(HERE, TOP, 3), NO_CALLS, "drop rule top"],
    ["not the port", to(HERE, TOP, 2), NO_CALLS, "allow chain-policy top"],
    ["the port's own address is the bridge's", to(HERE, PORT, 3), NO_CALLS, "drop rule top"],
    ["everybody's, too", to("10.5.0.255", "ff:ff:ff:ff:ff:ff", 3), NO_CALLS, "drop rule top"],
    ["handed on, rules see it", to(THERE, OTHER, 3), CALLS, "drop rule top"],
    ["handed on, and let through", to(THERE, OTHER, 4), CALLS, "allow chain-policy top"],
    ["handed on, no rule sees it", to(THERE, OTHER, 3), NO_CALLS, "unfiltered bridged -"],
    ["handed on, and not told", to(THERE, OTHER, 3), "", "unknown bridge-calls -"],
  ])("%s", async (_, frame, sysctl, expected) => {
    expect(await judge({ links: ON_BRIDGE, frame, sysctl })).toBe(expected);
  });

  it.each([
    ["its own switch is on", { nf_call_iptables: 1 }, NO_CALLS, "drop rule top"],
    ["its own switch is off", { nf_call_iptables: 0 }, NO_CALLS, "unfiltered bridged -"],
    ["it keeps VLANs apart", { vlan_filtering: 1 }, CALLS, "unknown astray -"],
  ])("%s", async (_, data, sysctl, expected) => {
    const top = link("top", TOP, detailed("bridge", data), HERE);
    const links = [link("port", PORT, { master: "top" }), top];
    expect(await judge({ links, frame: to(THERE, OTHER, 3), sysctl })).toBe(expected);
  });
});

describe("other interfaces that take frames", () => {
  it.each([
    ["a bond", link("top", TOP, { flags: ["MASTER"] }, HERE), "drop rule top"],
    ["a bond, told", link("top", TOP, detailed("bond"), HERE), "drop rule top"],
    ["a VRF", link("top", TOP, { flags: ["NOARP", "MASTER"] }, HERE), "unknown astray -"],
    ["a VRF, told", link("top", TOP, detailed("vrf"), HERE), "unknown astray -"],
    ["one that was not told", link("else", TOP, {}, HERE), "unknown astray -"],
  ])("%s", async (_, top, expected) => {
    const links = [link("port", PORT, { master: "top" }), top];
    expect(await judge({ links, frame: to(HERE, PORT, 3) })).toBe(expected);
  });

  it("refuses to follow a circle", async () => {
    const links = [link("port", PORT, { master: "top" }), link("top", TOP, { master: "port" })];
    expect(await judge({ links, frame: to(HERE, PORT, 3) })).toBe("unknown astray -");
  });
});

describe("frames with a VLAN tag", () => {
  const vlan = link("top", ETH0, { link: "eth0", ...detailed("vlan", { id: 100 }) }, HERE);
  const eth0 = link("eth0", ETH0, { promiscuity: 0 }, "10.0.0.1");
  const untold = link("top", ETH0, { link: "eth0" }, HERE);
  it.each([
    ["arrive by its interface", [eth0, vlan], 100, 3, "drop rule top"],
    ["not by the one below", [eth0, vlan], 100, 1, "allow chain-policy top"],
    ["go past where none has it", [eth0, vlan], 101, 1, "unfiltered no-vlan -"],
    ["without an identifier have none", [eth0, vlan], 0, 1, "drop rule eth0"],
    ["are not known without -d", [eth0, untold], 100, 3, "unknown astray -"],
    ["go past where nothing lies above", [eth0], 100, 1, "unfiltered no-vlan -"],
  ] as const)("%s", async (_, links, tag, port, expected) => {
    const frame = to(HERE, ETH0, port);
    const dst = { ...frame, destination: links.length === 1 || tag === 0 ? "10.0.0.1" : HERE };
    expect(await judge({ links, at: "eth0", frame: dst, vlan: tag })).toBe(expected);
  });

  it("leaves those without one where they are", async () => {
    const frame = to("10.0.0.1", ETH0, 1);
    expect(await judge({ links: [eth0, vlan], at: "eth0", frame })).toBe("drop rule eth0");
  });
});
