/**
 * Seeded random conversations, one generator each: it gives packets to send and is told what the kernel
 * made of them, so that answers are what a server would say that saw the packet as it came out, whatever
 * NAT did to it. Whole connections and pieces of them, answers that nobody asked for, wrong numbers,
 * errors about any of it, fragments, odd headers.
 */
import { ICMP, ICMPV6, SCTP, TCP, UDP, buildPacket, type PacketSpec } from "../frames.ts";
import type { Random } from "../random.ts";
import type { Family } from "../../src/net/address.ts";
import {
  CLIENT_PORTS,
  HOSTS,
  OWN,
  PLAIN_PROTOCOLS,
  SERVER_PORTS,
  VIRTUAL,
  WORDS,
  type Host,
} from "./ground.ts";
import {
  cutBody,
  fragmentsOf,
  readView,
  withExtensions,
  withOptions,
  type Piece,
  type View,
} from "./packets.ts";

/** A packet that somebody sends. */
export interface Sent {
  readonly from: Host;
  /** An IP packet without a number. */
  readonly packet: Uint8Array;
  /** Fragments of one datagram have one number: that of their first. */
  readonly sameDatagram?: boolean;
}

/** What became of a packet that was sent. */
export interface Fate {
  /** The interface it left by, `local`, or undefined: it did not come out. */
  readonly place: string | undefined;
  /** As it came out; undefined where it did not. */
  readonly packet: Uint8Array | undefined;
}

export type Conversation = Generator<readonly Sent[], void, readonly Fate[]>;
type Talk<T> = Generator<readonly Sent[], T, readonly Fate[]>;

/** What kinds of conversation are drawn; each can be left out by name. "wild-tcp" has a lab of its own. */
export const TRAFFIC: readonly string[] = [
  "tcp-traffic",
  "udp-traffic",
  "sctp-traffic",
  "icmp-traffic",
  "plain-traffic",
  "stray-traffic",
  "group-traffic",
  "own-traffic",
  "errors",
  "fragments",
  "broken-fragments",
  "extension-headers",
  "short-headers",
  "ip-options",
  "tcp-options",
  "windows",
  "low-ttl",
];

type Side = "client" | "server";

/** Two ends of a conversation, and how each sees the other. */
class Ends {
  readonly random: Random;
  readonly family: Family;
  readonly client: Host;
  readonly protocol: number;
  readonly allowed: ReadonlySet<string>;
  private readonly asked: View;
  /** The client's packets as the server sees them: the last that came out. */
  private answered: View;
  private server: Host;
  /** The last packet of each side as the other one saw it; undefined: it did not come out. */
  readonly last: Record<Side, Uint8Array | undefined> = { client: undefined, server: undefined };

  constructor(random: Random, protocol: number, allowed: ReadonlySet<string>) {
    this.random = random;
    this.allowed = allowed;
    this.family = random.chance(0.6) ? 4 : 6;
    this.protocol = protocol === ICMP && this.family === 6 ? ICMPV6 : protocol;
    const own = allowed.has("own-traffic") && random.chance(0.15);
    this.client = random.pick(own ? OWN : HOSTS);
    const target = random.chance(0.25)
      ? random.pick(VIRTUAL)
      : random.pick(random.chance(0.8) ? HOSTS : OWN).address;
    this.asked = {
      source: this.client.address[this.family],
      destination: target[this.family],
      sourcePort: random.pick(CLIENT_PORTS),
      destinationPort: random.pick(SERVER_PORTS),
    };
    this.answered = this.asked;
    this.server = hostAt(this.asked.destination, undefined);
  }

  hostOf(side: Side): Host {
    return side === "client" ? this.client : this.server;
  }

  /** One packet from one side to the other. */
  build(side: Side, spec: Partial<PacketSpec>): Sent {
    const view = side === "client" ? this.asked : reversed(this.answered);
    const packet = buildPacket({
      ...view,
      protocol: this.protocol,
      ttl: this.ttl(),
      tos: this.random.pick([0, 0, 0, 0x10, 0xb8, 2]),
      ...spec,
    });
    return { from: this.hostOf(side), packet };
  }

  /** Says one thing, in one piece or several, and looks at what came of it. */
  *say(side: Side, spec: Partial<PacketSpec>): Talk<void> {
    yield* this.send(side, dress(this, this.build(side, spec)));
  }

  *send(side: Side, packets: readonly Sent[]): Talk<void> {
    const fates = yield packets;
    for (const fate of fates) this.learn(side, fate);
  }

  private learn(side: Side, { place, packet }: Fate): void {
    this.last[side] = packet;
    if (side !== "client" || packet === undefined) return;
    const seen = readView(packet);
    // Behind other headers there are other words than ports.
    const plain = (packet[0] === 0x45 || packet[6] === this.protocol) && packet.length > 24;
    this.answered = plain
      ? seen
      : { ...this.answered, source: seen.source, destination: seen.destination };
    this.server = hostAt(seen.destination, place === "local" ? undefined : place);
  }

  private ttl(): number {
    if (!this.allowed.has("low-ttl") || !this.random.chance(0.1)) return 64;
    return this.random.pick([1, 2, 3, 5, 63, 65, 128, 255]);
  }
}

function reversed(view: View): View {
  return {
    source: view.destination,
    destination: view.source,
    sourcePort: view.destinationPort,
    destinationPort: view.sourcePort,
  };
}

/** Who has an address; somebody unknown behind the interface by which packets to it leave. */
function hostAt(address: string, place: string | undefined): Host {
  const known = [...HOSTS, ...OWN].find((host) => Object.values(host.address).includes(address));
  if (known !== undefined && (place === undefined || known.place === place)) return known;
  return {
    place: place ?? "eth0",
    mac: "02:00:00:00:02:ee",
    address: { 4: address, 6: address },
  };
}

/** Now and then in fragments, with options or behind extension headers. */
function dress(ends: Ends, sent: Sent): Sent[] {
  const { random, family, allowed } = ends;
  const { packet } = sent;
  if (family === 4 && allowed.has("ip-options") && random.chance(0.01)) {
    return [
      { ...sent, packet: withOptions(packet, new Uint8Array(4 + 4 * random.below(2)).fill(1)) },
    ];
  }
  if (family === 6 && allowed.has("extension-headers") && random.chance(0.04)) {
    const kinds = random.pick([[60], [0], [0, 60], [60, 60], [43], [0, 43, 60], [51], [60, 51]]);
    return [{ ...sent, packet: withExtensions(packet, kinds) }];
  }
  if (allowed.has("fragments") && random.chance(0.06)) return inFragments(ends, sent);
  return [sent];
}

function inFragments(ends: Ends, sent: Sent): Sent[] {
  const { random, allowed } = ends;
  const bodyLength = sent.packet.length - (ends.family === 4 ? 20 : 40);
  const units = Math.ceil(bodyLength / 8);
  if (units < 2) return [sent];
  const cut = 1 + random.below(units - 1);
  const second = cut + 1 < units ? cut + 1 + random.below(units - cut - 1) : undefined;
  let pieces: Piece[] =
    second === undefined || random.chance(0.5)
      ? [
          { from: 0, to: cut },
          { from: cut, to: undefined },
        ]
      : [
          { from: 0, to: cut },
          { from: cut, to: second },
          { from: second, to: undefined },
        ];
  if (random.chance(0.3)) pieces = pieces.toReversed();
  if (allowed.has("broken-fragments") && random.chance(0.3)) pieces = broken(random, pieces, units);
  const identification = random.below(0xffffffff);
  return fragmentsOf(sent.packet, pieces, identification).map((packet, index) => ({
    ...sent,
    packet,
    sameDatagram: index > 0,
  }));
}

/** Without its first piece, with two that overlap, or with one twice before it is complete. */
function broken(random: Random, pieces: readonly Piece[], units: number): Piece[] {
  switch (random.below(3)) {
    case 0:
      return pieces.slice(1);
    case 1: {
      const second = pieces.toSorted((one, other) => one.from - other.from)[1];
      // None holds all of another: whether that one was discarded, nobody would see.
      if (second === undefined || (second.to ?? units) - second.from < 2) return [...pieces];
      return pieces.map((piece) => (piece.from === 0 ? { from: 0, to: second.from + 1 } : piece));
    }
    default:
      return pieces.flatMap((piece, index) => (index === 0 ? [piece, piece] : [piece]));
  }
}

function text(random: Random, least = 0): Uint8Array {
  const word = random.chance(0.5) ? random.pick(WORDS) : "";
  const length = Math.max(least, random.pick([0, 1, 8, 40, 100, 300]));
  const filler = "x".repeat(random.below(length + 1));
  return new TextEncoder().encode((filler + word).padEnd(length, "y"));
}

// ── TCP ───────────────────────────────────────────────────────────────────────────────────────────────

/** A TCP end's next sequence number and what it has of the other's. */
interface Numbers {
  next: number;
  heard: number;
}

class Tcp {
  readonly ends: Ends;
  private readonly numbers: Record<Side, Numbers>;
  private readonly window: number;
  private readonly options: Uint8Array | undefined;
  private readonly lastSaid: Record<Side, Partial<PacketSpec> | undefined> = {
    client: undefined,
    server: undefined,
  };

  constructor(ends: Ends) {
    const { random, allowed } = ends;
    this.ends = ends;
    // Near the end of the numbers now and then.
    const start = (): number =>
      random.chance(0.1) ? 0xffffffff - random.below(300) : random.below(0xffffffff);
    this.numbers = { client: { next: start(), heard: 0 }, server: { next: start(), heard: 0 } };
    this.window = random.pick([65535, 65535, 1000, 29200, 64]);
    this.options =
      allowed.has("tcp-options") && random.chance(0.5)
        ? Uint8Array.from(
            random.pick([
              [2, 4, 5, 0xb4],
              [2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 7, 1, 1],
              [2, 4, 3, 0xe8, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 2],
              [1, 3, 3, 14],
            ]),
          )
        : undefined;
  }

  *say(
    side: Side,
    flags: string,
    more: { readonly data?: Uint8Array; readonly off?: number; readonly ackOff?: number } = {},
  ): Talk<void> {
    const { random, allowed } = this.ends;
    const mine = this.numbers[side];
    const theirs = this.numbers[side === "client" ? "server" : "client"];
    const payload = more.data ?? new Uint8Array();
    const strange = allowed.has("windows");
    const off = strange ? (more.off ?? 0) : 0;
    const ackOff = strange ? (more.ackOff ?? 0) : 0;
    const window = strange && random.chance(0.03) ? random.pick([0, 1, 65535]) : this.window;
    const ecn = flags === "S" && random.chance(0.1) ? "EW" : "";
    const spec = {
      flags: flags + ecn,
      seq: (mine.next + off) >>> 0,
      ack: flags.includes(".") ? (mine.heard + ackOff) >>> 0 : 0,
      window,
      payload,
      tcpOptions: flags.includes("S") ? this.options : this.lateOptions(),
    };
    this.lastSaid[side] = spec;
    yield* this.ends.say(side, spec);
    if (off !== 0 || ackOff !== 0) return;
    const counts = payload.length + (flags.includes("S") ? 1 : 0) + (flags.includes("F") ? 1 : 0);
    mine.next = (mine.next + counts) >>> 0;
    if (this.ends.last[side] !== undefined) theirs.heard = mine.next;
  }

  /** Steps back, so that the next thing said is said again. */
  again(side: Side, count: number): void {
    this.numbers[side].next = (this.numbers[side].next - count) >>> 0;
  }

  /** Says what was said last once more, some times over. */
  *repeatLast(side: Side, count: number): Talk<void> {
    const { ends } = this;
    const spec = this.lastSaid[side];
    if (spec === undefined) return;
    for (let left = count; left > 0; left--) yield* ends.send(side, [ends.build(side, spec)]);
  }

  /** Any segment from either side, with numbers near those that would be right. */
  *sayWild(): Talk<void> {
    const { random } = this.ends;
    const side = random.pick(SIDES);
    const mine = this.numbers[side];
    const theirs = this.numbers[side === "client" ? "server" : "client"];
    const flags = random.pick(WILD_FLAG_POOL);
    const length = random.chance(0.6) ? 0 : random.pick([1, 10, 100, 999, 1000, 1001]);
    const bases = [mine.next, mine.next, mine.next, mine.next, theirs.heard, 0];
    const acks = [mine.heard, mine.heard, mine.heard, theirs.next, theirs.next, 0];
    const near = (base: number): number =>
      random.chance(0.65) ? base : (base + random.pick(EDGES)) >>> 0;
    const fresh = flags.startsWith("S") && random.chance(0.25);
    const seq = near(fresh ? random.below(0xffffffff) : random.pick(bases));
    const ack = flags.includes(".") || random.chance(0.1) ? near(random.pick(acks)) : 0;
    const spec = {
      flags,
      seq,
      ack,
      window: random.chance(0.7) ? this.window : random.pick([0, 1, 64, 1000, 29200, 65535]),
      payload: new Uint8Array(length),
      tcpOptions: flags.startsWith("S") ? this.openingOptions() : this.sackOptions(ack),
    };
    this.lastSaid[side] = spec;
    yield* this.ends.send(side, [this.ends.build(side, spec)]);
    const counts = length + (flags.includes("S") ? 1 : 0) + (flags.includes("F") ? 1 : 0);
    if (!fresh && random.chance(0.3)) return;
    if (!fresh && seq !== mine.next) return;
    mine.next = (seq + counts) >>> 0;
    if (this.ends.last[side] !== undefined) theirs.heard = mine.next;
  }

  private openingOptions(): Uint8Array | undefined {
    const { random } = this.ends;
    if (random.chance(0.4)) return this.options;
    const scale = random.pick([0, 1, 3, 7, 14, 15, 255]);
    return Uint8Array.from(
      random.pick([
        [],
        [2, 4, 5, 0xb4],
        [4, 2, 1, 1],
        [1, 3, 3, scale],
        [4, 2, 3, 3, scale, 1, 1, 1],
        [4, 2, 3, 3, scale, 0, 3, 3],
        [3, 4, scale, 0],
        [4, 3, 0, 3, 3, scale, 1, 1],
        [3, 3, scale, 9],
      ]),
    );
  }

  private sackOptions(ack: number): Uint8Array | undefined {
    const { random } = this.ends;
    if (!random.chance(0.25)) return this.lateOptions();
    const edge = (): number[] => {
      const value = (ack + random.pick([0, 1, 100, 1000, 1001, 66000, -100, 0x7fffffff])) >>> 0;
      return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
    };
    const block = (): number[] => [...edge(), ...edge()];
    return Uint8Array.from(
      random.pick([
        [1, 1, 5, 10, ...block()],
        [1, 1, 5, 18, ...block(), ...block()],
        [5, 10, ...block(), 5, 10, ...block()],
        [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8, 1, 1, 5, 10, ...block()],
        [5, 9, ...block(), 1, 1],
        [5, 12, ...block(), 0, 0],
        [5, 2, 5, 10, ...block()],
        [0, 1, 5, 10, ...block()],
      ]),
    );
  }

  private lateOptions(): Uint8Array | undefined {
    const { random, allowed } = this.ends;
    if (!allowed.has("tcp-options") || !random.chance(0.15)) return undefined;
    return Uint8Array.from(
      random.pick([
        [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8],
        [1, 1, 1, 0],
        [30, 4, 0, 0],
      ]),
    );
  }
}

const SIDES: readonly Side[] = ["client", "server"];
const OFF_TRACK = [1_000_000, -1_000_000, 70_000, -100, 1, -1, 100];

function* tcpTalk(ends: Ends): Conversation {
  const { random } = ends;
  const tcp = new Tcp(ends);
  switch (random.below(10)) {
    case 0:
      // In mid-stream.
      yield* tcp.say(random.pick(SIDES), random.pick([".", "P."]), { data: text(random) });
      yield* tcpData(tcp);
      yield* tcpEnd(tcp);
      break;
    case 1:
      // Something that cannot begin a connection.
      yield* tcp.say(
        random.pick(SIDES),
        random.pick(["S.", "F.", "R", "R.", "", "SF", "FPU", "F", "P", "U", "SFRPU."]),
      );
      yield* handshake(tcp);
      break;
    case 2:
      // Both at once.
      yield* tcp.say("client", "S");
      yield* tcp.say("server", "S");
      yield* tcp.say("client", "S.");
      yield* tcp.say("server", random.pick(["S.", "."]));
      yield* tcpData(tcp);
      break;
    case 3:
      // Refused.
      yield* tcp.say("client", "S");
      yield* tcp.say("server", "R.");
      yield* handshake(tcp);
      break;
    default:
      yield* handshake(tcp);
      yield* tcpData(tcp);
      yield* tcpEnd(tcp);
      yield* tcpData(tcp);
  }
  if (random.chance(0.35)) {
    // The same ports again.
    yield* handshake(random.chance(0.5) ? tcp : new Tcp(ends));
    yield* tcpData(tcp);
  }
}

function* tcpNoise(tcp: Tcp): Talk<void> {
  const { random } = tcp.ends;
  if (!random.chance(0.15)) return;
  const flags = [".", "R", "R.", "F", "F.", "P.", "", "SF", "FPU", "U", "S", "S.", "U."];
  yield* tcp.say(random.pick(SIDES), random.pick(flags), {
    off: random.chance(0.6) ? random.pick(OFF_TRACK) : 0,
    ackOff: random.chance(0.2) ? random.pick(OFF_TRACK) : 0,
    data: random.chance(0.2) ? text(random) : new Uint8Array(),
  });
}

function* handshake(tcp: Tcp): Talk<void> {
  const { random } = tcp.ends;
  yield* tcp.say("client", "S");
  if (random.chance(0.2)) {
    tcp.again("client", 1);
    yield* tcp.say("client", "S");
  }
  yield* tcpNoise(tcp);
  if (random.chance(0.9)) yield* tcp.say("server", "S.");
  if (random.chance(0.1)) {
    tcp.again("server", 1);
    yield* tcp.say("server", "S.");
  }
  yield* tcpNoise(tcp);
  if (random.chance(0.92)) yield* tcp.say("client", ".");
}

function* tcpData(tcp: Tcp): Talk<void> {
  const { random } = tcp.ends;
  for (let count = random.below(6); count > 0; count--) {
    const side = random.pick(SIDES);
    const data = text(random);
    yield* tcp.say(side, random.pick(["P.", "."]), { data });
    if (random.chance(0.1)) {
      tcp.again(side, data.length);
      yield* tcp.say(side, "P.", { data });
    }
    yield* tcpNoise(tcp);
    if (random.chance(0.05)) yield* errorAbout(tcp.ends, side);
  }
}

function* tcpEnd(tcp: Tcp): Talk<void> {
  const { random } = tcp.ends;
  const first = random.pick(SIDES);
  const second = first === "client" ? "server" : "client";
  switch (random.below(5)) {
    case 0:
      yield* tcp.say(first, "F.");
      yield* tcp.say(second, "F.");
      yield* tcp.say(first, ".");
      return;
    case 1:
      yield* tcp.say(first, "F.");
      yield* tcpNoise(tcp);
      yield* tcp.say(second, ".");
      yield* tcp.say(second, "F.");
      yield* tcp.say(first, ".");
      return;
    case 2:
      yield* tcp.say(first, random.pick(["R", "R."]));
      return;
    case 3:
      yield* tcp.say(first, "F.");
      yield* tcp.say(second, "R");
  }
}

/** Numbers that lie at the edges of windows, or on the other side of the circle. */
const EDGES = [
  ...[1, -1, 2, 64, 65, 999, 1000, 1001, -1000, -1001, -1002, 29200, 29201, -29201, 65535, 65536],
  ...[66000, 66001, -65999, -66000, -66001, -66002, 128_000, -128_000, 1_000_000, -1_000_000],
  ...[0x7fffffff, 0x80000000, 0x80000001],
];

const WILD_FLAGS: readonly (readonly [string, number])[] = [
  [".", 26],
  ["P.", 14],
  ["S", 14],
  ["S.", 14],
  ["F.", 9],
  ["R", 7],
  ["R.", 5],
  ["U.", 1],
  ["FU.", 1],
  ["SU", 1],
  ["S.EW", 1],
  ["", 1],
  ["F", 1],
  ["SF", 1],
  ["SR", 1],
];
const WILD_FLAG_POOL = WILD_FLAGS.flatMap(([flags, share]) =>
  Array.from({ length: share }, () => flags),
);

/** Whole connections, pieces of them, and segments that only just belong or do not, on the same ports. */
function* wildTcpTalk(ends: Ends): Conversation {
  const { random } = ends;
  let tcp = new Tcp(ends);
  for (let count = 1 + random.below(8); count > 0; count--) {
    switch (random.below(12)) {
      case 0:
      case 1:
        yield* handshake(tcp);
        break;
      case 2:
        yield* tcpData(tcp);
        break;
      case 3:
        yield* tcpEnd(tcp);
        break;
      case 4:
        yield* tcp.say("client", "S");
        yield* tcp.say("server", "S");
        yield* tcp.say(random.pick(SIDES), random.pick(["S.", "."]));
        yield* tcp.say(random.pick(SIDES), random.pick(["S.", "."]));
        break;
      case 5:
        // The ends begin anew, and the node is not asked.
        tcp = new Tcp(ends);
        yield* tcp.say("client", "S");
        if (random.chance(0.7)) yield* tcp.say("server", random.pick(["S.", "S.", ".", "R.", "R"]));
        if (random.chance(0.7)) yield* tcp.say("client", random.pick([".", ".", "R", "S"]));
        break;
      case 6:
        yield* tcp.repeatLast(random.pick(SIDES), 1 + random.below(5));
        break;
      default:
        for (let steps = random.below(8); steps > 0; steps--) yield* tcp.sayWild();
    }
  }
}

// ── Others ────────────────────────────────────────────────────────────────────────────────────────────

/** UDP, and protocols that conntrack knows by their addresses only. */
function* plainTalk(ends: Ends): Conversation {
  const { random } = ends;
  for (let count = 1 + random.below(6); count > 0; count--) {
    const side = random.chance(0.6) ? "client" : "server";
    yield* ends.say(side, { payload: text(random, 8) });
    if (random.chance(0.12)) yield* errorAbout(ends, side);
  }
}

function* echoTalk(ends: Ends): Conversation {
  const { random, family } = ends;
  const id = random.below(200);
  const [request, reply] =
    family === 4
      ? random.pick([
          [8, 0],
          [8, 0],
          [13, 14],
        ])
      : [128, 129];
  for (let seq = 0; seq < 1 + random.below(4); seq++) {
    const payload = text(random, 12);
    const icmp = { id, seq };
    if (random.chance(0.8)) {
      yield* ends.say("client", { icmp: { type: request ?? 8, ...icmp }, payload });
    }
    if (random.chance(0.1)) yield* errorAbout(ends, "client");
    if (random.chance(0.75)) {
      yield* ends.say("server", { icmp: { type: reply ?? 0, ...icmp }, payload });
    }
  }
}

function* sctpTalk(ends: Ends): Conversation {
  const { random } = ends;
  const tags: Record<Side, number> = {
    client: 1 + random.below(99),
    server: 101 + random.below(99),
  };
  const body = new Uint8Array(12);
  const wrong = (): boolean => random.chance(0.07);
  const say = function* (side: Side, chunk: number, more: Partial<PacketSpec> = {}): Talk<void> {
    // Each side puts the other's tag into what it sends.
    const right = tags[side === "client" ? "server" : "client"];
    const tag = wrong() ? 7777 : right;
    yield* ends.say(side, { chunk, tag, ...more });
  };
  if (random.chance(0.15))
    yield* say(random.pick(SIDES), random.pick([0, 3, 2, 4, 6]), { payload: body });
  const rounds = random.chance(0.2) ? 2 : 1;
  for (let round = 0; round < rounds; round++) {
    yield* say("client", 1, { tag: wrong() ? 5 : 0, initTag: tags.client });
    if (random.chance(0.9)) yield* say("server", 2, { initTag: tags.server });
    if (random.chance(0.9)) yield* say("client", 10, { payload: body });
    if (random.chance(0.9)) yield* say("server", 11);
    for (let count = random.below(5); count > 0; count--) {
      const side = random.pick(SIDES);
      yield* say(side, random.pick([0, 0, 3, 4, 5, 9]), { payload: body });
      if (random.chance(0.08)) yield* errorAbout(ends, side);
    }
    switch (random.below(4)) {
      case 0:
        yield* say("client", 7, { payload: new Uint8Array(4) });
        yield* say("server", 8);
        yield* say("client", 14);
        break;
      case 1:
        yield* say(random.pick(SIDES), 6);
        break;
    }
    if (random.chance(0.2)) yield* say(random.pick(SIDES), 0, { payload: body });
  }
}

/** A router far away. */
const between: Readonly<Record<Family, string>> = { 4: "203.0.113.254", 6: "2001:db8:ffff::254" };

/** An ICMP error about the last packet of one side, sent by the other one or by somebody in between. */
function* errorAbout(ends: Ends, side: Side): Talk<void> {
  const { random, family, allowed } = ends;
  if (!allowed.has("errors")) return;
  const other = side === "client" ? "server" : "client";
  const about = ends.last[side] ?? ends.build(side, { payload: new Uint8Array(8) }).packet;
  const seen = readView(about);
  const length = random.pick([about.length, family === 4 ? 28 : 48, family === 4 ? 24 : 44]);
  const quote = about.subarray(0, length);
  const kinds: readonly (readonly [number, number])[] =
    family === 4
      ? [
          [3, 3],
          [3, 1],
          [3, 4],
          [11, 0],
          [12, 0],
          [5, 1],
        ]
      : [
          [1, 4],
          [1, 1],
          [2, 0],
          [3, 0],
          [4, 1],
        ];
  const [type, code] = random.pick(kinds);
  const sent = ends.build(other, {
    protocol: family === 4 ? ICMP : ICMPV6,
    icmp: { type, code, quote },
    // The node says nothing in another's name.
    ...(ends.hostOf(other).place === undefined
      ? {}
      : { source: random.chance(0.7) ? seen.destination : between[family] }),
    destination: random.chance(0.93) ? seen.source : random.pick(HOSTS).address[family],
  });
  yield [sent];
}

/** Single packets that belong to nothing. */
function* strayTalk(ends: Ends): Conversation {
  const { random, family, allowed } = ends;
  const protocol = random.pick([TCP, UDP, SCTP, family === 4 ? ICMP : ICMPV6, ...PLAIN_PROTOCOLS]);
  const types =
    family === 4 ? [0, 3, 4, 5, 8, 9, 10, 11, 12, 15, 17, 42] : [1, 2, 3, 4, 128, 129, 139];
  const sent = ends.build("client", {
    protocol,
    flags: random.pick(["S", ".", "R", "S."]),
    icmp: { type: random.pick(types), code: random.below(3), id: random.below(200) },
    payload: text(random, 8),
  });
  // Shorter than any checksum that would have to be right.
  const length = random.pick(protocol === TCP || protocol === SCTP ? [1, 4, 8, 10] : [1, 4, 6, 7]);
  const short = allowed.has("short-headers") && random.chance(0.4);
  yield* ends.send("client", [short ? { ...sent, packet: cutBody(sent.packet, length) } : sent]);
}

/** To everybody on a link, or to a group. */
function* groupTalk(ends: Ends): Conversation {
  const { random, family } = ends;
  if (ends.client.place === undefined) return;
  const groups =
    family === 4
      ? ["255.255.255.255", "192.0.2.255", "198.51.100.255", "224.0.0.1"]
      : ["ff02::1", "ff02::2"];
  const sent = ends.build("client", {
    protocol: UDP,
    destination: random.pick(groups),
    payload: text(random, 8),
  });
  yield* ends.send("client", [sent]);
}

type Kind = (ends: Ends) => Conversation;

/** Draws one conversation of the kinds allowed. */
export function randomConversation(random: Random, allowed: ReadonlySet<string>): Conversation {
  const kinds: readonly (readonly [string, number, number, Kind])[] = [
    ["tcp-traffic", 8, TCP, tcpTalk],
    ["wild-tcp", 8, TCP, wildTcpTalk],
    ["udp-traffic", 4, UDP, plainTalk],
    ["sctp-traffic", 2, SCTP, sctpTalk],
    ["icmp-traffic", 2, ICMP, echoTalk],
    ["plain-traffic", 1, random.pick(PLAIN_PROTOCOLS), plainTalk],
    ["stray-traffic", 2, UDP, strayTalk],
    ["group-traffic", 1, UDP, groupTalk],
  ];
  const pool = kinds
    .filter(([feature]) => allowed.has(feature))
    .flatMap((kind) => Array.from({ length: kind[1] }, () => kind));
  const [, , protocol, talk] = random.pick(pool);
  const ends = new Ends(random, protocol, allowed);
  return talk(ends);
}
