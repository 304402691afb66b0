/** A what-if as JUnit's XML: what the capture was read for, and a case for each change. */
import { blindNamesText, blindServicesText } from "./blind-spots.ts";
import type { BlindSpot, Change } from "./blind-spots.ts";
import type { FlipContext, FlipGroup, WhatIfReport } from "./flips.ts";
import { CHANGE_WORDS, pairText, sideText } from "./flips-text.ts";
import { placesOf, reasonsAfter } from "./flips-words.ts";
import { pointsOf } from "./grouping.ts";
import { junitText } from "./junit.ts";
import type { JunitCase } from "./junit.ts";
import { pointText } from "./text.ts";

/** The changes for which a pipeline is to stop. */
export interface Gates {
  readonly trips: (group: FlipGroup) => boolean;
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
    ...report.groups.map((group) => caseOf(group, report, context, gates)),
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

function unknownCase({ counts }: WhatIfReport, { unknownTrips }: Gates): JunitCase {
  const base = { className: "capture", name: "can be decided", place: undefined };
  const { packets, flows } = counts.unknown;
  if (packets === 0) return base;
  const message = `${packets} packets of ${flows} flows are unknown by the current or the proposed policies`;
  if (!unknownTrips) return { ...base, skipped: `${message}, and no gate asks for them` };
  return { ...base, failure: { type: "unknown", message, lines: [] } };
}

function caseOf(
  group: FlipGroup,
  report: WhatIfReport,
  context: FlipContext,
  gates: Gates,
): JunitCase {
  const { change, accepted, first } = group;
  const base = {
    className: change,
    name: `${pairText(group)} ${CHANGE_WORDS[change]}`,
    place: placesOf(group, context)[0],
  };
  if (accepted) return { ...base, skipped: "accepted" };
  if (!gates.trips(group)) return { ...base, skipped: "no gate asks for it" };
  const after = reasonsAfter(group, report.nature, context);
  const lines = [
    `before: ${sideText(first.before, report.nature)}`,
    `after: ${after.join("\n")}`,
    `${group.flows} flows, ${group.packets} packets, the first is packet ${first.firstPacket}`,
  ].flatMap((text) => text.split("\n"));
  return { ...base, failure: { type: change, message: after[0] ?? change, lines } };
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
