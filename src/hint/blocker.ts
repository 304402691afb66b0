/**
 * What stops the flows that a hint is for, in the words of policies: which end's policies, which pods or
 * addresses are at the other end, and which port they ask for.
 */
import type { Endpoint, Snapshot } from "../cluster/snapshot.ts";
import type { PacketVerdict } from "../engine/verdict.ts";
import { formatPrefix } from "../net/address.ts";
import type { Address, Prefix } from "../net/address.ts";
import type { Direction } from "../policy/model.ts";
import { ruleKey } from "../report/grouping.ts";
import { decidingOrigin } from "../report/reason.ts";
import type { FindEndpoint } from "../report/workload.ts";
import type { RuleOrigin } from "../tables/model.ts";

/** What a rule can be written against. */
export type StoppingOrigin = Extract<RuleOrigin, { readonly kind: "isolation" | "policy-rule" }>;

/** Flows that the same policies stop. */
export interface Blocker {
  readonly key: string;
  readonly origin: StoppingOrigin;
  readonly direction: Direction;
  /** One of the flows, and what becomes of it. */
  readonly judged: PacketVerdict;
  /** All pods of the workloads that the policies select; at least one. */
  readonly subject: readonly Endpoint[];
  readonly peer: Peer;
  readonly protocol: number;
  /** Behind a Service's translation; undefined: the protocol has none. */
  readonly port: number | undefined;
  readonly icmp: { readonly type: number; readonly code: number } | undefined;
}

/** The other end: all pods of its workloads, or addresses that no pod has. */
export type Peer =
  | { readonly kind: "pods"; readonly pods: readonly Endpoint[] }
  | { readonly kind: "addresses"; readonly prefixes: readonly Prefix[] };

/**
 * Finds what stops the first of some flows, with all others that it stops; undefined: no policy of a pod.
 *
 * @param prefixesAt the prefixes by which an address outside the cluster is meant
 */
export function findBlocker(
  dropped: readonly PacketVerdict[],
  find: FindEndpoint,
  {
    snapshot: { endpoints },
    prefixesAt,
  }: {
    readonly snapshot: Snapshot;
    readonly prefixesAt: (address: Address) => readonly Prefix[];
  },
): Blocker | undefined {
  const [judged] = dropped;
  const origin = judged === undefined ? undefined : decidingOrigin(judged);
  if (judged?.protocol === undefined || origin === undefined) return undefined;
  if (origin.kind !== "isolation" && origin.kind !== "policy-rule") return undefined;
  const { direction } = origin;
  const key = ruleKey(judged, find);
  const same = dropped.filter((flow) => ruleKey(flow, find) === key);
  const workloads = (owners: readonly (string | undefined)[]): Endpoint[] => {
    const named = owners.flatMap((owner) => (owner === undefined ? [] : (find(owner) ?? [])));
    const keys = new Set(named.map(workloadKey));
    return endpoints.filter((endpoint) => keys.has(workloadKey(endpoint)));
  };
  const sources = same.map(({ sourceRoute }) => sourceRoute?.owner);
  const destinations = same.map(({ destinationRoute }) => destinationRoute?.owner);
  const ingress = direction === "ingress";
  const subject = workloads(ingress ? destinations : sources);
  // What a node masqueraded comes from that node.
  const masked = ingress && same.some(({ translated }) => translated?.source !== undefined);
  const pods = masked ? [] : workloads(ingress ? sources : destinations);
  const addresses = same.flatMap((flow) => {
    const seen = ingress
      ? (flow.translated?.source ?? flow.source)
      : (flow.translated?.address ?? flow.destination);
    return seen === undefined ? [] : [seen];
  });
  if (subject.length === 0) return undefined;
  return {
    ...{ key: `${key}\n${direction}`, origin, direction, judged, subject },
    peer:
      pods.length > 0
        ? { kind: "pods", pods }
        : { kind: "addresses", prefixes: unique(addresses.flatMap(prefixesAt)) },
    protocol: judged.protocol,
    port: judged.translated?.port ?? judged.destinationPort,
    icmp: judged.icmp,
  };
}

function workloadKey({ namespace, workload }: Endpoint): string {
  return `${workload.kind} ${namespace}/${workload.name}`;
}

function unique(prefixes: readonly Prefix[]): Prefix[] {
  return [...new Map(prefixes.map((each) => [formatPrefix(each), each])).values()];
}
