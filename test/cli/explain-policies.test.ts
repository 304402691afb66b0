/** `explain` of a pod and of a policy, by the rollouts that break something. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const FOLDER = join(ROOT, "examples/rollouts");

function explain(...words: readonly string[]) {
  const bin = join(ROOT, "dist/src/cli/bin.js");
  return spawnSync(process.execPath, [bin, "explain", "-f", "cluster.yaml", ...words], {
    ...{ encoding: "utf8", cwd: FOLDER, env: { ...process.env, NO_COLOR: "1" } },
  });
}

describe("explain of a pod", () => {
  it("tells the policies that select it in the order in which they are asked, and what they mean", () => {
    const { stdout } = explain("-f", "tier-above", "shop/web");
    // What follows `=` is the tables' own.
    const words = stdout.split("\n").filter((line) => !/^ +=|^ +(dst|MARK|0x|cali40s)/.test(line));
    expect(words).toEqual([
      "shop/web-7d9f4c-lq8wz: a pod of Deployment web, 10.1.1.10, on node worker-1",
      "  labels app=web, pod-template-hash=7d9f4c",
      "",
      "EGRESS: isolated: of what it sends only that passes which a rule lets pass",
      "  tier security",
      "  GlobalNetworkPolicy security.no-strangers  tier-above/proposed.yaml:15",
      "    egress[0] drops  tier-above/proposed.yaml:18",
      "      destination 203.0.113.0/24",
      "    egress[1] leaves to the next tier  tier-above/proposed.yaml:22",
      "      everything",
      "  what none of these rules matches is dropped",
      "  tier default",
      "  NetworkPolicy shop/web  tier-above/current.yaml:10",
      "    egress[0] lets pass  tier-above/current.yaml:13",
      "      to pods with app=cart of namespace shop: shop/cart",
      "      ports 8080/TCP",
      "    egress[1] lets pass  tier-above/current.yaml:20",
      "      to pods with k8s-app=kube-dns of all namespaces: kube-system/coredns",
      "      ports 53/UDP",
      "    egress[2] lets pass  tier-above/current.yaml:29",
      "      to all pods of namespaces with team=payments: payments/api, payments/ledger",
      "      ports all, of every protocol",
      "    egress[3] lets pass  tier-above/current.yaml:34",
      "      to 0.0.0.0/0 except 10.0.0.0/8",
      "      ports 443/TCP",
      "  what none of these rules matches is dropped",
      "",
      "INGRESS: not isolated: no policy selects it, what it gets passes",
      "",
    ]);
    expect(stdout).toContain(
      "      = filter:cali-po-_EItVi1PggvJZ6pO3wI5:rule:1 -d 203.0.113.0/24 -j MARK",
    );
  });

  it("names as many rules of the tables as compile prints", () => {
    const { stdout } = explain("-f", "default-deny", "payments/ledger", "-o", "json");
    const { directions } = JSON.parse(stdout) as {
      directions: { direction: string; isolated: boolean; tiers: { table: object[] }[] }[];
    };
    expect(directions.map(({ direction, isolated }) => [direction, isolated])).toEqual([
      ["egress", false],
      ["ingress", true],
    ]);
    // One for each family.
    expect(directions[1]?.tiers[0]?.table).toHaveLength(2);
  });

  it("names the pod's own where others are isolated by the same policy", () => {
    const file = join(mkdtempSync(join(tmpdir(), "netverdict-")), "closed.json");
    const pod = (name: string, ip: string): object => ({
      ...{ apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "depot" } },
      status: { podIPs: [{ ip }] },
    });
    const items = [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: "depot" } },
      ...[pod("web", "10.1.9.1"), pod("api", "10.1.9.2")],
      {
        ...{ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" },
        ...{ metadata: { name: "closed", namespace: "depot" }, spec: { podSelector: {} } },
      },
    ];
    writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    const chainsOf = (name: string): unknown => {
      const { stdout } = explain("-f", file, `depot/${name}`, "-o", "json");
      const { directions } = JSON.parse(stdout) as {
        directions: { direction: string; tiers: { table: { chain: string }[] }[] }[];
      };
      return directions[1]?.tiers[0]?.table.map(({ chain }) => chain);
    };
    const [web, api] = [chainsOf("web"), chainsOf("api")];
    expect(web).toHaveLength(2);
    expect(api).toHaveLength(2);
    expect(api).not.toEqual(web);
  });

  it.each([
    [["kube-system/kube-dns"], "kube-system/kube-dns: no pod"],
    [["shop/web", "--port", "53/udp"], "--port is of a connection"],
    [["--policy", "shop/wbe", "-f", "tier-above"], 'did you mean "shop/web"?'],
    [["--policy", "shop/web", "shop/web", "-f", "tier-above"], "a policy is explained"],
  ])("refuses %j", (words, message) => {
    const { status, stderr } = explain(...words);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe("explain of a policy", () => {
  it("tells whom it selects, what its rules mean here, and which of them a capture hits", () => {
    const words = ["-f", "port-renamed/current.yaml", "-r", "traffic.pcapng"];
    const { stdout } = explain(...words, "--policy", "NetworkPolicy/payments/api");
    expect(stdout.split("\n").filter((line) => !line.startsWith("      ="))).toEqual(
      expect.arrayContaining([
        "  selects pods with app=api of namespace payments: 1 pod: payments/api",
        "    ingress[0] lets pass: 1 packet  port-renamed/current.yaml:12",
        "      from pods with app=web of namespaces with team=shop: shop/web",
        "      ports named https (TCP): 8443/TCP of payments/api",
      ]),
    );
  });

  it("ends as a partial result where the capture is cut off", () => {
    const folder = mkdtempSync(join(tmpdir(), "netverdict-"));
    const cut = join(folder, "cut.pcapng");
    writeFileSync(cut, readFileSync(join(FOLDER, "traffic.pcapng")).subarray(0, 700));
    const words = ["-f", "port-renamed/current.yaml", "--policy", "payments/api", "-r", cut];
    const { status, stderr } = explain(...words);
    expect(stderr).toContain("[TRUNCATED_CAPTURE]");
    expect(status).toBe(3);
  });

  it("prints no byte of a name that a terminal would obey", () => {
    const path = join(mkdtempSync(join(tmpdir(), "netverdict-")), "evil.json");
    const name = "deny\u001b[31m";
    const policy = {
      ...{ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" },
      ...{ metadata: { name, namespace: "shop" }, spec: { podSelector: {} } },
    };
    writeFileSync(path, JSON.stringify(policy));
    for (const words of [["--policy", `shop/${name}`], ["shop/web"]]) {
      const { stdout, status } = explain("-f", path, ...words);
      expect(status).toBe(0);
      expect(stdout).toContain("shop/deny\\x1b[31m");
      expect(stdout).not.toContain("\u001b");
    }
  });

  it("is told as data, too", () => {
    const renamed = explain(
      ...["-f", "namespace-renamed/current.yaml", "-o", "json", "--policy", "shop/web"],
    );
    const { directions } = JSON.parse(renamed.stdout) as {
      directions: {
        rules: { rule: number; packets?: number; matches: { means?: string[] }[] }[];
      }[];
    };
    expect(directions[0]?.rules.map(({ matches }) => matches[0]?.means)).toEqual([
      ["shop/cart"],
      ["kube-system/coredns"],
      ["payments/api", "payments/ledger"],
      undefined,
    ]);
  });
});
