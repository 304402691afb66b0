/**
 * What chains say, as numbers that two programs share: equal for chains that treat every packet alike, with
 * the chains and sets that they lead to. Names and comments make no difference.
 */
import { setNameOf } from "../match/set.ts";
import type { IpSet, Rule, Ruleset } from "../tables/model.ts";

/** Numbers for texts: equal texts have one number. */
export class Interned {
  readonly #numbers = new Map<string, number>();

  /** The number of a text. */
  of(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    const number = this.#numbers.size;
    this.#numbers.set(text, number);
    return number;
  }
}

/** What an endpoint's interface leads to, and what is the same for all endpoints. */
export interface Fingerprints {
  /** By interface; undefined: no rule asks for it. */
  readonly byInterface: ReadonlyMap<string, number>;
  /** Of everything that is no endpoint's own. */
  readonly common: number;
}

/**
 * Takes the fingerprints of one family's tables. Of an endpoint's own rules it counts what they say, not in
 * which chain they stand: two programs of one compiler have each in the same place.
 *
 * @param interfaces of endpoints: rules that ask for one of them are its own
 */
export function takeFingerprints(
  ruleset: Ruleset,
  interfaces: ReadonlySet<string>,
  interned: Interned,
): Fingerprints {
  const sets = new Map(ruleset.sets.map((set) => [set.name, interned.of(setText(set))]));
  const own = new Map<string, string[]>();
  const common: string[] = [];
  for (const { name: table, chains } of ruleset.tables) {
    const rulesByChain = new Map(chains.map(({ name, rules }) => [name, rules]));
    const numbers = new Map<string, number>();
    const numberOf = (chain: string): number => {
      const known = numbers.get(chain);
      if (known !== undefined) return known;
      const rules = (rulesByChain.get(chain) ?? []).filter(
        (rule) => interfacesOf(rule, interfaces).length === 0,
      );
      const number = interned.of(JSON.stringify(rules.map(textOf)));
      numbers.set(chain, number);
      return number;
    };
    const textOf = ({ matches, target }: Rule): unknown => [
      matches
        .filter(({ kind }) => kind !== "comment")
        .map((match) =>
          match.kind === "set"
            ? { ...match, set: sets.get(setNameOf(match.set, ruleset.family)) }
            : match,
        ),
      target?.kind === "JUMP" || target?.kind === "GOTO"
        ? [target.kind, numberOf(target.chain)]
        : target,
    ];
    for (const { name, policy, rules } of chains) {
      if (policy !== undefined) common.push(JSON.stringify([table, name, policy, numberOf(name)]));
      for (const rule of rules) {
        // A rule may ask for two, such as of a packet from one pod to another: it is each one's own.
        for (const link of interfacesOf(rule, interfaces)) {
          const said = own.get(link) ?? [];
          own.set(link, said);
          const matches = rule.matches.map((match) =>
            match.kind === "interface" && match.name === link ? { ...match, name: "" } : match,
          );
          said.push(JSON.stringify([table, textOf({ ...rule, matches })]));
        }
      }
    }
  }
  return {
    byInterface: new Map(
      [...own].map(([link, said]) => [link, interned.of(JSON.stringify(said.sort()))]),
    ),
    common: interned.of(JSON.stringify(common)),
  };
}

/** The endpoints' interfaces that a rule asks for, each once. */
function interfacesOf({ matches }: Rule, interfaces: ReadonlySet<string>): readonly string[] {
  const asked = matches.flatMap((match) =>
    match.kind === "interface" && !match.invert && !match.wildcard && interfaces.has(match.name)
      ? [match.name]
      : [],
  );
  return asked.length < 2 ? asked : [...new Set(asked)];
}

function setText(set: IpSet): string {
  return JSON.stringify({
    ...set,
    name: "",
    origin: [set.origin?.incomplete, set.origin?.unknown],
  });
}
