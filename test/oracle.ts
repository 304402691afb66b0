/**
 * The independent evaluator: says whether a connection attempt is allowed straight from the Pod,
 * Namespace, Node, Service, EndpointSlice and policy objects, by rules K-1 to K-14, P-1 to P-8 and A-1 to
 * A-15 of docs/semantics.md. Shares no code with what it checks; expects objects that an API server accepted.
 */
import { calicoStages, type DefaultTierPolicy, type Stage } from "./oracle-calico.ts";
import { adminTiers, type Asked, type Outcome } from "./oracle-cluster-wide.ts";
import {
  inBlock,
  isNamedPort,
  namespaceLabels,
  namespaceOf,
  nodeAt,
  podAt,
  PROTOCOLS,
  sameAddress,
  selects,
  type Attempt,
  type RawPod,
  type RawPolicy,
  type RawPort,
  type RawRule,
  type World,
} from "./oracle-objects.ts";

export { podAt } from "./oracle-objects.ts";
export type * from "./oracle-objects.ts";

/** One pod's say in one direction. */
export interface Decision {
  /** Undefined: what is missing, or left undefined by the API, makes the difference. */
  readonly allowed: boolean | undefined;
  /** `namespace/name` of the policies that isolate the pod; empty: it is not isolated. */
  readonly isolating: readonly string[];
  /** Those with a rule that allows the attempt: `namespace/name`, or `Kind name`. */
  readonly allowing: readonly string[];
  /**
   * What may deny it: a policy with a rule that does, or, for want of a rule that allows it, the policies
   * that isolate the pod, sorted and with commas between.
   */
  readonly denials: readonly string[];
}

export interface Answer {
  /** Undefined when a Service's backends would fare differently. */
  readonly allowed: boolean | undefined;
  /** Undefined when the source is no pod, or policy has no say; likewise `ingress`. */
  readonly egress: Decision | undefined;
  readonly ingress: Decision | undefined;
}

/** Says whether the attempt is allowed, after a Service's translation (K-9, KP-3, KP-4). */
export function judgeAttempt(world: World, attempt: Attempt): Answer {
  const backends = backendsOf(world, attempt);
  if (backends === undefined) return judgeTranslated(world, attempt);
  // > no endpoints at all: REJECT
  if (backends.length === 0) return { allowed: false, egress: undefined, ingress: undefined };
  const answers = backends.map((backend) => judgeTranslated(world, backend));
  const [first] = answers;
  const same = answers.every((answer) => answer.allowed === first?.allowed);
  const only = answers.length === 1 ? first : undefined;
  return {
    allowed: same ? first?.allowed : undefined,
    egress: only?.egress,
    ingress: only?.ingress,
  };
}

/** The same of a connection that no Service translates, or that one has. */
export function judgeTranslated(world: World, attempt: Attempt): Answer {
  const source = podAt(world, attempt.source);
  const destination = podAt(world, attempt.destination);
  // A pod talking to its own address never leaves it; through a Service it does (row 4 of section 19).
  if (sameAddress(attempt.source, attempt.destination) && !("service" in attempt)) {
    return { allowed: true, egress: undefined, ingress: undefined };
  }
  const egress = source && decide(world, source, "Egress", attempt);
  // > Traffic to a pod from its own node is always allowed (K-10).
  const fromOwnNode =
    destination !== undefined &&
    nodeAt(world, attempt.source) !== undefined &&
    nodeAt(world, attempt.source) === destination.spec?.nodeName;
  const ingress =
    destination && !fromOwnNode ? decide(world, destination, "Ingress", attempt) : undefined;
  return { allowed: both(egress, ingress), egress, ingress };
}

/** Both must allow; one that surely denies is enough to know. Without a say: it allows. */
function both(one: Decision | undefined, other: Decision | undefined): boolean | undefined {
  const says = [one, other].map((decision) => (decision === undefined ? true : decision.allowed));
  if (says.includes(false)) return false;
  return says.includes(undefined) ? undefined : true;
}

/** P-1, P-3: Admin, then NetworkPolicies if any isolates the pod, else Baseline, else allowed. */
function decide(world: World, pod: RawPod, type: "Ingress" | "Egress", attempt: Attempt): Decision {
  const networkPolicies = decideByNetworkPolicies(world, pod, type, attempt);
  const { isolating } = networkPolicies;
  const asked = { world, pod, type, attempt };
  if (world.calico !== undefined) return decideByTiers(asked, networkPolicies);
  const outcomes = adminTiers(asked, "Admin", () =>
    isolating.length > 0
      ? [{ allowed: networkPolicies.allowed === true, by: undefined }]
      : adminTiers(asked, "Baseline", () => [{ allowed: true, by: undefined }]),
  );
  const [first, ...others] = outcomes;
  const by = (allowed: boolean): string[] => [
    ...new Set(outcomes.filter((one) => one.allowed === allowed).flatMap((one) => one.by ?? [])),
  ];
  const decidedByThem = outcomes.some(
    (one: Outcome) => one.by === undefined && isolating.length > 0,
  );
  return {
    allowed: others.every((one) => one.allowed === first?.allowed) ? first?.allowed : undefined,
    isolating,
    allowing: [...by(true), ...(decidedByThem ? networkPolicies.allowing : [])],
    denials: denialsOf(outcomes.map((one) => ({ isolating, ...one }))),
  };
}

/** A-1, P-9: Calico's tiers by order, those of the cluster-wide policies among them, then the profiles. */
function decideByTiers(asked: Asked, { isolating, allowing }: Decision): Decision {
  const kubernetes = isolating.map((text): DefaultTierPolicy => {
    const [namespace, name] = text.split("/");
    const tie = `${name}/${namespace}/KubernetesNetworkPolicy`;
    return { text, tie, order: 1000, action: allowing.includes(text) ? "Allow" : undefined };
  });
  const stages: Stage[] = [
    ...calicoStages(asked, kubernetes),
    {
      name: "kube-admin",
      order: 1000,
      decide: (next: () => Outcome[]) => adminTiers(asked, "Admin", next),
    },
    {
      name: "kube-b",
      order: 10_000_000,
      decide: (next: () => Outcome[]) => adminTiers(asked, "Baseline", next),
    },
  ].sort(
    (one, other) =>
      (one.order === other.order ? 0 : one.order - other.order) || (one.name < other.name ? -1 : 1),
  );
  const decideFrom = (index: number): Outcome[] =>
    stages[index]?.decide(() => decideFrom(index + 1)) ?? [{ allowed: true, by: undefined }];
  const outcomes = decideFrom(0);
  const [first, ...others] = outcomes;
  const by = (allowed: boolean): string[] => [
    ...new Set(outcomes.filter((one) => one.allowed === allowed).flatMap((one) => one.by ?? [])),
  ];
  return {
    allowed: others.every((one) => one.allowed === first?.allowed) ? first?.allowed : undefined,
    isolating: [...new Set(outcomes.flatMap((one) => one.isolating ?? []))].sort(),
    // Kubernetes policies of one order only allow: any of them may be the one that is named.
    allowing: by(true).flatMap((text) => (allowing.includes(text) ? allowing : [text])),
    denials: denialsOf(outcomes),
  };
}

function denialsOf(outcomes: readonly Outcome[]): string[] {
  return outcomes
    .filter(({ allowed }) => !allowed)
    .map(({ by, isolating = [] }) => by ?? isolating.toSorted().join());
}

function decideByNetworkPolicies(
  world: World,
  pod: RawPod,
  type: "Ingress" | "Egress",
  attempt: Attempt,
): Decision {
  const isolating = world.policies.filter(
    (policy) =>
      namespaceOf(policy) === namespaceOf(pod) &&
      selects(policy.spec.podSelector ?? {}, pod.metadata.labels ?? {}) &&
      typesOf(policy).includes(type),
  );
  const allowing = isolating.filter(({ metadata, spec }) =>
    (type === "Ingress" ? (spec.ingress ?? []) : (spec.egress ?? [])).some(
      (rule) =>
        peersAllow(world, metadata.namespace ?? "default", type, rule, attempt) &&
        portsAllow(world, rule.ports ?? [], attempt),
    ),
  );
  const named = (policies: readonly RawPolicy[]): string[] =>
    policies.map((policy) => `${namespaceOf(policy)}/${policy.metadata.name}`).sort();
  return {
    allowed: isolating.length === 0 || allowing.length > 0,
    isolating: named(isolating),
    allowing: named(allowing),
    denials: allowing.length === 0 ? [named(isolating).join()] : [],
  };
}

/** K-3. Absent and empty `policyTypes` mean the same; so do absent and empty `egress` here. */
function typesOf({ spec }: RawPolicy): readonly string[] {
  if (spec.policyTypes !== undefined && spec.policyTypes.length > 0) return spec.policyTypes;
  return (spec.egress ?? []).length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
}

function peersAllow(
  world: World,
  namespace: string,
  type: "Ingress" | "Egress",
  rule: RawRule,
  attempt: Attempt,
): boolean {
  const peers = (type === "Ingress" ? rule.from : rule.to) ?? [];
  const address = type === "Ingress" ? attempt.source : attempt.destination;
  // > If this field is empty or missing, this rule matches all (K-4).
  if (peers.length === 0) return true;
  const pod = podAt(world, address);
  return peers.some(({ ipBlock, namespaceSelector, podSelector }) => {
    if (ipBlock !== undefined) {
      const excepted = (ipBlock.except ?? []).some((except) => inBlock(address, except));
      return inBlock(address, ipBlock.cidr) && !excepted;
    }
    if (pod === undefined) return false;
    const namespaceFits =
      namespaceSelector === undefined
        ? namespaceOf(pod) === namespace
        : selects(namespaceSelector, namespaceLabels(world, namespaceOf(pod)));
    return namespaceFits && selects(podSelector ?? {}, pod.metadata.labels ?? {});
  });
}

function portsAllow(world: World, ports: readonly RawPort[], attempt: Attempt): boolean {
  // > If this field is empty or missing, this rule matches all ports; in Calico all protocols (K-11).
  if (ports.length === 0) return true;
  return ports.some(({ protocol = "TCP", port, endPort }) => {
    if (PROTOCOLS[protocol] !== attempt.protocol) return false;
    if (port === undefined) return true;
    if (attempt.port === undefined) return false;
    if (typeof port === "number") return attempt.port >= port && attempt.port <= (endPort ?? port);
    return isNamedPort(world, attempt, { name: port, protocol });
  });
}

/** Where the Service at the attempt's destination sends it; undefined when there is none. */
export function backendsOf(
  world: World,
  attempt: Attempt,
): (Attempt & { readonly service: string })[] | undefined {
  for (const service of world.services ?? []) {
    if (!service.spec.clusterIPs.some((ip) => sameAddress(ip, attempt.destination))) continue;
    const port = service.spec.ports.find(
      (one) => one.port === attempt.port && PROTOCOLS[one.protocol ?? "TCP"] === attempt.protocol,
    );
    if (port === undefined) continue;
    const family = attempt.destination.includes(":") ? "IPv6" : "IPv4";
    return (world.endpointSlices ?? [])
      .filter(
        (slice) =>
          slice.addressType === family &&
          namespaceOf(slice) === namespaceOf(service) &&
          slice.metadata.labels?.["kubernetes.io/service-name"] === service.metadata.name,
      )
      .flatMap((slice) =>
        slice.ports
          .filter((one) => (one.name ?? "") === (port.name ?? ""))
          .flatMap((target) =>
            slice.endpoints.flatMap(({ addresses }) =>
              addresses.map((destination) => ({
                ...attempt,
                destination,
                port: target.port,
                service: service.metadata.name,
              })),
            ),
          ),
      );
  }
  return undefined;
}
