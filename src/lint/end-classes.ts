/** The other ends of a group's traffic, in classes: those of which its rules say the same. */
import { endpointName } from "../cluster/snapshot.ts";
import type { NamedPort } from "../cluster/snapshot.ts";
import type { Family, Prefix } from "../net/address.ts";
import type { Direction, ServiceRef } from "../policy/model.ts";
import { entryOf } from "../tables/entry.ts";
import { holdsFor } from "./conditions.ts";
import type { Condition } from "./conditions.ts";
import { outsideRanges, rangeOf } from "./ends.ts";
import type { End, Range } from "./ends.ts";
import type { Holder } from "./part-truth.ts";
import type { RuleId } from "./rule-book.ts";
import type { PortTest, RuleTest, SideTest } from "./rule-tests.ts";
import { knowsService, NO_SERVICES, servicesAt, servicesIn } from "./service-ports.ts";
import { both, either, NO, not, YES } from "./three-valued.ts";
import type { Truth } from "./three-valued.ts";
import type { World } from "./world.ts";

/** Other ends that are the same to the rules of a group; what it holds of what they name, each of its ends holds. */
export interface EndClass extends Holder {
  readonly family: Family;
  /** Empty: addresses outside, or of nobody. */
  readonly ends: readonly End[];
  /** How many they are. */
  readonly count: number;
  /** They are a node's; its name, where it is known. */
  readonly node: { readonly name: string | undefined } | undefined;
  /** Rules that may match its ends, with what of it hangs on ports left open. */
  readonly rules: readonly { readonly rule: RuleId; readonly tests: readonly OpenTest[] }[];
}

/** A test of which a part of traffic decides. */
export interface OpenTest {
  readonly test: RuleTest;
  /** What both addresses say. */
  readonly truth: Truth;
}

/** Makes the classes when they are first asked for. */
export class EndClasses {
  readonly #direction: Direction;
  readonly #rules: readonly RuleId[];
  readonly #own: Readonly<Record<Family, End | undefined>>;
  readonly #world: World;
  #all: readonly EndClass[] | undefined;
  #byEnd: ReadonlyMap<End, EndClass> | undefined;
  /** Those of ends of which every condition says what it says of most, by their ports. */
  #plain: Readonly<Record<Family, ReadonlyMap<readonly NamedPort[], EndClass>>> | undefined;

  constructor({
    direction,
    rules,
    own,
    world,
  }: {
    readonly direction: Direction;
    readonly rules: readonly RuleId[];
    /** Of one of the group's endpoints. */
    readonly own: Readonly<Record<Family, End | undefined>>;
    readonly world: World;
  }) {
    this.#direction = direction;
    this.#rules = rules;
    this.#own = own;
    this.#world = world;
  }

  /** Classes of ends that some rule tells apart, and of all others. */
  all(): readonly EndClass[] {
    this.#all ??= this.#make();
    return this.#all;
  }

  /** The class of an end of the cluster. */
  of(end: End): EndClass | undefined {
    this.all();
    return this.#byEnd?.get(end) ?? this.#plain?.[end.family].get(end.ports);
  }

  #make(): EndClass[] {
    const { ends } = this.#world;
    const side = this.#direction === "ingress" ? "source" : "destination";
    const tests = this.#rules.flatMap((rule) => rule.tests);
    const conditions = [...new Set(tests.flatMap((test) => conditionsIn(test[side])))];
    const names = new Set(tests.flatMap((test) => namesIn(test[side].ports)));
    const services = this.#direction === "egress" ? servicesIn(this.#rules, true) : [];
    // What an end is told apart by: the conditions that do not say of it what they say of most.
    const odd = new Map<End, string>();
    const note = (end: End, what: string): void => {
      odd.set(end, `${odd.get(end) ?? ""} ${what}`);
    };
    for (const [place, condition] of conditions.entries()) {
      this.#world.spent += 1 + condition.exceptions.length;
      for (const end of condition.exceptions) note(end, `${place}:${holdsFor(condition, end)}`);
    }
    // A node's own pods are not bound by its traffic.
    for (const end of ends.nodes) note(end, `node ${end.node ?? ""}`);
    if (names.size > 0 || services.length > 0) this.#world.spent += ends.all.length;
    if (services.length > 0) {
      for (const end of ends.all) {
        const said = servicesAt(end, services, this.#world).services;
        if (said.size > 0) note(end, [...said].join());
      }
    }
    const textByPorts = new Map<readonly NamedPort[], string>();
    const portsText = (ports: readonly NamedPort[]): string =>
      entryOf(textByPorts, ports, () => {
        const named = ports.filter(({ name }) => names.has(name));
        return named.length === 0 ? "" : JSON.stringify(named);
      });
    const byKey = new Map<string, { ends: End[]; truths: readonly Truth[] }>();
    for (const [end, what] of odd) {
      const key = `${end.family}${what} ${portsText(end.ports)}`;
      const before = byKey.get(key);
      if (before !== undefined) before.ends.push(end);
      else {
        const truths = conditions.map((condition) => holdsFor(condition, end));
        byKey.set(key, { ends: [end], truths });
      }
    }
    const classByEnd = new Map<End, EndClass>();
    const classes: EndClass[] = [];
    const truthIn =
      (truths: readonly Truth[]) =>
      (condition: Condition): Truth =>
        truths[conditions.indexOf(condition)] ?? NO;
    for (const { ends: own, truths } of byKey.values()) {
      const [first] = own;
      if (first === undefined) continue;
      const made = this.#classOfEnds(first.family, own, truthIn(truths), services);
      classes.push(made);
      for (const end of own) classByEnd.set(end, made);
    }
    const { plain, classByPorts } = this.#plainClasses({ services, odd, portsText });
    const ofPorts = ({ ports }: EndClass): boolean => portsText(ports) !== "";
    classes.push(...plain.filter(ofPorts));
    for (const family of [4, 6] as const) {
      classes.push(...plain.filter((each) => each.family === family && !ofPorts(each)));
      classes.push(...this.#outside(family, conditions, services));
    }
    this.#byEnd = classByEnd;
    this.#plain = classByPorts;
    // Its own family only.
    return classes.filter(({ family }) => this.#own[family] !== undefined);
  }

  /** Of the ends that are not odd, by their family and the ports that rules name. */
  #plainClasses({
    services,
    odd,
    portsText,
  }: {
    readonly services: readonly ServiceRef[];
    readonly odd: ReadonlyMap<End, unknown>;
    readonly portsText: (ports: readonly NamedPort[]) => string;
  }): {
    readonly plain: readonly EndClass[];
    readonly classByPorts: Readonly<Record<Family, ReadonlyMap<readonly NamedPort[], EndClass>>>;
  } {
    const keyOf = ({ family, ports }: Pick<End, "family" | "ports">): string =>
      `${family}${portsText(ports)}`;
    const oddCount = new Map<string, number>();
    for (const end of odd.keys()) {
      if (end.endpoint === undefined) continue;
      const key = keyOf(end);
      oddCount.set(key, (oddCount.get(key) ?? 0) + 1);
    }
    const classByPorts = {
      4: new Map<readonly NamedPort[], EndClass>(),
      6: new Map<readonly NamedPort[], EndClass>(),
    };
    const classes = [...Map.groupBy(this.#world.ends.alike, keyOf)].flatMap(([key, alike]) => {
      const all = alike.reduce((sum, { ends }) => sum + ends.length, 0);
      const count = all - (oddCount.get(key) ?? 0);
      const firsts = alike.flatMap(({ ends }) => ends.find((end) => !odd.has(end)) ?? []);
      const [first] = firsts.sort(byNumber);
      if (first === undefined) return [];
      const { family, ports, number } = first;
      const common = (condition: Condition): Truth => condition.common[family];
      let rest: readonly End[] | undefined;
      const made: EndClass = {
        ...this.#classOfEnds(family, [], common, services),
        count,
        ports,
        get ends() {
          rest ??= alike.flatMap(({ ends }) => ends.filter((end) => !odd.has(end))).sort(byNumber);
          return rest;
        },
      };
      for (const each of alike) classByPorts[family].set(each.ports, made);
      return [{ number, made }];
    });
    // In the order of their first ends, as the others are.
    const plain = classes.sort(byNumber).map(({ made }) => made);
    return { plain, classByPorts };
  }

  #outside(
    family: Family,
    conditions: readonly Condition[],
    services: readonly ServiceRef[],
  ): EndClass[] {
    const prefixes = conditions.flatMap((condition) => condition.prefixes);
    const side = this.#direction === "ingress" ? "source" : "destination";
    const ranges = outsideRanges(family, prefixes, { ends: this.#world.ends, side });
    this.#world.spent += ranges.length * conditions.length;
    const seen = new Set<string>();
    return ranges.flatMap((range) => {
      const truths = conditions.map((condition) => outsideTruth(condition, family, range));
      const key = truths.join();
      if (seen.has(key)) return [];
      seen.add(key);
      const truthOf = (condition: Condition): Truth => truths[conditions.indexOf(condition)] ?? NO;
      return [this.#classOfEnds(family, [], truthOf, services)];
    });
  }

  #classOfEnds(
    family: Family,
    ends: readonly End[],
    truthOf: (condition: Condition) => Truth,
    services: readonly ServiceRef[],
  ): EndClass {
    const own = this.#own[family];
    const ingress = this.#direction === "ingress";
    const rules = this.#rules.flatMap((rule) => {
      const tests = rule.tests.flatMap((test): OpenTest[] => {
        const [mine, other] = ingress
          ? [test.destination, test.source]
          : [test.source, test.destination];
        const ownTruth =
          own === undefined ? NO : sideTruth(mine, family, (condition) => holdsFor(condition, own));
        const truth = both(ownTruth, sideTruth(other, family, truthOf));
        return truth === NO && !test.wider ? [] : [{ test, truth }];
      });
      return tests.length === 0 ? [] : [{ rule, tests }];
    });
    const [first] = ends;
    const said = first === undefined ? NO_SERVICES : servicesAt(first, services, this.#world);
    const unknown =
      first === undefined
        ? services.filter((each) => !knowsService(each, this.#world.snapshot))
        : [];
    return {
      family,
      ends,
      count: ends.length,
      node: first !== undefined && first.endpoint === undefined ? { name: first.node } : undefined,
      rules,
      ports: first?.ports ?? [],
      services: said.services,
      unknownServices: new Set([...said.unknownServices, ...unknown.map(endpointName)]),
    };
  }
}

function byNumber(one: { readonly number: number }, other: { readonly number: number }): number {
  return one.number - other.number;
}

/** All conditions on one end's address. */
export function conditionsIn({ all, none }: SideTest): Condition[] {
  return [...all.flat(), ...none];
}

/** What a test asks of one end's address. */
function sideTruth(
  { all, none, families }: SideTest,
  family: Family,
  truthOf: (condition: Condition) => Truth,
): Truth {
  if (!families.includes(family)) return NO;
  let truth: Truth = YES;
  for (const list of all) {
    let any: Truth = NO;
    for (const condition of list) any = either(any, truthOf(condition));
    truth = both(truth, any);
  }
  for (const condition of none) truth = both(truth, not(truthOf(condition)));
  return truth;
}

function outsideTruth({ prefixes, elsewhere }: Condition, family: Family, range: Range): Truth {
  const inside = (prefix: Prefix): boolean => {
    if (prefix.address.family !== family) return false;
    const { start, end } = rangeOf(prefix);
    return start <= range.start && range.end <= end;
  };
  return prefixes.some(inside) ? YES : elsewhere;
}

/** Names of ports, wanted or not. */
export function namesIn({ names, notNames }: PortTest): readonly string[] {
  return [...names, ...notNames];
}
