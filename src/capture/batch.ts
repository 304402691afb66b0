/**
 * The packet records of one batch, in the matcher's memory. Readers append; the matcher decides.
 */
import * as layout from "../../assembly/layout.ts";
import type { Address } from "../net/address.ts";

/** What a reader of binary captures knows of one packet. */
export interface FrameHeader {
  /** Address of the first byte, in the memory that holds the batch. */
  readonly frame: number;
  readonly capturedLength: number;
  readonly originalLength: number;
  readonly linkType: number;
  readonly captureInterface: number;
}

/** A batch of packet records with room for `BATCH_PACKETS`. */
export class PacketBatch {
  /** How many records are filled. */
  count = 0;
  /** Number of the last packet appended, over the whole capture. */
  packetNumber = 0;
  readonly capacity: number = layout.BATCH_PACKETS;
  /** Readers fill it so far; `capacity` unless somebody wants less. */
  most: number = this.capacity;
  readonly #buffer: () => ArrayBufferLike;
  readonly #records: number;
  readonly #arena: number;
  #view: DataView;
  #arenaUsed = 0;
  /** Packet number at the last clear: what was appended since is to be wiped, whatever `count` says. */
  #cleared = 0;

  /**
   * @param buffer  gives the memory as it is now; growing the memory replaces it
   * @param records address of the first record, `BATCH_PACKETS * PACKET_SIZE` bytes
   * @param arena   address of `ARENA_SIZE` bytes for frames that a text capture spells out; they are
   *   needed only where a text is read
   */
  constructor(buffer: () => ArrayBufferLike, records: number, arena: number) {
    this.#buffer = buffer;
    this.#records = records;
    this.#arena = arena;
    this.#view = new DataView(buffer());
    this.#zero(this.capacity);
  }

  /** The memory that holds the batch. */
  get view(): DataView {
    const buffer = this.#buffer();
    if (this.#view.buffer !== buffer) this.#view = new DataView(buffer);
    return this.#view;
  }

  get full(): boolean {
    return this.count >= this.most;
  }

  /** Empties the batch; the packet number goes on. */
  clear(): void {
    this.#zero(Math.min(this.packetNumber - this.#cleared, this.capacity));
    this.#cleared = this.packetNumber;
    this.count = 0;
    this.#arenaUsed = 0;
  }

  /** Counts packets that were decided without a record here. */
  pass(packets: number): void {
    this.packetNumber += packets;
    this.#cleared += packets;
  }

  /** Address of a record. */
  recordAt(index: number): number {
    return this.#records + index * layout.PACKET_SIZE;
  }

  /** Number of a record's packet, over the whole capture. */
  numberAt(index: number): number {
    return Number(this.view.getBigUint64(this.recordAt(index) + layout.PACKET_NUMBER, true));
  }

  /** Appends a zeroed record and returns its address. The batch must not be full. */
  append(): number {
    return this.appendIn(this.view);
  }

  /** As `append`, for a loop that took `view` from this batch once and cannot grow the memory. */
  appendIn(view: DataView): number {
    // Records behind `count` are zero: `clear` wipes a whole batch at once, which is cheaper.
    const at = this.#records + this.count * layout.PACKET_SIZE;
    this.count += 1;
    const number = (this.packetNumber += 1);
    view.setUint16(at + layout.PACKET_CAPTURE_INTERFACE, layout.CAPTURE_INTERFACE_NONE, true);
    view.setUint32(at + layout.PACKET_NUMBER, number, true);
    view.setUint32(at + layout.PACKET_NUMBER + 4, Math.floor(number / 0x100000000), true);
    return at;
  }

  /** Appends a record for a frame whose bytes lie in this memory; returns its address. */
  appendFrame(header: FrameHeader): number {
    const at = this.append();
    const view = this.view;
    view.setUint32(at + layout.PACKET_FRAME, header.frame, true);
    view.setUint32(at + layout.PACKET_CAPTURED_LENGTH, header.capturedLength, true);
    view.setUint32(at + layout.PACKET_ORIGINAL_LENGTH, header.originalLength, true);
    view.setUint16(at + layout.PACKET_LINK_TYPE, header.linkType, true);
    view.setUint16(at + layout.PACKET_CAPTURE_INTERFACE, header.captureInterface, true);
    return at;
  }

  /**
   * Appends `count` records of another batch in this memory, from its record `first` on. They get
   * numbers of this batch; their frames stay where they are. There must be room.
   */
  appendRecordsOf(other: PacketBatch, first: number, count: number): void {
    const view = this.view;
    const from = other.recordAt(first);
    const to = this.recordAt(this.count);
    new Uint8Array(view.buffer).copyWithin(to, from, from + count * layout.PACKET_SIZE);
    for (let at = to; at < to + count * layout.PACKET_SIZE; at += layout.PACKET_SIZE) {
      const number = (this.packetNumber += 1);
      view.setUint32(at + layout.PACKET_NUMBER, number, true);
      view.setUint32(at + layout.PACKET_NUMBER + 4, Math.floor(number / 0x100000000), true);
    }
    this.count += count;
  }

  /**
   * Takes room for a frame that is not in the block: address of `length` bytes, or undefined when this
   * batch has no more (the reader then ends the batch).
   */
  reserve(length: number): number | undefined {
    if (length > layout.ARENA_SIZE - this.#arenaUsed) return undefined;
    const at = this.#arena + this.#arenaUsed;
    this.#arenaUsed += length;
    return at;
  }

  /** Writes an address at `at + offset`, where `offset` is PACKET_SRC or a like field. */
  setAddress(at: number, offset: number, address: Address): void {
    const view = this.view;
    address.words.forEach((word, index) => view.setUint32(at + offset + 4 * index, word, true));
  }

  #zero(records: number): void {
    new Uint8Array(this.view.buffer, this.#records, records * layout.PACKET_SIZE).fill(0);
  }
}

/** Makes a batch in memory of its own, for reading without a matcher: records, arena, then `room` bytes. */
export function makeBatch(room: number): { batch: PacketBatch; bytes: Uint8Array } {
  const records = layout.BATCH_PACKETS * layout.PACKET_SIZE;
  const memory = new ArrayBuffer(records + layout.ARENA_SIZE + room);
  const batch = new PacketBatch(() => memory, 0, records);
  return { batch, bytes: new Uint8Array(memory, records + layout.ARENA_SIZE, room) };
}
