/**
 * Random conversations held through a lab, as a recording: each packet as it was sent, when, and what the
 * kernel made of it; and the recording as the capture that a user would have.
 */
import type { KernelLab, LabPacket, LabSight } from "../../src/lab/lab.ts";
import { buildPcapng, concat } from "../frames.ts";
import type { Random } from "../random.ts";
import { INTERFACES, macOf, type Host } from "./ground.ts";
import { extentOf, familyOf, numberOf, withNumber, type Extent } from "./packets.ts";
import { randomConversation, type Conversation, type Fate, type Sent } from "./sequences.ts";

/** A packet that was sent. */
export interface Recorded {
  /** The interface it arrived by; undefined: the node itself sent it. */
  readonly arrival: string | undefined;
  /** As the lab was given it. */
  readonly bytes: Uint8Array;
  /** What tells it from others; fragments of one datagram have one. */
  readonly number: number;
  readonly sentNs: bigint;
}

/** Of several fragments that are the same, only some came out: which, nobody sees. */
export const UNTOLD = "untold";

/** What the kernel made of each packet: an interface, `local` or UNTOLD; undefined: it did not come out. */
export type Places = readonly (string | undefined)[];

export interface Recording {
  readonly packets: readonly Recorded[];
  readonly places: Places;
}

/** How many conversations are held at once. */
const OPEN = 48;
const NUMBER_MAX = 0xffff;

/** Something that is done between two packets. */
export interface Interlude {
  /** Once so many packets were sent. */
  readonly after: number;
  /** @param number that of the next packet */
  readonly act: (number: number) => void;
}

/** Holds random conversations until so many packets were sent. */
export async function record(
  lab: KernelLab,
  random: Random,
  count: number,
  allowed: ReadonlySet<string>,
  interlude?: Interlude,
): Promise<Recording> {
  let left = interlude;
  const packets: Recorded[] = [];
  const places: (string | undefined)[] = [];
  let number = 0;
  let open = Array.from({ length: OPEN }, () => begin(random, allowed));
  while (packets.length < count && number < NUMBER_MAX - 1000) {
    if (left !== undefined && packets.length >= left.after) {
      left.act(number + 1);
      left = undefined;
    }
    const batch: (Omit<Recorded, "sentNs"> & { readonly of: Talk })[] = [];
    // Conversations take turns in an order of their own each time.
    for (const talk of random.some(open, open.length, open.length)) {
      for (const sent of talk.sent) {
        if (sent.sameDatagram !== true) number++;
        const { place } = sent.from;
        const packet = withNumber(sent.packet, number);
        const bytes = place === undefined ? packet : frameOf(sent.from, place, packet);
        batch.push({ arrival: place, bytes, number, of: talk });
      }
    }
    const { sentNs, sights } = await lab.cross(batch);
    const found = fatesOf(batch, sights);
    const fates = new Map<Talk, Fate[]>(open.map((talk) => [talk, []]));
    for (const [index, { arrival, bytes, number: own, of: talk }] of batch.entries()) {
      const fate: Found = found[index] ?? { place: undefined, packet: undefined };
      packets.push({ arrival, bytes, number: own, sentNs: sentNs[index] ?? 0n });
      places.push(placeOf(fate));
      fates.get(talk)?.push(fate);
    }
    open = open.map((talk) => {
      const next = talk.conversation.next(fates.get(talk) ?? []);
      return next.done === true
        ? begin(random, allowed)
        : { conversation: talk.conversation, sent: next.value };
    });
  }
  return { packets, places };
}

/** A conversation and what it says next. */
interface Talk {
  readonly conversation: Conversation;
  readonly sent: readonly Sent[];
}

function begin(random: Random, allowed: ReadonlySet<string>): Talk {
  const conversation = randomConversation(random, allowed);
  const first = conversation.next([]);
  return { conversation, sent: first.done === true ? [] : first.value };
}

/** Sends packets once more, as they were. */
export async function repeat(lab: KernelLab, packets: readonly Recorded[]): Promise<Places> {
  if (packets.length === 0) return [];
  const { sights } = await lab.cross(packets satisfies readonly LabPacket[]);
  return fatesOf(packets, sights).map(placeOf);
}

/** A fate, perhaps that of another fragment that is the same. */
interface Found extends Fate {
  readonly untold?: boolean;
}

function placeOf({ place, untold }: Found): string | undefined {
  return untold === true ? UNTOLD : place;
}

/** What became of each packet. Fragments were put together and came out as one, or each for itself. */
function fatesOf(
  packets: readonly Omit<Recorded, "sentNs">[],
  sights: readonly LabSight[],
): readonly Found[] {
  const byNumber = new Map<number, Fate[]>();
  for (const { place = "local", packet } of sights) {
    const number = numberOf(packet);
    const others = byNumber.get(number);
    if (others === undefined) byNumber.set(number, [{ place, packet }]);
    else others.push({ place, packet });
  }
  const sent = new Map<string, number>();
  for (const packet of packets) {
    const name = `${packet.number} ${extentText(ownExtent(packet))}`;
    sent.set(name, (sent.get(name) ?? 0) + 1);
  }
  return packets.map((packet) => {
    const { number } = packet;
    const found = byNumber.get(number) ?? [];
    const [first] = found;
    if (first === undefined) return { place: undefined, packet: undefined };
    if (new Set(found.map(({ place }) => place)).size > 1) {
      const places = found.map(({ place }) => place).join();
      throw new Error(`packet ${number} was seen at ${places}`);
    }
    const own = extentText(ownExtent(packet));
    const extents = found.map((fate) =>
      fate.packet === undefined ? "" : extentText(extentOf(fate.packet)),
    );
    const same = found.filter((_, index) => extents[index] === own);
    if (same[0] !== undefined) {
      const some = same.length < (sent.get(`${number} ${own}`) ?? 0);
      return some ? { ...same[0], untold: true } : same[0];
    }
    // All others came out as they were sent: nothing was put together, and this one stayed behind.
    const alone = extents.every((extent) => sent.has(`${number} ${extent}`));
    return isWhole(found) && !alone ? first : { place: undefined, packet: undefined };
  });
}

function ownExtent({ arrival, bytes }: Omit<Recorded, "sentNs">): Extent {
  return extentOf(arrival === undefined ? bytes : bytes.subarray(14));
}

function extentText({ from, to }: Extent): string {
  return `${from}-${to}`;
}

/** Tells whether all bytes of the datagram came out. */
function isWhole(found: readonly Fate[]): boolean {
  const extents = found
    .flatMap(({ packet }) => (packet === undefined ? [] : [extentOf(packet)]))
    .sort((one, other) => one.from - other.from);
  let end = 0;
  for (const { from, to, more } of extents) {
    if (from > end) return false;
    end = Math.max(end, to);
    if (!more) return true;
  }
  return false;
}

function frameOf(from: Host, place: string, packet: Uint8Array): Uint8Array {
  const type = familyOf(packet) === 4 ? [0x08, 0x00] : [0x86, 0xdd];
  return concat(targetMac(place, packet), macBytes(from.mac), Uint8Array.from(type), packet);
}

/** The node's own, or that of a group (RFC 1112, RFC 2464). */
function targetMac(place: string, packet: Uint8Array): Uint8Array {
  const four = familyOf(packet) === 4;
  const target = packet.subarray(four ? 16 : 24, four ? 20 : 40);
  const [first = 0] = target;
  if (!four && first === 0xff) return concat(Uint8Array.of(0x33, 0x33), target.subarray(12));
  if (four && first === 255) return new Uint8Array(6).fill(255);
  if (four && first >> 4 === 14) {
    const [, second = 0, third = 0, fourth = 0] = target;
    return Uint8Array.of(1, 0, 0x5e, second & 0x7f, third, fourth);
  }
  const subnet = four && target[3] === 255 && first !== 10;
  return subnet ? new Uint8Array(6).fill(255) : macBytes(macOf(place));
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(":").map((part) => Number.parseInt(part, 16)));
}

const LINK_TYPE_ETHERNET = 1;
const LINK_TYPE_RAW = 101;

/** The capture: one interface for each of the node's, and one of IP packets for what the node sent. */
export function captureOf(packets: readonly Recorded[]): Uint8Array {
  const names = INTERFACES.map(({ name }) => name);
  const frames = packets.map(({ arrival, bytes, sentNs }) => ({
    bytes,
    timestampNs: sentNs,
    captureInterface: arrival === undefined ? names.length : names.indexOf(arrival),
  }));
  return buildPcapng(
    frames,
    [...names, undefined],
    [...names.map(() => LINK_TYPE_ETHERNET), LINK_TYPE_RAW],
  );
}
