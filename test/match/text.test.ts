/** Rule texts of stateful and byte-reading matches: what iptables-save 1.8.9 prints of them. */
import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/match/extension.ts";
import { haveLab } from "../kernel-lab/have-lab.ts";
import { canonicalRule } from "./rules.ts";

// As given | as printed: `=` the same, FAIL: refused.
const TABLE: readonly string[] = [
  "-m limit;-m limit --limit 3/hour",
  "-m limit --limit 3/hour;=",
  "-m limit --limit 7/min --limit-burst 1;=",
  "-m limit --limit 10000/s;-m limit --limit 10000/sec",
  "-m limit --limit 10001/s;FAIL",
  "-m limit --limit 1000/h;-m limit --limit 1000/hour",
  "-m limit --limit 5000/sec --limit-burst 10000;=",
  "-m limit --limit 3/day --limit-burst 10000;=",
  "-m limit ! --limit 3/day;FAIL",
  "-m limit --limit 25;-m limit --limit 25/sec",
  "-m limit --limit 90/m;-m limit --limit 90/min",
  "-m limit --limit 61/min;=",
  "-m limit --limit 7777/sec;-m limit --limit 10000/sec",
  "-m limit --limit 1/x;FAIL",
  "-m limit --limit 0/sec;FAIL",
  "-m limit --limit-burst 10001;FAIL",
  "-m quota ! --quota 1000;=",
  "-m quota --quota 0x10;-m quota --quota 16",
  "-m quota --quota 18446744073709551615;=",
  "-m quota --quota 18446744073709551616;FAIL",
  "-m quota;FAIL",
  "-m statistic --mode nth ! --every 5 --packet 2;=",
  "-m statistic --mode nth ! --every 5 --packet 5;FAIL",
  "-m statistic --mode random ! --probability 0.50000000000;=",
];

const ROWS = TABLE.map((row) => {
  const [given = "", printed = ""] = row.split(";");
  return { given, printed: printed === "=" ? given : printed };
});

const BACKENDS: readonly Backend[] = ["legacy", "nft"];
const PLACE = { table: "filter", chain: "FORWARD" };

describe.each(BACKENDS)("rules of iptables-%s", (backend) => {
  it.each(ROWS)("$given", ({ given, printed }) => {
    expect(canonicalRule(given, PLACE, { family: 4, backend })).toBe(printed);
    if (printed === "FAIL") return;
    expect(canonicalRule(printed, PLACE, { family: 4, backend })).toBe(printed);
  });
});

describe.skipIf(!haveLab())("the kernel's own text", () => {
  it.each(BACKENDS)("is the same, with %s", (backend) => {
    const script = `while IFS= read -r rule; do
      if printf '*filter\\n-A FORWARD %s\\nCOMMIT\\n' "$rule" | iptables-$1-restore 2>/dev/null
      then iptables-$1-save | sed -n 's/^-A FORWARD //p'; else echo FAIL; fi
      iptables-$1 -F
    done`;
    const { stdout } = spawnSync("unshare", ["-n", "sh", "-c", script, "sh", backend], {
      input: ROWS.map(({ given }) => `${given}\n`).join(""),
      encoding: "utf8",
    });
    const texts = stdout.trimEnd().split("\n");
    const said = ROWS.map(({ given }, index) => `${given};${texts[index] ?? ""}`);
    expect(said).toEqual(ROWS.map(({ given, printed }) => `${given};${printed}`));
  });
});
