import { beforeAll, describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { loadDecoder, type Decoded, type DecodeFrame, type FrameOptions } from "./decoder.ts";
import { FRAMES, SYN, bytes, ethernet, ipv4, ipv6, patched, udp } from "./frames.ts";

let decode: DecodeFrame;
beforeAll(async () => {
  decode = await loadDecoder();
}, 60_000);

const IPV4 = 0x0800;
const IPV6 = 0x86dd;

const KNOWN_IPV4 =
  layout.KNOWN_SRC |
  layout.KNOWN_DST |
  layout.KNOWN_PROTOCOL |
  layout.KNOWN_IP_LENGTH |
  layout.KNOWN_TTL |
  layout.KNOWN_TOS |
  layout.KNOWN_IP_ID |
  layout.KNOWN_FRAGMENT |
  layout.KNOWN_PAYLOAD_LENGTH;
const KNOWN_IPV6 = KNOWN_IPV4 & ~layout.KNOWN_IP_ID;
const KNOWN_TCP = layout.KNOWN_PORTS | layout.KNOWN_TCP_FLAGS | layout.KNOWN_TCP_SEQ;

const raw = (packet: Uint8Array, options: FrameOptions = {}): Decoded =>
  decode(packet, { linkType: layout.LINK_RAW, ...options });

describe("decode: one frame of each protocol", () => {
  it("reads TCP", () => {
    expect(decode(FRAMES.tcp)).toMatchObject({
      flags: layout.PACKET_HAS_MAC,
      known: KNOWN_IPV4 | KNOWN_TCP,
      family: 4,
      protocol: 6,
      ttl: 64,
      tos: 0,
      src: "127.0.0.1",
      dst: "127.0.0.1",
      sport: 51404,
      dport: 9,
      tcpFlags: 0x02,
      tcpOffset: 10,
      tcpWindow: 65495,
      tcpSeq: 0xc175bc62,
      tcpAck: 0,
      ipLength: 60,
      payloadLength: 0,
      ipId: 0xade1,
      fragmentOffset: 0,
      malformed: layout.MALFORMED_NONE,
      network: 14,
      transport: 34,
      end: 74,
      dstMac: "02:00:00:00:00:02",
      srcMac: "02:00:00:00:00:01",
      etherType: IPV4,
      vlan: 0,
    });
    expect(decode(FRAMES.tcpReset)).toMatchObject({ tcpFlags: 0x14, tcpAck: 0xc175bc63 });
  });

  it("reads TCP over IPv6", () => {
    expect(decode(FRAMES.tcp6)).toMatchObject({
      known: KNOWN_IPV6 | KNOWN_TCP,
      family: 6,
      protocol: 6,
      src: "0:0:0:0:0:0:0:1",
      dst: "0:0:0:0:0:0:0:1",
      sport: 35502,
      dport: 9,
      tcpFlags: 0x02,
      ttl: 64,
      ipLength: 80,
      payloadLength: 0,
      transport: 54,
      end: 94,
      etherType: IPV6,
    });
  });

  it("reads UDP over IPv4 and IPv6", () => {
    const known = KNOWN_IPV4 | layout.KNOWN_PORTS;
    expect(decode(FRAMES.udp)).toMatchObject({
      known,
      protocol: 17,
      sport: 41056,
      dport: 9953,
      payloadLength: 26,
    });
    expect(decode(FRAMES.udp6)).toMatchObject({
      known: known & ~layout.KNOWN_IP_ID,
      protocol: 17,
      sport: 49345,
      dport: 9953,
      payloadLength: 5,
    });
  });

  it("reads the ports of UDP-Lite, SCTP and DCCP", () => {
    const known = KNOWN_IPV4 | layout.KNOWN_PORTS;
    expect(decode(FRAMES.udplite)).toMatchObject({
      known,
      malformed: 0,
      protocol: 136,
      sport: 55290,
      dport: 9953,
      payloadLength: 4,
    });
    expect(decode(FRAMES.sctp)).toMatchObject({
      known,
      malformed: 0,
      protocol: 132,
      sport: 40000,
      dport: 2905,
      payloadLength: 20,
    });
    expect(decode(FRAMES.dccp)).toMatchObject({
      known,
      malformed: 0,
      protocol: 33,
      sport: 40000,
      dport: 5000,
      payloadLength: 20,
    });
  });

  it("reads the id of an echo request", () => {
    const echo = { icmpCode: 0, icmpId: 0x1234, payloadLength: 4, malformed: 0 };
    const known = layout.KNOWN_ICMP | layout.KNOWN_ICMP_ID;
    expect(decode(FRAMES.icmpEcho)).toMatchObject({
      ...echo,
      known: KNOWN_IPV4 | known,
      icmpType: 8,
    });
    expect(decode(FRAMES.icmpv6Echo)).toMatchObject({
      ...echo,
      known: KNOWN_IPV6 | known,
      icmpType: 128,
    });
  });

  it("reads what an ICMP error quotes", () => {
    expect(decode(FRAMES.icmpError)).toMatchObject({
      known: KNOWN_IPV4 | layout.KNOWN_ICMP | layout.KNOWN_QUOTE,
      icmpType: 3,
      icmpCode: 3,
      tos: 0xc0,
      quotedProtocol: 17,
      quotedSrc: "127.0.0.1",
      quotedDst: "127.0.0.1",
      quotedSport: 41056,
      quotedDport: 9953,
    });
    expect(decode(FRAMES.icmpv6Error)).toMatchObject({
      known: KNOWN_IPV6 | layout.KNOWN_ICMP | layout.KNOWN_QUOTE,
      icmpType: 1,
      icmpCode: 4,
      quotedProtocol: 17,
      quotedSrc: "0:0:0:0:0:0:0:1",
      quotedDst: "0:0:0:0:0:0:0:1",
      quotedSport: 49345,
      quotedDport: 9953,
    });
  });

  it("gives any other protocol as its number", () => {
    expect(decode(FRAMES.gre)).toMatchObject({ known: KNOWN_IPV4, protocol: 47, payloadLength: 4 });
  });

  it("leaves a record alone that its reader decoded", () => {
    const packet = decode(FRAMES.tcp, { flags: layout.PACKET_DECODED });
    expect(packet).toMatchObject({ flags: layout.PACKET_DECODED, known: 0, family: 0 });
  });
});

describe("decode: truncation by the snap length", () => {
  for (const [name, frame] of Object.entries(FRAMES)) {
    it(`knows of ${name} only what was captured, at every length`, () => {
      const whole = decode(frame);
      let known = 0;
      for (let length = 0; length < frame.length; length++) {
        const packet = decode(frame.subarray(0, length), { originalLength: frame.length });
        expect(packet.flags & layout.PACKET_TRUNCATED).not.toBe(0);
        expect(packet.malformed).toBe(layout.MALFORMED_NONE);
        expect(known & ~packet.known).toBe(0);
        expect(packet.known & ~whole.known).toBe(0);
        expectSameKnown(packet, whole);
        known = packet.known;
      }
      expect(known & ~whole.known).toBe(0);
    });
  }

  it("knows the addresses from 34 bytes and the ports from 38", () => {
    const cut = (length: number): number =>
      decode(FRAMES.tcp.subarray(0, length), { originalLength: 74 }).known;
    expect(cut(29) & layout.KNOWN_SRC).toBe(0);
    expect(cut(30) & layout.KNOWN_SRC).toBe(layout.KNOWN_SRC);
    expect(cut(33) & layout.KNOWN_DST).toBe(0);
    expect(cut(34) & layout.KNOWN_DST).toBe(layout.KNOWN_DST);
    expect(cut(37) & layout.KNOWN_PORTS).toBe(0);
    expect(cut(38) & layout.KNOWN_PORTS).toBe(layout.KNOWN_PORTS);
    expect(cut(47) & layout.KNOWN_TCP_FLAGS).toBe(0);
    expect(cut(48) & KNOWN_TCP).toBe(layout.KNOWN_PORTS | layout.KNOWN_TCP_FLAGS);
    expect(cut(50) & KNOWN_TCP).toBe(KNOWN_TCP);
  });

  it("knows the payload length of UDP before its header", () => {
    const packet = decode(FRAMES.udp.subarray(0, 34), { originalLength: FRAMES.udp.length });
    expect(packet).toMatchObject({ known: KNOWN_IPV4, payloadLength: 26, transport: undefined });
  });
});

describe("decode: link layer", () => {
  const packet = ipv4(17, udp(bytes(1, 2, 3)));
  const decoded = { family: 4, sport: 1000, dport: 53, payloadLength: 3, malformed: 0 };

  it("goes through VLAN tags and keeps the identifier where there is one, of 802.1Q", () => {
    const tagged = bytes([0x01, 0x2c, 0x81, 0x00, 0xe0, 0x05, 0x08, 0x00], packet);
    const other = { ...decoded, vlan: layout.VLAN_OTHER };
    expect(decode(ethernet(0x88a8, tagged))).toMatchObject({ ...other, network: 22 });
    expect(decode(ethernet(0x8100, tagged))).toMatchObject(other);
    const single = bytes([0, 0, 0x08, 0x00], packet);
    expect(decode(ethernet(0x8100, single))).toMatchObject({ ...decoded, vlan: 1 });
    expect(decode(ethernet(0x9100, single))).toMatchObject(other);
  });

  it("says that it does not know what is behind nine VLAN tags", () => {
    const tags = (count: number): Uint8Array =>
      bytes(
        Array.from({ length: count - 1 }, () => [0, 1, 0x81, 0]).flat(),
        [0, 1, 0x08, 0],
        packet,
      );
    expect(decode(ethernet(0x8100, tags(8)))).toMatchObject(decoded);
    const nine = decode(ethernet(0x8100, tags(9)));
    expect(nine.flags & layout.PACKET_UNKNOWN_LINK).not.toBe(0);
    expect(nine).toMatchObject({ family: 0, known: 0 });
  });

  it("does not count Ethernet padding", () => {
    const padded = ethernet(IPV4, bytes(packet, new Uint8Array(18)));
    expect(decode(padded)).toMatchObject({ ...decoded, ipLength: 31, end: 14 + 31 });
  });

  it("calls everything but IP not IP", () => {
    const snap = bytes([0xaa, 0xaa, 3, 0, 0, 0, 8, 0], packet);
    for (const frame of [
      ethernet(0x0806, new Uint8Array(28)),
      ethernet(0x8847, bytes([0, 0, 0x11, 0x40], packet)),
      ethernet(0x8864, bytes([0x11, 0, 0, 1, 0, 33, 0, 0x21], packet)),
      // 802.3 with SNAP: the kernel's 802.2 code does not hand it to IP.
      ethernet(snap.length, snap),
      ethernet(0x8100, bytes([0, 1, 8])),
      new Uint8Array(13),
    ]) {
      const result = decode(frame);
      expect(result.flags & layout.PACKET_NOT_IP).not.toBe(0);
      expect(result).toMatchObject({ family: 0, known: 0, malformed: 0 });
    }
  });

  it("reads raw IP by its version", () => {
    for (const linkType of [layout.LINK_RAW, layout.LINK_RAW_BSD, layout.LINK_RAW_OPENBSD]) {
      expect(decode(packet, { linkType })).toMatchObject({ ...decoded, network: 0 });
      expect(decode(ipv6(17, udp(bytes())), { linkType })).toMatchObject({ family: 6, dport: 53 });
      expect(decode(bytes(0x50, 0), { linkType })).toMatchObject({ family: 0, malformed: 1 });
      expect(decode(bytes(), { linkType, originalLength: 40 })).toMatchObject({ malformed: 0 });
    }
    expect(decode(packet, { linkType: layout.LINK_IPV4 })).toMatchObject(decoded);
    expect(decode(packet, { linkType: layout.LINK_IPV6 })).toMatchObject({ malformed: 1 });
    expect(decode(ipv6(6, SYN), { linkType: layout.LINK_IPV6 })).toMatchObject({ dport: 80 });
  });

  it("reads NULL and LOOP in both byte orders and with every system's AF_INET6", () => {
    const six = ipv6(6, SYN);
    for (const linkType of [layout.LINK_NULL, layout.LINK_LOOP]) {
      expect(decode(bytes([2, 0, 0, 0], packet), { linkType })).toMatchObject(decoded);
      expect(decode(bytes([0, 0, 0, 2], packet), { linkType })).toMatchObject(decoded);
      for (const family of [10, 24, 28, 30]) {
        const little = decode(bytes([family, 0, 0, 0], six), { linkType });
        const big = decode(bytes([0, 0, 0, family], six), { linkType });
        expect(little).toMatchObject({ family: 6, dport: 80 });
        expect(big).toEqual(little);
      }
      const other = decode(bytes([7, 0, 0, 0], packet), { linkType });
      expect(other).toMatchObject({ flags: layout.PACKET_NOT_IP, family: 0 });
    }
  });

  it("reads cooked captures and their direction", () => {
    const flags = [
      layout.PACKET_INBOUND,
      layout.PACKET_INBOUND,
      layout.PACKET_INBOUND,
      layout.PACKET_OTHER_HOST,
      layout.PACKET_OUTBOUND,
      0,
    ];
    const sender = layout.PACKET_HAS_SENDER;
    flags.forEach((flag, type) => {
      const sll = bytes([0, type, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], packet);
      const cooked = decode(sll, { linkType: layout.LINK_LINUX_SLL });
      expect(cooked).toMatchObject({ ...decoded, flags: flag | sender, network: 16 });
      const sll2 = bytes([8, 0, 0, 0, 0, 0, 0, 3, 0, 1, type, 6, 2, 0, 0, 0, 0, 1, 0, 0], packet);
      const cooked2 = decode(sll2, { linkType: layout.LINK_LINUX_SLL2 });
      expect(cooked2).toMatchObject({ ...decoded, flags: flag | sender, network: 20 });
    });
  });

  it("goes through a VLAN tag in a cooked capture, and keeps the reader's flags", () => {
    const sll = bytes([0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x81, 0, 0, 7, 8, 0], packet);
    const flags = layout.PACKET_HAS_TIME;
    expect(decode(sll, { linkType: layout.LINK_LINUX_SLL, flags })).toMatchObject({
      ...decoded,
      vlan: 8,
      flags: flags | layout.PACKET_OUTBOUND | layout.PACKET_HAS_SENDER,
    });
  });

  it("knows nothing of other link types", () => {
    for (const linkType of [9, 105, 127, 0xffff]) {
      const result = decode(packet, { linkType });
      expect(result).toMatchObject({ flags: layout.PACKET_UNKNOWN_LINK, known: 0, family: 0 });
    }
  });
});

describe("decode: IPv4", () => {
  it("finds the transport header behind options", () => {
    const options = [0x94, 4, 0, 0, 1, 1, 1, 0];
    expect(raw(ipv4(6, SYN, { options }))).toMatchObject({ transport: 28, dport: 80 });
    const cut = raw(ipv4(6, SYN, { options }).subarray(0, 24), { originalLength: 48 });
    expect(cut).toMatchObject({ protocol: 6, transport: undefined, malformed: 0 });
  });

  it("takes total length 0 for a packet as long as its frame", () => {
    const packet = raw(ipv4(6, bytes(SYN, new Uint8Array(100)), { length: 0 }));
    expect(packet).toMatchObject({ ipLength: 140, payloadLength: 100, malformed: 0 });
  });

  it("calls impossible headers malformed", () => {
    const packet = ipv4(6, SYN);
    const malformed = layout.MALFORMED_IP;
    expect(raw(patched(packet, 0, 0x44))).toMatchObject({ malformed, src: "10.0.0.1" });
    expect(decode(ethernet(IPV4, patched(packet, 0, 0x65)))).toMatchObject({ malformed, known: 0 });
    expect(raw(patched(packet, 2, 0, 19))).toMatchObject({ malformed, transport: undefined });
    // ip_rcv drops what is shorter than it says; the report still shows the ports.
    expect(raw(patched(packet, 2, 0, 41))).toMatchObject({ malformed, dport: 80 });
    expect(raw(packet.subarray(0, 19))).toMatchObject({ malformed });
    expect(raw(patched(packet, 0, 0x4f))).toMatchObject({ malformed });
  });

  it("tells malformed from truncated", () => {
    const packet = ipv4(6, bytes(SYN, new Uint8Array(60)));
    const cut = raw(packet.subarray(0, 40), { originalLength: 100 });
    expect(cut).toMatchObject({ flags: layout.PACKET_TRUNCATED, malformed: 0, payloadLength: 60 });
    expect(raw(packet.subarray(0, 40))).toMatchObject({ flags: 0, malformed: layout.MALFORMED_IP });
  });

  it("reads the ports of a first fragment and none of a later one", () => {
    const first = raw(ipv4(17, udp(new Uint8Array(8), 3000), { fragment: 0x2000 }));
    expect(first).toMatchObject({
      flags: layout.PACKET_FRAGMENT | layout.PACKET_MORE_FRAGMENTS,
      dport: 53,
      malformed: 0,
    });
    const later = raw(ipv4(17, new Uint8Array(16), { fragment: 0x2003 }));
    expect(later).toMatchObject({
      flags: layout.PACKET_FRAGMENT | layout.PACKET_LATER_FRAGMENT | layout.PACKET_MORE_FRAGMENTS,
      known: KNOWN_IPV4,
      protocol: 17,
      fragmentOffset: 24,
      payloadLength: 16,
      transport: undefined,
      malformed: 0,
    });
  });

  it("does not take the don't-fragment bit for a fragment", () => {
    expect(raw(ipv4(17, udp(bytes()), { fragment: 0x4000 })).flags).toBe(0);
  });

  it("does not call a tiny first fragment malformed", () => {
    const tiny = raw(ipv4(6, SYN.subarray(0, 8), { fragment: 0x2000 }));
    expect(tiny).toMatchObject({ malformed: 0, dport: 80 });
    expect(tiny.known & KNOWN_TCP).toBe(layout.KNOWN_PORTS);
  });
});

describe("decode: IPv6", () => {
  const hopByHop = (next: number): number[] => [next, 0, 1, 4, 0, 0, 0, 0];
  const fragment = (next: number, field: number): number[] => [
    next,
    0,
    field >> 8,
    field & 0xff,
    0,
    0,
    0,
    9,
  ];

  it("walks every extension header", () => {
    const chain = bytes(
      hopByHop(60),
      hopByHop(43),
      [51, 1, ...new Array<number>(14).fill(0)],
      [6, 1, ...new Array<number>(10).fill(0)],
      SYN,
    );
    expect(raw(ipv6(0, chain))).toMatchObject({
      protocol: 6,
      dport: 80,
      transport: 40 + 8 + 8 + 16 + 12,
      payloadLength: 0,
      malformed: 0,
    });
  });

  it("stops at ESP, at No Next Header and at what it does not know", () => {
    for (const next of [50, 59, 135, 253]) {
      const packet = raw(ipv6(0, bytes(hopByHop(next), new Uint8Array(24))));
      expect(packet).toMatchObject({ protocol: next, malformed: 0, payloadLength: 24 });
      expect(packet.known).toBe(KNOWN_IPV6);
    }
  });

  it("takes a later fragment's protocol from the fragment header", () => {
    const later = raw(ipv6(44, bytes(fragment(17, 0x0011), new Uint8Array(16))));
    expect(later).toMatchObject({
      flags:
        layout.PACKET_FRAGMENT |
        layout.PACKET_LATER_FRAGMENT |
        layout.PACKET_FRAGMENT_HEADER |
        layout.PACKET_MORE_FRAGMENTS,
      known: KNOWN_IPV4,
      protocol: 17,
      fragmentOffset: 16,
      ipId: 9,
      payloadLength: 16,
      transport: undefined,
    });
    // ipv6_find_hdr() finds nothing where an extension header follows.
    const extension = raw(ipv6(44, bytes(fragment(60, 0x0011), new Uint8Array(16))));
    expect(extension.known & layout.KNOWN_PROTOCOL).toBe(0);
    expect(extension.malformed).toBe(0);
  });

  it("reads a first fragment, and an atomic one as no fragment", () => {
    const first = raw(ipv6(44, bytes(fragment(6, 1), SYN)));
    expect(first).toMatchObject({
      flags: layout.PACKET_FRAGMENT | layout.PACKET_FRAGMENT_HEADER | layout.PACKET_MORE_FRAGMENTS,
      dport: 80,
      ipId: 9,
    });
    const atomic = raw(ipv6(44, bytes(fragment(6, 0), SYN)));
    expect(atomic).toMatchObject({ flags: layout.PACKET_FRAGMENT_HEADER, dport: 80, ipId: 9 });
  });

  it("calls a chain that leaves the packet malformed", () => {
    const destination = bytes([6, 9], new Uint8Array(14));
    expect(raw(ipv6(60, destination))).toMatchObject({
      malformed: layout.MALFORMED_EXTENSION,
      protocol: 6,
      transport: undefined,
    });
    expect(raw(ipv6(60, bytes(6)))).toMatchObject({ malformed: layout.MALFORMED_EXTENSION });
    // ipv6_parse_hopopts() fails in ipv6_rcv already.
    expect(raw(ipv6(0, destination))).toMatchObject({ malformed: layout.MALFORMED_IP });
    const cut = raw(ipv6(60, bytes([6, 1], new Uint8Array(14), SYN)).subarray(0, 50), {
      originalLength: 76,
    });
    expect(cut).toMatchObject({ malformed: 0, protocol: 6, transport: undefined });
  });

  it("walks 16 headers and gives up on more", () => {
    const chain = (count: number): Uint8Array =>
      ipv6(60, bytes(...new Array(count - 1).fill(hopByHop(60)), hopByHop(6), SYN));
    expect(raw(chain(16))).toMatchObject({ protocol: 6, dport: 80, malformed: 0 });
    const deep = raw(chain(17));
    expect(deep.known & (layout.KNOWN_PROTOCOL | layout.KNOWN_PORTS)).toBe(0);
    expect(deep.malformed).toBe(0);
  });

  it("reads jumbo payload lengths", () => {
    const jumbo = (length: number): number[] => [
      6,
      0,
      0xc2,
      4,
      length >>> 24,
      (length >>> 16) & 0xff,
      (length >>> 8) & 0xff,
      length & 0xff,
    ];
    const packet = (length: number, payloadField = 0): Uint8Array =>
      ipv6(0, bytes(jumbo(length), SYN, new Uint8Array(70000 - 28)), payloadField);
    expect(raw(packet(70000))).toMatchObject({
      ipLength: 70040,
      payloadLength: 70000 - 28,
      dport: 80,
      malformed: 0,
    });
    // > If the Jumbo Payload Length is less than 65,536: an error (RFC 2675, section 3).
    expect(raw(packet(65535))).toMatchObject({ malformed: layout.MALFORMED_IP });
    expect(raw(packet(70001))).toMatchObject({ malformed: layout.MALFORMED_IP });
    const cut = raw(packet(70000).subarray(0, 44), { originalLength: 70040 });
    expect(cut.known & (layout.KNOWN_IP_LENGTH | layout.KNOWN_PAYLOAD_LENGTH)).toBe(0);
    expect(cut).toMatchObject({ protocol: 6, malformed: 0 });
  });

  it("takes payload length 0 for a giant TCP packet when the frame is one", () => {
    const giant = raw(ipv6(6, bytes(SYN, new Uint8Array(66000)), 0));
    expect(giant).toMatchObject({ ipLength: 66060, payloadLength: 66000, malformed: 0 });
    expect(raw(ipv6(6, SYN, 0))).toMatchObject({ ipLength: 40, malformed: 3 });
  });

  it("calls impossible headers malformed", () => {
    const packet = ipv6(6, SYN);
    const malformed = layout.MALFORMED_IP;
    expect(decode(ethernet(IPV6, patched(packet, 0, 0x45)))).toMatchObject({ malformed, known: 0 });
    expect(raw(patched(packet, 4, 0, 21))).toMatchObject({ malformed, dport: 80 });
    expect(raw(packet.subarray(0, 39))).toMatchObject({ malformed });
  });

  it("reads ICMP only under its own IP version", () => {
    const echo = bytes([8, 0, 0, 0, 0, 1, 0, 1]);
    expect(raw(ipv6(1, echo))).toMatchObject({ known: KNOWN_IPV6, protocol: 1 });
    expect(raw(ipv4(58, echo))).toMatchObject({ known: KNOWN_IPV4, protocol: 58 });
  });
});

describe("decode: transport", () => {
  it("calls a header longer than its packet malformed", () => {
    const shortest = [
      [6, 20],
      [17, 8],
      [132, 12],
      [136, 8],
      [1, 8],
    ] as const;
    for (const [protocol, size] of shortest) {
      const short = raw(ipv4(protocol, new Uint8Array(size - 1)));
      expect(short.malformed, `protocol ${protocol}`).toBe(layout.MALFORMED_TRANSPORT);
      expect(short.known & layout.KNOWN_PAYLOAD_LENGTH).toBe(0);
    }
    expect(raw(ipv6(58, new Uint8Array(7)))).toMatchObject({ malformed: 3 });
    // Nobody reads DCCP's but rules.
    expect(raw(ipv4(33, new Uint8Array(3)))).toMatchObject({ malformed: 0, payloadLength: 3 });
    // What the packet does hold is there: `-m multiport` reads four bytes.
    expect(raw(ipv4(6, SYN.subarray(0, 4)))).toMatchObject({ malformed: 3, dport: 80 });
  });

  it("checks the TCP data offset", () => {
    const offset = (words: number): Decoded => raw(ipv4(6, patched(SYN, 12, words << 4)));
    expect(offset(4)).toMatchObject({ malformed: layout.MALFORMED_LENGTH, tcpOffset: 4 });
    expect(offset(5)).toMatchObject({ malformed: 0, payloadLength: 0 });
    expect(offset(6)).toMatchObject({ malformed: layout.MALFORMED_LENGTH, dport: 80 });
  });

  it("checks the UDP length and the UDP-Lite coverage, which has to have a checksum", () => {
    const length = (protocol: number, value: number, checksum: number): number =>
      raw(ipv4(protocol, patched(udp(bytes(1, 2, 3, 4), value), 7, checksum))).malformed;
    expect([0, 7, 8, 11, 12, 13].map((value) => length(17, value, 0))).toEqual([4, 4, 0, 0, 0, 4]);
    expect([0, 7, 8, 12, 13].map((value) => length(136, value, 1))).toEqual([0, 4, 0, 0, 4]);
    expect([0, 7, 8, 12, 13].map((value) => length(136, value, 0))).toEqual([4, 4, 4, 4, 4]);
  });

  it("reads ids of timestamp, information and mask messages, and of no others", () => {
    const id = (type: number): number => raw(ipv4(1, bytes([type, 0, 0, 0, 0, 7, 0, 1]))).icmpId;
    expect([0, 8, 13, 14, 15, 16, 17, 18].map(id)).toEqual(new Array(8).fill(7));
    expect([3, 4, 5, 9, 10, 11, 12, 19, 42].map(id)).toEqual(new Array(9).fill(0));
    const id6 = (type: number): number => raw(ipv6(58, bytes([type, 0, 0, 0, 0, 7, 0, 1]))).icmpId;
    expect([128, 129, 139, 140].map(id6)).toEqual(new Array(4).fill(7));
    expect([1, 2, 127, 130, 138, 141].map(id6)).toEqual(new Array(6).fill(0));
  });
});

describe("decode: quoted headers", () => {
  const error = (quote: Uint8Array, type = 11): Decoded =>
    raw(ipv4(1, bytes([type, 0, 0, 0, 0, 0, 0, 0], quote)));
  const error6 = (quote: Uint8Array, type = 3): Decoded =>
    raw(ipv6(58, bytes([type, 0, 0, 0, 0, 0, 0, 0], quote)));
  const quoted = (packet: Decoded): boolean => (packet.known & layout.KNOWN_QUOTE) !== 0;

  it("reads eight bytes of transport behind options", () => {
    const quote = ipv4(6, SYN.subarray(0, 8), { options: [1, 1, 1, 0], length: 1500 });
    expect(error(quote)).toMatchObject({
      quotedProtocol: 6,
      quotedSrc: "10.0.0.1",
      quotedDst: "10.0.0.2",
      quotedSport: 1000,
      quotedDport: 80,
    });
    for (const type of [3, 4, 5, 11, 12]) expect(quoted(error(quote, type))).toBe(true);
    for (const type of [0, 8, 9, 13]) expect(quoted(error(quote, type))).toBe(false);
  });

  it("reads a quoted echo and a quoted protocol without ports", () => {
    expect(error(ipv4(1, bytes([8, 3, 0, 0, 0x12, 0x34, 0, 1])))).toMatchObject({
      quotedProtocol: 1,
      quotedSport: 0x1234,
      quotedDport: 0x803,
    });
    expect(error(ipv4(47, bytes()))).toMatchObject({ quotedProtocol: 47, quotedDst: "10.0.0.2" });
  });

  it("knows no quote where conntrack has none", () => {
    expect(quoted(error(ipv4(6, SYN.subarray(0, 3))))).toBe(false);
    expect(quoted(error(ipv4(1, bytes([8, 0, 0, 0, 0, 1, 0]))))).toBe(false);
    expect(quoted(error(ipv4(17, new Uint8Array(8), { fragment: 1 })))).toBe(false);
    expect(quoted(error(ipv4(6, SYN).subarray(0, 19)))).toBe(false);
    expect(quoted(error6(ipv6(59, new Uint8Array(8))))).toBe(false);
    expect(quoted(error6(ipv6(44, bytes([17, 0, 0, 8, 0, 0, 0, 1], udp(bytes())))))).toBe(false);
    expect(quoted(error6(ipv6(6, SYN), 137))).toBe(false);
  });

  it("walks the extension headers of a quoted IPv6 packet", () => {
    const quote = ipv6(60, bytes([6, 0, 1, 4, 0, 0, 0, 0], SYN.subarray(0, 8)), 1400);
    expect(error6(quote)).toMatchObject({
      quotedProtocol: 6,
      quotedSrc: "2001:db8:0:0:0:0:0:1",
      quotedDst: "2001:db8:0:0:0:0:0:2",
      quotedDport: 80,
      // The quote's chain says nothing of the packet's own.
      protocol: 58,
      flags: 0,
    });
  });
});

/** Which fields each KNOWN bit vouches for. */
const FIELDS: readonly (readonly [number, readonly (keyof Decoded)[]])[] = [
  [layout.KNOWN_SRC, ["src"]],
  [layout.KNOWN_DST, ["dst"]],
  [layout.KNOWN_PROTOCOL, ["protocol"]],
  [layout.KNOWN_PORTS, ["sport", "dport"]],
  [layout.KNOWN_TCP_FLAGS, ["tcpFlags"]],
  [layout.KNOWN_TCP_SEQ, ["tcpSeq", "tcpAck", "tcpWindow"]],
  [layout.KNOWN_ICMP, ["icmpType", "icmpCode"]],
  [layout.KNOWN_ICMP_ID, ["icmpId"]],
  [layout.KNOWN_IP_LENGTH, ["ipLength"]],
  [layout.KNOWN_TTL, ["ttl"]],
  [layout.KNOWN_TOS, ["tos"]],
  [layout.KNOWN_IP_ID, ["ipId"]],
  [layout.KNOWN_PAYLOAD_LENGTH, ["payloadLength"]],
  [layout.KNOWN_FRAGMENT, ["fragmentOffset"]],
  [layout.KNOWN_QUOTE, ["quotedProtocol", "quotedSrc", "quotedDst", "quotedSport", "quotedDport"]],
];

function expectSameKnown(packet: Decoded, whole: Decoded): void {
  for (const [bit, fields] of FIELDS) {
    if ((packet.known & bit) === 0) continue;
    for (const field of fields) expect(packet[field], field).toBe(whole[field]);
  }
}
