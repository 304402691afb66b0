/**
 * The innermost items of a NetworkPolicy: one port and one IP block, each with the checks of
 * kubernetes pkg/apis/networking/validation (ValidateNetworkPolicyPort, ValidateIPBlock).
 */
import {
  checkKnownFields,
  fieldOf,
  itemsOf,
  placeOfField,
  readInteger,
  readText,
  reportField,
  type Field,
} from "../cluster/fields.ts";
import { isPort, portNameFault, readProtocol } from "../cluster/read-network.ts";
import type { Diagnostic, Place } from "../errors.ts";
import { formatPrefix, parsePrefix, prefixContains, type Prefix } from "../net/address.ts";
import type { PolicyPeer, PolicyPort } from "./model.ts";

/** Reads one item of `ports`; undefined when it was reported. Empty: every TCP port. */
export function readPolicyPort(field: Field): PolicyPort | undefined {
  checkKnownFields(field, ["protocol", "port", "endPort"]);
  const protocol = readProtocol(fieldOf(field, "protocol"));
  const place = placeOfField(field);
  const portField = fieldOf(field, "port");
  const endField = fieldOf(field, "endPort");
  const { value } = portField;
  if (value === undefined) {
    if (endField.value !== undefined) {
      reportPort(endField, "may not be specified when `port` is not specified");
    }
    // > If this field is not provided, this matches all port names and numbers.
    return protocol && { kind: "range", protocol, first: 0, last: 65535, place };
  }
  if (typeof value === "string") {
    if (endField.value !== undefined) {
      reportPort(endField, "may not be specified when `port` is non-numeric");
    }
    const fault = portNameFault(value);
    if (fault !== undefined) reportPort(portField, fault);
    return protocol && { kind: "named", protocol, name: value, place };
  }
  if (typeof value !== "number" || !Number.isInteger(value)) {
    reportPort(portField, "must be a whole number or a port name");
    return undefined;
  }
  if (!isPort(value)) reportPort(portField, `${value} is no port: 1 to 65535`);
  const end = readInteger(endField);
  if (end !== undefined && !isPort(end)) {
    reportPort(endField, `${end} is no port: 1 to 65535`);
  } else if (end !== undefined && end < value) {
    reportField(endField, {
      code: "BAD_PORT_RANGE",
      message: `port range ${value}-${end}: end is below start`,
    });
  }
  return protocol && { kind: "range", protocol, first: value, last: end ?? value, place };
}

/** Reads an `ipBlock`; undefined when it was reported. */
export function readPolicyBlock(field: Field, place: Place): PolicyPeer | undefined {
  checkKnownFields(field, ["cidr", "except"]);
  const cidr = fieldOf(field, "cidr");
  if (cidr.value === undefined) {
    reportField(cidr, { code: "MISSING_FIELD", message: "is required" });
  }
  const prefix = readPolicyPrefix(cidr);
  const except: Prefix[] = [];
  for (const item of itemsOf(fieldOf(field, "except"))) {
    const inner = readPolicyPrefix(item);
    if (inner === undefined) {
      if (item.value === undefined) reportField(item, { code: "BAD_PREFIX", message: "is empty" });
      continue;
    }
    except.push(inner);
    // > Except values will be rejected if they are outside the cidr range.
    const inside =
      prefix === undefined || (prefixContains(prefix, inner.address) && inner.bits > prefix.bits);
    if (!inside) {
      reportField(item, {
        code: "BAD_PREFIX",
        message: `${formatPrefix(inner)} is not a strict subset of ${formatPrefix(prefix)}`,
      });
    }
  }
  // Without the room that it has grown.
  return prefix && { kind: "block", prefix, except: except.slice(), place };
}

/**
 * Reads a prefix, host bits masked; undefined when it is absent or was reported.
 *
 * @param severity of bits behind the prefix, which change nothing
 */
export function readPolicyPrefix(
  field: Field,
  severity: Diagnostic["severity"] = "warning",
): Prefix | undefined {
  const text = readText(field);
  if (text === undefined) return undefined;
  const parsed = parsePrefix(text);
  if (parsed === undefined) {
    reportField(field, {
      code: "BAD_PREFIX",
      message: `"${text}" is no prefix: ADDRESS/BITS, without leading zeros`,
    });
    return undefined;
  }
  if (parsed.hostBits) {
    reportField(field, {
      severity,
      code: "BAD_PREFIX",
      message: `${text} has bits behind the prefix: read as ${formatPrefix(parsed.prefix)}`,
    });
  }
  return parsed.prefix;
}

function reportPort(field: Field, message: string): void {
  reportField(field, { code: "BAD_PORT", message });
}
