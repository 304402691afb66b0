// A glance at a frame that is decided soon: what its packet will need is fetched from memory meanwhile.
import { onlyNode, touchSlots } from "./flow-slots";
import {
  DIRECTION_NEITHER,
  endsHash,
  Entry,
  entryAt,
  heardOf,
  nodeEntry,
  plainDirection,
  touchEntryLines,
} from "./flow-table";
import { Gathered } from "./gathered";
import { touchHeard } from "./heard";
import { LINK_ETHERNET } from "./layout";
import { touchHeardOfMemo, touchMemo } from "./memo";
import { endsOf, isPlainFrame, isPortedFrame, protocolOf } from "./plain-frame";
import { isOwnPair } from "./share";

/** Finds the hash of a plain frame's ends, as the flow table has it, and has its slots on their way. */
export function hashFrame(one: Gathered): void {
  const frame: usize = one.frame;
  const ends = endsOf(frame);
  const ports: u32 = i32x4.extract_lane(ends, 2);
  one.ends = i64x2.extract_lane(ends, 0);
  one.ports = ports;
  const src: u32 = i32x4.extract_lane(ends, 0);
  const dst: u32 = i32x4.extract_lane(ends, 1);
  one.hash = endsHash(src, dst, ports, protocolOf(frame));
  touchSlots(one.hash);
}

/** Has the entry of a frame's connection on its way from memory, or where there is none what else is looked up. */
export function touchConnection(one: Gathered): void {
  if (one.hash == 0) return;
  findNodeOf(one);
  if (one.node != 0) {
    touchEntryLines(changetype<Entry>(one.entry));
    return;
  }
  touchMemo(one.hash);
}

/** Has what was said of a frame's connection on its way from memory. */
export function touchSaid(one: Gathered): void {
  if (one.node != 0) {
    findDirection(one);
    if (one.direction != DIRECTION_NEITHER)
      touchHeard(heardOf(changetype<Entry>(one.entry), one.direction));
  } else if (one.hash != 0) touchHeardOfMemo(one.hash);
}

/** Finds a frame's connection again, where others may have been made or removed since. */
export function findConnectionAgain(one: Gathered): void {
  findNodeOf(one);
  if (one.node != 0) findDirection(one);
}

// The node of its connection, if that is told at a glance.
function findNodeOf(one: Gathered): void {
  one.node = onlyNode(one.hash);
  if (one.node != 0) one.entry = <u32>changetype<usize>(entryAt(nodeEntry(one.node - 1)));
}

function findDirection(one: Gathered): void {
  const entry = changetype<Entry>(one.entry);
  one.direction = plainDirection(one.node - 1, entry, one.ends, one.ports, protocolOf(one.frame));
}

/** Another worker decides the packet of a plain frame. */
export function isOthers(frame: usize): bool {
  const ends = endsOf(frame);
  const ports: u32 = i32x4.extract_lane(ends, 2);
  const src: u32 = i32x4.extract_lane(ends, 0);
  const dst: u32 = i32x4.extract_lane(ends, 1);
  return !isOwnPair(src, dst, protocolOf(frame), ports & 0xffff, ports >> 16);
}

/** A frame is such that `decodePlain` fills its record. */
export function isPlain(frame: usize, captured: u32, original: u32, linkType: u32): bool {
  return (
    linkType == LINK_ETHERNET &&
    isPortedFrame(frame, captured) &&
    isPlainFrame(frame, captured, original)
  );
}
