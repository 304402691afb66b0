import { describe, expect, it } from "vitest";

import { parseYaml, type PlacedValue } from "../../src/cluster/yaml.ts";
import type { Diagnostic } from "../../src/errors.ts";

function parse(text: string): { values: PlacedValue[]; said: string[] } {
  const found: Diagnostic[] = [];
  const values = parseYaml({ file: "f", text }, (diagnostic) => found.push(diagnostic));
  const said = found.map(
    ({ code, place, message }) => `${place?.line}:${place?.column} ${code} ${message}`,
  );
  return { values, said };
}

function json(text: string): string {
  return JSON.stringify(parse(text).values.map(({ value }) => value));
}

describe("parseYaml", () => {
  it.each([
    ["a: 1\n---\n# nothing\n---\nb: 2\n", '[{"a":1},{"b":2}]'],
    ['{"a": [1, "x", null, true]}', '[{"a":[1,"x",null,true]}]'],
    ["\ufeffa: 1\r\nb: 2\r\n", '[{"a":1,"b":2}]'],
    ["a: on\nb: No\nc: 'on'\nd: y\n", '[{"a":true,"b":false,"c":"on","d":"y"}]'],
    ["a: 010\nb: 0x10\nc: 1_000\nd: 08\ne: '010'\n", '[{"a":8,"b":16,"c":1000,"d":8,"e":"010"}]'],
    ["[0b1111110010000, 0B11, -0b11, 0b1_0, 0b12]", '[[8080,3,-3,2,"0b12"]]'],
    ["[0o17, 0O17, 017, -017, 0_17, 018, 0o18, 0o]", '[[15,15,15,-15,15,18,"0o18","0o"]]'],
    ["[+80, -0, 0x50, 0X5f, -0x50, 0x_5_0, 0x]", '[[80,0,80,95,-80,80,"0x"]]'],
    [
      "[1__0, 1_, 1_0.5, 1_0e3, 1e3, +.5, .5_0, 1.2.3]",
      '[[10,1,10.5,10000,1000,0.5,".5_0","1.2.3"]]',
    ],
    ["0b11: x\n010: y\noff: z\n", '[{"3":"x","8":"y","false":"z"}]'],
    ["a: 1.0\nb: 2024-01-01\nc: ~\n", '[{"a":1,"b":"2024-01-01","c":null}]'],
    ["80: x\ntrue: y\n", '[{"80":"x","true":"y"}]'],
    ["a: &x [1, {b: 2}]\nc: *x\n", '[{"a":[1,{"b":2}],"c":[1,{"b":2}]}]'],
    ["a: &x 1\nb: *x\nc: &x 2\nd: *x\n", '[{"a":1,"b":1,"c":2,"d":2}]'],
    ["", "[]"],
    ["# only a comment\n", "[]"],
    ["a: |\n  {{ text }}\n", '[{"a":"{{ text }}\\n"}]'],
  ])("reads %j as kubectl does", (text, expected) => {
    expect(json(text)).toBe(expected);
    expect(parse(text).said).toEqual([]);
  });

  it("takes __proto__, constructor and toString as keys like any other", () => {
    const { values } = parse("__proto__: {polluted: 1}\nconstructor: 2\ntoString: 3\n");
    expect(Object.keys(Object(values[0]?.value))).toEqual(["__proto__", "constructor", "toString"]);
    expect("polluted" in {}).toBe(false);
  });

  it.each([
    ["a: 1\nb: 2\na: 3\n", '3:1 DUPLICATE_KEY key "a" is already on line 1'],
    ['{"a": 1,\n "a": 2}', '2:2 DUPLICATE_KEY key "a" is already on line 1'],
    [
      "a: &x {b: 1}\n<<: *x\n",
      "2:1 UNSUPPORTED_FEATURE merge keys (<<) are not read: write the fields out",
    ],
    ["a: *x\n", "1:4 BAD_YAML alias *x has no anchor before it"],
    ["a: &x [*x]\n", "1:8 BAD_YAML alias *x has no anchor before it"],
    ["? [a]\n: 1\n", "1:3 BAD_YAML a key must be a string"],
    ["a: !!binary aGk=\n", "1:13 BAD_YAML tag tag:yaml.org,2002:binary is not read"],
    ["a:\n  b: 1\n  <the rest>\n", "3:3 BAD_YAML a key must have a colon and a space behind it"],
    [
      "a: b\n  c: 1\n",
      "1:4 BAD_YAML a map cannot begin behind a key on its line: is the next line indented too far?",
    ],
    ["a: {b: 'x'; c: 1}\n", '1:11 BAD_YAML unexpected "; c"'],
    ["one\ntwo: 3\n", "1:1 BAD_YAML a key must be on one line"],
    ["a: !custom 1\n", "1:4 BAD_YAML unresolved tag: !custom"],
    [
      "a: [1\n",
      "2:1 BAD_YAML flow sequence in block collection must be sufficiently indented and end with a ]",
    ],
  ])("refuses %j", (text, expected) => {
    const { values, said } = parse(text);
    expect(said).toEqual([expected]);
    expect(values).toEqual([]);
  });

  it.each(["a: {{ .Values.x }}\n", "{{- if x }}\na: 1\n{{- end }}\n", "a: {{ x }}-b\n"])(
    "tells a template %j from broken YAML",
    (text) => {
      const { said } = parse(text);
      expect(said).toHaveLength(1);
      expect(said[0]).toMatch(/^1:[14] BAD_YAML \{\{ is a template's brace: render/);
    },
  );

  it("keeps the documents beside a bad one", () => {
    const { values, said } = parse("a: 1\n---\nb: [\n---\nc: 3\n");
    expect(values.map(({ value }) => JSON.stringify(value))).toEqual(['{"a":1}', '{"c":3}']);
    expect(said).toHaveLength(1);
  });

  it.each([
    ["a list in a list", "[".repeat(100_000)],
    ["a map in a map", '{"a":'.repeat(50_000)],
    ["block lists", "- ".repeat(20_000)],
  ])("stops at a depth of 100: %s", (_, text) => {
    expect(parse(text).said.join()).toMatch(
      /^1:\d+ LIMIT_EXCEEDED values are nested more than 100 deep/,
    );
  });

  it("stops when aliases stand for too much", () => {
    const rows = [..."bcdefghij"].map((name, index) => {
      const inner = "abcdefghij"[index];
      return `${name}: &${name} [${Array.from({ length: 10 }, () => `*${inner}`).join(", ")}]`;
    });
    const { values, said } = parse(["a: &a [x, x, x, x, x, x, x, x, x, x]", ...rows].join("\n"));
    expect(said).toEqual([
      "4:36 LIMIT_EXCEEDED too many aliases: they stand for more than 10000 values",
    ]);
    expect(values).toEqual([]);
  });

  it("knows the place of values, of keys, and of what is nearest to an absent field", () => {
    const text = "spec:\n  x: &x\n  - port: 80\n    name: http\n  y: *x\n  z:\n";
    const value = parse(text).values[0]!;
    const at = (path: (string | number)[], part?: "key"): string => {
      const { line, column } = value.placeOf(path, part);
      return `${line}:${column}`;
    };
    expect(at([])).toBe("1:1");
    expect(at(["spec", "x", 0])).toBe("3:5");
    expect(at(["spec", "x", 0, "name"])).toBe("4:11");
    expect(at(["spec", "x", 0, "name"], "key")).toBe("4:5");
    expect(at(["spec", "y", 0, "name"])).toBe("4:11");
    expect(at(["spec", "x", 0, "absent", "deeper"])).toBe("3:5");
    expect(at(["spec", "x", 7])).toBe("3:3");
    expect(at(["spec", "z"], "key")).toBe("6:3");
    expect(value.at(["spec", "y", 0]).placeOf(["name"])).toEqual({
      file: "f",
      line: 4,
      column: 11,
    });
  });

  it("counts columns of the first line without the byte order mark", () => {
    expect(parse("\ufeffa: *x\n").said).toEqual(["1:4 BAD_YAML alias *x has no anchor before it"]);
  });
});
