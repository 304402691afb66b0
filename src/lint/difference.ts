/**
 * What each rule and policy makes a difference to: of every kind of traffic that the cluster can have,
 * whether it would fare otherwise without. Exact for the ends that are known; a fact that is missing may be
 * either way, and what makes a difference in one of them, makes one.
 */
import type { Endpoint, Snapshot } from "../cluster/snapshot.ts";
import type { EndpointIndex } from "../policy/endpoint-index.ts";
import type { Direction, Policy } from "../policy/model.ts";
import { Backends } from "./backends.ts";
import { Conditions } from "./conditions.ts";
import { DIRECTIONS } from "./context.ts";
import { Ends } from "./ends.ts";
import type { End } from "./ends.ts";
import type { EndClass } from "./end-classes.ts";
import { Group, ownKey } from "./groups.ts";
import type { Matched } from "./groups.ts";
import {
  ALLOWS,
  DENIES,
  holdingOf,
  mayComeTo,
  MAYBES_MAX,
  NOTHING,
  outcomeOf,
  pathOf,
} from "./outcome.ts";
import type { Outcome, Removed } from "./outcome.ts";
import { RuleBook } from "./rule-book.ts";
import type { RuleId } from "./rule-book.ts";
import { YES } from "./three-valued.ts";
import { commonPart, protocolsOf } from "./traffic.ts";
import type { Part } from "./traffic.ts";
import type { World } from "./world.ts";

/** Rules and policies without which every verdict would be the same, all of them at once. */
export interface Differences {
  /** Policies, none of whose rules are listed besides. */
  readonly idlePolicies: readonly Policy[];
  readonly idleRules: readonly IdleRule[];
  /** It would have taken too long: nothing is said of what was not looked at. */
  readonly cutOff: boolean;
}

/** A rule that makes no difference. */
export interface IdleRule {
  readonly rule: RuleId;
  /**
   * `unmatched`: no traffic is what it means. `shadowed`: earlier rules decide all of it. `other-end`: the
   * policies of the other end drop it. `redundant`: without it another rule, or none, would say the same.
   */
  readonly why: "unmatched" | "shadowed" | "other-end" | "redundant";
  /** One that decides what it would have. */
  readonly instead: RuleId | undefined;
}

/** Steps that are taken: some seconds. */
const STEPS_MAX = 40_000_000;
/** Pairs of ends that are asked whether the other end drops all between them. */
const PAIRS_MAX = 2000;

/** Finds what makes no difference. */
export function findDifferences(given: {
  readonly snapshot: Snapshot;
  readonly index: EndpointIndex;
  /** In the order in which they are asked. */
  readonly policies: readonly Policy[];
}): Differences {
  return new Search(given).run();
}

class Search {
  readonly #policies: readonly Policy[];
  readonly #world: World;
  readonly #index: EndpointIndex;
  readonly #groups: readonly Group[];
  readonly #numbers: ReadonlyMap<Group, number>;
  readonly #groupByEndpoint: Readonly<Record<Direction, ReadonlyMap<Endpoint, Group>>>;
  readonly #backends: Backends;

  constructor({ snapshot, index, policies }: Parameters<typeof findDifferences>[0]) {
    this.#policies = policies;
    this.#index = index;
    const ends = new Ends(snapshot);
    const book = new RuleBook(new Conditions(snapshot, index, ends));
    const tests = policies.flatMap((policy) =>
      DIRECTIONS.flatMap((direction) =>
        book.rulesOf(policy, direction).flatMap((rule) => rule.tests),
      ),
    );
    this.#world = { snapshot, ends, book, protocols: protocolsOf(tests), spent: 0 };
    const of = (direction: Direction): Group[] => this.#makeGroups(direction);
    const made = { ingress: of("ingress"), egress: of("egress") };
    this.#groups = [...made.ingress, ...made.egress];
    this.#numbers = new Map(this.#groups.map((group, number) => [group, number]));
    const byEndpoint = (groups: readonly Group[]): Map<Endpoint, Group> =>
      new Map(
        groups.flatMap((group) => group.endpoints.map((endpoint) => [endpoint, group] as const)),
      );
    this.#groupByEndpoint = {
      ingress: byEndpoint(made.ingress),
      egress: byEndpoint(made.egress),
    };
    this.#backends = new Backends(snapshot);
  }

  run(): Differences {
    const seen = new Set<RuleId>();
    const onPath = new Set<RuleId>();
    const needed = new Set<RuleId | Policy>();
    const groupsOf = new Map<Policy, Group[]>();
    let cutOff = false;
    for (const group of this.#groups) {
      for (const policy of group.policies) {
        groupsOf.set(policy, [...(groupsOf.get(policy) ?? []), group]);
      }
      if (!cutOff) cutOff = !this.#survey(group, { seen, onPath, needed });
      if (cutOff) for (const each of [...group.rules, ...group.policies]) needed.add(each);
    }
    // Of host endpoints nothing is known here.
    for (const policy of this.#policies) {
      if (this.#index.hostEndpointsChosenBy(policy.subject).length === 0) continue;
      needed.add(policy);
      for (const direction of DIRECTIONS) {
        for (const rule of this.#world.book.rulesOf(policy, direction)) needed.add(rule);
      }
    }
    const removed = { rules: new Set<RuleId>(), policies: new Set<Policy>() };
    const isSame = (policy: Policy): boolean =>
      (groupsOf.get(policy) ?? []).every((group) => this.#isSame(group, removed));
    const byOtherEnd = new Set<RuleId>();
    const used = this.#policies.filter((policy) => groupsOf.has(policy)).toReversed();
    const policies = used.filter((policy) => !needed.has(policy) && !isStatement(policy));
    const rules = used
      .flatMap((policy) => this.#rulesOf(policy).toReversed())
      // One that logs is there to be seen, and decides nothing.
      .filter((rule) => !needed.has(rule) && rule.action !== "log");
    // Without one, another may make no difference any more.
    for (let before = -1; before < removed.rules.size + removed.policies.size;) {
      before = removed.rules.size + removed.policies.size;
      for (const policy of policies) {
        if (removed.policies.has(policy)) continue;
        removed.policies.add(policy);
        if (!isSame(policy)) removed.policies.delete(policy);
      }
      for (const rule of rules) {
        if (removed.rules.has(rule) || removed.policies.has(rule.policy)) continue;
        removed.rules.add(rule);
        if (!isSame(rule.policy)) removed.rules.delete(rule);
        else if (decides(rule, groupsOf.get(rule.policy) ?? [], removed)) byOtherEnd.add(rule);
      }
    }
    const idleRules = [...removed.rules]
      .filter((rule) => !removed.policies.has(rule.policy))
      .map((rule): IdleRule => {
        if (!seen.has(rule)) return { rule, why: "unmatched", instead: undefined };
        if (byOtherEnd.has(rule)) return { rule, why: "other-end", instead: undefined };
        const instead = decidingWithout(rule, groupsOf.get(rule.policy) ?? [], removed);
        return { rule, why: onPath.has(rule) ? "redundant" : "shadowed", instead };
      });
    return {
      idlePolicies: [...removed.policies],
      idleRules,
      cutOff: cutOff || this.#world.spent > 2 * STEPS_MAX,
    };
  }

  #rulesOf(policy: Policy): RuleId[] {
    return DIRECTIONS.flatMap((direction) => [...this.#world.book.rulesOf(policy, direction)]);
  }

  #makeGroups(direction: Direction): Group[] {
    const byEndpoint = new Map<Endpoint, Policy[]>();
    for (const policy of this.#policies) {
      // Before translation, and without following connections, host endpoints' policies only are asked.
      if (policy[direction] === undefined) continue;
      if (policy.host === "pre-dnat" || policy.host === "untracked") continue;
      for (const endpoint of this.#index.chosenBy(policy.subject)) {
        const own = byEndpoint.get(endpoint);
        if (own === undefined) byEndpoint.set(endpoint, [policy]);
        else own.push(policy);
      }
    }
    const numbers = new Map(this.#policies.map((policy, number) => [policy, number]));
    const byKey = new Map<string, { endpoints: Endpoint[]; policies: readonly Policy[] }>();
    for (const [endpoint, policies] of byEndpoint) {
      const rules = policies.flatMap((policy) => this.#world.book.rulesOf(policy, direction));
      const own = ownKey(endpoint, rules, { direction, world: this.#world });
      const key = `${policies.map((policy) => numbers.get(policy)).join()} ${own}`;
      const before = byKey.get(key);
      if (before === undefined) byKey.set(key, { endpoints: [endpoint], policies });
      else before.endpoints.push(endpoint);
    }
    return [...byKey.values()].map(
      ({ endpoints, policies }) => new Group(direction, endpoints, policies, this.#world),
    );
  }

  /** Looks at all traffic of a group; false when that takes too long. */
  #survey(
    group: Group,
    found: {
      readonly seen: Set<RuleId>;
      readonly onPath: Set<RuleId>;
      readonly needed: Set<RuleId | Policy>;
    },
  ): boolean {
    const { seen, onPath, needed } = found;
    if (group.tied) {
      for (const each of [...group.rules, ...group.policies]) needed.add(each);
    }
    const sole = group.tiers.flatMap(({ policies: [only, ...others] }) =>
      only === undefined || others.length > 0 ? [] : [only],
    );
    const open = (): boolean =>
      [...group.rules, ...group.policies].some((each) => !needed.has(each));
    for (const end of group.classes()) {
      if (!open()) return true;
      for (const part of group.parts[end.family]) {
        if (!this.#isPoliced(group, end, part)) continue;
        const matched = group.matched(end, part);
        this.#world.spent += 1 + end.rules.length;
        if (this.#world.spent > STEPS_MAX) return false;
        for (const { rule } of matched) seen.add(rule);
        const path = pathOf(group, matched, NOTHING);
        for (const rule of path) onPath.add(rule);
        // Another one may only matter where it is all that its tier has.
        const asked = new Set([...sole, ...path.map((rule) => rule.policy)]);
        for (const rule of path) {
          if (needed.has(rule)) continue;
          const without = { ...NOTHING, rules: new Set([rule]) };
          if (this.#changes(group, end, { part, matched, without })) needed.add(rule);
        }
        for (const policy of asked) {
          if (needed.has(policy)) continue;
          const without = { ...NOTHING, policies: new Set([policy]) };
          if (this.#changes(group, end, { part, matched, without })) needed.add(policy);
        }
      }
    }
    return true;
  }

  /** Without these everything that the group's endpoints send or get fares as before. */
  #isSame(group: Group, without: Removed): boolean {
    // Twice as many for what is left to try.
    if (this.#world.spent > 2 * STEPS_MAX) return false;
    return group.classes().every((end) =>
      group.parts[end.family].every((part) => {
        this.#world.spent += 1 + end.rules.length;
        if (!this.#isPoliced(group, end, part)) return true;
        return !this.#changes(group, end, { part, matched: group.matched(end, part), without });
      }),
    );
  }

  /** > Traffic to a pod from its own node is always allowed. A pod's own traffic leaves it by a Service only. */
  #isPoliced({ direction, endpoints }: Group, end: EndClass, part: Part): boolean {
    if (end.node !== undefined) {
      return direction === "egress" || endpoints.some(({ node }) => node !== end.node?.name);
    }
    if (end.count !== 1 || endpoints.length > 1) return true;
    const [only] = endpoints;
    return end.ends[0]?.endpoint !== only || this.#backends.has(only, end.family, part);
  }

  #changes(
    group: Group,
    end: EndClass,
    {
      part,
      matched,
      without,
    }: { readonly part: Part; readonly matched: readonly Matched[]; readonly without: Removed },
  ): boolean {
    const open = matched.filter(({ truth }) => truth !== YES);
    if (open.length > MAYBES_MAX) return true;
    for (let bits = 0; bits < 1 << open.length; bits++) {
      const holding = holdingOf(matched, open, bits);
      const before = outcomeOf(group, holding, NOTHING);
      const after = outcomeOf(group, holding, without);
      if (before === after) continue;
      if (!this.#otherEndDrops(group, end, { part, without, before })) return true;
    }
    return false;
  }

  /** All that changes here is dropped at the other end: as things are, or as they would be. */
  #otherEndDrops(
    group: Group,
    end: EndClass,
    {
      part,
      without,
      before,
    }: { readonly part: Part; readonly without: Removed; readonly before: Outcome },
  ): boolean {
    if (end.count === 0 || end.count * group.endpoints.length > PAIRS_MAX) return false;
    const other = group.direction === "ingress" ? "egress" : "ingress";
    const removed = before === ALLOWS ? NOTHING : without;
    const said = new Map<string, boolean>();
    return end.ends.every((each) => {
      if (each.endpoint === undefined) return false;
      const theirs = this.#groupByEndpoint[other].get(each.endpoint);
      if (theirs === undefined) return false;
      return group.endpoints.every((endpoint) => {
        if (endpoint === each.endpoint && !this.#backends.has(endpoint, end.family, part))
          return true;
        return this.#world.ends.ofEndpoint(endpoint).every((own) => {
          if (own.family !== end.family) return true;
          const key = `${this.#numbers.get(theirs) ?? ""} ${theirs.classNumber(own)}`;
          const known = said.get(key);
          if (known !== undefined) return known;
          const drops = this.#surelyDrops(theirs, own, { part, removed });
          said.set(key, drops);
          return drops;
        });
      });
    });
  }

  #surelyDrops(
    group: Group,
    end: End,
    { part, removed }: { readonly part: Part; readonly removed: Removed },
  ): boolean {
    const own = group.classOf(end);
    if (own === undefined || group.tied) return false;
    return group.parts[end.family].every((each) => {
      const common = commonPart(each, part);
      if (common === undefined) return true;
      this.#world.spent += 1;
      return mayComeTo(group, group.matched(own, common), removed) === DENIES;
    });
  }
}

/** It says what is still to come, too: without rules it closes, and with one for everything it opens. */
function isStatement({ ingress = [], egress = [] }: Policy): boolean {
  const rules = [...ingress, ...egress];
  return (
    rules.length === 0 ||
    rules.some(
      (rule) => rule.kind === "peers" && rule.peers === undefined && rule.ports === undefined,
    )
  );
}

/** Its own end would do otherwise without it, after all that was taken away before. */
function decides(
  rule: RuleId,
  groups: readonly Group[],
  removed: { readonly rules: Set<RuleId>; readonly policies: ReadonlySet<Policy> },
): boolean {
  for (const { group, matched } of trafficOf(rule, groups)) {
    const after = mayComeTo(group, matched, removed);
    removed.rules.delete(rule);
    const before = mayComeTo(group, matched, removed);
    removed.rules.add(rule);
    if (before !== after) return true;
  }
  return false;
}

/** What decides some traffic that the rule matches, when it is taken away. */
function decidingWithout(
  rule: RuleId,
  groups: readonly Group[],
  removed: Removed,
): RuleId | undefined {
  for (const { group, matched } of trafficOf(rule, groups)) {
    return pathOf(group, matched, removed).at(-1);
  }
  return undefined;
}

/** All traffic that a rule matches, or may. */
function* trafficOf(
  rule: RuleId,
  groups: readonly Group[],
): Generator<{ readonly group: Group; readonly matched: readonly Matched[] }> {
  for (const group of groups) {
    for (const end of group.classes()) {
      if (!end.rules.some((each) => each.rule === rule)) continue;
      for (const part of group.parts[end.family]) {
        const matched = group.matched(end, part);
        if (matched.some((each) => each.rule === rule)) yield { group, matched };
      }
    }
  }
}
