/** Rule sets that cost more than they look: each is judged, refused at its place, or unknown, in bounded time. */
import { describe, expect, it } from "vitest";
import type { Diagnostic } from "../../src/errors.ts";
import { parseIptablesSave } from "../../src/dump/iptables-save.ts";
import { buildFrame, UDP } from "../frames.ts";
import { judgeNode, NODE_MAC } from "../match/judge-node.ts";

const FRAME = {
  bytes: buildFrame({
    source: "192.0.2.7",
    destination: "192.0.2.1",
    protocol: UDP,
    sourcePort: 1000,
    destinationPort: 53,
    destinationMac: NODE_MAC,
  }),
  timestampNs: 1_700_000_000_000_000_000n,
  captureInterface: 0,
};

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at);
const chains = (count: number): string[] => numbers(count).map((at) => `:C${at} - [0:0]`);

async function judged(rules: readonly string[], sets = ""): Promise<string> {
  const [verdict] = await judgeNode(rules, [FRAME], "legacy", sets);
  return `${verdict?.verdict} ${verdict?.reason}`;
}

function refusals(rules: readonly string[]): string[] {
  const text = ["*filter", ":INPUT ACCEPT [0:0]", ...rules, "COMMIT", ""].join("\n");
  const dump = { file: "rules", text, family: 4, backend: "legacy" } as const;
  const said: Diagnostic[] = [];
  parseIptablesSave(dump, [], (diagnostic) => said.push(diagnostic));
  return said.map(({ code, place }) => `${place?.line}:${place?.column} ${code}`);
}

describe("limits", () => {
  it("gives up on walks that double with every chain", async () => {
    const calls = numbers(59).flatMap((at) => [
      `-A C${at} -j C${at + 1}`,
      `-A C${at} -j C${at + 1}`,
    ]);
    const rules = [...chains(60), "-A INPUT -j C0", ...calls];
    expect(await judged(rules)).toBe("unknown too-many-rules");
  });

  it("walks thousands of chains deep", async () => {
    const calls = numbers(4999).map((at) => `-A C${at} -j C${at + 1}`);
    const rules = [...chains(5000), "-A INPUT -j C0", ...calls, "-A C4999 -p udp -j DROP"];
    expect(await judged(rules)).toBe("drop rule");
  });

  it("walks past a hundred thousand rules", async () => {
    const rules = numbers(100_000).map(
      (at) => `-A INPUT -p tcp -m tcp --dport ${1 + (at % 60_000)}`,
    );
    expect(await judged([...rules, "-A INPUT -j DROP"])).toBe("drop rule");
  });

  it("finds an entry among hundreds of thousands", async () => {
    const entries = numbers(300_000).map(
      (at) => `add s 10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`,
    );
    const sets = ["create s hash:ip maxelem 1000000", ...entries, "add s 192.0.2.7"].join("\n");
    expect(await judged(["-A INPUT -m set --match-set s src -j DROP"], sets)).toBe("drop rule");
  });

  it("refuses chains that call themselves where one does", () => {
    const rules = [":A - [0:0]", ":B - [0:0]", "-A INPUT -j A", "-A A -p tcp -j B", "-A B -j A"];
    expect(refusals(rules)).toEqual(["6:13 CHAIN_LOOP"]);
  });

  it("reads a line of a hundred thousand matches, and one of megabytes", async () => {
    const comments = "-m comment --comment x ".repeat(100_000);
    expect(await judged([`-A INPUT ${comments}-j DROP`])).toBe("drop rule");
    const long = `-A INPUT -m comment --comment "${"x".repeat(3_000_000)}" -j DROP`;
    expect(refusals([long])).toEqual(["3:21 BAD_RULE"]);
  });
});
