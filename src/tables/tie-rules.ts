/** Rules that try the orders of policies which the API leaves open. */
import type { Direction, Policy } from "../policy/model.ts";
import type { OrderGroup } from "../policy/ties.ts";
import type { Rule, RuleOrigin } from "./model.ts";
import { policyChainName } from "./names.ts";
import {
  bitsClear,
  bitsSet,
  clearBits,
  jump,
  makeRule,
  MARK_ACCEPT,
  MARK_PASS,
  MARK_TRIED,
  MARK_TRYING,
  RETURN,
  setBits,
} from "./rule.ts";

/** Behind the jump to a policy's chain. */
export const END_IF_POLICY_ACCEPTED = makeRule({
  comment: "Return if policy accepted",
  matches: [bitsSet(MARK_ACCEPT)],
  target: RETURN,
});

/**
 * Where the API leaves open which of several policies decides, Felix asks them by name; here each rival is
 * also tried before the others, so that a verdict stands only if all orders come to it:
 *
 *     no order tried, not passed   trying
 *     trying, unknown fact         not trying: the order by name comes first
 *     trying                       the rival's chain
 *     accept bit                   returns
 *     trying                       tried: no second rival before the others
 *
 * These rules are in no text: a kernel has one order.
 */
export function tieRules({ policies, rivals }: OrderGroup, direction: Direction): Rule[] {
  const origin: RuleOrigin = {
    kind: "tie",
    direction,
    policies: policies.map((policy) => placed(policy, direction)),
  };
  return [
    makeRule({ target: clearBits(MARK_TRYING | MARK_TRIED), origin }),
    ...rivals.flatMap((rival) => [
      makeRule({
        matches: [bitsClear(MARK_TRIED | MARK_PASS)],
        target: setBits(MARK_TRYING),
        origin,
      }),
      makeRule({
        matches: [bitsSet(MARK_TRYING), { kind: "opaque", name: "tie", text: "" }],
        target: clearBits(MARK_TRYING),
        origin,
      }),
      makeRule({
        matches: [bitsSet(MARK_TRYING)],
        target: jump(policyChainName(direction, rival.ref)),
        origin,
      }),
      { ...END_IF_POLICY_ACCEPTED, origin },
      makeRule({
        matches: [bitsSet(MARK_TRYING)],
        target: { kind: "MARK", value: MARK_TRIED, mask: MARK_TRIED | MARK_TRYING },
        origin,
      }),
    ]),
  ];
}

/** A policy, and where it says what it does in a direction. */
export function placed(
  policy: Policy,
  direction: Direction,
): { readonly policy: Policy["ref"]; readonly place: Policy["ingressPlace"] } {
  const place = direction === "ingress" ? policy.ingressPlace : policy.egressPlace;
  return { policy: policy.ref, place };
}
