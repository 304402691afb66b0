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

/** Reads what is odd about a packet; after it was decoded. */
export function readOddities(batch: PacketBatch, index: number): Oddities {
  const at = batch.recordAt(index);
  const flags = batch.view.getUint32(at + layout.PACKET_FLAGS, true);
  const malformed = batch.view.getUint16(at + layout.PACKET_MALFORMED, true);
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
