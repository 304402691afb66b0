/** Each kind of match: the words iptables-save prints for it, and the bytes layout.ts draws. */
import { describe, expect, it } from "vitest";
import { makeComment } from "../../src/match/comment.ts";
import type { PayloadWriter } from "../../src/match/extension.ts";
import {
  MATCHES,
  matchExtension,
  orderMatches,
  renderMatch,
  renderMatches,
} from "../../src/match/index.ts";
import type { Match } from "../../src/match/index.ts";
import { parsePrefix } from "../../src/net/address.ts";

const prefix = (text: string) => parsePrefix(text)!.prefix;
const tcp: Match = { kind: "protocol", protocol: 6, invert: false };

// match, rule text, bytes of the payload (little-endian; undefined where a bucket follows)
const TABLE: readonly (readonly [match: Match, text: string, bytes: string | undefined])[] = [
  [
    { kind: "address", side: "src", prefix: prefix("10.1.0.0/16"), invert: false },
    "-s 10.1.0.0/16",
    "00000000 0000010a 00000000 00000000 00000000 0000ffff 00000000 00000000 00000000",
  ],
  [
    { kind: "address", side: "dst", prefix: prefix("2001:db8::1/128"), invert: true },
    "! -d 2001:db8::1/128",
    "01000000 b80d0120 00000000 00000000 01000000 ffffffff ffffffff ffffffff ffffffff",
  ],
  [
    { kind: "address", side: "src", prefix: prefix("0.0.0.0/0"), invert: false },
    "",
    "00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000",
  ],
  [
    { kind: "interface", side: "in", name: "cali", wildcard: true, invert: false },
    "-i cali+",
    "00000000 63616c69 00000000 00000000 00000000 ffffffff 00000000 00000000 00000000",
  ],
  [
    { kind: "interface", side: "out", name: "eth0", wildcard: false, invert: true },
    "! -o eth0",
    "01000000 65746830 00000000 00000000 00000000 ffffffff ff000000 00000000 00000000",
  ],
  [{ kind: "opaque", name: "geoip", text: "--cc DE" }, "-m geoip --cc DE", ""],
  [tcp, "-p tcp", "06000000"],
  [{ kind: "protocol", protocol: 4, invert: false }, "-p ipencap", "04000000"],
  [{ kind: "protocol", protocol: 253, invert: true }, "! -p 253", "fd000000"],
  [
    {
      kind: "port",
      protocol: "tcp",
      sport: undefined,
      dport: { first: 80, last: 80, invert: false },
    },
    "-m tcp --dport 80",
    "0000ffff 50005000 00000600 00000000 00000000 00000000",
  ],
  [
    {
      kind: "port",
      protocol: "udp",
      sport: { first: 1, last: 5, invert: true },
      dport: { first: 0, last: 65535, invert: true },
    },
    "-m udp ! --sport 1:5 ! --dport 0:65535",
    "01000500 0000ffff 01011100 00000000 00000000 00000000",
  ],
  [
    {
      kind: "port",
      protocol: "sctp",
      sport: undefined,
      dport: { first: 0, last: 65535, invert: false },
    },
    "-m sctp",
    "0000ffff 0000ffff 00008400 00000000 00000000 00000000",
  ],
  [
    {
      kind: "multiport",
      side: "dst",
      ports: [
        { first: 80, last: 80 },
        { first: 443, last: 445 },
      ],
      invert: false,
    },
    "-m multiport --dports 80,443:445",
    "01020000 50005000 bb01bd01",
  ],
  [
    { kind: "multiport", side: "src", ports: [{ first: 1, last: 1 }], invert: true },
    "-m multiport ! --sports 1",
    "00010000 01000100",
  ],
  [
    { kind: "multiport", side: "either", ports: [{ first: 1, last: 1 }], invert: false },
    "-m multiport --ports 1",
    "02010000 01000100",
  ],
  [
    { kind: "conntrack", states: ["ESTABLISHED", "RELATED"], invert: false },
    "-m conntrack --ctstate RELATED,ESTABLISHED",
    "01000600 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000",
  ],
  [
    { kind: "conntrack", states: ["DNAT", "INVALID"], invert: true },
    "-m conntrack ! --ctstate INVALID,DNAT",
    "01012100 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000",
  ],
  [
    { kind: "mark", value: 0x10000, mask: 0x30000, invert: false },
    "-m mark --mark 0x10000/0x30000",
    "00000100 00000300",
  ],
  [
    { kind: "mark", value: 0x80000000, mask: 0xffffffff, invert: true },
    "-m mark ! --mark 0x80000000",
    "00000080 ffffffff",
  ],
  [
    { kind: "set", set: "cali40s:x", flags: ["dst", "dst"], invert: true },
    "-m set ! --match-set cali40s:x dst,dst",
    "07000000 02010100 00000000 00000000",
  ],
  [
    { kind: "set", set: "cali40s:x", flags: ["src"], invert: false },
    "-m set --match-set cali40s:x src",
    "07000000 01000000 00000000 00000000",
  ],
  [
    { kind: "icmp", family: 4, type: 8, code: 0, invert: false },
    "-m icmp --icmp-type 8/0",
    "08000004",
  ],
  [
    { kind: "icmp", family: 4, type: undefined, code: undefined, invert: false },
    "-m icmp --icmp-type any",
    "ff00ff04",
  ],
  [
    { kind: "icmp", family: 6, type: 135, code: undefined, invert: true },
    "-m icmp6 ! --icmpv6-type 135",
    "8700ff06",
  ],
  [
    {
      kind: "addrtype",
      source: undefined,
      destination: { types: ["LOCAL"], invert: false },
      limit: undefined,
    },
    "-m addrtype --dst-type LOCAL",
    "00000400 00",
  ],
  [
    {
      kind: "addrtype",
      source: { types: ["LOCAL"], invert: true },
      destination: undefined,
      limit: undefined,
    },
    "-m addrtype ! --src-type LOCAL",
    "04000000 01",
  ],
  [
    { kind: "random", probability: 0.5, invert: false },
    "-m statistic --mode random --probability 0.50000000000",
    "00000040",
  ],
  [
    { kind: "random", probability: 0.3333333333, invert: true },
    "-m statistic --mode random ! --probability 0.33333333349",
    "abaaaa2a",
  ],
  [{ kind: "limit", interval: 12_000_000, burst: 5 }, "-m limit --limit 3/hour", undefined],
  [
    { kind: "limit", interval: 85_714, burst: 1 },
    "-m limit --limit 7/min --limit-burst 1",
    undefined,
  ],
  [
    { kind: "quota", bytes: 1n << 40n, invert: true },
    "-m quota ! --quota 1099511627776",
    "00000000 00010000 00000000 00010000",
  ],
  [makeComment("a b"), '-m comment --comment "a b"', ""],
  [makeComment("single"), "-m comment --comment single", ""],
  [
    { kind: "comment", text: 'say "no" \\ it\'s' },
    '-m comment --comment "say \\"no\\" \\\\ it\\\'s"',
    "",
  ],
];

/** Payloads as hexadecimal words of memory; the set has number 7. */
function pack(match: Match): string {
  const bytes: number[] = [];
  const write = (value: number, size: number): void => {
    for (let at = 0; at < size; at++) bytes.push((value >>> (8 * at)) & 0xff);
  };
  const writer: PayloadWriter = {
    u8: (value) => write(value, 1),
    u16: (value) => write(value, 2),
    u32: (value) => write(value, 4),
    setId: () => 7,
    sharedId: () => 3,
  };
  matchExtension(match).pack(match, writer);
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/.{8}(?=.)/g, "$& ");
}

describe("match extensions", () => {
  it.each(TABLE)("%o is %s", (match, text, bytes) => {
    expect(renderMatch(match, 4)).toBe(text);
    if (bytes !== undefined) expect(pack(match)).toBe(bytes);
  });

  it("have an id of their own", () => {
    const extensions = Object.values(MATCHES);
    expect(new Set(extensions.map(({ id }) => id)).size).toBe(extensions.length);
  });

  it("refuse what the kernel has no room for", () => {
    const ports = Array.from({ length: 8 }, (_, at) => ({ first: 10 * at, last: 10 * at + 1 }));
    expect(() => pack({ kind: "multiport", side: "dst", ports, invert: false })).toThrow(
      "16 slots",
    );
    const name = "x".repeat(16);
    expect(() =>
      pack({ kind: "interface", side: "in", name, wildcard: false, invert: false }),
    ).toThrow("too long");
  });
});

describe("renderMatches", () => {
  it("puts addresses, interfaces and protocol first and keeps the order of the rest", () => {
    const matches: readonly Match[] = [
      { kind: "comment", text: "x" },
      { kind: "mark", value: 1, mask: 1, invert: false },
      tcp,
      { kind: "interface", side: "out", name: "b", wildcard: false, invert: false },
      { kind: "interface", side: "in", name: "a", wildcard: false, invert: false },
      { kind: "address", side: "dst", prefix: prefix("10.0.0.0/8"), invert: false },
      { kind: "address", side: "src", prefix: prefix("0.0.0.0/0"), invert: false },
    ];
    const text = "-d 10.0.0.0/8 -i a -o b -p tcp -m comment --comment x -m mark --mark 0x1/0x1";
    expect(renderMatches(matches, 4)).toBe(text);
    expect(renderMatches(orderMatches(matches).toReversed(), 4)).toBe(
      "-d 10.0.0.0/8 -i a -o b -p tcp -m mark --mark 0x1/0x1 -m comment --comment x",
    );
  });
});

describe("makeComment", () => {
  it("replaces what could end the quotes or the line", () => {
    expect(makeComment('a"\n-A FORWARD -j ACCEPT \\ é').text).toBe("a__-A FORWARD -j ACCEPT _ _");
  });

  it("keeps to 255 characters", () => {
    expect(makeComment("x".repeat(300)).text).toHaveLength(255);
  });
});
