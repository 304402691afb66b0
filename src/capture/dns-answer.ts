/**
 * DNS messages that ask for addresses, and that answer. Source: RFC 1035 section 4 (messages, compression),
 * RFC 3596 (AAAA), RFC 2181 section 8 (lifetimes).
 */
import { addressOfBytes } from "../net/address.ts";
import type { Address } from "../net/address.ts";

/** What a message asks, or says that it was asked. */
export interface DnsQuestion {
  /** By which who asked knows the answer. */
  readonly id: number;
  /** Lower case, without the dot at the end. */
  readonly name: string;
  readonly type: number;
}

/** What an answer tells of the name that was asked for. */
export interface DnsAnswer extends DnsQuestion {
  readonly addresses: readonly DnsAddress[];
}

/** An address of the name, and for how many seconds it is one. */
export interface DnsAddress {
  readonly address: Address;
  readonly seconds: number;
}

const HEADER_SIZE = 12;
const FLAG_RESPONSE = 0x8000;
/** Kind of query, and what says that the message was cut. */
const MASK_OPCODE = 0x7800;
const FLAG_CUT = 0x0200;
const MASK_RCODE = 0x000f;
const TYPE_A = 1;
const TYPE_CNAME = 5;
const TYPE_AAAA = 28;
const TYPE_ANY = 255;
const CLASS_INTERNET = 1;
const NAME_MAX = 253;
/** Pointers in one name: more than a name has labels are of no use. */
const POINTERS_MAX = 127;
/** Aliases from one name to the next: what resolvers follow is less. */
const ALIASES_MAX = 16;
/** Lifetimes with the highest bit set count as zero. */
const SECONDS_MAX = 0x7fffffff;

interface DnsRecord {
  readonly name: string;
  readonly type: number;
  readonly internet: boolean;
  readonly seconds: number;
  readonly first: number;
  readonly end: number;
}

/** Reads one question; undefined where a message is anything else, or has anything wrong in what is read of it. */
export function readDnsQuestion(message: Uint8Array): DnsQuestion | undefined {
  const reader = new MessageReader(message);
  return hasFlags(reader, 0) ? questionOf(reader)?.question : undefined;
}

/**
 * Reads the answer to one question for addresses; undefined where a message is anything else, is cut, or has
 * anything wrong in what is read of it. An address counts that the name has itself or by aliases of this
 * message, of the family that was asked for.
 */
export function readDnsAnswer(message: Uint8Array): DnsAnswer | undefined {
  const reader = new MessageReader(message);
  const asked = hasFlags(reader, FLAG_RESPONSE) ? questionOf(reader) : undefined;
  const answers = reader.number(6, 2);
  if (asked === undefined || answers === undefined) return undefined;
  const { question } = asked;
  const records: DnsRecord[] = [];
  let at = asked.end;
  for (let count = 0; count < answers; count++) {
    const record = reader.record(at);
    if (record === undefined) return undefined;
    if (record.internet) records.push(record);
    at = record.end;
  }
  const addresses = addressesOf(question, records, reader);
  return addresses === undefined ? undefined : { ...question, addresses };
}

/** Tells whether a message is a question or an answer, as said, to a plain query, whole and without an error. */
function hasFlags(reader: MessageReader, response: 0 | typeof FLAG_RESPONSE): boolean {
  const flags = reader.number(2, 2);
  const looked = FLAG_RESPONSE | MASK_OPCODE | FLAG_CUT | MASK_RCODE;
  return flags !== undefined && (flags & looked) === response;
}

/** The one question of a message, and where what is behind it begins. */
function questionOf(
  reader: MessageReader,
): { readonly question: DnsQuestion; readonly end: number } | undefined {
  if (reader.number(4, 2) !== 1) return undefined;
  const id = reader.number(0, 2);
  const asked = reader.name(HEADER_SIZE);
  if (id === undefined || asked === undefined) return undefined;
  const type = reader.number(asked.end, 2);
  if (type === undefined || reader.number(asked.end + 2, 2) !== CLASS_INTERNET) return undefined;
  return { question: { id, name: asked.name, type }, end: asked.end + 4 };
}

/** Follows the aliases of a name to addresses; undefined where aliases are wrong, too many or lead in a circle. */
function addressesOf(
  { name: asked, type }: DnsQuestion,
  records: readonly DnsRecord[],
  reader: MessageReader,
): DnsAddress[] | undefined {
  const passed = new Set<string>();
  let name = asked;
  let most = SECONDS_MAX;
  for (;;) {
    if (passed.has(name) || passed.size > ALIASES_MAX) return undefined;
    passed.add(name);
    const own = records.filter((record) => record.name === name);
    const [alias, ...others] = own.filter(({ type }) => type === TYPE_CNAME);
    if (alias === undefined) {
      const wanted = own.filter((record) => type === TYPE_ANY || record.type === type);
      return addressRecords(wanted, most, reader);
    }
    const target = reader.name(alias.first);
    // A name has one alias, and nothing else beside it.
    if (others.length > 0 || target?.end !== alias.end) return undefined;
    most = Math.min(most, alias.seconds);
    name = target.name;
  }
}

function addressRecords(
  records: readonly DnsRecord[],
  most: number,
  { bytes }: MessageReader,
): DnsAddress[] | undefined {
  const addresses: DnsAddress[] = [];
  for (const { type, first, end, seconds } of records) {
    if (type !== TYPE_A && type !== TYPE_AAAA) continue;
    if (end - first !== (type === TYPE_A ? 4 : 16)) return undefined;
    const address = addressOfBytes(bytes.subarray(first, end));
    addresses.push({ address, seconds: Math.min(seconds, most) });
  }
  return addresses;
}

/** Reads within the bounds of one message. */
class MessageReader {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** A number of up to 4 bytes; undefined beyond the end. */
  number(at: number, size: number): number | undefined {
    if (at + size > this.bytes.length) return undefined;
    let value = 0;
    for (const byte of this.bytes.subarray(at, at + size)) value = value * 256 + byte;
    return value;
  }

  /**
   * A name in lower case, and where what is behind it begins. Every pointer has to lead before what was
   * read, so that none leads in a circle. Undefined for a name that no policy can have, too: with other
   * characters than host names and `_`.
   */
  name(start: number): { readonly name: string; readonly end: number } | undefined {
    const labels: string[] = [];
    let at = start;
    let segment = start;
    let end: number | undefined;
    let length = 0;
    let pointers = 0;
    for (;;) {
      const size = this.bytes[at];
      if (size === undefined) return undefined;
      if (size >= 0xc0) {
        const target = this.number(at, 2);
        end ??= at + 2;
        pointers += 1;
        if (target === undefined || target - 0xc000 >= segment || pointers > POINTERS_MAX) {
          return undefined;
        }
        at = target - 0xc000;
        segment = at;
        continue;
      }
      if (size === 0) break;
      length += size + 1;
      // One dot less than labels.
      if (size > 63 || length - 1 > NAME_MAX || at + 1 + size > this.bytes.length) return undefined;
      labels.push(String.fromCharCode(...this.bytes.subarray(at + 1, at + 1 + size)));
      at += 1 + size;
    }
    const name = labels.join(".").toLowerCase();
    return labels.every((label) => /^[A-Za-z0-9_-]+$/.test(label))
      ? { name, end: end ?? at + 1 }
      : undefined;
  }

  record(at: number): DnsRecord | undefined {
    const owner = this.name(at);
    if (owner === undefined) return undefined;
    const type = this.number(owner.end, 2);
    const kind = this.number(owner.end + 2, 2);
    const seconds = this.number(owner.end + 4, 4);
    const size = this.number(owner.end + 8, 2);
    const first = owner.end + 10;
    if (type === undefined || kind === undefined || seconds === undefined || size === undefined) {
      return undefined;
    }
    if (first + size > this.bytes.length) return undefined;
    return {
      ...{ name: owner.name, type, internet: kind === CLASS_INTERNET },
      ...{ seconds: seconds > SECONDS_MAX ? 0 : seconds, first, end: first + size },
    };
  }
}
