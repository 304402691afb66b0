/**
 * The comments by which Felix knows its own rules again: `cali:` and a hash of the rule's text and of all
 * before it in the chain. Made for the text of tables only; they decide nothing.
 * Source: felix/generictables/rules.go, RuleHashes; felix/iptables/renderer.go, match_builder.go, actions.go.
 *
 * Of a protocol Felix writes what the policy does, a name or a number; here it is a name where there is one.
 */
import { sha224 } from "@noble/hashes/sha2.js";
import type { Match } from "../match/index.ts";
import { renderMatch } from "../match/index.ts";
import { formatPrefix } from "../net/address.ts";
import type { Family } from "../net/address.ts";
import type { Target } from "../target/index.ts";
import { renderTarget } from "../target/index.ts";
import { renderTables } from "./iptables.ts";
import { isPrinted } from "./model.ts";
import type { Chain, Rule, Ruleset, TableName } from "./model.ts";
import { base64Url, CHAIN_PREFIX } from "./names.ts";
import { MARK_SCRATCH0, MARK_SCRATCH1 } from "./rule.ts";
import { TextDigest } from "./text-digest.ts";

/** Bytes of a hash that are shown, in 16 characters. */
const SHOWN = 12;

const SHA224 = new TextDigest(() => sha224.create());

/** Renders one family's tables, where every rule of Felix's has its comment. */
export function renderHashedTables(ruleset: Ruleset): string {
  const { family } = ruleset;
  return renderTables(ruleset, (chain, table) => hashedRules(chain, { family, table }));
}

function hashedRules(
  chain: Chain,
  { family, table }: { readonly family: Family; readonly table: TableName },
): readonly Rule[] {
  const rules = chain.rules.filter(isPrinted);
  if (chain.policy === undefined) {
    return chain.name.startsWith(CHAIN_PREFIX) ? hashRules(chain.name, rules, family) : rules;
  }
  // Of a built-in chain Felix has what it puts first and what it puts last, each hashed by itself.
  const jumps = rules.filter(isOwnJump);
  // > Sources are translated behind what others translate.
  const last = table === "nat" && chain.name === "POSTROUTING";
  const inserted = last ? [] : jumps;
  const appended = last ? jumps : rules.filter(isAppended);
  const hashed = new Map([
    ...zip(inserted, hashRules(chain.name, inserted, family)),
    ...zip(appended, hashRules(`${chain.name}*appends*`, appended, family)),
  ]);
  return rules.map((rule) => hashed.get(rule) ?? rule);
}

function isOwnJump({ target }: Rule): boolean {
  return target?.kind === "JUMP" && target.chain.startsWith(CHAIN_PREFIX);
}

/** kube-proxy's rules there only jump. */
function isAppended({ target }: Rule): boolean {
  return target?.kind === "ACCEPT" || target?.kind === "MARK";
}

function zip<A, B>(keys: readonly A[], values: readonly B[]): (readonly [A, B])[] {
  return keys.flatMap((key, index) => {
    const value = values[index];
    return value === undefined ? [] : [[key, value] as const];
  });
}

function hashRules(chain: string, rules: readonly Rule[], family: Family): Rule[] {
  let hash = SHA224.of(chain);
  return rules.map((rule) => {
    hash = SHA224.of(felixText(chain, rule, family), hash);
    const text = `cali:${base64Url(hash.subarray(0, SHOWN))}`;
    return { ...rule, matches: [{ kind: "comment", text }, ...rule.matches] };
  });
}

/** The rule as Felix gives it to iptables-restore, with HASH in the place of the comment. */
function felixText(chain: string, rule: Rule, family: Family): string {
  const { matches, target, origin } = rule;
  const named =
    origin?.kind === "policy-rule" ||
    origin?.kind === "profile-rule" ||
    origin?.kind === "failsafe" ||
    matches.some(({ kind }) => kind === "port");
  const comments = matches.filter(({ kind }) => kind === "comment");
  const others = matches.filter(({ kind }) => kind !== "comment");
  // Prefixes of failsafe ports come behind the port.
  const ordered =
    origin?.kind === "failsafe"
      ? others.toSorted(
          (one, other) => Number(one.kind === "address") - Number(other.kind === "address"),
        )
      : named
        ? others.toSorted((one, other) => rankOf(one) - rankOf(other))
        : others;
  return [
    `-A ${chain} HASH`,
    ...comments.map((match) => renderMatch(match, family)),
    ...ordered.map((match) => matchText(match, { family, named })),
    ...(target === undefined ? [] : [targetText(target, family)]),
  ].join(" ");
}

/** The protocol, the source, the destination, ICMP; then the negated ones in the same order; then marks. */
function rankOf(match: Match): number {
  if (match.kind === "mark") return 20;
  const negated = "invert" in match && match.invert && match.kind !== "conntrack" ? 10 : 0;
  switch (match.kind) {
    case "protocol":
      return negated;
    case "address":
      return negated + (match.side === "src" ? 1 : 4);
    case "set":
      return negated + (match.flags[0] === "src" ? 2 : 5);
    case "multiport":
      return negated + (match.side === "src" ? 2 : 5);
    case "icmp":
      return negated + 7;
    case "rpfilter":
      return 21;
    default:
      return negated + 8;
  }
}

function matchText(
  match: Match,
  { family, named }: { readonly family: Family; readonly named: boolean },
): string {
  const not = "invert" in match && match.invert ? "! " : "";
  switch (match.kind) {
    case "mark":
      return match.value === 0
        ? `-m mark ${not}--mark 0/${hex(match.mask)}`
        : `-m mark ${not}--mark ${hex(match.value)}/${hex(match.mask)}`;
    case "interface":
      return `${not}--${match.side}-interface ${match.name}${match.wildcard ? "+" : ""}`;
    case "protocol":
      return `${not}-p ${(named ? PROTOCOL_NAMES.get(match.protocol) : undefined) ?? match.protocol}`;
    case "address": {
      const side = match.side === "src" ? "source" : "destination";
      return `${not}--${side} ${formatPrefix(match.prefix)}`;
    }
    case "multiport": {
      const side = match.side === "src" ? "source" : "destination";
      const ports = match.ports.map(({ first, last }) =>
        first === last ? `${first}` : `${first}:${last}`,
      );
      return `-m multiport ${not}--${side}-ports ${ports.join(",")}`;
    }
    case "port":
      return renderMatch(match, family).replace(/^-m \w+ /, "");
    case "icmp": {
      const code = match.code === undefined ? "" : `/${match.code}`;
      const option = family === 4 ? "-m icmp" : "-m icmp6";
      return `${option} ${not}--${family === 4 ? "icmp" : "icmpv6"}-type ${match.type}${code}`;
    }
    case "rpfilter":
      return "-m rpfilter --invert --validmark";
    default:
      return renderMatch(match, family);
  }
}

/** As libcalico-go writes the names that the API has. */
const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [1, "icmp"],
  [6, "tcp"],
  [17, "udp"],
  [58, "icmpv6"],
  [132, "sctp"],
  [136, "udplite"],
]);

function targetText(target: Target, family: Family): string {
  switch (target.kind) {
    case "JUMP":
      return `--jump ${target.chain}`;
    case "GOTO":
      return `--goto ${target.chain}`;
    case "MARK": {
      const { value, mask } = target;
      const clears = value === 0 && !BLOCK_BITS.has(mask);
      return `--jump MARK --set-mark ${clears ? "0" : hex(value)}/${hex(mask)}`;
    }
    default:
      return renderTarget(target, family).replace(/^-j /, "--jump ");
  }
}

/** Match blocks begin with a value for both bits, today's or those before 3.30; others are just cleared. */
const BLOCK_BITS: ReadonlySet<number> = new Set([
  MARK_SCRATCH0 | MARK_SCRATCH1,
  (MARK_SCRATCH0 | MARK_SCRATCH1) >>> 1,
]);

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}
