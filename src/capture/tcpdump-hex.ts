/**
 * The hex dumps of `-x`, `-xx`, `-X` and `-XX`. A dump counts as the packet's bytes only when an IP
 * header lies in it that agrees with the words: options and TLVs are dumped in the same form.
 */
import * as layout from "../../assembly/layout.ts";
import type { Address } from "../net/address.ts";
import type { TextPacket } from "./tcpdump-packet.ts";

/** The bytes of the dump being read, and of those before it in the record. */
export interface HexDump {
  readonly bytes: Uint8Array;
  length: number;
  /** A row was missing: what follows belongs nowhere. */
  broken: boolean;
}

/** Makes an empty dump. */
export function makeDump(): HexDump {
  return { bytes: new Uint8Array(layout.FRAME_MAX), length: 0, broken: false };
}

/** Tells whether the line is a row of a dump. */
export function isHexRow(text: string): boolean {
  return offsetOf(text) !== undefined;
}

/** The offset of a row; undefined when the line is none. */
function offsetOf(text: string): number | undefined {
  const start = text.indexOf("0x");
  if (start < 0 || start > 40) return undefined;
  ROW.lastIndex = 0;
  const row = ROW.exec(text);
  return row === null ? undefined : parseInt(row[1] ?? "", 16);
}

const ROW = /[ \t]{0,40}0x([0-9a-f]{4,6}):[ \t]+/y;
const GROUP = /([0-9a-f]{2})([0-9a-f]{2})?(?=\s|$)/iy;

/** Adds a row. A row at offset 0 starts a new dump. */
export function addHexRow(dump: HexDump, text: string): void {
  const offset = offsetOf(text);
  if (offset === undefined) return;
  if (offset === 0) {
    dump.length = 0;
    dump.broken = false;
  }
  if (offset !== dump.length || dump.broken) {
    dump.broken = true;
    return;
  }
  let at = ROW.lastIndex;
  // Two blanks separate the ASCII column; a row has eight groups at most.
  for (let group = 0; group < 8; group += 1) {
    GROUP.lastIndex = at;
    const pair = GROUP.exec(text);
    if (pair === null) break;
    if (dump.length + 2 > dump.bytes.length) {
      dump.broken = true;
      return;
    }
    dump.bytes[dump.length++] = parseInt(pair[1] ?? "", 16);
    if (pair[2] === undefined) break;
    dump.bytes[dump.length++] = parseInt(pair[2], 16);
    at = GROUP.lastIndex + 1;
  }
}

/** A frame found in a dump. */
export interface DumpedFrame {
  readonly from: number;
  readonly linkType: number;
  readonly originalLength: number;
}

/** Bytes before the IP header by what is dumped: IP alone, NULL, Ethernet, cooked v1 and v2. */
const HEADER_SIZES = [0, 4, 14, 16, 18, 20, 22] as const;

/** Finds the packet's frame in the dump; undefined when the dump shows something else or too little. */
export function frameOf(dump: HexDump, packet: TextPacket): DumpedFrame | undefined {
  for (const header of HEADER_SIZES) {
    const size = ipSizeAt(dump, header, packet);
    if (size === undefined) continue;
    if (!isEthernet(dump, header)) {
      const originalLength = Math.max(size, dump.length - header);
      return { from: header, linkType: layout.LINK_RAW, originalLength };
    }
    const originalLength = Math.max(dump.length, packet.frameLength ?? header + size);
    return { from: 0, linkType: layout.LINK_ETHERNET, originalLength };
  }
  return undefined;
}

/** The IP length, where a header that agrees with the words starts at `at`. */
function ipSizeAt(dump: HexDump, at: number, packet: TextPacket): number | undefined {
  const { bytes, length } = dump;
  const version = (bytes[at] ?? 0) >>> 4;
  if (packet.family !== undefined && version !== packet.family) return undefined;
  if (version === 4) {
    const headerSize = ((bytes[at] ?? 0) & 15) * 4;
    // The transport header has to be there for the bytes to say more than the words.
    if (headerSize < 20 || length < at + headerSize + transportSize(bytes[at + 9] ?? 0))
      return undefined;
    if (!agrees(dump, at + 12, at + 16, 4, packet) || !hasChecksum(bytes, at, headerSize, packet))
      return undefined;
    return word(bytes, at + 2);
  }
  // Nothing else tells an IPv6 header from other bytes.
  if (version !== 6 || typeof packet.src !== "object" || typeof packet.dst !== "object")
    return undefined;
  if (length < at + 40 + transportSize(bytes[at + 6] ?? 0)) return undefined;
  if (!agrees(dump, at + 8, at + 24, 16, packet)) return undefined;
  return 40 + word(bytes, at + 4);
}

function transportSize(protocol: number): number {
  return protocol === 6 ? 14 : protocol === 17 || protocol === 132 ? 4 : 0;
}

/** Addresses that the words name must be those of the header. */
function agrees(
  dump: HexDump,
  src: number,
  dst: number,
  size: number,
  packet: TextPacket,
): boolean {
  const ends: [Address | string | undefined, number][] = [
    [packet.src, src],
    [packet.dst, dst],
  ];
  return ends.every(([host, at]) => {
    if (host === undefined || typeof host === "string") return true;
    for (let index = 0; index < size; index += 4) {
      const value = word(dump.bytes, at + index) * 0x10000 + word(dump.bytes, at + index + 2);
      if (value !== host.words[index / 4]) return false;
    }
    return true;
  });
}

/** Without an address to compare, only a right checksum proves an IPv4 header. */
function hasChecksum(
  bytes: Uint8Array,
  at: number,
  headerSize: number,
  packet: TextPacket,
): boolean {
  if (typeof packet.src === "object" || typeof packet.dst === "object") return true;
  let sum = 0;
  for (let index = 0; index < headerSize; index += 2) sum += word(bytes, at + index);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum === 0xffff;
}

/** Ethernet by its EtherType, behind up to two VLAN tags. */
function isEthernet(dump: HexDump, header: number): boolean {
  if (header !== 14 && header !== 18 && header !== 22) return false;
  for (let at = 12; at < header - 2; at += 4) {
    const type = word(dump.bytes, at);
    if (type !== 0x8100 && type !== 0x88a8 && type !== 0x9100) return false;
  }
  const type = word(dump.bytes, header - 2);
  return type === 0x0800 || type === 0x86dd;
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
