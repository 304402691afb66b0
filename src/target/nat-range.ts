/** What a NAT target translates to: a range of addresses, a range of ports, and how to choose. */
import {
  NAT_ADDRESSES,
  NAT_PERSISTENT,
  NAT_PORT_OFFSET,
  NAT_PORTS,
  NAT_RANDOM,
} from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import type { OptionUse, PayloadWriter, RuleContext } from "../match/extension.ts";
import {
  parseNumber,
  parsePort,
  parseRuleAddress,
  refuseInvert,
  useOf,
  wordOf,
} from "../match/words.ts";
import { formatAddress } from "../net/address.ts";
import type { Address, Family } from "../net/address.ts";
import {
  PROTOCOL_DCCP,
  PROTOCOL_ICMP,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../net/protocol.ts";

export interface NatRange {
  /** Undefined: the address stays. Inclusive; equal for one address. */
  readonly addresses: { readonly first: Address; readonly last: Address } | undefined;
  /** Undefined: the port stays. Inclusive. `base`: shifts the range instead of choosing from it. */
  readonly ports: NatPorts | undefined;
  /** `both`: printed as both, and drawn as `fully`. */
  readonly random: "no" | "random" | "fully" | "both";
  /** `--persistent`: the same address for the same client. */
  readonly persistent: boolean;
}

export interface NatPorts {
  readonly first: number;
  readonly last: number;
  readonly base: number | undefined;
}

/** A range of one address, and one port or none. */
export function natTo(address: Address, port: number | undefined): NatRange {
  return {
    addresses: { first: address, last: address },
    ports: port === undefined ? undefined : { first: port, last: port, base: undefined },
    random: "no",
    persistent: false,
  };
}

/** A range that chooses nothing: what the target itself says. */
export const NAT_NOTHING: NatRange = {
  addresses: undefined,
  ports: undefined,
  random: "no",
  persistent: false,
};

/** `10.0.0.1-10.0.0.9:80-90/8080`, with brackets around IPv6 addresses where ports follow. */
export function formatNatRange({ addresses, ports }: NatRange): string {
  const hosts =
    addresses === undefined
      ? ""
      : [addresses.first, addresses.last]
          .map(formatAddress)
          .filter((text, index, all) => all.indexOf(text) === index)
          .join("-");
  if (ports === undefined) return hosts;
  const bracketed = addresses?.first.family === 6 ? `[${hosts}]` : hosts;
  return `${bracketed}:${formatNatPorts(ports)}`;
}

/** `80`, `80-90`, `80-90/8080`. */
export function formatNatPorts({ first, last, base }: NatPorts): string {
  const range = first === last ? `${first}` : `${first}-${last}`;
  return base === undefined ? range : `${range}/${base}`;
}

/** ` --random`, ` --random-fully`, ` --persistent`, in the order iptables-save prints them. */
export function formatNatFlags({ random, persistent }: NatRange): string {
  const drawn = {
    no: "",
    random: " --random",
    fully: " --random-fully",
    both: " --random --random-fully",
  }[random];
  return `${drawn}${persistent ? " --persistent" : ""}`;
}

/** Writes the range as NAT_RANGE_* draws it. */
export function packNatRange(range: NatRange, writer: PayloadWriter): void {
  const { addresses, ports, random, persistent } = range;
  for (const end of [addresses?.first, addresses?.last]) {
    for (const word of end?.words ?? [0, 0, 0, 0]) writer.u32(word);
  }
  writer.u16(ports?.first ?? 0);
  writer.u16(ports?.last ?? 0);
  writer.u16(ports?.base ?? 0);
  writer.u8(
    (addresses === undefined ? 0 : NAT_ADDRESSES) |
      (ports === undefined ? 0 : NAT_PORTS) |
      (random === "no" ? 0 : NAT_RANDOM) |
      (persistent ? NAT_PERSISTENT : 0) |
      (ports?.base === undefined ? 0 : NAT_PORT_OFFSET),
  );
  writer.u8(0);
}

/** The options that say how to choose, and their words. */
export const NAT_FLAG_OPTIONS = { "--random": 0, "--persistent": 0 } as const;

/** Reads `--random`, `--random-fully` and `--persistent`. */
export function parseNatFlags(
  options: readonly OptionUse[],
): Pick<NatRange, "random" | "persistent"> {
  const random = useOf(options, "--random");
  const fully = useOf(options, "--random-fully");
  const persistent = useOf(options, "--persistent");
  refuseInvert(random, fully, persistent);
  return {
    random:
      random === undefined
        ? fully === undefined
          ? "no"
          : "fully"
        : fully === undefined
          ? "random"
          : "both",
    persistent: persistent !== undefined,
  };
}

/** What a target makes of `/BASE` behind a range of ports. */
export type PortBase =
  /** It shifts the range. */
  | "shifts"
  /** > SNAT and MASQUERADE lose it on the way to the kernel: it is 0 then. */
  | "lost"
  | "refused";

/** `ADDRESS[-ADDRESS][:PORT[-PORT[/BASE]]]`, brackets around IPv6 addresses where ports follow. */
export function parseNatRange(
  use: OptionUse,
  context: RuleContext,
  base: PortBase,
): Pick<NatRange, "addresses" | "ports"> {
  const { family } = context;
  const { hosts, ports } = splitPorts(wordOf(use), use, family);
  return {
    addresses: hosts === "" ? undefined : parseHosts(hosts, use, family),
    ports: ports === undefined ? undefined : parseNatPorts(ports, use, context, base),
  };
}

/** `PORT`, `PORT-PORT`, `PORT-PORT/BASE`; the rule needs a protocol with ports, or ICMP's identifiers. */
export function parseNatPorts(
  text: string,
  use: OptionUse,
  { protocol }: RuleContext,
  basePurpose: PortBase,
): NatPorts {
  if (protocol === undefined || !WITH_PORTS.has(protocol.number)) {
    throw new RuleError(`${use.name}: ports need -p tcp, udp, sctp, dccp or icmp`, use);
  }
  const [, range = "", baseText] = /^([^/]*)(?:\/(.*))?$/.exec(text) ?? [];
  const [, low, high] = /^(\d\w*)-(\d\w*)$/.exec(range) ?? [];
  const first = low === undefined ? parsePort(range, use) : parseNumber(low, use, 0xffff);
  const last = high === undefined ? first : parseNumber(high, use, 0xffff);
  if (last < first) throw new RuleError(`${use.name} ${text}: the end is below the start`, use);
  if (baseText === undefined) return { first, last, base: undefined };
  if (basePurpose === "refused" || high === undefined) {
    throw new RuleError(`${use.name} ${text}: expected PORT-PORT`, use);
  }
  const base = parsePort(baseText, use);
  if (basePurpose === "lost") return { first, last, base: 0 };
  if (base === 0) throw new RuleError(`${use.name} ${text}: the base port is zero`, use);
  return { first, last, base };
}

const WITH_PORTS: ReadonlySet<number> = new Set([
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_SCTP,
  PROTOCOL_DCCP,
  PROTOCOL_ICMP,
]);

function splitPorts(
  text: string,
  use: OptionUse,
  family: Family,
): { hosts: string; ports: string | undefined } {
  if (family === 4) {
    const colon = text.indexOf(":");
    if (colon < 0) return { hosts: text, ports: undefined };
    return { hosts: text.slice(0, colon), ports: text.slice(colon + 1) };
  }
  if (!text.startsWith("[")) {
    if (text.startsWith(":") && !text.startsWith("::")) return { hosts: "", ports: text.slice(1) };
    return { hosts: text, ports: undefined };
  }
  const end = text.indexOf("]");
  const rest = text.slice(end + 1);
  if (end < 0 || (rest !== "" && !rest.startsWith(":"))) {
    throw new RuleError(`${use.name} ${text}: expected [ADDRESS]:PORT`, use);
  }
  return { hosts: text.slice(1, end), ports: rest === "" ? undefined : rest.slice(1) };
}

function parseHosts(text: string, use: OptionUse, family: Family): NatRange["addresses"] {
  const [low = "", high, ...rest] = text.split("-");
  if (rest.length > 0) throw new RuleError(`${use.name} ${text}: expected ADDRESS-ADDRESS`, use);
  const first = parseRuleAddress(low, use, family);
  return { first, last: high === undefined ? first : parseRuleAddress(high, use, family) };
}

/** Refuses a NAT target outside the chains where the kernel takes it. */
export function needNatChain(context: RuleContext, ...chains: string[]): void {
  const builtIn = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"].includes(
    context.chain,
  );
  if (context.table !== "nat") throw new RuleError("it can stand in table nat only", undefined);
  if (builtIn && !chains.includes(context.chain)) {
    throw new RuleError(`it cannot stand in ${context.chain}`, undefined);
  }
}
