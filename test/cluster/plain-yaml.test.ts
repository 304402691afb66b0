/** What the fast reader reads, it reads as the library does; the rest it leaves to the library. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { parsePlainYaml } from "../../src/cluster/plain-yaml.ts";
import { encodeText } from "../../src/cluster/text-bytes.ts";
import { parseAnyYaml, parseYaml, type PlacedValue } from "../../src/cluster/yaml.ts";
import { makeRandom } from "../random.ts";

type Path = (string | number)[];

/** Every key and item below a value, and some that are not there. */
function pathsOf(value: unknown, path: Path = []): Path[] {
  const steps: Path =
    typeof value === "object" && value !== null
      ? Array.isArray(value)
        ? [...value.keys()]
        : Object.keys(value)
      : [];
  const inner = steps.flatMap((step) => pathsOf(Object(value)[step], [...path, step]));
  return [path, [...path, "absent", "deeper"], [...path, 7], ...inner];
}

/** Values, keys in their order, and the place of each. */
function written(values: readonly PlacedValue[]): string[] {
  return values.flatMap((placed) =>
    pathsOf(placed.value).map((path) => {
      const value: unknown = path.reduce<unknown>(
        (outer, step) => Object(outer)[step],
        placed.value,
      );
      const places = [placed.placeOf(path), placed.placeOf(path, "key")];
      const characters = typeof value === "string" ? Math.min(value.length, 12) : 0;
      for (let at = 0; at < characters; at++) places.push(placed.placeOf(path, at));
      // Only objects are asked for by themselves.
      if (typeof value === "object" && value !== null) places.push(placed.at(path).placeOf([]));
      const zero = Object.is(value, -0) ? "-" : "";
      return JSON.stringify([path, places, value]) + zero;
    }),
  );
}

/** Undefined where the library reads the text. */
function compared(text: string): "equal" | undefined {
  const encoded = encodeText(text);
  if (encoded === undefined || parsePlainYaml(encoded) === undefined) return undefined;
  const manifest = { file: "f", text };
  const fail = (): void => expect.fail(`the library finds a fault in ${JSON.stringify(text)}`);
  expect(written(parseYaml(manifest, fail)), text).toEqual(written(parseAnyYaml(manifest, fail)));
  return "equal";
}

const EXAMPLE = ["cluster", "policies"].map((name) =>
  readFileSync(join(import.meta.dirname, `../../examples/dns-forgotten/${name}.yaml`), "utf8"),
);

describe("parsePlainYaml", () => {
  it.each([
    ...EXAMPLE,
    "a: 1\n---\n# nothing\n---\nb: 2\n",
    '{"a": [1, "x", null, true, -0, 1.5, 1e3],\n"b":{},"c\\u00e9\\n\\"\\/":[]}',
    "a:\n- b\n-   c: 1\n    d: 2\n-\n  - e\n- - f\n  - g\n",
    "a: on\nb: No\nc: 'o''n'\nd: y\ne: ~\nf:\ng: # none\nh: '~'\n",
    "a: 010\nb: 1_000\nc: 08\nd: -1\ne: +.5\nf: 1.\ng: 12345678901234567890\n",
    "a: http://x:80/#y\nb: x#y # comment\nc: -x\nd: [a, b,]\ne: {f: g, h: [i]}\n",
    "a: [0b11, 0o17, +0x1_f, -0b1, 0O7, 1_0.5, 0B2]\nb: -017\n",
    "80: x\na: z\n9: w\n__proto__: v\nconstructor: u\n",
    "a: |\n  {{ text }}\n\n    more\n\nb: |-\n  x\nc: |+\n  y\n\nd: >\n  e\n  f\n",
    "a: one\n  two\n\n  # comment\nb: 'three\n  four'\nc: \"five\n  six\"\n",
    "a: 1\r\nb:\r\n- c\r\n-   \r\n",
    " a:\n  b: 1\n",
    "",
    "# nothing",
    "---",
    "a:",
    "a: b",
    "- a\n-",
    "[a, 'b', \"c\"]",
    "é: à, 中 😀 z\nb: ['é', \"中\\u00e9\", 😀]\n",
    "{é: à, b: 'x😀''y', \"c\":[é]}",
    "a: |\n  é\n  中\nb: >-\n  😀\n  x\nc: é\n",
    "a: é\n  中\n  😀\nb: 'é\n  中'\nc: \"é\n  x: y\"\n",
    "# é\r\na: é # 中\r\nb:\r\n- 'é\r\n  😀'\r\n- c\r\n",
    "a: \ufeffb\nc: \u00a0\u2028d\ne: \u0085\n",
    `a: "${"é".repeat(3000)}"\nb: [${"😀, ".repeat(600)}x]\nc: d\n`,
    `${"é".repeat(400)}: 1\n`,
    "a: 1\n'': 2\n",
  ])("reads %j as the library does", (text) => {
    expect(compared(text)).toBe("equal");
  });

  it.each([
    "\ufeffa: 1\n",
    "a: &x 1\n",
    "a: *x\n",
    "a: !!str 1\n",
    "%YAML 1.2\n---\na: 1\n",
    "a: 1\n...\n",
    "? a\n: 1\n",
    "on: y\n",
    "010: y\n",
    "0b1: y\n",
    "a: 1\na: 2\n",
    '{"a": 1, "a": 2}',
    "<<: {a: 1}\n",
    "a: [1\n",
    "a: 'x\n",
    "a: {{ .Values.x }}\n",
    "a: b: c\n",
    "a: 1\n  b: 2\n",
    "a: 1\n b\n: 2\n",
    "a:\tb\n",
    "a\n",
    "null: 1\n",
    "a: .inf\n",
    "a: 0o8\n",
    'a: "\\x41"\n',
    "a: |2\n   b\n",
    "a: 1\r\nb: 2\n",
    "a: 1\r\nb: 2\r",
    "a: 1\r\r\n",
    "a: |\r\n  b\r\n",
    "a: \ud800\n",
    "a: |\n  b",
    "a: 'x''",
    "a: {b",
    "a: [b,",
    `a: ${"[".repeat(70)}${"]".repeat(70)}\n`,
  ])("leaves %j to the library", (text) => {
    expect(compared(text)).toBeUndefined();
  });

  it.each([
    String.raw`{"k\ty": "plain", b: "x\\", c: "", d: "\""}`,
    String.raw`a: "x\"y"` + "\nb: 'plain'\n",
    "a: ''''\n'it''s': 'x'\nb: plain\n",
    'a: "one\n  two"\nb: "plain"\n',
    "a: \"one\r\n  two\"\r\nb: 'it''s'\r\n",
    `{"list": [${'["1"], {"x": "y"}, '.repeat(1500)}{"last": {"deep": ["z"]}}], "behind": 1}`,
  ])("keeps what is quoted, and the places behind it: %.50s", (text) => {
    expect(compared(text)).toBe("equal");
  });

  it("takes blanks other than spaces for a quoted text's own", () => {
    expect(compared("r: 'two\n  \u00a0lines'\n")).toBe("equal");
    expect(compared('q: "two\u00a0\n  \u3000lines"\n')).toBe("equal");
    expect(compared("r: 'two\u00a0\r\n  lines'\r\n")).toBe("equal");
  });

  it("leaves a byte order mark to the library, wherever content begins", () => {
    expect(compared("\n\ufeffa: 1\na: 2\n")).toBeUndefined();
  });

  it("agrees with the library on manifests with random changes", () => {
    const { below, chance, pick } = makeRandom(4);
    const pieces = [
      " ",
      "\n",
      ":",
      ": ",
      "- ",
      " #",
      ",",
      "{",
      "}",
      "[",
      "]",
      '"',
      "'",
      "|\n",
      "0",
      "é",
      "😀",
      "\r",
      "\u00a0",
      "\ufeff",
    ];
    const documents = EXAMPLE.flatMap((text) => text.split("---\n"));
    let equal = 0;
    for (let round = 0; round < 2000; round++) {
      let text = pick(documents);
      if (chance(0.3)) {
        const [first] = parseYaml({ file: "f", text }, () => undefined);
        text = JSON.stringify(first?.value, undefined, below(3));
      }
      for (let change = below(3); change >= 0; change--) {
        const at = below(text.length);
        const lines = text.split("\n");
        const line = below(lines.length);
        switch (below(3)) {
          case 0:
            text = text.slice(0, at) + text.slice(at + 1 + below(3));
            break;
          case 1:
            text = text.slice(0, at) + pick(pieces) + text.slice(at);
            break;
          default:
            lines[line] = " ".repeat(below(6)) + (lines[line] ?? "").trimStart();
            text = lines.join("\n");
        }
      }
      if (chance(0.2)) text = text.replaceAll("\n", "\r\n");
      if (compared(text) === "equal") equal += 1;
    }
    expect(equal).toBeGreaterThan(200);
  });
});
