/** `-m owner`: the user and group of the local socket that sent the packet. */
import { MATCH_OWNER } from "../../assembly/layout.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import { parseNumber, parseRange, refuseInvert, useOf, wordOf } from "./words.ts";

/** Undefined: not asked. */
export interface OwnerMatch {
  readonly kind: "owner";
  /** There is a socket. */
  readonly exists: Invertible | undefined;
  readonly user: OwnerRange | undefined;
  readonly group: OwnerRange | undefined;
  /** The user's other groups count, too. */
  readonly otherGroups: boolean;
}

interface OwnerRange extends Invertible {
  /** Numbers as they are printed; or a name, which only the node's own files know. */
  readonly text: string;
}

/** > The largest number that is an id. */
const MAX = 0xfffffffe;

/** `-m owner [!] --socket-exists [!] --uid-owner A[-B] [!] --gid-owner A[-B] --suppl-groups`. */
export const ownerMatch: MatchExtension<OwnerMatch> = {
  kind: "owner",
  id: MATCH_OWNER,
  modules: [
    {
      name: "owner",
      options: { "--socket-exists": 0, "--uid-owner": 1, "--gid-owner": 1, "--suppl-groups": 0 },
      parse(options, { chain }) {
        if (["PREROUTING", "INPUT", "FORWARD"].includes(chain)) {
          throw new RuleError(`it cannot stand in ${chain}`, undefined);
        }
        const exists = useOf(options, "--socket-exists");
        const user = useOf(options, "--uid-owner");
        const group = useOf(options, "--gid-owner");
        const otherGroups = useOf(options, "--suppl-groups");
        refuseInvert(otherGroups);
        if (exists === undefined && user === undefined && group === undefined) {
          throw new RuleError("expected one of its options", undefined);
        }
        if (otherGroups !== undefined && group === undefined) {
          throw new RuleError("--suppl-groups needs --gid-owner", otherGroups);
        }
        return {
          kind: "owner",
          exists: exists === undefined ? undefined : { invert: exists.invert },
          user: user === undefined ? undefined : parseOwner(user),
          group: group === undefined ? undefined : parseOwner(group),
          otherGroups: otherGroups !== undefined,
        };
      },
    },
  ],
  render: ({ exists, user, group, otherGroups }) =>
    [
      "-m owner",
      ...(exists === undefined ? [] : [`${bang(exists)}--socket-exists`]),
      ...(user === undefined ? [] : [`${bang(user)}--uid-owner ${user.text}`]),
      ...(group === undefined ? [] : [`${bang(group)}--gid-owner ${group.text}`]),
      ...(otherGroups ? ["--suppl-groups"] : []),
    ].join(" "),
  /** Every option is inverted u8: all that counts for packets that no local socket sent. */
  pack({ exists, user, group, otherGroups }, writer) {
    const uses = [exists, user, group].filter((use) => use !== undefined);
    writer.u8(!otherGroups && uses.every(({ invert }) => invert) ? 1 : 0);
  },
};

function parseOwner(use: OptionUse): OwnerRange {
  const text = wordOf(use);
  if (text === "root") return { text: "0", invert: use.invert };
  if (/^[a-z_]/i.test(text)) return { text, invert: use.invert };
  const { first, last } = parseRange(text, use, { max: MAX, separator: "-" }, (end) =>
    parseNumber(end, use, MAX),
  );
  if (text.startsWith("-") || text.endsWith("-")) {
    throw new RuleError(`${use.name} ${text}: expected NUMBER-NUMBER`, use);
  }
  return { text: first === last ? `${first}` : `${first}-${last}`, invert: use.invert };
}
