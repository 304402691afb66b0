// The rows of flows, one by one: what each counts and tells. Which there are, and for which packets, is flow-rows.ts's.
import { copyAddresses } from "./bytes";
import { makeWideEnds, narrowEnds, WideEnds } from "./row-ends";
import { draftFrom, keepTold, Told, toldDraft, WIDE } from "./row-told";

/** A row. Of its first packet only what tells flows apart and people ask for. Memory is slow: rows are small. */
@unmanaged
export class Row {
  /** Of IPv4 source address, destination << 32; of a wide row the address of its WideEnds. */
  addresses: u64;
  /** Ports; of ICMP the id, and type << 8 | code. */
  sport: u16;
  dport: u16;
  /** Address of its Told; 0: nothing is told yet. */
  told: u32;
  /** Of what was counted, and of the first packet's number, the lower halves; the upper ones of a row that is not wide are 0. */
  packets: u32;
  bytes: u32;
  number: u32;
  /** As in VerdictEnds. */
  decider: i32;
}

if (offsetof<Row>() != 32) ERROR("two Rows have a cache line");

/** Counts a packet of so many bytes in a row. */
export function countRow(at: usize, bytes: u32): void {
  addToRow(at, 1, bytes);
}

/** Counts several packets in a row, of so many bytes together. */
export function addToRow(at: usize, packets: u32, bytes: u32): void {
  const row = changetype<Row>(at);
  const allPackets = row.packets + packets;
  const allBytes = row.bytes + bytes;
  row.packets = allPackets;
  row.bytes = allBytes;
  const morePackets = select<u32>(1, 0, allPackets < packets);
  const moreBytes = select<u32>(1, 0, allBytes < bytes);
  if ((morePackets | moreBytes) != 0) addUpper(row, morePackets, moreBytes);
}

/** Counts what 32 bits of a row do not hold: upper halves of packets and of bytes. */
export function addUpper(row: Row, packets: u32, bytes: u32): void {
  if ((packets | bytes) == 0) return;
  noteLarge();
  if (!isWide(row)) widen(row);
  const ends = endsOfRow(row);
  ends.packets += packets;
  ends.bytes += bytes;
}

function widen(row: Row): void {
  const ends = changetype<usize>(makeWideEnds());
  copyAddresses(ends, changetype<usize>(endsOfRow(row)));
  row.addresses = ends;
  draftFrom(toldOf(row));
  toldDraft.family |= WIDE;
  row.told = keepTold();
}

// Some row has upper halves that are not 0.
let anyLarge: bool = false;

/** Says that a row has an upper half that is not 0. */
export function noteLarge(): void {
  anyLarge = true;
}

/** Tells whether a row has counted one packet only. */
export function isFirstOfRow(at: usize): bool {
  const row = changetype<Row>(at);
  return row.packets == 1 && (!anyLarge || endsOfRow(row).packets == 0);
}

/** A number of its halves. */
export function whole(lower: u32, upper: u32): u64 {
  return (<u64>lower) | ((<u64>upper) << 32);
}

/** Number of a row's first packet. */
export function numberOf(row: Row): u64 {
  return anyLarge ? whole(row.number, endsOfRow(row).number) : row.number;
}

/** A row's ends, of any row; those of a row that is not wide, until the next is asked for. */
export function endsOfRow(row: Row): WideEnds {
  if (isWide(row)) return changetype<WideEnds>(<usize>row.addresses);
  return narrowEnds(row.addresses);
}

/** Its ends are WideEnds. */
export function isWide(row: Row): bool {
  return (toldOf(row).family & WIDE) != 0;
}

/** What is told of its first packet. */
export function toldOf(row: Row): Told {
  return changetype<Told>(row.told);
}
