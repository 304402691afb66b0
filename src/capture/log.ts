/**
 * Where a reader of a binary capture stands, and what it has reported. Every diagnostic of pcap and
 * pcapng gets its byte offset and packet number here; what can happen at every packet is said once.
 */
import * as layout from "../../assembly/layout.ts";
import type { Diagnostic, DiagnosticCode } from "../errors.ts";
import type { PacketBatch } from "./batch.ts";
import type { ReaderOptions, RecordLayout, WalkableRecords } from "./format.ts";

const SUPPORTED_LINKS: ReadonlySet<number> = new Set([
  layout.LINK_NULL,
  layout.LINK_ETHERNET,
  layout.LINK_RAW,
  layout.LINK_LOOP,
  layout.LINK_LINUX_SLL,
  layout.LINK_IPV4,
  layout.LINK_IPV6,
  layout.LINK_LINUX_SLL2,
  layout.LINK_RAW_BSD,
  layout.LINK_RAW_OPENBSD,
]);

/** Nanoseconds that packets of several queues and interfaces may be out of order without a word. */
const DISORDER = 1e9;
const LAST_TIME = (1n << 64n) - 1n;

/** The diagnostics of one reader. Positions are byte counts from the start of the scanned bytes. */
export class CaptureLog {
  /** True after `stop`. */
  damaged = false;
  readonly #options: ReaderOptions;
  readonly #said = new Set<string>();
  /** Offset in the capture of the bytes being scanned. */
  #offset = 0;
  /** Packets of the capture before the batch being filled. */
  #packets = 0;
  #batch: PacketBatch | undefined;
  /** The latest timestamp so far, in nanoseconds; a double is precise enough to compare. */
  #latest = 0;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** Starts a scan that appends to `batch`. */
  begin(batch: PacketBatch): void {
    this.#batch = batch;
    this.#packets -= batch.count;
  }

  /** Ends a scan that consumed this many bytes. */
  end(consumed: number): void {
    this.#packets += this.#batch?.count ?? 0;
    this.#batch = undefined;
    this.#offset += consumed;
  }

  /** The next records as something that the matcher can walk. */
  walkable(layout: RecordLayout): WalkableRecords {
    const latest = BigInt(this.#latest);
    return {
      layout,
      // The double next to the last of all times is 2^64.
      latest: latest > LAST_TIME ? LAST_TIME : latest,
      pass: ({ bytes, packets, latest }) => {
        this.#offset += bytes;
        this.#packets += packets;
        this.#latest = Math.max(this.#latest, Number(latest));
      },
    };
  }

  /** Reports damage that reading cannot go past. */
  stop(code: DiagnosticCode, message: string, position: number): void {
    this.damaged = true;
    this.#report("error", code, message, position);
  }

  /** Reports what reading can go past, the first time only; `key` tells what it is. */
  once(key: string, finding: Omit<Diagnostic, "place">, position: number): void {
    if (this.#said.has(key)) return;
    this.#said.add(key);
    this.#report(finding.severity, finding.code, finding.message, position);
  }

  /** Reports a link type whose frames nobody here can decode. */
  checkLinkType(linkType: number, position: number): void {
    if (SUPPORTED_LINKS.has(linkType)) return;
    const message = `link type ${linkType} is not supported: its packets stay undecided`;
    this.once(
      `link type ${linkType}`,
      { severity: "warning", code: "UNSUPPORTED_LINK_TYPE", message },
      position,
    );
  }

  /** Reports a captured length above the original one, which no capture program should write. */
  oddLength(captured: number, original: number, position: number): void {
    if (this.#said.has("length")) return;
    const message =
      `captured length ${captured} is more than the original length ${original}: ` +
      "the larger is taken, here and at later packets";
    this.once("length", { severity: "warning", code: "ODD_LENGTH", message }, position);
  }

  /** Reports a timestamp that cannot be right; `what` continues "the timestamp ...". */
  oddTime(what: string, position: number): void {
    const message = `the timestamp ${what} (said once)`;
    this.once(what, { severity: "warning", code: "ODD_TIMESTAMP", message }, position);
  }

  /** Follows the clock of the capture; `nanoseconds` need not be exact. */
  checkTime(nanoseconds: number, position: number): void {
    if (nanoseconds >= this.#latest) this.#latest = nanoseconds;
    else if (nanoseconds < this.#latest - DISORDER)
      this.oddTime("is more than a second before that of an earlier packet", position);
  }

  /** The packet that a diagnostic speaks of is the one behind the last appended. */
  #report(
    severity: Diagnostic["severity"],
    code: DiagnosticCode,
    message: string,
    position: number,
  ): void {
    const offset = this.#offset + position;
    const packet = this.#packets + (this.#batch?.count ?? 0) + 1;
    this.#options.onDiagnostic({
      severity,
      code,
      message,
      place: { file: this.#options.file, offset, packet },
    });
  }
}
