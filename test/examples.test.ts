import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { exampleCapture } from "./example-traffic.ts";
import { compileManifests, judgeCapture } from "./judge.ts";

const FOLDER = new URL("../examples/dns-forgotten/", import.meta.url);
const read = (name: string): Buffer => readFileSync(new URL(name, FOLDER));

async function verdicts(capture: Uint8Array) {
  const texts = ["cluster.yaml", "policies.yaml"].map((name) => ({
    file: name,
    text: read(name).toString(),
  }));
  return judgeCapture({ compiled: compileManifests(texts), capture });
}

describe("examples/dns-forgotten", () => {
  it("has the capture that its generator makes", () => {
    expect(read("traffic.pcapng").equals(Buffer.from(exampleCapture()))).toBe(true);
  });

  it("gets the same verdict for every packet from the capture and from its text", async () => {
    const tell = (all: Awaited<ReturnType<typeof verdicts>>) =>
      all.map(({ number, verdict, reason, decider }) => [
        number,
        verdict,
        reason,
        decider?.chain,
        decider?.number,
      ]);
    const bytes = tell(await verdicts(read("traffic.pcapng")));
    expect(bytes).toHaveLength(33);
    expect(tell(await verdicts(read("traffic.txt")))).toEqual(bytes);
  });

  it("drops the lookups that a policy forgot or allows for the wrong address, and those only", async () => {
    const dns = (await verdicts(read("traffic.pcapng"))).filter(
      ({ destinationPort }) => destinationPort === 53,
    );
    expect(dns.map(({ sourceRoute, verdict }) => [sourceRoute?.owner, verdict])).toEqual([
      ["shop/frontend", "drop"],
      ["shop/cart", "allow"],
      ["shop/checkout", "drop"],
    ]);
  });

  it("points the surprising drop to the ClusterIP in the policy's ipBlock", () => {
    const main = new URL("../dist/src/cli/bin.js", import.meta.url).pathname;
    const output = execFileSync(
      process.execPath,
      [main, "replay", "-r", "traffic.pcapng", "-f", ".", "--no-color"],
      { cwd: FOLDER, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
    );
    expect(output.replaceAll(/\s+/g, " ")).toContain(
      "nearest: shop/checkout-egress egress[1] port 53/UDP matches; peer needs an address in 10.96.0.10/32, has 10.1.2.53, the pod behind 10.96.0.10 policies.yaml:36",
    );
  });
});
