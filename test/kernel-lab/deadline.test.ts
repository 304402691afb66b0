/**
 * Answers around the end of their connection, in the kernel's own time: what it says of each, and where its ticks decide,
 * which is `unknown` here.
 */
import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";

import { numberedPacket, numberOf, frameOf } from "../../src/lab/frames.ts";
import { startLab } from "../../src/lab/lab.ts";
import { buildPacket, UDP } from "../frames.ts";
import { compareScene } from "./differential.ts";
import { haveLab } from "./have-lab.ts";
import type { Recorded } from "./recording.ts";

const MACS = { eth0: "02:00:00:00:01:00", cali1: "02:00:00:00:01:02" } as const;
const POD = "10.65.0.1";
const SERVER = "198.51.100.20";
const ROUTES = ["10.65.0.1 dev cali1", "default via 192.0.2.254 dev eth0"];
const RULES = [
  ...["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"],
  "-A FORWARD -i cali1 -j ACCEPT",
  "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
  ...["COMMIT", ""],
].join("\n");
const TIMEOUT = 1;
const STREAM_TIMEOUT = 10;
const FLOWS = 60;

/** A packet of a flow, so many milliseconds after the lab has begun. */
interface Moment {
  readonly flow: number;
  readonly at: number;
  readonly by: keyof typeof MACS;
}

/** From 20 ms before to 16 ms behind a moment. */
const around = (flow: number): number => ((flow * 7) % 37) - 20;

// Flows with one answer, and flows of which the answer tells whether they had become streams.
function moments(): Moment[] {
  const flows = Array.from({ length: 2 * FLOWS }, (_, flow) => flow);
  return flows
    .flatMap((flow): Moment[] => {
      const asked = flow * 7;
      const pod = (after: number): Moment => ({ flow, at: asked + after, by: "cali1" });
      const server = (after: number): Moment => ({ flow, at: asked + after, by: "eth0" });
      if (flow < FLOWS) return [pod(0), server(TIMEOUT * 1000 + around(flow))];
      const touched = [pod(0), server(100), pod(900), pod(1500)];
      return [...touched, pod(2000 + around(flow)), server(2000 + 1500)];
    })
    .toSorted((one, other) => one.at - other.at);
}

function crossingOf({ flow, by }: Moment, number: number): Omit<Recorded, "sentNs"> {
  const ports = { sourcePort: 10_000 + flow, destinationPort: 53 };
  const answer = { sourcePort: 53, destinationPort: 10_000 + flow };
  const packet = buildPacket({
    ...(by === "cali1"
      ? { source: POD, destination: SERVER, ...ports }
      : { source: SERVER, destination: POD, ...answer }),
    ...{ protocol: UDP, id: number, payload: new Uint8Array(16) },
  });
  const macs = { source: undefined, destination: undefined, own: MACS[by] };
  const bytes = frameOf(numberedPacket(packet, packet.length, number), macs);
  return { arrival: by, bytes, number };
}

describe.runIf(haveLab())("the kernel's deadlines", () => {
  it("are where they are said to be, to its ticks", async () => {
    const lab = await startLab({
      interfaces: [
        { name: "eth0", mac: MACS.eth0, addresses: ["192.0.2.1/24"] },
        { name: "cali1", mac: MACS.cali1, addresses: [] },
      ],
      routes: { 4: ROUTES, 6: [] },
      tables: { legacy: { 4: RULES, 6: "" } },
      ipsets: "",
      sysctls: {
        "netfilter/nf_conntrack_udp_timeout": TIMEOUT,
        "netfilter/nf_conntrack_udp_timeout_stream": STREAM_TIMEOUT,
      },
    });
    const packets: Recorded[] = [];
    const places: (string | undefined)[] = [];
    try {
      const begun = performance.now();
      for (const [index, moment] of moments().entries()) {
        const wait = begun + moment.at - performance.now();
        if (wait > 0) await setTimeout(wait);
        const one = crossingOf(moment, index + 1);
        const { sentNs, sights } = await lab.cross([one]);
        packets.push({ ...one, sentNs: sentNs[0] ?? 0n });
        const sight = sights.find(({ packet }) => numberOf(packet) === one.number);
        places.push(sight && (sight.place ?? "local"));
      }
    } finally {
      await lab.close();
    }
    const rules = { sets: [], tables: [] };
    const switches = [
      `net.netfilter.nf_conntrack_udp_timeout=${TIMEOUT}`,
      `net.netfilter.nf_conntrack_udp_timeout_stream=${STREAM_TIMEOUT}`,
    ].join("\n");
    const scene = { rules, loaded: lab.loaded, packets, places, switches };
    const { differences, dropped, unknown } = await compareScene(scene);
    expect(differences.map(({ position, kernel, ours }) => [position, kernel, ours])).toEqual([]);
    expect(dropped).toBeGreaterThan(0);
    expect([...unknown.keys()]).toEqual(["deadline"]);
  }, 60_000);
});
