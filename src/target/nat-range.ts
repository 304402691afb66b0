/** What a NAT target translates to: a range of addresses, a range of ports, and how to choose. */
import {
  NAT_ADDRESSES,
  NAT_PERSISTENT,
  NAT_PORT_OFFSET,
  NAT_PORTS,
  NAT_RANDOM,
} from "../../assembly/layout.ts";
import type { PayloadWriter } from "../match/extension.ts";
import { formatAddress } from "../net/address.ts";
import type { Address } from "../net/address.ts";

export interface NatRange {
  /** Undefined: the address stays. Inclusive; equal for one address. */
  readonly addresses: { readonly first: Address; readonly last: Address } | undefined;
  /** Undefined: the port stays. Inclusive. `base`: shifts the range instead of choosing from it. */
  readonly ports: NatPorts | undefined;
  readonly random: "no" | "random" | "fully";
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
  const drawn = { no: "", random: " --random", fully: " --random-fully" }[random];
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
