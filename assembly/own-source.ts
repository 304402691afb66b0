// Whether what comes from a node's address was sent by the node itself, in a cluster as its manifests tell it: the
// capture may show, behind the last hook, a client's or a pod's packet that the node has masqueraded, which its rules
// saw before with the client's address.
import { backends, isBackend } from "./backends";
import { isPod } from "./entry-node";
import { key } from "./key";
import { KNOWN_PORTS, KNOWN_TTL, ROUTE_LOCAL, ROUTE_OUTSIDE, ROUTE_UNICAST } from "./layout";
import { hasPorts } from "./protocol";
import { Packet } from "./records";
import { routeKind, routeNode, staysOnLink } from "./route";
import { isEmpty } from "./set";

const PROTOCOL_IPIP: u32 = 4;

let hidesPods: bool = false;
let sparesNodes: bool = false;
let podsMayIpip: bool = false;

/**
 * Says whether nodes may masquerade what pods send that policies bind; and if so, whether not what they send to
 * nodes, and whether they may wrap it themselves.
 */
export function setHidesPods(on: bool, areNodesSpared: bool, isIpipAllowed: bool): void {
  hidesPods = on;
  sparesNodes = areNodesSpared;
  podsMayIpip = isIpipAllowed;
}

/**
 * Nobody has forwarded the packet: it has a TTL with which systems begin (64 those of Linux and BSD, 128 those of
 * Windows, 255 others). As many hops away as lie between these nobody is.
 */
export function isAsSent(packet: Packet): bool {
  if ((packet.known & KNOWN_TTL) == 0) return false;
  return packet.ttl == 64 || packet.ttl == 128 || packet.ttl == 255;
}

/** The packet, from a node's address to a pod of that node, may be what a Service or a host port has brought there. */
export function isPerhapsClients(packet: Packet, srcRoute: i32, dstRoute: i32): bool {
  if (isEmpty(backends) || !isPod(dstRoute) || !isPerhapsSameNode(srcRoute, dstRoute)) return false;
  if (!hasPorts(packet.protocol) || (packet.known & KNOWN_PORTS) == 0) return false;
  key.protocol = packet.protocol;
  return isBackend(packet.dst0, packet.dst1, packet.dst2, packet.dst3, packet.dport);
}

/** From a node's address out of the node, it may be what a pod sends, whose policies may refuse it. */
export function isPerhapsPods(packet: Packet, srcRoute: i32, dstRoute: i32): bool {
  if (!hidesPods) return false;
  // Nobody forwards it, nor replaces its source.
  if (staysOnLink(packet.family, packet.dst0)) return false;
  if (routeKind(dstRoute) == ROUTE_OUTSIDE) return true;
  // What nodes wrap has the TTL of what is inside, which they have counted down.
  if (sparesNodes || (packet.protocol == PROTOCOL_IPIP && !podsMayIpip)) return false;
  return isOfOtherNode(srcRoute, dstRoute);
}

// Of one node's own point of view others' addresses lie behind the uplink.
function isOfOtherNode(srcRoute: i32, dstRoute: i32): bool {
  const node = routeNode(dstRoute);
  if (node == routeNode(srcRoute)) return false;
  const kind = routeKind(dstRoute);
  return kind == ROUTE_LOCAL || (kind == ROUTE_UNICAST && node != 0 && !isPod(dstRoute));
}

function isPerhapsSameNode(srcRoute: i32, dstRoute: i32): bool {
  const from = routeNode(srcRoute);
  const to = routeNode(dstRoute);
  return from == 0 || to == 0 || from == to;
}
