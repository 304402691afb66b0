// The ends of rows' first packets: those of IPv4 are in the row itself, which is small; others have a record.
import { clearBytes } from "./bytes";

/** What a row has no room for: addresses of IPv6, host names where there is no address, and large numbers. */
@unmanaged
export class WideEnds {
  src0: u64;
  src1: u64;
  dst0: u64;
  dst1: u64;
  srcName: u16;
  dstName: u16;
  /** Upper halves. */
  packets: u32;
  bytes: u32;
  number: u32;
}

/** Makes a record in which all is 0. */
export function makeWideEnds(): WideEnds {
  const ends = heap.alloc(offsetof<WideEnds>());
  clearBytes(ends, offsetof<WideEnds>());
  return changetype<WideEnds>(ends);
}

const narrow: WideEnds = changetype<WideEnds>(memory.data(offsetof<WideEnds>(), 16));

/** The ends of a row that is not wide, by what it holds, until the next are asked for. */
export function narrowEnds(addresses: u64): WideEnds {
  narrow.src0 = <u32>addresses;
  narrow.dst0 = addresses >> 32;
  return narrow;
}
