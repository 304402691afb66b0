import { describe, expect, it } from "vitest";
import { MARKED, preformatted } from "../../src/report/html.ts";

describe("preformatted", () => {
  it("turns colours into spans, and nothing else of a text into markup", () => {
    const line = `${MARKED.red("Newly dropped: a & b -> <c>.")}\n${MARKED.dim('  "x"')} plain`;
    expect(preformatted(line).html).toBe(
      '<pre><span class="bad">Newly dropped: a &amp; b -&gt; &lt;c&gt;.</span>\n' +
        '<span class="dim">  &quot;x&quot;</span> plain</pre>\n',
    );
  });
});
