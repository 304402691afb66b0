/** The `lint` command: its gates, and what CI systems read of it. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readJunit } from "../junit.ts";
import { sarifValidator } from "../schemas.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

function file(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return name;
}

const POLICIES = readFileSync(join(ROOT, "examples/dns-forgotten/policies.yaml"), "utf8");
file("cluster.yaml", readFileSync(join(ROOT, "examples/dns-forgotten/cluster.yaml"), "utf8"));
file("policies.yaml", POLICIES);
const NOTE = file(
  "note.yaml",
  "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: a, name: b}, spec: {podSelector: {}, ingress: [{from: []}]}}",
);

function lint(...words: readonly string[]) {
  const bin = join(ROOT, "dist/src/cli/bin.js");
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, "lint", ...words], {
    encoding: "utf8",
    cwd: folder,
    env: { ...process.env, GITHUB_STEP_SUMMARY: join(folder, "summary.md") },
  });
  return { status, stdout, stderr };
}

const EXAMPLE = ["-f", "cluster.yaml", "-f", "policies.yaml"];

describe("lint", () => {
  it.each([
    [EXAMPLE, 1],
    [[...EXAMPLE, "--fail-on", "none"], 0],
    [[...EXAMPLE, "--fail-on", "SERVICE_ADDRESS_IN_BLOCK"], 1],
    [[...EXAMPLE, "--fail-on", "STAGED"], 0],
    [["-f", NOTE], 0],
    [["-f", NOTE, "--fail-on", "note"], 1],
    [["-f", NOTE, "--fail-on", "EMPTY_LIST_OPENS"], 1],
    [[...EXAMPLE, "--fail-on", "dns"], 2],
    [[], 2],
  ])("ends with the gate's code: %j %i", (words, status) => {
    expect(lint(...words).status).toBe(status);
  });

  it("says each trap with its place and what to write instead", () => {
    const { stdout } = lint(...EXAMPLE);
    expect(stdout.split("\n").slice(0, 6)).toEqual([
      "4 warnings in 5 policies.",
      "",
      "policies.yaml:10:17: warning DNS_FORGOTTEN",
      "  NetworkPolicy shop/frontend-egress restricts egress, and pods such as shop/frontend cannot ask DNS",
      "  allow it: to namespaceSelector {matchLabels: {kubernetes.io/metadata.name: kube-system}} with",
      "    podSelector {matchLabels: {k8s-app: kube-dns}}, ports 53/UDP and 53/TCP",
    ]);
    expect(lint(...EXAMPLE).stdout).toBe(stdout);
  });

  it("looks at a node's dumps, alone or beside manifests", () => {
    const rules = ["-A INPUT -j ACCEPT", "-A INPUT -p tcp -j DROP"];
    file("rules", ["*filter", ":INPUT DROP [0:0]", ...rules, "COMMIT", ""].join("\n"));
    const { status, stdout, stderr } = lint("--iptables", "rules");
    expect(stdout).toBe(
      [
        "1 warning in 2 rules.",
        "",
        "rules:4: warning UNREACHED_RULE",
        "  rule 2 of filter:INPUT is never reached: rule 1 (rules:3) takes every packet",
        "",
      ].join("\n"),
    );
    expect(status).toBe(1);
    // What is missing for verdicts is nothing to lint; what the file itself leaves out is.
    expect(stderr).toMatch(/^rules:1: warning: the file does not say of which backend/);
    expect(stderr).not.toContain("--ip6tables");
    const both = lint("--iptables", "rules", ...EXAMPLE).stdout;
    expect(both.split("\n")[0]).toBe("5 warnings in 5 policies and 2 rules.");
    expect(lint("--iptables", "rules", "-r", "capture.pcap").status).toBe(2);
  });

  it("writes SARIF that is valid, and fingerprints that lines do not change", () => {
    const read = (...words: readonly string[]) => {
      const { stdout } = lint(...words, "-o", "sarif");
      const value = JSON.parse(stdout) as {
        runs: [{ results: { ruleId: string; partialFingerprints: Record<string, string> }[] }];
      };
      const validate = sarifValidator();
      expect(validate(value), JSON.stringify(validate.errors)).toBe(true);
      return value.runs[0].results;
    };
    const results = read(...EXAMPLE);
    expect(results.map(({ ruleId }) => ruleId)).toEqual([
      "DNS_FORGOTTEN",
      "DNS_FORGOTTEN",
      "SERVICE_ADDRESS_IN_BLOCK",
      "OTHER_END_DENIES",
    ]);
    file("policies.yaml", `# one more line\n${POLICIES}`);
    const moved = read(...EXAMPLE);
    file("policies.yaml", POLICIES);
    expect(moved.map((each) => each.partialFingerprints)).toEqual(
      results.map((each) => each.partialFingerprints),
    );
  });

  it("writes JUnit that a common reader reads, with a failure for what trips the gate", async () => {
    const { stdout } = lint(...EXAMPLE, "--fail-on", "DNS_FORGOTTEN", "-o", "junit");
    const [suite] = await readJunit(stdout);
    expect(suite?.cases.length).toBe(4);
    expect(stdout.match(/<failure /g)).toHaveLength(2);
    expect(stdout.match(/<skipped /g)).toHaveLength(2);
  });

  it("writes annotations at the policies' lines, and the page of the workflow", () => {
    const { stdout } = lint(...EXAMPLE, "-o", "github");
    expect(stdout).toContain("::error file=policies.yaml,line=10,title=DNS_FORGOTTEN::");
    expect(readFileSync(join(folder, "summary.md"), "utf8")).toBe(
      lint(...EXAMPLE, "-o", "md").stdout,
    );
  });
});
