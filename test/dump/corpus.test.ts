/** Every dump of the corpus loads, or is refused where it says; iptables' own tests of its rules hold. */
import { describe, expect, it } from "vitest";

import { parseIptablesSave } from "../../src/dump/iptables-save.ts";
import { RuleFault } from "../../src/dump/rule-fault.ts";
import { parseRule } from "../../src/dump/rule.ts";
import { splitWords } from "../../src/dump/words.ts";
import type { Diagnostic } from "../../src/errors.ts";
import type { Family } from "../../src/net/address.ts";
import { renderRule } from "../../src/tables/iptables.ts";
import { dumpFiles, dumpText, haveDumps } from "./corpus.ts";

const have = haveDumps();
const SEMANTICS = "Iptables_Semantics";

/** What is no dump, or broken on purpose: where the first error stands. */
const REFUSED: Readonly<Record<string, string>> = {
  // Prose with lists.
  [`${SEMANTICS}/haskell_tool/README.md`]: "263:1 BAD_DUMP",
  // Options of -m time that iptables has taken back.
  [`${SEMANTICS}/thy/Iptables_Semantics/Examples/IPPartEval/linux.gda.pl/firewallp.txt`]:
    "6:85 BAD_RULE",
  // What a parser printed.
  [`${SEMANTICS}/haskell_tool/test/Suites/GoldenFiles/synology_iptables-save_jun_2015_cleanup`]:
    "1:1 BAD_DUMP",
  // An option that nobody has.
  [`${SEMANTICS}/thy/Iptables_Semantics/Examples/Parser_Test/data/iptables-save`]: "12:55 BAD_RULE",
};

function refusal(file: string): string | undefined {
  const found: Diagnostic[] = [];
  const family: Family = /ip6tables/.test(file) ? 6 : 4;
  parseIptablesSave({ file, text: dumpText(file), family, backend: undefined }, [], (each) =>
    found.push(each),
  );
  // The sets of these nodes are not in the corpus.
  const first = found.find(({ severity, code }) => severity === "error" && code !== "UNKNOWN_SET");
  if (first === undefined) return undefined;
  return `${first.place?.line}:${first.place?.column} ${first.code}`;
}

describe.skipIf(!have)("the corpus's dumps", () => {
  const dumps = have
    ? dumpFiles().filter(
        (file) =>
          !/extensions|ipset-/.test(file) && /^\*(filter|nat|mangle|raw)\s*$/m.test(dumpText(file)),
      )
    : [];

  it("load, or are refused naming line and reason", () => {
    const refused = dumps.flatMap((file) => {
      const where = refusal(file);
      return where === undefined ? [] : [[file, where] as const];
    });
    expect(Object.fromEntries(refused)).toEqual(REFUSED);
    expect(dumps.length).toBeGreaterThan(300);
  });
});

/** Lines of iptables' tests that are not met, and why. */
const UNMET: readonly (readonly [line: RegExp, reason: string])[] = [
  [/^-m icmpv6$/, "a match that nobody has is unknown, not refused (X-26)"],
  [/ foo src,dst$/, "whether set foo is there is looked at once the whole dump is read"],
  [/1\.1\.1\.1|1\.2\.0\.0/, "written for iptables: ip6tables has other addresses"],
];

describe.skipIf(!have)("iptables' own tests", () => {
  const files = have
    ? dumpFiles("iptables-1.8.9/extensions").filter((file) => /lib(xt|ipt|ip6t)_\w+\.t$/.test(file))
    : [];

  it.each(files)("of %s hold", (file) => {
    const families: readonly Family[] = file.includes("libip6t")
      ? [6]
      : file.includes("libipt")
        ? [4]
        : [4, 6];
    let chains: readonly string[] = [];
    let table = "filter";
    const differences: string[] = [];
    const counts = { printed: 0, refused: 0, unmet: 0 };
    for (const [index, line] of dumpText(file).split("\n").entries()) {
      if (line.startsWith(":")) chains = line.slice(1).split(",");
      if (line.startsWith("*")) table = line.slice(1);
      if (line === "" || /^[#:*]/.test(line)) continue;
      const [rule = "", canonical = "", outcome = ""] = line.split(";");
      const printed = canonical === "=" ? rule : canonical;
      const wanted = outcome.trim() === "OK" ? printed : "refused";
      for (const family of families) {
        for (const chain of chains) {
          const got = read(rule, { family, table, chain });
          if (got === wanted) {
            counts[wanted === "refused" ? "refused" : "printed"] += 1;
            continue;
          }
          const known = UNMET.some(
            ([pattern]) => pattern.test(rule) && (family === 6 || got !== "refused"),
          );
          if (known) counts.unmet += 1;
          else differences.push(`${index + 1}: ${rule} -> ${got}, not ${wanted}`);
        }
      }
    }
    console.log(
      `${file}: ${Object.entries(counts)
        .join(", ")
        .replaceAll(/,(?=\d)/g, " ")}`,
    );
    expect(differences).toEqual([]);
  });
});

function read(
  rule: string,
  around: { readonly family: Family; readonly table: string; readonly chain: string },
): string {
  try {
    const [parsed] = parseRule(splitWords(rule) ?? [], {
      ...around,
      backend: "legacy",
      isChain: () => false,
    });
    return renderRule(around.chain, parsed!, around.family)
      .replace(`-A ${around.chain}`, "")
      .trim();
  } catch (error) {
    if (!(error instanceof RuleFault)) throw error;
    return "refused";
  }
}
