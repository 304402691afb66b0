/** `-j REJECT`: drops, and answers the sender. */
import { TARGET_REJECT } from "../../assembly/layout.ts";
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
  modules: [],
  render: (target) => `-j REJECT --reject-with ${target.with}`,
  pack(target, writer) {
    writer.u8(REJECT_KINDS.indexOf(target.with) + 1);
  },
};
