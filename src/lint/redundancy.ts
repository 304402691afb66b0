/**
 * Rules and policies that make no difference. What is said of the pods that were given is a note, as others
 * may come; what holds whatever the cluster has, by what is written, is a warning.
 */
import { formatPlace } from "../errors.ts";
import type { Place } from "../errors.ts";
import { formatPolicyRef } from "../policy/model.ts";
import type { Direction, Policy, PolicyRule, RuleAction } from "../policy/model.ts";
import { DIRECTIONS } from "./context.ts";
import type { LintContext } from "./context.ts";
import { findDifferences } from "./difference.ts";
import type { IdleRule } from "./difference.ts";
import type { Finding } from "./finding.ts";
import { endpointsCover, rulesCover } from "./inclusion.ts";

/** Policies that are compared with each one by what is written. */
const COMPARED_MAX = 300;

/** What was found, and whether all was looked at. */
export interface Redundancy {
  readonly findings: readonly Finding[];
  readonly cutOff: boolean;
}

/** A rule as it is written. */
interface WrittenRule {
  readonly policy: Policy;
  readonly direction: Direction;
  readonly rule: PolicyRule;
}

/** Finds REDUNDANT_RULE, REDUNDANT_POLICY, SHADOWED_RULE and OTHER_END_DENIES. */
export function findRedundancy(context: LintContext): Redundancy {
  const { idlePolicies, idleRules, cutOff } = findDifferences(context);
  const gone = new Set<Policy | PolicyRule>(idlePolicies);
  const idle = idleRules.filter(({ why }) => why !== "unmatched");
  for (const { rule } of idle) gone.add(ruleOf(rule));
  const reader = new Reader(context, gone);
  const findings = [
    ...idlePolicies.map((policy) => policyFinding(policy, reader.policyCovers(policy))),
    ...idle.map((each) => idleFinding(each, reader)),
  ];
  // Nobody is selected or meant yet: what is written tells.
  const unmatched = new Set(
    idleRules.flatMap((each) => (each.why === "unmatched" ? [ruleOf(each.rule)] : [])),
  );
  for (const policy of context.policies.toReversed()) {
    if (gone.has(policy) || !isForPodsAlone(policy, context)) continue;
    const unselected = context.index.chosenBy(policy.subject).length === 0;
    const covered = DIRECTIONS.flatMap((direction) =>
      (policy[direction] ?? []).toReversed().flatMap((rule) => {
        if (gone.has(rule) || rule.action === "log") return [];
        if (!unselected && !unmatched.has(rule)) return [];
        const by = reader.ruleCovers({ policy, direction, rule });
        if (by === undefined) return [];
        gone.add(rule);
        return [coveredFinding({ policy, direction, rule }, by)];
      }),
    );
    const whole =
      unselected && covered.length > 0 && covered.length === rulesOf(policy).length
        ? reader.policyCovers(policy)
        : undefined;
    if (whole === undefined) findings.push(...covered);
    else {
      gone.add(policy);
      findings.push(policyFinding(policy, whole));
    }
  }
  return { findings, cutOff };
}

function ruleOf({ policy, direction, index }: IdleRule["rule"]): PolicyRule {
  const rule = policy[direction]?.find((each) => each.index === index);
  if (rule === undefined) throw new Error("bug: an idle rule is no rule of its policy");
  return rule;
}

function rulesOf(policy: Policy): WrittenRule[] {
  return DIRECTIONS.flatMap((direction) =>
    (policy[direction] ?? []).map((rule) => ({ policy, direction, rule })),
  );
}

/** Compares by what is written, with what is not taken away. */
class Reader {
  readonly #policies: readonly Policy[];
  readonly #places: ReadonlyMap<Policy, number>;
  readonly #gone: ReadonlySet<Policy | PolicyRule>;
  readonly #byNamespace = new Map<string, Policy[]>();

  constructor({ policies }: LintContext, gone: ReadonlySet<Policy | PolicyRule>) {
    this.#policies = policies;
    this.#places = new Map(policies.map((policy, place) => [policy, place]));
    this.#gone = gone;
    for (const policy of policies) {
      const home = policy.ref.namespace ?? "";
      this.#byNamespace.set(home, [...(this.#byNamespace.get(home) ?? []), policy]);
    }
  }

  /** Those that select at least all that one selects, itself among them, in their order. */
  #wider({ ref, subject, host }: Policy): Policy[] {
    const homes = ref.namespace === undefined ? [""] : ["", ref.namespace];
    return homes
      .flatMap((home) => (this.#byNamespace.get(home) ?? []).slice(0, COMPARED_MAX))
      .filter(
        (other) =>
          !this.#gone.has(other) &&
          // Others are asked elsewhere, too, or only there.
          other.host === host &&
          endpointsCover(other.subject, subject),
      )
      .sort((one, other) => (this.#places.get(one) ?? 0) - (this.#places.get(other) ?? 0));
  }

  /** Rules that together decide all that one would, in every cluster: as few as will do. */
  ruleCovers({ policy, direction, rule }: WrittenRule): readonly WrittenRule[] | undefined {
    const wider = this.#wider(policy);
    const candidates = wider.flatMap((other) =>
      (other[direction] ?? []).map((each) => ({ policy: other, direction, rule: each })),
    );
    const others = candidates.filter(
      (each) => each.rule !== rule && !this.#gone.has(each.rule) && each.rule.action !== "log",
    );
    const earlier = others.filter((each) =>
      this.#isBefore(each, { policy, direction, rule }, wider),
    );
    const same = earlier.filter((each) => each.rule.action === rule.action);
    const alike = this.#isUnordered(policy)
      ? others.filter((each) => isKubernetes(each.policy))
      : [];
    for (const some of [alike, same, earlier]) {
      const found = fewest(some, (few) =>
        rulesCover(
          few.map((each) => each.rule),
          rule,
        ),
      );
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Those that together allow all that a policy does, and isolate the same pods at least where it does. */
  policyCovers(policy: Policy): readonly Policy[] | undefined {
    if (!this.#isUnordered(policy)) return undefined;
    const wider = this.#wider(policy).filter((other) => other !== policy && isKubernetes(other));
    const own = rulesOf(policy);
    if (own.length === 0) return undefined;
    return fewest(
      wider,
      (few) =>
        DIRECTIONS.every(
          (direction) =>
            policy[direction] === undefined || few.some((other) => other[direction] !== undefined),
        ) &&
        own.every(({ direction, rule }) =>
          rulesCover(
            few.flatMap((other) =>
              (other[direction] ?? []).filter((each) => !this.#gone.has(each)),
            ),
            rule,
          ),
        ),
    );
  }

  /** Kubernetes' policies only allow: of them none comes first, unless others that deny stand among them. */
  #isUnordered(policy: Policy): boolean {
    return (
      isKubernetes(policy) &&
      !this.#policies.some(
        (other) =>
          !isKubernetes(other) &&
          other.tier.name === policy.tier.name &&
          other.order === policy.order,
      )
    );
  }

  /** It is asked before, and what it matches is then not asked of the other. */
  #isBefore(one: WrittenRule, other: WrittenRule, wider: readonly Policy[]): boolean {
    const [place, otherPlace] = [one.policy, other.policy].map(
      (policy) => this.#places.get(policy) ?? 0,
    );
    if (place === undefined || otherPlace === undefined || place > otherPlace) return false;
    if (one.policy === other.policy) return one.rule.index < other.rule.index;
    // The API does not say which is asked first.
    const tied = one.policy.tier.tiesUndefined === true && one.policy.order === other.policy.order;
    if (one.policy.tier.name === other.policy.tier.name) return !tied;
    // What passes in an earlier tier is not asked of its later rules.
    const tier = this.#policies.filter(({ tier: { name } }) => name === one.policy.tier.name);
    const passes = tier.some((policy) =>
      (policy[one.direction] ?? []).some(({ action }) => action === "pass"),
    );
    return !passes && one.rule.action !== "pass" && wider.includes(one.policy) && !isTied(tier);
  }
}

function isTied(policies: readonly Policy[]): boolean {
  return (
    policies[0]?.tier.tiesUndefined === true &&
    new Set(policies.map(({ order }) => order)).size < policies.length
  );
}

/** Of host endpoints nothing is said. */
function isForPodsAlone({ host, subject }: Policy, { index }: LintContext): boolean {
  return host === undefined && index.hostEndpointsChosenBy(subject).length === 0;
}

/** As few of them as do it together; undefined: all of them do not. */
function fewest<T>(
  all: readonly T[],
  suffice: (some: readonly T[]) => boolean,
): readonly T[] | undefined {
  if (all.length === 0 || !suffice(all)) return undefined;
  const single = all.find((each) => suffice([each]));
  if (single !== undefined) return [single];
  let left = all;
  for (const each of all) {
    const without = left.filter((other) => other !== each);
    if (suffice(without)) left = without;
  }
  return left;
}

function isKubernetes({ ref }: Policy): boolean {
  return ref.kind === "networking.k8s.io NetworkPolicy";
}

const DOES: Readonly<Record<RuleAction, string>> = {
  allow: "allows",
  deny: "denies",
  pass: "passes",
  log: "logs",
};
/** The same of several. */
const DO: Readonly<Record<RuleAction, string>> = {
  allow: "allow",
  deny: "deny",
  pass: "pass",
  log: "log",
};

function ruleName({ policy, direction, rule }: WrittenRule): string {
  return `${formatPolicyRef(policy.ref)} ${direction}[${rule.index}]`;
}

/** `NetworkPolicy shop/web ingress[0] (policies/web.yaml:12)`. */
function pointTo(each: WrittenRule): string {
  return `${ruleName(each)} ${placeText(each.rule.place)}`;
}

function placeText({ file, line }: Place): string {
  return `(${formatPlace(line === undefined ? { file } : { file, line })})`;
}

/** Most that are named of those that do something together. */
const NAMED_MAX = 3;

function listText(texts: readonly string[]): string {
  const more = texts.length - NAMED_MAX;
  const shown = more > 0 ? [...texts.slice(0, NAMED_MAX), `${more} more`] : texts;
  const [last, ...others] = shown.toReversed();
  return `${others.toReversed().join(", ")} and ${last ?? ""}`;
}

const PRESENT = "with the pods there are";

function coveredFinding(each: WrittenRule, by: readonly WrittenRule[]): Finding {
  const same = by.every(({ rule }) => rule.action === each.rule.action);
  const [first, ...others] = by;
  const alone = others.length === 0 && first !== undefined;
  const who = alone ? pointTo(first) : listText(by.map(pointTo));
  const { action } = alone ? first.rule : each.rule;
  const together = `together ${same ? DO[action] : "decide"}`;
  const what = `${who} ${alone ? DOES[action] : together} all that it means`;
  const coming = alone ? "comes first" : "come first";
  return {
    code: same ? "REDUNDANT_RULE" : "SHADOWED_RULE",
    severity: "warning",
    message: same
      ? `${ruleName(each)} makes no difference: ${what}`
      : `${ruleName(each)} never decides: ${what}, and ${coming}`,
    place: each.rule.place,
  };
}

function policyFinding(policy: Policy, by: readonly Policy[] | undefined): Finding {
  const name = formatPolicyRef(policy.ref);
  return {
    code: "REDUNDANT_POLICY",
    severity: by === undefined ? "note" : "warning",
    message:
      by === undefined
        ? `${name} makes no difference, ${PRESENT}: without it every verdict would be the same`
        : `${name} makes no difference: ${policiesText(by)}`,
    place: policy.ref.place,
  };
}

function policiesText(by: readonly Policy[]): string {
  const names = by.map(({ ref }) => `${formatPolicyRef(ref)} ${placeText(ref.place)}`);
  const [first = "", ...others] = names;
  return others.length === 0
    ? `${first} allows what it does, and isolates the same pods`
    : `${listText(names)} together allow what it does, and isolate the same pods`;
}

function idleFinding({ rule, why, instead }: IdleRule, reader: Reader): Finding {
  const { policy, direction } = rule;
  const written = { policy, direction, rule: ruleOf(rule) };
  const name = ruleName(written);
  const place = written.rule.place;
  if (why === "other-end") {
    const other = direction === "ingress" ? "egress" : "ingress";
    return {
      code: "OTHER_END_DENIES",
      severity: rule.action === "allow" ? "warning" : "note",
      message: `${name} ${DOES[rule.action]} what the ${other} policies of the other end drop anyway, ${PRESENT}`,
      place,
    };
  }
  const by = reader.ruleCovers(written);
  if (by !== undefined) return coveredFinding(written, by);
  const other =
    instead === undefined
      ? undefined
      : { at: pointTo({ ...instead, rule: ruleOf(instead) }), does: DOES[instead.action] };
  if (why === "shadowed") {
    const such = other === undefined ? "" : `, such as ${other.at}, which ${other.does}`;
    return {
      code: "SHADOWED_RULE",
      severity: "note",
      message: `${name} never decides, ${PRESENT}: earlier rules do${such}`,
      place,
    };
  }
  const same =
    other === undefined
      ? "what no rule matches fares the same"
      : `${other.at} ${other.does} it as well`;
  return {
    code: "REDUNDANT_RULE",
    severity: "note",
    message: `${name} makes no difference, ${PRESENT}: ${same}`,
    place,
  };
}
