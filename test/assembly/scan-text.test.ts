/**
 * Lines of tcpdump that the Wasm reads itself, between lines that it leaves to the reader: `judgeCapture`
 * judges both ways and fails where anything is counted otherwise.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseNode } from "../../src/dump/node.ts";
import type { Program } from "../../src/engine/program.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import { compileObjects, judgeCapture } from "../judge.ts";
import { makeRandom, type Random } from "../random.ts";

const ROOT = join(import.meta.dirname, "../..");
const ADDRESSES = ["10.1.0.1", "10.1.0.2", "10.1.0.3", "192.0.2.200", "010.1.0.1"];
const ADDRESSES6 = [
  ...["fd00::1", "fd00::2", "fd00:0:0:0:0:0:0:3", "FD00::1", "::", "::1", "fd00::", "1::2:3:4"],
  ...[
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
    "::2:3:4:5:6:7:8",
    "1:2:3::4:5:6:7:8",
    "1:::2",
    "1::2::3",
  ],
  ...[
    "::10.1.0.1",
    "::ffff:10.1.0.2",
    "1:2:3:4:5:6:7",
    "12345::1",
    "1:2:3:4:5:6:7:8:9",
    "fd00::1:",
  ],
];
const PORTS = [22, 53, 80, 443, 8080, 65_535];

/** Times as tcpdump prints them: none, of a day, since 1970, since another packet, with a date. */
const TIMINGS = ["-t", "", "-tt", "-ttt", "-tttt", "-ttttt"] as const;
type Timing = (typeof TIMINGS)[number];

const pod = (name: string, ip: string, at: number): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "shop", labels: { app: name } },
  spec: { nodeName: "node-1", containers: [] },
  status: { podIPs: [{ ip }, { ip: `fd00::${at + 1}` }] },
});
const OBJECTS = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  ...["web", "api", "db"].map((name, at) => pod(name, `10.1.0.${at + 1}`, at)),
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

function stamp(timing: Timing, second: number, random: Random): string {
  if (timing === "-t") return "";
  const two = (value: number): string => `${value}`.padStart(2, "0");
  const clock = [second / 3600, (second / 60) % 60, second % 60].map(Math.floor).map(two).join(":");
  const fraction = `${random.below(1_000_000)}`.padStart(6, "0");
  const rest = `.${fraction}${random.chance(0.1) ? "007" : ""} `;
  if (timing === "") return clock + rest;
  if (timing === "-tt") return `${random.pick([99_999_999, 1_700_000_000]) + second}${rest}`;
  if (timing === "-ttt") return ` 00:00:0${random.below(3)}${rest}`;
  if (timing === "-ttttt") return ` ${clock}${rest}`;
  const date = ["2024-02-29", "2026-11-27", "1970-01-01", "1969-12-31", "2023-02-31", "2026-13-01"];
  return `${random.pick(date)} ${clock}${rest}`;
}

const MESSAGES = [
  ...["4660+ A? db.shop.svc. (32)", "4660 A? db. (20)", "4660+ [1au] AAAA? db.shop.svc. (43)"],
  ...[
    "4660 1/0/0 A 10.1.0.1 (48)",
    "4660*- 2/1/0 CNAME a.b., A 10.1.0.2 (90)",
    "4660** 1/0/0 (20)",
  ],
  ...[
    "4660 NXDomain 0/1/0 (98)",
    "4660+% [1au][|domain]",
    "4660 read? (5)",
    "4660+ A? a&gt;b. (9)",
  ],
  ...["4660+ [b2&3=0x1] TXT? x. (9)", "domain [length 6 < 12] (invalid)", "domain [length 6 < 12]"],
];

const OPTIONS = [
  "mss 1460,sackOK,TS val 1 ecr 2,nop",
  "nop,nop,TS val 7 ecr 8",
  "mss 1200,nop,wscale 7,uto 0x101 7680,mss 1300",
  "nop,nop,sack 1 {1:2}",
  "mptcp 4 capable v1,eol",
  "mss 1281[len 3]",
  "sack 0 ,nop,nop",
  "nop,nop,sack 0 ",
  "sack 0,nop,nop",
  "sack",
  "scps cap 00,nop,nop",
  "sackOK x,nop,nop",
  "TS",
  "TS,nop,nop",
  "TS val 1,nop,nop",
  "TS val 12345678901 ecr 2,nop,nop",
  "TS val 1 ecr 12345678901,nop,nop",
  "nop,nop,TS val 12345678901 ecr 2",
  "nop,nop,TS val 1 ecr 2 x",
  "nop,nop,TS val 1 ecr 2,nop,nop",
  "nope,nop",
  "wscale,nop",
  "wscale 7 8,nop",
  "wscale 1234,nop",
  "mss 1460 x",
  "mss,nop",
  "md5 valid,nop",
  "",
];

function body(random: Random): string {
  const six = random.chance(0.4);
  const addresses = six ? ADDRESSES6 : ADDRESSES;
  // Most are those of pods.
  const address = (): string => random.pick(random.chance(0.7) ? addresses.slice(0, 3) : addresses);
  const end = (): string => `${address()}.${random.pick(PORTS)}`;
  const ends = `IP${six ? "6" : ""} ${end()} > ${end()}:`;
  const number = `${random.below(3_000_000_000)}`;
  const seq = random.chance(0.6) ? `, seq ${number}${random.chance(0.5) ? ":12" : ""}` : "";
  const flags = random.pick(["S", "S.", ".", "P.", "F.", "R", "R.", "none", "SEW", "FPU"]);
  const ack = flags.includes(".") ? `, ack ${random.below(99)}` : random.pick(["", ", ack 7"]);
  const options = random.pick(["", "", ...OPTIONS.map((words) => `, options [${words}]`)]);
  const tcp = `${ends} Flags [${flags}]${seq}${ack}, win ${random.below(65_536)}${options}, length`;
  return random.pick([
    `${tcp} ${random.below(1500)}`,
    `${tcp} 12`,
    `${tcp} 77: HTTP: GET /a HTTP/1.1`,
    `${tcp} 77: HTTP: GET /?a=b&c HTTP/1.1`,
    `${tcp} 7\r`,
    `${ends} UDP, length ${random.below(1400)}`,
    `${ends} ${random.pick(MESSAGES)}`,
    `${ends} ${random.pick(MESSAGES)}`,
    "IP 10.1.0.1 > 10.1.0.2: ICMP echo request, id 7, seq 1, length 64",
    "IP6 fd00::1.80 > fd00::2.40000: Flags [.], ack 1, win 9, length 0",
    "ARP, Request who-has 10.1.0.2 tell 10.1.0.1, length 28",
  ]);
}

function text(seed: number, timing: Timing): string {
  const random = makeRandom(seed);
  const since = timing.startsWith("-ttt") && timing !== "-tttt";
  let second = since ? 0 : 86_390;
  const lines: string[] = [];
  for (let count = 0; count < 600; count++) {
    // Over midnight, and back a little.
    const back = !since || random.chance(0.01) ? 86_399 : 1;
    second = (second + random.pick([0, 0, 0, 1, 2, back])) % 86_400;
    const other = random.chance(0.01) ? random.pick(TIMINGS) : timing;
    lines.push(`${stamp(other, second, random)}${body(random)}`);
    if (random.chance(0.05)) {
      lines.push(random.pick(["", "    options of another line", "-- ", "IP nothing", "IP  > x"]));
    }
    if (random.chance(0.02)) lines.push("listening on eth0, link-type EN10MB (Ethernet)");
  }
  return lines.join("\n") + random.pick(["", "\n"]);
}

/** Forwards to an interface with a smaller MTU. */
function narrowNode(): Program {
  const text = ["*filter", ":FORWARD ACCEPT", "COMMIT", ""].join("\n");
  const links = [
    { ifname: "eth0", mtu: 1500, addr_info: [{ local: "2001:db8::10", prefixlen: 64 }] },
    { ifname: "cali1", mtu: 1400, addr_info: [] },
  ].map((link, at) => ({ ...{ ifindex: at + 2, flags: [], link_type: "ether" }, ...link }));
  const routes = [
    { type: "local", dst: "2001:db8::10", dev: "eth0", table: "local" },
    { dst: "2001:db8::/64", dev: "eth0" },
    { dst: "fd00:65::1", dev: "cali1" },
  ];
  return parseNode(
    {
      iptables: [{ file: "4", text, backend: "legacy" }],
      ip6tables: [{ file: "6", text, backend: "legacy" }],
      ...{ ipset: [], conntrack: [], backend: undefined, sysctl: [] },
      addresses: [{ file: "a", text: JSON.stringify(links) }],
      routes: [{ file: "r", text: JSON.stringify(routes) }],
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") throw new Error(formatDiagnostic(diagnostic));
    },
  );
}

describe("text that is read in the Wasm", () => {
  const compiled = compileObjects(OBJECTS);

  it.each(TIMINGS)("is what the reader makes of it, line by line (%s)", async (timing) => {
    let packets = 0;
    for (let seed = 1; seed <= 8; seed++) {
      const capture = new TextEncoder().encode(text(seed, timing));
      packets += (await judgeCapture({ compiled, capture, mayBeDamaged: true })).length;
    }
    expect(packets).toBeGreaterThan(4000);
  });

  // Options of 4, 12 or 40 bytes make the difference.
  it.each(OPTIONS)("has as many bytes as the reader counts: [%s]", async (options) => {
    const ends = "IP6 2001:db8::20.40001 > fd00:65::1.80:";
    const lines: string[] = [];
    for (let count = 0; count < 500; count++) {
      const flags = count % 10 === 0 ? "S" : ".";
      const numbers = `seq ${count}, ack 1, win 9`;
      lines.push(
        `${ends} Flags [${flags}], ${numbers}, options [${options}], length ${1290 + (count % 60)}`,
      );
    }
    const capture = new TextEncoder().encode(`${lines.join("\n")}\n`);
    expect(await judgeCapture({ compiled: narrowNode(), capture })).toHaveLength(500);
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
