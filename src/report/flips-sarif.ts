/**
 * A what-if as SARIF 2.1.0 (OASIS): a result for each change, at the line of the policy that decides. What it
 * is told apart by from run to run are its ends, port and deciding rules, not what a capture happens to hold.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { escapeControls } from "../errors.ts";
import type { Diagnostic, Place } from "../errors.ts";
import { blindNamesText, blindServicesText } from "./blind-spots.ts";
import type { BlindSpot, Change } from "./blind-spots.ts";
import { CHANGES } from "./flips.ts";
import type { FlipContext, FlipGroup, WhatIfReport } from "./flips.ts";
import { CHANGE_WORDS, pairText, sideText } from "./flips-text.ts";
import { placesOf, reasonsAfter } from "./flips-words.ts";
import { pointsOf, ruleKey } from "./grouping.ts";
import { stringifyJson } from "./json.ts";
import type { Json } from "./json.ts";

interface RuleWords {
  readonly name: string;
  readonly level: "error" | "warning" | "note";
  readonly sentence: string;
  readonly help: string;
}

const RULES: Readonly<Record<Change, RuleWords>> = {
  "new-drop": {
    name: "NewDrop",
    level: "error",
    sentence: "Traffic that passes today would be dropped.",
    help: "The rule that came nearest says what it lacks. Add what is missing, or accept the change with what-if --accept.",
  },
  "new-allow": {
    name: "NewAllow",
    level: "warning",
    sentence: "Traffic that is dropped today would pass.",
    help: "Look at whether the rule should let it pass, or accept the change with what-if --accept.",
  },
  unknown: {
    name: "CannotBeCompared",
    level: "note",
    sentence:
      "What happens to this traffic cannot be decided by the current or by the proposed policies.",
    help: "The message names the fact that is missing.",
  },
};

/** Formats a what-if as SARIF, indented, and a line end. */
export function whatIfSarif(report: WhatIfReport, context: FlipContext, version: string): string {
  const log: Json = {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: { driver: { name: "netverdict", version, rules: CHANGES.map(ruleJson) } },
        invocations: [
          {
            executionSuccessful: report.partial === undefined,
            toolExecutionNotifications: report.diagnostics.map(notificationJson),
          },
        ],
        columnKind: "utf16CodeUnits",
        results: [
          ...report.groups.map((group) => resultJson(group, report, context)),
          ...(report.blindSpots ?? []).map((spot) => blindJson(spot, report)),
        ],
      },
    ],
  };
  return `${stringifyJson(log, 1)}\n`;
}

function ruleJson(change: Change): Json {
  const { name, level, sentence, help } = RULES[change];
  return {
    id: change,
    name,
    shortDescription: { text: sentence },
    fullDescription: { text: sentence },
    help: { text: help },
    defaultConfiguration: { level },
  };
}

function resultJson(group: FlipGroup, report: WhatIfReport, context: FlipContext): Json {
  const { change, accepted, flows, packets, first } = group;
  const [place, ...others] = placesOf(group, context).flatMap((each) => locationJson(each) ?? []);
  const sentences = [
    `${pairText(group)} ${CHANGE_WORDS[change]}`,
    `before: ${sideText(first.before, report.nature)}`,
    `after: ${reasonsAfter(group, report.nature, context).join("; ")}`,
  ];
  return {
    ruleId: change,
    ruleIndex: CHANGES.indexOf(change),
    level: RULES[change].level,
    message: { text: escapeControls(sentences.join(". ")) },
    locations: place === undefined ? [] : [place],
    relatedLocations: others.length === 0 ? undefined : others,
    partialFingerprints: { "netverdictChange/v1": fingerprint(group, context) },
    suppressions: accepted
      ? [{ kind: "external", status: "accepted", justification: "what-if --accept" }]
      : undefined,
    properties: { flows, packets, firstPacket: first.firstPacket },
  };
}

function fingerprint({ change, from, to, port, first }: FlipGroup, context: FlipContext): string {
  const rules = [
    ruleKey(first.before, context.before.find),
    ruleKey(first.after, context.after.find),
  ];
  return hashOf([change, from, to, port, rules]);
}

/** Traffic that changes and that no capture shows: beside one it is worth a note. */
function blindJson(spot: BlindSpot, { nature, captured }: WhatIfReport): Json {
  const { change, from, to, before, after } = spot;
  const places = [...pointsOf(after), ...pointsOf(before)].map(({ place }) => place);
  const [place] = places.flatMap((each) => locationJson(each) ?? []);
  const ends = `${blindNamesText(from)} -> ${blindNamesText(to)} ${blindServicesText(spot)}`;
  const sentences = [
    `${ends} ${CHANGE_WORDS[change]}${captured ? ", and nothing in the capture shows it" : ""}`,
    `before: ${sideText(before, nature)}`,
    `after: ${sideText(after, nature)}`,
  ];
  return {
    ruleId: change,
    ruleIndex: CHANGES.indexOf(change),
    level: captured ? "note" : RULES[change].level,
    message: { text: escapeControls(sentences.join(". ")) },
    locations: place === undefined ? [] : [place],
    partialFingerprints: {
      "netverdictChange/v1": hashOf([change, from, to, blindServicesText(spot)]),
    },
  };
}

function hashOf(value: Json): string {
  return bytesToHex(sha256(utf8ToBytes(JSON.stringify(value))));
}

function notificationJson({ severity, code, message, place, suggestion }: Diagnostic): Json {
  const hint = suggestion === undefined ? "" : ` (${suggestion})`;
  const location = place === undefined ? undefined : locationJson(place);
  return {
    level: severity,
    descriptor: { id: code },
    message: { text: escapeControls(`${message}${hint}`) },
    locations: location === undefined ? undefined : [location],
  };
}

/** A place in a file; undefined for standard input. A commit's file is that of the working tree. */
function locationJson({ file, line, column }: Place): Json | undefined {
  if (file === "-") return undefined;
  const path = file.replace(/^git:[^:]*:/, "");
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return {
    physicalLocation: {
      artifactLocation: { uri: path.startsWith("/") ? `file://${encoded}` : encoded },
      region: line === undefined ? undefined : { startLine: line, startColumn: column },
    },
  };
}
