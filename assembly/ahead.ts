// A glance at a frame that is decided soon: what its packet will need is fetched from memory meanwhile.
import { isPlainFrame } from "./decode-plain";
import { touchFlow } from "./flow-rows";
import { endsHash, touchEntryOf, touchSlots } from "./flow-table";
import { LINK_ETHERNET } from "./layout";
import { touchMemo } from "./memo";
import { isOwnPair } from "./share";

// Ethernet and IPv4 without options, and ports behind.
const FRAME_TYPE: usize = 12;
const FRAME_VERSION: usize = 14;
const FRAME_PROTOCOL: usize = 23;
const FRAME_SRC: usize = 26;
const FRAME_DST: usize = 30;
const FRAME_PORTS: usize = 34;
const FRAME_SIZE: u32 = 38;
const TYPE_IPV4: u16 = 0x0008;
const VERSION_IPV4: u8 = 0x45;

/** Hash of the frame's tuple, as the flow table has it; 0 where no guess is made. */
export function hashOfFrame(frame: usize, captured: u32, linkType: u32): u32 {
  if (!isPorted(frame, captured, linkType)) return 0;
  return endsHash(sourceOf(frame), destinationOf(frame), portsOf(frame));
}

/**
 * Has the entry of a frame's connection on its way from memory, or where it has none what else is looked up.
 *
 * @param hash what `hashOfFrame` gave for it
 * @returns what `touchEntryOf` gave
 */
export function touchConnection(frame: usize, hash: u32): u32 {
  if (hash == 0) return 0;
  const node = touchEntryOf(hash);
  if (node == 0) {
    const src = sourceOf(frame);
    const dst = destinationOf(frame);
    const ports = portsOf(frame);
    touchSlots(endsHash(dst, src, rotl<u32>(ports, 16)));
    touchFlow(src, dst, ports, load<u8>(frame, FRAME_PROTOCOL));
    touchMemo(hash);
  }
  return node;
}

/** Another worker decides the packet of a plain frame. */
export function isOthers(frame: usize): bool {
  const ports = portsOf(frame);
  return !isOwnPair(
    sourceOf(frame),
    destinationOf(frame),
    load<u8>(frame, FRAME_PROTOCOL),
    ports & 0xffff,
    ports >> 16,
  );
}

/** A frame is such that `decodePlain` fills its record. */
export function isPlain(frame: usize, captured: u32, original: u32, linkType: u32): bool {
  return isPorted(frame, captured, linkType) && isPlainFrame(frame, captured, original);
}

function isPorted(frame: usize, captured: u32, linkType: u32): bool {
  if (captured < FRAME_SIZE || linkType != LINK_ETHERNET) return false;
  if (load<u16>(frame, FRAME_TYPE) != TYPE_IPV4) return false;
  return load<u8>(frame, FRAME_VERSION) == VERSION_IPV4;
}

function sourceOf(frame: usize): u32 {
  return bswap<u32>(load<u32>(frame, FRAME_SRC));
}

function destinationOf(frame: usize): u32 {
  return bswap<u32>(load<u32>(frame, FRAME_DST));
}

// The source's in the lower half.
function portsOf(frame: usize): u32 {
  return rotl<u32>(bswap<u32>(load<u32>(frame, FRAME_PORTS)), 16);
}
