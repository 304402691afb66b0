/**
 * Rules of a node's dumps that no packet can match, and chains and sets that are of no use: proved by what is
 * written, whatever the traffic.
 */
import { formatPlace } from "../errors.ts";
import type { Place } from "../errors.ts";
import type { InterfaceMatch } from "../match/interface.ts";
import type { Match } from "../match/index.ts";
import type { AddressMatch } from "../match/address.ts";
import type { PortCondition, PortMatch } from "../match/port.ts";
import { setNameOf } from "../match/set.ts";
import { prefixContains, type Family } from "../net/address.ts";
import type { Chain, Rule, Ruleset, Table } from "../tables/model.ts";
import type { Target } from "../target/index.ts";
import { compareFindings } from "./finding.ts";
import type { Finding } from "./finding.ts";

/** Pairs of rules that are compared: some seconds. */
const PAIRS_MAX = 5_000_000;
const TOO_MANY_PAIRS =
  "Rules that earlier ones cover were looked for in a part of the chains only: all of them would take too long.";

/** Kubelet and kube-proxy look whether these are still there, and never fill them. */
const CANARY = /^KUBE-.*CANARY$/;

/** Looks at all tables of a node: what was found, and sentences about what was not looked at. */
export function lintRulesets(rulesets: readonly Ruleset[]): {
  readonly findings: readonly Finding[];
  readonly limits: readonly string[];
} {
  const budget = { pairs: PAIRS_MAX };
  const tables = rulesets.flatMap((ruleset) => ruleset.tables);
  const findings = tables.flatMap((table) => [
    ...table.chains.flatMap((chain) => [...unmatchedRules(table, chain, budget)]),
    ...emptyJumps(table),
    ...unusedChains(table),
  ]);
  return {
    findings: [...findings, ...unusedSets(rulesets)].sort(compareFindings),
    limits: budget.pairs < 0 ? [TOO_MANY_PAIRS] : [],
  };
}

// ── Rules ─────────────────────────────────────────────────────────────────────────────────────────────

/** A rule by its place in the chain, from 1. */
interface NumberedRule {
  readonly number: number;
  readonly rule: Rule;
}

/** Finds UNREACHED_RULE and COVERED_RULE. */
function* unmatchedRules(
  table: Table,
  { name, rules }: Chain,
  budget: { pairs: number },
): Generator<Finding> {
  const where = `${table.name}:${name}`;
  const covers: NumberedRule[] = [];
  for (const [index, rule] of rules.entries()) {
    budget.pairs -= covers.length;
    if (budget.pairs < 0) return;
    const numbered = { number: index + 1, rule };
    const cover = covers.find((each) => ruleCovers(each.rule, rule));
    if (cover !== undefined) {
      yield coveredRule(where, numbered, cover);
      continue;
    }
    if (!isFinal(rule.target) || !rule.matches.every(isPlain)) continue;
    if (!takesEverything(rule)) {
      covers.push(numbered);
      continue;
    }
    const behind = rules[index + 1];
    if (behind !== undefined) yield unreachedRules(where, numbered, rules.length, behind);
    return;
  }
}

function coveredRule(where: string, { number, rule }: NumberedRule, cover: NumberedRule): Finding {
  const same = isSame(rule.target, cover.rule.target);
  const tail = same ? ", and does the same" : "";
  return {
    code: "COVERED_RULE",
    severity: same ? "note" : "warning",
    message: `rule ${number} of ${where} never matches: rule ${cover.number}${at(cover.rule.place)} takes all that it would${tail}`,
    place: rule.place,
  };
}

function unreachedRules(
  where: string,
  { number, rule }: NumberedRule,
  last: number,
  { place }: Rule,
): Finding {
  const first = number + 1;
  const what =
    first === last ? `rule ${first} of ${where} is` : `rules ${first} to ${last} of ${where} are`;
  return {
    code: "UNREACHED_RULE",
    severity: "warning",
    message: `${what} never reached: rule ${number}${at(rule.place)} takes every packet`,
    place,
  };
}

function at(place: Place | undefined): string {
  if (place?.line === undefined) return "";
  return ` (${formatPlace({ file: place.file, line: place.line })})`;
}

/** Tells whether no packet comes to the rules behind it. */
export function takesEverything({ target, matches }: Rule): boolean {
  return isFinal(target) && matches.every(({ kind }) => kind === "comment");
}

/** No later rule of the chain sees what such a rule matched. */
function isFinal(target: Target | undefined): boolean {
  switch (target?.kind) {
    case "ACCEPT":
    case "DROP":
    case "REJECT":
    case "RETURN":
    case "GOTO":
      return true;
    default:
      return false;
  }
}

// ── Matches ───────────────────────────────────────────────────────────────────────────────────────────

/** Says the same of a packet whenever it is asked: it remembers nothing, and no rule changes what it looks at. */
function isPlain(match: Match): boolean {
  switch (match.kind) {
    case "address":
    case "comment":
    case "icmp":
    case "interface":
    case "multiport":
    case "protocol":
      return true;
    case "port":
      // TCPOPTSTRIP takes options out of the header.
      return match.option === undefined;
    default:
      return false;
  }
}

/** Tells whether the first rule, of plain matches, matches all that the second does. `false`: not proved. */
function ruleCovers(wide: Rule, narrow: Rule): boolean {
  return wide.matches.every(
    (match) =>
      match.kind === "comment" || narrow.matches.some((other) => matchCovers(match, other)),
  );
}

function matchCovers(wide: Match, narrow: Match): boolean {
  if (wide.kind === "address" && narrow.kind === "address") {
    // Most pairs are told apart by this, without comparing them as texts.
    if (wide.side !== narrow.side || wide.invert !== narrow.invert) return false;
    if (addressCovers(wide, narrow)) return true;
    if (!wide.invert && wide.mask === undefined && narrow.mask === undefined) return false;
  } else if (wide.kind === "interface" && narrow.kind === "interface") {
    if (interfaceCovers(wide, narrow)) return true;
  } else if (wide.kind === "port" && narrow.kind === "port") {
    if (portCovers(wide, narrow)) return true;
  }
  return wide.kind === narrow.kind && isSame(wide, narrow);
}

function addressCovers(wide: AddressMatch, narrow: AddressMatch): boolean {
  return (
    wide.side === narrow.side &&
    !wide.invert &&
    !narrow.invert &&
    wide.mask === undefined &&
    narrow.mask === undefined &&
    wide.prefix.bits <= narrow.prefix.bits &&
    prefixContains(wide.prefix, narrow.prefix.address)
  );
}

function interfaceCovers(wide: InterfaceMatch, narrow: InterfaceMatch): boolean {
  return (
    wide.side === narrow.side &&
    !wide.invert &&
    !narrow.invert &&
    wide.wildcard &&
    narrow.name.startsWith(wide.name)
  );
}

/** Of ports alone: what else a header has must be asked for in the same words. */
function portCovers(wide: PortMatch, narrow: PortMatch): boolean {
  const { flags, option, chunks, types } = wide;
  return (
    wide.protocol === narrow.protocol &&
    [flags, option, chunks, types].every((asked) => asked === undefined) &&
    portsCover(wide.sport, narrow.sport) &&
    portsCover(wide.dport, narrow.dport)
  );
}

function portsCover(wide: PortCondition | undefined, narrow: PortCondition | undefined): boolean {
  if (wide === undefined) return true;
  if (narrow === undefined || wide.invert || narrow.invert) return isSame(wide, narrow);
  return wide.first <= narrow.first && narrow.last <= wide.last;
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

// ── Chains and sets ───────────────────────────────────────────────────────────────────────────────────

/** Finds EMPTY_CHAIN: going to an empty chain ends this one, a jump does nothing. */
function* emptyJumps({ name, chains }: Table): Generator<Finding> {
  const empty = new Set(chains.filter(({ rules }) => rules.length === 0).map((each) => each.name));
  for (const chain of chains) {
    for (const [index, { target, place }] of chain.rules.entries()) {
      if (target?.kind !== "JUMP" || !empty.has(target.chain)) continue;
      yield {
        code: "EMPTY_CHAIN",
        severity: "note",
        message: `rule ${index + 1} of ${name}:${chain.name} does nothing: chain ${target.chain} has no rules`,
        place,
      };
    }
  }
}

/** Finds UNUSED_CHAIN. */
function* unusedChains({ name: table, chains }: Table): Generator<Finding> {
  const byName = new Map(chains.map((chain) => [chain.name, chain]));
  const open = chains.filter(({ policy }) => policy !== undefined);
  const used = new Set(open);
  for (let chain = open.pop(); chain !== undefined; chain = open.pop()) {
    for (const { target } of chain.rules) {
      if (target?.kind !== "JUMP" && target?.kind !== "GOTO") continue;
      const next = byName.get(target.chain);
      if (next === undefined || used.has(next)) continue;
      used.add(next);
      open.push(next);
    }
  }
  for (const chain of chains) {
    if (used.has(chain) || CANARY.test(chain.name)) continue;
    const message = `no built-in chain of table ${table} leads to chain ${chain.name}`;
    yield { code: "UNUSED_CHAIN", severity: "note", message, place: chain.place };
  }
}

/** Finds UNUSED_SET, of the families whose tables were given. */
function* unusedSets(rulesets: readonly Ruleset[]): Generator<Finding> {
  const families = new Set(rulesets.map(({ family }) => family));
  const sets = new Map(rulesets.flatMap((ruleset) => ruleset.sets.map((set) => [set.name, set])));
  const named = new Set([
    ...rulesets.flatMap(({ family, tables }) =>
      tables
        .flatMap(({ chains }) => chains.flatMap(({ rules }) => rules))
        .flatMap((rule) => setsOfRule(rule, family)),
    ),
    ...[...sets.values()].flatMap((set) =>
      set.kind === "entries" ? set.entries.flatMap(({ member }) => member ?? []) : [],
    ),
  ]);
  for (const set of sets.values()) {
    const { name, family } = set;
    const given = family === undefined ? families.size === 2 : families.has(family);
    if (!given || named.has(name)) continue;
    const message = `no rule names set ${name}, and no list holds it`;
    const place = set.kind === "entries" ? set.place : undefined;
    yield { code: "UNUSED_SET", severity: "note", message, place };
  }
}

function setsOfRule({ matches, target }: Rule, family: Family): string[] {
  const ofTarget = target?.kind === "SET" ? [target.add, target.delete, target.map] : [];
  return [
    ...matches.flatMap((match) => (match.kind === "set" ? setNameOf(match.set, family) : [])),
    ...ofTarget.flatMap((place) => place?.set ?? []),
  ];
}
