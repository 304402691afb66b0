import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";

const MODULE = new URL("../../src/cli/young-generation.ts", import.meta.url).href;

/** Bytes of the young generation of a process that has made many objects, of which all stay. */
function youngBytes(bound: boolean): number {
  const script = `
    import { getHeapSpaceStatistics } from "node:v8";
    import { boundYoungGeneration } from ${JSON.stringify(MODULE)};
    if (${bound}) boundYoungGeneration();
    const kept = [];
    for (let index = 0; index < 1_000_000; index++) kept.push({ index });
    const young = getHeapSpaceStatistics().find((space) => space.space_name === "new_space");
    console.log(young.space_size);`;
  const options = ["--no-warnings", "--input-type=module", "--eval", script];
  const env = { ...process.env, NODE_OPTIONS: "" };
  return Number(execFileSync(process.execPath, options, { encoding: "utf8", env }));
}

describe("boundYoungGeneration", () => {
  it("leaves the young generation as small as it was", () => {
    const bounded = youngBytes(true);
    expect(bounded).toBeLessThanOrEqual(16 * 2 ** 20);
    expect(youngBytes(false)).toBeGreaterThan(bounded);
  });
});
