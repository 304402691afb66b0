/**
 * Seeded clusters as objects. Three shapes: `mixed` is what clusters under Calico look like, replicas with
 * shared labels in many namespaces and policies of every form; `kinds` is the same with six of ten policies
 * of other kinds, Calico's in tiers and cluster-wide ones; `single` has one namespace, where every policy and
 * every peer means one pod.
 */

/** A cluster's size. */
export interface ClusterSize {
  readonly policies: number;
  readonly pods: number;
}

/** How the policies of a cluster mean its pods. */
export type ClusterShape = "mixed" | "kinds" | "single";

/** Draws the objects of a cluster, as `kubectl get -o json` lists them. */
export function makeCluster(shape: ClusterShape, size: ClusterSize): object[] {
  switch (shape) {
    case "mixed":
      return mixedCluster(size);
    case "kinds":
      return [...CALICO_OBJECTS, ...mixedCluster(size, otherKind)];
    case "single":
      return singleCluster(size);
  }
}

const PODS_PER_NAMESPACE = 100;
const REPLICAS = 5;
const NODES = 50;
const TIERS = ["web", "api", "data"];

/** A policy that is none of Kubernetes' namespaced ones; undefined: it is one. */
type OtherKind = (policy: number, namespace: string, draw: Draw) => object | undefined;

function mixedCluster(
  { policies, pods }: ClusterSize,
  otherKind: OtherKind = () => undefined,
): object[] {
  const namespaces = Math.max(1, Math.round(pods / PODS_PER_NAMESPACE));
  const applications = PODS_PER_NAMESPACE / REPLICAS;
  const draw = new Draw(policies + pods, namespaces, applications);
  return [
    ...Array.from({ length: namespaces }, (_, index) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: `team-${index}`, labels: { group: `group-${index >> 2}` } },
    })),
    ...Array.from({ length: pods }, (_, pod) => {
      const application = Math.floor(pod / namespaces) % applications;
      return podObject(pod, `team-${pod % namespaces}`, {
        app: `app-${application}`,
        tier: TIERS[application % TIERS.length]!,
        version: `v${draw.below(3)}`,
        "pod-template-hash": (application * 7919).toString(16),
      });
    }),
    ...Array.from({ length: policies }, (_, policy) => {
      // The first of each namespace denies by default.
      if (policy < namespaces) {
        return policyObject(policy, `team-${policy}`, {
          podSelector: {},
          policyTypes: ["Ingress"],
        });
      }
      const other = otherKind(policy, `team-${policy % namespaces}`, draw);
      if (other !== undefined) return other;
      const egress = draw.below(10) < 4;
      return policyObject(policy, `team-${policy % namespaces}`, {
        podSelector: draw.application(),
        policyTypes: ["Ingress", ...(egress ? ["Egress"] : [])],
        ingress: [{ from: draw.peers(), ports: draw.ports() }],
        ...(egress ? { egress: [{ to: draw.peers(), ports: draw.ports() }] } : {}),
      });
    }),
  ];
}

const CALICO_TIERS = ["security", "platform"];
const NETWORK_SETS = 50;

const CALICO_OBJECTS = [
  ...CALICO_TIERS.map((name, index) => ({
    apiVersion: "projectcalico.org/v3",
    kind: "Tier",
    metadata: { name },
    spec: { order: 100 * (index + 1), defaultAction: "Pass" },
  })),
  ...Array.from({ length: NETWORK_SETS }, (_, index) => ({
    apiVersion: "projectcalico.org/v3",
    kind: "GlobalNetworkSet",
    metadata: { name: `partners-${index}`, labels: { partner: `partner-${index}` } },
    spec: { nets: [`203.0.113.${index}/32`, `198.51.${index}.0/24`] },
  })),
];

function otherKind(policy: number, namespace: string, draw: Draw): object | undefined {
  const rule = (action: string): object => ({
    action,
    protocol: "TCP",
    source: { selector: draw.expression() },
    destination: { ports: [80, "8000:8100"] },
  });
  switch (policy % 10) {
    case 0:
    case 1:
      return {
        apiVersion: "projectcalico.org/v3",
        kind: "NetworkPolicy",
        metadata: { name: `policy-${policy}`, namespace },
        spec: {
          order: draw.below(100),
          selector: draw.expression(),
          types: ["Ingress"],
          ingress: [rule("Allow"), rule("Deny"), rule("Allow")],
        },
      };
    case 2:
    case 3: {
      const tier = CALICO_TIERS[draw.below(CALICO_TIERS.length)];
      return {
        apiVersion: "projectcalico.org/v3",
        kind: "GlobalNetworkPolicy",
        metadata: { name: `${tier}.policy-${policy}` },
        spec: {
          tier,
          order: draw.below(100),
          namespaceSelector: `projectcalico.org/name == "${namespace}"`,
          selector: draw.expression(),
          types: ["Ingress", "Egress"],
          ingress: [
            rule("Deny"),
            { action: "Pass", source: { selector: `partner == "partner-${draw.below(50)}"` } },
          ],
          egress: [{ action: "Deny", destination: { nets: [`192.168.${draw.below(256)}.0/24`] } }],
        },
      };
    }
    case 4:
    case 5:
      return {
        apiVersion: "policy.networking.k8s.io/v1alpha1",
        kind: "AdminNetworkPolicy",
        metadata: { name: `policy-${policy}` },
        spec: {
          priority: policy % 1000,
          subject: { pods: { ...ofNamespace(namespace), podSelector: draw.application() } },
          ingress: [
            {
              action: draw.below(2) === 0 ? "Deny" : "Pass",
              from: [{ pods: { namespaceSelector: {}, podSelector: draw.application() } }],
              ports: [{ portNumber: { protocol: "TCP", port: 8000 + draw.below(100) } }],
            },
          ],
        },
      };
    default:
      return undefined;
  }
}

function ofNamespace(name: string): object {
  return { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } } };
}

function singleCluster({ policies, pods }: ClusterSize): object[] {
  const pod = (index: number): object => ({ matchLabels: { app: `app-${index % pods}` } });
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "bench" } },
    ...Array.from({ length: pods }, (_, index) =>
      podObject(index, "bench", { app: `app-${index}` }),
    ),
    ...Array.from({ length: policies }, (_, policy) =>
      policyObject(policy, "bench", {
        podSelector: pod(policy),
        ingress: [
          {
            from: [{ podSelector: pod(policy * 7 + 1) }],
            ports: [{ protocol: "TCP", port: 8080 }],
          },
        ],
      }),
    ),
  ];
}

function podObject(pod: number, namespace: string, labels: Record<string, string>): object {
  const address = `10.${1 + (pod >> 16)}.${(pod >> 8) & 255}.${pod & 255}`;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `pod-${pod}`, namespace, labels },
    spec: {
      nodeName: `node-${pod % NODES}`,
      containers: [{ name: "main", ports: [{ name: "http", containerPort: 8080 }] }],
    },
    status: { phase: "Running", podIP: address, podIPs: [{ ip: address }] },
  };
}

function policyObject(policy: number, namespace: string, spec: object): object {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: `policy-${policy}`, namespace },
    spec,
  };
}

/** Draws the parts of policies. */
class Draw {
  readonly #random: () => number;
  readonly #namespaces: number;
  readonly #applications: number;

  constructor(seed: number, namespaces: number, applications: number) {
    this.#random = mulberry32(seed);
    this.#namespaces = namespaces;
    this.#applications = applications;
  }

  below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  application(): object {
    return { matchLabels: { app: this.#name("app", this.#applications) } };
  }

  /** The same as Calico writes selectors. */
  expression(): string {
    const app = `app == "${this.#name("app", this.#applications)}"`;
    return this.below(2) === 0 ? app : `${app} && version != "v0"`;
  }

  peers(): object[] {
    return Array.from({ length: 1 + this.below(3) }, () => this.#peer());
  }

  ports(): object[] {
    return Array.from({ length: 1 + this.below(3) }, () => this.#port());
  }

  #peer(): object {
    switch (this.below(5)) {
      case 0:
        return { podSelector: this.application() };
      case 1:
        return { podSelector: { matchLabels: { tier: TIERS[this.below(TIERS.length)] } } };
      case 2: {
        const group = this.#name("group", Math.ceil(this.#namespaces / 4));
        return {
          namespaceSelector: { matchLabels: { group } },
          podSelector: this.application(),
        };
      }
      case 3: {
        const values = [this.#name("app", this.#applications)];
        return {
          namespaceSelector: {
            matchLabels: { "kubernetes.io/metadata.name": this.#name("team", this.#namespaces) },
          },
          podSelector: {
            matchExpressions: [
              { key: "app", operator: "In", values },
              { key: "version", operator: "NotIn", values: ["v0"] },
            ],
          },
        };
      }
      default: {
        const third = this.below(256);
        const except = [`192.168.${third}.${this.below(256)}/32`];
        return { ipBlock: { cidr: `192.168.${third}.0/24`, except } };
      }
    }
  }

  #port(): object {
    switch (this.below(4)) {
      case 0:
        return { protocol: "TCP", port: "http" };
      case 1:
        return { protocol: "TCP", port: 8000 + this.below(100), endPort: 8100 };
      case 2:
        return { protocol: "UDP", port: 53 };
      default:
        return { protocol: "TCP", port: 1024 + this.below(60_000) };
    }
  }

  #name(what: string, count: number): string {
    return `${what}-${this.below(count)}`;
  }
}

function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000;
  };
}
