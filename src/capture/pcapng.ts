/**
 * Reads pcapng files: several sections of either byte order, the interfaces of each, and every block
 * that holds a packet. Other blocks are passed over without being buffered. Frames stay where they
 * are; a record each points at them. Damage of the block structure ends the capture.
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
import type { OriginalInterface, OriginalPacket, OriginalSection } from "./original.ts";
import * as block from "./pcapng-block.ts";
import { copyOptions, readPacketFlags } from "./pcapng-options.ts";
import { Sections, type SectionFault } from "./pcapng-section.ts";
import { ticksToTime } from "./timestamp.ts";

// Enhanced Packet Block, and the obsolete Packet Block, which differs in the interface's width.
const PACKET_BLOCK_TIME = 12;
const PACKET_BLOCK_CAPTURED_LENGTH = 20;
const PACKET_BLOCK_ORIGINAL_LENGTH = 24;
const PACKET_BLOCK_FRAME = 28;
/** Without frame and options. */
const PACKET_BLOCK_SIZE = 32;

/** No link type is registered here: for packets of interfaces that nothing describes. */
const LINK_NOWHERE = 0xffff;

const NO_OPTIONS = new Uint8Array(0);
/** LINKTYPE_USER0, which has no meaning of its own: what such a packet is written with. */
const NOT_DESCRIBED: OriginalInterface = { linkType: 147, snapLength: 0, options: NO_OPTIONS };

const WORD = 0x100000000;

/** What a block says of its packet. */
interface PacketBlock {
  readonly interfaceId: number;
  readonly captured: number;
  readonly original: number;
  /** Address of the timestamp's upper word; 0 without one. */
  readonly time: number;
  /** Address of the frame. */
  readonly frame: number;
  /** Address of the block's trailing length. */
  readonly trailer: number;
}

/**
 * Capture files of Wireshark and dumpcap.
 *
 * Source: draft-ietf-opsawg-pcapng (PCAP Now Generic).
 */
export const PCAPNG: CaptureFormat = {
  name: "pcapng",
  detect(start) {
    if (start.length < 4) return false;
    const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
    if (view.getUint32(0) !== block.BLOCK_SECTION) return false;
    // A capture cut this early is still told what it is.
    return start.length < block.BLOCK_OVERHEAD || block.byteOrder(view, 8) !== undefined;
  },
  open: (options) => new PcapngReader(options),
};

class PcapngReader implements CaptureReader {
  readonly names = [];
  readonly clock = "epoch";
  readonly #log: CaptureLog;
  readonly #sections: Sections;
  /** Bytes still to pass over, up to the trailing length of a block that is not interpreted. */
  #skip = 0;
  /** Total length of that block, which its end must repeat; 0 without one. */
  #skippedLength = 0;

  // The scan under way.
  #view: DataView = new DataView(new ArrayBuffer(0));
  /** Addresses of the first byte and behind the last. */
  #base = 0;
  #end = 0;

  constructor(options: ReaderOptions) {
    this.#log = new CaptureLog(options);
    this.#sections = new Sections(options.file);
  }

  get section(): OriginalSection | undefined {
    return this.#sections.started ? this.#sections.section : undefined;
  }

  get interfaces(): readonly CaptureInterface[] {
    return this.#sections.interfaces;
  }

  get damaged(): boolean {
    return this.#log.damaged;
  }

  get walkable(): WalkableRecords | undefined {
    const { started, littleEndian, first, sources } = this.#sections;
    if (this.damaged || !started || this.#skippedLength !== 0) return undefined;
    const section = sources
      .slice(first)
      .map(({ linkType, clock: { scale } }) => ({ scale, linkType }));
    return this.#log.walkable({ format: "pcapng", littleEndian, first, sources: section });
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
      at = this.#scanPlainPackets(at + consumed, batch);
    }
    if (last && !batch.full && !this.damaged) this.#reportCut(at);
    const consumed = at - this.#base;
    this.#log.end(consumed);
    return consumed;
  }

  original(view: DataView, at: number): OriginalPacket {
    const frame = view.getUint32(at + layout.PACKET_FRAME, true);
    const captured = view.getUint32(at + layout.PACKET_CAPTURED_LENGTH, true);
    const source =
      this.#sections.sources[view.getUint16(at + layout.PACKET_CAPTURE_INTERFACE, true)];
    const { littleEndian, section } = source ?? this.#sections;
    const packet = {
      section,
      interface: source?.original ?? NOT_DESCRIBED,
      originalLength: view.getUint32(frame - 4, littleEndian),
      frame: new Uint8Array(view.buffer, frame, captured).slice(),
    };
    // A Simple Packet Block has its total length there, which is more than the frame's.
    if (view.getUint32(frame - 8, littleEndian) !== captured)
      return { ...packet, timeHigh: 0, timeLow: 0, options: NO_OPTIONS };
    const start = frame - PACKET_BLOCK_FRAME;
    const from = frame + ((captured + 3) & ~3);
    const to = start + view.getUint32(start + 4, littleEndian) - 4;
    return {
      ...packet,
      timeHigh: view.getUint32(start + PACKET_BLOCK_TIME, littleEndian),
      timeLow: view.getUint32(start + PACKET_BLOCK_TIME + 4, littleEndian),
      options: copyOptions({ view, littleEndian, from, to }, "packet"),
    };
  }

  /**
   * The hot loop: Enhanced Packet Blocks that have no options and nothing odd. All others are left to
   * `#scanBlock`, which decides the same way and says what is wrong. Returns the address it got to.
   */
  #scanPlainPackets(start: number, batch: PacketBatch): number {
    const { littleEndian, sources, first } = this.#sections;
    const log = this.#log;
    const view = this.#view;
    const base = this.#base;
    const end = this.#end;
    let at = start;
    if (this.#skippedLength !== 0) return at;
    while (!batch.full && end - at >= PACKET_BLOCK_SIZE) {
      if (view.getUint32(at, littleEndian) !== block.BLOCK_ENHANCED_PACKET) break;
      const captured = view.getUint32(at + PACKET_BLOCK_CAPTURED_LENGTH, littleEndian);
      const original = view.getUint32(at + PACKET_BLOCK_ORIGINAL_LENGTH, littleEndian);
      if (captured > layout.FRAME_MAX || captured > original) break;
      const total = PACKET_BLOCK_SIZE + ((captured + 3) & ~3);
      if (view.getUint32(at + 4, littleEndian) !== total || total > end - at) break;
      if (view.getUint32(at + total - 4, littleEndian) !== total) break;
      const index = first + view.getUint32(at + 8, littleEndian);
      const source = sources[index];
      if (source === undefined) break;
      const scale = source.clock.scale;
      const product = view.getUint32(at + PACKET_BLOCK_TIME + 4, littleEndian) * scale;
      const carry = Math.floor(product / WORD);
      const upper = view.getUint32(at + PACKET_BLOCK_TIME, littleEndian) * scale + carry;
      if (scale === 0 || upper >= WORD) break;
      log.checkTime((upper - carry) * WORD + product, at - base);

      const record = batch.appendIn(view);
      view.setUint32(record + layout.PACKET_TIMESTAMP, product, true);
      view.setUint32(record + layout.PACKET_TIMESTAMP + 4, upper, true);
      view.setUint32(record + layout.PACKET_FRAME, at + PACKET_BLOCK_FRAME, true);
      view.setUint32(record + layout.PACKET_CAPTURED_LENGTH, captured, true);
      view.setUint32(record + layout.PACKET_ORIGINAL_LENGTH, original, true);
      view.setUint16(record + layout.PACKET_LINK_TYPE, source.linkType, true);
      view.setUint16(record + layout.PACKET_CAPTURE_INTERFACE, index, true);
      view.setUint32(record + layout.PACKET_FLAGS, layout.PACKET_HAS_TIME, true);
      at += total;
    }
    return at;
  }

  /** Scans one block; returns how many bytes it took, 0 when it is not all there or damaged. */
  #scanBlock(at: number, batch: PacketBatch): number {
    const left = this.#end - at;
    if (left < block.BLOCK_OVERHEAD) return 0;
    const view = this.#view;
    const sections = this.#sections;
    const type = view.getUint32(at, sections.littleEndian);
    if (type === block.BLOCK_SECTION) {
      if (!sections.readByteOrder(view, at))
        return this.#stop("the section has no byte-order magic", at);
    } else if (!sections.started) {
      return this.#stop("the capture does not start with a section header", at);
    }

    const total = view.getUint32(at + 4, sections.littleEndian);
    const smallest = block.smallestLength(type);
    if (total < Math.max(smallest, block.BLOCK_OVERHEAD) || total % 4 !== 0)
      return this.#stop(`a block of type ${type} cannot have a total length of ${total}`, at);
    const largest = smallest === 0 ? block.BLOCK_MAX : block.WHOLE_BLOCK_MAX;
    if (total > largest) {
      const message = `a block of type ${type} has ${total} bytes, more than the limit of ${largest}`;
      return this.#stopFor({ code: "LIMIT_EXCEEDED", message, at });
    }
    if (smallest === 0) return this.#startPassing(type, total, at);

    if (total > left) return 0;
    const trailer = at + total - 4;
    if (!this.#checkTrailer(trailer, total)) return 0;
    let fault: SectionFault | undefined;
    switch (type) {
      case block.BLOCK_SECTION:
        fault = sections.start(view, at, trailer);
        break;
      case block.BLOCK_INTERFACE:
        fault = sections.addInterface(view, at, trailer);
        if (fault === undefined)
          this.#log.checkLinkType(sections.sources.at(-1)?.linkType ?? 0, at - this.#base);
        break;
      case block.BLOCK_SIMPLE_PACKET:
        fault = this.#append(this.#simplePacket(at, trailer), at, batch);
        break;
      case block.BLOCK_ENHANCED_PACKET:
      case block.BLOCK_OLD_PACKET:
        fault = this.#append(this.#packet(type, at, trailer), at, batch);
        break;
    }
    return fault === undefined ? total : this.#stopFor(fault);
  }

  #packet(type: number, at: number, trailer: number): PacketBlock {
    const view = this.#view;
    const { littleEndian } = this.#sections;
    return {
      interfaceId:
        type === block.BLOCK_OLD_PACKET
          ? view.getUint16(at + 8, littleEndian)
          : view.getUint32(at + 8, littleEndian),
      captured: view.getUint32(at + PACKET_BLOCK_CAPTURED_LENGTH, littleEndian),
      original: view.getUint32(at + PACKET_BLOCK_ORIGINAL_LENGTH, littleEndian),
      time: at + PACKET_BLOCK_TIME,
      frame: at + PACKET_BLOCK_FRAME,
      trailer,
    };
  }

  #simplePacket(at: number, trailer: number): PacketBlock {
    const original = this.#view.getUint32(at + 8, this.#sections.littleEndian);
    // > The Simple Packet Block does not contain the Interface ID field. Therefore, it MUST be assumed
    // > that all the Simple Packet Blocks have been captured on the interface previously specified in
    // > the first Interface Description Block.
    const snapLength = this.#sections.sources[this.#sections.first]?.snapLength ?? 0;
    const captured = snapLength === 0 ? original : Math.min(original, snapLength);
    return { interfaceId: 0, captured, original, time: 0, frame: at + 12, trailer };
  }

  #append(packet: PacketBlock, at: number, batch: PacketBatch): SectionFault | undefined {
    const { captured, frame, trailer } = packet;
    const position = at - this.#base;
    const tooLong =
      captured > layout.FRAME_MAX
        ? `is more than ${layout.FRAME_MAX}`
        : captured > trailer - frame
          ? "runs beyond its block"
          : undefined;
    if (tooLong !== undefined)
      return { code: "BAD_CAPTURE_BLOCK", message: `captured length ${captured} ${tooLong}`, at };
    if (captured > packet.original) this.#log.oddLength(captured, packet.original, position);

    const view = this.#view;
    const index = this.#sections.first + packet.interfaceId;
    const source = this.#sections.sources[index];
    if (source === undefined) this.#reportNoInterface(packet.interfaceId, position);
    // What lies behind the frame of a Simple Packet Block is padding.
    let flags = packet.time === 0 ? 0 : this.#readFlags(frame + ((captured + 3) & ~3), trailer);

    if (source !== undefined && packet.time !== 0) {
      const high = view.getUint32(packet.time, this.#sections.littleEndian);
      const low = view.getUint32(packet.time + 4, this.#sections.littleEndian);
      // Into the record that is appended below: what is odd is reported of the packet to come.
      const timeAt = batch.recordAt(batch.count) + layout.PACKET_TIMESTAMP;
      if (ticksToTime(view, timeAt, source.clock, high, low)) {
        flags |= layout.PACKET_HAS_TIME;
        const upper = view.getUint32(timeAt + 4, true);
        this.#log.checkTime(upper * WORD + view.getUint32(timeAt, true), position);
      } else {
        this.#log.oddTime("lies before 1970 or after 2554 and is left out", position);
      }
    }
    const record = batch.appendIn(view);
    view.setUint32(record + layout.PACKET_FRAME, frame, true);
    view.setUint32(record + layout.PACKET_CAPTURED_LENGTH, captured, true);
    const original = Math.max(captured, packet.original);
    view.setUint32(record + layout.PACKET_ORIGINAL_LENGTH, original, true);
    view.setUint16(record + layout.PACKET_LINK_TYPE, source?.linkType ?? LINK_NOWHERE, true);
    if (source !== undefined) view.setUint16(record + layout.PACKET_CAPTURE_INTERFACE, index, true);
    view.setUint32(record + layout.PACKET_FLAGS, flags, true);
    return undefined;
  }

  /** Reads the PACKET_* flags that the options between two addresses give. */
  #readFlags(from: number, to: number): number {
    if (to <= from) return 0;
    const { littleEndian } = this.#sections;
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
  #reportNoInterface(id: number, position: number): void {
    const message =
      `a packet is of interface ${id}, which its section does not describe: ` +
      "such packets stay undecided (said once)";
    const finding = { severity: "error", code: "BAD_CAPTURE_BLOCK", message } as const;
    this.#log.once("interface", finding, position);
  }

  #startPassing(type: number, total: number, at: number): number {
    if (!block.holdsNoPacket(type)) {
      const message = `blocks of type 0x${type.toString(16)} are not known and passed over (said once)`;
      const finding = { severity: "warning", code: "BAD_CAPTURE_BLOCK", message } as const;
      this.#log.once("block", finding, at - this.#base);
    }
    this.#skippedLength = total;
    this.#skip = total - block.BLOCK_OVERHEAD;
    return 8;
  }

  /** Passes over what is there of a block; returns how many bytes, 0 when there are none or damaged. */
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
    const repeated = this.#view.getUint32(trailer, this.#sections.littleEndian);
    if (repeated === total) return true;
    this.#stop(`a block of ${total} bytes ends with a total length of ${repeated}`, trailer);
    return false;
  }

  #reportCut(at: number): void {
    const got = this.#end - at;
    const { started, littleEndian } = this.#sections;
    let wanted = got;
    if (this.#skippedLength !== 0) wanted = this.#skip + 4;
    else if (got >= block.BLOCK_OVERHEAD) wanted = this.#view.getUint32(at + 4, littleEndian);
    else if (got > 0 || !started) wanted = block.BLOCK_OVERHEAD;
    if (wanted === got) return;
    const message = `the capture ends inside a block: wanted ${wanted} bytes, got ${got}`;
    this.#stopFor({ code: "TRUNCATED_CAPTURE", message, at });
  }

  #stop(message: string, at: number): 0 {
    return this.#stopFor({ code: "BAD_CAPTURE_BLOCK", message, at });
  }

  #stopFor(fault: SectionFault): 0 {
    this.#log.stop(fault.code, fault.message, fault.at - this.#base);
    return 0;
  }
}
