/**
 * The independent evaluator: says whether a connection attempt is allowed straight from the Pod,
 * Namespace, Node, Service, EndpointSlice and policy objects, by rules K-1 to K-14, P-1 to P-8 and A-1 to
 * A-15 of docs/semantics.md. Shares no code with what it checks; expects objects that an API server accepted.
 */
import { calicoStages, type DefaultTierPolicy, type Stage } from "./oracle-calico.ts";
import { adminTiers, type Asked, type Outcome } from "./oracle-cluster-wide.ts";
import {
  allOf,
  anyOf,
  blockMeans,
  isToItself,
  nameMeans,
  protocolAnswer,
  type Asking,
  type DialectName,
  type Tri,
} from "./oracle-dialects.ts";
import { judgeByRouter } from "./oracle-kube-router.ts";
import {
  namespaceLabels,
  namespaceOf,
  nodeAt,
  podAt,
  PROTOCOLS,
  sameAddress,
  selects,
  type Attempt,
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
export function judgeAttempt(
  world: World,
  attempt: Attempt,
  dialect: DialectName = "calico",
): Answer {
  const backends = backendsOf(world, attempt);
  if (backends === undefined) return judgeTranslated(world, attempt, dialect);
  // > no endpoints at all: REJECT
  if (backends.length === 0) {
    // kube-router's acceptance of what a pod sends comes before the refusal.
    const late = dialect === "kube-router" && podAt(world, attempt.source) !== undefined;
    if (late) return judgeTranslated(world, attempt, dialect);
    return { allowed: false, egress: undefined, ingress: undefined };
  }
  const answers = backends.map((backend) => judgeTranslated(world, backend, dialect));
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
export function judgeTranslated(
  world: World,
  attempt: Asking,
  dialect: DialectName = "calico",
): Answer {
  const source = podAt(world, attempt.source);
  const destination = podAt(world, attempt.destination);
  // A pod talking to its own address never leaves it; through a Service it does (row 4 of section 19).
  if (sameAddress(attempt.source, attempt.destination) && !("service" in attempt)) {
    return { allowed: true, egress: undefined, ingress: undefined };
  }
  if (dialect === "kube-router") return judgeByRouter(world, attempt);
  const bound = source !== undefined || destination !== undefined;
  if (bound && protocolAnswer(dialect, attempt.protocol) === "drop") {
    return { allowed: false, egress: undefined, ingress: undefined };
  }
  if (dialect === "cilium" && isToItself(attempt)) {
    return { allowed: true, egress: undefined, ingress: undefined };
  }
  const egress = source && decide({ world, pod: source, type: "Egress", attempt, dialect });
  // > Traffic to a pod from its own node is always allowed (K-10).
  const fromOwnNode =
    destination !== undefined &&
    nodeAt(world, attempt.source) !== undefined &&
    nodeAt(world, attempt.source) === destination.spec?.nodeName;
  const ingress =
    destination && !(fromOwnNode && dialect !== "kube-network-policies")
      ? decide({ world, pod: destination, type: "Ingress", attempt, dialect })
      : undefined;
  const allowed = both(egress, ingress);
  // Only what processes of root send is always allowed; and whether a pod may block itself is open.
  const lenient =
    (fromOwnNode && ingress !== undefined) || (dialect === "generic" && isToItself(attempt));
  return lenient
    ? { allowed: allowed === true ? true : undefined, egress: undefined, ingress: undefined }
    : { allowed, egress, ingress };
}

/** Both must allow; one that surely denies is enough to know. Without a say: it allows. */
function both(one: Decision | undefined, other: Decision | undefined): boolean | undefined {
  const says = [one, other].map((decision) => (decision === undefined ? true : decision.allowed));
  if (says.includes(false)) return false;
  return says.includes(undefined) ? undefined : true;
}

/** P-1, P-3: Admin, then NetworkPolicies if any isolates the pod, else Baseline, else allowed. */
function decide(asked: Asked): Decision {
  const { world } = asked;
  const networkPolicies = decideByNetworkPolicies(asked);
  const { isolating } = networkPolicies;
  if (world.calico !== undefined) return decideByTiers(asked, networkPolicies);
  const outcomes = adminTiers(asked, "Admin", () =>
    isolating.length > 0
      ? outcomesOf(networkPolicies)
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

/** What is not known may come either way. */
function outcomesOf({ allowed }: Decision): Outcome[] {
  const both = [true, false].filter((each) => allowed === undefined || allowed === each);
  return both.map((each) => ({ allowed: each, by: undefined }));
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

function decideByNetworkPolicies({ world, pod, type, attempt, dialect }: Asked): Decision {
  const isolating = world.policies.filter(
    (policy) =>
      namespaceOf(policy) === namespaceOf(pod) &&
      selects(policy.spec.podSelector ?? {}, pod.metadata.labels ?? {}) &&
      typesOf(policy).includes(type),
  );
  const allows = ({ metadata, spec }: RawPolicy): Tri =>
    anyOf(
      (type === "Ingress" ? (spec.ingress ?? []) : (spec.egress ?? [])).map((rule) =>
        allOf([
          peersAllow({ world, type, attempt, dialect }, metadata.namespace ?? "default", rule),
          portsAllow({ world, type, attempt, dialect }, rule.ports ?? []),
        ]),
      ),
    );
  const answers = isolating.map((policy) => ({ policy, allows: allows(policy) }));
  const allowing = answers.filter((each) => each.allows !== "no").map(({ policy }) => policy);
  const named = (policies: readonly RawPolicy[]): string[] =>
    policies.map((policy) => `${namespaceOf(policy)}/${policy.metadata.name}`).sort();
  const open = isolating.length > 0 && protocolAnswer(dialect, attempt.protocol) === "open";
  const whole = open ? "maybe" : anyOf(answers.map((each) => each.allows));
  return {
    allowed: isolating.length === 0 ? true : BOOLEAN[whole],
    isolating: named(isolating),
    allowing: named(allowing),
    denials: whole === "yes" ? [] : [named(isolating).join()],
  };
}

const BOOLEAN: Readonly<Record<Tri, boolean | undefined>> = {
  yes: true,
  no: false,
  maybe: undefined,
};

/** K-3. Absent and empty `policyTypes` mean the same; so do absent and empty `egress` here. */
function typesOf({ spec }: RawPolicy): readonly string[] {
  if (spec.policyTypes !== undefined && spec.policyTypes.length > 0) return spec.policyTypes;
  return (spec.egress ?? []).length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
}

type Question = Pick<Asked, "world" | "type" | "attempt" | "dialect">;

function peersAllow(
  { world, type, attempt, dialect }: Question,
  namespace: string,
  rule: RawRule,
): Tri {
  const peers = (type === "Ingress" ? rule.from : rule.to) ?? [];
  const address = type === "Ingress" ? attempt.source : attempt.destination;
  // > If this field is empty or missing, this rule matches all (K-4).
  if (peers.length === 0) return "yes";
  const pod = podAt(world, address);
  return anyOf(
    peers.map(({ ipBlock, namespaceSelector, podSelector }): Tri => {
      if (ipBlock !== undefined) return blockMeans(dialect, world, type, ipBlock, attempt);
      if (pod === undefined) return "no";
      const namespaceFits =
        namespaceSelector === undefined
          ? namespaceOf(pod) === namespace
          : selects(namespaceSelector, namespaceLabels(world, namespaceOf(pod)));
      const fits = namespaceFits && selects(podSelector ?? {}, pod.metadata.labels ?? {});
      return fits ? "yes" : "no";
    }),
  );
}

function portsAllow({ world, type, attempt, dialect }: Question, ports: readonly RawPort[]): Tri {
  // > If this field is empty or missing, this rule matches all ports; in Calico all protocols (K-11).
  if (ports.length === 0) return "yes";
  return anyOf(
    ports.map(({ protocol = "TCP", port, endPort }): Tri => {
      if (PROTOCOLS[protocol] !== attempt.protocol) return "no";
      if (port === undefined) return "yes";
      if (attempt.port === undefined) return "no";
      if (typeof port !== "number") {
        return nameMeans(dialect, world, type, { name: port, protocol }, attempt);
      }
      return attempt.port >= port && attempt.port <= (endPort ?? port) ? "yes" : "no";
    }),
  );
}

/** Where the Service at the attempt's destination sends it; undefined when there is none. */
export function backendsOf(
  world: World,
  attempt: Attempt,
): (Attempt & { readonly service: string; readonly asked: string })[] | undefined {
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
                asked: attempt.destination,
              })),
            ),
          ),
      );
  }
  return undefined;
}
