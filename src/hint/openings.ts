/**
 * What a change of the policies opens, over all traffic that the cluster can have: classes that are dropped
 * without it and pass with it.
 */
import type { Matcher } from "../engine/matcher.ts";
import type { Program } from "../engine/program.ts";
import { openingOf } from "../engine/opening.ts";
import { blindNamesText, blindServicesText } from "../report/blind-spots.ts";
import type { FlipContext } from "../report/flips.ts";
import { classifyTraffic, notUnderstood } from "../workload/classes.ts";
import type { TrafficClasses } from "../workload/classes.ts";
import { gatherSpots } from "../workload/gather-spots.ts";
import { probeClasses } from "../workload/probe.ts";
import type { ProbedClass } from "../workload/probe.ts";
import { askAll } from "./ask.ts";

/** More packets are not asked about for one hint: some seconds. */
const PROBES_MAX = 200_000;

/** The programs that are compared, and what is wanted. */
export interface OpeningQuestion {
  readonly current: Program;
  readonly proposed: Program;
  readonly hinted: Program;
  readonly load: (program: Program) => Matcher;
  /** Tells whether a class is all of what the hint is for. */
  readonly needed: (opened: ProbedClass) => boolean;
  readonly context: FlipContext;
  /** The one that judges; undefined: all as one. */
  readonly node: string | undefined;
}

/** What else fares otherwise. */
export interface Opened {
  /** Dropped today, dropped as proposed, and let through by the hint. */
  readonly opens: readonly string[];
  /** Let through today and by the hint: newly dropped as proposed, and no capture shows it. */
  readonly again: readonly string[];
  /** What a hint must not do: more is dropped, or not known. */
  readonly odd: readonly string[];
}

/** Compares the proposed policies with and without a hint; undefined where not all traffic can be told. */
export function findOpened(question: OpeningQuestion): Opened | undefined {
  const { current, proposed, hinted, load, needed, context, node } = question;
  const workloadOf = (owner: string): string => {
    const endpoint = context.after.find(owner) ?? context.before.find(owner);
    if (endpoint === undefined) return owner;
    return `${endpoint.workload.kind} ${endpoint.namespace}/${endpoint.workload.name}`;
  };
  const subjects = { programs: [proposed, hinted, current], workloadOf } as const;
  if (notUnderstood(subjects) !== undefined) return undefined;
  const classes = classifyTraffic(subjects);
  const probed = probeClasses([load(proposed), load(hinted)], classes, PROBES_MAX, node);
  if (probed === undefined) return undefined;
  const isOpened = ({ before, after }: ProbedClass): boolean =>
    before.verdict === "drop" && after.verdict === "allow";
  const opened = probed.filter(isOpened);
  const today = askAll(
    load(current),
    opened.map(({ after }) => {
      const opening = openingOf(after);
      if (opening === undefined) throw new Error("bug: it has addresses");
      return opening;
    }),
  );
  // Of a workload that the hint is for, some pods may be closed today.
  const isClosed = (each: ProbedClass, index: number): boolean => {
    const verdict = today[index]?.verdict;
    return verdict === "drop" || (verdict !== "allow" && !needed(each));
  };
  const tell = (some: readonly ProbedClass[]): string[] => spotTexts(some, classes, context);
  return {
    opens: tell(opened.filter(isClosed)),
    again: tell(opened.filter((each, index) => !isClosed(each, index) && !needed(each))),
    odd: tell(probed.filter((each) => !isOpened(each))),
  };
}

function spotTexts(
  probed: readonly ProbedClass[],
  classes: TrafficClasses,
  { after }: FlipContext,
): string[] {
  return gatherSpots(probed, { before: after, after }, classes).map(
    (spot) =>
      `${blindNamesText(spot.from)} -> ${blindNamesText(spot.to)} ${blindServicesText(spot)}`,
  );
}
