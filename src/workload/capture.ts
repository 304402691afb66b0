/**
 * Made-up packets as a capture file, piece by piece: pcap, or pcapng where the interfaces have names. All
 * headers are captured, and some of the payload; a packet comes each microsecond.
 */
import { headerBytes, HEADERS_MAX, writeHeaders } from "./frame.ts";
import type { FrameSpec } from "./frame.ts";

/** A packet, and by which of the file's interfaces it was seen. */
export interface SeenFrame extends FrameSpec {
  /** Position among the names; absent in a file without names. */
  readonly seenBy?: number;
}

const LINKTYPE_ETHERNET = 1;
/** Ethernet's shortest frame without its check sequence. */
const FRAME_MIN = 60;
const SNAP_LENGTH = 96;
const PIECE = 1 << 20;
/** 2026-01-01. */
const BEGINNING_SECONDS = 1_767_225_600;
const MICROSECONDS = 1_000_000;

const PCAP_MAGIC = 0xa1b2c3d4;
const PCAP_HEADER = 24;
const PCAP_RECORD = 16;

const SECTION_BLOCK = 0x0a0d0d0a;
const SECTION_MAGIC = 0x1a2b3c4d;
const SECTION_SIZE = 28;
const INTERFACE_BLOCK = 1;
const INTERFACE_FIXED = 20;
const OPTION_NAME = 2;
const PACKET_BLOCK = 6;
const PACKET_FIXED = 28;

/** Where a piece is written to. */
interface Piece {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  at: number;
}

/**
 * Writes a capture's header and its packets; the bytes of a piece hold until the next one is asked for.
 *
 * @param names of the interfaces; undefined: a pcap file, which has none
 */
export function* capturePieces(
  packets: Iterable<SeenFrame>,
  names: readonly string[] | undefined,
): Generator<Uint8Array<ArrayBuffer>, void, undefined> {
  const bytes = new Uint8Array(PIECE);
  const piece: Piece = { bytes, view: new DataView(bytes.buffer), at: 0 };
  if (names === undefined) writePcapHeader(piece);
  else writeSection(piece, names);
  let microseconds = 0;
  for (const packet of packets) {
    if (piece.at + PACKET_FIXED + Math.max(HEADERS_MAX, SNAP_LENGTH) + 8 > PIECE) {
      yield bytes.subarray(0, piece.at);
      piece.at = 0;
    }
    const length = Math.max(FRAME_MIN, headerBytes(packet) + packet.payload);
    const sizes = { length, captured: Math.min(length, SNAP_LENGTH), microseconds };
    if (names === undefined) writePcapPacket(piece, packet, sizes);
    else writePacketBlock(piece, packet, sizes);
    microseconds += 1;
  }
  yield bytes.subarray(0, piece.at);
}

interface Sizes {
  readonly length: number;
  readonly captured: number;
  /** Since the beginning. */
  readonly microseconds: number;
}

function writePcapHeader(piece: Piece): void {
  const { view } = piece;
  view.setUint32(0, PCAP_MAGIC, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, SNAP_LENGTH, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  piece.at = PCAP_HEADER;
}

function writePcapPacket(piece: Piece, packet: FrameSpec, sizes: Sizes): void {
  const { view, at } = piece;
  const { length, captured, microseconds } = sizes;
  view.setUint32(at, BEGINNING_SECONDS + Math.floor(microseconds / MICROSECONDS), true);
  view.setUint32(at + 4, microseconds % MICROSECONDS, true);
  view.setUint32(at + 8, captured, true);
  view.setUint32(at + 12, length, true);
  piece.at = at + PCAP_RECORD;
  writeFrame(piece, packet, captured);
}

function writeSection(piece: Piece, names: readonly string[]): void {
  const { view } = piece;
  view.setUint32(0, SECTION_BLOCK, true);
  view.setUint32(4, SECTION_SIZE, true);
  view.setUint32(8, SECTION_MAGIC, true);
  view.setUint16(12, 1, true);
  // Of unknown length.
  view.setBigInt64(16, -1n, true);
  view.setUint32(24, SECTION_SIZE, true);
  piece.at = SECTION_SIZE;
  for (const name of names) writeInterface(piece, new TextEncoder().encode(name));
}

function writeInterface(piece: Piece, name: Uint8Array): void {
  const { view, bytes, at } = piece;
  const padded = Math.ceil(name.length / 4) * 4;
  const size = INTERFACE_FIXED + 4 + padded + 4;
  view.setUint32(at, INTERFACE_BLOCK, true);
  view.setUint32(at + 4, size, true);
  view.setUint16(at + 8, LINKTYPE_ETHERNET, true);
  view.setUint32(at + 12, SNAP_LENGTH, true);
  view.setUint16(at + 16, OPTION_NAME, true);
  view.setUint16(at + 18, name.length, true);
  bytes.set(name, at + 20);
  // The four bytes behind the name end the options.
  view.setUint32(at + size - 4, size, true);
  piece.at = at + size;
}

function writePacketBlock(piece: Piece, packet: SeenFrame, sizes: Sizes): void {
  const { view, at } = piece;
  const { length, captured, microseconds } = sizes;
  const padded = Math.ceil(captured / 4) * 4;
  const size = PACKET_FIXED + padded + 4;
  const time = BigInt(BEGINNING_SECONDS * MICROSECONDS + microseconds);
  view.setUint32(at, PACKET_BLOCK, true);
  view.setUint32(at + 4, size, true);
  view.setUint32(at + 8, packet.seenBy ?? 0, true);
  view.setUint32(at + 12, Number(time >> 32n), true);
  view.setUint32(at + 16, Number(time & 0xffffffffn), true);
  view.setUint32(at + 20, captured, true);
  view.setUint32(at + 24, length, true);
  piece.at = at + PACKET_FIXED;
  writeFrame(piece, packet, padded);
  view.setUint32(piece.at, size, true);
  piece.at += 4;
}

function writeFrame(piece: Piece, packet: FrameSpec, room: number): void {
  piece.bytes.fill(0, piece.at, piece.at + room);
  writeHeaders(piece.view, piece.at, packet);
  piece.at += room;
}
