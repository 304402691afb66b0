// What reading, looking connections up and following TCP's windows take by themselves, for bench/questions/decode.ts: the
// matcher's own parts for these, in a loop that decides nothing. rivals/floor.c does the same.
import { hashFrame, isPlain } from "../../assembly/ahead";
import { alignedLines } from "../../assembly/bytes";
import {
  readRecord,
  RECORD_CUT,
  RECORD_ODD,
  setPcapRecords,
  setRecordOrder,
} from "../../assembly/capture-record";
import { passTime } from "../../assembly/clock";
import { Entry } from "../../assembly/entry";
import { refreshFor } from "../../assembly/entry-life";
import { DIRECTION_NEITHER } from "../../assembly/entry-tuples";
import {
  hasNode,
  insertNode,
  nodeIn,
  onlyNode,
  setUpSlots,
  slotAt,
  slotsOf,
} from "../../assembly/flow-slots";
import { BATCH, Gathered, gatheredAt, gatheredBehind } from "../../assembly/gathered";
import { LINK_ETHERNET } from "../../assembly/layout";
import { IP_SIZE, lengthOf, protocolOf, TCP_SIZE, tcpOf } from "../../assembly/plain-frame";
import { PROTOCOL_TCP } from "../../assembly/protocol";
import { TCP_ESTABLISHED } from "../../assembly/tcp";
import { setUpLifetimes } from "../../assembly/tcp-lifetime";
import { sideOf } from "../../assembly/tcp-side";
import { moveEstablished } from "../../assembly/tcp-track";

const LINE: usize = 64;
// As many lines of what was said are shared by all connections.
const SAYINGS: u32 = 256;
// A record's header, and what its fractions of a second count.
const HEADER: u32 = 16;
const MICROSECOND: u32 = 1000;
const UDP_SECONDS: u32 = 120;

let entries: usize = 0;
// SAYINGS lines: packets and their bytes.
let sayings: usize = 0;
let connections: u32 = 0;
let packets: u32 = 0;
let begun: u32 = 0;
// Read by nobody: it only keeps what is loaded from being left out.
let touched: u32 = 0;

/** Takes memory for so many connections, and for so much of a capture. @returns address of the latter */
export function startFloor(connectionsMax: u32, size: u32): usize {
  setUpSlots();
  setUpLifetimes();
  setRecordOrder(false);
  setPcapRecords(HEADER, MICROSECOND, <u32>i32.MAX_VALUE, LINK_ETHERNET, 0);
  entries = alignedLines((<usize>connectionsMax + 1) * offsetof<Entry>());
  sayings = alignedLines(<usize>SAYINGS * LINE);
  return heap.alloc(size);
}

/** How many packets were followed. */
export function followedCount(): u32 {
  return packets;
}

/** How often a connection was begun: at its first packet, and at segments that did not fit its windows. */
export function begunCount(): u32 {
  return begun;
}

/** Follows the packets of a pcap file's records. @returns address of the first that is not all there */
export function followRecords(at: usize, end: usize): usize {
  const from = gatheredAt(0);
  let gathered: u32;
  do {
    for (gathered = 0; gathered < BATCH; gathered++) {
      const one = gatheredAt(gathered);
      const behind = readRecord(one, at, end);
      if (behind == RECORD_CUT || behind == RECORD_ODD) break;
      if (!isPlain(one.frame, one.captured, one.original, one.linkType)) unreachable();
      hashFrame(one);
      at = behind;
    }
    const to = gatheredBehind(from, gathered);
    fetch(from, to);
    for (let one = from; one != to; one = gatheredBehind(one, 1)) follow(one);
    packets += gathered;
  } while (gathered == BATCH);
  return at;
}

function fetch(from: Gathered, to: Gathered): void {
  let sum: u32 = 0;
  for (let one = from; one != to; one = gatheredBehind(one, 1)) {
    sum += load<u32>(slotsOf(one.hash));
  }
  for (let one = from; one != to; one = gatheredBehind(one, 1)) {
    const entry = changetype<usize>(entryAt(onlyNode(one.hash)));
    sum += load<u32>(entry) + load<u32>(entry + LINE);
  }
  for (let one = from; one != to; one = gatheredBehind(one, 1)) {
    one.node = find(one);
    sum += load<u32>(sayingAt(one.node));
  }
  touched = sum;
}

// Number of its connection plus one; 0: it has none. Of that number all is unused.
function find(one: Gathered): u32 {
  for (let at = one.hash; slotAt(at) != 0; at++) {
    if (!hasNode(slotAt(at), one.hash)) continue;
    const node = nodeIn(slotAt(at)) + 1;
    one.direction = directionOf(entryAt(node), one);
    if (one.direction != DIRECTION_NEITHER) return node;
  }
  return 0;
}

function directionOf(entry: Entry, one: Gathered): u32 {
  const same = (entry.ends ^ one.ends) | (<u64>(entry.ports ^ one.ports));
  const turned =
    (entry.ends ^ rotl<u64>(one.ends, 32)) | (<u64>(entry.ports ^ rotl<u32>(one.ports, 16)));
  return select<u32>(0, select<u32>(1, DIRECTION_NEITHER, turned == 0), same == 0);
}

function entryAt(node: u32): Entry {
  return changetype<Entry>(entries + <usize>node * offsetof<Entry>());
}

function sayingAt(node: u32): usize {
  return sayings + <usize>(node % SAYINGS) * LINE;
}

function follow(one: Gathered): void {
  // One before it in the batch may have made it.
  if (one.node == 0) one.node = find(one);
  if (one.node == 0) {
    make(one);
    return;
  }
  passTime(one.time);
  if (protocolOf(one.frame) == PROTOCOL_TCP) move(entryAt(one.node), one);
  else refreshFor(entryAt(one.node), UDP_SECONDS);
  const saying = sayingAt(one.node);
  store<u64>(saying, load<u64>(saying) + 1);
  store<u64>(saying, load<u64>(saying, 8) + one.original, 8);
}

function make(one: Gathered): void {
  insertNode(one.hash, connections++);
  begun++;
  const entry = entryAt(connections);
  entry.ends = one.ends;
  entry.ports = one.ports;
  entry.tcpState = <u8>TCP_ESTABLISHED;
}

function move(entry: Entry, one: Gathered): void {
  const header = tcpOf(one.frame);
  const seq: u32 = i32x4.extract_lane(header, 0);
  const ack: u32 = i32x4.extract_lane(header, 1);
  const rest: u32 = i32x4.extract_lane(header, 2);
  const end = seq + lengthOf(one.frame) - IP_SIZE - TCP_SIZE;
  const window = rest & 0xffff;
  if (moveEstablished(entry, one.direction, (rest >> 16) & 0xff, seq, ack, end, window)) return;
  begun++;
  begin(entry, one.direction, end, window);
  begin(entry, one.direction ^ 1, ack, window);
}

function begin(entry: Entry, direction: u32, end: u32, window: u32): void {
  const side = sideOf(entry, direction);
  side.end = end;
  side.maxEnd = end + window;
  side.maxWindow = max(window, 1);
}
