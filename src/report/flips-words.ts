/** What formats for machines say of a change: why it is so now, and the lines to look at. */
import type { Place } from "../errors.ts";
import type { FlipContext } from "./flips.ts";
import { pointsOf } from "./grouping.ts";
import { findNearestMiss } from "./nearest-miss.ts";
import { decidingRule } from "./reason.ts";
import type { CaptureNature } from "./reason.ts";
import { sideText } from "./side-text.ts";
import type { Decided } from "./side-text.ts";
import { nearestText, pointText } from "./text.ts";

/** Why the proposed side's verdict is what it is. */
export function reasonsAfter(
  { first: { after } }: Decided,
  nature: CaptureNature,
  context: FlipContext,
): string[] {
  const nearest = findNearestMiss(after, context.after);
  return [
    sideText(after, nature),
    ...pointsOf(after).map(pointText),
    ...(nearest === undefined ? [] : [nearestText(nearest)]),
  ];
}

/**
 * The lines to look at, the best first: the nearest rule, the policies that decide, those that did, then the
 * rules of a node that have no policy.
 */
export function placesOf({ first: { before, after } }: Decided, context: FlipContext): Place[] {
  const nearest = findNearestMiss(after, context.after);
  return [
    nearest?.place,
    ...[...pointsOf(after), ...pointsOf(before)].map(({ place }) => place),
    ...[after, before].map((flow) => decidingRule(flow)?.rule?.place),
  ].filter((place) => place !== undefined);
}
