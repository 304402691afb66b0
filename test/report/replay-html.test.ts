import { describe, expect, it } from "vitest";
import type { FlowVerdict } from "../../src/engine/verdict.ts";
import { replayHtml } from "../../src/report/replay-html.ts";
import { replayText } from "../../src/report/text.ts";
import { POLICIES, contextOf, droppedFlow, reportOf, route, unknownFlow } from "./verdicts.ts";

const context = contextOf(POLICIES);

/** What a reader sees: words without markup. */
function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

function seenOf(html: string): string {
  return html
    .replace(/^[^]*<body>/, "")
    .replace(/<[^>]*>/g, " ")
    .replace(/&lt;/g, "<")
    .replace(/&gt;/g, ">")
    .replace(/&quot;/g, '"')
    .replace(/&amp;/g, "&");
}

describe("replayHtml", () => {
  it("says what the text says, word for word", () => {
    const report = reportOf([droppedFlow(), unknownFlow({})]);
    expect(wordsOf(seenOf(replayHtml(report, context)))).toEqual(
      wordsOf(replayText(report, context)),
    );
  });

  it("has what was found in the input, which the text leaves to standard error", () => {
    const place = { file: "a.yaml", line: 3, column: 1 };
    const message = "no policy is in effect";
    const diagnostics = [{ severity: "warning", code: "NO_POLICIES", message, place } as const];
    const seen = seenOf(replayHtml(reportOf([droppedFlow()], { diagnostics }), context));
    expect(seen).toMatch(/no policy is in effect\s+a\.yaml:3:1\s+NO_POLICIES/);
  });

  it("lets no name of the input end or begin an element", () => {
    const owner = `shop/<script>alert("1")</script>&amp;\u202e`;
    const html = replayHtml(
      reportOf([droppedFlow({ sourceRoute: route("10.65.0.1", owner) })]),
      context,
    );
    expect(html).not.toContain("<script");
    expect(seenOf(html)).toContain(`shop/<script>alert("1")</script>&amp;\\u{202e}`);
  });

  it("closes every element that it opens", () => {
    const open: string[] = [];
    const html = replayHtml(reportOf([droppedFlow(), unknownFlow({})]), context);
    for (const [, close, name = ""] of html.matchAll(/<(\/?)([a-z0-9]+)[^>]*>/g)) {
      if (name === "meta") continue;
      if (close === "/") expect(open.pop()).toBe(name);
      else open.push(name);
    }
    expect(open).toEqual([]);
  });

  it("has a thousand rows at most, and says how many more there are", () => {
    const flows = Array.from({ length: 1003 }, (_, index): FlowVerdict =>
      droppedFlow({ destinationPort: 1 + index }),
    );
    const html = replayHtml(reportOf(flows), context);
    expect(html.match(/<tr><td/g)).toHaveLength(1000);
    expect(html).toContain("and 3 more rows: see -o json");
  });
});
