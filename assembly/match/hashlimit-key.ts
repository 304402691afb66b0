// What `-m hashlimit` tells packets apart by: the addresses and ports of the packet under way that its options name.
// Source: Linux, xt_hashlimit.c, hashlimit_init_dst().
import { currentBytes, hasBytes, wordAt } from "../current-bytes";
import {
  HASHLIMIT_DPORT,
  HASHLIMIT_DST,
  HASHLIMIT_DST_BITS,
  HASHLIMIT_SPORT,
  HASHLIMIT_SRC,
  HASHLIMIT_SRC_BITS,
  KNOWN_PORTS,
  PACKET_LATER_FRAGMENT,
} from "../layout";
import { transportBytes } from "../payload";
import { hasPorts, PROTOCOL_DCCP } from "../protocol";
import { walk } from "../walk";

@unmanaged
class Key {
  src0: u32;
  src1: u32;
  src2: u32;
  src3: u32;
  dst0: u32;
  dst1: u32;
  dst2: u32;
  dst3: u32;
  ports: u32;
}

/** Key of the packet under way. */
export const key: Key = changetype<Key>(memory.data(offsetof<Key>()));
/** Its size. */
export const KEY_SIZE: usize = offsetof<Key>();

/** Puts the packet's addresses into the key. `flags`: HASHLIMIT_*. */
export function takeAddresses(payload: usize, flags: u32): void {
  memory.fill(changetype<usize>(key), 0, KEY_SIZE - 4);
  if ((flags & (HASHLIMIT_SPORT | HASHLIMIT_DPORT)) == 0) key.ports = 0;
  if ((flags & HASHLIMIT_SRC) != 0) {
    const bits: u32 = load<u8>(payload, HASHLIMIT_SRC_BITS);
    key.src0 = masked(walk.src0, bits, 0);
    key.src1 = masked(walk.src1, bits, 32);
    key.src2 = masked(walk.src2, bits, 64);
    key.src3 = masked(walk.src3, bits, 96);
  }
  if ((flags & HASHLIMIT_DST) != 0) {
    const bits: u32 = load<u8>(payload, HASHLIMIT_DST_BITS);
    key.dst0 = masked(walk.dst0, bits, 0);
    key.dst1 = masked(walk.dst1, bits, 32);
    key.dst2 = masked(walk.dst2, bits, 64);
    key.dst3 = masked(walk.dst3, bits, 96);
  }
}

function masked(word: u32, bits: u32, before: u32): u32 {
  if (bits <= before) return 0;
  return bits >= before + 32 ? word : word & (~(<u32>0) << (before + 32 - bits));
}

const ESP: u32 = 50;
const AH: u32 = 51;

/** Puts the packet's ports into the key; false when they cannot be read. */
export function takePorts(flags: u32): bool {
  key.ports = 0;
  const later = (walk.flags & PACKET_LATER_FRAGMENT) != 0;
  // > In IPv6 the fragment header ends the search: no ports.
  if (later && walk.family == 6) return true;
  let ports: u32;
  const protocol = walk.protocol;
  const plain = hasPorts(protocol) || protocol == PROTOCOL_DCCP;
  if (plain && !later) {
    if (isShort() || (walk.known & KNOWN_PORTS) == 0) return false;
    ports = (walk.sport << 16) | walk.dport;
  } else if (plain || protocol == ESP || protocol == AH) {
    // Four bytes are taken for ports, whatever they are.
    const skipped: u32 = protocol == AH ? 4 : 0;
    if (isShort()) return false;
    const header = transportBytes(skipped + 4);
    if (header != 0) ports = wordAt(header + skipped);
    else {
      if (!hasBytes() || walk.family == 6) return false;
      const size = ((<u32>load<u8>(walk.packet.network)) & 0xf) << 2;
      if (walk.packet.network + size + skipped + 4 > walk.packet.end) return false;
      ports = wordAt(currentBytes() + size + skipped);
    }
  } else return true;
  if ((flags & HASHLIMIT_SPORT) == 0) ports &= 0xffff;
  if ((flags & HASHLIMIT_DPORT) == 0) ports &= 0xffff0000;
  key.ports = ports;
  return true;
}

/** The packet itself has no four bytes where the ports are. */
export function isShort(): bool {
  return walk.transportLength < <u32>(walk.protocol == AH ? 8 : 4);
}
