/**
 * The innermost items of Calico's rules: protocols, ICMP types, ports and Services, each with the checks
 * of libcalico-go lib/validator/v3 and api/pkg/lib/numorstring.
 */
import {
  checkKnownFields,
  fieldOf,
  formatPath,
  itemsOf,
  placeOfField,
  readInteger,
  readText,
  reportField,
  suggestionFor,
  thoseRead,
  type Field,
} from "../cluster/fields.ts";
import { isPort } from "../cluster/read-network.ts";
import {
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
} from "../net/protocol.ts";
import type { IcmpMatch, RulePort, ServiceRef } from "./model.ts";

/** A protocol as a rule writes it. */
export interface RuleProtocol {
  readonly number: number;
  /** Only a name says which family is meant: `protocol: 1` is of either. */
  readonly named: boolean;
}

const PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ["TCP", PROTOCOL_TCP],
  ["UDP", PROTOCOL_UDP],
  ["ICMP", PROTOCOL_ICMP],
  ["ICMPv6", PROTOCOL_ICMPV6],
  ["SCTP", PROTOCOL_SCTP],
  ["UDPLite", PROTOCOL_UDPLITE],
]);

/** Reads a protocol: a name, in whatever case, or a number. Reports BAD_VALUE. */
export function readRuleProtocol(field: Field): RuleProtocol | undefined {
  const { value } = field;
  if (value === undefined) return undefined;
  const text = typeof value === "number" ? `${value}` : readText(field);
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number >= 1 && number <= 255) return { number, named: false };
    reportField(field, { code: "BAD_VALUE", message: `${text} is no protocol: 1 to 255` });
    return undefined;
  }
  for (const [name, number] of PROTOCOLS) {
    if (name.toLowerCase() === text.toLowerCase()) return { number, named: true };
  }
  const names = [...PROTOCOLS.keys()];
  reportField(field, {
    code: "BAD_VALUE",
    message: `"${text}" is no protocol: ${names.join(", ")}, or a number from 1 to 255`,
    suggestion: suggestionFor(text, names),
  });
  return undefined;
}

/** Tells whether packets of a protocol have ports, as far as a rule can ask for them. */
export function hasPorts(protocol: number): boolean {
  return [PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP].includes(protocol);
}

/** Reads `icmp` or `notICMP`; undefined when it asks for nothing. Reports BAD_VALUE. */
export function readIcmp(field: Field): IcmpMatch | undefined {
  checkKnownFields(field, ["type", "code"]);
  const typeField = fieldOf(field, "type");
  const codeField = fieldOf(field, "code");
  const type = readInteger(typeField);
  const code = readInteger(codeField);
  if (type !== undefined && (type < 0 || type > 254)) {
    reportField(typeField, { code: "BAD_VALUE", message: `${type} is no ICMP type: 0 to 254` });
  }
  if (code !== undefined && (code < 0 || code > 255)) {
    reportField(codeField, { code: "BAD_VALUE", message: `${code} is no ICMP code: 0 to 255` });
  }
  if (type === undefined && code !== undefined) {
    reportField(codeField, { code: "BAD_VALUE", message: "needs an ICMP type beside it" });
  }
  return type === undefined ? undefined : { type, code };
}

/** Reads a list of ports: numbers, `"80"`, `"80:90"` and names. Reports BAD_PORT and BAD_PORT_RANGE. */
export function readRulePorts(field: Field): readonly RulePort[] {
  return thoseRead(itemsOf(field).map(readRulePort));
}

function readRulePort(field: Field): RulePort | undefined {
  const { value } = field;
  const place = placeOfField(field);
  if (typeof value === "number") return portRange(field, value, value);
  const text = readText(field) ?? "";
  const range = /^(\d+)(?::(\d+))?$/.exec(text);
  if (range !== null) {
    const first = Number(range[1]);
    return portRange(field, first, range[2] === undefined ? first : Number(range[2]));
  }
  if (/^[A-Za-z0-9_.-]{1,128}$/.test(text)) return { kind: "named", name: text, place };
  if (value === undefined || typeof value === "string") {
    reportField(field, {
      code: "BAD_PORT",
      message: `"${text}" is no port: a number, a range such as "80:90", or a port's name`,
    });
  }
  return undefined;
}

function portRange(field: Field, first: number, last: number): RulePort | undefined {
  const wrong = [first, last].find((port) => !isPort(port));
  if (wrong !== undefined) {
    reportField(field, { code: "BAD_PORT", message: `${wrong} is no port: 1 to 65535` });
    return undefined;
  }
  if (last < first) {
    reportField(field, {
      code: "BAD_PORT_RANGE",
      message: `port range ${first}:${last}: end is below start`,
    });
    return undefined;
  }
  return { kind: "range", first, last, place: placeOfField(field) };
}

/**
 * Reads `services`: one Service, of the policy's namespace where it names none. Reports BAD_PEER and
 * MISSING_FIELD.
 */
export function readServiceMatch(
  field: Field,
  policyNamespace: string | undefined,
): ServiceRef | undefined {
  if (field.value === undefined) return undefined;
  checkKnownFields(field, ["name", "namespace"]);
  const name = readText(fieldOf(field, "name")) ?? "";
  const written = readText(fieldOf(field, "namespace")) ?? "";
  const namespace = written === "" ? policyNamespace : written;
  if (name === "") {
    reportField(field, { code: "MISSING_FIELD", message: "must specify a service name" });
    return undefined;
  }
  if (namespace === undefined) {
    reportField(field, {
      code: "MISSING_FIELD",
      message: "must specify the service's namespace: the policy is in none",
    });
    return undefined;
  }
  return { namespace, name, place: placeOfField(field) };
}

/** Reports a field that may not stand beside another one of its side. */
export function refuseBeside(field: Field, other: string): void {
  reportField(field, {
    code: "BAD_PEER",
    message: `may not stand beside ${other} of ${formatPath(field.path.slice(0, -1))}`,
  });
}
