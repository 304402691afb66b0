import { describe, expect, it } from "vitest";
import {
  expressionMatches,
  isExpressionError,
  parseExpression,
} from "../../src/report/expression.ts";
import { droppedPacket } from "./verdicts.ts";

function chooses(text: string, changes: Parameters<typeof droppedPacket>[0] = {}): boolean {
  const parsed = parseExpression(text);
  if (isExpressionError(parsed)) throw new Error(parsed.message);
  return expressionMatches(parsed, droppedPacket(changes));
}

describe("expressionMatches", () => {
  it.each([
    "host 10.65.0.1",
    "src host 10.65.0.1",
    "dst 10.65.0.3",
    "net 10.65.0.0/24 and tcp",
    "port 41122",
    "tcp dst port 8443",
    "portrange 8000-9000",
    "ip and not udp",
    "udp or port 8443",
    "!(udp || icmp) && ip",
    // Equal precedence, from the left: (udp or tcp) and port 8443.
    "udp or tcp and port 8443",
  ])("chooses the packet by %s", (text) => {
    expect(chooses(text)).toBe(true);
  });

  it.each(["dst host 10.65.0.1", "src port 8443", "udp", "ip6", "not tcp", "tcp or tcp and udp"])(
    "does not choose it by %s",
    (text) => {
      expect(chooses(text)).toBe(false);
    },
  );

  it("takes a field that is not known for one that does not match", () => {
    expect(chooses("port 8443", { destinationPort: undefined })).toBe(false);
  });
});

describe("parseExpression", () => {
  it.each([
    ["host 10.1", 6, "expected an address"],
    ["tcp port", 9, "expected a port number"],
    ["port 65536", 6, "expected a port number from 0 to 65535"],
    ["(tcp", 5, "expected )"],
    ["tcp udp", 5, "expected and, or, or the end"],
    ["portrange 9-8", 11, "expected FIRST-LAST"],
    ["vlan 3", 1, '"vlan" is not supported'],
    ["!".repeat(200), 101, "nested too deeply"],
    [`${"ip or ".repeat(3000)}ip`, 2048 * 6 + 1, "more than 4096 words"],
  ])("refuses %s at column %d", (text, column, message) => {
    const parsed = parseExpression(text);
    expect(parsed).toMatchObject({ column });
    expect(isExpressionError(parsed) ? parsed.message : "").toContain(message);
  });
});
