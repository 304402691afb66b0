/**
 * Bounds that others proved: for real rule sets, Iptables_Semantics gives a simple one that accepts less
 * (`.lower`) and one that accepts more (`.upper`), for new connections. What the lower one accepts is
 * accepted here, and what is accepted here the upper one accepts.
 *
 * Their bounds take 127.0.0.0/8 to arrive by lo and nothing else to, and TCP to begin with a SYN.
 */
import { basename, dirname } from "node:path";

import { describe, expect, it } from "vitest";

import { parseIptablesSave } from "../../src/dump/iptables-save.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import { hostPrefix, parseAddress, parsePrefix, prefixContains } from "../../src/net/address.ts";
import type { Prefix } from "../../src/net/address.ts";
import type { NodeInterface, Route, Ruleset, Topology } from "../../src/tables/model.ts";
import { buildFrame, buildPcapng } from "../frames.ts";
import { judgeCapture } from "../judge.ts";
import { makeRandom } from "../random.ts";
import type { Random } from "../random.ts";
import { dumpFiles, dumpText, haveDumps } from "./corpus.ts";

const EXAMPLES = "Iptables_Semantics/thy/Iptables_Semantics/Examples/IPPartEval";
const PACKETS = 3000;
const NODE_ADDRESSES = 20;

interface SimpleRule {
  readonly accepts: boolean;
  readonly protocol: number | undefined;
  readonly source: Prefix;
  readonly destination: Prefix;
  readonly sourcePorts: readonly [number, number];
  readonly destinationPorts: readonly [number, number];
}

interface Packet {
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, icmp: 1 };

/** The rules of `iptables -L -n` below one chain. */
function parseSimple(text: string, chain: string): SimpleRule[] {
  const [, body = ""] = text.split(new RegExp(`^Chain ${chain} .*\\n.*\\n`, "m"));
  const lines = body.split(/\n\n|\nChain /)[0]!.split("\n");
  return lines.flatMap((line): SimpleRule[] => {
    const words = line.trim().split(/\s+/);
    const [target, protocol = "", , source = "", destination = "", ...rest] = words;
    if (target === undefined || target === "") return [];
    const ports = (flag: string): [number, number] => {
      const found = rest.findLast(
        (word) => word.startsWith(`${flag}:`) || word.startsWith(`${flag}s:`),
      );
      const [, first, last] = found?.split(":") ?? [];
      return first === undefined ? [0, 65535] : [Number(first), Number(last ?? first)];
    };
    const known = ["tcp", "udp"].includes(protocol)
      ? rest.filter((word) => !word.includes(":"))
      : rest;
    if (known.some((word) => !["tcp", "udp"].includes(word))) throw new Error(`unread: ${line}`);
    return [
      {
        accepts: target === "ACCEPT",
        protocol: protocol === "all" ? undefined : (PROTOCOLS[protocol] ?? Number(protocol)),
        source: prefixOfText(source),
        destination: prefixOfText(destination),
        sourcePorts: ports("spt"),
        destinationPorts: ports("dpt"),
      },
    ];
  });
}

function prefixOfText(text: string): Prefix {
  const address = parseAddress(text);
  return address === undefined ? parsePrefix(text)!.prefix : hostPrefix(address);
}

function accepts(rules: readonly SimpleRule[], packet: Packet): boolean {
  const source = parseAddress(packet.source)!;
  const destination = parseAddress(packet.destination)!;
  const within = (port: number, [first, last]: readonly [number, number]): boolean =>
    packet.protocol === 1 || (port >= first && port <= last);
  const rule = rules.find(
    (each) =>
      (each.protocol === undefined || each.protocol === packet.protocol) &&
      prefixContains(each.source, source) &&
      prefixContains(each.destination, destination) &&
      within(packet.sourcePort, each.sourcePorts) &&
      within(packet.destinationPort, each.destinationPorts),
  );
  return rule?.accepts === true;
}

/** Addresses and ports of the bounds, and of nothing. */
function randomPackets(random: Random, bounds: readonly SimpleRule[], hook: string): Packet[] {
  const inside = ({ address, bits }: Prefix): number => {
    const host = bits === 0 ? 0xffffffff : bits === 32 ? 0 : 2 ** (32 - bits) - 1;
    return (address.words[0] | (random.below(host + 1) & host)) >>> 0;
  };
  const text = (word: number): string =>
    [24, 16, 8, 0].map((shift) => (word >>> shift) & 255).join(".");
  const sources = bounds.map(({ source }) => source);
  const destinations = bounds.map(({ destination }) => destination);
  const pool = Array.from({ length: NODE_ADDRESSES }, () =>
    text(inside(random.pick(destinations))),
  );
  const port = (of: "sourcePorts" | "destinationPorts"): number => {
    const [first, last] = random.pick(bounds)[of];
    return random.chance(0.5) ? first : first + random.below(last - first + 1);
  };
  return Array.from({ length: PACKETS }, () => ({
    protocol: random.pick([6, 6, 17, 17, 1]),
    source: text(inside(random.pick(sources))),
    destination: hook === "INPUT" ? random.pick(pool) : text(inside(random.pick(destinations))),
    sourcePort: port("sourcePorts"),
    destinationPort: port("destinationPorts"),
  }));
}

const AROUND = { node: undefined, owner: undefined } as const;

/** INPUT: the destinations are the node's. FORWARD: all leave by one interface. */
function topologyFor(
  hook: string,
  packets: readonly Packet[],
  names: readonly string[],
  out: string,
): Topology {
  const local = hook === "INPUT" ? [...new Set(packets.map(({ destination }) => destination))] : [];
  const routes: Route[] = [
    ...local.map((address): Route => {
      const prefix = hostPrefix(parseAddress(address)!);
      return { ...AROUND, prefix, kind: "local", table: "local", interface: "lo" };
    }),
    {
      ...AROUND,
      prefix: prefixOfText("0.0.0.0/0"),
      kind: "unicast",
      table: "main",
      interface: out,
    },
  ];
  const interfaces = names.map((name): NodeInterface => ({
    name,
    index: undefined,
    mac: undefined,
    loopback: name === "lo",
    addresses: [],
  }));
  return { routes, wholeCluster: false, interfaces };
}

/** Only what the bounds are about: the filter table. */
function loadFilter(file: string): Ruleset {
  const dump = { file, text: dumpText(file), family: 4 as const, backend: "legacy" as const };
  const ruleset = parseIptablesSave(dump, [], (diagnostic) => {
    if (diagnostic.severity === "error") throw new Error(formatDiagnostic(diagnostic));
  });
  return { ...ruleset, tables: ruleset.tables.filter(({ name }) => name === "filter") };
}

function interfaceNames(ruleset: Ruleset): string[] {
  const names = ruleset.tables
    .flatMap(({ chains }) => chains.flatMap(({ rules }) => rules.flatMap(({ matches }) => matches)))
    .flatMap((match) =>
      match.kind === "interface" ? [match.wildcard ? `${match.name}9` : match.name] : [],
    );
  const named = Object.values(ARRIVALS).flatMap((arrivals) => Object.keys(arrivals));
  return [...new Set(["lo", "other0", ...named, ...names])]
    .filter((name) => name !== "")
    .slice(0, 40);
}

/**
 * Which addresses arrive by which interface, where bounds take it so: their `-i eth0` has become these
 * addresses. All others arrive by the interfaces that are not named here.
 */
const ARRIVALS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "medium-sized-company": { eth0: "172.16.2.0/24", tun0: "192.168.255.0/24" },
  "openvpn.eu": { eth0: "192.168.0.0/24", eth1: "192.168.2.0/24" },
  "rlworkman.net": { eth0: "192.168.13.0/24" },
};

const LEFT_OUT: Readonly<Record<string, string>> = {
  config_home_user: "what its bounds take to lie behind which interface, the corpus does not tell",
  "linux.gda.pl": "it has options that iptables has taken back",
};

/** An interface by which a packet of this source arrives. */
function arrivalOf(source: string, names: readonly string[], dump: string, random: Random): string {
  if (source.startsWith("127.")) return "lo";
  const own = Object.entries(ARRIVALS[basename(dirname(dump))] ?? {});
  const [by] =
    own.find(([, text]) => prefixContains(prefixOfText(text), parseAddress(source)!)) ?? [];
  const others = names.filter((name) => name !== "lo" && !own.some(([each]) => each === name));
  return by ?? random.pick(others);
}

interface Bound {
  readonly dump: string;
  readonly hook: "INPUT" | "FORWARD";
  readonly lower: string | undefined;
  readonly upper: string | undefined;
}

function findBounds(): Bound[] {
  const files = dumpFiles(EXAMPLES);
  const bounds = files.filter((file) => /\.(lower|upper)$/.test(file));
  const stems = [...new Set(bounds.map((file) => file.replace(/\.(lower|upper)$/, "")))];
  const kept = stems.filter((stem) => !Object.hasOwn(LEFT_OUT, basename(dirname(stem))));
  return kept.map((stem) => {
    const folder = dirname(stem);
    const base = stem.replace(/\.Ln\.\w+$|\.\w+\.Ln$/, "");
    const own = files.filter((file) => dirname(file) === folder && !bounds.includes(file));
    const dump =
      own.find((file) => file === base) ??
      own.find((file) => /save|firewallp/.test(file) && !/src$/.test(file))!;
    return {
      dump,
      hook: /INP/.test(stem) ? "INPUT" : "FORWARD",
      lower: bounds.find((file) => file === `${stem}.lower`),
      upper: bounds.find((file) => file === `${stem}.upper`),
    };
  });
}

const have = haveDumps();

describe.skipIf(!have)("the bounds of Iptables_Semantics", () => {
  it.each(have ? findBounds() : [])(
    "hold for $hook of $dump",
    async ({ dump, hook, lower, upper }) => {
      const random = makeRandom(7);
      const read = (file: string | undefined): SimpleRule[] | undefined =>
        file === undefined ? undefined : parseSimple(dumpText(file), hook);
      const [low, high] = [read(lower), read(upper)];
      const ruleset = loadFilter(dump);
      const names = interfaceNames(ruleset);
      const packets = randomPackets(random, [...(low ?? []), ...(high ?? [])], hook);
      const found = { accepted: 0, dropped: 0, wrong: [] as string[] };
      for (const out of random.some(names.slice(1), 3, 3)) {
        const arriving = packets.map(({ source }) =>
          names.indexOf(arrivalOf(source, names, dump, random)),
        );
        const frames = packets.map((packet, index) => ({
          bytes: buildFrame({ ...packet, flags: "S" }),
          // Far apart: what one began is forgotten when the next comes.
          timestampNs: BigInt(index) * 1_000_000_000_000n,
          captureInterface: arriving[index]!,
        }));
        const topology = topologyFor(hook, packets, names, out);
        const capture = buildPcapng(frames, names);
        const verdicts = await judgeCapture({
          compiled: { rulesets: [ruleset], topology },
          capture,
        });
        for (const [index, { verdict, reason, hook: where }] of verdicts.entries()) {
          const packet = packets[index]!;
          // What the stack discards, no rule sees.
          if (reason !== "rule" && reason !== "chain-policy") continue;
          if (verdict !== "allow" && where !== hook) continue;
          const what = `${JSON.stringify(packet)} from ${names[arriving[index]!]} to ${out}: ${verdict}`;
          if (low !== undefined && accepts(low, packet) && verdict !== "allow")
            found.wrong.push(`lower accepts ${what}`);
          if (high !== undefined && verdict === "allow" && !accepts(high, packet))
            found.wrong.push(`upper drops ${what}`);
          if (verdict === "allow") found.accepted += 1;
          else found.dropped += 1;
        }
      }
      expect(found.wrong.slice(0, 5)).toEqual([]);
      expect(found.accepted + found.dropped).toBeGreaterThan(0);
    },
    60_000,
  );
});
