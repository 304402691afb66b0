/**
 * Files of expected verdicts: YAML lists of entries, or maps whose `expectations` is such a list. An entry
 * means every combination of its ends and ports.
 */
import { checkKnownFields, fieldOf, isRecord, itemsOf, readText } from "../cluster/fields.ts";
import { reportField, rootField, suggestionFor } from "../cluster/fields.ts";
import type { Field } from "../cluster/fields.ts";
import { parseYaml } from "../cluster/yaml.ts";
import type { PlacedValue } from "../cluster/yaml.ts";
import type { OnDiagnostic, Place } from "../errors.ts";
import { EXPECTED_VERDICTS } from "../report/expectations.ts";
import type { ExpectedVerdict } from "../report/expectations.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { parsePort } from "./explain-port.ts";
import { Failure } from "./failure.ts";
import { readManifests, stopOnErrors } from "./manifests.ts";

/** One entry of a file. */
export interface ExpectationEntry {
  readonly place: Place;
  readonly from: readonly string[];
  readonly to: readonly string[];
  /** `undefined` alone: none is given. */
  readonly ports: readonly (string | undefined)[];
  readonly verdict: ExpectedVerdict;
  readonly policy: string | undefined;
  readonly reason: string | undefined;
}

/** Of names equally near to a wrong one, the first is suggested. */
const ENTRY_FIELDS = ["port", "from", "to", "expect", "policy", "reason"];
/** What people write who mean a verdict. */
const OTHER_WORDS: ReadonlyMap<string, ExpectedVerdict> = new Map([
  ...["allowed", "accept", "pass", "permit"].map((word) => [word, "allow"] as const),
  ...["deny", "denied", "reject", "block", "blocked", "dropped"].map(
    (word) => [word, "drop"] as const,
  ),
]);

/** Reads the files and folders; ends the command when anything is wrong with them. */
export function readExpectations(paths: readonly string[], log: DiagnosticLog): ExpectationEntry[] {
  const entries = paths.flatMap((path) => {
    const texts = readManifests(path);
    const found = texts.flatMap((text) => {
      log.addText(text);
      return parseYaml(text, log.report).flatMap((document) => readDocument(document, log.report));
    });
    if (found.length > 0 || log.errors > 0) return found;
    throw new Failure(`${path}: there are no expectations`);
  });
  stopOnErrors(log);
  return entries;
}

function readDocument(document: PlacedValue, onDiagnostic: OnDiagnostic): ExpectationEntry[] {
  const { value } = document;
  const place = document.placeOf([]);
  const placeOf: PlacedValue["placeOf"] = (path, part) => document.placeOf(path, part);
  const metadata = { name: "", namespace: "", labels: new Map<string, string>() };
  const root = rootField(
    { apiVersion: "", kind: "", metadata, value, place, placeOf },
    onDiagnostic,
  );
  if (isRecord(value) && "kind" in value && !("expectations" in value)) {
    onDiagnostic({
      severity: "error",
      code: "BAD_VALUE",
      message: "this is a manifest, not a list of expectations: it goes behind -f",
      place,
    });
    return [];
  }
  if (Array.isArray(value)) return readEntries(root);
  checkKnownFields(root, ["expectations"]);
  const list = fieldOf(root, "expectations");
  if (isRecord(value) && list.value === undefined) reportMissing(root, "expectations", "a list");
  return readEntries(list);
}

function readEntries(list: Field): ExpectationEntry[] {
  return itemsOf(list).flatMap((entry) => {
    const read = readEntry(entry);
    return read === undefined ? [] : [read];
  });
}

/** Reads an entry; undefined when it is none, which was reported. */
function readEntry(entry: Field): ExpectationEntry | undefined {
  if (!isRecord(entry.value)) {
    const message = "must be a map with from, to, port and expect";
    reportField(entry, { code: "BAD_VALUE", message });
    return undefined;
  }
  checkKnownFields(entry, ENTRY_FIELDS);
  const from = readWords(entry, "from", "a pod, workload or address");
  const to = readWords(entry, "to", "a pod, workload, Service or address");
  const verdict = readVerdict(entry);
  const ports = readPorts(fieldOf(entry, "port"));
  const policy = readText(fieldOf(entry, "policy"));
  const reason = readText(fieldOf(entry, "reason"));
  if (from === undefined || to === undefined || verdict === undefined) return undefined;
  return { place: entry.object.placeOf(entry.path), from, to, ports, verdict, policy, reason };
}

function readWords(entry: Field, key: string, what: string): string[] | undefined {
  const field = fieldOf(entry, key);
  if (field.value === undefined) {
    reportMissing(entry, key, what);
    return undefined;
  }
  return wordsOf(field).flatMap((word) => readText(word) ?? []);
}

function readVerdict(entry: Field): ExpectedVerdict | undefined {
  const field = fieldOf(entry, "expect");
  if (field.value === undefined) {
    reportMissing(entry, "expect", EXPECTED_VERDICTS.join(", "));
    return undefined;
  }
  const text = readText(field);
  const verdict = EXPECTED_VERDICTS.find((each) => each === text);
  if (text === undefined || verdict !== undefined) return verdict;
  const other = OTHER_WORDS.get(text.toLowerCase());
  const suggestion =
    other === undefined ? suggestionFor(text, EXPECTED_VERDICTS) : `did you mean "${other}"?`;
  const message = `must be one of ${EXPECTED_VERDICTS.join(", ")}, not "${text}"`;
  reportField(field, { code: "BAD_VALUE", message, suggestion });
  return undefined;
}

/** Ports as `8443/tcp`, `icmp`, or a number, which is one of TCP. */
function readPorts(field: Field): (string | undefined)[] {
  if (field.value === undefined) return [undefined];
  return wordsOf(field).flatMap((word) => {
    const text = typeof word.value === "number" ? `${word.value}/tcp` : readText(word);
    if (text === undefined) return [];
    try {
      // Of no other protocol does the family make a difference, and none to what is wrong.
      parsePort(text, 4);
      return [/^\d+$/.test(text) ? `${text}/tcp` : text.toLowerCase()];
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const message = "must be PORT/PROTOCOL with tcp, udp or sctp (8443/tcp, 53/udp), or icmp";
      reportField(word, { code: "BAD_PORT", message });
      return [];
    }
  });
}

/** One value is a list of one. */
function wordsOf(field: Field): Field[] {
  return Array.isArray(field.value) ? itemsOf(field) : [field];
}

function reportMissing(outer: Field, key: string, what: string): void {
  reportField(outer, { code: "MISSING_FIELD", message: `${key} is missing: expected ${what}` });
}
