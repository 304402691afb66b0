/** Rules read and printed as iptables 1.8.9 does, and refused where it or the kernel refuses them. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { RuleFault } from "../../src/dump/rule-fault.ts";
import { parseRule } from "../../src/dump/rule.ts";
import { splitWords } from "../../src/dump/words.ts";
import type { Backend } from "../../src/match/extension.ts";
import type { Family } from "../../src/net/address.ts";
import { renderRule } from "../../src/tables/iptables.ts";
import { labMissing } from "../tables/lab.ts";

interface RuleCase {
  readonly line: number;
  readonly table: string;
  readonly chain: string;
  readonly family: Family;
  readonly rule: string;
  /** `!` when refused. */
  readonly printed: Readonly<Record<Backend, string>>;
}

const BACKENDS: readonly Backend[] = ["legacy", "nft"];

function readCases(): RuleCase[] {
  const text = readFileSync(join(import.meta.dirname, "rules.txt"), "utf8");
  let around: Pick<RuleCase, "table" | "chain" | "family"> | undefined;
  return text.split("\n").flatMap((line, index): RuleCase[] => {
    if (line === "" || line.startsWith("#")) return [];
    const [, table, chain, family] = /^\*(\w+) (\w+) ([46])$/.exec(line) ?? [];
    if (table !== undefined && chain !== undefined) {
      around = { table, chain, family: family === "6" ? 6 : 4 };
      return [];
    }
    const [rule = "", legacy = "", nft = legacy] = line.split(/ ;(?: |$)/);
    const whole = (printed: string): string => (printed === "=" ? rule : printed);
    const printed = { legacy: whole(legacy), nft: whole(nft) };
    return [{ line: index + 1, ...around!, rule, printed }];
  });
}

function print({ family, table, chain, rule }: RuleCase, backend: Backend): string {
  try {
    const isChain = (name: string): boolean => name === "FOO";
    const around = { family, backend, table, chain, isChain };
    return parseRule(splitWords(rule) ?? [], around)
      .map((parsed) => renderRule(chain, parsed, family).replace(`-A ${chain}`, "").trim())
      .join(" || ");
  } catch (error) {
    if (!(error instanceof RuleFault)) throw error;
    return "!";
  }
}

const cases = readCases();

describe("a rule", () => {
  it.each(BACKENDS)("is read and printed as iptables-%s does, or refused", (backend) => {
    const ours = cases.map((each) => `${each.line}: ${each.rule} -> ${print(each, backend)}`);
    const theirs = cases.map(
      ({ line, rule, printed }) => `${line}: ${rule} -> ${printed[backend]}`,
    );
    expect(ours).toEqual(theirs);
    expect(cases.length).toBeGreaterThan(200);
  });

  it.each(BACKENDS)("that is printed is read as itself (%s)", (backend) => {
    const again = cases
      .filter(({ printed }) => printed[backend] !== "!" && !printed[backend].includes(" || "))
      // > iptables prints a base port of SNAT and MASQUERADE that it does not read.
      .filter(({ printed }) => !printed[backend].includes("2000/0"))
      .map((each) => [print({ ...each, rule: each.printed[backend] }, backend), each] as const);
    expect(again.map(([text]) => text)).toEqual(again.map(([, each]) => each.printed[backend]));
  });

  it.skipIf(labMissing !== undefined).each(BACKENDS)(
    "is what this machine's kernel makes of it (%s)",
    (backend) => {
      const script = cases.map((each) => kernelCommands(each, backend)).join("\n");
      const { stdout } = spawnSync("unshare", ["-n", "sh"], {
        input: script,
        encoding: "utf8",
        maxBuffer: 1 << 26,
      });
      const answers = stdout.split("# next\n").slice(0, -1);
      const printed = answers.map((answer, index) => {
        const rules = answer.split("\n").filter((line) => line.startsWith("-A"));
        if (answer.startsWith("refused")) return "!";
        const { chain } = cases[index]!;
        return rules.map((rule) => rule.replace(`-A ${chain}`, "").trim()).join(" || ");
      });
      const differing = cases.filter(({ printed: wanted }, index) => {
        // A kernel or iptables without the extension refuses what another takes.
        return printed[index] !== "!" && printed[index] !== wanted[backend];
      });
      expect(answers.length).toBe(cases.length);
      expect(differing.map(({ line }) => line)).toEqual([]);
      expect(printed.filter((text) => text === "!").length).toBeLessThan(cases.length / 2);
    },
    120_000,
  );
});

function kernelCommands({ family, table, chain, rule }: RuleCase, backend: Backend): string {
  const command = `${family === 4 ? "iptables" : "ip6tables"}-${backend}`;
  const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
  const text = `*${table}\n:FOO - [0:0]\n-A ${chain} ${rule}\nCOMMIT`;
  return [
    `${command} -t ${table} -F 2>/dev/null; ${command} -t ${table} -X 2>/dev/null`,
    `if printf '%s\\n' ${quote(text)} | ${command}-restore 2>/dev/null`,
    `then ${command}-save -t ${table} 2>/dev/null; else echo refused; fi; echo '# next'`,
  ].join("\n");
}
