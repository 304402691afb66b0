/** `-m conntrack`: what connection tracking knows of the packet and its connection. */
import {
  CONNTRACK_ADDRESSES,
  CONNTRACK_DIRECTION,
  CONNTRACK_EXPIRE,
  CONNTRACK_PORTS,
  CONNTRACK_PROTOCOL,
  CONNTRACK_STATE,
  CONNTRACK_STATUS,
  CT_DNAT,
  CT_ESTABLISHED,
  CT_INVALID,
  CT_NEW,
  CT_RELATED,
  CT_SNAT,
  CT_UNTRACKED,
  MATCH_CONNTRACK,
  STATUS_ASSURED,
  STATUS_CONFIRMED,
  STATUS_EXPECTED,
  STATUS_SEEN_REPLY,
} from "../../assembly/layout.ts";
import { formatAddress } from "../net/address.ts";
import type { Address, Family, Words } from "../net/address.ts";
import { bang, RuleError } from "./extension.ts";
import type { MatchExtension, OptionUse, PayloadWriter } from "./extension.ts";
import { formatPortRange } from "./multiport.ts";
import type { PortRange } from "./multiport.ts";
import {
  maskBits,
  parseAddressMask,
  parseDecimalPorts,
  parseProtocol,
  parseRange,
  refuseInvert,
  useOf,
  wordOf,
} from "./words.ts";

export type CtState = "INVALID" | "NEW" | "RELATED" | "ESTABLISHED" | "UNTRACKED" | "SNAT" | "DNAT";
export type CtStatus = "EXPECTED" | "SEEN_REPLY" | "ASSURED" | "CONFIRMED";
export type CtSide = "origsrc" | "origdst" | "replsrc" | "repldst";

export interface ConntrackMatch {
  readonly kind: "conntrack";
  /** Any of them; undefined: not asked. */
  readonly states: readonly CtState[] | undefined;
  /** Negates the states, which most rules ask for and nothing else. */
  readonly invert: boolean;
  readonly protocol?: { readonly number: number; readonly invert: boolean };
  /** Any of them; none (`NONE`): never holds, and always when inverted. */
  readonly status?: { readonly names: readonly CtStatus[]; readonly invert: boolean };
  readonly direction?: { readonly name: "ORIGINAL" | "REPLY"; readonly invert: boolean };
  /** Seconds left. */
  readonly expire?: { readonly first: number; readonly last: number; readonly invert: boolean };
  /** By side: the connection's address. */
  readonly addresses?: Readonly<Partial<Record<CtSide, CtAddress>>>;
  /** By side: the connection's port. */
  readonly ports?: Readonly<Partial<Record<CtSide, PortRange & { readonly invert: boolean }>>>;
}

export interface CtAddress {
  readonly address: Address;
  readonly mask: Words;
  readonly invert: boolean;
}

/** In the order of libxt_conntrack's state_print. */
const BIT_BY_STATE: Readonly<Record<CtState, number>> = {
  INVALID: CT_INVALID,
  NEW: CT_NEW,
  RELATED: CT_RELATED,
  ESTABLISHED: CT_ESTABLISHED,
  UNTRACKED: CT_UNTRACKED,
  SNAT: CT_SNAT,
  DNAT: CT_DNAT,
};

const BIT_BY_STATUS: Readonly<Record<CtStatus, number>> = {
  EXPECTED: STATUS_EXPECTED,
  SEEN_REPLY: STATUS_SEEN_REPLY,
  ASSURED: STATUS_ASSURED,
  CONFIRMED: STATUS_CONFIRMED,
};

const SIDES: readonly CtSide[] = ["origsrc", "origdst", "replsrc", "repldst"];

/** `-m conntrack [!] --ctstate A,B ...`, the states always in the same order. */
export const conntrackMatch: MatchExtension<ConntrackMatch> = {
  kind: "conntrack",
  id: MATCH_CONNTRACK,
  modules: [
    {
      name: "conntrack",
      options: {
        "--ctstate": 1,
        "--ctproto": 1,
        "--ctstatus": 1,
        "--ctdir": 1,
        "--ctexpire": 1,
        ...Object.fromEntries(
          SIDES.flatMap((side) => [
            [`--ct${side}`, 1],
            [`--ct${side}port`, 1],
          ]),
        ),
      },
      parse(options, { family }) {
        if (options.length === 0) throw new RuleError("expected an option", undefined);
        const states = useOf(options, "--ctstate");
        const protocol = useOf(options, "--ctproto");
        const status = useOf(options, "--ctstatus");
        const direction = useOf(options, "--ctdir");
        const expire = useOf(options, "--ctexpire");
        const addresses = readSides(
          options,
          (side) => `--ct${side}`,
          (use) => ({
            ...parseAddressMask(wordOf(use), use, family),
            invert: use.invert,
          }),
        );
        const ports = readSides(
          options,
          (side) => `--ct${side}port`,
          (use) => ({
            ...parseDecimalPorts(use),
            invert: use.invert,
          }),
        );
        return {
          kind: "conntrack",
          states: states === undefined ? undefined : readNames(states, isState),
          invert: states?.invert ?? false,
          ...(protocol === undefined
            ? {}
            : { protocol: { number: readProtocol(protocol), invert: protocol.invert } }),
          ...(status === undefined
            ? {}
            : {
                status: {
                  names: wordOf(status).toUpperCase() === "NONE" ? [] : readNames(status, isStatus),
                  invert: status.invert,
                },
              }),
          ...(direction === undefined ? {} : { direction: readDirection(direction) }),
          ...(expire === undefined
            ? {}
            : {
                expire: {
                  ...parseRange(wordOf(expire), expire, { max: 0xffffffff, reversible: true }),
                  invert: expire.invert,
                },
              }),
          ...(addresses === undefined ? {} : { addresses }),
          ...(ports === undefined ? {} : { ports }),
        };
      },
    },
  ],
  render(match, family) {
    const { states, protocol, status, direction, expire, addresses, ports } = match;
    const texts = [
      states === undefined ? "" : `${bang(match)}--ctstate ${listed(BIT_BY_STATE, states)}`,
      protocol === undefined ? "" : `${bang(protocol)}--ctproto ${protocol.number}`,
      ...SIDES.map((side) => renderAddress(side, addresses?.[side], family)),
      ...SIDES.map((side) => renderPorts(side, ports?.[side])),
      status === undefined
        ? ""
        : `${bang(status)}--ctstatus ${status.names.length === 0 ? "NONE" : listed(BIT_BY_STATUS, status.names)}`,
      expire === undefined ? "" : `${bang(expire)}--ctexpire ${formatPortRange(expire)}`,
      direction === undefined ? "" : `${bang(direction)}--ctdir ${direction.name}`,
    ];
    return `-m conntrack ${texts.filter((text) => text !== "").join(" ")}`;
  },
  /**
   * Criteria u8 (CONNTRACK_*), inverted criteria u8, states u8, protocol u8; status u8, direction u8
   * (0 original, 1 reply), sides with an address u8, inverted u8; sides with a port u8, inverted u8, 0 u16;
   * expire first u32, last u32; then for each side in order: address 4 words, mask 4 words, port first
   * u16, last u16.
   */
  pack(match, writer) {
    const { states, protocol, status, direction, expire, addresses = {}, ports = {} } = match;
    const has = (criterion: number, value: unknown): number =>
      value === undefined ? 0 : criterion;
    const not = (criterion: number, value: { readonly invert: boolean } | undefined): number =>
      value?.invert === true ? criterion : 0;
    const anyOf = (sides: object): true | undefined =>
      Object.keys(sides).length > 0 ? true : undefined;
    writer.u8(
      has(CONNTRACK_STATE, states) |
        has(CONNTRACK_PROTOCOL, protocol) |
        has(CONNTRACK_STATUS, status) |
        has(CONNTRACK_DIRECTION, direction) |
        has(CONNTRACK_EXPIRE, expire) |
        has(CONNTRACK_ADDRESSES, anyOf(addresses)) |
        has(CONNTRACK_PORTS, anyOf(ports)),
    );
    writer.u8(
      not(CONNTRACK_STATE, match) |
        not(CONNTRACK_PROTOCOL, protocol) |
        not(CONNTRACK_STATUS, status) |
        not(CONNTRACK_DIRECTION, direction) |
        not(CONNTRACK_EXPIRE, expire),
    );
    writer.u8((states ?? []).reduce((bits, state) => bits | BIT_BY_STATE[state], 0));
    writer.u8(protocol?.number ?? 0);
    writer.u8((status?.names ?? []).reduce((bits, name) => bits | BIT_BY_STATUS[name], 0));
    writer.u8(direction?.name === "REPLY" ? 1 : 0);
    packSides(addresses, writer);
    packSides(ports, writer);
    writer.u16(0);
    writer.u32(expire?.first ?? 0);
    writer.u32(expire?.last ?? 0);
    for (const side of SIDES) {
      const { address, mask } = addresses[side] ?? {};
      for (const word of address?.words ?? [0, 0, 0, 0]) writer.u32(word);
      for (const word of mask ?? [0, 0, 0, 0]) writer.u32(word);
      writer.u16(ports[side]?.first ?? 0);
      writer.u16(ports[side]?.last ?? 0);
    }
  },
};

function readSides<T>(
  options: readonly OptionUse[],
  nameOf: (side: CtSide) => string,
  read: (use: OptionUse) => T,
): Partial<Record<CtSide, T>> | undefined {
  const found = SIDES.flatMap((side) => {
    const use = useOf(options, nameOf(side));
    return use === undefined ? [] : [[side, read(use)] as const];
  });
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

function readNames<T extends string>(use: OptionUse, known: (text: string) => text is T): T[] {
  return wordOf(use)
    .split(",")
    .map((text) => {
      const name = text.toUpperCase();
      if (!known(name)) throw new RuleError(`${use.name}: there is no ${text}`, use);
      return name;
    });
}

function isState(text: string): text is CtState {
  return Object.hasOwn(BIT_BY_STATE, text);
}

function isStatus(text: string): text is CtStatus {
  return Object.hasOwn(BIT_BY_STATUS, text);
}

function readProtocol(use: OptionUse): number {
  const protocol = parseProtocol(wordOf(use), use);
  if (protocol === 0) throw new RuleError("--ctproto 0 would match every protocol", use);
  return protocol;
}

function readDirection(use: OptionUse): { name: "ORIGINAL" | "REPLY"; invert: boolean } {
  const name = wordOf(use).toUpperCase();
  refuseInvert(use);
  if (name !== "ORIGINAL" && name !== "REPLY") {
    throw new RuleError("--ctdir: expected ORIGINAL or REPLY", use);
  }
  return { name, invert: false };
}

function listed(bits: Readonly<Record<string, number>>, names: readonly string[]): string {
  return Object.keys(bits)
    .filter((name) => names.includes(name))
    .join(",");
}

function renderAddress(side: CtSide, given: CtAddress | undefined, family: Family): string {
  if (given === undefined) return "";
  const { address, mask } = given;
  const bits = maskBits(mask, family);
  const whole = bits === (family === 4 ? 32 : 128);
  const tail = whole ? "" : `/${bits ?? formatAddress({ family, words: mask })}`;
  return `${bang(given)}--ct${side} ${formatAddress(address)}${tail}`;
}

function renderPorts(
  side: CtSide,
  given: (PortRange & { readonly invert: boolean }) | undefined,
): string {
  return given === undefined ? "" : `${bang(given)}--ct${side}port ${formatPortRange(given)}`;
}

function packSides(
  sides: Readonly<Partial<Record<CtSide, { readonly invert: boolean }>>>,
  writer: PayloadWriter,
): void {
  const bits = (test: (side: { readonly invert: boolean }) => boolean): number =>
    SIDES.reduce((sum, side, index) => {
      const given = sides[side];
      return given !== undefined && test(given) ? sum | (1 << index) : sum;
    }, 0);
  writer.u8(bits(() => true));
  writer.u8(bits(({ invert }) => invert));
}
