import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { TCP, buildFrame, buildPcap, timed } from "../frames.ts";

const ROOT = join(import.meta.dirname, "../..");
const BIN = join(ROOT, "dist/src/cli/bin.js");
const EXAMPLE = "examples/dns-forgotten";
const CAPTURE = `${EXAMPLE}/traffic.pcapng`;
const LIVE = ["replay", "-r", "-", "-f", EXAMPLE, "-o"];
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

function run(...words: string[]) {
  return spawnSync(process.execPath, [BIN, ...words], { cwd: ROOT, encoding: "utf8" });
}

/** Starts a replay of a capture that never ends. */
function startLive(format: string) {
  const child = spawn(process.execPath, [BIN, ...LIVE, format], { cwd: ROOT });
  child.stdin.on("error", () => undefined);
  child.stdin.write(readFileSync(join(ROOT, CAPTURE)));
  return child;
}

/** A capture of one packet, some seconds after 1970. */
function captureAt(name: string, ...seconds: readonly number[]): string {
  const frame = buildFrame({
    source: "10.1.1.10",
    destination: "10.1.2.20",
    protocol: TCP,
    sourcePort: 40000,
    destinationPort: 80,
  });
  const frames = timed(seconds.map(() => frame)).map(({ bytes }, index) => ({
    bytes,
    timestampNs: BigInt(seconds[index] ?? 0) * 1_000_000_000n,
  }));
  const path = join(folder, name);
  writeFileSync(path, buildPcap(frames));
  return path;
}

describe("a live capture", () => {
  it("is judged while it runs", async () => {
    const child = startLive("ndjson");
    const [chunk] = (await once(child.stdout, "data")) as [Buffer];
    expect(JSON.parse(chunk.toString().split("\n")[0] ?? "")).toMatchObject({ packet: 1 });
    child.kill("SIGKILL");
  });

  it.each(["SIGINT", "SIGTERM"] as const)(
    "is reported up to %s, and the exit code says so",
    async (signal) => {
      const stopped = spawn(
        process.execPath,
        [BIN, ...LIVE, "ndjson", "-o", `json=${join(folder, "part.json")}`],
        { cwd: ROOT },
      );
      stopped.stdin.write(readFileSync(join(ROOT, CAPTURE)));
      await once(stopped.stdout, "data");
      stopped.stdout.resume();
      stopped.kill(signal);
      const [code] = (await once(stopped, "exit")) as [number];
      expect(code).toBe(signal === "SIGINT" ? 130 : 143);
      expect(JSON.parse(readFileSync(join(folder, "part.json"), "utf8"))).toMatchObject({
        partial: "interrupted",
      });
    },
  );
});

describe("a pipe", () => {
  const rollout = ["what-if", "-r", "examples/rollouts/traffic.pcapng", "--proposed"];
  const proposed = "examples/rollouts/default-deny/proposed.yaml";

  it("is read once for both sides of a comparison", () => {
    const input = readFileSync(join(ROOT, "examples/rollouts/cluster.yaml"));
    const words = [...rollout, proposed, "-f", "-", "-o", "json"];
    const piped = spawnSync(process.execPath, [BIN, ...words], {
      ...{ cwd: ROOT, encoding: "utf8", input },
    });
    const named = run(...rollout, proposed, "-f", "examples/rollouts/cluster.yaml", "-o", "json");
    expect(piped.stdout).toContain('"newDrop": {\n  "packets": 6,\n  "flows": 2\n }');
    const withoutName = piped.stdout
      .replaceAll('"-"', '"examples/rollouts/cluster.yaml"')
      .replace("policy in -:", "policy in examples/rollouts/cluster.yaml:");
    expect(withoutName).toBe(named.stdout);
    expect(piped.status).toBe(1);
  });

  it("that stands for two inputs is refused", () => {
    const { status, stderr } = run("replay", "-r", "-", "-f", EXAMPLE, "--hosts", "-");
    expect(stderr).toContain("- stands for several inputs");
    expect(status).toBe(2);
  });
});

describe.runIf(existsSync("/dev/zero"))("a file without an end", () => {
  it.each([
    ["-f", "/dev/zero"],
    ["-f", EXAMPLE, "--hosts", "/dev/zero"],
    ["--iptables", "/dev/zero"],
  ])("is refused: %j", (...words) => {
    const { status, stderr } = run("replay", "-r", CAPTURE, ...words);
    expect(stderr).toContain("/dev/zero: longer than 536870888 bytes");
    expect(status).toBe(2);
  });
});

describe("standard output that is closed", () => {
  it("ends the replay without a word", async () => {
    const child = startLive("ndjson");
    const errors: Buffer[] = [];
    child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
    child.stdout.destroy();
    const [code] = (await once(child, "exit")) as [number];
    expect(code).toBe(0);
    expect(Buffer.concat(errors).toString()).toBe("");
  });
});

describe("several captures", () => {
  it("are replayed in the order of their time", () => {
    const late = captureAt("late.pcap", 300);
    const early = captureAt("early.pcap", 100, 200);
    const { stdout } = run("replay", "-r", late, "-r", early, "-f", EXAMPLE, "-o", "ndjson");
    const times = stdout
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { time: string }).time.slice(14, 19));
    expect(times).toEqual(["01:40", "03:20", "05:00"]);
  });
});

describe("an output file", () => {
  it("never replaces an input", () => {
    const capture = captureAt("precious.pcap", 1);
    const before = readFileSync(capture);
    const { status } = run("replay", "-r", capture, "-f", EXAMPLE, "-o", `json=${capture}`);
    expect(status).toBe(2);
    expect(readFileSync(capture).equals(before)).toBe(true);
  });

  it("has no other output's name", () => {
    const target = mkdtempSync(join(tmpdir(), "netverdict-"));
    const path = join(target, "x");
    const words = ["-o", `json=${path}`, "-o", `html=${path}`];
    const { status, stderr } = run("replay", "-r", CAPTURE, "-f", EXAMPLE, ...words);
    expect(stderr).toContain("another output has this name");
    expect(status).toBe(2);
    expect(readdirSync(target)).toEqual([]);
  });

  it("leaves nothing behind when the input is unusable", () => {
    const target = mkdtempSync(join(tmpdir(), "netverdict-"));
    run("replay", "-r", "none.pcap", "-f", EXAMPLE, "-o", `json=${join(target, "x.json")}`);
    expect(readdirSync(target)).toEqual([]);
  });
});

describe("an expression", () => {
  it("chooses what is reported, not what is judged", () => {
    const words = ["replay", "-r", CAPTURE, "-f", EXAMPLE, "-o", "json"];
    const all = JSON.parse(run(...words).stdout) as { rules: unknown };
    const dns = JSON.parse(run(...words, "udp", "port", "53").stdout) as {
      rules: unknown;
      flows: { sourcePort: number; destinationPort: number }[];
    };
    expect(dns.flows.length).toBeGreaterThan(0);
    const others = dns.flows.filter(
      (flow) => flow.sourcePort !== 53 && flow.destinationPort !== 53,
    );
    expect(others).toEqual([]);
    expect(dns.rules).toEqual(all.rules);
  });

  it("gathers the same flows as the matcher when it chooses every packet", () => {
    const words = ["replay", "-r", CAPTURE, "-f", EXAMPLE, "-o", "json"];
    type Report = {
      packets: number;
      flows: { source: string; verdict: string; packets: number }[];
    };
    const told = (text: string): unknown => {
      const { packets, flows } = JSON.parse(text) as Report;
      return {
        packets,
        flows: flows.map(({ source, verdict, packets }) => [source, verdict, packets]),
      };
    };
    expect(told(run(...words, "tcp", "or", "not", "tcp").stdout)).toEqual(
      told(run(...words).stdout),
    );
  });
});

describe("explain without --port", () => {
  it("takes the only port of a Service, and refuses to guess where a policy names ports", () => {
    const ask = (to: string) => run("explain", "-f", EXAMPLE, "shop/checkout", to);
    expect(ask("kube-system/kube-dns").stdout).toMatch(/^shop\/checkout .* 53\/udp by way of /);
    expect(ask("payments/api").stderr).toMatch(
      /--port is missing: \d+\/tcp is dropped, \d+\/tcp is allowed \(.* names ports/,
    );
    expect(ask("payments/api").status).toBe(2);
  });

  it("answers where rules name ports, and all of them come to the same", () => {
    const ask = (from: string, to: string) => run("explain", "-f", EXAMPLE, from, to);
    const { stdout, status } = ask("shop/checkout", "203.0.113.9");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^shop\/checkout .* 80\/tcp: drop/);
  });
});

it("waits for manifests of a pipe that says nothing at first", () => {
  const manifests = join(folder, "late.json");
  writeFileSync(manifests, JSON.stringify({ apiVersion: "v1", kind: "List", items: [] }));
  const command = `(sleep 1; cat '${manifests}') | '${process.execPath}' '${BIN}' lint -f -`;
  const { status, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});
