/**
 * Reads pcapng files: several sections of either byte order, the interfaces of each, and every block
 * that holds a packet. Other blocks are passed over without being buffered. Frames stay where they
 * are; a record each points at them. Damage of the block structure ends the capture.
 */
import * as layout from "../../assembly/layout.ts";
import type { PacketBatch } from "./batch.ts";
import type { CaptureFormat, CaptureInterface, CaptureReader, ReaderOptions } from "./format.ts";
import { CaptureLog } from "./log.ts";
import { readInterfaceOptions, readPacketFlags } from "./pcapng-options.ts";
import { ticksToTime, type Clock } from "./timestamp.ts";

const BLOCK_INTERFACE = 1;
const BLOCK_OLD_PACKET = 2;
const BLOCK_SIMPLE_PACKET = 3;
const BLOCK_NAME_RESOLUTION = 4;
const BLOCK_STATISTICS = 5;
const BLOCK_ENHANCED_PACKET = 6;
const BLOCK_JOURNAL = 9;
const BLOCK_SECRETS = 10;
const BLOCK_CUSTOM = 0xbad;
const BLOCK_CUSTOM_NOT_COPIED = 0x40000bad;
/** The same in both byte orders. */
const BLOCK_SECTION = 0x0a0d0d0a;

/** Smallest total length of the blocks that are interpreted. */
const SMALLEST: Readonly<Record<number, number>> = {
  [BLOCK_SECTION]: 28,
  [BLOCK_INTERFACE]: 20,
  [BLOCK_OLD_PACKET]: 32,
  [BLOCK_SIMPLE_PACKET]: 16,
  [BLOCK_ENHANCED_PACKET]: 32,
};
const PASSED_OVER: ReadonlySet<number> = new Set([
  BLOCK_NAME_RESOLUTION,
  BLOCK_STATISTICS,
  BLOCK_JOURNAL,
  BLOCK_SECRETS,
  BLOCK_CUSTOM,
  BLOCK_CUSTOM_NOT_COPIED,
]);

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** Type and total length in front, total length behind. */
const BLOCK_OVERHEAD = 12;
/** Longest block passed over: the limit of libpcap and Wireshark. */
const BLOCK_MAX = 1 << 24;
/** Longest block that is interpreted, all its options included; it must lie in memory as a whole. */
const WHOLE_BLOCK_MAX = 1 << 20;

/** No link type is registered here: for packets of interfaces that nothing describes. */
const LINK_NOWHERE = 0xffff;

/** What packet blocks need of their interface. */
interface Source {
  readonly linkType: number;
  /** 0: no limit. */
  readonly snapLength: number;
  readonly clock: Clock;
}

/** What the three kinds of packet blocks have in common; filled anew for each, never kept. */
interface PacketBlock {
  interfaceId: number;
  captured: number;
  original: number;
  /** Address of the timestamp's upper word; 0 without one. */
  time: number;
  /** Address of the frame. */
  frame: number;
  /** Address of the block's trailing length. */
  trailer: number;
}

/**
 * Capture files of Wireshark, dumpcap and tcpdump's successors.
 *
 * Source: draft-ietf-opsawg-pcapng (PCAP Now Generic).
 */
export const PCAPNG: CaptureFormat = {
  name: "pcapng",
  detect(start) {
    if (start.length < 4) return false;
    const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
    if (view.getUint32(0) !== BLOCK_SECTION) return false;
    // A capture cut this early is still told what it is.
    return start.length < BLOCK_OVERHEAD || byteOrder(view, 8) !== undefined;
  },
  open: (options) => new PcapngReader(options),
};

/** True for little-endian; undefined when the magic is neither. */
function byteOrder(view: DataView, at: number): boolean | undefined {
  if (view.getUint32(at, true) === BYTE_ORDER_MAGIC) return true;
  return view.getUint32(at, false) === BYTE_ORDER_MAGIC ? false : undefined;
}

class PcapngReader implements CaptureReader {
  readonly interfaces: CaptureInterface[] = [];
  readonly names = [];
  readonly #log: CaptureLog;
  /** Beside `interfaces`, one for one. */
  readonly #sources: Source[] = [];
  /** Index of the section's first interface. */
  #first = 0;
  /** Undefined before the first section. */
  #littleEndian: boolean | undefined;
  /** Bytes still to pass over, up to the trailing length of a block that is not interpreted. */
  #skip = 0;
  /** Total length of that block, which its end must repeat; 0 without one. */
  #skippedLength = 0;

  // The scan under way.
  #view: DataView = new DataView(new ArrayBuffer(0));
  /** Addresses of the first byte and behind the last. */
  #base = 0;
  #end = 0;
  readonly #packet: PacketBlock = {
    interfaceId: 0,
    captured: 0,
    original: 0,
    time: 0,
    frame: 0,
    trailer: 0,
  };

  constructor(options: ReaderOptions) {
    this.#log = new CaptureLog(options);
  }

  get damaged(): boolean {
    return this.#log.damaged;
  }

  scan(bytes: Uint8Array, batch: PacketBatch, last: boolean): number {
    if (this.damaged) return bytes.length;
    this.#log.begin(batch);
    this.#view = batch.view;
    this.#base = bytes.byteOffset;
    this.#end = this.#base + bytes.length;
    let at = this.#base;
    while (!batch.full) {
      const consumed = this.#skippedLength === 0 ? this.#scanBlock(at, batch) : this.#pass(at);
      if (consumed === 0) break;
      at += consumed;
    }
    if (last && !batch.full && !this.damaged) this.#reportCut(at);
    const consumed = at - this.#base;
    this.#log.end(consumed);
    return consumed;
  }

  /** Scans one block; returns how many bytes it took, 0 when it is not all there or damaged. */
  #scanBlock(at: number, batch: PacketBatch): number {
    const left = this.#end - at;
    if (left < BLOCK_OVERHEAD) return 0;
    const view = this.#view;
    const type = view.getUint32(at, this.#littleEndian);
    if (type === BLOCK_SECTION) {
      const littleEndian = byteOrder(view, at + 8);
      if (littleEndian === undefined) return this.#stop("the section has no byte-order magic", at);
      this.#littleEndian = littleEndian;
    } else if (this.#littleEndian === undefined) {
      return this.#stop("the capture does not start with a section header", at);
    }

    const total = view.getUint32(at + 4, this.#littleEndian);
    const smallest = SMALLEST[type];
    if (total < (smallest ?? BLOCK_OVERHEAD) || total % 4 !== 0)
      return this.#stop(`a block of type ${type} cannot have a total length of ${total}`, at);
    const largest = smallest === undefined ? BLOCK_MAX : WHOLE_BLOCK_MAX;
    if (total > largest) {
      const message = `a block of type ${type} has ${total} bytes, more than the limit of ${largest}`;
      this.#log.stop("LIMIT_EXCEEDED", message, at - this.#base);
      return 0;
    }
    if (smallest === undefined) return this.#startPassing(type, total, at);

    if (total > left) return 0;
    const trailer = at + total - 4;
    if (!this.#checkTrailer(trailer, total)) return 0;
    this.#packet.trailer = trailer;
    switch (type) {
      case BLOCK_ENHANCED_PACKET:
        this.#packet.interfaceId = view.getUint32(at + 8, this.#littleEndian);
        this.#readPacket(at);
        this.#append(at, batch);
        break;
      case BLOCK_OLD_PACKET:
        this.#packet.interfaceId = view.getUint16(at + 8, this.#littleEndian);
        this.#readPacket(at);
        this.#append(at, batch);
        break;
      case BLOCK_SIMPLE_PACKET:
        this.#readSimplePacket(at);
        this.#append(at, batch);
        break;
      case BLOCK_SECTION:
        this.#startSection(at);
        break;
      case BLOCK_INTERFACE:
        this.#addInterface(at, trailer);
        break;
    }
    return this.damaged ? 0 : total;
  }

  #startSection(at: number): void {
    const major = this.#view.getUint16(at + 12, this.#littleEndian);
    const minor = this.#view.getUint16(at + 14, this.#littleEndian);
    // > Some pcapng file writers have used a minor value of 2, but the file format did not change
    if (major !== 1 || (minor !== 0 && minor !== 2))
      this.#stop(`pcapng version ${major}.${minor} is not supported, only 1.0`, at);
    // The section's length only serves to jump over it; -1 and any other value are ignored.
    this.#first = this.interfaces.length;
  }

  #addInterface(at: number, trailer: number): void {
    const view = this.#view;
    const littleEndian = this.#littleEndian === true;
    if (this.interfaces.length === layout.CAPTURE_INTERFACE_NONE) {
      const message = `the capture has more than ${this.interfaces.length} interfaces`;
      this.#log.stop("LIMIT_EXCEEDED", message, at - this.#base);
      return;
    }
    const options = readInterfaceOptions({ view, littleEndian, from: at + 16, to: trailer });
    if (options.kind === "fault") {
      this.#stop(options.message, options.at);
      return;
    }
    const linkType = view.getUint16(at + 8, littleEndian);
    const snapLength = view.getUint32(at + 12, littleEndian);
    this.interfaces.push({ name: options.name, linkType });
    this.#sources.push({ linkType, snapLength, clock: options.clock });
    this.#log.checkLinkType(linkType, at - this.#base);
  }

  /** Enhanced Packet Block, and the obsolete Packet Block, which differs in the interface's width. */
  #readPacket(at: number): void {
    const packet = this.#packet;
    packet.time = at + 12;
    packet.captured = this.#view.getUint32(at + 20, this.#littleEndian);
    packet.original = this.#view.getUint32(at + 24, this.#littleEndian);
    packet.frame = at + 28;
  }

  #readSimplePacket(at: number): void {
    const packet = this.#packet;
    // > The Simple Packet Block does not contain the Interface ID field. Therefore, it MUST be assumed
    // > that all the Simple Packet Blocks have been captured on the interface previously specified in
    // > the first Interface Description Block.
    packet.interfaceId = 0;
    packet.time = 0;
    packet.original = this.#view.getUint32(at + 8, this.#littleEndian);
    packet.captured = packet.original;
    packet.frame = at + 12;
    const snapLength = this.#sources[this.#first]?.snapLength ?? 0;
    if (snapLength !== 0 && snapLength < packet.captured) packet.captured = snapLength;
  }

  #append(at: number, batch: PacketBatch): void {
    const log = this.#log;
    const view = this.#view;
    const packet = this.#packet;
    const { captured, frame } = packet;
    if (captured > layout.FRAME_MAX) {
      this.#stop(`captured length ${captured} is more than ${layout.FRAME_MAX}`, at);
      return;
    }
    if (captured > packet.trailer - frame) {
      this.#stop(`captured length ${captured} runs beyond its block`, at);
      return;
    }
    let original = packet.original;
    if (captured > original) {
      log.oddLength(captured, original, at - this.#base);
      original = captured;
    }

    const index = this.#first + packet.interfaceId;
    const source = this.#sources[index];
    if (source === undefined) this.#reportNoInterface(packet.interfaceId, at);
    let flags = this.#readFlags(frame + ((captured + 3) & ~3));

    const record = batch.appendIn(view);
    if (source !== undefined && packet.time !== 0) {
      const high = view.getUint32(packet.time, this.#littleEndian);
      const low = view.getUint32(packet.time + 4, this.#littleEndian);
      const timeAt = record + layout.PACKET_TIMESTAMP;
      if (ticksToTime(view, timeAt, source.clock, high, low)) {
        flags |= layout.PACKET_HAS_TIME;
        const upper = view.getUint32(timeAt + 4, true);
        log.checkTime(upper * 0x100000000 + view.getUint32(timeAt, true), at - this.#base);
      } else {
        log.oddTime("lies before 1970 or after 2554 and is left out", at - this.#base);
      }
    }
    view.setUint32(record + layout.PACKET_FRAME, frame, true);
    view.setUint32(record + layout.PACKET_CAPTURED_LENGTH, captured, true);
    view.setUint32(record + layout.PACKET_ORIGINAL_LENGTH, original, true);
    view.setUint16(record + layout.PACKET_LINK_TYPE, source?.linkType ?? LINK_NOWHERE, true);
    if (source !== undefined) view.setUint16(record + layout.PACKET_CAPTURE_INTERFACE, index, true);
    view.setUint32(record + layout.PACKET_FLAGS, flags, true);
  }

  /** Reads the PACKET_* flags that the options from this address on give. */
  #readFlags(from: number): number {
    const to = this.#packet.trailer;
    if (to <= from) return 0;
    const littleEndian = this.#littleEndian === true;
    const word = readPacketFlags({ view: this.#view, littleEndian, from, to });
    if (typeof word !== "number") {
      const message = `${word.message}: the direction of this packet is taken as unknown (said once)`;
      const finding = { severity: "error", code: "BAD_CAPTURE_BLOCK", message } as const;
      this.#log.once("options", finding, word.at - this.#base);
      return 0;
    }
    let flags = 0;
    // > 0-1: Inbound / Outbound packet (00 = information not available, 01 = inbound, 10 = outbound)
    if ((word & 3) === 1) flags |= layout.PACKET_INBOUND;
    if ((word & 3) === 2) flags |= layout.PACKET_OUTBOUND;
    // > 2-4: Reception type ([...] 100 = promiscuous)
    if (((word >>> 2) & 7) === 4) flags |= layout.PACKET_OTHER_HOST;
    return flags;
  }

  /** The packet is kept, so that numbers stay true; with no link type it stays undecided. */
  #reportNoInterface(id: number, at: number): void {
    const message =
      `a packet is of interface ${id}, which its section does not describe: ` +
      "such packets stay undecided (said once)";
    const finding = { severity: "error", code: "BAD_CAPTURE_BLOCK", message } as const;
    this.#log.once("interface", finding, at - this.#base);
  }

  #startPassing(type: number, total: number, at: number): number {
    if (!PASSED_OVER.has(type)) {
      const message = `blocks of type 0x${type.toString(16)} are not known and passed over (said once)`;
      const finding = { severity: "warning", code: "BAD_CAPTURE_BLOCK", message } as const;
      this.#log.once(`block ${type}`, finding, at - this.#base);
    }
    this.#skippedLength = total;
    this.#skip = total - BLOCK_OVERHEAD;
    return 8;
  }

  /** Passes over what is there of a block; returns how many bytes, 0 when it is not all there or damaged. */
  #pass(at: number): number {
    const step = Math.min(this.#skip, this.#end - at);
    this.#skip -= step;
    const trailer = at + step;
    if (this.#skip > 0 || this.#end - trailer < 4) return step;
    if (!this.#checkTrailer(trailer, this.#skippedLength)) return 0;
    this.#skippedLength = 0;
    return step + 4;
  }

  #checkTrailer(trailer: number, total: number): boolean {
    const repeated = this.#view.getUint32(trailer, this.#littleEndian);
    if (repeated === total) return true;
    this.#stop(`a block of ${total} bytes ends with a total length of ${repeated}`, trailer);
    return false;
  }

  #reportCut(at: number): void {
    const got = this.#end - at;
    let wanted = got;
    if (this.#skippedLength !== 0) wanted = this.#skip + 4;
    else if (got >= BLOCK_OVERHEAD) wanted = this.#view.getUint32(at + 4, this.#littleEndian);
    else if (got > 0 || this.#littleEndian === undefined) wanted = BLOCK_OVERHEAD;
    if (wanted === got) return;
    const message = `the capture ends inside a block: wanted ${wanted} bytes, got ${got}`;
    this.#log.stop("TRUNCATED_CAPTURE", message, at - this.#base);
  }

  #stop(message: string, at: number): 0 {
    this.#log.stop("BAD_CAPTURE_BLOCK", message, at - this.#base);
    return 0;
  }
}
