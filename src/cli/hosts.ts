/**
 * Files of names and addresses: `--hosts`, for the host names in text captures, before what the cluster
 * itself names; and `--dns`, for the domain names in policies.
 */
import { resolveClusterName } from "../cluster/names.ts";
import type { ResolveName } from "../cluster/names.ts";
import { domainKey } from "../cluster/snapshot.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import { parseAddress } from "../net/address.ts";
import type { Address } from "../net/address.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { Failure } from "./failure.ts";
import { readWhole } from "./read-whole.ts";

/** Makes the look-up of host names; `file` is what `--hosts` named. */
export function makeResolver(
  file: string | undefined,
  snapshot: Snapshot,
  log: DiagnosticLog,
): ResolveName {
  const inCluster = resolveClusterName(snapshot);
  if (file === undefined) return inCluster;
  const byName = readHosts(file, log);
  // The first line of a family wins, as in /etc/hosts.
  const inFile: ResolveName = (name, family) =>
    byName
      .get(domainKey(name))
      ?.find((address) => family === undefined || address.family === family);
  return (name, family) => inFile(name, family) ?? inCluster(name, family);
}

/**
 * Reads a file of lines `ADDRESS NAME...`, as /etc/hosts has them; `#` starts a comment. Names are as
 * `domainKey` writes them, their addresses in the file's order.
 */
export function readHosts(file: string, log: DiagnosticLog): ReadonlyMap<string, Address[]> {
  const text = readWhole(file).toString("utf8");
  log.addText({ file, text });
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
    if (names.length === 0) {
      log.report({
        severity: "error",
        code: "MISSING_FIELD",
        message: `no name stands behind ${addressText}; expected ADDRESS NAME...`,
        place: { file, line: index + 1, column: line.indexOf(addressText) + 1 },
      });
    }
    for (const name of names) {
      const key = domainKey(name);
      byName.set(key, [...(byName.get(key) ?? []), address]);
    }
  }
  if (log.errors > 0) throw new Failure("");
  return byName;
}
