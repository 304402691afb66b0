/** What is built and installed: `npm test` builds first. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const DIST = new URL("../dist/src/", import.meta.url);

/** What a built module and those that it imports name that is no file of the build. */
function foreignImports(url: URL, seen = new Set<string>()): string[] {
  if (seen.has(url.href)) return [];
  seen.add(url.href);
  const text = readFileSync(url, "utf8");
  const imports = /^(?:import|export)\b[^;"]*"([^"]+)";|\bawait import\("([^"]+)"\)/gmu;
  const names = [...text.matchAll(imports)].map(([, always, later]) => (always ?? later)!);
  return names.flatMap((name) =>
    name.startsWith(".") ? foreignImports(new URL(name, url), seen) : [name],
  );
}

describe("the build", () => {
  it("of the library needs neither Node nor another package", () => {
    const library = new URL("index.js", DIST);
    expect(foreignImports(library)).toEqual([]);
    expect(readFileSync(library, "utf8")).toContain("./cli/");
  });

  it("of the command needs Node alone", () => {
    for (const script of ["bin", "worker", "side-worker"]) {
      const foreign = foreignImports(new URL(`cli/${script}.js`, DIST));
      expect(foreign.length).toBeGreaterThan(0);
      expect(foreign.filter((name) => !name.startsWith("node:"))).toEqual([]);
    }
  });

  it("has the licences of what it holds of others", () => {
    const text = readFileSync(new URL("licenses.txt", DIST), "utf8");
    const { devDependencies } = JSON.parse(
      readFileSync(new URL("../../package.json", DIST), "utf8"),
    ) as { readonly devDependencies: Readonly<Record<string, string>> };
    for (const name of ["commander", "ipaddr.js", "yaml", "picocolors", "fastest-levenshtein"]) {
      expect(text).toContain(`${name} ${devDependencies[name]} (`);
    }
    expect(existsSync(new URL("index.d.ts", DIST))).toBe(true);
  });
});
