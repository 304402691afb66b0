// ECN, TCPMSS and TCPOPTSTRIP: bytes of the TCP header that later rules see changed.
// Source: Linux, ipt_ECN.c, xt_TCPMSS.c, xt_TCPOPTSTRIP.c: a header that ends too early drops the packet.
import { adjustChecksum, changedHeader, HEADER_MAX } from "../changed-header";
import { ECN_CWR, ECN_ECE, ECN_IP, PACKET_LATER_FRAGMENT } from "../layout";
import { transportBytes } from "../payload";
import { walk } from "../walk";

const SIZE: u32 = 20;
const OFFSET: u32 = 12;
const CHECKSUM: u32 = 16;
const FLAG_ECE: u32 = 0x40;
const FLAG_CWR: u32 = 0x80;
const OPTION_NONE: u32 = 1;
const OPTION_MSS: u32 = 2;
const OPTION_MSS_SIZE: u32 = 4;
const CLAMP: u32 = 0xffff;

/** False: the packet is dropped. */
export function changeEcn(payload: usize): bool {
  const changed: u32 = load<u8>(payload);
  if ((changed & ECN_IP) != 0) walk.tos = (walk.tos & ~3) | load<u8>(payload, 2);
  if ((changed & (ECN_ECE | ECN_CWR)) == 0) return true;
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0) {
    // > It does not look whether that is a header.
    walk.rewritten = true;
    const packet = walk.packet;
    if (packet.network == 0 || packet.network >= packet.end) return true;
    return packet.ipLength >= ((<u32>(load<u8>(packet.network) & 0xf)) << 2) + SIZE;
  }
  if (walk.transportLength < SIZE) return false;
  // The options, too, where they are there: others may look at them.
  const start = transportBytes(OFFSET + 1);
  const size: u32 = start == 0 ? SIZE : (load<u8>(start, OFFSET) >> 4) << 2;
  const whole = size > SIZE && size <= walk.transportLength && transportBytes(size) != 0;
  if (copyHeader(whole ? size : SIZE) == 0) return true;
  const set: u32 = load<u8>(payload, 1);
  const mask = flags(changed);
  const old: u32 = bswap<u16>(load<u16>(changedHeader, OFFSET));
  writeHalf(OFFSET, (old & ~mask) | (flags(set) & mask));
  return true;
}

function flags(bits: u32): u32 {
  return ((bits & ECN_ECE) != 0 ? FLAG_ECE : 0) | ((bits & ECN_CWR) != 0 ? FLAG_CWR : 0);
}

/** False: the packet is dropped. */
export function lowerMss(payload: usize): bool {
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0) return true;
  const size = openOptions();
  if (size == 0) return !broken;
  const wanted: u32 = load<u16>(payload);
  let at = SIZE;
  while (at + OPTION_MSS_SIZE <= size) {
    const found =
      load<u8>(changedHeader + at) == OPTION_MSS &&
      load<u8>(changedHeader + at, 1) == OPTION_MSS_SIZE;
    if (found) {
      // How much the path lets through, nobody told.
      if (wanted == CLAMP) walk.rewritten = true;
      const old: u32 = bswap<u16>(load<u16>(changedHeader + at, 2));
      if (old <= wanted) return true;
      store<u16>(changedHeader + at, bswap(<u16>wanted), 2);
      adjustChecksum(CHECKSUM, old, wanted);
      return true;
    }
    at += stepOver(at);
  }
  // > Where nothing follows the header, it grows by the option.
  if (walk.transportLength == size && size < HEADER_MAX) walk.rewritten = true;
  return true;
}

/** False: the packet is dropped. */
export function stripOptions(payload: usize): bool {
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0) return true;
  const size = openOptions();
  if (size == 0) return !broken;
  let at = SIZE;
  while (at + 1 < size) {
    const step = stepOver(at);
    if (at + step > size) break;
    const kind: u32 = load<u8>(changedHeader + at);
    const stripped = (load<u32>(payload + ((kind >> 5) << 2)) >> (kind & 31)) & 1;
    if (stripped != 0) for (let each: u32 = 0; each < step; each++) strip(at + each);
    at += step;
  }
  return true;
}

function strip(at: u32): void {
  const shift: u32 = (at & 1) == 0 ? 8 : 0;
  adjustChecksum(CHECKSUM, (<u32>load<u8>(changedHeader + at)) << shift, OPTION_NONE << shift);
  store<u8>(changedHeader + at, <u8>OPTION_NONE);
}

function stepOver(at: u32): u32 {
  const size: u32 = load<u8>(changedHeader + at, 1);
  return load<u8>(changedHeader + at) <= <u8>OPTION_NONE || size == 0 ? 1 : size;
}

// The last header was too short.
let broken: bool = false;

// Size of the header with its options, copied; 0 where it is broken, or not known.
function openOptions(): u32 {
  broken = walk.transportLength < SIZE;
  if (broken) return 0;
  const start = transportBytes(OFFSET + 1);
  if (start == 0) {
    walk.rewritten = true;
    return 0;
  }
  const size: u32 = (load<u8>(start, OFFSET) >> 4) << 2;
  broken = size < SIZE || size > walk.transportLength;
  return broken ? 0 : copyHeader(size);
}

// Copies the header, unless that was done before; 0 where the capture does not have it all.
function copyHeader(size: u32): u32 {
  if (walk.changedSize >= size) return size;
  const start = transportBytes(size);
  if (start == 0) {
    walk.rewritten = true;
    return 0;
  }
  const before = walk.changedSize;
  memory.copy(changedHeader + before, start + before, size - before);
  walk.changedSize = size;
  return size;
}

function writeHalf(at: u32, value: u32): void {
  const old: u32 = bswap<u16>(load<u16>(changedHeader + at));
  if (old == value) return;
  store<u16>(changedHeader + at, bswap(<u16>value));
  adjustChecksum(CHECKSUM, old, value);
}
