/** What all groups of endpoints have in common. */
import type { Snapshot } from "../cluster/snapshot.ts";
import type { Ends } from "./ends.ts";
import type { RuleBook } from "./rule-book.ts";
import type { Protocols } from "./traffic.ts";

/** What groups are made with. */
export interface World {
  readonly snapshot: Snapshot;
  readonly ends: Ends;
  readonly book: RuleBook;
  readonly protocols: Protocols;
  /** Steps that were taken, for whoever bounds them. */
  spent: number;
}
