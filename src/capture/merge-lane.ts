/**
 * One of several captures that are merged: its packets that were read and not yet merged, and the time
 * of the first of them.
 */
import * as layout from "../../assembly/layout.ts";
import type { OnDiagnostic } from "../errors.ts";
import { PacketBatch } from "./batch.ts";
import type { OriginalPacket } from "./original.ts";
import type { CaptureStream } from "./stream.ts";

/** The memory that holds the captures' blocks. */
export interface LaneMemory {
  /** Gives the memory as it is now; growing it replaces it. */
  readonly memory: () => ArrayBufferLike;
  /** Takes room in it: the address of this many bytes. */
  readonly allocate: (size: number) => number;
}

/** Packets that follow each other in one capture's batch. */
export interface Run {
  readonly first: number;
  readonly count: number;
}

const TIME_FLAGS = layout.PACKET_HAS_TIME | layout.PACKET_TIME_OF_DAY;

/** A capture's packets in the order of their file. */
export class Lane {
  readonly stream: CaptureStream;
  readonly batch: PacketBatch;
  /** The capture's place among those that were given. */
  readonly #position: number;
  readonly #onDiagnostic: OnDiagnostic;
  /** Index in the batch of the next packet, and its time in nanoseconds: `high * 2^32 + low`. */
  #next = 0;
  #high = 0;
  #low = 0;
  /** TIME_FLAGS of the first packet; one with others has no time that could be compared. */
  #flags: number | undefined;
  #said = false;

  constructor(
    stream: CaptureStream,
    position: number,
    { memory, allocate }: LaneMemory,
    onDiagnostic: OnDiagnostic,
  ) {
    this.stream = stream;
    this.#position = position;
    this.#onDiagnostic = onDiagnostic;
    const records = allocate(layout.BATCH_PACKETS * layout.PACKET_SIZE);
    const arena = stream.format.name === "tcpdump" ? allocate(layout.ARENA_SIZE) : 0;
    this.batch = new PacketBatch(memory, records, arena);
  }

  /** All packets that were read are merged. */
  get empty(): boolean {
    return this.#next === this.batch.count;
  }

  /** Whether the first packet has a time. */
  get timed(): boolean {
    return ((this.#flags ?? 0) & layout.PACKET_HAS_TIME) !== 0;
  }

  /** Reads on, over the frames of the packets before; false, at the end. */
  async refill(): Promise<boolean> {
    const filled = await this.stream.fill(this.batch);
    this.#next = 0;
    if (filled) this.#look();
    return filled;
  }

  /** Whether this capture's next packet comes before the other's. Both have one. */
  isBefore(other: Lane): boolean {
    if (this.#high !== other.#high) return this.#high < other.#high;
    if (this.#low !== other.#low) return this.#low < other.#low;
    return this.#position < other.#position;
  }

  /** Passes the next packet, and those behind it that come before the rival's; `most` in all. */
  passBefore(rival: Lane | undefined, most: number): Run {
    const first = this.#next;
    do {
      this.#next += 1;
      if (this.empty) break;
      this.#look();
    } while (this.#next - first < most && (rival === undefined || this.isBefore(rival)));
    return { first, count: this.#next - first };
  }

  /** Number in its file of the packet at this index of the batch. */
  numberAt(index: number): number {
    return this.batch.packetNumber - this.batch.count + index + 1;
  }

  /** Copies the packet of this number in its file, which is of the batch. */
  originalAt(number: number): OriginalPacket {
    const before = this.batch.packetNumber - this.batch.count;
    return this.stream.originalAt(this.batch, number - before - 1);
  }

  /** Reads the next packet's time. One without keeps its place behind the packet before it. */
  #look(): void {
    const { view } = this.batch;
    const at = this.batch.recordAt(this.#next);
    const flags = view.getUint32(at + layout.PACKET_FLAGS, true) & TIME_FLAGS;
    this.#flags ??= flags;
    if (flags === this.#flags) {
      this.#high = view.getUint32(at + layout.PACKET_TIMESTAMP + 4, true);
      this.#low = view.getUint32(at + layout.PACKET_TIMESTAMP, true);
    } else if (!this.#said) {
      this.#said = true;
      const message =
        "a packet has no time that those of the other captures could be compared with: " +
        "it is placed behind the packet before it (said once)";
      const place = { file: this.stream.file, packet: this.numberAt(this.#next) };
      this.#onDiagnostic({ severity: "warning", code: "CAPTURE_ORDER", message, place });
    }
  }
}
