/**
 * Aims at rules: the conditions on one way from a built-in chain down to a rule, as a wish for a packet.
 * What a wish leaves open, and what it cannot say (negations, states, marks), is left to chance.
 */
import type { Program } from "../engine/program.ts";
import type { Match } from "../match/index.ts";
import { setNameOf } from "../match/set.ts";
import type { Family } from "../net/address.ts";
import type { IpSet, Rule, Ruleset, Table } from "../tables/model.ts";
import type { Random } from "./random.ts";
import type { Wish } from "./wish.ts";
import { wishMember, wishPorts, wishPrefix } from "./wish.ts";

/** Draws a wish; undefined where no way leads to the rule that was drawn. */
export type Aim = (random: Random) => Wish | undefined;

/** A rule and where it stands. */
interface Spot {
  readonly rule: Rule;
  readonly chain: string;
}

/** The rules of one table. */
interface Ground {
  readonly ruleset: Ruleset;
  /** Those that are aimed at. */
  readonly spots: readonly Spot[];
  /** Those that lead to a chain, by the chain. */
  readonly waysTo: ReadonlyMap<string, readonly Spot[]>;
  readonly builtIn: ReadonlySet<string>;
  readonly sets: ReadonlyMap<string, IpSet>;
}

/** Ways longer than this are given up. */
const WAY_MAX = 64;

/**
 * Makes the aim at a program's rules of these families. Of a cluster's tables they are those that let
 * something in or out; every one is as likely as another.
 */
export function aimAt({ rulesets }: Program, families: readonly Family[]): Aim {
  // Answers of translated connections come from elsewhere: nat is not aimed at.
  const grounds = rulesets
    .filter(({ family }) => families.includes(family))
    .flatMap((ruleset) =>
      ruleset.tables.filter(({ name }) => name !== "nat").map((table) => groundOf(ruleset, table)),
    );
  const total = grounds.reduce((sum, { spots }) => sum + spots.length, 0);
  return (random) => {
    let left = random.below(total);
    const ground = grounds.find(({ spots }) => (left -= spots.length) < 0);
    return ground === undefined ? undefined : wishOnWay(ground, random);
  };
}

function groundOf(ruleset: Ruleset, { chains }: Table): Ground {
  const all = chains.flatMap(({ name, rules }) => rules.map((rule) => ({ rule, chain: name })));
  const allowing = all.filter(({ rule: { origin } }) => {
    return origin?.kind === "policy-rule" && origin.effect === "allow";
  });
  return {
    ruleset,
    spots: allowing.length > 0 ? allowing : all.filter(({ rule }) => nextChain(rule) === undefined),
    waysTo: Map.groupBy(all, ({ rule }) => nextChain(rule) ?? ""),
    builtIn: new Set(
      chains.filter(({ policy }) => policy !== undefined).map((chain) => chain.name),
    ),
    sets: new Map(ruleset.sets.map((set) => [set.name, set])),
  };
}

function nextChain({ target }: Rule): string | undefined {
  return target?.kind === "JUMP" || target?.kind === "GOTO" ? target.chain : undefined;
}

function wishOnWay(ground: Ground, random: Random): Wish | undefined {
  const wish: Wish = { family: ground.ruleset.family };
  let spot = random.pick(ground.spots);
  for (let step = 0; step < WAY_MAX && spot !== undefined; step++) {
    for (const match of spot.rule.matches) wishMatch(wish, match, ground.sets, random);
    if (ground.builtIn.has(spot.chain)) {
      wish.chain = spot.chain;
      return wish;
    }
    spot = random.pick(ground.waysTo.get(spot.chain) ?? []);
  }
  return undefined;
}

function wishMatch(
  wish: Wish,
  match: Match,
  sets: ReadonlyMap<string, IpSet>,
  random: Random,
): void {
  switch (match.kind) {
    case "address":
      if (!match.invert && match.mask === undefined) wishPrefix(wish, match.side, match.prefix);
      break;
    case "interface":
      if (match.invert) break;
      if (match.side === "in") wish.inInterface ??= match;
      else wish.outInterface ??= match;
      break;
    case "protocol":
      if (!match.invert) wish.protocol ??= match.protocol;
      break;
    case "port":
      if (match.sport?.invert === false) wishPorts(wish, "src", match.sport);
      if (match.dport?.invert === false) wishPorts(wish, "dst", match.dport);
      break;
    case "multiport": {
      const ports = random.pick(match.ports);
      if (match.invert || ports === undefined) break;
      wishPorts(wish, match.side === "src" ? "src" : "dst", ports);
      break;
    }
    case "set":
      if (!match.invert)
        wishMember(wish, setNameOf(match.set, wish.family), match.flags, { sets, random });
      break;
    default:
      // Left to chance.
      break;
  }
}
