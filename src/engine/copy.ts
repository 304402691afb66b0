/**
 * A loaded matcher begun again in another thread: from the bytes of the first one's memory, which nobody packs
 * twice. It decides a share and counts it; names are left with the first.
 */
import { readCounted } from "./counted.ts";
import type { Counted } from "./counted.ts";
import { globalsOf, instantiate } from "./exports.ts";
import type { MatcherExports } from "./exports.ts";
import type { ToldInterfaces } from "../tables/captured-interface.ts";
import { makeFeed, numberCaptured } from "./feed.ts";
import type { CapturedNumber, Feed, FeedPlaces } from "./feed.ts";
import type { Share } from "./share.ts";

/** All that a matcher is, before its first packet; threads may have it in common. */
export interface MatcherCopy {
  readonly memory: SharedArrayBuffer;
  /** In the order of `globalsOf`. */
  readonly globals: readonly (number | bigint)[];
  readonly places: FeedPlaces;
  /** Names of interfaces by their numbers in the memory, and of a node's by its own. */
  readonly interfaces: readonly string[];
  readonly nameByIndex: ReadonlyMap<number | undefined, string>;
  /** What is known of the names of others. */
  readonly told: ToldInterfaces;
  /** How many rules there are to count, ends of chains included. */
  readonly ruleCount: number;
}

/** Takes what the Wasm knows. */
export function copyState(exports: MatcherExports): Pick<MatcherCopy, "memory" | "globals"> {
  // Nothing lies behind what is taken last; to take it may make the memory another.
  const end = exports.allocate(0);
  const used = new Uint8Array(exports.memory.buffer, 0, end);
  const memory = new SharedArrayBuffer(used.length);
  new Uint8Array(memory).set(used);
  return { memory, globals: globalsOf(exports).map(({ value }) => value) };
}

/** A matcher that was begun from a copy. */
export interface CopiedMatcher extends Feed {
  /** What was counted, for the matcher that was copied. */
  counted(): Counted;
}

/** Begins a matcher of another share than the one that was copied; once, as its memory must be fresh. */
export type BeginCopy = (copy: MatcherCopy, share: Share) => CopiedMatcher;

/**
 * Prepares for a copy as far as that goes without it.
 *
 * @param wasm the same that was copied
 */
export function prepareCopy(wasm: Uint8Array<ArrayBuffer>): BeginCopy {
  const exports = instantiate(wasm);
  return (copy, { index, count }) => {
    const { interfaces, nameByIndex, places, ruleCount, told } = copy;
    restoreState(exports, copy);
    exports.setShare(index, count);
    const numbers = new Map(interfaces.map((name, number) => [name, number]));
    const captured = (name: string): CapturedNumber =>
      numberCaptured(name, told, (each) => numbers.get(each) ?? 0);
    return {
      ...makeFeed(exports, places, { captured, nameByIndex }),
      counted: () => readCounted(exports, ruleCount),
    };
  };
}

const PAGE_BITS = 16;

function restoreState(exports: MatcherExports, { memory, globals }: MatcherCopy): void {
  const missing = memory.byteLength - exports.memory.buffer.byteLength;
  if (missing > 0) exports.memory.grow(((missing - 1) >>> PAGE_BITS) + 1);
  new Uint8Array(exports.memory.buffer).set(new Uint8Array(memory));
  const own = globalsOf(exports);
  if (own.length !== globals.length) throw new Error("bug: a copy of another build's matcher");
  for (const [index, global] of own.entries()) global.value = globals[index] ?? 0;
}
