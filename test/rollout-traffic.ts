/**
 * The traffic of examples/rollouts, as frames: what a shop does while everything works, so every request has
 * its answer. `npx node test/rollout-traffic.ts` writes the capture.
 */
import { writeFileSync } from "node:fs";
import { buildFrame, buildPcapng, TCP, UDP, type PacketSpec, type TimedFrame } from "./frames.ts";

const [WEB, CART, API, LEDGER, DNS, PARTNER] = [
  "10.1.1.10",
  "10.1.1.11",
  "10.1.2.21",
  "10.1.2.22",
  "10.96.0.10",
  "203.0.113.9",
];

/** 2026-11-23 20:41:07 UTC. */
const START_NS = 1_795_466_467_000_000_000n;

/** The capture's bytes. */
export function rolloutCapture(): Uint8Array {
  const specs = [
    ...lookUp(WEB, 40_110),
    ...talk(WEB, 51_200, CART, 8080),
    ...talk(WEB, 51_201, API, 8443),
    ...talk(WEB, 51_202, PARTNER, 443),
    ...lookUp(CART, 40_231),
    ...talk(API, 51_420, LEDGER, 9000),
  ];
  const frames = specs.map((spec, index): TimedFrame => ({
    bytes: buildFrame({ ...spec, id: index + 1 }),
    timestampNs: START_NS + BigInt(index) * 230_000n,
  }));
  return buildPcapng(frames);
}

function lookUp(client: string, port: number): PacketSpec[] {
  const ask = { source: client, sourcePort: port, destination: DNS, destinationPort: 53 };
  const answer = { source: DNS, sourcePort: 53, destination: client, destinationPort: port };
  return [ask, answer].map((ends) => ({ ...ends, protocol: UDP }));
}

function talk(client: string, port: number, server: string, service: number): PacketSpec[] {
  const there = { source: client, sourcePort: port, destination: server, destinationPort: service };
  const back = { source: server, sourcePort: service, destination: client, destinationPort: port };
  return [
    { ...there, protocol: TCP, flags: "S", seq: 7000 },
    { ...back, protocol: TCP, flags: "S.", seq: 9000, ack: 7001 },
    { ...there, protocol: TCP, flags: ".", seq: 7001, ack: 9001 },
  ];
}

if (process.argv[1] === import.meta.filename) {
  writeFileSync(new URL("../examples/rollouts/traffic.pcapng", import.meta.url), rolloutCapture());
}
