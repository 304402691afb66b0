/**
 * Random clusters of two and three nodes in a real Linux kernel, each node with its own tables and its own
 * connections, and a network between them: a cluster that is judged as a whole, by manifests alone, must say of
 * every packet what all nodes on its way made of it, or that it does not know.
 *
 *     NETVERDICT_LAB_ROUNDS=30 NETVERDICT_LAB_FLOWS=300 npx vitest run test/kernel-lab/between-nodes.test.ts
 */
import { describe, expect, it } from "vitest";

import type { PacketVerdict } from "../../src/engine/verdict.ts";
import type { Backend } from "../../src/match/extension.ts";
import { formatSocket } from "../../src/tables/names.ts";
import { buildPcap, timed } from "../frames.ts";
import { judgeCapture } from "../judge.ts";
import { makeRandom } from "../random.ts";
import { startCluster, UPLINK, type Journey, type Place } from "./cluster-lab.ts";
import { policiesScene, servicesScene, type ClusterScene } from "./cluster-scenes.ts";
import { Conversation, type Said } from "./conversations.ts";
import { haveLab } from "./have-lab.ts";
import { numberOf, readView } from "./packets.ts";

/** More rounds for a longer run: each is one cluster on each backend. */
const ROUNDS = Number(process.env["NETVERDICT_LAB_ROUNDS"] ?? "3");
const FIRST_SEED = Number(process.env["NETVERDICT_LAB_SEED"] ?? "1");
const FLOWS = Number(process.env["NETVERDICT_LAB_FLOWS"] ?? "100");
const LINK_TYPE_RAW = 101;

/** A packet that was sent, and what became of it. */
interface Sent {
  readonly flow: number;
  readonly said: Said;
  readonly journey: Journey;
}

/** Where a capture is taken: a packet as it is there; undefined: it never came there. */
type View = (sent: Sent) => Uint8Array | undefined;

const VIEWS: Readonly<Record<string, View>> = {
  sender: ({ said }) => said.sight.packet,
  client: ({ said, journey }) => (said.side === "client" ? said.sight.packet : journey.end?.packet),
  server: ({ said, journey }) => (said.side === "server" ? said.sight.packet : journey.end?.packet),
};

describe.runIf(haveLab())("nodes in the kernel", () => {
  const scenes = { Services: servicesScene, policies: policiesScene };
  it.each([
    ["Services", "legacy"],
    ["Services", "nft"],
    ["policies", "legacy"],
    ["policies", "nft"],
  ] as const)(
    "let pass what the cluster judged as a whole does: %s (%s)",
    async (kind, backend) => {
      const counts = {
        packets: 0,
        dropped: 0,
        unknown: 0,
        between: 0,
        back: 0,
        answers: 0,
        backends: 0,
      };
      const wrong: string[] = [];
      for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
        const scene = scenes[kind](seed, FLOWS);
        const sent = await converse(scene, backend, seed);
        for (const { said, journey } of sent) {
          if (journey.between.length > 0) counts.between++;
          if (journey.between.length > 1) counts.back++;
          if (said.side === "server" && journey.end !== undefined) counts.answers++;
        }
        for (const [name, view] of Object.entries(VIEWS)) {
          const faults = await faultsOf(scene, { sent, view }, counts);
          wrong.push(...faults.map((fault) => `seed ${seed}, captured at the ${name}: ${fault}`));
        }
      }
      console.log(
        `nodes in the kernel, ${kind}, ${backend}, seeds ${FIRST_SEED} to ${FIRST_SEED + ROUNDS - 1}: ` +
          `${JSON.stringify(counts)}, ${wrong.length} disagreements`,
      );
      expect(wrong.slice(0, 10)).toEqual([]);
      expect(counts.between).toBeGreaterThan(0);
      expect(counts.answers).toBeGreaterThan(counts.between / 10);
      expect(counts.dropped).toBeGreaterThan(counts.packets / 50);
      expect(counts.unknown).toBeLessThan(counts.packets / 5);
    },
  );
});

/** Has every conversation say one packet after the other, all of them in turns. */
async function converse(
  { ground, openings }: ClusterScene,
  backend: Backend,
  seed: number,
): Promise<Sent[]> {
  const random = makeRandom(seed);
  const lab = await startCluster(ground, backend);
  try {
    const sent: Sent[] = [];
    let number = 0;
    let open = openings.map((opening, flow) => ({
      flow,
      conversation: new Conversation(random, opening),
    }));
    while (open.length > 0) {
      const round = open.flatMap(({ flow, conversation }) => {
        const said = conversation.say(number + 1);
        if (said === undefined) return [];
        number++;
        return [{ flow, conversation, said }];
      });
      const journeys = await lab.cross(round.map(({ said }) => said.sight));
      for (const { flow, conversation, said } of round) {
        const journey = journeys.get(numberOf(said.sight.packet))!;
        conversation.hear(said, journey);
        sent.push({ flow, said, journey });
      }
      open = round;
    }
    return sent;
  } finally {
    await lab.close();
  }
}

async function faultsOf(
  { told }: ClusterScene,
  { sent, view }: { readonly sent: readonly Sent[]; readonly view: View },
  counts: Record<"packets" | "dropped" | "unknown" | "backends", number>,
): Promise<string[]> {
  const shown = sent.flatMap((each) => {
    const packet = view(each);
    return packet === undefined ? [] : [{ ...each, packet }];
  });
  const capture = buildPcap(timed(shown.map(({ packet }) => packet)), LINK_TYPE_RAW);
  const verdicts = await judgeCapture({ compiled: told, capture });
  const lineOf = (index: number): string => {
    const { packet, said, journey } = shown[index]!;
    const { source, sourcePort, destination, destinationPort } = readView(packet);
    return (
      `packet ${index + 1}, ${source}:${sourcePort} > ${destination}:${destinationPort}, sent as ` +
      `${said.words} at ${placeName(said.sight.at)}: ${ours(verdicts[index]!)}, kernel ${journeyInWords(journey)}`
    );
  };
  // Who the server is, once it has shown itself by its own address; undefined: several have, as what is out of the
  // window is not translated.
  const servers = new Map<number, string | undefined>();
  return shown.flatMap(({ flow, said, packet, journey }, index) => {
    const { verdict, translated } = verdicts[index]!;
    const kernel = journey.end === undefined ? "drop" : "allow";
    counts.packets++;
    if (kernel === "drop") counts.dropped++;
    if (verdict === "unknown") counts.unknown++;
    if (said.side === "server" && !said.error && packet === said.sight.packet) {
      const other = servers.has(flow) && servers.get(flow) !== serverOf(packet);
      servers.set(flow, other ? undefined : serverOf(packet));
    }
    const server = servers.get(flow);
    const isShown =
      server !== undefined && translated !== undefined && said.side === "client" && !said.error;
    if (isShown) counts.backends++;
    const isOther = isShown && formatSocket(translated) !== server;
    if (verdict === "unknown" || (verdict === kernel && !isOther)) return [];
    const before = shown.flatMap((each, at) =>
      each.flow === flow && at < index ? [lineOf(at)] : [],
    );
    return [[lineOf(index), ...before].join("\n  behind ")];
  });
}

/** Whose answer it is. */
function serverOf(packet: Uint8Array): string {
  const { source, sourcePort } = readView(packet);
  return source.includes(":") ? `[${source}]:${sourcePort}` : `${source}:${sourcePort}`;
}

function ours({ verdict, reason, hook, rule, ctState, translated }: PacketVerdict): string {
  const to = translated === undefined ? "" : ` to ${formatSocket(translated)}`;
  return `${verdict}${to} (${reason} ${ctState} ${hook} ${rule?.chain}:${rule?.number})`;
}

function journeyInWords({ between, end }: Journey): string {
  const way = between.map(({ at }) => ` by ${at.node}`).join("");
  if (end === undefined) return `drop${way}`;
  const { source, destination, sourcePort, destinationPort } = readView(end.packet);
  return `${source}:${sourcePort} > ${destination}:${destinationPort} at ${placeName(end.at)}${way}`;
}

function placeName({ node, interface: name }: Place): string {
  return name === UPLINK ? `outside ${node}` : `${node} ${name ?? "itself"}`;
}
