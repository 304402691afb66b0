/**
 * Several captures as one, in the order of their packets' times. Each is read into a block and a batch
 * of its own in the matcher's memory; records are copied into the batch that is judged, frames stay
 * where they are. Memory grows with the number of captures, not with their length.
 */
import * as layout from "../../assembly/layout.ts";
import type { OnDiagnostic, Place } from "../errors.ts";
import type { PacketBatch } from "./batch.ts";
import type { CaptureFormat, CaptureInterface } from "./format.ts";
import { checkClocks } from "./merge-clocks.ts";
import { Lane, type LaneMemory, type Run } from "./merge-lane.ts";
import { MergedInterfaces, MergedNames } from "./merge-tables.ts";
import type { OriginalPacket } from "./original.ts";
import type { CaptureStream, PacketStream } from "./stream.ts";

/** What several captures are merged with. */
export interface MergeOptions extends LaneMemory {
  /** In the order in which they were given; each has a block of its own in the memory. */
  readonly streams: readonly CaptureStream[];
  readonly onDiagnostic: OnDiagnostic;
}

/**
 * Reads the beginning of each capture and merges them. Undefined when no order of their packets is
 * known, which was reported as CAPTURE_ORDER.
 */
export async function mergeCaptures(options: MergeOptions): Promise<MergedStream | undefined> {
  const lanes: Lane[] = [];
  const { onDiagnostic } = options;
  for (const [position, stream] of options.streams.entries()) {
    const lane = new Lane(stream, position, options, onDiagnostic);
    if (await lane.refill()) lanes.push(lane);
  }
  return checkClocks(lanes, onDiagnostic) ? new MergedStream(lanes) : undefined;
}

/**
 * The merged packets. Those of equal time come in the order in which their captures were given; those
 * of one capture keep their order, whatever their times are.
 */
export class MergedStream implements PacketStream {
  readonly #interfaces = new MergedInterfaces();
  readonly #names = new MergedNames();
  /** In the order in which the captures were given; those that ended are taken out. */
  readonly #lanes: Lane[];
  /** Of the batch filled last: where each packet came from, and its number there. */
  readonly #sources: Lane[] = [];
  readonly #numbers: number[] = [];

  /** @param lanes each with at least one packet */
  constructor(lanes: Lane[]) {
    this.#lanes = lanes;
  }

  get interfaces(): readonly CaptureInterface[] {
    return this.#interfaces.all;
  }

  get names(): readonly string[] {
    return this.#names.all;
  }

  formatAt(index: number): CaptureFormat["name"] {
    return this.#sourceAt(index).stream.format.name;
  }

  placeAt(index: number): Place {
    const { file } = this.#sourceAt(index).stream;
    return { file, packet: this.#numbers[index] ?? 0 };
  }

  originalAt(_: PacketBatch, index: number): OriginalPacket {
    // The capture's own record has its own numbers of interfaces.
    return this.#sourceAt(index).originalAt(this.#numbers[index] ?? 0);
  }

  async fill(batch: PacketBatch): Promise<boolean> {
    batch.clear();
    // Only now: the frames of the batch before lay in the blocks.
    for (const lane of this.#lanes.filter((each) => each.empty)) {
      if (!(await lane.refill())) this.#lanes.splice(this.#lanes.indexOf(lane), 1);
    }
    let lane = this.#first();
    while (lane !== undefined && !batch.full) {
      this.#take(lane, lane.passBefore(this.#first(lane), batch.capacity - batch.count), batch);
      // What comes next is not known before more of this capture is read.
      if (lane.empty) break;
      lane = this.#first();
    }
    return batch.count > 0;
  }

  #sourceAt(index: number): Lane {
    const lane = this.#sources[index];
    if (lane === undefined) throw new Error("bug: the batch has no such packet");
    return lane;
  }

  /** The capture whose next packet is the earliest, apart from `but`. */
  #first(but?: Lane): Lane | undefined {
    let first: Lane | undefined;
    for (const lane of this.#lanes) {
      if (lane !== but && (first === undefined || lane.isBefore(first))) first = lane;
    }
    return first;
  }

  #take(lane: Lane, run: Run, batch: PacketBatch): void {
    const { first, count } = run;
    const start = batch.count;
    const { view } = batch;
    for (let index = 0; index < count; index++) {
      this.#sources[start + index] = lane;
      this.#numbers[start + index] = lane.numberAt(first + index);
    }
    batch.appendRecordsOf(lane.batch, first, count);
    const { stream } = lane;
    for (let index = start; index < batch.count; index++) {
      const at = batch.recordAt(index);
      const own = view.getUint16(at + layout.PACKET_CAPTURE_INTERFACE, true);
      if (own !== layout.CAPTURE_INTERFACE_NONE) {
        const merged = this.#interfaces.number(stream, own);
        view.setUint16(at + layout.PACKET_CAPTURE_INTERFACE, merged, true);
      }
      if (stream.names.length === 0) continue;
      for (const field of [layout.PACKET_SRC_NAME, layout.PACKET_DST_NAME]) {
        const name = stream.names[view.getUint16(at + field, true) - 1];
        if (name !== undefined) view.setUint16(at + field, this.#names.number(name), true);
      }
    }
  }
}
