// What a packet carries through the hooks while its walk is tried: the addresses as rules see them now,
// mark, conntrack state and interfaces. A walk may be tried several times (see fork.ts), so nothing
// outside this record changes before the verdict is settled.
import { clearBytes, copyBytes } from "./bytes";
import {
  CT_INVALID,
  HOOK_OUTPUT,
  HOOK_PREROUTING,
  KNOWN_PORTS,
  MALFORMED_EXTENSION,
  PACKET_SRC,
  REASON_BACKEND,
  REASON_NAT_PORT,
  REASON_NO_PORTS,
  RULE_NONE,
  TABLE_NAT,
} from "./layout";
import { Packet } from "./records";

@unmanaged
export class Walk {
  family: u32;
  protocol: u32;
  /** KNOWN_* of the packet. */
  known: u32;
  /** PACKET_* of the packet. */
  flags: u32;
  src0: u32;
  src1: u32;
  src2: u32;
  src3: u32;
  dst0: u32;
  dst1: u32;
  dst2: u32;
  dst3: u32;
  sport: u32;
  dport: u32;
  icmpType: u32;
  icmpCode: u32;
  /** Bytes from the transport header to the packet's end, as on the wire; huge where not known. */
  transportLength: u32;
  mark: u32;
  /** The mark of the connection. */
  connectionMark: u32;
  /** Bits of both that are not known. */
  markUnknown: u32;
  connectionMarkUnknown: u32;
  /** The addresses before any translation. */
  firstSrc0: u32;
  firstSrc1: u32;
  firstSrc2: u32;
  firstSrc3: u32;
  firstDst0: u32;
  firstDst1: u32;
  firstDst2: u32;
  firstDst3: u32;
  /** One CT_* bit, and CT_SNAT and CT_DNAT. */
  ctState: u32;
  /** Interface numbers; 0 where the hook has none. */
  inInterface: u32;
  outInterface: u32;
  hook: u32;
  table: u32;
  /** Source or destination is missing from the snapshot: sets may or may not hold it. */
  srcMissing: bool;
  dstMissing: bool;
  /** A node has replaced the source, which rules saw: any of theirs may match. */
  srcHidden: bool;
  srcLocal: bool;
  dstLocal: bool;
  /** The rule that ended the walk, RULE_NONE before; and whether that was a chain's end. */
  rule: i32;
  ruleIsEnd: bool;
  /** Of a cluster seen as one: number of the node whose tables are asked; 0: not known. */
  node: u32;
  /** While it is not known: a question has said which nodes it may still be; entry-node.ts has them. */
  nodesLeft: bool;
  /** It has left the node that it met first. */
  hopped: bool;
  /** Session affinity (affinity.ts): the next step, and a visit's lists that were denied to have the client. */
  step: u32;
  recalls: u32;
  recallsDenied: u32;
  /** A list was passed over that may have the client. */
  recallDoubted: bool;
  /** The list into which the client was put, 0: none; on which node, who; whether into another one before. */
  remembered: u32;
  rememberedAt: u32;
  client0: u32;
  client1: u32;
  client2: u32;
  client3: u32;
  remembersMore: bool;
  /** Last matched rule that stands for a policy. */
  decider: i32;
  reject: u32;
  /** It was confirmed on its way out, came back to the node, and is answered with a reset. */
  answeredByReset: bool;
  /** A match found the packet itself malformed: it is dropped at once. */
  hotdrop: bool;
  /** Rules looked at, or changed, what packets of the same connection do not have in common. */
  volatile: bool;
  /** Longer packets of the same connection may fare otherwise: bytes. */
  longest: u32;
  /** TCP flags that rules looked at. */
  tcpFlagsLookedAt: u32;
  /** Rules looked at the port of the source, or of the destination. */
  sportLookedAt: bool;
  dportLookedAt: bool;
  /** The source stays as it is because no connection has the tuple of the answers. */
  staysIfFree: bool;
  /** The table under way is iptables-nft's. */
  nft: bool;
  /** The packet's record, for what rules see of it unchanged. */
  packet: Packet;
  /** As rules see them now: after the decrement of forwarding, and what mangle made of them. */
  ttl: u32;
  tos: u32;
  /** The node itself sends it: it begins at OUTPUT. */
  generated: bool;
  /** Which interface it arrived by is not known; the first rule that looks asks. */
  inUnknown: bool;
  /** The same for the way out. */
  outUnknown: bool;
  /** raw says: not to be tracked. */
  notrack: bool;
  /** raw says something of its tracking: later words do not count. */
  templated: bool;
  /** What raw says is not modelled. */
  trackingUnknown: bool;
  /** TPROXY hands it to a socket of the node, by routes that were not told. */
  proxied: bool;
  /** Bytes of the transport header that lie changed in changed-header.ts; 0: none. */
  changedSize: u32;
  /** A target rewrote bytes of the packet in a way that is not modelled. */
  rewritten: bool;
  /** Seen as one cluster, a packet like its connection's first, which nobody has answered: it goes the same way. */
  again: bool;
  /** The destination was translated: the new one is in dst and dport. */
  translated: bool;
  /** By this rule. */
  translator: i32;
  /** The source becomes an address that is not known (a cluster's node). */
  masqueraded: bool;
  /** The source after the last hook, and whether that is another one. */
  srcTranslated: bool;
  newSrc0: u32;
  newSrc1: u32;
  newSrc2: u32;
  newSrc3: u32;
  newSport: u32;
  /** With the destination the ICMP id was translated, too: the new one is in newSport. */
  movedId: bool;
  /** The node chooses the source port itself. */
  sportUnknown: bool;
  /** From these, and not the wanted one, which is in newSport (0: that, too). */
  portFirst: u32;
  portLast: u32;
  /** The choice of an earlier connection that it repeats; 0: a choice of its own. */
  draw: u32;
  /** The source that the walk shows has a port or ICMP id that the node drew: it is not known. */
  sportDrawn: bool;
  /** The new source has its port. */
  sourceSettled: bool;
  /** A NAT rule has settled the side under way. */
  natBound: bool;
  /** More destinations may be drawn than are tried. */
  candidatesMany: bool;
  /** A NAT rule has nothing to translate to: the packet is dropped. */
  natFailed: bool;
}

/** The one walk under way. */
export const walk: Walk = changetype<Walk>(memory.data(offsetof<Walk>()));

/** Begins a try: the packet as it is on the wire. */
export function startWalk(packet: Packet): void {
  clearBytes(changetype<usize>(walk), offsetof<Walk>());
  copyBytes(
    changetype<usize>(walk) + offsetof<Walk>("src0"),
    changetype<usize>(packet) + PACKET_SRC,
    32,
  );
  walk.family = packet.family;
  walk.protocol = packet.protocol;
  walk.known = packet.known;
  walk.flags = packet.flags;
  walk.packet = packet;
  walk.ttl = packet.ttl;
  walk.tos = packet.tos;
  walk.sport = packet.sport;
  walk.dport = packet.dport;
  walk.icmpType = packet.icmpType;
  walk.icmpCode = packet.icmpCode;
  copyBytes(
    changetype<usize>(walk) + offsetof<Walk>("firstSrc0"),
    changetype<usize>(packet) + PACKET_SRC,
    32,
  );
  walk.transportLength = transportLength(packet);
  walk.longest = 0xffffffff;
  // No connection yet: raw comes first.
  walk.ctState = CT_INVALID;
  walk.rule = RULE_NONE;
  walk.decider = RULE_NONE;
  walk.translator = RULE_NONE;
}

/** The packet is ICMP's, of either family. */
export function isIcmp(): bool {
  return walk.protocol == 1 || walk.protocol == 58;
}

/** Bytes behind the IP headers. A text capture has none: they are taken to be whole. */
export function transportLength(packet: Packet): u32 {
  if (packet.malformed == MALFORMED_EXTENSION) return 0;
  if (packet.network == 0 || packet.transport == 0) return 0xffffffff;
  const before = packet.transport - packet.network;
  return packet.ipLength > before ? packet.ipLength - before : 0;
}

/** A rule looks at ports: they are known, or where only the destination's is asked for, that one. */
export function knowsPorts(onlyDestination: bool): bool {
  walk.dportLookedAt = true;
  if (!onlyDestination) walk.sportLookedAt = true;
  return (walk.known & KNOWN_PORTS) != 0 && (onlyDestination || !walk.sportDrawn);
}

/** REASON_* of ports that are not known. */
export function portReason(): u32 {
  return walk.sportDrawn ? REASON_NAT_PORT : REASON_NO_PORTS;
}

/**
 * Why it is not known what a rule drew or remembers. Where destinations are translated, it is a Service's
 * backend that is not known by it.
 */
export function drawReason(otherwise: u32): u32 {
  const translates =
    walk.table == TABLE_NAT && (walk.hook == HOOK_PREROUTING || walk.hook == HOOK_OUTPUT);
  return translates ? REASON_BACKEND : otherwise;
}
