/** Loads text into a real kernel, in a network namespace of its own, and reads it back. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type Backend = "legacy" | "nft";

/** Why no kernel can be asked here; undefined when one can. */
export const labMissing = probe();

function probe(): string | undefined {
  const script = [
    "command -v ipset ip6tables-legacy-restore ip6tables-nft-restore >/dev/null || exit 4",
    "unshare -n ipset list -n",
  ].join("\n");
  const { status } = spawnSync("sh", ["-c", script]);
  if (status === 0) return undefined;
  return status === 4
    ? "iptables and ipset are not installed"
    : "network namespaces need root, which this user is not";
}

/** What the kernel was given and what it says it has; each as the save commands print it. */
export interface Loaded {
  readonly iptables: string;
  readonly ip6tables: string;
  readonly ipset: string;
}

/** Restores sets, then both families' rules; throws with the commands' words when one is refused. */
export function loadIntoKernel(given: Loaded, backend: Backend): Loaded {
  const folder = mkdtempSync(join(tmpdir(), "netverdict-"));
  try {
    for (const [name, text] of Object.entries(given)) writeFileSync(join(folder, name), text);
    const script = `set -e; cd "$1"
      ipset restore < ipset
      iptables-$2-restore < iptables
      ip6tables-$2-restore < ip6tables
      for each in iptables-$2-save ip6tables-$2-save 'ipset save'; do $each; echo '# cut here'; done`;
    const run = spawnSync("unshare", ["-n", "sh", "-c", script, "sh", folder, backend], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    if (run.status !== 0) throw new Error(run.stderr);
    const [iptables = "", ip6tables = "", ipset = ""] = run.stdout.split("# cut here\n");
    return { iptables: canonicalTables(iptables), ip6tables: canonicalTables(ip6tables), ipset };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Without comment lines and counters, tables by name: each backend has an order of its own. */
export function canonicalTables(text: string): string {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const tables = lines.join("\n").split("COMMIT");
  return tables
    .map((table) => table.trim().replace(/\[\d+:\d+\]$/gm, "[0:0]"))
    .filter((table) => table !== "")
    .toSorted()
    .join("\nCOMMIT\n");
}

/** Without what the kernel adds to a set; members of a hash have no order. */
export function canonicalSets(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.replace(/ bucketsize \d+ initval 0x[0-9a-f]+$/, ""))
    .filter((line) => line !== "")
    .toSorted();
}
