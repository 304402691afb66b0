/** A what-if as JSON, in the shape that scripts depend on (docs: "Output"). */
import type { FlowVerdict } from "../engine/verdict.ts";
import { tellingSide } from "./flips.ts";
import type { Flip, FlipContext, FlipGroup, WhatIfReport } from "./flips.ts";
import { attributionJson, diagnosticJson, nearestJson, stringifyJson, tupleJson } from "./json.ts";
import type { Json } from "./json.ts";
import { findNearestMiss } from "./nearest-miss.ts";
import type { CaptureNature } from "./reason.ts";

/** The one object of `what-if -o json`, indented, and a line end. */
export function whatIfJson(report: WhatIfReport, context: FlipContext): string {
  const { totals, counts, flows, partial, lost, groups } = report;
  const changes = groups.flatMap((group) =>
    group.flips.map((flip) => flipJson(flip, group, report.nature, context)),
  );
  const whole: Json = {
    packets: totals.packets,
    flows,
    newDrop: { ...counts["new-drop"] },
    newAllow: { ...counts["new-allow"] },
    unchanged: { ...counts.unchanged },
    unknown: { ...counts.unknown },
    flowsLost: lost > 0 ? lost : undefined,
    partial,
    changes,
    diagnostics: report.diagnostics.map(diagnosticJson),
  };
  return `${stringifyJson(whole, 1)}\n`;
}

function flipJson(
  flip: Flip,
  { accepted, from, to, port }: FlipGroup,
  nature: CaptureNature,
  context: FlipContext,
): Json {
  const flow = flip[tellingSide(flip)];
  return {
    change: flip.change,
    accepted: accepted ? true : undefined,
    ...tupleJson(flow),
    pair: { from, to, port },
    packets: flip.packets,
    firstPacket: flip.firstPacket,
    before: sideJson(flip.before, nature),
    after: {
      ...sideJson(flip.after, nature),
      nearest: nearestJson(findNearestMiss(flip.after, context.after)),
    },
  };
}

function sideJson(flow: FlowVerdict, nature: CaptureNature): { readonly [key: string]: Json } {
  return { verdict: flow.verdict, reject: flow.reject, ...attributionJson(flow, nature) };
}
