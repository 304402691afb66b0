/**
 * ipset's own tests: every line of them makes of our sets what ipset makes of the kernel's, or is refused
 * where ipset refuses it; those that cannot be run here are counted, by their reasons.
 */
import { describe, expect, it } from "vitest";

import { dumpFiles, dumpText, haveDumps } from "./corpus.ts";
import { IpsetShell } from "./ipset-shell.ts";
import type { Outcome } from "./ipset-shell.ts";

const have = haveDumps();
const FOLDER = "ipset-7.17/tests";

/** Lines that are not run, and why; the first that fits counts. */
const LEFT_OUT: readonly (readonly [line: RegExp, reason: string])[] = [
  [/sendip|10\.255\.255\.64 .*\$\(\(/, "packets are sent by sendip"],
  [/restore\.t\.|ipset l [ab] /, "the corpus has not the file"],
  [
    /^0 \.\/(resize|resizet|resizen|resize-and-list|check_cidrs|cidr)\.sh/,
    "the corpus has not the script",
  ],
  [/-eq (8161|43520)$|-W test resize-test$/, "such a script made what is looked at"],
];

type Kind = "changes" | "tests" | "restores" | "prints" | "comparisons" | "counts" | "sleeps";
type Run = (shell: IpsetShell, ...groups: string[]) => Outcome | Promise<Outcome>;

/** How the lines of ipset's tests look, and what each asks for. */
const LINES: readonly (readonly [line: RegExp, kind: Kind, run: Run])[] = [
  [/^sleep (\d+)s?$/, "sleeps", (shell, seconds) => shell.sleep(Number(seconds))],
  [
    /^ipset (?:-T|test|t) (\S+) (\S+)( nomatch)?$/,
    "tests",
    (shell, set = "", entry = "", nomatch) => shell.test(set, entry, nomatch !== undefined),
  ],
  [/^ipset r -f (\S+)$/, "restores", (shell, file = "") => shell.restoreFile(file)],
  [/^ipset -s -f \.foo0 save && /, "prints", (shell) => shell.print("")],
  [/^ipset ([^|<>]+)$/, "changes", (shell, command = "") => shell.restore(command)],
  [
    /^\(ipset (-X \S+); true\)$/,
    "changes",
    (shell, command = "") => ({ ...shell.restore(command), exit: 0 }),
  ],
  [/^ipset save test > (hash:ip6.t.restore)$/, "prints", (shell) => shell.save("test")],
  [
    /^\(?ipset (?:-L|list|save) (\w+)(?: \|.*)? > /,
    "prints",
    (shell, set = "") => shell.print(set),
  ],
  [
    /^(?:\.\/diff\.sh|diff -u -I '[^']*'|cmp) \.foo (\S+)$/,
    "comparisons",
    (shell, file = "") => shell.compare(file),
  ],
  [
    /^\(sort (\S+) > \.foo\.2\) && \(cmp /,
    "comparisons",
    (shell, file = "") => shell.compare(file),
  ],
  [
    /^\(grep add (\S+) \| sort > .*&& cmp /,
    "comparisons",
    (shell, file = "") => shell.compareEntries(file),
  ],
  [
    /^\.\/check_\w+ (\S+) (\S+) ([\d ]+)$/,
    "comparisons",
    (shell, set = "", entry = "", numbers = "") => shell.numbers(set, entry, numbers.split(" ")),
  ],
  [
    /^n=`ipset save (\S+)\|wc -l` && test \$n -eq (\d+)$/,
    "counts",
    (shell, set = "", count) => shell.count(set, "lines", Number(count)),
  ],
  [
    /^(?:n=|test )`ipset \S+ (\w+) ?\| ?grep .*-eq (\d+)$/,
    "counts",
    (shell, set = "", count) => shell.count(set, "entries", Number(count)),
  ],
  [
    /^ipset list (\S+) \| sed .* \| xargs -n1 ipset del/,
    "changes",
    (shell, set = "") => shell.deleteAll(set),
  ],
  [/^ipset (?:-R|restore) < (\S+)/, "restores", (shell, file = "") => shell.restoreFile(file)],
  [
    /^sed 's\/([^/]*)\/([^/]*)\/' (\S+) \| ipset -R$/,
    "restores",
    (shell, from = "", to = "", file = "") =>
      shell.restoreFile(file, (text) => text.replace(from, to)),
  ],
  [
    /^(sed|tail -n \+2).* 's\/ 10\/ (\d+)\/'.*\| ipset r$/,
    "restores",
    (shell, command, net) =>
      shell.restoreFile("iphash.t.restore", (text) =>
        text
          .slice(command === "sed" ? 0 : text.indexOf("\n") + 1)
          .replaceAll("test", "test2")
          .replaceAll(" 10.", ` ${net}.`),
      ),
  ],
  // What it makes beside is counted by lines that are left out.
  [
    /^\.\/netgen\.sh \| ipset restore$/,
    "restores",
    (shell) => shell.restore("create test hash:net"),
  ],
];

/** How many lines came to what, so that none is missed: those that are done, refused, and left out. */
const EXPECTED: Readonly<Record<string, number>> = {
  changes: 254,
  comparisons: 57,
  counts: 8,
  "left out: packets are sent by sendip": 5,
  "left out: such a script made what is looked at": 4,
  "left out: the corpus has not the file": 6,
  "left out: the corpus has not the script": 10,
  prints: 28,
  "refused: a set cannot hold a prefix of no bits": 15,
  "refused: expected an IPv6 address": 1,
  "refused: hash:ip cannot hold an address of zeros": 14,
  "refused: is not in the set, and -exist is not said": 5,
  "refused: netmask and bitmask cannot be said both": 1,
  "refused: no packet finds it": 55,
  "refused: not among the entries": 7,
  restores: 9,
  sleeps: 12,
  tests: 66,
};

describe.skipIf(!have)("ipset's own tests", () => {
  it("hold, line by line", async () => {
    const files = dumpFiles(FOLDER).filter((file) => file.endsWith(".t"));
    const counts: Record<string, number> = {};
    const differences: string[] = [];
    for (const file of files) {
      const shell = new IpsetShell((name) => dumpText(`${FOLDER}/${name}`));
      for (const [index, text] of dumpText(file).split("\n").entries()) {
        if (text === "" || text.startsWith("#")) continue;
        const what = await runLine(shell, text);
        if (what.differs) differences.push(`${file}:${index + 1}: ${text} -> ${what.outcome}`);
        else counts[what.outcome] = (counts[what.outcome] ?? 0) + 1;
      }
    }
    expect(differences).toEqual([]);
    expect(counts).toEqual(EXPECTED);
  }, 120_000);
});

/** Runs `EXIT COMMAND`, or says why not. */
async function runLine(
  shell: IpsetShell,
  text: string,
): Promise<{ readonly outcome: string; readonly differs: boolean }> {
  const reason = LEFT_OUT.find(([shape]) => shape.test(text))?.[1];
  if (reason !== undefined) return { outcome: `left out: ${reason}`, differs: false };
  const [exit, line] = [Number(text.slice(0, 1)), text.slice(2)];
  const found = LINES.find(([shape]) => shape.test(line));
  if (found === undefined) return { outcome: "what is it?", differs: true };
  const [shape, kind, run] = found;
  const { exit: ours, because = "done" } = await run(shell, ...(shape.exec(line)?.slice(1) ?? []));
  if (ours !== exit) return { outcome: because, differs: true };
  // What is refused differs, why does not.
  const why = because.replace(/^\S+:? (?=hash:ip|a set|expected|is not in)/, "");
  return { outcome: exit === 0 ? kind : `refused: ${why}`, differs: false };
}
