/** `-m hbh` and `-m dst`: the options headers of IPv6, hop by hop and for the destination. */
import { MATCH_OPTIONS, OPTIONS_INVERT_LENGTH, OPTIONS_LENGTH } from "../../assembly/layout.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension, Module, OptionUse } from "./extension.ts";
import { needIpv6, parseNumber, refuseInvert, useOf, wordOf } from "./words.ts";

export interface OptionsMatch {
  readonly kind: "options";
  readonly name: keyof typeof HEADERS;
  /** Of the header, in bytes. */
  readonly length: { readonly bytes: number; readonly invert: boolean } | undefined;
  /** The header begins with these; the length undefined: of any. */
  readonly options: readonly { readonly type: number; readonly length: number | undefined }[];
}

/** Protocol numbers of the headers. */
const HEADERS = { hbh: 0, dst: 60 } as const;
/** > IP6T_OPTS_OPTSNR. */
const MOST = 16;
/** > The length that is any. */
const ANY_LENGTH = 0xff;

/** `-m hbh [!] --hbh-len N --hbh-opts TYPE[:LENGTH],...`, and the same as `dst`. */
export const optionsMatch: MatchExtension<OptionsMatch> = {
  kind: "options",
  id: MATCH_OPTIONS,
  modules: [makeModule("hbh"), makeModule("dst")],
  render({ name, length, options }) {
    const list = options.map((each) =>
      each.length === undefined ? `${each.type}` : `${each.type}:${each.length}`,
    );
    return [
      `-m ${name}`,
      ...(length === undefined
        ? []
        : [`${length.invert ? "! " : ""}--${name}-len ${length.bytes}`]),
      ...(list.length === 0 ? [] : [`--${name}-opts ${list.join(",")}`]),
    ].join(" ");
  },
  /** Header u8, OPTIONS_* u8, count u16, length u32; count times type u8, length u8 (0xff: any). */
  pack({ name, length, options }, writer) {
    writer.u8(HEADERS[name]);
    writer.u8(
      (length === undefined ? 0 : OPTIONS_LENGTH) |
        (length?.invert === true ? OPTIONS_INVERT_LENGTH : 0),
    );
    writer.u16(options.length);
    writer.u32(length?.bytes ?? 0);
    for (const each of options) {
      writer.u8(each.type);
      writer.u8(each.length ?? ANY_LENGTH);
    }
  },
};

function makeModule(name: keyof typeof HEADERS): Module<OptionsMatch> {
  return {
    name,
    options: { [`--${name}-len`]: 1, [`--${name}-opts`]: 1 },
    parse(uses, context) {
      needIpv6(context);
      const length = useOf(uses, `--${name}-len`);
      const list = useOf(uses, `--${name}-opts`);
      refuseInvert(list);
      return {
        kind: "options",
        name,
        length:
          length === undefined
            ? undefined
            : { bytes: parseNumber(wordOf(length), length), invert: length.invert },
        options: list === undefined ? [] : parseOptions(list),
      };
    },
  };
}

function parseOptions(use: OptionUse): OptionsMatch["options"] {
  const texts = wordOf(use).split(",");
  if (texts.length > MOST) throw new RuleError(`${use.name} has at most ${MOST} options`, use);
  return texts.map((text) => {
    const [first = "", second, ...rest] = text.split(":");
    if (rest.length > 0) throw new RuleError(`${use.name} ${text}: expected TYPE:LENGTH`, use);
    // > Of larger numbers the lower eight bits count.
    const type = parseNumber(first, use) & 0xff;
    const length = second === undefined ? ANY_LENGTH : parseNumber(second, use) & 0xff;
    if (type === 0 && second !== undefined) {
      throw new RuleError(`${use.name} ${text}: padding of one byte has no length`, use);
    }
    return { type, length: length === ANY_LENGTH ? undefined : length };
  });
}
