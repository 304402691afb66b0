/** The ends of a flow as `ADDRESS:PORT -> ADDRESS:PORT`. */
import type { Tuple } from "../engine/verdict.ts";
import { formatAddress } from "../net/address.ts";

/** Formats both ends; what is not known is `?`. */
export function formatTuple(flow: Tuple): string {
  const from = endText(flow.source, flow.sourceName, flow.sourcePort);
  const to = endText(flow.destination, flow.destinationName, flow.destinationPort);
  return `${from} -> ${to}`;
}

function endText(
  address: Tuple["source"],
  name: string | undefined,
  port: number | undefined,
): string {
  const host = address === undefined ? (name ?? "?") : formatAddress(address);
  if (port === undefined) return host;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
