// How long a connection of TCP lives behind its last segment.
// Source: Linux, net/netfilter/nf_conntrack_proto_tcp.c; semantics.md CT-T10.
import { TCP_STATES } from "./tcp";
import { SIDE_UNACKNOWLEDGED } from "./tcp-side";

/** For connections whose segments are sent again and again. */
const TIMEOUT_RETRANSMITTED: u32 = 10;
/** For data that nobody acknowledged, and for connections picked up without a reply. */
export const TIMEOUT_UNACKNOWLEDGED: u32 = 11;

// u32[12]: seconds that an entry lives in each state, and in those above.
const TIMEOUT_SECONDS: usize = memory.data<u32>([
  0, 120, 60, 432000, 120, 60, 30, 120, 10, 120, 300, 300,
]);

/** Seconds in one state, as its timeout and the others make them. */
@unmanaged
class Lifetimes {
  usual: u32;
  /** Where nobody answers what is sent again, or offers a window. */
  retransmitted: u32;
  /** Where data is not acknowledged. */
  unacknowledged: u32;
  /** So many retransmissions shorten it; NEVER: none do. */
  shortenedFrom: u32;
  /** SIDE_UNACKNOWLEDGED where that shortens it, or 0. */
  openFlag: u32;

  /** After a segment; `flags` of both sides. Nobody could foretell which of these it is: no branches. */
  @inline
  after(retransmissions: u32, flags: u32, window: u32): u32 {
    const again = retransmissions >= this.shortenedFrom;
    const open = select<u32>(0, flags & this.openFlag, again);
    const offered = select<u32>(this.retransmitted, this.usual, window == 0);
    const seconds = select<u32>(this.retransmitted, offered, again);
    return select<u32>(this.unacknowledged, seconds, open != 0);
  }
}

// More than are counted.
const NEVER: u32 = 256;

if (offsetof<Lifetimes>() != 20) ERROR("Lifetimes records have 20 bytes");

// Lifetimes[TCP_STATES]
const lifetimes: usize = memory.data(10 * 20, 4);

let retransmissionsMax: u32 = 3;

/** Sets net.netfilter.nf_conntrack_tcp_max_retrans. */
export function setRetransmissionsMax(most: u32): void {
  retransmissionsMax = most;
  setUpLifetimes();
}

/** Prepares the seconds of each state. */
export function setUpLifetimes(): void {
  for (let state: u32 = 0; state < TCP_STATES; state++) {
    const usual = tcpTimeoutSeconds(state);
    const retransmitted = tcpTimeoutSeconds(TIMEOUT_RETRANSMITTED);
    const unacknowledged = tcpTimeoutSeconds(TIMEOUT_UNACKNOWLEDGED);
    const lives = lifetimesOf(state);
    lives.usual = usual;
    lives.retransmitted = min(usual, retransmitted);
    lives.unacknowledged = unacknowledged;
    lives.shortenedFrom = usual > retransmitted ? retransmissionsMax : NEVER;
    lives.openFlag = usual > unacknowledged ? <u32>SIDE_UNACKNOWLEDGED : 0;
  }
}

/** Seconds in a state. */
export function lifetimesOf(state: u32): Lifetimes {
  return changetype<Lifetimes>(lifetimes + <usize>state * offsetof<Lifetimes>());
}

/** Sets a timeout of TIMEOUT_*, seconds. */
export function setTcpTimeout(index: u32, seconds: u32): void {
  store<u32>(TIMEOUT_SECONDS + ((<usize>index) << 2), seconds);
  setUpLifetimes();
}

export function tcpTimeoutSeconds(state: u32): u32 {
  return load<u32>(TIMEOUT_SECONDS + ((<usize>state) << 2));
}
