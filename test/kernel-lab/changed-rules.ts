/** Other rules for a lab that is under way: they take the place of its own as iptables-restore does it. */
import { spawnSync } from "node:child_process";

import type { KernelLab, LoadedState } from "../../src/lab/lab.ts";
import type { Backend } from "../../src/match/extension.ts";
import type { Family } from "../../src/net/address.ts";
import type { Random } from "../random.ts";
import { randomRules, rulesText, type RandomRules } from "./random-rules.ts";

/** Draws rules that can take the place of others: all their tables are replaced, by sets of other names. */
export function otherRules(
  random: Random,
  backend: Backend,
  allowed: ReadonlySet<string>,
  before: RandomRules,
): RandomRules {
  const drawn = JSON.stringify(randomRules(random, backend, allowed));
  const rules = JSON.parse(drawn.replace(/\b(s|list)(\d)\b/g, "other-$1$2")) as RandomRules;
  const there = new Set(rules.tables.map(keyOf));
  const emptied = before.tables
    .filter((table) => !there.has(keyOf(table)))
    .map((table) => ({
      ...table,
      chains: table.chains
        .filter(({ policy }) => policy !== "-")
        .map((chain) => ({ ...chain, policy: "ACCEPT", rules: [] })),
    }));
  return { ...rules, tables: [...rules.tables, ...emptied] };
}

function keyOf({ backend, family, name }: RandomRules["tables"][number]): string {
  return `${backend} ${family} ${name}`;
}

/** Replaces the rules of a lab, and gives what the kernel says that it has then. */
export function changeRules(lab: KernelLab, rules: RandomRules): LoadedState {
  const { ipsets, tables } = rulesText(rules);
  const run = (words: readonly string[], input = ""): string => {
    const inside = ["-t", `${lab.pid}`, "-n", ...words];
    const { status, stdout, stderr } = spawnSync("nsenter", inside, { input, encoding: "utf8" });
    if (status !== 0) throw new Error(`${words.join(" ")}: ${stderr}`);
    return stdout;
  };
  run(["ipset", "restore"], ipsets);
  for (const [backend, texts] of Object.entries(tables)) {
    for (const family of [4, 6] as const satisfies readonly Family[]) {
      const command = `ip${family === 6 ? "6" : ""}tables-${backend}-restore`;
      if (texts[family] !== "") run([command], texts[family]);
    }
  }
  const save = (backend: Backend, family: Family): string =>
    run([`ip${family === 6 ? "6" : ""}tables-${backend}-save`, "-c"]);
  const backends = new Set([...Object.keys(lab.loaded.tables), ...Object.keys(tables)]);
  const saved = [...backends].map((name) => {
    const backend = name as Backend;
    return [backend, { 4: save(backend, 4), 6: save(backend, 6) }] as const;
  });
  return { ...lab.loaded, tables: Object.fromEntries(saved), ipsets: run(["ipset", "save"]) };
}
