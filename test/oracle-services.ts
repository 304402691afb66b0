/**
 * Where kube-proxy on one node sends a connection, straight from the objects: the backends among which it
 * chooses, or why there is none; and to which pod a port of the node leads (`hostPort`). By KP-3 to KP-5 of the semantics; shares no code with what it checks.
 */
import ipaddr from "ipaddr.js";

import type { RandomService, RawServiceEndpoint, ServiceWorld } from "./random-services.ts";

/** A connection as it comes to the node. */
export interface Connection {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly port: number;
}

/**
 * What becomes of it; untouched: no Service is meant. What is refused or dropped was not translated;
 * `softly`: on the way it takes, other rules or none come first.
 */
export type Translation =
  | { readonly kind: "untouched" }
  | { readonly kind: "refused" | "dropped"; readonly softly: boolean }
  | {
      readonly kind: "backends";
      readonly backends: readonly string[];
      /** A port of the node that leads to a pod, and no Service. */
      readonly isHostPort?: true;
    };

const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;

/** Says where the connection goes. */
export function translateConnection(
  world: ServiceWorld,
  nodeName: string,
  connection: Connection,
): Translation {
  for (const service of world.services) {
    if (PROTOCOLS[service.protocol] !== connection.protocol) continue;
    const way = wayOf(world, nodeName, service, connection);
    if (way === undefined) continue;
    const translation = spread(world, nodeName, service, { connection, way });
    return (
      (translation.kind === "backends" ? undefined : toHostPort(world, nodeName, connection)) ??
      translation
    );
  }
  return toHostPort(world, nodeName, connection) ?? { kind: "untouched" };
}

/** The pod that has this port of its node; what kube-proxy leaves untranslated comes to it. */
function toHostPort(
  world: ServiceWorld,
  nodeName: string,
  { destination, protocol, port }: Connection,
): Translation | undefined {
  if (!addressesOf(world, nodeName).includes(destination)) return undefined;
  const six = destination.includes(":");
  for (const { node, addresses, hostPorts } of world.pods) {
    if (node !== nodeName) continue;
    const found = hostPorts.find(
      (own) =>
        PROTOCOLS[own.protocol] === protocol &&
        own.port === port &&
        [undefined, six ? "::" : "0.0.0.0", destination].includes(own.ip),
    );
    if (found === undefined) continue;
    const address = addresses[six ? 1 : 0];
    return {
      kind: "backends",
      isHostPort: true,
      backends: [six ? `[${address}]:${found.target}` : `${address}:${found.target}`],
    };
  }
  return undefined;
}

type Way = "internal" | "external" | "balancer";

function wayOf(
  world: ServiceWorld,
  nodeName: string,
  service: RandomService,
  { destination, port }: Connection,
): Way | undefined {
  const six = destination.includes(":");
  // Without an address of the family kube-proxy has no Service in it.
  if (!service.clusterIPs.some((ip) => ip.includes(":") === six)) return undefined;
  if (port === service.port) {
    if (service.clusterIPs.includes(destination)) return "internal";
    if (service.externalIPs.includes(destination)) return "external";
    if (service.balancer.some(({ ip, ipMode }) => ip === destination && ipMode !== "Proxy"))
      return "balancer";
  }
  const local = addressesOf(world, nodeName).includes(destination);
  return local && port === service.nodePort ? "external" : undefined;
}

function spread(
  world: ServiceWorld,
  nodeName: string,
  service: RandomService,
  { connection, way }: { readonly connection: Connection; readonly way: Way },
): Translation {
  const { source, destination } = connection;
  const usable = (endpoints: readonly RawServiceEndpoint[]): readonly RawServiceEndpoint[] => {
    const ready = endpoints.filter(({ state }) => state === "ready");
    return ready.length > 0 ? ready : endpoints.filter(({ state }) => state === "terminating");
  };
  const everywhere = hinted(world, nodeName, usable(service.endpoints));
  const here = usable(service.endpoints.filter(({ node }) => node === nodeName));
  // kube-proxy has no rules at OUTPUT for these, and Calico lets pods reach their node before.
  const ownNode = addressesOf(world, nodeName).includes(source);
  const ownPod = world.pods.some(
    ({ node, addresses }) => node === nodeName && addresses.some((own) => own === source),
  );
  const toNode = addressesOf(world, nodeName).includes(destination);
  const softly = way !== "internal" && (ownNode || (ownPod && toNode));
  if (everywhere.length === 0) return { kind: "refused", softly };
  const six = destination.includes(":");
  const ranges = service.sourceRanges.filter((range) => range.includes(":") === six);
  if (
    way === "balancer" &&
    ranges.length > 0 &&
    !ranges.some((range) => isInRange(range, source))
  ) {
    return { kind: "dropped", softly: false };
  }
  const policy = way === "internal" ? service.internal : service.external;
  // > Pods and the node itself take a short cut, as if they went out and came back by the balancer.
  const shortCut = way !== "internal" && (ownNode || isPodAddress(source));
  const chosen = policy === "Local" && !shortCut ? here : everywhere;
  if (chosen.length === 0) return { kind: "dropped", softly };
  const backends = chosen.map(({ addresses }) => {
    const address = addresses[six ? 1 : 0];
    return six ? `[${address}]:${service.targetPort}` : `${address}:${service.targetPort}`;
  });
  return { kind: "backends", backends };
}

function hinted(
  world: ServiceWorld,
  nodeName: string,
  endpoints: readonly RawServiceEndpoint[],
): readonly RawServiceEndpoint[] {
  const zone = world.nodes.find(({ name }) => name === nodeName)!.zone;
  if (endpoints.some(({ state, zones }) => state !== "ready" || zones.length === 0))
    return endpoints;
  const fitting = endpoints.filter(({ zones }) => zone !== undefined && zones.includes(zone));
  return fitting.length > 0 ? fitting : endpoints;
}

/** Tells whether an address is one that pods have. */
export function isPodAddress(address: string): boolean {
  return isInRange(address.includes(":") ? "fd00:244::/48" : "10.244.0.0/16", address);
}

/** Tells whether an address lies in a range; never across families. */
export function isInRange(range: string, address: string): boolean {
  const parsed = ipaddr.parse(address);
  const [base, bits] = ipaddr.parseCIDR(range);
  return parsed.kind() === base.kind() && parsed.match(base, bits);
}

function addressesOf(world: ServiceWorld, nodeName: string): readonly string[] {
  return world.nodes.find(({ name }) => name === nodeName)!.addresses;
}
