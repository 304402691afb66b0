/** The chains of profiles: of namespaces, and of service accounts. */
import type { Direction } from "../policy/model.ts";
import type { Chain } from "./model.ts";
import { namespaceProfileName, profileChainName } from "./names.ts";
import { makeRule, MARK_ACCEPT, setBits } from "./rule.ts";

/** Compiles the chain of a namespace's profile: it lets everything through. */
export function compileNamespaceProfile(direction: Direction, namespace: string): Chain {
  const name = namespaceProfileName(namespace);
  return {
    name: profileChainName(direction, name),
    policy: undefined,
    rules: [
      makeRule({
        comment: `Profile ${name} ${direction}`,
        target: setBits(MARK_ACCEPT),
        origin: { kind: "not-isolated", direction, namespace },
      }),
    ],
  };
}

/** Compiles the chain of a profile without rules, such as a service account's. */
export function compileEmptyProfile(direction: Direction, name: string): Chain {
  const rules = [makeRule({ comment: `Profile ${name} ${direction}` })];
  return { name: profileChainName(direction, name), policy: undefined, rules };
}
