/**
 * Loads the Wasm, packs the tables into it, feeds it batches and reads its verdicts back. Decides
 * nothing itself.
 */
import type { PacketBatch } from "../capture/batch.ts";
import type { Ruleset, Topology } from "../tables/model.ts";
import type { FlowVerdict, PacketVerdict, RuleCount, Totals, TraceStep } from "./verdict.ts";

/** What packets are judged by: at most one ruleset for each family, and where packets go. */
export interface Program {
  readonly rulesets: readonly Ruleset[];
  readonly topology: Topology;
}

export interface MatcherOptions {
  /** What is done with flows that were under way when the capture began (semantics.md M-1). */
  readonly midstream: "cold" | "assume-established";
  /** Most conntrack entries; beyond it new flows are `unknown`. */
  readonly conntrackMax: number;
  /** Number of the packet whose walk is recorded; undefined: none. */
  readonly tracePacket: number | undefined;
}

/** A loaded matcher: its memory holds tables, flows, one block of the capture and one batch. */
export interface Matcher {
  /** The records that capture readers fill. */
  readonly batch: PacketBatch;
  /** Address of `BLOCK_SIZE` bytes for the capture's bytes. */
  readonly blockAddress: number;
  /** The memory as it is now; growing replaces it. */
  memory(): ArrayBufferLike;
  /** Names the capture's interfaces, by PACKET_CAPTURE_INTERFACE; undefined entries are derived by route. */
  nameInterfaces(names: readonly (string | undefined)[]): void;
  /** Decides every packet of the batch, in order. */
  replay(): void;
  /** The verdict on the batch's packet at this index, after `replay`. */
  packetVerdict(index: number, names: readonly string[]): PacketVerdict;
  totals(): Totals;
  /** In the order of their first packets. */
  flows(names: readonly string[]): FlowVerdict[];
  /** In table order. */
  ruleCounts(): RuleCount[];
  /** The walk of `tracePacket`, once it was replayed. */
  trace(): TraceStep[];
}

/**
 * Loads the matcher and packs a program into it.
 *
 * @param wasm the bytes of build/matcher.wasm
 * @throws Error when the Wasm was built from another layout
 */
export function loadMatcher(
  wasm: Uint8Array<ArrayBuffer>,
  program: Program,
  options: MatcherOptions,
): Matcher {
  throw new Error(
    `bug: not written yet ${wasm.length} ${program.rulesets.length} ${options.midstream}`,
  );
}
