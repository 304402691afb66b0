/**
 * Asks what becomes of a connection by port, where nobody said which port is meant: at every port that a
 * policy of its ends names, and beside it.
 */
import { appendOpening } from "../capture/opening.ts";
import type { Endpoint } from "../cluster/snapshot.ts";
import type { Matcher } from "../engine/matcher.ts";
import type { PacketVerdict } from "../engine/verdict.ts";
import {
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../net/protocol.ts";
import type { PolicyRule } from "../policy/model.ts";
import type { Ends } from "./explain-ends.ts";

/** A protocol, and a port where it has ports. */
export interface AskedPort {
  readonly protocol: number;
  readonly port: number | undefined;
}

/** What becomes of a connection at one port. */
export interface PortAnswer {
  readonly asked: AskedPort;
  readonly verdict: PacketVerdict["verdict"];
}

/** Asks for an answer at each port. */
export type PortProbe = (ends: Ends, ports: readonly AskedPort[]) => PortAnswer[];

/** Makes a probe of matchers that nobody else fills. */
export function portProbe(make: () => Matcher): PortProbe {
  return (ends, ports) => {
    const matcher = make();
    const { batch } = matcher;
    const answers: PortAnswer[] = [];
    for (let first = 0; first < ports.length; first += batch.capacity) {
      const some = ports.slice(first, first + batch.capacity);
      batch.clear();
      for (const { protocol, port } of some) {
        appendOpening(batch, { ...ends, protocol, destinationPort: port });
      }
      matcher.ask();
      some.forEach((asked, index) => {
        answers.push({ asked, verdict: matcher.packetVerdict(index, []).verdict });
      });
    }
    return answers;
  };
}

const WITH_PORTS = [PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP];

/**
 * The ports at which rules may change their minds, of each protocol that has ports, and a ping.
 *
 * @param to whose port a name means
 */
export function portsToAsk(rules: readonly PolicyRule[], to: Endpoint | undefined): AskedPort[] {
  const ranges = rules.flatMap(portsOf).flatMap((port) => {
    if (port.kind === "range") return [port];
    const named = to?.ports.filter(({ name }) => name === port.name) ?? [];
    return named.map(({ port: number }) => ({ first: number, last: number }));
  });
  const members = ranges.flatMap(({ first, last }) => [first - 1, first, last, last + 1]);
  const numbers = [...new Set([ANY_NUMBER, ...members])].filter(
    (number) => number > 0 && number <= 0xffff,
  );
  return [
    ...numbers.flatMap((port) => WITH_PORTS.map((protocol) => ({ protocol, port }))),
    ...[PROTOCOL_ICMP, PROTOCOL_ICMPV6].map((protocol) => ({ protocol, port: undefined })),
  ];
}

const ANY_NUMBER = 80;

type NamedOrRange =
  | { readonly kind: "range"; readonly first: number; readonly last: number }
  | { readonly kind: "named"; readonly name: string };

function portsOf(rule: PolicyRule): readonly NamedOrRange[] {
  if (rule.kind === "peers") return rule.ports ?? [];
  return [...rule.destination.ports, ...rule.destination.notPorts];
}
