/** The records of rules, as assembly/layout.ts draws them, written one behind the other into the matcher's memory. */
import * as layout from "../../assembly/layout.ts";
import type { MatcherExports } from "./exports.ts";

/** What a record of a rule says. */
export interface RuleRecord {
  /** Offsets in the payloads. */
  readonly matches: number;
  readonly matchesEnd: number;
  readonly target: number;
  readonly flags: number;
  readonly argument: number;
}

const WORDS = layout.RULE_SIZE >>> 2;
const MATCHES_WORD = layout.RULE_MATCHES >>> 2;
const MATCHES_END_WORD = layout.RULE_MATCHES_END >>> 2;
const TARGET_WORD = layout.RULE_TARGET >>> 2;
const FLAGS_SHIFT = 8 * (layout.RULE_FLAGS - layout.RULE_TARGET);
const ARGUMENT_WORD = layout.RULE_TARGET_ARG >>> 2;

/** Until it is finished, nothing else is allocated. Wasm is little-endian as every machine of Node's is. */
export class RecordList {
  /** Ends of chains included. */
  count = 0;
  readonly address: number;
  readonly #exports: MatcherExports;
  #words = new Uint32Array(0);

  constructor(exports: MatcherExports) {
    this.#exports = exports;
    this.address = exports.allocate(0);
  }

  /** Makes room for so many more. */
  reserve(more: number): void {
    const count = this.count + more;
    if (count * WORDS > this.#words.length) this.#resize(Math.max(1024, 2 * count));
  }

  /** Precondition: there is room. */
  add({ matches, matchesEnd, target, flags, argument }: RuleRecord): void {
    const words = this.#words;
    const at = this.count * WORDS;
    words[at + MATCHES_WORD] = matches;
    words[at + MATCHES_END_WORD] = matchesEnd;
    words[at + TARGET_WORD] = target | (flags << FLAGS_SHIFT);
    words[at + ARGUMENT_WORD] = argument;
    this.count += 1;
  }

  /** The first record from one on that calls a chain; undefined where its own chain ends before. */
  findCall(record: number): number | undefined {
    const words = this.#words;
    for (let at = record * WORDS; at < words.length; at += WORDS) {
      const word = words[at + TARGET_WORD] ?? 0;
      const target = word & 0xff;
      if (target === layout.TARGET_JUMP || target === layout.TARGET_GOTO) return at / WORDS;
      if (isEnd(word)) return undefined;
    }
    throw new Error(`bug: no end behind record ${record}`);
  }

  /** The place of the chain that a record calls. */
  calledAt(record: number): number {
    return this.#words[record * WORDS + ARGUMENT_WORD] ?? 0;
  }

  /** Takes no more records. */
  close(): void {
    this.#resize(this.count);
  }

  /** Makes addresses of the offsets. */
  placePayloads(address: number): void {
    const words = new Uint32Array(this.#exports.memory.buffer, this.address, this.count * WORDS);
    for (let at = 0; at < words.length; at += WORDS) {
      if (isEnd(words[at + TARGET_WORD] ?? 0)) continue;
      words[at + MATCHES_WORD] = (words[at + MATCHES_WORD] ?? 0) + address;
      words[at + MATCHES_END_WORD] = (words[at + MATCHES_END_WORD] ?? 0) + address;
    }
  }

  #resize(count: number): void {
    const address = this.#exports.resize(this.address, count * layout.RULE_SIZE);
    if (address !== this.address) throw new Error("bug: records were not what was allocated last");
    const { buffer } = this.#exports.memory;
    this.#words = new Uint32Array(buffer, this.address, count * WORDS);
  }
}

function isEnd(word: number): boolean {
  return ((word >>> FLAGS_SHIFT) & layout.RULE_IS_END) !== 0;
}
