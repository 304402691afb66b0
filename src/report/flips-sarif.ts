/**
 * A what-if as SARIF 2.1.0 (OASIS): a result for each change, at the line of the policy that decides. What it
 * is told apart by from run to run are its ends, port and deciding rules, not what a capture happens to hold.
 */
import { escapeControls } from "../errors.ts";
import { blindNamesText, blindServicesText } from "./blind-spots.ts";
import type { BlindSpot, Change } from "./blind-spots.ts";
import { CHANGES } from "./flips.ts";
import type { FlipContext, FlipGroup } from "./flips.ts";
import { CHANGE_WORDS } from "./flips-text.ts";
import { placesOf, reasonsAfter } from "./flips-words.ts";
import { pointsOf, ruleKey } from "./grouping.ts";
import { editText, hintFor } from "./hints.ts";
import type { Hint } from "./hints.ts";
import type { Json } from "./json.ts";
import type { FateGroup, ReportedFate } from "./rollout.ts";
import { FATE_WORDS } from "./rollout-text.ts";
import { sarifArtifact, sarifFingerprint, sarifLocation, sarifText } from "./sarif.ts";
import type { SarifRule } from "./sarif.ts";
import { pairText, sideText } from "./side-text.ts";
import type { Decided } from "./side-text.ts";
import type { WhatIfReport } from "./what-if.ts";

type RuleId = Change | ReportedFate;

/** In the order of their indexes. */
const RULE_IDS: readonly RuleId[] = [...CHANGES, "cut", "lost-on-reconnect"];

const RULES: Readonly<Record<RuleId, SarifRule>> = {
  "new-drop": {
    id: "new-drop",
    name: "NewDrop",
    level: "error",
    sentence: "Traffic that passes today would be dropped.",
    help: "The rule that came nearest says what it lacks. Add what is missing, or accept the change with what-if --accept.",
  },
  "new-allow": {
    id: "new-allow",
    name: "NewAllow",
    level: "warning",
    sentence: "Traffic that is dropped today would pass.",
    help: "Look at whether the rule should let it pass, or accept the change with what-if --accept.",
  },
  unknown: {
    id: "unknown",
    name: "CannotBeCompared",
    level: "note",
    sentence:
      "What happens to this traffic cannot be decided by the current or by the proposed policies.",
    help: "The message names the fact that is missing.",
  },
  cut: {
    id: "cut",
    name: "Cut",
    level: "error",
    sentence: "A connection that is under way at the rollout would be cut.",
    help: "Roll out when it is over, let its packets pass, or accept the change with what-if --accept.",
  },
  "lost-on-reconnect": {
    id: "lost-on-reconnect",
    name: "LostOnReconnect",
    level: "error",
    sentence:
      "A connection that is under way at the rollout goes on, and could not be opened again.",
    help: "The rule that came nearest says what it lacks. Add what is missing, or accept the change with what-if --accept.",
  },
};

/** Formats a what-if as SARIF, indented, and a line end. */
export function whatIfSarif(report: WhatIfReport, context: FlipContext, version: string): string {
  return sarifText({
    version,
    rules: RULE_IDS.map((id) => RULES[id]),
    whole: report.partial === undefined,
    diagnostics: report.diagnostics,
    results: [
      ...report.groups.map((group) => resultJson(group, report, context)),
      ...report.fates.map((group) => fateJson(group, report, context)),
      ...(report.blindSpots ?? []).map((spot) => blindJson(spot, report)),
    ],
  });
}

function resultJson(group: FlipGroup, report: WhatIfReport, context: FlipContext): Json {
  const { change, accepted, flows, packets, first } = group;
  const [place, ...others] = placesOf(group, context).flatMap((each) => sarifLocation(each) ?? []);
  const sentences = [
    `${pairText(group)} ${CHANGE_WORDS[change]}`,
    `before: ${sideText(first.before, report.nature)}`,
    `after: ${reasonsAfter(group, report.nature, context).join("; ")}`,
  ];
  return {
    ...ruleOf(change),
    message: { text: escapeControls(sentences.join(". ")) },
    locations: place === undefined ? [] : [place],
    relatedLocations: others.length === 0 ? undefined : others,
    partialFingerprints: { "netverdictChange/v1": fingerprint(change, group, context) },
    suppressions: suppressionsOf(accepted),
    fixes: fixesOf(change === "new-drop" ? hintFor(report.hints, group) : undefined),
    properties: { flows, packets, firstPacket: first.firstPacket },
  };
}

/** A hint as text that goes into files; only where all of it can be told so. */
function fixesOf(hint: Hint | undefined): Json {
  const insertions = hint?.edits.flatMap(({ insertion }) => insertion ?? []) ?? [];
  if (hint === undefined || insertions.length < hint.edits.length) return undefined;
  const artifactChanges = insertions.flatMap(({ file, line, column, text }) => {
    const artifactLocation = sarifArtifact(file);
    if (artifactLocation === undefined) return [];
    const deletedRegion = {
      ...{ startLine: line, startColumn: column, endLine: line, endColumn: column },
    };
    return [{ artifactLocation, replacements: [{ deletedRegion, insertedContent: { text } }] }];
  });
  if (artifactChanges.length < insertions.length) return undefined;
  const text = escapeControls(hint.edits.map(editText).join(" "));
  return [{ description: { text }, artifactChanges }];
}

function ruleOf(id: RuleId): { readonly [key: string]: Json } {
  return { ruleId: id, ruleIndex: RULE_IDS.indexOf(id), level: RULES[id].level };
}

function suppressionsOf(accepted: boolean): Json | undefined {
  if (!accepted) return undefined;
  return [{ kind: "external", status: "accepted", justification: "what-if --accept" }];
}

/** A connection that is under way at the rollout. */
function fateJson(group: FateGroup, report: WhatIfReport, context: FlipContext): Json {
  const { fate, accepted, connections, first } = group;
  const [place, ...others] = placesOf(group, context).flatMap((each) => sarifLocation(each) ?? []);
  const sentences = [
    `${pairText(group)} ${FATE_WORDS[fate]}`,
    `before: ${sideText(first.before, report.nature)}`,
    `after: ${reasonsAfter(group, report.nature, context).join("; ")}`,
  ];
  return {
    ...ruleOf(fate),
    message: { text: escapeControls(sentences.join(". ")) },
    locations: place === undefined ? [] : [place],
    relatedLocations: others.length === 0 ? undefined : others,
    partialFingerprints: { "netverdictChange/v1": fingerprint(fate, group, context) },
    suppressions: suppressionsOf(accepted),
    properties: { connections: connections.length },
  };
}

function fingerprint(
  rule: RuleId,
  { from, to, port, first }: Decided & Pick<FlipGroup, "from" | "to" | "port">,
  context: FlipContext,
): string {
  const rules = [
    ruleKey(first.before, context.before.find),
    ruleKey(first.after, context.after.find),
  ];
  return sarifFingerprint([rule, from, to, port, rules]);
}

/** Traffic that changes and that no capture shows: beside one it is worth a note. */
function blindJson(spot: BlindSpot, { nature, captured }: WhatIfReport): Json {
  const { change, from, to, before, after } = spot;
  const places = [...pointsOf(after), ...pointsOf(before)].map(({ place }) => place);
  const [place] = places.flatMap((each) => sarifLocation(each) ?? []);
  const ends = `${blindNamesText(from)} -> ${blindNamesText(to)} ${blindServicesText(spot)}`;
  const sentences = [
    `${ends} ${CHANGE_WORDS[change]}${captured ? ", and nothing in the capture shows it" : ""}`,
    `before: ${sideText(before, nature)}`,
    `after: ${sideText(after, nature)}`,
  ];
  return {
    ...ruleOf(change),
    level: captured ? "note" : RULES[change].level,
    message: { text: escapeControls(sentences.join(". ")) },
    locations: place === undefined ? [] : [place],
    partialFingerprints: {
      "netverdictChange/v1": sarifFingerprint([change, from, to, blindServicesText(spot)]),
    },
  };
}
