// What was said of packets of a connection, by all that their walk looked at: their headers, where they
// were seen, and the state of the connection. It is a cache: places are taken over by others, and what is
// not found is walked.
import { whereSeen } from "./arrival";
import { Key, touchLines } from "./flow-table";
import { captureInterfaceNumber } from "./interface";
import { LINK_ETHERNET, PACKET_SRC } from "./layout";
import { hasMac } from "./node-interface";
import { Packet } from "./records";
import { isRealNode } from "./route";
import { mix } from "./set";
import { ENTRY_NONE } from "./tracking";

/** One direction of a connection, as it is seen in one place. A Saying for each state lies behind. */
@unmanaged
export class Memo {
  src0: u64;
  src1: u64;
  dst0: u64;
  dst1: u64;
  sport: u16;
  dport: u16;
  /** PACKET_* and KNOWN_* bits, all of them. */
  flags: u32;
  known: u16;
  /** The capture's, and the node's. */
  captureInterface: u16;
  nodeInterface: u16;
  linkType: u16;
  family: u8;
  protocol: u8;
  /** What the MAC addresses say. */
  side: u8;
  unused0: u8;
  unused1: u32;
  /** The connection's entry; ENTRY_NONE without one. */
  entry: u32;
  /** The entry's stamp; without an entry MEMO_*. */
  stamp: u32;
  /** Of what time it is: what rules look at has not changed since. */
  epoch: u32;
  /** DIRECTION_*. */
  direction: u32;
}

/** Rules say that it is not tracked. */
export const MEMO_UNTRACKED: u32 = 0;
/** It is tracked, and no connection comes of it: it is INVALID, or begins one and is dropped. */
export const MEMO_UNCONNECTED: u32 = 1;

/** What was said in one state of the connection. */
@unmanaged
export class Saying {
  /** Address of the outcome; 0: nothing was said yet. */
  outcome: u32;
  /** Address of the flow's row; 0: it did not fit. */
  row: u32;
  /** The connection's mark and its ENTRY_* bits. */
  mark: u32;
  flags: u16;
  tcpFlags: u8;
  /** 1: rules look at them. */
  looksAtTcpFlags: u8;
}

const SAYING_SIZE: usize = offsetof<Saying>();
// Two cache lines: the key, entry and stamp in the first, all else in the second.
const MEMO_SIZE: usize = 128;
const KEY_SIZE: usize = offsetof<Memo>("entry");
const PORTS: usize = offsetof<Memo>("sport");
const TUPLE_SIZE: usize = offsetof<Memo>("flags");

if (offsetof<Memo>("epoch") != 64) ERROR("a Memo's first line");
if (offsetof<Memo>() + 2 * SAYING_SIZE > MEMO_SIZE) ERROR("a Memo's second line");
if (offsetof<Key>("sport") != PORTS) ERROR("a tuple begins as a Memo does");
if (offsetof<Key>("family") != TUPLE_SIZE) ERROR("a tuple begins as a Memo does");

// Places that are tried for a key, from the one that its hash names.
const PLACES: u32 = 4;
const MEMOS_MIN: u32 = 1 << 12;
const MEMOS_MAX: u32 = 1 << 20;

let memos: usize = 0;
let mask: u32 = 0;
let taken: u32 = 0;
let epoch: u32 = 1;

/** Prepares an empty cache. */
export function setUpMemos(): void {
  makeMemos(MEMOS_MIN);
}

/** Forgets everything: something that rules look at may have changed. */
export function forgetMemos(): void {
  epoch++;
  taken = 0;
}

/** Forgets packets of a tuple: another connection comes before the one that they belonged to. */
export function forgetTuple(tuple: Key): void {
  const hash = hashOf(changetype<usize>(tuple), tuple.family);
  for (let place: u32 = 0; place < PLACES; place++) {
    const memo = memoAt(hash + place);
    if (memo.epoch != epoch) continue;
    const differs = memory.compare(changetype<usize>(memo), changetype<usize>(tuple), TUPLE_SIZE);
    if (differs != 0) continue;
    memo.epoch = 0;
    taken--;
  }
}

// The key of the packet under way.
const wanted: Memo = changetype<Memo>(memory.data(offsetof<Memo>(), 8));

/** What is kept of packets like this one; null where nothing is. */
export function findMemo(packet: Packet): Memo | null {
  const hash = keyOf(packet);
  for (let place: u32 = 0; place < PLACES; place++) {
    const memo = memoAt(hash + place);
    if (isWanted(memo)) return memo;
  }
  return null;
}

/** A place for packets like this one: its own, a free one, or another's. */
export function placeFor(packet: Packet): Memo {
  if (taken > mask >> 1 && mask + 1 < MEMOS_MAX) makeMemos((mask + 1) << 2);
  const hash = keyOf(packet);
  let free = PLACES;
  for (let place: u32 = 0; place < PLACES; place++) {
    const memo = memoAt(hash + place);
    if (isWanted(memo)) return memo;
    if (memo.epoch != epoch && free == PLACES) free = place;
  }
  if (free < PLACES) taken++;
  // Of places that are all another's, one is as good as the next.
  const memo = memoAt(hash + (free < PLACES ? free : taken & (PLACES - 1)));
  memory.copy(changetype<usize>(memo), changetype<usize>(wanted), KEY_SIZE);
  memory.fill(changetype<usize>(memo) + KEY_SIZE, 0, MEMO_SIZE - KEY_SIZE);
  memo.epoch = epoch;
  return memo;
}

// Makes the key of a packet. @returns its hash
function keyOf(packet: Packet): u32 {
  memory.copy(changetype<usize>(wanted), changetype<usize>(packet) + PACKET_SRC, 32);
  wanted.sport = packet.sport;
  wanted.dport = packet.dport;
  wanted.flags = packet.flags;
  wanted.known = <u16>packet.known;
  wanted.nodeInterface = <u16>captureInterfaceNumber(packet.captureInterface);
  wanted.captureInterface = packet.captureInterface;
  wanted.linkType = packet.linkType;
  wanted.family = packet.family;
  wanted.protocol = packet.protocol;
  wanted.side = <u8>sideOf(packet);
  return hashOf(changetype<usize>(wanted), packet.family);
}

// Of eight address words and two ports behind them.
function hashOf(tuple: usize, family: u32): u32 {
  let hash = hashOfFour(load<u32>(tuple), load<u32>(tuple, 16), load<u32>(tuple, PORTS));
  if (family == 6) {
    hash = mix(hash, load<u32>(tuple, 4) ^ load<u32>(tuple, 24));
    hash = mix(hash, load<u32>(tuple, 8) ^ load<u32>(tuple, 20));
    hash = mix(hash, load<u32>(tuple, 12));
    hash = mix(hash, load<u32>(tuple, 28));
  }
  return hash;
}

function hashOfFour(src0: u32, dst0: u32, ports: u32): u32 {
  let hash = (((<u64>src0) << 32) | ports) * 0x9e3779b97f4a7c15;
  hash = ((hash ^ (hash >> 29)) + dst0) * 0xbf58476d1ce4e5b9;
  return <u32>(hash >> 32);
}

// Ethernet and IPv4 without options, and ports behind.
const FRAME_TYPE: usize = 12;
const FRAME_VERSION: usize = 14;
const FRAME_SRC: usize = 26;
const FRAME_DST: usize = 30;
const FRAME_PORTS: usize = 34;
const FRAME_SIZE: u32 = 38;
const TYPE_IPV4: u16 = 0x0008;
const VERSION_IPV4: u8 = 0x45;

/**
 * Has the first cache line of what is probably kept of a frame's packet on its way from memory.
 *
 * @returns its address, for `touchConnection`; 0 where no guess is made
 */
export function touchMemo(frame: usize, captured: u32, linkType: u32): usize {
  if (captured < FRAME_SIZE || linkType != LINK_ETHERNET) return 0;
  if (load<u16>(frame, FRAME_TYPE) != TYPE_IPV4) return 0;
  if (load<u8>(frame, FRAME_VERSION) != VERSION_IPV4) return 0;
  const src = bswap<u32>(load<u32>(frame, FRAME_SRC));
  const dst = bswap<u32>(load<u32>(frame, FRAME_DST));
  // The source's comes first in memory, too.
  const ports = rotl<u32>(bswap<u32>(load<u32>(frame, FRAME_PORTS)), 16);
  const memo = memoAt(hashOfFour(src, dst, ports));
  touched += memo.entry + memo.epoch;
  return changetype<usize>(memo);
}

/** The same for what the rest of the short way needs. */
export function touchConnection(at: usize): void {
  if (at == 0) return;
  const memo = changetype<Memo>(at);
  if (memo.epoch != epoch || memo.entry == ENTRY_NONE) return;
  touchLines(memo.entry);
  const row: usize = sayingOf(memo, true).row;
  if (row != 0) touched += load<u32>(row);
}

// Read by nobody: it only keeps the loads above from being left out.
let touched: u32 = 0;

function memoAt(hash: u32): Memo {
  return changetype<Memo>(memos + <usize>(hash & mask) * MEMO_SIZE);
}

function isWanted(memo: Memo): bool {
  const here = changetype<usize>(memo);
  const there = changetype<usize>(wanted);
  let differing: u64 = 0;
  for (let at: usize = 0; at < KEY_SIZE; at += 8)
    differing |= load<u64>(here + at) ^ load<u64>(there + at);
  return differing == 0 && memo.epoch == epoch;
}

/** Says whose packets these are: what was said of another connection's is forgotten. */
export function nameMemo(memo: Memo, entry: u32, stamp: u32, direction: u32): void {
  if (memo.entry == entry && memo.stamp == stamp && memo.direction == direction) return;
  memory.fill(sayingAt(memo, false), 0, 2 * SAYING_SIZE);
  memo.entry = entry;
  memo.stamp = stamp;
  memo.direction = direction;
}

/**
 * What was said before any answer or, `second`, behind one; without a connection, of first packets or,
 * `second`, of INVALID ones.
 */
export function sayingOf(memo: Memo, second: bool): Saying {
  return changetype<Saying>(sayingAt(memo, second));
}

function sayingAt(memo: Memo, second: bool): usize {
  const first = changetype<usize>(memo) + offsetof<Memo>();
  return second ? first + SAYING_SIZE : first;
}

function makeMemos(count: u32): void {
  mask = count - 1;
  taken = 0;
  memos = (heap.alloc(<usize>count * MEMO_SIZE + 64) + 63) & ~63;
  memory.fill(memos, 0, <usize>count * MEMO_SIZE);
}

// > Which side of the node a frame was seen on, and whether it went to a group of hosts.
function sideOf(packet: Packet): u32 {
  if (!isRealNode() || packet.linkType != LINK_ETHERNET) return 0;
  const group: u32 = packet.dstMac & 1;
  if (!hasMac(wanted.nodeInterface)) return group;
  return (whereSeen(packet) << 1) | group;
}
