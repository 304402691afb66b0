/**
 * Seeded sequences of packets as one node sees them: whole connections and pieces of them, replies that
 * nobody asked for, wrong sequence numbers, ICMP errors about any of it, all interleaved.
 */
import { ICMP, ICMPV6, SCTP, TCP, UDP, buildPacket, type PacketSpec } from "../frames.ts";
import { podAt } from "../oracle.ts";
import type { Random } from "../random.ts";
import type { RandomAttempt, RandomWorld } from "../random-cluster.ts";
import { randomAttempt } from "../random-cluster.ts";

/** A packet before it has a number. */
export type Draft = PacketSpec & {
  /** Opens its flow as a client would: what the evaluator can be asked about. */
  readonly opens?: boolean;
  /** Number of its flow; set when the flows are interleaved. */
  readonly flow?: number;
  /** The client's own port: kept, unless the kernel had to choose another. */
  readonly clientPort?: number | undefined;
};

/** One direction of a flow's packets, as they look where they are sent. */
interface End {
  readonly send: (more: Partial<PacketSpec>) => Draft;
}

interface Flow {
  readonly client: End;
  /** Undefined: its answers cannot be known beforehand. */
  readonly server: End | undefined;
}

/** What traffic is drawn. */
export interface TrafficOptions {
  readonly flows: number;
  readonly passes: (source: string, target: string) => boolean;
}

/** Draws packets of `flows` flows; attempts that `passes` refuses are drawn anew. */
export function randomTraffic(
  random: Random,
  world: RandomWorld,
  options: TrafficOptions,
): Draft[] {
  const queues: Draft[][] = [];
  const used = new Set<string>();
  while (queues.length < options.flows) {
    const attempt = randomAttempt(random, world);
    const target = backendOf(world, attempt);
    if (target === undefined || !options.passes(attempt.source, target.destination)) continue;
    const { protocol } = attempt;
    // One flow for a tuple in either direction: the script knows what came before.
    const port = attempt.port === undefined ? "" : `${attempt.sourcePort}`;
    const ends = [attempt.source, target.destination].toSorted();
    const key = [...ends, protocol, port].join();
    if (used.has(key)) continue;
    used.add(key);
    const flow = makeFlow(attempt, target);
    const packets = script(random, flow, protocol);
    const number = queues.length;
    queues.push(
      packets.map((packet): Draft => ({
        ...packet,
        flow: number,
        clientPort:
          packet.source === attempt.source && packet.destination === attempt.destination
            ? packet.sourcePort
            : undefined,
      })),
    );
  }
  const order: Draft[] = [];
  let open = queues.filter((queue) => queue.length > 0);
  while (open.length > 0) {
    // A window of some flows at a time, so that they overlap but do not all start first.
    const queue = open[random.below(Math.min(8, open.length))]!;
    order.push(queue.shift()!);
    if (queue.length === 0) open = open.filter((one) => one !== queue);
  }
  return order;
}

interface Target {
  readonly destination: string;
  readonly port: number | undefined;
}

/** Where a Service sends it. Undefined when there are several backends: which is the kernel's choice. */
function backendOf(world: RandomWorld, attempt: RandomAttempt): Target | undefined {
  const service = world.services.find(({ spec }) => spec.clusterIPs.includes(attempt.destination));
  if (service === undefined) return { destination: attempt.destination, port: attempt.port };
  const numbers: Readonly<Record<string, number>> = { TCP, UDP, SCTP };
  const port = service.spec.ports.find(
    (one) => one.port === attempt.port && numbers[one.protocol ?? "TCP"] === attempt.protocol,
  );
  const family = attempt.destination.includes(":") ? "IPv6" : "IPv4";
  const slice = world.endpointSlices.find(
    (one) =>
      one.addressType === family &&
      one.metadata.namespace === service.metadata.namespace &&
      one.metadata.labels?.["kubernetes.io/service-name"] === service.metadata.name,
  );
  const addresses = slice?.endpoints.flatMap((one) => [...one.addresses]) ?? [];
  if (addresses.length === 0) return { destination: attempt.destination, port: attempt.port };
  if (addresses.length > 1) return undefined;
  const target = slice!.ports.find((one) => one.name === port?.name);
  return { destination: addresses[0]!, port: target?.port };
}

function makeFlow(attempt: RandomAttempt, target: Target): Flow {
  const { source, destination, protocol, sourcePort, port } = attempt;
  const hairpin = source === target.destination && source !== destination;
  return {
    client: {
      send: (more) => ({
        source,
        destination,
        protocol,
        sourcePort,
        destinationPort: port,
        ...more,
      }),
    },
    // A pod that reaches itself is masqueraded to a port of the kernel's choice.
    server: hairpin
      ? undefined
      : {
          send: (more) => ({
            source: target.destination,
            destination: source,
            protocol,
            sourcePort: target.port,
            destinationPort: sourcePort,
            ...more,
          }),
        },
  };
}

function script(random: Random, flow: Flow, protocol: number): Draft[] {
  const packets = ((): Draft[] => {
    if (protocol === TCP) return tcpScript(random, flow);
    if (protocol === SCTP) return sctpScript(random, flow);
    if (protocol === ICMP || protocol === ICMPV6) return echoScript(random, flow);
    return plainScript(random, flow);
  })();
  return random.chance(0.3) ? withError(random, flow, packets) : packets;
}

// ── TCP ───────────────────────────────────────────────────────────────────────────────────────────────

function tcpScript(random: Random, flow: Flow): Draft[] {
  const next = { client: 1000 + random.below(1 << 20), server: 5000 + random.below(1 << 20) };
  const seen = { client: 0, server: 0 };
  const packets: Draft[] = [];
  const say = (
    side: "client" | "server",
    flags: string,
    more: { readonly data?: number; readonly off?: number; readonly opens?: boolean } = {},
  ): void => {
    const end = side === "client" ? flow.client : flow.server;
    const other = side === "client" ? "server" : "client";
    const length = more.data ?? 0;
    const packet = end?.send({
      flags,
      seq: (next[side] + (more.off ?? 0)) >>> 0,
      ack: flags.includes(".") ? seen[side] : 0,
      window: 65535,
      payload: new Uint8Array(length),
    });
    const counts = length + (flags.includes("S") ? 1 : 0) + (flags.includes("F") ? 1 : 0);
    // Off the track: the flow's own numbers stay as they were.
    if (more.off === undefined) {
      next[side] = (next[side] + counts) >>> 0;
      if (packet !== undefined) seen[other] = next[side];
    }
    if (packet !== undefined) packets.push({ ...packet, opens: more.opens ?? false });
  };
  const noise = (): void => {
    if (!random.chance(0.15)) return;
    const side = random.pick(["client", "server"] as const);
    const off = random.pick([0, 1_000_000, -1_000_000, 70_000, -100]);
    const flags = [".", "R", "R.", "F", "F.", "P.", "", "SF", "FPU", "U", "S", "S."];
    say(side, random.pick(flags), { off });
  };
  const handshake = (opens: boolean): void => {
    say("client", "S", { opens });
    if (random.chance(0.2)) packets.push({ ...packets.at(-1), opens: false });
    noise();
    if (random.chance(0.85)) say("server", "S.");
    noise();
    if (random.chance(0.9)) say("client", ".");
  };
  const data = (): void => {
    for (let count = random.below(5); count > 0; count--) {
      const side = random.pick(["client", "server"] as const);
      say(side, random.pick(["P.", "."]), { data: random.pick([0, 1, 100]) });
      noise();
    }
  };
  const close = (): void => {
    switch (random.below(4)) {
      case 0:
        say("client", "F.");
        say("server", "F.");
        say("client", ".");
        return;
      case 1:
        say("server", "F.");
        noise();
        say("client", ".");
        say("client", "F.");
        say("server", ".");
        return;
      case 2:
        say(random.pick(["client", "server"] as const), random.pick(["R", "R."]));
    }
  };
  switch (random.below(8)) {
    case 0:
      // In mid-stream.
      say(random.pick(["client", "server"] as const), random.pick([".", "P."]), { data: 10 });
      data();
      close();
      break;
    case 1:
      // Something that cannot begin a connection.
      say("client", random.pick(["S.", "F.", "R", "R.", "", "SF", "FPU", "F", "P", "U"]));
      handshake(false);
      break;
    case 2:
      say("server", random.pick(["S.", "S", "R."]));
      handshake(false);
      break;
    default:
      handshake(true);
      data();
      close();
      data();
  }
  if (random.chance(0.3)) {
    // The same ports again.
    handshake(false);
    data();
  }
  return packets;
}

// ── Others ────────────────────────────────────────────────────────────────────────────────────────────

function plainScript(random: Random, flow: Flow): Draft[] {
  const packets: Draft[] = [];
  const count = 1 + random.below(6);
  for (let index = 0; index < count; index++) {
    const end = random.chance(0.6) ? flow.client : (flow.server ?? flow.client);
    const payload = new Uint8Array(8);
    packets.push({
      ...end.send({ payload, badChecksum: random.chance(0.03) }),
      opens: index === 0 && end === flow.client,
    });
  }
  return packets.map((packet) => (packet.badChecksum ? { ...packet, opens: false } : packet));
}

function sctpScript(random: Random, flow: Flow): Draft[] {
  const INIT = 1;
  const INIT_ACK = 2;
  const COOKIE_ECHO = 10;
  const COOKIE_ACK = 11;
  const DATA = 0;
  const SACK = 3;
  const body = new Uint8Array(12);
  const { client, server } = flow;
  const packets: Draft[] = [];
  if (random.chance(0.15)) {
    packets.push(client.send({ chunk: random.pick([DATA, SACK, INIT_ACK]), payload: body }));
  }
  packets.push({ ...client.send({ chunk: INIT }), opens: packets.length === 0 });
  if (server === undefined) return packets;
  const there = (): boolean => random.chance(0.85);
  if (there()) packets.push(server.send({ chunk: INIT_ACK }));
  if (there()) packets.push(client.send({ chunk: COOKIE_ECHO, payload: body }));
  if (there()) packets.push(server.send({ chunk: COOKIE_ACK }));
  for (let count = random.below(4); count > 0; count--) {
    const end = random.pick([client, server]);
    const tag = there() ? 1 : 7;
    packets.push(end.send({ chunk: random.pick([DATA, SACK]), payload: body, tag }));
  }
  return packets;
}

function echoScript(random: Random, flow: Flow): Draft[] {
  const six = flow.client.send({}).protocol === ICMPV6;
  const id = random.below(60_000);
  const packets: Draft[] = [];
  const count = 1 + random.below(4);
  for (let seq = 0; seq < count; seq++) {
    if (random.chance(0.75)) {
      packets.push({
        ...flow.client.send({ icmp: { type: six ? 128 : 8, id, seq } }),
        opens: packets.length === 0,
      });
    }
    if (flow.server !== undefined && random.chance(0.7)) {
      packets.push(flow.server.send({ icmp: { type: six ? 129 : 0, id, seq } }));
    }
  }
  return packets;
}

/** Puts an ICMP error about one of the packets behind it, from whom it was sent to. */
function withError(random: Random, flow: Flow, packets: readonly Draft[]): Draft[] {
  if (packets.length === 0 || flow.server === undefined) return [...packets];
  const at = random.below(packets.length);
  const about = packets[at]!;
  const six = about.source.includes(":");
  const fromClient = about.source === flow.client.send({}).source;
  const translated = flow.client.send({}).destination !== flow.server.send({}).source;
  // To the client a server's answer comes from the Service: that is another packet than it sent.
  if (!fromClient && translated) return [...packets];
  const received = fromClient ? flow.server.send({}) : flow.client.send({});
  const quoted = buildPacket({
    ...about,
    destination: received.source,
    destinationPort: about.destinationPort === undefined ? undefined : received.sourcePort,
  });
  const error: Draft = {
    source: received.source,
    destination: random.chance(0.9) ? about.source : received.source,
    protocol: six ? ICMPV6 : ICMP,
    icmp: {
      type: six ? 1 : 3,
      code: six ? 4 : 3,
      quote: quoted.subarray(0, random.chance(0.8) ? quoted.length : six ? 48 : 28),
    },
  };
  if (error.source === error.destination) return [...packets];
  return [...packets.slice(0, at + 1), error, ...packets.slice(at + 1)];
}

/** By which interface a node gets a packet from this source. */
export function arrivalOf(
  world: RandomWorld,
  source: string,
  view: {
    readonly node: string;
    readonly interfaceOf: (namespace: string, name: string) => string;
  },
): string {
  const pod = podAt(world, source);
  if (pod?.spec?.nodeName === view.node) {
    return view.interfaceOf(pod.metadata.namespace ?? "default", pod.metadata.name);
  }
  const node = world.nodes.find(({ metadata }) => metadata.name === view.node);
  const own = node?.status?.addresses?.some(({ address }) => address === source) === true;
  return own ? "local" : "eth0";
}
