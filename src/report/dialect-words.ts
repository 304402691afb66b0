/** What implementations of the policies' API do by themselves, and what is not known of them, in words. */
import type { DialectQuestion } from "../policy/dialect.ts";
import { generic } from "../policy/dialect-generic.ts";
import type { OpenQuestion } from "../tables/model.ts";

/** Says what is not known. */
export function openText({ question, dialect }: OpenQuestion): string {
  return dialect === generic.title
    ? `${dialect} does not say ${OPEN[question]}`
    : `nothing tells ${OPEN[question]} (${dialect})`;
}

/** Says what an implementation does, whatever policies say. */
export function dialectText({ question, dialect }: OpenQuestion): string {
  return `${dialect} ${DOES[question] ?? ""}`;
}

const OPEN: Readonly<Record<DialectQuestion, string>> = {
  "blocks-hold-pods": "whether an ipBlock means pods, too",
  "blocks-hold-nodes": "whether an ipBlock means nodes, too",
  "blocks-see-before": "whether an ipBlock means addresses before or after translation",
  protocol: "what rules mean for this protocol",
  "to-itself": "whether policies bind what a pod sends to itself through its Service",
  invalid: "what becomes of a packet whose connection is not known",
  "from-own-node": "whether the process on the node is one that policies bind",
  spoofed: "whether a pod may send from this address",
  "init-ports": "whether ports of init containers have names, too",
  "port-names": "which port the name means at which pod",
  "same-block": "whether a prefix is in a rule that names it and excepts it from another",
  established: "what becomes of connections that are followed",
  "icmp-messages": "which messages of ICMP pass",
  "outside-service": "as whom policies see who comes to a Service from outside",
};

const DOES: Partial<Readonly<Record<DialectQuestion, string>>> = {
  protocol: "drops every protocol but TCP, UDP and ICMP, unless it is told to handle others",
  invalid: "drops packets whose connection is not known",
  established: "lets through what belongs to an allowed connection",
  "icmp-messages": "lets pings and some other messages of ICMP through, whatever policies say",
  "to-itself": "lets a pod reach itself through its Service, whatever policies say",
};
