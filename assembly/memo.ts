// What was said of packets of a connection, by all that their walk looked at: their headers, where they
// were seen, and the state of the connection. It is a cache: places are taken over by others, and what is
// not found is walked.
import { whereSeen } from "./arrival";
import { Key } from "./flow-table";
import { captureInterfaceNumber } from "./interface";
import { LINK_ETHERNET, PACKET_SRC } from "./layout";
import { hasMac } from "./node-interface";
import { Packet } from "./records";
import { isRealNode } from "./route";
import { mix } from "./set";

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
  /** DIRECTION_*. */
  direction: u8;
  /** The connection's entry; ENTRY_NONE without one. */
  entry: u32;
  /** The entry's stamp; without an entry MEMO_*. */
  stamp: u32;
  /** Of what time it is: what rules look at has not changed since. */
  epoch: u32;
}

/** Rules say that it is not tracked. */
export const MEMO_UNTRACKED: u32 = 0;
/** It begins a connection, and is dropped before there is one. */
export const MEMO_BEGINS: u32 = 1;

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
const MEMO_SIZE: usize = offsetof<Memo>() + 2 * SAYING_SIZE;
const KEY_SIZE: usize = offsetof<Memo>("direction");
const PORTS: usize = offsetof<Memo>("sport");
const TUPLE_SIZE: usize = offsetof<Memo>("flags");

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
  let hash = mix(load<u32>(tuple), load<u32>(tuple, PORTS));
  hash = mix(hash, load<u32>(tuple, 16));
  if (family == 6) {
    hash = mix(hash, load<u32>(tuple, 4) ^ load<u32>(tuple, 24));
    hash = mix(hash, load<u32>(tuple, 8) ^ load<u32>(tuple, 20));
    hash = mix(hash, load<u32>(tuple, 12));
    hash = mix(hash, load<u32>(tuple, 28));
  }
  return hash;
}

function memoAt(hash: u32): Memo {
  return changetype<Memo>(memos + <usize>(hash & mask) * MEMO_SIZE);
}

function isWanted(memo: Memo): bool {
  if (memo.epoch != epoch) return false;
  return memory.compare(changetype<usize>(memo), changetype<usize>(wanted), KEY_SIZE) == 0;
}

/** Says whose packets these are: what was said of another connection's is forgotten. */
export function nameMemo(memo: Memo, entry: u32, stamp: u32, direction: u32): void {
  if (memo.entry == entry && memo.stamp == stamp) return;
  memory.fill(sayingAt(memo, false), 0, 2 * SAYING_SIZE);
  memo.entry = entry;
  memo.stamp = stamp;
  memo.direction = <u8>direction;
}

/** What was said before any answer, or behind one. */
export function sayingOf(memo: Memo, answered: bool): Saying {
  return changetype<Saying>(sayingAt(memo, answered));
}

function sayingAt(memo: Memo, answered: bool): usize {
  const first = changetype<usize>(memo) + offsetof<Memo>();
  return answered ? first + SAYING_SIZE : first;
}

function makeMemos(count: u32): void {
  mask = count - 1;
  taken = 0;
  memos = heap.alloc(<usize>count * MEMO_SIZE);
  memory.fill(memos, 0, <usize>count * MEMO_SIZE);
}

// > Which side of the node a frame was seen on, and whether it went to a group of hosts.
function sideOf(packet: Packet): u32 {
  if (!isRealNode() || packet.linkType != LINK_ETHERNET) return 0;
  const group: u32 = packet.dstMac & 1;
  if (!hasMac(wanted.nodeInterface)) return group;
  return (whereSeen(packet) << 1) | group;
}
