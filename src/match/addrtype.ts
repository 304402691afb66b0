/** `-m addrtype`: what kind of address the source or destination is to the node. */
import {
  ADDRTYPE_INVERT_DST,
  ADDRTYPE_INVERT_SRC,
  ADDRTYPE_LIMIT_IN,
  ADDRTYPE_LIMIT_OUT,
  MATCH_ADDRTYPE,
} from "../../assembly/layout.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension, OptionUse, RuleContext } from "./extension.ts";
import { refuseInvert, useOf, wordOf } from "./words.ts";

export interface AddrtypeMatch {
  readonly kind: "addrtype";
  /** Any of them; undefined: not asked. */
  readonly source: AddressTypes | undefined;
  readonly destination: AddressTypes | undefined;
  /** Only what the in- or out-interface itself has counts. */
  readonly limit: "in" | "out" | undefined;
}

export interface AddressTypes {
  readonly types: readonly AddressType[];
  readonly invert: boolean;
}

/** A type's place is its bit (RTN_*). */
const TYPES = [
  "UNSPEC",
  "UNICAST",
  "LOCAL",
  "BROADCAST",
  "ANYCAST",
  "MULTICAST",
  "BLACKHOLE",
  "UNREACHABLE",
  "PROHIBIT",
  "THROW",
  "NAT",
  "XRESOLVE",
] as const;

export type AddressType = (typeof TYPES)[number];

/** > Types that IPv6 does not have (xt_addrtype, checkentry). */
const REFUSED_IPV6: ReadonlySet<AddressType> = new Set(["BLACKHOLE", "PROHIBIT", "THROW", "NAT"]);

/** `-m addrtype [!] --src-type LOCAL [!] --dst-type LOCAL [--limit-iface-in|--limit-iface-out]`. */
export const addrtypeMatch: MatchExtension<AddrtypeMatch> = {
  kind: "addrtype",
  id: MATCH_ADDRTYPE,
  modules: [
    {
      name: "addrtype",
      options: { "--src-type": 1, "--dst-type": 1, "--limit-iface-in": 0, "--limit-iface-out": 0 },
      parse(options, context) {
        const source = useOf(options, "--src-type");
        const destination = useOf(options, "--dst-type");
        if (source === undefined && destination === undefined) {
          throw new RuleError("expected --src-type or --dst-type", undefined);
        }
        const limitIn = useOf(options, "--limit-iface-in");
        const limitOut = useOf(options, "--limit-iface-out");
        refuseInvert(limitIn, limitOut);
        if (limitIn !== undefined && limitOut !== undefined) {
          throw new RuleError(
            "--limit-iface-in and --limit-iface-out exclude each other",
            limitOut,
          );
        }
        refuseLimit(limitIn, ["POSTROUTING", "OUTPUT"], context);
        refuseLimit(limitOut, ["PREROUTING", "INPUT"], context);
        return {
          kind: "addrtype",
          source: source === undefined ? undefined : readTypes(source, context),
          destination: destination === undefined ? undefined : readTypes(destination, context),
          limit: limitIn !== undefined ? "in" : limitOut !== undefined ? "out" : undefined,
        };
      },
    },
  ],
  render({ source, destination, limit }) {
    return [
      "-m addrtype",
      ...renderTypes("--src-type", source),
      ...renderTypes("--dst-type", destination),
      ...(limit === undefined ? [] : [`--limit-iface-${limit}`]),
    ].join(" ");
  },
  /** Source types u16, destination types u16, flags u8 (ADDRTYPE_*), three zeros. */
  pack({ source, destination, limit }, writer) {
    writer.u16(typeBits(source));
    writer.u16(typeBits(destination));
    writer.u8(
      (source?.invert === true ? ADDRTYPE_INVERT_SRC : 0) |
        (destination?.invert === true ? ADDRTYPE_INVERT_DST : 0) |
        (limit === "in" ? ADDRTYPE_LIMIT_IN : 0) |
        (limit === "out" ? ADDRTYPE_LIMIT_OUT : 0),
    );
  },
};

function readTypes(use: OptionUse, { family }: RuleContext): AddressTypes {
  const types = wordOf(use)
    .split(",")
    .map((text) => {
      const type = TYPES.find((each) => each === text.toUpperCase());
      if (type === undefined) throw new RuleError(`there is no address type ${text}`, use);
      if (family === 6 && (REFUSED_IPV6.has(type) || type === "BROADCAST")) {
        throw new RuleError(`IPv6 has no address type ${type}`, use);
      }
      return type;
    });
  return { types, invert: use.invert };
}

function refuseLimit(
  use: OptionUse | undefined,
  chains: readonly string[],
  context: RuleContext,
): void {
  if (use !== undefined && chains.includes(context.chain)) {
    throw new RuleError(`${use.name} cannot stand in ${context.chain}`, use);
  }
}

function renderTypes(option: string, given: AddressTypes | undefined): string[] {
  if (given === undefined) return [];
  const listed = TYPES.filter((type) => given.types.includes(type)).join(",");
  return [`${given.invert ? "! " : ""}${option} ${listed}`];
}

function typeBits(given: AddressTypes | undefined): number {
  return (given?.types ?? []).reduce((bits, type) => bits | (1 << TYPES.indexOf(type)), 0);
}
