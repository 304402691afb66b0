/** What a made-up packet should have, gathered condition by condition. */
import type { PortRange } from "../match/multiport.ts";
import type { Family, Prefix } from "../net/address.ts";
import { hostPrefix } from "../net/address.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";
import type { IpSet, SetEntry } from "../tables/model.ts";
import { SET_TYPES } from "../tables/set-types.ts";
import type { Random } from "./random.ts";

/** What is undefined may be anything. */
export interface Wish {
  readonly family: Family;
  /** The built-in chain it should get to. */
  chain?: string;
  source?: Prefix;
  destination?: Prefix;
  inInterface?: InterfaceWish;
  outInterface?: InterfaceWish;
  protocol?: number;
  sourcePorts?: PortRange;
  destinationPorts?: PortRange;
}

/** An interface, or those whose names begin so. */
export interface InterfaceWish {
  readonly name: string;
  readonly wildcard: boolean;
}

/** Lists within lists deeper than this are given up. */
const LISTS_MAX = 8;

/** Wishes for an address; the narrower of two wishes counts. */
export function wishPrefix(wish: Wish, side: "src" | "dst", prefix: Prefix): void {
  const end = side === "src" ? "source" : "destination";
  const before = wish[end];
  if (before === undefined || before.bits < prefix.bits) wish[end] = prefix;
}

/** Wishes for ports; the first wish counts. */
export function wishPorts(wish: Wish, side: "src" | "dst", ports: PortRange): void {
  // A range that ends before it starts holds no port to wish for.
  if (ports.last < ports.first) return;
  if (side === "src") wish.sourcePorts ??= ports;
  else wish.destinationPorts ??= ports;
}

/** Wishes for one member of a set, drawn at random. */
export function wishMember(
  wish: Wish,
  name: string,
  flags: readonly ("src" | "dst")[],
  { sets, random }: { readonly sets: ReadonlyMap<string, IpSet>; readonly random: Random },
): void {
  let set = sets.get(name);
  for (let depth = 0; depth < LISTS_MAX && set !== undefined; depth++) {
    const [first = "src", second = "src"] = flags;
    if (set.kind === "hash:net") {
      const member = random.pick(set.members);
      if (member !== undefined) wishPrefix(wish, first, member);
      return;
    }
    if (set.kind === "hash:ip,port") {
      const member = random.pick(set.members);
      if (member === undefined) return;
      wishPrefix(wish, first, hostPrefix(member.address));
      wishPort(wish, second, member);
      return;
    }
    const entry = random.pick(set.entries);
    if (entry === undefined) return;
    if (entry.member === undefined) {
      wishEntry(wish, entry, SET_TYPES[set.type], flags);
      return;
    }
    set = sets.get(entry.member);
  }
}

function wishEntry(
  wish: Wish,
  entry: SetEntry,
  parts: readonly string[],
  flags: readonly ("src" | "dst")[],
): void {
  const prefixes = [entry.first, entry.second].filter((prefix) => prefix !== undefined);
  for (const [index, part] of parts.entries()) {
    const side = flags[index] ?? "src";
    if (part === "port") wishPort(wish, side, entry);
    if (part !== "ip" && part !== "net") continue;
    const prefix = prefixes.shift();
    if (prefix !== undefined) wishPrefix(wish, side, prefix);
  }
}

function wishPort(
  wish: Wish,
  side: "src" | "dst",
  { protocol, port }: { readonly protocol?: number; readonly port?: number },
): void {
  if (protocol !== undefined) wish.protocol ??= protocol;
  if (port === undefined) return;
  // Members of other protocols have a type and code there.
  if (wish.protocol !== PROTOCOL_TCP && wish.protocol !== PROTOCOL_UDP) return;
  wishPorts(wish, side, { first: port, last: port });
}
