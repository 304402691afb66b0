/**
 * What a capture format is, and the batch that its reader fills. Readers scan bytes that already lie
 * in the matcher's memory and write packet records beside them: no packet becomes an object.
 */
import type { Address, Family } from "../net/address.ts";
import type { OnDiagnostic } from "../errors.ts";
import type { PacketBatch } from "./batch.ts";
import type { OriginalPacket, OriginalSection } from "./original.ts";

/** One capture format. A new one is a file with one of these and a line in `index.ts`. */
export interface CaptureFormat {
  readonly name: "pcap" | "pcapng" | "tcpdump";
  /**
   * Tells whether a capture that starts with these bytes is of this format.
   *
   * @param start the first bytes of the capture, 64 KiB at most, fewer only if the capture is shorter
   */
  detect(start: Uint8Array): boolean;
  /** Opens a reader at the capture's first byte. */
  open(options: ReaderOptions): CaptureReader;
}

/** What every reader is given. */
export interface ReaderOptions {
  /** For the places of diagnostics. */
  readonly file: string;
  readonly onDiagnostic: OnDiagnostic;
  /** Finds the address of a host name in a text capture; undefined when nobody knows it. */
  readonly resolveName?: (name: string, family?: Family) => Address | undefined;
}

/** An interface that the capture names. */
export interface CaptureInterface {
  /** Undefined when the capture gives only a number. */
  readonly name: string | undefined;
  readonly linkType: number;
  /** The number that the node it was captured on gives it; undefined when the capture does not tell. */
  readonly index?: number;
}

/** How the records of a capture lie, for the matcher to walk them itself. */
export type RecordLayout = PcapLayout | PcapngLayout | TextLayout;

/** The next records of a capture. */
export interface WalkableRecords {
  readonly layout: RecordLayout;
  /** The latest time before them, nanoseconds. */
  readonly latest: bigint;
  /** Goes on behind those that the matcher has walked, of which none was odd. */
  pass(walked: Walked): void;
}

/** Records of a pcap file. */
export interface PcapLayout {
  readonly format: "pcap";
  readonly littleEndian: boolean;
  readonly headerSize: number;
  /** Nanoseconds in one unit of the timestamps' fraction. */
  readonly unit: number;
  readonly snapLength: number;
  readonly linkType: number;
}

/** Blocks of the pcapng section under way. */
export interface PcapngLayout {
  readonly format: "pcapng";
  readonly littleEndian: boolean;
  /** What the section's interface 0 is in `interfaces`. */
  readonly first: number;
  /** The section's interfaces: nanoseconds in a tick (0: an unusual clock), and the link type. */
  readonly sources: readonly { readonly scale: number; readonly linkType: number }[];
}

/** Lines of a text, which have their times in front all in one form, or none. */
export interface TextLayout {
  readonly format: "tcpdump";
  /** `rising` and `summed`: since the first packet, and since the one before, summed up. */
  readonly timing: "none" | Exclude<CaptureClock, "first-packet"> | "rising" | "summed";
  /** Of times of day: days since the first. */
  readonly days: number;
  /** Of times of day: the last one, in seconds. */
  readonly seconds: number;
  /** The interface that the text was captured on; undefined where it does not say. */
  readonly captureInterface: number | undefined;
}

/** What the matcher walked of a capture. */
export interface Walked {
  readonly bytes: number;
  readonly packets: number;
  /** The latest time so far, nanoseconds; of a text, that of the last packet. */
  readonly latest: bigint;
}

/**
 * What the times of a capture count from: 1970 in UTC, dates without a time zone (taken as UTC),
 * midnight of an unknown day, or the capture's own first packet.
 */
export type CaptureClock = "epoch" | "calendar" | "day" | "first-packet";

/** A capture being read. Holds a few counters and, for pcapng, the sections' interfaces. */
export interface CaptureReader {
  /** Grows as the capture is read; PACKET_CAPTURE_INTERFACE is an index into it. */
  readonly interfaces: readonly CaptureInterface[];
  /** Host names that nobody resolved; PACKET_SRC_NAME is an index into it, plus one. */
  readonly names: readonly string[];
  /** That of the first packet with a time; undefined before it. */
  readonly clock: CaptureClock | undefined;
  /** True after damage that reading cannot go past (a diagnostic was reported). */
  readonly damaged: boolean;
  /**
   * Scans bytes and appends a record for each packet, until the bytes run out or the batch is full.
   * A record that is cut by the end of the bytes is left for the next call, which presents the
   * unconsumed bytes again with more behind them; when `last` is set there is no more, and a cut record
   * is damage (TRUNCATED_CAPTURE, an error with offset and packet number).
   *
   * @param bytes the unconsumed bytes, a view of the memory that holds the batch
   * @param last  no bytes come after these
   * @returns how many bytes were consumed
   */
  scan(bytes: Uint8Array, batch: PacketBatch, last: boolean): number;
  /** The next records; undefined where the matcher cannot walk them, or not yet. */
  readonly walkable?: WalkableRecords | undefined;
  /** The section being read; undefined before the first, and of text, which has no frames. */
  readonly section?: OriginalSection | undefined;
  /** Copies the packet of a record that was appended last or before, while its bytes are there. */
  original?(view: DataView, at: number): OriginalPacket;
}
