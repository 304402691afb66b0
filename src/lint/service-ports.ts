/** The ports of Services that an end serves, as rules ask for them. */
import { endpointName } from "../cluster/snapshot.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import { protocolNumber } from "../net/protocol.ts";
import type { ServiceRef } from "../policy/model.ts";
import type { End } from "./ends.ts";
import type { RuleId } from "./rule-book.ts";
import type { World } from "./world.ts";

/** What an end serves. */
export interface Served {
  /** A Service's name, a protocol's number and a port, with spaces between them. */
  readonly services: ReadonlySet<string>;
  /** Names of those whose backends are not known. */
  readonly unknownServices: ReadonlySet<string>;
}

/** Where no Service is asked for. */
export const NO_SERVICES: Served = {
  services: new Set<string>(),
  unknownServices: new Set<string>(),
};

/** Services whose ports rules ask for. */
export function servicesIn(rules: readonly RuleId[], wanted: boolean): ServiceRef[] {
  if (!wanted) return [];
  return rules.flatMap(({ tests }) =>
    tests.flatMap(({ destination: { service } }) => (service === undefined ? [] : [service])),
  );
}

/** What an end serves of the Services. */
export function servicesAt(
  end: End,
  services: readonly ServiceRef[],
  { snapshot, ends }: World,
): Served {
  const keys = services.flatMap((service) => {
    const name = endpointName(service);
    const members = snapshot.membersByService.get(name)?.ports ?? [];
    return members
      .filter(({ address }) => ends.at(address) === end)
      .map(({ protocol, port }) => `${name} ${protocolNumber(protocol) ?? ""} ${port}`);
  });
  const unknown = services.filter((service) => !knowsService(service, snapshot)).map(endpointName);
  return { services: new Set(keys), unknownServices: new Set(unknown) };
}

/** Tells whether the backends of a Service are known. */
export function knowsService(service: ServiceRef, { membersByService }: Snapshot): boolean {
  const members = membersByService.get(endpointName(service));
  return members !== undefined && members.missing === undefined;
}
