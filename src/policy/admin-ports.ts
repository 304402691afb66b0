/** One item of `ports` of an AdminNetworkPolicy or BaselineAdminNetworkPolicy. */
import {
  checkKnownFields,
  fieldOf,
  placeOfField,
  readText,
  reportField,
  type Field,
} from "../cluster/fields.ts";
import { portNameFault, readPort, readProtocol } from "../cluster/read-network.ts";
import { onlyFieldOf, reportMissing } from "./cluster-wide.ts";
import type { PolicyPort } from "./model.ts";

/** Reads it; undefined when it was reported. */
export function readAdminPort(field: Field): PolicyPort | undefined {
  const only = onlyFieldOf(field, ["portNumber", "portRange", "namedPort"], "BAD_PORT");
  if (only === undefined) return undefined;
  const { key, value } = only;
  if (key === "namedPort") return readNamedPort(value);
  const range = key === "portRange";
  checkKnownFields(value, range ? ["protocol", "start", "end"] : ["protocol", "port"]);
  const protocol = readProtocol(fieldOf(value, "protocol"));
  const first = readRequiredPort(fieldOf(value, range ? "start" : "port"));
  const last = range ? readRequiredPort(fieldOf(value, "end")) : first;
  if (protocol === undefined || first === undefined || last === undefined) return undefined;
  // > Start defines the start of a port range, the Start value must be less than End.
  if (last < first) {
    const message = `port range ${first}-${last}: end is below start`;
    reportField(value, { code: "BAD_PORT_RANGE", message });
  }
  return { kind: "range", protocol, first, last, place: placeOfField(field) };
}

/** Reads the name of a port, of whatever protocol; undefined when it was reported. */
export function readNamedPort(field: Field): PolicyPort | undefined {
  const name = readText(field);
  if (name === undefined) return undefined;
  const fault = portNameFault(name);
  if (fault !== undefined) reportField(field, { code: "BAD_PORT", message: fault });
  return { kind: "named", protocol: undefined, name, place: placeOfField(field) };
}

/** Reads a port that must be there; undefined when it was reported. */
export function readRequiredPort(field: Field): number | undefined {
  return field.value === undefined ? reportMissing(field) : readPort(field);
}
