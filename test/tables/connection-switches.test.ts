import { describe, expect, it } from "vitest";
import { buildFrame, buildPcap, START_NS, TCP } from "../frames.ts";
import { compileManifests, judgeCapture } from "../judge.ts";

const MANIFESTS = `
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: a}, status: {podIP: 10.0.1.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: a}, status: {podIP: 10.0.2.1}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: one-way, namespace: a}, spec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{ipBlock: {cidr: 10.0.1.1/32}}]}], egress: [{to: [{ipBlock: {cidr: 10.0.2.1/32}}]}]}}
`;

/** Seconds after the first packet, who sends, flags, and numbers. */
type Segment = readonly [number, "web" | "db", string, number, number];

const HANDSHAKE: readonly Segment[] = [
  [0, "web", "S", 100, 0],
  [0, "db", "S.", 500, 101],
  [0, "web", ".", 101, 501],
];

function timedFrame([at, from, flags, seq, ack]: Segment): Parameters<typeof buildPcap>[0][number] {
  const ends = [
    { address: "10.0.1.1", port: 40_000 },
    { address: "10.0.2.1", port: 5432 },
  ] as const;
  const [source, destination] = from === "web" ? ends : [ends[1], ends[0]];
  const bytes = buildFrame({
    ...{ source: source.address, sourcePort: source.port },
    ...{ destination: destination.address, destinationPort: destination.port },
    ...{ protocol: TCP, flags, seq, ack },
  });
  return { bytes, timestampNs: START_NS + BigInt(at) * 1_000_000_000n };
}

describe("connections of a cluster", () => {
  it.each<[string, readonly Segment[], string]>([
    [
      "an hour, when the server has closed its side",
      [
        [1, "db", "F.", 501, 101],
        [1, "web", ".", 101, 502],
        [3500, "web", "F.", 101, 502],
        [3500, "db", ".", 502, 102],
      ],
      "allow ESTABLISHED, allow ESTABLISHED, allow ESTABLISHED, allow ESTABLISHED",
    ],
    [
      "no longer than an hour then",
      [
        [1, "db", "F.", 501, 101],
        [1, "web", ".", 101, 502],
        [3700, "db", ".", 502, 101],
      ],
      "allow ESTABLISHED, allow ESTABLISHED, drop NEW",
    ],
    ["a day", [[86_000, "db", ".", 501, 101]], "allow ESTABLISHED"],
    ["no longer than a day", [[87_000, "db", ".", 501, 101]], "drop NEW"],
  ])("last, as kube-proxy has it, %s", async (_, segments, expected) => {
    const compiled = compileManifests([{ file: "a.yaml", text: MANIFESTS }]);
    const capture = buildPcap([...HANDSHAKE, ...segments].map(timedFrame));
    const verdicts = await judgeCapture({ compiled, capture });
    const said = verdicts.slice(HANDSHAKE.length).map((one) => `${one.verdict} ${one.ctState}`);
    expect(said.join(", ")).toBe(expected);
  });
});
