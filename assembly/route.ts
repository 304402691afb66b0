// The routing tables: what an address is, and by which interface it is reached. A real node has three
// tables, tried in order; a compiled cluster has one.
import {
  ROUTE_FLAGS,
  ROUTE_GATEWAY,
  ROUTE_INTERFACE,
  ROUTE_KIND,
  ROUTE_MTU,
  ROUTE_MULTIPATH,
  ROUTE_NODE,
  ROUTE_NONE,
  ROUTE_PERHAPS_LOCAL,
  ROUTE_REALM,
  ROUTE_BARE,
  ROUTE_FAR,
  ROUTE_NEAR,
  ROUTE_REALM_UNKNOWN,
  ROUTE_WRAPPED,
  ROUTE_SIZE,
  ROUTE_TABLES,
  ROUTE_TUNNEL,
} from "./layout";
import { lookup, lookup4 } from "./set";

let routes: usize = 0;
// u32[ROUTE_TABLES][2]: prefix tables in the order they are tried, for IPv4 and IPv6.
let tables: usize = 0;
let uplink: u32 = 0;
let several: bool = false;
let real: bool = false;
let hosts: bool = false;
let untracks: bool = false;
let nodeUplinks: usize = 0;
let nodeTunnels: usize = 0;
let nodeUplinkCount: u32 = 0;

/**
 * Sets the route records, the prefix tables that lead to them, and the interface of the default route.
 *
 * @param wholeCluster several nodes are judged as one
 * @param realNode     the routes are those that a node itself has
 * @param hostPolicies policies bind a node's own interfaces, the loopback interface too
 * @param rawPolicies  rules of the raw table may say that a packet is not tracked
 */
export function setRoutes(
  records: usize,
  prefixTables: usize,
  uplinkInterface: u32,
  wholeCluster: bool,
  realNode: bool,
  hostPolicies: bool,
  rawPolicies: bool,
): void {
  hosts = hostPolicies;
  untracks = rawPolicies;
  several = wholeCluster;
  real = realNode;
  routes = records;
  tables = prefixTables;
  uplink = uplinkInterface;
  foundShift = realNode ? PLACES_OF_NODE : PLACES_OF_CLUSTER;
  forgetFound();
}

// What was found for IPv4 addresses: the address, u32, and its route twice, i32, plus one where the local table has
// it, in the place that its hash names.
const FOUND: u32 = 1 << 15;
// A hash's upper bits name the place. Those who talk to a node are any number, and few that come again: a smaller part
// is in a nearer cache.
const PLACES_OF_CLUSTER: u32 = 32 - 15;
const PLACES_OF_NODE: u32 = 32 - 12;
let foundShift: u32 = PLACES_OF_NODE;
const found: usize = memory.data(8 * 32768, 8);

function forgetFound(): void {
  // An address that its own place does not have: that of 0.0.0.0 is another's.
  memory.fill(found, 0, (<usize>FOUND) << 3);
  store<u32>(found, 0xffffffff);
}

function foundAt(address: u32): usize {
  return found + ((<usize>((address * 0x9e3779b1) >> foundShift)) << 3);
}

/** Number of the route of an address; ROUTE_NONE without one. */
export function routeOf(family: u32, word0: u32, word1: u32, word2: u32, word3: u32): i32 {
  return (family == 4 ? findRoute4(word0) : searchRoute(family, word0, word1, word2, word3)) >> 1;
}

/** The same of IPv4 in the local table only: the node's own, broadcast, anycast and multicast addresses. */
export function localRouteOf(word: u32): i32 {
  const found = findRoute4(word);
  return (found & 1) != 0 ? found >> 1 : ROUTE_NONE;
}

function findRoute4(word: u32): i32 {
  const place = foundAt(word);
  if (load<u32>(place) == word) return load<i32>(place, 4);
  const found = searchRoute(4, word, 0, 0, 0);
  store<u32>(place, word);
  store<i32>(place, found, 4);
  return found;
}

// The route twice, plus one where the local table has it.
function searchRoute(family: u32, word0: u32, word1: u32, word2: u32, word3: u32): i32 {
  for (let table: u32 = 0; table < <u32>ROUTE_TABLES; table++) {
    const at = tableAt(table, family);
    const found = family == 4 ? lookup4(at, word0) : lookup(at, word0, word1, word2, word3, 0, 0);
    if (found >= 0) return ((<i32>found) << 1) | (table == 0 ? 1 : 0);
  }
  return ROUTE_NONE << 1;
}

export function routeKind(route: i32): u32 {
  return route == ROUTE_NONE ? 0 : load<u8>(routeAt(route), ROUTE_KIND);
}

export function routeInterface(route: i32): u32 {
  return route == ROUTE_NONE ? 0 : load<u32>(routeAt(route), ROUTE_INTERFACE);
}

/** Number of the node that has the address; 0 when unknown. */
export function routeNode(route: i32): u32 {
  return route == ROUTE_NONE ? 0 : load<u16>(routeAt(route), ROUTE_NODE);
}

/** Several next hops of equal rank. */
export function routeIsMultipath(route: i32): bool {
  return route != ROUTE_NONE && (load<u8>(routeAt(route), ROUTE_FLAGS) & ROUTE_MULTIPATH) != 0;
}

/** What other nodes send there is wrapped, and has a tunnel's address where it has one of theirs. */
export function routeIsWrapped(route: i32): bool {
  return route != ROUTE_NONE && (load<u8>(routeAt(route), ROUTE_FLAGS) & ROUTE_WRAPPED) != 0;
}

/** It is not. */
export function routeIsBare(route: i32): bool {
  return route != ROUTE_NONE && (load<u8>(routeAt(route), ROUTE_FLAGS) & ROUTE_BARE) != 0;
}

/** The interface by which what is wrapped comes and goes; 0: nothing is. */
export function routeTunnel(route: i32): u32 {
  return route == ROUTE_NONE ? 0 : load<u32>(routeAt(route), ROUTE_TUNNEL);
}

/** Behind another node, in the judged one's subnet. */
export function routeIsNear(route: i32): bool {
  return route != ROUTE_NONE && (load<u8>(routeAt(route), ROUTE_FLAGS) & ROUTE_NEAR) != 0;
}

/** The same, in another subnet. */
export function routeIsFar(route: i32): bool {
  return route != ROUTE_NONE && (load<u8>(routeAt(route), ROUTE_FLAGS) & ROUTE_FAR) != 0;
}

/** Nothing tells whether it is an address that a node has itself. */
export function routeIsPerhapsLocal(route: i32): bool {
  return route != ROUTE_NONE && (load<u8>(routeAt(route), ROUTE_FLAGS) & ROUTE_PERHAPS_LOCAL) != 0;
}

/** Realm of the route: that of destinations in the lower half, of sources in the upper one. */
export function routeRealm(route: i32): u32 {
  return route == ROUTE_NONE ? 0 : load<u32>(routeAt(route), ROUTE_REALM);
}

/** How long packets may be that go by the route; 0: the interface says. */
export function routeMtu(route: i32): u32 {
  return route == ROUTE_NONE ? 0 : load<u32>(routeAt(route), ROUTE_MTU);
}

export function routeRealmIsKnown(route: i32): bool {
  return route == ROUTE_NONE || (load<u8>(routeAt(route), ROUTE_FLAGS) & ROUTE_REALM_UNKNOWN) == 0;
}

/** Address of the next hop's four words; all zero when the destination itself is. */
export function routeGateway(route: i32): usize {
  return routeAt(route) + ROUTE_GATEWAY;
}

/** The interface of the default route: by it another node's traffic comes and goes. */
export function uplinkInterface(): u32 {
  return uplink;
}

/**
 * Sets the words of the interfaces by which nodes are reached, by the nodes' numbers; 0: the same for all others.
 *
 * @param tunnelWords those by which what is wrapped comes and goes
 */
export function setNodeUplinks(words: usize, tunnelWords: usize, count: u32): void {
  nodeUplinks = words;
  nodeTunnels = tunnelWords;
  nodeUplinkCount = count;
}

/** The same of one node, where each has its own. */
export function uplinkOf(node: u32): u32 {
  if (node >= nodeUplinkCount) return uplink;
  const own = load<u32>(nodeUplinks + ((<usize>node) << 2));
  return own == 0 ? uplink : own;
}

/** That of a node's tunnels, where each has its own; no rule tells the others' from how they are reached. */
export function tunnelOf(node: u32): u32 {
  if (node >= nodeUplinkCount) return uplink;
  const own = load<u32>(nodeTunnels + ((<usize>node) << 2));
  return own == 0 ? uplink : own;
}

/** Nodes seen as one have interfaces of their own that policies bind: each is asked by itself. */
export function policesEachHost(): bool {
  return nodeUplinkCount != 0;
}

/** Several nodes are judged as one. */
export function severalNodes(): bool {
  return several;
}

/** The routes and interfaces are those of a real node. */
export function isRealNode(): bool {
  return real;
}

/** Of manifests: policies bind a node's own interfaces. */
export function policesHosts(): bool {
  return hosts;
}

/** Of manifests: rules of the raw table may say that a packet is not tracked. */
export function rawUntracks(): bool {
  return untracks;
}

/** Multicast, limited broadcast and IPv6 link-local destinations are delivered to the node, never forwarded. */
export function staysOnLink(family: u32, word0: u32): bool {
  if (family == 4) return word0 >> 28 == 0xe || word0 == 0xffffffff;
  return word0 >> 24 == 0xff || word0 >> 22 == 0x3fa;
}

function routeAt(route: i32): usize {
  return routes + <usize>route * ROUTE_SIZE;
}

function tableAt(table: u32, family: u32): usize {
  return load<u32>(tables + ((<usize>(table * 2 + (family == 6 ? 1 : 0))) << 2));
}
