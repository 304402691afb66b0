/** Addresses, ports and protocols as objects write them, read from fields. */
import {
  hostPrefix,
  parseAddress,
  parsePrefix,
  type Address,
  type Prefix,
} from "../net/address.ts";
import {
  fieldOf,
  readInteger,
  readText,
  reportField,
  suggestionFor,
  type Field,
} from "./fields.ts";
import { API_VERSIONS_OF_CALICO } from "./kinds.ts";
import type { PortProtocol } from "./snapshot.ts";

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;

/** Reads an address; absent and empty are both absent. Reports BAD_ADDRESS. */
export function readAddress(field: Field): Address | undefined {
  const text = readText(field);
  if (text === undefined || text === "") return undefined;
  const address = parseAddress(text);
  if (address === undefined) {
    reportField(field, { code: "BAD_ADDRESS", message: `"${text}" is no IPv4 or IPv6 address` });
  }
  return address;
}

/** Reads a prefix, host bits masked; absent and empty are both absent. Reports BAD_PREFIX. */
export function readPrefix(field: Field): Prefix | undefined {
  const text = readText(field);
  if (text === undefined || text === "") return undefined;
  const parsed = parsePrefix(text);
  if (parsed === undefined) {
    reportField(field, { code: "BAD_PREFIX", message: `"${text}" is no prefix: ADDRESS/BITS` });
  }
  return parsed?.prefix;
}

/** Reads a prefix or an address, which is a prefix of all its bits. Reports BAD_PREFIX. */
export function readNet(field: Field): Prefix | undefined {
  const text = readText(field);
  if (text === undefined) {
    if (field.value === undefined) reportField(field, { code: "BAD_PREFIX", message: "is empty" });
    return undefined;
  }
  const address = parseAddress(text);
  const prefix = address === undefined ? parsePrefix(text)?.prefix : hostPrefix(address);
  if (prefix === undefined) {
    reportField(field, {
      code: "BAD_PREFIX",
      message: `"${text}" is no prefix or address: ADDRESS/BITS or ADDRESS`,
    });
  }
  return prefix;
}

/** Reads a port number. Reports BAD_PORT when it is not 1 to 65535. */
export function readPort(field: Field): number | undefined {
  const port = readInteger(field);
  if (port === undefined || isPort(port)) return port;
  reportField(field, { code: "BAD_PORT", message: `${port} is no port: 1 to 65535` });
  return undefined;
}

/** Reads one of some words; undefined when absent, or when it was reported as BAD_VALUE. */
export function readWord<T extends string>(
  field: Field,
  what: string,
  words: readonly T[],
): T | undefined {
  const written = readText(field);
  const word = words.find((known) => known === written);
  // > Empty is absent.
  if (word === undefined && written !== undefined && written !== "") {
    reportField(field, {
      code: "BAD_VALUE",
      message: `"${written}" is no ${what}: one of ${words.join(", ")}`,
      suggestion: suggestionFor(written, words),
    });
  }
  return word;
}

/** Tells whether a number can be a port. */
export function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65535;
}

/** Says what is wrong with a port name. Source: apimachinery validation.IsValidPortName. */
export function portNameFault(name: string): string | undefined {
  if (/^\d+$/.test(name)) {
    return `"${name}" in quotes is a port name, and a name needs a letter: write ${name}`;
  }
  const fine = /^[-a-z0-9]{1,15}$/.test(name) && /[a-z]/.test(name) && !/^-|--|-$/.test(name);
  return fine
    ? undefined
    : `"${name}" is no port name: at most 15 lower-case letters, digits and single "-", one letter at least`;
}

/**
 * Reads a protocol; TCP when absent, undefined when it was reported as BAD_VALUE.
 *
 * > If not specified, this field defaults to TCP.
 */
export function readProtocol(field: Field): PortProtocol | undefined {
  if (field.value === undefined) return "TCP";
  const written = readText(field);
  const protocol = PROTOCOLS.find((known) => known === written);
  if (protocol === undefined && written !== undefined) {
    const meant = PROTOCOLS.find((known) => known === written.toUpperCase());
    reportField(field, {
      code: "BAD_VALUE",
      message: `"${written}" is no protocol: TCP, UDP or SCTP`,
      suggestion: meant && `did you mean "${meant}"?`,
    });
  }
  return protocol;
}

/** Reports UNSUPPORTED_KIND for an object of Calico's whose version is none that is read. */
export function checkCalicoVersion(root: Field): void {
  const { apiVersion, kind } = root.object;
  if (API_VERSIONS_OF_CALICO.includes(apiVersion)) return;
  reportField(fieldOf(root, "apiVersion"), {
    code: "UNSUPPORTED_KIND",
    message: `${kind} of ${apiVersion} is not read: expected ${API_VERSIONS_OF_CALICO.join(" or ")}`,
  });
}
