/**
 * Rule tables as the text of iptables-save and ip6tables-save, in the very form those print, so that
 * the restore commands take it and print it back unchanged.
 */
import { renderMatches } from "../match/index.ts";
import type { Family } from "../net/address.ts";
import { renderTarget } from "../target/index.ts";
import { isPrinted } from "./model.ts";
import type { Chain, Rule, Ruleset, TableName } from "./model.ts";

/** The order in which a packet meets them. */
const TABLE_ORDER: readonly TableName[] = ["raw", "mangle", "nat", "filter", "security"];

/** Renders one family's tables; the empty text when there are none. */
export function renderIptables(ruleset: Ruleset): string {
  return renderTables(ruleset, ({ rules, partlyPrinted }) =>
    partlyPrinted === true ? rules.filter(isPrinted) : rules,
  );
}

/**
 * As `renderIptables`, with other rules than the chains have.
 *
 * @param rulesOf makes a chain's rules when its text is made, and nothing keeps them
 */
export function renderTables(
  ruleset: Ruleset,
  rulesOf: (chain: Chain, table: TableName) => readonly Rule[],
): string {
  const tables = TABLE_ORDER.flatMap((name) =>
    ruleset.tables.filter((table) => table.name === name),
  );
  return tables
    .map(({ name: table, chains }) =>
      [
        `*${table}`,
        ...chains.map(({ name, policy }) => `:${name} ${policy ?? "-"} [0:0]`),
        ...chains.flatMap((chain) =>
          rulesOf(chain, table).map((rule) => renderRule(chain.name, rule, ruleset.family)),
        ),
        "COMMIT",
        "",
      ].join("\n"),
    )
    .join("");
}

/** Renders one rule as iptables-save prints it: `-A CHAIN ...`. */
export function renderRule(chain: string, rule: Rule, family: Family): string {
  const matches = renderMatches(rule.matches, family);
  const target = rule.target === undefined ? "" : renderTarget(rule.target, family);
  return [`-A ${chain}`, matches, target].filter((words) => words !== "").join(" ");
}
