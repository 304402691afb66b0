/** `-m srh`: the segment routing header of IPv6. */
import { MATCH_SRH } from "../../assembly/layout.ts";
import { formatAddress } from "../net/address.ts";
import type { Address, Words } from "../net/address.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import {
  maskBits,
  needIpv6,
  parseMask,
  parseNumber,
  parseRuleAddress,
  useOf,
  wordOf,
} from "./words.ts";
import { prefixMask } from "../net/address.ts";

export interface SrhMatch {
  readonly kind: "srh";
  /** In the order in which they are printed; all must hold. */
  readonly numbers: readonly (Invertible & { readonly option: NumberOption })[];
  /** > Comparisons of one field share their number: the last one given. */
  readonly values: Readonly<Record<Field, number>>;
  readonly segments: readonly (Invertible & {
    readonly option: SegmentOption;
    readonly address: Address;
    readonly mask: Words;
  })[];
}

type Field = "next-hdr" | "hdr-len" | "segs-left" | "last-entry" | "tag";

const FIELDS: readonly Field[] = ["next-hdr", "hdr-len", "segs-left", "last-entry", "tag"];
const COMPARED: readonly Field[] = ["hdr-len", "segs-left", "last-entry"];

const NUMBER_OPTIONS = [
  "--srh-next-hdr",
  "--srh-hdr-len-eq",
  "--srh-hdr-len-gt",
  "--srh-hdr-len-lt",
  "--srh-segs-left-eq",
  "--srh-segs-left-gt",
  "--srh-segs-left-lt",
  "--srh-last-entry-eq",
  "--srh-last-entry-gt",
  "--srh-last-entry-lt",
  "--srh-tag",
] as const;
type NumberOption = (typeof NUMBER_OPTIONS)[number];

/** The segment before the one under way, the one behind it, the last one. */
const SEGMENT_OPTIONS = ["--srh-psid", "--srh-nsid", "--srh-lsid"] as const;
type SegmentOption = (typeof SEGMENT_OPTIONS)[number];

/** `-m srh`, with options for each field of the header. */
export const srhMatch: MatchExtension<SrhMatch> = {
  kind: "srh",
  id: MATCH_SRH,
  modules: [
    {
      name: "srh",
      options: Object.fromEntries([...NUMBER_OPTIONS, ...SEGMENT_OPTIONS].map((name) => [name, 1])),
      parse(options, context) {
        needIpv6(context);
        const values = { "next-hdr": 0, "hdr-len": 0, "segs-left": 0, "last-entry": 0, tag: 0 };
        for (const use of options) {
          const field = FIELDS.find((each) => use.name.startsWith(`--srh-${each}`));
          if (field === undefined) continue;
          values[field] = parseNumber(wordOf(use), use, field === "tag" ? 0xffff : 0xff);
        }
        return {
          kind: "srh",
          values,
          numbers: NUMBER_OPTIONS.flatMap((option) => {
            const use = useOf(options, option);
            return use === undefined ? [] : [{ option, invert: use.invert }];
          }),
          segments: SEGMENT_OPTIONS.flatMap((option) => {
            const use = useOf(options, option);
            return use === undefined ? [] : [{ option, ...parseSegment(use) }];
          }),
        };
      },
    },
  ],
  render: ({ numbers, values, segments }) =>
    [
      "-m srh",
      ...numbers.map(
        ({ option, invert }) => `${invert ? "! " : ""}${option} ${values[fieldOf(option)]}`,
      ),
      ...segments.map(
        ({ option, address, mask, invert }) =>
          `${invert ? "! " : ""}${option} ${formatAddress(address)}/${maskBits(mask, 6) ?? formatAddress({ family: 6, words: mask })}`,
      ),
    ].join(" "),
  /**
   * What is asked u16, a bit for each of NUMBER_OPTIONS and then of SEGMENT_OPTIONS; inverted u16; next
   * header, length, segments left, last entry u8; tag u16, 0 u16; for each segment address and mask 4 words.
   */
  pack({ numbers, values, segments }, writer) {
    const all: readonly string[] = [...NUMBER_OPTIONS, ...SEGMENT_OPTIONS];
    const uses = [...numbers, ...segments];
    const bits = (some: typeof uses): number =>
      some.reduce((sum, { option }) => sum | (1 << all.indexOf(option)), 0);
    writer.u16(bits(uses));
    writer.u16(bits(uses.filter(({ invert }) => invert)));
    writer.u8(values["next-hdr"]);
    for (const field of COMPARED) writer.u8(values[field]);
    writer.u16(values.tag);
    writer.u16(0);
    for (const option of SEGMENT_OPTIONS) {
      const segment = segments.find((each) => each.option === option);
      for (const words of [segment?.address.words, segment?.mask]) {
        for (const word of words ?? [0, 0, 0, 0]) writer.u32(word);
      }
    }
  },
};

function fieldOf(option: NumberOption): Field {
  return FIELDS.find((field) => option.startsWith(`--srh-${field}`)) ?? "tag";
}

/** > The address is not masked. */
function parseSegment(use: OptionUse): { address: Address; mask: Words; invert: boolean } {
  const [address = "", mask] = wordOf(use).split("/");
  return {
    address: parseRuleAddress(address, use, 6),
    mask: mask === undefined ? prefixMask(128) : parseMask(mask, use, 6),
    invert: use.invert,
  };
}
