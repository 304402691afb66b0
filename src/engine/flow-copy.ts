/** The rows of flows of a matcher in another thread, read where it is not. */
import * as layout from "../../assembly/layout.ts";
import { FLOWS_IN_PIECE } from "./counted.ts";
import type { Program } from "./program.ts";
import { readFlow } from "./read.ts";
import type { Meanings } from "./read.ts";
import { RuleList } from "./rule-list.ts";
import type { FlowVerdict } from "./verdict.ts";

/** What `Matcher.flowCopy` gives. */
export interface FlowCopy {
  /** Flow records by their places, many in each piece. */
  readonly pieces: readonly Uint8Array<ArrayBuffer>[];
  /** Names by the numbers that the records have of them. */
  readonly interfaces: readonly string[];
}

/**
 * Makes what reads the row at a place, as `Matcher.flowAt` does.
 *
 * @param program the only one that the matcher has had
 */
export function flowCopyReader(
  { pieces, interfaces }: FlowCopy,
  program: Program,
  names: readonly string[],
): (place: number) => FlowVerdict {
  const meanings: Meanings = {
    rules: new RuleList(program.rulesets),
    routes: program.topology.routes,
    ...{ interfaces, names, owners: program.owners },
    ...{ captured: [], otherInterface: undefined },
  };
  const views = pieces.map(({ buffer }) => new DataView(buffer));
  return (place) => {
    const view = views[Math.floor(place / FLOWS_IN_PIECE)];
    if (view === undefined) throw new Error("bug: a row that was not copied");
    return readFlow(view, (place % FLOWS_IN_PIECE) * layout.FLOW_SIZE, meanings);
  };
}
