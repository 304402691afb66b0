/** One rule's text through the reader of dumps and back. */
import type { Diagnostic } from "../../src/errors.ts";
import { parseIptablesSave } from "../../src/dump/iptables-save.ts";
import type { Backend } from "../../src/match/extension.ts";
import { renderMatches } from "../../src/match/index.ts";
import type { Family } from "../../src/net/address.ts";

/** The matches as iptables-save prints them; `FAIL` where the reader refuses them. */
export function canonicalRule(
  words: string,
  { table, chain }: { readonly table: string; readonly chain: string },
  { family, backend }: { readonly family: Family; readonly backend: Backend },
): string {
  const text = [`*${table}`, `:${chain} ACCEPT [0:0]`, `-A ${chain} ${words}`, "COMMIT", ""].join(
    "\n",
  );
  const errors: Diagnostic[] = [];
  const ruleset = parseIptablesSave({ file: "rules", text, family, backend }, [], (diagnostic) => {
    if (diagnostic.severity === "error") errors.push(diagnostic);
  });
  const chains = ruleset.tables.flatMap((each) => each.chains);
  const [rule] = chains.find(({ name }) => name === chain)?.rules ?? [];
  if (errors.length > 0 || rule === undefined) return "FAIL";
  return renderMatches(rule.matches, family);
}
