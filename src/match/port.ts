/** `-m tcp`, `udp`, `udplite`, `sctp`, `dccp`: ports, and what else their headers say. */
import {
  MATCH_PORT,
  PORT_CHUNKS,
  PORT_FLAGS,
  PORT_OPTION,
  PORT_TYPES,
} from "../../assembly/layout.ts";
import {
  PROTOCOL_DCCP,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
} from "../net/protocol.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension, Module, OptionUse } from "./extension.ts";
import { formatPortRange } from "./multiport.ts";
import {
  needProtocol,
  parseDecimalPorts,
  parseNumber,
  parsePort,
  parseRange,
  useOf,
  wordOf,
} from "./words.ts";

export interface PortMatch {
  readonly kind: "port";
  readonly protocol: PortedProtocol;
  readonly sport: PortCondition | undefined;
  readonly dport: PortCondition | undefined;
  /** TCP: (flags & mask) == value. */
  readonly flags?: FlagsCondition;
  /** TCP, DCCP: the header has this option. */
  readonly option?: { readonly number: number; readonly invert: boolean };
  /** SCTP: the packet's chunks. */
  readonly chunks?: ChunksCondition;
  /** DCCP: the packet's type is one of these bits. */
  readonly types?: { readonly bits: number; readonly invert: boolean };
}

export type PortedProtocol = "tcp" | "udp" | "udplite" | "sctp" | "dccp";

export interface PortCondition {
  readonly first: number;
  readonly last: number;
  readonly invert: boolean;
}

export interface FlagsCondition {
  readonly mask: number;
  readonly value: number;
  readonly invert: boolean;
}

export interface ChunksCondition {
  readonly how: "any" | "all" | "only";
  /** Undefined: every type. */
  readonly types:
    readonly { readonly type: number; readonly flags: ChunkFlags | undefined }[] | undefined;
  readonly invert: boolean;
}

/** Flag bits of a chunk that must be set and clear. */
export interface ChunkFlags {
  readonly set: number;
  readonly clear: number;
}

const PROTOCOL = {
  tcp: PROTOCOL_TCP,
  udp: PROTOCOL_UDP,
  udplite: PROTOCOL_UDPLITE,
  sctp: PROTOCOL_SCTP,
  dccp: PROTOCOL_DCCP,
} as const;

/** In the order iptables-save prints them. */
const TCP_FLAGS: readonly (readonly [name: string, bit: number])[] = [
  ["FIN", 1],
  ["SYN", 2],
  ["RST", 4],
  ["PSH", 8],
  ["ACK", 16],
  ["URG", 32],
];

const CHUNK_TYPES: readonly (readonly [name: string, type: number, flags: string])[] = [
  ["DATA", 0, "----IUBE"],
  ["INIT", 1, "--------"],
  ["INIT_ACK", 2, "--------"],
  ["SACK", 3, "--------"],
  ["HEARTBEAT", 4, "--------"],
  ["HEARTBEAT_ACK", 5, "--------"],
  ["ABORT", 6, "-------T"],
  ["SHUTDOWN", 7, "--------"],
  ["SHUTDOWN_ACK", 8, "--------"],
  ["ERROR", 9, "--------"],
  ["COOKIE_ECHO", 10, "--------"],
  ["COOKIE_ACK", 11, "--------"],
  ["ECN_ECNE", 12, "--------"],
  ["ECN_CWR", 13, "--------"],
  ["SHUTDOWN_COMPLETE", 14, "-------T"],
  ["I_DATA", 64, "----IUBE"],
  ["RE_CONFIG", 130, "--------"],
  ["PAD", 132, "--------"],
  ["ASCONF", 193, "--------"],
  ["ASCONF_ACK", 128, "--------"],
  ["FORWARD_TSN", 192, "--------"],
  ["I_FORWARD_TSN", 194, "--------"],
];

const DCCP_TYPES = [
  "REQUEST",
  "RESPONSE",
  "DATA",
  "ACK",
  "DATAACK",
  "CLOSEREQ",
  "CLOSE",
  "RESET",
  "SYNC",
  "SYNCACK",
];
/** The bit of every type that has no name. */
const DCCP_INVALID = 1 << 15;

const PORT_OPTIONS = {
  "--sport": 1,
  "--source-port": 1,
  "--dport": 1,
  "--destination-port": 1,
} as const;

const MODULE_OPTIONS: Readonly<Record<PortedProtocol, Readonly<Record<string, number>>>> = {
  tcp: { ...PORT_OPTIONS, "--syn": 0, "--tcp-flags": 2, "--tcp-option": 1 },
  udp: PORT_OPTIONS,
  udplite: PORT_OPTIONS,
  sctp: { ...PORT_OPTIONS, "--chunk-types": 2 },
  dccp: { ...PORT_OPTIONS, "--dccp-types": 1, "--dccp-option": 1 },
};

/** `-m tcp [!] --sport A[:B] [!] --dport A[:B] ...`; every port is what a missing option means. */
export const portMatch: MatchExtension<PortMatch> = {
  kind: "port",
  id: MATCH_PORT,
  modules: (["tcp", "udp", "udplite", "sctp", "dccp"] as const).map(makeModule),
  render(match) {
    const { protocol, flags, option, chunks, types } = match;
    return [
      `-m ${protocol}${renderPort("--sport", match.sport)}${renderPort("--dport", match.dport)}`,
      option === undefined ? "" : `${bangOf(option)}--${protocol}-option ${option.number}`,
      flags === undefined
        ? ""
        : `${bangOf(flags)}--tcp-flags ${flagNames(flags.mask)} ${flagNames(flags.value)}`,
      chunks === undefined ? "" : renderChunks(chunks),
      types === undefined ? "" : `${bangOf(types)}--dccp-types ${dccpNames(types.bits)}`,
    ]
      .filter((words) => words !== "")
      .join(" ");
  },
  /**
   * sport first u16, last u16, dport first u16, last u16, invert sport u8, invert dport u8, protocol u8,
   * PORT_* u8; flags mask u8, value u8, invert u8, option u8; option invert u8, chunks how u8 (0 any,
   * 1 all, 2 only), chunks invert u8, types invert u8; types u16, count of chunk types u16 (0xffff:
   * every type); then for each chunk type: type u8, flags set u8, flags clear u8, 0.
   */
  pack(match, writer) {
    for (const condition of [match.sport, match.dport]) {
      writer.u16(condition?.first ?? 0);
      writer.u16(condition?.last ?? 0xffff);
    }
    writer.u8(match.sport?.invert === true ? 1 : 0);
    writer.u8(match.dport?.invert === true ? 1 : 0);
    writer.u8(PROTOCOL[match.protocol]);
    const { flags, option, chunks, types } = match;
    writer.u8(
      (flags === undefined ? 0 : PORT_FLAGS) |
        (option === undefined ? 0 : PORT_OPTION) |
        (chunks === undefined ? 0 : PORT_CHUNKS) |
        (types === undefined ? 0 : PORT_TYPES),
    );
    writer.u8(flags?.mask ?? 0);
    writer.u8(flags?.value ?? 0);
    writer.u8(flags?.invert === true ? 1 : 0);
    writer.u8(option?.number ?? 0);
    writer.u8(option?.invert === true ? 1 : 0);
    writer.u8(["any", "all", "only"].indexOf(chunks?.how ?? "any"));
    writer.u8(chunks?.invert === true ? 1 : 0);
    writer.u8(types?.invert === true ? 1 : 0);
    writer.u16(types?.bits ?? 0);
    writer.u16(chunks === undefined ? 0 : (chunks.types?.length ?? 0xffff));
    for (const { type, flags: bits } of chunks?.types ?? []) {
      writer.u8(type);
      writer.u8(bits?.set ?? 0);
      writer.u8(bits?.clear ?? 0);
      writer.u8(0);
    }
  },
};

function makeModule(protocol: PortedProtocol): Module<PortMatch> {
  return {
    name: protocol,
    options: MODULE_OPTIONS[protocol],
    parse(options, context) {
      needProtocol(context, protocol, PROTOCOL[protocol]);
      const sport = useOf(options, "--sport", "--source-port");
      const dport = useOf(options, "--dport", "--destination-port");
      const flags = useOf(options, "--tcp-flags", "--syn");
      const option = useOf(options, "--tcp-option", "--dccp-option");
      const chunks = useOf(options, "--chunk-types");
      const types = useOf(options, "--dccp-types");
      return {
        kind: "port",
        protocol,
        sport: sport === undefined ? undefined : portCondition(sport, protocol),
        dport: dport === undefined ? undefined : portCondition(dport, protocol),
        ...(flags === undefined ? {} : { flags: flagsCondition(flags) }),
        ...(option === undefined
          ? {}
          : {
              option: {
                number: parseNumber(wordOf(option), option, 255, 1),
                invert: option.invert,
              },
            }),
        ...(chunks === undefined ? {} : { chunks: chunksCondition(chunks) }),
        ...(types === undefined ? {} : { types: { bits: dccpBits(types), invert: types.invert } }),
      };
    },
  };
}

function portCondition(use: OptionUse, protocol: PortedProtocol): PortCondition {
  const range =
    protocol === "tcp" || protocol === "sctp"
      ? parseRange(wordOf(use), use, { max: 0xffff }, (end) => parsePort(end, use))
      : parseDecimalPorts(use);
  return { ...range, invert: use.invert };
}

/** `--syn` is `--tcp-flags FIN,SYN,RST,ACK SYN`. */
function flagsCondition(use: OptionUse): FlagsCondition {
  if (use.name === "--syn") return { mask: 23, value: 2, invert: use.invert };
  const [mask = "", value = ""] = use.words;
  return { mask: flagBits(mask, use), value: flagBits(value, use), invert: use.invert };
}

function flagBits(text: string, use: OptionUse): number {
  return text.split(",").reduce((bits, name) => {
    const wanted = name.toUpperCase();
    if (wanted === "ALL") return bits | 0x3f;
    if (wanted === "NONE") return bits;
    const bit = TCP_FLAGS.find(([known]) => known === wanted)?.[1];
    if (bit === undefined) throw new RuleError(`there is no TCP flag ${name}`, use);
    return bits | bit;
  }, 0);
}

function flagNames(bits: number): string {
  const names = TCP_FLAGS.filter(([, bit]) => (bits & bit) !== 0).map(([name]) => name);
  return names.length === 0 ? "NONE" : names.join(",");
}

function chunksCondition(use: OptionUse): ChunksCondition {
  const [how = "", list = ""] = use.words;
  if (how !== "any" && how !== "all" && how !== "only") {
    throw new RuleError(`${use.name} ${how}: expected any, all or only`, use);
  }
  if (list.toUpperCase() === "ALL") return { how, types: undefined, invert: use.invert };
  if (list.toUpperCase() === "NONE") return { how, types: [], invert: use.invert };
  const given = list
    .split(",")
    .filter((each) => each !== "")
    .map((each) => chunkType(each, use));
  if (given.length === 0) throw new RuleError(`${use.name}: expected chunk types`, use);
  // > A bit for each type; a type that stands twice has the flags of both.
  const numbers = [...new Set(given.map(({ type }) => type))].sort((a, b) => a - b);
  const types = numbers.map((number) => {
    const flags = given.flatMap((each) => (each.type === number ? (each.flags ?? []) : []));
    return { type: number, flags: joinFlags(flags) };
  });
  return { how, types, invert: use.invert };
}

function joinFlags(all: readonly ChunkFlags[]): ChunkFlags | undefined {
  if (all.length === 0) return undefined;
  const set = all.reduce((bits, each) => bits | each.set, 0);
  return { set, clear: all.reduce((bits, each) => bits | each.clear, 0) & ~set };
}

/** `DATA:Be`: a capital letter for a bit that is set, a small one for a bit that is clear. */
function chunkType(text: string, use: OptionUse): { type: number; flags: ChunkFlags | undefined } {
  const [name = "", letters] = text.split(":");
  const known = CHUNK_TYPES.find(([each]) => each === name.toUpperCase());
  if (known === undefined) throw new RuleError(`there is no SCTP chunk type ${name}`, use);
  const [, type, layout] = known;
  if (letters === undefined || letters === "") return { type, flags: undefined };
  let set = 0;
  let clear = 0;
  for (const letter of letters) {
    const at = layout.indexOf(letter.toUpperCase());
    if (at < 0 || letter === "-") throw new RuleError(`${name} has no flag ${letter}`, use);
    const bit = 1 << (7 - at);
    if (letter === letter.toUpperCase()) set |= bit;
    else clear |= bit;
  }
  return { type, flags: { set, clear } };
}

function renderChunks({ how, types, invert }: ChunksCondition): string {
  const names = types?.map(renderChunkType) ?? ["ALL"];
  const list = names.length === 0 ? "NONE" : names.join(",");
  return `${invert ? "! " : ""}--chunk-types ${how} ${list}`;
}

function renderChunkType({ type, flags }: { type: number; flags: ChunkFlags | undefined }): string {
  const known = CHUNK_TYPES.find(([, number]) => number === type);
  const [name, , layout] = known ?? [`${type}`, type, "--------"];
  if (flags === undefined) return name;
  const letters = [7, 6, 5, 4, 3, 2, 1, 0].map((bit) => {
    const letter = layout.charAt(7 - bit);
    if ((flags.set & (1 << bit)) !== 0) return letter;
    return (flags.clear & (1 << bit)) !== 0 ? letter.toLowerCase() : "";
  });
  return `${name}:${letters.join("")}`;
}

function dccpBits(use: OptionUse): number {
  return wordOf(use)
    .split(",")
    .reduce((bits, name) => {
      const wanted = name.toUpperCase();
      const type = DCCP_TYPES.indexOf(wanted);
      if (type < 0 && wanted !== "INVALID")
        throw new RuleError(`there is no DCCP type ${name}`, use);
      return bits | (type < 0 ? DCCP_INVALID : 1 << type);
    }, 0);
}

function dccpNames(bits: number): string {
  const names = DCCP_TYPES.filter((_, type) => (bits & (1 << type)) !== 0);
  return [...names, ...((bits & DCCP_INVALID) === 0 ? [] : ["INVALID"])].join(",");
}

function bangOf({ invert }: { readonly invert: boolean }): string {
  return invert ? "! " : "";
}

function renderPort(option: string, condition: PortCondition | undefined): string {
  if (condition === undefined) return "";
  if (condition.first === 0 && condition.last === 0xffff && !condition.invert) return "";
  return ` ${bangOf(condition)}${option} ${formatPortRange(condition)}`;
}
