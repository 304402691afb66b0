/**
 * The files that packets are written to, each packet with its verdict in words: all of them, or those
 * that a file is for.
 */
import type { OriginalPacket, OriginalSection } from "../capture/original.ts";
import { PcapngWriter } from "../capture/pcapng-writer.ts";
import type { Annotation } from "../capture/pcapng-writer.ts";
import type { Verdict } from "../engine/verdict.ts";
import { Failure } from "./failure.ts";
import { openDestinations, openSink } from "./output.ts";
import type { Destination, Output, Sink } from "./output.ts";

/** A file that somebody may have asked for, and the packets it is for. */
export interface PacketFileRequest<T> {
  /** `-` is standard output; undefined: nobody has asked. */
  readonly file: string | undefined;
  readonly takes: (packet: T) => boolean;
}

interface PacketFile<T> {
  readonly takes: (packet: T) => boolean;
  readonly sink: Sink;
  readonly writer: PcapngWriter;
}

const ONE_OUTPUT = "only one output can go to standard output: use FORMAT=FILE, or -w FILE";

/** The files that were asked for, open. */
export class PacketFiles<T> {
  /** One of them is standard output. */
  readonly #printed: boolean;
  readonly #files: PacketFile<T>[] = [];
  readonly #inputs: readonly string[];

  /**
   * @param captures names of the captures whose packets are written
   * @param inputs   files that are not overwritten
   */
  constructor(
    requests: readonly PacketFileRequest<T>[],
    captures: readonly string[],
    inputs: readonly string[],
  ) {
    const printed = requests.filter(({ file }) => file === "-").length;
    if (printed > 1) throw new Failure(ONE_OUTPUT);
    this.#printed = printed === 1;
    this.#inputs = inputs;
    if (this.#printed && process.stdout.isTTY)
      throw new Failure("packets are not written to a terminal: name a file, or pipe them");
    try {
      for (const { file, takes } of requests) {
        if (file === undefined) continue;
        const sink = openSink(file === "-" ? undefined : file, inputs);
        this.#files.push({ takes, sink, writer: new PcapngWriter(captures) });
      }
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  /** There is such a file. */
  get wanted(): boolean {
    return this.#files.length > 0;
  }

  /**
   * Opens the outputs that were asked for, or the usual one where standard output is not taken. If one
   * cannot be opened, these files are removed, too.
   */
  openBeside<F extends string>(
    outputs: readonly Output<F>[] | undefined,
    usual: F,
  ): Destination<F>[] {
    try {
      if (this.#printed && outputs?.some(({ file }) => file === undefined) === true)
        throw new Failure(ONE_OUTPUT);
      const usually = this.#printed ? [] : [{ format: usual, file: undefined }];
      return openDestinations(outputs ?? usually, this.#inputs);
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  /** Adds a packet to the files that are for it; it is annotated if there is one. */
  add(packet: T, original: OriginalPacket, annotate: () => Annotation): void {
    const takers = this.#files.filter(({ takes }) => takes(packet));
    if (takers.length === 0) return;
    const annotation = annotate();
    for (const { writer } of takers) writer.add(original, annotation);
  }

  /** Writes what was added. */
  async write(): Promise<void> {
    for (const { sink, writer } of this.#files) await sink.write(writer.take());
  }

  /** Makes the files final. */
  async finish(sections: readonly OriginalSection[]): Promise<void> {
    for (const { writer } of this.#files) writer.finish(sections);
    await this.write();
    for (const { sink } of this.#files) await sink.finish();
  }

  /** Removes the files; never throws. */
  abandon(): void {
    for (const { sink } of this.#files) sink.abandon();
  }
}

/** What the verdict option of a packet says: what has none is not guessed. */
export function verdictAction(verdict: Verdict): Annotation["verdict"] {
  switch (verdict) {
    case "allow":
      return "pass";
    case "drop":
      return "drop";
    case "unfiltered":
    case "unknown":
      return undefined;
  }
}
