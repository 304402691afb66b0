/**
 * Hints for what a what-if newly drops, or loses on reconnect: looked for among the proposed manifests, then the
 * capture, where there is one, is judged once more with all of them.
 */
import type { Program } from "../engine/program.ts";
import { applyEdits } from "../hint/edit.ts";
import { findHints } from "../hint/find.ts";
import type { FoundHint } from "../hint/find.ts";
import { needsOf, needsOfClasses } from "../hint/need.ts";
import type { FlipContext, FlipGroup } from "../report/flips.ts";
import { samePair } from "../report/hints.ts";
import type { Hint, Hints, NoHint } from "../report/hints.ts";
import type { FateGroup } from "../report/rollout.ts";
import type { ProbedClass } from "../workload/probe.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import type { Judge } from "./judge.ts";
import { loadProgramMatcher } from "./matcher.ts";
import { isReadAgain } from "./pipes.ts";

/** Longer captures are not judged again. */
const PACKETS_MAX = 2_000_000;

/** Changes that a capture shows. */
export interface CapturedChanges {
  readonly groups: readonly FlipGroup[];
  readonly fates: readonly FateGroup[];
}

/** What hints are looked for by. */
export interface HintsQuestion extends CapturedChanges {
  /** Without a capture: all classes of traffic that change. */
  readonly classes: readonly ProbedClass[];
  readonly context: FlipContext;
  readonly judges: readonly [Judge, Judge];
  readonly node: string | undefined;
  /** Knows the texts of the proposed manifests. */
  readonly log: DiagnosticLog;
  /** Of the capture. */
  readonly packets: number;
  readonly captures: readonly string[];
  /** Compares the current policies with a program once more. */
  readonly replay: (
    program: Program,
  ) => Promise<CapturedChanges & { readonly partial: "damaged" | "interrupted" | undefined }>;
}

/** Looks for hints; undefined where nothing is newly dropped. */
export async function lookForHints(question: HintsQuestion): Promise<Hints | undefined> {
  const { groups, fates, classes, context, judges, log, node } = question;
  const [current, proposed] = judges;
  const { written } = proposed;
  const needs = [...needsOf(groups, fates), ...needsOfClasses(classes, context)];
  if (needs.length === 0) return undefined;
  if (written === undefined || current.written === undefined) {
    return { hints: [], without: needs.map(({ pair }) => ({ pair, why: OF_A_NODE })) };
  }
  const { found, without } = findHints({
    ...{ needs, context, current: current.program, proposed: proposed.program, node },
    ...written,
    ...{ policies: proposed.policies, snapshot: proposed.snapshot },
    load: (program) =>
      loadProgramMatcher(program, {
        ...{ midstream: "cold", conntrackMax: 1024, tracePacket: undefined },
      }),
    textOf: (file) => log.textOf(file),
  });
  return judgeAgain(found, without, question);
}

const OF_A_NODE =
  "a node's dumps are compared, and rules are looked for in manifests only: its row names the rule that drops it";

/** Judges the capture with all hints at once: those that do not mend are taken back. */
async function judgeAgain(
  found: readonly FoundHint[],
  without: readonly NoHint[],
  { groups, judges, packets, captures, replay }: HintsQuestion,
): Promise<Hints> {
  const hints = found.map(({ hint }) => hint);
  const { written } = judges[1];
  const again = captures.length > 0 && packets <= PACKETS_MAX && captures.every(isReadAgain);
  if (hints.length === 0 || !again) {
    return { hints, without };
  }
  const edits = found.flatMap((each) => each.edits);
  const all = written?.recompile(applyEdits(written.objects, edits));
  if (all === undefined) return { hints: [], without: [...without, ...refused(hints, TOGETHER)] };
  const left = await replay(all.program);
  // A part of the capture shows nothing.
  if (left.partial !== undefined) return { hints, without };
  const opened = left.groups.find(
    (group) =>
      group.change === "new-allow" &&
      !groups.some((each) => each.change === "new-allow" && samePair(each, group)),
  );
  if (opened !== undefined) {
    const { from, to, port } = opened;
    const why = `judged with a rule for it, the capture shows more that opens: ${from} -> ${to} ${port}`;
    return { hints: [], without: [...without, ...refused(hints, why)] };
  }
  const dropped = [...left.groups, ...left.fates].filter(({ change }) => change === "new-drop");
  const mends = (hint: Hint): boolean =>
    !hint.mends.some((pair) => dropped.some((each) => samePair(each, pair)));
  const failed = hints.filter((hint) => !mends(hint));
  return {
    hints: hints
      .filter(mends)
      .map((hint) => ({ ...hint, checked: { ...hint.checked, capture: true } })),
    without: [...without, ...refused(failed, STILL_DROPPED)],
  };
}

const TOGETHER = "the rules for it and for others cannot stand together";
const STILL_DROPPED =
  "judged with a rule for it, some of its packets are dropped or connections lost all the same";

function refused(hints: readonly Hint[], why: string): NoHint[] {
  return hints.flatMap(({ mends }) => mends.map((pair) => ({ pair, why })));
}
