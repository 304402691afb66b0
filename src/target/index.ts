/** The registry of target extensions, and the union of what a rule does with a packet it matches. */
import {
  TARGET_ACCEPT,
  TARGET_DROP,
  TARGET_GOTO,
  TARGET_JUMP,
  TARGET_RETURN,
} from "../../assembly/layout.ts";
import type { Module, PayloadWriter } from "../match/extension.ts";
import type { Family } from "../net/address.ts";
import { connmarkTarget } from "./connmark.ts";
import type { ConnmarkTarget } from "./connmark.ts";
import { ctTarget } from "./ct.ts";
import type { CtTarget } from "./ct.ts";
import { ecnTarget } from "./ecn.ts";
import type { EcnTarget } from "./ecn.ts";
import { tcpmssTarget } from "./tcpmss.ts";
import type { TcpmssTarget } from "./tcpmss.ts";
import { tcpoptstripTarget } from "./tcpoptstrip.ts";
import type { TcpoptstripTarget } from "./tcpoptstrip.ts";
import { logTarget } from "./log.ts";
import type { LogTarget } from "./log.ts";
import { netmapTarget } from "./netmap.ts";
import type { NetmapTarget } from "./netmap.ts";
import { nfqueueTarget } from "./nfqueue.ts";
import type { NfqueueTarget } from "./nfqueue.ts";
import { redirectTarget } from "./redirect.ts";
import type { RedirectTarget } from "./redirect.ts";
import { setTarget } from "./set.ts";
import type { SetTarget } from "./set.ts";
import { snatTarget } from "./snat.ts";
import type { SnatTarget } from "./snat.ts";
import { tproxyTarget } from "./tproxy.ts";
import type { TproxyTarget } from "./tproxy.ts";
import { tosTarget, ttlTarget } from "./header.ts";
import type { TosTarget, TtlTarget } from "./header.ts";
import { dnatTarget } from "./dnat.ts";
import type { DnatTarget } from "./dnat.ts";
import type { TargetExtension } from "./extension.ts";
import { markTarget } from "./mark.ts";
import type { MarkTarget } from "./mark.ts";
import { masqueradeTarget } from "./masquerade.ts";
import type { MasqueradeTarget } from "./masquerade.ts";
import { opaqueTarget } from "./opaque.ts";
import type { OpaqueTarget } from "./opaque.ts";
import { rejectTarget } from "./reject.ts";
import type { RejectTarget } from "./reject.ts";

/** What moves the walk itself, without an extension. */
export type PlainTarget =
  | { readonly kind: "ACCEPT" }
  | { readonly kind: "DROP" }
  | { readonly kind: "RETURN" }
  | { readonly kind: "JUMP"; readonly chain: string }
  | { readonly kind: "GOTO"; readonly chain: string };

/** Targets that an extension implements. */
export type ExtensionTarget =
  | ConnmarkTarget
  | CtTarget
  | DnatTarget
  | EcnTarget
  | LogTarget
  | MarkTarget
  | MasqueradeTarget
  | NetmapTarget
  | NfqueueTarget
  | OpaqueTarget
  | RedirectTarget
  | RejectTarget
  | SetTarget
  | SnatTarget
  | TcpmssTarget
  | TcpoptstripTarget
  | TosTarget
  | TproxyTarget
  | TtlTarget;

export type Target = PlainTarget | ExtensionTarget;

/** The one registry. Leaving a kind of `ExtensionTarget` out is a compile error. */
const TARGETS: {
  readonly [K in ExtensionTarget["kind"]]: TargetExtension<Extract<ExtensionTarget, { kind: K }>>;
} = {
  DNAT: dnatTarget,
  MARK: markTarget,
  MASQUERADE: masqueradeTarget,
  opaque: opaqueTarget,
  REJECT: rejectTarget,
  CONNMARK: connmarkTarget,
  CT: ctTarget,
  ECN: ecnTarget,
  LOG: logTarget,
  NETMAP: netmapTarget,
  NFQUEUE: nfqueueTarget,
  REDIRECT: redirectTarget,
  SET: setTarget,
  SNAT: snatTarget,
  TCPMSS: tcpmssTarget,
  TCPOPTSTRIP: tcpoptstripTarget,
  TOS: tosTarget,
  TPROXY: tproxyTarget,
  TTL: ttlTarget,
};

/** Every extension that `-j` can name. */
export const TARGET_MODULES: readonly Module<ExtensionTarget>[] = Object.values(TARGETS).flatMap(
  (extension): readonly Module<ExtensionTarget>[] => extension.modules,
);

/** The words iptables-save prints for a target: `-j ACCEPT`. */
export function renderTarget(target: Target, family: Family): string {
  switch (target.kind) {
    case "ACCEPT":
    case "DROP":
    case "RETURN":
      return `-j ${target.kind}`;
    case "JUMP":
      return `-j ${target.chain}`;
    case "GOTO":
      return `-g ${target.chain}`;
    default:
      return targetExtension(target).render(target, family);
  }
}

/** TARGET_* of a target. */
export function targetId(target: Target): number {
  switch (target.kind) {
    case "ACCEPT":
      return TARGET_ACCEPT;
    case "DROP":
      return TARGET_DROP;
    case "RETURN":
      return TARGET_RETURN;
    case "JUMP":
      return TARGET_JUMP;
    case "GOTO":
      return TARGET_GOTO;
    default:
      return targetExtension(target).id;
  }
}

/** Writes what a target carries; nothing for those that move the walk. */
export function packTarget(target: Target, writer: PayloadWriter): void {
  switch (target.kind) {
    case "ACCEPT":
    case "DROP":
    case "RETURN":
    case "JUMP":
    case "GOTO":
      return;
    default:
      targetExtension(target).pack(target, writer);
  }
}

function targetExtension(target: ExtensionTarget): TargetExtension<ExtensionTarget> {
  // The registry's type pairs each kind with its extension; TypeScript cannot follow the pairing here.
  return TARGETS[target.kind];
}
