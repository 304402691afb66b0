/** Rivals that only read a capture: none of them decides anything. */
import type { Task } from "../measure.ts";
import type { Asking } from "../question.ts";
import { compileC, hasTool, runTool, timeTool } from "./tools.ts";

/** A program that reads a capture, as a task, and how it counts its packets. */
export interface CounterRival {
  readonly name: string;
  task(file: string, packets: number): Task;
  count(file: string): number;
}

/** Names that bars look for. */
export const TCPDUMP = "tcpdump --count";
export const LIBPCAP = "C over libpcap";
export const TSHARK = "tshark";

/** Those that are installed. */
export function counterRivals(asking: Asking): readonly CounterRival[] {
  return [tcpdump(asking), libpcap(asking)].filter((rival) => rival !== undefined);
}

/** tshark is much slower than all others: it gets smaller files. */
export function tsharkRival(asking: Asking): CounterRival | undefined {
  if (hasTool("tshark")) {
    const lines = (text: string): number =>
      text.split("\n").filter((line) => /^\s*\d+ /.test(line)).length;
    return rivalOf(TSHARK, "tshark", (file) => ["-n", "-r", file], lines);
  }
  asking.missing(TSHARK, "it is not installed");
  return undefined;
}

function tcpdump(asking: Asking): CounterRival | undefined {
  if (hasTool("tcpdump")) {
    return rivalOf(TCPDUMP, "tcpdump", (file) => ["-r", file, "--count"], firstNumber);
  }
  asking.missing(TCPDUMP, "it is not installed");
  return undefined;
}

function libpcap(asking: Asking): CounterRival | undefined {
  const program = hasTool("gcc") ? compileC("libpcap", "-lpcap") : undefined;
  if (program !== undefined) return rivalOf(LIBPCAP, program, (file) => [file], firstNumber);
  asking.missing(LIBPCAP, "gcc or libpcap-dev is not installed");
  return undefined;
}

function rivalOf(
  name: string,
  command: string,
  words: (file: string) => readonly string[],
  read: (text: string) => number,
): CounterRival {
  return {
    name,
    task: (file, packets) => ({
      name,
      units: packets,
      run: () => timeTool(command, ...words(file)),
    }),
    count: (file) => read(runTool(command, ...words(file))),
  };
}

/** tcpdump says "N packets" on a line of its own. */
function firstNumber(text: string): number {
  return Number(/^(\d+)/m.exec(text)?.[1] ?? NaN);
}
