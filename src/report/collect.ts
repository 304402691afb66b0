/**
 * Flows and totals gathered from single verdicts, for when only some packets are reported: the matcher's
 * own counts are of every packet.
 */
import type { SettledPacket } from "../engine/capture-order.ts";
import { formatAddress } from "../net/address.ts";
import { PROTOCOL_ICMP } from "../net/protocol.ts";
import type { FlowVerdict, PacketVerdict, Totals, Tuple } from "../engine/verdict.ts";

/** A flow being counted. */
interface Counted {
  readonly first: PacketVerdict;
  packets: number;
  bytes: number;
}

/** Gathers the packets it is given; holds one entry for each flow and verdict. */
export class FlowCollector {
  readonly #flows = new Map<string, Counted>();
  readonly #totals = {
    packets: 0,
    bytes: 0,
    verdicts: { allow: 0, drop: 0, unfiltered: 0, unknown: 0 },
    fragments: 0,
    malformed: 0,
    truncated: 0,
    duplicates: 0,
    midstream: 0,
    flowsLost: 0,
    // Those are flows here, too.
    withoutFlow: 0,
  };

  /** Counts one packet. */
  add({ verdict: packet, oddities }: Omit<SettledPacket<unknown>, "about">): void {
    const totals = this.#totals;
    totals.packets += 1;
    totals.bytes += packet.bytes;
    totals.verdicts[packet.verdict] += 1;
    if (oddities.fragment) totals.fragments += 1;
    if (oddities.malformed) totals.malformed += 1;
    if (oddities.truncated) totals.truncated += 1;
    if (packet.duplicateOf !== undefined) totals.duplicates += 1;
    if (packet.midstream) totals.midstream += 1;
    // Frames without an IP packet belong to no flow.
    if (packet.family === undefined && packet.verdict === "unfiltered") return;
    const forward = flowKey(packet, false);
    const flow = this.#flows.get(forward) ?? this.#flows.get(flowKey(packet, true));
    if (flow === undefined) {
      this.#flows.set(forward, { first: packet, packets: 1, bytes: packet.bytes });
    } else {
      flow.packets += 1;
      flow.bytes += packet.bytes;
    }
  }

  /** In the order of their first packets. */
  flows(): FlowVerdict[] {
    return [...this.#flows.values()].map(({ first, packets, bytes }) => ({
      ...first,
      packets,
      bytes,
      firstPacket: first.number,
    }));
  }

  totals(): Totals {
    return { ...this.#totals, verdicts: { ...this.#totals.verdicts } };
  }
}

/** What the matcher tells its flows apart by: the tuple or that of its reply, and the verdict. */
function flowKey(packet: PacketVerdict, reversed: boolean): string {
  const ends = [endText(packet, "source"), endText(packet, "destination")];
  if (reversed) ends.reverse();
  return [packet.verdict, packet.family, packet.protocol, ...ends].join(" ");
}

function endText(tuple: Tuple, end: "source" | "destination"): string {
  const address = tuple[end];
  const name = end === "source" ? tuple.sourceName : tuple.destinationName;
  const port = end === "source" ? tuple.sourcePort : tuple.destinationPort;
  const text = address === undefined ? (name ?? "?") : formatAddress(address);
  return `${text}|${port ?? icmpText(tuple)}`;
}

/** A query and its answer are one flow; their identifier is not part of a verdict. */
function icmpText({ icmp, protocol }: Tuple): string {
  if (icmp === undefined) return "";
  const { type, code } = icmp;
  const query =
    protocol === PROTOCOL_ICMP
      ? type === 8 || type === 0 || (type >= 13 && type <= 18)
      : type === 128 || type === 129;
  return query ? "query" : `${type}/${code}`;
}
