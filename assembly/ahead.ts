// A glance at a frame that is decided soon: what its packet will need is fetched from memory meanwhile.
import { touchFlow } from "./flow-rows";
import { onlyNode, touchSlots } from "./flow-slots";
import { endsHash, Entry, entryAt, nodeEntry, touchEntryLines, touchHeardOf } from "./flow-table";
import { Gathered } from "./gathered";
import { LINK_ETHERNET } from "./layout";
import { touchHeardOfMemo, touchMemo } from "./memo";
import {
  destinationOf,
  endsOf,
  isPlainFrame,
  isPortedFrame,
  portsOf,
  protocolOf,
  sourceOf,
} from "./plain-frame";
import { isOwnPair } from "./share";

/** Finds the hash of a frame's tuple, as the flow table has it, and has its slots on their way. */
export function hashFrame(one: Gathered): void {
  one.hash = 0;
  one.node = 0;
  const frame: usize = one.frame;
  if (!isPlain(frame, one.captured, one.original, one.linkType)) return;
  const ends = endsOf(frame);
  one.hash = endsHash(
    i32x4.extract_lane(ends, 0),
    i32x4.extract_lane(ends, 1),
    i32x4.extract_lane(ends, 2),
    protocolOf(frame),
  );
  touchSlots(one.hash);
}

/** Finds the node of a frame's connection, if that is told at a glance. */
export function findNodeOf(one: Gathered): void {
  one.node = onlyNode(one.hash);
  if (one.node != 0) one.entry = <u32>changetype<usize>(entryAt(nodeEntry(one.node - 1)));
}

/** The same, and has the entry on its way from memory, or where there is none what else is looked up. */
export function touchConnection(one: Gathered): void {
  if (one.hash == 0) return;
  findNodeOf(one);
  if (one.node != 0) {
    touchEntryLines(changetype<Entry>(one.entry));
    return;
  }
  touchFlow(one.hash);
  touchMemo(one.hash);
}

/** Has what was said of a frame's connection on its way from memory. */
export function touchSaid(one: Gathered): void {
  const frame: usize = one.frame;
  if (one.node != 0)
    touchHeardOf(changetype<Entry>(one.entry), one.node - 1, sourceOf(frame), portsOf(frame));
  else if (one.hash != 0) touchHeardOfMemo(one.hash);
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
  return (
    linkType == LINK_ETHERNET &&
    isPortedFrame(frame, captured) &&
    isPlainFrame(frame, captured, original)
  );
}
