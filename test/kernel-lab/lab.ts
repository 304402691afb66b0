/**
 * The kernel lab as a function: tables and packets go in, what the Linux kernel did with each packet
 * comes out. `lab.py` does the work in namespaces that end with it.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** A node, its tables and the packets that cross it, in order. */
export interface LabTask {
  /** The first is the node's uplink. */
  readonly interfaces: readonly string[];
  /** The node's own addresses. */
  readonly addresses: readonly string[];
  /** Host routes; everything else leaves by the uplink. */
  readonly routes: readonly (readonly [address: string, interfaceName: string])[];
  readonly backend: "legacy" | "nft";
  readonly ipsets: string;
  readonly tables: { readonly 4: string; readonly 6: string };
  /** Settings under /proc/sys/net of the node. */
  readonly sysctls: Readonly<Record<string, number>>;
  readonly packets: readonly LabPacket[];
}

/** A packet with a number that no other has: its IPv4 identification or IPv6 flow label. */
export interface LabPacket {
  readonly number: number;
  /** `local`: the node sends it. */
  readonly arrival: string;
  /** The IP packet. */
  readonly bytes: Uint8Array;
}

export interface LabAnswer {
  /** What the save commands print after loading. */
  readonly saved: { readonly 4: string; readonly 6: string };
  /** By packet number; a dropped packet is absent. */
  readonly seen: ReadonlyMap<number, Sight>;
}

/** Where a packet came out. */
export interface Sight {
  /** The interface it left by, or `local`. */
  readonly place: string;
  /** As it left; 0 for `local`. */
  readonly sourcePort: number;
}

/** How to start the lab; a sentence when it cannot be had here. */
const LAB: readonly string[] | string = findLab();

/** Tells whether the lab can be had; prints why not. */
export function haveLab(): boolean {
  if (typeof LAB !== "string") return true;
  console.log(`skipped: the kernel lab cannot be had here: ${LAB}`);
  return false;
}

function findLab(): readonly string[] | string {
  if (process.platform !== "linux") return "it needs Linux";
  for (const tool of ["python3", "ip", "ipset", "ethtool", "iptables-legacy-restore"]) {
    if (spawnSync("which", [tool]).status !== 0) return `${tool} is not installed`;
  }
  const ways = [["python3"], ["unshare", "--user", "--map-root-user", "--net", "python3"]];
  const probe = "import ctypes,sys; sys.exit(ctypes.CDLL(None).unshare(0x40000000) != 0)";
  const way = ways.find(
    ([command = "", ...rest]) => spawnSync(command, [...rest, "-c", probe]).status === 0,
  );
  return way ?? "neither root nor user namespaces are allowed";
}

/** Runs the lab; throws with its words when it fails. */
export function runLab(task: LabTask): LabAnswer {
  if (typeof LAB === "string") throw new Error(`the kernel lab cannot be had here: ${LAB}`);
  const [command = "", ...rest] = LAB;
  const input = JSON.stringify({
    ...task,
    every: 32,
    packets: task.packets.map(({ arrival, bytes }) => [
      arrival,
      Buffer.from(bytes).toString("hex"),
    ]),
  });
  const done = spawnSync(command, [...rest, join(import.meta.dirname, "lab.py")], {
    input,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    timeout: 100_000,
  });
  if (done.status !== 0) throw new Error(`the kernel lab failed: ${done.stderr}`);
  const answer: { saved: LabAnswer["saved"]; seen: Record<string, [string, number][]> } =
    JSON.parse(done.stdout);
  const seen = new Map<number, Sight>();
  for (const [number, sights] of Object.entries(answer.seen)) {
    const [first] = sights;
    if (first === undefined || sights.length > 1) {
      throw new Error(`packet ${number} was seen at ${sights.map(([place]) => place).join()}`);
    }
    seen.set(Number(number), { place: first[0], sourcePort: first[1] });
  }
  return { saved: answer.saved, seen };
}
