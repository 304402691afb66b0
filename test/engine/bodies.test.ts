/** Chains that IPv4 and IPv6 have in common: what they ask for is looked up in each family's own sets. */
import { describe, expect, it } from "vitest";
import { buildFrame, buildPcap, TCP, timed } from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";

const NAMESPACE = "shop";

function pod(name: string, number: number): object {
  return {
    ...{ apiVersion: "v1", kind: "Pod" },
    metadata: { name, namespace: NAMESPACE, labels: { app: name } },
    status: { podIPs: [{ ip: `10.0.0.${number}` }, { ip: `fd00::${number}` }] },
  };
}

/** Only one pod may come in, by whatever family. */
function closed(name: string, peer: string): object {
  return {
    ...{ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" },
    metadata: { name: `${peer}-to-${name}`, namespace: NAMESPACE },
    spec: {
      podSelector: { matchLabels: { app: name } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: peer } } }] }],
    },
  };
}

const NUMBERS = { web: 1, api: 2, db: 3, cron: 4 } as const;
type Name = keyof typeof NUMBERS;

const compiled = compileObjects([
  { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } },
  ...Object.entries(NUMBERS).map(([name, number]) => pod(name, number)),
  ...[closed("api", "web"), closed("db", "api"), closed("cron", "nobody")],
]);

/** What becomes of a SYN from one pod to another: by IPv4, and by IPv6. */
async function verdictsOf(from: Name, to: Name): Promise<string> {
  const frames = ["10.0.0.", "fd00::"].map((prefix) =>
    buildFrame({
      ...{ source: `${prefix}${NUMBERS[from]}`, destination: `${prefix}${NUMBERS[to]}` },
      ...{ protocol: TCP, sourcePort: 4000, destinationPort: 80, flags: "S" },
    }),
  );
  const verdicts = await judgeCapture({ compiled, capture: buildPcap(timed(frames)) });
  return verdicts.map(({ verdict }) => verdict).join(" ");
}

describe("policies that both families have in common", () => {
  it.each([
    ["web", "api", "allow allow"],
    ["api", "db", "allow allow"],
    ["web", "db", "drop drop"],
    ["db", "api", "drop drop"],
    ["web", "cron", "drop drop"],
  ] as const)("let through whom they mean: %s to %s", async (from, to, expected) => {
    expect(await verdictsOf(from, to)).toBe(expected);
  });
});
