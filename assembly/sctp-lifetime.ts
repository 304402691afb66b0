// How long a connection of SCTP lives behind its last packet.
// Source: Linux, nf_conntrack_proto_sctp.c.

// u32[9]: seconds in each state (sctp.ts).
const TIMEOUT_SECONDS: usize = memory.data<u32>([10, 10, 3, 3, 210, 3, 3, 3, 30]);

/** Sets how long a connection lives in a state, seconds. */
export function setSctpTimeout(state: u32, seconds: u32): void {
  store<u32>(TIMEOUT_SECONDS + ((<usize>state) << 2), seconds);
}

/** Seconds that a connection lives in a state. */
export function sctpTimeout(state: u32): u32 {
  return load<u32>(TIMEOUT_SECONDS + ((<usize>state) << 2));
}
