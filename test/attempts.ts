/** Connection attempts as the frames that a real client and server would send. */
import type { PacketVerdict } from "../src/engine/verdict.ts";
import { compileObjects, judgeCapture } from "./judge.ts";
import { buildFrame, buildPcap, ICMP, ICMPV6, SCTP, TCP, timed } from "./frames.ts";
import type { Attempt, World } from "./oracle.ts";
import { worldObjects } from "./random-cluster.ts";

/** The verdicts on one attempt: its opening packet, and what follows when it is let through. */
export interface AttemptVerdicts {
  readonly opening: PacketVerdict;
  /** The answer, and for TCP the client's ACK. */
  readonly following: readonly PacketVerdict[];
}

/** How far attempts are played: the opening packet only, or the answer and the client's ACK too. */
export type Play = "opening" | "exchange";

/** Judges attempts in one capture, through the readers and the Wasm. */
export async function judgeAttempts(
  world: World,
  attempts: readonly Attempt[],
  play: (index: number) => Play,
): Promise<AttemptVerdicts[]> {
  const played = attempts.map((attempt, index) => framesOf(attempt, index, play(index)));
  const capture = buildPcap(timed(played.flat()));
  const verdicts = await judgeCapture({ compiled: compileObjects(worldObjects(world)), capture });
  let at = 0;
  return played.map((frames) => {
    const [opening, ...following] = verdicts.slice(at, (at += frames.length));
    if (opening === undefined) throw new Error("a packet without a verdict");
    return { opening, following };
  });
}

function framesOf(attempt: Attempt, index: number, play: Play): Uint8Array[] {
  const { source, destination, protocol, port } = attempt;
  const clientPort = 20_000 + (index % 40_000);
  const there = { source, destination, protocol, sourcePort: clientPort, destinationPort: port };
  const back = {
    source: destination,
    destination: source,
    protocol,
    sourcePort: port,
    destinationPort: clientPort,
  };
  const [request, reply] = echoTypes(protocol);
  const opening = { ...there, flags: "S", icmp: { type: request, id: index & 0xffff } };
  if (play === "opening") return [buildFrame(opening)];
  const answer = { ...back, flags: "S.", chunk: 2, icmp: { type: reply, id: index & 0xffff } };
  const frames = [opening, answer];
  if (protocol === TCP) frames.push({ ...opening, flags: "." });
  if (protocol === SCTP) frames.push({ ...opening, ...there });
  return frames.slice(0, protocol === TCP ? 3 : 2).map((spec) => buildFrame(spec));
}

function echoTypes(protocol: number): readonly [number, number] {
  if (protocol === ICMP) return [8, 0];
  return protocol === ICMPV6 ? [128, 129] : [0, 0];
}
