/** The packets of `verify`: sent through the lab's kernel, and judged by the matcher at the times they were sent. */
import { appendMadeFrame, readPacketBytes } from "../capture/record.ts";
import type { CapturedPacket } from "../capture/record.ts";
import { CaptureOrder } from "../engine/capture-order.ts";
import type { Matcher } from "../engine/matcher.ts";
import type { PacketVerdict } from "../engine/verdict.ts";
import { NUMBERS, frameOf, numberOf, numberedPacket } from "../lab/frames.ts";
import type { KernelLab, LabPacket } from "../lab/lab.ts";
import type { LabGround } from "../lab/node.ts";
import { placeOf } from "../report/verify.ts";
import type { Difference, LeftOut, Verified } from "../report/verify.ts";
import type { Judge } from "./judge.ts";
import { loadProgramMatcher } from "./matcher.ts";
import type { CaptureOptions } from "./options.ts";

/** A packet that is sent, and where it stands in the capture. */
interface Passenger {
  readonly position: number;
  readonly number: number;
  readonly packet: LabPacket;
}

/** What the kernel made of a packet that was sent. */
interface Crossing {
  readonly position: number;
  /** An interface, `local` or `drop`. */
  readonly kernel: string;
}

/** Sends packets through the lab and has a second matcher judge the same ones. */
export class Comparing {
  readonly #lab: KernelLab;
  readonly #ground: LabGround;
  readonly #matcher: Matcher;
  readonly #order: CaptureOrder<undefined>;
  readonly #names: readonly string[];
  readonly #numberByDatagram = new Map<string, number>();
  readonly #unknown = new Map<string, number>();
  readonly #leftOut = new Map<LeftOut, number>();
  readonly #differences: Difference[] = [];
  /** Packets that were sent, by their number in the matcher's capture. */
  readonly #crossings = new Map<number, Crossing>();
  #number = 0;
  #sent = 0;
  #agreed = 0;

  constructor(
    { program }: Judge,
    options: CaptureOptions,
    { ground, lab }: { readonly ground: LabGround; readonly lab: KernelLab },
  ) {
    this.#lab = lab;
    this.#ground = ground;
    this.#names = ground.interfaces.map(({ name }) => name);
    // The lab's kernel has seen nothing before.
    const unmet = { ...program, connections: [] };
    this.#matcher = loadProgramMatcher(unmet, {
      midstream: "cold",
      conntrackMax: options.conntrackMax,
      tracePacket: undefined,
    });
    this.#matcher.nameInterfaces([...this.#names, undefined]);
    this.#order = new CaptureOrder(this.#matcher);
  }

  /** Takes the packets of a batch that another matcher has judged. */
  async add(matcher: Matcher, names: readonly string[]): Promise<void> {
    const passengers: Passenger[] = [];
    for (let index = 0; index < matcher.batch.count; index++) {
      const verdict = matcher.packetVerdict(index, names);
      const captured = readPacketBytes(matcher.batch, index);
      const passenger = this.#passenger(verdict, captured);
      if (typeof passenger === "string") count(this.#leftOut, passenger);
      else passengers.push(passenger);
    }
    if (passengers.length > 0) await this.#cross(passengers);
  }

  #passenger(verdict: PacketVerdict, captured: CapturedPacket | undefined): Passenger | LeftOut {
    if (verdict.verdict === "unfiltered") return "not IP, or addressed to another host";
    if (captured === undefined) return "without bytes in the capture";
    if (verdict.duplicateOf !== undefined || verdict.observed) {
      return "seen a second time or leaving";
    }
    const arrival = verdict.inInterface;
    const own = verdict.sourceRoute?.kind === "local";
    const number = this.#nextNumber(captured.datagram);
    const packet = numberedPacket(captured.bytes, captured.length, number);
    const position = verdict.number;
    if (own && (arrival === undefined || !this.#names.includes(arrival))) {
      return { position, number, packet: { arrival: undefined, bytes: packet } };
    }
    const link = this.#ground.interfaces.find(({ name }) => name === arrival);
    if (link === undefined) return "of which the capture does not show where they arrive";
    const bytes = frameOf(packet, {
      source: captured.macs?.source,
      destination: captured.macs?.destination,
      own: link.mac,
    });
    return { position, number, packet: { arrival: link.name, bytes } };
  }

  /** Fragments of one datagram have one number. */
  #nextNumber(datagram: string | undefined): number {
    const known = datagram === undefined ? undefined : this.#numberByDatagram.get(datagram);
    if (known !== undefined) return known;
    this.#number = (this.#number + 1) % NUMBERS || 1;
    if (datagram !== undefined) {
      if (this.#numberByDatagram.size >= DATAGRAMS_MAX) this.#numberByDatagram.clear();
      this.#numberByDatagram.set(datagram, this.#number);
    }
    return this.#number;
  }

  async #cross(passengers: readonly Passenger[]): Promise<void> {
    const { sentNs, sights } = await this.#lab.cross(passengers.map(({ packet }) => packet));
    const placeByNumber = new Map<number, string>();
    for (const { place = "local", packet } of sights) placeByNumber.set(numberOf(packet), place);
    for (const { position, number } of passengers) {
      this.#sent++;
      this.#crossings.set(this.#sent, { position, kernel: placeByNumber.get(number) ?? "drop" });
    }
    this.#judge(passengers, sentNs);
  }

  /** Has the matcher judge what was sent, in as many batches as it takes. */
  #judge(passengers: readonly Passenger[], sentNs: BigUint64Array): void {
    const { batch, blockAddress, blockSize } = this.#matcher;
    let first = 0;
    while (first < passengers.length) {
      batch.clear();
      let used = 0;
      let next = first;
      for (; next < passengers.length; next++) {
        const { arrival, bytes } = passengers[next]?.packet ?? { arrival: undefined, bytes: EMPTY };
        const fits = appendMadeFrame(
          batch,
          { address: blockAddress, size: blockSize, used },
          {
            bytes,
            link: arrival === undefined ? "none" : "ethernet",
            captureInterface:
              arrival === undefined ? this.#names.length : this.#names.indexOf(arrival),
            timestampNs: sentNs[next] ?? 0n,
          },
        );
        if (!fits) break;
        used += bytes.length;
      }
      this.#matcher.replay();
      this.#compareSettled();
      first = next;
    }
  }

  #compareSettled(): void {
    for (const { verdict } of this.#order.take([], () => undefined)) {
      const crossing = this.#crossings.get(verdict.number);
      if (crossing === undefined) throw new Error("bug: a verdict on a packet that was not sent");
      this.#crossings.delete(verdict.number);
      this.#compare(verdict, crossing);
    }
  }

  #compare(verdict: PacketVerdict, { position, kernel }: Crossing): void {
    const ours = placeOf(verdict);
    if (ours === "unknown") count(this.#unknown, verdict.reason);
    else if (ours === kernel) this.#agreed++;
    else this.#differences.push({ number: position, kernel, verdict });
  }

  /** What came of it; nothing more is sent. */
  result(): Verified {
    this.#matcher.finish();
    this.#compareSettled();
    return {
      sent: this.#sent,
      agreed: this.#agreed,
      unknown: this.#unknown,
      leftOut: this.#leftOut,
      differences: this.#differences,
    };
  }
}

const EMPTY = new Uint8Array();
/** More unfinished datagrams than the kernel itself would hold. */
const DATAGRAMS_MAX = 4096;

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
