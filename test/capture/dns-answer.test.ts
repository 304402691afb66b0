import { describe, expect, it } from "vitest";

import { readDnsAnswer, readDnsQuestion } from "../../src/capture/dns-answer.ts";
import { formatAddress } from "../../src/net/address.ts";
import { buildDns } from "../dns.ts";
import type { DnsSpec } from "../dns.ts";

const A = [203, 0, 113, 7];
const AAAA = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

function read(message: Uint8Array): string[] | undefined {
  const answer = readDnsAnswer(message);
  return answer?.addresses.map(
    ({ address, seconds }) => `${answer.name} ${formatAddress(address)} ${seconds}`,
  );
}

/** One address of www.example.com. */
const PLAIN: DnsSpec = {
  name: "www.Example.com",
  answers: [{ name: "www.example.com", type: "A", data: A }],
};

describe("readDnsQuestion", () => {
  const QUESTION = { name: "www.Example.com", answers: [], flags: 0x0100 } as const;

  it("reads what is asked, by whatever letters", () => {
    const message = buildDns({ ...QUESTION, type: "AAAA", id: 7 });
    expect(readDnsQuestion(message)).toEqual({ id: 7, name: "www.example.com", type: 28 });
  });

  it.each<[string, Partial<DnsSpec>]>([
    ["an answer", { flags: 0x8180 }],
    ["another kind of query", { flags: 0x2800 }],
    ["a message that was cut", { flags: 0x0300 }],
    ["no question", { questions: 0 }],
    ["two questions", { questions: 2 }],
  ])("leaves out %s", (_, changes) => {
    expect(readDnsQuestion(buildDns({ ...QUESTION, ...changes }))).toBeUndefined();
  });

  it("leaves out a message that ends anywhere before its end", () => {
    const message = buildDns(QUESTION);
    for (let length = 0; length < message.length; length++) {
      expect(readDnsQuestion(message.subarray(0, length))).toBeUndefined();
    }
  });
});

describe("readDnsAnswer", () => {
  it.each([true, false])("reads addresses of both families, compressed: %s", (compressed) => {
    const answers = [
      ...PLAIN.answers,
      { name: "WWW.example.com", type: "AAAA", data: AAAA, seconds: 20 } as const,
    ];
    const [four, six] = ["www.example.com 203.0.113.7 300", "www.example.com 2001:db8::7 20"];
    const asked = (type: DnsSpec["type"]) =>
      read(buildDns({ ...PLAIN, answers, compressed, type }));
    expect(asked("A")).toEqual([four]);
    expect(asked("AAAA")).toEqual([six]);
    expect(asked("ANY")).toEqual([four, six]);
    // What was not asked for.
    expect(asked("TXT")).toEqual([]);
  });

  it("follows aliases, in whatever order they stand, and takes the shortest lifetime", () => {
    const answers = [
      { name: "edge.cdn.net", type: "A", data: A, seconds: 60 },
      { name: "www.example.com", type: "CNAME", data: "x.cdn.net", seconds: 30 },
      { name: "x.cdn.net", type: "CNAME", data: "edge.cdn.net", seconds: 900 },
      { name: "other.cdn.net", type: "A", data: [192, 0, 2, 1] },
    ] as const;
    expect(read(buildDns({ name: "www.example.com", answers }))).toEqual([
      "www.example.com 203.0.113.7 30",
    ]);
  });

  it("takes a lifetime with the highest bit for none, and no address of another name", () => {
    const answers = [
      { name: "example.com", type: "A", data: A, seconds: 0x80000000 },
      { name: "example.org", type: "A", data: [192, 0, 2, 1] },
      { name: "example.com", type: "TXT", data: [1, 65] },
    ] as const;
    expect(read(buildDns({ name: "example.com", answers }))).toEqual(["example.com 203.0.113.7 0"]);
  });

  it.each<[string, Partial<DnsSpec>]>([
    ["a question", { flags: 0x0100 }],
    ["an error", { flags: 0x8183 }],
    ["a message that was cut", { flags: 0x8380 }],
    ["another kind of query", { flags: 0xa000 }],
    ["no question", { questions: 0 }],
    ["two questions", { questions: 2 }],
    [
      "an address of 5 bytes",
      { answers: [{ name: PLAIN.name, type: "A", data: [1, 2, 3, 4, 5] }] },
    ],
    ["aliases in a circle", { answers: [{ name: PLAIN.name, type: "CNAME", data: PLAIN.name }] }],
    [
      "two aliases",
      {
        answers: [
          { name: PLAIN.name, type: "CNAME", data: "a.b" },
          { name: PLAIN.name, type: "CNAME", data: "c.d" },
        ],
      },
    ],
    [
      "more aliases than anyone follows",
      {
        name: "n0.example",
        answers: Array.from({ length: 40 }, (_, index) => ({
          name: `n${index}.example`,
          type: "CNAME",
          data: `n${index + 1}.example`,
        })),
      },
    ],
    ["a name that no policy can have", { name: "a b.example.com", answers: [] }],
  ])("leaves out %s", (_, changes) => {
    expect(read(buildDns({ ...PLAIN, ...changes }))).toBeUndefined();
  });

  it.each([
    ["itself", 12],
    ["what is behind it", 40],
    ["beyond the message", 0x3fff],
  ])("leaves out a name that points at %s", (_, target) => {
    const message = buildDns(PLAIN);
    message.set([0xc0 | (target >> 8), target & 0xff], 12);
    expect(read(message)).toBeUndefined();
  });

  it("leaves out a message that ends anywhere before its end", () => {
    const message = buildDns(PLAIN);
    for (let length = 0; length < message.length; length++) {
      expect(read(message.subarray(0, length))).toBeUndefined();
    }
  });

  it("gives an answer or none to whatever bytes there are", () => {
    let state = 20261127;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 0x100000000) * below);
    };
    let answers = 0;
    for (let round = 0; round < 20_000; round++) {
      const message =
        round % 4 === 0
          ? Uint8Array.from({ length: random(80) }, () => random(256))
          : buildDns({
              name: "www.example.com",
              answers: [
                { name: "www.example.com", type: "CNAME", data: "edge.example.com" },
                { name: "edge.example.com", type: "A", data: A },
              ],
            });
      for (let change = 0; change < round % 5; change++) {
        message[random(message.length)] = random(4) === 0 ? 0xc0 : random(256);
      }
      const answer = readDnsAnswer(message);
      if (answer === undefined) continue;
      answers += 1;
      expect(answer.name.length).toBeLessThanOrEqual(253);
    }
    expect(answers).toBeGreaterThan(2000);
  });

  it("is done soon with a message of pointers to pointers", () => {
    const message = new Uint8Array(65_535);
    message.set(buildDns({ name: "a.b", answers: [] }));
    message.set([0xff, 0xff], 6);
    for (let at = 22; at + 1 < message.length; at += 2) {
      message.set([0xc0 | (((at - 2) >> 8) & 0x3f), (at - 2) & 0xff], at);
    }
    expect(read(message)).toBeUndefined();
  });
});
