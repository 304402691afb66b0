/**
 * Two items of `from` or `to`, one with a namespaceSelector and one with a podSelector, mean either; with
 * one dash less they mean pods of those namespaces. Both are good policies: it is told which was meant by
 * what the pod selector chooses in the policy's own namespace.
 */
import { selectorMatches } from "../cluster/selector.ts";
import { formatPolicyRef } from "../policy/model.ts";
import type { PolicyPeer } from "../policy/model.ts";
import { DIRECTIONS } from "./context.ts";
import type { LintContext } from "./context.ts";
import { isDnsSelector } from "./dns-pods.ts";
import type { Finding, FindingSeverity } from "./finding.ts";

type PodsPeer = Extract<PolicyPeer, { kind: "pods" }>;

/** Finds PEERS_APART. */
export function* lintPeersApart(context: LintContext): Generator<Finding> {
  for (const policy of context.policies) {
    for (const direction of DIRECTIONS) {
      for (const rule of policy[direction] ?? []) {
        const peers = rule.kind === "peers" ? (rule.peers ?? []) : [];
        const [namespaces] = peers.filter(isOfNamespaces);
        const [pods] = peers.filter(isOfOwnNamespace);
        if (namespaces === undefined || pods === undefined) continue;
        const severity = likelihood(namespaces, pods, { context, only: peers.length === 2 });
        if (severity === undefined) continue;
        yield {
          code: "PEERS_APART",
          severity,
          message: `${formatPolicyRef(policy.ref)} ${direction}[${rule.index}]: this item means pods of namespace ${pods.selector.namespace ?? ""}, and the other one every pod of other namespaces`,
          place: pods.place,
          suggestion:
            "if pods of those namespaces were meant, write podSelector into the item of namespaceSelector, without a dash of its own",
        };
      }
    }
  }
}

function isOfNamespaces(peer: PolicyPeer): peer is PodsPeer {
  if (peer.kind !== "pods") return false;
  const { namespaceSelector, podSelector } = peer.selector;
  const named = namespaceSelector !== undefined && namespaceSelector.requirements.length > 0;
  return named && (podSelector?.requirements ?? []).length === 0;
}

function isOfOwnNamespace(peer: PolicyPeer): peer is PodsPeer {
  if (peer.kind !== "pods") return false;
  const { namespace, podSelector } = peer.selector;
  return namespace !== undefined && (podSelector?.requirements ?? []).length > 0;
}

function likelihood(
  namespaces: PodsPeer,
  pods: PodsPeer,
  { context, only }: { readonly context: LintContext; readonly only: boolean },
): FindingSeverity | undefined {
  const { index, snapshot, inhabited } = context;
  const { namespace = "", podSelector } = pods.selector;
  if (podSelector === undefined) return undefined;
  if (isDnsSelector(podSelector) && namespace !== "kube-system") return "warning";
  if (!inhabited.has(namespace)) return only && inhabited.size === 0 ? "note" : undefined;
  if (index.chosenBy(pods.selector).length > 0) return undefined;
  const there = index
    .chosenBy(namespaces.selector)
    .some(({ labels }) => selectorMatches(podSelector, labels));
  return there && snapshot.endpoints.length > 0 ? "warning" : undefined;
}
