/** Programs of this machine that are measured beside: whether they are there, and how long they take. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { temporaryFile } from "../subject.ts";

/** Runs a command to its end; throws with its own words when it fails. */
export function runTool(command: string, ...words: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, words, {
    encoding: "utf8",
    maxBuffer: 1 << 30,
  });
  if (status === 0) return `${stdout}${stderr}`;
  throw new Error(`${command} ${words.join(" ")}: ${error?.message ?? stderr}`);
}

/** Seconds that a command takes, from its start to its end; what it prints goes nowhere. */
export function timeTool(command: string, ...words: readonly string[]): number {
  const start = performance.now();
  const { status } = spawnSync(command, words, { stdio: "ignore" });
  const seconds = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`${command} ${words.join(" ")}: exit code ${status}`);
  return seconds;
}

/** Whether a command can be found. */
export function hasTool(name: string): boolean {
  return spawnSync("which", [name]).status === 0;
}

/** Compiles one of our C files with the best that this compiler has for this processor. */
export function compileC(name: string, ...libraries: readonly string[]): string | undefined {
  const source = fileURLToPath(new URL(`${name}.c`, import.meta.url));
  const program = temporaryFile(name);
  const words = ["-O3", "-march=native", "-Wall", "-o", program, source, ...libraries];
  const { status } = spawnSync("gcc", words, { stdio: "ignore" });
  return status === 0 ? program : undefined;
}
