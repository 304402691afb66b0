/**
 * Reads pcap files: micro- and nanosecond timestamps, both byte orders, and the variant with the
 * longer record header that old patched libpcaps wrote. Frames stay where they are; a record each
 * points at them. Damage ends the capture, what came before it is kept.
 */
import * as layout from "../../assembly/layout.ts";
import type { PacketBatch } from "./batch.ts";
import type {
  CaptureFormat,
  CaptureInterface,
  CaptureReader,
  ReaderOptions,
  WalkableRecords,
} from "./format.ts";
import { CaptureLog } from "./log.ts";
import type { OriginalPacket, OriginalSection } from "./original.ts";
import { resolutionOption } from "./pcapng-options.ts";
import { secondsToTime, secondsToTicks } from "./timestamp.ts";

/**
 * Capture files of libpcap and tcpdump.
 *
 * Source: draft-ietf-opsawg-pcap (PCAP Capture File Format).
 */
export const PCAP: CaptureFormat = {
  name: "pcap",
  detect: (start) => start.length >= 4 && variantOf(start) !== undefined,
  open: (options) => new PcapReader(options),
};

const FILE_HEADER_SIZE = 24;
const HEADER_VERSION_MAJOR = 4;
const HEADER_VERSION_MINOR = 6;
const HEADER_SNAP_LENGTH = 16;
const HEADER_LINK_TYPE = 20;

/** In the frames of LINKTYPE_LINUX_SLL2, in network order. */
const COOKED_INTERFACE = 4;
const COOKED_INTERFACE_END = 8;

const RECORD_FRACTION = 4;
const RECORD_CAPTURED_LENGTH = 8;
const RECORD_ORIGINAL_LENGTH = 12;

/** What the magic number says of the file. */
interface Variant {
  readonly littleEndian: boolean;
  /** Nanoseconds in one unit of the timestamps' fraction. */
  readonly unit: number;
  readonly recordHeaderSize: number;
}

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
/** Record headers carry interface, protocol and packet type behind the lengths (patched libpcap 0.4). */
const MAGIC_PATCHED = 0xa1b2cd34;

function variantOf(start: Uint8Array): Variant | undefined {
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  for (const littleEndian of [true, false]) {
    switch (view.getUint32(0, littleEndian)) {
      case MAGIC_MICROSECONDS:
        return { littleEndian, unit: 1000, recordHeaderSize: 16 };
      case MAGIC_NANOSECONDS:
        return { littleEndian, unit: 1, recordHeaderSize: 16 };
      case MAGIC_PATCHED:
        return { littleEndian, unit: 1000, recordHeaderSize: 24 };
    }
  }
  return undefined;
}

class PcapReader implements CaptureReader {
  // The file names no interface; frames of SLL2 have a number each.
  readonly interfaces: CaptureInterface[] = [];
  readonly names = [];
  readonly clock = "epoch";
  readonly #log: CaptureLog;
  #variant: Variant | undefined;
  #linkType = 0;
  #snapLength = 0;
  readonly #placeByIndex = new Map<number, number>();
  readonly #file: string;
  #section: OriginalSection | undefined;

  constructor(options: ReaderOptions) {
    this.#log = new CaptureLog(options);
    this.#file = options.file;
  }

  get section(): OriginalSection | undefined {
    return this.#section;
  }

  get damaged(): boolean {
    return this.#log.damaged;
  }

  get walkable(): WalkableRecords | undefined {
    const linkType = this.#linkType;
    // The interface numbers of SLL2 are read here.
    const here = this.damaged || linkType === layout.LINK_LINUX_SLL2;
    if (this.#variant === undefined || here) return undefined;
    const { littleEndian, unit, recordHeaderSize: headerSize } = this.#variant;
    const snapLength = this.#snapLength;
    return this.#log.walkable({
      format: "pcap",
      littleEndian,
      unit,
      headerSize,
      snapLength,
      linkType,
    });
  }

  scan(bytes: Uint8Array, batch: PacketBatch, last: boolean): number {
    if (this.damaged) return bytes.length;
    this.#log.begin(batch);
    let position = 0;
    if (this.#variant === undefined) position = this.#readHeader(bytes, last);
    if (this.#variant !== undefined && !this.damaged) {
      position = this.#scanRecords(this.#variant, bytes, position, batch);
      const left = bytes.length - position;
      if (last && left > 0 && !batch.full && !this.damaged)
        this.#reportCut(this.#variant, bytes.subarray(position), position);
    }
    this.#log.end(position);
    return position;
  }

  #readHeader(bytes: Uint8Array, last: boolean): number {
    const log = this.#log;
    if (bytes.length < FILE_HEADER_SIZE) {
      const message = `the file header is cut: wanted ${FILE_HEADER_SIZE} bytes, got ${bytes.length}`;
      if (last) log.stop("TRUNCATED_CAPTURE", message, 0);
      return 0;
    }
    const variant = variantOf(bytes);
    if (variant === undefined) {
      log.stop("NOT_A_CAPTURE", "the first four bytes are no magic number of pcap", 0);
      return 0;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, FILE_HEADER_SIZE);
    const major = view.getUint16(HEADER_VERSION_MAJOR, variant.littleEndian);
    const minor = view.getUint16(HEADER_VERSION_MINOR, variant.littleEndian);
    if (major !== 2 || minor !== 4) {
      const message = `pcap version ${major}.${minor} is not supported, only 2.4`;
      log.stop("BAD_CAPTURE_BLOCK", message, HEADER_VERSION_MAJOR);
      return 0;
    }
    // > Frame Cyclic Sequence (FCS) present (4 bits), reserved (12 bits, "MUST be set to 0"), LinkType (16 bits)
    // The FCS length is of no use here: IP's own length says where a packet ends.
    const linkField = view.getUint32(HEADER_LINK_TYPE, variant.littleEndian);
    if ((linkField & 0x03ff0000) !== 0) {
      const message = `reserved bits of the link type 0x${linkField.toString(16)} are set`;
      log.stop("BAD_CAPTURE_BLOCK", message, HEADER_LINK_TYPE);
      return 0;
    }
    this.#linkType = linkField & 0xffff;
    // 0, -1 and the like are written by some programs and mean "no limit".
    this.#snapLength = view.getUint32(HEADER_SNAP_LENGTH, variant.littleEndian);
    const snapLength = this.#snapLength;
    if (this.#snapLength === 0) this.#snapLength = 0xffffffff;
    this.#variant = variant;
    // > If the option is not present, a resolution of 10^-6 is assumed.
    const options = variant.unit === 1 ? resolutionOption(9) : new Uint8Array(0);
    const interfaces = [{ linkType: this.#linkType, snapLength, options }];
    this.#section = { file: this.#file, options: new Uint8Array(0), interfaces };
    log.checkLinkType(this.#linkType, HEADER_LINK_TYPE);
    return FILE_HEADER_SIZE;
  }

  original(view: DataView, at: number): OriginalPacket {
    const section = this.#section;
    const captureInterface = section?.interfaces[0];
    if (this.#variant === undefined || section === undefined || captureInterface === undefined)
      throw new Error("bug: no packet was read");
    const { littleEndian, unit, recordHeaderSize } = this.#variant;
    const frame = view.getUint32(at + layout.PACKET_FRAME, true);
    const captured = view.getUint32(at + layout.PACKET_CAPTURED_LENGTH, true);
    const header = frame - recordHeaderSize;
    const seconds = view.getUint32(header, littleEndian);
    const fraction = view.getUint32(header + RECORD_FRACTION, littleEndian);
    const ticks = secondsToTicks(seconds, fraction, unit === 1 ? 1e9 : 1e6);
    return {
      section,
      interface: captureInterface,
      timeHigh: ticks.high,
      timeLow: ticks.low,
      originalLength: view.getUint32(header + RECORD_ORIGINAL_LENGTH, littleEndian),
      frame: new Uint8Array(view.buffer, frame, captured).slice(),
      options: new Uint8Array(0),
    };
  }

  /** The hot loop: reads and writes through one view, as nothing in it can grow the memory. */
  #scanRecords(variant: Variant, bytes: Uint8Array, start: number, batch: PacketBatch): number {
    const { littleEndian, unit, recordHeaderSize } = variant;
    const log = this.#log;
    const view = batch.view;
    const linkType = this.#linkType;
    const snapLength = this.#snapLength;
    const base = bytes.byteOffset;
    const end = base + bytes.length;
    let at = base + start;
    while (!batch.full && end - at >= recordHeaderSize) {
      const captured = view.getUint32(at + RECORD_CAPTURED_LENGTH, littleEndian);
      let original = view.getUint32(at + RECORD_ORIGINAL_LENGTH, littleEndian);
      if (captured > layout.FRAME_MAX) {
        const message = `captured length ${captured} is more than ${layout.FRAME_MAX}`;
        log.stop("BAD_CAPTURE_BLOCK", message, at - base);
        break;
      }
      const frame = at + recordHeaderSize;
      if (captured > end - frame) break;
      if (captured > original) {
        log.oddLength(captured, original, at - base);
        original = captured;
      }
      if (captured > snapLength) this.#reportSnapLength(captured, at - base);

      const seconds = view.getUint32(at, littleEndian);
      const nanoseconds = view.getUint32(at + RECORD_FRACTION, littleEndian) * unit;
      if (nanoseconds >= 1e9)
        log.oddTime("has a fraction of a second or more, which is carried over", at - base);
      log.checkTime(seconds * 1e9 + nanoseconds, at - base);

      const record = batch.appendIn(view);
      secondsToTime(view, record + layout.PACKET_TIMESTAMP, seconds, nanoseconds);
      view.setUint32(record + layout.PACKET_FRAME, frame, true);
      view.setUint32(record + layout.PACKET_CAPTURED_LENGTH, captured, true);
      view.setUint32(record + layout.PACKET_ORIGINAL_LENGTH, original, true);
      view.setUint16(record + layout.PACKET_LINK_TYPE, linkType, true);
      if (linkType === layout.LINK_LINUX_SLL2 && captured >= COOKED_INTERFACE_END) {
        const place = this.#place(view.getUint32(frame + COOKED_INTERFACE));
        view.setUint16(record + layout.PACKET_CAPTURE_INTERFACE, place, true);
      }
      view.setUint32(record + layout.PACKET_FLAGS, layout.PACKET_HAS_TIME, true);
      at = frame + captured;
    }
    return at - base;
  }

  /** Where `interfaces` has the one of this number. */
  #place(index: number): number {
    const known = this.#placeByIndex.get(index);
    if (known !== undefined) return known;
    const place = this.interfaces.length;
    if (place >= layout.CAPTURE_INTERFACE_NONE) return layout.CAPTURE_INTERFACE_NONE;
    this.interfaces.push({ name: undefined, linkType: this.#linkType, index });
    this.#placeByIndex.set(index, place);
    return place;
  }

  #reportSnapLength(captured: number, position: number): void {
    const message = `captured length ${captured} is more than the file's snap length ${this.#snapLength}`;
    this.#log.once("snap length", { severity: "warning", code: "ODD_LENGTH", message }, position);
  }

  #reportCut(variant: Variant, rest: Uint8Array, position: number): void {
    const { littleEndian, recordHeaderSize } = variant;
    const view = new DataView(rest.buffer, rest.byteOffset, rest.length);
    const inHeader = rest.length < recordHeaderSize;
    const wanted = inHeader
      ? recordHeaderSize
      : recordHeaderSize + view.getUint32(RECORD_CAPTURED_LENGTH, littleEndian);
    const part = inHeader ? "record header" : "record";
    const message = `the capture ends inside a ${part}: wanted ${wanted} bytes, got ${rest.length}`;
    this.#log.stop("TRUNCATED_CAPTURE", message, position);
  }
}
