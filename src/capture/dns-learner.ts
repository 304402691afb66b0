/**
 * What a capture's own DNS answers tell of domain names. Who enforces policies learns an address when an
 * answer passes, and has to forget it when its lifetime is over; tables are the same for a whole capture.
 * So an address counts where it cannot be wrong for any packet of a pod that policies with domain names
 * bind: none goes to it before the answer, and none but those of connections that are there already goes to
 * it after its lifetime.
 *
 * > Pods are expected to make a DNS query for a domain before sending traffic to it. If the Pod fails to send
 * > a DNS request and instead just sends traffic to the IP, traffic is not guaranteed to flow.
 *
 * So none goes to it from another pod than those that were answered, either; and nothing answers but what was
 * asked. Source: network-policy-api npeps/npep-133-fqdn-egress-selector.md, Expected Behavior.
 */
import * as layout from "../../assembly/layout.ts";
import type { Address } from "../net/address.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";
import type { PacketBatch } from "./batch.ts";
import { readDnsAnswer, readDnsQuestion } from "./dns-answer.ts";
import type { DnsQuestion } from "./dns-answer.ts";
import { readTimestamp } from "./record.ts";

/** An address that a name had. */
interface Lease {
  readonly address: Address;
  /** Nanoseconds, by the pod that was answered. */
  readonly until: Map<number, bigint>;
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
/** What is remembered: addresses that packets have, questions, answers, and connections of one address. */
const ADDRESSES_MAX = 1 << 21;
const QUESTIONS_MAX = 1 << 16;
const LEASES_MAX = 1 << 16;
const CONNECTIONS_MAX = 1 << 12;

/** Follows a capture from its first packet on. */
export class DnsLearner {
  readonly #wanted: (name: string) => boolean;
  /** Which pod has an address, of those that are bound. */
  readonly #bound: ReadonlyMap<string, number>;
  /** Addresses that those who are bound have sent to so far. */
  readonly #seen: Set<string>;
  /** What was asked of wanted names and not answered yet, of whom and by whom, the oldest first. */
  readonly #questions = new Set<string>();
  /** By address, then name. */
  readonly #leases = new Map<string, Map<string, Lease>>();
  #leaseCount = 0;
  #last = 0;

  /**
   * @param wanted tells whether a name is asked for
   * @param bound the addresses of each pod that policies bind which ask for names
   * @param hidden addresses that packets may go to without showing them
   */
  constructor(
    wanted: (name: string) => boolean,
    {
      bound,
      hidden,
    }: { readonly bound: readonly (readonly Address[])[]; readonly hidden: readonly Address[] },
  ) {
    this.#wanted = wanted;
    this.#bound = new Map(
      bound.flatMap((addresses, pod) => addresses.map((address) => [keyOf(address), pod] as const)),
    );
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
    const [source, destination] = [
      (known & layout.KNOWN_SRC) === 0 ? undefined : addressText(view, at, layout.PACKET_SRC),
      (known & layout.KNOWN_DST) === 0 ? undefined : addressText(view, at, layout.PACKET_DST),
    ];
    const came = source === undefined ? undefined : this.#leases.get(source);
    for (const lease of came?.values() ?? []) watchAnswer(lease, view, at, time);
    const pod = source === undefined ? undefined : this.#bound.get(source);
    if (destination !== undefined && (source === undefined || pod !== undefined)) {
      if (this.#seen.size < ADDRESSES_MAX) this.#seen.add(destination);
      const leases = this.#leases.get(destination);
      for (const lease of leases?.values() ?? []) watch(lease, { view, at, time, pod });
    }
    const message = time === undefined ? undefined : messageOf(view, at);
    if (time === undefined || message === undefined) return;
    const [from, to] = [
      `${source} ${view.getUint16(at + layout.PACKET_SPORT, true)}`,
      `${destination} ${view.getUint16(at + layout.PACKET_DPORT, true)}`,
    ];
    if (to.endsWith(` ${DNS_PORT}`)) this.#ask(message, `${from} ${to}`);
    if (from.endsWith(` ${DNS_PORT}`)) {
      const client = this.#bound.get(destination ?? "");
      if (client !== undefined) this.#learn(message, { ends: `${to} ${from}`, client, time });
    }
  }

  #ask(message: Uint8Array, ends: string): void {
    const question = readDnsQuestion(message);
    if (question === undefined || !this.#wanted(question.name)) return;
    const [oldest] = this.#questions;
    if (oldest !== undefined && this.#questions.size >= QUESTIONS_MAX)
      this.#questions.delete(oldest);
    this.#questions.add(questionText(question, ends));
  }

  #learn(
    message: Uint8Array,
    {
      ends,
      client,
      time,
    }: { readonly ends: string; readonly client: number; readonly time: bigint },
  ): void {
    const answer = readDnsAnswer(message);
    if (answer === undefined || !this.#questions.delete(questionText(answer, ends))) return;
    for (const { address, seconds } of answer.addresses) {
      const key = keyOf(address);
      const until = time + BigInt(seconds) * SECOND;
      const leases = this.#leases.get(key) ?? new Map<string, Lease>();
      const lease = leases.get(answer.name);
      if (lease !== undefined) {
        const before = lease.until.get(client);
        if (before === undefined || until > before) lease.until.set(client, until);
        continue;
      }
      // Where more packets have passed than are remembered, an address may be that of one of them.
      const forgetful = this.#seen.size >= ADDRESSES_MAX || this.#leaseCount >= LEASES_MAX;
      if (forgetful || this.#seen.has(key)) continue;
      this.#leaseCount += 1;
      const [connections, own] = [new Map<string, bigint>(), new Map([[client, until]])];
      leases.set(answer.name, { address, until: own, connections, doubtful: false });
      this.#leases.set(key, leases);
    }
  }
}

/** Who asks, whom, and what: the answer has it all again. */
function questionText({ id, name, type }: DnsQuestion, ends: string): string {
  return `${ends} ${id} ${type} ${name}`;
}

/** A packet to an address that some name had. */
interface Sight {
  readonly view: DataView;
  readonly at: number;
  readonly time: bigint | undefined;
  /** Undefined: any may have sent it. */
  readonly pod: number | undefined;
}

/** Looks whether a packet goes to an address at a time at which the name may not have it for who sends it. */
function watch(lease: Lease, { view, at, time, pod }: Sight): void {
  if (lease.doubtful) return;
  const until = pod === undefined ? undefined : lease.until.get(pod);
  if (time === undefined) {
    lease.doubtful = true;
    return;
  }
  const { connections } = lease;
  const flags = tcpFlags(view, at);
  const opens = flags !== undefined && (flags & TCP_SYN_ACK) === TCP_SYN;
  const connection = connectionText(view, at);
  const last = flags === undefined ? undefined : connections.get(connection);
  const over = until === undefined || time > until;
  if (over && (opens || last === undefined || time - last > CONNECTION_TIMEOUT)) {
    lease.doubtful = true;
  } else if (flags !== undefined && (flags & TCP_FIN_RST) !== 0) {
    connections.delete(connection);
  } else if (last !== undefined || (opens && connections.size < CONNECTIONS_MAX)) {
    connections.set(connection, time);
  }
}

/** What comes back on a connection keeps it, or ends it. */
function watchAnswer(
  { connections }: Lease,
  view: DataView,
  at: number,
  time: bigint | undefined,
): void {
  const flags = tcpFlags(view, at);
  const connection = connectionText(view, at);
  if (flags === undefined || !connections.has(connection)) return;
  if ((flags & TCP_FIN_RST) !== 0 || time === undefined) connections.delete(connection);
  else connections.set(connection, time);
}

/** Undefined: it is not TCP. */
function tcpFlags(view: DataView, at: number): number | undefined {
  const tcp = view.getUint8(at + layout.PACKET_PROTOCOL) === PROTOCOL_TCP;
  return tcp ? view.getUint8(at + layout.PACKET_TCP_FLAGS) : undefined;
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

/** What a whole UDP datagram to or from a DNS server holds. */
function messageOf(view: DataView, at: number): Uint8Array | undefined {
  if (view.getUint8(at + layout.PACKET_PROTOCOL) !== PROTOCOL_UDP) return undefined;
  const ports = [layout.PACKET_SPORT, layout.PACKET_DPORT].map((offset) =>
    view.getUint16(at + offset, true),
  );
  if (!ports.includes(DNS_PORT)) return undefined;
  const flags = view.getUint32(at + layout.PACKET_FLAGS, true);
  const cut = layout.PACKET_TRUNCATED | layout.PACKET_FRAGMENT | layout.PACKET_LATER_FRAGMENT;
  if ((flags & cut) !== 0) return undefined;
  if (view.getUint8(at + layout.PACKET_MALFORMED) !== layout.MALFORMED_NONE) {
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
