/**
 * SARIF 2.1.0 (OASIS) as code scanning reads it. Paths are those of the repository; equal runs are equal to
 * the byte.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { escapeControls } from "../errors.ts";
import type { Diagnostic, Place } from "../errors.ts";
import { stringifyJson } from "./json.ts";
import type { Json } from "./json.ts";

export type SarifLevel = "error" | "warning" | "note";

/** What results are instances of. */
export interface SarifRule {
  readonly id: string;
  readonly name: string;
  readonly level: SarifLevel;
  /** With a full stop. */
  readonly sentence: string;
  readonly help: string;
}

/** One run of the program. */
export interface SarifRun {
  readonly version: string;
  readonly rules: readonly SarifRule[];
  /** Everything was looked at. */
  readonly whole: boolean;
  readonly diagnostics: readonly Diagnostic[];
  readonly results: readonly Json[];
}

/** Formats a run, indented, and a line end. */
export function sarifText({ version, rules, whole, diagnostics, results }: SarifRun): string {
  const log: Json = {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: { driver: { name: "netverdict", version, rules: rules.map(ruleJson) } },
        invocations: [
          {
            executionSuccessful: whole,
            toolExecutionNotifications: diagnostics.map(notificationJson),
          },
        ],
        columnKind: "utf16CodeUnits",
        results,
      },
    ],
  };
  return `${stringifyJson(log, 1)}\n`;
}

function ruleJson({ id, name, level, sentence, help }: SarifRule): Json {
  return {
    id,
    name,
    shortDescription: { text: sentence },
    fullDescription: { text: sentence },
    help: { text: help },
    defaultConfiguration: { level },
  };
}

function notificationJson({ severity, code, message, place, suggestion }: Diagnostic): Json {
  const hint = suggestion === undefined ? "" : ` (${suggestion})`;
  const location = place === undefined ? undefined : sarifLocation(place);
  return {
    level: severity,
    descriptor: { id: code },
    message: { text: escapeControls(`${message}${hint}`) },
    locations: location === undefined ? undefined : [location],
  };
}

/** A place in a file; undefined for standard input. A commit's file is that of the working tree. */
export function sarifLocation({ file, line, column }: Place): Json | undefined {
  const artifactLocation = sarifArtifact(file);
  if (artifactLocation === undefined) return undefined;
  return {
    physicalLocation: {
      artifactLocation,
      region: line === undefined ? undefined : { startLine: line, startColumn: column },
    },
  };
}

/** The file alone. */
export function sarifArtifact(file: string): Json | undefined {
  if (file === "-") return undefined;
  const path = file.replace(/^git:[^:]*:/, "");
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return { uri: path.startsWith("/") ? `file://${encoded}` : encoded };
}

/** What a result is told apart by from run to run. */
export function sarifFingerprint(value: Json): string {
  return bytesToHex(sha256(utf8ToBytes(JSON.stringify(value))));
}
