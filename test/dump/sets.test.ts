/** Lines for `ipset restore`, read and printed as ipset 7.17 does, and refused where it or the kernel refuses them. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { parseIpsets } from "../../src/dump/ipset-save.ts";
import type { Diagnostic } from "../../src/errors.ts";
import { renderIpsets } from "../../src/tables/ipset.ts";
import { labMissing } from "../tables/lab.ts";

interface SetCase {
  readonly lines: string;
  /** `!` when refused. */
  readonly printed: string;
}

const cases = readFileSync(join(import.meta.dirname, "sets.txt"), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line): SetCase => {
    const [lines = "", printed = ""] = line.split(" => ");
    return { lines: lines.replaceAll(" ; ", "\n"), printed };
  });

function read(lines: string): { readonly text: string; readonly said: readonly Diagnostic[] } {
  const said: Diagnostic[] = [];
  const sets = parseIpsets(lines, "sets", (diagnostic) => said.push(diagnostic));
  return { text: renderIpsets([{ sets }]), said };
}

/** As the cases say it. */
function inOrder(text: string): string {
  const lines = text.split("\n").filter((line) => line !== "");
  const plain = lines.map((line) =>
    line.replace(/ hashsize 1024 maxelem 65536| bucketsize 12\b| initval 0x[0-9a-f]+/g, ""),
  );
  return plain.length === 0 ? "nothing" : plain.toSorted().join(" ; ");
}

function print(lines: string): string {
  const { text, said } = read(lines);
  return said.length > 0 ? "!" : inOrder(text);
}

describe("lines for ipset restore", () => {
  it("are read and printed as the kernel has them, or refused", () => {
    const ours = cases.map(({ lines }) => `${lines} => ${print(lines)}`);
    expect(ours).toEqual(cases.map(({ lines, printed }) => `${lines} => ${printed}`));
    expect(cases.length).toBeGreaterThan(250);
  });

  it("that are printed are read as themselves", () => {
    // > A range leaves addresses that the set's mask hides; ipset cannot restore them either.
    const hides = /bitmask 255.255.255.25[24] ; .*[-/]|hash:ip,port netmask .*-/;
    const again = cases.filter(
      ({ lines, printed }) => printed !== "!" && !hides.test(lines.replaceAll("\n", " ; ")),
    );
    for (const { text } of again.map(({ lines }) => read(lines))) {
      expect(read(text)).toEqual({ text, said: [] });
    }
    expect(again.length).toBeGreaterThan(130);
  });

  it.skipIf(labMissing !== undefined)("are to this machine's kernel what is said", () => {
    const script = cases.map(({ lines }) => kernelCommands(lines)).join("\n");
    const { stdout } = spawnSync("unshare", ["-n", "sh"], {
      input: script,
      encoding: "utf8",
      maxBuffer: 1 << 26,
    });
    const answers = stdout.split("# next\n").slice(0, -1);
    expect(answers.length).toBe(cases.length);
    const differing = cases.flatMap(({ lines, printed }, index) => {
      const answer = answers[index] ?? "";
      // A kernel or ipset without the type refuses what another takes.
      if (answer.startsWith("not here")) return [];
      const theirs = answer.startsWith("refused") ? "!" : inOrder(answer);
      return timeless(theirs) === timeless(printed)
        ? []
        : [`${lines} => ${theirs}, not ${printed}`];
    });
    expect(differing).toEqual([]);
    expect(answers.filter((answer) => answer.startsWith("not here")).length).toBeLessThan(5);
  });

  it("say what is refused, and where", () => {
    const where = (lines: string): string[] =>
      read(lines).said.map(({ message, place }) => `${place?.line}:${place?.column} ${message}`);
    expect(where("create a hash:ip\nadd a 1.1.1.1\nadd a 1.1.1.1")).toEqual([
      "3:7 1.1.1.1 is in the set already, and -exist is not said",
    ]);
    expect(where("create a hash:ip netmask 24 bitmask 255.0.0.0")).toEqual([
      "1:37 netmask and bitmask cannot be said both",
    ]);
    expect(where("create a hash:ip\nadd a 1.1.1.1 timeout 5\nadd a")).toEqual([
      "2:15 timeout: set a was created without timeout",
      "3:6 an entry is missing",
    ]);
    expect(where("create a hash:net,iface\nadd a 1.0.0.0/8,physdev:eth0")).toEqual([
      "2:7 physdev:eth0: bridge ports are not modelled",
    ]);
  });

  it("may be those of ipset list", () => {
    const listing = [
      "Name: l\nType: list:set\nRevision: 3\nHeader: size 8\nSize in memory: 128\nReferences: 0",
      "Number of entries: 1\nMembers:\na",
      "\nName: a\nType: hash:ip\nRevision: 6\nHeader: family inet hashsize 1024 maxelem 65536 timeout 9",
      "Size in memory: 296\nReferences: 1\nNumber of entries: 1\nMembers:\n1.1.1.1 timeout 7\n",
    ].join("\n");
    const set = "create a hash:ip family inet hashsize 1024 maxelem 65536 timeout 9\n";
    const text = `${set}add a 1.1.1.1 timeout 7\ncreate l list:set size 8\nadd l a\n`;
    expect(read(listing)).toEqual({ text, said: [] });
    expect(read(`${listing}1.1.1.1`).said[0]?.place?.line).toBe(20);
  });

  it("keep what a kernel says of its table, and know types that this kernel has not", () => {
    const lines = [
      "create a hash:ip,mark family inet6 markmask 0x0000ffff hashsize 64 maxelem 65536 bucketsize 12 initval 0x0000002a",
      "add a 2::1,0x00000005",
      "create b hash:mac hashsize 1024 maxelem 65536 forceadd bucketsize 12 initval 0x0000002b",
      "add b 01:23:45:67:89:AB",
      "create c hash:net,port,net family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x0000002c",
      "add c 0.0.0.0/0,tcp:5,1.0.0.0/8 nomatch",
      "",
    ].join("\n");
    expect(read(lines)).toEqual({ text: lines, said: [] });
  });
});

/** > What is left of an entry's time is cut to whole seconds. */
function timeless(text: string): string {
  return text.replace(/(add [^;]* timeout) [1-9]\d*/g, "$1 ...");
}

function kernelCommands(lines: string): string {
  return [
    `if printf '%s\\n' '${lines.replaceAll("'", `'\\''`)}' | ipset restore 2>err.$$`,
    "then ipset save; elif grep -q 'not supported' err.$$; then echo not here; else echo refused; fi",
    "rm err.$$; echo '# next'; ipset flush; ipset destroy",
  ].join("\n");
}
