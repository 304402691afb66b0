/**
 * Endpoints that the same policies select in a direction, and what these rules say of all traffic: of each
 * class of other ends and each part of protocols and ports, which rules match.
 */
import type { Endpoint } from "../cluster/snapshot.ts";
import { endpointName } from "../cluster/snapshot.ts";
import type { Family } from "../net/address.ts";
import type { Direction, Policy, Tier } from "../policy/model.ts";
import { groupByOrder } from "../policy/ties.ts";
import { holdsFor } from "./conditions.ts";
import { conditionsIn, EndClasses, namesIn } from "./end-classes.ts";
import type { EndClass, OpenTest } from "./end-classes.ts";
import type { End } from "./ends.ts";
import { partTruth } from "./part-truth.ts";
import type { Holder } from "./part-truth.ts";
import type { RuleId } from "./rule-book.ts";
import type { RuleTest } from "./rule-tests.ts";
import { NO_SERVICES, servicesAt, servicesIn } from "./service-ports.ts";
import { both, either, MAYBE, NO } from "./three-valued.ts";
import type { Truth } from "./three-valued.ts";
import { partsOf } from "./traffic.ts";
import type { Part } from "./traffic.ts";
import type { World } from "./world.ts";

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
  /** What an endpoint of the group holds as the end that its rules are for. */
  readonly #own: Readonly<Record<Family, Holder>>;
  readonly #world: World;
  readonly #classes: EndClasses;

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
    const [four, six] = ([4, 6] as const).map((family) => own.find((end) => end.family === family));
    this.#own = { 4: this.#held(four), 6: this.#held(six) };
    this.#classes = new EndClasses({
      direction,
      rules: this.rules,
      own: { 4: four, 6: six },
      world,
    });
    const tests = this.rules.flatMap((rule) => rule.tests);
    this.parts = partsOf(tests, world.protocols, this.#numbers(tests));
  }

  /** Classes of ends that some rule tells apart, and of all others. */
  classes(): readonly EndClass[] {
    return this.#classes.all();
  }

  /** The class of an end of the cluster. */
  classOf(end: End): EndClass | undefined {
    return this.#classes.of(end);
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
    const [source, destination] = this.direction === "ingress" ? [end, own] : [own, end];
    const said = both(truth, partTruth(test, part, { source, destination }));
    return test.wider && said === NO ? MAYBE : said;
  }

  #held(own: End | undefined): Holder {
    const asked = servicesIn(this.rules, this.direction === "ingress");
    const served =
      own === undefined || asked.length === 0 ? NO_SERVICES : servicesAt(own, asked, this.#world);
    return { ports: own?.ports ?? [], ...served };
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
      for (const ports of this.#world.ends.ports) {
        for (const { name, port } of ports) if (names.has(name)) numbers.add(port);
      }
    }
    return [...numbers];
  }
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
