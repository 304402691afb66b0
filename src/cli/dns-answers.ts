/**
 * Addresses of domain names in policies, from the DNS answers that captures hold. Tables are there before
 * the first packet, so captures are read once more for it, before they are replayed.
 */
import { DnsLearner } from "../capture/dns-learner.ts";
import { domainMatches, knowsDomain } from "../cluster/snapshot.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import type { Address } from "../net/address.ts";
import type { Policy } from "../policy/model.ts";
import { selectsEndpoint } from "../policy/selects.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { Failure } from "./failure.ts";
import { makeResolver } from "./hosts.ts";
import { exitInterrupted, Interruption } from "./interruption.ts";
import type { Judge } from "./judge.ts";
import { loadProgramMatcher } from "./matcher.ts";
import type { CaptureOptions } from "./options.ts";
import { isReadAgain } from "./pipes.ts";
import { replayTraffic } from "./traffic.ts";

/** Gives each judge what the captures' DNS answers tell of the domain names that its policies have. */
export async function tellAnswers<T extends readonly Judge[]>(
  judges: T,
  capture: CaptureOptions,
): Promise<{ [K in keyof T]: Judge }> {
  const asked = judges.flatMap(({ snapshot, policies, withAnswers }) =>
    withAnswers === undefined ? [] : openDomains(policies, snapshot),
  );
  const answers =
    asked.length === 0 || capture.dnsAnswers === false
      ? undefined
      : await learn([...new Set(asked)], judges, capture);
  const told = (judge: Judge): Judge =>
    answers === undefined || openDomains(judge.policies, judge.snapshot).length === 0
      ? judge
      : (judge.withAnswers?.(answers) ?? judge);
  return judges.map(told) as { [K in keyof T]: Judge };
}

/** Says that a rollout's tables leave the captures' DNS answers aside, where policies would ask for them. */
export function noteUntoldDomains(judges: readonly Judge[]): void {
  if (judges.every(({ snapshot, policies }) => openDomains(policies, snapshot).length === 0))
    return;
  process.stderr.write(
    "netverdict: note: with --rollout-at a capture's DNS answers tell no addresses of domain names: give them with --dns FILE\n",
  );
}

/** The domain names in policies of which not all addresses are told. */
function openDomains(policies: readonly Policy[], snapshot: Snapshot): string[] {
  return policies
    .flatMap(({ ingress = [], egress = [] }) => [...ingress, ...egress])
    .flatMap((rule) => (rule.kind === "peers" ? (rule.peers ?? []) : []))
    .flatMap((peer) => (peer.kind === "domains" ? peer.domainNames : []))
    .filter((name) => !knowsDomain(name, snapshot));
}

/** The addresses of each pod whose policies have such names. */
function boundAddresses(judges: readonly Judge[]): (readonly Address[])[] {
  return judges.flatMap(({ policies, snapshot }) => {
    const asking = policies.filter((policy) => openDomains([policy], snapshot).length > 0);
    const bound = snapshot.endpoints.filter((endpoint) =>
      asking.some(({ subject }) => selectsEndpoint(subject, endpoint, snapshot)),
    );
    return bound.map(({ addresses }) => addresses);
  });
}

/** Undefined: nothing was learnt. */
async function learn(
  patterns: readonly string[],
  judges: readonly Judge[],
  capture: CaptureOptions,
): Promise<Snapshot["answersByDomain"] | undefined> {
  const [judge] = judges;
  if (judge === undefined || capture.read.length === 0) return undefined;
  const once = capture.read.find((file) => !isReadAgain(file));
  if (once !== undefined) {
    process.stderr.write(
      `netverdict: note: ${once} can be read once only: its DNS answers tell no addresses of domain names\n`,
    );
    return undefined;
  }
  // A packet to a Service does not show the backend that it goes to.
  const hidden = judges.flatMap(({ snapshot }) =>
    [...snapshot.membersByService.values()].flatMap(({ addresses }) => addresses),
  );
  const wanted = (name: string): boolean =>
    patterns.some((pattern) => domainMatches(pattern, name));
  const learner = new DnsLearner(wanted, { bound: boundAddresses(judges), hidden });
  const { program, midstream, snapshot } = judge;
  const { conntrackMax } = capture;
  const matcher = loadProgramMatcher(program, { midstream, conntrackMax, tracePacket: undefined });
  // The replay says what is wrong with a capture.
  const log = new DiagnosticLog(() => undefined);
  const interruption = new Interruption();
  try {
    await replayTraffic({
      ...{ capture, matcher, log, interruption, packetsMax: undefined, packetsWanted: true },
      resolveName: makeResolver(capture.hosts, snapshot, log),
      onBatch: async () => {
        learner.add(matcher.batch);
        return true;
      },
    });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return undefined;
  } finally {
    interruption.dispose();
  }
  if (interruption.requested) throw new Failure("interrupted", exitInterrupted());
  return learner.learnt();
}
