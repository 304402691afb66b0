/**
 * Long chains, whose rules are passed over where their headers cannot match: `judgeCapture` judges by every
 * rule, too, and fails where verdict, rule or counts differ. Addresses and ports come from small pools, so
 * that rules overlap and the first of several that match must win; there are enough packets for the chains to
 * be worth their trees.
 */
import { describe, expect, it } from "vitest";
import { addressText, drawRules, firstMatch, type ClassRule } from "../../bench/classbench.ts";
import { firewallOf, NODE_MACS, type NodeDumps } from "../../bench/firewall.ts";
import { parseNode } from "../../src/dump/node.ts";
import type { Program } from "../../src/engine/program.ts";
import type { PacketVerdict } from "../../src/engine/verdict.ts";
import type { Backend } from "../../src/match/extension.ts";
import type { Family } from "../../src/net/address.ts";
import { buildFrame, buildPcapng, ICMP, ICMPV6, SCTP, TCP, timed, UDP } from "../frames.ts";
import { judgeCapture, replayCapture } from "../judge.ts";
import { judgeNode, NODE_MAC } from "../match/judge-node.ts";
import { makeRandom, type Random } from "../random.ts";

const RULES = 300;
const PACKETS = 1500;
const CHAINS = ["first", "second", "third"];
const PORTS = [22, 53, 80, 443, 8080, 30_000];
const PROTOCOLS = ["tcp", "udp", "sctp"] as const;
const NUMBERS = { tcp: TCP, udp: UDP, sctp: SCTP };

/** No address is above it. */
const LAST: Readonly<Record<Family, string>> = {
  4: "255.255.255.255",
  6: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
};

const SETS: Readonly<Record<Family, string>> = {
  4: "create some hash:net family inet\nadd some 10.1.0.0/16\nadd some 10.2.3.64/26\n",
  6: "create some hash:net family inet6\nadd some fd00:1::/32\nadd some fd00:2::3:0/112\n",
};

function address(random: Random, family: Family): string {
  const low = random.below(4) * 64 + random.below(3);
  if (family === 4) return `10.${random.below(3)}.${random.below(4)}.${low}`;
  return `fd00:${random.below(3)}::${random.below(4)}:${low.toString(16)}`;
}

function prefix(random: Random, family: Family): string {
  const lengths =
    family === 4 ? [7, 8, 15, 16, 20, 24, 26, 32] : [16, 31, 32, 48, 64, 112, 127, 128];
  const masks = family === 4 ? ["255.0.255.0", "255.255.0.192"] : ["ffff:ffff::ffff"];
  return `${address(random, family)}/${random.chance(0.1) ? random.pick(masks) : random.pick(lengths)}`;
}

function range(random: Random, family: Family): string {
  const ends = [address(random, family), address(random, family)].sort((one, other) =>
    byNumber(one, other, family),
  );
  return ends.join("-");
}

function byNumber(one: string, other: string, family: Family): number {
  const base = family === 4 ? 10 : 16;
  const [left, right] = [one, other].map((text) =>
    text.split(/[.:]/).map((part) => Number.parseInt(part === "" ? "0" : part, base)),
  );
  const difference = left!.findIndex((part, index) => part !== right![index]);
  return difference < 0 ? 0 : left![difference]! - right![difference]!;
}

function ports(random: Random): string {
  const port = random.pick(PORTS);
  return random.chance(0.7) ? `${port}` : `${port}:${port + 20_000}`;
}

function rule(random: Random, family: Family, chain: string, later: readonly string[]): string {
  const words: string[] = [];
  const maybe = (probability: number, ...said: string[]): void => {
    if (random.chance(probability)) words.push(...(random.chance(0.1) ? ["!"] : []), ...said);
  };
  if (random.chance(0.8)) words.push("-s", prefix(random, family));
  maybe(0.3, "-d", prefix(random, family));
  maybe(0.2, "-i", random.pick(["eth0", "eth+", "eth00", "e+", "lo"]));
  if (chain !== "INPUT") maybe(0.1, "-o", random.pick(["eth0", "l+"]));
  if (random.chance(0.7)) {
    const protocol = random.pick(PROTOCOLS);
    words.push("-p", protocol);
    if (random.chance(0.15)) words.push("-m", "conntrack", "--ctstate", "NEW");
    if (random.chance(0.6)) {
      words.push("-m", protocol);
      maybe(0.7, "--dport", ports(random));
      maybe(0.3, "--sport", ports(random));
      if (protocol === "tcp") maybe(0.1, "--tcp-flags", "SYN,ACK", random.pick(["SYN", "ACK"]));
    }
    if (random.chance(0.3)) {
      const some = random
        .some(PORTS, 1, 4)
        .map((port) => (random.chance(0.2) ? `${port}:${port + 100}` : `${port}`));
      words.push("-m", "multiport");
      maybe(1, random.pick(["--dports", "--sports", "--ports"]), some.join(","));
    }
  } else if (random.chance(0.2)) {
    words.push("-p", family === 4 ? "icmp" : "icmpv6");
  }
  if (random.chance(0.15)) {
    words.push("-m", "iprange");
    maybe(1, random.pick(["--src-range", "--dst-range"]), range(random, family));
  }
  if (random.chance(0.1)) words.push("-m", "mark", "--mark", "0x1/0x1");
  if (random.chance(0.1)) words.push("-m", "state", "--state", "NEW");
  if (random.chance(0.1)) words.push("-m", "set", "--match-set", "some", "src");
  if (random.chance(0.1)) words.push("-m", "length", "--length", "0:60");
  // What says little decides nothing, or all would be decided by the first few rules.
  const ends = words.length > 7 ? ["DROP", "ACCEPT", "RETURN", ...later] : later;
  return `${words.join(" ")} -j ${random.pick([...ends, "MARK --set-xmark 0x1/0x1"])}`;
}

function rules(random: Random, family: Family): string[] {
  const lines = CHAINS.map((chain) => `:${chain} - [0:0]`);
  for (const [index, chain] of ["INPUT", ...CHAINS].entries()) {
    const later = CHAINS.slice(index, index + 1);
    for (let count = 0; count < RULES; count++) {
      lines.push(`-A ${chain} ${rule(random, family, chain, later)}`.replaceAll("  ", " "));
    }
  }
  return lines;
}

function frame(random: Random, family: Family): Uint8Array {
  const ping = family === 4 ? ICMP : ICMPV6;
  const own = family === 4 ? "192.0.2.1" : "2001:db8::1";
  return buildFrame({
    source: random.chance(0.02) ? LAST[family] : address(random, family),
    destination: random.chance(0.7) ? own : address(random, family),
    protocol: random.chance(0.1) ? ping : NUMBERS[random.pick(PROTOCOLS)],
    sourcePort: random.chance(0.3) ? random.pick(PORTS) : 1024 + random.below(60_000),
    destinationPort: random.pick(PORTS),
    flags: random.pick(["S", ".", "S."]),
    destinationMac: NODE_MAC,
  });
}

describe("candidates", () => {
  const backends: readonly Backend[] = ["legacy", "nft"];
  for (const [seed, backend] of [...backends, ...backends].entries()) {
    for (const family of [4, 6] as const) {
      it(`are all that can match (${backend}, IPv${family}, seed ${seed})`, async () => {
        const random = makeRandom(seed);
        const frames = Array.from({ length: PACKETS }, () => frame(random, family));
        const lines = rules(random, family);
        const verdicts = await judgeNode(lines, timed(frames), backend, SETS[family]);
        const words = new Set(verdicts.map(({ verdict }) => verdict));
        const decided = new Set(verdicts.map((one) => `${one.rule?.chain}:${one.rule?.number}`));
        expect(words).toContain("drop");
        expect(words).toContain("allow");
        expect(decided.size).toBeGreaterThan(10);
      });
    }
  }

  it("do not leave out rules that ask for a mark", async () => {
    const bits = Array.from({ length: 14 }, (_, bit) => `0x${(2 ** bit).toString(16)}`);
    const asking = bits.map(
      (bit) => `-A INPUT -p tcp -m mark --mark ${bit}/${bit} -m tcp --dport 80 -j DROP`,
    );
    const bytes = buildFrame({
      source: "10.0.0.1",
      destination: "192.0.2.1",
      protocol: TCP,
      destinationPort: 81,
      destinationMac: NODE_MAC,
    });
    const frames = timed(Array.from({ length: 100 }, () => bytes));
    const verdicts = await judgeNode(["-A INPUT -j MINE --of-nobody", ...asking], frames);
    expect(new Set(verdicts.map(({ verdict }) => verdict))).toEqual(new Set(["unknown"]));
  });

  for (const family of ["acl", "fw", "ipc"] as const) {
    for (const count of [30, 700]) {
      it(`are the first matches of ${count} rules with ClassBench's shapes (${family})`, async () => {
        const drawn = drawRules(family, count, 3);
        const random = makeRandom(count);
        const packets = Array.from({ length: PACKETS }, () => aimedPacket(random, drawn));
        const frames = packets.map(classFrame);
        const capture = buildPcapng(timed(frames), ["eth0"]);
        const verdicts = await judgeCapture({ compiled: programOf(firewallOf(drawn)), capture });
        const seen = new Set<string>();
        for (const [index, packet] of packets.entries()) {
          const { verdict, rule: matched } = verdicts[index]!;
          const match = firstMatch(drawn, packet);
          // What belongs to a connection that was let through comes to the first rule of all.
          const known = seen.has(tupleOf(packet));
          const accepts = match >= 0 && drawn[match]!.accepts;
          expect(verdict).toBe(accepts ? "allow" : "drop");
          if (!known) expect(matched?.number).toBe(match < 0 ? count + 2 : match + 2);
          if (accepts) seen.add(tupleOf(packet));
        }
      });
    }
  }

  it("have a tree after few packets where there are very many rules, and no more of it than is asked for", async () => {
    const drawn = drawRules("acl", 30_000, 3);
    const compiled = programOf(firewallOf(drawn));
    const packets = aimedPackets(drawn, 20);
    const before = await memoryAfter(compiled, packets.slice(0, 1));
    const each = ((await memoryAfter(compiled, packets)) - before) / drawn.length;
    // A box takes 36 bytes; with all of its leaves the tree has 134 for each rule.
    expect(each).toBeGreaterThan(36);
    expect(each).toBeLessThan(100);
  });

  for (const seed of [603, 1034]) {
    it(`are found where the last and the first piece of a node have their rules in common (seed ${seed})`, async () => {
      const random = makeRandom(seed);
      const rules = acrossPieces(random).map((rule) => `-A FORWARD ${rule} -j ACCEPT`);
      const iptables = `*filter\n:FORWARD DROP [0:0]\n${rules.join("\n")}\nCOMMIT\n`;
      const capture = buildPcapng(timed(portFrames(random)), ["eth0"]);
      const compiled = programOf({ ...firewallOf([]), iptables });
      const verdicts = await judgeCapture({ compiled, capture });
      expect(new Set(verdicts.map((one) => one.rule?.number)).size).toBeGreaterThan(20);
    });
  }

  it("are found where rules are wide in every field, and no cut tells them apart", async () => {
    const random = makeRandom(5);
    const between = (most: number): [number, number] => {
      const first = random.below(most);
      return [first, Math.min(most, first + random.below(most >> 1))];
    };
    const lines = Array.from({ length: 700 }, (_, index) => {
      const [src, sport, dport] = [between(65_535), between(65_535), between(65_535)];
      const ends = src.map((end) => `10.9.${end >> 8}.${end & 255}`).join("-");
      const ports = `--sport ${sport.join(":")} --dport ${dport.join(":")}`;
      const target = random.pick(["ACCEPT", "DROP", `MARK --set-xmark ${index}/0xffff`]);
      return `-A INPUT -p udp -m iprange --src-range ${ends} -m udp ${ports} -j ${target}`;
    });
    const frames = Array.from({ length: PACKETS }, () =>
      buildFrame({
        source: `10.9.${random.below(256)}.${random.below(256)}`,
        destination: "192.0.2.1",
        protocol: UDP,
        sourcePort: random.below(65_536),
        destinationPort: random.below(65_536),
        destinationMac: NODE_MAC,
      }),
    );
    const verdicts = await judgeNode(lines, timed(frames));
    expect(new Set(verdicts.map((one) => one.rule?.number)).size).toBeGreaterThan(50);
  });

  it("are found behind others that match, where prefixes of all lengths lie within each other", async () => {
    const random = makeRandom(6);
    const nested = (): string => {
      const bits = random.pick([5, 9, 12, 17, 21, 26, 31]);
      return `${address(random, 4)}/${bits}`;
    };
    const lines = Array.from({ length: 600 }, (_, index) => {
      const destination = random.chance(0.5) ? `-d ${nested()} ` : "";
      const port = random.chance(0.5) ? ` -m udp --dport ${ports(random)}` : "";
      return `-A INPUT -s ${nested()} ${destination}-p udp${port} -j MARK --set-xmark ${index}/0xffff`;
    });
    const frames = Array.from({ length: PACKETS }, () =>
      buildFrame({
        source: address(random, 4),
        destination: random.chance(0.5) ? "192.0.2.1" : address(random, 4),
        protocol: UDP,
        sourcePort: random.below(65_536),
        destinationPort: random.pick(PORTS),
        destinationMac: NODE_MAC,
      }),
    );
    const verdicts = await judgeNode([...lines, "-A INPUT -p udp -j ACCEPT"], timed(frames));
    expect(new Set(verdicts.map((one) => one.verdict))).toContain("allow");
  });

  it("are rules that ask for nothing, too, wherever they are", async () => {
    const random = makeRandom(8);
    const lines = Array.from({ length: 200 }, (_, index) =>
      index % 40 === 25
        ? `-A INPUT -j MARK --set-xmark ${index}/0xffff`
        : `-A INPUT -p udp -m udp --dport ${1000 + index} -j ${random.pick(["ACCEPT", "DROP"])}`,
    );
    const frames = Array.from({ length: PACKETS }, (_, index) =>
      buildFrame({
        source: `10.0.0.${1 + (index % 200)}`,
        destination: "192.0.2.1",
        protocol: UDP,
        sourcePort: 1024 + index,
        destinationPort: 1000 + random.below(210),
        destinationMac: NODE_MAC,
      }),
    );
    const verdicts = await judgeNode(lines, timed(frames));
    expect(new Set(verdicts.map((one) => one.rule?.number)).size).toBeGreaterThan(190);
  });

  for (const [side, other] of [
    ["-s", "--src-range"],
    ["-d", "--dst-range"],
  ] as const) {
    for (const network of ["255.255.255", "0.0.0"]) {
      // Some next to the end of all addresses; many, and some that are wide.
      for (const [first, wide] of [
        [network === "0.0.0" ? 0 : 246, 0],
        [network === "0.0.0" ? 0 : 249, 0],
        [network === "0.0.0" ? 0 : 100, 20],
      ] as const) {
        it(`are found at the ends of all addresses (${side} ${network}.${first}, ${wide} wide)`, async () => {
          const random = makeRandom(first + wide);
          const last = network === "0.0.0" ? (wide > 0 ? 155 : 9) : 255;
          const addresses = Array.from({ length: last - first + 1 }, (_, index) => first + index);
          const lines = addresses.flatMap((end) =>
            [80, 443].map(
              (port) =>
                `-A INPUT ${side} ${network}.${end}/32 -p udp -m udp --dport ${port} -j DROP`,
            ),
          );
          for (let port = 1; port <= wide; port++) {
            const range = `${network}.${first}-${network}.${last}`;
            lines.push(
              `-A INPUT -p udp -m iprange ${other} ${range} -m udp --dport ${port} -j DROP`,
            );
          }
          const frames = Array.from({ length: PACKETS }, (_, index) =>
            buildFrame({
              source: index % 2 === 0 ? `${network}.${random.pick(addresses)}` : address(random, 4),
              destination: "192.0.2.1",
              protocol: UDP,
              sourcePort: 1024 + index,
              destinationPort: random.pick([80, 443]),
              destinationMac: NODE_MAC,
            }),
          );
          const verdicts = await judgeNode(lines, timed(frames));
          expect(new Set(verdicts.map((one) => one.verdict))).toContain("allow");
          if (side === "-s" && network !== "0.0.0")
            expect(
              verdicts.filter((_, index) => index % 2 === 0).map((one) => one.verdict),
            ).toEqual(Array.from({ length: PACKETS / 2 }, () => "drop"));
        });
      }
    }
  }

  it("are told apart by the names of interfaces", async () => {
    const names = interfaceNames(60);
    const rule = (name: string, index: number): string =>
      `-A FORWARD -i ${name}${index % 5 === 0 ? "+" : ""} -j ${index % 2 === 0 ? "ACCEPT" : "DROP"}`;
    const { sent, verdicts } = await judgeForwarded({ names, rules: names.map(rule) });
    const expected = sent.map((index) =>
      names.findIndex((name, at) => (at % 5 === 0 ? names[index]!.startsWith(name) : at === index)),
    );
    expect(verdicts.map(({ rule: matched }) => matched!.number - 1)).toEqual(expected);
  });

  for (const option of ["-i", "-o"]) {
    const rulesFor = (names: readonly string[]): string[] =>
      names.map(
        (name, at) => `-A FORWARD ${option} ${name} -j ${at % 2 === 0 ? "ACCEPT" : "DROP"}`,
      );

    it(`are told apart by whole names that begin alike (${option})`, async () => {
      const names = Array.from({ length: 40 }, (_, index) => `cali00000000${100 + index}`);
      await judgeForwarded({ names, rules: rulesFor(names) });
    });

    it(`are those of all interfaces whose names the kernel would cut to the same (${option})`, async () => {
      const names = interfaceNames(20);
      const long = "interface-123xy";
      const doubles = [`${long}A`, `${long}B`, `${names[3]}\0x`];
      await judgeForwarded({ names: [...names, ...doubles], rules: rulesFor([long, ...names]) });
    });

    it(`are those of interfaces, too, that come with other rules (${option})`, async () => {
      const names = interfaceNames(40);
      const rules = rulesFor(names);
      const turn = { packet: PACKETS / 2, names, rules: rules.toReversed() };
      await judgeForwarded({ names: names.slice(0, 20), rules: rules.slice(0, 20), turn });
    });
  }

  // Each kind of rule beside those that ask for an interface's whole name; the last ones make too many of them.
  for (const [what, others] of [
    ["alone", []],
    ["twice", ["-i if7 -j DROP", "-i if14 -j ACCEPT"]],
    ["of no interface", ["-i other0 -j DROP", "-i if -j ACCEPT"]],
    ["and their beginnings", ["-i if1+ -j DROP"]],
    [
      "and others that they are not",
      ["! -i if21 -j MARK --set-xmark 0x8/0x8", "-m mark --mark 0x8/0x8 -s 10.0.4.0/24 -j DROP"],
    ],
    ["and those of the other side", ["-o if0 -j DROP"]],
    ["and protocols", ["-i if28 -p tcp -j DROP", "-s 10.0.6.0/25 -j ACCEPT"]],
    ["and marks", ["-i if28 -j MARK --set-xmark 0x1/0x1", "-m mark --mark 0x1/0x1 -j DROP"]],
    ["and what asks for nothing", ["-j MARK --set-xmark 0x2/0x2", ""]],
    ["and many addresses", Array.from({ length: 9 }, (_, at) => `-s 10.0.${at}.${at}/32 -j DROP`)],
  ] as const) {
    for (const [option, side] of [
      ["-i", "arriving"],
      ["-o", "leaving"],
    ] as const) {
      it(`are told apart by whole names, ${side}, ${what}`, async () => {
        const names = interfaceNames(40);
        const random = makeRandom(2);
        const targets = ["ACCEPT", "DROP", "RETURN", "MARK --set-xmark 0x4/0x4"];
        // Those that the others name: a second rule for one would leave the chain to a tree.
        const left = new Set(what === "twice" ? [] : ["if0", "if21", "if28"]);
        const lines = names
          .filter((name) => !left.has(name))
          .map((name) => `-A FORWARD ${option} ${name} -j ${random.pick(targets)}`);
        for (const other of others) {
          const turned =
            side === "arriving" ? other : other.replace("-i", "-O").replace("-o", "-i");
          lines.splice(random.below(lines.length), 0, `-A FORWARD ${turned.replace("-O", "-o")}`);
        }
        const { verdicts } = await judgeForwarded({ names, rules: lines });
        const numbers = new Set(verdicts.map(({ rule: matched }) => matched?.number));
        expect(numbers.size).toBeGreaterThan(10);
      });
    }
  }
});

// Rules that ask for a range of ports in two pieces, the last and the first of eight, among others of one.
function acrossPieces(random: Random): string[] {
  const count = 300 + random.below(1200);
  const further = random.pick([0.5, 0.6, 0.7, 0.8]);
  const kinds = [0, 1, 2].flatMap((field) => [0, 1, 2, 3].map((size) => [field, size] as const));
  if (random.chance(0.5)) kinds.sort((one, other) => one[1] - other[1]);
  else {
    for (let at = kinds.length - 1; at > 0; at--) {
      const other = random.below(at + 1);
      [kinds[at], kinds[other]] = [kinds[other]!, kinds[at]!];
    }
  }
  const share = random.pick([0.3, 0.5, 0.6, 0.7]);
  const apart = [0x50, 0x58, 0x60, 0x68, 0x90, 0x98, 0xa0, 0xb0, 0xb8].map(
    (upper) => upper * 256 + random.below(0x700),
  );
  return Array.from({ length: count }, () => {
    if (!random.chance(share)) {
      const port = random.pick(apart);
      const source = random.chance(0.5) ? ` -s 64.${random.below(256)}.1.1` : "";
      return `-p udp -m udp --dport ${port}${source}`;
    }
    let kind = 0;
    while (kind < kinds.length - 1 && random.chance(further)) kind++;
    const [field, size] = kinds[kind]!;
    const lengths = [
      [28, 30, 32],
      [12, 13, 14],
      [6, 7, 8],
      [2, 3, 4],
    ];
    const bits = lengths.map((some) => random.pick(some))[size]!;
    const words: string[] = [];
    if (field < 2) {
      const [own, other] = field === 0 ? ["-s", "-d"] : ["-d", "-s"];
      words.push(`${own} ${quad(random)}/${bits}`);
      if (random.below(3) === 2) words.push(`${other} ${quad(random)}/${random.pick([1, 2])}`);
    }
    words.push("-p udp -m udp");
    if (field === 2) {
      const first = random.below(65_536);
      words.push(`--sport ${first}:${Math.min(65_535, first + [2, 200, 3000, 20_000][size]!)}`);
    }
    return `${words.join(" ")} --dport 28672:36863`;
  });
}

function quad(random: Random): string {
  return [0, 1, 2, 3].map(() => random.below(256)).join(".");
}

function portFrames(random: Random): Uint8Array[] {
  const address = (network: number): number =>
    random.chance(0.5) ? network * 2 ** 24 + random.below(2 ** 24) : random.below(2 ** 32);
  return Array.from({ length: 1500 }, () => {
    return classFrame({
      source: address(64),
      destination: address(128),
      protocol: UDP,
      sourcePort: random.below(65_536),
      destinationPort: random.chance(0.9) ? 0x7000 + random.below(0x2000) : random.below(65_536),
    });
  });
}

function interfaceNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `if${index * 7}`);
}

/** A node's interfaces, and the rules for what it forwards. */
interface Forwarding {
  readonly names: readonly string[];
  readonly rules: readonly string[];
}

/** Judges packets that a node forwards from each of its interfaces, those of later rules included, to others. */
async function judgeForwarded({
  turn,
  ...first
}: Forwarding & { readonly turn?: Forwarding & { readonly packet: number } }): Promise<{
  readonly sent: readonly number[];
  readonly verdicts: readonly PacketVerdict[];
}> {
  const { names } = turn ?? first;
  const random = makeRandom(1);
  const sent = Array.from({ length: PACKETS }, () => random.below(names.length));
  const frames = sent.map((index, at) =>
    buildFrame({
      source: `10.0.${index}.${at % 200}`,
      destination: `128.0.${random.below(names.length)}.7`,
      protocol: UDP,
      sourcePort: 1024 + at,
      destinationPort: 53,
      destinationMac: macOf(index),
    }),
  );
  const seen = timed(frames).map((one, at) => ({ ...one, captureInterface: sent[at]! }));
  const question = {
    compiled: forwardingProgram(first),
    capture: buildPcapng(seen, names),
    ...(turn === undefined
      ? {}
      : { turn: { packet: turn.packet, program: forwardingProgram(turn) } }),
  };
  return { sent, verdicts: await judgeCapture(question) };
}

function forwardingProgram({ names, rules }: Forwarding): Program {
  const routes = names.map((dev, index) => ({ dst: `128.0.${index}.0/24`, dev }));
  return programOf({
    iptables: `*filter\n:FORWARD DROP [0:0]\n${rules.join("\n")}\nCOMMIT\n`,
    ipset: "",
    addresses: JSON.stringify(names.map(linkOf)),
    routes: JSON.stringify([{ dst: "128.0.0.0/1", dev: names[0] }, ...routes.slice(1)]),
  });
}

interface ClassPacket {
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** A packet that a rule has room for; another one may come before. */
function aimedPacket(random: Random, drawn: readonly ClassRule[]): ClassPacket {
  const aim = random.pick(drawn);
  const within = (first: number, bits: number): number =>
    first + random.below(2 ** (32 - Math.max(bits, 3)));
  const between = ({ first, last }: { first: number; last: number }): number =>
    first + random.below(last - first + 1);
  return {
    source: within(aim.source.bits === 0 ? 0x40000000 : aim.source.first, aim.source.bits),
    destination: within(
      aim.destination.bits === 0 ? 0x80000000 : aim.destination.first,
      aim.destination.bits,
    ),
    protocol: aim.protocol ?? random.pick([TCP, UDP]),
    sourcePort: between(aim.sourcePorts),
    destinationPort: between(aim.destinationPorts),
  };
}

function classFrame(packet: ClassPacket): Uint8Array {
  return buildFrame({
    ...packet,
    source: addressText(packet.source),
    destination: addressText(packet.destination),
    destinationMac: NODE_MACS[0],
  });
}

function aimedPackets(drawn: readonly ClassRule[], count: number): ClassPacket[] {
  const random = makeRandom(1);
  return Array.from({ length: count }, () => aimedPacket(random, drawn));
}

async function memoryAfter(compiled: Program, packets: readonly ClassPacket[]): Promise<number> {
  const capture = buildPcapng(timed(packets.map(classFrame)), ["eth0"]);
  let memory = 0;
  await replayCapture({ compiled, capture, packetsWanted: false }, (matcher) => {
    memory = matcher.allocate(0);
  });
  return memory;
}

function tupleOf({
  source,
  destination,
  protocol,
  sourcePort,
  destinationPort,
}: ClassPacket): string {
  return [source, destination, protocol, sourcePort, destinationPort].join(" ");
}

function programOf({ iptables, ipset, addresses, routes }: NodeDumps): Program {
  return parseNode(
    {
      iptables: [{ file: "rules", text: iptables, backend: "legacy" }],
      ip6tables: [],
      ipset: [{ file: "sets", text: ipset }],
      addresses: [{ file: "addresses", text: addresses }],
      routes: [{ file: "routes", text: routes }],
      backend: undefined,
    },
    () => undefined,
  );
}

function linkOf(ifname: string, index: number): object {
  return {
    ...{ ifname, ifindex: index + 1, flags: ["UP"], link_type: "ether", address: macOf(index) },
    addr_info: [{ family: "inet", local: `10.0.${index}.254`, prefixlen: 24, scope: "global" }],
  };
}

function macOf(index: number): string {
  return `02:00:00:00:01:${index.toString(16).padStart(2, "0")}`;
}
