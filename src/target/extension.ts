/** What a target extension is: how one kind of target is written as text and packed as bytes. */
import type { Module, PayloadWriter } from "../match/extension.ts";
import type { Family } from "../net/address.ts";

/** One kind of target. A new one is a file with one of these, a line in `index.ts` and a case in assembly/target.ts. */
export interface TargetExtension<T> {
  readonly kind: string;
  /** One of TARGET_* of layout.ts; unique. */
  readonly id: number;
  /** What `-j` calls it. */
  readonly modules: readonly Module<T>[];
  /** The words iptables-save prints for it: `-j NAME ...`. */
  render(target: T, family: Family): string;
  /** Writes the payload as layout.ts draws it. */
  pack(target: T, writer: PayloadWriter): void;
}
