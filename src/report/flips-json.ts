/** A what-if as JSON, in the shape that scripts depend on (docs: "Output"). */
import { tellingSide } from "./flips.ts";
import type { Flip, FlipContext, FlipGroup } from "./flips.ts";
import { attributionJson, diagnosticJson, nearestJson, stringifyJson, tupleJson } from "./json.ts";
import type { Json } from "./json.ts";
import { hintsJson } from "./hints.ts";
import { findNearestMiss } from "./nearest-miss.ts";
import type { BlindSpot } from "./blind-spots.ts";
import type { CaptureNature, Judged } from "./reason.ts";
import type { FateGroup, LiveConnection } from "./rollout.ts";
import { formatTime } from "./time.ts";
import type { WhatIfReport } from "./what-if.ts";

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
    rollout: rolloutJson(report, context),
    blindSpots: report.blindSpots?.map((spot) => blindJson(spot, report.nature, context)) ?? null,
    hints: report.hints === undefined ? null : hintsJson(report.hints),
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

/** Absent without a rollout. */
function rolloutJson(
  { rollout, fates, nature }: WhatIfReport,
  context: FlipContext,
): Json | undefined {
  if (rollout === undefined) return undefined;
  const { atNs, timeOfDay, firstPacket, counts } = rollout;
  return {
    time: formatTime(atNs, timeOfDay),
    firstPacket,
    connections: {
      kept: counts.kept,
      lostOnReconnect: counts["lost-on-reconnect"],
      cut: counts.cut,
      unknown: counts.unknown,
    },
    fates: fates.flatMap((group) =>
      group.connections.map((connection) => fateJson(connection, group, nature, context)),
    ),
  };
}

function fateJson(
  { fate, opening, before, after }: LiveConnection,
  { accepted, from, to, port }: FateGroup,
  nature: CaptureNature,
  context: FlipContext,
): Json {
  return {
    fate,
    accepted: accepted ? true : undefined,
    ...tupleJson(opening),
    pair: { from, to, port },
    before: sideJson(before, nature),
    after: {
      ...sideJson(after, nature),
      nearest: nearestJson(findNearestMiss(after, context.after)),
    },
  };
}

function blindJson(spot: BlindSpot, nature: CaptureNature, context: FlipContext): Json {
  const { change, from, to, services, family, where, everything, before, after } = spot;
  return {
    change,
    from,
    to,
    family,
    where,
    services: services.map(({ protocol, ports, sourcePorts, codes }) => ({
      protocol,
      ports: ports?.map(({ first, last }) => [first, last]),
      sourcePorts: sourcePorts?.map(({ first, last }) => [first, last]),
      codes: codes?.map(({ first, last }) => [first, last]),
    })),
    everything: everything ? true : undefined,
    example: tupleJson(after),
    before: sideJson(before, nature),
    after: {
      ...sideJson(after, nature),
      nearest: nearestJson(findNearestMiss(after, context.after)),
    },
  };
}

function sideJson(flow: Judged, nature: CaptureNature): { readonly [key: string]: Json } {
  return { verdict: flow.verdict, reject: flow.reject, ...attributionJson(flow, nature) };
}
