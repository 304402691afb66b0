/**
 * The traffic of examples/dns-forgotten, as frames: what the shop does before the policies are rolled
 * out, so every request has its answer. `npx node test/example-traffic.ts` writes the capture.
 */
import { writeFileSync } from "node:fs";
import { buildFrame, buildPcapng, ICMP, TCP, UDP, type TimedFrame } from "./frames.ts";

const FRONTEND = "10.1.1.10";
const CHECKOUT = "10.1.1.11";
const CART = "10.1.1.12";
const API = "10.1.2.21";
const KUBE_DNS = "10.96.0.10";
const NODE = "ee:ee:ee:ee:ee:ee";
const MAC = new Map([
  [FRONTEND, "02:00:0a:01:01:0a"],
  [CHECKOUT, "02:00:0a:01:01:0b"],
  [CART, "02:00:0a:01:01:0c"],
]);

/** 2026-11-23 20:41:07 UTC. */
const START_NS = 1_795_466_467_000_000_000n;

/** The capture's bytes. */
export function exampleCapture(): Uint8Array {
  return buildPcapng(exampleFrames());
}

/** The frames in the order of their time; all times are multiples of a microsecond. */
export function exampleFrames(): TimedFrame[] {
  const frames: TimedFrame[] = [];
  const ids = new Map<string, number>();
  let now = START_NS;
  const show = (bytes: Uint8Array, afterMicroseconds: number): void => {
    now += BigInt(afterMicroseconds) * 1000n;
    frames.push({ bytes, timestampNs: now });
  };
  const macs = (source: string, destination: string) => ({
    sourceMac: MAC.get(source) ?? NODE,
    destinationMac: MAC.get(destination) ?? NODE,
  });
  const nextId = (source: string): number => {
    const id = (ids.get(source) ?? 1000 + ids.size * 7000) + 1;
    ids.set(source, id);
    return id;
  };
  const lookUp = (client: string, port: number, name: string): void => {
    const ask = { source: client, sourcePort: port, destination: KUBE_DNS, destinationPort: 53 };
    const answer = { source: KUBE_DNS, sourcePort: 53, destination: client, destinationPort: port };
    for (const [spec, payload] of [
      [ask, dnsMessage(port & 0xff, name, false)],
      [answer, dnsMessage(port & 0xff, name, true)],
    ] as const) {
      const { source, destination } = spec;
      const frame = { ...spec, protocol: UDP, payload, id: nextId(source) };
      show(buildFrame({ ...frame, ...macs(source, destination) }), 412);
    }
  };
  const connect = (client: string, port: number, server: string, service: number): void => {
    const segment = (fromClient: boolean, flags: string, text = ""): void => {
      const source = fromClient ? client : server;
      const destination = fromClient ? server : client;
      show(
        buildFrame({
          source,
          destination,
          sourcePort: fromClient ? port : service,
          destinationPort: fromClient ? service : port,
          protocol: TCP,
          flags,
          seq: (fromClient ? 7000 : 9000) + sent[fromClient ? 0 : 1],
          ack: flags === "S" ? 0 : (fromClient ? 9000 : 7000) + sent[fromClient ? 1 : 0],
          window: 64240,
          payload: new TextEncoder().encode(text),
          id: nextId(source),
          ...macs(source, destination),
        }),
        230,
      );
      sent[fromClient ? 0 : 1] += text.length + (/[SF]/.test(flags) ? 1 : 0);
    };
    const sent: [number, number] = [0, 0];
    segment(true, "S");
    segment(false, "S.");
    segment(true, ".");
    segment(true, "P.", "GET /orders HTTP/1.1\r\n\r\n");
    segment(false, "P.", "HTTP/1.1 200 OK\r\n\r\n");
    segment(true, "F.");
    segment(false, "F.");
    segment(true, ".");
  };

  show(arpRequest(FRONTEND, "169.254.1.1"), 0);
  lookUp(FRONTEND, 40_110, "cart.shop.svc.cluster.local");
  connect(FRONTEND, 51_200, CART, 8080);
  lookUp(CART, 40_231, "api.payments.svc.cluster.local");
  connect(CART, 51_310, API, 8443);
  lookUp(CHECKOUT, 40_352, "api.payments.svc.cluster.local");
  connect(CHECKOUT, 51_420, API, 8443);
  for (const [source, destination, type] of [
    [CART, API, 8],
    [API, CART, 0],
  ] as const) {
    const icmp = { type, id: 77, seq: 1 };
    const frame = { source, destination, protocol: ICMP, icmp, id: nextId(source) };
    show(buildFrame({ ...frame, ...macs(source, destination) }), 900);
  }
  return frames;
}

/** A query for an A record, or its answer. Source: RFC 1035, section 4. */
function dnsMessage(id: number, name: string, answer: boolean): Uint8Array {
  const labels = name.split(".").flatMap((label) => [label.length, ...Buffer.from(label)]);
  const question = [...labels, 0, 0, 1, 0, 1];
  const address = (name.startsWith("cart.") ? CART : API).split(".").map(Number);
  const record = [0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, ...address];
  const header = [
    0,
    id,
    answer ? 0x85 : 0x01,
    answer ? 0x80 : 0,
    0,
    1,
    0,
    answer ? 1 : 0,
    0,
    0,
    0,
    0,
  ];
  return Uint8Array.from([...header, ...question, ...(answer ? record : [])]);
}

/** Who has `target`? Source: RFC 826. */
function arpRequest(source: string, target: string): Uint8Array {
  const mac = (MAC.get(source) ?? NODE).split(":").map((byte) => Number.parseInt(byte, 16));
  const address = (text: string): number[] => text.split(".").map(Number);
  const head = [...Array<number>(6).fill(0xff), ...mac, 0x08, 0x06];
  const request = [0, 1, 8, 0, 6, 4, 0, 1, ...mac, ...address(source), 0, 0, 0, 0, 0, 0];
  return Uint8Array.from([...head, ...request, ...address(target)]);
}

if (process.argv[1]?.endsWith("example-traffic.ts") === true) {
  writeFileSync(
    new URL("../examples/dns-forgotten/traffic.pcapng", import.meta.url),
    exampleCapture(),
  );
}
