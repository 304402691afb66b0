/**
 * Endpoints that the same policies select in a direction, and what these rules say of all traffic: of each
 * class of other ends and each part of protocols and ports, which rules match.
 */
import type { Endpoint, NamedPort, Snapshot } from "../cluster/snapshot.ts";
import { endpointName } from "../cluster/snapshot.ts";
import { protocolNumber } from "../net/protocol.ts";
import type { Family, Prefix } from "../net/address.ts";
import type { Direction, Policy, RuleAction, ServiceRef, Tier } from "../policy/model.ts";
import { groupByOrder } from "../policy/ties.ts";
import { holdsFor } from "./conditions.ts";
import type { Condition } from "./conditions.ts";
import { outsideRanges, rangeOf } from "./ends.ts";
import type { End, Ends, Range } from "./ends.ts";
import { testsOf } from "./rule-tests.ts";
import type { Conditions } from "./conditions.ts";
import type { PortTest, RuleTest, SideTest } from "./rule-tests.ts";
import { both, either, MAYBE, NO, not, YES } from "./three-valued.ts";
import type { Truth } from "./three-valued.ts";
import { partsOf } from "./traffic.ts";
import type { Part, Protocols } from "./traffic.ts";

/** A rule of a policy in a direction. */
export interface RuleId {
  readonly policy: Policy;
  readonly direction: Direction;
  readonly index: number;
  readonly action: RuleAction;
  readonly tests: readonly RuleTest[];
}

/** Makes the rules of policies; the same value each time. */
export class RuleBook {
  readonly #conditions: Conditions;
  readonly #made = new Map<Policy, Readonly<Record<Direction, readonly RuleId[]>>>();

  constructor(conditions: Conditions) {
    this.#conditions = conditions;
  }

  rulesOf(policy: Policy, direction: Direction): readonly RuleId[] {
    const before = this.#made.get(policy);
    if (before !== undefined) return before[direction];
    const of = (each: Direction): RuleId[] =>
      (policy[each] ?? []).map((rule) => ({
        policy,
        direction: each,
        index: rule.index,
        action: rule.action,
        tests: testsOf(rule, each, this.#conditions),
      }));
    const made = { ingress: of("ingress"), egress: of("egress") };
    this.#made.set(policy, made);
    return made[direction];
  }
}

/** Other ends that are the same to the rules of a group. */
export interface EndClass {
  readonly family: Family;
  /** Empty: addresses outside, or of nobody. */
  readonly ends: readonly End[];
  /** How many they are. */
  readonly count: number;
  /** They are a node's; its name, where it is known. */
  readonly node: { readonly name: string | undefined } | undefined;
  /** Rules that may match its ends, with what of it hangs on ports left open. */
  readonly rules: readonly { readonly rule: RuleId; readonly tests: readonly OpenTest[] }[];
  /** Of all its ends. */
  readonly ports: readonly NamedPort[];
  readonly services: ReadonlySet<string>;
  readonly unknownServices: ReadonlySet<string>;
}

interface OpenTest {
  readonly test: RuleTest;
  /** What both addresses say. */
  readonly truth: Truth;
}

/** A rule that matches, or may. */
export interface Matched {
  readonly rule: RuleId;
  readonly truth: Truth;
}

/** Endpoints of the same policies in one direction. */
export class Group {
  readonly direction: Direction;
  readonly endpoints: readonly Endpoint[];
  /** In the order in which they are asked; at least one. */
  readonly policies: readonly Policy[];
  readonly tiers: readonly { readonly tier: Tier; readonly policies: readonly Policy[] }[];
  readonly rules: readonly RuleId[];
  /** The API leaves open which policy comes first. */
  readonly tied: boolean;
  readonly parts: Readonly<Record<Family, readonly Part[]>>;
  readonly #own: Readonly<Record<Family, End | undefined>>;
  readonly #world: World;
  #classes: readonly EndClass[] | undefined;
  #classByEnd: ReadonlyMap<End, EndClass> | undefined;
  #plain: Readonly<Record<Family, EndClass | undefined>> | undefined;

  constructor(
    direction: Direction,
    endpoints: readonly Endpoint[],
    policies: readonly Policy[],
    world: World,
  ) {
    this.direction = direction;
    this.endpoints = endpoints;
    this.policies = policies;
    this.#world = world;
    this.rules = policies.flatMap((policy) => world.book.rulesOf(policy, direction));
    const tiers: { tier: Tier; policies: Policy[] }[] = [];
    for (const policy of policies) {
      const last = tiers.at(-1);
      if (last?.tier.name === policy.tier.name) last.policies.push(policy);
      else tiers.push({ tier: policy.tier, policies: [policy] });
    }
    this.tiers = tiers;
    this.tied = tiers.some((each) =>
      groupByOrder(each.policies, direction).some(({ rivals }) => rivals.length > 0),
    );
    const [first] = endpoints;
    const own = first === undefined ? [] : world.ends.ofEndpoint(first);
    this.#own = { 4: own.find((end) => end.family === 4), 6: own.find((end) => end.family === 6) };
    const tests = this.rules.flatMap((rule) => rule.tests);
    this.parts = partsOf(tests, world.protocols, this.#numbers(tests));
  }

  /** Classes of ends that some rule tells apart, and of all others. */
  classes(): readonly EndClass[] {
    this.#classes ??= this.#makeClasses();
    return this.#classes;
  }

  /** The class of an end of the cluster. */
  classOf(end: End): EndClass | undefined {
    this.classes();
    return this.#classByEnd?.get(end) ?? this.#plain?.[end.family];
  }

  /** What tells the class of an end from others of the group. */
  classNumber(end: End): number {
    const own = this.classOf(end);
    return own === undefined ? -1 : this.classes().indexOf(own);
  }

  /** The rules that match a part of a class's traffic, in the order in which they are asked. */
  matched(end: EndClass, part: Part): Matched[] {
    const found: Matched[] = [];
    for (const { rule, tests } of end.rules) {
      let truth: Truth = NO;
      for (const each of tests) {
        if (each.truth > truth) truth = either(truth, this.#testTruth(each, end, part));
      }
      if (truth !== NO) found.push({ rule, truth });
    }
    return found;
  }

  #testTruth({ test, truth }: OpenTest, end: EndClass, part: Part): Truth {
    const own = this.#own[end.family];
    const [source, destination] =
      this.direction === "ingress"
        ? [end, { ports: own?.ports ?? [], ...this.#ownServices(own) }]
        : [{ ports: own?.ports ?? [], ...NO_SERVICES }, end];
    const said = both(truth, partTruth(test, part, { source, destination }));
    return test.wider && said === NO ? MAYBE : said;
  }

  #ownServices(own: End | undefined): Pick<EndClass, "services" | "unknownServices"> {
    const asked = servicesIn(this.rules, this.direction === "ingress");
    return own === undefined || asked.length === 0
      ? NO_SERVICES
      : servicesAt(own, asked, this.#world);
  }

  /** Ports that names and Services mean. */
  #numbers(tests: readonly RuleTest[]): number[] {
    const names = new Set(
      tests.flatMap(({ source, destination }) =>
        [source.ports, destination.ports].flatMap(({ names: some, notNames }) => [
          ...some,
          ...notNames,
        ]),
      ),
    );
    const services = servicesIn(this.rules, true);
    const numbers = new Set(
      services.flatMap(
        (service) =>
          this.#world.snapshot.membersByService
            .get(endpointName(service))
            ?.ports.map(({ port }) => port) ?? [],
      ),
    );
    if (names.size > 0) {
      for (const { ports } of this.#world.ends.all) {
        for (const { name, port } of ports) if (names.has(name)) numbers.add(port);
      }
    }
    return [...numbers];
  }

  #makeClasses(): EndClass[] {
    const { ends } = this.#world;
    const side = this.direction === "ingress" ? "source" : "destination";
    const tests = this.rules.flatMap((rule) => rule.tests);
    const conditions = [...new Set(tests.flatMap((test) => conditionsIn(test[side])))];
    const names = new Set(tests.flatMap((test) => namesIn(test[side].ports)));
    const services = this.direction === "egress" ? servicesIn(this.rules, true) : [];
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
    if (names.size > 0 || services.length > 0) {
      this.#world.spent += ends.all.length;
      for (const end of ends.all) {
        const ports = end.ports.filter(({ name }) => names.has(name));
        if (ports.length > 0) note(end, JSON.stringify(ports));
        if (services.length === 0) continue;
        const said = servicesAt(end, services, this.#world).services;
        if (said.size > 0) note(end, [...said].join());
      }
    }
    const byKey = new Map<string, { ends: End[]; truths: readonly Truth[] }>();
    for (const [end, what] of odd) {
      const key = `${end.family}${what}`;
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
    const plain: Record<Family, EndClass | undefined> = { 4: undefined, 6: undefined };
    const count = { 4: 0, 6: 0 };
    for (const end of odd.keys()) count[end.family] += 1;
    for (const family of [4, 6] as const) {
      if (ends.count[family] > count[family]) {
        let rest: readonly End[] | undefined;
        const common = this.#classOfEnds(
          family,
          [],
          (condition) => condition.common[family],
          services,
        );
        plain[family] = {
          ...common,
          count: ends.count[family] - count[family],
          get ends() {
            return (rest ??= ends.all.filter((end) => end.family === family && !odd.has(end)));
          },
        };
        classes.push(plain[family]);
      }
      classes.push(...this.#outside(family, conditions, services));
    }
    this.#classByEnd = classByEnd;
    this.#plain = plain;
    // Its own family only.
    return classes.filter(({ family }) => this.#own[family] !== undefined);
  }

  #outside(
    family: Family,
    conditions: readonly Condition[],
    services: readonly ServiceRef[],
  ): EndClass[] {
    const prefixes = conditions.flatMap((condition) => condition.prefixes);
    const side = this.direction === "ingress" ? "source" : "destination";
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
    const ingress = this.direction === "ingress";
    const rules = this.rules.flatMap((rule) => {
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

/** What groups are made with. */
export interface World {
  readonly snapshot: Snapshot;
  readonly ends: Ends;
  readonly book: RuleBook;
  readonly protocols: Protocols;
  /** Steps that were taken, for whoever bounds them. */
  spent: number;
}

const NO_SERVICES: Pick<EndClass, "services" | "unknownServices"> = {
  services: new Set<string>(),
  unknownServices: new Set<string>(),
};

function conditionsIn({ all, none }: SideTest): Condition[] {
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

type Holder = Pick<EndClass, "ports" | "services" | "unknownServices">;

function partTruth(
  test: RuleTest,
  part: Part,
  { source, destination }: { readonly source: Holder; readonly destination: Holder },
): Truth {
  const { protocol, notProtocol, icmp, notIcmp } = test;
  if (protocol !== undefined && protocol !== part.protocol) return NO;
  if (notProtocol === part.protocol) return NO;
  if (icmp !== undefined && !isIcmp(part, icmp)) return NO;
  if (notIcmp !== undefined && (part.icmp === undefined || isIcmp(part, notIcmp))) return NO;
  const ports = both(
    portTruth(test.source.ports, part.sourcePorts, { part, holder: source }),
    portTruth(test.destination.ports, part.ports, { part, holder: destination }),
  );
  const { service } = test.destination;
  if (service === undefined || ports === NO) return ports;
  const name = endpointName(service);
  const key = `${name} ${part.protocol} ${part.ports?.first ?? ""}`;
  const served = destination.services.has(key)
    ? YES
    : destination.unknownServices.has(name)
      ? MAYBE
      : NO;
  return both(ports, served);
}

function isIcmp(
  { icmp }: Part,
  { type, code }: { readonly type: number; readonly code: number | undefined },
): boolean {
  return icmp?.type === type && (code === undefined || icmp.code === code);
}

function portTruth(
  { ranges, names, notRanges, notNames }: PortTest,
  range: Part["ports"],
  { part, holder }: { readonly part: Part; readonly holder: Holder },
): Truth {
  const asks = ranges.length + names.length > 0;
  const denies = notRanges.length + notNames.length > 0;
  if (!asks && !denies) return YES;
  if (range === undefined) return NO;
  const inRange = (each: { first: number; last: number }): boolean =>
    each.first <= range.first && range.last <= each.last;
  const isNamed = (name: string): boolean =>
    holder.ports.some(
      (port) =>
        port.name === name &&
        protocolNumber(port.protocol) === part.protocol &&
        inRange({ first: port.port, last: port.port }),
    );
  if (notRanges.some(inRange) || notNames.some(isNamed)) return NO;
  return !asks || ranges.some(inRange) || names.some(isNamed) ? YES : NO;
}

function namesIn({ names, notNames }: PortTest): readonly string[] {
  return [...names, ...notNames];
}

/** Services whose ports rules ask for. */
function servicesIn(rules: readonly RuleId[], wanted: boolean): ServiceRef[] {
  if (!wanted) return [];
  return rules.flatMap(({ tests }) =>
    tests.flatMap(({ destination: { service } }) => (service === undefined ? [] : [service])),
  );
}

function servicesAt(
  end: End,
  services: readonly ServiceRef[],
  { snapshot, ends }: World,
): Pick<EndClass, "services" | "unknownServices"> {
  const keys = services.flatMap((service) => {
    const name = endpointName(service);
    const members = snapshot.membersByService.get(name)?.ports ?? [];
    return members
      .filter(({ address }) => ends.at(address) === end)
      .map(({ protocol, port }) => `${name} ${protocolNumber(protocol) ?? ""} ${port}`);
  });
  const unknown = services.filter((service) => !knowsService(service, snapshot)).map(endpointName);
  return { services: new Set(keys), unknownServices: new Set(unknown) };
}

function knowsService(service: ServiceRef, { membersByService }: Snapshot): boolean {
  const members = membersByService.get(endpointName(service));
  return members !== undefined && members.missing === undefined;
}

/** What tells apart endpoints that the same policies select. */
export function ownKey(
  endpoint: Endpoint,
  rules: readonly RuleId[],
  {
    direction,
    world,
  }: {
    readonly direction: Direction;
    readonly world: World;
  },
): string {
  const side = direction === "ingress" ? "destination" : "source";
  const tests = rules.flatMap((rule) => rule.tests);
  const conditions = [...new Set(tests.flatMap((test) => conditionsIn(test[side])))];
  const names = new Set(tests.flatMap((test) => namesIn(test[side].ports)));
  const ends = world.ends.ofEndpoint(endpoint);
  const services = direction === "ingress" ? servicesIn(rules, true) : [];
  return JSON.stringify([
    ends.map((end) => [
      end.family,
      conditions.map((condition) => holdsFor(condition, end)),
      services.length === 0 ? [] : [...servicesAt(end, services, world).services],
    ]),
    endpoint.ports.filter(({ name }) => names.has(name)),
  ]);
}
