/**
 * Seeded conversations across a cluster, packet by packet: what one end sends next hangs on what came to it
 * from the other, as only the kernel knows which backend it drew and by whose address a client is seen.
 */
import { buildPacket, ICMP, ICMPV6, SCTP, TCP, type PacketSpec } from "../frames.ts";
import { sameAddress } from "../oracle-objects.ts";
import type { Random } from "../random.ts";
import type { Journey, Place, Sight } from "./cluster-lab.ts";
import { readView } from "./packets.ts";

/** Who talks to whom. */
export interface Opening {
  readonly source: string;
  /** Where the client's packets come from. */
  readonly at: Place;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort: number;
  /** Undefined for protocols without ports. */
  readonly destinationPort: number | undefined;
}

type Side = "client" | "server";

/** What an end says, besides who it is. */
type Words = Omit<PacketSpec, "source" | "destination" | "protocol">;

/** One packet that is sent. */
export interface Said {
  readonly side: Side;
  /** An ICMP error about what came. */
  readonly error: boolean;
  readonly sight: Sight;
  /** For people. */
  readonly words: string;
}

/** A conversation under way. */
export class Conversation {
  private readonly opening: Opening;
  private readonly steps: readonly Step[];
  private at = 0;
  /** As each end sends; nobody knows the server before something came to it. */
  private readonly ends: Record<Side, End | undefined>;
  /** The last packet that came to each end. */
  private readonly heard: Record<Side, Uint8Array | undefined> = {
    client: undefined,
    server: undefined,
  };
  /** TCP's numbers: what each end sends next, and what came to it. */
  private readonly next: Record<Side, number>;
  private readonly acknowledged: Record<Side, number> = { client: 0, server: 0 };
  /** SCTP's: what each end wants to read. */
  private readonly tags: Record<Side, number>;

  constructor(random: Random, opening: Opening) {
    const { at, source, destination, sourcePort, destinationPort } = opening;
    this.opening = opening;
    this.steps = drawSteps(random, opening.protocol);
    this.next = { client: 1000 + random.below(1 << 20), server: 5000 + random.below(1 << 20) };
    this.tags = { client: 1 + random.below(1 << 30), server: 1 + random.below(1 << 30) };
    const tuple = { source, destination, sourcePort, destinationPort };
    this.ends = { client: { at, tuple }, server: undefined };
  }

  /** The next packet; undefined: there is none. */
  say(number: number): Said | undefined {
    while (this.at < this.steps.length) {
      const step = this.steps[this.at]!;
      this.at++;
      const { side } = step;
      const end = this.ends[side];
      if (end === undefined || !this.follows(step)) continue;
      const spec = step.kind === "error" ? this.errorOf(step) : this.specOf(step, end.tuple);
      if (spec === undefined) continue;
      return {
        side,
        error: step.kind === "error",
        sight: { at: end.at, packet: buildPacket({ ...spec, id: number }) },
        words: inWords(spec),
      };
    }
    return undefined;
  }

  /** Takes note of what became of what was said. */
  hear({ side, error }: Said, { between, end }: Journey): void {
    if (end === undefined || error) return;
    const other = side === "client" ? "server" : "client";
    const view = readView(end.packet);
    // Translated elsewhere, with the client's own address: the answer would go past the node that translated.
    const isPassedBy = between.length > 1 && sameAddress(view.source, this.opening.source);
    const { at } = this.opening;
    const isElsewhere =
      side === "server" && (end.at.node !== at.node || end.at.interface !== at.interface);
    if (isPassedBy || isElsewhere) return;
    this.heard[other] = end.packet;
    if (this.opening.protocol === TCP) this.acknowledged[other] = this.next[side];
    if (side === "server") return;
    const withPorts = this.opening.destinationPort !== undefined;
    this.ends.server = {
      at: end.at,
      tuple: {
        source: view.destination,
        destination: view.source,
        sourcePort: withPorts ? view.destinationPort : undefined,
        destinationPort: withPorts ? view.sourcePort : undefined,
      },
    };
  }

  /** Nobody answers what never came, or goes on with a handshake that nobody answered. */
  private follows({ side, opens }: Step): boolean {
    return opens === true || this.heard[side] !== undefined;
  }

  private specOf({ side, words, data = 0, again }: Packet, tuple: Tuple): PacketSpec {
    const { protocol } = this.opening;
    const spec: PacketSpec = { ...tuple, protocol, ...words(protocol) };
    if (protocol === SCTP) {
      const tag = this.tags[side === "client" ? "server" : "client"];
      return { ...spec, initTag: this.tags[side], ...(spec.chunk === 1 ? {} : { tag }) };
    }
    if (protocol !== TCP) return spec;
    const flags = spec.flags ?? "S";
    // A SYN that is sent again has the number that it had.
    const seq = this.next[side] - (again === true ? 1 : 0);
    const counts = data + (flags.includes("S") ? 1 : 0) + (flags.includes("F") ? 1 : 0);
    this.next[side] = (seq + counts) >>> 0;
    const ack = flags.includes(".") ? this.acknowledged[side] : 0;
    return { ...spec, seq, ack, window: 65535, payload: new Uint8Array(data) };
  }

  /** An ICMP error from an end about the last packet that came to it. */
  private errorOf({ side, short }: ErrorStep): PacketSpec | undefined {
    const about = this.heard[side];
    if (about === undefined) return undefined;
    const { source, destination } = readView(about);
    const six = source.includes(":");
    const quote = short ? about.subarray(0, six ? 48 : 28) : about;
    const icmp = six ? { type: 1, code: 4, quote } : { type: 3, code: 3, quote };
    return { source: destination, destination: source, protocol: six ? ICMPV6 : ICMP, icmp };
  }
}

interface End {
  readonly at: Place;
  readonly tuple: Tuple;
}

interface Tuple {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
}

interface Packet {
  readonly kind: "packet";
  readonly side: Side;
  /** It needs nobody's answer. */
  readonly opens?: boolean;
  readonly words: (protocol: number) => Words;
  /** Bytes of TCP's payload. */
  readonly data?: number;
  readonly again?: boolean;
}

interface ErrorStep {
  readonly kind: "error";
  readonly side: Side;
  readonly opens?: undefined;
  /** It quotes eight bytes behind the IP header. */
  readonly short: boolean;
}

type Step = Packet | ErrorStep;

function drawSteps(random: Random, protocol: number): Step[] {
  const steps = ((): Step[] => {
    if (protocol === TCP) return tcpSteps(random);
    if (protocol === SCTP) return sctpSteps(random);
    if (protocol === ICMP || protocol === ICMPV6) return echoSteps(random);
    return plainSteps(random);
  })();
  if (!random.chance(0.3)) return steps;
  const error: Step = { kind: "error", side: anySide(random), short: random.chance(0.3) };
  return steps.toSpliced(1 + random.below(steps.length), 0, error);
}

function anySide(random: Random): Side {
  return random.pick(["client", "server"]);
}

function tcpSteps(random: Random): Step[] {
  const segment = (side: Side, flags: string, data = 0): Packet => ({
    kind: "packet",
    side,
    words: () => ({ flags }),
    data,
  });
  const syn: Packet = { ...segment("client", "S"), opens: true };
  const steps: Step[] = random.chance(0.2) ? [syn, { ...syn, again: true }] : [syn];
  if (random.chance(0.15))
    return [...steps, segment("server", random.pick([".", "P.", "S", "R."]))];
  if (random.chance(0.85)) steps.push(segment("server", "S."));
  if (random.chance(0.9)) steps.push(segment("client", "."));
  for (let count = random.below(3); count > 0; count--) {
    steps.push(segment(anySide(random), "P.", random.pick([1, 100])));
  }
  if (random.chance(0.3)) {
    const first = anySide(random);
    const second = first === "client" ? "server" : "client";
    steps.push(segment(first, "F."), segment(second, "F."), segment(first, "."));
  } else if (random.chance(0.2)) {
    steps.push(segment(anySide(random), "R."));
  }
  return steps;
}

function sctpSteps(random: Random): Step[] {
  const [data, init, initAck, cookieEcho, cookieAck] = [0, 1, 2, 10, 11];
  const chunk = (side: Side, kind: number): Step => ({
    kind: "packet",
    side,
    words: () => ({ chunk: kind, payload: new Uint8Array(12) }),
    opens: kind === init,
  });
  const steps = [chunk("client", init)];
  if (random.chance(0.85)) steps.push(chunk("server", initAck));
  if (random.chance(0.85)) steps.push(chunk("client", cookieEcho));
  if (random.chance(0.85)) steps.push(chunk("server", cookieAck));
  for (let count = random.below(3); count > 0; count--) steps.push(chunk(anySide(random), data));
  return steps;
}

function echoSteps(random: Random): Step[] {
  const id = random.below(60_000);
  const steps: Step[] = [];
  for (let seq = 0; seq <= random.below(3); seq++) {
    const echo = (side: Side, six: number, four: number): Step => ({
      kind: "packet",
      side,
      words: (protocol) => ({ icmp: { type: protocol === ICMPV6 ? six : four, id, seq } }),
      opens: side === "client",
    });
    steps.push(echo("client", 128, 8));
    if (random.chance(0.8)) steps.push(echo("server", 129, 0));
  }
  return steps;
}

function plainSteps(random: Random): Step[] {
  const packet = (side: Side): Step => ({
    kind: "packet",
    side,
    words: () => ({ payload: new Uint8Array(8) }),
    opens: side === "client",
  });
  const rest = Array.from({ length: random.below(4) }, () => packet(anySide(random)));
  return [packet("client"), ...rest];
}

function inWords(spec: PacketSpec): string {
  const { source, destination, protocol, sourcePort, destinationPort, flags, icmp, chunk } = spec;
  const detail =
    protocol === TCP ? `[${flags}]` : icmp ? `icmp ${icmp.type}/${icmp.code ?? 0}` : (chunk ?? "");
  return `${source}:${sourcePort ?? ""} > ${destination}:${destinationPort ?? ""} proto ${protocol} ${detail}`;
}
