/** `-j REJECT`: drops, and answers the sender. */
import { TARGET_REJECT } from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import type { OptionUse, RuleContext } from "../match/extension.ts";
import { refuseInvert, useOf, wordOf } from "../match/words.ts";
import { PROTOCOL_TCP } from "../net/protocol.ts";
import type { Family } from "../net/address.ts";
import type { TargetExtension } from "./extension.ts";

export interface RejectTarget {
  readonly kind: "REJECT";
  readonly with: RejectWith;
}

/** `--reject-with` words of iptables and ip6tables, at the place of their REJECT_* number less one. */
export const REJECT_KINDS = [
  "icmp-net-unreachable",
  "icmp-host-unreachable",
  "icmp-proto-unreachable",
  "icmp-port-unreachable",
  "icmp-net-prohibited",
  "icmp-host-prohibited",
  "icmp-admin-prohibited",
  "tcp-reset",
  "icmp6-no-route",
  "icmp6-adm-prohibited",
  "icmp6-addr-unreachable",
  "icmp6-port-unreachable",
  "icmp6-policy-fail",
  "icmp6-reject-route",
] as const;

export type RejectWith = (typeof REJECT_KINDS)[number];

/** `-j REJECT --reject-with KIND`. */
export const rejectTarget: TargetExtension<RejectTarget> = {
  kind: "REJECT",
  id: TARGET_REJECT,
  modules: [
    {
      name: "REJECT",
      options: { "--reject-with": 1 },
      parse(options, context) {
        if (context.table !== "filter")
          throw new RuleError("it can stand in table filter only", undefined);
        if (["PREROUTING", "POSTROUTING"].includes(context.chain)) {
          throw new RuleError(`it cannot stand in ${context.chain}`, undefined);
        }
        const use = useOf(options, "--reject-with");
        refuseInvert(use);
        return {
          kind: "REJECT",
          with: use === undefined ? DEFAULTS[context.family] : readKind(use, context),
        };
      },
    },
  ],
  render: (target) => `-j REJECT --reject-with ${target.with}`,
  pack(target, writer) {
    writer.u8(REJECT_KINDS.indexOf(target.with) + 1);
  },
};

const DEFAULTS: Readonly<Record<Family, RejectWith>> = {
  4: "icmp-port-unreachable",
  6: "icmp6-port-unreachable",
};

/** Short spellings, as `iptables -j REJECT -h` lists them. */
const ALIASES: Readonly<Record<Family, Readonly<Record<string, RejectWith>>>> = {
  4: {
    "net-unreach": "icmp-net-unreachable",
    "host-unreach": "icmp-host-unreachable",
    "proto-unreach": "icmp-proto-unreachable",
    "port-unreach": "icmp-port-unreachable",
    "net-prohib": "icmp-net-prohibited",
    "host-prohib": "icmp-host-prohibited",
    "admin-prohib": "icmp-admin-prohibited",
    "tcp-rst": "tcp-reset",
  },
  6: {
    "tcp-rst": "tcp-reset",
    "no-route": "icmp6-no-route",
    "adm-prohibited": "icmp6-adm-prohibited",
    "addr-unreach": "icmp6-addr-unreachable",
    "port-unreach": "icmp6-port-unreachable",
    "policy-fail": "icmp6-policy-fail",
    "reject-route": "icmp6-reject-route",
  },
};

/** > A beginning of a name will do; the first in the list that has it counts. */
function readKind(use: OptionUse, { family, protocol }: RuleContext): RejectWith {
  const text = wordOf(use).toLowerCase();
  const short = Object.entries(ALIASES[family]);
  const kind = REJECT_KINDS.filter(
    (each) => each === "tcp-reset" || each.startsWith("icmp6-") === (family === 6),
  ).find(
    (each) =>
      each.startsWith(text) ||
      short.some(([alias, whole]) => whole === each && alias.startsWith(text)),
  );
  if (kind === undefined || text === "") {
    throw new RuleError(`--reject-with: there is no ${text}`, use);
  }
  if (kind === "tcp-reset" && (protocol?.number !== PROTOCOL_TCP || protocol.invert)) {
    throw new RuleError("--reject-with tcp-reset needs -p tcp", use);
  }
  return kind;
}
