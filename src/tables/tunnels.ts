/**
 * Which tunnels a node has to others, and the rules that let what is wrapped pass between nodes, and
 * nobody else's, before any policy of a host endpoint.
 * Source: Felix rules/static.go; calc/encapsulation_calculator.go; dataplane/linux/hosts_ipset_mgr.go,
 * vxlan_mgr.go.
 */
import { felixSettings } from "../cluster/felix-configuration.ts";
import type { ClusterNode, FelixSettings, Snapshot, TunnelKind } from "../cluster/snapshot.ts";
import type { Match } from "../match/index.ts";
import type { SetName } from "../match/set.ts";
import { hostPrefix } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import { PROTOCOL_UDP } from "../net/protocol.ts";
import type { Rule, Topology } from "./model.ts";
import { SET_ALL_HOSTS, SET_VXLAN_SOURCES, TUNNEL_DEVICE } from "./names.ts";
import { ACCEPT, DROP, makeRule, MASQUERADE, NOTRACK, protocolIs } from "./rule.ts";
import type { SetCollector } from "./sets.ts";
import { IS_LOCAL } from "./service-port.ts";

const PROTOCOL_IPIP = 4;

/** What the tunnels of one family add to Felix's chains. */
export interface TunnelRules {
  readonly input: readonly Rule[];
  readonly output: readonly Rule[];
  /** At raw's hooks: wrapped packets are no connections. */
  readonly untracked: readonly Rule[];
  /** At the end of nat's: what leaves by a tunnel with another address of the node. */
  readonly postrouting: readonly Rule[];
}

/** Tells whether nodes wrap packets of a family by VXLAN, where pools or settings say so. */
export function usesVxlan(snapshot: Snapshot, settings: FelixSettings, family: Family): boolean {
  return settings.vxlan ?? hasPools(snapshot, "vxlan", family);
}

function hasPools({ pools }: Snapshot, kind: TunnelKind, family: Family): boolean {
  return pools.some(({ tunnel, prefix }) => tunnel === kind && prefix.address.family === family);
}

/** The nodes whose tunnels' addresses may be any of some ranges, as no object tells them. */
export function untoldTunnels(
  snapshot: Snapshot,
): Pick<Topology, "untoldTunnels" | "tunnelRanges"> {
  const { pools, nodeByName, clusterPrefixes } = snapshot;
  const settings = felixSettings(snapshot, undefined);
  const nodes = [...nodeByName.values()];
  const untold = FAMILIES.flatMap((family) => {
    const kinds = usedTunnels(snapshot, settings, family);
    const isTold = ({ tunnels }: ClusterNode, kind: TunnelKind): boolean =>
      tunnels.some((tunnel) => tunnel.kind === kind && tunnel.address.family === family);
    return nodes
      .filter((node) => kinds.some((kind) => !isTold(node, kind)))
      .map(({ name }) => ({ node: name, family }));
  });
  if (untold.length === 0) return {};
  const ofPools = pools.filter(({ ofNetwork }) => ofNetwork).map(({ prefix }) => prefix);
  const ranges = FAMILIES.flatMap((family) => {
    const own = ofPools.filter(({ address }) => address.family === family);
    return own.length > 0
      ? own
      : clusterPrefixes.filter(({ address }) => address.family === family);
  });
  return { untoldTunnels: untold, tunnelRanges: ranges };
}

const FAMILIES: readonly Family[] = [4, 6];

/** The kinds of tunnels by which some node may send. */
export function usedTunnels(
  snapshot: Snapshot,
  settings: FelixSettings,
  family: Family,
): TunnelKind[] {
  return TUNNEL_KINDS.filter((kind) => usesTunnel(kind, { snapshot, settings, family }));
}

const TUNNEL_KINDS: readonly TunnelKind[] = ["ipip", "vxlan", "wireguard", "flannel"];

/** Tells whether some node may send by such a tunnel: pools and settings say so, or without pools a node has one. */
function usesTunnel(
  kind: TunnelKind,
  {
    snapshot,
    settings,
    family,
  }: {
    readonly snapshot: Snapshot;
    readonly settings: FelixSettings;
    readonly family: Family;
  },
): boolean {
  if (kind === "wireguard" && settings.wireguardPorts[family] !== undefined) return true;
  const { pools, nodeByName } = snapshot;
  if (pools.some(({ prefix }) => prefix.address.family === family)) {
    return hasPools(snapshot, kind, family);
  }
  return [...nodeByName.values()].some(({ tunnels }) =>
    tunnels.some((tunnel) => tunnel.kind === kind && tunnel.address.family === family),
  );
}

/**
 * Compiles the rules of one family.
 *
 * @param node whose; undefined: those of all nodes seen as one
 */
export function compileTunnels(
  snapshot: Snapshot,
  settings: FelixSettings,
  {
    node,
    family,
    sets,
  }: {
    readonly node: string | undefined;
    readonly family: Family;
    readonly sets: SetCollector;
  },
): TunnelRules {
  const all = [...snapshot.nodeByName.values()];
  const own = node === undefined ? all : all.filter(({ name }) => name === node);
  const hasDevice = (kind: TunnelKind): boolean =>
    own.some(({ tunnels }) =>
      tunnels.some((each) => each.kind === kind && each.address.family === family),
    );
  const ipip = family === 4 && (settings.ipip ?? hasPools(snapshot, "ipip", 4));
  const vxlan = usesVxlan(snapshot, settings, family);
  const wireguard = settings.wireguardPorts[family];
  const hosts = (): SetName => hostSet(all, settings, sets);
  // > Tunnel endpoints of other nodes.
  const others = all.filter(
    ({ name, tunnels }) =>
      name !== node &&
      tunnels.some(({ kind, address }) => kind === "vxlan" && address.family === family),
  );
  const endpoints = (): SetName =>
    sets.fixedSet(SET_VXLAN_SOURCES, {
      members: hostNets(others, settings),
      description: "nodes with VXLAN and externalNodesList",
      unknown: !sets.knowsNodes(),
    });
  const devices = [
    ...(ipip && hasDevice("ipip") ? [TUNNEL_DEVICE.ipip[family]] : []),
    ...(vxlan && hasDevice("vxlan") ? [TUNNEL_DEVICE.vxlan[family]] : []),
    ...(wireguard === undefined ? [] : [TUNNEL_DEVICE.wireguard[family]]),
  ];
  return {
    input: [
      ...(ipip ? ipipInput(hosts()) : []),
      ...(vxlan ? vxlanInput(settings.vxlanPort, family, endpoints()) : []),
      ...(wireguard === undefined ? [] : [wireguardRule(wireguard, family, "incoming")]),
    ],
    output: [
      ...(ipip ? [ipipOutput(hosts())] : []),
      ...(vxlan ? [vxlanOutput(settings.vxlanPort, family, endpoints())] : []),
      ...(wireguard === undefined ? [] : [wireguardRule(wireguard, family, "outgoing")]),
    ],
    untracked: vxlan ? [untrackedVxlan(settings.vxlanPort)] : [],
    postrouting: devices.map(tunnelSource),
  };
}

/** The set of all nodes, and of other hosts that may send wrapped packets. */
export function hostSet(
  nodes: readonly ClusterNode[],
  settings: FelixSettings,
  sets: SetCollector,
): SetName {
  return sets.fixedSet(SET_ALL_HOSTS, {
    members: hostNets(nodes, settings),
    description: "every node and externalNodesList",
    unknown: !sets.knowsNodes(),
  });
}

/** The addresses by which nodes know each other, and those of the other hosts. */
function hostNets(nodes: readonly ClusterNode[], { externalNodes }: FelixSettings): Prefix[] {
  const addresses = nodes.flatMap(({ hostAddresses }): readonly Address[] => hostAddresses);
  return [...addresses.map(hostPrefix), ...externalNodes];
}

function ipipInput(hosts: SetName): Rule[] {
  const wrapped = protocolIs(PROTOCOL_IPIP);
  return [
    makeRule({
      comment: "Allow IPIP packets from Calico hosts",
      matches: [wrapped, inSet(hosts, "src"), IS_LOCAL.destination],
      target: ACCEPT,
    }),
    makeRule({
      comment: "Drop IPIP packets from non-Calico hosts",
      matches: [wrapped],
      target: DROP,
      origin: { kind: "tunnel", what: "IPIP" },
    }),
  ];
}

function ipipOutput(hosts: SetName): Rule {
  return makeRule({
    comment: "Allow IPIP packets to other Calico hosts",
    matches: [protocolIs(PROTOCOL_IPIP), inSet(hosts, "dst"), IS_LOCAL.source],
    target: ACCEPT,
  });
}

function vxlanInput(port: number, family: Family, endpoints: SetName): Rule[] {
  return [
    makeRule({
      comment: `Allow IPv${family} VXLAN packets from allowed hosts`,
      matches: [...toPort(port), inSet(endpoints, "src"), IS_LOCAL.destination],
      target: ACCEPT,
    }),
    makeRule({
      comment: `Drop IPv${family} VXLAN packets from non-allowed hosts`,
      matches: [...toPort(port), IS_LOCAL.destination],
      target: DROP,
      origin: { kind: "tunnel", what: "VXLAN" },
    }),
  ];
}

function vxlanOutput(port: number, family: Family, endpoints: SetName): Rule {
  return makeRule({
    comment: `Allow IPv${family} VXLAN packets to other allowed hosts`,
    matches: [...toPort(port), IS_LOCAL.source, inSet(endpoints, "dst")],
    target: ACCEPT,
  });
}

function untrackedVxlan(port: number): Rule {
  return makeRule({
    matches: [
      protocolIs(PROTOCOL_UDP),
      {
        kind: "port",
        protocol: "udp",
        sport: undefined,
        dport: { first: port, last: port, invert: false },
      },
    ],
    target: NOTRACK,
  });
}

/** > Allowed peers are programmed separately. */
function wireguardRule(port: number, family: Family, way: "incoming" | "outgoing"): Rule {
  return makeRule({
    comment: `Allow ${way} IPv${family} Wireguard packets`,
    matches: [...toPort(port), way === "incoming" ? IS_LOCAL.destination : IS_LOCAL.source],
    target: ACCEPT,
  });
}

/** > Packets that leave by the tunnel with another local address than the tunnel's. */
function tunnelSource(device: string): Rule {
  return makeRule({
    matches: [
      { kind: "interface", side: "out", name: device, wildcard: false, invert: false },
      {
        kind: "addrtype",
        source: { types: ["LOCAL"], invert: true },
        destination: undefined,
        limit: "out",
      },
      IS_LOCAL.source,
    ],
    target: MASQUERADE,
  });
}

function toPort(port: number): Match[] {
  const ports = [{ first: port, last: port }];
  return [protocolIs(PROTOCOL_UDP), { kind: "multiport", side: "dst", ports, invert: false }];
}

function inSet(set: SetName, side: "src" | "dst"): Match {
  return { kind: "set", set, flags: [side], invert: false };
}
