/** `-m rt`: the routing header of IPv6. */
import {
  MATCH_RT,
  RT_ADDRESSES,
  RT_INVERT_LENGTH,
  RT_INVERT_TYPE,
  RT_LENGTH,
  RT_LOOSE,
  RT_RESERVED,
  RT_TYPE,
} from "../../assembly/layout.ts";
import { formatAddress } from "../net/address.ts";
import type { Address } from "../net/address.ts";
import { RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import { packWordRange, parseWordRange, renderWordRange } from "./word-range.ts";
import type { WordRange } from "./word-range.ts";
import { needIpv6, parseNumber, parseRuleAddress, refuseInvert, useOf, wordOf } from "./words.ts";

/** `invert` is of the segments. */
export interface RtMatch extends Invertible {
  readonly kind: "rt";
  readonly type: NumberCondition | undefined;
  readonly segmentsLeft: WordRange;
  /** Of the header, in bytes. */
  readonly length: NumberCondition | undefined;
  /** Type 0: its reserved field is zero. */
  readonly reserved: boolean;
  /** Type 0: it names these addresses and no others. */
  readonly addresses: readonly Address[];
  /** It may name others between them. */
  readonly loose: boolean;
}

interface NumberCondition extends Invertible {
  readonly value: number;
}

/** > IP6T_RT_HOPS. */
const MOST = 16;

/** `-m rt [!] --rt-type T [!] --rt-segsleft A[:B] [!] --rt-len N --rt-0-res --rt-0-addrs A,... --rt-0-not-strict`. */
export const rtMatch: MatchExtension<RtMatch> = {
  kind: "rt",
  id: MATCH_RT,
  modules: [
    {
      name: "rt",
      options: {
        "--rt-type": 1,
        "--rt-segsleft": 1,
        "--rt-len": 1,
        "--rt-0-res": 0,
        "--rt-0-addrs": 1,
        "--rt-0-not-strict": 0,
      },
      parse(options, context) {
        needIpv6(context);
        const type = useOf(options, "--rt-type");
        const segments = useOf(options, "--rt-segsleft");
        const length = useOf(options, "--rt-len");
        const reserved = useOf(options, "--rt-0-res");
        const addresses = useOf(options, "--rt-0-addrs");
        const loose = useOf(options, "--rt-0-not-strict");
        refuseInvert(reserved, addresses, loose);
        if (loose !== undefined && addresses === undefined) {
          throw new RuleError("--rt-0-not-strict needs --rt-0-addrs", loose);
        }
        const condition = type === undefined ? undefined : numberCondition(type);
        const ofTypeZero = reserved ?? addresses;
        if (ofTypeZero !== undefined && (condition?.value !== 0 || condition.invert)) {
          throw new RuleError(`${ofTypeZero.name} needs --rt-type 0`, ofTypeZero);
        }
        return {
          kind: "rt",
          type: condition,
          segmentsLeft: parseWordRange(segments),
          length: length === undefined ? undefined : numberCondition(length),
          reserved: reserved !== undefined,
          addresses: addresses === undefined ? [] : parseAddresses(addresses),
          loose: loose !== undefined,
          invert: segments?.invert ?? false,
        };
      },
    },
  ],
  render: ({ type, segmentsLeft, length, reserved, addresses, loose, invert }) =>
    [
      "-m rt",
      ...renderNumber("--rt-type", type),
      ...renderWordRange("--rt-segsleft", segmentsLeft, invert),
      ...renderNumber("--rt-len", length),
      ...(reserved ? ["--rt-0-res"] : []),
      ...(addresses.length === 0
        ? []
        : [`--rt-0-addrs ${addresses.map((each) => formatAddress(each)).join(",")}`]),
      ...(loose ? ["--rt-0-not-strict"] : []),
    ].join(" "),
  /** First and last of segments u32, type u32, length u32, RT_* u8, count u8, 0 u16; count times 4 words. */
  pack({ type, segmentsLeft, length, reserved, addresses, loose }, writer) {
    packWordRange(segmentsLeft, writer);
    writer.u32(type?.value ?? 0);
    writer.u32(length?.value ?? 0);
    writer.u8(
      (type === undefined ? 0 : RT_TYPE) |
        (type?.invert === true ? RT_INVERT_TYPE : 0) |
        (length === undefined ? 0 : RT_LENGTH) |
        (length?.invert === true ? RT_INVERT_LENGTH : 0) |
        (reserved ? RT_RESERVED : 0) |
        (addresses.length === 0 ? 0 : RT_ADDRESSES) |
        (loose ? RT_LOOSE : 0),
    );
    writer.u8(addresses.length);
    writer.u16(0);
    for (const { words } of addresses) for (const word of words) writer.u32(word);
  },
};

function numberCondition(use: OptionUse): NumberCondition {
  return { value: parseNumber(wordOf(use), use), invert: use.invert };
}

function renderNumber(option: string, condition: NumberCondition | undefined): string[] {
  if (condition === undefined) return [];
  return [`${condition.invert ? "! " : ""}${option} ${condition.value}`];
}

function parseAddresses(use: OptionUse): Address[] {
  const texts = wordOf(use).split(",");
  if (texts.length > MOST) throw new RuleError(`${use.name} has at most ${MOST} addresses`, use);
  return texts.map((text) => parseRuleAddress(text, use, 6));
}
