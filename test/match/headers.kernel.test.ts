/**
 * Matches on headers in the real kernel: every match meets every packet, whole ones, odd ones and ones that
 * end too early, and ours must say the same of each. No match here asks for connections, so that fragments
 * come one by one.
 */
import { describe, expect, it } from "vitest";

import { parseNode } from "../../src/dump/node.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import { startLab, type LabPacket } from "../../src/lab/lab.ts";
import type { Backend } from "../../src/match/extension.ts";
import type { Family } from "../../src/net/address.ts";
import { buildPcapng, concat, internetChecksum, type TimedFrame } from "../frames.ts";
import { judgeCapture } from "../judge.ts";
import { haveLab } from "../kernel-lab/have-lab.ts";
import { numberOf } from "../kernel-lab/packets.ts";

const MATCHES: Readonly<Record<Family, readonly string[]>> = {
  4: [
    "-m ecn --ecn-ip-ect 0",
    "-m ecn ! --ecn-ip-ect 2",
    "-p tcp -m ecn --ecn-tcp-ece",
    "-p tcp -m ecn ! --ecn-tcp-cwr",
    "-p tcp -m ecn --ecn-tcp-ece ! --ecn-tcp-cwr ! --ecn-ip-ect 3",
    "-p tcp -m tcpmss --mss 1460",
    "-p tcp -m tcpmss ! --mss 500:1400",
    "-p tcp -m tcpmss --mss 0:65535",
    "-p tcp -m tcp --tcp-option 2",
    "-p tcp -m tcp ! --tcp-option 8",
    "-p esp -m esp --espspi 1:255",
    "-p esp -m esp ! --espspi 256:",
    "-p esp -m esp --espspi 7:5",
    "-p esp -m esp",
    "-p ah -m ah --ahspi 1:255",
    "-p ah -m ah ! --ahspi 1:255",
    "-p ipcomp -m ipcomp --ipcompspi 1:255",
    "-p ipcomp -m ipcomp ! --ipcompspi 2 --compres",
    "-p ipcomp -m ipcomp",
    "-p dccp -m dccp --sport 1:2",
    "-p dccp -m dccp --dccp-types REQUEST,ACK,RESET",
    "-p dccp -m dccp ! --dccp-types DATA,INVALID",
    "-p dccp -m dccp --dccp-types INVALID",
    "-p dccp -m dccp --dccp-option 5",
    "-p dccp -m dccp ! --dccp-option 44",
    "-p sctp -m sctp --chunk-types any DATA,INIT",
    "-p sctp -m sctp --chunk-types all DATA,SACK",
    "-p sctp -m sctp --chunk-types only DATA,SACK",
    "-p sctp -m sctp ! --chunk-types any ABORT:T,DATA:Be",
    "-p sctp -m sctp ! --chunk-types all DATA:b",
    "-p sctp -m sctp ! --chunk-types only DATA:B,HEARTBEAT",
    "-p sctp -m sctp --chunk-types all NONE",
    "-p sctp -m sctp --chunk-types only ALL",
    "-p sctp -m sctp ! --chunk-types any NONE --sport 1",
    "-p icmp -m icmp --icmp-type any",
    "-p icmp -m icmp ! --icmp-type 255/3",
    "-m realm --realm 0x5/0xffff",
    "-m realm --realm 0x70000/0xffff0000",
    "-m realm --realm 0x30005",
    "-m realm ! --realm 0x70009",
    "-m realm --realm cosmos",
    "-m devgroup --src-group 0x7",
    "-m devgroup ! --src-group 0x2/0x2",
    "-m devgroup --dst-group default",
    "-m devgroup --src-group 0x5/0x5 ! --dst-group 0x1",
    "-m physdev --physdev-in eth0",
    "-m physdev ! --physdev-in eth0 ! --physdev-is-bridged",
    "-m physdev ! --physdev-in eth0 --physdev-is-bridged",
    "-m policy --dir in --pol none",
    "-m policy --dir in --pol ipsec",
    "-m policy --dir out --pol none",
    "-m policy --dir out --pol ipsec --reqid 1",
  ],
  6: [
    "-m ecn --ecn-ip-ect 1",
    "-p tcp -m ecn ! --ecn-tcp-ece",
    "-p tcp -m tcpmss ! --mss 1460",
    "-p esp -m esp --espspi 1:255",
    "-p esp -m esp ! --espspi 1:255",
    "-p ipcomp -m ipcomp --ipcompspi 1:255",
    "-p dccp -m dccp --dccp-types REQUEST",
    "-p sctp -m sctp --chunk-types any DATA",
    "-m ah --ahspi 1:255",
    "-m ah ! --ahspi 1:255",
    "-m ah --ahlen 16",
    "-m ah ! --ahlen 16 --ahres",
    "-m ah ! --ahlen 0",
    "-m ah",
    "-p ah -m ah --ahspi 1:255",
    "-m frag",
    "-m frag --fragid 1:5",
    "-m frag ! --fragid 1:5 --fraglen 3",
    "-m frag --fragid 5:1",
    "-m frag --fragfirst --fragmore",
    "-m frag --fraglast",
    "-m frag --fragres --fragfirst",
    "-m hbh",
    "-m hbh --hbh-len 8",
    "-m hbh ! --hbh-len 8",
    "-m hbh --hbh-opts 1:4",
    "-m hbh --hbh-opts 5:2,1",
    "-m hbh --hbh-opts 1,0,0",
    "-m dst --dst-len 16",
    "-m dst --dst-opts 1:255,30",
    "-m dst ! --dst-len 16 --dst-opts 0,0,1:2",
    "-m dst --dst-opts 1:9",
    "-m dst --dst-opts 1:4,0",
    "-m rt",
    "-m rt --rt-type 0",
    "-m rt ! --rt-type 2",
    "-m rt --rt-type 256",
    "-m rt --rt-segsleft 1:2",
    "-m rt ! --rt-segsleft 0",
    "-m rt ! --rt-len 8",
    "-m rt --rt-len 24 --rt-type 0",
    "-m rt --rt-type 0 --rt-0-res",
    "-m rt --rt-type 0 --rt-0-addrs ::1,::2",
    "-m rt --rt-type 0 --rt-0-addrs ::2",
    "-m rt --rt-type 0 --rt-0-addrs ::1,::2 --rt-0-not-strict",
    "-m rt --rt-type 0 --rt-0-addrs ::2 --rt-0-not-strict --rt-0-res",
    "-m srh",
    "-m srh --srh-next-hdr 6",
    "-m srh ! --srh-next-hdr 6 --srh-hdr-len-eq 4",
    "-m srh --srh-hdr-len-gt 2 --srh-segs-left-lt 1",
    "-m srh ! --srh-segs-left-gt 1",
    "-m srh --srh-last-entry-eq 1 ! --srh-last-entry-lt 1",
    "-m srh --srh-tag 258",
    "-m srh ! --srh-tag 513",
    "-m srh --srh-psid ::2",
    "-m srh --srh-nsid ::/0",
    "-m srh ! --srh-nsid ::1/127",
    "-m srh --srh-lsid ::1",
    "-m srh ! --srh-lsid ::1/64",
    "-p mobility-header -m mh --mh-type 3:5",
    "-p mobility-header -m mh ! --mh-type 3:5",
    "-p mobility-header -m mh",
    "-m ipv6header --header hop-by-hop",
    "-m ipv6header ! --header hop-by-hop,protocol",
    "-m ipv6header --header hop-by-hop,ipv6-opts --soft",
    "-m ipv6header ! --header ipv6-route,ah --soft",
    "-m ipv6header --header protocol",
    "-m ipv6header --header esp,ipv6-nonxt",
    "-m ipv6header --header ipv6-nonxt",
    "-m ipv6header --header esp --soft",
    "-m ipv6header --header ipv6-frag,protocol",
    "-m eui64",
    "-m devgroup --src-group 0x7",
    "-m policy --dir in --pol none",
    "-m physdev ! --physdev-is-in",
  ],
};

/** What a target made of the TCP header: the target in table mangle, then a match in filter. */
const CHANGES: Readonly<Record<Family, readonly string[]>> = {
  4: [
    "-p tcp -j ECN --ecn-tcp-remove => -p tcp -m ecn --ecn-tcp-ece",
    "-p tcp -j ECN --ecn-tcp-ece 1 --ecn-tcp-cwr 0 => -p tcp -m ecn --ecn-tcp-ece ! --ecn-tcp-cwr",
    "-j ECN --ecn-ip-ect 2 => -m ecn --ecn-ip-ect 2",
    "-p tcp -j ECN --ecn-tcp-cwr 1 => -p tcp -m tcp --tcp-option 2",
    "-p tcp -j ECN --ecn-tcp-remove => -m u32 --u32 0>>22&0x3C@16>>16=0:0x7fff",
    "-p tcp -j ECN --ecn-tcp-cwr 1 => -m u32 --u32 0>>22&0x3C@16>>16&1=1",
    "-p tcp -m tcp --tcp-flags SYN SYN -j TCPMSS --set-mss 1000 => -p tcp -m tcpmss --mss 1000",
    "-p tcp -m tcp --tcp-flags SYN SYN -j TCPMSS --set-mss 500 => -m u32 --u32 0>>22&0x3C@16>>16&3=1:2",
    "-p tcp -m tcp --tcp-flags SYN SYN -j TCPMSS --set-mss 500 => -p tcp -m tcp --tcp-option 8",
    "-p tcp -j TCPOPTSTRIP --strip-options mss => -p tcp -m tcp --tcp-option 2",
    "-p tcp -j TCPOPTSTRIP --strip-options 3,8 => -p tcp -m tcpmss --mss 1460",
    "-p tcp -j TCPOPTSTRIP --strip-options mss,timestamp => -m u32 --u32 0>>22&0x3C@16>>16&3=0:1",
    "-p tcp -j TCPOPTSTRIP --strip-options mss => -m u32 --u32 0>>22&0x3C@20=0x01010101",
  ],
  6: [
    "-p tcp -m tcp --tcp-flags SYN SYN -j TCPMSS --set-mss 1000 => -p tcp -m tcpmss --mss 1000",
    "-p tcp -j TCPOPTSTRIP --strip-options mss => -p tcp -m tcp --tcp-option 2",
    "-p tcp -j TCPOPTSTRIP --strip-options mss => -m u32 --u32 56>>16&3=0:1",
  ],
};

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);
const zeros = (count: number): Uint8Array => new Uint8Array(count);
const word = (value: number): Uint8Array =>
  bytes(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);

/** A body behind the IP header, and what the header says of it. */
interface Body {
  readonly protocol: number;
  readonly body: Uint8Array;
  readonly tos?: number;
  /** IPv4: the field of offset and flags; a whole datagram without. */
  readonly place?: number;
}

function tcp(flags: number, options: Uint8Array = zeros(0), offset?: number): Uint8Array {
  const words = offset ?? 5 + options.length / 4;
  return concat(
    bytes(156, 64, 0, 80),
    zeros(8),
    bytes(words << 4, flags, 0, 9, 0, 0, 0, 0),
    options,
  );
}

function dccp(type: number, long: number, words: number, rest: Uint8Array): Uint8Array {
  return concat(bytes(0, 1, 0, 2, words, 0, 0, 0, (type << 1) | long, 0, 0, 1), rest);
}

const sctp = (...chunks: readonly Uint8Array[]): Uint8Array =>
  concat(bytes(0, 1, 0, 2), zeros(8), ...chunks);
const chunk = (type: number, flags = 0, length = 4): Uint8Array =>
  concat(bytes(type, flags, length >> 8, length & 255), zeros(Math.max(0, length - 4)));

const TRANSPORTS: readonly Body[] = [
  ...[0x02, 0x42, 0x82, 0xc2, 0x10].map((flags) => ({ protocol: 6, body: tcp(flags) })),
  ...[1, 2, 3].map((tos) => ({ protocol: 6, body: tcp(0x42), tos })),
  ...[
    bytes(2, 4, 5, 0xb4),
    bytes(2, 4, 2, 0),
    bytes(1, 1, 2, 4, 5, 0xb4, 0, 0),
    bytes(2, 3, 5, 0xb4, 2, 4, 5, 0xb4),
    bytes(2, 0, 2, 4, 5, 0xb4, 0, 0),
    bytes(1, 1, 1, 2),
    bytes(1, 1, 1, 8),
    bytes(8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1),
    bytes(3, 60, 2, 4, 5, 0xb4, 0, 0),
    bytes(1, 2, 4, 5),
  ].map((options) => ({ protocol: 6, body: tcp(2, options) })),
  { protocol: 6, body: tcp(2, zeros(0), 4) },
  { protocol: 6, body: tcp(2, zeros(0), 6) },
  { protocol: 6, body: tcp(2, bytes(2, 4, 5, 0xb4), 15) },
  ...[1, 8, 13, 14, 19].map((length) => ({ protocol: 6, body: tcp(0xc2).subarray(0, length) })),
  ...[0, 1, 6, 255, 256, 0xffffffff].map((spi) => ({
    protocol: 50,
    body: concat(word(spi), zeros(12)),
  })),
  ...[3, 4, 7, 8].map((length) => ({ protocol: 50, body: word(1 << 24).subarray(0, length) })),
  { protocol: 50, body: concat(word(1), zeros(4)) },
  ...[0, 1, 2, 255, 256, 65535].map((index) => ({
    protocol: 108,
    body: concat(bytes(6, 0), word(index).subarray(2), zeros(4)),
  })),
  { protocol: 108, body: bytes(6, 1, 0, 2) },
  { protocol: 108, body: bytes(6, 1, 0) },
  ...Array.from({ length: 16 }, (_, type) => ({ protocol: 33, body: dccp(type, 0, 8, zeros(20)) })),
  ...Array.from({ length: 12 }, (_, type) => ({
    protocol: 33,
    body: dccp(type, type & 1, 8, concat(zeros(12), bytes(3, 5, 44, 6, 0, 0, 0, 0))),
  })),
  ...[3, 4, 5, 6, 7, 9].map((words) => ({ protocol: 33, body: dccp(0, 1, words, zeros(12)) })),
  ...[3, 4, 5].map((words) => ({ protocol: 33, body: dccp(2, 0, words, bytes(5, 3, 44, 0)) })),
  { protocol: 33, body: dccp(2, 0, 4, bytes(31, 44, 0, 0)) },
  { protocol: 33, body: dccp(2, 0, 4, zeros(0)) },
  ...[4, 8, 9, 11].map((length) => ({
    protocol: 33,
    body: dccp(0, 0, 4, zeros(4)).subarray(0, length),
  })),
  { protocol: 132, body: sctp(chunk(1, 0, 20)) },
  { protocol: 132, body: sctp(chunk(0, 3, 16)) },
  { protocol: 132, body: sctp(chunk(0, 2, 16), chunk(3, 0, 16)) },
  { protocol: 132, body: sctp(chunk(0, 1, 18), zeros(2), chunk(6, 1)) },
  { protocol: 132, body: sctp(chunk(6, 0)) },
  { protocol: 132, body: sctp(chunk(3), chunk(0), chunk(4)) },
  { protocol: 132, body: sctp(chunk(4), zeros(4)) },
  { protocol: 132, body: sctp(chunk(0), bytes(3, 0)) },
  { protocol: 132, body: sctp(bytes(0, 0, 0, 60)) },
  { protocol: 132, body: sctp() },
  { protocol: 132, body: sctp().subarray(0, 8) },
  { protocol: 17, body: concat(bytes(0, 1, 0, 2, 0, 8, 0, 0)) },
  ...[1, 2, 3].map((tos) => ({ protocol: 17, body: zeros(8), tos })),
];

/** Sent as first and later fragments: what lies in those is no header. */
const FRAGMENTED: readonly Body[] = [
  { protocol: 6, body: tcp(0xc2, bytes(2, 4, 5, 0xb4)) },
  { protocol: 6, body: tcp(0, zeros(0), 3) },
  { protocol: 6, body: zeros(8) },
  { protocol: 50, body: concat(word(1), zeros(12)) },
  { protocol: 51, body: concat(bytes(6, 1, 0, 0), word(1), zeros(8)) },
  { protocol: 108, body: concat(bytes(6, 0, 0, 2), zeros(4)) },
  { protocol: 33, body: dccp(0, 0, 8, zeros(20)) },
  { protocol: 132, body: sctp(chunk(0, 3, 16)) },
  { protocol: 1, body: concat(bytes(8, 3), zeros(14)) },
];

const authentication = (spi: number, reserved = 0): Uint8Array =>
  concat(bytes(0, reserved), word(spi), zeros(4));

const BODIES: Readonly<Record<Family, readonly Body[]>> = {
  4: [
    ...TRANSPORTS,
    ...[0, 1, 255, 256].map((spi) => ({
      protocol: 51,
      body: concat(bytes(6, 1), authentication(spi)),
    })),
    { protocol: 51, body: concat(bytes(6, 1), authentication(1)).subarray(0, 8) },
    { protocol: 51, body: concat(bytes(6, 1), authentication(1)).subarray(0, 11) },
    ...[0, 3, 8, 255].map((type) => ({ protocol: 1, body: concat(bytes(type, 3), zeros(8)) })),
    { protocol: 1, body: zeros(4) },
    ...FRAGMENTED.flatMap(({ protocol, body }) =>
      [0x2000, 1, 3, 0x2003].map((place) => ({ protocol, body, place })),
    ),
  ],
  6: [...TRANSPORTS, ...chains()],
};

/** Extension headers, each without its first byte, and what is behind them. */
function chains(): Body[] {
  const opts = (...rest: readonly number[]): Uint8Array => bytes(rest.length / 8, ...rest.slice(1));
  const padding = opts(0, 1, 4, 0, 0, 0, 0);
  const alert = opts(0, 5, 2, 0, 0, 1, 0);
  const single = opts(0, 0, 0, 1, 2, 0, 0);
  const long = opts(8, 1, 2, 0, 0, 30, 1, 7, 1, 4, 0, 0, 0, 0, 0);
  const whole = opts(0, 1, 4, 0, 0, 0, 0);
  const fragment = (place: number, id: number, reserved = 0): Uint8Array =>
    concat(bytes(reserved, place >> 8, place & 255), word(id));
  const address = (last: number): Uint8Array => concat(zeros(15), bytes(last));
  const routing = (type: number, left: number, ...rest: readonly Uint8Array[]): Uint8Array => {
    const body = concat(...rest);
    return concat(bytes((body.length - 4) / 8, type, left), body);
  };
  const segments = (type: number, left: number, last: number, count: number): Uint8Array =>
    routing(
      type,
      left,
      bytes(last, 0, 1, 2),
      ...Array.from({ length: count }, (_, at) => address(at + 1)),
    );
  const auth = (spi: number, words = 2, reserved = 0): Uint8Array =>
    concat(bytes(words), authentication(spi, reserved), zeros(words * 4 - 4));
  const lists: readonly (readonly (readonly [number, Uint8Array])[])[] = [
    [[0, padding]],
    [[0, alert]],
    [[0, single]],
    [[0, long]],
    [
      [0, padding],
      [60, single],
    ],
    [[60, long]],
    [[60, whole]],
    [[60, opts(0, 1, 9, 0, 0, 0, 0)]],
    [[60, opts(0, 1, 4, 0, 0, 0, 0)]],
    [[43, routing(0, 0, zeros(4))]],
    [[43, routing(2, 1, zeros(4), address(1))]],
    [[43, routing(0, 2, zeros(4), address(1), address(2))]],
    [[43, routing(0, 1, bytes(0, 0, 0, 1), address(1), address(7), address(2))]],
    [[43, routing(0, 1, zeros(4), address(2))]],
    [[43, segments(4, 0, 1, 2)]],
    [[43, segments(4, 1, 1, 2)]],
    [[43, segments(4, 2, 1, 2)]],
    [[43, segments(4, 1, 2, 3)]],
    [[43, segments(4, 2, 3, 1)]],
    [[43, segments(3, 0, 1, 2)]],
    [[44, fragment(0, 3)]],
    [[44, fragment(0, 9, 1)]],
    [[44, fragment(6, 3)]],
    [[51, auth(1)]],
    [[51, auth(300, 4)]],
    [[51, auth(5, 2, 1)]],
    [
      [0, padding],
      [43, routing(2, 0, zeros(4))],
      [51, auth(1)],
      [60, padding],
    ],
    [
      [60, padding],
      [43, routing(0, 1, zeros(4), address(2))],
      [44, fragment(0, 7)],
    ],
  ];
  const ends: readonly (readonly [number, Uint8Array])[] = [
    [6, tcp(0x42, bytes(2, 4, 5, 0xb4))],
    [50, concat(word(1), zeros(8))],
    [59, zeros(4)],
  ];
  const pieces = [1, 0x19, 0x18, 8].flatMap((place) =>
    [...FRAGMENTED, { protocol: 135, body: bytes(59, 0, 3, 0, 0, 0, 0, 0) }].map((each) =>
      chain([
        [44, fragment(place, 3)],
        [each.protocol, each.body],
      ]),
    ),
  );
  const all = lists.flatMap((list) => ends.map((end) => chain([...list, end])));
  const mobility = [0, 3, 5, 6].map((type) => bytes(59, 0, type, 0, 0, 0, 0, 0));
  const long6 = [...lists[26]!, ends[0]!];
  return [
    ...all,
    ...pieces,
    ...mobility.map((body) => ({ protocol: 135, body })),
    { protocol: 135, body: bytes(6, 0, 3, 0, 0, 0, 0, 0) },
    { protocol: 135, body: bytes(59, 0, 3, 0, 0) },
    { protocol: 135, body: bytes(59, 0, 3, 0, 0, 0) },
    chain([
      [0, padding],
      [135, mobility[1]!],
    ]),
    { protocol: 59, body: zeros(0) },
    { protocol: 59, body: zeros(8) },
    // Ends too early, in every header.
    ...[17, 20, 24, 25, 27, 31, 33, 41, 50].map((length) => cut(chain(long6), length)),
    ...[1, 2, 3, 5, 7].map((length) =>
      cut(
        chain([
          [44, fragment(0, 3)],
          [59, zeros(0)],
        ]),
        length,
      ),
    ),
    ...[1, 3, 4, 7, 8, 9].map((length) =>
      cut(
        chain([
          [43, segments(4, 0, 1, 2)],
          [6, tcp(2)],
        ]),
        length,
      ),
    ),
    ...[1, 4, 11, 13].map((length) =>
      cut(
        chain([
          [51, auth(1)],
          [6, tcp(2)],
        ]),
        length,
      ),
    ),
    ...[1, 7].map((length) =>
      cut(
        chain([
          [60, padding],
          [6, tcp(2)],
        ]),
        length,
      ),
    ),
    chain([
      [60, concat(bytes(30), zeros(6))],
      [6, tcp(2)],
    ]),
    chain([
      [43, concat(bytes(30, 0, 1), zeros(4))],
      [6, tcp(2)],
    ]),
    chain([
      [51, concat(bytes(60), authentication(1))],
      [6, tcp(2)],
    ]),
  ];
}

function chain(headers: readonly (readonly [number, Uint8Array])[]): Body {
  const parts = headers.map(([, body], index) => {
    const next = headers[index + 1]?.[0];
    return next === undefined ? body : concat(bytes(next), body);
  });
  return { protocol: headers[0]![0], body: concat(...parts) };
}

function cut(packet: Body, length: number): Body {
  return { ...packet, body: packet.body.subarray(0, length) };
}

const NODE_MAC = "02:00:00:00:00:10";
const SOURCE_MAC = [2, 0, 0, 0, 0, 0x77] as const;
const DESTINATIONS = { 4: [10, 9, 0], 6: [0xfd, 9, ...new Array<number>(13).fill(0)] } as const;
/** Two destinations, and sources of three kinds. */
const ROUTES = [
  "10.9.0.5 dev eth1 realm 5",
  "10.9.0.6 dev eth1 realm 3/5",
  "10.8.0.64/28 dev eth0 realm 7",
  "10.8.0.80/30 dev eth0 realm 7/9",
];

/** A source of its own for each rule; the last half of an IPv6 address may be made of the MAC. */
function sourceOf(family: Family, index: number): number[] {
  const high = index >> 8;
  const low = index & 255;
  if (family === 4) return [10, 8, high, low];
  return [0xfd, 8, 0, 0, 0, 0, high, low, 0, 0, 0, 0xff, 0xfe, 0, 0, index % 3 === 0 ? 0x77 : 0x78];
}

function sourceText(family: Family, index: number): string {
  const source = sourceOf(family, index);
  if (family === 4) return `${source.join(".")}/32`;
  return `fd08:0:0:${((source[6]! << 8) | source[7]!).toString(16)}::/64`;
}

function frameOf(
  family: Family,
  { protocol, body, tos, place }: Body,
  index: number,
  id: number,
): Uint8Array {
  const source = sourceOf(family, index);
  const four = family === 4;
  const ether = concat(
    Uint8Array.from(NODE_MAC.split(":").map((part) => Number.parseInt(part, 16))),
    Uint8Array.from(SOURCE_MAC),
    four ? bytes(8, 0) : bytes(0x86, 0xdd),
  );
  const addresses = Uint8Array.of(...source, ...DESTINATIONS[family], 5 + (Math.floor(id / 2) % 2));
  if (!four) {
    const head = new DataView(new ArrayBuffer(8));
    head.setUint32(0, 0x60000000 | ((tos ?? 0) << 20) | id);
    head.setUint16(4, body.length);
    head.setUint8(6, protocol);
    head.setUint8(7, 64);
    return concat(ether, new Uint8Array(head.buffer), addresses, body);
  }
  const header = concat(zeros(12), addresses);
  const view = new DataView(header.buffer);
  view.setUint8(0, 0x45);
  view.setUint8(1, tos ?? 0);
  view.setUint16(2, 20 + body.length);
  view.setUint16(4, id);
  view.setUint16(6, place ?? 0x4000);
  view.setUint8(8, 64);
  view.setUint8(9, protocol);
  view.setUint16(10, internetChecksum(header));
  return concat(ether, header, body);
}

const casesOf = (family: Family): readonly string[] => [...MATCHES[family], ...CHANGES[family]];

/** Each match twice: what it matches is dropped, or is all that is not. */
function rulesOf(family: Family): string[] {
  return casesOf(family).flatMap((each, index) => {
    const match = each.split(" => ").at(-1) ?? "";
    const one = `-A FORWARD -s ${sourceText(family, 2 * index)}`;
    const other = `-A FORWARD -s ${sourceText(family, 2 * index + 1)}`;
    return [`${one} ${match} -j DROP`, `${other} ${match} -j RETURN`, `${other} -j DROP`];
  });
}

function textOf(family: Family): string {
  const chains = [":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"];
  const mangle = casesOf(family).flatMap((each, index) => {
    const [target, match] = each.split(" => ");
    if (match === undefined) return [];
    return [0, 1].map((half) => `-A FORWARD -s ${sourceText(family, 2 * index + half)} ${target}`);
  });
  return [
    "*mangle",
    ...chains,
    ...mangle,
    "COMMIT",
    "*filter",
    ...chains,
    ...rulesOf(family),
    "COMMIT",
    "",
  ].join("\n");
}

describe.runIf(haveLab())("matches on headers in the kernel", () => {
  it.each(
    (["legacy", "nft"] as const).flatMap((backend) =>
      ([4, 6] as const).map((family): [Backend, Family] => [backend, family]),
    ),
  )(
    "hold for the same packets, with %s, IPv%i",
    async (backend, family) => {
      const empty = { 4: "", 6: "" };
      const lab = await startLab({
        interfaces: [
          { name: "eth0", mac: NODE_MAC, addresses: ["10.8.255.1/16", "fd08::1/32"], group: 7 },
          { name: "eth1", mac: "02:00:00:00:00:11", addresses: ["10.9.0.1/24", "fd09::1/64"] },
        ],
        routes: { 4: ROUTES, 6: [] },
        tables: { [backend]: { ...empty, [family]: textOf(family) } },
        ipsets: "",
        sysctls: {},
      });
      const bodies = BODIES[family];
      const packets: LabPacket[] = casesOf(family).flatMap((_, match) =>
        bodies.flatMap((body, at) =>
          [0, 1].map((half) => {
            const id = 1 + (match * bodies.length + at) * 2 + half;
            return { arrival: "eth0", bytes: frameOf(family, body, 2 * match + half, id) };
          }),
        ),
      );
      const passed = new Set<number>();
      const frames: TimedFrame[] = [];
      try {
        const { sentNs, sights } = await lab.cross(packets);
        packets.forEach((packet, at) => {
          frames.push({ bytes: packet.bytes, timestampNs: sentNs[at]!, captureInterface: 0 });
        });
        for (const { packet } of sights) passed.add(numberOf(packet));
      } finally {
        await lab.close();
      }
      const { tables, addresses, routes } = lab.loaded;
      const dump = { file: "rules", text: tables[backend]![family], backend };
      const program = parseNode(
        {
          iptables: family === 4 ? [dump] : [],
          ip6tables: family === 6 ? [dump] : [],
          ipset: [],
          addresses: [{ file: "addresses", text: addresses }],
          routes: [{ file: "routes", text: routes }],
          backend: undefined,
        },
        (diagnostic) => {
          if (diagnostic.severity === "error") throw new Error(formatDiagnostic(diagnostic));
        },
      );
      const verdicts = await judgeCapture({
        compiled: program,
        capture: buildPcapng(frames, ["eth0"]),
      });
      // A header that TCPMSS makes longer is not followed.
      const grown = verdicts.filter(({ reason }) => reason === "not-modelled").length;
      expect(grown).toBeLessThan(verdicts.length / 100);
      const wrong = verdicts.flatMap(({ verdict, reason }, at) => {
        const kernel = passed.has(at + 1) ? "allow" : "drop";
        // Where headers end too early to say which protocol it is, that is what is said.
        if (verdict === kernel || ["no-protocol", "not-modelled"].includes(reason)) return [];
        const half = at % 2;
        const body = bodies[Math.floor(at / 2) % bodies.length]!;
        const match = casesOf(family)[Math.floor(at / 2 / bodies.length)]!;
        const hex = Buffer.from(body.body).toString("hex");
        return [
          `${match} -j ${half === 0 ? "DROP" : "RETURN"}: ${body.protocol} ${hex} tos ${body.tos ?? 0}: ${verdict} ${reason}, kernel ${kernel}`,
        ];
      });
      expect(wrong.slice(0, 40)).toEqual([]);
      expect(passed.size).toBeGreaterThan(packets.length / 5);
      // Nearly all of them hold for some packets.
      const held = casesOf(family).filter((_, match) =>
        bodies.some((__, at) => passed.has((match * bodies.length + at) * 2 + 2)),
      );
      expect(held.length).toBeGreaterThan(casesOf(family).length * 0.8);
    },
    60_000,
  );
});
