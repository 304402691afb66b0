/**
 * Which of a Service port's backends a node's kube-proxy chooses from: by readiness, by the hints of
 * slices, and by what is on the node itself.
 * Source: kubernetes pkg/proxy/topology.go, CategorizeEndpoints() and topologyModeFromHints().
 */
import type { Service, ServiceBackend, ServicePort, Snapshot } from "../cluster/snapshot.ts";
import { isReachedFromOutside, isUnplaced } from "../cluster/services.ts";
import type { Family } from "../net/address.ts";

/** A node as kube-proxy knows it. */
export interface NodeView {
  /** Undefined: none that any backend is on. */
  readonly name: string | undefined;
  readonly zone: string | undefined;
}

/** What a node's kube-proxy chooses from. */
export interface Choice {
  /** Where the whole cluster's are meant. */
  readonly cluster: readonly ServiceBackend[];
  /** Where only the node's own are meant: with those of which nothing tells where they are. */
  readonly local: readonly ServiceBackend[];
  /** None of those need be here. */
  readonly mayLackLocal: boolean;
  /** Each of both once. */
  readonly all: readonly ServiceBackend[];
  /** Some node has one: a node without is no reason to refuse, but to drop. */
  readonly any: boolean;
}

/** Tells which backends a port's connections in one family are spread over on a node. */
export function chooseBackends(
  service: Service,
  port: ServicePort,
  family: Family,
  node: NodeView,
): Choice {
  const backends = port.backends.filter(({ address }) => address.family === family);
  const usesLocal = usesLocalBackends(service, port);
  const cluster = usesClusterBackends(service, port)
    ? usable(backends, isHintedAt(node, backends))
    : [];
  const own = backends.filter((backend) => node.name !== undefined && backend.node === node.name);
  const unplaced = backends.filter(isUnplaced);
  const local = usesLocal ? usableWith(own, unplaced) : [];
  return {
    cluster,
    local,
    mayLackLocal: own.length === 0,
    all: [...cluster, ...local.filter((backend) => !cluster.includes(backend))],
    any: backends.length > 0,
  };
}

/** Tells whether any of a port's connections are spread over the whole cluster's backends. */
function usesClusterBackends(service: Service, port: ServicePort): boolean {
  // > Even if the external traffic policy is Local: pods and the node itself take a short cut.
  return service.internalTraffic === "Cluster" || isReachedFromOutside(service, port);
}

/** Tells whether any of them stay on the node. */
export function usesLocalBackends(service: Service, port: ServicePort): boolean {
  if (service.internalTraffic === "Local") return true;
  return service.externalTraffic === "Local" && isReachedFromOutside(service, port);
}

/** Makes the view of a node; undefined: no node in particular. */
export function viewOfNode({ nodeByName }: Snapshot, name: string | undefined): NodeView {
  const labels = name === undefined ? undefined : nodeByName.get(name)?.labels;
  return { name, zone: labels?.get("topology.kubernetes.io/zone") };
}

/** Those that are ready, else those that still serve while they terminate, of which hints say nothing. */
function usable(
  backends: readonly ServiceBackend[],
  hinted: (backend: ServiceBackend) => boolean = () => true,
): readonly ServiceBackend[] {
  const ready = backends.filter((backend) => backend.ready);
  return ready.length > 0 ? ready.filter(hinted) : backends;
}

/** The same of some, and of others that may be there, too. */
function usableWith(
  own: readonly ServiceBackend[],
  perhaps: readonly ServiceBackend[],
): readonly ServiceBackend[] {
  const certain = usable(own);
  const isServed = certain.some(({ ready }) => ready);
  return [...certain, ...perhaps.filter(({ ready }) => ready || !isServed)];
}

/** Hints count where every ready backend has some and some are for this node, or else for its zone. */
function isHintedAt(
  { name, zone }: NodeView,
  backends: readonly ServiceBackend[],
): (backend: ServiceBackend) => boolean {
  const ready = backends.filter((backend) => backend.ready);
  for (const [here, hintsOf] of [
    [name, ({ nodeHints }: ServiceBackend) => nodeHints],
    [zone, ({ zoneHints }: ServiceBackend) => zoneHints],
  ] as const) {
    const fits = (backend: ServiceBackend): boolean =>
      here !== undefined && hintsOf(backend)?.includes(here) === true;
    if (ready.every((backend) => (hintsOf(backend)?.length ?? 0) > 0) && ready.some(fits)) {
      return fits;
    }
  }
  return () => true;
}
