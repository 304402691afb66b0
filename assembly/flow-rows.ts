// What is counted by flow: a row for each tuple (with its reply) and verdict. Unlike conntrack entries
// rows live as long as the replay, and dropped packets have them too.
import { copyBytes, sameAddress } from "./bytes";
import {
  FLOW_BYTES,
  FLOW_CHUNK,
  FLOW_HASH,
  FLOW_MAX,
  FLOW_NEXT,
  FLOW_PACKET,
  FLOW_PACKETS,
  FLOW_SIZE,
  FLOW_VERDICT,
  KNOWN_ICMP,
  KNOWN_PORTS,
  PACKET_DST,
  PACKET_SIZE,
  PACKET_SRC,
  VERDICT_SIZE,
} from "./layout";
import { Packet } from "./records";
import { mix } from "./set";
import { Verdict } from "./verdict";

// u32[FLOW_MAX / FLOW_CHUNK]: addresses of pieces of FLOW_CHUNK rows; pieces are never moved.
const pieces: usize = memory.data((FLOW_MAX / FLOW_CHUNK) * 4);
let rows: u32 = 0;
let buckets: usize = 0;
let bucketMask: u32 = 0;

/** Prepares an empty list. */
export function setUpFlowRows(): void {
  bucketMask = (1 << 14) - 1;
  buckets = heap.alloc((<usize>bucketMask + 1) << 2);
  memory.fill(buckets, 0, (<usize>bucketMask + 1) << 2);
}

export function flowCount(): u32 {
  return rows;
}

/** Address of a piece of FLOW_CHUNK rows. */
export function flowPiece(index: u32): usize {
  return load<u32>(pieces + ((<usize>index) << 2));
}

/** Tells whether a packet of this flow was counted before, with whatever verdict. */
export function flowSeen(packet: Packet): bool {
  return findRow(packet, flowHash(packet), 0) != 0;
}

/** Counts a packet in its flow's row. @returns its address; 0 when the list is full */
export function countFlow(packet: Packet, verdict: Verdict): usize {
  const hash = flowHash(packet);
  let row = findRow(packet, hash, verdict.verdict);
  if (row == 0) {
    if (rows == FLOW_MAX) return 0;
    row = addRow(hash);
    copyBytes(row + FLOW_PACKET, changetype<usize>(packet), PACKET_SIZE);
    copyBytes(row + FLOW_VERDICT, changetype<usize>(verdict), VERDICT_SIZE);
  }
  countRow(row, packet);
  return row;
}

/** Counts a packet in a row. */
export function countRow(row: usize, packet: Packet): void {
  store<u64>(row, load<u64>(row, FLOW_PACKETS) + 1, FLOW_PACKETS);
  store<u64>(row, load<u64>(row, FLOW_BYTES) + packet.originalLength, FLOW_BYTES);
}

// Address of the row, or 0. Any verdict when `wanted` is 0.
function findRow(packet: Packet, hash: u32, wanted: u32): usize {
  let number = load<u32>(buckets + ((<usize>(hash & bucketMask)) << 2));
  while (number != 0) {
    const row = rowAt(number - 1);
    if (load<u32>(row, FLOW_HASH) == hash) {
      const verdict: u32 = changetype<Verdict>(row + FLOW_VERDICT).verdict;
      const first = changetype<Packet>(row + FLOW_PACKET);
      if ((wanted == 0 || verdict == wanted) && sameFlow(first, packet)) return row;
    }
    number = load<u32>(row, FLOW_NEXT);
  }
  return 0;
}

function addRow(hash: u32): usize {
  if (rows % FLOW_CHUNK == 0) {
    const piece = heap.alloc(FLOW_CHUNK * FLOW_SIZE);
    store<u32>(pieces + ((<usize>(rows / FLOW_CHUNK)) << 2), <u32>piece);
  }
  const row = rowAt(rows);
  rows++;
  if (rows > bucketMask) growBuckets();
  store<u32>(row, hash, FLOW_HASH);
  store<u64>(row, 0, FLOW_PACKETS);
  store<u64>(row, 0, FLOW_BYTES);
  hang(row, rows);
  return row;
}

function rowAt(number: u32): usize {
  return flowPiece(number / FLOW_CHUNK) + <usize>(number % FLOW_CHUNK) * FLOW_SIZE;
}

function hang(row: usize, numberPlusOne: u32): void {
  const bucket = buckets + ((<usize>(load<u32>(row, FLOW_HASH) & bucketMask)) << 2);
  store<u32>(row, load<u32>(bucket), FLOW_NEXT);
  store<u32>(bucket, numberPlusOne);
}

function growBuckets(): void {
  bucketMask = ((bucketMask + 1) << 2) - 1;
  buckets = heap.alloc((<usize>bucketMask + 1) << 2);
  memory.fill(buckets, 0, (<usize>bucketMask + 1) << 2);
  for (let number: u32 = 0; number < rows - 1; number++) hang(rowAt(number), number + 1);
}

// Equal for both directions of a flow.
function flowHash(packet: Packet): u32 {
  const one = sideHash(changetype<usize>(packet) + PACKET_SRC, sourceEnd(packet));
  const other = sideHash(changetype<usize>(packet) + PACKET_DST, destinationEnd(packet));
  return mix(one + other, (<u32>packet.protocol) | ((<u32>packet.family) << 8));
}

function sideHash(address: usize, end: u32): u32 {
  let hash = mix(load<u32>(address), end);
  hash = mix(hash, load<u32>(address, 4) ^ load<u32>(address, 8));
  return mix(hash, load<u32>(address, 12));
}

function sameFlow(one: Packet, other: Packet): bool {
  if (one.family != other.family || one.protocol != other.protocol) return false;
  const oneSrc = changetype<usize>(one) + PACKET_SRC;
  const otherSrc = changetype<usize>(other) + PACKET_SRC;
  const sameDirection =
    sameAddress(oneSrc, otherSrc) &&
    sameAddress(oneSrc + 16, otherSrc + 16) &&
    sourceEnd(one) == sourceEnd(other) &&
    destinationEnd(one) == destinationEnd(other);
  if (sameDirection) return true;
  return (
    sameAddress(oneSrc, otherSrc + 16) &&
    sameAddress(oneSrc + 16, otherSrc) &&
    sourceEnd(one) == destinationEnd(other) &&
    destinationEnd(one) == sourceEnd(other)
  );
}

// What tells flows between the same addresses apart: ports; ICMP queries' id, errors' type and code; and
// host names where there is no address.
function sourceEnd(packet: Packet): u32 {
  const name = (<u32>packet.srcName) << 16;
  if ((packet.known & KNOWN_PORTS) != 0) return name | packet.sport;
  return name | icmpEnd(packet);
}

function destinationEnd(packet: Packet): u32 {
  const name = (<u32>packet.dstName) << 16;
  if ((packet.known & KNOWN_PORTS) != 0) return name | packet.dport;
  return name | icmpEnd(packet);
}

function icmpEnd(packet: Packet): u32 {
  if ((packet.known & KNOWN_ICMP) == 0) return 0;
  const type = packet.icmpType;
  const query =
    packet.protocol == 1
      ? type == 8 || type == 0 || (type >= 13 && type <= 18)
      : type == 128 || type == 129;
  return query ? packet.icmpId : ((<u32>type) << 8) | packet.icmpCode;
}
