/**
 * What a capture's own DNS answers tell of domain names. Who enforces policies learns an address when an
 * answer passes, and has to forget it when its lifetime is over; tables are the same for a whole capture.
 * So an address counts where it cannot be wrong for any packet: none of it comes before the answer, and
 * none but those of connections that are there already comes after its lifetime.
 */
import * as layout from "../../assembly/layout.ts";
import type { Address } from "../net/address.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";
import type { PacketBatch } from "./batch.ts";
import { readDnsAnswer } from "./dns-answer.ts";
import { readTimestamp } from "./record.ts";

/** An address that a name had. */
interface Lease {
  readonly address: Address;
  /** Nanoseconds. */
  until: bigint;
  /** When the last packet of a TCP connection came that was opened meanwhile and has not ended. */
  readonly connections: Map<string, bigint>;
  doubtful: boolean;
}

const DNS_PORT = 53;
const UDP_HEADER_SIZE = 8;
const SECOND = 1_000_000_000n;
/** Shortest timeout of a TCP connection that has not ended: nf_conntrack_tcp_timeout_syn_recv. */
const CONNECTION_TIMEOUT = 60n * SECOND;
const TCP_FIN_RST = 0x05;
const TCP_SYN = 0x02;
const TCP_SYN_ACK = 0x12;
/** What is remembered: addresses that packets have, answers, and connections of one address. */
const ADDRESSES_MAX = 1 << 21;
const LEASES_MAX = 1 << 16;
const CONNECTIONS_MAX = 1 << 12;

/** Follows a capture from its first packet on. */
export class DnsLearner {
  readonly #wanted: (name: string) => boolean;
  /** Addresses of packets so far. */
  readonly #seen: Set<string>;
  /** By address, then name. */
  readonly #leases = new Map<string, Map<string, Lease>>();
  #leaseCount = 0;
  #last = 0;

  /**
   * @param wanted tells whether a name is asked for
   * @param hidden addresses that packets may go to without showing them
   */
  constructor(wanted: (name: string) => boolean, hidden: readonly Address[]) {
    this.#wanted = wanted;
    this.#seen = new Set(hidden.map(keyOf));
  }

  /** Takes the packets of the next batch, after they were decoded. */
  add(batch: PacketBatch): void {
    if (batch.packetNumber === this.#last) return;
    this.#last = batch.packetNumber;
    for (let index = 0; index < batch.count; index++) this.#addPacket(batch, index);
  }

  /** What is certain, by name: there may be other addresses of each. */
  learnt(): Map<string, Address[]> {
    const addressesByName = new Map<string, Address[]>();
    for (const leases of this.#leases.values()) {
      for (const [name, { address, doubtful }] of leases) {
        if (doubtful) continue;
        addressesByName.set(name, [...(addressesByName.get(name) ?? []), address]);
      }
    }
    return addressesByName;
  }

  #addPacket(batch: PacketBatch, index: number): void {
    const { view } = batch;
    const at = batch.recordAt(index);
    const known = view.getUint32(at + layout.PACKET_KNOWN, true);
    const time = readTimestamp(batch, index);
    const ends = [
      [layout.KNOWN_SRC, layout.PACKET_SRC],
      [layout.KNOWN_DST, layout.PACKET_DST],
    ] as const;
    for (const [bit, offset] of ends) {
      if ((known & bit) === 0) continue;
      const address = addressText(view, at, offset);
      if (this.#seen.size < ADDRESSES_MAX) this.#seen.add(address);
      const leases = this.#leases.get(address);
      if (leases === undefined) continue;
      for (const lease of leases.values()) watch(lease, view, at, time);
    }
    const message = time === undefined ? undefined : answerBytes(view, at);
    if (time !== undefined && message !== undefined) this.#learn(message, time);
  }

  #learn(message: Uint8Array, time: bigint): void {
    const answer = readDnsAnswer(message);
    if (answer === undefined || !this.#wanted(answer.name)) return;
    for (const { address, seconds } of answer.addresses) {
      const key = keyOf(address);
      const until = time + BigInt(seconds) * SECOND;
      const leases = this.#leases.get(key) ?? new Map<string, Lease>();
      const lease = leases.get(answer.name);
      if (lease !== undefined) {
        if (until > lease.until) lease.until = until;
        continue;
      }
      // Where more packets have passed than are remembered, an address may be that of one of them.
      const forgetful = this.#seen.size >= ADDRESSES_MAX || this.#leaseCount >= LEASES_MAX;
      if (forgetful || this.#seen.has(key)) continue;
      this.#leaseCount += 1;
      leases.set(answer.name, { address, until, connections: new Map(), doubtful: false });
      this.#leases.set(key, leases);
    }
  }
}

/** Looks whether a packet of an address comes at a time at which the name may no longer have had it. */
function watch(lease: Lease, view: DataView, at: number, time: bigint | undefined): void {
  if (lease.doubtful) return;
  if (time === undefined) {
    lease.doubtful = true;
    return;
  }
  const { connections, until } = lease;
  const tcp = view.getUint8(at + layout.PACKET_PROTOCOL) === PROTOCOL_TCP;
  const flags = tcp ? view.getUint8(at + layout.PACKET_TCP_FLAGS) : 0;
  const opens = (flags & TCP_SYN_ACK) === TCP_SYN;
  const connection = connectionText(view, at);
  const last = tcp ? connections.get(connection) : undefined;
  if (time > until && (opens || last === undefined || time - last > CONNECTION_TIMEOUT)) {
    lease.doubtful = true;
  } else if ((flags & TCP_FIN_RST) !== 0) {
    connections.delete(connection);
  } else if (last !== undefined || (opens && connections.size < CONNECTIONS_MAX)) {
    connections.set(connection, time);
  }
}

function keyOf({ family, words }: Address): string {
  return [family, ...words].join();
}

/** The same for both directions. */
function connectionText(view: DataView, at: number): string {
  const source = `${addressText(view, at, layout.PACKET_SRC)} ${view.getUint16(at + layout.PACKET_SPORT, true)}`;
  const destination = `${addressText(view, at, layout.PACKET_DST)} ${view.getUint16(at + layout.PACKET_DPORT, true)}`;
  return source < destination ? `${source} ${destination}` : `${destination} ${source}`;
}

/** As `keyOf` has it. */
function addressText(view: DataView, at: number, offset: number): string {
  const word = (index: number): number => view.getUint32(at + offset + 4 * index, true);
  const family = view.getUint8(at + layout.PACKET_FAMILY);
  return `${family},${word(0)},${word(1)},${word(2)},${word(3)}`;
}

/** What a whole UDP datagram from a DNS server holds. */
function answerBytes(view: DataView, at: number): Uint8Array | undefined {
  if (view.getUint8(at + layout.PACKET_PROTOCOL) !== PROTOCOL_UDP) return undefined;
  if (view.getUint16(at + layout.PACKET_SPORT, true) !== DNS_PORT) return undefined;
  const flags = view.getUint32(at + layout.PACKET_FLAGS, true);
  const cut = layout.PACKET_TRUNCATED | layout.PACKET_FRAGMENT | layout.PACKET_LATER_FRAGMENT;
  if ((flags & cut) !== 0) return undefined;
  if (view.getUint16(at + layout.PACKET_MALFORMED, true) !== layout.MALFORMED_NONE) {
    return undefined;
  }
  const transport = view.getUint32(at + layout.PACKET_TRANSPORT, true);
  const end = view.getUint32(at + layout.PACKET_END, true);
  if (transport === 0 || end < transport + UDP_HEADER_SIZE) return undefined;
  const length = view.getUint16(transport + 4, false);
  if (length < UDP_HEADER_SIZE || transport + length > end) return undefined;
  const size = length - UDP_HEADER_SIZE;
  return new Uint8Array(view.buffer, transport + UDP_HEADER_SIZE, size);
}
