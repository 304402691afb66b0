/**
 * Writes packets of captures to a pcapng file: each as it was captured, with a comment and a verdict
 * behind the options it has. Gives bytes; whoever asks for them writes them.
 */
import type { OriginalInterface, OriginalPacket, OriginalSection } from "./original.ts";
import {
  BLOCK_ENHANCED_PACKET,
  BLOCK_INTERFACE,
  BLOCK_OVERHEAD,
  BLOCK_SECTION,
  BYTE_ORDER_MAGIC,
} from "./pcapng-block.ts";
import { commentOption, verdictOption } from "./pcapng-options.ts";

/** What is said of a packet. */
export interface Annotation {
  readonly comment: string;
  /** Undefined: none is known, or nobody gave one. */
  readonly verdict: "pass" | "drop" | undefined;
}

/** TC_ACT_OK and TC_ACT_SHOT of Linux, include/uapi/linux/pkt_cls.h. */
const VERDICT_OPTIONS = { pass: verdictOption(0), drop: verdictOption(2) } as const;
const NO_OPTIONS = new Uint8Array(0);
const END_OF_OPTIONS = new Uint8Array(4);
/** > If it is not specified (-1), the Section Length is not known */
const NO_LENGTH = 0xffffffff;

/**
 * Makes the bytes of one file. Sections and interfaces are those of the capture; packets of several
 * captures are in one section, as they come in turns.
 */
export class PcapngWriter {
  /** Names of the captures. */
  readonly #files: readonly string[];
  #section: OriginalSection | undefined;
  #started = false;
  /** Numbers of the interfaces that the section of the file has. */
  readonly #numbers = new Map<OriginalInterface, number>();
  #bytes = new Uint8Array(1 << 16);
  #used = 0;

  constructor(files: readonly string[]) {
    this.#files = files;
  }

  /** Adds a packet. */
  add(packet: OriginalPacket, { comment, verdict }: Annotation): void {
    const { section, frame } = packet;
    this.#startSection(section);
    let number = this.#numbers.get(packet.interface);
    if (number === undefined) {
      // In the order of the capture, so that an interface keeps its number; those behind it come later.
      const place = section.interfaces.indexOf(packet.interface);
      this.#describe(section, section.interfaces.slice(0, Math.max(0, place)));
      number = this.#addInterface(section, packet.interface);
    }
    this.#block(
      BLOCK_ENHANCED_PACKET,
      [number, packet.timeHigh, packet.timeLow, frame.length, packet.originalLength],
      [
        frame,
        packet.options,
        commentOption(comment),
        verdict === undefined ? NO_OPTIONS : VERDICT_OPTIONS[verdict],
        END_OF_OPTIONS,
      ],
    );
  }

  /** Describes what has no packet: a file without any is one, too. */
  finish(sections: readonly OriginalSection[]): void {
    for (const section of sections) {
      if (this.#started && this.#files.length === 1 && section !== this.#section) continue;
      this.#startSection(section);
      this.#describe(section, section.interfaces);
    }
    this.#startSection(undefined);
  }

  /** Takes the bytes that were made since the last time; they are valid until the next packet. */
  take(): Uint8Array {
    const bytes = this.#bytes.subarray(0, this.#used);
    this.#used = 0;
    return bytes;
  }

  #startSection(section: OriginalSection | undefined): void {
    const merged = this.#files.length > 1;
    if (this.#started && (merged || section === undefined || section === this.#section)) return;
    this.#started = true;
    this.#section = section;
    this.#numbers.clear();
    const options = merged
      ? commentOption(`packets in the order of their times, from ${this.#files.join(", ")}`)
      : (section?.options ?? NO_OPTIONS);
    // Version 1.0.
    this.#block(BLOCK_SECTION, [BYTE_ORDER_MAGIC, 1, NO_LENGTH, NO_LENGTH], withEnd(options));
  }

  #describe(section: OriginalSection, interfaces: readonly OriginalInterface[]): void {
    for (const each of interfaces) {
      if (!this.#numbers.has(each)) this.#addInterface(section, each);
    }
  }

  #addInterface(section: OriginalSection, added: OriginalInterface): number {
    const number = this.#numbers.size;
    this.#numbers.set(added, number);
    const { linkType, snapLength, options } = added;
    const from = this.#files.length > 1 ? commentOption(`from ${section.file}`) : NO_OPTIONS;
    this.#block(BLOCK_INTERFACE, [linkType, snapLength], withEnd(options, from));
    return number;
  }

  /** Adds a block: its words, then its parts, each padded to whole words. */
  #block(type: number, words: readonly number[], parts: readonly Uint8Array[]): void {
    const body = parts.reduce((sum, part) => sum + padded(part.length), 4 * words.length);
    const total = body + BLOCK_OVERHEAD;
    const start = this.#used;
    this.#makeRoom(total);
    const view = new DataView(this.#bytes.buffer);
    view.setUint32(start, type, true);
    view.setUint32(start + 4, total, true);
    let at = start + 8;
    for (const word of words) {
      view.setUint32(at, word, true);
      at += 4;
    }
    for (const part of parts) {
      this.#bytes.set(part, at);
      this.#bytes.fill(0, at + part.length, at + padded(part.length));
      at += padded(part.length);
    }
    view.setUint32(at, total, true);
    this.#used = at + 4;
  }

  #makeRoom(size: number): void {
    if (this.#used + size <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#used + size));
    larger.set(this.#bytes.subarray(0, this.#used));
    this.#bytes = larger;
  }
}

function withEnd(...options: readonly Uint8Array[]): readonly Uint8Array[] {
  return options.some(({ length }) => length > 0) ? [...options, END_OF_OPTIONS] : [];
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
