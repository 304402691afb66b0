import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

import { LINT_CODES } from "../src/lint/codes.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const read = (name: string): string => readFileSync(`${ROOT}${name}`, "utf8");

describe("README", () => {
  const blocks = [...read("README.md").matchAll(/^```sh run\n([\s\S]*?)^```/gm)];
  const commands = blocks.flatMap(([, text]) => (text ?? "").trim().split("\n"));

  it("has commands to run", () => {
    expect(commands.length).toBeGreaterThan(3);
  });

  it.each(commands)("shows a command that works: %s", (command) => {
    const [npx, name, ...words] = command.split(" ");
    expect([npx, name]).toEqual(["npx", "netverdict"]);
    const output = execFileSync(process.execPath, ["dist/src/cli/bin.js", ...words], {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    expect(output).not.toBe("");
  });

  it("links to files that are there", () => {
    const links = [...read("README.md").matchAll(/\]\(([^)#:]+)\)/g)].map(([, link]) => link ?? "");
    for (const link of links) expect(read(link)).not.toBe("");
  });
});

describe("docs/diagnostics.md", () => {
  it("has a sentence for every code, and no other", () => {
    const union = /export type DiagnosticCode =([\s\S]*?);/.exec(read("src/errors.ts"))?.[1] ?? "";
    const codes = [...union.matchAll(/"([A-Z_]+)"/g)].map(([, code]) => code);
    const described = [...read("docs/diagnostics.md").matchAll(/^\| `([A-Z_]+)` \| \S/gm)].map(
      ([, code]) => code,
    );
    expect(described.sort()).toEqual(codes.sort());
  });
});

describe("docs/lint.md", () => {
  it("has a paragraph for every code, and no other", () => {
    const described = [...read("docs/lint.md").matchAll(/^\*\*([A-Z_]+)\*\* \((?:warning|note)/gm)];
    expect(described.map(([, code]) => code)).toEqual(Object.keys(LINT_CODES));
  });
});
