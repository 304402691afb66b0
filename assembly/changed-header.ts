// A transport header that targets changed: a copy of as much of it as they looked at, whose size is in the
// walk (`changedSize`).

/** > A TCP header's offset has four bits. */
export const HEADER_MAX: u32 = 60;

export const changedHeader: usize = memory.data(HEADER_MAX);

/** Keeps the checksum at this offset right. > HC' = ~(~HC + ~m + m') (RFC 1624). */
export function adjustChecksum(offset: u32, before: u32, after: u32): void {
  const at = changedHeader + offset;
  store<u16>(at, bswap(<u16>adjusted(bswap<u16>(load<u16>(at)), before, after)));
}

/** A checksum over a half word that has changed. */
export function adjusted(checksum: u32, before: u32, after: u32): u32 {
  let sum = (~checksum & 0xffff) + (~before & 0xffff) + after;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}
