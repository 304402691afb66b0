/** Every code that lint has, with the sentence that stands for it. docs/lint.md has an example of each. */

/** In the order of docs/lint.md. */
export const LINT_CODES = {
  SELECTS_NOTHING: "The policy selects no pod.",
  NAMESPACE_UNKNOWN: "The policy is in a namespace that nothing else names.",
  HOST_NETWORK_SELECTED: "The policy selects pods with hostNetwork, which it does not bind.",
  CONTRADICTION: "The selector asks for what no labels can have.",
  PEER_MATCHES_NOTHING: "No pod is the peer that the rule means.",
  NAMESPACE_LABEL_UNKNOWN: "No namespace has the label that the rule asks for.",
  PEERS_APART: "Two items of a list mean either; they may have been meant as both.",
  SERVICE_ADDRESS_IN_BLOCK: "The block holds a Service's address, which no policy ever sees.",
  POD_ADDRESS_IN_BLOCK: "The block names a pod by its address, which the next pod does not have.",
  EXCEPT_COVERS_ALL: "The exceptions leave nothing of the block.",
  EXCEPT_USELESS: "The exception lies inside another one.",
  EXCEPT_UNDONE: "Another peer of the policy lets in again what the exception leaves out.",
  NAMED_PORT_UNKNOWN: "Nobody whom the rule means has a port of that name.",
  NAMED_PORT_PROTOCOL: "The port of that name has another protocol.",
  NAMED_PORT_PARTIAL: "Only some of the selected pods have a port of that name.",
  EMPTY_LIST_OPENS: "An empty list of peers or ports means all of them.",
  TYPES_OMITTED: "Without policyTypes the policy closes ingress, too.",
  RULES_IGNORED: "policyTypes leaves out the direction of these rules.",
  EGRESS_CLOSED: "policyTypes names Egress, and no rule allows any.",
  DNS_FORGOTTEN: "Egress is restricted, and DNS is not allowed.",
  LOG_ONLY: "The policy only logs, and so denies the rest.",
  STAGED: "The policy is staged: it is not enforced.",
  PRIORITY_TIE: "Policies of one priority say different things, and none comes first.",
  REDUNDANT_ITEM: "Another item of the same list means all that this one means.",
  REDUNDANT_RULE: "Without the rule every verdict would be the same.",
  REDUNDANT_POLICY: "Without the policy every verdict would be the same.",
  SHADOWED_RULE: "Earlier rules decide all that this one matches.",
  OTHER_END_DENIES: "The policies of the other end drop all that this rule decides.",
  NEVER_HIT_RULE: "No packet of the capture is matched by the rule.",
  NEVER_HIT_POLICY: "No packet of the capture is matched or dropped by the policy.",
  UNREACHED_RULE: "An earlier rule of the chain takes every packet.",
  COVERED_RULE: "An earlier rule of the chain takes all that this one would match.",
  EMPTY_CHAIN: "The rule jumps to a chain that has no rules.",
  UNUSED_CHAIN: "No built-in chain leads to the chain.",
  UNUSED_SET: "No rule names the set.",
} as const satisfies Readonly<Record<string, string>>;

export type LintCode = keyof typeof LINT_CODES;

/** Tells whether a word is a code. */
export function isLintCode(word: string): word is LintCode {
  return Object.hasOwn(LINT_CODES, word);
}
