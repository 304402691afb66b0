/** Interfaces and routes to bytes in the matcher's memory, as assembly/layout.ts draws them. */
import * as layout from "../../assembly/layout.ts";
import { encodeText } from "../net/text-bytes.ts";
import type { NodeInterface, Route, Ruleset, Topology } from "../tables/model.ts";
import type { MatcherExports } from "./exports.ts";
import { TUNNEL_INTERFACE } from "../tables/names.ts";
import { tunnelSources } from "./tunnel-sources.ts";

/** The routes by the number that verdicts have of them, and where their records lie. */
export interface PackedRoutes {
  readonly routes: readonly Route[];
  readonly records: number;
}

/** Routes, and the rules of what goes by them. */
interface Routed {
  readonly topology: Topology;
  readonly rulesets: readonly Ruleset[];
}

/**
 * Packs the routes, and the interfaces of a real node.
 *
 * @param before routes that led until now: they keep their numbers
 */
export function packTopology(
  exports: MatcherExports,
  program: Routed,
  context: { readonly interfaces: InterfaceNumbers; readonly nodes: NodeNumbers },
  before?: PackedRoutes,
): PackedRoutes {
  const { topology } = program;
  const { interfaces } = context;
  // Of manifests only those that lead away are told.
  const told = topology.interfaces ?? topology.uplinks?.map(bareInterface) ?? [];
  // Names get their numbers first: the records below have one for each.
  for (const { name } of told) interfaces.add(name);
  if (topology.otherInterface !== undefined) interfaces.add(topology.otherInterface);
  const packed = packRoutes(exports, program, context, before);
  packInterfaces(exports, told, interfaces);
  exports.setLeastMtu(leastMtu(topology));
  const { always = false, unlessAccepted = false } = topology.sourceLookUp ?? {};
  exports.setSourceLookUp(always, unlessAccepted);
  return packed;
}

/** Nodes by their numbers, from 1; of one without a number it is not known which it is. */
export type NodeNumbers = ReadonlyMap<string, number>;

const MOST_NODES = 0xfffe;

/** Gives every node a number. */
export function numberNodes({ nodes = [], routes }: Topology): NodeNumbers {
  const numbers = new Map<string, number>();
  for (const name of [...nodes, ...routes.map(({ node }) => node)]) {
    if (name === undefined || numbers.has(name) || numbers.size === MOST_NODES) continue;
    numbers.set(name, numbers.size + 1);
  }
  return numbers;
}

/** Writes a bit for each of some nodes, as assembly/entry-node.ts has them. @returns their address */
export function packNodeBits(
  exports: MatcherExports,
  numbers: NodeNumbers,
  {
    names,
    others,
  }: {
    readonly names: Iterable<string>;
    /** Those without a number are among them, too. */
    readonly others: boolean;
  },
): number {
  const words = new Uint32Array(nodeWords(numbers));
  const set = (number: number): void => {
    words[number >>> 5] = (words[number >>> 5] ?? 0) | (1 << (number & 31));
  };
  for (const name of names) set(numbers.get(name) ?? 0);
  if (others) set(0);
  const at = exports.allocate(words.byteLength);
  new Uint8Array(exports.memory.buffer, at).set(new Uint8Array(words.buffer));
  return at;
}

/** How many words they are. */
function nodeWords(numbers: NodeNumbers): number {
  return (numbers.size >>> 5) + 1;
}

function bareInterface(name: string): NodeInterface {
  return { name, index: undefined, mac: undefined, loopback: false, addresses: [] };
}

/** Numbers for interface names; 0 is no interface. */
export class InterfaceNumbers {
  readonly names: string[] = [];
  readonly #exports: MatcherExports;
  readonly #numberByName = new Map<string, number>();

  constructor(exports: MatcherExports) {
    this.#exports = exports;
    this.add("");
  }

  /** The number of a name; 0 when no route leads over it. */
  known(name: string): number {
    return this.#numberByName.get(name) ?? 0;
  }

  add(name: string): number {
    const known = this.#numberByName.get(name);
    if (known !== undefined) return known;
    const bytes = kernelName(name);
    const at = this.#exports.addInterface();
    new Uint8Array(this.#exports.memory.buffer, at, bytes.length).set(bytes);
    const number = this.names.push(name) - 1;
    this.#numberByName.set(name, number);
    return number;
  }
}

/** > A name is a string of C: a NUL ends it, and there is room for 15 bytes. */
function kernelName(name: string): Uint8Array {
  const bytes = encodeText(name).subarray(0, layout.INTERFACE_SIZE - 1);
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

const ROUTE_KINDS: Readonly<Record<Route["kind"], number>> = {
  unicast: layout.ROUTE_UNICAST,
  local: layout.ROUTE_LOCAL,
  missing: layout.ROUTE_MISSING,
  outside: layout.ROUTE_OUTSIDE,
  untranslated: layout.ROUTE_UNTRANSLATED,
  broadcast: layout.ROUTE_BROADCAST,
  anycast: layout.ROUTE_ANYCAST,
  multicast: layout.ROUTE_MULTICAST,
  blackhole: layout.ROUTE_BLACKHOLE,
};

const TABLES: readonly Required<Route>["table"][] = ["local", "main", "default"];

function packRoutes(
  exports: MatcherExports,
  program: Routed,
  { interfaces, nodes: numberByNode }: Parameters<typeof packTopology>[2],
  before: PackedRoutes = { routes: [], records: 0 },
): PackedRoutes {
  const { topology } = program;
  const { routes, policesHosts = false, untracks = false } = topology;
  const first = before.routes.length;
  const records = exports.allocate(Math.max(1, first + routes.length) * layout.ROUTE_SIZE);
  const memory = new Uint8Array(exports.memory.buffer);
  memory.copyWithin(records, before.records, before.records + first * layout.ROUTE_SIZE);
  const tables = TABLES.map((name) => {
    const count = routes.filter(({ table }) => (table ?? "main") === name).length;
    return {
      4: exports.makeTable(count),
      6: exports.makeTable(count),
    };
  });
  let uplink = 0;
  routes.forEach((route, index) => {
    const { address, bits } = route.prefix;
    const table = tables[TABLES.indexOf(route.table ?? "main")];
    if (table === undefined) throw new Error("bug: a route in no table");
    const [a, b, c, d] = address.words;
    exports.insertMember(table[address.family], a, b, c, d, bits, 0, 0, first + index);
    const number = interfaces.add(route.interface);
    if (bits === 0) uplink = number;
    const at = records + (first + index) * layout.ROUTE_SIZE;
    const view = new DataView(exports.memory.buffer);
    view.setUint8(at + layout.ROUTE_KIND, ROUTE_KINDS[route.kind]);
    const realmUnknown = "realm" in route && route.realm === undefined;
    view.setUint8(
      at + layout.ROUTE_FLAGS,
      (route.multipath === true ? layout.ROUTE_MULTIPATH : 0) |
        (realmUnknown ? layout.ROUTE_REALM_UNKNOWN : 0) |
        (route.wrapped === true ? layout.ROUTE_WRAPPED : 0) |
        (route.wrapped === false ? layout.ROUTE_BARE : 0) |
        (route.near === true ? layout.ROUTE_NEAR : 0) |
        (route.near === false ? layout.ROUTE_FAR : 0) |
        (route.perhapsLocal === true ? layout.ROUTE_PERHAPS_LOCAL : 0),
    );
    if (route.tunnel === undefined) {
      view.setUint32(at + layout.ROUTE_REALM, route.realm ?? 0, true);
    } else view.setUint32(at + layout.ROUTE_TUNNEL, interfaces.add(route.tunnel), true);
    view.setUint32(at + layout.ROUTE_INTERFACE, number, true);
    view.setUint32(at + layout.ROUTE_MTU, route.mtu ?? 0, true);
    view.setUint16(at + layout.ROUTE_NODE, numberByNode.get(route.node ?? "") ?? 0, true);
    route.gateway?.words.forEach((word, place) => {
      view.setUint32(at + layout.ROUTE_GATEWAY + 4 * place, word, true);
    });
  });
  packNodeAddresses(exports, program, numberByNode);
  const all = { names: numberByNode.keys(), others: topology.moreNodes ?? true };
  exports.setNodes(packNodeBits(exports, numberByNode, all), nodeWords(numberByNode));
  packNodeUplinks(exports, topology, { numberByNode, interfaces });
  const addresses = exports.allocate(layout.ROUTE_TABLES * 8);
  const view = new DataView(exports.memory.buffer);
  tables.forEach((table, index) => {
    view.setUint32(addresses + 8 * index, table[4], true);
    view.setUint32(addresses + 8 * index + 4, table[6], true);
  });
  const real = topology.interfaces !== undefined;
  const { hidesPods = false, sparesNodes = false, podsMayIpip = false } = topology;
  exports.setHidesPods(hidesPods, sparesNodes, podsMayIpip);
  exports.setRoutes(
    records,
    addresses,
    uplink,
    topology.wholeCluster,
    real,
    policesHosts,
    untracks,
  );
  return { routes: [...before.routes, ...routes], records };
}

/** Of nodes that no route names, no packet comes. */
function packNodeAddresses(
  exports: MatcherExports,
  { topology, rulesets }: Routed,
  numberByNode: NodeNumbers,
): void {
  const { nodeAddresses: told = [], untoldTunnels = [], outgoingKnown = false } = topology;
  const sources = {
    4: tunnelSources(rulesets, topology, 4),
    6: tunnelSources(rulesets, topology, 6),
  };
  const nodeAddresses = [
    ...told,
    ...untoldTunnels.flatMap(({ node, family }) =>
      sources[family].map((address) => ({ node, address, ofTunnel: true })),
    ),
  ].sort((one, other) => (numberByNode.get(one.node) ?? 0) - (numberByNode.get(other.node) ?? 0));
  const count = nodeAddresses.length;
  const records = exports.allocate(Math.max(1, count) * layout.NODE_ADDRESS_SIZE);
  const view = new DataView(exports.memory.buffer);
  nodeAddresses.forEach(({ node, address, ofTunnel }, index) => {
    const at = records + index * layout.NODE_ADDRESS_SIZE;
    view.setUint16(at + layout.NODE_ADDRESS_NODE, numberByNode.get(node) ?? 0, true);
    view.setUint8(at + layout.NODE_ADDRESS_FAMILY, address.family);
    view.setUint8(at + layout.NODE_ADDRESS_TUNNEL, ofTunnel ? 1 : 0);
    address.words.forEach((word, place) => {
      view.setUint32(at + layout.NODE_ADDRESS_WORDS + 4 * place, word, true);
    });
  });
  exports.setNodeAddresses(records, count, outgoingKnown);
}

/** One word for each node by its number: the interface, or 0. */
function packNodeUplinks(
  exports: MatcherExports,
  {
    uplinkByNode = new Map<string, string>(),
    tunnelByNode = new Map<string, string>(),
    otherByNode = new Map<string, string>(),
    nameByNode = new Map<string, string>(),
  }: Topology,
  {
    numberByNode,
    interfaces,
  }: { readonly numberByNode: ReadonlyMap<string, number>; readonly interfaces: InterfaceNumbers },
): void {
  const count = uplinkByNode.size === 0 ? 0 : numberByNode.size + 1;
  const wordsOf = (byNode: ReadonlyMap<string, string>): number => {
    const words = exports.allocate(4 * Math.max(1, count));
    for (const [node, name] of byNode) {
      const number = numberByNode.get(node);
      const added = interfaces.add(name);
      const view = new DataView(exports.memory.buffer);
      if (number !== undefined) view.setUint32(words + 4 * number, added, true);
    }
    return words;
  };
  exports.setNodeUplinks(wordsOf(uplinkByNode), wordsOf(tunnelByNode), count);
  const tunnel = otherByNode.size === 0 ? 0 : interfaces.add(TUNNEL_INTERFACE);
  exports.setShownInterfaces(wordsOf(otherByNode), wordsOf(nameByNode), tunnel, count);
}

/** INTERFACE_LINK_* bits that the interface alone tells. */
function linkFlags(one: NodeInterface): number {
  const { mac, loopback, group, bridge, astray = false, vlansUnknown = false } = one;
  return (
    layout.INTERFACE_LINK_EXISTS |
    (mac === undefined ? 0 : layout.INTERFACE_LINK_HAS_MAC) |
    (loopback ? layout.INTERFACE_LINK_LOOPBACK : 0) |
    (group === undefined ? 0 : layout.INTERFACE_LINK_HAS_GROUP) |
    (bridge === undefined ? 0 : layout.INTERFACE_LINK_BRIDGE) |
    (bridge === undefined ? 0 : callsFlag(bridge[4], CALLS[4]) | callsFlag(bridge[6], CALLS[6])) |
    (astray ? layout.INTERFACE_LINK_ASTRAY : 0) |
    (vlansUnknown ? layout.INTERFACE_LINK_VLANS_UNKNOWN : 0)
  );
}

/** Bits for what rules see, and for what they perhaps see. */
const CALLS = {
  4: [layout.INTERFACE_LINK_CALLS4, layout.INTERFACE_LINK_CALLS4_UNKNOWN],
  6: [layout.INTERFACE_LINK_CALLS6, layout.INTERFACE_LINK_CALLS6_UNKNOWN],
} as const;

function callsFlag(
  calls: boolean | undefined,
  [certain, perhaps]: readonly [number, number],
): number {
  if (calls === undefined) return perhaps;
  return calls ? certain : 0;
}

/** > What is longer than where it came from is segments, which fit where packets may be as long. */
function leastMtu({ routes, interfaces = [] }: Topology): number {
  const own = interfaces.flatMap(({ loopback, mtu, mtu6 }) => (loopback ? [] : [mtu, mtu6 ?? mtu]));
  const told = [...routes.map(({ mtu }) => mtu), ...own].filter((mtu) => mtu !== undefined);
  const least = told.reduce((one, other) => Math.min(one, other), NO_LIMIT);
  const alike = [...told, ...own].every((mtu) => mtu === least);
  return alike ? NO_LIMIT : least;
}

const NO_LIMIT = 0xffffffff;

function packInterfaces(
  exports: MatcherExports,
  real: readonly NodeInterface[],
  interfaces: InterfaceNumbers,
): void {
  const linkCount = interfaces.names.length;
  const links = exports.allocate(linkCount * layout.INTERFACE_LINK_SIZE);
  const owned = real.flatMap((each) => each.addresses.map((own) => ({ own, name: each.name })));
  const addresses = exports.allocate(Math.max(1, owned.length) * layout.INTERFACE_ADDRESS_SIZE);
  const view = new DataView(exports.memory.buffer);
  const stacked = new Set([
    ...real.map(({ upper }) => upper),
    ...real.flatMap(({ name, vlan }) => (vlan === undefined ? [] : [name])),
  ]);
  for (const each of real) {
    const { name, mac, group, mtu, mtu6, upper, vlan } = each;
    const at = links + interfaces.known(name) * layout.INTERFACE_LINK_SIZE;
    view.setUint16(
      at + layout.INTERFACE_LINK_FLAGS,
      linkFlags(each) | (stacked.has(name) ? layout.INTERFACE_LINK_STACKED : 0),
      true,
    );
    view.setUint16(at + layout.INTERFACE_LINK_VLAN, vlan === undefined ? 0 : vlan.id + 1, true);
    view.setUint32(at + layout.INTERFACE_LINK_UPPER, interfaces.known(upper ?? ""), true);
    view.setUint32(at + layout.INTERFACE_LINK_LOWER, interfaces.known(vlan?.lower ?? ""), true);
    view.setUint32(at + layout.INTERFACE_LINK_MTU, mtu ?? 0, true);
    view.setUint32(at + layout.INTERFACE_LINK_MTU6, mtu6 ?? mtu ?? 0, true);
    view.setUint32(at + layout.INTERFACE_LINK_GROUP, group ?? 0, true);
    mac?.forEach((byte, place) => view.setUint8(at + layout.INTERFACE_LINK_MAC + place, byte));
  }
  owned.forEach(({ own, name }, index) => {
    const at = addresses + index * layout.INTERFACE_ADDRESS_SIZE;
    view.setUint32(at + layout.INTERFACE_ADDRESS_INTERFACE, interfaces.known(name), true);
    view.setUint8(at + layout.INTERFACE_ADDRESS_FAMILY, own.address.family);
    view.setUint8(at + layout.INTERFACE_ADDRESS_BITS, own.bits);
    view.setUint8(
      at + layout.INTERFACE_ADDRESS_FLAGS,
      (own.secondary ? layout.INTERFACE_ADDRESS_SECONDARY : 0) |
        (own.scope === "link" || own.scope === "host" ? layout.INTERFACE_ADDRESS_NARROW : 0),
    );
    own.address.words.forEach((word, place) => {
      view.setUint32(at + layout.INTERFACE_ADDRESS_WORDS + 4 * place, word, true);
    });
  });
  exports.setNodeInterfaces(links, linkCount, addresses, owned.length);
}
