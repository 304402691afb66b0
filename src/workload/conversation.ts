/**
 * The packets of many flows at once, each flow in order: a TCP connection opens with its handshake, then data
 * goes both ways; UDP and echoes are answered. What is refused is never answered, only tried again.
 */
import { PROTOCOL_TCP } from "../net/protocol.ts";
import type { FrameSpec } from "./frame.ts";
import type { FlowOpening } from "./opening.ts";
import type { Random } from "./random.ts";

/** A flow to be. */
export interface Flow extends FlowOpening {
  /** Somebody answers: its first packet gets through. */
  readonly answered: boolean;
}

/** What the packets of a replay are like. */
export interface TrafficShape {
  readonly packets: number;
  /** `minimum`: no packet is longer than Ethernet's shortest frame; `mixed`: those of the Internet mix. */
  readonly sizes: "minimum" | "mixed";
  /**
   * `even`: every flow has as many packets as another, in turn; `skewed`: a tenth of the flows has about a
   * third of the packets.
   */
  readonly share: "even" | "skewed";
}

const FLAGS = { syn: 0x02, synAck: 0x12, ack: 0x10, data: 0x18 } as const;
/** Payloads of a simple Internet mix, in TCP, 7 : 4 : 1 (frames of 64, 570 and 1518 bytes). */
const MIX = [6, 6, 6, 6, 6, 6, 6, 512, 512, 512, 512, 1460] as const;
const SHORTEST = 6;
/** How often somebody tries who gets no answer. */
const ATTEMPTS = 4;
/** Draws of a flow that still has something to say. */
const DRAWS_MAX = 16;

/** Makes the packets, one after another. */
export function* converse(
  flows: readonly Flow[],
  shape: TrafficShape,
  random: Random,
): Generator<FrameSpec, void, undefined> {
  const state: Progress = {
    steps: new Uint32Array(flows.length),
    sent: [new Uint32Array(flows.length), new Uint32Array(flows.length)],
  };
  const order = shuffled(flows.length, random);
  const isOver = (index: number): boolean =>
    flows[index]?.answered === false && (state.steps[index] ?? 0) >= ATTEMPTS;
  for (let packet = 0; packet < shape.packets; packet++) {
    // Every flow begins once before any is drawn.
    let index = order[packet % flows.length] ?? 0;
    if (shape.share === "skewed" && packet >= flows.length) {
      for (let draws = 0; draws < DRAWS_MAX; draws++) {
        index = order[skewed(flows.length, random)] ?? 0;
        if (!isOver(index)) break;
      }
    }
    const flow = flows[index];
    if (flow !== undefined) yield nextPacket(flow, index, state, shape, random);
  }
}

/** A flow's first packet. */
export function openingPacket(flow: FlowOpening): FrameSpec {
  return packetOf(flow, { flags: FLAGS.syn });
}

/** How far each flow is. */
interface Progress {
  readonly steps: Uint32Array;
  /** Sequence numbers that each side has used, the opening side's first. */
  readonly sent: readonly [Uint32Array, Uint32Array];
}

function nextPacket(
  flow: Flow,
  index: number,
  { steps, sent }: Progress,
  { sizes }: TrafficShape,
  random: Random,
): FrameSpec {
  const step = steps[index] ?? 0;
  if (step < ATTEMPTS) steps[index] = step + 1;
  const payload = sizes === "minimum" ? SHORTEST : (random.pick(MIX) ?? SHORTEST);
  if (!flow.answered) {
    const tcp = flow.protocol === PROTOCOL_TCP;
    return packetOf(flow, { flags: FLAGS.syn, payload: tcp ? 0 : payload });
  }
  if (flow.protocol !== PROTOCOL_TCP) {
    return packetOf(flow, { payload, answers: step > 0 && random.percent(50) });
  }
  const [client, server] = sent;
  const numbers = { client: client[index] ?? 0, server: server[index] ?? 0 };
  switch (step) {
    case 0:
      client[index] = 1;
      return openingPacket(flow);
    case 1:
      server[index] = 1;
      return packetOf(flow, { flags: FLAGS.synAck, answers: true, acknowledged: 1 });
    case 2:
      return packetOf(flow, { flags: FLAGS.ack, sequence: 1, acknowledged: 1 });
    default: {
      const answers = random.percent(50);
      const mine = answers ? numbers.server : numbers.client;
      const theirs = answers ? numbers.client : numbers.server;
      (answers ? server : client)[index] = mine + payload;
      const { data: flags } = FLAGS;
      return packetOf(flow, { flags, answers, payload, sequence: mine, acknowledged: theirs });
    }
  }
}

function packetOf(flow: FlowOpening, about: Partial<FrameSpec>): FrameSpec {
  const { answers = false } = about;
  return {
    source: answers ? flow.destination : flow.source,
    destination: answers ? flow.source : flow.destination,
    protocol: flow.protocol,
    sourcePort: answers ? flow.destinationPort : flow.sourcePort,
    destinationPort: answers ? flow.sourcePort : flow.destinationPort,
    flags: about.flags ?? 0,
    sequence: about.sequence ?? 0,
    acknowledged: about.acknowledged ?? 0,
    payload: about.payload ?? 0,
    answers,
  };
}

/** Small numbers come more often. */
function skewed(count: number, random: Random): number {
  const fraction = random.below(0x10000) / 0x10000;
  return Math.floor(count * fraction * fraction);
}

function shuffled(count: number, random: Random): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let index = count - 1; index > 0; index--) {
    const other = random.below(index + 1);
    const moved = order[index] ?? 0;
    order[index] = order[other] ?? 0;
    order[other] = moved;
  }
  return order;
}
