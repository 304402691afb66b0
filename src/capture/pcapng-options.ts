/**
 * The options of pcapng blocks, and what an Interface Description Block says with them. An option that
 * runs beyond its block or has an impossible value is named; no default is taken in its place.
 */
import { clockOf, type Clock } from "./timestamp.ts";

const OPTION_END = 0;
const OPTION_IF_NAME = 2;
const OPTION_IF_TSRESOL = 9;
const OPTION_IF_TSOFFSET = 14;
/** epb_flags and pack_flags. */
const OPTION_FLAGS = 2;
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
