/**
 * ICMP and ICMPv6 in words: type and code by the phrases that tcpdump prints for them, the echo
 * identifier.
 * Source: tcpdump's print-icmp.c and print-icmp6.c for the phrases; IANA's ICMP parameters for the numbers.
 */
import type { TextPacket } from "./tcpdump-packet.ts";
import { matchAt, type Words } from "./tcpdump-words.ts";

type Phrase = readonly [words: RegExp, type: number, code: number];

const ICMP: readonly Phrase[] = [
  [/echo request\b/y, 8, 0],
  [/echo reply\b/y, 0, 0],
  [/time exceeded in-transit/y, 11, 0],
  [/ip reassembly time exceeded/y, 11, 1],
  [/net \S+ unreachable - unknown/y, 3, 6],
  [/host \S+ unreachable - unknown/y, 3, 7],
  [/host \S+ unreachable - admin prohibited filter/y, 3, 13],
  [/net \S+ unreachable - admin prohibited/y, 3, 9],
  [/host \S+ unreachable - admin prohibited/y, 3, 10],
  [/net \S+ unreachable - tos prohibited/y, 3, 11],
  [/host \S+ unreachable - tos prohibited/y, 3, 12],
  [/host \S+ unreachable - host precedence/y, 3, 14],
  [/host \S+ unreachable - precedence cutoff/y, 3, 15],
  [/\S+ unreachable - need to frag/y, 3, 4],
  [/\S+ unreachable - source route failed/y, 3, 5],
  [/\S+ unreachable - source host isolated/y, 3, 8],
  [/\S+ protocol \d+ unreachable/y, 3, 2],
  [/\S+ (?:tcp|udp) port \S+ unreachable/y, 3, 3],
  [/\S+ (?:protocol \d+ )?port \S+ unreachable/y, 3, 3],
  [/net \S+ unreachable(?! -)/y, 3, 0],
  [/host \S+ unreachable(?! -)/y, 3, 1],
  [/redirect-tos \S+ to net/y, 5, 2],
  [/redirect-tos \S+ to host/y, 5, 3],
  [/redirect \S+ to net/y, 5, 0],
  [/redirect \S+ to host/y, 5, 1],
  [/source quench/y, 4, 0],
  [/router solicitation/y, 10, 0],
  [/time stamp query/y, 13, 0],
  [/time stamp reply/y, 14, 0],
  [/information request/y, 15, 0],
  [/information reply/y, 16, 0],
  [/address mask request/y, 17, 0],
  [/address mask is /y, 18, 0],
  [/extended echo request/y, 42, 0],
];

const ICMP6: readonly Phrase[] = [
  [/destination unreachable, unreachable route/y, 1, 0],
  [/destination unreachable, unreachable prohibited/y, 1, 1],
  [/destination unreachable, beyond scope/y, 1, 2],
  [/destination unreachable, unreachable address/y, 1, 3],
  [/destination unreachable, unreachable port/y, 1, 4],
  [/packet too big/y, 2, 0],
  // > The phrase is the type's; what the code is follows.
  [/time exceeded in-transit \(reassembly\)/y, 3, 1],
  [/time exceeded in-transit for /y, 3, 0],
  [/ip reassembly time exceeded/y, 3, 1],
  [/parameter problem, err?orneous/y, 4, 0],
  [/parameter problem, next header/y, 4, 1],
  [/parameter problem, option/y, 4, 2],
  [/parameter problem, incomplete header chain/y, 4, 3],
  [/echo request/y, 128, 0],
  [/echo reply/y, 129, 0],
  [/multicast listener query/y, 130, 0],
  [/multicast listener report v2/y, 143, 0],
  [/multicast listener report/y, 131, 0],
  [/multicast listener done/y, 132, 0],
  [/router solicitation/y, 133, 0],
  [/router advertisement/y, 134, 0],
  [/neighbor solicitation/y, 135, 0],
  [/neighbor advertisement/y, 136, 0],
  [/redirect, /y, 137, 0],
];

const ERRORS: ReadonlySet<number> = new Set([3, 4, 5, 11, 12]);

/** Tells whether the packet is an ICMP error, which quotes the header that it speaks of. */
export function isIcmpError(packet: TextPacket): boolean {
  const { icmpType, protocol } = packet;
  if (icmpType === undefined) return false;
  return protocol === 58 ? icmpType < 128 : ERRORS.has(icmpType);
}

/** Fills type, code and identifier. Phrases that stand for several codes fill nothing. */
export function parseIcmp(words: Words, packet: TextPacket): void {
  const { text } = words;
  const note = matchAt(/(?:\[[^\]]{1,80}\] ?)?ICMP(6?),? /y, text, words.at);
  if (note === undefined) return;
  const version = note[1] === "6" ? 58 : 1;
  if (version !== packet.protocol) return;
  const at = words.at + note[0].length;
  const phrase = (version === 58 ? ICMP6 : ICMP).find(
    ([expression]) => matchAt(expression, text, at) !== undefined,
  );
  if (phrase === undefined) return;
  [, packet.icmpType, packet.icmpCode] = phrase;
  const rest = text.slice(at, at + 300);
  const id = /^(?:echo re(?:quest|ply)|time stamp (?:query|reply)),? id (\d{1,5})(?=,)/.exec(
    rest,
  )?.[1];
  if (id !== undefined) packet.icmpId = Number(id);
}
