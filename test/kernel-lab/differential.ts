/**
 * A random node and random traffic, judged by this machine's kernel and by the matcher, which is given
 * what the kernel itself prints about the node: where the two differ, and the smallest case of it.
 */
import { parseNode } from "../../src/dump/node.ts";
import type { NodeText } from "../../src/dump/node-text.ts";
import type { Program } from "../../src/engine/program.ts";
import type { PacketVerdict } from "../../src/engine/verdict.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import { startLab, type LoadedState } from "../../src/lab/lab.ts";
import type { Backend } from "../../src/match/extension.ts";
import type { Family } from "../../src/net/address.ts";
import { judgeCapture } from "../judge.ts";
import { makeRandom } from "../random.ts";
import { changeRules, otherRules } from "./changed-rules.ts";
import { INTERFACES, ROUTES } from "./ground.ts";
import { randomRules, rulesText, type RandomRules, type RandomTable } from "./random-rules.ts";
import {
  captureOf,
  record,
  repeat,
  UNTOLD,
  type Places,
  type Recorded,
  type Recording,
} from "./recording.ts";

/** What is drawn. */
export interface Draw {
  readonly seed: number;
  readonly backend: Backend;
  readonly packets: number;
  /** Features of rules and of traffic. */
  readonly allowed: ReadonlySet<string>;
}

/** A node, what it says of itself, and what it made of its traffic. */
export interface Scene extends Recording {
  readonly rules: RandomRules;
  readonly loaded: LoadedState;
  /** What conntrack listed before the first of these packets; absent: nothing. */
  readonly connections?: string;
  /** What sysctl would print of the node; absent: nothing. */
  readonly switches?: string;
  /** Other rules decide from a packet on. */
  readonly turn?: RulesTurn;
}

/** Rules that take the place of others in mid-traffic. */
export interface RulesTurn {
  /** Number of the first packet that they decide, or of one that is not sent. */
  readonly number: number;
  readonly rules: RandomRules;
  readonly loaded: LoadedState;
}

/** A packet on which kernel and matcher differ. */
export interface Difference {
  readonly packet: Recorded;
  /** Position in the capture, from 1. */
  readonly position: number;
  /** An interface, `local` or `drop`. */
  readonly kernel: string;
  readonly ours: string;
  readonly verdict: PacketVerdict;
}

/** What comparing found. */
export interface Comparison {
  readonly compared: number;
  readonly dropped: number;
  readonly differences: readonly Difference[];
  /** How many packets are unknown, by reason. */
  readonly unknown: ReadonlyMap<string, number>;
  /** How often something was seen that a test should see: states, hooks, families. */
  readonly traits: ReadonlyMap<string, number>;
}

/** Draws a node and its traffic, and asks the kernel. */
export async function drawScene({ seed, backend, packets, allowed }: Draw): Promise<Scene> {
  const random = makeRandom(seed);
  const rules = randomRules(random, backend, allowed);
  const lab = await startLab(nodeOf(rules));
  try {
    const recording = await record(lab, random, packets, allowed);
    return { rules, loaded: lab.loaded, ...recording };
  } finally {
    await lab.close();
  }
}

/** The same with rules that are replaced by others when half of the packets were sent. */
export async function drawChange({ seed, backend, packets, allowed }: Draw): Promise<Scene> {
  const random = makeRandom(seed);
  const rules = randomRules(random, backend, allowed);
  const others = otherRules(random, backend, allowed, rules);
  const lab = await startLab(nodeOf(rules));
  try {
    let turn: RulesTurn | undefined;
    const act = (number: number): void => {
      turn = { number, rules: others, loaded: changeRules(lab, others) };
    };
    const interlude = { after: packets >> 1, act };
    const recording = await record(lab, random, packets, allowed, interlude);
    if (turn === undefined) throw new Error("the rules never changed");
    return { rules, loaded: lab.loaded, ...recording, turn };
  } finally {
    await lab.close();
  }
}

/**
 * Sends a scene's packets once more; those behind the middle are a scene of their own, which begins with
 * the connections of those before. Of TCP's windows a dump has nothing: here nobody looks at them.
 */
export async function secondHalf(scene: Scene): Promise<Scene> {
  const { rules, packets } = scene;
  const middle = packets.length >> 1;
  const sysctls = { "netfilter/nf_conntrack_tcp_be_liberal": 1 };
  const lab = await startLab({ ...nodeOf(rules), sysctls });
  try {
    await repeat(lab, packets.slice(0, middle));
    const connections = await lab.saveConnections();
    const rest = packets.slice(middle);
    const places = await repeat(lab, rest);
    const switches = "net.netfilter.nf_conntrack_tcp_be_liberal = 1";
    return { rules, loaded: lab.loaded, packets: rest, places, connections, switches };
  } finally {
    await lab.close();
  }
}

/** The node to set up for random rules. */
export function nodeOf(rules: RandomRules): Parameters<typeof startLab>[0] {
  const text = rulesText(rules);
  const tables = Object.keys(text.tables).length === 0 ? { legacy: { 4: "", 6: "" } } : text.tables;
  return { interfaces: INTERFACES, routes: ROUTES, sysctls: {}, ...text, tables };
}

/** Asks the matcher, and compares packet by packet. */
export async function compareScene(scene: Scene): Promise<Comparison> {
  const { packets, places } = scene;
  const verdicts = await judge(scene);
  const differences: Difference[] = [];
  const unknown = new Map<string, number>();
  const traits = new Map<string, number>();
  let dropped = 0;
  for (const [index, packet] of packets.entries()) {
    const verdict = verdicts[index];
    if (verdict === undefined) throw new Error(`packet ${index + 1} has no verdict`);
    const kernel = places[index] ?? "drop";
    const ours = verdict.verdict === "allow" ? (verdict.outInterface ?? "local") : verdict.verdict;
    if (kernel === "drop") dropped++;
    for (const trait of [verdict.ctState ?? "no state", verdict.hook ?? "no hook"]) {
      traits.set(trait, (traits.get(trait) ?? 0) + 1);
    }
    if (kernel === UNTOLD) continue;
    if (ours === "unknown") unknown.set(verdict.reason, (unknown.get(verdict.reason) ?? 0) + 1);
    else if (ours !== kernel) {
      differences.push({ packet, position: index + 1, kernel, ours, verdict });
    }
  }
  return { compared: packets.length, dropped, differences, unknown, traits };
}

/** The verdicts of the matcher that knows the node by its dumps. */
async function judge(scene: Scene): Promise<readonly PacketVerdict[]> {
  const { packets, turn } = scene;
  const asked = { compiled: programOf(scene.loaded, scene), capture: captureOf(packets) };
  if (turn === undefined) return judgeCapture(asked);
  const packet = turnOf(packets, turn.number) + 1;
  return judgeCapture({ ...asked, turn: { packet, program: programOf(turn.loaded) } });
}

/** How many packets come before the turn. */
function turnOf(packets: readonly Recorded[], number: number): number {
  const index = packets.findIndex((packet) => packet.number >= number);
  return index < 0 ? packets.length : index;
}

/** The node as its dumps tell it, with what conntrack listed and sysctl printed. */
export function programOf(
  loaded: LoadedState,
  { connections, switches }: Pick<Scene, "connections" | "switches"> = {},
): Program {
  const dumpsOf = (family: Family): NodeText[] =>
    Object.entries(loaded.tables).flatMap(([backend, texts]) => ({
      file: `ip${family === 6 ? "6" : ""}tables-${backend}-save`,
      text: texts[family],
      // Without any table there is no header that would say.
      ...(texts[family] === "" ? { backend: backend as Backend } : {}),
    }));
  return parseNode(
    {
      iptables: dumpsOf(4),
      ip6tables: dumpsOf(6),
      ipset: [{ file: "ipset-save", text: loaded.ipsets }],
      addresses: [{ file: "ip-addr.json", text: loaded.addresses }],
      routes: [{ file: "ip-route.json", text: loaded.routes }],
      conntrack: connections === undefined ? [] : [{ file: "conntrack", text: connections }],
      sysctl: switches === undefined ? [] : [{ file: "sysctl", text: switches }],
      backend: undefined,
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") throw new Error(formatDiagnostic(diagnostic));
    },
  );
}

/** A case that still differs, and where. */
export interface SmallCase {
  readonly scene: Scene;
  readonly difference: Difference;
}

/**
 * Takes packets, rules and sets away as long as kernel and matcher go on differing on one packet.
 *
 * @param until milliseconds since 1970 after which the smallest case so far is good enough
 */
export async function shrinkScene(
  scene: Scene,
  difference: Difference,
  until: number,
): Promise<SmallCase> {
  let best: SmallCase = { scene, difference };
  const { number } = difference.packet;
  const tryCase = async (
    rules: RandomRules,
    packets: readonly Recorded[],
    later = best.scene.turn?.rules,
  ): Promise<boolean> => {
    if (Date.now() > until) return false;
    const turn = scene.turn && later && { number: scene.turn.number, rules: later };
    const found = await differsStill(rules, packets, number, turn).catch(() => undefined);
    if (found === undefined) return false;
    best = found;
    return true;
  };
  await tryCase(scene.rules, scene.packets.slice(0, difference.position));
  // What costs least to try and takes most away comes first.
  await tryCase({ ...best.scene.rules, sets: [] }, best.scene.packets);
  await shrinkList(
    () => best.scene.rules.tables,
    (tables) => tryCase({ ...best.scene.rules, tables }, best.scene.packets),
  );
  await shrinkList(
    () => best.scene.packets,
    (packets) => tryCase(best.scene.rules, packets),
  );
  for (const table of best.scene.rules.tables.keys()) {
    await shrinkTable(
      () => best.scene.rules.tables[table]!,
      (shorter) => {
        const tables = best.scene.rules.tables.map((each, at) => (at === table ? shorter : each));
        return tryCase({ ...best.scene.rules, tables }, best.scene.packets);
      },
    );
  }
  for (const table of best.scene.turn?.rules.tables.keys() ?? []) {
    await shrinkTable(
      () => best.scene.turn!.rules.tables[table]!,
      (shorter) => {
        const later = best.scene.turn!.rules;
        const tables = later.tables.map((each, at) => (at === table ? shorter : each));
        return tryCase(best.scene.rules, best.scene.packets, { ...later, tables });
      },
    );
  }
  await shrinkList(
    () => best.scene.rules.sets,
    (sets) => tryCase({ ...best.scene.rules, sets }, best.scene.packets),
  );
  await shrinkList(
    () => best.scene.packets,
    (packets) => tryCase(best.scene.rules, packets),
  );
  return best;
}

/** Whole chains first, then their rules. */
async function shrinkTable(
  now: () => RandomTable,
  fails: (shorter: RandomTable) => Promise<boolean>,
): Promise<void> {
  const withRules = (chain: number, rules: readonly string[]): RandomTable => ({
    ...now(),
    chains: now().chains.map((each, at) => (at === chain ? { ...each, rules } : each)),
  });
  for (const chain of now().chains.keys()) {
    if ((now().chains[chain]?.rules.length ?? 0) > 0) await fails(withRules(chain, []));
  }
  for (const chain of now().chains.keys()) {
    await shrinkList(
      () => now().chains[chain]?.rules ?? [],
      (rules) => fails(withRules(chain, rules)),
    );
  }
  const called = new Set(
    now().chains.flatMap(({ rules }) => rules.flatMap((rule) => rule.split(" "))),
  );
  await fails({
    ...now(),
    chains: now().chains.filter(({ name, policy }) => policy !== "-" || called.has(name)),
  });
}

async function differsStill(
  rules: RandomRules,
  packets: readonly Recorded[],
  number: number,
  turn: Omit<RulesTurn, "loaded"> | undefined,
): Promise<SmallCase | undefined> {
  const lab = await startLab(nodeOf(rules));
  let scene: Scene;
  try {
    const first = turn === undefined ? packets.length : turnOf(packets, turn.number);
    const before: Places = await repeat(lab, packets.slice(0, first));
    scene = { rules, loaded: lab.loaded, packets, places: before };
    if (turn !== undefined) {
      const loaded = changeRules(lab, turn.rules);
      const after = await repeat(lab, packets.slice(first));
      scene = { ...scene, places: [...before, ...after], turn: { ...turn, loaded } };
    }
  } finally {
    await lab.close();
  }
  const { differences } = await compareScene(scene);
  const difference = differences.find(({ packet }) => packet.number === number);
  return difference === undefined ? undefined : { scene, difference };
}

/** Takes halves, quarters, ... and at last single items away. */
async function shrinkList<T>(
  now: () => readonly T[],
  fails: (shorter: readonly T[]) => Promise<boolean>,
): Promise<void> {
  for (let size = Math.ceil(now().length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < now().length;) {
      const list = now();
      const shorter = [...list.slice(0, at), ...list.slice(at + size)];
      if (!(await fails(shorter))) at += size;
    }
  }
}

/** How many packets of a case that could not be made small are worth reading. */
const LAST_PACKETS = 12;

/** A case in words: tables, sets, packets, and what each side says of the last. */
export function describeCase({ scene, difference }: SmallCase): string {
  const { kernel, ours, verdict, position } = difference;
  const tables = [scene.loaded, ...(scene.turn === undefined ? [] : [scene.turn.loaded])].flatMap(
    (loaded) =>
      Object.entries(loaded.tables).flatMap(([backend, texts]) =>
        ([4, 6] as const).map((family) => `## ${backend}, IPv${family}\n${rulesOf(texts[family])}`),
      ),
  );
  const lines = scene.packets.map(
    ({ arrival, bytes }, index) =>
      `${index + 1} by ${arrival ?? "the node"}, kernel ${scene.places[index] ?? "drop"}: ${Buffer.from(bytes).toString("hex")}`,
  );
  return [
    `packet ${position}: kernel ${kernel}, ours ${ours} (${verdict.reason}, ${verdict.ctState ?? "no state"} at ${verdict.hook ?? "no hook"}, ` +
      `${verdict.rule?.table ?? ""}:${verdict.rule?.chain ?? ""}:${verdict.rule?.number ?? ""}${verdict.duplicateOf === undefined ? "" : `, duplicate of ${verdict.duplicateOf}`})`,
    ...tables,
    (scene.turn?.loaded ?? scene.loaded).ipsets,
    ...(scene.turn === undefined
      ? []
      : [`the second rules come behind packet ${turnOf(scene.packets, scene.turn.number)}`]),
    ...(lines.length > LAST_PACKETS ? [`(${lines.length - LAST_PACKETS} packets before)`] : []),
    ...lines.slice(-LAST_PACKETS),
  ].join("\n");
}

/** Without comments and empty built-in chains. */
function rulesOf(text: string): string {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .join("\n");
}
