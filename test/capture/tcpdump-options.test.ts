import { describe, expect, it } from "vitest";

import { judgeHopByHop } from "../../src/capture/tcpdump-hop-by-hop.ts";
import { judgeOptions } from "../../src/capture/tcpdump-options.ts";

describe("judgeOptions", () => {
  it.each([
    ["NOP,NOP,NOP,EOL", "sound"],
    ["RA", "sound"],
    ["RA value 258", "sound"],
    ["RA [bad length 3],EOL", "bad"],
    ["security,EOL", "sound"],
    ["unknown 30", "sound"],
    ["unknown 30 [bad length 1]", "bad"],
    ["NOP,traceroute [bad length 12]", "bad"],
    ["unknown 134,EOL", "unknown"],
    ["unknown 134,unknown 134,EOL", "bad"],
    // The pointer is behind the commas.
    ["RR 1.2.3.4,EOL", "sound"],
    ["RR 1.2.3.4, 5.6.7.8,EOL", "sound"],
    // Nothing is left to write to, or the pointer is 0.
    ["RR 1.2.3.4,,EOL", "unknown"],
    ["RR 1.2.3.4,", "unknown"],
    ["RR,EOL", "unknown"],
    ["RR [bad ptr 5] 1.2.3.4,,EOL", "bad"],
    ["RR [bad ptr 3] 1.2.3.4,EOL", "bad"],
    ["RR [bad ptr 9] 1.2.3.4,,EOL", "sound"],
    // Of the second address one byte is there.
    ["RR [bad length 8] 1.2.3.4 5.15.160.35", "sound"],
    ["RR [bad length 8] 1.2.3.4, 5.15.160.35", "bad"],
    ["RR [bad length 200]", "bad"],
    ["RR 1.2.3.4,RR 1.2.3.4", "bad"],
    ["LSRR 1.2.3.4,EOL", "route"],
    ["SSRR 1.2.3.4,,EOL", "route"],
    ["LSRR 1.2.3.4,,SSRR 1.2.3.4", "bad"],
    ["LSRR 1.2.3.4,unknown 134", "route"],
    ["SSRR [bad length 2],EOL", "bad"],
    ["timestamp TS{TSONLY ^ 1@ 2@}", "sound"],
    ["timestamp TS{TSONLY 1@ ^ 2@}", "sound"],
    ["timestamp TS{TSONLY 1@ 2@ ^ }", "sound"],
    ["timestamp TS{TS+ADDR 1@1.2.3.4 ^  [14 hops not recorded]} ", "sound"],
    ["timestamp TS{TS+ADDR 1@1.2.3.4 ^  [15 hops not recorded]} ", "bad"],
    ["timestamp TS{PRESPEC 1@1.2.3.4 ^  [15 hops not recorded]} ", "sound"],
    ["timestamp TS{[bad ptr 3]TSONLY 1@}", "bad"],
    ["timestamp TS{[bad ptr 7]TSONLY 1@}", "bad"],
    ["timestamp TS{[bad ts type 2]}", "sound"],
    ["timestamp TS{[bad ptr 6][bad ts type 2]}", "unknown"],
    ["timestamp[bad length 3],EOL", "bad"],
    ["timestamp [bad length 44]", "bad"],
    // Cut by the snap length, or nothing that tcpdump prints.
    ["RR [truncated-option]", "unknown"],
    ["LSRR 1.2.3.4, [truncated-option]", "route"],
    [" RA (148) len 4 ", "unknown"],
    ["", "unknown"],
  ])("%s: %s", (text, expected) => {
    expect(judgeOptions(text)).toBe(expected);
  });
});

describe("judgeHopByHop", () => {
  it.each([
    [["pad1", "pad1", "rtalert: 0x0000"], undefined, "sound"],
    [["rtalert: 0x0000", "pad1", "pad1"], undefined, "sound"],
    // How long the padding is nothing tells, unless there is no room for more.
    [["rtalert: 0x0000", "padn"], undefined, "unknown"],
    [["rtalert: 0x0000", "padn"], 8, "sound"],
    [["rtalert: 0x0000", "padn"], 15, "sound"],
    [["rtalert: 0x0000", "padn"], 16, "unknown"],
    [["padn"], 8, "unknown"],
    [["padn", "padn", "padn", "padn", "rtalert: 0x0000"], undefined, "bad"],
    [["opt_type 0x1e: len=4"], undefined, "sound"],
    [["unknown opt-type 0x1e len=4"], undefined, "sound"],
    [["opt_type 0x5e: len=4"], undefined, "bad"],
    [["opt_type 0x07: len=4"], undefined, "bad"],
    // Of IOAM the place counts.
    [["opt_type 0x31: len=4"], undefined, "bad"],
    [["pad1", "pad1", "opt_type 0x31: len=2"], undefined, "sound"],
    [["padn", "opt_type 0x31: len=2"], undefined, "unknown"],
    [["padn", "opt_type 0x31: len=2"], 8, "sound"],
    [["padn", "pad1", "opt_type 0x31: len=1"], 8, "bad"],
    [["jumbo: 80040"], undefined, "sound"],
    [["jumbo: 65535"], undefined, "bad"],
    [["jumbo: 80040 - payload len != 0"], undefined, "bad"],
    [["jumbo: 80040", "jumbo: 80040 - already seen"], undefined, "unknown"],
    [["rtalert: invalid len 3"], undefined, "bad"],
    [["homeaddr: 2001:db8::1"], undefined, "bad"],
    [["type 30: trunc"], undefined, "bad"],
    [new Array<string>(9).fill("opt_type 0x1e: len=0"), undefined, "bad"],
    [["words of another version"], undefined, "unknown"],
    [["opt_type 0x1e: len=3"], undefined, "unknown"],
  ] as const)("%j in %s: %s", (options, room, expected) => {
    expect(judgeHopByHop(options, room)).toBe(expected);
  });
});
