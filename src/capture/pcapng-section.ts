/**
 * The section of a pcapng file that is being read: its byte order, and the interfaces it describes.
 * Interface numbers start anew in each section; the list that packet records point into goes on.
 */
import * as layout from "../../assembly/layout.ts";
import type { DiagnosticCode } from "../errors.ts";
import type { CaptureInterface } from "./format.ts";
import { byteOrder } from "./pcapng-block.ts";
import { readInterfaceOptions } from "./pcapng-options.ts";
import type { Clock } from "./timestamp.ts";

/** What packet blocks need of their interface. */
export interface Source {
  readonly linkType: number;
  /** 0: no limit. */
  readonly snapLength: number;
  readonly clock: Clock;
}

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

  /** Reads the byte order of the Section Header Block at an address; false when it has none. */
  readByteOrder(view: DataView, at: number): boolean {
    const littleEndian = byteOrder(view, at + 8);
    if (littleEndian === undefined) return false;
    this.littleEndian = littleEndian;
    this.started = true;
    return true;
  }

  /** Starts the section of a whole Section Header Block. */
  start(view: DataView, at: number): SectionFault | undefined {
    const major = view.getUint16(at + 12, this.littleEndian);
    const minor = view.getUint16(at + 14, this.littleEndian);
    // > Some pcapng file writers have used a minor value of 2, but the file format did not change
    if (major !== 1 || (minor !== 0 && minor !== 2)) {
      const message = `pcapng version ${major}.${minor} is not supported, only 1.0`;
      return { code: "BAD_CAPTURE_BLOCK", message, at };
    }
    // The section's length only serves to jump over it; -1 and any other value are ignored.
    this.first = this.interfaces.length;
    return undefined;
  }

  /** Adds the interface of a whole Interface Description Block, whose last word is at `trailer`. */
  addInterface(view: DataView, at: number, trailer: number): SectionFault | undefined {
    if (this.interfaces.length === layout.CAPTURE_INTERFACE_NONE) {
      const message = `the capture has more than ${this.interfaces.length} interfaces`;
      return { code: "LIMIT_EXCEEDED", message, at };
    }
    const { littleEndian } = this;
    const options = readInterfaceOptions({ view, littleEndian, from: at + 16, to: trailer });
    if (options.kind === "fault")
      return { code: "BAD_CAPTURE_BLOCK", message: options.message, at: options.at };
    const linkType = view.getUint16(at + 8, littleEndian);
    const snapLength = view.getUint32(at + 12, littleEndian);
    this.interfaces.push({ name: options.name, linkType });
    this.sources.push({ linkType, snapLength, clock: options.clock });
    return undefined;
  }
}
