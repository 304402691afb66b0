/** Outputs never take an input's place. */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const BIN = join(ROOT, "dist/src/cli/bin.js");
const EXAMPLE = join(ROOT, "examples/dns-forgotten");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function run(...words: readonly string[]) {
  const { status, stderr } = spawnSync(process.execPath, [BIN, ...words], {
    encoding: "utf8",
    cwd: folder,
  });
  return { status, stderr };
}

describe("an output", () => {
  const capture = join(EXAMPLE, "traffic.pcapng");

  it.runIf(existsSync("/dev/null"))(
    "goes to a device or a pipe, and does not take its place",
    () => {
      const link = join(folder, "null");
      symlinkSync("/dev/null", link);
      const replay = ["replay", "-r", capture, "-f", EXAMPLE];
      expect(run(...replay, "-o", `json=${link}`)).toEqual({ status: 0, stderr: "" });
      expect(lstatSync(link).isSymbolicLink()).toBe(true);
      const pipe = join(folder, "pipe");
      const reader = spawnSync("sh", [
        ...["-c", 'mkfifo "$1"; cat "$1" & shift; "$@"; wait', "sh"],
        ...[pipe, process.execPath, BIN, ...replay, "-o", `json=${pipe}`],
      ]);
      expect(JSON.parse(reader.stdout.toString())).toMatchObject({ packets: 33 });
      expect(lstatSync(pipe).isFIFO()).toBe(true);
    },
  );

  it("does not take the place of a manifest in a folder that is read", () => {
    mkdirSync(join(folder, "manifests"));
    for (const name of ["cluster.yaml", "policies.yaml"]) {
      writeFileSync(join(folder, "manifests", name), readFileSync(join(EXAMPLE, name)));
    }
    const replay = ["replay", "-r", capture, "-f", "manifests"];
    for (const words of [
      ["-o", "json=manifests/cluster.yaml"],
      ["-w", "manifests/cluster.yaml"],
    ]) {
      const { status, stderr } = run(...replay, ...words);
      expect([status, stderr]).toEqual([2, expect.stringContaining("would overwrite an input")]);
    }
    expect(readFileSync(join(folder, "manifests/cluster.yaml"))).toEqual(
      readFileSync(join(EXAMPLE, "cluster.yaml")),
    );
    expect(run(...replay, "-o", "json=manifests/new.txt").status).toBe(0);
  });

  it("is not the list of accepted changes, which may have to be written yet", () => {
    const { status, stderr } = run(
      ...["what-if", "-r", capture, "-f", join(EXAMPLE, "cluster.yaml")],
      ...["--proposed", join(EXAMPLE, "policies.yaml")],
      ...["--accept", "new.yaml", "--update-accept", "-o", "json=./new.yaml"],
    );
    expect([status, stderr]).toEqual([2, expect.stringContaining("would overwrite an input")]);
    expect(existsSync(join(folder, "new.yaml"))).toBe(false);
  });
});
