/** Addresses of host names that text captures give: `--hosts` first, then what the cluster itself names. */
import { readFileSync } from "node:fs";
import { resolveClusterName } from "../cluster/names.ts";
import type { ResolveName } from "../cluster/names.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import { parseAddress } from "../net/address.ts";
import type { Address } from "../net/address.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { Failure, systemErrorText } from "./failure.ts";

/** Makes the look-up of host names; `file` is what `--hosts` named. */
export function makeResolver(
  file: string | undefined,
  snapshot: Snapshot,
  log: DiagnosticLog,
): ResolveName {
  const inCluster = resolveClusterName(snapshot);
  if (file === undefined) return inCluster;
  const inFile = readHosts(file, log);
  return (name, family) => inFile(name, family) ?? inCluster(name, family);
}

/** Reads a file of lines `ADDRESS NAME...`, as /etc/hosts has them; `#` starts a comment. */
function readHosts(file: string, log: DiagnosticLog): ResolveName {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new Failure(`${file}: ${systemErrorText(error)}`);
  }
  log.addText(file, text);
  const byName = new Map<string, Address[]>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const [addressText, ...names] = line
      .replace(/#.*/, "")
      .split(/\s+/)
      .filter((word) => word !== "");
    if (addressText === undefined) continue;
    const address = parseAddress(addressText);
    if (address === undefined) {
      log.report({
        severity: "error",
        code: "BAD_ADDRESS",
        message: `"${addressText}" is not an address; expected ADDRESS NAME...`,
        place: { file, line: index + 1, column: line.indexOf(addressText) + 1 },
      });
      continue;
    }
    for (const name of names) {
      const key = name.toLowerCase();
      byName.set(key, [...(byName.get(key) ?? []), address]);
    }
  }
  if (log.errors > 0) throw new Failure("");
  // The first line of a family wins, as in /etc/hosts.
  return (name, family) =>
    byName
      .get(name.toLowerCase().replace(/\.$/, ""))
      ?.find((address) => family === undefined || address.family === family);
}
