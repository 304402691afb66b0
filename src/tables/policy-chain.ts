/**
 * One policy's rules in one direction to one chain, shared by every endpoint the policy selects. The
 * chain sets the accept or the pass bit and returns, whose meaning is up to the endpoint's chain; a
 * denial becomes DROP here.
 * Source: Felix rules/policy.go.
 */
import { endpointName } from "../cluster/snapshot.ts";
import type { Place } from "../errors.ts";
import { formatPolicyName } from "../policy/model.ts";
import type { Direction, MatchRule, Policy, RuleAction } from "../policy/model.ts";
import { builtInProfile, type Profile } from "../policy/profile.ts";
import { CALICO_KIND } from "../policy/order.ts";
import { renderFelixRule } from "./felix-rule.ts";
import type { FelixRule } from "./felix-rule.ts";
import { lowerMatchRule } from "./match-rule.ts";
import { isPrinted } from "./model.ts";
import type { Chain, Rule } from "./model.ts";
import { policyChainName, profileChainName } from "./names.ts";
import { compilePeerRule } from "./peer-rule.ts";
import type { PolicyContext, RuleContext } from "./policy-context.ts";
import { makeRule } from "./rule.ts";
import type { SetCollector } from "./sets.ts";

/** Compiles a policy's rules of one direction. */
export function compilePolicyChain(
  policy: Policy,
  direction: Direction,
  context: PolicyContext,
): Chain {
  const rules = (policy[direction] ?? []).flatMap((rule) =>
    rule.kind === "peers"
      ? compilePeerRule({ policy, direction, rule, context })
      : compileMatchRule({ policy, direction, rule, context }),
  );
  // The end of a chain returns anyway, as Felix notes and leaves such rules out.
  while (rules.at(-1)?.target?.kind === "RETURN") rules.pop();
  return {
    name: policyChainName(direction, policy.ref),
    policy: undefined,
    ...(rules.every(isPrinted) ? {} : { partlyPrinted: true }),
    rules: titled(
      rules,
      `${CALICO_KIND[policy.ref.kind]} ${formatPolicyName(policy.ref)} ${direction}`,
    ),
  };
}

/** Tells whether a policy's rules of a direction are the same in both families. */
export function isAlikeInFamilies(policy: Policy, direction: Direction): boolean {
  return (policy[direction] ?? []).every(
    (rule) => rule.kind === "peers" && (rule.peers ?? []).every(({ kind }) => kind === "pods"),
  );
}

/** A policy's chain, and the sets that it has asked for: also those that no rule of it needs then. */
export interface ChainWithSets {
  readonly chain: Chain;
  readonly sets: readonly string[];
}

/** What such a policy has in one family by what it has in another: the same chain, whose sets are `other` there. */
export function counterpartOf(
  { chain, sets: asked }: ChainWithSets,
  { sets, other }: { readonly sets: SetCollector; readonly other: SetCollector },
): ChainWithSets {
  return { chain, sets: asked.map((name) => sets.counterpartOf(name, other)) };
}

/** Compiles the rules of a host endpoint's profile; of one that is not there: it denies everything. */
export function compileProfileChain(
  name: string,
  direction: Direction,
  { profile, context }: { readonly profile: Profile | undefined; readonly context: PolicyContext },
): Chain {
  const rules =
    profile === undefined
      ? builtInRules()
      : profile[direction].flatMap((rule) => {
          const felixRule = lowerMatchRule(rule, context);
          return felixRule === undefined
            ? []
            : render(felixRule, rule.action, rule.index, rule.place);
        });
  while (rules.at(-1)?.target?.kind === "RETURN") rules.pop();
  return {
    name: profileChainName(direction, name),
    policy: undefined,
    rules: titled(rules, `Profile ${name} ${direction}`),
  };

  function builtInRules(): Rule[] {
    const built = builtInProfile(name);
    if (built === "no rules") return [];
    return render(EVERYTHING, built === "allows" ? "allow" : "deny", undefined, undefined);
  }

  function render(
    rule: FelixRule,
    action: RuleAction,
    index: number | undefined,
    place: Place | undefined,
  ): Rule[] {
    const { family } = context;
    const { rules: rendered } = renderFelixRule(rule, {
      action,
      family,
      origin: (effect) => ({
        kind: "profile-rule",
        effect,
        profile: name,
        direction,
        rule: index,
        place,
      }),
    });
    return [...rendered];
  }
}

const EVERYTHING: FelixRule = { source: {}, destination: {} };

/** Puts the policy's name on the first rule; without rules (isolates, allows nothing) on one of its own. */
function titled(rules: readonly Rule[], comment: string): readonly Rule[] {
  const [first] = rules;
  return first === undefined
    ? [makeRule({ comment })]
    : rules.with(0, makeRule({ ...first, comment }));
}

function compileMatchRule({
  policy,
  direction,
  rule,
  context,
}: RuleContext<MatchRule>): readonly Rule[] {
  const felixRule = lowerMatchRule(rule, context);
  if (felixRule === undefined) return [];
  const missing = missingOfServices(rule, context.sets);
  const rendered = renderFelixRule(felixRule, {
    action: rule.action,
    family: context.family,
    origin: (effect) => ({
      kind: "policy-rule",
      effect,
      policy: policy.ref,
      direction,
      rule: rule.index,
      place: rule.place,
      ...(missing === undefined ? {} : { missing }),
    }),
  });
  if (rendered.wider) context.onWider?.(policy, direction, rule);
  return rendered.rules;
}

/** What no manifest tells of the Services that a rule names, in words. */
function missingOfServices(
  { source, destination }: MatchRule,
  sets: SetCollector,
): string | undefined {
  const unknown = [source.service, destination.service].filter(
    (service) => service !== undefined && !sets.knowsService(service),
  );
  const names = new Set(unknown.map((service) => service && endpointName(service)));
  return names.size === 0 ? undefined : `the endpoints of Service ${[...names].join(" and ")}`;
}
