/**
 * Rules of a NetworkPolicy for what it isolates from: an item more in a rule that nearly matches, a rule more
 * in a policy, or a policy of its own beside those that only deny.
 */
import type { FieldPath } from "../cluster/manifest-object.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import type { Endpoint, Labels } from "../cluster/snapshot.ts";
import { formatPrefix } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import { hasPorts } from "../policy/calico-rule-items.ts";
import { policyKey } from "../policy/model.ts";
import type { Policy } from "../policy/model.ts";
import { peerRuleMisses } from "../report/nearest-miss.ts";
import type { PeerRuleMiss } from "../report/nearest-miss.ts";
import type { Blocker } from "./blocker.ts";
import { freeName, objectOf } from "./candidate.ts";
import type { Candidate, Candidates, FlowBefore, World } from "./candidate.ts";
import type { NewPolicy, Plain } from "./edit.ts";
import { namespaceKeys, namespaceLabels, podKeys, podLabels } from "./labels.ts";

/** Of more policies that isolate, rules for the others are not tried. */
const POLICIES_MAX = 3;

/** The ways to let it pass. */
export function networkPolicyCandidates(
  blocker: Blocker,
  policies: readonly Policy[],
  before: FlowBefore,
  world: World,
): Candidates {
  const { protocol, port } = blocker;
  if (port === undefined || !hasPorts(protocol)) {
    const name = protocolName(protocol).toUpperCase();
    return { why: `a NetworkPolicy cannot name ${name}: a rule for it would let every port pass` };
  }
  const open = policies.filter((policy) => !onlyDenies(policy, blocker));
  const extended = open
    .slice(0, POLICIES_MAX)
    .flatMap((policy) => [
      ...itemCandidates(blocker, policy, before, world),
      ...ruleCandidates(blocker, policy, world),
    ]);
  // Items are smaller than rules, and what today's rule lets pass comes first.
  const ordered = extended.toSorted((one, other) => one.rank - other.rank);
  return [...ordered, ...policyCandidates(blocker, policies, world)];
}

/** Peers for the rules that let it pass today, whatever their ports. */
export function peerCandidates(
  blocker: Blocker,
  policies: readonly Policy[],
  before: FlowBefore,
  world: World,
): readonly Candidate[] {
  return policies
    .slice(0, POLICIES_MAX)
    .flatMap((policy) => itemCandidates(blocker, policy, before, world))
    .filter(({ edit, rank }) => {
      const key = edit.kind === "insert" ? edit.list.at(-1) : undefined;
      return rank === 0 && (key === "from" || key === "to");
    });
}

/** A policy that selects all pods and has no rule is there to deny: it stays what it says. */
function onlyDenies(policy: Policy, { direction }: Blocker): boolean {
  const { subject } = policy;
  if ((policy[direction]?.length ?? 0) > 0) return false;
  return subject.kind === "labels" && (subject.podSelector?.requirements.length ?? 0) === 0;
}

type Ranked = Candidate & { readonly rank: number };

/** Items for rules of which only the ports or only the peers do not match. */
function itemCandidates(
  blocker: Blocker,
  policy: Policy,
  before: FlowBefore,
  world: World,
): Ranked[] {
  const { direction, judged } = blocker;
  const object = objectOf(policy.ref, world);
  if (object === undefined) return [];
  const { context } = world;
  const today = context.before.policies.find(
    (each) => policyKey(each.ref) === policyKey(policy.ref),
  );
  const rulesToday = new Set(
    today === undefined
      ? []
      : peerRuleMisses(before, today, direction, context.before)
          .filter(({ ports, peers }) => ports === 0 && peers === 0)
          .map(({ rule }) => rule.index),
  );
  return peerRuleMisses(judged, policy, direction, context.after).flatMap((miss) => {
    const list: FieldPath = ["spec", direction, miss.rule.index];
    const isToday = rulesToday.has(miss.rule.index);
    const strict = !isToday;
    const rank = isToday ? 0 : 1;
    const candidate = (key: string, item: Plain): Ranked => ({
      edit: { kind: "insert", object, list: [...list, key], index: 0, item, ordered: false },
      ...{ strict, rank },
    });
    if (miss.peers === 0 && miss.ports > 0) {
      return [candidate("ports", portItem(blocker, policy))];
    }
    if (miss.ports > 0 || miss.peers === 0) return [];
    const key = direction === "ingress" ? "from" : "to";
    const relabelled = isToday ? relabelledPeer(miss, blocker, world) : undefined;
    return [
      ...(relabelled === undefined ? [] : [candidate(key, relabelled)]),
      ...[exactPeers(blocker, policy, world)].flatMap((peers) => {
        const [only, ...others] = peers;
        return only === undefined || others.length > 0 ? [] : [candidate(key, only)];
      }),
    ];
  });
}

/** The peer that let it pass today, with the labels that are in use now. */
function relabelledPeer(
  { peer }: PeerRuleMiss,
  blocker: Blocker,
  { snapshot }: World,
): Plain | undefined {
  if (peer?.kind !== "pods" || blocker.peer.kind !== "pods") return undefined;
  const { pods } = blocker.peer;
  const [first] = pods;
  const { namespace, namespaceSelector, podSelector } = peer.selector;
  if (first === undefined || (namespace !== undefined && namespace !== first.namespace)) {
    return undefined;
  }
  const ofNamespace = snapshot.namespaceByName.get(first.namespace)?.labels ?? new Map();
  const namespaces =
    namespaceSelector === undefined ? undefined : relabelled(namespaceSelector, [ofNamespace]);
  const chosen =
    podSelector === undefined
      ? undefined
      : relabelled(
          podSelector,
          pods.map(({ labels }) => labels),
        );
  const lost =
    (namespaceSelector !== undefined && namespaces === undefined) ||
    (podSelector !== undefined && chosen === undefined);
  if (lost) return undefined;
  // Beside a selector of namespaces, one of all pods says nothing.
  const all = podSelector?.requirements.length === 0 && namespaces !== undefined;
  return {
    ...(namespaces === undefined ? {} : { namespaceSelector: namespaces }),
    ...(chosen === undefined || all ? {} : { podSelector: chosen }),
  };
}

/** The selector with the values that these labels have; undefined where that says nothing like it. */
function relabelled({ requirements }: LabelSelector, all: readonly Labels[]): Plain | undefined {
  const matchLabels: Record<string, string> = {};
  for (const { key, operator } of requirements) {
    const [value, ...others] = [...new Set(all.map((labels) => labels.get(key)))];
    if (operator !== "In" || value === undefined || others.length > 0) return undefined;
    matchLabels[key] = value;
  }
  return requirements.length === 0 ? {} : { matchLabels };
}

function ruleCandidates(blocker: Blocker, policy: Policy, world: World): Ranked[] {
  const object = objectOf(policy.ref, world);
  if (object === undefined) return [];
  const item = ruleItem(blocker, policy, world);
  const list = ["spec", blocker.direction];
  const edit = { kind: "insert", object, list, index: 0, item, ordered: false } as const;
  return [{ edit, strict: false, rank: 2 }];
}

function policyCandidates(
  blocker: Blocker,
  policies: readonly Policy[],
  world: World,
): Candidate[] {
  const { direction, subject, peer } = blocker;
  const [first] = subject;
  const [policy] = policies;
  if (first === undefined || policy === undefined) return [];
  const { namespace, workload } = first;
  const other = peer.kind === "pods" ? peer.pods[0]?.workload.name : undefined;
  const ends = [workload.name, direction === "ingress" ? "from" : "to", other ?? "outside"];
  const kind = "NetworkPolicy";
  const name = freeName(`allow-${ends.join("-")}`, kind, namespace, world);
  const labels = podLabels(subject, world.snapshot, podKeys(policy, world.policies));
  const value: NewPolicy = {
    ...{ apiVersion: "networking.k8s.io/v1", kind, metadata: { name, namespace } },
    spec: {
      podSelector: selectorOf(labels),
      policyTypes: [direction === "ingress" ? "Ingress" : "Egress"],
      [direction]: [ruleItem(blocker, policy, world, namespace)],
    },
  };
  return [{ edit: { kind: "policy", value, file: policy.ref.place.file }, strict: false }];
}

function ruleItem(
  blocker: Blocker,
  policy: Policy,
  world: World,
  namespace = policy.ref.namespace,
): Plain {
  const key = blocker.direction === "ingress" ? "from" : "to";
  return {
    [key]: exactPeers(blocker, policy, world, namespace),
    ports: [portItem(blocker, policy)],
  };
}

/** The other end, as exactly as it can be named. */
function exactPeers(
  { peer }: Blocker,
  policy: Policy,
  { snapshot, policies }: World,
  own = policy.ref.namespace,
): Plain[] {
  if (peer.kind === "addresses") {
    return peer.prefixes.map((prefix) => ({ ipBlock: { cidr: formatPrefix(prefix) } }));
  }
  const labels = podLabels(peer.pods, snapshot, podKeys(policy, policies));
  const namespace = peer.pods[0]?.namespace ?? "";
  const podSelector = selectorOf(labels);
  if (namespace === own) return [{ podSelector }];
  const ofNamespace = namespaceLabels(namespace, snapshot, namespaceKeys(policy));
  return [{ namespaceSelector: selectorOf(ofNamespace), podSelector }];
}

function selectorOf(labels: Readonly<Record<string, string>>): Plain {
  return Object.keys(labels).length === 0 ? {} : { matchLabels: labels };
}

/** The port by its name where the policy names ports so, and by its number elsewhere. */
function portItem(blocker: Blocker, policy: Policy): Plain {
  const protocol = protocolName(blocker.protocol).toUpperCase();
  const rules = policy[blocker.direction] ?? [];
  const named = rules.some(
    (rule) => rule.kind === "peers" && rule.ports?.some((port) => port.kind === "named"),
  );
  const name = named ? portName(blocker) : undefined;
  const ofProtocol = protocol === "TCP" ? {} : { protocol };
  return { ...ofProtocol, port: name ?? blocker.port ?? 0 };
}

/** What all pods that get the traffic call the port. */
export function portName({
  direction,
  subject,
  peer,
  port,
  protocol,
}: Blocker): string | undefined {
  const pods: readonly Endpoint[] =
    direction === "ingress" ? subject : peer.kind === "pods" ? peer.pods : [];
  const wanted = protocolName(protocol).toUpperCase();
  const names = pods.map(
    ({ ports }) => ports.find((each) => each.port === port && each.protocol === wanted)?.name,
  );
  const [first, ...others] = [...new Set(names)];
  return others.length === 0 ? first : undefined;
}
