/** `-m icmp` and `-m icmp6`: ICMP type, and code where given. */
import { ICMP_TYPE_ANY, MATCH_ICMP } from "../../assembly/layout.ts";
import type { Family } from "../net/address.ts";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../net/protocol.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import { needProtocol, needUse, parseNumber, wordOf } from "./words.ts";

export interface IcmpMatch extends Invertible {
  readonly kind: "icmp";
  /** 4: ICMP; 6: ICMPv6. */
  readonly family: Family;
  /** Undefined: every type. */
  readonly type: number | undefined;
  /** Undefined: every code. */
  readonly code: number | undefined;
}

/**
 * `-m icmp [!] --icmp-type T[/C]`, `-m icmp6 [!] --icmpv6-type T[/C]`. ip6tables has no word for every
 * type; `-p ipv6-icmp`, which a rule with this match has anyway, says the same.
 */
export const icmpMatch: MatchExtension<IcmpMatch> = {
  kind: "icmp",
  id: MATCH_ICMP,
  modules: [
    {
      name: "icmp",
      options: { "--icmp-type": 1 },
      parse(options, context) {
        needProtocol(context, "icmp", PROTOCOL_ICMP);
        const use = needUse(options, "--icmp-type");
        return { kind: "icmp", family: 4, ...parseIcmpType(use, 4), invert: use.invert };
      },
    },
    {
      name: "icmp6",
      options: { "--icmpv6-type": 1 },
      parse(options, context) {
        needProtocol(context, "ipv6-icmp", PROTOCOL_ICMPV6);
        const use = needUse(options, "--icmpv6-type");
        return { kind: "icmp", family: 6, ...parseIcmpType(use, 6), invert: use.invert };
      },
    },
  ],
  render(match) {
    const code = match.code === undefined ? "" : `/${match.code}`;
    if (match.family === 4) {
      return `-m icmp ${bang(match)}--icmp-type ${match.type ?? "any"}${code}`;
    }
    return match.type === undefined
      ? ""
      : `-m icmp6 ${bang(match)}--icmpv6-type ${match.type}${code}`;
  },
  pack(match, writer) {
    writer.u8(match.type ?? ICMP_TYPE_ANY);
    writer.u8(match.code ?? 0);
    writer.u8(match.code ?? 255);
    writer.u8(match.family);
  },
};

/** `8`, `8/0`, `any`, or a name. */
function parseIcmpType(
  use: OptionUse,
  family: Family,
): { type: number | undefined; code: number | undefined } {
  const text = wordOf(use).toLowerCase();
  if (family === 4 && text === "any") return { type: undefined, code: undefined };
  const named = NAMES[family].get(text);
  if (named !== undefined) return { type: named[0], code: named[1] };
  const [type = "", code, ...rest] = text.split("/");
  if (rest.length > 0) throw new RuleError(`${use.name} ${text}: expected TYPE/CODE`, use);
  if (!/^\d/.test(type)) throw new RuleError(`there is no ICMP type ${text}`, use);
  const number = parseNumber(type, use, 255);
  const known = code === undefined ? undefined : parseNumber(code, use, 255);
  // > Type 255 is every type, whatever the code.
  if (family === 4 && number === ICMP_TYPE_ANY) return { type: undefined, code: undefined };
  return { type: number, code: known };
}

type TypeCode = readonly [type: number, code: number | undefined];

/** Source: iptables-extensions(8), `iptables -p icmp -h` and `ip6tables -p icmpv6 -h`. */
const NAMES: Readonly<Record<Family, ReadonlyMap<string, TypeCode>>> = {
  4: new Map<string, TypeCode>([
    ["echo-reply", [0, undefined]],
    ["pong", [0, undefined]],
    ["destination-unreachable", [3, undefined]],
    ["network-unreachable", [3, 0]],
    ["host-unreachable", [3, 1]],
    ["protocol-unreachable", [3, 2]],
    ["port-unreachable", [3, 3]],
    ["fragmentation-needed", [3, 4]],
    ["source-route-failed", [3, 5]],
    ["network-unknown", [3, 6]],
    ["host-unknown", [3, 7]],
    ["network-prohibited", [3, 9]],
    ["host-prohibited", [3, 10]],
    ["tos-network-unreachable", [3, 11]],
    ["tos-host-unreachable", [3, 12]],
    ["communication-prohibited", [3, 13]],
    ["host-precedence-violation", [3, 14]],
    ["precedence-cutoff", [3, 15]],
    ["source-quench", [4, undefined]],
    ["redirect", [5, undefined]],
    ["network-redirect", [5, 0]],
    ["host-redirect", [5, 1]],
    ["tos-network-redirect", [5, 2]],
    ["tos-host-redirect", [5, 3]],
    ["echo-request", [8, undefined]],
    ["ping", [8, undefined]],
    ["router-advertisement", [9, undefined]],
    ["router-solicitation", [10, undefined]],
    ["time-exceeded", [11, undefined]],
    ["ttl-exceeded", [11, undefined]],
    ["ttl-zero-during-transit", [11, 0]],
    ["ttl-zero-during-reassembly", [11, 1]],
    ["parameter-problem", [12, undefined]],
    ["ip-header-bad", [12, 0]],
    ["required-option-missing", [12, 1]],
    ["timestamp-request", [13, undefined]],
    ["timestamp-reply", [14, undefined]],
    ["address-mask-request", [17, undefined]],
    ["address-mask-reply", [18, undefined]],
  ]),
  6: new Map<string, TypeCode>([
    ["destination-unreachable", [1, undefined]],
    ["no-route", [1, 0]],
    ["communication-prohibited", [1, 1]],
    ["beyond-scope", [1, 2]],
    ["address-unreachable", [1, 3]],
    ["port-unreachable", [1, 4]],
    ["failed-policy", [1, 5]],
    ["reject-route", [1, 6]],
    ["packet-too-big", [2, undefined]],
    ["time-exceeded", [3, undefined]],
    ["ttl-exceeded", [3, undefined]],
    ["ttl-zero-during-transit", [3, 0]],
    ["ttl-zero-during-reassembly", [3, 1]],
    ["parameter-problem", [4, undefined]],
    ["bad-header", [4, 0]],
    ["unknown-header-type", [4, 1]],
    ["unknown-option", [4, 2]],
    ["echo-request", [128, undefined]],
    ["ping", [128, undefined]],
    ["echo-reply", [129, undefined]],
    ["pong", [129, undefined]],
    ["mld-listener-query", [130, undefined]],
    ["mld-listener-report", [131, undefined]],
    ["mld-listener-done", [132, undefined]],
    ["mld-listener-reduction", [132, undefined]],
    ["router-solicitation", [133, undefined]],
    ["router-advertisement", [134, undefined]],
    ["neighbour-solicitation", [135, undefined]],
    ["neighbor-solicitation", [135, undefined]],
    ["neighbour-advertisement", [136, undefined]],
    ["neighbor-advertisement", [136, undefined]],
    ["redirect", [137, undefined]],
  ]),
};
