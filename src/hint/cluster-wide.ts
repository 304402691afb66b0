/**
 * Rules of the cluster-wide kinds of policy.networking.k8s.io, before the rule that denies: one that leaves the
 * traffic to the policies behind it where the kind has that, else one that lets it pass.
 */
import { formatPrefix } from "../net/address.ts";
import { hasPorts } from "../policy/calico-rule-items.ts";
import { protocolName } from "../net/protocol.ts";
import { kindWord } from "../policy/model.ts";
import type { Policy } from "../policy/model.ts";
import type { Blocker } from "./blocker.ts";
import { freeName, objectOf } from "./candidate.ts";
import type { Candidate, Candidates, World } from "./candidate.ts";
import type { Plain } from "./edit.ts";
import { namespaceKeys, namespaceLabels, podKeys, podLabels } from "./labels.ts";
import { portName } from "./network-policy.ts";

/** The actions that stop denying, the one that opens least first. */
const ACTIONS: Readonly<Record<string, readonly string[]>> = {
  AdminNetworkPolicy: ["Pass", "Allow"],
  BaselineAdminNetworkPolicy: ["Allow"],
  ClusterNetworkPolicy: ["Pass", "Accept"],
};

/**
 * The ways to let it pass.
 *
 * @param index of the rule that denies, as the policy is written
 */
export function clusterWideCandidates(
  blocker: Blocker,
  policy: Policy,
  index: number,
  world: World,
): Candidates {
  const { direction, peer, protocol, port } = blocker;
  const kind = kindWord(policy.ref);
  const article = /^[AEIOU]/.test(kind) ? "an" : "a";
  if (port === undefined || !hasPorts(protocol)) {
    const name = protocolName(protocol).toUpperCase();
    return {
      why: `${article} ${kind} cannot name ${name}: a rule for it would let every port pass`,
    };
  }
  if (peer.kind === "addresses" && direction === "ingress") {
    return { why: `${article} ${kind} names pods only as those who send` };
  }
  const object = objectOf(policy.ref, world);
  if (object === undefined) return [];
  const actions = ACTIONS[kind] ?? [];
  const list = ["spec", direction];
  const before = actions.map((action): Candidate => {
    const item = ruleItem(blocker, policy, action, world);
    return {
      edit: { kind: "insert", object, list, index, item, ordered: true },
      strict: false,
    };
  });
  return [...before, ...policyCandidates(blocker, policy, actions, world)];
}

/** A policy of its own before it, for these pods only. */
function policyCandidates(
  blocker: Blocker,
  policy: Policy,
  actions: readonly string[],
  world: World,
): Candidate[] {
  const { direction, subject } = blocker;
  const [first] = subject;
  const object = objectOf(policy.ref, world);
  const kind = kindWord(policy.ref);
  if (first === undefined || object === undefined || policy.order < 1) return [];
  // There is one BaselineAdminNetworkPolicy in a cluster.
  if (kind === "BaselineAdminNetworkPolicy") return [];
  const name = freeName(`allow-${first.namespace}-${first.workload.name}`, kind, undefined, world);
  const tier = kind === "ClusterNetworkPolicy" ? { tier: tierWord(policy) } : {};
  return actions.map((action) => ({
    edit: {
      kind: "policy",
      file: policy.ref.place.file,
      value: {
        ...{ apiVersion: object.apiVersion, kind, metadata: { name } },
        spec: {
          ...tier,
          priority: policy.order - 1,
          subject: podsItem(blocker.subject, policy, world),
          [direction]: [ruleItem(blocker, policy, action, world)],
        },
      },
    },
    strict: false,
  }));
}

function tierWord({ tier }: Policy): string {
  return tier.name === "kube-baseline" ? "Baseline" : "Admin";
}

function ruleItem(blocker: Blocker, policy: Policy, action: string, world: World): Plain {
  const { direction, peer } = blocker;
  const peers =
    peer.kind === "pods"
      ? [podsItem(peer.pods, policy, world)]
      : [{ networks: peer.prefixes.map(formatPrefix) }];
  const alpha1 = kindWord(policy.ref) !== "ClusterNetworkPolicy";
  return {
    action,
    [direction === "ingress" ? "from" : "to"]: peers,
    ...(alpha1
      ? { ports: [adminPort(blocker, policy)] }
      : { protocols: [protocolItem(blocker, policy)] }),
  };
}

function podsItem(pods: Blocker["subject"], policy: Policy, { snapshot, policies }: World): Plain {
  const namespace = namespaceLabels(pods[0]?.namespace ?? "", snapshot, namespaceKeys(policy));
  const labels = podLabels(pods, snapshot, podKeys(policy, policies));
  return {
    pods: {
      namespaceSelector: { matchLabels: namespace },
      podSelector: Object.keys(labels).length === 0 ? {} : { matchLabels: labels },
    },
  };
}

function adminPort(blocker: Blocker, policy: Policy): Plain {
  const name = nameInUse(blocker, policy);
  if (name !== undefined) return { namedPort: name };
  const protocol = protocolName(blocker.protocol).toUpperCase();
  return { portNumber: { protocol, port: blocker.port ?? 0 } };
}

function protocolItem(blocker: Blocker, policy: Policy): Plain {
  const name = nameInUse(blocker, policy);
  if (name !== undefined) return { destinationNamedPort: name };
  return { [protocolName(blocker.protocol)]: { destinationPort: { number: blocker.port ?? 0 } } };
}

/** The port's name, where the policy calls ports by names. */
function nameInUse(blocker: Blocker, policy: Policy): string | undefined {
  const named = (policy[blocker.direction] ?? []).some(
    (rule) => rule.kind === "peers" && rule.ports?.some((port) => port.kind === "named"),
  );
  return named ? portName(blocker) : undefined;
}
