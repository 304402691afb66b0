/**
 * The section of a pcapng file that is being read: its byte order, and the interfaces it describes.
 * Interface numbers start anew in each section; the list that packet records point into goes on.
 */
import * as layout from "../../assembly/layout.ts";
import type { DiagnosticCode } from "../errors.ts";
import type { CaptureInterface } from "./format.ts";
import type { OriginalInterface, OriginalSection } from "./original.ts";
import { byteOrder } from "./pcapng-block.ts";
import { copyOptions, readInterfaceOptions } from "./pcapng-options.ts";
import type { Clock } from "./timestamp.ts";

/** What packet blocks need of their interface. */
export interface Source {
  readonly linkType: number;
  /** 0: no limit. */
  readonly snapLength: number;
  readonly clock: Clock;
  /** Of its section. */
  readonly littleEndian: boolean;
  readonly section: OriginalSection;
  readonly original: OriginalInterface;
}

/** Options of all sections and interfaces that are kept, in bytes: more than any capture program writes. */
const OPTIONS_MAX = 1 << 26;

/** Why a section or an interface cannot be read. */
export interface SectionFault {
  readonly code: DiagnosticCode;
  readonly message: string;
  /** Address of what is wrong. */
  readonly at: number;
}

/** The sections of one capture, one after the other. */
export class Sections {
  /** Over all sections. */
  readonly interfaces: CaptureInterface[] = [];
  /** Beside `interfaces`, one for one. */
  readonly sources: Source[] = [];
  /** Index of the section's interface 0. */
  first = 0;
  /** Set by `readByteOrder`; of no meaning before the first section. */
  littleEndian = true;
  started = false;
  section: OriginalSection;
  #optionBytes = 0;

  constructor(file: string) {
    this.section = { file, options: new Uint8Array(0), interfaces: [] };
  }

  /** Reads the byte order of the Section Header Block at an address; false when it has none. */
  readByteOrder(view: DataView, at: number): boolean {
    const littleEndian = byteOrder(view, at + 8);
    if (littleEndian === undefined) return false;
    this.littleEndian = littleEndian;
    this.started = true;
    return true;
  }

  /** Starts the section of a whole Section Header Block, whose last word is at `trailer`. */
  start(view: DataView, at: number, trailer: number): SectionFault | undefined {
    const major = view.getUint16(at + 12, this.littleEndian);
    const minor = view.getUint16(at + 14, this.littleEndian);
    // > Some pcapng file writers have used a minor value of 2, but the file format did not change
    if (major !== 1 || (minor !== 0 && minor !== 2)) {
      const message = `pcapng version ${major}.${minor} is not supported, only 1.0`;
      return { code: "BAD_CAPTURE_BLOCK", message, at };
    }
    // The section's length only serves to jump over it; -1 and any other value are ignored.
    this.first = this.interfaces.length;
    const { littleEndian } = this;
    const options = copyOptions({ view, littleEndian, from: at + 24, to: trailer }, "section");
    this.section = { file: this.section.file, options, interfaces: [] };
    return this.#count(options, at);
  }

  /** Adds the interface of a whole Interface Description Block, whose last word is at `trailer`. */
  addInterface(view: DataView, at: number, trailer: number): SectionFault | undefined {
    if (this.interfaces.length === layout.CAPTURE_INTERFACE_NONE) {
      const message = `the capture has more than ${this.interfaces.length} interfaces`;
      return { code: "LIMIT_EXCEEDED", message, at };
    }
    const { littleEndian } = this;
    const list = { view, littleEndian, from: at + 16, to: trailer };
    const options = readInterfaceOptions(list);
    if (options.kind === "fault")
      return { code: "BAD_CAPTURE_BLOCK", message: options.message, at: options.at };
    const linkType = view.getUint16(at + 8, littleEndian);
    const snapLength = view.getUint32(at + 12, littleEndian);
    this.interfaces.push({ name: options.name, linkType });
    const { section } = this;
    const original = { linkType, snapLength, options: copyOptions(list, "interface") };
    section.interfaces.push(original);
    const { clock } = options;
    this.sources.push({ linkType, snapLength, clock, littleEndian, section, original });
    return this.#count(original.options, at);
  }

  #count(options: Uint8Array, at: number): SectionFault | undefined {
    this.#optionBytes += options.length;
    if (this.#optionBytes <= OPTIONS_MAX) return undefined;
    const message = `the options of the capture's interfaces have more than ${OPTIONS_MAX} bytes`;
    return { code: "LIMIT_EXCEEDED", message, at };
  }
}
