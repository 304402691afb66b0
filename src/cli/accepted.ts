/**
 * The changes that somebody has looked at and wants: a YAML list that `what-if --accept` reads and
 * `--update-accept` writes. A change is named by what it does to whom, not by addresses that come and go.
 */
import { stringify } from "yaml";
import { parseYaml } from "../cluster/yaml.ts";
import type { PlacedValue } from "../cluster/yaml.ts";
import { CHANGES } from "../report/flips.ts";
import type { ChangeName } from "../report/flips.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { Failure } from "./failure.ts";
import { openSink } from "./output.ts";
import { readWhole } from "./read-whole.ts";

const FIELDS = ["change", "from", "to", "port"] as const;
const HEAD = `# Changes that netverdict what-if does not report any more: somebody has looked at them.
# Written by --update-accept; delete an entry to hear of it again.
`;

/** Reads the file; ends the command when it is not such a list. */
export function readAccepted(file: string, log: DiagnosticLog): ChangeName[] {
  const text = readWhole(file).toString("utf8");
  log.addText({ file, text });
  const names = parseYaml({ file, text }, log.report).flatMap((document) =>
    readList(document, log),
  );
  if (log.errors > 0) throw new Failure("");
  return names;
}

/** Writes the file anew, in an order that does not depend on the capture's. */
export async function writeAccepted(file: string, names: readonly ChangeName[]): Promise<void> {
  const byText = new Map(
    names.map(({ change, from, to, port }) => [
      JSON.stringify([change, from, to, port]),
      { change, from, to, port },
    ]),
  );
  const sorted = [...byText.keys()].sort().map((key) => byText.get(key));
  const sink = openSink(file, []);
  await sink.write(`${HEAD}${stringify(sorted)}`);
  await sink.finish();
}

/** Tells whether a change is among them. */
export function acceptance(names: readonly ChangeName[]): (name: ChangeName) => boolean {
  const keyOf = ({ change, from, to, port }: ChangeName): string =>
    JSON.stringify([change, from, to, port]);
  const accepted = new Set(names.map(keyOf));
  return (name) => accepted.has(keyOf(name));
}

function readList(document: PlacedValue, log: DiagnosticLog): ChangeName[] {
  const { value } = document;
  if (!Array.isArray(value)) {
    report(document, [], "expected a list of accepted changes", log);
    return [];
  }
  return value.flatMap((item: unknown, index) => {
    const fault = faultOf(item);
    if (fault === undefined) return [item as ChangeName];
    const path = fault.field === undefined ? [index] : [index, fault.field];
    report(document, path, fault.message, log);
    return [];
  });
}

/** What is wrong with an entry; undefined when it is one. */
function faultOf(item: unknown): { field?: string; message: string } | undefined {
  if (typeof item !== "object" || item === null || Array.isArray(item)) {
    return { message: `expected a map with ${FIELDS.join(", ")}` };
  }
  const entries = new Map<string, unknown>(Object.entries(item));
  for (const field of entries.keys()) {
    if (!FIELDS.some((known) => known === field))
      return { field, message: `unknown field "${field}"; expected ${FIELDS.join(", ")}` };
  }
  for (const field of FIELDS) {
    if (typeof entries.get(field) !== "string")
      return { field, message: `${field} must be a string` };
  }
  const change = entries.get("change");
  if (CHANGES.some((known) => known === change)) return undefined;
  return { field: "change", message: `change must be one of ${CHANGES.join(", ")}` };
}

function report(
  document: PlacedValue,
  path: readonly (string | number)[],
  message: string,
  log: DiagnosticLog,
): void {
  log.report({ severity: "error", code: "BAD_VALUE", message, place: document.placeOf(path) });
}
