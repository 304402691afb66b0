/**
 * Rules of Calico's policies: before the rule that denies, or before all others where none matches. In a tier
 * of its own such a rule passes traffic on to the next tier, where it fares as it did; in the last it allows it.
 */
import { formatPrefix } from "../net/address.ts";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, protocolName } from "../net/protocol.ts";
import { hasPorts } from "../policy/calico-rule-items.ts";
import type { Policy } from "../policy/model.ts";
import { DEFAULT_TIER } from "../policy/order.ts";
import type { Blocker, Peer } from "./blocker.ts";
import { objectOf } from "./candidate.ts";
import type { Candidate, World } from "./candidate.ts";
import type { Plain } from "./edit.ts";
import { NAMESPACE_NAME, podKeys, podLabels } from "./labels.ts";

/**
 * The ways to let it pass.
 *
 * @param index of the rule that denies, as the policy is written; 0 where none does
 */
export function calicoCandidates(
  blocker: Blocker,
  policy: Policy,
  index: number,
  world: World,
): Candidate[] {
  const object = objectOf(policy.ref, world);
  if (object === undefined) return [];
  const last = policy.tier.name === DEFAULT_TIER.name;
  const actions = last ? ["Allow"] : ["Pass", "Allow"];
  // The policy may be for other pods, too: a rule that names these is taken where others would pass by it.
  // ICMP's code is named where the type alone opens more.
  const codes = blocker.icmp === undefined ? [false] : [false, true];
  const ways = codes.flatMap((code) =>
    [true, false].flatMap((strict) => [false, true].map((narrow) => ({ narrow, strict, code }))),
  );
  const list = ["spec", blocker.direction];
  return actions.flatMap((action) =>
    ways.map(({ narrow, strict, code }): Candidate => {
      const item = ruleItem(blocker, policy, { action, narrow, code }, world);
      return { edit: { kind: "insert", object, list, index, item, ordered: true }, strict };
    }),
  );
}

function ruleItem(
  blocker: Blocker,
  policy: Policy,
  {
    action,
    narrow,
    code,
  }: { readonly action: string; readonly narrow: boolean; readonly code: boolean },
  world: World,
): Plain {
  const { direction, peer, subject, protocol, port, icmp } = blocker;
  const own = narrow ? sideItem({ kind: "pods", pods: subject }, policy, world) : {};
  const other = sideItem(peer, policy, world);
  const [source, destination] = direction === "ingress" ? [other, own] : [own, other];
  const ports = hasPorts(protocol) && port !== undefined ? { ports: [port] } : {};
  return {
    action,
    protocol: protocolWord(protocol),
    ...(icmp === undefined ? {} : { icmp: code ? { ...icmp } : { type: icmp.type } }),
    ...field("source", source),
    ...field("destination", { ...destination, ...ports }),
  };
}

function field(key: string, value: Readonly<Record<string, Plain>>): Record<string, Plain> {
  return Object.keys(value).length === 0 ? {} : { [key]: value };
}

function protocolWord(protocol: number): string | number {
  if (protocol === PROTOCOL_ICMPV6) return "ICMPv6";
  if (protocol === PROTOCOL_ICMP || hasPorts(protocol)) return protocolName(protocol).toUpperCase();
  return protocol;
}

function sideItem(
  peer: Peer,
  policy: Policy,
  { snapshot, policies }: World,
): Record<string, Plain> {
  if (peer.kind === "addresses") {
    return { nets: peer.prefixes.map(formatPrefix) };
  }
  const labels = Object.entries(podLabels(peer.pods, snapshot, podKeys(policy, policies)));
  const selector = labels.map(([key, value]) => `${key} == ${quoted(value)}`).join(" && ");
  const namespace = peer.pods[0]?.namespace ?? "";
  const chosen = { selector: selector === "" ? "all()" : selector };
  if (namespace === policy.ref.namespace) return chosen;
  return { namespaceSelector: `${NAMESPACE_NAME} == ${quoted(namespace)}`, ...chosen };
}

/** No value of a label has a quote in it. */
function quoted(value: string): string {
  return `'${value}'`;
}
