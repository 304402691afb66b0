/**
 * Drives a reader over a capture that comes in pieces: bytes are read straight into one block of the
 * matcher's memory, scanned where they lie, and handed out a batch at a time. What is there is handed
 * out at once, so that a live capture is judged while it runs. Memory does not grow with the capture.
 */
import type { OnDiagnostic, Place } from "../errors.ts";
import type { Address, Family } from "../net/address.ts";
import type { PacketBatch } from "./batch.ts";
import type {
  CaptureFormat,
  CaptureInterface,
  CaptureReader,
  RecordLayout,
  Walked,
} from "./format.ts";
import { DETECT_SIZE, detectFormat } from "./index.ts";
import type { OriginalPacket } from "./original.ts";

/** Where the bytes of a capture come from. */
export interface ByteSource {
  /** File name as the user gave it; `-` is standard input. */
  readonly file: string;
  /** True once something went wrong that the source itself has reported; what came before stands. */
  readonly failed: boolean;
  /** Fills `into` from its start with what is there, at least one byte; 0 at the end. */
  read(into: Uint8Array): number | Promise<number>;
}

/** A region of the matcher's memory for the bytes of one capture. */
export interface Block {
  /** Gives the memory as it is now; growing the memory replaces it. */
  readonly memory: () => ArrayBufferLike;
  readonly address: number;
  /** In bytes; `BLOCK_SIZE` of the layout, or less in tests. */
  readonly size: number;
}

/** Packets in the order in which they are judged, a batch at a time. */
export interface PacketStream {
  /** Grows as packets come; PACKET_CAPTURE_INTERFACE is an index into it. */
  readonly interfaces: readonly CaptureInterface[];
  /** Host names that nobody resolved; PACKET_SRC_NAME is an index into it, plus one. */
  readonly names: readonly string[];
  /**
   * Empties the batch and fills it with the packets that are there; false, with an empty batch, at the
   * end. The frames of the batch before are overwritten.
   */
  fill(batch: PacketBatch): Promise<boolean>;
  /** As CaptureStream.walk; undefined where packets need records of their own. */
  readonly walk?: (batch: PacketBatch, walk: WalkRecords) => Promise<number>;
  /** The format that the packet at this index of the batch came in. */
  formatAt(index: number): CaptureFormat["name"];
  /** Its file and its number there; undefined where one capture is all there is. */
  placeAt(index: number): Place | undefined;
  /** Copies the packet at this index of the batch that was filled last. No packet of a text can be. */
  originalAt(batch: PacketBatch, index: number): OriginalPacket;
}

/** Records that the matcher may walk itself. */
export interface Records {
  /** A view of the matcher's memory. */
  readonly bytes: Uint8Array;
  readonly layout: RecordLayout;
  /** Packets of the capture before them, and the latest of their times in nanoseconds. */
  readonly before: number;
  readonly latest: bigint;
}

/** Decides the packets of plain records; `cut`: the next one is not all there. */
export type WalkRecords = (records: Records) => Walked & { readonly cut: boolean };

/** What a stream is made of. */
export interface StreamOptions {
  readonly source: ByteSource;
  readonly block: Block;
  readonly onDiagnostic: OnDiagnostic;
  /** Finds the address of a host name in a text capture; undefined when nobody knows it. */
  readonly resolveName?: (name: string, family?: Family) => Address | undefined;
}

/**
 * Opens a capture: reads until a format claims it. Undefined when there is nothing to read, which was
 * reported as EMPTY_FILE or NOT_A_CAPTURE, or by the source.
 */
export async function openCapture(options: StreamOptions): Promise<CaptureStream | undefined> {
  const { source, block, onDiagnostic } = options;
  const input = new BlockInput(source, block);
  const enough = Math.min(DETECT_SIZE, block.size);
  let format: CaptureFormat | undefined;
  // A live capture may send a few bytes and fall silent: each piece is shown to the formats.
  while (format === undefined && !input.ended && input.length < enough) {
    await input.fill();
    format = detectFormat(input.bytes.subarray(0, enough));
  }
  if (format !== undefined) return new CaptureStream(options, input, format);

  const place = { file: source.file };
  if (input.length > 0) {
    const start = [...input.bytes.subarray(0, 4)]
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join(" ");
    const message = `not a capture: it starts with ${start}, expected pcap, pcapng or tcpdump's text`;
    onDiagnostic({ severity: "error", code: "NOT_A_CAPTURE", message, place });
  } else if (!source.failed) {
    onDiagnostic({ severity: "error", code: "EMPTY_FILE", message: "the capture is empty", place });
  }
  return undefined;
}

/** A capture being read, a batch at a time. Made by `openCapture`. */
export class CaptureStream implements PacketStream {
  readonly file: string;
  readonly format: CaptureFormat;
  readonly reader: CaptureReader;
  readonly #input: BlockInput;
  readonly #options: StreamOptions;
  /** Where records are walked: how many the reader takes over for one that is odd. */
  #handedOver = 1;

  constructor(options: StreamOptions, input: BlockInput, format: CaptureFormat) {
    this.#options = options;
    this.#input = input;
    this.file = options.source.file;
    this.format = format;
    const { onDiagnostic, resolveName } = options;
    this.reader = format.open({
      file: options.source.file,
      onDiagnostic,
      ...(resolveName === undefined ? {} : { resolveName }),
    });
  }

  get interfaces(): readonly CaptureInterface[] {
    return this.reader.interfaces;
  }

  get names(): readonly string[] {
    return this.reader.names;
  }

  formatAt(): CaptureFormat["name"] {
    return this.format.name;
  }

  placeAt(): undefined {
    return undefined;
  }

  originalAt(batch: PacketBatch, index: number): OriginalPacket {
    const original = this.reader.original?.(batch.view, batch.recordAt(index));
    if (original === undefined) throw new Error("bug: this format has no frames");
    return original;
  }

  /**
   * Lets `walk` have the records that are there, until one of them is odd: how many packets it decided.
   * The next `fill` goes on behind them, with few records: what follows an odd one can mostly be walked, and where it
   * cannot, they double.
   */
  async walk(batch: PacketBatch, walk: WalkRecords): Promise<number> {
    const input = this.#input;
    while (true) {
      const { walkable } = this.reader;
      if (walkable === undefined) return 0;
      const { layout, latest } = walkable;
      const walked = walk({ bytes: input.bytes, layout, before: batch.packetNumber, latest });
      input.consume(walked.bytes);
      walkable.pass(walked);
      batch.pass(walked.packets);
      if (walked.packets > 0) {
        this.#handedOver = 1;
        return walked.packets;
      }
      if (!walked.cut || input.ended || input.full) break;
      await input.fill();
    }
    batch.most = this.#handedOver;
    this.#handedOver = Math.min(this.#handedOver * 2, batch.capacity);
    return 0;
  }

  async fill(batch: PacketBatch): Promise<boolean> {
    const filled = await this.#fill(batch);
    batch.most = batch.capacity;
    return filled;
  }

  async #fill(batch: PacketBatch): Promise<boolean> {
    const input = this.#input;
    batch.clear();
    while (!this.reader.damaged) {
      const ended = input.ended;
      // The source has said what happened: a record cut by it is not the capture's fault.
      if (ended && this.#options.source.failed) return false;
      const consumed = this.reader.scan(input.bytes, batch, ended);
      input.consume(consumed);
      if (batch.count > 0) return true;
      if (ended) return false;
      if (consumed === 0 && input.full) {
        this.#reportTooLong();
        return false;
      }
      await input.fill();
    }
    return false;
  }

  #reportTooLong(): void {
    const { source, block, onDiagnostic } = this.#options;
    const message = `one record of the capture is longer than ${block.size} bytes`;
    const place = { file: source.file, offset: this.#input.offset };
    onDiagnostic({ severity: "error", code: "LIMIT_EXCEEDED", message, place });
  }
}

/** The bytes that were read and not yet consumed, in the block. */
class BlockInput {
  ended = false;
  /** Offset in the capture of the first of `bytes`. */
  offset = 0;
  readonly #source: ByteSource;
  readonly #block: Block;
  #start = 0;
  #end = 0;

  constructor(source: ByteSource, block: Block) {
    this.#source = source;
    this.#block = block;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  get full(): boolean {
    return this.length === this.#block.size;
  }

  /** A view of the memory as it is now. */
  get bytes(): Uint8Array {
    return this.#view(this.#start, this.#end);
  }

  consume(count: number): void {
    if (count > this.length) throw new Error("bug: a reader consumed more than it was given");
    this.#start += count;
    this.offset += count;
  }

  /** Moves what is left to the front of the block and reads behind it. There must be room. */
  async fill(): Promise<void> {
    if (this.#start > 0) {
      this.#view(0, this.#end).copyWithin(0, this.#start);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const read = this.#source.read(this.#view(this.#end, this.#block.size));
    const count = typeof read === "number" ? read : await read;
    this.#end += count;
    if (count === 0) this.ended = true;
  }

  #view(from: number, to: number): Uint8Array {
    const { memory, address } = this.#block;
    return new Uint8Array(memory(), address + from, to - from);
  }
}
