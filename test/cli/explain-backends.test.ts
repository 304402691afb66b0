/** `explain` of a connection to a Service whose backends are judged differently. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const BIN = join(import.meta.dirname, "../../dist/src/cli/bin.js");

const pod = (name: string, address: string): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop, labels: {name: ${name}, app: ${name.slice(0, 3)}}}, ` +
  `spec: {}, status: {podIP: ${address}, phase: Running, conditions: [{type: Ready, status: "True"}]}}`;

const service = (spec: string): string =>
  "{apiVersion: v1, kind: Service, metadata: {name: front, namespace: shop}, " +
  `spec: {clusterIP: 10.96.0.10, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]${spec}}}`;

const POLICY =
  "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: closed, namespace: shop}, " +
  "spec: {podSelector: {matchLabels: {name: web-1}}, policyTypes: [Ingress]}}";

function explain(pods: number, spec: string, ...words: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "netverdict-backends-"));
  const webs = Array.from({ length: pods }, (_, index) =>
    pod(`web-${index}`, `10.1.0.${index + 5}`),
  );
  const documents = ["{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"];
  documents.push(...webs, pod("client", "10.1.0.99"), service(spec), POLICY);
  writeFileSync(join(folder, "cluster.yaml"), documents.join("\n---\n"));
  const { stdout } = spawnSync(
    process.execPath,
    [BIN, "explain", "-f", "cluster.yaml", "shop/client", "shop/front", ...words],
    { encoding: "utf8", cwd: folder, env: { ...process.env, NO_COLOR: "1" } },
  );
  return stdout;
}

describe("explain of a Service", () => {
  it("tells the verdict of each backend where they differ", () => {
    expect(explain(2, "").split("\n").slice(0, 10)).toEqual([
      "shop/client (10.1.0.99) -> service shop/front (10.96.0.10) 80/tcp: unknown: the backends of Service",
      "  address 10.96.0.10 are judged differently, and chance decides which one it gets",
      "",
      "BACKEND     ADDRESS   PORT  VERDICT",
      "shop/web-0  10.1.0.5  8080  allow",
      "shop/web-1  10.1.0.6  8080  drop",
      "  no ingress rule of the policies selecting shop/web-1 matches",
      expect.stringMatching(/^ {2}NetworkPolicy shop\/closed ingress {2}cluster\.yaml:/),
      "",
      "DIRECTION  ENDPOINT            VERDICT",
    ]);
  });

  it("says how many it did not ask", () => {
    expect(explain(23, "")).toContain("\nand 3 more, which were not asked\n");
    const { backends, moreBackends } = JSON.parse(explain(23, "", "-o", "json")) as {
      readonly backends: readonly { readonly verdict: string; readonly to: string }[];
      readonly moreBackends: number;
    };
    expect([backends.length, moreBackends]).toEqual([20, 3]);
    const dropped = backends.filter(({ verdict }) => verdict === "drop");
    expect(dropped.map(({ to }) => to)).toEqual(["shop/web-1"]);
  });

  it("does not where all have one verdict, or nodes choose from their own", () => {
    expect(explain(1, "")).not.toContain("BACKEND");
    expect(explain(2, ", internalTrafficPolicy: Local")).not.toContain("BACKEND");
  });
});
