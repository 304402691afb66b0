/**
 * The kernel's own trace of each packet (`-j TRACE`), and the walk that the matcher records, in the
 * kernel's words: `table:chain:rule|return|policy:number`.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

import type { TraceStep } from "../../src/engine/verdict.ts";
import type { KernelLab, LabSight } from "../../src/lab/lab.ts";
import type { Backend } from "../../src/match/extension.ts";
import type { Family } from "../../src/net/address.ts";
import type { Rule } from "../../src/tables/model.ts";
import type { RandomRules, RandomTable } from "./random-rules.ts";

/** What the listener says of one step; nf_tables names no number for a policy. */
type KernelStep = readonly [
  table: string,
  chain: string,
  what: "rule" | "return" | "policy",
  number: number | null,
];

/** A lab that sends packets one by one and keeps what the kernel traced of each. */
export interface TracedLab {
  readonly lab: KernelLab;
  /** One list for each packet sent, in order. */
  readonly traces: readonly (readonly KernelStep[])[];
}

/** Listens to a lab's kernel; ends with the lab. */
export async function traceLab(lab: KernelLab): Promise<TracedLab> {
  const listener = spawn(
    "nsenter",
    [
      "--net",
      "--target",
      String(lab.pid),
      "python3",
      join(import.meta.dirname, "trace-listener.py"),
    ],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const lines = createInterface({ input: listener.stdout })[Symbol.asyncIterator]();
  const heard = async (): Promise<KernelStep[]> => {
    const line = await lines.next();
    if (line.done === true) throw new Error("the listener ended unasked");
    return JSON.parse(line.value) as KernelStep[];
  };
  await heard();
  const traces: KernelStep[][] = [];
  return {
    traces,
    lab: {
      ...lab,
      async cross(packets) {
        const sentNs = new BigUint64Array(packets.length);
        const sights: LabSight[] = [];
        for (const [index, packet] of packets.entries()) {
          const crossing = await lab.cross([packet]);
          sentNs[index] = crossing.sentNs[0] ?? 0n;
          sights.push(...crossing.sights);
          listener.stdin.write("\n");
          traces.push(await heard());
        }
        return { sentNs, sights };
      },
      async close() {
        listener.stdin.end();
        await lab.close();
      },
    },
  };
}

/** The same rules with `-j TRACE` first in raw. */
export function withTraceFirst(rules: RandomRules): RandomRules {
  const places = rules.tables.map(({ backend, family }) => [backend, family] as const);
  const raws = places
    .filter(([backend, family]) => !rules.tables.some((table) => isRaw(table, backend, family)))
    .map(([backend, family]) => `${backend} ${family}`);
  const made = [...new Set(raws)].map((key): RandomTable => {
    const [backend, family] = key.split(" ") as [Backend, string];
    const chains = ["PREROUTING", "OUTPUT"].map((name) => ({ name, policy: "ACCEPT", rules: [] }));
    return { backend, family: Number(family) as Family, name: "raw", chains };
  });
  const tables = [...made, ...rules.tables].map((table) =>
    table.name !== "raw"
      ? table
      : {
          ...table,
          chains: table.chains.map((chain) =>
            chain.policy === "-" ? chain : { ...chain, rules: ["-j TRACE", ...chain.rules] },
          ),
        },
  );
  return { ...rules, tables };
}

function isRaw(table: RandomTable, backend: Backend, family: Family): boolean {
  return table.name === "raw" && table.backend === backend && table.family === family;
}

/** The kernel's trace of a packet, one line a step. */
export function kernelLines(steps: readonly KernelStep[]): string[] {
  return steps.map(([table, chain, what, number]) => `${table}:${chain}:${what}:${number ?? ""}`);
}

/**
 * The recorded walk as the kernel of this backend traces it, up to the first step that was not known.
 *
 * > nf_tables traces rules and policies, not the ends of user chains, and no number of a policy.
 * > Of ip_tables, a rule without conditions that accepts, drops or returns is named as the end of its
 * > chain: get_chainname_rulenum() takes it for that.
 */
export function walkLines(
  steps: readonly TraceStep[],
  backend: Backend,
): { readonly lines: readonly string[]; readonly whole: boolean } {
  const lines: string[] = [];
  for (const step of steps) {
    if (step.kind === "table") {
      if (step.assumed) return { lines, whole: false };
      continue;
    }
    const { table, chain, number, rule } = step.rule;
    if (step.kind === "rule") {
      if (step.outcome === "unknown") return { lines, whole: false };
      // > What a match drops by itself is traced by nf_tables only.
      const dropped = step.outcome === "hotdrop" && backend === "nft";
      if (step.outcome !== "matched" && !dropped) continue;
      // > The rule that begins it is not traced by ip_tables.
      if (backend === "legacy" && lines.length === 0 && isTrace(rule)) continue;
      const end = rule?.matches.length === 0 && END_TARGETS.has(rule.target?.kind ?? "");
      const word = chain === step.hook ? "policy" : "return";
      lines.push(`${table}:${chain}:${end && backend === "legacy" ? word : "rule"}:${number}`);
    } else if (backend === "legacy") {
      lines.push(`${table}:${chain}:${step.what}:${number}`);
    } else if (step.what === "policy") {
      lines.push(`${table}:${chain}:policy:`);
    }
  }
  return { lines, whole: true };
}

function isTrace(rule: Rule | undefined): boolean {
  return rule?.target?.kind === "LOG" && rule.target.name === "TRACE";
}

const END_TARGETS: ReadonlySet<string> = new Set(["ACCEPT", "DROP", "RETURN"]);
