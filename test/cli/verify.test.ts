/** The `verify` command: verdicts against this machine's kernel, and nothing left behind. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { drawScene } from "../kernel-lab/differential.ts";
import { haveLab } from "../kernel-lab/have-lab.ts";
import { captureOf } from "../kernel-lab/recording.ts";

const ROOT = join(import.meta.dirname, "../..");
const BIN = join(ROOT, "dist/src/cli/bin.js");
const EXAMPLE = ["-r", "examples/dns-forgotten/traffic.pcapng", "-f", "examples/dns-forgotten"];

function verify(...words: string[]) {
  const options = { cwd: ROOT, encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } } as const;
  return spawnSync(process.execPath, [BIN, "verify", ...words], options);
}

/** Processes whose command line names the lab's script, by parent. */
function labsOf(parent: number): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const words = readFileSync(`/proc/${name}/cmdline`, "utf8");
        const stat = readFileSync(`/proc/${name}/stat`, "utf8");
        const above = Number(stat.slice(stat.lastIndexOf(")") + 4).split(" ")[0]);
        return words.includes("kernel-lab.py") && above === parent;
      } catch {
        // It ended while it was looked at.
        return false;
      }
    });
}

describe("verify", () => {
  it("asks for the node where manifests are judged by", () => {
    const { status, stderr } = verify(...EXAMPLE);
    expect(status).toBe(2);
    expect(stderr).toMatch(/--node NAME|no kernel lab can be had here/);
  });

  describe.runIf(haveLab())("with a kernel", () => {
    it("finds manifests' tables judged as the kernel judges them", () => {
      const { status, stdout, stderr } = verify(...EXAMPLE, "--node", "worker-1");
      expect(stderr).toBe("");
      expect(stdout).toContain("31 packets sent through Linux");
      expect(stdout).toContain("31 as netverdict says, 0 otherwise");
      expect(status).toBe(0);
    });

    it("finds a node's dumps judged as the kernel judges them", async () => {
      const features = "tcp,udp,sctp,multiport,ctstate,mark,source,destination,protocol,interface";
      const traffic = "accept,drop,return,mark-target,tcp-traffic,udp-traffic,sctp-traffic";
      const allowed = new Set(`${features},${traffic}`.split(","));
      const scene = await drawScene({ seed: 3, backend: "nft", packets: 500, allowed });
      const folder = mkdtempSync(join(tmpdir(), "netverdict-"));
      const { tables, ipsets, addresses, routes } = scene.loaded;
      const files = {
        "iptables-save": tables.nft?.[4] ?? "",
        "ip6tables-save": tables.nft?.[6] ?? "",
        "ipset-save": ipsets,
        "ip-addr.json": addresses,
        "ip-route.json": routes,
        "traffic.pcapng": captureOf(scene.packets),
      };
      for (const [name, content] of Object.entries(files)) {
        writeFileSync(join(folder, name), content);
      }
      const capture = join(folder, "traffic.pcapng");
      const { status, stdout } = verify("-r", capture, "--node-state", folder, "-o", "json");
      const report = JSON.parse(stdout) as {
        packets: number;
        agreed: number;
        differences: object[];
      };
      expect(report.differences).toEqual([]);
      expect(report.packets).toBe(scene.packets.length);
      expect(report.agreed).toBe(report.packets);
      expect(status).toBe(0);
    });

    it("leaves nothing behind when it is interrupted", async () => {
      const words = ["verify", "-r", "-", "-f", "examples/dns-forgotten", "--node", "worker-1"];
      const child = spawn(process.execPath, [BIN, ...words], { cwd: ROOT, stdio: "pipe" });
      const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
      const pid = child.pid ?? 0;
      // The capture never comes: the lab stands ready.
      while (labsOf(pid).length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
      child.kill("SIGINT");
      expect(await ended).toBe(130);
      expect(labsOf(pid)).toEqual([]);
    });
  });
});
