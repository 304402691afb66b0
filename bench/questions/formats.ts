/** What do compressed captures and tcpdump's text cost, beside their decompressors? */
import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { COMMAND, REPLAY } from "../command.ts";
import { interleave, type Task } from "../measure.ts";
import type { Asking, Question } from "../question.ts";
import { hasTool, runTool, timeTool } from "../rivals/tools.ts";
import { clusterSubject, temporaryFile, trafficFor, type Subject } from "../subject.ts";

export const formats: Question = {
  name: "formats",
  asks: "compressed captures and tcpdump's text, each as a process of its own",
  async answer(asking) {
    const subject = clusterSubject({ policies: 100, pods: 1000 });
    for (const tool of ["gzip", "zstd"] as const) {
      if (hasTool(tool)) await measureCompressed(asking, subject, tool);
      else asking.missing(tool, "it is not installed");
    }
    if (hasTool("tcpdump")) await measureText(asking, subject);
  },
};

/** Node's own decompressor, whose output nobody reads. */
const DISCARD = `const [file, create] = process.argv.slice(1);
require("node:fs").createReadStream(file, { highWaterMark: 1 << 20 })
  .pipe(require("node:zlib")[create]({ chunkSize: 1 << 18 })).resume();`;
const CREATE = { gzip: "createGunzip", zstd: "createZstdDecompress" } as const;

async function measureCompressed(
  asking: Asking,
  subject: Subject,
  tool: keyof typeof CREATE,
): Promise<void> {
  const packets = asking.full ? 5_000_000 : 300_000;
  const size = `${tool}, ${packets.toLocaleString("en-US")} packets`;
  asking.progress(size);
  const traffic = await trafficFor(subject, { packets, flows: 10_000, share: "skewed" });
  const file = temporaryFile(`capture.${tool}`);
  writeOutput(file, tool, "-c", traffic.file);
  compare(asking, subject, file, packets);
  const tasks = [
    replayTask(subject, file, packets),
    { name: `${tool} -dc`, units: packets, run: () => timeTool(tool, "-dc", file) },
    {
      name: "Node's own decompressor alone",
      units: packets,
      run: () => timeTool(process.execPath, "-e", DISCARD, file, CREATE[tool]),
    },
  ];
  const measured = await interleave(tasks, asking.full ? 5 : 3);
  asking.add({ size, unit: "packets", tasks: measured });
}

async function measureText(asking: Asking, subject: Subject): Promise<void> {
  const lines = asking.full ? 3_000_000 : 100_000;
  const size = `tcpdump's text, ${lines.toLocaleString("en-US")} lines`;
  asking.progress(size);
  const made = { packets: lines, flows: 1000, share: "skewed" } as const;
  const traffic = await trafficFor(subject, made);
  const file = temporaryFile("capture.txt");
  writeOutput(file, "tcpdump", "-nr", traffic.file);
  compare(asking, subject, file, lines);
  const measured = await interleave([replayTask(subject, file, lines)], asking.full ? 5 : 3);
  asking.add({ size, unit: "lines", tasks: measured });
}

function replayTask(subject: Subject, file: string, units: number): Task {
  return {
    name: REPLAY,
    units,
    run: () => timeTool(process.execPath, ...replayWords(subject, file)),
  };
}

function replayWords(subject: Subject, file: string): string[] {
  return [COMMAND, "replay", "-r", file, ...subject.words, "-o", "json"];
}

function compare(asking: Asking, subject: Subject, file: string, packets: number): void {
  const said = runTool(process.execPath, ...replayWords(subject, file));
  const { packets: read } = JSON.parse(said) as { packets: number };
  asking.checked("packets of the original", packets, Math.abs(read - packets));
}

function writeOutput(file: string, command: string, ...words: readonly string[]): void {
  const output = openSync(file, "w");
  const { status } = spawnSync(command, words, { stdio: ["ignore", output, "ignore"] });
  closeSync(output);
  if (status !== 0) throw new Error(`${command} ${words.join(" ")}: exit code ${status}`);
}
