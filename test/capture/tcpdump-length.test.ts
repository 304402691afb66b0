import { describe, expect, it } from "vitest";

import * as layout from "../../assembly/layout.ts";
import { TCPDUMP } from "../../src/capture/tcpdump.ts";
import { readCapture } from "./truth.ts";

/** The packet's bytes as the words make them, with `!` where it has no fewer. */
function lengthIn(line: string): string {
  const text = new TextEncoder().encode(`22:13:20.000001 ${line}\n`);
  const { packets, diagnostics } = readCapture(TCPDUMP, text);
  expect(diagnostics).toEqual([]);
  const { ipLength, flags } = packets[0]!;
  return `${ipLength}${(flags & layout.PACKET_LEAST_LENGTH) === 0 ? "" : "!"}`;
}

const ENDS = "2001:db8::20.40001 > fd00:65::1.80:";
const HOSTS = "2001:db8::20 > fd00:65::1:";
const MACS = "02:00:00:00:02:05 > 02:00:00:00:01:00, ethertype IPv6 (0x86dd), length";

describe("the length of a packet whose header is not printed", () => {
  it.each([
    [`Flags [.], seq 1:1335, ack 1, win 9, length 1334`, "1394!"],
    [`Flags [.], seq 1:1335, ack 1, win 9, options [nop,nop,TS val 1 ecr 2], length 1334`, "1406!"],
    [`Flags [.], seq 1:1335, ack 1, win 9, options [sack 0 ,nop,nop], length 1334`, "1398!"],
    [`Flags [.], seq 1:1335, ack 1, win 9, options [unknown-28 0x0101], length 1334`, "1434"],
    // What the payload says is not the header's.
    [`Flags [P.], ack 1, win 9, length 1330: HTTP: GET /, options [x], length 5`, "1390!"],
    // -q prints no options.
    ["tcp 1334", "1434"],
    // tcpdump before 4.0.
    ["P 1:1335(1334) ack 1 win 65535", "1394!"],
    ["P 1:1335(1334) ack 1 win 65535 (DF)", "1394!"],
    ["P 1:1335(1334) ack 1 win 65535 urg 7", "1394!"],
    ["P 1:1335(1334) ack 1 win 65535 <nop,nop,timestamp 1 2>", "1406!"],
    ["P 1:1335(1334) ack 1 win 65535 <nop,nop,timestamp 1 2> (DF)", "1406!"],
    ["P 1:1335(1334) ack 1 win 65535 <nop,nop,sack sack 1 {1:2} >", "1434"],
    ["P 1:1335(1334) ack 1 win 65535 <nop,nop[|tcp]>", "1434"],
    ["P 1:1335(1334) ack 1 win 65535: BGP", "1434"],
    // The snap length cut the length.
    ["Flags [P.], seq 1:1435, ack 1, win 9, options [nop,nop,TS[|tcp]", "1534"],
    ["Flags [P.], seq 4294967295:1433, ack 1, win 9, options [nop[|tcp]", "1534"],
  ])("is that of TCP's header and payload: %s", (words, expected) => {
    expect(lengthIn(`IP6 ${ENDS} ${words}`)).toBe(expected);
  });

  it.each([
    ["ICMP6, echo request, id 1, seq 2, length 1400", "1440!"],
    ["ICMP6, echo request [|icmp6]", "1500"],
    ["HBH ICMP6, multicast listener report v2, 90 group record(s) [|icmp6]", "1500"],
    [
      "AH(spi=0x00000001,seq=0x1,icv=0x000102030405060708090a0b): 40001 > 80: UDP, length 1388",
      "1500",
    ],
    ["frag (0|1448) 40001 > 80: UDP, length 2000", "1496!"],
    ["DSTOPT 40001 > 80: UDP, length 1400", "1500"],
  ])("is the frame's where the words tell only a part: %s", (words, expected) => {
    expect(lengthIn(`${MACS} 1514: ${HOSTS} ${words}`)).toBe(expected);
  });

  it.each([
    ["02:00:00:00:02:05 > 02:00:00:00:01:00, ethertype IPv4 (0x0800), length 1514:"],
    [
      "02:00:00:00:02:05 > 02:00:00:00:01:00, ethertype 802.1Q (0x8100), length 1518: vlan 2, p 0, ethertype IPv4 (0x0800),",
    ],
    [
      "02:00:00:00:02:05 > 02:00:00:00:01:00, ethertype 802.1Q-QinQ (0x88a8), length 1522: vlan 1, p 0, ethertype 802.1Q (0x8100), vlan 2, p 0, ethertype IPv4 (0x0800),",
    ],
    ["02:00:00:00:02:05 > 02:00:00:00:01:00, IPv4, length 1514:"],
    ["02:00:00:00:02:05 > 02:00:00:00:01:00, 802.1Q, length 1518: vlan 2, p 0, IPv4,"],
    [
      "02:00:00:00:02:05 > 02:00:00:00:01:00, 802.1Q-QinQ, length 1522: vlan 1, p 0, 802.1Q, vlan 2, p 0, IPv4,",
    ],
    [" In 02:00:00:00:02:05 ethertype IPv4 (0x0800), length 1516:"],
    ["ifb0  In  ifindex 2 02:00:00:00:02:05 ethertype IPv4 (0x0800), length 1520:"],
  ])("is the frame's without its link layer's header: %s", (words) => {
    const tunnel = "192.0.2.20 > 198.18.0.7: 10.9.0.1.1 > 10.9.0.2.2: UDP, length 1444";
    expect(lengthIn(`${words} ${tunnel}`)).toBe("1500");
  });

  it("does not trust the number of groups that a report claims", () => {
    const header = "(hlim 1, next-header Options (0) payload length: 76)";
    const line = `IP6 ${header} ${HOSTS} HBH (padn)(rtalert: 0x0000) [icmp6 sum ok] ICMP6,`;
    const text = `22:13:20.000001 ${line} multicast listener report v2,`;
    const claims = [
      `${text} 3 group record(s)`,
      `${text} 1 group record(s) [gaddr ff02::2 to_ex { }]`,
    ];
    const bytes = new TextEncoder().encode(`${claims.join("\n")}\n`);
    expect(readCapture(TCPDUMP, bytes).packets.map(({ shownOptions }) => shownOptions)).toEqual([
      layout.SHOWN_OPTIONS_UNKNOWN,
      layout.SHOWN_OPTIONS_UNKNOWN,
    ]);
  });

  it("has the check value of an authentication header", () => {
    const header = "AH(spi=0x00000001,seq=0x1,icv=0x000102030405060708090a0b):";
    const line = `IP6 ${HOSTS} ${header} 40001 > 80: UDP, length 1388`;
    expect(lengthIn(line)).toBe(`${40 + 24 + 8 + 1388}!`);
  });
});
