// The routing decision: what an address is, and by which interface it is reached.
import { ROUTE_INTERFACE, ROUTE_KIND, ROUTE_NODE, ROUTE_NONE, ROUTE_SIZE } from "./layout";
import { lookup } from "./set";

let routes: usize = 0;
let table: usize = 0;
let table6: usize = 0;
let uplink: u32 = 0;
let several: bool = false;

/**
 * Sets the route records, the prefix tables that lead to them, the interface of the default route, and
 * whether several nodes are judged as one.
 */
export function setRoutes(
  records: usize,
  four: usize,
  six: usize,
  uplinkInterface: u32,
  wholeCluster: bool,
): void {
  several = wholeCluster;
  routes = records;
  table = four;
  table6 = six;
  uplink = uplinkInterface;
}

/** Number of the route of an address; ROUTE_NONE without one. */
export function routeOf(family: u32, word0: u32, word1: u32, word2: u32, word3: u32): i32 {
  const found = lookup(family == 4 ? table : table6, word0, word1, word2, word3, 0, 0);
  return found < 0 ? ROUTE_NONE : <i32>found;
}

export function routeKind(route: i32): u32 {
  return route == ROUTE_NONE ? 0 : load<u8>(routes + <usize>route * ROUTE_SIZE, ROUTE_KIND);
}

export function routeInterface(route: i32): u32 {
  return route == ROUTE_NONE ? 0 : load<u16>(routes + <usize>route * ROUTE_SIZE, ROUTE_INTERFACE);
}

/** Number of the node that has the address; 0 when unknown. */
export function routeNode(route: i32): u32 {
  return route == ROUTE_NONE ? 0 : load<u16>(routes + <usize>route * ROUTE_SIZE, ROUTE_NODE);
}

/** The interface of the default route: by it another node's traffic comes and goes. */
export function uplinkInterface(): u32 {
  return uplink;
}

/** Several nodes are judged as one. */
export function severalNodes(): bool {
  return several;
}

/** Multicast, limited broadcast and IPv6 link-local destinations are delivered to the node, never forwarded. */
export function staysOnLink(family: u32, word0: u32): bool {
  if (family == 4) return word0 >> 28 == 0xe || word0 == 0xffffffff;
  return word0 >> 24 == 0xff || word0 >> 22 == 0x3fa;
}
