/**
 * The packets of two replays of one capture, written with what becomes of them in both. Each replay tells
 * its packets in capture order; a packet is written when both have told it, and forgotten then.
 */
import type { OriginalPacket } from "../capture/original.ts";
import type { Side } from "../engine/row-pairs.ts";
import type { PacketVerdict } from "../engine/verdict.ts";
import { changedComment } from "../report/comment.ts";
import { changeOf } from "../report/flips.ts";
import type { Change } from "../report/blind-spots.ts";
import type { FindEndpoint } from "../report/workload.ts";
import { Failure } from "./failure.ts";
import { PacketFiles, verdictAction } from "./packet-files.ts";
import type { JudgedBatch } from "./traffic.ts";

/** Where packets are written to; `-` is standard output. */
export interface ChangedPacketOptions {
  readonly write?: string;
  readonly writeNewDrops?: string;
  readonly writeNewAllows?: string;
}

interface ToldPacket {
  readonly verdict: PacketVerdict;
  readonly original: OriginalPacket | undefined;
}

/** Writes the packets that are wanted, where anybody wants them. */
export class ChangedPackets {
  readonly #files: PacketFiles<Change | "unchanged">;
  readonly #find: FindEndpoint;
  readonly #wanted: (packet: PacketVerdict) => boolean;
  readonly #told: readonly [ToldPacket[], ToldPacket[]] = [[], []];

  /**
   * @param find   finds the endpoints of the second replay
   * @param wanted chooses packets
   */
  constructor(
    files: PacketFiles<Change | "unchanged">,
    find: FindEndpoint,
    wanted: (packet: PacketVerdict) => boolean,
  ) {
    this.#files = files;
    this.#find = find;
    this.#wanted = wanted;
  }

  /** Takes a batch of one of the replays. */
  async add(side: Side, { settled }: JudgedBatch): Promise<boolean> {
    if (!this.#files.wanted) return true;
    for (const { verdict, about } of settled()) {
      // The bytes are the same in both.
      const original = side === 0 ? about.original : undefined;
      this.#told[side].push({ verdict, original });
    }
    const [first, second] = this.#told;
    const count = Math.min(first.length, second.length);
    const before = first.splice(0, count);
    for (const [index, { verdict: after }] of second.splice(0, count).entries()) {
      const packet = before[index];
      if (packet?.original !== undefined) this.#write(packet.verdict, after, packet.original);
    }
    await this.#files.write();
    return true;
  }

  #write(before: PacketVerdict, after: PacketVerdict, original: OriginalPacket): void {
    if (!this.#wanted(after)) return;
    this.#files.add(changeOf(before.verdict, after.verdict), original, () => ({
      comment: changedComment(before, after, this.#find),
      verdict: verdictAction(after.verdict),
    }));
  }
}

/** Opens the files that the options name. */
export function openChangedFiles(
  options: ChangedPacketOptions,
  captures: readonly string[],
  inputs: readonly string[],
): PacketFiles<Change | "unchanged"> {
  const { write, writeNewDrops, writeNewAllows } = options;
  const asked = [write, writeNewDrops, writeNewAllows].some((file) => file !== undefined);
  if (asked && captures.length === 0) {
    throw new Failure("no packets to write without a capture: name one with -r FILE");
  }
  const requests = [
    { file: write, takes: () => true },
    { file: writeNewDrops, takes: (change: Change | "unchanged") => change === "new-drop" },
    { file: writeNewAllows, takes: (change: Change | "unchanged") => change === "new-allow" },
  ];
  return new PacketFiles(requests, captures, inputs);
}
