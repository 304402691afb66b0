/**
 * Lines of tcpdump that the Wasm reads itself, between lines that it leaves to the reader: `judgeCapture`
 * judges both ways and fails where anything is counted otherwise.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compileObjects, judgeCapture } from "../judge.ts";
import { makeRandom, type Random } from "../random-cluster.ts";

const ROOT = join(import.meta.dirname, "../..");
const ADDRESSES = ["10.1.0.1", "10.1.0.2", "10.1.0.3", "192.0.2.200", "010.1.0.1"];
const PORTS = [22, 53, 80, 443, 8080, 65_535];

const pod = (name: string, ip: string): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "shop", labels: { app: name } },
  spec: { nodeName: "node-1", containers: [] },
  status: { podIPs: [{ ip }] },
});
const OBJECTS = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  ...["web", "api", "db"].map((name, at) => pod(name, `10.1.0.${at + 1}`)),
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "api", namespace: "shop" },
    spec: {
      podSelector: { matchLabels: { app: "api" } },
      ingress: [{ from: [{ podSelector: {} }], ports: [{ protocol: "TCP", port: 8080 }] }],
    },
  },
];

function stamp(second: number, random: Random): string {
  const two = (value: number): string => `${value}`.padStart(2, "0");
  const clock = [second / 3600, (second / 60) % 60, second % 60].map(Math.floor).map(two).join(":");
  return `${clock}.${`${random.below(1_000_000)}`.padStart(6, "0")}`;
}

function body(random: Random): string {
  const end = (): string => `${random.pick(ADDRESSES)}.${random.pick(PORTS)}`;
  const ends = `IP ${end()} > ${end()}:`;
  const number = `${random.below(3_000_000_000)}`;
  const seq = random.chance(0.6) ? `, seq ${number}${random.chance(0.5) ? ":12" : ""}` : "";
  const flags = random.pick(["S", "S.", ".", "P.", "F.", "R", "R.", "none", "SEW", "FPU"]);
  const ack = flags.includes(".") ? `, ack ${random.below(99)}` : random.pick(["", ", ack 7"]);
  const options = random.pick(["", "", ", options [mss 1460,sackOK,TS val 1 ecr 2,nop]"]);
  const tcp = `${ends} Flags [${flags}]${seq}${ack}, win ${random.below(65_536)}${options}, length`;
  return random.pick([
    `${tcp} ${random.below(1500)}`,
    `${tcp} 12`,
    `${tcp} 77: HTTP: GET /a HTTP/1.1`,
    `${tcp} 77: HTTP: GET /?a=b&c HTTP/1.1`,
    `${tcp} 7\r`,
    `${ends} UDP, length ${random.below(1400)}`,
    `${ends} 4660+ A? db.shop.svc. (32)`,
    "IP 10.1.0.1 > 10.1.0.2: ICMP echo request, id 7, seq 1, length 64",
    "IP6 fd00::1.80 > fd00::2.40000: Flags [.], ack 1, win 9, length 0",
    "ARP, Request who-has 10.1.0.2 tell 10.1.0.1, length 28",
  ]);
}

function text(seed: number): string {
  const random = makeRandom(seed);
  let second = 86_390;
  const lines: string[] = [];
  for (let count = 0; count < 600; count++) {
    // Over midnight, and back a little.
    second = (second + random.pick([0, 0, 0, 1, 2, 86_399])) % 86_400;
    lines.push(`${stamp(second, random)} ${body(random)}`);
    if (random.chance(0.05)) lines.push(random.pick(["", "    options of another line", "-- "]));
    if (random.chance(0.02)) lines.push("listening on eth0, link-type EN10MB (Ethernet)");
  }
  return lines.join("\n") + random.pick(["", "\n"]);
}

describe("text that is read in the Wasm", () => {
  const compiled = compileObjects(OBJECTS);

  it("is what the reader makes of it, line by line", async () => {
    let packets = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const capture = new TextEncoder().encode(text(seed));
      packets += (await judgeCapture({ compiled, capture })).length;
    }
    expect(packets).toBeGreaterThan(7000);
  });

  it("keeps the numbers of lines for what is reported behind it", () => {
    const folder = mkdtempSync(join(tmpdir(), "netverdict-"));
    const file = join(folder, "capture.txt");
    const line = "10:00:00.000001 IP 10.1.0.1.4000 > 10.1.0.2.80: UDP, length 1\n";
    writeFileSync(file, `${line.repeat(5000)}10:00:01.000000 IP 10.1.0.1.4000 > nowhere\n`);
    const manifests = join(folder, "cluster.json");
    const list = { apiVersion: "v1", kind: "List", items: OBJECTS };
    writeFileSync(manifests, JSON.stringify(list));
    const words = ["dist/src/cli/bin.js", "replay", "-r", file, "-f", manifests, "-o", "json"];
    const { stdout, stderr } = spawnSync(process.execPath, words, { cwd: ROOT, encoding: "utf8" });
    expect(JSON.parse(stdout)).toMatchObject({ packets: 5000 });
    expect(stderr).toContain("capture.txt:5001:");
  });
});
