// A glance at a frame that is decided soon: what its packet will need is fetched from memory meanwhile.
import { Entry } from "./entry";
import { entryAt } from "./entry-list";
import { DIRECTION_NEITHER, nodeEntry, plainDirection } from "./entry-tuples";
import { onlyNode, slotsOf } from "./flow-slots";
import { Gathered, gatheredBehind } from "./gathered";
import { saidOf } from "./heard";
import { endsHash } from "./key";
import { LINK_ETHERNET } from "./layout";
import { Memo, memoAt } from "./memo";
import { endsOf, isPlainFrame, isPortedFrame, protocolOf } from "./plain-frame";
import { isOwnPair } from "./share";

/** Finds the hash of a plain frame's ends, as the flow table has it. */
export function hashFrame(one: Gathered): void {
  const frame: usize = one.frame;
  const ends = endsOf(frame);
  const ports: u32 = i32x4.extract_lane(ends, 2);
  one.ends = i64x2.extract_lane(ends, 0);
  one.ports = ports;
  const src: u32 = i32x4.extract_lane(ends, 0);
  const dst: u32 = i32x4.extract_lane(ends, 1);
  one.hash = endsHash(src, dst, ports, protocolOf(frame));
}

/**
 * Finds the connections of a batch's frames up to one, and has what their packets will need on its way from memory.
 * Loops that do little else than load have most of it on its way at once.
 */
export function lookAhead(from: Gathered, to: Gathered): void {
  let sum: u32 = 0;
  for (let one = from; one != to; one = gatheredBehind(one, 1)) sum += load<u32>(slotsOf(one.hash));
  for (let one = from; one != to; one = gatheredBehind(one, 1)) findKnown(one);
  for (let one = from; one != to; one = gatheredBehind(one, 1)) sum += loadKnown(one);
  for (let one = from; one != to; one = gatheredBehind(one, 1)) sum += loadSaid(one);
  touched = sum;
}

/** Finds the connection of one frame once more: another packet may have made or removed it since. */
export function lookAgain(one: Gathered): void {
  findKnown(one);
  if (one.node != 0) findDirection(one);
}

// Read by nobody: it only keeps what is loaded from being left out.
let touched: u32 = 0;

// The node of its connection, if that is told at a glance; where there is none, the place of what was said of others.
function findKnown(one: Gathered): void {
  if (one.hash == 0) return;
  const node = onlyNode(one.hash);
  one.node = node;
  if (node != 0) one.known = <u32>changetype<usize>(entryAt(nodeEntry(node - 1)));
  else one.known = <u32>changetype<usize>(memoAt(one.hash));
}

// An entry lies in two lines, a memo in one; of a frame that is not plain it is what another has left.
function loadKnown(one: Gathered): u32 {
  const known: usize = one.known;
  const second = select<usize>(offsetof<Entry>() - 4, 0, one.node != 0);
  return load<u32>(known) + load<u32>(known + second);
}

function loadSaid(one: Gathered): u32 {
  if (one.hash == 0) return 0;
  if (one.node == 0) {
    const memo = changetype<Memo>(one.known);
    const said = select<u32>(memo.sayingFirst, memo.sayingInvalid, memo.sayingFirst != 0);
    return load<u32>(said) + load<u32>(memo.row);
  }
  findDirection(one);
  if (one.direction == DIRECTION_NEITHER) return 0;
  return load<u32>(saidOf(changetype<Entry>(one.known), one.direction));
}

function findDirection(one: Gathered): void {
  const entry = changetype<Entry>(one.known);
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
