/** Sequences that the kernel lab found judged otherwise than Linux does; pinned here without a kernel. */
import { describe, expect, it } from "vitest";

import { buildFrame, buildPcap, TCP, timed } from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";
import { worldObjects } from "../random-cluster.ts";

const CLIENT = "10.244.0.2";
const BACKEND = "10.244.0.3";
const SERVICE = "10.96.0.10";

const clusterWithService = worldObjects({
  namespaces: [{ metadata: { name: "shop" } }],
  nodes: [{ metadata: { name: "node-1" } }],
  pods: [CLIENT, BACKEND].map((ip, index) => ({
    metadata: { name: `pod-${index}`, namespace: "shop" },
    spec: { nodeName: "node-1", containers: [] },
    status: { phase: "Running", podIPs: [{ ip }] },
  })),
  policies: [],
  services: [
    {
      metadata: { name: "api", namespace: "shop" },
      spec: { clusterIPs: [SERVICE], ports: [{ port: 80 }] },
    },
  ],
  endpointSlices: [
    {
      metadata: {
        name: "api-1",
        namespace: "shop",
        labels: { "kubernetes.io/service-name": "api" },
      },
      addressType: "IPv4",
      endpoints: [{ addresses: [BACKEND] }],
      ports: [{ port: 8080 }],
    },
  ],
});

describe("a TCP reset before any answer", () => {
  it("is translated as its connection is, and ends it", async () => {
    const frames = ["S", "R", "."].map((flags, index) =>
      buildFrame({
        source: CLIENT,
        destination: SERVICE,
        protocol: TCP,
        sourcePort: 40_000,
        destinationPort: 80,
        flags,
        seq: 100 + index,
        id: index + 1,
      }),
    );
    const verdicts = await judgeCapture({
      compiled: compileObjects(clusterWithService, "node-1"),
      capture: buildPcap(timed(frames)),
    });
    const [opening, reset, later] = verdicts;
    expect(reset?.translated).toEqual(opening?.translated);
    expect(reset?.outInterface).toBe(opening?.outInterface);
    // Picked up anew: the entry is gone, and the nat table is asked again.
    expect(later?.ctState).toBe("NEW");
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["allow", "allow", "allow"]);
  });
});
