/**
 * Which host endpoint binds which interface of a node, and what is called the interface by which everything
 * comes and goes that is not a pod of the node.
 * Source: felix/dataplane/linux/endpoint_mgr.go, resolveHostEndpoints.
 *
 * Manifests tell no interfaces but those that host endpoints name. A node is taken to have one for
 * everything but its pods; that it has others is known when several are named.
 */
import { ALL_INTERFACES } from "../cluster/host-endpoints.ts";
import type { HostEndpoint, Snapshot } from "../cluster/snapshot.ts";
import type { OnDiagnostic } from "../errors.ts";
import { formatAddress, sameAddress } from "../net/address.ts";
import type { Address } from "../net/address.ts";
import { ANY_INTERFACE, interfaceOfNode, LOOPBACK_INTERFACE, NODE_INTERFACE } from "./names.ts";

/** A node's host endpoints by the interfaces that they bind. */
export interface HostBinding {
  readonly bound: readonly BoundHostEndpoint[];
  /** That of every interface that none of `bound` has. */
  readonly everywhere: HostEndpoint | undefined;
  /** By which everything comes and goes but the pods' own; the first is that of the node's addresses. */
  readonly uplinks: readonly [string, ...string[]];
  /** It is known that the first has the node's addresses. */
  readonly uplinkKnown: boolean;
  /** Of all nodes seen as one: the interface of each that has host endpoints. */
  readonly uplinkByNode?: ReadonlyMap<string, string>;
}

export interface BoundHostEndpoint {
  readonly interfaceName: string;
  readonly hostEndpoint: HostEndpoint;
  /** Others that it binds, too. */
  readonly others?: readonly string[];
  /** Those of pods: only what is forwarded, and what comes before translation, has to do with them. */
  readonly ofPods?: readonly string[];
}

/** What there is where no host endpoint is. */
export const UNBOUND: HostBinding = {
  bound: [],
  everywhere: undefined,
  uplinks: [NODE_INTERFACE],
  uplinkKnown: true,
};

/**
 * Binds a node's host endpoints. Reports DUPLICATE_OBJECT for one that another has come before, and
 * MISSING_FIELD where it is not known which interface is meant, or where it leads.
 */
export function bindHostEndpoints(
  snapshot: Snapshot,
  node: string,
  onDiagnostic: OnDiagnostic,
): HostBinding {
  // Ordered by name: of several that fit, Felix takes the first.
  const own = snapshot.hostEndpoints.filter((endpoint) => endpoint.node === node);
  if (own.length === 0) return UNBOUND;
  const addresses = snapshot.nodeByName.get(node)?.addresses ?? [];
  const isOfNode = (endpoint: HostEndpoint): boolean =>
    endpoint.addresses.some((one) => addresses.some((other) => sameAddress(one, other)));
  const named = own.filter(
    ({ interfaceName = ALL_INTERFACES }) => interfaceName !== ALL_INTERFACES,
  );
  const told = named.filter(isOfNode).map(({ interfaceName }) => interfaceName);
  const names = [...new Set([...told, ...named.map(({ interfaceName }) => interfaceName)])].filter(
    (name) => name !== undefined,
  );
  const [first = NODE_INTERFACE, ...others] = names;
  const uplinkKnown = told.length > 0 || names.length === 0;
  if (!uplinkKnown) reportUplink(names, { node, endpoint: named[0] }, onDiagnostic);
  const claims = new Map<string, HostEndpoint>();
  for (const endpoint of own) {
    const name =
      endpoint.interfaceName ?? (addresses.length === 0 || isOfNode(endpoint) ? first : undefined);
    if (name === undefined) {
      reportStray(endpoint, { node, addresses }, onDiagnostic);
      continue;
    }
    const before = claims.get(name);
    if (before === undefined) {
      claims.set(name, endpoint);
      continue;
    }
    onDiagnostic({
      severity: "warning",
      code: "DUPLICATE_OBJECT",
      message: `HostEndpoint ${endpoint.name} binds nothing: ${before.name} is for the same interface of ${node}, and comes first by name`,
      place: endpoint.place,
    });
  }
  const everywhere = claims.get(ALL_INTERFACES);
  claims.delete(ALL_INTERFACES);
  return {
    bound: [...claims].map(([interfaceName, hostEndpoint]) => ({ interfaceName, hostEndpoint })),
    everywhere,
    uplinks: [first, ...others],
    uplinkKnown,
  };
}

/**
 * Binds the host endpoints of all nodes seen as one, whose interfaces are told apart by the nodes' names.
 * Reports what binding a node's does, and UNSUPPORTED_FEATURE for a node with several interfaces: by which of
 * them a packet comes, only that node's point of view may tell.
 *
 * @param podInterfaces those of each node's pods
 */
export function bindAllHostEndpoints(
  snapshot: Snapshot,
  podInterfaces: ReadonlyMap<string, readonly string[]>,
  onDiagnostic: OnDiagnostic,
): HostBinding {
  const nodes = [...new Set(snapshot.hostEndpoints.flatMap(({ node }) => node ?? []))];
  const bound: BoundHostEndpoint[] = [];
  const uplinkByNode = new Map<string, string>();
  for (const node of nodes) {
    const own = bindHostEndpoints(snapshot, node, onDiagnostic);
    const [uplink, second] = own.uplinks;
    if (second !== undefined) reportSeveral(own.bound, node, onDiagnostic);
    uplinkByNode.set(node, interfaceOfNode(uplink, node));
    const bind = (interfaceName: string, hostEndpoint: HostEndpoint): BoundHostEndpoint => ({
      interfaceName: interfaceOfNode(interfaceName, node),
      hostEndpoint,
    });
    bound.push(...own.bound.map((each) => bind(each.interfaceName, each.hostEndpoint)));
    if (own.everywhere === undefined) continue;
    const names = new Set(own.bound.map(({ interfaceName }) => interfaceName));
    const others = [uplink, LOOPBACK_INTERFACE].filter((name) => !names.has(name));
    bound.push({
      ...bind(ANY_INTERFACE, own.everywhere),
      others: others.map((name) => interfaceOfNode(name, node)),
      ofPods: podInterfaces.get(node) ?? [],
    });
  }
  return { ...UNBOUND, bound, uplinkByNode };
}

function reportSeveral(
  bound: readonly BoundHostEndpoint[],
  node: string,
  onDiagnostic: OnDiagnostic,
): void {
  const [first] = bound;
  onDiagnostic({
    severity: "error",
    code: "UNSUPPORTED_FEATURE",
    message: `host endpoints bind several interfaces of ${node}: give that node's point of view`,
    ...(first === undefined ? {} : { place: first.hostEndpoint.place }),
    suggestion: `--node ${node}`,
  });
}

function reportUplink(
  names: readonly string[],
  { node, endpoint }: { readonly node: string; readonly endpoint: HostEndpoint | undefined },
  onDiagnostic: OnDiagnostic,
): void {
  const [first = "", ...others] = names;
  const what =
    others.length === 0
      ? `${first} is taken to be the interface by which everything but its pods reaches ${node}`
      : `which of ${names.join(" and ")} leads where from ${node} is not known`;
  onDiagnostic({
    severity: "warning",
    code: "MISSING_FIELD",
    message: `${what}: no expectedIPs is an address of the Node object`,
    ...(endpoint === undefined ? {} : { place: endpoint.place }),
  });
}

function reportStray(
  endpoint: HostEndpoint,
  { node, addresses }: { readonly node: string; readonly addresses: readonly Address[] },
  onDiagnostic: OnDiagnostic,
): void {
  onDiagnostic({
    severity: "warning",
    code: "MISSING_FIELD",
    message: `HostEndpoint ${endpoint.name} binds nothing that is known: ${node} has ${addresses.map(formatAddress).join(", ")}, and none of expectedIPs`,
    place: endpoint.place,
  });
}
