/** Hand-made verdicts and a small cluster, for tests of what reports make of them. */
import { buildSnapshot } from "../../src/cluster/build.ts";
import { parseManifests } from "../../src/cluster/manifest.ts";
import type {
  FlowVerdict,
  Judgement,
  PacketVerdict,
  RuleRef,
  Tuple,
  Verdict,
} from "../../src/engine/verdict.ts";
import { parseAddress, prefixOf, type Address } from "../../src/net/address.ts";
import { lowerPolicies } from "../../src/policy/index.ts";
import type { PolicyRef } from "../../src/policy/model.ts";
import type { ReplayReport } from "../../src/report/json.ts";
import type { TextContext } from "../../src/report/text.ts";
import { endpointFinder } from "../../src/report/workload.ts";
import type { Route, RuleOrigin } from "../../src/tables/model.ts";

const CLUSTER = `
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { team: a } }
---
apiVersion: v1
kind: Pod
metadata: { name: checkout-6d4, namespace: shop, labels: { app: checkout } }
spec: { containers: [] }
status: { podIPs: [{ ip: 10.65.0.1 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: api-0, namespace: payments, labels: { app: api } }
spec: { containers: [{ name: a, image: a, ports: [{ name: https, containerPort: 8443 }] }] }
status: { podIPs: [{ ip: 10.65.0.3 }] }
`;

export const DEFAULT_DENY = policyRef("default-deny", 3);
export const ALLOW_WEB = policyRef("allow-web", 12);

/** The policies of the tests that name `payments/api-0`, as YAML. */
export const POLICIES = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: default-deny, namespace: payments }
spec: { podSelector: {}, policyTypes: [Ingress] }
`;

/** What reports are made in: the cluster above, with these policies. */
export function contextOf(policies: string): TextContext {
  const fail = ({ severity, message }: { severity: string; message: string }): void => {
    if (severity === "error") throw new Error(message);
  };
  const texts = [
    { file: "cluster.yaml", text: CLUSTER },
    { file: "policies.yaml", text: policies },
  ];
  const objects = parseManifests(texts, fail);
  const snapshot = buildSnapshot(objects, { clusterPrefixes: [], endpoints: [] }, fail);
  return {
    snapshot,
    policies: lowerPolicies(objects, fail),
    find: endpointFinder(snapshot),
    midstream: "assume-established",
  };
}

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`not an address: ${text}`);
  return parsed;
}

export function route(text: string, owner: string | undefined): Route {
  const kind = owner === undefined ? "outside" : "unicast";
  const prefix = prefixOf(address(text), 32);
  return { prefix, kind, interface: "cali1", node: "worker-1", owner };
}

export function policyRef(name: string, line: number): PolicyRef {
  return {
    kind: "networking.k8s.io NetworkPolicy",
    namespace: "payments",
    name,
    place: { file: "policies.yaml", line, column: 9 },
  };
}

/** The rule that drops what no policy allowed. */
export function isolationBy(...policies: readonly PolicyRef[]): RuleOrigin {
  return {
    kind: "isolation",
    tier: "default",
    direction: "ingress",
    policies: policies.map((policy) => ({ policy, place: policy.place })),
  };
}

export function ruleRef(origin: RuleOrigin): RuleRef {
  const rule = { matches: [], target: { kind: "DROP" }, origin } as const;
  const chain = { chain: "cali-tw-cali1", owner: "payments/api-0" };
  return { family: 4, table: "filter", ...chain, number: 9, rule };
}

const TUPLE: Tuple = {
  family: 4,
  protocol: 6,
  source: address("10.65.0.1"),
  destination: address("10.65.0.3"),
  sourcePort: 41122,
  destinationPort: 8443,
  icmp: undefined,
  sourceName: undefined,
  destinationName: undefined,
};

const DROP: Judgement = {
  verdict: "drop",
  reason: "rule",
  reject: undefined,
  hook: "FORWARD",
  rule: ruleRef(isolationBy(DEFAULT_DENY)),
  decider: ruleRef(isolationBy(DEFAULT_DENY)),
  undecidedRule: undefined,
  sourceRoute: route("10.65.0.1", "shop/checkout-6d4"),
  destinationRoute: route("10.65.0.3", "payments/api-0"),
  translated: undefined,
  midstream: false,
  observed: false,
};

const UNDECIDED = { hook: undefined, rule: undefined, decider: undefined } as const;

/** A TCP packet from shop/checkout-6d4 to payments/api-0, dropped by default-deny. */
export function droppedPacket(changes: Partial<PacketVerdict> = {}): PacketVerdict {
  return {
    ...TUPLE,
    ...DROP,
    number: 17,
    timestampNs: 1_700_000_000_123_456_789n,
    timeOfDay: false,
    bytes: 74,
    ctState: "NEW",
    reply: false,
    inInterface: "cali1",
    outInterface: undefined,
    duplicateOf: undefined,
    pending: false,
    ...changes,
  };
}

/** The flow of that packet. */
export function droppedFlow(changes: Partial<FlowVerdict> = {}): FlowVerdict {
  return { ...TUPLE, ...DROP, packets: 3, bytes: 222, firstPacket: 17, ...changes };
}

/** A flow that lacks a fact. */
export function unknownFlow(changes: Partial<FlowVerdict>): FlowVerdict {
  return droppedFlow({ ...UNDECIDED, verdict: "unknown", ...changes });
}

/** A replay of which nothing but its flows is to be told. */
export function reportOf(
  flows: readonly FlowVerdict[],
  changes: Partial<ReplayReport> = {},
): ReplayReport {
  const verdicts: Record<Verdict, number> = { allow: 0, drop: 0, unfiltered: 0, unknown: 0 };
  for (const flow of flows) verdicts[flow.verdict] += flow.packets;
  const packets = flows.reduce((sum, flow) => sum + flow.packets, 0);
  const none = { fragments: 0, malformed: 0, truncated: 0, duplicates: 0, midstream: 0 };
  return {
    totals: { packets, bytes: 0, verdicts, ...none, flowsLost: 0, withoutFlow: 0 },
    flows,
    rules: [],
    diagnostics: [],
    nature: "frames",
    partial: undefined,
    ...changes,
  };
}
