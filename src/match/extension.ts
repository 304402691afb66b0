/** What a match extension is: how one kind of condition is written as text and packed as bytes. */
import type { Family } from "../net/address.ts";

/** Writes one match's payload; offsets are from the payload's start (see MATCH_* in layout.ts). */
export interface MatchWriter {
  u8(value: number): void;
  u16(value: number): void;
  u32(value: number): void;
  /** Number of a set in the ruleset; throws a bug when the set is not there. */
  setId(name: string): number;
}

/** One kind of match. A new one is a file with one of these, a line in `index.ts` and a case in assembly/match.ts. */
export interface MatchExtension<M> {
  readonly kind: string;
  /** One of MATCH_* of layout.ts; unique. */
  readonly id: number;
  /** The words iptables-save prints for it, without a leading space. */
  render(match: M, family: Family): string;
  /** Writes the payload as layout.ts draws it. `invert` is packed by the caller. */
  pack(match: M, writer: MatchWriter): void;
}

/** Every match can be negated; what that means for unreadable packets is the kernel's. */
export interface Invertible {
  readonly invert: boolean;
}

/** The `! ` in front of a negated option. */
export function bang(match: Invertible): "! " | "" {
  return match.invert ? "! " : "";
}
