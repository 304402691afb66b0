/** What the matcher is told of records that it may walk itself. */
import { describe, expect, it } from "vitest";
import { CaptureLog } from "../../src/capture/log.ts";

describe("CaptureLog", () => {
  it("hands the last time of all on as 64 bits", () => {
    const log = new CaptureLog({ file: "capture", onDiagnostic: () => undefined });
    log.checkTime(Number((1n << 64n) - 1n), 0);
    const layout = { format: "pcapng", littleEndian: true, first: 0, sources: [] } as const;
    expect(log.walkable(layout).latest).toBe((1n << 64n) - 1n);
  });
});
