/** What a match extension is: how one kind of condition is written as text and packed as bytes. */
import type { Family } from "../net/address.ts";
import type { SetName } from "./set.ts";

/** Writes a payload of a rule; offsets are from the payload's start (see layout.ts). */
export interface PayloadWriter {
  u8(value: number): void;
  u16(value: number): void;
  u32(value: number): void;
  /** Number of a set in the ruleset; throws a bug when the set is not there. */
  setId(name: SetName): number;
  /** Number of the table that all matches of this name share. */
  sharedId(state: SharedState): number;
}

/** What one match says of a table that it shares with others of its name. */
export interface SharedState {
  /** Unique among all kinds of tables. */
  readonly name: string;
  /** What the first match of the name settles for all of them; compared with the others', one by one. */
  readonly terms: readonly string[];
  /** The largest wins. */
  readonly size: number;
}

/** One option as it was written in a rule: `! --sport 80` is `--sport`, negated, with one word. */
export interface OptionUse {
  /** As it is listed in the module's `options`. */
  readonly name: string;
  readonly invert: boolean;
  /** As many as the module's `options` say. */
  readonly words: readonly string[];
}

/** What the rule around an option says, and where it stands. */
export interface RuleContext {
  readonly family: Family;
  readonly backend: Backend;
  /** `-p`; undefined without one, or for every protocol. */
  readonly protocol: { readonly number: number; readonly invert: boolean } | undefined;
  readonly table: string;
  readonly chain: string;
}

/** Which of the two sets of tables in a kernel. */
export type Backend = "legacy" | "nft";

/** An option that the kernel or iptables refuses; whoever reads the rule knows the line and column. */
export class RuleError extends Error {
  readonly option: OptionUse | undefined;

  /** @param option undefined: the whole match or target is meant */
  constructor(message: string, option: OptionUse | undefined) {
    super(message);
    this.option = option;
  }
}

/** What `-m NAME` or `-j NAME` loads. */
export interface Module<T> {
  readonly name: string;
  /** How many words stand behind each option; other spellings of an option are listed, too. */
  readonly options: Readonly<Record<string, number>>;
  /**
   * Makes the match or target of the options, which are in the order they were written.
   *
   * @throws RuleError for what iptables or the kernel refuses
   */
  parse(options: readonly OptionUse[], context: RuleContext): T;
}

/** One kind of match. A new one is a file with one of these, a line in `index.ts` and a case in assembly/match.ts. */
export interface MatchExtension<M> {
  readonly kind: string;
  /** One of MATCH_* of layout.ts; unique. */
  readonly id: number;
  /** What it can be loaded by; none for the conditions that every rule has room for. */
  readonly modules: readonly Module<M>[];
  /** The words iptables-save prints for it, without a leading space. */
  render(match: M, family: Family): string;
  /** Writes the payload as layout.ts draws it. `invert` is packed by the caller. */
  pack(match: M, writer: PayloadWriter): void;
}

/** Every match can be negated; what that means for unreadable packets is the kernel's. */
export interface Invertible {
  readonly invert: boolean;
}

/** The `! ` in front of a negated option. */
export function bang(match: Invertible): "! " | "" {
  return match.invert ? "! " : "";
}
