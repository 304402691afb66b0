import { describe, expect, it } from "vitest";

import { escapeControls, escapeLines, formatDiagnostic } from "../src/errors.ts";

describe("formatDiagnostic", () => {
  const place = { file: "a.yaml", line: 3, column: 9 };
  const fault = { severity: "error", code: "BAD_VALUE", message: "not a port", place } as const;

  it("puts the caret below the column, also behind bytes that are escaped", () => {
    expect(formatDiagnostic(fault, "\tport:  x").split("\n")).toEqual([
      "a.yaml:3:9: error: not a port [BAD_VALUE]",
      "   3 |  port:  x",
      "     |         ^",
    ]);
    expect(formatDiagnostic(fault, "\u001bport:  x").split("\n").slice(1)).toEqual([
      "   3 | \\x1bport:  x",
      "     |            ^",
    ]);
  });

  it("shows no caret where the line is not the one that was read", () => {
    expect(formatDiagnostic(fault, "port").split("\n")).toHaveLength(2);
  });

  it("prints no byte of the input that a terminal would obey", () => {
    const steering = "\u001b[2J\u202e";
    const text = formatDiagnostic({
      ...fault,
      message: steering,
      suggestion: `did you mean "${steering}"?`,
      place: { ...place, file: steering },
    });
    expect(text).toBe(escapeControls(text));
  });

  it("keeps the line ends of a text of several lines, and nothing else of that kind", () => {
    const text = "a\tb\nc\u001b[2J\n";
    expect(escapeLines(text)).toBe("a\\x09b\nc\\x1b[2J\n");
    expect(escapeControls(text)).toBe("a\\x09b\\x0ac\\x1b[2J\\x0a");
  });
});
