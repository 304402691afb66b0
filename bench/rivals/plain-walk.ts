/**
 * A compiled cluster's tables walked as plain TypeScript objects, without state. Says what happens to a
 * connection's opening packet in FORWARD's filter table, for TCP and UDP.
 */
import { prefixContains, sameAddress, type Address } from "../../src/net/address.ts";
import type { Match } from "../../src/match/index.ts";
import type { PortCondition } from "../../src/match/port.ts";
import { setNameOf } from "../../src/match/set.ts";
import type { Chain, IpSet, Ruleset } from "../../src/tables/model.ts";

/** The first packet of a connection on its way from one pod's interface to another's. */
export interface OpeningPacket {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly inInterface: string;
  readonly outInterface: string;
}

/** Makes the walk; it answers whether FORWARD lets a packet through. */
export function makePlainWalk(ruleset: Ruleset): (packet: OpeningPacket) => boolean {
  const filter = ruleset.tables.find(({ name }) => name === "filter");
  const chainByName = new Map((filter?.chains ?? []).map((chain) => [chain.name, chain]));
  const setByName = new Map(ruleset.sets.map((set) => [set.name, set]));
  return (packet) => {
    let mark = 0;
    const walk = (chain: Chain): boolean | undefined => {
      for (const { matches, target } of chain.rules) {
        if (!matches.every((match) => holds(match, packet, mark, setByName))) continue;
        if (target === undefined) continue;
        switch (target.kind) {
          case "ACCEPT":
            return true;
          case "DROP":
          case "REJECT":
            return false;
          case "RETURN":
            return undefined;
          case "MARK":
            mark = ((mark & ~target.mask) ^ target.value) >>> 0;
            break;
          case "JUMP":
          case "GOTO": {
            const verdict = walk(chainByName.get(target.chain)!);
            if (verdict !== undefined || target.kind === "GOTO") return verdict;
            break;
          }
          case "DNAT":
          case "MASQUERADE":
            break;
          default:
            throw new Error(`the workload has no target ${target.kind}`);
        }
      }
      return chain.policy === undefined ? undefined : chain.policy === "ACCEPT";
    };
    return walk(chainByName.get("FORWARD")!) ?? true;
  };
}

function holds(
  match: Match,
  packet: OpeningPacket,
  mark: number,
  setByName: ReadonlyMap<string, IpSet>,
): boolean {
  switch (match.kind) {
    case "address":
      return (
        prefixContains(match.prefix, match.side === "src" ? packet.source : packet.destination) !==
        match.invert
      );
    case "interface": {
      const name = match.side === "in" ? packet.inInterface : packet.outInterface;
      return (match.wildcard ? name.startsWith(match.name) : name === match.name) !== match.invert;
    }
    case "protocol":
      return (match.protocol === packet.protocol) !== match.invert;
    case "multiport":
      return (
        match.ports.some(
          ({ first, last }) => packet.destinationPort >= first && packet.destinationPort <= last,
        ) !== match.invert
      );
    case "conntrack":
      return (match.states?.includes("NEW") ?? true) !== match.invert;
    case "mark":
      return ((mark & match.mask) >>> 0 === match.value >>> 0) !== match.invert;
    case "set":
      return (
        isMember(setByName.get(setNameOf(match.set, packet.source.family)), match.flags, packet) !==
        match.invert
      );
    case "comment":
      return true;
    case "port":
      return (
        isWithin(packet.sourcePort, match.sport) && isWithin(packet.destinationPort, match.dport)
      );
    case "addrtype":
    case "icmp":
    case "random":
      return false;
    default:
      throw new Error(`the workload has no match ${match.kind}`);
  }
}

function isWithin(port: number, condition: PortCondition | undefined): boolean {
  if (condition === undefined) return true;
  return (port >= condition.first && port <= condition.last) !== condition.invert;
}

function isMember(
  set: IpSet | undefined,
  [first, second]: readonly ("src" | "dst")[],
  packet: OpeningPacket,
): boolean {
  const address = first === "src" ? packet.source : packet.destination;
  switch (set?.kind) {
    case "hash:net":
      return set.members.some((prefix) => prefixContains(prefix, address));
    case "hash:ip,port": {
      const port = second === "src" ? packet.sourcePort : packet.destinationPort;
      return set.members.some(
        (member) =>
          member.port === port &&
          member.protocol === packet.protocol &&
          sameAddress(member.address, address),
      );
    }
    case "entries":
    case undefined:
      throw new Error("the workload has no such set");
  }
}
