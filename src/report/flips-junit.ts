/** A what-if as JUnit's XML: what the capture was read for, and a case for each change. */
import { blindNamesText, blindServicesText } from "./blind-spots.ts";
import type { BlindSpot, Change } from "./blind-spots.ts";
import type { FlipContext, FlipGroup } from "./flips.ts";
import { CHANGE_WORDS } from "./flips-text.ts";
import { placesOf, reasonsAfter } from "./flips-words.ts";
import { pointsOf } from "./grouping.ts";
import { junitText } from "./junit.ts";
import { countText } from "./layout.ts";
import type { FateGroup } from "./rollout.ts";
import { FATE_WORDS } from "./rollout-text.ts";
import type { JunitCase } from "./junit.ts";
import { pairText, sideText } from "./side-text.ts";
import { pointText } from "./text.ts";
import type { WhatIfReport } from "./what-if.ts";

/** The changes for which a pipeline is to stop. */
export interface Gates {
  readonly trips: (group: Pick<FlipGroup, "change" | "accepted">) => boolean;
  /** Traffic that no capture shows, where none was given. */
  readonly blindTrips: (change: Change) => boolean;
  /** The gate for packets that are unknown on either side. */
  readonly unknownTrips: boolean;
}

/** Formats a what-if as JUnit's XML. */
export function whatIfJunit(report: WhatIfReport, context: FlipContext, gates: Gates): string {
  const cases = [
    wholeCase(report),
    unknownCase(report, gates),
    ...report.groups.map((group) => flipCase(group, report, context, gates)),
    ...report.fates.map((group) => fateCase(group, report, context, gates)),
    ...(report.blindSpots ?? []).map((spot) => blindCase(spot, report, gates)),
  ];
  return junitText("netverdict what-if", [{ name: "what-if", cases }]);
}

function wholeCase({ partial }: WhatIfReport): JunitCase {
  const base = { className: "capture", name: "is read to its end", place: undefined };
  if (partial === undefined) return base;
  const message = partial === "damaged" ? "a capture is damaged" : "interrupted";
  const lines = ["What could be read of it is compared."];
  return { ...base, failure: { type: partial, message, lines } };
}

function unknownCase({ counts, rollout }: WhatIfReport, { unknownTrips }: Gates): JunitCase {
  const base = { className: "capture", name: "can be decided", place: undefined };
  const { packets, flows } = counts.unknown;
  const connections = rollout?.counts.unknown ?? 0;
  if (packets + connections === 0) return base;
  const more =
    connections === 0 ? "" : `, and what becomes of ${connections} connections at the rollout`;
  const message = `${packets} packets of ${flows} flows are unknown by the current or the proposed policies${more}`;
  if (!unknownTrips) return { ...base, skipped: `${message}, and no gate asks for them` };
  return { ...base, failure: { type: "unknown", message, lines: [] } };
}

function flipCase(
  group: FlipGroup,
  report: WhatIfReport,
  context: FlipContext,
  gates: Gates,
): JunitCase {
  const { change, flows, packets, first } = group;
  const count = `${flows} flows, ${packets} packets, the first is packet ${first.firstPacket}`;
  return caseOf(
    group,
    { type: change, words: CHANGE_WORDS[change], count },
    report,
    context,
    gates,
  );
}

function fateCase(
  group: FateGroup,
  report: WhatIfReport,
  context: FlipContext,
  gates: Gates,
): JunitCase {
  const { fate, connections } = group;
  const count = countText(connections.length, "connection");
  return caseOf(group, { type: fate, words: FATE_WORDS[fate], count }, report, context, gates);
}

/** What a test case says of its kind of group. */
interface CaseWords {
  readonly type: string;
  readonly words: string;
  readonly count: string;
}

function caseOf(
  group: FlipGroup | FateGroup,
  { type, words, count }: CaseWords,
  report: WhatIfReport,
  context: FlipContext,
  gates: Gates,
): JunitCase {
  const base = {
    className: type,
    name: `${pairText(group)} ${words}`,
    place: placesOf(group, context)[0],
  };
  if (group.accepted) return { ...base, skipped: "accepted" };
  if (!gates.trips(group)) return { ...base, skipped: "no gate asks for it" };
  const after = reasonsAfter(group, report.nature, context);
  const lines = [
    `before: ${sideText(group.first.before, report.nature)}`,
    `after: ${after.join("\n")}`,
    count,
  ].flatMap((text) => text.split("\n"));
  return { ...base, failure: { type, message: after[0] ?? type, lines } };
}

function blindCase(
  spot: BlindSpot,
  { nature, captured }: WhatIfReport,
  { blindTrips }: Gates,
): JunitCase {
  const { change, before, after } = spot;
  const ends = `${blindNamesText(spot.from)} -> ${blindNamesText(spot.to)}`;
  const base = {
    className: change,
    name: `${ends} ${blindServicesText(spot)} ${CHANGE_WORDS[change]}`,
    place: [...pointsOf(after), ...pointsOf(before)][0]?.place,
  };
  if (captured) return { ...base, skipped: "nothing in the capture shows it" };
  if (!blindTrips(change)) return { ...base, skipped: "no gate asks for it" };
  const message = sideText(after, nature);
  const lines = [`before: ${sideText(before, nature)}`, `after: ${message}`];
  return {
    ...base,
    failure: { type: change, message, lines: [...lines, ...pointsOf(after).map(pointText)] },
  };
}
