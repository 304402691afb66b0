/** Every capture of the corpus, to its end, beside what capinfos counts in it. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { makeBatch } from "../../src/capture/batch.ts";
import { CAPTURE_FORMATS, DETECT_SIZE } from "../../src/capture/index.ts";
import { openCapture } from "../../src/capture/stream.ts";
import { openSource } from "../../src/cli/source.ts";
import type { Diagnostic } from "../../src/errors.ts";

const CORPUS = join(import.meta.dirname, "../../../shared/corpus/captures");
const there = existsSync(CORPUS);
if (!there) console.log("skipped: the corpus has no captures beside this repository");

/** capinfos counts custom blocks as records; the pcap version is one that it takes and libpcap refuses. */
const COUNTED_OTHERWISE = /\/test(017|018|102|202)\.pcapng$|\/pcap-invalid-version-2\.pcap$/;
/** SunATM: capinfos takes the pseudo-header out of the lengths. */
const LINK_SUNATM = 123;

interface Counted {
  readonly packets: number;
  /** Sum of the original lengths. */
  readonly bytes: number;
}

interface Read extends Counted {
  readonly diagnostics: readonly Diagnostic[];
  readonly linkTypes: ReadonlySet<number>;
}

const { batch, bytes: room } = makeBatch(layout.BLOCK_SIZE);
const block = { memory: () => room.buffer, address: room.byteOffset, size: room.length };

async function readFile(path: string): Promise<Read> {
  const diagnostics: Diagnostic[] = [];
  const onDiagnostic = (diagnostic: Diagnostic): void => {
    diagnostics.push(diagnostic);
  };
  let [packets, bytes] = [0, 0];
  const linkTypes = new Set<number>();
  const source = await openSource(path, { onDiagnostic });
  if (source !== undefined) {
    const stream = await openCapture({ source, block, onDiagnostic });
    while ((await stream?.fill(batch)) === true) {
      packets += batch.count;
      for (let index = 0; index < batch.count; index += 1) {
        const at = batch.recordAt(index);
        bytes += batch.view.getUint32(at + layout.PACKET_ORIGINAL_LENGTH, true);
        linkTypes.add(batch.view.getUint16(at + layout.PACKET_LINK_TYPE, true));
      }
    }
    source.close();
  }
  return { packets, bytes, diagnostics, linkTypes };
}

/** What capinfos says of the files that it reads to their end. */
function capinfos(paths: readonly string[]): ReadonlyMap<string, Counted> {
  const table = spawnSync("capinfos", ["-T", "-m", "-M", "-c", "-d", ...paths], {
    encoding: "utf8",
    maxBuffer: 1 << 24,
  });
  if (table.error !== undefined) console.log("skipped: capinfos is not installed");
  const incomplete = table.stderr ?? "";
  const counted = new Map<string, Counted>();
  for (const line of (table.stdout ?? "").split("\n").slice(1)) {
    const [name = "", packets, bytes] = line.split(",");
    if (incomplete.includes(`"${name}"`)) continue;
    counted.set(name, { packets: Number(packets), bytes: Number(bytes) });
  }
  return counted;
}

describe.runIf(there)("the corpus of captures", () => {
  // What describes tests runs also where none of them does.
  const paths = (there ? readdirSync(CORPUS, { recursive: true, encoding: "utf8" }) : [])
    .filter((name) => /\.(pcap|pcapng|gz|out)$/.test(name))
    .map((name) => join(CORPUS, name));
  const captures = paths.filter((path) => !path.endsWith(".out"));

  it("is read to its end, with the packets and bytes that capinfos counts", async () => {
    const expected = capinfos(captures);
    const differing: unknown[] = [];
    let compared = 0;
    for (const path of captures) {
      const read = await readFile(path);
      const other = expected.get(path);
      if (other === undefined || COUNTED_OTHERWISE.test(path)) continue;
      compared += 1;
      const lengthsDiffer =
        read.linkTypes.has(LINK_SUNATM) ||
        read.diagnostics.some(({ code }) => code === "ODD_LENGTH");
      const same = read.packets === other.packets && (lengthsDiffer || read.bytes === other.bytes);
      if (!same) differing.push({ path, read, other });
    }
    console.log(`captures: ${compared} of ${captures.length} compared with capinfos`);
    expect(differing).toEqual([]);
  }, 60_000);

  it("has one format for each capture, and never a binary one for text", () => {
    const claims = (path: string): readonly string[] => {
      const start = new Uint8Array(readFileSync(path)).subarray(0, DETECT_SIZE);
      return CAPTURE_FORMATS.filter((format) => format.detect(start)).map(({ name }) => name);
    };
    for (const path of paths.filter((one) => !one.endsWith(".gz"))) {
      const names = claims(path);
      if (!path.endsWith(".out")) expect(names, path).toHaveLength(1);
      else
        expect(
          names.filter((name) => name !== "tcpdump"),
          path,
        ).toEqual([]);
    }
  });

  it("gives its packets before any cut, whatever is cut", async () => {
    for (const path of captures.filter((_, index) => index % 25 === 0)) {
      const whole = readFileSync(path);
      const { packets } = await readFile(path);
      for (const share of [0.3, 0.6, 0.95]) {
        const stdin = new PassThrough();
        stdin.end(whole.subarray(0, Math.floor(whole.length * share)));
        const diagnostics: Diagnostic[] = [];
        const onDiagnostic = (diagnostic: Diagnostic): void => {
          diagnostics.push(diagnostic);
        };
        const source = await openSource("-", { onDiagnostic, stdin });
        const stream = await openCapture({ source: source!, block, onDiagnostic });
        let count = 0;
        while ((await stream?.fill(batch)) === true) count += batch.count;
        expect(count).toBeLessThanOrEqual(packets);
        if (count < packets && stream === undefined) expect(diagnostics).not.toEqual([]);
      }
    }
  });
});
