/**
 * TCP's connection tracking by itself: segments that only just belong to their connection or do not, and
 * tables so short that what the kernel made of each segment shows: its state, who answered, and by the
 * time that is left, which state of TCP the connection is in.
 */
import { describe, expect, it } from "vitest";

import { startLab } from "../../src/lab/lab.ts";
import { makeRandom } from "../random.ts";
import { compareScene } from "./differential.ts";
import { INTERFACES, ROUTES } from "./ground.ts";
import { haveLab } from "./have-lab.ts";
import { record } from "./recording.ts";

const FIRST_SEED = Number(process.env["NETVERDICT_LAB_SEED"] ?? "33001");
/** Each round is one more seed for every question. */
const ROUNDS = Number(process.env["NETVERDICT_LAB_ROUNDS"] ?? "1");
const PACKETS = Number(process.env["NETVERDICT_LAB_PACKETS"] ?? "1500");

const TRAFFIC = new Set(["wild-tcp", "tcp-options", "windows", "own-traffic"]);

const CT = "net.netfilter.nf_conntrack_tcp_";

const secondsLeft = (range: string): string => `-m conntrack --ctexpire ${range}`;

/** What is dropped, of TCP, and the switches that are set. */
const QUESTIONS: readonly (readonly [string, readonly string[]])[] = [
  ["-m conntrack --ctstate INVALID", []],
  ["-m conntrack --ctstate ESTABLISHED", []],
  ["-m conntrack --ctstate NEW -m statistic --mode nth --every 3 --packet 2", []],
  ["-m conntrack --ctstatus ASSURED", []],
  ["-m conntrack --ctdir REPLY", []],
  [secondsLeft("5:15"), []],
  [secondsLeft("25:35"), []],
  [secondsLeft("55:65"), []],
  [secondsLeft("110:125"), []],
  [secondsLeft("290:305"), []],
  [secondsLeft("400000:500000"), []],
  ["-m conntrack --ctstate INVALID", [`${CT}be_liberal=1`]],
  ["-m conntrack --ctstate INVALID", [`${CT}loose=0`]],
  ["-m conntrack --ctstate INVALID", [`${CT}ignore_invalid_rst=1`]],
  [secondsLeft("25:35"), [`${CT}timeout_unacknowledged=30`, `${CT}timeout_established=118`]],
  [secondsLeft("25:35"), [`${CT}timeout_unacknowledged=30`, `${CT}timeout_established=1000`]],
  [secondsLeft("35:45"), [`${CT}max_retrans=0`, `${CT}timeout_max_retrans=40`]],
  [secondsLeft("35:45"), [`${CT}max_retrans=2`, `${CT}timeout_max_retrans=40`]],
];

const HOOKS = ["INPUT", "FORWARD", "OUTPUT"];

function rulesFor(question: string): string {
  return [
    "*filter",
    ...HOOKS.map((hook) => `:${hook} ACCEPT [0:0]`),
    // What is answered by a reset is closed.
    "-A FORWARD -p tcp -m tcp --tcp-flags PSH,URG PSH,URG -j REJECT --reject-with tcp-reset",
    ...HOOKS.map((hook) => `-A ${hook} -p tcp ${question} -j DROP`),
    "COMMIT",
    "",
  ].join("\n");
}

describe.runIf(haveLab())("the kernel's TCP connections", () => {
  it.each(QUESTIONS)(
    "are followed as it follows them: %s %s",
    async (question, switches) => {
      const rules = rulesFor(question);
      for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
        const lab = await startLab({
          interfaces: INTERFACES,
          routes: ROUTES,
          tables: { legacy: { 4: rules, 6: rules } },
          ipsets: "",
          sysctls: Object.fromEntries(
            switches.map((each) => {
              const [key = "", value = ""] = each.split("=");
              return [key.split(".").slice(1).join("/"), Number(value)];
            }),
          ),
        });
        try {
          const recording = await record(lab, makeRandom(seed), PACKETS, TRAFFIC);
          const { differences, dropped, unknown } = await compareScene({
            rules: { sets: [], tables: [] },
            loaded: lab.loaded,
            switches: switches.join("\n"),
            ...recording,
          });
          expect(
            differences.map(({ position, kernel, ours, verdict }) => [
              ...[seed, position, kernel, ours, verdict.ctState],
            ]),
          ).toEqual([]);
          expect([...unknown]).toEqual([]);
          expect(dropped).toBeGreaterThan(0);
        } finally {
          await lab.close();
        }
      }
    },
    30_000 + ROUNDS * (2_000 + PACKETS),
  );
});
