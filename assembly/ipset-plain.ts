// Sets that hold IPv4 prefixes, with or without a port, and that nothing changes: one number for each entry, in a
// table of its own. They are most sets there are, and entries with all that sets may have take seven times the room.
import { zeros } from "./bytes";
import { IpSet, probe } from "./ipset-records";

// u64 for each slot: address, port << 32, protocol << 48, and a bit more than the length << 56; 0: free. Entries are
// in the slot that their hash names, or in one of those behind it without a free one between.
const SLOTS_MIN: u32 = 4;

/** Makes the table of a set with room for so many entries. */
export function makePlain(set: IpSet, members: u32): void {
  let size = SLOTS_MIN;
  while (size < members << 1) size <<= 1;
  set.buckets = <u32>zeros((<usize>size) << 3);
  set.bucketMask = size - 1;
}

/** Adds what `probe` holds, whose address is masked. */
export function addPlain(set: IpSet): void {
  const entry = entryOf(probe.a0, probe.bitsA);
  let at = hashOf(entry);
  let slot = load<u64>(slotAt(set, at));
  while (slot != 0 && slot != entry) {
    at++;
    slot = load<u64>(slotAt(set, at));
  }
  store<u64>(slotAt(set, at), entry);
}

/** Tells whether a prefix of the set holds what `probe` is, with its full address. */
export function holdsPlain(set: IpSet): bool {
  for (let index: u32 = 0; index < set.pairCount; index++) {
    const bits: u32 = load<u16>(<usize>set.pairs + ((<usize>index) << 1)) >> 8;
    const masked = bits == 0 ? 0 : probe.a0 & (u32.MAX_VALUE << (32 - bits));
    const entry = entryOf(masked, bits);
    let at = hashOf(entry);
    let slot = load<u64>(slotAt(set, at));
    while (slot != 0) {
      if (slot == entry) return true;
      at++;
      slot = load<u64>(slotAt(set, at));
    }
  }
  return false;
}

function entryOf(address: u32, bits: u32): u64 {
  const ports = ((<u64>probe.port) << 32) | ((<u64>probe.protocol) << 48);
  return (<u64>address) | ports | ((<u64>(bits + 1)) << 56);
}

function hashOf(entry: u64): u32 {
  return <u32>(((entry ^ (entry >> 32)) * 0x9e3779b97f4a7c15) >> 32);
}

function slotAt(set: IpSet, place: u32): usize {
  return <usize>set.buckets + ((<usize>(place & set.bucketMask)) << 3);
}
