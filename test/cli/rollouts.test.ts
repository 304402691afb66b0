/** The stories of examples/rollouts: what each breaks, and that the hint mends it and opens nothing. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { applyHints, type HintsJson } from "../hints.ts";
import { rolloutCapture } from "../rollout-traffic.ts";

const ROOT = join(import.meta.dirname, "../..");
const FOLDER = join(ROOT, "examples/rollouts");

interface WhatIf {
  readonly newDrop: { readonly flows: number };
  readonly newAllow: { readonly flows: number };
  readonly unknown: { readonly flows: number };
  readonly changes: readonly {
    readonly change: string;
    readonly pair: { readonly from: string; readonly to: string; readonly port: string };
  }[];
  readonly blindSpots: readonly { readonly change: string }[];
  readonly hints: HintsJson | null;
}

function run(folder: string, words: readonly string[]) {
  const { GITHUB_STEP_SUMMARY: _, ...env } = process.env;
  return spawnSync(process.execPath, [join(ROOT, "dist/src/cli/bin.js"), "what-if", ...words], {
    ...{ encoding: "utf8", cwd: folder, maxBuffer: 1 << 26 },
    env: { ...env, NO_COLOR: "1" },
  });
}

/** The words of a story, in a folder of its own. */
function story(name: string): { readonly folder: string; readonly words: readonly string[] } {
  const folder = mkdtempSync(join(tmpdir(), "netverdict-"));
  cpSync(FOLDER, folder, { recursive: true });
  const current = `${name}/current.yaml`;
  return {
    folder,
    words: [
      ...["-r", "traffic.pcapng", "-f", "cluster.yaml"],
      ...(existsSync(join(folder, current)) ? ["--current", current] : []),
      ...["--proposed", `${name}/proposed.yaml`],
      ...(OVERLAYS.has(name) ? ["--overlay"] : []),
    ],
  };
}

const OVERLAYS = new Set(["namespace-renamed", "port-renamed", "tier-above"]);
const [DNS, API, OUTSIDE, LEDGER] = [
  "shop/web -> kube-system/coredns 53/udp",
  "shop/web -> payments/api 8443/tcp",
  "shop/web -> outside 443/tcp",
  "payments/api -> payments/ledger 9000/tcp",
];

describe("examples/rollouts", () => {
  it("has the capture that its generator makes", () => {
    const bytes = readFileSync(join(FOLDER, "traffic.pcapng"));
    expect(bytes.equals(Buffer.from(rolloutCapture()))).toBe(true);
  });

  it.each([
    ["dns-forgotten", [DNS], ["in spec.egress"]],
    ["namespace-renamed", [API], ["in spec.egress[2].to"]],
    ["port-renamed", [API], ["in spec.ingress[0].ports"]],
    ["default-deny", [API, LEDGER], ["new", "new"]],
    ["tier-above", [OUTSIDE], ["first spec.egress"]],
    ["cluster-ip", [DNS], ["in spec.egress[1].to"]],
    ["except-widened", [OUTSIDE], ["in spec.egress[3].to"]],
  ])("%s: breaks this and nothing else, and the hint mends it", (name, drops, ways) => {
    const { folder, words } = story(name);
    const what = (): WhatIf & { readonly status: number | null } => {
      const { stdout, stderr, status } = run(folder, [...words, "-o", "json"]);
      if (stdout === "") throw new Error(stderr);
      return { ...(JSON.parse(stdout) as WhatIf), status };
    };
    const broken = what();
    expect(broken.status).toBe(1);
    expect(
      broken.changes.map(({ change, pair: { from, to, port } }) => [
        change,
        `${from} -> ${to} ${port}`,
      ]),
    ).toEqual(drops.map((drop) => ["new-drop", drop]));
    const { hints } = broken;
    if (hints === null) throw new Error("there are no hints");
    expect(hints.without).toEqual([]);
    expect(
      hints.hints.flatMap(({ edits }) =>
        edits.map(({ way, list }) => (list === undefined ? way : `${way} ${list}`)),
      ),
    ).toEqual(ways);
    expect(hints.hints.every(({ checked }) => checked.capture && checked.traffic)).toBe(true);
    applyHints(hints, folder);
    const mended = what();
    expect(mended).toMatchObject({ status: 0, changes: [], newDrop: { flows: 0 } });
    expect(mended.blindSpots.filter(({ change }) => change !== "new-drop")).toEqual([]);
  });

  it("names the port as the Deployment calls it now", () => {
    const { folder, words } = story("port-renamed");
    expect(run(folder, words).stdout).toContain("    - port: tls\n");
  });

  it("is told in words that stand alone, and no line is told twice", () => {
    for (const name of ["dns-forgotten", "tier-above", "cluster-ip", "default-deny"]) {
      const { folder, words } = story(name);
      const { stdout } = run(folder, words);
      const own = stdout
        .split("\n")
        // YAML is what it is; a policy that denies two workloads is named below both.
        .filter((line) => line !== "" && !/^ {4}|as above$|^ {2}add a policy|:8$/.test(line));
      const apart = own.map((line) => line.trim());
      expect(
        apart.filter((line, index) => apart.indexOf(line) !== index),
        name,
      ).toEqual([]);
    }
  });

  it("says all of it of a name that was misremembered", () => {
    const { folder, words } = story("cluster-ip");
    expect(run(folder, words).stdout.split("\n")).toEqual([
      "Newly dropped: shop/web -> kube-system/coredns 53/udp.",
      "16 packets, 6 flows: 1 newly dropped, 0 newly allowed, 5 unchanged, 0 unknown",
      "",
      "NEWLY DROPPED FROM  TO                   PORT    FLOWS  PACKETS",
      "shop/web            kube-system/coredns  53/udp      1        1",
      "  before: allowed by NetworkPolicy shop/web egress[1]  cluster-ip/current.yaml:21",
      "  after: dropped (no egress rule of the policies selecting shop/web-7d9f4c-lq8wz matches)",
      "  NetworkPolicy shop/web egress  cluster-ip/proposed.yaml:10",
      "  nearest: shop/web egress[1] port 53/UDP matches; peer needs an address in 10.96.0.10/32, has",
      "    10.1.2.53, the pod behind 10.96.0.10  cluster-ip/proposed.yaml:20",
      "  10.1.1.10:40110 -> 10.96.0.10:53: packet 1",
      "",
      "TO LET THEM PASS AGAIN",
      "shop/web -> kube-system/coredns 53/udp",
      "  add to spec.egress[1].to of NetworkPolicy shop/web (cluster-ip/proposed.yaml:20):",
      "    - namespaceSelector:",
      "        matchLabels:",
      "          kubernetes.io/metadata.name: kube-system",
      "      podSelector:",
      "        matchLabels:",
      "          k8s-app: kube-dns",
      "The capture, judged again with these rules, drops none of it; nothing opens that is closed today.",
      "",
    ]);
  });
});
