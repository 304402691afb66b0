/**
 * The kernel lab as a value: a node goes in, with its rule tables in this machine's own kernel; packets
 * are sent through it in order, and what came out where comes back. `kernel-lab.py` does the work in
 * network namespaces that end with it. Decides nothing and compares nothing.
 */
import { spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import type { Backend } from "../match/extension.ts";

/** The node to set up. */
export interface LabNode {
  /** At least one. */
  readonly interfaces: readonly LabInterface[];
  readonly bridges?: readonly LabBridge[];
  /** What follows `ip route add`, in this order; those of the addresses' own subnets come by themselves. */
  readonly routes: { readonly 4: readonly string[]; readonly 6: readonly string[] };
  /** Restored in this order; a backend that is left out is not touched. */
  readonly tables: Partial<Readonly<Record<Backend, FamilyTexts>>>;
  /** What `ipset restore` reads. */
  readonly ipsets: string;
  /** Settings under /proc/sys/net, by path. Those of conntrack are the kernel's own defaults. */
  readonly sysctls: Readonly<Record<string, number>>;
}

export interface LabInterface {
  readonly name: string;
  /** Undefined: the kernel makes one up. */
  readonly mac?: string | undefined;
  /** Each with the bits of its subnet. */
  readonly addresses: readonly string[];
  /** 1500 when absent. */
  readonly mtu?: number | undefined;
  /** 0 when absent. */
  readonly group?: number | undefined;
}

/** A bridge whose ports are among the interfaces; what it hands on comes out by its ports. */
export interface LabBridge {
  readonly name: string;
  readonly mac: string;
  readonly ports: readonly string[];
  readonly addresses: readonly string[];
  /** Who is behind which port. */
  readonly neighbours: readonly {
    readonly address: string;
    readonly mac: string;
    readonly port: string;
  }[];
}

/** One text for each family; empty: that family's tables stay as they are in a new namespace. */
export interface FamilyTexts {
  readonly 4: string;
  readonly 6: string;
}

/** A packet to send. */
export interface LabPacket {
  /** The interface it arrives by; undefined: the node itself sends it. */
  readonly arrival: string | undefined;
  /** An Ethernet frame, or, where the node sends it, an IP packet. */
  readonly bytes: Uint8Array;
}

/** A packet that came out. */
export interface LabSight {
  /** The interface it left by; undefined: it was delivered to the node. */
  readonly place: string | undefined;
  /** The IP packet as it came out. */
  readonly packet: Uint8Array;
  readonly timestampNs: bigint;
}

/** What became of a batch. */
export interface Crossing {
  /** When each packet was sent, nanoseconds since 1970. */
  readonly sentNs: BigUint64Array;
  /** In the order they came out of each place. Which packet each one was is left to the caller. */
  readonly sights: readonly LabSight[];
}

/** What the kernel says it has. */
export interface LoadedState {
  /** What the save commands print, by backend. */
  readonly tables: Partial<Readonly<Record<Backend, FamilyTexts>>>;
  /** What `ipset save` prints. */
  readonly ipsets: string;
  /** What `ip -d -j addr` prints. */
  readonly addresses: string;
  /** What `ip -j route show table all` prints, both families' in one array. */
  readonly routes: string;
}

/** A lab under way. */
export interface KernelLab {
  /** The process whose network namespace is the node's. */
  readonly pid: number;
  readonly loaded: LoadedState;
  /** Sends packets in order, and waits until all of them are through. One batch at a time. */
  cross(packets: readonly LabPacket[]): Promise<Crossing>;
  /** What the save commands print now, with counters. */
  saveTables(): Promise<LoadedState["tables"]>;
  /** What `conntrack -L` prints now; the command has to be there. */
  saveConnections(): Promise<string>;
  /** Ends the lab; nothing of it is left. */
  close(): Promise<void>;
}

/** The lab refused the node, or ended unasked; the message has its words. */
export class LabError extends Error {
  override readonly name = "LabError";
}

const LOCAL = 0xffff;
const CONNECTIONS = 1;
const TOOLS = ["python3", "ip", "ipset", "iptables-legacy-restore", "iptables-nft-restore"];

let found: readonly string[] | string | undefined;

/** Why the lab cannot be had here, as a sentence without a full stop; undefined when it can. */
export function labMissing(): string | undefined {
  found ??= findLab();
  return typeof found === "string" ? found : undefined;
}

/** How to start the lab's process; a sentence when it cannot be had. */
function findLab(): readonly string[] | string {
  if (process.platform !== "linux") return "it needs Linux";
  for (const tool of TOOLS) {
    if (spawnSync("which", [tool]).status !== 0) return `${tool} is not installed`;
  }
  const ways = [["python3"], ["unshare", "--user", "--map-root-user", "--net", "python3"]];
  const probe = "import ctypes,sys; sys.exit(ctypes.CDLL(None).unshare(0x40000000) != 0)";
  const way = ways.find(
    ([command = "", ...rest]) => spawnSync(command, [...rest, "-c", probe]).status === 0,
  );
  return way ?? "it needs root, or user namespaces that unprivileged users may make";
}

/**
 * Sets up the node.
 *
 * @throws LabError when the kernel refuses something; with its words
 */
export async function startLab(node: LabNode): Promise<KernelLab> {
  found ??= findLab();
  if (typeof found === "string") throw new LabError(found);
  const [command = "", ...rest] = found;
  const script = fileURLToPath(import.meta.resolve("#kernel-lab.py"));
  const child = spawn(command, [...rest, script], { stdio: ["pipe", "pipe", "pipe"] });
  let words = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    words += text;
  });
  const ended = new Promise<void>((resolve) => {
    child.on("close", () => {
      resolve();
    });
  });
  // What a lab that ended could not be told: `read` says why it ended.
  child.stdin.on("error", () => undefined);
  const input = new ByteReader(child.stdout);
  const read = async <T>(what: () => Promise<T | undefined>): Promise<T> => {
    const value = await what();
    if (value !== undefined) return value;
    await ended;
    throw new LabError(words.trim() === "" ? "the kernel lab ended unasked" : words.trim());
  };
  const close = async (): Promise<void> => {
    child.stdin.end();
    await ended;
  };
  const ask = async (what: number): Promise<unknown> => {
    const batch = new Uint8Array(8);
    viewOf(batch).setUint32(4, what, true);
    child.stdin.write(batch);
    const head = viewOf(await read(() => input.bytes(4)));
    const text = await read(() => input.bytes(head.getUint32(0, true)));
    return JSON.parse(new TextDecoder().decode(text));
  };
  child.stdin.write(`${JSON.stringify(node)}\n`);
  const names = node.interfaces.map(({ name }) => name);
  const loaded = JSON.parse(await read(() => input.line())) as LoadedState;
  return {
    pid: child.pid ?? 0,
    loaded,
    async cross(packets) {
      if (packets.length === 0) return { sentNs: new BigUint64Array(), sights: [] };
      child.stdin.write(packBatch(packets, names));
      const head = viewOf(await read(() => input.bytes(12)));
      const [sent, count, size] = [0, 4, 8].map((at) => head.getUint32(at, true));
      const times = await read(() => input.bytes((sent ?? 0) * 8));
      const heads = viewOf(await read(() => input.bytes((count ?? 0) * 16)));
      const bodies = await read(() => input.bytes(size ?? 0));
      const view = viewOf(times);
      const sentNs = BigUint64Array.from(packets, (_, at) => view.getBigUint64(at * 8, true));
      return { sentNs, sights: readSights(heads, bodies, names) };
    },
    async saveTables() {
      return (await ask(0)) as LoadedState["tables"];
    },
    async saveConnections() {
      return (await ask(CONNECTIONS)) as string;
    },
    close,
  };
}

function packBatch(packets: readonly LabPacket[], names: readonly string[]): Uint8Array {
  const size = packets.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const batch = new Uint8Array(8 + 8 * packets.length + size);
  const view = viewOf(batch);
  view.setUint32(0, packets.length, true);
  view.setUint32(4, size, true);
  let at = 8 + 8 * packets.length;
  for (const [index, { arrival, bytes }] of packets.entries()) {
    const number = arrival === undefined ? LOCAL : names.indexOf(arrival);
    if (number < 0) throw new Error(`bug: the lab has no interface ${arrival ?? ""}`);
    view.setUint16(8 + 8 * index, number, true);
    view.setUint32(12 + 8 * index, bytes.length, true);
    batch.set(bytes, at);
    at += bytes.length;
  }
  return batch;
}

function readSights(heads: DataView, bodies: Uint8Array, names: readonly string[]): LabSight[] {
  const sights: LabSight[] = [];
  let at = 0;
  for (let head = 0; head < heads.byteLength; head += 16) {
    const number = heads.getUint16(head, true);
    const length = heads.getUint32(head + 4, true);
    sights.push({
      place: number === LOCAL ? undefined : names[number],
      packet: bodies.subarray(at, at + length),
      timestampNs: heads.getBigUint64(head + 8, true),
    });
    at += length;
  }
  return sights;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A stream of bytes, taken out in pieces of known length. */
class ByteReader {
  private readonly chunks: Uint8Array[] = [];
  private length = 0;
  private done = false;
  private wake: () => void = () => undefined;

  constructor(stream: NodeJS.ReadableStream) {
    stream.on("data", (chunk: Uint8Array) => {
      this.chunks.push(chunk);
      this.length += chunk.length;
      this.wake();
    });
    stream.on("end", () => {
      this.done = true;
      this.wake();
    });
  }

  /** Undefined: the stream ended before. */
  async bytes(count: number): Promise<Uint8Array | undefined> {
    while (this.length < count) {
      if (!(await this.more())) return undefined;
    }
    const whole = new Uint8Array(count);
    let at = 0;
    while (at < count) {
      const [chunk = whole] = this.chunks;
      const piece = chunk.subarray(0, count - at);
      whole.set(piece, at);
      at += piece.length;
      if (piece.length === chunk.length) this.chunks.shift();
      else this.chunks[0] = chunk.subarray(piece.length);
    }
    this.length -= count;
    return whole;
  }

  /** Up to a line feed, which is taken too; undefined: the stream ended before. */
  async line(): Promise<string | undefined> {
    let before = 0;
    let looked = 0;
    while (true) {
      for (; looked < this.chunks.length; looked++) {
        const chunk = this.chunks[looked] ?? new Uint8Array();
        const end = chunk.indexOf(10);
        if (end >= 0) return new TextDecoder().decode(await this.bytes(before + end + 1));
        before += chunk.length;
      }
      if (!(await this.more())) return undefined;
    }
  }

  private async more(): Promise<boolean> {
    if (this.done) return false;
    const { length } = this;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    return this.length > length || !this.done;
  }
}
