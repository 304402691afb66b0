/**
 * The options of pcapng blocks, and what an Interface Description Block says with them. An option that
 * runs beyond its block or has an impossible value is named; no default is taken in its place.
 */
import { clockOf, type Clock } from "./timestamp.ts";

const OPTION_END = 0;
const OPTION_COMMENT = 1;
const OPTION_IF_NAME = 2;
const OPTION_IF_TSRESOL = 9;
const OPTION_IF_TSOFFSET = 14;
/** epb_flags and pack_flags. */
const OPTION_FLAGS = 2;
const OPTION_VERDICT = 7;
/** No option has this code: a search for it looks at every option. */
const OPTION_NONE = -1;

const OPTION_HEADER_SIZE = 4;
/** Longest interface name accepted, in bytes; Linux has 15, Windows a GUID. */
const NAME_MAX = 256;
/** > If the option is not present, a resolution of 10^-6 is assumed. */
const MICROSECONDS = 6;

/** Where options lie in memory, and how they are read. */
export interface OptionList {
  readonly view: DataView;
  readonly littleEndian: boolean;
  /** Address of the first option. */
  readonly from: number;
  /** Address behind the last option; without `opt_endofopt` the list ends here too. */
  readonly to: number;
}

/** What is wrong with an option. */
export interface OptionFault {
  readonly kind: "fault";
  /** Address of the option. */
  readonly at: number;
  readonly message: string;
}

/** What the options of an Interface Description Block say. */
export interface InterfaceOptions {
  readonly kind: "options";
  readonly name: string | undefined;
  readonly clock: Clock;
}

/** Reads the options of an Interface Description Block. */
export function readInterfaceOptions(list: OptionList): InterfaceOptions | OptionFault {
  const damaged = findOption(list, OPTION_NONE);
  if (damaged !== 0) return overrun(list, -damaged);

  const nameAt = findOption(list, OPTION_IF_NAME);
  const nameLength = nameAt === 0 ? 0 : lengthAt(list, nameAt);
  if (nameLength > NAME_MAX)
    return fault(nameAt, `if_name has ${nameLength} bytes, more than ${NAME_MAX}`);

  let resolution = MICROSECONDS;
  const resolutionAt = findOption(list, OPTION_IF_TSRESOL);
  if (resolutionAt !== 0) {
    const length = lengthAt(list, resolutionAt);
    if (length !== 1) return fault(resolutionAt, `if_tsresol has ${length} bytes instead of 1`);
    resolution = list.view.getUint8(resolutionAt + OPTION_HEADER_SIZE);
  }

  let offset = 0n;
  const offsetAt = findOption(list, OPTION_IF_TSOFFSET);
  if (offsetAt !== 0) {
    const length = lengthAt(list, offsetAt);
    if (length !== 8) return fault(offsetAt, `if_tsoffset has ${length} bytes instead of 8`);
    offset = list.view.getBigInt64(offsetAt + OPTION_HEADER_SIZE, list.littleEndian);
  }

  const clock = clockOf(resolution, offset);
  if (clock === undefined) {
    const byte = `0x${resolution.toString(16).padStart(2, "0")}`;
    return fault(resolutionAt, `if_tsresol ${byte} is finer than 64 bits can count to one second`);
  }
  return { kind: "options", name: nameLength === 0 ? undefined : text(list, nameAt), clock };
}

/** Reads the flags word of a packet block's options; 0 where there is none. */
export function readPacketFlags(list: OptionList): number | OptionFault {
  const at = findOption(list, OPTION_FLAGS);
  if (at === 0) return 0;
  if (at < 0) return overrun(list, -at);
  const length = lengthAt(list, at);
  if (length !== 4) return fault(at, `the flags option has ${length} bytes instead of 4`);
  return list.view.getUint32(at + OPTION_HEADER_SIZE, list.littleEndian);
}

/** The blocks whose options are copied. */
export type OptionOwner = "section" | "interface" | "packet";

/** Options that hold numbers, by code: the sizes of the numbers in their order. Others are bytes or text. */
const NUMBERS: Readonly<Record<OptionOwner, ReadonlyMap<number, readonly number[]>>> = {
  section: new Map(),
  // if_speed, if_tzone, if_tsoffset, if_txspeed, if_rxspeed
  interface: new Map([
    [8, [8]],
    [10, [4]],
    [14, [8]],
    [16, [8]],
    [17, [8]],
  ]),
  // epb_flags, epb_dropcount, epb_packetid, epb_queue, epb_processid_threadid
  packet: new Map([
    [2, [4]],
    [4, [8]],
    [5, [8]],
    [6, [4]],
    [8, [4, 4]],
  ]),
};

/** Codes that the specification has given a meaning; what bytes of others mean is not known. */
const CODES_KNOWN: Readonly<Record<OptionOwner, number>> = { section: 4, interface: 18, packet: 8 };
/** opt_custom: its first bytes are the number of an enterprise. */
const OPTIONS_CUSTOM: ReadonlySet<number> = new Set([2988, 2989, 19372, 19373]);

/**
 * Copies options as they are, in little-endian order; those behind one that overruns are left out, and
 * of a big-endian capture those that nothing here knows: where their numbers lie is not known.
 */
export function copyOptions(list: OptionList, owner: OptionOwner): Uint8Array {
  const { view, littleEndian, from, to } = list;
  const end = endOfOptions(list);
  if (littleEndian) return new Uint8Array(view.buffer, from, end - from).slice();
  const copy = new OptionBytes(to - from);
  for (let at = from; at < end;) {
    const code = view.getUint16(at, false);
    const length = lengthAt(list, at);
    const value = new Uint8Array(view.buffer, at + OPTION_HEADER_SIZE, length).slice();
    const custom = OPTIONS_CUSTOM.has(code);
    if (custom || code <= CODES_KNOWN[owner]) {
      const sizes = custom ? [4] : (NUMBERS[owner].get(code) ?? verdictSizes(owner, code, value));
      reverseNumbers(value, sizes);
      copy.add(code, value);
    }
    at += OPTION_HEADER_SIZE + ((length + 3) & ~3);
  }
  return copy.bytes;
}

/** > The first octet specifies the verdict type, while the following octets contain the actual verdict data */
function verdictSizes(owner: OptionOwner, code: number, value: Uint8Array): readonly number[] {
  return owner === "packet" && code === OPTION_VERDICT && (value[0] ?? 0) > 0 ? [1, 8] : [];
}

function reverseNumbers(value: Uint8Array, sizes: readonly number[]): void {
  let at = 0;
  for (const size of sizes) {
    if (at + size <= value.length) value.subarray(at, at + size).reverse();
    at += size;
  }
}

/** Address behind the last option that is whole. */
function endOfOptions(list: OptionList): number {
  const { view, littleEndian, from, to } = list;
  let at = from;
  while (to - at >= OPTION_HEADER_SIZE && view.getUint16(at, littleEndian) !== OPTION_END) {
    const padded = (lengthAt(list, at) + 3) & ~3;
    if (padded > to - at - OPTION_HEADER_SIZE) break;
    at += OPTION_HEADER_SIZE + padded;
  }
  return at;
}

/** Longest value of an option. */
const VALUE_MAX = 0xffff;

/** Makes an `opt_comment`, whole characters of it where it is too long. */
export function commentOption(comment: string): Uint8Array {
  const value = new Uint8Array(Math.min(3 * comment.length, VALUE_MAX));
  const { written } = new TextEncoder().encodeInto(comment, value);
  return option(OPTION_COMMENT, value.subarray(0, written));
}

/** Makes an `if_tsresol` of this negative power of 10. */
export function resolutionOption(exponent: number): Uint8Array {
  return option(OPTION_IF_TSRESOL, new Uint8Array([exponent]));
}

/**
 * Makes an `epb_verdict` in the words of Linux's traffic control.
 *
 * > Linux_eBPF_TC (type octet = 1, size = 8 (64-bit unsigned integer), value = TC_ACT_* as defined in the
 * > Linux pck_cls.h include file)
 */
export function verdictOption(action: number): Uint8Array {
  return option(OPTION_VERDICT, new Uint8Array([1, action, 0, 0, 0, 0, 0, 0, 0]));
}

function option(code: number, value: Uint8Array): Uint8Array {
  const made = new OptionBytes(OPTION_HEADER_SIZE + ((value.length + 3) & ~3));
  made.add(code, value);
  return made.bytes;
}

/** Options one behind the other, in little-endian order. */
class OptionBytes {
  readonly #room: Uint8Array;
  #used = 0;

  constructor(room: number) {
    this.#room = new Uint8Array(room);
  }

  get bytes(): Uint8Array {
    return this.#room.subarray(0, this.#used);
  }

  add(code: number, value: Uint8Array): void {
    const { length } = value;
    this.#room.set([code & 0xff, code >>> 8, length & 0xff, length >>> 8], this.#used);
    this.#room.set(value, this.#used + OPTION_HEADER_SIZE);
    this.#used += OPTION_HEADER_SIZE + ((length + 3) & ~3);
  }
}

/** Address of the first option with this code; 0 without one; negated address of one that overruns. */
function findOption(list: OptionList, wanted: number): number {
  const { view, littleEndian, to } = list;
  let at = list.from;
  // > Code that reads pcapng files MUST NOT assume an option list will have an opt_endofopt option at
  // > the end; it MUST also check for the end of the block.
  while (to - at >= OPTION_HEADER_SIZE) {
    const code = view.getUint16(at, littleEndian);
    if (code === OPTION_END) return 0;
    const padded = (view.getUint16(at + 2, littleEndian) + 3) & ~3;
    if (padded > to - at - OPTION_HEADER_SIZE) return -at;
    if (code === wanted) return at;
    at += OPTION_HEADER_SIZE + padded;
  }
  return 0;
}

function lengthAt(list: OptionList, at: number): number {
  return list.view.getUint16(at + 2, list.littleEndian);
}

function text(list: OptionList, at: number): string | undefined {
  const start = at + OPTION_HEADER_SIZE;
  // A copy: decoders refuse shared memory. Some programs count the C string's NUL.
  const bytes = new Uint8Array(list.view.buffer, start, lengthAt(list, at)).slice();
  const name = new TextDecoder().decode(bytes).replace(/\0+$/u, "");
  return name === "" ? undefined : name;
}

function overrun(list: OptionList, at: number): OptionFault {
  const code = list.view.getUint16(at, list.littleEndian);
  return fault(at, `option ${code} of ${lengthAt(list, at)} bytes runs beyond its block`);
}

function fault(at: number, message: string): OptionFault {
  return { kind: "fault", at, message };
}
