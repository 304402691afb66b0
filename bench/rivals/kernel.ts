/**
 * This machine's own kernel: a node in namespaces of its own forwards packets through iptables (legacy), sent to
 * it by one thread on whose core all of it happens. What is measured is the whole of it: sending, the veth
 * pair, the IP stack, conntrack and the rules; the same without rules tells how much the rules take.
 */
import { spawn } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { NODE_ADDRESSES, NODE_MACS, NODE_ROUTES } from "../firewall.ts";
import { temporaryFile, type Traffic } from "../subject.ts";
import { compileC, hasTool } from "./tools.ts";

export const KERNEL = "Linux, iptables";
/** Of pcapng. */
const PACKET_BLOCK = 6;

/** A node in the kernel. */
export interface KernelNode {
  /** Replaces the rules; counters begin at nought. */
  load(iptables: string): Promise<void>;
  /** Sends all frames so many times: the seconds of one pass. */
  flood(frames: string, passes: number): Promise<number>;
  /** Packets that each rule of FORWARD has matched, in its order. */
  counters(): Promise<number[]>;
  close(): Promise<void>;
}

/** Why it cannot be measured; undefined when it can. */
export function kernelMissing(): string | undefined {
  if (process.getuid?.() !== 0) return "it needs root";
  const tools = ["unshare", "ip", "iptables-legacy-restore", "gcc"].filter(
    (tool) => !hasTool(tool),
  );
  return tools.length === 0 ? undefined : `${tools.join(", ")}: not installed`;
}

/** Starts the node. */
export async function startKernel(): Promise<KernelNode> {
  const flood = compileC("flood");
  if (flood === undefined) throw new Error("flood.c cannot be compiled");
  const script = fileURLToPath(new URL("kernel.sh", import.meta.url));
  const routes = NODE_ROUTES.map((each) => each.join(" "));
  const words = ["--net", "sh", script, ...NODE_MACS, ...NODE_ADDRESSES, ...routes];
  const child = spawn("unshare", words, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<string[]> => {
    const said: string[] = [];
    while (true) {
      const next = await lines.next();
      if (next.done === true) throw new Error("the kernel's node ended");
      if (next.value === "done") return said;
      said.push(next.value);
    }
  };
  const ask = async (command: string): Promise<string[]> => {
    child.stdin.write(`${command}\n`);
    return await answer();
  };
  await answer();
  return {
    async load(iptables) {
      const file = temporaryFile("kernel-rules");
      writeFileSync(file, iptables);
      await ask(`load ${file}`);
    },
    async flood(frames, passes) {
      const [line = ""] = await ask(`flood ${flood} ${frames} ${passes}`);
      return Number(line.split(" ")[1]) / 1e9 / passes;
    },
    async counters() {
      const saved = await ask("counters");
      return saved.flatMap((line) => {
        const packets = /^\[(\d+):\d+\] -A FORWARD /.exec(line)?.[1];
        return packets === undefined ? [] : [Number(packets)];
      });
    },
    async close() {
      child.stdin.end();
      await new Promise((resolve) => child.on("close", resolve));
    },
  };
}

/** A pcapng file of ours with all of its packets so many times, one pass behind the other. */
export function repeatPackets({ file, packets }: Traffic, times: number): Traffic {
  const bytes = readFileSync(file);
  let first = 0;
  while (bytes.readUInt32LE(first) !== PACKET_BLOCK) first += bytes.readUInt32LE(first + 4);
  const pieces = [bytes.subarray(0, first)];
  for (let pass = 0; pass < times; pass++) {
    const again = Buffer.from(bytes.subarray(first));
    for (let at = 0; at < again.length; at += again.readUInt32LE(at + 4)) {
      // A packet comes each microsecond, which is the unit of times.
      const time =
        (BigInt(again.readUInt32LE(at + 12)) << 32n) | BigInt(again.readUInt32LE(at + 16));
      const later = time + BigInt(pass * packets);
      again.writeUInt32LE(Number(later >> 32n), at + 12);
      again.writeUInt32LE(Number(later & 0xffffffffn), at + 16);
    }
    pieces.push(again);
  }
  const repeated = temporaryFile("repeated");
  writeFileSync(repeated, Buffer.concat(pieces));
  return { file: repeated, packets: packets * times, bytes: statSync(repeated).size };
}

/** The frames of a pcapng file of ours, as flood.c reads them; all arrive at the first interface. */
export function framesOf({ file }: Pick<Traffic, "file">): string {
  const bytes = readFileSync(file);
  const mac = Buffer.from(NODE_MACS[0].replaceAll(":", ""), "hex");
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at + 4)) {
    if (bytes.readUInt32LE(at) !== PACKET_BLOCK) continue;
    const captured = bytes.subarray(at + 20, at + 24);
    mac.copy(bytes, at + 28);
    pieces.push(captured, bytes.subarray(at + 28, at + 28 + captured.readUInt32LE(0)));
  }
  const frames = temporaryFile("frames");
  writeFileSync(frames, Buffer.concat(pieces));
  return frames;
}
