/** Backends of Services: what an endpoint sends to its own Service may come back to it. */
import type { Endpoint, Snapshot } from "../cluster/snapshot.ts";
import { formatAddress } from "../net/address.ts";
import type { Family } from "../net/address.ts";
import { protocolNumber } from "../net/protocol.ts";
import type { Part } from "./traffic.ts";

/** The backends of all Services of a cluster. */
export class Backends {
  readonly #byAddress = new Map<
    string,
    { readonly protocol: number | undefined; readonly port: number }[]
  >();

  constructor({ services }: Snapshot) {
    for (const { ports } of services) {
      for (const { protocol, backends } of ports) {
        for (const { address, port } of backends) {
          const text = formatAddress(address);
          const own = this.#byAddress.get(text) ?? [];
          own.push({ protocol: protocolNumber(protocol), port });
          this.#byAddress.set(text, own);
        }
      }
    }
  }

  /** Tells whether some Service takes such traffic to the endpoint. */
  has(endpoint: Endpoint | undefined, family: Family, { protocol, ports }: Part): boolean {
    if (endpoint === undefined || ports === undefined) return false;
    const own = endpoint.addresses.filter((address) => address.family === family);
    return own.some((address) =>
      this.#byAddress
        .get(formatAddress(address))
        ?.some(
          (backend) =>
            backend.protocol === protocol &&
            ports.first <= backend.port &&
            backend.port <= ports.last,
        ),
    );
  }
}
