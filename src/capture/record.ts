/**
 * What is asked of and told to the records of a filled batch, beside reading and judging them.
 */
import * as layout from "../../assembly/layout.ts";
import type { PacketBatch } from "./batch.ts";

/** What a record says of its packet beside what the verdict repeats. */
export interface Oddities {
  readonly fragment: boolean;
  readonly malformed: boolean;
  readonly truncated: boolean;
}

/** Reads what is odd about a packet from its record; after it was decoded. */
export function readOddities(view: DataView, at: number): Oddities {
  const flags = view.getUint32(at + layout.PACKET_FLAGS, true);
  const malformed = view.getUint8(at + layout.PACKET_MALFORMED);
  return {
    fragment: (flags & layout.PACKET_FRAGMENT) !== 0,
    malformed: malformed !== layout.MALFORMED_NONE,
    truncated: (flags & layout.PACKET_TRUNCATED) !== 0,
  };
}

/** The nanoseconds at which a packet was captured; undefined without a date. */
export function readTimestamp(batch: PacketBatch, index: number): bigint | undefined {
  const at = batch.recordAt(index);
  const flags = batch.view.getUint32(at + layout.PACKET_FLAGS, true);
  const dated = layout.PACKET_HAS_TIME | layout.PACKET_TIME_OF_DAY;
  if ((flags & dated) !== layout.PACKET_HAS_TIME) return undefined;
  return batch.view.getBigUint64(at + layout.PACKET_TIMESTAMP, true);
}

/** Gives every packet whose capture names no interface one of the interfaces. */
export function assignInterface(batch: PacketBatch, captureInterface: number): void {
  const view = batch.view;
  for (let index = 0; index < batch.count; index++) {
    const at = batch.recordAt(index) + layout.PACKET_CAPTURE_INTERFACE;
    if (view.getUint16(at, true) === layout.CAPTURE_INTERFACE_NONE) {
      view.setUint16(at, captureInterface, true);
    }
  }
}

/** Says of a packet that it arrives: whatever else its addresses may mean. */
export function markArriving(batch: PacketBatch, index: number): void {
  const at = batch.recordAt(index) + layout.PACKET_FLAGS;
  batch.view.setUint32(at, batch.view.getUint32(at, true) | layout.PACKET_INBOUND, true);
}

/** A packet's bytes as they were captured. */
export interface CapturedPacket {
  /** From the IP header on; the capture may have cut them. */
  readonly bytes: Uint8Array;
  /** How long the packet was, by its IP header. */
  readonly length: number;
  /** Undefined: the link has none. */
  readonly macs: { readonly source: Uint8Array; readonly destination: Uint8Array } | undefined;
  /** Address, identification and place of a fragment's datagram in words; undefined: not a fragment. */
  readonly datagram: string | undefined;
}

/** Copies the bytes of an IP packet; undefined where the capture has none. After it was decoded. */
export function readPacketBytes(batch: PacketBatch, index: number): CapturedPacket | undefined {
  const at = batch.recordAt(index);
  const { view } = batch;
  const network = view.getUint32(at + layout.PACKET_NETWORK, true);
  const end = view.getUint32(at + layout.PACKET_END, true);
  if (network === 0 || end <= network) return undefined;
  const flags = view.getUint32(at + layout.PACKET_FLAGS, true);
  const mac = (field: number): Uint8Array => new Uint8Array(view.buffer, at + field, 6).slice();
  const fragment = (flags & layout.PACKET_FRAGMENT) !== 0;
  const ends = new Uint8Array(view.buffer, at + layout.PACKET_SRC, 32).join();
  const id = view.getUint32(at + layout.PACKET_IP_ID, true);
  return {
    bytes: new Uint8Array(view.buffer, network, end - network).slice(),
    length: view.getUint32(at + layout.PACKET_IP_LENGTH, true),
    macs:
      (flags & layout.PACKET_HAS_MAC) === 0
        ? undefined
        : { source: mac(layout.PACKET_SRC_MAC), destination: mac(layout.PACKET_DST_MAC) },
    datagram: fragment ? `${ends} ${id}` : undefined,
  };
}

/** A frame that does not come from a capture. */
export interface MadeFrame {
  readonly bytes: Uint8Array;
  /** `none`: the bytes begin with the IP header. */
  readonly link: "ethernet" | "none";
  readonly captureInterface: number;
  readonly timestampNs: bigint;
}

/** Appends a frame to the batch, its bytes to the block behind `offset`; false: it has no room. */
export function appendMadeFrame(
  batch: PacketBatch,
  block: { readonly address: number; readonly size: number; readonly used: number },
  frame: MadeFrame,
): boolean {
  const { bytes, link, captureInterface, timestampNs } = frame;
  if (batch.full || bytes.length > block.size - block.used) return false;
  const address = block.address + block.used;
  new Uint8Array(batch.view.buffer, address, bytes.length).set(bytes);
  const { length } = bytes;
  const linkType = link === "ethernet" ? layout.LINK_ETHERNET : layout.LINK_RAW;
  const header = { frame: address, capturedLength: length, originalLength: length };
  const at = batch.appendFrame({ ...header, linkType, captureInterface });
  batch.view.setBigUint64(at + layout.PACKET_TIMESTAMP, timestampNs, true);
  batch.view.setUint32(at + layout.PACKET_FLAGS, layout.PACKET_HAS_TIME, true);
  return true;
}

/** When the batch's packet at this index was captured. */
export function readTime(
  batch: PacketBatch,
  index: number,
): { readonly ns: bigint; readonly timeOfDay: boolean } | undefined {
  const { view } = batch;
  const at = batch.recordAt(index);
  const flags = view.getUint32(at + layout.PACKET_FLAGS, true);
  if ((flags & layout.PACKET_HAS_TIME) === 0) return undefined;
  const ns = view.getBigUint64(at + layout.PACKET_TIMESTAMP, true);
  return { ns, timeOfDay: (flags & layout.PACKET_TIME_OF_DAY) !== 0 };
}
