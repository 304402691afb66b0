// What a packet carries through the hooks while its walk is tried: the addresses as rules see them now,
// mark, conntrack state and interfaces. A walk may be tried several times (see fork.ts), so nothing
// outside this record changes before the verdict is settled.
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
  mark: u32;
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
  srcLocal: bool;
  dstLocal: bool;
  /** The rule that ended the walk, RULE_NONE before. */
  rule: i32;
  /** Last matched rule that stands for a policy. */
  decider: i32;
  reject: u32;
  /** A match found the packet itself malformed: it is dropped at once. */
  hotdrop: bool;
  /** The table under way is iptables-nft's. */
  nft: bool;
  /** The packet's record, for what rules see of it unchanged. */
  packet: Packet;
  /** As rules see them now: after the decrement of forwarding, and what mangle made of them. */
  ttl: u32;
  tos: u32;
  /** A DNAT rule matched: the new destination is in dst and dport. */
  translated: bool;
  masqueraded: bool;
}

/** The one walk under way. */
export const walk: Walk = changetype<Walk>(memory.data(offsetof<Walk>()));
