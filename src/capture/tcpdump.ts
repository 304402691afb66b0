/**
 * Reads tcpdump's text as people paste it. One record is one packet: what its words say goes into the
 * packet record with the KNOWN bits of exactly that; a hex dump's bytes go into the batch as a frame.
 * What looks like a packet and cannot be read is reported, everything else between records is passed over.
 */
import * as layout from "../../assembly/layout.ts";
import type { PacketBatch } from "./batch.ts";
import type {
  CaptureClock,
  CaptureFormat,
  CaptureInterface,
  CaptureReader,
  ReaderOptions,
  TextLayout,
  WalkableRecords,
} from "./format.ts";
import { advanceClock, startClock, type TextClock } from "./tcpdump-clock.ts";
import { parseHead, type Head } from "./tcpdump-head.ts";
import { frameOf, makeDump } from "./tcpdump-hex.ts";
import { cleanLine, findPacketTrace, type Line, LINE_MAX } from "./tcpdump-line.ts";
import { TextLog } from "./tcpdump-log.ts";
import { NameTable } from "./tcpdump-names.ts";
import { clearPacket, orFlags, writePacket, type TextPacket } from "./tcpdump-packet.ts";
import { addLine, startRecord, type TextRecord } from "./tcpdump-record.ts";

/**
 * The text that tcpdump prints.
 *
 * Source: tcpdump(8), and tcpdump's print-*.c for the forms of each protocol.
 */
export const TCPDUMP: CaptureFormat = {
  name: "tcpdump",
  detect: (start) => detectText(start),
  open: (options) => new TcpdumpReader(options),
};

const LF = 10;
/** Longer records are ended where they are; only a dump of the largest frame comes near. */
const RECORD_MAX = layout.BLOCK_SIZE / 2 + layout.BLOCK_SIZE / 4;

/** A line of the text, and where the next one starts. */
interface FoundLine {
  readonly line: Line;
  readonly next: number;
}

interface FoundRecord {
  readonly record: TextRecord;
  readonly next: number;
  readonly lines: number;
}

class TcpdumpReader implements CaptureReader {
  // Only a damaged container stops a reader; a text always goes on at the next line.
  readonly damaged = false;
  readonly interfaces: CaptureInterface[] = [];
  readonly #log: TextLog;
  readonly #names: NameTable;
  readonly #interfaceByName = new Map<string, number>();
  readonly #clock = startClock();
  readonly #packet: TextPacket = {};
  readonly #dump = makeDump();
  /** 1-based number of the first line that is not consumed. */
  #number = 1;
  /** The interface of `listening on`, until the next command. */
  #listening: string | undefined;
  /** Inside a line that is longer than any that tcpdump prints. */
  #skipping = false;

  constructor(options: ReaderOptions) {
    this.#log = new TextLog(options);
    this.#names = new NameTable(options, this.#log);
  }

  get clock(): CaptureClock | undefined {
    return this.#clock.kind;
  }

  get names(): readonly string[] {
    return this.#names.names;
  }

  get walkable(): WalkableRecords | undefined {
    const clock = this.#clock;
    if (this.#skipping) return undefined;
    const { days, seconds = 0 } = clock;
    const timing = timingOf(clock);
    const name = this.#listening;
    const captureInterface = name === undefined ? undefined : this.#interfaceIndex(name);
    return {
      layout: { format: "tcpdump", timing, days, seconds, captureInterface },
      latest: BigInt(clock.base > 0 ? clock.base : clock.last),
      pass: ({ packets, latest }) => {
        if (packets === 0) return;
        this.#number += packets;
        if (timing === "day") clock.seconds = Number(latest / 1_000_000_000n) - days * 86_400;
        if (timing === "rising") clock.last = Number(latest);
        if (timing === "summed") clock.base = Number(latest);
      },
    };
  }

  scan(bytes: Uint8Array, batch: PacketBatch, last: boolean): number {
    let position = 0;
    while (!batch.full) {
      position += this.#skipLongLine(bytes.subarray(position));
      const found = this.#lineAt(bytes, position, last);
      if (found === undefined) break;
      clearPacket(this.#packet);
      const head = parseHead(found.line.text, this.#packet);
      if (head === undefined) {
        this.#passOver(found.line);
        this.#number += 1;
        position = found.next;
        continue;
      }
      const gathered = this.#gather(bytes, found, head, last);
      if (gathered === undefined || !this.#append(gathered.record, batch)) break;
      this.#number += gathered.lines;
      position = gathered.next;
    }
    if (last && position === bytes.length) this.#log.finish();
    return position;
  }

  /** Finds the line at a position; undefined when its end is not there yet. */
  #lineAt(bytes: Uint8Array, position: number, last: boolean): FoundLine | undefined {
    if (position >= bytes.length) return undefined;
    const limit = Math.min(bytes.length, position + LINE_MAX);
    const lineFeed = bytes.subarray(position, limit).indexOf(LF);
    if (lineFeed >= 0) {
      const end = position + lineFeed;
      return { line: cleanLine(decodeText(bytes.subarray(position, end))), next: end + 1 };
    }
    const whole = limit === position + LINE_MAX;
    if (!whole && !last) return undefined;
    if (whole) this.#skipping = true;
    return { line: cleanLine(decodeText(bytes.subarray(position, limit))), next: limit };
  }

  /** Steps over the rest of an overlong line; returns how many bytes. */
  #skipLongLine(bytes: Uint8Array): number {
    if (!this.#skipping) return 0;
    const lineFeed = bytes.indexOf(LF);
    if (lineFeed < 0) return bytes.length;
    this.#skipping = false;
    return lineFeed + 1;
  }

  /** Gathers the record that starts at a head line; undefined when its end is not there yet. */
  #gather(bytes: Uint8Array, first: FoundLine, head: Head, last: boolean): FoundRecord | undefined {
    const record = startRecord(first.line, head, this.#packet, this.#dump);
    const start = first.next;
    let next = first.next;
    let lines = 1;
    while (next - start < RECORD_MAX && !this.#skipping) {
      const found = this.#lineAt(bytes, next, last);
      if (found === undefined) return last ? { record, next, lines } : undefined;
      if (!addLine(record, found.line)) {
        this.#skipping = false;
        break;
      }
      next = found.next;
      lines += 1;
    }
    return { record, next, lines };
  }

  /** Appends a record's packet; false when the batch has no more room for its bytes. */
  #append(record: TextRecord, batch: PacketBatch): boolean {
    const { head, packet, outcome } = record;
    const readable = outcome === "done" && head.link !== "unreadable";
    // tcpdump dumps what it does not know, with its link header cut off: such bytes are no packet.
    const isIp = head.link === "ipv4" || head.link === "ipv6";
    const frame = isIp ? frameOf(record.dump, packet) : undefined;
    if (frame === undefined && !readable) {
      this.#log.unreadableLine(record.first, this.#number, head.rest, reasonOf(record));
      return true;
    }
    let at: number;
    if (frame === undefined) {
      const ends = this.#names.resolve(packet, this.#number);
      at = batch.append();
      writePacket(batch, at, packet, ends);
      if (packet.unknownService !== undefined)
        this.#log.unknownService(packet.unknownService, this.#number);
    } else {
      const bytes = record.dump.bytes.subarray(frame.from, record.dump.length);
      const address = batch.reserve(bytes.length);
      if (address === undefined) return false;
      new Uint8Array(batch.view.buffer, address, bytes.length).set(bytes);
      at = batch.appendFrame({
        frame: address,
        capturedLength: bytes.length,
        originalLength: frame.originalLength,
        linkType: frame.linkType,
        captureInterface: layout.CAPTURE_INTERFACE_NONE,
      });
    }
    this.#writeHead(batch.view, at, head);
    return true;
  }

  /** Writes time, interface and direction. */
  #writeHead(view: DataView, at: number, head: Head): void {
    if (head.time !== undefined) {
      const { nanoseconds, timeOfDay } = advanceClock(this.#clock, head.time);
      view.setBigUint64(at + layout.PACKET_TIMESTAMP, nanoseconds, true);
      const dated = timeOfDay ? layout.PACKET_TIME_OF_DAY : 0;
      const local = head.time.days === undefined ? 0 : layout.PACKET_LOCAL_TIME;
      orFlags(view, at, layout.PACKET_HAS_TIME | dated | local);
    }
    if (head.direction === "Out") orFlags(view, at, layout.PACKET_OUTBOUND);
    if (head.direction === "P") orFlags(view, at, layout.PACKET_OTHER_HOST);
    if (head.direction === "In" || head.direction === "B" || head.direction === "M")
      orFlags(view, at, layout.PACKET_INBOUND);
    const name = head.interfaceName ?? (head.direction === undefined ? this.#listening : undefined);
    if (name !== undefined)
      view.setUint16(at + layout.PACKET_CAPTURE_INTERFACE, this.#interfaceIndex(name), true);
  }

  #interfaceIndex(name: string): number {
    const known = this.#interfaceByName.get(name);
    if (known !== undefined) return known;
    const index = this.interfaces.length;
    if (index >= layout.CAPTURE_INTERFACE_NONE) return layout.CAPTURE_INTERFACE_NONE;
    this.interfaces.push({ name, linkType: layout.LINK_RAW });
    this.#interfaceByName.set(name, index);
    return index;
  }

  /** Passes over a line between records, unless it looks like a packet. */
  #passOver(line: Line): void {
    const { text } = line;
    const listening = /\blistening on ([^\s,]{1,64}), link-type /.exec(text)?.[1];
    if (listening !== undefined) this.#listening = listening === "any" ? undefined : listening;
    // A command of which we do not know the interface yet.
    else if (/\btcpdump /.test(text)) this.#listening = undefined;
    const trace = findPacketTrace(text);
    if (trace >= 0)
      this.#log.unreadableLine(line, this.#number, trace, "its head line is missing or damaged");
  }
}

/** Deltas that have not fallen yet may count from the first packet; those of `-ttt` fall soon. */
function timingOf({ kind, base }: TextClock): TextLayout["timing"] {
  if (kind !== "first-packet") return kind ?? "none";
  return base > 0 ? "summed" : "rising";
}

function reasonOf(record: TextRecord): string {
  if (record.head.link === "unreadable") return "nothing says what the frame holds";
  if (record.outcome === "more") return "the text ends before source and destination";
  return "source and destination are expected here";
}

const decoder = new TextDecoder();

function decodeText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Text, and at least one of its lines is the head of a record. */
function detectText(start: Uint8Array): boolean {
  if (start.includes(0)) return false;
  const packet: TextPacket = {};
  return decodeText(start)
    .split("\n")
    .some((line) => {
      if (line.length > LINE_MAX) return false;
      clearPacket(packet);
      const head = parseHead(cleanLine(line).text, packet);
      return head !== undefined && (head.link !== "unreadable" || packet.etherType !== undefined);
    });
}
