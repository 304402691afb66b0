/**
 * Which host endpoint binds which interface of a node, and what is called the interface by which everything
 * comes and goes that is not a pod of the node and not wrapped.
 * Source: felix/dataplane/linux/endpoint_mgr.go, resolveHostEndpoints.
 *
 * Manifests tell no interfaces but those that host endpoints name. A node is taken to have one for
 * everything but its pods and tunnels; that it has others is known where endpoints are for others.
 */
import { ALL_INTERFACES } from "../cluster/host-endpoints.ts";
import { felixSettings } from "../cluster/felix-configuration.ts";
import type { ClusterNode, HostEndpoint, Snapshot } from "../cluster/snapshot.ts";
import type { OnDiagnostic } from "../errors.ts";
import { formatAddress, sameAddress } from "../net/address.ts";
import type { Address } from "../net/address.ts";
import {
  ANY_INTERFACE,
  interfaceOfNode,
  isTunnelDevice,
  LOOPBACK_INTERFACE,
  NODE_INTERFACE,
  OTHER_INTERFACE,
  TUNNEL_DEVICE,
  TUNNEL_INTERFACE,
  UNNAMED_INTERFACE,
} from "./names.ts";
import { usedTunnels } from "./tunnels.ts";

/** A node's host endpoints by the interfaces that they bind. */
export interface HostBinding {
  readonly bound: readonly BoundHostEndpoint[];
  /** That of every interface that none of `bound` has. */
  readonly everywhere: HostEndpoint | undefined;
  /**
   * By which everything comes and goes but the pods' own, and what is wrapped; the first is that by which
   * nodes know each other.
   */
  readonly uplinks: readonly [string, ...string[]];
  /** It is known that the first has the node's addresses. */
  readonly uplinkKnown: boolean;
  /** Those of `uplinks` that nothing names: what they are called here is no name that a capture has. */
  readonly unnamed: readonly string[];
  /** Of all nodes seen as one: the interface of each that has host endpoints, and that of its tunnels. */
  readonly uplinkByNode?: ReadonlyMap<string, string>;
  readonly tunnelByNode?: ReadonlyMap<string, string>;
  /** Of those with endpoints for single interfaces: one that none names, and the first's name. */
  readonly otherByNode?: ReadonlyMap<string, string>;
  readonly nameByNode?: ReadonlyMap<string, string>;
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
  unnamed: [NODE_INTERFACE],
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
  const at = snapshot.nodeByName.get(node);
  const ways = findUplinks(own, at);
  const { uplinks, uplinkKnown } = ways;
  if (!uplinkKnown) reportUplink(ways, { node, at }, onDiagnostic);
  const claims = new Map<string, HostEndpoint>();
  for (const endpoint of own) {
    for (const name of namesOf(endpoint, ways, at)) {
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
  }
  const everywhere = claims.get(ALL_INTERFACES);
  claims.delete(ALL_INTERFACES);
  return {
    bound: [...claims].map(([interfaceName, hostEndpoint]) => ({ interfaceName, hostEndpoint })),
    everywhere,
    uplinks,
    uplinkKnown,
    unnamed: ways.unnamed,
  };
}

/** By which interfaces a node is reached, and which endpoints leave that open. */
interface Uplinks extends Pick<HostBinding, "uplinks" | "uplinkKnown" | "unnamed"> {
  /** Endpoints that may be for the interface of the node's addresses, or for another. */
  readonly open: readonly HostEndpoint[];
  /** Without a name, for addresses that nothing else has: by what their interfaces are called here. */
  readonly nameByStray: ReadonlyMap<HostEndpoint, string>;
}

function findUplinks(own: readonly HostEndpoint[], at: ClusterNode | undefined): Uplinks {
  const isOfNode = belongsTo(at);
  const named = own.filter(({ interfaceName }) => isUplinkName(interfaceName));
  const known = named.filter(({ addresses }) => addresses.some(isKnownBy(at)));
  const told = known.length > 0 ? known : named.filter(({ addresses }) => addresses.some(isOfNode));
  const strays = own.filter((endpoint) => isStray(endpoint, at));
  const names = new Set(named.flatMap(({ interfaceName = "" }) => [interfaceName]));
  const [first] = told;
  const unnamed = names.size === 0 && strays.length === 0 ? NODE_INTERFACE : UNNAMED_INTERFACE;
  const uplink = first?.interfaceName ?? unnamed;
  names.delete(uplink);
  const nameByStray = new Map(
    strays.map((stray, index) => [stray, `${UNNAMED_INTERFACE}${index + 2}`] as const),
  );
  const isTold = told.every(({ interfaceName }) => interfaceName === uplink);
  const open = [
    ...(first === undefined
      ? named.filter(({ addresses }) => !areOthers(addresses, at))
      : isTold
        ? []
        : named),
    // > Of two for one interface the first by name counts, and nothing tells that they are for two.
    ...strays.filter((stray) => first === undefined || own.indexOf(stray) < own.indexOf(first)),
  ];
  return {
    uplinks: [uplink, ...names, ...nameByStray.values()],
    uplinkKnown: open.length === 0,
    unnamed: [...(first === undefined ? [unnamed] : []), ...nameByStray.values()],
    open,
    nameByStray,
  };
}

/** Not for all interfaces, and not for one by which nothing comes from elsewhere that is not wrapped. */
function isUplinkName(name = ALL_INTERFACES): boolean {
  return name !== ALL_INTERFACES && name !== LOOPBACK_INTERFACE && !isTunnelDevice(name);
}

/** Tells addresses by which nodes know a node. */
function isKnownBy(at: ClusterNode | undefined): (address: Address) => boolean {
  return (address) => at?.hostAddresses.some((one) => sameAddress(one, address)) ?? false;
}

/** Tells addresses of a node that are no tunnels'. */
function belongsTo(at: ClusterNode | undefined): (address: Address) => boolean {
  const ofUplink = uplinkAddresses(at);
  return (address) => ofUplink.some((one) => sameAddress(one, address));
}

function uplinkAddresses(at: ClusterNode | undefined): readonly Address[] {
  return at?.ownAddresses.filter((address) => tunnelOf(address, at) === undefined) ?? [];
}

/** The addresses say that the interface is another than the node's; none of either: they do not. */
function areOthers(addresses: readonly Address[], at: ClusterNode | undefined): boolean {
  if (at === undefined || addresses.length === 0 || uplinkAddresses(at).length === 0) return false;
  return !addresses.some((one) => at.addresses.some((other) => sameAddress(one, other)));
}

/** Without a name, for addresses of which none is the uplink's or a tunnel's. */
function isStray({ interfaceName, addresses }: HostEndpoint, at: ClusterNode | undefined): boolean {
  if (interfaceName !== undefined) return false;
  const isOfNode = belongsTo(at);
  return addresses.every((address) => !isOfNode(address) && tunnelOf(address, at) === undefined);
}

/** The device of a tunnel that has the address. */
function tunnelOf(address: Address, at: ClusterNode | undefined): string | undefined {
  const tunnel = at?.tunnels.find((each) => sameAddress(each.address, address));
  return tunnel === undefined ? undefined : TUNNEL_DEVICE[tunnel.kind][address.family];
}

/** > The interface that is named, else each that has one of the addresses. */
function namesOf(
  endpoint: HostEndpoint,
  { uplinks, nameByStray }: Uplinks,
  at: ClusterNode | undefined,
): string[] {
  const { interfaceName, addresses } = endpoint;
  if (interfaceName !== undefined) return [interfaceName];
  const stray = nameByStray.get(endpoint);
  if (stray !== undefined) return [stray];
  const isOfNode = belongsTo(at);
  const names = addresses.flatMap(
    (address) => tunnelOf(address, at) ?? (isOfNode(address) ? uplinks[0] : []),
  );
  return [...new Set(names)];
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
  const settings = felixSettings(snapshot, undefined);
  const devices = ([4, 6] as const).flatMap((family) =>
    usedTunnels(snapshot, settings, family).map((kind) => TUNNEL_DEVICE[kind][family]),
  );
  const bound: BoundHostEndpoint[] = [];
  const uplinkByNode = new Map<string, string>();
  const tunnelByNode = new Map<string, string>();
  const otherByNode = new Map<string, string>();
  const nameByNode = new Map<string, string>();
  for (const node of nodes) {
    const own = bindHostEndpoints(snapshot, node, onDiagnostic);
    const [uplink, second] = own.uplinks;
    // One endpoint for all tunnels is for whichever a packet goes by.
    const wrapping = own.bound.filter(({ interfaceName }) => isTunnelDevice(interfaceName));
    const ofTunnels = bindsAll(wrapping, devices) ? wrapping[0] : undefined;
    const rest =
      ofTunnels === undefined ? own.bound : own.bound.filter((each) => !wrapping.includes(each));
    const isOne = second === undefined && rest.every((each) => each.interfaceName === uplink);
    if (!isOne) reportSeveral(own.bound, node, onDiagnostic);
    uplinkByNode.set(node, interfaceOfNode(uplink, node));
    // No endpoint is for one of its tunnels only.
    tunnelByNode.set(node, interfaceOfNode(TUNNEL_INTERFACE, node));
    const bind = (interfaceName: string, hostEndpoint: HostEndpoint): BoundHostEndpoint => ({
      interfaceName: interfaceOfNode(interfaceName, node),
      hostEndpoint,
    });
    const named = [
      ...rest,
      ...(ofTunnels === undefined ? [] : [{ ...ofTunnels, interfaceName: TUNNEL_INTERFACE }]),
    ];
    bound.push(...named.map((each) => bind(each.interfaceName, each.hostEndpoint)));
    if (named.length > 0) otherByNode.set(node, interfaceOfNode(OTHER_INTERFACE, node));
    if (!own.unnamed.includes(uplink)) nameByNode.set(node, uplink);
    if (own.everywhere === undefined) continue;
    const names = new Set(named.map(({ interfaceName }) => interfaceName));
    const all = [uplink, TUNNEL_INTERFACE, LOOPBACK_INTERFACE];
    if (named.length > 0) all.push(OTHER_INTERFACE);
    const others = all.filter((name) => !names.has(name));
    bound.push({
      ...bind(ANY_INTERFACE, own.everywhere),
      others: others.map((name) => interfaceOfNode(name, node)),
      ofPods: podInterfaces.get(node) ?? [],
    });
  }
  return { ...UNBOUND, bound, uplinkByNode, tunnelByNode, otherByNode, nameByNode };
}

/** Tells whether one endpoint is for every device by which nodes may wrap. */
function bindsAll(bound: readonly BoundHostEndpoint[], devices: readonly string[]): boolean {
  const [first] = bound;
  return (
    first !== undefined &&
    bound.every(({ hostEndpoint }) => hostEndpoint === first.hostEndpoint) &&
    devices.every((device) => bound.some(({ interfaceName }) => interfaceName === device))
  );
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
    message: `host endpoints tell of several interfaces of ${node}: give that node's point of view`,
    ...(first === undefined ? {} : { place: first.hostEndpoint.place }),
    suggestion: `--node ${node}`,
  });
}

function reportUplink(
  { open }: Uplinks,
  { node, at }: { readonly node: string; readonly at: ClusterNode | undefined },
  onDiagnostic: OnDiagnostic,
): void {
  const addresses = uplinkAddresses(at);
  for (const { name, interfaceName, place } of open) {
    const known =
      addresses.length === 0
        ? `nothing tells the addresses of ${node}`
        : `no expectedIPs is ${addresses.map(formatAddress).join(" or ")}`;
    const what =
      interfaceName === undefined
        ? `which interface HostEndpoint ${name} binds is not known`
        : `whether ${interfaceName} is the interface by which everything but its pods reaches ${node} is not known`;
    onDiagnostic({
      severity: "warning",
      code: "MISSING_FIELD",
      message: `${what}: ${known}`,
      place,
    });
  }
}
