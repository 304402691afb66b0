/**
 * Seeded clusters and packets. A size is a number of policies; there are two pods for each policy, and
 * each policy isolates one pod and lets one other in at one port. Every flow is one pod to another.
 */
import { buildFrame, buildPcap, timed } from "../test/frames.ts";

export interface Workload {
  readonly policies: number;
  readonly objects: readonly object[];
  /** A pcap file of minimum-size TCP SYNs. */
  readonly capture: Uint8Array;
  readonly packets: number;
}

/** Draws a cluster with so many policies, and a capture of so many packets in so many flows. */
export function makeWorkload(size: {
  readonly policies: number;
  readonly packets: number;
  readonly flows: number;
}): Workload {
  const pods = size.policies * 2;
  const random = mulberry32(size.policies);
  const address = (pod: number): string => `10.${1 + (pod >> 16)}.${(pod >> 8) & 255}.${pod & 255}`;
  const objects = [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "bench" } },
    ...Array.from({ length: pods }, (_, pod) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `pod-${pod}`, namespace: "bench", labels: { app: `app-${pod}` } },
      spec: { nodeName: "node-1", containers: [] },
      status: { podIPs: [{ ip: address(pod) }] },
    })),
    ...Array.from({ length: size.policies }, (_, policy) => ({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: `policy-${policy}`, namespace: "bench" },
      spec: {
        podSelector: { matchLabels: { app: `app-${policy * 2}` } },
        ingress: [
          {
            from: [{ podSelector: { matchLabels: { app: `app-${(policy * 7 + 1) % pods}` } } }],
            ports: [{ protocol: "TCP", port: 8080 }],
          },
        ],
      },
    })),
  ];
  const flows = Array.from({ length: size.flows }, (_, flow) => {
    const destination = Math.floor(random() * pods);
    const source =
      random() < 0.5 ? ((destination >> 1) * 7 + 1) % pods : Math.floor(random() * pods);
    return buildFrame({
      source: address(source),
      destination: address(source === destination ? (destination + 1) % pods : destination),
      protocol: 6,
      sourcePort: 10_000 + (flow % 50_000),
      destinationPort: random() < 0.7 ? 8080 : 9090,
    });
  });
  const frames = Array.from({ length: size.packets }, (_, index) => flows[index % flows.length]!);
  return {
    policies: size.policies,
    objects,
    capture: buildPcap(timed(frames)),
    packets: frames.length,
  };
}

function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000;
  };
}
