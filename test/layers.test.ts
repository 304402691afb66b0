/** The order of the layers, read from the import lines. */
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

import { describe, expect, it } from "vitest";

import * as layout from "../assembly/layout.ts";
import { CAPTURE_FORMATS } from "../src/capture/index.ts";
import { MATCHES } from "../src/match/index.ts";
import { POLICY_KINDS } from "../src/policy/index.ts";

const ROOT = join(import.meta.dirname, "..");

const LAYERS = [
  "errors",
  "net",
  "capture",
  "cluster",
  "policy",
  "match",
  "target",
  "tables",
  "lint",
  "dump",
  "engine",
  "report",
  "workload",
  "hint",
  "lab",
  "cli",
];

/** Layers that speak in bytes and may name the numbers both sides share. */
const BYTE_LAYERS = new Set(["capture", "match", "target", "engine"]);

interface Import {
  readonly file: string;
  readonly specifier: string;
  /** From the repository's root; undefined for packages. */
  readonly target: string | undefined;
  readonly typeOnly: boolean;
}

function sourceFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(folder, file));
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), "utf8").replace(/\/\*[^]*?\*\//g, "");
  const statements = text.matchAll(
    /(?:^|\n)\s*(import|export)\s+(type\s)?[^;"']*?from\s+["']([^"']+)["']|(?:^|\n)\s*import\s+["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/g,
  );
  return [...statements].map((match) => {
    const specifier = match[3] ?? match[4] ?? match[5] ?? "";
    const target = specifier.startsWith(".")
      ? relative(ROOT, resolve(ROOT, dirname(file), specifier))
      : undefined;
    return { file, specifier, target, typeOnly: match[2] !== undefined };
  });
}

/** `engine` of `src/engine/matcher.ts`; `index` is the public API, above every layer but the command line. */
function layerOf(file: string): string {
  return (file.split("/")[1] ?? "").replace(/\.ts$/, "");
}

const sources = sourceFiles("src");
const imports = sources.flatMap(importsOf);

describe("layers", () => {
  it("are the only folders of src", () => {
    const unknown = sources.filter(
      (file) => layerOf(file) !== "index" && !LAYERS.includes(layerOf(file)),
    );
    expect(unknown).toEqual([]);
  });

  it("import from themselves and from layers before them", () => {
    const upward = imports
      .filter(({ target }) => target?.startsWith("src/"))
      .filter(({ file, target = "" }) => {
        if (layerOf(file) === "index") return layerOf(target) === "cli";
        if (layerOf(target) === "index" && target === "src/index.ts") {
          return layerOf(file) !== "cli";
        }
        return LAYERS.indexOf(layerOf(target)) > LAYERS.indexOf(layerOf(file));
      })
      .map(({ file, target }) => `${file} imports ${target}`);
    expect(upward).toEqual([]);
  });

  it("import nothing of assembly but its layout, and that only where bytes are spoken", () => {
    const strange = imports
      .filter(({ target }) => target?.startsWith("assembly/"))
      .filter(
        ({ file, target }) => target !== "assembly/layout.ts" || !BYTE_LAYERS.has(layerOf(file)),
      )
      .map(({ file, target }) => `${file} imports ${target}`);
    expect(strange).toEqual([]);
  });

  it("leave the repository's sources nowhere else", () => {
    const strange = imports
      .filter(({ target }) => target !== undefined && !/^(src|assembly)\//.test(target))
      .map(({ file, target }) => `${file} imports ${target}`);
    expect(strange).toEqual([]);
  });

  it("have no import cycle between files", () => {
    const targets = new Map<string, string[]>();
    // Within a layer two files may name each other's types; between layers the order forbids that too.
    for (const { file, target, typeOnly } of imports) {
      if (target === undefined || typeOnly) continue;
      targets.set(file, [...(targets.get(file) ?? []), target]);
    }
    const cycles: string[] = [];
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) {
        cycles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
        return;
      }
      if (done.has(file)) return;
      for (const target of targets.get(file) ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of sources) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it("are free of Node outside the kernel lab and the command line", () => {
    const offences = sources
      .filter((file) => !["lab", "cli"].includes(layerOf(file)))
      .flatMap((file) => {
        const text = readFileSync(join(ROOT, file), "utf8")
          .replace(/\/\*[^]*?\*\//g, "")
          .replace(/^\s*\/\/.*$/gm, "");
        const words =
          /["']node:\w|\bprocess\.\w|\bBuffer\b|\b__dirname\b|\bimport\.meta\.dirname\b/;
        return words.test(text) ? [`${file}: ${words.exec(text)?.[0] ?? ""}`] : [];
      });
    expect(offences).toEqual([]);
  });

  it("keep the matcher free of everything but itself", () => {
    const strange = sourceFiles("assembly")
      .flatMap(importsOf)
      .filter(({ target }) => target === undefined || !target.startsWith("assembly/"))
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    expect(strange).toEqual([]);
  });
});

describe("layout", () => {
  it("imports nothing and holds whole numbers only", () => {
    expect(importsOf("assembly/layout.ts")).toEqual([]);
    const strange = Object.entries(layout).filter(([, value]) => !Number.isInteger(value));
    expect(strange).toEqual([]);
  });

  it("gives each kind, target, verdict and reason a number of its own", () => {
    const offsets = /_(KIND|SIZE|INVERT|VERDICT|HOOK|RULE|FLAGS|TABLE)$/;
    for (const prefix of ["MATCH_", "TARGET_", "REASON_"]) {
      const numbers = Object.entries(layout)
        .filter(([name]) => name.startsWith(prefix) && !offsets.test(name))
        .filter(([name]) => name.split("_").length < 3 || prefix !== "MATCH_")
        .map(([, number]) => number);
      expect(numbers.length).toBeGreaterThan(5);
      expect(new Set(numbers).size).toBe(numbers.length);
    }
  });
});

describe("registries", () => {
  it("name every match under its own kind and number", () => {
    const extensions = Object.entries(MATCHES);
    expect(extensions.map(([kind, extension]) => [kind, extension.kind])).toEqual(
      extensions.map(([kind]) => [kind, kind]),
    );
    const ids = extensions.map(([, extension]) => extension.id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("have one file for each match, and no other", () => {
    const shared = ["index", "extension", "words", "bucket", "named-number", "word-range"];
    const files = readdirSync(join(ROOT, "src/match"))
      .map((file) => file.replace(/\.ts$/, ""))
      .filter((file) => !shared.includes(file));
    // Both modes of `-m statistic` are in one file.
    const kinds = Object.keys(MATCHES).filter((kind) => kind !== "nth");
    expect(kinds.sort()).toEqual(files.sort());
  });

  it("name every policy kind and capture format once", () => {
    const kinds = POLICY_KINDS.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`);
    expect(new Set(kinds).size).toBe(kinds.length);
    expect(kinds).toContain("networking.k8s.io/v1 NetworkPolicy");
    const formats = CAPTURE_FORMATS.map(({ name }) => name);
    expect(new Set(formats).size).toBe(formats.length);
  });
});
