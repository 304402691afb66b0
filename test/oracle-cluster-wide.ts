/**
 * The evaluator's cluster-wide policies (P-1 to P-8): what a tier makes of an attempt. Where the API
 * leaves open which of several policies decides, and where domain names stand for unknown addresses,
 * there are several outcomes.
 */
import {
  allOf,
  anyOf,
  nameMeans,
  type Asking,
  type DialectName,
  type Tri,
} from "./oracle-dialects.ts";
import {
  inBlock,
  namespaceLabels,
  namespaceOf,
  nodeObjectAt,
  podAt,
  PROTOCOLS,
  selects,
  type RawClusterPeer,
  type RawClusterPolicy,
  type RawClusterRule,
  type RawDestination,
  type RawPod,
  type World,
} from "./oracle-objects.ts";

/** What may become of an attempt. */
export interface Outcome {
  readonly allowed: boolean;
  /** `Kind name` of the policy whose rule says so; undefined when it is no cluster-wide one. */
  readonly by: string | undefined;
  /** Those of a tier none of whose rules matches, where it then denies. */
  readonly isolating?: readonly string[];
}

/** One direction of an attempt, for the pod whose say is asked. */
export interface Asked {
  readonly world: World;
  readonly pod: RawPod;
  readonly type: "Ingress" | "Egress";
  readonly attempt: Asking;
  readonly dialect: DialectName;
}

/** What may come of the tier: of the older API's policies, then of the newer one's. */
export function adminTiers(
  asked: Asked,
  tier: "Admin" | "Baseline",
  next: () => Outcome[],
): Outcome[] {
  const older = tier === "Admin" ? "AdminNetworkPolicy" : "BaselineAdminNetworkPolicy";
  const policies = (asked.world.clusterPolicies ?? []).filter(({ spec }) =>
    isPodIn(asked.world, asked.pod, spec.subject),
  );
  return decideTier(
    asked,
    policies.filter(({ kind }) => kind === older),
    () =>
      decideTier(
        asked,
        policies.filter(({ kind, spec }) => kind === "ClusterNetworkPolicy" && spec.tier === tier),
        next,
      ),
  );
}

/** P-2: ascending priority; of equal ones any that matches may be the one that decides. */
function decideTier(
  asked: Asked,
  policies: readonly RawClusterPolicy[],
  next: () => Outcome[],
): Outcome[] {
  // One implementation goes by name where priorities are equal.
  const byName = asked.dialect === "kube-network-policies";
  const rankOf = (policy: RawClusterPolicy): string =>
    `${String(priorityOf(policy)).padStart(5, "0")} ${byName ? policy.metadata.name : ""}`;
  const ranks = [...new Set(policies.map(rankOf))].sort();
  const decideFrom = (index: number): Outcome[] => {
    const rank = ranks[index];
    if (rank === undefined) return next();
    const equal = policies.filter((policy) => rankOf(policy) === rank);
    const says = equal.map((policy) => {
      return { by: `${policy.kind} ${policy.metadata.name}`, actions: actionsOf(asked, policy) };
    });
    const outcomes = says.flatMap(({ by, actions }) =>
      actions.flatMap((action): Outcome[] => {
        if (action === undefined) return [];
        // > Pass: skips all further rules in the current tier.
        return action === "Pass" ? next() : [{ allowed: action !== "Deny", by }];
      }),
    );
    // That none matches is possible only if each may not.
    const none = says.every(({ actions }) => actions.includes(undefined));
    return none ? [...outcomes, ...decideFrom(index + 1)] : outcomes;
  };
  return decideFrom(0);
}

function priorityOf({ spec }: RawClusterPolicy): number {
  return spec.priority ?? 0;
}

/** The actions that may be the first match's; undefined: no rule matches. */
function actionsOf(asked: Asked, { spec }: RawClusterPolicy): (string | undefined)[] {
  const rules = asked.type === "Ingress" ? (spec.ingress ?? []) : (spec.egress ?? []);
  const actions: (string | undefined)[] = [];
  for (const rule of rules) {
    const matches = ruleMatches(asked, rule);
    if (matches !== "no") actions.push(rule.action);
    if (matches === "yes") return actions;
  }
  return [...actions, undefined];
}

/** `maybe`: it hangs on the addresses of a domain name, or of nodes that have no objects. */
function ruleMatches(asked: Asked, rule: RawClusterRule): "yes" | "no" | "maybe" {
  const peers = (asked.type === "Ingress" ? rule.from : rule.to) ?? [];
  return anyOf(
    peers.map((peer) =>
      allOf([
        portsMatch(asked, rule, peer),
        isPeer(asked, peer) ? "yes" : mayBePeer(asked, peer) ? "maybe" : "no",
      ]),
    ),
  );
}

function mayBePeer({ world, attempt }: Asked, peer: RawClusterPeer): boolean {
  if (peer.domainNames !== undefined) return true;
  const nodes = new Set((world.nodes ?? []).map(({ metadata }) => metadata.name));
  const allKnown =
    nodes.size > 0 && world.pods.every(({ spec }) => nodes.has(spec?.nodeName ?? ""));
  return peer.nodes !== undefined && !allKnown && podAt(world, attempt.destination) === undefined;
}

function isPeer({ world, type, attempt }: Asked, peer: RawClusterPeer): boolean {
  const address = type === "Ingress" ? attempt.source : attempt.destination;
  if (peer.networks !== undefined) return peer.networks.some((cidr) => inBlock(address, cidr));
  if (peer.nodes !== undefined) {
    const node = nodeObjectAt(world, address);
    return node !== undefined && selects(peer.nodes, node.metadata.labels ?? {});
  }
  const pod = podAt(world, address);
  return pod !== undefined && isPodIn(world, pod, peer);
}

function isPodIn(world: World, pod: RawPod, { namespaces, pods }: RawClusterPeer): boolean {
  const labels = namespaceLabels(world, namespaceOf(pod));
  if (namespaces !== undefined) return selects(namespaces, labels);
  if (pods === undefined) return false;
  const { namespaceSelector = {}, podSelector = {} } = pods;
  return selects(namespaceSelector, labels) && selects(podSelector, pod.metadata.labels ?? {});
}

/** P-6, P-8: absent means every protocol. */
function portsMatch(asked: Asked, rule: RawClusterRule, peer: RawClusterPeer): Tri {
  const { attempt, world, type, dialect } = asked;
  if (rule.ports === undefined && rule.protocols === undefined) return "yes";
  const inRange = (protocol: string, first: number, last: number): Tri =>
    PROTOCOLS[protocol] === attempt.protocol &&
    attempt.port !== undefined &&
    attempt.port >= first &&
    attempt.port <= last
      ? "yes"
      : "no";
  const named = (name: string): Tri =>
    peer.namespaces !== undefined || peer.pods !== undefined
      ? nameMeans(dialect, world, type, { name, protocol: undefined }, attempt)
      : "no";
  const destined = (protocol: string, to: RawDestination | undefined): Tri => {
    if (to === undefined) return "no";
    const { number, range } = to.destinationPort;
    return inRange(protocol, range?.start ?? number ?? 0, range?.end ?? number ?? 0);
  };
  return anyOf([
    ...(rule.ports ?? []).map(({ portNumber, portRange, namedPort }) => {
      if (namedPort !== undefined) return named(namedPort);
      const { protocol = "TCP" } = portNumber ?? portRange ?? {};
      const first = portNumber?.port ?? portRange?.start ?? 0;
      return inRange(protocol, first, portNumber?.port ?? portRange?.end ?? 0);
    }),
    ...(rule.protocols ?? []).map(({ tcp, udp, sctp, destinationNamedPort }) => {
      if (destinationNamedPort !== undefined) return named(destinationNamedPort);
      return anyOf([destined("TCP", tcp), destined("UDP", udp), destined("SCTP", sctp)]);
    }),
  ]);
}
