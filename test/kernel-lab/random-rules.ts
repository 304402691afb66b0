/**
 * Seeded random rule sets as plain data: tables of chains of rule texts, with sets, for both families and
 * one or both backends. The kernel accepts every one of them.
 */
import type { Backend } from "../../src/match/extension.ts";
import type { Family } from "../../src/net/address.ts";
import type { FamilyTexts, LabNode } from "../../src/lab/lab.ts";
import type { Hook, TableName } from "../../src/tables/model.ts";
import type { Random } from "../random.ts";
import { BLOCKS, INTERFACES, PLAIN_PROTOCOLS, addressesOf } from "./ground.ts";
import { MATCH_FEATURES, maybeNot, randomMatches, type RuleDraft } from "./random-matches.ts";
import { randomSets, setsText, type RandomSet } from "./random-sets.ts";
import { TARGET_FEATURES, randomChange, randomEnd } from "./random-targets.ts";

/** All tables of a node. */
export interface RandomRules {
  readonly sets: readonly RandomSet[];
  readonly tables: readonly RandomTable[];
}

export interface RandomTable {
  readonly backend: Backend;
  readonly family: Family;
  readonly name: TableName;
  readonly chains: readonly RandomChain[];
}

export interface RandomChain {
  readonly name: string;
  /** `-` for user chains. */
  readonly policy: string;
  /** What follows `-A CHAIN`. */
  readonly rules: readonly string[];
}

/** Everything that can be left out by name. */
export const FEATURES: readonly string[] = [
  ...MATCH_FEATURES,
  ...TARGET_FEATURES,
  "source",
  "destination",
  "interface",
  "protocol",
  "goto",
  "policy-drop",
  "odd-mask",
  "security",
  "both-backends",
];

/** What only the kernel's own instance can answer, or what the emulator says it cannot. */
export const LEFT_OUT_BY_DEFAULT: readonly string[] = [];

const HOOKS: Readonly<Record<TableName, readonly Hook[]>> = {
  raw: ["PREROUTING", "OUTPUT"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
  filter: ["INPUT", "FORWARD", "OUTPUT"],
  security: ["INPUT", "FORWARD", "OUTPUT"],
};

/** Chains of one group are reached from these hooks: some matches and targets belong to some hooks. */
const GROUPS: Readonly<Record<TableName, readonly (readonly Hook[])[]>> = {
  raw: [["PREROUTING"], ["PREROUTING", "OUTPUT"]],
  mangle: [["PREROUTING", "INPUT", "FORWARD"], ["OUTPUT", "POSTROUTING"], HOOKS.mangle],
  nat: [["PREROUTING", "OUTPUT"], ["INPUT", "POSTROUTING"], ["POSTROUTING"]],
  filter: [["INPUT", "FORWARD"], HOOKS.filter],
  security: [["FORWARD"], HOOKS.security],
};

const PROTOCOLS: Readonly<Record<Family, readonly string[]>> = {
  4: ["tcp", "tcp", "tcp", "udp", "udp", "icmp", "sctp", "esp", ...PLAIN_PROTOCOLS.map(String)],
  6: [
    "tcp",
    "tcp",
    "tcp",
    "udp",
    "udp",
    "ipv6-icmp",
    "sctp",
    "esp",
    ...PLAIN_PROTOCOLS.map(String),
  ],
};

interface Scene {
  readonly random: Random;
  readonly backend: Backend;
  readonly family: Family;
  readonly table: TableName;
  readonly sets: readonly RandomSet[];
  readonly allowed: ReadonlySet<string>;
}

/** Draws rules of the features allowed, for one backend or, sometimes, a little for the other too. */
export function randomRules(
  random: Random,
  backend: Backend,
  allowed: ReadonlySet<string>,
): RandomRules {
  const sets = allowed.has("set") || allowed.has("set-target") ? randomSets(random, 6) : [];
  const other: Backend = backend === "legacy" ? "nft" : "legacy";
  const both = allowed.has("both-backends") && random.chance(0.15);
  const backends = both ? [backend, other] : [backend];
  const tables = backends.flatMap((each) =>
    ([4, 6] as const).flatMap((family) =>
      tableNames(random, allowed).map((name) =>
        randomTable({ random, backend: each, family, table: name, sets, allowed }),
      ),
    ),
  );
  return { sets, tables };
}

function tableNames(random: Random, allowed: ReadonlySet<string>): TableName[] {
  const shares: readonly (readonly [TableName, number])[] = [
    ["raw", 0.5],
    ["mangle", 0.6],
    ["nat", 0.6],
    ["filter", 0.95],
    ["security", allowed.has("security") ? 0.2 : 0],
  ];
  return shares.filter(([, share]) => random.chance(share)).map(([name]) => name);
}

function randomTable(scene: Scene): RandomTable {
  const { random, table, backend, family } = scene;
  const groups = GROUPS[table];
  // Only chains further down are called: there are no loops.
  const users = Array.from({ length: random.below(6) }, (_, index) => ({
    name: `u${index}-${random.pick(["in", "out", "any", "a"])}`,
    hooks: random.pick(groups),
  }));
  const builtIn = HOOKS[table].map((hook): RandomChain => ({
    name: hook,
    policy: chainPolicy(scene, hook),
    rules: randomChain(scene, { hooks: [hook], builtIn: true, callees: users }),
  }));
  const own = users.map(({ name, hooks }, index): RandomChain => ({
    name,
    policy: "-",
    rules: randomChain(scene, { hooks, builtIn: false, callees: users.slice(index + 1) }),
  }));
  return { backend, family, name: table, chains: [...builtIn, ...own] };
}

function chainPolicy({ random, table, allowed }: Scene, hook: Hook): string {
  const drops = table === "filter" || (table === "security" && hook === "FORWARD");
  return drops && allowed.has("policy-drop") && random.chance(0.2) ? "DROP" : "ACCEPT";
}

interface ChainPlace {
  readonly hooks: readonly Hook[];
  readonly builtIn: boolean;
  /** User chains that may be called. */
  readonly callees: readonly { readonly name: string; readonly hooks: readonly Hook[] }[];
}

function randomChain(scene: Scene, place: ChainPlace): string[] {
  const count = 1 + scene.random.below(place.builtIn ? 8 : 6);
  const rules = Array.from({ length: count }, () => randomRule(scene, place));
  // Else nearly nothing that is said by a server would come through a chain that drops at its end.
  const { random, table, allowed } = scene;
  if (table === "filter" && place.builtIn && allowed.has("ctstate") && random.chance(0.3)) {
    rules.unshift("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
  }
  return rules;
}

function randomRule(scene: Scene, { hooks, builtIn, callees }: ChainPlace): string {
  const { random, family, backend, table, sets, allowed } = scene;
  const base: string[] = [];
  const protocol =
    allowed.has("protocol") && random.chance(0.65) ? random.pick(PROTOCOLS[family]) : undefined;
  const inverted = protocol !== undefined && random.chance(0.1);
  const rule: RuleDraft = {
    random,
    family,
    backend,
    table,
    hooks,
    builtIn,
    protocol: inverted ? undefined : protocol,
    sets,
  };
  for (const [feature, option] of [
    ["source", "-s"],
    ["destination", "-d"],
  ] as const) {
    if (!allowed.has(feature) || !random.chance(0.2)) continue;
    base.push(`${maybeNot(random)}${option} ${randomBlock(scene)}`);
  }
  if (allowed.has("interface")) base.push(...interfaceWords(rule));
  if (protocol !== undefined) base.push(`${inverted ? "! " : ""}-p ${protocol}`);
  const fitting = callees.filter((callee) => hooks.every((hook) => callee.hooks.includes(hook)));
  const jump = fitting.length > 0 && random.chance(0.3);
  const change = !jump && random.chance(0.4);
  // What ends a packet's way early has to be picky, else nothing gets further.
  const early = table === "raw" || table === "mangle" || table === "security";
  const least = jump || change ? 0 : early ? 2 : 1;
  const most = Math.max(0, least + random.below(3) - (base.length > 1 ? 1 : 0));
  const matches = randomMatches(rule, most, allowed);
  const target = jump
    ? `${allowed.has("goto") && random.chance(0.3) ? "-g" : "-j"} ${random.pick(fitting).name}`
    : change
      ? randomChange(rule, allowed)
      : endFor(rule, base.length + matches.length, allowed);
  const kept = matches.filter((match) => !isLostBefore(match, target));
  return [...base, ...kept, target].filter((word) => word !== "").join(" ");
}

/** iptables-nft-save prints one condition on TCP flags where a rule has two: its dump is another rule. */
function isLostBefore(match: string, target: string): boolean {
  return target.startsWith("-m tcp ") && /^-m tcp .*--(syn|tcp-flags)/.test(match);
}

/** A rule without any condition never ends all packets' way. */
function endFor(rule: RuleDraft, conditions: number, allowed: ReadonlySet<string>): string {
  if (conditions === 0) return randomChange(rule, allowed);
  return randomEnd(rule, allowed);
}

function interfaceWords({ random, hooks, builtIn }: RuleDraft): string[] {
  const words: string[] = [];
  const name = (): string =>
    random.pick([...INTERFACES.map((each) => each.name), "cali+", "eth+", "cali1+", "+", "lo"]);
  const [hook] = hooks;
  const noIn = builtIn && (hook === "OUTPUT" || hook === "POSTROUTING");
  const noOut = builtIn && (hook === "PREROUTING" || hook === "INPUT");
  if (!noIn && random.chance(0.15)) words.push(`${maybeNot(random)}-i ${name()}`);
  if (!noOut && random.chance(0.15)) words.push(`${maybeNot(random)}-o ${name()}`);
  return words.map((word) => (word.endsWith(" +") ? word.replace("! ", "") : word));
}

function randomBlock({ random, family, allowed }: Scene): string {
  if (family === 4 && allowed.has("odd-mask") && random.chance(0.1)) {
    return random.pick(["10.65.0.1/255.255.0.255", "0.0.0.1/0.0.0.1", "192.0.0.10/255.0.0.255"]);
  }
  return random.chance(0.5) ? random.pick(addressesOf(family)) : random.pick(BLOCKS[family]);
}

/** What the restore commands read, by backend. */
export function rulesText({ sets, tables }: RandomRules): Pick<LabNode, "tables" | "ipsets"> {
  const textOf = (backend: Backend, family: Family): string =>
    tables
      .filter((table) => table.backend === backend && table.family === family)
      .map(tableText)
      .join("");
  const both = (backend: Backend): FamilyTexts => ({
    4: textOf(backend, 4),
    6: textOf(backend, 6),
  });
  const backends = new Set(tables.map(({ backend }) => backend));
  return {
    ipsets: setsText(sets),
    tables: {
      ...(backends.has("legacy") ? { legacy: both("legacy") } : {}),
      ...(backends.has("nft") ? { nft: both("nft") } : {}),
    },
  };
}

function tableText({ name, chains }: RandomTable): string {
  const lines = [
    `*${name}`,
    ...chains.map((chain) => `:${chain.name} ${chain.policy} [0:0]`),
    ...chains.flatMap((chain) => chain.rules.map((rule) => `-A ${chain.name} ${rule}`)),
    "COMMIT",
  ];
  return lines.map((line) => `${line}\n`).join("");
}
