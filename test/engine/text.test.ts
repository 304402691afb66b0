/**
 * What tcpdump prints of a capture is judged as the capture is, or unknown: seeded random packets with options,
 * fragments and lengths around the MTUs of a node's interfaces, printed by tcpdump itself.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ipaddr from "ipaddr.js";
import { afterAll, describe, expect, it } from "vitest";

import { parseNode } from "../../src/dump/node.ts";
import type { Program } from "../../src/engine/program.ts";
import type { PacketVerdict } from "../../src/engine/verdict.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import {
  buildPacket,
  buildPcapng,
  ICMP,
  ICMPV6,
  TCP,
  timed,
  UDP,
  wrapPacket,
  type PacketSpec,
} from "../frames.ts";
import { judgeCapture } from "../judge.ts";
import { INTERFACES, macOf, ROUTES } from "../kernel-lab/ground.ts";
import {
  fragmentsOf,
  withHopByHop,
  withoutDontFragment,
  withOptions,
} from "../kernel-lab/packets.ts";
import { randomHopByHop, randomOptions } from "../kernel-lab/random-options.ts";
import { makeRandom, type Random } from "../random.ts";

const SEED = Number(process.env["NETVERDICT_TEXT_SEED"] ?? "1");
const PACKETS = Number(process.env["NETVERDICT_TEXT_PACKETS"] ?? "600");

const hasTcpdump = spawnSync("tcpdump", ["--version"]).status === 0;
if (!hasTcpdump) console.log("skipped: tcpdump is not installed");

const folder = mkdtempSync(join(tmpdir(), "netverdict-"));
afterAll(() => rmSync(folder, { recursive: true }));

const MTU_BY_NAME: Readonly<Record<string, number>> = { cali1: 1400, cali12: 1300, eth1: 1450 };

// ── The node ──────────────────────────────────────────────────────────────────────────────────────────

const RULES = [
  ...["*filter", ":INPUT ACCEPT", ":FORWARD DROP", ":OUTPUT ACCEPT"],
  "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
  "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
  "-A FORWARD -o cali2 -j DROP",
  "-A FORWARD -j ACCEPT",
  ...["COMMIT", ""],
].join("\n");

function node(takesRoutes: boolean): Program {
  const links = INTERFACES.map(({ name, mac, addresses = [] }, index) => ({
    ...{ ifindex: index + 2, ifname: name, flags: [], link_type: "ether", address: mac },
    ...{ mtu: MTU_BY_NAME[name] ?? 1500, promiscuity: 0 },
    addr_info: addresses.map((each) => {
      const [local = "", bits] = each.split("/");
      return { local, prefixlen: Number(bits), scope: "global" };
    }),
  }));
  const near = INTERFACES.flatMap(({ name, addresses = [] }) =>
    addresses.flatMap((each) => {
      const [address = ""] = each.split("/");
      const [prefix, bits] = ipaddr.parseCIDR(each);
      const network = prefix.kind() === "ipv4" ? ipaddr.IPv4 : ipaddr.IPv6;
      return [
        { type: "local", dst: address, dev: name, table: "local" },
        { dst: `${network.networkAddressFromCIDR(each).toString()}/${bits}`, dev: name },
      ];
    }),
  );
  const far = [...ROUTES[4], ...ROUTES[6]].map((words) => {
    const [dst, dev] = [words.split(" ")[0], / dev (\S+)/.exec(words)?.[1]];
    const gateway = / via (\S+)/.exec(words)?.[1];
    return { dst, dev, ...(gateway === undefined ? {} : { gateway }) };
  });
  const narrow = { dst: "198.18.0.0/24", gateway: "198.51.100.67", dev: "eth1" };
  const routes = [...near, ...far, { ...narrow, metrics: [{ mtu: 1350 }] }];
  const accepts = Number(takesRoutes);
  const switches = ["all", "default", "eth0"].map(
    (name) => `net.ipv4.conf.${name}.accept_source_route = ${accepts}`,
  );
  return parseNode(
    {
      iptables: [{ file: "4", text: RULES, backend: "legacy" }],
      ip6tables: [{ file: "6", text: RULES, backend: "legacy" }],
      ...{ ipset: [], conntrack: [], backend: undefined },
      addresses: [{ file: "a", text: JSON.stringify(links) }],
      routes: [{ file: "r", text: JSON.stringify(routes) }],
      sysctl: [{ file: "s", text: switches.join("\n") }],
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") throw new Error(formatDiagnostic(diagnostic));
    },
  );
}

// ── Its traffic ───────────────────────────────────────────────────────────────────────────────────────

// Forwarded, and to the node itself.
const DESTINATIONS = {
  4: ["10.65.0.1", "10.65.0.2", "10.65.0.3", "10.67.0.7", "198.18.0.7", "192.0.2.10"],
  6: ["fd00:65::1", "fd00:65::2", "fd00:65::3", "fd00:67::7", "2001:db8::10"],
};

interface Sent {
  readonly packet: Uint8Array;
  /** Without -v it is printed as if it had no options, and were no fragment. */
  readonly disguised: boolean;
  readonly leaves?: boolean;
}

// The maximum segment size, a timeout, which tcpdump prints and nobody reads, and times.
const TCP_OPTIONS = [
  Uint8Array.of(2, 4, 5, 0xb4),
  Uint8Array.of(2, 4, 4, 0xc4, 1, 1, 4, 2),
  Uint8Array.of(28, 4, 1, 1, 2, 4, 5, 0xb4),
  Uint8Array.of(2, 4, 4, 0xc4, 0, 0, 0, 0),
  Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2),
  new Uint8Array(0),
];

// Behind it are no ports of protocols of which tcpdump prints no length.
const CLIENT = 50_000;

function draw(random: Random, family: 4 | 6, number: number, payload: number): Uint8Array {
  const protocol = random.pick([UDP, TCP, family === 4 ? ICMP : ICMPV6]);
  return buildPacket({
    source: family === 4 ? "192.0.2.20" : "2001:db8::20",
    destination: random.pick(DESTINATIONS[family]),
    protocol,
    // Each is a connection of its own.
    sourcePort: CLIENT + number,
    destinationPort: random.pick([9, 53]),
    ...{ flags: "S", seq: number, tcpOptions: random.pick(TCP_OPTIONS) },
    icmp: { type: family === 4 ? 8 : 128, id: number },
    id: number,
    payload: new Uint8Array(payload),
  });
}

const FAMILIES = [4, 6] as const;

/** Makes packets; of their lines with -v such a share at most may be unknown where the capture is not. */
type Kind = readonly [share: number, make: (random: Random, number: number) => Sent[]];

const KINDS: Readonly<Record<string, Kind>> = {
  "IPv4 options": [
    0.03,
    (random, number) => {
      const packet = withOptions(draw(random, 4, number, 8), randomOptions(random));
      return [{ packet, disguised: true }];
    },
  ],
  "hop-by-hop options": [
    0.15,
    (random, number) => {
      const packet = withHopByHop(draw(random, 6, number, 8), randomHopByHop(random));
      return [{ packet, disguised: true }];
    },
  ],
  lengths: [
    0,
    (random, number) => {
      const family = random.pick(FAMILIES);
      const long = draw(random, family, number, 1200 + random.below(350));
      const packet = family === 4 && random.chance(0.4) ? withoutDontFragment(long) : long;
      return [{ packet, disguised: false }];
    },
  ],
  // tcpdump does not print whether more of IPv6's follow.
  fragments: [
    0.65,
    (random, number) => {
      const family = random.pick(FAMILIES);
      const long = draw(random, family, number, 1200 + random.below(1400));
      const middle = 100 + random.below(80);
      const pieces = [
        { from: 0, to: middle },
        { from: middle, to: undefined },
      ];
      return fragmentsOf(long, pieces, number).map((packet) => {
        const whole = family === 4 && random.chance(0.4);
        return { packet: whole ? withDontFragment(packet) : packet, disguised: family === 4 };
      });
    },
  ],
  // Segments that the node may have put together.
  connections: [0, (random, number) => drawConnection(random, random.pick(FAMILIES), number)],
};

// The client asks, the server answers, and the client sends more or less than it was asked for.
function drawConnection(random: Random, family: 4 | 6, number: number): Sent[] {
  const client = family === 4 ? "192.0.2.20" : "2001:db8::20";
  const server = DESTINATIONS[family][random.below(4)]!;
  const say = (leaves: boolean, words: Partial<PacketSpec>): Sent => ({
    packet: buildPacket({
      ...{ source: client, destination: server, sourcePort: CLIENT + number, destinationPort: 9 },
      ...(leaves && { source: server, destination: client }),
      ...(leaves && { sourcePort: 9, destinationPort: CLIENT + number }),
      ...{ protocol: TCP, flags: ".", ...words },
    }),
    disguised: false,
    leaves,
  });
  const size = random.pick([1140, 1240, 1260, 1360, 1460]);
  const asked = Uint8Array.of(2, 4, size >> 8, size & 255, 4, 2, 1, 1);
  const data = { ack: 1, tcpOptions: random.pick(TCP_OPTIONS.slice(4)) };
  const sizes = [random.pick([1160, 1230, 1290, 1388, 1448]), random.pick([2 * size, 1460, 1])];
  return [
    say(false, { flags: "S", seq: 0, tcpOptions: random.pick(TCP_OPTIONS) }),
    say(true, { flags: "S.", seq: 0, ack: 1, tcpOptions: random.chance(0.9) ? asked : undefined }),
    say(false, { ...data, seq: 1, payload: new Uint8Array(sizes[0]!) }),
    say(false, { ...data, seq: 1 + sizes[0]!, payload: new Uint8Array(sizes[1]!) }),
  ];
}

function withDontFragment(packet: Uint8Array): Uint8Array {
  const copy = withOptions(packet, new Uint8Array(0));
  copy[6]! |= 0x40;
  return withOptions(copy, new Uint8Array(0));
}

// ── Comparison ────────────────────────────────────────────────────────────────────────────────────────

const TEXTS = ["-n", "-ne", "-nv", "-nvv", "-nvvv", "-nev"] as const;
const LISTENING = "tcpdump: listening on eth0, link-type EN10MB (Ethernet)\n";

function print(words: string, file: string): Uint8Array {
  const { stdout } = spawnSync("tcpdump", [words, "-r", file], { maxBuffer: 1 << 26 });
  return Buffer.concat([Buffer.from(LISTENING), stdout]);
}

const wordsOf = ({ verdict, outInterface }: PacketVerdict): string =>
  verdict === "allow" ? `allow ${outInterface ?? ""}` : verdict;

interface Comparison {
  /** Packets of which text and capture are judged otherwise, and the text is not unknown. */
  readonly wrong: readonly string[];
  /** How many are unknown in the text alone. */
  readonly open: number;
  readonly compared: number;
}

function compare(
  sent: readonly Sent[],
  texts: readonly PacketVerdict[],
  captures: readonly PacketVerdict[],
): Comparison {
  const wrong: string[] = [];
  let open = 0;
  for (const [at, { packet }] of sent.entries()) {
    const [text, capture] = [texts[at]!, captures[at]!];
    const [is, was] = [wordsOf(text), wordsOf(capture)];
    if (is === was) continue;
    if (is === "unknown") open += 1;
    else {
      const bytes = Buffer.from(packet.subarray(0, 90)).toString("hex");
      wrong.push(`${bytes}: ${is} (${text.reason}), not ${was} (${capture.reason})`);
    }
  }
  return { wrong, open, compared: sent.length };
}

function framesOf(sent: readonly Sent[]): Uint8Array[] {
  const [own, other] = [macOf("eth0"), "02:00:00:00:02:05"];
  return sent.map(({ packet, leaves = false }) =>
    wrapPacket(packet, {
      destinationMac: leaves ? other : own,
      sourceMac: leaves ? own : other,
    }),
  );
}

describe.runIf(hasTcpdump).each([false, true])("tcpdump's text", (takesRoutes) => {
  const compiled = node(takesRoutes);
  const title = `is judged as the capture: %s (accept_source_route ${Number(takesRoutes)})`;

  it.each(Object.entries(KINDS))(title, async (_, [share, make]) => {
    const random = makeRandom(SEED);
    const sent: Sent[] = [];
    for (let number = 1; sent.length < PACKETS; number++) sent.push(...make(random, number));
    const capture = buildPcapng(timed(framesOf(sent)), ["eth0"]);
    const file = join(folder, "capture.pcapng");
    writeFileSync(file, capture);
    const captures = await judgeCapture({ compiled, capture });
    const counts: string[] = [];
    for (const words of TEXTS) {
      const texts = await judgeCapture({ compiled, capture: print(words, file) });
      expect(texts.length).toBe(sent.length);
      const isShown = (_: unknown, at: number): boolean =>
        words.includes("v") || !sent[at]!.disguised;
      const shown = [texts, captures].map((verdicts) => verdicts.filter(isShown));
      const { wrong, open, compared } = compare(sent.filter(isShown), shown[0]!, shown[1]!);
      counts.push(`${words} ${open} of ${compared}`);
      expect(wrong, words).toEqual([]);
      if (words.includes("v")) expect(open).toBeLessThanOrEqual(share * compared);
    }
    const dropped = captures.filter(({ verdict }) => verdict === "drop").length;
    console.log(
      `${dropped} of ${sent.length} dropped; unknown in text alone: ${counts.join(", ")}`,
    );
    expect(dropped).toBeGreaterThan(sent.length / 20);
  });
});
