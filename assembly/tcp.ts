// The numbers of TCP connection tracking: packet classes, the state table.
// Source: Linux, net/netfilter/nf_conntrack_proto_tcp.c; semantics.md CT-T1 to CT-T10.

export const TCP_FIN: u32 = 1;
export const TCP_SYN: u32 = 2;
export const TCP_RST: u32 = 4;
export const TCP_PSH: u32 = 8;
export const TCP_ACK: u32 = 16;
export const TCP_URG: u32 = 32;

// Classes of packets.
export const CLASS_SYN: u32 = 0;
export const CLASS_SYNACK: u32 = 1;
export const CLASS_FIN: u32 = 2;
export const CLASS_ACK: u32 = 3;
export const CLASS_RST: u32 = 4;
export const CLASS_NONE: u32 = 5;

// States of a connection.
export const TCP_NO: u32 = 0;
export const TCP_SYN_SENT: u32 = 1;
export const TCP_SYN_RECV: u32 = 2;
export const TCP_ESTABLISHED: u32 = 3;
export const TCP_FIN_WAIT: u32 = 4;
export const TCP_CLOSE_WAIT: u32 = 5;
export const TCP_LAST_ACK: u32 = 6;
export const TCP_TIME_WAIT: u32 = 7;
export const TCP_CLOSE: u32 = 8;
export const TCP_SYN_SENT2: u32 = 9;
/** The packet cannot belong to the connection. */
export const TCP_INVALID: u32 = 10;
/** The packet keeps its connection, whose state stays. */
export const TCP_IGNORE: u32 = 11;

/** So many states there are that a connection may have. */
export const TCP_STATES: u32 = 10;

// u8[2][6][10]: next state by direction, class and state. Columns: NO SS SR ES FW CW LA TW CL S2.
const NEXT: usize = memory.data<u8>([
  // original: syn, synack, fin, ack, rst, none
  1, 1, 11, 11, 11, 11, 11, 1, 1, 9, 10, 10, 2, 10, 10, 10, 10, 10, 10, 2, 10, 10, 4, 4, 6, 6, 6, 7,
  8, 10, 3, 10, 3, 3, 5, 5, 7, 7, 8, 10, 10, 8, 8, 8, 8, 8, 8, 8, 8, 8, 10, 10, 10, 10, 10, 10, 10,
  10, 10, 10,
  // reply
  10, 9, 10, 10, 10, 10, 10, 1, 10, 9, 10, 2, 11, 11, 11, 11, 11, 11, 11, 2, 10, 10, 4, 4, 6, 6, 6,
  7, 8, 10, 10, 11, 2, 3, 5, 5, 7, 7, 8, 11, 10, 8, 8, 8, 8, 8, 8, 8, 8, 8, 10, 10, 10, 10, 10, 10,
  10, 10, 10, 10,
]);

/** Class of a packet by the first flag that is set, in this order. */
export function tcpClass(flags: u32): u32 {
  if ((flags & TCP_RST) != 0) return CLASS_RST;
  if ((flags & TCP_SYN) != 0) return (flags & TCP_ACK) != 0 ? CLASS_SYNACK : CLASS_SYN;
  if ((flags & TCP_FIN) != 0) return CLASS_FIN;
  if ((flags & TCP_ACK) != 0) return CLASS_ACK;
  return CLASS_NONE;
}

/** Tells whether the combination of flags is one that TCP sends; PSH, ECE and CWR do not count. */
export function tcpFlagsValid(flags: u32): bool {
  switch (<i32>(flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG))) {
    case 2: // SYN
    case 34: // SYN URG
    case 18: // SYN ACK
    case 4: // RST
    case 20: // RST ACK
    case 17: // FIN ACK
    case 49: // FIN ACK URG
    case 16: // ACK
    case 48: // ACK URG
      return true;
    default:
      return false;
  }
}

/** Next state; `direction` is 0 for original, 1 for reply. */
export function tcpNext(direction: u32, packetClass: u32, state: u32): u32 {
  return load<u8>(NEXT + (<usize>(direction * 6 + packetClass) * TCP_STATES + state));
}
