// What is counted by flow: a row for each tuple (with its reply) and verdict. Unlike conntrack entries
// rows (row.ts) live as long as the replay, and dropped packets have them too. What rows have in common is told
// once (row-told.ts); ends that do not fit are kept apart (row-ends.ts).
import { clearBytes, copyAddresses, sameAddress } from "./bytes";
import { endHash, pairHash } from "./ends-hash";
import { slotAt } from "./flow-slots";
import { linkRow, rowOfSlot } from "./flow-table";
import { settleEntries } from "./heard";
import { keepVerdict, writeVerdict } from "./kept-verdict";
import {
  FLOW_BYTES,
  FLOW_MAX,
  FLOW_PACKET,
  FLOW_PACKETS,
  FLOW_SIZE,
  FLOW_VERDICT,
  KNOWN_ICMP,
  KNOWN_PORTS,
  PACKET_DST,
  PACKET_SRC,
  SHARE_FULL,
} from "./layout";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "./protocol";
import { Packet } from "./records";
import {
  addToRow,
  addUpper,
  countRow,
  endsOfRow,
  isWide,
  noteLarge,
  numberOf,
  Row,
  toldOf,
  whole,
} from "./row";
import { makeWideEnds, WideEnds } from "./row-ends";
import { makeRow, placeOf, rowAt, rowCount } from "./row-list";
import { draftFrom, keepTold, toldDraft, verdictEndsOf, WIDE } from "./row-told";
import { needWhole } from "./share";
import { Verdict } from "./verdict";

let rowsMax: u32 = FLOW_MAX;
// Those from this place on are counted on.
let firstOpen: u32 = 0;

/** Sets the most rows. */
export function setFlowsMax(count: u32): void {
  rowsMax = count;
}

/** How many flows are counted at most. */
export function flowsMax(): u32 {
  return rowsMax;
}

// A row as FLOW_* draws it.
const written: usize = memory.data(FLOW_SIZE, 16);

// Connections may have counted what their rows have not.
let mayLag: bool = false;

/** Says that connections count packets for their rows from now on. */
export function lagRows(): void {
  mayLag = true;
}

/** Writes out a row. @returns address of the FLOW_* record, which the next call fills anew */
export function flowAt(place: u32): usize {
  if (mayLag) settleEntries();
  mayLag = false;
  const row = rowAt(place);
  const told = toldOf(row);
  const ends = endsOfRow(row);
  clearBytes(written, FLOW_SIZE);
  store<u64>(written, whole(row.packets, ends.packets), FLOW_PACKETS);
  store<u64>(written, whole(row.bytes, ends.bytes), FLOW_BYTES);
  const packet = changetype<Packet>(written + FLOW_PACKET);
  packet.number = whole(row.number, ends.number);
  copyAddresses(written + FLOW_PACKET + PACKET_SRC, changetype<usize>(ends));
  if (isIcmp(told.protocol)) {
    packet.icmpId = row.sport;
    packet.icmpType = <u8>(row.dport >> 8);
    packet.icmpCode = <u8>row.dport;
  } else {
    packet.sport = row.sport;
    packet.dport = row.dport;
  }
  packet.srcName = ends.srcName;
  packet.dstName = ends.dstName;
  packet.known = told.known;
  packet.family = told.family & ~WIDE;
  packet.protocol = told.protocol;
  const verdict = changetype<Verdict>(written + FLOW_VERDICT);
  draftFrom(told);
  verdictEndsOf(toldDraft).decider = row.decider;
  writeVerdict(verdict, changetype<Verdict>(told.verdict), verdictEndsOf(toldDraft));
  return written;
}

/** Packets from now on are counted in rows of their own: other rules decide them. */
export function closeRows(): void {
  firstOpen = rowCount();
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
    if (rowCount() == rowsMax) {
      needWhole(SHARE_FULL);
      return 0;
    }
    const made = makeRow();
    row = changetype<usize>(made);
    linkRow(hash, row);
    describe(made, packet, verdict);
  } else if (packet.number < numberOf(changetype<Row>(row))) {
    // A fragment that had to wait, or another worker's packet.
    describe(changetype<Row>(row), packet, verdict);
  }
  countRow(row, packet.originalLength);
  return row;
}

/**
 * Counts what another worker has counted: a record as `flowAt` writes it. Errors about connections of both may
 * be of one flow.
 */
export function addFlow(at: usize): void {
  const packet = changetype<Packet>(at + FLOW_PACKET);
  const verdict = changetype<Verdict>(at + FLOW_VERDICT);
  const found = countFlow(packet, verdict);
  if (found == 0) return;
  const packets = load<u64>(at, FLOW_PACKETS) - 1;
  const bytes = load<u64>(at, FLOW_BYTES) - packet.originalLength;
  addToRow(found, <u32>packets, <u32>bytes);
  addUpper(changetype<Row>(found), <u32>(packets >> 32), <u32>(bytes >> 32));
}

// Address of the row, or 0. Any verdict when `wanted` is 0.
function findRow(packet: Packet, hash: u32, wanted: u32): usize {
  let at = hash;
  let slot = slotAt(at);
  while (slot != 0) {
    const led = <u32>slot == hash ? rowOfSlot(slot) : 0;
    if (led != 0) {
      const row = changetype<Row>(led);
      const verdict: u32 = changetype<Verdict>(toldOf(row).verdict).verdict;
      const open = verdict == wanted && placeOf(led) >= firstOpen;
      if ((wanted == 0 || open) && sameFlow(row, packet)) return led;
    }
    at++;
    slot = slotAt(at);
  }
  return 0;
}

function describe(row: Row, packet: Packet, verdict: Verdict): void {
  row.number = <u32>packet.number;
  const wide = keepEnds(row, packet);
  const icmp = isIcmp(packet.protocol);
  row.sport = icmp ? packet.icmpId : packet.sport;
  row.dport = icmp ? ((<u16>packet.icmpType) << 8) | packet.icmpCode : packet.dport;
  const ends = verdictEndsOf(toldDraft);
  toldDraft.verdict = <u32>changetype<usize>(keepVerdict(verdict, ends));
  row.decider = ends.decider;
  ends.decider = 0;
  toldDraft.known = <u16>packet.known;
  toldDraft.family = wide ? packet.family | WIDE : packet.family;
  toldDraft.protocol = packet.protocol;
  row.told = keepTold();
}

// True: they are wide.
function keepEnds(row: Row, packet: Packet): bool {
  const upper = <u32>(packet.number >> 32);
  const named = (packet.srcName | packet.dstName) != 0;
  const wide = row.told != 0 && isWide(row);
  if (packet.family == 4 && !named && upper == 0 && !wide) {
    row.addresses = (<u64>packet.src0) | ((<u64>packet.dst0) << 32);
    return false;
  }
  if (!wide) row.addresses = changetype<usize>(makeWideEnds());
  const ends = changetype<WideEnds>(<usize>row.addresses);
  copyAddresses(changetype<usize>(ends), changetype<usize>(packet) + PACKET_SRC);
  ends.srcName = packet.srcName;
  ends.dstName = packet.dstName;
  ends.number = upper;
  if (upper != 0) noteLarge();
  return true;
}

function isIcmp(protocol: u32): bool {
  return protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6;
}

// Equal for both directions of a flow; of ports that are known, as the flow table has it.
function flowHash(packet: Packet): u32 {
  const one = endHash(changetype<usize>(packet) + PACKET_SRC, sourceEnd(packet));
  const other = endHash(changetype<usize>(packet) + PACKET_DST, destinationEnd(packet));
  return pairHash(one, other, packet.protocol, packet.family);
}

function sameFlow(row: Row, packet: Packet): bool {
  const told = toldOf(row);
  if ((told.family & ~WIDE) != packet.family || told.protocol != packet.protocol) return false;
  if (isIcmp(told.protocol)) {
    // A query's id may be what an error's type and code are.
    if (isQuery(told.protocol, row.dport >> 8) != isQuery(packet.protocol, packet.icmpType))
      return false;
  }
  const ends = endsOfRow(row);
  const src = changetype<usize>(ends);
  const packetSrc = changetype<usize>(packet) + PACKET_SRC;
  const rowFirst = endOf(row, ends.srcName, row.sport);
  const rowSecond = endOf(row, ends.dstName, row.dport);
  const first = sourceEnd(packet);
  const second = destinationEnd(packet);
  if (rowFirst == first && rowSecond == second) {
    const same = sameAddress(src, packetSrc) && sameAddress(src + 16, packetSrc + 16);
    if (same) return true;
  }
  if (rowFirst != second || rowSecond != first) return false;
  return sameAddress(src, packetSrc + 16) && sameAddress(src + 16, packetSrc);
}

// As `sourceEnd` and `destinationEnd`, of the row's first packet.
function endOf(row: Row, srcOrDstName: u32, port: u32): u32 {
  const name = srcOrDstName << 16;
  const told = toldOf(row);
  if ((told.known & KNOWN_PORTS) != 0) return name | port;
  return name | icmpEndOf(told.known, told.protocol, row.dport >> 8, row.dport & 0xff, row.sport);
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
  return icmpEndOf(packet.known, packet.protocol, packet.icmpType, packet.icmpCode, packet.icmpId);
}

function icmpEndOf(known: u32, protocol: u32, type: u32, code: u32, id: u32): u32 {
  if ((known & KNOWN_ICMP) == 0) return 0;
  return isQuery(protocol, type) ? id : (type << 8) | code;
}

function isQuery(protocol: u32, type: u32): bool {
  if (protocol == PROTOCOL_ICMP) return type == 8 || type == 0 || (type >= 13 && type <= 18);
  return type == 128 || type == 129;
}
