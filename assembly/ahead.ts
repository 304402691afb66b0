// A glance at a frame that is decided soon: what its packet will need is fetched from memory meanwhile.
import { touchFlow } from "./flow-rows";
import { endsHash, touchEntryOf, touchSlots } from "./flow-table";
import { LINK_ETHERNET } from "./layout";
import { touchMemo } from "./memo";
import {
  destinationOf,
  isPlainFrame,
  isPortedFrame,
  portsOf,
  protocolOf,
  sourceOf,
} from "./plain-frame";
import { isOwnPair } from "./share";

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
    touchFlow(src, dst, ports, protocolOf(frame));
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
    protocolOf(frame),
    ports & 0xffff,
    ports >> 16,
  );
}

/** A frame is such that `decodePlain` fills its record. */
export function isPlain(frame: usize, captured: u32, original: u32, linkType: u32): bool {
  return isPorted(frame, captured, linkType) && isPlainFrame(frame, captured, original);
}

function isPorted(frame: usize, captured: u32, linkType: u32): bool {
  return linkType == LINK_ETHERNET && isPortedFrame(frame, captured);
}
