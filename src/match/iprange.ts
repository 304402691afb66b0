/** `-m iprange`: the source or destination address lies between two addresses. */
import {
  IPRANGE_DST,
  IPRANGE_INVERT_DST,
  IPRANGE_INVERT_SRC,
  IPRANGE_SRC,
  MATCH_IPRANGE,
} from "../../assembly/layout.ts";
import { formatAddress } from "../net/address.ts";
import type { Address, Family } from "../net/address.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension, OptionUse } from "./extension.ts";
import { parseRuleAddress, useOf, wordOf } from "./words.ts";

export interface IprangeMatch {
  readonly kind: "iprange";
  /** Undefined: not asked. */
  readonly source: AddressRange | undefined;
  readonly destination: AddressRange | undefined;
}

/** Both ends belong to it; what ends before it starts holds nothing. */
export interface AddressRange {
  readonly first: Address;
  readonly last: Address;
  readonly invert: boolean;
}

/** `-m iprange [!] --src-range A-B [!] --dst-range A-B`. */
export const iprangeMatch: MatchExtension<IprangeMatch> = {
  kind: "iprange",
  id: MATCH_IPRANGE,
  modules: [
    {
      name: "iprange",
      options: { "--src-range": 1, "--dst-range": 1 },
      parse(options, { family }) {
        const source = useOf(options, "--src-range");
        const destination = useOf(options, "--dst-range");
        if (source === undefined && destination === undefined) {
          throw new RuleError("expected --src-range or --dst-range", undefined);
        }
        return {
          kind: "iprange",
          source: source === undefined ? undefined : readRange(source, family),
          destination: destination === undefined ? undefined : readRange(destination, family),
        };
      },
    },
  ],
  render({ source, destination }) {
    return `-m iprange${renderRange("--src-range", source)}${renderRange("--dst-range", destination)}`;
  },
  /** Flags u8 (IPRANGE_*), three zeros, then source first and last, destination first and last, 4 words each. */
  pack({ source, destination }, writer) {
    writer.u8(
      (source === undefined ? 0 : IPRANGE_SRC) |
        (destination === undefined ? 0 : IPRANGE_DST) |
        (source?.invert === true ? IPRANGE_INVERT_SRC : 0) |
        (destination?.invert === true ? IPRANGE_INVERT_DST : 0),
    );
    writer.u8(0);
    writer.u16(0);
    for (const range of [source, destination]) {
      for (const end of [range?.first, range?.last]) {
        for (const word of end?.words ?? [0, 0, 0, 0]) writer.u32(word);
      }
    }
  },
};

function readRange(use: OptionUse, family: Family): AddressRange {
  const [low = "", high, ...rest] = wordOf(use).split("-");
  if (rest.length > 0) throw new RuleError(`${use.name}: expected ADDRESS-ADDRESS`, use);
  const first = parseRuleAddress(low, use, family);
  const last = high === undefined ? first : parseRuleAddress(high, use, family);
  return { first, last, invert: use.invert };
}

function renderRange(option: string, range: AddressRange | undefined): string {
  if (range === undefined) return "";
  const bang = range.invert ? "! " : "";
  return ` ${bang}${option} ${formatAddress(range.first)}-${formatAddress(range.last)}`;
}
