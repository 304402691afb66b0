/** What a rule's tests say of a part of protocols and ports, between two ends. */
import type { NamedPort } from "../cluster/snapshot.ts";
import { endpointName } from "../cluster/snapshot.ts";
import { protocolNumber } from "../net/protocol.ts";
import type { PortTest, RuleTest } from "./rule-tests.ts";
import type { Served } from "./service-ports.ts";
import { both, MAYBE, NO, YES } from "./three-valued.ts";
import type { Truth } from "./three-valued.ts";
import type { Part } from "./traffic.ts";

/** What an end has that a part of its traffic hangs on. */
export interface Holder extends Served {
  readonly ports: readonly NamedPort[];
}

/** What a test says of a part, the addresses aside. */
export function partTruth(
  test: RuleTest,
  part: Part,
  { source, destination }: { readonly source: Holder; readonly destination: Holder },
): Truth {
  const { protocol, notProtocol, icmp, notIcmp } = test;
  if (protocol !== undefined && protocol !== part.protocol) return NO;
  if (notProtocol === part.protocol) return NO;
  if (icmp !== undefined && !isIcmp(part, icmp)) return NO;
  if (notIcmp !== undefined && (part.icmp === undefined || isIcmp(part, notIcmp))) return NO;
  const ports = both(
    portTruth(test.source.ports, part.sourcePorts, { part, holder: source }),
    portTruth(test.destination.ports, part.ports, { part, holder: destination }),
  );
  const { service } = test.destination;
  if (service === undefined || ports === NO) return ports;
  const name = endpointName(service);
  const key = `${name} ${part.protocol} ${part.ports?.first ?? ""}`;
  const served = destination.services.has(key)
    ? YES
    : destination.unknownServices.has(name)
      ? MAYBE
      : NO;
  return both(ports, served);
}

function isIcmp(
  { icmp }: Part,
  { type, code }: { readonly type: number; readonly code: number | undefined },
): boolean {
  return icmp?.type === type && (code === undefined || icmp.code === code);
}

function portTruth(
  { ranges, names, notRanges, notNames }: PortTest,
  range: Part["ports"],
  { part, holder }: { readonly part: Part; readonly holder: Holder },
): Truth {
  const asks = ranges.length + names.length > 0;
  const denies = notRanges.length + notNames.length > 0;
  if (!asks && !denies) return YES;
  if (range === undefined) return NO;
  const inRange = (each: { first: number; last: number }): boolean =>
    each.first <= range.first && range.last <= each.last;
  const isNamed = (name: string): boolean =>
    holder.ports.some(
      (port) =>
        port.name === name &&
        protocolNumber(port.protocol) === part.protocol &&
        inRange({ first: port.port, last: port.port }),
    );
  if (notRanges.some(inRange) || notNames.some(isNamed)) return NO;
  return !asks || ranges.some(inRange) || names.some(isNamed) ? YES : NO;
}
