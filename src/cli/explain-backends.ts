/**
 * What becomes of a connection to a Service whose backends are judged differently: asked once for each, as if the
 * Service had no other.
 */
import { endpointName } from "../cluster/snapshot.ts";
import type { Service, ServiceBackend, ServicePort } from "../cluster/snapshot.ts";
import type { PacketVerdict } from "../engine/verdict.ts";
import { protocolNumber } from "../net/protocol.ts";
import type { BackendAnswers } from "../report/trace.ts";
import type { Judge } from "./judge.ts";
import type { AskedPort } from "./port-probe.ts";

/** The tables are compiled for each: of a Service with more, the first ones are asked. */
const BACKENDS_ASKED = 20;

/**
 * The verdicts by backend, in their order; undefined where the verdict hangs on something else, or where nodes do not
 * all choose from the same ones.
 */
export function askBackends(
  judge: Judge,
  { packet, asked }: { readonly packet: PacketVerdict; readonly asked: AskedPort },
  ask: (judge: Judge) => PacketVerdict,
): BackendAnswers | undefined {
  const { snapshot, withServices } = judge;
  if (packet.reason !== "backend" || withServices === undefined) return undefined;
  const { services } = snapshot;
  const owner = packet.destinationRoute?.owner;
  const service = services.find((each) => `service ${endpointName(each)}` === owner);
  const port = service?.ports.find(
    (each) => each.port === asked.port && protocolNumber(each.protocol) === asked.protocol,
  );
  if (service === undefined || port === undefined || tellsNodesApart(service, port)) {
    return undefined;
  }
  const serving = servingOf(port, packet.family);
  const packets = serving.slice(0, BACKENDS_ASKED).map((backend) => {
    const ports = service.ports.map((one) =>
      one === port ? { ...one, backends: [backend] } : one,
    );
    const narrowed = services.map((one) => (one === service ? { ...one, ports } : one));
    return ask(withServices(narrowed));
  });
  return { packets, more: serving.length - packets.length };
}

function tellsNodesApart(service: Service, { backends }: ServicePort): boolean {
  const hinted = backends.some(
    ({ zoneHints = [], nodeHints = [] }) => zoneHints.length > 0 || nodeHints.length > 0,
  );
  return hinted || service.internalTraffic === "Local" || service.externalTraffic === "Local";
}

/** > Those that terminate serve where no ready one is left. */
function servingOf({ backends }: ServicePort, family: PacketVerdict["family"]): ServiceBackend[] {
  const own = backends.filter(({ address }) => address.family === family);
  const ready = own.filter((backend) => backend.ready);
  return ready.length > 0 ? ready : own;
}
