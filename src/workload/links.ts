/** By which interface a real node's packets arrive, or leave where the node itself sends them. */
import type { Program } from "../engine/program.ts";
import type { Address } from "../net/address.ts";
import { prefixOf } from "../net/address.ts";
import type { Route } from "../tables/model.ts";
import type { SeenFrame } from "./capture.ts";
import type { FrameSpec } from "./frame.ts";

/** The interfaces of a node, and who is seen by them. */
export interface Links {
  readonly names: readonly string[];
  /** Says by which of them a packet is seen, and addresses its frame so. */
  see(packet: FrameSpec): SeenFrame;
}

/** Undefined where manifests were compiled: there every packet arrives where its source is. */
export function linksOf({ topology }: Program): Links | undefined {
  if (topology.interfaces === undefined) return undefined;
  const find = routeFinder(topology.routes.filter(({ kind }) => kind !== "multicast"));
  const told = topology.interfaces.filter(({ loopback }) => !loopback).map(({ name }) => name);
  const routed = topology.routes.filter(({ kind }) => kind === "unicast");
  const names = [...new Set([...told, ...routed.map((route) => route.interface)])];
  const numbers = new Map(names.map((name, index) => [name, index]));
  const macs = new Map(topology.interfaces.map(({ name, mac }) => [name, mac]));
  return {
    names: names.length === 0 ? ["eth0"] : names,
    see(packet) {
      const from = find(packet.source);
      const own = from?.kind === "local";
      const link = (own ? find(packet.destination) : from)?.interface ?? "";
      const seenBy = numbers.get(link) ?? 0;
      const mac = macs.get(link);
      return own
        ? { ...packet, seenBy, sourceMac: mac }
        : { ...packet, seenBy, destinationMac: mac };
    },
  };
}

/** Longest prefix first. */
function routeFinder(routes: readonly Route[]): (address: Address) => Route | undefined {
  const byBits = new Map<number, Map<string, Route>>();
  for (const route of routes) {
    const { bits, address } = route.prefix;
    const same = byBits.get(bits) ?? new Map<string, Route>();
    const key = keyOf(address);
    if (!same.has(key)) same.set(key, route);
    byBits.set(bits, same);
  }
  const longest = [...byBits].sort(([one], [other]) => other - one);
  return (address) => {
    for (const [bits, same] of longest) {
      const route = same.get(keyOf(prefixOf(address, bits).address));
      if (route !== undefined) return route;
    }
    return undefined;
  };
}

function keyOf({ family, words }: Address): string {
  return `${family} ${words.join(" ")}`;
}
